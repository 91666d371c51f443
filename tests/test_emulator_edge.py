"""Times at the chip's streams: the emulator's control registers against the rules of contract section 9."""

import numpy as np
import pytest

from crossdyad.emulator import Chip, edge, walk
from crossdyad.emulator.edge import INFER, LOAD, RATE, READ, TRAIN
from crossdyad.recipe import Recipe, emissions, geometries, load, matrix_geometries, presets, programs


def recipe(rule="dual-propagation") -> Recipe:
    return Recipe(name="edge", sizes=(5, 3, 2), lanes=(4, 2), rule=rule)


def play(r: Recipe, codes, cycles: int, **valid):
    """Commands offered one after the other, everything else offered and taken always, unless given."""
    ports = {name: np.ones(cycles, dtype=int) for name in edge.INPUTS} | valid
    block = edge.Clocked(r)
    record, waiting = [], list(codes)
    for c in range(cycles):
        given = {name: int(values[c]) for name, values in ports.items()}
        given["i_command_valid"], given["i_command_code"] = bool(waiting), waiting[0] if waiting else 0
        record.append(block.clock(**given))
        if waiting and record[-1]["i_command_ready"]:
            waiting.pop(0)
    return {name: np.array([p[name] for p in record]) for name in record[0]}


def when(signal):
    return np.flatnonzero(signal).tolist()


@pytest.mark.parametrize("rule", ["dual-propagation", "spsa", "inference"])
def test_program_after_program(rule):
    r = recipe(rule)
    infer, train = (p.length for p in programs(r))
    out = play(r, [TRAIN, INFER, TRAIN], 40 + infer + 2 * train)
    first = when(out["launch"])[0]
    assert first == r.sizes[0], "launches when the last element has made the spare bank full"
    assert when(out["launch"]) == [first, first + train + 1, first + train + infer + 2]
    assert out["cycles"][-1] == infer + 2 * train and out["step"][-1] == 2
    assert out["busy"].sum() == infer + 2 * train


@pytest.mark.parametrize("rule", ["dual-propagation", "spsa", "inference"])
def test_results_enter_when_the_trace_says(rule):
    r = recipe(rule)
    state = Chip(r).state()
    for label in (None, 1):
        events = walk.trace(r, state, np.zeros(r.sizes[0]), label)
        entered = [e[0] for e in events if e[2] == "result"]
        assert edge.result_cycles(r, label is not None) == entered
        out = play(r, [INFER if label is None else TRAIN], 30 + programs(r)[1].length)
        launch = when(out["launch"])[0]
        assert when(out["o_result_valid"]) == [launch + 1 + c + 1 for c in entered]


@pytest.mark.parametrize("name", presets())
def test_results_enter_when_the_contract_says(name):
    """By sections 3, 7 and 9, counted by hand: the slot of a row's last fold, its sum, the drive, the dyad, the queue."""
    r = load(name)
    made = matrix_geometries(r)
    for train in (False, True):
        times = []
        for i in emissions(r, train):
            g, step = made[i.step.matrix], i.step
            adds, pushes = step.enter in ("more", "less", "relax", "gather"), step.force == "drive"
            # the sum 5 + lv after the slot; to the drive 2, to the dyad 4, its mean 5
            times += [i.cycle + 7 + (t + 1) * g.F - 1 + 5 + g.lv + 11 + adds + pushes for t in range(g.R)]
        assert edge.result_cycles(r, train) == times


def test_a_full_queue_holds_the_launch():
    """With results never taken two samples run: the queue holds both; one element taken is not enough for a third."""
    r = recipe()
    length = programs(r)[0].length
    ready = np.zeros(8 * length, dtype=int)
    out = play(r, [INFER] * 4, len(ready), o_result_ready=ready)
    assert len(when(out["launch"])) == 2
    ready[5 * length] = 1
    assert len(when(play(r, [INFER] * 4, len(ready), o_result_ready=ready)["launch"])) == 2
    ready[6 * length] = 1
    assert when(play(r, [INFER] * 4, len(ready), o_result_ready=ready)["launch"])[2] == 6 * length + 1


def test_train_waits_for_its_label():
    r = recipe()
    label = np.zeros(400, dtype=int)
    label[37] = 1
    assert when(play(r, [TRAIN], 400, i_label_valid=label)["launch"]) == [38]


def test_load_and_read():
    r = recipe()
    count = sum(g.R * g.C for g in geometries(r))
    out = play(r, [LOAD, READ, RATE, 6, READ], 600)
    load, read, rate, ignored, again = when(out["launch"])
    assert load == 1 and when(out["i_weight_ready"]) == list(range(load + 1, load + 1 + 2 * count, 2))
    assert read == load + 2 * count + 2
    words = [min(g.L, g.C - f * g.L) for g in geometries(r) for _ in range(g.R) for f in range(g.F)]
    expected, last = [], read
    for columns in words:
        expected += range(last + 5, last + 5 + 2 * columns, 2)
        last = expected[-1]
    assert [c for c in when(out["o_weight_valid"]) if c < rate] == expected
    # one cycle to fill the command register after it emptied, where the next command was not there already
    assert rate == expected[-1] + 1 and ignored == rate + 2 and again == ignored + 2


def test_stalls_delay_and_lose_nothing():
    r = recipe()
    rng = np.random.default_rng(0)
    cycles = 6 * programs(r)[1].length
    stalls = {name: rng.integers(0, 2, cycles) for name in edge.INPUTS if name.endswith(("valid", "ready"))}
    out = play(r, [LOAD, TRAIN, INFER, READ, TRAIN], cycles, **stalls)
    count = sum(g.R * g.C for g in geometries(r))
    assert (out["o_weight_valid"] & stalls["o_weight_ready"]).sum() == count
    assert (out["i_weight_ready"] & stalls["i_weight_valid"]).sum() == count
    taken = out["o_result_valid"] & stalls["o_result_ready"]
    assert taken.sum() == 3 * r.sizes[-1] and (taken & out["o_result_last"]).sum() == 3
    assert len(when(out["launch"])) == 5
