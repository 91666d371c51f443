"""Guided search: Optuna proposes a generation of points, the sweep evaluates it, and the store remembers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ..recipe import Recipe
from ..recipe.seeds import GENERATION, derived
from .metrics import SMALLER_IS_BETTER
from .pool import Lasting
from .spec import Point, Search, Spec, under
from .spec import point as point_of
from .statistics import summaries
from .store import Store
from .sweep import plan, run, settings_of

if TYPE_CHECKING:
    import optuna

TRIES = 3
"""Times the population that a generation asks for at most, where what it gets is known already."""


def sampler(search: Search, generation: int) -> optuna.samplers.BaseSampler:
    """Return Optuna's sampler of a generation, with a seed of its own, of 32 bits: a sampler that is resumed would repeat itself."""
    import warnings

    import optuna

    made = {"nsga2": optuna.samplers.NSGAIISampler, "nsga3": optuna.samplers.NSGAIIISampler, "tpe": optuna.samplers.TPESampler}
    options = {"constant_liar": True, "multivariate": True} if search.sampler == "tpe" else {"population_size": search.population}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return made[search.sampler](seed=derived(search.seed, GENERATION, generation) & 0xFFFFFFFF, **options)


class Found(NamedTuple):
    """Points that a search evaluated, those that failed, and its store.

    Attributes
    ----------
    points : int
        How many it asked for.
    failed : int
        Rows of theirs that failed.
    store : str
    """

    points: int
    failed: int
    store: str


def search(
    spec: Spec,
    base: Recipe,
    store: Store,
    executor: Callable,
    workers: int,
    progress: Callable[[str, int, int], None] | None = None,
    retry: bool = False,
) -> Found:
    """Evaluate the generations of a specification's search into a store, as `asked` does, and count."""
    points = asked(spec, base, store, executor, workers, progress, retry)
    rows = plan([each for p in points for each in under(spec, base, p.settings)], spec.seed_list, settings_of(spec, base), store).rows
    status = store.status()
    return Found(len(points), sum(status[key] == "failed" for _, _, key in rows), str(store.path))


def asked(
    spec: Spec,
    base: Recipe,
    store: Store,
    executor: Callable,
    workers: int,
    progress: Callable[[str, int, int], None] | None = None,
    retry: bool = False,
) -> list[Point]:
    """Evaluate the generations of a specification's search, and return their points.

    A generation is asked for as a whole, evaluated in any order and reported in the order of asking, so that the points depend on the
    specification alone. Samplers repeat themselves: it is asked for until there are `Search.population` new points, or too few come.
    Run again it asks for the same points, finds them in the store, and goes on from where it was.

    Parameters
    ----------
    spec : Spec
        With a ``search`` part.
    base : Recipe
    store : Store
    executor, workers
        As in `sweep.run`.
    progress : callable, optional
        Called as ``progress(step, done, of)``.
    retry : bool
        Also compute again what failed before.

    Returns
    -------
    list of Point
        All that were proposed, each once.

    Raises
    ------
    ValueError
        If there is no search part, or Optuna is not installed.
    """
    if spec.search is None:
        raise ValueError(f"{spec.name}: search: missing; add a [search] table with objectives, or use `crossdyad sweep`")
    try:
        import optuna
    except ImportError:
        raise ValueError("search: needs Optuna; install with `pip install 'crossdyad[search]'`") from None

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    told, settings, values = spec.search, settings_of(spec, base), spec.values()
    goals = ["minimize" if m in SMALLER_IS_BETTER else "maximize" for m in told.objectives]
    study = optuna.create_study(directions=goals)
    # a choice is an index: values can be tables, which Optuna does not take
    choices = {field: optuna.distributions.CategoricalDistribution(list(range(len(v)))) for field, v in values.items()}
    proposed: dict[str, Point] = {}
    report = progress or (lambda step, done, of: None)
    crew = Lasting(executor)
    try:
        for generation in range(told.generations):
            study.sampler = sampler(told, generation)
            trials, points = _asked(
                study,
                choices,
                told.population,
                proposed,
                lambda trial: point_of(spec, base, {f: values[f][trial.params[f]] for f in values}),
            )
            todo = plan([each for p in points for each in under(spec, base, p.settings)], spec.seed_list, settings, store, retry)
            done, of = generation * told.population, told.generations * told.population
            report(f"generation {generation + 1}, {len(todo.missing)} rows", done, of)
            run(todo, settings, store, crew, workers)
            figures = _figures(store, todo, spec)
            for trial, point in zip(trials, points, strict=True):
                proposed.setdefault(repr(point.settings), point)
                scores = figures.get(repr(point.settings))
                study.tell(trial, scores, state=None if scores else optuna.trial.TrialState.FAIL)
    finally:
        crew.close()
    report("done", told.generations * told.population, told.generations * told.population)
    return list(proposed.values())


def _asked(study, choices: dict, population: int, known: dict, point_of: Callable) -> tuple[list, list[Point]]:
    """Trials of a generation and their points."""
    trials, points, new = [], [], set()
    while len(new) < population and len(trials) < TRIES * population:
        trials.append(study.ask(choices))
        points.append(point_of(trials[-1]))
        if (name := repr(points[-1].settings)) not in known:
            new.add(name)
    return trials, points


def _figures(store: Store, todo, spec: Spec) -> dict[str, list[float]]:
    """Settings to what points are ranked by in the objectives, of those all of whose seeds and conditions were evaluated."""
    rows, wanted, found = {row["key"]: row for row in store.rows()}, spec.search.objectives, {}
    for point, _, identity in todo.rows:
        if identity in rows:
            found.setdefault(repr(spec.design(point.settings)), {})[identity] = rows[identity] | {"recipe": None, "point": point.settings}
    made = {}
    for name, same in found.items():
        for s in summaries(same.values(), spec.conditions):
            if len(s.seeds) == len(spec.seed_list) and all(m in s.values for m in wanted):
                made[name] = [s.figure(m) for m in wanted]
    return made
