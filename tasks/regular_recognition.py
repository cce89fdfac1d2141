"""Regular languages to recognize."""

from __future__ import annotations

from operator import add, mul, sub
from typing import final

from ddstructs.tasks.automaton import Automaton
from ddstructs.tasks.recognition import Recognition

__all__ = [
    "CycleNavigationRecognition",
    "EvenPairsRecognition",
    "FirstRecognition",
    "ModularArithmeticRecognition",
    "ParityRecognition",
    "RepeatRecognition",
]

MODULUS = 5

DIGITS = "01234"


def _cycle() -> Automaton:
    def steps(place: int) -> dict[str, str]:
        moves = {">": (place + 1) % MODULUS, "<": (place - 1) % MODULUS, "=": place}
        return {char: str(to) for char, to in moves.items()} | {str(place): "end"}

    return Automaton(f"<>={DIGITS}", {**{str(place): steps(place) for place in range(MODULUS)}, "end": {}}, {"end"})


def _arithmetic() -> Automaton:
    """States: the begin, a value, a value and an operator, the value that must follow `=`, and the end."""
    operations = {"+": add, "-": sub, "*": mul}
    arcs = {"begin": {digit: digit for digit in DIGITS}}
    for a in range(MODULUS):
        arcs[str(a)] = {sign: f"{a}{sign}" for sign in "+-*="}
        arcs[f"{a}="] = {str(a): "end"}
        for sign, operate in operations.items():
            arcs[f"{a}{sign}"] = {str(b): str(operate(a, b) % MODULUS) for b in range(MODULUS)}
    return Automaton(f"{DIGITS}+-*=", arcs | {"end": {}}, {"end"})


EVEN_PAIRS = Automaton(
    "01",
    {
        "empty": {"0": "0..0", "1": "1..1"},
        "0..0": {"0": "0..0", "1": "0..1"},
        "0..1": {"0": "0..0", "1": "0..1"},
        "1..1": {"1": "1..1", "0": "1..0"},
        "1..0": {"1": "1..1", "0": "1..0"},
    },
    {"empty", "0..0", "1..1"},
)

PARITY = Automaton("01", {"even": {"0": "even", "1": "odd"}, "odd": {"0": "odd", "1": "even"}}, {"odd"})

REPEAT = Automaton("01", {"0": {"0": "1"}, "1": {"1": "0"}}, {"0"})

FIRST = Automaton("01", {"empty": {"1": "any"}, "any": {"0": "any", "1": "any"}}, {"any"})


@final
class EvenPairsRecognition(Recognition):
    """Recognize strings of bits with an even number of `01` and `10`: those that end as they begin, such as `0110`.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    language = EVEN_PAIRS
    example = "0110"


@final
class ParityRecognition(Recognition):
    """Recognize strings of bits with an odd number of 1s, such as `0111`.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    language = PARITY
    example = "0111"


@final
class RepeatRecognition(Recognition):
    """Recognize the repetitions of `01`, such as `0101`.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    language = REPEAT
    example = "0101"


@final
class FirstRecognition(Recognition):
    """Recognize strings of bits that begin with 1, such as `100`.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    language = FIRST
    example = "100"


@final
class CycleNavigationRecognition(Recognition):
    """Recognize walks on a circle of five places that end at the stated place: `>>=<1` is one.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    language = _cycle()
    example = ">>=<1"


@final
class ModularArithmeticRecognition(Recognition):
    """Recognize sums modulo 5 that are right, such as `1+2*4=2`; they are worked out from left to right.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    language = _arithmetic()
    example = "1+2*4=2"
