"""Time per step of the kernels, compared with the reference, an LSTM cell and a copy of the same bytes.

Every round runs each case at least once, and short ones more often; cases of one length take turns, so that other
load on the machine affects all alike. Times are medians over the rounds; a ratio is the median of the ratios within
each round.

The results are printed, plotted, and written to RESULTS.md between its two markers; the text below them is written by
hand.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import re
import subprocess
import sys
from collections import defaultdict
from datetime import date
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from benchmarks.cases import LENGTHS, MEMORIES, NARROW, PEER, Case, cases
from benchmarks.peak import NETWORKS

__all__ = ["main"]

Rounds = dict[tuple[str, int], list[tuple[float, float]]]
"""For each case and length, µs per step forward and backward, by round."""

MARKS = "<!-- written by make bench -->", "<!-- written by hand -->"
"""The lines of RESULTS.md between which the results are written."""


ENOUGH = 0.5
"""Seconds after which a case is not run again within a round."""


def measure(rounds: int, batch: int, width: int, device: str) -> Rounds:
    """Time every case, after a warm-up at the shortest length that compiles and loads the kernels."""
    seen: Rounds = defaultdict(list)
    everything = list(cases(batch, width, device))
    gc.freeze()  # each run first collects garbage, which takes longer than most runs if it visits all of torch
    for _, steps, case in everything:
        if steps == min(LENGTHS):
            case()
    groups: dict[int, list[tuple[str, int, Case]]] = defaultdict(list)
    for each in everything:
        groups[each[1]].append(each)
    for _ in range(rounds):
        for steps, group in groups.items():
            runs: dict[str, list[tuple[float, float]]] = defaultdict(list)
            for _ in range(max(1, 1024 // steps)):
                for name, _, case in group:
                    if sum(map(sum, runs[name])) < ENOUGH:
                        runs[name].append(case())
            for name, times in runs.items():
                forward, backward = (median(part) / steps * 1e6 for part in zip(*times, strict=True))
                seen[name, steps].append((forward, backward))
    return seen


def ratio(seen: Rounds, above: tuple[str, int], below: tuple[str, int]) -> tuple[float, float, float]:
    """The ratio of the times of two cases: median, minimum and maximum over the rounds."""
    ratios = [sum(one) / sum(other) for one, other in zip(seen[above], seen[below], strict=True)]
    return median(ratios), min(ratios), max(ratios)


def times(seen: Rounds) -> list[str]:
    """The table of times."""
    rows = [
        "| | steps | forward, µs per step | backward, µs per step | sum, min to max |",
        "|---|---:|---:|---:|---|",
    ]
    for (name, steps), rounds in seen.items():
        forward, backward = (median(part) for part in zip(*rounds, strict=True))
        both = [sum(round) for round in rounds]
        rows.append(f"| {name} | {steps:,} | {forward:.1f} | {backward:.1f} | {min(both):.1f} to {max(both):.1f} |")
    return rows


def targets(seen: Rounds, firsts: dict[str, list[float]]) -> list[str]:
    """The table of targets, and whether each was met."""
    long, short, network, learning = max(LENGTHS), 256, ("MemoryRNN", 130), ("nn.LSTM, gradient for x", 130)
    wanted = [
        (f"{name}, time per step at T = {long:,} over T = {short}", 1.5, (name, long), (name, short))
        for name in MEMORIES
    ]
    wanted += [
        (f"{name}, T = 1,024, over the LSTMCell loop", limit, (name, 1024), ("LSTMCell(128, 256)", 1024))
        for name, limit in (("stack", 0.015), ("queue", 0.015), ("deque", 0.03))
    ]
    wanted += [
        ("stack, T = 8,192, over the copy of its bytes", 3, ("stack", 8192), ("copy of the bytes", 8192)),
        ("MemoryRNN over nn.LSTM, T = 130", 1.1, network, ("nn.LSTM", 130)),
        ("MemoryRNN, time per step at T = 4,096 over T = 130", 1.5, ("MemoryRNN", 4096), network),
    ]
    limits = (
        ("Elman, stack", 0.95),
        ("Elman, queue", 0.95),
        ("Elman, deque", 1.4),
        ("LSTM, stack", 1.6),
        ("GRU, stack", 1.4),
    )
    wanted += [
        (f"{name}, gradient for x, over nn.LSTM, T = 130", limit, (f"MemoryRNN, {name}", 130), learning)
        for name, limit in limits
    ]
    wanted += [
        (
            f"MemoryRNN over nn.LSTM, {title}, gradient for x, T = 130",
            limit,
            (f"MemoryRNN, {title}", 130),
            (f"nn.LSTM, {title}", 130),
        )
        for title, limit in (
            ("batch 1", 1.1),
            ("batch 64", 1.1),
            ("batch 256", 1.1),
            ("float64", 1.5),
            ("size 60", 1.5),
        )
    ]
    wanted += [
        (
            f"MemoryRNN.unroll over nn.LSTM, {cell}, stack, T = 130",
            limit,
            (f"MemoryRNN.unroll, {cell}, stack", 130),
            learning,
        )
        for cell, limit in (("rnn", 1.15), ("lstm", 1.8))
    ]
    wanted += [
        (
            f"packed MemoryRNN, 60 % real, over padded nn.LSTM, T = {steps:,}",
            1,
            ("MemoryRNN, packed", steps),
            ("nn.LSTM, padded", steps),
        )
        for steps in (130, 1000)
    ]
    wanted += [
        (
            f"{name}, T = {steps:,}, two threads over one",
            0.6,
            (f"{name}, threads: 2", steps),
            (f"{name}, threads: 1", steps),
        )
        for name, steps in (("stack", 1024), ("stack", 8192), ("MemoryRNN, batch 64", 130))
    ]
    wanted += [
        (
            f"stack of width {width}, time per element, T = 1,024, over width 64",
            1,
            (f"stack, width {width}", 1024),
            ("stack, width 64", 1024),
        )
        for width in NARROW
    ]
    mixture = "superposition stack, depth 16"
    wanted += [
        (f"stack, T = 1,024, over {name}", 1 / 80, ("stack", 1024), (other, 1024))
        for name, other in ((f"the {mixture}", mixture), (f"{PEER} (stack-attention-pytorch)", PEER))
    ]
    wanted = [row for row in wanted if row[2] in seen and row[3] in seen]
    rows = ["| target | at most | measured | min to max | met |", "|---|---:|---:|---|---|"]
    for title, limit, above, below in wanted:
        middle, least, most = ratio(seen, above, below)
        reached = "yes" if middle <= limit else "no"
        rows.append(f"| {title} | {limit:g} | {middle:.3g} | {least:.3g} to {most:.3g} | {reached} |")
    for name, (peak, inputs, more, cold, warm) in firsts.items():
        if name not in MEMORIES:
            continue
        for title, size in (("push, pop and value", inputs), ("these and the gradient of the reads", more)):
            title = f"{name}, T = {long:,}, peak memory beyond {title}, relative to their size"
            rows.append(single(title, 2, peak / size))
        rows.append(single(f"{name}, T = {long:,}, the first pass of a process over later ones", 1.5, cold / warm))
    if all(name in firsts for name in NETWORKS):
        ours, theirs = (firsts[name][0] for name in NETWORKS)
        rows.append(single("MemoryRNN over nn.LSTM, T = 1,024, peak memory beyond x and gradient", 2, ours / theirs))
    return rows


def single(title: str, limit: float, measured: float) -> str:
    """A row of the table of targets for something measured once."""
    return f"| {title} | {limit:g} | {measured:.3g} | | {'yes' if measured <= limit else 'no'} |"


def first_pass(name: str, batch: int, steps: int, width: int) -> list[float]:
    """What `benchmarks.peak` prints of the first pass of a process."""
    command = sys.executable, "-m", "benchmarks.peak", name, str(batch), str(steps), str(width)
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(number) for number in output.split()]


def setup_rows() -> list[str]:
    """Rows for the first call of a network, compiled and from the cache, and for the training of the demo."""
    with TemporaryDirectory() as cache:
        settings = os.environ | {"NUMBA_CACHE_DIR": cache}
        cold, cached = (
            float(
                subprocess.run([sys.executable, "-c", FIRST_CALL], check=True, capture_output=True, env=settings).stdout
            )
            for _ in range(2)
        )
    command = sys.executable, "-m", "examples.demo", "abc"
    demo = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    trained = re.search(r"updates in ([\d.]+) s", demo)
    assert trained is not None
    return [
        f"| MemoryRNN, Elman, stack, first call with an empty cache, seconds | | {cold:.3g} | | |",
        single("MemoryRNN, Elman, stack, first call of a later process, seconds", 0.5, cached),
        single("training of the demo, seconds by the clock", 4, float(trained[1])),
    ]


FIRST_CALL = """
import time, torch
from ddstructs import MemoryRNN, Stack
rnn, x = MemoryRNN(64, 64, Stack(64)), torch.randn(130, 16, 64)
start = time.process_time()
rnn(x)[0].sum().backward()
print(time.process_time() - start)
"""


def plot(seen: Rounds, path: Path) -> None:
    """Plot µs per step, forward plus backward, against the length."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for number, kind in enumerate([*MEMORIES, "LSTMCell(128, 256)", "copy of the bytes"]):
        for name, line in ((kind, "o-"), (f"{kind}, reference", "s--")):
            points = [(steps, median(map(sum, seen[name, steps]))) for steps in LENGTHS if (name, steps) in seen]
            if points:
                axes.plot(*zip(*points, strict=True), line, color=f"C{number}", label=name)
    axes.set(xscale="log", yscale="log", xlabel="steps", ylabel="µs per step, forward and backward")
    axes.set_xticks(LENGTHS, [f"{steps:,}" for steps in LENGTHS])
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=150)


def conditions(arguments: argparse.Namespace) -> str:
    """Date, machine and settings of the measurement."""
    device = f"{os.cpu_count()} cores, {platform.machine()}"
    if arguments.device == "cuda":
        device = torch.cuda.get_device_name()
    clock = "processor time" if arguments.device == "cpu" and arguments.threads == 1 else "wall-clock time"
    return (
        f"{date.today():%d %B %Y}, {device}, load {os.getloadavg()[0]:.1f} at the end, torch {torch.__version__}, "
        f"float32, batch {arguments.batch}, width {arguments.width}, threads: {arguments.threads}, "
        f"rounds: {arguments.rounds}, {clock}."
    )


def write(measured: list[str], path: Path) -> None:
    """Replace the text between the markers."""
    start, end = MARKS
    before, _, rest = path.read_text("utf-8").partition(start)
    _, mark, after = rest.partition(end)
    if not mark:
        raise ValueError(f"{path} lacks the lines {start!r} and {end!r}, between which the results are written")
    path.write_text("\n".join([before + start, "", *measured, "", end]) + after, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--plot", type=Path, default=Path(__file__).with_suffix(".png"))
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("RESULTS.md"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    # First, because a new process inherits the peak of its parent.
    firsts = {name: first_pass(name, arguments.batch, max(LENGTHS), arguments.width) for name in MEMORIES}
    firsts |= {name: first_pass(name, arguments.batch, 1024, arguments.width) for name in NETWORKS}
    setup = setup_rows() if arguments.device == "cpu" else []
    seen = measure(arguments.rounds, arguments.batch, arguments.width, arguments.device)
    measured = [conditions(arguments), "", *targets(seen, firsts), *setup, "", *times(seen)]
    print(*measured, sep="\n")
    plot(seen, arguments.plot)
    write(measured, arguments.results)


if __name__ == "__main__":
    main()
