"""One cell of the grid: train it, test it, and write down how it went."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

import ddstructs
import ddstructs.tasks
from ddstructs.cli.parser import Parser
from ddstructs.errors import InputError
from ddstructs.experiments.grid import Cell
from ddstructs.experiments.measure import by_length, measure
from ddstructs.experiments.work import Report
from ddstructs.memory import Memory
from ddstructs.registry.plugins import load_memories
from ddstructs.tasks.generated import Generated
from ddstructs.training.controller import Controller
from ddstructs.training.saving import with_safe_saving

__all__ = ["Trained", "check", "fit", "memory_of", "run", "run_long"]

PERFECT = 0.9999
"""The coarse accuracy of every sequence right; rounding may take a little off."""


class Curve(Callback):
    """Writes a line after each validation.

    Args:
        path: Where to.
        report: Who is told as well.
    """

    def __init__(self, path: Path, report: Report) -> None:
        self.path = path
        self.report = report
        self.start = time.perf_counter()
        self.losses: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.losses.append(float(outputs["loss"]))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        task: Generated = trainer.datamodule  # type: ignore[attr-defined]
        metrics = {name: float(trainer.callback_metrics[f"val_{name}"]) for name in ("loss", "coarse", "fine")}
        line = {
            "updates": trainer.global_step,
            "seconds": round(time.perf_counter() - self.start, 2),
            "longest": int(task.stages.stage),
            "restarts": task.stages.restarts,
            "train_loss": sum(self.losses) / max(1, len(self.losses)),
            **{f"val_{name}": value for name, value in metrics.items()},
        }
        self.losses.clear()
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.report(f"{line['updates']} updates, up to {line['longest']} long, {metrics['coarse']:.2f} right")


class Trained(NamedTuple):
    """How training ended.

    Attributes:
        checkpoint: The weights that were best on the validation set.
        fine: Fine accuracy on the validation set, with these.
        perfect: Whether every sequence of the validation set came out right at the end.
        updates: Updates until then.
        seconds: Seconds until then, validation included.
        restarts: Fresh starts on the way.
    """

    checkpoint: str
    fine: float
    perfect: bool
    updates: int
    seconds: float
    restarts: int


def fit(cell: Cell, folder: Path, report: Report = lambda words: None) -> Trained:
    """Train a cell: until every sequence of the validation set comes out right, or to the most updates.

    Args:
        cell: What to train.
        folder: A folder for the curve and the checkpoint.
        report: Is told how far it is.
    """
    training = cell.settings["training"]
    torch.set_num_threads(1)  # the matrices are small, and the other cores have cells of their own
    seed_everything(cell.seed, verbose=False)
    task = _task(
        cell,
        val_lengths=training["validation_lengths"],
        eval_size=training["validation_size"],
        batches_per_epoch=training["validate_every"],
    )
    model = _controller(cell, task)
    perfect = EarlyStopping("val_coarse", mode="max", stopping_threshold=PERFECT, patience=training["max_updates"])
    best = ModelCheckpoint(folder / "model", "best", monitor="val_fine", mode="max", save_weights_only=True)
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=-(-training["max_updates"] // training["validate_every"]),
        num_sanity_val_steps=0,
        callbacks=[Curve(folder / "curve.jsonl", report), best, perfect],
        default_root_dir=folder,
        plugins=with_safe_saving(),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    start = time.perf_counter()
    trainer.fit(model, task)
    assert best.best_model_score is not None
    return Trained(
        best.best_model_path,
        float(best.best_model_score),
        float(trainer.callback_metrics["val_coarse"]) >= PERFECT,
        trainer.global_step,
        round(time.perf_counter() - start, 1),
        task.stages.restarts,
    )


def run(cell: Cell, folder: Path, report: Report = lambda words: None) -> dict[str, Any]:
    """Train and test a cell. The test set is not touched before it is trained.

    Args:
        cell: What to train. One seed and config gives one result, but for the seconds.
        folder: A folder for the curve, the checkpoint, and the accuracy by length.
        report: Is told how far it is.

    Returns:
        The record of the cell.
    """
    trained = fit(cell, folder, report)
    report("testing")
    test = cell.settings["test"]
    model = Controller.load_from_checkpoint(trained.checkpoint)
    scores = {
        name: measure(model, _task(cell, test_lengths=lengths, eval_size=test["size"]))
        for name, lengths in (("train", _task(cell).train_lengths), ("test", test["lengths"]))
    }
    (folder / "lengths.json").write_text(json.dumps(by_length([*scores.values()])) + "\n", encoding="utf-8")
    record: dict[str, Any] = cell.key
    for name, score in scores.items():
        record |= {f"coarse_{name}": score.coarse, f"fine_{name}": score.fine}
    record |= _hard(cell, trained.checkpoint, test.get("hard", {}))
    return record | {"updates": trained.updates, "seconds": trained.seconds, "restarts": trained.restarts}


def run_long(cell: Cell, folder: Path) -> dict[str, Any]:
    """Test a trained cell at the lengths that the recipe keeps for `--long`."""
    torch.set_num_threads(1)
    return _hard(cell, str(folder / "model" / "best.ckpt"), cell.settings["test"].get("long", {}))


def _hard(cell: Cell, checkpoint: str, sizes: dict[int, int]) -> dict[str, float]:
    """The coarse accuracy at given lengths, with so many sequences, when push and pop are rounded."""
    if not sizes:
        return {}
    model = Controller.load_from_checkpoint(checkpoint, hard=True)
    return {
        f"coarse_hard_{length}": measure(model, _task(cell, test_lengths=(length, length), eval_size=size)).coarse
        for length, size in sizes.items()
    }


def check(cells: Sequence[Cell]) -> None:
    """Build what each cell will need, but for the weights and sequences, before any is trained.

    Raises:
        InputError: If the recipe does not fit.
    """
    for cell in {(cell.task, cell.memory, cell.cell, cell.config): cell for cell in cells}.values():
        training, test = cell.settings["training"], cell.settings["test"]
        lengths = {name: test.get(name, {}) for name in ("hard", "long")}
        for name, sizes in lengths.items():
            if not isinstance(sizes, dict):
                raise InputError(f"{name} in the recipe is {sizes}, but lengths, and how many of each, were expected")
        counts = {name: training.get(name) for name in ("max_updates", "validate_every", "validation_size")}
        for name, count in {**counts, "size": test["size"], **lengths["hard"], **lengths["long"]}.items():
            if not (isinstance(count, int) and count > 0):
                raise InputError(f"{name} in the recipe is {count}, but a number from 1 was expected")
        if training["max_updates"] % training["validate_every"]:
            raise InputError("max_updates in the recipe is not a multiple of validate_every, where training can end")
        _controller(cell, _task(cell, val_lengths=training["validation_lengths"]))
        for given in (test["lengths"], *((length, length) for sizes in lengths.values() for length in sizes)):
            _task(cell, test_lengths=given)


def _task(cell: Cell, **settings: Any) -> Generated:
    task: Generated = _build(getattr(ddstructs.tasks, cell.task), cell.task, cell.settings["data"] | settings)
    return task


def memory_of(cell: Cell) -> Memory:
    """The memory of a cell.

    Raises:
        InputError: If the recipe does not fit it.
    """
    kind = getattr(ddstructs, cell.memory, None) or load_memories()[cell.memory]
    memory: Memory = _build(kind, cell.memory, cell.settings["memory"])
    return memory


def _controller(cell: Cell, task: Generated) -> Controller:
    model: Controller = _build(
        Controller,
        f"{cell.memory} on {cell.task}",
        cell.settings["model"],
        memory=memory_of(cell),
        input_symbols=task.input_symbols,
        output_symbols=task.output_symbols,
        cell=cell.cell,
    )
    return model


def _build(kind: type[Any], name: str, settings: dict[str, Any], **given: Any) -> Any:
    """An object with the settings of a recipe, each made into the type that the constructor says."""
    parser = Parser()
    parser.add_class_arguments(kind, skip=set(given))
    try:
        return kind(**vars(parser.parse_object(settings, defaults=False)), **given)
    except (InputError, TypeError, ValueError) as error:
        raise InputError(f"the recipe does not fit {name}: {str(error).removeprefix('--')}") from error
