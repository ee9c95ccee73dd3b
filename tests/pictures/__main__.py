"""Draws the pictures of the README anew: `.venv/bin/python tests/pictures`. Needs Chromium."""

import html
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

LOGITS = ["2.0", "1.0", "0.1", "--target", "0", "--classes", "cat,dog,bird"]
WIDTH, HEIGHT = 800, 1400

PANEL = """<iframe style="width:{width}px;height:{height}px;border:0" srcdoc="{page}"></iframe>"""
FRAME = """<!DOCTYPE html>
<body style="margin:0;display:flex;gap:0;background:#fdfdfc">{panels}
<script>
onload = () => {{
  const right = document.querySelectorAll('iframe')[1].contentDocument;
  [...right.querySelectorAll('h3')][2].scrollIntoView();
}};
</script>
"""


def main() -> None:
    """Draw the page of the README's example: its beginning, and where the second gradient is."""
    from support.command import run
    from support.documents import chromium

    page = run("explain", *LOGITS, "-f", "html").text
    panel = PANEL.format(width=WIDTH, height=HEIGHT, page=html.escape(page))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frame = folder / "frame.html"
        frame.write_text(FRAME.format(panels=2 * panel), encoding="utf-8")
        chromium(
            "--hide-scrollbars",
            "--blink-settings=preferredColorScheme=1",
            f"--window-size={2 * WIDTH},{HEIGHT}",
            f"--screenshot={FOLDER / 'explain.png'}",
            frame.as_uri(),
            folder=folder,
        )


main()
