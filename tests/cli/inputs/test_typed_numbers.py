"""What people type and paste as numbers: read as it is meant, or refused with both readings."""

import pytest
from support.command import run

PLAIN = run("2", "1", "0.1", "-t", "0", "--json").records[0]["probs"]


@pytest.mark.parametrize(
    "logits",
    [
        "(2, 1, 0.1)",
        "[[2, 1, 0.1]]",
        "array([2. , 1. , 0.1])",
        "np.array([2., 1., 0.1])",
        "tensor([2.0000, 1.0000, 0.1000])",
        "tensor([2.0000, 1.0000, 0.1000], device='cuda:0')",
        "tensor([2., 1., 0.1], device='cuda:0', dtype=torch.float64)",
        "tensor([[2., 1., 0.1]], grad_fn=<AddBackward0>)",
        "2;1;0.1",
        "2\t1\t0.1",
        "200% 1 1/10",
    ],
)
def test_lists_are_read_as_they_are_shown(logits):
    ended = run(logits, "-t", "0", "--json")
    assert ended.status == 0, ended.err
    assert ended.records[0]["probs"] == PLAIN


@pytest.mark.parametrize("target", ["1/3,1/3,1/3", "1/3 1/3 1/3", "[1/3, 1/3, 1/3]"])
def test_a_uniform_target_can_be_typed(target):
    ended = run("2", "1", "0.1", "-t", target, "--json")
    assert ended.records[0]["target"] == [1 / 3] * 3


def test_shares_can_be_typed_in_percent():
    ended = run("2", "1", "0.1", "-t", "20%,30%,50%", "--json")
    assert ended.records[0]["target"] == [0.2, 0.3, 0.5]
    claim = run("verify", "2", "1", "0.1", "-t", "0", "--probs", "65.9%,24.2%,9.86%")
    assert claim.status == 0, claim.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("2,0", "1,0", "0,1"), "'2,0' may be 2.0, or two logits 2 and 0"),
        (("1,000", "2"), "'1,000' may be 1.000, or two logits 1 and 000"),
        (("2 1 0\n3 4",), "lines of 2 to 3 numbers may be one row, or several"),
        (("1/0", "2"), "1/0 divides by 0"),
    ],
)
def test_what_has_two_readings_is_refused(words, message):
    ended = run(*words, "-t", "0")
    assert ended.status == 2
    assert message in ended.err


def test_two_numbers_with_a_comma_are_two_logits():
    assert run("2,1", "-t", "0", "--json").records[0]["logits"] == [2, 1]


def test_a_target_of_several_words_is_refused():
    ended = run("2", "1", "0.1", "-t", "1", "0", "0")
    assert ended.status == 2
    assert "expected one argument after -t, got 1 0 0" in ended.err
    assert "-t 1,0,0" in ended.err


def test_probabilities_as_logits_are_computed_with_a_note():
    ended = run("0.7", "0.2", "0.1", "-t", "0", "--json")
    assert ended.status == 0
    assert "these look like probabilities, and are taken for logits" in ended.err
    assert "look like" not in run("0.7", "0.2", "0.2", "-t", "0").err


@pytest.mark.parametrize("words", [("help",), ("-help",), ("help", "verify")])
def test_help_can_be_asked_for_as_elsewhere(words):
    ended = run(*words)
    assert ended.status == 0
    assert "Usage: softgrad" in ended.text


def test_pasted_rows_are_tables_of_their_own():
    ended = run("2 1 0.1\n\n0\t1\t2\n", "-t", "0", "--json")
    assert ended.status == 0, ended.err
    assert [record["logits"] for record in ended.records] == [[2, 1, 0.1], [0, 1, 2]]
    text = run("2 1 0.1\n0 1 2", "-t", "0").text
    assert text.count("3 classes, target 0") == 2
    [column] = run("2\n1\n0.1\n", "-t", "0", "--json").records
    assert column["logits"] == [2, 1, 0.1]


def test_pasted_rows_need_a_target_and_have_no_claims():
    ended = run("2 1\n0 1")
    assert (ended.status, "a table of 2 rows needs --target" in ended.err) == (2, True)
    ended = run("verify", "2 1\n0 1", "-t", "0", "--loss", "1")
    assert (ended.status, "one row of logits beside claims" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("word", "readings"),
    [
        ("2,0;1,0;0,1", "'2,0' may be 2.0, or two logits 2 and 0"),
        ("2,0 1,0 0,1", "'2,0' may be 2.0, or two logits 2 and 0"),
        ("2;1;0,1", "'0,1' may be 0.1, or two logits 0 and 1"),
        ("1,234.5 2.0", "'1,234.5' may be 1234.5, or two logits 1 and 234.5"),
    ],
)
def test_decimal_commas_in_one_argument_are_refused_with_both_readings(word, readings):
    ended = run(word, "-t", "0")
    assert (ended.status, readings in ended.err) == (2, True), ended.err


@pytest.mark.parametrize(
    "word", ["[2 1 0.1; 1 2 3]", "[[2,1,0.1],[1,2,3]]", "[[2 1 0.1]\n [1 2 3]]"]
)
def test_matrices_are_rows(word):
    ended = run(word, "-t", "0", "--json")
    assert [record["logits"] for record in ended.records] == [[2.0, 1.0, 0.1], [1.0, 2.0, 3.0]]


@pytest.mark.parametrize("word", ["log(3)", "exp(3)", "np.log(3)", "ln 3", "sqrt(2) 1"])
def test_functions_are_refused_and_not_dropped(word):
    for words in ([word, "1", "2"], [word]):
        ended = run(*words, "-t", "0")
        assert ended.status == 2, ended.err
    claim = run("verify", "1", "1", "1", "-t", "0", "--loss", word)
    assert claim.status == 2, claim.err


@pytest.mark.parametrize(
    "word",
    [
        "[np.float64(2.0), np.float64(1.0), np.float64(0.1)]",
        "tf.Tensor([2. 1. 0.1], shape=(3,), dtype=float32)",
        "c(2, 1, 0.1)",
    ],
)
def test_what_other_libraries_show_is_read(word):
    [record] = run(word, "-t", "0", "--json").records
    assert record["logits"] == [2.0, 1.0, 0.1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("2", "1", "-target", "0"), "there is no -target; did you mean --target?"),
        (("check", "x.jsonl"), "there is no command 'check'; the numerical check is an option"),
        (("derive", "2", "1"), "the derivation is softgrad explain ..."),
        (("2", "1", "-t", "0", "--temperature", "0,5"), "got '0,5'; write 0.5"),
        (("2", "1", "-t", "0", "--classes", "cat", "dog"), "one argument, as in --classes cat,dog"),
        (("2", "1", "-t", "0", "--classes", "cat dog"), "got 1; write cat,dog"),
    ],
)
def test_a_slip_is_answered_with_what_to_type(words, message):
    ended = run(*words)
    assert (ended.status, message in ended.err) == (2, True), ended.err


def test_help_leads_to_chapters_and_commands_and_version_to_the_version():
    assert "# The whole loss" in run("help", "loss").text
    assert "Usage: softgrad explain" in run("explain", "help").text
    assert run("version").text == run("--version").text


def test_names_may_be_a_list_of_python():
    [record] = run("2", "1", "-t", "dog", "--classes", "['cat', 'dog']", "--json").records
    assert record["classes"] == ["cat", "dog"]
