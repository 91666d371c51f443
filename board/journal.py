"""The journal of a session: every reply, on disk, so that a program that was killed goes on after the last one."""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .port import BoardError


class Mark(NamedTuple):
    """A state that is known by its digest, and what a driver must know to go on from there.

    Attributes
    ----------
    digest : str
        `digest` of the chip's state.
    session, number : int
        Of the link: the session, and the number of the next request.
    driver : dict
        What the driver counts itself.
    """

    digest: str
    session: int
    number: int
    driver: dict[str, Any]


class Reply(NamedTuple):
    """A reply of the board: `request` is the CRC-32 of what was asked, `body` the frame that came."""

    request: int
    body: bytes


def digest(state: Mapping[str, ArrayLike]) -> str:
    """Return the SHA-256 of a state's arrays, by name."""
    told = hashlib.sha256()
    for name in sorted(state):
        told.update(f"{name} {np.shape(state[name])} ".encode() + np.ascontiguousarray(state[name]).tobytes())
    return told.hexdigest()


def request(tag: int, payload: bytes) -> int:
    """Return the CRC-32 of a request's tag and payload."""
    return zlib.crc32(bytes([tag]) + payload)


class Journal:
    """Replies since the last mark but one, a line each; a line that was not finished does not count.

    Parameters
    ----------
    path : Path
        Of the file; it need not be there.

    Attributes
    ----------
    lines : list of Mark and Reply
        As found in the file.
    ahead : deque of Mark and Reply
        Those that a resumed session has not come to again.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self.lines: list[Mark | Reply] = []
        self.ahead: deque[Mark | Reply] = deque()
        self._file: io.FileIO | None = None
        if self.path.exists():
            for line in self.path.read_bytes().split(b"\n"):
                if (entry := _read(line)) is None:
                    break
                self.lines.append(entry)

    @property
    def last(self) -> tuple[int, int] | None:
        """Session and number of the next request, at the journal's end; None if there is no journal."""
        marks = [(i, line) for i, line in enumerate(self.lines) if isinstance(line, Mark)]
        if not marks:
            return None
        at, mark = marks[-1]
        return mark.session, (mark.number + len(self.lines) - 1 - at) % 256

    def resume(self, state: str) -> Mark | None:
        """Return the mark of the state with this digest, and have ahead what came after it; None if there is none."""
        found = [(i, line) for i, line in enumerate(self.lines) if isinstance(line, Mark) and line.digest == state]
        if not found:
            return None
        at, mark = found[-1]
        self.ahead = deque(self.lines[at + 1 :])
        self._write()
        return mark

    def replayed(self, asked: int) -> bytes | None:
        """Return the body that answered this request before, or None if the journal is at its end."""
        if not self.ahead:
            return None
        entry = self.ahead.popleft()
        if not isinstance(entry, Reply) or entry.request != asked:
            raise BoardError(
                f"{self.path}: what was kept there went on in another way; delete it, and the same command goes on from "
                "the last finished epoch"
            )
        return entry.body

    def reply(self, asked: int, body: bytes) -> None:
        """Keep a reply."""
        if self._file:
            self.lines.append(Reply(asked, body))
            self._file.write(_line(self.lines[-1]))

    def mark(self, mark: Mark) -> None:
        """Keep a mark; what is before the last one but this is forgotten."""
        if self.ahead:
            if self.ahead[0] == mark:
                self.ahead.popleft()
            return
        before = [i for i, line in enumerate(self.lines) if isinstance(line, Mark)]
        self.lines = [*(self.lines[before[-1] :] if before else ()), mark]
        self._write()

    def _write(self) -> None:
        draft = self.path.with_name(f".{self.path.name}")
        draft.write_bytes(b"".join(map(_line, self.lines)))
        if self._file:
            self._file.close()
        self._file = open(draft, "ab", buffering=0)  # each line is with the system before the next request is asked
        draft.replace(self.path)

    def close(self) -> None:
        """Give the file back."""
        if self._file:
            self._file.close()
            self._file = None

    def end(self) -> None:
        """Forget everything: there is nothing to go on with."""
        self.close()
        self.path.unlink(missing_ok=True)


def _line(entry: Mark | Reply) -> bytes:
    told = json.dumps(entry._asdict()).encode() if isinstance(entry, Mark) else b"%08x%s" % (entry.request, entry.body.hex().encode())
    return b"%08x%s\n" % (zlib.crc32(told), told)


def _read(line: bytes) -> Mark | Reply | None:
    try:
        told = line[8:]
        if int(line[:8], 16) != zlib.crc32(told):
            return None
        return Mark(**json.loads(told)) if told[:1] == b"{" else Reply(int(told[:8], 16), bytes.fromhex(told[8:].decode()))
    except ValueError:
        return None
