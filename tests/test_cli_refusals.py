"""Wrong input on the command line, chosen by hand or drawn at random, and the one line that it gets."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from commands import QUICK, refusal
from hypothesis import given, settings
from hypothesis import strategies as st

from ddstructs.cli.main import main
from ddstructs.cli.options import options
from ddstructs.cli.settings import Settings
from ddstructs.errors import InputError
from ddstructs.registry import catalog, source


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fitt"], "did you mean fit?"),
        (["test"], "--ckpt_path"),
        (["fit", "--data=Reversl", "--model.memory=Stack"], "did you mean Reversal?"),
        (["fit", "--data=Reversal", "--model.memory=Stak"], "did you mean Stack?"),
        (["fit", "--data=Reversal", "--model.memory=Zebra"], "choose from Stack, Queue"),
        (["fit", "--data=Reversal", "--model.memory=Stack", "--model.cell=lstn"], "did you mean lstm?"),
        (
            ["fit", "--data=Reversal", "--model.memory=Stack", "--model.memory.width=0"],
            "width is 0, but a whole number of 1 or more",
        ),
        (["fit", "--data=Reversal", "--model.memory=Stack", "--model.hidden_size=many"], "many"),
        (["fit", "--data=Reversal", "--model.memory=Stack", "--model.hiden_size=3"], "hiden_size"),
        (
            ["fit", "--data=Reversal", "--model.memory=Stack", "--data.train_lengths=[9,4]"],
            "[9,4], but a list of two whole numbers",
        ),
        (["fit", "--data=Reversal", "--model.memory=Stack", "--model.push_bias=[0,1]"], "push_bias has 2 numbers"),
        (["fit", "--data=Reversal", "--model.memory=os.system"], "'os.system' is refused"),
        (["fit", "--model.memory=Stack"], "--data"),
        (["fit", "--config=nowhere.yaml"], "nowhere.yaml"),
        (["fit", "--data=Reversal", "--memory=Stack"], "did you mean --model.memory?"),
        (["fit", "--data=Reversal", "--max_epochs=3"], "did you mean --trainer.max_epochs?"),
        (["fit", "--data=Reversal", "--data.hidden_size=3"], "did you mean --model.hidden_size?"),
        (
            ["fit", "--data=Reversal", "--data.nonsense=3"],
            "unknown option --data.nonsense; see ddstructs fit",
        ),
        (["fit", "--data.symbols=3", "--model.memory=Stack"], "--data, the task, is required; choose from Copying"),
        (["fit", "--model.memory.width=3"], "--model.memory.width needs --model.memory, which was not given"),
        (["fit", "--model.input_symbols=3"], "--model.input_symbols cannot be set: the task determines it"),
        (["fit", "--trainer.callbacks=foo"], "--trainer.callbacks foo: unknown name; choose from"),
        (["fit", "--trainer.callbacks+=Nope"], "--trainer.callbacks Nope: unknown name; choose from Finished"),
        (["fit", "--trainer.callbacks+=EarlyStoping"], "did you mean EarlyStopping?"),
        (["reproduce", "--workers=99999"], "--workers is 99999, with one process for each, but this machine has"),
        (["sweep", "--workers=99999"], "--workers is 99999, with one process for each, but this machine has"),
        (["fit", "--trainer.plugins=x"], "--trainer.plugins can only be set in Python"),
        (["fit", "--data=Reversal", "--model.memory=LineMemory"], "LineMemory: unknown name; choose from"),
        (
            ["fit", "--data=Reversal", "--model.memory=Stack+Queue"],
            "Stack+Queue is a bank: give Bank, and [Stack, Queue] as its memories: "
            "--model.memory Bank --model.memory.memories '[Stack, Queue]'",
        ),
        (["fit", "--data=Reversal", "--model.memory=Stack+Quue"], "the class 'Stack+Quue' is refused"),
        (["fit", "--data="], "--data needs a name; choose from Copying"),
        (["fit", "--data=Reversal", "--model.memory=Bank"], "--model.memory Bank needs memories"),
        (["fit", "--data=Reversal", "--model.memory=Stack", f"--model.memory.width={9**30}"], "which is too large"),
        (["fit", "--ckpt_path"], "--ckpt_path needs a value"),
        (["fit", "--ckpt_path="], "--ckpt_path needs a value"),
        (["fit", "--model.hidden_size"], "--model.hidden_size needs a value: a whole number of 1 or more"),
        (["fit", "Reversal"], "'Reversal' is not an option: write options as --name value"),
        (["sweep", "--memory=Stack", "--study=x"], "--task is required"),
        (["reproduce", "--seed=3"], "unknown option --seed; did you mean --seeds?"),
        (["fit", "--data=Reversal", "--model.memory=Stack", "--model.hidden_size=-3"], "hidden_size is -3"),
        (
            ["fit", "--data=Reversal", "--model.memory=Stack", "--model.memory.width=x"],
            "--model.memory.width is 'x', but a whole number of 1 or more was expected",
        ),
        (["fit", "--data=Reversal", "--model.memory=Stack", "--seed_everything=-5"], "--seed_everything"),
        (
            ["fit", "--data=Reversal", "--model.memory=Stack", "--data.patience=x"],
            "--data.patience is 'x', but a whole number of 1 or more or null was expected",
        ),
        (
            ["fit", "--data=Reversal", "--model.memory=Stack", "--data.symbols=x"],
            "--data.symbols is 'x', but a whole number from 1 to 128 was expected",
        ),
        (
            ["fit", "--data=Reversal", "--model.memory=Stack", "--model.decay_steps=x"],
            "--model.decay_steps is 'x', but a whole number of 1 or more or null was",
        ),
        (
            ["fit", "--data=Reversal", "--model.memory=Stack", "--model.push_bias=x"],
            "--model.push_bias is 'x', but a finite number or a list of finite numbers or null was expected",
        ),
    ],
)
def test_wrong_input_gets_one_line(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert expected in refusal(capsys, *arguments)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--trainer.devices=99999", "--trainer.devices is 99999, with one process for each, but this machine has"),
        ("--trainer.val_check_interval=500", "`val_check_interval` (500) must be less than or equal"),
        (
            "--trainer.callbacks={class_path: EarlyStopping, init_args: {monitor: nonsense}}",
            "metric `nonsense` which is not available",
        ),
    ],
)
def test_what_the_trainer_cannot_do_gets_one_line(
    option: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    quick = [*QUICK, "--data.train_lengths=[1,3]", "--trainer.enable_progress_bar=false"]
    assert expected in refusal(capsys, "fit", "--data=Reversal", "--model.memory=Stack", *quick, option)


def names_of_options() -> list[str]:
    """Every option of `fit`, and some that are none."""
    known = [f"{section}.{name}" for section, table in Settings().fields.items() for name in table]
    known += [f"data.{name}" for name in source.parameters("ddstructs.tasks.reversal:Reversal")]
    more = ["model.memory.width", "model.cell.bias", "trainer.callbacks.patience", "trainer.callbacks+", "", "a.b.c.d"]
    return [*known, *more, "seed_everything", "ckpt_path", "config", "data", "model", "trainer", "init_args", "."]


VALUES = (
    st.text(max_size=6)
    | st.integers().map(str)
    | st.floats().map(str)
    | st.sampled_from(
        ["null", "true", "[]", "{}", "[1, 2]", "[[", "{a: 1}", "Stack", "gru", "{class_path: Stack}", "-1"]
    )
    | st.sampled_from(
        ["&a [*a]", "!!python/object:os.system {}", "{class_path: }", "{class_path: Stack, init_args: 3}"]
    )
)


@settings(max_examples=300)
@given(given_=st.lists(st.tuples(st.sampled_from(names_of_options()), VALUES), min_size=1, max_size=3))
def test_any_input_ends_in_a_line(given_: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    words = [f"--{name}={value}" for name, value in given_ if name != "ckpt_path"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.getbasetemp())
        assert main(["fit", "--data=Reversal", "--model.memory=Stack", "--print_config", *words]) in (0, 2)
    for command in ("trace", "sweep", "reproduce"):
        target = catalog.COMMANDS[command]
        for name, value in zip(source.parameters(target), (value for _, value in given_), strict=False):
            with contextlib.suppress(InputError):
                options(target, command, [f"--{name}", value])
