"""Compiling beside other processes, after one that was killed, without a place for the result, and in data workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import ddstructs
from ddstructs import Action, Stack
from ddstructs.ops import threads

PROGRAM = """
import errno, os, signal
from numba.core import caching
{before}
import numpy as np
from ddstructs.ops.products import pack
panels = np.zeros(16, np.float32)
pack(np.ones(3, np.float32), 0, 3, 1, 3, panels, 0, 1, 16, 0, 0)
assert panels.sum() == 3
print(len(pack.stats.cache_hits), len(pack.stats.cache_misses))
"""
"""Compiles one small kernel, or finds it in the cache; prints "1 0" if it was found and "0 1" if not."""

KILLED = "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
"""Dies when the first file of the cache has been written, but not yet moved to its place."""

SIGNALLED = """
from llvmlite.binding import executionengine
real = executionengine.string_at

def signalled(*given):
    os.kill(os.getpid(), signal.SIGINT)
    return real(*given)

executionengine.string_at = signalled
"""
"""Is interrupted when LLVM calls back, as is likely, since Python handles no signal while LLVM works."""

REFUSED = "def refuse(*_, **__): raise OSError(errno.EROFS, 'Read-only file system')\n"
READ_ONLY = {
    "no folder can be made": REFUSED + "caching.tempfile.TemporaryFile = refuse",
    "nothing can be written": REFUSED + "caching.IndexDataCacheFile._open_for_write = refuse",
}


def start(cache: Path, before: str = "") -> subprocess.Popen[str]:
    settings = {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(Path(ddstructs.__file__).parents[1])}
    command = sys.executable, "-c", PROGRAM.format(before=before)
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | settings
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What a process printed; it must end without an error or a warning."""
    printed, errors = process.communicate()
    assert (process.returncode, "Warning" in errors) == (0, False), errors
    return printed.strip()


def test_processes_that_compile_at_once_do_not_disturb_one_another(tmp_path: Path) -> None:
    together = [start(tmp_path) for _ in range(2)]
    for process in together:
        assert finish(process) in ("0 1", "1 0")
    assert finish(start(tmp_path)) == "1 0"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes cannot be killed by a signal")
def test_after_an_interrupted_compilation_the_next_one_works(tmp_path: Path) -> None:
    killed = start(tmp_path, KILLED)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert [path for path in tmp_path.rglob("*") if path.is_file()], "it was killed before it wrote anything"
    assert finish(start(tmp_path)) == "0 1"
    assert finish(start(tmp_path)) == "1 0"


def test_an_interrupt_while_llvm_works_is_not_lost(tmp_path: Path) -> None:
    interrupted = start(tmp_path, SIGNALLED)
    printed, errors = interrupted.communicate()
    assert printed == ""
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert "ignored" not in errors
    assert "cached" not in errors
    assert finish(start(tmp_path)) == "0 1"


@pytest.mark.parametrize("before", READ_ONLY.values(), ids=READ_ONLY)
def test_a_read_only_cache_is_slower_with_one_warning(before: str, tmp_path: Path) -> None:
    process = start(tmp_path, before)
    printed, errors = process.communicate()
    assert (process.returncode, printed.strip()) == (0, "0 1"), errors
    assert errors.count("RuntimeWarning") == 1
    assert "are not cached" in errors


class Reads(Dataset[Tensor]):
    """The reads of random actions, computed where they are requested."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Tensor:
        torch.set_num_threads(2)  # a data worker has one otherwise
        threads.SMALL = 0
        generator = torch.Generator().manual_seed(index)
        push, pop, value = (torch.rand(4, 5, 1, *size, generator=generator) for size in ((), (), (2,)))
        reads: Tensor = Stack(2)(Action(push, pop, value))[0]
        return reads


@pytest.mark.parametrize("method", sorted({"fork", "spawn"} & set(multiprocessing.get_all_start_methods())))
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_data_workers_run_kernels(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "SMALL", 0)
    before = torch.get_num_threads()
    try:
        expected = [Reads()[index] for index in range(2)]  # the parent has threads, which a fork does not inherit
        loader = DataLoader(Reads(), batch_size=None, num_workers=1, multiprocessing_context=method, timeout=300)
        assert all(map(torch.equal, loader, expected))
    finally:
        torch.set_num_threads(before)
