"""The LightningModule that learns to transduce with any memory, any cell and any task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self, cast

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics import MeanMetric, Metric

from ddstructs.actions import mapped
from ddstructs.errors import InputError
from ddstructs.memory import Memory
from ddstructs.nn.rnn import MemoryRNN
from ddstructs.registry.spec import build, describe
from ddstructs.tasks.batch import IGNORE, SEPARATOR, Batch
from ddstructs.tasks.task import Task
from ddstructs.training.checkpoint import RANDOM, TASK, random_state, read, set_random_state, task_name
from ddstructs.training.metrics import CoarseAccuracy, FineAccuracy
from ddstructs.training.resume import check_resumable, reopen_epoch, set_rate
from ddstructs.training.weights import check_fit, check_same, rehearse, restore

__all__ = ["Controller"]


class Controller(LightningModule):
    """A transducer: symbols are embedded, a `MemoryRNN` runs over them, and a linear layer names the next symbol.

    Trained with teacher forcing; the loss is the cross entropy of the target symbols and the end symbol. `predict`
    decodes greedily, feeding the controller its own output. Up to the first error greedy decoding sees the very
    symbols of the target, so both accuracies are exact from one teacher-forced pass, and validation and test use that.

    Logged for train, val and test: `loss`, `coarse` and `fine` accuracy (see `ddstructs.training.metrics`), and
    `push_distance` and `pop_distance`, the mean distance of push and pop from {0, 1}.

    Args:
        memory: The memory.
        input_symbols: Number of input symbols, `task.input_symbols`.
        output_symbols: Number of output symbols, `task.output_symbols`. The last is the end; the others, when fed back,
            are the last of the input symbols.
        cell: Cell of the recurrent network, by name, or any module that `MemoryRNN` takes, or what `describe` says of
            one.
        hidden_size: Size of the hidden state.
        embedding_size: Size of an embedded symbol.
        push_bias: Bias of push at the start; one number, or one a head, or those that the memory names in `starts`:
            the first, and after each fresh start the next.
        pop_bias: Bias of pop at the start; the same.
        value_skip: Whether the input also feeds the value.
        read_skip: Whether the read also feeds the output.
        read_gate: Whether the cell says how much of the read feeds the output.
        read_noise: Standard deviation of the noise on every read in training, see `MemoryRNN`.
        state_noise: That of the noise on what the cell carries beside its output, see `MemoryRNN`. With an LSTM and a
            memory that does all of the work 1 is good; what the cell itself must hold is harder to hold with it.
        signal_penalty: Weight in training, beside the cross entropy, of the mean of 4 s (1 - s) over all pushes and
            pops s: 0 for a signal of 0 or 1, and 1 for a half. It settles what the task leaves open, such as whether
            the start symbol is pushed, so that a network does not come to rely on fractions there.
        output_layer: Whether the cell's output goes through a layer of its own, as in the paper.
        learn_initial: Whether the first hidden state is a parameter.
        hard: Whether push and pop are rounded to 0 or 1.
        learning_rate: Rate of Adam.
        decay_steps: Updates over which the rate falls in a line to a twentieth, and stays there; it does not fall if
            not given.
        clip: Largest norm of the gradient, if the trainer does not say.

    Example:
        >>> from ddstructs import Controller, Stack
        >>> from ddstructs.tasks import Reversal
        >>> task = Reversal()
        >>> model = Controller(Stack(64), task.input_symbols, task.output_symbols)
        >>> model.rnn.memory
        Stack(64)
    """

    def __init__(
        self,
        memory: Memory,
        input_symbols: int,
        output_symbols: int,
        cell: Literal["rnn", "lstm", "gru"] | nn.Module | dict[str, Any] = "rnn",
        hidden_size: int = 64,
        embedding_size: int = 64,
        push_bias: float | Sequence[float] | None = None,
        pop_bias: float | Sequence[float] | None = None,
        value_skip: bool = True,
        read_skip: bool = True,
        read_gate: bool = False,
        read_noise: float = 1.0,
        state_noise: float = 0.0,
        signal_penalty: float = 0.2,
        output_layer: bool = False,
        learn_initial: bool = True,
        hard: bool = False,
        learning_rate: float = 5e-3,
        decay_steps: int | None = None,
        clip: float = 1.0,
    ) -> None:
        super().__init__()
        for name, size in (
            ("hidden_size", hidden_size),
            ("embedding_size", embedding_size),
            ("decay_steps", decay_steps),
        ):
            if size is not None and size < 1:
                raise ValueError(f"{name} is {size}, but it must be 1 or more")
        for name, amount in (("learning_rate", learning_rate), ("clip", clip)):
            if not amount > 0:
                raise ValueError(f"{name} is {amount}, but it must be more than 0")
        if not signal_penalty >= 0:
            raise ValueError(f"signal_penalty is {signal_penalty}, but it must be 0 or more")
        if isinstance(cell, dict):
            cell = cast("nn.Module", build(cell))
        settings: dict[str, Any] = {
            "memory": describe(memory),
            "input_symbols": input_symbols,
            "output_symbols": output_symbols,
            "cell": cell if isinstance(cell, str) else describe(cell),
            "hidden_size": hidden_size,
            "embedding_size": embedding_size,
            "push_bias": list(push_bias) if isinstance(push_bias, Sequence) else push_bias,
            "pop_bias": list(pop_bias) if isinstance(pop_bias, Sequence) else pop_bias,
            "value_skip": value_skip,
            "read_skip": read_skip,
            "read_gate": read_gate,
            "read_noise": read_noise,
            "state_noise": state_noise,
            "signal_penalty": signal_penalty,
            "output_layer": output_layer,
            "learn_initial": learn_initial,
            "hard": hard,
            "learning_rate": learning_rate,
            "decay_steps": decay_steps,
            "clip": clip,
        }
        self.save_hyperparameters(settings)
        self.input_symbols = input_symbols
        self.output_symbols = output_symbols
        self.signal_penalty = signal_penalty
        self.learning_rate = learning_rate
        self.decay_steps = decay_steps
        self.clip = clip
        self.embed = nn.Embedding(input_symbols, embedding_size)
        self.rnn = MemoryRNN(
            embedding_size,
            hidden_size,
            memory,
            cell,
            batch_first=True,
            push_bias=push_bias,
            pop_bias=pop_bias,
            value_skip=value_skip,
            read_skip=read_skip,
            read_gate=read_gate,
            read_noise=read_noise,
            state_noise=state_noise,
            output_layer=output_layer,
            learn_initial=learn_initial,
            hard=hard,
        )
        self.classify = nn.Linear(hidden_size, output_symbols)
        self.scores = nn.ModuleDict({f"{split}_": self._new_scores() for split in ("train", "val", "test")})
        self._first_batch = True
        self._random: dict[str, Any] | None = None
        self._resumed: dict[str, Any] | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """Scores of the symbol that comes after each step.

        Args:
            inputs: Input symbols, shape `(batch, time)`, int64.

        Returns:
            Logits, shape `(batch, time, output_symbols)`.
        """
        logits: Tensor = self.classify(self.rnn.unroll(self.embed(inputs)).output)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        loss, output = self._score("train", batch)
        right = (output == batch.targets)[batch.targets != IGNORE].float().mean()
        return {"loss": loss, "accuracy": right}

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        task = self._task()
        if task is not None and not task.stages.finished:
            task.stages.observe(float(self.trainer.strategy.reduce(outputs["accuracy"], reduce_op="mean")))
            if task.stages.stalled:
                task.stages.restart()
                self._start_afresh(task.stages.restarts, task.fresh_seed())
            self.log("longest_source", task.stages.stage, prog_bar=True)
            self.log("restarts", float(task.stages.restarts))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._score("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._score("test", batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.decode(batch)

    @torch.no_grad()
    def decode(self, batch: Batch, limit: int | None = None) -> Tensor:
        """Decode greedily: read the source, then answer, each answer being the next input, until the end symbol.

        Args:
            batch: Sequences; of the targets only their places are used, for a task that answers while it reads.
            limit: Most symbols after the separator; twice as many as its source has, and four more, if not given.

        Returns:
            Output symbols, the end symbol included, shape `(batch, symbols)`; -100 is padding.
        """
        if self.training:  # the noise on the reads is not for this
            self.eval()
            try:
                return self.decode(batch, limit)
            finally:
                self.train()
        inputs, targets, _ = batch
        prompt = (inputs == SEPARATOR).int().argmax(dim=1) + 1
        longest = int(prompt.max())
        run = self.rnn.unroll(self.embed(inputs[:, :longest]), lengths=prompt)
        answers = self.classify(run.output).argmax(dim=-1)
        reading = torch.arange(longest, device=inputs.device) < prompt[:, None] - 1
        early = torch.where(reading & (targets[:, :longest] != IGNORE), answers, IGNORE)
        symbol, state = answers.gather(1, prompt[:, None] - 1), run.state
        end, first = self.output_symbols - 1, self.input_symbols - (self.output_symbols - 1)
        limits = 2 * prompt[:, None] if limit is None else torch.full_like(symbol, limit)
        decoded, going = [symbol], (symbol != end) & (limits > 1)
        while going.any():
            fed = torch.where(going, symbol + first, 0)
            output, _, _, state = self.rnn.unroll(self.embed(fed), state)
            symbol = torch.where(going, self.classify(output).argmax(dim=-1), IGNORE)
            decoded.append(symbol)
            going = going & (symbol != end) & (limits > len(decoded))
        return torch.cat([early, *decoded], dim=1)

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

    on_validation_start = on_test_start = on_fit_start

    def on_train_start(self) -> None:
        self.train()  # which Lightning leaves as it is, and a controller that was loaded is in evaluation mode
        if self._random is not None:
            set_random_state(self._random)
            self._random = None
        schedule = {"learning_rate": self.learning_rate, "decay_steps": self.decay_steps}
        if self._resumed is not None and self._resumed != self._resumed | schedule:
            set_rate(self.trainer, self.learning_rate, self.decay_steps)
        self._resumed = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[RANDOM] = random_state()
        task = self._task()
        if task is not None:
            checkpoint[TASK] = describe(task)

    def setup(self, stage: str) -> None:
        task = self._task()
        if task is not None:
            own, its = (self.input_symbols, self.output_symbols), (task.input_symbols, task.output_symbols)
            if own != its:
                raise ValueError(
                    f"{type(task).__name__} has {its[0]} input and {its[1]} output symbols, but this controller is for "
                    f"{own[0]} and {own[1]}"
                )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        path = "the checkpoint"
        check_same(self.hparams, checkpoint["hyper_parameters"], path)
        check_fit(self, checkpoint["state_dict"], path)
        fitting = self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING
        if fitting:
            check_resumable(self, checkpoint, path)
            reopen_epoch(checkpoint["loops"])
        # Where Lightning saved checkpoints before, and what it may delete: no path is ever taken from a file.
        callbacks = checkpoint.get("callbacks", {}).items()
        checkpoint["callbacks"] = {name: state for name, state in callbacks if not name.startswith("ModelCheckpoint")}
        self._random = checkpoint.get(RANDOM) if fitting else None
        self._resumed = checkpoint["hyper_parameters"] if fitting else None
        task = self._task()
        if task is not None and TASK in checkpoint and task_name(checkpoint) != type(task).__name__:
            raise InputError(
                f"the checkpoint is of the task {task_name(checkpoint)}, but the data is {type(task).__name__}"
            )

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # Lightning's is not a plain class method
        cls, checkpoint_path: str | Path, map_location: torch.device | str | None = None, **settings: Any
    ) -> Controller:
        """Build the controller that a checkpoint describes, with its weights, in evaluation mode.

        Nothing in the file is executed, and only classes of ddstructs, torch.nn and registered plugins are built.

        Args:
            checkpoint_path: The file.
            map_location: Where the weights go; the CPU if not given.
            settings: Arguments of the constructor that replace those of the checkpoint, such as `hard=True`.

        Raises:
            InputError: If the file is missing, damaged, not a checkpoint of a controller, or names another class.
        """
        checkpoint = read(checkpoint_path, replaced=settings, task=False)
        model = restore(lambda: cls._described(checkpoint, checkpoint_path, settings), checkpoint, checkpoint_path)
        check_same(model.hparams, checkpoint["hyper_parameters"], checkpoint_path)
        return model.to(map_location or "cpu").eval()

    @classmethod
    def rehearse(cls, checkpoint: dict[str, Any], path: str | Path) -> None:
        """Refuse a checkpoint whose weights are not those of the controller it describes, before that is built.

        Args:
            checkpoint: What `read` returned.
            path: The file, for the error.

        Raises:
            InputError: If they are not, or if the settings in it build no controller.
        """
        rehearse(lambda: cls._described(checkpoint, path, {}), checkpoint, path)

    @classmethod
    def _described(cls, checkpoint: dict[str, Any], path: str | Path, settings: dict[str, Any]) -> Self:
        try:
            return cls(**{name: build(value) for name, value in (checkpoint["hyper_parameters"] | settings).items()})
        except InputError:
            raise
        except Exception as error:  # the settings may be anything, and torch fails in as many ways
            reason = " ".join(str(error).split())
            raise InputError(f"the settings in {path} do not build a {cls.__name__}: {reason[:200]}") from error

    def _start_afresh(self, restarts: int, seed: int) -> None:
        """Draw new weights, and forget what the optimizer gathered about the old ones."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for module in reversed(list(self.modules())):  # a module after its parts, to have the last word
                if callable(reset := getattr(module, "reset_parameters", None)):
                    reset()
            self.rnn.reset_parameters(restarts)
        for optimizer in self.trainer.optimizers:
            optimizer.state.clear()
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate
        for config in self.trainer.lr_scheduler_configs:
            config.scheduler.last_epoch = 0

    def _task(self) -> Task | None:
        datamodule = getattr(self._trainer, "datamodule", None)
        return datamodule if isinstance(datamodule, Task) else None

    def _score(self, split: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of a batch and the symbols put out where some were asked for; both are logged."""
        memory, before = self.rnn.memory, self.rnn.memory.validate
        memory.validate = before or self._first_batch
        try:
            run = self.rnn.unroll(self.embed(batch.inputs))
        finally:
            memory.validate, self._first_batch = before, False
        logits = self.classify(run.output)
        asked = batch.targets != IGNORE
        loss = cross_entropy(logits[asked], batch.targets[asked])
        output = torch.where(asked, logits.argmax(dim=-1), IGNORE)
        scores = self._scores(split)
        scores["loss"].update(loss.detach(), asked.sum())
        scores["coarse"].update(output, batch.targets)
        scores["fine"].update(output, batch.targets)
        if self.rnn.memory.heads:
            real = torch.arange(asked.shape[1], device=asked.device) < batch.lengths[:, None]
            action = mapped(lambda part: part[real], run.actions)
            for name, numbers in memory.signals.named(action).items():
                scores[f"{name}_distance"].update((numbers - numbers.round()).detach().abs())
            if split == "train":
                loss = loss + self.signal_penalty * action.fractions().mean()
        for name, metric in scores.items():
            self.log(f"{split}_{name}", metric, on_step=False, on_epoch=True, prog_bar=name == "coarse")
        return loss, output

    def _scores(self, split: str) -> dict[str, Metric]:
        return cast("dict[str, Metric]", dict(cast("nn.ModuleDict", self.scores[f"{split}_"])))

    def _new_scores(self) -> nn.ModuleDict:
        metrics = {"loss": MeanMetric(), "coarse": CoarseAccuracy(aligned=True), "fine": FineAccuracy(aligned=True)}
        metrics |= {f"{name}_distance": MeanMetric() for name, _ in self.rnn.memory.signals.labels}
        return nn.ModuleDict(metrics)
