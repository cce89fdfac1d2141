"""What every memory is: an action goes in, a read comes out, and the state in between is a value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.utils._pytree import GetAttrKey, register_pytree_node
from typing_extensions import TypeVar

__all__ = ["Action", "Contents", "Memory", "Start", "State", "harden"]


class Action(NamedTuple):
    """What a controller does to a memory, in one step or, with a time axis after the batch, in many.

    Attributes:
        push: Strength of the new value, shape `(batch, heads)`, in [0, 1]; d_t in the paper.
        pop: Strength to remove first, shape `(batch, heads)`, in [0, 1]; u_t in the paper.
        value: What to store, shape `(batch, heads, width)`; v_t in the paper.
    """

    push: Tensor
    pop: Tensor
    value: Tensor


class Contents(NamedTuple):
    """What a state holds: the live slots in order, padded with zeros to the longest row of the batch.

    Attributes:
        values: Stored values, shape `(batch, slots, width)`; V_t in the paper.
        strengths: How much of each is left, shape `(batch, slots)`, zero or more; s_t in the paper.
    """

    values: Tensor
    strengths: Tensor


class Start(NamedTuple):
    """How a network begins to learn a memory: the biases of push and pop, before the sigmoid.

    Attributes:
        push: One number a head.
        pop: One number a head.
    """

    push: tuple[float, ...]
    pop: tuple[float, ...]


@dataclass(frozen=True)
class State:
    """What a memory carries from one step to the next: a frozen dataclass of tensors, each batch first.

    A state is a value: no step changes it, so two steps from one state are two independent futures. A subclass
    declares its fields (tensors, states, or tuples of them) and has all of this for nothing.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let every state through `torch.export` and other functions of trees, and `torch.load` with weights alone."""
        super().__init_subclass__(**kwargs)
        name = f"{cls.__module__}.{cls.__qualname__}"
        register_pytree_node(cls, _parts, _whole, serialized_type_name=name, flatten_with_keys_fn=_named_parts)
        torch.serialization.add_safe_globals([cls])

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Apply `function` to every tensor of the state, and return the state of the results."""
        return replace(self, **{field.name: _map(function, getattr(self, field.name)) for field in fields(self)})

    def detach(self) -> Self:
        """The same state, cut off from the computation before it, as truncated backpropagation through time needs."""
        return self.map(Tensor.detach)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same state on another device, or with its floating-point tensors in another dtype."""

        def move(part: Tensor | State) -> Tensor | State:
            return part.to(device, dtype if isinstance(part, State) or part.is_floating_point() else None)

        return replace(self, **{field.name: _map(move, getattr(self, field.name), move) for field in fields(self)})

    def select(self, rows: Tensor) -> Self:
        """The state of some rows of the batch, in the order given; a row may come more than once, as in beam search.

        Args:
            rows: Indices into the batch, shape `(new_batch,)`, int64.
        """
        return self.map(lambda tensor: tensor.index_select(0, rows))


def _parts(state: State) -> tuple[list[Any], type[State]]:
    """The fields of a state, and what to build of them: a state that shares its tensors maps to one that does not."""
    state = state.map(lambda tensor: tensor)
    return [getattr(state, field.name) for field in fields(state)], type(state)


def _named_parts(state: State) -> tuple[list[tuple[Any, Any]], type[State]]:
    parts, kind = _parts(state)
    return [(GetAttrKey(field.name), part) for field, part in zip(fields(kind), parts, strict=True)], kind


def _whole(parts: Iterable[Any], kind: type[State]) -> State:
    return kind(*parts)


def _map(function: Callable[[Any], Any], field: Any, inner: Callable[[Any], Any] | None = None) -> Any:
    """Apply `function` to every tensor of a field, and `inner` to every state in it: `map`, if not given."""
    if isinstance(field, Tensor):
        return function(field)
    if isinstance(field, State):
        return inner(field) if inner else field.map(function)
    if isinstance(field, tuple):
        parts = [_map(function, part, inner) for part in field]
        return type(field)(*parts) if hasattr(field, "_fields") else tuple(parts)
    return field


S = TypeVar("S", bound=State, default=Any)


class Memory(nn.Module, ABC, Generic[S]):
    r"""A differentiable data structure without parameters of its own: anything that pushes, pops and reads.

    A subclass gives `heads`, `width` and the three abstract methods; it stores each argument of its constructor under
    the argument's own name, so that a checkpoint can say how to build it again. Two laws hold for every memory:
    `forward` equals `step` in a loop, and cutting a sequence in two and carrying the state changes nothing.

    Attributes:
        heads: How many (push, pop, value, read) there are in a step.
        width: Size of one value.
        validate: Whether to look at the numbers too, and refuse a push or a pop that is NaN or outside [0, 1]. Off by
            default, for on a GPU the look waits for the device.
    """

    heads: int
    width: int
    validate: bool = False

    @property
    def starts(self) -> tuple[Start, ...]:
        """How a network should begin to learn this memory, the first choice first.

        One choice: it pushes half and pops a quarter, so that what it pushes stays. A memory that can be used in ways
        which begin apart names one for each, and a controller whose learning stalls goes on to the next.
        """
        return (Start((0.0,) * self.heads, (-1.0,) * self.heads),)

    @property
    def stores(self) -> tuple[int, ...]:
        """How many heads work on each store, in order: all on one, unless several memories lie side by side in this."""
        return (self.heads,) if self.heads else ()

    @abstractmethod
    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> S:
        """The state of an empty memory.

        Args:
            batch_size: Number of rows, each a memory of its own.
            device: Where the state lives; torch's default device if not given.
            dtype: Floating-point type of the values; torch's default dtype if not given.
        """

    @abstractmethod
    def step(self, action: Action, state: S) -> tuple[Tensor, S]:
        """One time step: pop, then push, then read.

        Args:
            action: Push and pop of shape `(batch, heads)` in [0, 1], value of shape `(batch, heads, width)`.
            state: The state before; it is left as it was.

        Returns:
            The read, shape `(batch, heads, width)`, and the state after.

        Raises:
            ValueError: If a shape or a device does not fit this memory and this state.
            TypeError: If a dtype does not fit.
        """

    @abstractmethod
    def contents(self, state: S) -> Contents:
        """The live slots of a state, in the order of the structure."""

    def forward(self, actions: Action, state: S | None = None) -> tuple[Tensor, S]:
        """A whole sequence of steps.

        Args:
            actions: Push and pop of shape `(batch, time, heads)` in [0, 1], value of shape
                `(batch, time, heads, width)`.
            state: The state before the first step; an empty memory if not given.

        Returns:
            The reads, shape `(batch, time, heads, width)`, and the state after the last step. It may keep the very
            tensor of the values, not a copy: clone what you will change in place.

        Raises:
            ValueError: If a shape or a device does not fit this memory and this state.
            TypeError: If a dtype does not fit.
        """
        self.check(actions, time=True)
        value = actions.value
        if state is None:
            state = self.initial_state(value.shape[0], device=value.device, dtype=value.dtype)
        reads = []
        for action in zip(*(part.unbind(1) for part in actions), strict=True):  # a slice a step would cost T^2 backward
            read, state = self.step(Action(*action), state)
            reads.append(read)
        return torch.stack(reads, dim=1) if reads else value.new_zeros(value.shape), state

    def check(self, action: Action, *, time: bool = False) -> None:
        """Refuse an action that does not fit this memory, in one line that says what came and what was expected.

        Args:
            action: The action of one step, or of a whole sequence.
            time: Whether there is a time axis after the batch.

        Raises:
            ValueError: If a shape or a device does not fit; if `validate` is on, also for a push or a pop that is NaN
                or outside [0, 1].
            TypeError: If this is not an `Action`, or a part of it not a floating-point tensor.
        """
        batch = "(batch, time)" if time else "(batch)"
        if not isinstance(action, Action):
            raise TypeError(f"action is a {type(action).__name__}, but a memory takes an Action(push, pop, value)")
        for name, part in zip(Action._fields, action, strict=True):
            if not isinstance(part, Tensor) or not part.is_floating_point():
                sort = part.dtype if isinstance(part, Tensor) else type(part).__name__
                raise TypeError(f"{name} is {sort}, but a memory takes floating-point tensors")
        for name, part in zip(Action._fields, action, strict=True):
            if part.device != action.value.device:
                raise ValueError(
                    f"{name} is on {part.device}, but value is on {action.value.device}: move one to the other"
                )
            axes = 2 + time + (name == "value")
            if part.dim() != axes:
                expected = f"{batch[:-1]}, heads{', width' * (name == 'value')})"
                raise ValueError(f"{name} has shape {tuple(part.shape)}, but {axes} axes were expected: {expected}")
        kind = type(self).__name__
        for name, part in zip(Action._fields, action, strict=True):
            if part.shape[: 1 + time] != action.push.shape[: 1 + time]:
                came = tuple(part.shape[: 1 + time])
                raise ValueError(f"{name} has {batch} {came}, but push has {tuple(action.push.shape[: 1 + time])}")
            if part.shape[1 + time] != self.heads:
                raise ValueError(f"{name} is for {part.shape[1 + time]} heads, but this {kind} has {self.heads}")
        if action.value.shape[-1] != self.width:
            raise ValueError(f"value has width {action.value.shape[-1]}, but this {kind} stores width {self.width}")
        if self.validate:
            for name, part in (("push", action.push), ("pop", action.pop)):
                wrong = part[~((part >= 0) & (part <= 1))]
                if wrong.numel():
                    raise ValueError(
                        f"{name} has {wrong.numel()} elements outside [0, 1], the first is {wrong[0].item()}: "
                        "a sigmoid keeps them inside"
                    )


def harden(action: Action) -> Action:
    """Round push and pop to 0 or 1, so that every memory is the discrete structure it is named after.

    The gradient passes straight through the rounding, as if it were not there (Bengio, Léonard & Courville 2013,
    *Estimating or Propagating Gradients Through Stochastic Neurons*). Exactly a half rounds to 1.

    Args:
        action: An action with push and pop in [0, 1], of one step or of many.

    Returns:
        The action with push and pop in {0, 1} and the same value.

    Example:
        >>> import torch
        >>> push, pop, value = torch.tensor([[0.9]]), torch.tensor([[0.2]]), torch.zeros(1, 1, 4)
        >>> harden(Action(push, pop, value)).push
        tensor([[1.]])
    """

    def straight_through(signal: Tensor) -> Tensor:
        hard = (signal >= 0.5).to(signal.dtype)
        return hard + (signal - signal.detach())

    return Action(straight_through(action.push), straight_through(action.pop), action.value)
