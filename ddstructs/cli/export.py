"""The command `ddstructs export`: a trained controller as a file for other programs."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, cast

from ddstructs.errors import InputError, printable
from ddstructs.export.packages import require
from ddstructs.files import check_checkpoint, check_file, check_file_name
from ddstructs.registry.ranges import Size

if TYPE_CHECKING:
    from ddstructs.training.controller import Controller

__all__ = ["export"]


def export(ckpt_path: str, out: str = "model.onnx", capacity: Size = 256) -> None:
    """Write a trained controller as an ONNX file, which runs without PyTorch.

    Args:
        ckpt_path: The checkpoint of the controller.
        out: The file to write, with a name ending in .onnx. Its network rounds push and pop to 0 or 1.
        capacity: Maximum number of values in the memory. The file says when a sequence needs more.
    """
    path = check_file_name(out, "--out")
    if path.suffix != ".onnx":
        raise InputError(f"--out is {out}, but a file name ending in .onnx was expected")
    check_file(out, "--out")
    check_checkpoint(ckpt_path)
    require("onnx", "onnxscript", "onnxruntime")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    from ddstructs.export.onnx import to_onnx  # imports torch, which takes seconds
    from ddstructs.registry.plugins import load_plugins
    from ddstructs.registry.spec import build
    from ddstructs.training.checkpoint import TASK, read
    from ddstructs.training.learner import Learner

    for kind in ("memory", "cell", "task"):
        load_plugins(kind)
    spec = read(ckpt_path)[TASK]
    model = Learner.load_from_checkpoint(ckpt_path)
    arguments = {name: value for name, value in spec["init_args"].items() if name not in ("text", "file")}
    task = build(spec | {"init_args": arguments}, "task")
    try:
        to_onnx(cast("Controller", model), path, capacity=capacity, task=task)
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from error
    print(f"Written to {printable(out)}")
