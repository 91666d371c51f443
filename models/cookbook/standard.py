"""Standard training: for a row, the circuit, objective and settings with which it trains a classifier, or why it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import Any, NamedTuple

import jax
import optax
from jax import numpy as jnp

from ...data import Dataset
from ..circuits import Equilibrium, Feedforward, Hopfield, clip, square_primitive
from ..energies import Resistive, behind
from ..estimators.chains import Chain, chain_gradient
from ..estimators.estimator import Estimator, Unsuitable
from ..fixed_points import mirror_descent
from ..functions import identity, relu
from ..objectives import cross_entropy, squared_error
from ..operators import Operator
from ..precision import in_float64
from ..solvers import relaxation
from ..steps import from_rate
from ..training import Run, train
from ..updates import Kronecker, agnostic, continual, locoprop
from . import extended
from .adapted import SWEEPS, in_place, moved, penalised, pseudo_inverted, series, twins
from .row import ROWS

SOLVER, TEST_SOLVER = relaxation(SWEEPS), relaxation(2 * SWEEPS)


CALM = 0.7
"""Size of a Hopfield net's first weights below which are operators, in units of its own."""
AMPLIFIED, PRESENT = 3.0, 0.25
"""Gain of a resistive net for each convolution, and the share of its conductances that are there at first."""
UPDATES = {"adam": optax.adam, "sgd": optax.sgd, "kronecker": Kronecker}
"""Updates by name: functions of the rate."""


class Standard(NamedTuple):
    """Arguments of `crossdyad.models.train` for a row.

    Attributes
    ----------
    rule, circuit, objective, settings, solver, parameters, project
        As there.
    optimizer : callable
        A rate to an update or an optax transformation; Adam, but gradient descent where feedback has to move as the weights do.
    """

    rule: Estimator
    circuit: Any
    objective: Callable
    settings: dict
    solver: Callable | None = None
    parameters: Any = None
    project: Callable | None = None
    optimizer: Callable = optax.adam


# Circuits -----------------------------------------------------------------------------------------------------


def _net(rule, sizes, seed, activation=relu, objective=cross_entropy, **settings):
    return Standard(rule, Feedforward(sizes, activation), objective, settings)


def _curved(rule, sizes, seed):
    """Backprop's gradient, and steps of second order, which are some 30 times as long as Adam's."""
    return _net(rule, sizes, seed)._replace(optimizer=lambda rate: Kronecker(30 * rate))


def _calm(circuit, seed):
    """Weights of a Hopfield net below which are operators, `CALM` times as large as its own; None, its own, for other nets.

    Where all places share a weight the couplings are larger than those of as many weights alone, and states far from the input turn up.
    """
    if not operators(circuit.sizes):
        return None
    return jax.tree.map(lambda w: CALM * w, circuit.random_parameters(jax.random.key(seed)))


def _clipped(rule, sizes, seed, bounded=True, **settings):
    """A Hopfield net of units between 0 and 1, its outputs too if they are bounded; the rule takes a solver."""
    output = (None, None) if bounded else (identity, square_primitive)
    circuit = Hopfield(sizes, clip(0.0, 1.0), square_primitive, frozenset({"energy", "block-exact"}), *output)
    test = TEST_SOLVER
    if len(operators(sizes)) > 1 and settings.get("solver") is SOLVER:  # twelve sweeps leave it a way from rest
        settings["solver"], test = relaxation(4 * SWEEPS), relaxation(8 * SWEEPS)
    return Standard(rule, circuit, squared_error, settings, test, _calm(circuit, seed))


def _smooth(rule, sizes, seed, **settings):
    """A Hopfield net of tanh units."""
    circuit = Hopfield(sizes)
    return Standard(rule, circuit, squared_error, settings, TEST_SOLVER, _calm(circuit, seed))


def _equilibrium(rule, sizes, seed, **settings):
    """Make as many units with loops as the sizes have in all, behind operators that loop, too; updates leave the loops contracting."""
    below = operators(sizes)
    units = sizes if below else sizes[1:]
    circuit = Equilibrium(below or sizes[0], sum(units[len(below) :]), sizes[-1])
    return Standard(rule, circuit, squared_error, settings, TEST_SOLVER, project=circuit.contracting)


def _resistive(rule, sizes, seed, **settings):
    def conductances(parameters):
        return jax.tree.map(lambda g: jnp.maximum(g, 1e-6), parameters)

    if not (below := operators(sizes)):
        return Standard(rule, Resistive(sizes, 10.0), squared_error, settings, relaxation(SWEEPS), project=conductances)
    *places, channels = sizes[0].inputs  # an input's two voltages are channels
    # voltages fall from layer to layer, as they are means: amplifiers between layers are the same as this gain, since diodes at 0 know
    # no scale, and at first most conductances are absent, so that means are of few nodes. Nudges are weak, as outputs are small
    circuit = Resistive((replace(sizes[0], inputs=(*places, 2 * channels)), *sizes[1:]), 10.0 * AMPLIFIED ** len(below))
    keys = jax.random.split(jax.random.key(seed), len(circuit.maps))
    drawn = [jax.random.bernoulli(k, PRESENT, a.shape) * (3 / a.fan_in) ** 0.5 for k, a in zip(keys, circuit.maps, strict=True)]
    weights = conductances(tuple(drawn))
    return Standard(rule, circuit, squared_error, settings | {"beta": 0.1}, relaxation(SWEEPS), weights, conductances)


def operators(sizes: tuple) -> tuple[Operator, ...]:
    """The operators below the units of a net's sizes."""
    return tuple(takewhile(lambda n: isinstance(n, Operator), sizes))


def _parted(sizes):
    """A layer of tanh units, the first operator if there is one, and the sizes of a net behind it, its first hidden layer as wide."""
    if operators(sizes):
        front, rest = Feedforward(sizes[:1], jnp.tanh, jnp.tanh), sizes[1:]
        return front, rest if operators(rest) else (sizes[0].outputs, *rest)
    return Feedforward(sizes[:2], jnp.tanh, jnp.tanh), (sizes[1], *sizes[1:])


def _tied(rule, sizes, seed, **settings):
    """Features of the first layer, a Hopfield net behind them."""
    below, sizes = _parted(sizes)
    net = Hopfield(sizes)
    front, inner = jax.random.split(jax.random.key(seed))
    weights = below.random_parameters(front)[0], net.random_parameters(inner)
    if operators(sizes):
        weights = weights[0], jax.tree.map(lambda w: CALM * w, weights[1])
    return Standard(rule, behind(partial(below.layer, 0), net), squared_error, settings, TEST_SOLVER, weights)


def _chain(rule, sizes, seed, **settings):
    """A feedforward layer below a Hopfield net."""
    front, sizes = _parted(sizes)
    circuit, weights = Chain((front, Hopfield(sizes))), None
    if operators(sizes):
        below, above = circuit.random_parameters(jax.random.key(seed))
        weights = below, jax.tree.map(lambda w: CALM * w, above)
    return Standard(rule, circuit, squared_error, settings, TEST_SOLVER, weights)


def _mixture(rule, sizes, seed):
    """Dyads below, nudges between, probes above (row 86)."""
    below = operators(sizes) or sizes[:2]
    width = next(n for n in sizes[1:] if isinstance(n, int))
    front = Feedforward(below, jnp.tanh, jnp.tanh)
    chain = Chain((front, Hopfield((front.maps[-1].outputs, width, width)), Feedforward((width, sizes[-1]), output_activation=identity)))
    rules = (
        ROWS[57].estimator,
        replace(ROWS[52].estimator, settings={"solver": SOLVER}),
        replace(ROWS[29].estimator, settings={"directions": 64}),
    )

    def estimate(circuit, objective, parameters, x, y, key):
        return chain_gradient(circuit, objective, parameters, x, y, rules, key)

    return Standard(Estimator(86, ROWS[86].title, estimate), chain, cross_entropy, {}, TEST_SOLVER)


def _extended(make, sizes, seed, **settings):
    circuit, estimate, descent = make(Feedforward(sizes, relu))
    optimizer = (lambda rate: optax.sgd(30 * rate)) if descent else optax.adam
    return Standard(estimate, circuit, cross_entropy, settings, optimizer=optimizer)


def _random_feedback(rule, sizes, seed, direct=False):
    layers = (extended.from_output if direct else extended.downwards)(Feedforward(sizes))
    return _net(rule, sizes, seed, matrices=extended.normal(layers, jax.random.key(seed)))


_relaxed = {"solver": SOLVER}
_free = _relaxed | {"bounded": False}  # an output at a bound hears no nudge beyond it, or the outer ones of a stencil alone
STANDARDS: dict[int, tuple[Callable, Any, dict]] = {
    1: (_net, None, {}),
    2: (_equilibrium, series, {"rate": 0.5, "terms": 2 * SWEEPS}),
    7: (_equilibrium, 21, _relaxed),
    8: (_clipped, 52, {"beta": 0.5} | _relaxed),
    9: (_resistive, None, {"beta": 1.0} | _relaxed),
    13: (_net, None, {"beta": 0.1}),
    14: (_net, penalised, {"activation": jnp.tanh}),
    15: (_net, None, {"activation": jnp.tanh, "beta": 0.1}),
    16: (_tied, None, {"beta": 0.5} | _relaxed),
    20: (_net, 21, {}),
    21: (_equilibrium, None, _relaxed),
    22: (_equilibrium, series, {}),
    23: (_random_feedback, None, {}),
    24: (_random_feedback, None, {"direct": True}),
    25: (_extended, extended.mirrored, {}),
    26: (_extended, extended.kolen_pollacked, {}),
    27: (_net, None, {}),
    28: (_extended, extended.perturbed, {}),
    29: (_net, None, {"directions": 16, "epsilon": 1e-3}),
    30: (_net, None, {"directions": 16}),
    31: (_net, in_place, {}),
    32: (_net, None, {"directions": 16, "epsilon": 1e-3}),
    33: (_extended, extended.guided, {}),
    34: (_extended, extended.perturbed_locally, {}),
    35: (_extended, extended.local, {}),
    37: (_extended, extended.informed_locally, {}),
    38: (_extended, extended.interlocked, {}),
    40: (_extended, extended.overlapped, {}),
    42: (_extended, extended.forward_forward_net, {}),
    43: (_extended, extended.synthesised, {}),
    51: (_clipped, None, {"beta": 0.25} | _free),
    52: (_clipped, None, {"beta": 0.5} | _relaxed),
    53: (_clipped, None, {"beta": 0.1} | _free),
    54: (_smooth, None, {"beta": 0.2} | _relaxed),
    56: (_net, None, {"alpha": 0.5, "beta": 1.0, "sweeps": 2}),
    57: (_net, None, {"alpha": 0.5, "beta": 1.0, "sweeps": 2}),
    58: (_clipped, 59, {"beta": 1.0} | _free),
    59: (_clipped, None, {"beta": 0.25} | _relaxed),
    60: (_clipped, None, {"beta": 0.5, "steps": 4} | _relaxed),
    61: (_clipped, None, {"beta": 0.5} | _relaxed),
    64: (_clipped, moved(partial(continual, beta=0.5, rate=5e-4, sweeps=SWEEPS, solver=SOLVER), 5e-4), {"bounded": False}),
    66: (_clipped, moved(partial(agnostic, beta=0.5, epsilon=1e-4, solver=SOLVER), 1e-4), {}),
    67: (_clipped, twins, {}),
    68: (_net, None, {"beta": 0.1}),
    69: (_extended, extended.inverting_targets, {}),
    70: (_extended, extended.direct_targets, {}),
    71: (_extended, extended.local_targets, {}),
    72: (_net, None, {"beta": 0.1}),
    74: (_net, None, {"activation": jnp.tanh, "beta": 0.1}),
    77: (_clipped, 52, {"beta": 0.5} | _relaxed),
    78: (_smooth, 52, {"beta": 0.5, "solver": mirror_descent(0.5, jnp.tanh, jnp.arctanh, tolerance=1e-3, limit=500)}),
    79: (_net, moved(partial(locoprop, steps=5, rate=0.1), 0.5), {}),
    81: (_net, pseudo_inverted, {}),
    82: (_curved, 21, {}),
    84: (_net, None, {"activation": jnp.tanh, "beta": 0.1, "duration": 6.0, "step": 0.5}),
    85: (_chain, None, {"beta": 0.1}),
    86: (_mixture, None, {}),
    87: (_net, None, {"alpha": 0.5, "beta": 1.0, "sweeps": 8}),
    88: (_net, None, {"beta": 1.0}),
}
"""Standard of each row: what makes the circuit, the rule (the row's own if none, another row's, or a function), and keywords."""

_formulation = "a formulation, no rule; use row {}"
_system = "a system, no rule; use row {}, which trains it or one like it"
_schedule = "a schedule, which carries any rule; use `schedules.play` with the rule of row {}, as examples/mixture.py does"
REFUSED = {
    3: _formulation.format(20),
    4: _formulation.format(51),
    5: _formulation.format(21),
    6: _system.format(20),
    11: _formulation.format(68),
    10: "enumerates 2^n states of its spins; use row 58, the same contrast of settled states",
    12: _system.format(8),
    17: _system.format("45 or 20"),
    18: _system.format(69),
    19: _formulation.format(84),
    36: "its blocks keep buffers from tick to tick; use row 35, its gradient, or `decoupled_tick`",
    39: "learns from patches without labels, so it names no class; use benchmarks/unlabelled.py, or row 35 or 42",
    41: "learns from pairs of views without labels, so it names no class; use benchmarks/unlabelled.py, or row 35 or 42",
    44: _schedule.format(57),
    45: _schedule.format(20),
    46: _schedule.format(57),
    47: _schedule.format(57),
    48: _schedule.format(57),
    49: _schedule.format(57),
    50: _schedule.format(57),
    55: "integrates the motion of every sample, minutes an epoch; use row 54, to which it tends",
    62: _formulation.format(52),
    63: "relaxes on the minimum of the loss, for which the limit needs Newton's steps; use row 58 or 68",
    65: "one sample's flow in continuous time; use row 59, its slow limit",
    73: "feedback that learns while one signal flows in time; use row 72 with it, or row 26",
    75: "learns its feedback in a hundred rounds for every sample, hours an epoch; use row 74",
    76: "follows a branch in 328 Newton steps for every sample, many minutes an epoch; use row 74 or 68",
    80: "Anderson's method does not settle on every sample of the digits; use row 77 or 78, which reach the same states",
    83: "rates in time, no gradient of its own; use row 84",
}
"""Reasons why a row has no standard training, and what to use."""


def trainable() -> list[int]:
    """Rows that `standard` knows."""
    return sorted(STANDARDS)


@in_float64
def standard(number: int, sizes: tuple, seed: int = 0) -> Standard:
    """A row on a net of about these sizes, inputs first: most on ReLUs with cross-entropy, those of energies on Hopfield nets.

    Parameters
    ----------
    sizes : tuple
        Of a `Feedforward`: units of layers, or operators on images below those.

    Raises
    ------
    Unsuitable
        For a layer without units, or a row that is not trained this way; says why and what to use instead.
    """
    if any(isinstance(n, int) and n < 1 for n in sizes):
        raise Unsuitable(f"sizes: {sizes}; allowed is one unit or more in every layer")
    if number in REFUSED:
        raise Unsuitable(f"row {number} ({ROWS[number].title}): no standard training: {REFUSED[number]}")
    if number not in STANDARDS:
        raise Unsuitable(f"row {number}: not in the cookbook; use one of {', '.join(map(str, trainable()))}")
    make, rule, settings = STANDARDS[number]
    if make is _extended:
        made = make(rule, sizes, seed, **settings)
        return made._replace(rule=Estimator(number, ROWS[number].title, made.rule))
    if rule is None or isinstance(rule, int):
        rule = ROWS[rule or number].estimator
    else:
        rule = Estimator(number, ROWS[number].title, rule)
    return make(rule, sizes, seed, **settings)


def learn(
    number: int,
    sizes: tuple,
    data: Dataset,
    epochs: int,
    seed: int = 0,
    rate: float = 3e-3,
    update: Callable[[float], Any] | None = None,
    **more: Any,
) -> Run:
    """Train a row as `standard` says.

    Parameters
    ----------
    data : tuple
        Of `crossdyad.models.train`, as are `more` (``checkpoint``, ``progress``, ``batch``).
    rate : float
        Of the update.
    update : callable, optional
        A rate to an update or an optax transformation; Adam by default, or what the row has in its place.
    """
    s = standard(number, sizes, seed)
    return train(
        s.rule,
        s.circuit,
        s.objective,
        data,
        epochs=epochs,
        seed=seed,
        parameters=s.parameters,
        settings=s.settings,
        solver=s.solver,
        project=s.project,
        optimizer=from_rate(update or s.optimizer, rate),
        **more,
    )
