"""What a run says on standard error: messages, progress and a summary."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from softgrad.exits import Exit, InputFailedError
from softgrad.messages import is_terminal, say
from softgrad.records.fields import CLAIMS
from softgrad.running.pipeline import Outcome

if TYPE_CHECKING:
    from rich.progress import Progress

    from softgrad_core.verification.summary import Summary
    from softgrad_core.verification.tolerances import Tolerance

PROGRESS_AFTER_SECONDS = 1.0


class Report:
    """Reports what happens, counts it, and keeps the exit status.

    Parameters
    ----------
    sources
        The files that are read; the progress bar needs their sizes.
    may_draw
        Whether there may be a progress bar.
    required
        The standard for claims, in a run that verifies.
    """

    def __init__(
        self, sources: Sequence[str], *, may_draw: bool, required: "Tolerance | None" = None
    ) -> None:
        self.status = Exit.OK
        self.unread = 0
        self.is_over = False
        self._counts: Counter[str] = Counter()
        self._records = 0
        self._near_claims: dict[str, None] = {}
        self._summary: Summary | None = None
        if required is not None:
            from softgrad_core.verification import summary

            self._summary = summary.Summary(required)
        self._sources = sources
        self._progress: Progress | None = None
        self._may_draw = may_draw and is_terminal()
        self._started = time.monotonic()
        self._bytes = 0

    def close(self) -> None:
        """Remove the progress bar."""
        if self._progress is not None:
            self._progress.stop()

    def add(self, outcome: Outcome) -> None:
        """Count what became of a block, and report its messages."""
        for message in outcome.messages:
            say(message, "red")
        self._records += outcome.records
        self._near_claims |= dict.fromkeys(outcome.near_claims)
        self._counts["rejected"] += outcome.rejected
        self._counts["failed the check"] += outcome.failed
        self._counts["could not be checked in full"] += outcome.undecided
        if self._summary is not None and outcome.summary is not None:
            self._summary.join(outcome.summary)
        elif outcome.failed:
            self._worsen(Exit.CHECK_FAILED)
        if outcome.rejected:
            self._worsen(Exit.REJECTED)
        self.is_over |= outcome.is_last
        if outcome.is_unread:
            self.unread += 1
            self._worsen(Exit.IO_FAILED)
        self._advance(outcome.size)

    def add_unread(self, error: InputFailedError) -> None:
        """Report an input that could not be used, or not to its end."""
        say(f"softgrad: {error}", "red")
        self.unread += 1
        self._worsen(error.status)

    def summarize(self) -> None:
        """Report the verdict on the claims, or how many records were rejected or failed."""
        if self._summary is not None:
            for name in self._near_claims:
                say(f'"{name}" is not verified; claims are called {", ".join(CLAIMS)}', "red")
            *lines, last = self._summary.lines()
            # The table of numbers that were given as arguments says the rest.
            for line in lines if self._sources else ():
                say(line)
            say(f"softgrad: {last}", "bold")
            if not self._summary.passed:
                self._worsen(Exit.CHECK_FAILED)
            return
        parts = [f"{count:,} {what}" for what, count in self._counts.items() if count]
        if parts:
            noun = "record" if self._records == 1 else "records"
            say(f"softgrad: {self._records:,} {noun}: {', '.join(parts)}", "bold")

    def _worsen(self, status: Exit) -> None:
        self.status = max(self.status, status)

    def _advance(self, size: int) -> None:
        """Count the bytes that are done, and draw a progress bar once a run takes long."""
        self._bytes += size
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=self._bytes)
        elif self._may_draw and time.monotonic() - self._started > PROGRESS_AFTER_SECONDS:
            self._start_progress()

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
