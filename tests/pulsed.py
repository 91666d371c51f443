"""Pulsed devices that tests take: each law with numbers of its own."""

import numpy as np

from crossdyad.emulator.devices import ConstantStep, ExponentialStep, LinearStep, PowerStep, PulsedDevice, SoftBounds

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


def samples(count=20, outputs=40, inputs=70, seed=0):
    draw = np.random.default_rng(seed)
    return draw.uniform(-1, 1, (count, inputs)), draw.uniform(-0.1, 0.1, (count, outputs))
