"""Rows 51 to 54, 58, 59, 61 to 63, 67: contrast of nudged states."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

import jax
import numpy as np
from jax import numpy as jnp

from ..estimators.contrast import (
    Stencil,
    centered,
    coincidences,
    contrast,
    contrast_surrogate,
    extrapolated,
    fornberg,
    one_sided,
    roots_of_unity,
    twin,
)
from ..estimators.estimator import Estimator
from ..estimators.implicit import clamp_gradient, cost, exact_gradient, multipliers
from ..functions import add
from ..nudges import clamped, controller, strong, weak
from ..own import from_energy
from ..solvers import Problem, newton, relaxation
from . import systems
from .findings import Finding, above, angle, below, equal, flat, identical, refused, relative_error, slope
from .row import row


def _declared(row, name, stencil, *declared, nudge=weak, solver=None, **more) -> Estimator:
    """The estimator of a stencil, compiled once for all its steps."""

    @partial(jax.jit, static_argnums=(0, 1), static_argnames="solver")
    def compiled(circuit, objective, parameters, x, y, points, weights, solver):
        return contrast(circuit, objective, parameters, x, y, Stencil(points, weights), nudge, solver)

    def estimate(circuit, objective, parameters, x, y, beta=0.1, solver=solver):
        return compiled(circuit, objective, parameters, x, y, *map(jnp.asarray, stencil(beta)), solver=solver)

    def surrogate(circuit, objective, parameters, x, y, beta=0.1, solver=solver):
        return contrast_surrogate(circuit, objective, parameters, x, y, stencil(beta), nudge, solver)

    return Estimator(row, name, estimate, *declared, surrogate=surrogate, **more)


_exact, _clamp = (jax.jit(f, static_argnums=(0, 1)) for f in (exact_gradient, clamp_gradient))

ONE_SIDED = _declared(51, "EP, one-sided", one_sided, frozenset({"energy"}), order=1, largest=0.05)
CENTERED = _declared(52, "EP, centered", centered, frozenset({"energy"}), order=2)
EXTRAPOLATED = _declared(53, "EP, four points", extrapolated, frozenset({"energy"}), order=4)


@cache
def holomorphic(points: int) -> Estimator:
    """Row 54 with so many points."""
    return _declared(
        54,
        f"holomorphic EP, N = {points}",
        partial(roots_of_unity, points=points),
        frozenset({"energy", "analytic"}),
        order=points,
        largest=0.1,
    )


COUPLED = _declared(
    59, "coupled learning", one_sided, frozenset({"energy"}), clamp_gradient, "dJ with H_eff", nudge=clamped, order=1, largest=0.05
)

_parts = {"circuit": "layered Hopfield net", "nudge": "weak", "solver": "coordinate descent, Newton", "schedule": "two phases"}


@row(51, "Equilibrium propagation, one-sided", "3.1, Eq. 8", estimator=ONE_SIDED, systems=[systems.hopfield], **_parts)
def one_sided_law(seed: int) -> Iterator[Finding]:
    """The mean over both signs of beta has no error of first order."""
    s = systems.hopfield(seed)
    both = jax.tree.map(lambda a, b: (a + b) / 2, ONE_SIDED(*s, beta=0.01), ONE_SIDED(*s, beta=-0.01))
    yield below("error of the mean over both signs, b = 0.01", relative_error(both, _exact(*s)), 1e-3)


@row(52, "Equilibrium propagation, centered", "3.1, Eq. 8", estimator=CENTERED, systems=[systems.hopfield], **_parts)
def centered_law(seed: int) -> Iterator[Finding]:
    """It is the mean of both one-sided estimates, and no estimate at all without a symmetric Jacobian."""
    s = systems.hopfield(seed)
    both = jax.tree.map(lambda a, b: (a + b) / 2, ONE_SIDED(*s, beta=0.1), ONE_SIDED(*s, beta=-0.1))
    yield equal("the mean of the one-sided estimates", CENTERED(*s, beta=0.1), both, 1e-9)
    yield refused("an asymmetric circuit is refused", lambda: CENTERED(*systems.equilibrium(seed)))


@row(53, "Equilibrium propagation, four points", "3.1", estimator=EXTRAPOLATED, systems=[systems.hopfield], **_parts)
def extrapolated_law(seed: int) -> Iterator[Finding]:
    """At b = 0.1 it is far closer than two points; points of any place have an order less than their number."""
    s = systems.hopfield(seed)
    exact = _exact(*s)
    ratio = relative_error(EXTRAPOLATED(*s, beta=0.1), exact) / relative_error(CENTERED(*s, beta=0.1), exact)
    yield below("error over that of two points, b = 0.1", ratio, 0.05)
    anywhere = _declared(53, "EP, five points", lambda b: fornberg(b * np.array([-1.0, -0.3, 0.2, 0.5, 0.8])))
    yield slope("five points anywhere, in b", lambda b: anywhere.estimate(*s, beta=b), exact, 4, 0.1)


@row(54, "Holomorphic equilibrium propagation", "3.2, erratum E5", estimator=holomorphic(4), systems=[systems.hopfield], **_parts)
def holomorphic_law(seed: int) -> Iterator[Finding]:
    """Error of order N; exact at N = 16 well inside the radius of analyticity; nothing with the printed sign of the phase."""
    s = systems.hopfield(seed)
    exact = _exact(*s)
    yield slope("N = 3, in b", lambda b: holomorphic(3)(*s, beta=b), exact, 3, 0.1)
    yield below("error at N = 16, b = 0.05", relative_error(holomorphic(16)(*s, beta=0.05), exact), 1e-12)
    first = systems.hopfield(0)  # of other seeds the radius may be smaller
    yield below("error at N = 16, b = 0.1, system 0", relative_error(holomorphic(16)(*first, beta=0.1), _exact(*first)), 1e-11)

    def printed(beta):
        right = roots_of_unity(beta, 24)
        return Stencil(right.points, right.weights * (right.points / beta) ** 2)

    wrong = _declared(54, "with the printed sign", printed).estimate(*s, beta=0.1)
    yield below("size of the estimate with the printed sign", np.linalg.norm(flat(wrong)) / np.linalg.norm(flat(exact)), 1e-9)


@row(
    58,
    "Contrastive Hebbian learning",
    "3.2",
    estimator="contrast: clamped, free",
    circuit="layered Hopfield net",
    nudge="clamp, beta = 1",
    solver="coordinate descent, Newton",
    schedule="two phases",
)
def hebbian_law(seed: int) -> Iterator[Finding]:
    """Coupled learning at beta = 1; a direction of its own, not the squared error's gradient."""
    s = systems.hopfield(seed)
    g = COUPLED(*s, beta=1.0)
    problem = Problem(s.circuit, s.parameters, s.x)
    free, held = newton()(problem).states, newton()(problem._replace(clamp=s.y)).states
    hebb = [jnp.outer(a, b) - jnp.outer(c, d) for a, b, c, d in zip(free, (s.x, *free[:-1]), held, (s.x, *held[:-1]), strict=True)]
    yield equal("the difference of coincidences", hebb, list(g), 1e-9)
    yield above("angle to the squared error's gradient, degrees", angle(g, _exact(*s)), 1)
    yield below("and still a descent direction, degrees", angle(g, _exact(*s)), 90)


@row(
    59,
    "Coupled learning",
    "3.2",
    estimator=COUPLED,
    systems=[systems.hopfield],
    circuit="layered Hopfield net",
    nudge="clamp, (1 - beta) free + beta y",
    solver="coordinate descent, Newton",
    schedule="two phases",
)
def coupled_law(seed: int) -> Iterator[Finding]:
    """The gradient of another cost: the squared error weighed by the stiffness of the outputs."""
    s = systems.hopfield(seed)
    both, target = _declared(59, "coupled learning, two-sided", centered, nudge=clamped), _clamp(*s)
    yield slope("two-sided, in beta", lambda b: both.estimate(*s, beta=b), target, 2, 0.1)
    yield above("angle of its limit to the squared error's gradient, degrees", angle(target, _exact(*s)), 1)


CONTROLLED = _declared(61, "EP by an output controller", centered, frozenset({"energy"}), nudge=controller(), solver=relaxation(), order=2)


@row(
    61,
    "Output controller nudging",
    "3.2",
    estimator=CONTROLLED,
    systems=[systems.hopfield],
    circuit="layered Hopfield net",
    nudge="controller of the output",
    solver="coordinate descent and the controller's own dynamics",
    schedule="two phases",
)
def controller_law(seed: int) -> Iterator[Finding]:
    """With a leak it settles at weak nudging; an integrator drives the objective's gradient to zero, as the clamp does."""
    s = systems.hopfield(seed)
    yield equal("leaky: the gradient of weak nudging, beta = 0.1", CONTROLLED(*s, beta=0.1), CENTERED(*s, beta=0.1), 1e-10)
    # an integrator needs outputs that yield to the force everywhere: weights too weak for a second equilibrium
    problem = Problem(s.circuit, jax.tree.map(lambda w: w / 2, s.parameters), s.x)

    @jax.jit
    def settled(leak):
        return relaxation()(controller(leak, 0.3)(problem, None, s.objective, s.y, 1.0)).states[0]

    yield slope("output against the target, in the leak", lambda leak: settled(leak)[-1], s.y, 1, 0.02)
    yield equal("no leak: the clamped states", settled(0.0), newton()(problem._replace(clamp=s.y)).states, 1e-9)


@row(
    62,
    "Weak nudging limit",
    "3.2, Eq. 9",
    estimator="derivative of the states by beta",
    circuit="of an energy",
    nudge="weak",
    solver="coordinate descent, Newton",
    schedule="two phases",
)
def weak_law(seed: int) -> Iterator[Finding]:
    """The states move by beta times the adjoint's error signal, where the Jacobian is symmetric and only there."""
    for make, expected, limit in ((systems.hopfield, below, 1e-8), (systems.equilibrium, above, 0.1)):
        s = make(seed)
        problem = Problem(s.circuit, s.parameters, s.x)
        moved = jax.jit(lambda b, problem=problem, s=s: newton()(weak(problem, None, s.objective, s.y, b)).states)
        states = moved(0.0)
        error = jax.tree.map(lambda p, q: (p - q) / 2e-5, moved(1e-5), moved(-1e-5))
        exact = multipliers(*s, states)
        yield expected(f"{make.__name__}: derivative by beta against the adjoint's error signal", relative_error(error, exact), limit)


@row(
    63,
    "Strong nudging limit",
    "3.2 and 3.4",
    estimator="the energy's derivative at the nudged state",
    circuit="of an energy",
    nudge="strong",
    solver="Newton from the clamp",
    schedule="single phase",
)
def strong_law(seed: int) -> Iterator[Finding]:
    """The state goes to the least energy among the minima of the loss; energy learnt away there leaves no loss when free."""
    s = systems.hopfield(seed)
    problem = Problem(s.circuit, s.parameters, s.x)

    @jax.jit
    def constrained(parameters):
        p = problem._replace(parameters=parameters, clamp=s.y)
        states = newton()(p).states
        return states, coincidences(p, states), s.circuit.energy(parameters, states, s.x)

    @jax.jit
    def nudged(beta, start):
        states = newton(limit=0, steps=12)(strong(problem, None, s.objective, s.y, beta), start).states
        return states, coincidences(problem, states)

    held, slopes, _ = constrained(s.parameters)
    yield slope("the state against the constrained minimum, in beta", lambda b: nudged(b, held)[0], held, 1, 0.02)
    step = jax.tree.map(lambda g: 1e-5 * g, slopes)
    up, down = (constrained(add(s.parameters, step, sign))[2] for sign in (1.0, -1.0))
    yield below(
        "its derivative by parameters against differences of the least energy",
        abs((up - down) / 2e-5 / float(flat(slopes) @ flat(slopes)) - 1),
        1e-8,
    )
    yield slope("and at the nudged state, in beta", lambda b: nudged(b, held)[1], slopes, 1, 0.02)

    n = systems.tanh_net(seed)
    mismatch = from_energy(lambda p, v, x: sum(jnp.sum(c**2) for c in n.circuit.residual(p, v, x)) / 2, n.circuit.start, rate=0.2)

    @jax.jit
    def learn(parameters):
        def step(_, carry):
            states, parameters = carry
            p = Problem(mismatch, parameters, n.x, clamp=n.y)
            states = p.sweep(states)
            return states, add(parameters, coincidences(p, states), -0.1)

        states = tuple(n.circuit.forward(parameters, n.x)[1:])
        states, parameters = jax.lax.fori_loop(0, 4000, step, (states, parameters))
        return mismatch.energy(parameters, states, n.x), parameters

    energy, learnt = learn(n.parameters)
    yield below("after learning at the strong limit: energy", energy, 1e-20)
    yield below("free loss then, over that before", cost(n.circuit, n.objective, learnt, n.x, n.y) / cost(*n), 1e-18)


@row(
    67,
    "Twin circuits",
    "3.3",
    estimator="contrast of copies",
    circuit="of an energy",
    nudge="weak or clamped",
    solver="coordinate descent",
    schedule="twins, single phase",
)
def twin_law(seed: int) -> Iterator[Finding]:
    """Bit for bit the gradient of two phases; copies that differ by delta give a bias of delta over beta."""
    s = systems.hopfield(seed)

    # the clamp follows the free copy's output: equal bits need a free state that is still, soon so with smaller weights
    def same_start(sweeps):
        return lambda problem: relaxation(sweeps)(problem._replace(begin=None))

    calm = s._replace(parameters=jax.tree.map(lambda w: w / 5, s.parameters))
    for what, stencil, nudge, system, sweeps in (
        ("one-sided", one_sided, weak, s, 10),
        ("centered", centered, weak, s, 10),
        ("coupled learning", one_sided, clamped, calm, 50),
    ):
        with jax.disable_jit():  # fusing would round the two sides differently in the last bit
            together = twin(*system, stencil(0.1), nudge, sweeps)
            apart = contrast(*system, stencil(0.1), nudge, same_start(sweeps))
        yield identical(f"{what}, against two phases", together, apart)

    difference = s.circuit.random_parameters(jax.random.key(seed + 100))

    @jax.jit
    def bias(delta, beta):
        copies = [s.parameters, add(s.parameters, difference, delta)]
        matched, mismatched = (
            twin(*s, Stencil(jnp.array([1, -1]) * beta, jnp.array([1, -1]) / (2 * beta)), copies=c) for c in (None, copies)
        )
        return add(mismatched, matched, -1.0)

    zero = CENTERED(*s)
    yield slope("bias, in the mismatch", lambda d: add(zero, bias(d, 0.1)), zero, 1, 0.01)
    yield slope("bias, in beta", lambda b: add(zero, bias(0.01, b)), zero, -1, 0.1)
