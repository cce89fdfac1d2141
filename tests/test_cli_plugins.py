"""A plugin, installed like any other package, on the command line: listed, trained, used and traced."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from commands import QUICK, call

from ddstructs.registry import catalog


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody else's package, installed for real, into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    source = Path(__file__).parent / "plugin"
    copy = tmp_path_factory.mktemp("source")
    for file in source.rglob("*"):
        if file.suffix in {".py", ".toml"}:
            target = copy / file.relative_to(source)
            target.parent.mkdir(exist_ok=True)
            target.write_text(file.read_text())
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(folder),
        str(copy),
    ]
    subprocess.run(install, check=True, capture_output=True, timeout=300)
    return folder


def test_list_names_everything_without_importing_torch(tmp_path: Path, plugin: Path) -> None:
    done = call("list", cwd=tmp_path, path=plugin)
    assert done.returncode == 0
    for name in [*catalog.MEMORIES, *catalog.TASKS, *catalog.CELLS, "Register", "Leaky", "Rotation"]:
        assert f"\n  {name} " in done.stdout
    assert "Say the last symbol first: `a b c d` becomes `d a b c`. (ddstructs-register)" in done.stdout
    assert "the plugin 'Broken' (ddstructs_register.broken:Broken) is ignored: " in done.stderr
    assert "\n  Other " not in done.stdout, "a cell is no memory"


def test_a_plugin_is_used_by_its_name_and_a_broken_one_is_named(plugin: Path, tmp_path: Path) -> None:
    fit = ["fit", "--data=Rotation", "--data.by=2", "--model.memory=Register", "--model.memory.width=4"]
    done = call(*fit, "--model.cell=Leaky", *QUICK, cwd=tmp_path, path=plugin)
    assert done.returncode == 0, done.stderr
    for ignored in (
        "'Broken' (ddstructs_register.broken:Broken) is ignored: ddstructs_register.broken has no Broken",
        "'Stack' (ddstructs_register.register:Register) is ignored: another memory has this name",
        "'Mine' (ddstructs.stack:Stack) is ignored: ddstructs registers this class itself",
        "'Other' (ddstructs_register.leaky:Leaky) is ignored: it is not a subclass of ddstructs.memory.Memory",
        "'System' (os:system) is ignored: os has no system",
    ):
        assert done.stderr.count(f"ddstructs: warning: the plugin {ignored}") == 1, ignored
    saved = tmp_path / "runs/version_0/checkpoints/best.ckpt"
    done = call("predict", f"--ckpt_path={saved}", "--data.text=abc", cwd=tmp_path, path=plugin)
    assert done.returncode == 0, done.stderr
    done = call("predict", f"--ckpt_path={saved}", "--data.text=abc", cwd=tmp_path)
    assert done.returncode == 2
    assert "ddstructs_register.register.Register" in done.stderr


def test_a_plugin_is_traced(plugin: Path, tmp_path: Path) -> None:
    fit = ["fit", "--data=Copying", "--model.memory=Register", "--model.memory.width=4", *QUICK]
    assert call(*fit, "--trainer.callbacks+=TraceCallback", cwd=tmp_path, path=plugin).returncode == 0
    assert (tmp_path / "runs/version_0/traces/epoch_0000.png").is_file()
    saved = "--ckpt_path=runs/version_0/checkpoints/best.ckpt"
    done = call("trace", saved, "--text=abc", cwd=tmp_path, path=plugin)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "trace.html").is_file()
