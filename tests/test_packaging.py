"""The packages that are listed are the packages that are there."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_package_is_listed():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    skipped = {".venv", ".uv", ".build", "build", "dist", "tests", "notebooks"}
    there = {"crossdyad"} | {
        "crossdyad." + ".".join(p.parent.relative_to(ROOT).parts)
        for p in ROOT.rglob("__init__.py") if p.parent != ROOT and p.relative_to(ROOT).parts[0] not in skipped
    }
    assert listed == there
