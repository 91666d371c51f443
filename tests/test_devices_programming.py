"""Weights on devices: what is loaded after they have been written and left alone, and learning with such cells."""

import json
from dataclasses import replace

import numpy as np
import pytest

from crossdyad import data, emulator, hdl
from crossdyad.emulator import devices
from crossdyad.emulator.devices import Array, Circuit, Constant, Device, DeviceWarning, Generic, Spread, Stuck, draws, drift
from crossdyad.explore import jobs as todo
from crossdyad.recipe import Recipe, RecipeError, load
from crossdyad.recipe.check import AGING
from crossdyad.recipe.sections import DevicePreset
from crossdyad.sim import budget

DIGITS = data.load("digits")
DAY = 86400.0
IDEAL = Device()


def recipe(base="xor", **of_devices):
    return Recipe.model_validate(load(base).model_dump() | {"devices": of_devices})


def weights(r, seed=0):
    return emulator.initial_weights(r.model_copy(update={"seed": seed}))


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


def test_ideal_cells_give_back_every_weight():
    r = recipe("digits")
    assert same(devices.programmed(r, weights(r), device=IDEAL), weights(r))
    assert same(devices.programmed(r, weights(r)), weights(r))  # and plain memory
    assert same(devices.programmed(r, weights(r), device=replace(IDEAL, g_min=2.0), span=8.0), weights(r))


def test_presets_are_those_that_a_recipe_can_name():
    assert {*DevicePreset.__args__} == {"", *devices.PRESETS}
    for name in devices.PRESETS:
        assert devices.device_of(recipe(preset=name).devices) is devices.preset(name)


@pytest.mark.parametrize("name", ["pcm", "sonos", "reram-wan"])
def test_the_error_of_writing_is_the_published_one(name):
    """At a share h of the range: mean 0 and the device's deviation, of the cell that is written and of its empty partner."""
    device = replace(devices.alone(devices.preset(name))["programming noise"], g_min=10.0)  # far from 0, where cells are cut off
    for h in (0.3, 0.6):
        w = np.full((400, 256), h)
        w[0, 0] = 1.0
        error = (devices.stored(w, device, seed=3, layer=0) - w).ravel()[1:] * (device.g_max - device.g_min)
        g, empty = device.target(np.array([h, 0.0]))
        expected = np.hypot(*device.programming.sigma(np.array([g, empty]), device.g_max))
        assert abs(error.mean()) < 4 * expected / np.sqrt(error.size)
        assert error.std() == pytest.approx(expected, rel=4 / np.sqrt(2 * error.size))


def test_what_a_write_renews_and_what_stays():
    w = np.linspace(-1, 1, 4000).reshape(40, 100)
    effects = ("programming", Generic(0.05), True), ("spread", Spread(0.1), False), ("stuck", Stuck(0.02, 0.02), False)
    for field, effect, renewed in effects:
        device = Device(**{field: effect})
        first, again, second = (devices.stored(w, device, 1, 0, write) for write in (0, 0, 1))
        assert np.array_equal(first, again) and not np.array_equal(first, w)
        assert np.array_equal(first, second) != renewed
        assert not np.array_equal(first, devices.stored(w, device, 2, 0))  # another chip
        assert not np.array_equal(first, devices.stored(w, device, 1, 1))  # another layer


def test_chips_of_a_batch_are_chips_alone():
    r = recipe("digits", preset="pcm", wires=2.0, age=DAY)
    seeds = [4, 5, 2**63 + 1]
    batch = [np.stack(w) for w in zip(*(weights(r, s) for s in seeds), strict=True)]
    together = devices.programmed(r, batch, 7, DAY, seeds)
    for i, s in enumerate(seeds):
        assert same(devices.programmed(r, [w[i] for w in batch], 7, DAY, s), [w[i] for w in together])


def test_drift_shrinks_and_compensation_repairs_the_mean():
    w = np.random.default_rng(0).uniform(-1, 1, (100, 100))

    def gain(compensate, time):
        return np.sum(devices.stored(w, device, 1, 0, 0, time, compensate) * w) / np.sum(w * w)

    device = replace(IDEAL, g_max=25.0, drift=devices.preset("pcm").drift)
    assert 0.3 < gain("none", 30 * DAY) < gain("none", DAY) < 0.75
    assert gain("array", 30 * DAY) == pytest.approx(1, abs=0.02) and gain("output", 30 * DAY) == pytest.approx(1, abs=0.02)
    with pytest.raises(ValueError, match="20"):
        gain("none", 1.0)  # before the drift's reference time
    with pytest.raises(ValueError, match="compensate: 'columns'; allowed are none, array, output"):
        gain("columns", DAY)


LAYOUTS = [
    ("differential", None, 256),
    ("differential", None, 16),
    ("differential", 2, 256),
    ("differential", 1, 10),
    ("offset", None, 256),
    ("offset", None, 16),
    ("offset", 3, 10),
]


@pytest.mark.parametrize("kind, cell_bits, lines", LAYOUTS)
def test_what_is_loaded_is_what_the_array_reads_with(kind, cell_bits, lines):
    """Each effect alone and all together, cell by cell; through the other ends of the wires as well."""
    levels = np.random.default_rng(0).integers(-127, 128, (30, 40))
    levels[0, 0] = 127
    effects = {"programming": Generic(0.05), "spread": Spread(0.1, noise=0.2), "stuck": Stuck(0.02, 0.01), "drift": drift.fixed(0.05)}
    mapping, tiles = devices.Mapping(8, kind, cell_bits), [min(lines, n) for n in levels.shape[::-1]]
    cases = [(replace(IDEAL, g_min=1.0, **{n: e}), None, 100.0 if n == "drift" else None) for n, e in effects.items()]
    cases += [
        (replace(IDEAL, g_min=1.0), devices.Wires(20.0, 20.0, "opposite", 200.0, 50.0), None),
        (replace(IDEAL, g_min=1.0, **effects), devices.Wires(20.0, 20.0, "opposite", 200.0, 50.0), 100.0),
    ]
    for device, wires, time in cases:
        array = Array(levels, device, Circuit(*tiles, mapping, wires), seed=5, time=time)
        for turned, effective in ((False, array.effective), (True, array.effective_transposed)):
            found = devices.stored(levels, device, 5, 0, time=time, wires=wires, turned=turned, mapping=mapping, lines=lines)
            assert np.abs(found - effective).max() < 1e-9 * 127 < 1e-2 * np.abs(found - levels).max()


@pytest.mark.filterwarnings("ignore:.*leave the weight format")
@pytest.mark.parametrize("effect", [{"wires": 50.0, "programming": 1e-12}, {"programming": 0.05}], ids=["wires", "programming"])
@pytest.mark.parametrize("kind, cell_bits, lines", LAYOUTS)
def test_a_recipe_says_where_its_cells_lie(effect, kind, cell_bits, lines):
    """The integers of a 40-30 layer, with arrays that are read and without, against the array."""
    wide = {"width": 12, "frac": 9}
    table = {"name": "a", "sizes": [40, 30], "lanes": [4], "formats": {"weight": wide}, "devices": effect}
    layout = {"mapping": kind, "cell_bits": cell_bits or 0, "lines": lines}
    levels = np.random.default_rng(0).integers(-2047, 2048, (30, 40)).astype(np.int32)
    levels[0, 0] = 2047
    wires = devices.Wires(50.0, 50.0) if "wires" in effect else None
    circuit = Circuit(*(min(lines, n) for n in (40, 30)), devices.Mapping(12, kind, cell_bits), wires)
    exact = Array(levels, Device(programming=Generic(effect["programming"])), circuit, seed=1).effective
    for arrays in (layout, layout | {"on": True}):
        (found,) = devices.programmed(Recipe.model_validate(table | {"arrays": arrays}), [levels])
        assert np.abs(found - np.clip(exact, -2048, 2047)).max() < 0.501 < 0.1 * np.std(exact - levels)


def test_no_two_planes_of_cells_of_a_chip_are_one(monkeypatch):
    """The deepest chip with the smallest cells, too: each plane has draws of its own."""
    seen = []
    monkeypatch.setattr(Device, "program", lambda self, share, seed, plane, *more: seen.append(draws.step(plane, 0)) or (share, share))
    for layer in range(15):
        devices.stored(np.eye(2), IDEAL, 1, layer, mapping=devices.Mapping(12, "offset", 1))
    assert len(set(seen)) == len(seen) == 15 * 12 * 2


def test_smaller_arrays_lose_less_in_their_wires_and_more_cells_have_more_noise():
    """Errors of weights, relative to the largest; of programming noise in closed form, with cells that are nowhere cut off."""
    w, device = np.random.default_rng(0).uniform(-1, 1, (128, 128)), replace(IDEAL, g_max=125.0, g_min=100.0)
    w[0, 0] = 1.0
    lost = [np.std(devices.stored(w, IDEAL, 1, 0, wires=devices.Wires(5.0, 5.0), lines=n) - w) for n in (128, 64, 16)]
    assert lost[0] > 2.5 * lost[1] > 20 * lost[2] > 0
    noisy, s = replace(device, programming=Generic(0.25 / 125)), 0.01  # share of the range
    for (kind, bits), expected in {
        ("differential", None): np.sqrt(2) * s,  # a cell and its partner
        ("offset", None): np.sqrt(2) * s * 4095 / 2047,  # which have twice the weights' range
        ("differential", 4): np.sqrt(2) * s * 15 * np.sqrt(1 + 16**2 + 256**2) / 2047,  # cells of 15 levels, times 1, 16 and 256
    }.items():
        error = devices.stored(w, noisy, 1, 0, mapping=devices.Mapping(12, kind, bits)) - w
        within = error - error.mean() if kind == "differential" else error - error.mean(axis=0)  # less the column's reference line
        assert within.std() == pytest.approx(expected if kind == "differential" else expected / np.sqrt(2), rel=0.02), (kind, bits)


def test_what_cannot_be_held_is_an_error_and_what_leaves_the_format_is_counted():
    r = recipe("digits")
    w = weights(r)
    with pytest.raises(ValueError, match="layer 0: a weight of .* is more than 0.01, .* give a range of at least"):
        devices.programmed(r, w, device=IDEAL, span=0.01)
    with pytest.raises(ValueError, match="range: -1; .* must be positive"):
        devices.programmed(r, w, device=IDEAL, span=-1.0)
    with pytest.warns(DeviceWarning, match=r"layer 0: \d+ of \d+ weights \(.*%\) leave the weight format .*; widen the format"):
        limited = devices.programmed(r, w, device=Device(programming=Generic(50.0)))
    f = r.formats.weight
    assert limited[0].min() >= f.min + r.guard and limited[0].max() <= f.max - r.guard


def test_cells_that_the_recipe_calls_stuck_keep_what_they_hold():
    r = recipe("digits", stuck=0.3, preset="pcm")
    w = weights(r)
    kept = [np.mean(a == b) for a, b in zip(w, devices.programmed(r, w), strict=True)]
    assert 0.3 < kept[0] < 0.5


def test_recipes_and_devices_agree_on_what_is_known_of_time():
    """A recipe is refused for exactly the times for which cells would be; so is training on a device of one's own."""
    assert {n: d.drift.start for n, d in devices.PRESETS.items() if d.ages} == AGING
    for name, device in devices.PRESETS.items():
        least = AGING.get(name)
        if least is None:
            with pytest.raises(ValueError, match=f"device {name}: time = 1e[+]09 s, but it has no law of ageing .*; give no time"):
                Array(np.ones((2, 2)), device, time=1e9)
        else:
            recipe(preset=name, age=least)
            device.program(np.ones(3), 1, 0, least)
            with pytest.raises(ValueError, match="before t0"):
                device.program(np.ones(3), 1, 0, 0.99 * least)
    aged, few = recipe("xor", preset="pcm", age=DAY), (data.load("xor"))
    with pytest.raises(ValueError, match="device mine: time = 86400 s, but it has no law of ageing"):
        emulator.train(aged, *few, epochs=1, device=Device(programming=Generic(0.05), name="mine"))


def test_cells_change_no_hardware():
    noisy = {"read_noise": 0.05, "levels": 64}
    cells = {"preset": "pcm", "age": DAY, "wires": 2.0, "driver": 9.0, "sense": 9.0, "compensate": "output"}
    plain, written = recipe("xor", **noisy), recipe("xor", **cells, **noisy)
    assert written.as_built == plain and written != plain
    assert hdl.convert(hdl.build(written), "xor").text == hdl.convert(hdl.build(plain), "xor").text


@pytest.mark.parametrize(
    "given, told",
    [
        ({"preset": "pmc"}, "devices.preset"),
        ({"age": 5.0}, r"devices.age: 5.0 without a device; name a preset or give a measured table"),
        ({"wires": 1.0}, "devices.wires"),
        ({"driver": 1.0}, "devices.driver: 1.0 without a device"),
        ({"preset": "pcm", "age": 5.0}, "devices.age: 5 s, but the law of pcm begins 20 s after writing; allowed are 0, and 20 or more"),
        ({"preset": "hermes-1", "age": 199.0}, "begins 200 s after writing"),
        *(
            (
                {"preset": name, "age": 1e9},
                f"devices.age: 1e[+]09 s, but {name} has no law of ageing; allowed is 0, .*pcm, hermes-1, hermes-2",
            )
            for name in sorted(set(devices.PRESETS) - {"pcm", "hermes-1", "hermes-2"})
        ),
        ({"measured": [[1, 1], [2, 1]], "age": 1e9}, "a device of numbers alone has no law of ageing"),
        ({"programming": 0.05, "age": 1e9}, "a device of numbers alone has no law of ageing"),
        ({"preset": "pcm", "driver": 100.0}, "devices.driver: 100 with sense 0, so that transposed reads are not the transpose"),
        ({"preset": "pcm", "measured": [[0, 1], [2, 1]]}, "devices.measured: given together with preset 'pcm'"),
        ({"measured": [[3, 1], [2, 1]]}, "devices.measured: conductances .*ascending"),
        ({"measured": [[-3, 1], [2, 1]]}, "devices.measured"),
    ],
)
def test_mistakes_in_a_recipe_are_named(given, told, tmp_path):
    file = tmp_path / "mine.toml"
    lines = [f"{k} = {json.dumps(v)}" for k, v in given.items()]
    file.write_text('name = "mine"\nsizes = [64, 8, 10]\nlanes = [4, 2]\n[devices]\n' + "\n".join(lines))
    with pytest.raises(RecipeError, match=told):
        load(str(file))


# Learning ------------------------------------------------------------------------------------------------------


def test_training_with_a_device_resumes_to_the_same_bits_and_ends_with_what_was_tested(tmp_path):
    r, few = recipe("digits", preset="hermes-1", age=DAY), (DIGITS.x_train[:64], DIGITS.y_train[:64], DIGITS.x_test, DIGITS.y_test)
    whole = emulator.train(r, *few, epochs=3, engine="numpy")
    emulator.train(r, *few, epochs=2, engine="numpy", checkpoint=tmp_path / "c.npz")
    resumed = emulator.train(r, *few, epochs=3, engine="numpy", checkpoint=tmp_path / "c.npz")
    assert same(whole.weights, resumed.weights) and str(whole.epochs) == str(resumed.epochs)
    chip = emulator.Chip(r.as_built, "numpy")
    chip.weights = whole.weights
    assert emulator.training.accuracy(chip, *few[2:]) == whole.epochs[-1]["accuracy"]
    plain = emulator.train(recipe("digits"), *few, epochs=3, engine="numpy")
    assert not same(whole.weights, plain.weights)
    with pytest.raises(ValueError, match="c.npz"):
        emulator.train(r, *few, epochs=3, engine="numpy", checkpoint=tmp_path / "c.npz", device=devices.preset("pcm"))


def test_an_ideal_device_is_no_device():
    few = DIGITS.x_train[:40], DIGITS.y_train[:40], DIGITS.x_test[:50], DIGITS.y_test[:50]
    r = recipe("digits")
    with_cells, without = (emulator.train(r, *few, epochs=2, engine="numpy", device=d) for d in (IDEAL, None))
    assert same(with_cells.weights, without.weights) and str(with_cells.epochs) == str(without.epochs)


def test_a_measured_table_makes_a_device_that_learns():
    """(conductance, deviation), as a user has measured them; more noise in the table costs accuracy."""

    def accuracy(scale):
        table = [[0.5, 0.05 * scale], [10.0, 0.4 * scale], [20.0, 0.6 * scale], [40.0, 0.8 * scale]]
        return emulator.train(recipe("digits", measured=table), *DIGITS, epochs=2, seeds=[1, 2]).epochs[-1]["accuracy"].mean()

    assert accuracy(1) > 0.85 > accuracy(20)


def test_many_chips_at_once_are_trained_on_their_cells_as_one_is():
    """A batch of which each has other cells, or none."""
    recipes = [recipe("xor"), recipe("xor", preset="pcm", age=DAY), recipe("xor", preset="sonos", wires=3.0)]
    settings = todo.Settings(epochs=2, samples=3, cost="model")
    jobs = [todo.Job(r, seed) for r in recipes for seed in (1, 2)]
    (batch,) = todo.batches(jobs, 64)
    dataset = data.load("xor")
    for job, value in zip(jobs, todo.evaluate(batch, settings), strict=True):
        alone = emulator.train(job.recipe, *dataset, epochs=2, engine="numpy", seeds=[job.seed])
        assert value["accuracy_by_epoch"] == [float(e["accuracy"][0]) for e in alone.epochs]
    keys = [todo.key(j, settings) for j in jobs]
    assert len(set(keys)) == len(keys)


def test_the_error_budget_has_a_row_for_each_effect_of_the_cells():
    r = recipe("digits", preset="hermes-1", age=30 * DAY, wires=10.0)
    rows = {row["effect"]: row for row in budget.budget(r, weights(r), DIGITS.x_test[:12], DIGITS.y_test[:12], seeds=3)}
    assert list(rows)[-5:] == ["wires", "programming noise", "drift", "1/f noise", "all together"]
    for effect in ("wires", "programming noise", "drift", "1/f noise"):
        assert rows[effect]["cosine"] < rows["rule"]["cosine"] + 0.005
        assert (rows[effect]["deviation"] > 0) == (effect != "wires")
    assert rows["all together"]["cosine"] < rows["programming noise"]["cosine"]
    fresh = budget.variants(recipe("digits", preset="hermes-1"))
    assert "drift" not in fresh and "programming noise" in fresh


@pytest.mark.parametrize("kind, cell_bits", [("differential", None), ("offset", None), ("differential", 2), ("offset", 3)])
@pytest.mark.parametrize("read", [devices.preset("pcm").read, devices.preset("sonos").read, Constant(0.02)], ids=["pcm", "sonos", "even"])
def test_read_noise_of_a_device_is_what_its_array_measures(read, kind, cell_bits):
    levels = np.random.default_rng(0).integers(-127, 128, (20, 40))
    levels[0, 0] = 127
    x, mapping = np.random.default_rng(1).integers(0, 128, (4000, 40)), devices.Mapping(8, kind, cell_bits)
    array = Array(levels, Device(g_max=16.0, read=read), Circuit(output=None, mapping=mapping), seed=2)
    measured = np.std(array.read(x) * 2.0**-array.fraction_bits - x @ levels.T)
    assert measured == pytest.approx(devices.read_noise(Device(g_max=16.0, read=read), [levels], [x], mapping), rel=0.03)
