"""Probabilistic grammars in normal form: every production has two symbols, or one terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["Production", "Productions", "normal_form"]

Productions = Mapping[str, Sequence[tuple[float, str]]]
"""The alternatives of each nonterminal: a probability, and the symbols that replace it, separated by blanks."""

Production = tuple[str, float, tuple[str, ...]]
"""A symbol, a probability, and the symbols that replace it."""

CLOSE = 1e-15


def normal_form(productions: Productions) -> list[Production]:
    r"""The productions of a grammar that derives the same strings, the empty one aside, with the same probabilities.

    Productions of more than two symbols are split. With $e_X$ the probability that $X$ derives the empty string, a
    production $X \to Y Z$ of probability $p$ also gives $X \to Z$ with $p\, e_Y$ and $X \to Y$ with $p\, e_Z$, and
    $X \to \varepsilon$ is dropped. With $U_{XY}$ the probability of $X \to Y$, the chains of single symbols sum up to
    $(I - U)^{-1}$, by which every other production is multiplied.

    Example:
        >>> from ddstructs.tasks.normal_form import normal_form
        >>> normal_form({"S": [(0.5, "a S a"), (0.5, "")]})
        [('S a', 0.5, ('a',)), ('S a', 1.0, ('S', 'a')), ('S', 0.5, ('a', 'S a'))]
    """
    rules = _split(productions)
    empty = _empty(rules)
    symbols = list(rules)
    single = np.zeros((len(symbols), len(symbols)))
    others: dict[str, dict[tuple[str, ...], float]] = {symbol: {} for symbol in symbols}
    for symbol, alternatives in rules.items():
        for probability, parts in alternatives:
            for share, left in _without_empty(probability, parts, empty):
                if len(left) == 1 and left[0] in rules:
                    single[symbols.index(symbol), symbols.index(left[0])] += share
                else:
                    others[symbol][left] = others[symbol].get(left, 0.0) + share
    chains = np.linalg.inv(np.eye(len(symbols)) - single)
    return [
        (symbol, float(chains[i, j]) * share, parts)
        for i, symbol in enumerate(symbols)
        for j, last in enumerate(symbols)
        if chains[i, j]
        for parts, share in others[last].items()
    ]


def _split(productions: Productions) -> dict[str, list[tuple[float, tuple[str, ...]]]]:
    """Split productions of more than two symbols; what is left of one is a new symbol, named by its parts."""
    rules: dict[str, list[tuple[float, tuple[str, ...]]]] = {}

    def add(symbol: str, probability: float, parts: tuple[str, ...]) -> None:
        if len(parts) > 2:
            rest = " ".join(parts[1:])
            if rest not in rules:
                add(rest, 1.0, parts[1:])
            parts = (parts[0], rest)
        rules.setdefault(symbol, []).append((probability, parts))

    for symbol, alternatives in productions.items():
        for probability, parts in alternatives:
            add(symbol, probability, tuple(parts.split()))
    return rules


def _empty(rules: Mapping[str, Sequence[tuple[float, tuple[str, ...]]]]) -> dict[str, float]:
    """The probability that each nonterminal derives the empty string: the least solution, from 0 upwards."""
    empty = dict.fromkeys(rules, 0.0)
    while True:
        grown = {
            symbol: sum((p * math.prod(empty.get(part, 0.0) for part in parts) for p, parts in alternatives), 0.0)
            for symbol, alternatives in rules.items()
        }
        change = max(grown[symbol] - empty[symbol] for symbol in rules)
        empty = grown
        if change < CLOSE:
            return empty


def _without_empty(
    probability: float, parts: tuple[str, ...], empty: Mapping[str, float]
) -> list[tuple[float, tuple[str, ...]]]:
    """The ways in which a production derives a string that is not empty: with both parts, or with one of them."""
    if len(parts) < 2:
        return [(probability, parts)] if parts else []
    one, two = (empty.get(part, 0.0) for part in parts)
    ways = [(probability * two, parts[:1]), (probability * one, parts[1:]), (probability, parts)]
    return [(share, left) for share, left in ways if share]
