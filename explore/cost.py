"""Cost of a chip on a board: a model calibrated on real builds (`benchmarks/cost.py`), or the build itself.

Multipliers and memory blocks are counted, as synthesis maps them. Flip-flops and LUTs are a `bill` over the parts of `hdl` that the table
of operations asks for; what each kind of part really takes is fitted. The clock's period is fitted to what makes paths long.
`docs/cost.md` has the errors on builds that no fit has seen.
"""

from __future__ import annotations

import functools
import json
import tempfile
from importlib import resources
from pathlib import Path

from ..recipe import Recipe, geometries, table
from ..recipe.products import products, slices
from . import energy
from .bill import DSP_WIDTH, bill
from .memories import frames, memories

VERSION = 7
"""Raised when estimates of the same recipe change."""

RESOURCES = {"lut": "LUT", "ff": "FF", "multipliers": "multiplier", "memory": "memory block"}
"""Metric to the resource's name in a build's report."""

UNSURE = ("lut", "ff", "fmax")
"""Metrics of the model that builds differ from; multipliers and memory blocks are counted."""


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
    decays = {s.decay for e in table.engines(r) for s in e.operations} - {0}
    if decays:  # what a weight loses is taken from the product, and the rest is rounded
        product = max(operand + f.state.width, r.weight_width + max(decays))
        found["decay"] = CLOCK_TO_OUT + 2 * (LEVEL + CARRY) + BIT * 2 * product + SETUP
    if learns and r.pulses.built != "ideal":
        found["pulses"] = CLOCK_TO_OUT + 2 * (LEVEL + CARRY) + BIT * (operand + f.state.width) + LEVEL + SETUP
    if learns and r.slope_bits is not None:
        found["slopes"] = CLOCK_TO_OUT + PRODUCT + 3 * (LEVEL + CARRY + BIT * r.weight_width)  # room, size, new weight
    return found


KINDS = ("control", "memory", "noise", "squares", "products", "decay", "pulses", "slopes")
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
