"""A model in a folder: what was saved comes back bit for bit, and what a stranger wrote is refused in one line."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ddstructs import Bank, Controller, Deque, InputError, MemoryRNN, NoMemory, Queue, Stack, SuperpositionStack
from ddstructs.files import replacing
from ddstructs.nn import pretrained
from ddstructs.nn.pretrained import SETTINGS, WEIGHTS
from ddstructs.registry.describe import describe

NETWORKS: dict[str, Callable[[], MemoryRNN]] = {
    "stack": lambda: MemoryRNN(3, 5, Stack(4)),
    "bank": lambda: MemoryRNN(3, 5, Bank([Stack(4), Queue(4)]), "gru", batch_first=True, read_gate=True),
    "deque": lambda: MemoryRNN(3, 5, Deque(4), "lstm", push_bias=(1.0, -1.0), pop_bias=-2, state_noise=0.5),
    "superposition": lambda: MemoryRNN(3, 5, SuperpositionStack(4), value_skip=False, output_layer=True),
    "nothing": lambda: MemoryRNN(3, 5, NoMemory(), "lstm", learn_initial=False),
    "double": lambda: MemoryRNN(3, 5, Stack(4), read_skip=False, hard=True, dtype=torch.float64),
    "own cell": lambda: MemoryRNN(3, 5, Stack(4), nn.RNNCell(7, 5, nonlinearity="relu")),
}


def controller(**settings: Any) -> Controller:
    return Controller(Stack(4), 6, 7, hidden_size=8, embedding_size=4, **settings)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_comes_back_bit_for_bit(network: str, tmp_path: Path) -> None:
    model = NETWORKS[network]().eval()
    model.save_pretrained(tmp_path / "a" / "b")
    again = MemoryRNN.from_pretrained(tmp_path / "a" / "b")
    assert again.settings == model.settings
    assert again.starts == model.starts
    weights = again.state_dict()
    assert weights.keys() == model.state_dict().keys()
    for name, weight in model.state_dict().items():
        assert weights[name].dtype == weight.dtype
        assert torch.equal(weights[name], weight)
    x = torch.randn(4, 2, 3, dtype=next(model.parameters()).dtype)
    assert torch.equal(again(x)[0], model(x)[0])
    assert all(each.requires_grad for each in again.parameters())


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "deep"])
def test_a_controller_comes_back_bit_for_bit(cell: str, tmp_path: Path) -> None:
    model = controller(cell=cell, push_bias=[0.5]).eval()
    model.save_pretrained(tmp_path)
    before = torch.get_rng_state()
    again = Controller.from_pretrained(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert dict(again.hparams) == dict(model.hparams)
    assert not again.training
    inputs = torch.randint(0, 6, (2, 9))
    assert torch.equal(again(inputs), model(inputs))


def test_settings_can_be_overridden_unless_the_weights_mean_something_else_then(tmp_path: Path) -> None:
    controller().save_pretrained(tmp_path)
    assert Controller.from_pretrained(tmp_path, hard=True).rnn.hard
    with pytest.raises(InputError, match="keep memory as it is"):
        Controller.from_pretrained(tmp_path, memory=Queue(4))
    with pytest.raises(InputError, match="unexpected keyword argument 'colour'"):
        Controller.from_pretrained(tmp_path, colour="red")


def test_the_files_are_what_others_read(tmp_path: Path) -> None:
    model = controller()
    model.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {SETTINGS, WEIGHTS}
    described = json.loads((tmp_path / SETTINGS).read_text())
    assert described == {"class_path": "ddstructs.training.controller.Controller", "init_args": dict(model.hparams)}
    assert load_file(tmp_path / WEIGHTS).keys() == model.state_dict().keys()


def test_a_failed_save_leaves_the_earlier_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    controller().save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(path: Path) -> Any:
        if path.name == SETTINGS:
            raise OSError(28, "No space left on device", str(path))
        return replacing(path)

    monkeypatch.setattr(pretrained, "replacing", full)
    with pytest.raises(OSError, match="No space left"):
        controller(learn_initial=False).save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


class Hidden(nn.RNNCell):
    """A cell that is on no list."""


def test_a_cell_of_ones_own_is_passed_again(tmp_path: Path) -> None:
    MemoryRNN(3, 5, Stack(4), Hidden(7, 5)).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="Hidden"):
        MemoryRNN.from_pretrained(tmp_path)
    assert isinstance(MemoryRNN.from_pretrained(tmp_path, cell=Hidden(7, 5)).cell, Hidden)


Change = Callable[[Path], object]


def settings(change: Callable[[dict[str, Any]], object]) -> Change:
    """Change the settings of a folder."""

    def apply(folder: Path) -> None:
        described = json.loads((folder / SETTINGS).read_text())
        change(described)
        (folder / SETTINGS).write_text(json.dumps(described))

    return apply


def setting(**values: Any) -> Change:
    """Change arguments of the constructor."""
    return settings(lambda described: described["init_args"].update(values))


def text(content: str | bytes) -> Change:
    """Replace the settings."""
    return lambda folder: (folder / SETTINGS).write_bytes(content.encode() if isinstance(content, str) else content)


def weights(content: bytes) -> Change:
    """Replace the weights."""
    return lambda folder: (folder / WEIGHTS).write_bytes(content)


def weight(change: Callable[[dict[str, Tensor]], object]) -> Change:
    """Change weights."""

    def apply(folder: Path) -> None:
        found = load_file(folder / WEIGHTS)
        change(found)
        save_file(found, folder / WEIGHTS)

    return apply


def header(described: object) -> bytes:
    """A file of weights with a header, and nothing else."""
    content = json.dumps(described).encode()
    return struct.pack("<Q", len(content)) + content


HOSTILE: dict[str, tuple[Change, str]] = {
    "no settings": (lambda folder: (folder / SETTINGS).unlink(), "no config.json"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "no model.safetensors"),
    "settings are a folder": (
        lambda f: (f / SETTINGS).rename(f / "x").parent.joinpath(SETTINGS).mkdir(),
        "no config.json",
    ),
    "no JSON": (text("{"), "is not JSON"),
    "no text": (text(b"\xff\xfe\x00"), "is not JSON"),
    "a list": (text("[1]"), "does not describe a model"),
    "deep": (text("[" * 100_000 + "]" * 100_000), "nested too deeply"),
    "large": (text(" " * 2_000_000), "more than 1000000 bytes"),
    "many parts": (text(json.dumps([0] * 20_000)), "more than 10000 parts"),
    "not a number": (text('{"class_path": NaN}'), "NaN is not a number"),
    "huge number": (text("9" * 10_000), "is not JSON"),
    "name twice": (text('{"class_path": "a", "class_path": "b"}'), "occurs twice"),
    "another class": (
        settings(lambda d: d.update(class_path="ddstructs.nn.rnn.MemoryRNN")),
        "a Controller was expected",
    ),
    "a class to import": (settings(lambda d: d.update(class_path="os.system")), "a Controller was expected"),
    "a memory to import": (setting(memory={"class_path": "os.system", "init_args": {"command": "x"}}), "os.system"),
    "a cell to import": (setting(cell={"class_path": "builtins.exec", "init_args": {"source": "x"}}), "exec"),
    "a class in a setting": (setting(clip={"class_path": "os.system", "init_args": {}}), "os.system"),
    "no memory": (setting(memory=3), "a class path with arguments was expected"),
    "unknown setting": (setting(more=1), "do not build a Controller"),
    "wrong setting": (setting(hidden_size="x"), "do not build a Controller"),
    "large network": (setting(hidden_size=10**9), "do not fit"),
    "large memory": (setting(memory=describe(Stack(10**9))), "do not fit"),
    "other meaning": (setting(read_gate=True), "is missing"),
    "empty weights": (weights(b""), "is damaged"),
    "cut weights": (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-4]), "is damaged"),
    "pickled weights": (lambda f: torch.save({}, f / WEIGHTS), "is refused"),
    "endless header": (weights(struct.pack("<Q", 2**63) + b"{}"), "is refused"),
    "header larger than the file": (weights(struct.pack("<Q", 900_000) + b"{}"), "is damaged"),
    "weights that are not there": (
        weights(header({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}})),
        "is damaged",
    ),
    "shapes that overflow": (
        weights(header({"a": {"dtype": "F32", "shape": [2**33, 2**33], "data_offsets": [0, 0]}})),
        "is damaged",
    ),
    "weights of nothing": (
        weights(header({"embed.weight": {"dtype": "F32", "shape": [0, 2**60], "data_offsets": [0, 0]}})),
        "do not fit",
    ),
    "more weights": (weight(lambda w: w.update(more=torch.zeros(1))), "the model has no more"),
    "fewer weights": (weight(lambda w: w.pop("embed.weight")), "embed.weight is missing"),
    "another shape": (weight(lambda w: w.update({"embed.weight": torch.zeros(4, 6)})), "was expected"),
    "whole numbers": (weight(lambda w: w.update({"embed.weight": torch.zeros(6, 4, dtype=torch.int8)})), "int8"),
    "tiny floats": (weight(lambda w: w.update({"embed.weight": torch.zeros(6, 4).to(torch.float8_e5m2)})), "float8"),
    "infinite weight": (weight(lambda w: w["embed.weight"].fill_(torch.inf)), "not finite"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_a_stranger_wrote_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    controller().save_pretrained(tmp_path)
    change, message = HOSTILE[case]
    change(tmp_path)
    with pytest.raises(InputError, match=message) as error:
        Controller.from_pretrained(tmp_path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def test_a_folder_that_is_not_there_is_no_name_of_a_download(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="downloads nothing"):
        Controller.from_pretrained(tmp_path / "someone" / "model")
