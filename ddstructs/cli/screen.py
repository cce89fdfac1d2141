"""The help of `fit`, `validate`, `test` and `predict`, which lists only the options that the command uses."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ddstructs.cli.fields import DEFAULT_MODEL, TASK, TRAINER, fields
from ddstructs.cli.options import lines_of_help
from ddstructs.cli.unused import unused
from ddstructs.errors import InputError, one_line
from ddstructs.registry.catalog import COMMANDS, KINDS, MODELS
from ddstructs.registry.lookup import hint
from ddstructs.registry.plugins import names, plugins
from ddstructs.registry.source import Parameter, help_of, parameters, summary

__all__ = ["screen"]

USAGE = {
    "fit": "ddstructs fit --data TASK --model.memory MEMORY [options]",
    "validate": "ddstructs validate --ckpt_path FILE [options]",
    "test": "ddstructs test --ckpt_path FILE [options]",
    "predict": "ddstructs predict --ckpt_path FILE --data.text TEXT [options]",
}

CONTROLLER = MODELS[DEFAULT_MODEL]

FIRST = frozenset({"max_epochs", "max_steps", "accelerator", "devices", "enable_progress_bar", "default_root_dir"})
"""The options of the trainer on the first screen."""

SETTLED = frozenset({"memory", "cell"})
"""The options of the controller that the first screen lists with their values."""

SHAPE = frozenset(
    {
        *("hidden_size", "embedding_size", "value_skip", "signal_skip", "read_skip", "read_gate"),
        *("output_layer", "learn_initial"),
    }
)
"""The options of the controller that the weights of a checkpoint determine."""


def screen(command: str, part: str) -> list[str]:
    """The lines of the help of a command: the most common options, or all options of one part.

    Args:
        command: `fit`, `validate`, `test` or `predict`.
        part: An empty string for the most common options, or `model`, `memory`, `data`, `trainer`, or the name of a
            model, task or memory.

    Raises:
        InputError: If the part is unknown.
    """
    if part == "memory" or part in names("memory") or part in names("task"):
        kind = "task" if part in names("task") else "memory"
        chosen = names("memory") if part == "memory" else [part]
        lines = []
        for name in chosen:
            target = KINDS[kind].table.get(name) or plugins(kind)[name].target
            prefix = "data." if kind == "task" else "model.memory."
            known = {key: each for key, each in parameters(target).items() if f"{prefix}{key}" not in unused(command)}
            lines += [f"{name}: {summary(target)}", *lines_of_help(known, help_of(target), prefix), ""]
        return lines[:-1]
    parts, ignored = {"data": TASK, "model": CONTROLLER, "trainer": TRAINER}, unused(command)
    if part in MODELS:
        known = {key: each for key, each in fields(MODELS[part]).items() if f"model.{key}" not in ignored}
        return [f"{part}: {summary(MODELS[part])}", *lines_of_help(known, help_of(MODELS[part]), "model.")]
    if part:
        if part not in parts:
            raise InputError(f"--help.{one_line(part)}: unknown part{hint(part, [*parts, 'memory'])}")
        return [f"options of {part}:", *lines_of_help(_used(part, ignored), help_of(parts[part]), f"{part}.")]
    return [
        f"usage: {USAGE[command]}",
        "",
        summary(COMMANDS[command]),
        "",
        *(_choices() if command == "fit" else ["  --ckpt_path FILE       the checkpoint"]),
        "  --config FILE          a file with settings; options on the command line override it",
        "  --seed_everything INT  the seed of the run; 0 if not given",
        "  --print_config         print all settings as a config file, and stop",
        "",
        *_short("model", SETTLED if command == "fit" else SETTLED | SHAPE, ignored),
        "",
        *_short("data", frozenset(), ignored),
        "",
        *_short("trainer", frozenset(fields(TRAINER)) - FIRST, ignored),
        "",
        "more: --help.model, --help.memory, --help.data, --help.trainer, or --help.NAME for a model, task or memory",
    ]


def _choices() -> list[str]:
    return [
        f"  --data TASK            {', '.join(names('task'))}",
        f"  --model.memory MEMORY  {', '.join(names('memory'))}",
        f"  --model MODEL          {', '.join(names('model'))}; the first if not given",
        f"  --model.cell CELL      {', '.join(names('cell'))}",
        "  --ckpt_path FILE       a checkpoint of a run to resume",
    ]


def _used(section: str, ignored: Collection[str]) -> dict[str, Parameter]:
    """The options of a section, except those that the command ignores."""
    known = parameters(TASK) if section == "data" else fields({"model": CONTROLLER, "trainer": TRAINER}[section])
    return {name: each for name, each in known.items() if f"{section}.{name}" not in ignored}


def _short(section: str, left_out: Collection[str], ignored: Collection[str]) -> Iterable[str]:
    target = {"data": TASK, "model": CONTROLLER, "trainer": TRAINER}[section]
    known = {name: each for name, each in _used(section, ignored).items() if name not in left_out}
    return lines_of_help(known, help_of(target), f"{section}.", short=True)
