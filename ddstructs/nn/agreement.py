"""Compare the fast path of a module with the reference, on your own batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ddstructs import ops
from ddstructs.memory import Contents
from ddstructs.ops import LineState, compact
from ddstructs.state import State

__all__ = ["Agreement", "check_agreement"]


class Agreement(NamedTuple):
    """The distance between a module's fast path and the reference.

    The distance of a tensor is its largest absolute difference from the reference, relative to the largest absolute
    value of the reference. It is infinite if a value is NaN in only one of the two, or if the shapes differ.

    Attributes:
        outputs: The largest distance over all outputs.
        gradients: The largest distance over all gradients.
        distances: Every distance by name: outputs are numbered, gradients are named after inputs and parameters.
    """

    outputs: float
    gradients: float
    distances: dict[str, float]

    def __str__(self) -> str:
        return f"outputs differ by {self.outputs:.1e} and gradients by {self.gradients:.1e}, relative to the largest"


def check_agreement(module: nn.Module, *inputs: Any, **options: Any) -> Agreement:
    """Run a module on its fast path and on the reference, and compare outputs and gradients.

    The reference is the paper's equations in plain torch (`ddstructs.ops.using("reference")`). Both runs draw the same
    random numbers. The gradients are those of a weighted sum of the outputs, with a different weight for each element.
    The module's own gradients and the state of the CPU's random generator are unchanged.

    Args:
        module: A `MemoryRNN`, a `MemoryLayer`, or any module that contains a memory.
        inputs: Its inputs. Gradients are also compared for floating-point tensors.
        options: Keyword arguments for its forward pass.

    Returns:
        The distances. In float32, up to about 1e-4 is rounding error; it accumulates, so sequences of thousands of
        steps may give more. In float64 the distances are nine orders of magnitude smaller.

    Example:
        >>> import torch
        >>> from ddstructs import MemoryRNN, Stack, check_agreement
        >>> rnn = MemoryRNN(8, 32, Stack(16))
        >>> agreement = check_agreement(rnn, torch.randn(20, 4, 8))
        >>> agreement.outputs < 1e-4, agreement.gradients < 1e-3
        (True, True)
    """
    generator = torch.random.get_rng_state()
    fast = _run(module, inputs, options)
    torch.random.set_rng_state(generator)
    with ops.using("reference"):
        reference = _run(module, inputs, options)
    torch.random.set_rng_state(generator)
    distances: list[dict[str, float]] = []
    for mine, exact in zip(fast, reference, strict=True):
        names = mine.keys() | exact.keys()
        distances.append({name: _distance(mine.get(name), exact.get(name)) for name in sorted(names)})
    outputs, gradients = distances
    return Agreement(max(outputs.values(), default=0.0), max(gradients.values(), default=0.0), outputs | gradients)


def _run(
    module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Outputs and gradients, by name."""
    leaves = [
        part.detach().clone().requires_grad_() if isinstance(part, Tensor) and part.is_floating_point() else part
        for part in inputs
    ]
    with torch.enable_grad():
        outputs = {f"output {n}": part for n, part in enumerate(_tensors(module(*leaves, **options)))}
        loss = sum(
            (part * torch.linspace(0.5, 1.5, part.numel(), dtype=part.dtype, device=part.device).view_as(part)).sum()
            for part in outputs.values()
            if part.requires_grad
        )
    sources = {f"input {n}": part for n, part in enumerate(leaves) if isinstance(part, Tensor) and part.requires_grad}
    sources |= {name: part for name, part in module.named_parameters() if part.requires_grad}
    if not isinstance(loss, Tensor):
        return outputs, {}
    gradients = torch.autograd.grad(loss, list(sources.values()), materialize_grads=True)
    return outputs, dict(zip(sources, gradients, strict=True))


def _tensors(part: Any) -> Iterator[Tensor]:
    """The floating-point tensors in an output; a line state, which each kernel stores its own way, as live slots."""
    if isinstance(part, Tensor):
        if part.is_floating_point():
            yield part
    elif isinstance(part, PackedSequence):
        yield part.data
    elif isinstance(part, LineState):
        slots = part.slots()
        values, strengths = compact(Contents(slots.values, slots.strengths))
        yield values
        yield torch.where(strengths > 0, strengths, 0)  # padding is any dead slot, whose strength may have a gradient
    elif isinstance(part, State):
        for field in fields(part):
            yield from _tensors(getattr(part, field.name))
    elif isinstance(part, dict):
        yield from _tensors(tuple(part.values()))
    elif isinstance(part, tuple | list):
        for each in part:
            yield from _tensors(each)


def _distance(mine: Tensor | None, exact: Tensor | None) -> float:
    if mine is None or exact is None or mine.shape != exact.shape:
        return torch.inf
    if not mine.numel():
        return 0.0
    mine, exact = mine.detach(), exact.detach()
    same = (mine == exact) | (mine.isnan() & exact.isnan())
    difference = torch.where(same, 0, (mine - exact).abs()).nan_to_num(torch.inf, torch.inf)
    scale = float(exact.nan_to_num(0.0, 0.0, 0.0).abs().max()) or 1.0
    return float(difference.max()) / scale
