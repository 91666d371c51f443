"""A thing of the house by its name, or one's own by where it is."""

from __future__ import annotations

import importlib

from .mistakes import near


def imported(name: str, known: dict):
    """What has this name among those known, or the function of ``package.module:function``.

    Raises
    ------
    ValueError
        Without the key; of what is not known, or cannot be imported.
    """
    if name in known:
        return known[name]
    module, _, function = name.partition(":")
    if not function:
        raise ValueError(f"{name!r} is unknown; {near(name, known)}allowed are {', '.join(known)}, or your own as package.module:function")
    try:
        return getattr(importlib.import_module(module), function)
    except Exception as error:              # of somebody's module, whatever it does
        raise ValueError(f"{name!r} cannot be had: {error}; it must be importable: install its package, or set PYTHONPATH to its "
                         "folder") from None
