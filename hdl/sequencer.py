"""The sequencer: plays a program, a table of (cycle, engine, operation) (contract section 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..recipe import FREE, POSITION_BITS, Recipe, clog2, program_memory, programs, repeats, table
from .choose import choose, index_bits
from .families import Platform


class Sequencer(wiring.Component):
    """Starts each operation in exactly its program cycle. No handshakes: every length is known in advance.

    Parameters
    ----------
    recipe : Recipe

    Members
    -------
    launch : In(1)
        Program cycle 0 is the next cycle.
    train : In(1)
        With `launch`: run the training program, else infer.
    busy : Out(1)
        Program cycles 0 .. length - 1.
    finish : Out(1)
        Program cycle length - 1.
    start : Out
        One bit per engine.
    number : Out
        Of the operation, in its engine's table.
    pc : Out(12)
        Position in the program memory of the instruction that starts.
    turn : In
        Where several samples may be under way, as what follows: that of the program launched last.
    again : Out(1)
        A training program may be launched, while one runs.
    spare : Out(1)
        From the next cycle on nobody reads the next slot of the sample.
    rest : Out(1)
        With `finish`: no other program runs.
    """

    def __init__(self, recipe: Recipe):
        self._recipe, self._engines = recipe, table.engines(recipe)
        self._number = index_bits(max(len(e.operations) for e in self._engines))
        self._overlaps = recipe.samples_in_flight > 1
        super().__init__(
            {
                "launch": In(1),
                "train": In(1),
                "busy": Out(1),
                "finish": Out(1),
                "start": Out(len(self._engines)),
                "number": Out(self._number),
                "pc": Out(POSITION_BITS),
                **(
                    {"turn": In(clog2(recipe.samples_in_flight)), "again": Out(1), "spare": Out(1), "rest": Out(1)}
                    if self._overlaps
                    else {}
                ),
            }
        )

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        (self._one_after_the_other if not self._overlaps else self._several_at_a_time)(m)
        return m

    def _fetch(self, m: Module, row: StructLayout, rows: list[dict[str, int]]) -> tuple[Signal, Any]:
        """Return an address of the program memory and its row, which is there a cycle later."""
        m.submodules.instructions = memory = Memory(shape=row, depth=len(rows), init=rows)
        read = memory.read_port(domain="comb")
        address = Signal(range(len(rows)), name="address")
        fetched = Signal(row, name="fetched")
        m.d.comb += read.addr.eq(address)
        m.d.sync += fetched.eq(read.data)
        return address, fetched

    def _one_after_the_other(self, m: Module) -> None:
        """Play the rows of a program; the last one of a block goes back to its first until it has been played often enough."""
        infer, train = programs(self._recipe)
        folded = repeats.rows([infer, train] if self._recipe.learns else [infer])
        lengths = [p.length - repeats.taken(rows) for p, rows in zip((infer, train), (folded[0], folded[-1]), strict=True)]
        rows = [row for listed in folded for row in listed]
        blocks = tuple(dict.fromkeys(row.block for row in rows if row.block))
        now = Signal(range(max(lengths) + 1))
        layout = StructLayout(
            {
                "before": now.shape(),  # the cycle before the instruction's
                "engine": unsigned(index_bits(len(self._engines))),
                "number": self._number,
                "block": unsigned(len(blocks).bit_length()),  # that ends with the row, from 1 on
            }
        )
        init = [
            {
                "before": row.cycle - 1,
                "engine": (e := row.instruction.engine),
                "number": self._engines[e].operations.index(row.instruction.step),
                "block": 1 + blocks.index(row.block) if row.block else 0,
            }
            for row in rows
        ]
        init.append({"before": max(lengths)})
        address, fetched = self._fetch(m, layout, init)
        position = address if not blocks else Signal(POSITION_BITS)
        last = Signal(now.shape())  # program cycle length - 2
        match = self.busy & (now == fetched.before)

        m.d.sync += [now.eq(now + 1), self.start.eq(0)]
        with m.If(match):
            m.d.sync += [address.eq(address + 1), self.pc.eq(position), self.start.eq(1 << fetched.engine), self.number.eq(fetched.number)]
            if blocks:
                m.d.sync += position.eq(position + 1)
                self._repeat(m, fetched.block, blocks, address, now)
        m.d.sync += self.finish.eq(self.busy & (now == last))
        with m.If(self.finish):
            m.d.sync += self.busy.eq(0)
        with m.If(self.launch):
            m.d.sync += [
                self.busy.eq(1),
                now.eq(0),
                address.eq(Mux(self.train, len(rows) - len(folded[-1]), 0)),
                last.eq(Mux(self.train, lengths[1], lengths[0]) - 2),
            ]
            if blocks:
                m.d.sync += position.eq(Mux(self.train, program_memory(self._recipe)[1], 0))

    def _repeat(self, m: Module, number: Value, blocks: Sequence[repeats.Block], address: Signal, now: Signal) -> None:
        """Go back from a block's last row, 1 + its place in `blocks`, while it has been played too few times."""
        left = Signal(range(max(b.times for b in blocks) + 1))  # of the block that is played: this time and those after it; 0: none is
        back = choose(number, [None, *(b.rows for b in blocks)])
        period = choose(number, [None, *(b.period for b in blocks)])
        times = choose(number, [None, *(b.times for b in blocks)])
        with m.If(number.any()):
            with m.If(left == 1):
                m.d.sync += left.eq(0)
            with m.Else():
                m.d.sync += [left.eq(Mux(left == 0, times, left - 1)), address.eq(address + 1 - back), now.eq(now + 1 - period)]

    def _several_at_a_time(self, m: Module) -> None:
        """Count cycles within the interval: a bit for each interval of a program's length says whether a sample is in it."""
        instructions, train_address = program_memory(self._recipe)
        infer, train = programs(self._recipe)
        flight, stages = self._recipe.samples_in_flight, train.in_flight
        never = max(infer.length, train.period)
        now = Signal(range(never + 1))
        row = StructLayout(
            {
                "before": now.shape(),
                "stage": unsigned(index_bits(stages)),
                "engine": unsigned(index_bits(len(self._engines))),
                "number": self._number - clog2(flight),
                "pc": POSITION_BITS,
            }
        )
        rows = []
        for pc, i in enumerate(instructions):
            stage, cycle = divmod(i.cycle, train.period if pc >= train_address else never)
            rows.append(
                {
                    "before": cycle - 1,
                    "stage": stage,
                    "engine": i.engine,
                    "pc": pc,
                    "number": self._engines[i.engine].operations.index(i.step) // flight,
                }
            )
        rows[train_address:] = sorted(rows[train_address:], key=lambda r: r["before"])
        rows.append({"before": never})
        address, fetched = self._fetch(m, row, rows)
        here = Signal(stages)  # by interval: a sample is in it
        turns = [self.turn, *(Signal(len(self.turn), name=f"turn{n}") for n in range(1, stages))]
        trains = Signal()
        again = Signal()  # the last cycle of an interval of a training program

        m.d.comb += [self.busy.eq(here.any()), self.again.eq(again & here[0])]
        m.d.sync += [now.eq(now + 1), self.start.eq(0)]
        with m.If(self.busy & (now == fetched.before)):
            m.d.sync += [
                address.eq(address + 1),
                self.pc.eq(fetched.pc),
                self.start.eq(Mux(Array(here)[fetched.stage], 1 << fetched.engine, 0)),
                self.number.eq(Cat(Array(turns)[fetched.stage], fetched.number)),
            ]
        last, residue = divmod(train.length - 1, train.period)
        ending = Signal()  # the cycle of the interval in which training programs end
        inferred = Signal()  # the last cycle of inference
        others = here & ~Mux(trains, 1 << last, 1)
        m.d.sync += [
            ending.eq(self.busy & trains & (now == (residue - 1) % train.period)),
            inferred.eq(self.busy & ~trains & (now == infer.length - 2)),
        ]
        m.d.comb += [self.finish.eq(inferred | ending & here[last]), self.rest.eq(~others.any())]
        m.d.sync += [
            self.spare.eq(here[0] & (now == FREE - 2)),
            again.eq(self.busy & trains & (now == train.interval - 2) if train.interval else 0),
        ]
        with m.If(self.finish):
            m.d.sync += here.eq(others)
        with m.If(again):
            m.d.sync += [now.eq(0), here.eq(here << 1), address.eq(train_address)]
            m.d.sync += [after.eq(before) for before, after in zip(turns, turns[1:], strict=False)]
        with m.If(self.launch):
            m.d.sync += [here[0].eq(1), trains.eq(self.train), now.eq(0), address.eq(Mux(self.train, train_address, 0))]
