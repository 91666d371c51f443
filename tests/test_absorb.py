"""Registers that move into memory blocks: only those whose place a block's own can take."""

import copy

import pytest

from crossdyad.hdl.absorb import absorb


def cell(kind, parameters, inputs, outputs):
    return {
        "type": kind,
        "parameters": parameters,
        "port_directions": dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output"),
        "connections": {port: [bit] for port, bit in (inputs | outputs).items()},
    }


def flip_flop(taken, given, **other):
    parameters = {"CEMUX": "1 ", "CLKMUX": "CLK", "REGSET": "RESET", "SRMODE": "LSR_OVER_CE"}
    wires = {"CLK": 2, "DI": taken}
    for name, value in other.items():
        (parameters if name in parameters else wires)[name] = value
    return cell("TRELLIS_FF", parameters, wires, {"Q": given})


def module():
    """Two bits of a memory, each behind a register whose output leaves."""
    block = cell(
        "DP16KD",
        {"REGMODE_A": "NOREG", "REGMODE_B": "NOREG"},
        {"CLKA": 2, "CLKB": 2, "OCEA": "0", "OCEB": "0"},
        {"DOA0": 20, "DOB0": 10, "DOB1": 11, "DOB2": 12},
    )
    return {
        "ports": {"clk": {"bits": [2]}, "out": {"bits": [30, 31]}},
        "cells": {"memory": block, "low": flip_flop(10, 30), "high": flip_flop(11, 31)},
    }


def test_registers_behind_a_memory_become_its_own():
    found = module()
    assert absorb(found) == 2
    (block,) = found["cells"].values()
    assert block["parameters"] == {"REGMODE_A": "NOREG", "REGMODE_B": "OUTREG"}
    assert block["connections"] == {
        "CLKA": [2], "CLKB": [2], "OCEA": ["0"], "OCEB": ["1"], "DOA0": [20], "DOB0": [30], "DOB1": [31], "DOB2": [12],
    }  # fmt: skip


@pytest.mark.parametrize(
    "high",
    [
        flip_flop(11, 31, CE=7, CEMUX="CE"),
        flip_flop(11, 31, LSR=7),
        flip_flop(11, 31, CLK=3),
        flip_flop(11, 31, CLKMUX="INV"),
        flip_flop(11, 31, REGSET="SET"),
        flip_flop(9, 31, M=11),
        cell("LUT4", {}, {"A": 11}, {"Z": 31}),
    ],
    ids=["enable", "reset", "clock", "edge", "start", "loaded", "logic"],
)
def test_registers_that_do_something_else_stay(high):
    found = module()
    found["cells"]["high"] = high
    before = copy.deepcopy(found)
    assert absorb(found) == 0
    assert found == before


@pytest.mark.parametrize("where", ["cell", "port"])
def test_a_memory_that_is_seen_before_the_register_keeps_it_apart(where):
    found = module()
    if where == "cell":
        found["cells"]["other"] = flip_flop(10, 32)
    else:
        found["ports"]["early"] = {"bits": [10]}
    before = copy.deepcopy(found)
    assert absorb(found) == 0
    assert found == before
