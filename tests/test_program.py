"""Programs: no engine twice at once, no data before it is made or after it is overwritten, and a length that fits."""

from dataclasses import replace

import player
import pytest
from hypothesis import given, settings
from strategies import recipes

from crossdyad.recipe import RULES, Op, Operation, Recipe, compile_program, geometries, load, program_memory, programs, rules, table
from crossdyad.recipe.rules import parts

GENERATED = ("slope", "signs", "noise")
HARDWARE = ("inference", "dual-propagation", "spsa")


def with_rule(recipe, name):
    """The recipe with a rule, or None where its formats do not suit it."""
    more = {"delta": {"width": 16, "frac": 8}} if recipe.formats.delta.frac < recipe.formats.state.frac else {}
    formats = recipe.formats.model_dump() | more
    try:
        return Recipe.model_validate(recipe.model_dump() | {"rule": name, "decay": 2.0**-12, "formats": formats, "devices": {}})
    except ValueError:
        return None


@settings(max_examples=60, deadline=None)
@given(recipes())
def test_engines_gaps_and_length(recipe):
    for rule in HARDWARE:
        program = compile_program(recipe, rule, rules.rule(rule).train(recipe))
        g = geometries(recipe)
        cycles = [i.cycle for i in program.instructions]
        assert cycles[0] >= 2 and all(b - a >= 2 for a, b in zip(cycles, cycles[1:], strict=False))
        free = [0] * recipe.layers
        for i in program.instructions:
            assert i.cycle >= free[i.engine]
            free[i.engine] = i.cycle + g[i.engine].slots(i.op)
        # the last sum leaves 6 + slots + lanes after a start at most, an element 12 later
        assert program.length <= 1 + max(i.cycle + 7 + g[i.engine].slots(i.op) + g[i.engine].L + 20 for i in program.instructions)


@settings(max_examples=15, deadline=None)
@given(recipes())
def test_every_read_finds_the_element_of_its_own_operation(recipe):
    for rule in RULES:
        if chip := with_rule(recipe, rule):
            infer, train = programs(chip)
            assert player.faults(chip, train, chip.steps) == [] == player.faults(chip, infer, rules.rule(rule).infer(chip))


def again(recipe):
    """Several rounds that overwrite what is still being read: the hazards of dual propagation and more."""
    for _ in range(2):
        yield from parts.hidden(recipe)
        yield parts.nudged(recipe)
        for k in range(recipe.layers - 1, 0, -1):
            yield parts.update(k)
            yield parts.back(k)
    yield parts.update(0)
    yield from parts.inference(recipe)


@settings(max_examples=60, deadline=None)
@given(recipes())
def test_a_rule_with_every_hazard_is_played_as_written(recipe):
    steps = list(again(recipe))
    assert player.faults(recipe, compile_program(recipe, "again", steps), steps) == []


@pytest.mark.parametrize("n", [1, 3, 4])  # waits for means, for errors, for revised means
def test_the_player_notices_an_operation_that_starts_a_cycle_early(n):
    recipe = load("digits")
    program = programs(recipe)[1]
    early = [replace(i, cycle=i.cycle - (m == n)) for m, i in enumerate(program.instructions)]
    assert player.faults(recipe, replace(program, instructions=tuple(early)), recipe.steps)


def small(rule):
    """A chip of three layers, with units that every rule can settle."""
    return Recipe(name="a", sizes=[9, 7, 5, 3], lanes=[4, 3, 2], alpha=0, rule=rule, activation="hard_sigmoid", output="hard_sigmoid")


def late(recipe, program, steps):
    """Return the instructions that could start a cycle earlier, what stands before them left as it is."""
    starts, found = [i.cycle for i in program.instructions], []
    for n, cycle in enumerate(starts):
        if cycle > 2 and all(abs(cycle - 1 - other) >= 2 for m, other in enumerate(starts) if m != n):  # the sequencer has time
            early = [replace(i, cycle=i.cycle - (m == n)) for m, i in enumerate(program.instructions)]
            faults = player.faults(recipe, replace(program, instructions=tuple(early)), steps)
            found += [] if any(not f.startswith("length") for f in faults) else [program.instructions[n]]
    return found


@pytest.mark.parametrize("name", sorted(set(RULES) - {"inference"}))
def test_no_operation_could_start_a_cycle_earlier(name):
    """The player would find a wrong element, or two at a place."""
    recipe = small(name)
    assert late(recipe, programs(recipe)[1], recipe.steps) == []


@pytest.mark.parametrize("lanes", [(9, 7, 5), (4, 3, 2), (1, 1, 1)])
def test_nor_could_one_among_all_hazards(lanes):
    recipe = Recipe(name="a", sizes=[9, 7, 5, 3], lanes=lanes)
    steps = list(again(recipe))
    assert late(recipe, compile_program(recipe, "again", steps), steps) == []


@pytest.mark.parametrize("name", sorted(set(RULES) - {"inference"}))
def test_a_memory_holds_every_store_that_programs_read_there(name):
    """A slot for each, as the steps name them; of samples the two banks."""
    recipe = small(name)
    matrices = {m.name: m for m in recipe.matrices}
    read = {}
    for step in [*recipe.steps, *rules.rule(recipe.rule).infer(recipe)]:
        m = matrices[step.matrix]
        engine, _ = player.engine_of(recipe, m)
        for port, population in (("column", m.below), ("row", m.above)):
            if getattr(step, port) not in ("", *GENERATED):
                read.setdefault((engine, port, population), set()).add(getattr(step, port))
    held = {(e, m.port, m.population): m for e, engine in enumerate(table.engines(recipe)) for m in engine.memories}
    for where, stores in read.items():
        assert stores <= set(held[where].stores) and held[where].slots == (len(held[where].stores) if where[2] else 2)
    assert set(held) == set(read)


@settings(max_examples=40, deadline=None)
@given(recipes())
def test_spsa_probes_and_restores_every_layer(recipe):
    program = compile_program(recipe, "spsa", rules.rule("spsa").train(recipe))
    for k in range(recipe.layers):
        rewrites = [(i.op, i.step.negative) for i in program.instructions if i.step.matrix == f"W{k}" and not i.step.reads]
        assert rewrites == [(Op.PROBE, False), (Op.PROBE, True), (Op.PROBE, False), (Op.UPDATE, False)]


@pytest.mark.parametrize(("name", "most"), [("digits", 358), ("digits-deep", 1531), ("xor", 103), ("mnist", 25442)])
def test_cycles_of_a_training_step(name, most):
    assert programs(load(name))[1].length <= most


def test_a_step_of_a_small_net_takes_less_than_a_microsecond_of_a_hundred_megahertz():
    assert programs(Recipe(name="small", sizes=(16, 8, 4), lanes=(16, 8)))[1].length == 88


@pytest.mark.parametrize(("name", "lanes", "most"), [("digits", 16, 364), ("digits-deep", 16, 794), ("mnist", 28, 14834)])
def test_one_row_of_lanes_for_all_matrices_is_busy_nearly_always(name, lanes, most):
    recipe = load(name)
    held = [f"W{k}" for k in range(recipe.layers)]
    shared = Recipe.model_validate(recipe.model_dump() | {"lanes": (), "engines": [{"lanes": lanes, "matrices": held}]})
    assert len(table.engines(shared)) == 1 and programs(shared)[1].length <= most


def test_program_memory_holds_infer_then_train():
    recipe = load("digits")
    infer, train = programs(recipe)
    memory, first = program_memory(recipe)
    assert memory[:first] == infer.instructions and memory[first:] == train.instructions
    assert program_memory(Recipe.model_validate(recipe.model_dump() | {"rule": "inference"})) == (infer.instructions, 0)


@pytest.mark.parametrize("name", ["digits", "xor"])
def test_programs_print_one_line_per_instruction(name):
    infer, _ = programs(load(name))
    assert len(str(infer).splitlines()) == 2 + len(infer.instructions)


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (parts.update(1), "update W1 += error1 input1"),
        (parts.update(1, negative=True), "update W1 -= error1 input1"),
        (parts.update(1, decay=8), "update W1 += error1 input1, decay 8"),
        (Operation(Op.PROBE, "W0", negative=True), "probe W0 -= epsilon signs"),
        (Operation(Op.FORWARD, "W1", column="input1", unit=1), "forward W1 input1 -> unit 1 drive: nothing"),
        (
            Operation(Op.FORWARD, "W1", column="input1", unit=1, force="clamp", negative=True, keep_drive=True, mean="a", result=True),
            "forward W1 input1 -> unit 1 drive, -clamp: drive, a, result",
        ),
        (
            Operation(Op.TRANSPOSED, "W1", row="error1", unit=0, enter="more", noise=-1, gain=2, difference="b"),
            "transposed W1^T error1, noise -1 * 2**2 -> unit 0 more: b",
        ),
    ],
)
def test_operations_in_words(step, told):
    assert str(step) == told
