"""A study repeats only the trials lost with a killed command, and reports or repairs damage to its journal."""

from __future__ import annotations

import json
import os
import random
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
from optuna.trial import FixedTrial, FrozenTrial, TrialState
from tiny import recipe_of, refused, write_recipe

from ddstructs import InputError, __main__
from ddstructs.experiments import train
from ddstructs.experiments.engine import Report, Serial
from ddstructs.experiments.runs import Run
from ddstructs.experiments.sweep.journal import open_journal, writing
from ddstructs.experiments.sweep.show import line
from ddstructs.experiments.sweep.space import suggest
from ddstructs.experiments.sweep.study import Sweep, ended, open_study, score, search

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
    names: dict[str, Any] = {"task": "Copying", "memory": "Stack", "cell": "rnn"}
    asked: dict[str, Any] = {"journal": folder / "journal", "trials": 3, "seeds": 2}
    return Sweep(**names, settings=recipe_of(folder, TINY).settings(**names), **asked | changes)


def work(asked: Sweep) -> list[FrozenTrial]:
    """Execute the remaining trials of a study in this process."""
    return list(search(asked, open_study(asked), Serial(lambda words: None, lambda: None)))


def fake(perfect: bool = True, updates: int = 1) -> train.Trained:
    """A possible outcome of a run."""
    return train.Trained("", 0.5, perfect, updates, 0.1, 0)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The executed runs; each takes no time."""
    executed: list[Run] = []

    def score_of(run: Run, report: Report) -> train.Trained:
        executed.append(run)
        return fake()

    monkeypatch.setattr(train, "score_of", score_of)
    return executed


def test_trials_of_other_seeds_or_recipes_are_not_in_one_study(tmp_path: Path) -> None:
    asked = sweep(tmp_path, trials=1, seeds=1)
    work(asked)
    longer = {**asked.settings, "training": asked.settings["training"] | {"max_updates": 3}}
    for other in (replace(asked, seeds=2), replace(asked, settings=longer)):
        assert open_study(other).trials == []
    (trial,) = open_study(replace(asked, trials=2)).trials
    assert trial.user_attrs["settings"] == suggest(FixedTrial(trial.params), heads=1, cell="rnn")


def test_a_study_has_as_many_trials_as_asked_for_and_goes_on_where_it_was(tmp_path: Path, runs: list[Run]) -> None:
    assert [trial.number for trial in work(sweep(tmp_path))] == [0, 1, 2]
    before = open_study(sweep(tmp_path)).trials
    assert work(sweep(tmp_path)) == []
    assert [trial.number for trial in work(sweep(tmp_path, trials=4))] == [3]
    assert open_study(sweep(tmp_path)).trials[:3] == before
    assert len(runs) == 8


def test_the_seeds_of_a_search_are_not_those_of_the_results_and_its_settings_are_used(
    tmp_path: Path, runs: list[Run]
) -> None:
    (trial,) = work(sweep(tmp_path, trials=1))
    assert [run.seed for run in runs] == [1000, 1001]
    changes = suggest(FixedTrial(trial.params), heads=1, cell="rnn")
    assert runs[0].settings["model"] == {"embedding_size": 8} | changes["model"]
    assert runs[0].settings["memory"] == changes["memory"]
    assert trial.value == 1.5
    assert line(trial) == "trial 0: score 1.500, complete"


def test_a_trial_that_was_interrupted_goes_on_with_the_seed_it_was_at(tmp_path: Path, runs: list[Run]) -> None:
    asked = sweep(tmp_path, trials=2, seeds=3)
    engine = Serial(lambda words: None, lambda: None)
    found = open_study(asked)
    executed = train.score_of

    def interrupt(run: Run, report: Report) -> train.Trained:
        if run.seed == 1002 and len(runs) == 5:
            raise KeyboardInterrupt
        return executed(run, report)

    train.score_of = interrupt
    with pytest.raises(KeyboardInterrupt):
        list(search(asked, found, engine))
    train.score_of = executed
    lost = open_study(asked).trials[1]
    assert lost.state == TrialState.RUNNING
    (again,) = work(asked)
    assert [run.seed for run in runs] == [1000, 1001, 1002, 1000, 1001, 1002], "no run is done twice"
    assert again.params == lost.params
    assert (again.user_attrs["again"], again.intermediate_values) == (1, {1: 1.5, 2: 1.5, 3: 1.5})
    assert [trial.state for trial in open_study(asked).trials] == [
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.COMPLETE,
    ]
    assert len(ended(open_study(asked))) == 2


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

    def score_of(run: Run, report: Report) -> train.Trained:
        runs.append(run)
        if len(runs) == 1:
            raise RuntimeError("it\nbreaks")
        return fake()

    monkeypatch.setattr(train, "score_of", score_of)
    asked = sweep(tmp_path)
    assert line(work(asked)[0]) == "trial 0: FAILED: RuntimeError: it breaks"
    failed, *others = open_study(asked).trials
    assert (failed.state, failed.user_attrs["error"]) == (TrialState.FAIL, "RuntimeError: it breaks")
    assert [trial.state for trial in others] == [TrialState.COMPLETE] * 2
    assert work(asked) == []


def test_a_recipe_that_does_not_fit_stops_the_sweep(tmp_path: Path) -> None:
    asked = sweep(tmp_path)
    asked.settings["model"]["hiden_size"] = 3
    with pytest.raises(InputError, match="hiden_size"):
        work(asked)


def wait_for(condition: Callable[[], Any]) -> Any:
    """Wait for a condition, and return its value."""
    end = time.monotonic() + 300
    while not (met := condition()):
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.02)
    return met


def test_a_command_that_is_killed_goes_on_with_two_workers(tmp_path: Path) -> None:
    asked, recipe = sweep(tmp_path, trials=4), write_recipe(tmp_path / "tiny.yaml", TINY)
    options = ["--task=Copying", "--memory=Stack", f"--study={asked.journal}", "--trials=4", "--num_seeds=2"]
    command = [sys.executable, "-m", "ddstructs", "sweep", *options, f"--recipe={recipe}", "--workers=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    killed = subprocess.Popen(command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: asked.journal.exists() and b'"scores":[0' in asked.journal.read_bytes())
    with pytest.raises(InputError, match="another command is searching"), writing(asked.journal):
        pass
    killed.kill()
    killed.communicate()
    before = {trial.number: trial for trial in ended(open_study(asked))}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert said.returncode == 0, said
    trials = open_study(asked).trials
    assert {number: trials[number] for number in before} == before, "nothing is done twice"
    lost = [trial for trial in trials if trial.state == TrialState.FAIL]
    assert {trial.number for trial in lost} == {
        trial.user_attrs["again"] for trial in trials if "again" in trial.user_attrs
    }
    assert len(ended(open_study(asked))) == 4
    assert "4 complete" in said.stdout
    (exception,) = yaml.safe_load(said.stdout.partition("In a recipe:")[2])
    recipe_of(tmp_path, TINY | {"exceptions": [exception]})


# The journal.


def study_of(folder: Path, runs: list[Run]) -> bytes:
    """The journal of a small study."""
    asked = sweep(folder)
    work(asked)
    return asked.journal.read_bytes()


def test_a_last_line_that_was_cut_short_is_set_aside(
    tmp_path: Path, runs: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    whole, asked = study_of(tmp_path, runs), sweep(tmp_path, trials=5)
    capsys.readouterr()
    lines = whole.splitlines(keepends=True)
    for number, torn in enumerate((lines[-1][:-9], b"\0" * 100, lines[5][:3]), 1):
        asked.journal.write_bytes(b"".join(lines[:-1]) + torn)
        open_journal(asked.journal)
        assert "was truncated" in capsys.readouterr().out
        assert asked.journal.read_bytes() == b"".join(lines[:-1]), "all that was good is kept"
        assert asked.journal.with_name(f"journal.torn-{number}").read_bytes() == torn
    work(asked)
    assert len(ended(open_study(asked))) == 5


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [*lines[:3], b"<<<<<<< HEAD\n", *lines[3:]],
        lambda lines: [*lines[:3], b"\0" * 50 + b"\n", *lines[3:]],
        lambda lines: [*lines[:3], b"[1]\n", *lines[3:]],
        lambda lines: [*lines[:3], b'{"op_code": 99}\n', *lines[3:]],
        lambda lines: [*lines[:3], b'{"op_code": 4, "worker_id": "x", "trial_id": 77}\n', *lines[3:]],
        lambda lines: lines[1:],
        lambda lines: [b"[" * 5000 + b"\n"],
        lambda lines: [b"text"],
    ],
)
def test_a_journal_that_is_damaged_elsewhere_is_refused_and_left_as_it_is(
    damage: Callable[[list[bytes]], list[bytes]], tmp_path: Path, runs: list[Run]
) -> None:
    content = b"".join(damage(study_of(tmp_path, runs).splitlines(keepends=True)))
    asked = sweep(tmp_path)
    asked.journal.write_bytes(content)
    with pytest.raises(InputError, match="journal") as caught:
        open_study(asked)
    assert "\n" not in str(caught.value)
    assert asked.journal.read_bytes() == content


def test_damaged_journals_are_continued_or_refused_in_one_line(tmp_path: Path, runs: list[Run]) -> None:
    draw, whole, asked = random.Random(0), study_of(tmp_path, runs), sweep(tmp_path, trials=4)
    parts = [b"{", b"]", b"\n", b"null", b"NaN", b"1e999", b'"x"', b"-1", b"\x00", b"\xff", b"{}", b"[[1]]"]
    continued = 0
    for _ in range(120):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 2)):
            at = draw.randrange(len(content))
            content[at : at + draw.choice([0, 1, 3, 200])] = draw.choice(parts)
        asked.journal.write_bytes(content)
        refusal = refused(lambda: work(asked))
        assert refusal is None or "\n" not in refusal
        assert refusal is None or asked.journal.read_bytes() == content, "what is refused is left as it is"
        continued += refusal is None
    assert 0 < continued < 120


def test_values_of_another_type_in_a_journal_are_refused_or_harmless(tmp_path: Path, runs: list[Run]) -> None:
    draw, lines, asked = random.Random(1), study_of(tmp_path, runs).splitlines(), sweep(tmp_path, trials=4)
    for _ in range(120):
        records = [json.loads(line) for line in lines]
        victim = draw.choice(records)
        name = draw.choice(sorted(victim))
        if isinstance(victim[name], dict) and victim[name] and draw.random() < 0.7:
            victim, name = victim[name], draw.choice(sorted(victim[name]))
        victim[name] = draw.choice([None, -1, 10**20, 1.5, "x", [], {}, [[1]], {"a": None}, float("nan"), True])
        content = "".join(json.dumps(record) + "\n" for record in records).encode()
        asked.journal.write_bytes(content)
        refusal = refused(lambda: work(asked))
        assert refusal is None or "\n" not in refusal
        assert refusal is None or asked.journal.read_bytes() == content, "what is refused is left as it is"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--memory=Stack", "--study=s"], "--task is required"),
        (["--task=Copyin", "--memory=Stack", "--study=s"], "did you mean Copying?"),
        (["--task=Copying", "--memory=Stack,Queue", "--study=s"], "--memory has 2 names"),
        (["--task=Copying", "--memory=Stack", "--cell=layers", "--study=s"], "--cell is layers, but a sweep"),
        (["--task=Copying", "--memory=Stack", "--study=s", "--trials=0"], "--trials is 0"),
        (["--task=Copying", "--memory=Stack", "--study=s", "--num_seeds=0"], "--num_seeds is 0"),
        (["--task=Copying", "--memory=Stack", "--study=text"], "text, line 1: it is not a line of a study's journal"),
        (["--task=Copying", "--memory=Stack", "--study=."], "not a file"),
        (["--task=Copying", "--memory=Stack", "--study=new/"], "--study is new/, but that names a folder: name a file"),
        (["--task=Copying", "--memory=Stack", "--study=text/x"], "--study is text/x, but text is a file, not a folder"),
        (["--task=Copying", "--memory=Stack", "--study=number"], "number, line 1"),
        (["--task=Copying", "--memory=Stack", "--study=/dev/null"], "null is not a file"),
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
