"""What is released: its version, its page of the manual, and the workflow that builds it."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml
from softgrad.commands.app import COMMANDS
from support.command import run
from support.manual import PAGE, page

ROOT = Path(__file__).parent.parent


def test_the_version_is_the_same_everywhere():
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)["project"]["version"]
    assert version("softgrad") == declared
    assert run("--version").text.startswith(f"softgrad {declared}, ")
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest[1] == declared


def test_the_page_of_the_manual_is_made_from_the_help():
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(), "run tests/support/manual.py"
    for name in ("", *COMMANDS):
        assert f".SH SOFTGRAD {name.upper()}".rstrip() + "\n" in written


def test_the_workflow_of_a_release_builds_for_all_systems_and_publishes_what_was_tested():
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    wheels, publish = workflow["jobs"]["wheels"], workflow["jobs"]["publish"]
    systems = wheels["strategy"]["matrix"]["system"]
    for kind in ("ubuntu-latest", "ubuntu-.*-arm", "macos-.*-intel", "macos-latest", "windows-.*"):
        assert any(re.fullmatch(kind, system) for system in systems), kind
    assert set(publish["needs"]) == {"wheels", "source"}
    assert publish["permissions"] == {"id-token": "write"}
    with (ROOT / "pyproject.toml").open("rb") as file:
        settings = tomllib.load(file)["tool"]["cibuildwheel"]
    assert "tests/support/wheel.py" in settings["test-command"]
