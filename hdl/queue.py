"""A queue of elements, such as the chip's results, that says where another program's still have room."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .families import Platform


class Queue(wiring.Component):
    """First in, first out: an element that enters in cycle c is offered from cycle c + 1 on.

    Who writes sees to it that there is room.

    Members
    -------
    write : In(1)
    value : In(shape)
    o : Out(stream.Signature(shape))
    has_room : Out(1)
        At most `few` elements are taken.
    """

    def __init__(self, shape: ShapeLike, depth: int, few: int):
        self._depth, self._few = depth, few
        super().__init__({"write": In(1), "value": In(shape), "o": Out(stream.Signature(shape)), "has_room": Out(1, init=1)})

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        m.submodules.elements = elements = Memory(shape=self.value.shape(), depth=self._depth, init=[])
        write = elements.write_port()
        read = elements.read_port(domain="comb")

        def advance(pointer: Value) -> Value:
            return Mux(pointer == self._depth - 1, 0, pointer + 1)

        head = Signal(range(self._depth))
        tail = Signal(range(self._depth))
        level = Signal(range(self._depth + 1))
        leaves = self.o.valid & self.o.ready
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(tail),
            write.data.eq(self.value),
            read.addr.eq(head),
            self.o.payload.eq(read.data),
            self.o.valid.eq(level != 0),
        ]
        with m.If(self.write):
            m.d.sync += tail.eq(advance(tail))
        with m.If(leaves):
            m.d.sync += head.eq(advance(head))
        # each outcome for itself: whether an element leaves is known last
        m.d.sync += self.has_room.eq(level <= self._few)
        with m.If(self.write & ~leaves):
            m.d.sync += [level.eq(level + 1), self.has_room.eq(level < self._few)]
        with m.If(leaves & ~self.write):
            m.d.sync += [level.eq(level - 1), self.has_room.eq(level <= self._few + 1)]
        return m
