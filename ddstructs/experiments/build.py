"""The task, the memory and the model of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ddstructs.bank import Bank
from ddstructs.errors import InputError
from ddstructs.experiments.names import LAYERS, members, model_of
from ddstructs.experiments.runs import Run
from ddstructs.memory import Memory
from ddstructs.registry.arguments import fit_arguments
from ddstructs.registry.plugins import named
from ddstructs.tasks.generated import Generated
from ddstructs.training.learner import Learner

__all__ = ["learner_of", "memory_of", "restore", "task_of"]


def task_of(run: Run, **settings: Any) -> Generated:
    """The task of a run, with some settings in the place of the recipe's.

    Raises:
        InputError: If the recipe does not fit it.
    """
    task: Generated = _build(named("task", run.task), run.task, run.settings["data"] | settings)
    return task


def memory_of(run: Run) -> Memory:
    """The memory of a run; the members of a bank have the same settings.

    Raises:
        InputError: If the recipe does not fit it.
    """
    each: list[Memory] = [
        _build(named("memory", name), run.memory, run.settings["memory"]) for name in members(run.memory)
    ]
    try:
        return each[0] if len(each) == 1 else Bank(each)
    except ValueError as error:
        raise InputError(f"the recipe does not fit {run.memory}: {error}") from error


def learner_of(run: Run, task: Generated) -> Learner:
    """The model of a run, with new weights.

    Raises:
        InputError: If the recipe does not fit it.
    """
    if run.cell == LAYERS and "layers" not in run.settings["model"]:
        raise InputError(
            f"the recipe lists no layers for {run.memory} on {run.task}: add an exception with where: "
            "{model: SequenceModel}, whose model has layers, such as [memory, memory], and null for what only a "
            "Controller takes, such as embedding_size"
        )
    model: Learner = _build(
        named("model", model_of(run.cell)),
        f"{run.memory} on {run.task}",
        run.settings["model"],
        memory=memory_of(run),
        input_symbols=task.input_symbols,
        output_symbols=task.output_symbols,
        **({} if run.cell == LAYERS else {"cell": run.cell}),
    )
    return model


def restore(run: Run, checkpoint: Path, **settings: Any) -> Learner:
    """The trained model of a run, with some settings in the place of the checkpoint's."""
    model: Learner = named("model", model_of(run.cell)).load_from_checkpoint(checkpoint, **settings)
    return model


def _build(kind: type[Any], name: str, settings: dict[str, Any], **given: Any) -> Any:
    """Build an object with the settings of a recipe, and other arguments."""
    try:
        return kind(**fit_arguments(kind, settings, skip=given), **given)
    except (InputError, TypeError, ValueError) as error:
        raise InputError(f"the recipe does not fit {name}: {error}") from error
