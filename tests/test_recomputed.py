"""The experiment that docs/recomputed.md recomputes: as many devices as were published, cells by the published fit."""

from pathlib import Path

import numpy as np
import pytest

from crossdyad import data
from crossdyad.emulator.devices import device_of
from crossdyad.explore import spec as specs
from crossdyad.recipe import load

EXAMPLES = Path(__file__).parents[1] / "examples"
MONTH = 30 * 86400.0


def test_there_are_8064_devices_and_four_classes():
    r = load(EXAMPLES / "hfox.toml")
    planes = 2 if r.arrays.mapping == "differential" else 1
    assert planes * sum(a * b for a, b in zip(r.sizes[:-1], r.sizes[1:], strict=True)) == 8064
    found = data.of(r)
    assert set(found.y_train) == set(found.y_test) == {0, 1, 2, 3} and found.x_train.shape[1] == 60 and found.x_train.max() == 1


@pytest.mark.parametrize("g", [9.0, 15.0, 50.0, 88.2])
def test_cells_are_those_of_the_fit_when_written_and_after_a_month(g):
    device = device_of(load(EXAMPLES / "hfox.toml").devices)
    share = np.full((400, 500), (g - 9) / 79.2)
    fresh, old = device.program(share, 1, 0, MONTH)
    assert fresh.mean() == pytest.approx(g, abs=0.01) and fresh.std() == pytest.approx(0.0112 + 0.0113 * g, rel=0.02)
    lost = fresh - old
    assert lost.mean() == pytest.approx(0.0890 * np.log(MONTH), rel=0.25)  # of a power law, whose exponents are not below 0
    assert lost.std() == pytest.approx(0.0420 * np.log(MONTH) + 0.4118, rel=0.3)


def test_the_sweep_is_of_a_month_and_of_five_runs():
    spec, base = specs.read(EXAMPLES / "hfox-month.toml")
    found = specs.points(spec, base)
    assert len(spec.seed_list) == 5 and all(p.recipe for p in found) and {p.recipe.devices.age for p in found} == {0, MONTH}
