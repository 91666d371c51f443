"""Read noise of sliced weights and inputs, of reference lines, and of unequal inputs: its closed form, however small a cell's noise is."""

import itertools

import numpy as np
import pytest

from crossdyad import emulator
from crossdyad.emulator.devices import (
    Array,
    ArrayChip,
    Circuit,
    Device,
    Generic,
    InputConverter,
    Mapping,
    OutputConverter,
    PerProduct,
    preset,
)
from crossdyad.recipe import Op, Recipe, load

READS = {
    "independent": Generic(0.03),
    "proportional": Generic(0.1, "proportional"),
    "saturating": preset("sonos").read,
    "per product": PerProduct(0.0175),
}
N = 4000


def problem(outputs=12, inputs=20, seed=0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(outputs, inputs)), draw.integers(-127, 128, inputs), draw.integers(-127, 128, outputs)


def circuit(kind="differential", cell_bits=None, input_slice=None, output=None, **more):
    converter = InputConverter(8, slice_bits=input_slice)
    return Circuit(
        mapping=Mapping(8, kind, cell_bits), input=converter, output=output, input_transposed=converter, output_transposed=output, **more
    )


def values(side, codes):
    """Outputs in input LSB times levels, of one vector read again and again."""
    return side.read(np.tile(codes, (N, 1))) * side.unit / (side.step * side.input.step)


def cell_variances(read, device, levels, top):
    """Of planes of cells, in levels squared."""
    if isinstance(read, PerProduct):
        return read.magnitude**2 * top * levels
    return (read.sigma(device.target(levels / top), device.g_max) * top / (device.g_max - device.g_min)) ** 2


def variance(array, device, codes, transposed):
    """Of each output, in levels squared: the sum over slices, of the digits that cells hold and the bits that a read applies."""
    circuit, total = array.circuit, 0.0
    for s in circuit.mapping.slices(array.levels):
        cells, other = (cell_variances(device.read, device, p, s.top) for p in (s.plus, s.minus))
        for weight, x in circuit.input.slices(codes):
            if circuit.mapping.kind == "differential":
                v = x**2 @ (cells + other if transposed else (cells + other).T)
            elif transposed:
                v = x**2 @ cells + x.sum() ** 2 * other[0]
            else:
                v = x**2 @ cells.T + x**2 @ other[0]
            total = total + (s.significance * weight) ** 2 * v
    return total


@pytest.mark.parametrize("transposed", [False, True], ids=["forward", "transposed"])
@pytest.mark.parametrize(
    "kind, cell_bits, input_slice",
    [("differential", None, None), ("differential", 2, 1), ("differential", 1, 1), ("offset", None, None), ("offset", 1, 3)],
)
@pytest.mark.parametrize("name", READS)
def test_noise_is_that_of_the_cells_however_weights_and_inputs_are_sliced(name, kind, cell_bits, input_slice, transposed):
    device, (weights, x, e) = Device(read=READS[name]), problem()
    array = Array(weights, device, circuit(kind, cell_bits, input_slice), seed=3)
    side, codes = (array.transposed, e) if transposed else (array.forward, x)
    found, exact = values(side, codes), codes @ (array.levels if transposed else array.levels.T)
    expected = variance(array, device, codes, transposed)
    assert (np.abs(found.mean(0) - exact) < 5 * np.sqrt(expected / N)).all()
    assert np.abs(found.var(0) / expected - 1).max() < 5 * np.sqrt(2 / N)


@pytest.mark.parametrize("columns, groups", [(None, [range(12)]), (6, [range(6), range(6, 12)])])
def test_outputs_of_an_array_share_the_noise_of_its_reference_line(columns, groups):
    """Cells are all equally noisy, so half of each output's variance is the line's; in the transposed read each output has its own cell."""
    weights, x, e = problem()
    array = Array(weights, Device(read=Generic(0.03)), circuit("offset", columns=columns), seed=3)
    own = np.zeros((12, 12))
    for g in groups:
        own[np.ix_(g, g)] = 0.5
    np.fill_diagonal(own, 1)
    assert np.abs(np.corrcoef(values(array.forward, x).T) - own).max() < 6 / np.sqrt(N)
    off = np.corrcoef(values(array.transposed, e).T) - np.eye(20)
    assert np.abs(off).max() < 6 / np.sqrt(N)
    equal, s = np.full(12, 10), 0.03 * 255  # ten times what independent cells would make of equal errors
    expected = s**2 * ((equal**2).sum() + sum(equal[g].sum() ** 2 for g in groups))
    assert values(array.transposed, equal).var(0).mean() == pytest.approx(expected, rel=0.03)


def test_pairs_have_no_noise_in_common():
    weights, x, _ = problem()
    found = values(Array(weights, Device(read=Generic(0.03)), circuit(), seed=3).forward, x)
    assert np.abs(np.corrcoef(found.T) - np.eye(12)).max() < 6 / np.sqrt(N)


@pytest.mark.parametrize("transposed", [False, True], ids=["forward", "transposed"])
def test_many_small_inputs_beside_a_large_one_are_not_lost(transposed):
    """1000 inputs of 7 have as much noise as three of 127."""
    device, lines = Device(read=Generic(0.01)), 1001
    shape = (lines, 4) if transposed else (4, lines)
    array = Array(np.random.default_rng(0).normal(size=shape), device, circuit(), seed=1)
    codes = np.full(lines, 7)
    codes[500] = 127
    found = values(array.transposed if transposed else array.forward, codes).var(0)
    assert np.abs(found / variance(array, device, codes, transposed) - 1).max() < 5 * np.sqrt(2 / N)


def test_many_quiet_cells_beside_a_noisy_one_are_not_lost():
    device, weights = Device(read=Generic(0.1, "proportional")), np.full((4, 1000), 3.0)
    weights[:, 500] = 100.0
    array, codes = Array(weights, device, circuit(), seed=1), np.full(1000, 20)
    codes[500] = 1
    found = values(array.forward, codes).var(0)
    assert np.abs(found / variance(array, device, codes, False) - 1).max() < 5 * np.sqrt(2 / N)


@pytest.mark.parametrize("cell_bits, input_slice", [(2, 1), (1, 1), (None, None)])
@pytest.mark.parametrize("name", ["sonos", "pcm"])
def test_a_chip_on_sliced_arrays_reads_with_its_cells_noise(name, cell_bits, input_slice):
    table = load("digits8").model_dump() | {"arrays": {"on": True, "cell_bits": cell_bits or 0, "input_slice": input_slice or 0}}
    r, device = Recipe.model_validate(table), Device(g_max=preset(name).g_max, read=preset(name).read)
    chip = ArrayChip(r, device=device)
    w, (_, x, _) = emulator.initial_weights(r)[0], problem(32, 64)
    chip.weights = emulator.initial_weights(r)
    noise = chip.machine().args[0].layers[0].read(Op.FORWARD, w, np.tile(x, (N, 1)), np.arange(N)) - x @ w.T
    same = Array(w, device, circuit(cell_bits=cell_bits, input_slice=input_slice), scale=127.0)
    assert np.abs(noise.var(0) / variance(same, device, x, False) - 1).max() < 5 * np.sqrt(2 / N)


# The grid of converters -----------------------------------------------------------------------------------------


def converted_error(bits, **sliced):
    """Root mean square error of reads of cells that are off, relative to exact sums of the same cells."""
    weights = np.random.default_rng(0).normal(size=(16, 24))
    x = np.random.default_rng(1).integers(-127, 128, (200, 24))
    device = Device(programming=Generic(0.02))
    exact, coarse = (Array(weights, device, circuit(output=o, **sliced), seed=1) for o in (None, OutputConverter(bits)))
    coarse.calibrate(x, per_array=True)
    return np.std(coarse.decode(coarse.read(x)) - exact.decode(exact.read(x)))


@pytest.mark.parametrize("sliced", [{}, {"cell_bits": 1, "input_slice": 1}, {"kind": "offset", "cell_bits": 2, "input_slice": 1}])
def test_every_bit_of_a_converter_halves_its_error(sliced):
    errors = {bits: converted_error(bits, **sliced) for bits in (8, 10, 13, 16)}
    for (a, one), (b, other) in itertools.pairwise(errors.items()):
        assert one / other == pytest.approx(2.0 ** (b - a), rel=0.2)


@pytest.mark.parametrize("full_scale", [0.75, 3.0, 100.3])
def test_a_range_is_as_fine_as_it_was_asked_for(full_scale):
    """One cell at its top and one code: what a converter of a small range makes of it is its code, to half an LSB."""
    array = Array([[1.0]], circuit=circuit(cell_bits=1, input_slice=1, output=OutputConverter(12, full_scale)))
    assert array.forward.level_lsb[0] == pytest.approx(full_scale / 2048, rel=1e-4)
    assert array.forward.unit == pytest.approx(full_scale / 2048 * array.step * array.circuit.input.step, rel=1e-4)
