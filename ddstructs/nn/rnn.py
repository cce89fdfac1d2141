"""A recurrent network that controls a memory, with the conventions of `nn.LSTM`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ddstructs.memory import Memory, State, check_reset
from ddstructs.nn import fused, loop
from ddstructs.nn.network import Network, Noise, Path, RNNState, Unrolled, build_cell
from ddstructs.nn.padding import checked, mask_of
from ddstructs.nn.pretrained import Pretrained
from ddstructs.nn.uncompiled import uncompiled
from ddstructs.registry.describe import describe

__all__ = ["MemoryRNN", "RNNState", "Unrolled", "renamed"]


_REASON = "a MemoryRNN runs its own compiled code, or a loop that would be traced step by step"


class MemoryRNN(Pretrained):
    r"""A recurrent controller around any memory.

    The last read is part of the cell's input, and the cell's output $h_t$ controls the memory:

    $$ h_t = \mathrm{cell}([x_t; r_{t-1}], h_{t-1}) \qquad o_t = h_t + g_t \odot U_o r_t $$

    $$ d_t = \sigma(W_d h_t + b_d) \qquad u_t = \sigma(W_u h_t + b_u) \qquad v_t = \tanh(W_v h_t + b_v + U_v x_t) $$

    The output is that of the cell, as in torch's recurrent networks, plus a term of the read of the same step. The gate
    $g_t$ is 1, or with `read_gate` $1 + \tanh(W_g h_t + b_g)$, which lets the cell withhold a read from the output. The
    two terms in $U$ are skip connections that make learning faster and more reliable. With `value_skip=False,
    read_skip=False, output_layer=True` the equations are those of the paper, where $o_t = \tanh(W_o h_t + b_o)$. That
    layer makes symbols in the cell's own state easy to decode, so many runs learn not to use the memory.

    Args:
        input_size: Size of one input.
        hidden_size: Size of the cell's output and of this network's.
        memory: The memory to control; `NoMemory()` gives the bare cell.
        cell: `"rnn"`, `"lstm"`, `"gru"`, or a module that is called as `cell(input, hidden)`, like `nn.GRUCell`, and
            has `input_size` (this `input_size` plus `heads * read_width`) and `hidden_size`. If its state is several
            tensors, its output first, it gives their number in `num_states`, and takes and returns a tuple of them.
        batch_first: Whether `x` and the output are `(batch, time, ...)` rather than `(time, batch, ...)`.
        push_bias: Initial b_d: one number, or one for each head; the memory's `starts` if not given.
        pop_bias: Initial b_u; likewise. A network learns only if it pops little at first.
        value_skip: Whether the input also feeds the value.
        read_skip: Whether the read of the same step also feeds the output.
        read_gate: Whether the cell controls how much of the read feeds the output. Needed when a value must be read
            before it is output.
        read_noise: Standard deviation of the training noise on every read. Values are at most 1 in magnitude, so with
            noise of that size only reads of a single value are useful, not blends of several, which a network can
            otherwise tell apart while sequences are short. This favours pushes and pops near 0 and 1.
        state_noise: Standard deviation of the training noise on the states of the cell other than its output, such as
            the cell state of an LSTM. It makes small drifts that count steps useless, so the cell learns to store what
            it needs in a way that generalises beyond the training lengths.
        output_layer: Whether the cell's output passes through another layer, as in the paper.
        learn_initial: Whether the initial hidden state is a parameter, as in the paper, rather than zero.
        hard: Whether push and pop are rounded to 0 or 1; see `harden`.
        device: Where the parameters live.
        dtype: Floating-point type of the parameters.

    Raises:
        ValueError: If the cell is unknown or of the wrong size, there is not one bias for each head, a noise is
            negative or infinite, `state_noise` is set for a cell without another state, or `read_gate` without
            `read_skip`.

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
        read_skip: bool = True,
        read_gate: bool = False,
        read_noise: float = 0.0,
        state_noise: float = 0.0,
        output_layer: bool = False,
        learn_initial: bool = True,
        hard: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(memory, Memory):
            raise TypeError(f"memory is {memory!r}, but a memory such as Stack(64) was expected")
        if hidden_size < 1 or input_size < 1:
            raise ValueError(f"input_size is {input_size} and hidden_size {hidden_size}, but each must be 1 or more")
        for name, noise in (("read_noise", read_noise), ("state_noise", state_noise)):
            if not 0 <= noise < math.inf:
                raise ValueError(f"{name} is {noise}, but a finite number from 0 was expected")
        if read_gate and not read_skip:
            raise ValueError("read_gate scales the read that feeds the output, but read_skip is off: turn it on")
        signals, heads, read_size = memory.signals, memory.heads, memory.heads * memory.read_width
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.memory = memory
        self.batch_first = batch_first
        self.hard = hard
        self.read_noise = read_noise
        self.state_noise = state_noise
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
        self.output_layer = linear(hidden_size, hidden_size, output_layer, bias=True)
        self.read_skip = linear(read_size, hidden_size, read_skip)
        self.read_gate = linear(hidden_size, hidden_size, read_gate and self.read_skip is not None, bias=True)
        self._biases = {"push": push_bias, "pop": pop_bias}
        self.starts = tuple(signals.biases(start, self._biases, type(memory).__name__) for start in memory.starts)
        self.register_load_state_dict_pre_hook(_rename)  # type: ignore[no-untyped-call]
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
            "read_skip": self.read_skip is not None,
            "read_gate": self.read_gate is not None,
            "read_noise": self.read_noise,
            "state_noise": self.state_noise,
            "output_layer": self.output_layer is not None,
            "learn_initial": self.initial is not None,
            "hard": self.hard,
        }

    def reset_parameters(self, start: int = 0) -> None:
        """Initialise the biases of push and pop, the gate and the initial state.

        Other parameters are unchanged; each layer has its own `reset_parameters`.

        Args:
            start: Index into the memory's `starts`, modulo their number.
        """
        with torch.no_grad():
            if self.to_action is not None:
                biases = self.starts[start % len(self.starts)]
                self.to_action.bias[: len(biases)] = torch.tensor(biases, dtype=torch.float64)
            if self.read_gate is not None:
                self.read_gate.weight.zero_()
                self.read_gate.bias.zero_()
            if self.initial is not None:
                self.initial.zero_()

    @uncompiled(_REASON)
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
                results as if run alone, as needed for episodes and packed documents.

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
            shaped, own = fused.stand_in(x)
            if self._skip_inside()[1] and fused.fits(self._network(), shaped, *_parts(state)):
                output, _, _, state = self._sequence(shaped, state, own, None, packed=x, record=False)
                return PackedSequence(output, *x[1:]), state
            padded, _ = pad_packed_sequence(x, batch_first=True)
            output, _, _, state = self._sequence(padded, state, own, None, record=False)
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
        if x.dim() == 2:
            reset = None if reset is None else reset[None]
            output, _, _, state = self._sequence(x[None], state, lengths, reset, record=False)
            return output[0], state
        if self.batch_first:
            output, _, _, state = self._sequence(x, state, lengths, reset, record=False)
            return output, state
        reset = None if reset is None else reset.t()
        output, _, _, state = self._sequence(x.transpose(0, 1), state, lengths, reset, record=False)
        return output.transpose(0, 1), state

    @uncompiled(_REASON)
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
        return self._sequence(x, state, lengths, reset, record=True)

    def _sequence(
        self,
        x: Tensor,
        state: RNNState | None,
        lengths: Tensor | Sequence[int] | None,
        reset: Tensor | None,
        *,
        packed: PackedSequence | None = None,
        record: bool,
    ) -> Unrolled:
        """Like `unroll`, but actions and reads may be missing unless `record` is set, or the input may be packed."""
        batch, time = x.shape[:2]
        if not time:
            raise ValueError("x has no time steps: one or more were expected")
        self._check_placement(x)
        if state is not None:
            self._check_state(state, x)
            state = self._connect_initial(state)
        if lengths is not None:
            lengths = checked(lengths, batch, time)
        reset = check_reset(reset, x)
        noise = self._draw_noise(x)
        network = self._network()
        if fused.fits(network, x, *_parts(state)):
            return self._run_compiled(network, x, state, lengths, reset, noise, packed=packed, record=record)
        return self._run_loop(network, x, state, lengths, reset, noise)

    def _run_compiled(
        self,
        network: Network,
        x: Tensor,
        state: RNNState | None,
        lengths: Tensor | None,
        reset: Tensor | None,
        noise: Noise,
        *,
        packed: PackedSequence | None = None,
        record: bool,
    ) -> Unrolled:
        """Run all steps in compiled code."""
        skip, whole = self._skip_inside()
        initial = self.initial if state is None or reset is not None else None
        run = fused.run(
            network, x, *_parts(state), noise, initial=initial, lengths=lengths, reset=reset, read_skip=skip,
            packed=packed, record=record or not whole,
        )  # fmt: skip
        real = None if whole or lengths is None else mask_of(lengths, x.shape[1], x.device)
        output = run.output if whole else self._output(run.output, run.reads, real)
        return Unrolled(output, run.actions, cast("Tensor", run.reads), RNNState(run.hidden, run.read, run.memory))

    def _skip_inside(self) -> tuple[nn.Linear | None, bool]:
        """`read_skip` if no layer or gate comes in between, and whether compiled code yields the whole output."""
        skip, bare = self.read_skip, self.output_layer is None
        skip = skip if bare and self.read_gate is None and fused.adds_itself(skip) else None
        return skip, bare and (self.read_skip is None or skip is not None)

    def _run_loop(
        self,
        network: Network,
        x: Tensor,
        state: RNNState | None,
        lengths: Tensor | None,
        reset: Tensor | None,
        noise: Noise,
    ) -> Unrolled:
        """Run the steps in a loop."""
        batch, time = x.shape[:2]
        if state is None:
            state = self.initial_state(batch, device=x.device, dtype=x.dtype)
        real = None if lengths is None else mask_of(lengths, time, x.device)
        if real is not None:
            x = torch.where(real[..., None], x, 0)
        fresh = None if reset is None else self.initial_state(batch, device=x.device, dtype=state.read.dtype)
        hiddens, actions, reads, state = loop.run(network, x, state, real, noise, reset, fresh)
        return Unrolled(self._output(hiddens, reads, real), actions, reads, state)

    def _output(self, hiddens: Tensor, reads: Tensor | None, real: Tensor | None) -> Tensor:
        """The output of the network, from the outputs of the cell and the reads of the same steps."""
        output = hiddens
        if self.output_layer is not None:
            output = self.output_layer(output).tanh()
        if self.read_skip is not None and reads is not None:
            skip = self.read_skip(reads.flatten(2))
            output = output + (skip if self.read_gate is None else skip * (1 + self.read_gate(hiddens).tanh()))
        return output if real is None else torch.where(real[..., None], output, 0)

    def _network(self) -> Network:
        return Network(self.cell, self.to_action, self.value_skip, self.memory, self.hard)

    def path(self, x: Tensor | PackedSequence, state: RNNState | None = None) -> Path:
        """How this network would run a sequence, in compiled code or in a loop over the steps, and why.

        Args:
            x: Inputs, as for `forward`.
            state: The state to continue from, if any.

        Example:
            >>> import torch
            >>> from ddstructs import MemoryRNN, NoMemory, Stack
            >>> MemoryRNN(8, 32, Stack(16)).path(torch.randn(10, 4, 8)).name
            'compiled'
            >>> MemoryRNN(8, 32, NoMemory()).path(torch.randn(10, 4, 8))
            Path(name='loop', reason='NoMemory is not a line memory')
        """
        if isinstance(x, PackedSequence):
            x, _ = fused.stand_in(x)
        elif x.dim() == 2:
            x = x[None]
        elif not self.batch_first:
            x = x.transpose(0, 1)
        reason = fused.obstacle(self._network(), x, *_parts(state))
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

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, batch_first={self.batch_first}, hard={self.hard}"

    def _check_placement(self, x: Tensor) -> None:
        weight = self.initial
        if weight is None:
            weight = next(self.parameters(), None)
        if weight is None:
            return
        if x.device != weight.device:
            raise ValueError(f"x is on {x.device}, but this network is on {weight.device}: move one to the other")
        if x.dtype != weight.dtype and not (x.is_floating_point() and torch.is_autocast_enabled(x.device.type)):
            raise TypeError(f"x is {x.dtype}, but the parameters are {weight.dtype}: use x.to(dtype) or autocast")

    def _check_state(self, state: RNNState, x: Tensor) -> None:
        batch = x.shape[0]  # `len` would fix the batch size in torch.export
        if not isinstance(state, RNNState):
            raise TypeError(f"state is a {type(state).__name__}, but a MemoryRNN continues from a state it returned")
        if state.read.shape[0] != batch:
            raise ValueError(f"x has batch {batch}, but the state has batch {state.read.shape[0]}")
        actual = ([part.shape[-1] for part in state.hidden], list(state.read.shape[1:]))
        expected = ([self.hidden_size] * self.num_states, [self.memory.heads, self.memory.read_width])
        if actual != expected:
            raise ValueError(
                f"the state has hidden sizes {actual[0]} and reads of {actual[1]}, but this network has {expected[0]} "
                f"and {expected[1]}: it belongs to another network"
            )
        dtype, device = state.read.dtype, state.read.device
        if device != x.device:
            raise ValueError(f"x is on {x.device}, but the state is on {device}: use state.to(x.device)")
        if dtype != x.dtype and not torch.is_autocast_enabled(device.type):
            raise TypeError(f"x is {x.dtype}, but the state is {dtype}: use state.to(dtype=x.dtype)")

    def _connect_initial(self, state: RNNState) -> RNNState:
        """The same state, connected to `initial` by a zero gradient, for distributed training.

        `DistributedDataParallel` waits for a gradient of every parameter, and `initial` would have none. In a single
        process it is left without a gradient, so that an optimizer does not update it.
        """
        if self.initial is None or not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return state
        never = torch.zeros((), dtype=torch.bool, device=state.read.device)
        hidden = zip(self.initial, state.hidden, strict=True)
        return replace(state, hidden=tuple(torch.where(never, first.to(part.dtype), part) for first, part in hidden))

    def _draw_noise(self, x: Tensor) -> Noise:
        if not (self.training and (self.read_noise or self.state_noise)):
            return _QUIET

        def draw(deviation: float, *shape: int) -> Tensor | None:
            if not deviation:
                return None
            return deviation * torch.randn(*shape, device=x.device, dtype=x.dtype)

        (batch, time, _), memory = x.shape, self.memory
        return Noise(
            draw(self.read_noise, time, batch, memory.heads, memory.read_width),
            draw(self.state_noise, self.num_states - 1, time, batch, self.hidden_size),
        )


_QUIET = Noise(None, None)


def _parts(state: RNNState | None) -> tuple[Tensor | None, tuple[Tensor, ...], State | None]:
    """The last read, the states of the cell, and the state of the memory."""
    return (None, (), None) if state is None else (state.read, state.hidden, state.memory)


def renamed(name: str, prefix: str = "") -> str:
    """The current name of a weight of a `MemoryRNN`: version 0.1 called `to_action` `act`.

    Args:
        name: The name of a weight, of this network or another.
        prefix: The prefix of this network's weights.

    Example:
        >>> from ddstructs.nn.rnn import renamed
        >>> renamed("rnn.act.weight", "rnn.")
        'rnn.to_action.weight'
    """
    return f"{prefix}to_action.{name.removeprefix(f'{prefix}act.')}" if name.startswith(f"{prefix}act.") else name


def _rename(rnn: nn.Module, weights: dict[str, Any], prefix: str, *_: Any) -> None:
    """Rename the weights of an older version while they are loaded."""
    for name in list(weights):
        weights[renamed(name, prefix)] = weights.pop(name)
