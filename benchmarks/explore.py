"""Speed of a sweep: 200 points of digits, 5 seeds, against the same chips one by one; what kills do to it; searches against all points.

python benchmarks/explore.py speed [STORE]   # whole sweep on all cores; one by one, from a sample of 10 points: each by a command
                                             # of its own, and all in one process
python benchmarks/explore.py kills [N]       # 20 SIGKILLs at random moments, of workers and of the coordinator
python benchmarks/explore.py search [STORE]  # fronts of searches against that of all points, and against as many random points
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from crossdyad import data, emulator
from crossdyad.explore import spec as specs
from crossdyad.explore.store import Store
from crossdyad.sim import quality, real

SPEC = Path(__file__).parent.parent / "examples" / "precision.toml"
COMMAND = str(Path(sys.executable).with_name("crossdyad"))
SAMPLE = 10
KILLS = 20
NARROW = "from crossdyad.explore import sweep; sweep.WIDEST = 10; from crossdyad.cli import main; main()"
"""The command with smaller batches, so that there is more to lose."""


def sample() -> list:
    """Points of the sweep, drawn by a seed."""
    return random.Random(1).sample(specs.points(*specs.read(SPEC)), SAMPLE)


def one_by_one() -> tuple[float, float]:
    """Seconds, of the clock and of the processor, per chip of a loop that trains and judges one chip after the other as the sweep does;
    every recipe is compiled once for its five seeds."""
    told, points, dataset = specs.read(SPEC)[0], sample(), data.load("digits")
    x, y = dataset.x_test[: told.samples], dataset.y_test[: told.samples]
    clock, processor = time.perf_counter(), time.process_time()
    for point in points:
        for seed in told.seed_list:
            chip = point.recipe.model_copy(update={"seed": seed})
            weights = emulator.train(chip, *dataset, epochs=told.epochs).weights
            for _ in range(told.epochs + 1):
                draws = 4 if chip.devices.read_noise else 1
                quality.quality(chip, weights, x, y, real.exact(chip, weights, x, y), draws)
    rows = len(points) * len(told.seed_list)
    return (time.perf_counter() - clock) / rows, (time.process_time() - processor) / rows


def by_commands() -> tuple[float, float]:
    """Seconds, of the clock and of the processors, per point of a sweep of that point alone."""
    points = sample()
    head, before, start = SPEC.read_text().split("[axes]")[0], _children(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for number, point in enumerate(points):
            spec = Path(folder) / f"{number}.toml"
            spec.write_text(head + "[axes]\n" + "".join(f"{field} = [{json.dumps(value)}]\n" for field, value in point.settings.items()))
            subprocess.run([COMMAND, "sweep", str(spec), "--store", f"{folder}/{number}.db"], check=True, capture_output=True)
    return (time.perf_counter() - start) / len(points), (_children() - before) / len(points)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def speed(store: str = "") -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = store or f"{folder}/a.db"
        start = time.perf_counter()
        subprocess.run([COMMAND, "sweep", str(SPEC), "--store", store], check=True, capture_output=True)
        whole = time.perf_counter() - start
        spent, cores = _children(), os.cpu_count()
        with Store(store) as kept:
            rows = len(kept.rows())
    clock, processor = (rows * seconds for seconds in one_by_one())
    print(f"{rows} rows on {cores} cores: {whole:.0f} s by the clock, {spent:.0f} s of the processors")
    alone, work = (200 * seconds for seconds in by_commands())
    print(
        f"each point by a command of its own, from {SAMPLE} points: {alone:.0f} s by the clock, {work:.0f} s of the processors: "
        f"{alone / whole:.1f} times as long, {work / spent:.1f} times the work"
    )
    print(
        f"one by one in one process, from {SAMPLE} points with their seeds: {clock:.0f} s by the clock, {processor:.0f} s of the processor"
    )
    print(
        f"{clock / whole:.1f} times as long by the clock; {processor / spent:.1f} times the work, so "
        f"{processor / spent * cores:.1f} times as long where nothing else runs"
    )


def kills(wanted: str = str(KILLS)) -> None:
    """Runs of 200 rows in 20 batches on two workers; what is killed, and when, is drawn; without its coordinator a run is begun anew."""
    draw, done, lost, runs, whom = random.Random(1), 0, 0, 0, {"coordinator": 0, "worker": 0}
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "kills.toml"
        spec.write_text(
            SPEC.read_text()
            .replace("bits.weight = [6, 8, 10, 12, 16]", "bits.weight = [6, 8]")
            .replace('["nearest", "stochastic"]', '["stochastic"]')
            .replace("epochs = 3", "epochs = 1")
        )
        command = [sys.executable, "-c", NARROW, "sweep", str(spec), "--workers", "2", "--store"]
        start = time.perf_counter()
        subprocess.run([*command, f"{folder}/whole.db"], check=True, capture_output=True)
        takes = time.perf_counter() - start
        with Store(f"{folder}/whole.db") as kept:
            whole = {r["key"]: r["value"] for r in kept.rows()}
        store, known, orphans = f"{folder}/killed.db", set(), 0
        while done < int(wanted) or len(known) < len(whole):
            run = subprocess.Popen([*command, store], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            runs, all_workers = runs + 1, set()
            while run.poll() is None:
                try:
                    run.wait(draw.uniform(0.1, 0.9) * takes if done < int(wanted) else None)
                except subprocess.TimeoutExpired:
                    workers = _workers(run.pid)
                    all_workers |= set(workers)
                    victim = draw.choice([run.pid, *workers])
                    os.kill(victim, signal.SIGKILL)
                    whom["coordinator" if victim == run.pid else "worker"] += 1
                    done += 1
                    if victim == run.pid:
                        run.wait()
            deadline = time.time() + 60
            while any(_alive(w) for w in all_workers) and time.time() < deadline:
                time.sleep(0.2)
            orphans += sum(_alive(w) for w in all_workers)
            with Store(store) as kept:
                there = {r["key"] for r in kept.rows()}
            lost += len(known - there)
            known = there
            if len(known) == len(whole) and done < int(wanted):  # all there: begin again
                _differing(store, whole)
                Path(store).unlink()
                known = set()
        print(
            f"{done} kills ({whom['coordinator']} of the coordinator, {whom['worker']} of workers) in {runs} runs: "
            f"{lost} finished rows lost, {_differing(store, whole)} of {len(whole)} rows differ from an undisturbed "
            f"run, {orphans} processes left behind"
        )


def _workers(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-ww", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "spawn_main" in line]


def _alive(pid: int) -> bool:
    try:
        return "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def _differing(store: str, whole: dict) -> int:
    with Store(store) as kept:
        rows = {r["key"]: r["value"] for r in kept.rows()}
    differ = sum(rows.get(k) != v for k, v in whole.items())
    if differ:
        raise SystemExit(f"{differ} rows differ")
    return differ


def volume(points, worst) -> float:
    """Area between the front of (accuracy, LUTs) and the worst of both."""
    total, reached = 0.0, worst[0]
    for accuracy, lut in sorted(points, key=lambda p: p[1]):
        total += max(0.0, accuracy - reached) * (worst[1] - lut)
        reached = max(reached, accuracy)
    return total


def fronts(store: str = "") -> None:
    """How much of the exhaustive front's area searches of about 60 of the 200 points have, over ten seeds."""
    import optuna  # noqa: F401

    from crossdyad.explore import search, sweep

    told, base = specs.read(SPEC)
    with tempfile.TemporaryDirectory() as folder:
        if not store:
            store = f"{folder}/all.db"
            subprocess.run([COMMAND, "sweep", str(SPEC), "--store", store], check=True, capture_output=True)
        with Store(store) as kept:
            every = {}
            for row in sweep.results(kept)[1]:
                every.setdefault(repr(dict(sorted(row["point"].items()))), []).append((row["value"]["accuracy"], row["value"]["lut"]))
            every = {name: tuple(map(statistics.mean, zip(*pairs, strict=True))) for name, pairs in every.items()}
            worst = min(a for a, _ in every.values()), max(lut for _, lut in every.values())
            whole, draw = volume(every.values(), worst), random.Random(1)
            print(f"{len(every)} points; the share of their front's area (accuracy against LUTs) that is found, mean and least of 10 seeds")
            for sampler in ("nsga2", "nsga3", "tpe"):
                shares, sizes = [], []
                for seed in range(10):
                    asked = specs.Search(objectives=["accuracy", "lut"], sampler=sampler, generations=6, population=10, seed=100 * seed)
                    found = search.asked(told.model_copy(update={"search": asked}), base, kept, _nothing, 1)
                    names = [repr(dict(sorted(p.settings.items()))) for p in found]
                    shares.append(volume([every[n] for n in names], worst) / whole)
                    sizes.append(len(names))
                size = round(statistics.mean(sizes))
                chance = [volume(draw.sample(list(every.values()), size), worst) / whole for _ in range(1000)]
                print(
                    f"{sampler}: {size} points: {statistics.mean(shares):.3f}, {min(shares):.3f}; as many random "
                    f"points: {statistics.mean(chance):.3f}, in one of ten cases below {sorted(chance)[100]:.3f}"
                )


def _nothing():
    raise SystemExit("the store lacks points of the sweep; give one that is complete")


if __name__ == "__main__":
    {"speed": speed, "kills": kills, "search": fronts}[sys.argv[1] if len(sys.argv) > 1 else "speed"](*sys.argv[2:])
