"""Checks of what this machine can run, made without importing torch."""

from __future__ import annotations

import ast
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from ddstructs.errors import InputError

__all__ = ["check_accelerator", "check_processes", "runs_on_cpu"]

DEVICES = ("nvidia*", "nvhost*", "nvmap", "nvgpu*", "dxg", "kfd")
"""Device files in /dev of GPUs that torch supports on Linux: NVIDIA, NVIDIA Tegra, WSL and AMD."""


def check_processes(option: str, count: int) -> None:
    """Refuse to start more processes than the machine has cores; two are always allowed, for trying it out.

    Raises:
        InputError: If there are more.
    """
    cores = os.cpu_count() or 1
    if count > max(2, cores):
        raise InputError(f"{option} is {count}, with one process for each, but this machine has {cores} cores")


def check_accelerator(
    name: object,
    option: str = "--trainer.accelerator",
    instead: str = "use cpu, or auto for the best available",
) -> None:
    """Refuse an accelerator that this machine certainly does not have; Lightning decides about the others.

    Args:
        name: The value of the option.
        option: The name of the option, for the message.
        instead: What to do instead.

    Raises:
        InputError: If this machine does not have it.
    """
    reason = None
    if name == "tpu" and find_spec("torch_xla") is None:
        reason = "torch_xla is not installed"
    elif name == "mps" and sys.platform != "darwin":
        reason = "MPS is part of macOS"
    elif name == "cuda" or (name == "gpu" and sys.platform != "darwin"):
        reason = _without_gpu()
    if reason is not None:
        raise InputError(f"{option} is {name}, but {reason}: {instead}")


def runs_on_cpu(accelerator: object) -> bool:
    """Whether a run certainly uses the CPU, for a value of `--trainer.accelerator`."""
    return accelerator == "cpu" or (accelerator in (None, "auto") and _without_gpu() is not None)


def _without_gpu() -> str | None:
    """Why torch cannot use a GPU on this machine; None if it may be able to."""
    if sys.platform == "linux" and not any(any(Path("/dev").glob(pattern)) for pattern in DEVICES):
        return "this machine has no GPU"
    found = find_spec("torch")
    file = Path(found.origin).with_name("version.py") if found is not None and found.origin else None
    if file is None or not file.is_file():
        return None
    backends = {
        node.target.id: node.value.value
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    if {"cuda", "hip"} <= backends.keys() and backends["cuda"] is backends["hip"] is None:
        return "torch is installed without GPU support"
    return None
