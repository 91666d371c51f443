"""TOML files: read into tables, tables written as text."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

MARK = "\ufeff"
"""Byte-order mark, which some editors put before the text."""


def table_of(text: str, label: str) -> dict[str, Any]:
    """The table of TOML text; ValueError, with `label` before it, if it is none."""
    try:
        return tomllib.loads(text.removeprefix(MARK))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{label}: not TOML: {error}") from None


def text_of(path: Path) -> str:
    """The text of a file.

    Raises
    ------
    FileNotFoundError
    OSError
        In words: a file that cannot be read, or is no text.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise
    except IsADirectoryError:
        raise OSError(f"{path}: a folder; name the file in it") from None
    except OSError as error:
        raise OSError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise OSError(f"{path}: no text in UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None


def written(table: dict[str, Any], path: str = "") -> str:
    """A table of plain values and of tables two deep as TOML text."""

    def scalar(v: Any) -> str:
        if isinstance(v, bool):
            return str(v).lower()
        if isinstance(v, str):
            return json.dumps(v, ensure_ascii=False)
        if isinstance(v, (list, tuple)):
            return "[" + ", ".join(map(scalar, v)) + "]"
        if isinstance(v, dict):
            return "{ " + ", ".join(f"{k} = {scalar(x)}" for k, x in v.items()) + " }"
        return repr(v)

    lines = [f"{k} = {scalar(v)}" for k, v in table.items() if not isinstance(v, dict)]
    for k, v in table.items():
        if isinstance(v, dict):
            lines += ["", f"[{path}{k}]"]
            lines += [f"{n} = {scalar(x)}" for n, x in v.items()]
    return "\n".join(lines) + "\n"
