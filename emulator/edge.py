"""The streams at the edge of the chip: when it takes, launches and gives (contract section 9).

Only times, no values: what the streams carry is in `chip`, when they carry it is here.
"""

from __future__ import annotations

from ..recipe import FREE, Recipe, emissions, in_memory, matrix_geometries, most_results, programs, timing
from . import sequencer
from .clock import Ports, Stimulus, Waves, walk

INFER, TRAIN, LOAD, READ, RATE, STEP, RUN, NOTHING = range(8)
"""Codes of the command stream."""

INPUTS = ("i_command_valid", "i_command_code", "i_sample_valid", "i_label_valid", "i_weight_valid", "o_result_ready", "o_weight_ready")


def result_cycles(recipe: Recipe, train: bool) -> list[int]:
    """Program cycles in which the elements of a program enter the result queue, in order."""
    geometry = matrix_geometries(recipe)
    return [i.cycle + int(c) for i in emissions(recipe, train) for c in timing.writes(geometry[i.step.matrix], i.step, "result")]


def trace(recipe: Recipe, stimulus: Stimulus) -> Waves:
    """Handshakes, launches and level outputs at every clock.

    Parameters
    ----------
    recipe : Recipe
    stimulus : dict
        The sender's side of every stream, one entry per clock, from reset: ``i_command_valid``, ``i_command_code``,
        ``i_sample_valid``, ``i_label_valid``, ``i_weight_valid``, ``o_result_ready``, ``o_weight_ready``. A transfer
        happens in the cycles in which valid and ready are high, so a list of transfer cycles is a stimulus too.

    Returns
    -------
    dict
        ``i_command_ready``, ``i_sample_ready``, ``i_label_ready``, ``i_weight_ready``, ``o_result_valid``,
        ``o_result_last``, ``o_weight_valid``; ``launch`` (a command leaves its register) and ``code`` (which);
        ``idle``; ``busy``, ``cycles``, ``step``.
    """
    return walk(Clocked(recipe).clock, stimulus, INPUTS)


class Clocked:
    """The control registers of `Chip`."""

    def __init__(self, recipe: Recipe):
        self.recipe, self.geometry = recipe, in_memory(recipe)
        self.outputs, self.samples = recipe.sizes[-1], recipe.sizes[0]
        self.room = most_results(recipe)  # elements that the longer program gives
        self.programs = [(sequencer.length(recipe, t), set(result_cycles(recipe, t))) for t in (False, True)]
        self.interval = programs(recipe)[True].interval
        self.free = FREE if recipe.samples_in_flight > 1 else 0  # program cycle from which on the spare bank takes elements
        self.command: int | None = None  # code in the command register
        self.labelled = False  # the label register is full
        self.elements = 0  # elements in the spare bank
        self.queue = self.given = 0  # elements in the result queue; elements that have left it
        self.doing: int | None = None  # code under way, None when idle
        self.running: list[int] = []  # program cycle of each program under way, the oldest first
        self.left = 0  # weights still to load
        self.words: list[int] = []  # columns of the words still to read
        self.wait = 0  # cycles until a read word is there
        self.cycles = self.step = 0

    def ports(self) -> Ports:
        """Return what the chip shows in this cycle, whatever comes in."""
        idle, running = self.doing is None, self.doing in (INFER, TRAIN)
        return {
            "i_command_ready": self.command is None,
            "i_sample_ready": self.elements < self.samples,
            "i_label_ready": not self.labelled,
            "i_weight_ready": self.doing == LOAD and self.left > 0 and not self.wait,
            "o_result_valid": self.queue > 0,
            "o_result_last": self.given % self.outputs == self.outputs - 1,
            "o_weight_valid": self.doing == READ and self.wait == 0,
            "launch": self._can_launch() if idle else self._can_follow(),
            "code": self.command or 0,
            "idle": idle,
            "busy": running,
            "cycles": self.cycles,
            "step": self.step,
        }

    def clock(
        self,
        i_command_valid: int,
        i_command_code: int,
        i_sample_valid: int,
        i_label_valid: int,
        i_weight_valid: int,
        o_result_ready: int,
        o_weight_ready: int,
    ) -> Ports:
        ports, running = self.ports(), bool(self.running)
        # what is under way
        if running:
            self._run()
        elif self.doing == LOAD:
            if self.wait:  # a weight was taken; after the last one its word is written, too
                self.wait -= 1
                self.doing = LOAD if self.left or self.wait else None
            elif i_weight_valid:
                self.left -= 1
                self.wait = 1 if self.left else 2
        elif self.doing == READ:
            self._read(bool(ports["o_weight_valid"] and o_weight_ready))
        if ports["o_result_valid"] and o_result_ready:
            self.queue -= 1
            self.given += 1
        # transfers, then the launch, which only looks at registers as they stood
        if i_sample_valid and ports["i_sample_ready"]:
            self.elements += 1
        if i_label_valid and ports["i_label_ready"]:
            self.labelled = True
        if ports["launch"]:
            self._launch()
        elif i_command_valid and ports["i_command_ready"]:
            self.command = i_command_code
        return {name: int(value) for name, value in ports.items()}

    def _can_launch(self) -> bool:
        if self.command in (INFER, TRAIN):
            has_sample = self.elements == self.samples and self.queue <= self.room
            return has_sample and (self.command == INFER or self.labelled)
        return self.command is not None

    def _can_follow(self) -> bool:
        """Return whether a training program may start while another one runs."""
        due = self.doing == self.command == TRAIN and bool(self.interval) and self.running[-1] == self.interval - 1
        return due and self._can_launch()

    def _launch(self) -> None:
        code, self.command = self.command, None
        if code in (INFER, TRAIN):
            self.doing = code
            self.running.append(0)
            self.elements = self.elements if self.free else 0
            self.labelled = self.labelled and code == INFER
        elif code == LOAD:
            self.doing, self.wait, self.left = code, 0, sum(g.R * g.C for g in self.geometry)
        elif code == READ:
            self.doing, self.wait = code, 4
            self.words = [min(g.L, g.C - fold * g.L) for g in self.geometry for _ in range(g.R) for fold in range(g.F)]

    def _run(self) -> None:
        length, enters = self.programs[self.doing == TRAIN]
        self.queue += sum(cycle in enters for cycle in self.running)
        self.cycles = (self.cycles + 1) % (1 << 48)
        self.running = [cycle + 1 for cycle in self.running]
        if self.free and self.running[-1] == self.free:
            self.elements = 0
        if self.running[0] == length:
            self.step = (self.step + (self.doing == TRAIN)) % (1 << 32)
            self.running.pop(0)
            self.doing = self.doing if self.running else None

    def _read(self, transfer: bool) -> None:
        if self.wait:
            self.wait -= 1
        elif transfer:
            self.words[0] -= 1
            self.wait = 1
            if self.words[0] == 0:
                self.words.pop(0)
                self.wait = 4
            if not self.words:
                self.doing = None
