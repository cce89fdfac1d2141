"""Compilation by numba, with a disk cache that is invalidated when any of the sources changes."""

from __future__ import annotations

import hashlib
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, cast

import numba
from llvmlite.binding import executionengine
from numba import extending
from numba.core import caching

__all__ = ["chosen", "compiled", "intrinsic", "stamp"]

PACKAGE = Path(__file__).parents[1]
SOURCES = "ops", "nn/compiled"
"""The folders of this package with compiled functions."""

PATIENCE = 1.0
"""Seconds of compilation after which a message is printed."""

CALLED_BACK = "_raw_object_cache_notify", "_raw_object_cache_getbuffer"
"""The functions of llvmlite that LLVM calls."""

_warned = False
_printed: list[bool] = []
_announcing = threading.Lock()


def compiled(*, inline: bool = False, fastmath: bool | set[str] = False) -> Callable[..., Callable[..., Any]]:
    """Compile a function with numba on its first call, to serial code (numba's threads do not survive a fork) that
    releases the GIL.

    By default numba reuses cached code until the function's own file changes, even if it calls functions from files
    that did change. Here it is recompiled when any file with compiled functions changes.

    Args:
        inline: Whether to inline it at every call. Worthwhile for small functions in the innermost loops, since an
            array is passed as seven numbers: without it backward takes twice as long.
        fastmath: Which rules of floating-point arithmetic the compiler may relax.
    """

    def compile_(function: Callable[..., Any]) -> Callable[..., Any]:
        made: Any = numba.njit(nogil=True, fastmath=fastmath, forceinline=inline, error_model="numpy")(function)
        if not inline:
            _attach_cache(made, function)
        by_type, build = made.get_call_template, made._compiler.compile  # the latter only runs if nothing is cached
        # Otherwise numba compiles a call with a literal 0 separately from one with any other integer.
        made.get_call_template = lambda arguments, names: by_type(tuple(map(numba.types.unliteral, arguments)), names)

        def announced(arguments: Any, returned: Any) -> Any:
            with _announced(), _signals_kept():
                return build(arguments, returned)

        made._compiler.compile = announced
        return cast("Callable[..., Any]", made)

    return compile_


@contextmanager
def _announced() -> Iterator[None]:
    """Print to stderr, once per process, that kernels are being compiled if that takes longer than `PATIENCE`."""
    if _announcing.locked() or _printed:
        yield
        return
    with _announcing:
        timer = threading.Timer(PATIENCE, _announce)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Handle a signal that arrives while LLVM works when the compilation is over.

    Python would handle it as soon as LLVM calls back. There ctypes drops the exception of the handler, such as
    `KeyboardInterrupt`, and the signal would be lost.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    late: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if _is_called_back(frame):
            late.append(number)
        else:
            handlers[number](number, frame)

    for number in handlers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if late:
            handlers[late[0]](late[0], None)


def _is_called_back(frame: FrameType | None) -> bool:
    """Whether LLVM has called the code of a frame."""
    while frame is not None:
        if frame.f_globals.get("__name__") == executionengine.__name__ and frame.f_code.co_name in CALLED_BACK:
            return True
        frame = frame.f_back
    return False


def _announce() -> None:
    _printed.append(True)
    print(
        "ddstructs: compiling kernels; this takes up to a minute or two, once "
        "(`python -m ddstructs.nn warm` compiles them in advance)",
        file=sys.stderr,
        flush=True,
    )


def chosen(function: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a function that returns an implementation by argument types, which is inlined at every call."""
    options: Any = {"error_model": "numpy", "forceinline": True}
    return cast("Callable[..., Any]", extending.overload(function, jit_options=options, strict=False))


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function that returns a signature for numba, and a function that emits its LLVM code."""
    return cast("Callable[..., Any]", extending.intrinsic(function))


def stamp() -> str:
    """A hash of the sources of all compiled code."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in SOURCES for path in (PACKAGE / folder).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


_STAMP = stamp()


class Cache(caching.FunctionCache):
    """A cache that is never worse than none: code whose entry is damaged or cannot be written is compiled again."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        self._cache_file._source_stamp = _STAMP
        # Numba compares versions before it unpickles an index, and stamps afterwards. An index from other sources may
        # refer to classes that do not exist here.
        self._cache_file._version = f"{numba.__version__} {_STAMP}"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with _signals_kept():
            try:
                return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
            except Exception as error:
                _warn(f"the cache cannot be read ({_one_line(error)})")
                return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except Exception as error:
            _warn(f"the cache cannot be written ({_one_line(error)})")


def _attach_cache(dispatcher: Any, function: Callable[..., Any]) -> None:
    try:
        dispatcher._cache = Cache(function)
    except Exception as error:  # numba finds no writable folder
        _warn(_one_line(error))


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _warn(reason: str) -> None:
    """Warn, once per process, that compiled code is not cached."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"the compiled kernels of ddstructs are not cached: {reason}; each process compiles them again, unless "
            "NUMBA_CACHE_DIR names a writable folder",
            RuntimeWarning,
            stacklevel=2,
        )
