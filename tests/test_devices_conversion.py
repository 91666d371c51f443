"""Codes from products that are not exact: those of the definition, next to every threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdyad.emulator.devices import OutputConverter
from crossdyad.emulator.devices.conversion import add_codes, conversion

OUTPUTS = 200


def problem(draw, bits, lsb, offset, length, size, order, noisy):
    """A vector, and weights whose sums (with noise and offset) are next to thresholds of the converter."""
    converter = OutputConverter(bits)
    x = draw.integers(-127, 128, length)
    x[0] = draw.choice([-1, 1])
    weights = draw.integers(-size, size + 1, (OUTPUTS, length))
    if order == "cancelling":  # the sum of the first half is large, that of the second takes it back
        half = length // 2
        x[half : 2 * half], weights[:, :half] = np.abs(x[:half]), np.abs(weights[:, :half])
        x[:half] = np.abs(x[:half])
        weights[:, half : 2 * half] = -weights[:, :half]
    noise = np.rint(draw.normal(size=(1, OUTPUTS)) * lsb / 3).astype(np.float32) if noisy else None
    edges = draw.integers(converter.low - 2, converter.high + 3, OUTPUTS) * lsb + lsb // 2 - offset + draw.integers(-2, 3, OUTPUTS)
    added = 0 if noise is None else noise[0].astype(np.int64)
    if order == "absorbed":  # a large product and then many of almost half its last float32 digit each
        x[:] = 1
        weights[:, 1:] = np.maximum(np.exp2(np.floor(np.log2(np.abs(edges) + 1)) - 24).astype(np.int64) - 1, 0)[:, None]
    weights[:, 0] = x[0] * (edges - added - weights[:, 1:] @ x[1:])
    sums = (weights @ x + added).tolist()
    expected = np.array([(2 * (s + offset) + lsb) // (2 * lsb) for s in sums])
    return converter, x, weights, noise, expected


def converted(converter, x, weights, noise, lsb, offset, factor=1):
    bound = int(np.abs(weights).sum(axis=1).max()) * 127
    made = conversion(converter, weights.astype(np.float64), lsb, offset, bound, 127)
    kind = made.factors.dtype.type
    out = np.zeros((1, len(weights)), np.int64)
    usage = add_codes(out, factor, made, x[None].astype(kind), None if noise is None else noise.astype(kind))
    return made, out[0], usage


@settings(deadline=None, max_examples=300)  # the first one compiles
@given(
    bits=st.integers(2, 16),
    lsb=st.integers(0, 40).flatmap(lambda b: st.integers(1 << b, 2 << b)),
    offset=st.integers(-5000, 5000),
    length=st.integers(1, 700),
    size=st.integers(0, 34).map(lambda b: 1 << b),
    noisy=st.booleans(),
    seed=st.integers(0, 1 << 30),
    order=st.sampled_from(["mixed", "cancelling", "absorbed"]),
)
def test_codes_are_the_definition_also_next_to_every_threshold(bits, lsb, offset, length, size, order, noisy, seed):
    draw = np.random.default_rng(seed)
    converter, x, weights, noise, expected = problem(draw, bits, lsb, offset, length, size, order, noisy)
    if np.abs(weights).sum(axis=1).max() * 127 >= 1 << 51:
        return
    _, codes, usage = converted(converter, x, weights, noise, lsb, offset, factor=3)
    limited = np.clip(expected, converter.low, converter.high)
    assert (codes == 3 * limited).all()
    assert usage == (OUTPUTS, np.count_nonzero(limited != expected), limited.min(), limited.max(), 1 << bits)


def test_the_bound_is_needed_and_is_not_much_too_wide():
    """Random sums: the float32 product alone errs next to thresholds; its bound is kept, and is not thousands of times as large."""
    draw, worst = np.random.default_rng(0), 0.0
    for length in (16, 64, 256):
        x, weights = draw.integers(-127, 128, (400, length)), draw.integers(-(1 << 33), 1 << 33, (300, length))
        sums = x @ weights.T
        lsb = int(np.abs(sums).max() / 127)
        bound = int(np.abs(weights).sum(axis=1).max()) * 127
        made = conversion(OutputConverter(8), weights.astype(np.float64), lsb, 0, bound, 127)
        assert made.factors.dtype == np.float32
        scaled = (x.astype(np.float32) @ made.factors) * made.inverse
        off = np.abs(scaled - sums / lsb)
        constant, per_norm, per_sum, per_code = made.slack
        allowed = constant + per_norm * np.linalg.norm(x, axis=1)[:, None] + (per_sum + per_code) * np.abs(scaled)
        assert (off <= allowed).all()
        worst = max(worst, (off / allowed).max())
    assert worst > 0.01
    wrong = 0
    for seed in range(20):  # and with no bound, codes come out wrong
        draw = np.random.default_rng(seed)
        converter, x, weights, noise, expected = problem(draw, 8, 1 << 30, 0, 256, 1 << 26, "mixed", False)
        made, _, _ = converted(converter, x, weights, noise, 1 << 30, 0)
        values = (x[None].astype(np.float32) @ made.factors) * made.inverse
        wrong += np.count_nonzero(np.rint(values[0]) != expected)
    assert wrong > 100


@pytest.mark.parametrize("bits, single", [(8, True), (16, False)])
def test_fine_converters_get_float64_products(bits, single):
    draw = np.random.default_rng(1)
    weights = draw.integers(-(1 << 32), 1 << 32, (20, 256)).astype(np.float64)
    lsb = int(np.abs(weights).sum(axis=1).max() * 64) >> bits
    made = conversion(OutputConverter(bits), weights, lsb, 0, int(np.abs(weights).sum(axis=1).max()) * 127, 127)
    assert made.factors.dtype == (np.float32 if single else np.float64)


def test_codes_of_no_vectors_are_none():
    made = conversion(OutputConverter(8), np.ones((3, 2)), 5, 0, 254, 127)
    assert add_codes(np.zeros((0, 3), np.int32), 1, made, np.zeros((0, 2), np.float32)).reads == 0
