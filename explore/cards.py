"""Demands of a learning rule on hardware: the paper's six problems, counted on a compiled program."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import ValidationError

from ..recipe import NOISE, RULES, SIGNS, Op, Recipe, load, matrix_geometries, mistakes, presets_of_rules, programs, rule, timing


class Card(NamedTuple):
    """Counts of one training program; all of one sample.

    Attributes
    ----------
    rule : str
    row : int or None
        Of the cookbook.
    oracle : str
        What its gradient estimate tends to.
    operations, cycles : int
    interval : int
        Cycles after which the next sample may start: the same, where one sample is in flight.
    in_flight : int
        Samples that are under way at most.
    staleness : dict
        By matrix that is read: the updates by earlier samples that its reads do not see yet, of those that the recipe allows.
    matrices : int
    weight_bits, feedback_bits : int
        In memory: of the layers' weights; of other matrices.
    transport : int
        Bits of weights that are read in rows and in columns, or whose signs are, counted where they are read the second way.
    state_bits : int
        Of all stores and drive memories: what is held between operations, the sample included.
    derivatives : int
        Activations whose slope is evaluated (elements that pass a gate).
    forward_lock : int
        Cycles from the first read of the first layer's weights to the end of their update, until which the next sample waits.
    backward_lock : int
        Cycles from the last hidden mean on the way up to the start of the first layer's update: the delay from state to error.
    idle : float
        Share of all engines' cycles in which they have no slot, while samples wait: what keeping step costs.
    busy : float
        Share of all multipliers' cycles in which they make a product that counts, while samples wait.
    writes : int
        Weight bits written.
    random_bits : int
        Of the generator that updates, probes and feedback use: 16 a rounded weight, 1 a sign.
    """

    rule: str
    row: int | None
    oracle: str
    operations: int
    cycles: int
    interval: int
    in_flight: int
    staleness: dict[str, int]
    matrices: int
    weight_bits: int
    feedback_bits: int
    transport: int
    state_bits: int
    derivatives: int
    forward_lock: int
    backward_lock: int
    idle: float
    busy: float
    writes: int
    random_bits: int


def card(recipe: Recipe) -> Card:
    """Return the counts of the recipe's training program."""
    program, geometry = programs(recipe)[True], matrix_geometries(recipe)
    forward = {i.step.matrix for i in program.instructions if i.op is Op.FORWARD}
    stores: dict[str, int] = {"input0": recipe.sizes[0] * recipe.formats.state.width}
    transport = derivatives = writes = random_bits = slots = products = 0
    for i in program.instructions:
        g, step = geometry[i.step.matrix], i.step
        f = g.recipe.formats
        m, cells = g.matrix, g.R * g.C
        slots += g.R * g.F
        products += cells
        if step.reads:
            elements = recipe.sizes[step.unit + 1]
            derivatives += elements * (step.enter == "gather")
            if step.difference:
                derivatives += elements * (step.error == "gate")
                stores[step.difference] = elements * f.delta.width
            if step.mean:
                stores[step.mean] = elements * f.state.width
            if step.keep_drive:
                stores[timing.drive(step.unit)] = elements * f.accumulator.width
            if step.keep_feedback:
                stores[timing.feedback(step.unit)] = elements * f.accumulator.width
            if step.op is Op.TRANSPOSED and m.source == "memory" and m.name in forward:
                transport += cells * f.weight.width
            transport += cells * (m.source == "signs")
            random_bits += cells * (m.source == "generator")
            random_bits += g.C * (step.column == NOISE) + elements * bool(step.noise)
        else:
            writes += cells * f.weight.width
            # a probe is a whole number of weight LSBs: nothing of it is rounded
            random_bits += cells * (step.op is Op.PROBE or step.column == SIGNS) + g.C * (step.column == NOISE)
            random_bits += cells * 16 * (step.op is Op.UPDATE and recipe.rounding.weight == "stochastic")
    found = rule(recipe.rule)
    bits = {name: g.R * g.C * g.recipe.formats.weight.width for name, g in geometry.items() if g.matrix.source == "memory"}
    own = sum(bits[f"W{k}"] for k in range(recipe.layers))
    locks = _locks(recipe, program, geometry)
    return Card(
        recipe.rule,
        found.row,
        found.oracle,
        len(program.instructions),
        program.length,
        program.period,
        program.in_flight,
        program.staleness,
        len(geometry),
        own,
        sum(bits.values()) - own,
        transport,
        sum(stores.values()),
        derivatives,
        *locks,
        1 - slots / (program.period * len(recipe.engine_lanes)),
        products / (program.period * sum(recipe.engine_lanes)),
        writes,
        random_bits,
    )


def _locks(recipe: Recipe, program, geometry) -> tuple[int, int]:
    """Forward and backward lock; 0 for a program without updates of the first layer."""
    reads = [i for i in program.instructions if i.step.matrix == "W0" and i.op is Op.FORWARD]
    updates = [i for i in program.instructions if i.step.matrix == "W0" and i.op is Op.UPDATE]
    if not updates:
        return 0, 0
    ended = updates[-1].cycle + timing.end(geometry["W0"], updates[-1].step)
    up = reads[0].cycle + timing.end(geometry["W0"], reads[0].step)
    return ended - reads[0].cycle, max(0, updates[0].cycle - up)


def chips(recipe: Recipe | None = None) -> list[Recipe]:
    """Return a recipe for every rule that learns: its own preset; or this recipe, with its rule first if that is one of one's own, but for
    those of `left_out`.
    """
    if recipe is None:
        return [load(preset) for preset in presets_of_rules().values()]
    return [chip for chip in _with_rules(recipe).values() if isinstance(chip, Recipe) and chip.learns]


def left_out(recipe: Recipe) -> dict[str, str]:
    """Return the rules that do not suit a recipe, and why."""
    return {name: why for name, why in _with_rules(recipe).items() if isinstance(why, str)}


def _with_rules(recipe: Recipe) -> dict[str, Recipe | str]:
    """Return the recipe with each rule, or why it cannot be."""
    found: dict[str, Recipe | str] = {}
    for name in (*({recipe.rule} - RULES.keys()), *RULES):
        try:
            found[name] = Recipe.model_validate(recipe.model_dump() | {"rule": name})
        except ValidationError as error:
            found[name] = next(mistakes(error, name, Recipe))
    return found


def cards(recipe: Recipe | None = None) -> list[Card]:
    """Return the card of each of `chips`."""
    return [card(chip) for chip in chips(recipe)]
