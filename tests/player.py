"""A brute-force player of compiled programs, written from contract sections 3, 5, 7 and 8 alone, a loop per slot and no arrays.

It goes through a program cycle by cycle, keeps for each element which operation wrote it, and finds what no comparison of emulator and
hardware can, since both play one table: an element of a wrong operation, a memory addressed for a read in the cycle of a write, two
elements at one dyad.
"""

from collections import defaultdict

from crossdyad.recipe import Op, Operand, rules


def accesses(recipe, step, start):
    """Yield (cycle, "read" or "write", vector, element) of one operation; of "slot", "sum" and "dyad", the layer and no element."""
    k, op, operand = step
    R, C, L = recipe.sizes[k + 1], recipe.sizes[k], recipe.lanes[k]
    F, lv, last = -(-C // L), L.bit_length() - 1, k == recipe.layers - 1
    P, slot = max(R, L), start + 7
    for i in range(F * P if op == Op.TRANSPOSED else R * F):
        yield slot + i, "slot", k, 0
    if op == Op.TRANSPOSED:
        for f in range(F):
            for t in range(R):
                yield slot + f * P + t, "read", f"error{k}", t
                yield slot + f * P + t, "read", f"weights{k}", t * F + f
            for lane in range(min(L, C - f * L)):
                z, j = slot + f * P + R - 1 + 6 + lane, f * L + lane
                yield z, "sum", k, 0
                yield z + 2, "read", f"drive{k - 1}", j            # feedback, received in v = z + 2
                yield z + 4, "dyad", k - 1, 0
                yield z + 9, "write", f"input{k}", j
                yield z + 9, "write", f"error{k - 1}", j
        return
    for t in range(R):
        for f in range(F):
            c = slot + t * F + f
            yield c, "read", f"weights{k}", t * F + f
            if op == Op.FORWARD or operand == Operand.DELTA:
                for lane in range(min(L, C - f * L)):
                    yield c, "read", f"input{k}", f * L + lane
            if operand == Operand.DELTA:
                yield c, "read", f"error{k}", t
            if operand == Operand.SLOPE:
                yield c + 2, "slope", "loss", 0
            if op in (Op.UPDATE, Op.PROBE):
                yield c + 7, "write", f"weights{k}", t * F + f
        if op == Op.FORWARD:
            z = slot + t * F + F - 1 + 5 + lv
            yield z, "sum", k, 0
            yield (z + 6 if last else z + 2), "dyad", k, 0
            if not last:
                yield z + 2, "write", f"drive{k}", t
            yield (z + 11 if last else z + 7), "write", f"input{k + 1}", t
            if operand == Operand.NUDGE:
                yield z + 11, "write", f"error{k}", t
            if last:
                yield z + 6, "write", "loss", 0                    # seen from z + 7 on


def faults(recipe, program, steps=None):
    """What goes wrong when a program is played; `steps` are the rule's, in its order."""
    steps = list(steps or map(rules.Step._make, rules.rule(program.name)(recipe)))
    waiting, starts, found = list(program.instructions), {}, []
    for n, step in enumerate(steps):              # the k-th of equal steps is the k-th of equal instructions
        match = next((i for i in waiting if (i.layer, i.op, i.operand) == tuple(step)), None)
        if match is None:
            return [f"no instruction for {step}"]
        waiting.remove(match)
        starts[n] = match.cycle
    if waiting:
        found.append(f"{len(waiting)} instructions that no step asks for")

    # who should be found by each read: the last writer before it in the rule's order
    writer, expected, timeline = {}, {}, defaultdict(list)
    for n, step in enumerate(steps):
        here = list(accesses(recipe, step, starts[n]))
        for _, kind, vector, e in here:
            if kind in ("read", "slope"):
                expected[n, vector, e] = writer.get((vector, e))
        for cycle, kind, vector, e in here:
            timeline[cycle].append((kind, vector, e, n))
        for _, kind, vector, e in here:
            if kind == "write":
                writer[vector, e] = n
    holds, loss_then = {}, {}
    for cycle in sorted(timeline):
        now = timeline[cycle]
        writes = [(v, e) for kind, v, e, _ in now if kind == "write" and v != "loss"]
        if len(set(writes)) < len(writes):
            found.append(f"cycle {cycle}: one element is written twice")
        for place in ("slot", "sum", "dyad"):
            at = [v for kind, v, _, _ in now if kind == place]
            if len(set(at)) < len(at):
                found.append(f"cycle {cycle}: two elements at one {place}")
        for kind, v, e, n in now:
            if kind == "read":
                there, right = holds.get((v, e)), expected[n, v, e]
                if there != right:
                    found.append(f"cycle {cycle}: step {n} ({steps[n]}) reads {v}[{e}] of step {there}, not {right}")
                if (v, e) in writes:
                    found.append(f"cycle {cycle}: {v}[{e}] is read while it is written")
            if kind == "slope":                    # two registers between the loss and the slope
                shown = [who for when, who in loss_then.items() if when < cycle - 2]
                if (shown[-1] if shown else None) != expected[n, v, e]:
                    found.append(f"cycle {cycle}: step {n} takes the slope of another loss")
        for kind, v, e, n in now:
            if kind == "write":
                holds[v, e] = n
                if v == "loss":
                    loss_then[cycle] = n
    last = max(timeline)
    if program.length != last + 1:
        found.append(f"length {program.length}, but the last write is in cycle {last}")
    return found
