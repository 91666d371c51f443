"""Rows 23 to 28: feedback operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from ...data import load
from ..circuits import Feedforward
from ..estimators.estimator import Estimator
from ..estimators.feedback import (
    broadcast,
    carried_back,
    concordant_parameters,
    direct,
    feedback_gradient,
    feedback_multipliers,
    kolen_pollack,
    layered,
    mirror,
    perturb,
    signs,
    transposes,
)
from ..estimators.implicit import exact_gradient
from ..functions import add, identity
from ..kinds import Circuit, Tree
from ..objectives import cross_entropy, squared_error
from ..operators import Dense
from . import systems
from .findings import Finding, above, angle, below, equal, identical, law, relative_error
from .row import row

BATCH, RATE = 10, 0.2
NET = Feedforward((64, 64, 64, 10), jnp.tanh)


def concordant(circuit: Circuit, parameters: Tree) -> Callable:
    """The operator that follows the signs of the weights."""
    return layered(circuit, signs(circuit, parameters))


def _estimate(operator):
    """Estimate by `operator` for layers of a chain, by the feedback's own parameters or from the output for other neurons."""

    def estimate(circuit, objective, parameters, x, y, matrices):
        if "chain" in circuit.capabilities:
            return feedback_gradient(circuit, objective, parameters, x, y, operator(circuit, matrices))
        if operator is direct:
            return feedback_gradient(circuit, objective, parameters, x, y, broadcast(circuit, matrices))
        back = carried_back(circuit, matrices, circuit.start(parameters, x), x)  # the drive is affine: any states do
        return feedback_gradient(circuit, objective, parameters, x, y, back)

    return jax.jit(estimate, static_argnums=(0, 1))


def _concordant_estimate(circuit, objective, parameters, x, y):
    if "chain" in circuit.capabilities:
        return feedback_gradient(circuit, objective, parameters, x, y, concordant(circuit, parameters))
    back = carried_back(circuit, concordant_parameters(parameters), circuit.start(parameters, x), x)
    return feedback_gradient(circuit, objective, parameters, x, y, back)


_needs = frozenset({"neurons"})
ALIGNED = Estimator(23, "feedback alignment", _estimate(layered), _needs)
DIRECT = Estimator(24, "direct feedback alignment", _estimate(direct), _needs)
MIRRORED = Estimator(25, "feedback of a weight mirror", _estimate(layered), _needs)
KOLEN_POLLACK = Estimator(26, "feedback learned as the weights", _estimate(layered), _needs)
CONCORDANT = Estimator(27, "sign-concordant feedback", _concordant_estimate, _needs)
PERTURBED = Estimator(28, "feedback learned by perturbation", _estimate(layered), _needs)


def random_matrices(rng: np.random.Generator, to_output: bool = False) -> tuple:
    """Feedback matrices of the hidden layers of `NET`, as large as its weights."""
    shapes = [(n, NET.sizes[-1] if to_output else m) for n, m in zip(NET.sizes[1:], NET.sizes[2:], strict=False)]
    return tuple(jnp.asarray(rng.normal(size=s) / np.sqrt(s[0])) for s in shapes)


def digits(seed: int) -> tuple:
    """Images and labels to train on, in batches of an epoch, and those to test on."""
    data = load("digits")
    order = np.random.default_rng(seed).permutation(len(data.x_train))[: len(data.x_train) // BATCH * BATCH]
    labels = np.eye(10)
    return data.x_train[order].reshape(-1, BATCH, 64), labels[data.y_train[order]].reshape(-1, BATCH, 10), data.x_test, data.y_test


@partial(jax.jit, static_argnums=(0, 6))
def train(
    operator: Callable,
    parameters: Tree,
    matrices: Sequence[Array],
    images: Array,
    labels: Array,
    epochs: int = 1,
    decay: float | None = None,
) -> Tree:
    """Weights and feedback after some epochs; with a `decay` the feedback learns too, without matrices it follows the weights."""

    def step(carry, batch):
        parameters, matrices = carry
        feedback = operator(NET, parameters if matrices is None else matrices)
        g = jax.vmap(lambda x, y: feedback_gradient(NET, cross_entropy, parameters, x, y, feedback))(*batch)
        g = jax.tree.map(lambda v: v.mean(0), g)
        if decay is not None:
            return kolen_pollack(NET, parameters, matrices, g, RATE, decay), None
        return (add(parameters, g, -RATE), matrices), None

    def epoch(_, carry):
        return jax.lax.scan(step, carry, (images, labels))[0]

    return jax.lax.fori_loop(0, epochs, epoch, (parameters, matrices))


@partial(jax.jit, static_argnums=0)
def hidden_errors(operator: Callable, parameters: Tree, matrices: Sequence[Tree], x: ArrayLike, y: ArrayLike) -> list[Array]:
    """Error signals behind the activations of the hidden layers, of samples."""

    def errors(x, y):
        states = tuple(NET.forward(parameters, x)[1:])
        error = feedback_multipliers(NET, cross_entropy, parameters, x, y, states, operator(NET, matrices))
        return [e * (1 - s * s) for e, s in zip(error[:-1], states[:-1], strict=True)]

    return jax.vmap(errors)(x, y)


def angles(operator: Callable, parameters: Tree, matrices: Sequence[Tree], x: ArrayLike, y: ArrayLike) -> float:
    """The largest angle, of any hidden layer, between its error signals and backprop's over the samples, in degrees."""
    y = np.eye(10)[y]
    found = hidden_errors(operator, parameters, matrices, x, y)
    exact = hidden_errors(layered, parameters, transposes(NET, parameters), x, y)
    return max(angle(a, b) for a, b in zip(found, exact, strict=True))


def accuracy(parameters: Tree, x: ArrayLike, y: np.ndarray) -> float:
    """Share of samples whose largest output is the label's."""
    outputs = jax.vmap(lambda v: NET.forward(parameters, v)[-1])(x)
    return float((np.asarray(outputs).argmax(1) == y).mean())


def alignment(operator: Callable, to_output: bool, seed: int) -> Iterator[Finding]:
    """Findings of fixed feedback: the angle of the errors after training with it, and without."""
    images, labels, x, y = digits(seed)
    rng = np.random.default_rng(seed)
    own, *others = (random_matrices(rng, to_output) for _ in range(10))
    parameters, _ = train(operator, NET.random_parameters(jax.random.key(seed)), own, images, labels)
    learned = angles(operator, parameters, own, x, y)
    yield below("after an epoch of digits: angle of the errors to backprop's, worst layer, degrees", learned, 90)
    least = min(angles(operator, parameters, other, x, y) for other in others)
    yield above("the least angle of nine feedbacks that were not trained with, beyond that", least - learned, 0)
    parameters, _ = train(operator, parameters, own, images, labels, 29)
    yield above("after 30 epochs: accuracy on the test images", accuracy(parameters, x, y), 0.96)


@row(23, "Feedback alignment", "2.2", estimator=ALIGNED, circuit="chain of neurons", schedule="forward, backward")
def alignment_law(seed: int) -> Iterator[Finding]:
    """The forward weights turn towards the fixed feedback, and no other; with transposed weights it is Eq. 2, with loops as well."""
    exact = jax.jit(exact_gradient, static_argnums=(0, 1))
    s, loop = systems.tanh_net(seed), systems.equilibrium(seed)
    transposed = ALIGNED(*s, matrices=transposes(s.circuit, s.parameters))
    yield equal("chain, with transposed weights: the adjoint's gradient", transposed, exact(*s))
    back = jax.jit(lambda p, x, y: feedback_gradient(*loop[:2], p, x, y, lambda _, driven: (p[0].T @ driven[0],)))
    yield equal("deep equilibrium, with transposed weights: the adjoint's gradient", back(*loop[2:]), exact(*loop))
    yield from alignment(layered, False, seed)


@row(24, "Direct feedback alignment", "2.2", estimator=DIRECT, circuit="chain of neurons", schedule="forward, backward at once")
def direct_law(seed: int) -> Iterator[Finding]:
    """No layer's error waits for another's: feedback of feedback is nothing; and the weights turn towards it."""
    rng = np.random.default_rng(seed)
    matrices = random_matrices(rng, to_output=True), random_matrices(rng)
    error, other = (tuple(rng.normal(size=n) for n in NET.sizes[1:]) for _ in range(2))
    hidden = (*other[:-1], error[-1])
    yield identical("other errors of the hidden layers make no difference", *(direct(NET, matrices[0])(e, e) for e in (error, hidden)))
    s = systems.tanh_net(seed)
    given = tuple(jnp.asarray(rng.normal(size=(n, 3))) for n in s.circuit.sizes[1:-1])
    states = [np.asarray(v) for v in s.circuit.forward(s.parameters, s.x)]
    miss = states[-1] - s.y
    own = [np.outer((1 - v * v) * (d @ miss), b) for d, v, b in zip(given, states[1:-1], states[:-2], strict=True)]
    yield equal("gradients by hand, each layer by its own matrix", list(DIRECT(*s, matrices=given)), [*own, np.outer(miss, states[-2])])
    yield above("layered feedback: they do", relative_error(*(layered(NET, matrices[1])(e, e) for e in (error, hidden))), 0.1)
    yield from alignment(direct, True, seed)


@row(25, "Weight mirror", "2.2", estimator=MIRRORED, circuit="chain of neurons", update="noise phase")
def mirror_law(seed: int) -> Iterator[Finding]:
    """Mean and spread of the feedback after t steps, both exact: it goes to sigma^2 W^T where rate and decay are equal."""
    m, n, sigma, decay, steps = 3, 5, 0.5, 1e-3, 10000
    weights = jax.random.normal(jax.random.key(seed), (m, n))

    @jax.jit
    def run(key):
        def step(feedback, key):
            noise = sigma * jax.random.normal(key, (n,))
            return mirror((Dense(n, m),), (feedback,), (weights,), (noise,), decay, decay)[0], None

        return jax.lax.scan(step, jnp.zeros((n, m)), jax.random.split(key, steps))[0]

    found = np.asarray(jax.vmap(run)(jax.random.split(jax.random.key(seed + 1), 64)))
    square, mean = float((weights**2).sum()), sigma**2 * (1 - (1 - decay) ** steps) * np.asarray(weights.T)
    yield law("feedback along W^T, over W's square", (found * weights.T).sum((1, 2)) / square, sigma**2 * (1 - (1 - decay) ** steps))
    spread = decay**2 * sigma**4 * (n + 1) * (1 - (1 - decay) ** (2 * steps)) / (1 - (1 - decay) ** 2)
    yield law("its variance, over W's square", ((found - mean) ** 2).sum((1, 2)) / square, spread)
    yield below("angle of one to W^T, degrees", angle(found[0], weights.T), 6)


@row(26, "Kolen-Pollack", "2.2", estimator=KOLEN_POLLACK, circuit="chain of neurons", update="one delta for weights and feedback")
def kolen_pollack_law(seed: int) -> Iterator[Finding]:
    """``W - B^T`` shrinks by exactly ``1 - decay`` a step, whatever is learned meanwhile."""
    images, labels, x, y = digits(seed)
    decay, epochs = 5e-4, 30
    start = NET.random_parameters(jax.random.key(seed)), random_matrices(np.random.default_rng(seed))
    parameters, matrices = train(layered, *start, images, labels, epochs, decay)
    gap = [add(transposes(NET, w), b, -1.0) for w, b in (start, (parameters, matrices))]
    steps = epochs * len(images)
    yield equal(f"W - B^T after {steps} steps, against the law", gap[1], jax.tree.map(lambda v: (1 - decay) ** steps * v, gap[0]))
    yield above("what the weights themselves moved meanwhile, over their size", relative_error(parameters, start[0]), 0.1)
    yield above("angle of the errors before, worst layer, degrees", angles(layered, *start, x, y), 80)
    yield below("after 30 epochs of digits", angles(layered, parameters, matrices, x, y), 15)
    yield above("accuracy on the test images", accuracy(parameters, x, y), 0.96)


@row(27, "Sign-concordant feedback", "2.2", estimator=CONCORDANT, circuit="chain of neurons", schedule="forward, backward")
def concordant_law(seed: int) -> Iterator[Finding]:
    """One bit per weight is enough for errors within 90 degrees, in every layer and throughout training."""
    images, labels, x, y = digits(seed)
    start = NET.random_parameters(jax.random.key(seed))
    rng = np.random.default_rng(seed)
    scaled = jax.tree.map(lambda w: w * rng.exponential(size=w.shape), start)
    yield identical("other weights of the same signs: the same feedback", signs(NET, scaled), signs(NET, start))
    for when, parameters in (("before", start), ("after an epoch", train(concordant, start, None, images, labels)[0])):
        inner = [jnp.sqrt(w.shape[1]) * (b * w.T).sum() for w, b in zip(parameters[1:], signs(NET, parameters), strict=True)]
        yield equal(f"{when}: inner product with W^T is the sum of magnitudes", inner, [jnp.abs(w).sum() for w in parameters[1:]])
        found = angles(layered, parameters, signs(NET, parameters), x, y)
        yield below(f"{when}: angle of the errors to backprop's, worst layer, degrees", found, 90)
        flipped = [jax.tree.map(lambda b: b * rng.choice([-1.0, 1.0], b.shape), signs(NET, parameters)) for _ in range(9)]
        yield above(
            f"{when}: the least angle of nine random signs, beyond that",
            min(angles(layered, parameters, b, x, y) for b in flipped) - found,
            20,
        )


@row(28, "Feedback learned by perturbation", "2.2, erratum E2", estimator=PERTURBED, circuit="chain of neurons", update="regression")
def perturbed_law(seed: int) -> Iterator[Finding]:
    """In a linear net the squared distance to W^T after t steps is exact: a variance that falls as 1 / t."""
    net, delay = Feedforward((4, 5, 3), identity), 30
    _, n, m = net.sizes
    parameters = net.random_parameters(jax.random.key(seed))
    weights = parameters[1]

    @jax.jit
    def distances(key):
        def step(feedback, at):
            rate, key = at
            a, b, c = jax.random.split(key, 3)
            x = jax.random.normal(a, (4,))
            y = net.forward(parameters, x)[-1] + jax.random.normal(b, (m,))  # errors of unit variance
            feedback = perturb(net, squared_error, parameters, feedback, x, y, c, 0.1, rate)
            return feedback, ((feedback[0] - weights.T) ** 2).sum() / (weights**2).sum()

        return jax.lax.scan(step, (jnp.zeros((n, m)),), (rates, jax.random.split(key, rates.size)))[1]

    rates, expected = 1 / np.arange(delay + 1, delay + 2001), [1.0]
    for rate in rates:
        expected.append(expected[-1] * (1 - 2 * rate + (m + 2) * rate**2) + rate**2 * (n + 1) * (m + 2))
    samples = np.asarray(jax.vmap(distances)(jax.random.split(jax.random.key(seed + 1), 100)))
    for steps in (200, 2000):
        yield law(f"squared distance to W^T after {steps} steps, over W's square", samples[:, steps - 1], expected[steps])
