"""The memory that a run needs at least, compared with that of this machine before torch is imported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ddstructs.cli.machine import runs_on_cpu
from ddstructs.cli.settings import Settings
from ddstructs.errors import InputError

__all__ = ["check_memory", "machine_memory"]

CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files with the memory limit of a container."""

SYMBOL, NUMBER = 8, 4
"""Bytes of a symbol, which is an int64, and of a number in a network, a float32."""

EVALUATED = {"fit": "val_lengths", "validate": "val_lengths", "test": "test_lengths"}
"""The lengths of the set that a command generates; those of training if the validation lengths are not given."""


class Need(NamedTuple):
    """A part of a run that must fit into memory.

    Attributes:
        bytes: A lower bound of its size.
        options: The options that determine it, with their values.
    """

    bytes: int
    options: str


def check_memory(settings: Settings, command: str) -> None:
    """Refuse settings with which a run certainly needs more memory than this machine has.

    The sizes are lower bounds, so that nothing is refused that could run.

    Args:
        settings: The settings, which are complete.
        command: `fit`, `validate`, `test` or `predict`.

    Raises:
        InputError: If the network, a batch or an evaluation set is too large.
    """
    available = machine_memory()
    if available is None:
        return
    for need in _needs(settings, command):
        if need.bytes > available:
            raise InputError(
                f"{need.options} needs at least {_readable(need.bytes)} of memory, but this machine has "
                f"{_readable(available)}: use a smaller number"
            )


def machine_memory() -> int | None:
    """The memory of this machine, or of its container, in bytes; None if the system does not tell."""
    try:
        sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
    for file in CGROUPS:
        try:
            sizes.append(int(Path(file).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such limit
            continue
    return min(sizes)


def _needs(settings: Settings, command: str) -> Iterator[Need]:
    plain = settings.plain()
    data, model = plain["data"]["init_args"], plain["model"]
    model = model.get("init_args", model)
    sizes = {f"model.{name}": _int(model.get(name)) for name in ("hidden_size", "embedding_size", "embed_dim")}
    sizes["model.memory.width"] = _int(model["memory"].get("init_args", {}).get("width"))
    copies = 4 if command == "fit" else 1  # the weights, their gradients, and the two moments of Adam
    largest = max(sizes, key=lambda name: sizes[name])
    weights = sizes["model.hidden_size"] * sum(sizes.values())  # of a controller's cell
    yield Need(copies * NUMBER * weights, f"--{largest} {sizes[largest]}")

    on_cpu = runs_on_cpu(plain["trainer"].get("accelerator"))
    step = 2 * SYMBOL + (NUMBER * sum(sizes.values()) if on_cpu else 0)

    def rows(option: str, lengths: str, size: int, most: int | None = None) -> Need:
        count, longest = _int(data.get(option)), _last(data.get(lengths))
        together = count if most is None else min(count, most)
        return Need(together * longest * size, f"--data.{option} {count} with --data.{lengths} up to {longest}")

    if command == "fit":
        yield rows("batch_size", "train_lengths", step)
    evaluated = EVALUATED.get(command)
    if evaluated is not None:
        evaluated = evaluated if data.get(evaluated) else "train_lengths"
        yield rows("eval_size", evaluated, SYMBOL)
        yield rows("eval_batch_size", evaluated, step, _int(data.get("eval_size")))


def _int(value: Any) -> int:
    """A number of the settings; 0 if the setting is missing, or has no number."""
    return value if isinstance(value, int) else 0


def _last(lengths: Any) -> int:
    return _int(lengths[-1]) if isinstance(lengths, list | tuple) and lengths else 0


def _readable(size: int) -> str:
    """A number of bytes with a unit: 25.3 GB."""
    number = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"
