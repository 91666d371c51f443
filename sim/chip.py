"""The chip's bench: what the monitors saw against what the emulator and contract section 9 predict, cycle by cycle.

`Prediction` is fed with the *observed* inputs of each cycle, so that it holds for any source of stimuli. Programs run
on the emulator's chip; their inner writes come from its trace.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from .. import emulator
from ..emulator import fixed
from ..emulator import walk as emulated
from ..recipe import FREE, Recipe, emissions, geometries, in_memory, matrix_geometries, most_results, programs, table
from ..recipe.program import FIRST
from . import streams
from .streams import LEVELS, REST, STREAMS, Record

INFER, TRAIN, LOAD, READ, RATE, STEP, RUN, NOTHING = range(8)
COUNTERS = ("accumulator", "state", "delta", "weight")
REGISTERS = ("drive", "mean", "difference", "weight")


def command(code: int, operand: int = 0) -> int:
    """A command's payload: code in the low three bits."""
    return code | operand << 3


@dataclass
class Session:
    """What a host sends to a chip: built command by command, in order."""

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
        return {"given": self.given, "wanted": self.wanted, "stalls": stalls, "seed": seed,
                "watch": streams.watched(self.recipe) if watch else [], "limit": 20 * self.cycles + 10000}


def result_times(recipe: Recipe, train: bool) -> list[int]:
    """Program cycles in which the outputs of a program enter the result queue."""
    made = matrix_geometries(recipe)
    times = []
    for i in emissions(recipe, train):
        g, step = made[i.step.matrix], i.step
        adds, pushes = step.enter in ("more", "less", "relax"), step.force == "drive"
        # the slot of the row's last fold, the sum 5 + lv later; to the drive 2, to the dyad 4, its mean 5 (sections 3 and 7)
        times += [i.cycle + 7 + (t + 1) * g.F - 1 + 5 + g.lv + 11 + adds + pushes for t in range(g.R)]
    return times


class Prediction:
    """Contract section 9 as a machine of one step per cycle.

    Parameters
    ----------
    recipe : Recipe
    trace : bool
        Predict inner writes as well.
    """

    def __init__(self, recipe: Recipe, trace: bool):
        self.recipe, self.traces = recipe, trace
        self.chip = emulator.Chip(recipe)
        self.geometry = in_memory(recipe)
        self.programs = programs(recipe)
        self.command = self.label = None
        self.sample, self.spare_full = [], False
        self.mode, self.since = "idle", 0
        self.ending: deque[int] = deque()
        """Of each program under way, the cycle in which the chip could be idle."""
        self.free_from = None
        """The cycle from which on the spare bank takes elements again; None: it does."""
        self.queue, self.arriving = deque(), {}
        self.words, self.loading = deque(), []
        self.offer_from, self.ready_from, self.idle_from, self.rested = 0, 0, None, 0
        self.cycles = 0
        self.writes: list = []
        self.launches: list[tuple[int, int]] = []
        """(cycle, code) of every launch."""
        self.overlaps = 0
        """Launches while another program runs."""
        self.since_rest, self.walking = 0, deque()
        self.walk: emulated.Walk | None = None
        """Where weights may be stale, the chip since the last launch in rest, if it is traced."""

    def wires(self, cycle: int) -> dict:
        """What the chip shows in this cycle: ready of inputs, (valid, payload) of outputs, busy."""
        if self.mode == "finishing" and cycle == self.idle_from:
            self.mode = "idle"
        if self.ending and cycle == self.ending[0]:
            self.ending.popleft()
            self.mode = "run" if self.ending else "idle"
            self.ended += self.trains
            self.walk = self.walk if self.ending else None
        if cycle == self.free_from:
            self.sample, self.spare_full, self.free_from = [], False, None
        offered = self.mode == "read" and cycle >= self.offer_from
        return {
            "i_command": self.command is None, "i_label": self.label is None, "i_sample": not self.spare_full,
            "i_weight": self.mode == "load" and cycle >= self.ready_from,
            "o_weight": self.words[0][0] if offered else None,
            "o_result": self.queue[0] if self.queue else None,
            "busy": self.mode == "run" and cycle > self.since,
        }

    def levels(self, cycle: int) -> dict:
        """Level outputs; the loss only while no program runs, counters while no event is on its way to them."""
        values = {"cycles": self.cycles, "rate": int(self.chip.rate)}
        if self.mode != "run":
            counted, rested = self.chip.saturations, self.rested
            values |= {"step": int(self.chip.step), "loss": int(self.chip.loss)}
        else:
            counted, rested = self.before["counted"], self.before["rested"]
            values["step"] = self.ended % (1 << 32)
        if rested <= cycle and (self.mode != "run" or cycle <= self.began + FIRST + REST):
            values |= {f"saturations_{n}": int(v) for n, v in counted.items()}
        return values

    def step(self, cycle: int, taken: dict, shown: dict) -> None:
        """Move on, given the payloads transferred in this cycle."""
        code = None
        if self.mode == "idle" and self.command is not None:
            code = self._launch(cycle)
        elif self._follows(cycle):
            code = self._launch(cycle)
        if shown["busy"]:
            self.cycles = (self.cycles + 1) % (1 << 48)
        if "o_result" in taken and self.queue:
            self.queue.popleft()
        if self.walk and cycle > self.since_rest:
            self._walk(cycle)
        if cycle in self.arriving:
            self.queue.append(self.arriving.pop(cycle))
        if self.mode == "read" and "o_weight" in taken:
            _, word_end = self.words.popleft()
            if word_end:
                self.offer_from = cycle + 5
            else:
                self.offer_from = cycle + 2
            if not self.words:
                self.mode, self.idle_from = "finishing", cycle + 1
        if self.mode == "load" and "i_weight" in taken:
            self._load(cycle, taken["i_weight"])
        if "i_command" in taken:
            self.command = taken["i_command"]
        if "i_label" in taken:
            self.label = taken["i_label"]
        if "i_sample" in taken:
            self.sample.append(taken["i_sample"])
            self.spare_full = len(self.sample) == self.recipe.sizes[0]
        return code

    def _follows(self, cycle: int) -> bool:
        """Whether a training program may be launched while another one runs."""
        interval = self.programs[True].interval
        return (self.mode == "run" and self.trains and bool(interval) and cycle == self.since + interval
                and self.command is not None and self.command & 7 == TRAIN)

    def _launch(self, cycle: int):
        code, operand = self.command & 7, self.command >> 3
        if code in (INFER, TRAIN):
            if not self.spare_full or len(self.queue) > most_results(self.recipe) or (code == TRAIN and self.label is None):
                return
            self._program(cycle, code)
        elif code == LOAD:
            self.mode, self.ready_from, self.loading = "load", cycle + 1, []
        elif code == READ:
            self.mode, self.offer_from = "read", cycle + 5
            self.words = deque((int(w), j % g.L == g.L - 1 or j == g.C - 1) for g, layer in
                               zip(self.geometry, self.chip.weights, strict=True) for row in layer for j, w in enumerate(row))
        elif code == RATE:
            self.chip.rate = operand & 7
        elif code in (STEP, RUN):
            state, name = self.chip.state(), "step" if code == STEP else "run"
            self.chip.restore(state | {name: np.uint32(int(state[name]) >> 8 | operand << 24)})
        self.command = None
        self.launches.append((cycle, code))
        return code

    def _program(self, cycle: int, code: int):
        x, y = np.array(self.sample, np.int32), self.label if code == TRAIN else None
        train = code == TRAIN and self.recipe.learns
        if not self.ending:
            self.ended, self.began = int(self.chip.step), cycle
            self.before = {"counted": self.chip.saturations, "rested": self.rested}
        if self.recipe.samples_in_flight > 1:
            self.free_from = cycle + 1 + FREE
        else:
            self.sample, self.spare_full = [], False
        self.label = None if code == TRAIN else self.label
        times, entered, count = result_times(self.recipe, train), [], self.recipe.sizes[-1]
        several = len(times) > count
        walks = any(programs(self.recipe)[True].staleness.values()) and (self.traces or several)
        if walks:
            if not self.ending:
                self.walk, self.since_rest = emulated.Walk(self.recipe, self.chip.state()), cycle
            self.walking.append((cycle + 1, x.tolist(), y or 0, train))
        elif self.traces or several:
            for now, block, register, index, value in emulated.trace(self.recipe, self.chip.state(), x, y if train else None):
                if register in REGISTERS:
                    self.writes.append((cycle + 1 + now, block, register, index, value))
                elif register == "result":
                    entered.append(value)
        made = self.chip.train(x[None], np.array([y]), bool(self.ending)).outputs if code == TRAIN else self.chip.infer(x[None])
        outputs = made[0].tolist()
        # the chip gives the last read alone, the trace every one
        span, values = 1 << self.recipe.formats.state.width, entered[:-count] + outputs
        for i, (t, value) in enumerate(zip(times, values, strict=True) if not (walks and several) else ()):
            self.arriving[cycle + 1 + t] = value % span | (i % count == count - 1) * span
        self.overlaps += bool(self.ending)
        self.mode, self.since, self.trains = "run", cycle, code == TRAIN
        self.ending.append(cycle + 1 + self.programs[train].length)
        self.rested = self.ending[-1] + REST

    def _walk(self, cycle: int):
        """Walk on to a cycle while samples are under way, for what they write then."""
        if self.walking and self.walking[0][0] == cycle:
            self.walk.launch(*self.walking.popleft()[1:])
        count, span = self.recipe.sizes[-1], 1 << self.recipe.formats.state.width
        several = len(result_times(self.recipe, self.trains)) > count
        for block, register, index, value in self.walk.clock():
            if register in REGISTERS and self.traces:
                self.writes.append((cycle, block, register, index, value))
            elif register == "result" and several:
                self.arriving[cycle] = value % span | (index == count - 1) * span

    def _load(self, cycle: int, weight: int):
        self.loading.append(weight)
        self.ready_from = cycle + 2
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
                given = np.array(self.loading[at:at + g.R * g.C], np.int32).reshape(g.R, g.C)
                weights.append(fixed.wrap(given, g.recipe.formats.weight.width))
                at += g.R * g.C
            self.chip.weights = weights
            self.mode, self.idle_from = "finishing", cycle + 3


@dataclass
class Verdict:
    """Everything compared, and where it differed."""

    cycles: int
    bits: int
    mismatches: list
    """(cycle, what, expected, got), the first hundred."""
    differing: int
    """How many comparisons differed."""
    late: int
    """How many of them were of times: handshakes, busy, cycle counts, cycles of inner writes."""
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
    widths = {"o_weight": recipe.weight_width, "o_result": f.state.width + 1, "cycles": 48, "step": 32, "rate": 3,
              "loss": geometries(recipe)[-1].loss_width, "drive": f.accumulator.width, "mean": f.state.width, "difference": f.delta.width}
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
        shown = prediction.wires(cycle)
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
            break            # everything after the first differences follows from them
        prediction.step(cycle, taken, shown)

    if watch:
        end = len(record.handshakes)
        words = {f"engine{e}": found.lanes * found.width for e, found in enumerate(table.engines(recipe))}

        def bits_of(write):
            return widths.get(write[2]) or words[write[1]]

        def unsigned(write):       # simulators differ in whether they know an inner signal's sign
            *place, value = write
            return *place, value & ((1 << bits_of(write)) - 1)

        expected = Counter(unsigned(w) for w in prediction.writes if w[0] < end)
        shown = Counter(map(unsigned, record.writes))
        bits += sum(bits_of(w) * n for w, n in (expected & shown).items())
        amiss: dict[tuple, tuple[list, list]] = {}        # by place, so that one write that is amiss shifts no others
        for side, left in enumerate((expected - shown, shown - expected)):
            for write in sorted(left.elements()):
                amiss.setdefault(write[1:4], ([], []))[side].append(write)
        for (block, register, index), pair in sorted(amiss.items()):
            for a, b in itertools.zip_longest(*pair):
                compare((a or b)[0], f"{block} {register}[{index}]", a, b, bits_of(a or b), a is None or b is None or a[0] != b[0])

    codes = [code for _, code in prediction.launches]
    coverage = {name: codes.count(code) for code, name in
                ((INFER, "infer"), (TRAIN, "train"), (LOAD, "load"), (READ, "read"), (RATE, "rate"))}
    if programs(recipe)[True].interval:
        coverage["a sample that starts while one runs"] = prediction.overlaps
    coverage |= {f"transfer on {s}": sum((w >> 2 * i & 3) == 3 for w in record.handshakes) for i, s in enumerate(STREAMS)}
    return Verdict(len(record.handshakes), bits, mismatches, differing, late, coverage, prediction)
