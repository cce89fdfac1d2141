"""What every task is: a Lightning data module that draws sources, and knows the target of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from ddstructs.errors import InputError
from ddstructs.tasks.batch import IGNORE, SEPARATOR, START, Batch
from ddstructs.tasks.curriculum import Curriculum
from ddstructs.tasks.lines import read_lines

__all__ = ["Batches", "Task"]

TRAIN, VAL, TEST, RESTART = range(4)

PROGRESS = ("stage", "accuracy", "batches", "restarts", "finished")
"""What changes in a curriculum as it goes on."""


class Batches:
    """So and so many batches, made as they are asked for."""

    def __init__(self, make: Callable[[], Iterator[Batch]], length: int) -> None:
        self.make = make
        self.length = length

    def __iter__(self) -> Iterator[Batch]:
        return self.make()

    def __len__(self) -> int:
        return self.length

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the task itself saves where its stream is. Having this tells Lightning that a run can be resumed."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing, see `state_dict`."""


class Task(LightningDataModule, ABC):
    """A transduction task: sources drawn at random, and a rule that gives the target of each.

    Training sequences are fresh in every epoch, from a seeded generator. The validation and the test set are fixed:
    they are the same whatever the seed. By default short sequences come first (see `Curriculum`), in batches that are
    larger by as much, so that a batch always holds about the same number of symbols.

    Args:
        train_lengths: Shortest and longest source in training.
        val_lengths: The same in validation; as in training if not given.
        test_lengths: The same in the test.
        batch_size: Rows in a training batch when sources are longest.
        batches_per_epoch: Training batches in an epoch.
        eval_size: Rows in the validation set, and in the test set.
        eval_batch_size: Rows in a batch of these.
        curriculum: Whether short sequences come first.
        start_length: Longest source in the first stage of the curriculum.
        patience: Most batches in the first stage of the curriculum, before the controller starts afresh, with other
            weights, and twice as many as in any other stage; it never does if None.
        threshold: Share of symbols that must be right, on average, before a stage of the curriculum ends. What is only
            a few symbols of a sequence, but hard to learn once sequences are long, needs a higher one.
        seed: Seed of the training sequences; that of `seed_everything` if not given.
        text: Sources to transduce in `predict`, one a line.
        file: A file of such lines; `-` is standard input.

    Attributes:
        input_symbols: Number of input symbols: `<s>`, `|||`, the source's and the target's.
        output_symbols: Number of output symbols: the target's and `</s>`, the last.
    """

    source_symbols: int
    target_symbols: int

    multiple: ClassVar[int] = 1
    """Every length of a source is a multiple of this."""

    online: ClassVar[bool] = False
    """Whether the target begins with the source's first symbol, instead of after its last."""

    example: ClassVar[str] = "A string"
    """The text of a source, for messages."""

    def __init__(
        self,
        train_lengths: tuple[int, int] = (8, 64),
        val_lengths: tuple[int, int] | None = None,
        test_lengths: tuple[int, int] = (65, 128),
        batch_size: int = 16,
        batches_per_epoch: int = 50,
        eval_size: int = 1000,
        eval_batch_size: int = 250,
        curriculum: bool = True,
        start_length: int = 4,
        patience: int | None = 150,
        threshold: float = 0.8,
        seed: int | None = None,
        text: str | None = None,
        file: str | None = None,
    ) -> None:
        super().__init__()
        for name, lengths in (("train", train_lengths), ("val", val_lengths), ("test", test_lengths)):
            if lengths is not None:
                self._check_lengths(f"{name}_lengths", lengths)
        sizes = {
            "batch_size": batch_size,
            "batches_per_epoch": batches_per_epoch,
            "eval_size": eval_size,
            "eval_batch_size": eval_batch_size,
            "start_length": start_length,
            "patience": 1 if patience is None else patience,
        }
        for name, size in sizes.items():
            if size < 1:
                raise InputError(f"{name} is {size}, but it must be 1 or more")
        if not 0 < threshold < 1:
            raise InputError(f"threshold is {threshold}, but it must be between 0 and 1")
        if seed is not None and seed < 0:
            raise InputError(f"seed is {seed}, but it must be 0 or more")
        self.train_lengths = train_lengths
        self.val_lengths = val_lengths
        self.test_lengths = test_lengths
        self.batch_size = batch_size
        self.batches_per_epoch = batches_per_epoch
        self.eval_size = eval_size
        self.eval_batch_size = eval_batch_size
        self.curriculum = curriculum
        self.start_length = start_length
        self.patience = patience
        self.threshold = threshold
        self.seed = seed
        self.text = text
        self.file = file
        longest = train_lengths[1]
        self.stages = (
            Curriculum(longest, start_length, patience, threshold=threshold)
            if curriculum
            else Curriculum(longest, longest, finished=True)
        )
        self.drawn = 0

    @abstractmethod
    def transduce(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The target of each source.

        Args:
            source: Source symbols, shape `(batch, time)`, int64; what follows in a shorter row is of no account.
            lengths: Length of each source, shape `(batch,)`, int64.

        Returns:
            The target symbols, padded in the same way, and the length of each target.
        """

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """The source symbols of a line of text.

        Raises:
            InputError: If the line cannot be a source of this task.
        """

    @abstractmethod
    def decode(self, symbols: list[int]) -> str:
        """The text of target symbols, without the end symbol."""

    @property
    def input_symbols(self) -> int:
        """Number of input symbols."""
        return 2 + self.source_symbols + self.target_symbols

    @property
    def output_symbols(self) -> int:
        """Number of output symbols, the end symbol included."""
        return self.target_symbols + 1

    def source_name(self, symbol: int) -> str:
        """What a source symbol is called where it is shown; its number, unless the task knows better."""
        return str(symbol)

    def input_name(self, symbol: int) -> str:
        """What an input symbol is called where it is shown."""
        if symbol in (START, SEPARATOR):
            return "<s>" if symbol == START else "|||"
        symbol -= 2
        return (
            self.source_name(symbol) if symbol < self.source_symbols else self.output_name(symbol - self.source_symbols)
        )

    def output_name(self, symbol: int) -> str:
        """What an output symbol is called where it is shown."""
        return "</s>" if symbol == self.target_symbols else self.decode([symbol])

    def sources(self, lines: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The source symbols of some lines of text, as `assemble` takes them.

        Raises:
            InputError: If a line cannot be a source of this task.
        """
        symbols = [self.encode(line) for line in lines]
        lengths = torch.tensor([len(row) for row in symbols])
        source = torch.zeros(len(symbols), int(lengths.max()), dtype=torch.int64)
        for row, line in zip(source, symbols, strict=True):
            row[: len(line)] = torch.tensor(line, dtype=torch.int64)
        return source, lengths

    def assemble(self, source: Tensor, lengths: Tensor) -> Batch:
        """Sources with their targets, as a controller sees them.

        Args:
            source: Source symbols, shape `(batch, time)`, int64; what follows in a shorter row is of no account.
            lengths: Length of each source, shape `(batch,)`, int64.
        """
        target, target_lengths = self.transduce(source, lengths)
        n, m = lengths[:, None], target_lengths[:, None]
        early = n if self.online else torch.zeros_like(n)  # how many target symbols are due while the source is read
        total = 2 + n + m - early
        inputs = torch.full((len(source), int(total.max())), START)
        targets = torch.full_like(inputs, IGNORE)
        i, j = torch.arange(source.shape[1]), torch.arange(target.shape[1])
        _put(inputs, 1 + i, source + 2, i < n)
        inputs.scatter_(1, 1 + n, SEPARATOR)
        _put(inputs, 2 + n + j - early, target + 2 + self.source_symbols, (j >= early) & (j < m))
        _put(targets, torch.where(j < early, 1 + j, 1 + n + j - early), target, j < m)
        targets.scatter_(1, total - 1, self.target_symbols)
        return Batch(inputs, targets, total[:, 0])

    def train_dataloader(self) -> Batches:
        def make() -> Iterator[Batch]:
            for _ in range(self.batches_per_epoch):
                yield self._draw_training()

        return Batches(make, self.batches_per_epoch)

    def val_dataloader(self) -> Batches:
        return self._fixed(VAL, self.val_lengths or self.train_lengths)

    def test_dataloader(self) -> Batches:
        return self._fixed(TEST, self.test_lengths)

    def predict_dataloader(self) -> Batches:
        if self.text is None and self.file is None:
            return self.test_dataloader()
        return self._cut(*self.sources(read_lines(self.text, self.file)))

    def fresh_seed(self) -> int:
        """A seed for the weights of the next fresh start, the same in every run with the seed of this one."""
        return _seed(RESTART, self._own_seed(), self.stages.restarts)

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self.seed, "drawn": self.drawn, "stages": asdict(self.stages)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where another task was. What is a setting stays as it was given to this one."""
        try:
            progress = {name: state_dict["stages"][name] for name in PROGRESS}
            seed, drawn = state_dict["seed"], state_dict["drawn"]
        except (KeyError, TypeError) as error:
            raise InputError(
                f"the checkpoint does not say how far the {type(self).__name__} was: no {error}"
            ) from error
        self.seed = seed if self.seed is None else self.seed
        self.drawn = drawn
        if self.curriculum:
            self.stages = replace(self.stages, **progress)

    def _draw_training(self) -> Batch:
        rank = self.trainer.global_rank if self.trainer else 0
        generator = _generator(TRAIN, self._own_seed(), self.drawn, rank)
        self.drawn += 1
        rows = max(self.batch_size, round(self.batch_size * self.stages.longest / self.stages.stage))
        return self.assemble(*self._draw(rows, self.stages.lengths(self.train_lengths[0]), generator))

    def _draw(self, rows: int, lengths: tuple[int, int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        low, high = -(-lengths[0] // self.multiple), max(1, lengths[1] // self.multiple)
        n = self.multiple * torch.randint(min(low, high), high + 1, (rows,), generator=generator)
        return torch.randint(self.source_symbols, (rows, int(n.max())), generator=generator), n

    def _own_seed(self) -> int:
        if self.seed is None:
            self.seed = torch.initial_seed()
        return self.seed

    def _fixed(self, split: int, lengths: tuple[int, int]) -> Batches:
        source, n = self._draw(self.eval_size, lengths, _generator(split))
        order = n.argsort(stable=True)  # rows of like length together: less padding
        return self._cut(source[order], n[order])

    def _cut(self, source: Tensor, lengths: Tensor) -> Batches:
        """Batches of these rows; in training on several processes each of them has its own share."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        if len(source) < world:
            raise InputError(f"there are {len(source)} sequences for {world} processes: use fewer, or more sequences")
        size = min(self.eval_batch_size, -(-len(source) // world))
        starts = range(0, len(source), size)[rank::world]

        def make() -> Iterator[Batch]:
            for start in starts:
                rows = slice(start, start + size)
                yield self.assemble(source[rows, : int(lengths[rows].max())], lengths[rows])

        return Batches(make, len(starts))

    def _check_lengths(self, name: str, lengths: tuple[int, int]) -> None:
        low, high = lengths
        if not 1 <= low <= high:
            raise InputError(f"{name} is {low}..{high}, but 1 <= shortest <= longest was expected")
        if high // self.multiple < -(-low // self.multiple):
            raise InputError(f"{name} is {low}..{high}, which holds no multiple of {self.multiple}")


def _put(into: Tensor, positions: Tensor, values: Tensor, where: Tensor) -> None:
    """Write values to their positions in each row, but only where it is said."""
    rows = torch.arange(len(into))[:, None].expand_as(where)
    into[rows[where], positions.expand_as(where)[where]] = values[where]


def _generator(*key: int) -> torch.Generator:
    """A generator of its own for each key."""
    return torch.Generator().manual_seed(_seed(*key))


def _seed(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) >> 1
