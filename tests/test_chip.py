"""The chip: streams, commands, learning and every inner write against the emulator."""

from dataclasses import replace

import conditions
import numpy as np
import pytest

from crossdyad import hdl, recipe
from crossdyad.sim import agreement, chip, directed, simulators, streams, variety


def session(r, seed=1):
    """Every command, in an order a host might choose."""
    rng, f = np.random.default_rng(seed), r.formats
    s = chip.Session(r)
    s.load([rng.integers(*directed.limits(g), (g.R, g.C), endpoint=True) for g in recipe.in_memory(r)])
    s.read()
    for i in range(3):
        x = rng.integers(f.state.min, f.state.max, r.sizes[0], endpoint=True)
        for _ in range(r.samples_in_flight):
            s.train(x, rng.integers(r.sizes[-1]))
        s.rate(7 - i)
        s.infer(x)
        for operand in (0xAA, 3, 0, i):  # not all of a register's bytes each time
            s.shift(5 + i, operand)
    s.read()
    return s


def run(r, stalls, simulator="amaranth", watch=True):
    s = session(r)
    record = simulators.run(hdl.build(r), streams.play, s.arguments(stalls, watch), simulator)
    return record, chip.judge(r, record, watch)


def passes(verdict):
    assert not verdict.differing, verdict.mismatches[:10]
    assert not verdict.uncovered


@pytest.mark.parametrize("r", variety.recipes(), ids=lambda r: r.name)
def test_chip_is_the_emulator(r):
    record, verdict = run(r, dict.fromkeys(streams.STREAMS, "random"))
    passes(verdict)
    assert {code for _, code in verdict.prediction.launches} == set(range(8))
    registers = {"weight"} | ({"drive", "mean", "difference"} if r.rule == "dual-propagation" and r.layers > 1 else set())
    assert registers <= {w[2] for w in record.writes}


def test_an_inner_write_that_is_amiss_is_one_difference():
    """Not more, as it would be if writes were paired by their time alone, and what is told is the place that it happened at."""
    r = variety.small("amiss", sizes=(3, 2), lanes=(2,), **variety.narrow())
    record, verdict = run(r, {})
    passes(verdict)
    at = max(i for i, w in enumerate(record.writes[: len(record.writes) // 2]) if w[2] == "weight")
    cycle, block, register, index, value = record.writes[at]
    before, after = record.writes[:at], record.writes[at + 1 :]
    later = (cycle + 1, block, register, index, value)
    for writes, late in (
        ([*before, *after], 1),
        ([*before, later, *after], 1),
        ([*before, (*record.writes[at][:4], value ^ 1), *after], 0),
        ([*record.writes, later], 1),
    ):
        found = chip.judge(r, replace(record, writes=writes), True)
        assert (found.differing, found.late) == (1, late)
        assert found.mismatches[0][1] == f"{block} {register}[{index}]"


@pytest.mark.parametrize("seed", [15, 3, 13, pytest.param(range(100, 160), marks=pytest.mark.slow)])
def test_any_chip_is_the_emulator(seed):
    """Formats, modes, rules and device effects in combinations that nobody chose."""
    for n in [seed] if isinstance(seed, int) else seed:
        _, verdict = run(variety.drawn(n), dict.fromkeys(streams.STREAMS, "random"))
        assert not verdict.differing, (n, verdict.mismatches[:10])


@pytest.mark.parametrize("name", ["alpha-0", "floor-wrap", "noisy-random", "spsa-devices", "pulses-linear"])
def test_nothing_depends_on_what_memories_hold_at_first(name):
    """Silicon has no initial contents: lanes beyond the last column, which nobody writes, must not reach a sum or a weight."""
    with conditions.anything_in_memories(7):
        _, verdict = run(variety.named(name), dict.fromkeys(streams.STREAMS, "random"))
    passes(verdict)


STALL_MATRIX = [dict.fromkeys(streams.STREAMS, kind) for kind in streams.STALLS] + [
    {stream: kind} for stream in streams.STREAMS for kind in ("random", "cycling")
]


@pytest.mark.parametrize("stalls", STALL_MATRIX, ids=lambda s: " ".join(f"{k}={v}" for k, v in s.items())[:40])
def test_stalls_on_any_stream_change_nothing(stalls):
    r = variety.small("stalled", sizes=(3, 2), lanes=(2,), **variety.narrow())
    passes(run(r, stalls, watch=False)[1])


@pytest.mark.parametrize("simulator", ["icarus"], indirect=True)
def test_chip_agrees_under_icarus(simulator):
    passes(run(variety.named("deep"), dict.fromkeys(streams.STREAMS, "random"), simulator)[1])


@pytest.mark.parametrize("simulator", ["verilator"], indirect=True)
def test_chip_agrees_under_verilator(simulator):
    passes(run(variety.named("alpha-half"), dict.fromkeys(streams.STREAMS, "random"), simulator)[1])


def test_cosim_reports_agreement_on_real_data(tmp_path):
    stages = []
    report = agreement.cosim(recipe.load("xor"), "amaranth", samples=4, folder=tmp_path, progress=lambda *stage: stages.append(stage))
    assert report.passed, str(report)
    assert report.bits > 10_000 and report.cycle_differences == 0
    assert (tmp_path / "cosim.json").exists() and stages


def test_cosim_reports_disagreement():
    r = recipe.load("xor")
    s = agreement.session_for(r, 2)
    record = simulators.run(hdl.build(r), streams.play, s.arguments({}, True), "amaranth")
    other = r.model_copy(update={"seed": r.seed + 1})  # an emulator of another chip
    verdict = chip.judge(other, record, True)
    assert verdict.differing and any("weight" in what for _, what, _, _ in verdict.mismatches)


def test_a_late_handshake_is_a_cycle_difference():
    r = variety.small("late", sizes=(3, 2), lanes=(2,), **variety.narrow())
    record, verdict = run(r, {}, watch=False)
    busy = next(c for c, wires in enumerate(record.handshakes) if wires >> 12)
    moved = list(record.handshakes)
    moved[busy] &= ~(1 << 12)
    assert chip.judge(r, replace(record, handshakes=moved), False).late == 1


@pytest.mark.parametrize("arguments,message", [(dict(samples=0), "at least 1"), (dict(simulator="spice"), "spice")])
def test_cosim_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        agreement.cosim(recipe.load("xor"), **arguments)
