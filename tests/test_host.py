"""The serial host, end to end: frames in, the chip's results out, against the emulated chip (contract section 10)."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from crossdyad import emulator
from crossdyad.hdl.host import COMMAND, LABEL, REPORT, REPORT_BACK, RESULT, RESULT_LAST, SAMPLE, WEIGHT, WEIGHT_BACK, Host, bytes_of
from crossdyad.recipe import Recipe, programs

DIVISOR = 4
INFER, TRAIN, LOAD, READ, RATE = range(5)
RECIPE = Recipe(name="tiny", sizes=[3, 4, 2], lanes=[2, 2], alpha=0.5)


def signed(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def frame(tag: int, value: int, width: int) -> bytes:
    return bytes([tag]) + int(value).to_bytes(bytes_of(width), "little", signed=value < 0)


class Line:
    """A serial line to a host in Amaranth's simulator; `script(line)` says what happens on it."""

    def __init__(self, recipe, script):
        self.host = Host(recipe, DIVISOR)
        self.received = bytearray()
        simulator = Simulator(self.host)
        simulator.add_clock(40e-9)

        async def main(ctx):
            self.ctx = ctx
            await script(self)

        simulator.add_testbench(main)
        simulator.add_testbench(self.listen, background=True)
        simulator.run()

    async def listen(self, ctx):
        while True:
            await ctx.negedge(self.host.tx)
            await ctx.tick().repeat(DIVISOR + DIVISOR // 2)
            byte = 0
            for i in range(8):
                byte |= ctx.get(self.host.tx) << i
                await ctx.tick().repeat(DIVISOR)
            assert ctx.get(self.host.tx) == 1, "no stop bit"
            self.received.append(byte)

    async def send(self, data: bytes, stop: int = 1):
        for byte in data:
            for bit in (0, *((byte >> i) & 1 for i in range(8)), stop):
                self.ctx.set(self.host.rx, bit)
                await self.ctx.tick().repeat(DIVISOR)
            self.ctx.set(self.host.rx, 1)
            if not stop:
                await self.ctx.tick().repeat(2 * DIVISOR)

    async def take(self, count: int) -> bytes:
        for _ in range(40000):
            if len(self.received) >= count:
                data, self.received[:] = bytes(self.received[:count]), self.received[count:]
                return data
            await self.ctx.tick()
        raise AssertionError(f"{count} bytes expected, {len(self.received)} came")

    async def load(self, weights):
        width = RECIPE.formats.weight.width
        await self.send(bytes([COMMAND, LOAD, 0]) + b"".join(frame(WEIGHT, int(v), width) for w in weights for v in np.ravel(w)))

    async def read(self, weights):
        """The weights on the chip, in the shapes of `weights`."""
        size = bytes_of(RECIPE.formats.weight.width)
        await self.send(bytes([COMMAND, READ, 0]))
        values = []
        for _ in range(sum(w.size for w in weights)):
            data = await self.take(1 + size)
            assert data[0] == WEIGHT_BACK
            values.append(signed(data[1:]))
        parts = np.split(np.array(values), np.cumsum([w.size for w in weights])[:-1])
        return [p.reshape(w.shape) for p, w in zip(parts, weights, strict=True)]

    async def sample(self, x):
        await self.send(b"".join(frame(SAMPLE, int(v), RECIPE.formats.state.width) for v in x))

    async def outputs(self, count):
        size, values = bytes_of(RECIPE.formats.state.width), []
        for i in range(count):
            data = await self.take(1 + size)
            assert data[0] == (RESULT_LAST if i == count - 1 else RESULT)
            values.append(signed(data[1:]))
        return values


def test_load_infer_train_and_read_back_equal_the_emulated_chip():
    chip = emulator.Chip(RECIPE)
    random = np.random.default_rng(5)
    weights = [random.integers(-(1 << 13), 1 << 13, w.shape).astype(np.int32) for w in chip.weights]
    samples = random.integers(-32, 33, (3, 3)).astype(np.int32)
    chip.weights = weights

    async def script(line):
        await line.load(weights)
        assert all(np.array_equal(a, b) for a, b in zip(await line.read(weights), weights, strict=True))

        await line.send(bytes([COMMAND, INFER, 0]))
        await line.sample(samples[0])
        assert await line.outputs(2) == chip.infer(samples[:1])[0].tolist()

        before = [w.copy() for w in chip.weights]
        for x, label in zip(samples[1:], (1, 0), strict=True):
            await line.send(bytes([COMMAND, TRAIN, 0, LABEL, label]))
            await line.sample(x)
            assert await line.outputs(2) == chip.train(x[None], np.array([label])).outputs[0].tolist()
            await line.ctx.tick().repeat(programs(RECIPE)[1].length)
        assert any((a != b).any() for a, b in zip(before, chip.weights, strict=True)), "nothing was learned"
        assert all(np.array_equal(a, b) for a, b in zip(await line.read(weights), chip.weights, strict=True))

        await line.send(bytes([COMMAND, RATE, 3, REPORT]))
        # the command leaves its register in a few cycles, long before the report's byte has come in
        loss_bytes = bytes_of(len(line.host.chip.loss))
        data = await line.take(1 + 6 + 4 + 1 + 16 + loss_bytes)
        assert data[0] == REPORT_BACK
        assert int.from_bytes(data[1:7], "little") == chip.cycles
        assert int.from_bytes(data[7:11], "little") == chip.step == 2
        assert data[11] == 3
        counters = [int.from_bytes(data[12 + 4 * i:16 + 4 * i], "little") for i in range(4)]
        assert counters == [int(np.sum(chip.saturations[k])) for k in ("accumulator", "state", "delta", "weight")]

    Line(RECIPE, script)


def test_unknown_tags_and_broken_bytes_are_ignored():
    async def script(line):
        await line.send(bytes([0x77, 0xFF]))
        await line.send(bytes([REPORT]), stop=0)      # a framing error: no byte, so no report
        await line.ctx.tick().repeat(100)
        assert not line.received
        await line.send(bytes([REPORT]))
        assert (await line.take(1))[0] == REPORT_BACK

    Line(RECIPE, script)


def test_a_line_faster_than_the_clock_is_refused():
    with pytest.raises(ValueError, match="divisor: 3 .* 4 or more"):
        Host(RECIPE, 3)
