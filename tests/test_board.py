"""The driver: the emulator's methods on a board, over lines that lose and spoil what they carry (contract section 10)."""

import json
import os
import random
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from test_link import corrupted
from typer.testing import CliRunner

from crossdyad import board, emulator
from crossdyad.board import port as ports
from crossdyad.board import session
from crossdyad.cli import app
from crossdyad.emulator import link as twin
from crossdyad.recipe import RULES, Devices, Recipe, in_memory, load
from crossdyad.recipe.link import Link, Tag
from crossdyad.sim import simulators, virtual

TINY = Recipe(name="tiny", sizes=[3, 4, 2], lanes=[2, 2], alpha=0.5)
KEPT = 20
NOISY = TINY.model_copy(update={"devices": Devices(read_noise=0.05)})


class Bad(ports.Emulated):
    """A line to the twin that spoils a share of its writes and reads."""

    def __init__(self, board, share, seed):
        super().__init__(board)
        self.share, self.draw = share, random.Random(seed)

    def spoiled(self, data):
        return corrupted(self.draw, data) if data and self.draw.random() < self.share else data

    def write(self, data):
        super().write(self.spoiled(data))

    def read(self, seconds):
        return self.spoiled(super().read(seconds))


def samples(recipe, count, seed=3):
    rng = np.random.default_rng(seed)
    return rng.integers(-60, 61, (count, recipe.sizes[0])).astype(np.int32), rng.integers(0, recipe.sizes[-1], count)


def same(a, b):
    a, b = a.state(), b.state()
    assert a.keys() == b.keys()
    for name in a:
        assert np.array_equal(a[name], b[name]) and np.asarray(a[name]).dtype == np.asarray(b[name]).dtype, name


def exercised(chip, recipe, count=30):
    """Do on a board's chip what is done on an emulated one; they must agree in everything that they show."""
    alone, (x, y) = emulator.Chip(recipe), samples(recipe, count)
    chip.restore(alone.state())
    for c in (chip, alone):
        c.weights = emulator.initial_weights(recipe)
        c.rate = 3
    for a, b in zip(chip.train(x, y), alone.train(x, y), strict=True):
        assert np.array_equal(a, b) and a.dtype == b.dtype and a.shape == b.shape
    assert np.array_equal(chip.infer(x), alone.infer(x))
    same(chip, alone)
    kept = alone.state()
    for c in (chip, alone):
        c.train(x, y)
        c.restore(kept)
        c.train(x[:5], y[:5])
    same(chip, alone)


def stored(chip, recipe):
    """Train on samples that the board keeps, in an order that takes more than a frame."""
    alone, (x, y) = emulator.Chip(recipe), samples(recipe, KEPT)
    alone.restore(chip.state())
    order = np.random.default_rng(4).integers(0, KEPT, 3 * chip.session.link.numbers // 2)
    chip.store(x, y)
    chip.train_stored(order)
    alone.train(x[order], y[order])
    same(chip, alone)
    room = chip.session.identity.samples
    frame = bytes([2]) + np.pad(np.array([0, room]), (0, chip.session.link.numbers - 2)).astype("<u2").tobytes()
    with pytest.raises(board.BoardError, match="train_stored was refused: number"):
        chip.session.ask(Tag.TRAIN_STORED, frame)
    same(chip, alone)
    with pytest.raises(ValueError, match=f"the board's memory holds {room}"):
        chip.store(np.zeros((room + 1, recipe.sizes[0])), np.zeros(room + 1, int))
    with pytest.raises(ValueError, match=f"order: allowed are whole numbers from 0 to {KEPT - 1}"):
        chip.train_stored([KEPT])


@pytest.mark.parametrize("rule", RULES)
def test_a_board_plays_every_rule(rule):
    """Also those with matrices beside the layers' weights, which are loaded and read as well."""
    recipe = Recipe(name="tiny", sizes=[3, 4, 3, 2], lanes=[2, 2, 1], alpha=0, rule=rule)
    with board.Chip(recipe, "emulator://") as chip:
        assert chip.session.link.weights == sum(g.R * g.C for g in in_memory(recipe))
        exercised(chip, recipe, 12)


@pytest.mark.parametrize("recipe", [TINY, NOISY, load("xor")], ids=["tiny", "noisy", "xor"])
def test_a_chip_on_a_board_is_the_emulator(recipe):
    with board.Chip(recipe, "emulator://") as chip:
        exercised(chip, recipe)
        stored(chip, recipe)
        assert chip.infer(np.zeros((0, 3))).shape == (0, 2)
        with pytest.raises(ValueError, match="label 9; allowed is 0 to 1"):
            chip.train(np.zeros((1, 3)), [9])
        with pytest.raises(ValueError, match="weights: 1 arrays"):
            chip.weights = [np.zeros((4, 3), np.int32)]


@pytest.mark.parametrize("seed", range(4))
def test_a_bad_line_loses_and_doubles_nothing(monkeypatch, seed):
    monkeypatch.setattr(session, "FIRST_WAIT", 0.001)
    monkeypatch.setattr("crossdyad.board.chip.connect", lambda r, url, baud: Bad(twin.Board(r), 0.2, seed))
    with board.Chip(TINY, "emulator://") as chip:
        exercised(chip, TINY)


def test_training_on_a_board_is_training_on_the_emulator(monkeypatch):
    monkeypatch.setattr(ports, "KEPT", 0)
    x, y = samples(TINY, 70)
    given = (x, y, x[:20], y[:20])
    with board.Chip(TINY, "emulator://") as chip:
        chip.train(x, y)  # whatever it held before
        on = emulator.train(TINY, *given, epochs=2, chip=chip)
    alone = emulator.train(TINY, *given, epochs=2, engine="numpy")
    assert all(np.array_equal(a, b) for a, b in zip(on.weights, alone.weights, strict=True))
    assert (on.cycles, on.saturations) == (alone.cycles, alone.saturations)
    assert [{k: float(v) for k, v in e.items()} for e in on.epochs] == [{k: float(v) for k, v in e.items()} for e in alone.epochs]
    with pytest.raises(ValueError, match="chip: trained as it is"):
        emulator.train(TINY, *given, epochs=1, chip=chip, seeds=[1, 2])


@pytest.mark.parametrize(
    ("room", "told"),
    [
        (4, "the 4 training samples are kept in the board's memory"),
        (3, "each training sample goes over the line, as the board keeps 3 of the 4"),
    ],
)
def test_training_says_whether_the_board_keeps_the_samples(room, told, tmp_path, monkeypatch):
    monkeypatch.setattr(ports, "KEPT", room)
    done = CliRunner().invoke(app, ["train", "xor", "--on", "emulator://", "--compare", "--epochs", "1", "-o", str(tmp_path), "--json"])
    assert done.exit_code == 0 and told in done.output and "every weight and the cycles equal the emulator's" in done.output
    assert (json.loads(done.stdout)["loss"] is None) == (room == 4)


def test_a_frame_that_is_played_for_longer_than_the_patience_is_waited_for():
    """Of many stored samples: the board says meanwhile that it is there."""
    machine = twin.Board(TINY)
    line, begin, held = ports.Emulated(machine), time.monotonic(), bytearray()
    talk = session.Session(TINY, line, patience=0.3)
    receive = machine.receive

    def slowly(data):
        out = receive(data)
        for body in filter(None, map(twin.opened, filter(None, out.split(b"\0")))):
            if body[1] == Tag.NOTHING | 0x80 and time.monotonic() < begin + 1.5:
                continue
            held.extend(twin.frame(body[0], body[1], body[2:]))
        out = bytes(held)
        held.clear()
        return out

    talk.ask(Tag.REPORT)
    begin, machine.receive = time.monotonic(), slowly
    talk.ask(Tag.NOTHING)
    assert time.monotonic() - begin > 1.4


# Bad input --------------------------------------------------------------------------------------------------


def test_what_is_no_board_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "PATIENCE", 0.2)
    with pytest.raises(board.BoardError, match=r"/dev/nothing: cannot be opened .*ports here"):
        board.Chip(TINY, "/dev/nothing")
    with pytest.raises(board.BoardError, match="allowed are a device"):
        board.Chip(TINY, "nonsense://x")
    master, slave = os.openpty()
    silent = os.ttyname(slave)
    with pytest.raises(board.BoardError, match="no board answers for"):
        session.Session(TINY, ports.connect(TINY, silent), patience=0.2)
    held = ports.connect(TINY, silent)
    with pytest.raises(board.BoardError, match="in use by another program"):
        ports.connect(TINY, silent)
    held.close()
    os.close(master)
    os.close(slave)


def test_another_chip_or_version_is_told(monkeypatch):
    other = twin.Board(load("xor"))
    with pytest.raises(board.BoardError, match=r"another chip \([0-9a-f]{16}\) than tiny"):
        session.Session(TINY, ports.Emulated(other))
    newer = twin.Board(TINY)
    newer.identity = b"\2" + newer.identity[1:]
    with pytest.raises(board.BoardError, match="version 2 of the link, this program 1"):
        session.Session(TINY, ports.Emulated(newer))


def test_a_board_that_dies_or_is_reset_says_what_was_applied():
    machine, x_y = twin.Board(TINY), samples(TINY, 3)
    line = ports.Emulated(machine)
    talk = session.Session(TINY, line, patience=0.2)
    frames = [(Tag.TRAIN, bytes([label]) + twin.packed(row, 8)) for row, label in zip(*x_y, strict=True)]
    list(talk.play(frames))
    machine.receive(twin.frame(0, Tag.RESET))
    with pytest.raises(board.BoardReset, match="was reset, or another program has opened it"):
        talk.ask(Tag.NOTHING)
    talk = session.Session(TINY, line, patience=0.2)
    list(talk.play(frames))
    line.write = lambda data: None
    with pytest.raises(board.BoardError, match="no reply for 0.2 s; the last step that it told is 3"):
        talk.ask(Tag.NOTHING)


def test_a_load_that_was_left_is_ended_by_the_next_session():
    machine = twin.Board(TINY)
    session.Session(TINY, ports.Emulated(machine)).ask(Tag.LOAD)
    assert not session.Session(TINY, ports.Emulated(machine)).status.loading


# The virtual board ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def program():
    if reason := simulators.missing("replay"):
        pytest.skip(reason)
    return virtual.build(TINY, samples=KEPT)


def test_a_board_that_is_built_starts_without_its_verilog(program, monkeypatch):
    """Another one, whose rule is a user's that may have changed, or that was asked for otherwise, does not."""
    monkeypatch.setattr(virtual, "top", lambda *_: pytest.fail("Verilog was made"))
    assert virtual.build(TINY, samples=KEPT) == program
    own = TINY.model_copy(update={"rule": "package.module:function"})
    for other in (
        lambda: virtual.build(TINY, samples=KEPT + 1),
        lambda: virtual.build(TINY, "orangecrab", samples=KEPT),
        lambda: virtual.build(TINY.model_copy(update={"beta": 0.5}), samples=KEPT),
        lambda: virtual.build(own, samples=KEPT),
    ):
        with pytest.raises(pytest.fail.Exception, match="Verilog was made"):
            other()


@pytest.mark.parametrize("faults", [0.0, 3e-3])
def test_the_virtual_board_is_the_emulator_on_any_line(program, faults):
    with virtual.running(TINY, faults=faults, samples=KEPT) as port, board.Chip(TINY, port) as chip:
        exercised(chip, TINY)
        stored(chip, TINY)


SCRIPT = """
import random, sys, time, os, termios, tty, zlib
# knows contract section 10 alone
def frame(number, tag, payload=b""):
    body = bytes([number, tag]) + payload
    body += zlib.crc32(body).to_bytes(4, "little")
    return b"".join(bytes([len(part) + 1]) + part for part in body.split(b"\\0")) + b"\\0"
def ask(number, tag, payload=b""):
    os.write(port, frame(number, tag, payload))
    while (out := come())[:2] != bytes([number, tag | 0x80]):        # what was on its way to another program
        pass
    return out[:-4]
def come():
    got = b""
    while not got.endswith(b"\\0"):
        got += os.read(port, 1)
    out, at = b"", 0
    while at < len(got) - 1:
        out += b"\\0" * (at > 0) + got[at + 1:at + got[at]]
        at += got[at]
    return out if zlib.crc32(out[:-4]).to_bytes(4, "little") == out[-4:] else come()
port = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
tty.setraw(port)
identity = ask(9, 0x40)[2:]
assert ask(9, 0x42, identity[:9] + b"\\x05")[1] == 0xC2
for n in range(3):
    reply = ask(n, 1, bytes([1, 40, 216, 7]))
print(int.from_bytes(reply[-4:], "little"), list(reply[2:4]))
"""


def test_a_script_that_knows_the_contract_alone_trains_the_board(program, tmp_path):
    (tmp_path / "second.py").write_text(textwrap.dedent(SCRIPT))
    with virtual.running(TINY, samples=KEPT) as port:
        with board.Chip(TINY, port) as chip:
            alone = emulator.Chip(TINY)
            for c in (chip, alone):
                c.restore(emulator.Chip(TINY).state())
                c.weights = emulator.initial_weights(TINY)
        done = subprocess.run([sys.executable, tmp_path / "second.py", port], capture_output=True, text=True, timeout=60)
    outputs = alone.train(np.array([[40, -40, 7]] * 3, np.int32), np.ones(3, int)).outputs[-1]
    assert done.stdout.strip() == f"3 {[int(v) % 256 for v in outputs]}", done.stderr


@pytest.mark.slow
def test_random_bytes_on_a_bad_line_do_not_wedge_the_board_nor_change_it(program):
    with virtual.running(TINY, faults=1e-3, samples=KEPT) as name:
        with board.Chip(TINY, name) as chip:
            chip.weights = emulator.initial_weights(TINY)
            before = chip.state()
        line = ports.connect(TINY, name)
        draw, end = random.Random(1), time.monotonic() + 60
        while time.monotonic() < end:
            line.write(draw.choice((draw.randbytes(300), twin.frame(draw.randrange(256), draw.randrange(0x42), draw.randbytes(4))[:-2])))
            line.read(0.01)
        line.close()
        with board.Chip(TINY, name) as chip:
            after = chip.state()
    assert all(np.array_equal(before[k], after[k]) for k in before)


# Commands ---------------------------------------------------------------------------------------------------


def test_the_commands_test_a_board_and_train_on_it(tmp_path):
    done = CliRunner().invoke(app, ["board", "xor", "--on", "emulator://"])
    assert done.exit_code == 0 and "20 inferences equal the emulator's" in done.output
    done = CliRunner().invoke(app, ["train", "xor", "--on", "emulator://", "--compare", "--epochs", "1", "-o", str(tmp_path)])
    assert done.exit_code == 0 and "every weight and the cycles equal the emulator's" in done.output
    for words, told in (
        (["board", "xor", "--on", "/dev/nothing"], "cannot be opened"),
        (["board", "xor", "--faults", "0.1"], "only with --virtual"),
        (["train", "xor", "--compare"], "only with --on"),
        (["board", "xor", "--virtual", "--faults", "1"], "faults: 1; allowed"),
    ):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 2 and told in done.output, (words, done.output)


def test_every_reply_of_the_twin_has_the_length_that_is_told():
    sizes, machine = Link(TINY), twin.Board(TINY, samples=4)
    machine.receive(twin.frame(0, Tag.OPEN, machine.identity[:9] + b"\5"))
    number = 0
    for tag in Tag:
        if tag in (Tag.OPEN, Tag.RESET, Tag.WEIGHTS, Tag.LOAD):
            continue
        body = twin.opened(machine.receive(twin.frame(number, tag, bytes(sizes.requests[tag])))[:-1])
        assert body[1] == tag | 0x80 and len(body) == 2 + sizes.replies[tag] + 7, tag
        number += tag < 0x40
