"""Rows 29 to 33: probes; row 34 is in `greedy`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree

from ..circuits import Feedforward
from ..estimators.estimator import Estimator
from ..estimators.greedy import greedy_gradient, layers
from ..estimators.implicit import exact_gradient, multipliers, read_out
from ..estimators.probes import (
    directional_derivative,
    forward_gradient,
    gaussian,
    guided_gradient,
    in_place_slope,
    node_error,
    node_perturbation,
    probes,
    scaled,
    spsa,
    spsa_slopes,
)
from ..functions import add
from ..kinds import Tree
from ..solvers import Problem, newton, relaxation
from . import systems
from .findings import Finding, above, below, equal, flat, identical, law, relative_error, slope, within
from .row import row
from .systems import System

_compiled = partial(jax.jit, static_argnums=(0, 1))
SPSA = Estimator(29, "SPSA", _compiled(spsa, static_argnames=("directions",)))
FORWARD = Estimator(30, "forward gradient", _compiled(forward_gradient, static_argnames=("directions", "draw")))
NODES = Estimator(32, "node perturbation", _compiled(node_perturbation, static_argnames=("directions", "draw", "solver")))
GUIDED = Estimator(33, "gradient along a guessed direction", _compiled(guided_gradient))
SAMPLES = 2000

slopes = _compiled(spsa_slopes)
exactly = _compiled(exact_gradient)


def drawn(draw: Callable[[Array, Tree], Tree], tree: Tree, seed: int) -> Tree:
    """Directions like a pytree, `SAMPLES` of them stacked."""
    return jax.vmap(partial(draw, parameters=tree))(jax.random.split(jax.random.key(seed), SAMPLES))


def rows_of(stacked: Tree) -> np.ndarray:
    """A stacked pytree as a matrix, a vector per sample."""
    return np.concatenate([np.asarray(v).reshape(len(v), -1) for v in jax.tree.leaves(stacked)], 1)


def spread(estimates: np.ndarray, exact: Tree) -> np.ndarray:
    """Squared error of every sample over the square of what is estimated: rows and a pytree."""
    e = flat(exact)
    return ((estimates - e) ** 2).sum(1) / (e @ e)


def averages(estimator: Estimator, s: System, exact: Tree, expected: float, seed: int, **settings: object) -> Iterator[Finding]:
    """Findings of the estimator itself, from keys: the mean over three directions is unbiased, with a third of one's variance."""
    one = jax.jit(jax.vmap(lambda key: estimator.estimate(*s, key=key, directions=3, **settings)))
    estimates, g = rows_of(one(jax.random.split(jax.random.key(seed), SAMPLES))), flat(exact)
    yield law("from keys, means over three directions along the gradient, over its square", estimates @ g / (g @ g), 1)
    yield law("their squared error over the gradient's square", spread(estimates, exact), expected / 3)


@row(29, "SPSA", "2.2, Eq. 6, erratum E3", estimator=SPSA, circuit="any", schedule="two passes")
def spsa_law(seed: int) -> Iterator[Finding]:
    """The variance of one direction is ``P - 1`` times the gradient's square; the bias is of second order in epsilon."""
    s = systems.tanh_net(seed)
    exact = exactly(*s)
    u = drawn(probes, s.parameters, seed)
    directions = rows_of(u)
    estimates = np.asarray(slopes(*s, u, 1e-4))[:, None] * directions
    yield law("squared error over the gradient's square", spread(estimates, exact), flat(exact).size - 1)
    yield slope("bias along 2000 directions, in epsilon", lambda e: slopes(*s, u, e), directions @ flat(exact), 2, 0.05)
    yield from averages(SPSA, s, exact, flat(exact).size - 1, seed, epsilon=1e-4)
    # a coarse probe of one weight alone: the cost's own difference
    net, sample = Feedforward((1, 1), jnp.tanh, jnp.tanh), (jnp.array([1.5]), jnp.array([0.1]))
    found = SPSA(net, systems.squared_error, (jnp.array([[0.4]]),), *sample, key=jax.random.key(seed), epsilon=0.2)
    up, down = (0.5 * (np.tanh(1.5 * w) - 0.1) ** 2 for w in (0.6, 0.2))
    yield equal("one weight, epsilon = 0.2: the difference of the cost", found, (np.array([[(up - down) / 0.4]]),))


@row(30, "Forward gradient", "2.2, erratum E2", estimator=FORWARD, circuit="any", schedule="one pass of values and tangents")
def forward_law(seed: int) -> Iterator[Finding]:
    """Unbiased, with variance ``P + 1`` or ``P - 1`` times the gradient's square, and no probe size to be biased by."""
    s = systems.tanh_net(seed)
    exact = exactly(*s)
    along = jax.jit(jax.vmap(lambda u: directional_derivative(*s, u)))
    g = flat(exact)
    for draw, expected in ((gaussian, g.size + 1), (probes, g.size - 1)):
        u = drawn(draw, s.parameters, seed)
        directions, found = rows_of(u), np.asarray(along(u))
        yield equal(f"{draw.__name__}: derivatives along 2000 directions", found, directions @ g)
        estimates = found[:, None] * directions
        yield law(f"{draw.__name__}: estimate along the gradient, over its square", estimates @ g / (g @ g), 1)
        yield law(f"{draw.__name__}: squared error over the gradient's square", spread(estimates, exact), expected)
        yield from averages(FORWARD, s, exact, expected, seed, draw=draw)
    yield above("SPSA, epsilon = 1e-3: error of these derivatives", relative_error(slopes(*s, u, 1e-3), directions @ g), 1e-9)
    quarter = (directions / 2 @ g) @ (directions / 2) / SAMPLES
    yield above("variance 1/4, not divided by it (as printed): error of the mean over 2000 directions", relative_error(quarter, exact), 0.5)
    loop = systems.equilibrium(seed)
    u = gaussian(jax.random.key(seed), loop.parameters)
    found = _compiled(directional_derivative)(*loop, u)
    yield equal("deep equilibrium: derivative along a direction", found, flat(exactly(*loop)) @ flat(u), 1e-9)


@row(
    31,
    "In-place seeded probes",
    "2.2",
    estimator="SPSA, directions drawn anew",
    circuit="any",
    schedule="two passes",
    update="probe, probe back, return",
)
def in_place_law(seed: int) -> Iterator[Finding]:
    """Parameters return bit for bit in fixed point, and to an ulp a step in floats; the slope is SPSA's."""
    s = systems.tanh_net(seed)
    unit, epsilon, trials = 2.0**-12, 8, 100
    fixed = jax.tree.map(lambda w: jnp.round(w / unit).astype(jnp.int32), s.parameters)
    keys = jax.random.split(jax.random.key(seed), trials)

    @jax.jit
    def run(parameters, epsilon, unit):
        def step(p, key):
            found, p = in_place_slope(s.circuit, s.objective, p, s.x, s.y, key, epsilon, unit)
            return p, found

        return jax.lax.scan(step, parameters, keys)

    after, found = run(fixed, epsilon, unit)
    yield identical(f"integer parameters after {trials} probes", after, fixed)
    u = jax.vmap(partial(probes, parameters=s.parameters))(keys)
    yield equal("the slopes of SPSA", found, slopes(s.circuit, s.objective, scaled(fixed, unit), s.x, s.y, u, epsilon * unit))
    after, _ = run(s.parameters, 1e-3, 1.0)
    ulps = np.abs(flat(add(after, s.parameters, -1.0))) / np.spacing(np.abs(flat(s.parameters)) + 1e-3)
    yield below(f"floats, most ulps off, over the {3 * trials} steps", ulps.max() / (3 * trials), 1)
    yield above("floats off by any", (ulps > 0).sum(), 0)


@row(
    32, "Node perturbation", "2.2, erratum E2", estimator=NODES, circuit="any", nudge="a random force on the states", schedule="two passes"
)
def node_law(seed: int) -> Iterator[Finding]:
    """The variance of the error signal is ``n + 1`` times its square, that of the gradient far below ``P + 1``."""
    s = systems.tanh_net(seed)
    states = tuple(s.circuit.forward(s.parameters, s.x)[1:])
    error = jax.jit(lambda: multipliers(*s, states))()
    v = drawn(gaussian, states, seed)
    estimate = jax.jit(jax.vmap(lambda v, epsilon: node_error(*s, states, v, epsilon, relaxation(1)), (0, None)))
    read = jax.jit(jax.vmap(lambda e: read_out(s.circuit, s.parameters, s.x, states, e)))
    found = estimate(v, 1e-4)
    n, square = flat(error).size, flat(error) @ flat(error)
    basis = jax.vmap(ravel_pytree(states)[1])(jnp.eye(n))
    yield law("squared error over the error signal's square", spread(rows_of(found), error), n + 1)
    exact = exactly(*s)
    size = (rows_of(read(basis)) ** 2).sum()
    expected = 1 + square * size / (flat(exact) @ flat(exact))
    yield law("of the gradient", spread(rows_of(read(found)), exact), expected)
    yield below("of the gradient, over that of weight perturbation, P + 1", expected / (flat(exact).size + 1), 0.5)
    yield from averages(NODES, s, exact, expected, seed, epsilon=1e-4)
    for make in (systems.tanh_net, systems.equilibrium):
        yield complete(make(seed), make.__name__.replace("_", " "))


def complete(s: System, name: str) -> Finding:
    """Finding: perturbing every state in turn gives the error signal, with an error of second order."""
    solver = relaxation(1) if "triangular" in s.circuit.capabilities else newton()
    states = solver(Problem(s.circuit, s.parameters, s.x)).states
    turns = jax.vmap(ravel_pytree(states)[1])(jnp.eye(flat(states).size))
    one = jax.vmap(lambda v, epsilon: node_error(*s, states, v, epsilon, solver), (0, None))
    all_of_them = jax.jit(lambda epsilon: jax.tree.map(lambda e: e.sum(0), one(turns, epsilon)))
    exact = jax.jit(lambda: multipliers(*s, states))()
    return slope(f"{name}: every state in turn, in epsilon", all_of_them, exact, 2, 0.1)


@row(33, "Learned or guessed directions", "2.2", estimator=GUIDED, circuit="any", schedule="one pass of values and tangents")
def guided_law(seed: int) -> Iterator[Finding]:
    """The orthogonal projection of the gradient on the guess: of 1 / P of its square if the guess is random."""
    s = systems.tanh_net(seed)
    exact = exactly(*s)
    keys = jax.random.split(jax.random.key(seed), s.circuit.layers)
    heads = tuple(0.5 * jax.random.normal(k, (3, n)) for k, n in zip(keys, s.circuit.sizes[1:], strict=True))
    losses = [lambda a, v, y: s.objective(a @ v, y)] * (s.circuit.layers - 1) + [lambda _, v, y: s.objective(v, y)]
    local = greedy_gradient(layers(s.circuit), losses, s.parameters, heads, s.x, s.y)[0]
    found = GUIDED(*s, direction=local)
    square = flat(exact) @ flat(exact)
    kept = flat(found) @ flat(exact) / square
    yield within(
        "local losses' gradient as the guess: square of what is found, over its part along the gradient",
        flat(found) @ flat(found) / square / kept,
        1,
        1e-12,
    )
    yield equal("the same of minus three times the guess", GUIDED(*s, direction=scaled(local, -3.0)), found)
    yield equal("and all of the gradient if that is the guess", GUIDED(*s, direction=scaled(exact, -2.0)), exact)
    u = drawn(gaussian, s.parameters, seed)
    estimates = rows_of(jax.jit(jax.vmap(lambda u: guided_gradient(*s, u)))(u))
    yield law("random guesses: share of the gradient's square that is found", estimates @ flat(exact) / square, 1 / flat(exact).size)
    yield law("squared error over the gradient's square", spread(estimates, exact), 1 - 1 / flat(exact).size)
    yield below("a random guess never points uphill", -(estimates @ flat(exact)).min(), 0)
    yield above(
        "not divided by |u|^2: squared error over the gradient's square",
        spread(rows_of(u) * (rows_of(u) @ flat(exact))[:, None], exact).mean(),
        2,
    )
