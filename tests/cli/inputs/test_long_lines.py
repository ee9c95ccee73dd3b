"""Lines without an end in sight: their records stream, damage costs no memory, arrival no bytes."""

import json
import subprocess

import pytest
from support.command import command, environment, peak_of, run

GOOD = '{"logits": [1, 2], "target": 0}'


def peaks_of(tmp_path, texts, status=0):
    """Return the peak memory for each text as the second line of a file."""
    peaks = []
    for text in texts:
        (tmp_path / "rows.jsonl").write_text(f"{GOOD}\n{text}\n{GOOD}\n")
        peaks.append(peak_of("rows.jsonl", "-j", "1", "-o", "r.jsonl", cwd=tmp_path, status=status))
    return peaks


def test_objects_on_a_later_line_are_a_stream(tmp_path):
    few, many = peaks_of(tmp_path, [f"{GOOD} " * count for count in (40_000, 200_000)])
    assert many < few + 20
    assert (tmp_path / "r.jsonl").read_bytes().count(b'"loss"') == 200_002


@pytest.mark.parametrize("beginning", ["?", "{'logits': ", f"{GOOD} oops"])
def test_damage_without_an_end_takes_no_memory(tmp_path, beginning):
    few, many = peaks_of(
        tmp_path, [beginning + "x" * size for size in (70_000_000, 200_000_000)], 3
    )
    assert many < few + 20
    lines = (tmp_path / "r.jsonl").read_text().splitlines()
    expected = ["loss", *(["loss"] if GOOD in beginning else []), "error", "loss"]
    assert [name in line for name, line in zip(expected, lines, strict=True)]


@pytest.mark.parametrize(
    ("line", "outcomes"),
    [
        (f"{GOOD} {GOOD}", "gg"),
        (f"{GOOD} oops {GOOD}", "gb"),
        (f"{GOOD} 5", "gb"),
        (f"5 {GOOD}", "b"),
        (f'{GOOD} {{"logits": [1, 2], "target": 0, "x": "\\u12', "gb"),
        (f'{GOOD} {{"x": nul', "gb"),
    ],
)
def test_a_long_line_gives_what_a_short_one_gives(line, outcomes):
    long = GOOD[:-1] + f', "x": "{"}{" * 600_000}"}}'
    for more, expected in ((line, outcomes), (f"{long} {line}", f"g{outcomes}")):
        records = run(stdin=f"{GOOD}\n{more}\n{GOOD}\n").records
        got = "".join("b" if "error" in record else "g" for record in records)
        assert got == f"g{expected}g"


def test_a_bad_byte_spoils_its_object_alone():
    bad = GOOD.encode()[:-1] + b', "id": "\xff"}'
    good = GOOD.encode()
    for more in (b"", b" " * 2_000_000):
        text = b"%b\n%b %b %b%b\n%b\n" % (good, good, bad, more, good, good)
        records = run(stdin=text).records
        assert ["error" in record for record in records] == [False, False, True, False, False]
        byte = f"byte {len(good) + 2 + bad.index(255)} of the line, 0xFF, is not UTF-8"
        assert records[2]["error"]["message"] == byte


def test_objects_that_arrive_one_by_one_on_one_line_come_out_one_by_one():
    with subprocess.Popen(
        command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        for number in range(4):
            process.stdin.write(GOOD.replace("{", f'{{"id": {number}, ').encode())
            process.stdin.flush()
            if number:
                # The first shows only with the second that its line has several.
                assert json.loads(process.stdout.readline())["id"] == number - (number == 1)
            if number == 1:
                assert json.loads(process.stdout.readline())["id"] == 1
        process.stdin.close()


@pytest.mark.parametrize(
    "pieces",
    [
        ("[{: 0}", ",\n", f"{GOOD}]"),
        ('[{"a": x "}', ' more"}', f", {GOOD}]"),
        ('{"note": "a}{b', f' c",\n "logits": [1, 2], "target": 0}}\n{GOOD}'),
        (f'{GOOD}{{"a": nul}}', f"{GOOD}"),
        (f'{{"a": 1 x}}{GOOD}', f"\n{GOOD}"),
        ("\n", "a,b,target\n1,2,0\n"),
        ("  \n1", ",2 x\n"),
    ],
)
def test_how_the_bytes_arrive_changes_nothing(pieces):
    whole = run(stdin="".join(pieces)).out
    with subprocess.Popen(
        command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        for piece in pieces:
            process.stdin.write(piece.encode())
            process.stdin.flush()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.7)
        out, _ = process.communicate()
    assert out == whole
