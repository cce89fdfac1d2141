"""The weights of a checkpoint go only where they belong."""

from __future__ import annotations

import sys
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import TINY, checkpoint, saved, use
from pytorch_lightning import Trainer

from ddstructs import Controller, Deque, InputError, Queue, Stack
from ddstructs.__main__ import main
from ddstructs.tasks import Reversal


def test_attributes_of_the_weights_are_not_used(tmp_path: Path) -> None:
    content = checkpoint()
    weights = OrderedDict(content["state_dict"])
    for metadata in (3, {"": 3}, {"": {"version": "x"}}, None):
        weights._metadata = metadata  # type: ignore[attr-defined]
        use(saved(content | {"state_dict": weights}, tmp_path / "model.ckpt"))
    weights.keys = "no method"  # type: ignore[assignment, method-assign]
    with pytest.raises(InputError, match="is refused"):
        use(saved(content | {"state_dict": weights}, tmp_path / "model.ckpt"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"memory": Queue(4)}, r"with memory Stack\(width=4\), not Queue\(width=4\)"),
        ({"memory": Deque(4)}, "do not fit|with memory"),
        ({"cell": "gru"}, "do not fit|with cell"),
        ({"hidden_size": 9}, "do not fit|with hidden_size"),
        ({"read_gate": True}, "do not fit|with read_gate"),
        ({"learn_initial": False}, "do not fit|with learn_initial"),
    ],
)
def test_weights_are_not_used_for_another_model(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = saved(checkpoint(), tmp_path / "model.ckpt")
    with pytest.raises(InputError, match=message):
        Controller.load_from_checkpoint(path, **settings)


def test_what_does_not_change_the_meaning_of_weights_can_be_set_anew(tmp_path: Path) -> None:
    path = saved(checkpoint(), tmp_path / "model.ckpt")
    model = Controller.load_from_checkpoint(path, hard=True, learning_rate=1.0, read_noise=0.5, memory=Stack(4))
    assert model.rnn.hard
    assert model.learning_rate == 1.0


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    path = saved(checkpoint(), tmp_path / "model.ckpt")
    random = torch.manual_seed(5).get_state()
    Controller.load_from_checkpoint(path)
    assert torch.equal(torch.get_rng_state(), random)


def test_half_precision_weights_are_loaded(tmp_path: Path) -> None:
    content = checkpoint()
    halved = {
        name: weight.bfloat16() if weight.is_floating_point() else weight
        for name, weight in content["state_dict"].items()
    }
    use(saved(content | {"state_dict": halved}, tmp_path / "model.ckpt"))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a run stopped in the middle of its second epoch."""
    folder = tmp_path_factory.mktemp("run")
    task = Reversal(symbols=8, eval_size=2, batches_per_epoch=3, test_lengths=(2, 4))
    model = Controller(Stack(4), task.input_symbols, task.output_symbols, **TINY)
    quiet: dict[str, Any] = dict.fromkeys(
        ["logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"], False
    )
    trainer = Trainer(accelerator="cpu", max_steps=5, default_root_dir=folder, limit_val_batches=0, **quiet)
    trainer.fit(model, task)
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt"


OVERRIDES = [
    ("test", "--model.memory=Queue", "with memory Stack(width=4), not Queue"),
    ("validate", "--model.memory.width=8", "with memory Stack(width=4), not Stack(width=8)"),
    ("fit", "--model.memory=Queue", "with memory Stack(width=4), not Queue"),
    ("fit", "--model.hidden_size=32", "with hidden_size 8, not 32"),
    ("test", "--model.cell=lstm", "with cell rnn, not lstm"),
    ("test", "--data.symbols=10", "with input_symbols 18, not 22: keep the symbols of the task as they are"),
    ("fit", "--data.symbols=10", "with input_symbols 18, not 22: keep the symbols of the task as they are"),
    ("fit", "--trainer.max_steps=5", "is complete after 1 epochs and 5 updates, and --trainer.max_steps is 5"),
    ("fit", "--trainer.max_epochs=1", "is complete after 1 epochs and 5 updates"),
]


@pytest.mark.parametrize(("command", "option", "expected"), OVERRIDES)
def test_a_command_that_cannot_use_a_checkpoint_says_so_and_leaves_nothing(
    command: str,
    option: str,
    expected: str,
    stopped: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ddstructs", command, f"--ckpt_path={stopped}", option])
    with warnings.catch_warnings():
        assert main() == 2
    said = capsys.readouterr()
    assert expected in said.err
    assert said.err.count("\n") == 1
    assert not said.out
    assert list(tmp_path.iterdir()) == []
