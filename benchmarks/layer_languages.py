"""Language models with layers: nats above the exact bound, for memory layers, attention and LSTM.

    python -m benchmarks.layer_languages results/layer/languages.jsonl --seeds 3     trains what the file does not hold
    python -m benchmarks.layer_languages results/layer/languages.jsonl --table       prints the table of the results

Every network has five layers, as in *Stack Attention* (DuSell & Chiang 2024), of width 32. Training is on strings of
lengths 40 to 80, for networks with a memory by the curriculum, and the test on other strings of these lengths and of 81
to 100. The rate is constant in the first half of the updates and falls in the second. The score is the excess of
`LanguageModel`, which is 0 for a perfect model of lengths 40 to 80. `--set '{"signal_noise": 2.0}'` runs a trial with
other settings of the model, the memory or the task, and `--device cuda` trains and tests on a GPU.
"""

from __future__ import annotations

import argparse
import inspect
import json
import time
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch
from pytorch_lightning import seed_everything
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.runs import Runs
from ddstructs import NoMemory, SequenceModel, Stack
from ddstructs.nn.layer import MemoryLayer
from ddstructs.tasks import DyckModel, MarkedReversalModel, UnmarkedReversalModel
from ddstructs.tasks.batch import IGNORE
from ddstructs.tasks.language_model import LanguageModel
from ddstructs.training.restarts import draw_weights
from ddstructs.training.sequence_model import Layer

UPDATES, STRINGS = 400, 300


class Network(NamedTuple):
    """The layers, and the settings of the model and the task that differ from those of every network."""

    layers: list[Layer]
    settings: dict[str, Any]


MIDDLE: list[Layer] = ["attention", "attention", "memory", "attention", "attention"]

NETWORKS = {
    "memory": Network(["memory"] * 5, {"curriculum": True}),
    "memory, noise in the first half": Network(["memory"] * 5, {"curriculum": True, "noise_until": 0.5}),
    "attention, memory in the middle": Network(
        MIDDLE, {"curriculum": True, "position": "none", "threshold": 0.85, "patience": 400}
    ),
    "attention": Network(["attention"] * 5, {"curriculum": False, "embed_std": 1.0}),
    "LSTM": Network(["recurrent"] * 5, {"curriculum": False, "embed_std": 1.0}),
}
"""Without a memory, the curriculum does not end in so few updates, so attention and LSTM begin with whole strings.

Attention beside a memory has no positions and small embeddings: with positions it learns short strings by itself, and
the curriculum does not get beyond them.
"""

SETTINGS: dict[str, Any] = {
    "embed_dim": 32,
    "width": 8,
    "feed_forward": 64,
    "signal_noise": 1.0,
    "saturation": 0.0,
    "start_length": 8,
    "threshold": 0.8,
    "patience": 150,
}
"""What is the same for every network: arguments of the model, the memory and the task.

Signals are not saturated, for these languages are not only a matter of symbols: that a string may end is known by
counting its symbols, and a memory counts by small fractions.
"""

LANGUAGES: dict[str, tuple[type[LanguageModel], dict[str, Any]]] = {
    "marked reversal": (MarkedReversalModel, {}),
    "Dyck-2": (DyckModel, {}),
    "unmarked reversal": (UnmarkedReversalModel, {"curriculum": False}),
}
"""The task, and its settings."""

PAIRS: dict[tuple[str, str], dict[str, Any]] = {
    ("unmarked reversal", name): {"curriculum": True, "threshold": 0.77, "patience": 100_000}
    for name in ("memory", "memory, noise in the first half", "attention, memory in the middle")
}
"""Settings of a language and a network together.

A model of unmarked reversal that sees no middle has exp(-.341), .71, and a good one .9, between which a stage must end;
a fresh start would lose what was learned.
"""

TESTS = {"40-80": (40, 80), "81-100": (81, 100)}

KEY = ("language", "network", "seed", "updates", "settings")
"""What makes a run another one."""


def train(
    language: str, network: str, seed: int, updates: int, settings: dict[str, Any], device: str = "cpu"
) -> dict[str, Any]:
    """One run: the excess on each set of lengths, as the network is, and with saturated signals."""
    seed_everything(seed, verbose=False)
    kind, layers, width = LANGUAGES[language][0], NETWORKS[network].layers, settings["width"]
    given = {"train_lengths": (40, 80), **settings, "seed": seed}
    its = inspect.signature(SequenceModel).parameters
    own = {name: value for name, value in given.items() if name not in (*its, "width", "noise_until")}
    task = kind(**own)
    memory = Stack(width) if "memory" in layers else NoMemory()
    options = {name: value for name, value in given.items() if name in its}
    model = SequenceModel(memory, task.input_symbols, task.output_symbols, layers, **options).to(device)
    begun, finished, fresh = time.perf_counter(), None, 0
    optimizer = torch.optim.Adam(model.parameters(), lr=model.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: min(1.0, max(0.05, 2 * (1 - done / updates))))
    for update in range(1, updates + 1):
        for module in model.memory_modules:
            module.noisy = update - fresh <= given.get("noise_until", 1.0) * updates
        batch = model.transfer_batch_to_device(task._draw_training(), model.device, 0)
        logits, asked = model(batch.inputs), batch.targets != IGNORE
        loss = cross_entropy(logits[asked], batch.targets[asked])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), model.clip)
        optimizer.step()
        schedule.step()
        if update % 500 == 0:
            print(f"  update {update}: {loss.item():.3f} nats, length {int(task.stages.stage)}", flush=True)
        if not task.stages.finished:
            task.stages.observe(task.mastery(loss.detach(), logits.argmax(dim=-1), batch).item())
            finished = update if task.stages.finished else None
            if task.stages.stalled:
                task.stages.restart()
                draw_weights(model, task.stages.restarts, task.fresh_seed())
                fresh = update
                optimizer.state.clear()
    seconds = time.perf_counter() - begun
    scores = {name: excess(model, kind, lengths) for name, lengths in TESTS.items()}
    if memory.heads:
        for module in model.memory_modules:
            if isinstance(module, MemoryLayer):
                module.saturation = 0.1
        scores |= {f"{name} saturated": excess(model, kind, lengths) for name, lengths in TESTS.items()}
    size = sum(parameter.numel() for parameter in model.parameters())
    stages = {"stage": int(task.stages.stage), "restarts": task.stages.restarts, "finished": finished}
    where = {} if device == "cpu" else {"device": device}
    return stages | scores | {"parameters": size, "seconds": round(seconds, 1)} | where


@torch.no_grad()
def excess(model: SequenceModel, kind: type[LanguageModel], lengths: tuple[int, int]) -> float:
    """Nats per symbol above the true distribution, on a fixed set of strings."""
    task = kind(train_lengths=(40, 80), test_lengths=lengths, eval_size=STRINGS, eval_batch_size=100)
    model.eval()
    losses, counts = [], []
    for drawn in task.test_dataloader():
        batch = model.transfer_batch_to_device(drawn, model.device, 0)
        losses.append(model.scoring.update("test", model(batch.inputs), batch)[0].item())
        counts.append(int(batch.lengths.sum()))
    floor = task.floor("test")
    assert floor is not None
    return round(sum(loss * n for loss, n in zip(losses, counts, strict=True)) / sum(counts) - floor, 4)


def table(lines: list[dict[str, Any]]) -> str:
    """Mean, best and worst excess of each network and number of updates, and the mean with saturated signals."""
    columns = [*TESTS, *(f"{name} saturated" for name in TESTS)]
    rows = [["language", "network", "updates", "seeds", *columns], ["---", "---", *["---:"] * (2 + len(columns))]]
    for language, network in product(LANGUAGES, NETWORKS):
        its = [line for line in lines if (line["language"], line["network"]) == (language, network)]
        for updates in sorted({line["updates"] for line in its}) or [UPDATES]:
            own = [line for line in its if line["updates"] == updates]
            cells = []
            for name in columns:
                scores = [line[name] for line in own if name in line]
                spread = f" ({min(scores):.3f} to {max(scores):.3f})" if scores and name in TESTS else ""
                cells.append(f"{mean(scores):.3f}{spread}" if scores else "" if own else "not run")
            rows.append([language, network, f"{updates:,}", str(len(own)), *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--languages", nargs="*", default=list(LANGUAGES), choices=LANGUAGES)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--set", type=json.loads, default={}, help="other settings, in JSON")
    parser.add_argument("--device", default="cpu", help="where to train and test: cpu, the default, or cuda")
    parser.add_argument("--table", action="store_true")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    runs = Runs(settings.out, KEY)
    if settings.table:
        print(table(runs.lines))
        return
    seeds = range(settings.first, settings.first + settings.seeds)
    languages: list[str] = settings.languages
    names: list[str] = settings.networks
    for seed, language, name in product(seeds, languages, names):
        own = PAIRS.get((language, name), {})
        its = SETTINGS | NETWORKS[name].settings | LANGUAGES[language][1] | own | settings.set
        key = (language, name, seed, settings.updates, its)
        if key not in runs:
            runs.add(dict(zip(KEY, key, strict=True)) | train(*key, settings.device))
            print(runs.lines[-1], flush=True)


if __name__ == "__main__":
    main()
