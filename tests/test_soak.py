"""Soaks: they agree, and they notice."""

import pytest
from conftest import needs

from crossdyad import hdl
from crossdyad.sim import evidence, soak


def test_a_chip_with_every_effect_learns_as_its_emulator():
    needs("replay")
    found = soak.soak(evidence.soaked()["all effects, soft-bounds pulses"], 2000, "numpy", 0)
    assert found.vectors >= 2000 and found.moved and not found.mismatches


@pytest.mark.slow
def test_another_chips_noise_is_noticed(monkeypatch):
    needs("replay")
    r = evidence.soaked()["read noise"]
    other = r.model_copy(update={"seed": r.seed + 1})
    build = hdl.build
    monkeypatch.setattr(hdl, "build", lambda _: build(other))
    assert soak.soak(r, 200, "numpy", 0).mismatches


@pytest.mark.parametrize("name", evidence.soaked())
def test_effects_are_alone_unless_together(name):
    recipe = evidence.soaked()[name]
    on = sum(map(bool, (*(recipe.devices.model_dump()[k] for k in ("read_noise", "levels", "stuck")), recipe.pulses.law != "ideal")))
    assert on == (4 if "all" in name else name != "ideal")
