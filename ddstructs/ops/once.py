"""Backward passes that cannot be differentiated again, and say so.

`torch.autograd.function.once_differentiable` refuses too, but only if an incoming gradient requires a gradient. With
`reads.sum()` for a loss none does, although the outgoing gradients depend on the actions: a penalty on them would
silently train nothing. Its message also cannot name the remedy.
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
    """The backward pass of a backward pass.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError(
        "the kernels of ddstructs are differentiated once: for a second derivative run the forward pass "
        'under `with ddstructs.ops.using("reference"):`'
    )


def differentiable_once(backward: Callable[..., Grads]) -> Callable[..., Any]:
    """Mark the `backward` of a `Function`: it runs without autograd, and differentiating its result raises."""

    @wraps(backward)
    def marked(ctx: Any, *grads: Tensor | None) -> Any:
        if not torch.is_grad_enabled():
            return backward(ctx, *grads)
        with torch.no_grad():
            found = backward(ctx, *grads)
        return Refusing.apply(*(part if part is None else part.detach().requires_grad_() for part in found))  # type: ignore[no-untyped-call]

    return marked


class Refusing(Function):
    """The identity, which refuses to be differentiated."""

    @staticmethod
    def forward(ctx: Any, *grads: Tensor | None) -> Grads:
        return grads

    backward = staticmethod(refuse)
