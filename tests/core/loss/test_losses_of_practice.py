"""The losses that people train with: soft cap, z-loss, padding, factors, as others compute them.

Each formula is written out with PyTorch's operations, in float64, and differentiated by autograd.
"""

import itertools

import numpy as np
import pytest
from support.sweeps import in_sweeps

from softgrad_core import InputError, check_gradients, softmax_cross_entropy, verify

torch = pytest.importorskip("torch")

ROWS, COLUMNS = 12, 9


def by_torch(logits, targets, options):
    """Return the loss, the z-loss and the gradient by the formulas, from operations of PyTorch."""
    o = {"softcap": None, "temperature": 1.0, "z_loss_scale": 0.0, "num_classes": COLUMNS}
    o |= {"label_smoothing": 0.0, "class_weights": None, "loss_scale": 1.0, "denominator": None}
    o |= {"ignore_index": None, "reduction": "none", "kl_divergence": False, **options}
    a = torch.tensor(logits, requires_grad=True)
    z = a[:, : o["num_classes"]]
    if o["softcap"]:
        z = o["softcap"] * torch.tanh(z / o["softcap"])
    z = z / o["temperature"]
    k = o["num_classes"]
    counted = torch.ones(ROWS, dtype=torch.bool)
    if np.ndim(targets) == 2:
        t = torch.tensor(targets)[:, :k]
    else:
        counted = torch.tensor(targets != o["ignore_index"])
        t = torch.nn.functional.one_hot(torch.tensor(np.where(counted, targets, 0)), k).double()
    t = (1 - o["label_smoothing"]) * t + o["label_smoothing"] / k
    w = torch.ones(k, dtype=torch.float64)
    if o["class_weights"] is not None:
        w = torch.tensor(o["class_weights"], dtype=torch.float64)[:k]
    q = w * t
    losses = -(q * torch.log_softmax(z, dim=1)).sum(dim=1)
    if o["kl_divergence"]:
        losses = losses + torch.special.xlogy(t, t).sum(dim=1)
    penalties = o["z_loss_scale"] * torch.logsumexp(z, dim=1) ** 2
    losses, penalties = losses * counted, penalties * counted
    reduction = "mean" if o["denominator"] else o["reduction"]
    d = n = 1.0
    if reduction == "mean":
        n = o["denominator"] or float(counted.sum())
        d = n if np.ndim(targets) == 2 else float(w[torch.tensor(targets)[counted]].sum())
        d = o["denominator"] or d
    losses, penalties = o["loss_scale"] * losses / d, o["loss_scale"] * penalties / n
    whole = losses + penalties
    if reduction != "none":
        whole, penalties = whole.sum(), penalties.sum()
    whole.sum().backward()
    return whole.detach().numpy(), penalties.detach().numpy(), a.grad.numpy()


CHOICES = {
    "softcap": [None, 2.5],
    "z_loss_scale": [0.0, 0.03],
    "temperature": [1.0, 0.7],
    "num_classes": [COLUMNS, 7],
    "label_smoothing": [0.0, 0.1],
    "loss_scale": [1.0, 4.0],
    "reduction": ["mean", "sum", "none"],
}


def problem(seed, *, soft, masked=False):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(ROWS, COLUMNS)) * 3
    if soft:
        targets = np.zeros((ROWS, COLUMNS))
        targets[:, :7] = rng.dirichlet(np.ones(7), size=ROWS)
    else:
        targets = rng.integers(7, size=ROWS)
        targets[::5] = -100 if masked else targets[::5]
    return logits, targets


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("seed", [0, *in_sweeps([1, 2, 3])])
def test_every_combination_of_options_agrees_with_its_formula_in_torch(seed, soft):
    rng = np.random.default_rng(seed)
    for number, values in enumerate(itertools.product(*CHOICES.values())):
        options = dict(zip(CHOICES, values, strict=True))
        logits, targets = problem([seed, number], soft=soft, masked=True)
        if not soft:
            options["ignore_index"] = -100
        if rng.random() < 0.3:
            options["class_weights"] = rng.uniform(0.1, 3.0, COLUMNS).tolist()
        elif soft and rng.random() < 0.5:
            options["kl_divergence"] = True
        if options["reduction"] == "mean" and rng.random() < 0.3:
            options["denominator"] = 37.0
        loss, z_loss, grad = by_torch(logits, targets, options)
        got = softmax_cross_entropy(logits, targets, **options)
        np.testing.assert_allclose(got.loss, loss, rtol=1e-12, atol=1e-14, err_msg=str(options))
        if options["z_loss_scale"]:
            np.testing.assert_allclose(got.z_loss, z_loss, rtol=1e-12, err_msg=str(options))
        else:
            assert got.z_loss is None
        np.testing.assert_allclose(
            got.grad_logits, grad, rtol=1e-11, atol=1e-14, err_msg=str(options)
        )


def test_the_z_loss_of_jax_is_right_under_a_cap():
    jax = pytest.importorskip("jax")

    logits, labels = problem(9, soft=False)
    scale, softcap = 0.01, 2.5

    def loss(a):
        z = softcap * jax.numpy.tanh(a / softcap)
        log_sums = jax.nn.logsumexp(z, axis=-1)
        plain = log_sums - z[np.arange(ROWS), labels]
        return (plain + scale * log_sums**2).mean()

    a = jax.numpy.asarray(logits, dtype=jax.numpy.float32)
    options = {"z_loss_scale": scale, "softcap": softcap, "reduction": "mean"}
    value, grad = jax.jit(jax.value_and_grad(loss))(a)
    assert verify(a, labels, loss=value, grad_logits=grad, **options).passed


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "options",
    [
        {"softcap": 30.0},
        {"z_loss_scale": 1e-4},
        {"softcap": 2.0, "z_loss_scale": 0.1, "label_smoothing": 0.1, "temperature": 0.5},
        {"softcap": 5.0, "num_classes": 7, "loss_scale": 1024.0},
    ],
)
def test_right_gradients_pass_and_wrong_ones_fail_in_every_component(dtype, options):
    logits, labels = problem(3, soft=False)
    logits = logits.astype(dtype)
    options = {**options, "reduction": "mean"}
    got = softmax_cross_entropy(logits, labels, **options)
    claims = {name: getattr(got, name) for name in got.fields}
    assert verify(logits, labels, **claims, **options).passed
    for c in range(7):
        wrong = got.grad_logits.copy()
        wrong[4, c] *= 1.001
        assert not verify(logits, labels, grad_logits=wrong, **options).passed, c
    if got.z_loss is not None:
        assert not verify(logits, labels, z_loss=got.z_loss * 1.001, **options).passed


def test_a_row_of_the_z_loss_that_is_ignored_has_no_part_in_anything():
    logits, labels = problem(3, soft=False)
    labels[2] = -1
    options = {"z_loss_scale": 0.1, "ignore_index": -1, "reduction": "mean"}
    with_row = softmax_cross_entropy(logits, labels, **options)
    others = np.delete(np.arange(ROWS), 2)
    without = softmax_cross_entropy(logits[others], labels[others], **options)
    assert float(with_row.z_loss) == pytest.approx(float(without.z_loss), rel=1e-14)
    assert not with_row.grad_logits[2].any()


def test_masked_classes_stay_masked_under_a_cap():
    result = softmax_cross_entropy([2.0, -np.inf, 0.1], 0, softcap=1.5, z_loss_scale=0.1)
    assert (result.probs[1], result.grad_logits[1]) == (0.0, 0.0)
    [check] = check_gradients(
        [2.0, -np.inf, 0.1], 0, result.grad_probs, result.grad_logits, softcap=1.5, z_loss_scale=0.1
    )
    assert check.passed


def test_the_derivative_of_a_cap_is_not_0_where_tanh_is_1_to_the_last_digit():
    result = softmax_cross_entropy([100.0, 0.0], 1, softcap=1.0)
    p = 1.0 / (1.0 + np.exp(-1.0))
    assert result.grad_logits[0] == pytest.approx(4 * np.exp(-200.0) * p, rel=1e-14)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"softcap": 0.0}, "softcap-out-of-range"),
        ({"softcap": -30.0}, "softcap-out-of-range"),
        ({"softcap": float("inf")}, "softcap-out-of-range"),
        ({"z_loss_scale": -1e-4}, "z-loss-scale-out-of-range"),
    ],
)
def test_a_cap_or_a_z_loss_that_cannot_be_is_refused(options, code):
    with pytest.raises(InputError) as caught:
        softmax_cross_entropy([1.0, 2.0], 0, **options)
    assert caught.value.code == code


def test_a_claim_of_a_z_loss_needs_its_scale():
    with pytest.raises(ValueError, match="expected a z_loss_scale above 0 beside a claim"):
        verify([1.0, 2.0], 0, z_loss=0.1)


@pytest.mark.parametrize("axis", [1, -2, 0])
@pytest.mark.parametrize("soft", [False, True])
def test_the_classes_may_be_on_any_axis(axis, soft):
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(3, 4, 6))
    targets = rng.dirichlet(np.ones(6), size=(3, 4)) if soft else rng.integers(6, size=(3, 4))
    options = {"reduction": "mean", "z_loss_scale": 0.1}
    last = softmax_cross_entropy(rows, targets, **options)
    given = np.moveaxis(rows, -1, axis)
    moved = np.moveaxis(targets, -1, axis) if soft else targets
    got = softmax_cross_entropy(given, moved, axis=axis, **options)
    assert (got.loss, got.z_loss) == (last.loss, last.z_loss)
    for name in ("probs", "grad_probs", "grad_logits"):
        assert getattr(got, name).shape == given.shape
        np.testing.assert_array_equal(
            np.moveaxis(getattr(got, name), axis, -1), getattr(last, name)
        )
    claims = {name: getattr(got, name) for name in got.fields}
    assert verify(given, moved, axis=axis, **claims, **options).passed
    checks = check_gradients(given, moved, got.grad_probs, got.grad_logits, axis=axis, **options)
    assert all(check.passed for check in checks)
    losses = softmax_cross_entropy(given, moved, axis=axis).loss
    assert losses.shape == (3, 4)


def test_an_axis_of_segmentation_is_that_of_torch():
    rng = np.random.default_rng(4)
    a = torch.tensor(rng.normal(size=(2, 5, 3, 4)), requires_grad=True)
    labels = torch.tensor(rng.integers(5, size=(2, 3, 4)))
    loss = torch.nn.functional.cross_entropy(a, labels)
    loss.backward()
    options = {"axis": 1, "reduction": "mean"}
    assert verify(a, labels, loss=loss, grad_logits=a.grad, **options).passed
    assert not verify(a, labels, grad_logits=-a.grad, **options).passed


@pytest.mark.parametrize("axis", [3, -4, 1.0])
def test_an_axis_that_there_is_not_is_refused(axis):
    with pytest.raises(InputError, match="expected an axis of logits of shape"):
        softmax_cross_entropy(np.zeros((2, 3, 4)), np.zeros((2, 3), int), axis=axis)


@pytest.mark.parametrize("softcap", [1e-40, 1e-3, 1e40, 1e300])
def test_the_check_passes_under_a_cap_of_any_size(softcap):
    result = softmax_cross_entropy([2.0, 1.0, 0.1], 0, softcap=softcap)
    gradients = result.grad_probs, result.grad_logits
    [check] = check_gradients([2.0, 1.0, 0.1], 0, *gradients, softcap=softcap)
    assert check.passed


def test_a_mean_whose_labels_have_weight_0_has_a_z_loss_still():
    options = {"reduction": "mean", "z_loss_scale": 0.1, "class_weights": [0.0, 1.0, 1.0]}
    result = softmax_cross_entropy([[2.0, 1.0, 0.1]], [0], **options)
    assert np.isnan(result.loss)
    alone = softmax_cross_entropy([2.0, 1.0, 0.1], 0, z_loss_scale=0.1)
    assert result.z_loss == alone.z_loss
    assert verify([[2.0, 1.0, 0.1]], [0], z_loss=result.z_loss, **options).passed


def test_names_of_other_libraries_are_answered_with_the_option_s():
    for given, meant in (("lse_square_scale", "z_loss_scale"), ("logit_softcap", "softcap")):
        with pytest.raises(TypeError, match=f"did you mean {meant}"):
            softmax_cross_entropy([1.0, 2.0], 0, **{given: 0.1})


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("scale", [1e-4, 0.05, 1.0, 20.0])
def test_right_kernels_with_a_z_loss_raise_no_alarm_however_large_its_weight(scale, dtype):
    torch.manual_seed(0)
    for spread in (1.0, 10.0, 20.0):
        logits = (torch.randn(8, 1000, dtype=getattr(torch, dtype)) * spread).requires_grad_()
        labels = torch.randint(1000, (8,))
        log_sums = torch.logsumexp(logits, dim=1)
        loss = (log_sums - logits[torch.arange(8), labels] + scale * log_sums**2).sum()
        loss.backward()
        options = {"z_loss_scale": scale, "reduction": "sum"}
        verify(logits, labels, loss=loss, grad_logits=logits.grad, **options).raise_if_failed()


def test_targets_of_another_shape_are_named_by_the_shape_that_they_should_have():
    with pytest.raises(InputError, match=r"of shape \(2, 3\), got \(3, 2\)"):
        softmax_cross_entropy(np.zeros((2, 3)), np.ones((3, 2)) / 2, axis=0)
