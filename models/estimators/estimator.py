"""What an estimator declares: what it needs, what it tends to, and how fast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import numpy as np
from jax import numpy as jnp

from .implicit import exact_gradient


class Unsuitable(ValueError):
    """An estimator on a circuit that lacks what it needs; the message says why and what to use instead."""


class NoFixedPoint(ArithmeticError):
    """A circuit without a fixed point, or whose solver did not find it."""


REMEDIES = {
    "energy": "its Jacobian is not symmetric; use dyads for any connectivity (row 88) or the adjoint (row 21)",
    "chain": "its layers are not a chain; use dyads for any connectivity (row 88) or the adjoint (row 21)",
    "triangular": "no single sweep solves it; use the adjoint (row 21)",
    "analytic": "it has no complex continuation; use a real stencil (rows 51 to 53)",
    "block-exact": "it has no exact block minimum; use another solver (rows 78, 80)",
    "invertible": "its inputs do not follow from its outputs; use checkpoints (row 44)",
    "blocks": "it is not made of circuits in a row; use `Chain` to make one, or a rule for the whole (row 21)",
    "neurons": "its states are no function of a drive that is linear in them; use the adjoint (row 21)",
}


@dataclass(frozen=True)
class Estimator:
    """A gradient estimator and its contract.

    Called as ``estimator(circuit, objective, parameters, x, y, key=None, **settings)``, it refuses what is not
    suitable and returns a gradient shaped like the parameters. ``estimate`` is the same without the checks, a pure
    function that can be jitted and mapped.

    Attributes
    ----------
    row : int
        Of the cookbook.
    name : str
    estimate : callable
    requires : frozenset of str
        Capabilities of the circuit (`circuits.CAPABILITIES`).
    oracle : callable
        ``(circuit, objective, parameters, x, y)`` to the gradient that it tends to.
    target : str
        What that is the gradient of: ``dJ``, ``dJ with H_eff``, ``dH``, ``local`` or ``Gauss-Newton`` (a step, no gradient).
    order : float, optional
        Of the error in the small parameter.
    small : str
        Name of the small parameter, a keyword of `estimate`.
    span : tuple of float
        Its largest value in the acceptance test, which ends at an eighth of it.
    settings : dict
        Defaults of other keywords of `estimate`.
    surrogate : callable, optional
        Called as `estimate`, a scalar whose derivative by the parameters is the estimate: what `batch` then differentiates.
    """

    row: int
    name: str
    estimate: Callable
    requires: frozenset = frozenset()
    oracle: Callable = exact_gradient
    target: str = "dJ"
    order: float | None = None
    small: str = "beta"
    largest: float = 0.1
    settings: dict = field(default_factory=dict)
    surrogate: Callable | None = None

    def __call__(self, circuit, objective, parameters, x, y, key=None, **settings):
        self.check(circuit, parameters, x, y)
        settings = self.settings | settings
        if key is not None:
            settings["key"] = key
        g = self.estimate(circuit, objective, parameters, x, y, **settings)
        if not isinstance(jax.tree.leaves(g)[0], jax.core.Tracer) and not all(np.isfinite(v).all() for v in jax.tree.leaves(g)):
            raise NoFixedPoint(f"row {self.row} ({self.name}): the gradient is not finite, as states did not settle; lower {self.small}, "
                               "take a target that the output can be brought to, "
                               "or check that the circuit has a fixed point (`models.solved` reports its residual)")
        return g

    def batch(self, circuit, objective, parameters, x, y, key=None, **settings):
        """The mean estimate over samples along the leading axis of `x` and `y`; pure, to be jitted by the caller.

        With a surrogate the outer products of all samples are one matrix product.

        Parameters
        ----------
        key : jax.random key, optional
            Split over the samples; of estimators that draw.
        """
        settings = self.settings | settings
        keys = {} if key is None else {"key": jax.random.split(key, len(x))}
        if self.surrogate is None:
            each = jax.vmap(lambda x, y, k: self.estimate(circuit, objective, parameters, x, y, **settings, **k))(x, y, keys)
            return jax.tree.map(lambda g: jnp.mean(g, 0), each)

        def mean(parameters):
            return jnp.mean(jax.vmap(lambda x, y, k: self.surrogate(circuit, objective, parameters, x, y, **settings, **k))(x, y, keys))

        return jax.grad(mean)(parameters)

    def check(self, circuit, parameters, x, y):
        """Refuse a circuit that lacks a capability, numbers that are not finite, and shapes that do not match."""
        if missing := sorted(self.requires - circuit.capabilities):
            reasons = "; ".join(f"{m!r}: {REMEDIES[m]}" for m in missing)
            raise Unsuitable(f"row {self.row} ({self.name}) needs what {type(circuit).__name__} lacks: {reasons}")
        for name, value in (("parameters", parameters), ("x", x), ("y", y)):
            for leaf in jax.tree.leaves(value):
                if not isinstance(leaf, jax.core.Tracer) and not np.isfinite(np.asarray(leaf)).all():
                    raise ValueError(f"row {self.row} ({self.name}): {name} holds numbers that are not finite; mend the data")
        try:
            output = jax.eval_shape(lambda p, x: circuit.output(circuit.start(p, x)), parameters, x)
            jax.eval_shape(lambda p, x: circuit.residual(p, circuit.start(p, x), x), parameters, x)
        except TypeError as error:
            shapes = jax.tree.map(jnp.shape, parameters)
            raise ValueError(f"row {self.row} ({self.name}): parameters {shapes} and x {jnp.shape(x)} do not fit "
                             f"{type(circuit).__name__}: {str(error).splitlines()[0]}") from error
        if jnp.shape(y) != output.shape:
            raise ValueError(f"row {self.row} ({self.name}): y has shape {jnp.shape(y)}; the circuit's output has {output.shape}")


def solved(problem, solver, tolerance=1e-9):
    """The solution of a problem, or an error that reports its residual and the sweeps it took."""
    s = solver(problem)
    if not s.residual <= tolerance:
        raise NoFixedPoint(f"{type(problem.circuit).__name__}: residual {float(s.residual):.1e} after {int(s.sweeps)} sweeps, "
                           f"asked {tolerance:.0e}; a smaller step, more sweeps, or smaller weights may help")
    return s.states
