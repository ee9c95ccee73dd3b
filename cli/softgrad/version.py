"""The version, which also says whether the compiled kernel is there."""

from functools import cache


@cache
def version_text() -> str:
    """Return the version; two that are equal give the same results, bit for bit."""
    from importlib.metadata import version

    from softgrad_core.loss.kernels.direct import KERNELS

    kernel = "with" if KERNELS else "without"
    return f"softgrad {version('softgrad')}, {kernel} the compiled kernel"
