"""Builds many recipes for a board, to calibrate and to judge the model of what a chip costs (`crossdyad.explore.cost`).

    python benchmarks/cost.py build     # the builds that are missing, a minute or two each; may be stopped at any time
    python benchmarks/cost.py fit       # writes explore/cost.json
    python benchmarks/cost.py table     # writes the table of docs/cost.md; without a word, only prints it

Two sets of recipes are drawn from what people sweep, by two seeds; to the first the presets and the README's examples are added. The model
is fitted to that set, the calibration set, alone, and judged on the other one, held out. Each recipe is synthesised and packed for the
device (which gives LUTs, flip-flops, multipliers and memory blocks), then placed and routed once, with seed 1 (which gives Fmax), the
sets by turns. `cost_builds.jsonl` keeps a line per recipe; the rest takes seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
import re
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
from amaranth.back import rtlil
from scipy.optimize import least_squares, nnls

from crossdyad.explore import cost
from crossdyad.explore.memories import Words
from crossdyad.hdl import synth
from crossdyad.hdl.boards import BOARDS
from crossdyad.hdl.families import ECP5
from crossdyad.hdl.fits import check_fits, least
from crossdyad.hdl.host import Host
from crossdyad.recipe import Recipe, load, table

BUILDS = Path(__file__).with_name("cost_builds.jsonl")
TARGET = Path(cost.__file__).with_name("cost.json")
PAGE = Path(__file__).parents[1] / "docs" / "cost.md"
MARK = "<!-- python benchmarks/cost.py table -->"
WORK = Path(".build/cost")
LIMIT = 600
"""Seconds of a processor for one tool's run; what takes longer is left out."""
BOARD, LARGER = "ulx3s", "ulx3s-85f"
"""Where recipes are built; and where those of the held-out set are routed that the first cannot hold, a larger device of the same kind."""
PRIOR = 0.05
"""How firmly a factor is held to 1, next to the relative error of one build."""
SEEDS_DIFFER, KIND_UNSURE, SHARED_UNSURE, SIZE = 0.05, 0.1, 0.2, 0.1
"""How far periods of two seeds of place and route differ, how far from 1 factors of paths may be, how periods grow with LUTs: about."""
METRICS = (*cost.RESOURCES, "fmax")
SEED = {"calibration": 1, "held-out": 2}
COUNT = {"calibration": 12, "held-out": 20}
NAMED = ("digits", "digits8", "xor", "xor-spsa")
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


def drawn(count: int, seed: int) -> list[Recipe]:
    """Random recipes that fit the board's multipliers, from small to middling."""
    draw, found = random.Random(seed), []
    while len(found) < count:
        one_of = lambda *values: draw.choice(values)  # noqa: E731
        hidden = [one_of(6, 8, 12, 16, 24, 32, 32, 48) for _ in range(one_of(1, 1, 1, 2))]
        sizes = (one_of(3, 8, 16, 32, 64, 64, 64, 100), *hidden, one_of(2, 4, 10, 10))
        lanes = [draw.choice([n for n in (1, 2, 4, 8, 8, 16) if n < 2 * c]) for c in sizes[:-1]]
        state, weight = one_of(4, 5, 6, 7, 8, 8, 10, 12), one_of(4, 6, 8, 8, 10, 12, 16, 16)
        accumulator, delta = one_of(12, 14, 16, 16, 18), one_of(6, 9, 9, 11, 11, 13)
        floor, law = 2.0 ** -one_of(7, 8, 9), one_of("ideal", "ideal", "ideal", "ideal", "constant", "linear", "soft-bounds")
        whole = {"state": one_of(2, 3, 3), "weight": one_of(1, 2, 3), "accumulator": one_of(4, 6, 6), "delta": one_of(1, 3, 4)}
        widths = {"state": state, "weight": weight, "accumulator": accumulator, "delta": delta}
        table = {
            "name": f"r{len(found)}",
            "sizes": sizes,
            "lanes": lanes,
            "alpha": one_of(0, 0, 0.5, 1),
            "beta": 2.0 ** draw.randint(-2, 2),
            "learning_rate": 16 * floor,
            "rate_floor": floor,
            "epsilon": 2.0**-3,
            "rule": {3: "spsa", 7: "inference"}.get(len(found) % 10, "dual-propagation"),
            "activation": one_of("relu", "relu", "hard_tanh"),
            "output": one_of("identity", "identity", "hard_sigmoid"),
            "formats": {place: {"width": w, "frac": w - whole[place]} for place, w in widths.items()},
            "rounding": {
                "weight": one_of("stochastic", "stochastic", "nearest"),
                "state": one_of("nearest", "nearest", "nearest", "stochastic"),
                "accumulator": one_of("nearest", "nearest", "floor", "stochastic"),
                "delta": one_of("nearest", "nearest", "stochastic"),
            },
            "devices": {"read_noise": one_of(0, 0, 0.05, 0.1), "levels": one_of(0, 0, 0, 16, 64), "stuck": one_of(0, 0, 0, 0.02)},
            "pulses": {} if law == "ideal" else {"law": law, "step": 2.0 ** (whole["weight"] - weight + draw.randint(0, 4))},
        }
        most = one_of(8, 12, 16, 24) if law in ("ideal", "constant") and delta < 12 else 12
        try:
            made = Recipe.model_validate(table)
            check_fits(least(made, ECP5), BOARDS[BOARD], made)
        except ValueError:
            continue
        if sum(lanes) <= most:
            found.append(made)
    return found


def recipes() -> dict[tuple[str, str], Recipe]:
    """Set and name to recipe, both sets by turns."""
    named = [load(name) for name in NAMED] + [Recipe.model_validate(t) for t in EXAMPLES]
    sets = {"calibration": named + drawn(COUNT["calibration"], SEED["calibration"]), "held-out": drawn(COUNT["held-out"], SEED["held-out"])}
    turns = itertools.zip_longest(*([(group, r) for r in of] for group, of in sets.items()))
    return {(group, r.name): r for group, r in filter(None, itertools.chain(*turns))}


def kept() -> dict[tuple[str, str], dict]:
    """The builds that are there."""
    lines = BUILDS.read_text().splitlines() if BUILDS.exists() else []
    return {(b["set"], b["name"]): b for b in map(json.loads, lines)}


def build() -> None:
    """Every build that is missing: first all are packed, then placed and routed, the small ones first."""
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    wanted = recipes()
    for key, recipe in wanted.items():
        if key not in kept():
            step(packed, key, recipe)
    for key in sorted(wanted, key=lambda k: kept()[k].get("LUT", 0)):
        board = BOARD if fits(kept()[key]) else LARGER
        if (board == BOARD or key[0] == "held-out") and not kept()[key].keys() & {"Fmax", "failed"}:
            step(routed, key, wanted[key], board)


def fits(build: dict) -> bool:
    """Whether the first board holds what a build takes."""
    return all(build.get(name, 0) <= held for name, held in BOARDS[BOARD].holds.items())


def step(run, key: tuple[str, str], recipe: Recipe, board: str = BOARD) -> None:
    """A step of a build, and what came of it into the file."""
    start, line = time.monotonic(), kept().get(key, dict(zip(("set", "name"), key, strict=True)))
    try:
        line |= run(recipe, BOARDS[board], WORK / "-".join(key))
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
    used |= {"board": board.name} if board.name != BOARD else {}
    return used | {"Fmax": round(min(c["achieved"] for c in report["fmax"].values()), 2)}


def figure(name: str, build: dict) -> float:
    """A build's figure of one of `cost.estimate`'s metrics."""
    return build["Fmax" if name == "fmax" else cost.RESOURCES[name]]


@contextlib.contextmanager
def of_before() -> Iterator[None]:
    """Chips as they were built: E lent no bits to the columns (contract section 3), and had one more where probes have the most; the link
    had no memory of frames."""
    wider = property(lambda recipe: (2 * recipe.probe << recipe.update_shift).bit_length() + 1)
    without = mock.patch.object(cost, "frames", lambda recipe: Words(0, 0, 0))
    with mock.patch.object(table, "MOST_LENT", 0), mock.patch.object(Recipe, "probe_bits", wider, create=True), without:
        yield


def builds(group: str, name: str = "lut") -> list[dict]:
    """The builds of a set that have a figure."""
    return [b for (of, _), b in kept().items() if of == group and ("Fmax" in b if name == "fmax" else "LUT" in b)]


def factors(rows: list[dict], true: np.ndarray) -> dict[str, float]:
    """Factors near 1, none negative, that make the squares of the relative errors small."""
    x = np.array([[row.get(n, 0.0) for n in cost.PARTS] for row in rows]) / true[:, None]
    held = PRIOR * np.eye(len(cost.PARTS))
    target = np.concatenate([np.ones(len(true)), PRIOR * np.ones(len(cost.PARTS))])
    return dict(zip(cost.PARTS, nnls(np.vstack([x, held]), target)[0], strict=True))


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
        name: factors([cost.bill(r)[name == "lut"] for r in made], np.array([figure(name, b) for b in found], dtype=float))
        for name in ("ff", "lut")
    }
    some = [(r, 1e3 / b["Fmax"]) for r, b in zip(made, found, strict=True) if "Fmax" in b]
    luts = np.array([cost.weighed(model["lut"], cost.bill(r)[1]) for r, _ in some])
    model["period"] = period_factors([r for r, _ in some], luts, np.array([p for _, p in some]))
    return {name: {k: float(f"{v:.4g}") for k, v in of.items()} for name, of in model.items()}


@of_before()
def errors(model: dict, found: list[dict]) -> dict[str, np.ndarray]:
    """Metric to the relative errors of a model on the builds that have it; of counts below one, the errors themselves."""
    told = [(cost.figures(model, Recipe.model_validate(b["recipe"])), b) for b in found]
    return {
        name: np.array([abs(m[name] - figure(name, b)) / max(figure(name, b), 1) for m, b in told if name != "fmax" or "Fmax" in b])
        for name in METRICS
    }


@of_before()
def ratios(model: dict, found: list[dict]) -> dict[str, list[float]]:
    """Metric to what each build has for one unit of the model's figure, in the order of the builds, of which all must be routed."""
    told = [(cost.figures(model, Recipe.model_validate(b["recipe"])), b) for b in found]
    return {name: [round(figure(name, b) / m[name], 4) for m, b in told] for name in cost.UNSURE}


def summary(found: np.ndarray) -> dict[str, float] | None:
    """Median and worst of some errors."""
    return {"median": round(float(np.median(found)), 4), "worst": round(float(found.max()), 4)} if len(found) else None


@of_before()
def fitted() -> dict:
    """What `cost.coefficients` gives: from the calibration set alone, but for the errors on the held-out set."""
    found = builds("calibration")
    model, sizes = model_of(found), [cost.measures(Recipe.model_validate(b["recipe"])) for b in found]
    alone = [errors(model_of(found[:i] + found[i + 1 :]), [b]) for i, b in enumerate(found)]
    return {
        "model": model,
        "range": {n: [min(s[n] for s in sizes), max(s[n] for s in sizes)] for n in sizes[0]},
        "board": BOARD,
        "builds": {group: {"packed": len(builds(group)), "routed": len(builds(group, "fmax"))} for group in SEED},
        "left_out_errors": {n: summary(np.concatenate([e[n] for e in alone])) for n in METRICS},
        "held_out_errors": {n: summary(e) for n, e in errors(model, builds("held-out")).items()},
        "held_out_ratios": ratios(model, builds("held-out")),
        "command": "python benchmarks/cost.py fit",
    }


def fit() -> None:
    """Write `explore/cost.json`."""
    TARGET.write_text(json.dumps(fitted(), indent=1) + "\n")


@of_before()
def tables() -> str:
    """Of the held-out set: a row per recipe, each figure as model / build; and the errors."""
    model, found = cost.coefficients()["model"], builds("held-out")
    rows = ["| recipe | LUT | FF | multipliers | memory blocks | Fmax, MHz |", "|---|---|---|---|---|---|"]
    for b in found:
        recipe = Recipe.model_validate(b["recipe"])
        told, cells = cost.figures(model, recipe), []
        for name in METRICS:
            if name == "fmax" and "Fmax" not in b:
                cells.append(f"{told[name]:.0f} / " + ("not routed" if fits(b) else "does not fit"))
                continue
            off = 100 * (told[name] - figure(name, b)) / max(figure(name, b), 1)
            where = "" if name != "fmax" or fits(b) else ", on the 85F"
            cells.append(f"{told[name]:.0f} / {figure(name, b):.0f}" + (f" ({off:+.1f} %{where})" if abs(off) >= 0.05 else ""))
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
        "lanes " + ", ".join(map(str, recipe.lanes)),
        "bits " + "/".join(str(getattr(f, p).width) for p in ("weight", "state", "accumulator", "delta")),
    ]
    told += [recipe.rule] * (recipe.rule != "dual-propagation") + [recipe.pulses.law] * (recipe.pulses.law != "ideal")
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
