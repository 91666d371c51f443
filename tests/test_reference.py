"""What docs/reference.md shows runs, and its errors say what it says they do."""

from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser


@pytest.mark.slow
def test_the_page_runs_from_top_to_bottom(capsys):
    page = Path(__file__).resolve().parent.parent / "docs" / "reference.md"
    for example in Sybil([PythonCodeBlockParser()]).parse(page).examples():
        example.evaluate()
    said = capsys.readouterr().out
    assert "row 52 (EP, centered) needs what Equilibrium lacks: 'energy'" in said and "row 88" in said
    assert "row 21 (adjoint): Equilibrium has no fixed point, or none was found: residual" in said and "sweeps" in said
    assert "own system, in beta: slope of the error: 2." in said or "own system, in beta: slope of the error: 1.9" in said
    assert "'epoch': 2" in said
