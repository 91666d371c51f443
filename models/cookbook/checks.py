"""Checks of many rows, each in a process of its own pool."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import NamedTuple

from .findings import Finding
from .row import ROWS


class Result(NamedTuple):
    """What the check of a row found, and how long it took."""

    number: int
    findings: list[Finding]
    seconds: float

    @property
    def passed(self) -> bool:
        """At least one finding, and none that failed."""
        return bool(self.findings) and all(f.passed for f in self.findings)


def measure(number: int, seed: int = 0) -> Result:
    """Check one row; what it raises is a finding too."""
    began, found = time.perf_counter(), []
    try:
        found.extend(ROWS[number].findings(seed))
    except Exception as error:      # one broken row must not hide the others' results
        found.append(Finding(f"{type(error).__name__}: {error}", float("nan"), "no error", False))
    return Result(number, found, time.perf_counter() - began)


def check(numbers: Iterable[int] | None = None, seed: int = 0, progress: Callable[[str, int, int], None] | None = None,
          workers: int | None = None) -> list[Result]:
    """Check rows side by side.

    Parameters
    ----------
    numbers : iterable of int, optional
        All rows by default.
    seed : int
        Of systems, inputs and directions.
    progress : callable, optional
        Called as ``progress(step, done, of)``.
    workers : int, optional
        Processes; one per core by default.

    Returns
    -------
    list of Result
        By row number.

    Raises
    ------
    ValueError
        For a number that is no row.
    """
    numbers = sorted(ROWS) if numbers is None else sorted(set(numbers))
    if unknown := [n for n in numbers if n not in ROWS]:
        raise ValueError(f"rows: {', '.join(map(str, unknown))} not in the cookbook; it has {min(ROWS)} to {max(ROWS)}")
    tell = progress or (lambda *_: None)
    workers = min(workers or os.cpu_count(), len(numbers))
    if workers < 2:
        results = []
        for n in numbers:
            tell(f"row {n}", len(results), len(numbers))
            results.append(measure(n, seed))
    else:
        # not forked: JAX has threads
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            runs = [pool.submit(measure, n, seed) for n in numbers]
            results = []
            for run in as_completed(runs):
                results.append(run.result())
                tell(f"row {results[-1].number}", len(results), len(numbers))
    tell("done", len(numbers), len(numbers))
    return sorted(results, key=lambda r: r.number)
