"""Whatever code takes from a module of ours is there: read from the text, so that lines that no test runs are looked at, too."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import crossdyad

ROOT = Path(crossdyad.__file__).parent
WINGS = ("board", "cli", "data", "emulator", "explore", "hdl", "models", "recipe", "sim", "weights")
BESIDE = ("benchmarks", "docs", "examples", "notebooks", "tests")
"""Folders that use the package and are no part of it."""


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("crossdyad", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def text_of(path: Path) -> str:
    """The code of a file; of a notebook that of its cells."""
    if path.suffix == ".py":
        return path.read_text()
    cells = ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    return re.sub(r"^([^!%\n]*= *|\s*)[!%].*$", r"\1None", "\n".join(cells), flags=re.MULTILINE)  # commands of the shell


PACKAGE = {module_of(path): path for path in [ROOT / "__init__.py", *(p for wing in WINGS for p in sorted((ROOT / wing).rglob("*.py")))]}
USERS = [p for folder in BESIDE for ending in ("py", "ipynb") for p in sorted((ROOT / folder).rglob(f"*.{ending}"))]


class Bound(ast.NodeVisitor):
    """Names that a scope binds, each to the module that it is, or None for anything else."""

    def __init__(self, body, here: list[str]):
        self.names: dict[str, str | None] = {}
        self.here = here
        for node in body:
            self.visit(node)

    def visit_Import(self, node):
        for alias in node.names:
            self.names[alias.asname or alias.name.split(".")[0]] = alias.name if alias.asname else alias.name.split(".")[0]

    def visit_ImportFrom(self, node):
        base = source_of(node, self.here)
        for alias in node.names:
            module = f"{base}.{alias.name}"
            self.names[alias.asname or alias.name] = module if module in PACKAGE else None

    def visit_FunctionDef(self, node):
        self.names[node.name] = None

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef

    def visit_Lambda(self, node):
        pass

    def visit_arg(self, node):
        self.names[node.arg] = None

    def visit_ExceptHandler(self, node):
        self.names[node.name] = None
        self.generic_visit(node)

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Store):
            self.names[node.id] = None


def source_of(node: ast.ImportFrom, here: list[str]) -> str:
    """The module that ``from ... import`` takes from; `here`: the package around."""
    base = here[: len(here) - node.level + 1] if node.level else []
    return ".".join([*base, *([node.module] if node.module else [])])


def here_of(path: Path) -> list[str]:
    parts = module_of(path).split(".")
    return parts if path.name == "__init__.py" else parts[:-1]


def public(module: str) -> set[str]:
    """Every name of a module: bound in it, loaded on demand, or of a module below it."""
    tree = ast.parse(PACKAGE[module].read_text())
    names = set(Bound(tree.body, here_of(PACKAGE[module])).names)
    names |= {name[len(module) + 1 :].split(".")[0] for name in PACKAGE if name.startswith(module + ".")}
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_PLACES":
            names |= set(ast.literal_eval(node.value))
    return names | {"__name__", "__file__", "__doc__", "__path__", "__package__", "__dict__", "__version__"}


NAMES = {module: public(module) for module in PACKAGE}


def missing(tree: ast.AST, here: list[str]) -> Iterator[tuple[int, str]]:
    """(line, name) of what is taken from a module that has no such name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (source := source_of(node, here)) in PACKAGE:
            yield from ((node.lineno, f"{source}.{a.name}") for a in node.names if a.name != "*" and a.name not in NAMES[source])
        elif isinstance(node, ast.ImportFrom | ast.Import):
            told = [source_of(node, here)] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            yield from ((node.lineno, name) for name in told if name.split(".")[0] == "crossdyad" and name not in PACKAGE)

    def walk(node, scopes):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            body = node.body if isinstance(node.body, list) else []
            scopes = [*scopes, Bound([node.args, *body], here).names]
        elif isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            scopes = [*scopes, Bound([g.target for g in node.generators], here).names]
        if isinstance(node, ast.Attribute) and (module := known(node.value, scopes)) and node.attr not in NAMES[module]:
            yield node.lineno, f"{module}.{node.attr}"
        for child in ast.iter_child_nodes(node):
            yield from walk(child, scopes)

    def known(node, scopes) -> str | None:
        """The module of ours that an expression is."""
        if isinstance(node, ast.Name):
            found = next((scope[node.id] for scope in reversed(scopes) if node.id in scope), None)
        elif isinstance(node, ast.Attribute) and (outer := known(node.value, scopes)):
            found = f"{outer}.{node.attr}"
        else:
            found = None
        return found if found in PACKAGE else None

    yield from walk(tree, [Bound(getattr(tree, "body", []), here).names])


@pytest.mark.parametrize("folder", [*WINGS, *BESIDE])
def test_what_is_taken_from_a_module_is_there(folder):
    paths = [p for p in PACKAGE.values() if p.is_relative_to(ROOT / folder)] or [p for p in USERS if p.is_relative_to(ROOT / folder)]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in paths
        for line, name in missing(ast.parse(text_of(path)), here_of(path) if folder in WINGS else [])
    ]
    assert paths and not wrong


def test_what_is_not_there_is_seen():
    text = (
        "from . import circuits as c\nfrom ..recipe import Recipe, absent\nfrom .nowhere import x\nimport crossdyad\n"
        "def f(c): return c.relu2\ndef g(): return c.relu2, c.relu, crossdyad.hdl.Chip, crossdyad.hdl.Ship\n"
    )
    found = [name for _, name in missing(ast.parse(text), ["crossdyad", "models"])]
    assert found == ["crossdyad.recipe.absent", "crossdyad.models.nowhere", "crossdyad.models.circuits.relu2", "crossdyad.hdl.Ship"]
