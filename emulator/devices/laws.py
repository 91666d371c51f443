"""Update laws: what pulses do to a cell, depending on where in its range the cell is.

A law is written once, for both directions: a pulse up has a positive step and the upper bound as its end, a pulse down a negative step
and the lower bound. Weights, bounds and steps have one unit, the user's: a step of 0.001 in a range of +-0.6 is 1/1200 of the range.

Every law has two functions. ``numbers(step, end, span, draw)`` gives what is stored for each cell and direction (`span` is the width of
the cell's range, ``draw()`` a standard normal deviate for each cell). ``tangent(w, *numbers)`` gives ``(reach, log)``: n pulses change the
weight w by ``reach * (exp(n * log) - 1)``, as n steps do that depend linearly on the weight, with slope ``exp(log) - 1``. Where steps do
not depend on the weight, log is None, and n pulses change it by ``n * reach``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

LEAST = 1e-7
"""Least slope: flatter laws act as if they had this one, and differ by less than a float32 can tell."""


def tangent(change: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(reach, log) of a pulse that changes a weight by `change`, and by ``slope`` less for every unit that the weight is higher.

    For laws of one's own: `slope` is the derivative of `change` by the weight, normally negative, never below -1.
    """
    slope = np.where(np.abs(slope) < LEAST, -LEAST, np.maximum(slope, LEAST - 1))
    return change / slope, np.log1p(slope)


class Law(Protocol):
    """Base of all laws, those of one's own too: see above."""

    def numbers(self, step: np.ndarray, end: np.ndarray, span: np.ndarray, draw: Callable[[], np.ndarray]) -> tuple[np.ndarray, ...]:
        """Return what is stored for each cell and direction."""

    @property
    def tangent(self) -> Callable[..., tuple[np.ndarray, np.ndarray | None]]:
        """A function of weights and these numbers, which gives reach and log."""


@dataclass(frozen=True)
class ConstantStep:
    """Every pulse is a whole step, up to the bound (Gokmen and Vlasov, Frontiers in Neuroscience 10:333, 2016)."""

    def numbers(self, step: np.ndarray, end: np.ndarray, span: np.ndarray, draw: Callable[[], np.ndarray]) -> tuple[np.ndarray, ...]:
        return (step,)

    def tangent(self, w: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, None]:
        return step, None


@dataclass(frozen=True)
class SoftBounds:
    """A pulse shrinks in proportion to the room that is left, ``step (1 - w / end)`` (Fusi and Abbott, Nat. Neurosci. 10:485, 2007)."""

    def numbers(self, step: np.ndarray, end: np.ndarray, span: np.ndarray, draw: Callable[[], np.ndarray]) -> tuple[np.ndarray, ...]:
        return end, np.log1p(-np.minimum(step / end, 1 - LEAST))

    def tangent(self, w: np.ndarray, end: np.ndarray, log: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return w - end, log


@dataclass(frozen=True)
class LinearStep:
    """A pulse shrinks linearly, by a share at the bound: ``step (1 - slope w / end)`` (Gokmen and Vlasov 2016).

    Parameters
    ----------
    up, down : float
        Slopes, 0 (constant) to 1 (soft bounds).
    spread : float
        Device-to-device spread of the slopes, same unit.
    """

    up: float = 0.5
    down: float = 0.5
    spread: float = 0.0

    def __post_init__(self) -> None:
        _check(self, most=1.0)

    def numbers(self, step: np.ndarray, end: np.ndarray, span: np.ndarray, draw: Callable[[], np.ndarray]) -> tuple[np.ndarray, ...]:
        # soft bounds with an end further off
        return SoftBounds().numbers(step, end / np.clip(_of_side(self, step, draw), LEAST, 1), span, draw)

    tangent = SoftBounds.tangent


@dataclass(frozen=True)
class ExponentialStep:
    """``step max(0, 1 - A exp(+-gamma z))``, ``z = 2 scale w / (high - low) + offset``, with + for pulses up and - for pulses down.

    The form and the default numbers are those of a published fit to ReRAM (Gong et al., Nature Communications 9:2102, 2018).

    Parameters
    ----------
    up, down : float
        gamma of pulses up and down.
    amount_up, amount_down : float
        A of pulses up and down.
    scale, offset : float
    spread : float
        Device-to-device spread of gamma, same unit.
    """

    up: float = 12.44625
    down: float = 12.78785
    amount_up: float = 0.00081
    amount_down: float = 0.36833
    scale: float = 0.244
    offset: float = 0.2425
    spread: float = 0.0

    def __post_init__(self) -> None:
        _check(self)

    def numbers(self, step: np.ndarray, end: np.ndarray, span: np.ndarray, draw: Callable[[], np.ndarray]) -> tuple[np.ndarray, ...]:
        gamma = np.sign(end) * _of_side(self, end, draw)
        amount = self.amount_up if np.max(end) > 0 else self.amount_down
        return step, amount * np.exp(gamma * self.offset), 2 * self.scale * gamma / span

    def tangent(self, w: np.ndarray, step: np.ndarray, amount: np.ndarray, steepness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lost = amount * np.exp(steepness * w)
        return tangent(step * np.maximum(1 - lost, 0), -step * steepness * lost * (lost < 1))


@dataclass(frozen=True)
class PowerStep:
    """``step (|end - w| / (high - low))**gamma`` (Fusi and Abbott 2007; Frascaroli et al., Scientific Reports 8:7178, 2018).

    Parameters
    ----------
    up, down : float
        gamma of pulses up and down.
    spread : float
        Device-to-device spread of gamma, same unit.
    """

    up: float = 1.0
    down: float = 1.0
    spread: float = 0.0

    def __post_init__(self) -> None:
        _check(self)

    def numbers(self, step: np.ndarray, end: np.ndarray, span: np.ndarray, draw: Callable[[], np.ndarray]) -> tuple[np.ndarray, ...]:
        return step, end, np.sign(end) / span, _of_side(self, end, draw)

    def tangent(
        self, w: np.ndarray, step: np.ndarray, end: np.ndarray, per_span: np.ndarray, gamma: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        room = np.maximum((end - w) * per_span, 1e-6)
        change = step * room**gamma
        return tangent(change, -gamma * per_span * change / room)


@dataclass(frozen=True)
class MeasuredStep:
    """Pulses as they were measured, linear between the points: ``step up(s)`` and ``step down(s)``, s from 0 at the lower bound to 1.

    Parameters
    ----------
    share : tuple of float
        s of the points, ascending from 0 to 1.
    up, down : tuple of float
        Sizes of pulses at these, relative to the mean of both in the middle.
    """

    share: tuple[float, ...]
    up: tuple[float, ...]
    down: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.share) == len(self.up) == len(self.down) >= 2 or np.any(np.diff(self.share) <= 0):
            raise ValueError("measured pulses: give one size up and one down for each of two shares or more, in ascending order")

    def numbers(self, step: np.ndarray, end: np.ndarray, span: np.ndarray, draw: Callable[[], np.ndarray]) -> tuple[np.ndarray, ...]:
        return step, end if np.max(end) < 0 else end - span, 1 / span

    def tangent(self, w: np.ndarray, step: np.ndarray, low: np.ndarray, per_span: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        s = np.clip((w - low) * per_span, self.share[0], self.share[-1])
        part = np.clip(np.searchsorted(self.share, s, side="right") - 1, 0, len(self.share) - 2)
        up = step > 0
        size = np.where(up, np.interp(s, self.share, self.up), np.interp(s, self.share, self.down))
        rise = [np.diff(side) / np.diff(self.share) for side in (self.up, self.down)]
        return tangent(step * size, step * per_span * np.where(up, rise[0][part], rise[1][part]))


def _of_side(law: LinearStep | ExponentialStep | PowerStep, end: np.ndarray, draw: Callable[[], np.ndarray]) -> Any:
    """`up` or `down`, whichever the end is; of each cell, if cells differ."""
    mean = law.up if np.max(end) > 0 else law.down
    return np.abs(mean + law.spread * draw()) if law.spread else mean


def _check(law: LinearStep | ExponentialStep | PowerStep, most: float = np.inf) -> None:
    for name in ("up", "down"):
        if not 0 <= getattr(law, name) <= most:
            raise ValueError(f"{type(law).__name__}: {name} = {getattr(law, name)}; allowed are 0 to {most:g}")
    if not 0 <= law.spread < np.inf:
        raise ValueError(f"{type(law).__name__}: spread = {law.spread}; a standard deviation is 0 or more")
