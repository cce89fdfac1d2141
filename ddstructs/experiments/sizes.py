"""A suite in the sizes of the runs that were asked for, which a budget, an exception or another recipe may change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ddstructs.experiments.recipe import Settings
from ddstructs.experiments.runs import Run
from ddstructs.experiments.sections import Testing, read_section
from ddstructs.experiments.suites import HARD_LENGTH, Suite

__all__ = ["sized"]


def sized(suite: Suite, runs: Sequence[Run]) -> Suite:
    """The suite with texts that name the sizes of some runs.

    Args:
        suite: A suite, whose texts have names such as `{size}` where a size belongs.
        runs: The runs, one or more; where their sizes differ, the texts name all of them.
    """

    def over_all(describe: Callable[[Settings], str]) -> str:
        return " or ".join(dict.fromkeys(describe(run.settings) for run in runs))

    sizes = {
        "trained": over_all(lambda settings: _span(settings["data"].get("train_lengths"))),
        "longest": over_all(lambda settings: _span(settings["data"].get("train_lengths"), low=False)),
        "size": _numbers(run.settings["test"]["size"] for run in runs),
        "lengths": over_all(lambda settings: _span(settings["test"]["lengths"])),
        "tested": over_all(_each_length),
    }
    hard = [run.settings["test"].get("hard", {}).get(HARD_LENGTH) for run in runs]
    return replace(
        suite,
        sets=suite.sets.format(**sizes),
        judged_on=suite.judged_on.format(**sizes),
        score=suite.score.format(**sizes),
        updates=_numbers(run.settings["training"]["max_updates"] for run in runs),
        hard=f"on {_numbers(filter(None, hard))} sources of" if any(hard) else suite.hard,
    )


def _each_length(settings: Settings) -> str:
    """The test length by length."""
    test = read_section(Testing, settings["test"])
    parts, span = len(test.each_length), _span(test.lengths)
    each = f"{'the' if test.step == 1 else f'{parts} of the'} lengths {span}"
    if test.stretch > 1:
        each = f"{parts} stretches of {test.stretch} lengths from {span}"
    return f"{each}, with {test.per_length:,} strings of each"


def _span(lengths: Sequence[int] | None, *, low: bool = True) -> str:
    if lengths is None:
        return "the default number of"
    return f"{lengths[0]} to {lengths[-1]}" if low else str(lengths[-1])


def _numbers(numbers: Iterable[int]) -> str:
    return " or ".join(f"{number:,}" for number in sorted(set(numbers)))
