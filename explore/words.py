"""Metrics and fields in words, for figures and pages."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .metrics import METRICS, SMALLER_IS_BETTER

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

NAMES = {
    "accuracy": "test accuracy, %",
    "yield": "yield, %",
    "loss": "mean cost",
    "cosine": "cosine to the exact gradient",
    "gradient_bias": "bias of the gradient",
    "deviation": "noise of the gradient",
    "sign": "right signs of the gradient, %",
    "saturations": "range events per step",
    "cycles": "clock cycles per step",
    "lut": "LUTs",
    "ff": "flip-flops",
    "multipliers": "multipliers",
    "memory": "memory blocks",
    "fill": "board taken, %",
    "fmax": "Fmax, MHz",
    "samples_per_second": "samples per second",
    "chip_rate": "samples per second of the chip",
    "line_rate": "samples per second of the line",
    "energy": "energy per step, nJ",
    "array_area": "area of arrays, mm²",
    "array_latency": "time of array reads per step, µs",
}
PERCENT = frozenset({"accuracy", "yield", "sign", "fill"})
"""Shares that are shown in percent."""
FIELDS = {
    "beta": "nudging strength beta",
    "alpha": "dyad's mean alpha",
    "rule": "learning rule",
    "sizes": "units per layer",
    "lanes": "multipliers per layer",
    "learning_rate": "learning rate",
    "epsilon": "probe epsilon",
    "board": "board",
    "activation": "neuron",
    "output": "output neuron",
    "devices.read_noise": "read noise",
    "devices.levels": "conductance levels (0: all)",
    "devices.stuck": "share of stuck cells",
    "pulses.law": "pulse law",
    "pulses.step": "weight per pulse",
    "devices.preset": "device",
    "devices.age": "age, s",
    "devices.temperature": "temperature, K",
    "devices.wires": "wire segment, ohm",
}

MEANINGS = {
    "beta": "how strongly the output is pulled to its target in the second phase; ",
    "devices.read_noise": "standard deviation of the noise on every sum that is read, in units of the drive; ",
    "bits.weight": "width of a stored weight, its range kept; ",
    "bits.state": "width of a neuron's state, its range kept; ",
    "rounding.weight": "how an update is rounded to the weights' bits; ",
}


def metric(name: str) -> str:
    """A metric's name on an axis, and which way is better."""
    return f"{NAMES[name]} ({'less' if name in SMALLER_IS_BETTER else 'more'} is better)"


def short(name: str) -> str:
    """A metric's name in a sentence, without its unit."""
    return NAMES[name].partition(",")[0]


def field(name: str) -> str:
    """A field of a recipe in words."""
    group, _, place = name.partition(".")
    if group == "bits":
        kind, _, layer = place.partition(".")
        return f"{kind} bits, layer {layer}" if layer else f"{kind} bits"
    if group in ("rounding", "overflow"):
        return f"{group} of {place}s"
    return FIELDS.get(name, name)


def scaled(name: str, values: ArrayLike) -> ArrayLike:
    """A metric's values as they are shown."""
    return 100 * values if name in PERCENT else values


def number(value: float) -> str:
    """Four digits, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def value(v: Any) -> str:
    """An axis's value."""
    return f"{v:g}" if isinstance(v, (int, float)) and not isinstance(v, bool) else (v or "none") if isinstance(v, str) else json.dumps(v)


def glossary(metrics: Iterable[str], fields: Iterable[str]) -> list[tuple[str, str]]:
    """Return what the names of metrics and axes mean."""
    told = [(field(f), MEANINGS.get(f, "") + f"the recipe's {f}") for f in fields if field(f) != f]
    return [(NAMES[m], METRICS[m]) for m in metrics] + told
