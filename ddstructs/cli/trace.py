"""The command `ddstructs trace`: what a trained controller does to its memory, as a page and in words."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddstructs.errors import InputError, printable
from ddstructs.files import replacing
from ddstructs.registry.ranges import Count

if TYPE_CHECKING:
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
    layer: Count | None = None,
    head: Count | None = None,
) -> None:
    """Show what a trained controller does to its memory, step by step, as a page, and in words.

    Args:
        ckpt_path: The checkpoint of the controller.
        text: What to transduce, a source a line.
        file: The same from a file; - is standard input.
        out: What to write: a page (.html), data (.json) or a picture (.png).
        other: Another checkpoint, to show beside it.
        hard: Round push and pop to 0 or 1.
        layer: Which layer of a SequenceModel, from 0; the first that works a memory if not given.
        head: Which head of that layer, from 0; the first if not given.
    """
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    path = Path(out)
    if path.suffix not in FORMS:
        raise InputError(f"--out is {out}, but a file that ends with {', '.join(FORMS)} was expected")
    if other is not None and path.suffix != ".html":
        raise InputError(f"--other goes beside the trace in a page, but --out is {out}")
    if text is None and file is None:
        raise InputError("there is nothing to transduce: give --text TEXT, or --file FILE")
    if text is not None and file is not None:
        raise InputError("both a text and a file were given: leave one of them out")
    paths = [ckpt_path] + ([other] if other is not None else [])
    for each in paths:
        if not Path(each).is_file():
            raise InputError(f"there is no checkpoint at {each}")
    if not path.parent.is_dir() or path.is_dir():
        raise InputError(f"cannot write {out}: it is a folder, or in a folder that there is not")
    from ddstructs.registry.plugins import load_plugins
    from ddstructs.tasks.lines import read_lines  # imports torch, which takes seconds
    from ddstructs.view.diagnose import diagnose

    for kind in ("memory", "cell", "task"):
        load_plugins(kind)  # a broken one is told
    lines = read_lines(text, file)
    seen = [_trace(each, lines, hard, layer, head, title=len(paths) > 1) for each in paths]
    try:
        _write(seen, path)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}") from error
    for name, one in zip(paths, seen, strict=True):
        print(f"{printable(name)}\n{diagnose(one)}\n")
    print(f"Written to {printable(out)}")


def _trace(path: str, lines: list[str], hard: bool, layer: int | None, head: int | None, title: bool) -> Trace:
    from ddstructs.registry.spec import build
    from ddstructs.training.checkpoint import TASK, read
    from ddstructs.training.learner import Learner
    from ddstructs.view.record import trace as record

    content = read(path)
    settings: dict[str, Any] = {"hard": True} if hard else {}
    model = Learner.load_from_checkpoint(path, **settings)
    spec = content[TASK]
    arguments = {name: value for name, value in spec["init_args"].items() if name not in ("text", "file")}
    task = build(spec | {"init_args": arguments}, "task")
    if (model.input_symbols, model.output_symbols) != (task.input_symbols, task.output_symbols):
        raise InputError(f"the model in {path} has other symbols than its task, {type(task).__name__}")
    try:
        return record(model, lines, task=task, title=path if title else None, layer=layer, head=head)
    except ValueError as error:
        raise InputError(str(error)) from error


def _write(seen: list[Trace], out: Path) -> None:
    if out.suffix == ".html":
        seen[0].save_html(out, *seen[1:])
    elif out.suffix == ".json":
        seen[0].save(out)
    else:
        from ddstructs.view.plot import plot_trace, require_matplotlib

        require_matplotlib()
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(14, 7), layout="tight")
        FigureCanvasAgg(figure)
        plot_trace(seen[0], figure.add_subplot())
        with replacing(out) as file:
            figure.savefig(file, format="png")
