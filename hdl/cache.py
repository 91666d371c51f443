"""A folder in which the tools in WebAssembly keep what they have compiled."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path


@functools.cache
def ensure() -> None:
    """Point ``XDG_CACHE_HOME`` to a temporary folder where the user's cache cannot be written, as in containers and services."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            return
    except OSError:
        os.environ["XDG_CACHE_HOME"] = folder = tempfile.mkdtemp(prefix="crossdyad-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
