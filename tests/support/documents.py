"""Show documents in a headless browser, and typeset them with TeX."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.command import TIMEOUT_SECONDS

CHROMIUM = next(filter(shutil.which, ("chromium", "chromium-browser", "google-chrome")), None)
CHROMIUM_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is missing")

_MEASURE = """
const box = element => element.getBoundingClientRect();
document.body.textContent = JSON.stringify([...document.querySelectorAll('iframe')].map(frame => {
  const page = frame.contentDocument;
  const all = selector => [...page.querySelectorAll(selector)];
  return {
    width: page.documentElement.scrollWidth,
    background: getComputedStyle(page.body).backgroundColor,
    fractions: all('mfrac').map(element => box(element).height),
    overflowing: all('.equation').filter(element => element.scrollWidth > element.clientWidth + 1)
      .map(element => element.textContent.slice(0, 80)),
    tables: all('.scroll').map(element => element.scrollWidth - element.clientWidth),
    bars: all('svg.bar rect').map(element => box(element).width),
    headings: all('h1, h2, h3, h4').map(element => element.textContent),
  };
}));
"""


def chromium(*arguments: str, folder: Path) -> str:
    """Run the browser and return what it prints."""
    done = subprocess.run(
        [str(CHROMIUM), *CHROMIUM_OPTIONS, f"--user-data-dir={folder / 'profile'}", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return done.stdout


def measured(pages: list[tuple[str, int]], folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """Show each page in a frame of its width in pixels, and return what the browser measures."""
    source = folder / "frames.html"
    frames = "".join(
        f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{html.escape(page)}">'
        "</iframe>"
        for page, width in pages
    )
    source.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><body>{frames}'
        f"<script>onload = () => {{ {_MEASURE} }}</script>",
        encoding="utf-8",
    )
    dom = chromium(*arguments, "--dump-dom", source.as_uri(), folder=folder)
    [text] = re.findall(r"<body[^>]*>(\[.*\])", dom, re.DOTALL)
    measures: list[dict[str, Any]] = json.loads(html.unescape(text))
    return measures


def typeset(source: str, folder: Path, engine: str = "pdflatex") -> str:
    """Typeset a document and return TeX's log. An error fails the test."""
    (folder / "page.tex").write_text(source, encoding="utf-8")
    done = subprocess.run(
        [engine, "-halt-on-error", "-interaction=nonstopmode", "page.tex"],
        cwd=folder,
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    log = (folder / "page.log").read_text(encoding="utf-8", errors="replace")
    assert done.returncode == 0, log[-2000:]
    return log
