"""Comparisons with a constant in hardware, each with every value."""

from types import ModuleType

from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator


def wrong(fixed: ModuleType, widest: int = 5) -> list[tuple[int, int, int]]:
    """Return width, limit and value wherever `at_least` of the module `fixed` is not the comparison."""
    m, cases, found = Module(), [], []
    for width in range(1, widest + 1):
        for least in range(-1, (1 << width) + 2):
            value, reached = Signal(width), Signal()
            m.d.comb += reached.eq(fixed.at_least(value, least))
            cases.append((least, value, reached))

    async def play(ctx):
        for least, value, reached in cases:
            for given in range(1 << len(value)):
                ctx.set(value, given)
                if ctx.get(reached) != (given >= least):
                    found.append((len(value), least, given))

    simulation = Simulator(m)
    simulation.add_testbench(play)
    simulation.run()
    return found
