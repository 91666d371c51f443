"""Frames of the link: what no noise can pass for, what no bytes can wedge (contract section 10)."""

import random
import zlib

import frames
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdyad.emulator import link
from crossdyad.hdl import link_frames, link_line
from crossdyad.recipe import Recipe, load
from crossdyad.recipe.link import Error, Link, Tag

RECIPE = Recipe(name="tiny", sizes=[3, 4, 2], lanes=[2, 2], alpha=0.5)


@pytest.mark.parametrize(
    ("data", "blocks"),
    [
        (b"", "01"),
        (b"\0", "0101"),
        (b"\0\0", "010101"),
        (b"\x11\x22\0\x33", "0311220233"),
        (b"\x11\0\0\0", "0211010101"),
        (bytes(range(1, 255)), "ff" + bytes(range(1, 255)).hex() + "01"),
        (bytes(range(256)), "01ff" + bytes(range(1, 255)).hex() + "02ff"),
    ],
    ids=range(7),
)
def test_stuffing_by_hand(data, blocks):
    """Examples of the published code (Cheshire and Baker 1999); a last block of 254 may be followed by an empty one."""
    assert link.stuffed(data) == bytes.fromhex(blocks)
    assert link.unstuffed(bytes.fromhex(blocks)) == data


@given(st.binary(max_size=700))
@settings(deadline=None)
def test_stuffing_has_no_zero_and_comes_undone(data):
    assert 0 not in link.stuffed(data) and link.unstuffed(link.stuffed(data)) == data
    assert link.opened(link.frame(3, 200, data)[:-1]) == bytes([3, 200]) + data


@given(st.data())
@settings(deadline=None)
def test_packing_comes_undone(data):
    width = data.draw(st.integers(2, 24))
    values = data.draw(st.lists(st.integers(-(1 << width - 1), (1 << width - 1) - 1), max_size=40))
    raw = link.packed(values, width)
    assert len(raw) == -(-len(values) * width // 8) and link.unpacked(raw, width, len(values)).tolist() == values
    number = sum((v % (1 << width)) << i * width for i, v in enumerate(values))
    assert raw == number.to_bytes(len(raw), "little")


def corrupted(draw: random.Random, data: bytes) -> bytes:
    """A frame as a bad line hands it on: bits flipped, bytes lost, doubled, put in or changed, a stretch lost or of noise."""
    data = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        if not data:
            break
        at, kind = draw.randrange(len(data)), draw.randrange(7)
        if kind == 0:
            data[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del data[at]
        elif kind == 2:
            data.insert(at, data[at])
        elif kind == 3:
            data.insert(at, draw.randrange(256))
        elif kind == 4:
            data[at] = draw.randrange(256)
        elif kind == 5:
            del data[at : at + draw.randrange(2, 20)]
        else:
            data[at : at + 6] = draw.randbytes(6)
    return bytes(data)


def accepted(count: int, seed: int) -> list:
    """Of so many corrupted frames, those that are taken for frames that nobody has sent."""
    draw, wrong = random.Random(seed), []
    for _ in range(count):
        sent = draw.randbytes(draw.choice((2, 3, 12, 71, 180)))
        whole = link.frame(sent[0], sent[1], sent[2:])
        got = corrupted(draw, whole)
        # beside another frame's end, as on the line
        wrong += [part for part in got.split(b"\0") if part and link.opened(part) not in (None, sent)]
    return wrong


def test_corrupted_frames_are_not_accepted():
    assert accepted(10_000, 1) == []
    draw, passed = random.Random(2), 0
    for _ in range(2000):  # the check itself can fail: with a byte of the CRC alone, it does
        body = draw.randbytes(20)
        bad = corrupted(draw, body)
        passed += bad != body and zlib.crc32(bad) & 255 == zlib.crc32(body) & 255
    assert passed


@pytest.mark.slow
def test_a_million_corrupted_frames_are_not_accepted():
    assert accepted(1_000_000, 3) == []


def test_noise_between_frames_loses_no_sample_and_doubles_none():
    """A sender that repeats what has no reply, on a line that loses and changes, against a chip of its own."""
    from crossdyad import emulator

    draw, random_ = random.Random(5), np.random.default_rng(5)
    board, alone = link.Board(RECIPE), emulator.Chip(RECIPE)
    x, y = random_.integers(-32, 33, (40, 3)).astype(np.int32), random_.integers(0, 2, 40)

    def through(data):
        return b"".join(corrupted(draw, data) if draw.random() < 0.2 else data for _ in range(1))

    def ask(number, tag, payload=b""):
        while True:
            for part in through(board.receive(through(b"\0" + link.frame(number, tag, payload)))).split(b"\0"):
                body = link.opened(part) if part else None
                if body and body[:2] == bytes([number, tag | 0x80]):
                    return body

    ask(0, Tag.OPEN, board.identity[:9] + b"\5")
    outputs = [ask(n, Tag.TRAIN, bytes([y[n]]) + link.packed(x[n], 8))[2:4] for n in range(40)]
    expected = alone.train(x, y).outputs
    assert [link.unpacked(o, 8, 2).tolist() for o in outputs] == expected.tolist()
    assert board.chip.step == 40 and all(np.array_equal(a, b) for a, b in zip(board.chip.weights, alone.weights, strict=True))


def test_a_sender_without_credit_is_refused_and_loses_nothing():
    board = link.Board(RECIPE, patient=True)
    board.receive(link.frame(0, Tag.OPEN, board.identity[:9] + b"\5"))
    window = board.link.slots - 1
    for n in range(window):
        assert board.receive(link.frame(n, Tag.NOTHING)) == b""
    full = link.opened(board.receive(link.frame(window, Tag.NOTHING))[:-1])
    assert full[:3] == bytes([window, 0xFF, Error.FULL]) and full[5] & 15 == 0
    assert board.play().count(b"\0") == window
    assert link.opened(board.receive(link.frame(0, Tag.OPEN, board.identity[:9] + b"\5"))[:-1])[1] == Tag.OPEN | 0x80


@pytest.mark.parametrize("name", ["digits", "digits-deep", "xor", "mnist"])
def test_every_frame_fits_its_slot(name):
    sizes = Link(load(name))
    longest = max(max(sizes.requests.values()), max(sizes.replies.values()) + 7)
    assert longest + 6 <= sizes.slot - 64 and sizes.slot & sizes.slot - 1 == 0 and 4 <= sizes.slots <= 8
    assert sizes.chunk % 8 == 0 and sizes.slots * sizes.slot <= max(2048, 4 * sizes.slot)


@pytest.mark.parametrize(("length", "longest"), [(253, 253), (254, 254), (253, 300), (254, 300), (255, 300)])
def test_hardware_frames_around_a_full_block_are_the_emulators(length, longest):
    """A frame without a zero, its CRC included: one of 254 bytes has a full block, and an empty one behind it."""
    body = frames.no_zero(length)
    wanted = link.frame(body[0], body[1], body[2:])
    assert len(wanted) == length + 2 + (length >= 254)
    assert frames.sent(link_frames, longest, [body]) == [wanted]


@given(st.data())
@settings(deadline=None, max_examples=20)
def test_hardware_sends_and_takes_the_emulators_frames(data):
    longest = data.draw(st.integers(6, 40))
    body = st.lists(st.sampled_from((0, 0, 1, 2, 255)), min_size=2, max_size=longest - 4).map(bytes)
    bodies = data.draw(st.lists(body, min_size=1, max_size=4))
    wanted = [link.frame(b[0], b[1], b[2:]) for b in bodies]
    assert frames.sent(link_frames, longest, bodies) == wanted
    line = b"".join(wanted) + data.draw(st.binary(max_size=20)) + b"\0" + wanted[0]
    assert frames.taken(link_frames, link_line, line) == [link.opened(part) for part in line.split(b"\0") if part]


def test_hardware_takes_corrupted_frames_for_none():
    assert frames.faults_of(link_frames, link_line) == []
