"""The examples in README and guide: commands with their output, programs, and Python sessions.

`python tests/support/examples.py` runs all commands and writes what they print below them, for
whoever has changed an output on purpose and has looked at the difference.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))

from support.command import environment  # noqa: E402 - found once the path is set

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "cli/softgrad/guide").glob("*.md"))]

_PROGRAM = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SESSION = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sessions_of(text: str) -> list[str]:
    """Return the blocks of commands in a document."""
    return _SESSION.findall(text)


def commands_of(session: str) -> list[tuple[str, str]]:
    """Return the commands of a block, each with the output below it."""
    parts = re.split(r"^\$ (.*)\n", session, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def outputs_of(
    session: str, text: str, folder: Path, programs: str = str(Path(sys.executable).parent)
) -> list[str]:
    """Run the commands of a block in a folder with the programs of its document.

    `softgrad` and all other programs are looked for in the folders `programs` first.
    """
    for name, source in _PROGRAM.findall(text):
        (folder / name).write_text(source, encoding="utf-8")
    outputs = []
    for command, _ in commands_of(session):
        done = subprocess.run(
            ["bash", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment(PATH=f"{programs}{os.pathsep}{os.environ['PATH']}"),
            check=False,
        )
        outputs.append("".join(f"{s.rstrip()}\n" for s in done.stdout.decode().splitlines()))
    return outputs


def refreshed(text: str) -> str:
    """Return a document with the output that its commands have now."""

    def refresh(match: re.Match[str]) -> str:
        session = match[1]
        with tempfile.TemporaryDirectory() as folder:
            outputs = outputs_of(session, text, Path(folder))
        commands = [command for command, _ in commands_of(session)]
        lines = [f"$ {c}\n{output}" for c, output in zip(commands, outputs, strict=True)]
        return f"```console\n{''.join(lines)}```"

    return _SESSION.sub(refresh, text)


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(refreshed(document.read_text(encoding="utf-8")), encoding="utf-8")
