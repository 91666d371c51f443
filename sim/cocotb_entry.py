"""The cocotb test that runs any body: it reads a request, makes a bench of the toplevel, writes the answer.

`simulators.run` names the request file in ``CROSSDYAD_REQUEST``.
"""

from __future__ import annotations

import importlib
import os
import pickle
from pathlib import Path

import cocotb
from cocotb.handle import HierarchyObject
from cocotb.triggers import Timer

from .bench import Undefined


class CocotbBench:
    """A bench under cocotb. The body owns the clock: two time steps per cycle, edges between them."""

    def __init__(self, top: HierarchyObject, signals: dict[str, tuple[str, bool]]):
        self._top, self._signals, self._handles = top, signals, {}

    def _handle(self, name):
        if name not in self._handles:
            path, signed = self._signals[name]
            handle = self._top
            for part in path.split("."):
                handle = handle[part]
            self._handles[name] = handle, signed, 1 << len(handle)
        return self._handles[name]

    def set(self, port: str, value: int) -> None:
        handle, _, span = self._handle(port)
        handle.value = value & (span - 1)

    def get(self, port: str) -> int:
        handle, signed, span = self._handle(port)
        try:
            value = int(handle.value)
        except ValueError:
            raise Undefined(f"{port} is undefined: {handle.value}") from None
        return value - span if signed and 2 * value >= span else value

    async def settle(self):
        await Timer(1, "ns")

    async def tick(self):
        self._top.clk.value = 1
        await Timer(1, "ns")
        self._top.clk.value = 0

    async def reset(self, inputs):
        self._top.clk.value = 0
        for port in inputs:
            self.set(port, 0)
        if hasattr(self._top, "rst"):
            self._top.rst.value = 1
        for _ in range(2):
            await self.settle()
            await self.tick()
        if hasattr(self._top, "rst"):
            self._top.rst.value = 0


@cocotb.test()
async def answer(top):
    request = pickle.loads(Path(os.environ["CROSSDYAD_REQUEST"]).read_bytes())
    module, name = request["body"]
    body = getattr(importlib.import_module(module), name)
    bench = CocotbBench(top, request["signals"])
    await bench.reset(request["inputs"])
    result = await body(bench, **request["arguments"])
    Path(request["answer"]).write_bytes(pickle.dumps(result))
