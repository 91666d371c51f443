"""Tests of one's own on a generated chip, run by the simulator: they drive its streams and look at its signals."""

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from crossdyad import emulator
from crossdyad.recipe import load
from crossdyad.sim import drivers

RECIPE = load("xor")
SAMPLES = RECIPE.formats.state.encode(np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]))
LABELS = [0, 1, 1, 0]


@cocotb.test()
async def learns_as_the_emulator(dut):
    """Load, train, infer and read back; the emulator says what must come."""
    chip, twin = drivers.Chip(dut, RECIPE), emulator.Chip(RECIPE)
    twin.weights = emulator.initial_weights(RECIPE)
    await chip.reset()
    await chip.load(twin.weights)
    for x, label in zip(SAMPLES, LABELS, strict=True):
        assert (await chip.train(x, label) == twin.train(x[None], np.array([label])).outputs[0]).all()
    assert (await chip.infer(SAMPLES[0]) == twin.infer(SAMPLES[:1])[0]).all()
    for found, expected in zip(await chip.read(), twin.weights, strict=True):
        assert (found == expected).all()


@cocotb.test()
async def a_result_waits(dut):
    """The streams themselves: a result is offered until it is taken, however late."""
    chip, twin = drivers.Chip(dut, RECIPE), emulator.Chip(RECIPE)
    twin.weights = emulator.initial_weights(RECIPE)
    await chip.reset()
    await chip.load(twin.weights)
    await chip.sample.send(*SAMPLES[1])
    await chip.command.send(drivers.INFER)
    for _ in range(500):
        await FallingEdge(dut.clk)
    first, last = await chip.result.recv(2)
    width = RECIPE.formats.state.width
    assert last >> width == 1 and first >> width == 0  # the last element is marked
    expected = twin.infer(SAMPLES[1:2])[0] & (1 << width) - 1
    assert [first & (1 << width) - 1, last & (1 << width) - 1] == expected.tolist()
