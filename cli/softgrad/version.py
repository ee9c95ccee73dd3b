"""Which softgrad this is: of two that say the same, results are the same."""

from functools import cache


@cache
def version_text() -> str:
    """Return the version, and whether the kernel is compiled."""
    from importlib.metadata import version

    from softgrad_core.loss.kernels.direct import KERNELS

    kernel = "with" if KERNELS else "without"
    return f"softgrad {version('softgrad')}, {kernel} the compiled kernel"
