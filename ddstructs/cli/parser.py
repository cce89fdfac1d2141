"""What the commands share: options from the signature of a function, errors on one line, and no noise."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

from jsonargparse import ArgumentParser

from ddstructs.errors import InputError

__all__ = ["Parser", "call", "quiet"]


class Parser(ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        line = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", message).split())
        raise InputError(re.sub(r'Parser key "(\w+)": ', r"--\1: ", line))


def call(function: Callable[..., None], command: str, **flags: str) -> int:
    """Call a function with the options on the command line that its signature tells.

    Args:
        function: What to call.
        command: The command's name.
        flags: What to say of those parameters that are flags, without a value.

    Returns:
        The exit code: 0, or 2 when the input cannot be used.
    """
    parser = Parser(prog=f"ddstructs {command}", usage=f"ddstructs {command} [options]", allow_abbrev=False)
    parser.add_function_arguments(function, skip=set(flags))
    for name, text in flags.items():
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=text)
    try:
        options = parser.parse_args(sys.argv[2:])
        function(**vars(options))
    except BrokenPipeError:
        raise
    except (InputError, OSError) as error:
        print(f"ddstructs {command}: error: {error}", file=sys.stderr)
        return 2
    return 0


def quiet() -> None:
    """Leave out what Lightning tells of itself, which is no news to the user."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric|torch.utils.data")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
