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
    "explore": {"hdl", "emulator", "recipe", "data", "sim"},
    "cli": {"hdl", "emulator", "models", "recipe", "data", "sim", "explore", "board", "weights"},
}
FILES = [(wing, path) for wing in ARROWS for path in sorted((ROOT / wing).rglob("*.py"))]


def imported(path: Path, wing: str):
    """(wing or None, line, relative) of every import of a file; None: not ours."""
    depth = len(path.relative_to(ROOT / wing).parts)      # dots that reach the package's root, less one
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
