"""A bench: one clocked design under test, as a coroutine body sees it, whichever simulator runs it.

A body is an ``async def body(bench, **arguments)`` that returns plain data. In every cycle it sets inputs, settles,
gets outputs and ticks; nothing else, so that the same body means the same on every simulator::

    bench.set("value", 5)
    await bench.settle()
    seen = bench.get("result")      # the value in this cycle
    await bench.tick()
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from amaranth.lib import wiring
    from amaranth.sim import SimulatorContext

_Result = TypeVar("_Result")
"""Result of a body."""


class Undefined(ValueError):
    """A port shows x: a four-state simulator cannot tell its value."""


class Bench(Protocol):
    """Tools of a body. Cycle 0, the first after reset, is the one in which the body begins."""

    def set(self, port: str, value: int) -> None:
        """Drive an input port from this cycle on."""

    def get(self, port: str) -> int:
        """The value of a port or of an inner signal in this cycle, signed where the signal is; raises `Undefined`."""

    async def settle(self) -> None:
        """Let combinational logic follow the inputs."""

    async def tick(self) -> None:
        """Go to the next cycle."""


class AmaranthBench:
    """A bench in Amaranth's own simulator."""

    def __init__(self, context: SimulatorContext, component: wiring.Component):
        self._context, self._component, self._values = context, component, {}

    def _value(self, name: str):
        from amaranth.hdl import Value

        if name not in self._values:
            target = self._component
            for part in name.replace("__", ".").split("."):
                stem = part.rstrip("0123456789")
                # the list `layers` holds layer0, layer1 ...
                target = getattr(target, part) if hasattr(target, part) else getattr(target, f"{stem}s")[int(part[len(stem) :])]
            self._values[name] = Value.cast(target)
        return self._values[name]

    def set(self, port: str, value: int) -> None:
        self._context.set(self._value(port), value)

    def get(self, port: str) -> int:
        return self._context.get(self._value(port))

    async def settle(self):
        pass  # a testbench's `get` sees settled values

    async def tick(self):
        await self._context.tick()


def simulate(component: wiring.Component, body: Callable[..., Awaitable[_Result]], arguments: dict) -> _Result:
    """Run a body against an Amaranth component in Amaranth's simulator; returns what the body returns."""
    from amaranth.sim import Simulator

    results = []

    async def testbench(context):
        results.append(await body(AmaranthBench(context, component), **arguments))

    simulator = Simulator(component)
    simulator.add_clock(1e-9)
    simulator.add_testbench(testbench)
    simulator.run()
    return results[0]


async def play(bench, stimulus: dict, outputs: list[str]) -> dict:
    """Drive every input port in every cycle and record every output port (a bench body).

    A data port may be undefined while its `valid` is low, as where a memory is read beyond its end; it is recorded as
    None, which equals nothing that is expected.
    """

    def seen(port):
        try:
            return bench.get(port)
        except Undefined:
            return None

    record = {port: [] for port in outputs}
    before = dict.fromkeys(stimulus)
    for values in zip(*stimulus.values(), strict=True):
        for port, value in zip(stimulus, values, strict=True):
            if value != before[port]:
                bench.set(port, value)
                before[port] = value
        await bench.settle()
        for port in outputs:
            record[port].append(seen(port))
        await bench.tick()
    return record
