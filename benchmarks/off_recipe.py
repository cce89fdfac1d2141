"""Train with other settings than those of the results, as `ddstructs fit` does by default, and report every seed.

python -m benchmarks.off_recipe                      do all missing runs, and write results/OFF_RECIPE.md
python -m benchmarks.off_recipe 300                  start no run after 300 seconds
python -m benchmarks.off_recipe 300 Stack nothing    only runs with a stack in which nothing differs from the recipe
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple, get_args

import torch
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.callbacks import ModelCheckpoint

from benchmarks.runs import Runs
from ddstructs import Controller, settings_for
from ddstructs.experiments.commit import commit
from ddstructs.registry.plugins import named
from ddstructs.training.saving import with_safe_saving
from ddstructs.training.stopping import Finished, is_learned, summary

__all__ = ["RUNS", "Case", "train"]

FOLDER = Path(__file__).parents[1] / "results"
RUNS = FOLDER / "off_recipe.jsonl"
MOST_UPDATES = 5000
"""Maximum number of updates of a run, as of `ddstructs fit`."""

PAIRS = (("Reversal", "Stack"), ("Copying", "Queue"))
Cell = Literal["rnn", "lstm", "gru"]
CELLS: tuple[Cell, ...] = get_args(Cell)


class Case(NamedTuple):
    """One combination of task, memory and cell, with the settings that may differ from the recipe."""

    task: str
    memory: str
    cell: Cell
    symbols: int = 128
    width: int = 64
    longest: int = 64

    def __str__(self) -> str:
        off: dict[str, object] = {"symbols": self.symbols} if self.symbols != 128 else {}
        off |= {"width": self.width} if self.width != 64 else {}
        off |= {"lengths": "1..20"} if self.longest == 20 else {}
        return ", ".join(f"{name} {value}" for name, value in off.items()) or "nothing"


def cases() -> Iterator[tuple[Case, int]]:
    """Yield every case, with its number of seeds."""
    for task, memory in PAIRS:
        for cell in CELLS:
            yield Case(task, memory, cell), 10
            for symbols in (2, 10, 26):
                yield Case(task, memory, cell, symbols), 3
            yield Case(task, memory, cell, width=8), 3
            yield Case(task, memory, cell, longest=20), 3
    for task, _ in PAIRS:
        for cell in CELLS:
            for symbols in (2, 10, 26, 128):
                yield Case(task, "Deque", cell, symbols), 3


def train(case: Case, seed: int) -> dict[str, Any]:
    """Train and test one seed, and return the record of the run."""
    known = settings_for(case.task, case.memory, case.cell, case.symbols)
    lengths = {"train_lengths": (1, 20), "test_lengths": (21, 40)} if case.longest == 20 else {}
    torch.set_num_threads(1)
    seed_everything(seed, verbose=False)
    task = named("task", case.task)(**{"symbols": case.symbols} | lengths | known["data"])
    memory = named("memory", case.memory)(**{"width": case.width} | known["memory"])
    model = Controller(memory, task.input_symbols, task.output_symbols, case.cell, **known["model"])
    with TemporaryDirectory() as folder:
        best = ModelCheckpoint(folder, "best", monitor="val_score", mode="max", save_weights_only=True)
        options: dict[str, Any] = {"accelerator": "cpu", "devices": 1, "logger": False, "plugins": with_safe_saving()}
        options |= dict.fromkeys(["enable_progress_bar", "enable_model_summary"], False)
        start = time.perf_counter()
        trainer = Trainer(max_steps=MOST_UPDATES, callbacks=[best, Finished()], **options)
        trainer.fit(model, task)
        seconds, learned, said = time.perf_counter() - start, is_learned(task, trainer), summary(trainer, task)
        (test,) = Trainer(**options, enable_checkpointing=False).test(
            Controller.load_from_checkpoint(best.best_model_path), task, verbose=False
        )
    return {
        **case._asdict(),
        "seed": seed,
        "learned": learned,
        "coarse_test": round(test["test_coarse"], 4),
        "fine_test": round(test["test_fine"], 4),
        "updates": trainer.global_step,
        "restarts": task.stages.restarts,
        "stage": int(task.stages.stage),
        "seconds": round(seconds, 1),
        "said": said,
        "commit": commit(),
    }


def render(records: list[dict[str, Any]]) -> str:
    """Render the page: a line per case, failures first, with the accuracy of each seed."""
    by_case: dict[Case, list[dict[str, Any]]] = {}
    for record in records:
        by_case.setdefault(Case(*(record[name] for name in Case._fields)), []).append(record)
    failed = [record for record in records if not record["learned"]]
    lines = [
        "# Off the recipe",
        "",
        "How training fares with other numbers of symbols, widths and lengths than those of [RESULTS.md](RESULTS.md).",
        "",
        "`python -m benchmarks.off_recipe` trains with the defaults of `ddstructs fit` and `ddstructs.settings_for`,",
        "until the curriculum is finished and all lengths up to twice the longest in training are right in validation,",
        f"or for at most {MOST_UPDATES:,} updates. Test sequences have 65 to 128 symbols, or 21 to 40 after training",
        "on 1 to 20. [off_recipe.jsonl](off_recipe.jsonl) has a line per run, with its commit.",
        "",
        f"{len(records) - len(failed)} of {len(records)} runs learned their task. Failures first.",
        "",
        "| task | memory | cell | differs in | learned | coarse test accuracy by seed | updates |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, runs in sorted(by_case.items(), key=lambda item: sum(r["learned"] for r in item[1]) / len(item[1])):
        runs.sort(key=lambda record: record["seed"])
        columns = [
            *case[:3],
            str(case),
            f"{sum(r['learned'] for r in runs)} of {len(runs)}",
            ", ".join(f"{r['seed']}: {r['coarse_test']:.3f}" for r in runs),
            ", ".join(str(r["updates"]) for r in runs),
        ]
        lines.append(f"| {' | '.join(columns)} |")
    wanted = dict(cases())
    missing = [f"{' '.join(case[:3])} {case}".strip() for case in wanted if case not in by_case]
    if missing:
        lines += ["", f"Not run yet: {'; '.join(missing)}."]
    return "\n".join(lines) + "\n"


def main(seconds: float = float("inf"), *names: str) -> None:
    """Do the missing runs, seed by seed, of the cases that match all of the names."""
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    runs = Runs(RUNS, (*Case._fields, "seed"))
    start = time.monotonic()
    chosen = [(case, seeds) for case, seeds in cases() if {*names} <= {*case[:3], str(case)}]
    for seed in range(10):
        for case, seeds in chosen:
            if seed < seeds and (*case, seed) not in runs and time.monotonic() - start < seconds:
                record = train(case, seed)
                runs.add(record)
                print(*case, seed, record["learned"], record["coarse_test"], record["seconds"], flush=True)
    (FOLDER / "OFF_RECIPE.md").write_text(render(runs.lines), encoding="utf-8")


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else float("inf"), *sys.argv[2:])
