"""Options that a command would ignore, such as those of training in a command that only evaluates."""

from __future__ import annotations

from collections.abc import Iterable

from ddstructs.cli.words import Word
from ddstructs.errors import InputError

__all__ = ["check_used", "unused"]

TEXT = frozenset({"data.text", "data.file"})

VALIDATION = frozenset(
    {"data.train_lengths", "data.val_lengths", "trainer.limit_val_batches", "trainer.overfit_batches"}
)
"""The options of the validation set, whose lengths by default follow from those of training."""

TEST = frozenset({"data.test_lengths", "trainer.limit_test_batches"})

TRAINING = frozenset(
    {
        *(f"model.{name}" for name in ("learning_rate", "decay_steps", "noise_steps", "clip", "push_bias", "pop_bias")),
        *(f"model.{name}" for name in ("read_noise", "state_noise", "signal_penalty")),
        *(f"model.{name}" for name in ("spread", "signal_noise", "dropout", "embed_std")),
        *(f"data.{name}" for name in ("batch_size", "batches_per_epoch", "curriculum", "start_length")),
        *(f"data.{name}" for name in ("patience", "threshold", "seed")),
        *(f"trainer.{name}" for name in ("max_epochs", "min_epochs", "max_steps", "min_steps", "max_time")),
        *(f"trainer.{name}" for name in ("limit_train_batches", "check_val_every_n_epoch", "val_check_interval")),
        *(f"trainer.{name}" for name in ("num_sanity_val_steps", "log_every_n_steps", "enable_checkpointing")),
        *(f"trainer.{name}" for name in ("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm")),
        "trainer.reload_dataloaders_every_n_epochs",
    }
)
"""The options that only `fit` uses; the biases are initial values of weights."""

UNUSED = {
    "fit": TEXT,
    "validate": TRAINING | TEST | TEXT,
    "test": TRAINING | VALIDATION | TEXT,
    "predict": TRAINING | VALIDATION | TEST | {"data.eval_size"},
}
"""The options that each command ignores. `fit` uses the test lengths: it saves them in the checkpoint for `test`."""


def unused(command: str) -> frozenset[str]:
    """The options of task, controller and trainer that a command ignores."""
    return frozenset(UNUSED[command])


def check_used(command: str, words: Iterable[Word]) -> None:
    """Refuse options that a command would ignore. Config files may set them, so that one file serves every command.

    Raises:
        InputError: If there is such an option. The message names the commands that use it.
    """
    for word in words:
        if word.name in UNUSED[command]:
            users = [name for name, ignored in UNUSED.items() if word.name not in ignored]
            raise InputError(f"--{word.name} has no effect in {command}: it is an option of {' and '.join(users)}")
