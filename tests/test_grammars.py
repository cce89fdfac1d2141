"""The grammar tasks against an independent top-down parser of their productions, both sides at once."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
from derivations import PROBABLE, derivable
from hypothesis import given
from hypothesis import strategies as st

from ddstructs import InputError
from ddstructs.tasks import GenderConjugation, SVOtoSOV, Translation
from ddstructs.tasks.grammar import Grammar

Words = tuple[str, ...]

TASKS: list[Any] = [SVOtoSOV, GenderConjugation]

SVO = {
    "A": ["S VT O | S O VT"],
    "S": ["S S | S S", "S rpi S VT | S rpo S VT", "ST | ST"],
    "O": ["O O | O O", "S rpi S VT | S rpo S VT", "OT | OT"],
    "ST": [f"si{i} | so{i}" for i in range(1, 34)],
    "OT": [f"oi{i} | oo{i}" for i in range(1, 34)],
    "VT": [f"vi{i} | vo{i}" for i in range(1, 34)],
}

GENDER = {
    "A": ["B | B"],
    "B": ["B or B | B oder B", "S and S | S und S", "B V | B V"],
    "V": ["W B | W B", "W | W"],
    "S": ["the M | der M", "the F | die F", "the N | das N", "a M | ein M", "a F | eine F", "a N | ein N"],
    "W": [f"we{i} | wg{i}" for i in range(1, 26)],
    "M": [f"em{i} | gm{i}" for i in range(1, 26)],
    "F": [f"ef{i} | gf{i}" for i in range(1, 26)],
    "N": [f"en{i} | gn{i}" for i in range(1, 26)],
}

PRODUCTIONS = {SVOtoSOV: SVO, GenderConjugation: GENDER}


class Oracle:
    """Parses from the top down by trying every split, and collects the translations of all derivations."""

    def __init__(self, productions: dict[str, list[str]]) -> None:
        self.rules = {
            symbol: [tuple(tuple(side.split()) for side in rule.split(" | ")) for rule in alternatives]
            for symbol, alternatives in productions.items()
        }
        self.of = cache(self._of)

    def translations(self, sentence: Words) -> frozenset[Words]:
        return self.of("A", sentence)

    def _of(self, symbol: str, words: Words) -> frozenset[Words]:
        """The translations of a part of a sentence derived from a symbol; none if it is not derivable."""
        return frozenset(
            translation
            for source, target in self.rules[symbol]
            for parts in self._split(source, words)
            for translation in [self._reorder(source, target, parts)]
        )

    def _split(self, symbols: Words, words: Words) -> Iterator[list[Words]]:
        """The translations of each symbol, for every way to distribute the words among them."""
        if not symbols:
            yield from [] if words else [[]]
        elif symbols[0] not in self.rules:
            if words[:1] == symbols[:1]:
                yield from ([(), *rest] for rest in self._split(symbols[1:], words[1:]))
        else:
            for k in range(1, len(words) - len(symbols) + 2):
                for first in self.of(symbols[0], words[:k]):
                    yield from ([first, *rest] for rest in self._split(symbols[1:], words[k:]))

    def _reorder(self, source: Words, target: Words, parts: list[Words]) -> Words:
        """Order the translated parts as the target has their symbols; parts of one name keep their order."""
        stock: dict[str, list[Words]] = {symbol: [] for symbol in source}
        for symbol, part in zip(source, parts, strict=True):
            stock[symbol].append(part)
        return tuple(
            word for symbol in target for word in (stock[symbol].pop(0) if symbol in self.rules else (symbol,))
        )


ORACLES = {kind: Oracle(productions) for kind, productions in PRODUCTIONS.items()}


def drawn(task: Translation, rows: int, lengths: tuple[int, int], seed: int = 0) -> list[tuple[str, str]]:
    """Sources and targets, as text."""
    words = [word for kind in task.source_words for word in kind]
    source, n = task.draw(rows, lengths, torch.Generator().manual_seed(seed))
    target, m = task.transduce(source, n)
    return [
        (" ".join(words[symbol] for symbol in a[:i]), task.decode(b[:j]))
        for a, i, b, j in zip(source.tolist(), n.tolist(), target.tolist(), m.tolist(), strict=True)
    ]


# Translations.


@given(shortest=st.integers(1, 20), more=st.integers(0, 8), seed=st.integers(0, 2**32))
@pytest.mark.parametrize("kind", TASKS)
def test_the_target_is_the_one_translation_of_its_source(kind: Any, shortest: int, more: int, seed: int) -> None:
    for source, target in drawn(kind(), 3, (shortest, shortest + more), seed):
        assert ORACLES[kind].translations(tuple(source.split())) == {tuple(target.split())}


@pytest.mark.parametrize("kind", TASKS)
def test_a_long_target_is_the_one_translation_of_its_source(kind: Any) -> None:
    for source, target in drawn(kind(), 2, (60, 64)):
        assert ORACLES[kind].translations(tuple(source.split())) == {tuple(target.split())}


@pytest.mark.parametrize(
    ("kind", "words", "longest"),
    [
        (SVOtoSOV, ["rpi", "si1", "oi1", "vi1"], 7),
        (GenderConjugation, ["or", "and", "the", "we1", "em1"], 6),
    ],
)
def test_every_short_string_is_a_sentence_or_not_by_the_productions_and_none_has_two_translations(
    kind: Any, words: list[str], longest: int
) -> None:
    """Sentences have many derivations, yet no string of words up to this length has more than one translation."""
    task, oracle = kind(), ORACLES[kind]
    kinds = {word: int(task.kinds(torch.tensor(task._symbols[word]))) for word in words}
    lengths = set()
    for length in range(longest + 1):
        for string in itertools.product(words, repeat=length):
            found = oracle.translations(string)
            assert len(found) <= 1
            assert bool(found) == task.grammar.accepts([kinds[word] for word in string])
            lengths |= {len(string) for _ in found}
    assert lengths == set(range(task.shortest, longest + 1))


def test_the_examples_of_the_paper() -> None:
    """Each as far as the productions derive it, because the paper also shows parts of sentences."""
    for task, source, expected in (
        (
            SVOtoSOV(),
            "si1 vi28 oi5 oi7 si15 rpi si19 vi16 oi10 oi24",
            "so1 oo5 oo7 so15 rpo so19 vo16 oo10 oo24 vo28",
        ),
        (
            GenderConjugation(),
            "the en19 and the em17 or a ef2 and a en1 we11",
            "das gn19 und der gm17 oder eine gf2 und ein gn1 wg11",
        ),
    ):
        symbols = torch.tensor([task.encode(source)])
        target, _ = task.transduce(symbols, torch.tensor([symbols.shape[1]]))
        assert task.decode(target[0].tolist()) == expected


# Distributions.


def fits(counts: list[int]) -> bool:
    """Whether counts fit a uniform distribution, within five standard deviations."""
    expected = sum(counts) / len(counts)
    return all(abs(count - expected) < 5 * expected**0.5 for count in counts)


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("asked", [(8, 64), (65, 128), (1, 9), (1, 2)])
def test_lengths_are_uniform_over_those_of_sentences(kind: Any, asked: tuple[int, int]) -> None:
    task = kind()
    low, high = (max(length, task.shortest) for length in asked)
    source, lengths = task.draw(100 * (high - low + 1), asked, torch.Generator().manual_seed(1))
    assert source.shape[1] == high
    counts = Counter(lengths.tolist())
    assert counts.keys() == set(range(low, high + 1))
    assert fits(list(counts.values()))


@pytest.mark.parametrize("kind", TASKS)
def test_words_are_uniform_within_their_kind(kind: Any) -> None:
    task = kind()
    counts = Counter(word for source, _ in drawn(task, 2000, (8, 64)) for word in source.split())
    for words in task.source_words:
        assert fits([counts[word] for word in words])
    assert counts.keys() == {word for words in task.source_words for word in words}


def test_sentences_of_a_length_are_as_probable_as_the_productions_make_them() -> None:
    """Compared with a count of all derivations."""
    brackets = Grammar("()", {"B": [(0.5, "( )"), (0.25, "( B )"), (0.25, "B B")]}, "B")
    rows = brackets.draw(torch.full((20_000,), 6), torch.Generator().manual_seed(0)).tolist()
    counts = Counter("".join("()"[kind] for kind in row) for row in rows)
    pair, nested = 0.5, 0.25 * 0.5  # () and (())
    two = 0.25 * pair * pair  # ()()
    probability = {
        "((()))": 0.25 * nested,
        "(()())": 0.25 * two,
        "(())()": 0.25 * nested * pair,
        "()(())": 0.25 * pair * nested,
        "()()()": 2 * 0.25 * pair * two,  # two derivations
    }
    assert counts.keys() == probability.keys()
    for sentence, p in probability.items():
        expected = len(rows) * p / sum(probability.values())
        assert abs(counts[sentence] - expected) < 5 * expected**0.5


@pytest.mark.parametrize(("kind", "length"), [(SVOtoSOV, 8), (GenderConjugation, 7), (GenderConjugation, 12)])
def test_the_kinds_of_words_are_as_probable_as_the_productions_of_the_paper_make_them(kind: Any, length: int) -> None:
    names = [re.sub(r"\d", "", words[0]) for words in kind.source_words]
    rows = kind.grammar.draw(torch.full((50_000,), length), torch.Generator().manual_seed(0)).tolist()
    counts = Counter(tuple(names[number] for number in row) for row in rows)
    probable = derivable(PROBABLE[kind], ("A",), length)
    assert counts.keys() <= probable.keys()
    assert len(probable) > 20
    for sentence, p in probable.items():
        expected = len(rows) * p / sum(probable.values())
        assert abs(counts[sentence] - expected) < 5 * expected**0.5 + 5


@pytest.mark.parametrize("kind", TASKS)
def test_one_seed_is_one_stream_and_the_sets_are_fixed(kind: Any) -> None:
    def first(seed: int) -> torch.Tensor:
        inputs: torch.Tensor = next(iter(kind(seed=seed).train_dataloader())).inputs
        return inputs

    def test_set(seed: int) -> list[torch.Tensor]:
        return [batch.inputs for batch in kind(seed=seed, eval_size=30, eval_batch_size=20).test_dataloader()]

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))
    assert all(torch.equal(a, b) for a, b in zip(test_set(1), test_set(2), strict=True))


# Text and settings.


@given(seed=st.integers(0, 2**32))
@pytest.mark.parametrize("kind", TASKS)
def test_text_of_a_sentence_becomes_its_symbols(kind: Any, seed: int) -> None:
    task = kind()
    for source, target in drawn(task, 2, (1, 30), seed):
        symbols = torch.tensor([task.encode(source)])
        assert task.decode(task.transduce(symbols, torch.tensor([symbols.shape[1]]))[0][0].tolist()) == target


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (
            SVOtoSOV,
            "si1 vi2 oi34",
            "'oi34' is not a word of SVOtoSOV, whose words are rpi, si1..si33, oi1..oi33, vi1..vi33",
        ),
        (SVOtoSOV, "si1 oi2 vi3", "'si1 oi2 vi3' is not a sentence of SVOtoSOV such as 'si1 vi28 oi5'"),
        (SVOtoSOV, "si1 vi2 oi3 si4", "is not a sentence of SVOtoSOV"),
        (SVOtoSOV, "", "'' is not a sentence of SVOtoSOV"),
        (SVOtoSOV, "a\x1b[2J", "'a\\x1b[2J' is not a word of SVOtoSOV"),
        (
            GenderConjugation,
            "the em0 and a ef1",
            "'em0' is not a word of GenderConjugation, whose words are or, and, the, a, we1",
        ),
        (GenderConjugation, "the em1 or a ef2", "is not a sentence of GenderConjugation such as 'the em1 and a ef2'"),
    ],
)
def test_text_that_is_no_sentence_is_refused_in_one_line(kind: Any, text: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        kind(text=text).predict_dataloader()
    assert "\n" not in str(caught.value)


def test_lengths_that_no_sentence_has_are_refused() -> None:
    with pytest.raises(InputError, match=r"test_lengths is 1\.\.4, but the shortest sentence of Gender\w+ has 5 words"):
        GenderConjugation(test_lengths=(1, 4))
    assert SVOtoSOV(train_lengths=(1, 3)).train_lengths == (1, 3)


@pytest.mark.parametrize("kind", [SVOtoSOV, GenderConjugation])
def test_inputs_are_shown_as_words(kind: type[Translation]) -> None:
    task = kind()
    inputs = task.assemble(*task.sources([task.example])).inputs[0].tolist()
    names = [task.input_name(symbol) for symbol in inputs]
    assert names[: names.index("|||") + 1] == ["<s>", *task.example.split(), "|||"]
