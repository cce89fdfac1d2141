"""How near a machine with few stacks can come to unmarked reversal, `w w^R`, if it only ever pushes and then pops.

    python -m benchmarks.unmarked_reversal

The machine remembers the last symbols, `2 * window` of them. Where they are a palindrome, the middle of the string may
have passed, and a stack that has taken all symbols up to there, but the last `window`, begins to pop; from then on it
knows the rest of the string if this is its middle, and it is lost for any later middle. Until all stacks are lost the
machine knows the whole second half but its first symbols, which it predicts from what it remembers. Apart from that its
predictions are the best there are, those of a mixture over all middles. If all stacks were lost before the middle, it
pays ln 2 for each symbol of the second half beyond the window. So this is the mean excess of `LanguageModel`:

    sum of (n - window) ln 2 over the strings that were lost / sum of (2 n + 1),    n = |w|
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

HALVES = (20, 40)
"""Shortest and longest `w`: strings of lengths 40 to 80, as in training."""

STRINGS, WINDOWS, STACKS = 100_000, range(9), (0, 1, 2, 4, 8, 20)


def false_middles(w: Tensor, window: int) -> Tensor:
    """The number of places before the middle of each `w w^R` where a stack would begin to pop, shape `(strings,)`.

    A place counts from the shortest `w` on, if the `window` symbols before it mirror those after it.
    """
    n = w.shape[1]
    string = torch.cat([w, w.flip(1)], dim=1)
    places = range(HALVES[0], n)
    mirrored = [(string[:, m - window : m] == string[:, m : m + window].flip(1)).all(1) for m in places]
    return torch.stack(mirrored).sum(0) if mirrored else torch.zeros(len(w), dtype=torch.int64)


def excess(window: int, stacks: int, strings: int = STRINGS, seed: int = 0) -> float:
    """Nats per symbol above the true distribution, over random strings of lengths 40 to 80."""
    generator = torch.Generator().manual_seed(seed)
    nats = symbols = 0.0
    for n in range(HALVES[0], HALVES[1] + 1):
        w = torch.randint(2, (strings // (HALVES[1] - HALVES[0] + 1), n), generator=generator)
        lost = (false_middles(w, window) >= stacks).sum().item()
        nats += lost * (n - window) * math.log(2)
        symbols += len(w) * (2 * n + 1)
    return nats / symbols


def main() -> None:
    print("| symbols remembered | " + " | ".join(f"{n} stacks" for n in STACKS) + " |")
    print("|---:|" + "---:|" * len(STACKS))
    for window in WINDOWS:
        print(f"| {2 * window} | " + " | ".join(f"{excess(window, n):.3f}" for n in STACKS) + " |")


if __name__ == "__main__":
    main()
