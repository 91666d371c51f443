"""Inputs bit by bit: sums that are looked up against products of integers, and reads of many vectors against reads of one."""

import numpy as np
import pytest

from crossdyad.emulator.devices import Array, Circuit, Device, Generic, InputConverter, Mapping, PerProduct, compiled_bits
from crossdyad.emulator.devices.bitwise import FEWEST_LINES, FEWEST_ROWS, LARGEST, PASSES, Sums


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    "inputs, lines, largest, unit",
    [(1, 128, 1, 1), (70, 129, 127, 1), (300, 261, LARGEST // PASSES[True], 1), (300, 130, LARGEST // 100, 2.0**20)],
)
def test_what_is_looked_up_is_the_sum_at_the_limits_too(signed, inputs, lines, largest, unit):
    draw = np.random.default_rng(0)
    matrix = draw.integers(-largest if signed else 0, largest + 1, (inputs, lines))
    matrix[:, 0] = largest  # the largest sum that an input of ones makes, and of the other sign
    x = draw.integers(-1, 2, (FEWEST_ROWS, inputs))
    x[0], x[1] = 1, -1
    made = Sums(matrix * unit, signed)
    assert (made._words is None) == (largest * PASSES[signed] > LARGEST)
    assert (made.of(x, x.astype(np.float32)) == (x if signed else np.abs(x)) @ matrix * unit).all()


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("inputs, lines", [(1, 128), (70, 129), (300, 261)])
def test_sums_of_reals_are_those_of_a_product(signed, inputs, lines):
    draw = np.random.default_rng(0)
    matrix = draw.integers(-1000, 1001, (inputs, lines)) + 0.5  # of which float32 holds every sum
    x = draw.integers(-1, 2, (FEWEST_ROWS, inputs))
    made = Sums(matrix, signed)
    assert made._words is None
    assert (made.of(x, x.astype(np.float32)) == (x if signed else np.abs(x)) @ matrix).all()


@pytest.mark.parametrize("signed", [True, False])
def test_each_bit_of_codes_has_its_sums(signed):
    """Of the widest codes, too: eleven bits and a sign."""
    draw = np.random.default_rng(3)
    codes, matrix = draw.integers(-2047, 2048, (FEWEST_ROWS, 61)), draw.integers(0, 100, (61, FEWEST_LINES))
    bits = np.stack([(np.sign(codes) if signed else 1) * (np.abs(codes) >> b & 1) for b in range(11)])
    for real in (0, 0.5):
        found = Sums(matrix + real, signed).of(codes.astype(np.int16), compiled_bits.bits(codes, 11).reshape(-1, 61))
        assert (found.reshape(11, FEWEST_ROWS, -1) == bits @ (matrix + real)).all()


@pytest.mark.parametrize("device", [Device(read=PerProduct(0.0175)), Device(read=Generic(0.02), programming=Generic(0.05)), Device()])
@pytest.mark.parametrize("mapping", [Mapping(8), Mapping(8, "offset"), Mapping(8, slice_bits=4)])
def test_many_vectors_are_read_as_each_alone(device, mapping):
    """Those are looked up, or one product for all bits; these are products of their own."""
    draw = np.random.default_rng(1)
    x, weights = draw.integers(-127, 128, (FEWEST_ROWS, 200)), draw.normal(size=(FEWEST_LINES + 5, 200))
    circuit = Circuit(mapping=mapping, input=InputConverter(slice_bits=1))
    array = Array(weights, device, circuit, seed=3).calibrate(x)
    together = array.read(x, vectors=np.arange(len(x)))
    for i in (0, 1, 100, 255):
        assert (array.read(x[i], vectors=i) == together[i]).all()


def test_bits_are_converted_one_by_one():
    draw = np.random.default_rng(2)
    x, weights = draw.integers(-127, 128, (FEWEST_ROWS, 200)), draw.normal(size=(FEWEST_LINES, 200))
    array = Array(weights, circuit=Circuit(input=InputConverter(slice_bits=1))).calibrate(x, clipped_share=0.01)
    lsb, total = array.forward.level_lsb[0], 0
    for b in range(7):
        sums = (np.sign(x) * (np.abs(x) >> b & 1)) @ array.levels.T
        total = total + (np.clip(np.floor(sums / lsb + 0.5), -128, 127).astype(int) << b)
    assert (array.read(x) == total).all()
