"""Plain data from files: numbers, strings, lists and dictionaries, limited in size and depth."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ddstructs.errors import InputError, one_line

__all__ = ["check_plain", "dump_yaml", "load_yaml", "shown"]

PARTS = 10_000
"""Maximum number of parts; shared parts count once per reference."""

DEPTH = 100
"""Maximum nesting depth."""

LENGTH = 1_000_000
"""Maximum number of characters in a string, and of bytes in a YAML file."""

LARGEST = 2**64
"""Maximum absolute value of an integer."""

FLOAT = (
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$", re.ASCII),
    list("-+.0123456789"),
)
"""YAML resolver for numbers such as 5e-3, which YAML 1.1 reads as text because they have no decimal point."""


def check_plain(value: object, what: str) -> None:
    """Refuse data that is not plain, or that is larger or deeper than any settings.

    Shared parts count once per reference but are visited only once, because a few hundred lists of two can expand to
    2^100 parts.

    Args:
        value: The data: numbers, strings and None, in lists and dictionaries.
        what: Its name in errors.

    Raises:
        InputError: If it holds anything else, or too much.
    """
    _measure(value, what, {}, DEPTH)


def _measure(part: object, what: str, known: dict[int, tuple[int, int]], depth: int) -> tuple[int, int]:
    """The number of parts, and the depth."""
    if isinstance(part, str) and len(part) > LENGTH:
        raise InputError(f"{what} is refused: it has a string of {len(part)} characters, more than {LENGTH}")
    if isinstance(part, int) and abs(part) > LARGEST:
        raise InputError(f"{what} is refused: it has a number of {part.bit_length()} bits")
    if part is None or isinstance(part, bool | int | float | str):
        return 1, 0
    if not isinstance(part, dict | list | tuple):
        raise InputError(f"{what} holds a {type(part).__name__}, but numbers, strings, lists and names were expected")
    parts, levels = known.get(id(part), (1, 0))
    if levels > depth or not depth:
        raise InputError(f"{what} is refused: it nests deeper than {DEPTH} levels")
    if levels:
        return parts, levels
    for each in [*part.keys(), *part.values()] if isinstance(part, dict) else part:
        more, below = _measure(each, what, known, depth - 1)
        parts, levels = parts + more, max(levels, below)
        if parts > PARTS:
            raise InputError(f"{what} is refused: it expands to more than {PARTS} parts")
    known[id(part)] = parts, levels + 1
    return parts, levels + 1


def load_yaml(source: Path | str, what: str) -> Any:
    """Read YAML: plain data, within the limits of `check_plain`.

    Args:
        source: A file, or the text itself.
        what: Its name in errors.

    Raises:
        InputError: If the file cannot be read, is not YAML, or holds more than plain data.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses duplicate keys, and merge keys, a few of which can expand to billions of entries."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen = set[str]()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        raise yaml.YAMLError(f"duplicate key {key.value!r}")
                    seen.add(key.value)
            found: dict[Any, Any] = super().construct_mapping(node, deep)
            return found

        def flatten_mapping(self, node: Any) -> None:
            for key, _ in node.value:
                if key.tag == "tag:yaml.org,2002:merge":
                    raise yaml.YAMLError("merge keys (<<) are not supported")

    Loader.add_implicit_resolver(*FLOAT)
    try:
        text = source if isinstance(source, str) else _read(source)
        if len(text) > LENGTH:
            raise InputError(f"{what} is refused: it has {len(text)} characters, more than {LENGTH}")
        value = yaml.load(text, Loader)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {what}: {error.strerror or error}") from error
    except RecursionError as error:
        raise InputError(f"{what} is refused: it nests deeper than {DEPTH} levels") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise InputError(f"{what} is not YAML: {where}{one_line(error.problem or error.context)[:200]}") from error
    except (yaml.YAMLError, ValueError, TypeError) as error:  # such as an invalid date, or a list as a key
        raise InputError(f"{what} is not YAML: {one_line(error)[:200]}") from error
    check_plain(value, what)
    return value


def dump_yaml(value: object) -> str:
    """Write plain data as YAML that `load_yaml` reads back: keys in the given order, and text such as 5e-3 quoted."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Recognizes the same numbers as `load_yaml`."""

    Dumper.add_implicit_resolver(*FLOAT)
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, default_flow_style=False)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(LENGTH + 1).decode("utf-8-sig")


def shown(value: object, most: int = 60) -> str:
    """A value for an error message: on one line, and truncated. It must have passed `check_plain`."""
    text = one_line(repr(str(value) if isinstance(value, str) else value))
    return text if len(text) <= most else f"{text[: most - 3]}..."
