"""The code keeps the rules: format, lint, types, imports, and the length of files and functions."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("cli", "softgrad_core", "tests")

MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 60


@pytest.mark.parametrize(
    "tool", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]], ids=" ".join
)
def test_the_code_keeps_the_rules(tool):
    done = subprocess.run(
        [sys.executable, "-m", *tool], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_keep_to_the_layers():
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program if program.exists() else shutil.which("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def python_files():
    """Yield each Python file's name, for messages, and its text."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def test_files_are_short():
    lengths = {name: len(text.splitlines()) for name, text in python_files()}
    assert len(lengths) > 100
    too_long = {name: count for name, count in lengths.items() if count > MOST_LINES_OF_A_FILE}
    assert too_long == {}


def test_function_bodies_are_short():
    too_long = {}
    for name, text in python_files():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                has_docstring = ast.get_docstring(node) is not None
                first = node.body[min(has_docstring, len(node.body) - 1)]
                count = node.body[-1].end_lineno - first.lineno + 1
                if count > MOST_LINES_OF_A_FUNCTION:
                    too_long[f"{name}: {node.name}"] = count
    assert too_long == {}


def test_the_top_level_holds_what_the_design_says():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0 or not listed.stdout:
        pytest.skip("not a git checkout")
    top = {name.split("/")[0] for name in listed.stdout.splitlines()}
    assert {name for name in top if not name.startswith(".")} == {
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "cli",
        "hatch_build.py",
        "pyproject.toml",
        "softgrad_core",
        "tests",
    }
