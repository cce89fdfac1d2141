"""A memory with a single slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ddstructs import Action, Contents, Memory, State

__all__ = ["Register", "RegisterState"]


@dataclass(frozen=True)
class RegisterState(State):
    """The slot: a value `(batch, 1, width)` and its strength `(batch, 1)`."""

    value: Tensor
    strength: Tensor


@final
class Register(Memory[RegisterState]):
    """A single slot: a pop weakens what is there, a push of strength d replaces a share d of it."""

    heads = 1

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.width = width

    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> RegisterState:
        value = torch.zeros(batch_size, 1, self.width, device=device, dtype=dtype)
        return RegisterState(value, value[..., 0])

    def step(self, action: Action, state: RegisterState) -> tuple[Tensor, RegisterState]:
        self.check(action)
        push, pop, value = action
        strength = (state.strength - pop).relu()
        keep = (1 - push) * strength
        after = RegisterState(torch.lerp(state.value, value, push[..., None]), keep + push)
        return after.strength[..., None] * after.value, after

    def contents(self, state: RegisterState) -> Contents:
        return Contents(state.value, state.strength)
