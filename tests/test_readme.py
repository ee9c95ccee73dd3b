"""The README's commands are run, and their output is what stands there."""

import doctest
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from softgrad.commands.app import app
from support.command import environment

from softgrad_core.loss.kernels.direct import KERNELS

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
# The last place or two of a number may differ where there is no compiled kernel.
NUMBER = re.compile(r"\d+\.\d{9,}(?:e-?\d+)?")
PROGRAMS = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
SESSIONS = re.findall(r"^```console\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def commands_of(session: str) -> list[tuple[str, str]]:
    """Return the commands of a session, each with the output that follows it."""
    parts = re.split(r"^\$ (.*)\n", session, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: commands_of(session)[0][0][:40])
def test_every_command_gives_the_output_beside_it(session, tmp_path):
    if "jq" in session and shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    for name, source in PROGRAMS:
        (tmp_path / name).write_text(source, encoding="utf-8")
    programs = str(Path(sys.executable).parent)
    for command, expected in commands_of(session):
        done = subprocess.run(
            ["bash", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            env=environment(PATH=f"{programs}{os.pathsep}{os.environ['PATH']}"),
            check=False,
        )
        shown = "".join(f"{line.rstrip()}\n" for line in done.stdout.decode().splitlines())
        if KERNELS:
            assert shown == expected
            continue
        assert NUMBER.sub("#", shown) == NUMBER.sub("#", expected)
        for got, wanted in zip(NUMBER.findall(shown), NUMBER.findall(expected), strict=True):
            assert float(got) == pytest.approx(float(wanted), rel=1e-14, abs=0)


def test_the_python_examples_give_what_stands_beside_them():
    failed, attempted = doctest.testfile(str(README), module_relative=False, encoding="utf-8")
    assert attempted > 0
    assert failed == 0


def test_every_option_stands_in_the_help_of_the_readme_with_an_explanation():
    [help_text] = [session for session in SESSIONS if session.startswith("$ softgrad --help")]
    parameters = typer.main.get_command(app).params
    assert len(parameters) > 10
    for parameter in parameters:
        assert parameter.help, f"{parameter.name} has no explanation"
        if parameter.param_type_name == "option":
            assert set(parameter.opts) <= set(re.findall(r"--?[a-z-]+", help_text))


def test_there_are_exactly_two_commands_to_set_up():
    setups = re.findall(r"^```sh\n(.*?)\n```$", TEXT, re.MULTILINE | re.DOTALL)
    assert len(setups) == 2
    assert all("\n" not in setup for setup in setups)
    assert "softgrad 2.0 1.0 0.1" in setups[0]
    assert "pytest" in setups[1]
