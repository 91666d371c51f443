"""Frames: bytes of the line to decoded frames and back, COBS with a CRC-32 (contract section 10)."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .families import Platform

POLYNOMIAL = 0xEDB88320
"""Polynomial of CRC-32, lowest power in the highest bit."""
RESIDUE = 0xDEBB20E3
"""Content of the register after a frame and its own CRC."""


class Crc(wiring.Component):
    """CRC-32 of bytes, a bit per cycle: `value` holds for the bytes taken nine cycles ago and before.

    Members
    -------
    restart : In(1)
    take : In(1)
        A byte comes; nine cycles at least lie between two.
    byte : In(8)
    plain : In(1)
        While it is high a byte moves the register down by eight bits, whatever the byte is.
    busy : Out(1)
    value : Out(32)
        The register, before the last inversion.
    """

    def __init__(self) -> None:
        super().__init__(
            {"restart": In(1), "take": In(1), "byte": In(8), "plain": In(1), "busy": Out(1), "value": Out(32, init=0xFFFFFFFF)}
        )
        self.bits = Signal(8, name="bits")
        self.left = Signal(4, name="left")

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        bits, left = self.bits, self.left
        m.d.comb += self.busy.eq(left != 0)
        with m.If(left != 0):
            m.d.sync += [
                left.eq(left - 1),
                bits.eq(bits >> 1),
                self.value.eq((self.value >> 1) ^ Mux((self.value[0] ^ bits[0]) & ~self.plain, POLYNOMIAL, 0)),
            ]
        with m.If(self.take):
            m.d.sync += [bits.eq(self.byte), left.eq(8)]
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
    zero : In(1)
        That byte is zero. Who has the byte knows it a cycle before, so that no way leads through the comparison.
    write : Out(1)
        `decoded` is a byte of the frame.
    decoded : Out(8)
    end : Out(1)
        A frame ends.
    good : Out(1)
        Its blocks are whole and its CRC is right.
    """

    def __init__(self) -> None:
        super().__init__({"take": In(1), "byte": In(8), "zero": In(1), "write": Out(1), "decoded": Out(8), "end": Out(1), "good": Out(1)})
        self.crc = Crc()
        self.left = Signal(9, init=-1, name="left")  # bytes of the block, less one: below zero the next byte is a block's first
        self.empty = Signal(init=1, name="empty")  # nothing of a frame has come
        self.whole = Signal(name="whole")  # the block has 254 bytes, after which no zero is meant
        self.right = Signal(name="right")  # of the CRC, a cycle before

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        m.submodules.crc = crc = self.crc
        left, empty, whole = self.left, self.empty, self.whole
        code = left[-1]
        m.d.comb += [
            self.decoded.eq(Mux(code, 0, self.byte)),
            crc.take.eq(self.write),
            crc.byte.eq(self.decoded),
            crc.restart.eq(self.end),
            self.good.eq(code & self.right),
        ]
        m.d.sync += self.right.eq(crc.value == RESIDUE)
        with m.If(self.take):
            # less one, or less two of a block's first byte
            m.d.sync += left.eq(Mux(code, self.byte, left) + Cat(~code, Const(-1, 8)))
            with m.If(self.zero):
                m.d.comb += self.end.eq(~empty)
                m.d.sync += [left.eq(-1), empty.eq(1)]
            with m.Elif(code):
                m.d.comb += self.write.eq(~empty & ~whole)
                m.d.sync += [whole.eq(self.byte == 255), empty.eq(0)]
            with m.Else():
                m.d.comb += self.write.eq(1)
        return m


class Framer(wiring.Component):
    """A frame in memory to bytes of the line: its CRC is put behind it, and each of its zeros is sent as how far the next one is.

    Two places go through the frame: `ahead` looks for the next zero and takes the CRC on its way, `behind` follows and sends.

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
        bits = range(longest + 2)
        super().__init__(
            {
                "start": In(1),
                "length": In(bits),
                "busy": Out(1),
                "position": Out(bits),
                "read": Out(1),
                "got": In(1),
                "byte": In(8),
                "write": Out(1),
                "wrote": In(1),
                "crc": Out(8),
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        m.submodules.crc = crc = Crc()
        ahead = Signal.like(self.position)
        behind = Signal.like(self.position)  # of what was sent last: the frame begins behind a zero of its own
        end = Signal.like(self.position)
        appended = Signal(3)  # bytes of the CRC
        data = Signal(8)
        last = Signal()  # the block is the frame's last
        full = Signal()  # the block has 254 bytes
        distance = Signal(8)
        met = Signal()  # of the cycle before, so that no read begins with a comparison
        m.d.sync += met.eq(ahead == behind)
        m.d.comb += [
            distance.eq((ahead - behind)[: len(ahead)]),
            self.position.eq(ahead),
            self.busy.eq(1),
            crc.byte.eq(self.byte),
            crc.plain.eq(appended != 0),
            self.crc.eq(~crc.value[:8]),
            self.o.payload.eq(data),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.busy.eq(0), crc.restart.eq(1)]
                m.d.sync += [ahead.eq(0), behind.eq(-1), appended.eq(0), last.eq(0), end.eq(self.length)]
                with m.If(self.start):
                    m.next = "SCAN"
            with m.State("SCAN"):  # to the zero that ends the block, the end, or 254 bytes
                with m.If(~crc.busy):
                    m.next = "READ"
                    with m.If((ahead == end) | crc.plain):
                        m.next = "APPEND"
                    with m.If(appended[2]):
                        m.d.sync += last.eq(1)
                        m.next = "CODE"
                    if self._longest >= 254:
                        with m.If(distance == 255):
                            m.d.sync += [full.eq(1), last.eq(0)]
                            m.next = "CODE"
            with m.State("APPEND"):
                m.d.comb += self.write.eq(~self.wrote)
                with m.If(self.wrote):
                    m.d.sync += appended.eq(appended + 1)
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += [self.read.eq(~self.got), crc.take.eq(self.got)]
                with m.If(self.got):
                    m.next = "CODE"
                    with m.If(self.byte != 0):
                        m.d.sync += ahead.eq(ahead + 1)
                        m.next = "SCAN"
            with m.State("CODE"):
                m.d.sync += data.eq(distance)
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += behind.eq(behind + 1)
                    m.next = "MEET"
                    with m.If(last & met):
                        m.next = "IDLE"
            with m.State("MEET"):
                m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += [self.position.eq(behind), self.read.eq(~met & ~self.got)]
                with m.If(met & last):
                    m.next = "CODE"  # where no byte is left: a zero
                with m.Elif(met):
                    m.next = "SCAN"
                    with m.If(full):  # after which no zero is meant
                        m.d.sync += [behind.eq(behind - 1), full.eq(0)]
                    with m.Else():
                        m.d.sync += ahead.eq(ahead + 1)
                with m.Elif(self.got):
                    m.d.sync += data.eq(self.byte)
                    m.next = "SEND"
        return m
