"""The further objectives of the tasks of the Chomsky suite, against plain Python."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

import pytest
import torch

from ddstructs import InputError
from ddstructs.tasks import (
    BinarySum,
    ModularArithmeticBrackets,
    SolveEquation,
)
from ddstructs.tasks.bracket_answers import BracketAnswer
from ddstructs.tasks.expressions import bracket_values, left_values


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
    rows = {"11+1": ("11--", "1---", "0110"), "1+010": ("1--", "010", "000")}  # 001. and 11.
    batch = task.assemble(*task.sources(list(rows)))
    logits = torch.randn(2, batch.inputs.shape[1], task.output_symbols, dtype=torch.float64)
    nats: tuple[list[float], ...] = ([], [], [])
    for row, (text, addends) in enumerate(rows.items()):
        for blank in range(len(addends[0])):
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
