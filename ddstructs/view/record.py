"""Record a trace: run a model once and keep everything it does with its memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from ddstructs.actions import harden, mapped
from ddstructs.memory import Memory
from ddstructs.nn.layer import MemoryLayer
from ddstructs.nn.rnn import MemoryRNN
from ddstructs.view.replay import replay
from ddstructs.view.trace import Trace

if TYPE_CHECKING:
    from ddstructs.tasks.task import Task
    from ddstructs.training.learner import Learner

__all__ = ["Recording", "Text", "rounding", "trace"]

Text = Sequence[Sequence[str]]


class Recording(NamedTuple):
    """The parts of a trace that come from the model itself, batch first.

    The rows of `actions` are those of the batch times the heads of a layer, and `where` tells which layer it is.
    """

    actions: Any
    lengths: Tensor
    input: Tensor
    output: Tensor
    rounded: Tensor
    input_text: Text
    output_text: Text
    where: str = ""


@torch.no_grad()
def trace(
    model: Memory | MemoryRNN | MemoryLayer | Learner,
    x: Any,
    *,
    task: Task | None = None,
    title: str | None = None,
    input_text: Text | None = None,
    output_text: Text | None = None,
    layer: int | None = None,
    head: int | None = None,
) -> Trace:
    """Run a model from an empty memory, and record every step.

    Args:
        model: The model to trace.
        x: For a `Memory`, the actions of a sequence. For a `MemoryRNN` or a `MemoryLayer`, its input in its usual form.
            For a `Controller` or a `SequenceModel`, one or more texts (which need `task`) or a batch, which it answers
            greedily as `predict` does; or input symbols `(batch, time)`, which it runs on without feeding back its
            output.
        task: The task of the model, which encodes text and names the symbols.
        title: Title of the trace; the task and the memory if not given.
        input_text: Display symbols of the inputs, one per row and step, if the task has no names for them.
        output_text: Display symbols of the outputs, likewise.
        layer: The layer of a `SequenceModel`, counted from 0; the first one with a memory if not given.
        head: The head of a `MemoryLayer`, counted from 0, each of which has its own memory; the first if not given.

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
        if isinstance(model, Memory | MemoryRNN | MemoryLayer):
            if layer is not None:
                raise ValueError(f"layer is {layer}, but a {type(model).__name__} has no layers: leave layer out")
            memory = model if isinstance(model, Memory) else model.memory
            run = _run_memory(model, x) if isinstance(model, Memory) else _run_network(model, x)
        else:
            from ddstructs.view.transduce import run_model  # imports Lightning

            memory, run = run_model(model, x, task, layer)
    for name, part in (("actions", run.actions.value), ("outputs", run.output)):
        wrong = (~part.isfinite()).flatten(2).any(2).any(0) if part.dim() > 2 else (~part.isfinite()).any(0)
        if wrong.any():
            raise ValueError(
                f"the {name} of step {int(wrong.int().argmax())} are not finite: the model cannot be traced"
            )
    batch, time = run.input.shape[:2]
    heads = max(1, len(run.actions.value) // max(1, batch))
    name = f"{type(memory).__name__}{run.where}"
    if heads > 1:
        name = f"{name}, head {head or 0}"
    run = run._replace(actions=_of_head(run.actions, heads, head))
    history = replay(memory, run.actions)
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


def _run_network(network: MemoryRNN | MemoryLayer, x: object) -> Recording:
    if not isinstance(x, Tensor):
        raise TypeError(f"x is a {type(x).__name__}, but a {type(network).__name__} is traced on a tensor")
    x = x[None] if x.dim() == 2 else x if network.batch_first else x.transpose(0, 1)
    run = network.unroll(x)
    with rounding([network]):
        hard = network.unroll(x)
    batch, time = x.shape[:2]
    none = [[""] * time] * batch
    return Recording(run.actions, torch.full((batch,), time), x, run.output, hard.output, none, none)


def _of_head(actions: Any, heads: int, head: int | None) -> Any:
    """The actions of one head, of those of all heads of a layer in rows of their own."""
    if head is not None and not 0 <= head < heads:
        if heads == 1:
            raise ValueError(f"head is {head}, but this memory has a single one: leave head out, or give 0")
        raise ValueError(f"head is {head}, but a number from 0 to {heads - 1} was expected")
    return mapped(lambda part: part[head or 0 :: heads], actions)


@contextmanager
def rounding(networks: Iterable[MemoryRNN | MemoryLayer]) -> Iterator[None]:
    """Round the actions of networks within a block."""
    before = [(network, network.hard) for network in networks]
    for network, _ in before:
        network.hard = True
    try:
        yield
    finally:
        for network, hard in before:
            network.hard = hard


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
