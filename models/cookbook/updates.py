"""Rows 64 to 66, 79, 81, 82: updates."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import jax
import numpy as np
from jax import numpy as jnp

from ..circuits import Feedforward, Hopfield
from ..estimators.contrast import contrast, one_sided
from ..estimators.implicit import cost, exact_gradient
from ..flow import flow
from ..functions import add, identity
from ..images import Convolution
from ..nudges import clamped
from ..objectives import squared_error
from ..solvers import relaxation
from ..updates import (
    agnostic,
    continual,
    free_output,
    free_running,
    gauss_newton_product,
    hessian_free_step,
    kronecker_factors,
    kronecker_step,
    locoprop,
    output_jacobian,
    pseudo_inverse_step,
)
from . import systems
from .findings import Finding, above, angle, below, equal, relative_error, slope
from .row import row


def _compiled(function, **static):
    return jax.jit(partial(function, **static), static_argnums=(0, 1))


_exact = _compiled(exact_gradient)
_free_running = _compiled(free_running)
_continual = _compiled(continual, sweeps=200)


@row(
    64,
    "Continual equilibrium propagation",
    "3.2",
    estimator="contrast of successive states",
    circuit="layered Hopfield net",
    nudge="weak",
    solver="coordinate descent",
    schedule="two phases, nothing stored",
    update="at every sweep",
)
def continual_law(seed: int) -> Iterator[Finding]:
    """The step is off equilibrium propagation's by an error linear in rate over beta."""
    s = systems.hopfield(seed)
    beta = 0.1
    propagated = jax.jit(lambda p: contrast(s.circuit, s.objective, p, s.x, s.y, one_sided(beta)))(s.parameters)

    def step(ratio):
        """Return the step over minus the rate."""
        return jax.tree.map(lambda a, b: (a - b) / (beta * ratio), s.parameters, _continual(*s, beta=beta, rate=beta * ratio))

    yield slope("deviation from the contrast, in rate / beta", step, propagated, 1, 0.01)
    yield equal("rate / beta = 1e-6: the contrast", step(1e-6), propagated, 1e-4)


@row(
    65,
    "Physical learning beyond the quasi-static limit",
    "3.2",
    estimator="contrast: clamped, free",
    circuit="of an energy",
    nudge="clamp, (1 - beta) free + beta y",
    solver="gradient flow",
    schedule="twins, single phase",
    update="free-running",
)
def free_running_law(seed: int) -> Iterator[Finding]:
    """The trajectory tends to coupled learning's as learning slows; at the pace of relaxation it still learns."""
    w, x, y = jax.random.split(jax.random.key(seed), 3)
    circuit = Hopfield((3, 4, 2))
    s = systems.System(
        circuit,
        squared_error,
        jax.tree.map(lambda v: v / 2, circuit.random_parameters(w)),
        jax.random.normal(x, (3,)),
        jax.random.uniform(y, (2,), minval=-0.5, maxval=0.5),
    )
    run = partial(_free_running, step=0.2)
    still = jax.jit(
        lambda p: flow(
            lambda _, p, __: jax.tree.map(
                jnp.negative, contrast(circuit, s.objective, p, s.x, s.y, one_sided(0.1), clamped, relaxation(40))
            ),
            p,
            2.0,
            0.1,
        )
    )
    yield slope(
        "the trajectory against coupled learning's, in the rate",
        lambda rate: add(run(*s, rate=rate, duration=2 / rate)[2], s.parameters, -1.0),
        add(still(s.parameters), s.parameters, -1.0),
        1,
        0.04,
    )
    after = jax.jit(partial(cost, circuit, s.objective))
    for rate in (0.1, 0.5, 1.0, 2.0):
        learnt = run(*s, rate=rate, duration=60 + 30 / rate)[2]
        yield below(f"cost in the end, rate {rate:g}", after(learnt, s.x, s.y), 4e-7)


@row(
    66,
    "Agnostic equilibrium propagation",
    "3.2, erratum E6",
    estimator="displacement of the parameters",
    circuit="of an energy",
    nudge="weak",
    solver="coordinate descent and springs",
    schedule="two phases",
    update="parameters settle with the states",
)
def agnostic_law(seed: int) -> Iterator[Finding]:
    """The parameters settle 2 epsilon beta gradients away; the epsilon beta of the print is half of it."""
    s = systems.hopfield(seed)
    exact = _exact(*s)
    settle = _compiled(agnostic)

    def step(epsilon, beta):
        """Return the step over what it should be."""
        moved = add(settle(*s, beta=beta, epsilon=epsilon), s.parameters, -1.0)
        return jax.tree.map(lambda v: v / (-2 * epsilon * beta), moved)

    yield below("step over -2 epsilon beta gradient, off 1", relative_error(step(1e-4, 1e-3), exact), 0.003)
    yield slope("in epsilon, beta = 0.001", lambda e: step(e, 1e-3), exact, 1, 0.02)
    yield slope("in beta, epsilon = 1e-6", lambda b: step(1e-6, b), exact, 2, 0.1)


@row(79, "LocoProp", "3.5, erratum E8", estimator="backprop, for targets", circuit="chain", update="local problems per layer")
def locoprop_law(seed: int) -> Iterator[Finding]:
    """The first inner step is backprop's; many are the implicit update of each layer; no derivative of the activation is lost."""
    s = systems.tanh_net(seed)
    exact = _exact(*s)
    once = jax.tree.map(lambda a, b: (a - b) / 0.1, s.parameters, _compiled(locoprop, steps=1)(*s))
    yield equal("one inner step: backprop's", once, exact)
    states = s.circuit.forward(s.parameters, s.x)
    slopes = jax.grad(partial(_moved_cost, s))([jnp.zeros_like(v) for v in states[1:]])
    wrong = [jnp.outer(d, v) for d, v in zip(slopes, states[:-1], strict=True)]
    yield above("angle with targets from dJ/ds in place of dJ/da, degrees", angle(wrong, exact), 1)
    settled = _compiled(locoprop, steps=2000)(*s)
    targets = [v - jnp.linalg.lstsq(b[:, None], g.T)[0][0] for v, b, g in zip(states[1:], states[:-1], exact, strict=True)]
    implicit = [
        w - jnp.outer(s.circuit.neuron(k)(new @ states[k]) - targets[k], states[k])
        for k, (w, new) in enumerate(zip(s.parameters, settled, strict=True))
    ]
    yield equal("2000 inner steps: the implicit update", list(settled), implicit, 1e-10)
    near = _compiled(locoprop, steps=2000)(*s, strength=2.0, proximity=0.5)
    pulled = [v - 2 * (v - t) for v, t in zip(states[1:], targets, strict=True)]
    implicit = [
        w - 0.5 * jnp.outer(s.circuit.neuron(k)(new @ states[k]) - pulled[k], states[k])
        for k, (w, new) in enumerate(zip(s.parameters, near, strict=True))
    ]
    yield equal("targets twice as far, weights held twice as strongly: likewise", list(near), implicit, 1e-10)


def _moved_cost(s, offsets):
    """Return the cost with offsets added to the states, not to the drives."""
    v = s.x
    for k, (w, offset) in enumerate(zip(s.parameters, offsets, strict=True)):
        v = s.circuit.neuron(k)(w @ v) + offset
    return s.objective(v, s.y)


@row(
    81,
    "Second order by pseudo-inverse",
    "4, Eq. 14, erratum E10",
    circuit="any",
    estimator="Jacobian of the output",
    update="pseudo-inverse",
)
def pseudo_inverse_law(seed: int) -> Iterator[Finding]:
    """The output moves along the objective's gradient, where backprop's step does not; damping costs linearly."""
    for make in (systems.tanh_net, systems.equilibrium):
        s = make(seed)
        jacobian = jax.jit(output_jacobian, static_argnums=0)(s.circuit, s.parameters, s.x)
        invert = _compiled(pseudo_inverse_step)
        output = jax.jit(free_output, static_argnums=0)
        force = jax.grad(s.objective)(output(s.circuit, s.parameters, s.x), s.y)

        def along(step, jacobian=jacobian):
            return sum(jnp.einsum("opq,pq->o", j, d) for j, d in zip(jacobian, step, strict=True))

        step = invert(*s)
        name = make.__name__.replace("_", " ")
        yield equal(f"{name}: the output's move", along(step), -force)
        yield above(f"{name}: angle of its move under gradient descent, degrees", angle(along(_exact(*s)), force), 1)
        yield slope(
            f"{name}: its finite move, in the size",
            lambda h, s=s, step=step, output=output: (
                (output(s.circuit, add(s.parameters, step, h), s.x) - output(s.circuit, s.parameters, s.x)) / h
            ),
            -force,
            1,
            0.01,
        )
        yield slope(f"{name}: in the damping", lambda d, s=s, invert=invert: invert(*s, damping=d), step, 1, 1e-3)
    rows = np.concatenate([np.reshape(j, (len(force), -1)) for j in jacobian], 1)
    yield below("rank of J^T J, that the print inverts, over its size", np.linalg.matrix_rank(rows.T @ rows) / rows.shape[1], 1)


@row(
    82, "Hessian-free and Kronecker curvature", "4", circuit="chain", estimator="backprop", update="conjugate gradients, Kronecker factors"
)
def curvature_law(seed: int) -> Iterator[Finding]:
    """One linear layer: both are row 81's step, and on a batch the least squares; of one sample Kronecker blocks are exact."""
    a, b, c = jax.random.split(jax.random.key(seed), 3)
    layer = Feedforward((4, 3), identity)
    w, xs, ys = layer.random_parameters(a), jax.random.normal(b, (9, 4)), jax.random.normal(c, (9, 3))
    inverse = pseudo_inverse_step(layer, squared_error, w, xs[0], ys[0])
    least = jnp.linalg.lstsq(xs, ys)[0].T
    for name, update in (("conjugate gradients", _compiled(hessian_free_step)), ("Kronecker factors", _compiled(kronecker_step))):
        yield equal(f"{name}, one sample: the pseudo-inverse's step", update(layer, squared_error, w, xs[:1], ys[:1]), inverse, 1e-10)
        yield equal(f"{name}, a batch: least squares in one step", w[0] + update(layer, squared_error, w, xs, ys)[0], least, 1e-10)
    image = Feedforward((Convolution((4, 4, 2), 3, 2),), identity)
    w, xs = image.random_parameters(a), jax.random.normal(b, (9, 4, 4, 2))
    ys = jax.random.normal(c, (9, *image.maps[0].outputs))
    patches = jnp.concatenate([image.maps[0].unfolded(x) for x in xs])
    least = jnp.linalg.lstsq(patches, ys.reshape(len(patches), -1))[0].T
    step = _compiled(kronecker_step)(image, squared_error, w, xs, ys)[0]
    yield equal("a convolution, a batch: least squares over all places in one step", (w[0] + step).reshape(least.shape), least, 1e-10)
    s = systems.tanh_net(seed)
    factors = jax.jit(kronecker_factors, static_argnums=(0, 1))(s.circuit, s.objective, s.parameters, s.x[None], s.y[None])
    v = s.circuit.random_parameters(a)
    product = _compiled(gauss_newton_product)
    for k in (0, len(v) - 1):
        alone = tuple(d if j == k else jnp.zeros_like(d) for j, d in enumerate(v))
        below_, above_ = factors[k]
        yield equal(f"tanh net, layer {k + 1}: Kronecker block against forward-over-reverse", product(*s, alone)[k], above_ @ v[k] @ below_)
    step = _compiled(hessian_free_step)(*s[:3], s.x[None], s.y[None], damping=0.1)
    curved = add(product(*s, step), step, 0.1)
    yield equal("tanh net, damped: conjugate gradients solve the equation", curved, jax.tree.map(jnp.negative, _exact(*s)), 1e-9)
