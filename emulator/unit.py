"""A unit: the neurons of one population, their drives and their dyad, and in the last one the nudge (contract section 7)."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from ..recipe import BESIDE, Recipe, table
from . import fixed, neuron, nudge
from .arrays import Integers
from .clock import Ports, Stimulus, Waves, walk


def add(recipe: Recipe, a: Integers, b: Integers) -> tuple[Integers, Integers]:
    """Add two numbers of accumulator format: (int32 array, out_of_range), by the accumulator's overflow."""
    value, out_of_range = fixed.requantize(a + b, 0, recipe.formats.accumulator.width, "floor", recipe.overflow.accumulator)
    return value.astype(np.int32), out_of_range


# Trace ------------------------------------------------------------------------------------------------------


def sources(recipe: Recipe, unit: int) -> tuple[tuple[int, str], ...]:
    """Return the engines and converters from which elements come, by the number of the value port."""
    return tuple(dict.fromkeys((e.engine, e.place) for e in table.entries(recipe, unit)))


def inputs(recipe: Recipe, unit: int) -> tuple[str, ...]:
    """Return the input ports of `Unit`."""
    values = (f"value{i}" for i in range(len(sources(recipe, unit))))
    return ("valid", "number", "index", *values, "random", *(labels(recipe) if unit == recipe.layers - 1 else ()))


def labels(recipe: Recipe) -> tuple[str, ...]:
    """Return the ports of the last unit that have the labels of the samples under way, by turn."""
    return ("label",) if recipe.samples_in_flight == 1 else tuple(f"label{n}" for n in range(recipe.samples_in_flight))


def trace(recipe: Recipe, unit: int, stimulus: Stimulus) -> Waves:
    """Every port of `Unit` at every clock.

    Parameters
    ----------
    recipe, unit
        As the component's.
    stimulus : dict
        Input ports of contract section 7, one entry per clock, from reset.

    Returns
    -------
    dict
        Output ports of section 7; `loss` of the last unit is meaningful when the operation that makes it is complete.
    """
    return walk(Clocked(recipe, unit).clock, stimulus, inputs(recipe, unit))


Words: TypeAlias = tuple[int, int, int]
"""Random words of an element: for its mean, its difference and its nudge."""


class Clocked:
    """The drives and feedbacks of `Unit` and the elements that are under way in it."""

    def __init__(self, recipe: Recipe, unit: int):
        self.recipe, self.entries, self.sources = recipe, table.entries(recipe, unit), sources(recipe, unit)
        self.is_last = unit == recipe.layers - 1
        self.dyad, self.nudge = neuron.Clocked(recipe, unit), nudge.Clocked(recipe)
        self.drives = [[0] * recipe.sizes[unit + 1] for _ in range(table.drive_slots(recipe, unit))]
        self.feedback = [0] * recipe.sizes[unit + 1]
        self.labels = labels(recipe)
        self.loss = 0
        self.now = 0
        # what is under way, by the cycle in which it arrives: entry and index, and then
        self.arriving: dict[int, tuple[int, int, int, int]] = {}  # values: drive and feedback as they were looked up
        self.driving: dict[int, tuple[int, int, int, int, Words, bool]] = {}  # where drives are kept: a, b, random, out of range
        self.nudged: dict[int, tuple[int, int, bool, int, int, Words]] = {}  # at the nudge's output: is it the label's, a, b, random
        self.entering: dict[int, tuple[int, int, int, int, Words, bool]] = {}  # at the dyad: a, b, random, out of range
        self.leaving: dict[int, tuple[int, int]] = {}  # at the dyad's output: no more
        self.random: dict[int, tuple[int, int]] = {}  # rounding words at the dyad, alone
        self.random_nudge: dict[int, int] = {}
        self.errors = [0, 0]  # of the nudge, two cycles and one cycle ago

    def clock(self, valid: int, number: int, index: int, random: int, **values: int) -> Ports:
        """Output ports of this cycle; all registers move to the next one."""
        now, events = self.now, 0
        ports = self._present()
        if valid:
            self.arriving[now + 2] = number, index, self.drives[self.entries[number].slot][index], self.feedback[index]
        if now in self.arriving:
            self._enter(*self.arriving.pop(now), values, random)
        wrote = None
        self.nudging = 0, 0, 0
        if now in self.driving:
            n, i, a, b, words, out = self.driving.pop(now)
            events += out
            if self.entries[n].keep_drive:
                wrote = i, a, self.entries[n].slot
            if self.entries[n].keep_feedback:
                self.feedback[i] = b
            if self.is_last:
                self._push(n, i, a, b, words, values[self.labels[self.entries[n].turn]])
            else:
                self.entering[now] = n, i, a, b, words, False
        if now in self.nudged:
            events += self._force(*self.nudged.pop(now))
        self.errors = [self.errors[1], self.nudge.error]
        self.nudge.clock(self.nudging[0], self.nudging[1], self.random_nudge.pop(now, 0), self.nudging[2])
        events += self._dyad()
        ports |= {"drive_write": int(wrote is not None), "drive_index": wrote[0] if wrote else 0, "drive_value": wrote[1] if wrote else 0}
        if wrote:
            self.drives[wrote[2]][wrote[0]] = wrote[1]
        self.now += 1
        return ports | {"events_accumulator": events}

    def feeds(self, wires: Ports) -> tuple[int, int] | None:
        """Index and value of an element that enters beside a drive in this cycle, of what the ports have."""
        if self.now not in self.arriving:
            return None
        number, index, *_ = self.arriving[self.now]
        e = self.entries[number]
        return (index, wires[f"value{self.sources.index((e.engine, e.place))}"]) if e.enter in BESIDE else None

    def peek(self) -> tuple[int, int, int, int] | None:
        """Return what leaves in this cycle: number, index, mean and difference."""
        if self.now not in self.leaving:
            return None
        return *self.leaving[self.now], self.dyad.fitted[0][0], self.dyad.fitted[1][0]

    def _present(self) -> Ports:
        n, index = self.leaving.pop(self.now, (None, 0))
        (mean, mean_out), (difference, difference_out) = self.dyad.fitted
        e = self.entries[n] if n is not None else None
        means, differs = bool(e and (e.mean or e.result)), bool(e and e.difference)
        ports = {"loss": self.loss} if self.is_last else {}
        return ports | {
            "mean_valid": int(means),
            "difference_valid": int(differs),
            "out_number": n or 0,
            "out_index": index,
            "mean": mean if means else 0,
            "difference": difference if differs else 0,
            "events_state": int(means and mean_out),
            "events_delta": int(differs and difference_out),
        }

    def _enter(self, n: int, index: int, recalled: int, fed: int, values: Ports, random: int) -> None:
        e = self.entries[n]
        y = values[f"value{self.sources.index((e.engine, e.place))}"]
        words = random & 0xFFFF, random >> 16 & 0xFFFF, random >> 32 & 0xFFFF
        if e.enter in ("more", "less"):
            a, out = self._fit(recalled + y if e.enter == "more" else recalled - y)
            self.driving[self.now + 1] = n, index, a, 0, words, out
        elif e.enter == "relax":
            self.driving[self.now + 1] = n, index, recalled, fed + (y - fed >> e.leak), words, False
        elif e.enter == "gather":
            b, out = self._fit(fed + (neuron.gated_exact(self.dyad.pieces, 2 * recalled, 2 * y) >> 1))
            self.driving[self.now + 1] = n, index, recalled, b, words, out
        else:
            a, b = (y, 0) if e.enter == "drive" else (recalled, y)
            self.driving[self.now] = n, index, a, b, words, False

    def _fit(self, value: int) -> tuple[int, bool]:
        return fixed.fit_exact(value, self.recipe.formats.accumulator.width, self.recipe.overflow.accumulator)

    def _push(self, n: int, index: int, a: int, b: int, words: Words, label: int) -> None:
        self.nudging = a, index == label, self.entries[n].negative
        self.random_nudge[self.now + 2] = words[2]
        self.nudged[self.now + 4] = n, index, index == label, a, b, words

    def _force(self, n: int, index: int, target: bool, a: int, b: int, words: Words) -> int:
        """Apply the label's force and the loss to an element; return its range events."""
        e, (pushed, out) = self.entries[n], self.nudge.fitted
        events, wait, late = 0, 0, False
        if e.loss != "keep":
            self._squares(e.loss, index)
        if e.force in ("feedback", "drive"):
            events += out
        if e.force == "feedback":
            b, out = self._fit(b + pushed)
            events += out
        elif e.force == "drive":
            a, late = self._fit(a + pushed)
            wait = 1
        elif e.force == "clamp":
            a = self.recipe.target(target)
        self.entering[self.now + wait] = n, index, a, b, words, late
        return events

    def _squares(self, what: str, index: int) -> None:
        square = self.errors[0] ** 2
        if what == "zero":
            self.loss = 0
        elif what == "subtract":
            self.loss -= square
        else:
            self.loss = square + (self.loss if index else 0)

    def _dyad(self) -> int:
        now, a, b, kind, moved, events = self.now, 0, 0, "dyad", False, 0
        if now in self.entering:
            n, index, a, b, words, out = self.entering.pop(now)
            events, kind, moved = int(out), self.entries[n].error, self.entries[n].moved
            self.leaving[now + 5] = n, index
            self.random[now + 3] = words[0], words[1]
        self.dyad.clock(a, b, *self.random.pop(now, (0, 0)), kind, moved)
        return events
