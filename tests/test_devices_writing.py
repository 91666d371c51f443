"""Writing to analog cells: laws against published formulas and the chip's integers, trains and noise against their distributions."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from crossdyad import data
from crossdyad.emulator import rng
from crossdyad.emulator import update as chip
from crossdyad.emulator.devices import (
    ConstantStep,
    ExponentialStep,
    LinearStep,
    PowerStep,
    PulsedDevice,
    Pulses,
    SoftBounds,
    send,
    trains,
    update,
    update_batch,
    writing,
)
from crossdyad.recipe import Recipe, load, seeds

pytestmark = pytest.mark.usefixtures("promises")

LEVEL = 1e-4
"""Chance with which a right model would fail one test of its distribution."""
LAWS = {
    "constant": ConstantStep(),
    "linear": LinearStep(0.3, 0.7),
    "soft bounds": SoftBounds(),
    "exponential": ExponentialStep(),
    "power": PowerStep(1.5, 0.8),
}
AFFINE = ("constant", "linear", "soft bounds")
SPREAD = {"step_spread": 0.3, "bound_spread": 0.2, "imbalance_spread": 0.05}


def device(law, **given):
    return PulsedDevice(law=LAWS[law], **({"step": 0.004, "low": -0.5, "high": 0.7} | given))


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def samples(count=20, outputs=40, inputs=70, seed=0):
    draw = np.random.default_rng(seed)
    return draw.uniform(-1, 1, (count, inputs)), draw.uniform(-0.1, 0.1, (count, outputs))


# The laws ---------------------------------------------------------------------------------------------------


def published(name, w, step, low, high, up):
    """One pulse, from the papers' formulas, with the numbers of `LAWS`."""
    if name == "constant":
        change = step
    elif name == "linear":
        change = step * (1 - 0.3 * w / high) if up else step * (1 - 0.7 * w / low)
    elif name == "soft bounds":
        change = step * (1 - w / (high if up else low))
    elif name == "exponential":
        z = 2 * 0.244 * w / (high - low) + 0.2425
        change = step * max(0, 1 - (0.00081 * np.exp(12.44625 * z) if up else 0.36833 * np.exp(-12.78785 * z)))
    else:
        change = step * ((high - w) / (high - low)) ** 1.5 if up else step * ((w - low) / (high - low)) ** 0.8
    return min(max(w + (change if up else -change), low), high)


@pytest.mark.parametrize("name", LAWS)
def test_one_pulse_is_the_published_one(name):
    cells = device(name).cells((1, 200), 0, np.float64)
    w = np.linspace(-0.5, 0.7, 200)
    for sign in (1, -1):
        expected = [published(name, v, 0.004, -0.5, 0.7, sign > 0) for v in w]
        assert np.allclose(send(cells, w[None], sign)[0], expected, atol=1e-8, rtol=0)


@pytest.mark.parametrize("name", LAWS)
def test_pulses_together_are_pulses_one_by_one(name):
    """Exactly for affine laws; for others the difference falls with the cube of the distance."""
    error = []
    for step in (4e-3, 2e-3, 1e-3):
        cells = device(name, step=step).cells((1, 50), 0, np.float64)
        w = np.linspace(-0.35, 0.5, 50)[None]
        for n in (17, -17):
            single = w
            for _ in range(17):
                single = send(cells, single, np.sign(n))
            error.append(np.abs(send(cells, w, n) - single).max())
    if name in AFFINE:
        assert max(error) < 1e-9
    else:
        assert 2e-3 > error[0] > 5.5 * error[2] > 5.5**2 * error[4] and error[1] > 5.5 * error[3] > 5.5**2 * error[5]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_linear_steps_are_between_constant_ones_and_soft_bounds(dtype):
    w = np.linspace(-0.4, 0.6, 50)[None]
    for law, slope in ((ConstantStep(), 0.0), (SoftBounds(), 1.0)):
        a, b = (PulsedDevice(law, 0.004, -0.5, 0.7).cells((1, 50), 0, dtype) for law in (law, LinearStep(slope, slope)))
        for n in (1, -1, 9, -9):
            assert np.abs(send(a, w, n) - send(b, w, n)).max() < 2e-7


def test_soft_bounds_follow_their_closed_form_under_noise():
    """16384 cells, 300 pulses each way: 10 million."""
    cells = PulsedDevice(step=0.006, noise=0.3).cells((128, 128), 1)
    for sign in (1, -1):
        w = np.full((128, 128), -0.2 * sign, np.float32)
        for n in range(1, 301):
            w = send(cells, w, sign, sample=n)
            exact = 0.6 - 0.8 * (1 - 0.01) ** n
            assert abs(sign * w.mean(dtype=np.float64) - exact) <= 0.01 * (exact + 0.2)


@pytest.mark.parametrize("kind", ["soft bounds", "linear"])
def test_mean_response_to_trains_has_its_closed_form(kind):
    """Coincidences are binomial, so a train takes the mean deviation from the end times ``(1 - rate chance)**slots``."""
    law = {"soft bounds": SoftBounds(), "linear": LinearStep(0.5, 0.5)}[kind]
    end = {"soft bounds": 0.6, "linear": 1.2}[kind]
    cells = PulsedDevice(law=law, step=0.006, noise=0.3).cells((128, 128), 2)
    w = np.zeros(cells.shape, np.float32)
    x, delta = np.full((60, 128), 0.5), np.full((60, 128), 0.02)
    x[:, 0], delta[:, 0] = 1.0, 0.1  # the largest make trains of 5 slots
    w = update(cells, w, x, delta, 0.3)[1:, 1:]
    exact = end * (1 - (1 - 0.006 / end * 0.5 * 0.2) ** (5 * 60))
    assert abs(w.mean(dtype=np.float64) / exact - 1) < 0.01


def test_alternating_pulses_end_at_the_symmetry_point():
    cells = device("soft bounds", imbalance=-0.3).cells((1, 1), 0, np.float64)
    w = np.array([[0.6]])
    for _ in range(3000):
        w = send(cells, send(cells, w, 1), -1)
    up, down = 0.7 * 0.004, 0.004
    assert abs(w[0, 0] - (up - down) / (up / 0.7 + down / 0.5)) < 0.004


@pytest.mark.parametrize("name", LAWS)
def test_weights_stay_within_the_bounds_of_their_cells(name):
    for step, noise in ((0.05, 3.0), (0.4, 0.2)):  # of the coarse one, some pulses are longer than the way to the bound
        cells = device(name, step=step, noise=noise, **SPREAD).cells((40, 70), 3)
        w = update(cells, np.zeros((40, 70)), *samples(60), 40 * step)
        assert (w >= cells.bounds[0]).all() and (w <= cells.bounds[1]).all() and (w != 0).mean() > 0.5
    assert (cells.limit(np.full((40, 70), 9.0)) == cells.bounds[1]).all()


@pytest.mark.parametrize("name", LAWS)
def test_twice_the_unit_is_twice_the_weight(name):
    one, two = (device(name, step=0.004 * k, low=-0.5 * k, high=0.7 * k, noise=0.3, **SPREAD).cells((40, 70), 4) for k in (1, 4))
    x, delta = samples()
    a, b = update(one, np.zeros((40, 70)), x, delta, 0.2), update(two, np.zeros((40, 70)), x, 4 * delta, 0.2)
    assert np.allclose(4 * a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", LAWS)
def test_single_and_double_precision_agree(name):
    single, double = (device(name, noise=0.3, **SPREAD).cells((40, 70), 5, t) for t in (np.float32, np.float64))
    for write in (update, update_batch):
        a, b = (write(c, np.zeros(c.shape), *samples(), 0.2) for c in (single, double))
        assert a.dtype == np.float32 and b.dtype == np.float64 and np.abs(a - b).max() < 1e-5


# Against the chip -------------------------------------------------------------------------------------------


def chip_recipe(law, pulse, width):
    base = load("digits").model_dump()
    formats = base["formats"] | {"weight": {"width": width, "frac": width - 3}}
    return Recipe.model_validate(base | {"formats": formats, "devices": {"law": law, "pulse": pulse}})


def both(law, pulse, width, counts):
    """Weights of the chip (in LSBs over the LSB) and of cells, after the same pulses."""
    r = chip_recipe(law, pulse, width)
    laws = {"constant": ConstantStep(), "linear": LinearStep(r.pulses.slope, r.pulses.slope), "soft-bounds": SoftBounds()}
    cells = PulsedDevice(law=laws[law], step=pulse, low=-4.0, high=4.0).cells((1, counts.shape[1]), 0, np.float64)
    w = np.linspace(-2, 2, counts.shape[1])
    integers = r.formats.weight.encode(w, "w").astype(np.int32)
    w = r.formats.weight.decode(integers)[None]
    for n in counts:
        integers, _ = chip.update(r, integers, n.astype(np.int64) << r.product_shift)
        w = send(cells, w, n)
    return r.formats.weight.decode(integers), w[0], r.formats.weight.step


@pytest.mark.parametrize("law", ["constant", "linear", "soft-bounds"])
def test_single_pulses_are_the_chips_up_to_its_rounding(law):
    counts = np.random.default_rng(6).integers(-1, 2, (50, 101))
    for width in (12, 16, 20, 24):
        integers, real, lsb = both(law, 2.0**-6, width, counts)
        # half an LSB for each rounding; the shift of the linear law's slope drops up to one LSB of the weight, times the step
        assert np.abs(integers - real).max() <= (0 if law == "constant" else 0.5 * 50 * lsb + 50 * 2.0**-6 / 4 * lsb)


@pytest.mark.parametrize("law", ["constant", "linear", "soft-bounds"])
def test_trains_approach_the_chips_as_pulses_become_finer(law):
    """All pulses of a train see one weight on the chip, here each its own: a difference of second order in the pulse."""
    counts = np.random.default_rng(7).integers(-31, 32, (30, 101))
    errors = []
    for fine in (8, 10, 12):
        integers, real, _ = both(law, 2.0**-fine, 24, counts)
        errors.append(np.abs(integers - real).max())
    assert errors[0] < (1.01 * 2.0**-21 if law == "constant" else 0.012)  # the chip's range ends one LSB earlier
    assert all(b <= a / 11 + 2e-6 for a, b in zip(errors, errors[1:], strict=False))


# Pulse trains -----------------------------------------------------------------------------------------------


def test_coincidences_have_their_distribution():
    """2000 samples of 512 pairs of lines, no line twice: a million independent counts."""
    draw = np.random.default_rng(8)
    x, delta = draw.choice([0.25, -0.5, 1.0], (1, 512)), draw.choice([0.02, -0.06, 0.1], (1, 512))
    x[0, 0], delta[0, 0] = 1, 0.1
    made = trains(np.repeat(x, 2000, 0), np.repeat(delta, 2000, 0), 45.0, seed=9)  # 4.5 pulses for the largest
    assert (np.diff(made.ends) == 5).all() and made.limited == 0
    counts = np.array([np.sum(a * b, axis=0) for a, b in made])
    product = (x * delta)[0]
    assert (np.sign(counts).astype(int) * np.sign(product).astype(int) >= 0).all()
    for value in np.unique(np.abs(product)):
        seen = np.abs(counts[:, np.isclose(np.abs(product), value)]).astype(int).ravel()
        expected = stats.binom(5, 45 * value / 5).pmf(np.arange(6)) * seen.size
        kept = expected > 20
        found = np.bincount(seen, minlength=6)[kept]
        assert stats.chisquare(found, expected[kept] * found.sum() / expected[kept].sum()).pvalue > LEVEL
        assert abs(seen.mean() - 45 * value) < 5 * seen.std() / np.sqrt(seen.size) + 1e-9
    slot = made.x.reshape(2000, 5, 512)
    for a, b in ((slot[:, 0], slot[:, 1]), (slot[:-1, 0], slot[1:, 0]), (slot[:, 0, :-1], slot[:, 0, 1:]), (slot[:, 0], made.delta[::5])):
        a, b = (np.abs(v - v.mean(axis=0)) * np.sign(v - v.mean(axis=0)) for v in (a, b))
        assert abs(np.mean(a * b) / (a.std() * b.std())) < 5 / np.sqrt(a.size)


@pytest.mark.parametrize("kind", ["stochastic", "deterministic"])
def test_what_does_not_fit_in_the_longest_train_is_cut_from_the_errors_and_counted(kind):
    x, delta = np.array([[1.0, 0.5, 0.0]]), np.array([[1.0, -0.25, 0.1, 0.32]])
    made = trains(np.repeat(x, 4000, 0), np.repeat(delta, 4000, 0), 100.0, 1, Pulses(kind=kind))
    ups, downs = made.coincidences()
    assert made.limited == 2 * 4000 and (np.diff(made.ends) == 31).all()
    expected = 31 * np.outer([1, -25 / 31, 10 / 31, 1], [1, 0.5, 0])
    assert np.abs((ups - downs) / 4000 - expected).max() < (0.2 if kind == "stochastic" else 1)


@pytest.mark.parametrize("longest", [5, 12, 31])
def test_deterministic_trains_are_the_product_to_about_a_pulse(longest):
    grid = np.linspace(0, 1, 101)
    for most in np.linspace(0.5, longest, 9):
        ups, downs = trains(grid[None], grid[None], most, 0, Pulses(longest, "deterministic")).coincidences()
        error = ups - most * np.outer(grid, grid)
        assert not downs.any() and np.abs(error).max() < 1.8 and np.abs(error.mean()) < 0.15 and error.std() < 0.5


def test_trains_take_the_words_of_the_generator():
    made = trains([[0.3, -0.9, 0.7]], [[0.5, 0.2]], 19.0, seed=99, first=7)
    key, peak = seeds.key(99), np.sqrt(19 * 0.9 * 0.5 / 9)
    for slot in range(9):
        for line, value in enumerate((0.3, -0.9, 0.7)):
            word = rng.pair_exact(key, 0xB0, 7, slot // 2 << 20 | line)[slot % 2]
            assert made.x[slot, line] == np.sign(value) * (word >> 1 < round(abs(value) / 0.9 * peak * 2**31))
        for line, value in enumerate((0.5, 0.2)):
            word = rng.pair_exact(key, 0xB1, 7, slot // 2 << 20 | line)[slot % 2]
            assert made.delta[slot, line] == (word >> 1 < round(value / 0.5 * peak * 2**31))


def test_nothing_to_do_is_nothing_done():
    cells = device("soft bounds", noise=0.5).cells((3, 4), 0)
    w = np.full((3, 4), 0.1, np.float32)
    for write in (update, update_batch):
        assert (write(cells, w, np.zeros(4), np.ones(3), 1.0) == w).all()
        assert (write(cells, w, np.ones(4), np.ones(3), 0.0) == w).all()
        assert (write(cells, w, np.ones((0, 4)), np.ones((0, 3)), 1.0) == w).all()
    assert (send(cells, w, 0, sample=3) == w).all()


# A batch at once --------------------------------------------------------------------------------------------


def test_a_batch_has_the_coincidences_of_its_samples():
    x, delta = samples(30)
    ups, downs = trains(x, delta, 50.0, 3, first=10).coincidences()
    each = [trains(x[i], delta[i], 50.0, 3, first=10 + i) for i in range(30)]
    counts = np.array([(t.delta.astype(int).T @ t.x.astype(int)) for t in each])
    assert (ups == np.maximum(counts, 0).sum(0)).all() and (downs == np.maximum(-counts, 0).sum(0)).all() and ups.max() > 20


def test_a_batch_is_its_samples_for_constant_steps():
    cells = device("constant", step=1e-3, **SPREAD).cells((40, 70), 5, np.float64)
    x, delta = samples()
    assert np.abs(update(cells, np.zeros((40, 70)), x, delta, 0.05) - update_batch(cells, np.zeros((40, 70)), x, delta, 0.05)).max() < 1e-12


@pytest.mark.parametrize("name", ["linear", "soft bounds", "exponential", "power"])
def test_a_batch_is_the_mean_over_all_orders_of_its_samples(name):
    cells = device(name, step=2e-3).cells((1, 200), 5, np.float64)
    w = np.linspace(-0.3, 0.45, 200)[None]
    draw = np.random.default_rng(10)
    ups, downs = draw.integers(0, 60, (2, 1, 200))
    mean = np.zeros_like(w)
    for _ in range(40):
        order = np.argsort(draw.random((200, 120)), axis=1)
        pulses = np.select([order < ups.T, order < (ups + downs).T], [1, -1], 0)
        v = w
        for n in pulses.T:
            v = send(cells, v, n[None])
        mean += v / 40
    counts = iter([(ups.astype(np.float32), downs.astype(np.float32))])

    class Made:
        ends = np.array([1])

        @staticmethod
        def coincidences():
            return next(counts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "trains", lambda *_: Made)
        batch = update_batch(cells, w, np.zeros((1, 200)), np.zeros((1, 1)), 1.0)
    moved = np.abs(mean - w).max()
    assert moved > 0.05 and np.abs(batch - mean).max() < 0.02 * moved


def test_a_batch_has_the_noise_of_its_pulses():
    cells = PulsedDevice(law=ConstantStep(), step=1e-4, noise=0.3).cells((1000, 1000), 3, np.float64)
    x, delta = np.ones((40, 1000)), np.repeat([[0.1], [-0.1]], 20, 0) * np.ones(1000)
    change = update_batch(cells, np.zeros((1000, 1000)), x, delta, 0.003)  # 3 pulses each, 60 up and 60 down
    z = change.ravel() / (1e-4 * 0.3 * np.sqrt(120))
    assert stats.kstest(z, "norm").pvalue > LEVEL and abs(z.std() - 1) < 0.005


# What is drawn ----------------------------------------------------------------------------------------------


def of_all(device, seed=11):
    return device.cells((1024, 1024), seed, np.float64)


def steps(cells):
    """Steps up and down at weight 0."""
    return send(cells, np.zeros(cells.shape), 1), -send(cells, np.zeros(cells.shape), -1)


def test_hidden_numbers_have_their_spread():
    def normal(z):
        assert z.size > 1_000_000
        return stats.kstest(np.ravel(z), "norm").pvalue > LEVEL

    up, down = steps(of_all(PulsedDevice(law=ConstantStep(), step_spread=0.15)))
    assert normal((up / 0.001 - 1) / 0.15) and np.array_equal(up, down)
    up, down = steps(of_all(PulsedDevice(law=ConstantStep(), imbalance_spread=0.1)))
    assert normal((up / 0.001 - 1) / 0.1) and np.allclose(up + down, 0.002)
    up, down = steps(of_all(PulsedDevice(law=ConstantStep(), imbalance=0.25)))
    assert np.allclose(up, 0.001) and np.allclose(down, 0.00075)
    low, high = of_all(PulsedDevice(bound_spread=0.1)).bounds
    assert normal((high / 0.6 - 1) / 0.1) and normal((low / -0.6 - 1) / 0.1) and abs(np.corrcoef(low.flat, high.flat)[0, 1]) < 5e-3
    cells = of_all(PulsedDevice(law=LinearStep(0.5, 0.4, spread=0.08)))
    w = np.full(cells.shape, 0.3)
    assert normal(((1 - (send(cells, w, 1) - w) / 0.001) * 2 - 0.5) / 0.08)
    assert normal((((w - send(cells, w, -1)) / 0.001 - 1) * 2 - 0.4) / 0.08)
    cells = of_all(PulsedDevice(law=PowerStep(1.2, 1.4, spread=0.1)))
    assert normal((np.log((send(cells, w, 1) - w) / 0.001) / np.log(0.25) - 1.2) / 0.1)
    cells = of_all(PulsedDevice(law=ExponentialStep(4.0, 5.0, 0.01, 0.01, 1.0, 0.0, spread=0.3)))
    assert normal((np.log((1 - (send(cells, w, 1) - w) / 0.001) / 0.01) / 0.5 - 4) / 0.3)


@pytest.mark.parametrize("count", [1, 4, -9])
def test_noise_of_pulses_has_its_law(count):
    """Of each cell and of each sample, and independent of both neighbours."""
    cells = PulsedDevice(law=ConstantStep(), noise=0.3).cells((1024, 1000), 12, np.float64)
    z = [(send(cells, np.zeros(cells.shape), count, sample=s) / (count * 0.001) - 1) * np.sqrt(abs(count)) / 0.3 for s in (5, 6)]
    assert abs(writing.DEVIATES.mean()) < 1e-12 and abs(writing.DEVIATES.var() - 1) < 1e-12
    for v in z:
        assert stats.kstest(v.ravel(), "norm").pvalue > LEVEL
        seen = np.bincount(np.searchsorted(writing.DEVIATES, v.ravel() - 1e-9), minlength=2048)
        assert stats.chisquare(seen).pvalue > LEVEL  # all deviates equally often
        assert abs(v.mean()) < 5e-3 and abs(v.var() - 1) < 7e-3
    limit = 5 / np.sqrt(z[0].size)
    assert abs(np.mean(z[0] * z[1])) < limit
    group = z[0].reshape(64, 16, 500, 2)  # cells with a pair of words in common
    for a in range(16):
        for b in range(16):
            for c, d in ((0, 0), (0, 1), (1, 1)):
                if (a, c) < (b, d):
                    assert abs(np.mean(group[:, a, :, c] * group[:, b, :, d])) < 5 / np.sqrt(32000)


def test_noise_takes_the_words_of_the_generator():
    cells = PulsedDevice(law=ConstantStep(), step=2.0**-10, noise=0.5).cells((50, 9), 99, np.float64)
    change, deviates = send(cells, np.zeros((50, 9)), 1, sample=77), stats.norm.ppf((np.arange(2048) + 0.5) / 2048)
    for row in (0, 1, 15, 16, 37, 49):
        for column in (0, 7, 8):
            x, y = rng.pair_exact(seeds.key(99), writing.CYCLE, 77, row // 16 << 13 | column // 2)
            turn = 2 * (row % 16)
            word = x ^ (y << turn | y >> 32 - turn) & 0xFFFFFFFF
            deviate = deviates[(word >> 16 * (column % 2) & 0xFFFF) // 32] / deviates.std()
            assert np.isclose(change[row, column], 2.0**-10 * (1 + 0.5 * deviate), rtol=1e-6)


@pytest.mark.parametrize("share", [0.01, 0.137, 1.0])
def test_the_rate_of_stuck_cells_is_what_was_asked(share):
    cells = device("soft bounds", stuck=share, noise=0.3, **SPREAD).cells((200, 300), 13)
    w = np.zeros((200, 300), np.float32)
    moved = send(cells, w, 3, sample=1) != w
    assert np.count_nonzero(~moved) == round(share * 60000)
    assert ((update_batch(cells, w, np.ones(300), np.ones(200), 1.0) != w) == moved).all()


def test_zero_noise_is_no_noise_and_costs_nothing(monkeypatch):
    quiet = device("soft bounds", **SPREAD).cells((40, 70), 14)
    x, delta = samples()
    noisy = update(device("soft bounds", noise=0.2, **SPREAD).cells((40, 70), 14), np.zeros((40, 70)), x, delta, 0.2)
    monkeypatch.setattr(writing, "_words", None)  # nothing is drawn
    a = update(quiet, np.zeros((40, 70)), x, delta, 0.2)
    assert np.abs(a - noisy).max() > 1e-3
    one = send(quiet, a, 2)
    assert digest(one) == digest(send(quiet, a, 2, sample=4))


@pytest.mark.parametrize("name", LAWS)
def test_one_seed_has_the_same_bits_however_samples_are_split(name, monkeypatch):
    made = device(name, noise=0.3, stuck=0.02, **SPREAD)
    cells = made.cells((150, 70), 15)
    x, delta = samples(23, 150)
    whole = update(cells, np.zeros((150, 70)), x, delta, 0.2, first=100)
    for pieces in ((1,) * 23, (3, 11, 9), (16, 7)):
        w, start = np.zeros((150, 70)), 0
        for n in pieces:
            w = update(made.cells((150, 70), 15), w, x[start : start + n], delta[start : start + n], 0.2, first=100 + start)
            start += n
        assert digest(w) == digest(whole)
    for block, words, together in ((1, 1, 1), (1 << 20, 1 << 20, 64)):
        for size, value in (("BLOCK", block), ("WORDS", words), ("TOGETHER", together)):
            monkeypatch.setattr(writing, size, value)
        assert digest(update(cells, np.zeros((150, 70)), x, delta, 0.2, first=100)) == digest(whole)
    assert digest(update(made.cells((150, 70), 16), np.zeros((150, 70)), x, delta, 0.2, first=100)) != digest(whole)
    assert digest(update(cells, np.zeros((150, 70)), x, delta, 0.2)) != digest(whole)


def test_threads_do_not_change_bits():
    program = """
import hashlib, numpy as np
from crossdyad.emulator.devices import PulsedDevice, update, update_batch
cells = PulsedDevice(noise=0.3, step_spread=0.3).cells((300, 400), 1)
draw = np.random.default_rng(0)
x, delta = draw.uniform(-1, 1, (64, 400)), draw.uniform(-0.1, 0.1, (64, 300))
w = update_batch(cells, update(cells, np.zeros((300, 400)), x[:9], delta[:9], 0.05), x, delta, 0.05, first=9)
print(hashlib.sha256(w).hexdigest())
"""
    bits = set()
    for threads in ("1", "2"):
        names = {n: threads for n in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        bits.add(subprocess.run([sys.executable, "-c", program], env=os.environ | names, capture_output=True, text=True, check=True).stdout)
    assert len(bits) == 1


# Learning, and bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [update, update_batch])
@pytest.mark.parametrize("name", LAWS)
def test_a_layer_learns_through_pulses(name, write):
    x, labels, test_x, test_labels = data.load("digits")
    cells = device(name, low=-1.0, high=1.0, step=0.0005, noise=0.3, step_spread=0.3, bound_spread=0.2).cells((10, x.shape[1]), 17)
    w, size = np.zeros(cells.shape, np.float32), 32
    for first in range(0, 2 * len(x), size):
        rows = np.arange(first, first + size) % len(x)
        scores = np.exp((s := 8 * x[rows] @ w.T) - s.max(axis=1, keepdims=True))
        delta = np.eye(10)[labels[rows]] - scores / scores.sum(axis=1, keepdims=True)
        w = write(cells, w, x[rows], delta, 0.005, first=first)
    assert np.mean(np.argmax(test_x @ w.T, axis=1) == test_labels) > 0.84


def test_an_update_repairs_nothing_that_is_wrong():
    cells = device("soft bounds").cells((3, 4), 0)
    w = np.zeros((3, 4))
    for make, message in (
        (lambda: update(cells, w, np.ones(3), np.ones(4), 1.0), "3 inputs and 4 errors for cells of shape"),
        (lambda: update(cells, np.zeros((4, 3)), np.ones(4), np.ones(3), 1.0), r"weights of shape \(4, 3\)"),
        (lambda: update(cells, w, np.ones((2, 4)), np.ones((3, 3)), 1.0), "one error vector for each input vector"),
        (lambda: update(cells, w, np.full(4, np.nan), np.ones(3), 1.0), "NaN or infinity"),
        (lambda: update(cells, w, np.ones(4), np.ones(3), -1.0), "put signs into the errors"),
        (lambda: send(cells, w, 0.5), "allowed are whole numbers"),
        (lambda: send(cells, w, -32, sample=1), "31 at most with noise"),
        (lambda: Pulses(kind="random"), "allowed are stochastic, deterministic"),
        (lambda: Pulses(32), "1 to 31 slots"),
        (lambda: PulsedDevice(low=0.1), "low < 0 < high"),
        (lambda: PulsedDevice(step=0), "step = 0; allowed is above 0"),
        (lambda: PulsedDevice(step=1.0), "up to the nearer bound"),
        (lambda: PulsedDevice(step_spread=-0.1), "step_spread = -0.1; a deviation is 0 or more"),
        (lambda: PulsedDevice(noise=np.nan), "noise = nan"),
        (lambda: PulsedDevice(stuck=5), r"0.01 is one per cent"),
        (lambda: PulsedDevice(imbalance=1), "imbalance = 1"),
        (lambda: LinearStep(1.5), "up = 1.5; allowed are 0 to 1"),
        (lambda: PowerStep(-1), "allowed are 0 to inf"),
        (lambda: PowerStep(spread=-1), "spread = -1"),
        (lambda: PulsedDevice().cells((5000, 3), 0), "split the layer"),
        (lambda: PulsedDevice().cells((3, 3), 0, np.int32), "allowed are float32, float64"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
