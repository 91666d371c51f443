"""What a recipe derives, by the contract's formulas: rows, folds, words and widths."""

import random

import player
from law import FORMATS, chip_of, law

from crossdyad.recipe import Instruction, Op, Operation, geometries


def clog2(n):
    return next(k for k in range(64) if 2**k >= n)


def drawn_geometries():
    draw = random.Random(1)
    for _ in range(60):
        sizes = [draw.randint(1, 70) for _ in range(draw.randint(2, 4))]
        lanes = [draw.choice([n for n in (1, 2, 4, 8, 16, 32, 64) if n < 2 * c]) for c in sizes[:-1]]
        formats = {p: (draw.randint(6, 18), 4) for p in FORMATS} | {"weight": (width := draw.randint(8, 18), width - 3)}
        recipe = chip_of(
            sizes,
            lanes,
            formats=formats,
            rule=draw.choice(("dual-propagation", "spsa")),
            epsilon=2.0 ** -draw.choice((1, 2, 3)),
            learning_rate=2.0**-3,
            rate_floor=2.0**-5,
        )
        for k in range(recipe.layers):
            yield recipe, k, geometries(recipe)[k]


@law
def sizes_are_the_contracts():
    for recipe, k, g in drawn_geometries():
        R, C, L = recipe.sizes[k + 1], recipe.sizes[k], recipe.lanes[k]
        f, last = recipe.formats, k == len(recipe.sizes) - 2
        F = len(range(0, C, L))  # words that a row of C columns takes
        assert (g.R, g.C, g.L, g.F, g.N, g.P) == (R, C, L, F, R * F, max(R, L))
        assert g.lv == clog2(L) and g.G == len(range(0, L, 16)) and g.is_last == last
        forward, transposed = Operation(Op.FORWARD, f"W{k}", "input0"), Operation(Op.TRANSPOSED, f"W{k}", row="error")
        assert g.sums(forward) == f.weight.width + f.state.width + clog2(C)
        assert g.sums(transposed) == f.weight.width + f.delta.width + clog2(R)
        assert g.sums(Operation(Op.TRANSPOSED, f"W{k}", row="input0")) == f.weight.width + f.state.width + clog2(R)
        assert g.loss_width == 2 * (f.accumulator.width + 1) + clog2(R) + 1
        for op in Op:
            assert g.slots(op) == slots(recipe, Instruction(0, k, Operation(op, f"W{k}")))


@law
def widths_hold_the_largest_numbers():
    for recipe, _, g in drawn_geometries():
        f, b = recipe.formats, recipe.bits
        largest_delta = 2 ** (f.delta.width - 1)
        scalars = [largest_delta << 7]  # the rate register reaches 7
        if recipe.rule == "spsa":
            scalars.append(round(2 * recipe.epsilon / f.weight.step) << 8)  # a probe of minus twice epsilon, S = 8
        factor = 2 ** (f.state.width - 1)
        assert g.operand_width == b.operand and max(scalars) <= 2 ** (b.operand - 1)
        assert b.product == 64 or max(scalars) * factor < 2 ** (b.product - 1)
        assert max(scalars) * factor < 2**62
        sums = [g.sums(Operation(*of)) for of in ((Op.FORWARD, "W0", "input0"), (Op.TRANSPOSED, "W0", "", "error"))]
        assert g.C * 2 ** (f.weight.width - 1) * factor <= 2 ** (sums[0] - 1)
        assert g.R * 2 ** (f.weight.width - 1) * largest_delta <= 2 ** (sums[1] - 1)
        assert g.R * (2**f.accumulator.width) ** 2 < 2 ** (g.loss_width - 1)


def slots(recipe, instruction):
    """Contract section 8: cycles from a start to the engine's next one."""
    m = next(m for m in recipe.matrices if m.name == instruction.step.matrix)
    R, C, (_, L) = recipe.sizes[m.above], recipe.sizes[m.below], player.engine_of(recipe, m)
    F = -(-C // L)
    return (F - 1) * max(R, L) + R if instruction.op == Op.TRANSPOSED else R * F
