"""What the commands share: options from the signature of a function, errors on one line, and no noise."""

from __future__ import annotations

import logging
import re
import warnings
from typing import NoReturn

from jsonargparse import ArgumentParser

from ddstructs.errors import InputError

__all__ = ["Parser", "quiet"]


class Parser(ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        line = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", message).split())
        raise InputError(re.sub(r'Parser key "(\w+)": ', r"--\1: ", line))


def quiet() -> None:
    """Leave out what Lightning tells of itself, which is no news to the user."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric|torch.utils.data")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
