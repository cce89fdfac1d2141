"""Archives of checkpoints that are not what they say."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import torch
from checkpoints import checkpoint, saved

__all__ = ["ARCHIVES", "compressed", "overlapping", "promised", "promised_before"]


def compressed(path: Path) -> Path:
    """Many megabytes of zeros in a few kilobytes."""
    whole = io.BytesIO()
    torch.save(checkpoint(), whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
        with target.open("archive/data/99", "w") as record:
            for _ in range(64):
                record.write(bytes(2**22))
    return path


def overlapping(path: Path) -> Path:
    """Records without compression that share their bytes."""
    saved(checkpoint() | {"ballast": torch.zeros(2**18)}, path)
    content = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        start, records = archive.start_dir, archive.infolist()
    largest = max(records, key=lambda record: record.file_size)
    entries = b""
    for i in range(200):
        name = f"{largest.filename}{i}".encode()
        entries += struct.pack(
            "<4s4B4HL2L5H2L", b"PK\1\2", 20, 0, 20, 0, 0, 0, 0, 0, largest.CRC, largest.file_size, largest.file_size,
            len(name), 0, 0, 0, 0, 0, largest.header_offset,
        ) + name  # fmt: skip
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = archive.start_dir
    directory = content[start : content.rindex(b"PK\6\6")] + entries
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(records) + 200, len(records) + 200, len(directory), size, 0)
    path.write_bytes(content[:start] + directory + end)
    return path


def promised(path: Path) -> Path:
    """An archive whose pickle declares a storage of a gigabyte."""
    saved(checkpoint() | {"ballast": torch.arange(77_777, dtype=torch.uint8)}, path)
    return replaced(path, pickled(77_777), pickled(2**30))


def promised_before(path: Path) -> Path:
    """The same in the older format, for which torch allocates before it reads."""
    saved(checkpoint() | {"ballast": torch.arange(77_777)}, path, _use_new_zipfile_serialization=False)
    return replaced(path, pickled(77_777), pickled(2**30))


def pickled(number: int) -> bytes:
    """A number of up to four bytes, encoded as in pickle protocol 2."""
    return b"J" + struct.pack("<i", number)


def replaced(path: Path, old: bytes, new: bytes) -> Path:
    """A different pickle of the same length, in an archive or on its own."""
    content = path.read_bytes()
    assert old in content
    if content[:2] != b"PK":
        path.write_bytes(content.replace(old, new))
        return path
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(old, new))
    return path


def foreign_comment(path: Path) -> Path:
    saved(checkpoint(), path)
    content = path.read_bytes()
    path.write_bytes(content[:-2] + b"\x05\x00hello")
    return path


def moved(path: Path) -> Path:
    """An archive after other bytes, which some readers find and others do not."""
    saved(checkpoint(), path)
    content = path.read_bytes()
    path.write_bytes(content[:64] + content)
    return path


def twice(path: Path) -> Path:
    """Two records whose names torch considers equal."""
    saved(checkpoint(), path)
    with zipfile.ZipFile(path, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/DATA.pkl", b"x")
    return path


ARCHIVES = [compressed, overlapping, promised, promised_before, foreign_comment, moved, twice]
