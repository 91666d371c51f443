"""Intervals that cover, fronts against their definition, differences in pairs."""

import itertools

import numpy as np
import pytest

from crossdyad.explore import statistics as st


def summary(name, seeds=(1, 2, 3, 4, 5), **values):
    return st.Summary({"name": name}, {"name": name}, {m: np.asarray(v, float) for m, v in values.items()}, list(seeds), {}, {})


@pytest.mark.parametrize(("objectives", "levels"), [(3, 6), (2, 6), (2, 3), (2, 1000), (1, 6)])
def test_the_front_is_what_no_other_point_dominates(objectives, levels):
    rng = np.random.default_rng(0)
    for points in (60, 5, 1):
        scores = rng.integers(0, levels, (points, objectives)).astype(float)
        brute = [not any((b >= a).all() and (b > a).any() for b in scores) for a in scores]
        assert (st.non_dominated(scores) == brute).all() and 0 < sum(brute) <= points


@pytest.mark.parametrize("seeds", [3, 5, 20])
def test_intervals_cover_the_mean_as_often_as_they_say(seeds):
    """Of normal values; without the widening five seeds would cover it in 85 % of cases."""
    values = np.random.default_rng(1).normal(3.0, 1.0, (1500, seeds))
    mean, low, high = st.intervals(values)
    assert 0.93 < np.mean((low <= 3.0) & (3.0 <= high)) < 0.97
    narrow = st.widening(seeds)
    covered = np.mean((mean + (low - mean) / narrow <= 3.0) & (3.0 <= mean + (high - mean) / narrow))
    assert covered < {3: 0.80, 5: 0.88, 20: 0.95}[seeds]
    assert st.interval(values[7]) == pytest.approx((mean[7], low[7], high[7]))


def test_two_points_that_are_the_same_are_told_apart_no_more_often_than_said():
    rng = np.random.default_rng(2)
    pairs = st.intervals(rng.normal(0, 1, (1500, 5)) - rng.normal(0, 1, (1500, 5)))
    assert np.mean((pairs[1] > 0) | (pairs[2] < 0)) < 0.07


def test_few_seeds_have_no_interval_and_say_so():
    mean, low, high = st.interval([0.9, 0.92])
    assert mean == pytest.approx(0.91) and low == -np.inf and high == np.inf
    pair = [summary("a", (1, 2), accuracy=[0.1, 0.2]), summary("b", (1, 2), accuracy=[0.2, 0.2])]
    assert st.smallest_difference(pair, "accuracy") is None


def test_pairs_tell_apart_what_the_spread_over_seeds_hides():
    rng = np.random.default_rng(2)
    common = rng.normal(0, 0.1, 8)
    a, b = summary("a", range(8), accuracy=0.90 + common), summary("b", range(8), accuracy=0.89 + common + rng.normal(0, 1e-3, 8))
    _, low, high = st.difference(a, b, "accuracy")
    assert 0 < low < 0.01 < high < 0.02
    (_, a_low, _), (_, _, b_high) = st.interval(a.values["accuracy"]), st.interval(b.values["accuracy"])
    assert a_low < b_high                        # unpaired they overlap
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


def test_points_that_lack_seeds_are_not_compared():
    whole, part = summary("a", accuracy=[0.9] * 5, lut=[100] * 5), summary("b", (1, 2), accuracy=[1.0] * 2, lut=[50] * 2)
    assert st.comparable([whole, part, whole]) == [whole, whole]
    assert [s.settings["name"] for s in st.front([whole, part, whole], ("accuracy", "lut")).points] == ["a", "a"]


def test_a_metric_that_some_seed_lacks_is_left_out():
    rows = [{"status": "ok", "recipe": {}, "board": "b", "point": {}, "seed": s, "versions": {}, "value": {"accuracy": 0.5, "cosine": c}}
            for s, c in ((1, 0.9), (2, None), (3, float("nan")))]
    (made,) = st.summaries(rows)
    assert made.values["accuracy"].tolist() == [0.5] * 3 and "cosine" not in made.values


def test_the_knee_is_the_balanced_point():
    scores = [(0.5, 10), (0.9, 20), (0.95, 100)]
    assert st.knee(scores, ("accuracy", "lut")) == 1


def test_a_metric_that_is_to_be_small_is_turned_round():
    for better, worse in itertools.combinations([1.0, 2.0, 5.0], 2):
        assert st.signed("lut", better) > st.signed("lut", worse) and st.signed("accuracy", better) < st.signed("accuracy", worse)
