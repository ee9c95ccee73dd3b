"""What is said on standard error: rejected records, failures, progress, the summary."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from softgrad.exits import Exit
from softgrad.messages import is_terminal, say
from softgrad.records.fields import CLAIMS
from softgrad.running.pipeline import Outcome

if TYPE_CHECKING:
    from rich.progress import Progress

    from softgrad_core.verification.summary import Summary
    from softgrad_core.verification.tolerances import Tolerance

PROGRESS_AFTER_SECONDS = 1.0


class Report:
    """Says what happens as it happens, counts it, and knows the exit status in the end.

    Parameters
    ----------
    sources
        The files that are read, whose sizes the progress bar needs.
    may_draw
        Whether there may be a progress bar.
    required
        The standard that claims are held to, in a run that verifies.

    Attributes
    ----------
    status, unread
        The worst status so far; how many sources could not be read.
    is_over
        Whether the run stops, because a record was rejected or failed.
    """

    def __init__(
        self, sources: Sequence[str], *, may_draw: bool, required: "Tolerance | None" = None
    ) -> None:
        self.status = Exit.OK
        self.unread = 0
        self.is_over = False
        self._records = 0
        self._rejected = 0
        self._summary = _summary_of(required)
        self._near_claims: dict[str, None] = {}
        self._failed = 0
        self._undecided = 0
        self._sources = sources
        self._progress: Progress | None = None
        self._may_draw = may_draw and is_terminal()
        self._started = time.monotonic()
        self._bytes = 0

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._progress is not None:
            self._progress.stop()

    def add(self, outcome: Outcome) -> None:
        """Count what became of a block, and say what is wrong with the records in it."""
        self._records += outcome.records
        self._rejected += outcome.rejected
        self._near_claims |= dict.fromkeys(outcome.near_claims)
        if self._summary is None or outcome.summary is None:
            self._failed += outcome.failed
            self._undecided += outcome.undecided
        else:
            self._summary.join(outcome.summary)
        for message in outcome.messages:
            say(message, "red")
        if self._failed:
            self._worsen(Exit.CHECK_FAILED)
        if self._rejected:
            self._worsen(Exit.REJECTED)
        self.is_over |= outcome.is_last
        if outcome.is_unread:
            self.unread += 1
            self._worsen(Exit.IO_FAILED)
        self._advance(outcome.size)

    def _advance(self, size: int) -> None:
        """Count bytes that are done, and show a progress bar once a run takes long."""
        self._bytes += size
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=self._bytes)
        elif self._may_draw and time.monotonic() - self._started > PROGRESS_AFTER_SECONDS:
            self._start_progress()

    def summarize(self) -> None:
        """Say the verdict on the claims, or how many records were rejected or failed."""
        if self._summary is not None:
            for name in self._near_claims:
                say(f'"{name}" is not verified; claims are called {", ".join(CLAIMS)}', "red")
            *lines, last = self._summary.lines()
            for line in lines:
                say(line)
            say(f"softgrad: {last}", "bold")
            if not self._summary.passed:
                self._worsen(Exit.CHECK_FAILED)
            return
        parts = [
            f"{count:,} {what}"
            for count, what in (
                (self._rejected, "rejected"),
                (self._failed, "failed the check"),
                (self._undecided, "could not be checked in full"),
            )
            if count
        ]
        if parts:
            noun = "record" if self._records == 1 else "records"
            say(f"softgrad: {self._records:,} {noun}: {', '.join(parts)}", "bold")

    def _worsen(self, status: Exit) -> None:
        self.status = max(self.status, status)

    def _start_progress(self) -> None:
        self._may_draw = False
        try:
            total = sum(Path(source).stat().st_size for source in self._sources)
        except OSError:
            return
        if self._bytes >= total:
            return
        from rich.console import Console
        from rich.progress import Progress

        self._progress = Progress(console=Console(stderr=True), transient=True)
        self._progress.add_task("softgrad", total=total, completed=self._bytes)
        self._progress.start()


def _summary_of(required: "Tolerance | None") -> "Summary | None":
    """Return what counts claims, in a run that verifies."""
    if required is None:
        return None
    from softgrad_core.verification.summary import Summary

    return Summary(required)
