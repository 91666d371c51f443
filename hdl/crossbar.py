"""The row engine: one weight memory, one row of multipliers, three operations (contract section 3)."""

from __future__ import annotations

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..recipe import LEAD, Geometry, Op, Operand, clog2, hardware
from .delay import delayed, history
from .rng import INDEX_BITS, VIEWS, Generator, negative, rounding_word
from .update import Update

DSP_WIDTH = 18
"""Operand bits of an ECP5 DSP block."""


def index_bits(n: int) -> int:
    """Bits of a port that numbers `n` things; at least one."""
    return max(1, clog2(n))


def _count(bits):
    """How many of some bits are set: a balanced tree of adders."""
    if len(bits) == 1:
        return bits[0]
    return _count(bits[::2]) + _count(bits[1::2])


class Multiplier(wiring.Component):
    """Signed product with registered operands and result: latency 2, one product per cycle.

    On ECP5 the registers are the DSP block's own.

    Members
    -------
    a : In(signed(width_a))
    b : In(signed(width_b))
    product : Out(signed(width_a + width_b))
    """

    LATENCY = 2

    def __init__(self, width_a: int, width_b: int):
        super().__init__({
            "a": In(signed(width_a)), "b": In(signed(width_b)), "product": Out(signed(width_a + width_b)),
        })

    def elaborate(self, platform):
        m = Module()
        if max(len(self.a), len(self.b)) <= DSP_WIDTH and getattr(platform, "device", "").startswith("LFE5"):
            # synthesis does not move registers into this family's DSP blocks
            product = Signal(2 * DSP_WIDTH)
            registers = {
                f"p_REG_{name}_{pin}": f"{pin}0" for name in ("INPUTA", "INPUTB", "OUTPUT")
                for pin in ("CLK", "CE", "RST")}
            m.submodules.dsp = Instance(
                "MULT18X18D", **registers, p_REG_INPUTC_CLK="NONE", p_REG_PIPELINE_CLK="NONE",
                i_CLK0=ClockSignal(), i_CE0=Const(1), i_RST0=Const(0),
                i_SIGNEDA=Const(1), i_SIGNEDB=Const(1), i_SOURCEA=Const(0), i_SOURCEB=Const(0),
                **{f"i_A{i}": self.a[min(i, len(self.a) - 1)] for i in range(DSP_WIDTH)},
                **{f"i_B{i}": self.b[min(i, len(self.b) - 1)] for i in range(DSP_WIDTH)},
                **{f"o_P{i}": product[i] for i in range(2 * DSP_WIDTH)})
            m.d.comb += self.product.eq(product)
        else:
            m.d.sync += self.product.eq(delayed(m, self.a, 1) * delayed(m, self.b, 1))
        return m


class Crossbar(wiring.Component):
    """Weights, inputs and errors of one layer, and the engine that sweeps them, one word of lanes per cycle.

    ::

        cycle  c      addresses of a slot at the memories
               c + 1  memory outputs
               c + 2  registered outputs; signs of the generator
               c + 3  operands of the multipliers
               c + 4  products
               then   forward: adder tree, lv cycles, sum over folds: c + 5 + lv
                      transposed: column sums, c + 5; a row of them shifts out from c + 6
                      update, probe: new weights, written in c + 7

    Parameters
    ----------
    geometry : Geometry
    banks : int
        2: the input memory is doubled, reads use bank `bank`, writes the other.

    Members
    -------
    As listed and defined in contract section 3.
    """

    def __init__(self, geometry: Geometry, banks: int = 1):
        if banks not in (1, 2):
            raise ValueError(f"Crossbar: {banks} banks; allowed are 1 and 2")
        self._geometry, self._banks = g, _ = geometry, banks
        f = g.recipe.formats
        word, address = g.L * f.weight.width, index_bits(g.N)
        super().__init__({
            "start": In(1), "op": In(2), "operand": In(3),
            "rate": In(3), "slope": In(signed(f.delta.width)), "step": In(32), "bank": In(1),
            "input_write": In(1), "input_index": In(index_bits(g.C)),
            "input_value": In(signed(f.state.width)),
            "error_write": In(1), "error_index": In(index_bits(g.R)),
            "error_value": In(signed(f.delta.width)),
            "sum_valid": Out(1), "sum_index": Out(index_bits(max(g.R, g.C))), "sum": Out(signed(g.sum_width)),
            "word_address": In(address), "word_write": In(1), "word_in": In(word), "word_out": Out(word),
            "weight_write": Out(1), "weight_address": Out(address), "weight_word": Out(word),
            "weight_out_of_range": Out(index_bits(g.L + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        g = self._geometry
        r, f = g.recipe, g.recipe.formats
        tail = g.C - (g.F - 1) * g.L        # lanes in use in the last fold

        # Mode of the running operation
        op, operand = Signal(2), Signal(3)
        with m.If(self.start):
            m.d.sync += [op.eq(self.op), operand.eq(self.operand)]
        transposed, rewriting, probing = op == Op.TRANSPOSED, op[1], op == Op.PROBE
        forward = op == Op.FORWARD
        signs_used = r.signed
        signs = (probing | (operand == Operand.SLOPE)) if signs_used else Const(0)

        # The walk over the words, LEAD cycles ahead of the slots
        running, address = Signal(), Signal(index_bits(g.N))
        row, fold = Signal(index_bits(g.P)), Signal(index_bits(g.F))
        last_row, last_fold = row == g.R - 1, fold == g.F - 1
        with m.If(self.start):
            m.d.sync += [running.eq(1), address.eq(0), row.eq(0), fold.eq(0)]
        with m.Elif(transposed):
            m.d.sync += [row.eq(row + 1), address.eq(address + g.F)]
            with m.If(row == g.P - 1):
                m.d.sync += [row.eq(0), fold.eq(fold + 1), address.eq(fold + 1)]
                m.d.sync += running.eq(running & ~last_fold)
        with m.Else():
            m.d.sync += [fold.eq(fold + 1), address.eq(address + 1)]
            with m.If(last_fold):
                m.d.sync += [fold.eq(0), row.eq(row + 1), running.eq(running & ~last_row)]
        active = running if g.P == g.R else running & (row < g.R)

        # Properties of a slot, [n] cycles after its issue
        end = 7 + g.lv
        # the kind of a slot travels with it: the next operation may start while the last slots drain
        forward_at = history(m, active & forward, LEAD + end)[LEAD:]
        transposed_at = history(m, active & transposed, LEAD + 4)[LEAD:]
        rewriting_at = history(m, active & rewriting, LEAD + 7)[LEAD:]
        active_slot = delayed(m, active, LEAD)
        address_at = history(m, address, LEAD + 7)[LEAD:]
        first_row_at = history(m, row == 0, LEAD + 4)[LEAD:]
        last_row_at = history(m, last_row, LEAD + 4)[LEAD:]
        first_fold_at = history(m, fold == 0, LEAD + end)[LEAD:]
        last_fold_at = history(m, last_fold, LEAD + end)[LEAD:]

        # c: memories
        m.submodules.weights = weights = Memory(shape=len(self.word_in), depth=max(2, g.N), init=[])
        m.submodules.inputs = inputs = Memory(
            shape=ArrayLayout(signed(f.state.width), g.L), depth=max(2, self._banks << clog2(g.F)), init=[])
        m.submodules.errors = errors = Memory(shape=signed(f.delta.width), depth=max(2, g.R), init=[])
        row_at_slot, fold_at_slot = delayed(m, row, LEAD), delayed(m, fold, LEAD)[:clog2(g.F)]
        weights_read, inputs_read, errors_read = (x.read_port() for x in (weights, inputs, errors))
        banked = self._banks == 2
        m.d.comb += [
            weights_read.addr.eq(Mux(active_slot, address_at[0], self.word_address)),
            inputs_read.addr.eq(Cat(fold_at_slot, self.bank) if banked else fold_at_slot),
            errors_read.addr.eq(row_at_slot),
        ]
        # c + 2: registers behind the memories
        stored = delayed(m, weights_read.data, 1)
        # lanes beyond the last column are never written: whatever the memory holds there, they are 0
        there = [Mux(last_fold_at[1], 0, inputs_read.data[lane]) if lane >= tail else inputs_read.data[lane] for lane in range(g.L)]
        x = [delayed(m, value, 1) for value in there]
        e = delayed(m, errors_read.data, 1)
        m.d.comb += self.word_out.eq(stored)
        old = [stored.word_select(lane, f.weight.width).as_signed() for lane in range(g.L)]
        hidden = r.hidden_bits
        seen = [Cat(Const(1 << hidden - 1, hidden), w[hidden:]).as_signed() for w in old] if hidden else old

        # Writes of elements
        inputs_write, errors_write = inputs.write_port(granularity=1), errors.write_port()
        lane, column_fold = self.input_index[:g.lv], self.input_index[g.lv:g.lv + clog2(g.F)]
        m.d.comb += [
            inputs_write.addr.eq(Cat(column_fold, ~self.bank) if banked else column_fold),
            [inputs_write.data[i].eq(self.input_value) for i in range(g.L)],
            inputs_write.en.eq(Mux(self.input_write, Const(1, g.L) << lane, 0)),
            errors_write.addr.eq(self.error_index), errors_write.data.eq(self.error_value),
            errors_write.en.eq(self.error_write),
        ]

        # The generator: fed LEAD cycles before the slot, its pair arrives in c + 2
        pairs = []
        if signs_used or r.rounding.weight == "stochastic":
            for group in range(g.G):
                m.submodules[f"generator{group}"] = generator = Generator(r.key, g.layer)
                m.d.comb += [
                    generator.index.eq(Cat(Const(group, clog2(g.G)), address)[:INDEX_BITS]),
                    generator.step.eq(self.step),
                ]
                pairs.append((generator.x, generator.y))
        # the same for the cells that are stuck, whatever the step
        stuck = []
        if r.stuck_limit:
            for group in range(g.G):
                m.submodules[f"stuck{group}"] = generator = Generator(r.key, 0x40 | g.layer)
                m.d.comb += generator.index.eq(Cat(Const(group, clog2(g.G)), address)[:INDEX_BITS])
                stuck += [rounding_word(generator.x, generator.y, i) < r.stuck_limit for i in range(min(VIEWS, g.L))]
        # what transposed reads see where no memory holds their matrix: signs of the weights, or of the generator whatever the step
        below, level = hardware.down(r, g.layer).matrix, r.feedback_level
        minus = []
        if below.source == "signs":
            minus = [w[-1] for w in old]
        elif below.source == "generator":
            for group in range(g.G):
                m.submodules[f"feedback{group}"] = generator = Generator(r.key, 0xA0 | g.layer)
                m.d.comb += generator.index.eq(Cat(Const(group, clog2(g.G)), address)[:INDEX_BITS])
                minus += [negative(generator.x, generator.y, i) for i in range(min(VIEWS, g.L))]
        pairs_next = [(delayed(m, x, 1), delayed(m, y, 1)) for x, y in pairs]

        # c + 2: operands; the scalar of a rewriting slot is a register, since it goes to all lanes
        scalar = Signal(signed(g.operand_width))
        error = errors_read.data
        m.d.sync += scalar.eq((Mux(signs, self.slope, error) if signs_used else error) << self.rate)
        if signs_used:
            probe = r.probe << r.update_shift
            with m.If(probing):
                m.d.sync += scalar.eq(Mux(operand == Operand.MINUS, -2 * probe, probe))
        a_shape = signed(max(f.weight.width, g.operand_width))
        b_shape = signed(max(f.state.width, f.delta.width))
        products = []
        for i in range(g.L):
            m.submodules[f"multiplier{i}"] = multiplier = Multiplier(a_shape.width, b_shape.width)
            b = x[i]
            if signs_used:
                sign = Mux(negative(*pairs[i // VIEWS], i % VIEWS), Const(-1, signed(2)), Const(1, signed(2)))
                b = Mux(signs, Mux(last_fold_at[2], 0, sign) if i >= tail else sign, b)
            weight = seen[i]
            if minus:
                weight = Mux(transposed, Mux(minus[i], Const(-level, signed(f.weight.width)), Const(level, signed(f.weight.width))), weight)
            m.d.comb += [
                multiplier.a.eq(Mux(rewriting, scalar, weight)),
                multiplier.b.eq(Mux(transposed, e, b)),
            ]
            products.append(multiplier.product)

        # Forward: c + 4 products, c + 4 + lv their sum, c + 5 + lv the sum over folds
        def sums(values):
            if len(values) == 1:
                return values[0]
            return sums([delayed(m, p + q, 1) for p, q in zip(values[::2], values[1::2], strict=True)])

        row_sum = sums([p[:f.weight.width + f.state.width].as_signed() for p in products])
        total = Signal(signed(g.sum_width))
        forward_end = forward_at[4 + g.lv] & last_fold_at[4 + g.lv]
        m.d.comb += total.eq(row_sum + (Mux(first_fold_at[4 + g.lv], 0, self.sum) if g.F > 1 else 0))

        # Transposed: c + 4 products, c + 5 column sums, c + 6 the row of them starts to shift out
        column_shape = signed(f.weight.width + f.delta.width + clog2(g.R))
        columns, ends = [], delayed(m, transposed_at[4] & last_row_at[4], 1)
        for i, product in enumerate(products):
            column = Signal(column_shape, name=f"column{i}")
            with m.If(transposed_at[4]):
                part = product[:f.weight.width + f.delta.width].as_signed()
                m.d.sync += column.eq(Mux(first_row_at[4], 0, column) + part)
            columns.append(column)
        waiting = [Signal(column_shape, name=f"waiting{i}") for i in range(g.L)]
        pending = Signal(g.L)
        leaving = Signal(g.L)
        m.d.comb += leaving.eq(Mux(ends, Mux(last_fold_at[5], (1 << tail) - 1, (1 << g.L) - 1), pending))
        m.d.sync += pending.eq(leaving >> 1)
        for i in range(g.L - 1):
            m.d.sync += waiting[i].eq(Mux(ends, columns[i + 1], waiting[i + 1]))
        column_out = Mux(ends, columns[0], waiting[0])

        # The sum port: results leave in order, so their index is a count
        m.d.sync += [
            self.sum.eq(Mux(transposed, column_out, total)),
            self.sum_valid.eq(forward_end | leaving[0]),
        ]
        with m.If(self.start):
            m.d.sync += self.sum_index.eq(0)
        with m.Elif(self.sum_valid):
            m.d.sync += self.sum_index.eq(self.sum_index + 1)

        # Update and probe: c + 4 old weight, product, rounding word; c + 7 new weight
        news, outside = [], []
        for i in range(g.L):
            m.submodules[f"update{i}"] = update = Update(g)
            m.d.comb += [
                update.weight.eq(delayed(m, old[i], 2)),
                update.product.eq(products[i]), update.probe.eq(probing),
            ]
            if r.rounding.weight == "stochastic":
                m.d.comb += update.random.eq(delayed(m, rounding_word(*pairs_next[i // VIEWS], i % VIEWS), 1))
            result, out_of_range = update.result, update.out_of_range
            if stuck:
                fixed = delayed(m, stuck[i], 5)
                result = Mux(fixed, delayed(m, old[i], 5), result)[:f.weight.width]
                out_of_range = out_of_range & ~fixed
            news.append(result)
            outside.append(out_of_range)
        rewrite = rewriting_at[7]
        weights_write = weights.write_port()
        m.d.comb += [
            self.weight_write.eq(rewrite | self.word_write),
            self.weight_address.eq(Mux(rewrite, address_at[7], self.word_address)),
            self.weight_word.eq(Mux(rewrite, Cat(news), self.word_in)),
            self.weight_out_of_range.eq(Mux(rewrite, _count(outside), 0)),
            weights_write.en.eq(self.weight_write), weights_write.addr.eq(self.weight_address),
            weights_write.data.eq(self.weight_word),
        ]
        return m
