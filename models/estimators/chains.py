"""Chains: every block a circuit with an estimator of its own, error signals handed down from block to block (rows 16, 85, 86).

A block answers two questions: its output, ``forward(parameters, u)``, and, with a force on that output, the gradients of
``force . output`` by its parameters and by its input, ``backward(parameters, u, force)``. Any estimator answers the
second: the input is made a parameter like the others. `schedules` plays such blocks in any order.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from ..circuits import Feedforward, forced
from ..functions import identity
from ..kinds import Circuit, Objective, Tree
from ..operators import Dense
from ..own import Own, from_energy
from ..precision import in_float64
from ..solvers import Problem, newton, relaxation
from .estimator import Estimator, Unsuitable, refuse


def drawn(circuit: Circuit, key: Array) -> Tree:
    """The circuit's random parameters, or an error that asks for them."""
    if not hasattr(circuit, "random_parameters"):
        raise ValueError(f"parameters: {type(circuit).__name__} draws none of its own; give those to begin with")
    return circuit.random_parameters(key)


@in_float64
@dataclass(frozen=True)
class Chain:
    """Circuits in a row, the output of each the input of the next: a circuit itself (P2, Eq. 3; row 16).

    It has no energy, even if every block has one: a block does not feel the next one, so the Jacobian is triangular in
    blocks. States and parameters are tuples, an entry per block.

    Parameters
    ----------
    blocks : tuple of circuits
        The first one's input is the chain's.
    """

    blocks: tuple

    capabilities = frozenset({"blocks"})

    def random_parameters(self, key: Array) -> tuple:
        """Every block's own."""
        return tuple(drawn(b, k) for b, k in zip(self.blocks, jax.random.split(key, len(self.blocks)), strict=True))

    def inputs(self, s: Tree, x: ArrayLike) -> tuple:
        """Return what each block is given."""
        return (x, *(b.output(v) for b, v in zip(self.blocks[:-1], s[:-1], strict=True)))

    def start(self, parameters: Tree, x: ArrayLike) -> Tree:
        """Every block's own."""
        s, u = [], x
        for b, p in zip(self.blocks, parameters, strict=True):
            s.append(b.start(p, u))
            u = b.output(s[-1])
        return tuple(s)

    def residual(self, parameters: Tree, s: Tree, x: ArrayLike) -> Tree:
        """Every block's own, given the output of the one below."""
        return tuple(b.residual(p, v, u) for b, p, v, u in zip(self.blocks, parameters, s, self.inputs(s, x), strict=True))

    def forced(self, parameters: Tree, s: Tree, x: ArrayLike, force: Tree) -> Tree:
        """Every block's own under its part of the force."""
        blocks = zip(self.blocks, parameters, s, self.inputs(s, x), force, strict=True)
        return tuple(forced(b, p, v, u, f) for b, p, v, u, f in blocks)

    def relax(self, parameters: Tree, s: Tree, x: ArrayLike, force: Tree) -> Tree:
        """One sweep of every block, from the input up."""
        new, u = [], x
        for b, p, v, f in zip(self.blocks, parameters, s, force, strict=True):
            new.append(b.relax(p, v, u, f))
            u = b.output(new[-1])
        return tuple(new)

    def output(self, s: Tree) -> Array:
        """The last block's."""
        return self.blocks[-1].output(s[-1])

    def with_output(self, s: Tree, o: Array) -> Tree:
        """The last block with another output."""
        return (*s[:-1], self.blocks[-1].with_output(s[-1], o))


def relaxed(chain: Chain, sweeps: int = 200) -> Own:
    """A chain relaxed at each of its levels: the energy ``sum_k E_k(s_k, u_k) - min E_k(., u_k)``, u_k what block k is given (P3; row 4).

    It is never negative and zero in the chain's own states, so that of a contrast of nudged states (51 to 53) the nudged ones remain.
    Of layers it is the lifted net (15); a block may be such a circuit itself.

    Parameters
    ----------
    chain : Chain
        Of blocks with energies.
    sweeps : int
        Of each block to its least energy, differentiated through.
    """
    if missing := [k for k, b in enumerate(chain.blocks) if "energy" not in b.capabilities]:
        raise Unsuitable(
            f"row 4 (relaxed constraints): block {missing[0]} has no energy; use blocks with one, or predictive coding (row 68)"
        )
    solver = relaxation(sweeps)

    def energy(parameters, s, x):
        total = 0.0
        for b, p, v, u in zip(chain.blocks, parameters, s, chain.inputs(s, x), strict=True):
            least = solver(Problem(b, p, u)).states
            total = total + b.energy(p, v, u) - b.energy(p, least, u)
        return total

    def start(parameters, x):
        s, u = [], x
        for b, p in zip(chain.blocks, parameters, strict=True):
            s.append(solver(Problem(b, p, u)).states)
            u = b.output(s[-1])
        return tuple(s)

    return from_energy(energy, start, output=chain.output, with_output=chain.with_output)


@in_float64
@dataclass(frozen=True)
class OpenChain(Feedforward):
    """Layers whose input is the weights of one layer more below, linear and fed by a constant one: still a chain of layers."""

    closed: Any = None

    def neuron(self, k: int) -> Callable:
        """The identity, then the layers' own."""
        return self.closed.neuron(k - 1) if k else identity


@in_float64
@dataclass(frozen=True)
class OpenCircuit:
    """A circuit whose parameters are the pair (parameters, input), and whose own input is nothing."""

    closed: Any

    @property
    def capabilities(self) -> frozenset[str]:
        """Those that do not speak of layers."""
        return self.closed.capabilities - {"chain", "triangular"}

    def output(self, s: Tree) -> Array:
        return self.closed.output(s)

    def with_output(self, s: Tree, o: Array) -> Tree:
        return self.closed.with_output(s, o)

    def fire(self, drive: Tree) -> Tree:
        return self.closed.fire(drive)

    def start(self, parameters: Tree, x: None) -> Tree:
        return self.closed.start(*parameters)

    def residual(self, parameters: Tree, s: Tree, x: None) -> Tree:
        return self.closed.residual(parameters[0], s, parameters[1])

    def forced(self, parameters: Tree, s: Tree, x: None, force: Tree) -> Tree:
        return forced(self.closed, parameters[0], s, parameters[1], force)

    def relax(self, parameters: Tree, s: Tree, x: None, force: Tree) -> Tree:
        return self.closed.relax(parameters[0], s, parameters[1], force)

    def energy(self, parameters: Tree, s: Tree, x: None) -> Array:
        return self.closed.energy(parameters[0], s, parameters[1])

    def drive(self, parameters: Tree, s: Tree, x: None) -> Tree:
        return self.closed.drive(parameters[0], s, parameters[1])


def work(output: Array, force: Array) -> Array:
    """``force . output``: the objective of a block, whose derivative by the output is the force on it."""
    return jnp.sum(force * output)


@in_float64
@dataclass(frozen=True)
class Block:
    """A circuit and how its gradients are had.

    Parameters
    ----------
    circuit
        Of `circuits`.
    rule : Estimator
        Of a gradient of the objective itself (target ``dJ``); its settings, a `solver` among them, are used.
    """

    circuit: Any
    rule: Estimator

    def __post_init__(self):
        if self.rule.target != "dJ":
            raise Unsuitable(
                f"row {self.rule.row} ({self.rule.name}) estimates {self.rule.target}, which a block below cannot "
                "learn from; use a rule for dJ, such as 29, 52 or 57"
            )

    def forward(self, parameters: Tree, u: ArrayLike) -> Array:
        """The output, free of any force."""
        default = relaxation(1) if "triangular" in self.circuit.capabilities else newton()
        solver = self.rule.settings.get("solver", default)
        return self.circuit.output(solver(Problem(self.circuit, parameters, u)).states)

    def backward(self, parameters: Tree, u: ArrayLike, force: ArrayLike, key: Array | None = None) -> tuple[Tree, Array]:
        """Gradients of ``force . output`` by the parameters and by the input.

        With an energy that depends on the input as on a layer, ``delta_u = -W_in^T (s_beta - s_-beta) / 2 beta`` (row 85).

        Parameters
        ----------
        force : array like the output
            The gradient of the cost by it: the error signal of the block above, or the objective's own.
        key : jax.random key, optional
            For rules that draw.
        """
        keys = {"key": key} if "key" in inspect.signature(self.rule.estimate).parameters else {}
        if "chain" in self.circuit.capabilities:
            opened = OpenChain((Dense(1, u.shape), *self.circuit.maps), closed=self.circuit)
            below, *g = self.rule(opened, work, (u.reshape(-1, 1), *parameters), jnp.ones(1), force, **keys)
            return tuple(g), below.reshape(u.shape)
        return self.rule(OpenCircuit(self.circuit), work, (parameters, u), None, force, **keys)


@in_float64
@dataclass(frozen=True)
class Batches:
    """A block of one sample as one of micro-batches: samples along the leading axis, gradients are sums over it."""

    block: Any

    def forward(self, parameters: Tree, u: ArrayLike) -> Array:
        """Every sample's output."""
        return jax.vmap(self.block.forward, (None, 0))(parameters, u)

    def backward(self, parameters: Tree, u: ArrayLike, force: ArrayLike, key: Array | None = None) -> tuple[Tree, Array]:
        """The sum of gradients by the parameters, and every sample's by its input."""
        keys, axis = (None, None) if key is None else (jax.random.split(key, len(u)), 0)
        g, below = jax.vmap(self.block.backward, (None, 0, 0, axis))(parameters, u, force, keys)
        return jax.tree.map(lambda v: v.sum(0), g), below


@in_float64
def chain_gradient(
    chain: Chain, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, rules: Sequence[Estimator], key: Array | None = None
) -> tuple:
    """The gradient of a chain of blocks, each by a rule of its own: forward once, then the forces down (rows 85 and 86).

    Parameters
    ----------
    rules : sequence of Estimator
        One per block.
    key : jax.random key, optional
        For rules that draw.
    """
    if len(rules) != len(chain.blocks):
        raise ValueError(f"rules: {len(rules)}, blocks: {len(chain.blocks)}; give a rule for each block, from the input up")
    for k, (b, rule) in enumerate(zip(chain.blocks, rules, strict=True)):
        refuse(f"block {k}: {rule.called}", rule.requires, OpenChain(b.sizes, closed=b) if "chain" in b.capabilities else OpenCircuit(b))
    blocks = [Block(b, rule) for b, rule in zip(chain.blocks, rules, strict=True)]
    passed = [x]
    for block, p in zip(blocks, parameters, strict=True):
        passed.append(block.forward(p, passed[-1]))
    force, gradients = jax.grad(objective)(passed[-1], y), []
    for k in reversed(range(len(blocks))):
        own = None if key is None else jax.random.fold_in(key, k)
        g, force = blocks[k].backward(parameters[k], passed[k], force, own)
        gradients.insert(0, g)
    return tuple(gradients)
