"""Checkpoint files: written atomically, and read as data."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, final

import torch
from pytorch_lightning.plugins.io import CheckpointIO, TorchCheckpointIO
from typing_extensions import override

from ddstructs.errors import InputError
from ddstructs.files import write_atomically
from ddstructs.training.checkpoint import load

__all__ = ["SafeCheckpointIO", "with_safe_saving"]


@final
class SafeCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically, and checks them before they are loaded.

    If the disk fills, the process is killed or the power fails during a write, the previous checkpoint remains.
    Lightning's own plugin overwrites it in place on most file systems, and leaves partial files in the system's
    temporary folder. The command line and `reproduce` use this class; pass it to your own trainer as a plugin. URLs
    such as `s3://...` are left to Lightning.

    Example:
        >>> from pytorch_lightning import Trainer
        >>> from ddstructs.training.saving import SafeCheckpointIO
        >>> trainer = Trainer(plugins=[SafeCheckpointIO()], logger=False)
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()  # writing to a file directly, torch hides the error of a full disk
        torch.save(checkpoint, content)
        write_atomically(path, content.getbuffer())

    @override
    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if "://" in str(path):
            content: dict[str, Any] = super().load_checkpoint(path, *args, **kwargs)
            return content
        content = load(path)
        if not isinstance(content, dict) or "pytorch-lightning_version" not in content:
            raise InputError(f"{path} is not a checkpoint, or it is damaged: the version of Lightning is missing")
        return content


def with_safe_saving(plugins: Any = None) -> list[Any]:
    """Add a `SafeCheckpointIO` to the plugins of a trainer, unless one of them already handles checkpoints.

    Args:
        plugins: The argument `plugins` of `Trainer`.
    """
    given = [] if plugins is None else list(plugins) if isinstance(plugins, list | tuple) else [plugins]
    return given if any(isinstance(plugin, CheckpointIO) for plugin in given) else [*given, SafeCheckpointIO()]
