"""What a run can be set to, by the signatures of controller, trainer and task, and how a config file says it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from ddstructs.registry.lookup import signature
from ddstructs.registry.source import Parameter, parameters
from ddstructs.registry.spec import Spec

__all__ = ["CONTROLLER", "LINKED", "TASK", "TOP", "TRAINER", "fields", "literal", "written"]

TASK = "ddstructs.tasks.generated:Generated"

CONTROLLER = "ddstructs.training.controller:Controller"

TRAINER = "pytorch_lightning.trainer.trainer:Trainer"

TYPES = {
    (CONTROLLER, "cell"): "Cell",
    (TRAINER, "precision"): "str | int | None",
    (TRAINER, "deterministic"): "bool | str | None",
}
"""Types that a signature says by another name, or more widely than a config needs."""

LINKED = ("input_symbols", "output_symbols")
"""Settings of the controller that the task gives."""

TOP = {
    "seed_everything": Parameter(ast.Name("int"), ast.Constant(0)),
    "ckpt_path": Parameter(ast.Name("str"), ast.Constant(None)),
}


def fields(target: str) -> dict[str, Parameter]:
    """The settings of the controller or of the trainer."""
    return {
        name: each._replace(annotation=_type(target, name, each.annotation))
        for name, each in parameters(target).items()
        if name not in LINKED
    }


def _type(target: str, name: str, annotation: ast.expr | None) -> ast.expr | None:
    text = TYPES.get((target, name))
    return ast.parse(text, mode="eval").body if text else annotation


def written(value: Any) -> Any:
    """A setting as plain data, objects with the defaults of their signatures."""
    if isinstance(value, Spec):
        if value.kind == "cell" and not value.arguments:
            return value.name
        defaults = {name: literal(each.default) for name, each in signature(value.kind, value.name).items()}
        return {"class_path": value.name, "init_args": written(defaults | value.arguments)}
    if isinstance(value, Mapping):
        return {name: written(part) for name, part in value.items() if part is not ...}
    if isinstance(value, list | tuple):
        return [written(part) for part in value]
    return value


def literal(default: ast.expr | None) -> Any:
    """A default as plain data; an ellipsis if it is something else."""
    try:
        return ... if default is None else ast.literal_eval(default)
    except ValueError:
        return ...
