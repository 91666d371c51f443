"""Does the circuit compute the gradient? Cosines on the digits net, the table of word lengths, SPSA's law.

    python benchmarks/gradient.py [--output FILE]

The table has the set-up of the published law of row 57 (64-64-64-10, relu, 60 samples, nothing saturates) but the chip's
own arithmetic and its squared error, where that one had softmax cross-entropy; before and after training, because what
limits is the size of the errors in LSBs, and training makes them small.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from learning import write

from crossdyad import data, emulator, recipe
from crossdyad.sim import gradient

SAMPLES = 60
EPOCHS = 30
BETA = 2.0**-5
"""With 16-bit states the nudge can be small, and so can the error of a finite one."""
WIDE = {"state": {"width": 16, "frac": 11}, "accumulator": {"width": 22, "frac": 16}, "delta": {"width": 18, "frac": 15}}
"""Formats of a chip with 16-bit states."""


def wide(name: str) -> recipe.Recipe:
    table = recipe.load(name).model_dump()
    table["formats"] |= WIDE
    return recipe.Recipe.model_validate(table | {"beta": BETA})


def digits_nets(d) -> list[dict]:
    """The digits net with the preset's formats and with 16-bit states, before and after training."""
    rows = []
    x, y = d.x_test[:SAMPLES], d.y_test[:SAMPLES]
    for label, r in (("8-bit states", recipe.load("digits")), ("16-bit states", wide("digits"))):
        trained = emulator.train(r, *d, epochs=EPOCHS)
        for when, weights in (("before", emulator.initial_weights(r)), ("after", trained.weights)):
            rows.append({"formats": label, "training": when} | gradient.compare(r, weights, x, y))
    return rows


def tables(d) -> dict:
    r = recipe.Recipe.model_validate(
        recipe.load("digits").model_dump() | {"name": "law", "sizes": (64, 64, 64, 10), "lanes": (16, 16, 16), "rate_floor": 2.0**-7}
    )
    nets = {"before": emulator.initial_weights(r), "after": emulator.train(r, *d, epochs=EPOCHS).weights}
    return {when: gradient.precision(r, w, d.x_test[:SAMPLES], d.y_test[:SAMPLES]) for when, w in nets.items()}


def spsa() -> list[dict]:
    r, d = recipe.load("xor-spsa"), data.load("xor")
    weights = emulator.initial_weights(r)
    return [{"sample": i} | gradient.spsa_law(r, weights, d.x_train[i], int(d.y_train[i])) for i in range(4)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("build/gradient.json"))
    given = parser.parse_args()
    d = data.load("digits")

    law = spsa()
    print("SPSA on xor, 4096 directions: sample, rms z, worst z, z along the gradient, variance, P - 1, its z")
    for s in law:
        print(
            f"  {s['sample']}  {s['z']:.2f}  {s['worst']:.2f}  {s['along']:+.2f}  {s['variance']:.1f}  {s['law']}  {s['variance_z']:+.2f}"
        )

    nets = digits_nets(d)
    print("digits net: mean per-sample cosine of the chip to dual propagation / to exact; relative errors; by quantization")
    for n in nets:
        rule, exact = n["rule"], n["exact"]
        print(
            f"  {n['formats']:13} {n['training']:6}  {rule['cosine']:.4f} / {exact['cosine']:.4f}   {rule['error']:.3f} / "
            f"{exact['error']:.3f}   {100 * n['quantization']:.0f} %",
            flush=True,
        )

    law_tables = tables(d)
    for when, rows in law_tables.items():
        betas = sorted({t["beta"] for t in rows})
        print(f"mean per-sample cosine to exact, {when} training\nfrac  alpha  beta " + " ".join(f"{b:>7g}" for b in betas))
        for alpha in (0.5, 0.0):
            for frac in (None, 12, 10, 8, 6):
                cells = {t["beta"]: t["cosine"] for t in rows if (t["frac"], t["alpha"]) == (frac, alpha)}
                print(f"{frac or 'none':>4}  {alpha:>5}       " + " ".join(f"{cells[b]:7.3f}" for b in betas))
    write(given.output, {"spsa": law, "digits": nets, "tables": law_tables})


if __name__ == "__main__":
    main()
