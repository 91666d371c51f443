"""`Noise` (contract section 11): the hardware against the emulator, and the deviate against its law."""

import numpy as np
import pytest

from crossdyad import emulator
from crossdyad.emulator import noise as emulated
from crossdyad.emulator import rng
from crossdyad.recipe import Devices, geometries, load
from crossdyad.recipe.derived import NOISE_DEVIATION
from crossdyad.sim import noise, scenario, variety

NOISY = [r.of_layer(0) for r in variety.recipes() if r.devices.read_noise]


@pytest.mark.parametrize("case", noise.scenarios(), ids=lambda s: s.name)
def test_hardware_is_the_emulator(case):
    outcome = scenario.check(case, "amaranth")
    assert outcome.passed, str(outcome)


@pytest.mark.parametrize("recipe", NOISY, ids=lambda r: r.name)
@pytest.mark.parametrize("place", ["state", "delta"])
def test_many_at_once_are_each_alone(recipe, place):
    g, runs = geometries(recipe)[0], np.array([0, 5, (1 << 32) - 1], np.uint32)
    many = emulated.noise(g, place, tuple(map(np.uint32, recipe.key)), runs, 3, 7, np.zeros(1))
    for n, run in enumerate(runs):
        for i in range(7):
            pair = rng.pair_exact(recipe.key, emulated.STREAM | g.layer, int(run), 3 << 12 | i)
            assert many[n, i] == emulated.noise_exact(recipe, place, *pair)


@pytest.mark.parametrize("engine", ["numpy", "jax"])
def test_samples_asked_together_are_noisy_as_one_after_the_other(engine):
    recipe = load("digits").model_copy(update={"devices": Devices(read_noise=0.3)})
    x, together, alone = np.random.default_rng(0).random((6, 64)), emulator.Chip(recipe, engine), emulator.Chip(recipe, engine)
    for chip in (together, alone):
        chip.weights = emulator.initial_weights(recipe)
    np.testing.assert_array_equal(together.infer(x), np.concatenate([alone.infer(x[i : i + 1]) for i in range(6)]))
    assert together.run == alone.run == 6 and (together.infer(x) != alone.infer(x[::-1])[::-1]).any()


def test_the_deviate_has_the_distribution_of_a_sum_of_eight_bytes():
    from scipy import stats

    recipe = NOISY[0].model_copy(update={"devices": NOISY[0].devices.model_copy(update={"read_noise": 4.0})})
    g, n = geometries(recipe)[0], 1 << 20
    gain = recipe.noise_gain("state")
    seen = emulated.noise(g, "state", tuple(map(np.uint32, recipe.key)), np.arange(16, dtype=np.uint32), 0, n // 16, np.zeros(1)).ravel()
    byte = np.full(256, 1 / 256)
    exact = byte
    for _ in range(7):
        exact = np.convolve(exact, byte)
    deviate = np.round(seen * 256 / gain).astype(int) + emulated.CENTRE  # a gain above 256 loses nothing
    assert gain > 256 and deviate.min() >= 0 and deviate.max() <= 8 * 255
    counts = np.bincount(deviate, minlength=8 * 255 + 1)
    edges = np.searchsorted(np.cumsum(exact), np.linspace(0, 1, 101)[1:-1])  # a hundred classes of about equal share
    observed, expected = (np.add.reduceat(v, np.r_[0, edges]) for v in (counts, exact * n))
    assert stats.chisquare(observed, expected).pvalue > 1e-4
    assert abs(deviate.mean() - emulated.CENTRE) < 4 * NOISE_DEVIATION / np.sqrt(n)
    assert deviate.std() == pytest.approx(NOISE_DEVIATION, rel=0.005)
    assert seen.std() / 2.0 ** (recipe.formats.weight.frac + recipe.formats.state.frac) == pytest.approx(4.0, rel=0.01)
