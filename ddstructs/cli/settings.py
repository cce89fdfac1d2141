"""The settings of a run: layers of plain data, each overriding those before, checked against signatures when added.

The layers are the defaults, a checkpoint, config files and the options. Nothing in a layer is imported or called: names
are looked up in the registry, and everything else is a number, a string, a list or a dictionary.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from ddstructs.cli.fields import DEFAULT_MODEL, LINKED, TASK, TOP, TRAINER, fields, literal, models_with, written
from ddstructs.cli.options import value_of
from ddstructs.cli.words import Word
from ddstructs.errors import InputError, one_line
from ddstructs.registry.annotations import settable
from ddstructs.registry.catalog import MODELS
from ddstructs.registry.data import shown
from ddstructs.registry.lookup import look_up, signature
from ddstructs.registry.plugins import names
from ddstructs.registry.source import Parameter, parameters
from ddstructs.registry.spec import ACCEPTED, OBJECTS, Spec, argument, complete, draft
from ddstructs.registry.types import Text, convert

__all__ = ["Settings"]


class Settings:
    """The settings of a run.

    Attributes:
        top: Settings outside all sections.
        data: The task; None until it is set.
        model: The name of the model's class.
        sections: The settings of the model (`model`) and of the trainer (`trainer`), by name.
    """

    def __init__(self) -> None:
        self.top: dict[str, Any] = {}
        self.data: Spec | None = None
        self.model = DEFAULT_MODEL
        self.fields = {"model": fields(MODELS[self.model]), "trainer": fields(TRAINER)}
        self.sections: dict[str, dict[str, Any]] = {"model": {}, "trainer": {}}

    def layer(self, values: object, lead: str) -> None:
        """Add a layer of plain data.

        Args:
            values: Settings by name, as in a config file.
            lead: Start of error messages, such as the name of the file.

        Raises:
            InputError: If a setting is unknown, or a value does not have its type.
        """
        if values is None:
            raise InputError(f"{lead}the file is empty, but names with values such as data: Reversal were expected")
        if not (isinstance(values, dict) and all(isinstance(name, str) for name in values)):
            raise InputError(f"{lead}found {shown(values)}, but names with values were expected")
        for section, part in values.items():
            if section in self.sections and isinstance(part, dict) and "class_path" not in part:
                for name, value in part.items():
                    self.put([section, str(name)], value, lead)
            else:
                self.put([section], part, lead)

    def words(self, words: list[Word]) -> None:
        """Add the options as a layer; `--data`, `--model` and `--model.memory` are set before their arguments.

        Raises:
            InputError: If an option is unknown, or a value does not have its type.
        """
        for word in sorted(words, key=lambda word: min(word.name.count("."), 2) - (word.name == "data")):
            path = word.name.split(".")
            parameter = self._parameter(path)
            value = word.value if parameter is None or word.value is not None else value_of(word, parameter)
            if value is None:
                raise InputError(f"--{one_line(word.name)} needs a value")
            self.put(path, value, "--", word.append)

    def fill(self, known: dict[str, dict[str, Any]]) -> None:
        """Set defaults for the task (`data`), the `memory` and the `model`, without replacing settings."""
        assert self.data is not None
        model = self.sections["model"]
        for path, there in (
            (["data"], self.data.arguments),
            (["model", "memory"], model["memory"].arguments),
            (["model"], model),
        ):
            for name, value in known[path[-1]].items():
                if name not in there:
                    self.put([*path, name], value, "")

    def put(self, path: list[str], value: object, lead: str, append: bool = False) -> None:
        """Set one setting, by its path."""
        path = [*path[:1], *(part for part in path[1:] if part != "init_args")]
        first, *rest = path
        place = f"{lead}{'.'.join(path)}"
        if append and (first != "trainer" or len(path) != 2):
            raise InputError(f"{one_line(place)} is not a list, so nothing can be added to it")
        if path in ([name] for name in TOP):
            self.top[first] = None if value is None else convert(TOP[first].annotation, value, place)
        elif first == "data" and rest in ([], ["class_path"]):
            self.data = _over(self.data, draft(value, ("task",), place))
        elif first == "data" and len(rest) == 1:
            if self.data is None:
                raise self._misplaced(path, lead) if not self._fits(path) else InputError(self._needs_task())
            if rest[0] not in signature("task", self.data.name):
                raise self._misplaced(path, lead)
            self.data.arguments[rest[0]] = argument(self.data, rest[0], value, f"{lead}data")
        elif first == "model" and (rest == ["class_path"] or (not rest and isinstance(value, str | dict))):
            self._put_model(value, place, lead)
        elif first in self.sections and rest and rest[0] in self.fields[first]:
            self._put_field(first, rest, value, place, append)
        elif first in self.sections and rest and rest[0] in LINKED:
            if value is not None:
                raise InputError(f"{place} cannot be set: the task determines it")
        elif first in self.sections and not rest:
            raise InputError(f"{place} is {shown(value)}, but names with values were expected")
        else:
            raise self._misplaced(path, lead)

    def _put_model(self, value: object, place: str, lead: str) -> None:
        """Set the class of the model. A change of class drops the settings of the previous one."""
        _, name, arguments = look_up(value, ("model",), place)
        if name != self.model:
            self.model, self.fields["model"], self.sections["model"] = name, fields(MODELS[name]), {}
        for key, part in arguments.items():
            self.put(["model", key], part, lead)

    def _put_field(self, section: str, path: list[str], value: object, place: str, append: bool) -> None:
        values, parameter = self.sections[section], self.fields[section][path[0]]
        if len(path) == 1 or path[1:] == ["class_path"]:
            if value is None and path[0] != "memory":
                values[path[0]] = None
                return
            new = convert(parameter.annotation, _listed(value) if append else value, place, OBJECTS, _draft)
            before = values.get(path[0])
            if append:
                values[path[0]] = [*(before or []), *(new if isinstance(new, list) else [new])]
            else:
                values[path[0]] = _over(before, new) if isinstance(new, Spec) else new
            return
        target = values.get(path[0])
        target = target[-1] if isinstance(target, list) and target else target
        if len(path) > 2 or not isinstance(target, Spec):
            raise InputError(f"{one_line(place)} needs --{section}.{path[0]}, which was not given")
        target.arguments[path[1]] = argument(target, path[1], value, place.rpartition(".")[0])

    def check(self) -> None:
        """Check that nothing is missing.

        Raises:
            InputError: If the task, the memory or a required argument is missing.
        """
        if self.data is None:
            raise InputError(self._needs_task())
        complete(self.data, "--data")
        memory = self.sections["model"].get("memory")
        if memory is None:
            raise InputError(f"--model.memory is required; choose from {', '.join(names('memory'))}")
        for section, values in self.sections.items():
            for name, value in values.items():
                for each in value if isinstance(value, list) else [value]:
                    if isinstance(each, Spec) and not (each.kind == "cell" and not each.arguments):
                        complete(each, f"--{section}.{name}")

    def plain(self) -> dict[str, Any]:
        """The settings in the form of a config file, with the defaults of the task and the model filled in."""
        assert self.data is not None
        model = {name: literal(each.default) for name, each in self.fields["model"].items()} | self.sections["model"]
        return {
            "seed_everything": self.top.get("seed_everything", 0),
            "data": written(self.data),
            "model": written(model) if self.model == DEFAULT_MODEL else _named(self.model, model),
            "trainer": written(self.sections["trainer"]),
        }

    def _parameter(self, path: list[str]) -> Parameter | None:
        """The parameter that an option sets, if it is known before the value is read."""
        first, *rest = path
        if not rest:
            return TOP.get(first)
        if first == "data":
            return signature("task", self.data.name).get(rest[0]) if self.data else None
        return self.fields.get(first, {}).get(rest[0]) if len(rest) == 1 else None

    def _known(self) -> Iterator[str]:
        """All options."""
        yield from (*TOP, "config", "data", "model")
        yield from (f"data.{name}" for name in (signature("task", self.data.name) if self.data else parameters(TASK)))
        for section, known in self.fields.items():
            yield from (f"{section}.{name}" for name, each in known.items() if settable(each.annotation, OBJECTS))
        memory = self.sections["model"].get("memory")
        yield from (f"model.memory.{name}" for name in (signature("memory", memory.name) if memory else ()))

    def _fits(self, path: list[str]) -> bool:
        return any(path[1] in signature("task", name) for name in names("task"))

    def _misplaced(self, path: list[str], lead: str) -> InputError:
        """The error for an unknown setting."""
        others = models_with(path[1]) if path[0] == "model" and len(path) > 1 else []
        if others:
            name = f"{lead}{one_line('.'.join(path))}"
            return InputError(f"{name} is a setting of a {others[0]}, not a {self.model}: use --model {others[0]}")
        known, name = list(self._known()), ".".join(path)
        same = [each for each in known if each.rpartition(".")[2] == path[-1] and each != name]
        last = {each.rpartition(".")[2]: each for each in reversed(known)}
        close = same or get_close_matches(path[-1], last, 1, cutoff=0.7)
        found = last.get(close[0], close[0]) if close else None
        dashes = "--" if lead == "--" else ""
        end = f"; did you mean {dashes}{found}?" if found else "; see ddstructs fit --help"
        return InputError(f"{'unknown option --' if dashes else f'{lead}unknown setting '}{one_line(name)}{end}")

    def _needs_task(self) -> str:
        return f"--data, the task, is required; choose from {', '.join(names('task'))}"


def _draft(expected: str, value: object, place: str) -> Spec:
    return draft(value, ACCEPTED[expected], place)


def _over(before: object, new: Spec) -> Spec:
    """A new choice, which keeps the arguments of the previous one if both name the same class."""
    if isinstance(before, Spec) and (before.kind, before.name) == (new.kind, new.name):
        return Spec(new.kind, new.name, before.arguments | new.arguments)
    return new


def _named(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A model with its settings."""
    return {"class_path": name, "init_args": written(arguments)}


def _listed(value: object) -> object:
    return value if isinstance(value, list) or (isinstance(value, Text) and value[:1] == "[") else [value]
