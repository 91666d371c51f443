"""Small recipes that together reach every mode of every place: what block scenarios and chip benches are run on."""

from __future__ import annotations

from ..recipe import Recipe


def small(name: str = "small", **changes) -> Recipe:
    """A chip of a few units, with some of its keys changed; formats and modes are dicts by place."""
    base = {"name": name, "sizes": (5, 4, 3), "lanes": (2, 4)}
    return Recipe.model_validate(base | changes)


def modes(rounding: str, overflow: str) -> dict:
    """One rounding and one overflow at all places."""
    places = ("accumulator", "state", "delta", "weight")
    return {"rounding": dict.fromkeys(places, rounding), "overflow": dict.fromkeys(places, overflow)}


def narrow(**changes) -> dict:
    """Formats so narrow that everything overflows now and then."""
    formats = {"state": (6, 4), "weight": (7, 4), "accumulator": (7, 4), "delta": (5, 3)} | changes
    return {"formats": {place: {"width": w, "frac": f} for place, (w, f) in formats.items()},
            "learning_rate": 2.0**-2, "rate_floor": 2.0**-5}


def recipes() -> list[Recipe]:
    """Alphas, roundings, overflows, activations, rules, and folds of one and more words with lanes to spare."""
    return [
        small("alpha-0", alpha=0, **modes("nearest", "saturate"), **narrow()),
        small("alpha-half", alpha=0.5, activation="hard_sigmoid", output="hard_tanh", lanes=(4, 1),
              **modes("stochastic", "saturate"), **narrow()),
        small("alpha-1", alpha=1, activation="hard_tanh", output="relu", beta=1, lanes=(8, 2),
              **modes("nearest_even", "wrap"), **narrow()),
        small("floor-wrap", alpha=0.5, activation="identity", seed=(1 << 64) - 3, sizes=(3, 7, 2), lanes=(1, 8),
              **modes("floor", "wrap"), **narrow()),
        small("one-layer", sizes=(6, 3), lanes=(4,), beta=0.25, **modes("stochastic", "saturate"), **narrow()),
        small("deep", sizes=(4, 3, 5, 2), lanes=(4, 2, 2), **modes("stochastic", "wrap"), **narrow()),
        small("spsa", rule="spsa", epsilon=2.0**-3,
              **modes("stochastic", "saturate"), **narrow()),
        small("noisy", alpha=0.5, seed=77, devices={"read_noise": 0.3}, **modes("nearest", "saturate"), **narrow(delta=(5, 2))),
        small("noisy-random", alpha=0, seed=78, lanes=(4, 1), devices={"read_noise": 0.1, "levels": 8, "stuck": 0.3},
              **modes("stochastic", "saturate"), **narrow()),
        small("spsa-devices", rule="spsa", epsilon=2.0**-3, devices={"read_noise": 0.1, "levels": 32, "stuck": 0.2},
              **modes("nearest", "saturate"), **narrow()),
        small("pulses-constant", seed=5, devices={"law": "constant", "pulse": 2.0**-3}, **modes("stochastic", "saturate"), **narrow()),
        small("pulses-linear", alpha=1, lanes=(4, 2), devices={"law": "linear", "pulse": 2.0**-4, "slope": 0.5, "stuck": 0.1},
              **modes("nearest", "wrap"), **narrow()),
        small("soft-bounds", alpha=0.5, lanes=(1, 4), devices={"law": "soft-bounds", "pulse": 2.0**-2, "read_noise": 0.05},
              **modes("stochastic", "saturate"), **narrow()),
        small("wide", rule="inference", formats={"state": {"width": 16, "frac": 12}, "weight": {"width": 18, "frac": 15},
                                                 "accumulator": {"width": 20, "frac": 12}}),
    ]


def named(name: str) -> Recipe:
    """One of `recipes`."""
    return next(r for r in recipes() if r.name == name)
