"""The cards of rules: recounted by hand."""

import json

from typer.testing import CliRunner

from crossdyad.cli import app
from crossdyad.explore.cards import card, cards, presets_of_rules
from crossdyad.recipe import RULES, Recipe, load


def of(rule, **changes):
    return card(Recipe.model_validate(load("digits").model_dump() | {"rule": rule} | changes))


def test_dual_propagation_on_digits_by_hand():
    c = of("dual-propagation")
    assert (c.row, c.operations, c.cycles) == (57, 5, 358)
    assert c.weight_bits == (64 * 32 + 32 * 10) * 16 and c.feedback_bits == 0
    assert c.transport == 32 * 10 * 16  # W1 is read in rows and in columns
    # the sample, means of two units, differences of two, the drive of the hidden one
    assert c.state_bits == 64 * 8 + 32 * 8 + 10 * 8 + (32 + 10) * 11 + 32 * 16
    assert c.derivatives == 0 and c.writes == c.weight_bits and c.random_bits == (64 * 32 + 32 * 10) * 16
    # 16 lanes: 4 words a row; 8 lanes: 4 words a row; transposed 4 folds of 10 slots
    assert abs(c.idle - (1 - (128 + 40 + 40 + 128 + 40) / (2 * 358))) < 1e-12


def test_samples_in_flight_and_what_they_do_not_see_are_told():
    alone, stale = of("dual-propagation"), of("dual-propagation", samples_in_flight=4, staleness=(1, 0))
    assert (alone.in_flight, alone.interval, set(alone.staleness.values())) == (1, 358, {0})
    assert stale.in_flight > 1 and stale.interval < 358 and stale.staleness == {"W0": 1, "W1": 0}
    assert stale.writes == alone.writes and stale.transport == alone.transport


def test_equilibrium_propagation_by_hand():
    c = of("equilibrium", sweeps=(1, 1))
    # up, up; a sweep: outputs, hidden twice; the outputs again; a nudged sweep; two updates of each matrix
    assert c.operations == 2 + 3 + 1 + 3 + 4
    assert c.transport == 2 * 32 * 10 * 16 and c.derivatives == 0
    assert c.state_bits == 64 * 8 + 2 * (32 + 10) * 8 + (32 + 10) * 16 and c.writes == 2 * c.weight_bits


def test_rules_differ_where_the_paper_says():
    found = {c.rule: c for c in cards(load("digits-deep"))}
    assert set(found) == set(RULES) - {"inference"}
    assert found["backprop"].derivatives > 0 == found["dual-propagation"].derivatives  # a dyad has no slopes
    assert found["feedback-alignment"].transport == found["kolen-pollack"].transport == found["spsa"].transport == 0
    assert found["sign-concordant"].transport * 16 == found["dual-propagation"].transport  # one bit of a weight's 16
    assert found["local-heads"].forward_lock < found["dual-propagation"].forward_lock  # a block need not wait for those above
    assert found["direct-feedback"].backward_lock < found["dual-propagation"].backward_lock  # nor for their errors
    assert found["kolen-pollack"].feedback_bits == found["kolen-pollack"].weight_bits - 64 * 48 * 16


def test_the_command_prints_them():
    done = CliRunner().invoke(app, ["rules", "digits", "--json"])
    assert done.exit_code == 0 and {c["rule"] for c in json.loads(done.stdout)} == set(RULES) - {"inference", "reversible"}
    assert "blocks lie between two hidden units, of 1" in done.stderr  # the rest is there
    assert "kolen-pollack" in CliRunner().invoke(app, ["rules"]).stdout


def test_without_a_recipe_each_rule_stands_on_its_own_preset():
    assert set(presets_of_rules()) == set(RULES) - {"inference"}
    for rule, preset in presets_of_rules().items():
        assert load(preset).rule == rule
    found = {c["rule"]: c["cycles"] for c in json.loads(CliRunner().invoke(app, ["rules", "--json"]).stdout)}
    shared = {c.rule: c.cycles for c in cards(load("digits"))}
    assert set(found) == set(RULES) - {"inference"} and found["backprop"] == shared["backprop"]
    assert found["direct-feedback"] > shared["direct-feedback"]  # its preset has two hidden layers
