"""What a memory was used for, in words and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ddstructs.view.trace import Trace

__all__ = ["Diagnosis", "diagnose"]

NEVER = 0.05
"""A share below which something as good as never happens."""

FRACTION = 0.2, 0.8
"""A pop between these is neither of nothing nor of a unit."""

SAME = 0.1
"""How far two outputs may be apart, where they are vectors, to be called the same."""

FAILURES = {
    "never pushes": "The memory stays empty: the network does its task, if at all, without it.",
    "never pops": "What is pushed stays: the network only ever adds to the memory.",
    "pops in fractions": "Most of what is popped goes in parts of a unit, so that a value is read over several steps.",
    "scratch register": "What is read was pushed in the same step or the one before: nothing is kept for later.",
}
"""The ways in which a network is known not to use its memory, and what each means."""

GOOD = "No known failure: the memory stores values, and gives them back later."

SHORT = 8
"""In fewer steps than these no failure can be told."""

UNKNOWN = "No failure has a name for a memory that does not push and pop: these are its numbers."

UNCLEAR = f"Fewer than {SHORT} steps: too short a run to name a failure."


@dataclass(frozen=True)
class Diagnosis:
    """What a memory was used for. `str` of it says all of this in words.

    Attributes:
        failures: The known failures that it shows, by the names in `FAILURES`; none is a good sign.
        short: Whether the run is too short to name a failure.
        distances: For each signal of the memory, such as push, its mean distance from 0 and 1, in [0, 0.5].
        pushed: Strength pushed in a step, on average, all heads together. None, as are the next three, of a memory that
            does not push and pop.
        popped: Share of the strength pushed that was popped again.
        fractions: Share of the strength popped that went by pops of 0.2 to 0.8.
        empty_pops: Share of the strength asked for by pops that was not there.
        never_read: Share of the strength pushed that was not read later; of each value, the most that one later step
            reads of it counts. None if the trace cannot tell.
        kept: Share of what was read that was pushed two steps or more before; None if the trace cannot tell.
        depth: Total strength held after each step, the mean of the rows that last so long.
        rounded_same: Share of the outputs that stay the same with hard actions, so that the memory is the discrete
            structure; an output is a symbol, or a vector in which no number moves by 0.1.
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
        told = [f"{first[0]} is {first[1]:.3f} from 0 or 1 on average", *(f"{name} {far:.3f}" for name, far in others)]
        lines.append(", ".join(told))
        if self.pushed is not None:
            lines += [
                f"{self.pushed:.2f} units are pushed in a step, and {self.popped:.0%} of that is popped again",
                f"{self.fractions:.0%} of what is popped goes by fractional pops (0.2 to 0.8)",
                f"{self.empty_pops:.0%} of what pops ask for is not there",
            ]
        if self.never_read is not None and self.kept is not None:
            lines += [
                f"{self.never_read:.0%} of what is pushed is never read later",
                f"{self.kept:.0%} of what is read was pushed two steps or more before",
            ]
        deepest = max(range(len(self.depth)), key=lambda t: self.depth[t])
        lines += [
            f"the memory is deepest after step {deepest}, with {self.depth[deepest]:.1f} units, "
            f"and ends with {self.depth[-1]:.1f}",
            f"with hard actions, {self.rounded_same:.0%} of the outputs are the same",
        ]
        good = UNCLEAR if self.short else GOOD if self.pushed is not None else UNKNOWN
        return "\n".join([*([f"{name}: {FAILURES[name]}" for name in self.failures] or [good]), *lines])


def diagnose(trace: Trace) -> Diagnosis:
    """Say what the memory was used for in a trace, and name the known failures.

    Args:
        trace: What to look at. A batch is judged as a whole.

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
    working = _working(trace, real, depth) if pushing else _Working()
    never_read, kept = _reading(trace, real)
    short, rows = int(trace.lengths.max()) < SHORT, real.sum(dim=0).clamp(min=1)
    return Diagnosis(
        failures=() if short else tuple(_failures(working, kept)),
        short=short,
        distances={name: _distance(trace, name, real) for name in names},
        **working._asdict(),
        never_read=never_read,
        kept=kept,
        depth=tuple(((depth * real).sum(dim=0) / rows)[real.any(dim=0)].tolist()),
        rounded_same=_agreement(trace, real),
    )


class _Working(NamedTuple):
    """What was pushed and popped, if the memory does so."""

    pushed: float | None = None
    popped: float | None = None
    fractions: float | None = None
    empty_pops: float | None = None


def _working(trace: Trace, real: Tensor, depth: Tensor) -> _Working:
    steps = max(1, int(real.sum()))
    push, pop = trace.push * real[..., None], trace.pop * real[..., None]
    before = torch.cat([torch.zeros_like(depth[:, :1]), depth[:, :-1]], dim=1)
    asked = pop.sum(dim=2)
    gone = (before + push.sum(dim=2) - depth).clamp(min=0) * real  # padding neither pushes nor pops
    taken = torch.minimum(gone, asked)  # what falls off a full memory was not popped
    low, high = FRACTION
    partly = (pop * ((pop > low) & (pop < high))).sum(dim=2) / asked.clamp(min=1e-12)
    pushed, popped = float(push.sum()), float(taken.sum())
    return _Working(
        pushed=pushed / steps,
        popped=_share(popped, pushed),
        fractions=_share(float((partly * taken).sum()), popped),
        empty_pops=_share(float(asked.sum()) - popped, float(asked.sum())),
    )


def _failures(working: _Working, kept: float | None) -> list[str]:
    """The names of the failures that the numbers of a diagnosis show."""
    if working.pushed is None or working.popped is None or working.fractions is None:
        return []
    if working.pushed < NEVER:
        return ["never pushes"]
    if working.popped < NEVER:
        return ["never pops"]
    found = {"pops in fractions": working.fractions > 0.5, "scratch register": kept is not None and kept < NEVER}
    return [name for name, shows in found.items() if shows]


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole)) if whole > 1e-12 else 0.0


def _distance(trace: Trace, name: str, real: Tensor) -> float:
    columns = [column for column, (label, _) in enumerate(trace.labels) if label == name]
    signals = trace.signals[real][:, columns]
    return float((signals - signals.round()).abs().mean()) if signals.numel() else 0.0


def _reading(trace: Trace, real: Tensor) -> tuple[float | None, float | None]:
    """The share of what is pushed that no later step reads, and of what is read that was pushed two steps before."""
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
    """The share of outputs that stay the same with rounded signals."""
    if not trace.output.is_floating_point():
        asked = trace.output >= 0
        same = (trace.output == trace.rounded)[asked]
    else:
        same = ((trace.output - trace.rounded).abs() < SAME).flatten(2).all(dim=2)[real]
    return float(same.double().mean()) if same.numel() else 1.0
