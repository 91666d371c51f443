"""Frames: bytes of the line to decoded frames and back, COBS with a CRC-32 (contract section 10)."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .families import Platform

POLYNOMIAL = 0xEDB88320
"""Of CRC-32, lowest power in the highest bit."""
RESIDUE = 0xDEBB20E3
"""What the register holds after a frame and its own CRC."""


class Crc(wiring.Component):
    """CRC-32 of bytes, a bit per cycle: `value` holds for the bytes taken nine cycles ago and before.

    Members
    -------
    restart : In(1)
    take : In(1)
        A byte comes; nine cycles at least lie between two.
    byte : In(8)
    shift : In(1)
        Instead of a byte: move the register down by eight bits.
    busy : Out(1)
    value : Out(32)
        The register, before the last inversion.
    """

    def __init__(self) -> None:
        super().__init__({
            "restart": In(1), "take": In(1), "byte": In(8), "shift": In(1), "busy": Out(1), "value": Out(32, init=0xFFFFFFFF),
        })
        self.bits = Signal(8, name="bits")
        self.left = Signal(4, name="left")
        self.plain = Signal(name="plain")

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        bits, left, plain = self.bits, self.left, self.plain
        m.d.comb += self.busy.eq(left != 0)
        with m.If(left != 0):
            m.d.sync += [
                left.eq(left - 1), bits.eq(bits >> 1),
                self.value.eq((self.value >> 1) ^ Mux((self.value[0] ^ bits[0]) & ~plain, POLYNOMIAL, 0)),
            ]
        with m.If(self.take | self.shift):
            m.d.sync += [bits.eq(self.byte), left.eq(8), plain.eq(self.shift)]
        with m.If(self.restart):
            m.d.sync += [self.value.eq(0xFFFFFFFF), left.eq(0)]
        return m


class Deframer(wiring.Component):
    """Bytes of the line to decoded bytes, and a verdict at the zero that ends a frame.

    It takes a byte at any time: nothing can make it wait.

    Members
    -------
    take : In(1)
        A byte comes; ten cycles at least lie between two.
    byte : In(8)
    write : Out(1)
        `decoded` is a byte of the frame.
    decoded : Out(8)
    end : Out(1)
        A frame ends.
    good : Out(1)
        Its blocks are whole and its CRC is right.
    """

    def __init__(self) -> None:
        super().__init__({
            "take": In(1), "byte": In(8), "write": Out(1), "decoded": Out(8), "end": Out(1), "good": Out(1),
        })
        self.crc = Crc()
        self.left = Signal(8, name="left")               # bytes of the block
        self.empty = Signal(init=1, name="empty")        # nothing of a frame has come
        self.whole = Signal(name="whole")                # the block has 254 bytes, after which no zero is meant

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        m.submodules.crc = crc = self.crc
        left, empty, whole = self.left, self.empty, self.whole
        m.d.comb += [
            self.decoded.eq(Mux(left == 0, 0, self.byte)),
            crc.take.eq(self.write), crc.byte.eq(self.decoded), crc.restart.eq(self.end),
            self.good.eq((left == 0) & (crc.value == RESIDUE)),
        ]
        with m.If(self.take):
            with m.If(self.byte == 0):
                m.d.comb += self.end.eq(~empty)
                m.d.sync += [left.eq(0), empty.eq(1)]
            with m.Elif(left == 0):
                m.d.comb += self.write.eq(~empty & ~whole)
                m.d.sync += [left.eq(self.byte - 1), whole.eq(self.byte == 255), empty.eq(0)]
            with m.Else():
                m.d.comb += self.write.eq(1)
                m.d.sync += left.eq(left - 1)
        return m


class Framer(wiring.Component):
    """A frame in memory to bytes of the line: its CRC is put behind it, then it is sent in blocks.

    Parameters
    ----------
    longest : int
        Bytes of the longest frame, its CRC included.

    Members
    -------
    start : In(1)
    length : In
        Bytes of the frame without its CRC.
    busy : Out(1)
    read, write : Out(1)
        Ask for the byte at `position`, which comes as `byte` with `got`; put `crc` there, done with `wrote`.
    o : Out(stream of 8 bits)
    """

    def __init__(self, longest: int):
        self._longest = longest
        bits = range(longest + 1)
        super().__init__({
            "start": In(1), "length": In(bits), "busy": Out(1), "position": Out(bits),
            "read": Out(1), "got": In(1), "byte": In(8), "write": Out(1), "wrote": In(1), "crc": Out(8),
            "o": Out(stream.Signature(8)),
        })

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        m.submodules.crc = crc = Crc()
        at = self.position
        begin = Signal.like(self.position)
        end = Signal.like(self.position)
        count = Signal(8, init=1)
        tail = Signal(2)
        data = Signal(8)
        # of blocks: the frame's last, one of 254 bytes
        last = Signal()
        full = Signal()
        beyond = at + ~full if self._longest >= 254 else at + 1
        m.d.comb += [self.o.payload.eq(data), crc.byte.eq(self.byte), self.busy.eq(1), self.crc.eq(~crc.value[:8])]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.busy.eq(0), crc.restart.eq(1)]
                m.d.sync += [at.eq(0), tail.eq(0)]
                with m.If(self.start):
                    m.d.sync += end.eq(self.length)
                    m.next = "CHECK"
            with m.State("CHECK"):
                with m.If(~crc.busy & (at == end)):
                    m.next = "APPEND"
                with m.Elif(~crc.busy):
                    m.d.comb += [self.read.eq(~self.got), crc.take.eq(self.got)]
                    with m.If(self.got):
                        m.d.sync += at.eq(at + 1)
            with m.State("APPEND"):
                m.d.comb += [self.write.eq(~crc.busy), crc.shift.eq(self.wrote)]
                with m.If(self.wrote):
                    m.d.sync += [at.eq(at + 1), tail.eq(tail + 1)]
                    with m.If(tail == 3):
                        m.d.sync += [end.eq(at + 1), begin.eq(0), at.eq(0), count.eq(1)]
                        m.next = "SCAN"
            with m.State("SCAN"):         # to the zero that ends the block, the end, or 254 bytes
                brimming = (count == 255) if self._longest >= 254 else 0
                m.d.comb += self.read.eq((at != end) & ~self.got & ~brimming)
                with m.If((at == end) | brimming | (self.got & (self.byte == 0))):
                    m.d.sync += [at.eq(begin), last.eq((at == end) & ~brimming), full.eq(brimming), data.eq(count)]
                    m.next = "CODE"
                with m.Elif(self.got):
                    m.d.sync += [at.eq(at + 1), count.eq(count + 1)]
            with m.State("CODE"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "FETCH"
            with m.State("FETCH"):
                with m.If(count == 1):
                    # the zero itself is not sent
                    m.d.sync += [begin.eq(beyond), at.eq(beyond)]
                    m.next = "SCAN"
                    with m.If(last):
                        m.d.sync += data.eq(0)
                        m.next = "END"
                with m.Else():
                    m.d.comb += self.read.eq(~self.got)
                    with m.If(self.got):
                        m.d.sync += data.eq(self.byte)
                        m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += [at.eq(at + 1), count.eq(count - 1)]
                    m.next = "FETCH"
            with m.State("END"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "IDLE"
        return m


