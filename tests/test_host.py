"""The chip behind a serial line, end to end: the RTL's bytes against the twin's, frame by frame (contract section 10)."""

import random
import time
from fractions import Fraction

import numpy as np
import pytest
from amaranth.back import rtlil
from test_link import corrupted

from crossdyad import emulator
from crossdyad.board import port as ports
from crossdyad.emulator import link as twin
from crossdyad.hdl.host import Host
from crossdyad.hdl.link_line import bit
from crossdyad.recipe import Recipe
from crossdyad.recipe.link import VERSION, Error, Link, Tag, fingerprint
from crossdyad.sim import simulators, virtual

RECIPE = Recipe(name="tiny", sizes=[3, 4, 2], lanes=[2, 2], alpha=0.5)
LINK = Link(RECIPE)


class Line:
    """A serial line to the virtual board, and the twin beside it."""

    def __init__(self, name):
        self.twin, self.port = twin.Board(RECIPE, samples=20), ports.connect(RECIPE, name)

    def same(self, data: bytes) -> list[bytes]:
        """Send to both; the answers, which must be equal."""
        expected, got, end = self.twin.receive(data), b"", time.monotonic() + 20
        self.port.write(data)
        while got.count(0) < expected.count(0) and time.monotonic() < end or time.monotonic() < end - 19.95 and not expected:
            got += self.port.read(0.05)
        bodies = [[twin.opened(b) for b in line.split(b"\0")[:-1]] for line in (got, expected)]
        assert got == expected, bodies
        return bodies[0]

    def open(self, session=7):
        return self.same(twin.frame(0, Tag.OPEN, bytes([VERSION]) + fingerprint(RECIPE) + bytes([session])))


@pytest.fixture
def line():
    if reason := simulators.missing("replay"):
        pytest.skip(reason)
    with virtual.running(RECIPE, samples=20) as name:
        line = Line(name)
        line.same(twin.frame(0, Tag.RESET))
        # the twin begins with zeros in memory, the hardware with anything
        line.open()
        for data in loads([np.zeros_like(w) for w in line.twin.chip.weights], 0):
            line.same(data)
        line.same(twin.frame(0, Tag.RESET))
        yield line
        line.port.close()


def train(number, x, label):
    return twin.frame(number, Tag.TRAIN, bytes([label]) + twin.packed(x, 8))


def loads(weights, first):
    """Frames that load weights."""
    flat, width = np.concatenate([w.ravel() for w in weights]), RECIPE.formats.weight.width
    yield twin.frame(first, Tag.LOAD)
    for i in range(0, len(flat), LINK.chunk):
        part = flat[i : i + LINK.chunk]
        yield twin.frame(first + 1 + i // LINK.chunk, Tag.WEIGHTS, twin.packed(np.pad(part, (0, LINK.chunk - len(part))), width))


def test_load_infer_train_and_read_back_equal_the_twin(line):
    rng = np.random.default_rng(5)
    weights = [rng.integers(-(1 << 13), 1 << 13, w.shape).astype(np.int32) for w in emulator.Chip(RECIPE).weights]

    line.same(twin.frame(9, Tag.IDENTIFY))
    line.open()
    n = 0
    for data in loads(weights, 0):
        line.same(data)
        n += 1
    before = [w.copy() for w in line.twin.chip.weights]
    for kind in (Tag.INFER, Tag.TRAIN, Tag.TRAIN, Tag.STEP, Tag.RATE, Tag.TRAIN, Tag.REPORT, Tag.STATUS, Tag.READ, Tag.NOTHING):
        x = rng.integers(-32, 33, 3)
        payload = {
            Tag.INFER: twin.packed(x, 8),
            Tag.TRAIN: bytes([n % 2]) + twin.packed(x, 8),
            Tag.STEP: (0x12345678).to_bytes(4, "little"),
            Tag.RATE: b"\3",
        }.get(kind, b"")
        (body,) = line.same(twin.frame(n, kind, payload))
        assert body[:2] == bytes([n, kind | 0x80])
        n += kind < 0x40
    assert any((a != b).any() for a, b in zip(before, line.twin.chip.weights, strict=True)), "nothing was learned"
    assert line.twin.chip.step == 0x12345679


def test_every_abuse_has_a_reply_that_names_it_and_the_next_good_command_works(line):
    x = np.array([5, -7, 9])

    def refused(bodies, error):
        assert [b[1:3] for b in bodies] == [bytes([0xFF, error])]

    refused(line.same(train(0, x, 1)), Error.CLOSED)
    refused(line.same(twin.frame(0, Tag.OPEN, bytes([VERSION + 1]) + fingerprint(RECIPE) + b"\1")), Error.VERSION)
    refused(line.same(twin.frame(0, Tag.OPEN, bytes([VERSION]) + bytes(8) + b"\1")), Error.RECIPE)
    line.open()
    good, n = train(0, x, 1), 0
    refused(line.same(good[:4] + bytes([good[4] ^ 1]) + good[5:]), Error.FRAME)
    refused(line.same(good[:-3] + b"\0"), Error.FRAME)
    refused(line.same(b"\x01\0"), Error.FRAME)
    refused(line.same(bytes([200]) * 300 + b"\0"), Error.TOO_LONG)
    refused(line.same(twin.frame(0, 0x33)), Error.TAG)
    refused(line.same(twin.frame(0, Tag.TRAIN, b"\1")), Error.LENGTH)
    refused(line.same(train(4, x, 1)), Error.SEQUENCE)
    assert (line.same(b"\0\0" + good))[0][1] == Tag.TRAIN | 0x80
    assert (line.same(good))[0][1] == Tag.TRAIN | 0x80, "the same reply once more"
    assert line.twin.chip.step == 1
    refused(line.same(train(1, x, 2)), Error.LABEL)
    refused(line.same(twin.frame(2, Tag.WEIGHTS, bytes(LINK.requests[Tag.WEIGHTS]))), Error.NOT_LOADING)
    line.same(twin.frame(3, Tag.LOAD))
    for n, tag in enumerate((Tag.LOAD, Tag.READ, Tag.RATE, Tag.STEP, Tag.INFER), 4):
        refused(line.same(twin.frame(n, tag, bytes(LINK.requests[tag]))), Error.LOADING)
    line.same(twin.frame(9, Tag.REPORT))
    line.same(twin.frame(10, Tag.ABORT))
    line.same(train(11, x, 0))
    line.same(twin.frame(12, Tag.READ))
    line.same(twin.frame(0, Tag.RESET))
    refused(line.same(train(13, x, 0)), Error.CLOSED)
    # nobody has to wait for the answer before the first request
    opening = twin.frame(0, Tag.OPEN, bytes([VERSION]) + fingerprint(RECIPE) + b"\7")
    assert [b[1] for b in line.same(opening + train(0, x, 0))] == [Tag.OPEN | 0x80, Tag.TRAIN | 0x80]
    line.same(train(1, x, 0))


@pytest.mark.parametrize("count", [300, pytest.param(20_000, marks=pytest.mark.slow)])
def test_corrupted_frames_change_neither_the_hardware_nor_its_twin(line, count):
    line.open()
    draw, x = random.Random(count), np.array([5, -7, 9])
    for n in range(count):
        bad = corrupted(draw, train(line.twin.next, x, n % 2)) + b"\0"
        line.twin.receive(bad)
        line.port.write(bad)
        line.port.read(0.001)
    while line.port.read(0.3):
        pass
    line.same(twin.frame(1, Tag.STATUS))
    assert line.twin.chip.step < count / 4, "those that nothing has happened to"
    assert line.same(train(line.twin.next, x, 0))[0][1] == Tag.TRAIN | 0x80


def test_a_line_faster_than_the_clock_is_refused():
    assert bit(25e6, 3e6) == Fraction(25, 3)
    with pytest.raises(ValueError, match="baud: .* 3 clock cycles per bit .*4 or more"):
        bit(25e6, 25e6 / 3)


def test_a_board_without_a_sample_memory_has_no_word_for_it():
    assert "samples" not in rtlil.convert(Host(RECIPE, 25e6, 3e6)) and "samples" in rtlil.convert(Host(RECIPE, 25e6, 3e6, 20))
    answer = twin.Board(RECIPE).receive(twin.frame(0, Tag.STORE, bytes(LINK.requests[Tag.STORE])))
    assert twin.opened(answer[:-1])[1:3] == bytes([0xFF, Error.TAG])
    with pytest.raises(ValueError, match="samples: 65536; allowed is 0 to 65535"):
        Host(RECIPE, 25e6, 3e6, 1 << 16)
