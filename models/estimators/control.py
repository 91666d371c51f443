"""Feedback control: the circuit is steered to the target, and learns to need less of it (section 3.4; rows 74 to 76).

Control enters the constraint: ``C(s) = psi``. Where neurons are seen at their drives (`potentials`), its read-out
``(dC/dparameters)^T psi`` is ``-psi r^T``: local, without the derivative of an activation. C is the circuit's residual: where states have
bounds, control moves them beyond.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
from jax import Array
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from ..functions import add, gradient
from ..kinds import Circuit, Objective, Solver, Tree
from ..objectives import squared_error
from ..own import Own, from_residual
from ..precision import in_float64
from ..solvers import Problem, Solution, newton, settled
from .estimator import needing
from .implicit import multipliers, read_out, signal


@needing(74, "control of potentials", "neurons")
def potentials(circuit: Circuit) -> Own:
    """A circuit of neurons seen at their drives: ``C = v - drive(parameters, fire(v), x)``.

    Its output are potentials as well: see `objective_of_potentials`.
    """

    def relax(parameters, v, x, force):
        return add(circuit.drive(parameters, circuit.fire(v), x), force, -1.0)

    def residual(parameters, v, x):
        return add(v, circuit.drive(parameters, circuit.fire(v), x), -1.0)

    return from_residual(
        residual,
        circuit.start,
        relax,
        output=circuit.output,
        with_output=circuit.with_output,
        capabilities=circuit.capabilities & {"analytic"},
    )


def objective_of_potentials(circuit: Circuit, objective: Objective, v: Tree) -> Callable:
    """An objective of the output's rates as one of its potentials; `v` are any potentials of the circuit."""
    return lambda o, y: objective(circuit.output(circuit.fire(circuit.with_output(v, o))), y)


@in_float64
def spread(feedback: Tree, u: Array) -> Tree:
    """``Q u``: a control of the outputs brought to every state by matrices with a column per output."""
    return jax.tree.map(lambda q: q @ u.reshape(-1), feedback)


@in_float64
def output_responses(circuit: Circuit, parameters: Tree, x: ArrayLike, states: Tree) -> Tree:
    """``J^T``, like the states with a column per output: how the outputs move where C has to equal a small psi."""

    def response(unit):
        return multipliers(circuit, lambda o, _: -(o.reshape(-1) @ unit), parameters, x, None, states)

    units = jnp.eye(circuit.output(states).size)
    return jax.tree.map(lambda q: jnp.moveaxis(q, 0, -1), jax.vmap(response)(units))


def controlled(
    circuit: Circuit,
    objective: Objective,
    y: ArrayLike,
    feedback: Tree,
    leak: float = 0.0,
    rate: float = 0.1,
    proportional: float = 0.0,
    delay: int = 0,
) -> Own:
    """A circuit and a controller of its output: ``C(s) = Q u``, ``du/dt = -grad objective - leak u`` (rows 74 and 75).

    States are (s, u), with a delay (s, u, controls under way). Without a leak the objective's gradient vanishes at rest.

    Parameters
    ----------
    feedback : pytree
        Q, like the states with a column per output.
    rate : float
        The controller's step for every sweep of the circuit; stable below about ``2 / |J Q|``, of which a delay leaves a part.
    proportional : float
        What the circuit is given beside u at once, ``-proportional grad objective``; stable below about ``1 / |J Q|``.
    delay : int
        Sweeps until a control is at the circuit.
    """

    def slope(s):
        return gradient(lambda o: objective(o, y), circuit.output(s))

    def control(s, u):
        return u - proportional * slope(s) if proportional else u

    def relax(parameters, states, x, force):
        s, u, *way = states
        given = control(s, u)
        new = circuit.relax(parameters, s, x, add(force[0], spread(feedback, way[0][0] if delay else given), -1.0))
        turned = u - rate * (slope(new) + leak * u + force[1])
        return (new, turned, jnp.concatenate([way[0][1:], given[None]])) if delay else (new, turned)

    def residual(parameters, states, x):
        s, u, *way = states
        given = control(s, u)
        left = add(circuit.residual(parameters, s, x), spread(feedback, way[0][0] if delay else given), -1.0), slope(s) + leak * u
        return (*left, way[0] - jnp.concatenate([way[0][1:], given[None]])) if delay else left

    def start(parameters, x):
        s = circuit.start(parameters, x)
        o = circuit.output(s)
        return (s, jnp.zeros_like(o), jnp.zeros((delay, *o.shape), o.dtype)) if delay else (s, jnp.zeros_like(o))

    return from_residual(
        residual,
        start,
        relax,
        output=lambda states: circuit.output(states[0]),
        with_output=lambda states, o: (circuit.with_output(states[0], o), *states[1:]),
    )


def inverted(circuit: Circuit, objective: Objective, y: ArrayLike, leak: float = 0.0, rate: float = 0.1) -> Own:
    """Dynamic inversion: ``C(s) = psi``, ``(dC/ds)^T psi = D^T u``, ``du/dt = -grad objective - leak u`` (row 76).

    D reads the outputs. States are the triple (s, u, psi), and the output is psi, flat. At rest and without a leak psi
    is the least control of all that make the objective's gradient vanish. `rate` is the step of u and psi.
    """

    def decline(s, u):
        return gradient(lambda o: objective(o, y), circuit.output(s)) + leak * u

    def excess(parameters, s, u, psi, x):
        _, transposed = jax.vjp(lambda v: circuit.residual(parameters, v, x), s)
        return add(transposed(psi)[0], circuit.with_output(jax.tree.map(jnp.zeros_like, s), u), -1.0)

    def relax(parameters, states, x, force):
        s, u, psi = states
        new = circuit.relax(parameters, s, x, add(force[0], psi, -1.0))
        change = add(excess(parameters, s, u, psi, x), force[2])
        return new, u - rate * (decline(s, u) + force[1]), add(psi, change, -rate)

    def residual(parameters, states, x):
        s, u, psi = states
        return add(circuit.residual(parameters, s, x), psi, -1.0), decline(s, u), excess(parameters, s, u, psi, x)

    def start(parameters, x):
        s = circuit.start(parameters, x)
        return s, jnp.zeros_like(circuit.output(s)), jax.tree.map(jnp.zeros_like, s)

    return from_residual(
        residual,
        start,
        relax,
        output=lambda states: ravel_pytree(states[2])[0],
        with_output=lambda states, psi: (*states[:2], ravel_pytree(states[2])[1](psi)),
    )


@in_float64
def free_potentials(circuit: Circuit, parameters: Tree, x: ArrayLike) -> Tree:
    """Drives of a circuit of neurons without control."""
    return circuit.drive(parameters, free_states(circuit, parameters, x), x)


@in_float64
def free_states(circuit: Circuit, parameters: Tree, x: ArrayLike) -> Tree:
    """Return where Newton steps under control start."""
    if "triangular" in circuit.capabilities:
        return tuple(circuit.forward(parameters, x)[1:])
    return newton()(Problem(circuit, parameters, x)).states


@in_float64
def deep_feedback_control(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    beta: ArrayLike = 0.1,
    feedback: Tree | None = None,
    leak: float = 0.0,
    solver: Solver | None = None,
) -> Tree:
    """DFC: the output steered by ``-beta grad objective``, the gradient ``-drive_parameters^T (r - fire(drive(r))) / beta``.

    Row 74, section 3.4. With feedback whose columns span the rows of J it tends to `gauss_newton`, not to backprop.

    Parameters
    ----------
    beta : float
        Step of the target; error of order 1.
    feedback : pytree, optional
        Q of `controlled`; `output_responses` of the free circuit if none.
    leak : float
        Of the controller.
    solver : callable
        Of `solvers`; Newton steps from the free potentials if none.
    """
    circuit_of_drives, free = potentials(circuit), free_potentials(circuit, parameters, x)
    o = circuit.output(free)
    target = o - beta * gradient(lambda o: objective_of_potentials(circuit, objective, free)(o, y), o)
    q = output_responses(circuit_of_drives, parameters, x, free) if feedback is None else feedback
    problem = Problem(controlled(circuit_of_drives, squared_error, target, q, leak), parameters, x)
    v, _ = (solver or newton(limit=0, steps=12))(problem, (free, jnp.zeros_like(o))).states
    rates = circuit.fire(v)
    error = add(rates, circuit.fire(circuit.drive(parameters, rates, x)), -1.0)
    _, transposed = jax.vjp(lambda p: circuit.drive(p, rates, x), parameters)
    return jax.tree.map(lambda g: -g / beta, transposed(error)[0])


@in_float64
def gauss_newton(circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike) -> Tree:
    """Return what small controls tend to: the read-out of ``J^+ (-grad objective)``, J how all potentials move the output (row 74)."""
    free = free_potentials(circuit, parameters, x)
    responses = output_responses(potentials(circuit), parameters, x, free)
    columns, shape = jax.vmap(lambda q: ravel_pytree(q)[0], -1)(responses), ravel_pytree(free)[1]
    slope = gradient(lambda o: objective_of_potentials(circuit, objective, free)(o, y), circuit.output(free)).reshape(-1)
    psi = columns.T @ jnp.linalg.solve(columns @ columns.T, -slope)
    return read_out(circuit, parameters, x, circuit.fire(free), shape(psi))


@in_float64
def tightened(circuit_of_leak: Callable[[float], Circuit], start: Tree, parameters: Tree, x: ArrayLike, leak: float = 0.0) -> Tree:
    """States at rest under a controller: Newton steps while its leak falls from 100 to `leak`.

    At first there is hardly any control, so that the way starts at the free states, and it stays on their branch: where the branch ends
    before the target is reached (a fold, a diode that switches), there are no such states, and all come out as nan.

    Parameters
    ----------
    circuit_of_leak : callable
        A leak to a circuit, `controlled` or `inverted`.
    start : pytree
        Its states without control.
    """

    def tighten(states, excess):
        found = newton(limit=0, steps=4)(Problem(circuit_of_leak(leak + excess), parameters, x), states)
        return found.states, found.residual

    states, residuals = jax.lax.scan(tighten, start, jnp.concatenate([jnp.geomspace(100, 1e-4, 80), jnp.zeros(2)]))
    return settled(states, jnp.max(residuals))


@in_float64
def least_controlled(circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, leak: float = 0.0) -> Tree:
    """The states (s, u, psi) of `inverted` at rest (row 76)."""
    free = free_states(circuit, parameters, x)
    start = free, jnp.zeros_like(circuit.output(free)), jax.tree.map(jnp.zeros_like, free)
    return tightened(lambda a: inverted(circuit, objective, y, a), start, parameters, x, leak)


@in_float64
def strongly_controlled(circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, feedback: Tree) -> Tree:
    """The states (s, u) of `controlled` at rest, the objective's gradient zero (row 75)."""
    free = free_states(circuit, parameters, x)
    start = free, jnp.zeros_like(circuit.output(free))
    return tightened(lambda a: controlled(circuit, objective, y, feedback, a), start, parameters, x)


@in_float64
def least_control(circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, leak: float = 1e-3) -> Tree:
    """The least-control principle: the gradient of ``H = 1/2 |psi|**2``, the least control that makes the loss minimal.

    Row 76, section 3.4: ``(dC/dparameters)^T psi`` at the rest of dynamic inversion. Not the gradient of the loss. With a
    leak it is predictive coding at ``beta = 1 / leak``, times beta.

    Parameters
    ----------
    leak : float
        Of the controller; error of order 1.
    """
    s, _, psi = least_controlled(circuit, objective, parameters, x, y, leak)
    return read_out(circuit, parameters, x, s, psi)


@in_float64
def least_control_gradient(circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike) -> Tree:
    """``dH/dparameters`` by implicit differentiation of the whole controlled circuit, psi's equation included (row 76)."""

    def solver(problem):
        return Solution(least_controlled(circuit, objective, problem.parameters, x, y), None, None)

    whole = inverted(circuit, objective, y)
    return read_out(whole, parameters, x, *signal(whole, lambda psi, _: psi @ psi / 2, parameters, x, None, solver))


@in_float64
def learn_responses(circuit: Circuit, parameters: Tree, x: ArrayLike, states: Tree, noise: Array) -> Tree:
    """`output_responses` from noise alone: the correlation of noise in every state with the output's deviation (row 75).

    The noise is ``+-noise`` in each state in turn, the control held: the mean over white noise, with an error of order 2.
    """
    control, shape = ravel_pytree(circuit.residual(parameters, states, x))
    # the control is what the residual is off by, so here a force is added to it, also where states have bounds
    beside = from_residual(circuit.residual, circuit.start, circuit.relax, output=circuit.output, with_output=circuit.with_output)

    def output(xi):
        problem = Problem(beside, parameters, x, force=lambda s: shape(-control - xi))
        return circuit.output(newton(limit=0, steps=3)(problem, states).states).reshape(-1)

    units = jnp.eye(control.size) * noise
    columns = jax.vmap(lambda xi: (output(xi) - output(-xi)) / (2 * noise))(units)
    return jax.tree.map(lambda q: jnp.moveaxis(q, 0, -1), jax.vmap(shape)(columns.T))


@in_float64
def strong_control(
    circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, noise: float = 0.05, rounds: int = 100
) -> Tree:
    """Strong DFC: the output held at the minimum of the objective while the feedback learns there from noise (row 75).

    A single phase; the gradient is ``(dC/dparameters)^T Q u``, in the limit that of `least_control`.

    Parameters
    ----------
    noise : float
        Error of order 2.
    rounds : int
        Of control by the feedback learnt before, and learning at the states so controlled.
    """
    free = free_states(circuit, parameters, x)
    q = learn_responses(circuit, parameters, x, free, noise)

    def round_(_, carry):
        q, states = carry
        problem = Problem(controlled(circuit, objective, y, q), parameters, x)
        states = newton(limit=0, steps=8)(problem, states).states
        return learn_responses(circuit, parameters, x, states[0], noise), states

    o = circuit.output(free)
    q, states = jax.lax.fori_loop(0, rounds, round_, (q, (free, jnp.zeros_like(o))))
    problem = Problem(controlled(circuit, objective, y, q), parameters, x)
    states = settled(states, jnp.max(jnp.abs(ravel_pytree(problem.residual(states))[0])))
    return read_out(circuit, parameters, x, states[0], spread(q, states[1]))
