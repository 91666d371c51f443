"""What an operation's number decides: the multiplexers of an engine or a unit, none where all its operations agree."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Array, Const, Mux, ShapeLike, Value, unsigned


def index_bits(n: int) -> int:
    """Return the bits of a port that numbers `n` things; at least one."""
    return max(1, (n - 1).bit_length())


def choose(number: Value, values: Sequence[int | bool | None], shape: ShapeLike | None = None) -> Value:
    """Return the entry of `values` with this number: a constant if all agree, else a multiplexer.

    Parameters
    ----------
    number : Value
        Below ``len(values)``.
    values : sequence of int or None
        None where it does not matter.
    shape : Shape, optional
        By default unsigned, of as many bits as the largest needs.
    """
    given = [v for v in values if v is not None]
    shape = unsigned(index_bits(max(given, default=0) + 1)) if shape is None else shape
    if len(set(given)) <= 1:
        return Const(given[0] if given else 0, shape)
    return Array(Const(given[0] if v is None else v, shape) for v in values)[number]


def either(chosen: Value, one: Value, other: Value) -> Value:
    """Return `one` where a bit is set, else `other`: a multiplexer, none where the bit is a constant."""
    if isinstance(chosen, Const):
        return one if chosen.value else other
    return Mux(chosen, one, other)
