"""Training and testing of one run."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.callbacks import ModelCheckpoint

from ddstructs.bank import Bank
from ddstructs.errors import InputError
from ddstructs.experiments.commit import commit
from ddstructs.experiments.curve import Curve, FreshStarts, Rounded
from ddstructs.experiments.engine import Report
from ddstructs.experiments.measure import by_length, check_metric, measure, metric_of
from ddstructs.experiments.names import LAYERS, members, model_of
from ddstructs.experiments.runs import Run
from ddstructs.experiments.sections import Testing, Training, read_section
from ddstructs.experiments.store import CHECKPOINT
from ddstructs.memory import Memory
from ddstructs.registry.arguments import fit_arguments
from ddstructs.registry.plugins import named
from ddstructs.tasks.generated import Generated
from ddstructs.training.learner import Learner
from ddstructs.training.saving import with_safe_saving
from ddstructs.training.stopping import Finished, reached

__all__ = ["Done", "Trained", "check", "execute", "fit", "memory_of", "score_of", "test_long"]


PAPER = ("coarse", "fine")
"""The validation metrics in the curve of a run of the paper; other suites record the score."""


class Trained(NamedTuple):
    """The outcome of a training.

    Attributes:
        checkpoint: Path of the weights with the best validation score.
        score: Their validation score; fine accuracy on the tasks of the paper.
        perfect: Whether the last validation reached the goal of the task.
        updates: Number of updates up to the last validation.
        seconds: Seconds up to the last validation, validations included.
        restarts: Number of fresh starts.
    """

    checkpoint: str
    score: float
    perfect: bool
    updates: int
    seconds: float
    restarts: int


class Done(NamedTuple):
    """A run that was trained and tested.

    Attributes:
        record: Its key, scores and costs.
        files: Contents of the other files of its folder, by path.
    """

    record: dict[str, Any]
    files: dict[str, bytes]


def fit(run: Run, folder: Path, report: Report) -> Trained:
    """Train until the validation reaches the goal of the task, or until the recipe's maximum of updates.

    Args:
        run: The run to train.
        folder: Folder for the curve and the checkpoint.
        report: Receives progress messages.
    """
    training = read_section(Training, run.settings["training"])
    torch.set_num_threads(1)  # the matrices are small, and other runs use the other cores
    seed_everything(run.seed, verbose=False)
    task = _task(
        run,
        val_lengths=training.validation_lengths,
        eval_size=training.validation_size,
        batches_per_epoch=training.validate_every,
    )
    model = _model(run, task)
    best = ModelCheckpoint(folder / "model", "best", monitor="val_score", mode="max", save_weights_only=True)
    shown = PAPER if read_section(Testing, run.settings["test"]).metric is None else ("score",)
    rounding = [Rounded(training.rounded_every)] if training.rounded else []
    judging = (
        [FreshStarts(training.fresh_below, training.fresh_after)]
        if training.fresh_below is not None and training.fresh_after is not None
        else []
    )
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=-(-training.max_updates // training.validate_every),
        num_sanity_val_steps=0,
        callbacks=[
            *rounding,
            *judging,
            Curve(folder / "curve.jsonl", shown, report),
            best,
            Finished(curriculum=False),
        ],
        default_root_dir=folder,
        plugins=with_safe_saving([LightningEnvironment()]),  # one process, also within a job of Slurm
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
        reached(task, trainer),
        trainer.global_step,
        round(time.perf_counter() - start, 1),
        task.stages.restarts,
    )


def execute(run: Run, report: Report) -> Done:
    """Train and test a run. The test set is used only after training has ended.

    Args:
        run: The run. Its seed and config determine the result, except for the seconds.
        report: Receives progress messages.
    """
    testing = read_section(Testing, run.settings["test"])
    with TemporaryDirectory(prefix="ddstructs-") as name:
        folder = Path(name)
        trained = fit(run, folder, lambda words: report(f"{run}: {words}"))
        report(f"{run}: testing")
        model = _restore(run, Path(trained.checkpoint))
        scores, lengths = (_of_the_paper if testing.metric is None else _each_length)(run, model, testing)
        record: dict[str, Any] = run.key | scores | _hard(run, Path(trained.checkpoint), testing.hard)
        record |= {"updates": trained.updates, "seconds": trained.seconds, "restarts": trained.restarts}
        files = {
            "curve.jsonl": (folder / "curve.jsonl").read_bytes(),
            "lengths.json": json.dumps(lengths).encode() + b"\n",
            CHECKPOINT: Path(trained.checkpoint).read_bytes(),
        }
    return Done(record | {"commit": commit()}, files)


def _of_the_paper(run: Run, model: Learner, testing: Testing) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Coarse and fine accuracy on the lengths of training and of the test, for the record, and at each length."""
    sets = {
        part: measure(model, _task(run, test_lengths=lengths, eval_size=testing.size))
        for part, lengths in (("train", _task(run).train_lengths), ("test", testing.lengths))
    }
    record: dict[str, float] = {}
    for part, score in sets.items():
        record |= {f"coarse_{part}": score.coarse, f"fine_{part}": score.fine}
    return record, by_length([*sets.values()])


def _each_length(run: Run, model: Learner, testing: Testing) -> tuple[dict[str, float], list[dict[str, float]]]:
    """The metric of the suite, its mean over the lengths for the record, and at each length that sources have."""
    assert testing.metric is not None

    def at(lengths: tuple[int, int], size: int) -> float:
        return metric_of(model, _task(run, test_lengths=lengths, eval_size=size), str(testing.metric))

    def mean_of(points: list[float]) -> float:
        return round(sum(points) / len(points), 6)

    record: dict[str, float] = {}
    stretches = _stretches(run, testing)
    if testing.rounded:
        record["score_soft"] = mean_of([at(stretch, testing.per_length) for stretch in stretches])
        model.hard = True
    record["score_train"] = round(at(_task(run).train_lengths, testing.size), 6)
    scores = [at(stretch, testing.per_length) for stretch in stretches]
    record["score_test"] = mean_of(scores)
    lengths = [
        {"length": sum(stretch) // 2, "sequences": testing.per_length, "score": round(score, 4)}
        for stretch, score in zip(stretches, scores, strict=True)
    ]
    return record, lengths


def _stretches(run: Run, testing: Testing) -> list[tuple[int, int]]:
    """The stretches of lengths to test: those in which there are sources.

    Raises:
        InputError: If there are none.
    """
    task = _task(run)
    stretches = [stretch for stretch in testing.each_length if task.has(stretch)]
    if not stretches:
        lengths = ", ".join(str(n) for n, _ in testing.each_length)
        raise InputError(f"the recipe does not fit {run.task}: it has no strings of the test lengths {lengths}")
    return stretches


def test_long(run: Run, checkpoint: bytes, report: Report) -> dict[str, float]:
    """Test a trained run at the lengths for `--long`.

    Args:
        run: The run.
        checkpoint: Its weights, as the bytes of the file.
        report: Receives progress messages.

    Returns:
        Scores to add to its record.
    """
    report(f"{run}: testing long sequences")
    torch.set_num_threads(1)
    with TemporaryDirectory(prefix="ddstructs-") as folder:
        path = Path(folder, "best.ckpt")
        path.write_bytes(checkpoint)
        return _hard(run, path, read_section(Testing, run.settings["test"]).long)


def score_of(run: Run, report: Report) -> Trained:
    """Train a run and return only the outcome."""
    with TemporaryDirectory(prefix="ddstructs-") as folder:
        return fit(run, Path(folder), report)


def _hard(run: Run, checkpoint: Path, sizes: dict[int, int]) -> dict[str, float]:
    """Coarse accuracy with push and pop rounded, for a number of sequences by length."""
    if not sizes:
        return {}
    model = _restore(run, checkpoint, hard=True)
    return {
        f"coarse_hard_{length}": measure(model, _task(run, test_lengths=(length, length), eval_size=size)).coarse
        for length, size in sizes.items()
    }


def check(runs: Sequence[Run]) -> None:
    """Build the memories, models and tasks of all runs, without weights and sequences, before any is trained.

    Raises:
        InputError: If the recipe does not fit them.
    """
    for run in {(run.task, run.memory, run.cell, run.config): run for run in runs}.values():
        training = read_section(Training, run.settings["training"])
        testing = read_section(Testing, run.settings["test"])
        task = _task(run, val_lengths=training.validation_lengths)
        model = _model(run, task)
        if testing.metric is not None:
            check_metric(model, task, testing.metric)
            _stretches(run, testing)
        for lengths in (
            testing.lengths,
            *((length, length) for length in (*testing.hard, *testing.long)),
        ):
            _task(run, test_lengths=lengths)


def _task(run: Run, **settings: Any) -> Generated:
    task: Generated = _build(named("task", run.task), run.task, run.settings["data"] | settings)
    return task


def memory_of(run: Run) -> Memory:
    """The memory of a run; the members of a bank have the same settings.

    Raises:
        InputError: If the recipe does not fit it.
    """
    each: list[Memory] = [
        _build(named("memory", name), run.memory, run.settings["memory"]) for name in members(run.memory)
    ]
    try:
        return each[0] if len(each) == 1 else Bank(each)
    except ValueError as error:
        raise InputError(f"the recipe does not fit {run.memory}: {error}") from error


def _model(run: Run, task: Generated) -> Learner:
    if run.cell == LAYERS and "layers" not in run.settings["model"]:
        raise InputError(
            f"the recipe lists no layers for {run.memory} on {run.task}: add an exception with where: "
            "{model: SequenceModel}, whose model has layers, such as [memory, memory]"
        )
    model: Learner = _build(
        named("model", model_of(run.cell)),
        f"{run.memory} on {run.task}",
        run.settings["model"],
        memory=memory_of(run),
        input_symbols=task.input_symbols,
        output_symbols=task.output_symbols,
        **({} if run.cell == LAYERS else {"cell": run.cell}),
    )
    return model


def _restore(run: Run, checkpoint: Path, **settings: Any) -> Learner:
    model: Learner = named("model", model_of(run.cell)).load_from_checkpoint(checkpoint, **settings)
    return model


def _build(kind: type[Any], name: str, settings: dict[str, Any], **given: Any) -> Any:
    """Build an object with the settings of a recipe, and other arguments."""
    try:
        return kind(**fit_arguments(kind, settings, skip=given), **given)
    except (InputError, TypeError, ValueError) as error:
        raise InputError(f"the recipe does not fit {name}: {error}") from error
