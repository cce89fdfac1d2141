"""The page that plays a trace: one file, in which the trace lies as data and nothing comes from elsewhere."""

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
    """The page of a trace, or of two beside each other.

    It is pure ASCII, and what comes from a trace stands in it as JSON, in which no character can end the element it is
    in; the script writes it into the page as text only.
    """
    traces = [trace] if other is None else [trace, other]
    template = files("ddstructs.view").joinpath("player.html").read_text(encoding="ascii")
    before, _, rest = template.partition("{{title}}")
    middle, _, after = rest.partition("{{data}}")
    title = " | ".join(shown(each.title) for each in traces)
    ascii_title = html.escape(title).encode("ascii", "xmlcharrefreplace").decode()
    return before + ascii_title + middle + _embed([_tell(each) for each in traces]) + after


def frame(trace: Trace) -> str:
    """The page in a frame of its own, for a notebook: neither its styles nor its script reach what is around it."""
    title = html.escape(shown(trace.title))
    return (
        f'<iframe srcdoc="{html.escape(page(trace))}" sandbox="allow-scripts" title="{title}" '
        'style="width:100%;height:760px;border:0"></iframe>'
    )


def _tell(trace: Trace) -> dict[str, Any]:
    found = diagnose(trace)
    verdict = ", ".join(found.failures) or (
        "too short a run to tell" if found.short else "no known failure" if found.pushed is not None else "its numbers"
    )
    return {"title": shown(trace.title), "verdict": verdict, "report": str(found), **film(trace)}


def _embed(data: object) -> str:
    """JSON that may stand in a script element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)  # ASCII, so U+2028 and U+2029 are escaped
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text
