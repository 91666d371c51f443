"""Schedules: what holds for the events of any number of blocks and samples, and what play makes of them."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import numpy as jnp

from crossdyad import models
from crossdyad.models import schedules
from crossdyad.models.circuits import Feedforward, Hopfield
from crossdyad.models.cookbook import ROWS
from crossdyad.models.estimators.chains import Batches, Block
from crossdyad.models.schedules import in_flight, staleness, states_kept, ticks, versions_kept

BLOCKS, SAMPLES = st.integers(1, 7), st.integers(1, 12)
PIPELINES = st.sampled_from([schedules.gpipe, schedules.dapple, schedules.one_forward_one_backward, schedules.sequential])
ALL = st.one_of(PIPELINES, st.sampled_from([schedules.checkpointed, schedules.reversible]))


@given(ALL, BLOCKS, SAMPLES)
def test_every_sample_passes_every_block_forward_then_backward_once(schedule, blocks, samples):
    events = schedule(blocks, samples)
    order = {(e.phase, e.block, e.sample): i for i, e in enumerate(events)}  # of several forwards, the last
    backwards = [(e.block, e.sample) for e in events if e.phase == "backward"]
    assert sorted(backwards) == [(k, m) for k in range(blocks) for m in range(samples)]
    for k, m in backwards:
        assert order["forward", k, m] < order["backward", k, m]
        if k:
            assert order["backward", k, m] < order["backward", k - 1, m]


@given(ALL, BLOCKS, SAMPLES)
def test_no_block_does_two_things_in_a_tick_and_ticks_do_not_go_back(schedule, blocks, samples):
    events = schedule(blocks, samples)
    work = [(e.tick, e.block) for e in events if e.phase in ("forward", "inverse", "backward")]
    assert len(set(work)) == len(work)
    assert [e.tick for e in events] == sorted(e.tick for e in events)


@given(ALL, BLOCKS, SAMPLES)
def test_all_that_is_kept_is_discarded_and_every_block_is_updated(schedule, blocks, samples):
    events = schedule(blocks, samples)
    kept = set()
    for e in events:
        if e.phase == "forward":
            kept |= {(e.block, e.sample), (e.block + 1, e.sample)}
        elif e.phase == "inverse":
            kept.add((e.block, e.sample))
        elif e.phase == "discard":
            kept.remove((e.block, e.sample))
    assert not kept
    assert {e.block for e in events if e.phase == "update"} == set(range(blocks))


@given(BLOCKS, SAMPLES)
def test_pipelines_take_the_least_ticks_and_keep_what_they_promise(blocks, samples):
    early, late = schedules.dapple(blocks, samples), schedules.gpipe(blocks, samples)
    events = schedules.one_forward_one_backward(blocks, samples)
    assert ticks(events) == ticks(early) == ticks(late) == 2 * samples + 2 * (blocks - 1)
    expected = {k: min(samples, blocks - k) for k in range(blocks)}
    assert in_flight(early) == in_flight(events) == expected
    kept = versions_kept(events)
    assert kept == expected if samples >= 2 * blocks else all(kept[k] <= max(2, blocks - k) for k in kept)
    assert set(in_flight(late).values()) == {samples}
    assert set(staleness(late).values()) == set(staleness(early).values()) == {0}


@given(BLOCKS, SAMPLES)
def test_staleness_of_1f1b_is_the_blocks_above(blocks, samples):
    late = staleness(schedules.one_forward_one_backward(blocks, samples))
    assert late == {(k, m): min(m, blocks - 1 - k) for k in range(blocks) for m in range(samples)}


@given(BLOCKS, st.integers(0, 4), st.integers(1, 4))
def test_two_versions_suffice_for_2bw(blocks, more, batches):
    every = blocks + more
    events = schedules.double_buffered(blocks, every * batches, every)
    assert max(versions_kept(events).values()) <= 2
    for e in events:
        if e.phase in ("forward", "backward"):
            assert e.version == max(0, e.sample // every - 1)


@given(st.integers(1, 60), st.integers(1, 2))
def test_checkpoints_keep_about_twice_the_square_root(blocks, samples):
    events = schedules.checkpointed(blocks, samples)
    assert states_kept(events) <= 2 * np.sqrt(blocks) + 1
    assert sum(e.phase == "forward" for e in events) <= (2 * blocks - 1) * samples


@given(st.integers(1, 60))
def test_inverses_keep_two_states(blocks):
    assert states_kept(schedules.reversible(blocks, 1)) == 2


def test_what_cannot_be_scheduled_is_refused():
    with pytest.raises(ValueError, match="every: 3; with 4 blocks at least 4"):
        schedules.double_buffered(4, 12, 3)
    with pytest.raises(ValueError, match="wait for one another"):
        list(schedules.in_ticks([[("forward", 0), ("backward", 0), ("forward", 1)], [("forward", 1), ("forward", 0), ("backward", 0)]]))
    with pytest.raises(models.Unsuitable, match="row 59 .*H_eff.*use "):
        Block(Hopfield((3, 3, 2)), ROWS[59].estimator)


def test_micro_batches_are_played_with_draws_of_their_own():
    net, rng = Feedforward((3, 3), jnp.tanh, jnp.tanh), np.random.default_rng(0)
    block = schedules.compiled(Batches(Block(net, ROWS[29].estimator)))
    weights = [(jnp.asarray(rng.normal(size=(3, 3))),) for _ in range(2)]
    xs, ys = rng.normal(size=(2, 4, 5, 3))

    def gradients(schedule, key):
        return schedules.play(schedule(2, 4), [block] * 2, models.squared_error, weights, xs, ys, key=key).gradients

    early, late, other = (gradients(s, jax.random.key(n)) for s, n in ((schedules.dapple, 0), (schedules.gpipe, 0), (schedules.gpipe, 1)))
    assert early.keys() == late.keys() == {(k, m) for k in range(2) for m in range(4)}
    for at in early:
        np.testing.assert_array_equal(early[at][0], late[at][0])
        assert not np.allclose(early[at][0], other[at][0])
