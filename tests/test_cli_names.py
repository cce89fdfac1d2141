"""Names, options and help on the command line: what is found and checked before torch is imported."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import call, refusal

import ddstructs
import ddstructs.tasks
from ddstructs.cli.fields import fields
from ddstructs.cli.main import main
from ddstructs.cli.settings import Settings
from ddstructs.cli.unused import unused
from ddstructs.registry import catalog, source
from ddstructs.registry.plugins import load


def loads_torch(*arguments: str) -> bool:
    """Whether torch is imported by a command that ends without it."""
    code = f"from ddstructs.cli.main import main; main({arguments!r}); import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.endswith("True\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["--help"],
        ["fit", "--help"],
        ["fit", "--help.trainer"],
        ["fit", "--data=Reversal", "--model.memory=Stack", "--print_config"],
        ["fit", "--data=Reversal", "--model.memory=Stack", "--model.memory.width=x"],
        ["fit", "--data=Reversal", "--model.memory=Stack", "--model.hiden_size=3"],
        ["test", "--ckpt_path=nowhere.ckpt", "--model.hiden_size=3"],
        ["trace", "--ckpt_path=nowhere.ckpt", "--txt=3"],
        ["sweep", "--tsk=Reversal"],
        ["fit", "--data=Reversal", "--model.memory=Stack", "--model.hidden_size=-1"],
        ["fit", "--data=Reversal", "--model.memory=Stack", "--model.memory.width=0"],
        ["fit", "--data=Reversal", "--model.memory=Stack", "--model.learning_rate=nan"],
        ["fit", "--data=Reversal", "--model.memory=Stack", "--model.read_noise=-1"],
        ["fit", "--data=Reversal", "--model.memory=Stack", "--data.train_lengths=[5, 2]"],
        ["fit", "--data=Reversal", "--model.memory=Stack", "--trainer.max_steps=-7"],
        ["fit", "--data=Reversal", "--model.memory=Tape", "--model.memory.write=delete"],
    ],
    ids=" ".join,
)
def test_names_and_options_are_checked_before_torch_is_imported(arguments: list[str]) -> None:
    assert not loads_torch(*arguments)


def test_every_target_of_the_catalog_exists() -> None:
    for kind in catalog.KINDS.values():
        base = load(kind.base)
        for name, target in kind.table.items():
            assert issubclass(load(target), base)
            assert source.summary(target) or kind.group is None, name
            assert set(source.parameters(target)) == set(parameters_of(load(target))), name
    for target in catalog.COMMANDS.values():
        assert source.summary(target).endswith(".")
        assert list(source.parameters(target)) == list(inspect.signature(load(target)).parameters)


def parameters_of(kind: type) -> Iterator[str]:
    """The parameters of a constructor and, where it hands `**settings` on, of its base class, as Python tells them."""
    for base in kind.__mro__:
        if "__init__" in vars(base):
            own = [*inspect.signature(base.__init__).parameters.values()][1:]  # type: ignore[misc]
            yield from (each.name for each in own if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL))
            if base.__module__.startswith("torch.nn.modules.module"):
                return
            if not any(each.kind is each.VAR_KEYWORD for each in own):
                return


def test_help_and_version_need_nothing(tmp_path: Path) -> None:
    assert call("--version", cwd=tmp_path).stdout == f"ddstructs {ddstructs.__version__}\n"
    assert "ddstructs <command>" in call(cwd=tmp_path).stdout
    done = call("fit", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.index("--data") < done.stdout.index("--model.memory") < done.stdout.index("--trainer")


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_help_lists_no_option_that_a_command_ignores_and_giving_one_is_refused(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = ["--data.text=abc"] if command == "predict" else []
    for part in ("", ".model", ".data", ".trainer", ".Reversal", ".SequenceModel"):
        assert main([command, f"--help{part}"]) == 0
        listed = set(re.findall(r"^  --(\S+)", capsys.readouterr().out, re.MULTILINE))
        assert not listed & unused(command)
    own = {f"{section}.{name}" for section, known in Settings().fields.items() for name in known}
    own |= {f"model.{name}" for target in catalog.MODELS.values() for name in fields(target)}
    own |= {f"data.{name}" for name in source.parameters("ddstructs.tasks.generated:Generated")}
    assert unused(command) <= own, "each is an option"
    for option in ("--data.patience=3", "--model.learning_rate=1", "--trainer.max_epochs=3"):
        said = refusal(capsys, command, "--ckpt_path=nowhere.ckpt", *text, option)
        assert f"{option.partition('=')[0]} has no effect in {command}: it is an option of fit" in said
