"""A layer: crossbar, output converter, drive memory, dyad, and in the last one the nudge (contract section 7)."""

from __future__ import annotations

import numpy as np

from ..recipe import ELEMENT_BITS, Geometry, Op, Operand, Recipe, hardware
from . import crossbar, fixed, neuron, noise, nudge, rng
from .clock import walk

VECTORS = 0x80
"""Streams from here on are those of vector elements (contract section 2)."""


def is_random(recipe: Recipe) -> bool:
    """Whether a rounding of accumulator, state or delta is stochastic: only then elements have random words."""
    r = recipe.rounding
    return "stochastic" in (r.accumulator, r.state, r.delta)


def words(geometry: Geometry, key, step, pc: int, count: int, like):
    """Random words of the elements that an operation makes.

    Parameters
    ----------
    key : pair of uint32 arrays (...)
    pc : int
        Position of the operation in the program memory.
    count : int
        Elements.
    like : array
        Of the namespace to use.

    Returns
    -------
    converter, state, delta, nudge : int32 arrays (..., 1, count), or four zeros where nothing rounds at random
    """
    if not is_random(geometry.recipe):
        return 0, 0, 0, 0
    index = crossbar.namespace(like).arange(count, dtype=np.uint32) | np.uint32(pc << ELEMENT_BITS)
    x, y = rng.pair(tuple(k[..., None, None] for k in key), VECTORS | geometry.layer, step, index)
    return tuple(rng.rounding_word(rng.lane_view(x, y, view)) for view in range(4))


def convert(recipe: Recipe, place: str, sums, random, added=None):
    """Convert exact sums over a store of format `place`, and the noise of their read: (int32 array, accumulator format; out_of_range)."""
    sums = sums if added is None else sums + added
    value, out_of_range = fixed.requantize(sums, _shift(recipe, place), recipe.formats.accumulator.width,
                                           recipe.rounding.accumulator, recipe.overflow.accumulator, random)
    return value.astype(np.int32), out_of_range


def add(recipe: Recipe, a, b):
    """Add two numbers of accumulator format: (int32 array, out_of_range), by the accumulator's overflow."""
    value, out_of_range = fixed.requantize(a + b, 0, recipe.formats.accumulator.width, "floor", recipe.overflow.accumulator)
    return value.astype(np.int32), out_of_range


def _shift(recipe: Recipe, place: str) -> int:
    f = recipe.formats
    return f.weight.frac + getattr(f, place).frac - f.accumulator.frac


PLACE = {Op.FORWARD: "state", Op.TRANSPOSED: "delta"}
"""Format of what an operation of the hardware reads."""


# Trace ------------------------------------------------------------------------------------------------------


def inputs(recipe: Recipe, k: int) -> tuple[str, ...]:
    """Input ports of layer k."""
    own = ("label",) if k == recipe.layers - 1 else \
        ("received_valid", "received_index", "received_value", "received_random")
    return ("start", "op", "operand", "pc", "rate", "slope", "step", "bank", "input_write", "input_index",
            "input_value", "word_address", "word_write", "word_in", *own, *(("run",) if recipe.devices.read_noise else ()))


def trace(recipe: Recipe, k: int, stimulus: dict) -> dict:
    """Every port of `Layer` at every clock.

    Parameters
    ----------
    recipe, k
        As the component's.
    stimulus : dict
        Input ports of contract section 7, one entry per clock, from reset.

    Returns
    -------
    dict
        Output ports of section 7. `loss` is meaningful when the operation that makes it is complete.
    """
    block = Clocked(recipe, k)
    return walk(lambda **ports: block.present() | block.clock(**ports), stimulus, inputs(recipe, k))


class Clocked:
    """The registers of `Layer`: `present` gives what they show in this cycle, `clock` moves to the next."""

    def __init__(self, recipe: Recipe, k: int):
        self.recipe, self.k = recipe, k
        self.geometry = Geometry(recipe, k)
        self.is_last = self.geometry.is_last
        self.crossbar = crossbar.Clocked(self.geometry, 2 if k == 0 else 1)
        self.dyad = neuron.Clocked(recipe, k)
        self.nudge = nudge.Clocked(recipe)
        self.drive = [0] * self.geometry.R
        self.revises = not self.is_last and hardware.down(recipe, k + 1).revises
        self.loss = 0
        self.now = 0
        self.started = (0, 0, 0)                   # op, operand, pc
        # what is under way, by the cycle in which it arrives
        self.converted: dict[int, tuple] = {}      # at the converter's output
        self.nudged: dict[int, tuple] = {}         # at the nudge's output b
        self.entering: dict[int, tuple] = {}       # at the dyad's input
        self.leaving: dict[int, tuple] = {}        # at the dyad's output
        self.random: dict[int, tuple] = {}         # rounding words at the dyad
        self.random_nudge: dict[int, int] = {}
        self.squares: dict[int, int] = {}          # errors whose square the loss takes, with their sign

    def present(self) -> dict:
        """Output ports of this cycle, but for those of the crossbar."""
        k, recipe = self.k, self.recipe
        idle = {"valid": 0, "index": 0, "value": 0}
        state, revised, feedback, drive, error = (dict(idle) for _ in range(5))
        accumulator_out = state_out = delta_out = 0
        if self.now in self.converted:
            op, operand, index, value, out, random = self.converted[self.now]
            accumulator_out += out
            if op == Op.TRANSPOSED:
                feedback = {"valid": 1, "index": index, "value": value, "random": random[1] | random[2] << 16}
            elif not self.is_last:
                drive = {"valid": 1, "index": index, "value": value}
        if self.now in self.nudged:
            accumulator_out += self.nudged[self.now][1] == Operand.NUDGE and self.nudge.fitted[1]
        if self.now in self.leaving:
            port, index, writes_error = self.leaving[self.now]
            (mean, mean_out), (difference, difference_out) = self.dyad.fitted
            made = {"valid": 1, "index": index, "value": mean}
            if port == "state":
                state = made
            elif self.revises:
                revised = made
            state_out += mean_out and (port == "state" or self.revises)
            if writes_error:
                error = {"valid": 1, "index": index, "value": difference}
                delta_out += difference_out
        ports = {f"state_{n}": v for n, v in state.items()}
        if self.is_last:
            ports["loss"] = self.loss
        else:
            ports |= {f"revised_{n}": v for n, v in revised.items()}
        if k > 0:
            ports |= {f"feedback_{n}": v for n, v in ({"random": 0} | feedback).items()}
        for name, write in (("drive", drive), ("error", error)):
            ports |= {f"{name}_write": write["valid"], f"{name}_index": write["index"],
                      f"{name}_value": write["value"]}
        if recipe.layers - 1 == k:
            ports = {n: v for n, v in ports.items() if not n.startswith("drive")}
        return ports | {"events_accumulator": int(accumulator_out), "events_state": int(state_out),
                        "events_delta": int(delta_out)}

    def clock(self, start, op, operand, pc, rate, slope, step, bank, input_write, input_index, input_value,
              word_address, word_write, word_in, label=0,
              received_valid=0, received_index=0, received_value=0, received_random=0, run=0) -> dict:
        """The crossbar's output ports of this cycle; all registers move to the next one."""
        now, self.run = self.now, run
        shown = self.present()
        ports = self.crossbar.clock(
            start=start, op=op, operand=operand, rate=rate, slope=slope, step=step, bank=bank,
            input_write=input_write, input_index=input_index, input_value=input_value,
            error_write=shown["error_write"], error_index=shown["error_index"], error_value=shown["error_value"],
            word_address=word_address, word_write=word_write, word_in=word_in)

        # the last sum of an operation may coincide with the next start
        if ports["sum_valid"]:
            self._convert(ports["sum_index"], ports["sum"], step)
        if start:
            self.started = op, operand, pc
            if self.is_last and op == Op.FORWARD and operand != Operand.SUBTRACT:
                self.loss = 0
        self._distribute(label)
        if received_valid:
            self.entering[now + 2] = ("revised", received_index, self.drive[received_index], received_value, True,
                                      (received_random & 0xFFFF, received_random >> 16))
        if shown.get("drive_write"):
            self.drive[shown["drive_index"]] = shown["drive_value"]
        self._dyad()
        if now in self.squares:
            self.loss += self.squares.pop(now) * self.nudge.error**2
        self.nudge.clock(*self.nudging, random=self.random_nudge.pop(now, 0))
        for under_way in (self.converted, self.nudged, self.leaving):
            under_way.pop(now, None)
        self.now += 1
        return {name: ports[name] for name in ("word_out", "weight_write", "weight_address", "weight_word")} | {
            "events_weight": ports["weight_out_of_range"]}

    def _convert(self, index, total, step):
        recipe = self.recipe
        op, operand, pc = self.started
        random = (0, 0, 0, 0)
        if is_random(recipe):
            x, y = rng.pair_exact(recipe.key, VECTORS | self.k, step, pc << ELEMENT_BITS | index)
            random = tuple(rng.view_exact(x, y, view)[0] for view in range(4))
        if recipe.devices.read_noise:
            pair = rng.pair_exact(recipe.key, noise.STREAM | self.k, self.run, pc << ELEMENT_BITS | index)
            total += noise.noise_exact(recipe, PLACE[op], *pair)
        value, out = fixed.requantize_exact(total, _shift(recipe, PLACE[op]), recipe.formats.accumulator.width,
                                            recipe.rounding.accumulator, recipe.overflow.accumulator, random[0])
        self.converted[self.now + 2] = op, operand, index, value, out, random

    def _distribute(self, label):
        """What leaves the converter now goes to the dyad, or through the nudge."""
        now = self.now
        self.nudging = (0, 0)
        if now in self.converted:
            op, operand, index, a, _, random = self.converted[now]
            if op == Op.FORWARD and self.is_last:
                self.nudging = a, index == label
                self.random_nudge[now + 2] = random[3]
                if operand != Operand.FREE:
                    self.squares[now + 2] = -1 if operand == Operand.SUBTRACT else 1
                self.nudged[now + 4] = a, operand, index, random
            elif op == Op.FORWARD:
                self.entering[now] = ("state", index, a, 0, False, random[1:3])
        if now in self.nudged:
            a, operand, index, random = self.nudged[now]
            nudges = operand == Operand.NUDGE
            self.entering[now] = ("state", index, a, self.nudge.fitted[0] if nudges else 0, nudges, random[1:3])

    def _dyad(self):
        now, a, b = self.now, 0, 0
        if now in self.entering:
            port, index, a, b, writes_error, random = self.entering.pop(now)
            self.leaving[now + 5] = port, index, writes_error
            self.random[now + 3] = random
        random_state, random_delta = self.random.pop(now, (0, 0))
        self.dyad.clock(a, b, random_state, random_delta)
