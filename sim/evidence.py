"""The long runs: digits trained in the hardware in every mode and by every rule, and a million vectors for every arithmetic block and
for chips with each device effect, alone and together.

``python -m crossdyad.sim.evidence [FILE.json] [--only WORD] [--samples N]`` does one thing after the other, prints a table, and keeps
each result in FILE.json (default ``.build/evidence.json``) as soon as it is there; what the file already holds for the same sources is
not done again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..recipe import Recipe, Rounding, load, presets_of_rules
from . import agreement, fixed, neuron, noise, nudge, registers, rng, scenario, soak, unit, update, variety

VERILATOR_SAMPLES, ICARUS_SAMPLES, VECTORS = 200, 20, 1_000_000
ROUNDINGS = Rounding.__args__
PLACES = ("accumulator", "state", "delta", "weight")


def digits(**changes) -> Recipe:
    """The digits recipe with other modes."""
    return Recipe.model_validate(load("digits").model_dump() | changes)


def recipes() -> dict[str, Recipe]:
    """Each alpha with each rounding of the weights; each rounding at each other place; wrapping, SPSA; each device effect, and all."""
    found = {
        f"alpha {alpha:g}, weight {mode}": digits(alpha=alpha, rounding={"weight": mode}) for alpha in (0, 0.5, 1) for mode in ROUNDINGS
    }
    for place in ("accumulator", "state", "delta"):
        found |= {f"{place} {mode}": digits(rounding={place: mode}) for mode in ROUNDINGS if mode != "nearest"}
    found["wrap everywhere"] = digits(overflow=dict.fromkeys(PLACES, "wrap"))
    found["spsa"] = digits(rule="spsa")
    effects = {"read_noise": 0.05, "levels": 64, "stuck": 0.02}
    found |= {f"{name} {value:g}": digits(devices={name: value}) for name, value in effects.items()}
    found |= {f"{law} pulses": digits(pulses={"law": law, "step": 2.0**-9}) for law in ("constant", "linear", "soft-bounds")}
    stochastic = dict.fromkeys(PLACES, "stochastic")
    found["all effects, stochastic everywhere"] = digits(
        devices=effects, rounding=stochastic, pulses={"law": "soft-bounds", "step": 2.0**-9}
    )
    found["all effects, spsa"] = digits(devices=effects, rule="spsa")
    return found


def rules() -> dict[str, Recipe]:
    """Each rule's preset with each rounding everywhere; where a program has no such place, the rounding changes nothing."""
    return {
        f"{mode} everywhere, {rule}": Recipe.model_validate(load(preset).model_dump() | {"rounding": dict.fromkeys(PLACES, mode)})
        for mode in ROUNDINGS
        for rule, preset in presets_of_rules().items()
    }


def chip(recipe: Recipe, simulator: str, samples: int) -> dict:
    """One co-simulation on digits, and what matters of its report."""
    report = agreement.cosim(recipe, simulator, samples, stalls="never")
    return {
        "samples": samples,
        "cycles": report.cycles,
        "bits": report.bits,
        "mismatches": report.mismatches,
        "cycle differences": report.cycle_differences,
        "never exercised": report.uncovered,
    }


ROUNDS = 15_000
"""Rounds of a unit, each of more than a hundred cycles."""


def block(case: scenario.Scenario) -> dict:
    """One block's vectors through Verilator in a C++ loop."""
    outcome = scenario.check(case, "replay")
    return {
        "cycles": outcome.cycles,
        "bits": outcome.bits,
        "mismatches": len(outcome.mismatches),
        "never exercised": list(outcome.uncovered),
    }


def blocks() -> Iterator[tuple[str, Callable[[], scenario.Scenario]]]:
    """(name, case maker): exhaustive where the inputs have fewer than 20 bits, else a million vectors."""
    for rounding, overflow in fixed.modes():
        for width_in, shift, width, cycles in ((18, 7, 8, None), (36, 19, 16, VECTORS)):

            def make(a=(width_in, shift, width, rounding, overflow), cycles=cycles):
                return fixed.vectors(fixed.scenario(*a, cycles), *a[1:])

            yield f"fixed {width_in} bits {rounding} {overflow}", make
    yield "registers", lambda: registers.scenario(variety.small(), 0.3, VECTORS)
    yield "rng", lambda: rng.scenario((0x01234567, 0x89ABCDEF), 0x81, VECTORS, vectorised=True)
    for recipe in (r for r in variety.recipes() if r.devices.read_noise):
        yield f"noise {recipe.name}", lambda r=recipe: noise.scenario(r.of_layer(0), VECTORS)
    for recipe, k in ((r, k) for r in map(variety.named, ("relaxing", "gathering")) for k in range(r.layers)):
        yield f"unit {k} {recipe.name}", lambda r=recipe, k=k: unit.scenario(r, k, ROUNDS)
    for recipe in [load("digits"), *variety.recipes()]:
        yield f"neuron {recipe.name}", lambda r=recipe: neuron.scenario(r, 0, VECTORS, vectorised=True)
        yield f"nudge {recipe.name}", lambda r=recipe: nudge.scenario(r, VECTORS, vectorised=True)
        yield f"update {recipe.name}", lambda r=recipe: update.scenario(r.of_layer(0), VECTORS, vectorised=True)


def soaked() -> dict[str, Recipe]:
    """A small chip that learns, without and with each device effect alone, and with all that go together."""
    every = {"read_noise": 0.1, "levels": 8, "stuck": 0.2}
    effects = {"ideal": {}, "read noise": {"read_noise": 0.1}, "levels": {"levels": 8}, "stuck cells": {"stuck": 0.2}}
    effects = {name: {"devices": devices} for name, devices in effects.items()}
    laws = {f"{law} pulses": {"pulses": {"law": law, "step": 2.0**-3}} for law in ("constant", "linear", "soft-bounds")}
    all_of_them = {f"all effects, {name}": {"devices": every} | law for name, law in laws.items()}
    return {
        name: variety.small(
            f"soak-{number}", alpha=0.5, seed=number, **tables, **variety.modes("stochastic", "saturate"), **variety.narrow()
        )
        for number, (name, tables) in enumerate((effects | laws | all_of_them).items())
    }


def soak_one(recipe: Recipe) -> dict:
    """A million vectors through a chip."""
    found = soak.soak(recipe, VECTORS)
    return {
        "vectors": found.vectors,
        "cycles": found.cycles,
        "bits": found.bits,
        "mismatches": found.mismatches,
        "never exercised": [] if found.moved else ["weights that move"],
    }


def sources() -> str:
    """A hash of what the evidence is about: hardware, emulator, recipe and benches."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for wing in ("hdl", "emulator", "recipe", "sim"):
        for path in sorted((root / wing).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def collect(path: Path, only: str = "", samples: int = VERILATOR_SAMPLES) -> dict:
    """Run what is missing in the file, or was run on fewer samples under Verilator; returns all results by name."""
    version = sources()
    kept = json.loads(path.read_text()) if path.exists() else {}
    results = kept.get("results", {}) if kept.get("sources") == version else {}
    played = [(f"chip {s}: {n}", r) for s in ("icarus", "verilator") for n, r in recipes().items()]
    played += [(f"rule {s}: as it is, {n}", load(p)) for s in ("verilator", "icarus") for n, p in presets_of_rules().items()]
    played += [(f"rule verilator: {n}", r) for n, r in rules().items()]
    simulated = [(name, r, *(("icarus", ICARUS_SAMPLES) if "icarus" in name else ("verilator", samples))) for name, r in played]
    tasks = [(name, lambda asked=asked: chip(*asked)) for name, *asked in simulated]
    tasks += [(f"soak {n}", lambda r=r: soak_one(r)) for n, r in soaked().items()]
    tasks = [(f"block {n}", lambda make=make: block(make())) for n, make in blocks()] + tasks
    for name, task in tasks:
        if only in name:
            if name not in results or "verilator" in name and results[name]["samples"] < samples:
                began = time.perf_counter()
                results[name] = task() | {"seconds": round(time.perf_counter() - began, 1)}
                agreement.write(path, {"sources": version, "results": results})
            row = results[name]
            print(
                f"{name:60s} {row['cycles']:9d} cycles {row['bits']:11d} bits {row['mismatches']:3d} mismatches "
                f"{row.get('cycle differences', 0):3d} cycle differences {row['seconds']:7.1f} s",
                flush=True,
            )
    return results


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=Path(".build/evidence.json"))
    parser.add_argument("--only", default="", help="only what has this word in its name")
    parser.add_argument("--samples", type=int, default=VERILATOR_SAMPLES, help="of the data, of chips and rules under Verilator")
    arguments = parser.parse_args()
    results = collect(arguments.file, arguments.only, arguments.samples)
    wrong = [name for name, row in results.items() if row["mismatches"] or row["never exercised"]]
    print(f"{len(results)} runs, {sum(row['bits'] for row in results.values())} bits compared, {len(wrong)} runs that differ")
    for name in wrong:
        print(f"  {name}: {results[name]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
