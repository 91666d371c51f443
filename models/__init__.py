"""The reference: circuits that learn, in float64 JAX.

Each axis of the cookbook is a module: `circuits` (what constrains the states), `objectives` and `nudges` (what is
minimised and how it enters), `solvers` (how a stationary point is reached), `estimators` (of the gradient),
`schedules` and `updates`. Any mixture of their members is a gradient; `cookbook` holds the paper's, with their laws:

>>> import jax, jax.numpy as jnp
>>> from crossdyad import models
>>> net = models.Feedforward((2, 3, 1), activation=jnp.tanh)
>>> W = net.random_parameters(jax.random.key(0))
>>> g = models.dual_propagation(net, models.squared_error, W, jnp.ones(2), jnp.ones(1), alpha=0.5, beta=0.1)
>>> [w.shape for w in g]
[(3, 2), (1, 3)]

Whatever JAX is set to, they compute in float64 and leave it as it is set. Under a transformation of your own (`jax.jit`, `jax.grad`,
`jax.vmap`), begin that in 64 bits too: `float64`. Activations and objectives alone have the precision of what they are given.
"""

from .circuits import Equilibrium, Feedforward, Hopfield, clip
from .estimators.contrast import contrast
from .estimators.dyads import Dyads, dual_propagation, dyads
from .estimators.estimator import Estimator, NoFixedPoint, Unsuitable, solved
from .estimators.implicit import exact_gradient, triangular_multipliers
from .estimators.probes import probes, spsa, spsa_slopes
from .functions import identity, piecewise, relu
from .objectives import cross_entropy, squared_error, squared_hinge
from .own import from_energy, from_neurons, from_residual
from .precision import float64
from .soundness import check_circuit
from .training import train

__all__ = [
    "Dyads",
    "Equilibrium",
    "Estimator",
    "Feedforward",
    "Hopfield",
    "NoFixedPoint",
    "Unsuitable",
    "check_circuit",
    "clip",
    "contrast",
    "cross_entropy",
    "dual_propagation",
    "dyads",
    "exact_gradient",
    "float64",
    "from_energy",
    "from_neurons",
    "from_residual",
    "identity",
    "piecewise",
    "probes",
    "relu",
    "solved",
    "spsa",
    "spsa_slopes",
    "squared_error",
    "squared_hinge",
    "train",
    "triangular_multipliers",
]
