"""The dyad: a neuron in two compartments (contract section 4)."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..recipe import RANDOM_BITS, Pieces, Recipe
from .choose import index_bits
from .delay import delayed
from .families import Platform
from .fixed import Requantize, clip, span


def _times(value: Value, n: int) -> Value | int:
    """0, 1 or 2 times a value, without a multiplier."""
    return value.shift_left(n - 1) if n else 0


def activated(value: Value, pieces: Pieces) -> Value:
    """The value of an activation at a drive, both in half accumulator LSBs; combinational, in the `span` of its ends.

    Each piece is a shift and a constant to add, so that the drive is compared with the knots and then added to once.
    """
    knots, values = pieces.knots, pieces.values
    low, high = values[0], values[-1]
    if pieces.shifts == (0,) and low == knots[0]:
        return clip(value, low, high)
    moved: Value = Const(0, signed(1))
    added: Value = Const(high, span(low, high))
    for knot, end, at, shift in reversed(list(zip(knots, knots[1:], values, pieces.shifts, strict=False))):
        if knot < end:
            moved = Mux(value < end, 0 if shift is None else value.shift_right(shift), moved)
            added = Mux(value < end, at if shift is None else at - (knot >> shift), added)
    below = value < knots[0]
    return (Mux(below, 0, moved) + Mux(below, low, added))[: span(low, high).width].as_signed()


def gated(m: Module, pieces: Pieces, drive: Value, fed: Value) -> Value:
    """Return `fed` times the slope of an activation at the `drive` of the cycle before, 0 at both ends; accumulator LSBs."""
    found: Value = Const(0, fed.shape())
    for n, (low, high, shift) in enumerate(zip(pieces.knots, pieces.knots[1:], pieces.shifts, strict=False)):
        inside = Signal(name=f"inside_{n}" if n else "inside")
        m.d.sync += inside.eq((drive > low // 2 if low == pieces.knots[0] else drive >= low // 2) & (drive < high // 2))
        found = Mux(inside, 0 if shift is None else fed.shift_right(shift), found)
    return found


class Dyad(wiring.Component):
    """Mean and difference of the two compartments of a neuron. Latency 5, one neuron per cycle.

    Parameters
    ----------
    recipe : Recipe
    unit : int
        Decides the activation.
    errors : tuple of str
        What the difference port can give: ``dyad``, ``gate``, ``feedback``.
    moves : tuple of bool
        Whether the difference moves the mean.

    Members
    -------
    a, b : In(signed(wa))
        Drive and feedback.
    error, moved : In
        Which of `errors`; with more than one of `moves`, whether the difference moves the mean.
    random_state, random_delta : In(16)
        Of cycle c + 3 for inputs of cycle c.
    mean : Out(signed(ws))
    difference : Out(signed(wd))
    mean_out_of_range, difference_out_of_range : Out(1)
    """

    LATENCY = 5

    def __init__(self, recipe: Recipe, unit: int, errors: tuple[str, ...] = ("dyad",), moves: tuple[bool, ...] = (False,)):
        if not 0 <= unit < recipe.layers:
            raise ValueError(f"Dyad: unit {unit}; allowed is 0 to {recipe.layers - 1}")
        self._recipe, self._unit, self._errors, self._moves = recipe, unit, errors, moves
        f = recipe.formats
        super().__init__(
            {
                "a": In(signed(f.accumulator.width)),
                "b": In(signed(f.accumulator.width)),
                "error": In(index_bits(len(errors))),
                **({"moved": In(1)} if len(moves) > 1 else {}),
                "random_state": In(RANDOM_BITS),
                "random_delta": In(RANDOM_BITS),
                "mean": Out(signed(f.state.width)),
                "mean_out_of_range": Out(1),
                "difference": Out(signed(f.delta.width)),
                "difference_out_of_range": Out(1),
            }
        )

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        r, f = self._recipe, self._recipe.formats
        two_alpha = r.twice_alpha
        # cycle 1: the compartments' drives, in half accumulator LSBs
        drive = signed(f.accumulator.width + 2)
        plus = Signal(drive)
        minus = Signal(drive)
        m.d.sync += [plus.eq(_times(self.a, 2) + _times(self.b, 2 - two_alpha)), minus.eq(_times(self.a, 2) - _times(self.b, two_alpha))]
        # cycle 2: the activation
        pieces = r.pieces(self._unit)
        u_plus = Signal(span(pieces.first, pieces.values[-1]))
        u_minus = Signal(span(pieces.first, pieces.values[-1]))
        m.d.sync += [u_plus.eq(activated(plus, pieces)), u_minus.eq(activated(minus, pieces))]
        # cycle 3: read-out
        fed = delayed(m, self.b, 2).shift_left(1)
        given = {"dyad": u_plus - u_minus, "feedback": fed, "gate": gated(m, pieces, delayed(m, self.a, 1), fed)}
        apart, error = given[self._errors[0]], delayed(m, self.error, 2)
        for n, name in enumerate(self._errors[1:], 1):
            apart = Mux(error == n, given[name], apart)
        read = Value.cast(_times(u_plus, two_alpha) + _times(u_minus, 2 - two_alpha))
        moved = (u_minus + apart).shift_left(1)
        if len(self._moves) > 1:
            read = Mux(delayed(m, self.moved, 2), moved, read)
        elif self._moves[0]:
            read = moved
        mean = Signal(signed(max(len(u_plus) + 1, len(read))))
        difference = Signal(signed(len(apart) + 1))
        m.d.sync += [mean.eq(read), difference.eq(apart)]
        # cycles 4 and 5: requantize
        for name, value, shift, format, rounding, overflow, random in (
            ("mean", mean, f.accumulator.frac + 2 - f.state.frac, f.state, r.rounding.state, r.overflow.state, self.random_state),
            (
                "difference",
                difference,
                f.accumulator.frac + 1 - f.delta.frac,
                f.delta,
                r.rounding.delta,
                r.overflow.delta,
                self.random_delta,
            ),
        ):
            requantize = Requantize(len(value), shift, format.width, rounding, overflow)
            m.submodules[f"requantize_{name}"] = requantize
            m.d.comb += [
                requantize.value.eq(value),
                requantize.random.eq(random),
                getattr(self, name).eq(requantize.result),
                getattr(self, f"{name}_out_of_range").eq(requantize.out_of_range),
            ]
        return m
