r"""The hyperbolic tangent and the logistic function of vectors, with their derivatives.

Both are computed from $e^{-x}$ for $x \ge 0$, which cannot overflow: with $n = \mathrm{round}(-x / \ln 2)$ and
$r = -x - n \ln 2$ it is $2^n e^r$, where a polynomial gives $e^r$. NaN propagates, and for large inputs the results are
exactly 0, 1 and -1, so that derivatives computed from them are exactly 0.

Reference:
    Moshier 1989, *Methods and Programs for Mathematical Functions* (Cephes): the constants, except those of the
    exponential in float64, which is its Taylor series.
"""

from __future__ import annotations

from typing import Any

from numba import types

from ddstructs.ops.compiler import chosen, compiled
from ddstructs.ops.vectors import Vector, absolute, raised, signed, where_less

__all__ = ["sigmoid", "sigmoid_slope", "tanh", "tanh_slope"]

_LOG2E = 1.4426950408889634


def decay(x: Any) -> Any:
    """e^-x, for x >= 0."""


def rise(x: Any) -> Any:
    """The hyperbolic tangent between 0 and 0.625."""


# Numba infers the types of these functions from their arguments. Annotations would be ignored, and the decorator
# replaces the functions.
@chosen(decay)
def _decay(x: Any) -> Any:
    if not isinstance(x, Vector):
        return None
    if x.kind == types.float32:

        def single(x):  # type: ignore[no-untyped-def]
            x = where_less(104.0, x, 104.0, x)  # zero from here on
            magic = 12582912.0  # 1.5 * 2**23: adding it rounds to an integer, held in the low bits
            power = magic - x * _LOG2E
            n = power - magic
            r = n * 2.12194440e-4 - (n * 0.693359375 + x)
            p = r * 1.9875691500e-4 + 1.3981999507e-3
            p = ((p * r + 8.3334519073e-3) * r + 4.1665795894e-2) * r + 1.6666665459e-1
            return raised((p * r + 5.0000001201e-1) * (r * r) + r + 1.0, power, magic)

        return single

    def double(x):  # type: ignore[no-untyped-def]
        x = where_less(746.0, x, 746.0, x)
        magic = 6755399441055744.0  # 1.5 * 2**52
        power = magic - x * _LOG2E
        n = power - magic
        r = (n * -6.93145751953125e-1 - x) - n * 1.42860682030941723212e-6
        p = r * (1 / 6227020800) + 1 / 479001600
        p = ((p * r + 1 / 39916800) * r + 1 / 3628800) * r + 1 / 362880
        p = ((p * r + 1 / 40320) * r + 1 / 5040) * r + 1 / 720
        p = ((p * r + 1 / 120) * r + 1 / 24) * r + 1 / 6
        return raised((p * r + 0.5) * (r * r) + r + 1.0, power, magic)

    return double


@chosen(rise)
def _rise(x: Any) -> Any:
    if not isinstance(x, Vector):
        return None
    if x.kind == types.float32:

        def single(x):  # type: ignore[no-untyped-def]
            q = x * x
            p = (q * -5.70498872745e-3 + 2.06390887954e-2) * q - 5.37397155531e-2
            return ((p * q + 1.33314422036e-1) * q - 3.33332819422e-1) * q * x + x

        return single

    def double(x):  # type: ignore[no-untyped-def]
        q = x * x
        p = (q * -9.64399179425052238628e-1 - 9.92877231001918586564e1) * q - 1.61468768441708447952e3
        d = ((q + 1.12811678491632931402e2) * q + 2.23548839060100448583e3) * q + 4.84406305325125486048e3
        return p / d * q * x + x

    return double


@compiled(inline=True)
def tanh(x: Any) -> Any:
    """The hyperbolic tangent of a vector."""
    size = absolute(x)
    e = decay(size + size)
    return signed(where_less(size, 0.625, rise(size), 1.0 - (e + e) / (e + 1.0)), x)


@compiled(inline=True)
def sigmoid(x: Any) -> Any:
    """The logistic function 1 / (1 + e^-x) of a vector."""
    e = decay(absolute(x))
    return where_less(x, 0.0, e, 1.0) / (e + 1.0)


@compiled(inline=True)
def tanh_slope(y: Any) -> Any:
    """The derivative of the hyperbolic tangent where its value is y."""
    return 1.0 - y * y


@compiled(inline=True)
def sigmoid_slope(y: Any) -> Any:
    """The derivative of the logistic function where its value is y."""
    return y * (1.0 - y)
