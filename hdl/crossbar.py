"""The row engine: one weight memory, one row of multipliers, four operations (contract section 3)."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..recipe import LEAD, NOISE, POSITION_BITS, SIGNS, SLOPE, Geometry, Op, Operation, Recipe, clog2, table
from .choose import ByOperation, choose, either, held, index_bits, settled
from .delay import delayed, history
from .elements import count, vector
from .families import Platform
from .multiplier import Multiplier
from .rng import INDEX_BITS, VIEWS, Generator, negative, of_sample, rounding_word
from .scalar import lending, opposite_of, scalar_of
from .stores import chosen_store, met, stores
from .update import Update

AHEAD = 11
"""Cycles from the `coming` ports to the sum: what generator and noise take together."""


class Crossbar(wiring.Component):
    """The matrices and stores of one engine, and the lanes that sweep them, one word per cycle.

    ::

        cycle  c - 6  the walk names the slot
               c      its addresses at the memories
               c + 1  memory outputs
               c + 2  registered outputs; signs of the generator
               c + 3  operands of the multipliers
               c + 4  products
               then   forward: adder tree, lv cycles, sum over folds: c + 5 + lv
                      transposed: column sums, c + 5; a row of them shifts out from c + 6
                      update, probe: new weights, written in c + 7

    Parameters
    ----------
    recipe : Recipe
    engine : int
        What it can do is in ``table.engines(recipe)[engine]``.

    Attributes
    ----------
    initial : list of int
        Words that the memory holds at power-up; any by default.

    Members
    -------
    As listed and defined in contract section 3.
    """

    def __init__(self, recipe: Recipe, engine: int):
        self.initial: list[int] = []
        if not 0 <= engine < len(recipe.engine_lanes):
            raise ValueError(f"engine {engine}; allowed are 0 to {len(recipe.engine_lanes) - 1}")
        self._recipe = r = recipe
        self._table = t = table.engines(recipe)[engine]
        f = recipe.formats
        self._of = of = ByOperation.of(recipe, t)
        reads = [(g, step) for g, step in of.pairs if step.reads]
        self._elements = max((g.R if step.op is Op.FORWARD else g.D for g, step in reads), default=1)
        sum_width = max((g.sums(step) for g, step in reads), default=1)
        word, address = t.lanes * t.width, index_bits(t.words)
        number, index = index_bits(len(t.operations)), index_bits(self._elements)
        super().__init__(
            {
                "start": In(1),
                "number": In(number),
                "pc": In(POSITION_BITS),
                "rate": In(3),
                "slope": In(signed(f.delta.width)),
                "step": In(32),
                **({"turn": In(clog2(r.samples_in_flight))} if r.samples_in_flight > 1 else {"bank": In(1)}),
                **{
                    f"store{i}": In(vector(r.sizes[x.population], signed(getattr(f, x.format).width), x.slots))
                    for i, x in enumerate(t.memories)
                },
                "coming_valid": Out(1),
                "coming_number": Out(number),
                "coming_index": Out(index),
                "coming_pc": Out(POSITION_BITS),
                "sum_valid": Out(1),
                "sum_number": Out(number),
                "sum_index": Out(index),
                "sum": Out(signed(sum_width)),
                "word_address": In(address),
                "word_write": In(1),
                "word_in": In(word),
                "word_out": Out(word),
                "weight_write": Out(1),
                "weight_address": Out(address),
                "weight_word": Out(word),
                "weight_out_of_range": Out(index_bits(t.lanes + 1)),
                "weight_outside": Out(t.lanes),
            }
        )
        # `sum_valid` and `sum_number` a cycle before, so that who the sum is for can be a register
        self.next_valid = Signal(name="next_valid")
        self.next_number = Signal(number, name="next_number")

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        L, lv = self._table.lanes, clog2(self._table.lanes)
        r, f, operations, width = self._recipe, self._recipe.formats, self._table.operations, self._table.width
        rewrites = [step for step in operations if not step.reads]

        def is_op(number: Value, *ops: Op) -> Value:
            return self._of(number, lambda g, s: s.op in ops, 1)

        def of_walk(value: Callable[[Geometry, Operation], int], only: Callable[[Operation], bool] | None = None) -> Value:
            """Return a number of the operation that the walk is at."""
            return held(m, self.start, self._of(self.number, value, only=only))

        # The walk over the words, LEAD cycles ahead of the slots
        running = Signal()
        number = Signal.like(self.number)
        pc = Signal.like(self.pc)
        address = Signal(index_bits(max((g.N for g in self._of.geometry), default=1)))  # within the matrix
        row = Signal(index_bits(max((g.P for g in self._of.geometry), default=1)))
        fold = Signal(index_bits(max((g.F for g in self._of.geometry), default=1)))
        transposed = of_walk(lambda g, s: s.op is Op.TRANSPOSED)
        end = of_walk(lambda g, s: g.R - 1)
        folds, pause = (of_walk(value, lambda s: s.op is Op.TRANSPOSED) for value in (lambda g, s: g.F, lambda g, s: g.P - 1))
        first_row, last_row = row == 0, row == end
        first_fold, last_fold = fold == 0, fold == of_walk(lambda g, s: (g.T if s.op is Op.TRANSPOSED else g.F) - 1)
        with m.If(self.start):
            m.d.sync += [running.eq(1), number.eq(self.number), pc.eq(self.pc), address.eq(0), row.eq(0), fold.eq(0)]
        with m.Elif(transposed):
            m.d.sync += [row.eq(row + 1), address.eq(address + folds)]
            with m.If(row == pause):
                m.d.sync += [row.eq(0), fold.eq(fold + 1), address.eq(fold + 1)]
            with m.If(last_row & last_fold):
                m.d.sync += running.eq(0)
        with m.Else():
            m.d.sync += [fold.eq(fold + 1), address.eq(address + 1)]
            with m.If(last_fold):
                m.d.sync += [fold.eq(0), row.eq(row + 1), running.eq(running & ~last_row)]
        pauses = any(g.P > g.R and s.op is Op.TRANSPOSED for g, s in self._of.pairs)
        active = running & (row <= end) if pauses else running

        # Properties of a slot, [n] cycles after its issue. They travel with it: the next operation may start while slots drain.
        number_at = history(m, number, LEAD + 7)[LEAD:]
        active_at = history(m, active, LEAD + 7)[LEAD:]
        first_row_at, last_row_at = (history(m, x, LEAD + 5)[LEAD:] for x in (first_row, last_row))
        first_fold_at, last_fold_at = (history(m, x, LEAD + 5 + lv)[LEAD:] for x in (first_fold, last_fold))
        forward_slots = active & is_op(number, Op.FORWARD)
        base = self._of(number, lambda g, s: self._table.base.get(g.matrix.of or g.matrix.name, 0), len(self.word_address))
        address_at = history(m, delayed(m, address + base, 1)[: len(self.word_address)], LEAD + 6)[LEAD - 1 :]

        # c: memories
        m.submodules.weights = weights = Memory(shape=len(self.word_in), depth=max(2, self._table.words), init=self.initial)
        weights_read = weights.read_port()
        m.d.comb += weights_read.addr.eq(Mux(active_at[0], address_at[0], self.word_address))
        streams = [getattr(self, f"store{i}") for i in range(len(self._table.memories))]
        places = delayed(m, row, LEAD), delayed(m, fold, LEAD)
        columns, rows = stores(m, self._of, streams, getattr(self, "bank", None), number_at[0], *places)

        # c + 2: registers behind the memories
        stored = Signal(len(self.word_in), reset_less=True)  # so that it can be the memory block's own
        m.d.sync += stored.eq(weights_read.data)
        m.d.comb += self.word_out.eq(stored)
        old = [stored.word_select(lane, width).as_signed() for lane in range(L)]
        seen = old
        for hidden in sorted({v.hidden_bits for v in self._table.views} - {0}):
            its = choose(number_at[2], [g.recipe.hidden_bits == hidden if s.reads else None for g, s in self._of.pairs], 1)
            seen = [either(its, Cat(Const(1 << hidden - 1, hidden), w[hidden:]).as_signed(), v) for w, v in zip(old, seen, strict=True)]

        def beyond(lane: int, number: Value) -> Value:
            """Return whether a lane is beyond the last column in the last fold."""
            return self._of(number, lambda g, s: lane >= g.C - (g.F - 1) * L, 1)

        column = chosen_store(m, self._of, number_at[0], "column", columns)
        rate, *raised = lending(m, self._of, number_at[0], self.rate)

        def raise_(value: Value, cycle: int) -> Value:
            """Return a column's element of c + 1 or c + 2 as the lane takes it."""
            return either(raised[cycle - 1], value.shift_left(self._table.lent), value)

        # lanes beyond the last column are never written: whatever the memory holds there, they are 0
        x = [
            Const(0, signed(f.state.width + self._table.lent))  # as wide as what may stand there in its place: noise
            if not columns
            else delayed(m, raise_(met(self._of, column[lane], lane, number_at[1], last_fold_at[1], beyond(lane, number_at[1])), 1), 1)
            for lane in range(L)
        ]
        element = chosen_store(m, self._of, number_at[0], "row", rows)

        # Generators, fed LEAD cycles before the slot: their pairs arrive in c + 2. Index and stream are the matrix's own.
        groups = -(-L // VIEWS)

        def pairs_of(name: str, stream: int, step: Value | None = None, word: Value = address) -> list[tuple[Value, Value]]:
            made = []
            for group in range(groups):
                m.submodules[f"{name}{group}"] = generator = Generator(r.key, stream)
                m.d.comb += [
                    generator.layer.eq(self._of(number, lambda g, s: g.layer, 4)),
                    generator.index.eq(Cat(Const(group, clog2(groups)), word)[:INDEX_BITS]),
                ]
                if step is not None:
                    m.d.comb += generator.step.eq(step)
                made.append((generator.x, generator.y))
            return made

        signs_used = any(s.op is Op.PROBE or s.column == SIGNS for s in rewrites)
        stochastic = bool(rewrites) and r.rounding.weight == "stochastic"
        started = Mux(self.start, self.number, number)
        its_step = delayed(m, of_sample(self.step, self.turn, started), 1) if "turn" in self.signature.members else self.step
        pairs = pairs_of("generator", 0, its_step) if signs_used or stochastic else []
        stuck = []
        if r.stuck_limit and rewrites:
            stuck_pairs = pairs_of("stuck", 0x40)
            stuck = [rounding_word(*stuck_pairs[i // VIEWS], i % VIEWS) < r.stuck_limit for i in range(L)]
        # what reads see where no memory holds their matrix: signs of the weights, or of the generator whatever the step
        sources = {g.matrix.source for g, s in self._of.pairs if s.reads}
        drawn = pairs_of("feedback", 0xA0) if "generator" in sources else []
        noisy = [s.column == NOISE for s in operations]
        columns_of_noise = pairs_of("column_noise", 0xE0, its_step, fold) if any(noisy) else []
        pairs_next = [(delayed(m, a, 1), delayed(m, b, 1)) for a, b in pairs]

        # c + 2: operands; the scalar of a rewriting slot is a register, since it goes to all lanes
        rewriting = is_op(number_at[2], Op.UPDATE, Op.PROBE)
        scalar: Value = scalar_of(m, self._of, number_at[0], rows, self.slope, rate) if rewrites else Const(0, signed(1))
        shaken = [s.row == SLOPE and s.column != SIGNS for s in operations]
        if any(shaken):  # the slope with the sign of the row's noise
            m.submodules.node_signs = signs = Generator(r.key, 0xD0)
            m.d.comb += [signs.layer.eq(self._of(number, lambda g, s: g.layer, 4)), signs.index.eq(row), signs.step.eq(its_step)]
            opposite = opposite_of(m, self._of, number_at[0], self.slope, rate)
            scalar = Mux(choose(number_at[2], shaken, 1) & negative(signs.x, signs.y, 0), opposite, scalar)
        e = delayed(m, element, 1)
        a_width = max(width, len(scalar))
        b_width = max([len(v) for v in x] + [len(e)] + [2])
        is_transposed = is_op(number_at[2], Op.TRANSPOSED)
        source = {
            kind: choose(number_at[2], [g.matrix.source == kind if s.reads else None for g, s in self._of.pairs], 1) for kind in sources
        }
        levels = [g.recipe.feedback_level if g.matrix.source != "memory" else None for g, _ in self._of.pairs]
        up, down = (choose(number_at[2], [None if v is None else sign * v for v in levels], signed(width)) for sign in (1, -1))
        minus: Value
        products = []
        for i in range(L):
            m.submodules[f"multiplier{i}"] = multiplier = Multiplier(a_width, b_width)
            b: Value = x[i]
            if any(noisy):  # columns that are signs times sigma
                plus, minus = (Const(v, signed(f.state.width)) for v in (r.noise_level, -r.noise_level))
                shown = raise_(Mux(negative(*columns_of_noise[i // VIEWS], i % VIEWS), minus, plus), 2)
                shown = Mux(last_fold_at[2] & beyond(i, number_at[2]), 0, shown)
                b = Mux(choose(number_at[2], noisy, 1), shown, b)
            if signs_used:
                sign = Mux(negative(*pairs[i // VIEWS], i % VIEWS), Const(-1, signed(2)), Const(1, signed(2)))
                sign = Mux(last_fold_at[2] & beyond(i, number_at[2]), 0, sign)
                b = Mux(self._of(number_at[2], lambda g, s: s.op is Op.PROBE or s.column == SIGNS, 1), sign, b)
            weight: Value = seen[i]
            for kind in sorted(sources - {"memory"}):
                minus = old[i][-1] if kind == "signs" else negative(*drawn[i // VIEWS], i % VIEWS)
                weight = Mux(source[kind], Mux(minus, down, up), weight)
            m.d.comb += [multiplier.a.eq(Mux(rewriting, scalar, weight)), multiplier.b.eq(Mux(is_transposed, e, b))]
            products.append(multiplier.product)

        # Forward: c + 4 products, c + 4 + lv their sum, c + 5 + lv the sum over folds
        def sums(values: list[Value]) -> Value:
            if len(values) == 1:
                return values[0]
            paired = [delayed(m, p + q, 1) for p, q in zip(values[::2], values[1::2], strict=False)]
            return sums(paired + [delayed(m, v, 1) for v in values[len(values) & ~1 :]])

        wide = len(self.sum)
        row_sum = sums([p[: min(len(p), width + f.state.width)].as_signed() for p in products])
        total = Signal(signed(wide))
        m.d.comb += total.eq(row_sum + Mux(first_fold_at[4 + lv], 0, self.sum))

        # Transposed: c + 4 products, c + 5 column sums, c + 6 the row of them starts to shift out
        column_out, leaving = self._drain(m, products, number_at, active_at, first_row_at, last_row_at, last_fold_at)

        # The sum port, and AHEAD cycles before it which element is coming
        lanes = Mux(last_fold, of_walk(lambda g, s: g.D - (g.T - 1) * L, lambda s: s.op is Op.TRANSPOSED), L)
        self._coming(m, number, pc, forward_slots & last_fold, running & transposed & last_row, lanes)
        valid, taken = (history(m, v, AHEAD) for v in (self.coming_valid, self.coming_number))
        m.d.comb += [
            self.sum_valid.eq(valid[-1]),
            self.sum_number.eq(taken[-1]),
            self.next_valid.eq(valid[-2]),
            self.next_number.eq(taken[-2]),
        ]
        m.d.sync += self.sum.eq(Mux(leaving, column_out, total))
        self._count_elements(m, self.sum_index, self.sum_valid, self.sum_number)

        # Update and probe: c + 4 old weight, product, rounding word; c + 7 new weight
        if rewrites:
            news, outside = [], []
            decays = tuple(dict.fromkeys(s.decay for s in rewrites if s.op is Op.UPDATE))
            formats = settled(m, self._of(number_at[3], lambda g, s: self._table.views.index(g.recipe), only=lambda s: not s.reads))
            probe = settled(m, is_op(number_at[3], Op.PROBE))
            decay = settled(m, self._of(number_at[3], lambda g, s: decays.index(s.decay), only=lambda s: s.op is Op.UPDATE))
            for i in range(L):
                m.submodules[f"update{i}"] = update = Update(self._table.views, decays)
                m.d.comb += [
                    update.weight.eq(delayed(m, old[i], 2)),
                    update.product.eq(products[i][: len(update.product)].as_signed()),
                    update.probe.eq(probe),
                    update.decay.eq(decay),
                ]
                if len(self._table.views) > 1:
                    m.d.comb += update.format.eq(formats)
                if stochastic:
                    m.d.comb += update.random.eq(delayed(m, rounding_word(*pairs_next[i // VIEWS], i % VIEWS), 1))
                result, out_of_range = update.result, update.out_of_range
                if stuck:
                    fixed = delayed(m, stuck[i], 5)
                    result = Mux(fixed, delayed(m, old[i], 5), result)[:width]
                    out_of_range = out_of_range & ~fixed
                news.append(result)
                outside.append(out_of_range)
            rewrite = delayed(m, active_at[6] & is_op(number_at[6], Op.UPDATE, Op.PROBE), 1)
        else:
            rewrite, news, outside = Const(0), [Const(0, width)] * L, [Const(0)]
        weights_write = weights.write_port()
        m.d.comb += [
            self.weight_write.eq(rewrite | self.word_write),
            self.weight_address.eq(Mux(rewrite, address_at[7], self.word_address)),
            self.weight_word.eq(Mux(rewrite, Cat(news), self.word_in)),
            self.weight_outside.eq(Mux(rewrite, Cat(outside), 0)),
            self.weight_out_of_range.eq(count(list(self.weight_outside))),
            weights_write.en.eq(self.weight_write),
            weights_write.addr.eq(self.weight_address),
            weights_write.data.eq(self.weight_word),
        ]
        return m

    def _drain(
        self,
        m: Module,
        products: list[Value],
        number_at: list[Value],
        active_at: list[Value],
        first_row_at: list[Value],
        last_row_at: list[Value],
        last_fold_at: list[Value],
    ) -> tuple[Value, Value]:
        """Column sums, and the shift register in which a row of them leaves: its first element, and whether it leaves now."""
        L, f, width = self._table.lanes, self._recipe.formats, self._table.width
        reads = [(g, s) for g, s in self._of.pairs if s.op is Op.TRANSPOSED]
        if not reads:
            return Const(0, signed(1)), Const(0)
        wide = max(g.sums(s) for g, s in reads)
        shape = signed(wide)
        adds = active_at[4] & self._of(number_at[4], lambda g, s: s.op is Op.TRANSPOSED, 1)
        kinds = [self._recipe.formats.state.width if s.row in self._recipe.states else f.delta.width for _, s in reads]
        columns, ends = [], delayed(m, adds & last_row_at[4], 1)
        for i, product in enumerate(products):
            column = Signal(shape, name=f"column{i}")
            with m.If(adds):
                part = product[: min(len(product), width + max(kinds))].as_signed()
                m.d.sync += column.eq(Mux(first_row_at[4], 0, column) + part)
            columns.append(column)
        waiting = [Signal(shape, name=f"waiting{i}") for i in range(L)]
        pending = Signal(L)
        leaving = Signal(L)
        number = delayed(m, number_at[4], 1)
        tail = self._of(number, lambda g, s: (1 << g.D - (g.T - 1) * L) - 1, L, lambda s: s.op is Op.TRANSPOSED)
        m.d.comb += leaving.eq(Mux(ends, Mux(last_fold_at[5], tail, (1 << L) - 1), pending))
        m.d.sync += pending.eq(leaving >> 1)
        for i in range(L - 1):
            m.d.sync += waiting[i].eq(Mux(ends, columns[i + 1], waiting[i + 1]))
        return Mux(ends, columns[0], waiting[0]), leaving[0]

    def _coming(self, m: Module, number: Signal, pc: Signal, last_slot: Value, ends_fold: Value, lanes: Value) -> None:
        """Say AHEAD cycles before each sum that it is coming, of which operation and which element.

        `last_slot` is a row's, read forward; `ends_fold` where the walk names the last row of a transposed read's fold of `lanes` lanes.
        """
        lv = clog2(self._table.lanes)
        ends_row = delayed(m, last_slot, lv)
        number_row, pc_row = delayed(m, number, lv), delayed(m, pc, lv)
        # transposed: the lanes of a fold come one after the other, from the cycle after the walk has named its last row
        left = Signal(range(self._table.lanes + 1))
        number_fold = Signal.like(number)
        pc_fold = Signal.like(pc)
        with m.If(ends_fold):
            m.d.sync += [left.eq(lanes), number_fold.eq(number), pc_fold.eq(pc)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        draining = left != 0
        m.d.comb += [
            self.coming_valid.eq(ends_row | draining),
            self.coming_number.eq(Mux(draining, number_fold, number_row)),
            self.coming_pc.eq(Mux(draining, pc_fold, pc_row)),
        ]
        self._count_elements(m, self.coming_index, self.coming_valid, self.coming_number)

    def _count_elements(self, m: Module, index: Signal, valid: Value, number: Value) -> None:
        """Number the elements of each read from 0 on."""
        last = self._of(number, lambda g, s: (g.R if s.op is Op.FORWARD else g.D) - 1, len(index), lambda s: s.reads)
        with m.If(valid):
            m.d.sync += index.eq(Mux(index == last, 0, index + 1))
