"""Schedules: in which order, and with which weights, blocks of a chain do their work (section 2.3; rows 44 to 50).

A schedule is a sequence of `Event`s, made by a function of the numbers of blocks and samples alone; it touches no
mathematics. `play` carries it out on blocks of any kind (`estimators.chains.Block`, say). A sample may be a
micro-batch: whatever the blocks take.

============ ===========================================================================================
phase        what the block does
============ ===========================================================================================
``forward``  from its input, its output
``inverse``  from its output, its input
``backward`` from its input and the force on its output, its gradient and the force on the block below
``update``   a new version of its weights from the gradients since the last one; takes no tick of its own
``discard``  nothing: its input is forgotten (of the number after the last block: the output)
============ ===========================================================================================
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
from jax import Array
from jax.typing import ArrayLike

from .functions import add
from .kinds import Objective, Tree
from .precision import in_float64

if TYPE_CHECKING:
    from .estimators.chains import Block


class Event(NamedTuple):
    """One block does one thing to one sample, with one version of its weights (0 is the first)."""

    tick: int
    block: int
    phase: str
    sample: int
    version: int


# Orders of work: per block, what it does in turn --------------------------------------------------------------


def flushed_order(blocks: int, samples: int) -> list[list]:
    """All forwards, then all backwards."""
    return [[(phase, m) for phase in ("forward", "backward") for m in range(samples)]] * blocks


def alternating_order(blocks: int, samples: int) -> list[list]:
    """Return the order of each block: as many forwards as there are blocks from here up, then a backward and a forward in turn."""
    orders = []
    for ahead in range(blocks, 0, -1):
        forwards = [("forward", m) for m in range(samples)]
        order = forwards[:ahead]
        for m in range(samples):
            order += [("backward", m), *forwards[ahead + m : ahead + m + 1]]
        orders.append(order)
    return orders


def single_order(blocks: int, samples: int) -> list[list]:
    """One sample after the other."""
    return [[(phase, m) for m in range(samples) for phase in ("forward", "backward")]] * blocks


def in_ticks(orders: list[list]) -> Iterator[tuple]:
    """``(tick, block, phase, sample)``: every block goes on as soon as its neighbour is done, one thing a tick."""
    waiting, done, tick = [list(o) for o in orders], set(), 0
    while any(waiting):
        now = []
        for k, work in enumerate(waiting):
            if work:
                phase, m = work[0]
                neighbour = k - 1 if phase == "forward" else k + 1
                if not 0 <= neighbour < len(orders) or (neighbour, phase, m) in done:
                    now.append((k, phase, m))
        if not now:
            raise ValueError("orders: the blocks wait for one another; let samples come in one order everywhere")
        for k, phase, m in now:
            waiting[k].pop(0)
            yield tick, k, phase, m
        done.update(now)
        tick += 1


def scheduled(orders: list[list], every: int, version: Callable, stashed: bool = True) -> list[Event]:
    """The events of orders of work, with weight versions, updates and what need no longer be kept.

    Parameters
    ----------
    every : int
        Backwards of a block between its updates.
    version : callable
        ``version(latest, sample)``: the version that a forward works with, of those up to the latest.
    stashed : bool
        Whether a backward works with the version of its forward, or with the latest (row 50).
    """
    events, latest, finished, used = [], Counter(), Counter(), {}
    for tick, k, phase, m in in_ticks(orders):
        if phase == "forward":
            used[k, m] = version(latest[k], m)
        events.append(Event(tick, k, phase, m, used[k, m] if stashed or phase == "forward" else latest[k]))
        if phase == "forward" and k == len(orders) - 1:
            events.append(Event(tick, k + 1, "discard", m, 0))
        if phase == "backward":
            events.append(Event(tick, k, "discard", m, 0))
            finished[k] += 1
            if finished[k] % every == 0:
                latest[k] += 1
                events.append(Event(tick, k, "update", m, latest[k]))
    return events


def newest(latest: int, sample: int) -> int:
    """The latest version."""
    return latest


# Schedules ----------------------------------------------------------------------------------------------------


def sequential(blocks: int, samples: int, every: int | None = None, delay: int = 0) -> list[Event]:
    """One sample after the other.

    Parameters
    ----------
    every : int
        Samples between updates; by default all of them, a single update.
    delay : int
        Updates between the weights that the states are computed with and those of the error signal: unmitigated
        staleness (row 50).
    """
    return scheduled(single_order(blocks, samples), every or samples, lambda latest, m: max(0, latest - delay), stashed=not delay)


def gpipe(blocks: int, samples: int) -> list[Event]:
    """GPipe: all samples forward, all backward, one update (row 46). Idle is ``(K - 1) / (M + K - 1)`` of the time."""
    return scheduled(flushed_order(blocks, samples), samples, newest)


def dapple(blocks: int, samples: int) -> list[Event]:
    """DAPPLE: GPipe's update, but backwards as early as can be, so block k keeps ``K - k`` samples instead of M (row 47)."""
    return scheduled(alternating_order(blocks, samples), samples, newest)


def one_forward_one_backward(blocks: int, samples: int, stashed: bool = True) -> list[Event]:
    """PipeDream's 1F1B: forward and backward in turn, an update after every backward (row 48).

    Block k makes ``K - 1 - k`` updates between a sample's forward and its backward.

    Parameters
    ----------
    stashed : bool
        Backward with the weights of its forward, which takes ``K - k`` versions; or with the latest, unmitigated (row 50).
    """
    return scheduled(alternating_order(blocks, samples), 1, newest, stashed)


def double_buffered(blocks: int, samples: int, every: int) -> list[Event]:
    """PipeDream-2BW: an update every so many samples, two versions: ``W_(t+1) = W_t - rate g(W_(t-1))`` (row 49).

    Parameters
    ----------
    every : int
        Samples between updates, at least as many as blocks: then version t - 1 is there in time everywhere.
    """
    if every < blocks:
        raise ValueError(f"every: {every}; with {blocks} blocks at least {blocks} samples have to pass between updates")
    return scheduled(alternating_order(blocks, samples), every, lambda latest, m: max(0, m // every - 1))


def checkpointed(blocks: int, samples: int, segment: int | None = None) -> list[Event]:
    """Activation checkpointing: keep the input of every so manieth block, compute the others again (row 44).

    Parameters
    ----------
    segment : int
        Blocks from one kept input to the next; ``ceil(sqrt(blocks))`` by default, which keeps at most
        ``2 sqrt(blocks) + 1`` states at a time for one forward sweep more.
    """
    segment = segment or math.isqrt(blocks - 1) + 1
    starts = range(0, blocks, segment)

    def work():
        for m in range(samples):
            for k in range(blocks):
                yield "forward", k, m
                if k % segment and k < starts[-1]:
                    yield "discard", k, m
            yield "discard", blocks, m
            for start in reversed(starts):
                end = min(start + segment, blocks)
                if start < starts[-1]:
                    for k in range(start, end - 1):
                        yield "forward", k, m
                for k in reversed(range(start, end)):
                    yield "backward", k, m
                    yield "discard", k, m

    return one_at_a_time(work(), blocks, samples)


def reversible(blocks: int, samples: int) -> list[Event]:
    """Reversible recompute: nothing is kept but the output, inputs follow from outputs on the way back (row 45)."""

    def work():
        for m in range(samples):
            for k in range(blocks):
                yield "forward", k, m
                yield "discard", k, m
            for k in reversed(range(blocks)):
                yield "inverse", k, m
                yield "discard", k + 1, m
                yield "backward", k, m
            yield "discard", 0, m

    return one_at_a_time(work(), blocks, samples)


def one_at_a_time(work: Iterable, blocks: int, samples: int) -> list[Event]:
    """A tick for each ``(phase, block, sample)``, and one update in the end."""
    events, tick = [], -1
    for phase, k, m in work:
        tick += phase != "discard"
        events.append(Event(tick, k, phase, m, 0))
    return events + [Event(tick, k, "update", samples - 1, 1) for k in range(blocks)]


# What can be read off the events alone ------------------------------------------------------------------------


def ticks(events: list[Event]) -> int:
    """Ticks that a schedule takes."""
    return 1 + max(e.tick for e in events)


def idle(events: list[Event]) -> float:
    """The bubble: the share of ticks in which a block does nothing, over all blocks."""
    busy = Counter(e.block for e in events if e.phase in ("forward", "inverse", "backward"))
    return 1 - busy.total() / (len(busy) * ticks(events))


def states_kept(events: list[Event]) -> int:
    """The most states, inputs of blocks and the output, that are kept at a time, over all blocks and samples."""
    kept, most = set(), 0
    for e in events:
        if e.phase == "forward":
            kept |= {(e.block, e.sample), (e.block + 1, e.sample)}
        elif e.phase == "inverse":
            kept.add((e.block, e.sample))
        elif e.phase == "discard":
            kept.remove((e.block, e.sample))
        most = max(most, len(kept))
    return most


def in_flight(events: list[Event]) -> dict[int, int]:
    """Block to the most samples that it has seen forward and not yet backward: the activations that it keeps."""
    now, most = Counter(), Counter()
    for e in events:
        now[e.block] += (e.phase == "forward") - (e.phase == "backward")
        most[e.block] = max(most[e.block], now[e.block])
    return {k: n for k, n in sorted(most.items()) if n}


def staleness(events: list[Event]) -> dict[tuple[int, int], int]:
    """(block, sample) to how many versions the block's weights are ahead, at a backward, of those of its forward."""
    latest, used, found = Counter(), {}, {}
    for e in events:
        if e.phase == "forward":
            used[e.block, e.sample] = e.version
        elif e.phase == "backward":
            found[e.block, e.sample] = latest[e.block] - used[e.block, e.sample]
        elif e.phase == "update":
            latest[e.block] = e.version
    return found


def versions_kept(events: list[Event]) -> dict[int, int]:
    """Block to the most versions of its weights that it needs at a time: those to come into use again, and the latest."""
    last = {(e.block, e.version): i for i, e in enumerate(events) if e.phase in ("forward", "backward", "inverse")}
    latest, most = Counter(), Counter()
    for i, e in enumerate(events):
        if e.phase == "update":
            latest[e.block] = e.version
        if e.phase != "discard":
            needed = sum(v == latest[e.block] or last.get((e.block, v), -1) >= i for v in range(latest[e.block] + 1))
            most[e.block] = max(most[e.block], needed)
    return dict(sorted(most.items()))


# Playing ------------------------------------------------------------------------------------------------------


class Functions(NamedTuple):
    """A block as functions: ``forward(parameters, u)``, ``backward(parameters, u, force, key)`` and ``inverse(parameters, o)``."""

    forward: Callable
    backward: Callable
    inverse: Callable | None = None


def compiled(block: Block) -> Functions:
    """A block's functions, compiled; to be made once, for blocks of one kind and for all plays."""
    made = {name: in_float64(jax.jit(getattr(block, name))) for name in Functions._fields if hasattr(block, name)}
    return Functions(**made)


@in_float64
@partial(jax.jit, static_argnums=0)
def slope(objective: Objective, output: Array, y: ArrayLike) -> Array:
    """The force on the output: the objective's gradient by it."""
    return jax.grad(objective)(output, y)


class Played(NamedTuple):
    """Results of a schedule.

    Attributes
    ----------
    gradients : dict
        (block, sample) to the gradient of the block's parameters.
    versions : list of lists
        Per block, every version of its parameters.
    """

    gradients: dict
    versions: list[list]

    def total(self, block: int) -> Tree:
        """The sum of a block's gradients over all samples, in their order."""
        first, *others = (self.gradients[key] for key in sorted(self.gradients) if key[0] == block)
        for g in others:
            first = add(first, g)
        return first


@in_float64
def play(
    events: Iterable[Event],
    blocks: Sequence,
    objective: Objective,
    parameters: Sequence[Tree],
    xs: Sequence[ArrayLike],
    ys: Sequence[ArrayLike],
    update: Callable | None = None,
    key: Array | None = None,
) -> Played:
    """Carry out a schedule.

    Parameters
    ----------
    blocks : sequence
        Of `Functions`, or of anything with such members.
    parameters : sequence of pytrees
        One per block.
    xs, ys : sequences
        Samples, or micro-batches; the gradient of each is by its own ``objective(output, y)``.
    update : callable
        ``update(parameters, gradient) -> parameters`` of a block, from the sum of gradients since its last one; without
        it versions are all the same.
    key : jax.random key, optional
        For rules that draw: each sample's and block's draws are its own, whatever the order.
    """
    update = update or (lambda p, g: p)
    versions: list[list] = [[p] for p in parameters]
    states: dict[tuple, Any] = {}
    forces, gradients, pending = {}, {}, {}
    for _, k, phase, m, version in events:
        p = versions[k][version] if phase not in ("discard", "update") else None
        if phase == "forward":
            states[k, m] = xs[m] if k == 0 else states[k, m]
            states[k + 1, m] = blocks[k].forward(p, states[k, m])
            if k == len(blocks) - 1:
                forces[k, m] = slope(objective, states[k + 1, m], ys[m])
        elif phase == "inverse":
            states[k, m] = blocks[k].inverse(p, states[k + 1, m])
        elif phase == "backward":
            own = None if key is None else jax.random.fold_in(jax.random.fold_in(key, m), k)
            g, below = blocks[k].backward(p, states[k, m], forces.pop((k, m)), own)
            forces[k - 1, m] = below
            gradients[k, m] = g
            pending[k] = add(pending[k], g) if k in pending else g
        elif phase == "update":
            versions[k].append(update(versions[k][-1], pending.pop(k)))
        else:
            del states[k, m]
    return Played(gradients, versions)
