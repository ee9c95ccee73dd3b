"""The command: read -> compute or verify -> check -> render -> write."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from softgrad.commands.arguments import (
    NumbersCommand,
    are_arrays,
    numbers_or_files,
    parse_array_target,
    parse_class,
    parse_classes,
    parse_fields,
    parse_options,
    parse_requirement,
    parse_target,
    parse_tolerance,
)
from softgrad.commands.options import (
    Atol,
    Check,
    CheckTolerance,
    ClaimDtype,
    Classes,
    ClassWeights,
    Debug,
    Explain,
    FailFast,
    Fields,
    IgnoreIndex,
    Inputs,
    Jobs,
    Json,
    LabelSmoothing,
    OtherClass,
    OutputFile,
    OutputFolder,
    OutputFormat,
    Quiet,
    ReductionOfBatch,
    Rtol,
    Scheduler,
    Standalone,
    Target,
    Temperature,
    Ulp,
    UnnormalizedTarget,
    Verify,
    Version,
)
from softgrad.exits import Exit
from softgrad.inputs.interpretation import interpret
from softgrad.messages import say
from softgrad.outputs.file import STANDARD_OUTPUT, Output
from softgrad.outputs.formats import Format, Renderer, renderer_for
from softgrad.records.records import Block, Defaults, Examples, Records, record_of
from softgrad.running.pipeline import Outcome, Pipeline
from softgrad.running.report import Report
from softgrad.work import Batch, compute
from softgrad.work import verify as verify_claims
from softgrad_core.dtypes import Dtype
from softgrad_core.loss.results import FIELDS
from softgrad_core.verification.tolerances import Tolerance

if TYPE_CHECKING:
    from softgrad.running.arrays import ArrayTask
    from softgrad_core.verification.summary import Summary

app = typer.Typer(
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

EPILOG = """[bold]Examples[/bold]
  softgrad 2.0 1.0 0.1 --target 0
  softgrad 2.0 1.0 0.1 --classes cat,dog,bird -t dog --check
  softgrad 2.0 1.0 0.1 --target 0 --explain --format html -o page.html
  echo '{"logits": [2.0, 1.0, 0.1], "target": 0}' | softgrad
  softgrad rows.jsonl -o results.jsonl
  softgrad --verify claims.jsonl --dtype float32
  softgrad logits.npy --target labels.npy -o results.npz

[bold]Exit status[/bold]
   0  done
   1  done, and a check or a verification failed
   2  wrong usage
   3  done, and a record was rejected
  70  a bug in softgrad
  74  reading or writing failed"""


@app.command(cls=NumbersCommand, epilog=EPILOG)
def softgrad(  # noqa: PLR0913, PLR0917 - one parameter for each option
    context: typer.Context,
    inputs: Inputs = None,
    target: Target = None,
    classes: Classes = None,
    label_smoothing: LabelSmoothing = None,
    class_weights: ClassWeights = None,
    temperature: Temperature = None,
    unnormalized_target: UnnormalizedTarget = False,
    reduction: ReductionOfBatch = None,
    ignore_index: IgnoreIndex = None,
    output_format: OutputFormat = None,
    json: Json = False,
    standalone: Standalone = False,
    output: OutputFile = None,
    output_dir: OutputFolder = None,
    fields: Fields = None,
    check: Check = False,
    tolerance: CheckTolerance = None,
    fail_fast: FailFast = False,
    quiet: Quiet = False,
    verify: Verify = False,
    dtype: ClaimDtype = None,
    rtol: Rtol = None,
    atol: Atol = None,
    ulp: Ulp = None,
    explain: Explain = False,
    other: OtherClass = None,
    jobs: Jobs = None,
    scheduler: Scheduler = None,
    debug: Debug = False,  # noqa: ARG001 - main looks for it, also where this is not reached
    version: Version = False,  # noqa: ARG001 - its callback prints and stops
) -> None:
    """Compute the softmax, loss and gradients of an output layer, right to 15 digits.

    For logits a and the true class y, softgrad computes the softmax f(x), the
    loss L = -log f(x)_y, and its gradients dL/df(x) = -e(y)/f(x)_y and
    dL/da = -(e(y) - f(x)). Classes are numbered from 0. With --explain it derives
    them step by step, with --verify it compares somebody else's numbers with them.

    In general L = -sum_c q_c log f(x)_c with f(x) = softmax(a/T) and the target
    weights q_c = w_c/D ((1 - ε) t_c + ε/K). Then dL/df(x) = -q/f(x) and
    dL/da = (s f(x) - q)/T, where s is the sum of q. For a label t = e(y); w, D and
    T are 1 and ε is 0 unless they are given.
    """
    if not inputs and (sys.stdin is None or sys.stdin.isatty()):
        with redirect_stdout(sys.stderr):
            typer.echo(context.get_help())
        raise typer.Exit(Exit.USAGE)
    logits, files = numbers_or_files(inputs or ["-"])
    names = parse_classes(classes)
    options = parse_options(
        {
            "label_smoothing": label_smoothing,
            "class_weights": class_weights,
            "ignore_index": ignore_index,
            "temperature": temperature,
            "reduction": reduction,
            "unnormalized_target": unnormalized_target,
        },
        names,
    )
    of_arrays = are_arrays(files)
    if of_arrays and verify and dtype is None:
        from softgrad.running.arrays import dtype_of_claims

        dtype = dtype_of_claims(files)
    claimed = None if of_arrays and not verify else dtype
    required = parse_requirement(claimed, rtol, atol, ulp, verify=verify)
    refuse_contradictions(logits, check=check, verify=verify, quiet=quiet)
    wanted = parse_fields(fields, verify=verify)
    default_format = Format.TABLE if logits or of_arrays else Format.JSONL
    shown = choose_format(output_format, default_format, json=json)
    suffix = suffix_of_arrays(shown, verify=verify) if of_arrays else None
    outputs = outputs_of(files, output, output_dir, suffix)
    if of_arrays:
        refuse_for_arrays(
            {
                f"--format {output_format}": output_format
                not in (None, Format.TABLE, Format.JSONL),
                "--standalone": standalone,
                "--check": check,
                "--tolerance": tolerance is not None,
                "--fail-fast": fail_fast,
                "--quiet": quiet,
                "--explain": explain,
                "--class": other is not None,
            }
        )
        array_target = parse_array_target(target, names)
        if not verify:
            refuse_for_results_of_arrays(shown if output_format or json else None, dtype)
            refuse_to_replace([*files, str(array_target)], outputs)
        from softgrad.running.arrays import ArrayTask

        task = ArrayTask(array_target, options, wanted, dtype, required, jobs)
        raise typer.Exit(run_on_arrays(task, outputs, scheduler, shown))

    defaults = Defaults(
        parse_target(target, names), names, parse_class("--class", other, names), options
    )
    tolerated = parse_tolerance(tolerance, check=check)
    refuse_unexplained(other, explain=explain, verify=verify)
    given = check_arguments(logits, defaults) if logits else None

    screen = sys.stdout if output is None else None
    if standalone and shown is not Format.LATEX:
        raise typer.BadParameter("--standalone needs --format latex")
    if fields is not None and shown is not Format.JSONL:
        raise typer.BadParameter("--fields needs --format jsonl, or arrays")
    renderer = renderer_for(shown, defaults, screen, wanted, standalone=standalone)
    work = work_of(tolerated, required, wanted, explained=explain)
    pipeline = Pipeline(renderer, defaults, work, required, quiet, fail_fast)
    jobs = jobs if shown is Format.JSONL else 1
    may_draw = screen is None or not screen.isatty()
    with closing(Report(files, may_draw=may_draw, summary=summary_of(required))) as report:
        if given:
            write_all([pipeline.process(given)], pipeline.renderer, output, report)
        else:
            run_on_files(pipeline, outputs, report, jobs, scheduler, slow=check or explain)
        report.summarize()
    raise typer.Exit(report.status)


def run_on_files(  # noqa: PLR0913 - where from, where to, and by whom
    pipeline: Pipeline,
    outputs: Iterable[tuple[list[str], str | None]],
    report: Report,
    jobs: int | None,
    scheduler: str | None,
    *,
    slow: bool,
) -> None:
    """Work on the records of files, all that go to one place after each other."""
    from softgrad.running.workers import Workers

    with Workers(jobs, scheduler) as workers:
        for sources, place in outputs:
            blocks = blocks_of(sources, slow=slow)
            with closing(workers.outcomes(pipeline.process, blocks)) as outcomes:
                if write_all(outcomes, pipeline.renderer, place, report):
                    return


def run_on_arrays(
    task: "ArrayTask",
    outputs: Iterable[tuple[list[str], str | None]],
    scheduler: str | None,
    shown: Format,
) -> Exit:
    """Compute or verify arrays, file by file; return the exit status."""
    from softgrad.outputs.worst import as_json_lines, as_table
    from softgrad.running.workers import cluster

    draw = as_json_lines if shown is Format.JSONL else as_table
    files = [name for names, _ in outputs for name in names]
    with (
        closing(Report(files, may_draw=True, summary=summary_of(task.required))) as report,
        nullcontext() if scheduler is None else cluster(scheduler) as workers,
    ):
        for names, place in outputs:
            with Output(place) as results:
                if task.required is None:
                    task.compute(names[0], results, report, workers)
                    continue
                for name in names:
                    results.write(draw(name, task.verify(name, report, workers)).encode())
                results.commit()
        report.summarize()
        return report.status


def run_command() -> int:
    """Run the command with the words of the command line; return its exit status."""
    try:
        status: int | None = app(prog_name="softgrad", standalone_mode=False)
    except typer.TyperException as error:
        say(f"softgrad: {error.format_message().removeprefix('Invalid value: ')}", "red")
        say("Try 'softgrad --help' for help.")
        return error.exit_code
    except SystemExit as ended:
        # typer ends with 1 where whoever reads the output has gone.
        if ended.code == 1:
            raise BrokenPipeError from None
        raise
    return status or Exit.OK


def choose_format(chosen: Format | None, default: Format, *, json: bool) -> Format:
    """Return the format that the options ask for."""
    if json and chosen not in (None, Format.JSONL):
        raise typer.BadParameter(f"--json and --format {chosen} contradict each other")
    return chosen or (Format.JSONL if json else default)


def refuse_contradictions(logits: list[float], *, check: bool, verify: bool, quiet: bool) -> None:
    """Raise BadParameter where options do not go together."""
    if verify and logits:
        raise typer.BadParameter(
            "--verify reads claims from JSON records, such as "
            '{"logits": [2.0, 1.0], "target": 0, "grad_logits": [-0.27, 0.27]}; got numbers'
        )
    if verify and check:
        raise typer.BadParameter("--check is of softgrad's own gradients, --verify of yours")
    if quiet and not (check or verify):
        raise typer.BadParameter("--quiet needs --check or --verify")


def refuse_for_arrays(given: Mapping[str, bool]) -> None:
    """Raise BadParameter for an option that records and numbers have, and arrays have not."""
    for option, is_given in given.items():
        if is_given:
            raise typer.BadParameter(f"{option} is for records and numbers, not for arrays")


def suffix_of_arrays(shown: Format, *, verify: bool) -> str:
    """Return how the names of files end that are made from arrays."""
    if not verify:
        return ".npz"
    return ".jsonl" if shown is Format.JSONL else ".txt"


def refuse_for_results_of_arrays(shown: Format | None, dtype: Dtype | None) -> None:
    """Raise BadParameter for an option that is of verified arrays."""
    if shown is not None:
        raise typer.BadParameter(f"results of arrays are a .npz file, not {shown}")
    if dtype not in {None, Dtype.BFLOAT16}:
        raise typer.BadParameter(
            f"--dtype {dtype} needs --verify: results are of the type of the logits"
        )


def same_file(one: str, other: str) -> bool:
    """Return whether two names are those of one file that exists."""
    try:
        return Path(one).samefile(other)
    except OSError:
        return False


def refuse_to_replace(
    files: Sequence[str], outputs: Iterable[tuple[list[str], str | None]]
) -> None:
    """Raise BadParameter where results of arrays would stand in the place of what they are of."""
    for _, place in outputs:
        if place in STANDARD_OUTPUT:
            raise typer.BadParameter("arrays need a file for the results: -o results.npz")
        replaced = [file for file in files if same_file(file, str(place))]
        if replaced:
            raise typer.BadParameter(
                f"results would replace {replaced[0]!r}, and they do not have its arrays"
            )


def outputs_of(
    files: list[str], output: str | None, folder: str | None, suffix: str | None
) -> list[tuple[list[str], str | None]]:
    """Return where the results of which files go: all to one place, or each to its own.

    With a suffix, which arrays have, that ends the names.
    """
    if folder is None:
        if suffix == ".npz" and len(files) > 1 and output is not None:
            raise typer.BadParameter("several files of arrays need --output-dir")
        return [(files, output)]
    if output is not None:
        raise typer.BadParameter("--output and --output-dir contradict each other")
    names = [Path(name).with_suffix(suffix).name if suffix else Path(name).name for name in files]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise typer.BadParameter(f"--output-dir: two files would be written to {twice[0]!r}")
    if not files or "-" in files:
        raise typer.BadParameter("--output-dir needs files")
    Path(folder).mkdir(parents=True, exist_ok=True)
    return [([name], str(Path(folder, place))) for name, place in zip(files, names, strict=True)]


def refuse_unexplained(other: str | None, *, explain: bool, verify: bool) -> None:
    """Raise BadParameter where there is nothing to explain."""
    if other is not None and not explain:
        raise typer.BadParameter("--class needs --explain")
    if explain and verify:
        raise typer.BadParameter("--explain is of softgrad's own gradients, --verify of yours")


def work_of(
    tolerated: float | None,
    required: Tolerance | None,
    fields: Sequence[str],
    *,
    explained: bool,
) -> Callable[[Examples], Batch]:
    """Return what is done with examples."""
    if required is None:
        if tolerated is not None:
            fields = FIELDS
        return partial(compute, fields, check_tolerance=tolerated, explained=explained)
    return partial(verify_claims, tolerance=required)


def summary_of(required: Tolerance | None) -> "Summary | None":
    """Return what counts the claims of a run that verifies."""
    if required is None:
        return None
    from softgrad_core.verification.summary import Summary

    return Summary(required)


def check_arguments(logits: list[float], defaults: Defaults) -> Records:
    """Return the record of the arguments; what is wrong with it is wrong usage."""
    record = record_of(logits, "arguments")
    _, errors = interpret(record, defaults, with_claims=False)
    if not errors:
        return record
    reason = errors[0].reason
    if errors[0].code == "target-missing":
        reason = f"expected --target, the true class: an index from 0 to {len(logits) - 1}"
    raise typer.BadParameter(reason)


def blocks_of(files: list[str], *, slow: bool) -> Iterator[Block]:
    """Return the records of the files, block by block; small ones where each record takes long."""
    from softgrad.inputs.sources import read
    from softgrad.inputs.stream import BLOCK_BYTES, SMALL_BLOCK_BYTES
    from softgrad.running.process import prepare_for_stream

    prepare_for_stream()
    return read(files, SMALL_BLOCK_BYTES if slow else BLOCK_BYTES)


def write_all(
    outcomes: Iterable[Outcome], renderer: Renderer, place: str | None, report: Report
) -> bool:
    """Write what became of the blocks, each as soon as it is known; return whether that is all."""
    unread, is_last = report.unread, False
    with Output(place) as results:
        results.write(renderer.opening)
        for outcome in outcomes:
            results.write(outcome.text)
            report.add(outcome)
            if is_last := outcome.is_last:
                break
        results.write(renderer.closing)
        if not is_last and report.unread == unread:
            results.commit()
    return is_last
