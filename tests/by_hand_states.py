"""The rows of dyads, targets, coding and control once more, in NumPy, as `by_hand` has those of gradients and probes."""

from __future__ import annotations

import jax
import numpy as np
from by_hand import RELU, TANH, cut, forward, jacobian, kinds, outer, relu, root, slope, surprise, tanh_slope

# Dyads, targets, coding -------------------------------------------------------------------------------------------


def dyads(g, alpha=0.5, beta=1.0, sweeps=2, adversarial=False, odd_and_even=False, hidden=RELU):
    """Rows 56, 57 and 87."""
    n, fs = len(g.w), [f for f, _ in kinds(g.w, hidden)]
    plus, minus = (alpha, 1 - alpha) if adversarial else (1 - alpha, alpha)
    mean, difference = [np.zeros(len(w)) for w in g.w], [np.zeros(len(w)) for w in g.w]

    def update(k):
        a = g.w[k] @ (mean[k - 1] if k else g.x)
        if k == n - 1:
            v = -beta * surprise(fs[k](a), g.y)
        else:
            v = g.w[k + 1].T @ difference[k + 1]
        up, down = fs[k](a + plus * v), fs[k](a - minus * v)
        mean[k], difference[k] = alpha * up + (1 - alpha) * down, up - down

    for sweep in range(sweeps):
        if odd_and_even:
            order = range(sweep % 2, n, 2)
        else:
            order = reversed(range(n - 1)) if sweep % 2 else range(n)
        for k in order:
            update(k)
    return outer([-d / beta for d in difference], [g.x, *mean[:-1]])


def anywhere(g, alpha=0.5, beta=1.0, hidden=RELU):
    """Row 88, at the fixed point."""
    fs, mean, difference = [f for f, _ in kinds(g.w, hidden)], *([np.zeros(len(w)) for w in g.w] for _ in range(2))
    for _ in range(400):
        drives = [w @ s for w, s in zip(g.w, [g.x, *mean[:-1]], strict=True)]
        v = [w.T @ d for w, d in zip(g.w[1:], difference[1:], strict=True)] + [-beta * surprise(drives[-1], g.y)]
        up, down = ([f(a + share * e) for f, a, e in zip(fs, drives, v, strict=True)] for share in (1 - alpha, -alpha))
        mean, difference = (
            [alpha * p + (1 - alpha) * m for p, m in zip(up, down, strict=True)],
            [p - m for p, m in zip(up, down, strict=True)],
        )
    return outer([-d / beta for d in difference], [g.x, *mean[:-1]])


def stored(g, beta=0.1):
    """Row 13: Eq. 13 with the forward states."""
    states, drives = forward(g.w, g.x)
    v, found = -beta * surprise(states[-1], g.y), []
    for k, (f, _) in reversed(list(enumerate(kinds(g.w, RELU)))):
        d = f(drives[k] + v / 2) - f(drives[k] - v / 2)
        found.insert(0, np.outer(-d / beta, states[k]))
        v = g.w[k].T @ d
    return found


def mismatches(w, s, x, hidden):
    """``s - f(W s_below)`` of every layer, and the slopes there."""
    drives = [v @ b for v, b in zip(w, [x, *s[:-1]], strict=True)]
    shapes = kinds(w, hidden)
    return [v - f(a) for v, a, (f, _) in zip(s, drives, shapes, strict=True)], [d(a) for a, (_, d) in zip(drives, shapes, strict=True)]


def coding(g, beta=0.1, hidden=RELU, steps=None):
    """Rows 14 and 68: the stationary point of half the squared mismatch plus beta times the cost; of MAC so many Newton steps."""
    like = [np.zeros(len(w)) for w in g.w]

    def residual(v):
        s = cut(v, like)
        e, f = mismatches(g.w, s, g.x, hidden)
        back = [w.T @ (d * c) for w, d, c in zip(g.w[1:], f[1:], e[1:], strict=True)] + [-beta * surprise(s[-1], g.y)]
        return np.concatenate([c - b for c, b in zip(e, back, strict=True)])

    v = np.concatenate(forward(g.w, g.x, hidden)[0][1:])
    if steps is None:
        v = root(residual, v)
    else:
        for _ in range(steps):
            v = v - np.linalg.solve(jacobian(residual, v), residual(v))
    s = cut(v, like)
    e, f = mismatches(g.w, s, g.x, hidden)
    return outer([-d * c / beta for d, c in zip(f, e, strict=True)], [g.x, *s[:-1]])


def lifted(g, beta=0.1):
    """Row 15: ``G'(s) - a + W^T (f(a_above) - s_above)`` at rest under the nudge."""
    like, fs = [np.zeros(len(w)) for w in g.w], [f for f, _ in kinds(g.w, TANH)]

    def residual(v):
        s = cut(v, like)
        drives = [w @ b for w, b in zip(g.w, [g.x, *s[:-1]], strict=True)]
        inverse = [np.arctanh(v) for v in s[:-1]] + [s[-1]]
        above = [w.T @ (f(a) - v) for w, f, a, v in zip(g.w[1:], fs[1:], drives[1:], s[1:], strict=True)]
        return np.concatenate([i - a + e for i, a, e in zip(inverse, drives, [*above, beta * surprise(s[-1], g.y)], strict=True)])

    s = cut(root(residual, np.concatenate(forward(g.w, g.x, TANH)[0][1:])), like)
    below = [g.x, *s[:-1]]
    return outer([(f(w @ b) - v) / beta for f, w, b, v in zip(fs, g.w, below, s, strict=True)], below)


def microcircuit(g, beta=0.1, gain=1.0, feedback=None, interneurons=None, hidden=RELU):
    """Row 72, at the fixed point."""
    fs, back, inner = [f for f, _ in kinds(g.w, hidden)], feedback or g.w, interneurons or g.w
    s = psi = [np.zeros(len(w)) for w in g.w]
    for _ in range(400):
        below = [g.x, *s[:-1]]
        drives = [w @ b for w, b in zip(g.w, below, strict=True)]
        apical = [gain * w.T @ (a - b) for w, a, b in zip(back[1:], s[1:], psi[1:], strict=True)] + [-beta * surprise(drives[-1], g.y)]
        s, psi = (
            [f(a + e) for f, a, e in zip(fs, drives, apical, strict=True)],
            [f(w @ b) for f, w, b in zip(fs, inner, below, strict=True)],
        )
    return outer([-(a - b) / beta for a, b in zip(s, psi, strict=True)], [g.x, *s[:-1]])


def deep_control(g, beta=0.1, feedback=None, leak=0.0):
    """Row 74, of tanh units: drives under a control of the output that goes to its target, at rest."""
    states, drives = forward(g.w, g.x, TANH)
    n, like = g.y.size, drives
    target = drives[-1] - beta * surprise(drives[-1], g.y)

    def drift(v):
        v = cut(v, like)
        return np.concatenate([a - w @ b for a, w, b in zip(v, g.w, [g.x, *map(np.tanh, v[:-1])], strict=True)])

    free = np.concatenate(drives)
    if feedback is None:
        feedback = np.linalg.solve(jacobian(drift, free).T, np.eye(free.size)[:, -n:])
    else:
        feedback = np.concatenate(feedback)

    def residual(z):
        v, u = z[:-n], z[-n:]
        return np.concatenate([drift(v) - feedback @ u, v[-n:] - target + leak * u])

    v = cut(root(residual, np.concatenate([free, np.zeros(n)]))[:-n], like)
    rates = [*map(np.tanh, v[:-1]), v[-1]]
    below = [g.x, *rates[:-1]]
    errors = [r - f(w @ b) for r, (f, _), w, b in zip(rates, kinds(g.w, TANH), g.w, below, strict=True)]
    return outer([-e / beta for e in errors], below)


def least_action(g, beta=0.1, duration=6.0, step=0.5, start=None):
    """Row 84, of tanh units, the input at rest: Heun's steps of ``dz/dt = -H^-1 slope``, then the mismatch read out."""
    like = [np.zeros(len(w)) for w in g.w]

    def errors(v):
        z = cut(v, like)
        rates = [*map(np.tanh, z[:-1]), z[-1]]
        return z, rates, [a - w @ b for a, w, b in zip(z, g.w, [g.x, *rates[:-1]], strict=True)]

    def force(v):
        z, rates, e = errors(v)
        back = [tanh_slope(a) * (w.T @ c) for a, w, c in zip(z, g.w[1:], e[1:], strict=False)] + [-beta * surprise(rates[-1], g.y)]
        return np.concatenate([c - b for c, b in zip(e, back, strict=True)])

    def field(v):
        return -np.linalg.solve(jacobian(force, v), force(v))

    v = np.concatenate(start or like)
    for _ in range(round(duration / step)):
        first = field(v)
        v = v + step / 2 * (first + field(v + step * first))
    _, rates, e = errors(v)
    return outer([-c / beta for c in e], [g.x, *rates[:-1]])


def targets(g, kind, beta=0.1, noise=0.1):
    """Rows 69 (``inverse``), 70 (``path``) and 71 (``transpose``): targets by linear feedback, and its loss of one noisy state."""
    w, feedback = g.w
    states, drives = forward(w, g.x)
    after = relu if kind == "inverse" else lambda a: a
    changes = [-beta * surprise(states[-1], g.y)]
    for k in reversed(range(len(feedback))):
        above, change = (states[-1], changes[-1]) if kind == "path" else (states[k + 2], changes[0])
        changes.insert(0, after(feedback[k] @ (above + change)) - after(feedback[k] @ above))
    learnt = [-f(a) * c / beta for f, a, c in zip([f for _, f in kinds(w, RELU)], drives, changes, strict=True)]

    def layer(k, s):
        return relu(w[k] @ s) if k < len(w) - 1 else w[k] @ s

    def loss(matrices):
        total = 0
        for k, (m, key) in enumerate(zip(matrices, jax.random.split(g.key, len(matrices)), strict=True)):
            s, one_key, two = states[k + 1], *jax.random.split(key)
            if kind == "transpose":
                d, over = (noise * np.asarray(jax.random.normal(q, v.shape)) for q, v in ((one_key, s), (two, states[k + 2])))
                total = total - 2 * d @ (m @ (layer(k + 1, s + d) - states[k + 2])) + ((m @ over) ** 2).sum()
                continue
            d = noise * np.asarray(jax.random.normal(key, s.shape))
            o = s + d
            for j in range(k + 1, len(w) if kind == "path" else k + 2):
                o = layer(j, o)
            back = m @ (o - states[-1]) - d if kind == "path" else after(m @ o) - s - d
            total = total + (back**2).sum()
        return total / noise**2

    return outer(learnt, states[:-1]) + slope(loss, feedback)
