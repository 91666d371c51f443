"""Walk a clocked block through its stimulus, cycle by cycle: what every `trace` is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

Ports: TypeAlias = dict[str, int]
"""Values of ports in a cycle, by name."""
Stimulus: TypeAlias = Mapping[str, Sequence[int] | np.ndarray]
"""Values of input ports, one entry per clock, by name."""
Waves: TypeAlias = dict[str, np.ndarray]
"""Values of output ports, one entry per clock, by name."""


def walk(clock: Callable[..., Ports], stimulus: Stimulus, inputs: tuple[str, ...]) -> Waves:
    """Every output port at every clock.

    Parameters
    ----------
    clock : callable
        Called once per cycle with the input ports as keywords (Python integers); returns the output ports of that
        cycle as a dict and moves its registers to the next cycle.
    stimulus : dict
        Input port name to array (cycles,), one entry per clock from reset (cycle 0 is the first after reset).
        Ports that are absent stay 0.
    inputs : tuple of str
        The block's input ports.

    Returns
    -------
    dict
        Output port name to array (cycles,); int64, or Python integers where 62 bits are too few.
    """
    unknown = sorted(set(stimulus) - set(inputs))
    if unknown:
        raise ValueError(f"stimulus: unknown port {unknown[0]!r}; allowed are {', '.join(inputs)}")
    if not stimulus:
        raise ValueError("stimulus: no ports; give at least one, with one entry per clock")
    lengths = {name: len(values) for name, values in stimulus.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"stimulus: ports differ in their number of cycles: {lengths}")
    given = {name: [int(v) for v in values] for name, values in stimulus.items()}
    idle = dict.fromkeys(inputs, 0)
    cycles = next(iter(lengths.values()))
    record = [clock(**(idle | {name: values[c] for name, values in given.items()})) for c in range(cycles)]
    return {name: column([r[name] for r in record]) for name in (record[0] if record else ())}


def column(values: list[int]) -> np.ndarray:
    """A port's values as int64, or as Python integers where 62 bits are too few."""
    wide = any(abs(v) >> 62 for v in values)
    return np.array(values, dtype=object if wide else np.int64)
