"""Co-simulation of a whole chip on real data: the generated hardware against the emulator, bit for bit."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from .. import data, emulator, hdl
from ..recipe import Recipe
from . import chip, gradient, simulators, streams


@dataclass
class Report:
    """What a co-simulation compared and found.

    Attributes
    ----------
    recipe, simulator : str
    samples : int
        Training samples.
    cycles : int
        Simulated clock cycles.
    bits : int
        Compared bits: handshakes, payloads, levels, inner writes.
    mismatches, cycle_differences : int
        Comparisons that differed, and those of them that are about times.
    first : list of (cycle, what, expected, got)
        The first mismatches.
    coverage : dict
        What was exercised how often; `uncovered` names what never was.
    saturations : dict
        The four counters at the end.
    seconds : float
    gradient : dict
        The chip's gradient of these samples ``before`` and ``after`` training against dual propagation in float64 and the
        exact gradient, as `gradient.compare` makes it; empty for rules without error signals.
    """

    recipe: str
    simulator: str
    samples: int
    cycles: int
    bits: int
    mismatches: int
    cycle_differences: int
    first: list
    coverage: dict
    uncovered: list
    saturations: dict
    seconds: float
    gradient: dict = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.mismatches and not self.uncovered

    def to_dict(self) -> dict:
        """The report as plain data."""
        return asdict(self) | {"passed": self.passed}

    def __str__(self) -> str:
        lines = [f"{self.recipe} on {self.simulator}: {self.samples} training samples, {self.cycles} cycles, {self.bits} bits "
                 f"compared, {self.mismatches} mismatches, {self.cycle_differences} cycle differences"]
        lines += [f"cycle {c}: {what}: expected {e}, got {g}" for c, what, e, g in self.first[:10]]
        lines += [gradient.line(stage, table) for stage, table in self.gradient.items()]
        return "\n  ".join(lines + [f"never exercised: {goal}" for goal in self.uncovered])


def samples_for(recipe: Recipe, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits for a chip of any size.

    A chip with 64 inputs gets the 8x8 images as they are; others get the pixels over and over, or the first of
    them, and labels modulo the number of outputs.

    Returns
    -------
    x : int32 array (count, inputs), state integers
    y : int array (count,)
    """
    digits = data.load("digits")
    rows = np.arange(count) % len(digits.x_train)
    x = digits.x_train[rows][:, np.arange(recipe.sizes[0]) % digits.x_train.shape[1]]
    limit = recipe.formats.state.high
    return recipe.formats.state.encode(np.minimum(x, limit)), digits.y_train[rows] % recipe.sizes[-1]


def session_for(recipe: Recipe, samples: int) -> chip.Session:
    """Load, train with a change of the rate half way, infer, and read the weights back.

    Every weight that changes is compared when it is written; reading back shows that nothing else changed.
    """
    x, y = samples_for(recipe, samples)
    session = chip.Session(recipe)
    session.load(emulator.initial_weights(recipe))
    for n in range(samples):
        if n == samples // 2:
            session.rate((recipe.rate + 1) % 8)
        session.train(x[n], y[n])
        if n % 8 == 0:
            session.infer(x[n])
    session.infer(x[0])
    session.read()
    return session


def cosim(recipe: Recipe, simulator: str = "verilator", samples: int = 20, folder: str | Path | None = None,
          progress=None, stalls: str = "random", optimize: int = 0) -> Report:
    """Run a chip's hardware and its emulator side by side on handwritten digits.

    Parameters
    ----------
    recipe : Recipe
    simulator : str
        ``verilator``, ``icarus`` or ``amaranth``.
    samples : int
        Training samples.
    folder : path, optional
        Where ``cosim.json`` is written.
    progress : callable, optional
        ``progress(what, done, of)``, called as the stages begin.
    stalls : str
        Pauses on every stream: ``never``, ``random`` or ``cycling``.
    optimize : int
        Of Verilator's build: 0 builds fast, 3 runs fast.

    Returns
    -------
    Report

    Raises
    ------
    SimulatorMissing
        Names the tool and how to get it.
    ValueError
        For fewer than one sample.
    """
    if samples < 1:
        raise ValueError(f"samples: {samples}; at least 1 is needed")
    if simulator not in ("verilator", "icarus", "amaranth"):
        raise ValueError(f"simulator: {simulator!r}; allowed are verilator, icarus, amaranth")
    simulators.require(simulator)
    tell = progress or (lambda *_: None)
    began = time.perf_counter()
    stages = ["generate the Verilog", f"simulate on {simulator}", "compare with the emulator"]
    tell(stages[0], 0, 3)
    session = session_for(recipe, samples)
    component = hdl.build(recipe)
    source = None if simulator == "amaranth" else hdl.convert(component, simulators.TOP)
    tell(stages[1], 1, 3)
    arguments = session.arguments(dict.fromkeys(streams.STREAMS, stalls), watch=True)
    record = simulators.run(component, streams.play, arguments, simulator, source, optimize)
    tell(stages[2], 2, 3)
    verdict = chip.judge(recipe, record, watch=True)
    tell(stages[2], 3, 3)
    report = Report(
        recipe.name, simulator, samples, verdict.cycles, verdict.bits, verdict.differing, verdict.late,
        [(c, what, str(e), str(g)) for c, what, e, g in verdict.mismatches], verdict.coverage, verdict.uncovered,
        {n: int(v) for n, v in verdict.prediction.chip.saturations.items()}, round(time.perf_counter() - began, 2))
    if recipe.rule == "dual-propagation":
        x, y = samples_for(recipe, samples)
        stages = {"before": emulator.initial_weights(recipe), "after": verdict.prediction.chip.weights}
        report.gradient = {stage: gradient.compare(recipe, weights, x, y) for stage, weights in stages.items()}
    if folder is not None:
        write(Path(folder) / "cosim.json", report.to_dict())
    return report


def write(path: Path, content) -> None:
    """JSON, written beside its place and then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content, indent=1) + "\n")
    draft.replace(path)
