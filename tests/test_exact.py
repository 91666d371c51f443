"""The exact gradient of what a rule infers: against the reference, and against differences of the objective."""

import numpy as np
import pytest
from estimated import estimated

from crossdyad import emulator, models
from crossdyad.recipe import Matrix, Op, Operation, Recipe, Rule, allow, rules
from crossdyad.sim import gradient, real
from crossdyad.sim.rules import FINE

SIZES = (7, 6, 5, 3)
allow(__name__)


def recipe(rule: str, **changes) -> Recipe:
    given = {"name": "exact", "sizes": SIZES, "lanes": (2, 2, 2), "rule": rule, "formats": FINE, "alpha": 0.5, "beta": 0.5, "initial": 1.0}
    return Recipe.model_validate(given | changes)


def samples(count: int = 12):
    draw = np.random.default_rng(3)
    return draw.uniform(-1, 1, (count, SIZES[0])), draw.integers(0, SIZES[-1], count)


@pytest.mark.parametrize("activation", ["relu", "tanh", "hard_sigmoid", "leaky_relu"])
@pytest.mark.parametrize("objective", ["squared-error", "squared-hinge"])
@pytest.mark.parametrize("bias", [False, True])
def test_of_a_feed_forward_net_it_is_the_reference_s(activation, objective, bias):
    r = recipe("dual-propagation", activation=activation, objective=objective, bias=bias)
    weights, (x, y) = emulator.initial_weights(r), samples()
    made, wanted = real.exact(r, weights, x, y), estimated(r, models.exact_gradient, weights, x, y)
    assert sum(np.abs(g).sum() for g in wanted) > 1
    for a, b in zip(made, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def matrices(r):
    yield from rules.parts.weights(r)
    yield Matrix("S", 0, 3, 2)
    yield Matrix("L", 1, 1, 0)
    yield Matrix("B2", 2, 3, 2)
    yield Matrix("C2", 2, 3, 2, "generator")


def steps(r, **last):
    """Yield one read of each kind, so that outputs hang on all that a unit can do; labels push the outputs on the way."""
    yield Operation(Op.FORWARD, "W0", "input0", unit=0, keep_drive=True, mean="h")
    yield Operation(Op.FORWARD, "L", "h", unit=0, enter="less", keep_drive=True, mean="g")
    yield Operation(Op.TRANSPOSED, "L", row="g", unit=0, enter="more", mean="h", difference="d0")
    yield Operation(Op.FORWARD, "W1", "h", unit=1, keep_drive=True, keep_feedback=True, mean="u")
    yield Operation(Op.FORWARD, "W2", "u", unit=2, keep_drive=True, force="feedback", error="gate", mean="o", difference="e")
    yield Operation(Op.TRANSPOSED, "B2", row="e", unit=1, enter="relax", leak=1, keep_feedback=True, error="gate", moved=True, mean="v")
    yield Operation(Op.FORWARD, "W2", "v", unit=2, force="drive" if r.objective == "squared-hinge" else "clamp", mean="o")
    yield Operation(Op.TRANSPOSED, "C2", row="o", unit=1, enter="relax", leak=2, keep_feedback=True, moved=True, mean="u")
    yield Operation(Op.FORWARD, "W2", "u", unit=2, enter="more", force="drive", negative=True, mean="o", result=True)
    yield Operation(Op.TRANSPOSED, "W2", row="o", unit=1, enter="feedback", error="feedback", difference="d1", mean="v")
    yield Operation(Op.TRANSPOSED, "W1", row="d1", unit=0, enter="feedback", error="dyad", moved=True, mean="g")
    yield Operation(Op.FORWARD, "W1", "g", unit=1, enter="more", mean="u")
    yield Operation(Op.FORWARD, "S", "input0", unit=2, keep_drive=True)
    yield Operation(Op.FORWARD, "W2", "u", unit=2, enter="more", keep_drive=True, loss="zero")
    yield Operation(Op.FORWARD, "W2", "v", unit=2, enter="feedback", mean="o", result=True, **last)
    yield Operation(Op.FORWARD, "W0", "input0", unit=0, mean="h")


def learns(r):
    yield from steps(r, force="feedback", difference="e", loss="set")
    yield rules.parts.update(2, row="e", column="u")


ALL = Rule(learns, steps, matrices)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("objective", ["squared-error", "squared-hinge"])
@pytest.mark.parametrize("alpha", [0, 0.5, 1])
def test_of_any_inference_it_is_the_slope_of_the_objective(alpha, objective, bias):
    """Where nothing crosses a knot; of 80 weights drawn at random, along each the differences of the objective of twelve samples."""
    r = recipe(f"{__name__}:ALL", alpha=alpha, objective=objective, bias=bias, activation="leaky_relu", initial=0.5)
    weights, (x, y) = emulator.initial_weights(r), samples()

    def costs(held):
        player = real.of_chip(r, list(held), x, y)
        for step in steps(r):
            player.read(step)
        return (player.error(player.outputs) ** 2).sum(1) / 2

    names = [g.matrix.name for g in real.learned(r)]
    assert names == ["W0", "W1", "W2", "S", "L", "B2"]
    made, draw, unit, off = dict(zip(names, real.exact(r, weights, x, y), strict=True)), np.random.default_rng(0), 2.0**-16, []
    held = dict(zip(names, weights, strict=True))
    for _ in range(80):
        name = names[draw.integers(len(names))]
        at = tuple(draw.integers(n) for n in held[name].shape)
        moved = {way: {n: w.copy() for n, w in held.items()} for way in (1, -1)}
        for way in moved:
            moved[way][name][at] += way
        slope = (costs(moved[1].values()) - costs(moved[-1].values())) / (2 * unit)
        off.append(np.abs(slope - made[name][(slice(None), *at)]))
    assert np.mean(np.array(off) > 1e-6) < 0.005
    # with alpha = 1 the mean of a moved state is the drive's alone, where the activation is straight
    assert min(np.abs(g).max() for name, g in made.items() if alpha < 1 or name != "B2") > 1e-3


def test_the_chip_estimates_matrices_of_its_own_too():
    """A skip from the sample to the outputs, by gates: its gradient is exact, beside those of the layers."""
    r = recipe(f"{__name__}:SKIP", alpha=0, beta=2.0**-4)
    weights, (x, y) = emulator.initial_weights(r), samples()
    exact, made = real.exact(r, weights, x, y), gradient.chip(r, weights, x, y)
    assert [g.shape[1:] for g in made] == [(6, 7), (5, 6), (3, 5), (3, 7)]
    for a, b, c in zip(real.gradient(r, weights, x, y), exact, made, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
        assert gradient.relative_error([c], [b]) < 0.02


def skip_infer(r):
    yield from rules.parts.hidden(r)
    yield Operation(Op.FORWARD, "S", "input0", unit=2, keep_drive=True)
    yield Operation(Op.FORWARD, "W2", "input2", unit=2, enter="more", mean="out", result=True, loss="zero")


def skip(r):
    yield from rules.parts.hidden(r)
    yield Operation(Op.FORWARD, "S", "input0", unit=2, keep_drive=True)
    yield Operation(
        Op.FORWARD, "W2", "input2", unit=2, enter="more", force="feedback", error="gate", difference="error2", result=True, loss="set"
    )
    for k in (2, 1):
        yield rules.parts.back(k, error="gate", mean="")
    yield from rules.parts.updates(r)
    yield Operation(Op.UPDATE, "S", "input0", "error2")


SKIP = Rule(skip, skip_infer, lambda r: (*rules.parts.weights(r), Matrix("S", 0, 3, 2)))
