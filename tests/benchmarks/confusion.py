"""A confusion matrix of mistakes: those that are planted, and those that are named."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from support.planted import (
    DTYPES,
    Batch,
    at_the_limits,
    gradients,
    losses,
    probabilities,
)
from timing import Table

from softgrad_core import verify

CLASSES = (2, 3, 10, 1000)
RECORDS = 100

PLANTED = (("grad_logits", gradients), ("probs", probabilities), ("loss", losses))


def measure() -> Iterator[Table]:
    """Yield the matrix for each quantity, in percent of the records that failed.

    The last columns say in how many records the mistake is named first, in how many it is among
    the candidates, and in how many runs (one for each number of classes and type) the summary
    names it.
    """
    for quantity, planted in PLANTED:
        named, among, total, runs = _count(quantity, planted)
        columns = sorted({name for counts in named.values() for name in counts})
        codes = {name: f"{place}" for place, name in enumerate(columns, 1)}
        table = [("planted", *codes.values(), "named", "among", "run")]
        for (number, name), counts in named.items():
            records = total[number, name]
            table.append(
                (
                    f"{number:3} {name}",
                    *(_percent(counts[column], records) for column in columns),
                    _percent(counts[name], records),
                    _percent(among[number, name], records),
                    _percent(sum(runs[number, name]), len(runs[number, name])),
                )
            )
        yield Table(
            f"{quantity}: planted (lines) and named first (columns), percent of the records, "
            f"over {CLASSES} classes and {', '.join(DTYPES)}",
            table,
            ", ".join(f"{code}: {name}" for name, code in codes.items()),
        )


def _count(quantity, planted):
    """Return four counts for each mistake that is planted.

    They are the mistakes that are named first, the records in which the planted one is a candidate,
    the records that failed, and for each run whether its summary names it.
    """
    named, among, total, runs = {}, Counter(), Counter(), {}
    for classes in CLASSES:
        for dtype in DTYPES:
            for number, name, batch, claims, options in _cases(quantity, planted, classes, dtype):
                result = verify(batch.a, batch.y, dtype=dtype, **{quantity: claims}, **options)
                runs.setdefault((number, name), []).append(f" {name}: " in str(result))
                counts = named.setdefault((number, name), Counter())
                for fits in result.quantities[quantity].fits_by_row.values():
                    candidates = [fit.mistake.name for fit in fits]
                    counts[candidates[0] if candidates else "unknown"] += 1
                    among[number, name] += name in candidates
                    total[number, name] += 1
    return named, among, total, runs


def _cases(quantity, planted, classes, dtype):
    """Yield kind, name, batch, claims and options of each mistake."""
    rng = np.random.default_rng(classes)
    logits = rng.normal(size=(RECORDS, classes)) * 2
    batch = Batch(logits, rng.integers(classes, size=RECORDS), dtype)
    for number, name, claims in planted(batch):
        yield number, name, batch, claims, {}
    if quantity == "grad_logits":
        yield from at_the_limits(batch.a, batch.y, dtype)


def _percent(count: int, total: int) -> str:
    share = 100.0 * count / total if total else 0.0
    return f"{share:.0f}" if share >= 0.5 else ("." if not count else "<1")
