"""The tasks of the Chomsky suite, each against plain Python, and their draws against enumerated distributions."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise, product
from statistics import fmean
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
from ddstructs.tasks.bracket_answers import BracketAnswer
from ddstructs.tasks.expressions import bracket_values, evaluate, left_values

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


@pytest.mark.parametrize("kind", [ModularArithmeticBrackets, SolveEquation])
def test_every_part_in_brackets_has_its_value_unless_it_has_an_unknown(kind: type[BracketAnswer]) -> None:
    task, generator = kind(), torch.Generator().manual_seed(3)
    source, lengths = task.draw(50, (3, 40), generator)
    for row, n, values in zip(source.tolist(), lengths.tolist(), bracket_values(source, lengths).tolist(), strict=True):
        text, opened = "".join(task.alphabet[symbol] for symbol in row[:n]), []
        for place, char in enumerate(text):
            part = ""
            if char == "(":
                opened.append(place)
            elif char == ")":
                part = text[opened.pop() : place + 1]
            assert values[place] == (eval(part) % 5 if part and "x" not in part else -1)
        assert set(values[n:]) <= {-1}


def test_the_objective_of_parts_counts_the_values_of_parts_by_its_weight() -> None:
    task = ModularArithmeticBrackets(part_weight=3.0)
    batch = task.assemble(*task.sources(["((2-3)*-4)", "-3"]))
    logits = torch.randn(2, batch.inputs.shape[1], 5, dtype=torch.float64)
    nats = [-logits[0, step].log_softmax(dim=0)[value].item() for step, value in ((6, 4), (10, 4))]
    loss = task.auxiliary_loss(logits, batch)
    assert loss is not None
    assert loss.item() == pytest.approx(3 * sum(nats) / 2)
    assert task.auxiliary_loss(logits[1:], task.assemble(*task.sources(["-3"]))) is None, "there are no brackets"
    assert ModularArithmeticBrackets().auxiliary_loss(logits, batch) is None, "unless it is asked for"


def test_an_unknown_counts_as_zero_and_as_one_in_the_values_of_parts() -> None:
    task = SolveEquation(part_weight=2.0)
    assert task.output_symbols == 10
    assert list(map(task.output_name, (4, 5, 9))) == ["4", "0 if x=1", "4 if x=1"]
    batch = task.assemble(*task.sources(["((2-x)+(4))=3"]))
    logits = torch.randn(1, batch.inputs.shape[1], 10, dtype=torch.float64)
    zero, one = logits[0].split(5, dim=1)
    values = (zero, 6, 2), (zero, 10, 4), (zero, 11, 1), (one, 6, 1), (one, 10, 4), (one, 11, 0)
    nats = [-own[step].log_softmax(dim=0)[value].item() for own, step, value in values]
    loss = task.auxiliary_loss(logits, batch)
    assert loss is not None
    assert loss.item() == pytest.approx(2 * sum(nats) / 6)
    assert SolveEquation().output_symbols == 5


@pytest.mark.parametrize("kind", [ModularArithmeticBrackets, SolveEquation])
def test_where_a_right_operand_ends_the_left_one_has_its_value(kind: type[BracketAnswer]) -> None:
    task, generator = kind(), torch.Generator().manual_seed(4)
    source, lengths = task.draw(50, (3, 40), generator)
    for row, n, values in zip(source.tolist(), lengths.tolist(), left_values(source, lengths).tolist(), strict=True):
        text = "".join(task.alphabet[symbol] for symbol in row[:n])
        expected = [-1] * len(row)
        for opened, closed, split in operations(text):
            left, right = text[opened + 1 : split], text[split + 1 : closed]
            expected[closed - 1] = -1 if "x" in left + right else eval(left) % 5
        assert values == expected


def operations(text: str) -> Iterator[tuple[int, int, int]]:
    """Where each pair of brackets with an operator between two operands opens and closes, and the operator."""
    waiting: list[list[int]] = []
    for place, char in enumerate(text):
        if char == "(":
            waiting.append([place])
        elif char == ")":
            opened, *splits = waiting.pop()
            if splits:
                yield opened, place, splits[0]
        elif char in "+-*" and text[place - 1] not in "(+-*" and waiting:
            waiting[-1].append(place)


def test_the_objective_of_operands_counts_the_values_of_left_ones_by_its_weight() -> None:
    task = SolveEquation(part_weight=2.0, operand_weight=3.0)
    assert task.output_symbols == 20
    assert list(map(task.output_name, (4, 9, 10, 19))) == ["4", "4 if x=1", "0 on the left", "4 on the left if x=1"]
    batch = task.assemble(*task.sources(["((2-x)+(4))=3"]))
    logits = torch.randn(1, batch.inputs.shape[1], 20, dtype=torch.float64)
    sets = logits[0].split(5, dim=1)

    def nats(*values: tuple[int, int, int]) -> float:
        found = [-sets[own][step].log_softmax(dim=0)[value].item() for own, step, value in values]
        return float(sum(found) / len(found))

    parts = nats((0, 6, 2), (0, 10, 4), (0, 11, 1)) + nats((1, 6, 1), (1, 10, 4), (1, 11, 0))
    operands = nats((2, 5, 2), (2, 10, 2)) + nats((3, 5, 2), (3, 10, 1))
    loss = task.auxiliary_loss(logits, batch)
    assert loss is not None
    assert loss.item() == pytest.approx(2 * parts / 2 + 3 * operands / 2)
    assert ModularArithmeticBrackets(operand_weight=1.0).output_symbols == 10


def test_the_objective_of_addends_counts_digits_and_carries_up_to_the_end_of_the_sum() -> None:
    task = BinarySum(addend_weight=3.0)
    digits = [f"{digit} in the {place} number" for place in ("first", "second") for digit in ("0", "1", "-")]
    names = ["0", "1", ".", *(name.replace("- in", "no digit in") for name in digits), "no carry", "a carry"]
    assert list(map(task.output_name, range(task.output_symbols))) == names
    rows = {"11+1": ("11--", "1---", "0110"), "1+010": ("1--", "010", "000")}  # 3 + 1 = 001. and 1 + 2 = 11.
    batch = task.assemble(*task.sources(list(rows)))
    logits = torch.randn(2, batch.inputs.shape[1], task.output_symbols, dtype=torch.float64)
    nats: tuple[list[float], ...] = ([], [], [])
    for row, (text, addends) in enumerate(rows.items()):
        for blank in range(len(add(text))):
            scores = logits[row, len(text) + blank].split([3, 3, 3, 2])[1:]  # a step early
            for own, each, addend in zip(nats, scores, addends, strict=True):
                own.append(-each.log_softmax(dim=0)["01-".index(addend[blank])].item())
    loss = task.auxiliary_loss(logits, batch)
    assert loss is not None
    assert loss.item() == pytest.approx(3 * sum(map(fmean, nats)))
    assert BinarySum().output_symbols == 3
    assert BinarySum().auxiliary_loss(logits, batch) is None, "unless it is asked for"


def test_a_weight_of_parts_is_a_number_from_zero() -> None:
    with pytest.raises(InputError, match="part_weight is -1"):
        ModularArithmeticBrackets(part_weight=-1.0)
    with pytest.raises(InputError, match="operand_weight is -1"):
        SolveEquation(operand_weight=-1.0)
    with pytest.raises(InputError, match="addend_weight is -1"):
        BinarySum(addend_weight=-1.0)


def test_zeros_at_the_end_of_a_number_are_none_of_the_result() -> None:
    for kind, text, result in (
        (BinarySum, "000+000", "0."),
        (BinaryProduct, "100*000", "0."),
        (SquareRoot, "000", "00"),
    ):
        task = kind()
        targets = task.assemble(*task.sources([text])).targets[0]
        assert task.answer(targets[targets != IGNORE].tolist()) == result
