"""Registers behind memories move into the memory blocks of a netlist: their own are there at no cost, and a third of a cycle faster."""

from __future__ import annotations

from collections import defaultdict
from typing import Any


def absorb(module: dict[str, Any]) -> int:
    """Move registers into the memory blocks of a synthesised ECP5 module; return how many.

    A port of a DP16KD has a register for its outputs (Lattice FPGA-TN-02204, REGMODE). It takes the place of the flip-flops behind the port
    where each output leads to one of them and nowhere else, and where these have neither enable nor reset and start at 0.

    Parameters
    ----------
    module : dict
        As Yosys writes it to JSON; is changed.
    """
    cells = module["cells"]
    readers = defaultdict(list)
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "input":
                for bit in bits:
                    readers[bit].append((name, port))
    for name, port in module["ports"].items():
        for bit in port["bits"]:
            readers[bit].append((name, ""))
    moved = 0
    for block in [cell for cell in cells.values() if cell["type"] == "DP16KD"]:
        for side in "AB":
            outputs = [p for p, (bit,) in block["connections"].items() if p.startswith(f"DO{side}") and readers[bit]]
            behind = [readers[block["connections"][p][0]] for p in outputs]
            clock = block["connections"][f"CLK{side}"]
            if not outputs or any(len(r) > 1 or r[0][1] != "DI" or not _plain(cells[r[0][0]], clock) for r in behind):
                continue
            block["parameters"][f"REGMODE_{side}"] = "OUTREG"
            block["connections"][f"OCE{side}"] = ["1"]
            for output, ((register, _),) in zip(outputs, behind, strict=True):
                block["connections"][output] = cells.pop(register)["connections"]["Q"]
            moved += len(outputs)
    return moved


def _plain(cell: dict[str, Any], clock: list[Any]) -> bool:
    """Return whether a cell is a flip-flop of this clock that takes what comes at every edge, and starts at 0."""
    if cell["type"] != "TRELLIS_FF":
        return False
    parameters, wires = {name: value.strip() for name, value in cell["parameters"].items()}, cell["connections"]
    return bool(
        wires["CLK"] == clock
        and parameters["CLKMUX"] == "CLK"
        and parameters["REGSET"] == "RESET"
        and (parameters["CEMUX"] == "1" or wires.get("CE") == ["1"])
        and wires.get("LSR", ["0"]) == ["0"]
    )
