"""The LightningModule that trains any memory and any cell on any task."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

from ddstructs.memory import Memory
from ddstructs.nn.rnn import MemoryRNN, RNNState
from ddstructs.registry.describe import describe
from ddstructs.registry.ranges import Finite, Positive, Size, Spread, check_ranges
from ddstructs.registry.spec import build
from ddstructs.training.embedding import SymbolEmbedding
from ddstructs.training.learner import Learner, MemoryActions, Outcome
from ddstructs.training.scoring import Scoring

__all__ = ["Controller"]


class Controller(Learner):
    """A transducer: an embedding of the input symbols, a `MemoryRNN`, and a linear layer that scores output symbols.

    Training uses teacher forcing; the loss is the cross entropy of the targets. `predict` decodes greedily, feeding the
    controller its own output. Up to the first error, greedy decoding has the same inputs as teacher forcing, so both
    accuracies are exact from one teacher-forced pass, which is what validation and test use.

    Logged for train, val and test: the `loss`, the metrics of the task (by default `coarse` and `fine` accuracy, see
    `ddstructs.training.metrics`), and for each signal its mean distance from 0 or 1, such as `push_distance`.

    Args:
        memory: The memory.
        input_symbols: Number of input symbols, `task.input_symbols`.
        output_symbols: Number of output symbols, `task.output_symbols`. The last one is the end symbol; the others,
            when fed back, are the last of the input symbols.
        cell: Cell of the recurrent network: a name, any module that `MemoryRNN` takes, or a description of one by
            `describe`.
        hidden_size: Size of the hidden state.
        embedding_size: Size of an embedded symbol.
        push_bias: Initial bias of push: one number, or one per head. If not given, that of the memory's `starts`: the
            first, and after each fresh start the next.
        pop_bias: Initial bias of pop, likewise.
        value_skip: Whether the input also feeds the value.
        signal_skip: Whether the input also feeds the logits of push and pop.
        read_skip: Whether the read also feeds the output.
        read_gate: Whether the cell gates the read on its way to the output.
        read_noise: Standard deviation of the noise on reads in training, see `MemoryRNN`. If not given,
            `sqrt(width / 64)`, at most 1: the distance between two values grows with the root of their width, and
            noise of 1 would drown narrow values.
        state_noise: Standard deviation of the noise on the part of the cell's state that is not its output, see
            `MemoryRNN`. A value of 1 helps an LSTM whose memory does all the work; it hinders what the cell itself
            must remember.
        signal_noise: Standard deviation of the noise in training on the logits of push and pop, see `MemoryRNN`. With
            1, as in the recipe for recognition, signals stay near 0 and 1, so that a network is right if they are
            rounded.
        signal_penalty: Weight in the training loss of the mean of 4 s (1 - s) over all pushes and pops s, which is 0
            for a signal of 0 or 1 and 1 for a signal of .5. It decides signals that the task leaves open, such as the
            push of the start symbol, so that the network does not rely on fractions. If not given, proportional to
            `log(output_symbols)`, the cross entropy of a uniform guess, and .2 with 129 symbols: with fewer symbols
            there is less to gain by a right answer, and the same penalty would fix the signals too early.
        output_layer: Whether the cell's output passes through a separate layer, as in the paper.
        learn_initial: Whether the initial hidden state is a parameter.
        hard: Whether to round push and pop to 0 or 1.
        learning_rate: Learning rate of Adam.
        decay_steps: Number of updates over which the learning rate decays linearly to a twentieth, where it stays;
            constant if not given.
        noise_steps: Number of updates with noise in training; it goes on without noise, as the model is used. All
            updates have noise if not given. A fresh start begins the count anew.
        clip: Maximum norm of the gradient, unless the trainer sets one.

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
        input_symbols: Size,
        output_symbols: Size,
        cell: Literal["rnn", "lstm", "gru", "deep"] | nn.Module | dict[str, Any] = "rnn",
        hidden_size: Size = 64,
        embedding_size: Size = 64,
        push_bias: Finite | Sequence[Finite] | None = None,
        pop_bias: Finite | Sequence[Finite] | None = None,
        value_skip: bool = True,
        signal_skip: bool = False,
        read_skip: bool = True,
        read_gate: bool = False,
        read_noise: Spread | None = None,
        state_noise: Spread = 0.0,
        signal_noise: Spread = 0.0,
        signal_penalty: Spread | None = None,
        output_layer: bool = False,
        learn_initial: bool = True,
        hard: bool = False,
        learning_rate: Positive = 5e-3,
        decay_steps: Size | None = None,
        noise_steps: Size | None = None,
        clip: Positive = 1.0,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        check_ranges(Controller.__init__, given)
        super().__init__()
        if read_noise is None:
            width = memory.read_width if isinstance(memory, Memory) else 0  # MemoryRNN raises the error
            given["read_noise"] = min(1.0, math.sqrt(width / 64))
        if signal_penalty is None:
            given["signal_penalty"] = 0.2 * (math.log(output_symbols) / math.log(129))
        given["cell"] = build(cell)
        self.save_hyperparameters({name: _plain(value) for name, value in given.items()})
        self.input_symbols = input_symbols
        self.output_symbols = output_symbols
        self.signal_penalty: float = given["signal_penalty"]
        self.learning_rate = learning_rate
        self.decay_steps = decay_steps
        self.noise_steps = noise_steps
        self.clip = clip
        self.embed = SymbolEmbedding(input_symbols, embedding_size)
        network = given.keys() & inspect.signature(MemoryRNN).parameters.keys()
        self.rnn = MemoryRNN(embedding_size, batch_first=True, **{name: given[name] for name in network})
        self.classify = nn.Linear(hidden_size, output_symbols)
        self.scoring = Scoring(None, [memory])

    def run(
        self, symbols: Tensor, state: RNNState | None = None, lengths: Tensor | Sequence[int] | None = None
    ) -> Outcome:
        output, actions, _, after = self.rnn.unroll(self.embed(symbols), state, lengths)
        return Outcome(self.classify(output), (MemoryActions(self.rnn.memory, actions),), after)


def _plain(value: object) -> object:
    """A setting in the form that a checkpoint stores."""
    if isinstance(value, nn.Module):
        return describe(value)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
