"""The code blocks of each document run in order, as a reader would run them. Notebooks run when the site is built."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ddstructs
from ddstructs.laws import LAWS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def names(documents: list[Path]) -> list[str]:
    return [str(document.relative_to(ROOT)) for document in documents]


def blocks(document: Path) -> list[str]:
    """The Python code of each block, without prompts, and without what is shown to fail."""
    found = re.findall(r"^```python\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    parser = doctest.DocTestParser()
    return [
        "".join(example.source for example in parser.get_examples(block) if example.exc_msg is None)
        if ">>>" in block
        else block
        for block in found
    ]


def links() -> Iterator[str]:
    """The files and folders that the documents link to, relative to the root."""
    for document in DOCUMENTS:
        text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for name in set(re.findall(r"\]\((?!https?:|#)([^)#]+)", text)):
            yield os.path.relpath(document.parent / name, ROOT)


OWN_TESTS = {"export.md", "layers.md"}
"""Pages whose blocks other tests run: test_export_command.py, test_layer_pages.py and test_transformers.py."""

WITH_CODE = [document for document in DOCUMENTS if blocks(document) and document.name not in OWN_TESTS]


def run(code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_blocks.py").write_text(code, encoding="utf-8")
    command = [sys.executable, *arguments, "test_blocks.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("document", WITH_CODE, ids=names(WITH_CODE))
def test_the_blocks_run_in_order(document: Path, tmp_path: Path) -> None:
    code = "\n".join(blocks(document))
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "trace.html").exists() == ("save_html" in code)


def test_the_blocks_are_found() -> None:
    assert {"README.md", "docs/start.md", "docs/structures.md", "docs/training.md"} <= set(names(WITH_CODE))


def test_a_structure_of_your_own_keeps_the_laws(tmp_path: Path) -> None:
    code = "\n".join(blocks(ROOT / "docs" / "structures.md"))
    done = run(code, tmp_path, "-m", "pytest", "-q")
    assert done.returncode == 0, done.stdout
    assert f"{len(LAWS)} passed" in done.stdout


@pytest.mark.parametrize("name", sorted(set(links())))
def test_links_lead_somewhere(name: str) -> None:
    assert (ROOT / name).exists()


def test_the_reference_has_every_public_name() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
    told = set(re.findall(r"^\.\. auto(?:class|function|exception):: (\S+)", pages, re.MULTILINE))
    assert set(ddstructs.__all__) <= told
    assert {"ddstructs.tasks", "ddstructs.laws"} <= set(re.findall(r"^\.\. automodule:: (\S+)", pages, re.MULTILINE))


@pytest.mark.parametrize("table", sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("results/**/*.md")))
def test_the_site_shows_all_results(table: str) -> None:
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "results").glob("*.md")]
    assert any(f"{{include}} ../../{table}\n" in page for page in pages)
