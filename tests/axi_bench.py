"""What cocotb runs for `test_axi`: another's AXI masters, streams and random pauses; the emulator beside the hardware."""

import os
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Timer
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp, AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

from crossdyad import emulator
from crossdyad.recipe import Recipe, in_memory
from crossdyad.recipe.link import fingerprint
from crossdyad.recipe.registers import ADDRESS


def pauses(seed):
    draw = random.Random(seed)
    while True:
        yield draw.random() < 0.5


class Processor:
    """The bus, the streams and the emulated chip."""

    def __init__(self, dut):
        self.dut, self.recipe = dut, Recipe.model_validate_json(os.environ["AXI_RECIPE"])
        self.chip = emulator.Chip(self.recipe)
        f = self.recipe.formats
        self.bytes = {"sample": f.state, "weight": f.weight, "result": f.state}
        clocking = dut.aclk, dut.aresetn, False
        self.bus = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), *clocking)
        self.into = {n: AxiStreamSource(AxiStreamBus.from_prefix(dut, f"s_axis_{n}"), *clocking) for n in ("sample", "label", "weight")}
        self.out = {n: AxiStreamSink(AxiStreamBus.from_prefix(dut, f"m_axis_{n}"), *clocking) for n in ("result", "weight")}
        everything = [
            *self.into.values(),
            *self.out.values(),
            self.bus.write_if.aw_channel,
            self.bus.write_if.w_channel,
            self.bus.write_if.b_channel,
            self.bus.read_if.ar_channel,
            self.bus.read_if.r_channel,
        ]
        if os.environ["AXI_PAUSES"] == "random":
            for i, end in enumerate(everything):
                end.set_pause_generator(pauses(i))

    async def start(self):
        cocotb.start_soon(Clock(self.dut.aclk, 10, "ns").start())
        self.dut.aresetn.value = 0
        await ClockCycles(self.dut.aclk, 4)
        self.dut.aresetn.value = 1
        await ClockCycles(self.dut.aclk, 4)

    def frame(self, name, numbers):
        size = -(-self.bytes[name].width // 8) if name in self.bytes else 1
        return AxiStreamFrame(b"".join((int(n) & (1 << 8 * size) - 1).to_bytes(size, "little") for n in np.ravel(numbers)))

    async def numbers(self, name):
        size = -(-self.bytes[name].width // 8)
        data = bytes((await self.out[name].recv(compact=False)).tdata)
        return [int.from_bytes(data[i : i + size], "little", signed=True) for i in range(0, len(data), size)]

    async def write(self, name, value, resp=AxiResp.OKAY):
        done = await self.bus.write(ADDRESS[name] if isinstance(name, str) else name, value.to_bytes(4, "little"))
        assert done.resp == resp, (name, done)

    async def read(self, name, resp=AxiResp.OKAY):
        done = await self.bus.read(ADDRESS[name] if isinstance(name, str) else name, 4)
        assert done.resp == resp, (name, done)
        return int.from_bytes(done.data, "little")

    async def rest(self):
        for _ in range(2000):
            if await self.read("STATUS") == 0:
                return
        raise AssertionError("the chip does not come to rest")

    async def load(self, weights):
        self.chip.weights = weights
        await self.into["weight"].send(self.frame("weight", np.concatenate([np.ravel(w) for w in weights])))
        await self.write("LOAD", 0)
        await self.into["weight"].wait()
        await self.rest()

    async def same_weights(self):
        await self.write("READ", 0)
        got = await self.numbers("weight")
        expected = np.concatenate([np.ravel(w) for w, _ in zip(self.chip.weights, in_memory(self.recipe), strict=True)])
        assert got == expected.tolist()

    async def same_counters(self):
        chip = self.chip
        cycles = await self.read("CYCLES_LOW") | await self.read("CYCLES_HIGH") << 32
        loss = await self.read("LOSS_LOW") | await self.read("LOSS_HIGH") << 32
        loss -= loss >> 63 << 64
        shown = {p: await self.read(f"SATURATIONS_{p.upper()}") for p in chip.saturations}
        assert shown == {p: int(n) for p, n in chip.saturations.items()}
        assert (cycles, await self.read("STEP"), await self.read("RATE"), loss) == (chip.cycles, chip.step, chip.rate, int(chip.loss))


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def it_learns_what_the_emulator_learns(dut):
    cpu = Processor(dut)
    await cpu.start()
    r, draw = cpu.recipe, np.random.default_rng(3)
    f = r.formats
    weights = [draw.integers(f.weight.min // 2, f.weight.max // 2, w.shape, endpoint=True, dtype=np.int32) for w in cpu.chip.weights]
    await cpu.load(weights)
    count = 12
    x = draw.integers(f.state.min, f.state.max, (count, r.sizes[0]), endpoint=True, dtype=np.int32)
    y = draw.integers(0, r.sizes[-1], count)
    expected = cpu.chip.train(x, y)
    for sample in x:
        await cpu.into["sample"].send(cpu.frame("sample", sample))
    await cpu.into["label"].send(cpu.frame("label", y))
    await cpu.write("TRAIN", count)
    outputs = [await cpu.numbers("result") for _ in range(count)]
    assert outputs == np.asarray(expected.outputs).tolist()
    await cpu.rest()
    await cpu.same_counters()
    await cpu.same_weights()
    # answers that wait are not lost to those behind them
    names = ["STEP", "RATE", "IDENTITY_LOW", "STEP", "IDENTITY_HIGH", "RATE"] * 4
    several = [cocotb.start_soon(cpu.bus.read(ADDRESS[name], 4)) for name in names]
    identity = fingerprint(r)
    shown = {
        "STEP": count,
        "RATE": cpu.chip.rate,
        "IDENTITY_LOW": int.from_bytes(identity[:4], "little"),
        "IDENTITY_HIGH": int.from_bytes(identity[4:], "little"),
    }
    assert [int.from_bytes((await read).data, "little") for read in several] == [shown[name] for name in names]
    several = [cocotb.start_soon(cpu.bus.write(ADDRESS[name], bytes(4))) for name in ["STATUS", "INFER"] * 8]
    assert [(await write).resp for write in several] == [AxiResp.SLVERR, AxiResp.OKAY] * 8
    # another rate, inference, another step: as the emulator has them
    await cpu.write("RATE", 2)
    await cpu.rest()
    cpu.chip.rate = 2
    for sample in x[:3]:
        await cpu.into["sample"].send(cpu.frame("sample", sample))
    await cpu.write("INFER", 3)
    assert [await cpu.numbers("result") for _ in range(3)] == cpu.chip.infer(x[:3]).tolist()
    await cpu.rest()
    await cpu.same_counters()
    await cpu.write("STEP", 0x12345678)
    await cpu.rest()
    assert await cpu.read("STEP") == 0x12345678


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def a_write_never_waits_and_what_is_wrong_changes_nothing(dut):
    cpu = Processor(dut)
    await cpu.start()
    identity = await cpu.read("IDENTITY_LOW") | await cpu.read("IDENTITY_HIGH") << 32
    assert identity == int.from_bytes(fingerprint(cpu.recipe), "little")
    await cpu.load(cpu.chip.weights)
    await cpu.write("INFER", 5)  # no sample comes: one waits in the chip, four are left
    await Timer(500, "ns")
    assert await cpu.read("INFER") == 4 and await cpu.read("TRAIN") == 0 and await cpu.read("STATUS") == 2
    for name in ("TRAIN", "LOAD", "RATE"):
        await cpu.write(name, 1, AxiResp.SLVERR)
    await cpu.write("STATUS", 1, AxiResp.SLVERR)  # cannot be written
    last = max(ADDRESS.values())
    await cpu.write(last + 4, 1, AxiResp.SLVERR)
    assert await cpu.read(last + 4, AxiResp.SLVERR) == 0
    assert await cpu.read("INFER") == 4
    await cpu.write("INFER", 0)
    assert await cpu.read("STATUS") == 0
    done = await cpu.bus.write(ADDRESS["INFER"], b"\1")  # a byte alone
    assert done.resp == AxiResp.SLVERR and await cpu.read("INFER") == 0
    x = np.ones((1, cpu.recipe.sizes[0]), np.int32)
    await cpu.into["sample"].send(cpu.frame("sample", x))  # what waited in the chip takes it
    assert [await cpu.numbers("result")] == cpu.chip.infer(x).tolist()
