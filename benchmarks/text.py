"""Memory layers on real text: the next byte of Python's standard library, for four networks of equal size.

    python -m benchmarks.text results/text/runs.jsonl                  trains and tests what the file does not hold yet
    python -m benchmarks.text results/text/runs.jsonl --table          prints the tables of results/text/RESULTS.md
    python -m benchmarks.text results/text/trials.jsonl --updates 200 --rates 1e-3 3e-3 6e-3    chooses the rates

All networks have four layers of width 96, about 424,000 parameters and the same rows of training. They are tested on
every third file of the test split, in windows of one context that overlap by half: the second half of each counts.
`--updates` is also the budget that a table is of, and `--device cuda` trains and tests on a GPU.
"""

from __future__ import annotations

import argparse
import math
import re
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pytorch_lightning import seed_everything
from torch import Tensor, nn

from benchmarks.runs import Runs
from ddstructs import NoMemory, SequenceModel, Stack
from ddstructs.tasks.batch import START
from ddstructs.tasks.python_code import Dedent, closings, dedents
from ddstructs.tasks.python_source import PythonSource, joined
from ddstructs.training.sequence_model import Layer

DIM, CONTEXT, ROWS = 96, 256, 8


class Network(NamedTuple):
    """Layers, the size of the feed-forward part that makes all networks equally large, and the learning rate."""

    layers: list[Layer]
    feed_forward: int
    rate: float


NETWORKS = {
    "attention": Network(["attention"] * 4, 288, 6e-3),
    "LSTM": Network(["recurrent"] * 4, 96, 6e-3),
    "attention and memory": Network(["attention", "memory"] * 2, 336, 6e-3),
    "LSTM and memory": Network(["recurrent", "memory"] * 2, 240, 6e-3),
}
"""The rates are the best of trials on seed 1000, by the bits on the validation files after 200 updates."""

NOISE = 0.0
"""Noise on the logits of push and pop, the best of 0, 0.5 and 2 in the same trials."""

UPDATES, TRIAL_SEED = 600, 1000

KEY = ("network", "seed", "updates", "rate", "noise")
"""What makes a run another one."""

BRACKETS = [ord(bracket) for bracket in ")]}"]

BANDS = {
    "depth": ((1, 1), (2, 2), (3, None)),
    "distance": ((1, 7), (8, 31), (32, 127), (128, 255), (256, None)),
}
"""Ranges of depth and of distance in which accuracy is told."""


class Predictions(NamedTuple):
    """What a model says of each byte of some text.

    Attributes:
        nats: Negative logarithm of the probability of the byte.
        bracket: The likeliest of the bytes `)`, `]` and `}`.
        stays: Whether a space is likelier than all other bytes together, a line break apart.
    """

    nats: Tensor
    bracket: Tensor
    stays: Tensor


def build(name: str, rate: float, noise: float) -> SequenceModel:
    """An untrained network."""
    layers, feed_forward, _ = NETWORKS[name]
    memory = Stack(DIM // 4) if "memory" in layers else NoMemory()
    options: dict[str, Any] = {"embed_std": 1.0, "signal_noise": noise, "saturation": 0.0, "learning_rate": rate}
    return SequenceModel(memory, 257, 257, layers, DIM, feed_forward=feed_forward, **options)


def train(model: SequenceModel, seed: int, updates: int) -> float:
    """Train with a rate that falls linearly to a twentieth; return the seconds."""
    task = PythonSource(CONTEXT, ROWS, batches_per_epoch=updates, seed=seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=model.learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, updates)
    batches, begun = iter(task.train_dataloader()), time.perf_counter()
    for update, batch in enumerate(batches, 1):
        loss = model.training_step(model.transfer_batch_to_device(batch, model.device, 0), update)["loss"]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), model.clip)
        optimizer.step()
        schedule.step()
        if update % 100 == 0:
            print(f"  update {update}: {loss.item() / math.log(2):.3f} bits", flush=True)
    return time.perf_counter() - begun


@torch.no_grad()
def predict(model: SequenceModel, steps: npt.NDArray[np.int16]) -> Predictions:
    """Run over text in windows that overlap by half, and keep the second half of each.

    Args:
        model: The model.
        steps: Input symbols, shape `(n + 1,)`; the last is a target only.

    Returns:
        What is said of the n targets.
    """
    half, count = CONTEXT // 2, len(steps) - 1
    before, after = half, -count % half
    symbols = torch.from_numpy(np.pad(steps, (before, after))).long()
    windows, targets = symbols[:-1].unfold(0, CONTEXT, half), symbols[half + 1 :].unfold(0, half, half)
    parts = []
    for inputs, wanted in zip(windows.split(32), targets.split(32), strict=True):
        logits = model(inputs.to(model.device))[:, half:].flatten(0, 1).cpu()
        target = torch.where(wanted == START, 256, wanted - 1).flatten()
        ended = logits[:, [ord("\n")]].exp()  # a line break is no indentation
        rest = logits.exp().sum(1, keepdim=True) - ended
        parts.append(
            Predictions(
                nn.functional.cross_entropy(logits, target, reduction="none"),
                logits[:, BRACKETS].argmax(1),
                2 * logits[:, ord(" ")].exp() > rest[:, 0],
            )
        )
    return Predictions(*(torch.cat(part)[:count] for part in zip(*parts, strict=True)))


def score(model: SequenceModel, files: Sequence[bytes]) -> dict[str, Any]:
    """Bits per byte of files, and the share of brackets and dedents that are right, as right and all in each band."""
    said = predict(model, joined(files))
    counts: dict[str, list[int]] = {}
    begin = 0
    for file in files:
        for closing in closings(file):
            right = chr(BRACKETS[said.bracket[begin + closing.position]]) == closing.symbol
            _count(counts, f"bracket {closing.symbol}", right)
            _count(counts, "bracket", right, depth=closing.depth, distance=closing.distance)
        for dedent in dedents(file):
            if len(dedent.columns) > 1:  # with one column there is nothing to choose
                right = is_right(dedent, said.stays, begin)
                _count(counts, "dedent", right, depth=len(dedent.columns), distance=dedent.distance)
        begin += len(file) + 1
    ordered = {name: counts[name] for name in sorted(counts, key=_order)}
    return {"bits": round(said.nats.mean().item() / math.log(2), 4), **ordered}


def _order(name: str) -> list[int | str]:
    """Names by their words, and bands by their numbers."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def is_right(dedent: Dedent, stays: Tensor, begin: int) -> bool:
    """Whether the model closes as many blocks as the line does: it writes spaces up to its indentation, and no more."""
    goes_on = [bool(stays[begin + dedent.position + column]) for column in dedent.columns[: dedent.level + 1]]
    last = dedent.level == len(dedent.columns) - 1
    return all(goes_on[:-1]) and (last or not goes_on[-1])


def _count(counts: dict[str, list[int]], name: str, right: bool, **measures: int) -> None:
    names = [name]
    for measure, value in measures.items():
        band = next(band for band in BANDS[measure] if band[1] is None or value <= band[1])
        names.append(f"{name}, {measure} {_name(band)}")
    for each in names:
        count = counts.setdefault(each, [0, 0])
        count[0] += right
        count[1] += 1


def _name(band: tuple[int, int | None]) -> str:
    low, high = band
    return f"{low}+" if high is None else str(low) if low == high else f"{low}-{high}"


@torch.no_grad()
def validate(model: SequenceModel) -> float:
    """Bits per byte on rows of the validation files."""
    batches = PythonSource(CONTEXT, 32, eval_size=640).val_dataloader()
    moved = (model.transfer_batch_to_device(batch, model.device, 0) for batch in batches)
    nats = [model.scoring.update("val", model(batch.inputs), batch)[0].item() for batch in moved]
    return round(mean(nats) / math.log(2), 4)


def run(
    name: str, seed: int, updates: int, rate: float, noise: float, test: bool, device: str = "cpu"
) -> dict[str, Any]:
    """Train a network, and score it."""
    seed_everything(seed, verbose=False)
    model = build(name, rate, noise).to(device)
    seconds = train(model, seed, updates)
    model.eval()
    scores: dict[str, Any] = {"val bits": validate(model)}
    if test:
        scores |= score(model, PythonSource().files["test"][::3])
    size = sum(parameter.numel() for parameter in model.parameters())
    where = {} if device == "cpu" else {"device": device}
    return scores | {"parameters": size, "seconds": round(seconds, 1)} | where


def table(lines: list[dict[str, Any]]) -> str:
    """Mean and range of every score over the seeds, a column for each network."""
    runs = {name: [line for line in lines if line["network"] == name] for name in NETWORKS}
    scores = {key: score for key, score in max(lines, key=len).items() if key not in (*KEY, "device")}
    rows = [["", *(f"{name} ({len(own)} seeds)" for name, own in runs.items())], ["---", *["---:"] * len(runs)]]
    for key, score in scores.items():
        of = f" ({score[1]})" if isinstance(score, list) else ""
        its = ([_share(line[key]) for line in own if key in line] for own in runs.values())
        rows.append([f"{key}{of}", *map(_cell, its)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _share(score: float | list[int]) -> float:
    return score[0] / score[1] if isinstance(score, list) else score


def _cell(scores: list[float]) -> str:
    if not scores:
        return "-"
    digits = 0 if max(scores) > 100 else 3
    return f"{mean(scores):,.{digits}f} ({min(scores):,.{digits}f} to {max(scores):,.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--noise", type=float, default=NOISE)
    parser.add_argument("--rates", nargs="*", type=float, help="short runs on a trial seed, with these rates")
    parser.add_argument("--device", default="cpu", help="where to train and test: cpu, the default, or cuda")
    parser.add_argument("--table", action="store_true")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", ".*self.trainer.*")
    runs = Runs(settings.out, KEY)
    if settings.table:
        lines = [line for line in runs.lines if line["updates"] == settings.updates]
        if not lines:
            parser.error(f"{settings.out} has no runs of {settings.updates} updates")
        print(table(lines))
        return
    seeds = [TRIAL_SEED] if settings.rates else range(settings.first, settings.first + settings.seeds)
    for seed in seeds:
        for name in settings.networks:
            for rate in settings.rates or [NETWORKS[name].rate]:
                key = (name, seed, settings.updates, rate, settings.noise if "memory" in name else 0.0)
                if key not in runs:
                    scores = run(*key, test=not settings.rates, device=settings.device)
                    runs.add(dict(zip(KEY, key, strict=True)) | scores)
                    print(runs.lines[-1], flush=True)


if __name__ == "__main__":
    main()
