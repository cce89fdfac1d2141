"""The command `ddstructs trace`: what a trained controller does to its memory, as a page and in words."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from ddstructs.errors import InputError, printable
from ddstructs.files import replacing
from ddstructs.registry.plugins import load_plugins
from ddstructs.registry.spec import build
from ddstructs.tasks.lines import read_lines
from ddstructs.training.checkpoint import TASK, read
from ddstructs.training.controller import Controller
from ddstructs.view.diagnose import diagnose
from ddstructs.view.record import trace as record
from ddstructs.view.trace import Trace

__all__ = ["trace"]

FORMS = (".html", ".json", ".png")
"""What can be written, by the ending of the file."""


def trace(
    ckpt_path: str,
    text: str | None = None,
    file: str | None = None,
    out: str = "trace.html",
    other: str | None = None,
    hard: bool = False,
) -> None:
    """Show what a trained controller does to its memory, step by step, as a page, and in words.

    Args:
        ckpt_path: The checkpoint of the controller.
        text: What to transduce, a source a line.
        file: The same from a file; - is standard input.
        out: What to write: a page (.html), data (.json) or a picture (.png).
        other: Another checkpoint, to show beside it.
        hard: Round push and pop to 0 or 1.
    """
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    path = Path(out)
    if path.suffix not in FORMS:
        raise InputError(f"--out is {out}, but a file that ends with {', '.join(FORMS)} was expected")
    if other is not None and path.suffix != ".html":
        raise InputError(f"--other goes beside the trace in a page, but --out is {out}")
    if text is None and file is None:
        raise InputError("there is nothing to transduce: give --text TEXT, or --file FILE")
    for kind in ("memory", "cell", "task"):
        load_plugins(kind)  # a broken one is told
    lines = read_lines(text, file)
    paths = [ckpt_path] + ([other] if other is not None else [])
    seen = [_trace(each, lines, hard, title=len(paths) > 1) for each in paths]
    try:
        _write(seen, path)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}") from error
    for name, each in zip(paths, seen, strict=True):
        print(f"{printable(name)}\n{diagnose(each)}\n")
    print(f"Written to {printable(out)}")


def _trace(path: str, lines: list[str], hard: bool, title: bool) -> Trace:
    content = read(path)
    settings: dict[str, Any] = {"hard": True} if hard else {}
    model = Controller.load_from_checkpoint(path, **settings)
    spec = content[TASK]
    arguments = {name: value for name, value in spec["init_args"].items() if name not in ("text", "file")}
    task = build(spec | {"init_args": arguments}, "task")
    if (model.input_symbols, model.output_symbols) != (task.input_symbols, task.output_symbols):
        raise InputError(f"the controller in {path} has other symbols than its task, {type(task).__name__}")
    try:
        return record(model, lines, task=task, title=path if title else None)
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
