"""A `MemoryLayer` is the memory it is made of, for whole sequences and for one token at a time."""

from __future__ import annotations

import copy
import io
import itertools
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import EVERYTHING
from torch import Tensor, nn
from torch.utils import _pytree
from torch.utils.checkpoint import checkpoint

from ddstructs import Action, LayerState, MemoryLayer, NoMemory, Stack, ops
from ddstructs.actions import Choice

DIM, WIDTH, HEADS = 6, 3, 2


def layer(kind: str = "stack", seed: int = 0, **options: Any) -> MemoryLayer:
    """A layer in float64, with signals of all sizes."""
    torch.manual_seed(seed)
    arguments: dict[str, Any] = {"dtype": torch.float64} | options
    made = MemoryLayer(DIM, EVERYTHING[kind](WIDTH), HEADS, **arguments)
    nn.init.normal_(made.to_action.weight)
    return made


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def same(got: Any, expected: Any) -> None:
    """Equal in float64, where the order of a sum may differ."""
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


def contents(made: MemoryLayer, state: LayerState) -> tuple[Tensor, ...]:
    return tuple(made.memory.contents(state.memory))


@pytest.mark.parametrize("kind", EVERYTHING)
def test_each_head_is_the_memory_itself(kind: str) -> None:
    """The definition: project, work one memory after another, put the reads side by side, project."""
    made, x = layer(kind), noise(2, 5, DIM)
    memory, signals = made.memory, made.memory.signals
    told = nn.functional.linear(x, made.to_action.weight, made.to_action.bias)
    logits, values = told[..., : HEADS * signals.size], told[..., HEADS * signals.size :].tanh()
    reads = []
    for head in range(HEADS):
        own = logits[..., head * signals.size :][..., : signals.size]
        size = memory.heads * WIDTH
        value = values[..., head * size : (head + 1) * size].unflatten(2, (memory.heads, WIDTH))
        with ops.using("reference"):
            reads.append(memory(signals.action(own, value))[0].flatten(2))
    expected = nn.functional.linear(torch.cat(reads, dim=2), made.out_proj.weight, made.out_proj.bias)
    same(made(x)[0], expected)


@pytest.mark.parametrize("kind", EVERYTHING)
@given(cuts=st.sets(st.integers(0, 7)), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_cutting_a_sequence_and_carrying_the_state_changes_nothing(kind: str, cuts: set[int], seed: int) -> None:
    made, x = layer(kind, seed), noise(2, 7, DIM, seed=seed)
    output, last = made(x)
    places, pieces, state = [0, *sorted(cuts), 7], [], None
    for first, end in itertools.pairwise(places):
        piece, state = made(x[:, first:end], state)
        pieces.append(piece)
    same(torch.cat(pieces, dim=1), output)
    assert state is not None
    same(contents(made, state), contents(made, last))


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("kind", EVERYTHING)
def test_one_token_at_a_time_equals_the_whole_sequence(kind: str, grad: bool) -> None:
    made, x = layer(kind), noise(2, 6, DIM)
    with torch.set_grad_enabled(grad):
        output, _ = made(x)
        state, tokens = None, []
        for t in range(x.shape[1]):
            token, state = made(x[:, t : t + 1], state)
            tokens.append(token)
        same(torch.cat(tokens, dim=1), output)
    if grad:
        whole = torch.autograd.grad(output.sin().sum(), list(made.parameters()))
        same(torch.autograd.grad(torch.cat(tokens, dim=1).sin().sum(), list(made.parameters())), whole)


@pytest.mark.parametrize("kind", EVERYTHING)
def test_nothing_is_seen_of_later_steps_or_other_rows(kind: str) -> None:
    made, x = layer(kind), noise(3, 5, DIM)
    output, _ = made(x)
    other = x.clone()
    other[:, 3:], other[1] = 7.0, -3.0
    came, _ = made(other)
    same(came[[0, 2], :3], output[[0, 2], :3])


@pytest.mark.parametrize("kind", EVERYTHING)
def test_padding_touches_nothing(kind: str) -> None:
    made, x = layer(kind), noise(3, 5, DIM)
    lengths = [5, 0, 3]
    output, state = made(x, lengths=lengths)
    mask = torch.arange(5) >= torch.tensor(lengths)[:, None]
    same(made(x, padding_mask=mask)[0], output)
    assert not output[mask].any()
    for row, n in enumerate(lengths):
        if n:
            alone, after = made(x[row : row + 1, :n])
            same(output[row : row + 1, :n], alone)
            same(made(x[:1, :1], state.select(torch.tensor([row])))[0], made(x[:1, :1], after)[0])
    left, _ = made(x.flip(1), padding_mask=mask.flip(1))  # padding may come first as well
    for row, n in enumerate(lengths):
        same(left[row, 5 - n :], made(x[row : row + 1, :n].flip(1))[0][0] if n else left[row, 5:])


def test_padding_may_hold_anything() -> None:
    made, x = layer(), noise(1, 3, DIM)
    worse = torch.cat([x, torch.full((1, 2, DIM), torch.nan, dtype=x.dtype)], dim=1).requires_grad_()
    output, _ = made(worse, lengths=[3])
    same(output[:, :3], made(x)[0])
    assert torch.autograd.grad(output.sum(), worse)[0].isfinite().all()


@pytest.mark.parametrize("kind", EVERYTHING)
def test_a_row_with_resets_equals_its_pieces(kind: str) -> None:
    made, x = layer(kind), noise(2, 6, DIM)
    reset = torch.zeros(2, 6, dtype=torch.bool)
    reset[0, 2] = reset[0, 5] = reset[1, 0] = True
    output, _ = made(x, made(x)[1], reset=reset)
    same(output[:1, 2:5], made(x[:1, 2:5])[0])
    same(output[:1, 5:], made(x[:1, 5:])[0])
    same(output[1:], made(x[1:])[0])


def test_a_reset_in_the_padding_does_nothing() -> None:
    made, x = layer(), noise(2, 6, DIM)
    reset = torch.zeros(2, 6, dtype=torch.bool)
    reset[0, 4] = True
    _, after = made(x, lengths=[3, 6])
    output, same_after = made(x, lengths=[3, 6], reset=reset)
    same(output, made(x, lengths=[3, 6])[0])
    same(made(x[:, :1], same_after)[0], made(x[:, :1], after)[0])


@pytest.mark.parametrize("kind", EVERYTHING)
def test_rows_of_a_state_are_picked_and_reordered(kind: str) -> None:
    made, x = layer(kind), noise(3, 5, DIM)
    _, state = made(x[:, :4])
    rows = torch.tensor([2, 0, 2, 1])
    same(made(x[rows, 4:], state.select(rows))[0], made(x[:, 4:], state)[0][rows])


@pytest.mark.parametrize("kind", EVERYTHING)
def test_a_state_is_a_tree_that_is_saved_with_weights_alone(kind: str) -> None:
    made, x = layer(kind), noise(2, 4, DIM)
    _, state = made(x)
    back = _pytree.tree_map_only(Tensor, Tensor.clone, state)
    same(made(x, back)[0], made(x, state)[0])
    file = io.BytesIO()
    torch.save(state.detach(), file)
    file.seek(0)
    same(made(x, torch.load(file, weights_only=True))[0], made(x, state)[0])


@pytest.mark.parametrize("kind", ["stack", "deque+stack", "superposition", "stack+tape"])
def test_hard_signals_are_those_of_the_structure(kind: str) -> None:
    made, x = layer(kind, hard=True), noise(2, 6, DIM)
    assert {round(n, 9) for n in made.memory.signals.numbers(made.unroll(x).actions).flatten().tolist()} <= {0.0, 1.0}
    made(x)[0].square().sum().backward()
    weight = made.to_action.weight.grad
    assert weight is not None
    assert weight[: HEADS * made.memory.signals.size].any()


@pytest.mark.parametrize("kind", EVERYTHING)
def test_signals_within_the_saturation_are_hard_ones(kind: str) -> None:
    made, x = layer(kind, saturation=0.3), noise(2, 6, DIM)
    made.to_action.weight.data[: HEADS * made.memory.signals.size] *= 1e4
    soft = made.eval().unroll(x)
    made.hard = True
    hard = made.unroll(x)
    same(made.memory.signals.numbers(soft.actions), made.memory.signals.numbers(hard.actions))
    same(soft.output, hard.output)


@pytest.mark.parametrize("kind", EVERYTHING)
def test_saturation_is_outside_training_alone(kind: str) -> None:
    made, plain, x = layer(kind, saturation=0.2), layer(kind), noise(2, 5, DIM)
    same(made.train()(x)[0], plain(x)[0])
    assert not torch.allclose(made.eval()(x)[0], plain.eval()(x)[0])
    made.saturation = 0.0
    same(made(x)[0], plain(x)[0])


@given(margin=st.floats(0, 0.49), signals=st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_saturation_keeps_the_order_of_signals_and_one_half(margin: float, signals: list[float]) -> None:
    push = torch.tensor(sorted(signals), dtype=torch.float64)[:, None]
    value = push.new_zeros(len(push), 1, 1)
    got = Action(push, 1 - push, value).saturate(margin)
    assert (got.push.diff(dim=0) >= 0).all()
    assert (got.push[push <= margin] == 0).all()
    assert (got.push[push >= 1 - margin + 1e-12] == 1).all()
    same(got.pop, 1 - got.push)
    same(Action(push * 0 + 0.5, push, value).saturate(margin).push, push * 0 + 0.5)
    two = Choice(torch.stack([push, 1 - push], dim=-1), value).saturate(margin)
    torch.testing.assert_close(two.weights[..., 0], got.push, rtol=0, atol=1e-9)


def test_a_choice_keeps_its_sum_and_nothing_stays_nothing() -> None:
    weights = torch.tensor([[[0.8, 0.15, 0.05]], [[0.4, 0.35, 0.25]], [[0.0, 0.0, 0.0]], [[0.34, 0.33, 0.33]]])
    got = Choice(weights, torch.zeros(4, 1, 2)).saturate(0.1).weights
    same(got.sum(-1).double(), torch.tensor([[1.0], [1.0], [0.0], [1.0]], dtype=torch.float64).float().double())
    torch.testing.assert_close(got[0, 0], torch.tensor([0.7, 0.05, 0.0]) / 0.75)
    assert torch.equal(Choice(weights, torch.zeros(4, 1, 2)).saturate(0.4).weights[3], weights[3])


def test_batch_first_and_a_batch_of_one_without_its_axis() -> None:
    made, x = layer(), noise(2, 5, DIM)
    twin = copy.deepcopy(made)
    twin.batch_first = False
    reset = torch.rand(2, 5) < 0.3
    output, _ = made(x, None, [5, 3], reset)
    same(twin(x.transpose(0, 1), None, [5, 3], reset.t())[0].transpose(0, 1), output)
    for one in (made, twin):
        same(one(x[0], reset=reset[0])[0], output[0])


def test_noise_is_of_training_alone() -> None:
    made, x = layer(signal_noise=1.0, read_noise=1.0), noise(2, 5, DIM)
    quiet = layer()
    same(made.eval()(x)[0], quiet(x)[0])
    made.train()
    first, again = made.unroll(x), made.unroll(x)
    assert (first.actions.push != again.actions.push).all()
    assert (first.reads != again.reads).all()
    made.noisy = False
    same(made(x)[0], quiet(x)[0])


def test_heads_begin_apart_around_the_start_of_the_memory() -> None:
    made = MemoryLayer(DIM, Stack(WIDTH), 4, spread=2.0, push_bias=0.5)
    biases = made.to_action.bias[:8].view(4, 2)
    torch.testing.assert_close(biases.mean(0), torch.tensor([0.5, -1.0]))
    torch.testing.assert_close((biases - biases.mean(0)).norm(dim=1), torch.full((4,), 2.0))
    assert len({tuple(row) for row in biases.tolist()}) == 4
    for alone in (MemoryLayer(DIM, Stack(WIDTH), 1), MemoryLayer(DIM, Stack(WIDTH), 3, spread=0.0)):
        same(
            alone.to_action.bias[: 2 * alone.num_heads].view(-1, 2).detach(),
            torch.tensor([[0.0, -1.0]] * alone.num_heads),
        )


@pytest.mark.parametrize("start", [0, 1])
def test_signals_begin_the_same_for_every_input(start: int) -> None:
    made, x = layer("deque"), noise(2, 5, DIM)
    value = made.unroll(x).actions.value
    made.reset_parameters(start)
    actions = made.unroll(x).actions
    for part in (actions.push, actions.pop):
        same(part, part[:, :1].expand_as(part))
    same(actions.value, value)


def test_norm_and_residual_only_if_asked() -> None:
    plain, x = layer(), noise(2, 5, DIM)
    assert len(list(plain.parameters())) == 4
    made = layer(norm=True, residual=True)
    made.load_state_dict(plain.state_dict(), strict=False)
    same(made(x)[0], plain(nn.functional.layer_norm(x, (DIM,)))[0] + x)


def test_no_rows_and_no_steps() -> None:
    made = layer()
    for shape in ((0, 4, DIM), (2, 0, DIM), (0, DIM)):
        output, state = made(torch.zeros(*shape, dtype=torch.float64))
        assert output.shape == shape
        made(torch.zeros(*shape, dtype=torch.float64), state)


# In other people's machinery.


def loss(output: Tensor) -> Tensor:
    return output.sin().sum()


@pytest.mark.parametrize("kind", ["stack", "queue", "deque+stack"])
@pytest.mark.parametrize("options", [{}, {"hard": True, "norm": True, "residual": True, "signal_noise": 0.0}])
def test_it_compiles_into_one_graph(kind: str, options: dict[str, Any]) -> None:
    made, x = layer(kind, **options), noise(2, 4, DIM)
    torch.compiler.reset()  # what other tests compiled counts towards the limit
    compiled = torch.compile(made, fullgraph=True, backend="aot_eager")
    output, state = made(x)
    came, after = compiled(x)
    same(came, output)
    same(compiled(x, after.detach())[0], made(x, state)[0])
    weights = list(made.parameters())
    same(torch.autograd.grad(loss(compiled(x)[0]), weights), torch.autograd.grad(loss(output), weights))


def test_it_is_exported_with_a_free_time_axis_and_its_state() -> None:
    made, x = layer().eval(), noise(2, 4, DIM)
    time = torch.export.Dim("time", min=2, max=4096)
    exported = torch.export.export(made, (x,), dynamic_shapes={"x": {1: time}}, strict=False).module()
    for length in (2, 9, 40):
        longer = noise(2, length, DIM)
        output, state = exported(longer)
        same(output, made(longer)[0])
        same(made(x, state)[0], made(x, made(longer)[1])[0])


@pytest.mark.parametrize("kind", EVERYTHING)
def test_autocast_keeps_signals_in_full_precision(kind: str) -> None:
    made, x = layer(kind, dtype=torch.float32), noise(2, 5, DIM).float()
    with torch.autocast("cpu", torch.bfloat16):
        run = made.unroll(x)
        token, _ = made(x[:, :1], run.state)
        whole, _ = made(x, run.state)
    assert made.memory.signals.numbers(run.actions).dtype == torch.float32
    exact = made(x, made(x)[1])[0]
    torch.testing.assert_close(whole.float(), exact, rtol=0.1, atol=0.1)
    torch.testing.assert_close(token.float(), whole[:, :1].float(), rtol=0.05, atol=0.05)
    loss(run.output.float()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in made.parameters())


@pytest.mark.parametrize("reentrant", [True, False])
def test_activation_checkpoints_give_the_same_gradients(reentrant: bool) -> None:
    made, x = layer(signal_noise=1.0, read_noise=0.5), noise(2, 5, DIM).requires_grad_()
    inputs = [x, *made.parameters()]

    def gradients(run: Callable[[Tensor], Tensor]) -> list[Tensor]:
        made.zero_grad()
        x.grad = None
        torch.manual_seed(3)
        loss(run(x)).backward()
        return [part.grad.clone() for part in inputs if part.grad is not None]

    plain = gradients(lambda x: made(x)[0])
    assert len(plain) == len(inputs)
    same(gradients(lambda x: checkpoint(lambda x: made(x)[0], x, use_reentrant=reentrant)), plain)


def test_half_precision_is_near_to_float32() -> None:
    made, x = layer(dtype=torch.float32), noise(2, 5, DIM).float()
    output = copy.deepcopy(made).bfloat16()(x.bfloat16())[0]
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), made(x)[0], rtol=0.1, atol=0.1)


def test_double_turns_state_and_parameters() -> None:
    made, x = layer(dtype=torch.float32), noise(2, 5, DIM)
    _, state = made(x.float())
    assert made.double()(x, state.to(dtype=torch.float64))[0].dtype == torch.float64


PROGRAM = """
import sys, torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from ddstructs import Deque, MemoryLayer

rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
torch.manual_seed(0)
layer = DistributedDataParallel(MemoryLayer(6, Deque(3), 2, signal_noise=1.0))
optimizer, state = torch.optim.SGD(layer.parameters(), 0.1), None
torch.manual_seed(1 + rank)
for step in range(3):
    output, state = layer(torch.randn(2, 5, 6), state)
    state = state.detach()
    optimizer.zero_grad()
    output.square().sum().backward()
    optimizer.step()
    own = torch.nn.utils.parameters_to_vector(layer.parameters()).detach()
    all = [torch.zeros_like(own) for _ in range(2)]
    dist.all_gather(all, own)
    assert torch.equal(*all), f"weights differ after step {step}"
dist.destroy_process_group()
"""


def test_processes_that_carry_a_state_train_in_step(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([*command, str(rank), f"{tmp_path}/meeting"], env=environment, stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    for process in processes:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error.decode()


# Errors.

BUILD: list[tuple[dict[str, Any], str]] = [
    ({"saturation": 0.5}, "saturation is 0.5, but a number from 0 to less than 0.5 was expected"),
    ({"embed_dim": 0}, "embed_dim is 0, but 1 or more was expected"),
    ({"num_heads": 0}, "num_heads is 0, but 1 or more was expected"),
    ({"num_heads": 1.5}, "num_heads is 1.5, but an int was expected"),
    ({"memory": 64}, "memory is 64, but a memory such as Stack(64) was expected"),
    ({"memory": NoMemory()}, "NoMemory has no heads and therefore no reads: leave the layer out"),
    ({"spread": -1.0}, "spread is -1.0, but a finite number from 0 was expected"),
    ({"read_noise": torch.inf}, "read_noise is inf, but a finite number from 0 was expected"),
    ({"push_bias": [0.0, 1.0]}, "push_bias has 2 numbers, but this Stack has 1 heads"),
    ({"push_bias": math.nan}, "push_bias is nan, but finite numbers were expected"),
    ({"pop_bias": ["1"]}, "pop_bias is ['1'], but finite numbers were expected"),
    ({"hard": "yes"}, "hard is 'yes', but True or False was expected"),
    ({"batch_first": "no"}, "batch_first is 'no', but True or False was expected"),
    ({"norm": "no"}, "norm is 'no', but True or False was expected"),
    ({"residual": 0}, "residual is 0, but True or False was expected"),
    ({"signal_noise": "1"}, "signal_noise is '1', but a finite number from 0 was expected"),
    ({"saturation": "a"}, "saturation is 'a', but a finite number from 0 was expected"),
]


@pytest.mark.parametrize(("options", "message"), BUILD)
def test_bad_settings_get_one_line(options: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"embed_dim": DIM, "memory": Stack(WIDTH)} | options
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}"):
        MemoryLayer(**arguments)


def call(*shape: int, **options: Any) -> Callable[[MemoryLayer], object]:
    return lambda made: made(noise(*(shape or (2, 5, DIM))), **options)


CALL: list[tuple[Callable[[MemoryLayer], object], str]] = [
    (call(2, 5, 7), f"x has shape (2, 5, 7), but (batch, time, {DIM}) or (time, {DIM}) was expected"),
    (lambda made: made(3), f"x is a int, but (batch, time, {DIM})"),
    (lambda made: made(noise(2, 5, DIM).float()), "x is torch.float32, but the parameters are torch.float64"),
    (call(lengths=[5]), "lengths has shape (1,), but one for each of 2 rows was expected"),
    (call(lengths=[5, 6]), "lengths has 6, but x has 5 steps"),
    (call(lengths=[5.0, 5.0]), "lengths are torch.float32, but they count steps"),
    (call(lengths=[5, 5], padding_mask=torch.zeros(2, 5, dtype=torch.bool)), "lengths and padding_mask both mark"),
    (call(padding_mask=torch.zeros(2, 5)), "padding_mask is torch.float32, but a tensor of bool was expected"),
    (call(padding_mask=torch.zeros(5, 2, dtype=torch.bool)), "padding_mask has shape (5, 2), but (batch, time)"),
    (call(padding_mask=[False]), "padding_mask is list, but a bool tensor was expected"),
    (call(5, DIM, padding_mask=torch.zeros(1, 5, dtype=torch.bool)), "padding_mask has shape (1, 5), but (time) is"),
    (call(reset=torch.zeros(2, 5)), "reset is torch.float32, but a bool tensor was expected"),
    (call(state=layer().initial_state(3)), "x has batch 2, but the state has batch 3"),
    (call(state=MemoryLayer(DIM, Stack(WIDTH), 3).double().initial_state(2)), "the state has 3 heads, but this layer"),
    (call(state=layer(dtype=torch.float32).initial_state(2)), "x is torch.float64, but the state is torch.float32"),
    (call(state=Stack(WIDTH).initial_state(4)), "state is a Slots, but a MemoryLayer continues from a state"),
    (
        call(state=MemoryLayer(DIM, Stack(4), HEADS).double().initial_state(2)),
        "state holds width 4, but this Stack stores width 3",
    ),
]


@pytest.mark.parametrize(("run", "message"), CALL)
def test_bad_input_gets_one_line(run: Callable[[MemoryLayer], object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}"):
        run(layer())
