"""Arrays at addresses, for code that numba compiles.

Torch returns the address of a tensor in a tenth of a microsecond. Converting the tensor to an array takes one, and
passing an array to compiled code another quarter: for a short sequence of one row, as much as its arithmetic.
"""

from __future__ import annotations

from typing import Any

from numba import carray, types  # type: ignore[attr-defined]
from numba.core import cgutils

from ddstructs.ops.compiler import compiled, intrinsic

__all__ = ["array_at"]


@intrinsic
def _pointer(typing: Any, address: Any) -> Any:
    def emit(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        number = context.cast(b, arguments[0], address, types.int64)
        return b.inttoptr(number, cgutils.voidptr_t)

    return types.voidptr(address), emit


@compiled(inline=True)
def array_at(address: int, size: int, like: Any) -> Any:
    """The flat array of `size` numbers of the dtype of `like` at an address, empty if that is 0.

    Nothing keeps the memory alive: the caller holds the tensor.
    """
    return carray(_pointer(address), (size if address else 0,), like.dtype)
