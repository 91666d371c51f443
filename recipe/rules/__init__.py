"""Learning rules: functions of a recipe that yield operations in the order in which they are meant; the compiler places them in time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..imported import imported
from ..operations import Matrix, Operation, in_turn
from . import backward, blocks, local, parts, phases, trials
from .check import mistakes_of

if TYPE_CHECKING:
    from ..recipe import Recipe

__all__ = ["RULES", "Rule", "matrices", "mistakes_of", "parts", "rule", "states", "steps"]


ROWS = 88
"""Rows of the cookbook."""
Oracle = Literal["exact", "aligned", "inverse", "local", "none"]
"""Names of what a gradient estimate tends to."""


@dataclass(frozen=True)
class Rule:
    """A learning rule.

    Attributes
    ----------
    train : callable
        A function of a recipe that yields the `Operation` of one training sample.
    infer : callable
        The same of inference.
    matrices : callable
        A function of a recipe that yields each `Matrix`; those that are in memory are loaded and read back in this order.
    row : int, optional
        Of the cookbook, 1 to `ROWS`: the method that this realises.
    oracle : str
        What the gradient estimate of the rule tends to: the ``exact`` gradient of what `infer` computes; the same once its feedback is
        the weights' (``aligned``) or gives back what went up (``inverse``); that of each layer's own objective (``local``); ``none``.
    share : float
        Gradient estimate over what the updates of one sample sum to: 1/2 where two of them span twice beta.
    """

    train: Callable[[Recipe], Iterator[Operation]]
    infer: Callable[[Recipe], Iterator[Operation]] = parts.inference
    matrices: Callable[[Recipe], Iterator[Matrix]] = parts.weights
    row: int | None = None
    oracle: Oracle = "none"
    share: float = 1.0


RULES: dict[str, Rule] = {
    "inference": Rule(parts.inference),
    "dual-propagation": Rule(backward.dual_propagation, row=57, oracle="exact"),
    "mean-substitution": Rule(backward.mean_substitution, row=87, oracle="exact"),
    "backprop": Rule(backward.backprop, row=20, oracle="exact"),
    "feedback-alignment": Rule(backward.aligned, matrices=backward.random_feedback, row=23, oracle="aligned"),
    "stored-feedback": Rule(backward.aligned, matrices=backward.stored_feedback, row=23, oracle="aligned"),
    "direct-feedback": Rule(backward.direct, matrices=backward.direct_feedback, row=24, oracle="aligned"),
    "sign-concordant": Rule(backward.concordant, matrices=backward.signs_of_weights, row=27, oracle="aligned"),
    "kolen-pollack": Rule(backward.kolen_pollack, matrices=backward.stored_feedback, row=26, oracle="aligned"),
    "weight-mirror": Rule(backward.mirrored, matrices=backward.stored_feedback, row=25, oracle="aligned"),
    "target-propagation": Rule(backward.targets, matrices=backward.stored_feedback, row=69, oracle="inverse"),
    "predictive-coding": Rule(backward.predictive, row=68, oracle="exact"),
    "feedback-control": Rule(backward.controlled, matrices=backward.direct_feedback, row=74, oracle="aligned"),
    "spsa": Rule(trials.spsa, row=29, oracle="exact"),
    "node-perturbation": Rule(trials.node_perturbation, row=32, oracle="exact"),
    "equilibrium": Rule(phases.equilibrium, phases.settled, row=51, oracle="exact"),
    "centered-equilibrium": Rule(phases.centered, phases.settled, row=52, oracle="exact", share=0.5),
    "contrastive": Rule(phases.contrastive, phases.settled, row=58, oracle="none"),
    "coupled": Rule(phases.coupled, phases.settled, row=59, oracle="none"),
    "continual-equilibrium": Rule(phases.continual, phases.settled, row=64, oracle="exact"),
    "local-heads": Rule(local.heads, matrices=local.headed, row=35, oracle="local"),
    "reversible": Rule(blocks.reversible, blocks.inferred, blocks.matrices, row=45, oracle="exact"),
    "forward-forward": Rule(local.forward_forward, matrices=local.labelled, row=42, oracle="local"),
}
"""Name of a rule to what it is."""


def rule(name: str) -> Rule:
    """Return the rule of `RULES`, else import ``package.module:name``: a `Rule`, or the function of its training program.

    Raises
    ------
    ValueError
        For a name that is neither.
    """
    found = imported(name, RULES)
    return found if isinstance(found, Rule) else Rule(found)


@functools.lru_cache(maxsize=1024)
def steps(recipe: Recipe) -> tuple[Operation, ...]:
    """Return the operations of the recipe's training program, in the order of its rule."""
    return tuple(rule(recipe.rule).train(recipe))


@functools.lru_cache(maxsize=1024)
def states(recipe: Recipe, flight: int = 1) -> frozenset[str]:
    """Return the stores that hold states: the sample, and what takes means in either program; with the slots of `flight` samples' turns."""
    found = {"input0"} | {step.mean for step in (*rule(recipe.rule).infer(recipe), *steps(recipe))}
    return frozenset(found | {in_turn(name, n) for name in found if name for n in range(1, flight)})


@functools.lru_cache(maxsize=1024)
def matrices(recipe: Recipe) -> tuple[Matrix, ...]:
    """Return the matrices of the recipe's rule."""
    return tuple(rule(recipe.rule).matrices(recipe))
