"""The rows of energies once more, in NumPy, as `by_hand` has those of chains: sweeps, stencils and read-outs from the equations."""

from __future__ import annotations

import jax
import numpy as np
from by_hand import Given, cut, miss, surprise


class Net:
    """A layered Hopfield net; `change` is what the parameters' derivative of the energy is at states.

    Parameters
    ----------
    activation : callable
    w : list of arrays
    x : array
        What the first layer sees.
    last : callable, optional
        The outputs' activation; `activation` if none.
    """

    def __init__(self, activation, w, x, last=None):
        self.activations, self.w, self.x = [activation] * (len(w) - 1) + [last or activation], list(w), x

    def start(self):
        return [np.zeros(len(w)) for w in self.w]

    def drive(self, s, k):
        below = self.w[k] @ (s[k - 1] if k else self.x)
        return below + self.w[k + 1].T @ s[k + 1] if k + 1 < len(s) else below

    def sweep(self, s, force=0.0):
        """Every second layer from the output down, after the others; `force` on the output."""
        s, n = list(s), len(s)
        last = range((n - 1) % 2, n, 2)
        for k in [k for k in range(n) if k not in last] + list(last):
            s[k] = self.activations[k](self.drive(s, k) - (force if k == n - 1 else 0))
        return s

    def slopes(self, s):
        return [-np.outer(v, b) for v, b in zip(s, [self.x, *s[:-1]], strict=True)]


class Resistors(Net):
    """A resistive network: `activation` is not used; the first half of the hidden nodes stay at or above 0, the second below."""

    def __init__(self, w, x, gain):
        super().__init__(None, w, gain * np.concatenate([x, -x]))

    def sweep(self, s, force=0.0):
        s, n = list(s), len(s)
        for k in [*range(0, n - 1, 2), *range(1, n - 1, 2), n - 1]:
            current = self.w[k] @ (s[k - 1] if k else self.x) - (force if k == n - 1 else 0)
            total = self.w[k].sum(1)
            if k + 1 < n:
                current, total = current + self.w[k + 1].T @ s[k + 1], total + self.w[k + 1].sum(0)
            v = current / total
            if k + 1 < n:
                half = (len(v) + 1) // 2
                v = np.concatenate([np.maximum(v[:half], 0), np.minimum(v[half:], 0)])
            s[k] = v
        return s

    def slopes(self, s):
        return [(v[:, None] - b) ** 2 / 2 for v, b in zip(s, [self.x, *s[:-1]], strict=True)]


def clipped(g: Given) -> Net:
    return Net(lambda a: np.clip(a, 0, 1), g.w, g.x)


def unbounded(g: Given) -> Net:
    return Net(lambda a: np.clip(a, 0, 1), g.w, g.x, lambda a: a)


def smooth(g: Given) -> Net:
    return Net(np.tanh, g.w, g.x)


def relaxed(net, s, y, beta=0.0, sweeps=12, clamp=None, linear=None):
    """So many sweeps under a nudge by the squared error, or by a force that stays, or with the output clamped."""
    for _ in range(sweeps):
        s = net.sweep(s, beta * (miss(s[-1], y) if linear is None else linear))
        if clamp is not None:
            s = [*s[:-1], clamp]
    return s


STENCILS = {
    "one-sided": lambda b: [(0.0, -1 / b), (b, 1 / b)],
    "centered": lambda b: [(b, 1 / (2 * b)), (-b, -1 / (2 * b))],
    "four points": lambda b: [(b / 2, 4 / (3 * b)), (-b / 2, -4 / (3 * b)), (b, -1 / (6 * b)), (-b, 1 / (6 * b))],
    "circle": lambda b: [(b * 1j**k, 1 / (1j**k * 4 * b)) for k in range(4)],
}


def contrast(net, y, stencil="centered", beta=0.5, sweeps=12, clamp=False, linear=None):
    """Rows 8, 9, 16, 51 to 54, 58, 59 and 77: the sum of the energy's derivatives at nudged states, by weight."""
    free, found = relaxed(net, net.start(), y, 0.0, sweeps, linear=linear), None
    for b, weight in STENCILS[stencil](beta):
        if clamp:
            held = (1 - b) * free[-1] + b * y
            s = relaxed(net, [*free[:-1], held], y, 0.0, sweeps, held)
        else:
            s = relaxed(net, free, y, b, sweeps, linear=linear)
        terms = [(weight * v).real for v in net.slopes(s)]
        found = terms if found is None else [a + v for a, v in zip(found, terms, strict=True)]
    return found


def tied(g: Given, beta=0.5):
    """Row 16: the front learns from the energy's derivative by its features."""
    (front, inner), found = g.w, None
    u = np.tanh(front @ g.x)
    net = Net(np.tanh, inner, u)
    free = relaxed(net, net.start(), g.y)
    for b, weight in STENCILS["centered"](beta):
        s = relaxed(net, free, g.y, b)
        terms = [weight * np.outer((1 - u**2) * -(inner[0].T @ s[0]), g.x), *(weight * v for v in net.slopes(s))]
        found = terms if found is None else [a + v for a, v in zip(found, terms, strict=True)]
    return found


def frequency(g: Given, beta=0.5, steps=4):
    """Row 60: mean and first harmonic of the states, read out by the constraint ``s - clip(drive)``."""
    net = clipped(g)
    free = relaxed(net, net.start(), g.y)
    wave = np.sin(2 * np.pi * np.arange(steps) / steps)
    turn = [relaxed(net, free, g.y, beta * v) for v in wave]
    mean = [np.mean([s[k] for s in turn], 0) for k in range(len(free))]
    first = [2 / (steps * beta) * sum(v * s[k] for v, s in zip(wave, turn, strict=True)) for k in range(len(free))]
    inside = []
    for k in range(len(mean)):
        a = net.drive(mean, k)
        inside.append(((a > 0) & (a < 1)) * first[k])
    found = [-np.outer(e, b) for e, b in zip(inside, [g.x, *mean[:-1]], strict=True)]
    return [v - (np.outer(mean[k], inside[k - 1]) if k else 0) for k, v in enumerate(found)]


def controlled(g: Given, beta=0.5, rate=0.1, leak=1.0):
    """Row 61: a controller of the output moves with the states."""
    net, found = clipped(g), None
    for b, weight in STENCILS["centered"](beta):
        s, u = net.start(), np.zeros(g.y.size)
        for _ in range(12):
            s = net.sweep(s, -u)
            u = u - rate * (leak * u + b * miss(s[-1], g.y))
        terms = [weight * v for v in net.slopes(s)]
        found = terms if found is None else [a + v for a, v in zip(found, terms, strict=True)]
    return found


def continual(g: Given, beta=0.5, rate=5e-4, sweeps=12):
    """Row 64: the weights move at every sweep of the nudged phase."""
    net = unbounded(g)
    s = relaxed(net, net.start(), g.y)
    for _ in range(sweeps):
        new = net.sweep(s, beta * miss(s[-1], g.y))
        steps = [rate / beta * (a - b) for a, b in zip(net.slopes(new), net.slopes(s), strict=True)]
        net.w, s = [w - d for w, d in zip(net.w, steps, strict=True)], new
    return [(a - b) / rate for a, b in zip(g.w, net.w, strict=True)]


def agnostic(g: Given, beta=0.5, epsilon=1e-4):
    """Row 66: the control keeps the weights at minus beta; at plus beta they settle beside it."""
    net = clipped(g)
    s = relaxed(net, net.start(), g.y, -beta)
    control = [w + epsilon * v for w, v in zip(g.w, net.slopes(s), strict=True)]
    for _ in range(12):
        s = net.sweep(s, beta * miss(s[-1], g.y))
        net.w = [c - epsilon * v for c, v in zip(control, net.slopes(s), strict=True)]
    return [(a - b) / epsilon for a, b in zip(g.w, net.w, strict=True)]


def twins(g: Given, beta=0.5):
    """Row 67: both copies start at rest."""
    net = clipped(g)
    up, down = (net.slopes(relaxed(net, net.start(), g.y, b)) for b in (beta, -beta))
    return [(a - b) / (2 * beta) for a, b in zip(up, down, strict=True)]


def mirrored(g: Given, beta=0.5, rate=0.5):
    """Row 78: ``u <- u - rate (u - drive(tanh u))`` until a step is below a thousandth."""
    net = smooth(g)

    def settled(s, b):
        u = [np.arctanh(v) for v in s]
        for _ in range(500):
            s = [np.tanh(v) for v in u]
            force = [0] * (len(s) - 1) + [b * miss(s[-1], g.y)]
            step = [rate * (v - net.drive(s, k) + f) for k, (v, f) in enumerate(zip(u, force, strict=True))]
            u = [v - d for v, d in zip(u, step, strict=True)]
            if max(np.abs(d).max() for d in step) <= 1e-3:
                return [np.tanh(v) for v in u]
        raise ArithmeticError("the states do not settle; take smaller weights")

    free = settled(net.start(), 0.0)
    up, down = (net.slopes(settled(free, b)) for b in (beta, -beta))
    return [(a - b) / (2 * beta) for a, b in zip(up, down, strict=True)]


def handed(net, free, force, beta, sweeps):
    """The centered contrast of a block under a force that stays, and the force on the block below."""
    up, down = (relaxed(net, free, None, b, sweeps, linear=force) for b in (beta, -beta))
    found = [(a - b) / (2 * beta) for a, b in zip(net.slopes(up), net.slopes(down), strict=True)]
    return found, -net.w[0].T @ (up[0] - down[0]) / (2 * beta)


def chained(g: Given, beta=0.1):
    """Row 85: a tanh layer by its derivative below a Hopfield net by nudges."""
    (first,), inner = g.w
    u = np.tanh(first @ g.x)
    net = Net(np.tanh, inner, u)
    free = relaxed(net, net.start(), None, sweeps=600, linear=0.0)
    found, force = handed(net, free, miss(free[-1], g.y), beta, 600)
    return [np.outer((1 - u**2) * force, g.x), *found]


def mixed(g: Given, beta=0.1, directions=64, epsilon=1e-3):
    """Row 86: dyads below, nudges of twelve sweeps between, probes on top."""
    (first,), inner, (last,) = g.w
    u = np.tanh(first @ g.x)
    net = Net(np.tanh, inner, u)
    free = relaxed(net, net.start(), None, linear=0.0)
    top = free[-1]
    force = surprise(last @ top, g.y)
    probed, down = np.zeros(last.shape), np.zeros(top.size)
    for key in jax.random.split(jax.random.fold_in(g.key, 2), directions):
        a, b = cut(np.asarray(jax.random.rademacher(key, (top.size + last.size,), float)), [top, last])
        b = b.reshape(last.shape)
        rise = force @ ((last + epsilon * b) @ (top + epsilon * a) - (last - epsilon * b) @ (top - epsilon * a)) / (2 * epsilon)
        probed, down = probed + rise * b / directions, down + rise * a / directions
    between, force = handed(net, free, down, beta, 12)
    a = first @ g.x
    difference = np.tanh(a - force / 2) - np.tanh(a + force / 2)  # beta 1, alpha a half
    return [np.outer(-difference, g.x), *between, probed]
