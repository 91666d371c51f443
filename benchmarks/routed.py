"""What each rule's chip takes on an FPGA, its host included, placed and routed with one seed; what is routed is kept in build/routed.

    python benchmarks/routed.py [RULE ...]      # some minutes a rule, of one core
    python benchmarks/routed.py --model         # builds nothing: the cost model's figures beside those in the file

A rule that does not fit is told, and left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from history import commit

from crossdyad import hdl
from crossdyad.explore import rules
from crossdyad.explore.cards import presets_of_rules
from crossdyad.recipe import load

ROOT = Path(__file__).resolve().parent.parent
FILE, BUILT = ROOT / "explore" / rules.ROUTED, ROOT / "build" / "routed"
BOARD, SEED = "ulx3s", 1
NAMES = dict(zip(rules.COSTS, ("LUT", "FF", "multiplier", "memory block"), strict=True))
"""Name of a figure to what a report calls it."""


def routed(rule: str) -> dict:
    """Build the chip of a rule's preset; return what it takes and reaches."""
    recipe = load(presets_of_rules()[rule])
    report = hdl.synthesize(recipe, BOARD, BUILT, (SEED,))
    taken = {ours: report["utilisation"][theirs]["used"] for ours, theirs in NAMES.items()}
    return {"recipe": rules.fingerprint(recipe), **taken, "fmax": report["fmax"]["max"], "commit": commit()}


def main() -> None:
    """Build, and put each rule's figures into the file as they come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rules", nargs="*", default=list(presets_of_rules()))
    parser.add_argument("--model", action="store_true", help="print the cost model's figures beside those that were built")
    given = parser.parse_args()
    if given.model:
        print(rules.modelled_page())
        return
    for rule in given.rules:
        try:
            found = routed(rule)
        except hdl.DoesNotFit as error:
            print(f"{rule}: {error}", flush=True)
            continue
        held = json.loads(FILE.read_text())["rules"] if FILE.exists() else {}
        held[rule] = found
        table = {"command": "python benchmarks/routed.py", "board": BOARD, "seed": SEED}
        part = FILE.with_suffix(".part")
        part.write_text(json.dumps(table | {"rules": {r: held[r] for r in presets_of_rules() if r in held}}, indent=1) + "\n")
        part.replace(FILE)
        print(f"{rule:<24}" + "  ".join(f"{found[name]} {said}" for name, said in NAMES.items()) + f"  {found['fmax']:.1f} MHz", flush=True)


if __name__ == "__main__":
    main()
