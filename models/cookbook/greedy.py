"""Rows 34 to 43: local losses, and error signals that are predicted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jax.scipy.special import i0, i1
from jax.typing import ArrayLike

from ..circuits import Feedforward
from ..estimators.estimator import Estimator
from ..estimators.greedy import (
    activity_perturbed,
    barlow_twins,
    buffers,
    classifier,
    decoupled_tick,
    forward_forward,
    forward_forward_gradient,
    greedy_gradient,
    info_nce,
    informed,
    interlocking,
    layers,
    local_objectives,
    normalising,
    overlapping,
    similarity,
)
from ..estimators.implicit import exact_gradient, triangular_multipliers
from ..estimators.synthetic import features, predictors, synthetic_gradient, taught
from ..functions import add, identity
from ..kinds import Circuit, Tree
from ..objectives import squared_error
from . import systems
from .findings import Finding, above, below, equal, flat, identical, law, relative_error
from .row import row
from .systems import System

SYNTHETIC = Estimator(43, "synthetic gradients", synthetic_gradient, frozenset({"chain", "triangular"}))
CLASSES = 3

_parts = {"circuit": "blocks in a chain", "schedule": "greedy, no way back"}


def classified(seed: int) -> tuple:
    """A tanh net in blocks of a layer each, with a linear classifier on every block, a sample and its label."""
    s = systems.tanh_net(seed)
    rng = np.random.default_rng(seed)
    heads = tuple(jnp.asarray(rng.normal(size=(CLASSES, n))) for n in s.circuit.sizes[1:])
    return s, layers(s.circuit), (classifier,) * s.circuit.layers, heads, jnp.eye(CLASSES)[seed % CLASSES]


def chain_gradient(
    circuit: Circuit, parameters: Tree, loss: Callable, head: Tree, x: ArrayLike, y: ArrayLike, first: int, last: int
) -> tuple:
    """Eq. 2 on blocks `first` to `last` alone, the input of the first held: their adjoint gradient of one local loss."""
    below = circuit.forward(parameters, x)[first]
    part = Feedforward(circuit.sizes[first : last + 2], circuit.activation, circuit.neuron(last))
    return exact_gradient(part, lambda s, y: loss(head, s, y), parameters[first : last + 1], below, y)


def isolation(
    blocks: Sequence[Callable], losses: Sequence[Callable], parameters: Tree, heads: Sequence[Tree], x: ArrayLike, y: ArrayLike
) -> Iterator[Finding]:
    """Findings: a block's loss does not depend on the blocks below it, nor on those above, exactly."""
    jacobian = jax.jit(jax.jacrev(lambda p, h: local_objectives(blocks, losses, p, h, x, y), (0, 1)))(parameters, heads)
    size = np.array(
        [
            [max(float(jnp.abs(v[k]).max()) for v in jax.tree.leaves(tree[j])) for j in range(len(blocks))]
            for tree in jacobian
            for k in range(len(blocks))
        ]
    ).reshape(2, len(blocks), len(blocks))
    apart = ~np.eye(len(blocks), dtype=bool)
    yield identical("derivatives of every loss by other blocks and other heads, against zero", size[:, apart], np.zeros((2, apart.sum())))
    yield above("by its own block, the least", size[0].diagonal().min(), 1e-6)


@row(34, "Activity-perturbed forward gradient with local losses", "2.2 and 2.3", estimator="forward gradients in blocks", **_parts)
def activity_law(seed: int) -> Iterator[Finding]:
    """The variance of a block's error is ``n_k + 1`` times its square, n_k its own states, whatever the other blocks do."""
    s, blocks, losses, heads, y = classified(seed)
    keys = jax.random.split(jax.random.key(seed), 2000)
    estimate = jax.jit(jax.vmap(lambda k: activity_perturbed(blocks, losses, s.parameters, heads, s.x, y, k)))
    gradients, errors = estimate(keys)
    exact = jax.jit(lambda: greedy_gradient(blocks, losses, s.parameters, heads, s.x, y)[0])()
    states = s.circuit.forward(s.parameters, s.x)[1:]
    for k, (v, e) in enumerate(zip(states, errors, strict=True)):
        error = -jax.grad(losses[k], 1)(heads[k], v, y)
        yield law(
            f"block {k + 1}, {v.size} states: squared error over the error's square",
            ((np.asarray(e) - error) ** 2).sum(1) / (error @ error),
            v.size + 1,
        )
    along = sum((np.asarray(g) * w).sum((1, 2)) for g, w in zip(gradients, exact, strict=True))
    yield law("estimate along the local gradients, over their square", along / (flat(exact) @ flat(exact)), 1)


@row(35, "Local supervised losses", "2.3", estimator="adjoint in blocks", **_parts)
def local_law(seed: int) -> Iterator[Finding]:
    """Every block fulfils Eq. 2 with its own loss, and no other block moves it, exactly."""
    s, blocks, losses, heads, y = classified(seed)
    yield from isolation(blocks, losses, s.parameters, heads, s.x, y)
    found = jax.jit(partial(greedy_gradient, blocks, losses))(s.parameters, heads, s.x, y)[0]
    for k, g in enumerate(found):
        yield equal(
            f"block {k + 1}: the adjoint's gradient", (g,), chain_gradient(s.circuit, s.parameters, classifier, heads[k], s.x, y, k, k)
        )
    x = np.random.default_rng(seed).normal(size=(12, 6))
    labels = jnp.eye(CLASSES)[jnp.arange(12) % CLASSES]
    batched = [jax.vmap(b, (None, 0)) for b in blocks]
    yield from isolation(batched, (similarity,) * len(blocks), s.parameters, heads, x, labels)
    yield below("similarity matching: loss of states as alike as the labels", similarity(3 * jnp.eye(CLASSES), labels + 1, labels), 1e-25)
    through = jax.jacrev(lambda p: local_objectives(blocks, losses, p, heads, s.x, y, interlocking(len(blocks), len(blocks))))(s.parameters)
    yield above("without the cuts: derivative of the last loss by the first block", jnp.abs(through[0][0]).max(), 1e-6)


@row(
    36,
    "Decoupled greedy learning",
    "2.3",
    estimator="adjoint in blocks",
    circuit="blocks in a chain",
    schedule="asynchronous, a buffer before every block",
)
def decoupled_law(seed: int) -> Iterator[Finding]:
    """All blocks learn at every tick, each with row 35's gradient on a sample no older than its buffer is deep."""
    s, blocks, losses, heads, _ = classified(seed)
    depth, ticks = 4, 60
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(ticks, 6)), np.eye(CLASSES)[rng.integers(CLASSES, size=ticks)]

    @jax.jit
    def run(key):
        def tick(carry, new):
            parameters, heads, buffered = carry
            g, h, after, taken = decoupled_tick(blocks, losses, parameters, heads, buffered, *new)
            return (add(parameters, g, -0.1), add(heads, h, -0.1), after), (parameters, heads, g, taken)

        start = s.parameters, heads, buffers(blocks, s.parameters, x[0], y[0], depth)
        return jax.lax.scan(tick, start, (x, y, jnp.arange(ticks), jax.random.split(key, ticks)))[1]

    parameters, found_heads, found, taken = run(jax.random.key(seed))
    again, other = run(jax.random.key(seed))[2], run(jax.random.key(seed + 1))[2]
    yield identical("the same seed again: the same gradients", found, again)
    yield above("another seed: error of the gradients", relative_error(other, found), 0.01)
    for k in range(1, len(blocks)):
        age = np.arange(ticks) - np.asarray(taken[k].written)
        yield below(f"block {k + 1}: age of the oldest sample, ticks", age.max(), depth + 1)
        yield above(f"block {k + 1}: age of the mean one", age.mean(), 1)
        part = Feedforward(s.circuit.sizes[k : k + 2], s.circuit.activation, s.circuit.neuron(k))
        exact = jax.jit(jax.vmap(lambda p, a, v, y, part=part: exact_gradient(part, lambda s, y: classifier(a, s, y), (p,), v, y)[0]))
        own = exact(parameters[k], found_heads[k], taken[k].inputs, taken[k].targets)
        yield equal(f"block {k + 1}: row 35's gradient on its sample", found[k], own)
        when = np.asarray(taken[k].written)
        late = when >= 0
        made = jax.vmap(blocks[k - 1])(parameters[k - 1][when], taken[k - 1].inputs[when])
        yield equal(f"block {k + 1}: its inputs are what the block below made then", taken[k].inputs[late], made[late])
        yield identical(f"block {k + 1}: and the labels belong to them", taken[k].targets[late], taken[k - 1].targets[when][late])


@row(37, "InfoPro", "2.3", estimator="adjoint in blocks", **_parts)
def informed_law(seed: int) -> Iterator[Finding]:
    """With the best decoder of a Gaussian channel the first loss is the information itself; without it, row 35; cut as there."""
    s, blocks, losses, labels, y = classified(seed)
    rng = np.random.default_rng(seed)
    decoders = [rng.normal(size=(6, n)) / np.sqrt(n) for n in s.circuit.sizes[1:]]
    heads = tuple(zip(decoders, labels, strict=True))
    gradient = jax.jit(lambda a, b, y: greedy_gradient(blocks, (informed(a, b),) * len(blocks), s.parameters, heads, s.x, (s.x, y))[0])
    yield from isolation(blocks, (informed(),) * len(blocks), s.parameters, heads, s.x, (s.x, y))
    yield equal("no reconstruction: row 35", gradient(0.0, 1.0, y), greedy_gradient(blocks, losses, s.parameters, labels, s.x, y)[0])
    yield identical("no classifier: the label makes no difference", gradient(1.0, 0.0, y), gradient(1.0, 0.0, jnp.roll(y, 1)))
    n, samples, sigma = 4, 64, 0.5
    white = np.linalg.qr(rng.normal(size=(samples, 2 * n)))[0] * np.sqrt(samples)
    x, h = white[:, :n], white[:, :n] + sigma * white[:, n:]
    unused = jnp.zeros((CLASSES, n)), jnp.zeros(CLASSES)
    loss = jax.jit(lambda d: jax.vmap(lambda h, x: informed(1.0, 0.0)((d, unused[0]), h, (x, unused[1])))(h, x).mean())
    best = jnp.eye(n) / (1 + sigma**2)
    yield below("slope of the loss at the best decoder of x + noise", jnp.abs(jax.grad(loss)(best)).max(), 1e-12)
    yield equal("information from that loss, against the channel's", n / 2 * np.log(n / 2 / loss(best)), n / 2 * np.log(1 + sigma**-2))


@row(
    38,
    "Interlocking backpropagation",
    "2.3",
    estimator="adjoint in windows of blocks",
    circuit="blocks in a chain",
    schedule="greedy, N blocks back",
)
def interlocking_law(seed: int) -> Iterator[Finding]:
    """N = 1 is row 35, N = 2 is Eq. 2 on pairs of blocks, N = K is backprop."""
    s, blocks, losses, heads, y = classified(seed)
    last = len(blocks) - 1
    found = [
        jax.jit(lambda n=n: greedy_gradient(blocks, losses, s.parameters, heads, s.x, y, interlocking(last + 1, n)))()
        for n in range(1, last + 2)
    ]
    yield equal("N = 1: row 35", found[0], greedy_gradient(blocks, losses, s.parameters, heads, s.x, y))
    backprop = exact_gradient(s.circuit, lambda o, y: classifier(heads[-1], o, y), s.parameters, s.x, y)
    yield equal("N = K: backprop", found[last][0], backprop)
    pairs = tuple(chain_gradient(s.circuit, s.parameters, classifier, heads[k], s.x, y, max(k - 1, 0), k)[0] for k in range(1, last + 1))
    yield equal("N = 2: the adjoint of every pair of blocks, by the lower one", found[1][0][:-1], pairs)
    yield above("N = K - 1: error of the first block against backprop", relative_error(found[last - 1][0][0], backprop[0]), 0.01)
    taught = [jax.grad(losses[k])(heads[k], s.circuit.forward(s.parameters, s.x)[k + 1], y) for k in (1, last)]
    yield equal("N = 2: every head learns once from its own loss", [found[1][1][k] for k in (1, last)], taught)


@row(39, "Greedy InfoMax", "2.3", estimator="adjoint in blocks", **_parts)
def infomax_law(seed: int) -> Iterator[Finding]:
    """The scores that fit are the logarithm of the density ratio; the loss then bounds the information between patches."""
    s = systems.tanh_net(seed)
    blocks = [jax.vmap(jax.vmap(b, (None, 0)), (None, 0)) for b in layers(s.circuit)]
    rng, kappa = np.random.default_rng(seed), 4.0
    x = rng.normal(size=(16, 4, 6))
    heads = tuple(jnp.asarray(rng.normal(size=(2, n, n))) for n in s.circuit.sizes[1:])
    yield from isolation(blocks, (info_nce,) * len(blocks), s.parameters, heads, x, None)
    yield equal("scores of nothing: the logarithm of the number of candidates", info_nce(jnp.zeros((2, 6, 6)), x), np.log(16))

    first = rng.uniform(-np.pi, np.pi, (4000, 16))
    turned = np.stack([first, first + rng.vonmises(0, kappa, first.shape)], -1)
    patches = np.stack([np.cos(turned), np.sin(turned)], -1)
    by_scale = jax.jit(jax.vmap(jax.value_and_grad(lambda scale, s: info_nce(scale * jnp.eye(2)[None], s)), (None, 0)))
    loss, slope = by_scale(kappa, patches)
    yield law("directions on a circle, at the scores of their density: slope of the loss", slope, 0)
    wrong = np.asarray(by_scale(1.5 * kappa, patches)[1])
    yield above("at half as much again: standard errors of the slope", wrong.mean() / wrong.std() * np.sqrt(len(wrong)), 6)
    information = float(kappa * i1(kappa) / i0(kappa) - jnp.log(i0(kappa)))
    yield below("log(candidates) less the loss, over the information", (np.log(16) - loss.mean()) / information, 1)
    yield above("and not far below", (np.log(16) - loss.mean()) / information, 0.9)


@row(40, "LoCo", "2.3", estimator="adjoint in windows of blocks", circuit="blocks in a chain", schedule="greedy, overlapping pairs")
def overlapping_law(seed: int) -> Iterator[Finding]:
    """A block in two pairs learns from the sum of both pairs' gradients."""
    s, blocks, losses, heads, y = classified(seed)
    last = len(blocks) - 1
    found = jax.jit(lambda: greedy_gradient(blocks, losses, s.parameters, heads, s.x, y, overlapping(last + 1))[0])()
    pairs = [chain_gradient(s.circuit, s.parameters, classifier, heads[k + 1], s.x, y, k, k + 1) for k in range(last)]
    yield equal("the first block: its only pair", found[0], pairs[0][0])
    yield equal("the last block: its only pair", found[last], pairs[-1][1])
    both = [below[1] + above[0] for below, above in zip(pairs, pairs[1:], strict=False)]
    yield equal("blocks between: the sum of both pairs", list(found[1:-1]), both)
    yield above("and not the upper pair alone", relative_error([p[0] for p in pairs[1:]], both), 0.01)


@row(41, "Block-wise Barlow twins", "2.3", estimator="adjoint in blocks", **_parts)
def barlow_law(seed: int) -> Iterator[Finding]:
    """The loss sees correlations alone: any scale and offset of a unit leaves it as it is; it counts what they miss of 1 and 0."""
    s = systems.tanh_net(seed)
    rng = np.random.default_rng(seed)
    blocks = [jax.vmap(jax.vmap(b, (None, 0)), (None, 0)) for b in layers(s.circuit)]
    x = rng.normal(size=(32, 6)) + 0.3 * rng.normal(size=(2, 32, 6))
    heads = tuple(jnp.asarray(rng.normal(size=(5, n))) for n in s.circuit.sizes[1:])
    yield from isolation(blocks, (barlow_twins(),) * len(blocks), s.parameters, heads, x, None)
    loss = jax.jit(lambda states: barlow_twins()(jnp.eye(6), states))
    scale, offset, u = rng.normal(size=(2, 1, 6)), rng.normal(size=(2, 1, 6)), rng.normal(size=x.shape)
    yield equal("scaled and shifted units", loss(x * np.exp(scale) + offset), loss(x))
    white = np.linalg.qr(np.c_[np.ones(32), rng.normal(size=(32, 6))])[0][:, 1:]
    yield below("units that agree and are not correlated", loss(np.stack([white, white])), 1e-25)
    yield equal("the same in another order: 6 + 6 redundancy", loss(np.stack([white, np.roll(white, 1, 1)])), 6 + 6 * 5e-3)
    rise = (loss(x + 1e-5 * u) - loss(x - 1e-5 * u)) / 2e-5
    yield equal("differences along a direction against the gradient", rise, (jax.grad(loss)(x) * u).sum(), 1e-7)


@row(42, "Forward-Forward", "2.3", estimator="goodness, in closed form", circuit="chain", schedule="two forward passes")
def forward_forward_law(seed: int) -> Iterator[Finding]:
    """The closed form is the local gradient, by differentiation and by complex steps; no layer feels the length or those above."""
    for make in (systems.relu_net, systems.tanh_net):
        s = make(seed)
        blocks, losses = normalising(layers(s.circuit)), (forward_forward(3.0),) * s.circuit.layers
        closed = jax.jit(lambda p, y, s=s: forward_forward_gradient(s.circuit, p, s.x, y, 3.0))
        for y in (1.0, -1.0):
            found = greedy_gradient(blocks, losses, s.parameters, ((),) * len(blocks), s.x, y)[0]
            yield equal(f"{make.__name__}, samples of sign {y:+g}: the local gradient", closed(s.parameters, y), found)
    yield equal("and by complex steps", closed(s.parameters, -1.0), complex_steps(s, blocks, 3.0, -1.0))

    s = systems.relu_net(seed)
    changed = (*s.parameters[:2], *(-w for w in s.parameters[2:]))
    circuit = s.circuit
    found, after = (forward_forward_gradient(circuit, p, s.x, 1.0, 3.0) for p in (s.parameters, changed))
    yield identical("other weights above: the same gradients below", found[:2], after[:2])
    longer = (3 * s.parameters[0], *s.parameters[1:])
    yield equal(
        "first layer three times as long: the same gradients above", forward_forward_gradient(circuit, longer, s.x, 1.0, 3.0)[1:], found[1:]
    )


def complex_steps(s: System, blocks: Sequence[Callable], threshold: float, y: ArrayLike, step: float = 1e-30) -> Array:
    """Every block's gradient of its own loss by imaginary steps of its weights: no difference is rounded."""

    def loss(_, states, y):
        return jnp.log1p(jnp.exp(-y * (jnp.sum(states**2) - threshold)))  # JAX's softplus rounds small imaginary parts away

    found = []
    for k, w in enumerate(s.parameters):

        def moved(i, k=k, w=w):
            p = (*s.parameters[:k], w + 1j * step * jnp.zeros(w.size).at[i].set(1.0).reshape(w.shape))
            return local_objectives(blocks[: k + 1], (loss,) * (k + 1), p, ((),) * (k + 1), s.x, y)[-1].imag / step

        found.append(jax.jit(jax.vmap(moved))(jnp.arange(w.size)).reshape(w.shape))
    return tuple(found)


@row(
    43,
    "Synthetic gradients",
    "2.3",
    estimator=SYNTHETIC,
    circuit="chain",
    update="predictors on bootstrapped targets",
    schedule="no way back",
)
def synthetic_law(seed: int) -> Iterator[Finding]:
    """In a linear net the error is affine in states and label: predictors taught by one another become exact; not without label."""
    n, layers_, samples = 4, 3, 2000
    net = Feedforward((n,) * (layers_ + 1), identity)
    rng = np.random.default_rng(seed)
    parameters = tuple(jnp.asarray(np.linalg.qr(rng.normal(size=(n, n)))[0]) for _ in range(layers_))  # keep states white
    x, y = rng.normal(size=(2, samples, n))

    @partial(jax.jit, static_argnums=0)
    def learned(label):
        states = tuple(net.forward(parameters, x[0])[1:])
        empty = predictors(states, y[0] if label else None)

        def step(made, sample):
            return taught(net, squared_error, parameters, *sample, made, 0.5, label), None

        made = jax.lax.scan(step, empty, (x, y))[0]
        return jax.vmap(lambda x, y: synthetic_gradient(net, squared_error, parameters, x, y, made, label))(x, y)

    exact = jax.jit(jax.vmap(lambda x, y: exact_gradient(net, squared_error, parameters, x, y)))(x, y)
    yield equal(f"with the label: gradients after {samples} samples", learned(True), exact)
    yield above("without: their error", relative_error(learned(False), exact), 0.5)
    state = jax.vmap(lambda x: net.forward(parameters, x)[1])(x)
    error = np.asarray(jax.vmap(lambda x, y: triangular_multipliers(net, squared_error, parameters, x, y)[0])(x, y))

    def missed(known):
        return ((error - known @ np.linalg.lstsq(known, error)[0]) ** 2).sum(1) / (error**2).sum(1).mean()

    yield below("with the label: share of the error that no affine map explains", missed(jax.vmap(features)(state, y)).mean(), 1e-24)
    # error and target are of equal size, and only the state's part is known
    yield law("without", missed(jax.vmap(features)(state)), 0.5)
