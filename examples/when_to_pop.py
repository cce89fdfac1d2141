"""The smallest problem for a stack: after three pushes, three pop signals learn to read the numbers backwards.

In each step, a stack pops, then pushes, then reads. Steps 1 to 3 push 0.1, 0.2 and 0.3. Steps 4 to 6 push nothing, and
how much they pop are the only three parameters. Plain gradient descent changes them until the reads are 0.3, 0.2, 0.1.
It finds that the first of these needs no pop (0.3 is on top already), and each of the others one.

    python -m examples.when_to_pop

After Andrew Trask 2016, *How to Code and Understand DeepMind's Neural Stack Machine*, part 4.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ddstructs import Action, Stack

PUSHED = torch.tensor([0.1, 0.2, 0.3])
WANTED = PUSHED.flip(0)


class Learned(NamedTuple):
    """The three pops and the three reads in each update, shape `(updates, 3)`."""

    pops: Tensor
    reads: Tensor


def answers(pops: Tensor) -> Tensor:
    """The reads of steps 4 to 6 with these pops."""
    zeros = torch.zeros(3)
    actions = Action(
        push=torch.cat([torch.ones(3), zeros])[None, :, None],  # (batch, time, heads): one row, six steps, one head
        pop=torch.cat([zeros, pops])[None, :, None],
        value=torch.cat([PUSHED, zeros])[None, :, None, None],  # and (width)
    )
    reads: Tensor = Stack(width=1)(actions)[0]
    return reads[0, 3:, 0, 0]


def learn(start: Tensor, rate: float = 5.0, updates: int = 500) -> Learned:
    """Minimize the squared error by gradient descent, from these three pops."""
    pops = start.clone().requires_grad_()
    course = []
    for _ in range(updates):
        reads = answers(pops)
        course.append((pops.detach().clone(), reads.detach()))
        error = (reads - WANTED).square().sum()
        (slope,) = torch.autograd.grad(error, pops)
        with torch.no_grad():
            pops -= rate * slope
            pops.clamp_(0, 1)
    return Learned(*(torch.stack(part) for part in zip(*course, strict=True)))


def draw(learned: Learned, out: Path) -> None:
    """Draw pops and reads against the updates."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for step in range(3):
        left.plot(learned.pops[:, step], label=f"step {step + 4}")
        right.plot(learned.reads[:, step])
        right.axhline(WANTED[step].item(), color=f"C{step}", linestyle=":")
    left.set(xlabel="update", title="how much to pop", ylim=(-0.05, 1.05))
    right.set(xlabel="update", title="what is read (dotted: what is wanted)", ylim=(0, 0.35))
    left.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Learn when to pop.")
    parser.add_argument("--seed", type=int, default=0, help="seed of the initial pops")
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/when_to_pop.png"))
    chosen = parser.parse_args(arguments)

    start = torch.rand(3, generator=torch.Generator().manual_seed(chosen.seed))
    for title, first in (("Pops that start at random", start), ("Pops that start at exactly 0", torch.zeros(3))):
        learned = learn(first, updates=chosen.updates)
        pops, reads = learned.pops[-1], learned.reads[-1]
        print(f"{title} are {pops.numpy().round(3)} after {chosen.updates} updates, and the reads are")
        print(f"  {reads.numpy().round(3)}, targets {WANTED.numpy()}, largest error {(reads - WANTED).abs().max():.4f}")
    print("At 0 the derivative of max(0, pop) is 0, by the paper's rule for ties, so such a pop never changes.")
    draw(learn(start, updates=chosen.updates), chosen.out)
    print("The figure is in", chosen.out)


if __name__ == "__main__":
    main()
