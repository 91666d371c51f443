"""Scenarios of `Generator` (contract section 2)."""

from __future__ import annotations

import numpy as np

from ..emulator import rng as emulated
from .fixed import seeded
from .scenario import Scenario, delayed

LATENCY = 8


def scenario(key: tuple[int, int], stream: int, cycles: int, vectorised: bool = False) -> Scenario:
    """One generator; `vectorised` compares with the vectorised function, for runs too long for the trace."""
    name = f"rng key {key[0]:08x}{key[1]:08x} stream {stream:02x}"
    rng = seeded(name)
    index = np.where(np.arange(cycles) % 2, np.arange(cycles) // 2, rng.integers(0, 1 << 24, cycles)) & 0xFFFFFF
    step = np.where(np.arange(cycles) % 3, rng.integers(0, 1 << 32, cycles), np.arange(cycles) // 3)
    index[:2], step[:2] = [0, (1 << 24) - 1], [0, (1 << 32) - 1]
    layer = rng.integers(0, 16, cycles) if stream % 16 == 0 else np.zeros(cycles, int)
    stimulus = {"layer": layer, "index": index, "step": step}

    def component():
        from ..hdl.rng import Generator

        return Generator(key, stream)

    def trace(given):
        if not vectorised:
            return emulated.trace(key, stream, given)
        words = tuple(np.uint32(k) for k in key)
        layer, step, index = (given[name].astype(np.uint32) for name in ("layer", "step", "index"))
        pair = emulated.pair(words, stream | layer, step, index)
        return {name: delayed(v.astype(np.int64), LATENCY) for name, v in zip("xy", pair, strict=True)}

    def coverage(stimulus, expected):
        goals = {
            f"{port} bit {bit} {level}": ((expected[port] >> bit & 1) == level).sum()
            for port in "xy"
            for bit in (0, 31)
            for level in (0, 1)
        }
        return goals | {"step above 2**31": (stimulus["step"] >> 31).sum(), "index above 2**23": (stimulus["index"] >> 23).sum()}

    return Scenario(name, component, trace, stimulus, settled=LATENCY, coverage=coverage)


def scenarios() -> list[Scenario]:
    """Keys and streams at their corners and in between."""
    return [scenario((0, 0), 0, 200), scenario((0xFFFFFFFF, 0xFFFFFFFF), 0xFF, 200), scenario((0x01234567, 0x89ABCDEF), 0x81, 400)]
