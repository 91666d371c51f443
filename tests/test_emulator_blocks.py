"""Dyad, nudge and update: transactions == traces on random formats, and what their equations promise."""

from fractions import Fraction

import numpy as np
import pytest

from crossdyad.emulator import crossbar, crossbar_clocked, neuron, nudge, update
from crossdyad.recipe import Op, Recipe, geometries, table

pytestmark = pytest.mark.usefixtures("promises")

ROUNDINGS = ("floor", "nearest", "nearest_even", "stochastic")
PLACES = ("accumulator", "state", "delta", "weight")


def recipe(seed: int, **changes) -> Recipe:
    """A small recipe with random formats, roundings and overflows."""
    rng = np.random.default_rng(seed)

    def q(low, high, frac_low, frac_high):
        return {"width": int(rng.integers(low, high)), "frac": int(rng.integers(frac_low, frac_high))}

    formats = {"state": q(4, 12, 2, 8), "weight": q(5, 18, 3, 14), "accumulator": q(8, 20, 2, 7), "delta": q(4, 12, 2, 9)}
    given = dict(
        name="drawn",
        sizes=(5, 6, 3),
        lanes=(4, 2),
        formats=formats,
        alpha=float(rng.choice([0, 0.5, 1])),
        beta=2.0 ** int(rng.integers(-3, 5)),
        rate_floor=2.0**-9,
        learning_rate=2.0**-7,
        seed=int(rng.integers(1 << 62)),
        activation=str(rng.choice(["identity", "relu", "hard_sigmoid", "hard_tanh"])),
        rounding={p: str(rng.choice(ROUNDINGS)) for p in PLACES},
        overflow={p: str(rng.choice(["saturate", "wrap"])) for p in PLACES},
    )
    return Recipe(**(given | changes))


def draw(rng, width, n):
    """Values of a format, its ends among them."""
    values = rng.integers(-(1 << (width - 1)), 1 << (width - 1), n)
    values[:2] = -(1 << (width - 1)), (1 << (width - 1)) - 1
    return values.astype(np.int32)


@pytest.mark.parametrize("seed", range(20))
def test_dyad(seed):
    r, rng, n = recipe(seed), np.random.default_rng(seed), 400
    a, b = (draw(rng, r.formats.accumulator.width, n) for _ in range(2))
    words = rng.integers(0, 1 << 16, (2, n))
    for layer in (0, 1):
        late = np.concatenate([np.zeros((2, 3), dtype=int), words[:, :-3]], axis=1)  # belong to cycle c + 3
        ports = neuron.trace(r, layer, ("dyad",), {"a": a, "b": b, "random_state": late[0], "random_delta": late[1]})
        made = neuron.dyad(r, layer, a, b, *words)
        for name, value in zip(("mean", "mean_out_of_range", "difference", "difference_out_of_range"), made, strict=True):
            assert (ports[name][5:] == value[:-5]).all(), name


@pytest.mark.parametrize("seed", range(20))
def test_dyad_without_feedback_is_inference(seed):
    """With b = 0 the mean does not depend on alpha and the difference is 0."""
    rng = np.random.default_rng(seed)
    chips = [recipe(seed, alpha=alpha) for alpha in (0, 0.5, 1)]
    a = draw(rng, chips[0].formats.accumulator.width, 300)
    word = rng.integers(0, 1 << 16, 300)
    means = [neuron.dyad(r, 0, a, a * 0, word, word * 0) for r in chips]
    for mean, _, difference, out in means:
        assert (mean == means[0][0]).all() and not difference.any() and not out.any()


def test_dyad_equation():
    """In formats that lose nothing: Eq. 10 and 13 with errata E9 and E12, by fractions."""
    wide = {"state": {"width": 20, "frac": 8}, "accumulator": {"width": 16, "frac": 6}, "delta": {"width": 20, "frac": 7}}
    rng = np.random.default_rng(0)
    for alpha in (0, 0.5, 1):
        r = recipe(0, alpha=alpha, formats=wide, activation="relu")
        a, b = (draw(rng, 16, 200) for _ in range(2))
        mean, _, difference, _ = neuron.dyad(r, 0, a, b)
        for i in range(200):
            A, B, al = Fraction(int(a[i]), 64), Fraction(int(b[i]), 64), Fraction(alpha)
            plus, minus = (
                min(max(s, Fraction(0)), Fraction(r.formats.state.high).limit_denominator(64)) for s in (A + (1 - al) * B, A - al * B)
            )
            assert Fraction(int(mean[i]), 256) == al * plus + (1 - al) * minus
            assert Fraction(int(difference[i]), 128) == plus - minus


@pytest.mark.parametrize("seed", range(20))
def test_nudge(seed):
    r, rng, n = recipe(seed), np.random.default_rng(seed), 300
    a = draw(rng, r.formats.accumulator.width, n)
    target, word = rng.integers(0, 2, n).astype(bool), rng.integers(0, 1 << 16, n)
    late = np.concatenate([np.zeros(2, dtype=int), word[:-2]])  # belongs to cycle c + 2
    ports = nudge.trace(r, {"a": a, "target": target, "random": late})
    error, b, out = nudge.nudge(r, a, target, word)
    assert (ports["error"][2:] == error[:-2]).all()
    assert (ports["b"][4:] == b[:-4]).all() and (ports["b_out_of_range"][4:] == out[:-4]).all()
    assert int(nudge.loss(error)) == sum(int(e) ** 2 for e in error)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("rule", ["dual-propagation", "spsa"])
def test_update(seed, rule):
    # also rates so high that products are shifted to the left
    rate = 2.0 ** (-9 if seed % 3 else 2)
    r = recipe(seed, rule=rule, rate_floor=rate, learning_rate=rate, epsilon=2.0 ** -recipe(seed).formats.weight.frac)
    g, rng, n = geometries(r)[0], np.random.default_rng(seed), 400
    w = np.clip(draw(rng, r.formats.weight.width, n), r.formats.weight.min + r.guard, r.formats.weight.max - r.guard)
    width = g.operand_width + r.formats.state.width
    p = rng.integers(-(1 << (width - 1)), 1 << (width - 1), n) >> rng.integers(0, width, n)
    word, probe = rng.integers(0, 1 << 16, n), rng.integers(0, 2, n)
    ports = update.trace(r, (0,), {"weight": w, "product": p, "random": word, "probe": probe})
    for probing in (0, 1):
        result, out = update.update(r, w, p.astype(update.product_type(g)), word, bool(probing))
        mine = probe[:-3] == probing
        assert (ports["result"][3:][mine] == result[:-3][mine]).all()
        assert (ports["out_of_range"][3:][mine] == out[:-3][mine]).all()


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("rate", [-9, -4, 8], ids=lambda rate: f"rate 2^{rate}")
def test_no_update_changes_a_weight_by_more_than_the_bound_that_skips_limits(rounding, rate):
    r = recipe(0, rounding=dict.fromkeys(PLACES, rounding), rate_floor=2.0**rate, learning_rate=2.0**rate, pulses={})
    products = [*range(300), *(int(p) for p in np.random.default_rng(0).integers(0, 1 << 20, 300))]
    for product in products:
        bound = int(update.largest_change(r, np.int64(product)))
        for signed in (product, -product):
            change = max(abs(update.round_exact(r, 0, signed, word)) for word in (0, 0xFFFF))
            assert change <= bound or bound >= r.formats.weight.max, (product, change, bound)


def test_words_pack_and_unpack():
    rng = np.random.default_rng(0)
    for width in (2, 9, 24):
        lanes = rng.integers(-(1 << (width - 1)), 1 << (width - 1), 16).tolist()
        assert crossbar_clocked.unpack(crossbar_clocked.pack(lanes, width), width, 16) == lanes


@pytest.mark.parametrize("lanes, columns", [(1, 3), (2, 5), (3, 7), (4, 8), (16, 16), (22, 40), (32, 20), (64, 70)])
def test_crossbar_sums(lanes, columns):
    """Forward and transposed of the trace are exact integer products, whatever the folding."""
    r = recipe(1, sizes=(3, columns, 4), lanes=(1, lanes))
    g, rng, f = geometries(r)[1], np.random.default_rng(2), r.formats
    w = draw(rng, f.weight.width, 4 * columns).reshape(4, columns)
    x, e = draw(rng, f.state.width, columns), draw(rng, f.delta.width, 4)
    words = crossbar.pad(g, w).reshape(g.N, g.L).tolist()
    operations = table.engines(r)[1].operations
    numbers = [next(n for n, s in enumerate(operations) if s.op is op) for op in (Op.FORWARD, Op.TRANSPOSED)]
    load = max(g.N, columns)
    # the slots follow those of the first without a pause, but for a deep tree, whose last sum comes as late as the first one of these
    second = load + g.slots(Op.FORWARD) + max(0, g.lv + 1 - g.R)
    cycles = second + 24 + g.slots(Op.TRANSPOSED) + lanes
    ports = {name: np.zeros(cycles, dtype=object) for name in crossbar_clocked.inputs(r, 1)}
    for i, word in enumerate(words):
        ports["word_write"][i], ports["word_address"][i], ports["word_in"][i] = 1, i, crossbar_clocked.pack(word, f.weight.width)
    for n, vector in enumerate((x, e)):
        for i, v in enumerate(vector):
            ports[f"store{n}__valid"][i], ports[f"store{n}__index"][i], ports[f"store{n}__value"][i] = 1, i, v
    ports["start"][[load, second]], ports["number"][[load, second]] = 1, numbers
    out = crossbar_clocked.trace(r, 1, ports)
    valid = np.flatnonzero(out["sum_valid"])
    wide = w.astype(object)
    sums = {number: [(int(out["sum_index"][c]), int(out["sum"][c])) for c in valid if out["sum_number"][c] == number] for number in numbers}
    assert sums == {numbers[0]: list(enumerate(wide @ x.astype(object))), numbers[1]: list(enumerate(wide.T @ e.astype(object)))}
    assert (crossbar.forward(g, crossbar.pad(g, w), crossbar.pad(g, x)[None])[0] == wide @ x).all()
    assert (crossbar.transposed(g, crossbar.pad(g, w), e[None])[0] == wide.T @ e).all()
    assert out["coming_valid"][:-11].tolist() == out["sum_valid"][11:].tolist()
