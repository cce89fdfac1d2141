"""The activations of the cells in Triton: the formulas of `ops.activations`, exact at zero and at the ends."""

# Triton interprets annotations and supports only constexpr.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

import triton.language as tl

from ddstructs.ops.walks import compiled

__all__ = ["sigmoid", "tanh"]


@compiled
def decay(x):
    """e^-x, for x >= 0. Triton's own exponential in float32 loses a digit for large x."""
    if x.dtype == tl.float64:
        result = tl.exp(-x)
    else:
        x = tl.where(x > 104.0, 104.0, x)  # zero from here on
        n = tl.floor(0.5 - x * 1.4426950408889634)
        r = n * 2.12194440e-4 - (n * 0.693359375 + x)
        p = r * 1.9875691500e-4 + 1.3981999507e-3
        p = ((p * r + 8.3334519073e-3) * r + 4.1665795894e-2) * r + 1.6666665459e-1
        result = ((p * r + 5.0000001201e-1) * (r * r) + r + 1.0) * tl.exp2(n)
    return result


@compiled
def rise(x):
    """The hyperbolic tangent between 0 and 0.625."""
    q = x * x
    if x.dtype == tl.float64:
        p = (q * -9.64399179425052238628e-1 - 9.92877231001918586564e1) * q - 1.61468768441708447952e3
        d = ((q + 1.12811678491632931402e2) * q + 2.23548839060100448583e3) * q + 4.84406305325125486048e3
        result = p / d * q * x + x
    else:
        p = (q * -5.70498872745e-3 + 2.06390887954e-2) * q - 5.37397155531e-2
        result = ((p * q + 1.33314422036e-1) * q - 3.33332819422e-1) * q * x + x
    return result


@compiled
def tanh(x):
    size = tl.abs(x)
    e = decay(size + size)
    result = tl.where(size < 0.625, rise(size), 1.0 - (e + e) / (e + 1.0))
    return tl.where(x < 0, -result, result)


@compiled
def sigmoid(x):
    """The logistic function 1 / (1 + e^-x)."""
    e = decay(tl.abs(x))
    return tl.where(x < 0, e, 1.0) / (e + 1.0)
