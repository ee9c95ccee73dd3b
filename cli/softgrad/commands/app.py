"""The command line: finds the command, shows its help, and explains wrong usage."""

import os
import re
import sys
from functools import partial
from importlib import import_module
from itertools import takewhile
from types import ModuleType
from typing import Any

import typer
from typer.core import TyperCommand

from softgrad.commands.settings import NAMELESS, command_of
from softgrad.exits import Exit, UsageError
from softgrad.inputs.numbers import NEGATIVE, is_number_list
from softgrad.messages import say

COMMANDS = {
    "explain": "derive both gradients step by step, with your numbers",
    "verify": "are somebody else's numbers right, and if not, why?",
    "probe": "look for inputs on which a loss function is wrong",
    "guide": "the manual",
}
"""The commands that have a name, and their line in the help."""

_SHORT_FORMS = {
    **dict.fromkeys(("help", "-help"), "--help"),
    **dict.fromkeys(("version", "-V", "-v", "-version"), "--version"),
}
"""What people type alone, and the option that they mean."""

_MEANT = {
    **dict.fromkeys(("--html", "--latex", "--markdown", "--table"), "--format {}"),
    **dict.fromkeys(("--tex", "--pdf"), "--format latex"),
    **dict.fromkeys(("--label", "--labels", "--class", "--y", "-y", "--true-class"), "--target"),
    **dict.fromkeys(("--soft-target", "--soft-targets", "--target-probs"), "--target 0.9,0.1,0"),
    **dict.fromkeys(("--logits", "-l"), "the logits alone, as in softgrad 2.0 1.0 0.1"),
    **dict.fromkeys(("--quiet", "-q", "--failures", "--failed"), "--only-failures"),
    **dict.fromkeys(("--names", "--class-names"), "--classes"),
    **dict.fromkeys(("--weights", "--weight"), "--class-weights"),
    **dict.fromkeys(("--smoothing", "--epsilon"), "--label-smoothing"),
    "--type": "--dtype",
    **dict.fromkeys(("--gradient", "--grad", "--dlogits"), "--grad-logits"),
    **dict.fromkeys(("--softmax", "--probabilities"), "--probs"),
    **dict.fromkeys(("--steps", "--derivation", "--derive"), "softgrad explain ..."),
    **dict.fromkeys(("--numerical-check", "--gradcheck"), "--check"),
    **dict.fromkeys(("--mean", "--sum"), "--reduction {}"),
}
"""Options that there are not, and what people mean by them."""

_NO_COMMANDS = {
    "check": "the numerical check is an option: softgrad ... --check",
    **dict.fromkeys(("derive", "derivation"), "the derivation is softgrad explain ..."),
    **dict.fromkeys(("fuzz", "test"), "the search for failing inputs is softgrad probe ..."),
    **dict.fromkeys(("compute", "softmax", "loss"), "softgrad ... computes without one"),
}
"""Commands that there are not, and what people mean by them."""

_TARGETS = {"-t", "--target"}
_LISTS = {*_TARGETS, "--probs", "--log-probs", "--grad-probs", "--grad-logits"}
"""Options that may have a number for each logit, in one argument."""

_COMPLETION = "_SOFTGRAD_COMPLETE"
"""The environment variable by which a shell asks for completions."""

_ABOUT_COMPLETION = {"--install-completion", "--show-completion"}

_HIDDEN_NEGATIVE = re.compile(rf" (?={NEGATIVE.pattern})", re.ASCII | re.IGNORECASE)


class NumbersCommand(TyperCommand):
    """A command whose arguments may be negative numbers.

    Its help is wrapped to the width of the screen, not at the line breaks of the docstring.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        paragraphs = (self.help or "").split("\n\n")
        self.help = "\n\n".join(p if "\b" in p else p.replace("\n", " ") for p in paragraphs)

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, without conversion: all are flags or text.

        To convert them, Typer 0.29 imports pydantic, and a run takes 1.4 times as long.
        """
        parameters = super().get_params(ctx)
        for parameter in parameters:
            parameter.process_value = partial(_processed, parameter)  # type: ignore[method-assign]
            # Typer 0.29 calls a flag without one <bool>, as if a value could follow.
            parameter.metavar = parameter.metavar or ""
        return parameters

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what the line of usage says; releases of Typer differ in what they add."""
        del ctx
        arguments = [p.metavar for p in self.params if p.param_type_name == "argument"]
        return ["[OPTIONS]", *(metavar for metavar in arguments if metavar)]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put a blank before negative numbers while the words are parsed."""
        _refuse_several_words(args)
        _refuse_single_dashes(args, {word for p in self.params for word in p.opts})
        rest = super().parse_args(ctx, [f" {a}" if NEGATIVE.match(a) else a for a in args])
        for name, value in ctx.params.items():
            if isinstance(value, str):
                ctx.params[name] = _as_typed(value)
            elif isinstance(value, (list, tuple)):
                ctx.params[name] = [_as_typed(word) for word in value]
        return rest


def _refuse_several_words(words: list[str]) -> None:
    """Raise UsageError if one option is followed by as many numbers as there are logits."""
    logits = list(takewhile(is_number_list, words))
    for place, word in enumerate(words):
        following = list(takewhile(is_number_list, words[place + 1 :]))
        if word in _LISTS and len(following) == len(logits) > 1:
            what = ": the probabilities of all classes are one" if word in _TARGETS else ""
            raise UsageError(
                f"expected one argument after {word}, got {' '.join(following)}{what}; write "
                f"{word} {','.join(following)}"
            )


def _refuse_single_dashes(words: list[str], options: set[str]) -> None:
    """Raise UsageError if a long option has one dash, which is read as its first letter."""
    for word in words:
        if len(word) > 2 and f"-{word}" in options:
            raise UsageError(f"there is no {word}; did you mean -{word}?")


def _processed(parameter: Any, context: Any, value: Any) -> Any:
    """Return the value of an option, passed through its callback if it has one."""
    return parameter.callback(context, parameter, value) if parameter.callback else value


def _as_typed(word: str) -> str:
    return word[1:] if _HIDDEN_NEGATIVE.match(word) else word


def run_command() -> int:
    """Run the command that the command line asks for; return the exit status."""
    is_completion = _COMPLETION in os.environ
    words = sys.argv[1:]
    if is_completion and not words:
        line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
        words = line.split()[1:]
    if len(words) == 1:
        words[0] = _SHORT_FORMS.get(words[0], words[0])
    elif words[:1] == ["help"]:
        words = [words[1], "--help"] if words[1] in COMMANDS else ["guide", *words[1:]]
    elif len(words) == 2 and words[0] in COMMANDS and words[1] in _SHORT_FORMS:
        words[1] = _SHORT_FORMS[words[1]]
    name = words.pop(0) if words and words[0] in COMMANDS else ""
    called = f"softgrad {name}".rstrip()
    try:
        if not name:
            _refuse_near_command(words)
        app = _app_of(_module_of(name), name)
        # A shell asks for the completions of every command under one name.
        prog_name = "softgrad" if is_completion else called
        status: int | None = app(words, prog_name=prog_name, standalone_mode=False)
    except UsageError as error:
        return _usage_error(str(error), called)
    except typer.TyperException as error:
        return _usage_error(_reason(error, name), called)
    except SystemExit as ended:
        # Typer exits with 1 if the reader of the output has gone.
        if ended.code == 1:
            raise BrokenPipeError from None
        raise
    return status or Exit.OK


def _module_of(name: str) -> ModuleType:
    return import_module(f"softgrad.commands.{name or 'compute'}")


def _app_of(module: ModuleType, name: str) -> typer.Typer:
    """Return the Typer application of one command."""
    app = typer.Typer(
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        # Only on demand, so that the help has no lines about it.
        add_completion=_COMPLETION in os.environ or bool(_ABOUT_COMPLETION & {*sys.argv}),
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    function = command_of(module.Settings, module.run)
    if not name:
        listed = "".join(f"\n  softgrad {name:<8} {what}" for name, what in COMMANDS.items())
        function.__doc__ = f"{function.__doc__}\n\n\b\n[bold]Commands[/bold]{listed}"
    app.command(name or NAMELESS, cls=NumbersCommand, epilog=module.EXAMPLES)(function)
    return app


def _usage_error(reason: str, called: str) -> Exit:
    say(f"softgrad: {reason}", "red")
    say(f"Try '{called} --help' for help.")
    return Exit.USAGE


def _reason(error: typer.TyperException, name: str) -> str:
    """Return what is wrong with the words, and for a misplaced option, where it belongs."""
    reason = error.format_message().removeprefix("Invalid value: ")
    option = getattr(error, "option_name", None)
    if option is None or not reason.startswith("No such option"):
        return reason
    if option == "--class" and name == "explain":
        return "there is no --class; you may mean --other, the class beside the target"
    if option in _MEANT:
        meant = _MEANT[option].format(option[2:])
        others = _others_with(meant.split()[0], name)
        return f"there is no {option}; you may mean {meant}{others and f' of {others}'}"
    if option.lstrip("-") in COMMANDS:
        return f"{reason}; it is a command: softgrad {option.lstrip('-')} ..."
    others = _others_with(option, name)
    return f"{option} is an option of {others}" if others else reason


def _others_with(option: str, name: str) -> str:
    """Return the commands that have an option, as they are typed; none if this one has it."""
    if option in _options_of(name):
        return ""
    others = [other for other in ("", *COMMANDS) if option in _options_of(other)]
    return " or ".join(f"'softgrad {other}'".replace(" '", "'") for other in others)


def _options_of(name: str) -> set[str]:
    """Return the options of a command, as they are typed."""
    command = typer.main.get_command(_app_of(_module_of(name), name))
    return {word for parameter in command.params for word in parameter.opts}


def _refuse_near_command(words: list[str]) -> None:
    """Raise UsageError if the first word is not a file, but nearly the name of a command."""
    if not words or words[0].startswith("-") or os.path.lexists(words[0]):
        return
    from difflib import get_close_matches

    if words[0] in _NO_COMMANDS:
        raise UsageError(f"there is no command {words[0]!r}; {_NO_COMMANDS[words[0]]}")
    for near in get_close_matches(words[0], COMMANDS, n=1, cutoff=0.7):
        raise UsageError(f"there is no file {words[0]!r}; did you mean 'softgrad {near}'?")
