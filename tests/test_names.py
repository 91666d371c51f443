"""Generated Verilog keeps the names of its source, whichever Python writes it, and begins with what it is."""

import ast
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crossdyad import hdl
from crossdyad.hdl.axi import Axi
from crossdyad.hdl.boards import Top
from crossdyad.hdl.host import Host
from crossdyad.hdl.verilog import convert
from crossdyad.recipe import Recipe, load
from crossdyad.recipe.link import fingerprint

MAKERS = {"Signal", "like", "read_port", "write_port"}
"""Of what Amaranth names after the variable that it is assigned to."""


def makes(node) -> bool:
    called = (c.func for c in ast.walk(node) if isinstance(c, ast.Call))
    return any(getattr(f, "id", getattr(f, "attr", "")) in MAKERS for f in called)


@pytest.mark.parametrize("path", sorted((Path(hdl.__file__).parent).glob("*.py")), ids=lambda p: p.stem)
def test_signals_are_made_one_in_an_assignment(path):
    """Amaranth finds no name, or another's, in ``a, b = Signal(), Signal()``; which, depends on the version of Python."""
    several = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Tuple)
        and isinstance(node.value, ast.Tuple)
        and any(map(makes, node.value.elts))
    ]
    assert not several


RECIPE = Recipe(name="tiny", sizes=[3, 4, 2], lanes=[2, 2], alpha=0.5)


@pytest.mark.parametrize(
    "component",
    [lambda: Top(Host(RECIPE, 25e6, 3e6, 4)), lambda: Axi(RECIPE), lambda: hdl.build(load("xor-spsa"))],
    ids=["host", "axi", "spsa"],
)
def test_whatever_has_a_name_keeps_it(component):
    text = convert(component(), "top").text
    assert not re.findall(r"\b(?:n_)?(?:signal|like|signature|memory)(?:_\d+|__\w+)? ", text), "signals that no name was found for"
    # what is clocked in is the next value of a register, or another register
    numbered = re.findall(r"^\s*(?:else )?(\w+)\s*<=\s*(n_\d+)\s*;", text, re.M)
    assert not numbered


def test_a_header_says_what_this_is_and_its_hash_holds(tmp_path):
    recipe = load("xor")
    hdl.generate(recipe, tmp_path)
    first, second, third, rest = (tmp_path / "xor.v").read_text().split("\n", 3)
    assert first.startswith("// xor: a chip that learns (3 16 2, dual-propagation)") and fingerprint(recipe).hex() in first
    assert second == "// made by crossdyad 0.1.0: crossdyad generate xor"
    assert third.split()[-1] == hashlib.sha256(rest.encode()).hexdigest()


def test_the_same_recipe_gives_the_same_bytes_in_another_process(tmp_path):
    hdl.generate(load("xor"), tmp_path / "here")
    subprocess.run(
        [sys.executable, "-m", "crossdyad", "generate", "xor", "-o", tmp_path / "there"],
        check=True,
        capture_output=True,
        env=os.environ | {"PYTHONHASHSEED": "7"},
    )
    assert all(path.read_bytes() == (tmp_path / "there" / path.name).read_bytes() for path in (tmp_path / "here").iterdir())
