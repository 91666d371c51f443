"""Scenarios: what one block is given in every clock cycle, and what it must answer, on every simulator.

A scenario is pure data but for two functions: one makes the RTL component, the other the emulator's trace. `check`
plays it on a simulator and compares every qualified port in every cycle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..hdl.verilog import Verilog, convert
from . import bench, replay, simulators


@dataclass(frozen=True)
class Scenario:
    """One stimulus for one component.

    Parameters
    ----------
    name : str
    component : callable
        Makes the RTL component.
    trace : callable
        ``trace(stimulus) -> {output port: values}``, the emulator.
    stimulus : dict
        Input port name to integers (cycles,), one per clock from reset.
    qualifier : dict
        Data port to the output port that says when it is meaningful, or to a mask over the cycles. Ports not named
        are always meaningful.
    settled : int
        The cycle from which outputs are meaningful: the latency of a block without a valid.
    coverage : callable
        ``coverage(stimulus, expected) -> {goal: times reached}``; a goal that was never reached is a failure.
    """

    name: str
    component: Callable
    trace: Callable
    stimulus: dict
    qualifier: dict = field(default_factory=dict)
    settled: int = 0
    coverage: Callable = lambda stimulus, expected: {}


@dataclass(frozen=True)
class Mismatch:
    """One port in one cycle."""

    cycle: int
    port: str
    expected: int
    got: int | None
    """None is undefined."""

    def __str__(self) -> str:
        return f"cycle {self.cycle}: {self.port}: expected {self.expected}, got {self.got}"


@dataclass(frozen=True)
class Outcome:
    """Findings of a check."""

    scenario: str
    simulator: str
    cycles: int
    bits: int
    """Compared bits."""
    mismatches: tuple[Mismatch, ...]
    uncovered: tuple[str, ...]
    coverage: dict

    @property
    def passed(self) -> bool:
        return not self.mismatches and not self.uncovered

    def __str__(self) -> str:
        head = f"{self.scenario} on {self.simulator}: {self.cycles} cycles, {self.bits} bits, {len(self.mismatches)} mismatches"
        lines = [str(m) for m in self.mismatches[:10]] + [f"never exercised: {goal}" for goal in self.uncovered]
        return "\n  ".join([head, *lines])


def check(scenario: Scenario, simulator: str, source: Verilog | None = None, optimize: int = 0) -> Outcome:
    """Play a scenario on a simulator and compare it with the emulator.

    Parameters
    ----------
    scenario : Scenario
    simulator : str
        One of `simulators.SIMULATORS`.
    source : Verilog
        The component's Verilog, where the caller already has it.
    optimize : int
        Of Verilator's build.
    """
    simulators.require(simulator)
    expected = {port: np.asarray(values) for port, values in scenario.trace(scenario.stimulus).items()}
    component = scenario.component() if source is None or simulator == "amaranth" else None
    if simulator == "replay":
        source = source or convert(component, simulators.TOP)
        seen = replay.replay(source, scenario.stimulus, optimize)
    else:
        arguments = {"stimulus": {port: [int(v) for v in values] for port, values in scenario.stimulus.items()}, "outputs": list(expected)}
        seen = simulators.run(component, bench.play, arguments, simulator, source, optimize)
    mismatches, bits = compare(scenario, expected, seen)
    coverage = {goal: int(times) for goal, times in scenario.coverage(scenario.stimulus, expected).items()}
    cycles = len(next(iter(scenario.stimulus.values())))
    return Outcome(
        scenario.name, simulator, cycles, bits, tuple(mismatches), tuple(goal for goal, times in coverage.items() if not times), coverage
    )


def compare(scenario: Scenario, expected: dict, seen: dict) -> tuple[list[Mismatch], int]:
    """Mismatches in order of cycles, and the number of compared bits."""
    mismatches, bits = [], 0
    for port, values in expected.items():
        got = np.asarray(seen[port])
        if got.shape != values.shape:
            raise ValueError(f"{scenario.name}: {port}: expected {len(values)} cycles, got {len(got)}")
        where = np.arange(len(values)) >= scenario.settled
        if port in scenario.qualifier:
            valid = scenario.qualifier[port]
            where &= np.asarray(expected[valid] if isinstance(valid, str) else valid).astype(bool)
        widest = max((int(v).bit_length() for v in (values.max(initial=0), values.min(initial=0))), default=0)
        bits += int(where.sum()) * max(widest, 1)
        mismatches += [
            Mismatch(int(c), port, int(values[c]), None if got[c] is None else int(got[c])) for c in np.flatnonzero(where & (got != values))
        ]
    return sorted(mismatches, key=lambda m: m.cycle), bits


def delayed(values: np.ndarray, latency: int) -> np.ndarray:
    """Values of a port `latency` cycles after those of its inputs."""
    values = np.asarray(values)
    return np.concatenate([np.zeros(latency, values.dtype), values[: len(values) - latency]])
