"""The command `ddstructs`, also `python -m ddstructs`."""

from __future__ import annotations

import os
import sys

from ddstructs import __version__

__all__ = ["command_line", "main"]

COMMANDS = ("fit", "validate", "test", "predict")

HELP = """\
usage: ddstructs <command> [options]

Train neural networks that work a differentiable stack, queue or deque.

commands:
  list       show the memories, cells and tasks there are
  fit        train:      ddstructs fit --data Reversal --model.memory Stack
  validate   evaluate on the validation set of a task
  test       evaluate on longer sequences:  ddstructs test --ckpt_path FILE
  predict    transduce text:                ddstructs predict --ckpt_path FILE --data.text "A string"
  trace      see how it does that, in a page:   ddstructs trace --ckpt_path FILE --text "A string"
  reproduce  train and test every task with every memory, seed by seed:  ddstructs reproduce --seeds 0-9
  sweep      search for better settings:    ddstructs sweep --task Copying --memory Deque --study FILE

options:
  --help     this text; after a command, all of its options
  --version  the version

A config file sets options by the same names: ddstructs fit --config configs/reversal.yaml
"""


def main() -> int:
    """Run the command line, and return its exit code: 0, or 2 when the input cannot be used.

    What needs no torch is answered here, in a fraction of a second.
    """
    command = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if command in ("--help", "-h", "help"):
        print(HELP, end="")
    elif command == "--version":
        print(f"ddstructs {__version__}")
    elif command == "list":
        from ddstructs.registry.catalog import render

        print(render())
    elif command == "reproduce":
        from ddstructs.cli.reproduce import run as reproduce

        return reproduce()
    elif command == "sweep":
        from ddstructs.cli.sweep import run as sweep

        return sweep()
    elif command in COMMANDS:
        from ddstructs.cli.train import run

        return run(command)
    elif command == "trace":
        from ddstructs.cli.trace import run_trace

        return run_trace(sys.argv[2:])
    else:
        from difflib import get_close_matches

        close = get_close_matches(command, known := ["list", *COMMANDS, "trace", "reproduce", "sweep"], 1)
        hint = f"did you mean {close[0]}?" if close else f"the commands are {', '.join(known)}"
        print(f"ddstructs: error: there is no command {command!r}: {hint}", file=sys.stderr)
        return 2
    return 0


def command_line() -> int:
    """Run `main` and answer the two ways in which a shell ends a command: control-C, and a pipe that is closed."""
    try:
        code = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


if __name__ == "__main__":
    sys.exit(command_line())
