"""Cards: what each row asks of hardware, counted on its standard net.

``python -m crossdyad.models.cards`` counts all rows anew and writes ``cookbook/catalog.json``, which the command line reads without JAX.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax import numpy as jnp

from .circuits import Equilibrium, Feedforward, Hopfield
from .cookbook import ROWS
from .cookbook import standard as standards
from .cookbook.extended import Extended
from .counting import count, marked
from .counts import Count
from .energies import PRIMITIVES
from .precision import in_float64
from .solvers import relaxation
from .training import predict
from .updates import agnostic, continual

FILE = Path(__file__).parent / "cookbook" / "catalog.json"
DEPTHS = (3, 5)
"""Hidden layers of the net that a card counts, and of a deeper one: a problem is what grows from the first to the second."""
INPUTS, UNITS, OUTPUTS = 6, 5, 3
PER_LAYER = 3
"""Sweeps of a relaxation for each layer of weights."""


class Card(NamedTuple):
    """Counts of one row's gradient of one sample, on a net of `DEPTHS` hidden layers; fields of `explore.cards.Card` mean the same here.

    Words stand for bits and reads of a matrix by one vector for cycles: one array per matrix, one vector at a time.

    Attributes
    ----------
    row : int
    rule : str
    oracle : str
        What its estimate tends to the gradient of; empty where the row declares nothing.
    passes, sweeps : int
        Vectors that the first matrix multiplies in rows; most that any does.
    operations : int
        Reads of all matrices.
    forward, transposed, copies : int
        Of these in rows, in columns, and of other matrices or of signs in place of weights.
    weight_words, feedback_words : int
        In matrices: the net's own; others that the rule has (feedback, heads, predictors).
    transport : int
        Weight words read in columns, or whose signs are.
    state_words, stored, drawn : int
        Held at once between reads; of these longer than any is in inference; random numbers held.
    derivatives : int
        Slopes of activations evaluated.
    forward_lock : int
        Ticks from the first read of the first matrix to its gradient.
    backward_lock : int
        Of these, from the first layer's state: the delay from state to error.
    chain : int
        Reads between the target and the first matrix's gradient, one after the other.
    waiting : int
        Longest that a state waits until it is read last.
    idle : float
        Share of all matrices' ticks without a read.
    writes : int
        Words of matrices written: the update, and what is moved before it.
    random : int
        Numbers drawn.
    messages : int
        Words sent to matrices.
    scalars : int
        Numbers that depend on the target and multiply whole vectors.
    dense : bool
        Whether it solves a dense system as it runs here, which no array does: reads are then those that fill the system.
    problems : tuple of str
        Of `PROBLEMS`, those that it leaves: ``transport`` and ``derivatives`` where there are any; ``memory`` where words wait in the
        deeper net for longer than any in the other, and ``synchrony`` where they wait longer; the locks where the forward lock, and
        the chain of reads from the target, grow with depth.
    """

    row: int
    rule: str
    oracle: str
    passes: int
    sweeps: int
    operations: int
    forward: int
    transposed: int
    copies: int
    weight_words: int
    feedback_words: int
    transport: int
    state_words: int
    stored: int
    drawn: int
    derivatives: int
    forward_lock: int
    backward_lock: int
    chain: int
    waiting: int
    idle: float
    writes: int
    random: int
    messages: int
    scalars: int
    dense: bool
    problems: tuple[str, ...]


PROBLEMS = ("transport", "memory", "derivatives", "forward lock", "backward lock", "synchrony")
"""The six of the paper."""


# Instrumented nets --------------------------------------------------------------------------------------------


_marked = functools.cache(marked)


@contextlib.contextmanager
def slopes_seen() -> Iterator[None]:
    """Make circuits of activations whose slopes are seen, within a block."""
    kinds = (Feedforward, Hopfield, Equilibrium)
    before = [kind.__init__ for kind in kinds]

    def instrumented(self, *args, original, **keywords):
        original(self, *args, **keywords)
        object.__setattr__(self, "activation", _marked(self.activation))

    for kind, original in zip(kinds, before, strict=True):
        kind.__init__ = functools.partialmethod(instrumented, original=original)
    primitives = dict(PRIMITIVES)
    PRIMITIVES.update({_marked(f): p for f, p in primitives.items()})
    try:
        yield
    finally:
        for kind, original in zip(kinds, before, strict=True):
            kind.__init__ = original
        PRIMITIVES.clear()
        PRIMITIVES.update(primitives)


def _settings(number: int, layers: int) -> dict:
    """Return what a row's standard training sets, with as many sweeps as the depth asks for, and one direction of probes."""
    solver = relaxation(PER_LAYER * layers)
    _, _, settings = standards.STANDARDS[number]
    found = {k: solver if v is standards.SOLVER else v for k, v in settings.items() if k not in ("activation", "direct")}
    own: dict[int, dict] = {
        2: {"terms": PER_LAYER * layers, "solver": solver},
        22: {"terms": PER_LAYER * layers, "solver": solver},
        7: {"terms": PER_LAYER * layers},
        21: {"terms": PER_LAYER * layers},
        15: {"solver": solver},
        29: {"directions": 1},
        30: {"directions": 1},
        31: {"directions": 1},
        32: {"directions": 1},
        67: {"sweeps": PER_LAYER * layers},
        68: {"solver": solver},
        72: {"solver": solver},
        78: {},
        87: {"sweeps": 2 * layers},
        88: {"solver": solver},
    }
    return found | own.get(number, {})


def _updates(layers: int) -> dict[int, Callable]:
    """Rows whose estimate is a move of the parameters."""
    n = PER_LAYER * layers
    return {
        64: standards.moved(partial(continual, beta=0.5, rate=5e-4, sweeps=n, solver=relaxation(n)), 5e-4),
        66: standards.moved(partial(agnostic, beta=0.5, epsilon=1e-4, solver=relaxation(n)), 1e-4),
        7: standards.series,
        21: standards.series,
    }


@in_float64
def counted(number: int, hidden: int = DEPTHS[0], **more: Any) -> tuple[Count, Count, standards.Standard]:
    """Return the counts of a row's gradient and of inference, and the net that they are of."""
    sizes = (INPUTS, *[UNITS] * hidden, OUTPUTS)
    layers = len(sizes) - 1
    with slopes_seen():
        net = standards.standard(number, sizes)
        settings, estimate = _settings(number, layers) | more, net.rule.estimate
        if number in _updates(layers):
            estimate = _updates(layers)[number]
        given = net.settings | net.rule.settings | settings
        given = {k: v for k, v in given.items() if k in inspect.signature(estimate).parameters}
        parameters = net.circuit.random_parameters(jax.random.key(0)) if net.parameters is None else net.parameters
        extended = isinstance(net.circuit, Extended)
        weights, others = parameters if extended else (parameters, ())
        matrices = given.pop("matrices", None)
        keyed = "key" in inspect.signature(estimate).parameters

        def gradient(weights, others, x, y, key):
            more = {"matrices": others} if matrices is not None else {}
            p = (weights, others) if extended else weights
            return estimate(net.circuit, net.objective, p, x, y, **given, **more, **({"key": key} if keyed else {}))

        solver = given.get("solver", relaxation(PER_LAYER * layers))

        def infer(weights, others, x, y, key):
            return predict(net.circuit, (weights, others) if extended else weights, x, solver)

        x, y, key = jnp.ones(INPUTS), jnp.full(OUTPUTS, 1 / OUTPUTS), jax.random.key(1)
        others = matrices if matrices is not None else others
        of = partial(count, loops=PER_LAYER * layers)
        return of(gradient, weights, x, y, others, key), of(infer, weights, x, None, others), net


def card(number: int) -> Card:
    """Count a row."""
    (found, rest, net), (deep, _, _) = (counted(number, hidden) for hidden in DEPTHS)
    leaves = jax.tree.leaves(found.matrices)
    learned = leaves + jax.tree.leaves(found.others) * isinstance(net.circuit, Extended)
    own = range(len(leaves))
    sizes = [v.size for v in leaves]
    first, more = found.results[0], deep.results[0]
    lock, delay = (first.ready - found.started.get(0, 0), more.ready - deep.started.get(0, 0))
    transport = sum(sizes[k] * (found.transposed[k] + found.signs[k]) for k in own)
    copies = sum(found.signs.values()) + sum((found.forward + found.transposed)[k] for k in found.busy if k not in own)
    left = (
        transport > 0,
        deep.peak(found.longest()) > 0,
        found.derivatives > 0,
        delay > lock,
        more.chain > max(first.chain, 0),
        deep.longest() > found.longest(),
    )
    declared, standard = ROWS[number].estimator, standards.STANDARDS[number][1]
    return Card(
        row=number,
        rule=ROWS[number].title,
        oracle=declared.target if declared else net.rule.target if isinstance(standard, int) else "",
        passes=found.forward[0],
        sweeps=max((found.forward[k] for k in own), default=0),
        operations=sum(found.busy.values()),
        forward=sum(found.forward[k] for k in own),
        transposed=sum(found.transposed[k] for k in own),
        copies=copies,
        weight_words=sum(sizes),
        feedback_words=sum(v.size for v in jax.tree.leaves(found.others)),
        transport=transport,
        state_words=found.peak(),
        stored=found.peak(rest.longest()),
        drawn=found.peak(drawn=True),
        derivatives=found.derivatives,
        forward_lock=lock,
        backward_lock=max(0, lock - 1),
        chain=max(0, first.chain),
        waiting=found.longest(),
        idle=round(1 - sum(found.busy.values()) / max(1, found.ticks * len(found.busy)), 3),
        writes=found.moved + sum(v.size for v in learned),
        random=found.random,
        messages=found.messages,
        scalars=found.scalars,
        dense=found.solves > 0,
        problems=tuple(p for p, there in zip(PROBLEMS, left, strict=True) if there),
    )


UNCOUNTED = {
    82: "its gradient costs what row 20's does; the curvature, which is of a batch, is not counted",
    86: "made of blocks, each with the card of its own rule",
}
"""Trainable rows without a card, and why."""


def described(number: int) -> dict:
    """A row as plain data, without its card."""
    row = ROWS[number]
    declared = (
        {}
        if row.estimator is None
        else {"requires": sorted(row.estimator.requires), "target": row.estimator.target, "order": row.estimator.order}
    )
    return {"row": number, "title": row.title, "source": row.source, "combination": row.combination} | declared


def entry(number: int) -> dict:
    """A row as plain data, with its card or why it has none."""
    reason = UNCOUNTED.get(number) or standards.REFUSED.get(number)
    counts = {"no card": reason} if reason else {"card": card(number)._asdict()}
    return described(number) | counts


def main() -> None:
    """Write `FILE`."""
    rows = []
    for number in sorted(ROWS):
        rows.append(entry(number))
        print(number, ", ".join(rows[-1].get("card", {}).get("problems", ["-"])), flush=True)
    FILE.write_text("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")


if __name__ == "__main__":
    main()
