"""Whatever is read, it is understood or refused: no input ends the command as a bug."""

import io
import json
import struct
from functools import partial

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from softgrad.exits import StoppedError
from softgrad.inputs.arrays.source import ArrayOptions, open_arrays
from softgrad.inputs.records.interpretation import interpret
from softgrad.inputs.sources import read_stream
from softgrad.outputs.formats import Format, InOrder, renderer_for
from softgrad.outputs.json.lines import JsonLines
from softgrad.records.fields import RESULTS
from softgrad.records.records import Defaults
from softgrad.running.pipeline import Pipeline
from softgrad.work import compute
from support.command import run

from softgrad_core.loss.results import FIELDS

PIPELINE = Pipeline(
    partial(interpret, defaults=Defaults(), with_claims=False),
    partial(compute, FIELDS),
    InOrder(JsonLines(Defaults()), only_failures=False),
)

LOGITS, LABELS = np.arange(12.0).reshape(4, 3), np.array([0, 1, 2, 0])
OPTIONS = ArrayOptions(0, {}, None, with_claims=False, names={}, axis=-1)


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(save):
    file = io.BytesIO()
    save(file, logits=LOGITS, target=LABELS)
    return file.getvalue()


def safetensors(header=None):
    whole = {"logits": {"dtype": "F64", "shape": [4, 3], "data_offsets": [0, 96]}}
    text = json.dumps(header or whole).encode()
    return struct.pack("<Q", len(text)) + text + LOGITS.tobytes()


def saved_by_torch(*, is_zip):
    """Return the bytes of a file of tensors; none without PyTorch."""
    try:
        import torch
    except ImportError:
        return b""
    file, tensors = io.BytesIO(), {"logits": LOGITS, "target": LABELS}
    tensors = {name: torch.as_tensor(array) for name, array in tensors.items()}
    torch.save(tensors, file, _use_new_zipfile_serialization=is_zip)
    return file.getvalue()


SOURCES = {
    ".npy": [npy(LOGITS), npy(np.asfortranarray(LOGITS)), npy(LOGITS.astype(">f4"))],
    ".npz": [npz(np.savez), npz(np.savez_compressed)],
    ".safetensors": [safetensors()],
    ".pt": [saved_by_torch(is_zip=True), saved_by_torch(is_zip=False)],
}


def damaged(data, changes, end):
    """Return bytes with some of them changed, and cut."""
    changed = bytearray(data)
    for place, value in changes:
        changed[place % len(data)] = value
    return bytes(changed[: len(data) - end % len(data)])


@pytest.mark.sweep
@pytest.mark.parametrize("suffix", SOURCES)
@given(
    which=st.integers(0, 2),
    # The first bytes are those of headers, where most can go wrong.
    changes=st.lists(
        st.tuples(st.integers(0, 130) | st.integers(0, 2_000), st.integers(0, 255)), max_size=5
    ),
    end=st.just(0) | st.integers(0, 2_000),
)
def test_any_damage_to_a_file_of_arrays_is_refused_or_does_no_harm(
    tmp_path_factory, suffix, which, changes, end
):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    if suffix == ".pt":
        pytest.importorskip("torch")
    sources = SOURCES[suffix]
    path = tmp_path_factory.getbasetemp() / f"fuzzed{suffix}"
    path.write_bytes(damaged(sources[which % len(sources)], changes, end))
    try:
        source = open_arrays(str(path), OPTIONS)
        reader = source.reader()
        for block in source.blocks(5):
            for examples in reader(block).examples:
                compute(["loss", "grad_logits"], examples)
        source.check()
    except StoppedError:
        pass


SUITE = {
    # What RFC 8259 allows must be read, what it forbids must be refused; `?` may be either.
    "yes": [
        "[]", "{}", "0", "-0", "1e5", "1E+2", "1e-2", "1.5", '""', '"\\u0060"', '"\\uD834\\uDD1E"',
        '"\\\\\\/\\b\\f\\n\\r\\t"', "true", "null", "[[[]]]", '{"a":{"a":[]}}', '{"a":1,"a":2}',
        '"\u2028"', '"\x7f"', '{"":0}', " [1 ] ", "[1,\t2]",
    ],
    "no": [
        "[1,]", "[,1]", "[1 2]", "{,}", '{"a" 1}', '{"a":}', "{a:1}", "{'a':1}", '{"a":1,}', "[",
        "{", '"', '"\\x00"', '"\\u12"', '"\\uD83', "01", "-", "+1", ".5", "1.", "1e", "0x1", "1_0",
        "nul", "True", "[1]]", "/**/1", '"\x01"', '"a\tb"', "\ufeff[1", "-Infinit", "1 000",
        "\uff12",
    ],
    "either": ["NaN", "Infinity", "-Infinity", '"\\uD800"', "1e999", "9" * 500, "[" * 3000],
}  # fmt: skip


@pytest.mark.parametrize("kind", SUITE)
@pytest.mark.parametrize("wrap", ["{}", '{{"logits":[1,2],"target":0,"x":{}}}', "[{}]"])
def test_what_is_json_is_read_and_what_is_not_is_refused(kind, wrap):
    for value in SUITE[kind]:
        data = wrap.format(value).encode()
        outcomes = [PIPELINE.process(block) for block in read_stream(reader_of(data), "-")]
        for line in b"".join(outcome.results for outcome in outcomes).splitlines():
            json.loads(line, parse_constant=pytest.fail)
        if wrap.startswith("{{") and kind != "either":
            rejected = any(outcome.rejected for outcome in outcomes)
            assert rejected == (kind == "no"), data


def reader_of(data):
    return io.BufferedReader(io.BytesIO(data))


NUMBERS = st.sampled_from(
    ["2", "-1", ".5", "1e400", "-inf", "nan", "20%", "1/3", "1/0", "1,2", "[1"]
)
OPTION_NAMES = [
    "-t", "--target", "--classes", "--map", "--axis", "--format", "-f", "-o", "--output-dir", "-j",
    "--check", "--tolerance", "--fields", "--dtype", "--json", "--fail-fast", "--only-failures",
    "--temperature", "--softcap", "--class-weights", "--label-smoothing", "--reduction", "--probs",
    "--loss", "--grad-logits", "--ulp", "--rtol", "--arithmetic", "--row", "--other", "--debug",
    "--version", "--help", "--standalone", "--worker-timeout", "--num-classes", "--denominator",
]  # fmt: skip
WORDS = st.one_of(
    NUMBERS,
    st.sampled_from(OPTION_NAMES),
    st.sampled_from(["explain", "verify", "guide", "0", "cat,dog", "table", "html", "-", "x.npy"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
)


@pytest.mark.sweep
@given(words=st.lists(WORDS, max_size=7))
def test_any_arguments_are_understood_or_refused(tmp_path_factory, words):
    folder = tmp_path_factory.getbasetemp() / "arguments"
    folder.mkdir(exist_ok=True)
    ended = run(*words, stdin='{"logits": [1, 2], "target": 0}', cwd=folder)
    assert ended.status in {0, 1, 2, 3, 74}, (words, ended.err)
    assert bool(ended.err) >= bool(ended.status), words


FORMATS = ["table", "jsonl", "markdown", "latex", "html"]


@pytest.mark.sweep
@pytest.mark.parametrize("form", FORMATS)
@given(
    names=st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=4, unique_by=str.strip)
)
@example(names=["\x1b[31mred", "</td><script>", "$\\input{x}$ & %"])
def test_any_names_of_classes_are_shown_and_do_nothing(form, names):
    record = {"logits": list(range(len(names))), "target": 0, "classes": names}
    data = json.dumps(record).encode()
    defaults = Defaults()
    renderer = renderer_for(Format(form), defaults, None, RESULTS, standalone=True)
    pipeline = PIPELINE._replace(render=InOrder(renderer, only_failures=False))
    [outcome] = [pipeline.process(block) for block in read_stream(reader_of(data + b"\n"), "-")]
    text = (renderer.opening + outcome.results + renderer.closing).decode()
    assert not set(text) & {chr(code) for code in [*range(9), *range(11, 32), 127]}
    if form == "html":
        assert (
            "<script" not in text.replace("<script>", "", 0)
            or "<script" in renderer.opening.decode()
        )
