"""The sentences of the grammar tasks with their probabilities, by enumeration of all derivations."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ddstructs.tasks import GenderConjugation, SVOtoSOV

__all__ = ["PROBABLE", "derivable"]

Words = tuple[str, ...]

PROBABLE: dict[Any, dict[str, dict[str, float]]] = {
    SVOtoSOV: {
        "A": {"S vi O": 1},
        "S": {"S S": 1 / 5, "S rpi S vi": 1 / 5, "si": 3 / 5},
        "O": {"O O": 1 / 5, "S rpi S vi": 1 / 5, "oi": 3 / 5},
    },
    GenderConjugation: {
        "A": {"B": 1},
        "B": {"B or B": 1 / 4, "S and S": 1 / 4, "B V": 1 / 2},
        "V": {"we B": 3 / 4, "we": 1 / 4},
        "S": {f"{article} {noun}": 1 / 6 for article in ("the", "a") for noun in ("em", "ef", "en")},
    },
}
"""The productions of the paper, over kinds of words."""


def derivable(rules: dict[str, dict[str, float]], symbols: Words, length: int) -> dict[Words, float]:
    """The probability of each sentence of a length derivable from some symbols, summed over derivations."""
    found: dict[Words, float] = defaultdict(float)
    head, rest = symbols[0], symbols[1:]
    if rest:
        for k in range(1, length - len(rest) + 1):
            for first, p in derivable(rules, (head,), k).items():
                for last, q in derivable(rules, rest, length - k).items():
                    found[first + last] += p * q
    elif head in rules:
        for source, p in rules[head].items():
            parts = tuple(source.split())
            for sentence, q in derivable(rules, parts, length).items() if len(parts) <= length else ():
                found[sentence] += p * q
    elif length == 1:
        found[symbols] = 1.0
    return found
