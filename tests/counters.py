"""A chip whose counters have been running for years: preloaded just below their ends, against the emulator."""

from unittest import mock

import numpy as np

from crossdyad.emulator.machine import COUNTERS
from crossdyad.sim import chip, simulators, streams


def preloaded(hdl, recipe, levels: dict):
    """Return a chip whose registers begin at `levels`, by name."""
    inside, signal = hdl.chip, hdl.chip.Signal

    def begun(*arguments, src_loc_at=0, **options):
        made = signal(*arguments, src_loc_at=src_loc_at + 1, **options)
        if made.name in levels:
            made._init = levels[made.name]
        return made

    begun.like = signal.like

    class Preloaded(inside.Chip):
        def elaborate(self, platform):
            with mock.patch.object(inside, "Signal", begun):
                return super().elaborate(platform)

    built = Preloaded(recipe)
    for name in ("cycles", "step"):
        getattr(built, name)._init = levels[name]
    return built


def faults_of(recipe, ahead: int, hdl=None):
    """How the chip differs from the emulator when it passes the ends of its counters, `ahead` programs from the start."""
    from crossdyad import hdl as sound

    draw, last = np.random.default_rng(3), (1 << 32) - ahead
    levels = {"cycles": (1 << 48) - 150, "step": last, "run": last} | {f"counted_{name}": (1 << 32) - 2 for name in COUNTERS}
    session, f = chip.Session(recipe), recipe.formats
    shapes = zip(recipe.sizes[1:], recipe.sizes, strict=False)
    session.load([draw.integers(f.weight.min, f.weight.max, shape, endpoint=True) for shape in shapes])
    for n in range(6):
        session.train(draw.integers(f.state.min, f.state.max, recipe.sizes[0], endpoint=True), n % recipe.sizes[-1])
    session.read()
    record = simulators.run(preloaded(hdl or sound, recipe, levels), streams.play, session.arguments({}, True), "amaranth")
    begin = chip.Prediction.__init__

    def begun(self, *arguments):
        begin(self, *arguments)
        counted = {f"saturations_{name}": np.uint32(levels[f"counted_{name}"]) for name in COUNTERS}
        self.chip.restore(self.chip.state() | counted | {"step": np.uint32(last), "run": np.uint32(last)})
        self.edge.cycles = levels["cycles"]

    with mock.patch.object(chip.Prediction, "__init__", begun):
        return chip.judge(recipe, record, True).mismatches
