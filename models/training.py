"""Training a reference circuit with any estimator: minibatches, any update, checkpoints that resume bit for bit."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from .estimators.chains import drawn
from .estimators.estimator import Estimator, NoFixedPoint
from .kinds import Batch, Circuit, Tree, Update
from .precision import in_float64
from .solvers import Problem, newton
from .steps import begun, called, projected, update_of

if TYPE_CHECKING:
    import optax

PIECES = 10
"""Progress reports per epoch, at most."""
BRIGHTEST = 16.0
"""Largest magnitude of a pixel that training takes: beyond, it was not scaled."""
UNSETTLED = 0.5
"""Share of an epoch's samples that may be left out: with more, what is learned is of a few."""
SHARE = 512
"""Test samples that are solved at once."""


@dataclass
class Run:
    """Results of a training run.

    Attributes
    ----------
    parameters : pytree
        At the end.
    epochs : list of dict
        ``epoch`` (from 1), ``loss`` (mean objective of the free circuit over the test set), ``accuracy`` (test set), and how many
        samples did not settle: ``left_out`` of those trained on, which the mean of their batch does without, and ``unanswered`` of those
        tested, which count as wrong and are not in the loss.
    """

    parameters: Any
    epochs: list[dict] = field(default_factory=list)


def train(
    rule: Estimator,
    circuit: Circuit,
    objective: Callable,
    data: Sequence[np.ndarray],
    *,
    parameters: Tree = None,
    epochs: int = 10,
    batch: int = 32,
    optimizer: optax.GradientTransformation | Update | None = None,
    seed: int = 0,
    solver: Callable | None = None,
    project: Callable | None = None,
    checkpoint: str | Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    settings: dict | None = None,
) -> Run:
    """Train a circuit with one estimator's gradients.

    Parameters
    ----------
    rule : Estimator
    circuit
        Any that the rule supports (`circuits`).
    objective : callable
        ``objective(output, target)``; targets are one-hot.
    data : tuple
        ``(x_train, y_train, x_test, y_test)``; real inputs (n, inputs) or images (n, rows, columns, channels), class numbers (n,).
    parameters : pytree, optional
        To start from; ``circuit.random_parameters`` of the seed by default.
    batch : int
        Samples per update; what is left of an epoch is left out.
    optimizer : optax.GradientTransformation or Update, optional
        What the gradient makes of the parameters, optax's or one's own (`kinds.Update`); ``optax.adam(1e-3)`` by default.
    seed : int
        Of initial parameters, order of samples and the rule's own draws.
    solver : callable, optional
        For the test set, of circuits that are not triangular; `newton` by default.
    project : callable, optional
        Parameters to the nearest allowed ones, after every update (conductances are not negative).
    checkpoint : path, optional
        Written after each epoch; if it is there, the run goes on from it, to the same bits as one that was not interrupted.
    progress : callable, optional
        Called as ``progress(step, done, of)``.
    settings : dict, optional
        Keywords of the rule: ``beta``, its own ``solver`` and so on.

    Returns
    -------
    Run

    Raises
    ------
    Unsuitable
        If the rule does not support the circuit.
    NoFixedPoint
        If the parameters stop being finite, or more than `UNSETTLED` of an epoch's samples do not settle; the last checkpoint is kept.
    ValueError
        For data that do not fit, an update that gives what it must not, or a checkpoint of another run.
    """
    run, tell = Run(parameters), progress or (lambda *_: None)
    for step in _training(
        run, rule, circuit, objective, data, parameters, epochs, batch, optimizer, seed, solver, project, checkpoint, settings
    ):
        tell(*step)
    return run


@in_float64
def _training(run, rule, circuit, objective, data, parameters, epochs, batch, optimizer, seed, solver, project, checkpoint, settings):
    """Fill `run`, and yield what `train` tells of its progress."""
    import optax  # slow to import: only who trains a reference waits for it

    x, labels, x_test, y_test = _checked(data, batch)
    if epochs < 1:
        raise ValueError(f"epochs: {epochs}; allowed is 1 or more")
    begin, order, draws = jax.random.split(jax.random.key(seed), 3)
    if parameters is None:
        parameters = drawn(circuit, begin)
    classes = circuit.output(circuit.start(parameters, x[0])).shape[0]
    if max(labels.max(), y_test.max()) >= classes:
        raise ValueError(f"y: class {max(labels.max(), y_test.max())}; the circuit has {classes} outputs")
    samples, targets = jnp.asarray(x), jnp.eye(classes)[labels]
    rule.check(circuit, parameters, x[0], targets[0])
    step = update_of(optax.adam(1e-3) if optimizer is None else optimizer)
    keyed = "key" in inspect.signature(rule.estimate).parameters
    rule.ask(rule.settings | (settings or {}) | ({"key": draws} if keyed else {}))
    state, run.parameters = begun(step, parameters, Batch(circuit, objective, samples[:batch], targets[:batch])), parameters
    if project:
        projected(project, parameters)

    def gradient(parameters, x, targets, key):
        return rule.settled(circuit, objective, parameters, x, targets, **({"key": key} if keyed else {}), **(settings or {}))

    @jax.jit
    def updates(parameters, state, x, targets, places, keys):
        """Apply as many updates as there are batches on the leading axis of `places`, which says where their samples are."""

        def update(carry, given):
            (parameters, state), (at, key) = carry, given
            g, lost = gradient(parameters, x[at], targets[at], key)
            parameters, state = step.apply(g, state, parameters, Batch(circuit, objective, x[at], targets[at]))
            return (project(parameters) if project else parameters, state), lost

        (parameters, state), lost = jax.lax.scan(update, (parameters, state), (places, keys))
        return parameters, state, lost.sum()

    def label() -> str:
        """The program of an update says it all, rule, circuit, settings and rates; a name would hold addresses of functions."""
        keys = jax.random.split(draws, 1)
        program = updates.lower(parameters, state, samples, targets, np.zeros((1, batch), int), keys).as_text()
        which = rule.name if rule.row is None else f"row {rule.row}"
        return f"{which}, seed {seed}: {_hash(program.encode(), x, labels, x_test, y_test, *jax.tree.leaves(parameters))}"

    def blamed(before, part) -> str:
        """Play the updates of a piece one by one, and say whether the first that went wrong had a gradient to go by."""
        compiled = jax.jit(gradient)
        for at in part:
            g, _ = compiled(before[0], samples[mixed[at]], targets[mixed[at]], keys[at])
            before = updates(*before, samples, targets, mixed[at : at + 1], keys[at : at + 1])[:2]
            if not _finite(before[0]):
                break
        if _finite(g):
            return f", by the update {called(step)}, though the gradient is; lower the learning rate, or mend the update"
        return f"; lower the learning rate{' or ' + rule.small if rule.order else ''}"

    name = label() if checkpoint else ""
    if checkpoint and Path(checkpoint).exists():
        parameters, state = _resume(Path(checkpoint), name, run, (parameters, state))
    test = jax.jit(lambda p, x, y: _test(circuit, objective, solver or newton(), p, x, y))
    steps = len(x) // batch
    for epoch in range(len(run.epochs), epochs):
        mixed = np.asarray(jax.random.permutation(jax.random.fold_in(order, epoch), len(x)))[: steps * batch].reshape(steps, batch)
        keys = jax.random.split(jax.random.fold_in(draws, epoch), steps)
        left_out = 0
        for piece, part in enumerate(np.array_split(np.arange(steps), min(PIECES, steps))):
            said = f", {100 * run.epochs[-1]['accuracy']:.2f} %" if run.epochs else ""
            yield f"epoch {epoch + 1}{said}", epoch * PIECES + piece, epochs * PIECES
            before = parameters, state
            parameters, state, lost = updates(parameters, state, samples, targets, mixed[part], keys[part])
            left_out += int(lost)
            if not _finite(parameters):
                raise NoFixedPoint(f"{rule.called}: parameters are no longer finite in epoch {epoch + 1}{blamed(before, part)}")
        if left_out > UNSETTLED * steps * batch:
            raise NoFixedPoint(
                f"{rule.called}: {left_out} of {steps * batch} samples did not settle in epoch {epoch + 1}; give the solver "
                "more sweeps or a wider tolerance, or begin with smaller weights"
            )
        run.epochs.append({"epoch": epoch + 1, "left_out": left_out} | _score(test, parameters, x_test, y_test, classes))
        run.parameters = parameters
        if checkpoint:
            _keep(Path(checkpoint), name, run, (parameters, state))
    yield "trained", epochs * PIECES, epochs * PIECES


@in_float64
def predict(circuit: Circuit, parameters: Tree, x: ArrayLike, solver: Callable | None = None) -> Array:
    """Outputs of the free circuit for one input."""
    if "triangular" in circuit.capabilities:
        return circuit.forward(parameters, x)[-1]
    return circuit.output((solver or newton())(Problem(circuit, parameters, x)).states)


def _finite(tree: Tree) -> bool:
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


def _test(circuit, objective, solver, parameters, x, y):
    out = jax.vmap(lambda x: predict(circuit, parameters, x, solver))(x)
    return jax.vmap(objective)(out, y), jnp.where(jnp.isfinite(out).all(-1), jnp.argmax(out, -1), -1)


def _score(test, parameters, x, y, classes: int) -> dict:
    losses, guesses = [], []
    for i in range(0, len(x), SHARE):
        loss, guess = test(parameters, x[i : i + SHARE], np.eye(classes)[y[i : i + SHARE]])
        losses.append(loss)
        guesses.append(guess)
    told = np.concatenate(guesses)
    loss = np.concatenate(losses)[told >= 0]
    return {
        "loss": float(np.mean(loss)) if len(loss) else float("nan"),
        "accuracy": float(np.mean(told == y)),
        "unanswered": int(np.sum(told < 0)),
    }


def _checked(data, batch: int):
    x, y, x_test, y_test = (np.asarray(v) for v in data)
    for name, inputs, classes in (("train", x, y), ("test", x_test, y_test)):
        if inputs.ndim < 2 or classes.shape != inputs.shape[:1] or classes.dtype.kind not in "iu" or len(inputs) == 0:
            raise ValueError(
                f"data: {name} inputs {inputs.shape} and classes {classes.dtype} {classes.shape}; "
                "expected (n, inputs), or (n, rows, columns, channels), and n class numbers"
            )
        if not np.isfinite(inputs).all():
            raise ValueError(f"data: {name} inputs hold numbers that are not finite; mend the data")
        if inputs.ndim > 2 and (largest := np.abs(inputs).max()) > BRIGHTEST:
            raise ValueError(f"data: {name} images reach {largest:g}; scale them to about 1, as x / 255 does of bytes")
        if classes.min() < 0:
            raise ValueError(f"data: {name} class {classes.min()}; classes are numbered from 0")
    if x.shape[1:] != x_test.shape[1:]:
        raise ValueError(f"data: train inputs of shape {x.shape[1:]}, test inputs of {x_test.shape[1:]}; make them alike")
    if not 1 <= batch <= len(x):
        raise ValueError(f"batch: {batch}; allowed is 1 to the {len(x)} training samples")
    return x.astype(np.float64), y, x_test.astype(np.float64), y_test


# Checkpoints ------------------------------------------------------------------------------------------------


def _hash(*parts) -> str:
    import hashlib

    found = hashlib.sha256()
    for part in parts:
        found.update(part if isinstance(part, bytes) else f"{np.shape(part)}".encode() + np.ascontiguousarray(part).tobytes())
    return found.hexdigest()[:16]


def _keep(path: Path, name: str, run: Run, state) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    leaves = {f"leaf{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
    columns = {f"history_{k}": np.array([e[k] for e in run.epochs]) for k in run.epochs[0]}
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(draft, "wb") as file:
            np.savez(file, name=np.array(name), **leaves, **columns)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _resume(path: Path, name: str, run: Run, like):
    try:
        with np.load(path) as kept:
            kept = dict(kept)
    except PermissionError:
        raise
    except Exception as error:  # NumPy raises a different kind for each way a file can be broken
        raise ValueError(f"{path}: not a checkpoint ({error}); delete it or name another") from None
    leaves, shape = jax.tree.flatten(like)
    found = [kept.get(f"leaf{i}") for i in range(len(leaves))]
    if str(kept.get("name")) != name or any(f is None or f.shape != np.shape(v) for f, v in zip(found, leaves, strict=True)):
        raise ValueError(f"{path}: a checkpoint of another rule, circuit, setting, rate, seed or other data; delete it or name another")
    columns = {k.removeprefix("history_"): v.tolist() for k, v in kept.items() if k.startswith("history_")}
    run.epochs = [dict(zip(columns, entry, strict=True)) for entry in zip(*columns.values(), strict=True)]
    state = jax.tree.unflatten(shape, [jnp.asarray(f) for f in found])
    run.parameters = state[0]
    return state
