"""Scenarios of `Requantize` (contract section 1)."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator

import numpy as np

from ..emulator import fixed as emulated
from ..recipe import Overflow, Rounding
from .scenario import Scenario, delayed

ROUNDINGS, OVERFLOWS = Rounding.__args__, Overflow.__args__
LATENCY = 2


def corners(width: int) -> list[int]:
    """The integers of a signed format at which arithmetic goes wrong first."""
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    return sorted({v for v in (low, low + 1, low // 2, -2, -1, 0, 1, 2, high // 2, high // 2 + 1, high - 1, high) if low <= v <= high})


def integers(rng: np.random.Generator, width: int, cycles: int) -> np.ndarray:
    """Random integers of a signed format at all magnitudes, corners among them."""
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    values = rng.integers(low, high, cycles, endpoint=True)
    values = np.where(rng.random(cycles) < 0.5, values, values >> rng.integers(0, width, cycles))
    near = rng.choice(corners(width), cycles)
    return np.where(rng.random(cycles) < 0.2, near, values).astype(np.int64)


def close_calls(rng: np.random.Generator, values: np.ndarray, shift: int) -> np.ndarray:
    """Return for each value the least word with which it is rounded up, or the largest with which it is not.

    Of 65536 words one tells a rounder that drops a bit from one that does not: chance does not meet it.
    """
    m = min(shift, 16)
    missing = (1 << m) - (values >> (shift - m) & (1 << m) - 1)
    word = np.minimum(missing - rng.integers(0, 2, len(values)), (1 << m) - 1)
    return word << (16 - m) | rng.integers(0, 1 << (16 - m), len(values))


def seeded(name: str, seed: int = 1) -> np.random.Generator:
    """A generator of stimuli, by the scenario's name."""
    return np.random.default_rng([zlib.crc32(name.encode()), seed])


def scenario(width_in: int, shift: int, width: int, rounding: str, overflow: str, cycles: int | None = None, seed: int = 1) -> Scenario:
    """One requantizer.

    Parameters
    ----------
    width_in, shift, width, rounding, overflow
        As the component's.
    cycles : int, optional
        How many random vectors; without it all values, in random order, each with another random word.
    """
    name = f"fixed {width_in}>>{shift}:{width} {rounding} {overflow}"
    rng = seeded(name, seed)
    values = integers(rng, width_in, cycles) if cycles else rng.permutation(np.arange(-(1 << (width_in - 1)), 1 << (width_in - 1)))
    if cycles and 0 < shift < width_in:  # ties, which long shifts meet too seldom
        values = np.where(rng.random(cycles) < 0.2, values >> (shift - 1) << (shift - 1), values)
    words = rng.integers(0, 1 << 16, len(values))
    if rounding == "stochastic" and shift > 0:
        words = np.where(rng.random(len(values)) < 0.5, close_calls(rng, values, shift), words)
    stimulus = {"value": np.append(values, [0] * LATENCY), "random": np.append(words, [0] * LATENCY)}

    def component():
        from ..hdl.fixed import Requantize

        return Requantize(width_in, shift, width, rounding, overflow)

    def coverage(stimulus, expected):
        goals = {"negative": (stimulus["value"] < 0).sum(), "positive": (stimulus["value"] > 0).sum()}
        if 0 < shift < width_in:
            rest = stimulus["value"] & ((1 << shift) - 1)
            goals |= {"tie": (rest == 1 << (shift - 1)).sum(), "above a tie": (rest > 1 << (shift - 1)).sum()}
            if rounding == "stochastic":
                m = min(shift, 16)
                together = (rest >> (shift - m)) + (stimulus["random"] >> (16 - m))
                goals |= {"just up": (together == 1 << m).sum(), "just not up": (together == (1 << m) - 1).sum()}
        if width_in - max(shift, 0) > width or shift < 0 and width_in - shift > width:
            outside = expected["out_of_range"].astype(bool)
            sign = delayed(stimulus["value"], LATENCY)
            goals |= {
                "above the range": (outside & (sign > 0)).sum(),
                "below the range": (outside & (sign < 0)).sum(),
                "in range": (~outside).sum(),
            }
        return goals

    return Scenario(
        name,
        component,
        lambda given: emulated.trace(width_in, shift, width, rounding, overflow, given),
        stimulus,
        settled=LATENCY,
        coverage=coverage,
    )


def vectors(scenario: Scenario, shift: int, width: int, rounding: str, overflow: str) -> Scenario:
    """The same scenario against the vectorised function, for runs too long for the trace."""
    from dataclasses import replace

    def trace(given):
        result, out = emulated.requantize(given["value"], shift, width, rounding, overflow, given["random"])
        return {"result": delayed(result, LATENCY), "out_of_range": delayed(out.astype(np.int64), LATENCY)}

    return replace(scenario, trace=trace)


def modes() -> Iterator[tuple[str, str]]:
    """Every rounding with every overflow."""
    return itertools.product(ROUNDINGS, OVERFLOWS)


def scenarios() -> list[Scenario]:
    """Every mode exhaustively on a small format, and shapes that occur on chips: left shifts, long and no shifts."""
    return [scenario(9, 3, 4, *mode) for mode in modes()] + [
        scenario(12, -3, 10, "nearest", "saturate", 400),
        scenario(12, 0, 8, "floor", "wrap", 400),
        scenario(40, 20, 16, "stochastic", "saturate", 400),
        scenario(24, 30, 8, "nearest_even", "saturate", 400),
    ]
