"""The layer of frames in hardware, played: frames from a memory to the line, bytes of a line to frames and a verdict on each."""

import random
import zlib
from fractions import Fraction
from types import ModuleType

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from crossdyad.emulator import link

CYCLES = 4
"""Of a bit of the line, the fewest."""
LATENCY = 5
"""Cycles from a read that is granted to its byte, as in the link; who has asked gets it, whether it still wants it or not."""


def sent(frames: ModuleType, longest: int, bodies: list[bytes]) -> list[bytes]:
    """Return what the framer of the module `frames` sends of each of `bodies`, one after another."""
    framer, given = frames.Framer(longest), [bytearray() for _ in bodies]
    memory = bytearray(1 << len(framer.position))
    under_way: list[int | None] = []  # bytes that come, the next one first

    async def play(ctx):
        ctx.set(framer.o.ready, 1)
        for body, out in zip(bodies, given, strict=True):
            memory[: len(body)] = body
            ctx.set(framer.length, len(body))
            ctx.set(framer.start, 1)
            for _ in range(100 * longest):
                _, _, busy, read, write, wrote, at, crc, valid, byte = await ctx.tick().sample(
                    framer.busy, framer.read, framer.write, framer.wrote, framer.position, framer.crc, framer.o.valid, framer.o.payload
                )
                ctx.set(framer.start, 0)
                if write and not wrote:
                    memory[at] = crc
                ctx.set(framer.wrote, write and not wrote)
                got = under_way.pop(0) if under_way else None
                if read and not under_way and got is None:
                    under_way.extend([None] * (LATENCY - 1) + [memory[at]])
                ctx.set(framer.got, got is not None)
                if got is not None:
                    ctx.set(framer.byte, got)
                if valid:
                    out.append(byte)
                if not busy and out:
                    break

    simulation = Simulator(framer)
    simulation.add_clock(1e-6)
    simulation.add_testbench(play)
    simulation.run()
    return [bytes(out) for out in given]


class Ear(wiring.Component):
    """A receiver and a deframer, as the link has them."""

    def __init__(self, frames: ModuleType, line: ModuleType):
        self.receiver, self.deframer = line.Receiver(Fraction(CYCLES)), frames.Deframer()
        super().__init__({"rx": In(1, init=1), "write": Out(1), "decoded": Out(8), "end": Out(1), "good": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver, m.submodules.deframer = receiver, deframer = self.receiver, self.deframer
        m.d.comb += [
            receiver.rx.eq(self.rx),
            receiver.o.ready.eq(1),
            deframer.take.eq(receiver.o.valid),
            deframer.byte.eq(receiver.o.payload),
            deframer.zero.eq(receiver.zero),
            *(getattr(self, name).eq(getattr(deframer, name)) for name in ("write", "decoded", "end", "good")),
        ]
        return m


def taken(frames: ModuleType, line: ModuleType, data: bytes) -> list[bytes | None]:
    """Return what the deframer makes of the bytes `data` of a line: each frame without its CRC, or None where it was none."""
    ear, found, body = Ear(frames, line), [], bytearray()

    async def play(ctx):
        for byte in data:
            for bit in (0, *(byte >> i & 1 for i in range(8)), 1):
                ctx.set(ear.rx, bit)
                for _ in range(CYCLES):
                    await look(ctx)
        for _ in range(4 * CYCLES):
            await look(ctx)

    async def look(ctx):
        _, _, write, decoded, end, good = await ctx.tick().sample(ear.write, ear.decoded, ear.end, ear.good)
        if write:
            body.append(decoded)
        if end:
            found.append(bytes(body[:-4]) if good and len(body) >= 6 else None)
            body.clear()

    simulation = Simulator(ear)
    simulation.add_clock(1e-6)
    simulation.add_testbench(play)
    simulation.run()
    return found


def no_zero(length: int) -> bytes:
    """Return a body whose frame is `length` bytes long with its CRC and has no zero."""
    seeds = (bytes(random.Random(n).randrange(1, 256) for _ in range(length - 4)) for n in range(100))
    return next(b for b in seeds if 0 not in zlib.crc32(b).to_bytes(4, "little"))


def bodies(seed: int, count: int, longest: int) -> list[bytes]:
    """Draw bodies with many zeros, up to frames of `longest` bytes, one of these; a zero in the CRC of some."""
    draw = random.Random(seed)
    lengths = [longest - 4, 2, *(draw.randrange(2, longest - 3) for _ in range(count - 2))]
    made = [bytes(draw.choice((0, 0, 1, draw.randrange(256))) for _ in range(n)) for n in lengths]
    while 0 not in zlib.crc32(made[-1]).to_bytes(4, "little"):
        made[-1] = draw.randbytes(len(made[-1]))
    return made


def faults_of(frames: ModuleType, line: ModuleType) -> list[str]:
    """Say where the hardware of the modules is not the emulator's, for seeded faults."""

    def wanted(some):
        return [link.frame(b[0], b[1], b[2:]) for b in some]

    wrong = []
    for longest, some in ((14, bodies(1, 8, 14)), (30, bodies(2, 8, 30)), (300, [no_zero(300), no_zero(254)])):
        if sent(frames, longest, some) != wanted(some):
            wrong.append(f"frames of {longest} bytes sent")
    draw, data = random.Random(3), bytearray()
    for part in wanted(bodies(4, 6, 16)):
        cut = draw.randrange(1, len(part) - 1)
        bad = bytearray(part)
        bad[cut] ^= 1 << draw.randrange(8)
        data += part + b"\0" + bad + part[:cut] + b"\0" + part
    # a right CRC in a block that is cut, and a block that is full
    data += b"\x09" + link.frame(1, 1)[1:] + link.frame(1, 1) + wanted([no_zero(258)])[0]
    if taken(frames, line, bytes(data)) != [link.opened(part) for part in bytes(data).split(b"\0") if part]:
        wrong.append("frames taken")
    return wrong
