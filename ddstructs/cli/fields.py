"""The settings of a run, from the signatures of model, trainer and task, and their form in a config file."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from ddstructs.registry.catalog import MODELS
from ddstructs.registry.lookup import signature
from ddstructs.registry.source import Parameter, parameters
from ddstructs.registry.spec import Spec

__all__ = ["DEFAULT_MODEL", "LINKED", "TASK", "TOP", "TRAINER", "fields", "literal", "models_with", "written"]

TASK = "ddstructs.tasks.generated:Generated"

DEFAULT_MODEL = next(iter(MODELS))
"""The model of a run, unless another one is chosen."""

TRAINER = "pytorch_lightning.trainer.trainer:Trainer"

BATCHES = "Annotated[int, Range(0)] | Annotated[float, Range(0, 1)] | None"

TYPES = {
    (MODELS["Controller"], "cell"): "Cell",
    (MODELS["SequenceModel"], "layers"): "list[Literal['attention', 'memory', 'recurrent']]",
    (TRAINER, "accelerator"): "Literal['auto', 'cpu', 'gpu', 'cuda', 'mps', 'tpu']",
    (TRAINER, "accumulate_grad_batches"): "Annotated[int, Range(1)]",
    (TRAINER, "check_val_every_n_epoch"): "Annotated[int, Range(1)] | None",
    (TRAINER, "deterministic"): "bool | Literal['warn'] | None",
    (TRAINER, "fast_dev_run"): "bool | Annotated[int, Range(0)]",
    (TRAINER, "gradient_clip_algorithm"): "Literal['norm', 'value'] | None",
    (TRAINER, "gradient_clip_val"): "Annotated[float, Range(0)] | None",
    (TRAINER, "limit_predict_batches"): BATCHES,
    (TRAINER, "limit_test_batches"): BATCHES,
    (TRAINER, "limit_train_batches"): BATCHES,
    (TRAINER, "limit_val_batches"): BATCHES,
    (TRAINER, "log_every_n_steps"): "Annotated[int, Range(0)] | None",
    (TRAINER, "max_epochs"): "Annotated[int, Range(-1)] | None",
    (TRAINER, "max_steps"): "Annotated[int, Range(-1)]",
    (TRAINER, "min_epochs"): "Annotated[int, Range(0)] | None",
    (TRAINER, "min_steps"): "Annotated[int, Range(0)] | None",
    (TRAINER, "num_nodes"): "Annotated[int, Range(1)]",
    (TRAINER, "num_sanity_val_steps"): "Annotated[int, Range(-1)] | None",
    (TRAINER, "overfit_batches"): "Annotated[int, Range(0)] | Annotated[float, Range(0, 1)]",
    (TRAINER, "precision"): "Literal[16, 32, 64, 'bf16', '16-mixed', '16-true', 'bf16-mixed', 'bf16-true', '32-true', "
    "'64-true', 'transformer-engine', 'transformer-engine-float16'] | None",
    (TRAINER, "profiler"): "Literal['simple', 'advanced', 'pytorch'] | None",
    (TRAINER, "reload_dataloaders_every_n_epochs"): "Annotated[int, Range(0)]",
    (TRAINER, "val_check_interval"): "Annotated[int, Range(1)] | Annotated[float, Range(0, 1)] | str | dict[str, int]",
}
"""Replacements for types that a signature names differently, or states so loosely that errors would appear late."""

LINKED = ("input_symbols", "output_symbols")
"""The settings of the model that the task determines."""

TOP = {
    "seed_everything": Parameter(ast.Name("int"), ast.Constant(0)),
    "ckpt_path": Parameter(ast.Name("str"), ast.Constant(None)),
}


def fields(target: str) -> dict[str, Parameter]:
    """The settings of a model or of the trainer."""
    return {
        name: each._replace(annotation=_type(target, name, each.annotation))
        for name, each in parameters(target).items()
        if name not in LINKED
    }


def models_with(setting: str) -> list[str]:
    """The models that have a setting."""
    return [name for name, target in MODELS.items() if setting in fields(target)]


def _type(target: str, name: str, annotation: ast.expr | None) -> ast.expr | None:
    text = TYPES.get((target, name))
    return ast.parse(text, mode="eval").body if text else annotation


def written(value: Any) -> Any:
    """A setting as plain data, with the defaults of objects filled in from their signatures."""
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
    """A default as plain data; an ellipsis if it is anything else."""
    try:
        return ... if default is None else ast.literal_eval(default)
    except ValueError:
        return ...
