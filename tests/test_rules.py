"""Rules of one's own: a generator of operations, by the name of where it is; played by emulator and hardware alike."""

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from own_rules import HERE, late_first_layer, small

from crossdyad import data, emulator, hdl, recipe
from crossdyad.explore.jobs import Job, Settings, key
from crossdyad.recipe import Recipe, RecipeError, compile_program, load, parse, programs
from crossdyad.recipe.rules import parts
from crossdyad.sim import chip as bench
from crossdyad.sim import gradient, simulators, streams


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("unknown_force", "force = 'sideways'; allowed are '', 'feedback', 'drive', 'clamp'"),
        ("too_early", "update W1 \\+= error1 input1 needs input1, which no operation before it makes; there are input0"),
        ("below_the_first", "there is no unit -1; allowed are 0 to 1"),
        ("no_steps", "no_steps is no function of a recipe that yields operations: 'int' object is not iterable"),
        ("no_operation", "\\(0, 1, 2\\) is no Operation; rules.parts has functions that make some"),
        ("no_outputs", "no operation has a result, so that a sample has no outputs"),
        ("wrong_length", "input1 has 4 elements, the column of W0 takes 5"),
        ("two_formats", "error1 holds a state elsewhere and a delta here; give it two names"),
        ("two_lengths", "input1 holds elements of unit 0 elsewhere and of unit 1 here; give it two names"),
        ("IN_PLACE", "reads input1 and writes it, whose first elements come before the last are read; write another store"),
        ("no_drive", "needs the drive of unit 0, which no operation before it keeps"),
        ("FIXED_HEAD", "B1 is not in memory, so that it cannot be rewritten"),
        ("STRANGE_SIGNS", "matrix B1 follows 'W7', which must be a matrix before it, of its shape and in memory"),
        ("STRANGE_START", "matrix B1 follows 'W0', which must be a matrix before it, of its shape and in memory"),
        ("endless", "endless: more than 4096 operations of inference and training; allowed are 4096"),
        ("too_long", "too_long: more than 4096 operations of inference and training; allowed are 4096"),
        ("NO_WEIGHTS", "W1 of layer 1 is missing"),
        ("not_kept", "needs the feedback of unit 0, which no operation before it keeps"),
        ("leaks_too_much", "leak = 16; allowed are 0 to 15"),
        ("signs_of_errors", "column = 'signs'; allowed are a column of signs with the row slope, and the row slope"),
        ("slope_of_a_column", "column = 'slope'; allowed are a column of signs"),
        ("rows_of_signs", "row = 'signs'; allowed are a column of signs"),
        ("STRANGE_ORACLE", "oracle 'exakt'; allowed are exact, aligned, inverse, local, none"),
        ("STRANGE_ROW", "row 89; allowed are 1 to 88, of the cookbook"),
        ("noise_comes_down", "needs noise, which no operation before it makes"),
    ],
)
def test_what_the_chip_cannot_do_is_refused(rule, told):
    with pytest.raises(ValueError, match=told):
        small(rule)


def test_the_slope_can_meet_signs_or_what_a_layer_reads():
    assert small("slope_of_inputs").steps[-1].column == "input0"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("dual-propagatoin", "did you mean 'dual-propagation'\\? allowed are inference, dual-propagation, mean-substitution"),
        ("nowhere.at:all", "cannot be had: No module named 'nowhere'; it must be importable"),
        (f"{HERE}:nothing", "has no attribute 'nothing'"),
    ],
)
def test_a_rule_that_is_not_there_is_refused(name, told):
    with pytest.raises(RecipeError, match=told):
        parse(f'name = "x"\nsizes = [4, 3]\nlanes = [1]\nrule = "{name}"\n')


def test_the_order_of_operations_decides_about_cycles_not_about_weights():
    house = load("digits8")
    mine = Recipe.model_validate(house.model_dump() | {"rule": f"{HERE}:late_first_layer"})
    assert parse(mine.to_toml()) == mine
    assert programs(mine)[1].length >= programs(house)[1].length and programs(mine)[0] == programs(house)[0]
    x, y, *_ = data.load("digits")
    chips = []
    for r in (house, mine):
        chips.append(emulator.Chip(r))
        chips[-1].weights = emulator.initial_weights(r)
        chips[-1].train(x[:20], y[:20])
    for a, b in zip(*(c.weights for c in chips), strict=True):
        np.testing.assert_array_equal(a, b)


def in_hardware(r, samples: int, stalls="random"):
    """What the bench says of a chip that has learned from a few samples."""
    session, rng = bench.Session(r), np.random.default_rng(0)
    session.load(emulator.initial_weights(r))
    for n in range(samples):
        session.train(rng.integers(0, 32, r.sizes[0]), n % r.sizes[-1])
    session.read()
    given = {"o_result": stalls} if stalls == "long" else dict.fromkeys(streams.STREAMS, stalls)
    record = simulators.run(hdl.build(r), streams.play, session.arguments(given, watch=True), "amaranth")
    return record, bench.judge(r, record, watch=True)


def test_a_rule_of_ones_own_trains_and_is_the_same_in_hardware():
    r = small("last_layer")
    _, verdict = in_hardware(r, 4)
    before, now = emulator.initial_weights(r), verdict.prediction.chip.weights
    assert verdict.differing == 0 and (before[0] == now[0]).all() and (before[1] != now[1]).any()


@pytest.mark.parametrize(("noise", "stalls"), [(0.3, "long"), (0.3, "random"), (0.0, "long")])
def test_every_read_of_the_last_layer_gives_its_outputs(noise, stalls):
    """None is lost where results leave slowly, and each has its own noise."""
    r, samples = small("three_reads", devices={"read_noise": noise}), 8
    record, verdict = in_hardware(r, samples, stalls)
    assert verdict.differing == 0, verdict.mismatches[:5]
    assert verdict.coverage["transfer on o_result"] == samples * 3 * 3
    at = 2 * streams.STREAMS.index("o_result")
    taken = [p & 0xFF for c, s, p in record.payloads if s == "o_result" and record.handshakes[c] >> at & 3 == 3]
    reads = np.array(taken).reshape(samples, 3, 3)
    # a nudge does not move the mean of a unit inside its limits: without noise the first read is what inference gives, the last what it
    # gives after the update
    chip, rng = emulator.Chip(r), np.random.default_rng(0)
    chip.weights = emulator.initial_weights(r)
    for n in range(samples):
        x = rng.integers(0, 32, 5).astype(np.int32)
        if not noise:
            np.testing.assert_array_equal(reads[n, 0].astype(np.int8), chip.infer(x[None])[0])
        chip.train(x[None], np.array([n % 3]))
        if not noise:
            np.testing.assert_array_equal(reads[n, 2].astype(np.int8), chip.infer(x[None])[0])
    assert (reads[:, 0] != reads[:, 1]).any() == (noise > 0) and (reads[:, 0] != reads[:, 2]).any()


def test_a_program_of_more_than_256_operations_is_the_same_in_hardware():
    r = small(
        "long_rule",
        sizes=(3, 2),
        lanes=(2,),
        devices={"read_noise": 0.3},
        rate_floor=2.0**-12,
        learning_rate=2.0**-12,
        rounding={"state": "stochastic", "accumulator": "stochastic", "delta": "stochastic"},
    )
    _, verdict = in_hardware(r, 1)
    assert verdict.differing == 0, verdict.mismatches[:5]


def test_the_longest_program_has_the_contracts_limit():
    infer, train = programs(small("longest"))
    assert len(infer.instructions) + len(train.instructions) == 4096


def test_it_learns_by_the_usual_command():
    r = Recipe.model_validate(recipe.load("digits").model_dump() | {"rule": f"{HERE}:last_layer"})
    history = emulator.train(r, *data.load("digits"), epochs=2, engine="jax")
    assert history.epochs[-1]["accuracy"] > 0.6 and history.epochs[-1]["loss"] > 0 and "errors 0" not in history.ranges


def test_rows_of_a_rule_that_was_changed_are_not_taken_for_new(monkeypatch):
    job, settings = Job(small("last_layer"), 1), Settings(1, 8, "none")
    before = key(job, settings)
    assert key(job, settings) == before
    monkeypatch.setattr(sys.modules[HERE], "last_layer", late_first_layer)
    assert key(job, settings) != before


def test_noise_that_is_no_state_is_refused():
    with pytest.raises(ValueError, match="sigma: 0.015625 is 0.5 LSBs of s8.5, which own_rules:hears_noise has as a column; allowed are"):
        small("hears_noise", sigma=2.0**-6, formats={"delta": {"width": 11, "frac": 8}})


@pytest.mark.parametrize("flying", [1, 2])
@pytest.mark.parametrize("rule", ["predictive-coding", "weight-mirror", "target-propagation"])
def test_rules_that_relax_and_hear_noise_are_the_same_in_hardware(rule, flying):
    r = Recipe(
        name="small",
        sizes=(5, 4, 6, 3),
        lanes=(4, 2, 3),
        rule=rule,
        alpha=0,
        beta=0.5,
        sweeps=(0, 2),
        sigma=0.25,
        decay=2.0**-8,
        formats={"delta": {"width": 11, "frac": 8}},
        samples_in_flight=flying,
    )
    _, verdict = in_hardware(r, 3, "never" if flying > 1 else "random")
    before, now = emulator.initial_weights(r), verdict.prediction.chip.weights
    assert verdict.differing == 0, verdict.mismatches[:5]
    assert all((a != b).any() for a, b in zip(before, now, strict=True))


def test_matrices_of_one_shape_on_engines_of_other_lanes_have_words_of_their_own():
    engines = [{"lanes": 3, "matrices": ["W0", "W1"]}, {"lanes": 2, "matrices": ["B1"]}]
    r = Recipe(name="small", sizes=(5, 4, 3), lanes=(3, 3), engines=engines, rule="kolen-pollack", decay=2.0**-8)
    _, verdict = in_hardware(r, 3)
    assert verdict.differing == 0, verdict.mismatches[:5]


def test_signs_of_a_matrix_beside_the_weights_are_those_in_hardware():
    r = small("OTHER_SIGNS")
    assert len(emulator.initial_weights(r)) == 3
    _, verdict = in_hardware(r, 3)
    assert verdict.differing == 0, verdict.mismatches[:5]


def test_the_rule_of_the_page_learns_and_is_judged(monkeypatch):
    """docs/rules.md: its code runs as it stands, on the emulator, in real numbers, and in hardware."""
    page = (Path(__file__).resolve().parent.parent / "docs" / "rules.md").read_text()
    module = types.ModuleType("my_rule")
    exec(re.search(r"```python\n(.*?)```", page, re.S)[1], module.__dict__)
    monkeypatch.setitem(sys.modules, "my_rule", module)
    recipe.allow("my_rule")
    house = load("digits").model_dump()
    formats = house["formats"] | {"state": {"width": 8, "frac": 7}}  # states that end at 1 keep learned feedback from running away
    r = Recipe.model_validate(
        house
        | {
            "sizes": (64, 24, 16, 10),
            "lanes": (16, 8, 8),
            "initial": 0.5,
            "learning_rate": 2.0**-5,
            "formats": formats,
            "rule": "my_rule:ALIGNED",
        }
    )
    digits = data.load("digits")
    history = emulator.train(r, digits.x_train[:600], digits.y_train[:600], digits.x_test, digits.y_test, epochs=3, engine="jax")
    assert history.epochs[-1]["accuracy"] > 0.7 and np.abs(history.weights[3]).max() > 0  # its matrices began at zero
    table = gradient.compare(r, history.weights, digits.x_train[:20], digits.y_train[:20])
    assert table["rule"]["cosine"] > 0.98 and table["exact"]["cosine"] > 0.2
    _, verdict = in_hardware(r.model_copy(update={"sizes": (6, 5, 4, 3), "lanes": (3, 2, 4)}), 2)
    assert verdict.differing == 0, verdict.mismatches[:5]


def test_the_pages_rule_of_two_phases_is_the_same_on_both_twins(monkeypatch):
    """docs/rules.md: differences of reads through a matrix of its own, cycle by cycle."""
    page = (Path(__file__).resolve().parent.parent / "docs" / "rules.md").read_text()
    module = types.ModuleType("my_contrast")
    exec(re.findall(r"```python\n(.*?)```", page, re.S)[1], module.__dict__)
    monkeypatch.setitem(sys.modules, "my_contrast", module)
    recipe.allow("my_contrast")
    r = Recipe.model_validate(
        load("digits-equilibrium").model_dump() | {"sizes": (5, 4, 3), "lanes": (4, 2), "rule": "my_contrast:CONTRAST"}
    )
    session, rng = bench.Session(r), np.random.default_rng(0)
    session.load(emulator.initial_weights(r))
    for n in range(3):
        session.train(rng.integers(0, 127, 5), n % 3)
    session.read()
    record = simulators.run(hdl.build(r), streams.play, session.arguments(dict.fromkeys(streams.STREAMS, "random"), watch=True), "amaranth")
    verdict = bench.judge(r, record, watch=True)
    before, now = emulator.initial_weights(r), verdict.prediction.chip.weights
    assert verdict.differing == 0 and (before[2] == now[2]).all() and all((a != b).any() for a, b in zip(before[:2], now[:2], strict=True))


def test_a_store_may_be_called_loss():
    """Which is not the register: the program is that of any other name."""
    r = Recipe(name="small", sizes=(7, 3, 3), lanes=(4, 2))

    def cycles(name):
        up = (*parts.hidden(r, mean=name), parts.nudged(r, column=name), parts.update(1, column=name), parts.update(0, row=name))
        return [i.cycle for i in compile_program(r, "own", up).instructions]

    assert cycles("loss") == cycles("means")
