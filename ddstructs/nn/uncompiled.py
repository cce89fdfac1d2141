"""Methods that `torch.compile` does not trace."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import torch

__all__ = ["TRACES", "uncompiled"]

Method = TypeVar("Method", bound=Callable[..., Any])

TRACES = torch.__version__ >= "2.13"  # a `TorchVersion`, which compares numbers
"""Whether `torch.compile` can trace a network. That of torch 2.8 cannot; releases in between were not tried."""


def uncompiled(reason: str, unless: Callable[..., bool]) -> Callable[[Method], Method]:
    """Decorate a method that `torch.compile` should call without tracing; the code around it is still compiled.

    `torch.export` with `strict=False`, its default, executes it as ordinary Python.

    Args:
        reason: Shown by torch if a full graph is required.
        unless: Called with the arguments of the method: whether to trace it nevertheless, if this torch can.
    """

    def decorate(method: Method) -> Method:
        outside = torch.compiler.disable(method, reason=reason if TRACES else "only torch 2.13 or newer can trace it")

        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_dynamo_compiling() and not (TRACES and unless(*args, **kwargs)):
                return outside(*args, **kwargs)
            return method(*args, **kwargs)

        return cast("Method", call)

    return decorate
