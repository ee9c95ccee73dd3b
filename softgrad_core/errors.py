"""The one error that bad input raises: what is wrong with it, in the user's words."""


class InputError(ValueError):
    """An input that has no softmax, loss or gradient, and why.

    Parameters
    ----------
    code
        A stable name for programs, such as ``target-out-of-range``.
    reason
        What was expected, what was got and, where it can be told, what probably happened.
    row
        The row of an (N, C) block at fault; None where there is one row only.

    Examples
    --------
    >>> error = InputError("target-out-of-range", "target 3 is outside 0..2", row=7)
    >>> str(error)
    'row 7: target 3 is outside 0..2'
    >>> error.code
    'target-out-of-range'
    """

    def __init__(self, code: str, reason: str, row: int | None = None) -> None:
        super().__init__(reason if row is None else f"row {row}: {reason}")
        self.code = code
        self.reason = reason
        self.row = row

    def __reduce__(self) -> tuple[type, tuple[str, str, int | None]]:
        """Let it go to other processes."""
        return InputError, (self.code, self.reason, self.row)


def shortened(text: str, limit: int = 24) -> str:
    """Return the beginning of what the user gave, for a message.

    Examples
    --------
    >>> shortened("0123456789", limit=4)
    '0123…'
    """
    return text if len(text) <= limit else f"{text[:limit]}…"
