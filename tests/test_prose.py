"""Docstrings start with a verb or a noun, so that a reader knows at once what something does or is."""

import ast
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("board", "cli", "data", "emulator", "explore", "hdl", "models", "recipe", "sim", "weights")
OTHERS = set("What Which How Where When Whether Of As At By For From In On With Until After Over".split())


def starting_otherwise(tree: ast.AST):
    """Yield names whose docstrings start with another word; a law's docstring is a sentence."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and (text := ast.get_docstring(node)):
            name = getattr(node, "name", "module")
            if text.split()[0] in OTHERS and not name.endswith("_law"):
                yield name
        body = getattr(node, "body", None)
        for one, text in pairwise(body if isinstance(body, list) else ()):
            match one, text:
                case ast.Assign() | ast.AnnAssign(), ast.Expr(ast.Constant(str(words))) if words.split()[0] in OTHERS:
                    yield ast.unparse(getattr(one, "target", None) or one.targets[0])


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_start_with_a_verb_or_a_noun(room):
    files = list((ROOT / room).rglob("*.py"))
    found = {str(path.relative_to(ROOT)): names for path in files if (names := list(starting_otherwise(ast.parse(path.read_text()))))}
    assert files and not found


def test_another_beginning_is_seen():
    text = (
        '"""Of things."""\ndef a(): "What it is."\ndef b(): "Return what it is."\ndef c_law(): "At rest it is still."\nD = 1\n"In volts."\n'
    )
    assert list(starting_otherwise(ast.parse(text))) == ["module", "D", "a"]
