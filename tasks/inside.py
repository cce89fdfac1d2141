"""The probabilities of sentences under a grammar, by dynamic programming over their parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["log_inside"]

Rules = Sequence[tuple[int, float, list[int]]]
"""A symbol, a probability, and the one or two symbols that replace it; terminals have the lowest numbers."""

CELLS = 1 << 17
"""Number of pairs of begin and length, over the rows of a batch, that are handled at a time."""


def log_inside(rules: Rules, kinds: int, words: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    r"""The logarithm of the probability that each symbol derives each sentence, all derivations together.

    With $q_X(i, n)$ the probability that $X$ derives the $n$ words from the $i$-th on,

    $$ q_X(i, n) = \sum_{X \to Y Z} p(X \to Y Z) \sum_{k} q_Y(i, k) \, q_Z(i + k, n - k) $$

    Every word is multiplied by a constant, to keep the products of long sentences within the range of float64.

    Args:
        rules: The productions; a single symbol is a terminal.
        kinds: Number of terminals.
        words: Shape `(batch, time)`; what follows in a shorter row is arbitrary.
        lengths: Length of each sentence, shape `(batch,)`.

    Returns:
        Shape `(symbols, batch)`; minus infinity for what cannot be derived.

    Reference:
        Baker 1979, *Trainable Grammars for Speech Recognition*.
    """
    scale = math.sqrt(kinds)
    rows = max(1, CELLS // max(1, words.shape[1] ** 2))
    pieces = [_inside(rules, kinds, words[i : i + rows], scale) for i in range(0, len(words), rows)]
    symbols = 1 + max(symbol for symbol, _, _ in rules)
    whole = np.concatenate([np.zeros((symbols, 0, words.shape[1] + 1)), *pieces], axis=1)
    with np.errstate(divide="ignore"):
        logs: NDArray[np.float64] = np.log(whole[:, np.arange(len(words)), lengths]) - lengths * math.log(scale)
    return logs


def _inside(rules: Rules, kinds: int, words: NDArray[np.int64], scale: float) -> NDArray[np.float64]:
    """The scaled probability that each symbol derives the first words, shape `(symbols, batch, time + 1)`."""
    batch, longest = words.shape
    replaced: dict[tuple[int, ...], list[tuple[int, float]]] = {}
    for symbol, probability, by in rules:
        replaced.setdefault(tuple(by), []).append((symbol, probability))
    shape = (1 + max(symbol for symbol, _, _ in rules), batch, longest + 1, longest + 1)
    begun, ended = np.zeros(shape), np.zeros(shape)  # by begin and length, and by end and length
    here = (words == np.arange(kinds)[:, None, None]) * scale
    begun[:kinds, :, :longest, 1] = ended[:kinds, :, 1:, 1] = here
    for n in range(1, longest + 1):
        for parts, symbols in replaced.items():
            if len(parts) == n == 1:
                both = here[parts[0]]
            elif len(parts) == 2 <= n:
                least, most = (n - 1 if parts[1] < kinds else 1), (1 if parts[0] < kinds else n - 1)
                one = begun[parts[0], :, : longest + 1 - n, least : most + 1]
                two = ended[parts[1], :, n:, n - least : n - most - 1 : -1]
                both = np.einsum("bik,bik->bi", one, two)
            else:
                continue
            for symbol, probability in symbols:
                begun[symbol, :, : longest + 1 - n, n] += probability * both
                ended[symbol, :, n:, n] += probability * both
    return begun[:, :, 0]
