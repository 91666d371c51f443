"""Counting: what a computation asks of hardware, read off the program that JAX traces from it.

The program is played on one array per matrix, which multiplies one vector at a time: a read takes one tick, everything else none, and
each operation runs as soon as its operands are there. No number is computed; loops that end on a tolerance run a given number of times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
from jax import Array
from jax import numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jax.interpreters import partial_eval
from jax.typing import ArrayLike

from .counts import Count, Value, View
from .precision import in_float64


def marked(activation: Callable) -> Callable:
    """`activation` whose slope is seen in a program: evaluated by a function called `slope`. One that is marked stays as it is."""
    if getattr(activation, "marked", False):
        return activation

    @jax.custom_jvp
    def fire(a):
        return activation(a)

    def slope(a):
        return jax.jvp(activation, (a,), (jnp.ones_like(a),))[1]

    slope, fire.marked = jax.jit(slope), True
    fire.defjvp(lambda primals, tangents: (activation(*primals), slope(*primals) * tangents[0]))
    return fire


@in_float64
def count(
    function: Callable,
    matrices: Sequence,
    x: ArrayLike,
    y: ArrayLike | None = None,
    others: Sequence = (),
    key: Array | None = None,
    *,
    loops: int = 12,
    kernels: bool = False,
) -> Count:
    """Trace ``function(matrices, others, x, y, key)`` and count what it does.

    Parameters
    ----------
    matrices, others : pytrees of arrays
        Weights, shaped (outputs, inputs), and whatever else the rule reads: feedback, heads. Leaves with fewer axes are not counted.
    x, y : arrays
        The sample and its target.
    loops : int
        Turns of loops whose end depends on numbers.
    kernels : bool
        Whether matrices with more axes are kernels, shaped (outputs, inputs, ...); otherwise those are in front.
    """
    traced = jax.make_jaxpr(lambda *a: function(*a))(matrices, others, x, y, key)
    jaxpr, used = partial_eval.dce_jaxpr(traced.jaxpr, [True] * len(traced.jaxpr.outvars))
    counting = _Counting(Count(matrices=matrices, others=others), loops, [tuple(v.shape) for v in jax.tree.leaves((matrices, others))])
    given, number = [], 0
    for part, tree in enumerate((matrices, others, x, y, key)):
        for leaf in jax.tree.leaves(tree):
            if part < 2:
                more = [None] * (jnp.ndim(leaf) - 2)
                axes = ("o", "i", *more) if kernels else (*more, "o", "i")
                given.append(Value(view=View(number, axes) if jnp.ndim(leaf) > 1 else None, name=("matrix", number)))
                number += 1
            else:
                given.append(Value(chain=0 if part == 3 else -1, drawn=part == 4, target=part == 3, name=("given", part, len(given))))
    consts = [Value(constant=True, name=("const", i)) for i, _ in enumerate(traced.consts)]
    counting.count.results = counting.run(jaxpr, consts, [v for v, u in zip(given, used, strict=True) if u])
    return counting.count


ALIASES = frozenset(
    {
        "reshape",
        "squeeze",
        "expand_dims",
        "broadcast_in_dim",
        "transpose",
        "concatenate",
        "slice",
        "dynamic_slice",
        "convert_element_type",
        "copy",
        "copy_p",
        "rev",
        "stop_gradient",
        "gather",
        "real",
        "split",
    }
)
"""Operations that move numbers and compute none."""
STEPS = frozenset({"add", "sub", "add_any", "select_n", "max", "min", "clamp", "scatter", "dynamic_update_slice"})
"""Operations whose result, of a matrix and something else as large, is other weights in the place of it."""
LOOPS = frozenset({"scan", "while"})
COMPARED = frozenset({"lt", "gt", "le", "ge", "sign"})
SOLVES = frozenset({"lu", "cholesky", "qr", "eigh", "svd", "linear_solve"})
INNER = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "custom_lin": "jaxpr",
}
"""Operations that are programs: by name, where that is."""


@dataclass
class _Counting:
    count: Count
    loops: int
    shapes: list[tuple]
    known: dict = field(default_factory=dict)
    """Results of operations since the last turn of a loop: a circuit does not compute the same twice at once."""
    turns: int = 0
    moves: int = 0
    written: set[int] = field(default_factory=set)
    floor: int = 0
    """Tick before which no read starts: a turn of a loop begins when the one before has ended."""

    def run(self, jaxpr: Jaxpr, consts, given) -> list[Value]:
        known: dict[Any, Value] = dict(zip(jaxpr.constvars, consts, strict=True)) | dict(zip(jaxpr.invars, given, strict=True))

        def read(v) -> Value:
            return Value(constant=True, name=("number", str(v.val))) if isinstance(v, Literal) else known[v]

        for e in jaxpr.eqns:
            given = [read(v) for v in e.invars]
            name = (e.primitive.name, str(e.params), *(v.name for v in given)) if e.primitive.name not in LOOPS else object()
            if name not in self.known:
                made = self.equation(e, given)
                inner = e.primitive.name in INNER or e.primitive.name in LOOPS
                self.known[name] = made if inner else [replace(v, name=(len(self.known), i)) for i, v in enumerate(made)]
            known |= dict(zip(e.outvars, self.known[name], strict=True))
        return [read(v) for v in jaxpr.outvars]

    def equation(self, e, given: list[Value]) -> list[Value]:
        name = e.primitive.name
        if name == "scan":
            return self.scan(e, given)
        if name == "while":
            return self.loop(e, given)
        if name == "cond":
            return self.inner(e.params["branches"][-1], given[1:])
        if name in INNER:
            if e.params.get("name") == "slope":
                self.count.derivatives += _size(e.outvars[0])
            return self.inner(e.params[INNER[name]], given)
        self.count.solves += name in SOLVES
        if name == "random_bits":
            self.count.random += _size(e.outvars[0])
        if name == "dot_general":
            return [self.product(e, given)]
        if name == "conv_general_dilated":
            return [self.convolution(e, given)]
        ready = max((v.ready for v in given), default=0)
        chain = max((v.chain for v in given), default=-1)
        constant = all(v.constant for v in given)
        target = not constant and all(v.constant or v.target for v in given)
        drawn = not constant and not target and all(v.constant or v.drawn or v.target for v in given)
        self.read(given, ready)
        if name in ALIASES:
            words = tuple(w for v in given for w in v.words)
            return [Value(ready, chain, words, self.seen(e, given), constant, drawn, target) for _ in e.outvars]
        if not constant and name in ("mul", "div"):
            self.spread(e, given)
        return [self.made(o, ready, chain, self.stepped(e, given, o), constant, drawn, target) for o in e.outvars]

    def inner(self, program, given) -> list[Value]:
        if isinstance(program, ClosedJaxpr):
            return self.run(program.jaxpr, [Value(constant=True) for _ in program.consts], given)
        return self.run(program, [], given)

    def read(self, values, tick: int) -> None:
        for v in values:
            for w in v.words:
                self.count.held[w][2] = max(self.count.held[w][2], tick)

    def made(self, variable, ready: int, chain: int, view=None, constant=False, drawn=False, target=False) -> Value:
        """A new result; its words are kept where it is neither a number, nor known beforehand, nor weights or as large."""
        shape = tuple(variable.aval.shape)
        weights = any(shape[-len(s) :] == s or shape[-len(s) :] == s[::-1] for s in self.shapes if len(s) > 1)
        keys = jax.dtypes.issubdtype(variable.aval.dtype, jax.dtypes.extended)
        if constant or target or keys or view or weights and not drawn or _size(variable) < 2:
            return Value(ready, chain, (), view, constant, drawn, target)
        self.count.held.append([_size(variable), ready, ready, drawn])
        return Value(ready, chain, (len(self.count.held) - 1,), None, constant, drawn)

    # Matrices ---------------------------------------------------------------------------------------------------

    def seen(self, e, given) -> View | None:
        """A matrix after its numbers were moved; None where that mixes its axes."""
        view, name = given[0].view, e.primitive.name
        if view is None:
            return None
        shape, new = e.invars[0].aval.shape, e.outvars[0].aval.shape
        if name == "transpose":
            return view._replace(axes=tuple(view.axes[i] for i in e.params["permutation"]))
        if name == "broadcast_in_dim":
            axes: list = [None] * len(new)
            for i, j in enumerate(e.params["broadcast_dimensions"]):
                axes[j] = view.axes[i]
            return view._replace(axes=tuple(axes))
        if name == "squeeze":
            return view._replace(axes=tuple(a for i, a in enumerate(view.axes) if i not in e.params["dimensions"]))
        if name == "reshape" and tuple(n for n in shape if n > 1) == tuple(n for n in new if n > 1):
            left = iter([a for a, n in zip(view.axes, shape, strict=True) if n > 1])
            return view._replace(axes=tuple(next(left) if n > 1 else None for n in new))
        return view if shape == new or name in ("slice", "dynamic_slice", "gather") and len(shape) == len(new) else None

    def stepped(self, e, given, out) -> View | None:
        """The view of a matrix that an operation changes element by element."""
        found = [(v.view, i) for i, v in enumerate(given) if v.view is not None and e.invars[i].aval.ndim == out.aval.ndim]
        if not found or e.primitive.name in ("integer_pow", "square", "exp", "log", "tanh", "reduce_sum"):
            return None
        view, i = found[0]
        if e.primitive.name in COMPARED:
            return view._replace(signs=True)
        beside = [v for j, v in enumerate(given) if j != i and _size(e.invars[j]) > 1 and v.view is None]
        if e.primitive.name in STEPS and not view.signs and beside:
            self.moves += 1
            return view._replace(moved=self.moves)
        return view if e.primitive.name in STEPS | {"mul", "div", "neg"} else None

    def spread(self, e, given) -> None:
        """Count a number of the target's that multiplies a vector."""
        sizes = [_size(v) for v in e.invars]
        self.count.scalars += 1 in sizes and _size(e.outvars[0]) > 1 and given[sizes.index(1)].chain >= 0

    def product(self, e, given) -> Value:
        (ours, theirs), _ = e.params["dimension_numbers"]
        for one, other, axes, i in ((given[0], given[1], ours, 0), (given[1], given[0], theirs, 1)):
            if one.view and not (other.view and other.view.matrix < one.view.matrix):
                of = {one.view.axes[a] for a in axes}
                vectors = _size(e.outvars[0]) // max(
                    1, math.prod(n for n, a in zip(e.invars[i].aval.shape, one.view.axes, strict=True) if a and a not in of)
                )
                way = "transposed" if of == {"o"} else "forward"
                return self.multiplied(e, one.view, other, (_size(e.invars[i]), _size(e.invars[1 - i])), way, vectors)
        ready = max(v.ready for v in given)
        self.read(given, ready)
        self.spread(e, given)
        return self.made(e.outvars[0], ready, max(v.chain for v in given), None, all(v.constant for v in given))

    def convolution(self, e, given) -> Value:
        view = given[1].view
        if view is None:
            ready = max(v.ready for v in given)
            self.read(given, ready)
            return self.made(e.outvars[0], ready, max(v.chain for v in given))
        backwards = view.axes[e.params["dimension_numbers"].rhs_spec[0]] != "o"
        way = "transposed" if backwards else "forward"
        return self.multiplied(e, view, given[0], (_size(e.invars[1]), _size(e.invars[0])), way, 1)

    def multiplied(self, e, view: View, vector: Value, words: tuple[int, int], way: str, vectors: int) -> Value:
        """Read a matrix: it starts when the vector and the matrix are there, and takes a tick a vector.

        A product with what is known beforehand (states that start at zero) is none. Weights that were moved are written before.
        """
        count, k = self.count, view.matrix
        if vector.constant:
            return Value(constant=True)
        if view.moved and view.moved not in self.written:
            self.written.add(view.moved)
            count.moved += words[0]
        if view.signs:
            way = "signs"
        getattr(count, way)[k] += vectors
        count.messages += words[1]
        start = max(vector.ready, count.free[k], self.floor)
        count.started.setdefault(k, start)
        self.read([vector], start)
        count.free[k] = start + vectors
        count.busy[k] += vectors
        chain = vector.chain + 1 if vector.chain >= 0 else -1
        return self.made(e.outvars[0], start + vectors, chain)

    # Loops ------------------------------------------------------------------------------------------------------

    def scan(self, e, given) -> list[Value]:
        consts, carried, body, length = (e.params[k] for k in ("num_consts", "num_carry", "jaxpr", "length"))
        held, carry, rows = given[:consts], given[consts : consts + carried], given[consts + carried :]
        outside = self.known
        made: list[list[Value]] = []
        for i in range(length):
            at = [self.row(v, i, length) for v in rows]
            self.known = {}
            out = self.inner(body, [*held, *carry, *at])
            carry, stacked = out[:carried], out[carried:]
            made.append(stacked)
            self.turned(out)
        self.known = outside
        if e.params.get("reverse"):
            made.reverse()
        columns = zip(*made, strict=True) if made else [() for _ in e.outvars[carried:]]
        return self.named([*carry, *(_together(list(c)) for c in columns)])

    @staticmethod
    def row(v: Value, i: int, length: int) -> Value:
        words = (v.words[i],) if len(v.words) == length else v.words
        view = v.view and v.view._replace(axes=v.view.axes[1:])
        return replace(v, words=words, view=view, name=(v.name, "row", i))

    def loop(self, e, given) -> list[Value]:
        of_condition, of_body = e.params["cond_nconsts"], e.params["body_nconsts"]
        held, carry = given[of_condition : of_condition + of_body], given[of_condition + of_body :]
        outside = self.known
        for _ in range(self.loops):
            self.known = {}
            carry = self.inner(e.params["body_jaxpr"], [*held, *carry])
            self.turned(carry)
        self.known = outside
        return self.named(carry)

    def turned(self, results) -> None:
        self.floor = max([self.floor, *(v.ready for v in results)])

    def named(self, values) -> list[Value]:
        """The results of a loop, with names of their own."""
        self.turns += 1
        return [replace(v, name=("loop", self.turns, i)) for i, v in enumerate(values)]


def _together(values: list[Value]) -> Value:
    view = values[0].view if values else None
    return Value(
        max((v.ready for v in values), default=0),
        max((v.chain for v in values), default=-1),
        tuple(w for v in values for w in v.words),
        view and view._replace(axes=(None, *view.axes)),
        all(v.constant for v in values),
    )


def _size(variable) -> int:
    return math.prod(getattr(variable.aval, "shape", ()))
