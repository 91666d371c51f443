"""Updates of a batch: any optax transformation, or an update of one's own, looked at before it is compiled."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax import numpy as jnp

from .kinds import Batch, Tree, Update
from .precision import in_float64

if TYPE_CHECKING:
    import optax

ASKED = "an optax transformation, or an object with `init(parameters)` and `apply(gradient, state, parameters, batch)`"


@in_float64
@dataclass(frozen=True)
class Transformed:
    """An optax transformation as an update."""

    of: optax.GradientTransformation

    def init(self, parameters: Tree) -> Tree:
        """The transformation's."""
        return self.of.init(parameters)

    def apply(self, gradient: Tree, state: Tree, parameters: Tree, batch: Batch) -> tuple[Tree, Tree]:
        """The parameters and what optax adds to them."""
        import optax  # slow to import: only who trains a reference waits for it

        change, state = self.of.update(gradient, state, parameters)
        return optax.apply_updates(parameters, change), state


def update_of(given: Any) -> Update:
    """Return an update as it is, and an optax transformation as one.

    Raises
    ------
    ValueError
        For anything else.
    """
    if inspect.isclass(given):
        raise ValueError(f"update {called(given)}: a class; give an object of it, {called(given)}(..)")
    if not callable(getattr(given, "init", None)):
        raise ValueError(f"update {called(given)}: no `init`; give {ASKED}")
    if callable(getattr(given, "apply", None)):
        return given
    if callable(getattr(given, "update", None)):
        return Transformed(given)
    raise ValueError(f"update {called(given)}: no `apply`; give {ASKED}")


def from_rate(function: Callable[[float], Any], rate: float) -> Update:
    """Return the update that a function makes of a rate.

    Raises
    ------
    ValueError
        For what is no such function, its own error, and what `update_of` refuses.
    """
    if not callable(function):
        raise ValueError(f"update {called(function)}: no function of the rate; give one that returns {ASKED}")
    return update_of(_tried(called(function), f"at rate {rate:g}", function, rate))


def called(update: Any) -> str:
    """Return what an update is called in a message."""
    return "of optax" if isinstance(update, Transformed) else getattr(update, "__name__", type(update).__name__)


@in_float64
def begun(update: Update, parameters: Tree, batch: Batch) -> Tree:
    """Return the state that an update begins with, if what it gives is shaped like what it takes.

    Raises
    ------
    ValueError
        Names the update and what it gives that is wrong: no pair, another tree, other shapes or types, no numbers; or its own error.
    """
    name = called(update)
    state = _tried(name, "init", update.init, parameters)
    try:
        state = jax.tree.map(jnp.asarray, state)
        kinds = [v.dtype for v in jax.tree.leaves(state)]
    except TypeError:
        kinds = [None]
    if not all(kind is not None and (jnp.issubdtype(kind, jnp.number) or kind is np.dtype(bool)) for kind in kinds):
        raise ValueError(f"update {name}: init gives {state!r:.60}; give a pytree of numbers or arrays, `()` for none")

    def once(gradient, state, parameters, x, y):
        return update.apply(gradient, state, parameters, batch._replace(x=x, y=y))

    given = _tried(name, "apply", lambda *arrays: jax.eval_shape(once, *arrays), parameters, state, parameters, batch.x, batch.y)
    if not (isinstance(given, tuple) and len(given) == 2):
        raise ValueError(f"update {name}: apply gives {type(given).__name__}; give the pair of new parameters and new state")
    for what, new, old in (("parameters", given[0], parameters), ("a state", given[1], state)):
        if (found := _shapes(new)) != (asked := _shapes(old)):
            raise ValueError(
                f"update {name}: apply gives {what} of {_text(found)}, not of {_text(asked)}; give the same tree, shapes and types"
            )
    return state


@in_float64
def projected(project: Callable, parameters: Tree) -> None:
    """Refuse a projection that gives anything but parameters."""
    if (found := _shapes(jax.eval_shape(project, parameters))) != (asked := _shapes(parameters)):
        raise ValueError(f"project: gives parameters of {_text(found)}, not of {_text(asked)}; give the same tree, shapes and types")


def _tried(name: str, member: str, function: Callable, *given: Tree) -> Any:
    try:
        return function(*given)
    except Exception as error:  # of somebody's function, whatever it does
        said = str(error).partition("\n")[0]
        raise ValueError(f"update {name}: {member}: {type(error).__name__}: {said}") from error


def _shapes(tree: Tree) -> tuple:
    """Structure, and number type and shape of every leaf."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, [f"{v.dtype} {v.shape}" if hasattr(v, "dtype") else type(v).__name__ for v in leaves]


def _text(shapes: tuple) -> str:
    structure, leaves = shapes
    return str(jax.tree.unflatten(structure, leaves)).replace("'", "")
