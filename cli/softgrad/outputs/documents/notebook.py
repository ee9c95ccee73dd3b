"""Python's results, verdicts and derivations -> HTML in a notebook, with a style of its own."""

import re
from collections.abc import Iterable

from softgrad.outputs.documents.html import STYLE, Html
from softgrad.outputs.documents.moving import script
from softgrad.outputs.page.blocks import Block
from softgrad.outputs.page.notebook import (
    blocks_of_derivation,
    blocks_of_result,
    blocks_of_verification,
)
from softgrad_core.derivation.explain import Derivation
from softgrad_core.loss.results import SoftmaxCrossEntropy
from softgrad_core.verification.verify import Verification

SCOPE = ".softgrad.softgrad"
"""What all rules of the style begin with, so that they touch nothing else on the page.

Said twice, so that they stand above those that a notebook has for all tables.
"""

COLOURS = f"""
{SCOPE} {{
  --ink: currentColor; --paper: transparent; --faint: #7c7c86; --line: rgb(128 128 128 / .4);
  --target: #b5721d; --target-ground: rgb(240 170 60 / .15); --bar: #5b8ac6; --below: #d0655f;
  --pass: #2e9250; --fail: #d4463c; --tangent: #d08a1d; --push: #5b8ac6; --pull: #d0655f;
  color: inherit; background: none; font: inherit; margin: 0; padding: 0; max-width: 46rem;
}}
"""
"""Colours that can be read on light pages and on dark ones: a notebook has a theme of its own."""

_RULE = re.compile(r"^([^@{}\n][^{}\n]*)\{", re.MULTILINE)
_BLOCK = re.compile(r"^(?::root|@media|body|\*) ?[^{]*\{(?:[^{}]|\{[^{}]*\})*\}\n", re.MULTILINE)


def scoped(style: str) -> str:
    """Return the rules of a page for what is inside of one of its elements."""

    def within(match: re.Match[str]) -> str:
        selectors = (f"{SCOPE} {selector.strip()}" for selector in match[1].split(","))
        return f"{', '.join(selectors)} {{"

    return COLOURS + _RULE.sub(within, _BLOCK.sub("", style))


_STYLE_OF_CELL = scoped(STYLE)


def html_of_result(result: SoftmaxCrossEntropy) -> str:
    """Return the numbers of a result."""
    return _cell(blocks_of_result(result))


def html_of_verification(verification: Verification) -> str:
    """Return verdicts, with their maps of errors."""
    return _cell(blocks_of_verification(verification))


def html_of_derivation(derivation: Derivation) -> str:
    """Return the numbers of a row, which can be moved, and the steps of their derivation."""
    return _cell(blocks_of_derivation(derivation), f"<script>{script()}</script>\n")


def _cell(blocks: Iterable[Block], code: str = "") -> str:
    page = Html().page(blocks).decode() + code
    return f'<div class="softgrad">\n<style>{_STYLE_OF_CELL}</style>\n{page}</div>'
