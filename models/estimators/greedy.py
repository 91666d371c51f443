"""Greedy learning: blocks with losses of their own, between which no error signal passes (section 2.3; rows 34 to 42).

A block is a function ``block(parameters_k, s_below) -> s_k``, of one sample or of a batch where its loss compares
samples; a local loss is ``loss(head_k, s_k, y)`` with parameters of its own. `layers` makes blocks of a chain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from ..kinds import Circuit, Tree
from ..objectives import cross_entropy
from ..operators import inner
from ..precision import in_float64
from .probes import gaussian

stop = jax.lax.stop_gradient


def layers(circuit: Circuit) -> tuple:
    """The layers of a chain as blocks."""
    return tuple(partial(circuit.layer, k) for k in range(circuit.layers))


class Window(NamedTuple):
    """Blocks `first` to `last`: the loss at the last one is seen by those in `learning`, and by nothing below the first."""

    first: int
    last: int
    learning: tuple[int, ...]


def isolated(blocks: int) -> tuple[Window, ...]:
    """Every block learns from its own loss (row 35)."""
    return interlocking(blocks, 1)


def interlocking(blocks: int, reach: int) -> tuple[Window, ...]:
    """Every block learns from the loss `reach` - 1 blocks above, or the last one: 1 is isolated, all is backprop (row 38)."""
    return tuple(Window(k, min(k + reach, blocks) - 1, (k,)) for k in range(blocks))


def overlapping(blocks: int) -> tuple[Window, ...]:
    """Pairs of neighbours learn from the loss at the upper: those in between are in two pairs (row 40)."""
    return tuple(Window(k, k + 1, (k, k + 1)) for k in range(blocks - 1))


@in_float64
def local_objectives(
    blocks: Sequence,
    losses: Sequence[Callable],
    parameters: Sequence[Tree],
    heads: Sequence[Tree],
    x: ArrayLike,
    y: Tree,
    windows: Sequence[Window] | None = None,
) -> Array:
    """The losses of all windows, a vector; derivatives reach only what learns from them.

    Parameters
    ----------
    blocks, losses : sequences of callables
        See the module.
    parameters, heads : sequences of pytrees
        Of the blocks and of the losses.
    y : pytree
        What every loss is given beside the block's states.
    windows : sequence of Window, optional
        `isolated` ones by default. Several that end at one loss teach its head once.
    """
    below = [x]
    for block, p in zip(blocks, parameters, strict=True):
        below.append(stop(block(p, below[-1])))
    found, taught = [], set()
    for window in windows or isolated(len(blocks)):
        s = below[window.first]
        for k in range(window.first, window.last + 1):
            s = blocks[k](parameters[k] if k in window.learning else stop(parameters[k]), s)
        head = heads[window.last]
        found.append(losses[window.last](stop(head) if window.last in taught else head, s, y))
        taught.add(window.last)
    return jnp.stack(found)


@in_float64
def greedy_gradient(
    blocks: Sequence,
    losses: Sequence[Callable],
    parameters: Sequence[Tree],
    heads: Sequence[Tree],
    x: ArrayLike,
    y: Tree,
    windows: Sequence[Window] | None = None,
) -> tuple:
    """The gradients of blocks and heads by `local_objectives`: rows 35, 37 to 42 by blocks, losses and windows."""
    return jax.grad(lambda p, h: local_objectives(blocks, losses, p, h, x, y, windows).sum(), (0, 1))(parameters, heads)


@in_float64
def activity_perturbed(
    blocks: Sequence,
    losses: Sequence[Callable],
    parameters: Sequence[Tree],
    heads: Sequence[Tree],
    x: ArrayLike,
    y: Tree,
    key: Array,
    draw: Callable[[Array, Tree], Tree] = gaussian,
) -> tuple[tuple, tuple]:
    """Forward gradients inside isolated blocks: every block's error along a direction of its own states (row 34).

    The variance of a block's error signal depends on its own number of states alone.

    Returns
    -------
    tuple
        The gradients of all blocks, and their estimated error signals.
    """
    gradients, errors, s = [], [], x
    for block, loss, p, head, k in zip(blocks, losses, parameters, heads, jax.random.split(key, len(blocks)), strict=True):
        s, transposed = jax.vjp(lambda p, s=s, block=block: block(p, s), p)
        v = draw(k, s)
        slope = jax.jvp(lambda s, loss=loss, head=head: loss(head, s, y), (s,), (v,))[1]
        errors.append(-slope * v)
        gradients.append(transposed(slope * v)[0])
    return tuple(gradients), tuple(errors)


class Buffer(NamedTuple):
    """Queue of a block: inputs and targets on a leading axis, and the tick at which each was written."""

    inputs: jax.Array
    targets: jax.Array
    written: jax.Array


@in_float64
def buffers(blocks: Sequence, parameters: Tree, x: ArrayLike, y: Tree, depth: int) -> tuple[Buffer, ...]:
    """Buffers for all blocks but the first, filled with one sample as of tick -1."""
    made, s = [], x
    for block, p in zip(blocks[:-1], parameters, strict=False):
        s = block(p, s)
        made.append(Buffer(*(jax.tree.map(lambda v: jnp.stack([v] * depth), t) for t in (s, y)), jnp.full(depth, -1)))
    return tuple(made)


@in_float64
def decoupled_tick(
    blocks: Sequence,
    losses: Sequence[Callable],
    parameters: Tree,
    heads: Sequence[Tree],
    buffered: Sequence[Buffer],
    x: ArrayLike,
    y: Tree,
    tick: ArrayLike,
    key: Array,
) -> tuple[tuple, tuple, tuple, tuple]:
    """One tick of all blocks at once, each on a sample that waits in its buffer: nobody waits for anybody (row 36).

    The first block works on the new sample. Every other draws one from its buffer, at random; what each makes of its
    sample is then written over the oldest entry of the next buffer.

    Returns
    -------
    tuple
        Gradients of blocks and heads, the new buffers, and for every block its Buffer entry: what it learned from.
    """
    taken = [Buffer(x, y, jnp.asarray(tick))]
    for b, k in zip(buffered, jax.random.split(key, len(blocks) - 1), strict=True):
        at = jax.random.randint(k, (), 0, b.written.shape[0])
        taken.append(jax.tree.map(lambda v, at=at: v[at], b))
    gradients, new = [], []
    for k, (block, loss, entry) in enumerate(zip(blocks, losses, taken, strict=True)):
        one = greedy_gradient((block,), (loss,), (parameters[k],), (heads[k],), entry.inputs, entry.targets)
        gradients.append((one[0][0], one[1][0]))
        if k < len(buffered):
            made = Buffer(block(parameters[k], entry.inputs), entry.targets, jnp.asarray(tick))
            oldest = jnp.argmin(buffered[k].written)
            new.append(jax.tree.map(lambda v, w, at=oldest: v.at[at].set(w), buffered[k], made))
    return *(tuple(g) for g in zip(*gradients, strict=True)), tuple(new), tuple(taken)


def classifier(head: Array, s: Array, y: ArrayLike) -> Array:
    """Cross-entropy of a linear classifier on the block's states, ``y`` a distribution (row 35)."""
    return cross_entropy(head @ s.reshape(-1), y)


def similarity(head: Array, s: Array, y: Array) -> Array:
    """``|S(head s) - S(y)|^2`` over a batch, S the cosines between samples: similarity matching (row 35).

    Parameters
    ----------
    s : array (samples, units)
    y : array (samples, classes)
    """

    def cosines(v):
        v = v - v.mean(1, keepdims=True)
        v = v / jnp.linalg.norm(v, axis=1, keepdims=True)
        return v @ v.T

    return ((cosines(s @ head.T) - cosines(y)) ** 2).sum()


def informed(reconstruct: float = 1.0, classify: float = 1.0) -> Callable:
    """A loss that keeps information: ``reconstruct |x - D s|^2 / 2 + classify CE(A s, y)`` (row 37).

    Bounds of ``-I(s, x)`` and ``-I(s, y)`` but for constants. Its head is ``(D, A)``, its target ``(x, y)``.
    """

    def loss(head, s, target):
        decoder, labels = head
        x, y = target
        return reconstruct * ((x.reshape(-1) - decoder @ s.reshape(-1)) ** 2).sum() / 2 + classify * classifier(labels, s, y)

    return loss


def info_nce(head: Array, s: Array, y: None = None) -> Array:
    """``-log softmax_j(s_(j, t + d) M_d s_(i, t))`` of ``j = i``, the mean over samples, patches and distances d (row 39).

    ``log(samples)`` less this is a lower bound of the information between the patches, and itself at most ``log(samples)``.

    Parameters
    ----------
    head : array (distances, units, units)
        ``M_d`` for d = 1, 2, ..
    s : array (samples, patches, units)
        The same patch of the other samples is the negatives; units may be an image.
    y
        Not used: there are no labels.
    """
    s, losses = s.reshape(*s.shape[:2], -1), []
    for d, m in enumerate(head, 1):
        scores = jnp.einsum("jtu,uv,itv->tij", s[:, d:], m, s[:, :-d])
        losses.append(-jnp.diagonal(jax.nn.log_softmax(scores, axis=2), axis1=1, axis2=2).ravel())
    return jnp.concatenate(losses).mean()


def barlow_twins(redundancy: float = 5e-3) -> Callable:
    """``sum_i (1 - C_ii)^2 + redundancy sum_(i != j) C_ij^2``, C the correlations between units of two views (row 41).

    The loss takes a projection (features, units) as its head and states (2, samples, units); units may be an image.
    """

    def loss(head, s, y=None):
        a, b = ((v - v.mean(0)) / v.std(0) for v in s.reshape(*s.shape[:2], -1) @ head.T)
        c = a.T @ b / len(a)
        own = jnp.diagonal(c)
        return ((1 - own) ** 2).sum() + redundancy * ((c**2).sum() - (own**2).sum())

    return loss


def normalising(blocks: Sequence) -> tuple:
    """Blocks that see only the direction of the states below: their length, the goodness there, would tell them the answer."""
    return (blocks[0], *(lambda p, s, block=block: block(p, normalised(s)) for block in blocks[1:]))


def normalised(s: Array) -> Array:
    """``s / |s|``."""
    return s / jnp.maximum(jnp.linalg.norm(s.reshape(-1)), 1e-12)


def forward_forward(threshold: float) -> Callable:
    """``softplus(-y (goodness - threshold))``, goodness ``sum s^2``, y 1 for real samples and -1 for false ones (row 42)."""

    def loss(head, s, y):
        return jax.nn.softplus(-y * (jnp.sum(s * s) - threshold))

    return loss


@in_float64
def forward_forward_gradient(circuit: Circuit, parameters: Tree, x: ArrayLike, y: ArrayLike, threshold: float) -> tuple:
    """The gradient of `forward_forward` in `normalising` layers of a chain, in closed form: no backward pass (row 42).

    ``-y sigma(-y (goodness - threshold)) 2 (s f') below^T``: one scalar per layer and what is at the synapse.
    """
    gradients, below = [], x
    for k, w in enumerate(parameters):
        a = circuit.maps[k](w, below)
        s, slope = jax.jvp(circuit.neuron(k), (a,), (jnp.ones_like(a),))
        surprise = jax.nn.sigmoid(-y * (inner(s, s) - threshold))
        gradients.append(jax.tree.map(lambda c, p=-2 * y * surprise: p * c, circuit.maps[k].correlated(w, below, s * slope)))
        below = normalised(s)
    return tuple(gradients)


def contrastive(temperature: float = 0.1) -> Callable:
    """``-log softmax_j(cos(a_i, b_j) / temperature)`` of ``j = i``, both views' means: each sample is to be told from the others (row 40).

    The loss takes a projection (features, units) as its head and states (2, samples, units); those of the same view are candidates, too.
    Units may be an image.
    """

    def loss(head, s, y=None):
        both = s.reshape(2 * s.shape[1], -1) @ head.T
        both = both / jnp.linalg.norm(both, axis=1, keepdims=True)
        scores = both @ both.T / temperature - 1e9 * jnp.eye(len(both))
        own = jnp.roll(jnp.arange(len(both)), len(both) // 2)
        return -jnp.take_along_axis(jax.nn.log_softmax(scores, axis=1), own[:, None], 1).mean()

    return loss
