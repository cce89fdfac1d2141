"""A study that any number of workers share, on any number of machines with one file system.

Optuna keeps it in a journal file. That has no heartbeat, so who works on a trial holds the lock on a file of its
number: a trial that runs and whose lock is free was lost with its worker, and another tries the same settings again.
"""

from __future__ import annotations

import functools
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from types import ModuleType

import optuna
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from ddstructs.cli.parser import quiet
from ddstructs.errors import InputError
from ddstructs.experiments.claims import claim
from ddstructs.experiments.grid import Cell
from ddstructs.experiments.recipe import Settings
from ddstructs.experiments.sweep.space import suggest
from ddstructs.experiments.work import PAUSE, Report

__all__ = ["Sweep", "ended", "open_study", "score", "work"]

FIRST_SEED = 1000
"""Seeds of a search are not those of the results."""


@dataclass(frozen=True)
class Sweep:
    """What is searched for.

    Attributes:
        task: Class name of the task.
        memory: Class name of the memory.
        cell: Name of the recurrent cell.
        settings: What the recipe says of them.
        journal: The file of the study.
        trials: How many trials the study is to have.
        seeds: Runs in a trial.
    """

    task: str
    memory: str
    cell: str
    settings: Settings
    journal: Path
    trials: int
    seeds: int

    @property
    def name(self) -> str:
        """What the study is called. A journal can have several, and trials that do not compare are not in one."""
        config = _cell(self, FIRST_SEED, self.settings).config
        return f"{self.task}-{self.memory}-{self.cell}-{config}-{self.seeds}"

    def lock(self, name: str) -> Path:
        """A file to lock, beside the journal."""
        return self.journal.with_name(f"{self.journal.name}.locks") / f"{self.name}-{name}"


def open_study(sweep: Sweep) -> optuna.Study:
    """The study, a new one if there is none."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = str(sweep.journal)
    try:
        sweep.journal.parent.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(path, JournalFileOpenLock(path)))
        return optuna.create_study(
            storage=storage,
            study_name=sweep.name,
            direction="maximize",
            sampler=TPESampler(constant_liar=True),  # several search at once: not all at the same place
            pruner=MedianPruner(),
            load_if_exists=True,
        )
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"{sweep.journal} is no journal of a study: {' '.join(str(error).split())}") from error


def work(sweep: Sweep, report: Report = lambda words: None) -> None:
    """Do one trial after another until the study has enough, and wait for those of others, which may be killed.

    Raises:
        InputError: If the recipe does not fit the classes it is for.
    """
    from ddstructs.experiments import train  # imports torch, which takes seconds

    heads = train.memory_of(_cell(sweep, 0, sweep.settings)).heads
    quiet()
    study = open_study(sweep)
    while len(ended(study)) < sweep.trials:
        with ExitStack() as held:
            with claim(sweep.lock("ask"), wait=True):
                _recover(study, sweep)
                running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
                trial = study.ask() if len(ended(study)) + len(running) < sweep.trials else None
                changes = suggest(trial, heads, sweep.cell) if trial else {}
                if trial:
                    trial.set_user_attr("settings", changes)
                    held.enter_context(claim(sweep.lock(str(trial.number))))
            if trial:
                settings = {section: part | changes.get(section, {}) for section, part in sweep.settings.items()}
                _try(trial, settings, study, sweep, train, report)
        if not trial:
            report("waiting for the trials of other workers")
            time.sleep(PAUSE)


def ended(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that came to an end, by an error too; not those that were lost with their worker."""
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    trials = study.get_trials(deepcopy=False, states=states)
    return [trial for trial in trials if trial.state != TrialState.FAIL or "error" in trial.user_attrs]


def _try(
    trial: optuna.Trial, settings: Settings, study: optuna.Study, sweep: Sweep, train: ModuleType, report: Report
) -> None:
    """Train with some settings, from one seed after another, and tell the study what they are worth."""
    scores: list[float] = []
    try:
        for seed in range(FIRST_SEED, FIRST_SEED + sweep.seeds):
            with TemporaryDirectory(prefix="ddstructs-") as folder:
                told = functools.partial(_tell, report, f"trial {trial.number}, seed {seed}: ")
                trained = train.fit(_cell(sweep, seed, settings), Path(folder), told)
            scores.append(score(trained.perfect, trained.fine, trained.updates, settings["training"]["max_updates"]))
            trial.report(mean(scores), len(scores))
            if len(scores) < sweep.seeds and trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                return
    except Exception as error:  # settings that break a run are not worth another try
        trial.set_user_attr("error", f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])
        study.tell(trial, state=TrialState.FAIL)
        if isinstance(error, InputError):
            raise
    else:
        study.tell(trial, mean(scores))


def _tell(report: Report, before: str, words: str) -> None:
    report(before + words)


def score(perfect: bool, fine: float, updates: int, max_updates: int) -> float:
    """What a run is worth: from 1 to 2 if it came out right, more if it was soon; below 1 by how near it came.

    It looks at the validation set alone; a search has no business with the test set.

    Example:
        >>> from ddstructs.experiments.sweep.study import score
        >>> score(True, 1.0, 500, 2000), score(True, 1.0, 2000, 2000), score(False, 0.9, 2000, 2000)
        (1.75, 1.0, 0.9)
    """
    return 2 - min(1.0, updates / max_updates) if perfect else min(fine, 0.9999)


def _recover(study: optuna.Study, sweep: Sweep) -> None:
    """Mark the trials that were lost with their worker as failed, and have their settings tried again."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        with claim(sweep.lock(str(trial.number))) as free:
            if free:
                study.tell(trial.number, state=TrialState.FAIL)
                study.enqueue_trial(trial.params, user_attrs={"again": trial.number})


def _cell(sweep: Sweep, seed: int, settings: Settings) -> Cell:
    return Cell(sweep.task, sweep.memory, sweep.cell, seed, settings)
