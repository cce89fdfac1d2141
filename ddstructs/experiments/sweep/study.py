"""The search for settings: trials of several seeds, suggested by Optuna and executed by an engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import optuna
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ddstructs.errors import InputError, one_line
from ddstructs.experiments.engine import Engine, Failure
from ddstructs.experiments.recipe import Settings
from ddstructs.experiments.runs import Run
from ddstructs.experiments.sections import Training, read_section
from ddstructs.experiments.sweep.journal import open_journal
from ddstructs.experiments.sweep.space import suggest

__all__ = ["Sweep", "ended", "open_study", "score", "search"]

FIRST_SEED = 1000
"""The first seed of a search, so that it does not use the seeds of the results."""


@dataclass(frozen=True)
class Sweep:
    """A search.

    Attributes:
        task: Class name of the task.
        memory: Class name of the memory.
        cell: Name of the recurrent cell.
        settings: Their settings in the recipe.
        journal: The file of the study.
        trials: Total number of trials of the study.
        seeds: Number of runs per trial, each with a different seed.
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
        """The name of the study. A journal can hold several; trials that cannot be compared are in different ones."""
        return f"{self.task}-{self.memory}-{self.cell}-{self.run(FIRST_SEED, self.settings).config}-{self.seeds}"

    def run(self, seed: int, settings: Settings) -> Run:
        """A run of a trial."""
        return Run(self.task, self.memory, self.cell, seed, settings)


def open_study(sweep: Sweep) -> optuna.Study:
    """Open the study in the journal, or create it.

    Raises:
        InputError: If the journal is damaged, or is not a journal.
    """
    storage = open_journal(sweep.journal)
    sampler = TPESampler(constant_liar=True)  # takes trials in progress into account, so that they spread out
    try:
        if sweep.name not in [study.study_name for study in storage.get_all_studies()]:
            storage.create_new_study([StudyDirection.MAXIMIZE], sweep.name)
        return optuna.load_study(study_name=sweep.name, storage=storage, sampler=sampler, pruner=MedianPruner())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{sweep.journal} is damaged: {type(error).__name__}: {one_line(error)}") from error


def ended(study: optuna.Study) -> list[FrozenTrial]:
    """The finished trials, including failed ones but not those that were interrupted with their command."""
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    trials = study.get_trials(deepcopy=False, states=states)
    return [trial for trial in trials if trial.state != TrialState.FAIL or "error" in trial.user_attrs]


def search(sweep: Sweep, study: optuna.Study, engine: Engine) -> Iterator[FrozenTrial]:
    """Execute trials, one per worker at a time, until the study has enough; yield each as it finishes.

    Raises:
        InputError: If the recipe does not fit its classes.
    """
    from ddstructs.experiments import train  # imports torch, which takes seconds
    from ddstructs.experiments.build import memory_of

    run = sweep.run(FIRST_SEED, sweep.settings)
    train.check([run])
    heads = memory_of(run).heads
    max_updates = read_section(Training, sweep.settings["training"]).max_updates
    _recover(study)
    trials: dict[int, optuna.Trial] = {}

    def proceed(trial: optuna.Trial) -> FrozenTrial | None:
        """Submit the next run of a trial, or finish the trial."""
        scores = trial.user_attrs["scores"]
        if len(scores) == sweep.seeds:
            return study.tell(trial, mean(scores))
        if scores and trial.should_prune():
            return study.tell(trial, state=TrialState.PRUNED)
        changes = trial.user_attrs["settings"]
        settings = {section: part | changes.get(section, {}) for section, part in sweep.settings.items()}
        engine.submit(trial.number, train.score_of, sweep.run(FIRST_SEED + len(scores), settings))
        trials[trial.number] = trial
        return None

    def fill() -> Iterator[FrozenTrial]:
        """Give every worker a trial; recovered trials whose runs are all complete finish here."""
        while len(trials) < min(engine.workers, sweep.trials - len(ended(study))):
            trial = study.ask()
            trial.set_user_attr("settings", suggest(trial, heads, sweep.cell))
            _add_scores(trial, [], trial.user_attrs.get("scores", []))
            if done := proceed(trial):
                yield done

    yield from fill()
    for number, result in engine.completed():
        trial = trials.pop(number)
        done = None
        if isinstance(result, Failure):  # settings that make a run fail are not tried again
            trial.set_user_attr("error", result.reason)
            done = study.tell(trial, state=TrialState.FAIL)
        else:
            worth = score(result.perfect, result.score, result.updates, max_updates)
            _add_scores(trial, trial.user_attrs["scores"], [worth])
            done = proceed(trial)
        if done:
            yield done
            yield from fill()


def _add_scores(trial: optuna.Trial, before: list[float], new: list[float]) -> None:
    """Store the scores of more runs, and report the mean after each for pruning."""
    scores = [*before, *new]
    trial.set_user_attr("scores", scores)
    for step in range(len(before) + 1, len(scores) + 1):
        trial.report(mean(scores[:step]), step)


def score(perfect: bool, fine: float, updates: int, max_updates: int) -> float:
    """The score of a run: 1 to 2 if every sequence was right, higher for fewer updates; otherwise its fine accuracy.

    Both are from the validation set, because a search must not see the test set.

    Example:
        >>> from ddstructs.experiments.sweep.study import score
        >>> score(True, 1.0, 500, 2000), score(True, 1.0, 2000, 2000), score(False, 0.9, 2000, 2000)
        (1.75, 1.0, 0.9)
    """
    return 2 - min(1.0, updates / max_updates) if perfect else min(fine, 0.9999)


def _recover(study: optuna.Study) -> None:
    """Enqueue interrupted trials again, with the scores of their completed runs."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        again = {"again": trial.number, "scores": trial.user_attrs.get("scores", [])}
        study.enqueue_trial(trial.params, user_attrs=again)
