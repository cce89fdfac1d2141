"""Compilation by numba, with a cache on disk that notices when any of the sources changed."""

from __future__ import annotations

import hashlib
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numba
from numba import extending
from numba.core import caching

__all__ = ["chosen", "compiled", "intrinsic", "stamp"]

PACKAGE = Path(__file__).parents[1]
SOURCES = "ops", "nn/compiled"
"""The folders of this package in which anything is compiled."""

PATIENCE = 1.0
"""After so many seconds of compiling a line is printed."""

_told = False
_said: list[bool] = []
_announcing = threading.Lock()


def compiled(*, inline: bool = False, fastmath: bool | set[str] = False) -> Callable[..., Callable[..., Any]]:
    """Compile a function with numba on its first call: serial, since numba's threads do not survive a fork, and
    without the GIL.

    Numba itself reuses compiled code until the file of the called function changes, even if that function calls others
    whose files did. Here it is compiled anew when any file changed in which something is compiled.

    Args:
        inline: Whether to inline it at every call. Measured to pay for small functions in the innermost loops, where an
            array is passed as seven numbers: without it backward takes twice as long.
        fastmath: Which rules of floating-point arithmetic the compiler may break.
    """

    def compile_(function: Callable[..., Any]) -> Callable[..., Any]:
        made: Any = numba.njit(nogil=True, fastmath=fastmath, forceinline=inline, error_model="numpy")(function)
        if not inline:
            _remember(made, function)
        by_type, build = made.get_call_template, made.compile
        # Numba would compile a call with the number 0 apart from one with any integer.
        made.get_call_template = lambda arguments, names: by_type(tuple(map(numba.types.unliteral, arguments)), names)

        def announced(signature: Any) -> Any:
            with _announced():
                return build(signature)

        made.compile = announced
        return cast("Callable[..., Any]", made)

    return compile_


@contextmanager
def _announced() -> Iterator[None]:
    """Say on the error stream, once in a process, that something is compiled if that takes over a second."""
    if _announcing.locked() or _said:
        yield
        return
    with _announcing:
        timer = threading.Timer(PATIENCE, _say)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _say() -> None:
    _said.append(True)
    print(
        "ddstructs: compiling kernels; this takes some seconds, once "
        "(`python -m ddstructs.nn warm` compiles them in advance)",
        file=sys.stderr,
        flush=True,
    )


def chosen(function: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate what chooses the form of a function by the types of its arguments; the form is inlined at every call."""
    options: Any = {"error_model": "numpy", "forceinline": True}
    return cast("Callable[..., Any]", extending.overload(function, jit_options=options, strict=False))


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function that gives numba a signature and what emits LLVM's code for it."""
    return cast("Callable[..., Any]", extending.intrinsic(function))


def stamp() -> str:
    """What stands for the sources of all compiled code: it changes with any of them."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in SOURCES for path in (PACKAGE / folder).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


_STAMP = stamp()


class Cache(caching.FunctionCache):
    """A cache that is never worse than none: what is damaged in it, or cannot be written, is compiled again."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        self._cache_file._source_stamp = _STAMP

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception as error:
            _warn(f"what it holds cannot be read ({_one_line(error)})")
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except Exception as error:
            _warn(f"it cannot be written ({_one_line(error)})")


def _remember(dispatcher: Any, function: Callable[..., Any]) -> None:
    try:
        dispatcher._cache = Cache(function)
    except Exception as error:  # numba finds no folder where it may write
        _warn(_one_line(error))


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _warn(what: str) -> None:
    """Say once in a process why compiled code is not kept."""
    global _told
    if not _told:
        _told = True
        warnings.warn(
            f"the compiled kernels of ddstructs are not cached: {what}; each process compiles them again, unless "
            "NUMBA_CACHE_DIR names a folder for them",
            RuntimeWarning,
            stacklevel=2,
        )
