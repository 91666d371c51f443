"""Reactive drivers and monitors of a chip's streams: one body for every simulator.

The drivers are the only part that reacts to the chip; the monitors write down what is on the wires in every cycle.
Nothing is compared here (see `sim.chip`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..recipe import Recipe

INPUTS = ("i_command", "i_sample", "i_label", "i_weight")
OUTPUTS = ("o_weight", "o_result")
STREAMS = INPUTS + OUTPUTS
STALLS = ("never", "random", "cycling", "long")
LEVELS = ("cycles", "step", "rate", "loss", "saturations_accumulator", "saturations_state", "saturations_delta", "saturations_weight")
LEVELS_EVERY = 64
"""Levels are looked at whenever `busy` falls, when the counters have come to rest after it, and every so many cycles."""
REST = 2
"""Cycles from where `busy` falls until the counters show all events (contract section 9)."""


@dataclass
class Record:
    """Record of the monitors.

    Attributes
    ----------
    handshakes : list of int
        Per cycle: bit 2 i is `valid`, bit 2 i + 1 `ready` of stream i of `STREAMS`, bit 12 `busy`.
    payloads : list of (cycle, stream, payload)
        Of every cycle with `valid`.
    levels : list of (cycle, name, value)
    writes : list of (cycle, layer, register, index, value)
        Inner writes, where they are watched.
    """

    handshakes: list = field(default_factory=list)
    payloads: list = field(default_factory=list)
    levels: list = field(default_factory=list)
    writes: list = field(default_factory=list)


def pauses(kind: str, seed: int) -> Iterator[bool]:
    """Endless sequence of pauses (True: stall in this cycle)."""
    if kind == "never":
        while True:
            yield False
    if kind == "random":
        rng = random.Random(seed)
        while True:
            yield rng.random() < 0.5
    cycling = [True, True, True, False, True, False, False]
    pattern = {"long": [True] * 24 + [False], "rare": [True] * 99 + [False]}.get(kind, cycling)
    while True:
        yield from pattern


def watched(recipe: Recipe) -> list[tuple[str, str, str, str, str]]:
    """Return (block, register, valid, index, value): the inner writes and what carries them."""
    engines = [f"engine{e}" for e in range(len(recipe.engine_lanes))]
    units = [f"unit{k}" for k in range(recipe.layers)]
    return [(e, "weight", f"{e}.weight_write", f"{e}.weight_address", f"{e}.weight_word") for e in engines] + [
        (u, register, f"{u}.{valid}", f"{u}.{index}", f"{u}.{value}")
        for u in units
        for register, valid, index, value in (
            ("drive", "drive_write", "drive_index", "drive_value"),
            ("mean", "mean_valid", "out_index", "mean"),
            ("difference", "difference_valid", "out_index", "difference"),
        )
    ]


async def play(bench, given: dict, wanted: dict, stalls: dict, watch: list, limit: int, seed: int = 1) -> Record:
    """Send all input payloads and take all outputs, then wait until the chip rests.

    Parameters
    ----------
    given : dict
        Input stream to list of payloads.
    wanted : dict
        Output stream to number of transfers to wait for.
    stalls : dict
        Stream to one of `STALLS`, or ``rare``: in one cycle of a hundred.
    watch : list
        From `watched`, or empty.
    limit : int
        Cycles after which to give up.

    Returns
    -------
    Record
    """
    record = Record()
    queues = {s: list(reversed(given[s])) for s in INPUTS}
    missing = dict(wanted)
    offering = dict.fromkeys(INPUTS, False)
    pausing = {s: pauses(stalls.get(s, "never"), seed * 16 + i) for i, s in enumerate(STREAMS)}
    before, cycle, rest, was_busy, fell = {}, 0, 0, False, -REST - 1

    def drive(port, value):
        if before.get(port) != value:
            bench.set(port, value)
            before[port] = value

    while rest < 8:
        for s in INPUTS:
            stalled = next(pausing[s])
            offering[s] = bool(queues[s]) and (offering[s] or not stalled)  # once offered, it stays
            drive(f"{s}__valid", int(offering[s]))
            if offering[s]:
                drive(f"{s}__payload", queues[s][-1])
        for s in OUTPUTS:
            drive(f"{s}__ready", int(not next(pausing[s])))
        await bench.settle()
        wires = 0
        for i, s in enumerate(STREAMS):
            valid = before[f"{s}__valid"] if s in offering else bench.get(f"{s}__valid")
            ready = bench.get(f"{s}__ready") if s in offering else before[f"{s}__ready"]
            wires |= valid << 2 * i | ready << 2 * i + 1
            if valid:
                record.payloads.append((cycle, s, before[f"{s}__payload"] if s in offering else bench.get(f"{s}__payload")))
            if valid and ready:
                if s in offering:
                    queues[s].pop()
                    offering[s] = False
                else:
                    missing[s] = missing.get(s, 0) - 1
        busy = bench.get("busy")
        record.handshakes.append(wires | busy << 12)
        if was_busy and not busy:
            fell = cycle
        if cycle in (fell, fell + REST) or cycle % LEVELS_EVERY == 0:
            record.levels += [(cycle, name, bench.get(name)) for name in LEVELS]
        was_busy = busy
        for block, register, valid, index, value in watch:
            if bench.get(valid):
                record.writes.append((cycle, block, register, bench.get(index), bench.get(value)))
        idle = not busy and not any(queues.values()) and all(n <= 0 for n in missing.values())
        rest = rest + 1 if idle else 0
        cycle += 1
        if cycle > limit:
            raise RuntimeError(
                f"the chip does not come to rest within {limit} cycles; left to send: "
                f"{ {s: len(q) for s, q in queues.items()} }, left to take: {missing}"
            )
        await bench.tick()
    return record
