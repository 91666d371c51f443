"""Rows 85 and 86: chains of blocks that differ in what they are and in how they learn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial

import jax
import numpy as np
from jax import numpy as jnp
from jax.typing import ArrayLike

from ..circuits import Equilibrium, Feedforward, Hopfield
from ..estimators.chains import Block, Chain, chain_gradient
from ..estimators.estimator import Estimator
from ..estimators.implicit import cost, exact_gradient
from ..functions import add
from ..kinds import Objective, Tree
from ..nudges import weak
from ..objectives import squared_error
from ..schedules import compiled, dapple, gpipe, one_forward_one_backward, play, sequential
from ..solvers import Problem, relaxation
from .contrasts import CENTERED, COUPLED
from .dyads import DUAL
from .findings import Finding, above, below, equal, flat, identical, law, refused, relative_error, slope
from .implicit import ADJOINT
from .probes import SPSA, rows_of
from .row import row
from .systems import System

RELAXED = relaxation()
"""Compiles faster than Newton's method, and a chain of many blocks has many problems to solve."""

_cost = jax.jit(partial(cost, solver=RELAXED), static_argnums=(0, 1))


def using(rule: Estimator, **settings) -> Estimator:
    """A rule with settings of its own."""
    return replace(rule, settings=rule.settings | settings)


@partial(jax.jit, static_argnums=(0, 1))
def hybrid_gradient(chain: Feedforward, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, beta: ArrayLike = 0.1) -> Tree:
    """Feedforward blocks by their derivatives, all others by centered nudges (row 85)."""
    nudged = using(CENTERED, beta=beta, solver=RELAXED)
    return chain_gradient(chain, objective, parameters, x, y, [ADJOINT if "triangular" in b.capabilities else nudged for b in chain.blocks])


# a Hopfield net near a bifurcation has soft modes: beyond small nudges it may settle elsewhere
HYBRID = Estimator(
    85,
    "BP and EP, block by block",
    hybrid_gradient,
    frozenset({"blocks"}),
    oracle=partial(exact_gradient, solver=RELAXED),
    order=2,
    largest=0.02,
)


@partial(jax.jit, static_argnums=0)
def _weights(chain, seed):
    return chain.random_parameters(jax.random.key(seed))


def sampled(chain: Chain, seed: int, outputs: int) -> System:
    """A chain with weights, an input and a target."""
    rng = np.random.default_rng(seed)
    return System(chain, squared_error, _weights(chain, seed), rng.normal(size=4), rng.uniform(-0.5, 0.5, outputs))


def mixed(seed: int) -> System:
    """Two Hopfield nets with a feedforward net between them."""
    return sampled(Chain((Hopfield((4, 5, 3)), Feedforward((3, 5, 4), jnp.tanh, jnp.tanh), Hopfield((4, 4, 3)))), seed, 3)


@row(
    85,
    "Hybrid BP-EP chaining",
    "2.1, 3.1, Eq. 3",
    estimator=HYBRID,
    systems=[mixed],
    circuit="feedforward and energy-based blocks in a chain",
    nudge="weak, in each block",
    schedule="forward, then nudged from the top",
)
def hybrid_law(seed: int) -> Iterator[Finding]:
    """The gradient of every block has an error of second order; cutting feedforward blocks changes nothing."""
    s = mixed(seed)
    exact = jax.jit(HYBRID.oracle, static_argnums=(0, 1))(*s)
    along = jax.tree.map(lambda w: np.cos(np.arange(w.size)).reshape(w.shape), s.parameters)
    moved = {
        by: _cost(s.circuit, s.objective, jax.tree.map(lambda w, u, by=by: np.asarray(w) + by * u, s.parameters, along), s.x, s.y)
        for by in (4e-4, 2e-4, -2e-4, -4e-4)
    }
    rise = (8 * (moved[2e-4] - moved[-2e-4]) - moved[4e-4] + moved[-4e-4]) / 24e-4
    yield below("the adjoint of the whole along a direction, against differences", abs(flat(exact) @ flat(along) / rise - 1), 1e-8)
    found = cache(lambda beta: hybrid_gradient(*s, beta))
    for k in range(3):
        yield slope(f"block {k}, in beta", lambda beta, k=k: found(beta)[k], exact[k], 2, HYBRID.largest)

    lower, net, upper = s.circuit.blocks
    layers = [Feedforward((m, n), net.activation, net.activation) for m, n in zip(net.sizes[:-1], net.sizes[1:], strict=True)]
    first, middle, last = s.parameters
    cut = hybrid_gradient(Chain((lower, *layers, upper)), s.objective, (first, *((w,) for w in middle), last), s.x, s.y, 0.1)
    yield equal("the net between them cut into layers: gradient", cut, found(0.1))

    @jax.jit
    def handed(w, u, force, beta=1.0):
        solver = relaxation(500)
        up, down = (solver(weak(Problem(lower, w, u), None, lambda o, f: f @ o, force, b)).states[0] for b in (beta, -beta))
        return Block(lower, using(CENTERED, beta=beta, solver=solver)).backward(w, u, force)[1], -w[0].T @ (up - down) / (2 * beta)

    yield equal("force on the block below: -W^T (s+ - s-) / 2 beta of the first layer", *handed(first, s.x, s.y))
    yield refused("the chain as a whole by row 52 is refused", lambda: CENTERED(*s))


def mixture() -> tuple[Chain, list[Estimator]]:
    """A way to learn for each block: probes, implicit differentiation, nudges, dyads."""
    chain = Chain(
        (Feedforward((4, 5, 4), jnp.tanh, jnp.tanh), Equilibrium(4, 6, 4), Hopfield((4, 5, 3)), Feedforward((3, 4, 2), jnp.tanh, jnp.tanh))
    )
    return chain, [using(SPSA, epsilon=1e-4), using(ADJOINT, solver=RELAXED), using(CENTERED, solver=RELAXED), DUAL]


@row(
    86,
    "Free mixtures",
    "4, conclusion",
    estimator="another one in each block",
    circuit="another one in each block",
    schedule="any of rows 44 to 50",
)
def mixture_law(seed: int) -> Iterator[Finding]:
    """Every block keeps its own law, for its gradient and for the force that it hands down; schedules do not change them."""
    chain, rules = mixture()
    s = sampled(chain, seed, 2)
    blocks = [Block(b, rule) for b, rule in zip(chain.blocks, rules, strict=True)]
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    inputs, forces = ([rng.normal(size=n) / 2 for n in sizes] for sizes in ((4, 4, 4, 3), (4, 4, 3, 2)))

    def backward(k, rule, *draws):
        return Block(chain.blocks[k], rule).backward(s.parameters[k], inputs[k], forces[k], *draws)

    exact = jax.jit(lambda: {k: backward(k, using(ADJOINT, solver=RELAXED)) for k in (0, 2, 3)})()
    for k in (2, 3):
        estimate = jax.jit(lambda beta, k=k: backward(k, using(rules[k], beta=beta)))
        yield slope(f"row {rules[k].row}: gradient and force, in beta", estimate, exact[k], 2, 0.05)
    draws = jax.random.split(key, 2000)
    estimates = rows_of(jax.jit(jax.vmap(lambda key: backward(0, rules[0], key)))(draws))
    e = flat(exact[0])
    yield law("row 29: gradient and force along the exact ones, over their square", estimates @ e / (e @ e), 1)
    yield law("their squared error, over their square", ((estimates - e) ** 2).sum(1) / (e @ e), e.size - 1)

    blocks, samples = [compiled(b) for b in blocks], 6
    xs, ys = rng.normal(size=(samples, 4)), rng.normal(size=(samples, 2)) / 2

    descend = jax.jit(lambda p, g: add(p, g, -0.05))

    def played(schedule, parameters=s.parameters):
        return play(schedule(len(blocks), samples), blocks, s.objective, parameters, xs, ys, descend, key)

    late, plain, stashed = played(gpipe), played(sequential), played(one_forward_one_backward)
    yield identical("DAPPLE: weights, against GPipe's", played(dapple).versions, late.versions)
    yield identical("GPipe: gradients, against one sample after the other", late.gradients, plain.gradients)
    m = samples - 1
    used = {e.block: e.version for e in one_forward_one_backward(len(blocks), samples) if e.phase == "forward" and e.sample == m}
    old = played(sequential, [v[used[k]] for k, v in enumerate(stashed.versions)])
    found = [[p.gradients[k, m] for k in range(len(blocks))] for p in (stashed, old, plain)]
    yield identical("1F1B: last gradient, against that without a pipeline for the weights of its forward", *found[:2])
    yield above("and for the first weights: off by", relative_error(found[0], found[2]), 1e-3)
    yield refused("a rule for another gradient than the cost's (row 59) is refused", lambda: Block(chain.blocks[2], COUPLED))
