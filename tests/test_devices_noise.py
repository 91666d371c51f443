"""Every noise model of cells and reads: mean, variance and distribution against its formula."""

import itertools

import numpy as np
import pytest
from scipy import stats

from crossdyad.emulator import rng
from crossdyad.emulator.devices import (
    PRESETS,
    Array,
    CellNoise,
    Circuit,
    Constant,
    Device,
    Generic,
    Mapping,
    PerProduct,
    Polynomial,
    PowerLaw,
    Saturating,
    Spread,
    Stuck,
    Table,
    draws,
    drift,
    preset,
)

N = 1 << 20
LEVEL = 1e-4
"""Chance with which a right model would fail a Kolmogorov-Smirnov test."""
KEY = draws.key(0x0123456789ABCDEF)
EXACT = Circuit(output=None, output_transposed=None)

MODELS = {
    "independent": Generic(0.02),
    "proportional": Generic(0.05, "proportional"),
    "inverse": Generic(0.002, "inverse"),
    "table": Table((0, 5, 25), (0.1, 1.0, 0.5)),
    **{f"{n} programming": d.programming for n, d in PRESETS.items()},
    "sonos read": preset("sonos").read,
}


def same_law(sample, law="norm"):
    return stats.kstest(sample, law).pvalue > LEVEL


def test_normal_draws_are_normal():
    xi = draws.normal(KEY, draws.PROGRAMMING, 7, N)
    assert same_law(xi)
    assert np.max(np.abs(draws.inverse_normal(p := np.array([1e-16, 1e-9, 0.01, 0.3, 0.5, 0.99])) - stats.norm.ppf(p))) < 1e-13


def test_the_deviate_of_reads_is_what_it_is_said_to_be():
    d = np.sort(draws.SUMS.astype(np.float64))
    assert d.mean() == 0 and (d == -d[::-1]).all() and abs(d.std() - draws.DEVIATION) < 1e-9
    values, counts = np.unique(d, return_counts=True)
    high, normal = np.cumsum(counts) / d.size, stats.norm.cdf(values / draws.DEVIATION)
    assert max(np.max(np.abs(high - normal)), np.max(np.abs(high - counts / d.size - normal))) < 7.6e-4
    assert 4.03 < d[-1] / draws.DEVIATION < 4.04 and abs(stats.kurtosis(d)) < 0.05
    assert all(np.abs(m).max() < 1 << 13 for m in draws.MEMORIES)
    read = draws.Reads(draws.streamed(KEY, draws.READ), np.arange(N // 64, dtype=np.uint32), 0).noise(64).ravel()
    # a chi-squared test of all words against the exact law
    seen = np.bincount(np.searchsorted(values, read), minlength=len(values))
    wide = counts >= 4  # expected 64 and more
    expected = counts / d.size * read.size
    statistic = np.sum((seen[wide] - expected[wide]) ** 2 / expected[wide])
    assert stats.chi2.sf(statistic, wide.sum() - 1) > LEVEL
    assert abs(np.corrcoef(read[:-1], read[1:])[0, 1]) < 5 / np.sqrt(N)


def test_reads_take_the_words_of_the_generator():
    key, vectors = draws.key(99), np.array([3, 0, 1 << 31], np.uint32)
    found = draws.Reads(draws.streamed(key, draws.READ), vectors, 5, 2).noise(10)
    for row, (read, vector) in zip(found, itertools.product((5, 6), vectors), strict=True):
        for o in range(10):
            pair = rng.pair_exact((int(key[0]), int(key[1])), draws.READ, int(vector), read << 12 | o % 6 // 2)
            assert row[o] == draws.SUMS[pair[o // 6] >> 16 * (o % 2) & 0xFFFF]


@pytest.mark.parametrize("name", MODELS)
def test_cell_noise_has_its_law(name):
    model, g_max = MODELS[name], 25.0
    g = 12.5 * np.ones(N)
    sigma = model.sigma(g[:1], g_max)[0]
    assert 0 < sigma < 5
    z = (model.draw(g, g_max, KEY, draws.PROGRAMMING, 1) - 12.5) / sigma
    assert same_law(z[g + sigma * z > 0] if sigma > 2.5 else z)


def test_uniform_noise_has_its_law():
    z = (Generic(0.02, shape="uniform").draw(np.full(N, 12.5), 25.0, KEY, draws.PROGRAMMING, 1) - 12.5) / 0.5
    assert same_law(z, stats.uniform(-np.sqrt(3), 2 * np.sqrt(3)).cdf)


@pytest.mark.parametrize("name", MODELS)
def test_twice_the_range_is_twice_the_noise(name):
    g = np.linspace(0.1, 25, 50)
    one = MODELS[name].sigma(g, 25.0)
    for factor in (0.1, 2.0, 7.0):
        assert np.allclose(MODELS[name].sigma(factor * g, factor * 25.0), factor * one, rtol=1e-12)


def test_published_values():
    for name, g, sigma in (
        ("pcm", 0, 0.26348),
        ("pcm", 25, 0.26348 + 1.9650 - 1.1731),
        ("pcm-joshi", 10, 0.28639 + 0.7586 - 0.17877),
        ("hermes-1", 10.35, 0.15782 + 2.32444 - 2.16311 + 0.68842),
        ("reram-wan", 40, 0.348 + 16.03 - 43.853 + 45.393 - 16.815),
        ("reram-milo", 100, 4.7823 - 0.9107),
        ("sonos", 16, 0.1988665 * (1 - np.exp(-1600 / 176.3115))),
    ):
        device = preset(name)
        assert np.isclose(device.programming.sigma(np.array([float(g)]), device.g_max)[0], sigma, rtol=1e-6), name


def test_polynomials_never_go_below_zero_and_saturation_saturates():
    assert (Polynomial((-1.0, 0.5), 1.0).sigma(np.linspace(0, 1, 9), 1.0) == 0).all()
    assert np.isclose(Saturating(2.0, 1.0, 100.0).sigma(np.array([100.0]), 100.0)[0], 2.0)


@pytest.mark.parametrize("name", ["pcm", "hermes-1", "hermes-2"])
def test_drift_has_its_law(name):
    device, law = preset(name), preset(name).drift
    for share in (0.02, 0.5, 1.0):
        g = np.full(N, share * device.g_max)
        nu = law.exponents(g, device.g_max, KEY, 0)
        mean, deviation = law.mean(np.array([share]))[0], law.deviation(np.array([share]))[0]
        assert same_law(nu, stats.foldnorm(mean / deviation, scale=deviation).cdf)
        later = law.apply(g, device.g_max, 1e6, KEY, 0)
        assert np.allclose(np.log(later / g), -nu * np.log(1e6 / law.start), rtol=1e-9)
        assert (law.apply(g, device.g_max, law.start, KEY, 0) == g).all()


@pytest.mark.parametrize("name", ["pcm", "hermes-1", "hermes-2"])
def test_flicker_has_its_law(name):
    device, f = preset(name), preset(name).flicker
    g = np.full(N, 0.8 * device.g_max)
    now = f.draw(g, g, device.g_max, 1000.0, KEY, 0)
    q = f.q(np.array([0.8]))[0]
    assert same_law((now / g - 1) / (q * np.sqrt(np.log((1000 + f.read_time) / (2 * f.read_time)))))


def test_spread_has_its_law():
    g = Spread(span=0.1).apply(np.full(N, 15.0), 5.0, 25.0, KEY, 0)
    assert same_law((g - 15) / 1.0)
    assert same_law((Spread(least=0.01).apply(np.full(N, 15.0), 5.0, 25.0, KEY, 0) - 15) / 0.25)
    nu = PowerLaw(lambda s: np.full(s.shape, 0.1), lambda s: np.zeros(s.shape), 1.0, spread=0.2).exponents(np.ones(N), 1.0, KEY, 0)
    assert same_law((nu - 0.1) / 0.02)


def test_cells_are_not_equally_noisy_where_noise_spreads():
    """Of each cell when it is written, as it ages and in every read; the same cell is the noisy one each time."""
    spread, flicker = Spread(noise=0.2), preset("pcm").flicker
    factor = spread.noisiness(KEY, 3, (N,))
    assert same_law((factor - 1) / 0.2)
    seed, half = 0x0123456789ABCDEF, np.full(N, 0.5)
    written, now = (Device(spread=spread, programming=Generic(0.01), flicker=flicker).program(half, seed, 3, t)[1] for t in (None, 1e3))
    assert same_law((written - 12.5) / (0.25 * factor))
    assert same_law((now - written) / (flicker.sigma(written, written, 25.0, 1e3) * factor))
    array = Array(np.ones((20, 30)), Device(spread=spread, read=Generic(0.02)), EXACT, seed=seed)
    x = np.tile(127 * np.eye(30, dtype=int), (2000, 1))  # a cell and its partner at a time
    noise = (array.read(x) * 2.0**-array.fraction_bits).reshape(2000, 30, 20).std(axis=0).T
    both = np.hypot(*(spread.noisiness(KEY, plane, (20, 30)) for plane in (0, 1))) * 0.02 * 127 * 127
    assert np.abs(noise / both - 1).max() < 0.09 and both.std() > 0.1 * both.mean()


@pytest.mark.parametrize("low, high", [(0.01, 0), (0, 0.1), (0.03, 0.02), (1, 0), (0.123456, 0.5)])
def test_the_rate_of_stuck_cells_is_what_was_asked(low, high):
    g = Stuck(low, high).apply(np.full((300, 200), 7.0), 1.0, 25.0, KEY, 0)
    assert np.count_nonzero(g == 1) == round(low * g.size) and np.count_nonzero(g == 25) == round(high * g.size)
    if 0 < low < 1:
        rows = np.count_nonzero(g == 1, axis=1)
        assert rows.max() < 200 * low + 6 * np.sqrt(200 * low) + 6  # all over the plane


READ_CASES = {
    "per product": (PerProduct(0.0175), lambda w, x, top: 0.0175 * np.sqrt(np.abs(w) / top @ (x * x).T).T),
    "constant": (Constant(0.06), lambda w, x, top: 0.06 * np.linalg.norm(x, axis=1)[:, None] * np.ones(len(w))),
    "cells, independent": (Generic(0.03), lambda w, x, top: 0.03 * np.sqrt(2 * np.sum(x * x, axis=1))[:, None] * np.ones(len(w))),
    "cells, proportional": (Generic(0.1, "proportional"), lambda w, x, top: 0.1 * np.sqrt((w / top) ** 2 @ (x * x).T).T),
    "cells, table": (
        Table((0.0, 25.0), (0.1, 1.1)),
        lambda w, x, top: np.sqrt(((0.004 + 0.04 * np.abs(w) / top) ** 2 + 0.004**2) @ (x * x).T).T,
    ),
}


@pytest.mark.parametrize("side", ["forward", "transposed"])
@pytest.mark.parametrize("case", READ_CASES)
def test_read_noise_has_its_law(case, side):
    read, law = READ_CASES[case]
    draw = np.random.default_rng(3)
    weights = draw.normal(size=(60, 80))
    array = Array(weights, Device(read=read), EXACT, seed=4)
    w = array.levels if side == "forward" else array.levels.T
    x = draw.integers(-127, 128, (N // len(w) + 1, w.shape[1]))
    x[::3] //= 4  # small vectors have small noise
    noise = getattr(array, side).read(x) * 2.0**-array.fraction_bits - x @ w.T
    z = noise / (law(w.astype(float), x.astype(float), 127) * 127)
    assert z.size >= 1_000_000
    assert abs(z.mean()) < 5 / np.sqrt(z.size) and abs(z.var() - 1) < 0.008
    exact = np.sort(draws.SUMS.astype(np.float64)) / draws.DEVIATION
    assert same_law(z.ravel(), lambda v: np.searchsorted(exact, v, side="right") / exact.size)
    assert abs(np.corrcoef(z[:-1].ravel(), z[1:].ravel())[0, 1]) < 5 / np.sqrt(z.size)
    assert abs(np.corrcoef(z[:, :-1].ravel(), z[:, 1:].ravel())[0, 1]) < 5 / np.sqrt(z.size)


def test_a_users_table_is_a_device():
    measured = Table([0.5, 5, 20, 40], [0.2, 0.9, 1.5, 1.2])
    device = Device(g_max=40.0, g_min=0.5, programming=measured, read=measured)
    array = Array(np.full((500, 500), 1.0), device, Circuit(mapping=Mapping(8)), seed=1)
    error = (array.effective - 127) * (39.5 / 127)  # the other cell of the pair is noisy too
    cut = [stats.norm.expect(lambda z, p=p: np.maximum(0.2 * z, -0.5) ** p) for p in (1, 2)]
    assert abs(error.std() / np.sqrt(1.2**2 + cut[1] - cut[0] ** 2) - 1) < 0.01


def test_five_per_cent_on_each_cell_is_known_on_the_weight():
    array = Array(np.full((700, 700), 1.0), Device(programming=Generic(0.05)), seed=1)
    # the cell at zero is cut there: its standard deviation is sqrt(1/2 - 1/(2 pi)) of the other's
    assert abs((array.effective / 127).std() / (0.05 * np.sqrt(1.5 - 1 / (2 * np.pi))) - 1) < 0.01


def test_compensation_undoes_the_mean_drift():
    weights = np.random.default_rng(5).normal(size=(200, 300))
    for compensate in ("array", "output"):
        array = Array(weights, Device(drift=drift.fixed(0.06)), EXACT, time=1e5, compensate=compensate)
        x = np.random.default_rng(6).uniform(-1, 1, (20, 300))
        fresh = Array(weights, circuit=EXACT)
        assert np.allclose(array(x), fresh(x), atol=2e-3 * np.abs(fresh(x)).max())
        assert np.allclose(array.forward.scale, 1e5**0.06)
    real = Array(weights, preset("pcm"), EXACT, seed=2, time=30 * 86400.0)
    one_hot, better = 127 * np.eye(300, dtype=int), real.at(30 * 86400.0, compensate="array")
    assert better.without("read", "flicker").effective_noise(one_hot) < real.without("read", "flicker").effective_noise(one_hot)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Generic(5, "relative"), "allowed are independent, proportional, inverse"),
        (lambda: Generic(-0.1), "cannot be negative"),
        (lambda: Generic(0.1, "inverse").sigma(np.zeros(3), 25.0), "give the device a g_min above 0"),
        (lambda: Table([1, 2], [0.1]), "one deviation for each"),
        (lambda: Table([-1, 2], [0.1, 0.1]), "positive or 0, and ascending"),
        (lambda: Table([1, 2], [0.1, -0.1]), "cannot be negative"),
        (lambda: Device(g_min=30.0), "0 <= g_min < g_max"),
        (lambda: Device(g_min=-1.0), "0 <= g_min < g_max"),
        (lambda: preset("reram"), "known are pcm, "),
        (lambda: Stuck(low=5), r"0.01 is one per cent"),
        (lambda: Array([[1.0]], preset("pcm"), time=3.0), "time = 3 s is before t0 = 20 s"),
        (lambda: Array([[1.0]], preset("sonos"), time=-3.0), "time = -3 s; it is counted from programming"),
        (lambda: Array([[2.0]], preset("pcm"), scale=1.0), "give a larger scale or clip the weights"),
        (lambda: Array([[1.0]], compensate="columns"), "allowed are 'array', 'output'"),
    ],
)
def test_bad_devices_are_named_with_their_remedy(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_all_presets_name_a_paper_and_units_make_sense():
    assert len(PRESETS) >= 6
    for d in PRESETS.values():
        assert d.paper and d.doi.startswith("10.") and d.fit and isinstance(d.programming, CellNoise)
        sigma = d.programming.sigma(np.linspace(d.g_min, d.g_max, 20), d.g_max)
        assert (sigma < 0.15 * d.g_max).all() and (sigma >= 0).all()
