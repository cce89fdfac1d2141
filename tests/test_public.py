"""The public interface: a name that goes or moves shows here, and in the changelog."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import ddstructs
from ddstructs import laws, tasks

ROOT = Path(__file__).parents[1]

PUBLIC = """
    Action Agreement Bank Choice CoarseAccuracy Contents Controller DeepCell Deque Diagnosis FineAccuracy InputError
    LayerState Memory MemoryLayer MemoryRNN NoMemory OnnxRunner Queue RNNState SequenceModel Stack Start State
    Structure SuperpositionStack Tape Trace TraceCallback check_agreement diagnose harden plot_lengths plot_signals
    plot_trace settings_for to_onnx trace
"""


def test_the_public_names_are_these() -> None:
    assert ddstructs.__all__ == PUBLIC.split()
    assert dir(ddstructs) == sorted(ddstructs.__all__)


def test_every_public_name_is_there() -> None:
    for module in (ddstructs, laws, tasks):
        for name in module.__all__:
            assert getattr(module, name) is not None, name


def test_the_version_is_the_same_wherever_it_is_said() -> None:
    said = [
        re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE),
        re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[:1],
    ]
    assert said == [[ddstructs.__version__]] * 2


def test_every_dependency_has_a_lower_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for each in project["dependencies"]:
        assert ">=" in each, f"{each} has no lower bound, which make test-oldest installs"


def test_every_folder_of_the_package_is_in_a_wheel() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {file.parent.relative_to(ROOT) for file in (ROOT / "ddstructs").rglob("*.py")} | {Path("ddstructs/tasks")}
    assert sorted(packages) == sorted(".".join(folder.parts) for folder in folders)
