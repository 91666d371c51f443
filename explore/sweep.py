"""From points to rows of a store: what is missing is computed, in batches, on any executor."""

from __future__ import annotations

import importlib.metadata
import platform
import time
import traceback
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, wait
from typing import NamedTuple

from ..recipe import Recipe
from .evaluate import VERSION, Batch, Job, Settings, batches, evaluate, key
from .pool import alive
from .spec import Point, Spec
from .store import Store

WIDEST = 64
"""Chips per batch, at most: their memories then stay in the processor's caches."""
LOOK = 5
"""Seconds between looks at whether the executor is still there, while nothing is finished."""
PATIENCE = 3
"""How often a batch may lose its worker before it is given up."""


class Plan(NamedTuple):
    """What a sweep will do.

    Attributes
    ----------
    rows : list of (Point, int, str)
        Point, seed and key of every row that there will be.
    there : int
        Rows that are already in the store.
    invalid : list of Point
        Points that are no recipe.
    missing : dict
        Key to (settings, job) of what is to be computed.
    """

    rows: list
    there: int
    invalid: list[Point]
    missing: dict[str, tuple[dict, Job]]


def settings_of(spec: Spec, folder=None) -> Settings:
    """How a specification's points are measured."""
    return Settings(spec.epochs, spec.samples, spec.cost, spec.board, str(folder) if folder else None)


def plan(points: list[Point], seeds: list[int], settings: Settings, store: Store, retry: bool = False) -> Plan:
    """Which rows are there, and which are to be computed.

    Parameters
    ----------
    points : list of Point
    seeds : list of int
    settings : Settings
    store : Store
    retry : bool
        Also compute again what failed before.
    """
    status, rows, missing = store.status(), [], {}
    for point in points:
        for seed in seeds if point.recipe else ():
            job = Job(point.recipe, seed)
            identity = key(job, settings)
            rows.append((point, seed, identity))
            if identity not in status or (retry and status[identity] == "failed"):
                missing[identity] = (point.settings, job)
    invalid = [p for p in points if p.recipe is None]
    return Plan(rows, len(rows) - len(missing), invalid, missing)


def run(made: Plan, settings: Settings, store: Store, executor: Callable[[], Executor], workers: int,
        progress: Callable[[str, int, int], None] | None = None) -> dict[str, int]:
    """Compute what is missing and put it into the store, batch by batch.

    Parameters
    ----------
    made : Plan
    settings : Settings
    store : Store
    executor : callable
        Makes an executor; called again when its workers are gone.
    workers : int
        How many work at once, so that there are batches for all.
    progress : callable, optional
        Called as ``progress(step, done, of)``.

    Returns
    -------
    dict
        How many rows are ``ok``, ``failed`` and ``invalid`` after this run, of those planned.

    Notes
    -----
    A batch that fails is halved until the chip that makes it fail stands alone; that one's row says why. A batch whose worker
    dies is given to another. Only this process writes, so that a kill of any process at any time loses no row that was put.
    """
    report = progress or (lambda step, done, of: None)
    store.put([_row(_identity(p), p.settings, None, 0, "invalid", error=p.error) for p in made.invalid])
    by_job = {job: identity for identity, (_, job) in made.missing.items()}
    jobs = [job for _, job in made.missing.values()]
    most = max(1, min(WIDEST, -(-len(jobs) // max(1, workers))))
    waiting: list[tuple[Batch, int]] = [(b, 0) for b in batches(jobs, most)]
    of, done = len(jobs), 0
    report(f"{len(waiting)} batches", done, of)
    at_work = executor() if waiting else None
    running: dict = {}
    try:
        while waiting or running:
            while waiting and len(running) < 2 * workers:
                batch, lost = waiting.pop(0)
                running[at_work.submit(evaluate, batch, settings)] = batch, lost
            finished, _ = wait(running, timeout=LOOK, return_when=FIRST_COMPLETED)
            if not finished and not alive(at_work):
                raise ConnectionError("the scheduler went away; what was finished is kept: start it, and run the same command again")
            gone = False
            for future in finished:
                batch, lost = running.pop(future)
                try:
                    values = future.result()
                except BrokenExecutor:
                    gone, values = True, None
                    if lost + 1 < PATIENCE:
                        waiting.append((batch, lost + 1))
                        continue
                    error = f"its worker died {PATIENCE} times (out of memory?)"
                except Exception as failure:
                    values, error = None, "".join(traceback.format_exception(failure))
                if values is None and len(batch.jobs) > 1:
                    half = len(batch.jobs) // 2
                    waiting += [(batch._replace(jobs=part, width=len(part)), 0) for part in (batch.jobs[:half], batch.jobs[half:])]
                    continue
                store.put([
                    _row(by_job[job], made.missing[by_job[job]][0], job, job.seed, "failed", error=error) if values is None else
                    _row(by_job[job], made.missing[by_job[job]][0], job, job.seed, "ok", value=values[i])
                    for i, job in enumerate(batch.jobs)])
                done += len(batch.jobs)
                report(f"{len(waiting) + len(running)} batches left", done, of)
            if gone:               # one worker that dies takes the others' work with it
                waiting += [(batch, lost) for batch, lost in running.values()]
                running.clear()
                at_work.shutdown(wait=False)
                at_work = executor()
    finally:
        if at_work is not None and alive(at_work):
            for future in running:
                future.cancel()
            at_work.shutdown(wait=False)
    status = store.status()
    counts = {name: sum(status.get(k) == name for _, _, k in made.rows) for name in ("ok", "failed")}
    return counts | {"invalid": len(made.invalid)}


def _identity(point: Point) -> str:
    import hashlib
    import json

    return "invalid-" + hashlib.sha256(json.dumps(point.settings, sort_keys=True, default=str).encode()).hexdigest()


def _row(identity: str, settings: dict, job: Job | None, seed: int, status: str, value: dict | None = None, error: str = "") -> dict:
    value = dict(value) if value else None
    seconds = value.pop("seconds") if value else 0.0
    recipe: Recipe | None = job.recipe if job else None
    return {"key": identity, "point": settings, "recipe": recipe.model_dump(mode="json") if recipe else None, "seed": seed,
            "status": status, "value": value, "error": error, "seconds": seconds, "finished": time.time(), "versions": versions()}


def versions() -> dict[str, str]:
    """What computed a row."""
    found = {name: importlib.metadata.version(name) for name in ("crossdyad", "numpy", "jax")}
    return found | {"python": platform.python_version(), "evaluator": str(VERSION)}
