"""User-defined structures: a discrete structure, declared by pure functions, made differentiable by superposition."""

from __future__ import annotations

import inspect
from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_map, tree_unflatten

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


class _Tried(ABCMeta):
    """Runs a structure's dry run after its whole constructor, that of a subclass included."""

    def __call__(cls, *arguments: Any, **settings: Any) -> Any:
        structure = super().__call__(*arguments, **settings)
        structure._try()
        return structure


class Structure(Superposed[StructureState], metaclass=_Tried):
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
        like = torch.zeros(batch_size, 0, self.width, device=device, dtype=dtype)
        leaves = tree_flatten(self.empty())[0]
        wide = strength_dtype(like.dtype)
        alike = [leaf.to(like.device, wide).expand(batch_size, self.heads, *leaf.shape) for leaf in leaves]
        return StructureState(like, tuple(alike))

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
        return [_of_item(getattr(self, name)) for name in self.operations]

    def _try(self) -> None:
        """Run every function once on one row, and raise an error for anything that would fail later."""
        kind = type(self).__name__
        names = getattr(self, "operations", ())
        if not (isinstance(names, tuple) and names and all(isinstance(name, str) for name in names)):
            raise TypeError(f"{kind}.operations is {names!r}, but a tuple of one or more names was expected")
        for name in names:
            if hasattr(Superposed, name) or hasattr(nn.Module, name):
                raise TypeError(f"{kind} has an operation {name!r}, but every memory has that attribute: rename it")
            if not callable(getattr(self, name, None)):
                raise TypeError(f"{kind} has an operation {name!r}, but no method of that name")
        state = self._run("empty")
        leaves, tree = tree_flatten(state)
        if not leaves:
            raise TypeError(f"{kind}.empty returns {state!r}, but a tensor, or a tree of tensors, was expected")
        for leaf in leaves:
            if not isinstance(leaf, Tensor) or not leaf.is_floating_point():
                sort = leaf.dtype if isinstance(leaf, Tensor) else type(leaf).__name__
                raise TypeError(f"{kind}.empty holds {sort}, but floating-point tensors were expected")
        item = torch.linspace(-1, 1, self.width)
        for name in names:
            self._compare(name, self._run(name, state, item, leaves=leaves), leaves, tree)
        read = self._run("read", state, leaves=leaves)
        if not isinstance(read, Tensor) or read.shape != (self.width,):
            came = tuple(read.shape) if isinstance(read, Tensor) else type(read).__name__
            raise ValueError(f"{kind}.read returns {came}, but a tensor of shape ({self.width},) was expected")
        shown = self._run("slots", state, leaves=leaves)
        shapes = [tuple(part.shape) for part in shown] if isinstance(shown, tuple) else type(shown).__name__
        if not (isinstance(shapes, list) and len(shapes) == 2 and shapes[0] == (*shapes[1], self.width)):
            raise ValueError(
                f"{kind}.slots returns {shapes}, but values (slots, {self.width}) and strengths (slots,) were expected"
            )
        try:
            ready = self.initial_state(2)
            zeros = torch.zeros(2, self.heads, len(names)), torch.zeros(2, self.heads, self.width)
            self.contents(self.advance(*zeros, ready)[1])
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise TypeError(f"{kind} fails on a batch, under torch.vmap: {reason}") from error

    def _run(self, name: str, *given: Any, leaves: list[Tensor] | None = None) -> Any:
        """Call a function of the structure; raise an error if it fails or modifies its state in place."""
        kind, function = type(self).__name__, getattr(self, name)
        before = [(leaf._version, leaf.clone()) for leaf in leaves or []]
        try:
            result = _of_item(function)(*given) if len(given) == 2 else function(*given)
        except Exception as error:
            reason = " ".join(str(error).split())
            raise TypeError(f"{kind}.{name} fails with a {type(error).__name__}: {reason}") from error
        if result is None:
            raise TypeError(f"{kind}.{name} returns None, but it must return its result")
        for leaf, (version, _) in zip(leaves or [], before, strict=True):
            if leaf._version != version:
                raise TypeError(f"{kind}.{name} modifies its state in place, but it must return a new one")
        return result

    def _compare(self, name: str, after: Any, leaves: list[Tensor], tree: TreeSpec) -> None:
        """Raise an error if the state after an operation differs in form from `empty`."""
        kind = type(self).__name__
        new, form = tree_flatten(after)
        if form != tree:
            came, wanted = (" ".join(str(each).split()) for each in (form, tree))
            raise TypeError(f"{kind}.{name} returns a state of the form {came}, but empty has {wanted}")
        for came, expected in zip(new, leaves, strict=True):
            if not isinstance(came, Tensor) or not came.is_floating_point():
                sort = came.dtype if isinstance(came, Tensor) else type(came).__name__
                raise TypeError(f"{kind}.{name} returns {sort}, but floating-point tensors were expected")
            if came.shape != expected.shape:
                raise ValueError(
                    f"{kind}.{name} returns a tensor of shape {tuple(came.shape)} where empty has "
                    f"{tuple(expected.shape)}: every operation must keep the shapes"
                )


def _of_item(function: Callable[..., Any]) -> Callable[[Any, Tensor], Any]:
    """An operation as a function of a state and an item, also if it takes only the state."""
    takes = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    return function if len(takes) > 1 else lambda state, item: function(state)
