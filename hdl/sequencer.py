"""The sequencer: plays a program, a table of (cycle, engine, operation) (contract section 8)."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..recipe import POSITION_BITS, Recipe, program_memory, programs, table
from .choose import index_bits


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
    """

    def __init__(self, recipe: Recipe):
        self._recipe, self._engines = recipe, table.engines(recipe)
        self._number = index_bits(max(len(e.operations) for e in self._engines))
        super().__init__({
            "launch": In(1), "train": In(1), "busy": Out(1), "finish": Out(1),
            "start": Out(len(self._engines)), "number": Out(self._number), "pc": Out(POSITION_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        instructions, train_address = program_memory(self._recipe)
        infer, train = programs(self._recipe)
        never = max(infer.length, train.length)
        now = Signal(range(never + 1))
        instruction = StructLayout({
            "before": now.shape(),       # the cycle before the instruction's
            "engine": unsigned(index_bits(len(self._engines))), "number": self._number,
        })
        rows = [{"before": i.cycle - 1, "engine": i.engine, "number": self._engines[i.engine].operations.index(i.step)}
                for i in instructions]
        rows.append({"before": never})
        m.submodules.instructions = memory = Memory(shape=instruction, depth=len(rows), init=rows)
        read = memory.read_port(domain="comb")
        address, fetched = Signal(range(len(rows))), Signal(instruction)
        last = Signal(now.shape())      # program cycle length - 2
        match = self.busy & (now == fetched.before)

        m.d.comb += read.addr.eq(address)
        m.d.sync += [fetched.eq(read.data), now.eq(now + 1), self.start.eq(0)]
        with m.If(match):
            m.d.sync += [
                address.eq(address + 1), self.pc.eq(address),
                self.start.eq(1 << fetched.engine), self.number.eq(fetched.number),
            ]
        m.d.sync += self.finish.eq(self.busy & (now == last))
        with m.If(self.finish):
            m.d.sync += self.busy.eq(0)
        with m.If(self.launch):
            m.d.sync += [
                self.busy.eq(1), now.eq(0), address.eq(Mux(self.train, train_address, 0)),
                last.eq(Mux(self.train, train.length, infer.length) - 2),
            ]
        return m
