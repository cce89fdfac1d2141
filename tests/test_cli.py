"""The command line as its user meets it, in processes of its own where that matters."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning import Trainer

import ddstructs
import ddstructs.tasks
from ddstructs.cli import machine, requirements
from ddstructs.cli.fields import fields
from ddstructs.cli.main import main
from ddstructs.cli.options import options
from ddstructs.cli.settings import Settings
from ddstructs.cli.unused import unused
from ddstructs.errors import InputError
from ddstructs.registry import catalog, source
from ddstructs.registry.plugins import load

QUICK = ["--data.batches_per_epoch=2", "--data.eval_size=4", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"]


Command = Callable[..., "subprocess.CompletedProcess[str]"]


def call(*arguments: str, cwd: Path, stdin: str = "", path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `ddstructs` in a process of its own."""
    environment = os.environ | {"PYTHONWARNINGS": "default", "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(path), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "ddstructs", *arguments]
    return subprocess.run(command, cwd=cwd, input=stdin, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture
def within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `ddstructs` in this process, which has torch at hand, with the folder of the test as the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = main(arguments)
        return subprocess.CompletedProcess(["ddstructs", *arguments], code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a stack that was trained on reversal, if only for two updates."""
    folder = tmp_path_factory.mktemp("fit")
    done = call("fit", "--data=Reversal", "--model.memory=Stack", "--model.memory.width=8", *QUICK, cwd=folder)
    assert done.returncode == 0, done.stderr
    saved = folder / "runs" / "version_0" / "checkpoints" / "best.ckpt"
    assert f"ddstructs test --ckpt_path {saved.relative_to(folder)}\n" in done.stdout
    return saved


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody else's package, installed for real, into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    source = Path(__file__).parent / "plugin"
    copy = tmp_path_factory.mktemp("source")
    for file in source.rglob("*"):
        if file.suffix in {".py", ".toml"}:
            target = copy / file.relative_to(source)
            target.parent.mkdir(exist_ok=True)
            target.write_text(file.read_text())
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(folder),
        str(copy),
    ]
    subprocess.run(install, check=True, capture_output=True, timeout=300)
    return folder


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `ddstructs` says, in this process, to input that it refuses with exit code 2."""
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1, "one line"
    assert said.err.startswith("ddstructs")
    return said.err


def test_list_names_everything_without_importing_torch(tmp_path: Path, plugin: Path) -> None:
    done = call("list", cwd=tmp_path, path=plugin)
    assert done.returncode == 0
    for name in [*catalog.MEMORIES, *catalog.TASKS, *catalog.CELLS, "Register", "Leaky", "Rotation"]:
        assert f"\n  {name} " in done.stdout
    assert "Say the last symbol first: `a b c d` becomes `d a b c`. (ddstructs-register)" in done.stdout
    assert "the plugin 'Broken' (ddstructs_register.broken:Broken) is ignored: " in done.stderr
    assert "\n  Other " not in done.stdout, "a cell is no memory"


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


def test_fit_writes_a_checkpoint_of_weights_and_plain_data(checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    assert content["hyper_parameters"]["memory"] == {"class_path": "ddstructs.stack.Stack", "init_args": {"width": 8}}
    assert content["ddstructs_task"]["class_path"] == "ddstructs.tasks.reversal.Reversal"


@pytest.mark.parametrize("command", ["test", "validate"])
def test_test_and_validate_need_only_a_checkpoint(
    command: str, checkpoint: Path, tmp_path: Path, within: Command
) -> None:
    done = within(command, f"--ckpt_path={checkpoint}")
    assert done.returncode == 0, done.stderr
    for metric in ("coarse", "fine", "loss", "push_distance", "pop_distance"):
        assert f"{command[:3].replace('tes', 'test')}_{metric}" in done.stdout
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_the_last_checkpoint_is_that_of_the_last_epoch_and_resumes_the_run(tmp_path: Path, within: Command) -> None:
    steady = ["--model.learning_rate=1e-12", "--trainer.enable_progress_bar=false"]  # so that no epoch is the best
    fit = ["fit", "--data=Reversal", "--model.memory=Stack", *QUICK, *steady, "--trainer.max_epochs=3"]
    assert within(*fit).returncode == 0
    last = tmp_path / "runs/version_0/checkpoints/last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 6
    done = within("fit", f"--ckpt_path={last}", "--trainer.max_epochs=4")
    assert done.returncode == 0, done.stderr
    assert torch.load(tmp_path / "runs/version_1/checkpoints/last.ckpt", weights_only=True)["global_step"] == 8


def test_a_run_that_has_learned_its_task_is_not_resumed_unless_more_epochs_are_asked_for(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = torch.load(checkpoint, weights_only=True)
    assert content["callbacks"]["Finished"] == {"learned": False}
    content["callbacks"]["Finished"]["learned"] = True
    torch.save(content, "learned.ckpt")
    fit = ["fit", "--ckpt_path=learned.ckpt", "--trainer.enable_progress_bar=false"]
    said = refusal(capsys, *fit)
    assert "the run is complete: its task was learned in epoch 1, after 2 updates" in said
    assert "give --trainer.min_epochs more than 1" in said
    longer = ["--trainer.min_epochs=3", "--trainer.max_epochs=3"]
    other = ["--data.train_lengths=[1,5]", "--trainer.max_epochs=2"]
    callbacks = ["--trainer.callbacks=[]", "--trainer.max_epochs=2"]
    for more, updates in ((longer, 6), (other, 4), (callbacks, 4)):
        assert main([*fit, *more]) == 0
        assert f"After {updates} updates" in capsys.readouterr().out, more


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("fit", "max_epochs"),
        ("fit", "max_steps"),
        ("fit", "limit_train_batches"),
        ("validate", "limit_val_batches"),
        ("test", "limit_test_batches"),
        ("predict", "limit_predict_batches"),
    ],
)
def test_a_command_that_has_nothing_to_do_says_so(
    command: str, option: str, checkpoint: Path, tmp_path: Path, within: Command
) -> None:
    given = ["--data=Reversal", "--model.memory=Stack"] if command == "fit" else [f"--ckpt_path={checkpoint}"]
    text = ["--data.text=abc"] if command == "predict" else []
    done = within(command, *given, *text, f"--trainer.{option}=0", "--trainer.enable_progress_bar=false")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Nothing to do: --trainer.{option} is 0.\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--trainer.max_steps=1"], ["After 1 update: not validated", "The last checkpoint is", "last.ckpt"]),
        (["--trainer.max_epochs=1"], ["After 2 updates: coarse", "The best checkpoint is", "best.ckpt"]),
        (["--trainer.fast_dev_run=true"], ["After 1 update: ", "No checkpoint was written."]),
    ],
    ids=str,
)
def test_fit_ends_with_what_was_measured_and_with_the_checkpoint_there_is(
    options: list[str], expected: list[str], tmp_path: Path, within: Command
) -> None:
    quick = ["--data.batches_per_epoch=2", "--data.eval_size=4", "--trainer.enable_progress_bar=false"]
    done = within("fit", "--data=Reversal", "--model.memory=Stack", *quick, *options)
    assert done.returncode == 0, done.stderr
    for part in expected:
        assert part in done.stdout
    assert ("test --ckpt_path" in done.stdout) is ("No checkpoint" not in done.stdout)


LARGE = [
    ("fit", ["--model.hidden_size=1000000000"], "--model.hidden_size 1000000000 needs at least"),
    ("fit", ["--model.memory.width=1000000000000"], "--model.memory.width 1000000000000 needs at least"),
    ("fit", ["--data.batch_size=1000000000000"], "--data.batch_size 1000000000000 with --data.train_lengths up to 64"),
    ("fit", ["--data.train_lengths=[8,1000000000000]"], "--data.batch_size 16 with --data.train_lengths up to 1000000"),
    ("fit", ["--data.val_lengths=[8,1000000000000]"], "--data.eval_size 1000 with --data.val_lengths up to 1000000000"),
    ("fit", ["--data.eval_size=1000000000000"], "--data.eval_size 1000000000000 with --data.train_lengths up to 64"),
    ("validate", ["--data.val_lengths=[8,1000000000000]"], "--data.eval_size 4 with --data.val_lengths up to 10000000"),
    ("test", ["--data.test_lengths=[8,1000000000000]"], "--data.eval_size 4 with --data.test_lengths up to 1000000000"),
]


@pytest.mark.parametrize(
    ("command", "options", "expected"), LARGE, ids=lambda part: " ".join(part) if isinstance(part, list) else part[:8]
)
def test_a_run_that_would_need_more_memory_than_there_is_gets_one_line(
    command: str, options: list[str], expected: str, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--data=Reversal", "--model.memory=Stack"] if command == "fit" else [f"--ckpt_path={checkpoint}"]
    said = refusal(capsys, command, *given, *options)
    assert expected in said
    assert re.search(r"needs at least \S+ TB of memory, but this machine has \S+ GB: use a smaller number", said)


def test_the_memory_of_a_container_is_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(requirements, "CGROUPS", (str(tmp_path / "memory.max"), str(tmp_path / "none")))
    if hasattr(os, "sysconf"):
        assert (requirements.machine_memory() or 0) > 1_000_000
        (tmp_path / "memory.max").write_text("1000000\n")
        assert requirements.machine_memory() == 1_000_000
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert requirements.machine_memory() is None


def test_every_task_and_memory_fits_into_a_small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "machine_memory", lambda: 200_000_000)
    for task in catalog.TASKS:
        for memory in ("Stack", "Deque", "NoMemory", "Tape"):
            settings = Settings()
            settings.layer({"data": task, "model": {"memory": memory}}, "")
            for command in ("fit", "validate", "test", "predict"):
                requirements.check_memory(settings, command)


def test_a_failed_allocation_of_torch_gets_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ddstructs.tasks.Reversal, "draw", lambda *_: torch.empty(2**60))
    said = refusal(
        capsys, "fit", "--data=Reversal", "--model.memory=Stack", *QUICK, "--trainer.enable_progress_bar=false"
    )
    assert "out of memory: use smaller batches (--data.batch_size), or shorter lengths" in said


def test_a_checkpoint_with_a_module_for_a_cell_is_used(tmp_path: Path, within: Command) -> None:
    task = ddstructs.tasks.Reversal(eval_size=2)
    cell = torch.nn.GRUCell(64 + 8, 64)
    model = ddstructs.Controller(ddstructs.Stack(8), task.input_symbols, task.output_symbols, cell=cell)
    fitted = Trainer(max_steps=1, logger=False, enable_progress_bar=False, default_root_dir=tmp_path, accelerator="cpu")
    fitted.fit(model, task)
    fitted.save_checkpoint(tmp_path / "gru.ckpt")
    done = within("test", "--ckpt_path=gru.ckpt")
    assert done.returncode == 0, done.stderr


def test_predict_prints_a_line_of_text_for_each_line(checkpoint: Path, tmp_path: Path, within: Command) -> None:
    done = within("predict", f"--ckpt_path={checkpoint}", "--data.text", "Dear Sir: [a string]")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    done = within("predict", f"--ckpt_path={checkpoint}", "--data.file=-", stdin="one\ntwo\nthree\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 3


@pytest.mark.parametrize("batch", [1, 250])
def test_an_unreadable_line_is_reported_and_the_others_are_answered(
    batch: int, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, whole = tmp_path / "given", tmp_path / "whole"
    given.write_text("naïve\none\n\n日本\ntwo\né\n", encoding="utf-8")
    whole.write_text("one\n\ntwo\n")
    predict = ["predict", f"--ckpt_path={checkpoint}", f"--data.eval_batch_size={batch}", "--data.file"]
    assert main([*predict, str(whole)]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert main([*predict, str(given)]) == 2
    said = capsys.readouterr()
    assert said.out.split("\n") == ["", first, second, "", third, "", ""]
    lines = said.err.splitlines()
    assert [line.partition(":")[2].partition(":")[0] for line in lines[:-1]] == [
        f" {given}, line {n}" for n in (1, 4, 6)
    ]
    assert lines[-1] == "ddstructs predict: error: 3 lines could not be read: their output lines are empty"
    given.write_text("é\né\n", encoding="utf-8")
    assert f"{given}, line 1: " in refusal(capsys, *predict, str(given))


def test_options_override_the_checkpoint(checkpoint: Path, tmp_path: Path, within: Command) -> None:
    done = within("test", f"--ckpt_path={checkpoint}", "--model.hard=true", "--data.test_lengths=[3,3]")
    assert done.returncode == 0, done.stderr
    distance = next(line for line in done.stdout.splitlines() if "push_distance" in line)
    assert "0.0 " in distance, "hard signals are 0 or 1"


def test_a_plugin_is_used_by_its_name_and_a_broken_one_is_named(plugin: Path, tmp_path: Path) -> None:
    fit = ["fit", "--data=Rotation", "--data.by=2", "--model.memory=Register", "--model.memory.width=4"]
    done = call(*fit, "--model.cell=Leaky", *QUICK, cwd=tmp_path, path=plugin)
    assert done.returncode == 0, done.stderr
    for ignored in (
        "'Broken' (ddstructs_register.broken:Broken) is ignored: ddstructs_register.broken has no Broken",
        "'Stack' (ddstructs_register.register:Register) is ignored: another memory has this name",
        "'Mine' (ddstructs.stack:Stack) is ignored: ddstructs registers this class itself",
        "'Other' (ddstructs_register.leaky:Leaky) is ignored: it is not a subclass of ddstructs.memory.Memory",
        "'System' (os:system) is ignored: os has no system",
    ):
        assert done.stderr.count(f"ddstructs: warning: the plugin {ignored}") == 1, ignored
    saved = tmp_path / "runs/version_0/checkpoints/best.ckpt"
    done = call("predict", f"--ckpt_path={saved}", "--data.text=abc", cwd=tmp_path, path=plugin)
    assert done.returncode == 0, done.stderr
    done = call("predict", f"--ckpt_path={saved}", "--data.text=abc", cwd=tmp_path)
    assert done.returncode == 2
    assert "ddstructs_register.register.Register" in done.stderr


def test_a_checkpoint_cannot_name_a_class_of_its_own(checkpoint: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Evil: pass\n")
    for key in ("hyper_parameters", "ddstructs_task"):
        content = torch.load(checkpoint, weights_only=True)
        if key == "hyper_parameters":
            content[key]["memory"] = {"class_path": "evil.Evil", "init_args": {}}
        else:
            content[key] = {"class_path": "evil.Evil", "init_args": {}}
        torch.save(content, tmp_path / "attack.ckpt")
        done = call("test", "--ckpt_path=attack.ckpt", cwd=tmp_path, path=tmp_path)
        assert done.returncode == 2
        assert "'evil.Evil' is refused" in done.stderr
        assert done.stderr.count("\n") == 1
    done = call("fit", "--data=Reversal", "--model.memory=evil.Evil", cwd=tmp_path, path=tmp_path)
    assert done.returncode == 2
    assert not marker.exists()


def test_a_checkpoint_of_another_task_is_refused(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "test", f"--ckpt_path={checkpoint}", "--data=Copying")
    assert "is for the task Reversal, but the data is Copying" in said


def test_a_damaged_checkpoint_is_refused(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(checkpoint.read_bytes()[:1000])
    assert "cut.ckpt" in refusal(capsys, "test", f"--ckpt_path={cut}")
    assert "no checkpoint at" in refusal(capsys, "test", "--ckpt_path", str(tmp_path / "nothing.ckpt"))


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


@pytest.mark.parametrize("text", ["naïve", "日本"])
def test_text_outside_ascii_is_refused(text: str, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "outside ASCII" in refusal(capsys, "predict", f"--ckpt_path={checkpoint}", f"--data.text={text}")


def test_help_and_version_need_nothing(tmp_path: Path) -> None:
    assert call("--version", cwd=tmp_path).stdout == f"ddstructs {ddstructs.__version__}\n"
    assert "ddstructs <command>" in call(cwd=tmp_path).stdout
    done = call("fit", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.index("--data") < done.stdout.index("--model.memory") < done.stdout.index("--trainer")


@pytest.mark.parametrize("config", sorted((Path(__file__).parents[1] / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_config_trains(config: Path, tmp_path: Path, within: Command) -> None:
    assert yaml.safe_load(config.read_text())
    done = within("fit", f"--config={config}", *QUICK)
    assert done.returncode == 0, done.stderr


def test_trace_writes_a_page_and_diagnoses_the_memory(checkpoint: Path, tmp_path: Path, within: Command) -> None:
    options = [f"--ckpt_path={checkpoint}", "--text", "A <b>\nstring", "--out"]
    done = within("trace", *options, "trace.html", f"--other={checkpoint}")
    assert done.returncode == 0, done.stderr
    assert "push is 0." in done.stdout
    assert done.stdout.endswith("Written to trace.html\n")
    assert "Content-Security-Policy" in (tmp_path / "trace.html").read_text()
    assert within("trace", *options, "trace.json", "--hard").returncode == 0
    seen = ddstructs.Trace.load(tmp_path / "trace.json")
    assert seen.input_text[1][:7] == ("<s>", *"string")
    assert set(seen.push.flatten().tolist()) <= {0.0, 1.0}
    assert within("trace", *options, "trace.png").returncode == 0
    assert (tmp_path / "trace.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--text=abc"], "--ckpt_path"),
        (["--ckpt_path={}"], "give --text TEXT, or --file FILE"),
        (["--ckpt_path={}", "--text=a", "--file=b"], "give only one of them"),
        (["--ckpt_path={}", "--text=a", "--out=trace.txt"], ".html, .json, .png"),
        (["--ckpt_path={}", "--text=a", "--out=trace.png", "--other={}"], "--other needs a page"),
        (["--ckpt_path={}", "--text=naïve"], "outside ASCII"),
        (["--ckpt_path={}", "--text=a", "--out=/nowhere/trace.html"], "cannot write /nowhere/trace.html"),
        (["--ckpt_path={}", "--text=a", "--nonsense"], "--nonsense"),
        (["--ckpt_path=nowhere.ckpt", "--text=a"], "no checkpoint at nowhere.ckpt"),
    ],
)
def test_wrong_input_to_trace_gets_one_line(
    arguments: list[str],
    expected: str,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [argument.format(checkpoint) for argument in arguments]
    assert expected in refusal(capsys, "trace", *given)


def test_a_checkpoint_cannot_name_another_class_for_its_task(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(checkpoint, weights_only=True)
    for name in ("ddstructs.stack.Stack", "ddstructs.tasks.task.Task", "ddstructs.tasks.task.nothing", "evil.Task"):
        torch.save(content | {"ddstructs_task": {"class_path": name, "init_args": {}}}, tmp_path / "attack.ckpt")
        said = refusal(capsys, "trace", f"--ckpt_path={tmp_path / 'attack.ckpt'}", "--text=a")
        assert name in said


def test_a_plugin_is_traced(plugin: Path, tmp_path: Path) -> None:
    fit = ["fit", "--data=Copying", "--model.memory=Register", "--model.memory.width=4", *QUICK]
    assert call(*fit, "--trainer.callbacks+=TraceCallback", cwd=tmp_path, path=plugin).returncode == 0
    assert (tmp_path / "runs/version_0/traces/epoch_0000.png").is_file()
    saved = "--ckpt_path=runs/version_0/checkpoints/best.ckpt"
    done = call("trace", saved, "--text=abc", cwd=tmp_path, path=plugin)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "trace.html").is_file()


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


@pytest.mark.parametrize(
    ("name", "reason"),
    [("tpu", "torch_xla is not installed"), ("mps", "MPS is part of macOS"), ("gpu", "no GPU"), ("cuda", "no GPU")],
)
def test_a_missing_accelerator_is_refused_before_torch_is_imported(
    name: str, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    monkeypatch.setattr(machine, "DEVICES", ())
    monkeypatch.setitem(sys.modules, "ddstructs.cli.lightning", None)  # importing it fails
    fit = ["fit", "--data=Reversal", "--model.memory=Stack", f"--trainer.accelerator={name}"]
    test = ["test", "--ckpt_path=nowhere.ckpt", f"--trainer.accelerator={name}"]
    for arguments in (fit, test):
        said = refusal(capsys, *arguments)
        assert f"--trainer.accelerator is {name}, but " in said
        assert reason in said
    assert main([*fit, "--print_config"]) == 0, "the settings of another machine"


@pytest.mark.parametrize(("cuda", "hip"), [("None", "None"), ("'12.8'", "None"), ("None", "'6.4'")])
def test_a_gpu_needs_a_torch_that_supports_it(
    cuda: str, hip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").touch()
    text = f"from typing import Optional\ncuda: Optional[str] = {cuda}\nhip: Optional[str] = {hip}\n"
    (tmp_path / "torch/version.py").write_text(text)
    spec = importlib.util.spec_from_file_location("torch", tmp_path / "torch/__init__.py")
    monkeypatch.setattr(machine, "find_spec", lambda name: spec)
    monkeypatch.setattr(sys, "platform", "win32")
    with contextlib.ExitStack() as stack:
        if cuda == hip:
            stack.enter_context(pytest.raises(InputError, match="torch is installed without GPU support"))
        machine.check_accelerator("cuda")
