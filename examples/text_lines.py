"""Reversing the lines of a text file with a stack, trained on the other lines of the file.

Every fourth line is kept for the test. Training uses windows of the other lines, short ones first, up to 48
characters. Most test lines are therefore longer than anything in training, and all are new. A line counts only if
every character is right. Rounding push and pop to 0 or 1 (`rnn.hard`) shows whether the network has learned a stack or
an approximation.

    python -m examples.text_lines --file README.md

The task is the reversal of Grefenstette et al. 2015, *Learning to Transduce with Unbounded Memory*, on text.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ddstructs import Controller, Stack
from ddstructs.tasks import IGNORE, Batch, Curriculum, Reversal

TASK = Reversal()


class Result(NamedTuple):
    """The trained controller, the longest window and the accuracy in each update."""

    model: Controller
    lengths: list[float]
    accuracies: list[float]


def split(file: Path) -> tuple[list[str], list[str]]:
    """Split the ASCII lines for training and test; test lines are new, but have only characters seen in training."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.isascii() and len(line) > 3]
    train = [line for number, line in enumerate(lines) if number % 4]
    known = set("".join(train))
    return train, [line for line in lines[::4] if set(line) <= known and line not in train]


def assemble(texts: list[str]) -> Batch:
    """Encode texts for a controller: `<s> text ||| txet </s>`."""
    lengths = torch.tensor([len(text) for text in texts])
    source = torch.zeros(len(texts), int(lengths.max()), dtype=torch.int64)
    for row, text in zip(source, texts, strict=True):
        row[: len(text)] = torch.tensor(TASK.encode(text))
    return TASK.assemble(source, lengths)


def learn(lines: list[str], seed: int, updates: int, longest: int) -> Result:
    """Train on windows of these lines, which grow as the accuracy rises."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    text = "\n".join(lines)
    model = Controller(Stack(64), TASK.input_symbols, TASK.output_symbols)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    stages = Curriculum(longest)
    lengths, accuracies = [], []
    for _ in range(updates):
        shortest, present = stages.lengths(8)
        windows = []
        for _ in range(16 * longest // present):
            start, size = rng.randrange(len(text) - present), rng.randint(shortest, present)
            windows.append(text[start : start + size])
        batch = assemble(windows)
        answered = batch.targets != IGNORE
        logits, targets = model(batch.inputs)[answered], batch.targets[answered]
        optimizer.zero_grad()
        cross_entropy(logits, targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        accuracies.append((logits.argmax(-1) == targets).float().mean().item())
        stages.observe(accuracies[-1])
        lengths.append(stages.stage)
    return Result(model, lengths, accuracies)


def reverse(model: Controller, lines: list[str]) -> list[str]:
    """The output of the controller for each line, decoded greedily."""
    rows = model.decode(assemble(lines)).tolist()
    return [TASK.decode([symbol for symbol in row if 0 <= symbol < TASK.target_symbols]) for row in rows]


def draw(results: list[Result], line: str, out: Path) -> None:
    """Draw the window length of every run, and push and pop of the first run on one line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[2, 3])
    for result in results:
        left.plot(result.lengths, alpha=0.7)
    left.set(xlabel="update", title="longest window")
    model = results[0].model
    with torch.no_grad():
        batch = assemble([line])
        push, pop, _ = model.rnn.unroll(model.embed(batch.inputs)).actions
    image = right.imshow(
        torch.stack([push[0, :, 0], pop[0, :, 0]]).numpy(), aspect="auto", cmap="Greys", vmin=0, vmax=1
    )
    right.set_yticks([0, 1], ["push", "pop"])
    right.set_xticks(range(2 * len(line) + 2), ["⟨", *line, "|", *reversed(line)], fontsize=7, family="monospace")
    right.set(title="push and pop, character by character")
    figure.colorbar(image, ax=right)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Reverse the lines of a text file.")
    parser.add_argument("--file", type=Path, default=Path("README.md"))
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds")
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--longest", type=int, default=48, help="longest window in training")
    parser.add_argument("--out", type=Path, default=Path("runs/examples/text_lines.png"))
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)

    train, test = split(chosen.file)
    longer = sum(len(line) > chosen.longest for line in test)
    print(f"{chosen.file}: {len(train)} training lines and {len(test)} test lines, {longer} of them longer than")
    print(f"{chosen.longest} characters, the longest window in training.")
    results, made = [], list[str]()
    for seed in range(chosen.seed, chosen.seed + chosen.seeds):
        results.append(learn(train, seed, chosen.updates, chosen.longest))
        model = results[-1].model
        right = []
        for model.rnn.hard in (False, True):
            made = reverse(model, test)
            right.append(sum(answer == line[::-1] for answer, line in zip(made, test, strict=True)))
        print(
            f"seed {seed}: {right[0]} of {len(test)} lines are right, and {right[1]} with push and pop rounded",
            flush=True,
        )
        model.rnn.hard = False
    for line, answer in list(zip(test, made, strict=True))[:3]:
        print("  in ", line)
        print("  out", answer)
    draw(results, next((line for line in test if 10 < len(line) < 30), test[0]), chosen.out)
    print("The figure is in", chosen.out)


if __name__ == "__main__":
    main()
