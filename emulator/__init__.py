"""The bit-exact emulator: every block as transactions (fast, batched) and as a trace (every register, every clock)."""

from .chip import Chip, TrainResult, initial_weights
from .drawn import drawn
from .many import Many
from .training import History, train

__all__ = ["Chip", "History", "Many", "TrainResult", "drawn", "initial_weights", "train"]
