"""Look up a built-in by name, or import a user's object given as ``package.module:attribute``: only what the user allows."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from .mistakes import near

ALLOWED = "CROSSDYAD_IMPORT"
"""Environment variable: what files may name, separated by commas: modules, with all below them, or ``package.module:attribute``."""


def allow(*names: str) -> None:
    """Let recipes and specifications name objects of one's own, in this process and those that it starts.

    A file may come from anywhere, and importing runs code; so a name is imported only if its user has said so, here or once and for all
    in the environment variable ``CROSSDYAD_IMPORT``.

    Parameters
    ----------
    *names : str
        Modules or packages (with all below them), or single objects as ``package.module:attribute``.
    """
    os.environ[ALLOWED] = ",".join(dict.fromkeys([*_allowed(), *names]))


def imported(name: str, known: dict[str, Any]) -> Any:
    """Return `known[name]`, else import it.

    Raises
    ------
    ValueError
        Without the key; of a name that is unknown, not allowed, or cannot be imported.
    """
    if name in known:
        return known[name]
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError(f"{name!r} is unknown; {near(name, known)}allowed are {', '.join(known)}, or your own as package.module:function")
    _check(name, module)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # of somebody's module, whatever it does
        raise ValueError(
            f"{name!r} cannot be had: {error}; it must be importable: install its package, or set PYTHONPATH to its folder"
        ) from None
    # what an allowed module has only imported itself, such as os.system, is not of it
    own = hasattr(found, "__qualname__") and getattr(found, "__module__", None)  # of a function or a class
    _check(name, own or module)
    return found


def typed(name: str, known: dict[str, Any]) -> Any:
    """Return what a user names on the command line, which allows it: a built-in, ``package.module:attribute`` or ``FILE.py:attribute``.

    Raises
    ------
    ValueError
        For what is unknown, or cannot be imported.
    """
    place, _, attribute = name.rpartition(":")
    if not place.endswith(".py"):
        if place:
            allow(name)
        return imported(name, known)
    loader = SourceFileLoader(place, str(Path(place).expanduser()))
    try:
        module = sys.modules[place] = ModuleType(place)  # where dataclasses look for theirs
        module.__file__ = loader.path
        loader.exec_module(module)
        return getattr(module, attribute)
    except Exception as error:  # of somebody's file, whatever it does
        raise ValueError(f"{name!r} cannot be had: {type(error).__name__}: {error}") from None


def _check(name: str, module: str) -> None:
    """Refuse an object of a module that the user has not allowed; `name` alone, with its attribute, may be allowed too."""
    if not any(name == given or module == given or module.startswith(f"{given}.") for given in _allowed()):
        raise ValueError(
            f"{name!r} is code of {module!r}, and a file runs only code that you allow; "
            f"if you know and trust it, set {ALLOWED}={name} (several: separated by commas; a module's name allows all of it)"
        )


def _allowed() -> list[str]:
    return [name.strip() for name in os.environ.get(ALLOWED, "").split(",") if name.strip()]
