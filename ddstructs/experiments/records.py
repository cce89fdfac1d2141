"""The records of runs in JSON files, validated as they are read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ddstructs.errors import InputError
from ddstructs.experiments.suites import SUITES

__all__ = ["CONFIG", "KEY", "Record", "curves_of", "read_records"]

Record = dict[str, Any]

KEY = ("task", "memory", "cell", "config", "seed")
"""The fields that identify a run."""

CONFIG = ("config",)

SCORES = ("coarse_train", "fine_train", "coarse_test", "fine_test", "seconds")
"""The scores of a run of the paper."""

SUITE_SCORES = ("score_train", "score_test", "seconds")
"""The scores of a run of another suite; `score_soft` is beside them where the test rounds the signals."""

CURVES = (("val_fine", "coarse"), ("val_score", "score"))
"""What the curves of either tell: the validation by updates, and the test by length."""

HARD = re.compile(r"coarse_hard_\d{1,9}", re.ASCII)

Check = Callable[[Any], None]
"""A function that raises a `ValueError` if a value is not as expected."""


def read_records(path: Path) -> Any:
    """The content of a file of the results; for JSON lines (`.jsonl`), a list of records.

    Args:
        path: The file. Its name determines the expected content.

    Raises:
        InputError: If it cannot be read, or if its content is invalid.
    """
    check = FORMATS[path.name]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if path.suffix != ".jsonl":
        return _parse(path, content, check)
    lines = enumerate(content.splitlines(), 1)
    return [_parse(f"{path}, line {number}", line, check) for number, line in lines]


def _parse(place: object, content: bytes, check: Check) -> Any:
    try:
        value = json.loads(content, parse_constant=_refuse)
        check(value)
    except RecursionError as error:
        raise InputError(f"{place} is damaged: it is nested too deeply") from error
    except ValueError as error:  # also raised by the decoder
        what = error if isinstance(error, _Unexpected) else f"JSON was expected, but it is {content[:40]!r}"
        raise InputError(f"{place} is damaged: {what}") from error
    return value


class _Unexpected(ValueError):
    pass


def _refuse(name: str) -> NoReturn:
    raise _Unexpected(f"a finite number was expected, but {name} was found")


def _check_key(value: Any, key: Sequence[str] = KEY) -> None:
    if not isinstance(value, dict):
        raise _Unexpected(f"an object was expected, but it is {str(value)[:40]!r}")
    if missing := [name for name in key if name not in value]:
        raise _Unexpected(f"{', '.join(missing)} not found")
    for name in key:
        if name == "seed":
            _check_number(name, value[name], int)
        else:
            _check_text(name, value[name])


def _check_record(value: Any) -> None:
    _check_key(value)
    if "error" in value:
        _check_text("error", value["error"])
        return
    needed = SUITE_SCORES if "score_test" in value else SCORES
    if missing := [name for name in (*needed, "updates") if name not in value]:
        raise _Unexpected(f"{', '.join(missing)} not found")
    for name, part in value.items():
        if name in (*needed, "score_soft") or name.startswith("coarse_hard"):
            _check_score(name, part)
        elif name in ("updates", "restarts"):
            _check_number(name, part, int)
        elif name not in KEY:
            _check_text(name, part)


def _check_long(value: Any) -> None:
    _check_key(value, ())
    for name, part in value.items():
        _check_score(name, part)


def _check_score(name: str, value: Any) -> None:
    if not (name in (*SCORES, *SUITE_SCORES, "score_soft") or HARD.fullmatch(name)):
        raise _Unexpected(f"{name[:40]!r} is not a score")
    _check_number(name, value)


def curves_of(value: Record) -> tuple[str, str]:
    """The names of what the curves of a run tell, from any part of them."""
    return CURVES[1] if not value.keys().isdisjoint(CURVES[1]) else CURVES[0]


def _check_curve(value: Any) -> None:
    _check_key(value)
    for name in curves_of(value):
        points = value.get(name)
        if not (isinstance(points, list) and all(isinstance(point, list) and len(point) == 2 for point in points)):
            raise _Unexpected(f"{name} is {str(points)[:40]!r}, but a list of pairs was expected")
        for x, y in points:
            _check_number(name, x)
            _check_number(name, y)


def _check_config(value: Any) -> None:
    _check_key(value, CONFIG)
    _check_settings(value.get("settings"))


def _check_settings(value: Any) -> None:
    _check_key(value, ())
    for section, part in value.items():
        if not isinstance(part, dict):
            raise _Unexpected(f"the section {section[:40]!r} is {str(part)[:40]!r}, but an object was expected")


def _check_point(value: Any) -> None:
    _check_key(value, ())
    _check_number("updates", value.get("updates"), int)
    validated, _ = curves_of(value)
    _check_number(validated, value.get(validated))


def _check_lengths(value: Any) -> None:
    if not isinstance(value, list) or not value:
        raise _Unexpected(f"a list of lengths was expected, but it is {str(value)[:40]!r}")
    for part in value:
        _check_key(part, ())
        for name in ("length", "sequences"):
            _check_number(name, part.get(name), int)
            if part[name] < 1:
                raise _Unexpected(f"{name} is {part[name]}, but 1 or more was expected")
        _, tested = curves_of(part)
        _check_number(tested, part.get(tested))


def _check_number(name: str, value: Any, kind: type = float) -> None:
    right = (int,) if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, right) or not math.isfinite(value) or abs(value) > 1e12:
        raise _Unexpected(
            f"{name} is {str(value)[:40]!r}, but {'an integer' if kind is int else 'a number'} was expected"
        )


def _check_text(name: str, value: Any) -> None:
    if not (isinstance(value, str) and value.isprintable()):
        raise _Unexpected(f"{name[:40]!r} is {str(value)[:40]!r}, but text was expected")


FORMATS: dict[str, Check] = {
    **{f"{suite}.jsonl": _check_record for suite in SUITES},
    "curves.jsonl": _check_curve,
    "configs.jsonl": _check_config,
    "record.json": _check_record,
    "long.json": _check_long,
    "settings.json": _check_settings,
    "curve.jsonl": _check_point,
    "lengths.json": _check_lengths,
}
"""The check of each file of the results, by its name."""
