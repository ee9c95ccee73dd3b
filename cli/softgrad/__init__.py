"""The command `softgrad`; in Python, the objects of softgrad_core."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softgrad_core import *  # noqa: F403


def load_ipython_extension(shell: Any) -> None:
    """Show results, verdicts and derivations as HTML in a notebook, after `%load_ext softgrad`."""
    from softgrad.notebook import register

    register(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Show them as text again, after `%unload_ext softgrad`."""
    from softgrad.notebook import unregister

    unregister(shell)


def __getattr__(name: str) -> Any:
    """Return what softgrad_core has of this name; it is imported only when it is asked for."""
    import softgrad_core

    return getattr(softgrad_core, name)


def __dir__() -> list[str]:
    """Return the names of softgrad_core."""
    import softgrad_core

    return [*softgrad_core.__all__]
