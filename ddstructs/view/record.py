"""Record a trace: run a model once and keep everything it does with its memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from ddstructs.actions import harden
from ddstructs.memory import Memory
from ddstructs.nn.rnn import MemoryRNN, Unrolled
from ddstructs.view.replay import replay
from ddstructs.view.trace import Trace

if TYPE_CHECKING:
    from ddstructs.tasks.task import Task
    from ddstructs.training.controller import Controller

__all__ = ["Recording", "Text", "rounded", "trace"]

Text = Sequence[Sequence[str]]


class Recording(NamedTuple):
    """The parts of a trace that come from the model itself, batch first."""

    actions: Any
    lengths: Tensor
    input: Tensor
    output: Tensor
    rounded: Tensor
    input_text: Text
    output_text: Text


@torch.no_grad()
def trace(
    model: Memory | MemoryRNN | Controller,
    x: Any,
    *,
    task: Task | None = None,
    title: str | None = None,
    input_text: Text | None = None,
    output_text: Text | None = None,
) -> Trace:
    """Run a model from an empty memory, and record every step.

    Args:
        model: The model to trace.
        x: For a `Memory`, the actions of a sequence. For a `MemoryRNN`, its input in its usual form. For a
            `Controller`, one or more texts (which need `task`) or a batch, which it answers greedily as `predict`
            does; or input symbols `(batch, time)`, which it runs on without feeding back its output.
        task: The task of a `Controller`, which encodes text and names the symbols.
        title: Title of the trace; the task and the memory if not given.
        input_text: Display symbols of the inputs, one per row and step, if the task has no names for them.
        output_text: Display symbols of the outputs, likewise.

    Returns:
        The trace. The model and torch's random state are unchanged.

    Raises:
        ValueError: If a shape does not fit, or if the model's numbers are not finite.
        TypeError: If `model` or `x` has an unsupported type.

    Example:
        >>> import torch
        >>> from ddstructs import Action, Stack, trace
        >>> push, pop = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0]])
        >>> recorded = trace(Stack(2), Action(push[..., None], pop[..., None], torch.randn(1, 3, 1, 2)))
        >>> recorded.strengths[0].sum(dim=1).tolist()  # the depth over time
        [1.0, 2.0, 1.0]
    """
    with _evaluating(model):
        if isinstance(model, Memory):
            memory, run = model, _run_memory(model, x)
        elif isinstance(model, MemoryRNN):
            memory, run = model.memory, _run_rnn(model, x)
        else:
            from ddstructs.view.transduce import run_controller  # imports Lightning

            memory, run = run_controller(model, x, task)
    for name, part in (("actions", run.actions.value), ("outputs", run.output)):
        wrong = (~part.isfinite()).flatten(2).any(2).any(0) if part.dim() > 2 else (~part.isfinite()).any(0)
        if wrong.any():
            raise ValueError(
                f"the {name} of step {int(wrong.int().argmax())} are not finite: the model cannot be traced"
            )
    history = replay(memory, run.actions)
    batch, time = run.actions.value.shape[:2]
    name = type(memory).__name__
    return Trace(
        title=title or (f"{type(task).__name__} with a {name}" if task else name),
        signals=_plain(memory.signals.numbers(run.actions)),
        labels=memory.signals.labels,
        value=_plain(run.actions.value),
        **history._asdict(),
        stores=memory.stores,
        ends=memory.ends,
        lengths=_plain(run.lengths),
        input=_plain(run.input),
        output=_plain(run.output),
        rounded=_plain(run.rounded),
        input_text=_text("input_text", input_text, run.input_text, batch, time),
        output_text=_text("output_text", output_text, run.output_text, batch, time),
    )


def _run_memory(memory: Memory, actions: Any) -> Recording:
    memory.check(actions, time=True)
    batch, time = actions.value.shape[:2]
    if not batch * time:
        raise ValueError("x has no steps, but one or more were expected")
    reads, _ = memory(actions)
    rounded, _ = memory(harden(actions))
    none = [[""] * time] * batch
    return Recording(actions, torch.full((batch,), time), actions.value, reads, rounded, none, none)


def _run_rnn(rnn: MemoryRNN, x: object) -> Recording:
    if not isinstance(x, Tensor):
        raise TypeError(f"x is a {type(x).__name__}, but a MemoryRNN is traced on a tensor")
    x = x[None] if x.dim() == 2 else x if rnn.batch_first else x.transpose(0, 1)
    run = rnn.unroll(x)
    batch, time = x.shape[:2]
    none = [[""] * time] * batch
    return Recording(run.actions, torch.full((batch,), time), x, run.output, rounded(rnn, x).output, none, none)


def rounded(rnn: MemoryRNN, x: Tensor, lengths: Tensor | None = None) -> Unrolled:
    """The same run with hard actions."""
    twin = copy.copy(rnn)  # shares the weights
    twin.hard = True
    return twin.unroll(x, lengths=lengths)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode within a block."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    before = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.training = training


def _text(name: str, given: Text | None, own: Text, batch: int, time: int) -> tuple[tuple[str, ...], ...]:
    text = tuple(tuple(row) for row in (own if given is None else given))
    if [len(row) for row in text] != [time] * batch:
        raise ValueError(
            f"{name} has {len(text)} rows of {sorted({len(row) for row in text})} symbols, "
            f"but {batch} of {time} were expected"
        )
    return text


def _plain(part: Tensor) -> Tensor:
    return part.detach().to("cpu", torch.float64 if part.is_floating_point() else torch.int64).contiguous()
