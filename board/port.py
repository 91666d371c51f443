"""Ports: where the bytes of a link go and come from."""

from __future__ import annotations

from typing import Protocol

from ..emulator import link
from ..recipe import Recipe

EMULATOR = "emulator://"
"""A board in this process."""
KEPT = 4096
"""Samples that an emulated board keeps beside its chip."""
FASTEST = 3_000_000
"""Bits per second that are asked of a port; the board's line has one rate, `hdl.synth.BAUD`."""


class BoardError(OSError):
    """A board that cannot be used; the message says why and how to go on."""


class Port(Protocol):
    """A line to a board."""

    name: str

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def read(self, seconds: float) -> bytes:
        """Return what has come, at the latest after so long; perhaps nothing."""

    def close(self) -> None:
        """Give the port back."""


class Emulated:
    """A line to `emulator.link.Board`."""

    def __init__(self, board: link.Board):
        self.name, self._board, self._come = EMULATOR, board, bytearray()

    def write(self, data: bytes) -> None:
        self._come += self._board.receive(data)

    def read(self, seconds: float) -> bytes:
        data = bytes(self._come)
        self._come.clear()
        return data

    def close(self) -> None:
        pass


class Serial:
    """A serial port, a pseudo-terminal or a socket, by pyserial."""

    def __init__(self, name: str, baud: float):
        try:
            import serial
        except ModuleNotFoundError:
            raise BoardError("a board's port needs pyserial; install it with `pip install 'crossdyad[board]'`") from None
        self.name, self._failed = name, serial.SerialException
        try:
            exclusive = {} if "://" in name else {"exclusive": True}
            self._serial = serial.serial_for_url(name, baudrate=round(baud), timeout=0, write_timeout=30, **exclusive)
        except serial.SerialException as error:
            words = str(error)
            if "exclusively lock" in words or "Resource temporarily unavailable" in words:
                raise BoardError(f"{name}: in use by another program; close that one first") from None
            here = ", ".join(ports()) or "none"
            raise BoardError(f"{name}: cannot be opened ({_cause(error)}); ports here: {here}") from None
        except ValueError as error:
            raise BoardError(f"{name}: {error}; allowed are a device such as /dev/ttyUSB0, socket://HOST:PORT and {EMULATOR}") from None

    def write(self, data: bytes) -> None:
        try:
            self._serial.write(data)
        except (self._failed, OSError) as error:
            raise BoardError(f"{self.name}: the port has gone ({_cause(error)})") from None

    def read(self, seconds: float) -> bytes:
        try:
            self._serial.timeout = seconds
            first = self._serial.read(1)
            return first + self._serial.read(self._serial.in_waiting) if first else b""
        except (self._failed, OSError, TypeError) as error:  # a TypeError where the other thread has closed it
            raise BoardError(f"{self.name}: the port has gone ({_cause(error)})") from None

    def close(self) -> None:
        self._serial.close()


def _cause(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).split(": ")[-1]


def ports() -> list[str]:
    """Return the names of the serial ports of this machine."""
    try:
        from serial.tools import list_ports
    except ModuleNotFoundError:
        return []
    return sorted(port.device for port in list_ports.comports())


def connect(recipe: Recipe, url: str, baud: float = FASTEST) -> Port:
    """Open the port that `url` names.

    Parameters
    ----------
    recipe : Recipe
        Whose chip is emulated, where the port is `EMULATOR`.
    url : str
        A device (``/dev/ttyUSB0``, ``serial:///dev/ttyUSB0``, a pseudo-terminal), ``socket://HOST:PORT`` or ``emulator://``.
    baud : float
        Bits per second.

    Raises
    ------
    BoardError
        If it is not there, in use, or pyserial is not installed.
    """
    if url == EMULATOR:
        return Emulated(link.Board(recipe, samples=KEPT))
    return Serial(url.removeprefix("serial://"), baud)
