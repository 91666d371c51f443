"""Programs: no engine twice at once, no data before it is made or after it is overwritten, and a length that fits."""

import pytest
from hypothesis import given, settings
from strategies import recipes

from crossdyad.recipe import Op, Operand, Recipe, compile_program, geometries, load, program_memory, programs

RULES = ("inference", "dual-propagation", "spsa")


@settings(max_examples=60, deadline=None)
@given(recipes())
def test_engines_gaps_and_length(recipe):
    for rule in RULES:
        program = compile_program(recipe, rule)
        g = geometries(recipe)
        cycles = [i.cycle for i in program.instructions]
        assert cycles[0] >= 2 and all(b - a >= 2 for a, b in zip(cycles, cycles[1:], strict=False))
        free = [0] * recipe.layers
        for i in program.instructions:
            assert i.cycle >= free[i.layer]
            free[i.layer] = i.cycle + g[i.layer].busy(i.op)
        assert program.length == 1 + max(i.cycle + g[i.layer].ready(i.op) for i in program.instructions)


def _order(program, *wanted):
    """Start cycles of the instructions (layer, op, operand), each the first after the one before."""
    found, at = [], -1
    for layer, op, operand in wanted:
        match = next(i for i in program.instructions if (i.layer, i.op, i.operand) == (layer, op, operand) and i.cycle > at)
        at = match.cycle
        found.append(match)
    return found


@settings(max_examples=60, deadline=None)
@given(recipes())
def test_dual_propagation_respects_its_data(recipe):
    program, g, last = compile_program(recipe, "dual-propagation"), geometries(recipe), recipe.layers - 1
    operand = [Operand.FREE] * last + [Operand.NUDGE]
    forward = _order(program, *[(k, Op.FORWARD, operand[k]) for k in range(last + 1)])
    back = {k: _order(program, (k, Op.TRANSPOSED, Operand.FREE))[0] for k in range(1, last + 1)}
    update = {k: _order(program, (k, Op.UPDATE, Operand.DELTA))[0] for k in range(last + 1)}
    done = lambda i: i.cycle + g[i.layer].ready(i.op)  # noqa: E731
    for below, above in zip(forward, forward[1:], strict=False):
        assert above.cycle >= done(below)
    for k in range(last, 0, -1):
        # the transposed read uses the old weights, makes the error below and revises the input
        assert back[k].cycle >= done(forward[k] if k == last else back[k + 1])
        assert update[k].cycle >= done(back[k]) and update[k - 1].cycle >= done(back[k])
    assert len(program.instructions) == len(forward) + len(back) + len(update)


@settings(max_examples=40, deadline=None)
@given(recipes())
def test_spsa_probes_and_restores_every_layer(recipe):
    program = compile_program(recipe, "spsa")
    for k in range(recipe.layers):
        rewrites = [(i.op, i.operand) for i in program.instructions if i.layer == k and i.op in (Op.PROBE, Op.UPDATE)]
        assert rewrites == [(Op.PROBE, Operand.PLUS), (Op.PROBE, Operand.MINUS), (Op.PROBE, Operand.PLUS), (Op.UPDATE, Operand.SLOPE)]
    g, last = geometries(recipe), recipe.layers - 1
    subtract = _order(program, (last, Op.FORWARD, Operand.SUBTRACT))[0]
    assert all(i.cycle >= subtract.cycle + g[last].ready(Op.FORWARD) for i in program.instructions if i.op is Op.UPDATE)


def test_a_training_step_of_digits_takes_at_most_450_cycles():
    assert compile_program(load("digits"), "dual-propagation").length <= 450


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
