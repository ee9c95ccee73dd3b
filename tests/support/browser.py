"""Drive pages in a real browser, by Playwright, with the Chromium of the system."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.documents import CHROMIUM, CHROMIUM_OPTIONS


@contextmanager
def browser() -> Iterator[Any]:
    """Start the browser, for as many pages as a test wants."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        program = shutil.which(str(CHROMIUM))
        started = playwright.chromium.launch(executable_path=program, args=[*CHROMIUM_OPTIONS])
        yield started
        started.close()


def expect(locator: Any) -> Any:
    """Return what waits for something to become true of a place on a page."""
    from playwright.sync_api import expect

    return expect(locator)


def open_page(started: Any, file: Path, complaints: list[str], **options: Any) -> Any:
    """Open a page from a file.

    `complaints` gets what the browser complains of, such as a script that the policy blocks, and
    what it fetches besides the page.
    """
    page = started.new_context(**options).new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def take_down(request: Any) -> None:
        if request.url != file.as_uri():
            complaints.append(f"fetched {request.url}")

    page.on("request", take_down)
    page.goto(file.as_uri())
    return page


def move(page: Any, **numbers: float) -> None:
    """Type numbers into fields, by their labels, and wait for the frame that shows them."""
    for label, number in numbers.items():
        page.get_by_label(label.replace("_", " "), exact=True).fill(str(number))
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
