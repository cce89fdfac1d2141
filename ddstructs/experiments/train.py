"""Training and testing of one run."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator
from pytorch_lightning.callbacks import ModelCheckpoint

from ddstructs.errors import InputError
from ddstructs.experiments.build import learner_of, restore, task_of
from ddstructs.experiments.commit import commit
from ddstructs.experiments.curve import Curve, FreshStarts, Rounded
from ddstructs.experiments.engine import Report
from ddstructs.experiments.measure import check_metric
from ddstructs.experiments.runs import Run
from ddstructs.experiments.sections import Testing, Training, read_section
from ddstructs.experiments.store import CHECKPOINT
from ddstructs.experiments.testing import at_each_length, coarse_rounded, of_the_paper, stretches_of
from ddstructs.tasks.generated import Generated
from ddstructs.training.saving import with_safe_saving
from ddstructs.training.stopping import Finished, Stopping, reached

__all__ = ["Done", "Trained", "check", "device_of", "execute", "fit", "score_of", "test_long"]


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


def device_of(accelerator: str) -> torch.device:
    """The CPU, or the first GPU that torch sees.

    Args:
        accelerator: `cpu` or `gpu`.

    Raises:
        InputError: If there is no GPU, but one is asked for.
    """
    if accelerator == "cpu":
        return torch.device("cpu")
    for name, kind in (("cuda", CUDAAccelerator), ("mps", MPSAccelerator)):
        if kind.is_available():
            return torch.device(name, 0)
    raise InputError(f"--accelerator is gpu, but torch finds no GPU on {platform.node()}: use cpu")


def fit(run: Run, folder: Path, report: Report, device: torch.device | None = None) -> Trained:
    """Train until the validation reaches the goal of the task, or until the recipe's maximum of updates.

    Args:
        run: The run to train.
        folder: Folder for the curve and the checkpoint.
        report: Receives progress messages.
        device: Where to train; on the CPU if not given.
    """
    training = read_section(Training, run.settings["training"])
    torch.set_num_threads(1)  # the matrices are small, and other runs use the other cores
    seed_everything(run.seed, verbose=False)
    task = task_of(
        run,
        val_lengths=training.validation_lengths,
        eval_size=training.validation_size,
        batches_per_epoch=training.validate_every,
    )
    model = learner_of(run, task)
    best = ModelCheckpoint(folder / "model", "best", monitor="val_score", mode="max", save_weights_only=True)
    shown = PAPER if read_section(Testing, run.settings["test"]).metric is None else ("score",)
    rounding = [Rounded(training.rounded_every)] if training.rounded else []
    judging = (
        [FreshStarts(training.fresh_below, training.fresh_after)]
        if training.fresh_below is not None and training.fresh_after is not None
        else []
    )
    trainer = Trainer(
        accelerator=device.type if device is not None else "cpu",
        devices=1,
        max_epochs=-(-training.max_updates // training.validate_every),
        num_sanity_val_steps=0,
        callbacks=[
            Stopping(),
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


def execute(run: Run, accelerator: str, report: Report) -> Done:
    """Train and test a run. The test set is used only after training has ended.

    Args:
        run: The run. On a CPU, its seed and config determine the result, except for the seconds.
        accelerator: `cpu` or `gpu`.
        report: Receives progress messages.

    Raises:
        InputError: If there is no GPU, but one is asked for.
    """
    device = device_of(accelerator)
    testing = read_section(Testing, run.settings["test"])
    with TemporaryDirectory(prefix="ddstructs-") as name:
        folder = Path(name)
        trained = fit(run, folder, lambda words: report(f"{run}: {words}"), device)
        report(f"{run}: testing")
        checkpoint = Path(trained.checkpoint)
        model = restore(run, checkpoint).to(device)
        scores, lengths = (of_the_paper if testing.metric is None else at_each_length)(run, model, testing)
        record: dict[str, Any] = run.key | scores | coarse_rounded(run, checkpoint, testing.hard, device)
        record |= {"updates": trained.updates, "seconds": trained.seconds, "restarts": trained.restarts}
        files = {
            "curve.jsonl": (folder / "curve.jsonl").read_bytes(),
            "lengths.json": json.dumps(lengths).encode() + b"\n",
            CHECKPOINT: checkpoint.read_bytes(),
        }
    return Done(record | _where(device) | {"commit": commit()}, files)


def _where(device: torch.device) -> dict[str, str]:
    """The entry `device` of a record; none for a CPU."""
    if device.type == "cpu":
        return {}
    return {"device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type}


def test_long(run: Run, checkpoint: bytes, accelerator: str, report: Report) -> dict[str, float]:
    """Test a trained run at the lengths for `--long`.

    Args:
        run: The run.
        checkpoint: Its weights, as the bytes of the file.
        accelerator: `cpu` or `gpu`.
        report: Receives progress messages.

    Returns:
        Scores to add to its record.

    Raises:
        InputError: If there is no GPU, but one is asked for.
    """
    device = device_of(accelerator)
    report(f"{run}: testing long sequences")
    torch.set_num_threads(1)
    with TemporaryDirectory(prefix="ddstructs-") as folder:
        path = Path(folder, "best.ckpt")
        path.write_bytes(checkpoint)
        return coarse_rounded(run, path, read_section(Testing, run.settings["test"]).long, device)


def score_of(run: Run, report: Report) -> Trained:
    """Train a run and return only the outcome."""
    with TemporaryDirectory(prefix="ddstructs-") as folder:
        return fit(run, Path(folder), report)


def check(runs: Sequence[Run]) -> None:
    """Build the memories, models and tasks of all runs, without weights and sequences, before any is trained.

    Raises:
        InputError: If the recipe does not fit them.
    """
    for run in {(run.task, run.memory, run.cell, run.config): run for run in runs}.values():
        training = read_section(Training, run.settings["training"])
        testing = read_section(Testing, run.settings["test"])
        task = task_of(run, val_lengths=training.validation_lengths, eval_size=training.validation_size)
        if training.fresh_below is not None:
            _check_bound(training.fresh_below, task)
        model = learner_of(run, task)
        for metric in PAPER if testing.metric is None else (testing.metric,):
            check_metric(model, task, metric)
        if testing.metric is not None:
            stretches_of(run, testing)
        for lengths in (
            testing.lengths,
            *((length, length) for length in (*testing.hard, *testing.long)),
        ):
            task_of(run, test_lengths=lengths)


def _check_bound(below: float, task: Generated) -> None:
    """Check that a start can get to the bound below which it is given up; not for a metric from outside this package.

    Raises:
        InputError: If the bound is above the validation score of a perfect model.
    """
    if task.score == "-loss":
        perfect = -(task.floor("val") or 0.0)
    elif task.metrics[task.score].startswith("ddstructs."):
        perfect = 1.0
    else:
        return
    if below > perfect:
        raise InputError(
            f"fresh_below is {below:g}, but no validation score of {type(task).__name__} is above {perfect:.4g}, so "
            "that every start would be given up: choose less"
        )
