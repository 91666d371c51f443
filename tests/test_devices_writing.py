"""Writing to analog cells: trains, batches and noise against their distributions, and learning through pulses."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from pulsed import LAWS, SPREAD, device, samples
from scipy import stats

from crossdyad import data
from crossdyad.emulator import rng
from crossdyad.emulator.devices import (
    ConstantStep,
    ExponentialStep,
    LinearStep,
    PowerStep,
    PulsedDevice,
    Pulses,
    send,
    trains,
    update,
    update_batch,
    writing,
)
from crossdyad.recipe import seeds

pytestmark = pytest.mark.usefixtures("promises")

LEVEL = 1e-4
"""Chance with which a right model would fail one test of its distribution."""


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


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
