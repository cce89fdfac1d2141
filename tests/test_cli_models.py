"""Every model on the list is trained, evaluated and traced by the same commands, and a checkpoint says which it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny import TINY, recipe_of

from ddstructs import Controller, InputError, MemoryRNN, SequenceModel, Stack, settings_for
from ddstructs.cli.main import main
from ddstructs.tasks import Reversal
from ddstructs.training.checkpoint import MODEL
from ddstructs.training.learner import Learner

MODELS = {
    "memory": ["--model.memory=Stack", "--model.memory.width=4", "--model.layers=[memory]"],
    "transformer": ["--model.memory=NoMemory", "--model.layers=[attention, attention]", "--model.feed_forward=16"],
    "mixture": ["--model.memory=Tape", "--model.layers=[attention, memory, recurrent]", "--model.cell=gru"],
}

SIZES = ["--model.embed_dim=8", "--model.num_heads=2"]

QUICK = [
    *("--data=Reversal", "--data.symbols=3", "--data.batch_size=2", "--data.batches_per_epoch=2", "--data.eval_size=4"),
    *("--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"),
]

BEST = "runs/version_0/checkpoints/best.ckpt"


@pytest.fixture(autouse=True)
def within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    """A checkpoint of a `SequenceModel`."""
    assert main(["fit", "--model=SequenceModel", *MODELS["memory"], *SIZES, *QUICK]) == 0
    return BEST


@pytest.mark.parametrize("kind", MODELS)
def test_a_list_of_layers_is_trained_and_used(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--model", "SequenceModel", *MODELS[kind], *SIZES, *QUICK]) == 0
    model = SequenceModel.load_from_checkpoint(BEST)
    layers = yaml.safe_load(Path("runs/version_0/config.yaml").read_text())["model"]["init_args"]["layers"]
    assert model.hparams["layers"] == layers
    for command in ("test", "validate"):
        capsys.readouterr()
        assert main([command, "--ckpt_path", BEST]) == 0
        assert f"{'val' if command == 'validate' else command}_coarse" in capsys.readouterr().out
    assert main(["predict", "--ckpt_path", BEST, "--data.text=abc"]) == 0
    assert capsys.readouterr().out.count("\n") == 1
    assert main(["fit", "--ckpt_path", BEST, "--trainer.max_epochs=2", "--trainer.enable_progress_bar=false"]) == 0


def test_the_config_of_a_run_makes_it_again(checkpoint: str, tmp_path: Path) -> None:
    config = tmp_path / "runs/version_0/config.yaml"
    assert yaml.safe_load(config.read_text())["model"]["class_path"] == "SequenceModel"
    assert main(["fit", f"--config={config}"]) == 0
    first, again = (SequenceModel.load_from_checkpoint(path) for path in (BEST, BEST.replace("_0", "_1")))
    assert dict(first.hparams) == dict(again.hparams)
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])


def test_a_checkpoint_is_loaded_as_the_model_that_it_names(checkpoint: str) -> None:
    assert torch.load(checkpoint, weights_only=True)[MODEL] == "ddstructs.training.sequence_model.SequenceModel"
    assert type(Learner.load_from_checkpoint(checkpoint, hard=True)) is SequenceModel
    with pytest.raises(InputError, match=r"is of a SequenceModel, but a Controller was expected: use SequenceModel$"):
        Controller.load_from_checkpoint(checkpoint)


def test_a_checkpoint_that_names_no_model_is_of_a_controller_or_of_the_class_that_is_called(checkpoint: str) -> None:
    content = torch.load(checkpoint, weights_only=True)
    del content[MODEL]
    torch.save(content, "own.ckpt")
    assert type(SequenceModel.load_from_checkpoint("own.ckpt")) is SequenceModel
    with pytest.raises(InputError, match="do not build a Controller"):
        Learner.load_from_checkpoint("own.ckpt")


def test_a_class_of_ones_own_is_saved_as_the_model_it_is_derived_from() -> None:
    class Own(SequenceModel):
        pass

    task = Reversal(symbols=3)
    content: dict[str, Any] = {}
    Own(Stack(4), task.input_symbols, task.output_symbols, embed_dim=8).on_save_checkpoint(content)
    assert content[MODEL] == "ddstructs.training.sequence_model.SequenceModel"
    assert Own.chosen(content, "x") is Own
    assert Learner.chosen(content, "x") is SequenceModel


@pytest.mark.parametrize(
    "path", ["os.system", "torch.nn.Linear", "ddstructs.training.learner.Learner", "Stack", "", 3, ["Controller"], {}]
)
def test_a_checkpoint_may_name_only_a_model_on_the_list(
    path: object, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(torch.load(checkpoint, weights_only=True) | {MODEL: path}, "other.ckpt")
    for command in ("test", "fit"):
        capsys.readouterr()
        assert main([command, "--ckpt_path=other.ckpt"]) == 2
        said = capsys.readouterr().err
        assert "the class of the model in other.ckpt is" in said
        assert said.count("\n") == 1
    with pytest.raises(InputError, match=r"the class of the model in other\.ckpt is"):
        SequenceModel.load_from_checkpoint("other.ckpt")


def test_a_folder_is_of_the_model_that_wrote_it(checkpoint: str, tmp_path: Path) -> None:
    model = SequenceModel.load_from_checkpoint(checkpoint)
    model.save_pretrained(tmp_path / "folder")
    again = SequenceModel.from_pretrained(tmp_path / "folder", hard=True)
    x = torch.randint(model.input_symbols, (2, 5))
    assert again.memory_modules[0].hard
    again.memory_modules[0].hard = False
    assert torch.equal(again(x), model(x))
    for other in (Controller, MemoryRNN):
        with pytest.raises(InputError, match=f"SequenceModel', but a {other.__name__} was expected: use its own class"):
            other.from_pretrained(tmp_path / "folder")


WRONG: dict[str, tuple[list[str], str]] = {
    "no such model": (["--model=Sequence"], "--model Sequence: unknown name; "),
    "a name in another case": (["--model=sequencemodel"], "did you mean SequenceModel?"),
    "a path": (["--model=os.system"], "--model: the class 'os.system' is refused: choose from Controller, Sequence"),
    "no name": (["--model"], "--model needs a value"),
    "no memory": (["--model=SequenceModel"], "--model.memory is required; choose from Stack"),
    "a setting of the other": (
        ["--model=SequenceModel", "--model.memory=Stack", "--model.read_gate=true"],
        "--model.read_gate is a setting of a Controller, not a SequenceModel: use --model Controller",
    ),
    "a setting of the one": (
        ["--model.memory=Stack", "--model.layers=[memory]"],
        "--model.layers is a setting of a SequenceModel, not a Controller: use --model SequenceModel",
    ),
    "no such layer": (
        ["--model=SequenceModel", "--model.memory=Stack", "--model.layers=[memoryy]"],
        "--model.layers is [memoryy], but a list of attention or memory or recurrent",
    ),
    "dropout": (
        ["--model=SequenceModel", "--model.memory=Stack", "--model.dropout=2"],
        "--model.dropout is 2, but a finite number from 0 to 1 was expected",
    ),
    "no such setting": (
        ["--model=SequenceModel", "--model.memory=Stack", "--model.num_head=2"],
        "unknown option --model.num_head; did you mean --model.num_heads?",
    ),
    "heads that do not divide": (
        ["--model=SequenceModel", "--model.memory=Stack", "--model.layers=[attention]", "--model.embed_dim=6"],
        "the settings do not build a SequenceModel: embed_dim is 6, which is not divisible into 4 heads",
    ),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_gets_one_line(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--data=Reversal", *options]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_options_that_do_not_fit_the_model_of_a_checkpoint_get_one_line(
    checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, message in (
        ("--model=Controller", "holds a SequenceModel, but --model is Controller: leave --model out"),
        ("--model.read_gate=true", "--model.read_gate is a setting of a Controller, not a SequenceModel"),
        ("--model.layers=[attention]", "keep layers as it is"),
        ("--model.spread=2", "--model.spread has no effect in test: it is an option of fit"),
    ):
        capsys.readouterr()
        assert main(["test", f"--ckpt_path={checkpoint}", option]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1


def test_another_model_begins_without_the_settings_of_the_one_before(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.yaml").write_text("data: Reversal\nmodel: {memory: Queue, hidden_size: 32}\n")
    options = ["--model=SequenceModel", "--model.memory=Stack", "--print_config"]
    assert main(["fit", "--config=a.yaml", *options]) == 0
    model = yaml.safe_load(capsys.readouterr().out)["model"]
    assert model["class_path"] == "SequenceModel"
    assert model["init_args"]["memory"]["class_path"] == "Stack"
    assert "hidden_size" not in model["init_args"]


def test_help_has_the_options_of_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--help"]) == 0
    assert "--model MODEL          Controller, SequenceModel; the first if not given" in capsys.readouterr().out
    assert main(["fit", "--help.SequenceModel"]) == 0
    said = capsys.readouterr().out
    assert "--model.layers  a list of attention or memory or recurrent" in said
    assert "--model.signal_noise" in said
    assert main(["test", "--help.SequenceModel"]) == 0
    assert "--model.signal_noise" not in capsys.readouterr().out


def test_settings_are_checked_before_torch_is_imported() -> None:
    code = (
        "from ddstructs.cli.main import main\n"
        "for words in (['--model=SequenceModel', '--model.layers=[memoryy]'], ['--model=Sequence']):\n"
        "    main(['fit', '--data=Reversal', '--model.memory=Stack', *words])\n"
        "main(['test', '--ckpt_path=none.ckpt', '--model.layer=3'])\n"
        "import sys; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout == "False\n"
    assert done.stderr.count("\n") == 3


def test_what_the_recipe_knows_of_a_controller_is_not_for_a_model_of_layers(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"memory": {}, "model": {}, "data": {}}
    assert settings_for("Reversal", "Stack", "lstm", 2, "SequenceModel") == nothing
    assert settings_for("Reversal", "Stack", "lstm", 2) != nothing
    rule = {"where": {"memory": "Stack", "model": "SequenceModel"}, "because": "", "model": {"num_heads": 2}}
    recipe = recipe_of(tmp_path, TINY | {"exceptions": [rule]})
    run: dict[str, Any] = {"task": "Reversal", "memory": "Stack", "cell": "rnn"}
    assert recipe.exceptions_for(**run, model="SequenceModel")["model"] == {"num_heads": 2}
    assert recipe.exceptions_for(**run)["model"] == {}
    assert recipe.settings(**run)["model"] == TINY["defaults"]["model"]
    with pytest.raises(InputError, match="where has the unknown model Sequence"):
        recipe_of(tmp_path, TINY | {"exceptions": [rule | {"where": {"model": "Sequence"}}]})
    with pytest.raises(InputError, match="'Sequence' is no model: choose from"):
        settings_for("Reversal", "Stack", model="Sequence")
