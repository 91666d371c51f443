"""What a command says when it cannot go on: one line, and a status that a script can rely on."""

from __future__ import annotations

import functools
import sys

import typer

from . import interrupt

CHECK_FAILED, BAD_INPUT, TOOL_MISSING = 1, 2, 3


def explained(command):
    """Turn the errors a user can cause into one line on standard error and an exit status."""

    @functools.wraps(command)
    def wrapped(*args, **kwargs):
        try:
            with interrupt.prompt():
                return command(*args, **kwargs)
        except typer.Exit:      # itself a RuntimeError
            raise
        except (ValueError, OSError) as error:
            _say(_words(error))
            raise typer.Exit(BAD_INPUT) from None
        except ArithmeticError as error:        # a circuit whose states do not settle
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


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; choose another place or its permissions"
    return str(error)


def _say(text: str) -> None:
    print(f"crossdyad: {text}", file=sys.stderr)
