"""Faults, one after the other, and who notices each.

``python -m crossdyad.sim.fault_runs [FILE.json] [--field models] [--seed 0] [--count 200] [--only WORD]`` puts one fault after the
other into a module of the field (`FIELDS`), shows it to what executes that function, the quick witnesses first, until one notices, and
prints which.
Each result is kept in FILE.json (default ``.build/faults-FIELD.json``) as soon as it is there: a run that was stopped goes on.

What each of the `witnesses` executes is recorded first. A new version of the sources wants a new file.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path

from . import witnesses
from .agreement import write
from .faults import FIELDS, Fault, Field, drawn, function_of, possible, reasons

ENOUGH = 150
"""Seconds of witnesses that a fault is shown to, the quick ones first: what these do not notice is missed."""


class Store:
    """File of what is known: what each witness executes, and who noticed which fault."""

    def __init__(self, path: Path):
        self.path = path
        kept = json.loads(path.read_text()) if path.exists() else {}
        self.witnesses = kept.get("witnesses", {})
        self.faults = kept.get("faults", {})

    def keep(self) -> None:
        """Write all of it."""
        write(self.path, {"witnesses": self.witnesses, "faults": self.faults})

    def record(self, field: Field) -> None:
        """Record what is not yet known about the witnesses of a field."""
        for found in witnesses.recorded(field, set(self.witnesses)):
            if found is None:
                return
            witness, functions, seconds, passed = found
            if not passed:
                raise SystemExit(f"{witness}: fails without any fault; mend it first")
            self.witnesses[witness] = {"seconds": seconds, "functions": functions}
            self.keep()
            print(f"{witness:80s} {len(functions):4d} functions {seconds:6.1f} s", flush=True)
        raise SystemExit("a witness takes too long without any fault, or its process died; run it on its own")

    def of(self, fault: Fault) -> list[str]:
        """Those that execute a fault's function, the quick ones first."""
        at = function_of(fault)
        seen = [w for w, known in self.witnesses.items() if any(f == at or at[-1] == ":" and f.startswith(at) for f in known["functions"])]
        ordered = sorted(seen, key=lambda w: self.witnesses[w]["seconds"])
        spent = itertools.accumulate(self.witnesses[w]["seconds"] for w in ordered)
        return [w for w, seconds in zip(ordered, spent, strict=True) if seconds <= ENOUGH] or ordered[:1]

    def seek(self, fault: Fault) -> str | None:
        """Who notices: a witness, or None."""
        return witnesses.noticed(fault, self.of(fault))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--field", choices=FIELDS, default="models")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--only", default="", help="only faults that have this word in their name")
    given = parser.parse_args()
    store = Store(given.file or Path(f".build/faults-{given.field}.json"))
    store.record(FIELDS[given.field])
    tried = [f for f in drawn(given.count, given.seed, given.field) if given.only in f.name]
    for f in tried:
        if f.name not in store.faults and not reasons(f):
            began = time.perf_counter()
            by = store.seek(f)
            store.faults[f.name] = {"noticed by": by, "seconds": round(time.perf_counter() - began, 1)}
            store.keep()
            print(f"{'noticed' if by else 'MISSED ':8s} {f.name}   {by or ''}", flush=True)
    equivalent = [f for f in tried if reasons(f)]
    missed = [f for f in tried if not reasons(f) and not store.faults[f.name]["noticed by"]]
    print(
        f"{len(tried)} of {len(possible(given.field))} possible faults tried, {len(equivalent)} equivalent, "
        f"{len(tried) - len(equivalent) - len(missed)} of the rest noticed, {len(missed)} missed"
    )
    for f in equivalent:
        print(f"  equivalent: {f.name}: {reasons(f)}")
    for f in missed:
        print(f"  missed: {f.name}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
