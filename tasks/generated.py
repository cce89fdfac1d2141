"""Tasks whose sequences are drawn at random, by length, from a seeded generator."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ddstructs.errors import InputError
from ddstructs.registry.ranges import Count, Lengths, Share, Size, check_ranges
from ddstructs.tasks.batch import Batch
from ddstructs.tasks.batches import Batches
from ddstructs.tasks.curriculum import PROGRESS, Curriculum
from ddstructs.tasks.lines import place_of, read_lines
from ddstructs.tasks.streams import RESTART, TEST, TRAIN, VAL, generator, seed_of
from ddstructs.tasks.task import Task

__all__ = ["Generated"]


class Generated(Task):
    """A task whose sources are drawn at random; `assemble` turns them into batches.

    Training sequences are new in every epoch, from a seeded generator. The validation and test sets are fixed and do
    not depend on the seed. By default short sequences come first (see `Curriculum`), in proportionally larger batches,
    so that the number of symbols in a batch stays about the same.

    Args:
        train_lengths: Shortest and longest source in training.
        val_lengths: Shortest and longest source in validation. If not given, from the shortest of training to twice
            the longest, so that a network that is right there generalizes beyond the lengths of training.
        test_lengths: Shortest and longest source in the test set.
        batch_size: Rows of a training batch when sources are longest.
        batches_per_epoch: Number of training batches in an epoch.
        eval_size: Number of rows of the validation set and of the test set.
        eval_batch_size: Rows of a batch of these sets.
        curriculum: Whether to start with short sequences.
        start_length: Longest source in the first stage of the curriculum.
        patience: Maximum number of batches in the first stage of the curriculum before a fresh start with new weights;
            half as many in the other stages. No fresh starts if None.
        threshold: Running mean of `mastery`, by default the share of correct symbols, that ends a stage of the
            curriculum. A task whose difficulty lies in few symbols of a sequence, and grows with length, needs a higher
            threshold.
        seed: Seed of the training sequences; that of `seed_everything` if not given.
        text: Sources for `predict`, one per line.
        file: A file of such lines; `-` is standard input.

    Attributes:
        drawn: Number of training batches drawn so far.
    """

    source_symbols: int
    """Number of distinct symbols of a source."""

    multiple: ClassVar[int] = 1
    """Factor of all source lengths."""

    example: str = "A string"
    """The text of a source, for messages."""

    def __init__(
        self,
        train_lengths: Lengths = (8, 64),
        val_lengths: Lengths | None = None,
        test_lengths: Lengths = (65, 128),
        batch_size: Size = 16,
        batches_per_epoch: Size = 50,
        eval_size: Size = 1000,
        eval_batch_size: Size = 250,
        curriculum: bool = True,
        start_length: Size = 4,
        patience: Size | None = 150,
        threshold: Share = 0.8,
        seed: Count | None = None,
        text: str | None = None,
        file: str | None = None,
    ) -> None:
        check_ranges(Generated.__init__, locals())
        super().__init__()
        for name, lengths in (("train", train_lengths), ("val", val_lengths), ("test", test_lengths)):
            if lengths is not None:
                self._check_lengths(f"{name}_lengths", lengths)
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
            else Curriculum(longest, longest, patience=None, threshold=0.0, finished=True)
        )
        self.drawn = 0

    @abstractmethod
    def assemble(self, source: Tensor, lengths: Tensor) -> Batch:
        """Build a batch of inputs and targets from sources.

        Args:
            source: Source symbols, shape `(batch, time)`, int64; symbols beyond a row's length are arbitrary.
            lengths: Length of each source, shape `(batch,)`, int64.
        """

    @abstractmethod
    def lengths(self, batch: Batch) -> Tensor:
        """The length of each source, shape `(batch,)`."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """The source symbols of a line of text.

        Raises:
            InputError: If the line is not a valid source of this task.
        """

    def source_name(self, symbol: int) -> str:
        """The display name of a source symbol; its number, unless overridden."""
        return str(symbol)

    def draw(self, rows: int, lengths: tuple[int, int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw random sources, with lengths uniform in a range and symbols uniform over all symbols.

        Args:
            rows: Number of sources.
            lengths: Shortest and longest length.
            generator: Source of the random numbers.

        Returns:
            The sources and their lengths, in the form `assemble` takes.
        """
        low, high = -(-lengths[0] // self.multiple), max(1, lengths[1] // self.multiple)
        n = self.multiple * torch.randint(min(low, high), high + 1, (rows,), generator=generator)
        return torch.randint(self.source_symbols, (rows, int(n.max())), generator=generator), n

    def draw_for(
        self, split: int, rows: int, lengths: tuple[int, int], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw random sources for a set, as `draw` does. A task whose sources recur keeps those of other sets out.

        Args:
            split: The set: `TRAIN`, `VAL` or `TEST`.
            rows: Number of sources.
            lengths: Shortest and longest length.
            generator: Source of the random numbers.
        """
        return self.draw(rows, lengths, generator)

    def has(self, lengths: tuple[int, int]) -> bool:
        """Whether there are sources of a length in a range; there are of every length, unless a kind of task says."""
        return True

    def sources(self, lines: Sequence[str], place: str | None = None) -> tuple[Tensor, Tensor]:
        """Encode lines of text into the form `assemble` takes.

        Args:
            lines: The lines.
            place: Origin of the lines for error messages, such as a file name.

        Raises:
            InputError: If a line is not a valid source; the message has its number if `place` is given.
        """
        symbols: list[list[int]] = []
        for number, line in enumerate(lines, 1):
            try:
                symbols.append(self.encode(line))
            except InputError as error:
                raise InputError(f"{place}, line {number}: {error}" if place else str(error)) from error
        lengths = torch.tensor([len(row) for row in symbols])
        source = torch.zeros(len(symbols), int(lengths.max()), dtype=torch.int64)
        for row, own in zip(source, symbols, strict=True):
            row[: len(own)] = torch.tensor(own, dtype=torch.int64)
        return source, lengths

    @property
    def validated_lengths(self) -> tuple[int, int]:
        return self.val_lengths or (self.train_lengths[0], 2 * self.train_lengths[1])

    def train_dataloader(self) -> Batches:
        def make() -> Iterator[Batch]:
            for _ in range(self.batches_per_epoch):
                yield self._draw_training()

        return Batches(make, self.batches_per_epoch)

    def val_dataloader(self) -> Batches:
        return self._cut(*self._fixed(VAL, self.validated_lengths))

    def test_dataloader(self) -> Batches:
        return self._cut(*self._fixed(TEST, self.test_lengths))

    def predict_dataloader(self) -> Batches:
        if self.text is None and self.file is None:
            return self.test_dataloader()
        lines = read_lines(self.text, self.file)
        place = place_of(self.file) if self.file is not None or len(lines) > 1 else None
        return self._cut(*self.sources(lines, place))

    def fresh_seed(self) -> int:
        """The seed of the weights of the next fresh start, derived from the seed of this task."""
        return seed_of(RESTART, self._own_seed(), self.stages.restarts)

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self.seed, "drawn": self.drawn, "stages": asdict(self.stages)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue at the position of another task; settings stay those of this one."""
        try:
            progress = {name: state_dict["stages"][name] for name in PROGRESS}
            seed, drawn = state_dict["seed"], state_dict["drawn"]
        except (KeyError, TypeError) as error:
            raise InputError(
                f"the checkpoint does not have the position of the {type(self).__name__}: {error} is missing"
            ) from error
        self.seed = seed if self.seed is None else self.seed
        self.drawn = drawn
        if self.curriculum:
            stages = replace(self.stages, **progress)
            self.stages = replace(stages, stage=min(max(1.0, stages.stage), float(stages.longest)))

    def _draw_training(self) -> Batch:
        rank = self.trainer.global_rank if self.trainer else 0
        stream = generator(TRAIN, self._own_seed(), self.drawn, rank)
        self.drawn += 1
        rows = max(self.batch_size, round(self.batch_size * self.stages.longest / self.stages.stage))
        return self.assemble(*self.draw_for(TRAIN, rows, self.stages.lengths(self.train_lengths[0]), stream))

    def _own_seed(self) -> int:
        if self.seed is None:
            self.seed = torch.initial_seed()
        return self.seed

    def _fixed(self, split: int, lengths: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The sources of a fixed set, sorted by length to reduce padding."""
        source, n = self.draw_for(split, self.eval_size, lengths, generator(split))
        order = n.argsort(stable=True)
        return source[order], n[order]

    def _cut(self, source: Tensor, lengths: Tensor) -> Batches:
        """Split rows into batches; with several processes, each gets its own share."""
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
        if high // self.multiple < -(-low // self.multiple):
            raise InputError(f"{name} is {low}..{high}, which holds no multiple of {self.multiple}")
