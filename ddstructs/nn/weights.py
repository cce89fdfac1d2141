"""Build models from plain settings and weights, which are checked against each other first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ddstructs.errors import InputError
from ddstructs.memory import Memory
from ddstructs.registry.describe import describe
from ddstructs.registry.plugins import names
from ddstructs.registry.spec import build, check

__all__ = ["check_fit", "check_same", "check_settings", "construct", "load_weights", "rehearse", "restore"]

STATE = 2**22
"""Maximum number of elements in the state of an empty memory, for one row."""

MEANING = (
    *("memory", "cell", "input_symbols", "output_symbols", "hidden_size", "embedding_size"),
    *("value_skip", "signal_skip", "read_skip", "read_gate", "output_layer", "learn_initial"),
    *("layers", "embed_dim", "num_heads", "feed_forward", "position", "max_length"),
)
"""The settings that determine the meaning of a controller's weights; the others affect only training and inference."""

M = TypeVar("M", bound=nn.Module)


def check_settings(settings: Mapping[str, Any], path: str | Path, replaced: Collection[str] = ()) -> None:
    """Check that the settings of a model in a file are plain data and name only classes on the closed list.

    Args:
        settings: The arguments of the model's constructor.
        path: The file, for error messages.
        replaced: Settings that the caller overrides; these are not checked.

    Raises:
        InputError: If they are not.
    """
    for name, value in settings.items():
        if name in replaced:
            continue
        check(value, f"{name} in {path}")
        if name == "memory" and not (isinstance(value, dict) and "class_path" in value):
            raise InputError(
                f"the memory in {path} is {str(value)[:50]!r}, but a class path with arguments was expected"
            )
        if name == "cell" and not (value in names("cell") if isinstance(value, str) else isinstance(value, dict)):
            raise InputError(
                f"the cell in {path} is {str(value)[:50]!r}, but one of {', '.join(names('cell'))} was expected"
            )


def construct(
    kind: type[M], settings: Mapping[str, Any], path: str | Path, overrides: Mapping[str, Any] | None = None
) -> M:
    """Build a model from the settings in a file.

    Args:
        kind: Class of the model.
        settings: Its settings, checked by `check_settings`.
        path: The file, for error messages.
        overrides: Settings that replace those in the file; a list may contain modules.

    Raises:
        InputError: If the settings do not build a model.
    """
    overrides = overrides or {}
    try:
        arguments = {name: build(value) for name, value in settings.items() if name not in overrides}
        replaced = {name: value if isinstance(value, list) else build(value) for name, value in overrides.items()}
        return kind(**arguments, **replaced)
    except InputError:
        raise
    except Exception as error:  # settings may be arbitrary, and so may torch's errors
        reason = " ".join(str(error).split())
        raise InputError(f"the settings in {path} do not build a {kind.__name__}: {reason[:200]}") from error


def restore(make: Callable[[], M], content: Mapping[str, Any], path: str | Path) -> M:
    """Build a model and load the weights of a checkpoint, without changing the caller's random state.

    Args:
        make: Builds the model.
        content: The result of `read`.
        path: The file, for error messages.

    Raises:
        InputError: If the weights do not fit.
    """
    rehearse(make, content, path)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        model = make()
    load_weights(model, content, path)
    return model


def rehearse(make: Callable[[], nn.Module], content: Mapping[str, Any], path: str | Path) -> None:
    """Check that weights fit a model, without the cost of building it.

    The model is built on torch's meta device, where tensors have no data. Models that read tensor data during
    construction cannot be built there, so they are not checked.

    Args:
        make: Builds the model.
        content: The result of `read`.
        path: The file, for error messages.

    Raises:
        InputError: If the weights do not fit.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            model = make()
            sizes = [_numbers(module.initial_state(1)) for module in model.modules() if isinstance(module, Memory)]
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, RuntimeError) and "meta tensor" in str(cause):
            return
        raise
    check_fit(model, content["state_dict"], path)
    if sum(sizes) > STATE:
        raise InputError(f"the empty memory in {path} has {sum(sizes)} numbers, but at most {STATE} were expected")


def _numbers(state: Any) -> int:
    sizes: list[int] = []

    def count(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    state.map(count)
    return sum(sizes)


def load_weights(model: nn.Module, content: Mapping[str, Any], path: str | Path) -> None:
    """Load the weights of a checkpoint into a model.

    Args:
        model: The model.
        content: The result of `read`.
        path: The file, for error messages.

    Raises:
        InputError: If the weights do not fit.
    """
    check_fit(model, content["state_dict"], path)
    model.load_state_dict(content["state_dict"])


def check_fit(model: nn.Module, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Check that weights have the names, shapes and dtypes of the model's, and are finite.

    Raises:
        InputError: If they do not.
    """
    own = model.state_dict()
    reason = None
    if missing := own.keys() - weights.keys():
        reason = f"{min(missing)} is missing"
    elif unknown := weights.keys() - own.keys():
        reason = f"the model has no {min(unknown)}"
    for name in own if reason is None else ():
        mine, its = own[name], weights[name]
        if mine.shape != its.shape:
            reason = f"{name} has shape {tuple(its.shape)}, but {tuple(mine.shape)} was expected"
            break
        if _kind(mine) != _kind(its) or its.device.type == "meta":
            reason = f"{name} is a tensor of {its.dtype} ({its.layout}, {its.device}), but {mine.dtype} was expected"
            break
    if reason is not None:
        raise InputError(f"the weights in {path} do not fit the model it describes: {reason[:200]}")
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise InputError(f"{name} in {path} has numbers that are not finite: the training that wrote it failed")


def _kind(tensor: Tensor) -> object:
    """The properties that must match for one tensor to be copied into another."""
    return tensor.layout, tensor.is_quantized, "float" if tensor.is_floating_point() else tensor.dtype


def check_same(settings: Mapping[str, Any], checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Check that a model has the settings its weights were trained with; matching shapes are not enough.

    Args:
        settings: The settings of the controller that receives the weights.
        checkpoint: The settings of the controller that was trained.
        path: The file, for error messages.

    Raises:
        InputError: If a setting that determines the meaning of the weights differs.
    """
    for name in MEANING:
        if name not in settings or name not in checkpoint:
            continue
        mine, its = settings[name], checkpoint[name]
        if mine != its and mine != _rebuilt(its):
            same = "the symbols of the task as they are" if name.endswith("_symbols") else f"{name} as it is"
            raise InputError(
                f"the weights in {path} are of a model with {name} {_shown(its)}, not {_shown(mine)}: "
                f"keep {same}, or train a new model"
            )


def _rebuilt(spec: Any) -> Any:
    """The current description of an object that a checkpoint describes, possibly written by an older version."""
    if not (isinstance(spec, dict) and "class_path" in spec):
        return spec
    try:
        with torch.device("meta"):
            return describe(build(spec))
    except (InputError, TypeError, RuntimeError):  # a class of the user's own
        return spec


def _shown(setting: Any) -> str:
    """A setting in brief: for an object, its class name and arguments."""
    if not (isinstance(setting, dict) and "class_path" in setting):
        return str(setting)[:80]
    arguments = ", ".join(f"{name}={value}" for name, value in setting.get("init_args", {}).items())
    return f"{setting['class_path'].rpartition('.')[2]}({arguments})"[:80]
