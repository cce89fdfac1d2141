"""Which steps of a padded batch are real."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

__all__ = ["check_packed", "checked", "mask_of", "real_steps"]


def checked(lengths: Tensor | Sequence[int], batch: int, time: int) -> Tensor:
    """Check lengths and convert them to a tensor, shape `(batch,)`.

    Args:
        lengths: Number of steps in each row, each in 0..time.
        batch: Number of rows.
        time: Number of steps.

    Raises:
        ValueError: If the shape is wrong, or a length on the CPU is outside 0..time.
        TypeError: If the lengths are not integers.
    """
    try:
        lengths = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"lengths is {lengths!r}, but the number of steps of each row was expected") from error
    if lengths.shape != (batch,):
        raise ValueError(f"lengths has shape {tuple(lengths.shape)}, but one for each of {batch} rows was expected")
    if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
        raise TypeError(f"lengths are {lengths.dtype}, but they count steps: int64 was expected")
    if lengths.device.type == "cpu" and not torch.compiler.is_compiling():
        wrong = lengths[(lengths < 0) | (lengths > time)]
        if len(wrong):
            raise ValueError(f"lengths has {wrong[0].item()}, but x has {time} steps: 0..{time} was expected")
    return lengths


def mask_of(lengths: Tensor, time: int, device: torch.device) -> Tensor:
    """A mask of the steps within the length of each row, shape `(batch, time)`, bool."""
    return torch.arange(time, device=device) < lengths.to(device)[:, None]


def real_steps(
    x: Tensor, lengths: Tensor | Sequence[int] | None = None, padding_mask: Tensor | None = None
) -> Tensor | None:
    """A mask of the steps that are not padding, shape `(batch, time)`, bool; None if there is no padding.

    Args:
        x: The batch, shape `(batch, time, ...)`.
        lengths: Number of real steps in each row, from its start, shape `(batch,)`.
        padding_mask: Which steps are padding, shape `(batch, time)`, bool.

    Raises:
        ValueError: If a shape is wrong, a length is outside 0..time, or both are given.
        TypeError: If a dtype is wrong.

    Example:
        >>> import torch
        >>> from ddstructs.nn.padding import real_steps
        >>> real_steps(torch.zeros(2, 3, 8), lengths=[3, 1])
        tensor([[ True,  True,  True],
                [ True, False, False]])
    """
    if lengths is not None:
        if padding_mask is not None:
            raise ValueError("lengths and padding_mask both mark padding: pass only one of them")
        return mask_of(checked(lengths, x.shape[0], x.shape[1]), x.shape[1], x.device)
    if padding_mask is None:
        return None
    if not isinstance(padding_mask, Tensor) or padding_mask.dtype != torch.bool:
        actual = padding_mask.dtype if isinstance(padding_mask, Tensor) else type(padding_mask).__name__
        raise TypeError(f"padding_mask is {actual}, but a tensor of bool was expected, True where a step is padding")
    if padding_mask.shape != x.shape[:2]:
        raise ValueError(
            f"padding_mask has shape {tuple(padding_mask.shape)}, but (batch, time) is {tuple(x.shape[:2])}"
        )
    return padding_mask.logical_not().to(x.device)


def check_packed(packed: PackedSequence, size: int) -> None:
    """Check that the parts of a packed sequence fit one another.

    Args:
        packed: The sequence; one that `pack_sequence` made can only have vectors of another size.
        size: The expected size of its vectors.

    Raises:
        ValueError: If they do not.
    """
    data, sizes, *orders = packed
    if data.dim() != 2 or data.shape[1] != size:
        raise ValueError(
            f"the data of the PackedSequence has shape {tuple(data.shape)}, but {size} features for each step were "
            "expected"
        )
    counts = sizes.tolist()
    if counts != sorted(counts, reverse=True) or not counts or counts[-1] < 1 or sum(counts) != len(data):
        raise ValueError(
            f"the batch_sizes of the PackedSequence do not fit its {len(data)} steps: build it with pack_sequence"
        )
    if any(order is not None and sorted(order.tolist()) != list(range(counts[0])) for order in orders):
        raise ValueError(
            f"the indices of the PackedSequence are not those of its {counts[0]} rows: build it with pack_sequence"
        )
