"""The options of the command: what each is called, and what the help says of it."""

from typing import Annotated

import typer

from softgrad.outputs.formats import Format
from softgrad.version import version_text
from softgrad_core.checking import CHECK_TOLERANCE
from softgrad_core.dtypes import Dtype
from softgrad_core.loss.results import FIELDS


def print_version(wanted: bool) -> None:
    """Print the version, and whether the kernel is compiled, and stop."""
    if wanted:
        typer.echo(version_text())
        raise typer.Exit


Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[LOGITS... | FILES...]",
        help="Numbers are logits, the pre-activations a; -inf masks a class. Anything else is a "
        "file of JSON records, or of NumPy arrays where it ends in .npy or .npz; - is standard "
        "input, which is read when no argument is given.",
        show_default=False,
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        "-t",
        metavar="TARGET",
        help="The true class y: an index from 0, or a name of --classes; or the target "
        "probabilities of all classes. For JSON input, the target of records that have none; for "
        "arrays a .npy file.",
        rich_help_panel="Input",
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME,...",
        help="The names of the classes, in order. For JSON input, those of records that have none.",
        rich_help_panel="Input",
    ),
]
LabelSmoothing = Annotated[
    str | None,
    typer.Option(
        metavar="ε",
        help="Take (1 - ε) t + ε/K for the target t (a one-hot vector, or probabilities) of K "
        "classes.",
        rich_help_panel="Loss",
    ),
]
ClassWeights = Annotated[
    str | None,
    typer.Option(
        metavar="W,W,...",
        help="Multiply the target weight of each class by its own: in the order of the classes, "
        "or by name, as in cat=2,dog=1.",
        rich_help_panel="Loss",
    ),
]
Temperature = Annotated[
    str | None,
    typer.Option(
        metavar="T",
        help="Take f(x) = softmax(a/T). The gradient with respect to a has the factor 1/T.",
        rich_help_panel="Loss",
    ),
]
UnnormalizedTarget = Annotated[
    bool,
    typer.Option(
        "--unnormalized-target",
        help="Accept target probabilities whose sum is not 1.",
        rich_help_panel="Loss",
    ),
]
ReductionOfBatch = Annotated[
    str | None,
    typer.Option(
        "--reduction",
        metavar="mean|sum|none",
        help="What becomes of the losses of a batch, a record whose logits are a list of rows. The "
        "mean of labels divides by D = the sum of the weights w_y of the rows that count, that of "
        "target probabilities by the number of rows. Default: mean.",
        rich_help_panel="Loss",
    ),
]
IgnoreIndex = Annotated[
    str | None,
    typer.Option(
        metavar="INDEX",
        help="The label of rows that do not count: their loss and gradients are 0.",
        rich_help_panel="Loss",
    ),
]
OutputFormat = Annotated[
    Format | None,
    typer.Option(
        "--format",
        "-f",
        metavar="FORMAT",
        help=f"How results are written: as {', '.join(Format)}. Default: a table for logits given "
        "as arguments, JSON Lines for JSON input.",
        rich_help_panel="Output",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Short for --format jsonl.", rich_help_panel="Output")
]
Standalone = Annotated[
    bool,
    typer.Option(
        "--standalone",
        help="Write a whole LaTeX document, not a fragment for one with amsmath.",
        rich_help_panel="Output",
    ),
]
OutputFolder = Annotated[
    str | None,
    typer.Option(
        "--output-dir",
        metavar="FOLDER",
        help="Write the results of each file to one of its name in FOLDER, as -o does: a .npz file "
        "for arrays.",
        rich_help_panel="Output",
    ),
]
Fields = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME,...",
        help=f"The results to compute and write, out of {', '.join(FIELDS)}. Default: all.",
        rich_help_panel="Output",
    ),
]
OutputFile = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Replace FILE with the results: in one step at the end, or not at all.",
        rich_help_panel="Output",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        min=0,
        help="Work with N processes, for arrays threads, 0: one for each core. Default: one at "
        "first, and all cores once that has worked for a quarter of a second, or for arrays of "
        "half a million logits. Results are the same bytes.",
        rich_help_panel="Scale",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Work on the Dask cluster of this scheduler, such as tcp://host:8786, whose workers "
        "have softgrad installed. Results are the same bytes.",
        rich_help_panel="Scale",
    ),
]
Check = Annotated[
    bool,
    typer.Option(
        "--check",
        help="Check both gradients against differences of the loss in extended precision.",
        rich_help_panel="Check",
    ),
]
CheckTolerance = Annotated[
    str | None,
    typer.Option(
        metavar="ERROR",
        help="The relative error at which a component fails the check, however small it is. "
        f"Default: {CHECK_TOLERANCE:g}.",
        rich_help_panel="Check",
    ),
]
FailFast = Annotated[
    bool,
    typer.Option(
        "--fail-fast",
        help="Stop after the first record that is rejected or fails.",
        rich_help_panel="Check",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="With --check or --verify, write only the records that are rejected or fail.",
        rich_help_panel="Check",
    ),
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="Compare the numbers that records claim, any of probs, log_probs, loss, grad_probs "
        "and grad_logits, with the exact ones, and name the mistake where they are wrong.",
        rich_help_panel="Verify",
    ),
]
ClaimDtype = Annotated[
    Dtype | None,
    typer.Option(
        "--dtype",
        metavar="TYPE",
        help=f"The type in which the claims were computed: {', '.join(Dtype)}. The logits are "
        "taken as they are written: write those of a float32 kernel with all their digits. "
        "Default: float64; for arrays their own. bfloat16 arrays are of uint16.",
        rich_help_panel="Verify",
    ),
]
Rtol = Annotated[
    str | None,
    typer.Option(
        metavar="ERROR",
        help="A claim passes where |claim - exact| <= atol + rtol |exact|. Default, as in "
        f"torch.testing.assert_close: {', '.join(f'{d.rtol:g} for {d}' for d in Dtype)}.",
        rich_help_panel="Verify",
    ),
]
Atol = Annotated[
    str | None,
    typer.Option(
        metavar="ERROR",
        help="What is allowed however small the number is; where only this lets a number pass, and "
        "would let 0 pass, it is uninformative. Half of the last decimal for numbers written with "
        f"few. Default: {Dtype.FLOAT64.atol:g} for float64, {Dtype.FLOAT32.atol:g} for the others.",
        rich_help_panel="Verify",
    ),
]
Ulp = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="Demand |claim - exact| <= N units in the last place of the dtype instead, however "
        "small the number is.",
        rich_help_panel="Verify",
    ),
]
Explain = Annotated[
    bool,
    typer.Option(
        "--explain",
        help="Derive both gradients step by step, with these numbers in every formula.",
        rich_help_panel="Explain",
    ),
]
OtherClass = Annotated[
    str | None,
    typer.Option(
        "--class",
        metavar="INDEX|NAME",
        help="The class c beside c = y. Default: the most probable one that is not the target.",
        rich_help_panel="Explain",
    ),
]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error in softgrad itself.")
]
Version = Annotated[
    bool,
    typer.Option("--version", help="Show the version.", callback=print_version, is_eager=True),
]
