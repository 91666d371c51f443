"""Eleven ways in which a simulator of analog arrays can be wrong without anybody noticing, and that this one is not."""

import itertools
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from crossdyad import data, emulator
from crossdyad.emulator import devices
from crossdyad.emulator.devices import (
    PRESETS,
    Array,
    Circuit,
    Constant,
    Cubic,
    Device,
    DeviceWarning,
    Generic,
    InputConverter,
    Mapping,
    OutputConverter,
    PerProduct,
    Stuck,
    Table,
    Wires,
    draws,
    drift,
    effective_conductance,
)
from crossdyad.recipe import Recipe, RecipeError, load, parse

EXACT = Circuit(output=None, output_transposed=None)


def weights(outputs, inputs, seed=0):
    return np.random.default_rng(seed).normal(size=(outputs, inputs))


def codes(n, lines, seed=1):
    return np.random.default_rng(seed).integers(-127, 128, (n, lines))


@pytest.mark.parametrize("name", PRESETS)
def test_1_noise_grows_with_the_range_of_conductances(name):
    """Of programming, reads, and what time does: relative to the range all devices of a kind are alike."""
    d, share = PRESETS[name], np.linspace(0.05, 1, 20)
    for model in (m for m in (d.programming, d.read) if hasattr(m, "sigma")):
        for factor in (0.1, 3.0):
            assert np.allclose(model.sigma(factor * share * d.g_max, factor * d.g_max), factor * model.sigma(share * d.g_max, d.g_max))
    if d.flicker:
        one, three = (d.flicker.sigma(share * g, share * g, g, 1e4) for g in (d.g_max, 3 * d.g_max))
        key = draws.key(1)
        assert np.allclose(3 * one, three)
        assert np.allclose(d.drift.exponents(share * d.g_max, d.g_max, key, 0), d.drift.exponents(3 * share * d.g_max, 3 * d.g_max, key, 0))


def test_2_unknown_names_and_percentages_are_told():
    with pytest.raises(RecipeError, match=r"devices.programing: unknown key; did you mean 'programming'\?"):
        parse('name = "a"\nsizes = [4, 2]\nlanes = [2]\n[devices]\nprograming = 0.02')
    with pytest.raises(RecipeError, match="devices.preset: 'hermes'"):
        parse('name = "a"\nsizes = [4, 2]\nlanes = [2]\n[devices]\npreset = "hermes"')
    with pytest.raises(ValueError, match="device preset: 'pcn'; known are pcm"):
        devices.preset("pcn")
    with pytest.raises(TypeError):
        Device(programing=Generic(0.02))
    for make in (lambda: Generic(2.0), lambda: Generic(5.0, "proportional"), lambda: PerProduct(2.0)):
        with pytest.warns(DeviceWarning, match="a share: 0.05 is five per cent"):
            make()
    with pytest.raises(ValueError, match="0.01 is one per cent"):
        Stuck(low=2)


def test_3_noise_of_size_zero_is_no_noise_and_draws_nothing(monkeypatch):
    w, x = weights(12, 20), codes(50, 20)
    off = Array(w, Device(), EXACT).read(x)
    monkeypatch.setattr(draws, "Reads", None)  # drawing would be an error
    for read in (PerProduct(0.0), Constant(0.0), Generic(0.0), Table((0.0, 25.0), (0.0, 0.0))):
        assert (Array(w, Device(read=read), EXACT).read(x) == off).all()


def test_4_one_seed_has_the_same_bits_whatever_was_read_before():
    w, x = weights(12, 20), codes(50, 20)
    made = [Array(w, PRESETS["pcm"], seed=s, time=100.0).calibrate(x) for s in (3, 3, 4)]
    np.random.default_rng().normal(size=7)
    made[1].read(x[:9])  # numbers of vectors are told, so that these do not shift the noise
    first, second, other = (a.read(x, vectors=np.arange(50)) for a in made)
    assert (first == second).all() and (first != other).any()


@pytest.mark.parametrize("shape", [(96, 128), (17, 5)])
@pytest.mark.parametrize("ohm", [0.35, 100.0])
def test_5_the_transposed_read_through_wires_is_the_adjoint(shape, ohm):
    array = Array(weights(*shape), Device(), Circuit(wires=Wires(ohm, ohm), output=None, output_transposed=None))
    x, e = codes(1, shape[1])[0], codes(1, shape[0])[0]
    assert e.astype(object) @ array.read(x) == array.transposed.read(e).astype(object) @ x


@pytest.mark.filterwarnings("ignore::crossdyad.emulator.devices.DeviceWarning")
@pytest.mark.parametrize("shape", [(9, 9), (7, 19), (19, 7)])
def test_6_transposed_reads_are_products_with_the_transpose_under_every_switch(shape):
    """One vector and many, with noise and without, square and not."""
    w = weights(*shape)
    switches = (
        (None, Wires(3.0, 1.0)),
        (None, 3),
        (None, 4),
        ("differential", "offset"),
        (None, PerProduct(1e-4)),
        (None, OutputConverter(16)),
    )
    for wires, slices, lines, kind, read, output in itertools.product(*switches):
        circuit = Circuit(
            lines, lines, Mapping(6, kind, slices), wires, InputConverter(8, slice_bits=slices), output, InputConverter(8), output
        )
        array, e = Array(w, Device(g_min=1.0, read=read), circuit, seed=1), codes(40, shape[0])
        array.calibrate(codes(40, shape[1]), e)
        exact = e @ array.effective
        for v, product in ((e, exact), (e[3], exact[3])):
            found = array.transposed.read(v) * array.transposed.unit / (array.step * array.circuit.input_transposed.step)
            assert found.shape == product.shape and np.abs(found - product).max() < 5e-3 * np.abs(exact).max()


def test_7_small_drops_are_found_and_strong_ones_take_no_longer():
    g, times = np.random.default_rng(0).uniform(0, 25, (64, 64)), {}
    for ohm in (1e-6, 1e-3, 1.0, 1e3):
        times[ohm] = -time.thread_time()
        found = effective_conductance(g, ohm, ohm)
        times[ohm] += time.thread_time()
        lost = 1 - found.sum() / g.sum()
        assert (lost == pytest.approx(ohm * 0.0351, rel=0.01)) if ohm < 0.01 else 0.02 < lost < 1
    assert max(times.values()) < 8 * min(times.values())


def test_8_ranges_that_use_few_codes_are_told():
    array = Array(weights(16, 300), circuit=Circuit(output=OutputConverter(6, full_scale=300 * 127 * 127)))
    with pytest.warns(DeviceWarning, match="of 64 codes .less than a quarter.: narrow the output range"):
        array.read(codes(100, 300))


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_9_as_many_cells_are_stuck_as_were_asked_and_the_reference_line_drifts_with_the_others(share):
    array = Array(np.zeros((100, 200)), Device(stuck=Stuck(high=share)), EXACT, seed=2, scale=1.0)
    found = np.count_nonzero(array.effective) / array.effective.size
    assert found == pytest.approx(2 * share * (1 - share), rel=0.05)  # either cell of a pair, but not both
    for sign in (1, -1):
        fading, mapping = Device(g_min=2.0, drift=drift.fixed(0.05)), Mapping(kind="offset")
        offset = Array(sign * weights(20, 30), fading, Circuit(mapping=mapping), time=1e4)
        assert np.allclose(offset.effective, offset.levels * 1e4**-0.05, rtol=1e-12, atol=1e-9)


def test_10_training_sees_the_device_in_both_reads_and_in_writes():
    dataset = data.load("xor")
    table = load("xor").model_dump()
    plain = {"arrays": {"on": True}}
    told = {
        "output converter": {"arrays": {"on": True, "output_bits": 5}},
        "read noise": {"arrays": {"on": True}, "devices": {"preset": "sonos", "programming": 1e-9}},
        "transposed read alone": {"arrays": {"on": True, "sensing": "opposite"}, "devices": {"programming": 1e-9, "wires": 300.0}},
        "its twin": {"arrays": {"on": True}, "devices": {"programming": 1e-9, "wires": 300.0}},
        "write": {"arrays": {"on": True, "law": "soft-bounds", "pulse": 2.0**-8}},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeviceWarning)
        made = {
            name: emulator.train(Recipe.model_validate(table | t), *dataset, epochs=1).weights
            for name, t in (told | {"none": plain}).items()
        }
    for a, b in itertools.combinations(made, 2):
        assert any((p != q).any() for p, q in zip(made[a], made[b], strict=True)), (a, b)


def test_11_an_array_is_the_device_from_the_start_and_what_cannot_be_combined_is_refused():
    w, x = weights(12, 20), codes(50, 20)
    array = Array(w, Device(programming=Generic(0.05)), EXACT, seed=1)
    assert (array.read(x) * 2.0**-array.fraction_bits != x @ array.levels.T).any() and (array.perfect().read(x) == x @ array.levels.T).all()
    with pytest.raises(ValueError, match="wires and a nonlinear I-V curve: the network is no longer one matrix; give"):
        Array(w, Device(iv=Cubic((0.0,), (0.0,), 0.2, (1.0, 25.0))), Circuit(wires=Wires(1.0, 1.0)))


def test_the_recipe_in_the_document_is_one():
    text = (Path(__file__).resolve().parent.parent / "docs" / "analog.md").read_text()
    told = parse(text.split("```toml")[1].split("```")[0])
    assert told.arrays.on and told.devices.named and told.arrays.sensing == "opposite"


# A device of one's own --------------------------------------------------------------------------------------


def test_a_measured_file_becomes_a_device_that_is_trained_on(tmp_path):
    """As a user would: conductance and its standard deviation in microsiemens, two columns."""
    file = tmp_path / "cell.csv"
    file.write_text("0.5,0.06\n5,0.31\n12,0.52\n20,0.66\n31,0.80\n40,0.83\n")
    g, sigma = np.loadtxt(file, delimiter=",").T
    cell = Device(g_max=g[-1], g_min=g[0], programming=Table(g, sigma), read=Table(g, sigma / 10), name="mine")
    assert cell.programming.sigma(np.array([8.5]), 40.0) == pytest.approx(0.31 + (0.52 - 0.31) / 2)
    digits = data.load("digits")
    few = digits.x_train[:400], digits.y_train[:400], digits.x_test[:100], digits.y_test[:100]
    on_cells = emulator.train(load("digits"), *few, epochs=2, engine="numpy", device=cell)
    assert on_cells.epochs[-1]["accuracy"] > 0.8
    in_a_recipe = Recipe.model_validate(load("digits").model_dump() | {"devices": {"measured": np.c_[g, sigma].tolist()}})
    same = emulator.train(in_a_recipe, *few, epochs=2, engine="numpy")
    assert all(np.array_equal(a, b) for a, b in zip(on_cells.weights, same.weights, strict=True))
    arrays = Recipe.model_validate(load("xor").model_dump() | {"arrays": {"on": True}})
    noisy, quiet = (emulator.train(arrays, *data.load("xor"), epochs=1, device=d).weights for d in (cell, devices.alone(cell)["ideal"]))
    assert any((a != b).any() for a, b in zip(noisy, quiet, strict=True))
