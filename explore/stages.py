"""Stages of long calls: one progress report for each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

Progress = Callable[[str, int, int], None]
"""Called as ``progress(step, done, of)``."""
Stages = Callable[..., AbstractContextManager[Progress]]
"""Called with a stage's title, and ``even=False`` where its steps do not take equally long; the context gives its `Progress`."""


@contextlib.contextmanager
def silent(title: str, even: bool = True) -> Iterator[Progress]:
    """Give a stage that tells nothing."""
    yield lambda *_: None
