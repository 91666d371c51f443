"""Declarations of an estimator: what it needs, what it tends to, and how fast."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from .. import soundness
from ..kinds import Circuit, Objective, Solver, Tree
from ..precision import in_float64
from ..solvers import REST, Problem, newton, size
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
    "blocks": "it is not made of circuits in a row; use `Chain` to make one, or a rule for the whole (row 21)",
    "neurons": "its states are no function of a drive that is linear in them; use the adjoint (row 21)",
}


EXTRAS = {
    "key": "a random key, such as `jax.random.key(0)`",
    "matrices": "the feedback, an entry per hidden layer, or of neurons that are no chain like the parameters (`estimators.feedback`)",
    "direction": "a guess, like the parameters",
    "predictors": "linear maps to the error signals (`estimators.synthetic.predictors`)",
}
"""Arguments that estimators ask for beyond circuit, objective, parameters, x and y."""


def refuse(called: str, requires: frozenset[str], circuit: Circuit) -> None:
    """Raise `Unsuitable` for a circuit that lacks a capability."""
    if missing := sorted(frozenset(requires) - circuit.capabilities):
        reasons = "; ".join(f"{m!r}: {REMEDIES[m]}" for m in missing)
        name = type(getattr(circuit, "closed", circuit)).__name__  # of a block, not of what opens it (`chains`)
        raise Unsuitable(f"{called} needs what {name} lacks: {reasons}")


def needing(row: int, name: str, *capabilities: str) -> Callable:
    """The check of an `Estimator` for a function of a circuit that is none: an update, or a part of one."""

    def decorate(function):
        @functools.wraps(function)
        def checked(circuit, *args, **keywords):
            refuse(f"row {row} ({name})", capabilities, circuit)
            return function(circuit, *args, **keywords)

        return checked

    return decorate


@in_float64
@dataclass(frozen=True)
class Estimator:
    """A gradient estimator and its contract.

    Called as ``estimator(circuit, objective, parameters, x, y, key=None, **settings)``, it refuses what is not
    suitable and returns a gradient shaped like the parameters. ``estimate`` is the same without the checks, a pure
    function that can be jitted and mapped.

    Attributes
    ----------
    row : int or None
        Of the cookbook; None for one's own.
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
    largest : float
        Its largest value in the acceptance test, which ends at an eighth of it.
    settings : dict
        Defaults of other keywords of `estimate`.
    surrogate : callable, optional
        Called as `estimate`, a scalar whose derivative by the parameters is the estimate: what `batch` then differentiates.
    """

    row: int | None
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

    @property
    def called(self) -> str:
        """Row and name, or the name alone of one's own."""
        return self.name if self.row is None else f"row {self.row} ({self.name})"

    def __call__(self, circuit, objective, parameters, x, y, key=None, **settings):
        self.check(circuit, parameters, x, y)
        settings = self.settings | settings
        if key is not None:
            settings["key"] = key
        self.ask(settings)
        g = self.estimate(circuit, objective, parameters, x, y, **settings)
        known = not any(isinstance(v, jax.core.Tracer) for v in jax.tree.leaves(g))
        if known and not all(np.isfinite(v).all() for v in jax.tree.leaves(g)):
            raise NoFixedPoint(f"{self.called}: {self._unsettled(circuit, parameters, x, settings)}")
        return g

    def ask(self, settings: dict) -> None:
        """Refuse a call with what the estimate does not know, or without what it needs."""
        known = list(inspect.signature(self.estimate).parameters.values())[5:]
        names = [p.name for p in known]
        if (unknown := sorted(set(settings) - set(names))) and not any(p.kind is p.VAR_KEYWORD for p in known):
            raise TypeError(f"{self.called}: {', '.join(unknown)} unknown; there is {', '.join(names) or 'nothing to set'}")
        for p in known:
            if p.default is p.empty and p.kind is not p.VAR_KEYWORD and settings.get(p.name) is None:
                raise TypeError(f"{self.called}: {p.name} is missing; give {EXTRAS.get(p.name, 'it as a keyword')}")
        small = settings.get(self.small)
        if self.order and isinstance(small, int | float) and small == 0:
            raise ValueError(
                f"{self.called}: {self.small} is 0, by which the states' change is divided; take a small one, such as {self.largest:g}"
            )

    def _unsettled(self, circuit, parameters, x, settings) -> str:
        """Why a gradient is not finite: the circuit's own states, or what the estimator makes of them."""
        if "triangular" not in circuit.capabilities:
            states, sweeps, residual = newton()(Problem(circuit, parameters, x))
            if not np.isfinite(size(states)):
                return (
                    f"{type(circuit).__name__} has no fixed point, or none was found: residual {float(residual):.1e} after "
                    f"{int(sweeps)} sweeps, asked {REST:.0e}; take smaller weights, or a smaller step of its relaxation"
                )
        if not self.order:
            return (
                "the circuit's states settle, but the gradient there is not finite; look for a singular Jacobian, "
                "or an objective without a derivative"
            )
        default = inspect.signature(self.estimate).parameters.get(self.small)
        value = settings.get(self.small, default and default.default)
        outside = "; it may lie outside the radius of analyticity" if "analytic" in self.requires else ""
        return (
            f"the circuit's own states settle, those with {self.small} = {value} do not{outside}; lower {self.small}, "
            "or take a target that the output can be brought to"
        )

    def batch(
        self,
        circuit: Circuit,
        objective: Objective,
        parameters: Tree,
        x: ArrayLike,
        y: ArrayLike,
        key: Array | None = None,
        **settings: object,
    ) -> Tree:
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

    def settled(
        self,
        circuit: Circuit,
        objective: Objective,
        parameters: Tree,
        x: ArrayLike,
        y: ArrayLike,
        key: Array | None = None,
        **settings: object,
    ) -> tuple[Tree, Array]:
        """`batch` over the samples that have an estimate, and how many have none, since a solver gives nan for what did not settle.

        They are left out, not replaced: the states of the others are theirs alone. Where all have one it is `batch`, to the same bits.
        """
        g = self.batch(circuit, objective, parameters, x, y, key, **settings)
        if "triangular" in circuit.capabilities:  # nothing there has to settle
            return g, jnp.array(0)

        def without():
            given = self.settings | settings
            keys = {} if key is None else {"key": jax.random.split(key, len(x))}
            each = jax.vmap(lambda x, y, k: self.estimate(circuit, objective, parameters, x, y, **given, **k))(x, y, keys)
            there = jnp.array([jnp.isfinite(v).reshape(len(x), -1).all(1) for v in jax.tree.leaves(each)]).all(0)

            def mean(v):
                return jnp.sum(jnp.where(there.reshape(-1, *[1] * (v.ndim - 1)), v, 0), 0) / jnp.maximum(1, jnp.sum(there))

            return jax.tree.map(mean, each), jnp.sum(~there)

        sound = jnp.array([jnp.isfinite(v).all() for v in jax.tree.leaves(g)]).all()
        return jax.lax.cond(sound, lambda: (g, jnp.array(0)), without)

    def check(self, circuit: Circuit, parameters: Tree, x: ArrayLike, y: ArrayLike) -> None:
        """Refuse a circuit that lacks a capability or is not sound, numbers that are not finite, and shapes that do not match."""
        refuse(self.called, self.requires, circuit)
        for name, value in (("parameters", parameters), ("x", x), ("y", y)):
            for leaf in jax.tree.leaves(value):
                if not isinstance(leaf, jax.core.Tracer) and not np.isfinite(np.asarray(leaf)).all():
                    raise ValueError(f"{self.called}: {name} holds numbers that are not finite; mend the data")
        soundness.hashed(self.called, circuit)
        try:
            output, states, residual, swept, put = jax.eval_shape(functools.partial(_parts, circuit), parameters, x)
        except (TypeError, ValueError, IndexError) as error:
            shapes = jax.tree.map(jnp.shape, parameters)
            raise ValueError(
                f"{self.called}: parameters {shapes} and x {jax.tree.map(jnp.shape, x)} do not fit "
                f"{type(circuit).__name__}: {str(error).splitlines()[0]}"
            ) from error
        for name, found in (("residual", residual), ("relax", swept), ("with_output", put)):
            shapes, wanted = (jax.tree.map(jnp.shape, tree) for tree in (found, states))
            if shapes != wanted:
                raise ValueError(
                    f"{self.called}: {name} of {type(circuit).__name__} gives shapes {shapes}; its states have {wanted}, and so must this"
                )
        if jnp.shape(y) != output.shape:
            raise ValueError(f"{self.called}: y has shape {jnp.shape(y)}; the circuit's output has {output.shape}")
        soundness.once(self.called, circuit, parameters, x)


def _parts(circuit, parameters, x):
    """Return what the members of a circuit give, to see whether their shapes go together."""
    s = circuit.start(parameters, x)
    silence = jax.tree.map(jnp.zeros_like, s)
    o = circuit.output(s)
    return o, s, circuit.residual(parameters, s, x), circuit.relax(parameters, s, x, silence), circuit.with_output(s, o)


@in_float64
def solved(problem: Problem, solver: Solver, tolerance: float = 1e-9) -> Tree:
    """The solution of a problem, or an error that reports its residual and the sweeps it took."""
    s = solver(problem)
    if not s.residual <= tolerance:
        raise NoFixedPoint(
            f"{type(problem.circuit).__name__}: residual {float(s.residual):.1e} after {int(s.sweeps)} sweeps, "
            f"asked {tolerance:.0e}; a smaller step, more sweeps, or smaller weights may help"
        )
    return s.states
