"""Pages of `softgrad explain` whose numbers can be moved, in a real browser."""

import pytest
from support.browser import browser, open_page
from support.command import run


@pytest.fixture(scope="module")
def started():
    with browser() as one:
        yield one


@pytest.fixture
def opened(started, tmp_path):
    """Open a page of `softgrad explain`; afterwards nothing was fetched, blocked or thrown."""
    complaints, pages = [], []

    def open_one(*arguments, html=None, **options):
        file = tmp_path / f"page{len(pages)}.html"
        text = html or run("explain", *arguments, "-f", "html").text
        file.write_text(text, encoding="utf-8")
        pages.append(open_page(started, file, complaints, **options))
        return pages[-1]

    yield open_one
    for page in pages:
        page.context.close()
    assert complaints == []
