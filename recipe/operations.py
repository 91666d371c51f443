"""The operations of a row engine and their variants, as they are encoded in the program memory."""

from enum import IntEnum

ELEMENT_BITS = 12
"""Of a random index: the number of an element, so that a layer has at most ``2**12`` units (contract section 2)."""

POSITION_BITS = 12
"""Of a random index: the position in the program memory, so that it holds at most ``2**12`` instructions (contract section 2)."""


class Op(IntEnum):
    """Operations of a row engine (contract section 3)."""

    FORWARD = 0
    TRANSPOSED = 1
    UPDATE = 2
    PROBE = 3


class Operand(IntEnum):
    """Variants of an operation."""

    FREE = 0
    """Forward: inference. Also the only variant of transposed."""
    NUDGE = 1
    """Forward of the last layer: nudged by beta."""
    ADD = 2
    """Forward of the last layer: the loss is recorded."""
    SUBTRACT = 3
    """Forward of the last layer: the loss is subtracted from the recorded one."""
    DELTA = 4
    """Update: outer product of the error and input memories."""
    SLOPE = 5
    """Update: the loss difference times the generator's signs."""
    PLUS = 6
    """Probe: plus epsilon times the signs."""
    MINUS = 7
    """Probe: minus twice epsilon times the signs."""
