"""Builds many recipes for a board, to calibrate and to judge the model of what a chip costs (`crossdyad.explore.cost`).

    python benchmarks/cost.py build     # the builds that are missing, half a minute each, and routing, some minutes; may be stopped
    python benchmarks/cost.py fit       # writes explore/cost.json
    python benchmarks/cost.py table     # writes the table of docs/cost.md; without a word, only prints it

Recipes are drawn over the presets of all rules: sizes, lanes, engines, formats, roundings, devices and pulses of each are drawn anew. Every
third is held out; to the others some presets and examples are added. The model is fitted to these, the calibration set, alone, and judged
on what is held out, and on the presets of the rules as they were routed (`benchmarks/routed.py`), which no fit sees either. Each recipe is
synthesised and packed for the device (which gives LUTs, flip-flops, multipliers and memory blocks), then placed and routed once, with
seed 1 (which gives Fmax). `cost_builds.jsonl` keeps a line per recipe; the rest takes seconds.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import time
from pathlib import Path

import numpy as np
from amaranth.back import rtlil
from scipy.optimize import least_squares, nnls

from crossdyad.explore import cost, rules
from crossdyad.explore.bill import PARTS, bill
from crossdyad.explore.cards import presets_of_rules
from crossdyad.hdl import synth
from crossdyad.hdl.boards import BOARDS
from crossdyad.hdl.families import ECP5
from crossdyad.hdl.fits import check_fits, least
from crossdyad.hdl.host import Host
from crossdyad.recipe import Recipe, load

BUILDS = Path(__file__).with_name("cost_builds.jsonl")
TARGET = Path(cost.__file__).with_name("cost.json")
PAGE = Path(__file__).parents[1] / "docs" / "cost.md"
MARK = "<!-- python benchmarks/cost.py table -->"
WORK = Path(".build/cost")
LIMIT = 600
"""Seconds of a processor for one tool's run; what takes longer is left out."""
BOARD = "ulx3s"
"""Where recipes are built."""
PRIOR = 0.1
"""How firmly a factor is held to 1, next to the relative error of one build."""
SEEDS_DIFFER, KIND_UNSURE, SHARED_UNSURE, SIZE = 0.05, 0.1, 0.2, 0.1
"""How far periods of two seeds of place and route differ, how far from 1 factors of paths may be, how periods grow with LUTs: about."""
METRICS = (*cost.RESOURCES, "fmax")
SETS = ("calibration", "held-out")
SEED, COUNT, HELD = 3, 25, 3
"""Of the recipes that are drawn, and which are held out: every third."""
NAMED = ("digits8", "xor", "xor-spsa")
"""Recipes of the calibration set besides those drawn: presets; the README's examples, and two corners of the range."""
EXAMPLES = (
    {
        "name": "mine",
        "sizes": (64, 24, 10),
        "lanes": (8, 4),
        "alpha": 0.5,
        "beta": 1.0,
        "learning_rate": 0.0625,
        "rate_floor": 0.00390625,
        "formats": {"weight": {"width": 8, "frac": 6}, "delta": {"width": 11, "frac": 8}},
    },
    {
        "name": "noisy",
        "sizes": (64, 32, 10),
        "lanes": (16, 8),
        "alpha": 0,
        "beta": 4.0,
        "devices": {"read_noise": 0.05, "levels": 64, "stuck": 0.02},
        "pulses": {"law": "soft-bounds", "step": 0.001953125},
    },
    {
        "name": "least",
        "sizes": (3, 6, 2),
        "lanes": (1, 1),
        "alpha": 0,
        "beta": 4.0,
        "formats": {
            "weight": {"width": 4, "frac": 2},
            "state": {"width": 4, "frac": 1},
            "accumulator": {"width": 12, "frac": 6},
            "delta": {"width": 6, "frac": 2},
        },
    },
    {
        "name": "most",
        "sizes": (100, 48, 32, 10),
        "lanes": (16, 4, 4),
        "alpha": 0,
        "beta": 4.0,
        "rounding": {"weight": "nearest"},
        "formats": {
            "weight": {"width": 18, "frac": 15},
            "state": {"width": 12, "frac": 9},
            "accumulator": {"width": 18, "frac": 12},
            "delta": {"width": 11, "frac": 8},
        },
    },
)


LATER = ("reversible", "forward-forward")
"""Rules that came after the recipes were drawn."""


def drawn(count: int, seed: int) -> list[Recipe]:
    """Random recipes of all rules but `LATER` that fit the board's multipliers, most of them small."""
    draw, found, waiting = random.Random(seed), [], []
    presets = {name: preset for name, preset in presets_of_rules().items() if name not in LATER}
    while len(found) < count:
        one_of = lambda *values: draw.choice(values)  # noqa: E731
        waiting = waiting or draw.sample(sorted(presets), len(presets))
        of = load(presets[waiting[-1]])
        sizes = [one_of(4, 8, 16, 16, 32, 64), *(one_of(6, 8, 12, 16, 24) for _ in range(one_of(1, 1, 1, 2))), one_of(2, 3, 4, 10)]
        table = of.model_dump(mode="json", exclude_defaults=True)
        shared = draw.random() < 0.25
        lanes = [draw.choice([n for n in (1, 2, 2, 4, 4, 8, 8) if n < 2 * c]) for c in sizes[:-1]]
        formats = {}
        for place, steps in (("weight", (-4, -2, 0, 0)), ("state", (-2, 0, 0, 2)), ("accumulator", (-2, 0, 0)), ("delta", (-2, 0, 0, 1))):
            f, by = getattr(of.formats, place), one_of(*steps)
            formats[place] = {"width": f.width + by, "frac": f.frac + by}
        law = one_of(*["ideal"] * 7, "constant", "linear", "soft-bounds")
        devices = {"read_noise": one_of(0, 0, 0, 0, 0.05), "levels": one_of(0, 0, 0, 0, 16), "stuck": one_of(0, 0, 0, 0, 0, 0, 0.02)}
        table |= {"name": f"{waiting[-1]}-{len(found)}", "sizes": sizes, "lanes": lanes, "formats": formats, "devices": devices}
        table["rounding"] = {place: one_of("nearest", "nearest", "stochastic") for place in ("state", "delta")} | {
            "weight": one_of("stochastic", "stochastic", "nearest"),
            "accumulator": one_of("nearest", "nearest", "floor", "stochastic"),
        }
        table["activation"] = one_of(table.get("activation", "relu"), "relu", "hard_tanh")
        if law != "ideal":
            table["pulses"] = {"law": law, "step": 2.0 ** (draw.randint(0, 4) - formats["weight"]["frac"])}
        table.pop("engines", None)
        try:
            if shared:
                matrices = [m.name for m in Recipe.model_validate(table).matrices]
                del table["lanes"]
                table["engines"] = [{"lanes": max(lanes), "matrices": matrices}]
            made = Recipe.model_validate(table)
            check_fits(least(made, ECP5), BOARDS[BOARD], made)
        except ValueError:
            continue
        waiting.pop()
        found.append(made)
    return found


def recipes() -> dict[tuple[str, str], Recipe]:
    """Set and name to recipe."""
    named = [load(name) for name in NAMED] + [Recipe.model_validate(t) for t in EXAMPLES]
    sets = [(SETS[n % HELD == HELD - 1], r) for n, r in enumerate(drawn(COUNT, SEED))]
    return {(of, r.name): r for of, r in sets} | {(SETS[0], r.name): r for r in named}


def kept() -> dict[tuple[str, str], dict]:
    """The builds that are there."""
    lines = BUILDS.read_text().splitlines() if BUILDS.exists() else []
    return {(b["set"], b["name"]): b for b in map(json.loads, lines)}


def build() -> None:
    """Every build that is missing: first all are packed, then placed and routed, in the order in which they were drawn."""
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    wanted = recipes()
    for key, recipe in wanted.items():
        if key not in kept():
            step(packed, key, recipe)
    for key in wanted:
        if fits(kept()[key]) and not kept()[key].keys() & {"Fmax", "failed"}:
            step(routed, key, wanted[key])


def fits(build: dict) -> bool:
    """Whether the first board holds what a build takes."""
    return all(build.get(name, 0) <= held for name, held in BOARDS[BOARD].holds.items())


def step(run, key: tuple[str, str], recipe: Recipe) -> None:
    """A step of a build, and what came of it into the file."""
    start, line = time.monotonic(), kept().get(key, dict(zip(("set", "name"), key, strict=True)))
    try:
        line |= run(recipe, BOARDS[BOARD], WORK / "-".join(key))
    except synth.SynthesisError as error:
        line |= {"failed": str(error).split(" (all of it")[0]}
    lines = kept() | {key: line}
    BUILDS.write_text("".join(json.dumps(b) + "\n" for b in lines.values()))
    print(*key, run.__name__, f"{time.monotonic() - start:.0f} s:", {k: v for k, v in line.items() if k != "recipe"}, flush=True)


def packed(recipe: Recipe, board, work: Path) -> dict:
    """Synthesise, and count what is used."""
    work.mkdir(parents=True, exist_ok=True)
    top = synth.Top(Host(recipe, board.clock, synth.BAUD), pins=board.pins)
    (work / "top.il").write_text(rtlil.convert(top, name="top", platform=board, emit_src=False))
    (work / "top.lpf").write_text(board.constraints())
    synth.netlist(work, ECP5)
    synth._run(
        ECP5.package,
        ECP5.router,
        [
            *ECP5.options(ECP5.devices[board.device], board.description.package, board.speed),
            "--json",
            "top.json",
            "--lpf",
            "top.lpf",
            "--pack-only",
            "--quiet",
            "--log",
            "pack.log",
        ],
        work,
    )
    log = (work / "pack.log").read_text()
    used = {ours: int(re.search(rf"{theirs}: *(\d+)/", log)[1]) for ours, theirs in ECP5.resources.items()}
    return {"recipe": recipe.model_dump(mode="json", exclude_defaults=True), **used}


def routed(recipe: Recipe, board, work: Path) -> dict:
    """Place and route, and count again."""
    report = synth.place_and_route(work, board, True, 1)
    used = {ours: report["utilization"][theirs]["used"] for ours, theirs in ECP5.resources.items()}
    return used | {"Fmax": round(min(c["achieved"] for c in report["fmax"].values()), 2)}


def figure(name: str, build: dict) -> float:
    """A build's figure of one of `cost.estimate`'s metrics."""
    return build["Fmax" if name == "fmax" else cost.RESOURCES[name]]


def builds(group: str, name: str = "lut") -> list[dict]:
    """The builds of a set that have a figure."""
    return [b for (of, _), b in kept().items() if of == group and ("Fmax" in b if name == "fmax" else "LUT" in b)]


def chips() -> list[dict]:
    """The presets of the rules as `benchmarks/routed.py` built them, in the form of the builds here; none that has changed since."""
    made = {preset: load(preset) for preset in presets_of_rules().values()}
    return [
        {"set": "rules", "name": preset, "recipe": recipe.model_dump(mode="json", exclude_defaults=True), "Fmax": taken["fmax"]}
        | {theirs: taken[ours] for ours, theirs in cost.RESOURCES.items()}
        for preset, recipe in made.items()
        if (taken := rules.built(recipe, BOARD))
    ]


def factors(rows: list[dict], true: np.ndarray) -> dict[str, float]:
    """Factors near 1, none negative, that make the squares of the relative errors small."""
    x = np.array([[row.get(n, 0.0) for n in PARTS] for row in rows]) / true[:, None]
    held = PRIOR * np.eye(len(PARTS))
    target = np.concatenate([np.ones(len(true)), PRIOR * np.ones(len(PARTS))])
    return dict(zip(PARTS, nnls(np.vstack([x, held]), target)[0], strict=True))


def period_factors(made: list[Recipe], luts: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """The same of paths, of which only the longest shows; and how periods grow with LUTs. Paths through a multiplier that keeps no
    registers have a factor in common, and each has one of its own."""
    shared = np.array([name in cost.MULTIPLIED for name in cost.KINDS])

    def told(p):
        return dict(zip((*cost.KINDS, "size"), (*np.exp(p[:-2] + p[-2] * shared), p[-1]), strict=True))

    def residuals(p):
        off = [np.log(cost.period(told(p), r, n) / t) for r, n, t in zip(made, luts, true, strict=True)]
        return np.concatenate([np.array(off) / SEEDS_DIFFER, p[:-2] / KIND_UNSURE, [p[-2] / SHARED_UNSURE, (p[-1] - SIZE) / SIZE]])

    return told(least_squares(residuals, np.array([0.0] * (len(cost.KINDS) + 1) + [SIZE])).x)


def model_of(found: list[dict]) -> dict:
    """The model of some builds."""
    made = [Recipe.model_validate(b["recipe"]) for b in found]
    model = {
        name: factors([bill(r)[name == "lut"] for r in made], np.array([figure(name, b) for b in found], dtype=float))
        for name in ("ff", "lut")
    }
    some = [(r, 1e3 / b["Fmax"]) for r, b in zip(made, found, strict=True) if "Fmax" in b]
    luts = np.array([cost.weighed(model["lut"], bill(r)[1]) for r, _ in some])
    model["period"] = period_factors([r for r, _ in some], luts, np.array([p for _, p in some]))
    return {name: {k: float(f"{v:.4g}") for k, v in of.items()} for name, of in model.items()}


def errors(model: dict, found: list[dict]) -> dict[str, np.ndarray]:
    """Metric to the relative errors of a model on the builds that have it; of counts below one, the errors themselves."""
    told = [(cost.figures(model, Recipe.model_validate(b["recipe"])), b) for b in found]
    return {
        name: np.array([abs(m[name] - figure(name, b)) / max(figure(name, b), 1) for m, b in told if name != "fmax" or "Fmax" in b])
        for name in METRICS
    }


def ratios(model: dict, found: list[dict]) -> dict[str, list[float]]:
    """Metric to what each build has for one unit of the model's figure, in the order of builds; 1 of Fmax where one is not routed."""
    told = [(cost.figures(model, Recipe.model_validate(b["recipe"])), b) for b in found]
    return {
        name: [1.0 if name == "fmax" and "Fmax" not in b else round(figure(name, b) / m[name], 4) for m, b in told] for name in cost.UNSURE
    }


def summary(found: np.ndarray) -> dict[str, float] | None:
    """Median and worst of some errors."""
    return {"median": round(float(np.median(found)), 4), "worst": round(float(found.max()), 4)} if len(found) else None


def fitted() -> dict:
    """What `cost.coefficients` gives: from the calibration set alone, but for the errors on the held-out set."""
    found = builds("calibration")
    model, sizes = model_of(found), [cost.measures(Recipe.model_validate(b["recipe"])) for b in found]
    alone = [errors(model_of(found[:i] + found[i + 1 :]), [b]) for i, b in enumerate(found)]
    return {
        "model": model,
        "range": {n: [min(s[n] for s in sizes), max(s[n] for s in sizes)] for n in sizes[0]},
        "board": BOARD,
        "builds": {group: {"packed": len(builds(group)), "routed": len(builds(group, "fmax"))} for group in SETS},
        "left_out_errors": {n: summary(np.concatenate([e[n] for e in alone])) for n in METRICS},
        "held_out_errors": {n: summary(e) for n, e in errors(model, builds("held-out") + chips()).items()},
        "held_out_ratios": ratios(model, builds("held-out") + chips()),
        "command": "python benchmarks/cost.py fit",
    }


def fit() -> None:
    """Write `explore/cost.json`."""
    TARGET.write_text(json.dumps(fitted(), indent=1) + "\n")


def tables() -> str:
    """Of the held-out set: a row per recipe, each figure as model / build; and the errors."""
    model, found = cost.coefficients()["model"], builds("held-out")
    rows = ["| recipe | LUT | FF | multipliers | memory blocks | Fmax, MHz |", "|---|---|---|---|---|---|"]
    for b in found:
        recipe = Recipe.model_validate(b["recipe"])
        told, cells = cost.figures(model, recipe), []
        for name in METRICS:
            if name == "fmax" and "Fmax" not in b:
                cells.append(f"{told[name]:.0f} / not routed")
                continue
            off = 100 * (told[name] - figure(name, b)) / max(figure(name, b), 1)
            cells.append(f"{told[name]:.0f} / {figure(name, b):.0f}" + (f" ({off:+.1f} %)" if abs(off) >= 0.05 else ""))
        rows.append(f"| {words(recipe)} | {' | '.join(cells)} |")
    off = errors(model, found)
    for title, of in (("median error", np.median), ("worst error", np.max)):
        rows.append(f"| **{title}** | " + " | ".join(f"**{100 * of(off[n]):.1f} %**" if len(off[n]) else "" for n in METRICS) + " |")
    return "\n".join(rows)


def words(recipe: Recipe) -> str:
    """A recipe in short."""
    f, d = recipe.formats, recipe.devices
    told = [
        recipe.name + ":",
        "-".join(map(str, recipe.sizes)),
        "lanes " + ", ".join(map(str, recipe.engine_lanes)),
        "bits " + "/".join(str(getattr(f, p).width) for p in ("weight", "state", "accumulator", "delta")),
    ]
    told += [recipe.pulses.law] * (recipe.pulses.law != "ideal")
    told += [n.replace("_", " ") for n in ("read_noise", "levels", "stuck") if getattr(d, n)]
    return " ".join(told[:2]) + ", " + ", ".join(told[2:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", nargs="?", choices=("build", "fit", "table"))
    step = parser.parse_args().step
    if step in ("build", "fit"):
        {"build": build, "fit": fit}[step]()
    elif step == "table":
        before, _, after = PAGE.read_text().partition(MARK)
        PAGE.write_text(before + MARK + "\n\n" + tables() + "\n\n" + MARK + after.partition(MARK)[2])
    else:
        print(tables())


if __name__ == "__main__":
    main()
