"""Which numbers of a record failed -> the rows and classes that they are in, in words."""

import numpy as np

from softgrad_core.loss.objective import BoolArray
from softgrad_core.loss.targets import IndexArray

MOST_LISTED = 3
"""More places than this are counted, unless they follow one another."""


def extent(rows: BoolArray, classes: BoolArray) -> str:
    """Return in which rows and classes numbers failed; empty if that narrows nothing down.

    Examples
    --------
    >>> failed = np.zeros((64, 10), dtype=bool)
    >>> failed[17, 2:9] = True
    >>> extent(failed.any(axis=1), failed.any(axis=0))
    'only row 17 of 64 is wrong, in classes 2 to 8'
    >>> failed[:, 2:9] = True
    >>> extent(failed.any(axis=1), failed.any(axis=0))
    'only classes 2 to 8 of 10 are wrong'
    """
    if classes.all() and rows.all():
        return ""
    of_classes = _places(np.flatnonzero(classes), "class", "classes")
    if rows.all():
        verb = "is" if np.count_nonzero(classes) == 1 else "are"
        return f"only {of_classes} of {len(classes):,} {verb} wrong"
    verb = "is" if np.count_nonzero(rows) == 1 else "are"
    inside = "" if classes.all() else f", in {of_classes}"
    return (
        f"only {_places(np.flatnonzero(rows), 'row', 'rows')} of {len(rows):,} {verb} wrong{inside}"
    )


def _places(found: IndexArray, one: str, many: str) -> str:
    """Return where something was found, in words."""
    if len(found) > 2 and found[-1] - found[0] == len(found) - 1:
        return f"{many} {found[0]} to {found[-1]}"
    if len(found) > MOST_LISTED:
        return f"{len(found):,} {many}"
    return listed(found, one, many)


def listed(found: IndexArray, one: str, many: str) -> str:
    """Return places one by one, in the order given."""
    if len(found) == 1:
        return f"{one} {found[0]}"
    return f"{many} {', '.join(map(str, found[:-1].tolist()))} and {found[-1]}"
