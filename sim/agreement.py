"""Co-simulation of a whole chip on data and at its extremes: the generated hardware against the emulator, bit for bit."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from .. import data, emulator, hdl
from ..emulator import training
from ..recipe import Recipe, in_memory, programs, require_recipe, table
from . import chip, directed, gradient, simulators, streams
from .fixed import seeded
from .report import CLIPPED, Difference, Report
from .waves import views


def samples_for(recipe: Recipe, count: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Take training samples for a chip: of its data, over and over, or drawn where there are none here.

    Parameters
    ----------
    recipe : Recipe
    count : int

    Returns
    -------
    x : int32 array (count, inputs), state integers
    y : int array (count,)
        Labels modulo the number of outputs, where a set with a name has too few.
    name : str
        The data's, or ``drawn``: uniform in [0, 1].

    Raises
    ------
    DataError
        If the recipe's own data cannot be used.
    """
    inputs = recipe.sizes[0]
    name = recipe.data.file or next((n for n, size in data.INPUTS.items() if size == inputs - recipe.data.one), None)
    if name == "mnist" and not os.environ.get(data.FOLDER):
        name = None
    form = recipe.formats.state
    if name:
        whole = data.of(recipe)
        rows = np.arange(count) % len(whole.x_train)
        x, y = whole.x_train[rows], whole.y_train[rows]
        if whole.y_train.max() >= recipe.sizes[-1]:
            name += f" with labels modulo {recipe.sizes[-1]}"
    else:
        draw = seeded(f"samples {recipe.name}")
        x, y = draw.random((count, inputs)), draw.integers(10, size=count)
    if not recipe.data.file:
        x = np.minimum(x, form.high)
    return form.encode(x, "x"), y % recipe.sizes[-1], name or "drawn"


def learning(recipe: Recipe, weights: Sequence[ArrayLike], x: np.ndarray, y: np.ndarray) -> chip.Session:
    """Load, train with a change of the rate half way, infer, and read the weights back.

    Every weight that changes is compared when it is written; reading back shows that nothing else changed.
    """
    session = chip.Session(recipe)
    session.load(weights)
    for n in range(len(x)):
        if n == len(x) // 2:
            session.rate((recipe.rate + 1) % 8)
        session.train(x[n], y[n])
        if n % 8 == 0:
            session.infer(x[n])
    session.infer(x[0])
    session.read()
    return session


def extremes(recipe: Recipe, scene: directed.Scene) -> chip.Session:
    """Load, learn at the fastest rate, infer, and read the weights back."""
    session = chip.Session(recipe)
    session.load(scene.weights)
    session.rate(directed.FASTEST)
    for x, y in zip(scene.x, scene.y, strict=True):
        session.train(x, y)
    session.infer(scene.x[0])
    session.read()
    return session


def inner(recipe: Recipe, prediction: chip.Prediction) -> dict[str, int]:
    """Count the inner writes that show what only the ends of numbers and of rows do: both limits of every memory that saturates, and
    updates of words that have lanes beyond the last column."""
    places = {"drive": "accumulator", "difference": "delta"}
    learns = min((cycle for cycle, code in prediction.launches if code == chip.TRAIN), default=prediction.cycles)
    tails, found = {}, {}
    for g in in_memory(recipe):
        if g.C % g.L:
            base, goal = table.engines(recipe)[g.engine].base[g.matrix.name], f"updates of lanes beyond the last column of {g.matrix.name}"
            tails |= {(f"engine{g.engine}", base + t * g.F + g.F - 1): goal for t in range(g.R)}
            found[goal] = 0
    for cycle, block, register, index, value in prediction.writes:
        if register == "weight" and (block, index) in tails and cycle > learns:
            found[tails[block, index]] += 1
        elif getattr(recipe.overflow, places.get(register, ""), "") == "saturate":
            form = getattr(recipe.formats, places[register])
            for end, limit in (("least", form.min), ("largest", form.max)):
                goal = f"{register} at its {end}"
                found[goal] = found.get(goal, 0) + (value == limit)
    return found


def _plain(difference) -> tuple[int, str, str, str]:
    """The cycle, the place, and what was expected and got, of `chip.Verdict.mismatches`, as words."""
    cycle, where, *values = difference
    if not all(isinstance(v, tuple) for v in values):
        return cycle, where, *map(str, values)
    if values[0][:4] == values[1][:4]:
        return cycle, where, *(str(v[4]) for v in values)
    return cycle, where, *(f"{block} {register}[{index}] = {value} in cycle {c}" for c, block, register, index, value in values)


def session_for(recipe: Recipe, samples: int) -> chip.Session:
    """Return the session that learns from so many samples, all in one part."""
    return learning(recipe, emulator.initial_weights(recipe), *samples_for(recipe, samples)[:2])


def chunk(recipe: Recipe) -> int:
    """Return how many samples a part of a run learns from: so many that loading and reading weights is not most of it."""
    weights = sum(w.size for w in emulator.initial_weights(recipe))
    return max(50, 6 * weights // programs(recipe)[1].length)


def cosim(
    recipe: Recipe,
    simulator: str = "verilator",
    samples: int = 20,
    folder: str | Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    stalls: str = "random",
    optimize: int = 0,
    weights: Sequence[ArrayLike] | None = None,
    seed: int = 0,
    waves: bool = False,
    keep: bool = False,
) -> Report:
    """Run a chip's hardware and its emulator side by side: training on data, and directed extremes.

    The run has parts, each from reset and with its weights loaded: ``data 1``, ``data 2``, ... train on one after the other `chunk` of
    the samples, then ``directed 1``, ... play the scenes of `directed.scenes`. An interrupted run leaves the parts that it has simulated
    (and the compiled simulator) under ``.build/sim``; the same run goes on from there.

    Parameters
    ----------
    recipe : Recipe
    simulator : str
        ``verilator``, ``icarus`` or ``amaranth``.
    samples : int
        Training samples of the data.
    folder : path, optional
        Where ``cosim.json`` is written.
    progress : callable, optional
        ``progress(what, done, of)``, called as the stages begin.
    stalls : str
        Pauses on every stream: ``never``, ``random`` or ``cycling``.
    optimize : int
        Of Verilator's build: 0 builds fast, 3 runs fast.
    weights : list of int32 arrays (R, C), optional
        That training begins with; the recipe's initial weights by default.
    seed : int
        Of the pauses on the streams; another one is another run.
    waves : bool
        Write the waves of each part into the folder, as ``NAME-PART.fst`` with a view of it for each viewer (`sim.waves`).
    keep : bool
        Write what the simulator says of each part there, as ``NAME-PART.log``.

    Returns
    -------
    Report

    Raises
    ------
    SimulatorMissing
        Names the tool and how to get it.
    ValueError
        For fewer than one sample.
    DataError
        As `samples_for`.
    """
    require_recipe(recipe)
    if samples < 1:
        raise ValueError(f"samples: {samples}; at least 1 is needed")
    if simulator not in ("verilator", "icarus", "amaranth"):
        raise ValueError(f"simulator: {simulator!r}; allowed are verilator, icarus, amaranth")
    if not 0 <= seed < 1 << 32:
        raise ValueError(f"seed: {seed}; allowed are 0 to 2**32 - 1")
    if (waves or keep) and folder is None:
        raise ValueError("folder: none for waves and logs; give one")
    simulators.require(simulator)
    ending = simulators.waves_suffix(simulator) if waves else ""
    if keep and not waves:
        simulators.waves_suffix(simulator)  # the same simulators have logs
    x, y, name = samples_for(recipe, samples)
    began, tell = time.perf_counter(), progress or (lambda *_: None)
    size, scenes = chunk(recipe), directed.scenes(recipe)
    stages = 1 + -(-samples // size) + len(scenes)
    tell("generate the Verilog", 0, stages)
    component = hdl.build(recipe)
    source = hdl.convert(component, simulators.TOP)
    report, kept, done = Report(recipe.name, simulator, name, samples), [], 0
    limits: set[str] = set()

    def play(part: str, session: chip.Session) -> chip.Verdict:
        nonlocal done
        done += 1
        tell(f"simulate on {simulator} and compare: {part}", done, stages)
        pauses = dict.fromkeys(streams.STREAMS, stalls)
        if programs(recipe)[True].interval and done % 2:
            pauses["i_sample"] = "never"  # with pauses a sample may take longer than the interval to load
        arguments = session.arguments(pauses, watch=True, seed=seed << 16 | done)
        if waves or keep:
            at = Path(folder) / f"{recipe.name}-{part.replace(' ', '-')}"
            record = simulators.run(
                component,
                streams.play,
                arguments,
                simulator,
                source,
                optimize,
                at.with_suffix(ending) if waves else None,
                at.with_suffix(".log") if keep else None,
            )
            report.files += [str(at.with_suffix(".log"))] * keep
            if waves:
                widths = {name: len(value) for name, value in hdl.verilog.inner(component)} | {p.name: p.width for p in source.ports}
                texts = views(recipe, source, widths, at.with_suffix(ending))
                report.files += [str(p) for p in hdl.verilog.write_together(at.parent, {at.name + end: t for end, t in texts.items()})]
                report.files.append(str(at.with_suffix(ending)))
        else:
            record, file = simulators.kept_run(component, streams.play, arguments, simulator, source, optimize)
            kept.append(file)
        verdict = chip.judge(recipe, record, watch=True)
        report.cycles += verdict.cycles
        report.bits += verdict.bits
        report.mismatches += verdict.differing
        report.cycle_differences += verdict.late
        report.first += [Difference(part, *_plain(d)) for d in sorted(verdict.mismatches, key=lambda d: d[0])[: 100 - len(report.first)]]
        return verdict

    def cover(verdict: chip.Verdict, before) -> None:
        twin = verdict.prediction.chip
        found = directed.reached(recipe, before, twin.weights, twin.saturations)
        must = verdict.coverage | {directed.CHANGE: found.pop(directed.CHANGE)}
        may = found | inner(recipe, verdict.prediction)
        limits.update(may)
        for goal, times in (must | may).items():
            report.coverage[goal] = report.coverage.get(goal, 0) + int(times)

    first = weights = emulator.initial_weights(recipe) if weights is None else weights
    for n, at in enumerate(range(0, samples, size), 1):
        verdict = play(f"data {n}", learning(recipe, weights, x[at : at + size], y[at : at + size]))
        cover(verdict, weights)
        for place, events in verdict.prediction.chip.saturations.items():
            report.saturations[place] = report.saturations.get(place, 0) + int(events)
        weights = verdict.prediction.chip.weights
    for n, scene in enumerate(scenes, 1):
        cover(play(f"directed {n}", extremes(recipe, scene)), scene.weights)
    if ending == ".vcd":
        report.notes.append("waves are VCD: for FST from Verilator, `apt install liblz4-dev zlib1g-dev`, or --simulator icarus")
    tell("done", stages, stages)

    learns = recipe.learns
    report.moved = sum(int(np.count_nonzero(a != b)) for a, b in zip(first, weights, strict=True))
    if learns and not report.moved:
        report.notes.append(f"no weight changes in {samples} training samples of {name}: {training.standing_still(recipe)}")
    if name == "drawn":
        report.notes.append(
            "samples are drawn at random; "
            + (
                f"--data DIR or {data.FOLDER} gives MNIST's"
                if recipe.sizes[0] == data.INPUTS["mnist"]
                else f'no data set with a name has {recipe.sizes[0]} inputs; --data FILE, or data = "FILE" in the recipe, gives yours'
            )
        )
    missing = [goal for goal, times in report.coverage.items() if not times and (learns or goal != directed.CHANGE)]
    report.unreached = [goal for goal in missing if goal in limits and goal != CLIPPED]
    report.uncovered = [goal for goal in missing if goal not in limits]
    if learns and not recipe.signed:
        report.gradient = {stage: gradient.compare(recipe, w, x, y) for stage, w in (("before", first), ("after", weights))}
    report.seconds = round(time.perf_counter() - began, 2)
    if folder is not None:
        write(Path(folder) / "cosim.json", report.to_dict())
    for file in kept:
        file.unlink(missing_ok=True)
    return report


def write(path: Path, content: object) -> None:
    """JSON, written beside its place and then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    draft.replace(path)
