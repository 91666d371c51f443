"""Builds many recipes for a board, to calibrate and to judge the model of what a chip costs (`crossdyad.explore.cost`).

    python benchmarks/cost.py build [--runs 60] [--seed 1]     # resumable: builds that are there are not repeated
    python benchmarks/cost.py fit                              # writes explore/cost.json and prints the errors on unseen builds

Each recipe is synthesised, placed and routed once, with place and route seed 1; what came out is kept in `builds.jsonl`, a line each.
A router that does not come to an end within ten minutes is stopped, and its recipe left out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from crossdyad.explore import cost
from crossdyad.hdl import synth
from crossdyad.recipe import Recipe

BUILDS = Path(__file__).with_name("builds.jsonl")
WORK = Path(".build/cost")
LIMIT = 600
"""Seconds for a build."""
BOARD = "ulx3s"
FOLDS = 10
TARGET = Path(cost.__file__).with_name("cost.json")


def recipes(runs: int, seed: int) -> list[Recipe]:
    """Random recipes that fit the board's multipliers, from small to middling."""
    draw, found = random.Random(seed), []
    while len(found) < runs:
        hidden = [draw.choice((6, 8, 12, 16, 24, 32, 48)) for _ in range(draw.choice((1, 1, 1, 2)))]
        sizes = (draw.choice((3, 8, 16, 32, 64, 64, 100)), *hidden, draw.choice((2, 4, 10)))
        lanes = [draw.choice([n for n in (1, 2, 4, 8, 16) if n < 2 * c]) for c in sizes[:-1]]
        state, weight = draw.choice((4, 6, 8, 10, 12)), draw.choice((6, 8, 10, 12, 16, 18))
        whole = draw.choice((1, 2, 3))
        table = {
            "name": f"cost{len(found)}", "sizes": sizes, "lanes": lanes,
            "alpha": draw.choice((0, 0.5, 1)), "beta": 2.0 ** draw.randint(-2, 2),
            "rule": draw.choice(("dual-propagation", "dual-propagation", "dual-propagation", "spsa", "inference")),
            "activation": draw.choice(("relu", "hard_tanh")), "learning_rate": 2.0**-4, "rate_floor": 2.0**-8, "epsilon": 2.0**-3,
            "formats": {"state": {"width": state, "frac": state - whole}, "weight": {"width": weight, "frac": weight - 3},
                        "accumulator": {"width": draw.choice((12, 16, 20)), "frac": draw.choice((6, 8))},
                        "delta": {"width": draw.choice((6, 8, 11)), "frac": draw.choice((4, 5))}},
            "rounding": {"weight": draw.choice(("stochastic", "stochastic", "nearest")), "state": draw.choice(("nearest", "stochastic"))},
            "devices": {"read_noise": draw.choice((0, 0, 0, 0.1)), "levels": draw.choice((0, 0, 16))},
        }
        try:
            made = Recipe.model_validate(table)
            synth.check_fits(synth._least(made), synth.BOARDS[BOARD], made)
        except ValueError:
            continue
        if sum(made.lanes) <= 24:
            found.append(made)
    return found


def kept() -> list[dict]:
    """The builds that are there, by seed and number."""
    lines = BUILDS.read_text().splitlines() if BUILDS.exists() else []
    return sorted(map(json.loads, lines), key=lambda b: (b["seed"], b["number"]))


def build(runs: int, seed: int) -> None:
    """Every build in a process of its own, so that it can be stopped with its tools."""
    there = {(b["seed"], b["number"]) for b in kept()}
    for number in range(runs):
        if (seed, number) in there:
            continue
        one = subprocess.Popen([sys.executable, __file__, "one", "--runs", str(runs), "--seed", str(seed), "--number", str(number)],
                               start_new_session=True)
        try:
            one.wait(LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(one.pid, signal.SIGKILL)
            one.wait()
            print(f"{number}: no end after {LIMIT} s; left out", flush=True)


def build_one(runs: int, seed: int, number: int) -> None:
    made = recipes(runs, seed)[number]
    try:
        report = synth.synthesize(made, BOARD, WORK / f"{seed}-{number}", seeds=(1,))
    except (synth.DoesNotFit, synth.SynthesisError) as error:
        print(f"{made.name}: {error}", flush=True)
        return
    found = {name: n["used"] for name, n in report["utilisation"].items()} | {"Fmax": report["fmax"]["median"]}
    line = {"seed": seed, "number": number, "recipe": made.model_dump(mode="json", exclude_defaults=True), **found}
    with open(BUILDS, "a") as file:
        file.write(json.dumps(line) + "\n")
    print(number, found, flush=True)


def weights_of(x, true, scale) -> np.ndarray:
    """Non-negative weights that make the squares of the relative errors small."""
    return nnls(x * scale[:, None], true * scale)[0]


def fit() -> None:
    """The weights from all builds; judged by cross-validation: every build is predicted once by a fit that has not seen it."""
    builds = kept()
    made = [Recipe.model_validate(b["recipe"]) for b in builds]
    fold = np.arange(len(made)) % FOLDS
    model, errors = {}, {}
    for name in (*cost.RESOURCES, "period"):
        true = np.array([1e3 / b["Fmax"] if name == "period" else b[cost.RESOURCES[name]] for b in builds], dtype=float)
        scale, unseen = 1 / np.maximum(true, 1), np.zeros(len(made))
        if name in ("multipliers", "memory"):                          # counted, not fitted
            unseen = np.array([cost.multipliers(r) if name == "multipliers" else cost.blocks(r) for r in made], dtype=float)
        else:
            rows = [cost.paths(r) if name == "period" else cost.features(r) for r in made]
            x = np.array([list(r.values()) for r in rows])
            for n in range(FOLDS):
                out = fold == n
                unseen[out] = x[out] @ weights_of(x[~out], true[~out], scale[~out])
            model[name] = {k: float(f"{w:.4g}") for k, w in zip(rows[0], weights_of(x, true, scale), strict=True) if w > 0}
        off = np.abs(unseen - true) * scale
        errors[name] = {"median": float(np.median(off)), "worst": float(off.max())}
        print(f"{name:12} unseen: median {100 * np.median(off):5.1f} %, worst {100 * off.max():5.1f} %")
    found = {"model": model, "held_out_errors": errors, "builds": len(made), "folds": FOLDS, "board": BOARD,
             "command": "python benchmarks/cost.py fit"}
    TARGET.write_text(json.dumps(found, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("build", "one", "fit"))
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--number", type=int, default=0, help="of the step one: which recipe")
    given = parser.parse_args()
    if given.step == "build":
        build(given.runs, given.seed)
    elif given.step == "one":
        build_one(given.runs, given.seed, given.number)
    else:
        fit()


if __name__ == "__main__":
    main()
