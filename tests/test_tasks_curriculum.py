"""The curriculum: its stages, its patience, and the batches that it makes."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transductions import REARRANGING, TASKS, Rearranging, length_of, small

from ddstructs.tasks import Curriculum


@given(longest=st.integers(1, 200), start=st.integers(1, 50), shortest=st.integers(1, 30))
def test_stages_grow_to_the_last_and_keep_lengths_in_proportion(longest: int, start: int, shortest: int) -> None:
    shortest = min(shortest, longest)
    curriculum = Curriculum(longest, start)
    stages = [curriculum.stage]
    for _ in range(400):
        low, high = curriculum.lengths(shortest)
        assert 1 <= low <= high <= longest
        assert high == max(1, int(curriculum.stage))
        curriculum.observe(1.0)
        stages.append(curriculum.stage)
    assert stages[0] == min(start, longest)
    assert stages[-1] == longest
    assert all(a == b or b == min(longest, 1.5 * a) for a, b in pairwise(stages))
    assert curriculum.finished
    assert curriculum.lengths(shortest) == (shortest, longest)
    curriculum.restart()
    assert (curriculum.stage, curriculum.finished) == (stages[0], False), "a fresh start has all stages before it"


def test_a_stage_ends_when_the_running_accuracy_passes_the_threshold() -> None:
    curriculum, running = Curriculum(longest=16, threshold=0.5, momentum=0.5), 0.0
    for accuracy in (0.4, 0.8, 0.2, 0.5):
        running = 0.5 * running + 0.5 * accuracy
        curriculum.observe(accuracy)
        assert curriculum.accuracy == running
        assert (curriculum.stage, curriculum.finished) == (4, False)
    curriculum.observe(1.0)
    assert (curriculum.stage, curriculum.batches) == (6, 0)


def test_a_stage_that_does_not_end_has_stalled_and_every_second_restart_doubles_the_patience() -> None:
    curriculum = Curriculum(longest=16, patience=5)
    for restarts, patience in enumerate((5, 5, 10, 10, 20)):
        for _ in range(patience):
            assert not curriculum.stalled
            curriculum.observe(0.0)
        assert curriculum.stalled
        curriculum.restart()
        assert (curriculum.stage, curriculum.accuracy, curriculum.restarts) == (4, 0, restarts + 1)


def test_patience_is_of_each_stage_half_as_much_after_the_first_and_ends_with_the_last() -> None:
    curriculum = Curriculum(longest=6, patience=6, momentum=0.0)
    for accuracy in (0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0):
        curriculum.observe(accuracy)
        assert not curriculum.stalled
    assert curriculum.finished
    later = Curriculum(longest=9, patience=6, stage=6.0)
    for _ in range(3):
        assert not later.stalled
        later.observe(0.0)
    assert later.stalled
    endless = Curriculum(longest=6, patience=None)
    for _ in range(1000):
        endless.observe(0.0)
    assert not endless.stalled


@pytest.mark.parametrize("kind", TASKS)
def test_without_a_curriculum_sources_are_as_long_as_asked_for_from_the_start(kind: Any) -> None:
    task = small(kind, train_lengths=(8, 64))
    assert (task.stages.stage, task.stages.finished, task.stages.stalled) == (64, True, False)


@pytest.mark.parametrize("kind", REARRANGING)
def test_batches_grow_so_that_symbols_stay_about_equal(kind: Rearranging) -> None:
    task = small(kind, curriculum=True, batch_size=64)
    sizes = []
    while not task.stages.finished:
        lengths = length_of(next(iter(task.train_dataloader())))
        assert max(lengths) <= task.stages.stage
        sizes.append((len(lengths), sum(lengths)))
        stage = task.stages.stage
        while task.stages.stage == stage and not task.stages.finished:
            task.stages.observe(1.0)
    assert len(sizes) == 8
    assert sizes[0][0] == 16 * 64
    assert sizes[-1][0] == 64
    symbols = [symbols for _, symbols in sizes]
    assert max(symbols) < 1.75 * min(symbols)
