"""Execute the notebooks in place: `python notebooks/execute.py [NAME ...]`.

Nothing but outputs moves, and these only when they differ: no times, no versions, execution counts from 1.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}
LIMIT = 600
"""Seconds for a cell."""


def paths() -> list[Path]:
    """All notebooks, in order."""
    return sorted(FOLDER.glob("*.ipynb"))


def executed(path: Path) -> nbformat.NotebookNode:
    """A notebook as it comes out of a fresh kernel; a cell that fails raises."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # of the command itself
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=LIMIT,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],
        startup_timeout=LIMIT,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
    return notebook


def texts(cell) -> list[str]:
    """What a code cell says, without its pictures."""
    return ["".join(o.get("text", "") or o.get("data", {}).get("text/plain", "")) for o in cell.get("outputs", ())]


if __name__ == "__main__":
    for path in [FOLDER / Path(name).name for name in sys.argv[1:]] or paths():
        print(path.name, flush=True)
        nbformat.write(executed(path), path)
