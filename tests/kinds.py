"""The structures under test, by name, as functions of the width."""

from collections.abc import Callable

import torch
from torch import Tensor

from ddstructs import Action, Bank, Deque, Memory, Queue, Stack, Structure, SuperpositionStack, Tape

LINES: dict[str, Callable[[int], Memory]] = {"stack": Stack, "queue": Queue, "deque": Deque}

KINDS: dict[str, Callable[[int], Memory]] = {
    **LINES,
    "stack+queue": lambda width: Bank([Stack(width), Queue(width)]),
    "deque+stack": lambda width: Bank([Deque(width), Stack(width)]),
}

MEMBERS = {
    "stack": ("stack",),
    "queue": ("queue",),
    "deque": ("deque",),
    "stack+queue": ("stack", "queue"),
    "deque+stack": ("deque", "stack"),
}
"""The lines that lie side by side in each kind."""


class Ring(Structure):
    """A queue of at most five items, in a dictionary: its items, and the place of the next one as a one-hot vector."""

    operations = ("enqueue", "dequeue", "wait")
    heads = 2

    def empty(self) -> dict[str, Tensor]:
        return {"items": torch.zeros(5, self.width), "used": torch.zeros(5)}

    def enqueue(self, state: dict[str, Tensor], item: Tensor) -> dict[str, Tensor]:
        used = state["used"]
        place = torch.cat([torch.ones_like(used[:1]), used[:-1]]) * (1 - used)
        return {"items": state["items"] + place[:, None] * item, "used": used + place}

    def dequeue(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        items, used = state["items"], state["used"]
        return {
            "items": torch.cat([items[1:], torch.zeros_like(items[:1])]),
            "used": torch.cat([used[1:], torch.zeros_like(used[:1])]),
        }

    def wait(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        return state

    def read(self, state: dict[str, Tensor]) -> Tensor:
        return state["items"][0]

    def slots(self, state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return state["items"], state["used"]


CHOOSING: dict[str, Callable[[int], Memory]] = {
    "superposition": SuperpositionStack,
    "facebook": lambda width: SuperpositionStack(width, reads=2, empty=-1.0, noop=False, checkpoint=3),
    "bounded": lambda width: SuperpositionStack(width, depth=3),
    "tape": Tape,
    "adding": lambda width: Tape(width, write="add", checkpoint=2),
    "ring": lambda width: Tape(width, size=5, jump=2),
    "structure": Ring,
}
"""The structures that are told to choose among operations."""

MIXED: dict[str, Callable[[int], Memory]] = {
    "stack+tape": lambda width: Bank([Stack(width), Tape(width)]),
    "two tapes": lambda width: Bank([Tape(width), Tape(width)]),
}

EVERYTHING = {**KINDS, **CHOOSING, **MIXED}

HEADS = {"stack": 1, "queue": 1, "deque": 2}


def parts(kind: str, actions: Action) -> list[tuple[str, slice, Action]]:
    """The lines of a kind, each with its heads and its part of the actions."""
    found, first = [], 0
    for line in MEMBERS[kind]:
        heads = slice(first, first + HEADS[line])
        found.append((line, heads, Action(*(part[:, :, heads] for part in actions))))
        first += HEADS[line]
    return found
