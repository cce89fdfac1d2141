"""How surely one memory layer learns: reversal with a stack and copying with a queue, without recurrence or attention.

    python -m benchmarks.layer_learning results/layer/runs.jsonl --seeds 10

adds a line for each run that the file does not hold yet, so an interrupted series goes on where it was. Each run is one
layer in a `SequenceModel`, trained on lengths 8 to 64 by the curriculum without fresh starts, and tested on 65 to 128
as it is, and on 1,000 and 10,000 with its signals as they are and rounded.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import seed_everything
from torch import Tensor, nn

from ddstructs import Queue, SequenceModel, Stack
from ddstructs.nn.layer import MemoryLayer
from ddstructs.tasks import Batch, Copying, Reversal
from ddstructs.tasks.batch import IGNORE
from ddstructs.tasks.generated import Generated

CASES: dict[str, dict[str, Any]] = {
    "recipe": {},
    "one head": {"num_heads": 1},
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


def correct(model: SequenceModel, batch: Batch) -> Tensor:
    """Which rows have every symbol right, given the right symbols before; so has greedy decoding."""
    asked = batch.targets != IGNORE
    right: Tensor = ((model(batch.inputs).argmax(-1) == batch.targets) | ~asked).all(dim=1)
    return right


@torch.no_grad()
def share_right(model: SequenceModel, task: Generated, length: tuple[int, int], rows: int, hard: bool) -> float:
    """The share of sequences that are right in every symbol, of a fixed set."""
    model.eval()
    layers = [module for module in model.modules() if isinstance(module, MemoryLayer)]
    for layer in layers:
        layer.hard = hard
    batch = task.assemble(*task.draw(rows, length, torch.Generator().manual_seed(length[1])))
    right = correct(model, batch).double().mean().item()
    for layer in layers:
        layer.hard = False
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
            task.stages.observe(step["accuracy"].item())
        if update % 50 == 0 and first is None and task.stages.finished:
            first = update if share_right(model, task, (65, 128), 100, hard=False) == 1 else None
    seconds = time.perf_counter() - begun
    scores = {
        "65-128": share_right(model, task, (65, 128), 1000, hard=False),
        "65-128 rounded": share_right(model, task, (65, 128), 1000, hard=True),
        "1000": share_right(model, task, (1000, 1000), 100, hard=False),
        "1000 rounded": share_right(model, task, (1000, 1000), 100, hard=True),
        "10000": share_right(model, task, (10000, 10000), 10, hard=False),
        "10000 rounded": share_right(model, task, (10000, 10000), 10, hard=True),
    }
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
    lines = settings.out.read_text().splitlines() if settings.out.exists() else []
    key = ("case", "pair", "seed", "updates")
    done = {tuple(line[part] for part in key) for line in map(json.loads, lines)}
    for case in settings.cases:
        for seed in range(settings.first, settings.first + settings.seeds):
            for pair in PAIRS:
                if (case, pair, seed, settings.updates) in done:
                    continue
                run = {"case": case, "pair": pair, "seed": seed, "updates": settings.updates}
                run |= train(pair, CASES[case], seed, settings.updates)
                with settings.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(run) + "\n")
                print(json.dumps(run), flush=True)


if __name__ == "__main__":
    main()
