"""External tools, none of which outlives who called it."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

# the tool's parent: the leader of a group of processes, which it kills when its standard input ends, and that ends with our process,
# however it comes
_LEADER = """\
import os, signal, subprocess, sys, threading
def follow():
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=follow, daemon=True).start()
status = subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL)
os._exit(status if status >= 0 else 128 - status)
"""


class Stopped(RuntimeError):
    """A tool that had not ended, or not begun, when `together` was left."""


def run(
    command: Sequence[str | Path],
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    stdout: int | IO[str] = subprocess.PIPE,
    held: list[IO[str] | None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    Ctrl-C, or whatever else ends this call or this process, ends the command and all that it has started.

    Parameters
    ----------
    command : sequence of str or path
    cwd, env
        As of `subprocess.run`.
    stdout : file, optional
        Where both of its outputs go; by default they are returned, as text.
    held : list, optional
        Of `together`.
    """
    leader = [sys.executable, "-I", "-S", "-c", _LEADER, *map(str, command)]
    with subprocess.Popen(
        leader,
        cwd=cwd,
        env=env,
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    ) as process:
        line, process.stdin = process.stdin, None  # or communicate would close it
        assert line is not None  # a pipe, as asked for
        try:
            if held is not None:
                held.append(line)
                if None in held:
                    raise Stopped(f"{command[0]} was not started")
            output, _ = process.communicate()
            if held is not None and None in held:
                raise Stopped(f"{command[0]} was ended")
        finally:
            line.close()
    return subprocess.CompletedProcess(command, process.returncode, output or "", "")


@contextlib.contextmanager
def together() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Yield a `run` for several threads; whatever it still runs when the context is left is ended."""
    held: list[IO[str] | None] = []
    try:
        yield functools.partial(run, held=held)
    finally:
        held.append(None)
        for line in held[:]:
            if line is not None:
                line.close()
