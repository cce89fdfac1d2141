"""Why does it pop half a unit at a time? A small Elman cell with a stack reverses binary sequences.

The sequences grow by one symbol whenever the error has fallen. In 2016, a network like this one got its sequences
right after a night of training, but did not use its stack: it pushed 1 and popped about 0.5 in every step. The reason
is that the program increased the bias of the push a little in each update, regardless of the gradient, so that
something would be pushed. Soon the push is 1 in every step. Then

- the read is the value just pushed; the values below have no share in it, and the stack is only a detour of the cell;
- no pop can change a read, so the gradient of every pop is exactly 0, and the pops stay near sigmoid(0) = 0.5;
- the cell must remember the sequence by itself, and its few units hold about ten symbols.

So half pops are not learned: a signal without a gradient stays where it started. The cure is not to change the push
bias. Then a run either pops most of a symbol at a time, or still relies on the memory of the cell and pops about half;
starting with sequences that are long for the cell makes the latter rarer. Half pops are the sign of an unused stack.

    python -m examples.binary_sequences

After Andrew Trask 2016, *How to Code and Understand DeepMind's Neural Stack Machine*, part 5.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from ddstructs import MemoryRNN, Stack

SETTINGS = {"push bias grows": (1.05, 1), "left alone": (1.0, 1), "left alone, from 8": (1.0, 8)}
"""Factor on the push bias after each update, and initial length.

In 2016 the factor was 1.0025, and learning took a hundred times as many updates.
"""


class Network(nn.Module):
    """An Elman cell with a stack by the equations of the paper, without the skip connections of ddstructs."""

    def __init__(self, hidden_size: int = 16) -> None:
        super().__init__()
        self.rnn = MemoryRNN(
            4,
            hidden_size,
            Stack(2),
            batch_first=True,
            push_bias=0.15,
            pop_bias=0.0,
            value_skip=False,
            read_skip=False,
            output_layer=True,
        )
        self.classify = nn.Linear(hidden_size, 2)

    def forward(self, bits: Tensor) -> tuple[Tensor, Tensor]:
        """Read bits `(batch, n)`; return logits `(batch, n, 2)` of the answer, and push and pop `(2, batch, 2 n)`."""
        n = bits.shape[1]
        x = torch.zeros(len(bits), 2 * n, 4)
        x[:, :n, :2] = one_hot(bits, 2)
        x[:, :n, 2] = 1  # in the source
        x[:, n:, 3] = 1  # in the answer
        output, actions, _, _ = self.rnn.unroll(x)
        return self.classify(output[:, n:]), torch.stack([actions.push, actions.pop])[..., 0]


class Result(NamedTuple):
    """The outcome of one run.

    Attributes:
        lengths: Longest sequence in each update.
        right: Share of correct symbols, at the longest length.
        unpopped: The same with all pops set to 0.
        slope: Largest gradient of a weight of the pop, in the last update.
        push: Push in each step of one sequence: the source, then the answer.
        pop: Pop in each step of the same sequence.
        halves: Share of pops between 1/4 and 3/4 in the answer, over many sequences.
    """

    lengths: list[int]
    right: float
    unpopped: float
    slope: float
    push: Tensor
    pop: Tensor
    halves: float


def learn(seed: int, growth: float, start: int = 1, longest: int = 16, updates: int = 600) -> Result:
    """Train on sequences that grow as the error falls."""
    torch.manual_seed(seed)
    network = Network()
    to_action = network.rnn.to_action
    assert to_action is not None  # a stack has a head
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    length, error, lengths = start, 1.0, []
    for _ in range(updates):
        bits = torch.randint(2, (32, int(torch.randint(max(1, length // 2), length + 1, ()))))
        logits, _ = network(bits)
        loss = cross_entropy(logits.flatten(0, 1), bits.flip(1).flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            to_action.bias[0] *= growth
        error = 0.9 * error + 0.1 * wrong(logits, bits)
        if error < 0.05 and length < longest:
            length, error = length + 1, 0.15
        lengths.append(length)
    slope = to_action.weight.grad[1].abs().max().item() if to_action.weight.grad is not None else 0.0
    with torch.no_grad():
        bits = torch.randint(2, (500, length))
        logits, signals = network(bits)
        answer_pops = signals[1, :, length:]
        halves = ((answer_pops > 0.25) & (answer_pops < 0.75)).float().mean().item()
        to_action.weight[1], to_action.bias[1] = 0.0, -1e3  # a pop of exactly 0
        unpopped, _ = network(bits)
    push, pop = signals[:, 0]
    return Result(lengths, 1 - wrong(logits, bits), 1 - wrong(unpopped, bits), slope, push, pop, halves)


def wrong(logits: Tensor, bits: Tensor) -> float:
    """Share of symbols that differ from the reversed sequence."""
    return (logits.argmax(-1) != bits.flip(1)).float().mean().item()


def draw(runs: dict[str, list[Result]], out: Path) -> None:
    """Draw push and pop of one run of each setting, and the length that every run reached."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.5), layout="constrained")
    above, (left, middle, right) = figure.subplots(2, 3)
    for axes, (name, group) in zip(above, runs.items(), strict=True):
        steps = torch.arange(1, len(group[0].push) + 1)
        axes.step(steps, group[0].push, where="mid", label="push")
        axes.step(steps, group[0].pop, where="mid", label="pop")
        axes.axvspan(len(steps) / 2 + 0.5, len(steps) + 0.5, color="0.92")
        axes.set(title=name, xlabel="step (grey: the sequence is asked back)", ylim=(-0.05, 1.05))
    above[0].legend(loc="lower left")
    for place, (name, group) in enumerate(runs.items()):
        spread = torch.linspace(-0.25, 0.25, len(group))  # so that equal runs do not hide each other
        for shift, run in zip(spread, group, strict=True):
            colour = "C2" if run.right > 0.99 else "C3"
            asked = run.pop[len(run.pop) // 2 :].mean()
            left.plot(run.lengths, color=f"C{4 + place}", alpha=0.6, label=name if run is group[0] else None)
            middle.plot(place + shift, asked, "o", color=colour)
            right.plot(run.right - run.unpopped, asked, "o", color=colour)
    left.set(title="longest sequence", xlabel="update")
    left.legend(fontsize="small")
    middle.set_xticks(range(len(runs)), list(runs), fontsize="small")
    middle.set(title="mean pop (green: right)", ylim=(0, 1))
    right.set(title="mean pop, and what pops are worth", ylim=(0, 1), xlabel="accuracy lost when nothing is popped")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=64)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Reverse binary sequences, and inspect the pops.")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--updates", type=int, default=600)
    parser.add_argument("--longest", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/binary_sequences.png"))
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)

    print("                                                source       answer")
    print(
        "                    seed  length  symbols right  push  pop    push  pop  halves  without pops  slope of pops"
    )
    runs: dict[str, list[Result]] = {}
    for name, (growth, start) in SETTINGS.items():
        for seed in range(chosen.seed, chosen.seed + chosen.seeds):
            run = learn(seed, growth, start, chosen.longest, chosen.updates)
            runs.setdefault(name, []).append(run)
            n = run.lengths[-1]
            means = [part.mean() for part in (run.push[:n], run.pop[:n], run.push[n:], run.pop[n:])]
            signals = "{:.2f} {:.2f}    {:.2f} {:.2f}".format(*means)
            print(f"{name:20} {seed:3} {n:7} {run.right:14.3f}  {signals}  {run.halves:6.2f}", end="")
            print(f" {run.unpopped:13.3f} {run.slope:14.1e}", flush=True)
    draw(runs, chosen.out)
    print("The figure is in", chosen.out)


if __name__ == "__main__":
    main()
