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

    `torch.export` with `strict=False`, its default, runs it as it is.

    Args:
        reason: Printed by torch if a graph without breaks is demanded.
    """

    def decorate(method: Method) -> Method:
        outside = torch.compiler.disable(method, reason=reason)

        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            return outside(*args, **kwargs) if torch.compiler.is_dynamo_compiling() else method(*args, **kwargs)

        return cast("Method", call)

    return decorate
