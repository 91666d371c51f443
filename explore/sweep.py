"""Sweeps from points to rows of a store: what is missing is computed, in batches, on any executor."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
import time
import traceback
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, wait
from typing import NamedTuple

from pydantic import ValidationError

from ..recipe import Recipe, parse, toml
from . import bits, cost
from .axes import IN_LSBS
from .conditions import CORNER
from .jobs import VERSION, Batch, Job, Settings, Under, batches, evaluate, halves, in_turn, key
from .metrics import COST, GRADIENT, LEARNING
from .pool import Lasting, alive, deserted, held_back, ready, stop, width
from .spec import Point, Spec
from .spec import point as point_of
from .store import Store, StoreError

WIDEST = 32
"""Chips per batch, at most: their memories then stay in the processor's caches."""
HEED = 0.2
"""Seconds until Ctrl-C is noticed, at most."""
LOOK = 5
"""Seconds between looks at whether the executor is still there, while nothing is finished."""
GONE = "the scheduler went away; what was finished is kept: start it, and run the same command again"
NO_START = (
    "workers end as soon as they start; nothing was computed: see what they print above, free some memory, or use fewer with --workers"
)
PATIENCE = 3
"""Times that a batch may lose its worker before it is given up."""


class Plan(NamedTuple):
    """Rows that a sweep has, and rows that it will compute.

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


def settings_of(spec: Spec, base: Recipe | None = None) -> Settings:
    """Return the settings of a specification's points, without what no metric needs. Conditions that set fields need the base recipe."""
    wanted, c = set(spec.metrics), spec.conditions
    table = base.model_dump(mode="json") if base else {}
    nominal = {field: table[field.split(".")[0]][field.split(".")[1]] for field in c.touched}
    return Settings(
        spec.epochs if wanted & set(LEARNING) else None,
        spec.samples if wanted & set(GRADIENT) else 0,
        spec.cost if wanted & set(COST) else "none",
        spec.energy,
        Under(tuple(c.draw_list), c.subsets, json.dumps(nominal, sort_keys=True)),
    )


def results(store: Store) -> tuple[Spec, list[dict]]:
    """The specification that was run last, and its rows: those of other specifications in the same store, or measured otherwise, are
    left out, and of two rows of one chip the newer one is taken.

    Raises
    ------
    StoreError
        If there are none.
    """
    name, text, base, told = store.spec()
    try:
        spec, base = Spec.model_validate(toml.table_of(text, name)), parse(base)
    except ValueError as error:
        raise StoreError(
            f"{store.path}: {name} was run by another version of crossdyad, whose recipes this one cannot read "
            f"({str(error).splitlines()[0]}); run it again with this version, or use that one"
        ) from None
    values, seeds, found, known = spec.values() | spec.conditions.values(), set(spec.seed_list), {}, {}
    designs: dict[str, Recipe | None] = {}
    for row in sorted(store.rows(), key=lambda row: row["finished"]):
        if row["status"] == "invalid":
            point = _settings(row["point"], values)
            place = point and (None, json.dumps(point))
        elif row["settings"] == told and row["seed"] in seeds:
            identity = json.dumps([row["recipe"], row["board"]])
            if identity not in known:
                known[identity] = _place(row, spec, base, values)
            point, recipe = known[identity]
            place = point and (row["seed"], json.dumps(point))
            if point and spec.conditions.touched:
                own = spec.design(point)
                name = json.dumps(own)
                if name not in designs:
                    designs[name] = point_of(spec, base, own).recipe
                recipe = designs[name].model_dump(mode="json") if designs[name] else recipe
            row = row | {"recipe": recipe}
        else:
            continue
        if point:
            found[place] = row | {"point": point}
    if not found:
        raise StoreError(f"{store.path}: no results of {name}, the specification that was run last; run it again")
    return spec, [found[place] for place in sorted(found, key=lambda place: (place[1], place[0] or 0))]


def _settings(point: dict, values: dict) -> dict | None:
    return {f: point[f] for f in values} if point.keys() == values.keys() and all(point[f] in v for f, v in values.items()) else None


def _place(row: dict, spec: Spec, base: Recipe, values: dict) -> tuple[dict | None, dict | None]:
    """Return where a row's recipe is on the axes, and the recipe with the fields of today; None if it is not there."""
    at = {field: _at(row, field) for field in values}
    for point in (row["point"], *({**at, CORNER: corner} for corner in values[CORNER])) if CORNER in values else (row["point"], at):
        settings = _settings(point, values)
        made = settings and point_of(spec, base, settings)
        if made and made.recipe and made.board == row["board"] and _same_chip(made.recipe, row["recipe"]):
            return settings, made.recipe.model_dump(mode="json")
    return None, None


def _at(row: dict, field: str):
    """The value of an axis in a row's recipe."""
    if field.startswith("bits."):
        return bits.widths(row["recipe"]).get(field)
    at = {**row["recipe"], "board": row["board"]}
    at["lsb"] = {
        name.removeprefix("lsb."): at[name.removeprefix("lsb.")] / bits.lsb(row["recipe"], place) for name, place in IN_LSBS.items()
    }
    for part in field.split("."):
        at = at.get(part) if isinstance(at, dict) else None
    return at


def _same_chip(recipe: Recipe, kept: dict) -> bool:
    """Return whether a recipe that was kept, maybe before recipes had a field more, is this one but for its name and epochs."""
    try:
        return _chip(recipe) == _chip(Recipe.model_validate(kept))
    except ValidationError:
        return False


def _chip(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"name": "", "training": recipe.training.model_copy(update={"epochs": 1})})


def measured(settings: Settings) -> dict:
    """Return how rows are measured, as it is kept beside them."""
    told = {
        "epochs": settings.epochs,
        "samples": settings.samples,
        "cost": settings.cost,
        "energy": settings.energy,
        "evaluator": f"{VERSION}.{cost.VERSION}",
    }
    if settings.under != Under():
        told["under"] = hashlib.sha256(json.dumps(list(settings.under)).encode()).hexdigest()
    return told


def plan(points: list[Point], seeds: list[int], settings: Settings, store: Store | None, retry: bool = False) -> Plan:
    """Return the rows that are there, and those to be computed.

    Parameters
    ----------
    points : list of Point
    seeds : list of int
    settings : Settings
    store : Store or None
        None: nothing is there.
    retry : bool
        Also compute again what failed before.
    """
    status, rows, missing = store.status() if store else {}, [], {}
    for point in points:
        for seed in seeds if point.recipe else ():
            job = Job(point.recipe, seed, point.board)
            identity = key(job, settings)
            rows.append((point, seed, identity))
            if identity not in status or (retry and status[identity] == "failed"):
                missing[identity] = (point.settings, job)
    invalid = [p for p in points if p.recipe is None]
    return Plan(rows, len(rows) - len(missing), invalid, missing)


def seconds_left(made: Plan, settings: Settings, store: Store, workers: int) -> float | None:
    """About how long the missing rows take, from the mean time of rows of the same sizes and rule; None if there are none of some."""
    told, taken, total = measured(settings), {}, 0.0
    for row in store.rows():
        if row["status"] == "ok" and row["settings"] == told:
            taken.setdefault((tuple(row["recipe"]["sizes"]), row["recipe"]["rule"]), []).append(row["seconds"])
    for _, job in made.missing.values():
        same = taken.get((job.recipe.sizes, job.recipe.rule))
        if not same:
            return None
        total += sum(same) / len(same)
    return round(total / workers, 1)


def run(
    made: Plan,
    settings: Settings,
    store: Store,
    executor: Callable[[], Executor],
    workers: int,
    progress: Callable[[str, int, int], None] | None = None,
    most_batches: int | None = None,
) -> dict[str, int]:
    """Compute what is missing and put it into the store, batch by batch.

    Parameters
    ----------
    made : Plan
    settings : Settings
    store : Store
    executor : callable
        Makes an executor; called again when its workers are gone. One that is `Lasting` is left as it is at the end.
    workers : int
        How many work at once, so that there are batches for all; a cluster knows itself.
    progress : callable, optional
        Called as ``progress(step, done, of)``.
    most_batches : int, optional
        Stop after so many.

    Returns
    -------
    dict
        How many rows are ``ok``, ``failed`` and ``invalid`` after this run, of those planned.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, when what is finished has been put and the workers have ended.
    ConnectionError
        If the scheduler went away.
    RuntimeError
        If workers cannot start.

    Notes
    -----
    A batch that fails is halved until the chip that makes it fail stands alone; that one's row says why. A batch whose worker
    dies is given to another. Only this process writes, so that a kill of any process at any time loses no row that was put.
    """
    report = progress or (lambda step, done, of: None)
    store.put([_row(_identity(p), p.settings, None, p.board, 0, settings, "invalid", error=p.error) for p in made.invalid])
    by_job = {job: identity for identity, (_, job) in made.missing.items()}
    jobs = [job for _, job in made.missing.values()]
    at_work = started = None

    def hired():
        nonlocal at_work, started
        at_work = executor()
        started = at_work.submit(ready)

    running: dict = {}
    try:
        if jobs:
            hired()
            workers = width(at_work, workers)
        most = max(1, min(WIDEST, -(-len(jobs) // max(1, workers))))
        # structures in turn, so that workers compile different ones first, and find those of the others compiled
        waiting: list[tuple[Batch, int]] = [(b, 0) for b in in_turn(batches(jobs, most))[:most_batches]]
        of, done = sum(len(b.jobs) for b, _ in waiting), 0
        report(f"{len(waiting)} batches", done, of)
        news = time.monotonic()
        with held_back() as deliver:
            while waiting or running:
                gone = False
                try:
                    while waiting and len(running) < 2 * workers:
                        running[at_work.submit(evaluate, waiting[0][0], settings)] = waiting[0]
                        waiting.pop(0)
                except BrokenExecutor:
                    gone = True
                finished, _ = wait(running, timeout=0 if gone else HEED, return_when=FIRST_COMPLETED)
                if finished:
                    news = time.monotonic()
                elif time.monotonic() - news > LOOK:
                    news = time.monotonic()
                    if not alive(at_work):
                        raise ConnectionError(GONE)
                    if deserted(at_work):
                        report("the scheduler has no workers; waiting for some", done, of)
                for future in finished:
                    batch, lost = running.pop(future)
                    values, error, died = _outcome(future)
                    gone = gone or died
                    if died and lost + 1 < PATIENCE:
                        waiting.append((batch, lost + 1))
                    elif values is None and len(batch.jobs) > 1:
                        waiting += [(half, 0) for half in halves(batch)]
                    else:
                        found = {"status": "failed", "error": error}
                        store.put(
                            [
                                _row(
                                    by_job[job],
                                    made.missing[by_job[job]][0],
                                    job.recipe,
                                    job.board,
                                    job.seed,
                                    settings,
                                    **({"status": "ok", "value": values[i]} if values else found),
                                )
                                for i, job in enumerate(batch.jobs)
                            ]
                        )
                        done += len(batch.jobs)
                        report(f"{len(waiting) + len(running)} batches left", done, of)
                deliver()
                if gone:  # one worker that dies takes the others' work with it
                    if started.cancelled() or not started.done() or started.exception():
                        raise RuntimeError(NO_START)
                    waiting += [(batch, lost) for batch, lost in running.values()]
                    running.clear()
                    at_work.shutdown(wait=False)
                    hired()
    except BaseException:
        for future in running:
            future.cancel()
        if at_work is not None:
            stop(at_work)
        raise
    if at_work is not None and not isinstance(executor, Lasting):
        at_work.shutdown(wait=False)
    status = store.status()
    counts = {name: sum(status.get(k) == name for _, _, k in made.rows) for name in ("ok", "failed")}
    return counts | {"invalid": len(made.invalid)}


def _outcome(future) -> tuple[list[dict] | None, str, bool]:
    """The values of a batch that is done, or why there are none, and whether its worker died."""
    try:
        return future.result(), "", False
    except BrokenExecutor:
        return None, f"its worker died {PATIENCE} times (out of memory?)", True
    except CancelledError:
        raise ConnectionError(GONE) from None
    except Exception as failure:
        return None, "".join(traceback.format_exception(failure)), False


def _identity(point: Point) -> str:
    return "invalid-" + hashlib.sha256(json.dumps(point.settings, sort_keys=True, default=str).encode()).hexdigest()


def _row(
    identity: str,
    point: dict,
    recipe: Recipe | None,
    board: str,
    seed: int,
    settings: Settings,
    status: str,
    value: dict | None = None,
    error: str = "",
) -> dict:
    value = dict(value) if value else None
    seconds = value.pop("seconds") if value else 0.0
    return {
        "key": identity,
        "point": point,
        "recipe": recipe.model_dump(mode="json") if recipe else None,
        "board": board,
        "seed": seed,
        "status": status,
        "value": value,
        "error": error,
        "seconds": seconds,
        "finished": time.time(),
        "settings": measured(settings),
        "versions": versions(),
    }


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of what computed a row."""
    found = {name: importlib.metadata.version(name) for name in ("crossdyad", "numpy", "jax")}
    return found | {"python": platform.python_version(), "evaluator": str(VERSION)}
