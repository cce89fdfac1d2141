"""An exported controller is the network with hard signals, at any batch and length, until it says that it overflows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ddstructs import (
    Bank,
    Controller,
    Deque,
    InputError,
    Memory,
    NoMemory,
    OnnxRunner,
    Queue,
    SequenceModel,
    Stack,
    SuperpositionStack,
    Tape,
    to_onnx,
)
from ddstructs.export import packages
from ddstructs.export.step import Step
from ddstructs.nn.deep import DeepCell
from ddstructs.tasks import Reversal

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
ort = pytest.importorskip("onnxruntime")

TOLERANCE = 1e-5
CAPACITY = 24
Cell = Literal["rnn", "lstm", "gru", "deep"]
SYMBOLS = 7


def network(memory: Memory, cell: Cell | nn.Module = "rnn", seed: int = 0, **options: Any) -> Controller:
    """A controller whose signals are on and off, whose first state is not zero, and whose answers never end."""
    torch.manual_seed(seed)
    model = Controller(memory, SYMBOLS, 5, cell=cell, hidden_size=12, embedding_size=6, **options)
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.6)
    with torch.no_grad():
        if model.rnn.to_action is not None:
            model.rnn.to_action.weight.mul_(3)
            model.rnn.to_action.bias.zero_()
        if isinstance(model.rnn.cell, DeepCell):
            model.rnn.cell.weight_ho.div_(6)  # two such layers would amplify rounding errors from step to step
        model.classify.bias[-1] = -100.0
    model.rnn.hard = True
    return model.eval()


NETWORKS: dict[str, Callable[[], Controller]] = {
    "stack-rnn": lambda: network(Stack(4)),
    "stack-lstm": lambda: network(Stack(4), "lstm", read_gate=True),
    "stack-deep": lambda: network(Stack(4), "deep", seed=3, signal_skip=True),
    "stack-gru": lambda: network(Stack(4), "gru", value_skip=False, output_layer=True),
    "queue-rnn": lambda: network(Queue(4), read_skip=False).double(),
    "queue-lstm": lambda: network(Queue(4), "lstm", seed=5, learn_initial=False, state_noise=1.0),
    "queue-gru": lambda: network(Queue(4), "gru", seed=3, output_layer=True, read_gate=True),
    "deque-rnn": lambda: network(Deque(4), learn_initial=False, value_skip=False),
    "deque-lstm": lambda: network(Deque(4), "lstm", value_skip=False, read_skip=False, output_layer=True),
    "deque-gru": lambda: network(Deque(4), "gru").double(),
    "bank": lambda: network(Bank([Deque(4), Queue(4)]), "lstm", read_gate=True),
    "none": lambda: network(NoMemory(), "lstm"),
    "ring": lambda: network(Tape(4, size=3)),
}


@cache
def content(name: str) -> bytes:
    """The file of a network, with room for more values than a test pushes."""
    return exported(NETWORKS[name](), capacity=CAPACITY)


def exported(model: Controller, **options: Any) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        to_onnx(model, path, **options)
        return path.read_bytes()


def symbols(*shape: int, seed: int = 1) -> Tensor:
    return torch.randint(SYMBOLS, shape, generator=torch.Generator().manual_seed(seed))


def same(came: np.ndarray[Any, Any], expected: Tensor) -> None:
    np.testing.assert_allclose(came, expected.detach().numpy(), rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_equals_the_network_at_any_batch_and_length(name: str) -> None:
    model, runner = NETWORKS[name](), OnnxRunner(content(name))
    for shape in ((5, 12), (1, 1), (2, 7), (1, 12)):
        x = symbols(*shape)
        logits, _ = runner(x.numpy())
        assert torch.from_numpy(logits).dtype == model.classify.weight.dtype
        same(logits, model(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_cutting_a_sequence_and_carrying_the_state_changes_nothing(name: str) -> None:
    runner, x = OnnxRunner(content(name)), symbols(3, 12).numpy()
    whole, last = runner(x)
    first, state = runner(x[:, :5])
    before = {key: part.copy() for key, part in state.items()}
    rest, after = runner(x[:, 5:], state)
    assert np.array_equal(np.concatenate([first, rest], axis=1), whole)
    for key, part in after.items():
        assert np.array_equal(part, last[key])
        assert np.array_equal(state[key], before[key])


@pytest.mark.parametrize("name", NETWORKS)
def test_signals_are_on_and_off_and_the_memory_matters(name: str) -> None:
    """Otherwise the tests above would show little."""
    model, x = NETWORKS[name](), symbols(5, 12)
    run = model.rnn.unroll(model.embed(x))
    for signal in model.rnn.memory.signals.named(run.actions).values():
        assert 0.05 < signal.mean() < 0.95
    if name not in ("none", "ring"):
        assert run.reads.any()
        assert (run.reads == 0).all(-1).any(), "no memory was ever empty"


@pytest.mark.parametrize("name", ["stack-rnn", "deque-gru", "bank", "ring"])
def test_padding_leaves_a_row_as_it_is(name: str) -> None:
    runner, x = OnnxRunner(content(name)), symbols(3, 8).numpy()
    padded = x.copy()
    padded[0, 5:], padded[1], padded[2, 2:4] = -1, -7, -1
    logits, state = runner(padded)
    alone, after = runner(x[:1, :5])
    np.testing.assert_allclose(logits[:1, :5], alone, rtol=TOLERANCE, atol=TOLERANCE)
    for key, part in state.items():
        np.testing.assert_allclose(part[:1], after[key], rtol=TOLERANCE, atol=TOLERANCE)
    begun, _ = runner(x, state)
    np.testing.assert_allclose(begun[1:2], runner(x[1:2])[0], rtol=TOLERANCE, atol=TOLERANCE)
    within, _ = runner(np.delete(x[2:], [2, 3], axis=1))
    np.testing.assert_allclose(np.delete(logits[2:], [2, 3], axis=1), within, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["stack-lstm", "queue-gru", "deque-rnn"])
def test_a_row_of_zeros_begins_afresh(name: str) -> None:
    runner, x = OnnxRunner(content(name)), symbols(2, 9).numpy()
    _, state = runner(x[:, :4])
    for part in state.values():
        part[1] = 0
    logits, _ = runner(x[:, 4:], state)
    np.testing.assert_allclose(logits[:1], runner(x[:1])[0][:, 4:], rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_allclose(logits[1:], runner(x[1:, 4:])[0], rtol=TOLERANCE, atol=TOLERANCE)


def test_nothing_to_read_is_nothing_done() -> None:
    runner = OnnxRunner(content("stack-rnn"))
    _, state = runner(symbols(2, 3).numpy())
    logits, after = runner(np.zeros((2, 0), int), state)
    assert logits.shape == (2, 0, 5)
    assert all(np.array_equal(after[key], part) for key, part in state.items())
    assert runner(np.zeros((0, 4), int))[0].shape == (0, 4, 5)


def test_any_onnx_runtime_runs_it_from_a_state_of_zeros() -> None:
    """The loop that the documentation shows needs none of our code."""
    session = ort.InferenceSession(content("stack-rnn"), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    state = [np.zeros(part.shape, part.dtype) for part in OnnxRunner(content("stack-rnn")).initial_state(2).values()]
    x, found = symbols(2, 6), []
    for t in range(6):
        logits, overflow, *state = session.run(None, dict(zip(names, [x[:, t : t + 1].numpy(), *state], strict=True)))
        found.append(logits)
        assert not overflow.any()
    same(np.concatenate(found, axis=1), NETWORKS["stack-rnn"]()(x))


def reverser(length: int = 3) -> Controller:
    """A controller that reverses sequences of any length, with weights set by hand.

    It pushes source symbols and pops one value for each symbol that it is fed back; the read says the answer, and
    without one it is the end.
    """
    task, size = Reversal(symbols=length), length + 2
    model = Controller(Stack(length), task.input_symbols, task.output_symbols, hidden_size=size, embedding_size=size)
    for weight in model.parameters():
        nn.init.zeros_(weight)
    source, told, marks = torch.arange(length), torch.eye(length), torch.eye(size)[length:]
    rnn: Any = model.rnn
    with torch.no_grad():
        model.embed.weight[2 + source, :length] = told
        model.embed.weight[2 + source, length] = 1.0
        model.embed.weight[2 + length + source, length + 1] = 1.0
        rnn.cell.weight_ih[length:, :size] = 9 * marks
        rnn.to_action.weight[:2] = 9 * marks
        rnn.to_action.bias[:2] = -4.0
        rnn.value_skip.weight[:, :length] = 9 * told
        rnn.read_skip.weight[:length] = 9 * told
        model.classify.weight[:length, :length] = told
        model.classify.bias[length] = 4.0
    return model.eval()


@cache
def reversing() -> bytes:
    return exported(reverser(), capacity=40, task=Reversal(symbols=3))


def test_a_controller_that_reverses_answers_as_in_pytorch() -> None:
    runner, generator = OnnxRunner(reversing()), np.random.default_rng(0)
    sources = [generator.integers(3, size=n) for n in (1, 4, 40, 17, 2)]
    answers = runner.decode([[0, *(source + 2), 1] for source in sources])
    assert answers == [[*source[::-1], 3] for source in sources]
    task, model = Reversal(symbols=3), reverser()
    model.rnn.hard = True
    lengths = torch.tensor([len(source) for source in sources])
    padded = torch.zeros(len(sources), 40, dtype=torch.int64)
    for row, source in zip(padded, sources, strict=True):
        row[: len(source)] = torch.tensor(source)
    batch = task.assemble(padded, lengths)
    decoded = model.decode(batch)[:, int(lengths.max()) + 2 - 1 :]
    for row, answer in zip(decoded.tolist(), answers, strict=True):
        assert [symbol for symbol in row if symbol >= 0] == answer


def test_an_answer_ends_at_its_limit() -> None:
    runner = OnnxRunner(reversing())
    prompts = [[0, 2, 3, 4, 1], [0, 2, 1], [0, 1]]
    assert runner.decode(prompts, limit=2) == [[2, 1], [0, 3], [3]]
    endless = OnnxRunner(content("none")).decode([[0, 2, 1], [0, 2, 3, 4, 1]])
    assert [len(answer) for answer in endless] == [6, 10]


def test_more_values_than_there_is_room_for_are_told() -> None:
    runner = OnnxRunner(reversing())
    long, short = [0, *[2] * 41, 1], [0, 2, 3, *[-1] * 40]
    with pytest.raises(InputError, match=r"row 1 has more than 40 values in its memory at step 41.*larger capacity"):
        runner([short, long])
    _, overflow, state = runner.run([short, long])
    assert not overflow[0].any()
    assert overflow[1].tolist() == [False] * 41 + [True] * 2
    with pytest.raises(InputError, match="row 1 has more than 40 values"):
        runner([[1], [1]], state)
    with pytest.raises(InputError, match="row 0 has more than 40"):
        runner.decode([long])


def test_the_file_says_what_it_is() -> None:
    runner, task = OnnxRunner(reversing()), Reversal(symbols=3)
    assert (runner.task, runner.capacity) == ("Reversal", 40)
    assert runner.input_names == [task.input_name(symbol) for symbol in range(task.input_symbols)]
    assert runner.output_names == [task.output_name(symbol) for symbol in range(task.output_symbols)]
    said = runner.session.get_modelmeta()
    assert said.producer_name == "ddstructs"
    assert json.loads(said.custom_metadata_map["memory"]) == {
        "class_path": "ddstructs.stack.Stack",
        "init_args": {"width": 3},
    }
    nameless = OnnxRunner(content("none"))
    assert (nameless.task, nameless.input_names, nameless.input_symbols) == (None, None, SYMBOLS)


def test_it_holds_no_path_of_this_machine_and_is_the_same_each_time() -> None:
    again = exported(NETWORKS["stack-rnn"](), capacity=CAPACITY)
    assert again == content("stack-rnn")
    assert b".py" not in again
    assert str(Path.cwd()).encode() not in again


def odd_name(task: Reversal, symbol: int) -> str:
    """Symbols that a terminal, JSON or a language made for text might choke on."""
    return ["\ud800", "\x00", '"\n', "é", "", "</s>", "a" * 10_000, "{}"][symbol]


def test_the_controller_is_left_as_it_is_and_names_of_any_kind_come_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reversal, "input_name", odd_name)
    model = reverser().train()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    path = tmp_path / "\udcff\n é'\"; $(x)"
    path.mkdir()
    to_onnx(model, path / "-.onnx", task=Reversal(symbols=3))
    expected = [odd_name(Reversal(symbols=3), symbol) for symbol in range(8)]
    assert OnnxRunner(path / "-.onnx").input_names == expected
    assert [each.name for each in path.iterdir()] == ["-.onnx"]
    assert model.training
    assert not model.rnn.hard
    assert type(model.rnn.memory) is Stack
    assert all(weight.requires_grad for weight in model.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


@pytest.mark.parametrize("cell", get_args(Cell))
@pytest.mark.parametrize("name", ["stack", "queue", "deque", "bank", "none", "ring"])
@pytest.mark.parametrize("seed", range(3))
def test_a_step_in_a_loop_equals_the_network(name: str, cell: Cell, seed: int) -> None:
    """Before any export, for options that are drawn."""
    kinds: dict[str, Callable[[], Memory]] = {
        "stack": lambda: Stack(3), "queue": lambda: Queue(3), "deque": lambda: Deque(3), "none": NoMemory,
        "bank": lambda: Bank([Queue(3), Deque(3)]), "ring": lambda: Tape(3, size=4, jump=2),
    }  # fmt: skip
    draw = np.random.default_rng([seed, *map(ord, name + cell)]).integers(2, size=6).astype(bool).tolist()
    switches = "value_skip", "read_skip", "read_gate", "output_layer", "learn_initial", "signal_skip"
    options = dict(zip(switches, draw, strict=True))
    options["read_gate"] &= options["read_skip"]
    model = network(kinds[name](), cell, **options)
    x, step = symbols(4, 10, seed=seed), Step(model, CAPACITY)
    state, logits = step.initial(4), []
    for t in range(10):
        logit, overflow, *state = step(x[:, t], *state)
        assert not overflow.any()
        logits.append(logit)
    torch.testing.assert_close(torch.stack(logits, dim=1), model(x), rtol=TOLERANCE, atol=TOLERANCE)


class Mean(nn.Module):
    """A cell of one's own."""

    def __init__(self, input_size: int, hidden_size: int, bad: bool = False) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bad = input_size, hidden_size, bad
        self.mix = nn.Linear(input_size, hidden_size)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        if self.bad and float(x.sum()) > 0:
            return hidden
        mixed: Tensor = (hidden + self.mix(x)) / 2
        return mixed


def test_a_cell_of_ones_own_is_exported_or_refused_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    model, x = network(Stack(4), Mean(10, 12)), symbols(3, 9)
    same(OnnxRunner(exported(model))(x.numpy())[0], model(x))
    with pytest.raises(InputError, match="torch cannot export Mean with Stack: ") as error:
        exported(network(Stack(4), Mean(10, 12, bad=True)))
    assert capfd.readouterr() == ("", "")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = network(Stack(4))
    with torch.no_grad():
        model.classify.bias[0] = torch.nan
    (tmp_path / "model.onnx").write_bytes(b"before")
    with pytest.raises(InputError, match="not finite"):
        to_onnx(model, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == b"before"


REFUSED: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "tape": (lambda: network(Tape(4)), {}, "the state of Tape.* grows with time.* fixed size"),
    "superposition": (lambda: network(SuperpositionStack(4)), {}, "grows with time"),
    "bank": (lambda: network(Bank([Stack(4), Tape(4)])), {}, "grows with time"),
    "layers": (lambda: SequenceModel(Stack(4), 7, 5), {}, "is a SequenceModel, but a Controller was expected"),
    "network": (lambda: network(Stack(4)).rnn, {}, "is a MemoryRNN, but a Controller was expected"),
    "half": (lambda: network(Stack(4)).half(), {}, "float16.*model.float"),
    "capacity": (lambda: network(Stack(4)), {"capacity": 0}, "capacity is 0"),
    "large": (lambda: network(Stack(4)), {"capacity": 2**26}, "take at most 33554432"),
    "task": (lambda: network(Stack(4)), {"task": Reversal()}, "Reversal has 258 input and 129 output symbols"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exported_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    make, options, message = REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=message) as error:
        to_onnx(make(), tmp_path / "model.onnx", **options)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named_with_the_way_to_install_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = content("none")
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"need onnx and onnxscript and onnxruntime: pip install 'onnx>="):
        to_onnx(network(Stack(4)), tmp_path / "model.onnx")
    with pytest.raises(InputError, match=r"need onnxruntime: pip install 'onnx>="):
        OnnxRunner(file)


def test_a_file_that_is_no_exported_controller_is_refused_in_one_line(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    empty = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    other = helper.make_model(
        helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "other", [empty],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])]), opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )  # fmt: skip
    (tmp_path / "other.onnx").write_bytes(other.SerializeToString())
    (tmp_path / "cut.onnx").write_bytes(content("none")[:-500])
    (tmp_path / "text.onnx").write_text("no model")
    for name, message in (
        ("other.onnx", "not an ONNX file of a controller"), ("cut.onnx", "damaged"), ("text.onnx", "damaged"),
        ("missing.onnx", "there is no file"), (".", "there is no file"), ("a\x00b\nc.onnx", "there is no file"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message) as error:
            OnnxRunner(tmp_path / name)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[0, SYMBOLS]], f"symbol {SYMBOLS} is not among the {SYMBOLS}"),
        ([0, 1], r"symbols is int64 of shape \(2,\), but ints of shape \(batch, time\)"),
        ([[0.5]], "symbols is float64"),
        ("abc", r"symbols is <U3 of shape \(\)"),
        ([[1], [1, 2]], "symbols has rows of different lengths, but ints of shape"),
    ],
)
def test_symbols_that_cannot_be_read_are_refused(x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OnnxRunner(content("stack-rnn"))(x)


def test_a_state_that_does_not_fit_is_refused() -> None:
    runner = OnnxRunner(content("stack-rnn"))
    for state in (runner.initial_state(3), OnnxRunner(content("queue-lstm")).initial_state(2), {}):
        with pytest.raises(ValueError, match="the state has the shapes"):
            runner([[1], [1]], state)
    fresh = runner.initial_state(2)
    name = next(name for name, part in fresh.items() if part.dtype == np.float32)
    with pytest.raises(TypeError, match=f"^{re.escape(name)} of the state is float64, but float32 was expected$"):
        runner([[1], [1]], fresh | {name: fresh[name].astype(np.float64)})
    with pytest.raises(TypeError, match=r"^state is \[1\], but one that an earlier call or initial_state returned"):
        runner([[1], [1]], cast("Any", [1]))


@pytest.mark.parametrize(
    ("prompts", "error", "message"),
    [
        ([[1], []], InputError, "prompt 1 is empty, but one symbol or more was expected"),
        ([], InputError, "there are no prompts, but one or more were expected"),
        (["abc"], TypeError, f"prompt 0 is 'abc', but a list of ints in 0..{SYMBOLS - 1} was expected: "),
        ([[1], ["a"]], TypeError, "prompt 1 is ['a'], but a list of ints"),
        ([[1], 2], TypeError, "prompt 1 is 2, but a list of ints"),
        ([[1.5]], TypeError, "prompt 0 is [1.5], but a list of ints"),
        ([[[1], [2, 3]]], TypeError, "prompt 0 is [[1], [2, 3]], but a list of ints"),
        ([None], TypeError, "prompt 0 is None, but a list of ints"),
        ("abc", TypeError, "prompts is 'abc', but a list of prompts was expected, each a list of ints"),
        (3, TypeError, "prompts is 3, but a list of prompts"),
    ],
)
def test_prompts_that_cannot_be_read_are_refused(prompts: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        OnnxRunner(content("stack-rnn")).decode(prompts)


def test_prompts_may_be_arrays_and_a_limit_is_an_int() -> None:
    runner = OnnxRunner(content("none"))
    assert runner.decode(cast("Any", np.array([[0, 2, 1], [0, 3, 1]]))) == runner.decode([[0, 2, 1], [0, 3, 1]])
    for limit in ("abc", 2.5):
        with pytest.raises(TypeError, match=f"^limit is {limit!r}, but an int was expected"):
            runner.decode([[0, 2, 1]], limit=cast("Any", limit))


@pytest.mark.parametrize(("size", "error"), [(-1, ValueError), (2.5, TypeError), ("2", TypeError), (None, TypeError)])
def test_a_batch_size_of_a_state_is_an_int_from_0(size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^batch_size is {size!r}, but "):
        OnnxRunner(content("stack-rnn")).initial_state(size)
