"""Run an exported controller in ONNX Runtime, without PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ddstructs.errors import InputError, one_line
from ddstructs.export.packages import require

__all__ = ["PADDING", "OnnxRunner"]

PADDING = -1
"""The symbol that leaves the state of a row as it is."""

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
"""The dtypes of ONNX Runtime that occur here."""

State = dict[str, NDArray[Any]]
"""The tensors of a state by name; zeros are the state before the first step."""


@final
class OnnxRunner:
    """A controller in an ONNX file that `to_onnx` wrote.

    Args:
        path: The file, or its content.

    Attributes:
        input_symbols: Number of input symbols.
        output_symbols: Number of output symbols; the last one is the end symbol.
        capacity: Maximum number of values in each line memory.
        task: Name of the task, if the file has one.
        input_names: Display names of the input symbols, if the file has them.
        output_names: Display names of the output symbols, if the file has them.

    Raises:
        InputError: If ONNX Runtime is missing (the extra `onnx`), or if the file is missing or was not
            written by `to_onnx`.
    """

    def __init__(self, path: str | Path | bytes) -> None:
        require("onnxruntime")
        name = "the file" if isinstance(path, bytes) else one_line(path)
        content = path if isinstance(path, bytes) else _read(path, name)
        import onnxruntime

        try:
            self.session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a class of its own for each way to fail
            raise InputError(f"{name} is not an ONNX file, or it is damaged: {one_line(error)[:200]}") from error
        said: Mapping[str, str] = self.session.get_modelmeta().custom_metadata_map
        try:
            self.input_symbols, self.output_symbols = int(said["input_symbols"]), int(said["output_symbols"])
            self.capacity = int(said["capacity"])
            self.task = said.get("task")
            self.input_names: list[str] | None = json.loads(said.get("input_names", "null"))
            self.output_names: list[str] | None = json.loads(said.get("output_names", "null"))
        except (KeyError, ValueError) as error:
            raise InputError(f"{name} is not an ONNX file of a controller: expected one that to_onnx wrote") from error

    def initial_state(self, batch_size: int) -> State:
        """The state before the first step: zeros. A row that is set to zeros begins afresh.

        Raises:
            TypeError: If the batch size is not an integer.
            ValueError: If it is negative.
        """
        if not isinstance(batch_size, Integral):
            raise TypeError(f"batch_size is {batch_size!r}, but an int was expected: the number of rows")
        if batch_size < 0:
            raise ValueError(f"batch_size is {batch_size}, but 0 or more was expected")
        state: State = {}
        for each in self.session.get_inputs():
            if each.name != "symbols":
                shape = [batch_size if isinstance(size, str) else size for size in each.shape]
                state[each.name] = np.zeros(shape, DTYPES[each.type])
        return state

    def __call__(self, symbols: Any, state: State | None = None) -> tuple[NDArray[Any], State]:
        """Read symbols.

        Args:
            symbols: Input symbols, shape `(batch, time)`, int; `PADDING`, or any number below 0, leaves a row as it is.
            state: The state to go on from; the initial one if not given. It is not modified.

        Returns:
            Logits, shape `(batch, time, output_symbols)`, and the state after.

        Raises:
            InputError: If a symbol is out of range, or if a row has more values than the memory has room for.
            ValueError: If a shape does not fit.
        """
        logits, overflow, state = self.run(symbols, state)
        if overflow.any():
            row, step = np.argwhere(overflow)[0]
            raise InputError(
                f"row {row} has more than {self.capacity} values in its memory at step {step}: export the controller "
                "with a larger capacity"
            )
        return logits, state

    def run(self, symbols: Any, state: State | None = None) -> tuple[NDArray[Any], NDArray[np.bool_], State]:
        """As calling the runner, but return where a row has overflowed, shape `(batch, time)`, instead of raising.

        Logits after an overflow are not those of the network.
        """
        try:
            symbols = np.asarray(symbols)
        except ValueError as error:
            raise ValueError(
                "symbols has rows of different lengths, but ints of shape (batch, time) were expected: "
                f"pad the shorter ones with {PADDING}"
            ) from error
        if symbols.ndim != 2 or not np.issubdtype(symbols.dtype, np.integer):
            raise ValueError(
                f"symbols is {symbols.dtype} of shape {symbols.shape}, but ints of shape (batch, time) were expected"
            )
        if symbols.max(initial=0) >= self.input_symbols:
            raise InputError(f"symbol {symbols.max()} is not among the {self.input_symbols} input symbols")
        fresh = self.initial_state(len(symbols))
        state = fresh if state is None else state
        if not isinstance(state, Mapping) or not all(isinstance(part, np.ndarray) for part in state.values()):
            raise TypeError(
                f"state is {_shown(state)}, but one that an earlier call or initial_state returned was expected"
            )
        if _shapes(state) != _shapes(fresh):
            raise ValueError(
                f"the state has the shapes {_shapes(state)}, but {_shapes(fresh)} were expected: it belongs to another "
                "batch or another network"
            )
        for name, part in fresh.items():
            if state[name].dtype != part.dtype:
                raise TypeError(f"{name} of the state is {state[name].dtype}, but {part.dtype} was expected")
        outputs = {each.name: each for each in self.session.get_outputs()}
        if not symbols.size:  # ONNX Runtime cannot loop over nothing
            dtype = DTYPES[outputs["logits"].type]
            return np.zeros((*symbols.shape, self.output_symbols), dtype), np.zeros(symbols.shape, np.bool_), state
        came: Any = self.session.run(list(outputs), {"symbols": symbols.astype(np.int64), **state})
        found = dict(zip(outputs, came, strict=True))
        return found["logits"], found["overflow"], {name: found[f"next.{name}"] for name in fresh}

    def decode(self, prompts: Sequence[Sequence[int]], limit: int | None = None) -> list[list[int]]:
        """Decode greedily: read each prompt, then feed each output back as the next input, until the end symbol.

        As `Controller.decode`, for tasks whose answers are the next inputs.

        Args:
            prompts: Input symbols, one sequence for each row, of any lengths from 1.
            limit: Maximum number of symbols in an answer; twice the length of its prompt if not given.

        Returns:
            The output symbols of each row, with the end symbol if it came.

        Raises:
            InputError: If a prompt is empty, or as for reading symbols.
            TypeError: If a prompt is not a sequence of ints, or if `limit` is not an int.
        """
        if limit is not None and not isinstance(limit, Integral):
            raise TypeError(f"limit is {limit!r}, but an int was expected: the maximum number of symbols of an answer")
        rows = [self._prompt(number, prompt) for number, prompt in enumerate(_listed(prompts))]
        lengths = np.array([len(row) for row in rows])
        symbols = np.full((len(rows), lengths.max()), PADDING)
        for row, prompt in zip(symbols, rows, strict=True):
            row[: len(prompt)] = prompt
        limits = 2 * lengths if limit is None else np.full_like(lengths, limit)
        end, first = self.output_symbols - 1, self.input_symbols - (self.output_symbols - 1)
        logits, state = self(symbols)
        answer = logits[np.arange(len(prompts)), lengths - 1].argmax(-1)
        answers: list[list[int]] = [[] for _ in prompts]
        going = limits > 0
        while True:
            for row in np.flatnonzero(going):
                answers[row].append(int(answer[row]))
            going &= (answer != end) & (limits > np.array([len(each) for each in answers]))
            if not going.any():
                return answers
            logits, state = self(np.where(going, answer + first, PADDING)[:, None], state)
            answer = logits[:, 0].argmax(-1)

    def _prompt(self, number: int, prompt: Any) -> NDArray[Any]:
        """A prompt as an array of ints."""
        try:
            row = np.asarray([] if isinstance(prompt, str | bytes) and not prompt else prompt)
        except ValueError:  # rows of different lengths
            row = np.asarray(None)
        if row.ndim == 1 and not row.size:
            raise InputError(f"prompt {number} is empty, but one symbol or more was expected")
        if row.ndim != 1 or not np.issubdtype(row.dtype, np.integer):
            raise TypeError(
                f"prompt {number} is {_shown(prompt)}, but a list of ints in 0..{self.input_symbols - 1} was expected: "
                "the numbers of its symbols, whose names, if any, are in input_names"
            )
        return row


def _listed(prompts: Any) -> list[Any]:
    """The prompts as a list of one or more."""
    if isinstance(prompts, str | bytes) or not hasattr(prompts, "__iter__"):
        raise TypeError(f"prompts is {_shown(prompts)}, but a list of prompts was expected, each a list of ints")
    if not (listed := list(prompts)):
        raise InputError("there are no prompts, but one or more were expected")
    return listed


def _shown(value: object) -> str:
    """A value for an error, in one line and cut short."""
    return one_line(repr(value))[:60]


def _read(path: str | Path, name: str) -> bytes:
    if not Path(path).is_file():
        raise InputError(f"there is no file {name}")
    return Path(path).read_bytes()


def _shapes(state: State) -> dict[str, tuple[int, ...]]:
    return {name: part.shape for name, part in state.items()}
