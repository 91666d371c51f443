"""Boltzmann machines by sampling: spins that turn at random, as p-bits do (section 3.1; row 10).

Spins are -1 or 1; parameters are those of `energies.spin_energy`.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from .kinds import Tree
from .precision import in_float64


@in_float64
def joined(parameters: Tree) -> tuple[Array, Array]:
    """Return what the energy sees: the symmetric part of the couplings without their diagonal, and the fields."""
    w, b = parameters
    w = (w + w.T) / 2
    return w - jnp.diag(jnp.diag(w)), b


@in_float64
def gibbs(
    parameters: Tree, spins: Array, key: Array, groups: Sequence[ArrayLike], sweeps: int = 1, temperature: ArrayLike = 1.0
) -> tuple[Array, Array]:
    """Sweeps of Gibbs sampling: ``p(s_i = 1) = 1 / (1 + exp(-2 drive_i / temperature))``, group after group.

    Parameters
    ----------
    spins : array (..., n)
        Chains to go on from.
    groups : sequence of arrays of indices
        Spins that turn at once, so no two of a group may be coupled; what is in no group is held.
    temperature : float
        That of the energy ``E / temperature``.

    Returns
    -------
    tuple
        The chains, and the sum over sweeps of each spin, for means.
    """
    w, b = joined(parameters)
    groups = [jnp.asarray(g) for g in groups]

    def sweep(carry, key):
        s, total = carry
        for g, k in zip(groups, jax.random.split(key, len(groups)), strict=True):
            drive = s @ w[:, g] + b[g]
            up = jax.random.uniform(k, drive.shape) < jax.nn.sigmoid(2 * drive / temperature)
            s = s.at[..., g].set(jnp.where(up, 1.0, -1.0))
        return (s, total + s), None

    return jax.lax.scan(sweep, (spins, jnp.zeros_like(spins)), jax.random.split(key, sweeps))[0]


def pulls(spins: Array) -> Tree:
    """The mean over chains of the energy's derivative by couplings and fields."""
    s = spins.reshape(-1, spins.shape[-1])
    w = -(s.T @ s) / (2 * len(s))
    return w - jnp.diag(jnp.diag(w)), -s.mean(0)


@in_float64
def sampled_contrast(held: Array, free: Array, temperature: ArrayLike = 1.0) -> Tree:
    """``(<dE>_held - <dE>_free) / temperature`` of chains: in the mean over chains at rest `energies.boltzmann_contrast` (row 10).

    Parameters
    ----------
    held, free : arrays (chains, n)
        Spins with the visible ones held, and all free.
    """
    return jax.tree.map(lambda a, b: (a - b) / temperature, pulls(held), pulls(free))
