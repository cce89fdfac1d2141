"""Methods that `torch.compile` leaves as they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import torch

__all__ = ["uncompiled"]

Method = TypeVar("Method", bound=Callable[..., Any])


def uncompiled(reason: str) -> Callable[[Method], Method]:
    """Decorate a method that `torch.compile` is to call without tracing it; the code around it is compiled.

    `torch.export` traces it, since an exported program cannot call Python.

    Args:
        reason: Printed by torch if a graph without breaks is demanded.
    """

    def decorate(method: Method) -> Method:
        outside = torch.compiler.disable(method, reason=reason)

        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            tracing = torch.compiler.is_dynamo_compiling() and not torch.compiler.is_exporting()
            return outside(*args, **kwargs) if tracing else method(*args, **kwargs)

        return cast("Method", call)

    return decorate
