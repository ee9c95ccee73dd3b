"""What a probe found, as a test for pytest that repeats it."""

from collections.abc import Mapping
from typing import Any

from softgrad_core.probing.probe import Probe

SIGN = "found by softgrad probe"
"""What each of these files says, and no other."""

_TEXT = '''"""Inputs on which {name} was wrong, {sign}."""

import pytest
import softgrad

from {module} import {imported}

inf = float("inf")

FOUND = {{
{found}}}


@pytest.mark.parametrize(("dtype", "given"), FOUND.values(), ids=FOUND)
def test_is_right(dtype: str, given: dict) -> None:
    softgrad.probe(
        {called}, inputs=[given], dtype=dtype{options}
    ).raise_if_failed()
'''


def as_test(result: Probe, function: str, told: Mapping[str, Any]) -> str:
    """Return the text of a test of the function MODULE:FUNCTION, with what was told about it."""
    module, _, path = function.partition(":")
    found = "".join(
        f"    {_key(result, number)!r}: ({str(one.dtype)!r}, {one.given.as_dict()!r}),\n"
        for number, one in enumerate(result.findings)
    )
    options = "".join(
        f", {name}={(str(value) if isinstance(value, str) else value)!r}"
        for name, value in told.items()
    )
    return _TEXT.format(
        name=function,
        sign=SIGN,
        module=module,
        imported=path.partition(".")[0],
        called=path,
        found=found,
        options=options,
    )


def _key(result: Probe, number: int) -> str:
    """Return the name of a finding, with a number if there are others of it."""
    name = result.findings[number].name
    earlier = [one.name for one in result.findings[:number]].count(name)
    return f"{name}-{earlier + 1}" if earlier else name
