"""All steps of a network at once are the steps one by one, gradients and states included."""

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import KINDS
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ddstructs import Bank, Deque, Memory, MemoryRNN, NoMemory, Queue, RNNState, Stack, ops
from ddstructs.line import LineMemory
from ddstructs.nn import fused, loop
from ddstructs.nn import rnn as rnn_module

INPUT, HIDDEN, WIDTH = 3, 5, 4

MEMORIES: dict[str, Callable[[int], Memory]] = {
    **KINDS,
    "two stacks": lambda width: Bank([Stack(width), Stack(width)]),
    "nested": lambda width: Bank([Queue(width), Bank([Deque(width), Stack(width)])]),
    "none": lambda _: NoMemory(),
    "bank of none": lambda _: Bank([NoMemory()]),
}


def network(memory: str = "stack", cell: str = "rnn", **options: Any) -> MemoryRNN:
    torch.manual_seed(0)
    working = MEMORIES[memory](WIDTH)
    arguments: dict[str, Any] = {"dtype": torch.float64, "read_noise": 0.5} | options
    if working.heads:
        arguments = {"pop_bias": 0.0} | arguments
    rnn = MemoryRNN(INPUT, HIDDEN, working, cell, **arguments)
    if rnn.initial is not None:
        nn.init.normal_(rnn.initial)
    return rnn


def draw(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "fits", lambda *_: False)


def everything(rnn: MemoryRNN, x: Tensor, state: RNNState | None, lengths: list[int] | None) -> list[Tensor]:
    """All that comes out of a run; values in the padding, which are never pushed, are left out."""
    torch.manual_seed(2)  # for the noise
    run = rnn.unroll(x, state, lengths)
    contents = rnn.memory.contents(run.state.memory)
    push, pop, value = run.actions
    value = value * (push > 0)[..., None]
    return [run.output, push, pop, value, run.reads, *run.state.hidden, run.state.read, *contents]


def gradients(rnn: MemoryRNN, found: list[Tensor], *inputs: Tensor) -> list[Tensor]:
    """Those of a number in which every element of all that came out counts differently."""
    loss = sum((part * draw(*part.shape, seed=i).detach()).sum() for i, part in enumerate(found))
    assert isinstance(loss, Tensor)
    return list(torch.autograd.grad(loss, [*inputs, *rnn.parameters()], materialize_grads=True))


SWITCHES = "hard", "value_skip", "signal_skip", "output_layer", "learn_initial"


@settings(max_examples=150)
@given(data=st.data())
def test_all_at_once_is_one_by_one(data: st.DataObject) -> None:
    cell = data.draw(st.sampled_from(["rnn", "lstm", "gru", "deep"]), "cell")
    rnn = network(
        data.draw(st.sampled_from(sorted(MEMORIES)), "memory"),
        cell,
        **{name: data.draw(st.booleans(), name) for name in SWITCHES},
        read_gate=data.draw(st.booleans(), "read_gate"),
        read_noise=data.draw(st.sampled_from([0.0, 0.5]), "read_noise"),
        state_noise=data.draw(st.sampled_from([0.0, 0.5]), "state_noise") if cell == "lstm" else 0.0,
        signal_noise=data.draw(st.sampled_from([0.0, 2.0]), "signal_noise"),
    )
    batch, before, time = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 5)), data.draw(st.integers(1, 40))
    padded = data.draw(st.booleans(), "padded")
    lengths = [data.draw(st.integers(0, time)) for _ in range(batch)] if padded else None
    earlier, x = draw(batch, max(before, 1), INPUT, seed=3), draw(batch, time, INPUT)

    def solve(fitting: Callable[..., bool]) -> list[Tensor]:
        with pytest.MonkeyPatch.context() as patch:
            one_by_one(patch)
            torch.manual_seed(4)
            state = rnn.unroll(earlier).state if before else None  # in both cases from the same one
            patch.setattr(fused, "fits", fitting)
            found = everything(rnn, x, state, lengths)
            return found + gradients(rnn, found, x, *([earlier] if before else []))

    for got, expected in zip(solve(fused.fits), solve(lambda *_: False), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("times", [(40,), (5, 40, 200, 1), (1, 1, 1)])
@pytest.mark.parametrize("memory", MEMORIES)
def test_without_gradients_it_is_the_same(memory: str, times: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    rnn = network(memory, "lstm")

    def solve() -> list[Tensor]:
        found, state = [], rnn.unroll(draw(2, 3, INPUT)).state if len(times) > 3 else None
        for i, time in enumerate(times):
            found += everything(rnn, draw(2, time, INPUT, seed=i), state, None)
            torch.manual_seed(i)
            state = rnn.unroll(draw(2, time, INPUT, seed=i), state).state
        return found

    with torch.no_grad():
        torch.manual_seed(5)
        got = solve()
        one_by_one(monkeypatch)
        torch.manual_seed(5)
        for mine, expected in zip(got, solve(), strict=True):
            torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "deep"])
@pytest.mark.parametrize("memory", MEMORIES)
def test_the_usual_network_takes_all_steps_at_once(memory: str, cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "run", None)
    rnn, x = network(memory, cell), draw(2, 6, INPUT)
    rnn.unroll(x, lengths=[6, 3]).output.sum().backward()
    with torch.no_grad():
        rnn.eval().unroll(x)


def reference(rnn: MemoryRNN) -> Any:
    return ops.using("reference")


def hook(rnn: MemoryRNN) -> Any:
    rnn.cell.register_forward_hook(lambda *_: None)


def hook_before_backward(rnn: MemoryRNN) -> Any:
    rnn.cell.register_full_backward_pre_hook(lambda *_: None)


def other_forward(rnn: MemoryRNN) -> Any:
    forward = rnn.cell.forward
    rnn.cell.forward = lambda *inputs: 2 * forward(*inputs)


def no_bias(rnn: MemoryRNN) -> Any:
    assert rnn.to_action is not None
    rnn.to_action.bias = None  # type: ignore[assignment]


def other_step(rnn: MemoryRNN) -> Any:
    class Louder(LineMemory):
        layout = Stack.layout

        def step(self, action: Any, state: Any) -> Any:
            read, state = super().step(action, state)
            return 2 * read, state

    rnn.memory = Louder(WIDTH)


def other_layer(rnn: MemoryRNN) -> Any:
    assert rnn.to_action is not None

    class Doubled(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    rnn.to_action = Doubled(HIDDEN, rnn.to_action.out_features, dtype=torch.float64)


def relu(rnn: MemoryRNN) -> Any:
    rnn.cell.nonlinearity = "relu"  # type: ignore[assignment]


@pytest.mark.parametrize(
    "unusual", [reference, hook, hook_before_backward, other_forward, no_bias, other_step, other_layer, relu]
)
def test_what_is_unusual_is_taken_one_by_one(
    unusual: Callable[[MemoryRNN], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rnn, x = network(), draw(2, 6, INPUT)
    usual = everything(rnn, x, None, None)
    context = unusual(rnn)
    monkeypatch.setattr(fused, "run", None)
    if context is None:
        found = everything(rnn, x, None, None)
    else:
        with context:
            found = everything(rnn, x, None, None)
    changed = unusual not in (reference, hook, hook_before_backward)
    assert torch.allclose(found[0], usual[0]) is not changed


@pytest.mark.parametrize("hard", [False, True])
def test_a_memory_that_looks_at_the_numbers_refuses_what_is_none(hard: bool) -> None:
    rnn, x = network(hard=hard), draw(2, 6, INPUT).detach()
    rnn.memory.validate = True
    rnn.unroll(x)
    x[1, 2] = torch.nan
    with pytest.raises(ValueError, match=r"push has 1 elements outside \[0, 1\], the first is nan"):
        rnn.unroll(x, lengths=[6, 3])


def test_in_the_padding_nothing_is_pushed_or_popped_not_even_nan() -> None:
    rnn, x = network(), draw(2, 6, INPUT).detach()
    x[1, 2] = torch.nan
    push, pop, _ = rnn.unroll(x, lengths=[6, 3]).actions
    assert push[1, 2].isnan().all()
    assert push[1, 3:].count_nonzero() == pop[1, 3:].count_nonzero() == 0


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "deep"])
def test_what_comes_out_shares_no_memory(cell: str) -> None:
    """A state is a value: it is neither changed by what is done to the output nor as large as the sequence."""
    rnn = network(cell=cell, read_skip=False)
    run = rnn.unroll(draw(2, 50, INPUT))
    parts = [run.output, run.reads, *run.actions, *run.state.hidden, run.state.read]
    storages = [part.untyped_storage() for part in parts]
    assert len({storage.data_ptr() for storage in storages}) == len(parts)
    assert all(storage.nbytes() == part.nbytes for storage, part in zip(storages, parts, strict=True))
    (run.output.mul_(2).sum() + run.reads.mul_(2).sum()).backward()


MISFITS: list[tuple[Callable[[RNNState], RNNState], str]] = [
    (lambda state: replace(state, memory=Stack(WIDTH).initial_state(3, dtype=torch.float64)), "this Stack has batch 3"),
    (lambda state: replace(state, memory=Stack(2).initial_state(2, dtype=torch.float64)), "state holds width 2"),
    (lambda state: replace(state, hidden=(state.hidden[0][:1],)), "batch|size"),
    (lambda state: replace(state, hidden=(state.hidden[0].float(),)), "dtype"),
]


@pytest.mark.parametrize(("change", "message"), MISFITS)
def test_a_state_that_does_not_fit_is_refused(change: Callable[[RNNState], RNNState], message: str) -> None:
    rnn, x = network(), draw(2, 6, INPUT)
    with pytest.raises((ValueError, RuntimeError), match=message):
        rnn.unroll(x, change(rnn.unroll(x).state))


@pytest.mark.parametrize("memory", ["deque", "deque+stack", "none"])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "deep"])
def test_backward_may_run_twice_and_from_several_futures(
    cell: str, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rnn, x, y, z = network(memory, cell), draw(2, 9, INPUT), draw(2, 7, INPUT, seed=5), draw(2, 40, INPUT, seed=6)

    def solve() -> list[Tensor]:
        torch.manual_seed(2)
        first = rnn.unroll(x)
        futures = [rnn.unroll(part, first.state).output.square().sum() for part in (y, z, y)]
        loss = first.output.sum() + futures[0] + 2 * futures[1] + 3 * futures[2]
        once = torch.autograd.grad(loss, [x, y, z, *rnn.parameters()], retain_graph=True)
        again = torch.autograd.grad(loss, [x, y, z, *rnn.parameters()])
        return [*once, *again]

    got = solve()
    one_by_one(monkeypatch)
    for mine, expected in zip(got, solve(), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-11)


def test_a_second_derivative_is_refused_in_one_line() -> None:
    rnn, x = network(), draw(2, 5, INPUT)
    (slope,) = torch.autograd.grad(rnn.unroll(x).output.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiated once"):
        slope.sum().backward()


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "deep"])
def test_what_is_no_longer_used_is_freed_at_once(cell: str) -> None:
    rnn, x = network(cell=cell), draw(2, 5, INPUT)
    gc.disable()  # so that nothing that refers to itself is found
    try:
        run = rnn.unroll(x)
        tape = weakref.ref(run.state.memory.tape)  # type: ignore[attr-defined]
        run.output.sum().backward()
        del run
        assert tape() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("options", [{}, {"read_skip": False}, {"read_gate": True}])
@pytest.mark.parametrize("enforce_sorted", [True, False])
@pytest.mark.parametrize("memory", ["stack", "deque", "two stacks", "none"])
def test_packed_rows_are_padded_rows(memory: str, enforce_sorted: bool, options: dict[str, bool]) -> None:
    rnn, lengths = network(memory, "lstm", state_noise=0.5, **options), [9, 7, 7, 1]
    if not enforce_sorted:
        lengths = [1, 7, 9, 7]
    x, before = draw(4, 9, INPUT), draw(4, 3, INPUT, seed=3)

    def solve(packed: bool) -> list[Tensor]:
        torch.manual_seed(2)
        earlier = rnn.unroll(before).state
        if packed:
            rows = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=enforce_sorted)
            packed_output, state = rnn(rows, earlier)
            output, _ = pad_packed_sequence(packed_output, batch_first=True)
        else:
            padded, state = rnn(x.transpose(0, 1), earlier, lengths)
            output = padded.transpose(0, 1)
        found = [output, *state.hidden, state.read, *rnn.memory.contents(state.memory)]
        return found + gradients(rnn, found, x, before)

    for got, expected in zip(solve(True), solve(False), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("enforce_sorted", [True, False])
def test_packed_rows_are_read_and_written_in_place(enforce_sorted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rnn, x = network(), draw(3, 8, INPUT)
    packed = pack_padded_sequence(x, torch.tensor([8, 5, 2]), batch_first=True, enforce_sorted=enforce_sorted)
    monkeypatch.setattr(rnn_module, "pad_packed_sequence", None)
    assert rnn.path(packed).name == "compiled"
    output, _ = rnn(packed)
    assert output.data.shape == (15, HIDDEN)
    output.data.sum().backward()
