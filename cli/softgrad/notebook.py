"""`%load_ext softgrad`: Jupyter shows results, verdicts and derivations as HTML."""

from typing import Any

from softgrad.outputs.documents import notebook

SHOWN = {
    ("softgrad_core.loss.results", "SoftmaxCrossEntropy"): notebook.html_of_result,
    ("softgrad_core.verification.verify", "Verification"): notebook.html_of_verification,
    ("softgrad_core.derivation.explain", "Derivation"): notebook.html_of_derivation,
}
"""The types that are shown, by module and name, and what shows them."""


def register(shell: Any) -> None:
    """Let a shell of IPython show softgrad's objects as HTML."""
    formatter = shell.display_formatter.formatters["text/html"]
    for (module, name), show in SHOWN.items():
        formatter.for_type_by_name(module, name, show)


def unregister(shell: Any) -> None:
    """Let a shell of IPython show softgrad's objects as text again."""
    formatter = shell.display_formatter.formatters["text/html"]
    for module, name in SHOWN:
        formatter.pop(f"{module}.{name}", None)
