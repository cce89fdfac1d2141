"""Backward passes that raise an error when differentiated.

`torch.autograd.function.once_differentiable` raises too, but only if an incoming gradient requires a gradient. With the
loss `reads.sum()` none does, although the outgoing gradients depend on the actions: a penalty on them would silently
have no effect. Its message also cannot suggest a solution.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

__all__ = ["differentiable_once", "refuse"]

Grads = tuple[Tensor | None, ...]


def refuse(ctx: Any, *_: Tensor | None) -> Any:
    """Raise an error, as the backward pass of a backward pass.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError(
        "the kernels of ddstructs can only be differentiated once: for a second derivative run the forward pass "
        'under `with ddstructs.ops.using("reference"):`'
    )


def differentiable_once(backward: Callable[..., Grads]) -> Callable[..., Any]:
    """Mark the `backward` of a `Function`: it runs without autograd, and differentiating its result raises."""

    @wraps(backward)
    def checked(ctx: Any, *grads: Tensor | None) -> Any:
        if not torch.is_grad_enabled():
            return backward(ctx, *grads)
        with torch.no_grad():
            results = backward(ctx, *grads)
        return Refusing.apply(*(part if part is None else part.detach().requires_grad_() for part in results))  # type: ignore[no-untyped-call]

    return checked


class Refusing(Function):
    """The identity, which raises an error when differentiated."""

    @staticmethod
    def forward(ctx: Any, *grads: Tensor | None) -> Grads:
        return grads

    backward = staticmethod(refuse)
