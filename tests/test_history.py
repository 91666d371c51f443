"""The history of figures: each line says all of it, the page is drawn from the file, and nothing that was kept is edited."""

import datetime
import math
import re
from pathlib import Path

import pytest
from scripts import benchmark

ROOT = Path(__file__).parents[1]
FILE, PAGE = ROOT / "docs" / "history.jsonl", ROOT / "docs" / "history.md"


@pytest.fixture(scope="module")
def history():
    return benchmark("history")


def test_every_line_says_what_when_and_how(history):
    kept = history.records(FILE.read_text())
    assert kept == sorted(kept, key=lambda r: r.date)
    for r in kept:
        assert datetime.date.fromisoformat(r.date) and re.fullmatch(r"[0-9a-f]{7,}\+?", r.commit), r
        assert isinstance(r.value, int | float) and math.isfinite(r.value) and r.figure and r.of and r.unit, r
        command, word = r.command.rsplit(" ", 1)
        assert command == "python benchmarks/history.py" and word in history.MEASURES, r
    assert {r.command.rsplit(" ", 1)[1] for r in kept} >= {"cycles", "area", "cosim", "accuracy"}


def test_the_page_is_drawn_from_the_file(history):
    assert PAGE.read_text() == history.page(history.records(FILE.read_text())), "draw it: python benchmarks/history.py"


def test_what_is_kept_is_appended_and_what_was_before_is_shown(history, tmp_path, monkeypatch):
    file, values = tmp_path / "history.jsonl", iter((7, 7, 5, 5))
    monkeypatch.setitem(history.MEASURES, "cycles", lambda: iter([("cycles of a step", "one", next(values), "cycles")]))
    monkeypatch.setattr(history, "commit", lambda: "abcdef1")
    texts = []
    for _ in range(4):
        history.keep("cycles", file)
        texts.append(file.read_text())
        assert len(texts) < 2 or texts[-1].startswith(texts[-2])
    kept = history.records(texts[-1])
    assert [r.value for r in kept] == [7, 7, 5, 5]
    today = kept[-1].date
    assert f"| `one` | 5 cycles | abcdef1, {today} | 7 (abcdef1, {today}) |" in history.page(kept)
    assert f"| `one` | 7 cycles | abcdef1, {today} |  |" in history.page(kept[:2])
    assert history.drawing(kept).count("<svg") == 1


def test_cycles_are_those_of_the_compiled_programs(history):
    found = {of: value for _, of, value, _ in history.cycles()}
    assert found["digits (dual-propagation)"] == 358 and found["xor (dual-propagation)"] == 103 and len(found) > 20
