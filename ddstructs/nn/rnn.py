"""A recurrent network that works a memory, with the habits of `nn.LSTM`."""

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


_REASON = "a MemoryRNN runs compiled code of its own, or a loop that would be traced step by step"


class MemoryRNN(Pretrained):
    r"""A recurrent controller around any memory.

    The last read joins the input of the cell, and the cell's output $h_t$ works the memory:

    $$ h_t = \mathrm{cell}([x_t; r_{t-1}], h_{t-1}) \qquad o_t = h_t + g_t \odot U_o r_t $$

    $$ d_t = \sigma(W_d h_t + b_d) \qquad u_t = \sigma(W_u h_t + b_u) \qquad v_t = \tanh(W_v h_t + b_v + U_v x_t) $$

    The output is that of the cell, as of any recurrent network in torch, with the read of the same step added; $g_t$
    is 1, or with `read_gate` $1 + \tanh(W_g h_t + b_g)$, so that the cell can keep a read to itself. The two
    terms in $U$ are skips that make learning faster and surer. With `value_skip=False, read_skip=False,
    output_layer=True` the equations are those of the paper, where $o_t = \tanh(W_o h_t + b_o)$. That layer makes the
    symbols which the cell remembers by itself easy to name, so that many a run learns to do without the memory.

    Args:
        input_size: Size of one input.
        hidden_size: Size of the cell's output and of this network's.
        memory: What to work; `NoMemory()` gives the bare cell.
        cell: `"rnn"`, `"lstm"`, `"gru"`, or a module that is called as `cell(input, hidden)`, like `nn.GRUCell`, and
            has `input_size` (this `input_size` and `heads * read_width` more) and `hidden_size`. One with several
            tensors for a state, its output first, says how many in `num_states`, and takes and returns a tuple of them.
        batch_first: Whether `x` and the output are `(batch, time, ...)` rather than `(time, batch, ...)`.
        push_bias: b_d at the start; one number, or one a head, or those that the memory names in `starts`.
        pop_bias: b_u at the start; the same. Popping little at first is what lets it learn.
        value_skip: Whether the input also feeds the value.
        read_skip: Whether the read of the same step also feeds the output.
        read_gate: Whether the cell says how much of the read feeds the output. A task needs this that must read a
            value before it is due.
        read_noise: Standard deviation of the noise on every read in training. Values are at most 1 in size, so with
            noise as large a read is only of use where it is of one value, and not a blend of several that the
            network can tell apart while sequences are short. That makes for pushes and pops near 0 and 1.
        state_noise: Standard deviation of the noise in training on what the cell carries to the next step beside its
            output, such as the cell state of an LSTM. What drifts a little in each step, and counts them, is of no use
            then, so that the cell comes to hold what it needs in a way that lasts beyond the lengths of training.
        output_layer: Whether the cell's output goes through a layer of its own before it becomes the network's.
        learn_initial: Whether the first hidden state is a parameter, as in the paper, rather than zero.
        hard: Whether push and pop are rounded to 0 or 1; see `harden`.
        device: Where the parameters live.
        dtype: Floating-point type of the parameters.

    Raises:
        ValueError: If the cell is unknown or of the wrong size, if a bias is not one a head, if a noise is negative or
            on a state that the cell does not have, or if a read that feeds no output is to be gated.

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
            raise ValueError("read_gate says how much of the read feeds the output, but read_skip is off: turn it on")
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
                f"state_noise is {state_noise}, but {type(self.cell).__name__} carries nothing beside its output: use 0"
            )
        initial = torch.zeros(self.num_states, hidden_size, device=device, dtype=dtype)
        self.initial = nn.Parameter(initial) if learn_initial else None

        def linear(inputs: int, outputs: int, wanted: bool, bias: bool = False) -> nn.Linear | None:
            wanted = wanted and inputs > 0 and outputs > 0  # a memory without heads needs none
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
        """Set what differs from the usual start of the layers: the biases of push and pop, the gate, the first state.

        The layers themselves are left as they are; each has its own `reset_parameters`.

        Args:
            start: Which of the memory's `starts` to take, modulo how many there are.
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
        """Run over a sequence, as `nn.LSTM` does.

        Args:
            x: Inputs, shape `(time, batch, input_size)`, or `(batch, time, input_size)` if `batch_first`, or
                `(time, input_size)` for a batch of one without its axis, or a `PackedSequence`.
            state: The state to go on from; the initial one if not given.
            lengths: How many steps of each row count, shape `(batch,)`, each in 0..time; all of them if not given. What
                follows in a shorter row is padding: it touches nothing, and the output there is zero.
            reset: Before which steps a row begins afresh, its memory emptied and its hidden state the initial one, in
                the form of `x` without its last axis, bool; never, if not given. A row with resets equals its pieces
                run alone, as episodes and packed documents need.

        Returns:
            The output, in the form of `x` and of size `hidden_size`, and the state after the last step of each row.

        Raises:
            ValueError: If a shape does not fit, or a length is outside 0..time. Lengths on a GPU are not looked at, for
                that would wait for it.
            TypeError: If a dtype does not fit.
        """
        if not isinstance(x, Tensor | PackedSequence):
            raise TypeError(f"x is a {type(x).__name__}, but a tensor or a PackedSequence was expected")
        if isinstance(x, PackedSequence):
            if lengths is not None:
                raise ValueError("a PackedSequence has its own lengths: leave out lengths")
            if reset is not None:
                raise ValueError("reset goes with a padded x and lengths, not with a PackedSequence")
            padded, own = pad_packed_sequence(x, batch_first=True)
            output, _, _, state = self._sequence(padded, state, own, None, told=False)
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
            output, _, _, state = self._sequence(x[None], state, lengths, reset, told=False)
            return output[0], state
        if self.batch_first:
            output, _, _, state = self._sequence(x, state, lengths, reset, told=False)
            return output, state
        reset = None if reset is None else reset.t()
        output, _, _, state = self._sequence(x.transpose(0, 1), state, lengths, reset, told=False)
        return output.transpose(0, 1), state

    @uncompiled(_REASON)
    def unroll(
        self,
        x: Tensor,
        state: RNNState | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        reset: Tensor | None = None,
    ) -> Unrolled:
        """Run over a sequence and keep what was done to the memory in each step. Always batch first.

        Args:
            x: Inputs, shape `(batch, time, input_size)`.
            state: The state to go on from; the initial one if not given.
            lengths: As in `forward`. In the padding the memory is told to do nothing; the value there is of no account.
            reset: As in `forward`, shape `(batch, time)`.

        Returns:
            The output, the actions, the reads and the state after the last step of each row.

        Raises:
            ValueError: If a shape or a device does not fit, or a length is outside 0..time.
            TypeError: If a dtype does not fit.
        """
        if x.dim() != 3 or x.shape[-1] != self.input_size:
            raise ValueError(f"x has shape {tuple(x.shape)}, but (batch, time, {self.input_size}) was expected")
        return self._sequence(x, state, lengths, reset, told=True)

    def _sequence(
        self,
        x: Tensor,
        state: RNNState | None,
        lengths: Tensor | Sequence[int] | None,
        reset: Tensor | None,
        *,
        told: bool,
    ) -> Unrolled:
        """As `unroll`, but actions and reads are told only if they are wanted."""
        batch, time = x.shape[:2]
        if not time:
            raise ValueError("x has no time steps: one or more were expected")
        self._check_placement(x)
        if state is not None:
            self._check_state(state, x)
            state = self._tied(state)
        if lengths is not None:
            lengths = checked(lengths, batch, time)
        reset = check_reset(reset, x)
        noise = self._draw_noise(x)
        network = self._network()
        if fused.fits(network, x, *_parts(state)):
            return self._all_at_once(network, x, state, lengths, reset, noise, told=told)
        return self._one_by_one(network, x, state, lengths, reset, noise)

    def _all_at_once(
        self,
        network: Network,
        x: Tensor,
        state: RNNState | None,
        lengths: Tensor | None,
        reset: Tensor | None,
        noise: Noise,
        *,
        told: bool,
    ) -> Unrolled:
        """All steps in compiled code, with what `read_skip` adds to the output if nothing comes between."""
        skip, bare = self.read_skip, self.output_layer is None
        skip = skip if bare and self.read_gate is None and fused.adds_itself(skip) else None
        whole = bare and (self.read_skip is None or skip is not None)
        initial = self.initial if state is None or reset is not None else None
        run = fused.run(
            network, x, *_parts(state), noise, initial=initial, lengths=lengths, reset=reset, read_skip=skip,
            told=told or not whole,
        )  # fmt: skip
        real = None if whole or lengths is None else mask_of(lengths, x.shape[1], x.device)
        output = run.output if whole else self._output(run.output, run.reads, real)
        return Unrolled(output, run.actions, cast("Tensor", run.reads), RNNState(run.hidden, run.read, run.memory))

    def _one_by_one(
        self,
        network: Network,
        x: Tensor,
        state: RNNState | None,
        lengths: Tensor | None,
        reset: Tensor | None,
        noise: Noise,
    ) -> Unrolled:
        """The steps in a loop."""
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
        """What the network puts out, from the outputs of the cell and the reads of the same steps."""
        output = hiddens
        if self.output_layer is not None:
            output = self.output_layer(output).tanh()
        if self.read_skip is not None and reads is not None:
            heard = self.read_skip(reads.flatten(2))
            output = output + (heard if self.read_gate is None else heard * (1 + self.read_gate(hiddens).tanh()))
        return output if real is None else torch.where(real[..., None], output, 0)

    def _network(self) -> Network:
        return Network(self.cell, self.to_action, self.value_skip, self.memory, self.hard)

    def path(self, x: Tensor | PackedSequence, state: RNNState | None = None) -> Path:
        """How this network would run over a sequence: in compiled code or in a loop over the steps, and why.

        Args:
            x: Inputs, as for `forward`.
            state: The state to go on from, if any.

        Example:
            >>> import torch
            >>> from ddstructs import MemoryRNN, NoMemory, Stack
            >>> MemoryRNN(8, 32, Stack(16)).path(torch.randn(10, 4, 8)).name
            'compiled'
            >>> MemoryRNN(8, 32, NoMemory()).path(torch.randn(10, 4, 8))
            Path(name='loop', reason='NoMemory is not a line memory')
        """
        if isinstance(x, PackedSequence):
            x = pad_packed_sequence(x, batch_first=True)[0]
        elif x.dim() == 2:
            x = x[None]
        elif not self.batch_first:
            x = x.transpose(0, 1)
        reason = fused.obstacle(self._network(), x, *_parts(state))
        if reason is None:
            return Path("compiled", f"{type(self.cell).__name__} with {type(self.memory).__name__}, on the CPU")
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
        batch = x.shape[0]  # not `len`, which would fix the size of the batch in torch.export
        if not isinstance(state, RNNState):
            raise TypeError(f"state is a {type(state).__name__}, but a MemoryRNN goes on from a state that it returned")
        if state.read.shape[0] != batch:
            raise ValueError(f"x has batch {batch}, but the state has batch {state.read.shape[0]}")
        came = ([part.shape[-1] for part in state.hidden], list(state.read.shape[1:]))
        expected = ([self.hidden_size] * self.num_states, [self.memory.heads, self.memory.read_width])
        if came != expected:
            raise ValueError(
                f"the state has hidden sizes {came[0]} and reads of {came[1]}, but this network has {expected[0]} "
                f"and {expected[1]}: it belongs to another"
            )
        dtype, device = state.read.dtype, state.read.device
        if device != x.device:
            raise ValueError(f"x is on {x.device}, but the state is on {device}: use state.to(x.device)")
        if dtype != x.dtype and not torch.is_autocast_enabled(device.type):
            raise TypeError(f"x is {x.dtype}, but the state is {dtype}: use state.to(dtype=x.dtype)")

    def _tied(self, state: RNNState) -> RNNState:
        """The same state, from which a gradient of zero goes to the first one, for processes that train together.

        They exchange gradients only once each parameter has one (`DistributedDataParallel`), and here `initial` would
        have none. On its own a process leaves it without, so that an optimizer does not move it.
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
    """What a weight of a `MemoryRNN` is called today: version 0.1 called `to_action` `act`.

    Args:
        name: The name of a weight, of this network or of another.
        prefix: What the names of this network's weights begin with.

    Example:
        >>> from ddstructs.nn.rnn import renamed
        >>> renamed("rnn.act.weight", "rnn.")
        'rnn.to_action.weight'
    """
    return f"{prefix}to_action.{name.removeprefix(f'{prefix}act.')}" if name.startswith(f"{prefix}act.") else name


def _rename(rnn: nn.Module, weights: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give the weights of an older version, on their way into a network, the names of today."""
    for name in list(weights):
        weights[renamed(name, prefix)] = weights.pop(name)
