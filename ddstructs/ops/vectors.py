"""Vectors of 64 bytes for code compiled by numba: 16 numbers of float32, or 8 of float64.

LLVM maps a vector to the machine's registers: one with AVX-512, two with AVX2, four on Arm. It may silently fail to
vectorise loops over single numbers, so code that must be fast uses these vectors.

In an operation with a vector, a number is broadcast. Products and sums may be contracted to fused multiply-adds.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import lower_builtin, models, register_model, type_callable

from ddstructs.ops.compiler import intrinsic

__all__ = ["BYTES", "Vector", "absolute", "lanes", "load", "raised", "signed", "splat", "store", "where_less"]

BYTES = 64
"""Size of a vector in bytes."""


class Vector(types.Type):
    """Numba's type of a vector.

    Args:
        kind: The type of its numbers, `types.float32` or `types.float64`.
    """

    def __init__(self, kind: Any) -> None:
        self.kind, self.lanes = kind, BYTES * 8 // kind.bitwidth
        super().__init__(f"Vector({kind}, {self.lanes})")

    @property
    def llvm(self) -> ir.VectorType:
        """The LLVM type of the vector."""
        return ir.VectorType(ir.FloatType() if self.kind == types.float32 else ir.DoubleType(), self.lanes)

    @property
    def integers(self) -> ir.VectorType:
        """The LLVM type of a vector of integers of the same size."""
        return ir.VectorType(ir.IntType(self.kind.bitwidth), self.lanes)


@register_model(Vector)
class Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, kind.llvm)  # type: ignore[no-untyped-call]


def broadcast(builder: Any, kind: Vector, number: Any) -> Any:
    """A vector with all elements equal to a number."""
    empty = kind.llvm(ir.Undefined)
    first = builder.insert_element(empty, number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, empty, ir.VectorType(ir.IntType(32), kind.lanes)(None))


def call(builder: Any, name: str, kind: Vector, *vectors: Any) -> Any:
    """Call an LLVM intrinsic on vectors; LLVM provides it for every machine."""
    letter = "f" if kind.kind == types.float32 else "d"
    signature = ir.FunctionType(kind.llvm, [kind.llvm] * len(vectors))
    full = f"llvm.{name}.v{kind.lanes}f{32 if letter == 'f' else 64}"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, full), vectors)


def _vectors(context: Any, builder: Any, kind: Vector, kinds: Any, arguments: Any) -> list[Any]:
    """The arguments, with numbers broadcast to vectors."""
    return [
        argument
        if isinstance(own, Vector)
        else broadcast(builder, kind, context.cast(builder, argument, own, kind.kind))
        for own, argument in zip(kinds, arguments, strict=True)
    ]


def _operator(symbol: Callable[..., Any], emit: Callable[..., Any]) -> None:
    """Define an operator for two vectors, one of which may be a number instead."""

    def typed(context: Any) -> Any:
        def result(left: Any, right: Any) -> Any:
            return next((kind for kind in (left, right) if isinstance(kind, Vector)), None)

        return result

    type_callable(symbol)(typed)

    def lowered(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return emit(builder, *_vectors(context, builder, signature.return_type, signature.args, arguments))

    for pair in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):
        lower_builtin(symbol, *pair)(lowered)


_FUSED = ("contract",)
_operator(operator.add, lambda b, x, y: b.fadd(x, y, flags=_FUSED))
_operator(operator.sub, lambda b, x, y: b.fsub(x, y, flags=_FUSED))
_operator(operator.mul, lambda b, x, y: b.fmul(x, y, flags=_FUSED))
_operator(operator.truediv, lambda b, x, y: b.fdiv(x, y))


@intrinsic
def absolute(typing: Any, x: Any) -> Any:
    """The absolute value of each element."""
    return x(x), lambda context, b, signature, arguments: call(b, "fabs", x, *arguments)


@intrinsic
def signed(typing: Any, size: Any, sign: Any) -> Any:
    """The absolute values of one vector with the signs of another."""
    return size(size, sign), lambda context, b, signature, arguments: call(b, "copysign", size, *arguments)


@intrinsic
def where_less(typing: Any, x: Any, limit: Any, then: Any, other: Any) -> Any:
    """`then` where x < limit, else `other`, also where either is NaN. Any argument may be a number, but not all."""
    kind = next(part for part in (x, limit, then, other) if isinstance(part, Vector))

    def emit(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        left, right, yes, no = _vectors(context, b, kind, signature.args, arguments)
        return b.select(b.fcmp_ordered("<", left, right), yes, no)

    return kind(x, limit, then, other), emit


@intrinsic
def raised(typing: Any, x: Any, power: Any, zero: Any) -> Any:
    """`x * 2**n`, where `n` is the difference between the bits of `power` and `zero` as integers, in -2200..0.

    It is multiplied in two steps, so that subnormal results are correct.
    """

    def emit(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        value, power_, zero_ = _vectors(context, b, x, signature.args, arguments)
        mantissa, bias = (23, 127) if x.kind == types.float32 else (52, 1023)
        constant = lambda number: x.integers([number] * x.lanes)  # noqa: E731
        whole = b.sub(b.bitcast(power_, x.integers), b.bitcast(zero_, x.integers))
        half = b.ashr(whole, constant(1))  # type: ignore[no-untyped-call]
        for part in (half, b.sub(whole, half)):
            value = b.fmul(value, b.bitcast(b.shl(b.add(part, constant(bias)), constant(mantissa)), x.llvm))  # type: ignore[no-untyped-call]
        return value

    return x(x, power, zero), emit


@intrinsic
def splat(typing: Any, like: Any, number: Any) -> Any:
    """A vector with all elements equal to a number, in the dtype of an array."""
    kind = Vector(like.dtype)

    def emit(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        return broadcast(b, kind, context.cast(b, arguments[1], number, kind.kind))

    return kind(like, number), emit


@intrinsic
def lanes(typing: Any, like: Any) -> Any:
    """Number of elements of a vector in the dtype of an array."""
    return types.int64(like), lambda context, b, signature, arguments: ir.IntType(64)(Vector(like.dtype).lanes)


def pointer(context: Any, builder: Any, array: Any, data: Any, place: Any, at: Any) -> Any:
    """The address of a vector at an offset in a flat array."""
    start = cgutils.create_struct_proxy(array)(context, builder, value=data).data
    address = builder.gep(start, [context.cast(builder, at, place, types.int64)])
    return builder.bitcast(address, Vector(array.dtype).llvm.as_pointer())


@intrinsic
def load(typing: Any, array: Any, at: Any) -> Any:
    """The vector at an offset in a flat array; bounds are not checked."""
    kind = Vector(array.dtype)

    def emit(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        return b.load(pointer(context, b, array, arguments[0], at, arguments[1]), align=array.dtype.bitwidth // 8)

    return kind(array, at), emit


@intrinsic
def store(typing: Any, array: Any, at: Any, vector: Any) -> Any:
    """Write a vector at an offset in a flat array; bounds are not checked."""

    def emit(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        place = pointer(context, b, array, arguments[0], at, arguments[1])
        b.store(arguments[2], place, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, at, vector), emit
