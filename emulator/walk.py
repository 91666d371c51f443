"""A chip walked cycle by cycle through the registers of its sequencer, engines and units (contract sections 7 to 9)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..recipe import SLOPE, Recipe, in_memory, programs, table
from . import crossbar, engine, nudge, sequencer, unit
from .chip import Chip
from .clock import Ports


def trace(recipe: Recipe, state: Mapping[str, Any], x: ArrayLike, y: ArrayLike | None = None) -> list[tuple[int, str, str, int, int]]:
    """One program on one chip, or several under way.

    Parameters
    ----------
    recipe : Recipe
    state : dict
        `Chip.state()` of a single chip.
    x : array (inputs,) or (n, inputs)
        A sample, real values or state integers; or several, of which each starts an interval after the one before.
    y : int or integer array (n,), optional
        Its label, or theirs; with it the training program runs, else `infer`.

    Returns
    -------
    list of (program cycle, block, register, index, value)
        In order of time, from the start of the first program on; as of `Walk.clock`, and last ``loss`` of the last unit (index 0): the
        register when the last program ends.

    Raises
    ------
    ValueError
        If several samples are given to a program that does not overlap.
    """
    walk, trains = Walk(recipe, state), y is not None
    samples = walk.chip._samples(np.atleast_2d(recipe.formats.state.samples(x)))
    labels = np.zeros(len(samples), int) if y is None else walk.chip._labels(np.atleast_1d(y), len(samples))
    interval = programs(recipe)[trains].interval
    events: list[tuple[int, str, str, int, int]] = []
    if len(samples) > 1 and not interval:
        raise ValueError(f"x: {len(samples)} samples; programs of {recipe.name} do not overlap, allowed is one")
    end = (len(samples) - 1) * interval + sequencer.length(recipe, trains)
    for now in range(end):
        if now == (walk.launched * interval if walk.launched < len(samples) else None):
            walk.launch(samples[walk.launched].tolist(), int(labels[walk.launched]), trains)
        events += [(now, *event) for event in walk.clock()]
    return [*events, (end - 1, f"unit{recipe.layers - 1}", "loss", 0, walk.units[-1].loss)]


class Walk:
    """A chip in which no program runs, to launch some and walk on a cycle at a time.

    Parameters
    ----------
    recipe : Recipe
    state : dict
        `Chip.state()` of a single chip.

    Attributes
    ----------
    launched : int
        How many programs have been launched.
    """

    def __init__(self, recipe: Recipe, state: Mapping[str, Any]):
        self.chip = chip = Chip(recipe)
        chip.restore(state)  # all checks are there
        self.recipe = recipe = recipe.model_copy(update={"seed": int(np.asarray(state["seeds"]))})
        self.engines = [engine.Clocked(recipe, e) for e in range(len(recipe.engine_lanes))]
        self.units = [unit.Clocked(recipe, k) for k in range(recipe.layers)]
        self.units[-1].loss = int(chip.loss)
        for g, w in zip(in_memory(recipe), chip.weights, strict=True):
            block, rows = self.engines[g.engine].crossbar, np.asarray(crossbar.pad(g, w)).tolist()
            first = block.table.base[g.matrix.name]
            block.weights[first : first + g.N] = [rows[t][f * g.L : (f + 1) * g.L] for t in range(g.R) for f in range(g.F)]
        self.overlaps = recipe.samples_in_flight > 1
        self.sequencer = sequencer.Overlapping(recipe) if self.overlaps else sequencer.Clocked(recipe)
        self.labels = dict.fromkeys(unit.labels(recipe), 0)
        self.wires = _Wires(recipe, self.units)
        self.slopes = [[(0, False)] * len(self.engines)] * 2
        self.launched = 0
        self.levels = (*crossbar.levels(recipe), *engine.runs(recipe))

    def launch(self, sample: list[int], label: int, trains: bool) -> None:
        """Launch a program in the cycle before the one that `clock` shows next; its sample lies in the slot of its turn then."""
        turn = self.launched % self.recipe.samples_in_flight
        for block in (e.crossbar for e in self.engines):
            for memory, store in zip(block.table.memories, block.stores, strict=True):
                if memory.population == 0:
                    store[turn % memory.slots][: len(sample)] = sample
        self.labels[unit.labels(self.recipe)[turn]] = label
        self.launched += 1
        self.sequencer.start(trains)

    def clock(self) -> list[tuple[str, str, int, int]]:
        """Return the writes of a cycle, and move on.

        Returns
        -------
        list of (block, register, index, value)
            Blocks are ``engine0``, .. and ``unit0``, ... Registers of a unit: ``feedback`` (what enters beside a drive), ``drive``,
            ``mean`` and ``difference`` (what its elements leave with), ``result`` (what enters the result queue). Of an engine:
            ``weight`` (index is the word's address, value the word, unsigned, lane 0 lowest). And ``events_accumulator``,
            ``events_state``, ``events_delta``, ``events_weight`` (index 0, value how many range events happen).
        """
        newest, units, shared = self.launched - 1, self.units, self.wires
        events: list[tuple[str, str, int, int]] = []
        turn = {"turn": newest % self.recipe.samples_in_flight} if self.overlaps else {}
        order = self.sequencer.clock(launch=0, train=0, **turn)
        known = {"rate": int(self.chip.rate), "bank": 0, "step": self.chip.step + newest, "run": self.chip.run + newest, **turn}
        levels, before = {name: known[name] for name in self.levels if name in known}, units[-1].loss
        # what leaves units now is written now; what engines give reaches units now, or two cycles later
        shared.leaving(units)
        for e, block in enumerate(self.engines):
            starts = order["start"] >> e & 1
            slope, beyond = self.slopes[0][e]
            ports = block.clock(
                start=starts,
                number=order["number"],
                pc=order["pc"],
                slope=slope,
                word_address=0,
                word_write=0,
                word_in=0,
                **levels,
                **shared.stores[e],
            )
            if starts and block.operations[order["number"]].row == SLOPE:
                ports["events_delta"] = int(beyond)
            shared.summed(e, ports)
            events += _events(f"engine{e}", ports, {"weight": ("weight_write", "weight_address", "weight_word")})
        for k, one in enumerate(units):
            wires = shared.entering(k)
            if fed := one.feeds(wires):
                events.append((f"unit{k}", "feedback", *fed))
            ports = one.clock(**wires, **(self.labels if one.is_last else {}))
            ports["queued"] = ports["mean_valid"] and one.entries[ports["out_number"]].result
            events += _events(
                f"unit{k}",
                ports,
                {
                    "drive": ("drive_write", "drive_index", "drive_value"),
                    "mean": ("mean_valid", "out_index", "mean"),
                    "difference": ("difference_valid", "out_index", "difference"),
                    "result": ("queued", "out_index", "mean"),
                },
            )
        shared.tick()
        self.slopes = [self.slopes[1], [nudge.slope_exact(block.crossbar.table.views[0], before) for block in self.engines]]
        return events


class _Wires:
    """Values that go from engines to units and from units to stores in a cycle."""

    def __init__(self, recipe: Recipe, units: list[unit.Clocked]):
        self.recipe, self.engines, self.units = recipe, table.engines(recipe), units
        self.stores: list[Ports] = [{} for _ in self.engines]
        self.elements: list[Ports] = [{} for _ in units]  # in this cycle: valid, number, index
        self.values = [[(0, 0)] * len(u.sources) for u in units]  # in this cycle: value and random words of each source

    def leaving(self, units: list[unit.Clocked]) -> None:
        """Lead what leaves the units in this cycle to the stores."""
        shown = [u.peek() for u in units]
        for wires, found in zip(self.stores, self.engines, strict=True):
            wires.clear()
            for i, memory in enumerate(found.memories):
                wires |= {f"store{i}__{name}": 0 for name in ("valid", "slot", "index", "value")}
                ports = shown[memory.population - 1] if memory.population else None
                if ports:
                    number, index, mean, difference = ports
                    e = table.entries(self.recipe, memory.population - 1)[number]
                    name, value = (e.mean, mean) if memory.format == "state" else (e.difference, difference)
                    if name in memory.stores:
                        wires |= {
                            f"store{i}__valid": 1,
                            f"store{i}__slot": memory.stores.index(name),
                            f"store{i}__index": index,
                            f"store{i}__value": value,
                        }

    def summed(self, e: int, ports: Ports) -> None:
        """Lead a sum of engine e, and values that were sums before, to the units."""
        for k, u in enumerate(self.units):
            self.values[k] = [
                (ports[f"value_{place}"], ports["random"]) if engine == e else old
                for (engine, place), old in zip(u.sources, self.values[k], strict=True)
            ]
        if ports["sum_valid"]:
            step = self.engines[e].operations[ports["sum_number"]]
            number = table.entries(self.recipe, step.unit).index(table.entry(self.recipe, step))
            self.elements[step.unit] = {"valid": 1, "number": number, "index": ports["sum_index"]}

    def entering(self, k: int) -> Ports:
        """Input ports of unit k but for the label."""
        u = self.units[k]
        n = u.arriving[u.now][0] if u.now in u.arriving else None
        words = 0 if n is None else self.values[k][u.sources.index((u.entries[n].engine, u.entries[n].place))][1]
        return (
            {"valid": 0, "number": 0, "index": 0}
            | self.elements[k]
            | {"random": words}
            | {f"value{i}": value for i, (value, _) in enumerate(self.values[k])}
        )

    def tick(self) -> None:
        """Move to the next cycle."""
        self.elements = [{} for _ in self.units]


def _events(block: str, ports: Ports, registers: dict[str, tuple[str, str, str]]) -> Iterator[tuple[str, str, int, int]]:
    for name, (valid, index, value) in registers.items():
        if ports[valid]:
            yield block, name, ports[index], ports[value]
    if ports.get("weight_out_of_range"):
        yield block, "events_weight", 0, ports["weight_out_of_range"]
    for name in ("accumulator", "state", "delta"):
        if ports.get(f"events_{name}"):
            yield block, f"events_{name}", 0, ports[f"events_{name}"]
