"""A chip on a board, with the methods of the emulator's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from .. import emulator
from ..emulator import TrainResult
from ..emulator.link import packed, unpacked
from ..recipe import Recipe, in_memory, programs, require_recipe
from ..recipe.link import Tag
from .journal import Journal, digest
from .port import FASTEST, connect
from .session import Session

COUNTERS = ("accumulator", "state", "delta", "weight")


class Chip:
    """The chip of a recipe on a board: trained, asked, loaded and read as `emulator.Chip` is, to the same bits.

    Parameters
    ----------
    recipe : Recipe
    url : str
        Of the board's port (see `connect`).
    baud : float
        Bits per second of its line.
    journal : path, optional
        A file that keeps what the board has answered. With it a program that was killed and is started again goes on after the last step
        that the board applied: after `restore` of a state that the killed one was given by `state` or gave to `restore`, what it asks
        again is answered from the file. It is gone once the chip is closed without an error.

    Attributes
    ----------
    weights, cycles, step, run, rate, saturations, loss
        As of `emulator.Chip`. What the board's registers do not hold (what was counted before a `restore`) is added here.
    room : int
        Samples that the board keeps beside its chip (`store`); 0 if it has no memory for them.
    session : Session
        `session.found` is the status that the board had before.

    Raises
    ------
    BoardError
        If there is no such port, no board at it, or another chip on it; from every method, if the board dies, which keeps what it has
        applied.

    Examples
    --------
    >>> from crossdyad import board, emulator, recipe
    >>> xor = recipe.load("xor")
    >>> with board.Chip(xor, "emulator://") as chip:
    ...     chip.weights = emulator.initial_weights(xor)
    ...     chip.infer([[1.0, 0.0, 1.0]]).shape
    (1, 2)
    """

    batch = ()

    def __init__(self, recipe: Recipe, url: str, baud: float = FASTEST, journal: str | Path | None = None):
        require_recipe(recipe)
        self.recipe = recipe.as_built
        self._rules = emulator.Chip(self.recipe)  # says what is allowed
        self.port = connect(self.recipe, url, baud)
        try:
            self.session = Session(self.recipe, self.port, journal=Journal(Path(journal)) if journal else None)
        except BaseException:
            self.port.close()
            raise
        self._link = self.session.link
        self._before = {"cycles": 0} | dict.fromkeys(COUNTERS, 0)
        self._stored: tuple[int, str] = (0, "")  # how many samples the board keeps, and their digest
        self._loss: int | None = None  # of a restored state, until a program sets the register
        self._run: int | None = None

    def __enter__(self) -> Chip:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self.session.journal and error is None:
            self.session.journal.end()
        self.close()

    def close(self) -> None:
        """Give the port back; the board keeps what it has learned."""
        if self.session.journal:
            self.session.journal.close()
        self.port.close()

    @property
    def room(self) -> int:
        return self.session.identity.samples

    # Registers and memories -----------------------------------------------------------------------------------

    def _report(self) -> dict[str, int]:
        body = self.session.ask(Tag.REPORT)

        def number(a: int, b: int, signed: bool = False) -> int:
            return int.from_bytes(body[a:b], "little", signed=signed)

        return {
            "cycles": number(0, 6),
            **{name: number(6 + 4 * i, 10 + 4 * i) for i, name in enumerate(COUNTERS)},
            "rate": body[22],
            "loss": number(23, len(body), signed=True),
        }

    @property
    def weights(self) -> list[np.ndarray]:
        link, width = self._link, self.recipe.weight_width
        frames = -(-link.weights // link.chunk)
        read = np.concatenate([unpacked(body, width, link.chunk) for body in self.session.play([(Tag.READ, b"")] * frames)])
        weights = []
        for g in in_memory(self.recipe):
            weights.append(read[: g.R * g.C].reshape(g.R, g.C))
            read = read[g.R * g.C :]
        return weights

    @weights.setter
    def weights(self, weights: Sequence[ArrayLike]) -> None:
        self._rules.weights = weights  # an error if they are none of this chip
        self._load(self._rules.weights)

    def _load(self, weights: Sequence[np.ndarray]) -> None:
        link, width = self._link, self.recipe.weight_width
        flat = np.concatenate([np.asarray(w).ravel() for w in weights])
        flat = np.pad(flat, (0, -len(flat) % link.chunk))
        chunks = [(Tag.WEIGHTS, packed(part, width)) for part in flat.reshape(-1, link.chunk)]
        for _ in self.session.play([(Tag.LOAD, b""), *chunks]):
            pass

    @property
    def cycles(self) -> int:
        return (self._before["cycles"] + self._report()["cycles"]) % (1 << 48)

    @property
    def step(self) -> int:
        self.session.ask(Tag.NOTHING)
        return self.session.status.step

    @property
    def run(self) -> int:
        if self._run is None:
            # since reset, of which the board counts those that trained, and all cycles
            infer, train = (program.length for program in programs(self.recipe))
            step = self.step
            self._run = step + max(0, self._report()["cycles"] - step * train) // infer
        return self._run

    @property
    def rate(self) -> int:
        return self._report()["rate"]

    @rate.setter
    def rate(self, rate: int) -> None:
        self._rules.rate = rate
        self.session.ask(Tag.RATE, bytes([self._rules.rate]))

    @property
    def saturations(self) -> dict[str, np.ndarray]:
        report = self._report()
        return {name: np.array((self._before[name] + report[name]) % (1 << 32), np.uint32) for name in COUNTERS}

    @property
    def loss(self) -> np.ndarray:
        return np.array(self._report()["loss"] if self._loss is None else self._loss, np.int64)

    def state(self) -> dict[str, np.ndarray]:
        """Return everything the chip holds, as `emulator.Chip.state` does: either takes what the other gives."""
        report = self._report()
        kept = self._rules.state() | {f"weights{k}": w for k, w in enumerate(self.weights)}
        numbers = {
            "step": self.step,
            "run": self.run,
            "rate": report["rate"],
            "loss": self.loss,
            "cycles": (self._before["cycles"] + report["cycles"]) % (1 << 48),
        }
        numbers |= {f"saturations_{name}": (self._before[name] + report[name]) % (1 << 32) for name in COUNTERS}
        state = {name: np.asarray(value).astype(kept[name].dtype) for name, value in (kept | numbers).items()}
        self._mark(state)
        return state

    def _mark(self, state: Mapping[str, np.ndarray]) -> None:
        self.session.mark(digest(state), {"run": self.run, "before": self._before, "loss": self._loss, "stored": self._stored})

    def restore(self, state: Mapping[str, ArrayLike]) -> None:
        """Go on from a `state()`, of this chip or an emulated one; ValueError if it is not one of a chip like this."""
        if int(np.asarray(state.get("seeds", self.recipe.seed))) != self.recipe.seed:
            raise ValueError(f"state: of a chip with seed {int(np.asarray(state['seeds']))}; this one was built with {self.recipe.seed}")
        self._rules.restore(state)
        rules, state = self._rules, self._rules.state()
        if (driver := self.session.resume(digest(state))) is not None:
            self._run, self._before, self._loss = driver["run"], driver["before"], driver["loss"]
            self._stored = tuple(driver["stored"])
            return
        report = self._report()
        self._load(rules.weights)
        registers = [(Tag.STEP, rules.step), (Tag.RUN, rules.run)]
        for _ in self.session.play([*((tag, value.to_bytes(4, "little")) for tag, value in registers), (Tag.RATE, bytes([rules.rate]))]):
            pass
        self._run, self._loss = int(rules.run), int(rules.loss)
        self._before = {"cycles": rules.cycles - report["cycles"]}
        self._before |= {name: int(rules.saturations[name]) - report[name] for name in COUNTERS}
        self._mark(state)

    # Commands -------------------------------------------------------------------------------------------------

    def _programs(self, requests: Iterable[tuple[Tag, bytes]], trains: bool) -> tuple[np.ndarray, np.ndarray]:
        outputs, losses, link, run = [], [], self._link, self.run
        for n, body in enumerate(self.session.play(requests), 1):
            outputs.append(unpacked(body[: link.outputs], self.recipe.formats.state.width, self.recipe.sizes[-1]))
            losses.append(int.from_bytes(body[link.outputs :], "little", signed=True))
            self._run = (run + n) % (1 << 32)
            if trains:
                self._loss = None
        empty = np.zeros((0, self.recipe.sizes[-1]), np.int32)
        return np.stack(outputs) if outputs else empty, np.array(losses, np.int64)

    def infer(self, x: ArrayLike) -> np.ndarray:
        """Return the outputs for samples, int32 (n, outputs), as `emulator.Chip.infer` does."""
        width = self.recipe.formats.state.width
        return self._programs(((Tag.INFER, packed(row, width)) for row in self._rules._samples(x)), False)[0]

    def store(self, x: ArrayLike, y: ArrayLike) -> None:
        """Keep samples and labels, as `train` takes them, beside the chip, numbered from 0; ValueError if they are more than it holds.

        Those that this session has put there already are not sent again.
        """
        x, width = self._rules._samples(x), self.recipe.formats.state.width
        y = self._rules._labels(y, len(x))
        if len(x) > self.room:
            raise ValueError(f"x: {len(x)} samples; the board's memory holds {self.room}; store fewer, or build with room for more")
        stored = len(x), digest({"x": x, "y": y})
        if stored == self._stored:
            return
        self._stored = 0, ""
        labels = (int(label).to_bytes(self._link.label, "little") for label in y)
        for _ in self.session.play(
            (Tag.STORE, n.to_bytes(2, "little") + label + packed(row, width)) for n, (row, label) in enumerate(zip(x, labels, strict=True))
        ):
            pass
        self._stored = stored

    def train_stored(self, order: ArrayLike) -> None:
        """Train on stored samples, a step for each number in `order`: only numbers are on the line, and no outputs come back."""
        order, stored = np.asarray(order), self._stored[0]
        if order.dtype.kind not in "iu" or order.ndim != 1 or order.size and not 0 <= order.min() <= order.max() < stored:
            raise ValueError(f"order: allowed are whole numbers from 0 to {stored - 1}, of samples that are stored")
        most, run = self._link.numbers, self.run
        parts = [order[i : i + most] for i in range(0, len(order), most)]
        for part, _ in zip(
            parts,
            self.session.play(
                (Tag.TRAIN_STORED, bytes([len(part)]) + np.pad(part, (0, most - len(part))).astype("<u2").tobytes()) for part in parts
            ),
            strict=True,
        ):
            run = (run + len(part)) % (1 << 32)
            self._run, self._loss = run, None

    def train(self, x: ArrayLike, y: ArrayLike) -> TrainResult:
        """Run the training program on each sample in turn, as `emulator.Chip.train` does."""
        x, width = self._rules._samples(x), self.recipe.formats.state.width
        y = self._rules._labels(y, len(x))
        return TrainResult(
            *self._programs(
                (
                    (Tag.TRAIN, int(label).to_bytes(self._link.label, "little") + packed(row, width))
                    for row, label in zip(x, y, strict=True)
                ),
                True,
            )
        )
