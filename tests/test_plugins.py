"""Entry points of other packages: broken ones are reported and left out, and the others are used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


def install(folder: Path, package: str, lines: str, group: str = "ddstructs.memories") -> None:
    """Write the files of an installed package, with any text as its entry points."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}\n")


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these packages installed."""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def listed(folder: Path) -> subprocess.CompletedProcess[str]:
    """The output of `ddstructs list` there."""
    done = python(folder, "-m", "ddstructs", "list")
    assert done.returncode == 0, done.stderr
    return done


MEMORY = "import ddstructs\nclass {}(ddstructs.Memory):\n"
"""The head of a module with a memory, which is never imported."""

BROKEN = [
    "x = ",
    "x = foo:",
    "x = :foo",
    "x = a b",
    "x = a:b c",
    "x = a:b.c",
    "x = ../a:b",
    "x",
    "= y",
    "x y = a:b",
    "x\x1b[31m = a:b",
    "x = os:system",
    "x = nowhere.module:X",
    "Stack = good:Memory",
    "stack = good:Memory",
    "x = ddstructs.stack:Stack",
]


@pytest.mark.parametrize("line", BROKEN)
def test_a_broken_entry_point_is_reported_in_a_line_and_ignored(line: str, tmp_path: Path) -> None:
    plain = listed(tmp_path)
    (tmp_path / "good.py").write_text(f'{MEMORY.format("Memory")}    """A memory."""\n')
    install(tmp_path, "broken", line)
    done = listed(tmp_path)
    assert done.stdout == plain.stdout
    said = [part for part in done.stderr.splitlines() if part not in plain.stderr.splitlines()]
    assert len(said) == 1, done.stderr
    assert "ignored" in said[0]
    assert said[0].isprintable()


def test_a_broken_entry_point_does_not_affect_the_others(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(f'{MEMORY.format("Good")}    """A good memory.\n\n    More of it.\n    """\n')
    install(tmp_path, "good", "Good = good:Good")
    install(tmp_path, "broken", "x\nx = ")
    assert re.search(r"^  Good +A good memory\. \(good\)$", listed(tmp_path).stdout, re.MULTILINE)


def test_the_second_of_one_name_is_left_out(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / f"{name}.py").write_text(f'{MEMORY.format("Twin")}    """The {name}."""\n')
        install(tmp_path, name, f"Twin = {name}:Twin")
    done = listed(tmp_path)
    assert "The first. (first)" in done.stdout
    assert "The second." not in done.stdout
    assert "'Twin' (second:Twin) is ignored: another memory has this name" in done.stderr


def test_escapes_in_a_summary_are_shown_and_not_sent(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(f'{MEMORY.format("Good")}    """A \\x1b[31mred memory."""\n')
    install(tmp_path, "good", "Good = good:Good")
    assert r"A \x1b[31mred memory. (good)" in listed(tmp_path).stdout


USE = """
import sys, warnings
warnings.simplefilter("ignore")
from ddstructs import InputError, Stack
from ddstructs.registry.plugins import load_plugins
from ddstructs.registry.spec import build, check
for path in sys.argv[1:]:
    for take in (check, build):
        try:
            take({"class_path": path, "init_args": {}})
        except InputError as error:
            print("refused" if "is refused" in str(error) else error)
        else:
            print("taken")
assert type(build({"class_path": "ddstructs.stack.Stack", "init_args": {}})) is Stack
print(sorted(load_plugins("memory")))
"""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("from torch.nn import Module\nclass X(Module):", True),
        ("import torch.nn as nn\nclass X(nn.Module):", True),
        ("class X:", True),
        ("class X(object):", True),
        ("from enum import Enum\nclass X(Enum):", True),
        ("def X():", True),
        ("class Base:\n    pass\nclass X(Base):", True),
        ("from ddstructs.tasks import Reversal\nclass X(Reversal):", True),
        ("from ddstructs import Memory\nclass Base(Memory):\n    pass\nclass X(Base):", False),
        ("from ddstructs import Structure\nclass X(Structure):", False),
        ("from ddstructs.memory import Memory as Base\nclass X(Base[int]):", False),
        ("import ddstructs as d\nclass X(d.Memory):", False),
        ("from elsewhere import Base\nclass X(Base):", False),
        ("class X(make()):", False),
    ],
)
def test_a_class_of_another_kind_is_recognized_from_its_source(text: str, fault: bool, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(f'{text}\n    """A memory of some kind."""\n    raise SystemExit(3)\n')
    install(tmp_path, "other", "X = other:X")
    done = listed(tmp_path)
    assert ("A memory of some kind." in done.stdout) is not fault
    assert ("'X' (other:X) is ignored: it is not a subclass of ddstructs.memory.Memory" in done.stderr) is fault


def test_nothing_can_refer_to_an_ignored_plugin(tmp_path: Path) -> None:
    lines = {
        "bad": f"import os\n{MEMORY.format('B')}    pass\nraise SystemExit(3)\n",
        "good": "from ddstructs import Stack as Again, NoMemory, Queue\nclass Real:\n    pass\n",
        "house": "from room import Latest\n",
        "room": "from ddstructs.bank import NoMemory as Base\nclass Latest(Base):\n    pass\n",
    }
    for name, text in lines.items():
        (tmp_path / f"{name}.py").write_text(text)
    install(
        tmp_path,
        "several",
        "A = os:system\nB = bad:B\nC = good:Again\nD = good:Real\nE = good:nothing\nLatest = house:Latest",
    )
    refused = ["os.system", "os.path", "bad.B", "bad.os", "good.Again", "good.Real", "good.Queue", "A", "C"]
    done = python(tmp_path, "-c", USE, *refused, "house.Latest", "room.Latest", "Latest")
    assert done.returncode == 0, done.stderr
    *said, plugins = done.stdout.splitlines()
    assert said[:14] == ["refused"] * 14
    assert all("refused" in line or "unknown name" in line for line in said[:18])
    assert said[18:] == ["taken"] * 6
    assert plugins == "['Latest']"
