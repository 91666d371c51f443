"""The reference: circuits that learn, in float64 JAX.

Each axis of the cookbook is a module: `circuits` (what constrains the states), `objectives` and `nudges` (what is
minimised and how it enters), `solvers` (how a stationary point is reached), `estimators` (how a gradient is had),
`schedules` and `updates`. Any mixture of their members is a gradient; `cookbook` holds the paper's, with their laws:

>>> import jax, jax.numpy as jnp
>>> from crossdyad import models
>>> net = models.Feedforward((2, 3, 1), activation=jnp.tanh)
>>> W = net.random_parameters(jax.random.key(0))
>>> g = models.dual_propagation(net, models.squared_error, W, jnp.ones(2), jnp.ones(1), alpha=0.5, beta=0.1)
>>> [w.shape for w in g]
[(3, 2), (1, 3)]
"""

import jax

jax.config.update("jax_enable_x64", True)     # the reference is float64 throughout

from .circuits import Equilibrium, Feedforward, Hopfield, clip, from_energy, from_residual, identity, relu  # noqa: E402
from .estimators.contrast import contrast  # noqa: E402
from .estimators.dyads import Dyads, dual_propagation, dyads  # noqa: E402
from .estimators.estimator import Estimator, NoFixedPoint, Unsuitable, solved  # noqa: E402
from .estimators.implicit import exact_gradient, triangular_multipliers  # noqa: E402
from .estimators.probes import probes, spsa, spsa_slopes  # noqa: E402
from .objectives import cross_entropy, squared_error  # noqa: E402
from .training import train  # noqa: E402

__all__ = [
    "Dyads", "Equilibrium", "Estimator", "Feedforward", "Hopfield", "NoFixedPoint", "Unsuitable", "clip", "contrast",
    "cross_entropy", "dual_propagation", "dyads", "exact_gradient", "from_energy", "from_residual", "identity", "probes",
    "relu", "solved", "spsa", "spsa_slopes", "squared_error", "train", "triangular_multipliers",
]
