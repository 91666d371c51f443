"""Rows 1 to 7 and 20 to 22: implicit differentiation and its identities."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import jax
import lineax
import numpy as np
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree

from ..estimators.contrast import coincidences
from ..estimators.estimator import Estimator
from ..estimators.implicit import (
    cost,
    exact_gradient,
    exact_surrogate,
    multipliers,
    neumann_multipliers,
    read_out,
    response,
    triangular_multipliers,
)
from ..functions import add
from ..kinds import Tree
from ..nudges import output_force, weak
from ..objectives import squared_error
from ..own import from_energy
from ..solvers import Problem, newton, size
from . import systems
from .contrasts import ONE_SIDED
from .findings import Finding, above, below, equal, identical, relative_error, within
from .row import row

ADJOINT = Estimator(21, "adjoint", exact_gradient, surrogate=exact_surrogate)


def differences(system: systems.System, step: float = 1e-5) -> Tree:
    """The gradient of `cost` by central differences, entry by entry: knows nothing of derivatives."""
    circuit, objective, parameters, x, y = system
    point, shape = ravel_pytree(parameters)

    @jax.jit
    def moved(i, by):
        return cost(circuit, objective, shape(point.at[i].add(by)), x, y)

    index = jax.numpy.arange(point.size)
    up, down = (jax.vmap(moved, (0, None))(index, by) for by in (step, -step))
    return shape((up - down) / (2 * step))


@row(1, "Learning at equilibrium (P1)", "1, Eq. 1", estimator=ADJOINT, systems=(systems.equilibrium,), circuit="any", solver="Newton")
def equilibrium_law(seed: int) -> Iterator[Finding]:
    """The gradient of the cost at the solution, by differences, is the adjoint's, on seven circuits."""
    for make in (
        systems.tanh_net,
        systems.relu_net,
        systems.bounded_net,
        systems.hopfield,
        systems.equilibrium,
        systems.resistive,
        systems.tied,
    ):
        s = make(seed)
        yield below(f"{make.__name__.replace('_', ' ')}: adjoint against differences", relative_error(differences(s), _exact(*s)), 1e-8)


_exact = jax.jit(exact_gradient, static_argnums=(0, 1))
_states = jax.jit(lambda circuit, parameters, x: newton()(Problem(circuit, parameters, x)).states, static_argnums=0)


def _solved(s: systems.System):
    return _states(s.circuit, s.parameters, s.x)


@row(2, "Lagrangian, two circuits", "1, Eq. 2", estimator="second circuit", circuit="any", solver="its own dynamics")
def lagrangian_law(seed: int) -> Iterator[Finding]:
    """Both equations of Eq. 2 hold at the solution, and the second circuit's own dynamics settle there."""
    s = systems.equilibrium(seed)
    states = _solved(s)
    error = multipliers(*s, states)
    _, transposed = jax.vjp(lambda v: s.circuit.residual(s.parameters, v, s.x), states)
    force = output_force(s.circuit, s.objective, s.y, 1.0)(states)
    yield below("residual of the constraint", size(s.circuit.residual(s.parameters, states, s.x)), 1e-12)
    yield below("residual of the second circuit", size(add(transposed(error)[0], force)), 1e-12)
    settled = neumann_multipliers(*s, states, 400, 0.2)
    yield equal("its dynamics after 400 steps of 0.2", settled, error)
    without = jax.tree.map(jnp.negative, force)
    yield above("the nudge alone, no circuit behind it: error", relative_error(without, error), 0.1)


@row(3, "Hierarchical constraints (P2)", "2.1, Eq. 3 and 4", estimator="block-wise adjoint", circuit="chain", solver="blocks in turn")
def hierarchical_law(seed: int) -> Iterator[Finding]:
    """Block by block from the output down, the adjoint is the one of the whole system."""
    for make in (systems.tanh_net, systems.relu_net):
        s = make(seed)
        states = tuple(s.circuit.forward(s.parameters, s.x)[1:])
        whole = multipliers(*s, states)
        yield equal(f"{make.__name__.replace('_', ' ')}: blocks against one linear system", tuple(triangular_multipliers(*s)), whole)


@row(
    4,
    "Relaxed constraints (P3)",
    "2.1, Eq. 5",
    estimator="derivative of the optimal value",
    circuit="any with an energy",
    nudge="weak",
    solver="Newton",
)
def relaxed_law(seed: int) -> Iterator[Finding]:
    """The relaxed Lagrangian's derivative, by imaginary steps of its value, which nothing rounds, is one-sided equilibrium propagation."""
    s, beta = systems.hopfield(seed), 0.1
    flat, shape = ravel_pytree(s.parameters)

    @jax.jit
    def value(i, by):
        problem = Problem(s.circuit, shape((flat + 0 * by).at[i].add(by)), s.x)
        free = newton()(problem).states
        held = newton()(weak(problem, free, s.objective, s.y, beta)).states
        energies = [s.circuit.energy(problem.parameters, v, s.x) for v in (held, free)]
        return s.objective(s.circuit.output(held), s.y) + (energies[0] - energies[1]) / beta

    some = jnp.arange(0, flat.size, 6)
    found = jax.vmap(lambda i: value(i, 1e-20j).imag / 1e-20)(some)
    sided, exact = ONE_SIDED(*s, beta=beta), _exact(*s)
    yield equal("derivative of its value against one-sided EP, every sixth weight", found, ravel_pytree(sided)[0][some])
    yield above("which is not yet the gradient: error", relative_error(sided, exact), 1e-3)


@row(5, "Implicit function theorem", "1, 2.2", estimator="ds/dparameters, forwards and back", circuit="any", solver="linear")
def implicit_law(seed: int) -> Iterator[Finding]:
    """Forwards and back agree: the cost's change along a direction is the gradient's component; the states move as predicted."""
    for make in (systems.hopfield, systems.equilibrium):
        s = make(seed)
        states, name = _solved(s), make.__name__
        direction = jax.tree.map(lambda p: jax.random.normal(jax.random.key(seed + p.size), p.shape), s.parameters)
        moved = response(s.circuit, s.parameters, s.x, states, direction)
        along = jax.grad(s.objective)(s.circuit.output(states), s.y) @ s.circuit.output(moved)
        inner = sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(_exact(*s)), jax.tree.leaves(direction), strict=True))
        yield below(f"{name}: forwards against back", abs(along / inner - 1), 1e-12)
        up, down = (_solved(s._replace(parameters=add(s.parameters, direction, e))) for e in (1e-5, -1e-5))
        yield below(
            f"{name}: against differences of the solution", relative_error(jax.tree.map(lambda a, b: (a - b) / 2e-5, up, down), moved), 1e-7
        )


@row(6, "Feedforward net as an implicit model", "1", circuit="chain", solver="as many sweeps as layers")
def feedforward_law(seed: int) -> Iterator[Finding]:
    """All layers at once, K updates reach a residual of exactly zero, and K - 1 do not."""
    s = systems.tanh_net(seed)
    v = s.circuit.start(s.parameters, s.x)
    for _ in s.parameters:
        before, v = v, s.circuit.fire(s.circuit.drive(s.parameters, v, s.x))
    yield identical("residual after K updates", s.circuit.residual(s.parameters, v, s.x), jax.tree.map(jnp.zeros_like, v))
    yield above("after K - 1: largest residual", size(s.circuit.residual(s.parameters, before, s.x)), 1e-3)
    yield identical("states against the forward pass", list(v), s.circuit.forward(s.parameters, s.x)[1:])


@row(7, "Deep equilibrium model", "1", estimator="adjoint, by a series", circuit="any weights", solver="Newton")
def equilibrium_model_law(seed: int) -> Iterator[Finding]:
    """Every term of the adjoint's series shrinks the error by the spectral radius of the Jacobian."""
    s = systems.equilibrium(seed)
    states = _solved(s)
    yield below("residual of the fixed point", size(s.circuit.residual(s.parameters, states, s.x)), 1e-14)
    v, shape = ravel_pytree(states)
    jacobian = jnp.eye(v.size) - jax.jacfwd(lambda v: ravel_pytree(s.circuit.residual(s.parameters, shape(v), s.x))[0])(v)
    radius = float(np.abs(np.linalg.eigvals(jacobian)).max())
    exact, terms = multipliers(*s, states), np.array([5, 10, 15, 20, 25])
    series = jax.jit(lambda k: neumann_multipliers(*s, states, k))
    errors = np.array([relative_error(series(int(k)), exact) for k in terms])
    seen = errors > 1e-13
    rate = np.exp(np.polyfit(terms[seen], np.log(errors[seen]), 1)[0])
    yield within("shrinking per term over the spectral radius", rate / radius, 1, 0.15)


@row(
    20,
    "Backprop",
    "1, 2.2, erratum E1",
    estimator="error signal of a chain",
    circuit="chain",
    solver="one sweep up",
    schedule="one sweep back",
)
def backprop_law(seed: int) -> Iterator[Finding]:
    """On a chain it is the adjoint of the whole system; and JAX's own reverse mode."""
    for make in (systems.tanh_net, systems.relu_net):
        s, name = make(seed), make.__name__.replace("_", " ")
        states = tuple(s.circuit.forward(s.parameters, s.x)[1:])
        whole = read_out(s.circuit, s.parameters, s.x, states, multipliers(*s, states))
        yield equal(f"{name}: against the adjoint", exact_gradient(*s), whole)
        reverse = jax.grad(lambda p, s=s: s.objective(s.circuit.forward(p, s.x)[-1], s.y))(s.parameters)
        yield equal(f"{name}: against reverse mode", exact_gradient(*s), reverse)


@row(
    21, "Adjoint linear solve", "2.2", estimator=ADJOINT, systems=(systems.equilibrium, systems.tanh_net), circuit="any", solver="LU, GMRES"
)
def adjoint_law(seed: int) -> Iterator[Finding]:
    """The solver makes no difference, and nothing but the solution is kept: LU and GMRES, from the states alone."""
    for make in (systems.equilibrium, systems.hopfield):
        s, name = make(seed), make.__name__
        states = _solved(s)
        jacobian = lineax.JacobianLinearOperator(lambda v, _, s=s: s.circuit.residual(s.parameters, v, s.x), states)
        force = output_force(s.circuit, s.objective, s.y, -1.0)(states)
        krylov = lineax.linear_solve(jacobian.T, force, lineax.GMRES(rtol=1e-13, atol=1e-13)).value
        yield equal(f"{name}: GMRES against LU", krylov, multipliers(*s, states), 1e-9)
        wrong = lineax.linear_solve(jacobian, force, lineax.LU()).value
        if make is systems.equilibrium:
            yield above(f"{name}: without the transpose: error", relative_error(wrong, krylov), 0.01)


@row(
    22, "Recurrent backprop, truncated and phantom gradients", "2.2", estimator="series of k terms", circuit="any", solver="unrolled steps"
)
def truncated_law(seed: int) -> Iterator[Finding]:
    """After t steps of a nudged energy's descent the contrast is backprop through the last t steps, for every t."""
    rate, beta, steps = 0.2, 1e-5, 10

    def energy(parameters, v, x):
        w, u = parameters
        a = jnp.tanh(v[0])
        return v[0] @ v[0] / 2 - a @ (w + w.T) @ a / 4 - a @ (u @ x)

    net = from_energy(energy, lambda p, x: (jnp.zeros(p[0].shape[0]),), rate=rate)
    keys = jax.random.split(jax.random.key(seed), 4)
    parameters = jax.random.normal(keys[0], (5, 5)) / 3, jax.random.normal(keys[1], (5, 3))
    s = systems.System(net, squared_error, parameters, jax.random.normal(keys[2], (3,)), jax.random.normal(keys[3], (5,)))
    free = _solved(s)
    problem = weak(Problem(net, s.parameters, s.x), free, s.objective, s.y, beta)

    def unrolled(parameters, t):
        v = free
        for _ in range(t):
            v = Problem(net, parameters, s.x).sweep(v)
        return s.objective(net.output(v), s.y)

    worst, v = 0.0, free
    start = coincidences(problem, free)
    for t in range(1, steps + 1):
        v = problem.sweep(v)
        moved = jax.tree.map(lambda a, b: (a - b) / beta, coincidences(problem, v), start)
        worst = max(worst, relative_error(moved, jax.grad(partial(unrolled, t=t))(s.parameters)))
    yield below(f"contrast after t steps against t steps of backprop, t = 1 .. {steps}: largest difference", worst, 1e-3)
    exact = multipliers(*s, free)
    long, short = (relative_error(neumann_multipliers(*s, free, k, rate), exact) for k in (200, 5))
    yield below("phantom gradient, 200 damped terms: error", long, 1e-6)
    yield above("and 5: error", short, 0.05)
