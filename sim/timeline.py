"""A stimulus written event by event: which port has which value in which cycle."""

from __future__ import annotations

import numpy as np


class Timeline:
    """Ports over time; `now` is the cycle that is being written.

    Pulses last one cycle and are zero else; levels hold until they change.
    """

    def __init__(self, pulses: tuple[str, ...], levels: tuple[str, ...]):
        self.now = 0
        self._pulses, self._levels = ({port: {} for port in ports} for ports in (pulses, levels))
        self.marks: dict[str, list[int]] = {}
        """Cycles worth remembering, by name."""

    def pulse(self, cycle: int, **values: int) -> None:
        """Values of ports in one cycle."""
        for port, value in values.items():
            self._pulses[port][cycle] = int(value)

    def level(self, **values: int) -> None:
        """Values of ports from `now` on."""
        for port, value in values.items():
            self._levels[port][self.now] = int(value)

    def mark(self, name: str, cycle: int) -> None:
        """Remember a cycle."""
        self.marks.setdefault(name, []).append(cycle)

    def mask(self, name: str) -> np.ndarray:
        """The remembered cycles, as a mask."""
        where = np.zeros(self.now, bool)
        where[[c for c in self.marks.get(name, []) if c < self.now]] = True
        return where

    def stimulus(self) -> dict[str, np.ndarray]:
        """Every port in every cycle up to `now`."""
        result = {}
        for port, values in self._pulses.items():
            result[port] = [values.get(c, 0) for c in range(self.now)]
        for port, values in self._levels.items():
            column, value = [], 0
            for c in range(self.now):
                value = values.get(c, value)
                column.append(value)
            result[port] = column
        return {port: np.array(v, dtype=object if any(abs(x) >> 62 for x in v) else np.int64) for port, v in result.items()}
