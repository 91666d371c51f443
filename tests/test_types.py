"""Types for a user's checker: every public function of the rooms below says what it takes and gives."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("board", "cli", "data", "emulator", "explore", "hdl", "models", "recipe", "sim", "weights")
STRICT = ("board", "emulator", "hdl", "recipe")


def untyped(tree: ast.AST, public: bool = True):
    """Yield public functions and methods, not those inside functions, that lack a type; `elaborate` and `__init__` return what is known."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from untyped(node, public and not node.name.startswith("_"))
        elif isinstance(node, ast.FunctionDef) and public and (node.name == "__init__" or not node.name.startswith("_")):
            given = [a for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs) if a.arg not in ("self", "cls")]
            if not all(a.annotation for a in given) or not (node.returns or node.name in ("__init__", "elaborate")):
                yield node.name


@pytest.mark.parametrize("room", ROOMS)
def test_public_functions_have_types(room):
    files = list((ROOT / room).rglob("*.py"))
    found = {str(path.relative_to(ROOT)): names for path in files if (names := list(untyped(ast.parse(path.read_text()))))}
    assert files and not found


def test_a_function_without_types_is_seen():
    code = "def a(x): 0\ndef b(x: int) -> int: 0\nclass C:\n    def d(self) -> None: 0\n    def e(self, *, y): 0\ndef _f(x): 0\n"
    assert list(untyped(ast.parse(code))) == ["a", "e"]


def test_the_checker_reads_everything():
    """mypy is strict and no file of its packages is left out; what is off has its reason in the line of its table."""
    text = (ROOT / "pyproject.toml").read_text()
    told = tomllib.loads(text)["tool"]["mypy"]
    assert told["strict"] and set(told["packages"]) == {f"crossdyad.{room}" for room in STRICT}
    assert not any({"ignore_errors", "follow_imports", "check_untyped_defs"} & set(o) for o in told["overrides"])
    assert len(re.findall(r"^\[\[tool\.mypy\.overrides\]\] +# \w", text, re.M)) == len(told["overrides"])
    off = {name for o in told["overrides"] for name in (*o, *o.get("disable_error_code", ()))} - {"module", "disable_error_code"}
    assert off <= {
        "warn_return_any",
        "disallow_untyped_defs",
        "disallow_any_generics",
        "assignment",
        "attr-defined",
        "var-annotated",
        "call-arg",
    }


def test_ignored_lines_say_why():
    texts = [path.read_text() for room in STRICT for path in (ROOT / room).rglob("*.py")]
    lines = [line for text in texts for line in text.splitlines() if "type: ignore" in line]
    assert len(lines) <= 5 and all(re.search(r"# type: ignore\[[a-z-]+\]  # \w", line) for line in lines)


@pytest.mark.slow
def test_the_checker_sees_a_wrong_type(tmp_path):
    """A function of a wrong type and one without types, in a file of each room: these are told, and nothing else."""
    (ROOT / ".build").mkdir(exist_ok=True)
    if not (ROOT / ".build" / "crossdyad").exists():
        (ROOT / ".build" / "crossdyad").symlink_to("..")
    seeded = {"recipe": "seeds", "hdl": "delay", "emulator": "clock", "board": "port"}
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache")]
    for room, name in seeded.items():
        broken = tmp_path / f"{name}.py"
        text = (ROOT / room / f"{name}.py").read_text()
        broken.write_text(text + '\n\ndef _wrong() -> int:\n    return "x"\n\n\ndef _bare(x):\n    return x\n')
        command += ["--shadow-file", f".build/crossdyad/{room}/{name}.py", str(broken)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    found = sorted(re.findall(r"^.build/crossdyad/(\w+)/\w+\.py:\d+: error: .*\[([a-z-]+)\]$", told, re.M))
    assert found == sorted((room, code) for room in seeded for code in ("return-value", "no-untyped-def")), told
