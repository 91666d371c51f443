"""The bit-exact emulator: every block as transactions (fast, batched) and as a trace (every register, every clock)."""

from .chip import Chip, TrainResult, initial_weights
from .training import History, train

__all__ = ["Chip", "History", "TrainResult", "initial_weights", "train"]
