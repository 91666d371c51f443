"""The rows on chains of layers once more, in NumPy: from the equations of the paper and its errata, value for value.

Nothing here knows JAX or the library, but for the random draws, which are data. A `Given` is one sample; every function returns the
gradient as the library's estimate has it, in the order of its leaves. `by_hand_states` holds the rows of dyads,
targets and control, `by_hand_energies` those of energies.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np


class Given(NamedTuple):
    """Layers of units, inputs first; parameters as the library has them; one sample; the sample's key, for rows that draw."""

    sizes: tuple
    w: Any
    x: np.ndarray
    y: np.ndarray
    key: Any = None


# Tools --------------------------------------------------------------------------------------------------------


def relu(a):
    return np.where(a.real > 0, a, 0)


def relu_slope(a):
    return np.where(a.real > 0, 1.0, 0.0)


def tanh_slope(a):
    return 1 - np.tanh(a) ** 2


def one(a):
    return np.ones_like(a)


RELU, TANH, LINEAR = (relu, relu_slope), (np.tanh, tanh_slope), (lambda a: a, one)


def softmax(o):
    e = np.exp(o - o.real.max())
    return e / e.sum()


def cross_entropy(o, y):
    return -(y * np.log(softmax(o))).sum()


def surprise(o, y):
    """The derivative of `cross_entropy` by o."""
    return softmax(o) * y.sum() - y


def miss(o, y):
    """The derivative of the squared error by o."""
    return o - y


def jacobian(function, v):
    """Of a vector by a vector, by imaginary steps."""
    return np.stack([function(v + 1e-30j * e).imag / 1e-30 for e in np.eye(v.size)], 1)


def slope(function, arrays):
    """Of a scalar by arrays, by imaginary steps."""
    found = []
    for k, a in enumerate(arrays):
        g = np.zeros(a.size)
        for i in range(a.size):
            step = np.zeros(a.size, complex)
            step[i] = 1e-30j
            g[i] = function([*arrays[:k], a + step.reshape(a.shape), *arrays[k + 1 :]]).imag / 1e-30
        found.append(g.reshape(a.shape))
    return found


def root(function, v):
    """By Newton's method, of a step and its halves the best one."""
    for _ in range(60):
        r = function(v)
        if np.abs(r).max() < 1e-15:
            break
        step = np.linalg.solve(jacobian(function, v), r)
        v = min((v - step * 0.5**n for n in range(7)), key=lambda t: np.abs(function(t)).max())
    return v


def cut(v, like):
    """A vector in pieces of these sizes."""
    return np.split(v, np.cumsum([np.size(p) for p in like])[:-1])


def draws(distribution, key, arrays):
    """Random numbers in the shapes of arrays, in one draw."""
    drawn = np.asarray(distribution(key, (sum(a.size for a in arrays),), float))
    return [d.reshape(a.shape) for d, a in zip(cut(drawn, arrays), arrays, strict=True)]


def kinds(w, hidden):
    """Activation and its slope of every layer, the last one linear."""
    return [hidden] * (len(w) - 1) + [LINEAR]


def forward(w, x, hidden=RELU):
    """States, the input first, and drives."""
    states, drives = [x], []
    for v, (f, _) in zip(w, kinds(w, hidden), strict=True):
        drives.append(v @ states[-1])
        states.append(f(drives[-1]))
    return states, drives


def outer(errors, below):
    return [np.outer(e, s) for e, s in zip(errors, below, strict=True)]


def backwards(w, drives, force, hidden=RELU, feedback=None):
    """The derivative of the cost by every drive; `feedback` in place of the transposed weights."""
    shapes, back = kinds(w, hidden), feedback or [v.T for v in w[1:]]
    errors = [shapes[-1][1](drives[-1]) * force]
    for k in reversed(range(len(w) - 1)):
        errors.insert(0, shapes[k][1](drives[k]) * (back[k] @ errors[0]))
    return errors


# Implicit differentiation and feedback --------------------------------------------------------------------------


def backprop(g, hidden=RELU, feedback=None):
    """Rows 1, 20, 23 and 27."""
    states, drives = forward(g.w, g.x, hidden)
    return outer(backwards(g.w, drives, surprise(states[-1], g.y), hidden, feedback), states[:-1])


def loops(g, terms=None, rate=1.0, sweeps=12):
    """Rows 2, 7, 21 and 22: a series of so many terms, or the adjoint."""
    w, u = g.w
    s = np.zeros(len(w))
    for _ in range(sweeps):
        s = np.tanh(w @ s + u @ g.x)
    f = tanh_slope(w @ s + u @ g.x)
    constraint, force, n = np.eye(len(s)) - f[:, None] * w, np.zeros(len(s)), g.y.size
    force[-n:] = s[-n:] - g.y
    if terms is None:
        error = np.linalg.solve(constraint.T, -force)
    else:
        error = np.zeros(len(s))
        for _ in range(terms):
            error = error - rate * (constraint.T @ error + force)
    return outer([-f * error] * 2, [s, g.x])


def direct(g, matrices):
    """Row 24."""
    states, drives = forward(g.w, g.x)
    force = surprise(states[-1], g.y)
    return outer([relu_slope(a) * (d @ force) for a, d in zip(drives, matrices, strict=False)] + [force], states[:-1])


def signs(g):
    """Row 27."""
    return backprop(g, feedback=[np.where(w < 0, -1, 1).T / np.sqrt(w.shape[1]) for w in g.w[1:]])


def mirror(g):
    """Row 25: a step of rate and decay 1, of noise that each layer draws."""
    w, feedback = g.w
    noise = [np.asarray(jax.random.normal(k, (len(b),))) for k, b in zip(jax.random.split(g.key, len(feedback)), feedback, strict=True)]
    learnt = [np.outer(n, v @ n) for n, v in zip(noise, w[1:], strict=True)]
    return backprop(g._replace(w=w), feedback=feedback) + [b - v for b, v in zip(feedback, learnt, strict=True)]


def kolen_pollack(g, decay=1e-3):
    """Row 26."""
    w, feedback = g.w
    steps = backprop(g._replace(w=w), feedback=feedback)
    return [d + decay * v for d, v in zip(steps, w, strict=True)] + [d.T + decay * b for d, b in zip(steps[1:], feedback, strict=True)]


def perturbed(g, sigma=1e-2):
    """Row 28: the regression of the feedback on noise times the change of the cost, which is odd in the noise."""
    w, feedback = g.w
    states, drives = forward(w, g.x)
    noise = [
        sigma * np.asarray(jax.random.normal(k, (len(b),))) for k, b in zip(jax.random.split(g.key, len(feedback)), feedback, strict=True)
    ]

    def cost(sign):
        s = g.x
        for v, n in zip(w, noise, strict=False):
            s = relu(v @ s) + sign * n
        return cross_entropy(w[-1] @ s, g.y)

    change = (cost(1) - cost(-1)) / 2
    errors = [-e for e in backwards(w, drives, surprise(states[-1], g.y), feedback=feedback)]
    learnt = [np.outer(-n * change / sigma**2 - b @ e, e) for n, b, e in zip(noise, feedback, errors[1:], strict=True)]
    return outer([-e for e in errors], states[:-1]) + [-v for v in learnt]


# Probes ---------------------------------------------------------------------------------------------------------


def spsa(g, directions=16, epsilon=1e-3):
    """Rows 29 and 31: both ways along signs."""
    total = [0 * w for w in g.w]
    for key in jax.random.split(g.key, directions):
        u = draws(jax.random.rademacher, key, g.w)
        up, down = (cross_entropy(forward([w + e * v for w, v in zip(g.w, u, strict=True)], g.x)[0][-1], g.y) for e in (epsilon, -epsilon))
        total = [t + (up - down) / (2 * epsilon) * v / directions for t, v in zip(total, u, strict=True)]
    return total


def tangents(g, directions=16):
    """Row 30: along normal directions, by the exact derivative."""
    exact, total = backprop(g), [0 * w for w in g.w]
    for key in jax.random.split(g.key, directions):
        u = draws(jax.random.normal, key, g.w)
        along = sum((d * v).sum() for d, v in zip(exact, u, strict=True))
        total = [t + along * v / directions for t, v in zip(total, u, strict=True)]
    return total


def nodes(g, directions=16, epsilon=1e-3):
    """Row 32: a force on every state, whose error signal is then read out."""
    states, drives = forward(g.w, g.x)
    error = [np.zeros(len(s)) for s in states[1:]]
    for key in jax.random.split(g.key, directions):
        u = draws(jax.random.normal, key, states[1:])

        def cost(step, u=u):
            s = g.x
            for w, v, (f, _) in zip(g.w, u, kinds(g.w, RELU), strict=True):
                s = f(w @ s) - step * v  # C + step v = 0
            return cross_entropy(s, g.y)

        along = (cost(epsilon) - cost(-epsilon)) / (2 * epsilon)
        error = [e + along * v / directions for e, v in zip(error, u, strict=True)]
    return outer([-f(a) * e for e, a, (_, f) in zip(error, drives, kinds(g.w, RELU), strict=True)], states[:-1])


# Local losses -----------------------------------------------------------------------------------------------------


def greedy(g, reach=1, pairs=False, decoders=False):
    """Rows 35, 37, 38 and 40: the loss at block `last` as blocks `first` to `last` see it; heads learn once."""
    w, heads = g.w
    states, drives = forward(w, g.x)
    shapes, n = kinds(w, RELU), len(w)

    def force(k):
        """By the states of block k."""
        s = states[k + 1]
        if k == n - 1:
            return surprise(s, g.y)
        if decoders:
            decoder, labels = heads[k]
            return -0.1 * decoder.T @ (g.x - decoder @ s) + labels.T @ surprise(labels @ s, g.y)
        return heads[k].T @ surprise(heads[k] @ s, g.y)

    def error(first, last):
        """By the drive of block `first`, of the loss at `last`."""
        e = shapes[last][1](drives[last]) * force(last)
        for k in reversed(range(first, last)):
            e = shapes[k][1](drives[k]) * (w[k + 1].T @ e)
        return e

    if pairs:
        windows = [[(k, j + 1) for j in range(n - 1) if k in (j, j + 1)] for k in range(n)]
    else:
        windows = [[(k, min(k + reach, n) - 1)] for k in range(n)]
    found = [np.outer(sum(error(*v) for v in own), states[k]) for k, own in enumerate(windows)]
    taught = {last for own in windows for _, last in own}
    for k in range(n - 1):
        s, there = states[k + 1], float(k in taught)
        if decoders:
            decoder, labels = heads[k]
            found += [-0.1 * np.outer(g.x - decoder @ s, s), np.outer(surprise(labels @ s, g.y), s)]
        else:
            found.append(there * np.outer(surprise(heads[k] @ s, g.y), s))
    return found


def activity(g, directions=16):
    """Row 34: row 30 in the states of every block."""
    w, heads = g.w
    states, drives = forward(w, g.x)
    errors = [np.zeros(len(s)) for s in states[1:]]
    for key in jax.random.split(g.key, directions):
        for k, own in enumerate(jax.random.split(key, len(w))):
            v, s = np.asarray(jax.random.normal(own, (len(states[k + 1]),), float)), states[k + 1]
            force = surprise(s, g.y) if k == len(w) - 1 else heads[k].T @ surprise(heads[k] @ s, g.y)
            errors[k] = errors[k] + (force @ v) * v / directions
    behind = [f(a) * e for e, a, (_, f) in zip(errors, drives, kinds(w, RELU), strict=True)]
    return outer(behind, states[:-1]) + greedy(g)[len(w) :]


def guided(g):
    """Row 33: the gradient's part along the local losses'."""
    n, own = len(g.w[0]), greedy(g)
    exact = backprop(g._replace(w=g.w[0]))
    share = sum((a * b).sum() for a, b in zip(exact, own, strict=False)) / sum((b * b).sum() for b in own[:n])
    return [share * b for b in own[:n]] + own[n:]


def goodness(g, threshold=2.0):
    """Row 42: real and false labels, every layer by its own goodness, lengths taken off between layers."""
    wrong = np.roll(g.y, int(jax.random.randint(g.key, (), 1, g.y.size)))
    total = [0 * w for w in g.w]
    for label, sign in ((g.y, 1.0), (wrong, -1.0)):
        below = np.concatenate([label * g.x.max(), g.x])
        for k, w in enumerate(g.w):
            below = below / max(np.linalg.norm(below), 1e-12)
            s = relu(w @ below)
            total[k] = total[k] - 2 * sign / (1 + np.exp(sign * (s @ s - threshold))) * np.outer(s, below)
            below = s
    return total


def synthetic(g):
    """Row 43: predictors of the error signals, taught by one another."""
    w, made = g.w
    states, drives = forward(w, g.x)
    slopes = [f(a) for a, (_, f) in zip(drives, kinds(w, RELU), strict=True)]
    seen = [np.concatenate([s, g.y, [1.0]]) for s in states[1:]]
    guess = [m @ f for m, f in zip(made, seen, strict=True)]
    target = [v.T @ (f * e) for v, f, e in zip(w[1:], slopes[1:], guess[1:], strict=True)] + [-surprise(states[-1], g.y)]
    return outer([-f * e for f, e in zip(slopes, guess, strict=True)], states[:-1]) + [
        -np.outer(t - e, f) / (f @ f) for t, e, f in zip(target, guess, seen, strict=True)
    ]


# Updates ----------------------------------------------------------------------------------------------------------


def locoprop(g, strength=1.0, rate=0.1, proximity=1.0, steps=5, over=0.5):
    """Row 79: how far the inner steps take the weights, over minus `over`."""
    states, drives = forward(g.w, g.x)
    slopes, found = backwards(g.w, drives, surprise(states[-1], g.y)), []
    for k, (w, (f, _)) in enumerate(zip(g.w, kinds(g.w, RELU), strict=True)):
        new, target = w, states[k + 1] - strength * slopes[k]
        for _ in range(steps):
            new = new - rate * (np.outer(f(new @ states[k]) - target, states[k]) + (new - w) / proximity)
        found.append((w - new) / over)
    return found


def pseudo_inverse(g, damping=0.1):
    """Row 81: ``J^T (J J^T + damping)^-1`` times the force on the output."""
    states, drives = forward(g.w, g.x)
    rows = np.stack([np.concatenate([v.ravel() for v in outer(backwards(g.w, drives, e), states[:-1])]) for e in np.eye(g.y.size)])
    step = rows.T @ np.linalg.solve(rows @ rows.T + damping * np.eye(len(rows)), surprise(states[-1], g.y))
    return [v.reshape(w.shape) for v, w in zip(cut(step, g.w), g.w, strict=True)]
