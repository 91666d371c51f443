"""Write docs/substrates.md: what a substrate can do, and which rows of the cookbook it carries, from their
counted cards and measured angles.

``python benchmarks/substrates.py [--report docs/substrates.md]``; accuracies are those of docs/rows.md.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from crossdyad.cli.cookbook import LEAVES, catalog, needs

ROOT = Path(__file__).resolve().parent.parent
ANGLES = ROOT / "models" / "cookbook" / "angles.json"
SUBSTRATES = (
    (
        "One array, read in rows, that can only multiply",
        "No second read port, no store for states, no slopes, no matrix beside the weights. Weights have to be moved and moved back.",
        {"transposed-reads", "stored-states", "derivatives", "other-matrices"},
    ),
    (
        "One array, read in rows, with slopes of activations",
        "As above, and each unit knows the slope of its activation.",
        {"transposed-reads", "stored-states", "other-matrices"},
    ),
    (
        "Arrays read in rows, with small matrices beside them",
        "Heads or predictors for each layer; a layer learns as soon as it is reached.",
        {"transposed-reads", "stored-states"},
    ),
    (
        "Arrays read in rows, with a second array for feedback",
        "Feedback goes through matrices of its own, fixed or learned; states are stored.",
        {"transposed-reads"},
    ),
    (
        "Arrays read in rows, with local signals only",
        "What a weight learns from is at its two ends: no number that depends on the target "
        "multiplies whole vectors, nothing is solved for all units at once; feedback may have arrays of its own. Rows 24 and 70 have "
        "wires from the output to every layer.",
        {"transposed-reads", "broadcasts", "dense-systems"},
    ),
    (
        "Couplings that settle, always on",
        "Couplings work both ways (resistors, a crossbar with drivers on both sides). No state is stored: "
        "it changes in its place while the target acts, and no clock says when: the asynchronous case.",
        {"stored-states", "derivatives", "synchrony", "other-matrices"},
    ),
    (
        "Couplings that settle twice, free and nudged",
        "Couplings work both ways, units have bounds and no slopes that anyone reads; there is "
        "a store for the states of one phase, and nothing digital: no random numbers, no solved systems, "
        "weights that move after a sample.",
        {"derivatives", "other-matrices", "random-numbers", "moved-weights", "broadcasts", "dense-systems"},
    ),
    (
        "Arrays read in rows and in columns, one pass each way",
        "No relaxation, no slopes: a sample goes up and its error comes down.",
        {"repeated-reads", "derivatives", "other-matrices", "random-numbers"},
    ),
    ("Arrays read in rows and in columns, digital units", "Whatever the rows ask for but matrices beside the weights.", {"other-matrices"}),
    ("A pipeline that must not wait", "No sample waits for the layers above, no error for those above.", {"forward-lock", "backward-lock"}),
)
"""Name, in words, and which words of `crossdyad cookbook --without` it lacks."""

INTRODUCTION = """# What a substrate can do, and which rows it carries

From what the hardware lacks to the learning rules of the cookbook that do without. Find your substrate below; or say it yourself:

{words}

What your hardware lacks is an option, and what is left is the answer. Say that an array can be read in rows only, and that there is no
store that keeps states until an error comes:

```sh
crossdyad cookbook --cost --without transposed-reads --without stored-states
```

leaves rows {left}.
If nothing may be written while a sample is worked on, add `--without moved-weights`: rows {unmoved}.
If there is no room for matrices beside the weights either, add `--without other-matrices`: rows {bare}, at the accuracy and the angle of
the tables below. `crossdyad cookbook --check ROW` measures the law of a row before you build on it, `crossdyad train --reference ROW`
trains it.
`crossdyad rules` has the same counts for the rules that the chip is generated with.

## Where to look

{index}

## What is said of a row

*Gradient* is what the estimate tends to, and the power of its small parameter with which the error falls (its bias), where the row
declares them; `crossdyad cookbook --check ROW` measures both.
*Angle*, in degrees, is between the estimate and the exact gradient of the row's own objective, and *scatter* the standard deviation of
one sample's estimate over its draws, as a multiple of its mean's length: both on a net 64-32-10 with its first weights, 16 digits, 64
draws for rows that draw, settings of standard training (`python -m crossdyad.models.angles`). The angle of rows that draw
holds what is left of the scatter, and that of rows that learn feedback or heads is from before they have learned. With one hidden layer
rows 23 and 24 are one computation, and so are 20, 38 and 40.
*Accuracy* is on the 8x8 digits, per cent, mean and deviation over 3 seeds, of the same net after ten epochs ([rows.md](rows.md)).

All else is **counted**, not claimed: JAX traces one gradient of one sample on a net 6-5-5-5-3, and `crossdyad.models.counting`
plays the program on one array per matrix that multiplies one vector at a time. A read is a tick, all else takes none. Relaxations have
three sweeps for each layer of weights, probes one direction. *Reads* are of all matrices, for one gradient. The same on a net of two
layers more says what *grows with depth*, and so which of the paper's problems a row *leaves*:

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
system as they run here ({dense}) have counts of that, which no array does.
Rows whose feedback needs no derivative (69 to 71, 74, and 28 while its feedback learns) multiply by a slope where the gradient is read
out, and so does 60, whose read-out differentiates the clip. Rows with loops (7, 21, 22) keep one state of each unit, but for as long as the
error relaxes, which is longer in a deeper net. Errors that relax (15, 68, 79) still pass layer after layer.

Made by `python benchmarks/substrates.py` of the rows' cards; a test holds that it is what they say. The table of all counts is
`crossdyad cookbook --cost`.
"""
HEAD = ("row", "rule", "gradient", "angle", "scatter", "accuracy", "reads", "state words", "random", "leaves")


def accuracies() -> dict[int, str]:
    """Return the third column of the first table of docs/rows.md by row."""
    page = (ROOT / "docs" / "rows.md").read_text().split("\n## ")[0]
    found = re.findall(r"^\| (\d+) \| [^|]* \| ([\d.]+ \+- [\d.]+|[\d.]+) \|", page, re.M)
    return {int(row): accuracy for row, accuracy in found}


def quality(entry: dict) -> str:
    """Return what a row's gradient tends to, in a few words."""
    order = entry.get("order")
    return entry["card"]["oracle"] + (f", order {order:g}" if order else "")


def left(words: set[str]) -> list[dict]:
    """Return the rows that need none of `words`, those with the fewest reads first."""
    fitting = [e for e in catalog().values() if "card" in e and not needs(e["card"]) & words]
    return sorted(fitting, key=lambda e: e["card"]["operations"])


def numbers(rows: list[dict]) -> str:
    """Return the numbers of rows, in order."""
    return ", ".join(str(n) for n in sorted(e["row"] for e in rows)) or "none"


def table(words: set[str]) -> list[str]:
    """Return the rows that need none of `words` as a table."""
    known, letters = (
        accuracies(),
        {"transport": "T", "memory": "M", "derivatives": "D", "forward lock": "F", "backward lock": "B", "synchrony": "S"},
    )
    angles = json.loads(ANGLES.read_text())
    lines = [f"| {' | '.join(HEAD)} |", "|---:|---|---|---:|---:|---|---:|---:|---:|---|"]
    for e in left(words):
        c, a = e["card"], angles.get(str(e["row"]))
        measured = (f"{a['angle']:.1f}", f"{a['scatter']:.2f}" if a["scatter"] else "") if a else ("", "")
        said = (
            e["row"],
            e["title"],
            quality(e),
            *measured,
            known.get(e["row"], ""),
            c["operations"],
            c["state_words"],
            c["random"],
            " ".join(letters[p] for p in c["problems"]) or "-",
        )
        lines.append(f"| {' | '.join(map(str, said))} |")
    return lines if len(lines) > 2 else ["No row."]


def page() -> str:
    """Return the whole page."""
    lacks = ["| `--without` | leaves out a row that |", "|---|---|", *(f"| {word} | {said} |" for word, said in LEAVES.items())]
    index = ["| my substrate | lacks | rows left |", "|---|---|---|"]
    for name, _, words in SUBSTRATES:
        anchor = re.sub(r"[^a-z -]", "", name.lower()).replace(" ", "-")
        index.append(f"| [{name}](#{anchor}) | {', '.join(sorted(words))} | {numbers(left(words))} |")
    rows_only = {"transposed-reads", "stored-states"}
    parts = [
        INTRODUCTION.format(
            words="\n".join(lacks),
            index="\n".join(index),
            left=numbers(left(rows_only)),
            unmoved=numbers(left(rows_only | {"moved-weights"})),
            bare=numbers(left(rows_only | {"moved-weights", "other-matrices"})),
            dense=numbers([e for e in catalog().values() if "card" in e and e["card"]["dense"]]),
        )
    ]
    for name, said, words in SUBSTRATES:
        flags = " ".join(f"--without {w}" for w in sorted(words))
        parts.append("\n".join([f"## {name}", "", said, "", f"```sh\ncrossdyad cookbook --cost {flags}\n```", "", *table(words), ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", type=Path, default=ROOT / "docs" / "substrates.md")
    given = parser.parse_args()
    given.report.write_text(page())
