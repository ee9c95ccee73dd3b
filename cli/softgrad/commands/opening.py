"""`--open`: a page goes to a file, and the file to the browser."""

import tempfile
import webbrowser
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from softgrad.exits import Exit, UsageError
from softgrad.messages import say
from softgrad.outputs.file import STANDARD_OUTPUT
from softgrad.outputs.formats import Format


def opened(settings: Any, run: Callable[[Any], Exit]) -> Exit:
    """Run a command that writes a page, show the page in the browser, and return the exit status.

    The page goes to the file of `--output`, or to a temporary one. That stays: the browser reads it
    when the command has ended.
    """
    if settings.json or settings.format not in {None, Format.HTML}:
        raise UsageError("--open shows a page of HTML, and needs no other format")
    if settings.output_dir is not None:
        raise UsageError("--open and --output-dir contradict each other")
    output = settings.output
    if output in STANDARD_OUTPUT[1:]:
        raise UsageError("--open needs a file for the page, not standard output")
    if output is None:
        with tempfile.NamedTemporaryFile(prefix="softgrad-", suffix=".html", delete=False) as file:
            output = file.name
    page = replace(settings, open=False, format=Format.HTML, output=output)
    status = Exit.IO_FAILED
    try:
        status = run(page)
    finally:
        if status is Exit.IO_FAILED and settings.output is None:
            Path(output).unlink(missing_ok=True)
    if status is Exit.IO_FAILED:
        return status
    if not webbrowser.open(Path(output).resolve().as_uri()):
        say(f"softgrad: no browser was found; the page is {output}")
        return max(status, Exit.IO_FAILED)
    return status
