"""The structures that are tested, each under its name, as functions of the width."""

from collections.abc import Callable

from ddstructs import Action, Bank, Deque, Memory, Queue, Stack

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

HEADS = {"stack": 1, "queue": 1, "deque": 2}


def parts(kind: str, actions: Action) -> list[tuple[str, slice, Action]]:
    """Each line of a kind, with the heads it has there and its part of the actions of a sequence."""
    found, first = [], 0
    for line in MEMBERS[kind]:
        heads = slice(first, first + HEADS[line])
        found.append((line, heads, Action(*(part[:, :, heads] for part in actions))))
        first += HEADS[line]
    return found
