"""The runs of suites: training, rounding, layers, fresh starts, and tests length by length."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator
from tiny import TINY_SUITE, recipe_of

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
)
from ddstructs.experiments import build, curve, train
from ddstructs.experiments.engine import Serial
from ddstructs.experiments.measure import answers
from ddstructs.experiments.runs import Run, every_run
from ddstructs.experiments.store import CHECKPOINT, Store
from ddstructs.experiments.work import train_and_test
from ddstructs.tasks import IGNORE, Reversal, ReverseString
from ddstructs.training import learner
from ddstructs.training.restarts import start_afresh


def silent(words: str) -> None:
    """A report that nobody reads."""


def small_run(folder: Path, seed: int = 0) -> Run:
    return every_run(recipe_of(folder, TINY_SUITE), ["ReverseString"], ["Stack"], ["rnn"], [seed])[0]


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
    done = train.execute(small_run(tmp_path), "cpu", silent)
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


def test_a_worker_without_a_gpu_stops_the_work_instead_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for accelerator in (CUDAAccelerator, MPSAccelerator):
        monkeypatch.setattr(accelerator, "is_available", lambda: False)
    run, store = small_run(tmp_path), Store(tmp_path / "out", "chomsky")
    with pytest.raises(InputError, match=r"--accelerator is gpu, but torch finds no GPU on .*: use cpu"):
        list(train_and_test([run], store, Serial(silent, lambda: None), "gpu"))
    assert not store.is_done(run), "the run is not told as failed"


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
    recipe = json.loads(json.dumps(TINY_SUITE))
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
    done = train.execute(run, "cpu", silent)
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
    run = every_run(recipe_of(tmp_path, TINY_SUITE), ["ReverseString"], ["Stack"], ["layers"], [0])[0]
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


def test_hard_is_set_in_every_memory_and_is_a_bool() -> None:
    model = SequenceModel(Stack(4), 3, 3, ["memory", "attention", "memory"], embed_dim=8)
    assert not model.hard
    model.hard = True
    assert model.hard
    assert [module.hard for module in model.memory_modules] == [True, True]
    model.memory_modules[1].hard = False
    assert not model.hard
    wrong: Any = "false"
    with pytest.raises(TypeError, match="hard is 'false', but True or False was expected"):
        model.hard = wrong
    bare = SequenceModel(NoMemory(), 3, 3, ["attention"], embed_dim=8)
    bare.hard = True
    assert not bare.hard, "there is nothing to round"


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
    recipe = json.loads(json.dumps(TINY_SUITE))
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
    recipe = json.loads(json.dumps(TINY_SUITE))
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
    recipe = json.loads(json.dumps(TINY_SUITE))
    recipe["defaults"]["training"] |= {"max_updates": 12, "validate_every": 12, "fresh_after": 12, "fresh_below": 1.1}
    run = every_run(recipe_of(tmp_path, recipe), ["ReverseString"], ["Stack"], ["rnn"], [0])[0]
    trained = train.fit(run, tmp_path, silent)
    model = build.restore(run, Path(trained.checkpoint), hard=True)
    task = build.task_of(run, val_lengths=(1, 12), eval_size=10)
    scores = Trainer(logger=False, enable_progress_bar=False).validate(model, task, verbose=False)
    assert scores[0]["val_score"] == pytest.approx(trained.score)


@pytest.mark.parametrize(
    ("task", "metric", "below", "message"),
    [
        (
            "ReverseString",
            "symbols",
            90,
            "fresh_below is 90, but no validation score of ReverseString is above 1, so that",
        ),
        ("DyckModel", "excess", 0.2, "fresh_below is 0.2, but no validation score of DyckModel is above -0.6"),
        ("DyckModel", "excess", -0.2, "fresh_below is -0.2, but no validation score of DyckModel is above -0.6"),
        ("ReverseString", "symbols", 1.0, None),
        ("DyckModel", "excess", -0.8, None),
    ],
)
def test_a_bound_that_no_start_can_reach_is_refused(
    task: str, metric: str, below: float, message: str | None, tmp_path: Path
) -> None:
    recipe = json.loads(json.dumps(TINY_SUITE))
    recipe["defaults"]["training"] |= {"fresh_after": 3, "fresh_below": below}
    recipe["defaults"]["test"]["metric"] = metric
    runs = every_run(recipe_of(tmp_path, recipe), [task], ["Stack"], ["rnn"], [0])
    if message is None:
        train.check(runs)
        return
    with pytest.raises(InputError, match=message):
        train.check(runs)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"fresh_after": 3}, "fresh_after is 3 and fresh_below is None: set both, or neither"),
        ({"fresh_below": 0.5}, "fresh_after is None and fresh_below is 0.5: set both, or neither"),
        ({"fresh_after": 2, "fresh_below": 0.5}, "fresh_after is 2, before the first validation: .* validate_every, 3"),
        ({"fresh_after": 3, "fresh_below": float("nan")}, "fresh_below is nan, but a finite score was expected"),
        ({"fresh_after": 3, "fresh_below": float("inf")}, "fresh_below is inf, but a finite score was expected"),
    ],
)
def test_half_a_rule_of_fresh_starts_is_refused(training: dict[str, Any], message: str, tmp_path: Path) -> None:
    recipe = json.loads(json.dumps(TINY_SUITE))
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
    recipe = json.loads(json.dumps(TINY_SUITE))
    recipe["defaults"]["test"] |= {"metric": metric, "rounded": False} | more
    run = every_run(recipe_of(tmp_path, recipe), [task], ["Stack"], ["rnn"], [0])[0]
    if not lengths:
        with pytest.raises(InputError, match=f"fit {task}: it has no strings of the test lengths 9, 11, 13, 15"):
            train.check([run])
        return
    train.check([run])
    done = train.execute(run, "cpu", silent)
    points = json.loads(done.files["lengths.json"])
    assert [at["length"] for at in points] == lengths
    scores = [at["score"] for at in points]
    assert done.record["score_test"] == pytest.approx(sum(scores) / len(scores), abs=1e-4)
    assert "score_soft" not in done.record


def test_a_metric_that_the_task_does_not_have_is_refused(tmp_path: Path) -> None:
    recipe = json.loads(json.dumps(TINY_SUITE))
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
