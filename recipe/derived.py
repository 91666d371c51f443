"""Numbers that follow from a recipe, in integers, for both wings."""

from __future__ import annotations

import functools
from typing import Any, Self

import numpy as np

from . import rules, seeds
from .activations import Pieces, activation
from .fields import Fields
from .formats import QFormat, half_up, log2_exact
from .operations import NOISE, SIGNS, SLOPE, Matrix, Op, Operation
from .pulses import Pulses
from .sections import LOADED, Arrays, Bits, Devices
from .source import Data

LONGEST_TRAIN = 31
"""Contract section 11: pulses of one update, at most."""

UPDATE_SHIFT_SPSA = 8
"""Contract section 6: fraction bits below the weight LSB that an SPSA product carries."""

NOISE_DEVIATION = (8 * (256**2 - 1) / 12) ** 0.5
"""Standard deviation of a sum of eight bytes, the deviate of contract section 11."""


@functools.lru_cache(maxsize=1024)
def _of_layer(recipe: Any, layer: int) -> Any:
    formats = recipe.formats.model_copy(update={"weight": recipe.formats.weight[layer]})
    return recipe.model_copy(update={"formats": formats})


class Derived(Fields):
    """Derived numbers of a `Recipe`.

    What depends on the weight format is a layer's own where there are several: ask the recipe as the layer sees it, `of_layer`.
    """

    @functools.cached_property
    def as_built(self) -> Self:
        """A copy with all emulator-only fields reset: recipes with equal `as_built` generate the same Verilog."""
        ideal = {name: Devices.model_fields[name].default for name in LOADED}
        alike = self.of_layer(0) if len(set(self.weight_formats)) == 1 else self
        return alike.model_copy(
            update={
                "devices": self.devices.model_copy(update=ideal),
                "arrays": Arrays(),
                "data": Data(),
                "pulses": Pulses() if self.pulses.emulated else self.pulses,
            }
        )

    @functools.cached_property
    def weight_formats(self) -> tuple[QFormat, ...]:
        """The weight format of each layer."""
        given = self.formats.weight
        return given if isinstance(given, tuple) else (given,) * self.layers

    @functools.cached_property
    def weight_width(self) -> int:
        """Bits of the widest weight."""
        return max(f.width for f in self.weight_formats)

    def of_layer(self, layer: int) -> Self:
        """The recipe as the matrices beside a layer see it, with one weight format: theirs."""
        view: Self = _of_layer(self, layer) if isinstance(self.formats.weight, tuple) else self
        return view

    @functools.cached_property
    def emulated(self) -> bool:
        """Return whether the emulator alone plays the chip in training: reads of arrays, or pulses that no hardware has."""
        return self.arrays.on or self.pulses.emulated

    def input_width(self, place: str) -> int:
        """Bits of the arrays' input converters for states or deltas."""
        width: int = getattr(self.formats, place).width
        return min(self.arrays.input_bits or 12, width)

    @functools.cached_property
    def pulse(self) -> float:
        """Change of a weight by one pulse in the middle of its range; 0 without pulses."""
        f = self.formats.weight
        return self.devices.cell.pulse * (f.high - f.low) if self.pulses.law == "measured" else self.pulses.step

    @functools.cached_property
    def cell_width(self) -> int:
        """Bits of a weight that arrays see, sign included: at most 12, as many as `devices.levels` are."""
        return max(2, min(12, log2_exact(self.devices.levels) if self.devices.levels else self.formats.weight.width))

    @functools.cached_property
    def engine_lanes(self) -> tuple[int, ...]:
        """Lanes of each engine."""
        return tuple(e.lanes for e in self.engines) or self.lanes

    def engine_of(self, matrix: str, layer: int | None = None) -> int:
        """Return the number of the engine that holds a matrix; one that no engine names lies with the weights of `layer`."""
        if not self.engines:
            return int(matrix[1:]) if layer is None else layer
        held = {name: e for e, placed in enumerate(self.engines) for name in placed.matrices}
        return held[matrix] if matrix in held else held[f"W{layer}"]

    @functools.cached_property
    def layers(self) -> int:
        """Number of layers of weights, K."""
        return len(self.sizes) - 1

    @functools.cached_property
    def steps(self) -> tuple[Operation, ...]:
        """Operations of the training program, in the order of the rule; none rewrites what is frozen."""
        if not self.frozen:
            return rules.steps(self)
        still = {m.name for m in self.matrices if m.layer in self.frozen}
        return tuple(step for step in rules.steps(self) if step.reads or step.matrix not in still)

    @functools.cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        """Matrices of the rule: the weights of the layers, and what it has beside them."""
        return rules.matrices(self)

    @functools.cached_property
    def states(self) -> frozenset[str]:
        """Stores that hold states; the others hold differences."""
        return rules.states(self, self.samples_in_flight)

    def staleness_of(self, m: Matrix) -> int:
        """Return how many updates by earlier samples a read of a matrix may not see yet."""
        return self.staleness[m.layer] if self.staleness else 0

    def place(self, step: Operation) -> str:
        """Return the format of what a read reads, ``state`` or ``delta``."""
        return "state" if (step.column if step.op is Op.FORWARD else step.row) in self.states | {NOISE} else "delta"

    @functools.cached_property
    def learns(self) -> bool:
        """Return whether the training program changes weights."""
        return any(step.op is Op.UPDATE for step in self.steps)

    @functools.cached_property
    def signed(self) -> bool:
        """Return whether weights are probed or learn along the generator's signs."""
        return any(step.op is Op.PROBE or step.column == SIGNS for step in self.steps)

    @functools.cached_property
    def sloped(self) -> bool:
        """Return whether updates follow the loss register's difference."""
        return any(step.row == SLOPE for step in self.steps)

    @functools.cached_property
    def stepped(self) -> bool:
        """Return whether what updates read depends on the number of the step, which the generator's signs follow."""
        return self.sloped or self.noisy

    @functools.cached_property
    def noisy(self) -> bool:
        """Return whether operations have a column of noise."""
        return any(step.column == NOISE for step in self.steps)

    @functools.cached_property
    def one(self) -> int:
        """Input of a bias, in state LSBs: one, or what the state format has next to it."""
        return min(1 << max(self.formats.state.frac, 0), self.formats.state.max)

    @functools.cached_property
    def noise_level(self) -> int:
        """An element of a column of noise, in state LSBs."""
        return round(self.sigma * 2.0**self.formats.state.frac)

    def shake(self, place: str) -> int:
        """Return log2 of `sigma` in LSBs of a sum over states or deltas (contract section 12)."""
        return log2_exact(self.sigma) + self.sum_frac(place)

    def sum_frac(self, place: str) -> int:
        """Return the fraction bits of an exact sum over states or deltas."""
        frac: int = getattr(self.formats, place).frac
        return self.formats.weight.frac + frac

    @functools.cached_property
    def align(self) -> int:
        """Bits by which a state in the row of an update is shifted left, to the fraction bits of differences."""
        return self.formats.delta.frac - self.formats.state.frac

    @functools.cached_property
    def read(self) -> tuple[str, ...]:
        """Formats of what the rule's programs read from arrays: states, and differences where any come down."""
        down = any(step.op is Op.TRANSPOSED and step.row not in self.states for step in self.steps)
        return ("state", "delta") if down else ("state",)

    def row_of_states(self, step: Operation) -> bool:
        """Return whether the row of an update holds states, not differences."""
        return step.op is Op.UPDATE and step.row in self.states

    @functools.cached_property
    def decay_bits(self) -> int:
        """``-log2(decay)``; 0 where nothing decays."""
        return -log2_exact(self.decay) if self.decay else 0

    @functools.cached_property
    def feedback_level(self) -> int:
        """Size of a sign of feedback, in weight LSBs."""
        return round(self.feedback * 2.0**self.formats.weight.frac)

    @functools.cached_property
    def rate(self) -> int:
        """Rate register after reset: ``log2(learning_rate / rate_floor)``."""
        return log2_exact(self.learning_rate) - log2_exact(self.rate_floor)

    @functools.cached_property
    def probe(self) -> int:
        """SPSA's probe in weight LSBs."""
        return round(self.epsilon * 2.0**self.formats.weight.frac)

    @functools.cached_property
    def probe_bits(self) -> int:
        """Bits of E in probes: from minus twice a probe, which may be the least number of its width, to one."""
        return ((2 * self.probe << self.update_shift) - 1).bit_length() + 1

    @functools.cached_property
    def twice_alpha(self) -> int:
        """0, 1 or 2."""
        return round(2 * self.alpha)

    @functools.cached_property
    def nudge_shift(self) -> int:
        """Fraction bits that an error loses when it becomes a nudge: ``-log2(beta)`` (contract section 5)."""
        return -log2_exact(self.beta)

    @functools.cached_property
    def bits(self) -> Bits:
        """The widths that decide which integer type holds what; of several layers the largest."""
        if isinstance(self.formats.weight, tuple):
            return Bits(*map(max, zip(*(self.of_layer(k).bits for k in range(self.layers)), strict=True)))
        f = self.formats

        def scalar(step: Operation) -> int:
            row = f.state.width + self.align if self.row_of_states(step) else f.delta.width
            negated = step.negative or step.row == SLOPE and step.column != SIGNS  # the least number has no opposite of its width
            return row + 7 + step.gain + negated

        # not more than the rows of this rule: beyond 18 bits a lane's product is more than a multiplier block, and slower
        operand = max((scalar(step) for step in self.steps if step.op is Op.UPDATE), default=f.delta.width + 7)
        if self.signed:
            operand = max(operand, self.probe_bits)
        # a left shift wants room: products are limited to ww + 2 bits before it
        decays = [step.decay for step in self.steps if step.decay]
        shift = max([self.update_shift, *decays])
        widths = [operand + f.state.width + shift - self.update_shift, f.weight.width + 1]
        widths += [f.weight.width + shift - d + 1 for d in decays]
        product = 64 if self.product_shift < 0 else max(widths) + 1
        return Bits(f.state.width, f.weight.width, f.delta.width, operand, product)

    @functools.cached_property
    def guard(self) -> int:
        """Weight LSBs kept free at each end of the range, so that a probe never saturates (contract section 6)."""
        return self.probe if self.signed else 0

    @functools.cached_property
    def update_shift(self) -> int:
        """Fraction bits of an update's product below the weight LSB, S of contract section 6."""
        f = self.formats
        if self.signed:
            return UPDATE_SHIFT_SPSA
        return f.delta.frac + f.state.frac - f.weight.frac + log2_exact(self.beta) - log2_exact(self.rate_floor)

    @functools.cached_property
    def slope_shift(self) -> int:
        """Shift from the loss register to the slope along signs of the weights, or of the neurons (contract section 5)."""
        f = self.formats
        if not self.signed:
            return 2 * f.accumulator.frac + 2 + log2_exact(self.sigma) - f.delta.frac - log2_exact(self.beta)
        return 2 * f.accumulator.frac + 2 + log2_exact(self.epsilon) - f.weight.frac - log2_exact(self.rate_floor) - self.update_shift

    @functools.cached_property
    def key(self) -> tuple[int, int]:
        """The generator's key (contract section 2)."""
        return seeds.key(self.seed)

    def noise_gain(self, place: str) -> int:
        """Read noise per unit of the generator's deviate, in 1/256 LSB of a sum over states or deltas (contract section 11)."""
        return round(self.devices.read_noise * 2.0 ** self.sum_frac(place) * 256 / NOISE_DEVIATION)

    @functools.cached_property
    def hidden_bits(self) -> int:
        """Low bits of a weight that no product sees (contract section 11)."""
        return self.formats.weight.width - log2_exact(self.devices.levels) if self.devices.levels else 0

    @functools.cached_property
    def pulse_bits(self) -> int:
        """log2 of a pulse in weight LSBs; 0 with the ideal law (contract section 11)."""
        return log2_exact(self.pulses.step) + self.formats.weight.frac if self.pulses.built != "ideal" else 0

    @functools.cached_property
    def product_shift(self) -> int:
        """Fraction bits that an update's product loses: to weight LSBs, or to a count of pulses."""
        return self.update_shift + self.pulse_bits

    @functools.cached_property
    def slope_bits(self) -> int | None:
        """Bits of the law's slope ``2**-slope_bits``; None where pulses do not shrink (contract section 11)."""
        if self.pulses.emulated:
            return None
        return {"linear": -log2_exact(self.pulses.slope), "soft-bounds": 0}.get(self.pulses.law)

    @functools.cached_property
    def stuck_limit(self) -> int:
        """A cell is stuck if its 16-bit word is below this (contract section 11)."""
        return round(self.devices.stuck * 65536)

    def pieces(self, layer: int) -> Pieces:
        """The activation of a layer in half accumulator LSBs (contract section 4)."""
        state, name = self.formats.state, self.output if layer == self.layers - 1 else self.activation
        return activation(name).pieces(state.low, state.high, self.formats.accumulator.frac)

    def neuron(self, layer: int) -> tuple[np.ndarray, np.ndarray, float]:
        """The activation of a layer in real numbers, as the chip has it: knots, slopes between them, and the value up to the first knot."""
        pieces, unit = self.pieces(layer), 2.0 ** -(self.formats.accumulator.frac + 1)
        return np.array(pieces.knots) * unit, np.array(pieces.slopes), pieces.first * unit

    def bounds(self, layer: int) -> tuple[int, int]:
        """The least and greatest value of a layer's activation, in accumulator LSBs."""
        pieces = self.pieces(layer)
        return pieces.first >> 1, pieces.values[-1] >> 1

    @functools.cached_property
    def error_bits(self) -> int:
        """Bits of an output's error, sign included (contract section 5)."""
        ends = [self.target(on) - value for on in (True, False) for value in self.bounds(self.layers - 1)]
        return 1 + max((error if error >= 0 else ~error).bit_length() for error in ends)

    def target(self, on: bool) -> int:
        """A target in accumulator LSBs (contract section 5)."""
        value = self.target_on if on else self.target_off
        return min(int(half_up(value * 2.0**self.formats.accumulator.frac)), self.formats.accumulator.max)
