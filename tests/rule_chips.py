"""Small chips of each rule, and samples for them."""

import numpy as np

from crossdyad.recipe import RULES, Recipe

FINE = {
    "state": {"width": 20, "frac": 16},
    "weight": {"width": 20, "frac": 16},
    "accumulator": {"width": 22, "frac": 18},
    "delta": {"width": 22, "frac": 18},
}
SETTLES = ("equilibrium", "centered-equilibrium", "contrastive", "coupled", "continual-equilibrium")


def chip_of(rule, **changes):
    given = {
        "name": "small",
        "sizes": (7, 6, 5, 3),
        "lanes": (4, 2, 2),
        "rule": rule,
        "beta": 0.5,
        "alpha": 0,
        "initial": 0.5,
        "feedback": 0.5,
        "decay": 2.0**-8,
        "learning_rate": 2.0**-4,
        "rate_floor": 2.0**-9,
        "sweeps": (6, 3),
    }
    if rule in SETTLES:
        given |= {"activation": "hard_sigmoid", "output": "hard_sigmoid"}
    return Recipe.model_validate(given | changes)


def samples(recipe, n=6, seed=0):
    draw = np.random.default_rng(seed)
    return draw.uniform(-1, 1, (n, recipe.sizes[0])), draw.integers(0, recipe.sizes[-1], n)


def flat(made):
    return np.concatenate([np.ravel(g) for g in made])


def programs_of(recipe, name):
    return list(getattr(RULES[recipe.rule], name)(recipe))
