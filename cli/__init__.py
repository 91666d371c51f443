"""The command line: every command is one call in Python, made lazily, so that ``--help`` is instant."""

# ruff: noqa: E402, I001
from __future__ import annotations

from . import interrupt

interrupt.quiet()  # while the rest is loaded

import os
import sys
from typing import Annotated

import typer

from . import (
    age,
    board,
    budget,
    cookbook,
    cosim,
    demo,
    doctor,
    export,
    fit,
    generate,
    new,
    pick,
    report,
    rules,
    schema,
    search,
    sweep,
    synth,
    train,
    weights,
)
from .errors import pipe_closed

interrupt.loud()

app = typer.Typer(
    name="crossdyad",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From one RECIPE to a circuit that learns: emulated bit for bit, written as Verilog, co-simulated, built for an FPGA.\n\n"
    "A RECIPE is the name of a preset (digits, digits8, digits-deep, mnist, xor, ...) or a TOML file.\n\n"
    "Exit status: 0 all is well; 1 a check failed; 2 something you gave cannot be used; 3 a tool is missing.",
)


def _version(wanted: bool) -> None:
    from importlib import metadata

    if wanted:
        typer.echo(f"crossdyad {metadata.version('crossdyad')}")
        raise typer.Exit


@app.callback()
def _environment(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False,
) -> None:
    # a notebook's backend is of no use to a command, and stops Matplotlib where it is not installed
    os.environ.pop("MPLBACKEND", None)
    if os.environ.get("NO_COLOR"):
        context.color = False


for command in (
    demo,
    new,
    generate,
    train,
    weights,
    cosim,
    synth,
    board,
    budget,
    age,
    sweep,
    search,
    report,
    pick,
    export,
    cookbook,
    rules,
    fit,
    doctor,
    schema,
):
    name = command.__name__.rsplit(".", 1)[-1]
    # pick takes a limit for every metric
    free = {"allow_extra_args": True, "ignore_unknown_options": True} if name == "pick" else None
    app.command(context_settings=free)(getattr(command, name))


def main() -> None:
    """Entry point of the `crossdyad` script and of ``python -m crossdyad``."""
    try:
        try:
            with interrupt.at_once():
                app()
        finally:
            sys.stdout.flush()  # here, where a reader that has gone can still be told from an error
    except BrokenPipeError:
        sys.exit(pipe_closed())
