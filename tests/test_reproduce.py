"""The grid: its cells, the workers that share them, what they write, and that one seed is one result."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import ddstructs
from ddstructs import InputError, __main__
from ddstructs.experiments import train
from ddstructs.experiments.claims import claim
from ddstructs.experiments.grid import Cell, choose, grid, parse_seeds
from ddstructs.experiments.plots import plot
from ddstructs.experiments.recipe import RECIPE, read_recipe, settings_of
from ddstructs.experiments.results import line, render
from ddstructs.experiments.work import Grid, commit, read, work

TINY: dict[str, Any] = {
    "defaults": {
        "memory": {"width": 4},
        "model": {"hidden_size": 8, "embedding_size": 8},
        "data": {"symbols": 4, "train_lengths": [1, 8], "batch_size": 4},
        "training": {"max_updates": 6, "validate_every": 3, "validation_size": 10, "validation_lengths": [1, 12]},
        "test": {"size": 20, "lengths": [9, 12], "hard": {20: 5}, "long": {30: 2}},
    },
    "exceptions": [
        {"where": {"memory": "NoMemory"}, "because": "no values", "memory": {"width": None}, "test": {"hard": {}}},
        {"where": {"cell": "lstm", "task": "Copying"}, "because": "it is slower", "model": {"learning_rate": 0.1}},
    ],
}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe for tiny cells, in a file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


def cells(recipe: Path, seeds: int = 2) -> list[Cell]:
    return grid(read_recipe(recipe), ["Copying", "Reversal"], ["Stack"], ["rnn"], list(range(seeds)))


def record(**values: Any) -> dict[str, Any]:
    """A record of a run."""
    names = ("coarse_train", "fine_train", "coarse_test", "fine_test")
    costs = {"updates": 100, "seconds": 7.0, "restarts": 0, "config": "c0ffee00", "commit": "abc"}
    run = {"task": "Copying", "memory": "Queue", "cell": "rnn", "seed": 0} | dict.fromkeys(names, 1.0) | costs
    return run | values


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def wait_for(condition: Callable[[], Any], seconds: float = 400) -> Any:
    """What a condition comes to, once it is met."""
    end = time.monotonic() + seconds
    while not (met := condition()):
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.02)
    return met


# The grid and its recipe.


def test_the_grid_is_every_combination_in_a_fixed_order(recipe: Path) -> None:
    names = [cell.name for cell in cells(recipe)]
    assert names == [cell.name for cell in cells(recipe)]
    assert [name.rpartition("-")[0] for name in names] == [
        f"{task}-Stack-rnn-{seed}" for seed in (0, 1) for task in ("Copying", "Reversal")
    ]


def test_a_config_is_what_the_recipe_says_and_nothing_else() -> None:
    def config(recipe: dict[str, Any], **where: str) -> str:
        names = {"task": "Copying", "memory": "Stack", "cell": "rnn"} | where
        return Cell(**names, seed=3, settings=settings_of(recipe, **names)).config

    other = json.loads(json.dumps(TINY))
    other["exceptions"][1]["model"]["learning_rate"] = 0.2
    assert config(TINY) == config(TINY, task="Reversal") == config(other)
    assert config(TINY, cell="lstm") != config(other, cell="lstm")
    assert config(TINY, cell="lstm", task="Reversal") == config(TINY)


def test_an_exception_overrides_and_null_is_the_default_of_the_class() -> None:
    settings = settings_of(TINY, task="Copying", memory="NoMemory", cell="lstm")
    assert settings["memory"] == {}
    assert settings["test"]["hard"] == {}
    assert settings["model"] == {"hidden_size": 8, "embedding_size": 8, "learning_rate": 0.1}
    assert TINY["defaults"]["memory"] == {"width": 4}, "untouched"


def test_the_recipe_of_the_grid_builds_every_cell() -> None:
    recipe = read_recipe(RECIPE)
    tasks = ["Copying", "Reversal", "BigramFlipping", "SVOtoSOV", "GenderConjugation"]
    for cell in grid(recipe, tasks, ["Stack", "Queue", "Deque", "NoMemory"], ["rnn", "lstm"], [0]):
        model = train._controller(cell, train._task(cell))
        assert model.rnn.memory.heads == {"Deque": 2, "NoMemory": 0}.get(cell.memory, 1)
        told = cell.settings["model"]
        assert (model.rnn.read_noise, model.rnn.state_noise) == (told["read_noise"], told.get("state_noise", 0))
        assert (model.signal_penalty, model.rnn.read_gate is None) == (
            told["signal_penalty"],
            not told["read_gate"] or not model.rnn.memory.heads,
        )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "is no YAML"),
        ("defaults: 3", "there are no defaults, with the sections memory, model, data, training, test"),
        ("defaults: {memory: {}}", "have no section model"),
        ("{where: {task: Copying}, memory: {}}", "does not say because"),
        ("{where: {task: Copying}, because: x, training: {updates: 3}}", "says updates, which there is not"),
        ("{where: {task: Copying}, because: x, modle: {}}", "there is no section modle as in the exception for"),
        (
            "{where: {tusk: Copying}, because: x}",
            "is where {'tusk': 'Copying'}, but a task, memory or cell was expected",
        ),
        ("{where: Copying, because: x}", "is where 'Copying', but a task, memory or cell was expected"),
        ("{where: {task: Copyin}, because: x}", "is where task is 'Copyin', but there is no such task"),
        ("{where: {task: [Copying]}, because: x}", r"is where task is \['Copying'\], but there is no such task"),
        ("{where: {memory: Stak}, because: x}", "is where memory is 'Stak', but there is no such memory"),
        ("{where: {task: Copying}, because: x, training: 5}", "is 5, but names and values were expected"),
        ("{where: {task: Copying}, because: x, model: {cell: gru}}", "says cell, which is part of the grid"),
        ("{where: {task: Copying}, because: x, model: {learning_rate: 5e-3}}", "write 0.005 instead of 5e-3"),
        ("exceptions: {a: 3}", "exceptions is not a list"),
        ("exceptions: [a]", "exceptions is not a list"),
        ("foo: {}", "there is no section foo as in the defaults: choose from"),
    ],
)
def test_a_recipe_of_another_form_is_refused(content: str, message: str, tmp_path: Path) -> None:
    if content.startswith("{where"):
        content = yaml.safe_dump(TINY | {"exceptions": [yaml.safe_load(content)]})
    elif content.startswith("exceptions"):
        content = yaml.safe_dump(TINY | yaml.safe_load(content))
    elif content.startswith("foo"):
        content = yaml.safe_dump({"defaults": TINY["defaults"] | yaml.safe_load(content)})
    (tmp_path / "recipe.yaml").write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_recipe(tmp_path / "recipe.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "ten", "0", "1;2", "-1", ",", "4294967296,", "20240101"])
def test_seeds_are_a_count_or_a_list(text: str) -> None:
    assert parse_seeds("10") == list(range(10))
    assert parse_seeds("901,900,901") == [901, 900]
    with pytest.raises(InputError, match=re.escape(f"--seeds is {text!r}")):
        parse_seeds(text)


def test_names_are_a_list_and_near_misses_are_told() -> None:
    assert choose("memories", "Queue, Stack,Queue", ["Stack", "Queue"]) == ["Queue", "Stack"]
    with pytest.raises(InputError, match=r"did you mean Stack\?"):
        choose("memories", "Stak", ["Stack", "Queue"])


# Results.


def test_one_seed_and_config_give_one_result(recipe: Path, tmp_path: Path) -> None:
    cell = cells(recipe)[1]
    runs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        done = train.run(cell, tmp_path / name)
        curve = [json.loads(line) for line in (tmp_path / name / "curve.jsonl").read_text().splitlines()]
        assert [at["updates"] for at in curve] == [3, 6]
        lengths = json.loads((tmp_path / name / "lengths.json").read_text())
        for run in (done, *curve):
            del run["seconds"]
        runs.append((done, curve, lengths))
    assert runs[0] == runs[1]
    done, _, lengths = runs[0]
    assert done["coarse_hard_20"] >= 0
    tested = [at for at in lengths if at["length"] >= 9]
    assert {at["length"] for at in lengths} <= set(range(1, 13))
    assert sum(at["sequences"] for at in tested) == 20
    fine = sum(at["fine"] * at["sequences"] for at in tested) / 20
    assert fine == pytest.approx(done["fine_test"], abs=1e-3)


def test_the_line_of_a_cell_has_what_a_reader_needs(recipe: Path, tmp_path: Path) -> None:
    whole = Grid(cells(recipe, seeds=1), tmp_path / "out", long=True)
    work(whole)
    lines = lines_of(tmp_path / "out/paper.jsonl")
    assert [(line["task"], line["seed"]) for line in lines] == [("Copying", 0), ("Reversal", 0)]
    for line_, cell in zip(lines, whole.cells, strict=True):
        assert cell.key.items() <= line_.items()
        scores = {"coarse_train", "fine_train", "coarse_test", "fine_test", "coarse_hard_20", "coarse_hard_30"}
        assert line_.keys() == {*cell.key, *scores, "updates", "seconds", "restarts", "commit"}
        assert all(0 <= line_[name] <= 1 for name in scores)
    curves = whole.explain()
    assert [path.suffix for path in plot(lines, curves, tmp_path / "out")] == [".svg"] * 3
    for curve, cell in zip(curves, whole.cells, strict=True):
        assert curve.keys() == {*cell.key, "val_fine", "coarse"}
        assert [at for at, _ in curve["val_fine"]] == [3, 6]
        assert all(0 <= share <= 1 for part in (curve["val_fine"], curve["coarse"]) for _, share in part)
    configs = {line["config"]: line["settings"] for line in lines_of(tmp_path / "out/configs.jsonl")}
    assert configs == {cell.config: json.loads(json.dumps(cell.settings)) for cell in whole.cells}


def test_the_long_test_is_added_to_a_cell_that_is_done(recipe: Path, tmp_path: Path) -> None:
    some = cells(recipe, seeds=1)[:1]
    work(Grid(some, tmp_path))
    folder = Grid(some, tmp_path).folder(some[0])
    before = (folder / "record.json").stat()
    assert "coarse_hard_30" not in read(folder)
    work(Grid(some, tmp_path, long=True))
    assert "coarse_hard_30" in read(folder)
    assert (folder / "record.json").stat() == before, "and it is not trained again"


def test_what_the_file_tells_of_runs_that_lie_elsewhere_is_kept(recipe: Path, tmp_path: Path) -> None:
    some = cells(recipe, seeds=1)
    work(Grid(some[:1], tmp_path))
    (before,), curves = Grid(some, tmp_path).collect(), Grid(some, tmp_path).explain()
    assert [path.name for path in plot([before], [], tmp_path)] == ["success.svg"], "there are no curves to draw"
    shutil.rmtree(tmp_path / "cells")
    assert Grid(some, tmp_path).explain() == json.loads(json.dumps(curves))
    work(Grid(some[1:], tmp_path))
    for told in (Grid(some, tmp_path).collect(), Grid(some, tmp_path).explain()):
        assert [record["task"] for record in told] == [cell.task for cell in some]
    work(Grid(some[:1], tmp_path))
    again, _ = Grid(some, tmp_path).collect()
    assert again | {"seconds": 0} == before | {"seconds": 0}, "and a run that is done again is told once"


def test_a_cell_that_fails_is_told_and_the_others_go_on(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, calls = train.run, []

    def fail(cell: Cell, folder: Path, report: Any) -> dict[str, Any]:
        calls.append(cell.name)
        if cell.task == "Copying":
            (folder / "model").mkdir()
            raise RuntimeError("the\ndisk burns")
        return run(cell, folder, report)

    monkeypatch.setattr(train, "run", fail)
    both = Grid(cells(recipe, seeds=1), tmp_path, long=True)
    work(both)
    work(both)
    assert len(calls) == 2, "what failed is not tried again"
    failed, good = both.collect()
    assert not any(name.startswith("coarse_hard") for name in failed), "nor is it tested"
    assert line(failed) == "Copying, Stack, rnn, seed 0: FAILED: RuntimeError: the disk burns"
    assert "error" not in good
    monkeypatch.setattr(train, "run", run)
    both.retry()
    work(both)
    assert all("error" not in record for record in both.collect())


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("model", {"hiden_size": 3}, "the recipe does not fit Stack on Copying: .*hiden_size"),
        ("model", {"signal_penalty": -1.0}, "the recipe does not fit Stack on Copying: signal_penalty is -1.0"),
        ("memory", {"width": -1}, "the recipe does not fit Stack: .*width"),
        ("data", {"start_length": 0}, "the recipe does not fit Copying: start_length is 0"),
        ("data", {"train_lengths": 5}, "the recipe does not fit Copying: train_lengths: Expected"),
        ("data", {"train_lengths": [1, 8, 9]}, "the recipe does not fit Copying: train_lengths: Expected"),
        ("data", {"batch_size": 2.5}, "the recipe does not fit Copying: batch_size: Expected a <class 'int'>"),
        ("model", {"learning_rate": "fast"}, "the recipe does not fit Stack on Copying: learning_rate: Expected"),
        ("training", {"max_updates": "many"}, "max_updates in the recipe is many, but a number from 1 was expected"),
        ("training", {"validation_lengths": [9, 3]}, "the recipe does not fit Copying: val_lengths"),
        ("training", {"max_updates": 7, "validate_every": 2}, "max_updates in the recipe is not a multiple"),
        ("test", {"lengths": [6, 4]}, "the recipe does not fit Copying: test_lengths"),
        ("test", {"hard": {"foo": 2}}, "the recipe does not fit Copying: "),
        ("test", {"long": {8: "x"}}, "8 in the recipe is x, but a number from 1 was expected"),
        ("test", {"hard": [8]}, "hard in the recipe is"),
    ],
)
def test_a_recipe_that_does_not_fit_stops_the_grid_before_anything_is_trained(
    section: str, values: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = json.loads(json.dumps(TINY))
    wrong["defaults"][section] |= values
    some = grid(wrong, ["Copying"], ["Stack"], ["rnn"], [0])
    monkeypatch.delattr(train, "run")
    with pytest.raises(InputError, match=message):
        work(Grid(some, tmp_path))
    assert Grid(some, tmp_path).collect() == []


@pytest.mark.parametrize(
    ("name", "line_"), [("paper.jsonl", "<<<<<<< HEAD"), ("paper.jsonl", '{"task": "Copying"}'), ("curves.jsonl", "5")]
)
def test_a_damaged_file_of_results_is_refused_and_left_as_it_is(
    name: str,
    line_: str,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / name).write_text(f"{json.dumps(record())}\n{line_}\n")
    before = (tmp_path / name).read_text()
    monkeypatch.delattr(train, "run")
    monkeypatch.setattr(sys, "argv", ["ddstructs", "reproduce", f"--recipe={recipe}", f"--out={tmp_path}"])
    assert __main__.main() == 2
    assert (
        f"{name}, line 2: a JSON object with task, memory, cell, config, seed was expected" in capsys.readouterr().err
    )
    assert (tmp_path / name).read_text() == before


@pytest.mark.parametrize(("section", "name"), [("test", "lengths"), ("test", "size"), ("training", "max_updates")])
def test_what_must_have_a_value_may_not_be_null(section: str, name: str, tmp_path: Path) -> None:
    wrong = json.loads(json.dumps(TINY))
    wrong["exceptions"][0][section] = {name: None}
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    with pytest.raises(
        InputError, match=rf"{name} in the exception for .*NoMemory.* is null, but it must have a value"
    ):
        read_recipe(tmp_path / "wrong.yaml")


def test_every_seed_is_told_failures_first_and_what_was_not_run() -> None:
    records = [
        record(seed=0),
        record(seed=1, coarse_test=0.995, updates=300, seconds=12.0),
        record(seed=2, coarse_test=0.5),
        {"task": "Copying", "memory": "Queue", "cell": "rnn", "seed": 3, "config": "c0ffee00", "error": "Oops: no"},
    ]
    records.append(record(seed=0, config="0ld"))
    asked = [("Copying", "Queue", "rnn", "c0ffee00"), ("Reversal", "Stack", "rnn", "c0ffee01")]
    text = render(records, asked, 3, 5, "ddstructs", [])
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines() if row.startswith("| ")]
    assert rows[2][:5] == ["Copying", "Queue", "rnn", "2/4", "0.995 / 0.500"]
    assert rows[2][9:12] == ["200 / 300", "9.500 / 12", "1.00 / 1.00"]
    assert rows[3][:4] == ["Reversal", "Stack", "rnn", "not run"]
    assert [rows[i][0] for i in (4, 5)] == ["task", "---"], "what is of other settings has a table of its own"
    assert rows[6][:4] == ["Copying", "Queue", "rnn", "1/1"]
    assert rows[6][-1] == "0ld"
    assert [row[3] for row in rows[9:]] == ["3", "2", "1", "0", "0"]
    assert "3 of 5 runs, 1 of them ended by an error, and 2 of other settings or seeds." in text
    assert "seed 3: FAILED: Oops: no" in text


def test_a_commit_is_marked_if_the_code_was_changed_since_not_if_results_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    for name in ("ddstructs/__init__.py", "tasks/task.py", "results/paper.jsonl"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    git("init")
    git("add", ".")
    git("commit", "-m", "all")
    monkeypatch.setattr(ddstructs, "__file__", str(tmp_path / "ddstructs" / "__init__.py"))
    clean = git("rev-parse", "--short=10", "HEAD").strip()
    (tmp_path / "results/paper.jsonl").write_text("{}")
    assert commit() == clean
    for name in ("tasks/task.py", "ddstructs/new.py"):
        (tmp_path / name).write_text("1")
        assert commit() == f"{clean}+"
        git("stash", "--include-untracked")
        assert commit() == clean


# Workers.


def test_a_claim_is_exclusive_and_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "cell"
    code = "import sys, time; from pathlib import Path; from ddstructs.experiments.claims import claim\n"
    code += f"with claim(Path({str(path)!r})) as mine: print(mine, flush=True); time.sleep(600)"
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    with claim(path) as mine:
        assert not mine
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with claim(path) as mine:
        assert mine


def test_a_helper_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script, path = tmp_path / "script.py", tmp_path / "lock"
    script.write_text("""
import sys
import time
from pathlib import Path
from ddstructs.experiments.claims import claim
from ddstructs.experiments.helpers import helpers


def work(path):
    with claim(path):
        time.sleep(600)


if __name__ == "__main__":
    with helpers(1, work, Path(sys.argv[1])):
        time.sleep(600)
""")

    def free() -> bool:
        with claim(path) as mine:
            return mine

    parent = subprocess.Popen([sys.executable, str(script), str(path)])
    wait_for(lambda: path.exists() and path.read_text() and not free())
    parent.kill()
    parent.wait()
    wait_for(free)


def test_two_workers_share_a_grid_and_one_that_is_killed_loses_only_its_cell(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--tasks=Copying,Reversal", "--memories=Stack,NoMemory", "--cells=rnn", "--seeds=2"]
    command = [sys.executable, "-m", "ddstructs", "reproduce", *options, f"--recipe={recipe}", f"--out={out}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def start() -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)

    def cell_of(worker: subprocess.Popen[str]) -> str | None:
        for folder in (out / "unfinished").glob("*"):
            if (out / "locks" / folder.name).read_text().split()[-1:] == [str(worker.pid)]:
                return folder.name
        return None

    def done() -> dict[str, os.stat_result]:
        return {file.parent.name: file.stat() for file in out.glob("cells/*/record.json")}

    killed, other = start(), start()
    lost = wait_for(lambda: cell_of(killed))
    os.kill(killed.pid, signal.SIGSTOP)  # so that it is still at that cell when it is killed
    while lost in done():
        os.kill(killed.pid, signal.SIGCONT)
        lost = wait_for(lambda: cell_of(killed))
        os.kill(killed.pid, signal.SIGSTOP)
    wait_for(lambda: len(done()) == 7)
    before = done()
    assert lost not in before, "the other one waits for it"
    killed.kill()
    said, _ = other.communicate(timeout=400)
    killed.communicate()
    assert other.returncode == 0, said
    after = done()
    assert len(after) == 8
    assert {name: after[name] for name in before} == before, "nothing was done twice"
    lines = lines_of(out / "paper.jsonl")
    assert len({(line["task"], line["memory"], line["seed"]) for line in lines}) == len(lines) == 8
    again = start()
    again.communicate(timeout=400)
    assert again.returncode == 0
    assert done() == after, "a cell that is done is never run again"


# The command.


def test_a_dry_run_lists_the_cells_and_does_nothing(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    options = ["--tasks=Copying", "--memories=Queue", "--cells=rnn", "--seeds=900,901", f"--recipe={recipe}"]
    monkeypatch.setattr(sys, "argv", ["ddstructs", "reproduce", *options, f"--out={out}", "--dry-run"])
    assert __main__.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition("-")[0] for line in lines] == ["to do Copying-Queue-rnn-900", "to do Copying-Queue-rnn-901"]
    assert not out.exists()


def test_a_summary_tells_what_is_done_and_runs_nothing(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    options = ["--tasks=Copying", "--cells=rnn", "--seeds=900,", f"--recipe={recipe}", f"--out={out}"]
    for more in (["--memories=Queue"], ["--memories=Queue,Stack", "--summarize"]):
        monkeypatch.setattr(sys, "argv", ["ddstructs", "reproduce", *options, *more])
        assert __main__.main() == 0
    assert len((out / "paper.jsonl").read_text().splitlines()) == 1
    table = (out / "RESULTS.md").read_text()
    assert "| Copying | Stack | rnn | not run |" in table
    assert "1 of 2 runs" in table


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--tasks=Copyin", "did you mean Copying?"),
        ("--memories=Stak", "did you mean Stack?"),
        ("--memories=Bank", "--memories Bank"),
        ("--cells=", "--cells is empty"),
        ("--seeds=ten", "a count such as 10 or a list such as 900,901"),
        ("--workers=0", "--workers is 0"),
        ("--workers=two", "--workers"),
        ("--recipe=nowhere.yaml", "cannot read the recipe nowhere.yaml"),
        ("--colour", "--colour"),
        ("--seed=3", "--seed=3"),
    ],
)
def test_wrong_options_get_one_line(
    option: str, expected: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["ddstructs", "reproduce", option])
    assert __main__.main() == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert expected in said.err
