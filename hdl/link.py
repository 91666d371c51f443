"""The link: frames in, buffered and checked; replies and status out, whatever the chip does (contract section 10)."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..recipe import Recipe
from ..recipe.link import CONTROL_ROOM, ERROR, OVERHEAD, REPLY, STATUS, Error, Link, Tag
from .families import Platform
from .fixed import at_least
from .link_frames import Deframer, Framer
from .link_line import Receiver, Transmitter, bit

IDENTITY_COMPARED = 9
"""Bytes of the identity, version and recipe, that whoever opens a session must know."""


class ReplyPort(wiring.Signature):
    """Port of the writer of replies.

    Members
    -------
    write : Out(1)
        Asks for `data` at `write_at` of the oldest frame without a reply; `wrote` once it is there.
    done : Out(1)
        That frame has its reply in its slot now.
    claim, step : In(1)
        The link wants the status, byte after byte: the one it is at is `register` while it is `granted`; it goes on to the next,
        and `last` is high at the last.
    """

    def __init__(self, link: Link):
        super().__init__(
            {
                "write": Out(1),
                "write_at": Out(range(link.slot)),
                "data": Out(8),
                "wrote": In(1),
                "done": Out(1),
                "claim": In(1),
                "granted": Out(1),
                "step": In(1),
                "register": Out(8),
                "last": Out(1),
            }
        )


class LinkPort(wiring.Signature):
    """Port of the player of frames: the members of a `ReplyPort`, too.

    Members
    -------
    waiting : In(1)
        A frame is there that has not been fed.
    fed : Out(1)
        The oldest frame not fed has been.
    read : Out(1)
        Asks for the byte `read_at` of the frame to be fed, which comes as `byte` with `got`.
    status : In(24)
        The link's part of the status.
    """

    def __init__(self, link: Link):
        super().__init__(
            {
                "waiting": In(1),
                "fed": Out(1),
                "read": Out(1),
                "read_at": Out(range(link.slot)),
                "got": In(1),
                "byte": In(8),
                "status": In(24),
                "quiet": Out(1),
                "flags": Out(4),
                **ReplyPort(link).members,
            }
        )


class Wire(wiring.Component):
    """Everything between the serial line and the player of frames.

    Members
    -------
    rx : In(1)
    tx : Out(1)
    player : In(LinkPort)
    reset : Out(1)
        The player and the chip are to be reset in the next cycle.
    """

    def __init__(self, recipe: Recipe, clock: float, baud: float, samples: int = 0):
        self._link, self._bit = Link(recipe), bit(clock, baud)
        self._identity, self._samples = self._link.identity(clock, baud, samples), samples
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "player": In(LinkPort(self._link)), "reset": Out(1)})

    def _kept(self) -> list[int]:
        """Return what is in the buffers at first: the identity, where slot 1 has room for an answer that tells it."""
        link = self._link
        return [*bytes(2 * link.slot - CONTROL_ROOM + 2), *self._identity]

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        link, player = self._link, self.player
        m.submodules.receiver = receiver = Receiver(self._bit)
        m.submodules.transmitter = transmitter = Transmitter(self._bit)
        m.submodules.deframer = deframer = Deframer()
        m.submodules.framer = framer = Framer(OVERHEAD + STATUS + max(link.replies.values()))
        m.submodules.frames = frames = Memory(shape=8, depth=link.slots * link.slot, init=self._kept())
        writer = frames.write_port()
        reader = frames.read_port()
        wiring.connect(m, framer.o, transmitter.i)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            receiver.o.ready.eq(1),
            deframer.take.eq(receiver.o.valid),
            deframer.byte.eq(receiver.o.payload),
            deframer.zero.eq(receiver.zero),
        ]

        def slot(number: Value) -> Value:
            return number[: (link.slots - 1).bit_length()]

        # numbers of frames: the next to come, to be fed, to get a reply, to be sent
        bits = link.slots.bit_length()  # that tell a slot and all slots apart
        next_ = Signal(8, name="next")
        session = Signal(8)
        feed, done, send = (Signal(bits, name=name) for name in ("feed", "done", "send"))
        open_frames = Signal(bits)
        credits = Signal(4)
        m.d.comb += [
            open_frames.eq(next_ - done),
            credits.eq(~open_frames[: bits - 1]),
            player.waiting.eq(feed != next_[:bits]),
            player.status.eq(Cat(session, next_, credits, player.flags)),
        ]
        with m.If(player.fed):
            m.d.sync += feed.eq(feed + 1)
        with m.If(player.done):
            m.d.sync += done.eq(done + 1)

        # a frame comes in: into the slot of the next number, whichever it has
        place = Signal(range(link.slot))
        long = Signal()
        number = Signal(8)
        tag = Signal(8)
        at = Signal(range(CONTROL_ROOM))  # of an answer
        beyond = Signal()  # what no request takes; a register, since places change long before the next byte comes
        m.d.sync += beyond.eq(place[len(at) :].all())
        came = Signal()
        byte_in = Signal(8)
        m.d.sync += came.eq(deframer.write)
        with m.If(deframer.write):
            m.d.sync += byte_in.eq(deframer.decoded)
        first_two = place[1:] == 0
        # beside it the identity's byte of that place is read: who opens a session sends it, and the session's number behind it
        asks = Signal()
        asked = Signal()
        byte = Signal(8)  # of the memory, for whoever has been granted it
        comparing = Signal()
        unlike = Signal(2)  # version, recipe
        drawn = Signal(8)
        with m.If(came):
            m.d.sync += [long.eq(beyond), asks.eq(~beyond)]
            with m.If(first_two):
                m.d.sync += [number.eq(tag), tag.eq(byte_in)]
        with m.If(asked):
            m.d.sync += [asks.eq(0), place.eq(place + 1)]
            with m.If(first_two):
                m.d.sync += [comparing.eq(1), unlike.eq(0)]
            with m.Elif(comparing):
                with m.If(place[:4] == 2 + IDENTITY_COMPARED):
                    m.d.sync += [comparing.eq(0), drawn.eq(byte_in)]
                with m.Elif(byte != byte_in):
                    m.d.sync += unlike.eq(Mux(place[:4] == 2, unlike | 1, unlike | 2))
        known = Signal()
        needs = Signal(range(link.slot))
        with m.Switch(tag):
            for request, fills in link.requests.items():
                if request in (Tag.STORE, Tag.TRAIN_STORED) and not self._samples:
                    continue
                with m.Case(request):
                    m.d.comb += [known.eq(1), needs.eq(fills + OVERHEAD)]

        # and is judged at its end, in three cycles, as the next byte is far: what is true of it, the verdict, the answer
        ended = Signal()
        good = Signal()
        fits = Signal()
        control = Signal()
        old = Signal()
        age = Signal(8)
        m.d.sync += [
            ended.eq(deframer.end),
            good.eq(deframer.good & at_least(place, OVERHEAD)),
            fits.eq(place == needs),
            control.eq(tag[6]),
            age.eq(next_ - number),
            old.eq((age[:bits] > open_frames) & (age[:bits] > (next_ - send)[:bits])),
        ]
        error = Signal(range(16))
        answer = Signal()
        m.d.sync += [error.eq(0), answer.eq(0)]
        with m.If(ended):
            m.d.sync += [place.eq(0), long.eq(0)]
            with m.If(long):
                m.d.sync += [answer.eq(1), error.eq(Error.TOO_LONG), number.eq(0)]
            with m.Elif(~good):
                m.d.sync += [answer.eq(1), error.eq(Error.FRAME), number.eq(0)]
            with m.Elif(~known):
                m.d.sync += [answer.eq(1), error.eq(Error.TAG)]
            with m.Elif(~fits):
                m.d.sync += [answer.eq(1), error.eq(Error.LENGTH)]
            with m.Elif(control):
                m.d.sync += answer.eq(1)
            with m.Elif(session == 0):
                m.d.sync += [answer.eq(1), error.eq(Error.CLOSED)]
            with m.Elif(age == 0):
                with m.If(credits == 0):
                    m.d.sync += [answer.eq(1), error.eq(Error.FULL)]
                with m.Else():
                    m.d.sync += next_.eq(next_ + 1)
            with m.Elif(age[bits - 1 :] != 0):
                m.d.sync += [answer.eq(1), error.eq(Error.SEQUENCE)]
            with m.Elif(old):
                m.d.sync += send.eq(number)  # its reply again, and all after it

        # answers at once, made in the last bytes of slot 0, or of slot 1, which has the identity
        refusal = Signal(range(16))  # number and tag stay as they are until the next frame's first bytes
        identifying = Signal()
        told = 2 + len(self._identity)
        opened = Signal()
        writes = Signal()
        wrote = Signal()
        data = Signal(8)
        ready = Signal()
        claims = Signal()  # STATUS: a register of its own, since the way to the mark of what is shown is long
        m.d.comb += player.claim.eq(claims)
        m.d.sync += opened.eq(0)
        m.d.sync += self.reset.eq(0)  # a register: the verdict on a frame and the chip's reset are a cycle each
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [at.eq(0), refusal.eq(error), identifying.eq((error == 0) & (tag[:2] == Tag.IDENTIFY & 3))]
                with m.If(answer):
                    m.next = "HEAD"
                    with m.If((error == 0) & (tag[:2] == Tag.RESET & 3)):
                        m.d.sync += self.reset.eq(1)
                    with m.If((error == 0) & (tag[:2] == Tag.OPEN & 3)):
                        with m.If(unlike[0]):
                            m.d.sync += refusal.eq(Error.VERSION)
                        with m.Elif(unlike[1]):
                            m.d.sync += refusal.eq(Error.RECIPE)
                        with m.Elif((open_frames != 0) | ~player.quiet):
                            m.d.sync += refusal.eq(Error.BUSY)
                        with m.Else():
                            m.d.sync += [session.eq(drawn), opened.eq(1)]
            with m.State("HEAD"):
                m.d.comb += [writes.eq(1), data.eq(Mux(at[0], Mux(refusal == 0, REPLY | Tag.IDENTIFY | tag[:2], ERROR), number))]
                with m.If(wrote):
                    m.d.sync += at.eq(at + 1)
                    with m.If(at[0]):
                        m.d.sync += claims.eq(refusal == 0)
                        m.next = "STATUS"
                        with m.If(refusal != 0):
                            m.next = "ERROR"
                        with m.Elif(identifying):
                            m.d.sync += at.eq(told)
            with m.State("ERROR"):
                m.d.comb += [writes.eq(1), data.eq(refusal)]
                with m.If(wrote):
                    m.d.sync += [at.eq(at + 1), claims.eq(1)]
                    m.next = "STATUS"
            with m.State("STATUS"):
                m.d.comb += [writes.eq(player.granted), data.eq(player.register), player.step.eq(wrote)]
                with m.If(wrote):
                    m.d.sync += at.eq(at + 1)
                    with m.If(player.last):
                        m.d.sync += [ready.eq(1), claims.eq(0)]
                        m.next = "SEND"
            with m.State("SEND"):
                with m.If(~ready & ~framer.busy):
                    m.next = "IDLE"
        resetting = Signal()
        m.d.sync += resetting.eq(self.reset)
        with m.If(self.reset | resetting):
            m.d.sync += session.eq(0)
        with m.If(self.reset | resetting | opened):
            m.d.sync += [next_.eq(0), feed.eq(0), done.eq(0), send.eq(0)]

        # frames go out: answers first, then replies in their order
        sending = Signal(8)
        answering = Signal()
        look = Signal()
        reply_length = Signal(range(link.slot))
        m.d.comb += reply_length.eq(2 + STATUS)
        with m.Switch(byte):
            for request, payload in link.replies.items():
                if payload:
                    with m.Case(request | REPLY):
                        m.d.comb += reply_length.eq(2 + STATUS + payload)
            with m.Case(ERROR):
                m.d.comb += reply_length.eq(2 + STATUS + 1)
        looked = Signal()
        with m.If(~framer.busy & ~look):
            with m.If(ready):
                m.d.comb += [framer.start.eq(1), framer.length.eq(at)]
                m.d.sync += [answering.eq(1), sending.eq(identifying), ready.eq(0)]
            with m.Elif(send != done):
                m.d.sync += [answering.eq(0), sending.eq(send), send.eq(send + 1), look.eq(1)]
        with m.If(looked & look):
            m.d.comb += [framer.start.eq(1), framer.length.eq(reply_length)]
            m.d.sync += look.eq(0)

        # the memory's two ports, by turns, each behind a register
        offset_bits = (link.slot - 1).bit_length()

        def address(number: Value, offset: Value) -> Value:
            return Cat((offset | Const(0, offset_bits))[:offset_bits], slot(number))

        answer_place = Cat(at, Const(-1, offset_bits - len(at)), identifying, Const(0, (link.slots - 1).bit_length() - 1))
        frame_place = address(sending, framer.position | Cat(Const(0, len(at)), answering.replicate(offset_bits - len(at))))
        m.d.sync += [writer.en.eq(0), wrote.eq(0), player.wrote.eq(0), framer.wrote.eq(0)]
        with m.If(came & ~beyond):
            m.d.sync += [writer.en.eq(1), writer.addr.eq(address(next_, place)), writer.data.eq(byte_in)]
        with m.Elif(writes & ~wrote):
            m.d.sync += [wrote.eq(1), writer.en.eq(1), writer.addr.eq(answer_place), writer.data.eq(data)]
        with m.Elif(player.write & ~player.wrote):
            m.d.sync += [player.wrote.eq(1), writer.en.eq(1), writer.addr.eq(address(done, player.write_at)), writer.data.eq(player.data)]
        with m.Elif(framer.write & ~framer.wrote):
            m.d.sync += [framer.wrote.eq(1), writer.en.eq(1), writer.addr.eq(frame_place), writer.data.eq(framer.crc)]
        # one read after another; its byte comes five cycles later: registers before the memory and two behind it keep its ways short
        wants = Signal(4)
        whose = Signal(4)
        under_way = Signal(3)
        where = Signal.like(reader.addr)
        first = Signal(8, reset_less=True)  # so that it can be the memory block's own
        with m.If(asks & ~asked):
            m.d.comb += wants.eq(1)
            m.d.sync += where.eq(Cat(place[: len(at)], Const(-1, offset_bits - len(at)), Const(1, (link.slots - 1).bit_length())))
        with m.Elif(player.read):
            m.d.comb += wants.eq(2)
            m.d.sync += where.eq(address(feed, player.read_at))
        with m.Elif(framer.read):
            m.d.comb += wants.eq(4)
            m.d.sync += where.eq(frame_place)
        with m.Elif(look & ~looked):
            m.d.comb += wants.eq(8)
            m.d.sync += where.eq(address(sending, Const(1, len(place))))
        m.d.comb += reader.addr.eq(where)
        with m.If(under_way == 0):
            m.d.sync += whose.eq(wants)
        m.d.sync += [
            under_way.eq(Cat((under_way == 0) & (wants != 0), under_way)),
            first.eq(reader.data),
            byte.eq(first),
            Cat(asked, player.got, framer.got, looked).eq(whose & under_way[-1].replicate(4)),
        ]
        m.d.comb += [player.byte.eq(byte), framer.byte.eq(byte)]
        return m
