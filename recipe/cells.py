"""A measured cell: what a recipe says of a device of one's own, by numbers or from a table."""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from .kinds import Real

Positive = Annotated[Real, Field(ge=0)]
BY_CONDUCTANCE = ("programming", "read", "drift", "drift_spread", "temperature_coefficient", "up", "down")
"""Columns that belong to conductances."""
UNITS = {"S": 1e6, "mS": 1e3, "uS": 1.0, "nS": 1e-3}
"""Units in microsiemens."""
VOLTS = {"V": 1.0, "mV": 1e-3}
UNIT_OF = {name: UNITS for name in ("conductance", "programming", "read", "up", "down", "states")} | {
    "drift": {"": 1.0},
    "drift_spread": {"": 1.0},
    "temperature_coefficient": {"1/K": 1.0, "%/K": 1e-2, "ppm/K": 1e-6},
    "volts": VOLTS,
    "bent": VOLTS,
}
"""Column of a table to the units that it can have, as multiples of the recipe's own, the first with the factor 1 being that."""


class Cell(BaseModel):
    """A cell by what was measured of it, at conductances from the least to the largest that it has. All conductances in microsiemens.

    Attributes
    ----------
    conductance : list of float
        In ascending order: the range is from the first to the last. Between them, everything is linear.
    programming, read : list of float
        Standard deviations at these: of a written conductance, and of one read of it.
    drift, drift_spread : list of float
        Exponents of ``g(t) = g (t / drift_start)**-nu`` at these: mean and standard deviation among cells.
    drift_start : float
        Seconds after writing at which the written conductance was measured.
    temperature_coefficient : list of float
        Relative change of the conductance per kelvin, at these.
    up, down : list of float
        By how much a pulse raises, and a pulse lowers, the conductance at these.
    states : list of float
        The only conductances that are written, in ascending order; default: any.
    volts, bent : list of float
        Current-voltage curve: V, ascending, and the voltage at which an ohmic cell would carry the same current.
    voltage : float
        Of the largest input; default: the last of `volts`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    conductance: tuple[Positive, ...] = ()
    programming: tuple[Positive, ...] = ()
    read: tuple[Positive, ...] = ()
    drift: tuple[Real, ...] = ()
    drift_spread: tuple[Positive, ...] = ()
    drift_start: Positive = 0.0
    temperature_coefficient: tuple[Real, ...] = ()
    up: tuple[Positive, ...] = ()
    down: tuple[Positive, ...] = ()
    states: tuple[Positive, ...] = ()
    volts: tuple[Real, ...] = ()
    bent: tuple[Real, ...] = ()
    voltage: Positive = 0.0

    @property
    def mistakes(self) -> Iterator[str]:
        """Return the mistakes, each as ``key: what; what is allowed``."""
        g = self.conductance
        if not g:
            if any(getattr(self, name) for name in type(self).model_fields):
                yield "conductance: missing; allowed are two or more, in ascending order (microsiemens)"
            return
        if len(g) < 2 or any(a >= b for a, b in itertools.pairwise(g)):
            yield f"conductance: {_shown(g)}; allowed are two or more, in ascending order (microsiemens)"
            return
        for name in BY_CONDUCTANCE:
            if getattr(self, name) and len(getattr(self, name)) != len(g):
                yield f"{name}: {len(getattr(self, name))} values for {len(g)} conductances; allowed is one for each"
        if bool(self.drift) != bool(self.drift_start):
            yield f"drift_start: {self.drift_start:g} s; allowed is more than 0 together with drift, else 0"
        if self.drift_spread and not self.drift:
            yield "drift_spread: without drift; give the means as well"
        if bool(self.up) != bool(self.down):
            yield f"{'down' if self.up else 'up'}: missing; pulses need both, up and down"
        for name in ("up", "down"):
            moves = getattr(self, name)
            if moves and (max(moves) > g[-1] - g[0] or not any(moves)):
                yield (
                    f"{name}: {_shown(moves)}; allowed are changes by a pulse, some above 0 and none beyond the range of "
                    f"{g[-1] - g[0]:g} uS"
                )
            elif moves and len(moves) == len(g) and self._middle(moves) <= 0:
                yield f"{name}: no change in the middle of the range; a cell that pulses do not move there cannot learn"
        if self.states and (
            len(self.states) < 2
            or any(a >= b for a, b in itertools.pairwise(self.states))
            or self.states[0] < g[0]
            or self.states[-1] > g[-1]
        ):
            yield f"states: {_shown(self.states)}; allowed are two or more, in ascending order, from {g[0]:g} to {g[-1]:g} uS"
        yield from self._curve()

    def _curve(self) -> Iterator[str]:
        if len(self.volts) != len(self.bent):
            yield f"bent: {len(self.bent)} values for {len(self.volts)} volts; allowed is one for each"
        elif self.volts and any(a >= b for a, b in itertools.pairwise(self.volts)):
            yield f"volts: {_shown(self.volts)}; allowed are voltages in ascending order"
        elif self.volts and not 0 < self.largest_voltage <= min(-self.volts[0], self.volts[-1]):
            yield (
                f"volts: {self.volts[0]:g} to {self.volts[-1]:g} V; allowed are curves that cover inputs of "
                f"+-{self.largest_voltage:g} V (voltage)"
            )
        elif self.voltage and not self.volts:
            yield "voltage: without volts; give the curve, or leave it out"

    def _middle(self, column: Sequence[float]) -> float:
        """A column's value in the middle of the range."""
        g, at = self.conductance, (self.conductance[0] + self.conductance[-1]) / 2
        right = next(i for i, v in enumerate(g) if v >= at)
        share = (at - g[right - 1]) / (g[right] - g[right - 1])
        return column[right - 1] + share * (column[right] - column[right - 1])

    @property
    def largest_voltage(self) -> float:
        return self.voltage or (self.volts[-1] if self.volts else 0.0)

    @property
    def pulse(self) -> float:
        """The mean of a pulse up and a pulse down in the middle, as a share of the range; 0 where pulses were not measured."""
        if not self.up:
            return 0.0
        return (self._middle(self.up) + self._middle(self.down)) / 2 / (self.conductance[-1] - self.conductance[0])


def _shown(values: Sequence[float]) -> str:
    return f"{', '.join(f'{v:g}' for v in values[:6])}{', ...' if len(values) > 6 else ''}"


def columns(path: Path) -> dict[str, list[float]]:
    """Read a table of a measured cell: comma-separated columns under names like ``conductance [uS]``.

    Columns of conductances have one length, so have those of volts; a shorter column ends in empty fields.

    Raises
    ------
    ValueError
        ``file: line or column: what is wrong; what is allowed``.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if any(field.strip() for field in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); name a CSV file") from None
    if len(rows) < 2:
        raise ValueError(f"{path}: no rows; give a line of names and a line for each conductance")
    if len(rows[0]) == 1 and (other := next((c for c in ";\t" if c in rows[0][0]), "")):
        raise ValueError(f"{path}: columns are separated by {other!r}; allowed are commas")
    heads, found = [_head(path, head) for head in rows[0]], {}
    bare = next((name for name, _, unit in heads if unit is None and UNIT_OF[name] is UNITS), None)
    named = next((f"conductance in {unit}" for name, _, unit in heads if name == "conductance" and unit and UNITS[unit] != 1), None)
    if bare and named:
        raise ValueError(f"{path}: column {bare}: no unit beside {named}; name it, as {bare} [uS]")
    if wide := next((line for line, row in enumerate(rows, 1) if len(row) > len(heads)), None):
        raise ValueError(f"{path}: line {wide}: {len(rows[wide - 1])} fields under {len(heads)} names; allowed is one for each")
    for n, (name, factor, _) in enumerate(heads):
        if name in found:
            raise ValueError(f"{path}: column {name}: there twice; give each once")
        texts = [row[n].strip() if n < len(row) else "" for row in rows[1:]]
        while texts and not texts[-1]:
            texts.pop()
        found[name] = [_value(path, name, line, text) * factor for line, text in enumerate(texts, 2)]
    for first, others in (("conductance", BY_CONDUCTANCE), ("volts", ("bent",))):
        for name in others:
            if name in found and len(found[name]) != len(found.get(first, [])):
                raise ValueError(
                    f"{path}: column {name}: {len(found[name])} values for {len(found.get(first, []))} of {first}; a table has no gaps"
                )
    return found


def _head(path: Path, text: str) -> tuple[str, float, str | None]:
    """A column's name, what its unit is in the recipe's, and that unit, None where there is none."""
    match = re.fullmatch(r"\s*(\w+)\s*(?:\[\s*(.*?)\s*\])?\s*", text)
    name, unit = (match[1], match[2]) if match else (text.strip(), None)
    if name not in UNIT_OF:
        raise ValueError(f"{path}: column {text.strip()!r}: unknown; allowed are {', '.join(UNIT_OF)}")
    units = UNIT_OF[name]
    if unit is None:
        return name, 1.0, None
    unit = unit.replace("µ", "u").replace("μ", "u")
    if unit not in units:
        raise ValueError(f"{path}: column {name}: unit {unit!r}; allowed are {', '.join(u or 'none' for u in units)}")
    return name, units[unit], unit


def _value(path: Path, name: str, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        told = f"{text!r} is no number" if text else "empty, with values below it; a table has no gaps"
        raise ValueError(f"{path}: line {line}: {name}: {told}")
    return value


def with_table(table: dict[str, Any], label: str, folder: Path) -> dict[str, Any]:
    """A recipe's table, in which the columns of the file that ``devices.cell.table`` names stand in its place.

    Raises
    ------
    ValueError
        If the file cannot be read, or says what the recipe says as well.
    """
    devices = table.get("devices", {})
    cell = devices.get("cell") if isinstance(devices, dict) else None
    if not isinstance(cell, dict) or "table" not in cell:
        return table
    name = cell["table"]
    if not isinstance(name, str):
        raise ValueError(f"{label}: devices.cell.table: {name!r}; allowed is the name of a CSV file")
    try:
        found = columns(folder / name)
    except ValueError as error:
        raise ValueError(f"{label}: devices.cell.table: {error}") from None
    if twice := sorted(found.keys() & cell.keys()):
        raise ValueError(f"{label}: devices.cell.{twice[0]}: given together with the same column of {name}; allowed is one of the two")
    return table | {"devices": devices | {"cell": {k: v for k, v in cell.items() if k != "table"} | found}}
