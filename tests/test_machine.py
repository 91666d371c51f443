"""Rules as data: what their integers compute is what their equations say; `test_machine_settling` has those that settle."""

import numpy as np
import pytest
from amaranth.utils import bits_for
from estimated import estimated
from rule_chips import FINE, chip_of, flat, samples

from crossdyad import emulator
from crossdyad.emulator import crossbar, rng
from crossdyad.emulator.noise import column
from crossdyad.explore import cards
from crossdyad.recipe import RULES, Op, Recipe, in_memory, load, matrix_geometries, programs
from crossdyad.recipe.rules import parts
from crossdyad.sim import gradient, real

GRADED = [name for name in RULES if name not in ("inference", "spsa")]


@pytest.mark.parametrize("rule", GRADED)
def test_fine_integers_compute_what_real_numbers_do(rule):
    """Two interpreters of one table: integers of many fraction bits, and float64."""
    recipe = chip_of(rule, formats=FINE)
    weights, (x, y) = emulator.initial_weights(recipe), samples(recipe)
    made, wanted = flat(gradient.chip(recipe, weights, x, y)), flat(real.gradient(recipe, weights, x, y))
    assert np.linalg.norm(wanted) > 0.01
    # an error of a unit at a kink of its activation may fall on either side: one element of a sample, not more
    off = np.abs(made - wanted) > 2e-3 * np.abs(wanted).max()
    assert off.mean() < 0.01


@pytest.mark.parametrize("alpha", [0, 0.5, 1])
def test_dual_propagation_in_real_numbers_is_row_57(alpha):
    from crossdyad import models

    recipe = chip_of("dual-propagation", alpha=alpha, beta=0.125)
    weights, (x, y) = emulator.initial_weights(recipe), samples(recipe)
    wanted = estimated(recipe, models.dual_propagation, weights, x, y, alpha=alpha, beta=recipe.beta)
    np.testing.assert_allclose(flat(real.gradient(recipe, weights, x, y)), flat(wanted), atol=1e-12)


@pytest.mark.parametrize("output", ["identity", "hard_sigmoid"])
def test_backprop_by_gates_is_the_exact_gradient(output):
    recipe = chip_of("backprop", output=output, initial=1.0, alpha=0.5)
    weights, (x, y) = emulator.initial_weights(recipe), samples(recipe)
    np.testing.assert_allclose(flat(real.gradient(recipe, weights, x, y)), flat(real.exact(recipe, weights, x, y)), atol=1e-12)


def relu_net(recipe, weights, x, y):
    """Drives, states and the gated error at the output of a net with relu hidden units, from plain equations."""
    f, states, drives = recipe.formats, [recipe.formats.state.decode(recipe.formats.state.encode(x, "x"))], []
    for k in range(recipe.layers):
        drives.append(states[-1] @ f.weight.decode(weights[k]).T)
        low, high = f.state.low, f.state.high
        if k < recipe.layers - 1 or recipe.output == "hard_sigmoid":
            low, high = 0, high if k < recipe.layers - 1 else 1
        states.append(np.clip(drives[-1], low, high))
    return drives, states, (np.eye(recipe.sizes[-1])[y] - states[-1]) * ((low < drives[-1]) & (drives[-1] < high))


@pytest.mark.parametrize("output", ["identity", "hard_sigmoid"])
@pytest.mark.parametrize("rule", ["feedback-alignment", "stored-feedback", "kolen-pollack", "direct-feedback"])
def test_feedback_goes_down_through_its_own_matrices(rule, output):
    """Rows 23, 24 and 26: ``e_k = f'(a_k) B^T e_(k+1)``; directly, ``f'(a_k) D_k^T e_K``; the output's has its slope, too."""
    recipe = chip_of(rule, output=output, initial=1.0, alpha=0.5)  # means stay as they are, whatever alpha
    weights, (x, y) = emulator.initial_weights(recipe), samples(recipe)
    matrices = real.matrices(recipe, weights)
    drives, states, error = relu_net(recipe, weights, x, y)
    errors = {recipe.layers - 1: error}
    for k in range(recipe.layers - 2, -1, -1):
        fed = error @ matrices[f"D{k}"] if rule == "direct-feedback" else errors[k + 1] @ matrices[f"B{k + 1}"]
        errors[k] = fed * (drives[k] > 0)
    wanted = [-errors[k][:, :, None] * states[k][:, None, :] for k in range(recipe.layers)]
    np.testing.assert_allclose(flat(real.gradient(recipe, weights, x, y)), flat(wanted), atol=1e-12)


def test_signs_of_weights_are_the_feedback_of_row_27():
    recipe = chip_of("sign-concordant", beta=2.0**-12)  # so that differences are slopes times feedback
    weights, (x, y) = emulator.initial_weights(recipe), samples(recipe)
    drives, states, error = relu_net(recipe, weights, x, y)
    errors = [None, None, error]
    for k in (1, 0):
        errors[k] = errors[k + 1] @ (np.where(weights[k + 1] < 0, -1, 1) * recipe.feedback) * (drives[k] > 0)
    wanted = [-e[:, :, None] * s[:, None, :] for e, s in zip(errors, states, strict=False)]
    np.testing.assert_allclose(flat(real.gradient(recipe, weights, x, y)), flat(wanted), atol=1e-9)


def test_fixed_feedback_moves_no_weight_bits_and_stands_still():
    recipe = chip_of("feedback-alignment")
    assert [g.matrix.name for g in in_memory(recipe)] == ["W0", "W1", "W2"]
    g = matrix_geometries(recipe)["B1"]
    like = np.zeros((g.R, g.F * g.L), np.int32)
    mine, others = (crossbar.feedback(g, rng.keys(seed), like) for seed in (1, 2))
    assert set(np.unique(mine[:, : g.C])) == {-recipe.feedback_level, recipe.feedback_level} and (mine != others).any()
    chip = emulator.Chip(recipe)
    chip.weights, (x, y) = emulator.initial_weights(recipe), samples(recipe)
    chip.train(x, y)
    np.testing.assert_array_equal(crossbar.feedback(g, chip._state["key"], like), crossbar.feedback(g, rng.keys(recipe.seed), like))


def test_direct_feedback_of_one_hidden_layer_is_feedback_alignment():
    found = []
    for rule in ("direct-feedback", "feedback-alignment"):
        chip = emulator.Chip(chip_of(rule, sizes=(7, 6, 3), lanes=(4, 2)))
        chip.weights, (x, y) = emulator.initial_weights(chip.recipe), samples(chip.recipe, 12)
        chip.train(x, y)
        found.append(flat(chip.weights))
    np.testing.assert_array_equal(*found)


def test_kolen_pollack_forgets_the_difference_at_its_decay():
    """Row 26: ``W - B`` shrinks by ``1 - d`` an update; both take one product and one rounding word: a step is off by less than 1 LSB."""
    recipe = chip_of("kolen-pollack", decay=2.0**-8)
    chip = emulator.Chip(recipe)
    chip.weights, (x, y) = emulator.initial_weights(recipe), samples(recipe, 400)
    chip.train(x[:1], y[:1])
    apart = [chip.weights[2] - chip.weights[4]]
    for n in range(1, 400):
        chip.train(x[n : n + 1], y[n : n + 1])
        apart.append(chip.weights[2] - chip.weights[4])
    apart = np.array(apart, np.float64)
    assert np.abs(apart[1:] - (1 - recipe.decay) * apart[:-1]).max() < 1
    kept = (1 - recipe.decay) ** 399
    # what stochastic rounding adds is noise: at most 1/2 LSB rms an update, forgotten at the same rate
    assert np.abs(apart[-1] - kept * apart[0]).max() < 5 * 0.5 / np.sqrt(2 * recipe.decay)
    assert np.abs(apart[0]).max() * kept < np.abs(apart[0]).max() / 4


def test_weights_without_updates_decay_at_the_rate():
    """An update by nothing leaves ``(1 - d)`` of a weight, on average over its rounding."""
    recipe = chip_of("kolen-pollack", decay=2.0**-8)
    chip = emulator.Chip(recipe)
    chip.weights = [np.full_like(w, 4096) for w in emulator.initial_weights(recipe)]
    chip.train(np.zeros((100, 7)), np.zeros(100, int))
    left = chip.weights[0].mean() / 4096
    assert left == pytest.approx((1 - recipe.decay) ** 100, rel=1e-3)


def test_heads_shield_layers_from_what_is_above():
    recipe = chip_of("local-heads")
    weights, (x, y) = emulator.initial_weights(recipe), samples(recipe)
    changed = [w.copy() for w in weights]
    changed[1], changed[2] = -changed[1], -changed[2]
    before, after = (gradient.chip(recipe, w, x, y) for w in (weights, changed))
    np.testing.assert_array_equal(before[0], after[0])
    assert (before[1] != after[1]).any() and np.abs(before[0]).max() > 0


def test_a_second_sweep_of_means_changes_nothing_at_alpha_0():
    found = []
    for rule in ("dual-propagation", "mean-substitution"):
        chip = emulator.Chip(chip_of(rule, alpha=0))
        chip.weights, (x, y) = emulator.initial_weights(chip.recipe), samples(chip.recipe, 10)
        chip.train(x, y)
        found.append(flat(chip.weights))
    np.testing.assert_array_equal(*found)
    half = [
        flat(real.gradient(r := chip_of(rule, alpha=0.5, beta=1.0), emulator.initial_weights(r), *samples(r)))
        for rule in ("dual-propagation", "mean-substitution")
    ]
    assert (half[0] != half[1]).any()


@pytest.mark.parametrize(
    "rule",
    [
        "weight-mirror",
        "predictive-coding",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("direct-feedback", "kolen-pollack", "continual-equilibrium", "coupled", "local-heads")
        ),
    ],
)
def test_both_engines_and_a_batch_have_the_same_bits(rule):
    at_random = dict.fromkeys(("state", "accumulator", "delta"), "stochastic")
    recipe = chip_of(rule, sizes=(7, 5, 4, 3), sweeps=(2, 1), rounding=at_random, devices={"read_noise": 0.05})
    x, y = samples(recipe, 5)
    alone, many = emulator.Chip(recipe), emulator.Chip(recipe, "jax", (2,), [recipe.seed, 7])
    for chip in (alone, many):
        chip.weights = emulator.initial_weights(recipe)
    mine, theirs = alone.train(x, y), many.train(x, y)
    np.testing.assert_array_equal(mine.outputs, theirs.outputs[0])
    np.testing.assert_array_equal(flat(alone.weights), flat(w[0] for w in many.weights))
    assert (flat(alone.weights) != flat(w[1] for w in many.weights)).any() and alone.cycles == many.cycles
    for name, events in alone.saturations.items():
        assert events == many.saturations[name][0]


def test_a_mirror_takes_one_step_of_row_25():
    """``B <- (1 - d) B + rate (W x) x^T / beta`` on the chip's integers, x its noise."""
    from crossdyad.models.estimators.feedback import mirror
    from crossdyad.models.operators import Dense

    recipe = chip_of("weight-mirror", formats=FINE, sigma=0.25, rounding={"weight": "nearest"}, learning_rate=1.0, rate_floor=2.0**-5)
    chip, decode = emulator.Chip(recipe), recipe.formats.weight.decode
    chip.weights, (x, y) = emulator.initial_weights(recipe), samples(recipe, 1)
    before = [decode(w) for w in chip.weights]
    g = matrix_geometries(recipe)["B2"]
    noise = recipe.formats.state.decode(column(g, rng.keys(recipe.seed), np.uint32(0), np.zeros(1)))[0]
    chip.train(x, y)
    assert set(np.abs(noise)) == {0.25} and len(set(noise)) == 2
    after = [decode(w) for w in chip.weights]
    wanted = mirror((Dense(*after[2].shape[::-1]),), (before[4].T,), (after[2],), (noise,), 1.0 / recipe.beta, recipe.decay)[0].T
    np.testing.assert_allclose(after[4], wanted, atol=2 * recipe.formats.weight.step)


def test_a_mirror_becomes_the_weights():
    """Where nothing else is learned, ``B`` tends to ``rate sigma^2 / (beta decay) W``."""
    recipe = chip_of("weight-mirror", sigma=0.25, decay=2.0**-8, learning_rate=2.0**-4)
    chip = emulator.Chip(recipe, "jax")
    chip.weights = emulator.initial_weights(recipe)
    first, later = [w.copy() for w in chip.weights], []
    for _ in range(6):
        chip.train(np.zeros((600, 7)), np.zeros(600, int))
        later.append(chip.weights[4])
    mean, scale = np.mean(later[2:], axis=0), 2.0**-4 * 0.25**2 / 0.5 * 2**8
    np.testing.assert_array_equal(chip.weights[0], first[0])
    assert np.abs(mean - scale * chip.weights[2]).max() < 0.15 * scale * np.abs(chip.weights[2]).max()


def test_targets_are_those_of_row_69():
    """``t_k - s_k = B^T (t_above - s_above)``, from the output's down, and what each layer's weights would do for it."""
    from crossdyad.models.estimators.targets import target_propagation

    recipe = chip_of("target-propagation", formats=FINE)
    weights, (x, y) = emulator.initial_weights(recipe), samples(recipe)
    b1, b2 = (recipe.formats.weight.decode(b) for b in weights[3:])
    feedback = (lambda t: t @ b1), (lambda t: t @ b2)
    wanted = estimated(recipe, target_propagation, weights, x, y, feedback=feedback, beta=recipe.beta)
    made = flat(real.gradient(recipe, weights, x, y))
    assert np.linalg.norm(made) > 0.1
    np.testing.assert_allclose(made, flat(wanted), atol=1e-9)


def test_feedback_of_targets_becomes_an_inverse():
    """Where nothing else is learned, a layer makes of what its feedback gives back what it had: ``W B^T = 1``."""
    recipe = chip_of("target-propagation", sigma=0.5, learning_rate=2.0**-2, rate_floor=2.0**-7, initial=1.0, formats=FINE)
    chip = emulator.Chip(recipe, "jax")
    chip.weights = emulator.initial_weights(recipe)
    first = [w.copy() for w in chip.weights]
    chip.train(np.zeros((3000, 7)), np.zeros(3000, int))
    np.testing.assert_array_equal(chip.weights[0], first[0])
    decode = recipe.formats.weight.decode
    for w, b, before in ((chip.weights[2], chip.weights[4], first[4]), (chip.weights[1], chip.weights[3], first[3])):
        off, was = (np.linalg.norm(decode(w) @ decode(m).T - np.eye(len(w))) for m in (b, before))
        assert off < 0.1 < was, (off, was)


def test_columns_of_noise_are_independent_and_shared_by_a_layers_matrices():
    recipe = chip_of("weight-mirror", sizes=(7, 40, 5), lanes=(4, 22))
    w, b = (matrix_geometries(recipe)[name] for name in ("W1", "B1"))
    key = rng.keys(recipe.seed)
    drawn = np.concatenate([column(w, key, np.uint32(i), np.zeros(1)) for i in range(600)]) // recipe.noise_level
    assert drawn.shape == (600, 40) and set(np.unique(drawn)) == {-1, 1}
    apart = drawn.T @ drawn / 600 - np.eye(40)
    assert np.abs(apart).max() < 5 / np.sqrt(600) and np.abs(drawn.mean(0)).max() < 4.5 / np.sqrt(600)
    np.testing.assert_array_equal(column(w, key, np.uint32(3), np.zeros(1)), column(b, key, np.uint32(3), np.zeros(1)))


def test_programs_stay_short():
    assert {name: len(programs(chip_of(name))[1].instructions) for name in ("dual-propagation", "equilibrium")} == {
        "dual-propagation": 8,
        "equilibrium": 3 + 6 * 5 + 1 + 3 * 5 + 6,
    }


def test_means_substituted_go_up_again_before_anything_is_learned():
    """Up, down with new means and differences, up again from the new means, and down once more: equations of dyads, a loop each."""
    recipe = chip_of("mean-substitution", sizes=(7, 6, 5, 4, 3), lanes=(4, 2, 2, 2), alpha=0.5, beta=1.0, sweeps=(6, 3))
    weights, (x, y) = emulator.initial_weights(recipe), samples(recipe)
    w, (top, high) = [recipe.formats.weight.decode(v) for v in weights], (recipe.formats.state.low, recipe.formats.state.high)
    s, a, d = [recipe.formats.state.decode(recipe.formats.state.encode(x, "x"))] + [None] * 4, [None] * 4, [None] * 4

    def unit(k, b):
        plus, minus = (np.clip(a[k] + part * b, top if k == 3 else 0, high) for part in (0.5, -0.5))
        s[k + 1], d[k] = (plus + minus) / 2, plus - minus

    def up(first):
        for k in range(first, 4):
            a[k] = s[k] @ w[k].T
            unit(k, np.eye(3)[y] - np.clip(a[k], top, high) if k == 3 else np.zeros_like(a[k]))

    def down():
        for k in (3, 2, 1):
            unit(k - 1, d[k] @ w[k])

    up(0)
    for _ in range(2):
        down()
        up(1)
    wanted = [None] * 4
    for k in (3, 2, 1):
        unit(k - 1, d[k] @ w[k])
        wanted[k] = -d[k][:, :, None] * s[k][:, None, :]
    wanted[0] = -d[0][:, :, None] * s[0][:, None, :]
    np.testing.assert_allclose(flat(real.gradient(recipe, weights, x, y)), flat(wanted), atol=1e-12)


@pytest.mark.parametrize("rule", [name for name in GRADED if name != "node-perturbation"])  # whose register holds a difference
def test_the_loss_register_has_the_error_of_the_outputs(rule):
    recipe = chip_of(rule, formats=FINE)
    chip = emulator.Chip(recipe)
    chip.weights, (x, y) = emulator.initial_weights(recipe), samples(recipe, 4)
    made = chip.train(x, y)
    error = np.eye(3)[y] - recipe.formats.state.decode(made.outputs)
    cost = made.loss * 2.0 ** (-2 * recipe.formats.accumulator.frac) / 2
    np.testing.assert_allclose(cost, (error**2).sum(-1) / 2, atol=1e-3)
    assert (cost > 0.01).all()


def test_parts_of_all_layers_take_changes():
    recipe = chip_of("backprop")
    assert [step.mean for step in parts.hidden(recipe, mean="a")] == ["a", "a"]
    assert [(step.matrix, step.decay) for step in parts.updates(recipe, decay=8)] == [("W0", 8), ("W1", 8), ("W2", 8)]


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"inference"}))
def test_the_scalar_of_updates_has_the_bits_of_its_rows_and_no_more(rule):
    """The least and the largest row, and where it is subtracted its opposite, at the fastest rate: hardware has the operand's bits."""
    r = load(cards.presets_of_rules()[rule])
    needed = []
    for step in (step for step in r.steps if step.op is Op.UPDATE):
        row, align = (r.formats.state, r.align) if step.row in r.states else (r.formats.delta, 0)
        ends = [end << align + 7 + step.gain for end in (row.min, row.max)]
        opposite = step.negative or step.row == "slope" and step.column != "signs"
        needed += [bits_for(end, True) for end in ends + [-end for end in ends] * opposite]
    probe = bits_for(-2 * r.probe << r.update_shift, True) if any(step.op is Op.PROBE for step in r.steps) else 0
    assert max(needed) <= r.bits.operand <= max(*needed, probe + 1)


def test_signs_are_no_cells():
    """Feedback that no memory holds has its level, whatever levels the cells of the weights have (contract section 11)."""
    r = Recipe(name="r", sizes=(4, 3, 2), lanes=(2, 1), rule="feedback-alignment", feedback=0.5, devices={"levels": 2})
    machine_of = matrix_geometries(r)["B1"]
    made = crossbar.feedback(machine_of, rng.keys(r.seed), np.zeros((2, 3), np.int32))
    e = np.array([[3, -2]], np.int32)
    assert np.array_equal(crossbar.transposed(machine_of, made, e), e @ made[:, :3])
    assert set(np.abs(made[:, :3]).ravel()) == {r.feedback_level}


def test_shaken_neurons_find_the_gradient():
    """Row 32: the mean of the estimates is the exact gradient, along itself, as far as so many steps tell."""
    wide = {"accumulator": (24, 16), "state": (16, 12), "delta": (20, 14)}
    r = Recipe(
        name="r",
        sizes=(5, 4, 3),
        lanes=(2, 4),
        rule="node-perturbation",
        sigma=2.0**-4,
        formats={place: {"width": w, "frac": f} for place, (w, f) in wide.items()},
    )
    weights, x = emulator.initial_weights(r), np.random.default_rng(0).random((1, 5))
    exact = np.concatenate([g.ravel() for g in real.exact(r, weights, x, np.array([1]))])
    made = np.concatenate([g.reshape(800, -1) for g in gradient.chip(r, weights, np.repeat(x, 800, 0), np.ones(800, int))], axis=1)
    along = made @ exact / (exact @ exact)
    error = along.std() / np.sqrt(len(along))
    assert error < 0.1 and abs(along.mean() - 1) < 4 * error
