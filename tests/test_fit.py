"""Engines fitted to a board: what is found is the best there is, fits, and is a recipe like any other."""

import itertools
import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from crossdyad.cli import app
from crossdyad.explore.fit import fit, measured
from crossdyad.hdl.boards import BOARDS
from crossdyad.hdl.families import Device
from crossdyad.recipe import Recipe, RecipeError, load, matrix_geometries, programs

SMALL = Recipe(name="small", sizes=(6, 5, 3), lanes=(1, 1))


def placed(*rows, base=SMALL) -> Recipe:
    """SMALL with so many lanes for each list of matrices."""
    return Recipe.model_validate(base.model_dump() | {"lanes": (), "engines": [{"lanes": n, "matrices": names} for n, names in rows]})


def smaller(monkeypatch, **holds):
    """A board `tiny` beside the others that holds less than the ULX3S."""
    like = BOARDS["ulx3s"]
    devices = {like.device: Device("25k", like.holds | holds)}
    monkeypatch.setitem(BOARDS, "tiny", replace(like, name="tiny", family=replace(like.family, devices=devices)))


@pytest.mark.parametrize(("in_flight", "staleness"), [(1, ()), (2, ()), (4, (2, 0))])
def test_nothing_shorter_fits(monkeypatch, in_flight, staleness):
    """Against every number of lanes and both placements, on a board of eight multipliers; the interval counts where samples overlap."""
    base = Recipe.model_validate(SMALL.model_dump() | {"samples_in_flight": in_flight, "staleness": staleness})
    spare = 8  # the square of errors then is made of LUTs
    smaller(monkeypatch, multiplier=8)
    every = [placed((n, ["W0", "W1"]), base=base) for n in range(1, spare + 1)]
    every += [placed((a, ["W0"]), (b, ["W1"]), base=base) for a, b in itertools.product(range(1, 7), range(1, 6)) if a + b <= spare]
    found = fit(base, "tiny")
    assert found[0].cycles == min(programs(chip)[1].period for chip in every)
    assert (programs(found[0].recipe)[1].interval > 0) == (in_flight > 1)
    assert found[0].staleness["W0"] <= max(staleness, default=0) and found[0].staleness["W1"] == 0
    assert [f.cycles for f in found] == sorted(f.cycles for f in found)
    assert all(n <= BOARDS["tiny"].holds[r] for f in found for r, n in f.needs.items())


def test_busy_counts_useful_products():
    chip = placed((4, ["W0", "W1"]))
    g, program = matrix_geometries(chip), programs(chip)[1]
    products = sum(g[i.step.matrix].R * g[i.step.matrix].C for i in program.instructions)
    assert products == 2 * 6 * 5 + 3 * 5 * 3 and measured(chip, "ulx3s").busy == products / (4 * program.length)


def test_what_fits_nowhere_names_the_resource(monkeypatch):
    smaller(monkeypatch, LUT=100)
    with pytest.raises(RecipeError, match="small fits tiny with no engines: .* LUTs too many in the smallest layout; take a larger board"):
        fit(SMALL, "tiny")


def test_the_command_writes_a_recipe_like_any_other(tmp_path):
    path = tmp_path / "fitted.toml"
    done = CliRunner().invoke(app, ["fit", "xor", "--json", "-o", str(path)])
    assert done.exit_code == 0, done.output
    best, written = json.loads(done.stdout)[0], load(path)
    assert (written.name, programs(written)[1].length) == ("xor-fitted", best["cycles"])
    assert [e.model_dump(mode="json") for e in written.engines] == best["engines"]
    again = CliRunner().invoke(app, ["fit", "xor", "-o", str(path)])
    assert again.exit_code == 2 and load(path) == written


def test_a_board_that_the_cost_model_does_not_know_is_refused():
    with pytest.raises(ValueError, match="the cost model knows no builds for icebreaker, whose family is iCE40; allowed are ulx3s, "):
        fit(SMALL, "icebreaker")
