"""What laws are made of: how one is marked, and chips whose rounding is small beside what is looked at."""

import numpy as np

from crossdyad.recipe import Recipe


def law(check):
    """Mark a function as a law; it plays chips, and raises AssertionError where they do something else."""
    check.is_law = True
    return check


FORMATS = {"state": (12, 8), "weight": (14, 10), "accumulator": (24, 14), "delta": (16, 9)}


def chip_of(sizes, lanes, formats=FORMATS, **changes):
    """A recipe with formats so fine that every rounding is small beside what is looked at."""
    return Recipe.model_validate(
        {"name": "law", "sizes": sizes, "lanes": lanes, "output": "identity", "rounding": {"weight": "nearest"}}
        | {"formats": {p: {"width": w, "frac": f} for p, (w, f) in formats.items()}}
        | changes
    )


def lsb(recipe, place):
    return 2.0 ** -getattr(recipe.formats, place).frac


def near(value, expected, tolerance):
    value, expected = np.asarray(value, float), np.asarray(expected, float)
    assert value.shape == expected.shape
    assert (np.abs(value - expected) <= tolerance + 1e-9).all(), (value, expected, tolerance)
