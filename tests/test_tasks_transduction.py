"""Transductions, compared with plain Python: their targets, and the layout of their batches."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transductions import TASKS, Row, small

from ddstructs.tasks import (
    IGNORE,
    BigramFlipping,
    BinaryAddition,
    Copying,
    GenderConjugation,
    Reversal,
    SVOtoSOV,
    Transduction,
)


def flipped(source: Row) -> Row:
    return [symbol for a, b in zip(source[::2], source[1::2], strict=True) for symbol in (b, a)]


def added(source: Row) -> Row:
    """The digits of a sum, least significant first, computed by Python."""
    a = sum((symbol // 2) << i for i, symbol in enumerate(source))
    b = sum((symbol % 2) << i for i, symbol in enumerate(source))
    return [a + b >> i & 1 for i in range(len(source) + 1)]


TARGETS: dict[type[Transduction], Callable[[Row], Row]] = {
    Copying: lambda source: source,
    Reversal: lambda source: source[::-1],
    BigramFlipping: flipped,
    BinaryAddition: added,
}


def sources(kind: type[Transduction], symbols: int) -> st.SearchStrategy[list[Row]]:
    """Batches of sources of different lengths, including empty ones where allowed."""
    symbol = st.integers(0, symbols - 1)
    if kind is BigramFlipping:
        row = st.lists(st.tuples(symbol, symbol), max_size=4).map(lambda pairs: [s for pair in pairs for s in pair])
    else:
        row = st.lists(symbol, max_size=8)
    return st.lists(row, min_size=1, max_size=5)


def padded(rows: list[Row], junk: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    source = torch.tensor([row + [junk] * (width - len(row)) for row in rows], dtype=torch.int64)
    return source.reshape(len(rows), width), torch.tensor([len(row) for row in rows])


def by_hand(task: Transduction, source: Row) -> tuple[Row, Row]:
    """Inputs and targets of a source, symbol by symbol."""
    target = TARGETS[type(task)](source)
    said = [2 + symbol for symbol in source]
    answers = [2 + task.source_symbols + symbol for symbol in target]
    end = task.target_symbols
    if task.online:
        return [0, *said, 1, *answers[len(source) :]], [IGNORE, *target, end]
    return [0, *said, 1, *answers], [IGNORE] * (1 + len(source)) + [*target, end]


@pytest.mark.parametrize("kind", [*TASKS, SVOtoSOV, GenderConjugation])
def test_the_example_of_a_task_is_a_source(kind: Any) -> None:
    task = kind()
    target, lengths = task.transduce(*task.sources([task.example]))
    assert task.decode(target[0, : lengths[0]].tolist())


@given(st.data())
@pytest.mark.parametrize("kind", TASKS)
def test_targets_are_those_of_plain_python(kind: Any, data: st.DataObject) -> None:
    task = small(kind)
    batch = data.draw(sources(kind, task.source_symbols))
    target, lengths = task.transduce(*padded(batch, junk=task.source_symbols - 1))
    found = [row[:length] for row, length in zip(target.tolist(), lengths.tolist(), strict=True)]
    assert found == [TARGETS[kind](row) for row in batch]


@given(st.data())
@pytest.mark.parametrize("kind", TASKS)
def test_a_batch_is_laid_out_as_by_hand(kind: Any, data: st.DataObject) -> None:
    task = small(kind) if kind is BinaryAddition else small(kind, symbols=5)
    batch = data.draw(sources(kind, task.source_symbols))
    inputs, targets, lengths = task.assemble(*padded(batch, junk=1))
    expected = [by_hand(task, row) for row in batch]
    longest = max(len(said) for said, _ in expected)
    assert inputs.shape == targets.shape == (len(batch), longest)
    assert inputs.dtype == targets.dtype == lengths.dtype == torch.int64
    assert lengths.tolist() == [len(said) for said, _ in expected]
    assert inputs.tolist() == [said + [0] * (longest - len(said)) for said, _ in expected]
    assert targets.tolist() == [asked + [IGNORE] * (longest - len(asked)) for _, asked in expected]


@pytest.mark.parametrize("kind", TASKS)
def test_symbols_are_in_range_and_source_and_target_have_their_own(kind: Any) -> None:
    task = small(kind, train_lengths=(4, 4), batch_size=400)
    batch = next(iter(task.train_dataloader()))
    places = torch.arange(batch.inputs.shape[1])
    source = batch.inputs[:, 1:5]
    answers = batch.inputs[(places > 5) & (places < batch.lengths[:, None])]
    assert (int(source.min()), int(source.max())) == (2, 1 + task.source_symbols)
    assert (int(answers.min()), int(answers.max())) == (2 + task.source_symbols, task.input_symbols - 1)
    asked = batch.targets[batch.targets != IGNORE]
    assert (int(asked.min()), int(asked.max())) == (0, task.output_symbols - 1)
    assert ((batch.targets == task.output_symbols - 1).sum(1) == 1).all()
