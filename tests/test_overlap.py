"""Samples in flight: programs that overlap give the bits of one sample after the other, or those of weights as stale as is said."""

from dataclasses import replace

import numpy as np
import player
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import recipes
from test_drawn import drawn

from crossdyad import emulator, hdl
from crossdyad.emulator import edge, engine, sequencer
from crossdyad.recipe import RULES, Recipe, RecipeError, in_memory, load, parse, programs, table
from crossdyad.recipe.program import lasting
from crossdyad.sim import chip, simulators, streams, variety

NAMES = [r.name for r in variety.recipes() if r.samples_in_flight > 1]
STALE = [name for name in NAMES if any(variety.named(name).staleness)]
SAMPLES = 4


def two(recipe, **changes) -> Recipe:
    """The chip with two samples in flight."""
    return Recipe.model_validate(recipe.model_dump() | {"samples_in_flight": 2} | changes)


def shared(name: str, lanes: int) -> Recipe:
    """A preset on one row of lanes, two samples in flight."""
    recipe = load(name)
    return two(recipe, lanes=(), engines=[{"lanes": lanes, "matrices": [f"W{k}" for k in range(recipe.layers)]}])


def faults(recipe, program=None):
    """What the player finds in overlapping samples; in one, if nothing overlaps."""
    program = program or programs(recipe)[1]
    samples = max(SAMPLES, 2 * program.in_flight) if program.interval else 1
    return player.faults(recipe, program, recipe.steps, samples, lasting(recipe))


@st.composite
def learners(draw):
    """Chips of every rule on engines of their own or shared ones."""
    recipe = draw(recipes())
    rule = draw(st.sampled_from([name for name in RULES if name != "inference"]))
    assume(rule != "reversible" or recipe.layers > 2)  # blocks lie between two hidden units
    placed = {}
    if draw(st.booleans()):
        names = [m.name for m in RULES[rule].matrices(recipe)]
        rows = [[], []]
        for name in names:
            rows[draw(st.integers(0, 1))].append(name)
        most = 2 * min(recipe.sizes) - 1
        placed = {"lanes": (), "engines": [{"lanes": draw(st.integers(1, min(most, 16))), "matrices": row} for row in rows if row]}
    try:
        return two(recipe, rule=rule, sweeps=(1, 1), decay=2.0**-8, **placed)
    except ValueError:
        assume(False)


@settings(max_examples=60, deadline=None)
@given(learners())
def test_every_read_finds_the_element_of_its_own_sample_and_the_weights_of_the_one_before(recipe):
    program = programs(recipe)[1]
    assert faults(recipe) == []
    if program.interval:
        assert recipe.sizes[0] + 10 <= program.interval <= program.length - 2 <= 2 * program.interval - 2
    assert not any(program.staleness.values())


@settings(max_examples=30, deadline=None)
@given(learners())
def test_positions_and_operations_are_those_of_one_sample_after_the_other(recipe):
    """So random words are the same."""
    alone = programs(Recipe.model_validate(recipe.model_dump() | {"samples_in_flight": 1}))
    assert [[i.step for i in p.instructions] for p in programs(recipe)] == [[i.step for i in p.instructions] for p in alone]
    assert programs(recipe)[0] == alone[0] and programs(recipe)[1].period <= alone[1].length


@pytest.mark.parametrize("name", [name for name in NAMES if name not in STALE])
def test_the_chip_learns_what_it_learns_one_sample_after_the_other(name):
    """In hardware, with samples waiting, and one chip with pauses, too: weights and results are those of the sequential emulator."""
    recipe = variety.named(name)
    alone = Recipe.model_validate(recipe.model_dump() | {"samples_in_flight": 1})
    draw, f, session = np.random.default_rng(5), recipe.formats, chip.Session(recipe)
    twin = emulator.Chip(alone)
    twin.weights = emulator.initial_weights(alone)
    session.load(twin.weights)
    given = [(draw.integers(f.state.min, f.state.max + 1, recipe.sizes[0]), int(draw.integers(recipe.sizes[-1]))) for _ in range(6)]
    for x, y in given:
        session.train(x, y)
    session.read()
    expected = [int(v) for x, y in given for v in twin.train(x[None].astype(np.int32), np.array([y])).outputs.ravel()]
    for stall in ("never", "random")[: 1 + (name == NAMES[0])]:
        record = simulators.run(hdl.build(recipe), streams.play, session.arguments(dict.fromkeys(streams.STREAMS, stall), True), "amaranth")
        verdict = chip.judge(recipe, record, True)
        assert verdict.mismatches == [] and verdict.prediction.overlaps >= (5 if stall == "never" else 1)

        def taken(stream, record=record):
            at = 2 * streams.STREAMS.index(stream)
            return [v for c, s, v in record.payloads if s == stream and record.handshakes[c] >> at & 3 == 3]

        span = 1 << f.state.width
        assert [((v & span - 1) ^ span // 2) - span // 2 for v in taken("o_result")] == expected
        read = np.array(taken("o_weight"))
        width = recipe.weight_width
        assert (((read & (1 << width) - 1) ^ 1 << width - 1) - (1 << width - 1)).tolist() == np.concatenate(
            [w.ravel() for w in twin.weights]
        ).tolist()


@pytest.mark.parametrize("seeds", [(4, 6, 7), pytest.param(range(12, 300), marks=pytest.mark.slow)], ids=["few", "many"])
def test_drawn_programs_overlap_in_hardware(seeds):
    """Programs that nobody would write, samples waiting."""
    overlaps = 0
    for seed in seeds:
        try:
            recipe = two(drawn(seed))
        except ValueError:  # it does not learn
            continue
        draw, session, f = np.random.default_rng(seed), chip.Session(recipe), recipe.formats
        session.load([draw.integers(f.weight.min, f.weight.max + 1, (g.R, g.C)) for g in in_memory(recipe)])
        for _ in range(4):
            session.train(draw.integers(f.state.min, f.state.max + 1, recipe.sizes[0]), int(draw.integers(recipe.sizes[-1])))
        session.infer(draw.integers(f.state.min, f.state.max + 1, recipe.sizes[0]))
        session.read()
        record = simulators.run(hdl.build(recipe), streams.play, session.arguments({}, True), "amaranth")
        verdict = chip.judge(recipe, record, True)
        assert not verdict.differing, (seed, verdict.mismatches[:5])
        overlaps += verdict.prediction.overlaps
    assert overlaps >= len(seeds)


@pytest.mark.parametrize(("name", "lanes", "busy"), [("digits", 16, 0.948), ("digits-deep", 16, 0.977), ("mnist", 28, 0.986)])
def test_one_row_of_lanes_is_busy_nearly_always(name, lanes, busy):
    recipe = shared(name, lanes)
    products = sum(recipe.sizes[m.below] * recipe.sizes[m.above] for step in recipe.steps for m in recipe.matrices if m.name == step.matrix)
    assert products / lanes / programs(recipe)[1].interval >= busy


@pytest.mark.parametrize("n", range(5))
def test_the_player_notices_an_operation_that_is_moved_by_a_cycle_too_many(n):
    """The first one must be in cycle 2; each of the others is bound to come before or after something."""
    recipe = shared("digits", 16)
    program = programs(recipe)[1]
    assert faults(recipe, replace(program, interval=program.interval - 1))
    for by in (-40, 40):
        moved = [replace(i, cycle=i.cycle + by * (m == n)) for m, i in enumerate(program.instructions)]
        assert faults(recipe, replace(program, instructions=tuple(moved)))


def test_the_player_notices_a_store_that_both_samples_have():
    recipe = shared("digits", 16)
    assert lasting(recipe) == {"input0": 2, "input1": 2}
    assert player.faults(recipe, programs(recipe)[1], recipe.steps, SAMPLES, {"input0": 2})
    assert player.faults(recipe, programs(recipe)[1], recipe.steps, SAMPLES, {"input1": 2})


def test_a_chip_without_a_second_sample_has_nothing_of_it():
    ports, operations = [], []
    for recipe in (load("digits"), two(load("digits"))):
        operations.append([len(found.operations) for found in table.engines(recipe)])
        ports.append(({*engine.inputs(recipe, 0)}, {*sequencer.inputs(recipe)}))
    assert operations == [[2, 4], [4, 8]]
    assert ports[0][0] - ports[1][0] == {"bank"} and ports[1][1] - ports[0][1] == {"turn"} == ports[1][0] - ports[0][0]


def test_programs_follow_at_the_interval_or_when_all_is_over():
    """Against contract section 9: in the cycle of the interval, if all is there then; else when no program runs."""
    recipe = variety.named("overlaps")
    program, cycles = programs(recipe)[1], 2000
    late = np.ones(cycles, int)
    first = recipe.sizes[0]  # in this cycle the first launch
    late[first : first + program.interval] = 0  # the second label comes too late for the interval
    for labels, second in ((np.ones(cycles, int), first + program.interval), (late, first + program.length + 1)):
        block, launches, waiting = edge.Clocked(recipe), [], [edge.TRAIN] * 3 + [edge.INFER]
        for c in range(cycles):
            given = dict.fromkeys(edge.INPUTS, 1) | {
                "i_command_valid": bool(waiting),
                "i_command_code": waiting[0] if waiting else 0,
                "i_label_valid": int(labels[c]),
                "i_weight_valid": 0,
            }
            shown = block.clock(**given)
            launches += [c] * shown["launch"]
            if waiting and shown["i_command_ready"]:
                waiting.pop(0)
            busy = shown["busy"]
        assert launches == [first, second, second + program.interval, second + program.interval + program.length + 1]
        assert not busy and shown["step"] == 3


def test_samples_that_take_longest_to_load_still_follow():
    """An element a cycle: the interval leaves time for all of them."""
    recipe = two(variety.small("loads", sizes=(60, 3, 2), lanes=(60, 2)))
    assert programs(recipe)[1].interval == 60 + 10
    block, launches = edge.Clocked(recipe), []
    for c in range(300):
        given = dict.fromkeys(edge.INPUTS, 1) | {"i_command_code": edge.TRAIN, "i_weight_valid": 0}
        launches += [c] * block.clock(**given)["launch"]
    assert launches == [60, 130, 200, 270]


def test_what_cannot_overlap_says_so():
    with pytest.raises(RecipeError, match="samples_in_flight: 2 with rule inference, which learns nothing; allowed is 1"):
        parse("name = 'a'\nsizes = [3, 2]\nlanes = [2]\nrule = 'inference'\nsamples_in_flight = 2")
    with pytest.raises(RecipeError, match="samples_in_flight"):
        parse("name = 'a'\nsizes = [3, 2]\nlanes = [2]\nsamples_in_flight = 3")
