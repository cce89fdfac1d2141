"""Push and pop both learned: twelve signals learn to read 0.1, 0.2, 0.3 backwards, and some never do.

As in `when_to_pop`, but the pushes of all six steps are learned too. Two things are new:

- A single sequence can be reversed in many ways. A read averages the topmost unit of strength, and half of 0.3 plus
  half of 0.1 is also 0.2. The reads are correct, although the signals are neither 0 nor 1.
- An empty stack gives no gradient. If everything is popped before it is read, the read is 0, and stays 0 when the
  signals change a little. Pops that start low (in the paper, by a pop bias of -1) rarely end up there.

    python -m examples.when_to_push_and_pop

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

PUSHED = torch.tensor([0.1, 0.2, 0.3, 0.0, 0.0, 0.0])
WANTED = torch.tensor([0.3, 0.2, 0.1])


class Learned(NamedTuple):
    """The learned signals of the six steps, the three reads, and the largest error in each update."""

    push: Tensor
    pop: Tensor
    reads: Tensor
    errors: list[float]


def learn(seed: int, highest_pop: float, rate: float = 3.0, updates: int = 500) -> Learned:
    """Train twelve signals by gradient descent, from random values; pops start in `0..highest_pop`."""
    generator = torch.Generator().manual_seed(seed)
    signals = torch.rand(2, 6, generator=generator)
    signals[1] *= highest_pop
    signals.requires_grad_()
    stack, errors = Stack(width=1), []
    while True:
        push, pop = signals[..., None]  # (time, heads) each
        reads, _ = stack(Action(push[None], pop[None], PUSHED[None, :, None, None]))
        difference = reads[0, 3:, 0, 0] - WANTED
        errors.append(difference.abs().max().item())
        if len(errors) == updates:
            return Learned(push[:, 0].detach(), pop[:, 0].detach(), (difference + WANTED).detach(), errors)
        (slope,) = torch.autograd.grad(difference.square().sum(), signals)
        with torch.no_grad():
            signals -= rate * slope
            signals.clamp_(0, 1)


def draw(runs: dict[float, list[Learned]], out: Path) -> None:
    """Draw the errors of all runs against the updates, and the signals of the first run that learned."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3), layout="constrained")
    *courses, right = figure.subplots(1, len(runs) + 1)
    for axes, (highest, group) in zip(courses, runs.items(), strict=True):
        for run in group:
            axes.semilogy(run.errors, color="C0" if learned(run) else "C3", linewidth=1)
        title = f"pops start in 0..{highest:g}: {sum(map(learned, group))} of {len(group)} learn"
        axes.set(xlabel="update", title=title, ylim=(1e-6, 1))
    courses[0].set_ylabel("largest error of a read")
    last = [*runs.values()][-1]
    best = next((run for run in last if learned(run)), last[0])
    steps = torch.arange(1, 7).numpy()
    right.bar(steps - 0.2, best.push.numpy(), 0.4, label="push")
    right.bar(steps + 0.2, best.pop.numpy(), 0.4, label="pop")
    right.set(xlabel="step", title="the signals of one run that did", ylim=(0, 1.3))
    right.legend(loc="upper right", ncols=2)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=70)


def learned(run: Learned) -> bool:
    """Whether the reads are the reversed sequence, to within a thousandth."""
    return run.errors[-1] < 1e-3


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Learn when to push and when to pop.")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds")
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/when_to_push_and_pop.png"))
    chosen = parser.parse_args(arguments)

    runs = {}
    for highest in (1.0, 0.25):
        seeds = range(chosen.seed, chosen.seed + chosen.seeds)
        group = runs[highest] = [learn(seed, highest, updates=chosen.updates) for seed in seeds]
        print(f"Pops that start in 0..{highest:g}: {sum(map(learned, group))} of {len(group)} seeds learn.")
        for reads in {tuple(run.reads.tolist()) for run in group if not learned(run)}:
            print("  A run that did not reads", *(f"{read:.3f}" for read in reads))
        for run in [run for run in group if learned(run)][:1]:
            print("  A run that learned: push", run.push.numpy().round(2), "pop", run.pop.numpy().round(2))
            print("  and the reads", run.reads.numpy().round(3))
    draw(runs, chosen.out)
    print("The figure is in", chosen.out)


if __name__ == "__main__":
    main()
