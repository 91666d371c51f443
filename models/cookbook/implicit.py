"""Rows 1 to 7 and 20 to 22: implicit differentiation and its identities."""

from __future__ import annotations

import jax
from jax.flatten_util import ravel_pytree

from ..estimators.estimator import Estimator
from ..estimators.implicit import cost, exact_gradient
from . import systems
from .findings import below, relative_error
from .row import row

ADJOINT = Estimator(21, "adjoint", exact_gradient)


def differences(system: systems.System, step: float = 1e-5):
    """The gradient of `cost` by central differences, entry by entry: knows nothing of derivatives."""
    circuit, objective, parameters, x, y = system
    point, shape = ravel_pytree(parameters)

    @jax.jit
    def moved(i, by):
        return cost(circuit, objective, shape(point.at[i].add(by)), x, y)

    index = jax.numpy.arange(point.size)
    up, down = (jax.vmap(moved, (0, None))(index, by) for by in (step, -step))
    return shape((up - down) / (2 * step))


@row(1, "Learning at equilibrium (P1)", "1, Eq. 1", estimator=ADJOINT, circuit="any", solver="Newton")
def equilibrium_law(seed):
    """The gradient of the cost at the solution, by differences, is the adjoint's, on four circuits."""
    for make in (systems.tanh_net, systems.relu_net, systems.hopfield, systems.equilibrium):
        s = make(seed)
        yield below(f"{make.__name__.replace('_', ' ')}: adjoint against differences",
                    relative_error(differences(s), exact_gradient(*s)), 1e-8)
