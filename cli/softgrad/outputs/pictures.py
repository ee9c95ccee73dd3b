"""Pictures in files of their own, beside the text that links to them."""

from pathlib import Path

from softgrad.outputs.file import Output


class Pictures:
    """The pictures of a text that goes to a file: page-1.svg, page-2.svg beside page.md.

    They are written when the text has its place: links and pictures are of one run.
    """

    def __init__(self, beside: str) -> None:
        self._beside = Path(beside)
        self._texts: dict[str, bytes] = {}

    def add(self, picture: str) -> str:
        """Take a picture, and return the name of its file."""
        name = f"{self._beside.stem}-{len(self._texts) + 1}.svg"
        self._texts[name] = picture.encode()
        return name

    def write(self) -> None:
        """Write all of them."""
        for name, text in self._texts.items():
            with Output(str(self._beside.with_name(name))) as output:
                output.write(text)
                output.commit()
