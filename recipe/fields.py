"""Fields of a `Recipe`, as its file holds them, each with what it may be by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from . import rules
from .activations import ACTIVATIONS
from .kinds import Number, Real, Switch, Whole
from .operations import ELEMENT_BITS
from .pulses import Pulses
from .sections import MOST_LAG, Arrays, Devices, Formats, Objective, Overflows, Part, Placement, Roundings, Training
from .source import Data

if TYPE_CHECKING:  # checkers know no fractions among literals
    Alpha = float
else:
    Alpha = Annotated[Literal[0, 0.5, 1], Number]


class Fields(Part):
    """The fields of a `Recipe`, which says what they mean."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", description="lower case letters, digits, - and _")]
    sizes: Annotated[tuple[Annotated[Whole, Field(ge=1, le=1 << ELEMENT_BITS)], ...], Field(min_length=2, max_length=16)]
    lanes: Annotated[tuple[Whole, ...], Field(min_length=1, max_length=15)]
    engines: tuple[Placement, ...] = ()
    bias: Switch = False
    activation: Annotated[str, Field(description=f"{', '.join(ACTIVATIONS)}, or your own as package.module:name")] = "relu"
    output: str = "identity"
    rule: Annotated[str, Field(description=f"{', '.join(rules.RULES)}, or your own as package.module:function")] = "dual-propagation"
    alpha: Alpha = 0.5
    beta: Real = 1.0
    learning_rate: Real = 2.0**-5
    rate_floor: Real = 2.0**-9
    epsilon: Real = 2.0**-6
    sigma: Real = 2.0**-3
    initial: Real = 1.0
    feedback: Real = 0.25
    decay: Real = 0.0
    sweeps: tuple[Annotated[Whole, Field(ge=0, le=256)], Annotated[Whole, Field(ge=1, le=256)]] = (4, 2)
    samples_in_flight: Annotated[Literal[1, 2, 4, 8], Number] = 1
    staleness: tuple[Annotated[Whole, Field(ge=0, le=MOST_LAG)], ...] = ()
    target_on: Real = 1.0
    target_off: Real = 0.0
    objective: Objective = "squared-error"
    frozen: tuple[Whole, ...] = ()
    seed: Annotated[Whole, Field(ge=0, lt=1 << 64)] = 1
    formats: Formats = Formats()
    rounding: Roundings = Roundings()
    overflow: Overflows = Overflows()
    devices: Devices = Devices()
    arrays: Arrays = Arrays()
    pulses: Pulses = Pulses()
    training: Training = Training()
    data: Data = Data()
