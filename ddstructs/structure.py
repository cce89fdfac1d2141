"""User-defined structures: a discrete structure, declared by pure functions, made differentiable by superposition."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_map, tree_unflatten

from ddstructs.actions import Choice
from ddstructs.checks import check_batch
from ddstructs.dry_run import dry_run, with_item
from ddstructs.line import compact
from ddstructs.ops import strength_dtype
from ddstructs.registry.ranges import Size
from ddstructs.state import Contents, State
from ddstructs.superposition import Superposed

__all__ = ["Structure", "StructureState"]


@final
@dataclass(frozen=True)
class StructureState(State):
    """The state of a structure: the leaves of its tree.

    Attributes:
        like: An empty tensor of shape `(batch, 0, width)` that has the dtype and device of the values.
        leaves: The tensors in the order of the tree, each `(batch, heads, ...)`; at least float32.
    """

    like: Tensor
    leaves: tuple[Tensor, ...]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> StructureState:
        """Move to a device, or convert to a dtype of the values; the leaves stay at least float32."""
        wide = dtype and strength_dtype(dtype)
        return StructureState(self.like.to(device, dtype), tuple(leaf.to(device, wide) for leaf in self.leaves))


class _DryRun(ABCMeta):
    """Starts the dry run of a structure after its whole constructor, including that of a subclass."""

    def __call__(cls, *arguments: Any, **settings: Any) -> Any:
        structure = super().__call__(*arguments, **settings)
        dry_run(structure)
        return structure


class Structure(Superposed[StructureState], metaclass=_DryRun):
    r"""A memory by superposition, declared as a discrete structure by pure functions on the tensors of one row.

    A subclass lists its operations and defines a method for each, besides `empty` and `read`. A state is a tensor, or
    a nest of tuples, lists and dictionaries of tensors, whose form never changes. In each step the controller chooses
    among the operations, and the new state is the weighted mixture of their results. With hard choices the memory is
    the discrete structure. The constructor runs every function once, and raises a one-line error for any mistake.

    Args:
        width: Size of one item, 1 or more.
        checkpoint: Steps between the states that are kept for backward; see `Superposed`.

    Attributes:
        operations: Names of the operations: methods that take the state, or the state and an item of shape `(width,)`,
            and return the new state. They must not modify their arguments in place.
        heads: Number of independent copies of the structure; 1 unless overridden.

    Raises:
        TypeError: If a method is missing or fails, or if it returns a state whose form differs from that of `empty`.
        ValueError: If a shape does not fit.

    Example:
        >>> import torch
        >>> from ddstructs import Choice, Structure
        >>> class ShortStack(Structure):
        ...     '''A stack of eight cells.'''
        ...     operations = ("push", "pop", "stay")
        ...     def empty(self):
        ...         return torch.zeros(8, self.width)
        ...     def push(self, cells, item):
        ...         return torch.cat([item[None], cells[:-1]])
        ...     def pop(self, cells):
        ...         return torch.cat([cells[1:], torch.zeros_like(cells[:1])])
        ...     def stay(self, cells):
        ...         return cells
        ...     def read(self, cells):
        ...         return cells[0]
        >>> stack = ShortStack(width=1)
        >>> push, pop, stay = torch.eye(3).view(3, 1, 1, 1, 3)
        >>> weights, values = torch.cat([push, push, pop], dim=1), torch.tensor([5.0, 7.0, 0.0]).view(1, 3, 1, 1)
        >>> stack(Choice(weights, values))[0].flatten().tolist()
        [5.0, 7.0, 5.0]
    """

    state_type = StructureState

    def __init__(self, width: Size = 64, checkpoint: Size | None = None) -> None:
        super().__init__(width, checkpoint)

    @abstractmethod
    def empty(self) -> Any:
        """The state of an empty structure: floating-point tensors, converted to the dtype and device in use."""

    @abstractmethod
    def read(self, state: Any) -> Tensor:
        """The read of a state, shape `(width,)`."""

    def slots(self, state: Any) -> tuple[Tensor, Tensor]:
        """The contents of a state, for traces: values `(slots, width)` in order, and strengths `(slots,)` in [0, 1].

        No slots, unless overridden.
        """
        like = tree_flatten(state)[0][0]
        return like.new_zeros(0, self.width), like.new_zeros(0)

    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> StructureState:
        check_batch(batch_size)
        like = torch.zeros(batch_size, 0, self.width, device=device, dtype=dtype)
        leaves = tree_flatten(self.empty())[0]
        wide = strength_dtype(like.dtype)
        rows = [leaf.to(like.device, wide).expand(batch_size, self.heads, *leaf.shape) for leaf in leaves]
        return StructureState(like, tuple(rows))

    def advance(self, weights: Tensor, value: Tensor, state: StructureState) -> tuple[Tensor, StructureState]:
        wide = strength_dtype(value.dtype)
        rows = [part.flatten(0, 1) for part in (weights, value.to(wide), *state.leaves)]

        def one(weights: Tensor, item: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
            before = tree_unflatten(list(leaves), self._tree)
            each = [function(before, item) for function in self._functions]
            stay = (weights == 0).all()  # padding

            def mix(old: Tensor, *new: Tensor) -> Tensor:
                mixture = sum((w * n for w, n in zip(weights, new, strict=True)), torch.zeros_like(old))
                return torch.where(stay, old, mixture)

            after = tree_map(mix, before, *each)
            return self.read(after), *tree_flatten(after)[0]

        read, *leaves = torch.vmap(one)(*rows)
        batch = (len(value), self.heads)
        after = StructureState(state.like, tuple(leaf.unflatten(0, batch) for leaf in leaves))
        return read.to(value.dtype).unflatten(0, batch), after

    def _fit(self, action: Choice, state: StructureState) -> tuple[Tensor, Tensor]:
        fitting = super()._fit(action, state)
        shapes = [tuple(leaf.shape[1:]) for leaf in state.leaves]
        expected = [(self.heads, *leaf.shape) for leaf in tree_flatten(self.empty())[0]]
        if shapes != expected:
            raise ValueError(
                f"state has tensors of {shapes} in each row, but this {type(self).__name__} has {expected}: "
                "use one from its own initial_state"
            )
        return fitting

    def contents(self, state: StructureState) -> Contents:
        def one(*leaves: Tensor) -> tuple[Tensor, Tensor]:
            return self.slots(tree_unflatten(list(leaves), self._tree))

        values, strengths = torch.vmap(one)(*(leaf.flatten(0, 1) for leaf in state.leaves))
        batch = (len(state.like), self.heads)
        values, strengths = (part.unflatten(0, batch).flatten(1, 2) for part in (values, strengths))
        return compact(Contents(values.to(state.like.dtype), strengths.to(strength_dtype(state.like.dtype))))

    def extra_repr(self) -> str:
        return str(self.width)

    @property
    def _tree(self) -> TreeSpec:
        return tree_flatten(self.empty())[1]

    @property
    def _functions(self) -> list[Callable[[Any, Tensor], Any]]:
        """Each operation as a function of a state and an item."""
        return [with_item(getattr(self, name)) for name in self.operations]
