"""Programs that nobody would write, on chips that nobody chose: emulator, its trace and the hardware are one."""

import random
import sys

import laws_of_programs
import numpy as np
import pytest

from crossdyad import emulator, hdl
from crossdyad.emulator import walk
from crossdyad.recipe import RULES, Op, Recipe, Rule, allow, in_memory, programs, repeats
from crossdyad.recipe.rules import parts
from crossdyad.sim import chip, simulators, streams, variety

allow(__name__)
KEPT, FORCED = ("dyad", "gate", "feedback"), ("", "drive", "clamp", "feedback")


def strange(seed):
    """Inference, a nudged read, then any operations of contract section 12, some of them several times over."""

    def once(recipe, draw):
        last = recipe.layers - 1
        for step in laws_of_programs.drawn_machine(seed)(recipe):
            if step.op is Op.UPDATE:
                yield step._replace(negative=draw.random() < 0.4, gain=draw.choice((0, 0, 1, 2)), decay=draw.choice((0, 0, 8, 9)))
            elif step.unit < last:
                yield step._replace(error=draw.choice(KEPT))
            else:
                force = draw.choice(FORCED)
                yield step._replace(
                    error=draw.choice(KEPT),
                    force=force,
                    negative=bool(force) and draw.random() < 0.5,
                    loss=draw.choice(("keep", "zero", "set", "subtract")),
                    result=step.op is Op.FORWARD and draw.random() < 0.5,
                )

    def steps(recipe):
        draw = random.Random(seed)
        yield from parts.hidden(recipe)
        yield parts.nudged(recipe)
        listed = list(once(recipe, draw))
        first = draw.randrange(len(listed)) if listed else 0
        again = listed[first : first + draw.randint(1, 4)]
        yield from listed + again * draw.choice((0, 0, 2, 5))

    return steps


def drawn(seed: int) -> Recipe:
    """Return a recipe with a program of its own; always the same one for a seed."""
    draw = random.Random(seed)
    while True:
        house = draw.choice([name for name in RULES if name != "spsa"])
        setattr(sys.modules[__name__], f"RULE_{seed}", Rule(strange(draw.getrandbits(30)), matrices=RULES[house].matrices))
        try:
            return Recipe.model_validate(variety.table(draw, f"drawn-{seed}", house, f"{__name__}:RULE_{seed}"))
        except ValueError:  # of the recipe, or of a rule whose matrices it has no room for
            continue


def session_of(recipe: Recipe, seed: int) -> chip.Session:
    """Three samples learned at falling rates, each inferred again."""
    session, draw = chip.Session(recipe), np.random.default_rng(seed)
    weight, state = recipe.formats.weight, recipe.formats.state
    session.load([draw.integers(weight.min, weight.max + 1, (g.R, g.C)) for g in in_memory(recipe)])
    for n in range(3):
        x = draw.integers(state.min, state.max + 1, recipe.sizes[0])
        session.train(x, int(draw.integers(recipe.sizes[-1])))
        session.rate(7 - n)
        session.infer(x)
    session.read()
    return session


@pytest.mark.parametrize("seeds", [range(8), pytest.param(range(8, 500), marks=pytest.mark.slow)], ids=["few", "many"])
def test_drawn_programs_are_the_same_in_hardware(seeds, monkeypatch):
    monkeypatch.setattr(repeats, "WORTH", 1)  # blocks wherever rows come again
    folded = 0
    for seed in seeds:
        recipe = drawn(seed)
        folded += any(row.block for row in repeats.rows([programs(recipe)[True]])[0])
        arguments = session_of(recipe, seed).arguments(dict.fromkeys(streams.STREAMS, "random"), True)
        verdict = chip.judge(recipe, simulators.run(hdl.build(recipe), streams.play, arguments, "amaranth"), True)
        assert not verdict.differing, (seed, verdict.mismatches[:5])
    assert folded > len(seeds) / 10


@pytest.mark.parametrize("seeds", [range(12), pytest.param(range(12, 500), marks=pytest.mark.slow)], ids=["few", "many"])
def test_whole_operations_are_their_cycles(seeds):
    """The transactions of a program give what its trace counts, cycle by cycle."""
    for seed in seeds:
        recipe, draw = drawn(seed) if seed % 2 else variety.drawn(seed), np.random.default_rng(seed)
        weight, state = recipe.formats.weight, recipe.formats.state
        made = emulator.Chip(recipe, "numpy")
        made.weights = [draw.integers(weight.min + recipe.guard, weight.max - recipe.guard + 1, (g.R, g.C)) for g in in_memory(recipe)]
        x, y = draw.integers(state.min, state.max + 1, (1, recipe.sizes[0])).astype(np.int32), draw.integers(0, recipe.sizes[-1], 1)
        before = made.state()
        if not recipe.learns:
            continue
        events = walk.trace(recipe, before, x[0], int(y[0]))
        outputs = made.train(x, y).outputs[0].tolist()
        assert [e[4] for e in events if e[2] == "result"][-recipe.sizes[-1] :] == outputs, seed
        for name, count in made.saturations.items():
            told = sum(e[4] for e in events if e[2] == f"events_{name}")
            assert told == int(count) - int(before[f"saturations_{name}"]), (seed, name)
        assert events[-1][4] == int(made.loss), seed
