"""A layer: row engine, converters, drive memory, dyad, in the last layer the nudge (contract section 7)."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..recipe import ELEMENT_BITS, POSITION_BITS, RANDOM_BITS, Geometry, Op, Operand, Recipe, hardware
from .crossbar import Crossbar, Multiplier, index_bits
from .delay import delayed, history
from .fixed import Requantize
from .neuron import Dyad
from .noise import Noise
from .nudge import Nudge
from .rng import Generator, rounding_word


class Elements(wiring.Component):
    """Which element's sum leaves the row engine in `lead` cycles: what a generator must be fed with.

    Members
    -------
    start : In(1)
    op : In(2)
    index : Out
        In cycle z - lead the index of the sum of cycle z; anything in other cycles.
    """

    def __init__(self, geometry: Geometry, lead: int):
        self._geometry, self._lead = geometry, lead
        super().__init__({
            "start": In(1), "op": In(2), "index": Out(index_bits(max(geometry.R, geometry.C))),
        })

    def elaborate(self, platform):
        m = Module()
        g = self._geometry
        # contract section 3. Forward: first sum in start + 11 + lv + F, then one every F cycles.
        # Transposed: first in start + 12 + R, then L in a row, P cycles from fold to fold.
        first_forward, first_transposed = g.F + g.lv + 10 - self._lead, g.R + 11 - self._lead
        pause = Signal(range(max(first_forward, first_transposed, g.P) + 1))
        transposed = Signal()
        lane = self.index[:g.lv]
        with m.If(self.start):
            m.d.sync += [self.index.eq(0), transposed.eq(self.op == Op.TRANSPOSED)]
            m.d.sync += pause.eq(Mux(self.op == Op.TRANSPOSED, first_transposed, first_forward))
        with m.Elif(pause != 0):
            m.d.sync += pause.eq(pause - 1)
        with m.Else():
            m.d.sync += self.index.eq(self.index + 1)
            m.d.sync += pause.eq(Mux(transposed, Mux(lane == g.L - 1, g.P - g.L, 0), g.F - 1))
        return m


class Layer(wiring.Component):
    """One layer of the chip.

    ::

        cycle  z       a sum leaves the row engine
               z + 2   the converted value: drive, feedback
        hidden z + 7   the mean
        last   z + 6   the nudge's b joins the drive at the dyad
               z + 11  the mean, the difference
        received feedback in cycle v: v + 2 at the dyad with the drive, v + 7 mean and difference

    Parameters
    ----------
    recipe : Recipe
    k : int
        Number of the layer; 0 has the doubled input memory, the last one the nudge.

    Members
    -------
    As listed and defined in contract section 7.

    Attributes
    ----------
    crossbar : Crossbar
    """

    def __init__(self, recipe: Recipe, k: int):
        if not 0 <= k < recipe.layers:
            raise ValueError(f"Layer: number {k}; allowed is 0 to {recipe.layers - 1}")
        self._geometry = g = Geometry(recipe, k)
        self.crossbar = Crossbar(g, banks=2 if k == 0 else 1)
        f = recipe.formats
        engine = self.crossbar.signature.members
        state, delta, accumulator = (signed(x.width) for x in (f.state, f.delta, f.accumulator))
        row, column = unsigned(index_bits(g.R)), unsigned(index_bits(g.C))
        ports = {
            name: engine[name] for name in (
                "start", "op", "operand", "rate", "slope", "step", "bank",
                "input_write", "input_index", "input_value",
                "word_address", "word_write", "word_in", "word_out",
                "weight_write", "weight_address", "weight_word", "weight_out_of_range")
        } | {
            "pc": In(POSITION_BITS),
            "state_valid": Out(1), "state_index": Out(row), "state_value": Out(state),
            "drive_write": Out(1), "drive_index": Out(row), "drive_value": Out(accumulator),
            "error_write": Out(1), "error_index": Out(row), "error_value": Out(delta),
            "events_accumulator": Out(2), "events_state": Out(1), "events_delta": Out(1),
            "events_weight": Out(engine["weight_out_of_range"].shape),
        }
        if recipe.devices.read_noise:
            ports["run"] = In(32)
        if g.is_last:
            ports |= {"label": In(row), "loss": Out(signed(g.loss_width))}
        else:
            ports |= {
                "received_valid": In(1), "received_index": In(row), "received_value": In(accumulator),
                "received_random": In(2 * RANDOM_BITS),
                "revised_valid": Out(1), "revised_index": Out(row), "revised_value": Out(state),
            }
        if k > 0:
            ports |= {
                "feedback_valid": Out(1), "feedback_index": Out(column), "feedback_value": Out(accumulator),
                "feedback_random": Out(2 * RANDOM_BITS),
            }
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        g = self._geometry
        r, f = g.recipe, g.recipe.formats

        # The row engine
        m.submodules.crossbar = engine = self.crossbar
        for name, member in engine.signature.members.items():
            if name in self.signature.members and not name.startswith("error"):
                mine, its = getattr(self, name), getattr(engine, name)
                m.d.comb += its.eq(mine) if member.flow is In else mine.eq(its)
        m.d.comb += [
            engine.error_write.eq(self.error_write), engine.error_index.eq(self.error_index),
            engine.error_value.eq(self.error_value),
        ]

        # What the operation is
        op, operand, pc = Signal(2), Signal(3), Signal(POSITION_BITS)
        with m.If(self.start):
            m.d.sync += [op.eq(self.op), operand.eq(self.operand), pc.eq(self.pc)]
        forward = engine.sum_valid & (op == Op.FORWARD)
        transposed = engine.sum_valid & (op == Op.TRANSPOSED)

        # Random words of the element whose sum leaves now
        words = [Const(0, RANDOM_BITS)] * 4
        stochastic = "stochastic" in (r.rounding.accumulator, r.rounding.state, r.rounding.delta)
        noisy = r.devices.read_noise > 0
        if stochastic or noisy:
            lead = Generator.LATENCY + noisy * Noise.LATENCY
            m.submodules.elements = elements = Elements(g, lead)
            index = Cat(elements.index, Const(0, ELEMENT_BITS - len(elements.index)), pc)
            m.d.comb += [elements.start.eq(self.start), elements.op.eq(self.op)]
        if stochastic:
            m.submodules.generator = generator = Generator(r.key, 0x80 | g.layer)
            m.d.comb += [
                generator.index.eq(delayed(m, index, lead - Generator.LATENCY)), generator.step.eq(self.step),
            ]
            words = [rounding_word(generator.x, generator.y, view) for view in range(4)]
        word_converter, word_state, word_delta, word_nudge = words

        # The sum as it is read
        total = engine.sum
        if noisy:
            m.submodules.noise_generator = generator = Generator(r.key, 0x90 | g.layer)
            m.submodules.noise = noise = Noise(r)
            m.d.comb += [
                generator.index.eq(index), generator.step.eq(self.run),
                noise.x.eq(generator.x), noise.y.eq(generator.y), noise.transposed.eq(op == Op.TRANSPOSED),
            ]
            total = engine.sum + noise.noise

        # z + 2: converted sums
        def converter(name, frac):
            m.submodules[f"converter_{name}"] = converter = Requantize(
                len(total), f.weight.frac + frac - f.accumulator.frac, f.accumulator.width,
                r.rounding.accumulator, r.overflow.accumulator)
            m.d.comb += [converter.value.eq(total), converter.random.eq(word_converter)]
            return converter

        drive = converter("forward", f.state.frac)
        drive_valid, index = delayed(m, forward, 2), history(m, engine.sum_index, 11)
        m.d.comb += [
            self.drive_write.eq(drive_valid), self.drive_index.eq(index[2]),
            self.drive_value.eq(drive.result),
            self.events_weight.eq(engine.weight_out_of_range),
        ]
        accumulator_events = [drive_valid & drive.out_of_range]
        if g.layer > 0:
            feedback = converter("transposed", f.delta.frac)
            m.d.comb += [
                self.feedback_valid.eq(delayed(m, transposed, 2)),
                self.feedback_index.eq(index[2]), self.feedback_value.eq(feedback.result),
                self.feedback_random.eq(delayed(m, Cat(word_state, word_delta), 2)),
            ]
            accumulator_events.append(self.feedback_valid & feedback.out_of_range)

        # The dyad
        m.submodules.dyad = dyad = Dyad(r, g.layer)
        m.d.comb += [
            self.state_value.eq(dyad.mean), self.error_value.eq(dyad.difference),
            self.events_delta.eq(self.error_write & dyad.difference_out_of_range),
        ]
        if g.is_last:
            b_event = self._last(m, operand, forward, index, drive, word_state, word_delta, word_nudge)
            accumulator_events.append(b_event)
            m.d.comb += self.events_state.eq(self.state_valid & dyad.mean_out_of_range)
        else:
            self._hidden(m, drive_valid, index, drive, word_state)
            mean_valid = self.state_valid | self.revised_valid
            m.d.comb += self.events_state.eq(mean_valid & dyad.mean_out_of_range)
        m.d.comb += self.events_accumulator.eq(sum(accumulator_events))
        return m

    def _hidden(self, m, drive_valid, index, drive, word_state):
        """Drive memory, and the dyad between the layer's own forward and feedback from above."""
        g = self._geometry
        dyad = m.submodules.dyad
        m.submodules.drives = drives = Memory(
            shape=signed(len(self.drive_value)), depth=max(2, g.R), init=[])
        write, read = drives.write_port(), drives.read_port()
        m.d.comb += [
            write.en.eq(self.drive_write), write.addr.eq(self.drive_index), write.data.eq(self.drive_value),
            read.addr.eq(self.received_index),
        ]
        revises = hardware.down(g.recipe, g.layer + 1).revises
        # v: received; v + 2: at the dyad with its drive; its random words there three cycles later
        received_valid = history(m, self.received_valid, 7)
        received_index = history(m, self.received_index, 7)
        at_dyad = received_valid[2]
        recalled, received = delayed(m, read.data, 1), delayed(m, self.received_value, 2)
        random_state = Mux(received_valid[5], delayed(m, self.received_random[:RANDOM_BITS], 5),
                           delayed(m, word_state, 5))
        m.d.comb += [
            dyad.a.eq(Mux(at_dyad, recalled, drive.result)), dyad.b.eq(Mux(at_dyad, received, 0)),
            dyad.random_state.eq(random_state),
            dyad.random_delta.eq(delayed(m, self.received_random[RANDOM_BITS:], 5)),
            self.state_valid.eq(delayed(m, drive_valid, dyad.LATENCY)), self.state_index.eq(index[7]),
            self.revised_valid.eq(received_valid[7] if revises else 0), self.revised_index.eq(received_index[7]),
            self.revised_value.eq(dyad.mean),
            self.error_write.eq(received_valid[7]), self.error_index.eq(received_index[7]),
        ]

    def _last(self, m, operand, forward, index, drive, word_state, word_delta, word_nudge):
        """Nudge and loss; the event of a nudge out of range."""
        g = self._geometry
        dyad = m.submodules.dyad
        m.submodules.nudge = nudge = Nudge(g.recipe)
        # the variant travels with the element: the engine's next operation may start while it is under way
        valid, nudged = history(m, forward, 11), history(m, operand == Operand.NUDGE, 11)
        m.d.comb += [
            nudge.a.eq(drive.result), nudge.target.eq(index[2] == self.label),
            nudge.random.eq(delayed(m, word_nudge, 4)),
            dyad.a.eq(delayed(m, drive.result, 4)), dyad.b.eq(Mux(nudged[6], nudge.b, 0)),
            dyad.random_state.eq(delayed(m, word_state, 9)), dyad.random_delta.eq(delayed(m, word_delta, 9)),
            self.state_valid.eq(valid[11]), self.state_index.eq(index[11]),
            self.error_write.eq(valid[11] & nudged[11]), self.error_index.eq(index[11]),
        ]
        # z + 4: the error; z + 6: its square; z + 7: in the loss
        m.submodules.square = square = Multiplier(len(nudge.error), len(nudge.error))
        first = index[6] == 0
        free = delayed(m, operand == Operand.FREE, 6)
        subtract = delayed(m, operand == Operand.SUBTRACT, 6)
        m.d.comb += [square.a.eq(nudge.error), square.b.eq(nudge.error)]
        with m.If(valid[6]):
            with m.If(free):
                m.d.sync += self.loss.eq(0)
            with m.Elif(subtract):
                m.d.sync += self.loss.eq(self.loss - square.product)
            with m.Else():
                m.d.sync += self.loss.eq(Mux(first, 0, self.loss) + square.product)
        return valid[6] & nudged[6] & nudge.b_out_of_range

