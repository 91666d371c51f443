"""What a chip computes, in real numbers: activations, updates, probes, noise, cells and pulses."""

import math
import random

import numpy as np
from law import FORMATS, chip_of, law, lsb, near

from crossdyad import emulator
from crossdyad.emulator import crossbar, walk
from crossdyad.recipe import geometries


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
        unit, name = {
            "error": (layer, "difference"),
            "drive": (layer, "drive"),
            "input": (layer - 1, "mean"),
            "feedback": (layer - 1, "feedback"),
        }[register]
        written = [(i, v) for _, block, what, i, v in self.events if (block, what) == (f"unit{unit}", name)]
        count = len({i for i, _ in written})
        part = dict(written[nth * count : (nth + 1) * count])
        return np.array([part[i] for i in range(count)]) * lsb(self.recipe, place)

    def words(self, nth):
        """The weights of a single layer as its n-th pass over the memory wrote them, real."""
        g, f = geometries(self.recipe)[0], self.recipe.formats.weight
        written = [(a, w) for *_, name, a, w in self.events if name == "weight"][nth * g.N : (nth + 1) * g.N]
        lanes = [(w >> f.width * lane) & (1 << f.width) - 1 for _, w in sorted(written) for lane in range(self.recipe.lanes[0])]
        signed = np.array([v - (v >> f.width - 1 << f.width) for v in lanes]).reshape(self.recipe.sizes[1], -1)
        return signed[:, : self.recipe.sizes[0]] * f.step


def drawn_weights(draw, recipe, scale):
    f = recipe.formats.weight
    return [
        np.clip(np.rint(draw.normal(0, scale / f.step, (r, c))), f.min / 2, f.max / 2).astype(np.int32)
        for c, r in zip(recipe.sizes, recipe.sizes[1:], strict=False)
    ]


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
        recipe = chip_of(
            (6, 4),
            (4,),
            alpha=(0, 0.5, 1)[seed % 3],
            beta=2.0 ** (seed % 4 - 1),
            output=ACTIVATIONS[seed // 6],
            target_on=0.7,
            target_off=-0.3,
        )
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
        recipe = chip_of(
            (6, 4),
            (4,),
            beta=2.0 ** draw.randint(-2, 2),
            rate_floor=2.0**floor,
            learning_rate=2.0 ** (floor + rate),
            formats=FORMATS | {"weight": (18, draw.randint(9, 14))},
        )
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
        recipe = chip_of(
            (4, 3),
            (4,),
            beta=0.25,
            learning_rate=1.0,
            rate_floor=1.0,
            target_on=400.0,
            target_off=-400.0,
            formats=FORMATS | {"state": (10, 2), "delta": (12, 2), "weight": (18, 16)},
        )
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
        recipe = spsa(
            seed,
            rate_floor=2.0**floor,
            learning_rate=2.0 ** (floor + draw.randint(0, 3)),
            seed=seed + 1,
            output=draw.choice(("identity", "hard_tanh")),
        )
        played = Played(recipe, drawn_weights(rng, recipe, 0.3), drawn_sample(rng, recipe), seed % 3, step=seed)
        signs = (played.words(0) - played.before[0]) / recipe.epsilon
        assert set(np.unique(signs)) == {-1.0, 1.0} and recipe.update_shift == 8  # S of contract section 6
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
        recipe = chip_of(
            (1, 64), (1,), formats=FORMATS | {"weight": (6, 4), "state": (12, 6)}, rule="inference", devices={"levels": levels}
        )
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
        recipe = chip_of(
            (6, 4), (4,), beta=2.0, learning_rate=0.5, rate_floor=2.0**-4, devices={"law": name, "pulse": pulse, "slope": slope}
        )
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
    recipe = chip_of(
        (1, 1), (1,), beta=1.0, learning_rate=1.0, rate_floor=2.0**-3, target_on=4.0, devices={"law": "constant", "pulse": 2.0**-7}
    )
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
    g = geometries(recipe)[0]
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
    cells = {
        "preset": "pcm",
        "age": 5.0,
        "temperature": 350.0,
        "reference_temperature": 300.0,
        "activation_energy": 0.5,
        "temperature_coefficient": 1e-3,
        "compensate": "none",
        "wires": 1.0,
        "programming": 0.1,
        "spread": 0.1,
        "noise_spread": 0.1,
        "stuck_low": 0.1,
        "stuck_high": 0.1,
    }
    loaded = bare.model_copy(update={"devices": bare.devices.model_copy(update=cells)})
    assert loaded.as_built == bare != loaded
    soft = {"law": "soft-bounds", "step": 2.0**-6}
    for pulses, built in ((soft, soft), (soft | {"step_spread": 0.1}, {})):
        assert chip_of((4, 2), (4,), pulses=pulses).as_built == chip_of((4, 2), (4,), pulses=built)
