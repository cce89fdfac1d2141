"""Diagnosis: how a memory was used, in words and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ddstructs.view.trace import Trace

__all__ = ["Diagnosis", "diagnose"]

NEVER = 0.05
"""A share below this counts as never."""

FRACTION = 0.2, 0.8
"""A pop between these is fractional."""

SAME = 0.1
"""Maximum difference between two output vectors that count as the same."""

FAILURES = {
    "never pushes": "The memory stays empty: the network works without it.",
    "never pops": "Pushed values are never removed: the memory only grows.",
    "pops in fractions": "Most strength is popped by fractional pops, so that each value is read over several steps.",
    "scratch register": "Reads return values pushed in the same step or the one before: nothing is stored for later.",
}
"""The known ways in which networks fail to use their memory, and what each means."""

GOOD = "No known failure: the memory stores values and returns them later."

SHORT = 8
"""Minimum number of steps for naming a failure."""

UNKNOWN = "The known failures apply only to memories that push and pop; only numbers are given."

UNCLEAR = f"Fewer than {SHORT} steps: the run is too short to name a failure."


@dataclass(frozen=True)
class Diagnosis:
    """How a memory was used in a run. `str()` describes it in words.

    Attributes:
        failures: The known failures found, by their names in `FAILURES`; empty if there are none.
        short: Whether the run is too short to name a failure.
        distances: Mean distance from 0 or 1 of each signal of the memory, in [0, 0.5], by the name of the signal.
        pushed: Mean strength pushed per step, summed over the heads. This and the next three are None for memories
            that do not push and pop.
        popped: Share of the pushed strength that was popped.
        fractions: Share of the popped strength that was removed by pops of 0.2 to 0.8.
        empty_pops: Share of the strength requested by pops that the memory did not hold.
        never_read: Share of the pushed strength that was not read in a later step. For each value, the largest amount
            read in one later step counts as read. None if the trace does not have the origin of the reads.
        kept: Share of the reads that were pushed at least two steps before; None likewise.
        depth: Total strength held after each step, averaged over the rows that have this step.
        rounded_same: Share of the outputs that do not change with hard actions, under which the memory is a discrete
            structure. Output vectors count as unchanged if no element changes by 0.1 or more.
    """

    failures: tuple[str, ...]
    short: bool
    distances: dict[str, float]
    pushed: float | None
    popped: float | None
    fractions: float | None
    empty_pops: float | None
    never_read: float | None
    kept: float | None
    depth: tuple[float, ...]
    rounded_same: float

    @property
    def push_distance(self) -> float:
        """Mean distance of push from 0 and 1, in [0, 0.5]; 0 if the memory does not push."""
        return self.distances.get("push", 0.0)

    @property
    def pop_distance(self) -> float:
        """Mean distance of pop from 0 and 1, in [0, 0.5]; 0 if the memory does not pop."""
        return self.distances.get("pop", 0.0)

    def __str__(self) -> str:
        (first, *others), lines = ([*self.distances.items()] or [("nothing", 0.0)]), []
        average = f"{first[0]} is {first[1]:.3f} from 0 or 1 on average"
        lines.append(", ".join([average, *(f"{name} {distance:.3f}" for name, distance in others)]))
        if self.pushed is not None:
            lines += [
                f"{self.pushed:.2f} units are pushed per step, and {self.popped:.0%} of that is popped",
                f"{self.fractions:.0%} of the popped strength is removed by fractional pops (0.2 to 0.8)",
                f"{self.empty_pops:.0%} of the strength requested by pops is not in the memory",
            ]
        if self.never_read is not None and self.kept is not None:
            lines += [
                f"{self.never_read:.0%} of the pushed strength is never read in a later step",
                f"{self.kept:.0%} of the reads were pushed two or more steps before",
            ]
        deepest = max(range(len(self.depth)), key=lambda t: self.depth[t])
        lines += [
            f"the memory is deepest after step {deepest}, with {self.depth[deepest]:.1f} units, "
            f"and ends with {self.depth[-1]:.1f}",
            f"with hard actions, {self.rounded_same:.0%} of the outputs stay the same",
        ]
        good = UNCLEAR if self.short else GOOD if self.pushed is not None else UNKNOWN
        return "\n".join([*([f"{name}: {FAILURES[name]}" for name in self.failures] or [good]), *lines])


def diagnose(trace: Trace) -> Diagnosis:
    """Diagnose how the memory was used in a trace, and name known failures.

    Args:
        trace: The trace. A batch is diagnosed as a whole.

    Example:
        >>> import torch
        >>> from ddstructs import Action, Stack, trace
        >>> push, pop = torch.full((1, 9, 1), 0.9), torch.zeros(1, 9, 1)
        >>> diagnose(trace(Stack(2), Action(push, pop, torch.randn(1, 9, 1, 2)))).failures
        ('never pops',)
    """
    real = torch.arange(trace.value.shape[1]) < trace.lengths[:, None]
    names, depth = dict(trace.labels), trace.depth
    pushing = {(name, head) for name in ("push", "pop") for head in range(trace.heads)} <= {*trace.labels}
    usage = _usage(trace, real, depth) if pushing else _Usage()
    never_read, kept = _reading(trace, real)
    short, rows = int(trace.lengths.max()) < SHORT, real.sum(dim=0).clamp(min=1)
    return Diagnosis(
        failures=() if short else tuple(_failures(usage, kept)),
        short=short,
        distances={name: _distance(trace, name, real) for name in names},
        **usage._asdict(),
        never_read=never_read,
        kept=kept,
        depth=tuple(((depth * real).sum(dim=0) / rows)[real.any(dim=0)].tolist()),
        rounded_same=_agreement(trace, real),
    )


class _Usage(NamedTuple):
    """Statistics of pushes and pops; None for memories that do not push and pop."""

    pushed: float | None = None
    popped: float | None = None
    fractions: float | None = None
    empty_pops: float | None = None


def _usage(trace: Trace, real: Tensor, depth: Tensor) -> _Usage:
    steps = max(1, int(real.sum()))
    push, pop = trace.push * real[..., None], trace.pop * real[..., None]
    before = torch.cat([torch.zeros_like(depth[:, :1]), depth[:, :-1]], dim=1)
    requested = pop.sum(dim=2)
    removed = (before + push.sum(dim=2) - depth).clamp(min=0) * real  # padding neither pushes nor pops
    taken = torch.minimum(removed, requested)  # values that fall off a full memory were not popped
    low, high = FRACTION
    fractional = (pop * ((pop > low) & (pop < high))).sum(dim=2) / requested.clamp(min=1e-12)
    pushed, popped = float(push.sum()), float(taken.sum())
    return _Usage(
        pushed=pushed / steps,
        popped=_share(popped, pushed),
        fractions=_share(float((fractional * taken).sum()), popped),
        empty_pops=_share(float(requested.sum()) - popped, float(requested.sum())),
    )


def _failures(usage: _Usage, kept: float | None) -> list[str]:
    """The names of the failures that the statistics show."""
    if usage.pushed is None or usage.popped is None or usage.fractions is None:
        return []
    if usage.pushed < NEVER:
        return ["never pushes"]
    if usage.popped < NEVER:
        return ["never pops"]
    found = {"pops in fractions": usage.fractions > 0.5, "scratch register": kept is not None and kept < NEVER}
    return [name for name, shows in found.items() if shows]


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole)) if whole > 1e-12 else 0.0


def _distance(trace: Trace, name: str, real: Tensor) -> float:
    columns = [column for column, (label, _) in enumerate(trace.labels) if label == name]
    signals = trace.signals[real][:, columns]
    return float((signals - signals.round()).abs().mean()) if signals.numel() else 0.0


def _reading(trace: Trace, real: Tensor) -> tuple[float | None, float | None]:
    """The share of pushed strength that no later step reads, and of reads pushed at least two steps before."""
    if trace.mixed is not None or len(trace.known) < trace.heads or not trace.heads:
        return None, None
    at, weight = trace.taken
    row, step, _, value = at.T
    push = trace.pushes[row, value]
    age, weight = step - push // trace.heads, weight * real[row, step]
    best = torch.zeros(len(trace.pushes), trace.value.shape[1] * trace.heads, dtype=weight.dtype)
    best = best.flatten().scatter_reduce(0, row * best.shape[1] + push, weight * (age > 0), "amax").view(best.shape)
    pushed = (trace.push * real[..., None]).flatten(1)
    never = _share(float((pushed - best).clamp(min=0).sum()), float(pushed.sum()))
    return never, _share(float((weight * (age > 1)).sum()), float(weight.sum()))


def _agreement(trace: Trace, real: Tensor) -> float:
    """The share of outputs that stay the same with hard actions."""
    if not trace.output.is_floating_point():
        answered = trace.output >= 0
        same = (trace.output == trace.rounded)[answered]
    else:
        same = ((trace.output - trace.rounded).abs() < SAME).flatten(2).all(dim=2)[real]
    return float(same.double().mean()) if same.numel() else 1.0
