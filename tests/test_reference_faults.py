"""A broken reference is noticed: by the check of the very row whose method it is no longer, and wherever a fault was drawn."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import endings
import pytest

from crossdyad.sim import faults, witnesses

DRAWN = json.loads((Path(__file__).parent / "reference_faults.json").read_text())["faults"]
"""Faults that were drawn over models/, and who noticed each."""

CONTRAST, DYADS, CONTROL = (f"models/estimators/{m}.py" for m in ("contrast", "dyads", "control"))
SURROGATE = "weighted_energy(parameters, nudged, stencil, jax.lax.stop_gradient(states))"
RESPONSES = "output_responses(circuit_of_drives, parameters, x, free)"
FAULTS = {
    "Boltzmann bias dropped": (
        10,
        "models/energies.py",
        "-(s @ (w - jnp.diag(jnp.diag(w))) @ s) / 2 - b @ s",
        "-(s @ (w - jnp.diag(jnp.diag(w))) @ s) / 2",
    ),
    "no feedback from above": (12, "models/circuits.py", "drive + joined[k + 1].transposed(parameters[k + 1], s[k + 1])", "drive"),
    "surrogate twice as large": (52, CONTRAST, SURROGATE, f"2 * {SURROGATE}"),
    "surrogate of the other sign": (59, CONTRAST, SURROGATE, f"-{SURROGATE}"),
    "gain of the resistive net ignored": (9, "models/energies.py", "self.gain * jnp.concatenate([x, -x])", "jnp.concatenate([x, -x])"),
    "sources of one sign": (9, "models/energies.py", "self.gain * jnp.concatenate([x, -x])", "self.gain * jnp.concatenate([x, x])"),
    "mirror descent by plain sweeps": (
        78,
        "models/fixed_points.py",
        "add(u, problem.residual(jax.tree.map(activation, u)), -rate)",
        "jax.tree.map(inverse, problem.sweep(jax.tree.map(activation, u)))",
    ),
    "Anderson by plain sweeps": (80, "models/fixed_points.py", "weights @ after / jnp.sum(weights)", "new"),
    "alpha ignored": (88, DYADS, "dyad_circuit(circuit, objective, y, alpha, beta)", "dyad_circuit(circuit, objective, y, beta=beta)"),
    "strength ignored": (79, "models/updates.py", "strength * slopes[k]", "slopes[k]"),
    "proximity ignored": (79, "models/updates.py", "(v - v0) / proximity", "v - v0"),
    "leak of DFC ignored": (
        74,
        CONTROL,
        "controlled(circuit_of_drives, squared_error, target, q, leak)",
        "controlled(circuit_of_drives, squared_error, target, q)",
    ),
    "feedback of DFC ignored": (74, CONTROL, f"{RESPONSES} if feedback is None else feedback", RESPONSES),
    "direct targets as layered ones": (
        70,
        "models/estimators/targets.py",
        "(states[-1], change) if direct else (states[k + 1], changes[0])",
        "(states[k + 1], changes[0])",
    ),
    "matrices of DFA reversed": (
        24,
        "models/estimators/feedback.py",
        "zip(circuit.maps[:-1], matrices, strict=True)",
        "zip(circuit.maps[:-1], matrices[::-1], strict=True)",
    ),
    "SPSA sums its directions": (
        29,
        "models/estimators/probes.py",
        "jnp.tensordot(slopes, d, axes=1) / directions",
        "jnp.tensordot(slopes, d, axes=1)",
    ),
    "forward gradient sums its directions": (30, "models/estimators/probes.py", "g.mean(0)", "g.sum(0)"),
    "node perturbation sums its directions": (32, "models/estimators/probes.py", "g.mean(0)", "g.sum(0)"),
}
"""By name: the row, and what stands where instead of what."""

QUICK = ("Boltzmann bias dropped", "no feedback from above")


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in FAULTS])
def test_a_fault_is_noticed_by_its_row(name):
    row, *fault = FAULTS[name]
    assert witnesses.noticed(faults.named(*fault), [f"row {row}"]) == f"row {row}"


def test_without_a_change_nothing_is_noticed():
    same = "drive + joined[k + 1].transposed(parameters[k + 1], s[k + 1])"
    assert witnesses.noticed(faults.named("models/circuits.py", same, same), ["row 12"]) is None


def test_faults_are_of_every_kind_and_the_same_for_a_seed():
    drawn = faults.drawn(60, 3)
    assert drawn == faults.drawn(60, 3) != faults.drawn(60, 4)
    assert {f.kind for f in drawn} == {f.kind for f in faults.possible()}
    assert all(f.right != f.wrong for f in drawn)


def test_every_fault_that_can_be_named_compiles():
    for f in faults.drawn(300, 5):
        tree = witnesses._faulty(f)(f.module, ast.parse((faults.ROOT / f.module).read_text()))
        compile(ast.fix_missing_locations(tree), f.module, "exec")


def test_a_fault_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match="models/flow.py: 'no_such' is there 0 times"):
        faults.named("models/flow.py", "no_such", "other")


def test_reasons_are_given_for_faults_that_are_possible():
    every = [f for field in faults.FIELDS for f in faults.possible(field)]
    for module, right, wrong, why in faults.EQUIVALENT:
        held = [f for f in every if f.module == module and f.right in right and f.wrong in wrong]
        assert any(faults.reasons(f) == why for f in held), f"{module}: {right} -> {wrong}"


def test_every_drawn_fault_has_a_witness_or_a_reason():
    there = {name: fault for name in DRAWN if (fault := faults.again(name))}
    assert len(there) >= 120, "too many of what was drawn are gone; draw again"
    for name, fault in there.items():
        assert bool(DRAWN[name]) != bool(faults.reasons(fault)), name


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, witness in DRAWN.items() if witness])
def test_a_drawn_fault_is_still_noticed(name):
    fault = faults.again(name)
    if fault is None:
        pytest.skip("its text is gone")
    assert witnesses.noticed(fault, [DRAWN[name]])


# The processes in which faults are shown ------------------------------------------------------------------------


def test_a_process_that_dies_before_it_shows_a_fault_says_nothing(monkeypatch):
    fault = faults.drawn(1, 0)[0]
    monkeypatch.setattr(witnesses, "_try", endings.dies)
    with pytest.raises(RuntimeError, match="ended before its first witness began; run the command again"):
        witnesses.noticed(fault, ["row 12"])
    monkeypatch.setattr(witnesses, "_try", endings.dies_later)
    assert witnesses.noticed(fault, ["row 12"]) == "row 12"


PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
import endings
from crossdyad.sim import witnesses
for pid in witnesses._apart(endings.stays, None):
    print(pid, flush=True)
"""


def test_a_process_that_shows_a_fault_ends_with_its_parent():
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert _runs(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for _ in range(600):
        if not _runs(child):
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the child outlived its parent")


def _runs(pid: int) -> bool:
    """Return whether a process is there, and no zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
