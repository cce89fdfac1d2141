"""Untrusted files: whatever they contain, nothing in them is imported, called or run."""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ddstructs import Bank, Controller, InputError, Queue, Stack
from ddstructs.cli.main import main
from ddstructs.cli.settings import Settings
from ddstructs.registry.describe import describe
from ddstructs.registry.spec import build, check
from ddstructs.tasks import Reversal
from ddstructs.training.checkpoint import MODEL, RANDOM, TASK, random_state

CONTROLLER = "ddstructs.training.controller.Controller"
"""A class that the list allows where a model is expected, and nowhere else."""

Plant = Callable[[Any], None]

CANARY = "stranger_canary"
"""A module that leaves a mark when it is imported."""


@pytest.fixture(autouse=True)
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that every attack creates if it runs, and that must not appear."""
    path = tmp_path / "mark"
    touch = f"import pathlib\npathlib.Path({str(path)!r}).touch()\n"
    (tmp_path / f"{CANARY}.py").write_text(touch + "class Evil: ...\ndef run(*a, **k): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield path
    assert not path.exists(), "something ran"
    assert CANARY not in sys.modules, "something was imported"


def test_the_canary_sings(mark: Path) -> None:
    __import__(CANARY)
    assert mark.exists()
    mark.unlink()
    del sys.modules[CANARY]


def attacks(mark: str) -> dict[str, dict[str, Any]]:
    """Class paths whose construction would have an effect."""
    text, command = f"open({mark!r}, 'w')", f"touch {mark}"
    named: dict[str, dict[str, Any]] = {
        "torch.utils.benchmark.Timer": {"stmt": text, "setup": text, "timer": f"{CANARY}.run"},
        "torch.utils.benchmark.utils.timer.Timer": {"setup": text},
        "torch.hub.load": {"repo_or_dir": ".", "model": "x", "source": "local"},
        "torch.load": {"f": mark},
        "torch.nn.Sequential": {},
        "torch.nn.Linear": {"in_features": 30_000, "out_features": 30_000},
        "torch.nn.LSTM": {"input_size": 3, "hidden_size": 3},
        "torch.nn.modules.rnn.GRUCell": {"input_size": 10**15, "hidden_size": 10**15},
        "os.system": {"command": command},
        "subprocess.Popen": {"args": command, "shell": True},
        "builtins.exec": {"source": text},
        "pathlib.Path.touch": {"self": mark},
        f"{CANARY}.Evil": {},
        "pytorch_lightning.Trainer": {"default_root_dir": mark},
        "pytorch_lightning.callbacks.LambdaCallback": {"on_fit_start": f"{CANARY}.run"},
        "pytorch_lightning.callbacks.StochasticWeightAveraging": {"swa_lrs": 0.1, "avg_fn": f"{CANARY}.run"},
        "pytorch_lightning.loggers.WandbLogger": {},
        "ddstructs.cli.train.Path": {},
        "ddstructs.cli.lightning.Trainer": {"default_root_dir": mark},
        "ddstructs.registry.plugins.load": {"target": f"{CANARY}:Evil"},
        "ddstructs.registry.plugins.import_module": {"name": CANARY},
        "ddstructs.registry.data.load_yaml": {"source": mark, "what": ""},
        "ddstructs.files.write_atomically": {"path": mark, "content": "x"},
        CONTROLLER: {},
        "ddstructs.line.LineMemory": {"width": 3},
        "ddstructs.tasks.task.Task": {},
    }
    return {path: {"class_path": path, "init_args": arguments} for path, arguments in named.items()}


def disguises(attack: dict[str, Any]) -> dict[str, Any]:
    """The same attack in every form that a parser might accept."""
    text = json.dumps(attack)
    return {
        "bare": attack,
        "path": attack["class_path"],
        "json": text,
        "yaml": yaml.safe_dump(attack),
        "json in json": json.dumps({"a": text}),
        "list": [[attack]],
        "list of json": [text, [text]],
        "names": {"a": attack},
        "names of json": {"a": {"b": text}},
        "in a stack": {"class_path": "ddstructs.stack.Stack", "init_args": {"width": attack}},
        "in a bank": {"class_path": "ddstructs.bank.Bank", "init_args": {"memories": [describe(Stack(4)), attack]}},
        "json in a bank": {"class_path": "ddstructs.bank.Bank", "init_args": {"memories": [text, text]}},
        "beside": {"class_path": "ddstructs.stack.Stack", "init_args": {"width": 4}, "dict_kwargs": {"a": attack}},
    }


ATTACKS = [
    pytest.param(path, form, id=f"{path}, {form}")
    for (path, attack), place in zip(attacks("x").items(), itertools.count())
    for form in ["bare", *list(disguises(attack))[1 + place % 3 :: 3]]
]
"""Each attack, bare and in every third disguise."""


def content(task: Reversal, model: Controller) -> dict[str, Any]:
    """The part of a Lightning checkpoint that is read before a run begins."""
    return {
        "state_dict": model.state_dict(),
        "hyper_parameters": dict(model.hparams),
        MODEL: CONTROLLER,
        TASK: describe(task),
        RANDOM: random_state(),
        "pytorch-lightning_version": "2.6.6",
        "epoch": 0,
        "global_step": 0,
    }


@pytest.fixture(scope="module")
def sound() -> dict[str, Any]:
    """A valid checkpoint."""
    task = Reversal(eval_size=2)
    model = Controller(Bank([Stack(4), Queue(4)]), task.input_symbols, task.output_symbols, hidden_size=8)
    return content(task, model)


PLACES: dict[str, tuple[str, ...]] = {
    "memory": ("hyper_parameters", "memory"),
    "cell": ("hyper_parameters", "cell"),
    "a setting": ("hyper_parameters", "push_bias"),
    "an unknown setting": ("hyper_parameters", "more"),
    "an argument of the memory": ("hyper_parameters", "memory", "init_args", "memories"),
    "the model": (MODEL,),
    "the task": (TASK,),
    "an argument of the task": (TASK, "init_args", "train_lengths"),
    "an unknown argument of the task": (TASK, "init_args", "more"),
}

ROUTES: dict[str, Callable[[str], object]] = {
    "test": lambda path: main(["test", f"--ckpt_path={path}"]),
    "validate": lambda path: main(["validate", f"--ckpt_path={path}"]),
    "predict": lambda path: main(["predict", f"--ckpt_path={path}", "--data.text=abc"]),
    "fit": lambda path: main(["fit", f"--ckpt_path={path}"]),
    "trace": lambda path: main(["trace", f"--ckpt_path={path}", "--text=abc"]),
    "python": Controller.load_from_checkpoint,
}


def planted(sound: dict[str, Any], place: tuple[str, ...], value: object) -> dict[str, Any]:
    """A copy of a checkpoint with one value replaced."""
    first, *rest = place
    inner: Any = planted(sound.get(first, {}), tuple(rest), value) if rest else value
    return sound | {first: inner}


@pytest.mark.parametrize(("attack", "form"), ATTACKS)
def test_nothing_in_a_checkpoint_is_run(
    attack: str, form: str, sound: dict[str, Any], mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = disguises(attacks(str(mark))[attack])[form]
    for number, (name, place) in enumerate(PLACES.items(), hash_of(attack, form)):
        if attack == CONTROLLER and place == (MODEL,):
            continue
        torch.save(planted(sound, place, value), "attack.ckpt")
        route = [*ROUTES][number % len(ROUTES)]
        if route == "python" and (place[0] == TASK):
            route = "trace"
        if route == "python":
            with pytest.raises(InputError) as caught:
                ROUTES[route]("attack.ckpt")
            said = f"{caught.value}\n"
        else:
            assert ROUTES[route]("attack.ckpt") == 2, (route, name)
            said = capsys.readouterr().err
        assert said.count("\n") == 1, (route, name, said)


def hash_of(*words: str) -> int:
    """A hash of some words that is the same in every run."""
    return sum(map(ord, "".join(words)))


@pytest.mark.parametrize("route", ROUTES)
def test_the_checkpoint_is_sound_but_for_what_is_planted(
    route: str, sound: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(sound, "sound.ckpt")
    if route == "fit":  # which needs an optimizer, too
        assert ROUTES[route]("sound.ckpt") == 2
        assert "has only weights" in capsys.readouterr().err
    else:
        assert ROUTES[route]("sound.ckpt") != 2


CONFIG_PLACES = [
    ("data",),
    ("data", "init_args", "train_lengths"),
    ("data", "init_args", "more"),
    ("model",),
    ("model", "memory"),
    ("model", "cell"),
    ("model", "push_bias"),
    ("model", "hidden_size"),
    ("trainer",),
    ("trainer", "callbacks"),
    ("trainer", "logger"),
    ("trainer", "strategy"),
    ("trainer", "accelerator"),
    ("trainer", "profiler"),
    ("trainer", "plugins"),
    ("trainer", "precision"),
    ("trainer", "max_epochs"),
    ("seed_everything",),
    ("more",),
]

CONFIG = {
    "data": {"class_path": "Reversal", "init_args": {"eval_size": 2}},
    "model": {"memory": "Stack"},
    "trainer": {"max_steps": 1, "accelerator": "cpu"},
}


@pytest.mark.parametrize(("attack", "form"), ATTACKS)
def test_nothing_in_a_config_or_an_option_is_run(
    attack: str, form: str, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = disguises(attacks(str(mark))[attack])[form]
    places = CONFIG_PLACES[hash_of(attack, form) % 2 :: 2]
    for place in places:
        if attack == CONTROLLER and place == ("model",):
            continue
        Path("attack.yaml").write_text(yaml.safe_dump(planted(CONFIG, place, value)))
        option = f"--{'.'.join(place)}={value if isinstance(value, str) else json.dumps(value)}"
        for arguments in (["--config=attack.yaml"], ["--data=Reversal", "--model.memory=Stack", option]):
            assert main(["fit", *arguments]) == 2, (place, arguments)
            said = capsys.readouterr().err
            assert said.count("\n") == 1, said


def nested(mark: str) -> st.SearchStrategy[Any]:
    """Plain data with class paths at any depth, also inside strings."""
    named = [*attacks(mark).values(), describe(Stack(2)), describe(Reversal())]
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(named)

    def wrap(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        keys = st.sampled_from(["class_path", "init_args", "a", "memories", "width", "dict_kwargs"])
        return (
            st.lists(parts, max_size=3)
            | st.dictionaries(keys, parts, max_size=3)
            | parts.map(lambda part: json.dumps(part))
            | parts.map(lambda part: {"class_path": "ddstructs.bank.Bank", "init_args": {"memories": [part]}})
        )

    return st.recursive(leaves, wrap, max_leaves=6)


@settings(max_examples=300)
@given(data=st.data())
def test_data_of_any_shape_is_built_from_the_list_or_refused(data: st.DataObject) -> None:
    mark = Path("mark").absolute()
    value = data.draw(nested(str(mark)))
    for take in (check, build, lambda part: Settings().layer(part, "")):
        with contextlib.suppress(InputError):
            allowed = (Stack, Bank, Reversal, bool, int, float, str, list, dict, type(None))
            assert isinstance(take(value), allowed)
    for place in (["model", "memory"], ["model", "cell"], ["data"], ["trainer", "callbacks"], ["model", "push_bias"]):
        with contextlib.suppress(InputError):
            Settings().put(place, value, "--")
    assert not mark.exists()
    assert CANARY not in sys.modules


def doubled(times: int) -> Any:
    """A list that expands to 2^times strings, in a few hundred bytes."""
    part: Any = ["x"]
    for _ in range(times):
        part = [part, part]
    return part


@pytest.mark.parametrize("place", PLACES)
def test_shared_parts_count_once_per_reference(
    place: str, sound: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(planted(sound, PLACES[place], doubled(60)), "doubled.ckpt")
    for route in ("test", "trace", "fit"):
        assert ROUTES[route]("doubled.ckpt") == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_shared_parts_are_never_visited_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    for take in (check, build, lambda part: Controller(Stack(2), 4, 4, cell={"class_path": "x", "init_args": part})):
        for value in (doubled(60), {"a": doubled(60)}, {"class_path": "Stack", "init_args": {"width": doubled(60)}}):
            with pytest.raises((InputError, ValueError), match=r"more than 10000 parts|nests deeper"):
                take(value)
    stack = Stack(2)
    stack.width = doubled(60)
    with pytest.raises(TypeError, match="more than 10000 parts"):
        describe(stack)
    anchors = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
    Path("anchors.yaml").write_text(anchors)
    assert main(["fit", "--config=anchors.yaml"]) == 2
    assert "more than 10000 parts" in capsys.readouterr().err
    merges = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 60))
    Path("merges.yaml").write_text(merges)
    assert main(["fit", "--config=merges.yaml"]) == 2
    assert "merge keys" in capsys.readouterr().err
    circle = "a: &a [*a, *a]\n"
    Path("circle.yaml").write_text(circle)
    assert main(["fit", "--config=circle.yaml"]) == 2
    assert "nests deeper" in capsys.readouterr().err


@pytest.mark.parametrize("escape", ["\x1b[31mred", "\x9b31m", "\r\nddstructs: all is well", "\u202eevil", "\x07"])
def test_terminal_escapes_are_shown_and_not_sent(
    escape: str, sound: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    memory = {"class_path": f"x.{escape}", "init_args": {}}
    torch.save(planted(sound, PLACES["memory"], memory), "escape.ckpt")
    Path("escape.yaml").write_text(yaml.safe_dump({escape: 1}))
    name = f"{escape}.ckpt".replace("\r\n", "\r")
    for arguments in (
        ["test", "--ckpt_path=escape.ckpt"],
        ["test", f"--ckpt_path={name}"],
        ["trace", f"--ckpt_path={name}", "--text=a"],
        ["fit", "--config=escape.yaml"],
        ["fit", f"--config={name}"],
        ["fit", f"--data={escape}"],
        ["fit", f"--{escape}=3"],
        [escape],
    ):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert said[:-1].isprintable(), said
