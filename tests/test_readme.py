"""The code blocks of the README run in order, as a reader would run them."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ddstructs.laws import LAWS

README = Path(__file__).parents[1] / "README.md"


def blocks() -> list[str]:
    """The Python code of each block, without prompts."""
    found = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    parser = doctest.DocTestParser()
    return [
        "".join(example.source for example in parser.get_examples(block)) if ">>>" in block else block
        for block in found
    ]


def run(code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_blocks.py").write_text(code, encoding="utf-8")
    command = [sys.executable, *arguments, "test_blocks.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_blocks_run_in_order(tmp_path: Path) -> None:
    done = run("\n".join(blocks()), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "trace.html").exists()


def test_the_structure_of_the_readme_keeps_the_laws(tmp_path: Path) -> None:
    declared = next(block for block in blocks() if "class ShortStack" in block)
    laws = next(block for block in blocks() if "LAWS" in block)
    done = run(f"import torch\nfrom ddstructs import MemoryRNN\n{declared}\n{laws}", tmp_path, "-m", "pytest", "-q")
    assert done.returncode == 0, done.stdout
    assert f"{len(LAWS)} passed" in done.stdout


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\]\((?!https?:|#)([^)#]+)", README.read_text("utf-8")))))
def test_links_lead_somewhere(name: str) -> None:
    assert (README.parent / name).exists()
