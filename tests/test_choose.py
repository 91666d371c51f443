"""What a pick says of points that lack a figure, of two seeds, and under which name."""

from types import SimpleNamespace

import numpy as np
import pytest

from crossdyad.explore import choose
from crossdyad.explore import spec as specs
from crossdyad.explore.statistics import Summary
from crossdyad.recipe import load

SPEC = """
name = "drawn"
recipe = "digits"
[axes]
beta = [0.5, 1.0]
"""


def point(beta, recipe=None, **values):
    return Summary(
        {"beta": beta},
        recipe or load("digits").model_dump(),
        {k: np.array(v, float) for k, v in values.items()},
        [1, 2],
        {},
        {},
        "ulx3s",
        {"epochs": 3, "cost": "model"},
    )


@pytest.fixture
def picked(monkeypatch, tmp_path):
    """`pick` over given points."""
    path = tmp_path / "drawn.toml"
    path.write_text(SPEC)
    told, _ = specs.read(path)

    def of(*points, **options):
        monkeypatch.setattr(choose, "results", lambda store: (told, []))
        monkeypatch.setattr(choose, "summaries", lambda *_: list(points))
        return choose.pick(SimpleNamespace(path="drawn.db"), {}, **options)

    return of


def test_points_without_luts_have_no_cheapest_and_no_place_on_the_front_of_them(picked):
    found = picked(point(0.5, accuracy=[0.9, 0.92]), point(1.0, accuracy=[0.89, 0.91]))
    assert found.chosen.settings == {"beta": 0.5} and found.cheapest is None and found.surely is None
    told = choose.told(found, "accuracy")
    assert "on the front" not in told and "smallest" not in told


def test_a_pick_of_two_seeds_tells_the_least_and_the_greatest(picked):
    line = next(line for line in choose.told(picked(point(0.5, accuracy=[0.75, 0.875])), "accuracy").splitlines() if "# accuracy" in line)
    assert line.startswith("# accuracy: 0.8125; 0.75 to 0.875;")


def test_a_picked_name_does_not_hang_on_the_order_of_a_recipe():
    recipe = load("digits").model_dump()
    back = {key: dict(reversed(v.items())) if isinstance(v, dict) else v for key, v in reversed(recipe.items())}
    assert choose.standing(point(0.5), "small").name == choose.standing(point(0.5, back), "small").name
