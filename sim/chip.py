"""The chip's bench: what the monitors saw against what the emulator predicts, cycle by cycle.

`Prediction` is fed with the *observed* inputs of each cycle, so that it holds for any source of stimuli. When the chip takes, launches
and gives is the emulator's edge; programs run on the emulator's chip; their inner writes come from its trace.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from .. import emulator
from ..emulator import edge, fixed
from ..emulator import walk as emulated
from ..emulator.edge import INFER, LOAD, RATE, READ, RUN, STEP, TRAIN
from ..recipe import Recipe, emissions, geometries, in_memory, programs, table
from ..recipe.program import FIRST
from . import streams
from .streams import LEVELS, REST, STREAMS, Record

COUNTERS = ("accumulator", "state", "delta", "weight")
REGISTERS = ("drive", "mean", "difference", "weight")


def command(code: int, operand: int = 0) -> int:
    """A command's payload: code in the low three bits."""
    return code | operand << 3


@dataclass
class Session:
    """Commands and data that a host sends to a chip, in order."""

    recipe: Recipe
    given: dict = field(default_factory=lambda: {s: [] for s in streams.INPUTS})
    wanted: dict = field(default_factory=lambda: dict.fromkeys(streams.OUTPUTS, 0))
    cycles: int = 0
    """About how many cycles it takes without stalls."""

    def load(self, weights: Sequence[ArrayLike]) -> None:
        """Load all weights: list of integer arrays (R, C)."""
        self.given["i_command"].append(command(LOAD))
        self.given["i_weight"] += [int(w) for layer in weights for w in np.asarray(layer).ravel()]
        self.cycles += 2 * self._weights()

    def read(self) -> None:
        """Read all weights back."""
        self.given["i_command"].append(command(READ))
        self.wanted["o_weight"] += self._weights()
        self.cycles += 5 * self._weights()

    def rate(self, rate: int) -> None:
        """Set the rate register."""
        self.given["i_command"].append(command(RATE, rate))

    def shift(self, code: int, operand: int) -> None:
        """Shift a byte into the step (`STEP`) or run (`RUN`) register, or into none (`NOTHING`)."""
        self.given["i_command"].append(command(code, operand))

    def infer(self, x: Iterable[int]) -> None:
        """Infer one sample of state integers."""
        self._sample(x, INFER)

    def train(self, x: Iterable[int], y: int) -> None:
        """Train on one sample."""
        self.given["i_label"].append(int(y))
        self._sample(x, TRAIN)

    def _sample(self, x, code):
        infer, train = programs(self.recipe)
        self.given["i_command"].append(command(code))
        self.given["i_sample"] += [int(v) for v in x]
        program = train if code == TRAIN else infer
        self.wanted["o_result"] += self.recipe.sizes[-1] * len(emissions(self.recipe, program is train))
        self.cycles += program.length + self.recipe.sizes[0]

    def _weights(self):
        return sum(g.R * g.C for g in in_memory(self.recipe))

    def arguments(self, stalls: dict, watch: bool, seed: int = 1) -> dict:
        """Arguments of `streams.play`."""
        return {
            "given": self.given,
            "wanted": self.wanted,
            "stalls": stalls,
            "seed": seed,
            "watch": streams.watched(self.recipe) if watch else [],
            "limit": 20 * self.cycles + 10000,
        }


class Prediction:
    """The emulator beside the chip, one step per cycle: its edge for the times of the streams, its chip for what they carry.

    Parameters
    ----------
    recipe : Recipe
    trace : bool
        Predict inner writes as well.
    """

    def __init__(self, recipe: Recipe, trace: bool):
        self.recipe, self.traces = recipe, trace
        self.chip, self.edge = emulator.Chip(recipe), edge.Clocked(recipe)
        self.geometry = in_memory(recipe)
        self.programs = programs(recipe)
        self.command = self.label = None
        self.sample: list[int] = []
        self.coming: deque[int] = deque()
        """Results that programs under way have made or will make, in the order in which they enter the queue."""
        self.queue: deque[int] = deque()
        self.words: deque[int] = deque()
        self.loading: list[int] = []
        self.steps = self.began = self.rested = 0
        """Steps before the programs under way, less those that the edge has counted; their first launch; when counters are at rest."""
        self.writes: list = []
        self.launches: list[tuple[int, int]] = []
        """(cycle, code) of every launch."""
        self.overlaps = 0
        """Launches while another program runs."""
        self.walking: deque = deque()
        self.walk: emulated.Walk | None = None
        """Chip since the last launch in rest, where weights may be stale and it is traced."""

    @property
    def cycles(self) -> int:
        """The cycle counter."""
        return self.edge.cycles

    def wires(self) -> dict:
        """Return what the chip shows in this cycle: ready of inputs, (valid, payload) of outputs, busy."""
        shown = self.edge.ports()
        return {s: shown[f"{s}_ready"] for s in streams.INPUTS} | {
            "o_weight": self.words[0] if shown["o_weight_valid"] else None,
            "o_result": self.queue[0] if shown["o_result_valid"] else None,
            "busy": shown["busy"],
        }

    def levels(self, cycle: int) -> dict:
        """Level outputs; the loss only while no program runs, counters while no event is on its way to them."""
        values = {"cycles": self.cycles, "rate": int(self.chip.rate)}
        running = bool(self.edge.running)
        if not running:
            counted, rested = self.chip.saturations, self.rested
            values |= {"step": int(self.chip.step), "loss": int(self.chip.loss)}
        else:
            counted, rested = self.before["counted"], self.before["rested"]
            values["step"] = (self.steps + self.edge.step) % (1 << 32)
        if rested <= cycle and (not running or cycle <= self.began + FIRST + REST):
            values |= {f"saturations_{n}": int(v) for n, v in counted.items()}
        return values

    def step(self, cycle: int, taken: dict) -> None:
        """Move on, given the payloads transferred in this cycle; what the edge does not transfer is the chip's mistake alone."""
        shown = self.edge.ports()
        taken = {s: payload for s, payload in taken.items() if shown[f"{s}_ready" if s in streams.INPUTS else f"{s}_valid"]}
        if self.walk:
            self._walk(cycle)
        if shown["launch"]:
            self._launch(cycle)
        self.edge.clock(
            i_command_code=taken.get("i_command", 0) & 7,
            **{f"{s}_valid": s in taken for s in streams.INPUTS},
            **{f"{s}_ready": s in taken for s in streams.OUTPUTS},
        )
        if "o_result" in taken:
            self.queue.popleft()
        while len(self.queue) < self.edge.queue:
            self.queue.append(self.coming.popleft())
        if "o_weight" in taken:
            self.words.popleft()
        if "i_weight" in taken:
            self._load(cycle, taken["i_weight"])
        if "i_sample" in taken:
            self.sample.append(taken["i_sample"])
        self.command, self.label = taken.get("i_command", self.command), taken.get("i_label", self.label)
        if not self.edge.running:
            self.walk = None

    def _launch(self, cycle: int) -> None:
        code, operand = self.command & 7, self.command >> 3
        if code in (INFER, TRAIN):
            self._program(cycle, code)
        elif code == LOAD:
            self.loading = []
        elif code == READ:
            self.words = deque(int(w) for layer in self.chip.weights for w in layer.ravel())
        elif code == RATE:
            self.chip.rate = operand & 7
        elif code in (STEP, RUN):
            state, name = self.chip.state(), "step" if code == STEP else "run"
            self.chip.restore(state | {name: np.uint32(int(state[name]) >> 8 | operand << 24)})
        self.launches.append((cycle, code))

    def _program(self, cycle: int, code: int) -> None:
        x, y = np.array(self.sample, np.int32), self.label if code == TRAIN else None
        train = code == TRAIN and self.recipe.learns
        under_way = bool(self.edge.running)
        if not under_way:
            self.steps, self.began = int(self.chip.step) - self.edge.step, cycle
            self.before = {"counted": self.chip.saturations, "rested": self.rested}
        self.sample = []
        entered, count = [], self.recipe.sizes[-1]
        several = len(emissions(self.recipe, train)) > 1
        walks = any(self.programs[True].staleness.values()) and (self.traces or several)
        if walks:
            if not under_way:
                self.walk = emulated.Walk(self.recipe, self.chip.state())
            self.walking.append((cycle + 1, x.tolist(), y or 0, train))
        elif self.traces or several:
            for now, block, register, index, value in emulated.trace(self.recipe, self.chip.state(), x, y if train else None):
                if register in REGISTERS:
                    self.writes.append((cycle + 1 + now, block, register, index, value))
                elif register == "result":
                    entered.append(value)
        made = self.chip.train(x[None], np.array([y]), under_way).outputs if code == TRAIN else self.chip.infer(x[None])
        # the chip gives the last read alone, the trace every one
        span, values = 1 << self.recipe.formats.state.width, entered[:-count] + made[0].tolist()
        if not (walks and several):
            self.coming.extend(value % span | (i % count == count - 1) * span for i, value in enumerate(values))
        self.overlaps += under_way
        self.rested = cycle + 1 + self.programs[train].length + REST

    def _walk(self, cycle: int):
        """Walk on to a cycle while samples are under way, for what they write then."""
        if self.walking and self.walking[0][0] == cycle:
            self.walk.launch(*self.walking.popleft()[1:])
        count, span = self.recipe.sizes[-1], 1 << self.recipe.formats.state.width
        several = len(emissions(self.recipe, self.edge.doing == TRAIN)) > 1
        for block, register, index, value in self.walk.clock():
            if register in REGISTERS and self.traces:
                self.writes.append((cycle, block, register, index, value))
            elif register == "result" and several:
                self.coming.append(value % span | (index == count - 1) * span)

    def _load(self, cycle: int, weight: int):
        self.loading.append(weight)
        done, begin, engines = len(self.loading), 0, table.engines(self.recipe)
        for g in self.geometry:
            width = engines[g.engine].width
            if begin < done <= begin + g.R * g.C:
                row, j = divmod(done - 1 - begin, g.C)
                if self.traces and (j % g.L == g.L - 1 or j == g.C - 1):
                    first = begin + row * g.C + j // g.L * g.L
                    lanes = fixed.wrap(np.array(self.loading[first:done]), g.recipe.formats.weight.width).tolist()
                    word = sum((w & ((1 << width) - 1)) << i * width for i, w in enumerate(lanes))
                    address = engines[g.engine].base[g.matrix.name] + row * g.F + j // g.L
                    self.writes.append((cycle + 2, f"engine{g.engine}", "weight", address, word))
            begin += g.R * g.C
        if done == begin:
            at, weights = 0, []
            for g in self.geometry:
                given = np.array(self.loading[at : at + g.R * g.C], np.int32).reshape(g.R, g.C)
                weights.append(fixed.wrap(given, g.recipe.formats.weight.width))
                at += g.R * g.C
            self.chip.weights = weights


@dataclass
class Verdict:
    """Everything compared, and where it differed."""

    cycles: int
    bits: int
    mismatches: list
    """(cycle, what, expected, got), the first hundred."""
    differing: int
    """Comparisons that differed."""
    late: int
    """Those among them that were of times: handshakes, busy, cycle counts, cycles of inner writes."""
    coverage: dict
    prediction: Prediction

    @property
    def uncovered(self) -> list[str]:
        return [goal for goal, times in self.coverage.items() if not times]


def judge(recipe: Recipe, record: Record, watch: bool) -> Verdict:
    """The scoreboard: every handshake, payload, level and inner write of a record against the prediction."""
    prediction = Prediction(recipe, watch)
    payloads: dict[int, dict] = {}
    for cycle, stream, payload in record.payloads:
        payloads.setdefault(cycle, {})[stream] = payload
    levels: dict[int, dict] = {}
    for cycle, name, value in record.levels:
        levels.setdefault(cycle, {})[name] = value
    f = recipe.formats
    widths = {
        "o_weight": recipe.weight_width,
        "o_result": f.state.width + 1,
        "cycles": 48,
        "step": 32,
        "rate": 3,
        "loss": geometries(recipe)[-1].loss_width,
        "drive": f.accumulator.width,
        "mean": f.state.width,
        "difference": f.delta.width,
    }
    bits, mismatches, differing, late = 0, [], 0, 0

    def compare(cycle, what, expected, got, width, time=False):
        nonlocal bits, differing, late
        bits += width
        if expected != got:
            differing += 1
            late += time
            if len(mismatches) < 100:
                mismatches.append((cycle, what, expected, got))

    for cycle, wires in enumerate(record.handshakes):
        shown = prediction.wires()
        seen, taken = payloads.get(cycle, {}), {}
        for i, s in enumerate(STREAMS):
            valid, ready = wires >> 2 * i & 1, wires >> 2 * i + 1 & 1
            if s.startswith("i_"):
                compare(cycle, f"{s}.ready", int(shown[s]), ready, 1, True)
            else:
                compare(cycle, f"{s}.valid", int(shown[s] is not None), valid, 1, True)
                if valid and shown[s] is not None:
                    width = widths[s]
                    compare(cycle, s, shown[s] & ((1 << width) - 1), seen[s] & ((1 << width) - 1), width)
            if valid and ready:
                taken[s] = seen[s]
        compare(cycle, "busy", int(shown["busy"]), wires >> 12 & 1, 1, True)
        if cycle in levels:
            expected = prediction.levels(cycle)
            for name in LEVELS:
                if name in expected:
                    compare(cycle, name, expected[name], levels[cycle][name], widths.get(name, 32), name == "cycles")
        if differing > 50:
            break  # everything after the first differences follows from them
        prediction.step(cycle, taken)

    if watch:
        end = len(record.handshakes)
        words = {f"engine{e}": found.lanes * found.width for e, found in enumerate(table.engines(recipe))}

        def bits_of(write):
            return widths.get(write[2]) or words[write[1]]

        def unsigned(write):  # simulators differ in whether they know an inner signal's sign
            *place, value = write
            return *place, value & ((1 << bits_of(write)) - 1)

        expected = Counter(unsigned(w) for w in prediction.writes if w[0] < end)
        shown = Counter(map(unsigned, record.writes))
        bits += sum(bits_of(w) * n for w, n in (expected & shown).items())
        amiss: dict[tuple, tuple[list, list]] = {}  # by place, so that one write that is amiss shifts no others
        for side, left in enumerate((expected - shown, shown - expected)):
            for write in sorted(left.elements()):
                amiss.setdefault(write[1:4], ([], []))[side].append(write)
        for (block, register, index), pair in sorted(amiss.items()):
            for a, b in itertools.zip_longest(*pair):
                compare((a or b)[0], f"{block} {register}[{index}]", a, b, bits_of(a or b), a is None or b is None or a[0] != b[0])

    codes = [code for _, code in prediction.launches]
    coverage = {
        name: codes.count(code) for code, name in ((INFER, "infer"), (TRAIN, "train"), (LOAD, "load"), (READ, "read"), (RATE, "rate"))
    }
    if programs(recipe)[True].interval:
        coverage["a sample that starts while one runs"] = prediction.overlaps
    coverage |= {f"transfer on {s}": sum((w >> 2 * i & 3) == 3 for w in record.handshakes) for i, s in enumerate(STREAMS)}
    return Verdict(len(record.handshakes), bits, mismatches, differing, late, coverage, prediction)
