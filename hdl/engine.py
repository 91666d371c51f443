"""An engine: a crossbar, and the converters that turn its sums into elements for the units (contract section 7)."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..recipe import ELEMENT_BITS, RANDOM_BITS, Recipe, matrix_geometries, table
from .choose import choose, either
from .crossbar import AHEAD, Crossbar
from .delay import delayed
from .families import Platform
from .fixed import Requantize
from .noise import Noise
from .rng import Generator, negative, of_sample, rounding_word

OWN = ("coming_valid", "coming_number", "coming_index", "coming_pc", "sum")
"""Ports of the crossbar that stay inside."""


class Engine(wiring.Component):
    """One row of lanes with its matrices, stores and converters.

    ::

        cycle  z      sum_valid, sum_number, sum_index of an element
               z + 2  its value, in accumulator format; its random words

    Parameters
    ----------
    recipe : Recipe
    engine : int

    Members
    -------
    As listed and defined in contract section 7.
    """

    def __init__(self, recipe: Recipe, engine: int):
        self.crossbar = Crossbar(recipe, engine)
        self._recipe, self._table = recipe, table.engines(recipe)[engine]
        self.places = tuple(dict.fromkeys(recipe.place(s) for s in self._table.operations if s.reads))
        accumulator = signed(recipe.formats.accumulator.width)
        ports = {name: member for name, member in self.crossbar.signature.members.items() if name not in OWN}
        ports |= {f"value_{place}": Out(accumulator) for place in self.places}
        super().__init__(
            ports | {"random": Out(3 * RANDOM_BITS), "events_accumulator": Out(1), **({"run": In(32)} if recipe.devices.read_noise else {})}
        )

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        r, f, operations = self._recipe, self._recipe.formats, self._table.operations
        m.submodules.crossbar = crossbar = self.crossbar
        for name, member in crossbar.signature.members.items():
            if name in OWN:
                continue
            mine, inner = getattr(self, name), getattr(crossbar, name)
            if member.is_port:
                m.d.comb += inner.eq(mine) if member.flow is In else mine.eq(inner)
            else:
                wiring.connect(m, wiring.flipped(mine), inner)

        # Random words of the element whose sum leaves in AHEAD cycles: stream and index are those of its matrix and operation
        layers, views = ([getattr(matrix_geometries(r)[s.matrix], name) for s in operations] for name in ("layer", "recipe"))
        element = Cat(crossbar.coming_index, Const(0, ELEMENT_BITS - len(crossbar.coming_index)))
        position: Value = crossbar.coming_pc
        if any(s.repeatable for s in operations):
            again = choose(crossbar.coming_number, [s.repeatable if s.reads else None for s in operations], 1)
            position = Mux(again, 0, position)

        def its(name: str, wait: int) -> Value:
            """Return what a level is for the sample of the element that is coming; a register where there is time for one."""
            level: Value = getattr(self, name)
            ahead = min(wait, 1)
            if "turn" not in self.signature.members:
                return level
            return delayed(m, of_sample(level, self.turn, delayed(m, crossbar.coming_number, wait - ahead)), ahead)

        def generator(name: str, stream: int, step: str, wait: int, position: Value) -> Generator:
            m.submodules[name] = made = Generator(r.key, stream)
            m.d.comb += [
                made.layer.eq(delayed(m, choose(crossbar.coming_number, layers, 4), wait)),
                made.index.eq(delayed(m, Cat(element, position), wait)),
                made.step.eq(its(step, wait)),
            ]
            return made

        words: list[Value] = [Const(0, RANDOM_BITS)] * 4
        if "stochastic" in (r.rounding.accumulator, r.rounding.state, r.rounding.delta):
            drawn = generator("generator", 0x80, "step", AHEAD - Generator.LATENCY, position)
            words = [rounding_word(drawn.x, drawn.y, view) for view in range(4)]
            m.d.comb += self.random.eq(delayed(m, Cat(words[1:]), 2))

        # The sum as it is read
        total = crossbar.sum
        if r.devices.read_noise:
            drawn = generator("noise_generator", 0x90, "run", 0, crossbar.coming_pc)
            m.submodules.noise = noise = Noise(self._table.views[0])  # all are of one weight format
            number = delayed(m, crossbar.coming_number, Generator.LATENCY)
            m.d.comb += [
                noise.x.eq(drawn.x),
                noise.y.eq(drawn.y),
                noise.delta.eq(choose(number, [r.place(s) == "delta" if s.reads else None for s in operations], 1)),
            ]
            total = crossbar.sum + noise.noise

        # Neurons that are shaken: a level with a sign of their own
        levels = [s.noise << v.shake(r.place(s)) + s.gain if s.noise else 0 for v, s in zip(views, operations, strict=True)]
        if any(levels):
            m.submodules.node_signs = drawn = Generator(r.key, 0xD0)
            wait = AHEAD - Generator.LATENCY
            m.d.comb += [
                drawn.layer.eq(delayed(m, choose(crossbar.coming_number, layers, 4), wait)),
                drawn.index.eq(delayed(m, crossbar.coming_index, wait)),
                drawn.step.eq(its("step", wait)),
            ]
            number, width = delayed(m, crossbar.coming_number, AHEAD), max(abs(v) for v in levels).bit_length() + 1
            up, down = (choose(number, [sign * v for v in levels], signed(width)) for sign in (1, -1))
            total = total + Mux(negative(drawn.x, drawn.y, 0), down, up)

        # The grid of the finest weights: others' sums are exact multiples there
        finest, exact = max(v.formats.weight.frac for v in self._table.views), total
        for finer in sorted({finest - v.formats.weight.frac for v in self._table.views} - {0}):
            so = [finest - v.formats.weight.frac == finer if s.reads else None for v, s in zip(views, operations, strict=True)]
            total = either(choose(crossbar.sum_number, so, 1), exact.shift_left(finer), total)

        # Two cycles on: converted sums
        out = {}
        for place in self.places:
            m.submodules[f"converter_{place}"] = converter = Requantize(
                len(total),
                finest + getattr(f, place).frac - f.accumulator.frac,
                f.accumulator.width,
                r.rounding.accumulator,
                r.overflow.accumulator,
            )
            m.d.comb += [converter.value.eq(total), converter.random.eq(words[0]), getattr(self, f"value_{place}").eq(converter.result)]
            out[place] = converter.out_of_range
        valid, number = delayed(m, crossbar.sum_valid, 2), delayed(m, crossbar.sum_number, 2)
        event = Signal()
        for place, flag in out.items():
            of_place = choose(number, [r.place(s) == place if s.reads else None for s in operations], 1)
            with m.If(of_place):
                m.d.comb += event.eq(flag)
        m.d.comb += self.events_accumulator.eq(valid & event)
        return m
