"""Seeds: a 64-bit seed to the generator's key, and to seeds of its own for what must be independent (contract section 2)."""

from __future__ import annotations

from operator import index

LAYER, CHIP, GENERATION = 1, 2, 3
"""Purposes of `derived`: analog arrays of layer `number`; chip `number` of several that one seed stands for; generation `number` of a
search."""

_MASK = (1 << 64) - 1


def mixed(seed: int) -> int:
    """The first output of splitmix64 started at `seed`: a permutation of the 64-bit numbers in which every bit depends on every bit.

    Source: Steele, Lea and Flood, OOPSLA 2014; constants of Stafford's variant 13.
    """
    z = seed + 0x9E3779B97F4A7C15 & _MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
    return z ^ z >> 31


def key(seed: int) -> tuple[int, int]:
    """The generator's key ``(k0, k1)``, two 32-bit words, of a 64-bit seed.

    Raises
    ------
    ValueError
        If the seed is not an integer from 0 to 2**64 - 1.
    """
    try:
        number = -1 if isinstance(seed, bool) else index(seed)
    except TypeError:
        number = -1
    if not 0 <= number <= _MASK:
        raise ValueError(f"seeds: {seed!r}; every seed must be an integer from 0 to 2**64 - 1")
    z = mixed(number)
    return z & 0xFFFFFFFF, z >> 32


def derived(seed: int, purpose: int, number: int) -> int:
    """A 64-bit seed of its own for `number` (below 2**32) of a purpose."""
    return mixed(mixed(seed) + (purpose << 32 | number) & _MASK)


def several(seed: int, count: int) -> list[int]:
    """Seeds of `count` chips, the first of which is `seed` itself."""
    return [seed, *(derived(seed, CHIP, n) for n in range(1, count))][:count]
