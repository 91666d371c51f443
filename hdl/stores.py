"""The stores of one engine: memories of what columns and rows meet, filled from streams (contract section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed
from amaranth.lib.data import ArrayLayout
from amaranth.lib.memory import Memory

from ..recipe import NOISE, SIGNS, SLOPE, Geometry, Operation, clog2, table
from .choose import ByOperation, index_bits, settled
from .elements import word_and_lane


def stores(
    m: Module, of: ByOperation, streams: Sequence[Any], bank: Any, number: Value, row: Value, fold: Value
) -> tuple[dict[int, list[Value]], dict[int, Value]]:
    """Add the memories of columns and rows; return their outputs by the memory's number."""
    recipe, engine, _ = of
    L = engine.lanes
    columns: dict[int, list[Value]] = {}
    rows: dict[int, Value] = {}
    for i, memory in enumerate(engine.memories):
        stream, count = streams[i], recipe.sizes[memory.population]
        slot = bank if memory.banked else _slot(of, number, memory, len(stream.slot))
        if memory.port == "column":
            words = -(-count // L)
            shape, place = ArrayLayout(stream.value.shape(), L), fold[: clog2(words)]
            word, lane = word_and_lane(m, stream, L)
            word = word[: clog2(words)]
        else:
            words, shape, place, word = count, stream.value.shape(), row[: clog2(count)], stream.index[: clog2(count)]
        store: Memory = Memory(shape=shape, depth=max(2, memory.slots << clog2(words)), init=[])
        m.submodules[f"store{i}"] = store
        write = store.write_port(granularity=1 if memory.port == "column" else None)
        read = store.read_port()
        many = memory.slots > 1
        m.d.comb += [read.addr.eq(Cat(place, slot) if many else place), write.addr.eq(Cat(word, stream.slot) if many else word)]
        if memory.port == "column":
            m.d.comb += [write.data[lane_number].eq(stream.value) for lane_number in range(L)]
            m.d.comb += write.en.eq(Mux(stream.valid, Const(1, L) << lane if L > 1 else Const(1, 1), 0))
            columns[i] = [read.data[lane_number] for lane_number in range(L)]
        else:
            m.d.comb += [write.data.eq(stream.value), write.en.eq(stream.valid)]
            rows[i] = read.data
    return columns, rows


def _slot(of: ByOperation, number: Value, memory: table.Memory, bits: int) -> Value:
    """The slot that an operation reads of a memory."""
    return of(number, lambda g, s: memory.stores.index(getattr(s, memory.port)), bits, lambda s: getattr(s, memory.port) in memory.stores)


def chosen_store(m: Module, of: ByOperation, before: Value, port: str, outputs: dict[int, Any]) -> Any:
    """Return what an operation reads through a port: the output of the memory that holds its store; 0 where nothing does.

    `before` is the operation's number of a cycle before.
    """
    if not outputs:
        return Const(0, signed(1)) if port == "row" else []
    memories, keys = of.engine.memories, list(outputs)

    def which(g: Geometry, s: Operation) -> int:
        return next(n for n, i in enumerate(keys) if getattr(s, port) in memories[i].stores)

    chosen = settled(m, of(before, which, index_bits(len(keys)), lambda s: getattr(s, port) not in ("", SIGNS, SLOPE, NOISE)))
    if isinstance(chosen, Const):
        return outputs[keys[chosen.value]]

    def mux(values: list[Value]) -> Value:
        picked = values[0]
        for n, v in enumerate(values[1:], 1):
            picked = Mux(chosen == n, v, picked)
        return picked

    if port == "row":
        return mux([outputs[i] for i in keys])
    return [mux([outputs[i][lane] for i in keys]) for lane in range(of.engine.lanes)]


def met(of: ByOperation, value: Value, lane: int, number: Value, last_fold: Value, beyond: Value) -> Value:
    """Return what a lane meets of a store: its element, one in the column of the bias, 0 beyond that."""
    if of.recipe.bias:
        biased = of(number, lambda g, s: lane == g.D - (g.F - 1) * of.engine.lanes, 1)
        value = Mux(last_fold & biased, Const(of.recipe.one, value.shape()), value)
    return Mux(last_fold & beyond, 0, value)
