"""Updates of one's own, for the reference: `crossdyad train --reference 57 --update examples/updates.py:Majority`."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jax import numpy as jnp

from crossdyad.models.kinds import Batch, Tree


@dataclass(frozen=True)
class Majority:
    """Steps of one size along the sign of a running mean of gradients: what a cell can do that takes a pulse up or down.

    Parameters
    ----------
    rate : float
        Size of a step.
    memory : float
        Of the running mean.
    """

    rate: float
    memory: float = 0.9

    def init(self, parameters: Tree) -> Tree:
        """No gradient so far."""
        return jax.tree.map(jnp.zeros_like, parameters)

    def apply(self, gradient: Tree, state: Tree, parameters: Tree, batch: Batch) -> tuple[Tree, Tree]:
        """One pulse for every weight."""
        mean = jax.tree.map(lambda m, g: self.memory * m + (1 - self.memory) * g, state, gradient)
        return jax.tree.map(lambda w, m: w - self.rate * jnp.sign(m), parameters, mean), mean
