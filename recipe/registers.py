"""The registers of a chip beside a processor as data (contract section 13)."""

from __future__ import annotations

from typing import NamedTuple


class Register(NamedTuple):
    """A register of 32 bits.

    Attributes
    ----------
    name : str
    read, write : str
        What a read gives and what a write does, in words; empty where there is none.
    """

    name: str
    read: str
    write: str = ""


REGISTERS: tuple[Register, ...] = (
    Register("IDENTITY_LOW", "the first four bytes of the recipe's fingerprint (section 10), the first one lowest"),
    Register("IDENTITY_HIGH", "the other four"),
    Register("STATUS", "bit 0: a program runs; bit 1: commands are left"),
    Register("INFER", "commands left, if they are infer", "so many commands infer; 0 takes back those that are left"),
    Register("TRAIN", "commands left, if they are train", "so many commands train; 0 takes back those that are left"),
    Register("LOAD", "0", "command load"),
    Register("READ", "0", "command read"),
    Register("RATE", "the rate", "command rate"),
    Register("STEP", "the step", "four commands step"),
    Register("RUN", "0", "four commands run"),
    Register("CYCLES_LOW", "the low word of the cycles; the high one is kept for CYCLES_HIGH"),
    Register("CYCLES_HIGH", "what was kept"),
    Register("LOSS_LOW", "the low word of the loss; the high one, extended by its sign, is kept for LOSS_HIGH"),
    Register("LOSS_HIGH", "what was kept"),
    Register("SATURATIONS_ACCUMULATOR", "range events"),
    Register("SATURATIONS_STATE", "range events"),
    Register("SATURATIONS_DELTA", "range events"),
    Register("SATURATIONS_WEIGHT", "range events"),
)

ADDRESS = {register.name: 4 * i for i, register in enumerate(REGISTERS)}
"""Name of a register to its address in bytes."""
ADDRESS_BITS = (4 * len(REGISTERS) - 1).bit_length()


def table() -> str:
    """The map as Markdown."""
    rows = [f"| 0x{ADDRESS[r.name]:02X} | {r.name} | {r.read} | {r.write} |" for r in REGISTERS]
    return "\n".join(["| address | name | a read gives | a write gives |", "|---|---|---|---|", *rows]) + "\n"
