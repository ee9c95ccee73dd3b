"""The report of a probe: what was tried, and each mistake with the smallest input that shows it."""

from collections.abc import Callable, Iterator, Sequence

from softgrad.outputs.page.blocks import (
    Block,
    Column,
    Heading,
    Paragraph,
    Prose,
    Row,
    Table,
    Tone,
    Toned,
)
from softgrad.outputs.page.numbers import short
from softgrad_core.probing.events import Finding
from softgrad_core.probing.probe import Probe, shown

Shown = Callable[[Finding], Sequence[Block]]
"""The blocks that show the numbers of a finding; none if no number is wrong."""


def report_of(
    result: Probe, numbers_of: Shown, command_of: Callable[[Finding], str]
) -> Iterator[Block]:
    """Yield the blocks of a report.

    `command_of` is the command that verifies a finding again, if its numbers are few.
    """
    yield Heading(result.name, result.total())
    yield _table(result)
    for number, finding in enumerate(result.findings, 1):
        yield Heading(
            f"{number}. {finding.name}", f"found with {finding.trial}, in {finding.dtype}", level=2
        )
        if not any(finding.explanation in line for line in finding.details):
            yield Prose((finding.explanation,))
            yield Prose((f"To do: {finding.remedy}.",))
        blocks = numbers_of(finding)
        if blocks:
            yield from blocks
        else:
            yield Paragraph(
                ((f"input: {shown(finding.given)}",), *((line,) for line in finding.details))
            )
        if extra := _way(finding):
            yield Paragraph(((extra,),))
        if command := command_of(finding):
            yield Paragraph((("the same again:",), (command,)))


def _way(finding: Finding) -> str:
    """Return how the numbers were given, if that matters."""
    given = finding.given
    ways = [
        given.layout and f"layout in memory: {given.layout}",
        given.before and f"called before with {given.before}",
        "" if given.upstream is None else f"gradient from above: {given.upstream.tolist()}",
        *(f"{name}: {value:g}" for name, value in given.options.items()),
    ]
    return "; ".join(filter(None, ways))


def _table(result: Probe) -> Table:
    columns = [
        Column(("tried",), is_number=False),
        Column(("inputs",)),
        Column(("worst ulp",)),
        Column(("",), is_number=False),
    ]
    rows = []
    for name, count in result.tried.items():
        found = result.found_by.get(name, "")
        verdict = Toned(f"✗ {found}", Tone.FAIL) if found else Toned("✓", Tone.PASS)
        worst = "" if found else short(result.worst_ulp[name], 3)
        rows.append(Row([name, f"{count:,}", worst, verdict]))
    return Table(columns, rows, are_classes=False)
