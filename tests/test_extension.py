"""A structure, a memory with a kernel, a task, a cell and a command each take one file and one line to add."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import ddstructs

LINE = '''"""The steque."""

from typing import final

from ddstructs.line import LineMemory
from ddstructs.ops import End, Head


@final
class Steque(LineMemory):
    """A stack that also takes values at its bottom.

    Args:
        width: Size of one value, 1 or more.
    """

    layout = (Head(push=End.TOP, take=End.TOP), Head(push=End.BOTTOM, take=End.TOP))
'''

MODULE = '''"""A sum that leaks."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ddstructs import ops
from ddstructs.memory import Action, Contents, Memory, State


@dataclass(frozen=True)
class Total(State):
    total: Tensor


@final
class Leak(Memory[Total]):
    """A sum of what was pushed, of which a pop takes its share.

    Args:
        width: Size of one value, 1 or more.
    """

    heads = 1

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.width = width

    def initial_state(self, batch_size, *, device=None, dtype=None) -> Total:
        return Total(torch.zeros(batch_size, 1, self.width, device=device, dtype=dtype))

    def step(self, action: Action, state: Total) -> tuple[Tensor, Total]:
        self.check(action)
        total = (1 - action.pop)[..., None] * state.total + action.push[..., None] * action.value
        return total, Total(total)

    def forward(self, actions: Action, state: Total | None = None, reset: Tensor | None = None):
        if reset is not None or not ops.kernel_fits(actions.value):
            return super().forward(actions, state, reset)
        from ddstructs.ops import leak

        self.check(actions, time=True)
        value = actions.value
        state = state or self.initial_state(len(value), device=value.device, dtype=value.dtype)
        reads, total = leak.scan(*actions, state.total)
        return reads, Total(total)

    def contents(self, state: Total) -> Contents:
        return Contents(state.total, torch.ones_like(state.total[..., 0]))
'''

KERNEL = '''"""A whole sequence of `Leak`, without a check in each step."""

import torch


def scan(push, pop, value, total):
    kept, pushed, reads = 1 - pop[..., None], push[..., None] * value, []
    for t in range(push.shape[1]):
        total = kept[:, t] * total + pushed[:, t]
        reads.append(total)
    return (torch.stack(reads, dim=1) if reads else value), total
'''

TASK = '''"""Rotating: the first symbol goes to the end."""

from typing import final

from ddstructs.tasks.rearrangement import Rearrangement


@final
class Rotating(Rearrangement):
    """Say the first symbol last: `a b c d` becomes `b c d a`."""

    def origin(self, position, length):
        return (position + 1) % length
'''

CELL = '''"""A cell."""

from torch import nn


class Mean(nn.Module):
    """The mean of the state before and of what a plain cell makes of it."""

    def __init__(self, input_size: int, hidden_size: int, device=None, dtype=None) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.cell = nn.RNNCell(input_size, hidden_size, device=device, dtype=dtype)

    def forward(self, x, hidden):
        return (self.cell(x, hidden) + hidden) / 2
'''

COMMAND = '''"""The command `ddstructs hello`."""


def hello(name: str, times: int = 1) -> None:
    """Greet.

    Args:
        name: Whom.
        times: How often.
    """
    print("\\n".join([f"hello {name}"] * times))
'''


class Extension(NamedTuple):
    """The files and lines of a contributor.

    Attributes:
        files: The files, by their place in the package.
        table: The table of `ddstructs/registry/catalog.py` that gets a line.
        line: The line.
    """

    files: dict[str, str]
    table: str
    line: str


EXTENSIONS = {
    "structure": Extension({"steque.py": LINE}, "MEMORIES", '"Steque": "ddstructs.steque:Steque",'),
    "kernel": Extension({"leak.py": MODULE, "ops/leak.py": KERNEL}, "MEMORIES", '"Leak": "ddstructs.leak:Leak",'),
    "task": Extension({"tasks/rotating.py": TASK}, "TASKS", '"Rotating": "ddstructs.tasks.rotating:Rotating",'),
    "cell": Extension({"nn/mean.py": CELL}, "CELLS", '"mean": "ddstructs.nn.mean:Mean",'),
    "command": Extension({"cli/hello.py": COMMAND}, "COMMANDS", '"hello": "ddstructs.cli.hello:hello",'),
}


class Scratch:
    """A copy of the package and of its compiled kernels, with an extension.

    Args:
        folder: Where it is made.
        extension: What is added.
    """

    def __init__(self, folder: Path, extension: Extension) -> None:
        self.folder = folder
        package = folder / "ddstructs"
        shutil.copytree(Path(ddstructs.__file__).parent, package, ignore=shutil.ignore_patterns("*.pyc*", "*.tmp*"))
        for place, text in extension.files.items():
            assert not (package / place).exists()
            (package / place).write_text(text)
        catalog = package / "registry" / "catalog.py"
        text, head = catalog.read_text(), f"{extension.table} = {{\n"
        assert text.count(head) == 1
        catalog.write_text(text.replace(head, f"{head}    {extension.line}\n"))

    def python(self, *arguments: str) -> str:
        """Run Python there, and return its output; it must succeed."""
        environment = os.environ | {"PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fit(self, *options: str) -> None:
        """Train for one step."""
        small = ["--trainer.max_steps", "1", "--data.eval_size", "4", "--data.train_lengths", "[1, 4]"]
        short = ["--data.test_lengths", "[5, 6]", "--trainer.limit_val_batches", "1"]
        shown = self.python("-m", "ddstructs", "fit", *options, *small, *short)
        assert "ddstructs test --ckpt_path " in shown


@pytest.fixture
def scratch(request: pytest.FixtureRequest, tmp_path: Path) -> Scratch:
    return Scratch(tmp_path, EXTENSIONS[request.param])


@pytest.mark.parametrize("scratch", ["structure"], indirect=True)
def test_one_file_and_one_line_add_a_structure_on_a_line(scratch: Scratch) -> None:
    assert "Steque" in scratch.python("-m", "ddstructs", "list")
    scratch.python("-c", "from ddstructs import laws, steque; [law(steque.Steque(2)) for law in laws.LAWS]")
    scratch.fit("--data", "Reversal", "--model.memory", "Steque", "--model.memory.width", "8")


@pytest.mark.parametrize("scratch", ["kernel"], indirect=True)
def test_a_module_a_kernel_and_one_line_add_a_memory(scratch: Scratch) -> None:
    assert "Leak" in scratch.python("-m", "ddstructs", "list")
    scratch.python(
        "-c",
        "import sys, torch\n"
        "from ddstructs import Action, laws, leak, ops\n"
        "laws.forward_is_step_in_a_loop(leak.Leak(2))\n"
        "laws.a_cut_changes_nothing(leak.Leak(2))\n"
        "actions = Action(torch.rand(2, 5, 1), torch.rand(2, 5, 1), torch.rand(2, 5, 1, 4))\n"
        "with ops.using('reference'):\n"
        "    expected, _ = leak.Leak(4)(actions)\n"
        "torch.testing.assert_close(leak.Leak(4)(actions)[0], expected)\n"
        "assert 'ddstructs.ops.leak' in sys.modules\n",
    )
    scratch.fit("--data", "Reversal", "--model.memory", "Leak")


@pytest.mark.parametrize("scratch", ["task"], indirect=True)
def test_one_file_and_one_line_add_a_task(scratch: Scratch) -> None:
    assert "Rotating  " in scratch.python("-m", "ddstructs", "list")
    scratch.fit("--data", "Rotating", "--model.memory", "Queue")


@pytest.mark.parametrize("scratch", ["cell"], indirect=True)
def test_one_file_and_one_line_add_a_cell(scratch: Scratch) -> None:
    assert "mean  " in scratch.python("-m", "ddstructs", "list")
    scratch.fit("--data", "Reversal", "--model.memory", "Stack", "--model.cell", "mean")


@pytest.mark.parametrize("scratch", ["command"], indirect=True)
def test_one_file_and_one_line_add_a_command(scratch: Scratch) -> None:
    assert "hello      Greet." in scratch.python("-m", "ddstructs", "--help")
    assert "a whole number [1]" in scratch.python("-m", "ddstructs", "hello", "--help")
    assert scratch.python("-m", "ddstructs", "hello", "--name", "you", "--times", "2") == "hello you\nhello you\n"
