"""Wire resistance against nodal analysis of the whole network."""

import importlib
import sys
from unittest.mock import MagicMock

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import splu

from crossdyad.emulator.devices import (
    Array,
    Circuit,
    Device,
    Mapping,
    OutputConverter,
    Wires,
    device_of,
    effective_conductance,
    stored,
    wires_of,
)
from crossdyad.recipe import Devices, RecipeError, parse

pytestmark = pytest.mark.usefixtures("promises")


def nodal(g, word, bit, drive, sense, at_driver=0.0, at_sense=0.0):
    """Effective conductance (lines driven, lines sensed) from Kirchhoff's equations of all nodes.

    `drive`, `sense`: (``word`` or ``bit``, 0 or -1): which lines, and at which end; and the resistance there, beside the last segment.
    """
    m, n = g.shape
    nodes = {"word": np.arange(m * n).reshape(m, n), "bit": np.arange(m * n, 2 * m * n).reshape(m, n)}
    resistance = {"word": word, "bit": bit}
    links = [
        (nodes["word"], nodes["bit"], g * 1e-6),
        (nodes["word"][:, :-1], nodes["word"][:, 1:], np.full((m, n - 1), 1 / word)),
        (nodes["bit"][:-1], nodes["bit"][1:], np.full((m - 1, n), 1 / bit)),
    ]
    p, q, c = (np.concatenate([np.ravel(link[i]) for link in links]) for i in range(3))

    def terminal(line, end):
        return nodes[line][:, end] if line == "word" else nodes[line][end]

    entries = np.concatenate([c, c, -c, -c]), (np.concatenate([p, q, p, q]), np.concatenate([p, q, q, p]))
    matrix = sparse.coo_matrix(entries, (2 * m * n,) * 2)
    ends, last = np.zeros(2 * m * n), [resistance[line] + more for (line, _), more in ((drive, at_driver), (sense, at_sense))]
    for (line, end), ohm in zip((drive, sense), last, strict=True):
        ends[terminal(line, end)] += 1 / ohm
    driven = terminal(*drive)
    source = np.zeros((2 * m * n, len(driven)))
    source[driven, np.arange(len(driven))] = 1 / last[0]
    voltage = splu((matrix + sparse.diags(ends)).tocsc()).solve(source)
    return voltage[terminal(*sense)].T / last[1] * 1e6


SHAPES = [(1, 1), (1, 7), (6, 1), (5, 3), (20, 31), (60, 50)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ohm", [1e-3, 0.35, 10.0, 1e4])
def test_elimination_is_nodal_analysis(shape, ohm):
    g = np.random.default_rng(0).uniform(0, 25, shape)
    found, exact = effective_conductance(g, ohm, 3 * ohm), nodal(g, ohm, 3 * ohm, ("word", 0), ("bit", -1))
    assert np.max(np.abs(found - exact)) <= 1e-9 * exact.max()
    assert np.max(np.abs(found / exact - 1)) <= 1e-9


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("driver, sense", [(1e3, 100.0), (0.0, 50.0), (50.0, 0.0), (1e-3, 1e5)])
def test_drivers_and_sense_circuits_are_nodal_analysis(shape, driver, sense):
    g = np.random.default_rng(0).uniform(0, 25, shape)
    found = effective_conductance(g, 0.35, 2.0, driver, sense)
    exact = nodal(g, 0.35, 2.0, ("word", 0), ("bit", -1), driver, sense)
    assert np.max(np.abs(found / exact - 1)) <= 1e-9


@pytest.mark.parametrize("shape", [(1, 1), (6, 9), (9, 6)])
def test_drivers_and_sense_circuits_without_wires_have_closed_forms(shape):
    """A divider on each line; and one cell in series with everything."""
    g = np.random.default_rng(0).uniform(1, 25, shape)
    rows, columns = g.sum(axis=1, keepdims=True), g.sum(axis=0, keepdims=True)
    assert np.allclose(effective_conductance(g, 0, 0, 1e3, 0), g / (1 + 1e-3 * rows), rtol=1e-12)
    assert np.allclose(effective_conductance(g, 0, 0, 0, 1e3), g / (1 + 1e-3 * columns), rtol=1e-12)
    # all lines alike: what is driven sees rows of dividers, each in series with its share of a sense circuit
    one = np.full(shape, 10.0)
    driven_together = effective_conductance(one, 0, 0, 1e3, 2e3).sum(axis=0)
    assert np.allclose(driven_together, 10 * shape[0] / (1 + 1e-2 * shape[1] + 2e-2 * shape[0]), rtol=1e-12)
    assert effective_conductance([[4.0]], 1.0, 2.0, 30.0, 400.0)[0, 0] == pytest.approx(1e6 / (433 + 2.5e5), rel=1e-12)


def test_a_kilohm_in_front_of_a_64_x_64_array_takes_most_of_its_current():
    g = np.full((64, 64), 25.0)
    kept = effective_conductance(g, 0, 0, 1e3, 100.0) / g
    assert np.all(kept < 0.4) and kept.mean() == pytest.approx(1 / (1 + 64 * 25e-6 * 1.1e3), rel=1e-9)


def test_a_128_x_128_array_is_nodal_analysis():
    g = np.random.default_rng(1).uniform(0, 25, (128, 128))
    found, exact = effective_conductance(g, 1.0, 1.0), nodal(g, 1.0, 1.0, ("word", 0), ("bit", -1))
    assert np.max(np.abs(found / exact - 1)) <= 1e-9


@pytest.mark.parametrize("shape", [(40, 25), (25, 40)])
def test_elimination_is_what_badcrossbar_finds(shape, monkeypatch):
    """Somebody else's solver. It wants to draw as well, with a library that is not installed."""
    monkeypatch.setitem(sys.modules, "cairo", MagicMock())
    badcrossbar = importlib.import_module("badcrossbar")
    g = np.random.default_rng(9).uniform(0.1, 25, shape)
    solution = badcrossbar.compute(np.eye(shape[0]), 1e6 / g, r_i_word_line=2.0, r_i_bit_line=5.0)
    found, exact = effective_conductance(g, 2.0, 5.0), 1e6 * np.asarray(solution.currents.output)
    assert np.max(np.abs(found / exact - 1)) <= 1e-9


def test_no_resistance_is_no_change_and_little_resistance_is_little_change():
    g = np.random.default_rng(2).uniform(0, 25, (9, 6))
    assert np.allclose(effective_conductance(g, 0, 0), g, rtol=1e-15)
    small = effective_conductance(g, 1e-9, 1e-9)
    assert 0 < np.max(np.abs(small / g - 1)) < 1e-11
    for word, bit in ((1.0, 0), (0, 1.0)):
        assert np.allclose(effective_conductance(g, word, bit), effective_conductance(g, word or 1e-9, bit or 1e-9), rtol=1e-9)


def test_open_cells_conduct_nothing():
    g = np.random.default_rng(3).uniform(0, 25, (8, 5)) * (np.random.default_rng(4).random((8, 5)) < 0.5)
    g[3], g[:, 2] = 0, 0
    found = effective_conductance(g, 5.0, 5.0)
    assert (found[3] == 0).all() and (found[:, 2] == 0).all()
    assert np.allclose(found, nodal(g + 1e-12, 5.0, 5.0, ("word", 0), ("bit", -1)), atol=1e-9)


@pytest.mark.parametrize("shape", [(12, 20), (20, 12)])
def test_transposed_reads_of_both_sensings_are_nodal_analysis(shape):
    outputs, inputs = shape
    weights = np.abs(np.random.default_rng(5).normal(size=shape))
    device = Device(g_max=100.0)
    for sensing, ends in (("same", (-1, 0)), ("opposite", (0, -1))):
        for driver, sense in ((0.0, 0.0), (70.0, 70.0), (200.0, 30.0), (0.0, 30.0)):
            wires = Wires(20.0, 10.0, sensing, driver, sense)
            array = Array(weights, device, Circuit(wires=wires))
            g = device.target(np.maximum(array.levels, 0) / 127).T
            exact = nodal(g, 20.0, 10.0, ("bit", ends[0]), ("word", ends[1]), driver, sense) / (100 / 127)  # (outputs, inputs)
            assert np.max(np.abs(array.effective_transposed - exact)) <= 1e-9 * exact.max()
            forward = nodal(g, 20.0, 10.0, ("word", 0), ("bit", -1), driver, sense).T / (100 / 127)
            assert np.max(np.abs(array.effective - forward)) <= 1e-9 * forward.max()
            difference = np.max(np.abs(forward - exact)) / forward.max()
            assert abs(array.report().asymmetry - difference) < 1e-9
            assert (difference < 1e-9) == wires.reciprocal == (sensing == "same" and driver == sense)


@pytest.mark.parametrize("kind", ["differential", "offset"])
def test_reads_with_wires_are_right_to_1e_9_on_a_fine_grid(kind):
    draw = np.random.default_rng(6)
    weights, x = draw.normal(size=(20, 30)), draw.integers(-127, 128, (50, 30))
    circuit = Circuit(wires=Wires(2.0, 2.0), mapping=Mapping(kind=kind), output=None, output_transposed=None, fraction_bits=26)
    array = Array(weights, Device(), circuit)
    sums = array.read(x) * 2.0**-26
    exact = x @ array.effective.T
    assert np.max(np.abs(sums - exact)) <= 1e-9 * np.max(np.abs(exact))


def test_tiles_are_arrays_of_their_own():
    weights = np.abs(np.random.default_rng(7).normal(size=(12, 20)))
    device, wires = Device(g_max=50.0), Wires(5.0, 5.0)
    array = Array(weights, device, Circuit(rows=8, columns=6, wires=wires))
    assert array.arrays == 6
    g = device.target(array.levels / 127)
    part = effective_conductance(g[6:, 6:13].T, 5.0, 5.0).T / (50 / 127)
    assert np.allclose(array.effective[6:, 6:13], part, rtol=1e-12)


def test_bad_wires_are_named():
    for make, message in (
        (lambda: effective_conductance(-np.ones((2, 2)), 1, 1), "conductances must be finite and not negative"),
        (lambda: effective_conductance(np.ones(3), 1, 1), "expected .inputs, outputs."),
        (lambda: Wires(-1, 0), "word = -1; .* not negative .ohm."),
        (lambda: Wires(1, 0, sense=np.inf), "sense = inf; resistances are finite"),
        (lambda: Wires(1, 1, "both"), "allowed are 'same', 'opposite'"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_converters_read_through_wires():
    draw = np.random.default_rng(8)
    weights, x = draw.normal(size=(20, 30)), draw.integers(-127, 128, (50, 30))
    array = Array(weights, Device(), Circuit(wires=Wires(2.0, 2.0), output=OutputConverter(8, 1e5)))
    sums = x @ np.rint(array.effective.T * 2**array.fraction_bits)
    unit = array.forward.level_lsb[0] * 2.0**array.fraction_bits
    assert (array.read(x) == np.clip((2 * sums + unit) // (2 * unit), -128, 127)).all()


def test_lines_of_a_recipe_may_differ_and_selectors_leak():
    """Loaded weights are those of nodal analysis with both resistances, and with every selector beside its cell."""
    w = np.array([[0.5, -1.0, 0.25], [-0.75, 0.0, 1.0]])
    plus, minus = (25 * np.maximum(sign * w, 0) for sign in (1, -1))
    for given, word, bit, leak in (({"wires": [200.0, 5000.0]}, 200, 5000, 0), ({"wires": [200.0, 5000.0], "leakage": 3.0}, 200, 5000, 3)):
        recipe = parse("name = 'a'\nsizes = [3, 2]\nlanes = [2]").model_copy(
            update={"devices": Devices.model_validate({"programming": 1e-12} | given)}
        )
        made = stored(w, device_of(recipe.devices), 1, 0, wires=wires_of(recipe), span=1.0)
        exact = [nodal(g.T + leak, word, bit, ("word", 0), ("bit", -1)).T for g in (plus, minus)]
        assert np.allclose(made, (exact[0] - exact[1]) / 25, atol=1e-8)
    with pytest.raises(RecipeError, match="devices.leakage: 3 without wires, where it cancels"):
        parse("name = 'a'\nsizes = [3, 2]\nlanes = [2]\n[devices]\nspread = 0.1\nleakage = 3")
    with pytest.raises(ValueError, match="leakage = -1"):
        Wires(1, 1, leakage=-1)
    assert parse(recipe.to_toml()) == recipe
