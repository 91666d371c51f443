"""The one table of all rules: its counts, where its figures come from, and the checks behind it."""

import json
from pathlib import Path

import pytest
from scripts import benchmark
from typer.testing import CliRunner

from crossdyad.cli import app
from crossdyad.explore import cards, rules
from crossdyad.recipe import RULES, Recipe, Rule, allow, load
from crossdyad.recipe.rules import backward, parts
from crossdyad.sim import gradient, mutants, mutation
from crossdyad.sim import rules as checked

ROOT = Path(__file__).resolve().parent.parent
LEARNING = set(RULES) - {"inference"}
allow(__name__)


def ungated(recipe):
    """Backpropagation that forgets the hidden units' slopes."""
    yield from parts.hidden(recipe)
    yield parts.nudged(recipe, error="gate")
    yield from backward._down(recipe, error="feedback", mean="")


UNGATED = Rule(ungated, row=20, oracle="exact")


def test_multipliers_are_busy_by_hand():
    found = cards.card(load("digits"))
    # forward and update of both matrices, and one of them transposed, on 16 and 8 lanes
    assert found.matrices == 2 and found.busy == pytest.approx((2 * (64 * 32 + 32 * 10) + 32 * 10) / (24 * found.cycles))
    assert cards.card(load("digits-weight-mirror")).matrices == 3


def test_random_bits_of_noise_by_hand():
    found = cards.card(load("digits-weight-mirror"))
    rounded = (64 * 32 + 2 * 32 * 10) * 16
    assert found.random_bits == rounded + 2 * 32  # a sign for each column, in a read and in an update
    perturbed = cards.card(load("digits-node-perturbation"))
    assert perturbed.random_bits == (64 * 32 + 32 * 10) * 16 + 2 * (32 + 10)


def test_feedback_that_is_kept_is_memory():
    found = cards.card(load("digits-predictive-coding"))
    assert found.state_bits == 64 * 8 + 32 * 8 + 10 * 8 + (32 + 10) * 11 + 2 * 32 * 16


def test_measured_figures_are_those_of_the_presets():
    """A preset that has changed since is measured again: `command` of the file says how."""
    known = rules.results()
    assert known["command"].startswith("python benchmarks/rules.py") and known["seeds"] == [1, 2, 3, 4, 5] and known["epochs"] == 30
    assert set(known["rules"]) == LEARNING | {"frozen", "linear"}
    for name, preset in cards.presets_of_rules().items():
        found = rules.measured(load(preset))
        assert found and len(found["accuracies"]) == 5 and found["cycles"] == cards.card(load(preset)).cycles, name
    changed = Recipe.model_validate(load("digits").model_dump() | {"beta": 2.0})
    assert rules.measured(changed) is None and rules.row(changed)["accuracies"] is None


def test_the_page_has_the_measured_figures():
    assert rules.page() in (ROOT / "docs" / "rules.md").read_text()


def test_what_was_built_stands_beside_the_model(monkeypatch):
    """Of a preset as it was built; of a recipe that differs from it, or another board, nothing."""
    built = {"recipe": rules.fingerprint(load("digits")), "lut": 9500, "ff": 7800, "multipliers": 25, "memory": 13, "fmax": 131.5}
    file = {"command": "built", "board": "ulx3s", "rules": {"dual-propagation": built}}
    known = rules.results
    monkeypatch.setattr(rules, "results", lambda name=rules.RESULTS: file if name == rules.ROUTED else known(name))
    assert rules.row(load("digits"))["routed"] == built
    assert rules.row(load("digits"), "ulx3s-85f")["routed"] is None
    assert rules.row(Recipe.model_validate(load("digits").model_dump() | {"beta": 2.0}))["routed"] is None
    shown = CliRunner().invoke(app, ["rules"]).stdout
    assert all(figure in shown for figure in (" 9500 ", " 7800 ", " 131.5 "))


def test_the_page_has_what_was_built():
    page, known = (ROOT / "docs" / "rules.md").read_text(), rules.results(rules.ROUTED)
    assert rules.routed_page() in page and known["command"] in page
    assert set(known["rules"]) <= LEARNING
    assert rules.modelled_page() in (ROOT / "docs" / "cost.md").read_text()
    for name, preset in cards.presets_of_rules().items():  # what is counted is what was built, frames of the link included
        line = rules.row(load(preset))
        assert not line["routed"] or all(line[c] == line["routed"][c] for c in ("multipliers", "memory")), name


def test_figures_on_mnist_are_those_of_the_settings_that_were_chosen():
    known, made = rules.results(rules.MNIST), benchmark("mnist")
    assert known["command"].startswith("python benchmarks/mnist.py") and set(known["rules"]) <= set(made.CANDIDATES)
    for name, found in known["rules"].items():
        chosen = made.choices()["rules"][name]
        best = max(right for _, right in chosen["tried"])
        assert found["settings"] == chosen["settings"] and [found["settings"], best] in chosen["tried"], name
        recipe = made.recipe_of(name, found["epochs"], found["settings"])
        assert recipe.sizes == (784, 256, 10) and recipe.rule == name, name
        assert len(found["accuracies"]) == 3 and found["seeds"] == [1, 2, 3], name
        assert found["recipe"] == rules.fingerprint(recipe) and found["epochs"] <= 10, name
    assert rules.mnist_page() in (ROOT / "docs" / "rules.md").read_text()


def test_every_rule_that_learns_its_hidden_layer_beats_the_baselines():
    means = {name: sum(found["accuracies"]) / 5 for name, found in rules.results()["rules"].items()}
    assert all(means[name] > means["linear"] + 1 for name in LEARNING - {"spsa"})


def test_the_command_gives_all_that_is_known():
    found = {line["rule"]: line for line in json.loads(CliRunner().invoke(app, ["rules", "--json"]).stdout)}
    assert set(found) == LEARNING
    mirror = found["weight-mirror"]
    assert mirror["row"] == 25 and mirror["multipliers"] == 25 and mirror["feedback_bits"] == 32 * 10 * 16 and mirror["lut"] > 5000
    assert len(mirror["accuracies"]) == 5 and mirror["cosine"]["rule"] > 0.99 and len(mirror["mnist"]) == 3
    assert found["spsa"]["mnist"] is None
    shown = CliRunner().invoke(app, ["rules"]).stdout
    assert rules.accuracy(mirror["accuracies"]) in shown and rules.results()["command"] in shown


def test_checks_pass_and_name_what_they_checked(monkeypatch):
    monkeypatch.setattr(cards, "chips", lambda recipe: [load("digits-weight-mirror"), load("digits-spsa")])
    done = CliRunner().invoke(app, ["rules", "--check", "--json"])
    assert done.exit_code == 0
    found = {line["rule"]: [c["check"] for c in line["checks"]] for line in json.loads(done.stdout)}
    assert found == {"weight-mirror": ["integers", "oracle", "hardware"], "spsa": ["slopes", "hardware"]}


@pytest.mark.parametrize("rule", ["equilibrium", "centered-equilibrium", "continual-equilibrium"])
def test_a_net_that_settles_is_held_to_its_own_gradient(rule):
    """To that of the settled outputs."""
    assert checked.aims_at_the_gradient(load(f"digits-{rule}")) and checked.oracle(load(f"digits-{rule}")).passed


def test_a_rule_of_ones_own_comes_first():
    own = load("digits").model_copy(update={"rule": f"{__name__}:UNGATED"})
    assert [chip.rule for chip in cards.chips(own)][:2] == [own.rule, "dual-propagation"]
    assert [chip.rule for chip in cards.chips(load("digits"))].count("dual-propagation") == 1


def two_layers(recipe):
    """Backpropagation that counts on two layers."""
    yield parts.read(0, recipe)
    yield parts.nudged(recipe, unit=1, error="gate")
    yield parts.back(1, error="gate", mean="")
    yield from parts.updates(recipe)


def test_a_rule_of_ones_own_is_checked_on_as_many_layers_as_its_recipe_has():
    own = Recipe.model_validate(load("digits").model_dump() | {"rule": f"{__name__}:two_layers"})
    any_number = own.model_copy(update={"rule": f"{__name__}:UNGATED"})
    assert [checked.small(r).sizes for r in (own, any_number, load("digits"))] == [(5, 4, 3), (6, 5, 4, 3), (6, 5, 4, 3)]
    assert checked.integers(own).passed and checked.hardware(own).passed


def test_a_wrong_rule_is_noticed(monkeypatch):
    wrong = load("digits-backprop").model_copy(update={"rule": f"{__name__}:UNGATED"})
    assert checked.aims_at_the_gradient(wrong) and checked.integers(wrong).passed and not checked.oracle(wrong).passed
    monkeypatch.setattr(cards, "chips", lambda recipe: [wrong])
    done = CliRunner().invoke(app, ["rules", "--check"])
    assert done.exit_code == 1 and "oracle: FAILED" in done.stdout


def test_wrong_integers_are_noticed(monkeypatch):
    chip = gradient.chip
    monkeypatch.setattr(gradient, "chip", lambda *given: [1.01 * g for g in chip(*given)])
    assert not checked.integers(load("digits-backprop")).passed


def test_wrong_hardware_is_noticed():
    fault = next(f for f in mutants.FAULTS if f.name == "opposite noise")
    with mutation.seeded(fault):
        assert not checked.hardware(load("digits-weight-mirror")).passed
    assert checked.hardware(load("digits-weight-mirror")).passed
