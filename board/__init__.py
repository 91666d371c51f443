"""Boards: a chip behind a serial line, with the methods of the emulator's."""

from .chip import Chip
from .port import BoardError, connect
from .session import BoardReset

__all__ = ["BoardError", "BoardReset", "Chip", "connect"]
