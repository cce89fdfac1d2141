"""A trace records exactly what happened, and survives saving and loading unchanged."""

from __future__ import annotations

import copy
import importlib
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kinds import EVERYTHING, KINDS
from torch import Tensor

from ddstructs import (
    Action,
    Bank,
    Controller,
    Deque,
    InputError,
    Memory,
    MemoryRNN,
    NoMemory,
    Queue,
    Stack,
    Tape,
    Trace,
    diagnose,
    trace,
)
from ddstructs.actions import mapped
from ddstructs.tasks import BigramFlipping, BinaryAddition, Copying, Reversal, Task, Transduction
from ddstructs.tasks.batch import IGNORE
from ddstructs.testing import assert_close, for_all_actions
from ddstructs.view.film import film
from ddstructs.view.order import line_order

WIDTH = 3
TENSORS = ("signals", "value", "reads", "strengths", "lengths", "input", "output", "rounded")


@pytest.fixture(scope="module")
def register() -> Memory:
    """A third-party memory whose slot mixes the pushed values."""
    sys.path.insert(0, str(Path(__file__).parent / "plugin"))
    try:
        register: Memory = importlib.import_module("ddstructs_register.register").Register(WIDTH)
    finally:
        del sys.path[0]
    return register


def at_time(trace: Trace, time: int) -> tuple[Tensor, Tensor]:
    """Values and strengths after a step, without the padding of deeper steps."""
    values, strengths = trace.contents(time)
    slots = int((strengths > 0).sum(dim=1).max())
    assert not strengths[:, slots:].any()
    assert not values[:, slots:].any()
    return values[:, :slots], strengths[:, :slots]


def check_against_the_memory(memory: Memory, action: Any) -> None:
    seen = trace(memory, action)
    state = memory.initial_state(len(action.value), dtype=torch.float64)
    for t in range(action.value.shape[1]):
        read, state = memory.step(mapped(lambda part, t=t: part[:, t], action), state)
        assert_close(seen.reads[:, t], read, "reads")
        for came, expected in zip(at_time(seen, t), memory.contents(state), strict=True):
            assert_close(came, expected, "contents")


def for_all(kind: str, check: Callable[[Any], None]) -> None:
    """Check all actions, for at least one step."""

    def holds(action: Any) -> None:
        if action.value.shape[1]:
            check(action)

    for_all_actions(EVERYTHING[kind](WIDTH), holds, max_examples=12)


@pytest.mark.parametrize("kind", EVERYTHING)
def test_reads_and_contents_are_those_of_the_memory(kind: str) -> None:
    for_all(kind, lambda action: check_against_the_memory(EVERYTHING[kind](WIDTH), action))


@pytest.mark.parametrize("kind", EVERYTHING)
def test_a_trace_has_the_signals_of_the_memory(kind: str) -> None:
    memory = EVERYTHING[kind](WIDTH)

    def check(action: Any) -> None:
        seen = trace(memory, action)
        for name, numbers in memory.signals.named(action).items():
            heads = [head for label, head in memory.signals.labels if label == name]
            assert torch.equal(seen.named(name)[..., heads], numbers)
        report = diagnose(seen)
        assert report.distances.keys() == memory.signals.named(action).keys()
        assert (report.pushed is None) == (not {"push", "pop"} <= {*memory.signals.names} or kind == "stack+tape")
        assert str(report)
        assert len(film(seen)["signals"]) == memory.heads

    for_all(kind, check)


def test_ends_are_those_of_the_structure() -> None:
    both = Bank([Queue(WIDTH), Deque(WIDTH), Tape(WIDTH)])
    top, bottom = ("top", "top"), ("bottom", "bottom")
    assert both.ends == (("top", "bottom"), top, bottom, top)
    rnn = MemoryRNN(2, 3, both, batch_first=True)
    assert trace(rnn, torch.randn(1, 4, 2)).ends == both.ends


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_is_the_contents_with_the_weights_of_the_read(kind: str) -> None:
    def holds(action: Action) -> None:
        seen = trace(KINDS[kind](WIDTH), action)
        assert seen.weights is not None
        for t in range(action.value.shape[1]):
            values, strengths = seen.contents(t)
            assert_close(seen.weights[:, t] @ values, seen.reads[:, t], "reads")
            assert (seen.weights[:, t] <= strengths[:, None] + 1e-12).all(), "more is read of a slot than there is"
            assert (seen.weights[:, t] >= -1e-12).all()
            assert (seen.weights[:, t].sum(dim=2) <= 1 + 1e-12).all(), "a read is of one unit at most"

    for_all(kind, holds)


@pytest.mark.parametrize("kind", KINDS)
def test_each_slot_is_a_push_and_keeps_its_place_among_the_others(kind: str) -> None:
    def holds(action: Action) -> None:
        seen = trace(KINDS[kind](WIDTH), action)
        assert seen.origin is not None
        assert torch.equal(seen.origin >= 0, seen.strengths > 0)
        pushed = action.value.flatten(1, 2)
        for t in range(action.value.shape[1]):
            assert (seen.origin[:, t] < (t + 1) * seen.heads).all(), "a slot comes from the future"
            for row, (origin, value) in enumerate(zip(seen.origin[:, t], seen.contents(t).values, strict=True)):
                live = origin >= 0
                assert torch.equal(value[live], pushed[row, origin[live]])

    for_all(kind, holds)


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_is_followed_as_it_is_seen_from_the_outside(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def holds(action: Action) -> None:
        direct = trace(KINDS[kind](WIDTH), action)
        with monkeypatch.context() as patch:
            for line in (Stack, Queue, Deque):
                patch.setattr(line, "line", None)
            outside = trace(KINDS[kind](WIDTH), action)
        for name in ("strengths", "origin", "weights"):
            assert torch.equal(getattr(direct, name), getattr(outside, name)), name
        assert_close(direct.depth, direct.strengths.sum(dim=2), "depth")

    for_all(kind, holds)


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_run_takes_what_its_steps_take(kind: str) -> None:
    memory, steps = KINDS[kind](1), 3000
    generator = torch.Generator().manual_seed(0)
    push, pop = torch.rand(2, 1, steps, memory.heads, generator=generator).round()
    seen = trace(memory, Action(push, pop, torch.randn(1, steps, memory.heads, 1, generator=generator)))
    acts = int(push.sum() + pop.sum())
    assert len(seen.life.at) <= acts, "one event for each push, and for each value that is popped"
    assert len(seen.taken.at) <= steps * memory.heads
    assert "_slots" not in vars(seen), "no table of all slots in all steps"
    diagnose(seen)
    film(seen)
    Trace.from_json(seen.to_json())
    assert "_slots" not in vars(seen)


def test_slots_that_change_places_have_no_order() -> None:
    for wrong in ([[0, 1], [1, 0]], [[0, 0]], [[0, 1, 0]], [[0, 1, -1], [1, 2, -1], [2, 0, -1]]):
        assert line_order(torch.tensor(wrong)) is None
    assert line_order(torch.tensor([[0, 1], [0, -1], [0, 2]])) == [0, 1, 2]
    assert line_order(torch.full((3, 2), -1)) == []


def test_in_a_bank_only_what_is_a_mixture_is_without_origin() -> None:
    memory = EVERYTHING["stack+tape"](WIDTH)
    logits = torch.randn(2, 7, memory.signals.size, generator=torch.Generator().manual_seed(0))
    seen = trace(memory, memory.signals.action(logits, torch.randn(2, 7, memory.heads, WIDTH)))
    assert seen.known == (0,)
    assert seen.origin is None
    assert seen.weights is None
    assert {0, 1} <= set(seen.store_of.flatten().tolist()) <= {-1, 0, 1}
    assert ((seen.pushes >= 0) == (seen.store_of == 0)).all()
    assert film(seen)["stores"] == [[0], [1]]
    assert [told is None for told in film(seen)["rows"][0]["reads"][0]] == [False, True]


def test_a_memory_that_mixes_its_values_is_traced_without_origins(register: Memory) -> None:
    action = Action(torch.full((2, 5, 1), 0.5), torch.full((2, 5, 1), 0.25), torch.randn(2, 5, 1, WIDTH))
    seen = trace(register, action)
    assert seen.origin is None
    assert seen.weights is None
    check_against_the_memory(register, Action(*(part.double() for part in action)))
    assert Trace.from_json(seen.to_json()).to_json() == seen.to_json()


def test_no_memory_has_nothing_to_show() -> None:
    rnn = MemoryRNN(4, 5, NoMemory(), batch_first=True)
    seen = trace(rnn, torch.randn(2, 3, 4))
    assert seen.heads == 0
    assert seen.stores == ()
    assert seen.strengths.shape == (2, 3, 0)


def test_equal_values_are_distinguished() -> None:
    ones = torch.ones(1, 4, 1)
    seen = trace(Stack(2), Action(ones, 0 * ones, torch.ones(1, 4, 1, 2)))
    assert seen.origin is not None
    assert seen.origin[0, 3].tolist() == [0, 1, 2, 3]


def test_a_bank_has_the_stores_of_its_members() -> None:
    assert KINDS["deque+stack"](2).stores == (2, 1)
    assert Queue(2).stores == (1,)


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_network_is_traced_in_its_own_form(batch_first: bool) -> None:
    rnn = MemoryRNN(4, 6, Queue(WIDTH), batch_first=batch_first)
    x = torch.randn(2, 5, 4)
    seen = trace(rnn, x if batch_first else x.transpose(0, 1))
    run = rnn.unroll(x)
    assert torch.equal(seen.output, run.output.double())
    assert torch.equal(seen.push, run.actions.push.double())
    assert_close(seen.reads.float(), run.reads.detach(), "reads")
    rnn.hard = True
    assert torch.equal(seen.rounded, rnn.unroll(x).output.double())
    assert torch.equal(trace(rnn, x[0]).push[0], rnn.unroll(x[:1]).actions.push[0].double())


def controller(task: Task, memory: Memory | None = None) -> Controller:
    torch.manual_seed(1)
    return Controller(memory or Stack(8), task.input_symbols, task.output_symbols, hidden_size=16, embedding_size=8)


@pytest.mark.parametrize("task", [Reversal(), BigramFlipping(), BinaryAddition()], ids=lambda task: type(task).__name__)
def test_a_controller_reads_the_source_and_then_answers_greedily(task: Transduction) -> None:
    texts = ["1+1", "1011 + 1", "0+1101"] if isinstance(task, BinaryAddition) else ["abcd", "", "ab"]
    model = controller(task)
    seen = trace(model, texts, task=task)
    batch = task.assemble(*task.sources(texts))
    decoded = model.decode(batch)
    for row in range(len(texts)):
        assert seen.output[row][seen.output[row] >= 0].tolist() == decoded[row][decoded[row] >= 0].tolist()
        source = int((batch.inputs[row] == 1).int().argmax()) + 1
        assert seen.input[row, :source].tolist() == batch.inputs[row, :source].tolist()
        text = [symbol for symbol in seen.output_text[row] if symbol]
        assert text == [task.output_name(symbol) for symbol in decoded[row].tolist() if symbol != IGNORE]
        assert not any(seen.input_text[row][int(seen.lengths[row]) :])
        assert not seen.push[row, int(seen.lengths[row]) :].any()


def test_symbols_are_called_by_their_names() -> None:
    seen = trace(controller(Reversal()), "a b", task=Reversal())
    assert seen.input_text[0][:5] == ("<s>", "a", " ", "b", "|||")
    assert seen.title == "Reversal with a Stack"
    seen = trace(controller(BinaryAddition()), "10+11", task=BinaryAddition())
    assert seen.input_text[0][:4] == ("<s>", "0+1", "1+1", "|||")
    task = Copying(symbols=3)
    assert [task.output_name(symbol) for symbol in (0, 2, 3)] == ["a", "c", "</s>"]


def test_symbols_can_be_given_directly() -> None:
    model, symbols = controller(Reversal()), torch.tensor([[0, 70, 71, 1, 199]])
    seen = trace(model, symbols)
    assert torch.equal(seen.output, model.eval()(symbols).argmax(dim=-1))
    assert seen.input_text == (("0", "70", "71", "1", "199"),)


def test_a_model_is_left_as_it_was() -> None:
    rnn = MemoryRNN(4, 6, Stack(WIDTH))
    rnn.cell.eval()
    before = {name: part.clone() for name, part in rnn.state_dict().items()}
    random = torch.get_rng_state()
    trace(rnn, torch.zeros(5, 2, 4))
    assert torch.equal(torch.get_rng_state(), random)
    assert rnn.training
    assert not rnn.cell.training
    assert not rnn.hard
    assert not rnn.memory.validate
    for name, part in rnn.state_dict().items():
        assert torch.equal(part, before[name])


def test_dropout_is_off_while_a_model_is_traced() -> None:
    model = controller(Reversal())
    model.embed = torch.nn.Sequential(model.embed, torch.nn.Dropout(0.5))  # type: ignore[assignment]
    assert torch.equal(trace(model, "abc", task=Reversal()).push, trace(model, "abc", task=Reversal()).push)


@pytest.mark.parametrize("kind", [*EVERYTHING, "none"])
def test_a_file_holds_every_bit(kind: str, tmp_path: Path) -> None:
    memory = NoMemory() if kind == "none" else EVERYTHING[kind](WIDTH)
    rnn = MemoryRNN(4, 6, memory, batch_first=True)
    texts = [["a", '"', "\ud800", "\u2028", "</script>"]] * 2
    seen = trace(rnn, torch.randn(2, 5, 4), title="naïve", input_text=texts)
    seen.save(tmp_path / "trace.json")
    back = Trace.load(tmp_path / "trace.json")
    assert (seen.values is None) == (kind in KINDS or kind == "none")
    for name in (*TENSORS, "pushes", "store_of", "mixed", "depth", "origin", "weights", "values"):
        came, expected = getattr(back, name), getattr(seen, name)
        assert (came is None) == (expected is None)
        if expected is not None:
            assert torch.equal(came, expected)
            assert came.dtype == expected.dtype
    for name in ("life", "taken"):
        for came, expected in zip(getattr(back, name), getattr(seen, name), strict=True):
            assert torch.equal(came, expected)
    for name in ("title", "labels", "stores", "ends", "known", "input_text", "output_text"):
        assert getattr(back, name) == getattr(seen, name)


def small() -> Trace:
    ones = torch.ones(1, 2, 1)
    return trace(Stack(1), Action(ones, 0 * ones, torch.ones(1, 2, 1, 1)))


def tensor(kind: str, *shape: int) -> dict[str, Any]:
    """Zeros, as encoded in a file."""
    return {"dtype": kind, "shape": shape, "data": [0] * math.prod(shape)}


def endless(content: dict[str, Any]) -> dict[str, Any]:
    """A small file of a memory without heads that claims to have a billion steps."""
    steps = 10**9
    empty = {name: tensor("float64", 1, steps, 0) for name in ("signals", "input", "output", "rounded")}
    wide = {name: tensor("float64", 1, steps, 0, 0) for name in ("value", "reads")}
    none = {name: tensor("int64", 1, 0) for name in ("pushes", "store_of")}
    events = {
        name: {"at": tensor("int64", 0, axes), "amount": tensor("float64", 0)}
        for name, axes in {"life": 3, "taken": 4}.items()
    }
    return content | empty | wide | none | events | {"stores": [], "labels": [], "ends": [], "known": []}


def test_what_is_no_trace_is_refused(tmp_path: Path) -> None:
    content = json.loads(small().to_json())

    def changed(*names: str, **parts: Any) -> str:
        """The file with one part of a tensor changed."""
        whole = copy.deepcopy(content)
        tensor = whole
        for name in names:
            tensor = tensor[name]
        tensor.update(parts)
        return json.dumps(whole)

    assert Trace.from_json(changed("life", "amount", data=[1, 0.5])).strengths[0, 1].tolist() == [1, 0.5]
    wrong = {
        "no JSON": "{",
        "another thing": "[]",
        "another format": json.dumps(content | {"format": "something"}),
        "a part is missing": json.dumps({name: part for name, part in content.items() if name != "signals"}),
        "a part too many": json.dumps(content | {"code": "print()"}),
        "no tensor": json.dumps(content | {"signals": None}),
        "another shape": json.dumps(content | {"signals": content["signals"] | {"shape": [1, 1, 4]}}),
        "another size": json.dumps(content | {"signals": content["signals"] | {"shape": [7]}}),
        "another dtype": changed("pushes", dtype="float64"),
        "an unknown dtype": json.dumps(content | {"signals": content["signals"] | {"dtype": "object"}}),
        "no number": json.dumps(content | {"signals": content["signals"] | {"data": [float("nan"), 1.0, 1.0, 1.0]}}),
        "a push of no step": changed("pushes", data=[0, 2]),
        "a push twice": changed("pushes", data=[0, 0]),
        "a push of the future": changed("pushes", data=[1, 0]),
        "a mixture without numbers": changed("pushes", data=[0, -1]),
        "a store of nobody": changed("store_of", data=[0, 1]),
        "a value in no store": changed("store_of", data=[0, -1]),
        "an event of no value": changed("life", "at", data=[0, 0, 0, 0, 2, 1]),
        "an event of no step": changed("life", "at", data=[0, 0, 0, 0, 1, 2]),
        "an event of no row": changed("life", "at", data=[-1, 0, 0, 0, 1, 1]),
        "events out of order": changed("life", "at", data=[0, 1, 1, 0, 0, 0]),
        "an event twice": changed("life", "at", data=[0, 0, 0, 0, 0, 0]),
        "events of two axes": changed("life", "at", shape=[3, 2]),
        "events without numbers": changed("life", "amount", shape=[1, 2]),
        "events of whole numbers": changed("life", "amount", dtype="int64"),
        "a read of what is gone": changed("life", "amount", data=[1, 0]),
        "a read of no head": changed("taken", "at", data=[0, 0, 0, 0, 0, 1, 1, 1]),
        "reads that are not told": json.dumps(content | {"known": []}),
        "a head that is not there": json.dumps(content | {"known": [0, 1]}),
        "a text too short": json.dumps(content | {"input_text": [["a"]]}),
        "a long row": json.dumps(content | {"lengths": content["lengths"] | {"data": [3]}}),
        "heads of nobody": json.dumps(content | {"stores": [2]}),
        "rows without a step": json.dumps(content | {"lengths": content["lengths"] | {"data": [0]}}),
        "a push of two": json.dumps(content | {"signals": content["signals"] | {"data": [2.0, 1.0, 1.0, 1.0]}}),
        "strength without end": changed("life", "amount", data=[1, 1e300]),
        "more axes": json.dumps(content | {"signals": content["signals"] | {"shape": [1, 2, 2, 1]}}),
        "symbols with axes": json.dumps(content | {"output": tensor("int64", 1, 2, 1)}),
        "vectors without": json.dumps(content | {"output": tensor("float64", 1, 2)}),
        "other outputs": json.dumps(content | {"rounded": tensor("float64", 1, 2, 7)}),
        "slots without heads": json.dumps(
            content | {"value": tensor("float64", 1, 2, 0, 3), "labels": [], "signals": tensor("float64", 1, 2, 0)}
        ),
        "a signal without a name": json.dumps(content | {"labels": [["push", 0]]}),
        "a signal twice": json.dumps(content | {"labels": [["push", 0], ["push", 0]]}),
        "a signal of no head": json.dumps(content | {"labels": [["push", 0], ["pop", 1]]}),
        "ends that are none": json.dumps(content | {"ends": [["top", "left"]]}),
        "ends of nobody": json.dumps(content | {"ends": []}),
        "version 0.1": json.dumps(content | {"format": "ddstructs trace 1"}),
        "steps without numbers": json.dumps(endless(content)),
    }
    for name, text in wrong.items():
        with pytest.raises(InputError, match="is not a trace") as caught:
            Trace.from_json(text)
        assert "\n" not in str(caught.value), name
    with pytest.raises(InputError, match="cannot read"):
        Trace.load(tmp_path / "nothing.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8 text"):
        Trace.load(tmp_path / "bytes.json")


def test_what_cannot_be_traced_is_refused() -> None:
    ones, rnn = torch.ones(1, 2, 1), MemoryRNN(4, 6, Stack(WIDTH))
    action = Action(ones, ones, torch.ones(1, 2, 1, WIDTH))
    for model, x, expected in (
        (Stack(WIDTH), torch.zeros(3), "takes an Action"),
        (torch.nn.Linear(2, 2), torch.zeros(3), "a Controller, MemoryRNN or Memory was expected"),
        (rnn, action, "traced on a tensor"),
        (controller(Reversal()), "abc", "needs a task that encodes it"),
        (controller(Reversal()), torch.zeros(3), "int64 symbols"),
        (controller(Reversal()), [], "int64 symbols"),
    ):
        with pytest.raises(TypeError, match=expected):
            trace(model, x)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no steps"):
        trace(Stack(WIDTH), Action(*(part[:, :0] for part in action)))
    with pytest.raises(ValueError, match="outside"):
        trace(Stack(WIDTH), action._replace(push=2 * ones))
    with pytest.raises(ValueError, match="not finite"):
        trace(Stack(WIDTH), action._replace(value=action.value / 0))
    with pytest.raises(ValueError, match="of step 2 are not finite"):
        trace(rnn, torch.tensor([0.0, 0.0, float("nan"), 0.0])[:, None, None].expand(-1, 1, 4))
    with pytest.raises(ValueError, match="1 of 2 were expected"):
        trace(Stack(WIDTH), action, input_text=[["a"]])


def test_a_bare_memory_is_traced_without_lightning() -> None:
    code = (
        "import sys, torch, ddstructs\n"
        "one = torch.ones(1, 2, 1)\n"
        "seen = ddstructs.trace(ddstructs.Stack(1), ddstructs.Action(one, one, one[..., None]))\n"
        "seen._repr_html_()\n"
        "assert 'pytorch_lightning' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
