"""The page that plays a trace."""

from ddstructs.view.trace import Trace

__all__ = ["frame", "page"]


def page(trace: Trace, other: Trace | None = None) -> str:
    return ""


def frame(trace: Trace) -> str:
    return ""
