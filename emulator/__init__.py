"""The bit-exact emulator: every block as transactions (fast, batched) and as a trace (every register, every clock)."""

from .chip import Chip, TrainResult, initial_weights

__all__ = ["Chip", "TrainResult", "initial_weights"]
