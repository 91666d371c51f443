"""Times of a schedule, if blocks and the ways between them take times of their own (rows 44 to 50)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from .schedules import Event


def timed(events: list[Event], times: Mapping[str, float | Sequence[float]], transfer: float = 0.0) -> list[tuple[float, float]]:
    """Return when each event begins and ends, if phases take times of their own and what goes from block to block takes `transfer`.

    Every block does its work in the schedule's order, each thing as soon as the block is free and what the neighbour sends is there.

    Parameters
    ----------
    times : mapping
        Phase to a time, or to one per block; what has none takes none.
    transfer : float
        From one block to the next, either way.
    """

    def takes(phase, k):
        t = times.get(phase, 0.0)
        return t[k] if isinstance(t, Sequence) else t

    free, there, found = Counter(), {}, []
    for e in events:
        if e.phase in ("discard", "update"):
            found.append((free[e.block], free[e.block]))
            continue
        sender = e.block - 1 if e.phase == "forward" else e.block + 1
        begin = max(free[e.block], there.get((sender, e.phase == "forward", e.sample), 0.0))
        free[e.block] = begin + takes(e.phase, e.block)
        if e.phase != "inverse":
            there[e.block, e.phase == "forward", e.sample] = free[e.block] + transfer
        found.append((begin, free[e.block]))
    return found


def waiting(events: list[Event], times: Mapping[str, float | Sequence[float]], transfer: float = 0.0) -> dict[int, float]:
    """Block to the share of the schedule's time (`timed`) in which it does nothing."""
    found = timed(events, times, transfer)
    whole, busy = max(end for _, end in found), Counter()
    for e, (begin, end) in zip(events, found, strict=True):
        if e.phase in ("forward", "inverse", "backward"):
            busy[e.block] += end - begin
    return {k: 1 - b / whole for k, b in sorted(busy.items())}
