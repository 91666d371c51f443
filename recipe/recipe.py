"""The recipe: one validated description of a circuit that learns."""

from __future__ import annotations

import itertools
import json
import math
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from . import rules, seeds, toml
from .cells import Cell, with_table
from .formats import Overflow, QFormat, Rounding, half_up, log2_exact
from .imported import imported
from .kinds import Number, Real, Switch, Whole
from .mistakes import mistakes, near, shown
from .operations import ELEMENT_BITS, NOISE, SIGNS, SLOPE, Matrix, Op, Operation
from .source import Data

Activation = Literal["identity", "relu", "hard_sigmoid", "hard_tanh"]
PulseLaw = Literal["ideal", "constant", "linear", "soft-bounds"]
DevicePreset = Literal["", "pcm", "pcm-joshi", "hermes-1", "hermes-2", "reram-wan", "reram-wan-2days", "reram-milo", "sonos", "sonos-5days"]
AGING = {"pcm": 20.0, "hermes-1": 200.0, "hermes-2": 300.0}
"""Presets whose papers say how they age, and from how many seconds after writing on."""
Compensation = Literal["none", "array", "output"]

MOST_LANES = 156
"""Of an engine: the multipliers of the largest device that boards here carry."""

LONGEST_TRAIN = 31
"""Contract section 11: pulses of one update, at most."""

UPDATE_SHIFT_SPSA = 8
"""Contract section 6: fraction bits below the weight LSB that an SPSA product carries."""


NOISE_DEVIATION = (8 * (256**2 - 1) / 12) ** 0.5
"""Standard deviation of a sum of eight bytes, the deviate of contract section 11."""


class RecipeError(ValueError):
    """A recipe that cannot be used. One line per mistake: ``file: key: what is wrong, what is allowed``."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Formats(_Part):
    """Number format of each place on the chip."""

    state: QFormat = QFormat(width=8, frac=5)
    weight: QFormat = QFormat(width=16, frac=13)
    accumulator: QFormat = QFormat(width=16, frac=10)
    delta: QFormat = QFormat(width=9, frac=5)


class Roundings(_Part):
    """How each place rounds."""

    accumulator: Rounding = "nearest"
    state: Rounding = "nearest"
    delta: Rounding = "nearest"
    weight: Rounding = "stochastic"


class Overflows(_Part):
    """What each place does with a number that does not fit."""

    accumulator: Overflow = "saturate"
    state: Overflow = "saturate"
    delta: Overflow = "saturate"
    weight: Overflow = "saturate"


class Devices(_Part):
    """What is not ideal about the crossbars' cells and reads (contract section 11).

    The first six are built into the hardware. The others change no hardware, only which integers are loaded as weights: training writes
    the weights to such cells at the start of every epoch and before every test, and goes on with what they hold.

    Attributes
    ----------
    read_noise : float
        Standard deviation of the noise on every sum that is read, forward and transposed, in units of the drive (accumulator
        value 1.0). 0: none.
    levels : int
        How many conductance levels a product sees of a weight, a power of two. 0: all that the weight format has.
    stuck : float
        Share of the cells whose weight no update changes.
    law : str
        How a cell answers to pulses: ``ideal`` (a weight changes as it is told), ``constant`` (in whole pulses), ``linear`` and
        ``soft-bounds`` (in whole pulses that shrink towards the end of the weight's range, by a part or down to nothing).
    pulse : float
        Change of a weight in the middle of its range by one pulse: a power of two. 0 with the ideal law.
    slope : float
        Of the linear law: what share of a pulse is lost at the end of the range, a power of two below 1.
    preset : str
        A published device that holds the weights.
    measured : list of [conductance, deviation]
        A measured device instead: standard deviation of a written conductance at conductances in ascending order, from the least to the
        largest that the device has; all in microsiemens.
    cell : Cell
        A measured device of one's own instead: by numbers, or by ``table = "FILE.csv"`` beside the recipe, whose columns are taken in.
    age : float
        Seconds between the last write and a test. 0: none, so neither drift nor 1/f noise.
    compensate : str
        Digital factor against the mean drift: ``none``, ``array`` (one of each layer) or ``output`` (one of each output).
    wires : float, or [float, float]
        Resistance of every segment of the arrays' wires, ohm; or of the inputs' lines and of the outputs' lines.
    leakage : float
        Conductance of every cell's selector beside the cell, microsiemens. It cancels in sums, and loads resistive wires.
    driver, sense : float
        Resistance of the circuits that drive the arrays' lines and that sense their currents, ohm.
    programming : float
        Standard deviation of a written conductance, as a share of the largest one, in place of the device's own. With this, a spread or
        stuck cells, a device need not be named.
    spread : float
        Standard deviation of the cells' conductance ranges from cell to cell, as a share of the nominal range.
    noise_spread : float
        Standard deviation of how noisy cells are, as a share of their noise.
    stuck_low, stuck_high : float
        Shares of the cells that hold the least and the largest conductance whatever is written.
    """

    law: PulseLaw = "ideal"
    pulse: Annotated[Real, Field(ge=0)] = 0.0
    slope: Annotated[Real, Field(gt=0, le=0.5)] = 0.25

    read_noise: Annotated[Real, Field(ge=0, le=2.0**52)] = 0.0
    levels: Annotated[Whole, Field(ge=0)] = 0
    stuck: Annotated[Real, Field(ge=0, le=1)] = 0.0

    preset: DevicePreset = ""
    measured: tuple[tuple[Annotated[Real, Field(ge=0)], Annotated[Real, Field(ge=0)]], ...] = ()
    cell: Cell = Cell()
    age: Annotated[Real, Field(ge=0)] = 0.0
    compensate: Compensation = "array"
    wires: Annotated[Real, Field(ge=0)] | tuple[Annotated[Real, Field(ge=0)], Annotated[Real, Field(ge=0)]] = 0.0
    leakage: Annotated[Real, Field(ge=0)] = 0.0
    driver: Annotated[Real, Field(ge=0)] = 0.0
    sense: Annotated[Real, Field(ge=0)] = 0.0
    programming: Annotated[Real, Field(ge=0, le=1)] = 0.0
    spread: Annotated[Real, Field(ge=0, le=1)] = 0.0
    noise_spread: Annotated[Real, Field(ge=0, le=1)] = 0.0
    stuck_low: Annotated[Real, Field(ge=0, le=1)] = 0.0
    stuck_high: Annotated[Real, Field(ge=0, le=1)] = 0.0

    @property
    def segments(self) -> tuple[float, float]:
        """Resistance of a segment of the inputs' lines and of the outputs' lines, ohm."""
        return self.wires if isinstance(self.wires, tuple) else (self.wires, self.wires)

    @property
    def named(self) -> bool:
        """Whether there is a device, so that weights are not plain memory."""
        return bool(self.preset or self.measured or self.cell.conductance or self.programming or self.spread or self.stuck_low
                    or self.stuck_high)


LOADED = ("preset", "measured", "cell", "age", "compensate", "wires", "leakage", "driver", "sense", "programming", "spread", "noise_spread",
          "stuck_low", "stuck_high")
"""Fields of `Devices` that affect the loaded weights, not the hardware."""


class Arrays(_Part):
    """Reads and pulses as arrays of analog cells make them. The emulator plays them in training; no hardware has them.

    Of these, `lines`, `mapping` and `cell_bits` also say where the cells of the recipe's device lie, and so what is loaded (`Devices`).

    Attributes
    ----------
    on : bool
        Products are reads of arrays of the recipe's device: with its own read noise and the curvature of its cells' current.
    input_bits : int
        Of the input converters. 0: as many as states and deltas have, up to 12.
    output_bits : int
        Of the output converters, whose ranges are calibrated on the first training samples at the start of every epoch. 0: exact sums.
    gain_spread, offset_spread : float
        Standard deviations of the converters' LSBs, relative, and of their offsets, in LSBs; one converter an output.
    sharing : int
        Outputs that one output converter serves, one after the other: a matter of cost alone (`explore.analog`).
    lines : int
        Inputs and outputs of one array, at most; a larger layer is spread over several, whose codes are added.
    mapping : str
        ``differential`` (pairs of cells) or ``offset`` (one cell and a reference line).
    cell_bits : int
        Bits of one cell: a weight takes several, each converted on its own. 0: all in one.
    input_slice : int
        Bits of an input that one read applies. 0: all at once.
    sensing : str
        Where the transposed read of resistive wires drives and senses: at the ``same`` terminals, or the ``opposite`` ones.
    law : str
        How cells answer to pulses: ``constant``, ``linear``, ``soft-bounds``, ``exponential``, ``power``, or ``measured``: by the cell's
        own curves (`devices.cell`), whose range of conductances is that of the weights; empty: updates as the chip's.
    pulse : float
        Change of a weight by one pulse in the middle of its range. With the measured law 0: it is the cell's.
    pulse_noise, pulse_spread, bound_spread : float
        Standard deviations of a pulse from pulse to pulse, of pulses from cell to cell, and of the bounds of weights; relative to each.
    """

    on: Switch = False
    input_bits: Annotated[Whole, Field(ge=0, le=12)] = 0
    output_bits: Annotated[Whole, Field(ge=0, le=16)] = 0
    gain_spread: Annotated[Real, Field(ge=0)] = 0.0
    offset_spread: Annotated[Real, Field(ge=0)] = 0.0
    sharing: Annotated[Whole, Field(ge=1, le=4096)] = 1
    lines: Annotated[Whole, Field(ge=1)] = 256
    mapping: Literal["differential", "offset"] = "differential"
    cell_bits: Annotated[Whole, Field(ge=0, le=12)] = 0
    input_slice: Annotated[Whole, Field(ge=0, le=11)] = 0
    sensing: Literal["same", "opposite"] = "same"
    law: Literal["", "constant", "linear", "soft-bounds", "exponential", "power", "measured"] = ""
    pulse: Annotated[Real, Field(ge=0)] = 0.0
    pulse_noise: Annotated[Real, Field(ge=0)] = 0.0
    pulse_spread: Annotated[Real, Field(ge=0)] = 0.0
    bound_spread: Annotated[Real, Field(ge=0)] = 0.0


LAYOUT = ("lines", "mapping", "cell_bits")
"""Of the arrays what matters to cells that are only written."""


class Training(_Part):
    """How `crossdyad train` runs this recipe; the chip itself knows only its rate register.

    Attributes
    ----------
    metric : str
        What stands where an accuracy would: ``accuracy``, or a function ``package.module:function`` of outputs (n, outputs) and class
        numbers (n,) that returns a number, greater is better.
    """

    epochs: Annotated[Whole, Field(ge=1)] = 20
    halve_every: Annotated[Whole, Field(ge=1, description="halve the learning rate after this many epochs")] = 8
    metric: str = "accuracy"

    @field_validator("metric")
    @classmethod
    def _a_metric(cls, name):
        imported(name, {"accuracy": None})
        return name


class Bits(NamedTuple):
    """Widths in bits: of three formats, of the scalar operand E, and of an update's product with a bit of headroom."""

    state: int
    weight: int
    delta: int
    operand: int
    product: int


class Placement(_Part):
    """A row of lanes, and the matrices that lie on it."""

    lanes: Annotated[Whole, Field(ge=1, le=MOST_LANES)]
    matrices: Annotated[tuple[str, ...], Field(min_length=1)]


class Recipe(_Part):
    """A circuit that learns: layers, learning rule, number formats, hardware lanes.

    Frozen and complete: the emulator, the hardware and the co-simulation are functions of it.

    Parameters
    ----------
    name : str
    sizes : tuple of int
        Units per layer, inputs first: ``(64, 32, 10)``. There are no biases; feed an input that is always one.
    lanes : tuple of int
        Multipliers of each layer's row engine, one entry per layer of weights: an engine for each layer. From `engines` where these are
        given.
    engines : tuple of Placement
        Rows of lanes, each with the matrices that lie on it by name: ``W0``, ``W1``, .. and those of the rule. A matrix that is not named
        lies on the engine of the weights beside it. Empty: one engine per layer.
    activation, output : str
        Neuron function of the hidden layers and of the last one (contract section 4).
    rule : str
        The training program: ``dual-propagation``, ``spsa``, or ``inference`` (a chip that does not learn); or one's own, a function
        of a recipe that yields `rules.Step`, as ``package.module:function``, if the user allows it (`imported.allow`).
    alpha : float
        Mean of a dyad: 0, 0.5 or 1.
    beta : float
        Nudging strength, a power of two.
    learning_rate, rate_floor : float
        Powers of two. The chip's rate register reaches ``rate_floor * 2**r``, r = 0 .. 7; it starts at `learning_rate`.
    epsilon : float
        SPSA's probe, a power of two, a whole number of weight LSBs.
    sigma : float
        Noise of a perturbed neuron's drive, and of a column of noise; a power of two.
    initial : float
        Size of the first weights, a power of two: 1 gives them the variance ``2 / C``.
    feedback : float
        What a sign of fixed feedback counts, a power of two.
    decay : float
        Share of itself that a weight loses with every update, where the rule lets it forget: a power of two up to 2**-8, or 0.
    sweeps : (int, int)
        Of a rule that settles: sweeps of the free phase, and of each phase after it.
    samples_in_flight : int
        2: the chip starts with the next sample while the one before still runs, as soon as nothing that it reads is stale, so that all
        weights and results are those of 1, one after the other.
    target_on, target_off : float
        Output targets of the label's class and of the others.
    seed : int
        Key of the counter-based generator, 0 to 2**64 - 1.
    frozen : tuple of int
        Layers that do not learn: no operation rewrites a matrix beside them.
    data : Data or str
        What the chip learns: a file, a folder, or a name; by default the set with a name that has as many inputs.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", description="lower case letters, digits, - and _")]
    sizes: Annotated[tuple[Annotated[Whole, Field(ge=1, le=1 << ELEMENT_BITS)], ...], Field(min_length=2, max_length=16)]
    lanes: Annotated[tuple[Whole, ...], Field(min_length=1, max_length=15)]
    engines: tuple[Placement, ...] = ()
    activation: Activation = "relu"
    output: Activation = "identity"
    rule: Annotated[str, Field(description=f"{', '.join(rules.RULES)}, or your own as package.module:function")] = "dual-propagation"
    alpha: Annotated[Literal[0, 0.5, 1], Number] = 0.5
    beta: Real = 1.0
    learning_rate: Real = 2.0**-5
    rate_floor: Real = 2.0**-9
    epsilon: Real = 2.0**-6
    sigma: Real = 2.0**-3
    initial: Real = 1.0
    feedback: Real = 0.25
    decay: Real = 0.0
    sweeps: tuple[Annotated[Whole, Field(ge=0, le=256)], Annotated[Whole, Field(ge=1, le=256)]] = (4, 2)
    samples_in_flight: Annotated[Literal[1, 2], Number] = 1
    target_on: Real = 1.0
    target_off: Real = 0.0
    frozen: tuple[Whole, ...] = ()
    seed: Annotated[Whole, Field(ge=0, lt=1 << 64)] = 1
    formats: Formats = Formats()
    rounding: Roundings = Roundings()
    overflow: Overflows = Overflows()
    devices: Devices = Devices()
    arrays: Arrays = Arrays()
    training: Training = Training()
    data: Data = Data()

    @model_validator(mode="before")
    @classmethod
    def _lanes_of_engines(cls, table):
        """Take the lanes of each layer from `engines` where they are given alone; what is wrong with them is told where it is."""
        if not isinstance(table, dict) or table.get("lanes") or not table.get("engines"):
            return table
        placed, rows = {}, table["engines"]
        for e in rows if isinstance(rows, list | tuple) else ():
            e = e.model_dump() if isinstance(e, Placement) else e if isinstance(e, dict) else {}
            lanes, names = e.get("lanes"), e.get("matrices")
            if isinstance(lanes, int) and 1 <= lanes <= MOST_LANES and isinstance(names, list | tuple):
                placed |= {name: lanes for name in names if isinstance(name, str)}
        sizes = table.get("sizes")
        layers = len(sizes) - 1 if isinstance(sizes, list | tuple) else 1
        return table | {"lanes": [placed.get(f"W{k}", 1) for k in range(max(1, layers))]}

    @field_validator("engines", mode="before")
    @classmethod
    def _engines_are_rows(cls, value):
        if value == "fit":
            raise ValueError("'fit'; allowed are rows of lanes; `crossdyad fit RECIPE --board BOARD -o FILE` writes the best that it finds")
        return value

    @field_validator("lanes")
    @classmethod
    def _lanes_are_few(cls, lanes):
        for n in lanes:
            if not 1 <= n <= MOST_LANES:
                raise ValueError(f"{n} lanes; allowed are 1 to {MOST_LANES}")
        return lanes

    @field_validator("rule")
    @classmethod
    def _a_rule(cls, name):
        rules.rule(name)
        return name

    @field_validator("beta", "learning_rate", "rate_floor", "epsilon", "sigma", "initial", "feedback")
    @classmethod
    def _powers_of_two(cls, value):
        try:
            exponent = log2_exact(value) if value > 0 else None
        except ValueError:
            exponent = None
        if exponent is None or not -24 <= exponent <= 8:
            raise ValueError(f"{value:g}; allowed are powers of two from 2**-24 to 2**8")
        return value

    @field_validator("decay")
    @classmethod
    def _a_decay(cls, value):
        if value and (math.frexp(value)[0] != 0.5 or not 2.0**-24 <= value <= 2.0**-8):
            raise ValueError(f"{value:g}; allowed are 0 and the powers of two from 2**-24 to 2**-8")
        return value

    @model_validator(mode="after")
    def _fits_together(self):
        mistakes = list(self._mistakes())
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self

    def _mistakes(self):
        f = self.formats
        if len(self.lanes) != len(self.sizes) - 1:
            yield f"lanes: {len(self.lanes)} entries; allowed is one per layer of weights, here {len(self.sizes) - 1}"
        elif self.engines and (wrong := list(self._engine_mistakes())):
            yield from wrong
            return
        else:
            for k, (lanes, columns) in enumerate(zip(self.lanes, self.sizes, strict=False)):
                if lanes >= 2 * columns and not self.engines:
                    yield f"lanes: layer {k} has {lanes} lanes for {columns} columns; allowed is less than twice the columns"
                rows = self.sizes[k + 1]
                if rows * -(-columns // lanes) * -(-lanes // 16) > 1 << 24:
                    yield f"sizes: layer {k} needs more than 2**24 memory words; use more lanes or smaller layers"
        if strange := [k for k in self.frozen if not 0 <= k < self.layers]:
            yield f"frozen: {', '.join(map(str, strange))}; allowed are the layers 0 to {self.layers - 1}"
        elif set(self.frozen) == set(range(self.layers)):
            yield 'frozen: every layer, so that nothing learns; write rule = "inference"'
        if not 0 <= self.rate <= 7:
            yield (f"rate_floor: {self.rate_floor:g} with learning_rate {self.learning_rate:g}; "
                   "allowed is learning_rate / rate_floor from 1 to 128")
        for name in ("target_on", "target_off"):
            value = getattr(self, name)
            if not f.accumulator.low <= value <= f.accumulator.high:
                yield (f"{name}: {value:g} does not fit the accumulator format {f.accumulator}; "
                       f"allowed is {f.accumulator.low:g} to {f.accumulator.high:g}")
        for place in ("hard_sigmoid", "hard_tanh"):
            if place in (self.activation, self.output) and f.accumulator.high < 1:
                yield f"formats.accumulator: {f.accumulator} does not reach 1, which {place} needs; allowed is width > frac + 1"
        levels = self.devices.levels
        unlike = levels and (levels & levels - 1 or not 2 <= levels <= 1 << f.weight.width)
        if unlike:
            yield (f"devices.levels: {levels}; allowed are 0 (all) and the powers of two from 2 to {1 << f.weight.width}, "
                   f"the levels of {f.weight}")
        yield from self._cell_mistakes()
        if not unlike:
            yield from self._array_mistakes()
        wrong = list(rules.mistakes_of(self))
        yield from wrong
        if not wrong:
            yield from self._rule_mistakes()

    def _engine_mistakes(self):
        """Yield what is wrong with `engines`."""
        names = [name for e in self.engines for name in e.matrices]
        known = [m.name for m in rules.matrices(self)]
        for name in dict.fromkeys(names):
            if name not in known:
                yield f"engines: there is no matrix {name!r}; rule {self.rule} has {', '.join(known)}"
            elif names.count(name) > 1:
                yield f"engines: {name} lies on {names.count(name)} of them; allowed is one"
        weights = [f"W{k}" for k in range(self.layers)]
        missing = [w for w in weights if w not in names]
        if missing:
            yield f"engines: none holds {', '.join(missing)}; the weights of every layer lie on one"
            return
        lanes = tuple(self.engine_lanes[self.engine_of(w)] for w in weights)
        if lanes != self.lanes:
            yield f"lanes: {list(self.lanes)}, but engines give the layers {list(lanes)}; leave lanes away"
        for e, placed in enumerate(self.engines):
            columns = [self.sizes[m.below] for m in rules.matrices(self) if self.engine_of(m.name, m.layer) == e]
            if placed.lanes >= 2 * max(columns):
                yield (f"engines: {placed.lanes} lanes of engine {e} for matrices of up to {max(columns)} columns; "
                       "allowed is less than twice the columns")
        for m in rules.matrices(self):
            if m.source == "signs" and self.engine_of(m.name, m.layer) != self.engine_of(m.of):
                yield f"engines: {m.name}, the signs of {m.of}, lies on another engine; allowed is the one of {m.of}"

    def _rule_mistakes(self):
        """Yield where formats do not suit the rule, which is right in itself."""
        f = self.formats
        if self.samples_in_flight > 1 and not self.learns:
            yield f"samples_in_flight: {self.samples_in_flight} with rule {self.rule}, which learns nothing; allowed is 1"
        if self.signed:
            probe = self.epsilon * 2.0**f.weight.frac
            if probe < 1 or probe * 4 > f.weight.max:
                yield (f"epsilon: {self.epsilon:g} is {probe:g} weight LSBs of {f.weight}; "
                       f"allowed is 1 to {f.weight.max // 4} LSBs, a power of two")
        if self.sloped and self.signed and any(step.row == SLOPE and step.column != SIGNS for step in self.steps):
            yield f"rule: {self.rule} has slopes along signs of weights and of neurons; allowed is one of the two"
        for step in self.steps:
            if step.noise and not 0 <= self.shake(self.place(step)) + step.gain <= 40:
                least = 2.0 ** (log2_exact(self.sigma) - self.shake(self.place(step)) - step.gain)
                yield f"sigma: {self.sigma:g} with noise times 2**{step.gain}; allowed are {least:g} (the LSB of a sum) to 2**40 times it"
                break
        if self.noisy and not 1 <= self.noise_level <= f.state.max:
            yield (f"sigma: {self.sigma:g} is {self.sigma * 2.0**f.state.frac:g} LSBs of {f.state}, which {self.rule} has as a column; "
                   f"allowed are 1 to {f.state.max} LSBs, a power of two")
        if any(m.source != "memory" for m in self.matrices) and not 1 <= self.feedback_level <= f.weight.max:
            yield (f"feedback: {self.feedback:g} is no level of {f.weight}; "
                   f"allowed are powers of two from {f.weight.step:g} to {2.0**(f.weight.width - 2) * f.weight.step:g}")
        if self.align < 0 and any(self.row_of_states(step) for step in self.steps):
            yield (f"formats.delta: {f.delta} with rule {self.rule}, which learns from states of {f.state}; "
                   "allowed are as many fraction bits as the state has, or more")
        others = [m.name for m in self.matrices if m.name != f"W{m.layer}"]
        if self.arrays.on and others:
            yield (f"arrays.on: rule {self.rule} has matrices beside the weights ({', '.join(others)}), which arrays do not hold; "
                   "allowed is false")
        yield from self._law_mistakes()
        if self.devices.read_noise and not all(1 <= self.noise_gain(place) < 1 << 24 for place in self.read):
            grids = [2.0 ** -(f.weight.frac + getattr(f, place).frac) for place in self.read]
            least, most = (grid * NOISE_DEVIATION / 256 for grid in (max(grids), min(grids)))
            yield (f"devices.read_noise: {self.devices.read_noise:g}; allowed is 0 or {least:g} to {most * 2**24:g}, which the sums over "
                   f"{' and '.join(f'{place}s of {getattr(f, place)}' for place in self.read)} can hold")
        if not -32 <= self.update_shift <= 40:
            yield (f"rate_floor: together with formats and beta it shifts products by {self.update_shift} bits; "
                   "allowed is -32 to 40")

    def _law_mistakes(self):
        d, f = self.devices, self.formats.weight
        if d.law == "ideal":
            if d.pulse:
                yield f"devices.pulse: {d.pulse:g} with the ideal law, which has no pulses; allowed is 0, or another law"
            return
        low, high = f.step, f.step * 2.0 ** (f.width - 2)
        if not d.pulse or math.frexp(d.pulse)[0] != 0.5 or not low <= d.pulse <= high:
            yield f"devices.pulse: {d.pulse:g} with law {d.law}; allowed are the powers of two from {low:g} to {high:g}, in weight units"
        elif self.product_shift > 40:
            yield f"devices.pulse: {d.pulse:g} with rate_floor {self.rate_floor:g} is too coarse; allowed is a larger rate_floor"
        if math.frexp(d.slope)[0] != 0.5:
            yield f"devices.slope: {d.slope:g}; allowed are powers of two up to 0.5"
        if self.signed:
            yield f"devices.law: {d.law} with rule {self.rule}, whose probes must be taken back exactly; allowed is ideal"
        if any(step.decay for step in self.steps):
            yield f"devices.law: {d.law} with rule {self.rule}, whose weights decay; allowed is ideal"

    def _cell_mistakes(self):
        d = self.devices
        for mistake in d.cell.mistakes:
            yield f"devices.cell.{mistake}"
        given = [name for name in ("preset", "measured", "cell") if (d.cell.conductance if name == "cell" else getattr(d, name))]
        if len(given) > 1:
            told = f"preset {d.preset!r}" if d.preset else given[0]
            yield f"devices.{given[1]}: given together with {told}; allowed is one of the two"
        conductances = [g for g, _ in d.measured]
        if d.measured and (len(conductances) < 2 or any(a >= b for a, b in itertools.pairwise(conductances))):
            yield f"devices.measured: conductances {conductances}; allowed are two or more, in ascending order (microsiemens)"
        if d.leakage and not (any(d.segments) or d.driver or d.sense):
            yield f"devices.leakage: {d.leakage:g} without wires, where it cancels; give devices.wires, driver or sense"
        if d.stuck_low + d.stuck_high > 1:
            yield f"devices.stuck_low: {d.stuck_low:g}, and stuck_high {d.stuck_high:g}; allowed are shares whose sum is at most 1"
        for name in ("age", "compensate", "wires", "leakage", "driver", "sense", "noise_spread"):
            if not d.named and getattr(d, name) != Devices.model_fields[name].default:
                yield f"devices.{name}: {getattr(d, name)} without a device; name a preset or give a measured table"
        least = AGING.get(d.preset) or d.cell.drift_start or None
        if d.named and d.age and least is None:
            yield (f"devices.age: {d.age:g} s, but {d.preset or 'a device of numbers alone'} has no law of ageing; allowed is 0, or one of "
                   f"the presets that have one, {', '.join(AGING)}; or a cell with drift")
        elif d.age and least is not None and d.age < least:
            yield (f"devices.age: {d.age:g} s, but the law of {d.preset or 'its cell'} begins {least:g} s after writing; "
                   f"allowed are 0, and {least:g} or more")
        if d.driver != d.sense and not self.arrays.on and self.rule not in ("inference", "spsa"):
            yield (f"devices.driver: {d.driver:g} with sense {d.sense:g}, so that transposed reads are not the transpose, as they are "
                   "without arrays; say arrays.on = true, or give both the same resistance")

    def _array_mistakes(self):
        a, d, f = self.arrays, self.devices, self.formats
        bits = self.cell_width - (a.mapping == "differential")
        if a.cell_bits > bits:
            yield f"arrays.cell_bits: {a.cell_bits}; allowed are 0 (all) to {bits}, the bits of a weight in its cells"
        if not a.on:
            for name in Arrays.model_fields:
                if getattr(a, name) != Arrays.model_fields[name].default and not (name in LAYOUT and d.named):
                    yield f"arrays.{name}: {getattr(a, name)!r} without arrays; say arrays.on = true"
            return
        for name, least in (("input_bits", "as many as states and deltas have, up to 12"), ("output_bits", "exact sums")):
            if getattr(a, name) == 1:
                yield f"arrays.{name}: 1; allowed are 0 ({least}) and 2 or more"
        for name in ("gain_spread", "offset_spread"):
            if getattr(a, name) and not a.output_bits:
                yield f"arrays.{name}: {getattr(a, name):g} without output converters; give arrays.output_bits"
        if a.input_slice >= min(self.input_width("state"), self.input_width("delta")):
            yield f"arrays.input_slice: {a.input_slice}; allowed is less than the bits of the input converters"
        if a.sensing == "opposite" and not any(d.segments):
            yield "arrays.sensing: 'opposite' without devices.wires; without resistance both reads are alike"
        if a.law and d.law != "ideal":
            yield f"arrays.law: {a.law!r} together with devices.law {d.law!r}; allowed is one of the two"
        if a.law == "measured":
            if not d.cell.up:
                yield "arrays.law: 'measured' without pulses that were measured; give devices.cell.up and down"
            elif a.pulse:
                yield f"arrays.pulse: {a.pulse:g} with law 'measured'; allowed is 0, as the cell's own curves say it"
            elif self.pulse < f.weight.step:
                yield (f"devices.cell.up: a pulse in the middle is {self.pulse:.3g} of a weight, less than the weights' step of "
                       f"{f.weight.step:g}; give the weights more fraction bits")
        elif bool(a.law) != bool(a.pulse) or a.pulse > f.weight.high or (a.pulse and a.pulse < f.weight.step):
            yield (f"arrays.pulse: {a.pulse:g} with law {a.law!r}; "
                   f"allowed is {f.weight.step:g} to {f.weight.high:g} where there is a law, else 0")
        for name in ("pulse_noise", "pulse_spread", "bound_spread"):
            if getattr(a, name) and not a.law:
                yield f"arrays.{name}: {getattr(a, name):g} without pulses; give arrays.law"

    # Derived integers, used by both wings ----------------------------------------------------------------

    @property
    def as_built(self) -> Recipe:
        """A copy with all emulator-only fields reset: recipes with equal `as_built` generate the same Verilog."""
        ideal = {name: Devices.model_fields[name].default for name in LOADED}
        return self.model_copy(update={"devices": self.devices.model_copy(update=ideal), "arrays": Arrays(), "data": Data()})

    def input_width(self, place: str) -> int:
        """Bits of the arrays' input converters for states or deltas."""
        return min(self.arrays.input_bits or 12, getattr(self.formats, place).width)

    @property
    def pulse(self) -> float:
        """Change of a weight by one pulse of the arrays' law in the middle of its range; 0 without pulses."""
        f = self.formats.weight
        return self.devices.cell.pulse * (f.high - f.low) if self.arrays.law == "measured" else self.arrays.pulse

    @property
    def cell_width(self) -> int:
        """Bits of a weight that arrays see, sign included: at most 12, as many as `devices.levels` are."""
        return max(2, min(12, log2_exact(self.devices.levels) if self.devices.levels else self.formats.weight.width))

    @property
    def engine_lanes(self) -> tuple[int, ...]:
        """Lanes of each engine."""
        return tuple(e.lanes for e in self.engines) or self.lanes

    def engine_of(self, matrix: str, layer: int | None = None) -> int:
        """Return the number of the engine that holds a matrix; one that no engine names lies with the weights of `layer`."""
        if not self.engines:
            return int(matrix[1:]) if layer is None else layer
        held = {name: e for e, placed in enumerate(self.engines) for name in placed.matrices}
        return held[matrix] if matrix in held else held[f"W{layer}"]

    @property
    def layers(self) -> int:
        """Number of layers of weights, K."""
        return len(self.sizes) - 1

    @property
    def steps(self) -> tuple[Operation, ...]:
        """Operations of the training program, in the order of the rule; none rewrites what is frozen."""
        if not self.frozen:
            return rules.steps(self)
        still = {m.name for m in self.matrices if m.layer in self.frozen}
        return tuple(step for step in rules.steps(self) if step.reads or step.matrix not in still)

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """Matrices of the rule: the weights of the layers, and what it has beside them."""
        return rules.matrices(self)

    @property
    def states(self) -> frozenset[str]:
        """Stores that hold states; the others hold differences."""
        return rules.states(self, self.samples_in_flight > 1)

    def place(self, step: Operation) -> str:
        """Return the format of what a read reads, ``state`` or ``delta``."""
        return "state" if (step.column if step.op is Op.FORWARD else step.row) in self.states | {NOISE} else "delta"

    @property
    def learns(self) -> bool:
        """Whether the training program changes weights."""
        return any(step.op is Op.UPDATE for step in self.steps)

    @property
    def signed(self) -> bool:
        """Whether weights are probed or learn along the generator's signs."""
        return any(step.op is Op.PROBE or step.column == SIGNS for step in self.steps)

    @property
    def sloped(self) -> bool:
        """Whether updates follow the loss register's difference."""
        return any(step.row == SLOPE for step in self.steps)

    @property
    def stepped(self) -> bool:
        """Whether what updates read depends on the number of the step, which the generator's signs follow."""
        return self.sloped or self.noisy

    @property
    def noisy(self) -> bool:
        """Whether operations have a column of noise."""
        return any(step.column == NOISE for step in self.steps)

    @property
    def noise_level(self) -> int:
        """An element of a column of noise, in state LSBs."""
        return round(self.sigma * 2.0**self.formats.state.frac)

    def shake(self, place: str) -> int:
        """Return log2 of `sigma` in LSBs of a sum over states or deltas (contract section 12)."""
        return log2_exact(self.sigma) + self.sum_frac(place)

    def sum_frac(self, place: str) -> int:
        """Return the fraction bits of an exact sum over states or deltas."""
        return self.formats.weight.frac + getattr(self.formats, place).frac

    @property
    def align(self) -> int:
        """Bits by which a state in the row of an update is shifted left, to the fraction bits of differences."""
        return self.formats.delta.frac - self.formats.state.frac

    @property
    def read(self) -> tuple[str, ...]:
        """Formats of what the rule's programs read from arrays: states, and differences where any come down."""
        down = any(step.op is Op.TRANSPOSED and step.row not in self.states for step in self.steps)
        return ("state", "delta") if down else ("state",)

    def row_of_states(self, step: Operation) -> bool:
        """Return whether the row of an update holds states, not differences."""
        return step.op is Op.UPDATE and step.row in self.states

    @property
    def decay_bits(self) -> int:
        """``-log2(decay)``; 0 where nothing decays."""
        return -log2_exact(self.decay) if self.decay else 0

    @property
    def feedback_level(self) -> int:
        """What a sign of feedback counts, in weight LSBs."""
        return round(self.feedback * 2.0**self.formats.weight.frac)

    @property
    def rate(self) -> int:
        """Rate register after reset: ``log2(learning_rate / rate_floor)``."""
        return log2_exact(self.learning_rate) - log2_exact(self.rate_floor)

    @property
    def probe(self) -> int:
        """SPSA's probe in weight LSBs."""
        return round(self.epsilon * 2.0**self.formats.weight.frac)

    @property
    def twice_alpha(self) -> int:
        """0, 1 or 2."""
        return round(2 * self.alpha)

    @property
    def nudge_shift(self) -> int:
        """Fraction bits that an error loses when it becomes a nudge: ``-log2(beta)`` (contract section 5)."""
        return -log2_exact(self.beta)

    @property
    def bits(self) -> Bits:
        """The widths that decide which integer type holds what."""
        f = self.formats
        # a row of states is aligned to the fraction bits of differences
        operand = max([f.delta.width] + [f.state.width + self.align for step in self.steps if self.row_of_states(step)])
        operand += 7 + max(step.gain for step in self.steps)
        # the least number has no opposite of its width
        operand += any(step.op is Op.UPDATE and (step.negative or step.row == SLOPE and step.column != SIGNS) for step in self.steps)
        if self.signed:
            operand = max(operand, (2 * self.probe << self.update_shift).bit_length() + 1)
        # a left shift wants room: products are limited to ww + 2 bits before it
        decays = [step.decay for step in self.steps if step.decay]
        shift = max([self.update_shift, *decays])
        widths = [operand + f.state.width + shift - self.update_shift, f.weight.width + 1]
        widths += [f.weight.width + shift - d + 1 for d in decays]
        product = 64 if self.product_shift < 0 else max(widths) + 1
        return Bits(f.state.width, f.weight.width, f.delta.width, operand, product)

    @property
    def guard(self) -> int:
        """Weight LSBs kept free at each end of the range, so that a probe never saturates (contract section 6)."""
        return self.probe if self.signed else 0

    @property
    def update_shift(self) -> int:
        """Fraction bits of an update's product below the weight LSB, S of contract section 6."""
        f = self.formats
        if self.signed:
            return UPDATE_SHIFT_SPSA
        return f.delta.frac + f.state.frac - f.weight.frac + log2_exact(self.beta) - log2_exact(self.rate_floor)

    @property
    def slope_shift(self) -> int:
        """Shift from the loss register to the slope along signs of the weights, or of the neurons (contract section 5)."""
        f = self.formats
        if not self.signed:
            return 2 * f.accumulator.frac + 2 + log2_exact(self.sigma) - f.delta.frac - log2_exact(self.beta)
        return 2 * f.accumulator.frac + 2 + log2_exact(self.epsilon) - f.weight.frac - log2_exact(self.rate_floor) - self.update_shift

    @property
    def key(self) -> tuple[int, int]:
        """The generator's key (contract section 2)."""
        return seeds.key(self.seed)

    def noise_gain(self, place: str) -> int:
        """Read noise per unit of the generator's deviate, in 1/256 LSB of a sum over states or deltas (contract section 11)."""
        return round(self.devices.read_noise * 2.0 ** self.sum_frac(place) * 256 / NOISE_DEVIATION)

    @property
    def hidden_bits(self) -> int:
        """Low bits of a weight that no product sees (contract section 11)."""
        return self.formats.weight.width - log2_exact(self.devices.levels) if self.devices.levels else 0

    @property
    def pulse_bits(self) -> int:
        """log2 of a pulse in weight LSBs; 0 with the ideal law (contract section 11)."""
        return log2_exact(self.devices.pulse) + self.formats.weight.frac if self.devices.law != "ideal" else 0

    @property
    def product_shift(self) -> int:
        """Fraction bits that an update's product loses: to weight LSBs, or to a count of pulses."""
        return self.update_shift + self.pulse_bits

    @property
    def slope_bits(self) -> int | None:
        """Of the law's slope ``2**-slope_bits``; None where pulses do not shrink (contract section 11)."""
        return {"linear": -log2_exact(self.devices.slope), "soft-bounds": 0}.get(self.devices.law)

    @property
    def stuck_limit(self) -> int:
        """A cell is stuck if its 16-bit word is below this (contract section 11)."""
        return round(self.devices.stuck * 65536)

    def bounds(self, layer: int) -> tuple[int, int]:
        """The activation's limits ``(lo_a, hi_a)`` of a layer, in accumulator LSBs (contract section 4)."""
        state, frac = self.formats.state, self.formats.accumulator.frac
        name = self.output if layer == self.layers - 1 else self.activation
        low, high = {"identity": (state.low, state.high), "relu": (0.0, state.high),
                     "hard_sigmoid": (0.0, 1.0), "hard_tanh": (-1.0, 1.0)}[name]
        low, high = max(low, state.low), min(high, state.high)
        return math.ceil(low * 2.0**frac), math.floor(high * 2.0**frac)

    def target(self, on: bool) -> int:
        """A target in accumulator LSBs (contract section 5)."""
        value = self.target_on if on else self.target_off
        return min(int(half_up(value * 2.0**self.formats.accumulator.frac)), self.formats.accumulator.max)

    # Files ----------------------------------------------------------------------------------------------

    def to_toml(self) -> str:
        """The recipe as TOML text; `load` reads it back to an equal recipe."""
        return toml.written(self.model_dump(mode="json"))

    @staticmethod
    def json_schema() -> str:
        """The JSON Schema of a recipe file, for editors."""
        return json.dumps(Recipe.model_json_schema(), indent=2)


def require_recipe(value: object) -> Recipe:
    """Return the recipe that was given, or refuse what is none: a name or a file wants `load`."""
    if isinstance(value, Recipe):
        return value
    remedy = f"write crossdyad.recipe.load({str(value)!r})" if isinstance(value, str | Path) else "crossdyad.recipe.load makes one"
    raise RecipeError(f"recipe: {shown(value)} is no Recipe; {remedy}")


def presets() -> list[str]:
    """Names of the recipes that ship with the package."""
    folder = resources.files(__package__) / "presets"
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))


def load(source: str | Path) -> Recipe:
    """Read a recipe: a preset's name, or the path of a TOML file.

    Raises
    ------
    RecipeError
        All mistakes at once, one line each: ``file: key: what is wrong, what is allowed``.
    """
    source = str(source)
    if source in presets():
        return parse((resources.files(__package__) / "presets" / f"{source}.toml").read_text(encoding="utf-8"), source)
    try:
        found = parse(toml.text_of(Path(source)), source, Path(source).parent)
        return found.model_copy(update={"data": found.data.beside(Path(source).parent)})
    except FileNotFoundError:
        raise RecipeError(f"{source}: no such file or preset; {near(source, presets())}presets are {', '.join(presets())}") from None
    except OSError as error:
        raise RecipeError(str(error)) from None


def parse(text: str, label: str = "recipe", folder: Path = Path()) -> Recipe:  # noqa: B008
    """A recipe from TOML text; `label` names it in errors, tables that it names lie in `folder`."""
    try:
        table = with_table(toml.table_of(text, label), label, folder)
    except ValueError as error:
        raise RecipeError(str(error)) from None
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        raise RecipeError("\n".join(mistakes(error, label, Recipe))) from None
