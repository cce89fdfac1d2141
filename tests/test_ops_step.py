"""The kernel for single steps equals the reference, whatever is done with its states."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from problems import LAYOUTS, SIGNALS, Problem, assert_equal_results, assert_near, problems, solve, steps
from torch import Tensor
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from ddstructs import Action, Deque, Memory, Stack, State, ops
from ddstructs.ops import Slots, reference, tape

MEMORY: Memory = Deque(3)


def both(loss: Callable[..., Tensor | tuple[Tensor, ...]], *, time: int = 12, seed: int = 0) -> None:
    """Compare what a function of push, pop and value gives by the kernel, gradients included, with the reference.

    The function gives a loss, or the gradients themselves.
    """
    _, _, *parts = Problem.draw("deque", "mixed", seed=seed, time=time).inputs
    found = []
    for kernel in ("auto", "reference"):
        with ops.using(kernel):
            inputs = [part.clone().requires_grad_() for part in parts]
            came = loss(*inputs)
            if isinstance(came, Tensor):
                came.backward()
                came = tuple(part.grad for part in inputs if part.grad is not None)
            found.append(came)
    assert_near(found[0], found[1], torch.float64)


def at(actions: tuple[Tensor, ...], t: int) -> Action:
    return Action(*(part[:, t] for part in actions))


def walk(actions: tuple[Tensor, ...], start: int, stop: int, state: State | None = None) -> tuple[list[Tensor], State]:
    now = state or MEMORY.initial_state(len(actions[0]), dtype=actions[0].dtype)
    reads = []
    for t in range(start, stop):
        read, now = MEMORY.step(at(actions, t), now)
        reads.append(read)
    return reads, now


def score(reads: list[Tensor]) -> Tensor:
    return torch.stack(reads).sin().sum()


@settings(max_examples=150)
@given(problems(max_time=30))
def test_steps_equal_the_reference(problem: Problem) -> None:
    assert_equal_results(solve(steps(tape.step), problem), solve(steps(reference.step), problem))


@pytest.mark.parametrize("signals", SIGNALS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_many_steps_equal_the_reference(layout: str, signals: str) -> None:
    problem = Problem.draw(layout, signals, time=120, slots=5)
    assert_equal_results(solve(steps(tape.step), problem), solve(reference.scan, problem))


def test_nothing_depends_on_memory_that_was_not_written() -> None:
    problem = Problem.draw("odd", "mixed", time=40, slots=3)
    torch.use_deterministic_algorithms(True)  # this also fills every empty tensor with NaN
    try:
        results = solve(steps(tape.step), problem)
    finally:
        torch.use_deterministic_algorithms(False)
    assert_equal_results(results, solve(reference.scan, problem))


def test_a_second_step_from_an_old_state_is_another_future() -> None:
    def loss(*actions: Tensor) -> Tensor:
        early, old = walk(actions, 0, 5)
        first, new = walk(actions, 5, 12, old)
        second, other = walk(actions, 8, 11, old)
        third, _ = walk(actions, 3, 9, new)
        last, _ = walk(actions, 2, 4, other)
        kept = MEMORY.contents(old).values.sum() + MEMORY.contents(new).strengths.square().sum()
        return score(early) + score(first) + 2 * score(second) + 3 * score(third) + score(last) + kept

    both(loss)


def test_many_branches_from_every_state_meet_in_one_loss() -> None:
    def loss(*actions: Tensor) -> Tensor:
        total, state = torch.zeros(()), MEMORY.initial_state(2, dtype=torch.float64)
        for t in range(12):
            aside, _ = walk(actions, 11 - t, 12, state)
            read, state = MEMORY.step(at(actions, t), state)
            total = total + score([*aside, read]) * (t + 1)
        return total

    both(loss)


def test_beam_search_selects_rows_of_a_state() -> None:
    def loss(*actions: Tensor) -> Tensor:
        reads, state = walk(actions, 0, 6)
        more, state = walk(actions, 6, 9, state.select(torch.tensor([1, 1])))
        last, _ = walk(actions, 9, 12, state.select(torch.tensor([0, 1])))
        return score(reads + more + last)

    both(loss)


def test_detach_cuts_the_gradient_and_nothing_else() -> None:
    def loss(*actions: Tensor) -> Tensor:
        reads, state = walk(actions, 0, 6)
        more, state = walk(actions, 6, 9, state.detach())
        last, _ = walk(actions, 9, 12, state)
        return score(reads) + 2 * score(more + last)

    both(loss)


def test_steps_without_gradient_are_constants() -> None:
    def loss(*actions: Tensor) -> Tensor:
        reads, state = walk(actions, 0, 4)
        with torch.no_grad():
            _, aside = walk(actions, 4, 7, state)
        more, _ = walk(actions, 7, 10, aside)
        last, _ = walk(actions, 4, 12, state)
        return score(reads) + score(more) + score(last)

    both(loss)


def test_gradients_reach_some_inputs_and_not_others() -> None:
    for need in range(3):

        def loss(*actions: Tensor, need: int = need) -> tuple[Tensor, ...]:
            some = [part if i == need else part.detach() for i, part in enumerate(actions)]
            reads, _ = walk(tuple(some), 0, 12)
            return torch.autograd.grad(score(reads), [actions[need]])

        both(loss)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_changes_nothing(reentrant: bool) -> None:
    def loss(*actions: Tensor) -> Tensor:
        reads, state = walk(actions, 0, 4)

        def part(values: Tensor, strengths: Tensor, *actions: Tensor) -> tuple[Tensor, ...]:
            reads, after = walk(actions, 4, 9, Slots(values, strengths))
            slots = after.slots()  # type: ignore[attr-defined]
            return torch.stack(reads), slots.values, slots.strengths

        slots = state.slots()  # type: ignore[attr-defined]
        more, *slots = checkpoint(part, slots.values, slots.strengths, *actions, use_reentrant=reentrant)
        last, _ = walk(actions, 9, 12, Slots(*slots))
        return score(reads) + score([more]) + score(last)

    both(loss)


def test_checkpointing_with_a_state_of_the_tape_changes_nothing() -> None:
    def loss(*actions: Tensor) -> Tensor:
        reads, state = walk(actions, 0, 4)
        more, state = checkpoint(walk, actions, 4, 9, state, use_reentrant=False)
        last, _ = walk(actions, 9, 12, state)
        return score(reads + more + last)

    both(loss)


def test_an_exception_half_way_through_backward_leaves_nothing_behind() -> None:
    def loss(*actions: Tensor) -> Tensor:
        reads, state = walk(actions, 0, 6)
        more, _ = walk(actions, 6, 12, state)

        def fail(_: Tensor) -> Tensor:
            raise KeyboardInterrupt

        handle = reads[3].register_hook(fail)
        with pytest.raises(KeyboardInterrupt):
            score(reads + more).backward(retain_graph=True)
        handle.remove()
        for part in actions:
            part.grad = None
        return score(reads + more)

    both(loss)


def test_backward_runs_twice_with_one_result() -> None:
    def loss(*actions: Tensor) -> tuple[Tensor, ...]:
        reads, _ = walk(actions, 0, 12)
        once = torch.autograd.grad(score(reads), actions, retain_graph=True)
        twice = torch.autograd.grad(score(reads), actions)
        assert_close(once, twice, rtol=0, atol=0)
        return twice

    both(loss)


def test_backward_in_any_order() -> None:
    def loss(*actions: Tensor) -> tuple[Tensor, ...]:
        reads, state = walk(actions, 0, 6)
        more, _ = walk(actions, 6, 12, state)
        other, _ = walk(actions, 3, 8, state)
        found: list[Tensor] = []
        for read in (reads[2], more[5], reads[5], other[1], more[0], reads[0], other[4]):
            grads = torch.autograd.grad(read.sin().sum(), actions, retain_graph=True)
            assert all(grad[:, 11].abs().sum() == 0 for grad in grads) or read is more[5]
            found.extend(grads)
        return tuple(found)

    both(loss)


def test_backward_of_one_step_alone() -> None:
    def loss(*actions: Tensor) -> tuple[Tensor, ...]:
        _, state = walk(actions, 0, 6)
        middle = at(actions, 6)
        read, after = MEMORY.step(middle, state)
        last, _ = walk(actions, 7, 10, after)
        return torch.autograd.grad(score([read, *last]), list(middle))

    both(loss)


def test_a_step_between_two_backward_passes() -> None:
    def loss(*actions: Tensor) -> tuple[Tensor, ...]:
        found: list[Tensor] = []
        state = None
        for t in range(12):
            reads, state = walk(actions, t, t + 1, state)
            found.extend(torch.autograd.grad(score(reads), actions, retain_graph=True))
        return tuple(found)

    both(loss)


def test_reads_that_feed_the_next_action() -> None:
    def loss(*actions: Tensor) -> Tensor:
        state, read = MEMORY.initial_state(2, dtype=torch.float64), torch.zeros(2, 2, 3, dtype=torch.float64)
        for t in range(12):
            push, pop, value = at(actions, t)
            gate = torch.sigmoid(read.sum(-1))
            read, state = MEMORY.step(Action(push * gate, pop * (1 - gate), value + read.roll(1, 1)), state)
        return read.sum()

    both(loss)


def test_values_changed_after_a_step_stay_as_they_were() -> None:
    def loss(*actions: Tensor) -> tuple[Tensor, ...]:
        state, reads = MEMORY.initial_state(2, dtype=torch.float64), []
        for t in range(12):
            action = Action(*(part.detach().clone() for part in at(actions, t)))
            read, state = MEMORY.step(action, state)
            reads.append(read.clone())
            for part in action:
                part.fill_(-1.0)
            read.fill_(-1.0)
        return (*reads, *MEMORY.contents(state))

    both(loss)


def test_states_can_be_copied_and_saved() -> None:
    _, _, *actions = Problem.draw("deque", "mixed", time=12).inputs
    _, state = walk(tuple(actions), 0, 8)
    buffer = io.BytesIO(pickle.dumps(state))
    expected = walk(tuple(actions), 8, 12, state)[0]
    for other in (copy.copy(state), copy.deepcopy(state), pickle.load(buffer)):
        assert_close(walk(tuple(actions), 8, 12, other)[0], expected)


def test_states_can_change_dtype() -> None:
    def loss(*actions: Tensor) -> Tensor:
        reads, state = walk(actions, 0, 6)
        single = tuple(part.float() for part in actions)
        more, state = walk(single, 6, 9, state.to(dtype=torch.float32))
        last, _ = walk(actions, 9, 12, state.to(dtype=torch.float64))
        return score(reads) + score(last) + score(more).double() * 0

    _, _, *parts = Problem.draw("deque", "quarters", time=12).inputs
    found = []
    for kernel in ("auto", "reference"):
        with ops.using(kernel):
            inputs = [part.clone().requires_grad_() for part in parts]
            found.append(torch.autograd.grad(loss(*inputs), inputs))
    assert_near(found[0], found[1], torch.float32)


def test_half_precision_computes_in_single() -> None:
    _, _, push, pop, value = Problem.draw("deque", "quarters", dtype=torch.float32, time=12).inputs
    found = []
    for kernel in ("auto", "reference"):
        with ops.using(kernel):
            state = MEMORY.initial_state(2, dtype=torch.bfloat16)
            half = value.bfloat16().requires_grad_()
            reads, state = walk((push, pop, half), 0, 12, state)
            assert reads[0].dtype == MEMORY.contents(state).values.dtype == torch.bfloat16
            found.append((torch.stack(reads), *torch.autograd.grad(torch.stack(reads).float().sum(), half)))
    assert_near(found[0], found[1], torch.bfloat16)


def test_threads_may_share_a_tape() -> None:
    _, _, *parts = Problem.draw("deque", "mixed", time=60).inputs
    actions = tuple(part.requires_grad_() for part in parts)
    reads, state = walk(actions, 0, 20)

    def future(start: int) -> tuple[Tensor, ...]:
        more, _ = walk(actions, start, start + 20, state)
        return torch.autograd.grad(score(reads + more), actions, retain_graph=True)

    expected = [future(start) for start in (20, 25, 30, 35)]
    with ThreadPoolExecutor(4) as pool:
        assert_close(list(pool.map(future, (20, 25, 30, 35))), expected)


def test_an_endless_stream_keeps_only_what_is_live() -> None:
    stack, state = Stack(2), Stack(2).initial_state(1)
    action = Action(torch.ones(1, 1), torch.ones(1, 1), torch.ones(1, 1, 2))
    for _ in range(1000):
        _, state = stack.step(action, state)
    assert isinstance(state, tape.TapeState)
    assert state.tape.values.shape[1] < 50


def test_what_a_step_saves_does_not_grow() -> None:
    sizes = []
    for time in (200, 400):
        _, _, *parts = Problem.draw("deque", "random", time=time).inputs
        _, state = walk(tuple(part.requires_grad_() for part in parts), 0, time)
        assert isinstance(state, tape.TapeState)
        token = state.token
        assert token is not None
        assert token.untyped_storage().nbytes() == 8
        sizes.append(sum(part.nbytes for part in (state.tape.array, *state.tape.line)) / time)
    assert sizes[1] < 2 * sizes[0]
