"""The outline of a `torch.save` file, read before any of it is loaded.

Loading allocates whatever the file asks for, and a page of pickle can name a terabyte of weights. This module first
runs the pickle on a restricted machine, in which a tensor is a dtype and a shape and no class or function exists.
"""

from __future__ import annotations

import math
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple, cast

import torch

__all__ = ["Bomb", "Weight", "outline"]

ENTRIES = 1_000_000
"""Maximum number of parts in a file; shared parts count once per reference."""

DEPTH = 100
"""Maximum nesting depth."""

STORAGES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
    "torch.ComplexDoubleStorage": torch.complex128,
    "torch.ComplexFloatStorage": torch.complex64,
}
"""The storage types of dense tensors, by name."""

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""The first number of a torch file in the format before zip archives."""


class Bomb(ValueError):
    """A file that would need far more memory than its size. The message completes 'FILE is refused: '."""


class Weight(NamedTuple):
    """A tensor in a file, described without loading it."""

    dtype: torch.dtype
    shape: tuple[int, ...]


def outline(path: str | Path) -> Any:
    """The content of a `torch.save` file, with a `Weight` in place of each tensor. No tensor data is allocated.

    Args:
        path: The file, in the zip format or in the older format of torch.

    Raises:
        Bomb: If loading the file would need far more memory than its size.
        pickle.UnpicklingError: If it contains anything but plain data and dense tensors.
        Exception: Any other exception, if the file is damaged.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        if file.read(4) == b"PK\x03\x04":
            content, storages, sizes = _read_zip(file, size)
        else:
            file.seek(0)
            content, storages = _read_legacy(file)
            sizes = {storage.key: storage.nbytes for storage in storages}
            if sum(sizes.values()) > size:
                raise Bomb("it is smaller than the weights it declares")
    for storage in storages:
        if sizes.get(storage.key) != storage.nbytes:
            raise Bomb(f"it declares {storage.nbytes} bytes for storage {storage.key!r}, which has another size")
    _measure(content, {}, DEPTH)
    return content


def _read_zip(file: BinaryIO, size: int) -> tuple[Any, list[_Storage], dict[str, int]]:
    """The content of an archive, the storages it names, and the sizes of the storages it contains."""
    with zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        if archive.start_dir != _directory(file, size):
            raise Bomb("it is an ambiguous zip archive")
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise Bomb("it is compressed, unlike any checkpoint")
        if sum(record.file_size for record in records) > size:
            raise Bomb("it unpacks to more than its size")
        sizes = {record.filename.lower(): record.file_size for record in records}  # torch ignores the case of names
        if len(sizes) < len(records):
            raise Bomb("it has two records of the same name")
        root = f"{records[0].filename.partition('/')[0]}/"
        with archive.open(f"{root}data.pkl") as stream:
            machine = _Machine(cast("BinaryIO", stream))
            content = machine.load()
    prefix = f"{root}data/".lower()
    own = {name.removeprefix(prefix): size for name, size in sizes.items() if name.startswith(prefix)}
    return content, machine.storages, own


def _directory(file: BinaryIO, size: int) -> int:
    """The offset of the directory of an archive that ends as torch's do; -1 otherwise."""
    file.seek(max(0, size - 98))
    tail = file.read()
    if tail[-22:-18] != b"PK\x05\x06" or tail[-2:] != b"\0\0":
        return -1
    if tail[-42:-38] != b"PK\x06\x07":
        return int(struct.unpack("<L", tail[-6:-2])[0])
    if tail[:4] != b"PK\x06\x06" or struct.unpack("<Q", tail[-34:-26])[0] != size - 98:
        return -1
    return int(struct.unpack("<Q", tail[48:56])[0])


def _read_legacy(file: BinaryIO) -> tuple[Any, list[_Storage]]:
    """The content of a file in the older format, and the storages it names."""
    if (_Machine(file).load(), _Machine(file).load()) != (MAGIC, PROTOCOL):
        raise pickle.UnpicklingError("it is not a torch file")
    _Machine(file).load()  # the number sizes of the machine that wrote the file
    machine = _Machine(file)
    return machine.load(), machine.storages


class _Name(str):
    """A class or function named by a pickle, as its dotted path only."""

    __slots__ = ()


class _Storage(NamedTuple):
    dtype: torch.dtype
    key: str
    numel: int

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize


class _Machine(pickle._Unpickler):  # the C implementation allocates what a pickle asks for
    """Runs a pickle, and allows only the few calls that build plain data and tensors."""

    stack: list[Any]
    append: Callable[[Any], None]
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        code[0]: pickle._Unpickler.dispatch[code[0]]
        for code in (
            *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.GLOBAL),
            *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.BINFLOAT, pickle.BINUNICODE),
            *(pickle.SHORT_BINSTRING, pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.EMPTY_SET, pickle.EMPTY_TUPLE),
            *(pickle.APPEND, pickle.APPENDS, pickle.SETITEM, pickle.SETITEMS, pickle.BINPERSID),
            *(pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
            *(pickle.BINGET, pickle.LONG_BINGET, pickle.BINPUT, pickle.LONG_BINPUT),
        )
    }

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: list[_Storage] = []

    def find_class(self, module: str, name: str) -> _Name:
        return _Name(f"{'builtins' if module == '__builtin__' else module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", _Name() as kind, str(key), str(), int(numel)) | (
                ("storage", _Name() as kind, str(key), str(), int(numel), None)
            ) if kind in STORAGES and numel >= 0:
                self.storages.append(_Storage(STORAGES[kind], key, numel))
                return self.storages[-1]
        raise pickle.UnpicklingError("it contains a storage that is not of a dense tensor")

    def load_reduce(self) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        self.append(_made(name, arguments))

    dispatch[pickle.REDUCE[0]] = load_reduce

    def load_build(self) -> None:
        """Ignore the module versions that torch sets on a state dict; refuse any other attribute."""
        state = self.stack.pop()
        if not (isinstance(self.stack[-1], dict) and isinstance(state, dict) and state.keys() <= {"_metadata"}):
            raise pickle.UnpicklingError("it sets attributes")

    dispatch[pickle.BUILD[0]] = load_build


def _made(name: object, arguments: Any) -> Any:
    """The result of one of the allowed calls."""
    match name, arguments:
        case "collections.OrderedDict", ():
            return {}
        case "collections.OrderedDict", (list(pairs),):
            return dict(pairs)
        case "builtins.set", (list(parts),):
            return set(parts)
        case "torch.Size", (tuple(size),):
            return size
        case "torch.device", (str(), *_):
            return _Name(arguments[0])
        case "_codecs.encode", (str(text), "latin1"):
            return text.encode("latin1")
        case "torch._utils._rebuild_parameter", (Weight() as weight, *_):
            return weight
        case "torch._utils._rebuild_tensor_v2", (_Storage() as storage, int(offset), tuple(shape), tuple(stride), *_):
            return _weight(storage, offset, shape, stride)
    raise pickle.UnpicklingError(f"it calls {name}")


def _weight(storage: _Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> Weight:
    numbers = (offset, *shape, *stride)
    if len(shape) != len(stride) or not all(type(number) is int and number >= 0 for number in numbers):
        raise pickle.UnpicklingError(f"a tensor has shape {shape} and stride {stride}")
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if math.prod(shape) and (last >= storage.numel or math.prod(shape) > storage.numel):
        raise Bomb(f"a tensor of shape {str(shape)[:80]} lies in a storage of {storage.numel} numbers")
    return Weight(storage.dtype, shape)


def _measure(part: object, known: dict[int, tuple[int, int]], depth: int) -> tuple[int, int]:
    """The number of parts, with shared ones counted per reference, and the depth; visits each part once."""
    if isinstance(part, Weight) or not isinstance(part, dict | list | tuple | set):
        return 1, 0
    parts, levels = known.get(id(part), (1, 0))
    if levels > depth or not depth:
        raise Bomb(f"it nests deeper than {DEPTH} levels")
    if levels:
        return parts, levels
    for each in [*part.keys(), *part.values()] if isinstance(part, dict) else part:
        more, below = _measure(each, known, depth - 1)
        parts, levels = parts + more, max(levels, below)
        if parts > ENTRIES:
            raise Bomb(f"it expands to more than {ENTRIES} parts")
    known[id(part)] = parts, levels + 1
    return parts, levels + 1
