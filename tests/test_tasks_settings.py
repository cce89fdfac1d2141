"""The settings of a transduction: the defaults are those of the paper, and what makes no task is refused."""

import re
from collections.abc import Callable

import pytest
from transductions import rows, small

from ddstructs import InputError
from ddstructs.tasks import BigramFlipping, BinaryAddition, Copying, Rearrangement, Reversal, Transduction


def test_the_defaults_are_those_of_the_paper() -> None:
    task = Reversal()
    assert (task.train_lengths, task.test_lengths, task.source_symbols) == ((8, 64), (65, 128), 128)
    addition = BinaryAddition()
    assert (addition.train_lengths, addition.test_lengths) == ((8, 8), (9, 64))


WRONG: list[tuple[Callable[[], Transduction], str]] = [
    (
        lambda: Copying(train_lengths=(9, 8)),
        "train_lengths is (9, 8), but 2 whole numbers of 1 or more in ascending order were",
    ),
    (lambda: Copying(val_lengths=(0, 8)), "val_lengths is (0, 8), but 2 whole numbers of 1 or more"),
    (lambda: BinaryAddition(test_lengths=(-3, 8)), "test_lengths is (-3, 8), but"),
    (lambda: BigramFlipping(train_lengths=(5, 5)), "train_lengths is 5..5, which holds no multiple of 2"),
    (lambda: BigramFlipping(test_lengths=(1, 1)), "test_lengths is 1..1, which holds no multiple of 2"),
    (lambda: Reversal(0), "symbols is 0, but a whole number from 1 to 128 was expected"),
    (lambda: Reversal(129), "symbols is 129, but a whole number from 1 to 128 was expected"),
    (lambda: Copying(batch_size=0), "batch_size is 0, but a whole number of 1 or more was expected"),
    (lambda: Copying(batches_per_epoch=0), "batches_per_epoch is 0, but a whole number of 1 or more was expected"),
    (lambda: Copying(eval_size=-1), "eval_size is -1, but a whole number of 1 or more was expected"),
    (lambda: Copying(eval_batch_size=0), "eval_batch_size is 0, but a whole number of 1 or more was expected"),
    (lambda: Copying(start_length=0), "start_length is 0, but a whole number of 1 or more was expected"),
    (lambda: Copying(patience=0), "patience is 0, but a whole number of 1 or more was expected"),
    (lambda: Copying(seed=-1), "seed is -1, but a whole number of 0 or more was expected"),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[message for _, message in WRONG])
def test_settings_that_make_no_task_are_refused(make: Callable[[], Transduction], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_one_length_and_one_symbol_are_enough() -> None:
    for task in (
        small(Copying, symbols=1, train_lengths=(1, 1)),
        small(BigramFlipping, symbols=1, train_lengths=(1, 2)),
    ):
        assert isinstance(task, Rearrangement)
        assert {symbol for row in rows(next(iter(task.train_dataloader()))) for symbol in row} == {0}
