"""All that is said on standard error: rejected records, failures, progress, the summary."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from softgrad.exits import Exit
from softgrad.messages import is_terminal, say
from softgrad.pipeline import Outcome
from softgrad.records import Records

if TYPE_CHECKING:
    from rich.progress import Progress

PROGRESS_AFTER_SECONDS = 1.0


class Report:
    """Tells what happens as it happens, counts it, and knows the exit status in the end."""

    def __init__(self, sources: Sequence[str], *, may_draw: bool) -> None:
        self.status = Exit.OK
        self._records = 0
        self._rejected = 0
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

    def add(self, records: Records, outcome: Outcome) -> None:
        """Count what became of these records, and say what is wrong with those rejected."""
        self._records += len(records)
        self._rejected += len(outcome.errors)
        self._failed += len(outcome.failed)
        self._undecided += len(outcome.undecided)
        messages = {index: error.reason for index, error in outcome.errors.items()}
        messages |= dict.fromkeys(outcome.failed, "the numerical check failed")
        for index, message in sorted(messages.items()):
            say(f"{records.place(index)}: {message}", "red")
        if outcome.failed:
            self._worsen(Exit.CHECK_FAILED)
        if outcome.errors:
            self._worsen(Exit.REJECTED)

    def failed(self, source: str, error: OSError) -> None:
        """Say that a source could not be read."""
        say(f"{source}: {error.strerror or error}", "red")
        self._worsen(Exit.IO_FAILED)

    def advance(self, size: int) -> None:
        """Count bytes that were read, and draw how far that is where it takes long."""
        self._bytes += size
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=self._bytes)
        elif self._may_draw and time.monotonic() - self._started > PROGRESS_AFTER_SECONDS:
            self._start_progress()

    def summarize(self) -> None:
        """Say how many records were rejected or failed, if any."""
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
