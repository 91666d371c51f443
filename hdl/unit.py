"""A unit: the neurons of one population, their drives and their dyad, and in the last one the nudge (contract section 7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from amaranth.hdl import Array, Cat, Const, Module, Mux, ShapeLike, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..recipe import BESIDE, CHANGES, FED, RANDOM_BITS, Recipe, geometries, table
from .choose import choose, index_bits, settled
from .delay import delayed
from .families import Platform
from .fixed import limited
from .multiplier import Multiplier
from .neuron import Dyad, gated
from .nudge import Nudge
from .square import Square, needed


class Element(NamedTuple):
    """An element on its way through a unit: its index, its random words and, a cycle before these, the number of its entry."""

    valid: Value
    coming: Value
    index: Value  # type: ignore[assignment]  # a place, not what tuples have under this name
    random: Value

    def later(self, m: Module, cycles: int) -> Element:
        """Return the element that was here some cycles ago."""
        return Element(*(delayed(m, x, cycles) for x in self))

    def number(self, m: Module) -> Value:
        """Return the number of the element that is here."""
        return delayed(m, self.coming, 1)

    def or_later(self, m: Module, waits: Value) -> tuple[Value, Element]:
        """Return whether an element that waits a cycle, which `waits` says as it comes, is here now; and the element that is here."""
        held = self.valid & waits
        here, late = delayed(m, held, 1), self.later(m, 1)
        coming = Mux(held, self.number(m), self.coming)
        return here, Element(self.valid & ~waits | here, coming, Mux(here, late.index, self.index), Mux(here, late.random, self.random))


class Unit(wiring.Component):
    """Elements of reads in, means and differences out, one element a cycle.

    ::

        cycle  z        valid, number, index
               z + 2    values and random words; elements that enter by `drive` or `feedback` go on
               z + 3    those that change what is kept go on
               then     the memories of drives and feedbacks; the last unit: the nudge, 4 cycles, and 1 for a force on the drive
               then     the dyad, 5 cycles

    Parameters
    ----------
    recipe : Recipe
    unit : int
        How elements can enter it is in ``table.entries(recipe, unit)``.

    Members
    -------
    As listed and defined in contract section 7.
    """

    def __init__(self, recipe: Recipe, unit: int):
        if not 0 <= unit < recipe.layers:
            raise ValueError(f"unit {unit}; allowed are 0 to {recipe.layers - 1}")
        self._recipe, self._unit, self._entries = recipe, unit, table.entries(recipe, unit)
        self.is_last = unit == recipe.layers - 1
        turns = recipe.samples_in_flight
        self.labels = ("label",) if turns == 1 else tuple(f"label{n}" for n in range(turns))
        f = recipe.formats
        self.sources = tuple(dict.fromkeys((e.engine, e.place) for e in self._entries))
        accumulator, index = signed(f.accumulator.width), index_bits(recipe.sizes[unit + 1])
        number = index_bits(len(self._entries))
        super().__init__(
            {
                "valid": In(1),
                "number": In(number),
                "index": In(index),
                **{f"value{i}": In(accumulator) for i in range(len(self.sources))},
                "random": In(3 * RANDOM_BITS),
                "mean_valid": Out(1),
                "difference_valid": Out(1),
                "out_number": Out(number),
                "out_index": Out(index),
                "mean": Out(signed(f.state.width)),
                "difference": Out(signed(f.delta.width)),
                "drive_write": Out(1),
                "drive_index": Out(index),
                "drive_value": Out(accumulator),
                "events_accumulator": Out(3),
                "events_state": Out(1),
                "events_delta": Out(1),
                **({name: In(index) for name in self.labels} if self.is_last else {}),
                **({"loss": Out(signed(geometries(recipe)[-1].loss_width))} if self.is_last else {}),
            }
        )

    def _of(
        self,
        m: Module,
        element: Element,
        value: Callable[..., int],
        shape: ShapeLike | None = None,
        only: Callable[..., object] | None = None,
    ) -> Value:
        """Return ``value(entry)`` of an element, a register; `only` says which entries it matters to."""
        return settled(m, self._by(element.coming, value, shape, only))

    def _by(
        self, number: Value, value: Callable[..., int], shape: ShapeLike | None = None, only: Callable[..., object] | None = None
    ) -> Value:
        """Choose ``value(entry)`` by the number of the entry."""
        return choose(number, [None if only and not only(e) else value(e) for e in self._entries], shape)

    def _is(self, m: Module, element: Element, value: Callable[..., object]) -> Value:
        """Return one bit of an element, a register."""
        return self._of(m, element, lambda e: bool(value(e)), 1)

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        r, f, entries = self._recipe, self._recipe.formats, self._entries
        wide = f.accumulator.width

        def fit(value: Value) -> tuple[Value, Value]:
            return limited(value, wide, r.overflow.accumulator)

        events: list[Value] = []
        # z: the drive and the feedback that are there are looked up
        known: Value = Const(0, signed(wide))  # what is recalled, a cycle early
        drive_slot = Signal(index_bits(table.drive_slots(r, self._unit)))
        if any(e.keep_drive for e in entries):
            known = self._memory(
                m,
                "drives",
                self.drive_write,
                self.drive_value,
                any(e.enter != "drive" for e in entries),
                table.drive_slots(r, self._unit),
                drive_slot,
            )
        keeps = Signal()
        kept = Signal(signed(wide))
        fed: Value = Const(0, signed(wide))
        if any(e.keep_feedback for e in entries):
            fed = self._memory(m, "feedbacks", keeps, kept, any(e.enter in FED for e in entries))
        recalled, fed = delayed(m, known, 1), delayed(m, fed, 1)

        # z + 2: values
        element = Element(delayed(m, self.valid, 2), delayed(m, self.number, 1), delayed(m, self.index, 2), self.random)
        a: Value = Const(0, signed(wide))
        b: Value = a
        if any(e.enter == "drive" for e in entries):
            a = self._value(m, element, "drive")
        if any(e.enter == "feedback" for e in entries):
            beside = self._is(m, element, lambda e: e.enter == "feedback")
            a, b = Mux(beside, recalled, a), Mux(beside, self._value(m, element, "feedback"), 0)

        # z + 3: sums with the drive; feedback on its way to what comes back
        changed = {e.enter for e in entries} & set(CHANGES)
        if changed:
            now = element
            here, element = now.or_later(m, self._is(m, now, lambda e: e.enter in changed))
            late = now.later(m, 1)
            late_a: Value = Const(0, signed(wide))
            late_b: Value = late_a
            if changed & {"more", "less"}:
                y = self._value(m, now, "more", "less")
                negative = self._of(m, now, lambda e: e.enter == "less", 1, lambda e: e.enter in ("more", "less"))
                added, out = fit(Mux(negative, recalled - y, recalled + y))
                late_a = delayed(m, added, 1)
                events.append(here & self._is(m, late, lambda e: e.enter in ("more", "less")) & delayed(m, out, 1))
            if "relax" in changed:
                relaxes = self._is(m, late, lambda e: e.enter == "relax")
                way = self._value(m, now, "relax") - fed
                leaks = sorted({e.leak for e in entries if e.enter == "relax"})
                nearer = (fed + (way >> leaks[0]))[:wide].as_signed()
                for leak in leaks[1:]:
                    slower = self._of(m, now, lambda e, leak=leak: e.leak == leak, 1, lambda e: e.enter == "relax")
                    nearer = Mux(slower, (fed + (way >> leak))[:wide].as_signed(), nearer)
                late_a, late_b = Mux(relaxes, delayed(m, recalled, 1), late_a), Mux(relaxes, delayed(m, nearer, 1), 0)
            if "gather" in changed:
                gathers = self._is(m, late, lambda e: e.enter == "gather")
                total, out = fit(fed + gated(m, r.pieces(self._unit), known, self._value(m, now, "gather")))
                late_a, late_b = Mux(gathers, delayed(m, recalled, 1), late_a), Mux(gathers, delayed(m, total, 1), late_b)
                events.append(here & gathers & delayed(m, out, 1))
            a, b = Mux(here, late_a, a), Mux(here, late_b, b)
        m.d.comb += [
            self.drive_write.eq(element.valid & self._is(m, element, lambda e: e.keep_drive)),
            self.drive_index.eq(element.index),
            self.drive_value.eq(a),
            drive_slot.eq(self._of(m, element, lambda e: e.slot, len(drive_slot), lambda e: e.keep_drive)),
            keeps.eq(element.valid & self._is(m, element, lambda e: e.keep_feedback)),
            kept.eq(b),
        ]
        if self.is_last:
            element, a, b = self._push(m, element, a, b, fit, events, platform)

        # the dyad
        errors = table.errors(r, self._unit)
        moves = tuple(dict.fromkeys(e.moved for e in entries if e.mean or e.result)) or (False,)
        m.submodules.dyad = dyad = Dyad(r, self._unit, errors, moves)
        if len(moves) > 1:
            m.d.comb += dyad.moved.eq(self._of(m, element, lambda e: e.moved, 1, lambda e: e.mean or e.result))
        leaves = element.later(m, dyad.LATENCY)
        random = delayed(m, element.random, 3)
        m.d.comb += [
            dyad.a.eq(a),
            dyad.b.eq(b),
            dyad.error.eq(self._of(m, element, lambda e: errors.index(e.error), len(dyad.error), lambda e: e.difference or e.moved)),
            dyad.random_state.eq(random[:RANDOM_BITS]),
            dyad.random_delta.eq(random[RANDOM_BITS : 2 * RANDOM_BITS]),
            self.mean_valid.eq(leaves.valid & self._is(m, leaves, lambda e: e.mean or e.result)),
            self.difference_valid.eq(leaves.valid & self._is(m, leaves, lambda e: e.difference)),
            self.out_number.eq(leaves.number(m)),
            self.out_index.eq(leaves.index),
            self.mean.eq(dyad.mean),
            self.difference.eq(dyad.difference),
            self.events_accumulator.eq(sum(events, Const(0))),
            self.events_state.eq(self.mean_valid & dyad.mean_out_of_range),
            self.events_delta.eq(self.difference_valid & dyad.difference_out_of_range),
        ]
        return m

    def _memory(self, m: Module, name: str, write: Value, value: Value, recalls: bool, slots: int = 1, slot: Value | None = None) -> Value:
        """Add a memory of an element for each neuron, written at the drive; return what it holds for the element of the cycle before.

        Where samples take turns it has `slots` of them, and `slot` says which is written.
        """
        count = max(2, self._recipe.sizes[self._unit + 1])
        m.submodules[name] = memory = Memory(shape=value.shape(), depth=count if slots == 1 else slots << len(self.index), init=[])
        writes = memory.write_port()
        reads = memory.read_port()
        m.d.comb += [writes.en.eq(write), writes.addr.eq(self.drive_index), writes.data.eq(value), reads.addr.eq(self.index)]
        if slot is not None and slots > 1:
            read = self._by(self.number, lambda e: e.slot, len(slot), lambda e: e.enter != "drive")
            m.d.comb += [writes.addr.eq(Cat(self.drive_index, slot)), reads.addr.eq(Cat(self.index, read))]
        return reads.data if recalls else Const(0, value.shape())

    def _value(self, m: Module, element: Element, *enters: str) -> Value:
        """Return the value of an element that enters in one of the ways `enters`, from where it comes."""
        mine = [e for e in self._entries if e.enter in enters]
        used = list(dict.fromkeys((e.engine, e.place) for e in mine))
        picked: Value = getattr(self, f"value{self.sources.index(used[0])}")
        for source in used[1:]:
            here = self._of(m, element, lambda e, source=source: (e.engine, e.place) == source, 1, lambda e: e in mine)
            picked = Mux(here, getattr(self, f"value{self.sources.index(source)}"), picked)
        return picked

    def _push(
        self,
        m: Module,
        element: Element,
        a: Value,
        b: Value,
        fit: Callable[[Value], tuple[Value, Value]],
        events: list[Value],
        platform: Platform | None,
    ) -> tuple[Element, Value, Value]:
        """Nudge, loss and the label's force on elements that reach the last unit's drive: what goes to the dyad."""
        r, entries = self._recipe, self._entries
        m.submodules.nudge = nudge = Nudge(r)
        labels = Array(getattr(self, name) for name in self.labels)
        target = element.index == labels[self._of(m, element, lambda e: e.turn, index_bits(len(labels)))]
        m.d.comb += [
            nudge.a.eq(a),
            nudge.target.eq(target),
            nudge.random.eq(delayed(m, element.random[2 * RANDOM_BITS :], 2)),
            nudge.negative.eq(self._of(m, element, lambda e: e.negative, 1, lambda e: e.force)),
        ]
        here = element.later(m, 4)
        a, b = delayed(m, a, 4), delayed(m, b, 4)
        self._loss(m, nudge.error, here, platform)
        forces = {e.force for e in entries}
        if forces & {"feedback", "drive"}:
            events.append(here.valid & self._is(m, here, lambda e: e.force in ("feedback", "drive")) & nudge.b_out_of_range)
        if "feedback" in forces:
            push = self._is(m, here, lambda e: e.force == "feedback")
            if any(e.force == "feedback" and e.enter in BESIDE for e in entries):
                pushed, out = fit(b + nudge.b)
                events.append(here.valid & push & out)
                b = Mux(push, pushed, b)
            else:
                b = Mux(push, nudge.b, b)
        if "clamp" in forces:
            on, off = (Const(r.target(t), signed(len(nudge.a))) for t in (True, False))
            a = Mux(self._is(m, here, lambda e: e.force == "clamp"), Mux(delayed(m, target, 4), on, off), a)
        if "drive" in forces:
            pushed, out = fit(a + nudge.b)
            driven, here = here.or_later(m, self._is(m, here, lambda e: e.force == "drive"))
            events.append(driven & delayed(m, out, 1))
            a, b = Mux(driven, delayed(m, pushed, 1), a), Mux(driven, delayed(m, b, 1), b)
        return here, a, b

    def _loss(self, m: Module, error: Value, here: Element, platform: Platform | None) -> None:
        """The loss register: the error is there two cycles before `here`, its square with it."""
        if needed(self._recipe, platform):
            square: wiring.Component = Square(self._recipe.error_bits)
        else:
            square = Multiplier(len(error), len(error))
            m.d.comb += square.b.eq(error)
        m.submodules.square = square
        m.d.comb += square.a.eq(error)

        zero, subtract, add = (self._is(m, here, lambda e, what=what: e.loss == what) for what in ("zero", "subtract", "set"))
        with m.If(here.valid):
            with m.If(zero):
                m.d.sync += self.loss.eq(0)
            with m.Elif(subtract):
                m.d.sync += self.loss.eq(self.loss - square.product)
            with m.Elif(add):
                m.d.sync += self.loss.eq(Mux(here.index == 0, 0, self.loss) + square.product)
