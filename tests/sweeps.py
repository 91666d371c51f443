"""A small sweep that tests share: its specification, how it is run, and what must not depend on how. Its fixtures are in `conftest`."""

from concurrent.futures import ThreadPoolExecutor

from crossdyad.explore import spec as specs
from crossdyad.explore import sweep
from crossdyad.explore.store import Store

SPEC = """
name = "small"
recipe = "xor"
seeds = 2
epochs = 3
samples = 4
[axes]
bits.weight = [6, 10]
beta = [0.5, 1.0]
devices.read_noise = [0, 0.1]
"""


def swept(path, store, workers=1, executor=None):
    told, base = specs.read(path)
    settings = sweep.settings_of(told)
    with Store(store) as kept:
        kept.remember(told.name, path.read_text(), base.to_toml(), sweep.measured(settings))
        made = sweep.plan(specs.points(told, base), told.seed_list, settings, kept)
        counts = sweep.run(made, settings, kept, executor or (lambda: ThreadPoolExecutor(workers)), workers)
        return counts, content(kept)


def content(store):
    """What must not depend on how it was computed."""
    return {r["key"]: (r["point"], r["recipe"], r["seed"], r["status"], r["value"], r["error"], r["board"]) for r in store.rows()}
