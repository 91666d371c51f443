"""Files that are whole or not there at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write(path: str | Path, fill: str | Callable[[Path], None]) -> None:
    """Write a file beside its place, then rename it.

    Parameters
    ----------
    path : path
        Its folder is made if it does not exist.
    fill : str or callable
        The text, or what writes the file that it is given.

    Raises
    ------
    OSError
        If it cannot be written; then the place is as it was.
    """
    path = Path(path)
    draft = _draft(path)
    try:
        if isinstance(fill, str):
            draft.write_text(fill)
        else:
            fill(draft)
        draft.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # a full disk has no name of its own
    finally:
        draft.unlink(missing_ok=True)


def check(path: Path, source: Path) -> Path:
    """Return `path` if a result can be written there, so that this is known before it is computed.

    Raises
    ------
    ValueError
        If it is the file that the result is made of.
    OSError
        If it cannot be written.
    """
    if path.exists() and path.samefile(source):
        raise ValueError(f"{path}: is the store itself; name another file with -o")
    draft = _draft(path)
    try:
        draft.touch()
        draft.unlink()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    return path


def _draft(path: Path) -> Path:
    """Return a place beside a file, in its folder, which is made if it does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
