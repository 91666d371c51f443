"""The player of frames: what the link has buffered goes to the chip (contract section 10)."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Out

from ..recipe import Recipe
from ..recipe.link import Error, Link, Tag
from .chip import Chip
from .families import Platform
from .fixed import at_least
from .link import LinkPort
from .link_replies import SETTLED, Replies


class Player(wiring.Component):
    """A chip that plays frames in their order and writes a reply to each.

    Parameters
    ----------
    recipe : Recipe
    samples : int
        That are kept beside the chip.

    Members
    -------
    link : Out(LinkPort)
    busy : Out(1)
        The chip runs a program.
    """

    def __init__(self, recipe: Recipe, samples: int = 0):
        self._recipe, self._link, self._samples = recipe, Link(recipe), samples
        self.chip = Chip(recipe)
        super().__init__({"link": Out(LinkPort(self._link)), "busy": Out(1)})

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        r, link, port = self._recipe, self._link, self.link
        m.submodules.chip = chip = self.chip
        state, weight = r.formats.state.width, r.weight_width
        # weights still to be loaded or read
        tag = Signal(4)
        left = Signal(range(link.weights + 1))
        loading = Signal()
        reading = Signal()
        # of the writer of replies: begin, it waits, a refusal is written
        m.submodules.replies = replies = Replies(r, chip)
        ask, idle, refused = replies.ask, replies.idle, replies.refused
        fault = Signal(8)
        label = Signal.like(chip.i_label.payload)
        at = Signal.like(port.read_at)
        items = Signal(range(max(r.sizes[0], link.chunk) + 1))
        bits = Signal(8)
        byte_left = Signal(4)
        weights = Signal()  # what is fed are weights, not a sample
        value = Signal(max(state, weight))
        empty = Signal()  # `value` is 0 since a cycle: a comparison would lie in the way of the handshakes
        # both kinds go through the whole of it, and only the narrower has an entry of its own
        shifted = Signal.like(value)
        narrow = min(state, weight)
        m.d.comb += shifted.eq(Cat(value[1:], bits[0]))
        with m.If(weights == (weight < state)):
            m.d.comb += shifted[narrow - 1].eq(bits[0])
        have = Signal(range(max(state, weight) + 1))
        m.d.comb += [
            self.busy.eq(chip.busy),
            port.read_at.eq(at),
            port.flags.eq(Cat(chip.busy, loading, reading)),
            chip.i_command.p.code.eq(tag[:3]),
            chip.i_command.p.operand.eq(bits),
            chip.i_label.p.eq(label),
            chip.i_sample.p.eq(value),
            chip.i_weight.p.eq(value),
        ]
        offer = Signal()  # of an element of a sample, a register: the chip writes it to its stores at once
        m.d.comb += [weights.eq(tag == Tag.WEIGHTS), chip.i_sample.valid.eq(offer)]
        # of kept samples: which, how many, checked, trained on
        number = Signal(16)
        todo = Signal(8)
        again = Signal()
        stored = Signal()
        storing = (tag == Tag.STORE) if self._samples else Const(0, 1)
        if self._samples:
            place_bits = (r.sizes[0] - 1).bit_length()
            m.submodules.samples = samples = Memory(shape=state, depth=self._samples << place_bits, init=[])
            m.submodules.labels = labels = Memory(shape=len(label), depth=self._samples, init=[])
            keep = samples.write_port()
            kept = samples.read_port()
            keep_label = labels.write_port()
            kept_label = labels.read_port()
            element = Cat(items[:place_bits], number)  # from the sample's last to its first
            m.d.comb += [
                keep.addr.eq(element),
                keep.data.eq(value),
                kept.addr.eq(element),
                keep_label.addr.eq(number),
                keep_label.data.eq(label),
                kept_label.addr.eq(number),
            ]
        taken = storing | Mux(weights, chip.i_weight.ready, chip.i_sample.ready)

        def finish() -> None:
            m.d.comb += [ask.eq(1), port.fed.eq(1)]
            m.next = "IDLE"

        settled = Signal(range(SETTLED + 1))
        given = Signal(8 * link.label)
        m.d.comb += stored.eq((tag == Tag.TRAIN_STORED) if self._samples else 0)
        with m.FSM() as feeding:
            with m.State("IDLE"):
                m.d.sync += [at.eq(1), have.eq(0), byte_left.eq(0), again.eq(0), settled.eq(0), empty.eq(0)]
                with m.If(port.waiting & ~port.fed):
                    m.next = "TAG"
            with m.State("TAG"):
                m.d.comb += port.read.eq(~port.got)
                with m.If(port.got):
                    m.d.sync += [tag.eq(port.byte), at.eq(2)]
                    m.next = "CHOOSE"
            with m.State("CHOOSE"):
                m.d.sync += [
                    items.eq(Mux(weights, link.chunk, r.sizes[0])),
                    fault.eq(Mux(loading, Error.LOADING, Mux(reading, Error.READING, Error.NOT_LOADING))),
                ]
                with m.If(reading & ~idle):  # the last weights may be on their way
                    pass
                with m.Elif(loading & ~tag.matches(Tag.WEIGHTS, Tag.ABORT, Tag.REPORT, Tag.NOTHING)):
                    m.next = "REFUSE"
                with m.Elif(reading & ~tag.matches(Tag.READ, Tag.ABORT, Tag.REPORT, Tag.NOTHING)):
                    m.next = "REFUSE"
                with m.Else():
                    with m.Switch(tag):
                        with m.Case(Tag.TRAIN):
                            m.next = "LABEL"
                        if self._samples:
                            with m.Case(Tag.STORE, Tag.TRAIN_STORED):
                                with m.If(idle):
                                    m.next = "COUNT"
                                    with m.If(storing):
                                        m.next = "NUMBER"
                        with m.Case(Tag.INFER):
                            m.next = "BYTE"
                        with m.Case(Tag.WEIGHTS):
                            m.next = "BYTE"
                            with m.If(~loading):
                                m.next = "REFUSE"
                        with m.Case(Tag.RATE, Tag.STEP, Tag.RUN):
                            m.next = "OPERAND"
                        with m.Case(Tag.LOAD):
                            m.next = "COMMAND"
                        with m.Case(Tag.READ):
                            m.next = "COMMAND"
                            with m.If(reading):
                                m.next = "REPLY"
                        with m.Case(Tag.ABORT):
                            m.next = "DRAIN"
                        with m.Default():
                            m.next = "REPLY"
            with m.State("LABEL"):
                m.d.comb += port.read.eq(~port.got)
                with m.If(port.got):
                    m.d.sync += [at.eq(at + 1), given.eq(Cat(given[8:], port.byte))]
                    with m.If(at == 1 + link.label + Mux(storing, 2, 0)):
                        m.next = "NAMED"
            with m.State("NAMED"):
                m.d.sync += [label.eq(given), fault.eq(Error.LABEL)]
                m.next = "BYTE"
                with m.If(at_least(given, r.sizes[-1])):
                    m.next = "REFUSE"
            with m.State("BYTE"):
                m.d.comb += port.read.eq(~port.got)
                with m.If(port.got):
                    m.d.sync += [at.eq(at + 1), bits.eq(port.byte), byte_left.eq(8)]
                    m.next = "BIT"
            with m.State("BIT"):
                m.d.sync += [bits.eq(bits >> 1), byte_left.eq(byte_left - 1), have.eq(have + 1), value.eq(shifted)]
                with m.If(have == Mux(weights, weight - 1, state - 1)):
                    m.d.sync += offer.eq(~weights & ~storing)
                    m.next = "VALUE"
                with m.Elif(byte_left == 1):
                    m.next = "BYTE"
            with m.State("VALUE"):
                m.d.comb += chip.i_weight.valid.eq(weights)
                if self._samples:
                    m.d.comb += [keep.en.eq(storing), keep_label.en.eq(storing)]
                with m.If(taken):
                    m.d.sync += [offer.eq(0), have.eq(0), items.eq(items - 1)]
                    m.next = "BIT"
                    with m.If(byte_left == 0):
                        m.next = "BYTE"
                    with m.If(weights):
                        m.d.sync += left.eq(left - 1)
                    with m.If((items == 1) | (weights & (left == 1))):
                        m.next = "COMMAND"
                        with m.If(weights):
                            m.d.sync += loading.eq(left != 1)
                            m.next = "REPLY"
                        with m.Elif(storing):
                            m.next = "REPLY"
                        with m.Elif(tag[0]):
                            m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += chip.i_label.valid.eq(1)
                with m.If(chip.i_label.ready):
                    m.next = "COMMAND"
            if self._samples:
                with m.State("COUNT"):
                    m.d.comb += port.read.eq(~port.got)
                    with m.If(port.got):
                        m.d.sync += [at.eq(3), todo.eq(port.byte), fault.eq(Error.NUMBER)]
                        m.next = "NEXT"
                        with m.If(at_least(port.byte, link.numbers + 1)):
                            m.next = "REFUSE"
                with m.State("NEXT"):  # all numbers are looked at before the first is trained on
                    m.next = "NUMBER"
                    with m.If(todo == 0):
                        m.next = "COUNT"
                        m.d.sync += [again.eq(1), at.eq(2)]
                        with m.If(again):
                            m.next = "LAST"
                with m.State("NUMBER"):
                    m.d.comb += port.read.eq(~port.got)
                    with m.If(port.got):
                        m.d.sync += [at.eq(at + 1), number.eq(Cat(number[8:], port.byte))]
                        with m.If(at[0] == storing):
                            m.next = "WHICH"
                with m.State("WHICH"):
                    m.d.sync += [todo.eq(todo - 1), items.eq(r.sizes[0]), fault.eq(Error.NUMBER)]
                    m.next = "NEXT"
                    with m.If(storing):
                        m.next = "LABEL"
                    with m.Elif(again):
                        m.next = "FETCH"
                    with m.If(at_least(number, self._samples)):
                        m.next = "REFUSE"
                with m.State("FETCH"):
                    m.d.sync += [label.eq(kept_label.data), offer.eq(1)]
                    m.next = "ELEMENT"
                with m.State("ELEMENT"):
                    m.d.comb += chip.i_sample.p.eq(kept.data)
                    with m.If(chip.i_sample.ready):
                        m.d.sync += [offer.eq(0), items.eq(items - 1)]
                        m.next = "FETCH"
                        with m.If(items == 1):
                            m.next = "STORED_LABEL"
                with m.State("STORED_LABEL"):
                    m.d.comb += chip.i_label.valid.eq(1)
                    with m.If(chip.i_label.ready):
                        m.next = "STORED_COMMAND"
                with m.State("STORED_COMMAND"):
                    m.d.comb += [chip.i_command.valid.eq(1), chip.i_command.p.code.eq(Tag.TRAIN)]
                    with m.If(chip.i_command.ready):
                        m.next = "NEXT"
                with m.State("LAST"):
                    m.d.sync += settled.eq(settled + 1)
                    with m.If(chip.busy | chip.o_result.valid | ~chip.i_command.ready):
                        m.d.sync += settled.eq(0)
                    with m.If(settled == SETTLED):
                        m.next = "REPLY"
            with m.State("OPERAND"):
                m.d.comb += port.read.eq(~port.got)
                with m.If(port.got):
                    m.d.sync += [at.eq(at + 1), bits.eq(port.byte)]
                    m.next = "COMMAND"
            with m.State("COMMAND"):
                m.d.comb += chip.i_command.valid.eq(idle)
                with m.If(idle & chip.i_command.ready):
                    with m.Switch(tag):
                        with m.Case(Tag.STEP, Tag.RUN):
                            m.next = "OPERAND"
                            with m.If(at == 2 + 4):
                                m.next = "REPLY"
                        with m.Case(Tag.LOAD):
                            m.d.sync += [loading.eq(1), left.eq(link.weights)]
                            m.next = "REPLY"
                        with m.Case(Tag.READ):
                            m.d.sync += [reading.eq(1), left.eq(link.weights)]
                            m.next = "REPLY"
                        with m.Case(Tag.RATE):
                            m.next = "REPLY"
                        with m.Default():
                            finish()
            with m.State("DRAIN"):  # a load ends with zeros; what is read is dropped
                m.d.sync += [value.eq(0), empty.eq(1)]
                with m.If(~loading & ~reading):
                    m.next = "REPLY"
                with m.Elif(idle & empty):
                    m.d.comb += chip.i_weight.valid.eq(loading)
                    with m.If((loading & chip.i_weight.ready) | (reading & chip.o_weight.valid)):
                        m.d.sync += left.eq(left - 1)
                        with m.If(left == 1):
                            m.d.sync += [loading.eq(0), reading.eq(0)]
            with m.State("REFUSE"):
                m.d.comb += refused.eq(1)
                with m.If(idle):
                    finish()
            with m.State("REPLY"):
                with m.If(idle):
                    finish()

        # replies
        registers = Cat(
            chip.cycles,
            chip.saturations_accumulator,
            chip.saturations_state,
            chip.saturations_delta,
            chip.saturations_weight,
            chip.rate,
            Const(0, 8 - len(chip.rate)),
            chip.loss,
            chip.loss[-1].replicate(-len(chip.loss) % 8),
            port.status,
            chip.step,
        )
        wiring.connect(m, chip.o_result, replies.results)
        wiring.connect(m, chip.o_weight, replies.weights)
        for name, member in replies.link.signature.members.items():
            ours, theirs = getattr(replies.link, name), getattr(port, name)
            m.d.comb += theirs.eq(ours) if member.flow is Out else ours.eq(theirs)
        m.d.comb += [
            replies.tag.eq(tag),
            replies.fault.eq(fault),
            replies.registers.eq(registers),
            replies.busy.eq(chip.busy),
            replies.discard.eq(stored & ~feeding.ongoing("IDLE")),
            replies.reading.eq(reading),
            replies.drop.eq(feeding.ongoing("DRAIN") & reading & idle & empty),
            port.quiet.eq(idle & feeding.ongoing("IDLE")),
        ]
        with m.If(replies.taken):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 1):
                m.d.sync += reading.eq(0)
        return m
