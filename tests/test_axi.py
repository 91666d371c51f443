"""The chip beside a processor, driven by another's AXI masters with random back-pressure: the emulator's bits and counters."""

import importlib.util
import re
from pathlib import Path

import pytest

from crossdyad.hdl.axi import Axi
from crossdyad.hdl.verilog import convert
from crossdyad.recipe import Recipe, load, registers
from crossdyad.sim import simulators, surroundings

RECIPE = Recipe(name="tiny", sizes=[3, 4, 2], lanes=[2, 2], alpha=0.5)
SPSA = Recipe(name="shaken", sizes=[3, 4, 2], lanes=[2, 2], rule="spsa", devices={"read_noise": 0.05})


def run(recipe, simulator, pauses, tmp_path, source=None):
    from cocotb_tools.runner import get_results, get_runner

    if importlib.util.find_spec("cocotbext.axi") is None:
        pytest.skip("needs cocotbext-axi")
    (tmp_path / "top.v").write_text(source or convert(Axi(recipe), simulators.TOP).text)
    options = {"icarus": ["-g2005"], "verilator": ["-Wno-fatal"]}
    runner = get_runner(simulator)
    told = {"AXI_RECIPE": recipe.model_dump_json(), "AXI_PAUSES": pauses, "COCOTB_LOG_LEVEL": "WARNING"}
    around = surroundings.verilator_environment(0) if simulator == "verilator" else surroundings.environment({})
    with surroundings.cocotb_environment(), around:
        runner.build(
            sources=[tmp_path / "top.v"],
            hdl_toplevel=simulators.TOP,
            build_dir=tmp_path / "build",
            timescale=("1ns", "1ps"),
            build_args=options[simulator],
            log_file=tmp_path / "build.log",
        )
        results = runner.test(
            hdl_toplevel=simulators.TOP,
            test_module="axi_bench",
            test_dir=Path(__file__).parent,
            extra_env=told,
            results_xml=str(tmp_path / "results.xml"),
            log_file=tmp_path / "test.log",
        )
    count, failed = get_results(results)
    assert count == 2 and failed == 0, (tmp_path / "test.log").read_text()[-4000:]


@pytest.fixture(params=["icarus", pytest.param("verilator", marks=pytest.mark.slow)])
def simulator(request):
    if reason := simulators.missing(request.param):
        pytest.skip(reason)
    return request.param


@pytest.mark.parametrize("pauses", ["random", pytest.param("never", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "recipe", [RECIPE, pytest.param(SPSA, marks=pytest.mark.slow), pytest.param(load("xor"), marks=pytest.mark.slow)], ids=lambda r: r.name
)
def test_a_processor_finds_the_emulators_bits(recipe, simulator, pauses, tmp_path):
    run(recipe, simulator, pauses, tmp_path)


def test_the_map_of_the_contract_is_the_one_that_is_built():
    contract = (Path(__file__).parents[1] / "docs" / "contract.md").read_text()
    assert registers.table() in contract
    assert max(registers.ADDRESS.values()) < 1 << registers.ADDRESS_BITS


def test_the_ports_are_the_buses_alone():
    header = re.search(r"module top\((.*?)\);", convert(Axi(RECIPE), "top").text, re.S)[1]
    ports = {name.strip() for name in header.split(",")}
    assert ports - {"aclk", "aresetn"} == {p for p in ports if p.startswith(("s_axi_", "s_axis_", "m_axis_"))}
