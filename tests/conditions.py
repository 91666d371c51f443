"""Conditions that hardware must bear and that a simulator does not make of itself."""

import contextlib
import random
from unittest import mock

from amaranth.hdl import Shape
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.memory import Memory


@contextlib.contextmanager
def anything_in_memories(seed: int):
    """Memories without contents of their own are built with random ones, as silicon has them before the first write."""
    draw, build = random.Random(seed), Memory.__init__

    def value(shape):
        if isinstance(shape, ArrayLayout):
            return [value(shape.elem_shape) for _ in range(shape.length)]
        if isinstance(shape, StructLayout):
            return {name: value(inner) for name, inner in shape.members.items()}
        shape = Shape.cast(shape)
        bits = draw.getrandbits(shape.width)
        return bits - (bits >> shape.width - 1 << shape.width) if shape.signed else bits

    def filled(self, *, shape, depth, init):
        build(self, shape=shape, depth=depth, init=init or [value(shape) for _ in range(depth)])

    with mock.patch.object(Memory, "__init__", filled):
        yield
