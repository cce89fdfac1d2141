"""Suites beside the paper's: their recipes, and how their results are told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from matplotlib.figure import Figure
from tiny import TINY_SUITE, recipe_of

from ddstructs import InputError, __main__
from ddstructs.experiments import train
from ddstructs.experiments.plots import plot
from ddstructs.experiments.recipe import DEFAULT, read_recipe
from ddstructs.experiments.records import read_records
from ddstructs.experiments.results import group_of, render, summary
from ddstructs.experiments.runs import every_run
from ddstructs.experiments.suites import SUITES
from ddstructs.experiments.tables import drawing, render_suite, suite_summary

# Recipes.


def test_a_budget_counts_before_the_exceptions_and_the_default_one_changes_nothing(tmp_path: Path) -> None:
    recipe, run = recipe_of(tmp_path, TINY_SUITE), {"task": "EvenPairs", "memory": "Stack", "cell": "rnn"}
    assert recipe.settings(**run) == recipe.settings(DEFAULT, **run)
    assert recipe.settings(**run)["model"]["learning_rate"] == 0.1
    small = recipe.settings("small", **run)
    assert (small["model"]["learning_rate"], small["test"]["per_length"], small["test"]["step"]) == (0.2, 2, 3)
    assert "learning_rate" not in recipe.settings(**run | {"task": "ParityCheck"})["model"]
    with pytest.raises(InputError, match="--budget is large, but the recipe has default, small"):
        recipe.settings("large", **run)


@pytest.mark.parametrize(
    ("budgets", "message"),
    [
        ("[1]", "budgets is not a mapping"),
        ("{small: 3}", "the budget small: names with values were expected"),
        ("{small: {tset: {}}}", "the budget small: unknown setting 'tset'"),
        ("{small: {test: 3}}", "the budget small: .*test"),
        ("{small: {test: {step: 0}}}", "test in the budget small: step is 0"),
        ("{small: {training: {max_updates: 4}}}", "training in the budget small: max_updates is 4"),
    ],
)
def test_a_budget_of_another_form_is_refused(budgets: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        recipe_of(tmp_path, TINY_SUITE | {"budgets": yaml.safe_load(budgets)})


@pytest.mark.parametrize("name", SUITES)
def test_the_recipe_of_a_suite_fits_every_run_of_it(name: str) -> None:
    suite = SUITES[name]
    recipe, grid = read_recipe(suite.recipe), (suite.tasks, suite.memories, suite.cells, [0])
    runs = every_run(recipe, *grid, DEFAULT)
    train.check(runs)
    for budget in ("small", "published"):
        others = every_run(recipe, *grid, budget)
        for run, other in zip(runs, others, strict=True):
            same = {name: part for name, part in run.settings.items() if name not in ("training", "test")}
            assert other.settings == same | {name: other.settings[name] for name in ("training", "test")}
            assert other.settings["test"].get("metric") == run.settings["test"].get("metric")
        train.check(
            [*{str((run.task, run.settings["training"], run.settings["test"])): run for run in others}.values()]
        )
        published = [run.settings["test"].get("per_length") for run in others if budget == "published"]
        assert set(published) <= {{"chomsky": 512, "cfl": 100, "recognition": 250}.get(name)}


# Results.


def record(**values: Any) -> dict[str, Any]:
    scores = {"score_test": 1.0, "score_soft": 0.9, "score_train": 1.0}
    costs = {"updates": 100, "seconds": 7.0, "restarts": 0, "config": "c0ffee00", "commit": "abc"}
    return {"task": "ReverseString", "memory": "Stack", "cell": "rnn", "seed": 0} | scores | costs | values


def test_groups_with_failures_come_first_and_every_seed_counts() -> None:
    records = [
        record(seed=0),
        record(seed=1),
        record(seed=0, memory="Tape", score_test=0.995),
        record(seed=1, memory="Tape", score_test=0.5),
        {"task": "ReverseString", "memory": "Tape", "cell": "rnn", "seed": 2, "config": "c0ffee00", "error": "Oops"},
    ]
    asked = [("ReverseString", memory, "rnn", "c0ffee00") for memory in ("Stack", "Queue", "Tape")]
    columns, *rows = suite_summary(SUITES["chomsky"], records, asked)
    told = [dict(zip(columns, row, strict=True)) for row in rows]
    assert [row["memory"] for row in told] == ["Tape", "Stack"]
    assert (
        told[0]
        | {
            "seeds": "3",
            "at 1.0000": "0/3",
            "from 0.99": "1/3",
            "mean": "0.7475",
            "median": "0.7475",
            "best": "0.9950",
            "worst": "0.5000",
            "soft": "0.9000",
        }
        == told[0]
    )
    assert told[1]["at 1.0000"] == "2/2"
    assert all("Stack-RNN 1.000" in row["published"] and "LSTM 0.609" in row["published"] for row in told)
    curves = [{**record(), "val_score": [[1, 0.5]], "score": [[41.0, 1.0], [96.0, 0.5], [150.0, 0.25]]}]
    text = render_suite(SUITES["chomsky"], records, curves, asked, 5, 30, "ddstructs", [])
    assert "5 of 30 runs" in text
    assert "1 of them failed" in text
    assert "| ReverseString | Queue: rnn | RNN 0.620, " in text[text.index("Not run:") :]
    assert "| 0.7500 / 0.7500 | 0.2500 / 0.2500 |" in text
    assert "**best** of ten" in text
    assert "from memory of the paper" in text
    every = text[text.index("## Every seed") :].splitlines()
    assert [line.split("|")[4].strip() for line in every if line.startswith("| Rev")] == ["2", "1", "0", "0", "1"]


def test_seconds_on_a_gpu_are_told_apart() -> None:
    gpu = [record(seed=seed, seconds=second, device="NVIDIA H100") for seed, second in ((2, 1.0), (3, 2.0), (4, 6.0))]
    asked = [("ReverseString", "Stack", "rnn", "c0ffee00")]
    for records, expected in (
        ([record()], "7"),
        (gpu, "2 on NVIDIA H100"),
        ([record(), record(seed=1, seconds=9.0), *gpu], "8; 2 on NVIDIA H100"),
        ([], None),
    ):
        columns, *rows = suite_summary(SUITES["chomsky"], records, asked)
        assert [dict(zip(columns, row, strict=True))["seconds"] for row in rows] == [expected] * len(rows)
        assert bool(rows) == (expected is not None)
        text = render_suite(SUITES["chomsky"], records, [], asked, 1, 1, "ddstructs", [])
        assert ("| seconds | device | config |" in text) == bool(expected and "NVIDIA" in expected)
    paper = dict.fromkeys(("coarse_train", "fine_train", "coarse_test", "fine_test"), 1.0)
    runs = [{**each, **paper, "task": "Copying"} for each in (record(), *gpu)]
    columns, row = summary(SUITES["paper"], runs, [("Copying", "Stack", "rnn", "c0ffee00")])
    assert dict(zip(columns, row, strict=True))["seconds"] == "7.000 / 7.000; 2.000 / 6.000 on NVIDIA H100"
    assert "| NVIDIA H100 | c0ffee00 |" not in render(SUITES["paper"], runs[:1], [], 1, 1, "ddstructs", [])
    assert "| NVIDIA H100 | c0ffee00 |" in render(SUITES["paper"], runs, [], 1, 1, "ddstructs", [])


def test_a_long_name_of_a_gpu_cuts_nothing_in_a_terminal_of_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ddstructs.cli.reproduce import _print_table

    monkeypatch.setenv("COLUMNS", "80")
    name = "NVIDIA GeForce RTX 4090 Laptop GPU"
    records = [record(seed=0, seconds=240.0), record(seed=1, seconds=1105.0, device=name)]
    _print_table(SUITES["chomsky"], records, [("ReverseString", "Stack", "rnn", "c0ffee00")])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["task", "memory", "cell", "seeds", "mean", "worst", "updates", "seconds"]
    words = " ".join(lines[1:]).split()
    for word in ("Stack", "rnn", "1.0000", "240;", "1105", *name.split()):
        assert word in words


def test_the_text_of_a_record_is_text_in_a_terminal_a_page_and_a_plot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ddstructs.cli.reproduce import _print_table

    monkeypatch.setenv("COLUMNS", "200")
    names = ("[/red]", "[bold]x", ":bug:", "<b>|</b>")
    records = [record(seed=seed, device=name) for seed, name in enumerate(names)]
    asked = [("ReverseString", "Stack", "rnn", "c0ffee00")]
    _print_table(SUITES["chomsky"], records, asked)
    said = capsys.readouterr().out
    text = render_suite(SUITES["chomsky"], records, [], asked, 1, 1, "ddstructs", [])
    for name in names:
        assert f"7 on {name}" in said
    assert text.count("7 on &lt;b&gt;&#124;&lt;/b&gt;") == 1
    assert "<b>" not in text
    assert [path.name for path in plot([record(task=r"$\frac$", memory="$_$")], [], tmp_path)] == ["success.png"]


def panels_of(pairs: list[tuple[str, str]], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """The axes of each picture of runs of tasks and memories."""
    figures, save = [], Figure.savefig

    def keep(figure: Figure, *rest: Any, **more: Any) -> None:
        figures.append(figure.axes)
        save(figure, *rest, **more)

    monkeypatch.setattr(Figure, "savefig", keep)
    records = [record(task=task, memory=memory) for task, memory in pairs]
    curves = [{**each, "val_score": [[1, 0.5]], "score": [[44.5, 0.1], [84.5, 0.3]]} for each in records]
    plot(records, curves, folder, **drawing(SUITES["chomsky"]))
    return figures


def test_only_what_was_run_has_a_panel_and_a_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks, memories = ["ReverseString", "OddsFirst", "BinarySum"], ["Stack", "Queue", "Tape"]
    full = [(task, memory) for task in tasks for memory in memories]
    for pairs, rows in ((full[:1], [1]), (full[:7], [5, 2]), (full, [3, 3, 3])):
        (bars,), learning, lengths = panels_of(pairs, tmp_path, monkeypatch)
        assert [tick.get_text() for tick in bars.get_yticklabels()] == [f"{memory}, rnn" for _, memory in pairs]
        assert [text.get_text() for text in bars.texts if text.get_text() != "1/1"] == tasks[: -(-len(pairs) // 3)]
        for panels in (learning, lengths):
            assert [tuple(axes.get_title().split("\n")) for axes in panels] == pairs
            tops = [axes.get_position().y0 for axes in panels]
            assert [tops.count(top) for top in sorted(set(tops), reverse=True)] == rows
            for i, axes in enumerate(panels):
                lowest = i + rows[0] >= len(pairs)
                assert axes.xaxis.get_tick_params()["labelbottom"] == (lowest or panels is learning)


def test_smaller_scores_are_better_where_the_suite_says_so() -> None:
    records = [record(task="DyckModel", seed=seed, score_test=score) for seed, score in enumerate((0.004, 0.015, 0.3))]
    asked = [("DyckModel", "Stack", "rnn", "c0ffee00")]
    columns, row = suite_summary(SUITES["cfl"], records, asked)
    told = dict(zip(columns, row, strict=True))
    assert (told["up to 0.005"], told["up to 0.02"], told["up to 0.1"]) == ("1/3", "2/3", "2/3")
    assert (told["best"], told["worst"], told["published"]) == ("0.0040", "0.3000", "")
    curves = [{**each, "val_score": [[1, -0.5]], "score": [[44.5, 0.1], [84.5, 0.3]]} for each in records]
    text = render_suite(SUITES["cfl"], records, curves, asked, 3, 3, "ddstructs", [])
    assert "smaller is better" in text
    assert "| 33..48 | 81..96 |" in text
    every = text[text.index("## Every seed") :].splitlines()
    assert [line.split("|")[4].strip() for line in every if line.startswith("| Dyck")] == ["2", "1", "0"]


@pytest.mark.parametrize(("suite", "task"), [("cfl", "MarkedReversalModel"), ("recognition", "FirstRecognition")])
def test_the_other_suites_are_reproduced(suite: str, task: str, tmp_path: Path) -> None:
    recipe = json.loads(json.dumps(TINY_SUITE))
    recipe["defaults"]["test"]["metric"] = "excess" if suite == "cfl" else "accuracy"
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(recipe))
    options = [f"--suite={suite}", f"--tasks={task}", "--memories=Stack", "--cells=rnn", "--seeds=0"]
    with pytest.MonkeyPatch.context() as patch:
        arguments = ["ddstructs", "reproduce", *options, f"--recipe={tmp_path / 'small.yaml'}", f"--out={tmp_path}"]
        patch.setattr(sys, "argv", arguments)
        assert __main__.main() == 0
    assert len(read_records(tmp_path / f"{suite}.jsonl")) == 1
    assert SUITES[suite].title in (tmp_path / "RESULTS.md").read_text()


def test_the_grammars_at_natural_lengths_are_scored_as_the_paper_is(tmp_path: Path) -> None:
    recipe = json.loads(json.dumps(TINY_SUITE))
    recipe["defaults"]["data"] |= {"length_distribution": "natural", "eval_batch_size": 30}
    recipe["defaults"]["test"] = {"size": 40, "lengths": [9, 15]}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(recipe))
    options = ["--suite=natural", "--memories=Queue", "--cells=rnn", "--seeds=0"]
    with pytest.MonkeyPatch.context() as patch:
        arguments = ["ddstructs", "reproduce", *options, f"--recipe={tmp_path / 'small.yaml'}", f"--out={tmp_path}"]
        patch.setattr(sys, "argv", arguments)
        assert __main__.main() == 0
    records = read_records(tmp_path / "natural.jsonl")
    assert [each["task"] for each in records] == ["GenderConjugation", "SVOtoSOV"]
    assert all({"coarse_train", "fine_train", "coarse_test", "fine_test"} <= each.keys() for each in records)
    text = (tmp_path / "RESULTS.md").read_text()
    assert f"# Results: {SUITES['natural'].title}" in text
    assert "Lengths have the probabilities that the grammar gives them" in text
    assert "sentences of up to 8 words and tested on 40 others" in text
    assert "| 1.00 / 1.00 |" in text  # the queue of the paper


def test_success_is_judged_by_the_lengths_that_the_suite_names() -> None:
    scores = {"coarse_train": 0.995, "fine_train": 1.0, "coarse_test": 0.2, "fine_test": 0.9}
    run = {"task": "SVOtoSOV", "memory": "Queue", "cell": "lstm", "seed": 0, "config": "c0ffee00"} | scores
    for suite, success in (("natural", "1/1"), ("paper", "0/1")):
        columns, row = summary(SUITES[suite], [run | {"updates": 100, "seconds": 7.0}], [group_of(run)])
        assert dict(zip(columns, row, strict=True))["success"] == success
        assert drawing(SUITES[suite])["succeeds"](run) is (suite == "natural")


def test_a_suite_is_reproduced_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(TINY_SUITE))
    options = ["--suite=chomsky", "--tasks=ReverseString,EvenPairs", "--memories=Stack", "--cells=rnn"]
    options += [f"--recipe={tmp_path / 'small.yaml'}", f"--out={tmp_path / 'out'}"]
    for seeds, count in (("--seeds=0", 2), ("--seeds=0-1", 4)):
        monkeypatch.setattr(sys, "argv", ["ddstructs", "reproduce", *options, seeds])
        before = {path: path.stat() for path in (tmp_path / "out").glob("cells/*/record.json")}
        assert __main__.main() == 0
        assert {path: path.stat() for path in before} == before
        records = read_records(tmp_path / "out" / "chomsky.jsonl")
        assert len(records) == count
    assert {record["score_soft"] <= 1 for record in records} == {True}
    said = capsys.readouterr().out
    assert "chomsky.jsonl" in said
    for task in ("ReverseString", "EvenPairs"):
        worst = min(record["score_test"] for record in records if record["task"] == task)
        assert f" {worst:.4f} " in said, "a narrow terminal cuts no figure"
    assert "# Results: the Chomsky suite" in (tmp_path / "out/RESULTS.md").read_text()
    curves = read_records(tmp_path / "out/curves.jsonl")
    assert all([at for at, _ in curve["val_score"]] == [3, 6] for curve in curves)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"score_test": "good"}, "score_test is 'good', but a number was expected"),
        ({"score_train": None}, "score_train is 'None', but a number"),
    ],
)
def test_a_damaged_record_of_a_suite_is_refused(damage: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "chomsky.jsonl").write_text(json.dumps(record() | damage) + "\n")
    with pytest.raises(InputError, match=message):
        read_records(tmp_path / "chomsky.jsonl")
