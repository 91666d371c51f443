"""Checks that a recipe's fields suit each other; each is right in itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from . import pulses, rules
from .activations import activation
from .derived import NOISE_DEVIATION
from .formats import log2_exact
from .operations import SIGNS, SLOPE
from .sections import LAYOUT, Arrays, Devices
from .temperature import ALLOWED, LEAST, MOST, hastened

if TYPE_CHECKING:
    from .recipe import Recipe

AGING = {"pcm": 20.0, "hermes-1": 200.0, "hermes-2": 300.0}
"""Presets whose papers say how they age, and from how many seconds after writing on."""


def mistakes_of(recipe: Recipe) -> Iterator[str]:
    """Yield what is wrong with a recipe as a whole, ``key: what is wrong; what is allowed``."""
    f = recipe.formats
    if len(recipe.weight_formats) != recipe.layers:
        yield (
            f"formats.weight: a list of {len(recipe.weight_formats)} formats; allowed are one format for all layers of weights, or a "
            f"list with one for each, here {recipe.layers}"
        )
        return
    if len(recipe.lanes) != len(recipe.sizes) - 1:
        yield f"lanes: {len(recipe.lanes)} entries; allowed is one per layer of weights, here {len(recipe.sizes) - 1}"
    elif recipe.engines and (wrong := list(_engine_mistakes(recipe))):
        yield from wrong
        return
    else:
        for k, (lanes, columns) in enumerate(zip(recipe.lanes, recipe.sizes, strict=False)):
            if lanes >= 2 * columns and not recipe.engines:
                yield f"lanes: layer {k} has {lanes} lanes for {columns} columns; allowed is less than twice the columns"
            rows = recipe.sizes[k + 1]
            if rows * -(-(columns + recipe.bias) // lanes) << (-(-lanes // 16) - 1).bit_length() > 1 << 24:
                yield f"sizes: layer {k} needs more than 2**24 memory words; use more lanes or smaller layers"
    if strange := [k for k in recipe.frozen if not 0 <= k < recipe.layers]:
        yield f"frozen: {', '.join(map(str, strange))}; allowed are the layers 0 to {recipe.layers - 1}"
    elif set(recipe.frozen) == set(range(recipe.layers)):
        yield 'frozen: every layer, so that nothing learns; write rule = "inference"'
    if not 0 <= recipe.rate <= 7:
        yield (
            f"rate_floor: {recipe.rate_floor:g} with learning_rate {recipe.learning_rate:g}; "
            "allowed is learning_rate / rate_floor from 1 to 128"
        )
    for name in ("target_on", "target_off"):
        value = getattr(recipe, name)
        if not f.accumulator.low <= value <= f.accumulator.high:
            yield (
                f"{name}: {value:g} does not fit the accumulator format {f.accumulator}; "
                f"allowed is {f.accumulator.low:g} to {f.accumulator.high:g}"
            )
    if recipe.objective == "squared-hinge" and recipe.target_on <= recipe.target_off:
        yield (
            f"target_on: {recipe.target_on:g} with target_off {recipe.target_off:g} and a hinge, which drives outputs apart; "
            "allowed is a larger target_on"
        )
    for name in dict.fromkeys((recipe.activation, recipe.output)):
        low, high = activation(name).limits
        if not math.isinf(high) and f.accumulator.high < high or not math.isinf(low) and f.accumulator.low > low:
            end = high if f.accumulator.high < high else low
            yield f"formats.accumulator: {f.accumulator} does not reach {end:g}, which {name} needs; allowed is width > frac + 1"
        elif low >= f.state.high or high <= f.state.low:
            yield (
                f"formats.state: {f.state} has no value of {name}, which gives {low:g} to {high:g}; "
                "allowed are formats with more integer bits"
            )
    if recipe.bias and recipe.arrays.on:
        yield "arrays.on: arrays have no line for a bias; allowed is false, or bias = false with an input that is one"
    levels, narrowest = recipe.devices.levels, min(recipe.weight_formats, key=lambda q: q.width)
    unlike = levels and (levels & levels - 1 or not 2 <= levels <= 1 << narrowest.width)
    if unlike:
        yield (
            f"devices.levels: {levels}; allowed are 0 (all) and the powers of two from 2 to {1 << narrowest.width}, "
            f"the levels of {narrowest}"
        )
    yield from _cell_mistakes(recipe)
    if not unlike:
        yield from _of_layers(recipe, _array_mistakes)
    wrong = list(rules.mistakes_of(recipe))
    yield from wrong
    if not wrong:
        yield from _rule_mistakes(recipe)
        yield from _of_layers(recipe, _weight_mistakes)
        yield from _shared_mistakes(recipe)


def _of_layers(recipe: Recipe, mistakes: Callable[[Recipe], Iterator[str]]) -> Iterator[str]:
    """Yield what is wrong with the recipe as its layers see it, each mistake once."""
    yield from dict.fromkeys(line for k in range(recipe.layers) for line in mistakes(recipe.of_layer(k)))


def _shared_mistakes(recipe: Recipe) -> Iterator[str]:
    """Yield what an engine cannot have whose matrices have several weight formats (contract section 3)."""
    for e in range(len(recipe.engine_lanes)):
        held = {recipe.weight_formats[m.layer]: None for m in recipe.matrices if recipe.engine_of(m.name, m.layer) == e}
        if len(held) == 1:
            continue
        for wrong, what in (
            (recipe.signed, f"rule {recipe.rule}, whose probes are whole LSBs"),
            (recipe.pulses.built != "ideal", f"pulses.law {recipe.pulses.law}, whose pulses are whole LSBs"),
            (recipe.devices.read_noise, "devices.read_noise, which is added in LSBs"),
        ):
            if wrong:
                yield (
                    f"formats.weight: engine {e} holds matrices of {' and '.join(map(str, held))}, with {what} of one weight format; "
                    "allowed is one format for all matrices of an engine, or an engine for each format"
                )


def _engine_mistakes(recipe: Recipe) -> Iterator[str]:
    """Yield what is wrong with `engines`."""
    names = [name for e in recipe.engines for name in e.matrices]
    known = [m.name for m in rules.matrices(recipe)]
    for name in dict.fromkeys(names):
        if name not in known:
            yield f"engines: there is no matrix {name!r}; rule {recipe.rule} has {', '.join(known)}"
        elif names.count(name) > 1:
            yield f"engines: {name} lies on {names.count(name)} of them; allowed is one"
    weights = [f"W{k}" for k in range(recipe.layers)]
    missing = [w for w in weights if w not in names]
    if missing:
        yield f"engines: none holds {', '.join(missing)}; the weights of every layer lie on one"
        return
    lanes = tuple(recipe.engine_lanes[recipe.engine_of(w)] for w in weights)
    if lanes != recipe.lanes:
        yield f"lanes: {list(recipe.lanes)}, but engines give the layers {list(lanes)}; leave lanes away"
    for e, placed in enumerate(recipe.engines):
        columns = [recipe.sizes[m.below] for m in rules.matrices(recipe) if recipe.engine_of(m.name, m.layer) == e]
        if placed.lanes >= 2 * max(columns):
            yield (
                f"engines: {placed.lanes} lanes of engine {e} for matrices of up to {max(columns)} columns; "
                "allowed is less than twice the columns"
            )
    for m in rules.matrices(recipe):
        if m.source == "signs" and recipe.engine_of(m.name, m.layer) != recipe.engine_of(m.of):
            yield f"engines: {m.name}, the signs of {m.of}, lies on another engine; allowed is the one of {m.of}"


def _staleness_mistakes(recipe: Recipe) -> Iterator[str]:
    """Yield which staleness there can be none of."""
    stale, told = recipe.staleness, list(recipe.staleness)
    if not any(stale):
        if stale and len(stale) != recipe.layers:
            yield f"staleness: {told} for {recipe.layers} layers of weights; one number each is needed"
        return
    if len(stale) != recipe.layers:
        yield f"staleness: {told} for {recipe.layers} layers of weights; one number each is needed"
        return
    if recipe.samples_in_flight == 1:
        yield f"staleness: {told} with one sample in flight, which sees every update; allowed are zeros, or more samples_in_flight"
        return
    if recipe.arrays.on:
        yield f"staleness: {told} with arrays.on, whose cells hold one version of the weights; allowed are zeros"
    for name in dict.fromkeys(m.of or m.name for m in recipe.matrices if stale[m.layer]):
        mine = {m.name for m in recipe.matrices if name in (m.name, m.of)}
        written = [n for n, step in enumerate(recipe.steps) if step.matrix == name and not step.reads]
        read = [n for n, step in enumerate(recipe.steps) if step.matrix in mine and step.reads]
        if len(written) > 1 or written and read and read[-1] > written[0]:
            why = f"rewrites {name} {len(written)} times a sample" if len(written) > 1 else f"reads {name} after its update"
            layer = next(m.layer for m in recipe.matrices if m.name == name)
            yield f"staleness: {stale[layer]} of layer {layer} with rule {recipe.rule}, which {why}; allowed is 0 there"


def _rule_mistakes(recipe: Recipe) -> Iterator[str]:
    """Yield where the recipe does not suit the rule, which is right in itself."""
    f = recipe.formats
    if recipe.samples_in_flight > 1 and not recipe.learns:
        yield f"samples_in_flight: {recipe.samples_in_flight} with rule {recipe.rule}, which learns nothing; allowed is 1"
    yield from _staleness_mistakes(recipe)
    if recipe.objective == "squared-hinge" and any(step.force == "clamp" for step in recipe.steps):
        yield f"objective: squared-hinge with rule {recipe.rule}, which clamps outputs to their targets; allowed is squared-error"
    if recipe.sloped and recipe.signed and any(step.row == SLOPE and step.column != SIGNS for step in recipe.steps):
        yield f"rule: {recipe.rule} has slopes along signs of weights and of neurons; allowed is one of the two"
    if recipe.noisy and not 1 <= recipe.noise_level <= f.state.max:
        yield (
            f"sigma: {recipe.sigma:g} is {recipe.sigma * 2.0**f.state.frac:g} LSBs of {f.state}, which {recipe.rule} has as a column; "
            f"allowed are 1 to {f.state.max} LSBs, a power of two"
        )
    if recipe.align < 0 and any(recipe.row_of_states(step) for step in recipe.steps):
        yield (
            f"formats.delta: {f.delta} with rule {recipe.rule}, which learns from states of {f.state}; "
            "allowed are as many fraction bits as the state has, or more"
        )
    others = [m.name for m in recipe.matrices if m.name != f"W{m.layer}"]
    if recipe.arrays.on and others:
        yield (
            f"arrays.on: rule {recipe.rule} has matrices beside the weights ({', '.join(others)}), which arrays do not hold; "
            "allowed is false"
        )


def _weight_mistakes(recipe: Recipe) -> Iterator[str]:
    """Yield what a weight format does not suit; the recipe is as a layer sees it."""
    f = recipe.formats
    if recipe.signed:
        probe = recipe.epsilon * 2.0**f.weight.frac
        if probe < 1 or probe * 4 > f.weight.max:
            yield (
                f"epsilon: {recipe.epsilon:g} is {probe:g} weight LSBs of {f.weight}; "
                f"allowed is 1 to {f.weight.max // 4} LSBs, a power of two"
            )
    for step in recipe.steps:
        if step.noise and not 0 <= recipe.shake(recipe.place(step)) + step.gain <= 40:
            least = 2.0 ** (log2_exact(recipe.sigma) - recipe.shake(recipe.place(step)) - step.gain)
            yield f"sigma: {recipe.sigma:g} with noise times 2**{step.gain}; allowed are {least:g} (the LSB of a sum) to 2**40 times it"
            break
    if any(m.source != "memory" for m in recipe.matrices) and not 1 <= recipe.feedback_level <= f.weight.max:
        yield (
            f"feedback: {recipe.feedback:g} is no level of {f.weight}; "
            f"allowed are powers of two from {f.weight.step:g} to {2.0 ** (f.weight.width - 2) * f.weight.step:g}"
        )
    yield from pulses.mistakes_of(recipe)
    if recipe.devices.read_noise and not all(1 <= recipe.noise_gain(place) < 1 << 24 for place in recipe.read):
        grids = [2.0 ** -(f.weight.frac + getattr(f, place).frac) for place in recipe.read]
        least, most = (grid * NOISE_DEVIATION / 256 for grid in (max(grids), min(grids)))
        yield (
            f"devices.read_noise: {recipe.devices.read_noise:g}; allowed is 0 or {least:g} to {most * 2**24:g}, which the sums over "
            f"{' and '.join(f'{place}s of {getattr(f, place)}' for place in recipe.read)} can hold"
        )
    if not -32 <= recipe.update_shift <= 40:
        yield (f"rate_floor: together with formats and beta it shifts products by {recipe.update_shift} bits; allowed is -32 to 40")


def _cell_mistakes(recipe: Recipe) -> Iterator[str]:
    d = recipe.devices
    for mistake in d.cell.mistakes:
        yield f"devices.cell.{mistake}"
    given = [name for name in ("preset", "measured", "cell") if (d.cell.conductance if name == "cell" else getattr(d, name))]
    if len(given) > 1:
        told = f"preset {d.preset!r}" if d.preset else given[0]
        yield f"devices.{given[1]}: given together with {told}; allowed is one of the two"
    conductances = [g for g, _ in d.measured]
    if d.measured and (len(conductances) < 2 or any(a >= b for a, b in itertools.pairwise(conductances))):
        yield f"devices.measured: conductances {conductances}; allowed are two or more, in ascending order (microsiemens)"
    if d.leakage and not (any(d.segments) or d.driver or d.sense):
        yield f"devices.leakage: {d.leakage:g} without wires, where it cancels; give devices.wires, driver or sense"
    if d.stuck_low + d.stuck_high > 1:
        yield f"devices.stuck_low: {d.stuck_low:g}, and stuck_high {d.stuck_high:g}; allowed are shares whose sum is at most 1"
    for name in (
        "age",
        "temperature",
        "activation_energy",
        "temperature_coefficient",
        "compensate",
        "wires",
        "leakage",
        "driver",
        "sense",
        "noise_spread",
    ):
        if not d.named and getattr(d, name) != Devices.model_fields[name].default:
            yield f"devices.{name}: {getattr(d, name)} without a device; name a preset or give a measured table"
    least = AGING.get(d.preset) or d.cell.drift_start or None
    if d.named and d.age and least is None:
        yield (
            f"devices.age: {d.age:g} s, but {d.preset or 'a device of numbers alone'} has no law of ageing; allowed is 0, or one of "
            f"the presets that have one, {', '.join(AGING)}; or a cell with drift"
        )
    elif d.age and least is not None and d.age < least:
        yield (
            f"devices.age: {d.age:g} s, but the law of {d.preset or 'its cell'} begins {least:g} s after writing; "
            f"allowed are 0, and {least:g} or more"
        )
    yield from _temperature_mistakes(d, least)
    if d.driver != d.sense and not recipe.arrays.on and recipe.rule not in ("inference", "spsa"):
        yield (
            f"devices.driver: {d.driver:g} with sense {d.sense:g}, so that transposed reads are not the transpose, as they are "
            "without arrays; say arrays.on = true, or give both the same resistance"
        )


def _temperature_mistakes(d: Devices, drifts_from: float | None) -> Iterator[str]:
    told = d.preset or "a device of numbers alone"
    wrong = [n for n in ("temperature", "reference_temperature") if getattr(d, n) and not LEAST <= getattr(d, n) <= MOST]
    for name in wrong:
        yield f"devices.{name}: {getattr(d, name):g}; allowed are {ALLOWED}"
    if not d.reference_temperature:
        yield f"devices.reference_temperature: 0; allowed are {ALLOWED}"
    coefficients = d.cell.temperature_coefficient or (d.temperature_coefficient,)
    if d.temperature_coefficient and d.cell.temperature_coefficient:
        yield "devices.temperature_coefficient: given together with the cell's own column; allowed is one of the two"
    if d.named and d.activation_energy and drifts_from is None:
        yield f"devices.activation_energy: {d.activation_energy:g} eV, but {told} has no drift; allowed is 0"
    if wrong or not d.reference_temperature or not d.temperature:
        return
    if d.named and not d.activation_energy and not any(coefficients):
        yield (
            f"devices.temperature: {d.temperature:g} K, but {told} has no model of it; give devices.activation_energy of its drift, or "
            "devices.temperature_coefficient, as you measured them"
        )
    if min(1 + c * (d.temperature - d.reference_temperature) for c in coefficients) <= 0:
        yield f"devices.temperature: {d.temperature:g} K, at which the temperature coefficient leaves no conductance; give one nearer by"
    as_old = d.age * hastened(d.activation_energy, d.temperature, d.reference_temperature)
    if drifts_from and as_old < drifts_from <= d.age:
        yield (
            f"devices.temperature: {d.temperature:g} K, at which {d.age:g} s are as {as_old:g} s at {d.reference_temperature:g} K, but the "
            f"law of {d.preset or 'its cell'} begins {drifts_from:g} s after writing; allowed are warmer, or older"
        )


def _array_mistakes(recipe: Recipe) -> Iterator[str]:
    a, d = recipe.arrays, recipe.devices
    bits = recipe.cell_width - (a.mapping == "differential")
    if a.cell_bits > bits:
        yield f"arrays.cell_bits: {a.cell_bits}; allowed are 0 (all) to {bits}, the bits of a weight in its cells"
    if not a.on:
        for name in Arrays.model_fields:
            if getattr(a, name) != Arrays.model_fields[name].default and not (name in LAYOUT and d.named):
                yield f"arrays.{name}: {getattr(a, name)!r} without arrays; say arrays.on = true"
        return
    for name, least in (("input_bits", "as many as states and deltas have, up to 12"), ("output_bits", "exact sums")):
        if getattr(a, name) == 1:
            yield f"arrays.{name}: 1; allowed are 0 ({least}) and 2 or more"
    for name in ("gain_spread", "offset_spread"):
        if getattr(a, name) and not a.output_bits:
            yield f"arrays.{name}: {getattr(a, name):g} without output converters; give arrays.output_bits"
    if a.input_slice >= min(recipe.input_width("state"), recipe.input_width("delta")):
        yield f"arrays.input_slice: {a.input_slice}; allowed is less than the bits of the input converters"
    if a.sensing == "opposite" and not any(d.segments):
        yield "arrays.sensing: 'opposite' without devices.wires; without resistance both reads are alike"
