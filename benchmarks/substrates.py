"""Write docs/substrates.md: what a substrate can do, and which rows of the cookbook it carries, from their counted cards.

``python benchmarks/substrates.py [--report docs/substrates.md]``; accuracies are those of docs/rows.md.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from crossdyad.cli.cookbook import catalog, needs

ROOT = Path(__file__).resolve().parent.parent
SUBSTRATES = (
    ("One array, read in rows, that can only multiply",
     "No second read port, no store for states, no slopes, no matrix beside the weights. Weights have to be moved and moved back.",
     {"transposed-reads", "stored-states", "derivatives", "other-matrices"}),
    ("One array, read in rows, with slopes of activations", "As above, and each unit knows the slope of its activation.",
     {"transposed-reads", "stored-states", "other-matrices"}),
    ("Arrays read in rows, with small matrices beside them",
     "Heads or predictors for each layer; a layer learns as soon as it is reached.", {"transposed-reads", "stored-states"}),
    ("Arrays read in rows, with a second array for feedback", "Feedback goes through matrices of its own, fixed or learned; states are "
     "stored.", {"transposed-reads"}),
    ("Arrays read in rows and in columns, that settle and are always on",
     "Couplings work both ways (resistors, a crossbar with drivers on both sides). No state is stored: it changes in its place while the "
     "target acts.", {"stored-states", "derivatives", "synchrony", "other-matrices"}),
    ("Arrays read in rows and in columns, without slopes", "A store for the states of one phase.", {"derivatives", "other-matrices"}),
    ("Arrays read in rows and in columns, digital units", "Whatever the rows ask for but matrices beside the weights.", {"other-matrices"}),
    ("A pipeline that must not wait", "No sample waits for the layers above, no error for those above.", {"forward-lock", "backward-lock"}),
)
"""Name, in words, and which words of `crossdyad cookbook --without` it lacks."""

INTRODUCTION = """# What a substrate can do, and which rows it carries

From what the hardware lacks to the learning rules of the cookbook that do without. Written by `python benchmarks/substrates.py`;
the table of all counts is `crossdyad cookbook --cost`, any other choice `crossdyad cookbook --without WORD`, the same of the chip's
own programs `crossdyad rules`.

Every figure is **counted**, not claimed: JAX traces one gradient of one sample on a net 6-5-5-5-3, and `crossdyad.models.counting`
plays the program on one array per matrix that multiplies one vector at a time. A read is a tick, all else takes none. Relaxations have
three sweeps for each layer of weights, probes one direction. The same on a net of two layers more says what *grows with depth*:

| the paper's problem | is left where |
|---|---|
| T transport | weights are read in columns, or their signs are, as well as in rows |
| M memory | states wait in the deeper net for longer than any does in the other: they are stored until the error is there |
| D derivatives | a slope of an activation is evaluated |
| F forward lock | the first layer's gradient comes later in the deeper net: the next sample waits |
| B backward lock | more reads, one after the other, lie between the target and the first layer's gradient |
| S synchrony | states wait longer in the deeper net: errors come after states |

Where this differs from the paper's words: it calls transport solved for energies (rows 8, 9, 51 to 61, 77), since one physical
coupling works both ways; counted, an array there is read in columns too. Dual propagation in two sweeps (rows 56 and 57), as the chip
has it, comes down after it went up, so it keeps step; iterated from the start (rows 87 and 88) it does not. Rows that solve a dense
system as they run here (14, 74, 81, 84 and others marked * in the table) have counts of that, which no array does.

*Gradient*: what the estimate tends to, and the power of its small parameter with which the error falls, where the row declares them;
`crossdyad cookbook --check ROW` measures it.
*Accuracy*: on the 8x8 digits, per cent, mean and deviation over 3 seeds ([rows.md](rows.md)). *Reads*: of all matrices, for one gradient.
*Leaves*: letters of the table above.
"""


def accuracies() -> dict[int, str]:
    """Return the third column of docs/rows.md by row."""
    found = re.findall(r"^\| (\d+) \| [^|]* \| ([\d.]+ \+- [\d.]+|[\d.]+) \|", (ROOT / "docs" / "rows.md").read_text(), re.M)
    return {int(row): accuracy for row, accuracy in found}


def quality(entry: dict) -> str:
    """Return what a row's gradient tends to, in a few words."""
    order = entry.get("order")
    return entry["card"]["oracle"] + (f", order {order:g}" if order else "")


def table(words: set[str]) -> list[str]:
    """Return the rows that need none of `words`, those with the fewest reads first."""
    known, letters = accuracies(), {"transport": "T", "memory": "M", "derivatives": "D", "forward lock": "F", "backward lock": "B",
                                    "synchrony": "S"}
    fitting = [e for e in catalog().values() if "card" in e and not needs(e["card"]) & words]
    lines = ["| row | rule | gradient | accuracy | reads | state words | random | leaves |", "|---:|---|---|---|---:|---:|---:|---|"]
    for e in sorted(fitting, key=lambda e: e["card"]["operations"]):
        c = e["card"]
        lines.append(f"| {e['row']} | {e['title']} | {quality(e)} | {known.get(e['row'], '')} | {c['operations']} | {c['state_words']} | "
                     f"{c['random']} | {' '.join(letters[p] for p in c['problems']) or '-'} |")
    return lines if fitting else ["No row."]


def page() -> str:
    """Return the whole page."""
    parts = [INTRODUCTION]
    for name, said, words in SUBSTRATES:
        flags = " ".join(f"--without {w}" for w in sorted(words))
        parts.append("\n".join([f"## {name}", "", said, "", f"    crossdyad cookbook --cost {flags}", "", *table(words), ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", type=Path, default=ROOT / "docs" / "substrates.md")
    given = parser.parse_args()
    given.report.write_text(page())
