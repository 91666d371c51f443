"""Intervals that cover, fronts against their definition, differences in pairs."""

import itertools

import numpy as np
import pytest

from crossdyad.explore import cost
from crossdyad.explore import statistics as st


def summary(name, seeds=(1, 2, 3, 4, 5), cost="synth", board="ulx3s", **values):
    values = {m: np.asarray(v, float) for m, v in values.items()}
    return st.Summary({"name": name}, {"name": name}, values, list(seeds), {}, {}, board, {"cost": cost})


@pytest.mark.parametrize(("objectives", "levels"), [(3, 6), (2, 6), (2, 3), (2, 1000), (1, 6)])
def test_the_front_is_what_no_other_point_dominates(objectives, levels):
    rng = np.random.default_rng(0)
    for points in (60, 5, 1):
        scores = rng.integers(0, levels, (points, objectives)).astype(float)
        brute = [not any((b >= a).all() and (b > a).any() for b in scores) for a in scores]
        assert (st.non_dominated(scores) == brute).all() and 0 < sum(brute) <= points


def learns(rng, shape):
    return rng.normal(0.95, 0.01, shape)


def fails(share):
    """Chips of which some learn nothing, with their true mean."""
    return (lambda rng, shape: np.where(rng.random(shape) < share, 0.1, learns(rng, shape))), 0.95 - 0.85 * share


DISTRIBUTIONS = {
    "normal": (learns, 0.95),
    "skewed": (lambda rng, shape: 0.99 - 0.2 * rng.beta(0.5, 6, shape), 0.99 - 0.2 * 0.5 / 6.5),
    "two ends": (lambda rng, shape: rng.beta(0.3, 0.3, shape), 0.5),
    "one in ten fails": fails(0.1),
    "one in four fails": fails(0.25),
    "half fail": fails(0.5),
    "nine in ten fail": fails(0.9),
    "right or wrong": (lambda rng, shape: rng.random(shape) < 0.9, 0.9),
}


def drawn(name, rng, shape):
    """Accuracies without equal ones, and the share of them below a value."""
    from scipy.stats import expon, norm

    if name == "normal":
        return rng.normal(0.95, 0.01, shape), norm(0.95, 0.01).cdf
    if name == "exponential":
        return 1 - rng.exponential(0.05, shape), lambda v: 1 - expon(scale=0.05).cdf(1 - v)
    share = {"one in ten collapses": 0.1, "one in four collapses": 0.25, "nearly half collapse": 0.45}[name]
    failed = rng.random(shape) < share
    return np.where(
        failed, rng.normal(0.1, 0.01, shape), rng.normal(0.95, 0.01, shape)
    ), lambda v: share * norm(0.1, 0.01).cdf(v) + (1 - share) * norm(0.95, 0.01).cdf(v)


@pytest.mark.parametrize("seeds", [5, 6, 7, 10, 20])
@pytest.mark.parametrize("name", ["normal", "exponential", "one in ten collapses", "one in four collapses", "nearly half collapse"])
def test_shown_intervals_cover_in_92_to_98_of_100_cases_however_seeds_scatter(name, seeds):
    """By the cumulative distribution, not by a formula for the median: as often as its value at both ends encloses one half."""
    values, below = drawn(name, np.random.default_rng(3), (20_000, seeds))
    median, low, high = st.middle(values)
    assert 0.92 <= np.mean((below(low) <= 0.5) & (0.5 <= below(high))) <= 0.98
    assert (low >= values.min(-1)).all() and (high <= values.max(-1)).all() and (low <= median).all() and (median <= high).all()


def test_fewer_than_five_seeds_have_no_interval_as_none_holds():
    for seeds in (1, 2, 3, 4):
        median, low, high = st.middle(np.linspace(0.8, 0.9, seeds))
        assert median == pytest.approx(0.85 if seeds > 1 else 0.8) and low == -np.inf and high == np.inf
        with pytest.raises(ValueError, match="needs 5 or more"):
            st.ranks(seeds)
    values, below = drawn("normal", np.random.default_rng(0), (20_000, 4))
    assert np.mean((below(values.min(-1)) <= 0.5) & (0.5 <= below(values.max(-1)))) < 0.92


def test_no_interval_of_a_mean_holds_for_rare_collapses_without_covering_too_much_elsewhere():
    """Student's, of five seeds: why none is shown."""
    values, _ = drawn("one in ten collapses", np.random.default_rng(3), (20_000, 5))
    half = 2.776 * values.std(-1, ddof=1) / np.sqrt(5)
    assert np.mean(np.abs(values.mean(-1) - 0.865) <= half) < 0.6


@pytest.mark.parametrize("seeds", [1, 3, 5, 20, 64])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_what_a_mean_surely_is_holds_at_least_as_often_as_said(name, seeds):
    draw, true = DISTRIBUTIONS[name]
    values = draw(np.random.default_rng(3), (500, seeds)).astype(float)
    mean, low, high = st.bounds("accuracy", values)
    assert np.mean((low <= true) & (true <= high)) > 0.94
    assert (0 <= low).all() and (low <= mean).all() and (mean <= high).all() and (high <= 1).all()
    of_cosines = st.bounds("cosine", 2 * values - 1)  # between other bounds the same
    assert np.allclose(of_cosines, 2 * np.stack([mean, low, high]) - 1)


def test_an_interval_of_chips_that_all_learned_is_the_closed_form():
    """Of n equal values the one never seen has a share of 1 - u**(1/n), u uniform; so many may have failed unseen."""
    for n in (1, 5, 30):
        assert st.unseen(n) == pytest.approx(1 - 0.025 ** (1 / n))
        _, low, high = st.bounds("accuracy", np.full(n, 0.9))
        assert low == pytest.approx(0.9 * (1 - st.unseen(n)), abs=0.02)
        assert high == pytest.approx(0.9 + 0.1 * st.unseen(n), abs=0.003)


def test_bounds_of_what_has_none_are_infinite_and_of_what_is_the_same_are_none():
    assert st.bounds("bias", [0.001, 0.001, 0.2]).tolist()[1:] == [-np.inf, np.inf]
    assert st.bounds("lut", [100.0, 100.0]).tolist() == [100.0] * 3


@pytest.mark.parametrize("name", ["normal", "one in ten fails", "half fail"])
@pytest.mark.parametrize("seeds", [5, 7, 20])
def test_two_points_that_are_the_same_are_told_apart_no_more_often_than_said(name, seeds):
    rng, draw = np.random.default_rng(2), DISTRIBUTIONS[name][0]
    _, low, high = st.middle(draw(rng, (20_000, seeds)) - draw(rng, (20_000, seeds)))
    assert np.mean((low > 0) | (high < 0)) < 0.08


def test_the_smallest_difference_is_told_as_often_as_said():
    rng = np.random.default_rng(4)
    for seeds in (5, 20):
        pair = [summary("a", range(seeds), accuracy=np.zeros(seeds)), summary("b", range(seeds), accuracy=rng.normal(0, 1, seeds))]
        smallest = st.smallest_difference(pair, "accuracy") / np.std(pair[1].values["accuracy"], ddof=1)
        _, low, _ = st.middle(rng.normal(smallest, 1, (20_000, seeds)))
        assert np.mean(low > 0) == pytest.approx(0.8, abs=0.02)


def test_few_seeds_have_no_smallest_difference():
    pair = [summary("a", (1, 2), accuracy=[0.1, 0.2]), summary("b", (1, 2), accuracy=[0.2, 0.2])]
    assert st.smallest_difference(pair, "accuracy") is None


def test_pairs_tell_apart_what_the_spread_over_seeds_hides():
    rng = np.random.default_rng(2)
    common = rng.normal(0, 0.1, 8)
    a, b = summary("a", range(8), accuracy=0.90 + common), summary("b", range(8), accuracy=0.89 + common + rng.normal(0, 1e-3, 8))
    _, low, high = st.difference(a, b, "accuracy")
    assert 0 < low < 0.01 < high < 0.02
    (_, a_low, _), (_, _, b_high) = st.reach(a, "accuracy"), st.reach(b, "accuracy")
    assert a_low < b_high  # unpaired they overlap
    with pytest.raises(ValueError, match="no seed in common"):
        st.difference(a, summary("c", (100,), accuracy=[1.0]), "accuracy")


def test_a_place_on_the_front_is_sure_only_where_the_seeds_agree():
    clear = summary("clear", accuracy=[0.95] * 5, lut=[100] * 5)
    beaten = summary("beaten", accuracy=[0.90] * 5, lut=[200] * 5)
    toss = [summary(n, accuracy=v, lut=[50] * 5) for n, v in (("x", [0.8, 0.82, 0.8, 0.82, 0.81]), ("y", [0.82, 0.8, 0.82, 0.8, 0.81]))]
    found = st.front([clear, beaten, *toss], ("accuracy", "lut"))
    assert found.on.tolist()[:2] == [True, False] and found.surely[0] == 1 and found.surely[1] == 0
    assert all(0.2 < s < 0.8 for s in found.surely[2:])
    assert found.scores[0].tolist() == [0.95, 100]


def test_a_place_on_the_front_is_as_sure_as_the_model_of_costs():
    """Designs 2 % apart, where the model is off by 2.2 % in the median."""

    def pair(cost, **more):
        return [
            summary(name, accuracy=[0.9] * 5, lut=[lut] * 5, cost=cost, **m)
            for name, lut, m in (("small", 1000, {}), ("large", 1020, more))
        ]

    assert st.front(pair("synth"), ("accuracy", "lut")).surely.tolist() == [1, 0]
    small, large = st.front(pair("model"), ("accuracy", "lut")).surely
    assert 0.6 < small < 0.9 and 0.1 < large < 0.4 and small + large == pytest.approx(1, abs=0.05)
    far = [summary(name, accuracy=[0.9] * 5, lut=[lut] * 5, cost="model") for name, lut in (("small", 1000), ("large", 1200))]
    assert st.front(far, ("accuracy", "lut")).surely.tolist() == [1, 0]
    twice = summary("small", accuracy=[0.9] * 5, lut=[1020] * 5, cost="model", board="ulx3s-85f")  # the same design, off alike
    assert st.front([pair("model")[0], twice], ("accuracy", "lut")).surely.tolist() == [1, 0]


def test_a_modelled_figure_reaches_over_the_model_s_worst_errors():
    s = summary(
        "a", accuracy=[0.9] * 5, lut=[10_000] * 5, ff=[8000] * 5, fmax=[100] * 5, memory=[9] * 5, fill=[10_000 / 24288] * 5, cost="model"
    )
    ratios = {m: (min(1, *cost.ratios(m)), max(1, *cost.ratios(m))) for m in ("lut", "fmax", "memory")}
    assert ratios["lut"][0] < 1 < ratios["lut"][1] and ratios["memory"] == (1, 1)
    for m, (low, high) in ratios.items():
        value = s.values[m][0]
        assert st.reach(s, m) == pytest.approx((value, low * value, high * value)) == st.span(s, m)
    assert st.reach(s, "fill")[2] == pytest.approx(ratios["lut"][1] * 10_000 / 24288)  # LUTs run out first
    counted = s._replace(values=s.values | {"fill": np.full(5, 0.9)})
    assert st.reach(counted, "fill") == pytest.approx((0.9, 0.9, 0.9))
    assert st.reach(s._replace(measured={"cost": "synth"}), "lut") == (10_000, 10_000, 10_000)
    assert st.span(s, "accuracy") == pytest.approx((0.9, 0.9, 0.9)) and st.reach(s, "accuracy")[1] < 0.5


def test_points_that_lack_seeds_are_not_compared():
    whole, part = summary("a", accuracy=[0.9] * 5, lut=[100] * 5), summary("b", (1, 2), accuracy=[1.0] * 2, lut=[50] * 2)
    assert st.comparable([whole, part, whole]) == [whole, whole]
    assert [s.settings["name"] for s in st.front([whole, part, whole], ("accuracy", "lut")).points] == ["a", "a"]


def test_a_metric_that_some_seed_lacks_is_left_out():
    rows = [
        {"status": "ok", "recipe": {}, "board": "b", "point": {}, "seed": s, "versions": {}, "value": {"accuracy": 0.5, "cosine": c}}
        for s, c in ((1, 0.9), (2, None), (3, float("nan")))
    ]
    (made,) = st.summaries(rows)
    assert made.values["accuracy"].tolist() == [0.5] * 3 and "cosine" not in made.values


def test_the_knee_is_the_balanced_point():
    scores = [(0.5, 10), (0.9, 20), (0.95, 100)]
    assert st.knee(scores, ("accuracy", "lut")) == 1


def test_a_metric_that_is_to_be_small_is_turned_round():
    for better, worse in itertools.combinations([1.0, 2.0, 5.0], 2):
        assert st.signed("lut", better) > st.signed("lut", worse) and st.signed("accuracy", better) < st.signed("accuracy", worse)
