"""The registers of a chip beside a processor: commands and counters on AXI4-Lite, cycle by cycle (contract section 13)."""

from __future__ import annotations

from ..recipe import Recipe
from ..recipe.link import fingerprint
from ..recipe.registers import ADDRESS, REGISTERS
from .clock import Ports, Stimulus, Waves, walk
from .edge import INFER, LOAD, RATE, READ, RUN, STEP, TRAIN

SATURATIONS = tuple(r.name for r in REGISTERS if r.name.startswith("SATURATIONS"))
INPUTS = (
    *("awaddr", "awvalid", "wdata", "wstrb", "wvalid", "bready", "araddr", "arvalid", "rready"),
    *("command_ready", "busy", "rate", "step", "cycles", "loss"),
    *(name.lower() for name in SATURATIONS),
)
OKAY, SLVERR = 0, 2
ONES = (1 << 32) - 1


def trace(recipe: Recipe, stimulus: Stimulus) -> Waves:
    """Every port of `Registers` at every clock.

    Parameters
    ----------
    recipe : Recipe
    stimulus : dict
        `INPUTS`, one entry per clock, from reset: the processor's side of the bus, whether the chip takes a command, and its
        level outputs; ``loss`` is 64 bits, unsigned.

    Returns
    -------
    dict
        ``awready``, ``wready``, ``bvalid``, ``bresp``, ``arready``, ``rvalid``, ``rdata``, ``rresp``; ``command_valid``,
        ``command_code``, ``command_operand``.
    """
    return walk(Clocked(recipe).clock, stimulus, INPUTS)


class Clocked:
    """The registers, and the answers that wait."""

    def __init__(self, recipe: Recipe):
        self.identity = int.from_bytes(fingerprint(recipe), "little")
        self.code = self.left = self.operands = 0
        self.answer = self.given = OKAY  # of the last write, of the last read
        self.answered = self.fetched = False  # whether these wait
        self.data = self.high = 0

    def clock(self, **at: int) -> Ports:
        """Return the output ports of this cycle, given all `INPUTS`; all registers move to the next one."""
        taken = at["awvalid"] and at["wvalid"] and (not self.answered or at["bready"])
        fetched = at["arvalid"] and (not self.fetched or at["rready"])
        ports = {
            **dict.fromkeys(("awready", "wready"), int(taken)),
            "bvalid": int(self.answered),
            "bresp": self.answer,
            "arready": int(fetched),
            "rvalid": int(self.fetched),
            "rdata": self.data,
            "rresp": self.given,
            "command_valid": int(self.left > 0),
            "command_code": self.code,
            "command_operand": self.operands & 255,
        }
        if fetched:  # before anything moves: what is read are the registers as they stand
            self.given, self.data, self.high = self._read(at)
        self.fetched = bool(fetched or self.fetched and not at["rready"])
        command = self._command(at) if taken else None
        if self.left and at["command_ready"]:
            self.left, self.operands = self.left - 1, self.operands >> 8
        if command:
            self.code, self.left, self.operands = command
        if taken:
            self.answer = OKAY if command else SLVERR
        self.answered = bool(taken or self.answered and not at["bready"])
        return ports

    def _command(self, at: Ports) -> tuple[int, int, int] | None:
        """Code, times and operands of the command that a write gives; None where it is refused."""
        data, register = at["wdata"], self._register(at["awaddr"])
        codes = {
            "INFER": (INFER, data),
            "TRAIN": (TRAIN, data),
            "LOAD": (LOAD, 1),
            "READ": (READ, 1),
            "RATE": (RATE, 1),
            "STEP": (STEP, 4),
            "RUN": (RUN, 4),
        }
        if register not in codes or at["wstrb"] != 15:
            return None
        code, times = codes[register]
        return (code, times, data) if not self.left or not times else None

    def _read(self, at: Ports) -> tuple[int, int, int]:
        """Answer and data of a read, and the high word that is kept after it."""
        register, high = self._register(at["araddr"]), self.high
        if not register:
            return SLVERR, 0, high
        if register in ("CYCLES_LOW", "LOSS_LOW"):
            wide = at["cycles" if register == "CYCLES_LOW" else "loss"]
            return OKAY, wide & ONES, wide >> 32
        shown = {
            "IDENTITY_LOW": self.identity & ONES,
            "IDENTITY_HIGH": self.identity >> 32,
            "STATUS": (self.left > 0) << 1 | at["busy"],
            "INFER": self.left * (self.code == INFER),
            "TRAIN": self.left * (self.code == TRAIN),
            "RATE": at["rate"],
            "STEP": at["step"],
            "CYCLES_HIGH": high,
            "LOSS_HIGH": high,
        } | {name: at[name.lower()] for name in SATURATIONS}
        return OKAY, shown.get(register, 0), high

    @staticmethod
    def _register(address: int) -> str:
        """Name of the register at a byte address; empty beyond the last one."""
        return next((name for name, at in ADDRESS.items() if at == address & ~3), "")
