"""Soft targets, options of the loss and batches, from options and from record fields."""

import json
import math

import numpy as np
import pytest
from support.command import lines_of, run

from softgrad_core import softmax_cross_entropy

BATCH = {"logits": [[2.0, 1.0, 0.1], [0.0, 0.0, 3.0]], "target": [0, 2]}
SOFT = {"logits": [2.0, 1.0, 0.1], "target": [0.1, 0.7, 0.2]}
FIELDS = ("probs", "loss", "grad_probs", "grad_logits")

OPTIONS = [
    ({"label_smoothing": 0.1}, ["--label-smoothing", "0.1"]),
    ({"class_weights": [1.0, 2.0, 0.5]}, ["--class-weights", "1,2,0.5"]),
    ({"temperature": 2.5}, ["--temperature", "2.5"]),
    ({"ignore_index": 2}, ["--ignore-index", "2"]),
    ({"ignore_index": -100}, ["--ignore-index", "-100"]),
    (
        {"label_smoothing": 0.3, "temperature": 0.5, "class_weights": [1.0, 0.0, 3.0]},
        ["--label-smoothing=0.3", "--temperature=0.5", "--class-weights=1,0,3"],
    ),
    ({"num_classes": 3, "loss_scale": 4.0}, ["--num-classes", "3", "--loss-scale", "4"]),
    ({"softcap": 1.5, "z_loss_scale": 0.1}, ["--softcap", "1.5", "--z-loss-scale", "0.1"]),
    ({"label_smoothing": 0.1, "kl_divergence": True}, ["--label-smoothing=.1", "--kl-divergence"]),
]


def assert_numbers(record, expected):
    """Assert that a record has these results, bit for bit."""
    for name in FIELDS:
        assert record[name] == getattr(expected, name).tolist()


REDUCTIONS = ("mean", "sum", "none")


def assert_as_in_python(record, fields, reduction):
    expected = softmax_cross_entropy(**_python(BATCH), **fields, reduction=reduction)
    assert_numbers(record, expected)
    assert {name: record[name] for name in fields} == fields
    assert record["reduction"] == reduction
    assert record.get("divisor") == (expected.divisor if reduction == "mean" else None)


@pytest.mark.parametrize(
    ("words", "fields", "reduction"),
    [(words, fields, REDUCTIONS[n % 3]) for n, (fields, words) in enumerate(OPTIONS)],
)
def test_an_option_means_the_same_in_the_command_and_in_python(words, fields, reduction):
    ended = run(*words, "--reduction", reduction, stdin=lines_of(BATCH))
    assert (ended.status, ended.err) == (0, "")
    assert_as_in_python(ended.records[0], fields, reduction)


def test_an_option_means_the_same_in_a_record_and_in_python():
    given = [(fields, reduction) for fields, _ in OPTIONS for reduction in REDUCTIONS]
    ended = run(stdin=lines_of(*({**BATCH, **one, "reduction": how} for one, how in given)))
    assert (ended.status, ended.err) == (0, "")
    for record, one in zip(ended.records, given, strict=True):
        assert_as_in_python(record, *one)


def _python(record):
    return {"logits": record["logits"], "targets": record["target"]}


def test_a_soft_target_comes_from_the_shell_and_from_a_record():
    expected = softmax_cross_entropy(SOFT["logits"], SOFT["target"])
    for ended in (
        run("2.0", "1.0", "0.1", "--target", "0.1,0.7,0.2", "--json"),
        run(stdin=lines_of(SOFT)),
        run("--target", "[0.1, 0.7, 0.2]", stdin=lines_of({"logits": SOFT["logits"]})),
    ):
        assert (ended.status, ended.err) == (0, "")
        [record] = ended.records
        assert_numbers(record, expected)
        assert record["target"] == SOFT["target"]


def test_a_batch_has_the_mean_by_default_and_says_so():
    [record] = run(stdin=lines_of(BATCH)).records
    expected = softmax_cross_entropy(**_python(BATCH), reduction="mean")
    assert_numbers(record, expected)
    assert (record["reduction"], record["divisor"]) == ("mean", 2.0)


def test_class_names_work_for_labels_and_weights():
    record = {**BATCH, "target": ["cat", "bird"], "class_weights": {"bird": 3, "cat": 1, "dog": 2}}
    ended = run("--classes", "cat,dog,bird", stdin=lines_of(record))
    assert (ended.status, ended.err) == (0, "")
    expected = softmax_cross_entropy(
        **_python(BATCH), class_weights=[1.0, 2.0, 3.0], reduction="mean"
    )
    assert_numbers(ended.records[0], expected)
    words = ("--classes", "cat,dog,bird", "--class-weights", "bird=3,cat=1,dog=2")
    by_command = run("2", "1", "0.1", "-t", "cat", *words, "--json")
    assert by_command.records[0]["class_weights"] == [1.0, 2.0, 3.0]


def test_a_record_s_option_overrides_the_command_s_and_null_cancels_it():
    records = [SOFT, {**SOFT, "temperature": 3.0}, {**SOFT, "temperature": None}]
    ended = run("--temperature", "2", stdin=lines_of(*records))
    for record, temperature in zip(ended.records, (2.0, 3.0, 1.0), strict=True):
        assert_numbers(
            record,
            softmax_cross_entropy(SOFT["logits"], SOFT["target"], temperature=temperature),
        )


def test_a_single_row_is_reduced_only_on_request():
    record = {"logits": [2.0, 1.0, 0.1], "target": 0, "class_weights": [4.0, 1.0, 1.0]}
    alone, mean = run(stdin=lines_of(record, {**record, "reduction": "mean"})).records
    assert alone["loss"] == 4 * mean["loss"]
    assert "divisor" not in alone
    assert mean["divisor"] == 4.0


def test_the_mean_of_no_rows_is_nan_with_a_warning_and_no_gradient():
    record = {**BATCH, "target": [-1, -1], "ignore_index": -1}
    ended = run(stdin=lines_of(record))
    assert ended.status == 0
    [result] = ended.records
    assert result["loss"] == "NaN"
    assert result["divisor"] == 0.0
    assert "no row counts" in result["warning"]
    assert result["grad_logits"] == [[0.0] * 3] * 2
    assert run("verify", stdin=ended.out).status == 0


def test_what_is_computed_passes_its_own_check_and_verification():
    records = [
        {**record, **fields, **reduction}
        for fields, _ in OPTIONS
        # The two parts of a divergence cancel: it is held to more than ulps of itself.
        if "kl_divergence" not in fields
        for record in (BATCH, SOFT, {**BATCH, "target": [[0.1, 0.7, 0.2], [0.0, 0.0, 1.0]]})
        if not (isinstance(record["target"][0], (float, list)) and "ignore_index" in fields)
        for reduction in ({}, {"reduction": "sum"}, {"reduction": "none"})
    ]
    computed = run("--check", stdin=lines_of(*records))
    assert (computed.status, computed.err) == (0, "")
    assert all(record["check"]["passed"] for record in computed.records)
    verified = run("verify", "--ulp", "4", stdin=computed.out)
    assert verified.status == 0, verified.err
    assert f"{len(records)} records: {len(records)} passed (" in verified.err


def test_records_of_every_kind_keep_their_order_and_their_bits():
    kinds = [
        {"logits": [2.0, 1.0, 0.1], "target": 1},
        SOFT,
        BATCH,
        {**BATCH, "reduction": "none"},
        {"logits": [2.0, 1.0, 0.1], "target": 1, "temperature": 2.0},
        {"logits": [[1.0, 2.0]], "target": [1]},
        {"logits": [2.0, 1.0], "target": 5},
        {**BATCH, "target": [[1.0, 0.0, 0.0], [0.5, 0.25, 0.25]]},
    ]
    rng = np.random.default_rng(3)
    records = [{"id": n, **kinds[k]} for n, k in enumerate(rng.integers(len(kinds), size=200))]
    together = run(stdin=lines_of(*records))
    alone = {n: run(stdin=lines_of(kind)).records[0] for n, kind in enumerate(kinds)}
    assert [record["id"] for record in together.records] == list(range(200))
    for record, given in zip(together.records, records, strict=True):
        expected = alone[kinds.index({key: given[key] for key in given if key != "id"})]
        if "error" in expected:
            assert record["error"]["code"] == expected["error"]["code"]
        else:
            assert {key: record[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label-smoothing", "1.5"], "expected --label-smoothing from 0 to 1, got 1.5"),
        (["--label-smoothing", "x"], 'expected --label-smoothing from 0 to 1, got the text "x"'),
        (["--temperature", "0"], "expected a temperature above 0, got 0.0"),
        (["--temperature", "-1"], "expected a temperature above 0, got -1.0"),
        (["--temperature", "nan"], "expected a temperature above 0, got NaN"),
        (["--class-weights", "1,-2,1"], "--class-weights[1]: expected a finite number from 0 on"),
        (["--class-weights", "1,2"], "expected one of --class-weights for each of 3 logits, got 2"),
        (
            ["--class-weights", "a=1,b=2"],
            "--class-weights are given by name, but no class names are",
        ),
        (["--reduction", "avg"], "expected a reduction that is mean, sum or none"),
        (["--ignore-index", "1.5"], "expected --ignore-index to be a whole number"),
        (["--target", "0.5,0.4,0"], "expected target probabilities with the sum 1, got 0.9"),
        (["--target", "0.5,0.5"], "expected one target probability for each of 3 logits, got 2"),
    ],
)
def test_an_impossible_value_of_an_option_is_wrong_usage(words, message):
    target = [] if "--target" in words else ["--target", "0"]
    ended = run("2", "1", "0.1", *target, *words)
    assert (ended.status, ended.out) == (2, b"")
    assert message in ended.err


def test_an_unnormalised_target_is_accepted_on_request():
    words = ("2", "1", "0.1", "--target", "0.5,0.4,0", "--json")
    ended = run(*words, "--unnormalized-target")
    assert ended.status == 0
    expected = softmax_cross_entropy([2.0, 1.0, 0.1], [0.5, 0.4, 0.0], unnormalized_target=True)
    assert_numbers(ended.records[0], expected)


def test_a_table_shows_the_weights_and_the_rows_of_a_batch():
    shown = run("2", "1", "0.1", "-t", "0.1,0.7,0.2", "--temperature", "2").out.decode()
    assert "3 classes, target probabilities" in shown
    assert "temperature 2" in shown
    assert "weight q" in shown
    assert "loss -sum_c q_c log f(x)_c = " in shown
    record = {**BATCH, "ignore_index": 2}
    shown = run("--format", "table", "--check", stdin=lines_of(record)).out.decode()
    assert "a batch of 2 rows, 3 classes" in shown
    assert "row 0: 3 classes, target 0" in shown
    assert "row 1: 3 classes, ignored" in shown
    assert "loss of the batch, the mean over its rows (sum / 1) = 0.417030016277" in shown


@pytest.mark.parametrize("form", ["table", "markdown", "latex", "html"])
def test_every_format_explains_every_kind_of_record(form):
    records = [SOFT, {**BATCH, "temperature": 2.0, "label_smoothing": 0.1}]
    ended = run("explain", "--format", form, stdin=lines_of(*records))
    assert (ended.status, ended.err) == (0, "")
    assert "The derivation for row 1" in ended.out.decode()


def test_the_steps_of_a_batch_are_lists_row_by_row():
    [record] = run("explain", stdin=lines_of({**BATCH, "temperature": 2.0})).records
    assert [type(steps) for steps in record["explain"]] == [list, list]
    last = record["explain"][0][-1]
    np.testing.assert_allclose(last["cases"][0]["right"], record["grad_logits"][0], rtol=1e-14)
    [again] = run(stdin=json.dumps(record)).records
    assert "explain" not in again


def test_verification_names_the_worst_row_of_a_batch():
    [record] = run(stdin=lines_of(BATCH)).records
    record["grad_logits"][1][2] += 1e-3
    ended = run("verify", stdin=lines_of(record))
    assert ended.status == 1
    verdict = ended.records[0]["verify"]["grad_logits"]
    assert (verdict["verdict"], verdict["worst_row"], verdict["worst_class"]) == ("fail", 1, 2)
    assert "<stdin>:1, row 1, class 2" in ended.err
    table = run("verify", "--format", "table", stdin=lines_of(record)).out.decode()
    assert "→ 1, 2" in table


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"loss": [0.1, 0.2]}, 'expected "loss" to be a number, got a list'),
        ({"probs": [0.1, 0.2, 0.7]}, 'expected "probs" to be 2 lists, one for each row of logits'),
        ({"grad_logits": [[0.1, 0.2], [0.1, 0.2]]}, 'expected "grad_logits" to be 3 numbers'),
        ({"loss": 0.1, "reduction": "none"}, 'expected "loss" to be 2 numbers, one for each row'),
    ],
)
def test_claims_of_another_shape_than_the_batch_are_rejected(claims, message):
    ended = run("verify", stdin=lines_of({**BATCH, **claims}))
    assert ended.status == 3
    assert message in ended.records[0]["error"]["message"]


def test_infinite_losses_of_rows_are_strings():
    record = {"logits": [[0.0, "-Infinity"], [0.0, 0.0]], "target": [1, 0]}
    none, mean = run(stdin=lines_of({**record, "reduction": "none"}, record)).records
    assert none["loss"] == ["Infinity", math.log(2)]
    assert mean["loss"] == "Infinity"
    assert mean["grad_probs"][0] == [0.0, "-Infinity"]


@pytest.mark.parametrize("form", ["jsonl", "table", "html"])
def test_gradients_that_overflow_are_infinite(form):
    record = {"logits": [[0.0, 1.0], [0.0, 2.0]], "target": [0, 0], "reduction": "sum"}
    options = {"temperature": 1e-200, "class_weights": [1e150, 1.0]}
    ended = run("--format", form, stdin=lines_of({**record, **options}))
    assert (ended.status, ended.err) == (0, "")
    if form == "jsonl":
        [result] = ended.records
        assert result["grad_logits"] == [["-Infinity", "Infinity"]] * 2
        assert result["loss"] == "Infinity"


def test_a_sum_of_losses_that_overflows_is_infinite():
    record = {"logits": [[1.2e308, 0.0], [1.2e308, 0.0]], "target": [1, 1]}
    total, mean = run(stdin=lines_of({**record, "reduction": "sum"}, record)).records
    assert (total["loss"], mean["loss"]) == ("Infinity", 1.2e308)


def test_the_true_class_is_introduced_if_the_steps_mention_it():
    options = ["--label-smoothing", "0.1"]
    shown = " ".join(run("explain", "2", "1", "0.1", "-t", "0", *options).text.split())
    assert "y is the true class. c, i and k are classes." in shown
    assert "c = y = 0:" in shown
    shown = run("explain", "2", "1", "0.1", "-t", "0.2,0.3,0.5", *options).text
    assert "y is the true class" not in " ".join(shown.split())


@pytest.mark.parametrize("beside", [{"temperature": 2.0}, {"label_smoothing": 0.1}, {}])
def test_a_record_with_options_has_the_same_bits_whatever_stands_beside_it(beside):
    rng = np.random.default_rng(4)
    records = [
        {"logits": row.tolist(), "target": 0, "class_weights": rng.uniform(0, 2, 3).tolist()}
        for row in rng.normal(size=(40, 3))
    ]
    alone = run(stdin=lines_of(*records)).out.splitlines()
    others = [{"logits": [1.0, 2.0, 0.5], "target": 0, **beside} for _ in records]
    pairs = [record for pair in zip(records, others, strict=True) for record in pair]
    assert run(stdin=lines_of(*pairs)).out.splitlines()[::2] == alone


def test_a_sum_has_no_denominator_even_beside_a_mean():
    batch = {"logits": [[1, 2]], "target": [0], "label_smoothing": 0.1}
    total, mean = run(stdin=lines_of({**batch, "reduction": "sum"}, batch)).records
    assert "divisor" not in total
    assert mean["divisor"] == 1.0


def test_a_divergence_passes_its_own_verification_and_misses_the_entropy_if_it_is_left_out():
    record = {**SOFT, "kl_divergence": True}
    computed = run(stdin=lines_of(record))
    assert run("verify", stdin=computed.out).status == 0
    [result] = computed.records
    plain = softmax_cross_entropy(SOFT["logits"], SOFT["target"])
    entropy = -sum(t * math.log(t) for t in SOFT["target"])
    assert result["loss"] == pytest.approx(float(plain.loss) - entropy, rel=1e-14)
    assert result["grad_logits"] == plain.grad_logits.tolist()
    wrong = run("verify", stdin=lines_of({**record, "loss": float(plain.loss)}))
    assert wrong.status == 1


def test_padding_has_no_part_in_anything_whatever_its_logits():
    [plain] = run("2", "1", "0.1", "-t", "0", "--label-smoothing", "0.3", "--json").records
    words = ("-t", "0", "--label-smoothing", "0.3", "--num-classes", "3", "--json")
    [padded] = run("2", "1", "0.1", "50", "-9", *words).records
    for name in ("probs", "grad_probs", "grad_logits"):
        assert padded[name] == [*plain[name], 0.0, 0.0]
    assert padded["loss"] == plain["loss"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["-t", "0", "--num-classes", "4"], "--num-classes up to 3, the number of logits, got 4"),
        (["-t", "2", "--num-classes", "2"], "target 2 is that of a column of padding"),
        (["-t", "0.2,0.3,0.5", "--num-classes", "2"], "target[2], 0.5, is that of a column of"),
        (["-t", "0", "--num-classes", "1"], "--num-classes to be a whole number from 2 on, got 1"),
        (["-t", "0", "--denominator", "0"], "expected a finite denominator above 0, got 0"),
        (["-t", "0", "--denominator", "-3"], "expected a finite denominator above 0, got -3"),
        (["-t", "0", "--loss-scale", "0"], "expected a finite --loss-scale above 0, got 0"),
        (["-t", "0", "--denominator", "4", "--reduction", "sum"], "expected the reduction mean"),
        (["-t", "0", "--kl-divergence", "--class-weights", "1,2,3"], "without --class-weights"),
        (["-t", "0", "--softcap="], 'got the text ""'),
        (["-t", "0", "--num-classes="], 'got the text ""'),
        (["-t", "0", "--softcap", "0"], "expected a finite softcap above 0, got 0"),
        (["-t", "0", "--z-loss-scale", "-1"], "expected a finite --z-loss-scale from 0 on"),
        (["--reduction", "mean"], "--reduction needs --target"),
        (["--denominator", "8"], "--denominator needs --target"),
        (["--ignore-index", "1"], "--ignore-index needs --target"),
    ],
)
def test_an_impossible_option_says_what_was_expected(words, reason):
    ended = run("2", "1", "0.1", *words)
    assert ended.status == 2
    assert reason in ended.err


def test_a_denominator_is_that_of_the_mean_and_the_result_says_so_under_another_name():
    [mean] = run(stdin=lines_of({**BATCH, "denominator": 4390})).records
    [total] = run(stdin=lines_of({**BATCH, "reduction": "sum"})).records
    assert mean["divisor"] == 4390.0
    assert mean["loss"] == pytest.approx(total["loss"] / 4390, rel=1e-15)
    [again] = run(stdin=lines_of({**mean, "denominator": None})).records
    assert again["divisor"] == 2.0
