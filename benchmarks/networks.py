"""What an activation and an objective cost: cells of a dyad and of a nudge of `digits` on an ECP5, after synthesis.

python benchmarks/networks.py
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from crossdyad.hdl.families import ECP5
from crossdyad.hdl.neuron import Dyad
from crossdyad.hdl.nudge import Nudge
from crossdyad.hdl.synth import netlist
from crossdyad.recipe import ACTIVATIONS, Recipe, load


def cells(component: wiring.Component) -> dict[str, int]:
    """Return how many cells of each kind a component becomes."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "build"
        work.mkdir()
        (work / "top.il").write_text(rtlil.convert(component, name="top"))
        netlist(work, ECP5)
        made = json.loads((work / "top.json").read_text())["modules"]["top"]["cells"].values()
    found = Counter(cell["type"] for cell in made)
    return {kind: found[kind] for kind in ("LUT4", "CCU2C", "TRELLIS_FF")}


def main() -> None:
    """Print a line for each."""
    base = load("digits").model_dump()
    for name in ACTIVATIONS:
        print(f"dyad {name:14}", cells(Dyad(Recipe.model_validate(base | {"activation": name}), 0)), flush=True)
    for name in ("squared-error", "squared-hinge"):
        print(f"nudge {name:13}", cells(Nudge(Recipe.model_validate(base | {"objective": name}))), flush=True)


if __name__ == "__main__":
    main()
