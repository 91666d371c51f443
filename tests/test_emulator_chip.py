"""The chip: both engines, both views, all rules; and what must hold whatever the recipe."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossdyad import emulator
from crossdyad.emulator import crossbar, crossbar_clocked, walk
from crossdyad.emulator.many import Many
from crossdyad.emulator.rng import keys
from crossdyad.recipe import Recipe, geometries, in_memory, load, programs, table

RULES = ("dual-propagation", "spsa", "inference")
ROUNDINGS = ("floor", "nearest", "nearest_even", "stochastic")
PLACES = ("accumulator", "state", "delta", "weight")


def small(rule="dual-propagation", rounding="stochastic", **changes) -> Recipe:
    """Two layers with folds, idle lanes and formats tight enough that everything saturates now and then."""
    given = dict(
        name="small",
        sizes=(5, 6, 3),
        lanes=(4, 2),
        rule=rule,
        epsilon=2.0**-4,
        rate_floor=2.0**-6,
        learning_rate=2.0**-4,
        seed=123456789012345,
        formats={
            "weight": {"width": 7, "frac": 6},
            "delta": {"width": 6, "frac": 4},
            "accumulator": {"width": 12, "frac": 8},
            "state": {"width": 7, "frac": 5},
        },
        rounding=dict.fromkeys(PLACES, rounding),
    )
    return Recipe(**(given | changes))


def samples(r: Recipe, n: int, seed: int = 0, batch=()):
    rng = np.random.default_rng(seed)
    f = r.formats.state
    return (rng.integers(f.min // 2, f.max + 1, (*batch, n, r.sizes[0])).astype(np.int32), rng.integers(0, r.sizes[-1], (*batch, n)))


def loaded(r: Recipe, engine="numpy", batch=(), seeds=None) -> emulator.Chip:
    chip = emulator.Chip(r, engine=engine, batch=batch, seeds=seeds)
    chip.weights = emulator.initial_weights(r, seeds)
    return chip


def equal(a: dict, b: dict):
    assert set(a) == set(b)
    for name in a:
        assert np.array_equal(a[name], b[name]) and a[name].dtype == b[name].dtype, name


# Engines ----------------------------------------------------------------------------------------------------

ENGINE_CASES = [
    ("dual-propagation", "stochastic", 0),
    ("dual-propagation", "floor", 0.5),
    ("dual-propagation", "nearest", 1),
    ("dual-propagation", "nearest_even", 0),
    ("spsa", "stochastic", 0),
    ("spsa", "nearest", 0),
    ("inference", "stochastic", 0),
]


@pytest.mark.parametrize("rule, rounding, alpha", ENGINE_CASES)
def test_engines_give_the_same_bits(rule, rounding, alpha):
    r = small(rule, rounding, alpha=alpha)
    x, y = samples(r, 40)
    made = []
    for engine in ("numpy", "jax"):
        chip = loaded(r, engine)
        result = chip.train(x, y)
        made.append((result.outputs, result.loss, chip.infer(x), chip.state()))
    for a, b in zip(made[0][:3], made[1][:3], strict=True):
        assert np.array_equal(a, b) and a.dtype == b.dtype
    equal(made[0][3], made[1][3])
    if rule == "dual-propagation":
        assert made[0][3]["saturations_weight"] > 0, "no weight was ever out of range"


@pytest.mark.parametrize(
    ("name", "value"),
    [("jax_enable_x64", False), ("jax_enable_x64", True), ("jax_numpy_dtype_promotion", "strict"), ("jax_numpy_rank_promotion", "raise")],
)
@pytest.mark.parametrize("rule", ["dual-propagation", pytest.param("spsa", marks=pytest.mark.slow)])
def test_jax_engine_does_not_mind_how_jax_is_set(rule, name, value):
    import jax

    r = small(rule, devices={"read_noise": 0.1, "stuck": 0.1})
    x, y = samples(r, 8)
    reference = loaded(r)
    reference.train(x, y)
    before = getattr(jax.config, name)
    try:
        jax.config.update(name, value)
        chip, many = loaded(r, "jax"), Many([r], [r.seed])
        chip.train(x, y)
        many.train(r.formats.state.decode(x), y)
        equal(chip.state(), reference.state())
        assert all((w[0] == own).all() for w, own in zip(many.weights, reference.weights, strict=True))
        assert getattr(jax.config, name) == value
    finally:
        jax.config.update(name, before)


def test_wide_formats_agree():
    """Sums beyond 32 and 53 bits, and products beyond 32: the other branches of every product."""
    q = {"width": 24, "frac": 18}
    r = small(formats=dict.fromkeys(PLACES, q), sizes=(200, 8, 3), lanes=(32, 2))
    x, y = samples(r, 3)
    a, b = loaded(r), loaded(r, "jax")
    for chip in (a, b):
        f = r.formats.weight
        chip.weights = [np.random.default_rng(g.layer).integers(f.min, f.max + 1, (g.R, g.C)) for g in geometries(r)]
        chip.train(x, y)
    equal(a.state(), b.state())
    assert np.array_equal(a.infer(x), b.infer(x))


# Views ------------------------------------------------------------------------------------------------------


@st.composite
def recipes(draw):
    """Small recipes with free formats; those that do not fit together are drawn again."""
    layers = draw(st.integers(1, 3))
    sizes = draw(st.lists(st.integers(1, 9), min_size=layers + 1, max_size=layers + 1))
    lanes = [draw(st.sampled_from([n for n in (1, 2, 4, 8, 16) if n < 2 * c])) for c in sizes[:-1]]
    q = st.fixed_dictionaries({"width": st.integers(4, 18), "frac": st.integers(0, 10)})
    given = dict(
        name="drawn",
        sizes=sizes,
        lanes=lanes,
        rule=draw(st.sampled_from(RULES)),
        alpha=draw(st.sampled_from([0, 0.5, 1])),
        beta=2.0 ** draw(st.integers(-4, 4)),
        learning_rate=2.0**-5,
        rate_floor=2.0**-7,
        target_on=0.5,
        activation=draw(st.sampled_from(["identity", "relu"])),
        output=draw(st.sampled_from(["identity", "relu"])),
        seed=draw(st.integers(0, 2**64 - 1)),
        formats={p: draw(q) for p in PLACES},
        rounding={p: draw(st.sampled_from(ROUNDINGS)) for p in PLACES},
        overflow={p: draw(st.sampled_from(["saturate", "wrap"])) for p in PLACES},
    )
    weight = given["formats"]["weight"]
    given["epsilon"] = 2.0 ** -weight["frac"]
    accumulator = given["formats"]["accumulator"]
    accumulator["frac"] = min(accumulator["frac"], accumulator["width"] - 2)
    return Recipe(**given)


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(r=recipes(), seed=st.integers(0, 1000))
def test_transactions_equal_trace(r, seed):
    x, y = samples(r, 3, seed)
    chip = loaded(r)
    for i in range(3):
        before, weights = chip.state(), chip.weights
        events = walk.trace(r, before, x[i], int(y[i]))
        result = chip.train(x[i : i + 1], y[i : i + 1])
        after = chip.state()
        for name in PLACES:
            counted = sum(e[4] for e in events if e[2] == f"events_{name}")
            assert counted == int(after[f"saturations_{name}"]) - int(before[f"saturations_{name}"]), name
        assert [e[4] for e in events if e[2] == "result"] == result.outputs[0].tolist()
        assert events[-1][4] == result.loss[0]
        for g, old, new in zip(in_memory(r), weights, chip.weights, strict=True):
            words, base = crossbar.pad(g, old).reshape(g.N, g.L).copy(), table.engines(r)[g.engine].base[g.matrix.name]
            for _, block, register, index, value in events:
                if register == "weight" and block == f"engine{g.engine}" and 0 <= index - base < g.N:
                    words[index - base] = crossbar_clocked.unpack(value, r.formats.weight.width, g.L)
            assert np.array_equal(words, crossbar.pad(g, new).reshape(g.N, g.L))
        assert max(e[0] for e in events) < programs(r)[1].length
    events = walk.trace(r, chip.state(), x[0])
    assert [e[4] for e in events if e[2] == "result"] == chip.infer(x[:1])[0].tolist()


def test_trace_ends_with_the_program():
    """Nothing happens after the last program cycle, and something does in it or just before."""
    for rule in RULES:
        r = small(rule)
        x, y = samples(r, 1)
        last = max(e[0] for e in walk.trace(r, loaded(r).state(), x[0], int(y[0])) if e[2] != "loss")
        assert programs(r)[1].length - 2 <= last < programs(r)[1].length


# Laws -------------------------------------------------------------------------------------------------------


def test_inference_is_the_integer_formula():
    r = small("inference", "nearest", sizes=(7, 3), lanes=(4,), output="relu")
    f = r.formats
    x, _ = samples(r, 50)
    chip = loaded(r)
    sums = x.astype(np.int64) @ chip.weights[0].astype(np.int64).T
    shift = f.weight.frac + f.state.frac - f.accumulator.frac
    a = np.clip((sums + (1 << (shift - 1))) >> shift, f.accumulator.min, f.accumulator.max)
    low, high = r.bounds(0)
    shift = f.accumulator.frac - f.state.frac
    mean = np.clip((np.clip(a, low, high) + (1 << (shift - 1))) >> shift, f.state.min, f.state.max)
    assert np.array_equal(chip.infer(x), mean)
    assert chip.cycles == 50 * programs(r)[0].length and chip.step == 0


def test_probes_restore_every_weight():
    """Plus, minus, plus: with a loss of zero difference the whole SPSA program changes nothing (contract section 6)."""
    for rounding in ROUNDINGS:
        r = small("spsa", rounding)
        f, rng = r.formats.weight, np.random.default_rng(0)
        key, step = keys(7), np.uint32(3)
        for g in geometries(r):
            w = rng.integers(f.min + r.guard, f.max - r.guard + 1, (g.R, g.C)).astype(np.int32)
            w[0, :2] = f.min + r.guard, f.max - r.guard
            pairs = crossbar.pairs(g, key, step, w)
            signs, now = crossbar.signs(g, pairs), crossbar.pad(g, w)
            for negative in (False, True, False):
                e = np.array([crossbar.probe_operand(g, negative)])
                now, events, _ = crossbar.rewrite(g, now, e, signs, pairs, True, np.int64(f.max))
                assert events == 0
                if not negative and not np.array_equal(now, crossbar.pad(g, w)):
                    assert np.array_equal(now - crossbar.pad(g, w), r.probe * signs)
            assert np.array_equal(now, crossbar.pad(g, w))


@pytest.mark.parametrize("engine", ["numpy", "jax"])
@pytest.mark.parametrize("rule", ["dual-propagation", "spsa"])
def test_restored_chip_goes_on_identically(engine, rule):
    r = small(rule)
    x, y = samples(r, 30)
    straight = loaded(r, engine)
    straight.train(x[:11], y[:11])
    straight.rate = 3
    saved = straight.state()
    straight.train(x[11:], y[11:])
    resumed = emulator.Chip(r, engine)
    resumed.restore(saved)
    resumed.train(x[11:], y[11:])
    equal(straight.state(), resumed.state())


@pytest.mark.parametrize("engine", ["numpy", "jax"])
@pytest.mark.parametrize("rule", ["dual-propagation", "spsa"])
def test_batch_of_chips_equals_separate_chips(engine, rule):
    r, seeds = small(rule), [5, 2**64 - 1, 77]
    x, y = samples(r, 12, batch=(3,))
    together = loaded(r, engine, (3,), seeds)
    together.rate = np.array([0, 2, 5])
    result, inferred = together.train(x, y), together.infer(x)
    for i, seed in enumerate(seeds):
        alone = loaded(r, engine, (), seed)
        alone.rate = [0, 2, 5][i]
        one = alone.train(x[i], y[i])
        assert np.array_equal(one.outputs, result.outputs[i]) and np.array_equal(one.loss, result.loss[i])
        assert np.array_equal(alone.infer(x[i]), inferred[i])
        state, mine = alone.state(), together.state()
        for name in state:
            shared = name in ("step", "run", "cycles")
            assert np.array_equal(state[name], mine[name] if shared else mine[name][i]), name


def test_samples_in_one_call_or_many():
    r = small()
    x, y = samples(r, 9)
    a, b = loaded(r), loaded(r)
    a.train(x, y)
    for i in range(9):
        b.train(x[i : i + 1], y[i : i + 1])
    equal(a.state(), b.state())


def test_reals_and_integers_are_the_same_samples():
    r = small()
    x, _ = samples(r, 5)
    chip = loaded(r)
    assert np.array_equal(chip.infer(x), chip.infer(r.formats.state.decode(x)))


def test_learning_lowers_the_cost():
    r = load("xor")
    assert r.sizes[0] == 3
    x = np.array([[a, b, 1.0] for a in (0, 1) for b in (0, 1)])
    y = np.array([0, 1, 1, 0])
    chip = loaded(r, "jax")
    order = np.random.default_rng(0).integers(0, 4, 3000)
    loss = chip.train(x[order], y[order]).loss
    assert loss[-200:].mean() < 0.2 * loss[:200].mean()
    assert (chip.infer(x).argmax(axis=-1) == y).all()


# Bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act, message",
    [
        (lambda c: c.infer(np.zeros((2, 4))), r"x: shape \(2, 4\)"),
        (lambda c: c.infer(np.zeros(5)), r"x: shape \(5,\)"),
        (lambda c: c.infer(np.full((1, 5), np.nan)), "NaN"),
        (lambda c: c.infer(np.full((1, 5), 99.0)), "99 does not fit"),
        (lambda c: c.infer(np.full((1, 5), 4000, np.int32)), "4000 does not fit"),
        (lambda c: c.train(np.zeros((2, 5)), np.array([0])), "y: int64 of shape"),
        (lambda c: c.train(np.zeros((1, 5)), np.array([3])), "label 3; allowed is 0 to 2"),
        (lambda c: c.train(np.zeros((1, 5)), np.array([-1])), "label -1"),
        (lambda c: c.train(np.zeros((1, 5)), np.array([0.5])), "expected integers"),
        (lambda c: setattr(c, "weights", [np.zeros((6, 5), int)]), "weights: 1 arrays"),
        (lambda c: setattr(c, "weights", [np.zeros((5, 6), int), np.zeros((3, 6), int)]), r"weights\[0\]: shape \(5, 6\)"),
        (lambda c: setattr(c, "weights", [np.full((6, 5), 64), np.zeros((3, 6), int)]), r"weights\[0\]: 64 does not fit"),
        (lambda c: setattr(c, "weights", [np.zeros((6, 5)), np.zeros((3, 6), int)]), r"weights\[0\]: expected integers"),
        (lambda c: setattr(c, "rate", 8), "rate: 8; allowed is an integer from 0 to 7"),
        (lambda c: c.restore({"weights0": 0}), "is missing"),
        (lambda c: c.restore(loaded(small(), batch=(2,), seeds=[1, 2]).state()), "this batch of chips has"),
        (lambda c: emulator.Chip(c.recipe, engine="torch"), "engine: 'torch'; allowed are numpy, jax"),
        (lambda c: emulator.Chip(c.recipe, batch=(2,), seeds=[1, 2, 3]), "seeds: shape"),
        (lambda c: emulator.Chip(c.recipe, seeds=-1), "seeds: -1; every seed"),
    ],
)
def test_bad_input_is_one_clear_error(act, message):
    chip = loaded(small())
    before = chip.state()
    with pytest.raises(ValueError, match=message):
        act(chip)
    equal(chip.state(), before)


def test_weights_leave_room_for_the_probe():
    r = small("spsa")
    chip = loaded(r)
    full = [np.full((g.R, g.C), r.formats.weight.max) for g in geometries(r)]
    with pytest.raises(ValueError, match="no room for the probe"):
        chip.weights = full
    chip.weights = [w - r.guard for w in full]


def test_no_samples_is_no_work():
    chip = loaded(small())
    before = chip.state()
    assert chip.train(np.zeros((0, 5)), np.zeros(0, dtype=int)).outputs.shape == (0, 3)
    assert chip.infer(np.zeros((0, 5))).shape == (0, 3)
    equal(chip.state(), before)
