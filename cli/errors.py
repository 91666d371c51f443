"""Errors of a command: one line, and a status that a script can rely on."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from . import interrupt

CHECK_FAILED, BAD_INPUT, TOOL_MISSING = 1, 2, 3
PIPE_CLOSED = 141
"""Exit status that a shell gives a command ended by a closed pipe."""


def explained(command: Callable[..., None]) -> Callable[..., None]:
    """Turn the errors a user can cause into one line on standard error and an exit status."""

    @functools.wraps(command)
    def wrapped(*args, **kwargs):
        # a shell leaves the ~ of --option=~/folder as it is
        kwargs = {name: value.expanduser() if isinstance(value, Path) else value for name, value in kwargs.items()}
        try:
            with interrupt.prompt():
                result = command(*args, **kwargs)
                sys.stdout.flush()
                return result
        except typer.Exit:  # itself a RuntimeError
            raise
        except BrokenPipeError:
            raise typer.Exit(pipe_closed()) from None
        except (ValueError, OSError) as error:
            _say(_words(error))
            raise typer.Exit(BAD_INPUT) from None
        except ArithmeticError as error:  # a circuit whose states do not settle
            _say(str(error))
            raise typer.Exit(CHECK_FAILED) from None
        except RuntimeError as error:
            # ToolMissing and SimulatorMissing are told by name, so that no wing is imported to say so
            missing = type(error).__name__ in ("ToolMissing", "SimulatorMissing")
            _say(str(error))
            raise typer.Exit(TOOL_MISSING if missing else CHECK_FAILED) from None
        except KeyboardInterrupt:
            _say("interrupted; what was finished is kept, the same command goes on from there")
            raise typer.Exit(130) from None

    return wrapped


def pipe_closed() -> int:
    """Let nothing more be written to a reader that has gone (``crossdyad cookbook | head``); returns the exit status."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return PIPE_CLOSED


def usable(folder: Path | None) -> Path | None:
    """Refuse an output folder that cannot be written, before the work whose results it is to hold."""
    if folder is None:
        return None
    import tempfile

    folder = folder.expanduser()
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return folder
    except OSError as error:
        problem = "no folder" if there.is_file() else error.strerror
        _say(f"{there}: {problem}, so {folder} cannot be written; choose another place or its permissions")
        raise typer.Exit(BAD_INPUT) from None


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; choose another place or its permissions"
    return str(error)


def _say(text: str) -> None:
    print(f"crossdyad: {text}", file=sys.stderr)
