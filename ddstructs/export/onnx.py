"""A trained controller as an ONNX file, which runs without PyTorch."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import torch

from ddstructs import ops
from ddstructs.errors import InputError
from ddstructs.export.packages import require
from ddstructs.export.runner import OnnxRunner
from ddstructs.export.step import Step
from ddstructs.files import write_atomically
from ddstructs.memory import check_size
from ddstructs.registry.describe import describe
from ddstructs.tasks.task import Task
from ddstructs.training.controller import Controller

__all__ = ["to_onnx"]

LARGEST = 2**27
"""Largest number of elements in the buffer of one row: half a gigabyte in float32."""

TOLERANCE = 1e-4
"""Largest difference of a logit between PyTorch and the file, relative to the largest logit."""


def to_onnx(model: Controller, path: str | Path, *, capacity: int = 256, task: Task | None = None) -> None:
    """Write a controller with hard signals as an ONNX file.

    The graph is a loop over time, so that batch size and time are free. Its inputs are `symbols`, shape
    `(batch, time)`, int64, and the tensors of the state; its outputs are `logits`, shape
    `(batch, time, output_symbols)`, `overflow`, shape `(batch, time)`, bool, and the state after, under the same names
    with `next.` before them. A state of zeros is the initial one, and a row of zeros begins afresh. Symbols below 0 are
    padding, which leaves the state of a row as it is. `ddstructs.OnnxRunner` runs such a file.

    Signals are rounded to 0 or 1, as with `hard=True`: an ONNX graph has tensors of fixed size, and with fractional
    signals a memory holds a number of values that grows with time. From the step at which a row would hold more than
    `capacity` values in one memory, its `overflow` is true, and its logits are not those of the network.

    Before it is written, the file is compared with the network on random symbols in ONNX Runtime.

    Args:
        model: The controller. Its memory is a line memory such as a stack, a queue or a deque, a bank of these, or
            `NoMemory`.
        path: The file, usually with the ending `.onnx`. It is replaced completely or not at all.
        capacity: Maximum number of values in each line memory. The state, and the time of a step, grow with it.
        task: The task, whose name and symbols are stored in the file.

    Raises:
        InputError: If a package is missing (the extra `onnx`), if the state of the memory grows with
            time, if the task has other symbols than the controller, or if the export fails.
        TypeError: If `model` is not a `Controller`, or if its weights are neither float32 nor float64.
        ValueError: If the capacity is less than 1.
        OSError: If the file cannot be written.
    """
    check_size("capacity", capacity)
    if not isinstance(model, Controller):
        raise TypeError(
            f"model is a {type(model).__name__}, but a Controller was expected: other networks have layers, such as "
            "attention, whose state grows with time, and a graph has tensors of fixed size"
        )
    dtypes = {weight.dtype for weight in model.parameters()}
    if not dtypes <= {torch.float32, torch.float64}:
        raise TypeError(f"model has weights of {dtypes.pop()}, but ONNX Runtime needs float32: use model.float()")
    most = LARGEST // max(1, model.rnn.memory.width)
    if capacity > most:
        raise InputError(f"capacity is {capacity}, but values of width {model.rnn.memory.width} take at most {most}")
    if task is not None and (task.input_symbols, task.output_symbols) != (model.input_symbols, model.output_symbols):
        raise InputError(
            f"{type(task).__name__} has {task.input_symbols} input and {task.output_symbols} output symbols, but the "
            f"controller has {model.input_symbols} and {model.output_symbols}"
        )
    require("onnx", "onnxscript", "onnxruntime")
    from ddstructs.export.graph import build

    step = Step(model, capacity)
    content = build(step, _metadata(model, capacity, task)).SerializeToString()
    _compare(model, step, content)
    write_atomically(path, content)


def _metadata(model: Controller, capacity: int, task: Task | None) -> dict[str, str]:
    """What the file says of itself: plain text, and JSON for the memory and the names of the symbols."""
    said = {
        "input_symbols": str(model.input_symbols),
        "output_symbols": str(model.output_symbols),
        "capacity": str(capacity),
        "memory": json.dumps(describe(model.rnn.memory)),
    }
    if task is not None:
        said |= {
            "task": type(task).__name__,
            "feeds_back": json.dumps(task.feeds_back),
            "input_names": json.dumps([task.input_name(symbol) for symbol in range(task.input_symbols)]),
            "output_names": json.dumps([task.output_name(symbol) for symbol in range(task.output_symbols)]),
        }
    return said


@torch.no_grad()
def _compare(model: Controller, step: Step, content: bytes) -> None:
    """Raise an error unless the file computes what the network does, as long as no row overflows."""
    runner = OnnxRunner(content)
    network = copy.deepcopy(step.rnn)
    network.memory = model.rnn.memory
    generator = torch.Generator().manual_seed(0)
    symbols = torch.randint(model.input_symbols, (4, 16), generator=generator)
    with ops.using("reference"):
        expected = step.classify(network(step.embed(symbols))[0])
    came, overflow, _ = runner.run(symbols.numpy())
    difference = np.abs(came - expected.numpy())[~overflow].max(initial=0.0)
    if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise InputError(
            f"the file would give logits that differ by {difference:.1e} from those of the controller: its "
            f"{type(model.rnn.cell).__name__} does not survive the export, or its weights are not finite"
        )
