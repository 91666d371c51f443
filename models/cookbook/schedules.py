"""Rows 44 to 50: schedules of blocks in a chain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from ..circuits import Feedforward
from ..estimators.chains import Batches, Block
from ..estimators.implicit import cost
from ..functions import add
from ..invertible import Coupling
from ..kinds import Tree
from ..objectives import squared_error
from ..schedules import (
    Event,
    Functions,
    Played,
    checkpointed,
    compiled,
    dapple,
    double_buffered,
    gpipe,
    idle,
    in_flight,
    one_forward_one_backward,
    play,
    reversible,
    sequential,
    staleness,
    states_kept,
    ticks,
    versions_kept,
)
from .findings import Finding, above, below, equal, identical, relative_error, slope, within
from .implicit import ADJOINT
from .row import row

BLOCKS, SAMPLES, UNITS = 4, 8, 5
PARTS = {"circuit": "blocks in a chain", "estimator": "any in each block"}


class Pipeline(NamedTuple):
    """Blocks of a layer each, their weights, micro-batches of two, and the gradient of the whole net by one micro-batch."""

    blocks: list
    weights: list
    xs: jax.Array
    ys: jax.Array
    exact: Functions

    def play(self, events: Iterable[Event], rate: float = 0.1) -> Played:
        """Play a schedule with gradient descent."""
        return play(events, self.blocks, squared_error, self.weights, self.xs, self.ys, lambda p, g: add(p, g, -rate))


def pipeline(seed: int, blocks: int = BLOCKS, samples: int = SAMPLES, integers: bool = False) -> Pipeline:
    """Tanh layers; with `integers` linear ones of small whole numbers, which float64 does not round in any order."""
    rng = np.random.default_rng(seed)
    shapes = (blocks, UNITS, UNITS), (samples, 2, UNITS), (samples, 2, UNITS)
    w, xs, ys = (jnp.asarray(rng.integers(-3, 4, s).astype(float) if integers else rng.normal(size=s)) for s in shapes)
    weights = [(v if integers else v / np.sqrt(UNITS),) for v in w]
    f = (lambda a: a) if integers else jnp.tanh
    net = Feedforward((UNITS,) * (blocks + 1), f, f)

    @jax.jit
    @jax.grad
    def exact(weights, x, y):
        return jax.vmap(lambda x, y: cost(net, squared_error, [w for (w,) in weights], x, y))(x, y).sum()

    layer = compiled(Batches(Block(Feedforward((UNITS, UNITS), f, f), ADJOINT)))
    return Pipeline([layer] * blocks, weights, xs, ys, exact)


def totals(played: Played) -> list:
    """Every block's gradient, summed over all samples."""
    return [played.total(k) for k in range(len(played.versions))]


def on_own_weights(p: Pipeline, events: Iterable[Event], played: Played, sample: int) -> tuple[list, Tree]:
    """The gradient of a sample as played, and the exact one for the weights that each block's forward had."""
    used = {e.block: e.version for e in events if e.phase == "forward" and e.sample == sample}
    blocks = range(len(p.blocks))
    exact = p.exact([played.versions[k][used[k]] for k in blocks], p.xs[sample], p.ys[sample])
    return [played.gradients[k, sample] for k in blocks], exact


@row(44, "Activation checkpointing", "2.3", schedule="forward, then segments forward again and back", **PARTS)
def checkpointing_law(seed: int) -> Iterator[Finding]:
    """Bit for bit the gradient with all states kept, with about twice the square root of the states and less than one sweep more."""
    for blocks in (9, 16, 30):
        events = checkpointed(blocks, 1)
        yield within(f"{blocks} blocks: states kept by the usual order", states_kept(sequential(blocks, 1)), blocks + 1, 0)
        yield below("with checkpoints", states_kept(events), 2 * np.sqrt(blocks) + 1 + 1e-9)
        yield below("forwards, over those of one sweep", sum(e.phase == "forward" for e in events) / blocks, 2)
    p = pipeline(seed, 16, 1)
    found, usual = (totals(p.play(schedule(16, 1))) for schedule in (checkpointed, sequential))
    yield identical("gradient, against that with all states kept", found, usual)
    yield equal("and against the whole net's", found, p.exact(p.weights, p.xs[0], p.ys[0]))


@row(
    45,
    "Reversible recomputation",
    "2.3, Eq. 7, erratum E4",
    circuit="reversible blocks in a chain",
    schedule="forward, then inverse and back, block by block",
)
def reversible_law(seed: int) -> Iterator[Finding]:
    """Two states are kept, whatever the depth; the gradient is that with all kept, bit for bit in fixed point."""
    blocks, grid = 50, 2.0**-12
    rng = np.random.default_rng(seed)
    weights = list(rng.normal(size=(blocks, 2, 6, 6)) / np.sqrt(6))
    x, y = np.round(rng.normal(size=(2, 12)) / grid) * grid
    yield within(f"{blocks} blocks: states kept by the usual order", states_kept(sequential(blocks, 1)), blocks + 1, 0)
    yield within("by inverses", states_kept(reversible(blocks, 1)), 2, 0)

    def gradients(coupling):
        block = compiled(coupling)
        return [
            totals(play(schedule(blocks, 1), [block] * blocks, squared_error, weights, [x], [y])) for schedule in (reversible, sequential)
        ]

    yield identical("fixed point: gradient, against that with all states kept", *gradients(Coupling(grid)))
    yield equal("floats", *gradients(Coupling()))
    yield above("both halves reading the old state, as printed: error", relative_error(*gradients(Coupling(printed=True))), 0.1)


@row(46, "GPipe", "2.3", schedule="all micro-batches forward, all back, one update", **PARTS)
def gpipe_law(seed: int) -> Iterator[Finding]:
    """The gradient of the full batch, the same bits where nothing is rounded; idle for ``(K - 1) / (M + K - 1)`` of the time."""
    for blocks, samples in ((BLOCKS, SAMPLES), (3, 12), (BLOCKS, 1)):
        yield within(
            f"{blocks} blocks, {samples} micro-batches: idle", idle(gpipe(blocks, samples)), (blocks - 1) / (samples + blocks - 1), 1e-15
        )
    events = gpipe(BLOCKS, SAMPLES)
    for integers, agree in ((True, identical), (False, equal)):
        p = pipeline(seed, integers=integers)
        played = p.play(events)
        full = p.exact(p.weights, *(v.reshape(-1, UNITS) for v in (p.xs, p.ys)))
        yield agree(f"{'integers' if integers else 'floats'}: gradient, against the full batch's", totals(played), full)
    yield equal("the one update", [v[-1] for v in played.versions], add(p.weights, full, -0.1))
    unflushed = totals(p.play(one_forward_one_backward(BLOCKS, SAMPLES)))
    yield above("without a flush (row 48): gradient off by", relative_error(unflushed, full), 1e-2)


@row(47, "DAPPLE", "2.3", schedule="back as early as can be, one update", **PARTS)
def dapple_law(seed: int) -> Iterator[Finding]:
    """GPipe's gradient, bit for bit, in GPipe's time, with ``K - k`` micro-batches kept at block k, however many there are."""
    p, late, early = pipeline(seed), gpipe(BLOCKS, SAMPLES), dapple(BLOCKS, SAMPLES)
    yield identical("gradient, against GPipe's", *(totals(p.play(events)) for events in (early, late)))
    yield within("ticks, against GPipe's", ticks(early), ticks(late), 0)
    for samples in (SAMPLES, 40):
        kept = list(in_flight(dapple(BLOCKS, samples)).values())
        yield identical(f"{samples} micro-batches: kept at blocks 0 to {BLOCKS - 1}: 4, 3, 2, 1", kept, [BLOCKS - k for k in range(BLOCKS)])
    yield within("GPipe keeps at every block", min(in_flight(late).values()), SAMPLES, 0)


@row(48, "PipeDream: 1F1B with weight stashing", "2.3", schedule="forward and back in turn, an update after each", **PARTS)
def stashing_law(seed: int) -> Iterator[Finding]:
    """Every gradient is exact for the weights of its forward, ``K - 1 - k`` updates old, of which ``K - k`` versions are kept."""
    p, events = pipeline(seed), one_forward_one_backward(BLOCKS, SAMPLES)
    yield within("ticks", ticks(events), 2 * SAMPLES + 2 * (BLOCKS - 1), 0)
    yield identical("versions kept at blocks 0 to 3: 4, 3, 2, 1", list(versions_kept(events).values()), [BLOCKS - k for k in range(BLOCKS)])
    late = staleness(events)
    yield identical(
        "updates between forward and backward: 3, 2, 1, 0, as soon as there were so many",
        [late[k, m] for k in range(BLOCKS) for m in range(SAMPLES)],
        [min(m, BLOCKS - 1 - k) for k in range(BLOCKS) for m in range(SAMPLES)],
    )
    played = p.play(events)
    errors = [relative_error(*on_own_weights(p, events, played, m)) for m in range(SAMPLES)]
    yield below("gradients, against the exact ones for the old weights", max(errors), 1e-12)
    last, _ = on_own_weights(p, events, played, SAMPLES - 1)
    latest = p.exact([v[-2] for v in played.versions], p.xs[-1], p.ys[-1])
    yield above("the last one, against that for the latest weights", relative_error(last, latest), 1e-3)
    unstashed = one_forward_one_backward(BLOCKS, SAMPLES, stashed=False)
    yield above("without stashing: off by", relative_error(*on_own_weights(p, unstashed, p.play(unstashed), SAMPLES - 1)), 1e-3)


@row(49, "PipeDream-2BW", "2.3", schedule="forward and back in turn, two versions of the weights", **PARTS)
def double_buffered_law(seed: int) -> Iterator[Finding]:
    """``W_(t+1) = W_t - rate g(W_(t-1))``: one update late in every block, with two versions of the weights."""
    every, batches, rate = BLOCKS, 4, 0.05
    p, events = pipeline(seed, samples=every * batches), double_buffered(BLOCKS, every * batches, every)
    yield identical("versions kept, at every block: 2", list(versions_kept(events).values()), [2] * BLOCKS)
    yield within("ticks, no flush between batches", ticks(events), 2 * every * batches + 2 * (BLOCKS - 1), 0)

    def descent(delay):
        weights = [p.weights]
        for t in range(batches):
            at = slice(t * every, (t + 1) * every)
            g = p.exact(weights[max(0, t - delay)], *(v[at].reshape(-1, UNITS) for v in (p.xs, p.ys)))
            weights.append(add(weights[-1], g, -rate))
        return weights[-1]

    found = [v[-1] for v in p.play(events, rate).versions]
    yield equal("weights after four updates, against the recursion", found, descent(1))
    yield above("against descent without a delay", relative_error(found, descent(0)), 1e-3)


@row(50, "Unmitigated staleness", "2.3", schedule="back with newer weights than forward", **PARTS)
def stale_law(seed: int) -> Iterator[Finding]:
    """A bias linear in the rate and in the delay; none in the last block of 1F1B, which is not late."""
    p = pipeline(seed, samples=9)
    repeated = p._replace(xs=jnp.stack([p.xs[0]] * 9), ys=jnp.stack([p.ys[0]] * 9))

    def bias(p, events, rate):
        found, exact = on_own_weights(p, events, p.play(events, rate), len(p.xs) - 1)
        return add(found, exact, -1.0)

    alternating = one_forward_one_backward(BLOCKS, 9, stashed=False)
    exact = p.exact(p.weights, p.xs[-1], p.ys[-1])
    yield slope("1F1B without stashing, in the rate", lambda rate: add(exact, bias(p, alternating, rate)), exact, 1, 0.01)
    last, first = (np.linalg.norm(bias(p, alternating, 0.01)[k][0]) for k in (-1, 0))
    yield below("its last block: bias", last, 1e-13)
    yield above("its first block: bias", first, 1e-3)
    yield slope(
        "one sample again and again, in the delay",
        lambda delay: add(exact, bias(repeated, sequential(BLOCKS, 9, 1, int(delay)), 1e-4)),
        exact,
        1,
        8,
    )
    yield below("without a delay: bias", np.linalg.norm(bias(p, sequential(BLOCKS, 9, 1), 0.01)[0][0]), 1e-13)
