"""Rows 17 and 18: circuits that can be run backwards."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp

from ..invertible import Coupling, inverting_feedback, pseudo_inverse
from .findings import Finding, above, below, equal, identical, slope, within
from .row import row

CHANNELS = 6


def there_and_back(coupling: Coupling, blocks: int, seed: int) -> tuple[Array, Array, Array]:
    """A random input, and what comes back through so many blocks."""
    rng = np.random.default_rng(seed)
    weights = jnp.asarray(rng.normal(size=(blocks, 2, CHANNELS, CHANNELS)) / np.sqrt(CHANNELS))
    x = rng.normal(size=2 * CHANNELS)
    x = jnp.asarray(np.round(x / coupling.grid) * coupling.grid if coupling.grid else x)

    @jax.jit
    def run(x):
        far = jax.lax.scan(lambda s, w: (coupling.forward(w, s), None), x, weights)[0]
        return far, jax.lax.scan(lambda s, w: (coupling.inverse(w, s), None), far, weights[::-1])[0]

    return (x, *run(x))


@row(17, "Reversible two-stream block", "2.3, Eq. 7, erratum E4", circuit="reversible blocks in a chain", solver="forward, inverse")
def reversible_law(seed: int) -> Iterator[Finding]:
    """Inputs follow from outputs: to rounding in floats, exactly in fixed point; not at all as printed."""
    x, far, back = there_and_back(Coupling(), 50, seed)
    yield below("50 blocks in floats: largest error of the inverse", np.abs(back - x).max(), 1e-12)
    x, far, back = there_and_back(Coupling(grid=2.0**-8), 200, seed)
    yield identical("200 blocks in fixed point", back, x)
    yield above("and the way was long: distance of the far end", np.linalg.norm(far - x), 1)
    x, _, back = there_and_back(Coupling(printed=True), 1, seed)
    yield above("one block, both halves reading the old state, as printed: error", np.abs(back - x).max(), 0.01)


@row(18, "Self-invertible circuit", "4", circuit="layers with inverting feedback")
def invertible_law(seed: int) -> Iterator[Finding]:
    """Its feedback undoes a layer on the row space, and is Moore and Penrose's inverse; damped it tends to it at first order."""
    rng = np.random.default_rng(seed)
    w, u = jnp.asarray(rng.normal(size=(4, 6)) / 3), jnp.asarray(rng.normal(size=6))
    g = inverting_feedback(w, jnp.arctanh)
    back, p = g(jnp.tanh(w @ u)), pseudo_inverse(w)
    projected = jnp.linalg.lstsq(w, w @ u)[0]
    yield equal("feedback of the layer's output: the input on the row space", back, projected)
    yield equal("once more through: the same output", jnp.tanh(w @ back), jnp.tanh(w @ u))
    identities = (
        ("W P W = W", w @ p @ w, w),
        ("P W P = P", p @ w @ p, p),
        ("W P symmetric", w @ p, (w @ p).T),
        ("P W symmetric", p @ w, (p @ w).T),
    )
    for what, a, b in identities:
        yield equal(what, a, b)
    yield slope("damped, in the damping", lambda c: pseudo_inverse(w, c), p, 1, 1e-3)
    yield above("the transpose instead of the inverse: error", np.linalg.norm(w.T @ jnp.arctanh(jnp.tanh(w @ u)) - projected), 0.1)
    yield within("rank of the way there and back", np.linalg.matrix_rank(p @ w), 4, 0)
