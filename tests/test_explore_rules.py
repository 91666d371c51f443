"""Sweeps over rules: each point starts from its rule's own settings."""

import pytest

from crossdyad.explore import spec as specs
from crossdyad.explore import sweep
from crossdyad.explore.store import Store
from crossdyad.recipe import load

RULES_SPEC = """
name = "rules"
recipe = "digits"
metrics = ["cycles"]
[axes]
rule = ["backprop", "equilibrium", "spsa"]
bits.weight = [8, 16]
lsb.epsilon = [1, 256]
[rules]
equilibrium = "digits-equilibrium"
spsa = { initial = 0.25, formats.state.frac = 7 }
"""


def test_points_of_a_rule_start_from_its_own_settings_and_axes_come_on_top(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(RULES_SPEC)
    made = {tuple(p.settings.values()): p for p in specs.points(*specs.read(path))}
    assert len(made) == 12 and all(set(p.settings) == {"rule", "bits.weight", "lsb.epsilon"} for p in made.values())
    base, settled = load("digits"), made["equilibrium", 8, 1].recipe
    assert settled.activation == "hard_sigmoid" and settled.formats.state.frac == 7 and settled.formats.weight.width == 8
    assert made["backprop", 16, 1].recipe.formats.state == base.formats.state and made["backprop", 16, 1].recipe.initial == base.initial
    raised = made["spsa", 8, 1].recipe
    assert (raised.initial, raised.formats.state.frac) == (0.25, 7)
    # one LSB of 8-bit weights with 5 bits after the point, and of 16-bit ones with 13
    assert raised.epsilon == 2.0**-5 and made["spsa", 16, 1].recipe.epsilon == 2.0**-13 and raised.probe == 1


def test_noise_in_lsbs_is_of_the_states_and_found_again(tmp_path):
    path = tmp_path / "rules.toml"
    text = RULES_SPEC.replace("lsb.epsilon = [1, 256]", "lsb.sigma = [1, 4]").replace("bits.weight", "bits.state")
    path.write_text(text.replace('"spsa"]', '"spsa", "node-perturbation"]'))
    told, base = specs.read(path)
    made = {tuple(p.settings.values()): p for p in specs.points(told, base)}
    shaken = {key[1:]: p.recipe for key, p in made.items() if key[0] == "node-perturbation"}
    # 8-bit states of `digits` have 5 bits after the point, 16-bit ones of the same range 13
    assert {key: r.sigma for key, r in shaken.items()} == {(8, 1): 2.0**-5, (8, 4): 2.0**-3, (16, 1): 2.0**-13, (16, 4): 2.0**-11}
    row = {"recipe": shaken[16, 4].model_dump(mode="json"), "board": "ulx3s"}
    assert sweep._at(row, "lsb.sigma") == 4


def test_a_rule_that_cannot_take_a_value_is_told_and_the_rest_runs(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(RULES_SPEC.replace("lsb.epsilon = [1, 256]", "epsilon = [0.0001220703125]"))
    wrong = [p for p in specs.points(*specs.read(path)) if p.recipe is None]
    assert [p.settings["rule"] for p in wrong] == ["spsa"] and wrong[0].settings["bits.weight"] == 8
    assert "epsilon" in wrong[0].error and "weight LSBs" in wrong[0].error


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("spsa = {", "coupled = {", "coupled not among the values of the axis rule"),
        ("initial = 0.25", "inital = 0.25", "rules.spsa.inital: no such field of a recipe; did you mean 'initial'"),
    ],
)
def test_settings_of_rules_that_lead_nowhere_are_refused(tmp_path, old, new, said):
    path = tmp_path / "rules.toml"
    path.write_text(RULES_SPEC.replace(old, new))
    with pytest.raises(specs.SpecError, match=said):
        specs.read(path)


def test_rows_of_rules_are_found_again(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(RULES_SPEC)
    told, base = specs.read(path)
    with Store(tmp_path / "rules.db") as store:
        settings = sweep.settings_of(told)
        store.remember(told.name, RULES_SPEC, base.to_toml(), sweep.measured(settings))
        made = sweep.plan(specs.points(told, base), [1], settings, store)
        rows = [
            sweep._row(k, {}, j.recipe, j.board, j.seed, settings, "ok", {"cycles": 1, "seconds": 0.0})
            for k, (_, j) in made.missing.items()
        ]
        store.put(rows)
        found = sweep.results(store)[1]
    assert len(found) == len(rows)
