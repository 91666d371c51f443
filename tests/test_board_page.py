"""The page "from a recipe to a learning board": its Python runs, and its commands as they stand, on the virtual board."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crossdyad.sim import simulators

PAGE = (Path(__file__).parents[1] / "docs" / "board.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


def test_the_python_of_the_page_runs(capsys):
    for block in blocks("python"):
        exec(compile(block, "board.md", "exec"), {})
    few, stored = map(float, capsys.readouterr().out.split())
    assert 0.1 < few < stored and stored > 0.9


@pytest.mark.slow
def test_the_commands_of_the_page_run_on_the_virtual_board(tmp_path):
    if reason := simulators.missing("replay"):
        pytest.skip(reason)
    commands = "\n".join(line for line in blocks("sh")[0].splitlines() if not line.startswith("pip"))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", "set -em\n" + commands], cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 inferences equal the emulator's" in done.stdout and "every weight and the cycles equal the emulator's" in done.stderr
