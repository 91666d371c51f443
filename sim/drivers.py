"""Drivers of a generated chip for cocotb tests of one's own: streams with `send` and `recv`, and a chip made of them.

Inputs change at falling edges of the clock and outputs are looked at when everything has settled after them, so that the same test means
the same on every simulator.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

from ..recipe import Recipe, emissions, in_memory
from .chip import INFER, LOAD, RATE, READ, TRAIN, command


class Source:
    """An input stream of a chip: ``i_sample``, ``i_label``, ``i_weight``, ``i_command``.

    Parameters
    ----------
    dut : cocotb handle
        Of the module that has the stream's ports and ``clk``.
    name : str
    """

    def __init__(self, dut: Any, name: str):
        self._clock = dut.clk
        self._valid, self._ready, self._payload = (getattr(dut, f"{name}__{part}") for part in ("valid", "ready", "payload"))
        self._mask = (1 << len(self._payload)) - 1
        self._valid.value = self._payload.value = 0

    async def send(self, *payloads: int) -> None:
        """Offer payloads, one after the other, until each is taken; returns after the last transfer."""
        await FallingEdge(self._clock)
        for payload in payloads:
            self._payload.value, self._valid.value = int(payload) & self._mask, 1
            taken = False
            while not taken:
                await ReadOnly()
                taken = bool(int(self._ready.value))
                await FallingEdge(self._clock)
        self._valid.value = 0


class Sink:
    """An output stream of a chip: ``o_result``, ``o_weight``; `signed` payloads are numbers in two's complement."""

    def __init__(self, dut: Any, name: str, signed: bool = False):
        self._clock, self._signed = dut.clk, signed
        self._valid, self._ready, self._payload = (getattr(dut, f"{name}__{part}") for part in ("valid", "ready", "payload"))
        self._ready.value = 0

    async def recv(self, count: int = 1) -> list[int]:
        """Take so many payloads."""
        found: list[int] = []
        await FallingEdge(self._clock)
        self._ready.value = 1
        while len(found) < count:
            await ReadOnly()
            if int(self._valid.value):
                found.append(_signed(int(self._payload.value), len(self._payload)) if self._signed else int(self._payload.value))
            await FallingEdge(self._clock)
        self._ready.value = 0
        return found


class Chip:
    """A chip under cocotb, with the words of the emulator's: `load`, `infer`, `train`, `read`.

    Parameters
    ----------
    dut : cocotb handle
        A chip of `crossdyad generate`, or whatever has its ports.
    recipe : Recipe
    period : float
        Of the clock, in ns.

    Attributes
    ----------
    command, sample, label, weight : Source
    result, weights : Sink
        The streams themselves.
    """

    def __init__(self, dut: Any, recipe: Recipe, period: float = 10.0):
        self._dut, self._recipe, self._period = dut, recipe, period
        self.command, self.sample, self.label, self.weight = (Source(dut, f"i_{name}") for name in ("command", "sample", "label", "weight"))
        self.result, self.weights = Sink(dut, "o_result"), Sink(dut, "o_weight", signed=True)

    async def reset(self) -> None:
        """Start the clock and hold reset for two of its cycles."""
        cocotb.start_soon(Clock(self._dut.clk, self._period, "ns").start())
        self._dut.rst.value = 1
        for _ in range(3):
            await FallingEdge(self._dut.clk)
        self._dut.rst.value = 0

    async def load(self, weights: Sequence[np.ndarray]) -> None:
        """Load weight integers (R, C) of every matrix in memory."""
        await self.command.send(LOAD)
        await self.weight.send(*(int(w) for matrix in weights for w in np.asarray(matrix).ravel()))

    async def read(self) -> list[np.ndarray]:
        """Read the weights back, once what was asked before has been done."""
        await self.command.send(READ)
        shapes = [(g.R, g.C) for g in in_memory(self._recipe)]
        values = np.array(await self.weights.recv(sum(r * c for r, c in shapes)), np.int32)
        ends = np.cumsum([r * c for r, c in shapes])
        return [part.reshape(shape) for part, shape in zip(np.split(values, ends[:-1]), shapes, strict=True)]

    async def rate(self, register: int) -> None:
        """Set the rate register, 0 to 7."""
        await self.command.send(command(RATE, register))

    async def infer(self, x: Iterable[int]) -> np.ndarray:
        """Infer a sample of state integers; return the outputs as state integers."""
        return await self._run(INFER, x, False)

    async def train(self, x: Iterable[int], label: int) -> np.ndarray:
        """Train on a sample of state integers; return the outputs of the last read."""
        await self.label.send(label)
        return await self._run(TRAIN, x, self._recipe.learns)

    async def _run(self, code: int, x: Iterable[int], training: bool) -> np.ndarray:
        await self.sample.send(*x)
        await self.command.send(code)
        outputs, width = self._recipe.sizes[-1], self._recipe.formats.state.width
        shown = await self.result.recv(outputs * len(emissions(self._recipe, training)))
        return np.array([_signed(v & (1 << width) - 1, width) for v in shown[-outputs:]], np.int32)


def _signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> width - 1 else value
