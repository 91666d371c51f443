"""The laws of pulses against published formulas and closed forms, and against the chip's integers."""

import numpy as np
import pytest
from pulsed import AFFINE, LAWS, SPREAD, device, samples

from crossdyad.emulator import update as chip
from crossdyad.emulator.devices import ConstantStep, LinearStep, PulsedDevice, SoftBounds, send, update, update_batch
from crossdyad.recipe import Recipe, load

pytestmark = pytest.mark.usefixtures("promises")


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
