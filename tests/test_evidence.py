"""The long runs, and that they keep what they have."""

import json
from pathlib import Path

import pytest

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
