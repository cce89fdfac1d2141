"""The page that plays a trace: one self-contained HTML file with the trace as data."""

from __future__ import annotations

import html
import json
from importlib.resources import files
from typing import Any

from ddstructs.view.diagnose import diagnose
from ddstructs.view.film import film
from ddstructs.view.symbols import shown
from ddstructs.view.trace import Trace

__all__ = ["frame", "page"]


def page(trace: Trace, other: Trace | None = None) -> str:
    """The page of a trace, or of two traces side by side.

    The page is ASCII. Data of a trace is embedded as JSON in which no character can end the script element, and the
    script inserts it as text only.
    """
    traces = [trace] if other is None else [trace, other]
    template = files("ddstructs.view").joinpath("player.html").read_text(encoding="ascii")
    before, _, rest = template.partition("{{title}}")
    middle, _, after = rest.partition("{{data}}")
    title = " | ".join(shown(each.title) for each in traces)
    ascii_title = html.escape(title).encode("ascii", "xmlcharrefreplace").decode()
    return before + ascii_title + middle + _embed([_data(each) for each in traces]) + after


def frame(trace: Trace) -> str:
    """The page in a sandboxed frame for notebooks, which isolates its styles and its script.

    In a frame, the page begins to play when it is scrolled into view.
    """
    title = html.escape(shown(trace.title))
    return (
        f'<iframe srcdoc="{html.escape(page(trace))}" sandbox="allow-scripts" title="{title}" '
        'style="width:100%;height:860px;border:0"></iframe>'
    )


def _data(trace: Trace) -> dict[str, Any]:
    found = diagnose(trace)
    verdict = ", ".join(found.failures) or (
        "run too short to diagnose" if found.short else "no known failure" if found.pushed is not None else "statistics"
    )
    return {"title": shown(trace.title), "verdict": verdict, "report": str(found), **film(trace)}


def _embed(data: object) -> str:
    """JSON that is safe inside a script element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)  # ASCII, so U+2028 and U+2029 are escaped
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text
