"""The kernels of the memories, and the selection among them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ddstructs.memory import Action
from ddstructs.ops import operators, parallel, reference
from ddstructs.ops.layout import End, Head, Layout, LineState, Slots, compact, strength_dtype
from ddstructs.state import tensors

__all__ = [
    "End",
    "Head",
    "Kernel",
    "Layout",
    "LineState",
    "Slots",
    "compact",
    "kernel_fits",
    "on_tape",
    "scan",
    "step",
    "strength_dtype",
    "using",
]

Kernel = Literal["auto", "reference", "parallel"]
_choice: Kernel = "auto"

PROCESS = os.getpid()
"""The process that imported this package, as opposed to one forked from it."""

LONG = 16
"""Minimum number of steps for which `parallel` is faster than the reference."""


@contextmanager
def using(kernel: Kernel) -> Iterator[None]:
    """Choose the kernels used within a block, in all threads.

    Args:
        kernel: "reference" for the paper's equations in plain differentiable torch: slow, but twice differentiable, and
            the definition that the other kernels are compared with. "parallel" for whole sequences of a stack or a
            queue in plain torch, as used on devices without a kernel. "auto", the default, for the fastest applicable
            kernel.

    Raises:
        ValueError: If the kernel is unknown.

    Example:
        >>> import torch
        >>> from ddstructs import Action, Stack, ops
        >>> push = torch.tensor([[[0.5]]], requires_grad=True)
        >>> with ops.using("reference"):
        ...     reads, _ = Stack(1)(Action(push, torch.zeros(1, 1, 1), torch.ones(1, 1, 1, 1)))
        >>> slope, = torch.autograd.grad(reads.square().sum(), push, create_graph=True)
        >>> torch.autograd.grad(slope.sum(), push)[0].item()
        2.0
    """
    global _choice
    if kernel not in get_args(Kernel):
        raise ValueError(f"kernel is {kernel!r}, but the kernels are {', '.join(get_args(Kernel))}")
    previous, _choice = _choice, kernel
    try:
        yield
    finally:
        _choice = previous


def step(layout: Layout, action: Action, state: LineState) -> tuple[Tensor, LineState]:
    """One time step: the read `(batch, heads, width)` and the state after."""
    if on_tape(action.value):
        from ddstructs.ops import tape  # imports numba, so only when needed

        return tape.step(layout, action, state)
    if action.value.is_cuda and _only_decodes(action, state):
        from ddstructs.ops import cuda_steps  # imports triton

        return cuda_steps.step(layout, action, state)
    return reference.step(layout, action, state)


def scan(layout: Layout, actions: Action, state: LineState) -> tuple[Tensor, LineState]:
    """A whole sequence: the reads `(batch, time, heads, width)` and the state after."""
    value = actions.value
    if _choice != "parallel" and kernel_fits(value):
        return operators.scan(layout, actions, state)
    long = value.shape[1] >= LONG or _choice == "parallel"
    if long and parallel.fits(layout) and not torch.compiler.is_compiling() and _plain(value):
        return parallel.scan(layout, actions, state)
    return reference.scan(layout, actions, state)


def on_tape(value: Tensor) -> bool:
    """Whether single steps with these values run on a `tape.Tape`."""
    return value.device.type == "cpu" and not torch.compiler.is_compiling() and kernel_fits(value)


def _only_decodes(action: Action, state: LineState) -> bool:
    """Whether a step on a GPU needs no gradients, and runs at once rather than being recorded in a graph."""
    if torch.compiler.is_compiling() or torch.cuda.is_current_stream_capturing() or not kernel_fits(action.value):
        return False
    return not (torch.is_grad_enabled() and any(part.requires_grad for part in (*action, *tensors(state))))


def kernel_fits(value: Tensor) -> bool:
    """Whether a compiled kernel is allowed for these values, and its compiler installed."""
    return _plain(value) and _compiler_found(value.device.type)


def _plain(value: Tensor) -> bool:
    """Whether a faster kernel than the reference is allowed; none supports torch.func or forward-mode derivatives."""
    if _choice == "reference" or value.dtype not in _DTYPES:
        return False
    return torch.compiler.is_compiling() or not (_transformed() or forward_ad._current_level >= 0)


_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_transformed = torch._C._are_functorch_transforms_active
_COMPILERS = {"cpu": "numba", "cuda": "triton"}
_MISSING = {name for name in _COMPILERS.values() if find_spec(name) is None}  # without importing them, which is slow
_warned = set[str]()


def _compiler_found(device: str) -> bool:
    """Whether the compiler for a type of device is installed; warns once if one exists but is missing."""
    compiler = _COMPILERS.get(device)
    if compiler in _MISSING and compiler not in _warned and not torch.compiler.is_compiling():
        _warned.add(compiler)
        warnings.warn(
            f"ddstructs runs without {compiler}: sequences are slower, those of a deque quadratic in time and memory; "
            f"`pip install {compiler}` enables the fast kernels",
            RuntimeWarning,
            stacklevel=6,
        )
    return compiler is not None and compiler not in _MISSING
