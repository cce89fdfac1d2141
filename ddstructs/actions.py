"""Actions: the inputs of a memory in one step or in a sequence, and their hard forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree

__all__ = ["Action", "Choice", "Joint", "Scores", "harden", "mapped", "parts", "unbind", "with_value"]


class Action(NamedTuple):
    """Push, pop and value of one step; of a sequence, with a time axis after the batch axis.

    Attributes:
        push: Strength of the new value, shape `(batch, heads)`, in [0, 1]; d_t in the paper.
        pop: Strength to remove before the push, shape `(batch, heads)`, in [0, 1]; u_t in the paper.
        value: Value to store, shape `(batch, heads, width)`; v_t in the paper.
    """

    push: Tensor
    pop: Tensor
    value: Tensor

    def harden(self) -> Action:
        """Push and pop rounded to 0 or 1; see `ddstructs.harden`."""
        push, pop = (_straight_through((part >= 0.5).to(part.dtype), part) for part in (self.push, self.pop))
        return Action(push, pop, self.value)

    def saturate(self, margin: float) -> Action:
        """Push and pop stretched so that those within a margin of 0 or 1 are 0 or 1: (s - m) / (1 - 2 m), clipped."""
        push, pop = (((part - margin) / (1 - 2 * margin)).clamp(0, 1) for part in (self.push, self.pop))
        return Action(push, pop, self.value)

    def only(self, where: Tensor) -> Action:
        """Keep the action where a mask is true and do nothing elsewhere; mask `(batch,)` or `(batch, time)`."""
        push, pop = (torch.where(where[..., None], part, 0) for part in (self.push, self.pop))
        return Action(push, pop, self.value)

    def fractions(self) -> Tensor:
        """How far each signal is from 0 and 1: 4 s (1 - s), in [0, 1], shape `(2, batch, heads)`."""
        signals = torch.stack(self[:2])
        return 4 * signals * (1 - signals)


class Choice(NamedTuple):
    """A choice among operations, as mixture weights. All-zero weights leave the state unchanged.

    Attributes:
        weights: Weight of each operation, shape `(batch, heads, operations)`, in [0, 1] with sum 1, or all zero.
        value: Item for the operations that take one, shape `(batch, heads, width)`.
    """

    weights: Tensor
    value: Tensor

    def harden(self) -> Choice:
        """All weight on the likeliest operation, on the first one of a tie; see `ddstructs.harden`."""
        weights = self.weights
        if not weights.shape[-1]:
            return self
        likeliest = torch.zeros_like(weights).scatter(-1, weights.argmax(-1, keepdim=True), 1.0)
        return Choice(_straight_through(torch.where(weights.any(-1, keepdim=True), likeliest, 0), weights), self.value)

    def saturate(self, margin: float) -> Choice:
        """Weights of at most a margin are 0, and the others, less the margin, are scaled to the same sum.

        For two operations this equals the saturation of a push or a pop. If no weight exceeds the margin, all stay.
        """
        weights = (self.weights - margin).clamp(min=0)
        total = weights.sum(-1, keepdim=True)
        return Choice(torch.where(total > 0, weights / total.clamp(min=1e-12), self.weights), self.value)

    def only(self, where: Tensor) -> Choice:
        """Keep the action where a mask is true and do nothing elsewhere; mask `(batch,)` or `(batch, time)`."""
        return Choice(torch.where(where[..., None, None], self.weights, 0), self.value)

    def fractions(self) -> Tensor:
        """How undecided each choice is, n / (n - 1) (1 - sum of squared weights), in [0, 1], shape `(batch, heads)`.

        For two operations this equals the 4 s (1 - s) of a push or a pop.
        """
        count = self.weights.shape[-1]
        return count / max(1, count - 1) * (self.weights.sum(-1) - self.weights.square().sum(-1))


class Scores(NamedTuple):
    """Unnormalized log weights, for a memory that normalizes them itself. All -inf leaves the state unchanged.

    Attributes:
        scores: Log weights, shape `(batch, heads, names)`.
        value: Value to store, shape `(batch, heads, width)`.
    """

    scores: Tensor
    value: Tensor

    def harden(self) -> Scores:
        """Zero for the highest score, for the first one of a tie, and -inf for the others; no gradient passes."""
        best = self.scores.argmax(-1, keepdim=True)
        return Scores(torch.full_like(self.scores, -torch.inf).scatter(-1, best, 0.0), self.value)

    def saturate(self, margin: float) -> Scores:
        """The same scores: the memory itself decides what small weights mean."""
        return self

    def only(self, where: Tensor) -> Scores:
        """Keep the action where a mask is true and do nothing elsewhere; mask `(batch,)` or `(batch, time)`."""
        return Scores(torch.where(where[..., None, None], self.scores, -torch.inf), self.value)

    def fractions(self) -> Tensor:
        """How undecided each choice is: `Choice.fractions` of the softmax, shape `(batch, heads)`."""
        return Choice(self.scores.softmax(-1).nan_to_num(0), self.value).fractions()


class Joint(NamedTuple):
    """The actions of several memories whose signals differ.

    Attributes:
        actions: One action per memory.
    """

    actions: tuple[Any, ...]

    @property
    def value(self) -> Tensor:
        """The values of all heads, shape `(batch, heads, width)`."""
        return torch.cat([action.value for action in self.actions], dim=-2)

    def harden(self) -> Joint:
        """The hard form of every action."""
        return Joint(tuple(action.harden() for action in self.actions))

    def saturate(self, margin: float) -> Joint:
        """The saturated form of every action."""
        return Joint(tuple(action.saturate(margin) for action in self.actions))

    def only(self, where: Tensor) -> Joint:
        """Keep the actions where a mask is true and do nothing elsewhere; mask `(batch,)` or `(batch, time)`."""
        return Joint(tuple(action.only(where) for action in self.actions))

    def fractions(self) -> Tensor:
        """The fractions of all actions, flattened and concatenated."""
        return torch.cat([action.fractions().flatten() for action in self.actions])


def harden(action: Any) -> Any:
    """The hard form of an action, under which a memory behaves exactly as its discrete counterpart.

    Push and pop are rounded to 0 or 1, with .5 rounded to 1; a choice takes its likeliest operation. Gradients pass
    straight through, as if nothing had been rounded (Bengio, Léonard & Courville 2013, *Estimating or Propagating
    Gradients Through Stochastic Neurons*).

    Args:
        action: An action of one step or of a sequence, of any type: `Action`, `Choice`, `Scores` or `Joint`.

    Returns:
        The hard action, with the same value.

    Example:
        >>> import torch
        >>> push, pop, value = torch.tensor([[0.9]]), torch.tensor([[0.2]]), torch.zeros(1, 1, 4)
        >>> harden(Action(push, pop, value)).push
        tensor([[1.]])
    """
    return action.harden()


def _straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    return hard + (soft - soft.detach())


def parts(action: Any) -> list[Tensor]:
    """The tensors of an action, in order."""
    if isinstance(action, Tensor):
        return [action]
    return [tensor for part in action for tensor in parts(part)]


def mapped(function: Callable[..., Tensor], *actions: Any) -> Any:
    """Apply a function to the corresponding tensors of one or more actions, and return an action of the results."""
    first = actions[0]
    if isinstance(first, Tensor):
        return function(*actions)
    results = [mapped(function, *each) for each in zip(*actions, strict=True)]
    return type(first)(*results) if hasattr(first, "_fields") else tuple(results)


def unbind(actions: Any) -> list[Any]:
    """Split the actions of a sequence into steps. Slicing instead would make backward quadratic in time."""
    steps = zip(*(part.unbind(1) for part in parts(actions)), strict=True)
    return [_fill(actions, list(reversed(step))) for step in steps]


def _fill(form: Any, tensors: list[Tensor]) -> Any:
    """An action of the same type, with tensors popped from the end of a list."""
    if isinstance(form, Tensor):
        return tensors.pop()
    results = [_fill(part, tensors) for part in form]
    return type(form)(*results) if hasattr(form, "_fields") else tuple(results)


def with_value(action: Any, value: Tensor) -> Any:
    """Replace the values of an action; shape `(batch, heads, width)`, or with a time axis after the batch axis."""
    if not isinstance(action, Joint):
        return action._replace(value=value)
    values = value.split([part.value.shape[-2] for part in action.actions], dim=-2)
    return Joint(tuple(with_value(part, own) for part, own in zip(action.actions, values, strict=True)))


for _kind in (Action, Choice, Scores, Joint):  # as `torch.export.save` and `torch.export.load` need
    torch.serialization.add_safe_globals([_kind])
    _pytree._register_namedtuple(_kind, serialized_type_name=f"{_kind.__module__}.{_kind.__qualname__}")
