"""Ranges are declared in signatures: constructors keep them, and the command line reads them from the source."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence

import pytest

from ddstructs import Controller, Stack, SuperpositionStack, Tape
from ddstructs.errors import InputError
from ddstructs.registry.annotations import described
from ddstructs.registry.ranges import Ascending, Finite, Lengths, Range, Size, check_ranges
from ddstructs.registry.source import parameters
from ddstructs.registry.spec import OBJECTS
from ddstructs.registry.types import Text, convert
from ddstructs.tasks import BinaryAddition, Reversal


@pytest.mark.parametrize("target", ["ddstructs.training.controller:Controller", "ddstructs.tasks.reversal:Reversal"])
def test_every_number_of_a_constructor_has_a_range(target: str) -> None:
    for name, each in parameters(target).items():
        words = described(each.annotation, {"Memory": "a memory"})
        assert words is None or "number" not in words or " of " in words or " from " in words or "finite" in words, name


WRONG: list[tuple[str, str, Callable[[], object], str, str]] = [
    ("ddstructs.stack:Stack", "width", lambda: Stack(0), "width", "0"),
    ("ddstructs.tape:Tape", "size", lambda: Tape(size=0), "size", "0"),
    ("ddstructs.tasks.reversal:Reversal", "symbols", lambda: Reversal(129), "symbols", "129"),
    ("ddstructs.tasks.reversal:Reversal", "start_length", lambda: Reversal(start_length=0), "start_length", "0"),
    ("ddstructs.tasks.reversal:Reversal", "threshold", lambda: Reversal(threshold=1.0), "threshold", "1.0"),
    ("ddstructs.tasks.reversal:Reversal", "val_lengths", lambda: Reversal(val_lengths=(5, 2)), "val_lengths", "[5, 2]"),
    (
        "ddstructs.tasks.binary_addition:BinaryAddition",
        "train_lengths",
        lambda: BinaryAddition(train_lengths=(0, 2)),
        "train_lengths",
        "[0, 2]",
    ),
    (
        "ddstructs.training.controller:Controller",
        "read_noise",
        lambda: Controller(Stack(2), 3, 2, read_noise=math.nan),
        "read_noise",
        "nan",
    ),
    (
        "ddstructs.training.controller:Controller",
        "push_bias",
        lambda: Controller(Stack(2), 3, 2, push_bias=[0.0, math.inf]),
        "push_bias",
        "[0, .inf]",
    ),
]


@pytest.mark.parametrize(("target", "parameter", "make", "name", "typed"), WRONG, ids=[each[1] for each in WRONG])
def test_the_constructor_and_the_command_line_refuse_the_same(
    target: str, parameter: str, make: Callable[[], object], name: str, typed: str
) -> None:
    with pytest.raises(ValueError, match=f"^{name} is .*expected$"):
        make()
    with pytest.raises(InputError, match=r"^--it is .*expected$"):
        convert(parameters(target)[parameter].annotation, Text(typed), "--it")


def test_a_name_for_a_type_is_read_as_what_it_stands_for() -> None:
    assert described(parameters("ddstructs.tape:Tape")["write"].annotation, {}) == "replace or add"
    assert described(parameters("ddstructs.stack:Stack")["width"].annotation, {}) == "a whole number of 1 or more"


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("Sequence[Memory]", "a list of memories"),
        ("list[int]", "a list of whole numbers"),
        ("tuple[Annotated[int, Range(1)], int]", "a list of two whole numbers of 1 or more"),
        ("list[str]", "a list of texts"),
        ("list[Any]", "a list of plain data"),
        ("list[Path]", "a list of paths"),
        ("tuple[Annotated[float, Range()], ...]", "a list of finite numbers"),
    ],
)
def test_the_type_of_a_list_is_described_in_the_plural(annotation: str, words: str) -> None:
    assert described(ast.parse(annotation, mode="eval").body, OBJECTS) == words
    assert SuperpositionStack(2, empty=-1).empty == -1


def takes(size: Size = 1, lengths: Lengths = (1, 1), bias: Finite | Sequence[Finite] | None = None) -> None:
    check_ranges(takes, locals())


@pytest.mark.parametrize("wrong", ["3", 3.0, True, [3]])
def test_what_is_no_number_is_a_type_error(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"size is .*, but a whole number of 1 or more was expected"):
        takes(size=wrong)  # type: ignore[arg-type]


def test_what_lies_inside_is_taken() -> None:
    takes(10**30, (1, 10**30), [0, -1.5])
    takes(bias=None)
    assert math.inf not in Range()
    assert math.nan not in Range(0, 1)
    assert (3, 2) not in Ascending(1)
    with pytest.raises(TypeError, match="2 whole numbers of 1 or more in ascending order were expected"):
        takes(lengths=(1, 2, 3))  # type: ignore[arg-type]
