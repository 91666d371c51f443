"""Streams of elements inside the chip: nothing stalls, so that valid is all the handshake."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, Mux, ShapeLike, Signal, Value
from amaranth.lib.wiring import Out, PureInterface, Signature

from .choose import index_bits


def vector(count: int, shape: ShapeLike, slots: int = 1) -> Signature:
    """Return the signature of a stream that writes vectors of `count` elements, each from element 0 on, into `slots` slots."""
    return Signature({"valid": Out(1), "slot": Out(index_bits(slots)), "index": Out(index_bits(count)), "value": Out(shape)})


def word_and_lane(m: Module, stream: PureInterface, lanes: int) -> tuple[Value, Value]:
    """Return which word of `lanes` lanes, and which lane of it, an element of a `vector` stream belongs to."""
    if lanes & lanes - 1 == 0:
        shift = lanes.bit_length() - 1
        return stream.index[shift:], stream.index[:shift]
    # elements come in order: count them
    word = Signal(len(stream.index))
    lane = Signal(range(lanes))
    first = stream.index == 0
    here_word, here_lane = Mux(first, 0, word), Mux(first, 0, lane)
    with m.If(stream.valid):
        last = here_lane == lanes - 1
        m.d.sync += [lane.eq(Mux(last, 0, here_lane + 1)), word.eq(here_word + last)]
    return here_word, here_lane


def count(bits: Sequence[Value]) -> Value:
    """Count the bits that are set: a balanced tree of adders."""
    if len(bits) == 1:
        return bits[0]
    return count(bits[::2]) + count(bits[1::2])
