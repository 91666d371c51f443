"""The square of a number, without a multiplier block (contract section 5: of an output's error)."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..recipe import Recipe
from ..recipe.products import products, slices
from .families import Platform

GROUPS = 4
"""Groups of rows that are added in the first cycle."""


class Square(wiring.Component):
    """Square of a signed number, of LUTs and adders: latency 2, one number per cycle.

    The number has digits of two bits, the highest signed. Products of two digits have four bits, so those of all digits that are equally
    far apart make one row without adding; the rows are added, by groups in the first cycle.

    Members
    -------
    a : In(signed(width))
    product : Out(signed(2 * width))
    """

    LATENCY = 2

    def __init__(self, width: int):
        super().__init__({"a": In(signed(width)), "product": Out(signed(2 * width))})

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        even = Cat(self.a, self.a[-1])[: len(self.a) + len(self.a) % 2]
        digits = [even[i : i + 2] for i in range(0, len(even) - 2, 2)] + [even[-2:].as_signed()]
        rows: list[Value] = [Cat(_product(digit, digit) for digit in digits)]
        for apart in range(1, len(digits)):  # each twice; the last is of the highest digit, whose sign is the row's
            row = Cat(_product(low, high) for low, high in zip(digits, digits[apart:], strict=False))
            rows.append(row.as_signed() << 2 * apart + 1)
        sums = []
        for first, *others in (rows[n::GROUPS] for n in range(min(GROUPS, len(rows)))):
            total = sum(others, first)
            sums.append(Signal(total.shape()))
            m.d.sync += sums[-1].eq(total)
        m.d.sync += self.product.eq(sum(sums[1:], sums[0]))
        return m


def _product(low: Value, high: Value) -> Value:
    """Return the low four bits of the product of two digits: a table of theirs."""
    values = [[n - 4 * (n > 1 and digit.shape().signed) for n in range(4)] for digit in (low, high)]
    return Array(Const(a * b & 15, 4) for b in values[1] for a in values[0])[Cat(low, high)]


def needed(recipe: Recipe, platform: Platform | None) -> bool:
    """Return whether a platform has no multiplier block for the square of an error: other products take them, or it is too wide."""
    if platform is None:
        return False
    width, others = platform.family.multiplier.width, platform.family.others
    if not others and recipe.formats.accumulator.width + 1 > width:
        return True
    taken = sum(n * (slices(bits, width) if others else bits <= width) for bits, n in products(recipe).items())
    return taken + slices(recipe.error_bits, width) ** 2 > platform.holds["multiplier"]
