"""A recurrent network that controls a memory, with the conventions of `nn.LSTM`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ddstructs.checks import check_flag, check_spread, check_steps
from ddstructs.memory import Memory, check_batch, check_size
from ddstructs.nn import fused
from ddstructs.nn.names import rename, renamed
from ddstructs.nn.network import Path, RNNState, Unrolled, build_cell
from ddstructs.nn.padding import check_packed
from ddstructs.nn.pretrained import Pretrained
from ddstructs.nn.running import obstacle, packs, run_sequence
from ddstructs.nn.uncompiled import uncompiled
from ddstructs.registry.describe import describe

__all__ = ["MemoryRNN", "RNNState", "Unrolled", "renamed"]


_REASON = "this MemoryRNN runs in a loop, which would be traced step by step; its `path` says why"


def _whole(rnn: MemoryRNN, x: Any, state: Any = None, *_: Any, **__: Any) -> bool:
    """Whether a call of `forward` becomes a single operator of a graph; wrong arguments are left to `forward`."""
    return isinstance(x, Tensor) and x.dim() in (2, 3) and _whole_rows(rnn, rnn._rows(x), state)


def _whole_rows(rnn: MemoryRNN, x: Any, state: Any = None, *_: Any, **__: Any) -> bool:
    """Likewise for `unroll`."""
    return (state is None or isinstance(state, RNNState)) and obstacle(rnn, x, state) is None


class MemoryRNN(Pretrained):
    r"""A recurrent controller around any memory.

    The last read is part of the cell's input, and the cell's output $h_t$ controls the memory:

    $$ h_t = \mathrm{cell}([x_t; r_{t-1}], h_{t-1}) \qquad o_t = h_t + g_t \odot U_o r_t $$

    $$ d_t = \sigma(W_d h_t + b_d) \qquad u_t = \sigma(W_u h_t + b_u) \qquad v_t = \tanh(W_v h_t + b_v + U_v x_t) $$

    With `signal_skip`, $U_d x_t$ and $U_u x_t$ are added to the logits of push and pop.

    The output is that of the cell, as in torch's recurrent networks, plus a term of the read of the same step. The gate
    $g_t$ is 1, or with `read_gate` $1 + \tanh(W_g h_t + b_g)$, which lets the cell withhold a read from the output. The
    terms in $U_v$ and $U_o$ are skip connections that make learning faster and more reliable. With `value_skip=False,
    read_skip=False, output_layer=True` the equations are those of the paper, where $o_t = \tanh(W_o h_t + b_o)$. That
    layer makes symbols in the cell's own state easy to decode, so many runs learn not to use the memory.

    Args:
        input_size: Size of one input.
        hidden_size: Size of the cell's output and of this network's.
        memory: The memory to control; `NoMemory()` gives the bare cell.
        cell: `"rnn"`, `"lstm"`, `"gru"`, `"deep"` (see `DeepCell`), or a module that is called as
            `cell(input, hidden)`, like `nn.GRUCell`, and has `input_size` (this `input_size` plus `heads * read_width`)
            and `hidden_size`. If its state is several tensors, its output first, it gives their number in `num_states`,
            and takes and returns a tuple of them.
        batch_first: Whether `x` and the output are `(batch, time, ...)` rather than `(time, batch, ...)`.
        push_bias: Initial b_d: one number, or one for each head; the memory's `starts` if not given.
        pop_bias: Initial b_u; likewise. Most tasks are learned more surely if a network pops little at first.
        value_skip: Whether the input also feeds the value.
        signal_skip: Whether the input also feeds the logits of push and pop, or of other signals, with weights that
            begin at zero. It helps where the input alone says what to do, such as brackets that open and close. On a
            GPU, a network with it runs in a loop over the steps.
        read_skip: Whether the read of the same step also feeds the output.
        read_gate: Whether the cell controls how much of the read feeds the output. Needed when a value must be read
            before it is output.
        read_noise: Standard deviation of the training noise on every read. Values are at most 1 in magnitude, so with
            noise of that size only reads of a single value are useful, not blends of several, which a network can
            otherwise tell apart while sequences are short. This favours pushes and pops near 0 and 1.
        state_noise: Standard deviation of the training noise on the states of the cell other than its output, such as
            the cell state of an LSTM. It makes small drifts that count steps useless, so the cell learns to store what
            it needs in a way that generalises beyond the training lengths.
        signal_noise: Standard deviation of the training noise on the logits of push and pop, or of other signals. It
            favours large logits, and so signals near 0 and 1, which the noise hardly changes.
        output_layer: Whether the cell's output passes through another layer, as in the paper.
        learn_initial: Whether the initial hidden state is a parameter, as in the paper, rather than zero.
        hard: Whether push and pop are rounded to 0 or 1; see `harden`.
        device: Where the parameters live.
        dtype: Floating-point type of the parameters.

    Attributes:
        noisy: Whether there is noise in training; can be set, as `Controller` does after its `noise_steps`.

    Raises:
        TypeError: If `memory` is not a memory, a size is not an int, a flag not a bool or a noise not a number.
        ValueError: If a size is below 1, the cell is unknown or of the wrong size, there is not one finite bias for
            each head, a noise is negative or infinite, `state_noise` is set for a cell without another state, or
            `read_gate` without `read_skip`.

    Reference:
        Grefenstette, Hermann, Suleyman & Blunsom 2015, *Learning to Transduce with Unbounded Memory*, section 3.3.

    Example:
        >>> import torch
        >>> from ddstructs import MemoryRNN, Stack
        >>> rnn = MemoryRNN(input_size=8, hidden_size=32, memory=Stack(16), batch_first=True)
        >>> output, state = rnn(torch.randn(4, 10, 8))
        >>> output.shape
        torch.Size([4, 10, 32])
        >>> output, state = rnn(torch.randn(4, 5, 8), state.detach())  # truncated backpropagation through time
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        memory: Memory,
        cell: str | nn.Module = "rnn",
        *,
        batch_first: bool = False,
        push_bias: float | Sequence[float] | None = None,
        pop_bias: float | Sequence[float] | None = None,
        value_skip: bool = True,
        signal_skip: bool = False,
        read_skip: bool = True,
        read_gate: bool = False,
        read_noise: float = 0.0,
        state_noise: float = 0.0,
        signal_noise: float = 0.0,
        output_layer: bool = False,
        learn_initial: bool = True,
        hard: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(memory, Memory):
            raise TypeError(f"memory is {memory!r}, but a memory such as Stack(64) was expected")
        flags = {
            "batch_first": batch_first,
            "value_skip": value_skip,
            "signal_skip": signal_skip,
            "read_skip": read_skip,
        }
        flags |= {"read_gate": read_gate, "output_layer": output_layer, "learn_initial": learn_initial, "hard": hard}
        for name, flag in flags.items():
            check_flag(name, flag)
        if read_gate and not read_skip:
            raise ValueError("read_gate scales the read that feeds the output, but read_skip is off: turn it on")
        signals, heads, read_size = memory.signals, memory.heads, memory.heads * memory.read_width
        self.input_size = check_size("input_size", input_size)
        self.hidden_size = check_size("hidden_size", hidden_size)
        self.memory = memory
        self.batch_first = batch_first
        self.hard = hard
        self.read_noise = check_spread("read_noise", read_noise)
        self.state_noise = check_spread("state_noise", state_noise)
        self.signal_noise = check_spread("signal_noise", signal_noise)
        self.noisy = True
        self.cell = build_cell(cell, input_size + read_size, hidden_size, device, dtype)
        self.num_states = 2 if isinstance(self.cell, nn.LSTMCell) else int(getattr(self.cell, "num_states", 1))
        if state_noise and self.num_states == 1:
            raise ValueError(
                f"state_noise is {state_noise}, but {type(self.cell).__name__} has no state besides its output: use 0"
            )
        initial = torch.zeros(self.num_states, hidden_size, device=device, dtype=dtype)
        self.initial = nn.Parameter(initial) if learn_initial else None

        def linear(inputs: int, outputs: int, wanted: bool, bias: bool = False) -> nn.Linear | None:
            wanted = wanted and inputs > 0 and outputs > 0  # not needed for a memory without heads
            return nn.Linear(inputs, outputs, bias, device=device, dtype=dtype) if wanted else None

        value_size = heads * memory.width
        self.to_action = linear(
            hidden_size, signals.size + value_size, heads > 0, bias=True
        )  # W_d, W_u, W_v, in this order
        self.value_skip = linear(input_size, value_size, value_skip)
        self.signal_skip = linear(input_size, signals.size, signal_skip)
        self.output_layer = linear(hidden_size, hidden_size, output_layer, bias=True)
        self.read_skip = linear(read_size, hidden_size, read_skip)
        self.read_gate = linear(hidden_size, hidden_size, read_gate and self.read_skip is not None, bias=True)
        self._biases = {"push": push_bias, "pop": pop_bias}
        self.starts = tuple(signals.biases(start, self._biases, type(memory).__name__) for start in memory.starts)
        self.register_load_state_dict_pre_hook(rename)  # type: ignore[no-untyped-call]
        self.reset_parameters()

    @property
    def settings(self) -> dict[str, Any]:
        biases = {f"{name}_bias": list(b) if isinstance(b, Sequence) else b for name, b in self._biases.items()}
        return biases | {
            "input_size": self.input_size,
            "hidden_size": self.hidden_size,
            "memory": describe(self.memory),
            "cell": describe(self.cell),
            "batch_first": self.batch_first,
            "value_skip": self.value_skip is not None,
            "signal_skip": self.signal_skip is not None,
            "read_skip": self.read_skip is not None,
            "read_gate": self.read_gate is not None,
            "read_noise": self.read_noise,
            "state_noise": self.state_noise,
            "signal_noise": self.signal_noise,
            "output_layer": self.output_layer is not None,
            "learn_initial": self.initial is not None,
            "hard": self.hard,
        }

    def reset_parameters(self, start: int = 0) -> None:
        """Initialise the biases of push and pop, their skip connection, the gate and the initial state.

        Other parameters are unchanged; each layer has its own `reset_parameters`.

        Args:
            start: Index into the memory's `starts`, modulo their number.
        """
        with torch.no_grad():
            if self.to_action is not None:
                biases = self.starts[start % len(self.starts)]
                self.to_action.bias[: len(biases)] = torch.tensor(biases, dtype=torch.float64)
            if self.signal_skip is not None:
                self.signal_skip.weight.zero_()
            if self.read_gate is not None:
                self.read_gate.weight.zero_()
                self.read_gate.bias.zero_()
            if self.initial is not None:
                self.initial.zero_()

    @uncompiled(_REASON, unless=_whole)
    def forward(
        self,
        x: Tensor | PackedSequence,
        state: RNNState | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, RNNState]:
        """Process a sequence, like `nn.LSTM`.

        Args:
            x: Inputs, shape `(time, batch, input_size)`, or `(batch, time, input_size)` if `batch_first`, or
                `(time, input_size)` for a single sequence, or a `PackedSequence`.
            state: The state to continue from; the initial one if not given.
            lengths: Number of real steps in each row, shape `(batch,)`, each in 0..time; all if not given. The rest of
                a row is padding: it leaves the state unchanged, and its output is zero.
            reset: Steps before which a row is reset, its memory emptied and its hidden state the initial one, in the
                shape of `x` without its last axis, bool; none if not given. The pieces between resets give the same
                results as if run alone, as needed for episodes and packed documents. A reset at a step of padding has
                no effect.

        Returns:
            The output, in the format of `x` with size `hidden_size`, and the state after the last step of each row.

        Raises:
            ValueError: If a shape does not match, or a length is outside 0..time. Lengths on a GPU are not checked, to
                avoid a synchronization.
            TypeError: If a dtype does not match.
        """
        if not isinstance(x, Tensor | PackedSequence):
            raise TypeError(f"x is a {type(x).__name__}, but a tensor or a PackedSequence was expected")
        if isinstance(x, PackedSequence):
            if lengths is not None:
                raise ValueError("a PackedSequence has its own lengths: leave out lengths")
            if reset is not None:
                raise ValueError("reset goes with a padded x and lengths, not with a PackedSequence")
            check_packed(x, self.input_size)
            shaped, own = fused.stand_in(x)
            if packs(self, shaped, state):
                output, _, _, state = run_sequence(self, shaped, state, own, None, packed=x, record=False)
                return PackedSequence(output, *x[1:]), state
            padded, _ = pad_packed_sequence(x, batch_first=True)
            output, _, _, state = run_sequence(self, padded, state, own, None, record=False)
            if x.sorted_indices is not None:
                output, own = output[x.sorted_indices], own[x.sorted_indices.cpu()]
            packed = pack_padded_sequence(output, own, batch_first=True)
            return PackedSequence(packed.data, x.batch_sizes, x.sorted_indices, x.unsorted_indices), state
        if x.dim() not in (2, 3) or x.shape[-1] != self.input_size:
            axes = "batch, time" if self.batch_first else "time, batch"
            raise ValueError(
                f"x has shape {tuple(x.shape)}, "
                f"but ({axes}, {self.input_size}) or (time, {self.input_size}) was expected"
            )
        check_steps("reset", reset, x, self.batch_first)
        if x.dim() == 2:
            reset = None if reset is None else reset[None]
        elif not self.batch_first:
            reset = None if reset is None else reset.t()
        output, _, _, state = run_sequence(self, self._rows(x), state, lengths, reset, record=False)
        if x.dim() == 2:
            return output[0], state
        return output if self.batch_first else output.transpose(0, 1), state

    @uncompiled(_REASON, unless=_whole_rows)
    def unroll(
        self,
        x: Tensor,
        state: RNNState | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        reset: Tensor | None = None,
    ) -> Unrolled:
        """Process a sequence, and also return the actions and reads of each step. Always batch first.

        Args:
            x: Inputs, shape `(batch, time, input_size)`.
            state: The state to continue from; the initial one if not given.
            lengths: As in `forward`. In the padding push and pop are zero, and values are arbitrary.
            reset: As in `forward`, shape `(batch, time)`.

        Returns:
            The output, the actions, the reads and the state after the last step of each row.

        Raises:
            ValueError: If a shape or a device does not match, or a length is outside 0..time.
            TypeError: If a dtype does not match.
        """
        if x.dim() != 3 or x.shape[-1] != self.input_size:
            raise ValueError(f"x has shape {tuple(x.shape)}, but (batch, time, {self.input_size}) was expected")
        return run_sequence(self, x, state, lengths, reset, record=True)

    def path(self, x: Tensor | PackedSequence, state: RNNState | None = None) -> Path:
        """How this network would run a sequence, in compiled code or in a loop over the steps, and why.

        Args:
            x: Inputs, as for `forward`.
            state: The state to continue from, if any.

        Example:
            >>> import torch
            >>> from ddstructs import MemoryRNN, Stack, Tape
            >>> MemoryRNN(8, 32, Stack(16)).path(torch.randn(10, 4, 8)).name
            'compiled'
            >>> MemoryRNN(8, 32, Tape(16)).path(torch.randn(10, 4, 8))
            Path(name='loop', reason='Tape is not a line memory')
        """
        if isinstance(x, PackedSequence):
            check_packed(x, self.input_size)
            x = fused.stand_in(x)[0]
        else:
            x = self._rows(x)
        reason = obstacle(self, x, state)
        if reason is None:
            device = fused.DEVICES[x.device.type]
            return Path("compiled", f"{type(self.cell).__name__} with {type(self.memory).__name__}, on {device}")
        return Path("loop", reason)

    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> RNNState:
        """The state before the first step: the learned or zero hidden state, a read of zeros, an empty memory.

        Args:
            batch_size: Number of rows.
            device: Where the state lives; with the parameters if not given.
            dtype: Floating-point type of the state; that of the parameters if not given.
        """
        check_batch(batch_size)
        memory, weight = self.memory, next(self.parameters(), None)
        if weight is not None:
            device, dtype = device or weight.device, dtype or weight.dtype
        if self.initial is None:
            zero = torch.zeros(batch_size, self.hidden_size, device=device, dtype=dtype)
            hidden = (zero,) * self.num_states
        else:
            hidden = tuple(part.expand(batch_size, -1) for part in self.initial)
        read = torch.zeros(batch_size, memory.heads, memory.read_width, device=device, dtype=dtype)
        return RNNState(hidden, read, memory.initial_state(batch_size, device=device, dtype=dtype))

    def _rows(self, x: Tensor) -> Tensor:
        """Inputs of `forward`, shape `(batch, time, input_size)`."""
        if x.dim() == 2:
            return x[None]
        return x if self.batch_first else x.transpose(0, 1)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, batch_first={self.batch_first}, hard={self.hard}"
