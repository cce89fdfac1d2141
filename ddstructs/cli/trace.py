"""The command `ddstructs trace`: what a trained controller does to its memory, as a page and in words."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ddstructs.errors import InputError
from ddstructs.files import replacing
from ddstructs.registry.plugins import load_memories
from ddstructs.registry.spec import build
from ddstructs.tasks import Task
from ddstructs.tasks.lines import read_lines
from ddstructs.training.checkpoint import TASK, read
from ddstructs.training.controller import Controller
from ddstructs.view.diagnose import diagnose
from ddstructs.view.record import trace
from ddstructs.view.trace import Trace

__all__ = ["run_trace"]

FORMS = (".html", ".json", ".png")
"""What can be written, by the ending of the file."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def run_trace(arguments: Sequence[str]) -> int:
    """Run the command with its arguments, and return its exit code: 0, or 2 when the input cannot be used."""
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    try:
        _run(arguments)
    except (InputError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        print(f"ddstructs trace: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _run(arguments: Sequence[str]) -> None:
    parser = Parser(
        prog="ddstructs trace",
        description="Write a page that plays, step by step, what a trained controller does to its memory, and say in "
        "words what the memory is used for.",
        allow_abbrev=False,
    )
    parser.add_argument("--ckpt_path", required=True, metavar="FILE", help="the checkpoint of the controller")
    parser.add_argument("--text", help="what to transduce, a source a line")
    parser.add_argument("--file", metavar="FILE", help="the same from a file; - is standard input")
    out_help = "a page (.html), data (.json) or a picture (.png); %(default)s"
    parser.add_argument("--out", default="trace.html", metavar="FILE", help=out_help)
    parser.add_argument("--other", metavar="FILE", help="another checkpoint, to show beside it")
    parser.add_argument("--hard", action="store_true", help="round push and pop to 0 or 1")
    options = parser.parse_args(arguments)
    out = Path(options.out)
    if out.suffix not in FORMS:
        raise InputError(f"--out is {options.out}, but a file that ends with {', '.join(FORMS)} was expected")
    if options.other is not None and out.suffix != ".html":
        raise InputError(f"--other goes beside the trace in a page, but --out is {options.out}")
    if options.text is None and options.file is None:
        raise InputError("there is nothing to transduce: give --text TEXT, or --file FILE")
    load_memories()
    lines = read_lines(options.text, options.file)
    paths = [options.ckpt_path] + ([options.other] if options.other is not None else [])
    seen = [_trace(path, lines, options.hard, title=len(paths) > 1) for path in paths]
    try:
        _write(seen, out)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}") from error
    for path, each in zip(paths, seen, strict=True):
        print(f"{path}\n{diagnose(each)}\n")
    print(f"Written to {out}")


def _trace(path: str, lines: list[str], hard: bool, title: bool) -> Trace:
    content = read(path)
    settings: dict[str, Any] = {"hard": True} if hard else {}
    model = Controller.load_from_checkpoint(path, **settings)
    spec = content[TASK]
    arguments = {name: value for name, value in spec["init_args"].items() if name not in ("text", "file")}
    task = build(spec | {"init_args": arguments}, Task)
    if (model.input_symbols, model.output_symbols) != (task.input_symbols, task.output_symbols):
        raise InputError(f"the controller in {path} has other symbols than its task, {type(task).__name__}")
    try:
        return trace(model, lines, task=task, title=path if title else None)
    except ValueError as error:
        raise InputError(str(error)) from error


def _write(seen: list[Trace], out: Path) -> None:
    if out.suffix == ".html":
        seen[0].save_html(out, *seen[1:])
    elif out.suffix == ".json":
        seen[0].save(out)
    else:
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
        except ImportError as error:
            raise InputError("a picture needs matplotlib: pip install 'ddstructs[plot]'") from error
        from matplotlib.figure import Figure

        from ddstructs.view.plot import plot_trace

        figure = Figure(figsize=(14, 7), layout="tight")
        FigureCanvasAgg(figure)
        plot_trace(seen[0], figure.add_subplot())
        with replacing(out) as file:
            figure.savefig(file, format="png")
