"""The link: frames in, buffered and checked; replies and status out, whatever the chip does (contract section 10)."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..recipe import Recipe
from ..recipe.link import CONTROL_ROOM, ERROR, OVERHEAD, REPLY, STATUS, Error, Link, Tag
from .families import Platform
from .link_frames import Deframer, Framer
from .link_line import Receiver, Transmitter, bit

IDENTITY_COMPARED = 9
"""Bytes of the identity, version and recipe, that whoever opens a session must know."""


class ReplyPort(wiring.Signature):
    """What the writer of replies sees of the link.

    Members
    -------
    write : Out(1)
        Asks for `data` at `write_at` of the oldest frame without a reply; `wrote` once it is there.
    done : Out(1)
        That frame has its reply in its slot now.
    claim, step : In(1)
        The link wants the status, byte after byte: the one it is at is `register` while it is `granted`; it goes on to the next.
    """

    def __init__(self, link: Link):
        super().__init__({
            "write": Out(1), "write_at": Out(range(link.slot)), "data": Out(8), "wrote": In(1), "done": Out(1),
            "claim": In(1), "granted": Out(1), "step": In(1), "register": Out(8),
        })


class LinkPort(wiring.Signature):
    """What the player of frames sees of the link: the members of a `ReplyPort`, too.

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
        super().__init__({
            "waiting": In(1), "fed": Out(1),
            "read": Out(1), "read_at": Out(range(link.slot)), "got": In(1), "byte": In(8),
            "status": In(24), "quiet": Out(1), "flags": Out(4),
            **ReplyPort(link).members,
        })


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
        super().__init__({
            "rx": In(1, init=1), "tx": Out(1, init=1), "player": In(LinkPort(self._link)), "reset": Out(1),
        })

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        link, player = self._link, self.player
        m.submodules.receiver = receiver = Receiver(self._bit)
        m.submodules.transmitter = transmitter = Transmitter(self._bit)
        m.submodules.deframer = deframer = Deframer()
        m.submodules.framer = framer = Framer(link.slot)
        m.submodules.frames = frames = Memory(shape=8, depth=link.slots * link.slot, init=[])
        writer = frames.write_port()
        reader = frames.read_port()
        wiring.connect(m, framer.o, transmitter.i)
        m.d.comb += [
            receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx), receiver.o.ready.eq(1),
            deframer.take.eq(receiver.o.valid), deframer.byte.eq(receiver.o.payload),
        ]

        def slot(number: Value) -> Value:
            return number[:(link.slots - 1).bit_length()]

        # numbers of frames: the next to come, to be fed, to get a reply, to be sent
        bits = link.slots.bit_length()                     # that tell a slot and all slots apart
        next_ = Signal(8, name="next")
        session = Signal(8)
        feed, done, send = (Signal(bits, name=name) for name in ("feed", "done", "send"))
        open_frames = Signal(bits)
        credits = Signal(4)
        m.d.comb += [
            open_frames.eq(next_ - done), credits.eq(link.slots - 1 - open_frames),
            player.waiting.eq(feed != next_[:bits]), player.status.eq(Cat(session, next_, credits, player.flags)),
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
        limit = link.slot - CONTROL_ROOM
        came = Signal()
        byte_in = Signal(8)
        m.d.sync += [came.eq(deframer.write), byte_in.eq(deframer.decoded)]
        with m.If(came):
            with m.If(place == limit):
                m.d.sync += long.eq(1)
            with m.Else():
                m.d.sync += place.eq(place + 1)
            with m.If(place == 0):
                m.d.sync += number.eq(byte_in)
            with m.If(place == 1):
                m.d.sync += tag.eq(byte_in)
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
            ended.eq(deframer.end), good.eq(deframer.good & (place >= OVERHEAD)), fits.eq(place == needs), control.eq(tag[6]),
            age.eq(next_ - number), old.eq((age[:bits] > open_frames) & (age[:bits] > (next_ - send)[:bits])),
        ]
        error = Signal(range(16))
        answer = Signal()
        m.d.sync += [error.eq(0), answer.eq(0)]
        with m.If(ended):
            m.d.sync += [place.eq(0), long.eq(0)]
            with m.If(long):
                m.d.sync += [answer.eq(1), error.eq(Error.TOO_LONG)]
            with m.Elif(~good):
                m.d.sync += [answer.eq(1), error.eq(Error.FRAME)]
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
            with m.Elif(age[bits - 1:] != 0):
                m.d.sync += [answer.eq(1), error.eq(Error.SEQUENCE)]
            with m.Elif(old):
                m.d.sync += send.eq(number)             # its reply again, and all after it

        # answers at once, made in the last bytes of slot 0
        at = Signal(range(CONTROL_ROOM))
        length = Signal(range(CONTROL_ROOM))
        refusal = Signal(range(16))                # number and tag stay as they are until the next frame's first bytes
        rom = Const(int.from_bytes(bytes(2) + self._identity, "little"), 8 * (2 + len(self._identity))).word_select(at, 8)
        left = Signal(range(STATUS + 1))
        asks = Signal()
        asked = Signal()
        writes = Signal()
        wrote = Signal()
        data = Signal(8)
        ready = Signal()
        byte = Signal(8)                           # of the memory, for whoever has been granted it
        m.d.sync += self.reset.eq(0)         # a register: the verdict on a frame and the chip's reset are a cycle each
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [at.eq(0), left.eq(STATUS - 1)]
                with m.If(answer):
                    m.d.sync += refusal.eq(error)
                    m.next = "HEAD"
                    with m.If(error == 0):
                        with m.If(tag == Tag.OPEN):
                            m.d.sync += at.eq(2)
                            m.next = "COMPARE"
                        with m.If(tag == Tag.RESET):
                            m.d.sync += self.reset.eq(1)
            with m.State("COMPARE"):      # the frame is there as long as no byte of another has come, which is many cycles
                m.d.comb += asks.eq(~asked)
                with m.If(asked):
                    m.d.sync += at.eq(at + 1)
                    with m.If(at == 2 + IDENTITY_COMPARED):
                        m.d.sync += at.eq(0)
                        with m.If((open_frames != 0) | ~player.quiet):
                            m.d.sync += refusal.eq(Error.BUSY)
                        with m.Else():
                            m.d.sync += [session.eq(byte), next_.eq(0), feed.eq(0), done.eq(0), send.eq(0)]
                        m.next = "HEAD"
                    with m.Elif(byte != rom):
                        m.d.sync += [at.eq(0), refusal.eq(Mux(at == 2, Error.VERSION, Error.RECIPE))]
                        m.next = "HEAD"
            with m.State("HEAD"):
                m.d.comb += [writes.eq(1), data.eq(Mux(refusal == 0, REPLY | tag, ERROR))]
                with m.If(at == 0):
                    m.d.comb += data.eq(Mux((refusal == Error.FRAME) | (refusal == Error.TOO_LONG), 0, number))
                with m.If(wrote):
                    m.d.sync += at.eq(at + 1)
                    with m.If(at == 1):
                        m.next = "STATUS"
                        with m.If(refusal != 0):
                            m.next = "ERROR"
                        with m.Elif(tag == Tag.IDENTIFY):
                            m.next = "IDENTITY"
            with m.State("ERROR"):
                m.d.comb += [writes.eq(1), data.eq(refusal)]
                with m.If(wrote):
                    m.d.sync += at.eq(at + 1)
                    m.next = "STATUS"
            with m.State("IDENTITY"):
                m.d.comb += [writes.eq(1), data.eq(rom)]
                with m.If(wrote):
                    m.d.sync += at.eq(at + 1)
                    with m.If(at == 1 + len(self._identity)):
                        m.next = "STATUS"
            with m.State("STATUS"):
                m.d.comb += [player.claim.eq(1), writes.eq(player.granted), data.eq(player.register), player.step.eq(wrote)]
                with m.If(wrote):
                    m.d.sync += [at.eq(at + 1), left.eq(left - 1)]
                    with m.If(left == 0):
                        m.d.sync += [length.eq(at + 1), ready.eq(1)]
                        m.next = "SEND"
            with m.State("SEND"):
                with m.If(~ready & ~framer.busy):
                    m.next = "IDLE"
        resetting = Signal()
        m.d.sync += resetting.eq(self.reset)
        with m.If(self.reset | resetting):
            m.d.sync += [session.eq(0), next_.eq(0), feed.eq(0), done.eq(0), send.eq(0)]

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
                m.d.comb += [framer.start.eq(1), framer.length.eq(length)]
                m.d.sync += [answering.eq(1), ready.eq(0)]
            with m.Elif(send != done):
                m.d.sync += [answering.eq(0), sending.eq(send), send.eq(send + 1), look.eq(1)]
        with m.If(looked & look):
            m.d.comb += [framer.start.eq(1), framer.length.eq(reply_length)]
            m.d.sync += look.eq(0)

        # the memory's two ports, by turns, each behind a register
        offset_bits = (link.slot - 1).bit_length()

        def address(number: Value, offset: Value) -> Value:
            return Cat((offset | Const(0, offset_bits))[:offset_bits], slot(number))

        answer_place = Cat(at, Const(-1, offset_bits - len(at)), Const(0, (link.slots - 1).bit_length()))
        frame_place = Mux(answering, Cat(framer.position[:len(at)], answer_place[len(at):]), address(sending, framer.position))
        m.d.sync += [writer.en.eq(0), wrote.eq(0), player.wrote.eq(0), framer.wrote.eq(0)]
        with m.If(came & (place != limit)):
            m.d.sync += [writer.en.eq(1), writer.addr.eq(address(next_, place)), writer.data.eq(byte_in)]
        with m.Elif(writes & ~wrote):
            m.d.sync += [wrote.eq(1), writer.en.eq(1), writer.addr.eq(answer_place), writer.data.eq(data)]
        with m.Elif(player.write & ~player.wrote):
            m.d.sync += [player.wrote.eq(1), writer.en.eq(1), writer.addr.eq(address(done, player.write_at)), writer.data.eq(player.data)]
        with m.Elif(framer.write & ~framer.wrote):
            m.d.sync += [framer.wrote.eq(1), writer.en.eq(1), writer.addr.eq(frame_place), writer.data.eq(framer.crc)]
        # who asks is granted a read and has the byte three cycles later: registers before the memory and behind it keep its ways short
        granted = Signal(4)
        asked_for = Signal(4)
        coming = Signal(4)
        where = Signal.like(reader.addr)
        waits = asked_for | coming                 # one read of each at a time
        with m.If(asks & ~waits[0]):
            m.d.comb += granted.eq(1)
            m.d.sync += where.eq(address(next_, at))
        with m.Elif(player.read & ~waits[1]):
            m.d.comb += granted.eq(2)
            m.d.sync += where.eq(address(feed, player.read_at))
        with m.Elif(framer.read & ~waits[2]):
            m.d.comb += granted.eq(4)
            m.d.sync += where.eq(frame_place)
        with m.Elif(look & ~looked & ~waits[3]):
            m.d.comb += granted.eq(8)
            m.d.sync += where.eq(address(sending, Const(1, len(place))))
        m.d.comb += reader.addr.eq(where)
        m.d.sync += [
            asked_for.eq(granted), coming.eq(asked_for), Cat(asked, player.got, framer.got, looked).eq(coming), byte.eq(reader.data),
        ]
        m.d.comb += [player.byte.eq(byte), framer.byte.eq(byte)]
        return m

