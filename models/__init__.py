"""The reference: circuits that learn, in float64 JAX (the cookbook grows from here).

Each axis is a module: `circuits` (what constrains the states), `objectives` (what is minimised) and `estimators`
(how a gradient is had). A mixture of any three is a gradient:

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

from .circuits import Feedforward, clip, identity, relu  # noqa: E402
from .estimators import (  # noqa: E402
    Dyads,
    dual_propagation,
    dyads,
    exact_gradient,
    exact_multipliers,
    probes,
    spsa,
    spsa_slopes,
)
from .objectives import cross_entropy, squared_error  # noqa: E402

__all__ = [
    "Dyads", "Feedforward", "clip", "cross_entropy", "dual_propagation", "dyads", "exact_gradient",
    "exact_multipliers", "identity", "probes", "relu", "spsa", "spsa_slopes", "squared_error",
]
