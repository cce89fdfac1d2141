"""The stream of a transduction: the lengths of its sequences, one stream for each seed, and sets that are fixed."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transductions import TASKS, equal, length_of, rows, small

from ddstructs.tasks import Batch, BigramFlipping, Copying, Reversal, Transduction


@pytest.mark.parametrize("kind", TASKS)
def test_lengths_are_uniform_and_both_ends_occur(kind: Any) -> None:
    task = small(kind, train_lengths=(3, 10), batch_size=2000)
    lengths = length_of(next(iter(task.train_dataloader())))
    possible = [4, 6, 8, 10] if kind is BigramFlipping else list(range(3, 11))
    assert sorted(set(lengths)) == possible
    expected = len(lengths) / len(possible)
    assert all(abs(lengths.count(n) - expected) < 5 * expected**0.5 for n in possible)


@pytest.mark.parametrize("kind", TASKS)
def test_the_sets_have_the_lengths_that_were_asked_for(kind: Any) -> None:
    task = small(kind, train_lengths=(2, 6), test_lengths=(7, 12))
    for loader, low, high in (
        (task.val_dataloader(), 2, 12),
        (task.test_dataloader(), 7 + (kind is BigramFlipping), 12),
    ):
        lengths = [n for batch in loader for n in length_of(batch)]
        assert (len(lengths), min(lengths), max(lengths)) == (1000, low, high)
    lengths = [n for batch in small(kind, val_lengths=(4, 4)).val_dataloader() for n in length_of(batch)]
    assert set(lengths) == {4}


@pytest.mark.parametrize("kind", TASKS)
def test_one_seed_is_one_stream(kind: Any) -> None:
    settings = {"train_lengths": (2, 6), "batch_size": 4, "batches_per_epoch": 3}
    first, twin, other = small(kind, **settings), small(kind, **settings), small(kind, seed=1, **settings)
    epochs = [list(first.train_dataloader()) for _ in range(3)]
    again = [list(twin.train_dataloader()) for _ in range(3)]
    assert all(equal(a, b) for a, b in zip(epochs, again, strict=True))
    assert not any(equal(a, b) for a, b in pairwise(epochs))
    assert not equal(epochs[0], list(other.train_dataloader()))


def test_without_a_seed_it_is_that_of_torch() -> None:
    torch.manual_seed(5)
    free, fixed = small(Copying, seed=None), small(Copying, seed=5)
    torch.rand(3)
    assert equal([next(iter(free.train_dataloader()))], [next(iter(fixed.train_dataloader()))])


@pytest.mark.parametrize("kind", TASKS)
def test_the_sets_are_fixed_whatever_the_seed_and_the_size_of_a_batch(kind: Any) -> None:
    settings = {"train_lengths": (2, 6), "test_lengths": (2, 6)}
    one, two = small(kind, **settings), small(kind, seed=7, batch_size=3, eval_batch_size=333, **settings)
    list(zip(range(2), two.train_dataloader(), strict=False))
    torch.manual_seed(3)
    val, test = (
        [row for batch in loader for row in rows(batch)] for loader in (one.val_dataloader(), one.test_dataloader())
    )
    assert val == [row for batch in two.val_dataloader() for row in rows(batch)]
    assert test == [row for batch in two.test_dataloader() for row in rows(batch)]
    assert val != test
    assert len(val) == len(test) == 1000


@given(cut=st.integers(0, 7), accuracies=st.lists(st.floats(0, 1), min_size=8, max_size=8))
def test_a_saved_state_resumes_the_stream_where_it_was(cut: int, accuracies: list[float]) -> None:
    settings = {"train_lengths": (2, 9), "batch_size": 2, "curriculum": True, "batches_per_epoch": 100}
    whole, part, rest = small(Copying, **settings), small(Copying, **settings), small(Copying, **settings, seed=None)

    def draw(task: Transduction, accuracies: list[float]) -> list[Batch]:
        batches = []
        for accuracy, batch in zip(accuracies, task.train_dataloader(), strict=False):
            batches.append(batch)
            task.stages.observe(accuracy)
        return batches

    expected = draw(whole, accuracies)
    before = draw(part, accuracies[:cut])
    rest.load_state_dict(part.state_dict())
    assert equal(before + draw(rest, accuracies[cut:]), expected)
    assert rest.stages == whole.stages


def test_loading_a_state_twice_gives_one_future() -> None:
    task = small(Reversal, curriculum=True)
    state = task.state_dict()
    first = [next(iter(task.train_dataloader())) for _ in range(3)]
    for _ in range(100):
        task.stages.observe(1.0)
    task.load_state_dict(state)
    assert equal([next(iter(task.train_dataloader())) for _ in range(3)], first)


def test_fresh_seeds_differ_and_recur() -> None:
    task, twin, other = small(Copying), small(Copying), small(Copying, seed=1)
    first = task.fresh_seed()
    assert first == twin.fresh_seed() != other.fresh_seed()
    task.stages.restart()
    assert task.fresh_seed() != first
