"""Nets that learn more than their weights (feedback, local classifiers, predictors), so that any optimiser trains both.

Each function here makes of a chain a circuit, its estimate, and whether it wants plain gradient descent: a step that the
other parameters take by a rule of their own is handed over as the gradient that leads to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from ..circuits import Feedforward, LayeredStates
from ..estimators.estimator import Unsuitable
from ..estimators.feedback import feedback_gradient, kolen_pollack, layered, mirror, perturb
from ..estimators.greedy import (
    activity_perturbed,
    classifier,
    forward_forward,
    greedy_gradient,
    informed,
    interlocking,
    layers,
    local_objectives,
    normalised,
    normalising,
    overlapping,
)
from ..estimators.probes import averaged, guided_gradient
from ..estimators.synthetic import features, synthetic_gradient, taught
from ..estimators.targets import (
    difference_reconstruction,
    forward_map,
    local_difference_reconstruction,
    path,
    reconstruction,
    target_propagation,
)
from ..functions import add
from ..kinds import Tree
from ..operators import Dense, Operator, dimensions, size
from ..precision import in_float64

NOISE = 0.1
"""Noise of learners of targets' feedback."""


@in_float64
@dataclass(frozen=True)
class Extended(LayeredStates):
    """A chain whose parameters are the pair (weights, others); its states depend on the weights alone.

    Parameters
    ----------
    chain : Feedforward
    others : callable
        A key to the others.
    """

    chain: Feedforward
    others: Callable
    capabilities = frozenset({"triangular"})

    def random_parameters(self, key: Array) -> Tree:
        """The chain's, and the others."""
        a, b = jax.random.split(key)
        return self.chain.random_parameters(a), self.others(b)

    def forward(self, parameters: Tree, x: ArrayLike) -> Tree:
        """The chain's."""
        return self.chain.forward(parameters[0], x)

    def start(self, parameters: Tree, x: ArrayLike) -> Tree:
        """The chain's."""
        return self.chain.start(parameters[0], x)

    def residual(self, parameters: Tree, s: Tree, x: ArrayLike) -> Tree:
        """The chain's."""
        return self.chain.residual(parameters[0], s, x)

    def relax(self, parameters: Tree, s: Tree, x: ArrayLike, force: Tree) -> Tree:
        """The chain's."""
        return self.chain.relax(parameters[0], s, x, force)


def downwards(chain: Feedforward) -> tuple[Operator, ...]:
    """Operators of feedback to every hidden layer from the layer above."""
    return tuple(a.twin for a in chain.maps[1:])


def from_output(chain: Feedforward) -> tuple[Operator, ...]:
    """Operators of feedback to every hidden layer from the output."""
    return tuple(Dense(chain.maps[-1].outputs, a.outputs) for a in chain.maps[:-1])


def normal(layers: Sequence[Operator], key: Array) -> tuple:
    """Normal weights of variance 1 over what an output sums."""
    return tuple(a.normal(k) for a, k in zip(layers, jax.random.split(key, len(layers)), strict=True))


def to_new(old: Tree, new: Tree) -> Tree:
    """The gradient by which a step of size 1 leads from one to the other."""
    return jax.tree.map(jnp.subtract, old, new)


# Learned feedback: rows 25, 26, 28 ------------------------------------------------------------------------------


def _with_feedback(learn: Callable):
    """A gradient through the feedback as it is, and the feedback's own step."""

    def make(chain):
        def estimate(circuit, objective, parameters, x, y, key):
            weights, feedback = parameters
            g = feedback_gradient(chain, objective, weights, x, y, layered(chain, feedback))
            return learn(chain, objective, weights, feedback, g, x, y, key)

        return Extended(chain, partial(normal, downwards(chain))), estimate, True

    return make


def _mirror(chain, objective, weights, feedback, g, x, y, key):
    above = chain.maps[1:]
    keys = jax.random.split(key, len(feedback))
    noise = tuple(jax.random.normal(k, dimensions(a.inputs)) for k, a in zip(keys, above, strict=True))
    return g, to_new(feedback, mirror(above, feedback, weights[1:], noise, 1.0, 1.0))


def _kolen_pollack(chain, objective, weights, feedback, g, x, y, key, decay=1e-3):
    moved = kolen_pollack(chain, weights, feedback, g, 1.0, decay)
    return tuple(to_new(old, new) for old, new in zip((weights, feedback), moved, strict=True))


def _perturb(chain, objective, weights, feedback, g, x, y, key):
    return g, to_new(feedback, perturb(chain, objective, weights, feedback, x, y, key, rate=1.0))


mirrored, kolen_pollacked, perturbed = map(_with_feedback, (_mirror, _kolen_pollack, _perturb))


# Local losses: rows 33 to 35, 37, 38, 40 ------------------------------------------------------------------------


def _with_heads(gradient: Callable, decoders=False):
    """A linear classifier, and perhaps a decoder, on every hidden layer; the output has the objective itself."""

    def make(chain):
        blocks, hidden = layers(chain), [a.outputs for a in chain.maps[:-1]]
        inputs, classes = chain.maps[0].inputs, chain.maps[-1].outputs

        def heads(key):
            a, b = jax.random.split(key)
            labels = normal([Dense(n, classes) for n in hidden], a)
            return (*(zip(normal([Dense(n, inputs) for n in hidden], b), labels, strict=True) if decoders else labels), ())

        def estimate(circuit, objective, parameters, x, y, key):
            own = informed(0.1, 1.0) if decoders else classifier
            last = (lambda _, s, target: objective(s, target[1])) if decoders else (lambda _, s, y: objective(s, y))
            losses = (own,) * len(hidden) + (last,)
            return gradient(chain, objective, (blocks, losses, *parameters, x, (x, y) if decoders else y), key)

        return Extended(chain, heads), estimate, False

    return make


def _local(chain, objective, given, key, windows=None):
    return greedy_gradient(*given, windows and windows(chain.layers))


def _activity(chain, objective, given, key):
    return averaged(lambda k: activity_perturbed(*given, k)[0], key, 16), greedy_gradient(*given)[1]


def _guided(chain, objective, given, key):
    direction, heads = greedy_gradient(*given)
    _, _, weights, _, x, y = given
    return guided_gradient(chain, objective, weights, x, y, direction), heads


local, perturbed_locally, guided = map(_with_heads, (_local, _activity, _guided))
informed_locally = _with_heads(_local, decoders=True)
interlocked = _with_heads(partial(_local, windows=lambda n: interlocking(n, 2)))
overlapped = _with_heads(partial(_local, windows=overlapping))


# Synthetic gradients: row 43 ------------------------------------------------------------------------------------


def synthesised(chain: Feedforward) -> tuple[Callable, Callable]:
    """Predictors of the error signals, from states and label."""

    def predictors(key):
        y = jnp.zeros(size(chain.maps[-1].outputs))
        units = [size(a.outputs) for a in chain.maps]
        return tuple(jnp.zeros((n, features(jnp.zeros(n), y).size)) for n in units)

    def estimate(circuit, objective, parameters, x, y):
        weights, made = parameters
        return (synthetic_gradient(chain, objective, weights, x, y, made), to_new(made, taught(chain, objective, weights, x, y, made, 1.0)))

    return Extended(chain, predictors), estimate, False


# Targets: rows 69 to 71 -----------------------------------------------------------------------------------------


def _with_targets(loss: Callable, operators: Callable = downwards, activation: Callable | None = None, direct=False, beta=0.1):
    """Targets by linear feedback, before an activation if there is one, which descends a loss of noisy states."""

    def make(chain):
        down = operators(chain)

        def maps(feedback):
            return [(lambda v, a=a, m=m: activation(a(m, v)) if activation else a(m, v)) for a, m in zip(down, feedback, strict=True)]

        def estimate(circuit, objective, parameters, x, y, key):
            weights, feedback = parameters
            states = chain.forward(weights, x)[1:]
            keys = jax.random.split(key, len(feedback))

            def losses(feedback):
                return sum(loss(chain, weights, k, g, states, keys[k]) for k, g in enumerate(maps(feedback))) / NOISE**2

            return target_propagation(chain, objective, weights, x, y, maps(feedback), beta, direct), jax.grad(losses)(feedback)

        return Extended(chain, partial(normal, down)), estimate, False

    return make


def _noise(key, like):
    return NOISE * jax.random.normal(key, like.shape)


def _inverse(chain, weights, k, g, states, key):
    return reconstruction(forward_map(chain, weights, k), g, states[k], _noise(key, states[k]))


def _whole_path(chain, weights, k, g, states, key):
    return difference_reconstruction(path(chain, weights, k), g, states[k], _noise(key, states[k]))


def _transpose(chain, weights, k, g, states, key):
    one, two = jax.random.split(key)
    return local_difference_reconstruction(forward_map(chain, weights, k), g, states[k], _noise(one, states[k]), _noise(two, states[k + 1]))


inverting_targets = _with_targets(_inverse, activation=jax.nn.relu)
direct_targets = _with_targets(_whole_path, from_output, direct=True)
local_targets = _with_targets(_transpose)


# Forward-Forward: row 42 ----------------------------------------------------------------------------------------


@in_float64
@dataclass(frozen=True)
class Goodness(LayeredStates):
    """Forward-Forward's net as a classifier: its output is the goodness of all layers with each label in turn.

    Parameters
    ----------
    net : Feedforward
        Of units between matrices: the first inputs, one per class, are the label's. Of images, over which the label is spread.
    classes : int
    """

    net: Feedforward
    classes: int
    capabilities = frozenset({"triangular"})

    def random_parameters(self, key: Array) -> Tree:
        """The net's."""
        return self.net.random_parameters(key)

    def labelled(self, x: Array, y: Array) -> Array:
        """The label and the sample, of length 1: of units side by side, of images a pattern of signs per class, as strong as the image.

        Weights that all places share see a label where it is alone; so every place has to show it.
        """
        if x.ndim == 1:
            return normalised(jnp.concatenate([y * jnp.max(x), x]))
        return normalised(normalised(x) + normalised(jnp.tensordot(y, patterns(self.classes, x.shape), 1)))

    def start(self, parameters: Tree, x: ArrayLike) -> Tree:
        """Zeros."""
        return (jnp.zeros(self.classes),)

    def goodness(self, parameters: Tree, s: Tree) -> list:
        """The sum of squares of each layer."""
        found = []
        for block, w in zip(normalising(layers(self.net)), parameters, strict=True):
            s = block(w, s)
            found.append(jnp.sum(s * s))
        return found

    def forward(self, parameters: Tree, x: ArrayLike) -> Tree:
        """The goodness, one per class."""
        return [jax.vmap(lambda y: sum(self.goodness(parameters, self.labelled(x, y))))(jnp.eye(self.classes))]

    def residual(self, parameters: Tree, s: Tree, x: ArrayLike) -> Tree:
        """Zero at the goodness."""
        return (s[0] - self.forward(parameters, x)[0],)

    def relax(self, parameters: Tree, s: Tree, x: ArrayLike, force: Tree) -> Tree:
        """The goodness."""
        return add(tuple(self.forward(parameters, x)), force, -1.0)


def patterns(classes: int, shape: tuple[int, ...]) -> np.ndarray:
    """Signs all over an image of this shape that stand for each class, always the same: (classes, *shape)."""
    return np.random.default_rng(0).choice([-1.0, 1.0], (classes, *shape))


def forward_forward_net(chain: Feedforward, threshold: float = 2.0) -> tuple[Callable, Callable]:
    """The hidden layers of a chain and one more of the size of the last, on samples with labels, right and wrong."""
    inputs, hidden, classes = chain.maps[0].inputs, chain.maps[:-1], size(chain.maps[-1].outputs)
    if isinstance(inputs, int):
        sizes = (inputs + classes, *(a.outputs for a in hidden), hidden[-1].outputs)
    elif np.linalg.matrix_rank(patterns(classes, inputs).reshape(classes, -1)) < classes:
        raise Unsuitable(
            f"row 42 (Forward-Forward) shows the label all over the image: {size(inputs)} pixels are few for {classes} classes"
        )
    else:
        sizes = (*hidden, size(hidden[-1].outputs))
    net = Feedforward(sizes, chain.activation, chain.activation)
    blocks, losses = normalising(layers(net)), (forward_forward(threshold),) * net.layers

    def estimate(circuit, objective, parameters, x, y, key):
        wrong = jnp.roll(y, jax.random.randint(key, (), 1, classes))

        def surprise(parameters: Any):
            return sum(
                local_objectives(blocks, losses, parameters, ((),) * len(blocks), circuit.labelled(x, label), sign).sum()
                for label, sign in ((y, 1.0), (wrong, -1.0))
            )

        return jax.grad(surprise)(parameters)

    return Goodness(net, classes), estimate, False
