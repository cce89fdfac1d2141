"""The packages of the extra `onnx`, which an installation may lack."""

from __future__ import annotations

from importlib.util import find_spec

from ddstructs.errors import InputError
from ddstructs.extras import install

__all__ = ["require"]


def require(*packages: str) -> None:
    """Raise an error unless packages are installed.

    Raises:
        InputError: If one is missing; the message says how to install it.
    """
    missing = [name for name in packages if not find_spec(name)]
    if missing:
        raise InputError(f"ONNX files need {' and '.join(missing)}: {install('onnx')}")
