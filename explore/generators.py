"""Parts of a generator that synthesis keeps (contract section 2): bits of its rounds that something reads and that are no constants."""

from __future__ import annotations

import functools

ROUNDS, BITS = 8, 32
"""Rounds of the generator, and bits of each of its two words."""
Bit = tuple[str, int]
"""A bit of a pair: ``x`` or ``y``, and which."""


def signs(lanes: int) -> list[Bit]:
    """Return the bits of a pair that the signs of so many lanes are made of."""
    return views(range(lanes), (0,))


def words(lanes: int, bits: int) -> list[Bit]:
    """Return those that so many high bits of the rounding words of so many lanes are made of."""
    return views(range(lanes), range(24 - bits, 24))


def word(lane: int, bits: int) -> list[Bit]:
    """Return those that so many high bits of one lane's rounding word are made of."""
    return views((lane,), range(24 - bits, 24))


def views(lanes: range | tuple[int, ...], bits: range | tuple[int, ...]) -> list[Bit]:
    """Return those that some bits of the views of some lanes are made of."""
    read = [(word, place + by) for n in lanes for place in bits for word, by in (("x", (n + 1) >> 1), ("y", 8 - (n >> 1)))]
    return sorted({(word, place) for word, place in read if place < BITS})


@functools.lru_cache(maxsize=1024)
def generator(read: tuple[Bit, ...], index: int, stepped: bool) -> tuple[int, int]:
    """Flip-flops and LUTs of a generator.

    Parameters
    ----------
    read : tuple of bits
        Of its pair.
    index : int
        Bits of its index that change.
    stepped : bool
        Whether its step changes.
    """
    x, y = needed(read)
    changes_x, changes_y = [set(range(index))], [set(range(BITS)) if stepped else set()]
    ff = lut = 0
    for n in range(ROUNDS):  # a bit of a sum changes where one of its operands does, there or below
        rotated = {(bit - 8) % BITS for bit in changes_x[-1]} | changes_y[-1]
        mixed = set(range(min(rotated, default=BITS), BITS))
        turned = {(bit + 3) % BITS for bit in changes_y[-1]} | mixed
        changes_x.append(mixed)
        changes_y.append(turned)
        registers, sums = (x[n + 1] & mixed, y[n + 1] & turned), (x[n + 1] | y[n + 1]) & mixed
        ff += sum(map(len, registers))
        lut += (max(sums) - min(rotated) + 1 if sums else 0) + len(registers[1])
    return ff, lut


def needed(read: tuple[Bit, ...]) -> tuple[list[set[int]], list[set[int]]]:
    """Return by round, from the operands of the first one on, the bits of both words that what is read depends on."""
    x, y = ([{place for word, place in read if word == name}] for name in "xy")
    for _ in range(ROUNDS):
        mixed = x[0] | y[0]
        sums = set(range(max(mixed) + 1)) if mixed else set()  # carries come from below
        x.insert(0, {(bit + 8) % BITS for bit in sums})
        y.insert(0, sums | {(bit - 3) % BITS for bit in y[0]})
    return x, y
