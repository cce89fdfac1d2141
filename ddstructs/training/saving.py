"""Checkpoints on the disk: written whole or not at all, and read as data."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, final

import torch
from pytorch_lightning.plugins.io import CheckpointIO, TorchCheckpointIO
from typing_extensions import override

from ddstructs.files import write_atomically
from ddstructs.training.checkpoint import load

__all__ = ["SafeCheckpointIO", "with_safe_saving"]


@final
class SafeCheckpointIO(TorchCheckpointIO):
    """Writes each checkpoint beside its place and renames it, and looks at each before it is loaded.

    A disk that fills, a process that is killed or a power failure in the middle of it leaves the checkpoint that was
    there. Lightning's own writes over it on most file systems, and leaves what it wrote in the system's temporary
    folder. The command line and `reproduce` use this one; a trainer of your own takes it as a plugin. Addresses outside
    the file system (`s3://...`) are left to Lightning.

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
        content = io.BytesIO()  # into a file torch fails with an error of its own once there is no room
        torch.save(checkpoint, content)
        write_atomically(path, content.getbuffer())

    @override
    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if "://" in str(path):
            content: dict[str, Any] = super().load_checkpoint(path, *args, **kwargs)
            return content
        content = load(path)
        return content


def with_safe_saving(plugins: Any = None) -> list[Any]:
    """The plugins of a trainer, and a `SafeCheckpointIO` unless one of them handles checkpoints already.

    Args:
        plugins: What `Trainer(plugins=...)` takes.
    """
    given = [] if plugins is None else list(plugins) if isinstance(plugins, list | tuple) else [plugins]
    return given if any(isinstance(plugin, CheckpointIO) for plugin in given) else [*given, SafeCheckpointIO()]
