"""Compiled code is kept between processes, and a cache that cannot be used is only slower."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numba
import pytest

import ddstructs
from ddstructs.ops import compiler

PROGRAM = """
import numpy as np
from ddstructs.ops import compiler
compiler.PATIENCE = 0.0
from ddstructs.ops.products import pack
panels = np.zeros(16, np.float32)
pack(np.ones(3, np.float32), 0, 3, 1, 3, panels, 0, 1, 16, 0, 0)
assert panels.sum() == 3
print(len(pack.stats.cache_hits), len(pack.stats.cache_misses))
"""


class Removed:
    """A class that is not there when it is unpickled."""


def run(cache: Path, program: str = PROGRAM) -> tuple[str, str]:
    """What a process prints that compiles one kernel, or finds it."""
    home = str(Path(ddstructs.__file__).parents[1])
    settings = {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": home}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ | settings
    )
    return done.stdout.strip(), done.stderr


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with one kernel."""
    folder = tmp_path_factory.mktemp("compiled")
    printed, errors = run(folder)
    assert printed == "0 1"
    assert "compiling kernels" in errors
    return folder


@pytest.fixture
def cache(compiled: Path, tmp_path: Path) -> Path:
    """A copy of `compiled` that a test may damage."""
    return shutil.copytree(compiled, tmp_path / "cache")


def test_what_is_compiled_is_found_by_the_next_process_without_a_word(cache: Path) -> None:
    assert run(cache) == ("1 0", "")


def test_a_damaged_cache_is_compiled_again_with_one_warning(cache: Path) -> None:
    for index in cache.rglob("*.nbi"):
        index.write_bytes(b"damaged")
    printed, errors = run(cache)
    assert printed == "0 1"
    assert errors.count("RuntimeWarning") == 1
    assert "are not cached" in errors


def test_a_cache_of_other_sources_is_replaced_without_a_word(cache: Path) -> None:
    """Unpickling its index fails if it names a class that was removed since."""
    for index in cache.rglob("*.nbi"):
        index.write_bytes(pickle.dumps(numba.__version__) + pickle.dumps(Removed()).replace(b"Removed", b"Gone   "))
    printed, errors = run(cache)
    assert (printed, errors.count("RuntimeWarning")) == ("0 1", 0)
    assert run(cache)[0] == "1 0"


def test_a_cache_whose_code_is_gone_is_compiled_again(cache: Path) -> None:
    for code in cache.rglob("*.nbc"):
        code.unlink()
    assert run(cache)[0] == "0 1"


def test_a_folder_that_cannot_be_made_is_passed_over(tmp_path: Path) -> None:
    place = tmp_path / "a file, not a folder"
    place.write_text("")
    assert run(place)[0] in ("0 1", "1 0")  # as numba finds another folder, or none


def test_a_long_compilation_is_announced_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[bool] = []
    monkeypatch.setattr(compiler, "PATIENCE", 0.0)
    monkeypatch.setattr(compiler, "_printed", said)
    for _ in range(2):
        with compiler._announced():
            while not said:
                time.sleep(0.01)
    assert capsys.readouterr().err.count("compiling kernels") == 1


def test_code_of_other_sources_is_not_used(cache: Path) -> None:
    other = PROGRAM.replace("compiler.PATIENCE = 0.0", "compiler._STAMP = 'other sources'")
    assert run(cache, other)[0] == "0 1"
