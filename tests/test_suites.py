"""Suites beside the paper's: their recipes, tests length by length, and how their results are told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import yaml
from pytorch_lightning import Trainer
from tiny import recipe_of

from ddstructs import (
    Controller,
    Deque,
    InputError,
    Memory,
    NoMemory,
    Queue,
    SequenceModel,
    Stack,
    SuperpositionStack,
    __main__,
)
from ddstructs.experiments import curve, train
from ddstructs.experiments.measure import answers
from ddstructs.experiments.recipe import DEFAULT, read_recipe
from ddstructs.experiments.records import read_records
from ddstructs.experiments.results import group_of, summary
from ddstructs.experiments.runs import Run, every_run
from ddstructs.experiments.store import CHECKPOINT
from ddstructs.experiments.suites import SUITES
from ddstructs.experiments.tables import drawing, render_suite, suite_summary
from ddstructs.tasks import IGNORE, Reversal, ReverseString
from ddstructs.training import learner
from ddstructs.training.restarts import start_afresh

SMALL: dict[str, Any] = {
    "defaults": {
        "memory": {"width": 4},
        "model": {"hidden_size": 8, "embedding_size": 8},
        "data": {"train_lengths": [1, 8], "batch_size": 4, "eval_batch_size": 3},
        "training": {
            "max_updates": 6,
            "validate_every": 3,
            "validation_size": 10,
            "validation_lengths": [1, 12],
            "rounded": True,
        },
        "test": {"metric": "symbols", "size": 20, "lengths": [9, 15], "per_length": 5, "step": 3, "rounded": True},
    },
    "exceptions": [{"where": {"task": "EvenPairs, ReverseString"}, "because": "x", "model": {"learning_rate": 0.1}}],
    "budgets": {"small": {"test": {"per_length": 2}, "model": {"learning_rate": 0.2}}},
}


def silent(words: str) -> None:
    """A report that nobody reads."""


def small_run(folder: Path, seed: int = 0) -> Run:
    return every_run(recipe_of(folder, SMALL), ["ReverseString"], ["Stack"], ["rnn"], [seed])[0]


def share_right(model: Controller | SequenceModel, n: int, rows: int) -> float:
    """The share of symbols that are right at a length, counted one by one."""
    shares = []
    for batch in ReverseString(test_lengths=(n, n), eval_size=rows).test_dataloader():
        answers = model(batch.inputs).argmax(-1).tolist()
        for answer, target in zip(answers, batch.targets.tolist(), strict=True):
            right = [a == b for a, b in zip(answer, target, strict=True) if b != IGNORE]
            shares.append(sum(right) / n)
    return float(sum(shares) / len(shares))


def test_the_score_is_the_mean_over_the_lengths_with_the_signals_rounded(tmp_path: Path) -> None:
    done = train.execute(small_run(tmp_path), silent)
    (tmp_path / "best.ckpt").write_bytes(done.files["model/best.ckpt"])
    points = json.loads(done.files["lengths.json"])
    assert [(at["length"], at["sequences"]) for at in points] == [(9, 5), (12, 5), (15, 5)]
    with torch.no_grad():
        for name, hard in (("score_test", True), ("score_soft", False)):
            model = Controller.load_from_checkpoint(tmp_path / "best.ckpt", hard=hard).eval()
            scores = [share_right(model, n, 5) for n in (9, 12, 15)]
            assert done.record[name] == pytest.approx(sum(scores) / 3, abs=1e-6)
            if hard:
                assert [at["score"] for at in points] == pytest.approx(scores, abs=1e-4)
    assert 0 <= done.record["score_train"] <= 1
    assert not model.rnn.hard


def test_a_run_is_one_process_within_a_job_of_slurm_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = train.score_of(small_run(tmp_path), silent)
    for name, value in {"NTASKS": "2", "JOB_NAME": "study", "JOB_ID": "7", "PROCID": "1", "LOCALID": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert train.score_of(small_run(tmp_path), silent).score == alone.score


def test_validation_rounds_the_signals_and_training_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[bool]] = {"train": set(), "val": set()}
    score = Controller._score

    def watch(self: Controller, split: Any, batch: Any) -> Any:
        seen[split].add(self.rnn.hard)
        return score(self, split, batch)

    monkeypatch.setattr(Controller, "_score", watch)
    train.fit(small_run(tmp_path), tmp_path, silent)
    assert seen == {"train": {False}, "val": {True}}


def layered(folder: Path, memory: str, layers: list[str]) -> Run:
    """A small run whose cell is `layers`."""
    recipe = json.loads(json.dumps(SMALL))
    sizes = {"layers": layers, "embed_dim": 8, "hidden_size": None, "embedding_size": None}
    more = {"memory": {"width": None}} if memory == "NoMemory" else {}
    recipe["exceptions"].append({"where": {"model": "SequenceModel"}, "because": "x", "model": sizes} | more)
    return every_run(recipe_of(folder, recipe), ["ReverseString"], [memory], ["layers"], [0])[0]


@pytest.mark.parametrize("memory", ["Stack", "Queue+Stack", "SuperpositionStack", "NoMemory"])
def test_a_network_of_layers_is_trained_and_tested_as_one_with_a_cell_is(memory: str, tmp_path: Path) -> None:
    layers = ["attention"] if memory == "NoMemory" else ["memory", "attention"]
    run = layered(tmp_path, memory, layers)
    assert "learning_rate" not in run.settings["model"]  # an exception that names no model is for a Controller
    train.check([run])
    done = train.execute(run, silent)
    (tmp_path / "model.ckpt").write_bytes(done.files[CHECKPOINT])
    model = SequenceModel.load_from_checkpoint(tmp_path / "model.ckpt", hard=True)
    assert [type(block.layer).__name__ for block in cast("list[Any]", model.blocks)] == [
        {"attention": "CausalAttention", "memory": "MemoryLayer"}[layer] for layer in layers
    ]
    lengths = json.loads(done.files["lengths.json"])
    assert [line["length"] for line in lengths] == [9, 12, 15]
    model.eval()
    assert [line["score"] for line in lengths] == [round(share_right(model, n, 5), 4) for n in (9, 12, 15)]


def test_layers_that_the_recipe_does_not_list_are_asked_for(tmp_path: Path) -> None:
    run = every_run(recipe_of(tmp_path, SMALL), ["ReverseString"], ["Stack"], ["layers"], [0])[0]
    with pytest.raises(InputError, match=r"no layers for Stack on ReverseString: .* where: \{model: SequenceModel\}"):
        train.check([run])


def test_the_signals_of_every_layer_are_rounded_in_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[tuple[bool, ...]]] = {"train": set(), "val": set()}
    score = SequenceModel._score

    def watch(self: SequenceModel, split: Any, batch: Any) -> Any:
        seen[split].add(tuple(module.hard for module in self.memory_modules))
        return score(self, split, batch)

    monkeypatch.setattr(SequenceModel, "_score", watch)
    train.fit(layered(tmp_path, "Stack", ["memory", "memory"]), tmp_path, silent)
    assert seen == {"train": {(False, False)}, "val": {(True, True)}}


def test_after_the_curriculum_each_nth_batch_of_training_is_rounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[bool, list[bool]] = {False: [], True: []}
    score = Controller._score

    def watch(self: Controller, split: Any, batch: Any) -> Any:
        if split == "train":
            assert self.task is not None
            seen[self.task.stages.finished].append(self.rnn.hard)
        return score(self, split, batch)

    monkeypatch.setattr(Controller, "_score", watch)
    recipe = json.loads(json.dumps(SMALL))
    recipe["defaults"]["training"] |= {"rounded_every": 3, "max_updates": 18}
    recipe["defaults"]["data"] |= {"start_length": 8, "threshold": 0.01}
    run = every_run(recipe_of(tmp_path, recipe), ["ReverseString"], ["Stack"], ["rnn"], [0])[0]
    train.fit(run, tmp_path, silent)
    assert seen[False] == [False]
    assert seen[True] == [step % 3 == 0 for step in range(1, 18)]


def judged(folder: Path, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any], **training: Any) -> list[int]:
    """The updates after which a run of 30 updates, with a validation every third, begins afresh."""
    begun: list[int] = []

    def watch(model: Controller, restarts: int, seed: int) -> None:
        start_afresh(model, restarts, seed)
        assert restarts == len(begun) + 1
        begun.append(model.trainer.global_step)

    for module in (curve, learner):
        monkeypatch.setattr(module, "start_afresh", watch)
    recipe = json.loads(json.dumps(SMALL))
    recipe["defaults"]["training"] |= {"max_updates": 30} | training
    recipe["defaults"]["data"] |= data
    run = every_run(recipe_of(folder, recipe), ["ReverseString"], ["Stack"], ["rnn"], [0])[0]
    assert train.fit(run, folder, silent).restarts == len(begun)
    return begun


@pytest.mark.parametrize("data", [{"start_length": 8, "threshold": 0.01}, {"curriculum": False}])
def test_a_start_that_validation_finds_wrong_is_given_up(
    data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert judged(tmp_path, monkeypatch, data, fresh_after=9, fresh_below=1.1) == [9, 18, 27]


def test_a_start_that_validation_has_found_right_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"start_length": 8, "threshold": 0.01}
    assert judged(tmp_path, monkeypatch, data, fresh_after=9, fresh_below=0.01) == []


def test_a_start_is_judged_by_the_updates_since_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"start_length": 8, "threshold": 0.9999, "patience": 4}  # 4 batches, 4, and then 8
    assert judged(tmp_path, monkeypatch, data, fresh_after=7, fresh_below=1.1) == [4, 8, 15, 22, 29]


def test_the_weights_that_are_tested_are_those_of_the_best_validation_before_a_fresh_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = json.loads(json.dumps(SMALL))
    recipe["defaults"]["training"] |= {"max_updates": 12, "validate_every": 12, "fresh_after": 12, "fresh_below": 1.1}
    run = every_run(recipe_of(tmp_path, recipe), ["ReverseString"], ["Stack"], ["rnn"], [0])[0]
    trained = train.fit(run, tmp_path, silent)
    model = train._restore(run, Path(trained.checkpoint), hard=True)
    task = train._task(run, val_lengths=(1, 12), eval_size=10)
    scores = Trainer(logger=False, enable_progress_bar=False).validate(model, task, verbose=False)
    assert scores[0]["val_score"] == pytest.approx(trained.score)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"fresh_after": 3}, "fresh_after is 3 and fresh_below is None: set both, or neither"),
        ({"fresh_below": 0.5}, "fresh_after is None and fresh_below is 0.5: set both, or neither"),
        ({"fresh_after": 2, "fresh_below": 0.5}, "fresh_after is 2, before the first validation: .* validate_every, 3"),
    ],
)
def test_half_a_rule_of_fresh_starts_is_refused(training: dict[str, Any], message: str, tmp_path: Path) -> None:
    recipe = json.loads(json.dumps(SMALL))
    recipe["defaults"]["training"] |= training
    with pytest.raises(InputError, match=message):
        train.check(every_run(recipe_of(tmp_path, recipe), ["ReverseString"], ["Stack"], ["rnn"], [0]))


@pytest.mark.parametrize(
    ("task", "metric", "more", "lengths"),
    [
        ("MarkedReversalModel", "excess", {"step": 1}, [9, 11, 13, 15]),
        ("UnmarkedReversalModel", "excess", {"step": 2}, []),
        ("MarkedReversalRecognition", "accuracy", {"step": 2, "stretch": 2}, [9, 11, 13, 15]),
        ("UnmarkedReversalRecognition", "accuracy", {"step": 4, "stretch": 4}, [10, 14]),
    ],
)
def test_lengths_that_no_string_has_are_left_out(
    task: str, metric: str, more: dict[str, int], lengths: list[int], tmp_path: Path
) -> None:
    recipe = json.loads(json.dumps(SMALL))
    recipe["defaults"]["test"] |= {"metric": metric, "rounded": False} | more
    run = every_run(recipe_of(tmp_path, recipe), [task], ["Stack"], ["rnn"], [0])[0]
    if not lengths:
        with pytest.raises(InputError, match=f"fit {task}: it has no strings of the test lengths 9, 11, 13, 15"):
            train.check([run])
        return
    train.check([run])
    done = train.execute(run, silent)
    points = json.loads(done.files["lengths.json"])
    assert [at["length"] for at in points] == lengths
    scores = [at["score"] for at in points]
    assert done.record["score_test"] == pytest.approx(sum(scores) / len(scores), abs=1e-4)
    assert "score_soft" not in done.record


def test_a_metric_that_the_task_does_not_have_is_refused(tmp_path: Path) -> None:
    recipe = json.loads(json.dumps(SMALL))
    recipe["defaults"]["test"]["metric"] = "beauty"
    run = every_run(recipe_of(tmp_path, recipe), ["ReverseString"], ["Stack"], ["rnn"], [0])[0]
    with pytest.raises(InputError, match="ReverseString has no metric beauty: choose from loss, coarse, fine, symbols"):
        train.check([run])


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
@pytest.mark.parametrize("memory", [Stack(4), Queue(4), Deque(4), SuperpositionStack(4), NoMemory()])
def test_a_sequence_read_in_pieces_has_the_answers_of_the_whole(memory: Memory, cell: Any) -> None:
    task = Reversal(symbols=4, test_lengths=(5, 9), eval_size=6)
    model = Controller(memory, task.input_symbols, task.output_symbols, cell=cell, hidden_size=8, hard=True).eval()
    for batch in task.test_dataloader():
        with torch.no_grad():
            whole = model(batch.inputs).argmax(dim=-1)
        for steps in (1, 4, 100):
            assert torch.equal(answers(model, batch.inputs, steps), whole)


# Recipes.


def test_a_budget_counts_before_the_exceptions_and_the_default_one_changes_nothing(tmp_path: Path) -> None:
    recipe, run = recipe_of(tmp_path, SMALL), {"task": "EvenPairs", "memory": "Stack", "cell": "rnn"}
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
        recipe_of(tmp_path, SMALL | {"budgets": yaml.safe_load(budgets)})


@pytest.mark.parametrize("budget", [DEFAULT, "small", "published"])
@pytest.mark.parametrize("name", SUITES)
def test_the_recipe_of_a_suite_fits_every_run_of_it(name: str, budget: str) -> None:
    suite = SUITES[name]
    runs = every_run(read_recipe(suite.recipe), suite.tasks, suite.memories, suite.cells, [0], budget)
    train.check(runs)
    published = [run.settings["test"].get("per_length") for run in runs if budget == "published"]
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
    assert "| 41..60 | 81..100 |" in text
    every = text[text.index("## Every seed") :].splitlines()
    assert [line.split("|")[4].strip() for line in every if line.startswith("| Dyck")] == ["2", "1", "0"]


@pytest.mark.parametrize(("suite", "task"), [("cfl", "MarkedReversalModel"), ("recognition", "FirstRecognition")])
def test_the_other_suites_are_reproduced(suite: str, task: str, tmp_path: Path) -> None:
    recipe = json.loads(json.dumps(SMALL))
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
    recipe = json.loads(json.dumps(SMALL))
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
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
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
