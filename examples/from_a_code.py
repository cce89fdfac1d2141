"""Push and pop computed by weights: a linear layer maps the code of a step to how much to push and pop.

This is the first half of a controller, `push, pop = sigmoid(W code + b)`. The code contains only the number of the
step, so all sequences share the same signals. Every update draws new sequences, so a mixture that happens to fit a
single sequence (as in `when_to_push_and_pop`) is not enough: the signals must become 0 and 1. The test sequences are
new as well.

Whether it learns depends on the bias of the pops. With 0, each step pops half a unit; in some runs nothing is left to
read in the last three steps, and so there is no gradient. With -1, the paper's choice, all runs learn.

    python -m examples.from_a_code

After Andrew Trask 2016, *How to Code and Understand DeepMind's Neural Stack Machine*, part 5.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ddstructs import Action, Stack

CODE = torch.eye(6)
"""The code of each step: steps 1 to 3 receive the sequence, steps 4 to 6 return it backwards."""


class Learned(NamedTuple):
    """Push and pop in each update, shape `(updates, 2, 6)`, and the largest error on the test sequences."""

    signals: Tensor
    error: float


def answers(layer: nn.Linear, sequences: Tensor) -> tuple[Tensor, Tensor]:
    """The reads of steps 4 to 6, shape `(batch, 3)`, and the signals, shape `(2, 6)`."""
    signals = layer(CODE).sigmoid().T
    push, pop = signals[:, None, :, None].expand(-1, len(sequences), -1, -1)  # (batch, time, heads) each
    values = torch.cat([sequences, torch.zeros_like(sequences)], dim=1)
    reads, _ = Stack(width=1)(Action(push, pop, values[:, :, None, None]))
    return reads[:, 3:, 0, 0], signals


def learn(seed: int, pop_bias: float, updates: int = 600) -> Learned:
    """Train on sequences of three random numbers, new in every update, and test on a thousand others."""
    torch.manual_seed(seed)
    layer = nn.Linear(6, 2)
    with torch.no_grad():
        layer.bias[:] = torch.tensor([0.0, pop_bias])
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    course = []
    for _ in range(updates):
        sequences = torch.rand(32, 3)
        reads, signals = answers(layer, sequences)
        course.append(signals.detach())
        error = (reads - sequences.flip(1)).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    with torch.no_grad():
        unseen = torch.rand(1000, 3)
        reads, _ = answers(layer, unseen)
    return Learned(torch.stack(course), (reads - unseen.flip(1)).abs().max().item())


def draw(learned: Learned, runs: dict[float, list[Learned]], out: Path) -> None:
    """Draw the signals of one run against the updates, and the errors of all runs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3), layout="constrained")
    *courses, right = figure.subplots(1, 3)
    for axes, title, signal in zip(courses, ("push", "pop"), learned.signals.unbind(1), strict=True):
        for step in range(6):
            axes.plot(signal[:, step], "-" if step < 3 else "--", label=str(step + 1))
        axes.set(xlabel="update", title=title, ylim=(-0.05, 1.05))
    courses[0].legend(title="step", ncols=2)
    for place, group in enumerate(runs.values()):
        spread = torch.linspace(-0.15, 0.15, len(group))  # so that equal runs do not hide each other
        right.plot(place + spread, [run.error for run in group], "o", alpha=0.6)
    right.set_xticks(range(len(runs)), [f"pop bias {bias:g}" for bias in runs])
    right.set(title="largest error, sequences never seen", ylim=(0, 1.05), xlim=(-0.5, len(runs) - 0.5))
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Learn push and pop as a linear function of a code.")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=10, help="number of seeds")
    parser.add_argument("--updates", type=int, default=600)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/from_a_code.png"))
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)

    runs = {}
    for bias in (0.0, -1.0):
        seeds = range(chosen.seed, chosen.seed + chosen.seeds)
        group = runs[bias] = [learn(seed, bias, chosen.updates) for seed in seeds]
        errors = sorted(run.error for run in group)
        print(f"Pop bias {bias:g}: {sum(error < 0.1 for error in errors)} of {len(group)} seeds learn.")
        print("  Largest errors on 1000 new sequences:", *(f"{error:.3f}" for error in errors))
    learned = runs[-1.0][0]
    for name, signal in zip(("push", "pop "), learned.signals[-1], strict=True):
        print(f"{name} with bias -1, seed {chosen.seed}:", signal.numpy().round(2))
    print("The pop of step 1 meets an empty stack, so it gets no gradient.")
    draw(learned, runs, chosen.out)
    print("The figure is in", chosen.out)


if __name__ == "__main__":
    main()
