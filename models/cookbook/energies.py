"""Rows 8 to 16: systems with an energy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import jax
import numpy as np
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree

from ..circuits import Feedforward, Hopfield
from ..energies import Resistive, auxiliary_coordinates, boltzmann_contrast, hierarchical, lifted, spin_energy, surprise
from ..estimators.coding import residual_energy
from ..estimators.contrast import centered, coincidences, contrast
from ..estimators.dyads import stored_propagation
from ..estimators.estimator import Estimator
from ..estimators.implicit import exact_gradient, read_out
from ..nudges import weak
from ..objectives import squared_error
from ..solvers import Problem, newton, relaxation
from . import systems
from .contrasts import CENTERED
from .findings import Finding, above, angle, below, equal, identical, refused, relative_error, slope
from .row import row

_exact = jax.jit(exact_gradient, static_argnums=(0, 1))


def _climbs(circuit, parameters, x, start, sweep, sweeps: int = 20):
    """The largest rise of the energy from one sweep to the next."""

    def step(s, _):
        s = sweep(s)
        return s, circuit.energy(parameters, s, x)

    first = circuit.energy(parameters, start, x)
    energies = jax.lax.scan(step, start, length=sweeps)[1]
    return jnp.max(jnp.diff(jnp.concatenate([first[None], energies])))


@row(8, "Layered Hopfield net", "3.6, Eq. 12", circuit="layered Hopfield net", solver="coordinate descent by layers")
def hopfield_law(seed: int) -> Iterator[Finding]:
    """The Jacobian of its constraint is symmetric, and layer after layer its energy never rises; all at once it may."""
    s = systems.hopfield(seed)
    random = tuple(
        jnp.tanh(jax.random.normal(k, v.shape))
        for k, v in zip(jax.random.split(jax.random.key(seed), 3), s.circuit.start(s.parameters, s.x), strict=False)
    )
    v, shape = ravel_pytree(random)
    hessian = jax.jacfwd(lambda v: ravel_pytree(s.circuit.residual(s.parameters, shape(v), s.x))[0])(v)
    yield equal("its Jacobian against the transposed", hessian, hessian.T)
    strong = jax.tree.map(lambda w: 2 * w, s.parameters)
    problem = Problem(s.circuit, strong, s.x)
    yield below("largest rise of the energy, weights times 2", _climbs(s.circuit, strong, s.x, random, problem.sweep), 1e-12)

    def together(v):
        return jax.tree.map(lambda a, c: jnp.tanh(jnp.arctanh(a) - c), v, s.circuit.residual(strong, v, s.x))

    starts = jax.tree.map(lambda v: jnp.tanh(jax.random.normal(jax.random.key(seed + v.size), (16, *v.shape))), random)
    at_once = jax.vmap(lambda v: _climbs(s.circuit, strong, s.x, v, together))(starts)
    yield above("the same, all layers at once, from one of 16 starts", jnp.max(at_once), 1e-3)
    yield refused("an asymmetric net has no energy to contrast", lambda: CENTERED(*systems.equilibrium(seed)))


@row(
    9,
    "Nonlinear resistive network",
    "1, 3.5",
    estimator=replace(CENTERED, row=9, largest=0.05),
    systems=[systems.resistive],
    circuit="resistors, ideal diodes",
    nudge="weak",
    solver="exact coordinate descent",
)
def resistive_law(seed: int) -> Iterator[Finding]:
    """No current is left over but in conducting diodes, and those conduct the right way."""
    s = systems.resistive(seed)
    problem = Problem(s.circuit, s.parameters, s.x)
    v = relaxation()(problem).states
    currents = s.circuit.currents(s.parameters, v, s.x)
    yield below(
        "current left over at nodes off their diodes' knees",
        max(float(jnp.max(jnp.where(u != 0, abs(i), 0))) for u, i in zip(v, currents, strict=True)),
        1e-10,
    )
    up = jnp.arange(len(v[0])) < (len(v[0]) + 1) // 2
    conducting = jnp.where(v[0] == 0, jnp.where(up, currents[0], -currents[0]), 0.0)
    yield below("current through diodes the wrong way", -float(jnp.min(conducting)), 1e-12)
    yield above("diodes that conduct", float(jnp.sum(v[0] == 0)), 0)
    power = jax.grad(lambda g: s.circuit.energy(g, v, s.x))(s.parameters)
    drops = [(a[:, None] - b) ** 2 / 2 for a, b in zip(v, (np.concatenate([s.x, -s.x]), *v[:-1]), strict=True)]
    yield equal("derivative by a conductance: half its squared voltage, sources at x and -x", list(power), drops)
    divider = Resistive((1, 1), 10.0)
    g, x = jnp.array([[3.0, 1.0]]), jnp.array([0.7])
    middle = relaxation(1)(Problem(divider, (g,), x)).states[0]
    yield equal("a divider of 3 and 1 between 10 x and -10 x: half of 10 x", middle, 5 * x)
    yield equal("half its power", divider.energy((g,), (middle,), x), (3 * 3.5**2 + 10.5**2) / 2)
    pulled = relaxation(1)(weak(Problem(divider, (g,), x), None, lambda o, y: jnp.sum(2 * o), x, 0.5)).states[0]
    yield equal("a current of 1 drawn from its middle: lower by 1 over the conductances", pulled, 5 * x - 1 / 4)


@row(10, "Boltzmann machine", "3.1", estimator="contrast of held and free statistics", circuit="spins")
def boltzmann_law(seed: int) -> Iterator[Finding]:
    """By enumeration the difference of statistics is the gradient of the data's surprise, as differences find it."""
    keys = jax.random.split(jax.random.key(seed), 3)
    parameters = jax.random.normal(keys[0], (5, 5)), jax.random.normal(keys[1], (5,))
    visible = jnp.where(jax.random.bernoulli(keys[2], shape=(3,)), 1.0, -1.0)
    v, shape = ravel_pytree(parameters)
    steps = 1e-5 * jnp.eye(v.size)
    differences = jax.jit(jax.vmap(lambda d: (surprise(shape(v + d), visible) - surprise(shape(v - d), visible)) / 2e-5))(steps)
    statistic = boltzmann_contrast(parameters, visible)
    yield below("against differences of -log p", relative_error(statistic, shape(differences)), 1e-9)
    alone = 0 * parameters[0], parameters[1]
    yield equal(
        "spins that are not joined: log(1 + exp(-2 b v)) of each",
        surprise(alone, visible),
        np.log1p(np.exp(-2 * parameters[1][:3] * visible)).sum(),
    )
    pair = jnp.array([[5.0, 0.8], [0.2, 5.0]]), jnp.array([0.3, -0.4])
    weights = np.exp([[0.5 * a * b + 0.3 * a - 0.4 * b for b in (-1, 1)] for a in (-1, 1)])
    yield equal(
        "two spins joined by 0.8 one way and 0.2 the other: by hand",
        surprise(pair, jnp.array([1.0])),
        np.log(weights.sum() / weights[1].sum()),
    )
    held_alone = jax.grad(spin_energy)(parameters, jnp.concatenate([visible, jnp.ones(2)]))
    yield above("without the free machine's statistics: error", relative_error(held_alone, shape(differences)), 0.1)


@row(11, "Energy from a residual", "3.4", estimator="1/2 |C|^2", circuit="any", solver="Newton")
def residual_law(seed: int) -> Iterator[Finding]:
    """Free, the energy is zero at the circuit's own solution, and its Hessian there is J^T J."""
    s = systems.equilibrium(seed)
    energetic = residual_energy(s.circuit)
    root = newton()(Problem(s.circuit, s.parameters, s.x)).states
    yield below("its energy at the circuit's solution", energetic.energy(s.parameters, root, s.x), 1e-24)
    v, shape = ravel_pytree(root)
    jacobian = jax.jacfwd(lambda v: ravel_pytree(s.circuit.residual(s.parameters, shape(v), s.x))[0])(v)
    hessian = jax.hessian(lambda v: energetic.energy(s.parameters, shape(v), s.x))(v)
    yield equal("its Hessian against J^T J", hessian, jacobian.T @ jacobian)
    yield above("J itself is not symmetric: error", relative_error(jacobian, jacobian.T), 0.01)


@row(12, "Energy split into G and U", "3.5", circuit="layered Hopfield net", solver="exact minimum over a block, s = f(-grad U)")
def split_law(seed: int) -> Iterator[Finding]:
    """A layer's update lands on the minimum of the whole energy over that layer, without the activation's derivative."""
    s = systems.hopfield(seed)
    state = Problem(s.circuit, s.parameters, s.x).sweep(s.circuit.start(s.parameters, s.x))
    last = s.circuit.residual(s.parameters, state, s.x)[-1]  # the output is updated last
    yield below("the energy's derivative by the layer just updated", np.abs(last).max(), 1e-12)
    before = tuple(jnp.tanh(jax.random.normal(jax.random.key(seed + v.size), v.shape)) for v in state)
    swept = Problem(s.circuit, s.parameters, s.x).sweep(before)
    (w1, w2, w3), x = map(np.asarray, s.parameters), np.asarray(s.x)
    middle = np.tanh(w2 @ before[0] + w3.T @ before[2])
    yield equal(
        "a sweep by hand: the middle layer hears both sides, then the first and the last hear it",
        list(swept),
        [np.tanh(w1 @ x + w2.T @ middle), middle, np.tanh(w3 @ middle)],
    )
    step = 1e-3 * jax.random.normal(jax.random.key(seed), (200, state[-1].size))
    around = jax.vmap(lambda d: s.circuit.energy(s.parameters, (*state[:-1], state[-1] + d), s.x))(step)
    yield above("least rise of the energy over 200 steps aside", jnp.min(around) - s.circuit.energy(s.parameters, state, s.x), 0)


STORED = Estimator(13, "Eq. 13, states kept", jax.jit(stored_propagation, static_argnums=(0, 1)), frozenset({"chain"}), order=2)


@row(
    13,
    "Hierarchical energy-based model",
    "3.6, Eq. 12 and 13, erratum E11",
    estimator=STORED,
    systems=[systems.tanh_net],
    circuit="hierarchy of energies",
    nudge="weak",
    solver="minimum of E_k, layer after layer",
)
def hierarchical_law(seed: int) -> Iterator[Finding]:
    """The minima of the energies, one after the other, are the forward pass, bit for bit; the gradient is the net's.

    Not the one of the Hopfield net with the same weights, whose layers feel those above: the paper sets the two side by side, but
    their gradients have nothing to do with one another (erratum E11).
    """
    sizes = (5, 6, 5, 3)
    net = Feedforward(sizes, jnp.tanh, jnp.tanh)
    keys = jax.random.split(jax.random.key(seed), 3)
    w, x, y = net.random_parameters(keys[0]), jax.random.normal(keys[1], (5,)), jax.random.uniform(keys[2], (3,))
    model = hierarchical(net)
    states = Problem(model, w, x).sweep(model.start(w, x))
    yield identical("states against the forward pass", list(states), net.forward(w, x)[1:])
    steps = [c * (1 - v * v) for c, v in zip(model.residual(w, states, x), states, strict=True)]
    yield below("how far from the minima these are, Newton's step", max(float(jnp.max(abs(v))) for v in steps), 1e-12)
    yield equal("gradient against the net's", exact_gradient(model, squared_error, w, x, y), exact_gradient(net, squared_error, w, x, y))
    together = exact_gradient(Hopfield(sizes), squared_error, w, x, y)
    yield above(
        "the Hopfield net of the same weights: angle between the gradients, degrees",
        angle(together, exact_gradient(net, squared_error, w, x, y)),
        5,
    )


@row(
    14,
    "Method of auxiliary coordinates (MAC)",
    "2.1, 3.6",
    estimator="penalised states",
    circuit="chain",
    nudge="penalty, 1 / mu",
    solver="Newton over all layers",
)
def auxiliary_law(seed: int) -> Iterator[Finding]:
    """Its states are the nudged minimum of the residual's energy with beta = 1 / mu; the gradient comes at first order in 1 / mu."""
    s = systems.tanh_net(seed)
    states = jax.jit(partial(auxiliary_coordinates, s.circuit, s.objective, s.parameters, s.x, s.y))
    nudged = weak(Problem(residual_energy(s.circuit), s.parameters, s.x), None, s.objective, s.y, 1e-3)
    yield equal("its states against the nudged energy's, mu = 1000", states(1e3), newton()(nudged).states, 1e-9)

    def estimate(over_mu):
        held = states(1 / over_mu)
        errors = s.circuit.residual(s.parameters, held, s.x)
        return jax.tree.map(lambda g: g / over_mu, read_out(s.circuit, s.parameters, s.x, held, errors))

    yield slope("in 1 / mu", estimate, exact_gradient(*s), 1, 0.002)


def _lifted(circuit, objective, parameters, x, y, beta=0.1):
    problem = weak(Problem(lifted(circuit), parameters, x), None, objective, y, beta)
    return jax.tree.map(lambda g: g / beta, coincidences(problem, newton()(problem).states))


LIFTED = Estimator(15, "lifted, one nudged state", jax.jit(_lifted, static_argnums=(0, 1)), frozenset({"chain"}), order=1, largest=0.02)


@row(
    15,
    "Lifted proximal operator machine, Fenchel-lifted net",
    "2.1, 3.6",
    estimator=LIFTED,
    systems=[systems.bounded_net],
    circuit="Fenchel-lifted net",
    nudge="weak",
    solver="layers in turn, Newton",
    schedule="a single nudged phase",
)
def lifted_law(seed: int) -> Iterator[Finding]:
    """The lifted energy is never negative and zero only in the forward states."""
    s = systems.bounded_net(seed)
    net = lifted(s.circuit)
    forward = tuple(s.circuit.forward(s.parameters, s.x)[1:])
    yield below("its energy in the forward states", abs(net.energy(s.parameters, forward, s.x)), 1e-13)
    keys = jax.random.split(jax.random.key(seed), len(forward))
    noise = [jax.random.normal(k, (500, v.size)) for k, v in zip(keys, forward, strict=True)]
    others = jax.vmap(lambda *d: net.energy(s.parameters, tuple(jnp.tanh(v) for v in d), s.x))(*noise)
    yield above("least energy of 500 random states", jnp.min(others), 0)


@row(
    16,
    "Feedforward-tied energy-based model (ff-EBM)",
    "2.1, 3.1",
    estimator=replace(CENTERED, row=16),
    systems=[systems.tied],
    circuit="layered Hopfield net behind features",
    nudge="weak",
    solver="coordinate descent, Newton",
    schedule="two phases",
)
def tied_law(seed: int) -> Iterator[Finding]:
    """The front learns from the change of the energy by its features alone, carried back by their derivative."""
    s = systems.tied(seed)
    (front, inner), beta = s.parameters, 0.1
    features, u = systems.features, systems.features(front, s.x)
    net = systems.hopfield(seed).circuit
    problem = Problem(net, inner, u)
    free = newton()(problem).states

    def by_features(b):
        states = newton()(weak(problem, free, s.objective, s.y, b)).states
        return jax.grad(lambda u: net.energy(inner, states, u))(u)

    delta = (by_features(beta) - by_features(-beta)) / (2 * beta)
    carried = jax.vjp(lambda v: features(v, s.x), front)[1](delta)[0]
    yield equal("gradient of the front", carried, contrast(*s, centered(beta))[0], 1e-9)
