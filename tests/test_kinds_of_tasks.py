"""The kinds of tasks other than transduction, compared with plain Python, and a controller on each."""

import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from controllers import trainer
from hypothesis import given
from hypothesis import strategies as st
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything

from ddstructs import Controller, InputError, Memory, MemoryLayer, NoMemory, SequenceModel, Stack, trace
from ddstructs.tasks import (
    IGNORE,
    Batch,
    Copying,
    Generated,
    MarkedReversalModel,
    MarkedReversalRecognition,
    ReverseString,
    Task,
)
from ddstructs.tasks.batches import Batches
from ddstructs.tasks.marked_reversal import MARKED_REVERSAL
from ddstructs.tasks.task import Goal
from ddstructs.training.stopping import Finished, summary

KINDS: list[type[Generated]] = [ReverseString, MarkedReversalModel, MarkedReversalRecognition]

SMALL: dict[str, Any] = {"train_lengths": (1, 9), "test_lengths": (5, 12), "batch_size": 4, "eval_size": 60, "seed": 3}


def controller(task: Task, memory: Memory | None = None, **settings: Any) -> Controller:
    seed_everything(0, verbose=False)
    given: dict[str, Any] = {"hidden_size": 16, "embedding_size": 8} | settings
    return Controller(memory or Stack(4), task.input_symbols, task.output_symbols, **given)


def is_marked_reversal(text: str) -> bool:
    w, _, v = text.partition("#")
    return text.count("#") == 1 and v == w[::-1]


def strings(task: Generated, batch: Batch) -> list[str]:
    """The strings in a batch, as text."""
    cut = zip(batch.inputs.tolist(), task.lengths(batch).tolist(), strict=True)
    return ["".join(map(task.input_name, row[1 : 1 + n])) for row, n in cut]


def asked(batch: Batch) -> list[list[int]]:
    return [[symbol for symbol in row if symbol != IGNORE] for row in batch.targets.tolist()]


@given(st.lists(st.text("01", min_size=1, max_size=8), min_size=1, max_size=5))
def test_a_string_is_reversed_at_blanks(texts: list[str]) -> None:
    task = ReverseString()
    batch = task.assemble(*task.sources(texts))
    width = max(map(len, texts))
    for text, inputs, targets, steps in zip(texts, *(part.tolist() for part in batch), strict=True):
        n = len(text)
        assert "".join(map(task.input_name, inputs[1 : 1 + n])) == text
        assert inputs == [0, *inputs[1 : 1 + n], *[1] * n, *[0] * 2 * (width - n)]
        assert targets == [IGNORE] * (1 + n) + [int(c) for c in text[::-1]] + [IGNORE] * 2 * (width - n)
        assert steps == 1 + 2 * n
        assert task.answer([*map(int, text)]) == text


@given(st.lists(st.text("01#", max_size=9), min_size=1, max_size=6))
def test_the_language_accepts_what_plain_python_does(texts: list[str]) -> None:
    task = MarkedReversalRecognition()
    source, lengths = task.sources([*texts, "01#10"])
    expected = [is_marked_reversal(text) for text in [*texts, "01#10"]]
    assert MARKED_REVERSAL.accepts(source, lengths).tolist() == expected
    assert asked(task.assemble(source, lengths)) == [[int(label)] for label in expected]


@given(low=st.integers(1, 12), more=st.integers(0, 9), seed=st.integers(0, 99))
def test_what_the_language_draws_is_of_it_and_of_its_lengths(low: int, more: int, seed: int) -> None:
    task = MarkedReversalModel()
    source, lengths = task.draw(20, (low, low + more), torch.Generator().manual_seed(seed))
    assert MARKED_REVERSAL.accepts(source, lengths).all()
    odd = [n for n in range(low, low + more + 1) if n % 2]
    assert set(lengths.tolist()) <= set(odd or [low + more + 1])


@given(st.lists(st.text("01#", max_size=9), min_size=1, max_size=5))
def test_a_language_model_is_asked_for_the_next_symbol_and_the_end(texts: list[str]) -> None:
    task = MarkedReversalModel()
    batch = task.assemble(*task.sources(texts))
    assert strings(task, batch) == texts
    for text, row in zip(texts, asked(batch), strict=True):
        assert [task.output_name(symbol) for symbol in row] == [*text, "</s>"]
    assert batch.lengths.tolist() == [len(text) + 1 for text in texts]


def test_the_floor_is_the_loss_of_the_true_distribution() -> None:
    """Summed over the strings of the set: ln 2 for each free bit, and once for the length, one of five in training."""
    task = MarkedReversalModel(**SMALL, val_lengths=(3, 8))
    for split, loader in (("val", task.val_dataloader()), ("test", task.test_dataloader())):
        texts = [text for batch in loader for text in strings(task, batch)]
        nats = sum(len(text) // 2 * math.log(2) + math.log(5) for text in texts)
        assert task.floor(split) == pytest.approx(nats / sum(len(text) + 1 for text in texts))  # type: ignore[arg-type]
    assert task.floor("train") is None


def test_a_language_model_is_validated_on_the_lengths_of_training() -> None:
    task = MarkedReversalModel(**SMALL)
    assert {n for batch in task.val_dataloader() for n in task.lengths(batch).tolist()} == {1, 3, 5, 7, 9}


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_a_task_is_a_source_and_other_text_is_refused(kind: type[Generated]) -> None:
    task = kind()
    batch = task.assemble(*task.sources([task.example]))
    assert strings(task, batch) == [task.example]
    with pytest.raises(InputError, match="x"):
        task.encode("x")


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_is_one_stream_and_the_sets_are_fixed(kind: type[Generated]) -> None:
    def drawn(**settings: Any) -> tuple[list[Any], list[Any]]:
        given: dict[str, Any] = SMALL | {"batches_per_epoch": 3} | settings
        task = kind(**given)
        train, test = ([part.tolist() for b in loader for part in b] for loader in loaders(task))
        return train, test

    def loaders(task: Generated) -> tuple[Batches, Batches]:
        return task.train_dataloader(), task.test_dataloader()

    first, twin, other = drawn(), drawn(), drawn(seed=4)
    assert first == twin
    assert first[0] != other[0]
    assert first[1] == other[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_controller_is_scored_in_the_way_of_the_task(kind: type[Generated], tmp_path: Path) -> None:
    task = kind(**SMALL)
    model = controller(task)
    fitted = trainer(tmp_path, max_steps=2, max_epochs=1)
    fitted.fit(model, task)
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    result = trainer(tmp_path).test(model, task, verbose=False)[0]
    batches = [*task.test_dataloader()]
    again = Controller.load_from_checkpoint(tmp_path / "a.ckpt")
    with torch.no_grad():
        right = [again(b.inputs).argmax(-1)[b.targets != IGNORE] == b.targets[b.targets != IGNORE] for b in batches]
        losses = [
            torch.nn.functional.cross_entropy(again(b.inputs).transpose(1, 2), b.targets, reduction="sum")
            for b in batches
        ]
    loss = float(sum(losses)) / sum(len(each) for each in right)
    assert result["test_loss"] == pytest.approx(loss, rel=1e-5)
    assert {name for name in result if "distance" not in name} == {
        "test_loss",
        *(f"test_{name}" for name in task.metrics),
        *(["test_excess"] if kind is MarkedReversalModel else []),
    }
    if kind is MarkedReversalModel:
        floor = task.floor("test")
        assert floor is not None
        assert result["test_excess"] == pytest.approx(loss - floor, rel=1e-4)
    if kind is MarkedReversalRecognition:
        assert result["test_accuracy"] == pytest.approx(float(torch.cat(right).float().mean()))
    longer = pytest.warns(UserWarning, match="longer than any in validation")  # as with a language model
    with longer if kind is MarkedReversalModel else nullcontext():
        outputs = trainer(tmp_path).predict(model, task)
    assert outputs is not None
    for output, batch in zip(outputs, batches, strict=True):
        assert torch.equal(torch.as_tensor(output) != IGNORE, batch.targets != IGNORE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_controller_is_traced_as_it_answers(kind: type[Generated]) -> None:
    task = kind()
    seen = trace(controller(task), task.example, task=task)
    batch = task.assemble(*task.sources([task.example]))
    assert seen.lengths.tolist() == batch.lengths.tolist()
    assert [bool(text) for text in seen.output_text[0]] == (batch.targets[0] != IGNORE).tolist()


def test_a_task_with_data_of_its_own_needs_no_more_than_its_loaders(tmp_path: Path) -> None:
    class Given(Task):
        input_symbols = output_symbols = 3  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
        metrics = {"right": "ddstructs.training.metrics:SymbolAccuracy"}  # noqa: RUF012
        score = "right"
        stages = Copying(curriculum=False).stages

        def val_dataloader(self) -> Batches:
            inputs = torch.tensor([[0, 1, 2], [2, 1, 0]])
            return Batches(lambda: iter([Batch(inputs, inputs, torch.tensor([3, 3]))] * 4), 4)

        train_dataloader = test_dataloader = predict_dataloader = val_dataloader

    task = Given()
    model = controller(task, read_noise=0.0)
    fitted = trainer(tmp_path, max_epochs=40)
    fitted.fit(model, task)
    assert fitted.callback_metrics["val_score"] == 1
    assert trainer(tmp_path).test(model, task, verbose=False)[0]["test_right"] == 1


def test_a_second_objective_adds_to_the_loss_of_training_and_to_no_metric(tmp_path: Path) -> None:
    class Steps(Callback):
        def on_train_batch_end(
            self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            losses.append(outputs["loss"].item())

    losses: list[float] = []
    metrics = []
    for second in (None, torch.tensor(10.0)):
        settings: dict[str, Any] = SMALL | {"batches_per_epoch": 1}
        task = MarkedReversalRecognition(**settings)
        fitted, model = trainer(tmp_path, max_epochs=1, callbacks=[Steps()]), controller(task)
        with mock.patch.object(task, "auxiliary_loss", return_value=second):
            fitted.fit(model, task)
        metrics.append(fitted.callback_metrics)
    assert losses[1] == pytest.approx(losses[0] + 10)
    assert metrics[0] == metrics[1]


def test_a_second_objective_is_learned(tmp_path: Path) -> None:
    weights = []
    for factor in (1, -1):
        settings: dict[str, Any] = SMALL | {"batches_per_epoch": 1}
        task = MarkedReversalRecognition(**settings)
        model = controller(task)

        def second(logits: torch.Tensor, batch: Batch, factor: int = factor) -> torch.Tensor:
            return factor * 100 * logits[..., 0].mean()

        with mock.patch.object(task, "auxiliary_loss", second):
            trainer(tmp_path, max_epochs=1).fit(model, task)
        weights.append(model.classify.bias[0].item())
    assert weights[0] < weights[1]


def test_training_stops_when_the_curriculum_is_finished_and_the_goal_is_reached(tmp_path: Path) -> None:
    def run(memory: Memory | None = None, **settings: Any) -> tuple[Trainer, Task]:
        task = MarkedReversalRecognition(**SMALL | {"batches_per_epoch": 2, "curriculum": False} | settings)
        task.goal = Goal("accuracy", 0.0)  # type: ignore[misc]
        fitted = trainer(tmp_path, max_epochs=5, callbacks=[Finished()])
        fitted.fit(controller(task, memory), task)
        return fitted, task

    fitted, task = run()
    assert fitted.current_epoch == 1
    assert "After 2 updates: accuracy" in summary(fitted, task)
    assert summary(fitted, task).endswith("on validation sequences of lengths 1..18. The task is learned.")
    fitted, task = run(curriculum=True, threshold=0.9999, patience=None)
    assert fitted.current_epoch == 5
    assert "It is not learned: the curriculum reached length 4 of 9." in summary(fitted, task)
    fitted, task = run(curriculum=True, threshold=0.9999, patience=2, start_length=3)
    assert f"length 3 of 9, and stalled {task.stages.restarts} times before. Try longer sources" in summary(
        fitted, task
    )
    assert "(--data.start_length, now 3)" in summary(fitted, task)
    fitted, task = run(NoMemory(), curriculum=True, threshold=0.9999, patience=2, start_length=3)
    assert "Without a memory a smaller rate (--model.learning_rate)" in summary(fitted, task)


@pytest.mark.parametrize(
    ("settings", "advised"),
    [
        ({"cell": "lstm"}, True),
        ({"cell": "lstm", "state_noise": 1.0}, False),
        ({"cell": "lstm", "memory": NoMemory()}, False),
        ({"cell": "gru"}, False),
    ],
)
def test_noise_is_advised_for_a_cell_that_can_count(settings: dict[str, Any], advised: bool, tmp_path: Path) -> None:
    task = ReverseString(**SMALL | {"curriculum": False, "batches_per_epoch": 1})
    sizes = {"input_symbols": task.input_symbols, "output_symbols": task.output_symbols, "hidden_size": 8}
    given: dict[str, Any] = {"memory": Stack(4)} | sizes | settings
    model = Controller(**given)
    fitted = trainer(tmp_path, max_epochs=1)
    fitted.fit(model, task)
    assert "coarse of at least 0.9999 was expected" in summary(fitted, task)
    assert summary(fitted, task).endswith("--model.state_noise 1.") == advised


def test_a_fit_without_a_validation_says_that_nothing_is_known(tmp_path: Path) -> None:
    task = ReverseString(**SMALL)
    fitted = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    fitted.fit(controller(task), task)
    assert summary(fitted, task) == "After 1 update: not validated, so the quality of the model is unknown."


def test_soft_signals_are_warned_of_beyond_the_lengths_that_were_validated(tmp_path: Path) -> None:
    def predict(text: str, **settings: Any) -> None:
        task = ReverseString(**SMALL, text=text)
        given: dict[str, Any] = {"memory": Stack(4), "hidden_size": 8, "embedding_size": 4} | settings
        model = Controller(input_symbols=task.input_symbols, output_symbols=task.output_symbols, **given)
        trainer(tmp_path).predict(model, task)

    with pytest.warns(UserWarning, match=r"length 19 is longer than any in validation \(18\).*--model.hard true"):
        predict("01" * 9 + "1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ddstructs.training.learner.rank_zero_warn", lambda *_: pytest.fail("warned"))
        predict("01" * 9)
        predict("01" * 10, hard=True)
        predict("01" * 10, memory=NoMemory())


@pytest.mark.parametrize("saturation", [0.1, 0.0])
def test_saturated_signals_that_are_0_or_1_need_no_warning(tmp_path: Path, saturation: float) -> None:
    task = ReverseString(**SMALL, text="01" * 10)
    model = SequenceModel(Stack(4), task.input_symbols, task.output_symbols, embed_dim=4, saturation=saturation)
    with torch.no_grad():
        for layer in model.memory_modules:
            assert isinstance(layer, MemoryLayer)
            layer.to_action.weight.zero_()
            layer.to_action.bias.fill_(5.0)  # every push and pop is .993
    told = nullcontext() if saturation else pytest.warns(UserWarning, match="longer than any in validation")
    with pytest.MonkeyPatch.context() as patch, told:
        if saturation:
            patch.setattr("ddstructs.training.learner.rank_zero_warn", lambda *_: pytest.fail("warned"))
        trainer(tmp_path).predict(model, task)
