"""A brute-force player of compiled programs, written from contract sections 3, 7 and 8 alone, a loop per slot and no arrays.

It goes through a program cycle by cycle, keeps for each element which operation wrote it, and finds what no comparison of emulator and
hardware can, since both play one table: an element of a wrong operation, a memory addressed for a read in the cycle of a write, two
elements at one place of a unit, two sums or two slots of one engine. Programs of samples that overlap are played over each other.
"""

from collections import defaultdict

from crossdyad.recipe import NOISE, SIGNS, SLOPE, Op


def engine_of(recipe, m):
    """Return the number and the lanes of the engine that holds a matrix."""
    if not recipe.engines:
        return m.layer, recipe.lanes[m.layer]
    for wanted in (m.name, f"W{m.layer}"):
        for e, placed in enumerate(recipe.engines):
            if wanted in placed.matrices:
                return e, placed.lanes
    raise AssertionError(m)


def accesses(recipe, step, start):
    """Yield (cycle, "read" or "write" or "slope", store, element) of one operation; of "slot", "sum", "entry", "drive", "dyad": whose."""
    m = next(m for m in recipe.matrices if m.name == step.matrix)
    R, D, (engine, L) = recipe.sizes[m.above], recipe.sizes[m.below], engine_of(recipe, m)
    F, T, lv, P, slot = -(-(D + recipe.bias) // L), -(-D // L), (L - 1).bit_length(), max(R, L), start + 7
    held, sums = {"memory": m.name, "signs": m.of}.get(m.source), []  # sums: (element, cycle in which it leaves the engine)
    if step.row == SLOPE:
        yield start, "slope", "loss", 0  # a level that stands still while the operation runs
    for i in range((T - 1) * P + R if step.op == Op.TRANSPOSED else R * F):
        yield slot + i, "slot", f"engine {engine}", 0
    if step.op == Op.TRANSPOSED:
        for f in range(T):
            for t in range(R):
                yield slot + f * P + t, "read", step.row, t
                if held:
                    yield slot + f * P + t, "read", f"words of {held}", t * F + f
            sums += [(f * L + lane, slot + f * P + R - 1 + 6 + lane) for lane in range(min(L, D - f * L))]
    else:
        for t in range(R):
            for f in range(F):
                c = slot + t * F + f
                if held:
                    yield c, "read", f"words of {held}", t * F + f
                if step.column and step.column not in (SIGNS, NOISE):
                    for lane in range(min(L, D - f * L)):
                        yield c, "read", step.column, f * L + lane
                if step.op == Op.UPDATE:
                    if step.row == SLOPE:
                        yield c + 2, "slope", "loss", 0
                    else:
                        yield c, "read", step.row, t
                if step.op in (Op.UPDATE, Op.PROBE):
                    yield c + 7, "write", f"words of {held}", t * F + f
            z = slot + t * F + F - 1 + 5 + lv
            sums.append((t, z))
            if step.op == Op.FORWARD:  # the sum over folds grows in the sum's register
                for earlier in range(1, F):
                    yield z - earlier, "sum", f"engine {engine}", 0
    if step.op not in (Op.FORWARD, Op.TRANSPOSED):
        return
    last, adds = step.unit == recipe.layers - 1, step.enter in ("more", "less", "relax", "gather")
    for e, z in sums:
        yield z, "sum", f"engine {engine}", 0
        yield z + 2, "entry", f"unit {step.unit}", 0
        if step.enter != "drive":
            yield z, "read", f"drive {step.unit}", e
        if step.enter in ("relax", "gather"):
            yield z, "read", f"feedback {step.unit}", e
        drive = z + 2 + adds
        yield drive, "drive", f"unit {step.unit}", 0
        if step.force or step.loss in ("set", "subtract"):
            yield drive, "read", "the label", 0
        if step.keep_drive:
            yield drive, "write", f"drive {step.unit}", e
        if step.keep_feedback:
            yield drive, "write", f"feedback {step.unit}", e
        dyad = drive + (4 if last else 0) + (step.force == "drive")
        yield dyad, "dyad", f"unit {step.unit}", 0
        yield dyad + 5, "leaves", f"unit {step.unit}", 0
        if step.result:
            yield dyad + 5, "result", "", e
        for store in (step.mean, step.difference):
            if store:
                yield dyad + 5, "write", store, e
        if step.loss != "keep":
            yield drive + 4, "error", "loss", e  # into the sum; seen a cycle later


def faults(recipe, program, steps, samples=1, slots=None):
    """Return what goes wrong when a program is played; `steps` are the rule's, in its order.

    With several samples each starts an interval after the one before; `slots` says in how many slots of a store they take turns. Each
    read must find all its words as the samples before have left them, but for as many of these as its instruction is behind.
    """
    slots, flight = dict(slots or {}), recipe.samples_in_flight
    if flight > 1:  # the unit keeps a label for each
        slots["the label"] = flight
    slots = {f"drive {v.split()[-1]}" if v.startswith("drive of unit") else v: count for v, count in slots.items()}
    steps = list(steps)
    waiting, starts, lags, found = list(program.instructions), {}, {}, []
    for n, step in enumerate(steps):  # the k-th of equal steps is the k-th of equal instructions
        match = next((i for i in waiting if i.step == step), None)
        if match is None:
            return [f"no instruction for {step}"]
        waiting.remove(match)
        starts[n], lags[n] = match.cycle, match.lag
    if waiting:
        found.append(f"{len(waiting)} instructions that no step asks for")

    plays, behind, results = [], [], []
    for q in range(samples):
        begins = q * program.interval
        if samples > 1:
            # a launch takes the label in the cycle before; the sample comes as soon as it may, from cycle 9 of the one before on
            free = begins - program.interval + 9 if q else -recipe.sizes[0]
            behind += [0, 0]
            plays += [[(begins - 1, "write", "the label", 0)], [(free + e, "write", "input0", e) for e in range(recipe.sizes[0])]]
        for n, step in enumerate(steps):
            plays.append(list(accesses(recipe, step, begins + starts[n])))
            behind.append(min(lags[n], q))
            results += [(q, cycle) for cycle, kind, _, _ in plays[-1] if kind == "result"]
        plays[-len(steps) - 2 * (samples > 1) :] = [
            [(cycle, kind, f"{v} in slot {q % slots[v]}" if v in slots else v, e) for cycle, kind, v, e in play]
            for play in plays[-len(steps) - 2 * (samples > 1) :]
        ]
    if samples > 1:
        every = sorted(q * program.interval + c for q in range(samples) for c in starts.values())
        if min(b - a for a, b in zip(every, every[1:], strict=False)) < 2 or min(c % program.interval for c in starts.values()) < 2:
            found.append("operations start too close to one another, or in the first cycles of an interval")
        if program.length > flight * program.interval:
            found.append("more samples are under way than turns")
        if [q for q, _ in sorted(results, key=lambda r: r[1])] != sorted(q for q, _ in results):
            found.append("a sample's results come before those of the one before it")

    # who should be found by each read: the last writer before it in the rule's order
    writer, expected, timeline = defaultdict(list), {}, defaultdict(list)
    for n, here in enumerate(plays):
        for _, kind, vector, e in here:
            if kind in ("read", "slope"):
                made = writer[vector, e if kind == "read" else "whole"]
                late = 1 + behind[n] * vector.startswith("words of")
                expected[n, vector, e] = made[-late] if late <= len(made) else None
        for cycle, kind, vector, e in here:
            timeline[cycle].append((kind, vector, e, n))
        for _, kind, vector, e in here:
            if kind == "write":
                writer[vector, e].append(n)
            if kind == "error":  # the loss is whole with its last element
                writer[vector, "whole"].append((n, e))
    holds, loss_then = {}, {}
    for cycle in sorted(timeline):
        now = timeline[cycle]
        writes = [(v, e) for kind, v, e, _ in now if kind == "write"]
        if len(set(writes)) < len(writes):
            found.append(f"cycle {cycle}: one element is written twice")
        for place in ("slot", "sum", "entry", "drive", "dyad"):
            at = [v for kind, v, _, _ in now if kind == place]
            if len(set(at)) < len(at):
                found.append(f"cycle {cycle}: two elements at one {place}")
        for kind, v, e, n in now:
            if kind == "read":
                there, right = holds.get((v, e)), expected[n, v, e]
                if there != right:
                    found.append(f"cycle {cycle}: step {n} reads {v}[{e}] of step {there}, not {right}")
                if (v, e) in writes and not v.startswith("the label"):  # a register
                    found.append(f"cycle {cycle}: {v}[{e}] is read while it is written")
            if kind == "slope":  # two registers between the loss and the slope
                shown = [who for when, who in loss_then.items() if when < cycle - 2]
                if (shown[-1] if shown else None) != expected[n, v, e]:
                    found.append(f"cycle {cycle}: step {n} takes the slope of another loss")
        for kind, v, e, n in now:
            if kind == "write":
                holds[v, e] = n
            if kind == "error":
                loss_then[cycle] = n, e
    last = max(timeline) - (samples - 1) * program.interval
    if program.length != last + 1:
        found.append(f"length {program.length}, but the last write is in cycle {last}")
    return found
