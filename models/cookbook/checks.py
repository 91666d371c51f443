"""Checks of many rows, each in a process of its own pool."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import NamedTuple

from .findings import Finding
from .row import ROWS


class Result(NamedTuple):
    """Findings of a row's check, and how long it took."""

    number: int
    findings: list[Finding]
    seconds: float

    @property
    def passed(self) -> bool:
        """Return whether there is a finding, and none that failed."""
        return bool(self.findings) and all(f.passed for f in self.findings)

    def to_dict(self) -> dict:
        """The result as plain data."""
        return {"row": self.number, "passed": self.passed, "seconds": round(self.seconds, 2), "findings": self.findings}


def measure(number: int, seed: int = 0) -> Result:
    """Check one row; what it raises is a finding too."""
    began, found = time.perf_counter(), []
    try:
        found.extend(ROWS[number].findings(seed))
    except Exception as error:  # one broken row must not hide the others' results
        found.append(Finding(f"{type(error).__name__}: {error}", float("nan"), "no error", False))
    return Result(number, found, time.perf_counter() - began)


def results(numbers: Iterable[int] | None = None, seed: int = 0, workers: int | None = None) -> Iterator[Result]:
    """Check rows side by side, and yield each as it ends.

    Parameters
    ----------
    numbers : iterable of int, optional
        All rows by default.
    seed : int
        Of systems, inputs and directions.
    workers : int, optional
        Processes; one per core by default. They end with the iterator.

    Raises
    ------
    ValueError
        For a number that is no row.
    """
    numbers = sorted(ROWS) if numbers is None else sorted(set(numbers))
    if unknown := [n for n in numbers if n not in ROWS]:
        raise ValueError(f"rows: {', '.join(map(str, unknown))} not in the cookbook; it has {min(ROWS)} to {max(ROWS)}")
    return _results(numbers, seed, min(workers or os.cpu_count(), len(numbers)))


def _results(numbers: list[int], seed: int, workers: int) -> Iterator[Result]:
    if workers < 2:
        yield from (measure(n, seed) for n in numbers)
        return
    others = set(multiprocessing.active_children())
    # not forked: JAX has threads
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_worker)
    try:
        for run in as_completed([pool.submit(measure, n, seed) for n in numbers]):
            yield run.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in set(multiprocessing.active_children()) - others:
            worker.kill()


def _worker() -> None:
    """Ctrl-C is for the parent, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
