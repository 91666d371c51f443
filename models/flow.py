"""Flow: states that follow a differential equation, by diffrax."""

from __future__ import annotations

from collections.abc import Callable

import diffrax
import jax
from jax import numpy as jnp
from jax.typing import ArrayLike

from .kinds import Tree
from .precision import in_float64


@in_float64
def flow(field: Callable, start: Tree, duration: float, step: float, arguments: Tree = None, times: ArrayLike | None = None) -> Tree:
    """Integrate ``field(t, state, arguments)`` from time 0 by steps of constant size (Heun, order 2).

    Parameters
    ----------
    start : pytree
        The state at time 0; complex ones too.
    times : array, optional
        When to report, at most `duration`.

    Returns
    -------
    pytree like `start`
        The state at `duration`, or with a leading axis at `times`.
    """
    if any(jnp.iscomplexobj(v) for v in jax.tree.leaves(start)):
        # diffrax does not vouch for complex numbers: it integrates both parts
        def parts(state):
            return jax.tree.map(jnp.real, state), jax.tree.map(jnp.imag, state)

        def whole(state):
            return jax.tree.map(lambda a, b: a + 1j * b, *state)

        return whole(flow(lambda t, state, a: parts(field(t, whole(state), a)), parts(start), duration, step, arguments, times))
    save = diffrax.SaveAt(t1=True) if times is None else diffrax.SaveAt(ts=times)
    states = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        diffrax.Heun(),
        0.0,
        duration,
        step,
        start,
        arguments,
        saveat=save,
        max_steps=None,
        adjoint=diffrax.ForwardMode(),
    ).ys
    return states if times is not None else jax.tree.map(lambda v: v[0], states)
