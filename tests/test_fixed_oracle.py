"""Requantize against outside oracles: apytypes where it has the mode, exact fractions for all (contract section 1)."""

import math
from fractions import Fraction

import apytypes
import numpy as np
import pytest

from crossdyad.emulator import fixed

ROUNDINGS = ["floor", "nearest", "nearest_even", "stochastic"]
OVERFLOWS = ["saturate", "wrap"]
SHIFTS = [-9, -3, -1, 0, 1, 2, 3, 5, 8, 11, 17, 20]
VALUES = np.arange(-(1 << 11), 1 << 11)  # every 12-bit value

QUANTIZATION = {
    "floor": apytypes.QuantizationMode.TO_NEG,
    "nearest": apytypes.QuantizationMode.TIES_POS,
    "nearest_even": apytypes.QuantizationMode.TIES_EVEN,
}
OVERFLOW = {"saturate": apytypes.OverflowMode.SAT, "wrap": apytypes.OverflowMode.WRAP}


@pytest.mark.parametrize("rounding", QUANTIZATION)
@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("width", [2, 5, 8, 12])
def test_equals_apytypes(rounding, overflow, width):
    for shift in SHIFTS:
        exact = apytypes.APyFixedArray((VALUES & 0xFFF).tolist(), bits=12, int_bits=12 - shift)
        cast = exact.cast(bits=width, int_bits=width, quantization=QUANTIZATION[rounding], overflow=OVERFLOW[overflow])
        expected = np.array(cast.to_bits()) & ((1 << width) - 1)
        result, _ = fixed.requantize(VALUES, shift, width, rounding, overflow)
        assert ((result & ((1 << width) - 1)) == expected).all(), shift


def rounded(value: int, shift: int, rounding: str, random: int) -> int:
    exact = Fraction(value) / Fraction(2) ** shift
    if rounding == "floor" or shift <= 0:
        return math.floor(exact)
    if rounding == "nearest":
        return math.floor(exact + Fraction(1, 2))
    if rounding == "nearest_even":
        return round(exact)
    # a uniform fraction on the grid that the 16 bits (or all dropped ones, if fewer) can name
    m = min(shift, 16)
    return math.floor(exact + Fraction(random >> (16 - m), 1 << m))


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_equals_exact_fractions(rounding, overflow, kind):
    rng = np.random.default_rng(1)
    values = rng.integers(-(1 << 18), 1 << 18, 150).astype(kind)
    random = rng.integers(0, 1 << 16, 150)
    for shift in [*SHIFTS, 31, 40, 70]:
        for width in (2, 7, 16):
            result, out = fixed.requantize(values, shift, width, rounding, overflow, random)
            low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
            for v, r, q, o in zip(values.tolist(), random.tolist(), result.tolist(), out.tolist(), strict=True):
                exact = rounded(v, shift, rounding, r)
                assert o == (not low <= exact <= high)
                fitted = min(max(exact, low), high) if overflow == "saturate" else (exact - low) % (1 << width) + low
                assert q == fitted, (v, r, shift, width)


def test_wide_values_and_shifts():
    """Sixty-bit sums and shifts beyond the type, in every rounding."""
    rng = np.random.default_rng(2)
    values = rng.integers(-(1 << 60), 1 << 60, 300)
    random = rng.integers(0, 1 << 16, 300)
    for rounding in ROUNDINGS:
        for shift in (20, 44, 59, 60, 61, 62, 63, 64, 76, 100):
            result, _ = fixed.requantize(values, shift, 24, rounding, "saturate", random)
            exact = [
                min(max(rounded(v, shift, rounding, r), -(1 << 23)), (1 << 23) - 1)
                for v, r in zip(values.tolist(), random.tolist(), strict=True)
            ]
            assert result.tolist() == exact, (rounding, shift)


def test_stochastic_rounding_is_unbiased():
    """Over all 2**16 words the mean of the rounded values is the value, to the last bit."""
    words = np.arange(1 << 16)
    for value in (-77, -1, 3, 100):
        result, _ = fixed.requantize(np.full(words.shape, value), 5, 16, "stochastic", "saturate", words)
        assert Fraction(int(result.sum()), len(words)) == Fraction(value, 32)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("overflow", OVERFLOWS)
def test_trace_equals_transaction(rounding, overflow):
    rng = np.random.default_rng(3)
    value, random = rng.integers(-(1 << 19), 1 << 19, 500), rng.integers(0, 1 << 16, 500)
    for shift in (-4, 0, 3, 18):
        ports = fixed.trace(20, shift, 10, rounding, overflow, {"value": value, "random": random})
        result, out = fixed.requantize(value, shift, 10, rounding, overflow, random)
        assert (ports["result"][2:] == result[:-2]).all() and (ports["out_of_range"][2:] == out[:-2]).all()
