"""The grammar tasks at natural lengths: their distribution by enumeration, and sets that have no sentence in common."""

from __future__ import annotations

from collections import Counter
from functools import cache, reduce
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
import torch
from derivations import PROBABLE, derivable
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from ddstructs import InputError
from ddstructs.tasks import GenderConjugation, SVOtoSOV
from ddstructs.tasks.held_out import set_of
from ddstructs.tasks.streams import TEST, TRAIN, VAL, generator

TASKS: list[Any] = [SVOtoSOV, GenderConjugation]

SETS = {TRAIN: 0.75, VAL: 0.125, TEST: 0.125}
"""The sets, and the share of sentences in each."""


@cache
def probabilities(kind: Any, length: int) -> dict[tuple[str, ...], float]:
    """The probability of each sentence of a length, over kinds of words."""
    return derivable(PROBABLE[kind], ("A",), length)


def rows_of(source: Tensor, lengths: Tensor) -> list[tuple[int, ...]]:
    """Each source without its padding."""
    return [tuple(row[:n]) for row, n in zip(source.tolist(), lengths.tolist(), strict=True)]


def assert_distributed(counts: Counter[int], shares: dict[int, float]) -> None:
    """Compare counts with shares that sum up to 1, within five standard deviations."""
    total = sum(counts.values())
    assert counts.keys() <= {key for key, share in shares.items() if share}
    for key, share in shares.items():
        assert abs(counts[key] - total * share) < 5 * (total * share) ** 0.5 + 5


# Lengths.


@pytest.mark.parametrize("split", SETS)
@pytest.mark.parametrize(
    ("kind", "low", "high", "raised"),
    [(SVOtoSOV, 1, 8, 3), (SVOtoSOV, 6, 9, 6), (GenderConjugation, 1, 11, 5), (GenderConjugation, 7, 9, 7)],
)
def test_lengths_of_every_set_are_as_probable_as_the_derivations_make_them(
    kind: Any, low: int, high: int, raised: int, split: int
) -> None:
    mass = {n: sum(probabilities(kind, n).values()) for n in range(raised, high + 1)}
    _, n = kind(length_distribution="natural").draw_for(split, 20_000, (low, high), generator(9))
    assert_distributed(Counter(n.tolist()), {n: p / sum(mass.values()) for n, p in mass.items()})


@pytest.mark.parametrize("split", SETS)
@pytest.mark.parametrize("kind", TASKS)
def test_sentences_of_every_set_are_those_of_the_grammar(kind: Any, split: int) -> None:
    """Their kinds of words are distributed as the derivations of their length make them."""
    task, length = kind(length_distribution="natural"), kind.shortest + 3
    source, n = task.draw_for(split, 20_000, (length, length), generator(9))
    assert n.unique().tolist() == [length]
    number = {name[0].rstrip("0123456789"): i for i, name in enumerate(task.source_words)}
    probable = probabilities(kind, length)
    places = {tuple(number[word] for word in sentence): i for i, sentence in enumerate(probable)}
    counts = Counter(places[tuple(row)] for row in task.kinds(source).tolist())
    assert_distributed(counts, {i: p / sum(probable.values()) for i, p in enumerate(probable.values())})


@pytest.mark.parametrize("kind", TASKS)
def test_long_lengths_are_as_probable_as_the_generating_functions_of_the_productions_make_them(kind: Any) -> None:
    """Their fixed point, from zero upwards: after n steps, all derivations of height n are in it."""
    longest = 128
    series: dict[str, NDArray[np.float64]] = {symbol: np.zeros(longest + 1) for symbol in PROBABLE[kind]}
    word: NDArray[np.float64] = np.eye(1, longest + 1, 1)[0]

    def product(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.convolve(a, b)[: longest + 1]

    for _ in range(3 * longest):
        grown = {}
        for symbol, alternatives in PROBABLE[kind].items():
            grown[symbol] = np.zeros(longest + 1)
            for parts, p in alternatives.items():
                grown[symbol] += p * reduce(product, [series.get(part, word) for part in parts.split()])
        series = grown
    mass = {n: float(series["A"][n]) for n in range(65, longest + 1)}
    n = kind.grammar.draw_lengths(200_000, (65, longest), generator(9))
    assert_distributed(Counter(n.tolist()), {n: p / sum(mass.values()) for n, p in mass.items()})


@pytest.mark.parametrize("kind", TASKS)
def test_the_curriculum_starts_with_the_lengths_of_its_stage(kind: Any) -> None:
    task = kind(length_distribution="natural", train_lengths=(1, 64), start_length=7, batch_size=4, seed=0)
    batch = next(iter(task.train_dataloader()))
    lengths = task.lengths(batch)
    assert len(lengths) == round(4 * 64 / 7)
    assert int(lengths.min()) == task.shortest
    assert int(lengths.max()) <= 7


# Sets.


@pytest.mark.parametrize("kind", TASKS)
def test_no_sentence_is_in_two_sets_whatever_the_seed_and_the_range(kind: Any) -> None:
    def sentences(batches: Any) -> list[tuple[int, ...]]:
        return [row for batch in batches for row in rows_of(batch.inputs, task.lengths(batch) + 1)]

    found: dict[str, list[tuple[int, ...]]] = {"train": [], "val": [], "test": []}
    for seed, longest in ((0, 64), (1, 6)):
        lengths = (1, longest)
        task = kind(
            length_distribution="natural",
            seed=seed,
            batch_size=1000,
            batches_per_epoch=10,
            curriculum=False,
            train_lengths=lengths,
            val_lengths=lengths,
            test_lengths=lengths,
            eval_size=1000,
        )
        for name, each in found.items():
            each += sentences(getattr(task, f"{name}_dataloader")())
    train, val, test = (set(each) for each in found.values())
    assert len(train) < len(found["train"])  # sentences recur
    assert train.isdisjoint(val | test)
    assert val.isdisjoint(test)


@pytest.mark.parametrize("kind", TASKS)
def test_each_set_has_its_share_of_short_and_of_long_sentences(kind: Any) -> None:
    task = kind(length_distribution="natural")
    for lengths in ((kind.shortest, kind.shortest), (40, 60)):
        source, n = task.draw(20_000, lengths, generator(9))
        assert_distributed(Counter(set_of(source, n).tolist()), SETS)


@given(rows=st.lists(st.lists(st.integers(0, 127), min_size=1, max_size=9), min_size=1, max_size=5), junk=st.data())
def test_the_set_of_a_source_depends_on_its_symbols_alone(rows: list[list[int]], junk: Any) -> None:
    symbol = st.integers(0, 127)
    padded = [[*row, *junk.draw(st.lists(symbol, min_size=12 - len(row), max_size=12 - len(row)))] for row in rows]
    together = set_of(torch.tensor(padded), torch.tensor([len(row) for row in rows]))
    for row, found in zip(rows, together, strict=True):
        remainder = sum((symbol + 1) * 742938285**i for i, symbol in enumerate(row, 1)) % (2**31 - 1)
        eighth = remainder * 8 // (2**31 - 1)
        assert {VAL: eighth == 0, TEST: eighth == 1, TRAIN: eighth > 1}[int(found)]
        assert torch.equal(set_of(torch.tensor([row]), torch.tensor([len(row)])), found[None])


# The default.

DIGESTS = {SVOtoSOV: ("edbb8aef", "b26bc758", "8ea4fb43"), GenderConjugation: ("26b10875", "b454063b", "292d9cce")}
"""Digests of training, validation and test at uniform lengths, as they were before there were natural ones."""


@pytest.mark.parametrize("kind", TASKS)
def test_uniform_lengths_are_the_default_and_their_sentences_are_those_of_the_published_results(kind: Any) -> None:
    def digest(batches: Any) -> str:
        return sha256(b"".join(batch.inputs.numpy().tobytes() for batch in batches)).hexdigest()[:8]

    task = kind(seed=3, batches_per_epoch=3, eval_size=20)
    sets = (task.train_dataloader(), task.val_dataloader(), task.test_dataloader())
    assert tuple(map(digest, sets)) == DIGESTS[kind]


def test_another_distribution_is_refused() -> None:
    other: Any = "normal"
    with pytest.raises(InputError, match="length_distribution is 'normal', but uniform or natural was expected"):
        SVOtoSOV(length_distribution=other)
