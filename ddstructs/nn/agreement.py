"""How far the fast path of a module is from the reference, on a batch of the user's own."""

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
    """The distance of a module's fast path from the reference.

    Each distance is the largest difference between two numbers of a tensor, relative to the largest number of the
    reference in that tensor. It is infinite if only one of the two is NaN, or if the shapes differ.

    Attributes:
        outputs: The largest distance of an output.
        gradients: The largest distance of a gradient.
        distances: All distances, by name: outputs are numbered, gradients have the names of inputs and parameters.
    """

    outputs: float
    gradients: float
    distances: dict[str, float]

    def __str__(self) -> str:
        return f"outputs differ by {self.outputs:.1e} and gradients by {self.gradients:.1e}, relative to the largest"


def check_agreement(module: nn.Module, *inputs: Any, **options: Any) -> Agreement:
    """Run a module by its fast path and by the reference, and compare outputs and gradients.

    The reference is the equations of the paper in plain torch (`ddstructs.ops.using("reference")`). Both runs draw the
    same random numbers. The loss whose gradients are compared weighs each number of the outputs differently. Gradients
    of the module and the state of the random generator of the CPU are left as they are.

    Args:
        module: A `MemoryRNN`, a `MemoryLayer`, or any module that has a memory in it.
        inputs: Its inputs. Those that are floating-point tensors get a gradient.
        options: Keyword arguments of its forward pass.

    Returns:
        The distances. In float32, up to about 1e-4 is rounding; sequences of thousands of steps may give more, since
        rounding errors add up. In float64 they are smaller by nine orders of magnitude.

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
    found: list[dict[str, float]] = []
    for mine, exact in zip(fast, reference, strict=True):
        names = mine.keys() | exact.keys()
        found.append({name: _distance(mine.get(name), exact.get(name)) for name in sorted(names)})
    outputs, gradients = found
    return Agreement(max(outputs.values(), default=0.0), max(gradients.values(), default=0.0), outputs | gradients)


def _run(
    module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Outputs and gradients, by name."""
    given = [
        part.detach().clone().requires_grad_() if isinstance(part, Tensor) and part.is_floating_point() else part
        for part in inputs
    ]
    with torch.enable_grad():
        outputs = {f"output {n}": part for n, part in enumerate(_tensors(module(*given, **options)))}
        loss = sum(
            (part * torch.linspace(0.5, 1.5, part.numel(), dtype=part.dtype, device=part.device).view_as(part)).sum()
            for part in outputs.values()
            if part.requires_grad
        )
    sources = {f"input {n}": part for n, part in enumerate(given) if isinstance(part, Tensor) and part.requires_grad}
    sources |= {name: part for name, part in module.named_parameters() if part.requires_grad}
    if not isinstance(loss, Tensor):
        return outputs, {}
    gradients = torch.autograd.grad(loss, list(sources.values()), materialize_grads=True)
    return outputs, dict(zip(sources, gradients, strict=True))


def _tensors(part: Any) -> Iterator[Tensor]:
    """The floating-point tensors of an output; for the state of a line, which kernels store differently, its slots."""
    if isinstance(part, Tensor):
        if part.is_floating_point():
            yield part
    elif isinstance(part, PackedSequence):
        yield part.data
    elif isinstance(part, LineState):
        slots = part.slots()
        yield from compact(Contents(slots.values, slots.strengths))
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
