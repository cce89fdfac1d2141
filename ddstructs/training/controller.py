"""The LightningModule that learns to transduce with any memory, any cell and any task."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

from ddstructs.memory import Memory
from ddstructs.nn.rnn import MemoryRNN, RNNState
from ddstructs.registry.describe import describe
from ddstructs.registry.spec import build
from ddstructs.training.learner import Learner, Outcome, Told
from ddstructs.training.scoring import Scoring

__all__ = ["Controller"]


POSITIVE = {"hidden_size": 1, "embedding_size": 1, "decay_steps": 1}
"""Settings that count something, and the least that each may be."""


class Controller(Learner):
    """A transducer: symbols are embedded, a `MemoryRNN` runs over them, and a linear layer names the next symbol.

    Trained with teacher forcing; the loss is the cross entropy of the target symbols and the end symbol. `predict`
    decodes greedily, feeding the controller its own output. Up to the first error greedy decoding sees the very
    symbols of the target, so both accuracies are exact from one teacher-forced pass, and validation and test use that.

    Logged for train, val and test: `loss`, `coarse` and `fine` accuracy (see `ddstructs.training.metrics`), and
    `push_distance` and `pop_distance`, the mean distance of push and pop from {0, 1}.

    Args:
        memory: The memory.
        input_symbols: Number of input symbols, `task.input_symbols`.
        output_symbols: Number of output symbols, `task.output_symbols`. The last is the end; the others, when fed back,
            are the last of the input symbols.
        cell: Cell of the recurrent network, by name, or any module that `MemoryRNN` takes, or what `describe` says of
            one.
        hidden_size: Size of the hidden state.
        embedding_size: Size of an embedded symbol.
        push_bias: Bias of push at the start; one number, or one a head, or those that the memory names in `starts`:
            the first, and after each fresh start the next.
        pop_bias: Bias of pop at the start; the same.
        value_skip: Whether the input also feeds the value.
        read_skip: Whether the read also feeds the output.
        read_gate: Whether the cell says how much of the read feeds the output.
        read_noise: Standard deviation of the noise on every read in training, see `MemoryRNN`; `sqrt(width / 64)`, but
            at most 1, if not given. Two values lie as far apart as the root of their width, and noise of 1 drowns
            them where that is small.
        state_noise: That of the noise on what the cell carries beside its output, see `MemoryRNN`. With an LSTM and a
            memory that does all of the work 1 is good; what the cell itself must hold is harder to hold with it.
        signal_penalty: Weight in training, beside the cross entropy, of the mean of 4 s (1 - s) over all pushes and
            pops s: 0 for a signal of 0 or 1, and 1 for a half. It settles what the task leaves open, such as whether
            the start symbol is pushed, so that a network does not come to rely on fractions there. In proportion to
            the cross entropy of a guess, `log(output_symbols)`, if not given, and .2 with 129: where less can be
            gained by a right answer, a penalty as strong fixes the signals before it is known what they are for.
        output_layer: Whether the cell's output goes through a layer of its own, as in the paper.
        learn_initial: Whether the first hidden state is a parameter.
        hard: Whether push and pop are rounded to 0 or 1.
        learning_rate: Rate of Adam.
        decay_steps: Updates over which the rate falls in a line to a twentieth, and stays there; it does not fall if
            not given.
        clip: Largest norm of the gradient, if the trainer does not say.

    Example:
        >>> from ddstructs import Controller, Stack
        >>> from ddstructs.tasks import Reversal
        >>> task = Reversal()
        >>> model = Controller(Stack(64), task.input_symbols, task.output_symbols)
        >>> model.rnn.memory
        Stack(64)
    """

    def __init__(
        self,
        memory: Memory,
        input_symbols: int,
        output_symbols: int,
        cell: Literal["rnn", "lstm", "gru"] | nn.Module | dict[str, Any] = "rnn",
        hidden_size: int = 64,
        embedding_size: int = 64,
        push_bias: float | Sequence[float] | None = None,
        pop_bias: float | Sequence[float] | None = None,
        value_skip: bool = True,
        read_skip: bool = True,
        read_gate: bool = False,
        read_noise: float | None = None,
        state_noise: float = 0.0,
        signal_penalty: float | None = None,
        output_layer: bool = False,
        learn_initial: bool = True,
        hard: bool = False,
        learning_rate: float = 5e-3,
        decay_steps: int | None = None,
        clip: float = 1.0,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__()
        if read_noise is None:
            width = memory.read_width if isinstance(memory, Memory) else 0  # which MemoryRNN refuses
            given["read_noise"] = min(1.0, math.sqrt(width / 64))
        if signal_penalty is None:
            given["signal_penalty"] = 0.2 * (math.log(max(1, output_symbols)) / math.log(129))
        _check(given)
        given["cell"] = build(cell)
        self.save_hyperparameters({name: _plain(value) for name, value in given.items()})
        self.input_symbols = input_symbols
        self.output_symbols = output_symbols
        self.signal_penalty: float = given["signal_penalty"]
        self.learning_rate = learning_rate
        self.decay_steps = decay_steps
        self.clip = clip
        self.embed = nn.Embedding(input_symbols, embedding_size)
        network = given.keys() & inspect.signature(MemoryRNN).parameters.keys()
        self.rnn = MemoryRNN(embedding_size, batch_first=True, **{name: given[name] for name in network})
        self.classify = nn.Linear(hidden_size, output_symbols)
        self.scoring = Scoring(None, [memory])

    def run(
        self, symbols: Tensor, state: RNNState | None = None, lengths: Tensor | Sequence[int] | None = None
    ) -> Outcome:
        output, actions, _, after = self.rnn.unroll(self.embed(symbols), state, lengths)
        return Outcome(self.classify(output), (Told(self.rnn.memory, actions),), after)


def _check(settings: dict[str, Any]) -> None:
    for name, least in POSITIVE.items():
        if settings[name] is not None and settings[name] < least:
            raise ValueError(f"{name} is {settings[name]}, but it must be {least} or more")
    for name in ("learning_rate", "clip"):
        if not 0 < settings[name] < math.inf:
            raise ValueError(f"{name} is {settings[name]}, but it must be a finite number more than 0")
    if not settings["signal_penalty"] >= 0:
        raise ValueError(f"signal_penalty is {settings['signal_penalty']}, but it must be 0 or more")


def _plain(value: object) -> object:
    """A setting as a checkpoint holds it."""
    if isinstance(value, nn.Module):
        return describe(value)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
