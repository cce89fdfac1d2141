"""A checkpoint is data: what it describes is built again, and what it must not name is never imported."""

import contextlib
import io
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ddstructs import Bank, Deque, InputError, Memory, NoMemory, Queue, Stack
from ddstructs.registry.describe import describe
from ddstructs.registry.spec import build, check
from ddstructs.tasks import BinaryAddition, Reversal
from ddstructs.training.checkpoint import TASK, load_weights, read, task_name

CONTENT: dict[str, Any] = {
    "state_dict": {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)},
    "hyper_parameters": {"memory": describe(Stack(4)), "cell": "rnn", "push_bias": [0.0, 1.0]},
    TASK: {"class_path": "ddstructs.tasks.reversal.Reversal", "init_args": {"symbols": 8}},
}
"""What a checkpoint of a controller holds."""


def saved(content: object, path: Path, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


# Describing and building.


@pytest.mark.parametrize(
    "memory",
    [
        Stack(3),
        Queue(1),
        Deque(128),
        NoMemory(),
        Bank([Stack(3), Queue(3), Deque(3)]),
        Bank([Bank([Stack(2)]), Deque(2)]),
    ],
    ids=repr,
)
def test_a_memory_is_built_as_it_was_described(memory: Memory) -> None:
    twin = build(describe(memory))
    assert type(twin) is type(memory)
    assert repr(twin) == repr(memory)
    assert (twin.heads, twin.width) == (memory.heads, memory.width)
    assert describe(twin) == describe(memory)


@pytest.mark.parametrize(
    "cell", [nn.GRUCell(5, 3), nn.LSTMCell(2, 4, bias=False), nn.RNNCell(1, 2, nonlinearity="relu")]
)
def test_a_cell_of_torch_is_built_as_it_was_described(cell: nn.Module) -> None:
    twin = build(describe(cell))
    assert type(twin) is type(cell)
    assert repr(twin) == repr(cell)
    assert [p.shape for p in twin.parameters()] == [p.shape for p in cell.parameters()]


@pytest.mark.parametrize(
    "task", [Reversal(symbols=9, train_lengths=(2, 5), seed=3), BinaryAddition()], ids=["own", "default"]
)
def test_every_setting_of_a_task_is_described(task: Reversal | BinaryAddition) -> None:
    spec = describe(task)
    check(spec)
    twin = type(task)(**spec["init_args"])
    assert describe(twin) == spec


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=5), parts, max_size=3),
    max_leaves=8,
)


@given(plain)
def test_plain_data_stays_as_it_is(data: object) -> None:
    assert build(data) == data


class Forgetful(nn.Module):
    """A module that does not keep its argument."""

    def __init__(self, size: int, other: object = None) -> None:
        super().__init__()
        if other is not None:
            self.size = size
            self.other = other


def test_what_cannot_be_described_is_refused() -> None:
    with pytest.raises(
        TypeError, match="Forgetful takes size, but has no attribute of that name: store each constructor"
    ):
        describe(Forgetful(3))
    with pytest.raises(TypeError, match=re.escape("Forgetful.other is a set, but a checkpoint holds numbers, strings")):
        describe(Forgetful(3, {1}))
    with pytest.raises(TypeError, match=re.escape("Linear.bias is a Parameter, but a checkpoint holds")):
        describe(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"class_path": "ddstructs.stack.Stck"}, "the class 'ddstructs.stack.Stck' is refused"),
        ({"class_path": "ddstructs.nowhere.Stack"}, "the class 'ddstructs.nowhere.Stack' is refused"),
        ({"class_path": "ddstructs.line.LineMemory"}, "the class 'ddstructs.line.LineMemory' is refused"),
        ({"class_path": "torch.nn.Linear"}, "the class 'torch.nn.Linear' is refused"),
        ({"class_path": "ddstructs."}, "the class 'ddstructs.' is refused"),
        ({"class_path": "torch.nn..os"}, "the class 'torch.nn..os' is refused"),
        ({"class_path": "ddstructs.registry.plugins.import_module", "init_args": {"name": "this"}}, "is refused"),
        ({"class_path": "ddstructs.training.checkpoint.Path", "init_args": {}}, "is refused"),
        ({"class_path": "torch.nn.init.ones_"}, "is refused"),
        (
            {"class_path": "ddstructs.stack.Stack", "init_args": {"depth": 3}},
            "cannot build Stack: depth is not an argument",
        ),
        ({"class_path": "ddstructs.stack.Stack", "init_args": {"width": 0}}, "width is 0"),
        (
            {"class_path": "ddstructs.stack.Stack", "init_args": [3]},
            "the init_args of ddstructs.stack.Stack are ",
        ),
        (
            {"class_path": "ddstructs.stack.Stack", "init_args": None},
            "the init_args of ddstructs.stack.Stack are ",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        build(spec)
    assert "\n" not in str(caught.value)


def test_data_that_nests_without_end_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for refuse in (check, build):
        with pytest.raises(InputError, match="nests deeper than 100 levels"):
            refuse({"memory": deep})


# What must not be imported.

MARK = "from pathlib import Path\nPath({marker!r}).touch()\nfrom ddstructs import Stack as X\n"


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that appears if a module of another is imported; those modules are in reach."""
    marker = tmp_path / "marker"
    for name in ("ddstructs_evil", "torch_evil", "evil"):
        (tmp_path / f"{name}.py").write_text(MARK.format(marker=str(marker)))
    monkeypatch.syspath_prepend(str(tmp_path))
    return marker


OUTSIDE: list[Any] = [
    "os.system",
    "evil.X",
    "ddstructs_evil.X",
    "torch_evil.X",
    "torch.hub.load",
    "torch.nnevil.X",
    "torch.load",
    "builtins.eval",
    "ddstructs",
    "",
    "..evil.X",
    " ddstructs.stack.Stack",
    None,
    3,
    ["ddstructs.stack.Stack"],
]


@pytest.mark.parametrize("path", OUTSIDE, ids=repr)
def test_a_class_from_outside_is_refused_before_it_is_imported(path: Any, marker: Path) -> None:
    spec = {"class_path": path, "init_args": {}}
    nested = {"class_path": "ddstructs.bank.Bank", "init_args": {"memories": [describe(Stack(2)), {"a": (spec,)}]}}
    for whole in (spec, nested, [1, [spec]], {"deep": {"deeper": spec}}):
        for refuse in (check, build):
            with pytest.raises(
                InputError, match=re.escape(f"the class {path!r} is refused: use a name from ddstructs list")
            ):
                refuse(whole)
    assert not marker.exists()


def test_the_marker_would_have_appeared(marker: Path) -> None:
    __import__("evil")
    assert marker.exists()


@pytest.mark.parametrize("place", ["hyper_parameters", TASK])
def test_a_checkpoint_that_names_a_class_from_outside_is_refused(place: str, marker: Path, tmp_path: Path) -> None:
    attack = {"class_path": "evil.X", "init_args": {}}
    content = CONTENT | {place: {"memory": attack} if place == "hyper_parameters" else attack}
    with pytest.raises(InputError, match=re.escape("the class 'evil.X' is refused")):
        read(saved(content, tmp_path / "model.ckpt"))
    assert not marker.exists()


class Attack:
    """What runs code when it is unpickled in the usual way."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["state_dict", "hyper_parameters", "callbacks"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(place: str, zipped: bool, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    content = CONTENT | {place: {"x": Attack(marker)}}
    path = saved(content, tmp_path / "model.ckpt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        InputError, match="is refused: it is not a checkpoint, or contains more than weights and plain data"
    ):
        read(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists()


def test_a_bare_pickle_is_refused_and_does_not_run(tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "model.ckpt"
    path.write_bytes(pickle.dumps(Attack(marker)))
    with pytest.raises(InputError, match=r"model\.ckpt"):
        read(path)
    assert not marker.exists()


# Reading a checkpoint.


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_is_read_as_it_was_saved(zipped: bool, tmp_path: Path) -> None:
    content = read(saved(CONTENT, tmp_path / "model.ckpt", _use_new_zipfile_serialization=zipped))
    assert content["hyper_parameters"] == CONTENT["hyper_parameters"]
    assert content[TASK] == CONTENT[TASK]
    assert all(torch.equal(content["state_dict"][name], value) for name, value in CONTENT["state_dict"].items())
    assert task_name(content) == "Reversal"


def test_weights_are_put_into_the_model_that_fits(tmp_path: Path) -> None:
    path = saved(CONTENT, tmp_path / "model.ckpt")
    model = nn.Linear(3, 2)
    load_weights(model, read(path), path)
    assert torch.equal(model.weight, CONTENT["state_dict"]["weight"])
    for other in (nn.Linear(4, 2), nn.Linear(3, 2, bias=False), nn.Bilinear(3, 2, 1)):
        with pytest.raises(InputError, match=re.escape(f"the weights in {path} do not fit the model")) as caught:
            load_weights(other, read(path), path)
        assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.ckpt"):
        with pytest.raises(InputError, match=re.escape(f"no checkpoint at {path}")):
            read(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_is_cut_short_is_refused(zipped: bool, tmp_path: Path) -> None:
    whole = saved(CONTENT, tmp_path / "whole.ckpt", _use_new_zipfile_serialization=zipped).read_bytes()
    path = tmp_path / "model.ckpt"
    for length in [*range(64), *range(64, len(whole) - 1, 1 + len(whole) // 100), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=re.escape(str(path))) as caught:
            read(path)
        assert "\n" not in str(caught.value)


@settings(max_examples=300)
@given(content=st.binary(max_size=200))
def test_random_bytes_are_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "random.ckpt"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read(path)
    assert "\n" not in str(caught.value)


@settings(max_examples=200)
@given(data=st.data(), zipped=st.booleans())
def test_a_file_with_a_wrong_byte_is_read_or_refused(
    data: st.DataObject, zipped: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = io.BytesIO()
    torch.save(CONTENT, file, _use_new_zipfile_serialization=zipped)
    content = bytearray(file.getvalue())
    content[data.draw(st.integers(0, len(content) - 1), "place")] = data.draw(st.integers(0, 255), "byte")
    path = tmp_path_factory.getbasetemp() / "wrong.ckpt"
    path.write_bytes(content)
    with contextlib.suppress(InputError):  # and nothing else
        read(path)


OTHERS: list[Any] = [
    CONTENT["state_dict"],
    [],
    {},
    torch.zeros(3),
    None,
    {name: value for name, value in CONTENT.items() if name != TASK},
    CONTENT | {"state_dict": [1]},
    CONTENT | {"state_dict": {"weight": 3}},
    CONTENT | {"state_dict": {3: torch.zeros(2)}},
    CONTENT | {"hyper_parameters": [1]},
    CONTENT | {"hyper_parameters": {1: 2}},
    CONTENT | {TASK: "Reversal"},
    CONTENT | {TASK: {"init_args": {}}},
    CONTENT | {TASK: {"class_path": "ddstructs.tasks.reversal.Reversal"}},
]


@pytest.mark.parametrize("content", OTHERS, ids=range(len(OTHERS)))
def test_a_file_that_holds_something_else_is_refused(content: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a checkpoint of a ddstructs model|does not name the task"):
        read(saved(content, tmp_path / "model.ckpt"))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("memory", "ddstructs.stack.Stack"), ("memory", None), ("cell", "torch.nn.GRUCell"), ("cell", 3)],
)
def test_a_memory_or_a_cell_in_another_form_is_refused(setting: str, value: object, tmp_path: Path) -> None:
    content = CONTENT | {"hyper_parameters": CONTENT["hyper_parameters"] | {setting: value}}
    with pytest.raises(InputError, match=f"the {setting} in .* was expected"):
        read(saved(content, tmp_path / "model.ckpt"))
