"""Findings: what a check of the cookbook measured, against what was expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from ..estimators.estimator import Estimator, Unsuitable
from ..kinds import Tree
from ..precision import in_float64

if TYPE_CHECKING:
    from .systems import System


class Finding(NamedTuple):
    """One measured property.

    Attributes
    ----------
    what : str
        The property, in a few words.
    measured : float
    expected : str
        What it should be, in words and numbers.
    passed : bool
    """

    what: str
    measured: float
    expected: str
    passed: bool


def flat(tree: Tree) -> np.ndarray:
    """A pytree as one vector."""
    return np.asarray(ravel_pytree(tree)[0])


def relative_error(estimate: Tree, exact: Tree) -> float:
    """``|estimate - exact| / |exact|`` over all leaves."""
    e = flat(exact)
    return float(np.linalg.norm(flat(estimate) - e) / np.linalg.norm(e))


def cosine(a: Tree, b: Tree) -> float:
    """Return the cosine of two pytrees."""
    a, b = flat(a), flat(b)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def angle(a: Tree, b: Tree) -> float:
    """Return the angle of two pytrees, in degrees."""
    return float(np.degrees(np.arccos(np.clip(cosine(a, b), -1, 1))))


def within(what: str, measured: ArrayLike, expected: float, tolerance: float) -> Finding:
    """``|measured - expected| <= tolerance``."""
    m = float(measured)
    return Finding(what, m, f"{expected:.4g} +- {tolerance:.2g}", abs(m - expected) <= tolerance)


def below(what: str, measured: ArrayLike, limit: float) -> Finding:
    """``measured < limit``; with `limit` 90 an angle, for one."""
    m = float(measured)
    return Finding(what, m, f"< {limit:.4g}", m < limit)


def above(what: str, measured: ArrayLike, limit: float) -> Finding:
    """``measured > limit``: also what a wrong form must fail by."""
    m = float(measured)
    return Finding(what, m, f"> {limit:.4g}", m > limit)


def identical(what: str, a: Tree, b: Tree) -> Finding:
    """Every bit of two pytrees equal; the measure is how many numbers differ."""
    differ = sum(int(np.sum(np.asarray(p) != np.asarray(q))) for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
    return Finding(what, differ, "0 numbers differ", differ == 0)


def equal(what: str, a: Tree, b: Tree, tolerance: float = 1e-12) -> Finding:
    """Two pytrees equal to a relative `tolerance`."""
    return below(what, relative_error(a, b), tolerance)


def refused(what: str, call: Callable) -> Finding:
    """The call is refused as unsuitable; the measure is how many remedies its message names."""
    try:
        call()
    except Unsuitable as error:
        return Finding(what, str(error).count("use "), ">= 1 remedy named", "use " in str(error))
    return Finding(what, 0, ">= 1 remedy named", False)


def slope(what: str, estimate: Callable, exact: Tree, order: float, largest: float, tolerance: float = 0.15) -> Finding:
    """The order of an error: the slope of its logarithm over a factor 8 in the small parameter.

    Parameters
    ----------
    estimate : callable
        The small parameter to an estimate; called at `largest` and at a half, a quarter and an eighth of it.
    """
    steps = largest / np.array([1, 2, 4, 8])
    errors = [relative_error(estimate(step), exact) for step in steps]
    measured = np.polyfit(np.log(steps), np.log(errors), 1)[0] if min(errors) > 0 else np.nan
    return within(f"{what}: slope of the error", measured, order, tolerance)


@in_float64
def accepted(estimator: Estimator, system: System, name: str = "own system") -> Finding:
    """An estimator's error on a system falls as it declares; against its own oracle, which is named where it is another objective's.

    Parameters
    ----------
    system : tuple
        ``(circuit, objective, parameters, x, y)``.

    Notes
    -----
    The largest step is the estimator's, chosen on the library's systems: a circuit that is slower, or farther from linear, may need a
    smaller one, ``dataclasses.replace(estimator, largest=...)``, before its error falls by its order.
    """
    exact = jax.jit(estimator.oracle, static_argnums=(0, 1))(*system)
    tolerance = 0.2 if estimator.row in (15, 68) else 0.15  # they approach 1 from below
    other = "" if estimator.target == "dJ" else f", towards {estimator.target} and not the objective's own gradient"
    return slope(
        f"{name}, in {estimator.small}{other}",
        lambda step: estimator(*system, **{estimator.small: step}),
        exact,
        estimator.order,
        estimator.largest,
        tolerance,
    )


def descended(estimator: Estimator, system: System) -> Finding:
    """Return what training descends, the surrogate's derivative on a batch of two samples, against the mean of the estimates."""
    circuit, objective, parameters, x, y = system
    xs, ys = np.stack([x, -x]), np.stack([y, y / 2])
    each = (estimator(circuit, objective, parameters, *sample) for sample in zip(xs, ys, strict=True))
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *each)
    batch = jax.jit(lambda parameters: estimator.batch(circuit, objective, parameters, xs, ys))(parameters)
    return equal("what training descends, on a batch, against the mean of the estimates", batch, mean, 1e-9)


def law(what: str, samples: ArrayLike, expected: float, errors: float = 3.0) -> Finding:
    """A mean over samples within `errors` standard errors of `expected`; the measure is the mean."""
    samples = np.asarray(samples, float)
    mean, error = samples.mean(), samples.std(ddof=1) / np.sqrt(len(samples))
    return Finding(
        what, float(mean), f"{expected:.4g} +- {errors * error:.2g} ({errors:g} standard errors)", abs(mean - expected) <= errors * error
    )
