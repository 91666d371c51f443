"""Updates: how contrasts, targets and curvature change the parameters (rows 64 to 66, 79, 81, 82).

An update returns the new parameters, or, where it is a direction to scale, the step to add to them.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import lineax
from jax import Array
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from .circuits import forced
from .estimators.contrast import coincidences
from .estimators.estimator import Unsuitable, needing
from .estimators.implicit import exact_gradient
from .flow import flow
from .functions import add, zeros
from .homeostasis import homeostatic
from .kinds import Batch, Circuit, Nudge, Objective, Solver, Tree
from .nudges import clamped, weak
from .own import from_residual
from .precision import in_float64
from .solvers import Problem, newton, relaxation


@in_float64
@needing(64, "continual EP", "energy")
def continual(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    beta: ArrayLike = 0.1,
    rate: float = 1e-3,
    sweeps: int = 100,
    nudge: Nudge = weak,
    solver: Solver | None = None,
) -> Tree:
    """Continual equilibrium propagation: parameters move at every sweep of the nudged phase (section 3.2; row 64).

    ``parameters -= rate / beta (grad E(s_(t+1)) - grad E(s_t))``: no phase is stored. Were the parameters still, the sum
    would telescope to `rate` times the one-sided contrast; that they move costs an error linear in ``rate / beta``.

    Parameters
    ----------
    rate : float
        The learning rate; the update diverges for ``rate / beta`` of order 1.
    solver : callable
        Of `solvers`, for the free phase; `newton()` if none.

    Returns
    -------
    pytree
        The new parameters.
    """
    free = (solver or newton())(Problem(circuit, parameters, x)).states

    def step(_, carry):
        s, p = carry
        problem = nudge(Problem(circuit, p, x), free, objective, y, beta)
        new = problem.sweep(s)
        change = add(coincidences(problem, new), coincidences(problem, s), -1.0)
        return new, add(p, change, -rate / beta)

    return jax.lax.fori_loop(0, sweeps, step, (free, parameters))[1]


@in_float64
@needing(65, "free-running learning", "energy")
def free_running(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    beta: ArrayLike = 0.1,
    rate: float = 0.1,
    duration: float = 100.0,
    step: float = 0.1,
    nudge: Nudge = clamped,
) -> tuple[Tree, Tree, Tree]:
    """Learning beyond the quasi-static limit: states and parameters flow at once (section 3.2; row 65).

    A free and a nudged circuit follow ``ds/dt = -(C + force)``, time in units of their relaxation, and the parameters
    ``d parameters/dt = -rate (grad E(nudged) - grad E(free)) / beta``.

    Parameters
    ----------
    rate : float
        Of learning, over that of relaxation: `nudge`'s contrast for small ones, row 59 with the default.
    duration, step : float
        Of the integration (diffrax, Heun).

    Returns
    -------
    tuple
        Free states, nudged states and parameters in the end.
    """

    def field(_, state, rate):
        free, nudged, p = state
        problem = Problem(circuit, p, x)
        pulled = nudge(problem, free, objective, y, beta)
        change = add(coincidences(pulled, nudged), coincidences(problem, free), -1.0)
        return tuple(
            jax.tree.map(lambda v, r=r: -r * v, velocity)
            for velocity, r in ((problem.residual(free), 1.0), (pulled.residual(nudged), 1.0), (change, rate / beta))
        )

    start = Problem(circuit, parameters, x).start()
    return flow(field, (start, start, parameters), duration, step, rate)


@in_float64
@needing(66, "agnostic EP", "energy")
def agnostic(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    beta: ArrayLike = 0.1,
    epsilon: ArrayLike = 1e-3,
    solver: Solver | None = None,
    gain: float = 0.0,
    sweeps: int = 200,
) -> Tree:
    """Agnostic equilibrium propagation: parameters are states too, held by springs to controls (section 3.2; row 66).

    The energy gains ``|parameters - control|**2 / 2 epsilon``. At nudge ``-beta`` the control is set so that the
    parameters stay, ``control = parameters + epsilon grad F``; with the control kept, at ``+beta`` both settle anew.
    To first order that is a step ``-2 epsilon beta gradient`` (erratum E6: the paper prints half of it, and a gradient by states).

    Parameters
    ----------
    gain, sweeps
        Of a controller that finds the control by feedback (`homeostatic`); 0: it is computed.
    """
    solver = solver or relaxation()
    problem = Problem(circuit, parameters, x)
    before = solver(weak(problem, None, objective, y, -beta)).states
    if gain:
        control = homeostatic(lambda p: weak(Problem(circuit, p, x), None, objective, y, -beta), parameters, before, epsilon, gain, sweeps)
    else:
        control = add(parameters, coincidences(problem, before), epsilon)

    def pulled(control, states, x, force):
        s, p = states
        springs = add(jax.tree.map(lambda a, b: (a - b) / epsilon, p, control), coincidences(Problem(circuit, p, x), s))
        return forced(circuit, p, s, x, force[0]), add(springs, force[1])

    def residual(control, states, x):
        return pulled(control, states, x, zeros(states))

    def relax(control, states, x, force):
        s, p = states
        s = circuit.relax(p, s, x, force[0])
        return s, add(control, add(coincidences(Problem(circuit, p, x), s), force[1]), -epsilon)

    joint = from_residual(
        residual,
        lambda control, x: (before, parameters),
        relax,
        output=lambda states: circuit.output(states[0]),
        with_output=lambda states, o: (circuit.with_output(states[0], o), states[1]),
        forced=pulled,
    )
    return solver(weak(Problem(joint, control, x), None, objective, y, beta)).states[1]


@in_float64
@needing(79, "LocoProp", "chain")
def locoprop(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    strength: float = 1.0,
    rate: float = 0.1,
    proximity: float = 1.0,
    steps: int = 10,
) -> tuple[Array, ...]:
    """LocoProp: a problem of its own for every layer, to match a target by gradient steps (section 3.5; row 79).

    Layer k minimises ``matching loss(W s_below, target) + |W - W_t|**2 / 2 proximity`` with
    ``target = s - strength dJ/da``, a its drive. The matching loss of the activation f (a Bregman divergence, erratum E8)
    has the gradient ``(f(a) - target) s_below^T``, without a derivative of f: so the first step is backprop's.

    Parameters
    ----------
    circuit : chain of layers
    strength : float
        How far the targets are.
    rate, steps
        Of the inner gradient descent.
    proximity : float
        How far the weights may go; many steps give the implicit update ``W = W_t - proximity (f(W s) - target) s^T``.

    Returns
    -------
    tuple of arrays
        The new weights.
    """
    states = circuit.forward(parameters, x)

    def shifted(offsets):
        s = x
        for k, (a, w, offset) in enumerate(zip(circuit.maps, parameters, offsets, strict=True)):
            s = circuit.neuron(k)(a(w, s) + offset)
        return objective(s, y)

    slopes = jax.grad(shifted)(tuple(jnp.zeros_like(s) for s in states[1:]))

    def matched(k):
        below, target, start = states[k], states[k + 1] - strength * slopes[k], parameters[k]

        def step(_, w):
            pulls = circuit.maps[k].correlated(w, below, circuit.layer(k, w, below) - target)
            return jax.tree.map(lambda v, g, v0: v - rate * (g + (v - v0) / proximity), w, pulls, start)

        return jax.lax.fori_loop(0, steps, step, start)

    return tuple(map(matched, range(circuit.layers)))


@in_float64
def output_jacobian(circuit: Circuit, parameters: Tree, x: ArrayLike, solver: Solver | None = None) -> Tree:
    """Derivative of the free output by the parameters: like the parameters, with a leading axis of outputs."""
    output = jax.eval_shape(lambda p: circuit.output(circuit.start(p, x)), parameters)
    return jax.vmap(lambda pick: exact_gradient(circuit, jnp.dot, parameters, x, pick, solver))(jnp.eye(output.size))


@in_float64
def pseudo_inverse_step(
    circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, damping: float = 0.0, solver: Solver | None = None
) -> Tree:
    """A step of second order, ``-J^T (J J^T + damping)^+ grad objective`` with J the output's Jacobian (Eq. 14; row 81).

    Of one sample: undamped the output moves along minus the objective's gradient. Erratum E10: the ``(J^T J)^-1`` of the
    paper does not exist with more parameters than outputs; the pseudo-inverse does.
    """
    jacobian = output_jacobian(circuit, parameters, x, solver)
    rows = jax.vmap(lambda j: ravel_pytree(j)[0])(jacobian)
    force = jax.grad(objective)(free_output(circuit, parameters, x, solver), y)
    gram = lineax.MatrixLinearOperator(rows @ rows.T + damping * jnp.eye(len(rows)))
    weights = lineax.linear_solve(gram, force, lineax.AutoLinearSolver(well_posed=False)).value
    return jax.tree.map(lambda j: -jnp.tensordot(weights, j, axes=1), jacobian)


@in_float64
def free_output(circuit: Circuit, parameters: Tree, x: ArrayLike, solver: Solver | None = None) -> Array:
    """Return what the objective sees without a nudge."""
    if "triangular" in circuit.capabilities:
        return circuit.forward(parameters, x)[-1]
    return circuit.output((solver or newton())(Problem(circuit, parameters, x)).states)


@in_float64
@needing(82, "Gauss-Newton product", "triangular")
def gauss_newton_product(circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, direction: Tree) -> Tree:
    """``J^T H J direction``, H the objective's Hessian, without any matrix: forward, then reverse mode (row 82).

    For triangular circuits; like the parameters.
    """
    output, moved = jax.jvp(lambda p: circuit.forward(p, x)[-1], (parameters,), (direction,))
    _, bent = jax.jvp(lambda o: jax.grad(objective)(o, y), (output,), (moved,))
    return jax.vjp(lambda p: circuit.forward(p, x)[-1], parameters)[1](bent)[0]


@in_float64
@needing(82, "Hessian-free step", "triangular")
def hessian_free_step(
    circuit: Circuit, objective: Objective, parameters: Tree, xs: Array, ys: Array, damping: float = 0.0, steps: int = 50
) -> Tree:
    """``-(G + damping)^-1 gradient`` by conjugate gradients, G the Gauss-Newton matrix of a batch (section 4; row 82).

    Parameters
    ----------
    xs, ys : arrays
        With a leading axis of samples: the curvature of a mean is no mean over samples of steps.
    steps : int
        The most that conjugate gradients may take.
    """

    def mean(tree):
        return jax.tree.map(lambda v: v.mean(0), tree)

    def product(v):
        curved = mean(jax.vmap(lambda x, y: gauss_newton_product(circuit, objective, parameters, x, y, v))(xs, ys))
        return add(curved, v, damping)

    force = mean(jax.vmap(lambda x, y: exact_gradient(circuit, objective, parameters, x, y))(xs, ys))
    curvature = lineax.FunctionLinearOperator(product, jax.eval_shape(lambda: force), lineax.positive_semidefinite_tag)
    solver = lineax.CG(rtol=1e-13, atol=1e-13, max_steps=steps)
    return jax.tree.map(jnp.negative, lineax.linear_solve(curvature, force, solver, throw=False).value)


@in_float64
@needing(82, "Kronecker factors", "chain")
def kronecker_factors(circuit: Circuit, objective: Objective, parameters: Tree, xs: Array, ys: Array) -> list[tuple[Array, Array] | tuple]:
    """``A = E[sum a a^T]`` and ``S = E[mean J_u^T H J_u]`` of every layer of a chain, over the places of its operator (row 82).

    `a` is what the weights meet at a place, `u` what they make of it there; a dense layer has one place. ``S kron A`` approximates
    the layer's block of the Gauss-Newton matrix; of one sample and place it is that block. Of convolutions these are the factors of
    Grosse and Martens (2016, KFC): errors at different places are taken to be uncorrelated.

    Returns
    -------
    list of pairs (A, S)
        ``()`` of a layer without weights.
    """

    def factors(x, y):
        states = circuit.forward(parameters, x)
        hessian = jax.hessian(objective)(states[-1], y).reshape(states[-1].size, -1)

        def pair(k, operator, w):
            met = operator.unfolded(states[k])

            def above(u):
                s = circuit.neuron(k)(operator.folded(u))
                for j in range(k + 1, circuit.layers):
                    s = circuit.layer(j, parameters[j], s)
                return s

            u = met @ w.reshape(len(w), -1).T
            j = jax.jacobian(above)(u).reshape(-1, *u.shape)  # (outputs, places, outputs of a place)
            return met.T @ met, jnp.einsum("otc,op,ptd->cd", j, hessian, j) / len(met)

        return [() if a.shape is None else pair(k, a, w) for k, (a, w) in enumerate(zip(circuit.maps, parameters, strict=True))]

    try:
        return jax.tree.map(lambda v: v.mean(0), jax.vmap(factors)(xs, ys))
    except NotImplementedError as error:
        raise Unsuitable(f"row 82 (Kronecker factors): {error}, or use the Hessian-free step (row 82)") from None


@in_float64
def kronecker_direction(factors: list[tuple[Array, Array] | tuple], gradient: Tree, damping: float = 0.0) -> tuple[Array, ...]:
    """``-S^+ gradient A^+`` for every layer of a chain, both factors damped by ``sqrt(damping)`` (section 4; row 82)."""

    def inverse(m):
        m = m + jnp.sqrt(damping) * jnp.eye(len(m))
        if isinstance(damping, float) and damping > 0:  # there is an inverse, which takes a fraction of the time
            return jnp.linalg.inv(m)
        return jnp.linalg.pinv(m, rtol=1e-12, hermitian=True)

    def one(g, pair):
        if not pair:
            return ()
        a, s = map(inverse, pair)
        return -(s @ g.reshape(len(g), -1) @ a).reshape(g.shape)

    return tuple(one(g, pair) for g, pair in zip(gradient, factors, strict=True))


@in_float64
def kronecker_step(
    circuit: Circuit, objective: Objective, parameters: Tree, xs: Array, ys: Array, damping: float = 0.0
) -> tuple[Array, ...]:
    """`kronecker_direction` of a batch's factors and its mean gradient (row 82)."""
    force = jax.tree.map(lambda v: v.mean(0), jax.vmap(lambda x, y: exact_gradient(circuit, objective, parameters, x, y))(xs, ys))
    return kronecker_direction(kronecker_factors(circuit, objective, parameters, xs, ys), force, damping)


@in_float64
@dataclass(frozen=True)
class Kronecker:
    """Steps along `kronecker_direction`, of a batch's own factors and whatever gradient comes (row 82): an update for training.

    Parameters
    ----------
    rate : float
        Size of a step, over that to the minimum of the batch's quadratic model.
    damping : float
        Of the factors' product.
    """

    rate: float
    damping: float = 0.01

    def init(self, parameters: Tree) -> Tree:
        """Nothing: every batch has factors of its own."""
        return ()

    def apply(self, gradient: Tree, state: Tree, parameters: Tree, batch: Batch) -> tuple[Tree, Tree]:
        """One step."""
        factors = kronecker_factors(batch.circuit, batch.objective, parameters, batch.x, batch.y)
        return add(parameters, kronecker_direction(factors, gradient, self.damping), self.rate), state
