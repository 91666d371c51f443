"""A session with a board: requests under way, each answered once, whatever the line loses (contract section 10)."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..emulator.link import frame, opened
from ..recipe import Recipe
from ..recipe.link import ERROR, REPLY, STATUS, VERSION, Error, Link, Tag, fingerprint
from .journal import Journal, Mark, request
from .port import BoardError, Port

PATIENCE = 10.0
"""Seconds without a frame from the board until it is taken for dead."""
FIRST_WAIT, LONGEST_WAIT = 0.05, 1.0
"""Seconds without a reply until the requests under way are sent again: at first, and after several times in vain."""
FINAL = (Error.VERSION, Error.RECIPE, Error.BUSY, Error.TAG, Error.LENGTH)
"""Errors that answer a control frame; others say that something was lost."""


class BoardReset(BoardError):
    """A board that has been reset, or opened by another program, since this session began."""


class Identity(NamedTuple):
    """A board's description of itself."""

    version: int
    recipe: bytes
    clock: int
    baud: int
    slots: int
    slot: int
    samples: int


class Status(NamedTuple):
    """Status that ends every frame from a board."""

    session: int
    next: int
    credits: int
    running: bool
    loading: bool
    reading: bool
    step: int


def status_of(body: bytes) -> Status:
    """Return the status at the end of a frame."""
    session, next_, state = body[-STATUS:-4]
    return Status(session, next_, state & 15, bool(state & 16), bool(state & 32), bool(state & 64), int.from_bytes(body[-4:], "little"))


class Session:
    """A session with the board at a port.

    Parameters
    ----------
    recipe : Recipe
    port : Port
    patience : float
        Seconds without a frame until the board is taken for dead.
    journal : Journal, optional
        Keeps every reply. If it is of the session that the board is in, that one waits to be resumed; else, and before the first request,
        a new one is opened.

    Attributes
    ----------
    identity : Identity
    session : int
        0 until it is opened or resumed.
    found : Status
        Before this session: what an earlier one has left.
    status : Status
        As of the last frame that came.

    Raises
    ------
    BoardError
        If no board answers, or it has another chip or protocol.
    """

    def __init__(self, recipe: Recipe, port: Port, patience: float = PATIENCE, journal: Journal | None = None):
        self.recipe, self.port, self.patience, self.link, self.journal = recipe, port, patience, Link(recipe), journal
        self._line = bytearray()
        self._frames: deque[bytes] = deque()
        self._heard = time.monotonic()
        self._wait = FIRST_WAIT
        self._number, self.session, self._echo = 0, 0, random.SystemRandom().randrange(256)
        self._told: Status | None = None
        body = self._ask(Tag.IDENTIFY)
        given, expected = body[2:-STATUS], self.link.identity(0, 0)
        if not given or given[0] != VERSION:
            raise BoardError(
                f"{port.name}: the board speaks version {given[0] if given else '?'} of the link, this program {VERSION}; "
                "build and load its bitstream anew with `crossdyad synth`"
            )
        if given[1:9] != expected[1:9]:
            raise BoardError(
                f"{port.name}: the board holds another chip ({given[1:9].hex()}) than {recipe.name} ({expected[1:9].hex()}); "
                "load that recipe's bitstream, or name the recipe that the board was built from"
            )
        number = int.from_bytes
        self.identity = Identity(
            given[0],
            given[1:9],
            number(given[9:13], "little"),
            number(given[13:17], "little"),
            given[17],
            number(given[18:20], "little"),
            number(given[20:22], "little"),
        )
        self.found = self.status
        if not self._goes_on():
            self._open()

    @property
    def status(self) -> Status:
        assert self._told is not None  # a session begins with the board's identity
        return self._told

    def _goes_on(self) -> bool:
        """Say whether the journal is of the session that the board is in."""
        if not self.journal or not self.journal.last:
            return False
        session, number = self.journal.last
        return session == self.status.session and (self.status.next - number) % 256 < self.link.slots

    def resume(self, state: str) -> dict[str, Any] | None:
        """Go on from the state with this digest, and return what the driver counted then; None if the journal has none of this session."""
        mark = self.journal.resume(state) if self.journal and not self.session and self._goes_on() else None
        if mark is None:
            return None
        self.session, self._number = mark.session, mark.number
        return mark.driver

    def mark(self, state: str, driver: dict[str, Any]) -> None:
        """Keep in the journal that the chip has the state with this digest now."""
        if self.journal:
            self.journal.mark(Mark(state, self.session, self._number, driver))

    def _open(self) -> None:
        past = {self.status.session, *(self.journal.last or ())[:1]} if self.journal else {self.status.session}
        session = self._echo = random.SystemRandom().choice([number for number in range(1, 256) if number not in past])
        while True:
            body = self._ask(Tag.OPEN, bytes([VERSION]) + fingerprint(self.recipe) + bytes([session]))
            if body[1] != ERROR:
                break
            if body[2] != Error.BUSY:
                raise BoardError(f"{self.port.name}: the board refuses the session: {named(body[2])}")
            time.sleep(0.01)
        self.session, self._number = session, 0
        if self.journal:
            self.journal.lines.clear()
        if self.status.loading or self.status.reading:
            self.ask(Tag.ABORT)

    # Frames ---------------------------------------------------------------------------------------------------

    def _next(self, seconds: float) -> bytes | None:
        """Return the next whole frame that comes within so long, or None."""
        end = time.monotonic() + seconds
        while not self._frames:
            left = end - time.monotonic()
            data = self.port.read(max(0.0, left))
            *ended, rest = bytes(self._line + data).split(b"\0")
            self._line = bytearray(rest[-4 * self.link.slot :])
            self._frames.extend(body for part in ended if part and (body := opened(part)) and len(body) >= 2 + STATUS)
            if not self._frames and (left <= 0 or not data and self.port.name.startswith("emulator")):
                return None
        body = self._frames.popleft()
        self._heard, self._told = time.monotonic(), status_of(body)
        return body

    def _ask(self, tag: Tag, payload: bytes = b"") -> bytes:
        """Ask a control frame until it is answered."""
        wait, self._heard = FIRST_WAIT, time.monotonic()
        while True:
            self._echo = (self._echo + 1) % 256
            self.port.write(b"\0" + frame(self._echo, tag, payload))
            end = time.monotonic() + wait
            while (body := self._next(max(0.0, end - time.monotonic()))) is not None:
                if body[0] == self._echo and (body[1] == tag | REPLY or body[1] == ERROR and body[2] in FINAL):
                    return body
            self._alive("no board answers")
            wait = min(2 * wait, LONGEST_WAIT)

    def _alive(self, what: str) -> None:
        if time.monotonic() - self._heard > self.patience:
            step = f"; the last step that it told is {self._told.step}" if self._told else ""
            raise BoardError(
                f"{self.port.name}: {what} for {self.patience:g} s{step}; see that the port is a board's, programmed with "
                "this recipe, and carries its rate; what was applied is kept there, and the same command goes on"
            )

    # Requests -------------------------------------------------------------------------------------------------

    def ask(self, tag: Tag, payload: bytes = b"") -> bytes:
        """Play one request; return its reply's payload without the status."""
        return next(self.play([(tag, payload)]))

    def play(self, requests: Iterable[tuple[Tag, bytes]]) -> Iterator[bytes]:
        """Play requests in order, as many at once as the board has slots for; yield the payload of each reply.

        Raises
        ------
        BoardError
            If the board dies or refuses one.
        BoardReset
            If it was reset meanwhile.
        """
        source = iter(requests)
        under_way: deque[tuple[int, Tag, bytes, float, int]] = deque()
        if not self.session:
            self._open()
        while self.journal and self.journal.ahead:
            if (again := next(source, None)) is None:
                return
            tag, payload = again
            if (kept := self.journal.replayed(request(tag, payload))) is not None:
                self._number, self._told = (self._number + 1) % 256, status_of(kept)
                yield kept[2:-STATUS]
        window, wait = self.link.slots - 1, self._wait
        told: tuple[str, int] | None = None
        self._heard, ended, clean = time.monotonic(), False, True

        def send(frames: list[tuple[int, Tag, bytes, float, int]]) -> None:
            self.port.write(b"\0" + b"".join(data for _, _, data, _, _ in frames))

        while True:
            while not ended and len(under_way) < window:
                try:
                    tag, payload = next(source)
                except StopIteration:
                    ended = True
                    break
                under_way.append((self._number, tag, frame(self._number, tag, payload), time.monotonic(), request(tag, payload)))
                self.port.write(under_way[-1][2])
                self._number = (self._number + 1) % 256
            if not under_way:
                return
            number, tag, _, sent, asked = under_way[0]
            body = self._next(wait)
            if body is None:
                # the oldest alone: if the board has it, its reply comes again, and with it the number of the one that it misses
                # and the status, as a frame of many stored samples may be played for longer than the patience
                self._alive("no reply")
                send([under_way[0]])
                self.port.write(frame(self._echo, Tag.STATUS))
                wait, told, clean = min(2 * wait, LONGEST_WAIT), None, False
                continue
            if body[1] != ERROR and body[1] >= Tag.IDENTIFY | REPLY:
                continue  # a late answer
            if self.status.session != self.session:
                raise BoardReset(
                    f"{self.port.name}: the board was reset, or another program has opened it (its step is "
                    f"{self.status.step}); restore a state() and go on from there"
                )
            if body[0] == number and body[1] == tag | REPLY:
                under_way.popleft()
                if clean:  # else it is unknown which of two was answered
                    self._wait += (4 * (time.monotonic() - sent) - self._wait) / 8
                    self._wait = min(max(self._wait, FIRST_WAIT), LONGEST_WAIT)
                wait, clean = self._wait, clean or not under_way
                if self.journal:
                    self.journal.reply(asked, body)
                yield body[2:-STATUS]
                continue
            if body[0] == number and body[1] == ERROR and body[2] >= Error.LABEL:
                raise BoardError(f"{self.port.name}: {tag.name.lower()} was refused: {named(body[2])}")
            if body[1] == ERROR and body[2] in (Error.TAG, Error.LENGTH):
                raise BoardError(f"{self.port.name}: {named(body[2])}, which is a fault of this program")
            later = 0 < (body[0] - number) % 256 < len(under_way)
            if body[1] != ERROR and later and told != ("reply", number):
                told, clean = ("reply", number), False
                send([under_way[0]])  # its reply was lost: it and those after it come again
            missing = (self.status.next - number) % 256
            if body[1] == ERROR and missing < len(under_way) and told != ("request", self.status.next):
                told, clean = ("request", self.status.next), False
                send(list(under_way)[missing:])  # the board tells which it misses; once is enough


def named(code: int) -> str:
    """Return an error's name in words."""
    return Error(code).name.lower().replace("_", " ") if code in list(Error) else f"error {code}"
