"""The weights of older versions under their current names."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["rename", "renamed"]


def renamed(name: str, prefix: str = "") -> str:
    """The current name of a weight of a `MemoryRNN`: version 0.1 called `to_action` `act`.

    Args:
        name: The name of a weight, of this network or another.
        prefix: The prefix of this network's weights.

    Example:
        >>> from ddstructs.nn.names import renamed
        >>> renamed("rnn.act.weight", "rnn.")
        'rnn.to_action.weight'
    """
    return f"{prefix}to_action.{name.removeprefix(f'{prefix}act.')}" if name.startswith(f"{prefix}act.") else name


def rename(rnn: nn.Module, weights: dict[str, Any], prefix: str, *_: Any) -> None:
    """Rename the weights of an older version while they are loaded."""
    for name in list(weights):
        weights[renamed(name, prefix)] = weights.pop(name)
