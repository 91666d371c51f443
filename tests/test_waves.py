"""Waves and their views, and the example of tests of one's own."""

import gzip
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import needs
from typer.testing import CliRunner

from crossdyad import cli, hdl, sim
from crossdyad.recipe import Recipe, load
from crossdyad.sim import agreement, simulators, waves

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "examples/cocotb/bench.py"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def unpacked(data: bytes, size: int) -> bytes:
    """LZ4's block format, by hand."""
    out, at = bytearray(), 0

    def length(start: int) -> int:
        nonlocal at
        if start == 15:
            while (more := data[at]) == 255:
                start, at = start + 255, at + 1
            start, at = start + more, at + 1
        return start

    while at < len(data):
        token, at = data[at], at + 1
        count = length(token >> 4)
        out += data[at : at + count]
        at += count
        if at >= len(data):
            break
        back, at = int.from_bytes(data[at : at + 2], "little"), at + 2
        for _ in range(length(token & 15) + 4):
            out.append(out[-back])
    assert len(out) == size
    return bytes(out)


def variables(path: Path) -> dict[str, int]:
    """Name with its scopes to bits, of a file of FST: from its block of names."""
    data, at, text = path.read_bytes(), 0, b""
    while at < len(data):
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 9], "big")
        body = data[at + 9 : at + 1 + size]
        if kind in (4, 6):
            whole, packed = int.from_bytes(body[:8], "big"), body[8:]
            text = gzip.decompress(packed) if kind == 4 else unpacked(packed, whole)
        at += 1 + size
    assert text, "no block of names"
    found, scopes, at = {}, [], 0

    def word() -> str:
        nonlocal at
        end = text.index(0, at)
        word, at = text[at:end].decode(), end + 1
        return word

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte, at = text[at], at + 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(text):
        tag, at = text[at], at + 1
        if tag == 254:
            at += 1
            scopes.append(word())
            word()
        elif tag == 255:
            scopes.pop()
        elif tag == 252:
            at += 2
            word()
            number()
        elif tag != 253:
            at += 1
            name = word()
            bits = number()
            number()
            found[".".join([*scopes, name.split(" ")[0]])] = bits
    return found


@pytest.mark.parametrize("simulator", ["icarus", pytest.param("verilator", marks=pytest.mark.slow)], indirect=True)
def test_waves_hold_what_their_views_show(simulator):
    recipe = Recipe(name="waved", sizes=[3, 4, 2], lanes=[], engines=[{"lanes": 3, "matrices": ["W0", "W1"]}])
    report = agreement.cosim(recipe, simulator, samples=2, folder="o", waves=True, keep=True)
    assert report.passed and Path("o/waved-data-1.log").exists(), str(report)
    assert {Path(f).name.split(".")[0] for f in report.files} == {"waved-data-1", "waved-directed-1", "waved-directed-2"}
    assert all(Path(f).exists() for f in report.files)
    ending = simulators.waves_suffix(simulator)
    file = Path(f"o/waved-data-1{ending}")
    view, commands = (file.with_suffix(end).read_text() for end in (".gtkw", ".sucl"))
    shown = re.findall(r"^\+\{[^}]*\} (\S+?)(?:\[(\d+):0\])?$", view, re.M)
    assert len(shown) > 60 and f'"{file.name}"' in view
    assert re.findall(r"^variable_add (\S+)$", commands, re.M) == [name for name, _ in shown]
    for title in ("9 streams", "8 sequencer", "layer 0: 3 crossbar", "layer 1: 6 new weights", "layer 0: 4 dyad", "layer 1: 5 nudge"):
        assert f"-{title}" in view and title.replace(" ", "_") in commands, title
    if ending == ".fst":
        there = variables(file)
        assert {name: int(top or 0) + 1 for name, top in shown}.items() <= there.items()


OPENED = """
for {set i 0} {$i < [gtkwave::getTotalNumTraces]} {incr i} { puts "shown: [gtkwave::getTraceNameFromIndex $i]" }
gtkwave::/File/Quit
"""


def opened(view: Path) -> list[str]:
    """Names that GTKWave shows of a view; what the file of waves lacks it leaves out."""
    Path("opened.tcl").write_text(OPENED)
    command = ["xvfb-run", "-a", "gtkwave", "-S", str(Path("opened.tcl").resolve()), view.name]
    told = subprocess.run(command, cwd=view.parent, capture_output=True, text=True, timeout=120)
    return re.findall(r"^shown: (.*)$", told.stdout, re.M)


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("gtkwave") and shutil.which("xvfb-run")), reason="needs gtkwave and xvfb-run")
def test_gtkwave_opens_a_view_and_shows_all_of_it():
    needs("icarus")
    agreement.cosim(Recipe(name="waved", sizes=[3, 2], lanes=[2]), "icarus", samples=2, folder="o", waves=True)
    view = Path("o/waved-data-1.gtkw")
    lines = re.findall(r"^(?:\+\{([^}]*)\} \S+|-(.+))$", view.read_text(), re.M)
    assert len(lines) > 60 and opened(view) == [title or name.rsplit(".", 1)[-1] for name, title in lines]
    view.write_text(view.read_text().replace("} top.unit0.loss", "} top.unit0.lost"))
    assert len(opened(view)) == len(lines) - 1


def test_a_signal_that_is_not_there_would_be_noticed():
    recipe = Recipe(name="waved", sizes=[3, 2], lanes=[2])
    source = hdl.convert(hdl.build(recipe), simulators.TOP)
    named = {name for _, names in waves.groups(recipe, source) for name in names}
    assert named <= set(source.signals) | {p.name for p in source.ports}
    assert {"unit0.loss", "engine0.weight_word", "i_sample__valid"} <= named


@pytest.mark.slow
def test_a_seed_is_another_run_to_the_same_weights():
    recipe = Recipe(name="seeded", sizes=[3, 2], lanes=[2])
    first, other = (agreement.cosim(recipe, "amaranth", samples=2, seed=seed) for seed in (0, 1))
    assert first.passed and other.passed and first.cycles != other.cycles
    assert first.moved == other.moved


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--simulator", "amaranth", "--waves"], "waves are written by icarus and verilator"),
        (["--simulator", "amaranth", "--seed", "-1"], "seed"),
    ],
)
def test_what_cannot_be_had_is_told(arguments, words):
    told = CliRunner().invoke(cli.app, ["cosim", "xor", *arguments])
    assert told.exit_code == 2 and words in told.output, told.output


@pytest.mark.parametrize("simulator", ["icarus", pytest.param("verilator", marks=pytest.mark.slow)])
def test_the_example_runs(simulator, tmp_path):
    needs(simulator)
    spec = importlib.util.spec_from_file_location("example", BENCH.with_name("test_bench.py"))
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.test_bench(simulator, tmp_path)


@pytest.mark.slow
def test_a_failing_test_of_ones_own_is_told_with_its_log(tmp_path):
    """A chip of other weights than the bench's, and a file without tests."""
    needs("icarus")
    wrong = BENCH.read_text().replace("await chip.load(twin.weights)", "await chip.load([w + 1 for w in twin.weights])", 1)
    Path("wrong_bench.py").write_text(wrong)
    Path("empty_bench.py").write_text("")
    hdl.generate(load("xor"), tmp_path)
    with pytest.raises(sim.SimulationFailed, match="wrong_bench.py(.|\n)*learns_as_the_emulator failed(.|\n)*assert"):
        sim.run_tests(tmp_path / "xor.v", "xor_chip", Path("wrong_bench.py"), log=Path("kept/run.log"))
    assert "learns_as_the_emulator" in Path("kept/run.log").read_text()
    with pytest.raises(sim.SimulationFailed):
        sim.run_tests(tmp_path / "xor.v", "xor_chip", Path("empty_bench.py"))


def test_the_page_shows_the_example():
    page, code = (ROOT / "docs/waves.md").read_text(), BENCH.read_text()
    shown = re.search(r"```text\n(@cocotb.*?)```", page, re.S)[1]
    lines = [line for line in code.splitlines(keepends=True) if '"""' not in line]
    assert shown in "".join(lines)
    assert np.array_equal(re.findall(r"`chip\.(\w+)`", page), ["sample", "label", "command", "weight", "result", "weights"])
