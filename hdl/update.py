"""The new weight (contract section 6)."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..recipe import LONGEST_TRAIN, RANDOM_BITS, Recipe
from .choose import index_bits
from .delay import delayed
from .families import Platform
from .fixed import clip, limited, rounded, rounded_onto


class Update(wiring.Component):
    """One lane's weight update: decay, add the rounded product, limit. Latency 3, one weight per cycle.

    Parameters
    ----------
    recipes : Recipe, or tuple of Recipe
        Those of the engine's `views`: one for each weight format. Products are aligned to the one that loses most fraction bits.
    decays : tuple of int
        What updates ask for: a weight also loses ``2**-decay`` of itself; 0: nothing.

    Members
    -------
    weight : In(signed(ww))
    product : In(signed(operand_width + ws))
        The operand times input or sign, `Recipe.update_shift` fraction bits below the weight LSB.
    format : In
        Position in `recipes`.
    random : In(16)
    decay : In
        Position in `decays`.
    probe : In(1)
        A probe may use the guard at the ends of the range; nothing decays.
    result : Out(signed(ww))
    out_of_range : Out(1)
    """

    LATENCY = 3

    def __init__(self, recipes: Recipe | tuple[Recipe, ...], decays: tuple[int, ...] = (0,)):
        self._views, self._decays = recipes if isinstance(recipes, tuple) else (recipes,), decays or (0,)
        self._recipe = max(self._views, key=lambda r: r.product_shift)
        width = max(r.formats.weight.width for r in self._views)
        operand = max(r.bits.operand + self._recipe.product_shift - r.product_shift for r in self._views)
        super().__init__(
            {
                "weight": In(signed(width)),
                "product": In(signed(operand + self._recipe.formats.state.width)),
                "random": In(RANDOM_BITS),
                "decay": In(index_bits(len(self._decays))),
                "probe": In(1),
                **({"format": In(index_bits(len(self._views)))} if len(self._views) > 1 else {}),
                "result": Out(signed(width)),
                "out_of_range": Out(1),
            }
        )

    def _change(self, weight: Value, n: Value) -> Value:
        """Return what the rounded number does to a weight: it is the change, or a count of pulses (contract section 11)."""
        r = self._recipe
        c, width = r.slope_bits, r.formats.weight.width
        if c is None:
            return n.shift_left(r.pulse_bits)
        end, m = 1 << width - 1, width - 1 - r.pulse_bits
        room = Mux(n > 0, end - (weight >> c), end + (weight >> c))
        return (n * room + (1 << m - 1)) >> m

    def _decayed(self) -> tuple[Value, int]:
        """The product less what the weight loses, and how many of its fraction bits are to go: enough for every decay."""
        shift, decays = self._recipe.product_shift, self._decays
        if not any(decays):
            return self.product, shift
        finer = max(shift, *decays)
        product = self.product << (finer - shift)
        lost = [(self.weight << (finer - d)) if d else 0 for d in decays]
        chosen = lost[0]
        for n, v in enumerate(lost[1:], 1):
            chosen = Mux(self.decay == n, v, chosen)
        return product - Mux(self.probe, 0, chosen), finer

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        r = self._recipe
        low: ValueLike = r.formats.weight.min
        high: ValueLike = r.formats.weight.max
        guard = r.guard
        saturate = r.overflow.weight == "saturate"
        # cycle 1: decay, or with a pulse law round to a count of pulses; cycle 2: add, and round where nothing has been
        product, shift = self._decayed()
        weight = delayed(m, self.weight, 1)
        if r.pulses.built == "ideal":
            total = rounded_onto(delayed(m, product, 1), shift, r.rounding.weight, delayed(m, self.random, 1), weight)
        else:
            exact = rounded(product, shift, r.rounding.weight, self.random)
            total = weight + self._change(weight, delayed(m, clip(exact, -LONGEST_TRAIN, LONGEST_TRAIN), 1))
        v = Signal(signed(len(total)))
        m.d.sync += v.eq(total)
        # cycle 3: limit
        if guard and saturate:
            probe = delayed(m, self.probe, 2)
            low, high = Mux(probe, low, low + guard), Mux(probe, high, high - guard)
            below, above = v < low, v > high
            result, outside = Mux(below, low, Mux(above, high, v)), below | above
        else:
            result, outside = limited(v, self._views[0].formats.weight.width, r.overflow.weight)
            for n, other in enumerate(self._views[1:], 1):
                its = delayed(m, self.format == n, 2)
                result, outside = (
                    Mux(its, a, b)
                    for a, b in zip(limited(v, other.formats.weight.width, r.overflow.weight), (result, outside), strict=True)
                )
        m.d.sync += [self.result.eq(result), self.out_of_range.eq(outside)]
        return m
