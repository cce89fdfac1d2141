"""Training a controller under Lightning: any memory and cell, its loss, its restarts, and what it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from controllers import controller, reversal, trainer
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn

from ddstructs import Bank, Controller, Deque, InputError, Memory, NoMemory, Queue, Stack
from ddstructs.tasks import Batch, BinaryAddition, Reversal


def class_name(thing: object) -> str:
    """The name of a case."""
    return type(thing).__name__


@pytest.mark.parametrize(
    "memory", [Stack(4), Queue(4), Deque(4), Bank([Stack(4), Queue(4)]), NoMemory()], ids=class_name
)
def test_any_memory_fits_and_its_checkpoint_builds_it_again(memory: Memory, tmp_path: Path) -> None:
    task = reversal()
    model = controller(task, memory)
    fitted = trainer(tmp_path, max_steps=3)
    fitted.fit(model, task)
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    again = Controller.load_from_checkpoint(tmp_path / "a.ckpt")
    inputs = next(iter(task.test_dataloader())).inputs
    assert str(again.rnn.memory) == str(memory)
    assert not again.training
    assert torch.equal(again(inputs), model.eval()(inputs))


def test_any_cell_fits(tmp_path: Path) -> None:
    task = reversal()
    for cell in ("rnn", "lstm", "gru", "deep", nn.GRUCell(8 + 4, 16)):
        fitted = trainer(tmp_path, max_steps=1)
        fitted.fit(controller(task, Stack(4), cell=cell), task)
        fitted.save_checkpoint(tmp_path / "a.ckpt")
        assert Controller.load_from_checkpoint(tmp_path / "a.ckpt").rnn.hidden_size == 16


@pytest.mark.parametrize("hard", [False, True])
def test_fractions_of_real_steps_are_penalized_in_training_alone(hard: bool, tmp_path: Path) -> None:
    class Losses(Callback):
        def on_train_batch_end(
            self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
        ) -> None:
            self.batch, self.loss = batch, float(outputs["loss"])

    def run(penalty: float) -> tuple[Controller, Losses, float]:
        task, losses = reversal(eval_size=2, curriculum=False), Losses()
        model = controller(task, Deque(4), read_noise=0.0, learning_rate=1e-12, signal_penalty=penalty, hard=hard)
        trainer(tmp_path, max_steps=1, callbacks=[losses]).fit(model, task)
        return model, losses, trainer(tmp_path).test(model, task, verbose=False)[0]["test_loss"]

    model, plain, tested = run(0.0)
    _, penalized, tested_too = run(0.7)
    batch = plain.batch
    assert len(set(batch.lengths.tolist())) > 1, "some rows are padded"
    actions = model.rnn.unroll(model.embed(batch.inputs)).actions
    fractions = [
        float(4 * signal * (1 - signal))
        for row, steps in enumerate(batch.lengths.tolist())
        for kind in (actions.push, actions.pop)
        for signal in kind[row, :steps].detach().flatten()
    ]
    assert penalized.loss - plain.loss == pytest.approx(0.7 * sum(fractions) / len(fractions), abs=1e-5)
    assert (max(fractions) == 0) == hard
    assert tested == pytest.approx(tested_too)


@pytest.mark.parametrize(("steps", "start"), [(1, 0), (2, 1), (4, 0)])
def test_each_fresh_start_is_the_next_that_the_memory_names(steps: int, start: int, tmp_path: Path) -> None:
    task, deque = reversal(start_length=2, patience=2), Deque(4)  # it is lost with every second batch
    model = controller(task, deque, learning_rate=1e-9)
    trainer(tmp_path, max_steps=steps).fit(model, task)
    assert model.rnn.to_action is not None
    biases = torch.tensor([*deque.starts[start].push, *deque.starts[start].pop])
    torch.testing.assert_close(model.rnn.to_action.bias[:4].detach(), biases)


def test_a_fresh_start_has_the_first_learning_rate(tmp_path: Path) -> None:
    task = reversal(patience=3)
    model = controller(task, Stack(4), decay_steps=4)
    fitted = trainer(tmp_path, max_steps=3, limit_val_batches=0)
    fitted.fit(model, task)
    assert task.stages.restarts == 1
    assert fitted.optimizers[0].param_groups[0]["lr"] >= 0.7 * model.learning_rate, "one step of the decay at most"


@pytest.mark.parametrize("limit", [0, 1])
def test_training_that_diverges_ends_in_one_line_and_saves_nothing(limit: int, tmp_path: Path) -> None:
    class Spoil(Callback):
        def on_train_batch_end(
            self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
        ) -> None:
            if trainer.global_step == 2:
                next(pl_module.parameters()).data.fill_(torch.nan)

    task = reversal(batches_per_epoch=2)
    saving = ModelCheckpoint(tmp_path, save_last=True, every_n_epochs=1)
    options: dict[str, Any] = {"max_steps": 2, "limit_val_batches": limit, "enable_checkpointing": True}
    fitted = trainer(tmp_path, callbacks=[Spoil(), saving], **options)
    with pytest.raises(
        InputError, match=r"^training has diverged: after 2 updates some weights are not finite; choose"
    ):
        fitted.fit(controller(task, Stack(4)), task)
    assert not list(tmp_path.glob("*.ckpt"))


@pytest.mark.parametrize("patience", [3, 100])
def test_noise_ends_after_its_steps_and_begins_anew_with_a_fresh_start(patience: int, tmp_path: Path) -> None:
    class Draws(Callback):
        noisy: list[bool]

        def on_train_batch_end(
            self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            assert isinstance(pl_module, Controller)
            rnn, x = pl_module.rnn, torch.ones(1, 4, pl_module.embed.embedding_dim)
            self.noisy.append(not rnn(x)[0].equal(rnn(x)[0]))

    task, draws = reversal(patience=patience), Draws()
    draws.noisy = []
    model = controller(task, Stack(4), noise_steps=2)
    trainer(tmp_path, max_steps=6, limit_val_batches=0, callbacks=[draws]).fit(model, task)
    assert task.stages.restarts == (2 if patience == 3 else 0)
    assert draws.noisy == ([True, True, False] * 2 if patience == 3 else [True, True, *[False] * 4])
    assert model.hparams["read_noise"] > 0


def test_a_seed_gives_the_same_run(tmp_path: Path) -> None:
    def fit() -> Tensor:
        task = reversal(seed=None)
        model = controller(task, Stack(4))
        trainer(tmp_path, max_steps=3).fit(model, task)
        return nn.utils.parameters_to_vector(model.parameters())

    assert torch.equal(fit(), fit())


def test_only_the_first_batch_is_validated(tmp_path: Path) -> None:
    class Watched(Controller):
        seen: list[bool] = []  # noqa: RUF012  # of the test alone

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.seen.append(self._first_batch)
            return super().training_step(batch, batch_idx)

    task = reversal()
    trainer(tmp_path, max_steps=3, num_sanity_val_steps=0).fit(
        Watched(Stack(4), task.input_symbols, task.output_symbols), task
    )
    assert Watched.seen == [True, False, False]


def test_a_stack_learns_to_reverse(tmp_path: Path) -> None:
    """Sequences longer than any in training, as the README says."""
    seed_everything(0, verbose=False)
    task = Reversal(val_lengths=(65, 128), eval_size=100, batches_per_epoch=25)
    model = Controller(Stack(64), task.input_symbols, task.output_symbols)
    perfect = EarlyStopping("val_coarse", mode="max", stopping_threshold=0.9999, patience=100)
    trainer(tmp_path, max_epochs=40, callbacks=[perfect], num_sanity_val_steps=0).fit(model, task)
    result = trainer(tmp_path).test(model, Reversal(eval_size=100), verbose=False)[0]
    assert result["test_coarse"] >= 0.98


def test_no_memory_learns_to_add(tmp_path: Path) -> None:
    """Numbers of 8 digits in training, of up to 64 in the test."""
    task = BinaryAddition(batch_size=32, seed=0)
    model = controller(task, NoMemory(), hidden_size=32)
    trainer(tmp_path, max_epochs=8, limit_val_batches=0).fit(model, task)
    assert trainer(tmp_path).test(model, task, verbose=False)[0]["test_coarse"] == 1


def test_a_controller_of_other_symbols_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Reversal has 18 input and 9 output symbols"):
        trainer(tmp_path).test(Controller(Stack(4), 10, 5), reversal(), verbose=False)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"hidden_size": 0}, "hidden_size is 0, but a whole number of 1 or more was expected"),
        ({"decay_steps": 0}, "decay_steps is 0, but a whole number of 1 or more was expected"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0, but a finite number above 0 was expected"),
        ({"learning_rate": float("inf")}, "learning_rate is inf, but a finite number above 0 was expected"),
        ({"clip": -1.0}, "clip is -1.0, but a finite number above 0 was expected"),
        ({"signal_penalty": -0.1}, "signal_penalty is -0.1, but a finite number of 0 or more was expected"),
        ({"signal_penalty": float("nan")}, "signal_penalty is nan, but a finite number of 0 or more was expected"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        controller(reversal(), Stack(4), **settings)
