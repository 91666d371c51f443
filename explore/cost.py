"""Cost of a chip on a board: a model calibrated on real builds (`benchmarks/cost.py`), or the build itself.

Multipliers and memory blocks are counted, as synthesis maps them. Flip-flops and LUTs are a bill over the parts of `hdl`: what a lane, a
generator, a layer's converters hold is known from their widths; what each kind of bit really takes is fitted. The clock's period is fitted
to what makes paths long. `docs/cost.md` has the errors on builds that no fit has seen.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from ..recipe import LONGEST_TRAIN, NOISE, RANDOM_BITS, SIGNS, SLOPE, Geometry, Recipe, Rounding, clog2, geometries, table
from ..recipe.products import products, slices
from . import energy
from .memories import frames, memories

VERSION = 6
"""Raised when estimates of the same recipe change."""

RESOURCES = {"lut": "LUT", "ff": "FF", "multipliers": "multiplier", "memory": "memory block"}
"""Metric to the resource's name in a build's report."""

UNSURE = ("lut", "ff", "fmax")
"""Metrics of the model that builds differ from; multipliers and memory blocks are counted."""

DSP_WIDTH = 18
"""Bits of a multiplier's operands."""


# Counted -----------------------------------------------------------------------------------------------------


def blocks(recipe: Recipe) -> int:
    """Memory blocks of a chip."""
    return sum(m.blocks for m in memories(recipe))


def multipliers(recipe: Recipe) -> int:
    """Multiplier blocks: of `products`, and one that squares errors; more where an operand is wider than a block's."""
    return sum(n * slices(bits, DSP_WIDTH) for bits, n in products(recipe).items()) + slices(recipe.error_bits, DSP_WIDTH) ** 2


def on_board(recipe: Recipe, found: dict[str, float], board: str) -> dict[str, float]:
    """The `figures` of a recipe on a board: where other products leave no multiplier for it, the square of an error is made of LUTs."""
    from ..hdl.boards import BOARDS

    if found["multipliers"] <= BOARDS[board].holds["multiplier"]:
        return found
    digits = -(-recipe.error_bits // 2)
    return found | {
        "multipliers": found["multipliers"] - slices(recipe.error_bits, DSP_WIDTH) ** 2,
        "lut": found["lut"] + DIGITS * digits**2,
        "ff": found["ff"] + ROWS * recipe.error_bits,
    }


DIGITS, ROWS = 6, 9
"""LUTs of a square for two digits of two bits, carries included, and flip-flops for a bit: what synthesis makes of `hdl.square`, about."""


# Fitted ------------------------------------------------------------------------------------------------------


class Lane(NamedTuple):
    """Widths in bits of what a lane that learns is made of: operands of its multiplier, column sum, random word, the adder that rounds
    an update, what is kept of it, its sum with the weight."""

    a: int
    b: int
    column: int
    random: int
    rounding: int
    kept: int
    sum: int


def lane(g: Geometry, engine: table.Engine) -> Lane:
    """The widths of a layer's lanes, on its engine."""
    r, f, width = g.recipe, g.recipe.formats, engine.width
    product, shift, how = engine.operand + f.state.width, r.product_shift + engine.finer(r), r.rounding.weight
    kept, random = rounded(product, shift, how), min(max(shift, 0), RANDOM_BITS) if how == "stochastic" else 0
    adder = kept + random if shift > 0 and how != "floor" else 0
    change = kept
    if r.pulses.built != "ideal":
        kept = PULSES
        change = kept + r.pulse_bits + (0 if r.slope_bits is None else 4)
    return Lane(
        max(width, engine.scalar),
        max(f.state.width, f.delta.width),
        width + f.delta.width + clog2(g.R),
        random,
        adder,
        kept,
        max(width, change) + 1,
    )


PULSES = LONGEST_TRAIN.bit_length() + 1
"""Bits of a count of pulses."""
CHAIN = 4
"""LUTs that packing adds to a chain of carries."""
GENERATOR = {"ff": 500, "lut": 575}
"""Rough cost of a generator."""


def rounded(width: int, shift: int, rounding: Rounding) -> int:
    """Bits of a number that was rounded (contract section 1)."""
    if shift <= 0:
        return width - shift
    if rounding == "stochastic":
        m = min(shift, RANDOM_BITS)
        return max(width - shift + m, m + 1) + 1 - m
    return max(1, width - shift) + (rounding != "floor")


def _sum(g: Geometry) -> int:
    """Bits of a layer's exact sums."""
    f = g.recipe.formats
    return max(f.weight.width + f.state.width + clog2(g.C), f.weight.width + f.delta.width + clog2(g.R))


def _adder(bits: int) -> int:
    """LUTs of an adder: two bits each, and the ends of its chain."""
    return 2 * -(-bits // 2) + CHAIN if bits else 0


def _rounds(g: Geometry) -> bool:
    """Return whether a layer has a generator for its own elements, or for those of the layer below, which get its words."""
    r, f = g.recipe, g.recipe.formats
    learns, fraction, halves = r.learns, f.accumulator.frac, r.alpha == 0.5
    lost = {"accumulator": [f.weight.frac + f.state.frac - fraction], "state": [fraction + 2 * halves - f.state.frac], "delta": []}
    if learns and (g.layer or g.is_last):
        lost["delta"].append(fraction + halves - f.delta.frac)
    if learns and g.layer:
        lost["accumulator"].append(f.weight.frac + f.delta.frac - fraction)
    if learns and g.is_last:
        lost["accumulator"].append(r.nudge_shift)
    return any(getattr(r.rounding, place) == "stochastic" and max(bits, default=0) > 0 for place, bits in lost.items())


def bill(recipe: Recipe) -> tuple[dict[str, float], dict[str, float]]:
    """Flip-flops and LUTs by part, as one reads them from `hdl`: about what each takes, before the fit corrects it."""
    r, f, d = recipe, recipe.formats, recipe.devices
    ws, wd, wa = f.state.width, f.delta.width, f.accumulator.width
    learns, probes, width = r.learns, r.signed, max(r.engine_lanes) * r.weight_width
    ff, lut = Counter(host=900 + width - 100 * (not learns)), Counter(host=700 + 2 * width - 100 * (not learns))
    shared: set[int] = set()
    for g in geometries(r):
        engine, f = table.engines(r)[g.engine], g.recipe.formats
        ww = engine.width
        if g.engine not in shared:  # its lanes, once
            shared.add(g.engine)
            tree = [(g.L >> n, ww + ws + n) for n in range(1, g.lv + 1)]
            ff["lanes"] += g.L * (ww + ws) + sum(n * bits for n, bits in tree)
            lut["lanes"] += sum(n * _adder(bits) for n, bits in tree) + (_adder(_sum(g)) if g.F > 1 else 0)
            if learns:
                w = lane(g, engine)
                ff["lanes"] += g.L * (4 * ww + w.random + w.kept + w.sum + 1) + (2 * g.L - 1) * w.column
                lut["lanes"] += g.L * (w.a + w.b + w.column + _adder(w.column) + w.random + _adder(w.rounding) + _adder(w.sum) + 2 * ww + 3)
                lut["lanes"] -= w.column
                if r.pulses.built != "ideal":
                    lut["pulses"] += g.L * (w.rounding or w.kept + 14)
                    lut["slopes"] += g.L * (3 * ww + 8) * (r.slope_bits is not None)
                if max(w.a, w.b) > DSP_WIDTH:
                    ff["wide"] += 2 * g.L * (w.a + w.b)
                    lut["wide"] += g.L * (w.a + w.b)
                if probes:
                    ff["probes"] += 40
                    lut["probes"] += g.L * (2 * w.sum + w.b) + 100
                generators = g.G * (probes or w.random > 0)
                if d.stuck:
                    ff["stuck"] += g.L * (2 * ww + 5) + GENERATOR["ff"] * g.G
                    lut["stuck"] += g.L * (ww + 2 * RANDOM_BITS) + GENERATOR["lut"] * g.G
            else:
                generators = 0
            generators += _rounds(g)
            if d.read_noise:
                generators += 1
                ff["noise"] += 90 + _sum(g)
                lut["noise"] += 150 + 2 * _sum(g)
            ff["generators"] += GENERATOR["ff"] * generators
            lut["generators"] += GENERATOR["lut"] * generators
        low, high = r.bounds(g.layer)
        span = max(low.bit_length(), high.bit_length()) + 1
        forward = rounded(_sum(g), f.weight.frac + f.state.frac - f.accumulator.frac, r.rounding.accumulator)
        bends = sum(a < b for a, b in zip(r.pieces(g.layer).knots, r.pieces(g.layer).knots[1:], strict=False)) - 1
        backward = 0
        if g.layer and learns:
            backward = rounded(_sum(g), f.weight.frac + f.delta.frac - f.accumulator.frac, r.rounding.accumulator)
        dyad = 2 * (wa + 2) + 4 * span + 2 * (ws + wd) if learns else (wa + 2) + 2 * span + 2 * ws
        last = g.loss_width + 4 * wa if g.is_last else 2 * wa
        lut["layers"] += bends * (2 if learns else 1) * (wa + 2 + span)  # a comparison more, and a multiplexer
        ff["layers"] += _sum(g) + forward + wa + backward + wa * bool(backward) + dyad + last
        lut["layers"] += 2 * _sum(g) + forward + wa + backward + wa * bool(backward) + 2 * dyad + last
        address, steps = max(1, clog2(g.N)), clog2(g.P) + clog2(g.F)
        ff["control"] += (13 if learns else 7) * address + 7 * steps + (100 if learns else 50) + 3 * g.lv
        lut["control"] += 4 * address + 6 * steps + 60
    if r.samples_in_flight > 1:  # a step of its own for each, and which of them an operation has (counted on digits)
        ff["control"] += 90
        lut["control"] += 80
    for engine in table.engines(r):  # signs of fixed feedback, of columns of noise, of shaken neurons in reads and in updates
        groups, sources = -(-engine.lanes // 16), {m.name: m.source for m in r.matrices}
        own = groups * any(s.column == NOISE for s in engine.operations)
        own += groups * any(s.reads and sources[s.matrix] == "generator" for s in engine.operations)
        own += any(s.noise for s in engine.operations) + any(s.row == SLOPE and s.column != SIGNS for s in engine.operations)
        ff["generators"] += GENERATOR["ff"] * own
        lut["generators"] += GENERATOR["lut"] * own
    for m in memories(r):
        if not m.blocks:
            lut["memories"] += 6 * m.cells + (-(-m.words // 16) - 1) * m.parts * m.bits
    return dict(ff), dict(lut)


PARTS = ("lanes", "pulses", "slopes", "wide", "probes", "stuck", "generators", "noise", "layers", "control", "memories", "host")
"""Parts of a bill."""


CLOCK_TO_OUT, SETUP, LEVEL, CARRY, PRODUCT, RECALL = 0.5, 1.3, 1.1, 0.9, 7.0, 5.8
"""ns, about: out of a flip-flop; into one, with the way there; a LUT with its way; in and out of a chain of carries; a multiplier without
registers, with the long ways to its column and back; out of a memory block."""
BIT = 0.035
"""ns of a bit of a chain of carries."""
MIDDLE = 5000
"""LUTs of a chip whose ways are middling."""


def paths(recipe: Recipe) -> dict[str, float]:
    """The longest path of each kind that a chip has, in ns, as one reads them from `hdl`: about, before the fit corrects it."""
    r, f = recipe, recipe.formats
    learns, layers = r.learns, geometries(r)
    found = {"control": CLOCK_TO_OUT + 5 * LEVEL + SETUP}  # sequencer, walk, dyad: comparisons, and registers that they hold
    if blocks(r):
        found["memory"] = RECALL + SETUP
    multiplied = CLOCK_TO_OUT + PRODUCT + CARRY
    if r.devices.read_noise:
        gains = [(g.recipe.noise_gain("state"), g.recipe.noise_gain("delta")) for g in layers]
        gain = max(map(max, gains)).bit_length()
        mixed = learns and any(a != b for a, b in gains)
        found["noise"] = multiplied + BIT * (gain + 12) + LEVEL * mixed
    if f.accumulator.width + 1 > DSP_WIDTH:
        found["squares"] = CLOCK_TO_OUT + PRODUCT + (CARRY + LEVEL + BIT * 2 * f.accumulator.width) * (r.error_bits > DSP_WIDTH)
    operand, scalar = (max(getattr(e, name) for e in table.engines(r)) for name in ("operand", "scalar"))
    if learns and max(scalar, r.weight_width) > DSP_WIDTH:
        found["products"] = multiplied + BIT * scalar
    if learns and r.pulses.built != "ideal":
        found["pulses"] = CLOCK_TO_OUT + 2 * (LEVEL + CARRY) + BIT * (operand + f.state.width) + LEVEL + SETUP
    if learns and r.slope_bits is not None:
        found["slopes"] = CLOCK_TO_OUT + PRODUCT + 3 * (LEVEL + CARRY + BIT * r.weight_width)  # room, size, new weight
    return found


KINDS = ("control", "memory", "noise", "squares", "products", "pulses", "slopes")
"""Kinds of paths."""
MULTIPLIED = ("noise", "squares", "products", "slopes")
"""Those through a multiplier that keeps no registers."""


def period(factors: dict, recipe: Recipe, luts: float) -> float:
    """The clock's period in ns: the longest path, each kind times its factor, and longer ways in a larger chip."""
    longest = max(value * factors[name] for name, value in paths(recipe).items())
    return longest * (luts / MIDDLE) ** factors["size"]


# The model ---------------------------------------------------------------------------------------------------


@functools.cache
def coefficients() -> dict:
    """The fitted model: for flip-flops and LUTs the factors of a `bill`, for the period those of `paths`; the errors on builds that
    no fit has seen; and the range of the builds that it was fitted to."""
    return json.loads((resources.files(__package__) / "cost.json").read_text())


def ratios(metric: str) -> list[float]:
    """Return held-out builds' figures for one of the model's, build by build in the same order for every metric; all 1 of a metric
    that is counted, or that there are no builds to hold against."""
    known = coefficients()["held_out_ratios"]
    return known.get(metric) or [1.0] * len(known[UNSURE[0]])


def measures(recipe: Recipe) -> dict[str, float]:
    """The sizes that a model is calibrated over."""
    f, layers = recipe.formats, geometries(recipe)
    return {
        "layers": recipe.layers,
        "units of a layer": max(recipe.sizes),
        "weights of a layer": max(g.R * g.C for g in layers),
        "lanes": sum(recipe.engine_lanes),
        "lanes of a layer": max(recipe.engine_lanes),
        "bits of a multiplier's operand": max(e.operand for e in table.engines(recipe)),
        "bits of a weight": recipe.weight_width,
    } | {f"bits of a {place}": getattr(f, place).width for place in ("state", "accumulator", "delta")}


def outside(recipe: Recipe, board: str) -> str:
    """Say in which way a recipe or a board is outside of what the model was calibrated on; empty if it is not."""
    known = coefficients()
    beyond = [
        f"{name} {value:g} (calibrated on {low:g} to {high:g})"
        for name, value in measures(recipe).items()
        for low, high in [known["range"][name]]
        if not low <= value <= high
    ]
    return "; ".join(beyond + [f"board {board} (calibrated on {known['board']})"] * (board != known["board"]))


def estimate(recipe: Recipe, board: str, energy_model: str = "digital") -> dict:
    """Resources, highest clock frequency and energy of a step, by the model.

    Returns
    -------
    dict
        ``lut``, ``ff``, ``multipliers``, ``memory``, ``fmax`` (MHz), ``energy`` (nJ per training step, or per inference of a chip
        that does not learn), ``energy_model`` (its name), ``outside`` (what the model extrapolates over, in words; empty if nothing).
    """
    found = on_board(recipe, figures(coefficients()["model"], recipe), board)
    for name in ("lut", "ff"):
        found[name] = float(round(found[name]))
    nanojoules, name = energy.of(recipe, energy_model)
    return found | {"fmax": round(found["fmax"], 1), "energy": nanojoules, "energy_model": name, "outside": outside(recipe, board)}


def unfitted(board: str) -> str | None:
    """Why the model says nothing of a board's builds, or None."""
    from ..hdl.boards import BOARDS

    family = BOARDS[board].family
    return None if family.fitted else f"the cost model knows no builds for {board}, whose family is {family.name}"


def figures(model: dict, recipe: Recipe) -> dict[str, float]:
    """Resources and highest clock frequency by a model of so many factors."""
    ff, lut = bill(recipe)
    found = {
        "lut": weighed(model["lut"], lut),
        "ff": weighed(model["ff"], ff),
        "multipliers": float(multipliers(recipe)),
        "memory": float(blocks(recipe) + frames(recipe).blocks),
    }
    return found | {"fmax": 1e3 / period(model["period"], recipe, found["lut"])}


def weighed(factors: dict, parts: dict) -> float:
    """A sum of parts, each times its factor."""
    return sum(value * factors[name] for name, value in parts.items())


def build(recipe: Recipe, board: str, energy_model: str = "digital") -> dict:
    """The same of a real build: synthesised, placed and routed with the default seeds (minutes)."""
    from ..hdl import synth

    with tempfile.TemporaryDirectory() as folder:
        report = synth.synthesize(recipe, board, Path(folder))
    used = {name: float(report["utilisation"][resource]["used"]) for name, resource in RESOURCES.items()}
    nanojoules, name = energy.of(recipe, energy_model)
    return used | {"fmax": report["fmax"]["median"], "energy": nanojoules, "energy_model": name, "outside": ""}
