"""Standard training: for a row, the circuit, objective and settings with which it trains a classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from ..circuits import Feedforward, Hopfield, clip, relu, square_primitive
from ..estimators.estimator import Estimator, Unsuitable
from ..objectives import cross_entropy, squared_error
from ..solvers import relaxation
from .row import ROWS

SETTINGS = {
    1: {}, 29: {"directions": 16, "epsilon": 1e-3}, 30: {"directions": 16}, 32: {"directions": 16, "epsilon": 1e-3},
    51: {"beta": 0.5}, 52: {"beta": 0.5}, 53: {"beta": 0.5}, 54: {"beta": 0.2}, 56: {"alpha": 0.5, "beta": 1.0, "sweeps": 2},
    57: {"alpha": 0.5, "beta": 1.0, "sweeps": 2}, 59: {"beta": 0.25}, 61: {"beta": 0.5}, 68: {"beta": 0.1}, 72: {"beta": 0.1},
    87: {"alpha": 0.5, "beta": 1.0, "sweeps": 8}, 88: {"beta": 1.0},
}
"""Keywords of the rows that need nothing learned or drawn beforehand."""
SWEEPS = 12
"""Of a Hopfield net's relaxation, in training."""
LAYERED_FEEDBACK, DIRECT_FEEDBACK = (23,), (24,)


class Standard(NamedTuple):
    """What `crossdyad.models.train` takes."""

    rule: Estimator
    circuit: Any
    objective: Callable
    settings: dict
    solver: Callable | None


def trainable() -> list[int]:
    """Rows that `standard` knows."""
    return sorted(n for n in (*SETTINGS, *LAYERED_FEEDBACK, *DIRECT_FEEDBACK, 27) if n in ROWS)


def standard(number: int, sizes: tuple[int, ...], seed: int = 0) -> Standard:
    """A row on a net of these sizes: ReLUs and cross-entropy, or a layered Hopfield net and squared error where an energy is needed.

    Raises
    ------
    Unsuitable
        For a row that is not trained this way.
    """
    if number not in trainable():
        raise Unsuitable(f"row {number}: no standard training; there is one for rows {', '.join(map(str, trainable()))}; "
                         "use `crossdyad.models.train` with an estimator and a circuit of your own")
    rule = ROWS[number].estimator
    settings = dict(SETTINGS.get(number, {}))
    if "energy" in rule.requires:
        analytic = "analytic" in rule.requires
        circuit = Hopfield(sizes) if analytic else Hopfield(sizes, clip(0.0, 1.0), square_primitive, frozenset({"energy", "block-exact"}))
        return Standard(rule, circuit, squared_error, settings | {"solver": relaxation(SWEEPS)}, relaxation(2 * SWEEPS))
    if number in LAYERED_FEEDBACK + DIRECT_FEEDBACK:
        shapes = [(n, sizes[-1] if number in DIRECT_FEEDBACK else above) for n, above in zip(sizes[1:-1], sizes[2:], strict=True)]
        keys = jax.random.split(jax.random.key(seed), len(shapes))
        settings["matrices"] = tuple(jax.random.normal(k, s) / s[1] ** 0.5 for k, s in zip(keys, shapes, strict=True))
    return Standard(rule, Feedforward(sizes, relu), cross_entropy, settings, None)
