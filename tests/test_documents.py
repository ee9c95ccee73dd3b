"""README and guide: their commands are run, and their output is what stands there."""

import doctest
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from support import forked
from support.examples import DOCUMENTS, commands_of, outputs_of, sessions_of

from softgrad_core.loss.kernels.direct import KERNELS

TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in DOCUMENTS}
README = TEXTS["README"]
LIBRARIES = {"torch": ["test_close.py", "test_exact.py"], "jax": ["test_jax.py"]}
"""What some programs of the documents need."""

# The last place or two of a number may differ where there is no compiled kernel.
NUMBER = re.compile(r"\d+\.\d{9,}(?:e-?\d+)?")


def libraries_of(session):
    """Return the libraries that the programs of a session need."""
    return [
        library
        for library, programs in LIBRARIES.items()
        if any(program in session for program in programs)
    ]


def sessions():
    """Yield the name of each document with each of its sessions.

    PyTorch, JAX and pytest start slowly, and the examples of probe try many inputs.
    """
    for name, text in TEXTS.items():
        for session in sessions_of(text):
            is_slow = "pytest" in session or name == "probe"
            marks = [pytest.mark.sweep] if is_slow else []
            first, _ = commands_of(session)[0]
            yield pytest.param(name, session, id=f"{name}: {first[:40]}", marks=marks)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Return the folders of `softgrad`, as a fork of the zygote, and of Python."""
    folder = tmp_path_factory.mktemp("programs")
    forked.script(folder)
    return f"{folder}{os.pathsep}{Path(sys.executable).parent}"


@pytest.mark.parametrize(("name", "session"), list(sessions()))
def test_every_command_gives_the_output_beside_it(name, session, tmp_path, programs):
    if "jq" in session and shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    for library in libraries_of(session):
        pytest.importorskip(library, reason=f"{library} is not installed")
    shown = "".join(outputs_of(session, TEXTS[name], tmp_path, programs))
    expected = "".join(output for _, output in commands_of(session))
    if KERNELS:
        assert shown == expected
        return
    assert NUMBER.sub("#", shown) == NUMBER.sub("#", expected)
    for got, wanted in zip(NUMBER.findall(shown), NUMBER.findall(expected), strict=True):
        assert float(got) == pytest.approx(float(wanted), rel=1e-14, abs=0)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_the_python_examples_give_what_stands_beside_them(path):
    failed, attempted = doctest.testfile(str(path), module_relative=False, encoding="utf-8")
    assert failed == 0
    assert (attempted > 0) == (">>>" in path.read_text(encoding="utf-8"))


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


def test_there_are_exactly_two_commands_to_set_up():
    setups = re.findall(r"^```sh\n(.*?)\n```$", README, re.MULTILINE | re.DOTALL)
    assert len(setups) == 2
    assert all("\n" not in setup for setup in setups)
    assert "softgrad 2.0 1.0 0.1" in setups[0]
    assert "pytest" in setups[1]


def test_the_readme_links_to_every_chapter():
    linked = re.findall(r"\]\(cli/softgrad/guide/(\w+)\.md\)", README)
    assert sorted(linked) == sorted(TEXTS.keys() - {"README"})
