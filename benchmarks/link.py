"""What the link and its player take beside the chip: ``python benchmarks/link.py [RECIPE]``, cells of the ULX3S's device after Yosys.

The host before the link, of plain bytes, took 413 LUT, 344 FF and no memory block beside the chip of its time (`digits`; measured in the
same way in the parent of commit 078c871).
"""

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from amaranth.back import rtlil

from crossdyad import recipe
from crossdyad.hdl import synth
from crossdyad.hdl.boards import BOARDS
from crossdyad.hdl.chip import Chip
from crossdyad.hdl.host import Host


def cells(component) -> dict[str, int]:
    """Resource to number, after synthesis."""
    board = BOARDS["ulx3s"]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "top.il").write_text(rtlil.convert(component, name="top", platform=board, emit_src=False))
        synth.netlist(work, board.family)
        types = Counter(cell["type"] for cell in json.loads((work / "top.json").read_text())["modules"]["top"]["cells"].values())
    taken = Counter()
    for kind, count in types.items():
        if kind in board.family.takes:
            resource, each = board.family.takes[kind]
            taken[resource] += each * count
    return dict(taken)


def main():
    r = recipe.load(*(sys.argv[1:] or ["digits"]))
    host, chip = cells(Host(r, BOARDS["ulx3s"].clock, synth.BAUD)), cells(Chip(r))
    for resource in host:
        mine = chip.get(resource, 0)
        print(f"{resource:14s} host {host[resource]:6d}  chip {mine:6d}  link and player {host[resource] - mine:6d}")


if __name__ == "__main__":
    main()
