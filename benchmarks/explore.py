"""Speed of a sweep: 200 points of digits, 5 seeds, against the same chips one by one; and what kills do to it.

    python benchmarks/explore.py speed     # whole sweep on all cores; one by one from a sample of 5 points in one process
    python benchmarks/explore.py kills     # 20 SIGKILLs at random moments, of workers and of the coordinator
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from crossdyad import data, emulator
from crossdyad.explore import spec as specs
from crossdyad.explore.store import Store
from crossdyad.sim import budget, gradient

SPEC = Path(__file__).parent.parent / "examples" / "precision.toml"
COMMAND = str(Path(sys.executable).with_name("crossdyad"))
SAMPLE = 5
KILLS = 20


def one_by_one() -> float:
    """Seconds per chip of a loop that trains and judges one chip after the other, every recipe compiled once for its five seeds."""
    told, base = specs.read(SPEC)
    points, dataset, start = specs.points(told, base)[:: 200 // SAMPLE], data.load("digits"), time.perf_counter()
    x, y = dataset.x_test[: told.samples], dataset.y_test[: told.samples]
    for point in points:
        for seed in told.seed_list:
            chip = point.recipe.model_copy(update={"seed": seed})
            history = emulator.train(chip, *dataset, epochs=told.epochs)
            budget.quality(chip, history.weights, x, y, budget.flat(gradient.exact(chip, history.weights, x, y)), 4)
    return (time.perf_counter() - start) / (len(points) * len(told.seed_list))


def speed() -> None:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([COMMAND, "sweep", str(SPEC), "--store", f"{folder}/a.db"], check=True, capture_output=True)
        whole = time.perf_counter() - start
        with Store(f"{folder}/a.db") as kept:
            rows = len(kept.rows())
    alone = one_by_one()
    print(f"{rows} rows in {whole:.1f} s on {os.cpu_count()} cores: {1e3 * whole / rows:.1f} ms a row")
    print(f"one by one, from {SAMPLE} points with their seeds: {1e3 * alone:.0f} ms a row, {alone * rows / whole:.1f} times as long in all")


def kills() -> None:
    draw = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "kills.toml"
        spec.write_text(SPEC.read_text().replace("bits.weight = [6, 8, 10, 12, 16]", "bits.weight = [6, 8]"))
        command = [COMMAND, "sweep", str(spec), "--workers", "2", "--store"]
        subprocess.run([*command, f"{folder}/whole.db"], check=True, capture_output=True)
        with Store(f"{folder}/whole.db") as kept:
            whole = {r["key"]: r["value"] for r in kept.rows()}
        done, lost, store = 0, 0, f"{folder}/killed.db"
        known: set = set()
        while done < KILLS:
            run = subprocess.Popen([*command, store], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(draw.uniform(1, 14))
            listed = subprocess.run(["ps", "-ww", "-o", "pid=,args=", "--ppid", str(run.pid)], capture_output=True, text=True).stdout
            workers = [int(line.split()[0]) for line in listed.splitlines() if "spawn_main" in line]
            victim = draw.choice([run.pid, *workers]) if run.poll() is None else None
            if victim is not None:
                os.kill(victim, signal.SIGKILL)
                done += 1
            if victim == run.pid:
                run.wait()
            elif run.poll() is None and draw.random() < 0.5:
                run.kill()                              # a worker, and soon after the coordinator
                run.wait()
            else:
                run.wait()
            with Store(store) as kept:
                there = {r["key"] for r in kept.rows()}
            lost += len(known - there)
            known = there
            if len(known) == len(whole):                # all there: begin again
                _differing(store, whole)
                Path(store).unlink()
                known = set()
        subprocess.run([*command, store], check=True, capture_output=True)
        print(f"{done} kills: {lost} finished rows lost, {_differing(store, whole)} of {len(whole)} rows differ from an undisturbed run")


def _differing(store: str, whole: dict) -> int:
    with Store(store) as kept:
        rows = {r["key"]: r["value"] for r in kept.rows()}
    differ = sum(rows.get(k) != v for k, v in whole.items())
    if differ:
        raise SystemExit(f"{differ} rows differ")
    return differ


if __name__ == "__main__":
    {"speed": speed, "kills": kills}[sys.argv[1] if len(sys.argv) > 1 else "speed"]()
