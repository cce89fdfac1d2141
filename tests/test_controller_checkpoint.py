"""The checkpoint of a controller: runs go on from it exactly, and what does not belong to it is refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from controllers import SMALL, controller, reversal, trainer
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn

from ddstructs import Controller, InputError, Memory, Queue, Stack
from ddstructs.tasks import Copying, Reversal


@pytest.mark.parametrize("stop", [4, 6, 9])
def test_a_resumed_run_is_the_uninterrupted_one(stop: int, tmp_path: Path) -> None:
    """Bit for bit, from the middle and the end of an epoch, across curriculum stages and a restart."""

    def fit(steps: int, ckpt_path: Path | None = None) -> tuple[Trainer, Reversal]:
        task = reversal(start_length=2, patience=5)
        model = controller(task, Stack(4), decay_steps=20, noise_steps=3)
        fitted = trainer(tmp_path, max_steps=steps)
        fitted.fit(model, task, ckpt_path=ckpt_path, weights_only=True)
        return fitted, task

    whole, whole_task = fit(14)
    fit(stop)[0].save_checkpoint(tmp_path / "a.ckpt")
    torch.manual_seed(99)
    resumed, task = fit(14, tmp_path / "a.ckpt")
    assert task.stages == whole_task.stages
    assert task.drawn == whole_task.drawn
    assert task.stages.restarts > 0
    one, other = (t.lightning_module.state_dict() for t in (whole, resumed))
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name
    states = [list(t.optimizers[0].state.values()) for t in (whole, resumed)]
    for mine, others in zip(*states, strict=True):
        assert all(torch.equal(mine[key], others[key]) for key in mine)


@pytest.mark.parametrize("stop", [3, 6, 9, 11])
def test_a_run_that_max_steps_stopped_goes_on_where_it_was(stop: int, tmp_path: Path) -> None:
    """From the checkpoint written at the end of the run to the end of the last epoch, bit for bit."""

    def fit(ckpt_path: Path | None = None, **settings: Any) -> Trainer:
        task, saving = reversal(), ModelCheckpoint(tmp_path / "saved", "last", enable_version_counter=False)
        fitted = trainer(tmp_path, callbacks=[saving], enable_checkpointing=True, **settings)
        fitted.fit(controller(task, Stack(4)), task, ckpt_path=ckpt_path, weights_only=True)
        return fitted

    whole = fit(max_epochs=3)
    with warnings.catch_warnings(action="ignore"):  # the folder is not empty
        fit(max_epochs=3, max_steps=stop)
        torch.manual_seed(99)
        resumed = fit(tmp_path / "saved/last.ckpt", max_epochs=3)
    assert whole.global_step == resumed.global_step == 18
    for name, weight in whole.lightning_module.state_dict().items():
        assert torch.equal(weight, resumed.lightning_module.state_dict()[name]), name


@pytest.mark.parametrize("before", [{}, {"decay_steps": 20}])
@pytest.mark.parametrize(
    "after", [{"learning_rate": 1e-4}, {"decay_steps": 40}, {"decay_steps": None, "learning_rate": 0.1}]
)
def test_a_resumed_run_has_the_rate_that_is_set(before: dict[str, Any], after: dict[str, Any], tmp_path: Path) -> None:
    """The learning rate of each update is that of a run with the new settings from the start."""

    class Rates(Callback):
        def __init__(self) -> None:
            self.seen: list[float] = []

        def on_train_batch_start(
            self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
        ) -> None:
            self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    def fit(steps: int, ckpt_path: Path | None = None, **settings: Any) -> tuple[Trainer, list[float]]:
        task, rates = reversal(), Rates()
        fitted = trainer(tmp_path, max_steps=steps, callbacks=[rates], limit_val_batches=0)
        fitted.fit(controller(task, Stack(4), **settings), task, ckpt_path=ckpt_path, weights_only=True)
        return fitted, rates.seen

    fit(7, **before)[0].save_checkpoint(tmp_path / "a.ckpt")
    _, seen = fit(12, tmp_path / "a.ckpt", **before | after)
    _, whole = fit(12, **before | after)
    start = 7 if "decay_steps" in before or after.get("decay_steps") is None else 0  # a new schedule starts at 0
    assert seen == pytest.approx(whole[start:][: len(seen)])
    assert len(seen) == 5


@pytest.mark.parametrize("change", ["weights alone", "NaN in a weight", "NaN in the optimizer", "no loops", "others"])
def test_a_checkpoint_that_no_run_can_go_on_from_is_refused(change: str, tmp_path: Path) -> None:
    task = reversal()
    fitted = trainer(tmp_path, max_steps=2)
    fitted.fit(controller(task, Stack(4)), task)
    fitted.save_checkpoint(tmp_path / "a.ckpt", weights_only=change == "weights alone")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    if change == "NaN in a weight":
        content["state_dict"]["embed.weight"][0, 0] = float("nan")
    elif change == "NaN in the optimizer":
        content["optimizer_states"][0]["state"][0]["exp_avg"][0, 0] = float("inf")
    elif change == "no loops":
        del content["loops"]
    elif change == "others":
        content["optimizer_states"][0]["state"][0]["exp_avg"] = torch.zeros(2)
    torch.save(content, tmp_path / "a.ckpt")
    before = torch.nn.utils.parameters_to_vector((model := controller(task, Stack(4))).parameters()).clone()
    with pytest.raises(InputError, match=r"^\S.* (only weights|not finite|is damaged).*$"):
        trainer(tmp_path, max_steps=4).fit(model, reversal(), ckpt_path=tmp_path / "a.ckpt", weights_only=True)
    assert torch.equal(torch.nn.utils.parameters_to_vector(model.parameters()), before)


@pytest.mark.parametrize(
    ("memory", "settings"),
    [(Queue(4), {}), (Stack(5), {}), (Stack(4), {"cell": "gru"}), (Stack(4), {"hidden_size": 9})],
)
def test_a_trainer_does_not_load_the_weights_of_another_model(
    memory: Memory, settings: dict[str, Any], tmp_path: Path
) -> None:
    task = reversal()
    fitted = trainer(tmp_path, max_steps=1)
    fitted.fit(controller(task, Stack(4)), task)
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    other = controller(task, memory, **settings)
    for use in (trainer(tmp_path).test, trainer(tmp_path, max_steps=2).fit):
        with pytest.raises(InputError, match=r"are of a model with \w+ \S+, not \S+: keep .* as it is, or train"):
            use(other, task, ckpt_path=tmp_path / "a.ckpt", weights_only=True)


def test_a_checkpoint_that_was_only_tested_leaves_the_random_numbers_of_a_later_fit_alone(tmp_path: Path) -> None:
    task = reversal()
    model = controller(task, Stack(4))
    fitted = trainer(tmp_path, max_steps=1)
    fitted.fit(model, task)
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    trainer(tmp_path).test(model, task, ckpt_path=tmp_path / "a.ckpt", weights_only=True, verbose=False)
    before = torch.manual_seed(99).get_state()
    model.on_train_start()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_checkpoint_of_another_task_is_refused(tmp_path: Path) -> None:
    task = reversal()
    fitted = trainer(tmp_path, max_steps=1)
    fitted.fit(controller(task, Stack(4)), task)
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    other = Copying(symbols=8, **SMALL)
    with pytest.raises(InputError, match="for the task Reversal, but the data is Copying"):
        trainer(tmp_path).test(controller(other, Stack(4)), other, ckpt_path=tmp_path / "a.ckpt", verbose=False)


def test_a_checkpoint_with_settings_of_its_own_is_refused(tmp_path: Path) -> None:
    task = reversal()
    fitted = trainer(tmp_path, max_steps=1)
    fitted.fit(controller(task, Stack(4)), task)
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    content["hyper_parameters"]["wings"] = 2
    torch.save(content, tmp_path / "b.ckpt")
    with pytest.raises(InputError, match=r"do not build a Controller: .*wings"):
        Controller.load_from_checkpoint(tmp_path / "b.ckpt")


def test_no_path_is_taken_from_a_checkpoint(tmp_path: Path) -> None:
    """Lightning deletes old checkpoints when it saves new ones; a file must not make it delete others."""
    precious, folder = tmp_path / "precious", tmp_path / "checkpoints"
    precious.mkdir()

    def fit(steps: int, ckpt_path: Path | None = None) -> None:
        task = reversal(batches_per_epoch=1)
        saving = ModelCheckpoint(folder, monitor="val_fine", mode="max", save_last=True)
        fitted = trainer(tmp_path, max_steps=steps, callbacks=[saving], enable_checkpointing=True)
        fitted.fit(controller(task, Stack(4)), task, ckpt_path=ckpt_path, weights_only=True)

    fit(2)
    content = torch.load(folder / "last.ckpt", weights_only=True)
    states = [state for name, state in content["callbacks"].items() if name.startswith("ModelCheckpoint")]
    assert states, "there is something to attack"
    for state in states:
        victim = f"{folder}/../precious"
        state |= {"last_model_path": victim, "best_model_path": victim, "kth_best_model_path": victim}
        state |= {"best_k_models": {victim: torch.tensor(-1.0)}, "kth_value": torch.tensor(-1.0)}
    torch.save(content, tmp_path / "attack.ckpt")
    with warnings.catch_warnings(action="ignore"):  # the folder is not empty
        fit(6, tmp_path / "attack.ckpt")
    assert precious.is_dir()


def test_a_cell_of_ones_own_is_given_again_when_loading(tmp_path: Path) -> None:
    class Cell(nn.GRUCell):
        pass

    task = reversal()
    fitted = trainer(tmp_path, max_steps=1)
    fitted.fit(controller(task, Stack(4), cell=Cell(8 + 4, 16)), task)
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="is refused"):
        Controller.load_from_checkpoint(tmp_path / "a.ckpt")
    again = Controller.load_from_checkpoint(tmp_path / "a.ckpt", cell=Cell(8 + 4, 16))
    assert isinstance(again.rnn.cell, Cell)
