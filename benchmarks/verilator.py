"""The emulator against the Verilator-compiled hardware: one thread each, the same work, the same run, bits equal.

The hardware is compiled with -O3 and driven by a C++ loop. Run it on one core:

    taskset -c 0 python benchmarks/verilator.py [--output FILE.json] [RECIPE ...]

By default `mnist`, `digits` and every rule's preset.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import argparse  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

from crossdyad import emulator, hdl, recipe  # noqa: E402
from crossdyad.explore.cards import presets_of_rules  # noqa: E402
from crossdyad.recipe import Op, geometries  # noqa: E402
from crossdyad.sim import agreement, chip, drive, simulators  # noqa: E402

REPEATS = 5


def fastest(work):
    """Least wall time in seconds, the first run (which compiles) not counted, and the first run's result."""
    first, times = work(), []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times), first


def hardware(r, weights, x, y, inferred):
    """Train on (x, y), infer `inferred`, read back; (train phase, infer phase, weights)."""
    load, train, infer, read = (chip.Session(r) for _ in range(4))
    load.load(weights)
    for sample, label in zip(x, y, strict=True):
        train.train(sample, label)
    for sample in inferred:
        infer.infer(sample)
    read.read()
    source = hdl.convert(hdl.build(r), simulators.TOP)
    _, trained, answered, back = drive.drive(source, [load, train, infer, read])
    return trained, answered, drive.weights(r, back)


def flat(weights):
    return np.concatenate([w.ravel() for w in weights])


def equal(name, a, b):
    if not np.array_equal(a, b):
        raise SystemExit(f"{name}: the hardware and the emulator differ")


def compare(name: str, steps: int, inferences: int) -> dict:
    r = recipe.load(name)
    x, y, _ = agreement.samples_for(r, steps)
    weights = emulator.initial_weights(r)
    many = agreement.samples_for(r, 1024)[0]
    trained, answered, after = hardware(r, weights, x, y, many[:inferences])
    made = emulator.Chip(r, engine="jax")
    made.weights = weights
    outputs = made.train(x, y).outputs
    each = len(recipe.emissions(r, True))  # outputs that a sample gives, of which the emulator returns the last
    equal("outputs", outputs, drive.results(r, trained)[each - 1 :: each])
    equal("weights", flat(made.weights), after)
    equal("inference", made.infer(many)[:inferences], drive.results(r, answered))
    step, _ = fastest(lambda: made.train(x, y))
    sample, _ = fastest(lambda: made.infer(many))
    found = {
        "steps": steps,
        "hardware us per cycle": trained.seconds / trained.cycles * 1e6,
        "hardware us per step": trained.seconds / steps * 1e6,
        "emulator us per step": step / steps * 1e6,
        "training ratio": trained.seconds / step,
        "hardware us per inference": answered.seconds / inferences * 1e6,
        "emulator us per inference, batch 1024": sample / 1024 * 1e6,
        "inference ratio, batch 1024": (answered.seconds / inferences) / (sample / 1024),
    }
    if name == "digits":
        batch = 64
        chips = emulator.Chip(r, engine="jax", batch=(batch,), seeds=np.full(batch, r.seed))
        chips.weights = weights
        chips.train(x, y)
        equal("weights of 64 chips", flat([w[17] for w in chips.weights]), after)
        together, _ = fastest(lambda: chips.train(x, y))
        found["emulator us per step, 64 chips at once"] = together / steps / batch * 1e6
        found["training ratio, 64 chips at once"] = trained.seconds / (together / batch)
    return found


def busy(name: str) -> dict:
    """Share of the cycles of a sweep in which the multipliers work, per layer and operation (cycle-exact by contract)."""
    r = recipe.load(name)
    return {
        f"layer {g.layer} {op.name.lower()}": g.R * g.C / (g.L * g.slots(op))
        for g in geometries(r)
        for op in (Op.FORWARD, Op.TRANSPOSED, Op.UPDATE)
        if g.layer or op != Op.TRANSPOSED
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=["mnist", *presets_of_rules().values()], metavar="RECIPE")
    parser.add_argument("--output", type=Path)
    given, found = parser.parse_args(), {}
    for name in given.recipes:
        few = 20 if recipe.load(name).sizes[0] > 100 else 200
        found[name] = compare(name, few, few)
        if name == "mnist":
            found["multipliers busy"] = busy(name)
        for title in list(found)[-1 - (name == "mnist") :]:
            print(title)
            for what, value in found[title].items():
                print(f"  {what:45s} {value:12.4g}", flush=True)
    if given.output:
        agreement.write(given.output, found)


if __name__ == "__main__":
    main()
