"""The command `ddstructs trace`: a page, a picture or the data of how a trained controller uses its memory."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddstructs.errors import InputError, printable
from ddstructs.files import check_checkpoint, check_file, check_file_name, replacing
from ddstructs.registry.ranges import Count

if TYPE_CHECKING:
    from ddstructs.view.trace import Trace

__all__ = ["trace"]

FORMATS = (".html", ".json", ".png")
"""The file formats that can be written, by suffix."""


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
    """Show step by step how a trained controller uses its memory, and diagnose it.

    Args:
        ckpt_path: The checkpoint of the controller.
        text: The text to transduce, one source per line.
        file: A file with the text; - is standard input.
        out: The file to write: a page (.html), data (.json) or a picture (.png).
        other: Another checkpoint, shown next to it on the page.
        hard: Round push and pop to 0 or 1.
        layer: Which layer of a SequenceModel, from 0; the first that works a memory if not given.
        head: Which head of that layer, from 0; the first if not given.
    """
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    path = check_file_name(out, "--out")
    if path.suffix not in FORMATS:
        raise InputError(f"--out is {out}, but a file name ending in {', '.join(FORMATS)} was expected")
    if other is not None and path.suffix != ".html":
        raise InputError(f"--other needs a page, but --out is {out}: use a file name ending in .html")
    if text is None and file is None:
        raise InputError("nothing to transduce: give --text TEXT, or --file FILE")
    if text is not None and file is not None:
        raise InputError("--text and --file were both given: give only one of them")
    paths = [ckpt_path] + ([other] if other is not None else [])
    for each in paths:
        check_checkpoint(each)
    check_file(out, "--out")
    from ddstructs.registry.plugins import load_plugins
    from ddstructs.tasks.lines import read_lines  # imports torch, which takes seconds
    from ddstructs.view.diagnose import diagnose

    for kind in ("memory", "cell", "task"):
        load_plugins(kind)  # warns about broken ones
    lines = read_lines(text, file)
    traces = [_trace(each, lines, hard, layer, head, title=len(paths) > 1) for each in paths]
    try:
        _write(traces, path)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}") from error
    for name, one in zip(paths, traces, strict=True):
        what = "" if one.title == name else f": {one.title}"
        print(f"{printable(name)}{printable(what)}\n{diagnose(one)}\n")
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
        raise InputError(f"the model in {path} and its task, {type(task).__name__}, differ in their symbols")
    if task.example is None:
        raise InputError(f"{type(task).__name__} takes no text: in Python, `ddstructs.trace` takes one of its batches")
    try:
        return record(model, lines, task=task, title=path if title else None, layer=layer, head=head)
    except ValueError as error:
        raise InputError(str(error)) from error


def _write(traces: list[Trace], out: Path) -> None:
    if out.suffix == ".html":
        traces[0].save_html(out, *traces[1:])
    elif out.suffix == ".json":
        traces[0].save(out)
    else:
        from ddstructs.view.plot import plot_trace, require_matplotlib

        require_matplotlib()
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(14, 7), layout="tight")
        FigureCanvasAgg(figure)
        plot_trace(traces[0], figure.add_subplot())
        with replacing(out) as file:
            figure.savefig(file, format="png")
