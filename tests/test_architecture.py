"""Who imports whom: the arrows of the design (docs/design.md), and relative imports only, inside the package."""

import ast
from pathlib import Path

import pytest

import crossdyad

ROOT = Path(crossdyad.__file__).parent
ARROWS = {
    "models": {"data"},
    "recipe": set(),
    "data": set(),
    "emulator": {"recipe"},
    "hdl": {"recipe"},
    "sim": {"hdl", "emulator", "models", "recipe", "data"},
    "board": {"emulator", "recipe"},
    "weights": {"emulator", "recipe"},
    "explore": {"hdl", "emulator", "recipe", "data", "sim", "weights"},
    "cli": {"hdl", "emulator", "models", "recipe", "data", "sim", "explore", "board", "weights"},
}
FILES = [(wing, path) for wing in ARROWS for path in sorted((ROOT / wing).rglob("*.py"))]


def imported(path: Path, wing: str):
    """(wing or None, line, relative) of every import of a file; None: not ours."""
    depth = len(path.relative_to(ROOT / wing).parts)  # dots that reach the package's root, less one
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                yield (parts[1] if parts[0] == "crossdyad" and parts[1:] else None), node.lineno, False
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            parts = node.module.split(".")
            yield (parts[1] if parts[0] == "crossdyad" and parts[1:] else None), node.lineno, False
        elif isinstance(node, ast.ImportFrom):
            if node.level <= depth:
                yield wing, node.lineno, True
            elif node.module:
                yield node.module.split(".")[0], node.lineno, True
            else:
                for alias in node.names:
                    yield alias.name, node.lineno, True


@pytest.mark.parametrize("wing, path", FILES, ids=lambda x: x if isinstance(x, str) else x.name)
def test_a_wing_imports_only_what_the_design_allows(wing, path):
    for other, line, _ in imported(path, wing):
        assert other is None or other == wing or other in ARROWS[wing], f"{path}:{line} imports {other}"


@pytest.mark.parametrize("wing, path", FILES, ids=lambda x: x if isinstance(x, str) else x.name)
def test_imports_of_our_own_are_relative(wing, path):
    names = set(ARROWS) | {"crossdyad"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & names, f"{path}:{node.lineno}"
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module.split(".")[0] not in names, f"{path}:{node.lineno}"


def test_every_wing_has_files_and_the_check_sees_a_wrong_arrow(tmp_path):
    assert {wing for wing, _ in FILES} == set(ARROWS)
    wrong = ROOT / "hdl" / "imaginary.py"
    source = tmp_path / "imaginary.py"
    source.write_text("from ..emulator import fixed\nfrom .. import emulator\nfrom crossdyad.emulator import rng\n")

    class Imaginary:
        """A file that is not there, at a place in the package."""

        def read_text(self):
            return source.read_text()

        def relative_to(self, folder):
            return wrong.relative_to(folder)

    assert [other for other, _, _ in imported(Imaginary(), "hdl")] == ["emulator"] * 3


def test_no_drawn_example_has_a_deadline():
    """How long one takes depends on what else the machine does."""
    from hypothesis import settings

    assert settings.default.deadline is None


def test_long_files_say_why():
    written = {path for _, path in FILES} | {path for room in ("tests", "benchmarks", "notebooks") for path in (ROOT / room).glob("*.py")}
    long = [path for path in written if len(path.read_text().splitlines()) > 400]
    assert not [str(path.relative_to(ROOT)) for path in long if "one file" not in path.read_text().split("\n", 1)[0]]


def beginnings(body):
    """Imports that run when a file is imported: not those inside functions, nor those for types alone."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef) and not (
            isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        ):
            yield from beginnings(node.body)


def files_imported(sources: dict[tuple, tuple[str, bool]]) -> dict[tuple, set]:
    """Module to the modules that it imports at once; `sources`: module to its text, and whether it is a package's ``__init__``."""
    found = {}
    for module, (text, package) in sources.items():
        here = module if package else module[:-1]
        found[module] = set()
        for node in beginnings(ast.parse(text).body):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = here[: len(here) - node.level + 1] + tuple(node.module.split(".") if node.module else ())
                found[module] |= {base + (a.name,) if base + (a.name,) in sources else base for a in node.names}
        found[module] = {m for m in found[module] if m in sources and m != module}
    return found


def in_circles(edges: dict[tuple, set]) -> list[tuple]:
    def reached(start):
        seen, left = set(), [start]
        while left:
            new = edges[left.pop()] - seen
            seen |= new
            left += new
        return seen

    return [module for module in edges if module in reached(module)]


def test_no_files_import_each_other_in_a_circle():
    sources = {}
    for _, path in FILES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        sources[parts[:-1] if parts[-1] == "__init__" else parts] = path.read_text(), parts[-1] == "__init__"
    assert len(sources) == len(FILES) and not in_circles(files_imported(sources))


def test_a_circle_is_seen():
    three = {("w", "a"): ("from .b import x", False), ("w", "b"): ("from . import c", False), ("w", "c"): ("from .a import y\n", False)}
    assert len(in_circles(files_imported(three))) == 3
    assert not in_circles(files_imported(three | {("w", "c"): ("def f():\n    from .a import y\n", False)}))
