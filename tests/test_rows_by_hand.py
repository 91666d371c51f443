"""What `train` descends, surrogates and settings included, against the same rows by hand: numbers, not slopes."""

import inspect
from functools import partial

import by_hand
import by_hand_energies as energies
import by_hand_states as states
import jax
import numpy as np
import pytest
from by_hand import TANH, Given
from jax.flatten_util import ravel_pytree

from crossdyad.models.cookbook.standard import standard, trainable

SIZES, CLASSES, SAMPLES = (5, 6, 4, 3), 3, 3


def both(make, **settings):
    """A net of energy, its contrast."""
    return lambda g, **more: energies.contrast(make(g), g.y, **settings | more)


def fed(function):
    """Feedback that the test draws."""
    return lambda g, matrices: function(g, [np.asarray(m) for m in matrices])


centered, clamped = both(energies.clipped), {"stencil": "one-sided", "clamp": True}
ROWS = {
    1: by_hand.backprop,
    2: partial(by_hand.loops, terms=24, rate=0.5),
    7: by_hand.loops,
    8: centered,
    9: lambda g, beta=1.0: energies.contrast(energies.Resistors(g.w, g.x, 10.0), g.y, beta=beta),
    13: states.stored,
    14: lambda g: states.coding(g, 0.1, TANH, 3),
    15: states.lifted,
    16: energies.tied,
    20: by_hand.backprop,
    21: by_hand.loops,
    22: partial(by_hand.loops, terms=12),
    23: fed(lambda g, m: by_hand.backprop(g, feedback=m)),
    24: fed(by_hand.direct),
    25: by_hand.mirror,
    26: by_hand.kolen_pollack,
    27: by_hand.signs,
    28: by_hand.perturbed,
    29: by_hand.spsa,
    30: by_hand.tangents,
    31: by_hand.spsa,
    32: by_hand.nodes,
    33: by_hand.guided,
    34: by_hand.activity,
    35: by_hand.greedy,
    37: partial(by_hand.greedy, decoders=True),
    38: partial(by_hand.greedy, reach=2),
    40: partial(by_hand.greedy, pairs=True),
    42: by_hand.goodness,
    43: by_hand.synthetic,
    51: both(energies.unbounded, stencil="one-sided", beta=0.25),
    52: centered,
    53: both(energies.unbounded, stencil="four points", beta=0.1),
    54: both(energies.smooth, stencil="circle", beta=0.2),
    56: partial(states.dyads, adversarial=True),
    57: states.dyads,
    58: both(energies.unbounded, **clamped, beta=1.0),
    59: both(energies.clipped, **clamped, beta=0.25),
    60: energies.frequency,
    61: energies.controlled,
    64: energies.continual,
    66: energies.agnostic,
    67: energies.twins,
    68: states.coding,
    69: partial(states.targets, kind="inverse"),
    70: partial(states.targets, kind="path"),
    71: partial(states.targets, kind="transpose"),
    72: states.microcircuit,
    74: states.deep_control,
    77: centered,
    78: energies.mirrored,
    79: by_hand.locoprop,
    81: by_hand.pseudo_inverse,
    82: by_hand.backprop,
    84: states.least_action,
    85: energies.chained,
    86: energies.mixed,
    87: partial(states.dyads, odd_and_even=True, sweeps=8),
    88: states.anywhere,
}
"""By row: the gradient of one sample as the standard settings have it, or with other settings."""

OTHERS = {
    9: [{"beta": 0.3}],
    13: [{"beta": 0.4}],
    15: [{"beta": 0.3}],
    16: [{"beta": 0.2}],
    29: [{"directions": 3, "epsilon": 0.1}],
    30: [{"directions": 3}],
    32: [{"directions": 3, "epsilon": 0.1}],
    51: [{"beta": -0.3}],
    53: [{"beta": 0.2}],
    54: [{"beta": 0.1}],
    56: [{"alpha": 0.2, "beta": 0.3, "sweeps": 5}],
    57: [{"alpha": 0.3, "beta": 0.7, "sweeps": 7}, {"alpha": 0.8, "sweeps": 1}, {"alpha": 0.3, "sweeps": 4}],
    59: [{"beta": 0.6}],
    60: [{"beta": 0.3, "steps": 8}],
    61: [{"beta": 0.3}],
    68: [{"beta": 0.5}],
    72: [{"beta": 0.3, "gain": 0.5}],
    74: [{"beta": 0.4, "leak": 0.3}],
    84: [{"beta": 0.3, "duration": 3.0, "step": 0.25}],
    85: [{"beta": 0.3}],
    87: [{"alpha": 0.3, "beta": 0.7, "sweeps": 5}],
    88: [{"alpha": 0.2, "beta": 0.5}],
}
"""Settings beside the standard ones, that none of them be ignored."""

QUICK = (9, 24, 28, 52, 57, 61, 74, 79)
CASES = [
    pytest.param(n, more, id=f"{n}-{i}", marks=[] if n in QUICK and not i else [pytest.mark.slow])
    for n in trainable()
    for i, more in enumerate([{}, *OTHERS.get(n, [])])
]


def samples(rng):
    """Inputs and labels."""
    return rng.normal(size=(SAMPLES, SIZES[0])), np.eye(CLASSES)[rng.permutation(CLASSES)]


def drawn(s, rng):
    """Parameters of a standard: its own where they are drawn, what begins with zeros (row 43) drawn as well."""
    parameters = s.circuit.random_parameters(jax.random.key(int(rng.integers(1000)))) if s.parameters is None else s.parameters
    return jax.tree.map(lambda v: np.asarray(v) if np.any(v) else rng.normal(size=v.shape) / 2, parameters)


def test_all_rows_that_train_are_here():
    assert set(ROWS) == set(trainable())


@pytest.mark.parametrize("number, more", CASES)
def test_a_batch_is_the_mean_by_hand(number, more):
    rng, s, key = np.random.default_rng(number), standard(number, SIZES), jax.random.key(number)
    x, y = samples(rng)
    parameters, settings = drawn(s, rng), s.settings | more
    keys = {"key": key} if "key" in inspect.signature(s.rule.estimate).parameters else {}
    found = jax.jit(lambda p: s.rule.batch(s.circuit, s.objective, p, x, y, **keys, **settings))(parameters)
    more = more | ({"matrices": s.settings["matrices"]} if "matrices" in s.settings else {})
    each = [ROWS[number](Given(SIZES, parameters, a, b, k), **more) for a, b, k in zip(x, y, jax.random.split(key, SAMPLES), strict=True)]
    expected = np.concatenate([np.mean([g[i] for g in each], 0).ravel() for i in range(len(each[0]))])
    assert np.linalg.norm(expected) > 1e-3, "nothing to compare"
    np.testing.assert_allclose(ravel_pytree(found)[0], expected, rtol=0, atol=1e-10 * np.linalg.norm(expected))
