"""The traced run of a model: it reads a source, then answers greedily."""

from __future__ import annotations

import torch
from torch import Tensor

from ddstructs.memory import Memory
from ddstructs.tasks.batch import IGNORE, SEPARATOR, START, Batch
from ddstructs.tasks.generated import Generated
from ddstructs.tasks.task import Task
from ddstructs.training.learner import Learner
from ddstructs.view.record import Recording, rounding

__all__ = ["run_model"]


def run_model(model: object, x: object, task: Task | None, layer: int | None) -> tuple[Memory, Recording]:
    """Run a model on an input of `trace`; return the memory of a layer and the recording.

    Raises:
        ValueError: If the layer has no memory.
        TypeError: If the model or the input has an unsupported type.
    """
    if not isinstance(model, Learner):
        raise TypeError(f"model is a {type(model).__name__}, but a Controller, MemoryRNN or Memory was expected")
    place = _place(model, layer)
    texts = [x] if isinstance(x, str) else x
    if isinstance(texts, list | tuple) and texts and all(isinstance(text, str) for text in texts):
        if not isinstance(task, Generated):
            raise TypeError("a text needs a task that encodes it: trace(model, text, task=Reversal())")
        x = task.assemble(*task.sources(texts))
    if isinstance(x, Batch):
        batch = Batch(*(part.to(model.device) for part in x))
        if task is None or task.feeds_back:
            inputs, answered, lengths = _answer(model, batch)
        else:
            inputs, answered, lengths = batch.inputs, batch.targets != IGNORE, batch.lengths.cpu()
    elif isinstance(x, Tensor) and x.dim() == 2 and x.dtype == torch.int64:
        inputs = x.to(model.device)
        answered, lengths = torch.ones_like(inputs, dtype=torch.bool), torch.full((len(inputs),), inputs.shape[1])
    else:
        raise TypeError(
            f"x is a {type(x).__name__}, but a {type(model).__name__} is traced on a text, a Batch, or int64 symbols "
            "(batch, time)"
        )
    run = model.run(inputs, lengths=lengths)
    with rounding(model.memory_modules):
        hard = model.run(inputs, lengths=lengths)
    output, hard_output = (torch.where(answered, each.logits.argmax(dim=-1), IGNORE) for each in (run, hard))
    real = torch.arange(inputs.shape[1], device=inputs.device) < lengths.to(inputs.device)[:, None]
    name_in, name_out = (task.input_name, task.output_name) if task else (str, str)
    shown = torch.where(real, inputs, IGNORE)
    texts_in, texts_out = (
        [[name(symbol) if symbol != IGNORE else "" for symbol in row] for row in rows.tolist()]
        for name, rows in ((name_in, shown), (name_out, output))
    )
    memory, actions = run.actions[model.places.index(place)]
    where = f", layer {place}" if len(model.places) > 1 else ""
    return memory, Recording(actions, lengths, inputs, output, hard_output, texts_in, texts_out, where)


def _place(model: Learner, layer: int | None) -> int:
    """The layer to trace."""
    places = model.places
    if not places:
        raise ValueError(f"this {type(model).__name__} has no memory to trace")
    if layer is not None and layer not in places:
        expected = " or ".join(map(str, places))
        raise ValueError(f"layer {layer} has no memory: {expected} was expected, counted from 0")
    return places[0] if layer is None else layer


def _answer(model: Learner, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """The inputs of a model that answers greedily, the steps that need an answer, and the lengths."""
    prompt = (batch.inputs == SEPARATOR).int().argmax(dim=1) + 1
    longest = int(prompt.max())
    answers = model.decode(batch)[:, longest:]
    count = (answers != IGNORE).sum(dim=1)
    lengths = prompt + count - 1
    inputs = torch.full((len(prompt), int(lengths.max())), START, device=prompt.device)
    answered = torch.zeros_like(inputs, dtype=torch.bool)
    first = model.input_symbols - (model.output_symbols - 1)
    for row, (p, n) in enumerate(zip(prompt.tolist(), count.tolist(), strict=True)):
        inputs[row, :p] = batch.inputs[row, :p]
        inputs[row, p : p + n - 1] = answers[row, : n - 1] + first
        answered[row, : p - 1] = batch.targets[row, : p - 1] != IGNORE
        answered[row, p - 1 : p + n - 1] = True
    return inputs, answered, lengths.cpu()
