"""What a machine with few stacks has on unmarked reversal: the formula of the benchmark against the machine itself."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks.unmarked_reversal import HALVES, false_middles

MIDDLES = range(HALVES[0], HALVES[1] + 1)


def surprisal(string: list[int], window: int, stacks: int) -> float:
    """-ln of the probability that the machine gives a string and its end: a mixture over the middles, step by step."""
    weights, popping = dict.fromkeys(MIDDLES, 1.0), set[int]()
    nats = 0.0
    for t, symbol in enumerate([*string, None]):
        after = {}
        for m, weight in weights.items():
            if t < m:
                p = 0.5 if symbol is not None else 0.0
            elif t == 2 * m or symbol is None:
                p = float(t == 2 * m and symbol is None)
            elif t < m + window or m in popping:
                p = float(symbol == string[2 * m - 1 - t])
            else:
                p = 0.5
            after[m] = weight * p
        nats -= math.log(sum(after.values()) / sum(weights.values()))
        weights = {m: weight for m, weight in after.items() if weight > 0}
        if t + 1 - window in weights and len(popping) < stacks:
            popping.add(t + 1 - window)
    return nats


@pytest.mark.parametrize(("window", "stacks"), [(0, 0), (0, 4), (1, 2), (2, 1), (2, 4), (3, 2)])
@pytest.mark.parametrize("n", [HALVES[0], 27, HALVES[1]])
def test_a_machine_that_has_lost_its_stacks_pays_for_the_rest_of_the_string(n: int, window: int, stacks: int) -> None:
    w = torch.randint(2, (8, n), generator=torch.Generator().manual_seed(n))
    for half, false in zip(w.tolist(), false_middles(w, window).tolist(), strict=True):
        lost = (n - window) * math.log(2) if false >= stacks else 0.0
        perfect = n * math.log(2) + math.log(len(MIDDLES))
        assert surprisal(half + half[::-1], window, stacks) - perfect == pytest.approx(lost, abs=1e-9)
