"""Accuracies of sequences: the paper's coarse and fine accuracy, and the accuracy per symbol."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor
from torchmetrics import Metric

__all__ = ["CoarseAccuracy", "FineAccuracy", "SequenceAccuracy", "SymbolAccuracy"]

PADDING = -100


def correct_prefix(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each row, the number of symbols before the first error, and the lengths of output and target."""
    for name, symbols in (("output", output), ("target", target)):
        if not isinstance(symbols, Tensor) or symbols.is_floating_point() or symbols.is_complex():
            found = symbols.dtype if isinstance(symbols, Tensor) else f"a {type(symbols).__name__}"
            raise TypeError(f"{name} is {found}, but a tensor of symbols was expected: int64, padded with {PADDING}")
    if output.dim() != 2 or target.dim() != 2 or len(output) != len(target):
        raise ValueError(
            f"output and target have shapes {tuple(output.shape)} and {tuple(target.shape)}, "
            "but (batch, time) was expected, with one batch"
        )
    output, output_lengths = _left_align(output)
    target, target_lengths = _left_align(target)
    shared = min(output.shape[1], target.shape[1])
    right = (output[:, :shared] == target[:, :shared]) & (target[:, :shared] != PADDING)
    return right.cumprod(dim=1).sum(dim=1), output_lengths, target_lengths


def _left_align(symbols: Tensor) -> tuple[Tensor, Tensor]:
    """Move all padding to the end of its row, and count the symbols."""
    real = symbols != PADDING
    order = real.logical_not().sort(dim=1, stable=True).indices
    return symbols.gather(1, order), real.sum(dim=1)


class SequenceAccuracy(Metric):
    """Base of metrics that are a mean over sequences; 0 if there were none.

    Args:
        aligned: Whether output and target are aligned step by step, as with teacher forcing; then output counts only
            where the target has a symbol. If False they are independent sequences, and all output symbols count. If
            not given, they are also taken to be independent, but an ambiguous batch raises an error: one in which the
            shapes are equal and the target has padding while the output has none.
        kwargs: Settings of every torchmetrics metric.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, aligned: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.aligned = aligned
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def compute(self) -> Tensor:
        return self.total / self.count.clamp(min=1)

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        """The score of each row, shape `(batch,)`, in [0, 1]."""
        raise NotImplementedError

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch.

        Args:
            output: Output symbols, shape `(batch, time)`, int64; -100 is padding and may be anywhere.
            target: Expected symbols, including the end symbol, in the same form; the number of steps may differ.

        Raises:
            ValueError: If the shapes do not fit, or if it is ambiguous whether the two are aligned.
            TypeError: If they are not integer tensors.
        """
        output = self._masked(output, target)
        score = self.score(output, target)
        self.total += score.sum()
        self.count += len(score)

    def _masked(self, output: Tensor, target: Tensor) -> Tensor:
        """Mask aligned output where the target has no symbol."""
        if self.aligned is False or not (isinstance(output, Tensor) and isinstance(target, Tensor)):
            return output
        if self.aligned is None:
            if output.shape == target.shape and (output != PADDING).all() and (target == PADDING).any():
                raise ValueError(
                    f"target has padding ({PADDING}), but output has a symbol in every step: pass aligned=True if it "
                    "counts only where target has a symbol (teacher forcing), or aligned=False if all of it counts"
                )
            return output
        if output.shape != target.shape:
            raise ValueError(
                f"output and target have shapes {tuple(output.shape)} and {tuple(target.shape)}, "
                "but equal shapes were expected with aligned=True"
            )
        return torch.where(target == PADDING, PADDING, output)


@final
class CoarseAccuracy(SequenceAccuracy):
    """The share of sequences without an error: no wrong, missing or extra symbol.

    Args:
        aligned: Whether output and target are aligned step by step, see `SequenceAccuracy`.
        kwargs: Settings of every torchmetrics metric.

    Reference:
        Grefenstette, Hermann, Suleyman & Blunsom 2015, *Learning to Transduce with Unbounded Memory*, section 4.3.

    Example:
        >>> import torch
        >>> from ddstructs.training.metrics import CoarseAccuracy
        >>> coarse = CoarseAccuracy()
        >>> coarse(torch.tensor([[1, 2, 3], [1, 9, 3]]), torch.tensor([[1, 2, 3], [1, 2, 3]]))
        tensor(0.5000)
        >>> forced = CoarseAccuracy(aligned=True)  # for logits.argmax(-1) of teacher forcing
        >>> forced(torch.tensor([[7, 7, 1, 2]]), torch.tensor([[-100, -100, 1, 2]]))
        tensor(1.)
    """

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        prefix, output_lengths, target_lengths = correct_prefix(output, target)
        return ((prefix == target_lengths) & (output_lengths == target_lengths)).float()


@final
class FineAccuracy(SequenceAccuracy):
    """The share of each target before the first error, averaged over the sequences.

    Args:
        aligned: Whether output and target are aligned step by step, see `SequenceAccuracy`.
        kwargs: Settings of every torchmetrics metric.

    Reference:
        Grefenstette, Hermann, Suleyman & Blunsom 2015, *Learning to Transduce with Unbounded Memory*, section 4.3.

    Example:
        >>> import torch
        >>> from ddstructs.training.metrics import FineAccuracy
        >>> fine = FineAccuracy()
        >>> fine(torch.tensor([[1, 2, 3, 4], [1, 9, 3, 4]]), torch.tensor([[1, 2, 3, 4], [1, 2, 3, 4]]))
        tensor(0.6250)
    """

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        prefix, output_lengths, target_lengths = correct_prefix(output, target)
        empty = target_lengths == 0
        return torch.where(empty, output_lengths == 0, prefix / target_lengths.clamp(min=1)).float()


@final
class SymbolAccuracy(SequenceAccuracy):
    """The share of correct symbols of each target, averaged over the sequences; 1 for an empty target.

    For answers that are not fed back, so that errors do not propagate.

    Args:
        kwargs: Settings of every torchmetrics metric.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, section 4.

    Example:
        >>> import torch
        >>> from ddstructs.training.metrics import SymbolAccuracy
        >>> symbols = SymbolAccuracy()
        >>> symbols(torch.tensor([[1, 2, 3, 4], [1, 9, 3, 4]]), torch.tensor([[1, 2, 3, 4], [1, 2, 3, 4]]))
        tensor(0.8750)
    """

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        asked = target != PADDING
        right = ((output == target) & asked).sum(dim=1)
        return torch.where(asked.any(dim=1), right / asked.sum(dim=1).clamp(min=1), 1.0).float()
