"""The chip behind a serial line, end to end: the RTL's bytes against the twin's, frame by frame (contract section 10)."""

from fractions import Fraction

import numpy as np
import pytest
from amaranth.sim import Simulator

from crossdyad import emulator
from crossdyad.emulator import link as twin
from crossdyad.hdl.host import Host
from crossdyad.hdl.link_line import bit
from crossdyad.recipe import Recipe
from crossdyad.recipe.link import VERSION, Error, Link, Tag, fingerprint

DIVISOR = 4
RECIPE = Recipe(name="tiny", sizes=[3, 4, 2], lanes=[2, 2], alpha=0.5)
LINK = Link(RECIPE)


class Line:
    """A serial line to a host in Amaranth's simulator, and the twin beside it; `script(line)` says what happens on it."""

    def __init__(self, script, recipe=RECIPE):
        self.host, self.twin = Host(recipe, DIVISOR * 1e6, 1e6), twin.Board(recipe, DIVISOR * 1e6, 1e6)
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
            for level in (0, *((byte >> i) & 1 for i in range(8)), stop):
                self.ctx.set(self.host.rx, level)
                await self.ctx.tick().repeat(DIVISOR)
            self.ctx.set(self.host.rx, 1)
            if not stop:
                await self.ctx.tick().repeat(2 * DIVISOR)

    async def take(self, frames: int) -> bytes:
        for _ in range(2000):
            if self.received.count(0) >= frames:
                data = bytes(self.received)
                self.received.clear()
                return data
            await self.ctx.tick().repeat(20)
        raise AssertionError(f"{frames} frames expected, {bytes(self.received)} came")

    async def same(self, data: bytes) -> list[bytes]:
        """Send to both; the answers, which must be equal."""
        expected = self.twin.receive(data)
        await self.send(data)
        got = await self.take(expected.count(0)) if expected else b""
        if not expected:
            await self.ctx.tick().repeat(400)
            assert not self.received
        assert got == expected, ([twin.opened(b) for b in got.split(b"\0")[:-1]], [twin.opened(b) for b in expected.split(b"\0")[:-1]])
        return [twin.opened(b) for b in got.split(b"\0")[:-1]]

    async def open(self, session=7):
        return await self.same(twin.frame(0, Tag.OPEN, bytes([VERSION]) + fingerprint(RECIPE) + bytes([session])))


def train(number, x, label):
    return twin.frame(number, Tag.TRAIN, bytes([label]) + twin.packed(x, 8))


def loads(weights, first):
    """Frames that load weights."""
    flat, width = np.concatenate([w.ravel() for w in weights]), RECIPE.formats.weight.width
    yield twin.frame(first, Tag.LOAD)
    for i in range(0, len(flat), LINK.chunk):
        part = flat[i:i + LINK.chunk]
        yield twin.frame(first + 1 + i // LINK.chunk, Tag.WEIGHTS, twin.packed(np.pad(part, (0, LINK.chunk - len(part))), width))


def test_load_infer_train_and_read_back_equal_the_twin():
    random = np.random.default_rng(5)
    weights = [random.integers(-(1 << 13), 1 << 13, w.shape).astype(np.int32) for w in emulator.Chip(RECIPE).weights]

    async def script(line):
        await line.same(twin.frame(9, Tag.IDENTIFY))
        await line.open()
        n = 0
        for data in loads(weights, 0):
            await line.same(data)
            n += 1
        before = [w.copy() for w in line.twin.chip.weights]
        for kind in (Tag.INFER, Tag.TRAIN, Tag.TRAIN, Tag.STEP, Tag.RATE, Tag.TRAIN, Tag.REPORT, Tag.STATUS, Tag.READ, Tag.NOTHING):
            x = random.integers(-32, 33, 3)
            payload = {Tag.INFER: twin.packed(x, 8), Tag.TRAIN: bytes([n % 2]) + twin.packed(x, 8),
                       Tag.STEP: (0x12345678).to_bytes(4, "little"),
                       Tag.RATE: b"\3"}.get(kind, b"")
            (body,) = await line.same(twin.frame(n, kind, payload))
            assert body[:2] == bytes([n, kind | 0x80])
            n += kind < 0x40
        assert any((a != b).any() for a, b in zip(before, line.twin.chip.weights, strict=True)), "nothing was learned"
        assert line.twin.chip.step == 0x12345679

    Line(script)


def test_every_abuse_has_a_reply_that_names_it_and_the_next_good_command_works():
    x = np.array([5, -7, 9])

    async def script(line):
        def refused(bodies, error):
            assert [b[1:3] for b in bodies] == [bytes([0xFF, error])]

        refused(await line.same(train(0, x, 1)), Error.CLOSED)
        refused(await line.same(twin.frame(0, Tag.OPEN, bytes([VERSION + 1]) + fingerprint(RECIPE) + b"\1")), Error.VERSION)
        refused(await line.same(twin.frame(0, Tag.OPEN, bytes([VERSION]) + bytes(8) + b"\1")), Error.RECIPE)
        await line.open()
        good, n = train(0, x, 1), 0
        refused(await line.same(good[:4] + bytes([good[4] ^ 1]) + good[5:]), Error.FRAME)
        refused(await line.same(good[:-3] + b"\0"), Error.FRAME)
        refused(await line.same(b"\x01\0"), Error.FRAME)
        refused(await line.same(bytes([200]) * 300 + b"\0"), Error.TOO_LONG)
        refused(await line.same(twin.frame(0, 0x33)), Error.TAG)
        refused(await line.same(twin.frame(0, Tag.TRAIN, b"\1")), Error.LENGTH)
        refused(await line.same(train(4, x, 1)), Error.SEQUENCE)
        assert (await line.same(b"\0\0" + good))[0][1] == Tag.TRAIN | 0x80
        assert (await line.same(good))[0][1] == Tag.TRAIN | 0x80, "the same reply once more"
        assert line.twin.chip.step == 1
        refused(await line.same(train(1, x, 2)), Error.LABEL)
        refused(await line.same(twin.frame(2, Tag.WEIGHTS, bytes(LINK.requests[Tag.WEIGHTS]))), Error.NOT_LOADING)
        await line.same(twin.frame(3, Tag.LOAD))
        for n, tag in enumerate((Tag.LOAD, Tag.READ, Tag.RATE, Tag.STEP, Tag.INFER), 4):
            refused(await line.same(twin.frame(n, tag, bytes(LINK.requests[tag]))), Error.LOADING)
        await line.same(twin.frame(9, Tag.REPORT))
        await line.same(twin.frame(10, Tag.ABORT))
        await line.same(train(11, x, 0))
        await line.same(twin.frame(12, Tag.READ))
        await line.same(twin.frame(0, Tag.RESET))
        refused(await line.same(train(13, x, 0)), Error.CLOSED)
        await line.open()
        await line.same(train(0, x, 0))
        await line.send(b"\x05", stop=0)      # a framing error: no byte
        await line.same(train(1, x, 0))

    Line(script)


def test_a_line_faster_than_the_clock_is_refused():
    assert bit(25e6, 3e6) == Fraction(25, 3)
    with pytest.raises(ValueError, match="baud: .* 3 clock cycles per bit .*4 or more"):
        bit(25e6, 25e6 / 3)
