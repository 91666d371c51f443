"""Rows 77, 78 and 80: how a stationary point is reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp
from jax.typing import ArrayLike

from ..circuits import Equilibrium, Hopfield, clip, square_primitive
from ..fixed_points import anderson, broyden, gradient_flow, mirror_descent
from ..functions import add, identity
from ..kinds import Tree
from ..own import from_residual
from ..solvers import Problem, newton, relaxation
from . import systems
from .findings import Finding, above, below, equal, within
from .row import row

CLIPPED = Hopfield((4, 8, 6, 4), clip(-0.5, 0.5), square_primitive, frozenset({"energy", "block-exact"}))


class Unswept(NamedTuple):
    """A circuit of which only the constraint is there: whoever asks for a sweep gets nan."""

    circuit: Any

    def start(self, parameters: Tree, x: ArrayLike) -> Tree:
        return self.circuit.start(parameters, x)

    def residual(self, parameters: Tree, s: Tree, x: ArrayLike) -> Tree:
        return self.circuit.residual(parameters, s, x)

    def relax(self, parameters: Tree, s: Tree, x: ArrayLike, force: Tree) -> Tree:
        return jax.tree.map(lambda v: v * jnp.nan, s)


def _energies(circuit, parameters, x, states):
    """Return the energies of states stacked along a leading axis."""
    return np.asarray(jax.vmap(lambda s: circuit.energy(parameters, s, x))(states))


@row(
    77, "Exact coordinate descent with hard bounds", "3.5", circuit="block-quadratic energy in a box", solver="odd and even layers in turn"
)
def coordinate_law(seed: int) -> Iterator[Finding]:
    """Each layer to its exact minimum in the box: the energy never rises, the end fulfils its optimality conditions, at a constant rate."""
    keys = jax.random.split(jax.random.key(seed))
    parameters, x = CLIPPED.random_parameters(keys[0]), jax.random.normal(keys[1], (4,))
    problem = Problem(CLIPPED, parameters, x)
    end = relaxation(200)(problem).states
    slope = jax.grad(lambda s: CLIPPED.energy(parameters, s, x))(end)
    flat, pull = (np.concatenate(v) for v in (end, slope))
    bound = np.abs(flat) == 0.5
    yield below("slope of the energy at units inside the box", np.abs(pull[~bound]).max(), 1e-14)
    yield below("slope into the box at units on its bounds", max(0.0, (pull * flat)[bound].max(initial=-1.0)), 1e-14)
    yield above("units on a bound", bound.sum(), 0)
    path = jax.lax.scan(lambda s, _: (problem.sweep(s),) * 2, problem.start(), length=12)[1]
    energies = _energies(CLIPPED, parameters, x, path)
    yield below("largest rise of the energy from sweep to sweep", np.diff(energies).max(), 1e-14)
    gaps = np.array([max(float(jnp.abs(a[t] - b).max()) for a, b in zip(path, end, strict=True)) for t in range(12)])
    seen = gaps > 1e-14
    yield below("shrinking of the distance per sweep", (gaps[seen][-1] / gaps[seen][0]) ** (1 / max(1, seen.sum() - 1)), 0.9)
    descent = jax.lax.fori_loop(0, 12, lambda _, s: add(s, problem.residual(s), -0.5), problem.start())
    yield above(
        "gradient steps of 0.5 instead, as many: distance over that of the sweeps",
        max(float(jnp.abs(a - b).max()) for a, b in zip(descent, end, strict=True)) / max(gaps[-1], 1e-15),
        10,
    )


@row(78, "Mirror descent", "3.5", circuit="energy G + U", solver="mirror descent")
def mirror_law(seed: int) -> Iterator[Finding]:
    """States stay inside the activation's range and the energy falls; the end is that of all other solvers."""
    s = systems.hopfield(seed)
    problem = Problem(s.circuit, s.parameters, s.x)
    end = newton()(problem).states
    descent = mirror_descent(0.3, jnp.tanh, jnp.arctanh, tolerance=1e-15)
    yield equal("its end against Newton's", descent(problem).states, end, 1e-12)
    yield equal("without any sweep of the circuit", descent(problem._replace(circuit=Unswept(s.circuit))).states, end, 1e-12)
    # one linear unit of residual s - 1: every step leaves 1 - rate of the distance
    unit = from_residual(lambda p, s, x: (s[0] - 1,), lambda p, x: (jnp.zeros(1),), lambda p, s, x, force: (jnp.ones(1),))
    taken = int(gradient_flow(0.3, tolerance=1e-6)(Problem(unit, (), None)).sweeps)
    yield within("steps to 0.3 * 0.7^n < 1e-6 of one linear unit", taken, np.ceil(np.log(1e-6 / 0.3) / np.log(0.7)) + 1, 0)
    keys = jax.random.split(jax.random.key(seed), len(end))
    start = tuple(0.999 * jnp.sign(jax.random.normal(k, v.shape)) for k, v in zip(keys, end, strict=True))

    def step(u, _):
        u = jax.tree.map(lambda a, c: a - 0.3 * c, u, problem.residual(jax.tree.map(jnp.tanh, u)))
        return u, jax.tree.map(jnp.tanh, u)

    path = jax.lax.scan(step, jax.tree.map(jnp.arctanh, start), length=60)[1]
    yield below("largest state on the way from the corners", max(float(jnp.abs(v).max()) for v in path), 1)
    yield below("largest rise of the energy", np.diff(_energies(s.circuit, s.parameters, s.x, path)).max(), 1e-13)


@row(80, "Other fixed-point solvers", "3.5", circuit="any", solver="Anderson, Broyden, gradient flow, sweeps")
def solvers_law(seed: int) -> Iterator[Finding]:
    """All reach the same states; those that remember take fewer sweeps."""
    for make, flow in ((systems.hopfield, None), (systems.equilibrium, gradient_flow(0.5))):
        s, name = make(seed), make.__name__
        # weights so small that there is one equilibrium
        problem = Problem(s.circuit, jax.tree.map(lambda w: w / 2, s.parameters), s.x)
        end = newton()(problem).states
        plain = relaxation()(problem)
        found = {"sweeps": plain, "Anderson": anderson()(problem), "Broyden": broyden()(problem)}
        found |= {"gradient flow": flow(problem)} if flow else {}
        for solver, solution in found.items():
            yield equal(f"{name}: {solver}, {int(solution.sweeps)} iterations", solution.states, end, 1e-10)
        if flow:
            still = flow(problem._replace(circuit=Unswept(s.circuit)))
            yield equal(f"{name}: gradient flow, without any sweep of the circuit", still.states, end, 1e-10)
        if make is systems.equilibrium:
            ratio = int(found["Broyden"].sweeps) / int(plain.sweeps)
            yield below(f"{name}: Broyden's iterations over plain sweeps", ratio, 1)
    rng, n = np.random.default_rng(seed), 4
    w = rng.normal(size=(n, n))
    w = jnp.asarray(0.9 * w / np.abs(np.linalg.eigvals(w)).max())
    linear = Problem(Equilibrium(n, n, 1, identity), (w, jnp.eye(n)), jnp.asarray(rng.normal(size=n)))
    end = np.linalg.solve(np.eye(n) - w, linear.x)
    krylov, secant = anderson(n + 1, damping=0.0, tolerance=1e-9)(linear), broyden(tolerance=1e-9)(linear)
    yield equal("four linear units: Anderson's end", krylov.states[0], end, 1e-8)
    yield below("in sweeps, of which as many as units and one span all (Krylov), and three that see the end", int(krylov.sweeps), n + 4)
    yield equal("Broyden's end", secant.states[0], end, 1e-8)
    yield below("in iterations, twice as many as units (Gay), and two that see the end", int(secant.sweeps), 2 * n + 3)
    yield above("in plain sweeps", int(relaxation(tolerance=1e-9)(linear).sweeps), 100)
