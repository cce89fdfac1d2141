"""`torch.compile` takes in the compiled loop of a `MemoryRNN` as one operator, for all lengths, and keeps every bit."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from kinds import KINDS
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from ddstructs import Controller, Memory, MemoryRNN, NoMemory, RNNState, Tape
from ddstructs.nn import uncompiled
from ddstructs.nn.captured import CONTEXTS

INPUT, HIDDEN, WIDTH = 3, 5, 4

MEMORIES: dict[str, Callable[[int], Memory]] = {**KINDS, "none": lambda _: NoMemory()}

pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch looks at that of every input
traces = pytest.mark.skipif(not uncompiled.TRACES, reason="this torch cannot trace a network")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch.compiler.reset()  # what other tests compiled counts towards the limit
    yield
    torch.compiler.reset()


def network(kind: str = "stack", cell: str = "rnn", **options: Any) -> MemoryRNN:
    torch.manual_seed(0)
    rnn = MemoryRNN(INPUT, HIDDEN, MEMORIES[kind](WIDTH), cell, **{"batch_first": True, **options})
    assert rnn.initial is not None
    torch.nn.init.normal_(rnn.initial)
    if rnn.signal_skip is not None:
        torch.nn.init.normal_(rnn.signal_skip.weight)
    return rnn


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def compiled(module: Any) -> tuple[Any, CompileCounterWithBackend]:
    """The module as a single graph, and the count of its compilations."""
    counter = CompileCounterWithBackend("aot_eager")
    return torch.compile(module, fullgraph=True, backend=counter), counter


def numbers(rnn: MemoryRNN, output: Tensor, state: RNNState) -> list[Tensor]:
    """All numbers of a call."""
    return [output, *state.hidden, state.read, *rnn.memory.contents(state.memory)]


def loss(found: list[Tensor]) -> Tensor:
    return torch.stack([part.square().sum() for part in found]).sum()


def assert_same_bits(got: Any, expected: Any) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


@traces
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "deep"])
@pytest.mark.parametrize("kind", ["stack", "queue", "deque+stack", "none"])
def test_outputs_and_gradients_are_the_same_bits_and_a_new_length_compiles_nothing(kind: str, cell: str) -> None:
    batch_first = kind != "queue"
    rnn = network(kind, cell, hard=kind == "stack", batch_first=batch_first, signal_skip=kind == "deque+stack")
    graph, counter = compiled(rnn)
    for time, batch in ((7, 3), (12, 3), (9, 3)):
        x = noise(*((batch, time) if batch_first else (time, batch)), INPUT).requires_grad_()
        got, expected = (numbers(rnn, *call(x)) for call in (graph, rnn))
        assert_same_bits(got, expected)
        assert got[0].stride() == expected[0].stride()
        given = [x, *rnn.parameters()]
        assert_same_bits(torch.autograd.grad(loss(got), given), torch.autograd.grad(loss(expected), given))
    assert counter.frame_count <= 2


@traces
def test_a_length_marked_as_dynamic_compiles_once() -> None:
    rnn = network("deque", "gru").requires_grad_(False)
    graph, counter = compiled(rnn)
    for time in (3, 8, 40):
        x = noise(2, time, INPUT)
        torch._dynamo.mark_dynamic(x, 1)
        assert_same_bits(graph(x)[0], rnn(x)[0])
    assert counter.frame_count == 1


@traces
@pytest.mark.parametrize(("kind", "cell"), [("deque", "rnn"), ("stack+queue", "lstm"), ("none", "gru")])
def test_a_state_goes_from_one_graph_to_the_next(kind: str, cell: str) -> None:
    """Its slots grow with every piece, and gradients pass through them."""
    rnn = network(kind, cell)
    graph, _ = compiled(rnn)
    x = noise(3, 24, INPUT).requires_grad_()
    found = []
    for call in (graph, rnn):
        state, parts = rnn.initial_state(3), []
        for piece in x.split([7, 12, 5], dim=1):
            output, state = call(piece, state)
            parts += [output, state.read]
        parts += rnn.memory.contents(state.memory)
        found.append((parts, torch.autograd.grad(loss(parts), [x, *rnn.parameters()])))
    assert_same_bits(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1])


@traces
@pytest.mark.parametrize("kind", ["stack", "deque", "none"])
def test_padding_and_resets_go_into_a_graph(kind: str) -> None:
    rnn = network(kind, "lstm").double()
    graph, _ = compiled(rnn.unroll)
    x, lengths = noise(3, 8, INPUT).double().requires_grad_(), torch.tensor([8, 0, 5])
    reset = torch.zeros(3, 8, dtype=torch.bool)
    reset[0, 3] = reset[2, 4] = reset[2, 7] = True
    got, expected = (call(x, None, lengths, reset) for call in (graph, rnn.unroll))
    assert_same_bits([got.output, *got.actions, got.reads], [expected.output, *expected.actions, expected.reads])
    given = [x, *rnn.parameters()]
    slopes = [
        torch.autograd.grad(loss([run.output, *run.actions, run.reads, run.state.read]), given)
        for run in (got, expected)
    ]
    assert_same_bits(*slopes)


@traces
def test_a_length_out_of_range_is_refused_when_the_graph_runs() -> None:
    graph, _ = compiled(network())
    with pytest.raises(ValueError, match=r"lengths has 9, but x has 8 steps: 0\.\.8 was expected"):
        graph(noise(2, 8, INPUT), None, torch.tensor([9, 2]))


@traces
def test_the_noise_of_training_is_drawn_by_torch() -> None:
    rnn = network("queue", "lstm", read_noise=0.5, state_noise=0.5, signal_noise=0.5)
    graph, _ = compiled(rnn)
    found = []
    for call in (graph, rnn):
        torch.manual_seed(3)
        found.append(call(noise(2, 6, INPUT))[0])
    assert_same_bits(*found)
    assert not torch.equal(found[0], rnn.eval()(noise(2, 6, INPUT))[0])


@traces
def test_a_controller_is_one_graph() -> None:
    torch.manual_seed(0)
    model = Controller(KINDS["queue"](WIDTH), 7, 5, hidden_size=HIDDEN, embedding_size=INPUT).eval()
    graph, counter = compiled(model)
    for time in (4, 9, 6):
        symbols = torch.randint(7, (3, time))
        got, expected = graph(symbols), model(symbols)
        assert_same_bits(got, expected)
        given = list(model.parameters())
        assert_same_bits(*(torch.autograd.grad(loss([part]), given, allow_unused=True) for part in (got, expected)))
    assert counter.frame_count <= 2


@traces
def test_what_backward_needs_is_released_with_the_results() -> None:
    rnn = network()
    graph, _ = compiled(rnn)
    before = len(CONTEXTS)
    output, state = graph(noise(2, 6, INPUT))
    assert len(CONTEXTS) == before + 1
    output.sum().backward(retain_graph=True)
    output.sum().backward()
    del output, state
    gc.collect()
    assert len(CONTEXTS) == before
    with torch.no_grad():
        assert graph(noise(2, 6, INPUT))[0].shape == (2, 6, HIDDEN)
        assert len(CONTEXTS) == before


@traces
def test_a_second_derivative_is_refused() -> None:
    rnn, x = network(), noise(2, 6, INPUT).requires_grad_()
    output, _ = torch.compile(rnn, fullgraph=True, backend="eager")(x)
    (slope,) = torch.autograd.grad(output.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="can only be differentiated once"):
        slope.sum().backward()


def test_a_loop_stays_outside_of_the_graphs() -> None:
    """Tracing it takes minutes, again for each length, and no step gains from it."""
    rnn = MemoryRNN(INPUT, HIDDEN, Tape(WIDTH), batch_first=True)
    counter = CompileCounterWithBackend("aot_eager")
    graph = torch.compile(rnn, backend=counter)
    for time in (4, 6):
        assert_same_bits(graph(noise(2, time, INPUT))[0], rnn(noise(2, time, INPUT))[0])
    assert counter.frame_count == 0
    torch.compiler.reset()
    with pytest.raises(Exception, match="its `path` says why" if uncompiled.TRACES else "only torch 2.13 or newer"):
        torch.compile(rnn, fullgraph=True, backend="eager")(noise(2, 4, INPUT))


def test_where_torch_cannot_trace_a_network_it_stays_outside_of_the_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncompiled, "TRACES", False)
    rnn, counter = network(), CompileCounterWithBackend("aot_eager")
    graph, x = torch.compile(rnn, backend=counter), noise(2, 4, INPUT)
    assert_same_bits(graph(x)[0], rnn(x)[0])
    assert counter.frame_count == 0
