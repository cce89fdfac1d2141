"""Training of a network on a task: the loss, the metrics, the curriculum, decoding and the optimizer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from pytorch_lightning.utilities import rank_zero_warn
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from ddstructs.checks import check_flag
from ddstructs.errors import InputError
from ddstructs.memory import Memory
from ddstructs.nn.layer import MemoryLayer
from ddstructs.nn.rnn import MemoryRNN
from ddstructs.tasks.batch import IGNORE, Batch
from ddstructs.tasks.task import Split
from ddstructs.training.decoding import decode_greedily
from ddstructs.training.restarts import start_afresh, updates_since_start
from ddstructs.training.restoring import Restorable
from ddstructs.training.scoring import MemoryActions, Scored, Scoring

__all__ = ["Learner", "MemoryActions", "Outcome"]


class Outcome(NamedTuple):
    """The results of a network for a sequence of symbols.

    Attributes:
        logits: Scores of the output symbols after each step, shape `(batch, time, output_symbols)`.
        actions: The actions of each memory, in the order of the network.
        state: The state after the last step of each row, from which `run` can continue.
    """

    logits: Tensor
    actions: tuple[MemoryActions, ...]
    state: Any


class Learner(Restorable):
    """A network that reads symbols and predicts the next one; subclasses define it.

    Training uses teacher forcing; the loss is the cross entropy of the targets of the task, plus the penalty on
    fractions and the task's `auxiliary_loss`, if any. `predict` decodes greedily where the task feeds answers back. Up
    to the first error, greedy decoding has the same inputs as teacher forcing, so accuracies are exact from one
    teacher-forced pass, which is what validation and test use.

    Attributes:
        input_symbols: Number of input symbols.
        output_symbols: Number of output symbols. The last one is the end symbol; the others, when fed back, are the
            last of the input symbols.
        signal_penalty: Weight of the penalty on fractions in training.
        clip: Maximum norm of the gradient, unless the trainer sets one.
        noise_steps: Number of updates, since the last fresh start, with noise in training; all if None.
        scoring: The loss and the metrics.
    """

    input_symbols: int
    output_symbols: int
    signal_penalty: float
    clip: float
    noise_steps: int | None = None
    scoring: Scoring

    def __init__(self) -> None:
        super().__init__()
        self._first_batch = True

    @abstractmethod
    def run(self, symbols: Tensor, state: Any = None, lengths: Tensor | Sequence[int] | None = None) -> Outcome:
        """Run the network on a sequence.

        Args:
            symbols: Input symbols, shape `(batch, time)`, int64.
            state: The state before the first step; the initial one if not given.
            lengths: Number of steps of each row before the padding, shape `(batch,)`; all steps if not given.
        """

    @property
    def memory_modules(self) -> list[MemoryRNN | MemoryLayer]:
        """The modules that have a memory, in the order of the network."""
        return [module for module in self.modules() if isinstance(module, MemoryRNN | MemoryLayer)]

    @property
    def memories(self) -> list[Memory]:
        """The memories of these modules."""
        return [module.memory for module in self.memory_modules]

    @property
    def hard(self) -> bool:
        """Whether push and pop are rounded to 0 or 1, in every module with a memory; False without one.

        It can be set. What is set is not saved: pass `hard=True` where a checkpoint is loaded.
        """
        each = [module.hard for module in self.memory_modules if module.memory.heads]
        return bool(each) and all(each)

    @hard.setter
    def hard(self, hard: bool) -> None:
        check_flag("hard", hard)
        for module in self.memory_modules:
            module.hard = hard

    @property
    def places(self) -> list[int]:
        """The indices of the layers with a memory, counted from 0 at the input, in the order of `Outcome.actions`."""
        return [0]

    def forward(self, inputs: Tensor) -> Tensor:
        """Score the output symbols of each step.

        Args:
            inputs: Input symbols, shape `(batch, time)`, int64.

        Returns:
            Logits, shape `(batch, time, output_symbols)`.
        """
        return self.run(inputs).logits

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        noisy = self.noise_steps is None or updates_since_start(self) < self.noise_steps
        for module in self.memory_modules:
            module.noisy = noisy

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        loss, scored = self._score("train", batch)
        return {"loss": loss, "cross_entropy": scored.loss.detach(), "output": scored.output}

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        task = self.task
        if task is not None and not task.stages.finished:
            learned = task.mastery(outputs["cross_entropy"], outputs["output"], batch)
            task.stages.observe(float(self.trainer.strategy.reduce(learned, reduce_op="mean")))
            if task.stages.stalled:
                task.stages.restart()
                start_afresh(self, task.stages.restarts, task.fresh_seed())
            self.log("longest_source", task.stages.stage, prog_bar=True)
            self.log("restarts", float(task.stages.restarts))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._score("val", batch)

    def on_validation_epoch_end(self) -> None:
        if self.task is not None:
            metric = self.scoring.metrics("val")[self.task.score.removeprefix("-")]
            value = metric.compute()
            self.log("val_score", -value if self.task.score.startswith("-") else value, sync_dist=True)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._score("test", batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self._warn_of_length(batch)
        if self.task is None or self.task.feeds_back:
            return self.decode(batch)
        return torch.where(batch.targets != IGNORE, self(batch.inputs).argmax(dim=-1), IGNORE)

    @torch.no_grad()
    def decode(self, batch: Batch, limit: int | None = None) -> Tensor:
        """Decode greedily: read the source, then feed each output back as the next input, until the end symbol.

        Args:
            batch: The sequences. Of the targets only the positions are used, for tasks that answer while they read.
            limit: Maximum number of symbols after the separator; twice the length of the source plus four if not
                given.

        Returns:
            Output symbols, including the end symbol, shape `(batch, symbols)`, padded with -100.
        """
        if self.training:  # without the noise on the reads
            self.eval()
            try:
                return self.decode(batch, limit)
            finally:
                self.train()
        return decode_greedily(self, batch, limit)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate)
        if self.decay_steps is None:
            return optimizer
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, self.decay_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        clip = self.clip if gradient_clip_val is None else gradient_clip_val
        self.clip_gradients(optimizer, clip, gradient_clip_algorithm)

    def on_fit_start(self) -> None:
        self._first_batch = True

    on_test_start = on_fit_start

    def on_validation_start(self) -> None:
        self._first_batch = True
        self._check_weights()

    def on_train_epoch_end(self) -> None:
        self._check_weights()

    def _check_weights(self) -> None:
        """Raise an error if training has diverged, before the weights are validated or saved."""
        if not all(bool(weights.isfinite().all()) for weights in self.parameters()):
            raise InputError(
                f"training has diverged: after {self.trainer.global_step} updates some weights are not finite; "
                "choose a lower learning_rate, or a precision of 32 bits"
            )

    def setup(self, stage: str) -> None:
        task = self.task
        if task is None:
            return
        own, its = (self.input_symbols, self.output_symbols), (task.input_symbols, task.output_symbols)
        if own != its:
            raise ValueError(
                f"{type(task).__name__} has {its[0]} input and {its[1]} output symbols, but this model is for "
                f"{own[0]} and {own[1]}"
            )
        self.scoring = Scoring(task, self.memories).to(self.device)

    def _score(self, split: Split, batch: Batch) -> tuple[Tensor, Scored]:
        """Log the metrics of a batch; return the loss, with all that training adds, and the scores."""
        memories = self.memories
        before = [memory.validate for memory in memories]
        for memory, validate in zip(memories, before, strict=True):
            memory.validate = validate or self._first_batch
        try:
            run = self.run(batch.inputs)
        finally:
            for memory, validate in zip(memories, before, strict=True):
                memory.validate = validate
            self._first_batch = False
        scored = self.scoring.update(split, run.logits, batch)
        penalty = self.scoring.penalty(split, run.actions, batch)
        loss = scored.loss if penalty is None else scored.loss + self.signal_penalty * penalty
        second = self.task.auxiliary_loss(run.logits, batch) if self.task is not None and split == "train" else None
        loss = loss if second is None else loss + second
        for name, metric in self.scoring.metrics(split).items():
            self.log(f"{split}_{name}", metric, on_step=False, on_epoch=True, prog_bar=name == "coarse")
        return loss, scored

    def _warn_of_length(self, batch: Batch) -> None:
        """Warn about sequences longer than any in validation, if signals are fractions there, which add up."""
        if self.task is None or self.task.validated_lengths is None:
            return
        longest, seen = int(self.task.lengths(batch).max()), self.task.validated_lengths[1]
        if longest > seen and self._uses_fractions(batch):
            rank_zero_warn(
                f"a sequence of length {longest} is longer than any in validation ({seen}), and small errors of the "
                "signals add up: round them with --model.hard true (hard=True in Python)"
            )

    def _uses_fractions(self, batch: Batch) -> bool:
        """Whether any signal is neither 0 nor 1; saturated signals, unlike a sigmoid, may all be one of them."""
        if self.hard:
            return False
        return self.scoring.undecided(self.run(batch.inputs).actions, batch)
