"""The tasks of the Chomsky suite, each against plain Python, and their draws against enumerated distributions."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from ddstructs import InputError
from ddstructs.tasks import (
    IGNORE,
    BinaryProduct,
    BinarySum,
    BlankAnswer,
    BucketSort,
    CycleNavigation,
    DuplicateString,
    EvenPairs,
    MissingDuplicate,
    ModularArithmetic,
    ModularArithmeticBrackets,
    OddsFirst,
    ParityCheck,
    ReverseString,
    SolveEquation,
    SquareRoot,
    StackManipulation,
)
from ddstructs.tasks.expressions import evaluate

Kind = type[BlankAnswer]


def even_pairs(text: str) -> str:
    return str(sum(a != b for a, b in pairwise(text)) % 2)


def navigate(text: str) -> str:
    place = 0
    for step in text:
        place = (place + {"=": 0, "+": 1, "-": 4}[step]) % 5
    return str(place)


def manipulate(text: str) -> str:
    stack: list[str] = []
    for char in text:
        if char == "<":
            del stack[-1:]
        else:
            stack.append({"o": "0", "i": "1"}.get(char, char))
    return "".join(reversed(stack)) + "."


def solutions(text: str) -> str:
    left, right = text.split("=")
    return "".join(x for x in "01234" if eval(left.replace("x", x)) % 5 == int(right))


def find_missing(text: str) -> str:
    """Every way to fill the gap that makes it a string said twice."""
    whole = text.rstrip(".")
    filled = {bit: whole.replace("?", bit) for bit in "01"}
    return "".join(bit for bit, said in filled.items() if said[: len(said) // 2] == said[len(said) // 2 :])


def add(text: str) -> str:
    """With a carry, as at school."""
    one, two = text.split("+")
    total, carry = "", 0
    for i in range(max(len(one), len(two)) + 1):
        carry += sum(int(number[i]) for number in (one, two) if i < len(number))
        total, carry = total + str(carry % 2), carry // 2
    return (total.rstrip("0") or "0") + "."


def multiply(text: str) -> str:
    one, two = text.split("*")
    total = "0"
    for place, digit in enumerate(two):
        if digit == "1":
            total = add(f"{total}+{'0' * place}{one}")[:-1]
    return total + "."


def root(text: str) -> str:
    """Digit by digit: the largest number whose square is no more."""
    number, found = int(text, 2), 0
    size = (len(text) + 1) // 2
    for place in reversed(range(size)):
        if (found + 2**place) ** 2 <= number:
            found += 2**place
    return f"{found:0{size}b}"


ORACLES: dict[Kind, Callable[[str], str]] = {
    EvenPairs: even_pairs,
    ParityCheck: lambda text: str(text.count("1") % 2),
    CycleNavigation: navigate,
    ModularArithmetic: lambda text: str(eval(text) % 5),
    ReverseString: lambda text: text[::-1],
    StackManipulation: manipulate,
    ModularArithmeticBrackets: lambda text: str(eval(text) % 5),
    SolveEquation: solutions,
    DuplicateString: lambda text: text * 2,
    MissingDuplicate: find_missing,
    OddsFirst: lambda text: text[1::2] + text[::2],
    BinarySum: add,
    BinaryProduct: multiply,
    SquareRoot: root,
    BucketSort: lambda text: "".join(sorted(text)),
}

BLANKS: dict[Kind, Callable[[int], int]] = {
    DuplicateString: lambda n: 2 * n,
    StackManipulation: lambda n: n + 1,
    BinarySum: lambda n: n + 1,
    SquareRoot: lambda n: (n + 1) // 2,
    **dict.fromkeys((ReverseString, OddsFirst, BinaryProduct, BucketSort), lambda n: n),
}
"""How many blanks follow n symbols; one, if not said."""


def one(n: int) -> int:
    return 1


def texts(task: BlankAnswer, source: torch.Tensor, lengths: torch.Tensor) -> list[str]:
    rows = zip(source.tolist(), lengths.tolist(), strict=True)
    return ["".join(map(task.source_name, row[:n])) for row, n in rows]


@pytest.mark.parametrize("kind", ORACLES)
@given(low=st.integers(1, 60), more=st.integers(0, 60), seed=st.integers(0, 10**6))
@example(low=1, more=0, seed=0)
@example(low=400, more=100, seed=0)
def test_answers_are_those_of_plain_python(kind: Kind, low: int, more: int, seed: int) -> None:
    task = kind()
    source, lengths = task.draw(6, (low, low + more), torch.Generator().manual_seed(seed))
    batch = task.assemble(source, lengths)
    for i, text in enumerate(texts(task, source, lengths)):
        n, blanks = len(text), BLANKS.get(kind, one)(len(text))
        assert task.encode(text) == source[i, :n].tolist()
        said = "".join(map(task.input_name, batch.inputs[i, 1 : 1 + n + blanks].tolist()))
        assert said == text + "_" * blanks
        assert batch.lengths[i] == 1 + n + blanks
        asked = batch.targets[i] != IGNORE
        answer = task.answer(batch.targets[i][asked].tolist())
        assert answer == ORACLES[kind](text)
        assert asked.nonzero().flatten().tolist() == [*range(1 + n, 1 + n + len(answer))]
        assert (batch.inputs[i, 1 + n + blanks :] == 0).all()
    assert task.lengths(batch).tolist() == lengths.tolist()


@pytest.mark.parametrize("kind", ORACLES)
def test_what_follows_in_a_shorter_row_is_of_no_account(kind: Kind) -> None:
    task = kind()
    source, lengths = task.draw(40, (1, 9), torch.Generator().manual_seed(0))
    junk = torch.where(torch.arange(source.shape[1]) < lengths[:, None], source, task.source_symbols - 1)
    for a, b in zip(task.assemble(source, lengths), task.assemble(junk, lengths), strict=True):
        assert torch.equal(a, b)


# Draws.

Distribution = dict[str, float]


def uniform(strings: list[str]) -> Distribution:
    return {text: 1 / len(strings) for text in strings}


def words(alphabet: str, n: int) -> list[str]:
    return ["".join(word) for word in product(alphabet, repeat=n)]


def mixed(parts: list[Distribution]) -> Distribution:
    total: defaultdict[str, float] = defaultdict(float)
    for part in parts:
        for text, chance in part.items():
            total[text] += chance / len(parts)
    return total


def expression(n: int, operators: str) -> Distribution:
    if n <= 4:
        pattern = {1: "{}", 2: "-{}", 3: "({})", 4: "(-{})"}[n]
        return uniform([pattern.format(d) for d in "01234"])
    parts = []
    for left in range(1, n - 3):
        sides = product(expression(left, operators).items(), expression(n - 3 - left, operators).items())
        both = {(a, b): p * q for (a, p), (b, q) in sides}
        parts += [{f"({a}{op}{b})": p for (a, b), p in both.items()} for op in operators]
    return mixed(parts)


def equation(n: int) -> Distribution:
    total: defaultdict[str, float] = defaultdict(float)
    for text, chance in expression(n - 2, "+-").items():
        places = [i for i, char in enumerate(text) if char.isdigit()]
        for i in places:
            total[f"{text[:i]}x{text[i + 1 :]}={eval(text) % 5}"] += chance / len(places)
    return total


def operation(n: int, sign: str) -> Distribution:
    parts = []
    for k in range(1, n - 1):
        sides = product(words("01", k), words("01", n - 1 - k))
        parts.append(uniform([f"{a}{sign}{b}" for a, b in sides if "1" in a and "1" in b]))
    return mixed(parts)


def missing(n: int) -> Distribution:
    half = n // 2
    whole = [w + w for w in words("01", half)]
    return mixed([uniform([f"{w[:i]}?{w[i + 1 :]}{'.' * (n % 2)}" for w in whole]) for i in range(2 * half)])


DRAWN: list[tuple[Kind, int, Distribution]] = [
    (EvenPairs, 3, uniform(words("01", 3))),
    (CycleNavigation, 3, uniform(words("=+-", 3))),
    (ModularArithmetic, 3, uniform([f"{a}{op}{b}" for a, op, b in product("01234", "+-*", "01234")])),
    (ModularArithmetic, 4, uniform([f"{a}{op}{b}" for a, op, b in product("01234", "+-*", "01234")])),
    (
        StackManipulation,
        3,
        mixed([uniform([a + b for a, b in product(words("01", k), words("<oi", 3 - k))]) for k in (1, 2)]),
    ),
    (StackManipulation, 1, uniform(["0", "1"])),
    (ModularArithmeticBrackets, 6, expression(6, "+-*")),
    (SolveEquation, 8, equation(8)),
    (SolveEquation, 1, equation(3)),
    (DuplicateString, 3, uniform(words("01", 3))),
    (MissingDuplicate, 5, missing(5)),
    (MissingDuplicate, 1, missing(2)),
    (OddsFirst, 3, uniform(words("01", 3))),
    (BinarySum, 5, operation(5, "+")),
    (BinaryProduct, 5, operation(5, "*")),
    (BinaryProduct, 1, operation(3, "*")),
    (SquareRoot, 3, uniform([word for word in words("01", 3) if "1" in word])),
    (BucketSort, 2, uniform(words("01234", 2))),
]


@pytest.mark.parametrize(("kind", "n", "expected"), DRAWN)
def test_strings_are_drawn_from_the_distribution_that_was_published(kind: Kind, n: int, expected: Distribution) -> None:
    assert sum(expected.values()) == pytest.approx(1)
    task, rows = kind(), 100 * len(expected)
    found = Counter(texts(task, *task.draw(rows, (n, n), torch.Generator().manual_seed(0))))
    assert set(found) <= set(expected)
    deviation = sum((found[text] - rows * p) ** 2 / (rows * p) for text, p in expected.items())
    free = len(expected) - 1
    assert deviation <= free + 5 * (2 * free) ** 0.5, "chi squared"


def test_the_length_of_the_first_part_is_uniform() -> None:
    task = ModularArithmeticBrackets()
    found: Counter[int] = Counter()
    for text in texts(task, *task.draw(4000, (20, 20), torch.Generator().manual_seed(1))):
        depth, begin = 0, 1
        for i, char in enumerate(text[1:-1], 1):
            depth += {"(": 1, ")": -1}.get(char, 0)
            if depth == 0 and char in "+-*" and i > begin:
                found[i - 1] += 1
                break
    assert sorted(found) == [*range(1, 17)]
    assert all(abs(count - 250) < 5 * 250**0.5 for count in found.values())


@pytest.mark.parametrize("kind", ORACLES)
def test_lengths_and_symbols_are_as_published(kind: Kind) -> None:
    task = kind()
    assert (task.train_lengths, task.test_lengths) == ((1, 40), (41, 500))
    assert (task.input_symbols, task.output_symbols) == (2 + len(task.alphabet), len(task.answers))
    assert task.score == "symbols"


# Text.


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *((kind, "") for kind in ORACLES),
        *((kind, "a") for kind in ORACLES),
        (ModularArithmetic, "1+"),
        (ModularArithmetic, "12"),
        (StackManipulation, "o1"),
        (ModularArithmeticBrackets, "(1+2"),
        (ModularArithmeticBrackets, "1+2"),
        (ModularArithmeticBrackets, ")("),
        (ModularArithmeticBrackets, "-"),
        (SolveEquation, "(1+2)=3"),
        (SolveEquation, "(x+x)=3"),
        (SolveEquation, "(x+2=3"),
        (SolveEquation, "(x+2)=x"),
        (MissingDuplicate, "01?0"),
        (MissingDuplicate, "0101"),
        (MissingDuplicate, "0?1"),
        (BinarySum, "01*11"),
        (BinarySum, "+11"),
        (BinaryProduct, "01+11"),
    ],
)
def test_text_that_is_no_source_is_refused(kind: Kind, text: str) -> None:
    with pytest.raises(InputError, match=re.escape(kind().example)):
        kind().encode(text)


@pytest.mark.parametrize("text", ["((3))", "((1)-(2))", "-4", "(-1--1)"])
def test_an_expression_may_be_in_more_brackets_than_are_drawn(text: str) -> None:
    symbols: Any = torch.tensor([ModularArithmeticBrackets().encode(text)])
    assert evaluate(symbols, torch.tensor([len(text)])).item() == eval(text) % 5


def test_zeros_at_the_end_of_a_number_are_none_of_the_result() -> None:
    for kind, text, result in (
        (BinarySum, "000+000", "0."),
        (BinaryProduct, "100*000", "0."),
        (SquareRoot, "000", "00"),
    ):
        task = kind()
        targets = task.assemble(*task.sources([text])).targets[0]
        assert task.answer(targets[targets != IGNORE].tolist()) == result
