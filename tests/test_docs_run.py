"""The commands and the Python of pages of the docs, run as they stand, from top to bottom; `test_readme` looks at all of them, quickly."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from conftest import needs
from pytorch_files import Stored, archive, forged
from test_readme import ROOT, blocks, run_python

SET_UP = {"apt", "pip", "make"}
"""Commands of a machine's set-up, and the whole suite."""


def net(path: Path) -> None:
    """Write a net of 64-32-10 as PyTorch does."""
    shapes = {"0.weight": (32, 64), "2.weight": (10, 32)}
    draw = np.random.default_rng(1)
    raw = {str(n): draw.normal(0, 0.2, shape).astype("<f4").tobytes() for n, shape in enumerate(shapes.values())}
    archive(
        path,
        forged(
            **{name: ((0, shape, (shape[1], 1)), Stored(shape[0] * shape[1], key=str(n))) for n, (name, shape) in enumerate(shapes.items())}
        ),
        raw,
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README", "docs/data", "docs/waves", "docs/weights"])
def test_what_a_page_says_runs(page, tmp_path, monkeypatch):
    needs("icarus")
    text = (ROOT / f"{page}.md").read_text()
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    net(Path("net.pt"))
    for _, block in blocks(text, "toml"):
        Path(f"{tomllib.loads(block)['name']}.toml").write_text(block)
    here = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    count = 0
    for _, block in blocks(text, "sh"):
        for line in block.strip().splitlines():
            if line.split()[0] in SET_UP:
                continue
            done = subprocess.run(line, shell=True, env=here, capture_output=True, text=True)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            count += 1
    assert count
    run_python(text)
