"""The chip as its user has it: many at once, loaded, trained and asked on two engines (contract sections 7 to 9)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from ..recipe import Recipe, in_memory, require_recipe
from . import crossbar, rng, sequencer
from .arrays import Integers, State, integers
from .machine import COUNTERS, Drawn, draw, reset, run, settled, train
from .sequencer import Program

INITIAL = 0xC0
"""Streams of the initial weights; the chip itself uses none from here on."""


class TrainResult(NamedTuple):
    """Outputs and registers of the chip for each training sample.

    Attributes
    ----------
    outputs : int32 array (*batch, n, outputs)
        State integers of the result queue; of the last read, where a program reads the last layer more than once.
    loss : int64 array (*batch, n)
        The loss register after each program; ``loss * 2**(-2 fa) / 2`` is the cost (contract section 5).
    """

    outputs: np.ndarray
    loss: np.ndarray


def initial_weights(recipe: Recipe, seeds: ArrayLike | None = None) -> list[np.ndarray]:
    """Make weights to load before training: uniform, `recipe.initial` times a size whose variance ``2 / C`` keeps relu layers alive.

    Parameters
    ----------
    recipe : Recipe
    seeds : array_like of int, optional
        64-bit seeds, one per chip; the recipe's seed by default.

    Returns
    -------
    list of int32 arrays (*shape of seeds, R, C), weight format
        Of each matrix in memory, the layers' weights first; limited to what the format and the guard allow. A matrix that starts as another
        one has its numbers, one that starts at zero has none.
    """
    require_recipe(recipe)
    key = rng.keys(recipe.seed if seeds is None else seeds)
    made: dict[str, np.ndarray] = {}
    for n, g in enumerate(in_memory(recipe)):
        m, f = g.matrix, g.recipe.formats.weight
        if m.start in made:
            made[m.name] = made[m.start]
            continue
        index = np.arange(g.R * g.C, dtype=np.uint32).reshape(g.R, g.C)
        x, _ = rng.pair(rng.behind(key, 2), INITIAL | n, np.uint32(0), index)
        uniform = (x.astype(np.float64) + 0.5) * 2.0**-31 - 1.0
        w = np.floor(uniform * np.sqrt(6.0 / g.D) * recipe.initial * 2.0**f.frac + 0.5) * (m.start != "zero")
        w[..., g.D :] = 0  # biases
        made[m.name] = np.clip(w, f.min + g.recipe.guard, f.max - g.recipe.guard).astype(np.int32)
    return list(made.values())


# Engines ----------------------------------------------------------------------------------------------------

BLOCK = 4096
"""Samples that `infer` takes at once, to bound its memory."""


class Engine(Protocol):
    """Holder of the chips' state, and player of their programs."""

    def put(self, state: Any) -> Any:
        """Take arrays, or what is made of some."""

    def get(self, array: Any) -> np.ndarray:
        """Give an array back."""

    def infer(self, recipe: Recipe, state: State, x: np.ndarray) -> tuple[State, Integers]:
        """Return the state after the inference of samples, and their outputs."""

    def train(self, recipe: Recipe, state: State, x: np.ndarray, label: np.ndarray) -> tuple[State, Integers, Integers]:
        """Return the state after training on one sample after the other, the outputs, and the loss registers."""


class _NumPy:
    """Each sample in turn, in NumPy."""

    def put(self, state: Any) -> Any:
        return state

    def get(self, array: Any) -> np.ndarray:
        return np.asarray(array)

    def infer(self, recipe: Recipe, state: State, x: np.ndarray) -> tuple[State, Integers]:
        return run(recipe, sequencer.instructions(recipe, False), state, x, None)

    def train(self, recipe: Recipe, state: State, x: np.ndarray, label: np.ndarray) -> tuple[State, Integers, Integers]:
        program, outputs, losses = sequencer.instructions(recipe, True), [], []
        for n in range(x.shape[-2]):
            state, out = train(recipe, program, state, x[..., n : n + 1, :], label[..., n : n + 1])
            outputs.append(out[..., 0, :])
            losses.append(state["loss"])
        return state, np.stack(outputs, axis=-2), np.stack(losses, axis=-1)


class _JAX:
    """The same functions, compiled; JAX is set to `integers` for the calls only, whatever it is set to outside."""

    def put(self, state: Any) -> Any:
        import jax

        with integers():
            return jax.tree.map(jax.numpy.array, state)

    def get(self, array: Any) -> np.ndarray:
        return np.array(array)

    def infer(self, recipe: Recipe, state: State, x: np.ndarray) -> tuple[State, Integers]:
        return self._run(recipe, False, state, x, None)

    def train(self, recipe: Recipe, state: State, x: np.ndarray, label: np.ndarray) -> tuple[State, Integers, Integers]:
        return self._run(recipe, True, state, x, label)

    def _run(self, recipe: Recipe, trains: bool, *arguments: Any) -> Any:
        # the seed is in the state: chips that differ in it share their program
        with integers():
            return _compiled(recipe.model_copy(update={"seed": 0}), trains)(*arguments)


@functools.cache
def _compiled(recipe: Recipe, trains: bool) -> Callable[..., Any]:
    """The jitted program of a recipe; the state's memory is reused for the new state."""
    import jax

    program = sequencer.instructions(recipe, trains)
    return jax.jit(functools.partial(train_all if trains else infer_all, recipe, program), donate_argnums=0)


def infer_all(recipe: Recipe, program: Program, state: State, x: Integers, label: Integers | None) -> tuple[State, Integers]:
    """`run`, to be compiled."""
    return run(recipe, program, state, x, label)


def train_all(recipe: Recipe, program: Program, state: State, x: Integers, label: Integers) -> tuple[State, Integers, Integers]:
    """`train` on every sample in turn, to be compiled: state, outputs (*batch, n, outputs) and loss registers (*batch, n)."""
    import jax
    from jax import numpy as jnp

    # The numbers of the next step are drawn a step ahead and carried: as values in memory, or the compiler would
    # make each of them again for everything that looks at it.
    def sample(carried: tuple[State, Drawn], given: tuple[Integers, Integers]) -> tuple[tuple[State, Drawn], tuple[Integers, Integers]]:
        (state, drawn), (x, label) = carried, given
        state, outputs = train(recipe, program, state, x[..., None, :], label[..., None], drawn)
        return (state, draw(recipe, program, state)), (outputs[..., 0, :], state["loss"])

    samples = jnp.moveaxis(x, -2, 0), jnp.moveaxis(label, -1, 0)
    (state, _), (outputs, losses) = jax.lax.scan(sample, (state, draw(recipe, program, state)), samples)
    return state, jnp.moveaxis(outputs, 0, -2), jnp.moveaxis(losses, 0, -1)


ENGINES: dict[str, type[Engine]] = {"numpy": _NumPy, "jax": _JAX}


class Chip:
    """One chip, or a batch of them, that infers and learns exactly as the hardware does.

    Parameters
    ----------
    recipe : Recipe
    engine : str
        ``numpy`` or ``jax``: the same bits.
    batch : tuple of int
        Leading axes: how many chips. ``()`` is one.
    seeds : array_like of int, optional
        64-bit seeds of the generators, of shape `batch`; the recipe's seed by default.

    Attributes
    ----------
    weights : list of int32 arrays (*batch, R, C)
        Weight integers of each matrix in memory, the layers' first; zero after reset, assign to load (`initial_weights` makes some).
    seeds : array of int, of shape `batch`
        Seeds of the generators.
    cycles : int
        Busy cycles of the programs run, per chip; where several samples may be under way, each one of a call waits for the one before.
    step, run : int
        Training programs run, and all programs run.
    rate : int or int32 array (*batch)
        The rate register, 0 to 7; assign to set. The learning rate is ``rate_floor * 2**rate``.
    saturations : dict
        Range events of accumulator, state, delta and weight; uint32 (*batch).
    loss : int64 array (*batch)
        The loss register.

    Examples
    --------
    >>> from crossdyad import emulator, recipe
    >>> digits = recipe.load("digits")
    >>> chip = emulator.Chip(digits)
    >>> chip.weights = emulator.initial_weights(digits)
    >>> import numpy as np
    >>> chip.train(np.full((1, 64), 0.5), np.array([3])).outputs.shape
    (1, 10)
    """

    def __init__(self, recipe: Recipe, engine: str = "numpy", batch: tuple[int, ...] = (), seeds: ArrayLike | None = None):
        require_recipe(recipe)
        if engine not in ENGINES:
            raise ValueError(f"engine: {engine!r}; allowed are {', '.join(ENGINES)}")
        self.recipe, self.engine = recipe, engine
        self.batch = (batch,) if isinstance(batch, int) else tuple(batch)
        if any(n < 1 for n in self.batch):
            raise ValueError(f"batch: {batch}; allowed is one chip or more on every axis")
        seeds = np.asarray(recipe.seed if seeds is None else seeds, dtype=object)
        if seeds.shape not in ((), self.batch):
            raise ValueError(f"seeds: shape {seeds.shape}; expected one per chip, {self.batch}")
        self.seeds = seeds
        self._engine: Engine = ENGINES[engine]()
        self._cycles = 0
        self._state = self._engine.put(reset(recipe, self.batch, seeds))

    # Registers and memories ---------------------------------------------------------------------------------

    @property
    def weights(self) -> list[np.ndarray]:
        return [self._engine.get(w)[..., : g.C] for g, w in zip(in_memory(self.recipe), self._state["weights"], strict=True)]

    @weights.setter
    def weights(self, weights: Sequence[ArrayLike]) -> None:
        self._load(weights, guarded=self.recipe.overflow.weight != "wrap")

    def _load(self, weights: Sequence[ArrayLike], guarded: bool) -> None:
        loaded, held = [], in_memory(self.recipe)
        if len(weights) != len(held):
            raise ValueError(f"weights: {len(weights)} arrays; expected {', '.join(g.matrix.name for g in held)}, {len(held)} in all")
        for n, (g, w) in enumerate(zip(held, weights, strict=True)):
            name, w, f = f"weights[{n}]", np.asarray(w), g.recipe.formats.weight
            guard = g.recipe.guard if guarded else 0
            if w.shape not in ((g.R, g.C), (*self.batch, g.R, g.C)):
                raise ValueError(f"{name}: shape {w.shape}; expected {(*self.batch, g.R, g.C)}, rows are outputs")
            w = f.check(w, name)
            if w.min() < f.min + guard or w.max() > f.max - guard:
                raise ValueError(
                    f"{name}: {max(int(w.max()), -int(w.min()))} leaves no room for the probe; allowed is "
                    f"{f.min + guard} to {f.max - guard} (scale the weights or lower epsilon)"
                )
            loaded.append(np.broadcast_to(crossbar.pad(g, w), (*self.batch, g.R, g.F * g.L)).copy())
        peak = tuple(np.array(np.abs(w).max(), dtype=np.int64) for w in loaded)
        self._state = self._state | self._engine.put({"weights": tuple(loaded), "peak": peak})

    @property
    def cycles(self) -> int:
        return self._cycles

    @property
    def step(self) -> int:
        return int(self._state["step"])

    @property
    def run(self) -> int:
        return int(self._state["run"])

    @property
    def rate(self) -> int | np.ndarray:
        rate = self._engine.get(self._state["rate"])
        return rate if self.batch else int(rate)

    @rate.setter
    def rate(self, rate: ArrayLike) -> None:
        rate = np.asarray(rate)
        if rate.dtype.kind not in "iu" or rate.shape not in ((), self.batch) or (rate < 0).any() or (rate > 7).any():
            raise ValueError(f"rate: {rate}; allowed is an integer from 0 to 7, one or as many as chips")
        rate = np.broadcast_to(rate.astype(np.int32), self.batch).copy()
        self._state = self._state | {"rate": self._engine.put(rate)}

    @property
    def saturations(self) -> dict[str, np.ndarray]:
        return {name: self._engine.get(self._state[name]) for name in COUNTERS}

    @property
    def loss(self) -> np.ndarray:
        return self._engine.get(self._state["loss"])

    def state(self) -> dict[str, np.ndarray]:
        """Everything the chip holds, as a plain dict of arrays; `restore` (or `np.savez`) takes it."""
        get = self._engine.get
        return (
            {f"weights{k}": w for k, w in enumerate(self.weights)}
            | {
                "seeds": np.broadcast_to(self.seeds, self.batch).astype(np.uint64),
                "step": get(self._state["step"]),
                "run": get(self._state["run"]),
                "rate": get(self._state["rate"]),
                "loss": self.loss,
                "cycles": np.array(self._cycles, dtype=np.int64),
            }
            | {f"saturations_{name}": get(self._state[name]) for name in COUNTERS}
        )

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state()`; ValueError if it is not one of a chip like this."""
        missing = sorted(set(self.state()) - set(state))
        if missing:
            raise ValueError(f"state: {missing[0]!r} is missing; expected what Chip.state() of this recipe gives")
        fresh = reset(self.recipe, self.batch, self.recipe.seed)
        new = {"key": rng.keys(state["seeds"]), "step": state["step"], "run": state["run"], "rate": state["rate"], "loss": state["loss"]}
        new |= {name: state[f"saturations_{name}"] for name in COUNTERS}
        for name in ("step", "run", "rate", "loss", *COUNTERS):
            new[name] = np.asarray(new[name]).astype(fresh[name].dtype)
            if new[name].shape != fresh[name].shape:
                raise ValueError(f"state: {name} has shape {new[name].shape}; this batch of chips has {self.batch}")
        if new["key"][0].shape != self.batch:
            raise ValueError(f"state: seeds have shape {new['key'][0].shape}; this batch of chips has {self.batch}")
        self._load([state[f"weights{k}"] for k in range(len(in_memory(self.recipe)))], guarded=False)
        self._state, self.seeds = self._state | self._engine.put(new), np.asarray(state["seeds"]).astype(object)
        self._cycles = int(state["cycles"])

    # Commands -----------------------------------------------------------------------------------------------

    def infer(self, x: ArrayLike) -> np.ndarray:
        """Outputs for samples, with the weights as they are.

        Parameters
        ----------
        x : array (*batch, n, inputs) or (n, inputs)
            Real values (floating), or state integers (a NumPy array of int32, as `QFormat.encode` makes it). All chips take the same
            samples if there is no batch axis.

        Returns
        -------
        int32 array (*batch, n, outputs)
            State integers.
        """
        x = self._samples(x)
        n, outputs = x.shape[-2], []
        for i in range(0, n, BLOCK):
            self._state, out = self._engine.infer(self.recipe, self._state, x[..., i : i + BLOCK, :])
            outputs.append(self._engine.get(out))
        self._cycles = (self._cycles + n * sequencer.length(self.recipe, False)) & ((1 << 48) - 1)
        return np.concatenate(outputs, axis=-2) if outputs else np.zeros((*self.batch, 0, self.recipe.sizes[-1]), dtype=np.int32)

    def train(self, x: ArrayLike, y: ArrayLike, follows: bool = False) -> TrainResult:
        """Run the training program on each sample in turn; where several may be under way, each starts an interval after the one before.

        Parameters
        ----------
        x : array (*batch, n, inputs) or (n, inputs)
            Real values (floating) or state integers.
        y : integer array (*batch, n) or (n,)
            Class numbers.
        follows : bool
            The first one, too, starts an interval after the last one of the call before; else no program runs then, so that it sees all
            updates. It makes a difference to bits only where reads may be stale.

        Returns
        -------
        TrainResult
        """
        x = self._samples(x)
        n = x.shape[-2]
        y = self._labels(y, n)
        if n == 0:
            return TrainResult(
                np.zeros((*self.batch, 0, self.recipe.sizes[-1]), dtype=np.int32), np.zeros((*self.batch, 0), dtype=np.int64)
            )
        state = self._state if follows else settled(self.recipe, self._state)
        self._state, outputs, losses = self._engine.train(self.recipe, state, x, y)
        self._cycles = (self._cycles + sequencer.cycles(self.recipe, n, follows)) & ((1 << 48) - 1)
        return TrainResult(self._engine.get(outputs), self._engine.get(losses))

    def _samples(self, x: ArrayLike) -> np.ndarray:
        shape, inputs = np.shape(x), self.recipe.sizes[0]
        if len(shape) < 2 or shape[-1] != inputs or shape[:-2] not in ((), self.batch):
            raise ValueError(f"x: shape {shape}; expected {self._shapes('samples', inputs)}")
        x = self.recipe.formats.state.samples(x)
        return np.broadcast_to(x, (*self.batch, *x.shape[-2:]))

    def _shapes(self, *last: str | int) -> str:
        """The shapes that are taken: one set for all chips of a batch, or one for each."""
        shapes = dict.fromkeys(f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})" for shape in (last, (*self.batch, *last)))
        return " or ".join(shapes)

    def _labels(self, y: ArrayLike, n: int) -> np.ndarray:
        y, classes = np.asarray(y), self.recipe.sizes[-1]
        if y.dtype.kind not in "iu" or y.shape not in ((n,), (*self.batch, n)):
            raise ValueError(f"y: {y.dtype} of shape {y.shape}; expected integers of shape {self._shapes(n)}")
        if y.size and (y.min() < 0 or y.max() >= classes):
            bad = int(y[(y < 0) | (y >= classes)][0])
            raise ValueError(f"y: label {bad}; allowed is 0 to {classes - 1}, one class per output")
        return np.broadcast_to(y.astype(np.int32), (*self.batch, n))
