"""Scenarios of `Registers`, the processor's side of a chip (contract section 13)."""

from __future__ import annotations

import numpy as np

from ..emulator import registers as emulated
from ..recipe import Recipe
from ..recipe.registers import ADDRESS, ADDRESS_BITS, REGISTERS
from .fixed import seeded
from .scenario import Scenario
from .variety import small

CYCLES = 4_000


def scenario(recipe: Recipe, pace: float, cycles: int = CYCLES) -> Scenario:
    """Writes and reads of any address at any time; the chip takes a command in the share `pace` of the cycles."""
    name = f"registers {recipe.name}, commands taken in {pace:.0%} of the cycles"
    rng = seeded(name)

    def often(share: float) -> np.ndarray:
        return (rng.random(cycles) < share).astype(int)

    def word(bits: int) -> np.ndarray:
        """Integers of all magnitudes, so that few commands are as common as many."""
        wide = np.array([int(rng.integers(0, 1 << 32)) << 32 | int(rng.integers(0, 1 << 32)) for _ in range(cycles)], object)
        return wide >> rng.integers(64 - bits, 64, cycles, endpoint=True)

    commands = np.array([ADDRESS[r.name] for r in REGISTERS if r.write])
    stimulus = {
        "awaddr": np.where(often(0.7), rng.choice(commands, cycles), rng.integers(0, 1 << ADDRESS_BITS, cycles)),
        "awvalid": often(0.6),
        "wdata": np.where(often(0.7), rng.integers(0, 4, cycles), word(32)),
        "wstrb": np.where(often(0.8), 15, rng.integers(0, 16, cycles)),
        "wvalid": often(0.6),
        "bready": often(0.7),
        "araddr": rng.integers(0, 1 << ADDRESS_BITS, cycles),
        "arvalid": often(0.8),
        "rready": often(0.7),
        "command_ready": often(pace),
        "busy": often(0.5),
        "rate": rng.integers(0, 8, cycles),
        "cycles": word(48),
        "loss": word(64),
        **{n: word(32) for n in ("step", *(s.lower() for s in emulated.SATURATIONS))},
    }

    def component():
        from ..hdl.registers import Registers

        return Registers(recipe)

    def coverage(given, expected):
        taken, fetched = expected["awready"] == 1, expected["arready"] == 1
        answer = np.append(expected["bresp"][1:], 0)
        waits = np.append(expected["command_valid"], 0)[:-1] == 1
        writes, reads = given["awaddr"] & ~3, given["araddr"] & ~3
        goals = {f"read {r.name}": (fetched & (reads == ADDRESS[r.name])).sum() for r in REGISTERS}
        goals |= {f"write {r.name}": (taken & (answer == emulated.OKAY) & (writes == ADDRESS[r.name])).sum() for r in REGISTERS if r.write}
        refused = taken & (answer == emulated.SLVERR)
        return goals | {
            "a read beyond the last register": (fetched & (reads > max(ADDRESS.values()))).sum(),
            "a write refused while commands are left": (refused & waits & np.isin(writes, commands) & (given["wstrb"] == 15)).sum(),
            "a write of single bytes": (refused & ~waits & np.isin(writes, commands) & (given["wstrb"] != 15)).sum(),
            "a write of what cannot be written": (refused & ~np.isin(writes, commands)).sum(),
            "commands taken back": (taken & waits & (answer == emulated.OKAY)).sum(),
            "a write in the cycle in which a command is taken": (taken & waits & (given["command_ready"] == 1)).sum(),
            "an answer that waits": ((expected["bvalid"] == 1) & (given["bready"] == 0)).sum(),
            "data that wait": ((expected["rvalid"] == 1) & (given["rready"] == 0)).sum(),
        }

    return Scenario(name, component, lambda given: emulated.trace(recipe, given), stimulus, coverage=coverage)


def scenarios() -> list[Scenario]:
    """A chip that takes commands at once, and one that rarely does."""
    recipe = small("registered", sizes=(3, 2), lanes=(2,))
    return [scenario(recipe, pace) for pace in (1.0, 0.2)]
