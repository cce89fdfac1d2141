"""The optional packages, and the command that installs them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires
from shlex import quote

__all__ = ["install"]


def install(extra: str) -> str:
    """The command that installs the packages of an extra, wherever this package itself was installed from.

    Args:
        extra: The name of the extra, such as `plot`.

    Example:
        >>> from ddstructs.extras import install
        >>> install("plot")
        "pip install 'matplotlib>=3.8'"
    """
    try:
        lines = requires("ddstructs") or []
    except PackageNotFoundError:  # imported from a folder that was never installed
        lines = []
    pairs = [line.partition(";")[::2] for line in lines]
    packages = [quote(name.strip()) for name, marker in pairs if f'extra == "{extra}"' in marker.replace("'", '"')]
    return (
        f"pip install {' '.join(packages)}" if packages else f"pip install '.[{extra}]' in the repository of ddstructs"
    )
