"""The replies to frames: what the chip gives, its registers, or why a frame was not taken (contract section 10)."""

from __future__ import annotations

import functools
import operator

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..recipe import Recipe
from ..recipe.link import ERROR, REPLY, STATUS, Link, Tag
from .chip import Chip
from .families import Platform
from .link import ReplyPort

SETTLED = 4
"""Cycles without a result after a program that say that all have come."""


class Replies(wiring.Component):
    """The writer of replies: one for each frame that was fed.

    Parameters
    ----------
    recipe : Recipe
    chip : Chip
        Whose streams it reads.

    Members
    -------
    link : Out(ReplyPort)
    ask, idle : In(1), Out(1)
        A reply is to be written; none is being written.
    tag, refused, fault : In(4), In(1), In(8)
        Of the frame; whether it was not taken, and the error's number.
    registers : In
        Bytes of a report and of the status, in their order.
    busy : In(1)
        The chip runs a program.
    results : In(stream)
        The chip's; while `idle` they are taken and dropped, where `discard` says so.
    weights : In(stream)
        The chip's, to be sent while there are some to be read (`reading`); `drop` takes them without a reply.
    taken : Out(1)
        A weight is taken for a reply.
    """

    def __init__(self, recipe: Recipe, chip: Chip):
        self._recipe, self._link = recipe, Link(recipe)
        super().__init__(
            {
                "link": Out(ReplyPort(self._link)),
                "ask": In(1),
                "idle": Out(1),
                "tag": In(4),
                "refused": In(1),
                "fault": In(8),
                "registers": In(8 * (self._link.report + STATUS)),
                "busy": In(1),
                "results": In(chip.o_result.signature),
                "discard": In(1),
                "weights": In(chip.o_weight.signature),
                "reading": In(1),
                "drop": In(1),
                "taken": Out(1),
            }
        )

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        r, link, port = self._recipe, self._link, self.link
        state, weight = r.formats.state.width, r.weight_width
        writing = Signal(4)
        place = Signal.like(port.write_at)
        failed = Signal()
        out = Signal(max(state, weight))
        out_left = Signal(range(max(state, weight) + 1))
        packed = Signal(8)
        packed_count = Signal(3)
        ended = Signal()
        ran = Signal()
        quiet = Signal(range(SETTLED + 1))
        own = Signal()  # the registers are read for a reply, not for the link
        weight_step = Signal()
        # one of them is shown: the mark moves from byte to byte, and needs no decoder
        mark = Signal(link.report + STATUS)
        begin = Signal(link.report + STATUS)
        advance = Signal()
        shown = [self.registers.word_select(i, 8) & mark[i].replicate(8) for i in range(len(mark))]
        # in a register, as counters add up until they are looked at: the byte is there from the second cycle after the mark has moved
        showing = Signal()
        moved = Signal()
        m.d.sync += [
            port.register.eq(functools.reduce(operator.or_, shown)),
            moved.eq(advance | begin.any()),
            showing.eq(port.claim & ~own),
        ]
        m.d.comb += [port.granted.eq(showing & ~moved), port.last.eq(mark[-1]), advance.eq(Mux(own, port.wrote, port.step))]
        with m.If(port.claim & ~own & ~showing):
            m.d.comb += begin[link.report].eq(1)
        with m.If(advance | begin.any()):
            m.d.sync += mark.eq((mark << 1) | begin)
        m.d.comb += [
            port.write_at.eq(place),
            port.data.eq(packed),
            self.taken.eq(weight_step & self.weights.valid),
            self.weights.ready.eq(weight_step | self.drop),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.idle.eq(1), self.results.ready.eq(self.discard)]
                m.d.sync += [
                    place.eq(2),
                    packed_count.eq(0),
                    ended.eq(0),
                    ran.eq(0),
                    quiet.eq(0),
                    writing.eq(self.tag),
                    failed.eq(self.refused),
                ]
                with m.If(self.ask):
                    m.next = "REGISTERS"
                    with m.Switch(Cat(self.tag, self.refused)):
                        with m.Case(Tag.INFER, Tag.TRAIN):
                            m.next = "RESULT"
                        with m.Case(Tag.READ):
                            m.next = "WEIGHT"
                        with m.Case("1----"):
                            m.next = "ERROR"
            with m.State("RESULT"):
                with m.If(self.busy):
                    m.d.sync += ran.eq(1)
                m.d.comb += self.results.ready.eq(1)
                with m.If(self.results.valid):
                    m.d.sync += [out.eq(self.results.p.value), out_left.eq(state), ended.eq(self.results.p.last), quiet.eq(0)]
                    with m.If(ended):  # a program's last read is the one that is told
                        m.d.sync += [place.eq(2), packed_count.eq(0)]
                    m.next = "PACK"
                with m.Elif(ran & ~self.busy):
                    with m.If(quiet != SETTLED):
                        m.d.sync += quiet.eq(quiet + 1)
                    with m.Else():
                        m.next = "REGISTERS"
                        with m.If(packed_count != 0):
                            m.d.sync += out_left.eq(8 - packed_count)  # `out` is zero by now
                            m.next = "PACK"
            with m.State("WEIGHT"):
                m.d.comb += weight_step.eq(self.reading)
                with m.If(~self.reading | self.weights.valid):
                    m.d.sync += out_left.eq(weight)
                    with m.If(self.reading):
                        m.d.sync += out.eq(self.weights.p)
                    m.next = "PACK"
            with m.State("PACK"):
                m.d.sync += [
                    packed.eq(Cat(packed[1:], out[0])),
                    out.eq(out >> 1),
                    out_left.eq(out_left - 1),
                    packed_count.eq(packed_count + 1),
                ]
                with m.If(packed_count == 7):
                    m.next = "WRITE"
                with m.Elif(out_left == 1):
                    m.next = "RESULT"
                    with m.If(writing == Tag.READ):
                        m.next = "WEIGHT"
            with m.State("WRITE"):
                m.d.comb += port.write.eq(1)
                with m.If(self.busy):
                    m.d.sync += ran.eq(1)
                with m.If(port.wrote):
                    m.d.sync += place.eq(place + 1)
                    m.next = "PACK"
                    with m.If(out_left == 0):
                        m.next = "RESULT"
                        with m.If(writing == Tag.READ):
                            m.next = "WEIGHT"
                            with m.If(place == 1 + link.replies[Tag.READ]):
                                m.next = "REGISTERS"
            with m.State("ERROR"):
                m.d.comb += [port.write.eq(1), port.data.eq(self.fault)]
                with m.If(port.wrote):
                    m.d.sync += place.eq(place + 1)
                    m.next = "REGISTERS"
            with m.State("REGISTERS"):
                m.d.comb += [port.write.eq(own & ~moved), port.data.eq(port.register)]
                with m.If(~own & ~port.claim & ~showing):
                    m.d.sync += own.eq(1)
                    with m.Switch(Cat(writing, failed)):
                        with m.Case(Tag.INFER, Tag.TRAIN):
                            m.d.comb += begin[link.report - link.loss].eq(1)
                        with m.Case(Tag.REPORT):
                            m.d.comb += begin[0].eq(1)
                        with m.Default():
                            m.d.comb += begin[link.report].eq(1)
                with m.If(own & port.wrote):
                    m.d.sync += place.eq(place + 1)
                    with m.If(mark[-1]):
                        m.d.sync += [place.eq(1), own.eq(0)]
                        m.next = "TAG"
            with m.State("TAG"):
                m.d.comb += [port.write.eq(1), port.data.eq(Mux(failed, ERROR, writing | REPLY))]
                with m.If(port.wrote):
                    m.d.comb += port.done.eq(1)
                    m.next = "IDLE"
        return m
