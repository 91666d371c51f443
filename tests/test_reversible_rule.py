"""Reversible blocks (rows 17 and 45) as a rule of the chip, against their laws."""

import numpy as np
import pytest
from rule_chips import chip_of, flat, samples

from crossdyad import emulator
from crossdyad.emulator import sequencer
from crossdyad.emulator.machine import Machine
from crossdyad.explore.cards import card
from crossdyad.recipe import Rule, allow, in_memory
from crossdyad.recipe.rules import blocks
from crossdyad.sim import real

allow(__name__)


def forgetful(recipe):
    """Yield reversible backpropagation whose reads round with random words of their own."""
    yield from (step._replace(repeatable=False) for step in blocks.reversible(recipe))


FORGETFUL = Rule(forgetful, blocks.inferred, blocks.matrices)
AT_RANDOM = {"rounding": dict.fromkeys(("accumulator", "state", "delta"), "stochastic"), "overflow": {"accumulator": "wrap"}}


def chip(rule="reversible", **changes):
    return chip_of(rule, **{"sizes": (7, 4, 6, 5, 3), "lanes": (4, 2, 2, 2), "activation": "hard_tanh"} | AT_RANDOM | changes)


def before_and_after(recipe, scale=1):
    """Return drives and states of both streams when the blocks begin, and when all has gone down."""
    chip, (x, y) = emulator.Chip(recipe), samples(recipe, 20)
    weights = [np.clip(w * scale, -(2**15), 2**15 - 1) for w in emulator.initial_weights(recipe)]
    chip.weights = weights
    player = Machine(recipe, chip._state, chip._samples(x), chip._labels(y, 20), None)
    a, b = recipe.layers - 3, recipe.layers - 2
    found, wrapped = [], 0
    for pc, i in sequencer.instructions(recipe, True):
        if i.step.reads:
            player.play(pc, i.step)
        if i.step.matrix == f"W{b}" and i.step.reads and not found:
            found.append(
                [v.copy() for v in (player.drive[a], player.drive[b], player.stores[f"input{a + 1}"], player.stores[f"input{b + 1}"])]
            )
    found.append([player.drive[a], player.drive[b], player.stores[f"input{a + 1}"], player.stores[f"input{b + 1}"]])
    wrapped = int(player.state["accumulator"])
    return *found, wrapped


@pytest.mark.parametrize("scale", [1, 64])
def test_blocks_invert_to_the_last_bit_though_all_rounds_at_random(scale):
    """With large weights drives wrap, and still come back."""
    before, after, wrapped = before_and_after(chip(), scale)
    assert bool(wrapped) == (scale > 1)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    between = before_and_after(chip(f"{__name__}:FORGETFUL"), scale)
    assert any((one != other).any() for one, other in zip(*between[:2], strict=True)), "other random words must not come back"


def test_the_estimate_is_the_exact_gradient():
    recipe = chip(beta=0.25, bias=True)
    weights, (x, y) = emulator.initial_weights(recipe), samples(recipe)
    made, exact = real.gradient(recipe, weights, x, y), real.exact(recipe, weights, x, y)
    np.testing.assert_allclose(flat(made), flat(exact), atol=1e-12)
    assert all(np.abs(g).max() > 1e-3 for g in made) and len(made) == len(in_memory(recipe))


def test_the_gradient_by_differences():
    """Of one half of the squared error, from the blocks' equations; activations are straight around the drives."""
    recipe = chip(sizes=(4, 3, 2, 2), lanes=(2, 2, 2), output="identity", beta=1.0)
    weights, (x, y) = emulator.initial_weights(recipe), samples(recipe, 3)
    names, decode = [g.matrix.name for g in in_memory(recipe)], recipe.formats.weight.decode
    held = dict(zip(names, map(decode, weights), strict=True))
    x, target = recipe.formats.state.decode(recipe.formats.state.encode(x, "x")), np.eye(2)[y]

    def cost(w, i):
        def f(drive):
            return np.clip(drive, -1, 1)

        a = w["W0"] @ x[i]
        b = w["W1"] @ f(a)
        for n in range(blocks.BLOCKS):
            a = a + w[f"A{n}"] @ f(b)
            b = b + w[f"B{n}"] @ f(a)
        return ((target[i] - w["W2"] @ f(b)) ** 2).sum() / 2

    for name, made in zip(names, real.gradient(recipe, weights, x, y), strict=True):
        for i, place in ((i, place) for i in range(3) for place in np.ndindex(held[name].shape)):
            step = np.zeros_like(held[name])
            step[place] = 1e-6
            up, down = (cost(held | {name: held[name] + s * step}, i) for s in (1, -1))
            assert made[i][place] == pytest.approx((up - down) / 2e-6, abs=1e-7), (name, place)


def test_states_that_are_stored_do_not_grow_with_depth(monkeypatch):
    few = card(chip())
    monkeypatch.setattr(blocks, "BLOCKS", 5)
    many = card(chip(seed=2))
    assert many.state_bits == few.state_bits and many.matrices == few.matrices + 6


def test_derivatives_are_counted_where_errors_gather():
    """Of the outputs, of both streams as each block's errors come, of b from the outputs, and of a from the first drives; of unit 0."""
    recipe = chip()
    first, a, b, out = recipe.sizes[1:]
    assert card(recipe).derivatives == out + b + blocks.BLOCKS * (a + b) + a + first


def test_one_hidden_unit_is_too_few():
    with pytest.raises(ValueError, match="blocks lie between two hidden units, of 1; sizes = "):
        chip(sizes=(4, 3, 2), lanes=(2, 2))
