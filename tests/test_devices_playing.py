"""The chip on analog arrays: its own bits where these are ideal, every effect from the recipe, and for every rule."""

import warnings

import numpy as np
import pytest

from crossdyad import data, emulator
from crossdyad.emulator import devices
from crossdyad.emulator.devices import ArrayChip, Device, DeviceWarning, PerProduct
from crossdyad.emulator.many import structure
from crossdyad.recipe import Op, Recipe, RecipeError, load, parse
from crossdyad.sim import budget

DIGITS = data.load("digits")
XOR = data.load("xor")


def recipe(base="xor", devices=None, **arrays):
    return Recipe.model_validate(load(base).model_dump() | {"devices": devices or {}, "arrays": {"on": True} | arrays})


def trained(r, device=None, epochs=2):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeviceWarning)
        return emulator.train(r, *XOR, epochs=epochs, device=device)


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("rule", ["dual-propagation", "spsa"])
@pytest.mark.parametrize("given", [{}, {"mapping": "offset"}, {"cell_bits": 3, "input_slice": 2}, {"lines": 2}])
def test_ideal_arrays_are_the_chip_bit_for_bit(rule, given):
    formats = {"weight": {"width": 12, "frac": 9}, "state": {"width": 9, "frac": 6}, "delta": {"width": 11, "frac": 8}}
    table = load("xor-spsa" if rule == "spsa" else "xor").model_dump() | {"formats": formats, "epsilon": 2.0**-5}
    plain = emulator.train(Recipe.model_validate(table), *XOR, epochs=8, engine="numpy", seeds=[1, 2])
    arrays = emulator.train(Recipe.model_validate(table | {"arrays": {"on": True} | given}), *XOR, epochs=8, seeds=[1, 2])
    assert same(plain.weights, arrays.weights) and str(plain.epochs) == str(arrays.epochs)
    assert plain.saturations == arrays.saturations and plain.cycles == arrays.cycles


EFFECTS = {
    "input converters": (None, {"input_bits": 5}),
    "output converters": (None, {"output_bits": 5}),
    "gain": (None, {"output_bits": 8, "gain_spread": 0.1}),
    "offsets": (None, {"output_bits": 8, "offset_spread": 3.0}),
    "read noise": ({"preset": "sonos", "programming": 1e-9}, {}),
    "curvature": ({"preset": "reram-milo", "programming": 1e-9}, {}),
    "opposite sensing": ({"programming": 1e-9, "wires": 300.0}, {"sensing": "opposite"}),
    "programming": ({"programming": 0.05}, {}),
    "spread": ({"spread": 0.1}, {}),
    "spread of noise": ({"programming": 0.05, "noise_spread": 0.5}, {}),
    "stuck": ({"stuck_low": 0.1, "stuck_high": 0.05}, {}),
    **{law: (None, {"law": law, "pulse": 2.0**-8}) for law in ("constant", "linear", "soft-bounds", "exponential", "power")},
    "pulse noise": (None, {"law": "linear", "pulse": 2.0**-8, "pulse_noise": 0.5}),
    "pulse spread": (None, {"law": "linear", "pulse": 2.0**-8, "pulse_spread": 0.3}),
    "spread of bounds": (None, {"law": "linear", "pulse": 2.0**-8, "bound_spread": 0.3}),
}
BEFORE = {
    "pulse noise": "linear",
    "pulse spread": "linear",
    "spread of bounds": "linear",
    "gain": "output 8",
    "offsets": "output 8",
    "opposite sensing": "same sensing",
    "spread of noise": "programming",
}
MORE = {"output 8": (None, {"output_bits": 8}), "same sensing": ({"programming": 1e-9, "wires": 300.0}, {}), "nothing": (None, {})}


@pytest.mark.parametrize("base", ["xor", "xor-spsa"])
@pytest.mark.parametrize("name", EFFECTS)
def test_every_effect_is_switched_on_in_the_recipe_for_every_rule(base, name):
    def weights(effect):
        of_devices, arrays = (EFFECTS | MORE)[effect]
        return trained(recipe(base, of_devices, **arrays)).weights

    made = weights(name)
    assert same(made, weights(name))
    if not (name == "opposite sensing" and base == "xor-spsa"):  # a rule without transposed reads
        assert not same(made, weights(BEFORE.get(name, "nothing")))


def test_bits_do_not_depend_on_how_samples_are_split_or_which_chips_are_beside():
    r = recipe(devices={"preset": "pcm"}, output_bits=8, gain_spread=0.05, law="soft-bounds", pulse=2.0**-8, pulse_noise=0.3)

    def run(pieces, seeds):
        chip = ArrayChip(r, (len(seeds),), seeds, devices.preset("pcm"))
        chip.weights = emulator.initial_weights(r, seeds)
        chip.calibrate(XOR.x_train[:4], XOR.y_train[:4])
        made = [chip.train(a, b).loss for a, b in zip(np.array_split(x, pieces), np.array_split(y, pieces), strict=True)]
        made += [chip.infer(a) for a in np.array_split(x, pieces)]
        return [*chip.weights, np.concatenate(made[:pieces], 1), np.concatenate(made[pieces:], 1)]

    x, y = np.tile(XOR.x_train, (4, 1))[:13], np.tile(XOR.y_train, 4)[:13]
    whole = run(1, [4, 9])
    assert same(whole, run(5, [4, 9])) and same([w[1:] for w in whole], run(2, [9]))
    assert not same([w[:1] for w in whole], run(1, [5]))


@pytest.mark.filterwarnings("ignore::crossdyad.emulator.devices.DeviceWarning")
def test_training_on_arrays_resumes_to_the_same_bits(tmp_path):
    r = recipe(devices={"preset": "pcm", "age": 100.0, "wires": 50.0}, output_bits=8, sensing="opposite", law="power", pulse=2.0**-8)
    whole = emulator.train(r, *XOR, epochs=4, seeds=[1, 2])
    for epochs in (2, 4):
        resumed = emulator.train(r, *XOR, epochs=epochs, seeds=[1, 2], checkpoint=tmp_path / "c.npz")
    assert same(whole.weights, resumed.weights) and str(whole.epochs) == str(resumed.epochs)


@pytest.mark.parametrize(
    "given, layout",
    [
        ({"wires": 50.0}, {"sensing": "opposite"}),
        ({"driver": 400.0, "sense": 20.0}, {}),
        ({"wires": 30.0, "driver": 20.0, "sense": 300.0}, {"sensing": "opposite", "mapping": "offset", "cell_bits": 4, "lines": 16}),
    ],
)
def test_transposed_reads_are_off_by_what_the_array_says(given, layout):
    r = recipe("digits8", {"programming": 1e-9} | given, **layout)
    w = emulator.initial_weights(r)
    held, turned = devices.programmed(r, w), devices.asymmetry(r, w)
    chip = ArrayChip(r)
    chip.weights, chip.turned = held, turned
    errors = np.random.default_rng(0).integers(-500, 500, (30, 10))
    layer = chip._engine.chosen[0].layers[1]
    read = layer.read(Op.TRANSPOSED, chip.weights[1], errors, np.arange(30))
    exact = errors @ (held[1] + turned[1] / r.formats.weight.step)
    assert np.abs(read - exact).max() < 1e-3 * np.abs(exact).max() < 0.1 * np.abs(read - errors @ held[1]).max()


def test_noise_of_a_read_has_the_size_of_the_device():
    r = recipe("digits8")
    chip = ArrayChip(r, device=Device(read=PerProduct(0.02)))
    chip.weights = emulator.initial_weights(r)
    layer, w = chip._engine.chosen[0].layers[0], chip.weights[0]
    x = np.random.default_rng(0).integers(0, 128, (2000, 64))
    noise = layer.read(Op.FORWARD, w, x, np.arange(2000)) - x @ w.T
    expected = 0.02 * 127 * np.sqrt(x**2 @ (np.abs(w) / 127).T)
    assert (noise / expected).std() == pytest.approx(1, rel=0.01)


def test_clipped_reads_are_counted_and_told():
    r = recipe("digits", output_bits=8)
    chip = ArrayChip(r)
    chip.weights = emulator.initial_weights(r)
    with pytest.raises(ValueError, match=r"output ranges are not set; call chip.calibrate"):
        chip.infer(DIGITS.x_test[:2])
    chip.calibrate(0.2 * DIGITS.x_train[:8], DIGITS.y_train[:8])
    chip.infer(DIGITS.x_test[:60])
    with pytest.warns(DeviceWarning, match=r"digits: layer 0, forward: \d+ of 1920 reads clipped"):
        chip.watch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chip.watch()  # told once


def test_the_error_budget_has_a_row_for_each_effect_of_the_arrays():
    of_devices = {"preset": "pcm", "wires": 20.0, "spread": 0.1}
    r = recipe("digits", of_devices, input_bits=6, output_bits=6, gain_spread=0.05, sensing="opposite")
    rows = {row["effect"]: row for row in budget.budget(r, emulator.initial_weights(r), DIGITS.x_test[:12], DIGITS.y_test[:12], seeds=2)}
    last = [
        "spread of cells",
        "ideal arrays",
        "input converters",
        "output converters",
        "converters' spread",
        "read noise of cells",
        "opposite sensing",
        "all together",
    ]
    assert list(rows)[-8:] == last
    assert abs(rows["ideal arrays"]["cosine"] - rows["rule"]["cosine"]) < 2e-3
    for effect in ("converters' spread", "read noise of cells"):
        assert rows[effect]["deviation"] > 0.01
    for effect in ("output converters", "opposite sensing"):
        assert rows[effect]["bias"] != rows["ideal arrays"]["bias"] and rows[effect]["deviation"] == 0
    assert rows["opposite sensing"]["bias"] != rows["wires"]["bias"]
    curved = recipe("digits", {"preset": "reram-milo"})
    assert "curved currents" in budget.variants(curved)


def test_each_effect_of_cells_is_judged_where_the_recipe_lays_them():
    """Programming noise of a reference line is not that of pairs; and resistances of drivers unlike sense circuits need reads of arrays."""
    layout = {"mapping": "offset", "cell_bits": 4, "lines": 16}
    r = recipe("digits", {"preset": "pcm", "driver": 300.0, "sense": 50.0}, output_bits=8, input_slice=3, **layout)
    chips = budget.variants(r)
    for effect in ("programming noise", "wires", "ideal arrays", "output converters", "read noise of cells"):
        told = chips[effect].recipe
        assert {name: getattr(told.arrays, name) for name in layout} == layout, effect
        assert (told.devices.driver == 300.0) == (effect == "wires"), effect
    assert chips["wires"].recipe.arrays.on and not chips["programming noise"].recipe.arrays.on
    assert chips["read noise of cells"].recipe.arrays.input_slice == 3
    held, pairs = (
        devices.programmed(q, emulator.initial_weights(r), device=chips["programming noise"].device)[0]
        for q in (r, recipe("digits", {"preset": "pcm"}))
    )
    assert np.std(held - emulator.initial_weights(r)[0]) > 1.5 * np.std(pairs - emulator.initial_weights(r)[0])


def test_learning_on_arrays_is_learning():
    r = recipe("digits", {"preset": "sonos"}, output_bits=8)
    few = DIGITS.x_train[:300], DIGITS.y_train[:300], DIGITS.x_test[:100], DIGITS.y_test[:100]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeviceWarning)
        assert emulator.train(r, *few, epochs=2).epochs[-1]["accuracy"] > 0.8


def test_a_recipe_with_arrays_is_text_and_builds_the_same_chip():
    r = recipe("digits", {"preset": "pcm", "wires": 1.0}, output_bits=8, sensing="opposite")
    assert parse(r.to_toml()) == r and r.as_built == load("digits")
    with pytest.raises(ValueError, match=r"digits: arrays.on: many chips at once"):
        structure(r)


@pytest.mark.parametrize(
    "text, told",
    [
        ("output_bits = 8", "arrays.output_bits: 8 without arrays; say arrays.on = true"),
        ("on = true\noutput_bits = 1", "arrays.output_bits: 1; allowed are 0"),
        ("on = true\ngain_spread = 0.1", "arrays.gain_spread: 0.1 without output converters"),
        ("on = true\ncell_bits = 12", "arrays.cell_bits: 12; allowed are 0 .all. to 11"),
        ("on = true\ninput_slice = 8", "arrays.input_slice: 8; allowed is less than"),
        ('on = true\nsensing = "opposite"', "arrays.sensing: 'opposite' without devices.wires"),
        ("\n[devices]\nstuck_low = 0.7\nstuck_high = 0.7", "shares whose sum is at most 1"),
        ("\n[devices]\nprogramming = -0.1", "devices.programming"),
    ],
)
def test_mistakes_in_a_recipe_are_named(text, told):
    with pytest.raises(RecipeError, match=told):
        parse('name = "mine"\nsizes = [64, 8, 10]\nlanes = [4, 2]\n[arrays]\n' + text, "mine.toml")


@pytest.mark.parametrize("rule", ["dual-propagation", "spsa"])
def test_pulses_change_weights_by_what_the_chip_wanted_on_average(rule):
    """Of constant steps: counts are rounded at random, so the mean over chips is the chip's update."""
    base = "xor-spsa" if rule == "spsa" else "xor"
    table = load(base).model_dump() | {
        "formats": {"weight": {"width": 20, "frac": 17}, "state": {"width": 9, "frac": 6}, "delta": {"width": 11, "frac": 8}}
    }
    ideal = Recipe.model_validate(table | {"rounding": {"weight": "nearest"}, "arrays": {"on": True}})
    pulsed = Recipe.model_validate(table | {"arrays": {"on": True, "law": "constant", "pulse": 2.0**-6}})
    start, changes = emulator.initial_weights(ideal), []
    for r, chips in ((ideal, 1), (pulsed, 100)):
        chip, moved = ArrayChip(r), 0.0
        for step in range(chips):
            chip.restore(chip.state() | {"step": np.uint32(step if rule != "spsa" else 0)})  # spsa's signs are those of a step
            chip.weights = start
            if rule == "spsa" and step:
                break
            chip.train(XOR.x_train[:1], XOR.y_train[:1])
            moved = moved + np.concatenate([(w - s).ravel() * r.formats.weight.step for w, s in zip(chip.weights, start, strict=True)])
        changes.append(moved / (1 if rule == "spsa" else chips))
    wanted, found = changes
    if rule == "spsa":
        assert np.abs(found - wanted).max() <= 2.0**-6 and np.abs(wanted).max() > 0
    else:
        assert np.abs(found - wanted).max() < 5 * 2.0**-7 / np.sqrt(100) and np.abs(wanted).max() > 2.0**-6


def test_a_state_is_restored_with_the_cells_of_its_seeds():
    """Pulses to cells that are not alike: what was learned goes on as in the chip that the state is of."""
    r = recipe(law="soft-bounds", pulse=2.0**-6, pulse_spread=0.3)
    first, other = ArrayChip(r, (2,), [1, 2]), ArrayChip(r, (2,), [5, 6])
    first.weights = emulator.initial_weights(r, [1, 2])
    first.train(XOR.x_train, XOR.y_train)
    other.restore(first.state())
    for chip in (first, other):
        chip.train(XOR.x_train, XOR.y_train)
    assert all(np.array_equal(a, b) for a, b in zip(first.weights, other.weights, strict=True))
