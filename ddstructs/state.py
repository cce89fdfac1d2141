"""The state a memory carries from step to step, and the contents it exposes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils._pytree import GetAttrKey, register_pytree_node

__all__ = ["Contents", "State", "merged", "tensors"]


class Contents(NamedTuple):
    """The live slots of a state in order, padded with zeros to the longest row of the batch.

    Attributes:
        values: Stored values, shape `(batch, slots, width)`; V_t in the paper.
        strengths: Remaining strength of each value, shape `(batch, slots)`, 0 or more; s_t in the paper.
    """

    values: Tensor
    strengths: Tensor


@dataclass(frozen=True)
class State:
    """The state a memory carries from step to step: a frozen dataclass of tensors, batch first.

    States are immutable: a step returns a new one, so two steps from the same state are independent of each other. A
    subclass declares its fields (tensors, states, or tuples of these) and inherits all methods.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Register the subclass as a pytree, as `torch.export` needs, and with `torch.load(weights_only=True)`."""
        super().__init_subclass__(**kwargs)
        name = f"{cls.__module__}.{cls.__qualname__}"
        register_pytree_node(
            cls, _parts, _whole, serialized_type_name=name, flatten_with_keys_fn=_named_parts,
            to_dumpable_context=lambda form: _to_plain(form.fixed),
            from_dumpable_context=lambda plain: _Form(cls, _from_plain(plain)),
        )  # fmt: skip
        torch.serialization.add_safe_globals([cls])

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Apply `function` to every tensor, and return a state of the results."""
        return replace(self, **{field.name: _map(function, getattr(self, field.name)) for field in fields(self)})

    def detach(self) -> Self:
        """Detach from the computation graph, for truncated backpropagation through time."""
        return self.map(Tensor.detach)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """Move to a device, or convert the floating-point tensors to a dtype."""

        def move(part: Tensor | State) -> Tensor | State:
            return part.to(device, dtype if isinstance(part, State) or part.is_floating_point() else None)

        return replace(self, **{field.name: _map(move, getattr(self, field.name), move) for field in fields(self)})

    def select(self, rows: Tensor) -> Self:
        """Select rows of the batch in the given order; rows may repeat, as in beam search.

        Args:
            rows: Indices into the batch, shape `(new_batch,)`, int64.
        """

        def pick(part: Any) -> Any:
            return part.select(rows) if isinstance(part, State) else part.index_select(0, rows)

        return replace(self, **{field.name: _map(pick, getattr(self, field.name), pick) for field in fields(self)})


class _Form(NamedTuple):
    """The parts of a state that are not tensors, such as the layout of a line. In a pytree they are not leaves."""

    kind: type[State]
    fixed: tuple[tuple[str, Any], ...]


def _named_parts(state: State) -> tuple[list[tuple[Any, Any]], _Form]:
    """The fields that hold tensors, with their names, and the others."""
    state = state.map(lambda tensor: tensor)  # a state on a shared tape becomes one with its own tensors
    content = [(field.name, getattr(state, field.name)) for field in fields(state)]
    parts = [(GetAttrKey(name), part) for name, part in content if not _is_fixed(part)]
    return parts, _Form(type(state), tuple((name, part) for name, part in content if _is_fixed(part)))


def _is_fixed(part: Any) -> bool:
    return all(map(_is_fixed, part)) if isinstance(part, tuple) else part is None or isinstance(part, int)


def _parts(state: State) -> tuple[list[Any], _Form]:
    named, form = _named_parts(state)
    return [part for _, part in named], form


def _whole(parts: Iterable[Any], form: _Form) -> State:
    fixed = dict(form.fixed)
    names = (field.name for field in fields(form.kind) if field.name not in fixed)
    return form.kind(**fixed, **dict(zip(names, parts, strict=True)))


def _to_plain(part: Any) -> Any:
    """The parts of a form as JSON, for `torch.export.save`: a tuple or an enumeration with the name of its class."""
    if type(part) in (int, bool, str, type(None)):
        return part
    inner = [_to_plain(each) for each in part] if isinstance(part, tuple) else int(part)
    return [f"{type(part).__module__}.{type(part).__qualname__}", inner]


def _from_plain(plain: Any) -> Any:
    """The inverse of `_to_plain`, for the classes that `torch.load(weights_only=True)` allows too."""
    if not isinstance(plain, list):
        return plain
    name, inner = plain
    if name == "builtins.tuple":
        return tuple(map(_from_plain, inner))
    allowed = [kind for kind in torch.serialization.get_safe_globals() if isinstance(kind, type)]
    kind: Any = next(kind for kind in allowed if f"{kind.__module__}.{kind.__qualname__}" == name)
    return kind(*map(_from_plain, inner)) if isinstance(inner, list) else kind(inner)


def _map(function: Callable[[Any], Any], field: Any, inner: Callable[[Any], Any] | None = None) -> Any:
    """Apply `function` to every tensor of a field, and `inner` to every nested state; `State.map` if not given."""
    if isinstance(field, Tensor):
        return function(field)
    if isinstance(field, State):
        return inner(field) if inner else field.map(function)
    if isinstance(field, tuple):
        parts = [_map(function, part, inner) for part in field]
        return type(field)(*parts) if hasattr(field, "_fields") else tuple(parts)
    return field


def tensors(part: Any) -> list[Tensor]:
    """The tensors of a state, in order."""
    if isinstance(part, Tensor):
        return [part]
    if isinstance(part, State):
        return [tensor for field in fields(part) for tensor in tensors(getattr(part, field.name))]
    return [tensor for each in part for tensor in tensors(each)] if isinstance(part, tuple) else []


def merged(rows: Tensor, fresh: Any, old: Any) -> Any:
    """Take some rows from a fresh state and the others from the old one, padding the fresh state with zeros."""
    if isinstance(old, Tensor):
        rest = [n for was, now in zip(reversed(fresh.shape), reversed(old.shape), strict=True) for n in (0, now - was)]
        return torch.where(rows.view(-1, *[1] * (old.dim() - 1)), pad(fresh, rest).to(old.dtype), old)
    if isinstance(old, State):
        names = [field.name for field in fields(old)]
        return replace(old, **{name: merged(rows, getattr(fresh, name), getattr(old, name)) for name in names})
    if isinstance(old, tuple):
        each = [merged(rows, *pair) for pair in zip(fresh, old, strict=True)]
        return type(old)(*each) if hasattr(old, "_fields") else tuple(each)
    return old
