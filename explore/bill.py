"""Bill of a chip: flip-flops and LUTs, part by part, as one reads them from `hdl` and the table of operations, before any fit."""

from __future__ import annotations

from collections import Counter

from ..recipe import (
    BESIDE,
    CHANGES,
    LONGEST_TRAIN,
    NOISE,
    RANDOM_BITS,
    SIGNS,
    SLOPE,
    Op,
    Recipe,
    Rounding,
    clog2,
    geometries,
    matrix_geometries,
    programs,
    repeats,
    table,
)
from .generators import generator, signs, word, words
from .memories import Words, memories

DSP_WIDTH = 18
"""Bits of a multiplier's operands."""
CHAIN = 4
"""LUTs that packing adds to a chain of carries."""
PULSES = LONGEST_TRAIN.bit_length() + 1
"""Bits of a count of pulses."""
PARTS = (
    "lanes",
    "columns",
    "updates",
    "decay",
    "pulses",
    "slopes",
    "wide",
    "signs",
    "feedback",
    "stuck",
    "generators",
    "noise",
    "converters",
    "neurons",
    "kept",
    "label",
    "control",
    "table",
    "memories",
    "host",
)
"""Parts of a bill."""


def rounded(width: int, shift: int, rounding: Rounding) -> int:
    """Bits of a number that was rounded (contract section 1)."""
    if shift <= 0:
        return width - shift
    if rounding == "stochastic":
        m = min(shift, RANDOM_BITS)
        return max(width - shift + m, m + 1) + 1 - m
    return max(1, width - shift) + (rounding != "floor")


def adder(bits: int) -> int:
    """LUTs of an adder: two bits each, and the ends of its chain."""
    return 2 * -(-bits // 2) + CHAIN if bits else 0


def requantized(parts: tuple[Counter, Counter], part: str, width: int, shift: int, to: int, how: Rounding) -> None:
    """Add a converter that rounds and limits: two registers, an adder of what it rounds, a multiplexer of the limits."""
    ff, lut = parts
    kept = rounded(width, shift, how)
    ff[part] += kept + to + 1
    lut[part] += to * (kept > to) + 4
    if shift > 0 and how != "floor":
        lut[part] += adder(kept + min(shift, RANDOM_BITS) * (how == "stochastic"))


def bill(recipe: Recipe) -> tuple[dict[str, float], dict[str, float]]:
    """Flip-flops and LUTs by part: about what each takes, before the fit corrects it."""
    ff: Counter = Counter()
    lut: Counter = Counter()
    for e, engine in enumerate(table.engines(recipe)):
        _lanes(recipe, engine, ff, lut)
        if any(not s.reads for s in engine.operations):
            _updates(recipe, engine, ff, lut)
        _generators(recipe, engine, ff, lut)
        _converters(recipe, e, engine, ff, lut)
    for k in range(recipe.layers):
        _unit(recipe, k, ff, lut)
    for m in memories(recipe):
        if not m.blocks:
            lut["memories"] += 4 * m.cells + (-(-m.words // 16) - 1) * m.parts * m.bits
            ff["memories"] += m.parts * m.bits
    width = max(e.lanes * e.width for e in table.engines(recipe))
    ff["host"] += 900 + width
    lut["host"] += 1500 + 2 * width
    loss, delta = geometries(recipe)[-1].loss_width, recipe.formats.delta
    for shift in {e.views[0].slope_shift for e in table.engines(recipe) if any(s.row == SLOPE for s in e.operations)}:
        requantized((ff, lut), "signs", loss + 1, shift, delta.width, "nearest")
    _program(recipe, ff, lut)
    if recipe.samples_in_flight > 1:  # a step of its own for each, and which of them an operation has (counted on digits)
        ff["control"] += 90
        lut["control"] += 80
    return dict(ff), dict(lut)


def _program(recipe: Recipe, ff: Counter, lut: Counter) -> None:
    """The program memory, 16 rows of a bit to a LUT, and who plays it."""
    infer, train = programs(recipe)
    rows = sum(map(len, repeats.rows([infer, train] if recipe.learns else [infer])))
    now, operations = clog2(max(infer.length, train.length)), max(len(e.operations) for e in table.engines(recipe))
    bits = now + clog2(max(2, operations)) + len(recipe.engine_lanes) // 2
    ff["table"] += bits + 2 * now + clog2(max(2, rows))
    lut["table"] += bits * -(-rows // 16) + 2 * now


def _reads(recipe: Recipe, engine: table.Engine, op: Op) -> list[int]:
    """Bits of the exact sums of an engine's reads of one kind."""
    return [matrix_geometries(recipe)[s.matrix].sums(s) for s in engine.operations if s.op is op]


def _lanes(recipe: Recipe, engine: table.Engine, ff: Counter, lut: Counter) -> None:
    """Operands, adder tree, column sums and the walk over words."""
    f, L, ww = recipe.formats, engine.lanes, engine.width
    ws, wd = f.state.width, f.delta.width
    kinds, rewrites = {s.op for s in engine.operations}, any(not s.reads for s in engine.operations)
    geometry = [matrix_geometries(recipe)[s.matrix] for s in engine.operations]
    lv, address = clog2(L), clog2(max(2, engine.words))
    ports = Counter(m.port for m in engine.memories)
    in_block = Words(engine.words, 1, L * ww).blocks
    ff["lanes"] += L * ww * (not in_block) + L * (ws + engine.lent) * bool(ports["column"]) + max(ws, wd) * bool(ports["row"])
    lut["lanes"] += L * max(ws, wd) * (Op.TRANSPOSED in kinds) + L * max(ww, engine.scalar) * rewrites
    lut["lanes"] += L * ws * max(0, ports["column"] - 1) + max(ws, wd) * max(0, ports["row"] - 1)
    lut["lanes"] += ws * sum(any(lane >= g.C - (g.F - 1) * L for g in geometry) for lane in range(L))
    tree = [(L >> n, ww + ws + n) for n in range(1, lv + 1)] if Op.FORWARD in kinds else []
    sums = max(_reads(recipe, engine, Op.FORWARD) + _reads(recipe, engine, Op.TRANSPOSED), default=0)
    ff["lanes"] += sum(n * bits for n, bits in tree) + sums
    lut["lanes"] += sum(n * adder(bits) for n, bits in tree) + adder(sums) * any(g.F > 1 for g in geometry) + sums * (len(kinds) > 1)
    column = max(_reads(recipe, engine, Op.TRANSPOSED), default=0)
    if column:
        ff["columns"] += (2 * L - 1) * column + L
        lut["columns"] += L * adder(column) + (L - 1) * column + L
    sources = {m.name: m.source for m in recipe.matrices}
    given = {sources[s.matrix] for s in engine.operations if s.reads} - {"memory"}
    lut["feedback"] += L * (ww + 1) * len(given)
    noisy = any(s.column == NOISE for s in engine.operations)
    lut["signs"] += L * (ws + 1) * noisy
    if any(s.op is Op.PROBE or s.column == SIGNS for s in engine.operations if not s.reads):
        lut["signs"] += L * (max(ws, wd) + 1)
    number = clog2(max(2, len(engine.operations)))
    steps = clog2(max(2, *(g.P for g in geometry))) + clog2(max(2, *(g.F for g in geometry)))
    ff["control"] += address * (13 if rewrites else 7) + 2 * steps + number * (25 if rewrites else 20) + (80 if rewrites else 60) + 2 * lv
    lut["control"] += 4 * address + 4 * steps + 60
    lut["table"] += len(engine.operations) * 5


def _updates(recipe: Recipe, engine: table.Engine, ff: Counter, lut: Counter) -> None:
    """New weights: what is rounded, added and limited in each lane, and the scalar that goes to all of them."""
    f, L, ww = recipe.formats, engine.lanes, engine.width
    rewrites = [s for s in engine.operations if not s.reads]
    updates = [s for s in rewrites if s.op is Op.UPDATE]
    how, decays = recipe.rounding.weight, {s.decay for s in updates} - {0}
    shift = max(r.product_shift for r in engine.views)
    product = engine.operand + f.state.width
    if decays:
        finer = max(shift, *decays)
        product, shift = max(product + finer - shift, ww + finer - min(decays)) + 1, finer
        lut["decay"] += L * (adder(product) + ww * (len(decays) - 1 + (len({s.decay for s in rewrites}) > 1)))
        ff["decay"] += 2
    kept = rounded(product, shift, how)
    random = min(max(shift, 0), RANDOM_BITS) if how == "stochastic" else 0
    rounds = adder(kept + random) if shift > 0 and how != "floor" else 0
    change = kept
    if recipe.pulses.built != "ideal":
        lut["pulses"] += L * (rounds or kept + 14)
        lut["slopes"] += L * (3 * ww + 8) * (recipe.slope_bits is not None)
        kept = PULSES
        change = kept + recipe.pulse_bits + (0 if recipe.slope_bits is None else 4)
    total = max(ww, change) + 1
    ff["updates"] += L * (4 * ww + random + kept + total + 1) + engine.scalar
    lut["updates"] += L * (random + rounds + adder(total) + 2 * ww + 3)
    gains = len({s.gain for s in updates} | {0}) - 1
    differ = sum(len(set(of)) > 1 for of in ([s.negative for s in updates], [s.row in recipe.states for s in updates]))
    lut["updates"] += engine.scalar * (3 + gains + differ)
    widest = max(ww, engine.scalar)
    if widest > DSP_WIDTH:
        ff["wide"] += 2 * L * (widest + max(f.state.width, f.delta.width))
        lut["wide"] += L * (widest + max(f.state.width, f.delta.width))
    if any(s.op is Op.PROBE for s in rewrites):
        ff["signs"] += engine.scalar
        lut["signs"] += L * 2 * ww + engine.scalar  # limits with the guard and without it
    if any(s.row == SLOPE and s.column != SIGNS for s in updates):
        ff["signs"] += engine.scalar
        lut["signs"] += 3 * engine.scalar
    if recipe.devices.stuck:
        ff["stuck"] += L * (2 * ww + 5)
        lut["stuck"] += L * (ww + 2 * RANDOM_BITS)


def _generators(recipe: Recipe, engine: table.Engine, ff: Counter, lut: Counter) -> None:
    """Generators of an engine: the bits of their rounds that something reads and that are no constants."""
    L, reads, rewrites = engine.lanes, [s for s in engine.operations if s.reads], [s for s in engine.operations if not s.reads]
    address = clog2(max(2, *(matrix_geometries(recipe)[s.matrix].N for s in engine.operations)))
    sources = {m.name: m.source for m in recipe.matrices}
    groups = [min(16, L - first) for first in range(0, L, 16)]
    lanes_signs = any(s.op is Op.PROBE or s.column == SIGNS for s in rewrites)
    found = []
    for lanes in groups:
        read = [*signs(lanes)] * lanes_signs
        if rewrites and recipe.rounding.weight == "stochastic":
            read += words(lanes, min(max(max(r.product_shift for r in engine.views), 0), RANDOM_BITS))
        found += [(read, address, True)]
        if rewrites and recipe.stuck_limit:
            found += [(words(lanes, RANDOM_BITS), address, False)]
        if any(sources[s.matrix] == "generator" for s in reads):
            found += [(signs(lanes), address, False)]
        if any(s.column == NOISE for s in engine.operations):
            found += [(signs(lanes), address, True)]
    if any(s.noise for s in reads):
        found += [(signs(1), address, True)]
    if any(s.row == SLOPE and s.column != SIGNS for s in rewrites):
        found += [(signs(1), address, True)]
    drawn = [word(view, min(bits, RANDOM_BITS)) for view, bits in enumerate(_drawn(recipe, engine)) if bits > 0]
    if drawn:
        found += [(sum(drawn, []), 24, True)]
        ff["generators"] += 2 * sum(map(min, _drawn(recipe, engine)[1:], [RANDOM_BITS] * 3))
    if recipe.devices.read_noise:
        found += [([("x", n) for n in range(32)] + [("y", n) for n in range(32)], 24, True)]
    for read, index, stepped in found:
        bits, gates = generator(tuple(read), index, stepped)
        ff["generators"] += bits
        lut["generators"] += gates


def _drawn(recipe: Recipe, engine: table.Engine) -> tuple[int, int, int, int]:
    """Bits that stochastic rounding draws for an engine's elements: of their sums, means, differences and nudges; 0: none."""
    how, f, reads = recipe.rounding, recipe.formats, [s for s in engine.operations if s.reads]
    finest = max(v.formats.weight.frac for v in engine.views)
    lost = (
        max((finest + getattr(f, recipe.place(s)).frac - f.accumulator.frac for s in reads), default=0),
        (f.accumulator.frac + 1 + (recipe.twice_alpha == 1) - f.state.frac) * any(s.mean or s.result for s in reads),
        (f.accumulator.frac + (recipe.twice_alpha == 1) - f.delta.frac) * any(s.difference for s in reads),
        recipe.nudge_shift * any(s.force in ("feedback", "drive") for s in reads),
    )
    drawn = (how.accumulator, how.state, how.delta, how.accumulator)
    return tuple(max(0, bits) * (way == "stochastic") for bits, way in zip(lost, drawn, strict=True))


def _converters(recipe: Recipe, e: int, engine: table.Engine, ff: Counter, lut: Counter) -> None:
    """Sums on their way to the units: noise, and a converter for each format of what was read."""
    f, reads = recipe.formats, [s for s in engine.operations if s.reads]
    sums = max((matrix_geometries(recipe)[s.matrix].sums(s) for s in reads), default=0)
    if recipe.devices.read_noise:
        ff["noise"] += 90 + sums
        lut["noise"] += 150 + 2 * sums
    if any(s.noise for s in reads):
        lut["noise"] += adder(sums) + 8
    for place in {recipe.place(s) for s in reads}:
        fraction = max(v.formats.weight.frac for v in engine.views) + getattr(f, place).frac - f.accumulator.frac
        requantized((ff, lut), "converters", sums, fraction, f.accumulator.width, recipe.rounding.accumulator)
    lut["converters"] += sums * (len({v.formats.weight.frac for v in engine.views}) - 1)


def _unit(recipe: Recipe, k: int, ff: Counter, lut: Counter) -> None:
    """A unit: how elements enter it, what it keeps, the dyad."""
    f, entries = recipe.formats, table.entries(recipe, k)
    wa, ws, wd = f.accumulator.width, f.state.width, f.delta.width
    index, number = clog2(max(2, recipe.sizes[k + 1])), clog2(max(2, len(entries)))
    means, differences = any(e.mean or e.result for e in entries), any(e.difference for e in entries)
    fed = any(e.enter in BESIDE or e.force in ("feedback", "drive") for e in entries)
    enters = {e.enter for e in entries}
    travels = 1 + index + number
    # values from several engines or formats, feedback beside the drive
    for of in enters:
        lut["kept"] += wa * (len({(e.engine, e.place) for e in entries if e.enter == of}) - 1)
    lut["kept"] += wa * (len(enters & {"drive", "feedback"}) > 1)
    ff["kept"] += wa * any(e.enter != "drive" for e in entries) * any(e.keep_drive for e in entries)
    if enters & {"more", "less"}:
        ff["kept"] += wa + 1
        lut["kept"] += adder(wa + 1) + 2 * wa
    if "relax" in enters:
        ff["kept"] += 3 * wa
        lut["kept"] += 2 * adder(wa) + wa * (len({e.leak for e in entries if e.enter == "relax"}) - 1) + wa
    if "gather" in enters:
        slopes = len(recipe.pieces(k).shifts)
        ff["kept"] += 2 * wa + slopes
        lut["kept"] += adder(wa + 1) + wa * (1 + slopes) + slopes * wa // 2 + wa
    if enters & set(CHANGES):
        ff["kept"] += travels
        lut["kept"] += travels + wa * (1 + fed)
    # the dyad
    pieces = recipe.pieces(k)
    low, high = recipe.bounds(k)
    span = max(low.bit_length(), high.bit_length()) + 1
    bends = sum(a < b for a, b in zip(pieces.knots, pieces.knots[1:], strict=False)) - 1
    sides = 1 + (differences and fed)
    errors = table.errors(recipe, k) if differences else ()
    ff["neurons"] += sides * (wa + 2 + span) + 7 * travels
    lut["neurons"] += (adder(wa + 2) * (sides if fed else 0)) + sides * (2 * span + wa // 2) + sides * bends * (wa + 2 + span)
    if fed and (set(errors) & {"gate", "feedback"}):
        ff["neurons"] += 2 * wa
    if "gate" in errors:
        ff["neurons"] += wa + 1
        lut["neurons"] += 2 * wa
    if means:
        ff["neurons"] += span + 1
        lut["neurons"] += adder(span) * (recipe.twice_alpha == 1)
        requantized((ff, lut), "neurons", span + 1, f.accumulator.frac + 2 - f.state.frac, ws, recipe.rounding.state)
    moves = {e.moved for e in entries if e.mean or e.result}
    lut["neurons"] += adder(span) * (True in moves) + span * (len(moves) > 1)
    if differences:
        apart = max([span] * ("dyad" in errors) + [wa + 1] * bool(set(errors) - {"dyad"})) + 1
        ff["neurons"] += apart
        lut["neurons"] += adder(span) * ("dyad" in errors) + apart * (len(errors) - 1)
        requantized((ff, lut), "neurons", apart, f.accumulator.frac + 1 - f.delta.frac, wd, recipe.rounding.delta)
    lut["table"] += len(entries) * 5
    if k == recipe.layers - 1:
        _label(recipe, entries, span, travels, ff, lut)


def _label(recipe: Recipe, entries: tuple[table.Entry, ...], span: int, travels: int, ff: Counter, lut: Counter) -> None:
    """Add what the last unit has besides: the error and its loss, the nudge, the label's force."""
    wa, loss, forces = recipe.formats.accumulator.width, geometries(recipe)[-1].loss_width, {e.force for e in entries} - {""}
    losses = {e.loss for e in entries} - {"keep"}
    ff["label"] += 4 * wa + 4 * travels
    if losses or forces:
        ff["label"] += span + wa + 1
        lut["label"] += 2 * span + adder(wa + 1) + clog2(recipe.sizes[-1])
    if losses:
        ff["label"] += loss
        lut["label"] += adder(loss) + loss
    if forces & {"feedback", "drive"}:
        requantized((ff, lut), "label", wa + 2, recipe.nudge_shift, wa, recipe.rounding.accumulator)
        lut["label"] += adder(wa + 1) * any(e.negative for e in entries)
        ff["label"] += 4 * wa * any(e.enter in BESIDE for e in entries)
    if "feedback" in forces:
        adds = any(e.force == "feedback" and e.enter in BESIDE for e in entries)
        lut["label"] += wa + (adder(wa) + wa) * adds
    if "clamp" in forces:
        lut["label"] += wa
    if "drive" in forces:
        ff["label"] += 2 * wa + travels
        lut["label"] += adder(wa) + 3 * wa + travels
