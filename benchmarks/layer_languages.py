"""Language models with layers: nats above the exact bound, for memory layers, attention and LSTM.

    python -m benchmarks.layer_languages results/layer/languages.jsonl --seeds 3     trains what the file does not hold
    python -m benchmarks.layer_languages results/layer/languages.jsonl --table       prints the table of the results

Every network has five layers, as in *Stack Attention* (DuSell & Chiang 2024), of width 32. Training is on strings of
lengths 40 to 80, for networks with a memory by the curriculum without fresh starts, and the test on other strings of
these lengths and of 81 to 100. The score is the excess of `LanguageModel`, which is 0 for a perfect model of lengths 40
to 80.
"""

from __future__ import annotations

import argparse
import time
import warnings
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch
from pytorch_lightning import seed_everything
from torch import nn

from benchmarks.runs import Runs
from ddstructs import NoMemory, SequenceModel, Stack
from ddstructs.tasks import DyckModel, MarkedReversalModel, UnmarkedReversalModel
from ddstructs.tasks.language_model import LanguageModel
from ddstructs.training.sequence_model import Layer

DIM, WIDTH, FEED_FORWARD, UPDATES, STRINGS = 32, 8, 64, 400, 300


class Network(NamedTuple):
    """Layers, learning rate, standard deviation of the initial embeddings, and whether short strings come first."""

    layers: list[Layer]
    rate: float
    embed_std: float
    curriculum: bool


MIDDLE: list[Layer] = ["attention", "attention", "memory", "attention", "attention"]

NETWORKS = {
    "memory": Network(["memory"] * 5, 5e-3, 0.1, True),
    "attention, memory in the middle": Network(MIDDLE, 5e-3, 1.0, True),
    "attention": Network(["attention"] * 5, 5e-3, 1.0, False),
    "LSTM": Network(["recurrent"] * 5, 5e-3, 1.0, False),
}
"""Without a memory, the curriculum does not end in so few updates, so attention and LSTM begin with whole strings."""

LANGUAGES: dict[str, type[LanguageModel]] = {
    "marked reversal": MarkedReversalModel,
    "Dyck-2": DyckModel,
    "unmarked reversal": UnmarkedReversalModel,
}

TESTS = {"40-80": (40, 80), "81-100": (81, 100)}

KEY = ("language", "network", "seed", "updates", "rate", "embed_std")
"""What makes a run another one."""


def train(language: str, network: str, seed: int, updates: int, rate: float, embed_std: float) -> dict[str, Any]:
    """One run: the excess on each set of lengths."""
    seed_everything(seed, verbose=False)
    kind = LANGUAGES[language]
    task = kind(
        train_lengths=(40, 80),
        curriculum=NETWORKS[network].curriculum,
        start_length=8,
        patience=None,
        seed=seed,
    )
    layers = NETWORKS[network].layers
    memory = Stack(WIDTH) if "memory" in layers else NoMemory()
    options: dict[str, Any] = {"learning_rate": rate, "embed_dim": DIM, "feed_forward": FEED_FORWARD}
    model = SequenceModel(memory, task.input_symbols, task.output_symbols, layers, embed_std=embed_std, **options)
    optimizer, begun = torch.optim.Adam(model.parameters(), lr=rate), time.perf_counter()
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, updates)
    for update in range(1, updates + 1):
        batch = task._draw_training()
        step = model.training_step(batch, update)
        optimizer.zero_grad()
        step["loss"].backward()
        nn.utils.clip_grad_norm_(model.parameters(), model.clip)
        optimizer.step()
        schedule.step()
        if not task.stages.finished:
            task.stages.observe(task.mastery(step["cross_entropy"], step["output"], batch).item())
    seconds = time.perf_counter() - begun
    scores = {name: excess(model, kind, lengths) for name, lengths in TESTS.items()}
    size = sum(parameter.numel() for parameter in model.parameters())
    stage = int(task.stages.stage)
    return {"stage": stage, **scores, "parameters": size, "seconds": round(seconds, 1)}


@torch.no_grad()
def excess(model: SequenceModel, kind: type[LanguageModel], lengths: tuple[int, int]) -> float:
    """Nats per symbol above the true distribution, on a fixed set of strings."""
    task = kind(train_lengths=(40, 80), test_lengths=lengths, eval_size=STRINGS, eval_batch_size=100)
    model.eval()
    losses, counts = [], []
    for batch in task.test_dataloader():
        losses.append(model.scoring.update("test", model(batch.inputs), batch)[0].item())
        counts.append(int(batch.lengths.sum()))
    floor = task.floor("test")
    assert floor is not None
    return round(sum(loss * n for loss, n in zip(losses, counts, strict=True)) / sum(counts) - floor, 4)


def table(lines: list[dict[str, Any]]) -> str:
    """Mean, best and worst excess of each network, over the seeds."""
    rows = [["language", "network", "seeds", *TESTS], ["---", "---", "---:", *["---:"] * len(TESTS)]]
    for language, network in product(LANGUAGES, NETWORKS):
        own = [line for line in lines if (line["language"], line["network"]) == (language, network)]
        scores = [[line[name] for line in own] for name in TESTS]
        cells = [f"{mean(each):.3f} ({min(each):.3f} to {max(each):.3f})" if each else "not run" for each in scores]
        rows.append([language, network, str(len(own)), *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--languages", nargs="*", default=list(LANGUAGES), choices=LANGUAGES)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--rate", type=float, help="another than that of the network")
    parser.add_argument("--embed_std", type=float, help="another than that of the network")
    parser.add_argument("--table", action="store_true")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", ".*self.trainer.*")
    runs = Runs(settings.out, KEY)
    if settings.table:
        print(table(runs.lines))
        return
    seeds = range(settings.first, settings.first + settings.seeds)
    languages: list[str] = settings.languages
    names: list[str] = settings.networks
    for seed, language, name in product(seeds, languages, names):
        network = NETWORKS[name]
        rate, embed_std = settings.rate or network.rate, settings.embed_std or network.embed_std
        key = (language, name, seed, settings.updates, rate, embed_std)
        if key not in runs:
            runs.add(dict(zip(KEY, key, strict=True)) | train(*key))
            print(runs.lines[-1], flush=True)


if __name__ == "__main__":
    main()
