"""The frames of the link to a board as data: tags, errors, lengths (contract section 10)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from .geometry import geometries, in_memory
from .recipe import Recipe

VERSION = 1
"""Version of the protocol."""
CONTROL_ROOM = 64
"""Bytes at the end of a slot that no request takes: in slot 0 the answer to a control frame is made there."""
OVERHEAD = 6
"""Bytes of a frame beside its payload: sequence number, tag, CRC-32."""
STATUS = 7
"""Bytes of the status that ends every frame from the board: session, next, state, step (4)."""
REPLY, ERROR = 0x80, 0xFF
"""Added to a request's tag in its reply; the tag of an error."""


class Tag(IntEnum):
    """Requests of frames to the board; from `IDENTIFY` on one is answered at once, before that in its turn."""

    INFER = 0
    TRAIN = 1
    LOAD = 2
    READ = 3
    RATE = 4
    STEP = 5
    RUN = 6
    NOTHING = 7
    WEIGHTS = 8
    REPORT = 9
    ABORT = 10
    STORE = 11
    TRAIN_STORED = 12
    IDENTIFY = 0x40
    STATUS = 0x41
    OPEN = 0x42
    RESET = 0x43


class Error(IntEnum):
    """Why a frame was not taken (below 16), or was taken and changed nothing."""

    FRAME = 1
    TOO_LONG = 2
    TAG = 3
    LENGTH = 4
    SEQUENCE = 5
    FULL = 6
    CLOSED = 7
    VERSION = 8
    RECIPE = 9
    BUSY = 10
    LABEL = 16
    LOADING = 17
    READING = 18
    NOT_LOADING = 19
    NUMBER = 20


def bytes_of(bits: int) -> int:
    """Bytes that hold `bits` bits."""
    return -(-bits // 8)


@dataclass(frozen=True)
class Link:
    """Lengths in bytes and counts of a recipe's frames.

    Attributes
    ----------
    label, sample, outputs, loss : int
        Bytes of a label, of a sample and of a program's outputs, packed, and of the loss.
    weights, chunk : int
        Weights of the chip, and of a frame of them.
    numbers : int
        Numbers of stored samples in a frame.
    slot, slots : int
        Bytes of a frame's buffer on the board, and how many there are.
    requests, replies : dict of Tag to int
        Payload bytes; those of replies without the status.
    """

    recipe: Recipe

    @cached_property
    def label(self) -> int:
        return bytes_of((self.recipe.sizes[-1] - 1).bit_length() or 1)

    @cached_property
    def sample(self) -> int:
        return bytes_of(self.recipe.sizes[0] * self.recipe.formats.state.width)

    @cached_property
    def outputs(self) -> int:
        return bytes_of(self.recipe.sizes[-1] * self.recipe.formats.state.width)

    @cached_property
    def loss(self) -> int:
        return bytes_of(geometries(self.recipe)[-1].loss_width)

    @cached_property
    def report(self) -> int:
        return 6 + 16 + 1 + self.loss  # cycles, four counters of range events, rate, loss

    @cached_property
    def weights(self) -> int:
        return sum(g.R * g.C for g in in_memory(self.recipe))

    @cached_property
    def slot(self) -> int:
        width = self.recipe.weight_width
        longest = OVERHEAD + max(2 + self.label + self.sample, self.outputs + self.loss + STATUS, self.report + STATUS, width + STATUS)
        return 1 << (longest + CONTROL_ROOM - 1).bit_length()

    @cached_property
    def slots(self) -> int:
        return min(8, max(4, 2048 // self.slot))

    @cached_property
    def chunk(self) -> int:
        width = self.recipe.weight_width
        most = (self.slot - CONTROL_ROOM - OVERHEAD - STATUS) // width
        return 8 * min(most, bytes_of(self.weights))

    @cached_property
    def numbers(self) -> int:
        return min(255, (self.slot - CONTROL_ROOM - OVERHEAD - 1) // 2)

    @cached_property
    def requests(self) -> dict[Tag, int]:
        lengths = dict.fromkeys(Tag, 0)
        return lengths | {
            Tag.INFER: self.sample,
            Tag.TRAIN: self.label + self.sample,
            Tag.RATE: 1,
            Tag.STEP: 4,
            Tag.RUN: 4,
            Tag.WEIGHTS: self.chunk * self.recipe.weight_width // 8,
            Tag.OPEN: 10,
            Tag.STORE: 2 + self.label + self.sample,
            Tag.TRAIN_STORED: 1 + 2 * self.numbers,
        }

    @cached_property
    def replies(self) -> dict[Tag, int]:
        lengths = dict.fromkeys(Tag, 0)
        return lengths | {
            Tag.INFER: self.outputs + self.loss,
            Tag.TRAIN: self.outputs + self.loss,
            Tag.REPORT: self.report,
            Tag.READ: self.chunk * self.recipe.weight_width // 8,
            Tag.IDENTIFY: len(self.identity(0, 0)),
        }

    def identity(self, clock: float, baud: float, samples: int = 0) -> bytes:
        """Return what a board says of itself: version, recipe, clock in Hz, bits per second, slots, bytes of a slot, samples kept."""
        return (
            bytes([VERSION])
            + fingerprint(self.recipe)
            + round(clock).to_bytes(4, "little")
            + round(baud).to_bytes(4, "little")
            + bytes([self.slots])
            + self.slot.to_bytes(2, "little")
            + samples.to_bytes(2, "little")
        )


def fingerprint(recipe: Recipe) -> bytes:
    """Return eight bytes that say which chip this is: equal for recipes that make the same hardware."""
    return hashlib.sha256(recipe.as_built.model_dump_json(exclude={"name", "training"}).encode()).digest()[:8]
