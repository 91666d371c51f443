"""The packages that are listed are the packages that are there, and what is installed from them works anywhere."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
UV = shutil.which("uv") or shutil.which(ROOT / ".uv/bin/uv")
BESIDE = {"pyproject.toml", "uv.lock", "Makefile", "README.md"}
"""Of the checkout, not of the package."""


def test_every_package_is_listed():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    skipped = {".venv", ".uv", ".build", "build", "dist", "tests", "notebooks"}
    there = {"crossdyad"} | {
        "crossdyad." + ".".join(p.parent.relative_to(ROOT).parts)
        for p in ROOT.rglob("__init__.py")
        if p.parent != ROOT and p.relative_to(ROOT).parts[0] not in skipped
    }
    assert listed == there


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the checkout."""
    if UV is None:
        pytest.skip("no uv, which builds and installs the wheel")
    tree, dist = tmp_path_factory.mktemp("source") / "tree", tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "notebooks", "docs"))
    subprocess.run([UV, "build", "-q", "--wheel", "--offline", "-o", dist, tree], check=True)
    return next(dist.glob("*.whl"))


def test_the_wheel_has_the_packages_files_and_no_others(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {
        "crossdyad/explore/templates/report.html",
        "crossdyad/data/digits.npz",
        "crossdyad/recipe/presets/xor.toml",
        "crossdyad/py.typed",
        "crossdyad/__main__.py",
    } <= set(names)
    assert {Path(n).parts[0].split("-")[0] for n in names} == {"crossdyad"}
    assert not [n for n in names if Path(n).name in BESIDE or Path(n).parts[1] in ("tests", "benchmarks", "examples")]
    wings = ("recipe", "data", "models", "emulator", "hdl", "sim", "explore", "cli", "board", "weights")
    code = {
        f"crossdyad/{p.relative_to(ROOT)}"
        for folder in wings
        for p in (ROOT / folder).rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert code <= set(names)


COMMANDS = """
import json
from pathlib import Path
from typer.testing import CliRunner
from crossdyad.cli import app
Path("s.toml").write_text('name = "s"\\nrecipe = "xor"\\nseeds = 2\\nepochs = 1\\nsamples = 2\\n[axes]\\nbeta = [0.5, 1.0]\\n')
lines = '''generate xor
train xor --epochs 1 --engine numpy
cosim xor --simulator amaranth --samples 2
budget --help
sweep s.toml --workers 1
report s.db
pick s.db --max-lut 100000 -o best.toml
export s.db -o s.csv
cookbook 57
doctor
schema
age --help
search --help
synth --help
demo --help'''
ran = {}
for line in lines.splitlines() if __name__ == "__main__" else ():
    done = CliRunner().invoke(app, line.split())
    missing = line == "doctor" and done.exit_code == 3              # a tool that is not here is no fault of the wheel
    ran[line] = 0 if missing else done.exit_code, done.output[-2000:] + repr(done.exception)
print(json.dumps(ran))
"""


def test_every_command_works_where_it_is_installed(wheel, tmp_path_factory):
    """Outside the checkout, with spaces in every path; the other packages are borrowed, and what is compiled once."""
    place = tmp_path_factory.mktemp("a place")
    subprocess.run([UV, "venv", "-q", "--offline", "--python", sys.executable, place / "env"], check=True)
    subprocess.run([UV, "pip", "install", "-q", "--offline", "--no-deps", "--python", place / "env", wheel], check=True)
    there = next((place / "env").glob("lib/*/site-packages"))
    (there / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/proc/nobody",
        "JAX_PLATFORMS": "cpu",
        "MPLBACKEND": "nonsense",
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
    }

    def run(*command):
        done = subprocess.run([place / "env/bin" / command[0], *command[1:]], cwd=place, env=environment, capture_output=True, text=True)
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        return done.stdout

    assert run("python", "-c", "import crossdyad; print(crossdyad.__file__)").strip() == str(there / "crossdyad/__init__.py")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert run("crossdyad", "--version") == run("python", "-m", "crossdyad", "--version") == f"crossdyad {version}\n"
    (place / "every.py").write_text(COMMANDS)
    ran = json.loads(run("python", "every.py").splitlines()[-1])
    assert len(ran) == 15 and {line: output for line, (status, output) in ran.items() if status} == {}


@pytest.mark.parametrize("home", ["/proc/nobody", "made"])
def test_tools_get_another_cache_only_where_the_users_cannot_be_written(home, tmp_path):
    code = "import os; from crossdyad.hdl import cache; cache.ensure(); f = os.getenv('XDG_CACHE_HOME', '')\nprint(f, os.path.isdir(f))"
    environment = {"PATH": os.environ["PATH"], "HOME": home if home.startswith("/") else str(tmp_path / home)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    folder, there = done.stdout.rstrip("\n").rsplit(" ", 1)
    assert there == str(home.startswith("/")) and (tmp_path / "made/.cache").is_dir() != home.startswith("/")
    assert not folder or not os.path.exists(folder)  # gone with the process


@pytest.mark.slow  # compiles a tool of many megabytes
def test_verilog_is_written_where_the_home_cannot_be(tmp_path):
    environment = {"PATH": os.environ["PATH"], "HOME": "/proc/nobody"}
    command = [sys.executable, "-m", "crossdyad", "generate", "xor"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and (tmp_path / "build/xor.v").exists(), done.stderr
