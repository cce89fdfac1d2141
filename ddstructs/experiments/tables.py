"""The results of a suite as text: a summary beside the published figures, the score by length, and every seed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import mean, median
from typing import Any

from ddstructs.experiments.records import Record
from ddstructs.experiments.results import (
    SUCCESS,
    Group,
    device_column,
    figure,
    group_of,
    line,
    seconds,
    succeeds,
    table,
)
from ddstructs.experiments.store import BIN
from ddstructs.experiments.suites import Suite

__all__ = ["drawing", "render_suite", "suite_summary"]

HEAD = """\
# Results: {title}

{done} of {count} runs are done; {failed} of them failed with an error{others}. Written by

```sh
{command}
```

The score is {score}{smaller}. Every seed counts: mean, median, best and worst are over all seeds of a row that did not
fail with an error. Where the column *soft* has a figure, the signals of the memory are rounded to 0 or 1 in validation
and in the test, and the column is the mean of the score without that. Training ends when {goal}, or after {updates}
updates; the weights with the best validation score are tested. The validation set has other strings than the test
set. A run that does not get on, in its curriculum or in validation, begins afresh where its settings say so; *restarts*
counts that. Updates and seconds are medians; seconds cover training and validation, on one core or on the GPU that is
named. What was not run is listed below the table. A `+` after a commit means that the code had uncommitted changes.
`configs.jsonl` lists the settings behind each config.

*Published* figures: {source}.
"""


def drawing(suite: Suite) -> dict[str, Any]:
    """What `plot` must know of a suite."""
    if not suite.score:
        return {
            "succeeds": partial(succeeds, suite),
            "success": f"seeds at {SUCCESS} coarse or more, {suite.judged_on}",
        }
    level = suite.levels[1]

    def reaches(record: Record) -> bool:
        return "error" not in record and suite.reaches(record["score_test"], level)

    return {
        "succeeds": reaches,
        "success": f"seeds with a score of at {'most' if suite.smaller else 'least'} {level:g}",
        "longest": suite.longest,
        "bounded": not suite.smaller,
    }


def suite_summary(suite: Suite, records: Sequence[Record], asked: Sequence[Group]) -> list[list[str]]:
    """The summary table: the names of the columns, then a row for each group of runs that differ only in the seed.

    Groups with a worse worst seed come first. Those that were not run have no row.

    Args:
        suite: The suite.
        records: One for each run, in order.
        asked: The groups to list.
    """
    levels = [_level(suite, level) for level in suite.levels]
    scores = ("mean", "median", "best", "worst", "soft")
    columns = ["task", "memory", "cell", "seeds", *levels, *scores, "updates", "seconds", "published", "config"]
    rows: list[tuple[float, list[str]]] = []
    groups = {key: list(group) for key, group in groupby(records, group_of)}
    for key in filter(groups.__contains__, asked):
        task, memory, cell, config = key
        good = [record for record in groups[key] if "error" not in record]
        found = [record["score_test"] for record in good]
        counts = [f"{sum(suite.reaches(score, level) for score in found)}/{len(groups[key])}" for level in suite.levels]
        spread = _spread(suite, found)
        soft = [record["score_soft"] for record in good if "score_soft" in record]
        costs = [_median([record["updates"] for record in good]), seconds(good, _median)]
        row = [task, memory, cell, str(len(groups[key])), *counts, *spread, _mean(soft), *costs]
        rows.append((_worst(suite, found), [*row, _published(suite, task), config]))
    return [columns, *(row for _, row in sorted(rows, key=lambda each: each[0]))]


def render_suite(
    suite: Suite,
    records: Sequence[Record],
    curves: Sequence[Record],
    asked: Sequence[Group],
    done: int,
    count: int,
    command: str,
    plots: Sequence[Path],
) -> str:
    """The content of RESULTS.md.

    Args:
        suite: The suite.
        records: One for each run, in order.
        curves: The data of the curves, as in `curves.jsonl`.
        asked: The groups that were asked for; others are listed in a table of their own.
        done: Number of records that belong to the runs asked for.
        count: Number of runs asked for.
        command: The command line.
        plots: Pictures to include.
    """
    errors = [f"- {line(record)}\n" for record in records if "error" in record]
    others = f"; {len(records) - done} runs have other settings or seeds" if len(records) > done else ""
    smaller = "; smaller is better" if suite.smaller else ""
    facts = {"done": done, "count": count, "failed": len(errors), "others": others, "command": command}
    told = {name: getattr(suite, name) for name in ("title", "score", "source", "goal", "updates")}
    head = HEAD.format(**facts, **told, smaller=smaller)
    elsewhere = [key for key in dict.fromkeys(map(group_of, records)) if key not in asked]
    parts = [head, table(suite_summary(suite, records, asked))]
    parts += ["Other settings:\n", table(suite_summary(suite, records, elsewhere))] if elsewhere else []
    parts += [_not_run(suite, records, asked)]
    parts += [f"![{plot.stem.replace('_', ' ')}]({plot.name})\n" for plot in plots]
    bins = f"A column has the bins of {BIN} lengths whose center is in it."
    by_length = table(_by_length(suite, curves))
    parts += [f"## Score by length\n\nMean over the seeds, and the worst seed. {bins}\n", by_length]
    columns = (
        *("task", "memory", "cell", "seed", "score_test", "score_soft", "score_train"),
        *("updates", "restarts", "seconds", *device_column(records), "config", "commit"),
    )
    ordered = sorted(records, key=lambda record: ("error" not in record, _worst(suite, _score(record))))
    seeds = [
        [
            _figure(record[name]) if name.startswith("score") and name in record else figure(record.get(name))
            for name in columns
        ]
        for record in ordered
    ]
    parts += ["## Every seed\n\nFailures first.\n", table([columns, *seeds])]
    parts += ["## Errors\n", "".join(errors)] if errors else []
    return "\n".join(parts)


def _not_run(suite: Suite, records: Sequence[Record], asked: Sequence[Group]) -> str:
    """The groups without a record: for each task, its memories, and the cells of each."""
    known = set(map(group_of, records))
    missing: dict[str, dict[str, list[str]]] = {}
    for task, memory, cell, _ in (key for key in asked if key not in known):
        missing.setdefault(task, {}).setdefault(memory, []).append(cell)
    rows = [
        [task, "; ".join(f"{memory}: {', '.join(cells)}" for memory, cells in each.items()), _published(suite, task)]
        for task, each in missing.items()
    ]
    return f"Not run:\n\n{table([['task', 'memory', 'published'], *rows])}" if rows else ""


def _by_length(suite: Suite, curves: Sequence[Record]) -> list[list[str]]:
    """The score in stretches of lengths, for each group."""
    stretches = sorted({_stretch(suite, length) for curve in curves for length, _ in curve["score"]})
    rows = []
    for key, group in groupby(curves, group_of):
        runs = [_in_stretches(suite, curve["score"]) for curve in group]
        cells = []
        for stretch in stretches:
            found = [run[stretch] for run in runs if stretch in run]
            worst = (max if suite.smaller else min)(found) if found else 0.0
            cells.append(f"{_figure(mean(found))} / {_figure(worst)}" if found else "")
        rows.append([*key[:3], str(len(runs)), *cells, key[3]])
    names = [f"{stretch * suite.stretch + 1}..{(stretch + 1) * suite.stretch}" for stretch in stretches]
    return [["task", "memory", "cell", "seeds", *names, "config"], *rows]


def _in_stretches(suite: Suite, points: Sequence[tuple[float, float]]) -> dict[int, float]:
    grouped = groupby(points, lambda point: _stretch(suite, point[0]))
    return {stretch: mean(score for _, score in part) for stretch, part in grouped}


def _stretch(suite: Suite, length: float) -> int:
    return int(length - 1) // suite.stretch


def _score(record: Record) -> list[float]:
    return [record["score_test"]] if "score_test" in record else []


def _worst(suite: Suite, scores: Sequence[float]) -> float:
    """The worst score, the smaller the worse."""
    if not scores:
        return -float("inf")
    return -max(scores) if suite.smaller else min(scores)


def _spread(suite: Suite, scores: Sequence[float]) -> list[str]:
    if not scores:
        return [""] * 4
    best, worst = (min, max) if suite.smaller else (max, min)
    return [_figure(value) for value in (mean(scores), median(scores), best(scores), worst(scores))]


def _mean(scores: Sequence[float]) -> str:
    return _figure(mean(scores)) if scores else ""


def _median(numbers: Sequence[float]) -> str:
    return f"{median(numbers):.0f}" if numbers else ""


def _figure(score: float) -> str:
    return f"{score:.4f}"


def _level(suite: Suite, level: float) -> str:
    return f"up to {level:g}" if suite.smaller else "at 1.0000" if level > 0.9999 else f"from {level:g}"


def _published(suite: Suite, task: str) -> str:
    return ", ".join(f"{network} {score:.3f}" for network, score in suite.published.get(task, {}).items())
