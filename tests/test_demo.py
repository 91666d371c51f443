"""The demo: what its page shows, and that the build beside it begins first and never outlives it."""

import json
import os
import re
import time
from concurrent.futures import Future
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossdyad import cli, hdl
from crossdyad.cli.calls import CALLS
from crossdyad.cli.options import dump
from crossdyad.explore import demo
from crossdyad.recipe import load
from crossdyad.sim import simulators

BUILT = {"device": "a device", "fmax": {"min": 90.0, "median": 90.0, "max": 90.0}, "utilisation": {"LUT": {"used": 5, "available": 9}}}


@pytest.fixture(autouse=True)
def short(tmp_path, monkeypatch):
    """A recipe of two epochs, in Amaranth's simulator."""
    monkeypatch.chdir(tmp_path)
    recipe = load("xor")
    Path("short.toml").write_text(recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": 2})}).to_toml())
    monkeypatch.setattr(simulators, "missing", lambda simulator: None if simulator == "amaranth" else f"no {simulator}")


def call():
    return CliRunner().invoke(cli.app, ["demo", "--recipe", "short.toml", "--samples", "1", "-o", "out <1>"])


def test_the_page_says_it_all_and_needs_nothing_else(monkeypatch):
    calls = []

    def synthesize(recipe, board, folder, seeds, progress):
        calls.append((board, seeds))
        return BUILT

    monkeypatch.setattr(hdl, "synthesize", synthesize)
    monkeypatch.setattr(demo, "BUILD", "")
    told = call()
    assert told.exit_code == 0, told.output
    assert calls == [(demo.BOARD, (demo.SEED,))]
    page = Path("out <1>/page.html").read_text()
    assert page.count("<svg") == page.count("</svg>") == 3 and not re.search(r'(src|href)="(?!#)', page)
    assert Path("out <1>/page.html").absolute().as_uri() in told.output and "%3C1%3E" in told.output
    for words in ("accuracy: ", "0 mismatches", "gradient cosine", "Fmax 90.0 MHz with seed 1"):
        assert words in page, words
    assert "crossdyad synth short.toml --board ulx3s" in told.output


def test_its_call_returns_what_json_prints(monkeypatch):
    monkeypatch.setattr(hdl, "synthesize", lambda *_: BUILT)
    monkeypatch.setattr(demo, "BUILD", "")
    returned = []
    monkeypatch.setattr(demo, "demo", lambda *given, call=demo.demo: returned.append(call(*given)) or returned[0])
    told = json.loads(CliRunner().invoke(cli.app, ["demo", "--recipe", "short.toml", "--samples", "1", "-o", "out", "--json"]).stdout)
    assert tuple(told) == next(c for c in CALLS if c.command == "demo").fields
    assert told == json.loads(dump(returned[0])) and told["passed"] and told["built"] == BUILT


def test_a_build_that_cannot_be_is_told_and_words_are_no_markup(monkeypatch):
    def synthesize(*_):
        raise hdl.synth.ToolMissing("no tools <here>")

    monkeypatch.setattr(hdl, "synthesize", synthesize)
    failed = Future()
    failed.set_exception(OSError("whatever the other process said"))
    assert demo._synth(None, None, failed) == "no tools <here>"
    Path("a.svg").write_text('<?xml version="1.0"?>\n<svg>a</svg>')
    page = demo.page("a & b", ["no tools <here>"], [Path("a.svg")])
    assert "<li>no tools &lt;here&gt;" in page and "<h1>a &amp; b</h1>" in page and "<?xml" not in page


def test_a_build_begins_with_the_demo_and_ends_with_it(monkeypatch):
    monkeypatch.setattr(demo, "BUILD", "import os, sys, time\nopen('pid', 'w').write(f'{os.getpid()} {sys.argv[1:]}')\ntime.sleep(600)")

    def fails(*_, **__):
        limit = time.monotonic() + 60
        while not (Path("pid").exists() and Path("pid").read_text().endswith("]")) and time.monotonic() < limit:
            time.sleep(0.05)
        raise ValueError("training failed")

    monkeypatch.setattr("crossdyad.explore.learning.run", fails)
    began = time.monotonic()
    told = call()
    assert told.exit_code == 2 and "training failed" in told.output and time.monotonic() - began < 120, told.output
    number, given = Path("pid").read_text().split(" ", 1)
    assert given == "['short.toml', 'ulx3s', 'out <1>', '1']"
    for _ in range(200):
        if not Path(f"/proc/{number}").exists():
            break
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(int(number), 0)
