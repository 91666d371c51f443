"""The chip: engines, units, sequencer, and streams at the edge (contract section 9)."""

from __future__ import annotations

import functools
import operator

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out, PureInterface

from ..recipe import SLOPE, Recipe, clog2, in_memory, most_results, results_held, table
from .choose import choose, either, index_bits
from .delay import delayed
from .elements import count
from .engine import Engine
from .families import Platform
from .fixed import Requantize
from .queue import Queue
from .sequencer import Sequencer
from .unit import Unit
from .words import Walk

INFER, TRAIN, LOAD, READ, RATE, STEP, RUN = range(7)
"""Command codes."""


def _widened(word: Value, width: int, to: int) -> Value:
    """A word whose lanes are extended by their signs."""
    lanes = (word.word_select(i, width) for i in range(len(word) // width))
    return word if width == to else Cat(Cat(lane, lane[-1].replicate(to - width)) for lane in lanes)


class Chip(wiring.Component):
    """A circuit that learns.

    Parameters
    ----------
    recipe : Recipe

    Members
    -------
    As listed and defined in contract section 9; all numbers are integers of the recipe's formats.

    Attributes
    ----------
    engines : list of Engine
    units : list of Unit
    sequencer : Sequencer
    """

    def __init__(self, recipe: Recipe):
        self._recipe = recipe
        f = recipe.formats
        self.engines = [Engine(recipe, e) for e in range(len(recipe.engine_lanes))]
        self.units = [Unit(recipe, k) for k in range(recipe.layers)]
        self.sequencer = Sequencer(recipe)
        state, weight = signed(f.state.width), signed(recipe.weight_width)
        super().__init__(
            {
                "i_command": In(stream.Signature(StructLayout({"code": 3, "operand": 8}))),
                "i_sample": In(stream.Signature(state)),
                "i_label": In(stream.Signature(unsigned(index_bits(recipe.sizes[-1])))),
                "i_weight": In(stream.Signature(weight)),
                "o_weight": Out(stream.Signature(weight)),
                "o_result": Out(stream.Signature(StructLayout({"value": state, "last": 1}))),
                "busy": Out(1),
                "cycles": Out(48),
                "step": Out(32),
                "rate": Out(3, init=recipe.rate),
                "loss": Out(self.units[-1].loss.shape()),
                "saturations_accumulator": Out(32),
                "saturations_state": Out(32),
                "saturations_delta": Out(32),
                "saturations_weight": Out(32),
            }
        )

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        r, engines, last = self._recipe, self.engines, self.units[-1]
        m.submodules.sequencer = sequencer = self.sequencer
        for e, engine in enumerate(engines):
            m.submodules[f"engine{e}"] = engine
        for k, unit in enumerate(self.units):
            m.submodules[f"unit{k}"] = unit

        # Command, label and sample registers
        command = Signal.like(self.i_command.payload)
        command_full = Signal()
        label = Signal.like(self.i_label.payload)
        label_full = Signal()
        labels = [Signal.like(label, name=f"label_used{n}") for n in range(r.samples_in_flight)]  # by turn
        sample_index = Signal(index_bits(r.sizes[0]))
        sample_full = Signal()
        sample_ends = Signal(init=r.sizes[0] == 1)  # the next element is the last: a register, so that no comparison lies on the way in
        overlaps = r.samples_in_flight > 1
        turn = Signal(max(1, clog2(r.samples_in_flight)), name="turn" if overlaps else "bank")  # of the sample launched last
        m.d.comb += [self.i_command.ready.eq(~command_full), self.i_label.ready.eq(~label_full), self.i_sample.ready.eq(~sample_full)]
        with m.If(self.i_command.valid & self.i_command.ready):
            m.d.sync += [command.eq(self.i_command.payload), command_full.eq(1)]
        with m.If(self.i_label.valid & self.i_label.ready):
            m.d.sync += [label.eq(self.i_label.payload), label_full.eq(1)]
        sample_taken = self.i_sample.valid & self.i_sample.ready
        with m.If(sample_taken):
            m.d.sync += [sample_index.eq(sample_index + 1), sample_ends.eq(sample_index == (r.sizes[0] - 2) % r.sizes[0])]
            with m.If(sample_ends):
                m.d.sync += [sample_index.eq(0), sample_full.eq(1)]

        # Results
        m.submodules.results = results = Queue(self.o_result.payload.shape(), results_held(r), most_results(r))
        wiring.connect(m, results.o, wiring.flipped(self.o_result))
        of_result = choose(last.out_number, [e.result for e in table.entries(r, r.layers - 1)], 1)
        m.d.comb += [
            results.write.eq(last.mean_valid & of_result),
            results.value.value.eq(last.mean),
            results.value.last.eq(last.out_index == r.sizes[-1] - 1),
        ]

        # Engines, units and stores; where several samples may be under way, engines know the number of the newest one, and its turn
        launch = Signal()

        def newest(count: Signal) -> Signal:
            """The number of the sample launched last; the counter grows when one has ended."""
            if not overlaps:
                return count
            number = Signal(32, name=f"{count.name}_newest")
            with m.If(launch):
                m.d.sync += number.eq(Mux(sequencer.busy, number + 1, count))
            return number

        step = newest(self.step)
        for e, engine in enumerate(engines):
            m.d.comb += [
                engine.start.eq(sequencer.start[e]),
                engine.number.eq(sequencer.number),
                engine.pc.eq(sequencer.pc),
                engine.rate.eq(self.rate),
                engine.step.eq(step),
                (engine.turn if overlaps else engine.bank).eq(turn),
            ]
            for i, memory in enumerate(table.engines(r)[e].memories):
                store = getattr(engine, f"store{i}")
                if memory.population == 0:
                    m.d.comb += [
                        store.valid.eq(sample_taken),
                        store.slot.eq(turn + 1),
                        store.index.eq(sample_index),
                        store.value.eq(self.i_sample.payload),
                    ]
                else:
                    self._fill(m, store, memory)
        for k in range(r.layers):
            self._feed(m, k)
        run = Signal(32)
        if r.devices.read_noise:
            m.d.sync += run.eq(run + sequencer.finish)
            its_run = newest(run)
            m.d.comb += [engine.run.eq(its_run) for engine in engines]
        m.d.comb += [getattr(last, name).eq(its) for name, its in zip(last.labels, labels, strict=True)]
        m.d.comb += self.loss.eq(last.loss)

        # SPSA's slope
        slope_event = Const(0)
        if r.sloped:
            slopes, used = {}, []
            for e, found in enumerate(table.engines(r)):
                shift = found.views[0].slope_shift  # along signs of weights, an engine's are of one format
                if shift not in slopes:
                    slopes[shift] = slope = Requantize(len(self.loss) + 1, shift, r.formats.delta.width, "nearest", "saturate")
                    m.submodules[f"slope{len(slopes) - 1 or ''}"] = slope
                    m.d.comb += slope.value.eq(-self.loss)
                m.d.comb += engines[e].slope.eq(slopes[shift].result)
                used.append((shift, sequencer.start[e] & choose(sequencer.number, [s.row == SLOPE for s in found.operations], 1)))
            slope_event = functools.reduce(
                operator.or_,
                (
                    sum(mine[1:], mine[0]).any() & slope.out_of_range
                    for shift, slope in slopes.items()
                    if (mine := [starts for its, starts in used if its == shift])
                ),
            )

        # The host's way to the weights
        matrices = in_memory(r)
        m.submodules.walk = walk = Walk(matrices, [table.engines(r)[g.engine].base[g.matrix.name] for g in matrices])
        weight_width = r.weight_width
        lanes = [Signal(weight_width, name=f"lane{i}") for i in range(max(r.engine_lanes))]
        # where the walk is: the engine of its matrix, and the address there
        on = choose(walk.matrix, [g.engine for g in matrices])
        write = Signal()
        write_on = Signal.like(on)
        write_address = Signal.like(walk.address)
        m.d.sync += [write.eq(0), write_on.eq(on), write_address.eq(walk.address)]
        widths = [found.width for found in table.engines(r)]
        for e, (engine, width) in enumerate(zip(engines, widths, strict=True)):
            m.d.comb += [
                engine.word_address.eq(Mux(write, write_address, walk.address)),
                engine.word_write.eq(write & (write_on == e)),
                engine.word_in.eq(Cat(lane[:width] for lane in lanes)),
            ]
        # The walk steps in the cycle after a transfer, so that no path leads from the streams into it.
        # loading: each lane follows the weight that was taken while it is the current one, and then holds; the first one clears the rest
        # of a weight that is narrower than its lane the low bits count
        given = self.i_weight.payload
        held = [g.recipe.formats.weight.width for g in matrices]
        for bits in sorted({b for b, g in zip(held, matrices, strict=True) if b < widths[g.engine]}):
            given = either(choose(walk.matrix, [b == bits for b in held], 1), self.i_weight.payload[:bits].as_signed(), given)
        taken = Signal(weight_width)
        stepping = Signal()
        for i, lane in enumerate(lanes):
            with m.If(walk.lane == i):
                m.d.sync += lane.eq(taken)
            with m.Elif(walk.lane == 0):
                m.d.sync += lane.eq(0)
        # reading: the walk is one weight ahead of the one that is offered
        word = Signal(len(lanes) * weight_width)
        words = [_widened(engine.word_out, width, weight_width) for engine, width in zip(engines, widths, strict=True)]
        m.d.sync += word.eq(Array(words)[on])
        fetch = Signal(2)  # cycles until the fetched word is there
        word_end = Signal()
        chip_end = Signal()

        # Control
        train = Signal()
        training = Signal()
        code = command.code
        m.d.comb += [train.eq(code == TRAIN), sequencer.launch.eq(launch), sequencer.train.eq(train if r.learns else 0)]
        if overlaps:
            m.d.comb += sequencer.turn.eq(turn)
            with m.If(sequencer.spare):
                m.d.sync += sample_full.eq(0)
        with m.If(launch):
            m.d.sync += [turn.eq(turn + 1), training.eq(train)]
            if not overlaps:
                m.d.sync += sample_full.eq(0)
            with m.If(train):
                m.d.sync += label_full.eq(0)
                for n, its in enumerate(labels):
                    with m.If(turn + 1 == n if n else (turn + 1)[: len(turn)] == 0) if overlaps else m.If(1):
                        m.d.sync += its.eq(label)
        with m.FSM():
            ready = sample_full & results.has_room
            with m.State("IDLE"):
                m.d.comb += walk.restart.eq(1)
                with m.If(command_full):
                    with m.Switch(code):
                        with m.Case(INFER, TRAIN):
                            with m.If(ready & (label_full | ~train)):
                                m.d.comb += launch.eq(1)
                                m.d.sync += command_full.eq(0)
                                m.next = "RUN"
                        with m.Case(LOAD):
                            m.d.sync += command_full.eq(0)
                            m.next = "LOAD"
                        with m.Case(READ):
                            m.d.sync += [command_full.eq(0), fetch.eq(2)]
                            m.next = "FETCH"
                        with m.Case(RATE):
                            m.d.sync += [command_full.eq(0), self.rate.eq(command.operand)]
                        with m.Case(STEP):
                            m.d.sync += [command_full.eq(0), self.step.eq(Cat(self.step[8:], command.operand))]
                        with m.Case(*([RUN] if r.devices.read_noise else [])):
                            m.d.sync += [command_full.eq(0), run.eq(Cat(run[8:], command.operand))]
                        with m.Default():
                            m.d.sync += command_full.eq(0)
            with m.State("RUN"):
                m.d.sync += self.cycles.eq(self.cycles + 1)
                with m.If(sequencer.finish):
                    m.d.sync += self.step.eq(self.step + training)
                with m.If(sequencer.finish & sequencer.rest if overlaps else sequencer.finish):
                    m.next = "IDLE"
                if overlaps:
                    with m.If(sequencer.again & command_full & train & ready & label_full):
                        m.d.comb += launch.eq(1)
                        m.d.sync += command_full.eq(0)
            with m.State("LOAD"):
                m.d.comb += [self.i_weight.ready.eq(~stepping), walk.step.eq(stepping)]
                m.d.sync += stepping.eq(self.i_weight.valid & ~stepping)
                with m.If(~stepping):
                    m.d.sync += taken.eq(given)
                with m.Else():
                    m.d.sync += write.eq(walk.word_end)
                    with m.If(walk.chip_end):
                        m.next = "WRITE"
            with m.State("WRITE"):
                m.next = "IDLE"
            with m.State("FETCH"):
                m.d.sync += fetch.eq(fetch - 1)
                with m.If(fetch == 0):
                    m.next = "PICK"
            with m.State("PICK"):
                m.d.comb += walk.step.eq(1)
                m.d.sync += [
                    self.o_weight.payload.eq(word.word_select(walk.lane, weight_width)),
                    self.o_weight.valid.eq(1),
                    word_end.eq(walk.word_end),
                    chip_end.eq(walk.chip_end),
                ]
                m.next = "OFFER"
            with m.State("OFFER"):
                with m.If(self.o_weight.ready):
                    m.d.sync += [self.o_weight.valid.eq(0), fetch.eq(2)]
                    m.next = "PICK"
                    with m.If(word_end):
                        m.next = "FETCH"
                    with m.If(chip_end):
                        m.next = "IDLE"
        m.d.comb += self.busy.eq(sequencer.busy)

        # Range events: lanes of a word, engines and units, and 32 bits are added up in a cycle each.
        for place in ("accumulator", "state", "delta", "weight"):
            makers = {"accumulator": [*engines, *self.units], "weight": []}.get(place, self.units)
            now = [getattr(x, f"events_{place}") for x in makers] + ([slope_event] if place == "delta" else [])
            if place == "weight":  # six lanes and all sixes take a cycle each
                flags = [flag for engine in engines for flag in engine.weight_outside]
                now = [count(flags[i : i + 6]) for i in range(0, len(flags), 6)]
            events = delayed(m, sum(delayed(m, e, 1) for e in now), 1)
            counted = Signal(32, name=f"counted_{place}")
            m.d.sync += counted.eq(counted + events)
            m.d.comb += getattr(self, f"saturations_{place}").eq(counted)
        return m

    def _fill(self, m: Module, store: PureInterface, memory: table.Memory) -> None:
        """Write a copy of stores from the unit whose elements these are."""
        unit, entries = self.units[memory.population - 1], table.entries(self._recipe, memory.population - 1)
        states = memory.format == "state"
        names = [e.mean if states else e.difference for e in entries]
        valid = unit.mean_valid if states else unit.difference_valid
        slots = [memory.stores.index(name) if name in memory.stores else None for name in names]
        m.d.comb += [
            store.valid.eq(valid & choose(unit.out_number, [slot is not None for slot in slots], 1)),
            store.slot.eq(choose(unit.out_number, slots, len(store.slot))),
            store.index.eq(unit.out_index),
            store.value.eq(unit.mean if states else unit.difference),
        ]

    def _feed(self, m: Module, k: int) -> None:
        """Lead the elements of unit k to it, from every engine that makes some; no two make one at a time."""
        r, unit = self._recipe, self.units[k]
        entries = table.entries(r, k)
        random = []
        for e in dict.fromkeys(engine for engine, _ in unit.sources):
            engine, operations = self.engines[e], table.engines(r)[e].operations
            mine = [s.reads and s.unit == k for s in operations]
            coming = engine.crossbar.next_number
            valid = delayed(m, engine.crossbar.next_valid & choose(coming, mine, 1), 1)
            number = delayed(
                m,
                choose(
                    coming,
                    [entries.index(table.entry(r, s)) if here else None for s, here in zip(operations, mine, strict=True)],
                    len(unit.number),
                ),
                1,
            )
            with m.If(valid):
                m.d.comb += [unit.valid.eq(1), unit.number.eq(number), unit.index.eq(engine.sum_index)]
            random.append((delayed(m, valid, 2), engine.random))
        for i, (e, place) in enumerate(unit.sources):
            m.d.comb += getattr(unit, f"value{i}").eq(getattr(self.engines[e], f"value_{place}"))
        if len(random) == 1:
            m.d.comb += unit.random.eq(random[0][1])
        for here, words in random[1:] and random:
            with m.If(here):
                m.d.comb += unit.random.eq(words)
