"""Checks of a rule: what it asks for that no chip can do."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from ..operations import FED, MADE, MOST_LEAK, NOISE, POSITION_BITS, SIGNS, SLOPE, Matrix, Op, Operation

if TYPE_CHECKING:
    from ..recipe import Recipe


def mistakes_of(recipe: Recipe) -> Iterator[str]:
    """Yield what is wrong with the recipe's rule, a line each."""
    from . import ROWS, Oracle, rule

    try:
        found = rule(recipe.rule)
        matrices, room = tuple(found.matrices(recipe)), 1 << POSITION_BITS
        programs = {name: tuple(itertools.islice(getattr(found, name)(recipe), room + 1)) for name in ("infer", "train")}
    except ValueError as error:
        yield f"rule: {recipe.rule}: {error}"
        return
    except Exception as error:  # of somebody's function, whatever it does
        yield f"rule: {recipe.rule} is no function of a recipe that yields operations: {error}"
        return
    about, count = f"rule: {recipe.rule}: ", sum(map(len, programs.values()))
    if count > room:
        yield f"{about}more than {room} operations of inference and training; allowed are {room}, what the program memory holds"
        return
    wrong = list(_of_matrices(recipe, matrices))
    if found.oracle not in get_args(Oracle):
        wrong.append(f"oracle {found.oracle!r}; allowed are {', '.join(get_args(Oracle))}")
    if found.row is not None and found.row not in range(1, ROWS + 1):
        wrong.append(f"row {found.row!r}; allowed are 1 to {ROWS}, of the cookbook")
    for name, operations in programs.items():
        wrong += [f"{name}: {told}" for told in _of_program(recipe, {m.name: m for m in matrices if isinstance(m, Matrix)}, operations)]
    yield from (about + told for told in dict.fromkeys(wrong))


def _of_matrices(recipe: Recipe, matrices: tuple[object, ...]) -> Iterator[str]:
    populations = len(recipe.sizes)
    seen: dict[str, Matrix] = {}
    for m in matrices:
        if not isinstance(m, Matrix):
            yield f"{m!r} is no Matrix"
            continue
        if m.name in seen:
            yield f"matrix {m.name} is there twice"
        if not (0 <= m.below < populations and 0 <= m.above < populations):
            yield f"matrix {m.name} maps population {m.below} to {m.above}; allowed are 0 to {populations - 1}"
        if not 0 <= m.layer < recipe.layers:
            yield f"matrix {m.name} lies beside layer {m.layer}; allowed are 0 to {recipe.layers - 1}"
        if m.source not in ("memory", "signs", "generator"):
            yield f"matrix {m.name} comes from {m.source!r}; allowed are memory, signs and generator"
        partner = m.of if m.source == "signs" else m.start if m.start not in ("random", "zero") else None
        if partner is not None:
            other = seen.get(partner)
            if other is None or (other.below, other.above, other.source) != (m.below, m.above, "memory"):
                yield f"matrix {m.name} follows {partner!r}, which must be a matrix before it, of its shape and in memory"
            elif m.source == "signs" and other.layer != m.layer:
                yield f"matrix {m.name} lies beside layer {m.layer}; allowed is the one of {partner}, whose signs it has: {other.layer}"
        seen[m.name] = m
    for k in range(recipe.layers):
        if f"W{k}" not in seen or seen[f"W{k}"][:4] != (f"W{k}", k, k + 1, k) or seen[f"W{k}"].source != "memory":
            yield f"matrix W{k} of layer {k} is missing; every rule has the weights of the net, as rules.parts.weights yields them"


@functools.cache
def _words(field: str) -> tuple[Any, ...]:
    return get_args(get_type_hints(Operation)[field])


def _of_program(recipe: Recipe, matrices: dict[str, Matrix], operations: tuple[object, ...]) -> Iterator[str]:
    last = recipe.layers - 1
    stores: dict[str, tuple[str, int]] = {"input0": ("state", 0)}  # format and population
    drives: set[int] = set()
    feedbacks: set[int] = set()
    results = 0
    for step in operations:
        if not isinstance(step, Operation):
            yield f"{step!r} is no Operation; rules.parts has functions that make some"
            return
        m = matrices.get(step.matrix)
        if m is None:
            yield f"{step}: there is no matrix {step.matrix!r}; there are {', '.join(matrices)}"
            continue
        for field in ("enter", "force", "error", "loss"):
            if getattr(step, field) not in _words(field):
                yield f"{step}: {field} = {getattr(step, field)!r}; allowed are {', '.join(map(repr, _words(field)))}"
        # what it reads
        for port, population in (("column", m.below), ("row", m.above)):
            name = getattr(step, port)
            wanted = {Op.FORWARD: ("column",), Op.TRANSPOSED: ("row",), Op.UPDATE: ("column", "row"), Op.PROBE: ()}[step.op]
            if port not in wanted:
                if name:
                    yield f"{step}: {port} = {name!r}, which a {step.op.name.lower()} does not read"
            elif name == NOISE and port == "column":
                continue
            elif step.op is Op.UPDATE and name in (SIGNS, SLOPE):
                if step.column == SIGNS and step.row != SLOPE or name == SIGNS and port == "row" or name == SLOPE and port == "column":
                    yield f"{step}: {port} = {name!r}; allowed are a column of signs with the row slope, and the row slope"
            elif name not in stores:
                yield f"{step} needs {name or port}, which no operation before it makes; there are {', '.join(stores)}"
            else:
                format, there = stores[name]
                if recipe.sizes[there] != recipe.sizes[population]:
                    yield (f"{step}: {name} has {recipe.sizes[there]} elements, the {port} of {m.name} takes {recipe.sizes[population]}")
                if port == "column" and format != "state":
                    yield f"{step}: {name} holds differences; allowed as a column are states"
        if not step.reads:
            if m.source != "memory":
                yield f"{step}: {m.name} is not in memory, so that it cannot be rewritten"
            continue
        # what it makes
        unit = step.unit
        if not 0 <= unit <= last:
            yield f"{step}: there is no unit {unit}; allowed are 0 to {last}"
            continue
        made = m.above if step.op is Op.FORWARD else m.below
        if recipe.sizes[made] != recipe.sizes[unit + 1]:
            yield f"{step}: {recipe.sizes[made]} elements for unit {unit}, which has {recipe.sizes[unit + 1]} neurons"
        if step.enter != "drive" and unit not in drives:
            yield f"{step} needs the drive of unit {unit}, which no operation before it keeps"
        if step.enter in FED and unit not in feedbacks:
            yield f"{step} needs the feedback of unit {unit}, which no operation before it keeps"
        if not 0 <= step.leak <= MOST_LEAK:
            yield f"{step}: leak = {step.leak}; allowed are 0 to {MOST_LEAK}"
        if (step.force or step.loss != "keep" or step.result) and unit != last:
            yield f"{step}: force, loss and result are the last unit's, {last}"
        if step.keep_drive:
            drives.add(unit)
        if step.keep_feedback:
            feedbacks.add(unit)
        for name, format in ((step.mean, "state"), (step.difference, "delta")):
            if name in ("input0", *MADE):
                yield f"{step}: {name} cannot be written"
            elif name and stores.get(name, (format, 0))[0] != format:
                yield f"{step}: {name} holds a {stores[name][0]} elsewhere and a {format} here; give it two names"
            elif name and stores.get(name, (format, unit + 1))[1] != unit + 1:
                yield f"{step}: {name} holds elements of unit {stores[name][1] - 1} elsewhere and of unit {unit} here; give it two names"
            elif name and name in (step.column, step.row):
                yield f"{step}: reads {name} and writes it, whose first elements come before the last are read; write another store"
            elif name:
                stores[name] = format, unit + 1
        results += step.result
    if not results:
        yield f"no operation has a result, so that a sample has no outputs; one forward read of W{last} must"
