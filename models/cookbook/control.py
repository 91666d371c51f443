"""Rows 74 to 76: feedback control."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import jax
import numpy as np
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree

from ..estimators.coding import predictive_coding
from ..estimators.control import (
    controlled,
    deep_feedback_control,
    free_potentials,
    gauss_newton,
    least_control,
    least_control_gradient,
    least_controlled,
    output_responses,
    potentials,
    spread,
    strong_control,
    strongly_controlled,
)
from ..estimators.estimator import Estimator
from ..estimators.implicit import exact_gradient, read_out
from ..functions import identity
from ..kinds import Tree
from ..solvers import Problem, newton, relaxation
from . import systems
from .findings import Finding, above, angle, equal, relative_error, slope
from .row import row


def _jit(function):
    return jax.jit(function, static_argnums=(0, 1))


DEEP = Estimator(
    74,
    "DFC",
    jax.jit(deep_feedback_control, static_argnums=(0, 1), static_argnames="solver"),
    frozenset({"neurons"}),
    _jit(gauss_newton),
    "Gauss-Newton",
    order=1,
    largest=0.05,
)
STRONG = Estimator(
    75, "strong DFC", _jit(strong_control), frozenset(), _jit(least_control_gradient), "dH", order=2, small="noise", largest=0.02
)
LEAST = Estimator(
    76, "least control", _jit(least_control), frozenset(), _jit(least_control_gradient), "dH", order=1, small="leak", largest=0.002
)


def random_like(seed: int, feedback: Tree) -> Tree:
    """Normal entries in the shapes of `feedback`."""
    flat_feedback, shape = ravel_pytree(feedback)
    return shape(jax.random.normal(jax.random.key(seed), flat_feedback.shape))


@row(
    74,
    "Deep feedback control (DFC)",
    "3.4",
    estimator=DEEP,
    systems=[systems.tanh_net, systems.equilibrium],
    circuit="of neurons",
    nudge="controller of all neurons",
    solver="the controller's dynamics, all layers at once; Newton",
    schedule="free, then controlled",
)
def deep_law(seed: int) -> Iterator[Finding]:
    """Feedback that spans the rows of J brings the output to its target by the least control; other feedback by more."""
    s = systems.tanh_net(seed)
    linear = replace(s.circuit, activation=identity)
    seen = potentials(linear)

    @jax.jit
    def parts(parameters):
        free = free_potentials(linear, parameters, s.x)
        return free, output_responses(seen, parameters, s.x, free)

    free, responses = parts(s.parameters)
    change = -0.08 * jax.grad(s.objective)(free[-1], s.y)
    columns = np.asarray(jax.vmap(lambda q: ravel_pytree(q)[0], -1)(responses))  # the rows of J
    least = np.linalg.pinv(columns) @ change
    rate = 1 / np.linalg.norm(columns @ columns.T, 2)

    @jax.jit
    def control(feedback, leak):
        problem = Problem(controlled(seen, s.objective, free[-1] + change, feedback, leak), s.parameters, s.x)
        v, u = newton(limit=0)(problem, (free, jnp.zeros(3))).states
        return ravel_pytree(spread(feedback, u))[0], v[-1]

    @jax.jit
    def settled(feedback):
        circuit = controlled(seen, s.objective, free[-1] + change, feedback, rate=0.2 * rate)
        v, u = relaxation(limit=100000, tolerance=1e-12)(Problem(circuit, s.parameters, s.x)).states
        return ravel_pytree(spread(feedback, u))[0]

    yield equal("linear net, columns of Q the rows of J: Q u = J^+ delta", control(responses, 0.0)[0], least)
    yield slope("the same, in the controller's leak", lambda a: control(responses, a)[0], least, 1, 0.01)
    yield equal("settled by its own dynamics", settled(responses), least, 1e-6)
    other, output = control(random_like(seed + 1, responses), 0.0)
    yield equal("random Q: the output reaches its target as well", output, free[-1] + change, 1e-9)
    beta, leak, given = 0.08, 0.3, random_like(seed + 1, responses)
    q, n = np.concatenate(jax.tree.leaves(given)), len(change)
    psi = q @ np.linalg.solve(columns @ q + leak * np.eye(n), change)
    psi = np.split(psi, np.cumsum(linear.sizes[1:-1]))
    rates, below_ = np.asarray(s.x), []
    for w, e in zip(s.parameters, psi, strict=True):
        below_.append(rates)
        rates = np.asarray(w) @ rates + e
    own = [-np.outer(e, r) / beta for e, r in zip(psi, below_, strict=True)]
    yield equal(
        "its gradient with that Q and a leak of 0.3, by hand",
        list(DEEP(*s._replace(circuit=linear), beta=beta, feedback=given, leak=leak)),
        own,
        1e-9,
    )
    yield above("by more control, relative to the least", np.linalg.norm(other) / np.linalg.norm(least), 1.5)


@row(
    75,
    "Strong deep feedback control",
    "3.4",
    estimator=STRONG,
    systems=[systems.equilibrium],
    circuit="any",
    nudge="controller of all states, no error left",
    solver="Newton",
    schedule="a single phase",
    update="feedback: correlation of noise and output, meanwhile",
)
def strong_law(seed: int) -> Iterator[Finding]:
    """No error is left at the output; with feedback of the right columns, in any mixture, it is least control."""
    s = systems.tanh_net(seed)
    seen = potentials(s.circuit)

    @jax.jit
    def reference(parameters):
        v, _, psi = least_controlled(seen, s.objective, parameters, s.x, s.y)
        return read_out(seen, parameters, s.x, v, psi), output_responses(seen, parameters, s.x, v)

    @jax.jit
    def strong(feedback):
        v, u = strongly_controlled(seen, s.objective, s.parameters, s.x, s.y, feedback)
        psi = spread(feedback, u)
        return v[-1], read_out(seen, s.parameters, s.x, v, psi), jnp.linalg.norm(ravel_pytree(psi)[0])

    learning, responses = reference(s.parameters)
    mixture = jnp.eye(3) + 0.3 * jax.random.normal(jax.random.key(seed + 1), (3, 3))
    noise = random_like(seed + 2, responses)
    others = jax.tree.map(lambda q, r: q + 0.3 * r * jnp.linalg.norm(q) / jnp.linalg.norm(r), responses, noise)
    output, g, least = strong(jax.tree.map(lambda q: q @ mixture, responses))
    yield equal("columns of Q the rows of J, mixed: output", output, s.y)
    yield equal("the same: gradient of row 76", g, learning, 1e-9)
    output, g, more = strong(others)
    yield equal("other columns: output", output, s.y)
    yield above("the same: distance to row 76", relative_error(g, learning), 0.05)
    yield above("the same: control, over the least", more / least, 1)


@row(
    76,
    "Least-control principle",
    "3.4",
    estimator=LEAST,
    systems=[systems.equilibrium],
    circuit="any",
    nudge="strong: controller of all states",
    solver="dynamic inversion, Newton",
    schedule="a single phase",
)
def least_law(seed: int) -> Iterator[Finding]:
    """A local rule without derivatives is the gradient of the least control H, by differences; not that of the loss."""
    s, loop = systems.tanh_net(seed), systems.equilibrium(seed)
    seen = potentials(s.circuit)
    point, shape = ravel_pytree(s.parameters)

    @jax.jit
    def rest(p):
        v, _, psi = least_controlled(seen, s.objective, shape(p), s.x, s.y)
        local = [-jnp.outer(e, r) for e, r in zip(psi, (s.x, *s.circuit.fire(v)[:-1]), strict=True)]
        return jnp.sum(ravel_pytree(psi)[0] ** 2) / 2, ravel_pytree(local)[0]

    local = rest(point)[1]
    directions = jax.random.normal(jax.random.key(seed + 1), (3, point.size))
    slopes = [(rest(point + 1e-5 * d)[0] - rest(point - 1e-5 * d)[0]) / 2e-5 for d in directions]
    yield equal("-psi r^T against differences of H", directions @ local, jnp.array(slopes), 1e-8)
    yield above("angle to the gradient of the loss, degrees", angle(local, exact_gradient(*s)), 5)
    half = np.float64(0.5)
    coding = jax.tree.map(lambda g: half * g, jax.jit(predictive_coding, static_argnums=(0, 1))(*loop, beta=half))
    yield equal("with a leak of 2: half of predictive coding at beta = 1/2", LEAST(*loop, leak=1 / half), coding, 1e-9)
