"""Files of tensors, as training runs write them: .safetensors, .pt, and NumPy's with ml_dtypes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from softgrad.exits import InputFailedError
from softgrad.inputs.arrays.source import ArrayOptions, open_arrays
from support.command import peak_of, run
from support.devices import DEVICES
from support.sweeps import combined

from softgrad_core import softmax_cross_entropy

REASON = "PyTorch is not installed"
KINDS = ["safetensors", "pt"]


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason=REASON)


@pytest.fixture
def safetensors():
    pytest.importorskip("torch", reason=REASON)
    return pytest.importorskip("safetensors.torch", reason=REASON)


@pytest.fixture
def save(torch, safetensors):
    """Return what writes tensors, and options of the loss, to a file of either kind."""

    def saved(path, tensors, **options):
        if path.suffix == ".pt":
            torch.save({**tensors, **options}, path)
        else:
            metadata = {name: str(value) for name, value in options.items()}
            safetensors.save_file(tensors, path, metadata=metadata or None)

    return saved


def step(torch, dtype="bfloat16", device="cpu", **options):
    """Return the tensors of a training step: 2 sequences of 8 tokens over 50 classes."""
    generator = torch.Generator().manual_seed(5)
    given = {"dtype": getattr(torch, dtype), "device": device}
    logits = torch.randn(2, 8, 50, generator=generator).to(**given).requires_grad_()
    target = torch.randint(50, (2, 8), generator=generator).to(device)
    flat = logits.reshape(-1, 50).float(), target.reshape(-1)
    loss = torch.nn.functional.cross_entropy(*flat, **options)
    loss.backward()
    tensors = {"logits": logits, "target": target, "loss": loss, "grad_logits": logits.grad}
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_was_dumped_is_verified_each_claim_in_its_type(
    tmp_path, torch, save, kind, device
):
    tensors = step(torch, device=device, label_smoothing=0.1)
    save(tmp_path / f"step.{kind}", tensors, reduction="mean", label_smoothing=0.1)
    ended = run("verify", f"step.{kind}", cwd=tmp_path)
    assert ended.status == 0, ended.err
    assert "ulp of bfloat16" in ended.err
    assert "ulp of float32" in ended.err
    tensors["grad_logits"] *= -1
    save(tmp_path / f"wrong.{kind}", tensors, reduction="mean", label_smoothing=0.1)
    ended = run("verify", f"wrong.{kind}", cwd=tmp_path)
    assert (ended.status, "wrong-sign" in ended.err) == (1, True), ended.err


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_loss_of_a_batch_may_have_a_narrow_type(tmp_path, torch, save, kind, dtype):
    tensors = step(torch, dtype)
    tensors["loss"] = tensors["loss"].to(tensors["logits"].dtype)
    save(tmp_path / f"step.{kind}", tensors, reduction="mean")
    ended = run("verify", f"step.{kind}", cwd=tmp_path)
    assert (ended.status, f"ulp of {dtype}" in ended.err) == (0, True), ended.err


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_of_other_names_are_mapped(tmp_path, torch, save, kind):
    tensors = step(torch)
    named = {"lm_head.out": tensors["logits"], "y": tensors["target"]}
    named["grads"] = tensors["grad_logits"]
    save(tmp_path / f"step.{kind}", named)
    names = "logits=lm_head.out,target=y,grad_logits=grads"
    ended = run("verify", f"step.{kind}", "--map", names, "--reduction", "mean", cwd=tmp_path)
    assert ended.status == 0, ended.err
    assert "not verified" not in ended.err
    ended = run("verify", f"step.{kind}", cwd=tmp_path)
    assert ended.status == 3
    for told in ('expected an array "logits"', "lm_head.out", "--map logits=NAME"):
        assert told in ended.err
    ended = run("verify", f"step.{kind}", "--map", "logits=out", cwd=tmp_path)
    assert (ended.status, 'expected an array "out", got' in ended.err) == (3, True), ended.err
    ended = run("verify", f"step.{kind}", "--map", "logit=y", cwd=tmp_path)
    assert (ended.status, "NAME out of logits, target" in ended.err) == (2, True), ended.err


@pytest.mark.parametrize(
    ("dtype", "kind"), combined(("float64", "float32", "float16", "bfloat16"), KINDS)
)
def test_results_have_the_format_the_type_and_the_shape_of_the_logits(
    tmp_path, torch, safetensors, save, kind, dtype
):
    tensors = step(torch, dtype)
    save(tmp_path / f"step.{kind}", {name: tensors[name] for name in ("logits", "target")})
    ended = run(f"step.{kind}", "--output-dir", "out", cwd=tmp_path)
    assert (ended.status, ended.err) == (0, "")
    path = tmp_path / "out" / f"step.{kind}"
    results = torch.load(path) if kind == "pt" else safetensors.load_file(path)
    exact = softmax_cross_entropy(tensors["logits"].double(), tensors["target"])
    assert set(results) == {"probs", "loss", "grad_probs", "grad_logits"}
    for name, tensor in results.items():
        expected = torch.tensor(getattr(exact, name))
        assert (tensor.shape, tensor.dtype) == (expected.shape, getattr(torch, dtype))
        torch.testing.assert_close(tensor, expected.to(tensor.dtype), rtol=1e-15, atol=0.0)
    save(path.with_stem("all"), {**tensors, **results})
    assert run("verify", f"out/all.{kind}", cwd=tmp_path).status == 0


def test_the_output_names_the_format_of_the_results(tmp_path, torch, safetensors, save):
    tensors = step(torch, "float32")
    save(tmp_path / "a.pt", {name: tensors[name] for name in ("logits", "target")})
    for name in ("r.npz", "r.safetensors", "r.pt"):
        assert run("a.pt", "-o", name, "--fields", "loss", cwd=tmp_path).status == 0
    with np.load(tmp_path / "r.npz") as npz:
        expected = torch.tensor(npz["loss"])
    assert expected.shape == (2, 8)
    torch.testing.assert_close(torch.load(tmp_path / "r.pt")["loss"], expected, rtol=0, atol=0)
    loaded = safetensors.load_file(tmp_path / "r.safetensors")["loss"]
    torch.testing.assert_close(loaded, expected, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_a_file_of_tensors_is_explained(tmp_path, torch, save, kind):
    save(tmp_path / f"step.{kind}", step(torch))
    ended = run("explain", f"step.{kind}", "--row", "9", "--json", cwd=tmp_path)
    assert ended.status == 0, ended.err


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["cut", "empty", "junk"])
def test_a_damaged_file_is_named_and_nothing_is_written(tmp_path, torch, save, kind, damage):
    path = tmp_path / f"step.{kind}"
    save(path, step(torch))
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[:-100], "empty": b"", "junk": b"\xff" * 500}[damage])
    for arguments in (["verify"], ["-o", "r.npz"]):
        ended = run(*arguments, path.name, cwd=tmp_path)
        assert (ended.status, ended.out) == (74, b"")
        assert ended.err.startswith(f"softgrad: {path.name}: expected "), ended.err
    assert not (tmp_path / "r.npz").exists()


def test_a_flipped_byte_in_a_file_of_pytorch_is_noticed(tmp_path, torch, save):
    path = tmp_path / "step.pt"
    tensors = step(torch)
    save(path, tensors)
    data = bytearray(path.read_bytes())
    place = data.index(tensors["logits"].view(torch.uint8).numpy().tobytes())
    data[place + 3] ^= 0x40
    path.write_bytes(data)
    ended = run("verify", "step.pt", "--reduction", "mean", cwd=tmp_path)
    assert (ended.status, "is damaged" in ended.err) == (74, True), ended.err


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_tensors_that_is_cut_while_it_is_read_is_an_error(
    tmp_path, torch, save, kind, dtype
):
    path = tmp_path / f"a.{kind}"
    logits = torch.zeros(4_000, 50, dtype=getattr(torch, dtype))
    save(path, {"logits": logits, "target": torch.zeros(4_000, dtype=torch.int64)})
    options = ArrayOptions(None, {}, None, with_claims=False, names={}, axis=-1)
    blocks = open_arrays(str(path), options).blocks(5_000)
    next(blocks)
    os.truncate(path, 60_000)
    with pytest.raises(InputFailedError, match="it changed while it was read, from"):
        list(blocks)


def entry(dtype="F64", shape=(2, 3), offsets=(0, 48)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def one(**said):
    return json.dumps({"logits": entry(**said)})


HEADERS = [
    "",
    "{",
    "[]",
    "{}",
    '{"logits": 1}',
    one(shape=(2, -3)),
    one(shape=(2**62, 8)),
    one(shape=(2, 4)),
    one(offsets=(48, 0)),
    one(offsets=(0, 40)),
    one(offsets=(8, 56)),
    one(dtype="F9"),
    one(dtype="C64", shape=(2, 3)),
    '{"__metadata__": {"temperature": 2}, ' + one()[1:],
    '{"__metadata__": {"temperature": "x"}, ' + one()[1:],
    "{" + one()[1:-1] + ", " + one(dtype="I64")[1:],
    "9" * 200,
]


@pytest.mark.usefixtures("safetensors")
@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
def test_a_header_of_safetensors_that_is_none_is_refused(tmp_path, header):
    path = tmp_path / "a.safetensors"
    text = header.encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(48))
    ended = run("a.safetensors", "-t", "0", "-o", "r.npz", cwd=tmp_path)
    assert ended.status in (3, 74), ended.err
    assert ended.err.startswith("softgrad: a.safetensors: "), ended.err
    assert not (tmp_path / "r.npz").exists()


class Runs:
    """A pickle that would write a file."""

    def __reduce__(self):
        return (open, ("pwned", "w"))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_runs_nothing(tmp_path, torch, zipped):
    content = {"logits": torch.zeros(2, 3), "target": torch.zeros(2, dtype=int), "x": Runs()}
    torch.save(content, tmp_path / "evil.pt", _use_new_zipfile_serialization=zipped)
    ended = run("verify", "evil.pt", cwd=tmp_path)
    assert ended.status == 74
    assert "it would run code" in ended.err
    assert not (tmp_path / "pwned").exists()


def test_tensors_of_checkpoints_are_found_by_their_path(tmp_path, torch):
    tensors = step(torch)
    torch.save({"out": tensors, "step": 100}, tmp_path / "step.pt")
    names = "logits=out.logits,target=out.target,grad_logits=out.grad_logits"
    ended = run("verify", "step.pt", "--reduction", "mean", "--map", names, cwd=tmp_path)
    assert ended.status == 0, ended.err


def test_files_of_before_zip_archives_and_single_tensors_are_read(tmp_path, torch):
    tensors = step(torch, "float32")
    for name in ("logits", "target"):
        torch.save(tensors[name], tmp_path / f"{name}.pt", _use_new_zipfile_serialization=False)
    ended = run("logits.pt", "-t", "target.pt", "-o", "r.npz", cwd=tmp_path)
    assert (ended.status, ended.err) == (0, "")
    torch.save([tensors["logits"]], tmp_path / "list.pt")
    ended = run("list.pt", "-t", "0", "-o", "r.npz", cwd=tmp_path)
    assert (ended.status, "expected a dictionary of tensors" in ended.err) == (74, True)
    assert "got list" in ended.err


@pytest.mark.parametrize(("kind", "library"), [("safetensors", "safetensors"), ("pt", "torch")])
def test_the_library_that_is_missing_is_named(tmp_path, kind, library):
    (tmp_path / f"a.{kind}").write_bytes(b"any")
    code = (
        f"import sys; sys.modules[{library!r}] = None; sys.argv[1:] = ['verify', 'a.{kind}'];"
        "from softgrad.__main__ import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert ended.returncode == 2
    assert "pip install" in ended.stderr
    assert library in ended.stderr


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_arrays_of_ml_dtypes_in_files_of_numpy_are_read(tmp_path, name):
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="JAX is not installed")
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(64, 10)).astype(ml_dtypes.bfloat16)
    target = rng.integers(10, size=64)
    grad = softmax_cross_entropy(logits.astype(np.float64), target).grad_logits
    claim = grad.astype(getattr(ml_dtypes, name))
    arrays = {"logits": logits, "target": target, "grad_logits": claim}
    np.savez(tmp_path / "step.npz", **arrays)
    np.savez_compressed(tmp_path / "packed.npz", **arrays)
    # NumPy writes float8_e4m3fn as a type of one byte that says no more.
    dtype = ["--dtype", name] if name == "float8_e4m3fn" else []
    for file in ("step.npz", "packed.npz"):
        ended = run("verify", file, *dtype, cwd=tmp_path)
        assert ended.status == 0, ended.err
        assert f"ulp of {name}" in ended.err
    if dtype:
        ended = run("verify", "step.npz", cwd=tmp_path)
        assert (ended.status, "--dtype float8_e4m3fn" in ended.err) == (3, True), ended.err
    np.save(tmp_path / "logits.npy", logits)
    ended = run("logits.npy", "-t", "0", "-o", "r.npz", cwd=tmp_path)
    assert (ended.status, ended.err) == (0, "")


@pytest.mark.parametrize("name", ["labels", "targets"])
def test_labels_and_targets_are_the_target(tmp_path, name):
    rows = {"logits": np.eye(3), "probs": softmax_cross_entropy(np.eye(3), [0, 1, 2]).probs}
    np.savez(tmp_path / "a.npz", **rows, **{name: np.arange(3)})
    assert run("verify", "a.npz", cwd=tmp_path).status == 0
    np.savez(tmp_path / "both.npz", **rows, labels=np.arange(3), targets=np.arange(3))
    ended = run("verify", "both.npz", cwd=tmp_path)
    assert (ended.status, 'one array "target", got "targets" and "labels"' in ended.err) == (
        3,
        True,
    )


def test_a_large_file_of_safetensors_takes_little_memory(tmp_path, safetensors, torch):
    logits = torch.zeros(20_000, 1_000, dtype=torch.bfloat16)
    tensors = {"logits": logits, "target": torch.zeros(20_000, dtype=torch.long)}
    safetensors.save_file({**tensors, "probs": logits + 1e-3}, tmp_path / "a.safetensors")
    # The file has 80 MB; as float64 its arrays would take 320.
    assert peak_of("verify", "a.safetensors", "-j", "2", cwd=tmp_path) < 200


def test_numbers_of_python_in_a_file_of_pytorch_are_claims_as_well(tmp_path, torch):
    logits = torch.randn(8, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
    labels = torch.tensor([0, 1, 2, 3, 4, 0, -100, 1])
    loss = torch.nn.functional.cross_entropy(logits, labels)
    loss.backward()
    step = {"logits": logits.detach(), "labels": labels, "grad_logits": logits.grad}
    step |= {"reduction": "mean", "ignore_index": -100}
    path = tmp_path / "step.pt"
    for claim, status in ((loss.item(), 0), (99.0, 1), ([99.0], 1)):
        torch.save({**step, "loss": claim}, path)
        ended = run("verify", str(path))
        assert (ended.status, "loss: " in ended.err) == (status, True), ended.err


def test_an_array_of_the_logits_shape_that_nobody_verifies_is_named(tmp_path):
    logits, labels = np.zeros((4, 3)), np.zeros(4, int)
    loss = np.full(4, np.log(3.0))
    np.savez(tmp_path / "x.npz", logits=logits, labels=labels, loss=loss, my_dz=logits, ids=labels)
    ended = run("verify", str(tmp_path / "x.npz"))
    assert '"my_dz" is not verified' in ended.err
    assert "ids" not in ended.err


def test_results_of_arrays_need_an_ending_that_says_what_they_are(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((4, 3)))
    ended = run(str(tmp_path / "x.npy"), "-t", "0", "-o", str(tmp_path / "r.bin"))
    assert (ended.status, "expected results in .npz, .safetensors or .pt" in ended.err) == (2, True)
    assert not (tmp_path / "r.bin").exists()


def loaded(path):
    """Return the arrays in a file of results of any kind."""
    if path.suffix == ".pt":
        torch = pytest.importorskip("torch", reason=REASON)
        return {name: value.numpy() for name, value in torch.load(path).items()}
    if path.suffix == ".safetensors":
        return pytest.importorskip("safetensors.numpy").load_file(path)
    return dict(np.load(path))


@pytest.mark.parametrize("ending", ["npz", *KINDS])
def test_the_classes_may_be_on_another_axis(tmp_path, ending):
    rng = np.random.default_rng(3)
    logits, labels = rng.normal(size=(2, 5, 3, 4)), rng.integers(5, size=(2, 3, 4))
    np.savez(tmp_path / "x.npz", logits=logits, target=labels)
    words = ("--axis", "1", "--reduction", "mean", "--softcap", "3", "--z-loss-scale", "0.1")
    ended = run(str(tmp_path / "x.npz"), *words, "-o", str(tmp_path / f"r.{ending}"))
    assert (ended.status, ended.err) == (0, "")
    options = {"axis": 1, "reduction": "mean", "softcap": 3.0, "z_loss_scale": 0.1}
    expected = softmax_cross_entropy(logits, labels, **options)
    got = loaded(tmp_path / f"r.{ending}")
    assert got["grad_logits"].shape == logits.shape
    for name in expected.fields:
        np.testing.assert_array_equal(got[name], getattr(expected, name))
    np.savez(tmp_path / "claims.npz", logits=logits, target=labels, **got)
    verified = run("verify", str(tmp_path / "claims.npz"), *words)
    assert verified.status == 0, verified.err
    assert "z_loss: 1 of 1 passed" in verified.err
    got["grad_logits"][0, 2] *= 1.5
    np.savez(tmp_path / "claims.npz", logits=logits, target=labels, **got)
    assert run("verify", str(tmp_path / "claims.npz"), *words).status == 1
    wrong = run("verify", str(tmp_path / "claims.npz"), "--axis", "4")
    assert (wrong.status, "expected an axis of logits of shape (2, 5, 3, 4)" in wrong.err) == (
        3,
        True,
    )
