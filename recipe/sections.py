"""The tables of a recipe file: number formats, rounding, devices, arrays, training, engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationInfo, WrapValidator, field_validator

from .cells import Cell
from .formats import Overflow, QFormat, Rounding
from .imported import imported
from .kinds import Real, Switch, Whole
from .temperature import ROOM

DevicePreset = Literal["", "pcm", "pcm-joshi", "hermes-1", "hermes-2", "reram-wan", "reram-wan-2days", "reram-milo", "sonos", "sonos-5days"]
Objective = Literal["squared-error", "squared-hinge"]
Compensation = Literal["none", "array", "output"]

MOST_LANES = 156
"""Lanes of an engine, at most: the multipliers of the largest device that boards here carry."""
MOST_LAG = 7
"""Updates that a read may lag behind, at most."""


class Part(BaseModel):
    """A table of a recipe file, or all of it: frozen, and without keys of others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


ONE, SEVERAL = TypeAdapter(QFormat), TypeAdapter(tuple[QFormat, ...])


def _one_or_several(value: Any, _: Any) -> QFormat | tuple[QFormat, ...]:
    """Take a format, or a list of them; a mistake is told of what was meant."""
    return SEVERAL.validate_python(value) if isinstance(value, list | tuple) else ONE.validate_python(value)


_WHAT = Field(description="a table, as { width = 8, frac = 5 }, or a width in bits")
Format = Annotated[QFormat, _WHAT]


class Formats(Part):
    """Number format of each place on the chip; of weights also a list, with one for each layer and what lies beside its weights.

    A whole number in place of a format is its width in bits, with the range of the place's default, as on the axes ``bits.PLACE``.
    """

    state: Format = QFormat(width=8, frac=5)
    if TYPE_CHECKING:  # of what a layer sees of a recipe (`Recipe.of_layer`), which is what nearly all code looks at, it is one
        weight: QFormat = QFormat(width=16, frac=13)
    else:
        weight: Annotated[QFormat | tuple[QFormat, ...], _WHAT, WrapValidator(_one_or_several)] = QFormat(width=16, frac=13)
    accumulator: Format = QFormat(width=16, frac=10)
    delta: Format = QFormat(width=9, frac=5)

    @field_validator("*", mode="before")
    @classmethod
    def _of_a_width(cls, value: Any, info: ValidationInfo) -> Any:
        usual = cls.model_fields[str(info.field_name)].default

        def of(one: Any) -> Any:
            return {"width": one, "frac": usual.frac + one - usual.width} if type(one) is int else one

        return [of(one) for one in value] if isinstance(value, list | tuple) else of(value)


class Roundings(Part):
    """Rounding of each place."""

    accumulator: Rounding = "nearest"
    state: Rounding = "nearest"
    delta: Rounding = "nearest"
    weight: Rounding = "stochastic"


class Overflows(Part):
    """Behaviour of each place with a number that does not fit."""

    accumulator: Overflow = "saturate"
    state: Overflow = "saturate"
    delta: Overflow = "saturate"
    weight: Overflow = "saturate"


class Devices(Part):
    """Imperfections of the crossbars' cells and reads (contract section 11).

    The first three are built into the hardware. The others change no hardware, only which integers are loaded as weights: training writes
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
    preset : str
        A published device that holds the weights.
    measured : list of [conductance, deviation]
        A measured device instead: standard deviation of a written conductance at conductances in ascending order, from the least to the
        largest that the device has; all in microsiemens.
    cell : Cell
        A measured device of one's own instead: by numbers, or by ``table = "FILE.csv"`` beside the recipe, whose columns are taken in.
    age : float
        Seconds between the last write and a test. 0: none, so neither drift nor 1/f noise.
    temperature : float
        Of the cells from the last write to a test, that included, kelvin. 0: `reference_temperature`. Of devices that have a model of it:
        `activation_energy` or `temperature_coefficient`.
    reference_temperature : float
        At which the device was measured and is written, kelvin.
    activation_energy : float
        Of the device's drift, eV: an age at `temperature` is one at `reference_temperature` that is as many times longer as Arrhenius'
        law says.
    temperature_coefficient : float
        Relative change of every conductance per kelvin above `reference_temperature`; by conductance it is a column of `cell`.
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

    read_noise: Annotated[Real, Field(ge=0, le=2.0**52)] = 0.0
    levels: Annotated[Whole, Field(ge=0)] = 0
    stuck: Annotated[Real, Field(ge=0, le=1)] = 0.0

    preset: DevicePreset = ""
    measured: tuple[tuple[Annotated[Real, Field(ge=0)], Annotated[Real, Field(ge=0)]], ...] = ()
    cell: Cell = Cell()
    age: Annotated[Real, Field(ge=0)] = 0.0
    temperature: Real = 0.0
    reference_temperature: Real = ROOM
    activation_energy: Annotated[Real, Field(ge=0, le=5)] = 0.0
    temperature_coefficient: Annotated[Real, Field(ge=-0.1, le=0.1)] = 0.0
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
        """Return whether there is a device, so that weights are not plain memory."""
        return bool(
            self.preset or self.measured or self.cell.conductance or self.programming or self.spread or self.stuck_low or self.stuck_high
        )


LOADED = (
    "preset",
    "measured",
    "cell",
    "age",
    "temperature",
    "reference_temperature",
    "activation_energy",
    "temperature_coefficient",
    "compensate",
    "wires",
    "leakage",
    "driver",
    "sense",
    "programming",
    "spread",
    "noise_spread",
    "stuck_low",
    "stuck_high",
)
"""Fields of `Devices` that affect the loaded weights, not the hardware."""


class Arrays(Part):
    """Reads as arrays of analog cells make them. The emulator plays them in training; no hardware has them.

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


LAYOUT = ("lines", "mapping", "cell_bits")
"""Fields of the arrays that matter to cells that are only written."""


class Training(Part):
    """Settings of `crossdyad train` for this recipe; the chip itself knows only its rate register.

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
    def _a_metric(cls, name: str) -> str:
        imported(name, {"accuracy": None})
        return name


class Bits(NamedTuple):
    """Widths in bits: of three formats, of the scalar operand E, and of an update's product with a bit of headroom."""

    state: int
    weight: int
    delta: int
    operand: int
    product: int


class Placement(Part):
    """A row of lanes, and the matrices that lie on it."""

    lanes: Annotated[Whole, Field(ge=1, le=MOST_LANES)]
    matrices: Annotated[tuple[str, ...], Field(min_length=1)]
