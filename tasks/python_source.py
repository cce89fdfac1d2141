"""Language modeling of real text: the source code of Python's own standard library, byte by byte."""

from __future__ import annotations

import io
import sysconfig
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from ddstructs.errors import InputError
from ddstructs.registry.ranges import Count, Size, check_ranges
from ddstructs.tasks.batch import START, Batch
from ddstructs.tasks.batches import Batches
from ddstructs.tasks.curriculum import Curriculum
from ddstructs.tasks.streams import TRAIN, generator
from ddstructs.tasks.task import Split, Task

__all__ = ["PythonSource", "encode", "joined", "split_of"]

LEFT_OUT = frozenset({"site-packages", "test", "tests", "idle_test", "__pycache__", "encodings"})
"""Folders that are not read: other people's code, tests, and the tables of `encodings`."""


def split_of(path: PurePosixPath) -> Split:
    """The split of a file, by a hash of its path below the library: a tenth for each of val and test."""
    part = sha256(str(path).encode()).digest()[0] % 10
    return "test" if part == 0 else "val" if part == 1 else "train"


class PythonSource(Task):
    """Predict each byte of the Python standard library from the bytes before it.

    The text is every UTF-8 `.py` file of the library of the running Python, without tests, `site-packages` and
    `encodings`. Each file is `<s>`, its bytes, and `</s>`; input symbol `1 + b` and output symbol `b` stand for byte
    `b`, and output symbol 256 for `</s>`. A row is `context` successive steps of the files of its split, one after the
    other. Rows of training begin anywhere; those of validation and test follow each other.

    The loss is in nats per byte, ends included. `ddstructs.tasks.python_code` finds where code depends on what is open.

    Args:
        context: Number of steps of a row.
        batch_size: Rows of a batch.
        batches_per_epoch: Number of training batches in an epoch.
        eval_size: Maximum number of rows in validation, and in the test.
        seed: Seed of the training rows; that of `seed_everything` if not given.

    Example:
        >>> from ddstructs.tasks.python_source import PythonSource
        >>> batch = next(iter(PythonSource(context=5, batch_size=1).val_dataloader()))
        >>> batch.inputs.shape, batch.targets.tolist()[0][:4] == (batch.inputs[0, 1:] - 1).tolist()
        (torch.Size([1, 5]), True)
    """

    metrics: ClassVar[Mapping[str, str]] = {}
    goal = None
    score = "-loss"

    def __init__(
        self,
        context: Size = 256,
        batch_size: Size = 16,
        batches_per_epoch: Size = 200,
        eval_size: Size = 400,
        seed: Count | None = None,
    ) -> None:
        check_ranges(PythonSource.__init__, locals())
        super().__init__()
        self.context = context
        self.batch_size = batch_size
        self.batches_per_epoch = batches_per_epoch
        self.eval_size = eval_size
        self.seed = seed
        self.stages = Curriculum(context, context, finished=True)
        self.drawn = 0

    @cached_property
    def files(self) -> dict[Split, list[bytes]]:
        """The files of each split, in the order of their paths."""
        files: dict[Split, list[bytes]] = {"train": [], "val": [], "test": []}
        library = Path(sysconfig.get_paths()["stdlib"])
        for path in sorted(library.rglob("*.py")):
            below = PurePosixPath(path.relative_to(library).as_posix())
            if LEFT_OUT.isdisjoint(below.parts) and _is_readable(source := path.read_bytes()):
                files[split_of(below)].append(source)
        return files

    @property
    def input_symbols(self) -> int:
        return 257

    @property
    def output_symbols(self) -> int:
        return 257

    def input_name(self, symbol: int) -> str:
        return "<s>" if symbol == START else self.output_name(symbol - 1)

    def output_name(self, symbol: int) -> str:
        return "</s>" if symbol == 256 else chr(symbol)

    def train_dataloader(self) -> Batches:
        def make() -> Iterator[Batch]:
            for _ in range(self.batches_per_epoch):
                self.seed = torch.initial_seed() if self.seed is None else self.seed
                rank = self.trainer.global_rank if self.trainer else 0
                stream = generator(TRAIN, self.seed, self.drawn, *([rank] if rank else []))  # as before for one process
                self.drawn += 1
                last = self._steps("train") - self.context
                yield self.rows("train", torch.randint(last, (self.batch_size,), generator=stream).numpy())

        return Batches(make, self.batches_per_epoch)

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self.seed, "drawn": self.drawn}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue at the position of another task; settings stay those of this one."""
        if not isinstance(drawn := state_dict.get("drawn"), int):
            raise InputError("the checkpoint does not have the position of the PythonSource: drawn is missing")
        self.drawn = drawn
        self.seed = state_dict.get("seed") if self.seed is None else self.seed

    def val_dataloader(self) -> Batches:
        return self._in_order("val")

    def test_dataloader(self) -> Batches:
        return self._in_order("test")

    @cached_property
    def symbols(self) -> dict[Split, npt.NDArray[np.int16]]:
        """The input symbols of the files of each split, one file after the other, and a last `<s>`."""
        return {split: joined(files) for split, files in self.files.items()}

    def rows(self, split: Split, starts: npt.NDArray[np.int64]) -> Batch:
        """The rows that begin at some steps of a split."""
        steps = torch.from_numpy(self.symbols[split][starts[:, None] + np.arange(self.context + 1)]).long()
        inputs, after = steps[:, :-1], steps[:, 1:]
        targets = torch.where(after == START, 256, after - 1)
        return Batch(inputs, targets, torch.full((len(starts),), self.context))

    def _steps(self, split: Split) -> int:
        """The number of steps of a split.

        Raises:
            InputError: If they do not fill a row.
        """
        steps = len(self.symbols[split])
        if self.context >= steps:
            raise InputError(
                f"context is {self.context}, but the text of {split} has {steps} steps: choose a shorter context"
            )
        return steps

    def _in_order(self, split: Split) -> Batches:
        count = min(self.eval_size, (self._steps(split) - 1) // self.context)

        def make() -> Iterator[Batch]:
            for first in range(0, count, self.batch_size):
                yield self.rows(split, self.context * np.arange(first, min(first + self.batch_size, count)))

        return Batches(make, -(-count // self.batch_size))


def encode(source: bytes) -> npt.NDArray[np.int16]:
    """The steps of a file: `<s>`, its bytes, and a `<s>` that is the end.

    Example:
        >>> encode(b"ab").tolist()
        [0, 98, 99, 0]
    """
    return np.concatenate([[START], 1 + np.frombuffer(source, np.uint8).astype(np.int16), [START]]).astype(np.int16)


def joined(files: Iterable[bytes]) -> npt.NDArray[np.int16]:
    """The steps of several files, one after the other.

    Example:
        >>> joined([b"a", b"bc"]).tolist()
        [0, 98, 0, 99, 100, 0]
    """
    return np.concatenate([*(encode(file)[:-1] for file in files), encode(b"")[:1]])


def _is_readable(source: bytes) -> bool:
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        source.decode()
    except (SyntaxError, UnicodeDecodeError):
        return False
    return encoding == "utf-8"
