"""A study that workers share: what is lost with one of them is tried again, and nothing else is done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import FixedTrial, TrialState

from ddstructs import InputError, __main__
from ddstructs.experiments import train
from ddstructs.experiments.claims import claim
from ddstructs.experiments.recipe import read_recipe, settings_of
from ddstructs.experiments.sweep.space import suggest
from ddstructs.experiments.sweep.study import Sweep, ended, open_study, score, work

TINY: dict[str, Any] = {
    "defaults": {
        "memory": {},
        "model": {"embedding_size": 8},
        "data": {"symbols": 4, "train_lengths": [1, 8]},
        "training": {"max_updates": 2, "validate_every": 1, "validation_size": 4, "validation_lengths": [1, 8]},
        "test": {"size": 4, "lengths": [9, 12]},
    }
}


def sweep(folder: Path, **changes: Any) -> Sweep:
    """A study of tiny runs."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    names: dict[str, Any] = {"task": "Copying", "memory": "Stack", "cell": "rnn"}
    asked: dict[str, Any] = {"journal": folder / "studies" / "journal", "trials": 3, "seeds": 2}
    return Sweep(**names, settings=settings_of(read_recipe(path), **names), **asked | changes)


def test_trials_of_other_seeds_or_recipes_are_not_in_one_study(tmp_path: Path) -> None:
    asked = sweep(tmp_path, trials=1, seeds=1)
    work(asked)
    longer = {**asked.settings, "training": asked.settings["training"] | {"max_updates": 3}}
    for other in (replace(asked, seeds=2), replace(asked, settings=longer)):
        assert open_study(other).trials == []
    (trial,) = open_study(replace(asked, trials=2)).trials
    assert trial.user_attrs["settings"] == suggest(FixedTrial(trial.params), heads=1, cell="rnn")


def fake(perfect: bool = True, updates: int = 1) -> train.Trained:
    """How a run may end."""
    return train.Trained("", 0.5, perfect, updates, 0.1, 0)


def test_a_study_has_as_many_trials_as_asked_for_and_goes_on_where_it_was(tmp_path: Path) -> None:
    asked = sweep(tmp_path)
    work(asked)
    first = [trial.value for trial in open_study(asked).trials]
    assert len(first) == 3
    work(sweep(tmp_path, trials=4))
    values = [trial.value for trial in open_study(asked).trials]
    assert values[:3] == first
    assert len(values) == 4


def test_the_seeds_of_a_search_are_not_those_of_the_results_and_its_settings_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = []

    def fit(cell: Any, folder: Path, report: Any) -> train.Trained:
        cells.append(cell)
        return fake()

    monkeypatch.setattr(train, "fit", fit)
    asked = sweep(tmp_path, trials=1)
    work(asked)
    assert [cell.seed for cell in cells] == [1000, 1001]
    (trial,) = open_study(asked).trials
    changes = suggest(FixedTrial(trial.params), heads=1, cell="rnn")
    assert cells[0].settings["model"] == {"embedding_size": 8} | changes["model"]
    assert cells[0].settings["memory"] == changes["memory"]
    assert trial.value == 1.5


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_the_space_has_biases_for_each_head_and_none_without(cell: str) -> None:
    for heads in (0, 1, 2):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        settings = suggest(study.ask(), heads, cell)
        assert ("state_noise" in settings["model"]) == (heads > 0 and cell == "lstm")
        assert len(settings["model"].get("push_bias", [])) == heads
        assert ("memory" in settings) == (heads > 0)


def test_right_is_worth_more_than_wrong_and_soon_more_than_late() -> None:
    worth = [score(True, 1.0, 100, 2000), score(True, 1.0, 1900, 2000), score(False, 1.0, 2000, 2000), 0.5]
    assert worth == sorted(worth, reverse=True)
    assert worth[1] >= 1 > worth[2]


def test_settings_that_break_a_run_are_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def fit(cell: Any, folder: Path, report: Any) -> train.Trained:
        runs.append(cell)
        if len(runs) == 1:
            raise RuntimeError("it\nbreaks")
        return fake()

    monkeypatch.setattr(train, "fit", fit)
    asked = sweep(tmp_path)
    work(asked)
    failed, *others = open_study(asked).trials
    assert (failed.state, failed.user_attrs["error"]) == (TrialState.FAIL, "RuntimeError: it breaks")
    assert [trial.state for trial in others] == [TrialState.COMPLETE] * 2


def test_a_recipe_that_does_not_fit_stops_the_sweep(tmp_path: Path) -> None:
    asked = sweep(tmp_path)
    asked.settings["model"]["hiden_size"] = 3
    with pytest.raises(InputError, match="hiden_size"):
        work(asked)


def test_two_workers_share_a_study_and_the_trial_of_one_that_is_killed_is_tried_again(tmp_path: Path) -> None:
    asked = sweep(tmp_path, trials=5)
    options = ["--task=Copying", "--memory=Stack", f"--study={asked.journal}", "--trials=5", "--seeds=2"]
    command = [sys.executable, "-m", "ddstructs", "sweep", *options, f"--recipe={tmp_path / 'tiny.yaml'}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def start() -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)

    study = open_study(asked)

    def trial_of(worker: subprocess.Popen[str]) -> int | None:
        for trial in study.get_trials(states=(TrialState.RUNNING,)):
            lock = asked.lock(str(trial.number))
            if lock.exists() and lock.read_text().split()[-1:] == [str(worker.pid)]:
                return trial.number
        return None

    def wait_for(condition: Callable[[], Any]) -> Any:
        end = time.monotonic() + 400
        while (met := condition()) in (None, False):
            assert time.monotonic() < end, "it did not come in time"
            time.sleep(0.02)
        return met

    killed, other = start(), start()
    while True:
        lost = wait_for(lambda: trial_of(killed))
        os.kill(killed.pid, signal.SIGSTOP)  # so that it is still at that trial when it is killed
        with claim(asked.lock("ask")) as free:
            if free and trial_of(killed) == lost and not asked.journal.with_name("journal.lock").exists():
                break  # it is stopped in the middle of its trial, and holds up nobody
        os.kill(killed.pid, signal.SIGCONT)
    wait_for(lambda: len(ended(study)) == 4)
    killed.kill()
    said, _ = other.communicate(timeout=400)
    killed.communicate()
    assert other.returncode == 0, said
    trials = study.trials
    assert [trial.number for trial in trials if trial.state == TrialState.FAIL] == [lost]
    (again,) = [trial for trial in trials if "again" in trial.user_attrs]
    assert (again.user_attrs["again"], again.params) == (lost, trials[lost].params)
    assert len(ended(study)) == 5
    assert len(trials) == 6, "nothing else was done twice"
    assert "1 fail" in said
    (exception,) = yaml.safe_load(said.partition("In a recipe:")[2])
    assert exception["where"] == {"task": "Copying", "memory": "Stack", "cell": "rnn"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--memory=Stack", "--study=s"], "task"),
        (["--task=Copyin", "--memory=Stack", "--study=s"], "did you mean Copying?"),
        (["--task=Copying", "--memory=Stack,Queue", "--study=s"], "--memory has 2 names"),
        (["--task=Copying", "--memory=Stack", "--study=s", "--trials=0"], "--trials is 0"),
        (["--task=Copying", "--memory=Stack", "--study=text"], "text is no journal of a study"),
        (["--task=Copying", "--memory=Stack", "--study=."], ". is no journal of a study"),
        (["--task=Copying", "--memory=Stack", "--study=number"], "number is no journal of a study"),
        (["--task=Copying", "--memory=Stack", "--study=/dev/null"], "/dev/null is no journal of a study"),
    ],
)
def test_wrong_options_get_one_line(
    options: list[str],
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("no journal\nat all\n")
    (tmp_path / "number").write_text("5\n")
    monkeypatch.setattr(sys, "argv", ["ddstructs", "sweep", *options])
    assert __main__.main() == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert expected in said.err
