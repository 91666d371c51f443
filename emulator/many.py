"""Chips of one structure whose numbers differ, as one batch: formats, shifts, limits and noise are data, not code."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike

from ..recipe import Bits, Devices, Formats, Pieces, Pulses, Recipe, Training, activation, in_memory
from . import sequencer
from .arrays import CHIPS, Integers, State, integers
from .chip import TrainResult, infer_all, initial_weights, train_all
from .crossbar import pad
from .machine import COUNTERS, lags, reset, settled

OF_WEIGHTS = ("update_shift", "product_shift", "slope_shift", "guard", "probe", "hidden_bits", "pulse_bits", "feedback_level")
DERIVED = ("twice_alpha", "nudge_shift", "stuck_limit", "align", "noise_level", "one", *OF_WEIGHTS)
"""Properties of a recipe that are numbers of its arithmetic; the former depend on the weight format, so that each layer has its own."""
LAYERED = {"weight_width", "weight_frac", *OF_WEIGHTS, *(f"{place}_{what}" for place in ("state", "delta") for what in ("gain", "shake"))}
"""`numbers` of which each layer has its own."""
SWITCHED = {"hidden_bits": "levels", "stuck_limit": "stuck"}
"""Derived number to the field of `Devices` that enables it: compiled only if some chip of the batch enables it."""
SHARED = ("step", "run")
"""Registers that all chips of a batch have in common."""


def structure(recipe: Recipe) -> Recipe:
    """Return what chips must have in common to run as one batch: the recipe without its numbers.

    That leaves sizes, lanes, rule with its sweeps and decay, how each place rounds and overflows, the law of pulses, and activations with
    knots between their ends.

    Raises
    ------
    ValueError
        If the recipe's reads or pulses are such as no hardware has, which are played chip by chip.
    """
    if recipe.emulated:
        which = "arrays.on" if recipe.arrays.on else f"pulses.law: {recipe.pulses.law}, as no hardware has it"
        raise ValueError(f"{recipe.name}: {which}: many chips at once play the chip's own reads and pulses only; use `crossdyad train`")
    alike = {place: "identity" for place in ("activation", "output") if activation(getattr(recipe, place)).slopes == (1.0,)}
    return recipe.model_copy(
        update=alike
        | {
            "name": "many",
            "seed": 0,
            "alpha": 0,
            "beta": 1.0,
            "learning_rate": 1.0,
            "rate_floor": 1.0,
            "epsilon": 1.0,
            "sigma": 1.0,
            "initial": 1.0,
            "feedback": 1.0,
            "target_on": 1.0,
            "target_off": 0.0,
            "formats": Formats(),
            "devices": Devices(),
            "pulses": Pulses(law=recipe.pulses.law),
            "training": Training(),
        }
    )


class Common(NamedTuple):
    """Everything that the compiled program of a batch depends on.

    Attributes
    ----------
    structure : Recipe
        Its device fields are 1 if any chip of the batch enables them, else 0.
    bits : Bits
        The widest of all.
    """

    structure: Recipe
    bits: Bits


def common(recipes: Sequence[Recipe]) -> Common:
    """Return what recipes have in common that run together, in batches that share one compiled program.

    Raises
    ------
    ValueError
        If their structures differ.
    """
    found = {structure(r) for r in recipes}
    if len(found) != 1:
        raise ValueError(
            f"recipes: {len(found)} structures; allowed is one: sizes, lanes, rule, rounding, overflow and law of pulses in common"
        )
    alike = found.pop()
    largest = {name: max(getattr(r.devices, name) for r in recipes) for name in ("read_noise", "levels", "stuck")}
    switched = {name: type(v)(bool(v)) for name, v in largest.items()}
    return Common(
        alike.model_copy(update={"devices": alike.devices.model_copy(update=switched)}),
        Bits(*map(max, zip(*(r.bits for r in recipes), strict=True))),
    )


def numbers(recipe: Recipe) -> dict[str, np.ndarray]:
    """The numbers of a recipe's arithmetic, by the names that `Together` gives them out under; those of `LAYERED` once for each layer."""
    f, devices, views = recipe.formats, recipe.devices, [recipe.of_layer(k) for k in range(recipe.layers)]
    found: dict[str, Any] = {
        f"{place}_{part}": getattr(getattr(f, place), part)
        for place in Formats.model_fields
        if place != "weight"
        for part in ("width", "frac")
    }
    found |= {f"weight_{part}": [getattr(r.formats.weight, part) for r in views] for part in ("width", "frac")}
    found |= {name: [getattr(r, name) for r in views] if name in LAYERED else getattr(recipe, name) for name in DERIVED}
    for k in range(recipe.layers):
        found |= {f"knots{k}": recipe.pieces(k).knots, f"first{k}": recipe.pieces(k).first}
    found |= {"slope_bits": recipe.slope_bits or 0, "targets": [recipe.target(False), recipe.target(True)]}
    found |= {f"{place}_gain": [r.noise_gain(place) if devices.read_noise else 0 for r in views] for place in ("state", "delta")}
    found |= {f"{place}_shake": [r.shake(place) for r in views] for place in ("state", "delta")}
    # a power of two: to multiply by it is as exact as to shift, and a fraction of the work
    found |= {"state_one": 2.0**f.state.frac}
    return {name: np.array(v, {"probe": np.int64, "state_one": np.float64}.get(name, np.int32)) for name, v in found.items()}


class _Format(NamedTuple):
    """A number format whose width and fraction bits are data."""

    width: Any
    frac: Any

    @property
    def min(self) -> Any:
        return -(1 << (self.width - 1))

    @property
    def max(self) -> Any:
        return (1 << (self.width - 1)) - 1


class Together:
    """One recipe of many as the emulator's functions see it while they are compiled: a `Recipe` whose numbers are data.

    Parameters
    ----------
    structure : Recipe
        What all have in common.
    bits : Bits
        The widest of all, which decide about integer types.
    numbers : dict
        `numbers` of the recipe, as arrays of any namespace.
    """

    def __init__(self, structure: Recipe, bits: Bits, numbers: dict[str, Any]):
        self.structure, self.bits, self.numbers = structure, bits, numbers
        places = {p: _Format(numbers[f"{p}_width"], numbers[f"{p}_frac"]) for p in Formats.model_fields}
        self.formats = SimpleNamespace(**places)

    def of_layer(self, layer: int) -> Together:
        """See `Recipe.of_layer`: the numbers of this layer alone."""
        if not np.ndim(self.numbers["weight_width"]):
            return self
        return Together(self.structure, self.bits, {name: v[layer] if name in LAYERED else v for name, v in self.numbers.items()})

    def __getattr__(self, name: str) -> Any:
        if name in SWITCHED and not getattr(self.structure.devices, SWITCHED[name]):
            return 0  # no chip of the batch has the effect
        return self.numbers[name] if name in DERIVED else getattr(self.structure, name)

    @property
    def slope_bits(self) -> Integers | None:
        return None if self.structure.slope_bits is None else self.numbers["slope_bits"]

    def pieces(self, layer: int) -> Pieces:
        return Pieces(self.numbers[f"knots{layer}"], self.structure.pieces(layer).shifts, self.numbers[f"first{layer}"])

    def target(self, on: bool) -> Integers:
        return self.numbers["targets"][int(on)]

    def noise_gain(self, place: str) -> Integers:
        return self.numbers[f"{place}_gain"]

    def shake(self, place: str) -> Integers:
        return self.numbers[f"{place}_shake"]


@functools.cache
def _compiled(structure: Recipe, bits: Bits, trains: bool) -> Callable[..., Any]:
    """The program of all chips: each in its own numbers, mapped over the batch."""
    import jax
    from jax import numpy as jnp

    program = sequencer.instructions(structure, trains)
    axes: dict[str, int | None] = dict.fromkeys(("weights", "peak", "key", "rate", "loss", *COUNTERS), 0)
    axes |= dict.fromkeys(SHARED) | ({"older": 0} if lags(structure) else {})

    def one(numbers: dict[str, Any], state: State, x: Integers, label: Integers, order: Integers | None) -> tuple[Any, ...]:
        recipe = cast(Recipe, Together(structure, bits, numbers))  # it is one for all functions that follow
        if order is not None:
            x, label = x[order], label[order]
        scaled = x * numbers["state_one"]  # as QFormat.encode does, with the range checked beforehand
        below = jnp.floor(scaled)
        x = jnp.minimum(below + (scaled - below >= 0.5), recipe.formats.state.max).astype(np.int32)
        return (train_all if trains else infer_all)(recipe, program, state, x, label)

    mapped = jax.vmap(one, in_axes=(0, axes, None, None, 0), out_axes=(axes, 0, 0) if trains else (axes, 0), axis_name=CHIPS)
    return jax.jit(mapped, donate_argnums=1)


class Many:
    """Chips of one structure, each with a recipe and a seed of its own, to the same bits as `Chip` of that recipe and seed.

    Parameters
    ----------
    recipes : sequence of Recipe
        Of one `structure`.
    seeds : sequence of int
        Seed of each chip's generator and initial weights.
    shared : Common, optional
        Of a larger set of recipes, to share its compiled program.

    Attributes
    ----------
    weights : list of int32 arrays (n, R, C)
        Assign to load.
    rate : int32 array (n,)
        Rate registers; assign to set.
    saturations : dict
        Range events by format; uint32 (n,).

    Raises
    ------
    ValueError
        If the structures differ.
    """

    def __init__(self, recipes: Iterable[Recipe], seeds: Iterable[int], shared: Common | None = None):
        self.recipes, self.seeds = list(recipes), [int(s) for s in seeds]
        if len(self.recipes) != len(self.seeds):
            raise ValueError(f"seeds: {len(self.seeds)} for {len(self.recipes)} recipes; expected one each")
        self.structure, self.bits = shared or common(self.recipes)
        each = [numbers(r) for r in self.recipes]
        self.numbers = {name: np.stack([n[name] for n in each]) for name in each[0]}
        state = reset(self.structure, (len(self.recipes),), self.seeds)
        weights = [initial_weights(r.model_copy(update={"seed": s})) for r, s in zip(self.recipes, self.seeds, strict=True)]
        self._state = state | {"rate": np.array([r.rate for r in self.recipes], np.int32)}
        self.weights = [np.stack(w) for w in zip(*weights, strict=True)]

    @property
    def weights(self) -> list[np.ndarray]:
        return [np.asarray(w)[..., : g.C] for g, w in zip(in_memory(self.structure), self._state["weights"], strict=True)]

    @weights.setter
    def weights(self, weights: Sequence[ArrayLike]) -> None:
        loaded = tuple(pad(g, np.asarray(w, np.int32)) for g, w in zip(in_memory(self.structure), weights, strict=True))
        self._state = self._state | {"weights": loaded, "peak": tuple(np.abs(w).max((-2, -1)).astype(np.int64) for w in loaded)}

    @property
    def rate(self) -> np.ndarray:
        return np.asarray(self._state["rate"])

    @rate.setter
    def rate(self, rate: ArrayLike) -> None:
        self._state = self._state | {"rate": np.asarray(rate, np.int32)}

    @property
    def saturations(self) -> dict[str, np.ndarray]:
        return {name: np.asarray(self._state[name]) for name in COUNTERS}

    def infer(self, x: ArrayLike) -> np.ndarray:
        """Outputs of all chips for the same samples: (samples, inputs) real values to int32 (n, samples, outputs) in state integers."""
        return self._run(False, x, np.zeros(len(np.asarray(x)), np.int32))[0]

    def train(self, x: ArrayLike, y: ArrayLike, order: ArrayLike | None = None) -> TrainResult:
        """Run the training program of all chips on each sample in turn.

        Parameters
        ----------
        x : array (samples, inputs)
            Real values.
        y : integer array (samples,)
            Class numbers.
        order : integer array (n, samples), optional
            The order of each chip's samples; as they are by default.
        """
        return TrainResult(*self._run(True, x, y, order))

    def _run(self, trains: bool, x: ArrayLike, y: ArrayLike, order: ArrayLike | None = None) -> list[np.ndarray]:
        x = np.asarray(x)
        if x.dtype.kind != "f":
            raise ValueError(f"x: {x.dtype}; chips of many formats take real numbers, which are floating (x.astype(float))")
        x = x.astype(np.float64)
        for f in {r.formats.state for r in self.recipes}:
            f.encode(np.array([x.min(), x.max()]) if x.size else x, "x")  # the checks alone
        state = settled(self.structure, self._state) if trains else self._state
        with integers():
            self._state, *made = _compiled(self.structure, self.bits, trains)(
                self.numbers, state, x, np.asarray(y, np.int32), None if order is None else np.asarray(order, np.int32)
            )
        return [np.asarray(m) for m in made]
