"""Shift registers: a value, some cycles later."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, ValueLike


def history(m: Module, value: ValueLike, cycles: int) -> list[Value]:
    """`value` now and as it was 1 .. `cycles` cycles ago, by position; zero after reset."""
    stages = [Value.cast(value)]
    name = value.name if isinstance(value, Signal) else "stage"
    for age in range(cycles):
        stage = Signal(stages[0].shape(), name=f"{name}_{age + 1}")
        m.d.sync += stage.eq(stages[-1])
        stages.append(stage)
    return stages


def delayed(m: Module, value: ValueLike, cycles: int) -> Value:
    """`value` as it was `cycles` cycles ago; zero after reset. Same shape as `value`."""
    return history(m, value, cycles)[-1]
