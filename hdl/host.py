"""Host: the chip's streams over one serial line (contract section 10)."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..recipe import Recipe
from .chip import Chip

COMMAND, SAMPLE, LABEL, WEIGHT, REPORT = range(5)
"""Tags of frames to the chip."""
RESULT, RESULT_LAST, WEIGHT_BACK, REPORT_BACK = 0x80, 0x81, 0x82, 0x83
"""Tags of frames from the chip."""


def bytes_of(bits: int) -> int:
    """Bytes that hold `bits` bits."""
    return -(-bits // 8)


class Receiver(wiring.Component):
    """Serial line to bytes, 8N1, sampled in the middle of each bit.

    Members
    -------
    rx : In(1)
    o : Out(stream of 8 bits)
        A byte that is not taken before the next one arrives is lost.
    """

    def __init__(self, divisor: int):
        self._divisor = divisor
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        line = Signal(3, init=7)      # two stages against metastability, one to see the edge
        m.d.sync += line.eq(Cat(self.rx, line))
        timer, left, bits = Signal(range(2 * self._divisor)), Signal(range(10)), Signal(8)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(left == 0):
            with m.If(~line[1] & line[2]):
                m.d.sync += [left.eq(9), timer.eq(self._divisor + self._divisor // 2 - 1)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [left.eq(left - 1), timer.eq(self._divisor - 1), bits.eq(Cat(bits[1:], line[1]))]
            with m.If(left == 1):      # the stop bit
                m.d.sync += [self.o.payload.eq(bits), self.o.valid.eq(line[1])]
        return m


class Transmitter(wiring.Component):
    """Bytes to the serial line, 8N1."""

    def __init__(self, divisor: int):
        self._divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        timer, left, bits = Signal(range(self._divisor)), Signal(range(11)), Signal(10, init=0x3FF)
        idle = Signal(init=1)        # a register: what hangs on it is spread over the whole device
        m.d.comb += [self.i.ready.eq(idle), self.tx.eq(bits[0])]
        with m.If(idle):
            with m.If(self.i.valid):
                m.d.sync += [
                    bits.eq(Cat(Const(0, 1), self.i.payload, Const(1, 1))), left.eq(10), timer.eq(self._divisor - 1), idle.eq(0),
                ]
        with m.Else():
            m.d.sync += timer.eq(timer - 1)
            with m.If(timer == 0):
                m.d.sync += [
                    timer.eq(self._divisor - 1), left.eq(left - 1), bits.eq(Cat(bits[1:], Const(1, 1))), idle.eq(left == 1),
                ]
        return m


class Host(wiring.Component):
    """A chip behind a serial line: frames of one tag byte and a payload, low byte first (contract section 10).

    Parameters
    ----------
    recipe : Recipe
    divisor : int
        Clock cycles per bit of the line, at least 4.

    Members
    -------
    rx : In(1)
    tx : Out(1)
    busy : Out(1)
        The chip runs a program.
    """

    def __init__(self, recipe: Recipe, divisor: int):
        if divisor < 4:
            raise ValueError(f"divisor: {divisor} clock cycles per bit; allowed is 4 or more (a slower line or a faster clock)")
        self._recipe, self._divisor = recipe, divisor
        self.chip = Chip(recipe)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "busy": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.chip = chip = self.chip
        m.submodules.receiver = receiver = Receiver(self._divisor)
        m.submodules.transmitter = transmitter = Transmitter(self._divisor)
        m.d.comb += [receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx), self.busy.eq(chip.busy)]
        report = Cat(chip.cycles, chip.step, chip.rate, Const(0, 8 - len(chip.rate)), chip.saturations_accumulator,
                     chip.saturations_state, chip.saturations_delta, chip.saturations_weight,
                     chip.loss, chip.loss[-1].replicate(-len(chip.loss) % 8))

        # frames in: collect the payload, then offer it to the stream of its tag
        inputs = {COMMAND: chip.i_command, SAMPLE: chip.i_sample, LABEL: chip.i_label, WEIGHT: chip.i_weight}
        needs = {COMMAND: 2} | {tag: bytes_of(len(inputs[tag].p)) for tag in (SAMPLE, LABEL, WEIGHT)}
        width = 8 * max(needs.values())
        payload, tag, missing = Signal(width), Signal(3), Signal(range(max(needs.values()) + 1))
        full, asked = Signal(), Signal()
        byte = receiver.o
        with m.If(full):
            with m.Switch(tag):
                for number, port in inputs.items():
                    with m.Case(number):
                        start = width - 8 * needs[number]       # bytes enter at the top
                        value = payload[start:]
                        if number == COMMAND:
                            m.d.comb += [port.p.code.eq(value[:8]), port.p.operand.eq(value[8:16])]
                        else:
                            m.d.comb += port.p.eq(value)
                        m.d.comb += port.valid.eq(1)
                        with m.If(port.ready):
                            m.d.sync += full.eq(0)
        with m.Else():
            m.d.comb += byte.ready.eq(1)
            with m.If(byte.valid & (missing == 0)):
                m.d.sync += tag.eq(byte.p)
                with m.Switch(byte.p):
                    for number, count in needs.items():
                        with m.Case(number):
                            m.d.sync += missing.eq(count)
                    with m.Case(REPORT):
                        m.d.sync += asked.eq(1)
            with m.Elif(byte.valid):
                m.d.sync += [payload.eq(Cat(payload[8:], byte.p)), missing.eq(missing - 1), full.eq(missing == 1)]

        # frames out: one at a time, results first
        outputs = [
            (chip.o_result.valid, Mux(chip.o_result.p.last, RESULT_LAST, RESULT), chip.o_result.p.value),
            (chip.o_weight.valid, Const(WEIGHT_BACK, 8), chip.o_weight.p),
            (asked, Const(REPORT_BACK, 8), report),
        ]
        longest = max(bytes_of(len(v)) for _, _, v in outputs) + 1
        frame, left = Signal(8 * longest), Signal(range(longest + 1))
        # the choice is registered, so that the chip's ready does not hang on the line's state in the same cycle
        taking = Signal(len(outputs))
        m.d.comb += [
            transmitter.i.payload.eq(frame[:8]), transmitter.i.valid.eq(left != 0),
            chip.o_result.ready.eq(taking[0]), chip.o_weight.ready.eq(taking[1]),
        ]
        with m.If(left != 0):
            with m.If(transmitter.i.ready):
                m.d.sync += [frame.eq(frame >> 8), left.eq(left - 1)]
        with m.Elif(~taking.any()):
            for i, (valid, _, _) in enumerate(outputs):
                others = Cat(v for v, _, _ in outputs[:i]).any() if i else 0
                m.d.sync += taking[i].eq(valid & ~others)
        for i, (_, head, value) in enumerate(outputs):
            with m.If(taking[i]):
                padded = Cat(value, value[-1].replicate(-len(value) % 8)) if i < 2 else value
                m.d.sync += [frame.eq(Cat(head, padded)), left.eq(1 + bytes_of(len(value))), taking.eq(0)]
                if i == 2:
                    m.d.sync += asked.eq(0)
        return m
