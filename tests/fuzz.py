"""Fuzzing with damaged files: each is used without a fault, or refused in one line.

    python tests/fuzz.py --minutes 60        for as long as there is time

A target is a kind of file: good ones to begin with, and what is done with a file. A mutator makes a damaged file of a
good one; there are some for bytes, for archives of torch, and for trees of plain data. A case of a seed is the same in
every run.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import math
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddstructs.cli.quiet import quiet
from ddstructs.errors import InputError

__all__ = ["Failure", "Target", "fuzz", "mutate_bytes", "mutate_json", "mutate_torch", "mutate_tree", "mutate_zip"]

Mutator = Callable[[bytes, Random], bytes]

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 128, -100, 255, 10**6, 2**31, -(2**63), 2**64, 10**30),
    *(0.0, -0.0, 0.5, -1.5, 1e-300, 1e300, math.nan, math.inf),
    *("", " ", "x", "-1", "1.0", "rnn", "\x00", "\x1b[31m", "\ud800", "ü", "x" * 5000, "../..", "torch.nn.Linear"),
    *([], {}, [None], [[]], [1, 2], {"x": 1}, {"class_path": "torch.nn.Linear"}),
)
"""What a part of a tree is replaced by."""


def mutate_bytes(content: bytes, random: Random) -> bytes:
    """Change, remove, duplicate or insert some bytes."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        place, count = random.randrange(len(changed) + 1), random.choice((1, 1, 2, 8, 100))
        match random.randrange(5):
            case 0:
                changed[place : place + 1] = bytes([random.randrange(256)])
            case 1:
                del changed[place : place + count]
            case 2:
                changed[place:place] = random.randbytes(count)
            case 3:
                changed[place:place] = changed[place : place + count]
            case 4 if place < len(changed):
                changed[place] ^= 1 << random.randrange(8)
    return bytes(changed[: random.randrange(len(changed) + 1)] if random.random() < 0.1 else changed)


def mutate_tree(tree: Any, random: Random) -> Any:
    """Replace, remove, duplicate, rename, swap or wrap a part of plain data, or change a tensor in it."""
    tree = copy.deepcopy(tree)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        holder, key = _somewhere(tree, random)
        if holder is None:
            return random.choice(ODD)
        part = holder[key]
        match random.randrange(8):
            case 0 | 1 | 2:
                holder[key] = _changed(part, random)
            case 3:
                del holder[key]
            case 4 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(part))
            case 4:
                holder[str(random.choice(ODD))[:20]] = holder.pop(key)
            case 5:
                other, place = _somewhere(tree, random)
                if other is not None:
                    holder[key] = copy.deepcopy(other[place])
            case 6:
                holder[key] = [part]
            case 7:
                holder[key] = copy.deepcopy(random.choice(ODD))
    return tree


def _somewhere(tree: Any, random: Random) -> tuple[Any, Any]:
    """A random part of a tree, as its container and its key there; none if the tree is empty."""
    holder, key, part = None, None, tree
    while isinstance(part, dict | list) and part and not (holder is not None and random.random() < 0.2):
        holder, key = part, random.choice(list(part)) if isinstance(part, dict) else random.randrange(len(part))
        part = holder[key]
    return holder, key


def _changed(part: Any, random: Random) -> Any:
    """A value similar to a part, but different."""
    if isinstance(part, Tensor):
        changes: list[Callable[[Tensor], Tensor]] = [
            lambda t: t[:0] if t.dim() else t[None],
            lambda t: t[None],
            lambda t: t.flatten(),
            lambda t: torch.full_like(t, random.choice((0, 1, 7)) if not t.is_floating_point() else math.nan),
            lambda t: t.to(random.choice((torch.float16, torch.float64, torch.int64, torch.bool, torch.complex64))),
            lambda t: t[:1].expand(7, *t.shape[1:]) if t.dim() else t.expand(3),
            lambda t: t.T if t.dim() == 2 else t.double(),
        ]
        return random.choice(changes)(part)
    if isinstance(part, bool):
        return not part
    if isinstance(part, int):
        return random.choice((part + 1, part - 1, -part, part * 1000, float(part), str(part), 2**31 * part))
    if isinstance(part, float):
        return random.choice((part + 1, -part, part * 1e3, part * 1e30, 0.5, str(part)))
    if isinstance(part, str):
        return random.choice((part[:-1], part + "x", part.upper(), part[::-1], "", part.replace(".", "..", 1)))
    return random.choice(ODD)


def mutate_json(content: bytes, random: Random) -> bytes:
    """Change the tree of a JSON document."""
    return json.dumps(mutate_tree(json.loads(content), random)).encode()


def mutate_torch(content: bytes, random: Random) -> bytes:
    """Change the tree in a file of `torch.save`."""
    changed, file = mutate_tree(torch.load(io.BytesIO(content), weights_only=True), random), io.BytesIO()
    torch.save(changed, file, _use_new_zipfile_serialization=random.random() < 0.9)
    return file.getvalue()


def mutate_zip(content: bytes, random: Random) -> bytes:
    """Change, remove, rename, compress or duplicate a record of an archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    name, file = random.choice([*records, *[name for name in records if name.endswith(".pkl")] * 5]), io.BytesIO()
    kind = zipfile.ZIP_STORED
    match random.randrange(6):
        case 0 | 1 | 2:
            records[name] = mutate_bytes(records[name], random)
        case 3:
            del records[name]
        case 4:
            records[random.choice((name.upper(), f"{name}x", f"x/{name}", name.replace("/", "//")))] = records.pop(name)
        case 5:
            kind = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, record in records.items():
            archive.writestr(name, record)
    return file.getvalue()


class Target(NamedTuple):
    """A kind of file.

    Attributes:
        name: What it is called.
        good: Files to begin with.
        mutators: What makes damaged files of them.
        use: What is done with a file. It must do without any error but `InputError`.
    """

    name: str
    good: list[bytes]
    mutators: tuple[Mutator, ...]
    use: Callable[[Path], object]


class Failure(NamedTuple):
    """A case that failed, and its error."""

    target: str
    case: int
    file: bytes
    reason: str


def damaged(target: Target, seed: int, case: int) -> bytes:
    """The damaged file of a case."""
    random = Random(f"{target.name} {seed} {case}")
    return random.choice(target.mutators)(random.choice(target.good), random)


def fuzz(target: Target, cases: Iterator[int] | range, folder: Path, seed: int = 0) -> Iterator[Failure]:
    """Use one damaged file after another.

    Args:
        target: The kind of file.
        cases: Which cases.
        folder: Where the files go, one at a time.
        seed: Other seeds, other files.

    Yields:
        Each case in which something other than `InputError` is raised, or one whose message is not one line.
    """
    path = folder / f"{target.name}.file"
    for case in cases:
        content = damaged(target, seed, case)
        path.write_bytes(content)
        try:
            target.use(path)
        except InputError as error:
            said = str(error)
            if "\n" in said or len(said) > 1000 or not said:
                yield Failure(target.name, case, content, f"an error that is not one line: {said[:1000]!r}")
        except Exception:
            yield Failure(target.name, case, content, traceback.format_exc())


def main() -> int:
    """Fuzz the targets in turn until the time is up, and keep the files that cause faults."""
    from test_fuzz import targets  # what is tested with a few hundred cases

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="where files go that show a fault")
    options = parser.parse_args()
    quiet()
    options.keep.mkdir(parents=True, exist_ok=True)
    end, found, case = time.monotonic() + 60 * options.minutes, 0, 0
    with tempfile.TemporaryDirectory() as name:
        every = targets(Path(name))
        while time.monotonic() < end:
            for target in every:
                for failure in fuzz(target, range(case, case + 20), Path(name), options.seed):
                    found += 1
                    kept = options.keep / f"{failure.target}-{options.seed}-{failure.case}"
                    kept.write_bytes(failure.file)
                    print(f"{kept}\n{failure.reason}\n", flush=True)
            case += 20
    print(f"{found} faults in {case} cases of each of {len(every)} kinds of file, with --seed {options.seed}")
    return min(found, 1)


if __name__ == "__main__":
    raise SystemExit(main())
