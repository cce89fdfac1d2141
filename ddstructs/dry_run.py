"""The dry run of a structure: every function is run once when it is built, so that mistakes show at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten

from ddstructs.superposition import Superposed

if TYPE_CHECKING:
    from ddstructs.structure import Structure

__all__ = ["dry_run", "with_item"]


def dry_run(structure: Structure) -> None:
    """Run every function of a structure on one row, and raise an error for any mistake that would fail later.

    Raises:
        TypeError: If a method is missing or fails, modifies its state, or returns a state of another form.
        ValueError: If a shape does not fit.
    """
    kind = type(structure).__name__
    names = _operations(structure)
    state = _run(structure, "empty")
    leaves, tree = tree_flatten(state)
    if not leaves:
        raise TypeError(f"{kind}.empty returns {state!r}, but a tensor, or a tree of tensors, was expected")
    for leaf in leaves:
        if not isinstance(leaf, Tensor) or not leaf.is_floating_point():
            raise TypeError(f"{kind}.empty holds {_type_of(leaf)}, but floating-point tensors were expected")
    item = torch.linspace(-1, 1, structure.width)
    for name in names:
        _compare(f"{kind}.{name}", _run(structure, name, state, item, leaves=leaves), leaves, tree)
    read = _run(structure, "read", state, leaves=leaves)
    if not isinstance(read, Tensor) or read.shape != (structure.width,):
        found = tuple(read.shape) if isinstance(read, Tensor) else type(read).__name__
        raise ValueError(f"{kind}.read returns {found}, but a tensor of shape ({structure.width},) was expected")
    slots = _run(structure, "slots", state, leaves=leaves)
    shapes = [tuple(part.shape) for part in slots] if isinstance(slots, tuple) else type(slots).__name__
    if not (isinstance(shapes, list) and len(shapes) == 2 and shapes[0] == (*shapes[1], structure.width)):
        raise ValueError(
            f"{kind}.slots returns {shapes}, but values (slots, {structure.width}) and strengths (slots,) were expected"
        )
    try:
        before = structure.initial_state(2)
        weights, value = (torch.zeros(2, structure.heads, size) for size in (len(names), structure.width))
        structure.contents(structure.advance(weights, value, before)[1])
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise TypeError(f"{kind} fails on a batch, under torch.vmap: {reason}") from error


def with_item(function: Callable[..., Any]) -> Callable[[Any, Tensor], Any]:
    """An operation as a function of a state and an item, even if it takes only the state."""
    positional = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    return function if len(positional) > 1 else lambda state, item: function(state)


def _operations(structure: Structure) -> tuple[str, ...]:
    """The names of the operations, each of which must be a method of its own."""
    kind = type(structure).__name__
    names = getattr(structure, "operations", ())
    if not (isinstance(names, tuple) and names and all(isinstance(name, str) for name in names)):
        raise TypeError(f"{kind}.operations is {names!r}, but a tuple of one or more names was expected")
    for name in names:
        if hasattr(Superposed, name) or hasattr(nn.Module, name):
            raise TypeError(f"{kind} has an operation {name!r}, but every memory has that attribute: rename it")
        if not callable(getattr(structure, name, None)):
            raise TypeError(f"{kind} has an operation {name!r}, but no method of that name")
    return names


def _run(structure: Structure, name: str, *arguments: Any, leaves: list[Tensor] | None = None) -> Any:
    """Call a function of a structure; raise an error if it fails or modifies its state in place."""
    kind, function = type(structure).__name__, getattr(structure, name)
    versions = [leaf._version for leaf in leaves or []]
    try:
        result = with_item(function)(*arguments) if len(arguments) == 2 else function(*arguments)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise TypeError(f"{kind}.{name} fails with a {type(error).__name__}: {reason}") from error
    if result is None:
        raise TypeError(f"{kind}.{name} returns None, but it must return its result")
    for leaf, version in zip(leaves or [], versions, strict=True):
        if leaf._version != version:
            raise TypeError(f"{kind}.{name} modifies its state in place, but it must return a new one")
    return result


def _compare(name: str, after: Any, leaves: list[Tensor], tree: TreeSpec) -> None:
    """Raise an error if the state that an operation returns differs in form from that of `empty`."""
    new, form = tree_flatten(after)
    if form != tree:
        returned, expected = (" ".join(str(each).split()) for each in (form, tree))
        raise TypeError(f"{name} returns a state of the form {returned}, but empty has {expected}")
    for leaf, empty in zip(new, leaves, strict=True):
        if not isinstance(leaf, Tensor) or not leaf.is_floating_point():
            raise TypeError(f"{name} returns {_type_of(leaf)}, but floating-point tensors were expected")
        if leaf.shape != empty.shape:
            raise ValueError(
                f"{name} returns a tensor of shape {tuple(leaf.shape)} where empty has {tuple(empty.shape)}: "
                "every operation must keep the shapes"
            )


def _type_of(leaf: object) -> object:
    """The dtype of a tensor, or the type of anything else."""
    return leaf.dtype if isinstance(leaf, Tensor) else type(leaf).__name__
