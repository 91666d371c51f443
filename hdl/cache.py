"""A folder in which the tools in WebAssembly keep what they have compiled."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path


@functools.cache
def ensure() -> Path:
    """Return the user's cache folder; where it cannot be written, as in containers and services, one for this process and those it starts.

    The tools look for it themselves, in ``XDG_CACHE_HOME``.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            return home
    except OSError:
        os.environ["XDG_CACHE_HOME"] = folder = tempfile.mkdtemp(prefix="crossdyad-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)
