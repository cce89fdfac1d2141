"""The recognition tasks: membership by plain Python, the distribution of their strings, and how others are made."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from itertools import groupby, product
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddstructs.errors import InputError
from ddstructs.tasks import (
    BinaryProductRecognition,
    BinarySumRecognition,
    BucketSortRecognition,
    CycleNavigationRecognition,
    DyckRecognition,
    EvenPairsRecognition,
    FirstRecognition,
    MajorityRecognition,
    MarkedCopyRecognition,
    MarkedReversalRecognition,
    MissingDuplicateRecognition,
    ModularArithmeticRecognition,
    OddsFirstRecognition,
    ParityRecognition,
    Recognition,
    RepeatRecognition,
    SquareRootRecognition,
    StackManipulationRecognition,
    UnmarkedReversalRecognition,
)
from ddstructs.tasks.edits import edited

Kind = type[Recognition]


def navigates(text: str) -> bool:
    if not re.fullmatch("[<>=]*[0-4]", text):
        return False
    return (text.count(">") - text.count("<") - int(text[-1])) % 5 == 0


def calculates(text: str) -> bool:
    if not re.fullmatch(r"[0-4]([+*-][0-4])*=[0-4]", text):
        return False
    left, right = text.split("=")
    for _ in range(len(left) // 2):  # from left to right
        left = str(eval(left[:3]) % 5) + left[3:]
    return left == right


def balances(text: str) -> bool:
    while re.search(r"\(\)|\[\]", text):
        text = re.sub(r"\(\)|\[\]", "", text)
    return not text


def depth(text: str) -> int:
    return max((sum(1 if char in "([" else -1 for char in text[:i]) for i in range(len(text) + 1)), default=0)


def manipulates(text: str) -> bool:
    if not re.fullmatch(r"[01]*(<|>[01])*#[01]*", text):
        return False
    before, after = text.split("#")
    stack: list[str] = []
    for step in re.findall(r"<|>?[01]", before):
        if step == "<":
            if not stack:
                return False
            stack.pop()
        else:
            stack.append(step[-1])
    return after == "".join(reversed(stack))


def lacks(text: str) -> bool:
    if text.count("_") != 1 or len(text) % 2:
        return False
    whole = text.replace("_", "1")
    return whole[: len(whole) // 2] == whole[len(whole) // 2 :]


def number(text: str) -> int:
    return int(text[::-1], 2)


def equation(pattern: str, holds: Callable[..., bool]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        found = re.fullmatch(pattern, text)
        return found is not None and holds(*map(number, found.groups()))

    return check


def answered(question: str, answer: Callable[[str], str]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        w, mark, rest = text.partition("#")
        return bool(mark) and set(w) <= set(question) and rest == answer(w)

    return check


ORACLES: dict[Kind, Callable[[str], bool]] = {
    EvenPairsRecognition: lambda text: len([*groupby(text)]) % 2 == 1 or not text,
    RepeatRecognition: lambda text: bool(re.fullmatch("(01)*", text)),
    ParityRecognition: lambda text: text.count("1") % 2 == 1,
    CycleNavigationRecognition: navigates,
    ModularArithmeticRecognition: calculates,
    DyckRecognition: lambda text: balances(text) and depth(text) <= 3,
    FirstRecognition: lambda text: text[:1] == "1",
    MajorityRecognition: lambda text: text.count("1") > text.count("0"),
    StackManipulationRecognition: manipulates,
    MarkedReversalRecognition: answered("01", lambda w: w[::-1]),
    UnmarkedReversalRecognition: lambda text: len(text) % 2 == 0 and text == text[::-1],
    MarkedCopyRecognition: answered("01", lambda w: w),
    MissingDuplicateRecognition: lacks,
    OddsFirstRecognition: answered("01", lambda w: w[::2] + w[1::2]),
    BucketSortRecognition: answered("12345", lambda w: "".join(sorted(w))),
    BinarySumRecognition: equation(r"([01]+)\+([01]+)=([01]+)", lambda a, b, c: a + b == c),
    BinaryProductRecognition: equation(r"([01]+)\*([01]+)=([01]+)", lambda a, b, c: a * b == c),
    SquareRootRecognition: equation("([01]+)=([01]+)", lambda a, b: b * b <= a < (b + 1) ** 2),
}

LONGEST = {2: 10, 3: 7, 4: 6, 5: 6, 6: 5, 8: 5, 9: 5}
"""Up to which length every string is looked at, by the number of symbols."""


@cache
def inside(kind: Kind, n: int) -> list[str]:
    """Every string of a length that is in the language."""
    return [text for text in map("".join, product(kind.language.alphabet, repeat=n)) if ORACLES[kind](text)]


def longest(kind: Kind) -> int:
    return LONGEST[len(kind.language.alphabet)]


def texts(task: Recognition, source: torch.Tensor, lengths: torch.Tensor) -> list[str]:
    rows = zip(source.tolist(), lengths.tolist(), strict=True)
    return ["".join(map(task.source_name, row[:n])) for row, n in rows]


@pytest.mark.parametrize("kind", ORACLES)
def test_membership_is_that_of_plain_python(kind: Kind) -> None:
    """Every string up to a length, rows of all lengths in one batch."""
    task = kind()
    every = [
        "",
        *("".join(text) for n in range(1, longest(kind) + 1) for text in product(task.language.alphabet, repeat=n)),
    ]
    source, lengths = task.sources(every)
    expected = [ORACLES[kind](text) for text in every]
    assert task.language.accepts(source, lengths).tolist() == expected
    junk = torch.where(torch.arange(source.shape[1]) < lengths[:, None], source, task.source_symbols - 1)
    assert task.language.accepts(junk, lengths).tolist() == expected
    assert task.language.accepts(*task.sources([""])).tolist() == expected[:1]
    assert ORACLES[kind](task.example)


@pytest.mark.parametrize("kind", ORACLES)
def test_the_lengths_of_a_language_are_those_that_strings_have(kind: Kind) -> None:
    high = longest(kind)
    sizes = kind.language.sizes((1, high))
    possible = [n for n in range(1, high + 1) if inside(kind, n)]
    assert [n for n in sizes if n <= high] == possible
    for low in (1, 2, 4):
        assert kind.language.sizes((low, high)) == [n for n in possible if n >= low]


@pytest.mark.parametrize("kind", ORACLES)
@given(low=st.integers(1, 40), more=st.integers(0, 40), seed=st.integers(0, 99))
def test_what_a_language_draws_is_of_it(kind: Kind, low: int, more: int, seed: int) -> None:
    sizes = kind.language.sizes((low, low + more))
    lengths = torch.tensor([sizes[0], sizes[-1], sizes[len(sizes) // 2]])
    task, generator = kind(), torch.Generator().manual_seed(seed)
    strings = kind.language.draw(lengths, generator)
    assert all(map(ORACLES[kind], texts(task, strings, lengths)))
    assert kind.language.accepts(strings, lengths).all()


@pytest.mark.parametrize("kind", ORACLES)
def test_long_strings_are_of_the_language_too(kind: Kind) -> None:
    sizes = kind.language.sizes((400, 500))
    lengths, task = torch.tensor([sizes[0], sizes[-1]] * 4), kind()
    strings = kind.language.draw(lengths, torch.Generator().manual_seed(0))
    assert all(map(ORACLES[kind], texts(task, strings, lengths)))
    assert kind.language.accepts(strings, lengths).all()


# Distributions.

Distribution = dict[str, float]


def uniform(kind: Kind, n: int) -> Distribution:
    return dict.fromkeys(inside(kind, n), 1 / len(inside(kind, n)))


def majority(kind: Kind, n: int) -> Distribution:
    """The number of 1s is uniform from n // 2 + 1 to n."""
    count = n - n // 2
    return {text: 1 / count / math.comb(n, text.count("1")) for text in inside(kind, n)}


def missing(kind: Kind, n: int) -> Distribution:
    total: defaultdict[str, float] = defaultdict(float)
    for bits, i in product(product("01", repeat=n // 2), range(n // 2)):
        w = "".join([*bits[:i], "1", *bits[i + 1 :]])
        ones = [place for place, bit in enumerate(w + w) if bit == "1"]
        for place in ones:
            total[(w + w)[:place] + "_" + (w + w)[place + 1 :]] += 1 / 2 ** (n // 2) / (n // 2) / len(ones)
    return total


def manipulations(kind: Kind, n: int) -> Distribution:
    total: defaultdict[str, float] = defaultdict(float)
    pairs = [(s, p) for s in range(n) for p in range(n) if 2 * s + 3 * p + 1 == n]

    def go(text: str, stack: str, pushes: int, chance: float) -> None:
        if stack:
            go(text + "<", stack[:-1], pushes, chance / 2)
            chance /= 2
        if pushes:
            for bit in "01":
                go(f"{text}>{bit}", stack + bit, pushes - 1, chance / 2)
        else:
            total[f"{text}#{stack[::-1]}"] += chance

    for s, p in pairs:
        for bits in product("01", repeat=s):
            go("".join(bits), "".join(bits), p, 1 / len(pairs) / 2**s)
    return total


DRAWN: dict[Kind, tuple[Callable[[Kind, int], Distribution], int]] = {
    **{kind: (uniform, longest(kind) - 1) for kind in ORACLES if "Binary" not in kind.__name__},
    MarkedReversalRecognition: (uniform, 7),
    MarkedCopyRecognition: (uniform, 7),
    OddsFirstRecognition: (uniform, 7),
    BucketSortRecognition: (uniform, 5),
    RepeatRecognition: (uniform, 8),
    ModularArithmeticRecognition: (uniform, 5),
    UnmarkedReversalRecognition: (uniform, 8),
    DyckRecognition: (uniform, 6),
    MajorityRecognition: (majority, 6),
    MissingDuplicateRecognition: (missing, 6),
    StackManipulationRecognition: (manipulations, 7),
}
del DRAWN[SquareRootRecognition]


def close(counts: Counter[str], expected: Distribution, rows: int) -> bool:
    there = counts.keys() <= expected.keys()
    return there and all(abs(counts[text] - rows * p) < 5 * math.sqrt(rows * p) + 5 for text, p in expected.items())


@pytest.mark.parametrize("kind", DRAWN)
def test_strings_are_drawn_with_their_probabilities(kind: Kind) -> None:
    distribution, n = DRAWN[kind]
    expected, rows = distribution(kind, n), 20000
    assert sum(expected.values()) == pytest.approx(1)
    lengths = torch.full((rows,), n)
    strings = kind.language.draw(lengths, torch.Generator().manual_seed(0))
    assert close(Counter(texts(kind(), strings, lengths)), expected, rows)


@pytest.mark.parametrize(
    ("kind", "shortest"), [(BinarySumRecognition, 5), (BinaryProductRecognition, 5), (SquareRootRecognition, 3)]
)
def test_every_equation_may_be_drawn_whose_result_has_room_left_by_the_numbers(kind: Kind, shortest: int) -> None:
    """The shares of the numbers are rounded down, so only in the shortest strings has the result a single digit."""
    for n in range(shortest, shortest + 3):
        lengths = torch.full((20000,), n)
        strings = kind.language.draw(lengths, torch.Generator().manual_seed(0))
        expected = {text for text in inside(kind, n) if n == shortest or text[-2] != "="}
        assert set(texts(kind(), strings, lengths)) == expected


# Strings outside the language.


def single_edits(text: str, low: int, high: int, alphabet: str) -> Distribution:
    """The outcomes of one edit: of a uniform kind, at a uniform place, with a uniform symbol."""
    total: defaultdict[str, float] = defaultdict(float)
    kinds: list[list[str]] = []
    n = len(text)
    if n < high:
        kinds.append([text[:i] + a + text[i:] for i in range(n + 1) for a in alphabet])
    if n:
        kinds.append([text[:i] + a + text[i + 1 :] for i in range(n) for a in alphabet if a != text[i]])
    if n > low:
        kinds.append([text[:i] + text[i + 1 :] for i in range(n)])
    for outcomes in kinds:
        for outcome in outcomes:
            total[outcome] += 1 / len(kinds) / len(outcomes)
    return total


@pytest.mark.parametrize(("text", "low", "high"), [("012", 1, 5), ("012", 3, 3), ("0", 1, 2), ("01201", 2, 5)])
def test_an_edit_is_uniform_among_those_that_are_possible(text: str, low: int, high: int) -> None:
    rows = 20000
    strings = torch.tensor([[int(char) for char in text]]).expand(rows, -1)
    lengths, generator = torch.full((rows,), len(text)), torch.Generator().manual_seed(0)
    after, n = edited(strings, lengths, torch.ones(rows, dtype=torch.int64), (low, high), 3, generator)
    found = Counter("".join(map(str, row[:size])) for row, size in zip(after.tolist(), n.tolist(), strict=True))
    assert close(found, single_edits(text, low, high, "012"), rows)


def neighbors(text: str, low: int, high: int) -> Iterator[str]:
    yield from single_edits(text, low, high, "012")


def test_as_many_edits_are_made_as_were_asked_for() -> None:
    rows = 300
    edits = torch.arange(rows) % 3
    strings, lengths = torch.tensor([[0, 1, 2]]).expand(rows, -1), torch.full((rows,), 3)
    after, n = edited(strings, lengths, edits, (2, 4), 3, torch.Generator().manual_seed(0))
    reached = [{"012"}]
    for _ in range(2):
        reached.append({end for text in reached[-1] for end in neighbors(text, 2, 4)})
    for row, size, turns in zip(after.tolist(), n.tolist(), edits.tolist(), strict=True):
        assert "".join(map(str, row[:size])) in reached[turns]


@pytest.mark.parametrize("kind", ORACLES)
def test_half_of_the_strings_are_in_the_language_and_the_lengths_are_in_the_range(kind: Kind) -> None:
    settings: dict[str, Any] = {"eval_size": 2000, "test_lengths": (5, 24)}
    task = kind(**settings)
    labels = []
    for batch in task.test_dataloader():
        strings = [row[1 : 1 + n] for row, n in zip(batch.inputs.tolist(), task.lengths(batch).tolist(), strict=True)]
        for symbols, target in zip(strings, batch.targets.tolist(), strict=True):
            assert 5 <= len(symbols) <= 24
            label = [symbol for symbol in target if symbol >= 0]
            assert label == [ORACLES[kind]("".join(map(task.input_name, symbols)))]
            labels += label
    assert abs(sum(labels) / len(labels) - 0.5) < 0.06


def test_strings_outside_are_near_ones_and_random_ones() -> None:
    """Random strings of this length are hardly ever one edit away from the language."""
    task = MarkedReversalRecognition(eval_size=4000, test_lengths=(20, 24))
    near = total = 0
    for batch in task.test_dataloader():
        for row, target in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
            if 0 in target:
                text = "".join(task.input_name(symbol) for symbol in row if symbol)
                total += 1
                near += any(map(ORACLES[MarkedReversalRecognition], single_edits(text, 0, 99, "01#")))
    assert 0.2 < near / total < 0.3, "half of the half that is edited, which is edited once"


def test_a_range_in_which_every_string_is_in_the_language_has_none_outside() -> None:
    task = EvenPairsRecognition(test_lengths=(1, 1), eval_size=50)
    assert all(batch.targets[:, -1].all() for batch in task.test_dataloader())


def test_the_second_objective_is_to_predict_what_follows_in_strings_of_the_language_and_their_end() -> None:
    task = MarkedReversalRecognition(language_model=True)
    batch = task.assemble(*task.sources(["01#10", "01#01", "#"]))
    assert [task.output_name(symbol) for symbol in range(task.output_symbols)] == ["no", "yes", "0", "1", "#", "</s>"]
    logits = torch.randn(3, 6, task.output_symbols, dtype=torch.float64)
    nats = [
        -math.log(math.exp(logits[row, step, 2 + "01#.".index(char)]) / logits[row, step, 2:].exp().sum())
        for row, text in ((0, "01#10."), (2, "#."))
        for step, char in enumerate(text)
    ]
    loss = task.auxiliary_loss(logits, batch)
    assert loss is not None
    assert loss.item() == pytest.approx(sum(nats) / len(nats))


def test_the_objective_of_answers_counts_what_follows_the_mark_by_its_weight() -> None:
    both = StackManipulationRecognition(language_model=True, answer_weight=5.0)
    model, answers = StackManipulationRecognition(language_model=True), StackManipulationRecognition(answer_weight=5.0)
    batch = both.assemble(*both.sources(["01<>1#10", "01#01"]))
    logits = torch.randn(2, 9, both.output_symbols, dtype=torch.float64)
    assert answers.output_symbols == model.output_symbols == both.output_symbols
    nats = [
        -math.log(math.exp(logits[0, 6 + step, 2 + "01><#.".index(char)]) / logits[0, 6 + step, 2:].exp().sum())
        for step, char in enumerate("10.")
    ]
    alone, second = model.auxiliary_loss(logits, batch), answers.auxiliary_loss(logits, batch)
    assert alone is not None
    assert second is not None
    assert second.item() == pytest.approx(5 * sum(nats) / 3)
    torch.testing.assert_close(both.auxiliary_loss(logits, batch), alone + second)


@pytest.mark.parametrize(
    ("kind", "weight", "said"),
    [
        (DyckRecognition, 1.0, "no mark"),
        (MarkedReversalRecognition, -1.0, "of 0 or more"),
        (MarkedReversalRecognition, math.inf, "of 0 or more"),
        (MarkedReversalRecognition, math.nan, "of 0 or more"),
    ],
)
def test_a_weight_that_answers_cannot_have_is_refused(kind: type[Recognition], weight: float, said: str) -> None:
    with pytest.raises(InputError, match=said):
        kind(answer_weight=weight)


def test_there_is_no_second_objective_unless_it_is_asked_for_or_where_no_string_is_of_the_language() -> None:
    task = MarkedReversalRecognition()
    assert task.auxiliary_loss(torch.randn(1, 6, 2), task.assemble(*task.sources(["01#10"]))) is None
    task = MarkedReversalRecognition(language_model=True)
    assert task.auxiliary_loss(torch.randn(1, 6, 6), task.assemble(*task.sources(["01#01"]))) is None
