"""The language models: strings and probabilities against an enumeration of derivations, and a model that is perfect."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddstructs import InputError, Stack
from ddstructs.tasks import (
    CountAndCopyModel,
    CountingModel,
    DyckModel,
    HardestModel,
    LanguageModel,
    MarkedCopyModel,
    MarkedReversalAndCopyModel,
    MarkedReversalModel,
    PaddedReversalModel,
    RecodedCopyModel,
    UnmarkedCopyModel,
    UnmarkedReversalAndCopyModel,
    UnmarkedReversalModel,
)
from ddstructs.tasks.grammar import Grammar
from ddstructs.training.scoring import Scoring

Kind = type[LanguageModel]
Distribution = dict[str, float]
Rules = dict[str, list[tuple[float, str]]]


def primed(w: str) -> str:
    return w.translate(str.maketrans("01", "23"))


SAID: dict[Kind, Callable[[str], str]] = {
    MarkedReversalModel: lambda w: f"{w}#{w[::-1]}",
    UnmarkedReversalModel: lambda w: w + w[::-1],
    MarkedCopyModel: lambda w: f"{w}#{w}",
    UnmarkedCopyModel: lambda w: w + w,
    RecodedCopyModel: lambda w: w + primed(w),
    MarkedReversalAndCopyModel: lambda w: f"{w}#{w[::-1]}#{w}",
    UnmarkedReversalAndCopyModel: lambda w: w + w[::-1] + w,
    CountAndCopyModel: lambda w: w + "#" * len(w) + w,
    CountingModel: lambda w: "a" * len(w) + "b" * len(w) + "c" * len(w),
}
"""What is said of a string of bits; of its length alone, if its symbols are not in it."""


def more(mean: float) -> float:
    return mean / (1 + mean)


GRAMMARS: dict[Kind, tuple[str, Rules]] = {
    PaddedReversalModel: (
        "S",
        {
            "S": [(more(60) / 2, "0 S 0"), (more(60) / 2, "1 S 1"), (1 / 122, "Z"), (1 / 122, "E")],
            "Z": [(more(30), "0 Z"), (1 / 31, "")],
            "E": [(more(30), "1 E"), (1 / 31, "")],
        },
    ),
    DyckModel: (
        "S",
        {
            "S": [(1 / 2, "S T"), (1 / 2, "T")],
            "T": [(39 / 80, "( S )"), (39 / 80, "[ S ]"), (1 / 80, "( )"), (1 / 80, "[ ]")],
        },
    ),
    HardestModel: (
        "S'",
        {
            "S'": [(1, "R $ Q S L ;")],
            "L": [(1, "L' , U")],
            "L'": [(1 / 3, ", V L'"), (2 / 3, "")],
            "R": [(1, "U , R'")],
            "R'": [(1 / 3, "R' V ,"), (2 / 3, "")],
            "U": [(1 / 3, "W U"), (2 / 3, "")],
            "V": [(1 / 2, "W V"), (1 / 2, "W")],
            "W": [(1 / 5, symbol) for symbol in "()[]$"],
            "Q": [(1 / 4, "L ; R"), (3 / 4, "")],
            "S": [(0.6, "S Q T"), (0.4, "T")],
            "T": [
                *((3 / 8, parts) for parts in ("( Q S Q )", "[ Q S Q ]")),
                *((1 / 8, parts) for parts in ("( Q )", "[ Q ]")),
            ],
        },
    ),
}
"""The grammars as they were published, with their chains of single symbols and their empty strings."""

KINDS: list[Kind] = [*SAID, *GRAMMARS]


class Derivations:
    """Enumerates all derivations of a grammar, from the left to the right."""

    def __init__(self, start: str, rules: Rules) -> None:
        self.start, self.rules = start, rules
        self.shortest = dict.fromkeys(rules, 99)
        for _ in range(20):
            for symbol, alternatives in rules.items():
                self.shortest[symbol] = min(self.least(tuple(parts.split())) for _, parts in alternatives)
        self.derive = cache(self._derive)

    def least(self, symbols: tuple[str, ...]) -> int:
        return sum(self.shortest.get(symbol, 1) for symbol in symbols)

    def strings(self, n: int) -> Distribution:
        found = self.derive((self.start,), n)
        total = sum(found.values())
        return {text: p / total for text, p in found.items()}

    def _derive(self, symbols: tuple[str, ...], n: int) -> Distribution:
        """The strings of n symbols that these symbols derive, and the probability of each."""
        if not symbols:
            return {"": 1.0} if n == 0 else {}
        first, *others = symbols
        rest = tuple(others)
        total: defaultdict[str, float] = defaultdict(float)
        for begin in range(self.least((first,)), n - self.least(rest) + 1):
            ends = self.derive(rest, n - begin)
            for a, p in (self.expand(first, begin) if ends else {}).items():
                for b, q in ends.items():
                    total[a + b] += p * q
        return dict(total)

    def expand(self, symbol: str, n: int) -> Distribution:
        if symbol not in self.rules:
            return {symbol: 1.0} if n == 1 else {}
        total: defaultdict[str, float] = defaultdict(float)
        for probability, parts in self.rules[symbol]:
            for text, p in self.derive(tuple(parts.split()), n).items():
                total[text] += probability * p
        return total


DERIVATIONS = {kind: Derivations(*grammar) for kind, grammar in GRAMMARS.items()}

LONGEST = {PaddedReversalModel: 9, DyckModel: 8, HardestModel: 9}
"""Up to which length derivations are enumerated."""


@cache
def distribution(kind: Kind, n: int) -> Distribution:
    """The strings of a length, and the probability of each."""
    if kind in DERIVATIONS:
        return DERIVATIONS[kind].strings(n)
    words = ["".join(bits) for size in range(n + 1) for bits in product("01", repeat=size)]
    said = [text for text in map(SAID[kind], words) if len(text) == n]
    return {text: count / len(said) for text, count in Counter(said).items()}


def lengths_of(kind: Kind, longest: int) -> list[int]:
    return [n for n in range(1, longest + 1) if distribution(kind, n)]


def symbols(task: LanguageModel, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    return task.sources(texts)


def drawn(task: LanguageModel, rows: int, lengths: tuple[int, int], seed: int = 0) -> list[str]:
    source, n = task.draw(rows, lengths, torch.Generator().manual_seed(seed))
    rows_ = zip(source.tolist(), n.tolist(), strict=True)
    return ["".join(map(task.source_name, row[:size])) for row, size in rows_]


# Strings.


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_is_a_string_of_the_language(kind: Kind) -> None:
    task = kind()
    assert task.language.accepts(*symbols(task, [task.example])).tolist() == [True]
    with pytest.raises(InputError, match="x"):
        task.encode("x")


@pytest.mark.parametrize("kind", KINDS)
def test_strings_have_the_probabilities_of_their_derivations_and_no_others_any(kind: Kind) -> None:
    """Every string over the alphabet up to a length."""
    task = kind()
    alphabet = task.language.alphabet
    for n in range(1, 7 if len(alphabet) < 5 else 6):
        texts = ["".join(text) for text in product(alphabet, repeat=n)]
        nats = task.language.nats(*symbols(task, texts))
        expected = [distribution(kind, n).get(text, 0.0) for text in texts]
        assert (-nats).exp().tolist() == pytest.approx(expected, rel=1e-9, abs=0)
        assert task.language.accepts(*symbols(task, texts)).tolist() == [p > 0 for p in expected]


@pytest.mark.parametrize("kind", GRAMMARS)
def test_longer_strings_have_the_probabilities_of_their_derivations(kind: Kind) -> None:
    task = kind()
    for n in lengths_of(kind, LONGEST[kind]):
        texts, expected = zip(*distribution(kind, n).items(), strict=True)
        nats = task.language.nats(*symbols(task, [*texts]))
        assert (-nats).exp().tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@given(low=st.integers(1, 12), span=st.integers(0, 9), seed=st.integers(0, 99))
def test_what_is_drawn_is_in_the_language_and_has_its_lengths(kind: Kind, low: int, span: int, seed: int) -> None:
    task = kind()
    source, n = task.draw(8, (low, low + span), torch.Generator().manual_seed(seed))
    assert task.language.accepts(source, n).all()
    inside = [size for size in task.language.sizes((1, 40)) if low <= size <= low + span]
    assert set(n.tolist()) <= set(inside) or (not inside and len(set(n.tolist())) == 1)


@pytest.mark.parametrize("kind", KINDS)
def test_lengths_without_strings_are_left_out(kind: Kind) -> None:
    assert [n for n in kind().language.sizes((1, 8)) if n <= 8] == lengths_of(kind, 8)


@pytest.mark.parametrize("kind", KINDS)
def test_strings_are_drawn_with_their_probabilities(kind: Kind) -> None:
    n, rows = lengths_of(kind, 8)[-1], 20000
    counts = Counter(drawn(kind(), rows, (n, n)))
    assert counts.keys() <= distribution(kind, n).keys()
    for text, p in distribution(kind, n).items():
        assert abs(counts[text] - rows * p) < 5 * math.sqrt(rows * p) + 5


def padded(text: str) -> float:
    """The weight of a string by its derivations: how much of it is mirrored, and what the rest consists of."""
    weight, k = 0.0, 0
    while 2 * k <= len(text):
        middle = text[k : len(text) - k]
        for a in "01":
            if set(middle) <= {a}:
                weight += (more(60) / 2) ** k * (1 / 122) * more(30) ** len(middle) / 31
        if len(middle) < 2 or middle[0] != middle[-1]:
            break
        k += 1
    return weight


def brackets(text: str) -> float:
    """The weight of balanced brackets: from the inside out, a group for a group."""
    groups: list[list[float]] = [[]]
    for char in text:
        if char in "([":
            groups.append([])
        else:
            inner = groups.pop()
            groups[-1].append((39 / 80) * joined(inner) if inner else 1 / 80)
    return joined(groups[0])


def joined(groups: list[float]) -> float:
    return 0.5 ** len(groups) * math.prod(groups)


@pytest.mark.parametrize(("kind", "weight"), [(PaddedReversalModel, padded), (DyckModel, brackets)])
def test_long_strings_have_probabilities_in_proportion_to_their_weights(
    kind: Kind, weight: Callable[[str], float]
) -> None:
    task = kind()
    for n in (40, 100):
        texts = drawn(task, 12, (n, n))
        logs = torch.tensor([math.log(weight(text)) for text in texts], dtype=torch.float64)
        total = task.language.nats(*symbols(task, texts)) + logs
        assert torch.allclose(total, total[:1].expand_as(total), rtol=0, atol=1e-9)


def test_rows_of_other_lengths_and_what_follows_them_do_not_matter() -> None:
    for kind in KINDS:
        task = kind()
        texts = [text for seed in range(3) for text in drawn(task, 3, (6, 20), seed)]
        source, n = symbols(task, texts)
        alone = [task.language.nats(*symbols(task, [text])).item() for text in texts]
        junk = torch.where(torch.arange(source.shape[1]) < n[:, None], source, task.source_symbols - 1)
        for rows in (source, junk):
            assert task.language.nats(rows, n).tolist() == pytest.approx(alone, rel=1e-12)


# The bound.


class Perfect:
    """Knows the distribution that a task draws from: the lengths of training, and the strings of each."""

    def __init__(self, task: LanguageModel, kind: Kind, lengths: list[int]) -> None:
        self.task = task
        self.mass: defaultdict[str, float] = defaultdict(float)
        for n in lengths:
            for text, p in distribution(kind, n).items():
                for end in (*(text[:i] for i in range(n + 1)), text + "."):
                    self.mass[end] += p / len(lengths)

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        rows = []
        for row in inputs[:, 1:].tolist():
            text = "".join(self.task.input_name(symbol) for symbol in row if symbol)
            prefixes = [text[:i] for i in range(len(text) + 1)]
            known = [[self.mass.get(prefix + a, 0.0) for a in self.task.language.alphabet + "."] for prefix in prefixes]
            rows.append(torch.tensor(known, dtype=torch.float64).log())
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_model_scores_zero_at_every_length(kind: Kind) -> None:
    lengths = lengths_of(kind, LONGEST.get(kind, 11))
    sets: list[dict[str, Any]] = [{"test_lengths": (n, n)} for n in lengths]
    for lengths_set in [*sets, {"test_lengths": (lengths[0], lengths[-1])}]:
        task = kind(train_lengths=(1, LONGEST.get(kind, 11)), eval_size=40, **lengths_set)
        perfect, scoring = Perfect(task, kind, lengths), Scoring(task, [Stack(2)])
        for batch in task.test_dataloader():
            scoring.update("test", perfect.logits(batch.inputs), batch)
        assert float(scoring.metrics("test")["excess"].compute()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_model_of_a_stage_has_mastered_it_and_half_a_nat_more_is_a_factor(kind: Kind) -> None:
    longest = LONGEST.get(kind, 11)
    task = kind(train_lengths=(1, longest), curriculum=True, start_length=longest - 2, batch_size=8, seed=0)
    low, high = task.stages.lengths(1)
    perfect = Perfect(task, kind, [n for n in lengths_of(kind, high) if n >= low])
    batch = task._draw_training()
    scored = Scoring(task, [Stack(2)]).update("train", perfect.logits(batch.inputs), batch)
    assert float(task.mastery(scored.loss, scored.output, batch)) == pytest.approx(1, abs=1e-6)
    assert float(task.mastery(scored.loss + 0.5, scored.output, batch)) == pytest.approx(math.exp(-0.5), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_floor_is_that_of_the_set(kind: Kind) -> None:
    longest = LONGEST.get(kind, 11)
    task = kind(train_lengths=(1, longest), val_lengths=(3, longest), test_lengths=(4, longest), eval_size=30)
    for split, loader in (("val", task.val_dataloader()), ("test", task.test_dataloader())):
        rows = [row for batch in loader for row in batch.inputs[:, 1:].tolist()]
        texts = ["".join(task.input_name(symbol) for symbol in row if symbol) for row in rows]
        count = len(lengths_of(kind, longest))
        nats = sum(math.log(count) - math.log(distribution(kind, len(text))[text]) for text in texts)
        floor = task.floor(split)  # type: ignore[arg-type]
        assert floor == pytest.approx(nats / sum(len(text) + 1 for text in texts))


# Grammars with empty strings and chains.


def derivable(rules: Rules) -> Iterator[tuple[int, Distribution]]:
    derivations = Derivations("S", rules)
    for n in range(1, 7):
        found = derivations.derive(("S",), n)
        if found:
            yield n, {text: p / sum(found.values()) for text, p in found.items()}


@pytest.mark.parametrize(
    "rules",
    [
        {"S": [(0.5, "a S b"), (0.3, ""), (0.2, "T")], "T": [(0.5, "S c"), (0.5, "c")]},
        {"S": [(0.6, "T T T"), (0.4, "a")], "T": [(0.5, ""), (0.25, "b"), (0.25, "c a")]},
        {"S": [(0.5, "T"), (0.5, "a T U")], "T": [(0.5, "U"), (0.5, "b b")], "U": [(0.9, "c"), (0.1, "c c")]},
    ],
)
def test_a_grammar_may_have_empty_strings_and_chains_of_single_symbols(rules: Rules) -> None:
    grammar = Grammar("abc", rules, "S")
    found = dict(derivable(rules))
    assert grammar.lengths(6) == [*found]
    for n, strings in found.items():
        texts = ["".join(text) for text in product("abc", repeat=n)]
        kinds = torch.tensor([["abc".index(char) for char in text] for text in texts])
        nats = grammar.nats(kinds, torch.full((len(texts),), n))
        assert (-nats).exp().tolist() == pytest.approx([strings.get(text, 0.0) for text in texts], rel=1e-9, abs=0)
        draws = grammar.draw(torch.full((4000,), n), torch.Generator().manual_seed(0)).tolist()
        counts = Counter("".join("abc"[kind] for kind in row) for row in draws)
        for text, p in strings.items():
            assert abs(counts[text] - 4000 * p) < 5 * math.sqrt(4000 * p) + 5
