"""Broken hardware is noticed: every seeded fault fails a scenario of its block."""

import importlib
import importlib.util
from pathlib import Path

import conditions
import counters
import frames
import laws
import limits
import numpy as np
import pytest
import test_cosim

from crossdyad.recipe import in_memory
from crossdyad.sim import chip, mutants, mutation, scenario, simulators, streams, variety


def noticed_by_a_scenario(block: str) -> str | None:
    """Name of the first scenario that fails, built from the hardware as it is now."""
    for case in importlib.import_module(f"crossdyad.sim.{block}").scenarios():
        if scenario.check(case, "amaranth").mismatches:
            return case.name
    return None


def noticed_by_the_chip(hdl) -> str | None:
    r = variety.small("broken", sizes=(3, 2), lanes=(2,), **variety.narrow())
    rng = np.random.default_rng(5)
    session = chip.Session(r)
    session.load([rng.integers(-60, 60, (2, 3))])
    for i in range(4):
        x = rng.integers(-32, 32, 3)
        session.infer(x)
        session.train(x, i % 2)
    # results leave slowly, labels are there early, so that a program must wait for room
    arguments = session.arguments({"o_result": "long"}, True)
    try:
        record = simulators.run(hdl.build(r), streams.play, arguments, "amaranth")
    except RuntimeError:
        return "chip does not come to rest"
    return "chip" if chip.judge(r, record, True).differing else None


def noticed_by_wiring(hdl) -> str | None:
    """A chip of several matrices, stores of several slots and engines that share units."""
    for name in ("shared-heads", "settles", "two-matrices"):
        r = variety.named(name)
        draw, session, f = np.random.default_rng(5), chip.Session(r), r.formats
        session.load([draw.integers(f.weight.min, f.weight.max + 1, (g.R, g.C)) for g in in_memory(r)])
        for n in range(2):
            session.train(draw.integers(f.state.min, f.state.max + 1, r.sizes[0]), n)
        session.read()
        try:
            record = simulators.run(hdl.build(r), streams.play, session.arguments({}, True), "amaranth")
        except RuntimeError:
            return f"{name} does not come to rest"
        if chip.judge(r, record, True).differing:
            return name
    return None


def noticed_by_overlap(hdl, name: str = "overlaps") -> str | None:
    """A chip with samples in flight, all that it needs waiting; then labels that come late, and samples that wait for their slot."""
    r = variety.named(name)
    draw, session, f = np.random.default_rng(5), chip.Session(r), r.formats
    session.load([draw.integers(f.weight.min, f.weight.max + 1, (g.R, g.C)) for g in in_memory(r)])
    for n in range(4):
        session.train(draw.integers(f.state.min, f.state.max + 1, r.sizes[0]), n % 3)
    session.infer(draw.integers(f.state.min, f.state.max + 1, r.sizes[0]))
    session.train(draw.integers(f.state.min, f.state.max + 1, r.sizes[0]), 1)
    for stalls in ({}, {"i_label": "rare"}):
        try:
            record = simulators.run(hdl.build(r), streams.play, session.arguments(stalls, True), "amaranth")
        except RuntimeError:
            return "overlap does not come to rest"
        if chip.judge(r, record, True).differing:
            return f"overlap {stalls}"
    return None


def noticed_with_anything_in_memories(hdl) -> str | None:
    with conditions.anything_in_memories(3):
        return noticed_by_the_chip(hdl)


def noticed_by_counters(hdl) -> str | None:
    return "counters" if counters.faults_of(variety.named("noisy-random"), ahead=2, hdl=hdl) else None


def noticed_by_frames(hdl) -> str | None:
    found = frames.faults_of(*(importlib.import_module(f"{hdl.__name__}.{name}") for name in ("link_frames", "link_line")))
    return found[0] if found else None


def noticed_by_limits(hdl) -> str | None:
    return "limits" if limits.wrong(importlib.import_module(f"{hdl.__name__}.fixed")) else None


def test_every_fault_is_another_program():
    for fault in (*mutants.FAULTS, *(fault for _, fault in test_cosim.FAULTS)):
        path = importlib.util.find_spec(f"{mutation.HARDWARE}.{fault.module}").origin
        assert mutation.broken(path, fault) != compile(Path(path).read_text(), path, "exec"), fault.name


# every fifth in minutes, the rest is evidence
@pytest.mark.parametrize(
    "fault", [f if n % 5 == 0 else pytest.param(f, marks=pytest.mark.slow) for n, f in enumerate(mutants.FAULTS)], ids=lambda f: f.name
)
def test_a_fault_is_noticed(fault, record_property):
    with mutation.seeded(fault) as hdl:
        chips = {
            "chip": noticed_by_the_chip,
            "memories": noticed_with_anything_in_memories,
            "counters": noticed_by_counters,
            "frames": noticed_by_frames,
            "limits": noticed_by_limits,
            "wiring": noticed_by_wiring,
            "overlap": noticed_by_overlap,
            "stale": lambda hdl: noticed_by_overlap(hdl, "stale"),
        }
        by = chips[fault.block](hdl) if fault.block in chips else noticed_by_a_scenario(fault.block)
    record_property("noticed by", by)
    assert by, f"no scenario of {fault.block} notices: {fault.name}"


def unlike(name: str) -> bool:
    """Whether a law fails: it says so, or nothing can be played at all."""
    try:
        laws.LAWS[name]()
    except Exception:
        return True
    return False


@pytest.mark.parametrize("fault", mutants.SHARED, ids=lambda f: f.name)
def test_a_fault_that_both_twins_have_is_noticed(fault):
    name = next(name for name in laws.LAWS if name.startswith(fault.block))
    with mutation.shared(fault):
        assert unlike(name), f"the law {name} does not notice: {fault.name}"


def test_without_a_fault_the_same_checks_pass():
    from crossdyad import hdl

    assert noticed_by_frames(hdl) is noticed_by_limits(hdl) is None
    assert noticed_by_overlap(hdl, "stale") is noticed_by_overlap(hdl) is None
    assert noticed_by_the_chip(hdl) is noticed_with_anything_in_memories(hdl) is noticed_by_counters(hdl) is None


def test_a_fault_that_does_not_apply_is_an_error():
    with (
        pytest.raises(ValueError, match="0 times in fixed.py"),
        mutation.seeded(mutants.Fault("no such text", "fixed", "no such text", "", "fixed")),
    ):
        pass
