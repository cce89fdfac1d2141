"""The results as text: a summary table, and a table of all seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from ddstructs.experiments.records import Record
from ddstructs.experiments.suites import HARD_LENGTH, Suite

__all__ = [
    "PAPER",
    "SUCCESS",
    "Group",
    "device_column",
    "figure",
    "group_of",
    "line",
    "render",
    "seconds",
    "succeeds",
    "summary",
    "table",
]

Group = tuple[str, str, str, str]
"""The task, memory, cell and config of runs that differ only in the seed."""

SUCCESS = 0.99
"""The minimum coarse accuracy for a seed to count as a success."""

PAPER = {
    "Copying": {"NoMemory": (0.01, 0.50), "Stack": (0.00, 0.22), "Queue": (1, 1), "Deque": (1, 1)},
    "Reversal": {"NoMemory": (0.04, 0.13), "Stack": (1, 1), "Queue": (0.00, 0.01), "Deque": (1, 1)},
    "BigramFlipping": {"NoMemory": (0.02, 0.52), "Stack": (0.00, 0.48), "Queue": (0.55, 0.98), "Deque": (0.53, 0.98)},
    "SVOtoSOV": {"NoMemory": (0.98, 0.99), "Stack": (1, 1), "Queue": (1, 1), "Deque": (1, 1)},
    "GenderConjugation": {"NoMemory": (0.99, 0.99), "Stack": (0.93, 0.97), "Queue": (1, 1), "Deque": (1, 1)},
}
"""The coarse and fine test scores of the paper's best run, with an LSTM of several layers."""

SCORES = ("coarse_test", "fine_test", "coarse_train", "fine_train", f"coarse_hard_{HARD_LENGTH}")

COLUMNS = (
    *("task", "memory", "cell", "success", "coarse", "fine", "train coarse", "train fine", "hard"),
    *("updates", "seconds", "paper", "config"),
)
"""The columns of the summary table."""

HEAD = """\
# Results{title}

{done} of {count} runs are done; {failed} of them failed with an error{others}. Written by

```sh
{command}
```

*Coarse* accuracy is the share of sequences without an error; *fine* accuracy is the share of each target before its
first error. {sets} Training ends when every sequence of a separate
validation set is correct, or after {updates} updates; the weights with the best validation
score are tested. *Success* is the share of seeds that reach {success} coarse on {judged}. *Hard* is coarse accuracy
{hard} length {hard_length:,} with push and pop rounded to 0 or 1; the table of every seed has all lengths
that were tested in this way. *Paper* is the best run of Grefenstette et al. (2015), with their LSTM: coarse and fine
on 65 to 128. All other columns give the median over seeds and the worst seed; updates and seconds count successful
seeds only, and seconds cover training and validation, on one core or on the GPU that is named. A run that does not get
on, in its curriculum or in validation, begins afresh where its settings say so; *restarts* counts that. A `+` after a
commit means that the code had uncommitted changes. `configs.jsonl` lists the settings behind each config.
"""


def line(record: Record) -> str:
    """A run in one line."""
    name = f"{record['task']}, {record['memory']}, {record['cell']}, seed {record['seed']}"
    if "error" in record:
        return f"{name}: FAILED: {record['error']}"
    if "score_test" in record:
        costs = f"{record['updates']} updates, {record['seconds']:.0f} s"
        return f"{name}: score {record['score_test']:.4f}, {costs}"
    return (
        f"{name}: test coarse {record['coarse_test']:.3f}, fine {record['fine_test']:.3f}, "
        f"{record['updates']} updates, {record['seconds']:.0f} s"
    )


def succeeds(suite: Suite, record: Record) -> bool:
    """Whether a run counts as a success; one that failed with an error does not."""
    return bool(record.get(suite.judged, 0) >= SUCCESS)


def summary(suite: Suite, records: Sequence[Record], asked: Sequence[Group]) -> list[list[str]]:
    """The summary table: `COLUMNS`, then a row for each group of runs that differ only in the seed.

    Args:
        suite: The suite.
        records: One for each run, in order.
        asked: The groups to list; those without a record are listed as not run.
    """
    groups = {key: list(group) for key, group in groupby(records, group_of)}
    rows = [list(COLUMNS)]
    for key in [*(key for key in groups if key in asked), *(key for key in asked if key not in groups)]:
        if key not in groups:
            rows.append([*key[:3], "not run", *[""] * (len(COLUMNS) - 5), key[3]])
            continue
        task, memory, cell, config = key
        runs = groups[key]
        good = [run for run in runs if "error" not in run]
        best = [run for run in runs if succeeds(suite, run)]
        scores = [_spread([run[name] for run in good if name in run], min) for name in SCORES]
        costs = [_spread([run["updates"] for run in best], max), seconds(best, partial(_spread, worst=max))]
        paper = " / ".join(f"{score:.2f}" for score in PAPER.get(task, {}).get(memory, ()))
        rows.append([task, memory, cell, f"{len(best)}/{len(runs)}", *scores, *costs, paper, config])
    return rows


def render(
    suite: Suite,
    records: Sequence[Record],
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
        asked: The requested groups; others are listed in a separate table.
        done: Number of records of requested runs.
        count: Number of requested runs.
        command: The command line.
        plots: Pictures to include.
    """
    errors = [f"- {line(record)}\n" for record in records if "error" in record]
    others = f"; {len(records) - done} runs have other settings or seeds" if len(records) > done else ""
    facts = {"done": done, "count": count, "failed": len(errors), "others": others, "command": command}
    title = f": {suite.title}" if suite.title else ""
    sizes = {"sets": suite.sets, "judged": suite.judged_on, "updates": suite.updates, "hard": suite.hard}
    head = HEAD.format(**facts, **sizes, title=title, success=SUCCESS, hard_length=HARD_LENGTH)
    hard = sorted({name for record in records for name in record if name.startswith("coarse_hard")}, key=_by_number)
    scores = ("coarse_train", "fine_train", "coarse_test", "fine_test", *hard)
    costs = ("updates", "restarts", "seconds", *device_column(records))
    columns = ("task", "memory", "cell", "seed", *scores, *costs, "config", "commit")
    ordered = sorted(records, key=lambda run: ("error" not in run, succeeds(suite, run), run.get(suite.judged, 0)))
    seeds = [[figure(record.get(name)) for name in columns] for record in ordered]
    elsewhere = [key for key in dict.fromkeys(map(group_of, records)) if key not in asked]
    parts = [head, table(summary(suite, records, asked))]
    parts += ["Other settings:\n", table(summary(suite, records, elsewhere))] if elsewhere else []
    parts += [f"![{plot.stem.replace('_', ' ')}]({plot.name})\n" for plot in plots]
    parts += ["## Every seed\n\nFailures first.\n", table([columns, *seeds])]
    parts += ["## Errors\n", "".join(errors)] if errors else []
    return "\n".join(parts)


def group_of(record: Record) -> Group:
    """The group of a record."""
    return record["task"], record["memory"], record["cell"], record["config"]


def seconds(records: Sequence[Record], shown: Callable[[Sequence[float]], str]) -> str:
    """The seconds of runs, shown apart for each device; a CPU is not named.

    Args:
        records: The runs, none of which failed with an error.
        shown: What to show of several numbers.
    """
    devices = sorted({record.get("device", "") for record in records})
    parts = {name: [run["seconds"] for run in records if run.get("device", "") == name] for name in devices}
    return "; ".join(shown(part) + (f" on {name}" if name else "") for name, part in parts.items())


def device_column(records: Sequence[Record]) -> tuple[str, ...]:
    """The column of the devices in a table of every seed, if any run was not on a CPU."""
    return ("device",) if any("device" in record for record in records) else ()


def _by_number(name: str) -> int:
    return int(name.rpartition("_")[2])


def _spread(values: Sequence[float], worst: Callable[[Sequence[float]], float]) -> str:
    return f"{figure(median(values))} / {figure(worst(values))}" if values else ""


def figure(value: Any) -> str:
    """A value in a table."""
    if isinstance(value, float):
        return f"{value:.0f}" if value >= 10 else f"{value:.3f}"
    return "" if value is None else str(value)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows, the first with the names of the columns, as a table in Markdown."""
    ruled = ["---" if name in ("task", "memory", "cell", "device", "config", "commit") else "---:" for name in rows[0]]
    return "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in [rows[0], ruled, *rows[1:]])


def _cell(text: str) -> str:
    """A text of a record as the cell of a table, where HTML and a bar would be more than text."""
    return escape(text, quote=False).replace("|", "&#124;")
