"""A driver that is killed goes on after the last step that the board applied: nothing is trained twice, nothing left out."""

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdyad import board, emulator
from crossdyad.board import chip as board_chip
from crossdyad.board import port as ports
from crossdyad.board.journal import Journal, Mark
from crossdyad.emulator import link as twin
from crossdyad.recipe import Recipe
from crossdyad.recipe.link import Tag

TINY = Recipe(name="tiny", sizes=[3, 4, 2], lanes=[2, 2], alpha=0.5)
SAMPLES, EPOCHS = 30, 2


class Killed(BaseException):
    """As from a signal: nothing in between takes it for an error of its own."""


class Line(ports.Emulated):
    """A line to a board that outlives it, cut after so many frames."""

    def __init__(self, machine, frames):
        super().__init__(machine)
        self.left = frames

    def write(self, data):
        *frames, rest = data.split(b"\0")
        for frame in [f + b"\0" for f in frames if f] + ([rest] if rest else []):
            super().write(frame)
            self.left -= 1
            if not self.left:
                raise Killed
        return len(data)


def drive(machine, frames, folder, epochs=EPOCHS):
    """Train until `frames` frames have been sent; the history, or None if that was before the end."""
    x, y = data()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(board_chip, "connect", lambda *_: Line(machine, frames))
        try:
            with board.Chip(TINY, "emulator://", journal=folder / "tiny.journal") as chip:
                return emulator.train(TINY, x, y, x[:5], y[:5], epochs=epochs, chip=chip, checkpoint=folder / "kept.npz")
        except Killed:
            return None


def data():
    rng = np.random.default_rng(3)
    return rng.integers(-60, 61, (SAMPLES, 3)).astype(np.int32), rng.integers(0, 2, SAMPLES)


X, Y = data()
MACHINE = twin.Board(TINY)
with tempfile.TemporaryDirectory() as here:
    drive(MACHINE, 10**6, Path(here))
UNDISTURBED = MACHINE.chip.cycles
ALONE = emulator.train(TINY, X, Y, X[:5], Y[:5], epochs=EPOCHS, engine="numpy")


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(12, 90), min_size=1, max_size=6))
def test_each_step_is_applied_once_however_often_the_driver_is_killed(kills):
    with tempfile.TemporaryDirectory() as folder:
        machine, history = twin.Board(TINY), None
        for frames in [*kills, 10**6]:
            history = history or drive(machine, frames, Path(folder))
        assert all(np.array_equal(a, b) for a, b in zip(history.weights, ALONE.weights, strict=True))
        assert history.cycles == ALONE.cycles and history.epochs == ALONE.epochs and history.saturations == ALONE.saturations
        # the board's own count: none played twice, the inferences of the ranges at the end included
        assert machine.chip.step == SAMPLES * EPOCHS and machine.chip.cycles == UNDISTURBED
        assert not (Path(folder) / "tiny.journal").exists()


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(8, 60), min_size=1, max_size=6))
def test_what_the_board_keeps_is_stored_and_trained_on_once(kills):
    """From the memory beside the chip: a driver that goes on in a later epoch sends no sample again."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        machine, history, played = twin.Board(TINY, samples=SAMPLES), None, Counter()
        play = machine._play
        patch.setattr(machine, "_play", lambda tag, payload: (played.update([tag]), play(tag, payload))[1])
        for frames in [*kills, 10**6]:
            history = history or drive(machine, frames, Path(folder))
        assert all(np.array_equal(a, b) for a, b in zip(history.weights, ALONE.weights, strict=True))
        assert history.cycles == ALONE.cycles and history.saturations == ALONE.saturations
        assert [e["accuracy"] for e in history.epochs] == [e["accuracy"] for e in ALONE.epochs]
        assert np.isnan([e["loss"] for e in history.epochs]).all()
        assert machine.chip.step == SAMPLES * EPOCHS and played[Tag.STORE] == SAMPLES and not played[Tag.TRAIN]


def test_a_board_that_was_reset_begins_at_the_last_epoch(tmp_path):
    machine = twin.Board(TINY)
    assert drive(machine, 90, tmp_path) is None
    history = drive(twin.Board(TINY), 10**6, tmp_path)
    assert all(np.array_equal(a, b) for a, b in zip(history.weights, ALONE.weights, strict=True)) and history.epochs == ALONE.epochs


def test_a_session_of_another_program_is_not_taken_for_ones_own(tmp_path):
    machine = twin.Board(TINY)
    assert drive(machine, 60, tmp_path) is None
    other = tmp_path / "other"
    other.mkdir()
    drive(machine, 10**6, other)
    history = drive(machine, 10**6, tmp_path)
    assert all(np.array_equal(a, b) for a, b in zip(history.weights, ALONE.weights, strict=True)) and history.cycles == ALONE.cycles


def test_a_journal_that_is_behind_the_board_is_not_gone_on_with(tmp_path):
    """As from a backup: what the board has played since is lost, so the run begins at the last epoch."""
    machine = twin.Board(TINY)
    assert drive(machine, 25, tmp_path) is None
    old = (tmp_path / "tiny.journal").read_bytes()
    assert drive(machine, 14, tmp_path) is None  # the first epoch still, and more than the board has slots
    assert not (tmp_path / "kept.npz").exists()
    (tmp_path / "tiny.journal").write_bytes(old)
    history = drive(machine, 10**6, tmp_path)
    assert all(np.array_equal(a, b) for a, b in zip(history.weights, ALONE.weights, strict=True)) and history.cycles == ALONE.cycles


def test_a_run_that_goes_on_in_another_way_is_told(tmp_path):
    machine = twin.Board(TINY)
    assert drive(machine, 40, tmp_path) is None  # in the first epoch
    rows = X.copy()
    rows[:, 0] ^= 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(board_chip, "connect", lambda *_: Line(machine, 10**6))
        with (
            pytest.raises(board.BoardError, match="went on in another way; delete it"),
            board.Chip(TINY, "emulator://", journal=tmp_path / "tiny.journal") as chip,
        ):
            emulator.train(TINY, rows, Y, X[:5], Y[:5], epochs=EPOCHS, chip=chip, checkpoint=tmp_path / "other.npz")


def test_a_line_that_was_not_finished_does_not_count(tmp_path):
    file = tmp_path / "a.journal"
    journal = Journal(file)
    mark = Mark("one", 7, 3, {"run": 0})
    journal.mark(mark)
    for body in (b"ab", b"cd", b"ef"):
        journal.reply(5, body)
    journal.close()
    whole = file.read_bytes()
    for cut in range(1, len(whole.split(b"\n")[-2]) + 1):
        file.write_bytes(whole[: -1 - cut])
        again = Journal(file)
        assert again.last == (7, 5) and again.resume("one") == mark and [again.replayed(5) for _ in range(3)] == [b"ab", b"cd", None]
        again.reply(5, b"gh")
        again.close()
        assert Journal(file).last == (7, 6)
