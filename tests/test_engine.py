"""The engine executes calls once, in this process or in workers, even if workers die."""

from __future__ import annotations

import functools
import importlib
import operator
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from ddstructs import InputError, interrupts
from ddstructs.experiments.cluster import connect
from ddstructs.experiments.engine import Engine, Failure, Report, open_engine

TESTS = str(Path(__file__).parent)


def setup() -> None:
    """Workers need nothing before a call."""


def silent(words: str) -> None:
    """A report without output."""


def double(number: int, report: Report) -> int:
    """A call that succeeds."""
    report(f"doubling {number}")
    return 2 * number


def fail(error: type[Exception], report: Report) -> None:
    """A call that raises."""
    raise error("the\ndisk \x1b[31mburns")


def log(folder: Path, name: str, report: Report) -> str:
    """A call that logs the process that executed it."""
    with (folder / name).open("a") as file:
        file.write(f"{os.getpid()}\n")
    return name


def die_once(folder: Path, report: Report) -> str:
    """A call that kills its worker the first time."""
    with (folder / "die").open("a") as file:
        file.write(f"{os.getpid()}\n")
    if len((folder / "die").read_text().splitlines()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def die(report: Report) -> None:
    """A call that always kills its worker."""
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for(path: Path, report: Report) -> int:
    """A call that ends when a file exists."""
    path.with_suffix(".started").touch()
    while not path.exists():
        time.sleep(0.02)
    return os.getpid()


def alone(folder: Path, report: Report) -> None:
    """A call that fails if another one is being executed."""
    (folder / "alone").mkdir()
    time.sleep(0.1)
    (folder / "alone").rmdir()


class Missing:
    """A call that cannot be unpickled, as on a worker without its package."""

    def __call__(self, report: Report) -> None: ...

    def __reduce__(self) -> Any:
        return importlib.import_module, ("nowhere",)


def until(condition: Callable[[], Any], seconds: float = 300) -> None:
    """Wait until a condition is met."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.05)


@pytest.fixture(scope="module", params=[1, 2])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine in this process, and one with two workers."""
    with open_engine(silent, setup, workers=request.param) as engine:
        yield engine


def test_every_call_is_executed_once_and_calls_can_be_added_while_results_come(engine: Engine, tmp_path: Path) -> None:
    for number in range(4):
        engine.submit(number, log, tmp_path, str(number))
    results = {}
    for key, result in engine.completed():
        results[key] = result
        if key == 0:
            engine.submit("more", double, 21)
    assert results == {0: "0", 1: "1", 2: "2", 3: "3", "more": 42}
    assert all(len((tmp_path / str(number)).read_text().splitlines()) == 1 for number in range(4))
    assert list(engine.completed()) == []


def test_an_exception_is_a_result_in_one_line(engine: Engine) -> None:
    engine.submit("bad", fail, RuntimeError)
    engine.submit("good", double, 1)
    results = dict(engine.completed())
    assert results == {"bad": Failure("RuntimeError: the disk \\x1b[31mburns"), "good": 2}


def interrupt(error: type[Exception] | None, report: Report) -> None:
    """A call that drops the exception of a signal, and may raise another one."""
    with suppress(interrupts.Stopped):
        interrupts.stop(signal.SIGINT, None)
    if error is not None:
        raise error("half a class")


@pytest.mark.parametrize("error", [None, RuntimeError, OSError])
def test_a_signal_during_a_call_is_no_result(error: type[Exception] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "_received", [])
    with open_engine(silent, setup) as engine:
        engine.submit("bad", interrupt, error)
        with pytest.raises(interrupts.Stopped):
            dict(engine.completed())


@pytest.mark.parametrize("error", [InputError, OSError])
def test_an_error_that_concerns_all_calls_is_raised(error: type[Exception]) -> None:
    for workers in (1, 2):
        with open_engine(silent, setup, workers) as engine:
            engine.submit("bad", fail, error)
            engine.submit("never", double, 1)
            with pytest.raises(error, match="burns"):
                list(engine.completed())


def test_a_cluster_without_the_package_is_told_in_one_line() -> None:
    with open_engine(silent, setup, workers=2) as engine:
        engine.submit(0, Missing())
        with pytest.raises(InputError, match=r"cannot execute a run.*need the same ddstructs") as caught:
            list(engine.completed())
    assert "\n" not in str(caught.value)


def test_reports_come_from_wherever_a_call_is_executed() -> None:
    for workers in (1, 2):
        words: list[str] = []
        with open_engine(words.append, setup, workers) as engine:
            engine.submit(0, double, 4)
            assert list(engine.completed()) == [(0, 8)]
            until(functools.partial(operator.eq, words, ["doubling 4"]))


def test_a_worker_that_dies_loses_only_its_call_and_another_takes_it_over(tmp_path: Path) -> None:
    with open_engine(silent, setup, workers=2) as engine:
        for name in ("a", "b", "c"):
            engine.submit(name, log, tmp_path, name)
        assert {key for key, _ in engine.completed()} == {"a", "b", "c"}
        engine.submit("die", die_once, tmp_path)
        engine.submit("d", log, tmp_path, "d")
        assert dict(engine.completed()) == {"die": "alive", "d": "d"}
        assert len((tmp_path / "die").read_text().splitlines()) == 2
        for name in ("a", "b", "c", "d"):
            assert len((tmp_path / name).read_text().splitlines()) == 1, "what is done is not done again"


def test_a_call_that_kills_every_worker_is_a_failure_and_the_others_go_on() -> None:
    with open_engine(silent, setup, workers=2) as engine:
        engine.submit("die", die)
        engine.submit("good", double, 1)
        results = dict(engine.completed())
    assert results == {"die": Failure("the worker died 4 times during this run"), "good": 2}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_the_command_that_started_them(how: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"""
import sys
from pathlib import Path
sys.path.insert(0, {TESTS!r})
from ddstructs.experiments.engine import open_engine
from test_engine import setup, silent, wait_for
if __name__ == "__main__":
    with open_engine(silent, setup, workers=2) as engine:
        engine.submit(0, wait_for, Path({str(tmp_path / "never")!r}))
        list(engine.completed())
""")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([TESTS, *sys.path])}
    parent = subprocess.Popen([sys.executable, str(script)], env=environment, stderr=subprocess.DEVNULL)
    until(lambda: (tmp_path / "never.started").exists())
    workers = psutil.Process(parent.pid).children(recursive=True)
    assert len(workers) >= 2
    parent.send_signal(how)
    parent.wait(timeout=300)
    until(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers))


# An existing cluster.


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a part of a cluster with the Dask command line; it ends with the test."""
    processes = []
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([TESTS, *sys.path])}

    def start(part: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{part}", *options]
        processes.append(subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_a_scheduler_that_is_restarted_gets_what_is_left(
    start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    options = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    scheduler = start("scheduler", *options)
    start("worker", address, "--nthreads", "2", "--no-dashboard", "--no-nanny")
    with open_engine(silent, setup, scheduler=address) as engine:
        engine.submit("before", log, tmp_path, "before")
        assert list(engine.completed()) == [("before", "before")]
        engine.submit("lost", wait_for, tmp_path / "go")
        engine.submit("after", log, tmp_path, "after")
        until(lambda: (tmp_path / "go.started").exists())
        scheduler.kill()
        scheduler.wait()
        (tmp_path / "go").touch()
        start("scheduler", *options)
        start("worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny")
        assert {key for key, _ in engine.completed()} == {"lost", "after"}
    assert len((tmp_path / "before").read_text().splitlines()) == 1, "what was done before is not done again"


def test_a_worker_with_several_threads_executes_one_call_at_a_time(
    start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    address = f"tcp://127.0.0.1:{(port := free_port())}"
    start("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    start("worker", address, "--nthreads", "4", "--no-dashboard", "--no-nanny")
    with open_engine(silent, setup, scheduler=address) as engine:
        for number in range(6):
            engine.submit(number, alone, tmp_path)
        assert dict(engine.completed()) == dict.fromkeys(range(6))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers is 0, but a whole number of 1 or more was expected"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "--workers and --scheduler exclude each other"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "no Dask scheduler answers at tcp://127.0.0.1:1"),
        ({"scheduler": ""}, "an address such as tcp://host:8786 was expected"),
        ({"scheduler": "foo"}, "an address such as tcp://host:8786 was expected"),
        ({"scheduler": "nonsense://x:1"}, "no Dask scheduler answers at nonsense://x:1"),
        ({"scheduler": "nonsense://x"}, "no Dask scheduler answers at nonsense://x"),
        ({"scheduler": "127.0.0.1:port"}, "no Dask scheduler answers at 127.0.0.1:port"),
    ],
)
def test_an_engine_that_cannot_be_had_is_told_in_one_line(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddstructs.experiments.cluster.PATIENCE", 0.2)
    with pytest.raises(InputError, match=message) as caught, open_engine(silent, setup, **options):
        pass
    assert "\n" not in str(caught.value)


def test_one_worker_needs_no_dask_and_more_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with open_engine(silent, setup) as engine:
        engine.submit(0, double, 3)
        assert list(engine.completed()) == [(0, 6)]
    with pytest.raises(InputError, match=r"pip install 'distributed>="), open_engine(silent, setup, 2):
        pass


def test_a_cluster_of_our_own_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with connect(print, setup, 1) as cluster:
        cluster.submit("a", double, 1)
        list(cluster.completed())
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())
