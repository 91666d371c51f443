"""The link's twin: frames as bytes, and a board that plays them on the emulated chip (contract section 10)."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import ArrayLike

from ..recipe import Recipe, in_memory
from ..recipe.link import CONTROL_ROOM, ERROR, REPLY, VERSION, Error, Link, Tag, fingerprint
from . import fixed
from .chip import Chip

# Frames -----------------------------------------------------------------------------------------------------


def stuffed(data: bytes) -> bytes:
    """Consistent overhead byte stuffing: `data` without zeros, each block behind its length."""
    blocks = bytearray()
    for part in data.split(b"\0"):
        while len(part) >= 254:
            blocks += b"\xff" + part[:254]
            part = part[254:]
        blocks += bytes([len(part) + 1]) + part
    return bytes(blocks)


def walked(blocks: bytes) -> tuple[bytes, bool]:
    """Undo `stuffed`; whether the last block is whole."""
    data, at, zero, whole = bytearray(), 0, False, True
    while at < len(blocks):
        length = blocks[at]
        part = blocks[at + 1 : at + length]
        data += b"\0" * zero + part
        whole, zero, at = len(part) == length - 1, length != 255, at + length
    return bytes(data), whole


def unstuffed(blocks: bytes) -> bytes | None:
    """Undo `stuffed`; None if the last block is cut short."""
    data, whole = walked(blocks)
    return data if whole else None


def frame(number: int, tag: int, payload: bytes = b"") -> bytes:
    """Return the bytes of the line for a frame, its closing zero included."""
    body = bytes([number, tag]) + payload
    return stuffed(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"


def opened(blocks: bytes) -> bytes | None:
    """Return number, tag and payload of what stood between two zeros, or None if that was no frame."""
    body = unstuffed(blocks)
    if body is None or len(body) < 6 or zlib.crc32(body[:-4]).to_bytes(4, "little") != body[-4:]:
        return None
    return body[:-4]


def packed(values: ArrayLike, width: int) -> bytes:
    """Integers side by side, `width` bits each, the first lowest; the last byte is filled with zeros."""
    bits = (np.asarray(values, np.int64).reshape(-1, 1) >> np.arange(width)) & 1
    return np.packbits(bits.astype(np.uint8).ravel(), bitorder="little").tobytes()


def unpacked(data: bytes, width: int, count: int) -> np.ndarray:
    """Undo `packed`: signed integers, int32 (count,)."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[: width * count].reshape(count, width)
    values = bits.astype(np.int64) @ (np.int64(1) << np.arange(width, dtype=np.int64))
    return (values - (bits[:, -1].astype(np.int64) << width)).astype(np.int32)


# The board --------------------------------------------------------------------------------------------------


class Board:
    """A board in software: bytes of the line in, bytes of the line out.

    Parameters
    ----------
    recipe : Recipe
    clock, baud : float
        Frequency and rate of the line that it tells.
    samples : int
        That it keeps beside the chip.
    patient : bool
        Accepted frames wait for `play`; by default each is played as it comes.
    """

    def __init__(self, recipe: Recipe, clock: float = 25e6, baud: float = 3e6, samples: int = 0, patient: bool = False):
        self.recipe, self.link = recipe, Link(recipe)
        self.identity, self.patient = self.link.identity(clock, baud, samples), patient
        self.chip = Chip(recipe)
        self.chip._load([np.zeros((g.R, g.C), np.int32) for g in in_memory(recipe)], guarded=False)
        self.line, self.samples = bytearray(), samples
        self.kept: dict[int, tuple[np.ndarray, int]] = {}
        self._forget()

    def _forget(self) -> None:
        self.session = self.next = 0
        self.waiting: list[tuple[int, Tag, bytes]] = []
        self.replies: dict[int, bytes] = {}
        self.loading: list[np.ndarray] | None = None
        self.reading: np.ndarray | None = None

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the line; return those that the board sends."""
        *ended, rest = bytes(self.line + data).split(b"\0")
        self.line = bytearray(rest)
        return b"".join(self._judge(blocks) for blocks in ended if blocks)

    def play(self) -> bytes:
        """Play the accepted frames; return the replies."""
        answer = b""
        while self.waiting:
            number, tag, payload = self.waiting.pop(0)
            kind, body = self._play(tag, payload)
            self.replies[number] = bytes([number, kind]) + body
            answer += self._sent(self.replies[number], played=True)
        return answer

    def _status(self) -> bytes:
        flags = 2 * (self.loading is not None) + 4 * (self.reading is not None)
        return bytes([self.session, self.next, self._credits() | flags << 4]) + self.chip.step.to_bytes(4, "little")

    def _credits(self) -> int:
        return self.link.slots - 1 - len(self.waiting)

    def _sent(self, body: bytes, played: bool = False) -> bytes:
        if played:
            # the frame still holds its buffer while its reply is written
            status = bytearray(self._status())
            status[2] -= 1
            body += bytes(status)
            self.replies[body[0]] = body
        return frame(body[0], body[1], body[2:])

    def _error(self, number: int, error: Error) -> bytes:
        return self._sent(bytes([number, ERROR, error]) + self._status())

    def _judge(self, blocks: bytes) -> bytes:
        if len(walked(blocks)[0]) > self.link.slot - CONTROL_ROOM:
            return self._error(0, Error.TOO_LONG)
        body = opened(blocks)
        if body is None:
            return self._error(0, Error.FRAME)
        number, tag, payload = body[0], body[1], body[2:]
        if tag not in list(Tag) or tag in (Tag.STORE, Tag.TRAIN_STORED) and not self.samples:
            return self._error(number, Error.TAG)
        if len(payload) != self.link.requests[Tag(tag)]:
            return self._error(number, Error.LENGTH)
        if tag >= Tag.IDENTIFY:
            return self._at_once(number, Tag(tag), payload)
        if self.session == 0:
            return self._error(number, Error.CLOSED)
        age = (self.next - number) % 256
        if age == 0:
            if self._credits() == 0:
                return self._error(number, Error.FULL)
            self.next = (self.next + 1) % 256
            self.waiting.append((number, Tag(tag), payload))
            self.replies.pop((number - self.link.slots) % 256, None)
            return b"" if self.patient else self.play()
        if age >= self.link.slots:
            return self._error(number, Error.SEQUENCE)
        again = [(number + i) % 256 for i in range(age)]
        return b"".join(self._sent(self.replies[n]) for n in again if n in self.replies and len(self.waiting) < age)

    def _at_once(self, number: int, tag: Tag, payload: bytes) -> bytes:
        body = bytes([number, tag | REPLY])
        if tag == Tag.IDENTIFY:
            return self._sent(body + self.identity + self._status())
        if tag == Tag.OPEN:
            if payload[0] != VERSION:
                return self._error(number, Error.VERSION)
            if payload[1:9] != fingerprint(self.recipe):
                return self._error(number, Error.RECIPE)
            if self.waiting:
                return self._error(number, Error.BUSY)
            self.session, self.next, self.replies = payload[9], 0, {}
        elif tag == Tag.RESET:
            weights = self.chip.weights
            self._forget()
            self.chip = Chip(self.recipe)
            self.chip._load(weights, guarded=False)
        return self._sent(body + self._status())

    def _play(self, tag: Tag, payload: bytes) -> tuple[int, bytes]:
        link, chip, r = self.link, self.chip, self.recipe
        state, weight = r.formats.state.width, r.weight_width
        always = (Tag.ABORT, Tag.REPORT, Tag.NOTHING)
        if self.loading is not None and tag not in (Tag.WEIGHTS, *always):
            return ERROR, bytes([Error.LOADING])
        if self.reading is not None and tag not in (Tag.READ, *always):
            return ERROR, bytes([Error.READING])
        body = b""
        if tag in (Tag.INFER, Tag.TRAIN):
            x = unpacked(payload[-link.sample :], state, r.sizes[0])[None]
            if tag == Tag.TRAIN:
                label = int.from_bytes(payload[: link.label], "little")
                if label >= r.sizes[-1]:
                    return ERROR, bytes([Error.LABEL])
                outputs = chip.train(x, np.array([label])).outputs
            else:
                outputs = chip.infer(x)
            body = packed(outputs[0], state) + self._loss()
        elif tag == Tag.STORE:
            number, label = int.from_bytes(payload[:2], "little"), int.from_bytes(payload[2 : 2 + link.label], "little")
            if number >= self.samples:
                return ERROR, bytes([Error.NUMBER])
            if label >= r.sizes[-1]:
                return ERROR, bytes([Error.LABEL])
            self.kept[number] = unpacked(payload[-link.sample :], state, r.sizes[0]), label
        elif tag == Tag.TRAIN_STORED:
            numbers = [int.from_bytes(payload[1 + 2 * i : 3 + 2 * i], "little") for i in range(min(payload[0], link.numbers))]
            if payload[0] > link.numbers or any(n >= self.samples for n in numbers):
                return ERROR, bytes([Error.NUMBER])
            zero = np.zeros(r.sizes[0], np.int32), 0  # memory holds anything; here zeros
            if numbers:
                x, y = zip(*(self.kept.get(n, zero) for n in numbers), strict=True)
                for sample, label in zip(x, y, strict=True):  # each when the one before has ended
                    chip.train(sample[None], np.array([label]))
        elif tag == Tag.LOAD:
            self.loading = []
        elif tag == Tag.WEIGHTS:
            if self.loading is None:
                return ERROR, bytes([Error.NOT_LOADING])
            self.loading.append(unpacked(payload, weight, link.chunk))
            if sum(map(len, self.loading)) >= link.weights:
                self._loaded()
        elif tag == Tag.READ:
            if self.reading is None:
                self.reading = np.concatenate([w.ravel() for w in chip.weights])
            some, self.reading = self.reading[: link.chunk], self.reading[link.chunk :]
            body = packed(np.pad(some, (0, link.chunk - len(some))), weight)
            if not len(self.reading):
                self.reading = None
        elif tag == Tag.RATE:
            chip.rate = payload[0] & 7
        elif tag in (Tag.STEP, Tag.RUN):
            chip.restore(chip.state() | {tag.name.lower(): np.uint32(int.from_bytes(payload, "little"))})
        elif tag == Tag.REPORT:
            counters = b"".join(int(chip.saturations[n]).to_bytes(4, "little") for n in ("accumulator", "state", "delta", "weight"))
            body = chip.cycles.to_bytes(6, "little") + counters + bytes([chip.rate]) + self._loss()
        elif tag == Tag.ABORT:
            if self.loading is not None:
                self._loaded()
            self.reading = None
        return tag | REPLY, body

    def _loss(self) -> bytes:
        return int(self.chip.loss).to_bytes(self.link.loss, "little", signed=True)

    def _loaded(self) -> None:
        """Put what was loaded into the chip; the rest is zero."""
        given = np.concatenate([*(self.loading or ()), np.zeros(self.link.weights, np.int32)])
        weights = []
        for g in in_memory(self.recipe):
            weights.append(fixed.wrap(given[: g.R * g.C].reshape(g.R, g.C), g.recipe.formats.weight.width))
            given = given[g.R * g.C :]
        self.loading = None
        self.chip._load(weights, guarded=False)
