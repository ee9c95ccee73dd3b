"""softgrad verify: whether somebody else's numbers are right, and if not, which mistake it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from softgrad.commands import task, values
from softgrad.commands.settings import ONLY_FAILURES, Text, option
from softgrad.commands.together import CLAIMED, Command, Kind
from softgrad.exits import Exit, UsageError
from softgrad.outputs.formats import Format
from softgrad.running.pipeline import Pipeline
from softgrad.work import verify
from softgrad_core.dtypes import Dtype
from softgrad_core.verification.claims import narrowest_of
from softgrad_core.verification.tolerances import Like, Tolerance

if TYPE_CHECKING:
    from softgrad.inputs.arrays.source import ArraySource
    from softgrad.outputs.arrays.worst import Found
    from softgrad.outputs.file import Output
    from softgrad_core.verification.summary import Summary

_DTYPE = option("--dtype", "TYPE", "The type of the claims, such as float32.", "Standard")
_RTOL = option("--rtol", "ERROR", "The relative error allowed.", "Standard")
_ATOL = option("--atol", "ERROR", "The absolute error allowed.", "Standard")
_ARITHMETIC = option("--arithmetic", "TYPE", "The type computed in, if it is wider.", "Standard")
_LIKE = option("--like", "TEST", "The tolerances of this test: assert_close.", "Standard")
_ULP = option("--ulp", "N", "Allow N units in the last place instead.", "Standard")

_PROBS = option("--probs", "N,…", "Your probabilities, beside logits.")
_LOG_PROBS = option("--log-probs", "N,…", "Your logarithms of them.")
_LOSS = option("--loss", "N", "Your loss.")
_Z_LOSS = option("--z-loss", "N", "Your z-loss, a part of the loss.")
_GRAD_PROBS = option("--grad-probs", "N,…", "Your dL/df(x).")
_GRAD_LOGITS = option("--grad-logits", "N,…", "Your dL/da.")

EXAMPLES = """[bold]Examples[/bold]
  softgrad verify 2 1 0.1 -t 0 --grad-logits -0.341,0.242,0.0986
  softgrad verify claims.jsonl --dtype float32
  softgrad verify step100.npz --reduction mean"""


@dataclass(frozen=True, kw_only=True)
class Settings(task.Settings):
    """The options of `softgrad verify`."""

    probs: Annotated[Text, _PROBS] = None
    log_probs: Annotated[Text, _LOG_PROBS] = None
    claimed_loss: Annotated[Text, _LOSS] = None
    z_loss: Annotated[Text, _Z_LOSS] = None
    grad_probs: Annotated[Text, _GRAD_PROBS] = None
    grad_logits: Annotated[Text, _GRAD_LOGITS] = None
    dtype: Annotated[Text, _DTYPE] = None
    arithmetic: Annotated[Text, _ARITHMETIC] = None
    rtol: Annotated[Text, _RTOL] = None
    atol: Annotated[Text, _ATOL] = None
    ulp: Annotated[Text, _ULP] = None
    like: Annotated[Text, _LIKE] = None
    only_failures: Annotated[bool, ONLY_FAILURES] = False


def run(settings: Settings) -> Exit:
    """Compare somebody's numbers with the exact ones, and name the mistake, if any.

    Claims are fields of records, arrays, or options. One passes where rounding in its type, or
    the few digits that were typed, explain its error.
    """
    given = task.Task.of(Command.VERIFY, settings)
    dtype = values.parse_word("--dtype", settings.dtype, Dtype)
    if given.kind is Kind.ARRAYS:
        return _run_on_arrays(given, dtype)
    required = _required(settings, dtype or Dtype.FLOAT64)
    work = partial(verify, tolerance=required)
    said = {name: getattr(settings, field) for name, field in CLAIMED.items()}
    claims = {name: text for name, text in said.items() if text is not None}
    if given.kind is Kind.NUMBERS and not claims:
        raise UsageError("expected a claim to verify, for example --grad-logits or --loss")
    standard = (settings.dtype, settings.arithmetic, settings.rtol, settings.atol, settings.ulp)
    typed = settings.like is None and all(word is None for word in standard)
    return given.run_on_records(
        work, required=required, typed=typed, claims=claims, only_failures=settings.only_failures
    )


def _required(
    settings: Settings, dtype: Dtype, others: Mapping[str, Dtype] | None = None
) -> Tolerance:
    """Return the standard for claims of this type, but for those quantities with another one."""
    try:
        return Tolerance(
            dtype,
            values.parse_number("--rtol", settings.rtol),
            values.parse_number("--atol", settings.atol),
            values.parse_number("--ulp", settings.ulp),
            arithmetic=values.parse_word("--arithmetic", settings.arithmetic, Dtype),
            like=values.parse_word("--like", settings.like, Like),
            dtypes=others,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None


def _run_on_arrays(given: task.Task, dtype: Dtype | None) -> Exit:
    """Verify the claims in files of arrays, and show the worst rows of each file."""
    from softgrad.inputs.arrays.source import VERIFIED_ELEMENTS, dtypes_of_claims
    from softgrad.outputs.arrays.worst import WorstRows, WorstRowsWriter, as_json_lines

    settings: Settings = given.settings
    own, others = (
        (dtype, {}) if dtype else narrowest_of(dtypes_of_claims(given.files, given.renamed))
    )
    required = _required(settings, own, others)
    work = partial(verify, tolerance=required)
    is_json = given.shown is Format.JSONL
    pages = None if is_json else task.pages_of(settings, given.shown)

    def draw(source: "ArraySource", found: "Found", summary: "Summary") -> bytes:
        if pages is None:
            return as_json_lines(source.name, found)
        from softgrad.outputs.page.worst import worst_of

        # Beside a table the diagnosis is on standard error.
        lines = [] if given.shown is Format.TABLE else summary.lines()
        return pages.page(worst_of(source.name, found, source.logits.shape, lines))

    def prepare(source: "ArraySource", output: "Output") -> tuple[Pipeline, WorstRowsWriter]:
        rows = 0 if is_json else len(source.logits)
        render = WorstRows(settings.only_failures, rows, counts=given.shown is Format.HTML)
        pipeline = Pipeline(source.reader(), work, render, required, settings.fail_fast)
        return pipeline, WorstRowsWriter(output, required, partial(draw, source))

    places = given.places(lambda _: values.ending_of(given.shown))
    return given.run_on_arrays(prepare, places, VERIFIED_ELEMENTS, dtype, required, pages)
