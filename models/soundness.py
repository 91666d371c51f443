"""Soundness: whether a circuit's members and words agree with each other, at a few states that it visits.

States are found by its own sweeps under forces that push them both ways, against bounds if there are any. No solver is asked, so that a
circuit whose states do not settle is judged as well; what is not finite there is left to the estimators, which report it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from .circuits import forced
from .functions import add, gradient, zeros
from .kinds import Circuit, Tree
from .own import Own
from .precision import in_float64

MEMBERS = {
    "energy": ("energy",),
    "chain": ("layers", "neuron", "forward"),
    "triangular": ("forward",),
    "neurons": ("drive", "fire"),
    "blocks": ("blocks",),
    "analytic": (),
    "block-exact": (),
}
"""Members that each capability asks for beyond those of every circuit."""
MAKERS = {"energy": "`from_energy`", "neurons": "`from_neurons`", "blocks": "`Chain`"}
SWEEPS, PUSHES = 60, ((0.0, 0.0), (0.03, 0.0), (-0.03, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))
"""Sweeps, under forces along two fixed directions of these sizes, relative to that of the constraint at the start."""
WAYS = (3, 4), (0, 3), (0, 4), (5, 6), (3, 5), (4, 6)
"""Pairs of pushes; a derivative is looked at between their states."""
TOLERANCE = 1e-6
"""Relative tolerance of what has to be equal."""
POINTS, ZOOMS = 33, 6
"""Points on a way between states, and how often the interval of the largest jump is divided into as many."""


@in_float64
def check_circuit(circuit: Circuit, parameters: Tree, x: ArrayLike) -> None:
    """Refuse a circuit whose members contradict each other or the words of its capabilities.

    What is checked: every capability's members are there; what is made of states has their shapes, the energy is a scalar, and
    ``with_output`` sets what ``output`` reads and nothing else; the residual is the energy's derivative, and so its Jacobian symmetric;
    a fixed point of ``relax`` solves C + force = 0, within the bounds that the circuit tells; ``triangular``: one sweep does;
    ``block-exact``: a sweep that one block alone is pushed in brings that block to its minimum; ``neurons``: C is
    ``s - fire(drive(s))``, `drive` affine and `fire` elementwise; ``analytic``: complex steps give the real derivative, which does not
    jump. Where parameters, states or what follows from them are not finite, nothing is said.

    Parameters
    ----------
    circuit
        As of `circuits`.
    parameters, x
        Typical ones, of one sample.

    Raises
    ------
    ValueError
        In one line, with the part that is wrong and the remedy.
    """
    for fault in faults(circuit, parameters, x):
        raise ValueError(f"{type(circuit).__name__}: {fault}")


@in_float64
def faults(circuit: Circuit, parameters: Tree, x: ArrayLike) -> Iterator[str]:
    """All that `check_circuit` finds, one after the other."""
    for word in sorted(circuit.capabilities):
        for member in MEMBERS[word]:
            if getattr(circuit, member, None) is None:
                made = f"make the circuit by {MAKERS[word]}, or " if word in MAKERS else ""
                yield f"capabilities: {word!r}, but there is no {member}; {made}leave out the word"
                return
    if fault := _misshapen(circuit, parameters, x):
        yield fault
        return
    reached, measured = _jit(lambda p, x: _measured(circuit, p, x))(parameters, x)
    if "analytic" in circuit.capabilities:
        measured |= _stepped(circuit, parameters, x, reached, circuit.start(parameters, x))
    for told in TOLD:
        yield from [fault for name, fault in told.items() if name in measured and _off(*measured[name])][:1]


TOLD = (
    {
        "output": "with_output: does not set what output reads, or sets other states, too; name the same units in both, as they are, "
        "and put what is made of them into the objective"
    },
    {"energy": "residual: not the derivative of the energy; derive it by `from_energy`, or mend one of both"},
    {
        "neurons": "capabilities: 'neurons', but residual is not s - fire(drive); make the circuit by `from_neurons`, "
        "or leave out the word",
        "affine": "drive: not affine in the states; put what bends into fire, or leave out 'neurons'",
        "elementwise": "fire: not elementwise; put what mixes into drive, or leave out 'neurons'",
    },
    {
        "triangular": "capabilities: 'triangular', but one sweep of relax does not solve it; leave out the word, or mend relax",
        "relax": "relax: a solution of C + force = 0 does not stay where it is; look at the sign of the force, and that it is used",
        "block-exact": "capabilities: 'block-exact', but relax does not bring a block to its minimum; leave out the word, or mend relax",
        "bounds": "relax: keeps states where C + force is not 0; tell the bounds by `from_energy(project=...)`, or mend relax",
    },
    {
        "complex": "capabilities: 'analytic', but a complex step does not give the real derivative, as with abs or conj; "
        "leave out the word",
        "jumps": "capabilities: 'analytic', but a derivative jumps between the states that it visits, as of max or clip; "
        "leave out the word",
    },
)
"""Mistakes told where two measured sides differ; of each group the first."""


def _jit(function: Callable) -> Callable:
    """Compiled in less time, as it runs once."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True})


def _off(found, wanted, scale) -> bool:
    """Return whether any entries differ by more than a share of the scale, as far as all three are finite."""
    found, wanted, scale = map(np.asarray, (found, wanted, scale))
    found, wanted, scale = np.broadcast_arrays(found, wanted, scale.reshape(scale.shape + (1,) * (found.ndim - scale.ndim)))
    known = np.isfinite(found) & np.isfinite(wanted) & np.isfinite(scale)
    return bool((np.abs(found - wanted)[known] > TOLERANCE * scale[known]).any())


def _flat(tree) -> jax.Array:
    return ravel_pytree(tree)[0]


def _size(*trees) -> jax.Array:
    return sum(jnp.max(jnp.abs(_flat(t)), initial=0.0) for t in trees)


def _like(tree, seed: int):
    """Fixed normal numbers, shaped like a pytree."""
    flat, shape = ravel_pytree(tree)
    return shape(jnp.asarray(np.random.default_rng(seed).normal(size=flat.shape)))


def _slope(circuit, parameters, s, x):
    """``dE/ds`` where there is an energy, else C: minus the force under which `s` is a solution."""
    if "energy" in circuit.capabilities:
        return gradient(lambda s: circuit.energy(parameters, s, x), s)
    return circuit.residual(parameters, s, x)


def _measured(circuit, parameters, x):
    """The states that sweeps reach, and by name two sides that have to be equal and their scale; on a leading axis per push."""
    start = circuit.start(parameters, x)
    size = _size(_slope(circuit, parameters, start, x))
    directions = [jax.tree.map(lambda v: (1 + jnp.where(jnp.isfinite(size), size, 0)) * v, _like(start, seed)) for seed in (0, 7)]

    def pushed(push):
        force = jax.tree.map(lambda v, w: push[0] * v + push[1] * w, *directions)
        s = _swept(circuit, parameters, x, start, force)
        found: dict = {}

        def equal(name: str, a, b, scale):
            found[name] = _flat(a), _flat(b), scale

        pull = jax.tree.map(jnp.negative, _slope(circuit, parameters, s, x))
        still = forced(circuit, parameters, s, x, pull)
        o = _like(circuit.output(s), 9)
        put = circuit.output(circuit.with_output(s, o)), circuit.with_output(s, circuit.output(s)), circuit.with_output(zeros(s), o)
        # forces enter by with_output, so it has to be the transpose of output: units as they are, no function of them
        equal("output", put, (o, s, jax.vjp(circuit.output, s)[1](o)[0]), 1 + _size(s, o))
        if "energy" in circuit.capabilities:
            equal("energy", still, zeros(s), 1 + _size(pull))
        if "triangular" in circuit.capabilities:
            equal("triangular", forced(circuit, parameters, s, x, force), zeros(s), 1 + _size(force, s))
        else:
            small = jax.tree.map(lambda v: 0.01 * v, _like(s, 1))
            moved, further = (circuit.relax(parameters, s, x, f) for f in (pull, add(pull, small)))
            rounding = 1e3 * np.finfo(float).eps * (1 + _size(s)) + _size(still)
            equal("relax", add(moved, s, -1.0), zeros(s), (1e-3 * _size(add(further, moved, -1.0)) + rounding) / TOLERANCE)
            equal("bounds", *_held(circuit, parameters, x, s, force))
        if "block-exact" in circuit.capabilities:
            equal("block-exact", *_blocks(circuit, parameters, x, s, pull))
        if "neurons" in circuit.capabilities:
            v, opposite = _like(s, 2), jax.tree.map(jnp.negative, s)
            a, b, middle = (circuit.drive(parameters, t, x) for t in (s, opposite, zeros(s)))
            equal("neurons", circuit.residual(parameters, s, x), add(s, circuit.fire(a), -1.0), 1 + _size(s, a))
            equal("affine", middle, jax.tree.map(lambda p, q: (p + q) / 2, a, b), 1 + _size(a, b))
            slopes = jax.jvp(circuit.fire, (a,), (jax.tree.map(jnp.ones_like, a),))[1]
            equal("elementwise", jax.jvp(circuit.fire, (a,), (v,))[1], jax.tree.map(jnp.multiply, slopes, v), 1 + _size(slopes))
        return s, found

    return jax.vmap(pushed)(jnp.array(PUSHES))


def _misshapen(circuit, parameters, x) -> str:
    """Return which member's shapes are not those of the states, or nothing."""

    def made(parameters, x):
        s = circuit.start(parameters, x)
        energy = circuit.energy(parameters, s, x) if "energy" in circuit.capabilities else jnp.zeros(())
        return s, energy, circuit.with_output(s, circuit.output(s))

    s, energy, put = jax.eval_shape(made, parameters, x)
    if jnp.shape(energy):
        return f"energy: gives shape {jnp.shape(energy)}, which has to be a scalar; sum over the units"
    wanted, found = (jax.tree.map(jnp.shape, t) for t in (s, put))
    if found != wanted:
        return (
            f"with_output: gives shapes {found}, states have {wanted}; make start give a tuple whose last entry is the output, "
            "or say where it is by output and with_output"
        )
    return ""


def _swept(circuit, parameters, x, start, force):
    """Return where sweeps under a force lead."""
    kind = jax.eval_shape(lambda s: circuit.relax(parameters, s, x, force), start)
    start = jax.tree.map(lambda v, w: v.astype(jnp.result_type(v, w)), start, kind)
    sweeps = 1 if "triangular" in circuit.capabilities else SWEEPS
    return jax.lax.fori_loop(0, sweeps, lambda _, s: circuit.relax(parameters, s, x, force), start)


def _held(circuit, parameters, x, s, force):
    """Return the part of C + force left where sweeps move nothing, under this force and a near one, beyond rounding; and its scale."""
    near = add(force, _like(s, 5))
    left = _flat(forced(circuit, parameters, s, x, force))
    moved = sum(jnp.abs(_flat(add(circuit.relax(parameters, s, x, f), s, -1.0))) for f in (force, near))
    held = (moved == 0) & _known(circuit, parameters, x, s, force, left)
    return jnp.where(held, left, 0.0), jnp.zeros_like(left), 1 + _size(force)


def _blocks(circuit, parameters, x, s, pull):
    """Return the part of C + force left in each leaf of the states after a sweep from rest that pushes that leaf alone; and its scale."""
    leaves, shape = jax.tree.flatten(s)
    pushes = jax.tree.leaves(_like(s, 6))
    left = []
    for k, push in enumerate(pushes):
        force = add(pull, shape.unflatten([push if i == k else jnp.zeros_like(v) for i, v in enumerate(leaves)]))
        swept = jax.tree.leaves(circuit.relax(parameters, s, x, force))[k]
        moved = shape.unflatten([swept if i == k else v for i, v in enumerate(leaves)])  # whatever order blocks are swept in
        rest = forced(circuit, parameters, moved, x, force)
        known = _known(circuit, parameters, x, moved, force, _flat(rest))
        left.append(_flat(jax.tree.leaves(ravel_pytree(rest)[1](jnp.where(known, _flat(rest), 0.0)))[k]))
    return jnp.concatenate(left), jnp.zeros(sum(v.size for v in left)), 1e-3 / TOLERANCE * (1 + _size(pull))  # energies round, too


def _known(circuit, parameters, x, s, force, left):
    """Return whether rounding of the states does not explain what is `left` of C + force, as it does in saturated units."""
    ulps = 8 * np.finfo(float).eps
    beside = [_flat(forced(circuit, parameters, jax.tree.map(lambda v, t=t: v * (1 + t), s), x, force)) for t in (-ulps, ulps)]
    rounding = sum(jnp.abs(b - left) for b in beside)
    return jnp.isfinite(rounding) & (jnp.abs(left) > 10 * rounding)


def _stepped(circuit, parameters, x, reached, start) -> dict:
    """Sides of what `analytic` says: complex steps against real derivatives, and how much derivatives jump on the ways between states."""
    # nine tenths of the way from the middle: functions with a pole at the bounds of their states are steep there, as a jump is;
    # the start belongs to the middle, for units that saturate under every force
    middle = jax.tree.map(lambda v, begin: jnp.concatenate([v, begin[None]]).mean(0), reached, start)
    reached = jax.tree.map(lambda v, m: m + 0.9 * (v - m), reached, middle)

    def at(i):
        return jax.tree.map(lambda v: v[i], reached)

    def steps(s):
        direction = _like(parameters, 3), _like(s, 4)
        real = _flat(jax.jvp(lambda p, s: circuit.residual(p, s, x), (parameters, s), direction)[1])

        def off(step):
            moved = jax.tree.map(lambda v, d: v + 1j * step * d, (parameters, s), direction)
            return jnp.abs(_flat(circuit.residual(*moved, x)).imag / step - real)

        # the smaller step is exact but where exponentials lose it, the larger one but where functions are steep
        return jnp.min(jax.vmap(off)(jnp.array([1e-8, 1e-30])), 0), jnp.zeros_like(real), 1e-3 / TOLERANCE * (1 + _size(real))

    try:
        found = _jit(jax.vmap(steps))(reached)
    except (TypeError, ValueError):  # JAX refuses complex numbers in what has no meaning for them
        return {"complex": (1.0, 0.0, 1.0)}

    def derivative(a, b, t):
        way = add(b, a, -1.0)
        return jnp.concatenate([_flat(v) for v in jax.jvp(lambda s: circuit.residual(parameters, s, x), (add(a, way, t),), (way,))])

    derivatives = _jit(jax.vmap(derivative, (None, None, 0)))
    jumps = [_jump(lambda t, a=a, b=b: np.asarray(derivatives(at(a), at(b), t))) for a, b in WAYS]
    if "neurons" in circuit.capabilities:  # of drives of either sign, whatever those that were met
        drive = jax.tree.map(lambda v: 3 * (1 + _size(circuit.drive(parameters, at(0), x))) * v, _like(at(0), 8))
        slopes = _jit(jax.vmap(lambda t: _flat(jax.jvp(circuit.fire, (jax.tree.map(lambda v: (2 * t - 1) * v, drive),), (drive,))[1])))
        jumps.append(_jump(lambda t: np.asarray(slopes(t))))
    return {"complex": found, "jumps": (np.array(jumps), 0.0, 1.0)}


def _jump(function: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return how much a function jumps between 0 and 1, relative to its size: what is left in the interval where it changes most."""
    low, high, before = 0.0, 1.0, []
    for _ in range(ZOOMS):
        at = np.linspace(low, high, POINTS)
        found = function(at)
        found = found[:, np.isfinite(found).all(0)]
        change = np.abs(np.diff(found, axis=0)).max(1, initial=0.0)
        i, largest = int(change.argmax()), float(change.max())
        before, low, high = [*before, largest], at[i], at[i + 1]
    shrinks = min(before[-3:]) < 0.99 * max(before[-3:])
    rounds = np.median(change) > 0.01 * largest  # noise is everywhere, a jump in one place
    return 0.0 if shrinks or rounds else largest / (1 + np.abs(found).max(initial=0.0))


SOUND: set = set()
"""Circuits that passed, so that each is checked once."""


def hashed(name: str, circuit: Circuit) -> None:
    """Refuse a circuit that has no hash; `name` begins the error."""
    try:
        hash(circuit)
    except TypeError:
        raise ValueError(
            f"{name}: {type(circuit).__name__} cannot be hashed, as compiling asks for; "
            "make it a frozen dataclass, or use `from_energy` or `from_residual`"
        ) from None


@in_float64
def once(name: str, circuit: Circuit, parameters: Tree, x: ArrayLike) -> None:
    """`check_circuit` the first time that a circuit of one's own is met with known numbers; `name` begins the error."""
    hashed(name, circuit)
    ours = type(circuit).__module__.startswith(__package__) and not isinstance(circuit, Own)  # tests hold these
    if ours or circuit in SOUND or any(isinstance(v, jax.core.Tracer) for v in jax.tree.leaves((parameters, x))):
        return
    try:
        check_circuit(circuit, parameters, x)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if len(SOUND) > 1000:  # circuits made in a loop must not fill the memory
        SOUND.clear()
    SOUND.add(circuit)
