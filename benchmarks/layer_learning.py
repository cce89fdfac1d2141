"""How surely one memory layer learns: reversal with a stack and copying with a queue, without recurrence or attention.

    python -m benchmarks.layer_learning results/layer/runs.jsonl --seeds 10

adds a line for each run that the file does not hold yet, so an interrupted series goes on where it was. Each run is one
layer in a `SequenceModel`, trained on lengths 8 to 64 by the curriculum without fresh starts, and tested on lengths 65
to 128, 1,000 and 10,000: as it is, with saturated signals; with the sigmoids alone; and rounded.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import seed_everything
from torch import Tensor, nn

from benchmarks.runs import Runs
from ddstructs import Queue, SequenceModel, Stack
from ddstructs.nn.layer import MemoryLayer
from ddstructs.tasks import Batch, Copying, Reversal
from ddstructs.tasks.batch import IGNORE
from ddstructs.tasks.generated import Generated

CASES: dict[str, dict[str, Any]] = {
    "recipe": {},
    "one head": {"num_heads": 1},
    "one head, standard embeddings": {"num_heads": 1, "embed_std": 1.0},
    "two heads": {"num_heads": 2},
    "no noise on signals": {"signal_noise": 0.0},
    "penalty of 0.2": {"signal_penalty": 0.2},
    "no noise, penalty of 0.2": {"signal_noise": 0.0, "signal_penalty": 0.2},
    "heads begin alike": {"spread": 0.0},
}
"""What differs from the defaults of `SequenceModel` in each."""

PAIRS: dict[str, tuple[type[Generated], type[Stack] | type[Queue]]] = {
    "reversal, stack": (Reversal, Stack),
    "copying, queue": (Copying, Queue),
}

TESTS = {"65-128": ((65, 128), 1000), "1000": ((1000, 1000), 100), "10000": ((10_000, 10_000), 10)}
"""The lengths of each test, and how many sequences it has."""


def correct(model: SequenceModel, batch: Batch) -> Tensor:
    """Which rows have every symbol right, given the right symbols before; so has greedy decoding."""
    asked = batch.targets != IGNORE
    right: Tensor = ((model(batch.inputs).argmax(-1) == batch.targets) | ~asked).all(dim=1)
    return right


@torch.no_grad()
def share_right(
    model: SequenceModel, task: Generated, length: tuple[int, int], rows: int, hard: bool = False, sigmoid: bool = False
) -> float:
    """The share of sequences that are right in every symbol, of a fixed set.

    Args:
        model: The model, in training.
        task: Its task.
        length: Lengths of the sources.
        rows: How many.
        hard: Whether signals are rounded.
        sigmoid: Whether signals are not saturated.
    """
    model.eval()
    layers = [module for module in model.modules() if isinstance(module, MemoryLayer)]
    before = [(layer.hard, layer.saturation) for layer in layers]
    for layer in layers:
        layer.hard, layer.saturation = hard, 0.0 if sigmoid else layer.saturation
    batch = task.assemble(*task.draw(rows, length, torch.Generator().manual_seed(length[1])))
    right = correct(model, batch).double().mean().item()
    for layer, (was_hard, saturation) in zip(layers, before, strict=True):
        layer.hard, layer.saturation = was_hard, saturation
    model.train()
    return round(right, 4)


def train(pair: str, options: dict[str, Any], seed: int, updates: int) -> dict[str, Any]:
    """One run: the first validation with every sequence right, and the tests at the end."""
    kind, memory = PAIRS[pair]
    seed_everything(seed, verbose=False)
    task = kind(patience=None, seed=seed)
    model = SequenceModel(memory(64), task.input_symbols, task.output_symbols, **options)
    optimizer, first, begun = torch.optim.Adam(model.parameters(), lr=model.learning_rate), None, time.perf_counter()
    for update in range(1, updates + 1):
        batch = task._draw_training()
        step = model.training_step(batch, update)
        optimizer.zero_grad()
        step["loss"].backward()
        nn.utils.clip_grad_norm_(model.parameters(), model.clip)
        optimizer.step()
        if not task.stages.finished:
            task.stages.observe(task.mastery(step["cross_entropy"], step["output"], batch).item())
        if update % 50 == 0 and first is None and task.stages.finished:
            first = update if share_right(model, task, (65, 128), 100) == 1 else None
    seconds = time.perf_counter() - begun
    scores = {}
    for name, (length, rows) in TESTS.items():
        scores[name] = share_right(model, task, length, rows)
        scores[f"{name} sigmoid"] = share_right(model, task, length, rows, sigmoid=True)
        scores[f"{name} rounded"] = share_right(model, task, length, rows, hard=True)
    return {"right from update": first, "stage": int(task.stages.stage), **scores, "seconds": round(seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cases", nargs="*", default=["recipe"], choices=CASES)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--updates", type=int, default=400)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    runs = Runs(settings.out, ("case", "pair", "seed", "updates"))
    for case in settings.cases:
        for seed in range(settings.first, settings.first + settings.seeds):
            for pair in PAIRS:
                key = (case, pair, seed, settings.updates)
                if key not in runs:
                    runs.add(dict(zip(runs.key, key, strict=True)) | train(pair, CASES[case], seed, settings.updates))
                    print(runs.lines[-1], flush=True)


if __name__ == "__main__":
    main()
