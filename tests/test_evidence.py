"""The long runs, and that they keep what they have."""

import json
from pathlib import Path
from typing import get_args

import pytest

from crossdyad.recipe import RULES, Rounding, load
from crossdyad.sim import evidence


def test_results_are_kept_and_not_made_again(tmp_path, monkeypatch):
    made = []
    row = {"cycles": 1, "bits": 1, "mismatches": 0, "never exercised": []}
    monkeypatch.setattr(evidence, "block", lambda case: made.append(1) or row)
    monkeypatch.setattr(evidence, "blocks", lambda: [("one", lambda: None), ("two", lambda: None)])
    path = tmp_path / "evidence.json"
    assert len(evidence.collect(path, "block")) == 2
    evidence.collect(path, "block")
    assert len(made) == 2
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sources": "of another time"}))
    evidence.collect(path, "block one")
    assert len(made) == 3


def test_every_rule_is_played_as_it_is_and_in_every_rounding(tmp_path, monkeypatch):
    asked = []

    def chip(recipe, simulator, samples):
        asked.append((recipe, simulator))
        return {"samples": samples, "cycles": 1, "bits": 1, "mismatches": 0, "never exercised": []}

    monkeypatch.setattr(evidence, "chip", chip)
    path = tmp_path / "evidence.json"
    evidence.collect(path, "rule verilator: as it is, spsa", 5)
    assert {row["samples"] for row in evidence.collect(path, "rule verilator: as it is, spsa").values()} == {200}
    asked.clear()
    path.unlink()
    assert len(evidence.collect(path, "rule ")) == len(asked)
    learning = set(RULES) - {"inference"}
    played = {simulator: [r for r, by in asked if by == simulator] for simulator in ("verilator", "icarus")}
    assert sorted(r.rule for r in played["icarus"]) == sorted(learning)
    assert all(load(r.name) == r for r in played["icarus"])
    uniform = {(r.rule, *modes) for r in played["verilator"] if len(modes := set(r.rounding.model_dump().values())) == 1}
    assert uniform == {(rule, mode) for rule in learning for mode in get_args(Rounding)}
    assert {r.rule for r in played["verilator"] if r in played["icarus"]} == learning


@pytest.mark.slow
def test_all_evidence_agrees():
    results = evidence.collect(Path(".build/evidence.json"))
    assert not [name for name, row in results.items() if row["mismatches"] or row["never exercised"]]


def test_every_blocks_vectors_can_be_made(monkeypatch):
    """Few of them; the long run has a million."""
    monkeypatch.setattr(evidence, "VECTORS", 50)
    monkeypatch.setattr(evidence, "ROUNDS", 2)
    for name, make in evidence.blocks():
        if not name.startswith("fixed"):
            assert make().stimulus, name
