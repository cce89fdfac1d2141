"""The runs of an experiment: their output, that a seed determines its result, and that none is repeated."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from commands import Command
from tiny import TINY, tiny_runs, write_recipe

import ddstructs
from ddstructs import __main__
from ddstructs.experiments import train
from ddstructs.experiments.commit import commit
from ddstructs.experiments.engine import Report, Serial
from ddstructs.experiments.plots import plot
from ddstructs.experiments.recipe import read_recipe
from ddstructs.experiments.results import line, render
from ddstructs.experiments.runs import Run, every_run
from ddstructs.experiments.sizes import sized
from ddstructs.experiments.store import Store
from ddstructs.experiments.suites import SUITES, Suite
from ddstructs.experiments.work import test_long_sequences as long_tests
from ddstructs.experiments.work import train_and_test


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe for tiny runs, in a file."""
    return write_recipe(tmp_path / "tiny.yaml", TINY)


def silent(words: str) -> None:
    """A report without output."""


def work(runs: list[Run], store: Store) -> list[dict[str, Any]]:
    """Execute the remaining runs in this process."""
    return list(train_and_test(runs, store, Serial(silent, lambda: None), "cpu"))


def record(**values: Any) -> dict[str, Any]:
    """A record of a run."""
    names = ("coarse_train", "fine_train", "coarse_test", "fine_test")
    costs = {"updates": 100, "seconds": 7.0, "restarts": 0, "config": "c0ffee00", "commit": "abc"}
    run = {"task": "Copying", "memory": "Queue", "cell": "rnn", "seed": 0} | dict.fromkeys(names, 1.0) | costs
    return run | values


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def wait_for(condition: Callable[[], Any], seconds: float = 300) -> Any:
    """Wait for a condition, and return its value."""
    end = time.monotonic() + seconds
    while not (met := condition()):
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.02)
    return met


# Results.


def test_one_seed_and_config_give_one_result(tmp_path: Path) -> None:
    run, results = tiny_runs(tmp_path)[1], []
    for _ in range(2):
        done = train.execute(run, "cpu", silent)
        curve = [json.loads(line) for line in done.files["curve.jsonl"].splitlines()]
        assert [at["updates"] for at in curve] == [3, 6]
        lengths = json.loads(done.files["lengths.json"])
        for part in (done.record, *curve):
            del part["seconds"]
        results.append((done.record, curve, lengths))
    assert results[0] == results[1]
    told, _, lengths = results[0]
    assert told["coarse_hard_20"] >= 0
    tested = [at for at in lengths if at["length"] >= 9]
    assert {at["length"] for at in lengths} <= set(range(1, 13))
    assert sum(at["sequences"] for at in tested) == 20
    fine = sum(at["fine"] * at["sequences"] for at in tested) / 20
    assert fine == pytest.approx(told["fine_test"], abs=1e-3)


def test_a_record_has_what_a_reader_needs(tmp_path: Path) -> None:
    runs, store = tiny_runs(tmp_path, seeds=1), Store(tmp_path / "out")
    work(runs, store)
    assert len(list(long_tests(runs, store, Serial(silent, lambda: None), "cpu"))) == 2
    lines = lines_of(tmp_path / "out/paper.jsonl")
    assert [(line["task"], line["seed"]) for line in lines] == [("Copying", 0), ("Reversal", 0)]
    for line_, run in zip(lines, runs, strict=True):
        assert run.key.items() <= line_.items()
        scores = {"coarse_train", "fine_train", "coarse_test", "fine_test", "coarse_hard_20", "coarse_hard_30"}
        assert line_.keys() == {*run.key, *scores, "updates", "seconds", "restarts", "commit"}
        assert all(0 <= line_[name] <= 1 for name in scores)
    curves = store.explain()
    plots = plot(lines, curves, tmp_path / "out")
    assert [path.read_bytes()[:8] for path in plots] == [b"\x89PNG\r\n\x1a\n"] * 3
    before = [path.read_bytes() for path in plots]
    assert [path.read_bytes() for path in plot(lines, curves, tmp_path / "out")] == before, (
        "the same for the same results"
    )
    for curve, run in zip(curves, runs, strict=True):
        assert curve.keys() == {*run.key, "val_fine", "coarse"}
        assert [at for at, _ in curve["val_fine"]] == [3, 6]
        assert all(0 <= share <= 1 for part in (curve["val_fine"], curve["coarse"]) for _, share in part)
    configs = {line["config"]: line["settings"] for line in lines_of(tmp_path / "out/configs.jsonl")}
    assert configs == {run.config: json.loads(json.dumps(run.settings)) for run in runs}


def test_the_long_test_is_added_to_a_run_that_is_done(tmp_path: Path) -> None:
    (run, _), store = tiny_runs(tmp_path, seeds=1), Store(tmp_path)
    work([run], store)
    file = store.folder(run) / "record.json"
    before = file.stat()
    assert store.lacks_long(run)
    assert "coarse_hard_30" not in store.record(run)
    assert work([run], store) == []
    (told,) = long_tests([run], store, Serial(silent, lambda: None), "cpu")
    assert told.startswith("Copying, Stack, rnn, seed 0: 30 long ")
    assert "coarse_hard_30" in store.record(run)
    assert not store.lacks_long(run)
    assert file.stat() == before, "and it is not trained again"


def test_lines_of_runs_that_have_no_folder_are_kept(tmp_path: Path) -> None:
    runs, store = tiny_runs(tmp_path, seeds=1), Store(tmp_path)
    work(runs[:1], store)
    (before,), curves = store.collect(), store.explain()
    assert [path.name for path in plot([before], [], tmp_path)] == ["success.png"], "there are no curves to draw"
    shutil.rmtree(tmp_path / "cells")
    assert store.explain() == json.loads(json.dumps(curves))
    work(runs[1:], store)
    for told in (store.collect(), store.explain()):
        assert [record["task"] for record in told] == [run.task for run in runs]
    work(runs[:1], store)
    again, _ = store.collect()
    assert again | {"seconds": 0} == before | {"seconds": 0}, "and a run that is done again is told once"


def test_a_run_that_fails_is_told_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execute, calls = train.execute, []

    def fail(run: Run, accelerator: str, report: Report) -> train.Done:
        calls.append(run.name)
        if run.task == "Copying":
            raise RuntimeError("the\ndisk burns")
        return execute(run, accelerator, report)

    monkeypatch.setattr(train, "execute", fail)
    runs, store = tiny_runs(tmp_path, seeds=1), Store(tmp_path)
    work(runs, store)
    work(runs, store)
    assert len(calls) == 2, "a failure is not tried again"
    failed, good = store.collect()
    assert not store.lacks_long(runs[0]), "nor is it tested"
    assert line(failed) == "Copying, Stack, rnn, seed 0: FAILED: RuntimeError: the disk burns"
    assert "error" not in good
    monkeypatch.setattr(train, "execute", execute)
    store.forget_failures(runs)
    work(runs, store)
    assert all("error" not in record for record in store.collect())


def test_every_seed_is_told_failures_first_and_what_was_not_run() -> None:
    records = [
        record(seed=0),
        record(seed=1, coarse_test=0.995, updates=300, seconds=12.0),
        record(seed=2, coarse_test=0.5),
        {"task": "Copying", "memory": "Queue", "cell": "rnn", "seed": 3, "config": "c0ffee00", "error": "Oops: no"},
    ]
    records.append(record(seed=0, config="0ld"))
    asked = [("Copying", "Queue", "rnn", "c0ffee00"), ("Reversal", "Stack", "rnn", "c0ffee01")]
    text = render(SUITES["paper"], records, asked, 3, 5, "ddstructs", [])
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines() if row.startswith("| ")]
    assert rows[2][:5] == ["Copying", "Queue", "rnn", "2/4", "0.995 / 0.500"]
    assert rows[2][9:12] == ["200 / 300", "9.500 / 12", "1.00 / 1.00"]
    assert rows[3][:4] == ["Reversal", "Stack", "rnn", "not run"]
    assert [rows[i][0] for i in (4, 5)] == ["task", "---"], "what is of other settings has a table of its own"
    assert rows[6][:4] == ["Copying", "Queue", "rnn", "1/1"]
    assert rows[6][-1] == "0ld"
    assert [row[3] for row in rows[9:]] == ["3", "2", "1", "0", "0"]
    assert "3 of 5 runs are done; 1 of them failed with an error; 2 runs have other settings or seeds." in text
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
    commit.cache_clear()
    clean = git("rev-parse", "--short=10", "HEAD").strip()
    (tmp_path / "results/paper.jsonl").write_text("{}")
    commit.cache_clear()
    assert commit() == clean
    for name in ("tasks/task.py", "ddstructs/new.py"):
        (tmp_path / name).write_text("1")
        commit.cache_clear()
        assert commit() == f"{clean}+"
        git("stash", "--include-untracked")
        commit.cache_clear()
        assert commit() == clean
    commit.cache_clear()


# Many workers.


def command(recipe: Path, out: Path, *options: str) -> list[str]:
    """The command line for eight tiny runs."""
    chosen = ["--tasks=Copying,Reversal", "--memories=Stack,NoMemory", "--cells=rnn", "--seeds=0-1"]
    return [sys.executable, "-m", "ddstructs", "reproduce", *chosen, f"--recipe={recipe}", f"--out={out}", *options]


def start(*arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    return subprocess.Popen(arguments, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def done(out: Path) -> dict[str, os.stat_result]:
    return {file.parent.name: file.stat() for file in out.glob("cells/*/record.json")}


def test_a_worker_that_is_killed_costs_one_run_and_a_command_that_is_killed_goes_on(
    recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    killed = start(*command(recipe, out, "--workers=2"))
    wait_for(lambda: done(out))
    worker = wait_for(lambda: [p for p in psutil.Process(killed.pid).children() if "spawn_main" in str(p.cmdline())])[0]
    worker.kill()
    wait_for(lambda: len(done(out)) >= 3)
    killed.kill()
    killed.communicate()
    before = done(out)
    other = start(*command(recipe, out, "--workers=2", "--long"))
    said, _ = other.communicate(timeout=400)
    assert other.returncode == 0, said
    after = done(out)
    assert len(after) == 8
    assert {name: after[name] for name in before} == before, "nothing is done twice"
    assert "Dashboard: http" in said
    assert all(f"seed {seed}: test coarse" in said for seed in (0, 1)), "a run is told before its long test"
    lines = lines_of(out / "paper.jsonl")
    assert len({(line["task"], line["memory"], line["seed"]) for line in lines}) == len(lines) == 8
    assert "error" not in {name for line in lines for name in line}
    again = start(*command(recipe, out, "--workers=2"))
    again.communicate(timeout=400)
    assert again.returncode == 0
    assert done(out) == after


def test_one_command_at_a_time_writes_to_a_folder(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", command(recipe, tmp_path, "--summarize")[2:])
    with Store(tmp_path).writing():
        assert __main__.main() == 2
    assert f"another command is writing to {tmp_path}" in capsys.readouterr().err
    assert __main__.main() == 0


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = "from pathlib import Path; from ddstructs.experiments.store import Store; import time\n"
    code += f"with Store(Path({str(tmp_path)!r})).writing(): print('mine', flush=True); time.sleep(600)"
    holder = start(sys.executable, "-c", code)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "mine\n"
    holder.kill()
    holder.communicate()
    with Store(tmp_path).writing():
        pass


def test_what_stops_all_runs_is_told_in_one_line_and_nothing_is_lost(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    options = ["--tasks=Copying", "--memories=Stack", "--cells=rnn", "--seeds=0", f"--recipe={recipe}", f"--out={out}"]
    out.mkdir()
    (out / "paper.jsonl").write_text(json.dumps(record()) + "\n")
    monkeypatch.setattr(sys, "argv", ["ddstructs", "reproduce", *options])
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))  # the maximum file size, to simulate a full disk
    try:
        assert __main__.main() == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    said = capsys.readouterr().err.splitlines()[-1]
    assert "File too large" in said
    assert done(out) == {}, "this is not a failure of the run"
    assert lines_of(out / "paper.jsonl") == [record()]
    assert __main__.main() == 0
    assert len(lines_of(out / "paper.jsonl")) == 2


# The command.


def test_a_dry_run_lists_the_runs_and_does_nothing(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    options = ["--tasks=Copying", "--memories=Queue", "--cells=rnn", "--seeds=900,901", f"--recipe={recipe}"]
    monkeypatch.setattr(sys, "argv", ["ddstructs", "reproduce", *options, f"--out={out}", "--dry-run"])
    assert __main__.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition("-")[0] for line in lines] == ["to do Copying-Queue-rnn-900", "to do Copying-Queue-rnn-901"]
    assert not out.exists()


def test_runs_on_a_gpu_say_so_in_the_records_and_the_tables(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def device_of(accelerator: str) -> torch.device:
        asked.append(accelerator)
        return torch.device("cpu")

    monkeypatch.setattr(train, "device_of", device_of)
    monkeypatch.setattr("ddstructs.cli.reproduce.check_accelerator", lambda *_: None)
    monkeypatch.setenv("COLUMNS", "80")
    out = tmp_path / "out"
    options = ["--tasks=Copying", "--memories=Queue", "--cells=rnn", f"--recipe={recipe}", f"--out={out}", "--long"]
    for seed, name, accelerator in ((900, "", "cpu"), (901, "NVIDIA A100-SXM4-80GB", "gpu")):
        monkeypatch.setattr(train, "_where", lambda device, name=name: {"device": name} if name else {})
        argv = ["ddstructs", "reproduce", *options, f"--seeds={seed}", f"--accelerator={accelerator}"]
        monkeypatch.setattr(sys, "argv", argv)
        assert __main__.main() == 0
        assert asked == [accelerator] * 2, "in training and in the long test"
        asked.clear()
    assert [line.get("device") for line in lines_of(out / "paper.jsonl")] == [None, "NVIDIA A100-SXM4-80GB"]
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["ddstructs", "reproduce", *options, "--seeds=900,901", "--summarize"])
    assert __main__.main() == 0
    assert "| device | config |" in (out / "RESULTS.md").read_text()
    table, _, _ = capsys.readouterr().out.partition("Written:")
    assert max(map(len, table.splitlines())) <= 80
    for word in ("task", "memory", "cell", "Queue", "rnn", "0/2"):
        assert word in table


def test_a_summary_tells_what_is_done_and_runs_nothing(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ["--tasks=Copying", "--cells=rnn", "--seeds=900", f"--recipe={recipe}", f"--out={out}"]
    for more in (["--memories=Queue"], ["--memories=Queue,Stack", "--summarize"]):
        monkeypatch.setattr(sys, "argv", ["ddstructs", "reproduce", *options, *more])
        assert __main__.main() == 0
    assert len((out / "paper.jsonl").read_text().splitlines()) == 1
    table = (out / "RESULTS.md").read_text()
    assert "| Copying | Stack | rnn | not run |" in table
    assert "1 of 2 runs" in table
    said = capsys.readouterr().out
    assert "not run" not in said
    assert "1 of 2 runs are done, and 1 of 2 combinations have none: RESULTS.md lists them." in said


def test_a_summary_in_other_settings_shows_what_was_run(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--tasks=Copying", "--memories=Queue", "--cells=rnn", "--seeds=900", f"--out={tmp_path / 'out'}"]
    for more in ([f"--recipe={recipe}"], ["--summarize"]):
        monkeypatch.setattr(sys, "argv", ["ddstructs", "reproduce", *options, *more])
        capsys.readouterr()
        assert __main__.main() == 0
    other, _, table = capsys.readouterr().out.partition("Other settings, such as those of another budget or recipe:")
    assert "Copying" not in other
    assert "0/1" in table


def test_the_results_name_the_sizes_that_were_run(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--tasks=Copying,Reversal", "--memories=Queue", "--cells=rnn", "--seeds=900", f"--recipe={recipe}"]
    monkeypatch.setattr(sys, "argv", ["ddstructs", "reproduce", *options, f"--out={tmp_path / 'out'}", "--summarize"])
    (tmp_path / "out").mkdir()
    assert __main__.main() == 0
    text = " ".join((tmp_path / "out/RESULTS.md").read_text().split())
    assert "trained on sources of 1 to 8 symbols and tested on 20 unseen sources of that range (*train*)" in text
    assert "and 20 of 9 to 12 symbols." in text
    assert "or after 6 updates" in text
    assert "0.99 coarse on 9 to 12" in text


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ("small", ["tested on 200 unseen", "and 200 of 65 to 128 symbols", "after 500 updates", "on 10 sources of"]),
        ("default", ["tested on 1,000 unseen", "and 1,000 of 65", "after 2,000 updates", "on 100 sources of"]),
    ],
)
def test_a_budget_changes_the_sizes_in_the_results(budget: str, expected: list[str]) -> None:
    suite = SUITES["paper"]
    runs = every_run(read_recipe(suite.recipe), suite.tasks, suite.memories, suite.cells, [0], budget)
    text = " ".join(render(sized(suite, runs), [], [], 0, len(runs), "ddstructs", []).split())
    assert [part for part in expected if part not in text] == []


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
@pytest.mark.parametrize("budget", ["small", "default", "published"])
def test_every_size_in_the_text_of_a_suite_is_filled_in(suite: Suite, budget: str) -> None:
    runs = every_run(read_recipe(suite.recipe), suite.tasks, suite.memories, suite.cells, [0], budget)
    told = sized(suite, runs)
    assert "{" not in told.sets + told.score + told.judged_on
    if suite.score:
        (size,) = {run.settings["test"]["per_length"] for run in runs}
        assert f", with {size} strings of each" in told.score


@pytest.mark.parametrize(
    ("mode", "below", "message"),
    [
        *((mode, "", "but that is a file: give a folder") for mode in ("--dry_run", "--summarize", "--budget=small")),
        *((mode, "/x", "results is a file, not a folder") for mode in ("--dry_run", "--budget=small")),
    ],
)
def test_a_file_is_no_folder_for_results(
    mode: str,
    below: str,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "results").write_text("mine")
    out = f"{tmp_path / 'results'}{below}"
    monkeypatch.setattr(sys, "argv", ["ddstructs", "reproduce", mode, "--out", out])
    assert __main__.main() == 2
    error = capsys.readouterr().err
    assert f"--out is {out}, " in error
    assert message in error
    assert (tmp_path / "results").read_text() == "mine"


def test_a_file_in_the_place_of_the_runs_is_found_before_any_is_trained(within: Command, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "cells").write_text("mine")
    done = within("reproduce", "--tasks=Copying", "--memories=Stack", "--seeds=0", "--out=results")
    assert done.returncode == 2
    assert "--out is results, but results/cells is a file, not a folder" in done.stderr
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["cells"]


def test_a_recipe_may_have_budgets_of_its_own(within: Command, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "own.yaml", TINY | {"budgets": {"mine": {"training": {"max_updates": 3}}}})
    options = ("reproduce", "--tasks=Copying", "--memories=Stack", "--cells=rnn", "--seeds=0", "--dry_run")
    assert within(*options, f"--recipe={recipe}", "--budget=mine").returncode == 0
    done = within(*options, "--budget=mine")
    assert done.returncode == 2
    assert "--budget is mine, but the recipe has default, small" in done.stderr


@pytest.mark.parametrize(
    ("test", "options", "expected"),
    [
        (
            {},
            ["--suite=chomsky", "--tasks=ReverseString"],
            "no metric in test, but --suite chomsky scores its runs by one",
        ),
        (
            {"metric": "coarse"},
            ["--tasks=Copying"],
            "metric in test to coarse, but --suite paper has scores of its own",
        ),
        ({}, ["--tasks=DyckModel"], "DyckModel has no metric coarse: choose from"),
    ],
    ids=["none", "one", "another"],
)
def test_a_metric_that_does_not_fit_is_refused_before_any_run(
    test: dict[str, Any], options: list[str], expected: str, within: Command, tmp_path: Path
) -> None:
    defaults = TINY["defaults"]
    data = {name: value for name, value in defaults["data"].items() if name != "symbols"}  # which a language has not
    changed = TINY | {"defaults": defaults | {"data": data, "test": defaults["test"] | test}}
    recipe = write_recipe(tmp_path / "own.yaml", changed)
    done = within(
        "reproduce", f"--recipe={recipe}", *options, "--memories=Stack", "--cells=rnn", "--seeds=0", "--dry_run"
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert expected in done.stderr


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--tasks=Copyin", "did you mean Copying?"),
        ("--memories=Stak", "did you mean Stack?"),
        ("--memories=Bank", "unknown name 'Bank'"),
        ("--cells=", "--cells is empty"),
        ("--seeds=ten", "a list of seeds and ranges such as 0-9,777"),
        ("--seeds=777,", "seeds and ranges such as"),
        ("--workers=0", "--workers is 0"),
        ("--workers=two", "--workers"),
        ("--scheduler=tcp://127.0.0.1:1", "no Dask scheduler answers at tcp://127.0.0.1:1"),
        ("--scheduler=", "an empty address"),
        ("--recipe=nowhere.yaml", "cannot read nowhere.yaml"),
        ("--colour", "--colour"),
        ("--seed=3", "unknown option --seed"),
    ],
)
def test_wrong_options_get_one_line(
    option: str,
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ddstructs.experiments.cluster.PATIENCE", 0.2)
    monkeypatch.setattr(sys, "argv", ["ddstructs", "reproduce", option])
    assert __main__.main() == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert expected in said.err
