"""`softgrad probe` as a process: functions found by name, programs, reports, hangs and crashes."""

import json
import os
import signal
import subprocess
import sys

import pytest
from support.command import command, environment, run
from support.documents import measured, needs_chromium
from support.forked import Forked
from support.terminal import on_terminal, without_escapes

KERNELS = """
import ctypes
import time

import numpy as np


def right(a, y):
    d = a - a.max(axis=1, keepdims=True)
    rows, total = np.arange(len(y)), np.exp(d).sum(axis=1)
    g = np.exp(d) / total[:, None]
    g[rows, y] -= 1
    return np.log(total) - d[rows, y], g


def mean(a, y, reduction="none"):
    assert reduction == "mean"
    loss, g = right(a, y)
    n = max(1, len(y))
    return loss.sum() / n, g / n


def negated(a, y):
    print("a line that is no result")
    loss, g = right(a, y)
    return loss, -g


def hangs(a, y):
    if a.shape[1] == 2:
        time.sleep(1000)
    return right(a, y)


def crashes(a, y):
    if a.shape[1] == 2:
        ctypes.string_at(0)
    return right(a, y)


def killed(a, y):
    if (a > 5000).any():
        ctypes.string_at(0)
    loss, g = right(a, y)
    return loss, 2 * g


def stuck(a, y):
    if a.shape[1] == 31:
        print("stuck", flush=True)
        time.sleep(1000)
    loss, g = right(a, y)
    return loss, -g


def broken(a):
    return a


class Loss:
    pass


number = 3
"""

PROGRAM = """
import json
import math
import sys

for line in sys.stdin:
    record = json.loads(line)
    a = [float(number) for number in record["logits"]]
    top = max(a)
    e = [math.exp(number - top) for number in a]
    p = [number / sum(e) for number in e]
    y = record["target"]
    p[y] += FACTOR
    loss = math.log(sum(e)) - (a[y] - top)
    print(json.dumps({"loss": loss, "grad_logits": p}), flush=True)
"""

LARGE = "4097 classes,32000 classes,50257 classes,129920 classes"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "kernels.py").write_text(KERNELS)
    return tmp_path


def probed(folder, *arguments, seconds="0", skip=LARGE):
    skipping = ("--skip", skip) if skip else ()
    return run("probe", *arguments, "--seconds", seconds, *skipping, cwd=folder)


def test_a_right_function_passes_with_a_tick_for_each_trial(folder):
    ended = probed(folder, "kernels:right")
    assert ended.status == 0
    assert "kernels:right\n" in ended.text
    assert "no mistake found" in ended.text
    ticks = [line for line in ended.text.splitlines() if line.endswith("✓")]
    assert len(ticks) > 30
    assert ended.err.count("\n") == 1


def test_a_wrong_function_fails_with_its_mistake_the_numbers_and_a_command(folder):
    ended = probed(folder, "kernels:negated")
    assert ended.status == 1
    assert "1. wrong-sign" in ended.text
    assert "→ 0" in ended.text  # The target's class in the table of numbers.
    assert "no result" not in ended.text
    [line] = [line for line in ended.text.splitlines() if line.startswith("echo ")]
    assert line.endswith("| softgrad verify")
    record = line.removeprefix("echo '").partition("'")[0]
    again = run("verify", stdin=record)
    assert again.status == 1
    assert "wrong-sign" in again.err


def test_json_has_all_of_it(folder):
    ended = probed(folder, "kernels:negated", "--json")
    [report] = ended.records
    assert (report["function"], report["passed"]) == ("kernels:negated", False)
    [finding] = report["findings"]
    assert (finding["mistake"], finding["trial"]) == ("wrong-sign", "plain rows")
    assert finding["dtype"] == "float64"
    assert report["inputs"] == sum(trial["inputs"] for trial in report["trials"])
    text = "".join(json.dumps(record) for record in finding["records"])
    assert run("verify", stdin=text).status == 1


def test_the_report_is_a_page_in_other_formats(folder):
    ended = probed(folder, "kernels:negated", "-o", "report.html")
    assert (ended.status, ended.out) == (1, b"")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "wrong-sign" in page


@needs_chromium
def test_the_page_of_a_report_fits_a_phone(folder):
    page = probed(folder, "kernels:negated", "-f", "html").text
    [phone] = measured([(page, 360)], folder)
    assert phone["width"] <= 360


def test_options_of_the_loss_say_what_is_right_and_are_passed(folder):
    assert probed(folder, "kernels:mean", "--reduction", "mean").status == 0
    ended = probed(folder, "kernels:mean", "--reduction", "mean", "--temperature", "2")
    assert "temperature-ignored" in ended.text


def test_a_test_for_pytest_repeats_what_was_found(folder):
    probed(folder, "kernels:negated", "--write-test", "test_found.py")
    text = (folder / "test_found.py").read_text()
    assert "from kernels import negated" in text
    pytest_run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_found.py"]
    env = environment(PYTHONPATH=str(folder), PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    done = subprocess.run(
        pytest_run, cwd=folder, capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 1
    assert "wrong-sign" in done.stdout
    (folder / "kernels.py").write_text(KERNELS.replace("return loss, -g", "return loss, g"))
    done = subprocess.run(
        pytest_run, cwd=folder, capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stdout


def test_a_test_replaces_none_but_an_earlier_one(folder):
    for _ in range(2):
        assert probed(folder, "kernels:negated", "--write-test", "test_found.py").status == 1
    ended = probed(folder, "kernels:negated", "--write-test", "kernels.py")
    assert (ended.status, ended.out) == (2, b"")
    assert "refusing to overwrite kernels.py: --write-test has not written it" in ended.err
    assert (folder / "kernels.py").read_text() == KERNELS


@pytest.mark.parametrize(("name", "mistake"), [("hangs", "hangs"), ("crashes", "crashes")])
def test_a_call_that_does_not_come_back_is_a_finding_and_the_rest_is_tried(folder, name, mistake):
    ended = probed(folder, f"kernels:{name}", "--timeout", "1", "--json")
    assert ended.status == 1
    [report] = ended.records
    [finding] = report["findings"]
    assert (finding["mistake"], finding["trial"]) == (mistake, "two classes")
    assert finding["input"]["logits"]
    assert report["trials"][-1]["name"] == "1025 classes"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("kernels", "expected MODULE:FUNCTION, as in mykernel:loss, got 'kernels'; write"),
        ("kernel:right", "there is no module 'kernel': no kernel.py in "),
        ("kernels:rigth", "kernels has no 'rigth'; did you mean 'right'?"),
        ("kernels:number", "expected a function, kernels:number is int"),
        ("kernels.py:right", "expected MODULE:FUNCTION, got a file; write kernels:right"),
        ("kernels:Loss", "kernels:Loss is a class; name a function, or an instance"),
        ("kernels:broken", "kernels:broken cannot be called"),
    ],
)
def test_a_function_that_cannot_be_probed_is_wrong_usage(folder, name, said):
    ended = probed(folder, name)
    assert (ended.status, ended.out) == (2, b"")
    assert said in ended.err


def test_a_function_that_raises_shows_its_own_frames_alone(folder):
    (folder / "raising.py").write_text("def loss(a, y):\n    return a['x']\n")
    ended = probed(folder, "raising:loss")
    assert ended.status == 2
    assert 'raising.py", line 2, in loss' in ended.err
    assert "softgrad_core" not in ended.err
    (folder / "unloadable.py").write_text("import raising\nraising.nothing\n")
    ended = probed(folder, "unloadable:loss")
    assert ended.status == 2
    assert "has no attribute 'nothing'" in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "expected either MODULE:FUNCTION, as in mykernel:loss, or --command"),
        (("kernels:right", "--command", "x"), "expected either MODULE:FUNCTION"),
        (("kernels:right", "--shapes", "4,5"), "expected --shapes to be ROWSxCLASSES"),
        (("kernels:right", "--dtype", "int8"), "expected --dtype to be one of"),
        (("kernels:right", "-o", "x.npz"), "'softgrad probe' writes a report, not npz"),
        (("--command", "x", "--write-test", "t.py"), "need MODULE:FUNCTION"),
        (("--command", "./nothing"), "--command './nothing'"),
        (("kernels:right", "--framework", "tf"), "expected a framework out of numpy, torch, jax"),
    ],
)
def test_wrong_usage_says_what_was_expected(folder, arguments, said):
    ended = probed(folder, *arguments, skip="")
    assert (ended.status, ended.out) == (2, b"")
    assert said in ended.err


def test_names_to_skip_are_checked(folder):
    ended = probed(folder, "kernels:right", skip="one clas")
    assert ended.status == 2
    assert "did you mean 'one class'?" in ended.err


def test_a_program_is_probed_line_by_line(folder):
    program = folder / "program.py"
    asked = ("--command", f"{sys.executable} {program}", "--skip", f"one class,{LARGE}")
    program.write_text(PROGRAM.replace("FACTOR", "-1"))
    assert probed(folder, *asked, skip="").status == 0
    program.write_text(PROGRAM.replace("FACTOR", "1"))
    ended = probed(folder, *asked, skip="")
    assert ended.status == 1
    assert "1. target-added" in ended.text


def test_a_program_that_ends_or_answers_nonsense_is_wrong_usage(folder):
    for program, said in (
        ("exit(3)", "ended with status 3"),
        ("print(1)", "an object of claims"),
        ('print("{}")', "expected some of probs"),
    ):
        (folder / "program.py").write_text(f"import sys\nsys.stdin.readline()\n{program}\n")
        ended = probed(folder, "--command", f"{sys.executable} program.py", skip="")
        assert ended.status == 2
        assert said in ended.err


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("print('a line of a log', flush=True)", "expected one line of JSON, got b'a line of a l"),
        ("sys.exit(5)", "the program ended with status 5"),
        ("print('{}', flush=True); print('{}', flush=True)", "expected some of probs, "),
    ],
)
def test_after_a_fault_the_answers_of_a_program_are_in_step_again(folder, fault, said):
    faulty = PROGRAM.replace("FACTOR", "-1").replace(
        "    a = [", f"    if len(record['logits']) == 2:\n        {fault}\n    a = ["
    )
    (folder / "program.py").write_text(faulty)
    asked = ("--command", f"{sys.executable} program.py", "--skip", f"one class,{LARGE}", "--json")
    ended = probed(folder, *asked, skip="")
    [report] = ended.records
    [finding] = report["findings"]
    assert finding["trial"] == "two classes"
    assert said in finding["details"][0]
    assert {trial["name"] for trial in report["trials"] if trial["failed"]} == {"two classes"}


def test_the_timeout_is_that_of_each_record(folder):
    slow = PROGRAM.replace("FACTOR", "-1").replace(
        "    a = [",
        "    time.sleep(0.3 * (record['logits'][0] != round(record['logits'][0])))\n    a = [",
    )
    (folder / "program.py").write_text(f"import time\n{slow}")
    names = probed(folder, "kernels:right", "--json").records[0]["trials"]
    others = ",".join(trial["name"] for trial in names if trial["name"] != "plain rows")
    others += f",{LARGE}"
    asked = ("--command", f"{sys.executable} program.py", "--skip", others, "--timeout", "1")
    assert probed(folder, *asked, skip="").status == 0


@pytest.mark.parametrize("more", [(), ("--reduction", "mean")])
def test_softgrad_itself_is_a_right_program(folder, more):
    asked = ("--command", " ".join(command()), *more)
    ended = probed(folder, *asked, skip=f"one class,an empty batch,{LARGE}")
    assert ended.status == 0, ended.text + ended.err


def test_ctrl_c_shows_what_was_found_so_far(folder):
    with Forked("probe", "kernels:stuck", cwd=folder) as process:
        assert process.stderr.readline() == b"stuck\n"
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"wrong-sign" in out
    assert b"then interrupted" in err


def test_a_terminal_shows_progress_and_the_report_fits(folder):
    shown = without_escapes(
        on_terminal("probe", "kernels:right", "--seconds", "0", "--skip", LARGE, cwd=folder)
    )
    assert "plain rows" in shown
    assert "no mistake found" in shown


def test_what_kills_the_process_again_and_again_is_one_finding_and_the_rest_is_judged(folder):
    [report] = probed(folder, "kernels:killed", "--json").records
    assert [finding["mistake"] for finding in report["findings"]] == ["factor-2", "crashes"]
    found = {trial["name"]: trial["found"] for trial in report["trials"]}
    assert found["logits of 10000"] == found["a large common offset"] == "crashes"
    assert found["small logits"] == found["sure and wrong"] == "factor-2"
