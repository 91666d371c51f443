"""Three circuits that are not the library's, written as a user would, and each once more in NumPy alone.

The second writing knows no JAX and nothing of the library: derivatives of the energies by hand, plain iteration to the fixed point,
and the gradient of the cost by imaginary steps of every parameter, which nothing rounds. `differences` are real steps of the same.
"""

import jax
import numpy as np
from jax import numpy as jnp

from crossdyad import models
from crossdyad.models.cookbook.systems import System


def ising(seed: int) -> System:
    """Six coupled phases; the first are driven by the input, the last two are the output."""

    def energy(parameters, s, x):
        couplings, fields = parameters
        phases = s[0]
        return (
            -jnp.sum((couplings + couplings.T) * jnp.cos(phases[:, None] - phases)) / 4
            - jnp.sum((fields @ x) * jnp.sin(phases))
            - jnp.sum(jnp.cos(2 * phases)) / 2
        )

    machine = models.from_energy(
        energy,
        lambda p, x: (jnp.full(6, 0.3, jnp.result_type(p[0], x)),),
        rate=0.1,
        output=lambda s: s[0][-2:],
        with_output=lambda s, o: (s[0].at[-2:].set(o),),
        capabilities=["analytic"],
    )
    k = jax.random.split(jax.random.key(seed), 3)
    parameters = jax.random.normal(k[0], (6, 6)) * 0.1, jax.random.normal(k[1], (6, 3)) * 0.4
    return System(machine, models.squared_error, parameters, jax.random.normal(k[2], (3,)) * 0.7, jnp.array([0.2, -0.2]))


def asymmetric(seed: int) -> System:
    """A deep equilibrium model of softplus units; only its residual and a damped iteration are given."""

    def drive(parameters, s, x):
        return jnp.log1p(jnp.exp(parameters[0] @ s[0] + parameters[1] @ x))

    net = models.from_residual(
        lambda p, s, x: (s[0] - drive(p, s, x),),
        lambda p, x: (jnp.zeros(5, jnp.result_type(p[0], x)),),
        lambda p, s, x, force: (s[0] + 0.5 * (drive(p, s, x) - s[0] - force[0]),),
        output=lambda s: s[0][-2:],
        with_output=lambda s, o: (s[0].at[-2:].set(o),),
    )
    k = jax.random.split(jax.random.key(seed), 3)
    parameters = jax.random.normal(k[0], (5, 5)) * 0.25, jax.random.normal(k[1], (5, 3)) * 0.5
    return System(net, models.squared_error, parameters, jax.random.normal(k[2], (3,)), jnp.array([0.9, 0.5]))


def edges(seed: int) -> np.ndarray:
    """Of a random graph of nine nodes that hangs together."""
    draw = np.random.default_rng(seed)
    return np.array([(i, j) for i in range(9) for j in range(i) if j == i - 1 or draw.random() < 0.4])


def resistors(seed: int) -> System:
    """Nine nodes of a random graph, three held at the input's voltages, the last two the output; currents grow faster than voltages."""
    ends = edges(seed)

    def energy(conductances, s, x):
        v = jnp.concatenate([x, s[0]])
        across = v[ends[:, 0]] - v[ends[:, 1]]
        return jnp.sum(conductances * (across**2 / 2 + across**4 / 10))

    graph = models.from_energy(
        energy,
        lambda p, x: (jnp.zeros(6, jnp.result_type(p, x)),),
        rate=0.1,
        output=lambda s: s[0][-2:],
        with_output=lambda s, o: (s[0].at[-2:].set(o),),
        capabilities=["analytic"],
    )
    k = jax.random.split(jax.random.key(seed), 2)
    return System(
        graph,
        models.squared_error,
        jax.random.uniform(k[0], (len(ends),), minval=0.2, maxval=1.0),
        jax.random.normal(k[1], (3,)),
        jnp.array([0.3, -0.3]),
    )


# In NumPy: one step of the states, parameters and states stacked along a leading axis -------------------------------


def ising_step(seed, parameters, s, x):
    """Down the energy's slope."""
    couplings, fields = parameters
    sums = couplings + np.swapaxes(couplings, 1, 2)
    return s - 0.1 * (
        0.5 * np.einsum("pij,pij->pi", sums, np.sin(s[:, :, None] - s[:, None, :])) - (fields @ x) * np.cos(s) + np.sin(2 * s)
    )


def asymmetric_step(seed, parameters, s, x):
    """The right-hand side, damped."""
    return 0.5 * s + 0.5 * np.log(1 + np.exp(np.einsum("pij,pj->pi", parameters[0], s) + parameters[1] @ x))


def resistors_step(seed, parameters, s, x):
    """Every node gives way to the current into it."""
    ends = edges(seed)
    v = np.concatenate([np.broadcast_to(x, (len(s), 3)), s], 1)
    across = v[:, ends[:, 0]] - v[:, ends[:, 1]]
    current = parameters[0] * (across + 0.4 * across**3)
    incidence = (ends[:, 0, None] == np.arange(9)) * 1.0 - (ends[:, 1, None] == np.arange(9))
    return s - 0.1 * (current @ incidence)[:, 3:]


STEPS = {"ising": (ising_step, 6, 0.3), "asymmetric": (asymmetric_step, 5, 0.0), "resistors": (resistors_step, 6, 0.0)}
"""By name: the step, how many states, and their start."""


def costs(name: str, seed: int, s: System, moved) -> np.ndarray:
    """The squared error at the fixed point, of parameters with each row of `moved` added."""
    step, states, begin = STEPS[name]
    leaves = [np.asarray(v) for v in jax.tree.leaves(s.parameters)]
    at = np.cumsum([v.size for v in leaves])[:-1]
    parameters = [v + m.reshape(len(m), *v.shape) for v, m in zip(leaves, np.split(moved, at, 1), strict=True)]
    v, x = np.full((len(moved), states), begin, moved.dtype), np.asarray(s.x)
    for _ in range(20000):
        new = step(seed, parameters, v, x)
        still, v = np.abs(new - v).max() < 1e-15, new
        if still:
            break
    return ((v[:, -2:] - np.asarray(s.y)) ** 2).sum(1) / 2


def gradient(name: str, seed: int, s: System) -> np.ndarray:
    """By imaginary steps, flat."""
    n = sum(v.size for v in jax.tree.leaves(s.parameters))
    return costs(name, seed, s, 1j * 1e-30 * np.eye(n)).imag / 1e-30


def differences(name: str, seed: int, s: System, step: float = 1e-5) -> np.ndarray:
    """By real steps, flat."""
    n = sum(v.size for v in jax.tree.leaves(s.parameters))
    return (costs(name, seed, s, step * np.eye(n)) - costs(name, seed, s, -step * np.eye(n))) / (2 * step)
