"""The commit of the running code, for the records."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import ddstructs

__all__ = ["commit"]


@cache
def commit() -> str:
    """The commit, with a `+` if the code has uncommitted changes; the version if there is no repository.

    It is read once, near the start of the process, when the code is read as well.
    """
    code = Path(ddstructs.__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(code), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        changed = git("status", "--porcelain", "--", ":/ddstructs", ":/tasks", ":/pyproject.toml")
        return git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ddstructs.__version__
