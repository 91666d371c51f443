"""What a chip does, in real numbers: laws of the integers that a recipe derives and both twins share.

Each law plays chips and compares what they do with what the equations of docs/contract.md mean for real numbers, or with the contract's
own formulas, never with the recipe's derived integers. A law raises AssertionError. `LAWS` has them by name.
"""

import itertools
import math
import random
from dataclasses import replace

import numpy as np
import player

from crossdyad import emulator
from crossdyad.emulator import crossbar, walk
from crossdyad.recipe import (
    NOISE,
    SLOPE,
    Geometry,
    Instruction,
    Matrix,
    Op,
    Operation,
    Recipe,
    Rule,
    allow,
    compile_program,
    load,
    programs,
    rules,
)
from crossdyad.recipe.program import outlasting
from crossdyad.recipe.rules import parts

LAWS = {}


def law(check):
    LAWS[check.__name__] = check
    return check


FORMATS = {"state": (12, 8), "weight": (14, 10), "accumulator": (24, 14), "delta": (16, 9)}


def chip_of(sizes, lanes, formats=FORMATS, **changes):
    """A recipe with formats so fine that every rounding is small beside what is looked at."""
    return Recipe.model_validate({"name": "law", "sizes": sizes, "lanes": lanes, "output": "identity", "rounding": {"weight": "nearest"}}
                                 | {"formats": {p: {"width": w, "frac": f} for p, (w, f) in formats.items()}} | changes)


def lsb(recipe, place):
    return 2.0 ** -getattr(recipe.formats, place).frac


def near(value, expected, tolerance):
    value, expected = np.asarray(value, float), np.asarray(expected, float)
    assert value.shape == expected.shape
    assert (np.abs(value - expected) <= tolerance + 1e-9).all(), (value, expected, tolerance)


def activation(name, values, recipe):
    low, high = {"relu": (0, math.inf), "hard_sigmoid": (0, 1), "hard_tanh": (-1, 1)}.get(name, (-math.inf, math.inf))
    form = recipe.formats.state
    low, high = max(low, -(2.0 ** (form.width - 1 - form.frac))), min(high, 2.0 ** (form.width - 1 - form.frac) - 2.0**-form.frac)
    bent = {"leaky_relu": lambda v: np.where(v < 0, v / 8, v), "sigmoid": lambda v: (1 + bent_tanh(v / 2)) / 2, "tanh": bent_tanh}
    return np.clip(bent.get(name, np.asarray)(values), low, high)


def bent_tanh(v):
    """What is between the points (0, 0), (.5, .5), (1.125, .8125), (2.625, 1), on both sides."""
    return np.sign(v) * np.interp(np.abs(v), [0, 0.5, 1.125, 2.625], [0, 0.5, 0.8125, 1])


class Played:
    """One training program on one sample, with everything that was written on the way, in real numbers."""

    def __init__(self, recipe, weights, x, label, rate=None, step=0, run=0):
        chip = emulator.Chip(recipe)
        chip.weights = weights
        if rate is not None:
            chip.rate = rate
        state = chip.state() | {"step": np.uint32(step), "run": np.uint32(run)}
        chip.restore(state)
        self.recipe, self.x = recipe, np.asarray(x) * lsb(recipe, "state")
        self.before = [w * lsb(recipe, "weight") for w in chip.weights]
        self.events = walk.trace(recipe, state, np.asarray(x, np.int32), label)
        self.outputs = chip.train(np.asarray(x, np.int32)[None], np.array([label])).outputs[0] * lsb(recipe, "state")
        self.after = [w * lsb(recipe, "weight") for w in chip.weights]
        self.loss = int(chip.loss) * lsb(recipe, "accumulator") ** 2 / 2
        self.saturations = {name: int(n) for name, n in chip.saturations.items()}
        self.target = np.full(recipe.sizes[-1], recipe.target_off)
        self.target[label] = recipe.target_on

    def vector(self, layer, register, place, nth=0):
        """The n-th time that a vector was written, real."""
        # what a layer reads is the mean of the unit below; what comes back from it enters that unit, too
        unit, name = {"error": (layer, "difference"), "drive": (layer, "drive"), "input": (layer - 1, "mean"),
                      "feedback": (layer - 1, "feedback")}[register]
        written = [(i, v) for _, block, what, i, v in self.events if (block, what) == (f"unit{unit}", name)]
        count = len({i for i, _ in written})
        part = dict(written[nth * count:(nth + 1) * count])
        return np.array([part[i] for i in range(count)]) * lsb(self.recipe, place)

    def words(self, nth):
        """The weights of a single layer as its n-th pass over the memory wrote them, real."""
        g, f = Geometry(self.recipe, 0), self.recipe.formats.weight
        written = [(a, w) for *_, name, a, w in self.events if name == "weight"][nth * g.N:(nth + 1) * g.N]
        lanes = [(w >> f.width * lane) & (1 << f.width) - 1 for _, w in sorted(written) for lane in range(self.recipe.lanes[0])]
        signed = np.array([v - (v >> f.width - 1 << f.width) for v in lanes]).reshape(self.recipe.sizes[1], -1)
        return signed[:, :self.recipe.sizes[0]] * f.step


def drawn_weights(draw, recipe, scale):
    f = recipe.formats.weight
    return [np.clip(np.rint(draw.normal(0, scale / f.step, (r, c))), f.min / 2, f.max / 2).astype(np.int32)
            for c, r in zip(recipe.sizes, recipe.sizes[1:], strict=False)]


def drawn_sample(draw, recipe, scale=1.0):
    return np.rint(draw.uniform(-scale, scale, recipe.sizes[0]) / lsb(recipe, "state")).astype(np.int32)


def of_a_dyad(recipe, name, a, b):
    """(mean, difference) of contract section 4, real."""
    plus, minus = (activation(name, v, recipe) for v in (a + (1 - recipe.alpha) * b, a - recipe.alpha * b))
    return recipe.alpha * plus + (1 - recipe.alpha) * minus, plus - minus


ACTIVATIONS = ("identity", "relu", "hard_sigmoid", "hard_tanh", "leaky_relu", "sigmoid", "tanh")


@law
def outputs_are_activations_of_products():
    for seed, name in enumerate(ACTIVATIONS * 2):
        draw = np.random.default_rng(seed)
        recipe = chip_of((6, 5, 8), (4, 2), activation=ACTIVATIONS[seed // 2], output=name, rule="inference")
        w, x = drawn_weights(draw, recipe, 0.8), drawn_sample(draw, recipe)
        chip = emulator.Chip(recipe)
        chip.weights = w
        real = [v * lsb(recipe, "weight") for v in w]
        hidden = activation(recipe.activation, real[0] @ (x * lsb(recipe, "state")), recipe)
        expected = activation(name, real[1] @ hidden, recipe)
        got = chip.infer(x[None])[0] * lsb(recipe, "state")
        near(got, expected, lsb(recipe, "state") * (1 + np.abs(real[1]).sum(1)))


@law
def biases_meet_one():
    recipe = chip_of((3, 2), (2,), bias=True, rule="inference")
    chip = emulator.Chip(recipe)
    chip.weights = [recipe.formats.weight.encode([[0, 0, 0, 0.75], [0.5, 0, 0, -0.25]])]
    near(chip.infer(np.array([[0.5, 1.0, -1.0]])) * lsb(recipe, "state"), [[0.75, 0.0]], lsb(recipe, "state"))


@law
def limits_are_those_of_states():
    """Far outside, a unit gives the ends of the state format, and no range event: it is the activation that limits."""
    for output, frac in (("identity", 6), ("hard_tanh", 7)):
        recipe = chip_of((1, 2), (1,), formats=FORMATS | {"state": (8, frac)}, rule="inference", output=output)
        chip = emulator.Chip(recipe)
        chip.weights = [np.array([[8000], [-8000]])]
        assert chip.infer(np.array([[127]], np.int32)).tolist() == [[127, -128]]
        assert not any(int(n) for n in chip.saturations.values())


@law
def errors_of_the_last_layer_are_nudges():
    for seed in range(42):
        draw = np.random.default_rng(seed)
        recipe = chip_of((6, 4), (4,), alpha=(0, 0.5, 1)[seed % 3], beta=2.0 ** (seed % 4 - 1), output=ACTIVATIONS[seed // 6],
                         target_on=0.7, target_off=-0.3)
        played = Played(recipe, drawn_weights(draw, recipe, 0.4), drawn_sample(draw, recipe), seed % 4)
        a = played.before[0] @ played.x
        error = played.target - activation(recipe.output, a, recipe)
        mean, difference = of_a_dyad(recipe, recipe.output, a, recipe.beta * error)
        fine = 3 * lsb(recipe, "accumulator") * max(1, recipe.beta)
        near(played.vector(0, "error", "delta"), difference, lsb(recipe, "delta") / 2 + fine)
        near(played.outputs, mean, lsb(recipe, "state") / 2 + fine)
        near(played.loss, (error**2).sum() / 2, 1e-3)


@law
def targets_are_rounded_half_up():
    for on, integer in ((0.7, 11469), (-0.3, -4915), (2.0**-15, 1), (-(2.0**-15), 0), (3 * 2.0**-15, 2)):
        recipe = chip_of((1, 1), (1,), alpha=0, beta=1.0, target_on=on, formats=FORMATS | {"delta": (18, 14)})
        assert round(Played(recipe, [np.zeros((1, 1), int)], [0], 0).vector(0, "error", "delta")[0] * 2**14) == integer, on


@law
def hidden_units_get_what_comes_back():
    for seed in range(21):
        draw = np.random.default_rng(seed)
        recipe = chip_of((5, 6, 4), (4, 2), alpha=(0, 0.5, 1)[seed % 3], beta=2.0, activation=ACTIVATIONS[seed // 3])
        played = Played(recipe, drawn_weights(draw, recipe, 0.6), drawn_sample(draw, recipe), seed % 4)
        a, error = played.vector(0, "drive", "accumulator"), played.vector(1, "error", "delta")
        near(a, played.before[0] @ played.x, lsb(recipe, "accumulator") / 2)
        b = played.before[1].T @ error
        near(played.vector(1, "feedback", "accumulator"), b, lsb(recipe, "accumulator") / 2)
        mean, difference = of_a_dyad(recipe, recipe.activation, a, b)
        fine = 2 * lsb(recipe, "accumulator")
        near(played.vector(1, "input", "state", 1), mean, lsb(recipe, "state") / 2 + fine)
        near(played.vector(0, "error", "delta"), difference, lsb(recipe, "delta") / 2 + fine)


@law
def a_weight_moves_by_rate_times_error_times_state():
    for seed in range(16):
        draw = random.Random(seed)
        rng, floor, rate = np.random.default_rng(seed), draw.randint(-9, -2), draw.randint(0, 7)
        recipe = chip_of((6, 4), (4,), beta=2.0 ** draw.randint(-2, 2), rate_floor=2.0**floor, learning_rate=2.0 ** (floor + rate),
                         formats=FORMATS | {"weight": (18, draw.randint(9, 14))})
        other = draw.choice((None, draw.randint(0, 7)))
        played = Played(recipe, drawn_weights(rng, recipe, 0.1), drawn_sample(rng, recipe), 0, rate=other)
        eta = recipe.learning_rate if other is None else recipe.rate_floor * 2.0**other
        change = np.outer(played.vector(0, "error", "delta"), played.x) * eta / recipe.beta
        limits = recipe.formats.weight.low, recipe.formats.weight.high
        near(played.after[0], np.clip(played.before[0] + change, *limits), lsb(recipe, "weight") / 2)


@law
def coarse_products_reach_the_ends():
    """Products whose LSB is thousands of weight LSBs: what is out of range saturates, whatever the emulator's integer types are."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        recipe = chip_of((4, 3), (4,), beta=0.25, learning_rate=1.0, rate_floor=1.0, target_on=400.0, target_off=-400.0,
                         formats=FORMATS | {"state": (10, 2), "delta": (12, 2), "weight": (18, 16)})
        played = Played(recipe, drawn_weights(rng, recipe, 0.3), drawn_sample(rng, recipe, 100.0), seed % 3)
        change = np.outer(played.vector(0, "error", "delta"), played.x) / 0.25
        f = recipe.formats.weight
        assert recipe.update_shift == 2 + 2 - 16 - 2 and np.abs(change).max() > 100
        near(played.after[0], np.clip(played.before[0] + change, f.low, f.high), 0)


def spsa(number, **changes):
    draw = random.Random(number)
    return chip_of((6, 3), (4,), rule="spsa", epsilon=2.0 ** draw.randint(-5, -3), target_on=0.9, target_off=-0.2, **changes)


@law
def spsa_moves_by_rate_times_slope_times_sign():
    sharp = 0
    for seed in range(12):
        draw, rng = random.Random(seed), np.random.default_rng(seed)
        floor = draw.randint(-7, -5)
        recipe = spsa(seed, rate_floor=2.0**floor, learning_rate=2.0 ** (floor + draw.randint(0, 3)), seed=seed + 1,
                      output=draw.choice(("identity", "hard_tanh")))
        played = Played(recipe, drawn_weights(rng, recipe, 0.3), drawn_sample(rng, recipe), seed % 3, step=seed)
        signs = (played.words(0) - played.before[0]) / recipe.epsilon
        assert set(np.unique(signs)) == {-1.0, 1.0} and recipe.update_shift == 8         # S of contract section 6
        near(played.words(1), played.before[0] - recipe.epsilon * signs, 0)
        near(played.words(2), played.before[0], 0)

        def cost(weights, p=played, r=recipe):
            return ((p.target - activation(r.output, weights @ p.x, r)) ** 2).sum() / 2

        difference = cost(played.words(0)) - cost(played.words(1))
        near(played.loss, difference, 1e-3)
        change = -recipe.learning_rate * signs * difference / (2 * recipe.epsilon)
        assert not played.saturations["delta"]
        sharp += np.abs(change).max() > 8 * lsb(recipe, "weight")
        step = lsb(recipe, "weight") * 2.0 ** (math.log2(recipe.learning_rate) - floor) / 256
        fine = 1e-3 * recipe.learning_rate / (2 * recipe.epsilon)
        near(played.after[0], played.before[0] + change, lsb(recipe, "weight") / 2 + step + fine)
    assert sharp >= 6


@law
def probes_find_room_that_updates_leave():
    recipe = spsa(0, learning_rate=1.0, rate_floor=2.0**-3)
    f, probe = recipe.formats.weight, round(recipe.epsilon / lsb(recipe, "weight"))
    ends = np.where(np.arange(18).reshape(3, 6) % 2, f.max - probe, f.min + probe).astype(np.int32)
    x = np.full(6, 300, np.int32)
    x[1::2] = 290
    played = Played(recipe, [ends], x, 0)
    near(played.words(2), ends * f.step, 0)
    after = np.rint(played.after[0] / f.step).astype(int)
    assert after.min() == f.min + probe and after.max() == f.max - probe and (after != ends).any()
    signs = np.sign(played.words(0) - ends * f.step)
    outward = signs * np.sign(ends) * -np.sign(played.loss) > 0
    assert played.saturations["weight"] == outward.sum() > 0


@law
def read_noise_has_its_deviation_in_drives():
    for seed, sigma in enumerate((0.05, 0.3)):
        exact = chip_of((1, 1), (1,), devices={"read_noise": sigma})
        for place, frac in (("state", 8), ("delta", 9)):
            assert exact.noise_gain(place) == round(256 * sigma * 2 ** (10 + frac) / math.sqrt(43690))
        recipe = chip_of((1, 64, 2), (1, 64), devices={"read_noise": sigma}, seed=seed)
        zeros = [np.zeros((64, 1), int), np.zeros((2, 64), int)]
        drives, back = [], []
        for run in range(40):
            played = Played(recipe, zeros, [0], 0, run=run)
            drives.append(played.vector(0, "drive", "accumulator"))
            back.append(played.vector(1, "feedback", "accumulator"))
        # 2560 numbers each: the deviation of a deviation is 1 / sqrt(2 * 2560) = 1.4 %
        for seen in (drives, back):
            assert abs(np.std(seen) / sigma - 1) < 0.06, (np.std(seen), sigma)
            assert abs(np.mean(seen)) < sigma / 10


@law
def cells_have_their_levels():
    for levels in (2, 4, 16, 64):
        recipe = chip_of((1, 64), (1,), formats=FORMATS | {"weight": (6, 4), "state": (12, 6)}, rule="inference",
                         devices={"levels": levels})
        chip = emulator.Chip(recipe)
        chip.weights = [np.arange(-32, 32).reshape(64, 1)]
        seen = np.unique(chip.infer(np.array([[64]], np.int32))[0] * lsb(recipe, "state"))
        assert len(seen) == levels and len(set(np.diff(seen))) == 1
        near(np.diff(seen)[0], 4 / levels, 0)
        assert levels == 64 or abs(seen.sum()) < 1e-12


@law
def pulses_have_their_size():
    for seed, (name, slope) in enumerate((("constant", 0.25), ("linear", 0.25), ("linear", 0.5), ("soft-bounds", 0.25)) * 2):
        draw, pulse = np.random.default_rng(seed), 2.0 ** (-4 - seed % 2)
        recipe = chip_of((6, 4), (4,), beta=2.0, learning_rate=0.5, rate_floor=2.0**-4,
                         devices={"law": name, "pulse": pulse, "slope": slope})
        share = {"constant": 0.0, "linear": slope, "soft-bounds": 1.0}[name]
        end = 2.0 ** (recipe.formats.weight.width - 1 - recipe.formats.weight.frac)
        for scale in (0.0, 1.2):
            played = Played(recipe, drawn_weights(draw, recipe, scale), drawn_sample(draw, recipe), 0)
            ideal = np.outer(played.vector(0, "error", "delta"), played.x) * recipe.learning_rate / recipe.beta
            count = np.clip(np.floor(ideal / pulse + 0.5), -31, 31)
            assert (count != 0).any()
            w = played.before[0]
            moved = count * pulse * (1 - share * np.sign(count) * w / end)
            near(played.after[0], w + moved, lsb(recipe, "weight") * (1 + 31 * share * (scale > 0)))


@law
def the_longest_train_is_31_pulses():
    recipe = chip_of((1, 1), (1,), beta=1.0, learning_rate=1.0, rate_floor=2.0**-3, target_on=4.0,
                     devices={"law": "constant", "pulse": 2.0**-7})
    assert Played(recipe, [np.zeros((1, 1), int)], [256], 0).after[0][0, 0] == 31 * 2.0**-7


@law
def the_stated_share_of_cells_is_stuck():
    for share in (0.0, 0.25, 0.75, 1.0):
        recipe = chip_of((40, 64), (32,), rule="spsa", epsilon=2.0**-4, learning_rate=1.0, rate_floor=2.0**-3, devices={"stuck": share})
        played = Played(recipe, [np.zeros((64, 40), int)], np.full(40, 100), 0)
        still, n = (played.after[0] == 0).mean(), 40 * 64
        assert recipe.stuck_limit == round(65536 * share)
        assert abs(still - share) <= 4 * math.sqrt(share * (1 - share) / n), (still, share)


@law
def every_cell_is_stuck_where_all_are():
    """Also the one in 65536 whose word is the largest: a million of them."""
    recipe = chip_of((1024, 1024), (64,), devices={"stuck": 1.0})
    g = Geometry(recipe, 0)
    assert crossbar.stuck(g, tuple(map(np.uint32, recipe.key)), np.zeros(1)).all()


@law
def arrays_see_the_bits_that_they_say():
    for width, given, seen in ((8, 0, 8), (14, 0, 12), (14, 5, 5), (8, 12, 8)):
        recipe = chip_of((4, 2), (4,), formats=FORMATS | {"state": (width, 4)}, arrays={"on": True, "input_bits": given})
        assert recipe.input_width("state") == seen
    for width, levels, seen in ((8, 0, 8), (14, 0, 12), (14, 16, 4), (14, 2, 2), (14, 1 << 14, 12)):
        recipe = chip_of((4, 2), (4,), formats=FORMATS | {"weight": (width, 4)}, devices={"levels": levels})
        assert recipe.cell_width == seen


@law
def what_changes_no_hardware_is_not_built():
    bare = chip_of((4, 2), (4,), devices={"read_noise": 0.1, "levels": 16, "stuck": 0.1})
    cells = {"preset": "pcm", "age": 5.0, "compensate": "none", "wires": 1.0, "programming": 0.1, "spread": 0.1, "noise_spread": 0.1,
             "stuck_low": 0.1, "stuck_high": 0.1}
    loaded = bare.model_copy(update={"devices": bare.devices.model_copy(update=cells)})
    assert loaded.as_built == bare != loaded
    soft = {"law": "soft-bounds", "step": 2.0**-6}
    for pulses, built in ((soft, soft), (soft | {"step_spread": 0.1}, {})):
        assert chip_of((4, 2), (4,), pulses=pulses).as_built == chip_of((4, 2), (4,), pulses=built)


def clog2(n):
    return next(k for k in range(64) if 2**k >= n)


def drawn_geometries():
    draw = random.Random(1)
    for _ in range(60):
        sizes = [draw.randint(1, 70) for _ in range(draw.randint(2, 4))]
        lanes = [draw.choice([n for n in (1, 2, 4, 8, 16, 32, 64) if n < 2 * c]) for c in sizes[:-1]]
        formats = {p: (draw.randint(6, 18), 4) for p in FORMATS} | {"weight": (width := draw.randint(8, 18), width - 3)}
        recipe = chip_of(sizes, lanes, formats=formats, rule=draw.choice(("dual-propagation", "spsa")),
                         epsilon=2.0 ** -draw.choice((1, 2, 3)), learning_rate=2.0**-3, rate_floor=2.0**-5)
        for k in range(recipe.layers):
            yield recipe, k, Geometry(recipe, k)


@law
def sizes_are_the_contracts():
    for recipe, k, g in drawn_geometries():
        R, C, L = recipe.sizes[k + 1], recipe.sizes[k], recipe.lanes[k]
        f, last = recipe.formats, k == len(recipe.sizes) - 2
        F = len(range(0, C, L))                     # words that a row of C columns takes
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
        scalars = [largest_delta << 7]              # the rate register reaches 7
        if recipe.rule == "spsa":
            scalars.append(round(2 * recipe.epsilon / f.weight.step) << 8)      # a probe of minus twice epsilon, S = 8
        factor = 2 ** (f.state.width - 1)
        assert g.operand_width == b.operand and max(scalars) <= 2 ** (b.operand - 1)
        assert b.product == 64 or max(scalars) * factor < 2 ** (b.product - 1)
        assert max(scalars) * factor < 2**62
        sums = [g.sums(Operation(*of)) for of in ((Op.FORWARD, "W0", "input0"), (Op.TRANSPOSED, "W0", "", "error"))]
        assert g.C * 2 ** (f.weight.width - 1) * factor <= 2 ** (sums[0] - 1)
        assert g.R * 2 ** (f.weight.width - 1) * largest_delta <= 2 ** (sums[1] - 1)
        assert g.R * (2**f.accumulator.width) ** 2 < 2 ** (g.loss_width - 1)


def drawn_rule(seed):
    """Steps of a rule that nobody would write: reads, feedback and updates in any order in which each finds its operands."""
    def steps(recipe):
        draw, last = random.Random(seed), recipe.layers - 1
        nudged = [*parts.hidden(recipe), parts.nudged(recipe)]
        yield from nudged
        reach = last                                # lowest layer with an error
        for _ in range(draw.randint(3, 9)):
            kind, k = draw.choice(("again", "back", "back", "update", "update", "free", "up")), draw.randint(reach, last)
            if kind == "again":
                yield from nudged
            elif kind == "free":
                yield parts.read(last, recipe)
            elif kind == "up":
                j = draw.randint(0, last)
                yield draw.choice((parts.read(j, recipe), nudged[-1])) if j == last else parts.read(j, recipe)
            elif kind == "update":
                yield parts.update(k)
            elif k > 0:
                yield parts.back(k)
                reach = min(reach, k - 1)
    return steps


def hazardous(*back):
    """Steps of a rule with feedback that comes so late or so soon that chance hardly finds it."""
    def steps(recipe):
        yield from parts.hidden(recipe)
        yield parts.nudged(recipe)
        yield from (parts.back(k) if k else parts.read(0, recipe) for k in back)
    return steps


def in_two_units(recipe):
    """Steps whose means of two units go to one store, those of the quick unit after those of the slow one."""
    yield from parts.hidden(recipe)
    yield parts.read(0, recipe, mean="a")
    yield parts.nudged(recipe, mean="a")
    yield parts.update(1, column="a")


def drawn_machine(seed):
    """Steps over all matrices of the recipe's rule and stores of few names: whatever the machine can do, in any order."""
    def steps(recipe):
        draw, last, sizes = random.Random(seed), recipe.layers - 1, recipe.sizes
        states, differences, kept, fed, made = {"input0": sizes[0]}, {}, set(), set(), 0

        def fitting(stores, size):
            return [name for name, there in stores.items() if there == size]

        while made < 12:
            m, op = draw.choice(recipe.matrices), draw.choice((Op.FORWARD, Op.FORWARD, Op.TRANSPOSED, Op.TRANSPOSED, Op.UPDATE))
            columns, rows = fitting(states, sizes[m.below]), fitting(states | differences, sizes[m.above])
            if op is not Op.TRANSPOSED and not columns or op is not Op.FORWARD and not rows or op is Op.UPDATE and m.source != "memory":
                continue
            ports = {"column": draw.choice([*columns, NOISE])} if op is not Op.TRANSPOSED else {}
            ports |= {"row": draw.choice(rows)} if op is not Op.FORWARD else {}
            made += 1
            if op is Op.UPDATE:
                yield Operation(op, m.name, **ports)
                continue
            units = [k for k in range(recipe.layers) if sizes[k + 1] == sizes[m.above if op is Op.FORWARD else m.below]]
            if not units:
                continue
            unit = draw.choice(units)
            enter = draw.choice(("drive", "more", "less", "feedback")) if unit in kept else "drive"
            enter = "relax" if unit in kept & fed and draw.random() < 0.3 else enter
            free = [name for name in (f"{letter}{sizes[unit + 1]}" for letter in "abcde") if name not in ports.values()]
            mean, difference = (draw.choice([name for name in free if name[0] in letters] + [""]) for letters in ("abc", "de"))
            keep, keep_feedback = draw.random() < 0.6, draw.random() < 0.4
            yield Operation(op, m.name, **ports, unit=unit, enter=enter, keep_drive=keep, mean=mean, difference=difference,
                            keep_feedback=keep_feedback, leak=draw.randint(0, 3) if enter == "relax" else 0, moved=draw.random() < 0.2,
                            force=draw.choice(("", "drive", "feedback")) if unit == last else "",
                            loss=draw.choice(("keep", "set", "subtract")) if unit == last else "keep")
            states |= {mean: sizes[unit + 1]} if mean else {}
            differences |= {difference: sizes[unit + 1]} if difference else {}
            kept |= {unit} if keep else set()
            fed |= {unit} if keep_feedback else set()
    return steps


def faults_of(recipe, steps):
    operations = list(steps(recipe))
    return player.faults(recipe, compile_program(recipe, "drawn", operations), operations)


@law
def programs_are_played_as_their_rules_are_written():
    # a drive that is made while feedback waits for it; an error that is made anew while a long read goes over it
    assert faults_of(chip_of((13, 1, 1), (1, 1)), hazardous(1, 0, 1)) == []
    assert faults_of(chip_of((4, 12, 12, 2), (2, 1, 4)), hazardous(2, 1, 2)) == []
    for seed in range(100):
        draw = random.Random(seed)
        sizes = [draw.choice((1, 2, 4, 12, 13)) for _ in range(draw.choice((2, 3, 4, 4)))]
        lanes = [draw.choice([n for n in (1, 2, 4, 8, 16) if n < 2 * c]) for c in sizes[:-1]]
        recipe = chip_of(sizes, lanes, rule="spsa" if seed % 4 == 0 else "dual-propagation", epsilon=2.0**-4)
        for train in (False, True):
            steps = recipe.steps if train else rules.rule(recipe.rule).infer(recipe)
            assert player.faults(recipe, programs(recipe)[train], steps) == []
        assert faults_of(recipe, drawn_rule(seed)) == [], (seed, recipe)


@law
def stores_and_heads_are_played_as_they_are_written():
    """Matrices of every source, stores of any name, drives that are added to: the whole of contract section 12."""
    assert faults_of(chip_of((13, 4, 4), (1, 4)), in_two_units) == []
    for seed in range(150):
        draw = random.Random(seed)
        few = draw.sample((1, 2, 4, 9, 13), 2)
        sizes = [draw.choice(few) for _ in range(draw.choice((3, 4, 5)))]
        lanes = [draw.choice([n for n in (1, 2, 4, 8, 16) if n < 2 * c]) for c in sizes[:-1]]
        rule = draw.choice(("sign-concordant", "feedback-alignment", "stored-feedback", "direct-feedback", "local-heads", "spsa"))
        recipe = chip_of(sizes, lanes, rule=rule, epsilon=2.0**-4)
        assert faults_of(recipe, drawn_machine(seed)) == [], (seed, recipe)


def skips(recipe):
    """Yield operations that use the sample once more when all else is done."""
    yield from parts.hidden(recipe)
    yield parts.nudged(recipe)
    yield parts.update(1)
    yield Operation(Op.UPDATE, "S", column="input0", row="error1")


SKIPS = Rule(skips, matrices=lambda recipe: (*parts.weights(recipe), Matrix("S", 0, recipe.layers, 0)))
"""A rule with a matrix from the sample to the outputs."""
allow(f"{__name__}:SKIPS")


@law
def samples_that_overlap_are_played_over_each_other():
    """Every rule of the house and drawn programs, four samples an interval apart; and digits on one row of lanes in 333 cycles."""
    one_row = {"lanes": (), "engines": [{"lanes": 16, "matrices": ["W0", "W1"]}], "samples_in_flight": 2}
    assert programs(Recipe.model_validate(load("digits").model_dump() | one_row))[1].interval == 333
    shapes = (((9, 5, 4), (4, 2)), ((3, 9, 4), (2, 4)), ((12, 5, 6, 4), (2, 2, 4)))
    cases = []
    # what a matrix beside the way to the outputs still reads when the next sample is nearly through: the loss, the sample
    recipe = chip_of((2, 13, 4), (), rule="stored-feedback", engines=[{"lanes": 16, "matrices": ["W0", "W1"]},
                                                                      {"lanes": 1, "matrices": ["B1"]}])
    cases.append((recipe, (*parts.hidden(recipe), parts.nudged(recipe, loss="set"),
                           Operation(Op.UPDATE, "B1", column="input1", row=SLOPE), Operation(Op.UPDATE, "B1", column="input1", row=SLOPE))))
    recipe = chip_of((13, 4, 4), (), rule=f"{__name__}:SKIPS", engines=[{"lanes": 13, "matrices": ["W0", "W1"]},
                                                                      {"lanes": 1, "matrices": ["S"]}])
    cases.append((recipe, recipe.steps))
    for (sizes, lanes), rule in itertools.product(shapes, rules.RULES):
        if rule != "inference":
            recipe = chip_of(sizes, lanes, rule=rule, alpha=0, sweeps=(1, 1), epsilon=2.0**-4, decay=2.0**-8)
            cases.append((recipe, recipe.steps))
    for seed in range(30):
        draw = random.Random(seed)
        sizes = [draw.choice((1, 2, 4, 9, 13)) for _ in range(draw.choice((3, 4)))]
        lanes = [draw.choice([n for n in (1, 2, 4, 8, 16) if n < 2 * c]) for c in sizes[:-1]]
        recipe = chip_of(sizes, lanes, rule=draw.choice(("dual-propagation", "local-heads", "spsa")), epsilon=2.0**-4)
        cases.append((recipe, tuple((drawn_machine if seed % 2 else drawn_rule)(seed)(recipe))))
    overlapping = 0
    for recipe, steps in cases:
        recipe = recipe.model_copy(update={"samples_in_flight": 2})
        program = compile_program(recipe, "drawn", steps, 2)
        overlapping += program.interval > 0
        samples = 4 if program.interval else 1
        slots = outlasting(recipe, program)
        assert slots["input0"] <= recipe.samples_in_flight, (recipe, program)
        assert player.faults(recipe, program, steps, samples, slots) == [], (recipe, program)
    assert overlapping > len(cases) // 2


@law
def stale_reads_see_one_version_as_old_as_allowed():
    """Chips of one engine and of several, eight samples an interval apart; in the last ones a read just after an update must wait."""
    apart, together = [["W0"], ["W1"], ["W2"]], [["W0", "W2"], ["W1"]]
    for sizes, lanes, rows, staleness in (((9, 5, 6, 4), (4, 3, 2), apart, (3, 2, 0)), ((9, 5, 6, 4), (4, 3, 2), apart, (1, 0, 0)),
                                          ((9, 5, 6, 4), (4, 4), together, (2, 2, 1)), ((6, 2, 6, 2), (6, 2, 6), apart, (3, 3, 3)),
                                          ((3, 2, 2, 2), (3, 2), together, (3, 3, 3)),
                                          ((3, 2, 2, 2), (3,), [["W0", "W1", "W2"]], (3, 3, 3))):
        engines = [{"lanes": n, "matrices": names} for n, names in zip(lanes, rows, strict=True)]
        recipe = chip_of(sizes, (), engines=engines, samples_in_flight=4, staleness=staleness)
        program = programs(recipe)[True]
        behind = [program.staleness[f"W{k}"] for k in range(3)]
        assert any(behind) and all(lag <= allowed for lag, allowed in zip(behind, staleness, strict=True)), (behind, staleness)
        assert player.faults(recipe, program, recipe.steps, 8, outlasting(recipe, program)) == [], program


@law
def operations_start_as_early_as_they_can():
    """The first in cycle 2, and any other one a cycle earlier is a fault or comes too close to another."""
    shapes = (((9, 5, 4), (4, 2)), ((3, 9, 4), (2, 4)), ((12, 5, 6, 4), (2, 2, 4)))
    for (sizes, lanes), rule in itertools.product(shapes, rules.RULES):
        if rule == "inference":
            continue
        recipe = chip_of(sizes, lanes, rule=rule, alpha=0, sweeps=(2, 2), epsilon=2.0**-4, decay=2.0**-8)
        program = programs(recipe)[True]
        cycles = [i.cycle for i in program.instructions]
        assert cycles[0] == 2 and min(b - a for a, b in itertools.pairwise(cycles)) >= 2
        for n, instruction in enumerate(program.instructions[1:], 1):
            earlier = list(program.instructions)
            earlier[n] = replace(instruction, cycle=instruction.cycle - 1)
            before = [i for i in program.instructions[:n] if i.engine == instruction.engine]
            engine = bool(before) and instruction.cycle - before[-1].cycle == slots(recipe, before[-1])
            close = cycles[n] - cycles[n - 1] == 2
            assert engine or close or player.faults(recipe, replace(program, instructions=tuple(earlier)), recipe.steps), (rule, sizes, n)


def slots(recipe, instruction):
    """Contract section 8: cycles from a start to the engine's next one."""
    m = next(m for m in recipe.matrices if m.name == instruction.step.matrix)
    R, C, (_, L) = recipe.sizes[m.above], recipe.sizes[m.below], player.engine_of(recipe, m)
    F = -(-C // L)
    return (F - 1) * max(R, L) + R if instruction.op == Op.TRANSPOSED else R * F
