"""The command `ddstructs`: dispatch to a command, and its exit codes."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress

from ddstructs import __version__
from ddstructs.cli.options import options
from ddstructs.errors import InputError, one_line
from ddstructs.interrupts import Stopped, signals_first, stop
from ddstructs.registry.catalog import COMMANDS
from ddstructs.registry.lookup import hint
from ddstructs.registry.plugins import load
from ddstructs.registry.source import parameters, summary

__all__ = ["command_line", "main"]

CLOSED = 128 + 13
"""Exit code of a program whose output was closed by its reader (SIGPIPE)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return the exit code: 0, or 2 for invalid input.

    Names and options are checked before torch is imported, which takes seconds.

    Args:
        arguments: The command line without the program; that of this process if not given.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    command, *rest = given or ["--help"]
    if command in ("--help", "-h", "help"):
        print(_help(), end="")
        return 0
    if command == "--version":
        print(f"ddstructs {__version__}")
        return 0
    if command not in COMMANDS:
        return _refuse("ddstructs", f"unknown command {one_line(repr(command))}{hint(command, COMMANDS)}")
    try:
        with signals_first():
            _run(command, COMMANDS[command], rest)
    except (InputError, OSError, MemoryError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        return _refuse(f"ddstructs {command}", _reason(error))
    return 0


def _run(command: str, target: str, arguments: Sequence[str]) -> None:
    if [*parameters(target)] == ["arguments"]:
        load(target)(arguments)
        return
    given = options(target, command, arguments)
    if given is not None:
        load(target)(**given)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else f"cannot write: {error.strerror}"
    return str(error) or "out of memory"


def _refuse(who: str, message: str) -> int:
    print(f"{who}: error: {one_line(message)}", file=sys.stderr)
    return 2


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {summary(target)}" for name, target in COMMANDS.items()]
    return "\n".join(
        [
            "usage: ddstructs <command> [options]",
            "",
            "Train neural networks to use differentiable data structures: stacks, queues, tapes and others.",
            "",
            "commands:",
            *lines,
            "",
            "options:",
            "  --help     show this text or, after a command, its options",
            "  --version  show the version",
            "",
            "examples:",
            "  ddstructs fit --data Reversal --model.memory Stack",
            "  ddstructs fit --config configs/reversal.yaml",
            "  ddstructs test --ckpt_path FILE",
            '  ddstructs predict --ckpt_path FILE --data.text "A string"',
            '  ddstructs trace --ckpt_path FILE --text "A string"',
            "",
        ]
    )


def command_line() -> int:
    """Run the command line of this process, and return its exit code.

    The exit code is 0; 2 for invalid input; 128 plus the number of the signal that ended the command; or 141 if the
    reader of its output closed it early.
    """
    arguments = sys.argv[1:]
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # stays open for the life of the process
    if sys.stdout is None:
        return _refuse("ddstructs", "standard output is closed")
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # for terminals without UTF-8
    warnings.showwarning = _warn
    for ending in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(ending) != signal.SIG_IGN:
            signal.signal(ending, stop)
    try:
        code = main(arguments)
        sys.stdout.flush()
    except (Stopped, KeyboardInterrupt) as stopped:
        number = stopped.number if isinstance(stopped, Stopped) else int(signal.SIGINT)
        _report_stop(number, arguments, getattr(stopped, "__notes__", []))
        code = 128 + number
    except BrokenPipeError:
        code = CLOSED
    except OSError as error:  # such as a full disk
        code = _refuse("ddstructs", _reason(error))
    except SystemExit as error:
        if not _comes_from_pipe(error):
            raise
        code = CLOSED
    if code in (CLOSED, 2):
        _drop_output()
    return code


def _report_stop(number: int, arguments: Sequence[str], notes: Sequence[str]) -> None:
    name = "interrupted" if number == signal.SIGINT else "terminated"
    if arguments[:1] == ["fit"] and not notes:
        notes = ["training had not begun"]
    with suppress(OSError):
        print("\nddstructs: " + "; ".join([name, *notes]), file=sys.stderr)


def _comes_from_pipe(error: BaseException) -> bool:
    """Whether a closed pipe caused an error. Rich, which draws the progress, turns it into a `SystemExit`."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, BrokenPipeError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _drop_output() -> None:
    """Discard buffered output, so that Python does not report an error when it flushes it at exit."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _warn(message: Warning | str, category: type[Warning], *where: object, **more: object) -> None:
    """Print a warning on one line."""
    print(f"ddstructs: warning: {one_line(message)}", file=sys.stderr)
