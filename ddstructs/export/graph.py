"""The ONNX graph of a controller: a loop over time around one step."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

import torch

from ddstructs import __version__, ops
from ddstructs.errors import InputError, one_line
from ddstructs.export.step import Step

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

__all__ = ["build"]

LOGGERS = ("torch.onnx", "torch.export", "torch.fx.experimental.symbolic_shapes", "onnxscript", "onnx_ir")
"""What reports on the export: packages that are not installed, and optimizations."""


def build(step: Step, metadata: Mapping[str, str]) -> ModelProto:
    """The graph for a whole sequence.

    Args:
        step: The step.
        metadata: What the file says of itself.

    Raises:
        InputError: If torch cannot export the step.
    """
    from onnx import TensorProto, checker, helper

    one = _export(step)
    symbol, *before = one.graph.input
    logit, lost, *after = one.graph.output
    body = helper.make_graph(list(one.graph.node), "step", [*before, symbol], [*after, logit, lost])
    for node in body.node:
        del node.metadata_props[:]  # the lines of this machine's source files
    following = [f"next.{name}" for name in step.names]
    loop = helper.make_node(
        "Scan", [*step.names, "symbols"], [*following, "logits", "overflow"],
        body=body, num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1, 1],
    )  # fmt: skip
    outputs = logit.type.tensor_type.shape.dim[1].dim_value
    whole = helper.make_graph(
        [loop],
        "controller",
        [
            helper.make_tensor_value_info("symbols", TensorProto.INT64, ["batch", "time"]),
            *map(_renamed, before, step.names),
        ],
        [
            helper.make_tensor_value_info("logits", logit.type.tensor_type.elem_type, ["batch", "time", outputs]),
            helper.make_tensor_value_info("overflow", TensorProto.BOOL, ["batch", "time"]),
            *map(_renamed, after, following),
        ],
        initializer=list(one.graph.initializer),
    )
    model = helper.make_model(
        whole, opset_imports=one.opset_import, functions=one.functions, ir_version=one.ir_version,
        producer_name="ddstructs", producer_version=__version__,
    )  # fmt: skip
    helper.set_model_props(model, dict(metadata))
    checker.check_model(model, full_check=True)
    return model


def _export(step: Step) -> ModelProto:
    """One step as a graph with a free batch size."""
    batch, names = torch.export.Dim("batch"), step.names
    example = (torch.zeros(3, dtype=torch.int64), *step.initial(3))
    free = {0: batch}
    with _quiet(), ops.using("reference"):  # of torch's operators alone
        try:
            program = torch.export.export(
                step, example, dynamic_shapes=(free, free, (free,) * (len(names) - 1)), strict=False
            )
            exported = torch.onnx.export(
                program, example, dynamo=True, verbose=False,
                input_names=["symbol", *(f"before.{name}" for name in names)],
                output_names=["logit", "lost", *(f"after.{name}" for name in names)],
            )  # fmt: skip
        except Exception as error:  # a cell of one's own may do anything, and torch fails in as many ways
            raise InputError(f"torch cannot export {step.title}: {one_line(error)[:300]}") from error
    assert exported is not None
    return exported.model_proto


def _renamed(info: ValueInfoProto, name: str) -> ValueInfoProto:
    """An input or output by another name, whose free axis is the batch."""
    copy = type(info)()
    copy.CopyFrom(info)
    copy.name = name
    for axis in copy.type.tensor_type.shape.dim:
        if axis.dim_param:
            axis.dim_param = "batch"
    return copy


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what torch tells of an export."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield  # without the graphs that torch prints when it fails
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
