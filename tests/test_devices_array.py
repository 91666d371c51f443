"""Arrays as matrices: adjoint, ideal when all is off, and the same bits whatever the batch."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from crossdyad.emulator.devices import (
    Array,
    Circuit,
    Cubic,
    Device,
    DeviceWarning,
    Generic,
    InputConverter,
    Mapping,
    Measured,
    OutputConverter,
    PerProduct,
    Spread,
    Stuck,
    Wires,
    draws,
    drift,
    preset,
)

EXACT = Circuit(output=None, output_transposed=None)
EFFECTS = {
    "programming": Generic(0.05),
    "spread": Spread(0.1, 0.01),
    "stuck": Stuck(0.02, 0.01),
    "drift": drift.fixed(0.05, deviation=0.02),
}
EVERYTHING = Device(name="all", g_min=1.0, read=PerProduct(0.02), flicker=preset("pcm").flicker, **EFFECTS)


def problem(outputs, inputs, n=20, seed=0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(outputs, inputs)), draw.integers(-127, 128, (n, inputs)), draw.integers(-127, 128, (n, outputs))


def inner(a, b):
    return int(np.sum(a.astype(object) * b.astype(object)))


@pytest.mark.parametrize("shape", [(7, 19), (33, 12)])
@pytest.mark.parametrize("kind", ["differential", "offset"])
@pytest.mark.parametrize("slices", [None, 3])
@pytest.mark.parametrize("tiles", [None, 5])
def test_transposed_is_the_adjoint_for_every_combination(shape, kind, slices, tiles):
    weights, x, e = problem(*shape, n=3)
    for on in itertools.product((False, True), repeat=len(EFFECTS)):
        device = Device(g_min=1.0, **{name: value for (name, value), o in zip(EFFECTS.items(), on, strict=True) if o})
        for wires in (None, Wires(3.0, 1.0)):
            circuit = Circuit(
                rows=tiles,
                columns=tiles,
                mapping=Mapping(6, kind, slices),
                wires=wires,
                output=None,
                output_transposed=None,
                input=InputConverter(8, slice_bits=slices),
            )
            array = Array(weights, device, circuit, seed=1, time=1000.0 if device.ages else None)
            assert array.fraction_bits == array.forward._fraction == array.transposed._fraction
            assert inner(e, array.read(x)) == inner(array.transposed.read(e), x)


@pytest.mark.parametrize("shape", [(7, 19), (33, 12), (16, 16)])
def test_reads_are_products_with_the_effective_matrix_and_its_transpose(shape):
    weights, x, e = problem(*shape)
    array = Array(weights, EVERYTHING, replace(EXACT, wires=Wires(3.0, 1.0)), seed=1, time=100.0).without("read")
    grid = np.rint(array.effective * 2**array.fraction_bits)
    assert (array.read(x) == x @ grid.T).all() and (array.transposed.read(e) == e @ grid).all()
    assert (array @ x.T == array.read(x).T).all() and (array.T @ e[0] == array.transposed.read(e[0])).all()
    many = x.reshape(4, 5, -1)
    assert (array.read(many) == array.read(x).reshape(4, 5, -1)).all()


def test_opposite_sensing_is_not_the_adjoint_and_says_so():
    weights, x, e = problem(30, 40)
    array = Array(weights, Device(), replace(EXACT, wires=Wires(10.0, 10.0, "opposite")))
    assert inner(e, array.read(x)) != inner(array.transposed.read(e), x)
    assert array.report().asymmetry > 1e-3 and "from the transpose" in str(array.report())


@pytest.mark.parametrize(
    "circuit",
    [
        Circuit(),
        Circuit(rows=10, columns=9),
        Circuit(mapping=Mapping(8, "offset")),
        Circuit(wires=Wires(1.0, 1.0)),
        Circuit(mapping=Mapping(8, slice_bits=4), input=InputConverter(slice_bits=3)),
    ],
)
@pytest.mark.parametrize("device", [EVERYTHING, preset("sonos"), preset("reram-milo")], ids=lambda d: d.name)
def test_bits_depend_on_seed_and_vector_only(circuit, device):
    if circuit.wires and device.iv:
        return
    weights, x, e = problem(24, 30, n=200)
    build = lambda seed: Array(weights, device, circuit, seed=seed, time=100.0 if device.ages else None).calibrate(x, e)  # noqa: E731
    whole, again, parts, other = build(1), build(1), build(1), build(2)
    for side, v in (("forward", x), ("transposed", e)):
        expected = getattr(whole, side).read(v)
        assert (getattr(again, side).read(v) == expected).all()
        cuts = np.split(v, [1, 2, 50, 51, 130])
        assert (np.concatenate([getattr(parts, side).read(c) for c in cuts]) == expected).all()
        order = np.random.default_rng(0).permutation(len(v))
        assert (getattr(whole, side).read(v[order], vectors=order) == expected[order]).all()
        for one in (0, 199):
            assert (getattr(whole, side).read(v[one], vectors=one) == expected[one]).all()
        assert (getattr(other, side).read(v) != expected).any()
        if device.read:
            assert (getattr(whole, side).read(v, vectors=np.arange(1000, 1200)) != expected).any()  # fresh noise


@pytest.mark.slow
@pytest.mark.parametrize("device", [EVERYTHING, preset("pcm")], ids=lambda d: d.name)
def test_a_million_vectors_have_the_same_bits_in_any_batches(device):
    weights, _, _ = problem(16, 20)
    x = np.random.default_rng(1).integers(-127, 128, (1 << 20, 20)).astype(np.int8)
    build = lambda: Array(weights, device, Circuit(wires=Wires(1.0, 1.0)), seed=1, time=100.0).calibrate(x[:1000])  # noqa: E731
    whole, parts = build(), build()
    expected, start, sizes = whole.read(x), 0, np.random.default_rng(2).integers(1, 5000, 1000)
    for size in sizes:
        assert (parts.read(x[start : start + size]) == expected[start : start + size]).all()
        start += size
        if start >= len(x):
            break


@pytest.mark.parametrize("output", [None, OutputConverter(8, 60_000), OutputConverter(8, 70_111)])
@pytest.mark.parametrize(
    "circuit", [Circuit(), Circuit(rows=10, columns=9), Circuit(mapping=Mapping(8, "offset")), Circuit(mapping=Mapping(8, slice_bits=4))]
)
def test_effects_of_size_zero_are_bit_identical_to_no_effects(circuit, output):
    weights, x, e = problem(24, 30)
    circuit = replace(circuit, clipped_share=1.0, output=output, output_transposed=output)
    nothing = Device(programming=Generic(0), read=Generic(0), spread=Spread(), stuck=Stuck(), drift=drift.fixed(0.0))
    zero = Array(weights, nothing, circuit, time=100.0)
    off = Array(weights, Device(), circuit)
    assert (off.fraction_bits == 0) == (output is None)
    for a, b, v in ((zero.forward, off.forward, x), (zero.transposed, off.transposed, e)):
        scale = 2 ** (zero.fraction_bits - off.fraction_bits)
        assert (a.read(v) == b.read(v).astype(np.int64) * scale).all() and not a._noisy


def test_perfect_is_the_exact_product_and_draws_nothing(monkeypatch):
    weights, x, e = problem(24, 30)
    array = Array(weights, EVERYTHING, Circuit(wires=Wires(1.0, 1.0)), time=100.0)
    monkeypatch.setattr(draws, "uniform", None)
    monkeypatch.setattr(draws, "Reads", None)
    perfect = array.perfect()
    assert (perfect.read(x) == x @ array.levels.T).all() and (perfect.transposed.read(e) == e @ array.levels).all()
    assert np.allclose(perfect.decode(perfect.read(x)), x @ array.levels.T * array.step / 127)


def test_effects_can_be_taken_one_at_a_time():
    weights, x, _ = problem(60, 50, n=100)
    array = Array(weights, EVERYTHING, replace(EXACT, wires=Wires(1.0, 1.0)), seed=3, time=100.0)
    effects = "programming", "spread", "stuck", "drift", "flicker", "read", "wires"
    alone = {e: array.only(e, "converters").effective_noise(x) for e in effects}
    assert all(v > 0 for v in alone.values())
    assert array.only("converters").effective_noise(x) == 0
    assert array.effective_noise(x) > max(alone.values()) * 0.9
    assert array.without("programming").effective_noise(x) < array.effective_noise(x)
    with pytest.raises(ValueError, match="effects: 'adc'; known are"):
        array.without("adc")


def test_later_is_the_same_cells_older():
    weights, x, _ = problem(20, 30)
    array = Array(weights, preset("pcm"), seed=3).calibrate(x)
    day = array.at(86400.0)
    assert day.forward.level_lsb == array.forward.level_lsb
    assert (day.effective == Array(weights, preset("pcm"), seed=3, time=86400.0).effective).all()
    share = np.sum(day.effective * array.effective) / np.sum(array.effective**2)
    assert 0.4 < share < 0.9
    with pytest.raises(ValueError, match="before t0 = 20 s"):
        array.at(19.0)


def test_tiles_are_added_digitally():
    weights, x, _ = problem(24, 30)
    array = Array(weights, circuit=Circuit(rows=10, output=OutputConverter(8, 40_000)))
    lsb, total = array.forward.level_lsb[0], 0
    for rows in (slice(0, 10), slice(10, 20), slice(20, 30)):
        total = total + np.clip((2 * (x[:, rows] @ array.levels[:, rows].T) + lsb) // (2 * lsb), -128, 127)
    assert (array.read(x) == total).all()
    fitted = Array(weights * np.where(np.arange(30) < 10, 0.1, 1), circuit=Circuit(rows=10)).calibrate(x, per_array=True)
    assert len(set(fitted.forward.level_lsb)) > 1 and fitted.effective_noise(x) < 0.02


def test_slices_of_weights_and_inputs_are_added_digitally():
    weights, x, _ = problem(24, 30)
    circuit = Circuit(mapping=Mapping(8, slice_bits=4), input=InputConverter(slice_bits=3), output=OutputConverter(8, 2_000))
    array, total = Array(weights, circuit=circuit), 0
    lsb = array.forward.level_lsb[0]
    for s in circuit.mapping.slices(array.levels):
        for weight, part in circuit.input.slices(x):
            total = total + s.significance * weight * np.clip((2 * (part @ s.digits.T) + lsb) // (2 * lsb), -128, 127)
    assert (array.read(x) == total).all()


def test_nonlinear_cells_carry_the_current_of_their_curve():
    milo = preset("reram-milo")
    device = Device(g_max=225.0, g_min=50.0, iv=milo.iv)
    weights, x, e = problem(12, 9)
    array = Array(weights, device, EXACT)
    volt, unit = milo.iv.voltage / 127, 175 / 127

    def current(g, v):
        log = np.log10(g * 1e-6)
        a2 = 7.063e-3 + 5.711e-3 * log + 1.541e-3 * log**2 + 1.388e-4 * log**3
        a3 = 1.2968e-3 + 6.792e-4 * log + 8.871e-5 * log**2
        return g * v + 1e6 * (a2 * v**2 + a3 * v**3)

    plus, minus = (device.target(np.maximum(s * array.levels, 0) / 127) for s in (1, -1))
    for side, v, turn in ((array.forward, x, np.asarray), (array.transposed, e, np.transpose)):
        v3 = v[:, None, :] * volt
        exact = np.sum(current(turn(plus), v3) - current(turn(minus), v3), axis=-1) / (unit * volt)
        assert np.allclose(side.read(v) * 2.0**-array.fraction_bits, exact, rtol=0, atol=1e-5 * np.abs(exact).max())


def test_a_measured_curve_bends_the_inputs():
    weights, x, _ = problem(12, 9)
    straight = Array(weights, Device(iv=Measured((-0.5, 0.5), (-0.5, 0.5), 0.2)), EXACT)
    assert (straight.read(x) * 2.0**-straight.fraction_bits == x @ straight.levels.T).all()
    bent = Array(weights, Device(iv=Measured((-0.2, 0, 0.2), (-0.3, 0, 0.2), 0.2)), EXACT)
    exact = np.where(x < 0, 1.5 * x, x) @ bent.levels.T
    assert np.allclose(bent.read(x) * 2.0**-bent.fraction_bits, exact, rtol=0, atol=1e-3)
    with pytest.raises(ValueError, match="extend the table"):
        Measured((-0.1, 0.1), (-0.1, 0.1), 0.2)
    with pytest.raises(ValueError, match="no longer one matrix"):
        Array(weights, Device(iv=Cubic((0.0,), (0.0,), 0.2, (1.0, 25.0))), Circuit(wires=Wires(1.0, 1.0)))


def test_arrays_larger_than_the_layer_are_a_warning():
    with pytest.warns(DeviceWarning, match="rows = 256, but the layer has 30 inputs: 226 lines"):
        Array(problem(24, 30)[0], circuit=Circuit(rows=256))


def test_grids_are_as_fine_as_exact_sums_allow():
    weights, x, _ = problem(64, 1024)
    array = Array(weights, Device(programming=Generic(0.02)), EXACT)
    assert array.fraction_bits == 26
    assert (array.read(x) == x @ np.rint(array.effective * 2**26).T.astype(np.int64)).all()
    wide = replace(EXACT, mapping=Mapping(12), input=InputConverter(12), input_transposed=InputConverter(12))
    coarse = Array(weights, Device(programming=Generic(0.02)), wide)
    assert 1 << 50 <= coarse.forward._products[0].bound * 2 and coarse.forward._products[0].bound < 1 << 51
    with pytest.raises(ValueError, match="give fewer fraction_bits"):
        Array(weights, circuit=replace(EXACT, fraction_bits=40))


@pytest.mark.parametrize("shape, tiles", [((64, 64), None), ((200, 256), None), ((100, 784), 256)])
def test_sums_are_right_to_a_billionth_and_codes_are_those_of_such_sums(shape, tiles):
    weights, x, e = problem(*shape, n=100)
    circuit = Circuit(rows=tiles, wires=Wires(0.35, 0.35))
    array = Array(weights, Device(g_max=5.0), circuit).calibrate(x, e)
    exact = Array(weights, Device(g_max=5.0), replace(circuit, output=None, output_transposed=None))
    for side, sums, effective, v in (
        (array.forward, exact.forward, array.effective.T, x),
        (array.transposed, exact.transposed, array.effective_transposed, e),
    ):
        true = v @ effective
        assert np.abs(sums.read(v) * 2.0**-exact.fraction_bits - true).max() < 1e-9 * np.abs(true).max()
        codes = 0
        for p, lsb in zip(side._products, side.level_lsb, strict=True):
            codes = codes + np.clip(np.floor(v[:, p.inputs] @ effective[p.inputs] / lsb + 0.5), -128, 127)
        assert (side.read(v) == codes).all()
