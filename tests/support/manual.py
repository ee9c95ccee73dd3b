"""The page of the manual for `man softgrad`, made from the help of all commands.

`python tests/support/manual.py` writes it to cli/softgrad/softgrad.1, from where it goes into the
wheel.
"""

import os
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent.parent / "cli/softgrad/softgrad.1"


def page() -> str:
    """Return the page in the language of man."""
    import typer
    from softgrad.commands import app
    from softgrad.exits import Exit

    lines = [f'.TH SOFTGRAD 1 "" "softgrad {version("softgrad")}"', ".SH NAME"]
    lines += [
        "softgrad \\- softmax, cross-entropy and its gradients, computed, checked and derived"
    ]
    for name in ("", *app.COMMANDS):
        called = f"softgrad {name}".strip()
        command = typer.main.get_command(app._app_of(app._module_of(name), name))
        lines += [f".SH {called.upper()}", f".B {called}", *_synopsis(command)]
        lines += [".PP", *_paragraphs(command.help or "")]
        for option in command.params:
            lines += _option(option)
        lines += [".PP", "Examples:", ".PP", ".nf", *_verbatim(command.epilog or ""), ".fi"]
    lines += [".SH EXIT STATUS"]
    for status in Exit:
        lines += [".TP", str(int(status)), status.name.lower().replace("_", " ")]
    return "\n".join([*lines, ".SH SEE ALSO", ".B softgrad guide", ""])


def _synopsis(command: Any) -> list[str]:
    arguments = [p.metavar for p in command.params if p.param_type_name == "argument"]
    return [_escaped(" ".join(["[OPTIONS]", *filter(None, arguments)]))]


def _paragraphs(text: str) -> list[str]:
    """Return paragraphs of a help; those after a backspace keep their lines."""
    lines: list[str] = []
    for paragraph in _plain(text).split("\n\n"):
        if "\b" in paragraph:
            lines += [".PP", ".nf", *map(_escaped, paragraph.strip("\b\n").splitlines()), ".fi"]
        else:
            lines += [".PP", _escaped(paragraph.strip())]
    return lines


def _option(option: Any) -> list[str]:
    if option.param_type_name != "option" or option.hidden or not option.help:
        return []
    value = f" \\fI{_escaped(option.metavar)}\\fR" if option.metavar else ""
    names = ", ".join(f"\\fB{_escaped(name)}\\fR" for name in option.opts)
    return [".TP", names + value, _escaped(option.help)]


def _verbatim(text: str) -> list[str]:
    return [_escaped(line.strip()) for line in _plain(text).splitlines()[1:]]


def _plain(text: str) -> str:
    return re.sub(r"\[/?bold\]", "", text)


def _escaped(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in {".", "'"} else escaped


if __name__ == "__main__":
    os.environ["COLUMNS"] = "80"
    sys.path.insert(0, str(PAGE.parent.parent))
    PAGE.write_text(page(), encoding="utf-8")
