"""What all tests share: one hypothesis profile, so that every run has the same examples, and the fixtures."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
import torch
from commands import QUICK, Command, call
from hypothesis import HealthCheck, settings

from ddstructs import ops
from ddstructs.cli.main import main

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")
torch.set_num_threads(1)

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # in the background; the commands under test would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", params=get_args(ops.Kernel))
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test with the default kernels, and again with the reference."""
    with ops.using(request.param):
        yield request.param


@pytest.fixture
def within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `ddstructs` in this process, which has torch at hand, with the folder of the test as the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = main(arguments)
        return subprocess.CompletedProcess(["ddstructs", *arguments], code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a stack that was trained on reversal, if only for two updates."""
    folder = tmp_path_factory.mktemp("fit")
    done = call("fit", "--data=Reversal", "--model.memory=Stack", "--model.memory.width=8", *QUICK, cwd=folder)
    assert done.returncode == 0, done.stderr
    saved = folder / "runs" / "version_0" / "checkpoints" / "best.ckpt"
    assert f"ddstructs test --ckpt_path {saved.relative_to(folder)}\n" in done.stdout
    return saved


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Headless Chromium."""
    from player import chromium  # needs selenium, which other tests do without

    chrome = chromium(tmp_path_factory.mktemp("profile"))
    yield chrome
    chrome.quit()
