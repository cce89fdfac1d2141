"""Models saved to a folder: weights as safetensors, settings as JSON."""

from __future__ import annotations

import json
from abc import abstractmethod
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from ddstructs.errors import InputError, one_line
from ddstructs.files import replacing
from ddstructs.nn.weights import check_same, check_settings, construct, restore
from ddstructs.registry.data import check_plain, shown

__all__ = ["SETTINGS", "WEIGHTS", "Pretrained"]

SETTINGS = "config.json"
"""The file of the settings: the class path and the arguments of its constructor."""

WEIGHTS = "model.safetensors"
"""The file of the weights."""

LARGEST = 1_000_000
"""Maximum size in bytes of the settings, and of the header of the weights file."""

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
"""The dtypes that weights may have."""


class Pretrained(nn.Module):
    """A model that can be saved to a folder and rebuilt from it without running any code from the folder.

    The files have the names that model hubs expect, so the folder can be uploaded as it is. Nothing here accesses the
    network; a hub's own mixin would treat a mistyped folder as the name of a model to download.

    Example:
        >>> import tempfile
        >>> from ddstructs import MemoryRNN, Stack
        >>> rnn = MemoryRNN(input_size=8, hidden_size=32, memory=Stack(16))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rnn.save_pretrained(folder)
        ...     MemoryRNN.from_pretrained(folder, hard=True).memory
        Stack(16)
    """

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The constructor arguments that build an equal model, as plain data."""

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the settings and the weights. Both files are complete before either replaces an older one.

        Args:
            folder: Where to write them; created if missing.

        Raises:
            TypeError: If the memory or the cell cannot be described by plain data.
            OSError: If a file cannot be written. The previous files are left unchanged.
        """
        from safetensors.torch import save

        described = {"class_path": _path(type(self)), "init_args": self.settings}
        check_plain(described, "the settings")
        settings = json.dumps(described, indent=2, allow_nan=False) + "\n"
        # Cloned, because safetensors rejects tensors that share memory.
        weights = {name: weight.detach().cpu().contiguous().clone() for name, weight in self.state_dict().items()}
        content = save(weights, {"format": "pt"})
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / WEIGHTS) as first, replacing(folder / SETTINGS) as second:
            first.write(content)
            second.write(settings.encode())

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: torch.device | str | None = None, **settings: Any) -> Self:
        """Build the model described in a folder, with its weights in their saved dtype, in evaluation mode.

        Only classes on the closed list (see SECURITY.md) are built, and only after sizes have been checked.

        Args:
            folder: The folder that `save_pretrained` wrote.
            device: Device of the weights; the CPU if not given.
            settings: Constructor arguments that override those of the folder, such as `hard=True`.

        Raises:
            InputError: If a file is missing or damaged; if they describe a different class, or one that is not on
                the closed list; or if the weights do not match the settings.
        """
        if not Path(folder).is_dir():
            raise InputError(f"there is no folder {one_line(folder)}: from_pretrained downloads nothing")
        path = Path(folder) / SETTINGS
        own = _read_settings(path, cls)
        check_settings(own, path, settings)
        weights = _read_weights(Path(folder) / WEIGHTS)
        model = restore(lambda: construct(cls, own, path, settings), {"state_dict": weights}, folder)
        check_same(model.settings, own, folder)
        model.load_state_dict({name: weight.clone() for name, weight in weights.items()}, assign=True)  # keeps dtypes
        return model.to(device or "cpu").eval()


def _read_settings(path: Path, kind: type[nn.Module]) -> dict[str, Any]:
    """The constructor arguments in a settings file, which must describe the given class."""
    content = _first(path, LARGEST + 1)
    if len(content) > LARGEST:
        raise InputError(f"{path} is refused: it has more than {LARGEST} bytes")
    try:
        described = json.loads(content, object_pairs_hook=_without_duplicates, parse_constant=_refuse)
    except RecursionError as error:
        raise InputError(f"{path} is refused: its data is nested too deeply") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {one_line(error)[:200]}") from error
    check_plain(described, str(path))
    match described:
        case {"class_path": str(name), "init_args": dict(arguments)}:
            if name == _path(kind):
                return arguments
            raise InputError(f"{path} describes a {shown(name)}, but a {kind.__name__} was expected: use its own class")
    raise InputError(f"{path} does not describe a model: a class path with arguments was expected")


def _read_weights(path: Path) -> dict[str, Tensor]:
    """The weights in a file; reading takes no more memory than the size of the file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    size = int.from_bytes(_first(path, 8), "little")
    if size > LARGEST:
        raise InputError(f"{path} is refused: its header has {size} bytes, more than {LARGEST}, or is damaged")
    try:
        weights = load_file(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"{path} is damaged, or not a safetensors file: {one_line(error)[:200]}") from error
    for name, weight in weights.items():
        if weight.dtype not in DTYPES:
            raise InputError(f"{shown(name)} in {path} is a tensor of {weight.dtype}, but floating point was expected")
    return weights


def _first(path: Path, count: int) -> bytes:
    """The first bytes of a file."""
    if not path.is_file():
        raise InputError(f"there is no {path.name} in {path.parent}: expected a folder that save_pretrained wrote")
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("a name occurs twice")
    return names


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def _path(kind: type[nn.Module]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
