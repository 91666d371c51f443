"""The commands and the Python of every page, run as they stand, from top to bottom; `test_readme` looks at all of them, quickly."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
from conftest import needs
from pytorch_files import Stored, archive, forged
from test_readme import PAGES, ROOT, blocks

NOT_RUN = {
    "apt ": "installs packages of the system",
    "pip ": "installs this package, as tests/test_packaging.py does in an environment of its own",
    "make ": "the demo, the site, the notebooks and the whole suite, each run by itself",
    ".venv/bin/pytest ": "is a test of the suite",
    "python benchmarks/rows.py ": "trains for hours; `crossdyad train --reference` on other pages trains the same",
}
"""Commands that are not run, by how they begin, and why."""

LIMIT, PROMPT, LONG = 60, 30, 600
"""Seconds after which a command of ours gets Ctrl-C at its next progress (or without one, after twice as many), in which it then ends, and
that any other may take. To end so, and to go on when it is started again, is promised."""
START = 15
"""Seconds that a command may take to be where it was, whatever the time before."""


# What a page takes from outside, made here --------------------------------------------------------------------


def net() -> None:
    """Write a net of 64-32-10 as PyTorch does."""
    shapes = {"0.weight": (32, 64), "2.weight": (10, 32)}
    draw = np.random.default_rng(1)
    raw = {str(n): draw.normal(0, 0.2, shape).astype("<f4").tobytes() for n, shape in enumerate(shapes.values())}
    archive(
        Path("net.pt"),
        forged(
            **{name: ((0, shape, (shape[1], 1)), Stored(shape[0] * shape[1], key=str(n))) for n, (name, shape) in enumerate(shapes.items())}
        ),
        raw,
    )


def mnist() -> None:
    """Write a few images of noise, each with a bar where its class says, in MNIST's four files."""
    Path("DIR").mkdir()
    for part, count in (("train", 600), ("t10k", 100)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.random.default_rng(count).integers(0, 60, (count, 28, 28), dtype=np.uint8)
        images[np.arange(count), 2 * labels + 4] += 190
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            Path("DIR", f"{part}-{kind}-ubyte").write_bytes(header + array.tobytes())


def cifar() -> None:
    """Write a few images of noise in CIFAR-10's records."""
    Path("DIR").mkdir()
    for name, count in (*((f"data_batch_{n}", 40) for n in range(1, 6)), ("test_batch", 40)):
        records = np.random.default_rng(count).integers(0, 256, (count, 3073), dtype=np.uint8)
        records[:, 0] %= 10
        Path("DIR", f"{name}.bin").write_bytes(records.tobytes())


def cell() -> None:
    """Write a measured cell: conductance and its standard deviation."""
    Path("cell.csv").write_text("0.5,0.06\n5,0.31\n12,0.52\n20,0.66\n31,0.80\n40,0.83\n")


def loader() -> None:
    """Stand in for the tool that programs boards, and for the bitstream where synthesis is stopped."""
    Path("build").mkdir()
    Path("build/digits.bit").write_bytes(b"none yet")
    Path("bin/openFPGALoader").write_text('#!/bin/sh\nfor last; do :; done; test -s "$last"\n')
    Path("bin/openFPGALoader").chmod(0o755)


@contextlib.contextmanager
def board(env):
    """A virtual board in place of the page's."""
    with subprocess.Popen(["crossdyad", "board", "digits", "--virtual", "--samples", "1437", "--port", "silicon"], env=env) as process:
        try:
            while not Path("silicon").exists():
                assert process.poll() is None
                time.sleep(0.5)
            yield "silicon"
        finally:
            process.terminate()


@contextlib.contextmanager
def cluster(env):
    """A Dask cluster of one worker."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp") as here:
        yield here.scheduler_address


MADE = {
    "README": [net],
    "docs/weights": [net],
    "docs/images": [cifar],
    "docs/published": [mnist],
    "docs/analog": [cell],
    "docs/board": [loader],
}
STANDS_FOR = {"/dev/ttyUSB0": board, "tcp://10.0.0.1:8786": cluster, '"NAME"': lambda env: contextlib.nullcontext("backprop")}
"""What a command says and its reader has to replace."""

TOLD = {
    "docs/analog": ["read noise of cells      0.9636", "all together             0.9148"],
    "docs/recomputed": ["hfox: 96.94 % +- 1.05 over 5 seeds"],
    "docs/networks": ["squared-hinge 90.6", "squared-error 55.5"],
    "docs/explore": [
        "# accuracy: 0.9578; 0.9472 to 0.9639; median 0.9583, 0.9472 to 0.9639; 0.4539 to 0.9813",
        "the chip 69,638 at the board's 25 MHz, its serial line 4,615; the line limits.",
        "# In accuracy 5 seeds cannot tell it from 5 other points within the limits.",
    ],
    "docs/board": ["20 inferences equal the emulator's", "digits.tty: every weight and the cycles equal the emulator's"],
    "docs/reference": [
        "row 52 (EP, centered) needs what Equilibrium lacks: 'energy'",
        "row 21 (adjoint): Equilibrium has no fixed point, or none was found: residual",
        "own system, in beta: slope of the error: ",
        "'epoch': 2",
    ],
}
"""What a page says that its commands say."""


# Running ------------------------------------------------------------------------------------------------------


def commands(text: str) -> list[str]:
    """Lines of the page's blocks; a block with a job in the background is one script."""
    found = []
    for _, block in blocks(text, "sh"):
        lines = [line for line in block.strip().splitlines() if not line.startswith(tuple(NOT_RUN))]
        found += ["\n".join(lines)] if any("&" in shlex.split(line, comments=True) for line in lines) else lines
    return found


def played(command: str, env, enough) -> tuple[int, list[tuple[float, str]]]:
    """Status of a command that gets Ctrl-C when `enough` has been said, and what it said, each line with its second."""
    said, begun = [], time.monotonic()
    process = subprocess.Popen(
        ["bash", "-emc" if "\n" in command else "-c", command],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    reader = threading.Thread(target=lambda: said.extend((time.monotonic() - begun, line) for line in process.stdout))
    reader.start()
    try:
        while process.poll() is None and time.monotonic() < begun + LONG and not enough(time.monotonic() - begun, steps(said)):
            time.sleep(0.1)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.wait(PROMPT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        reader.join()
    print(f"{time.monotonic() - begun:.0f} s, status {process.returncode}: {command}", *(line for _, line in said), sep="\n  ", flush=True)
    return process.returncode, said


def steps(said) -> dict[tuple[str, int, int], float]:
    """When each step of each title was told first: how much was done then, and how much was left."""
    found = {}
    for at, line in said[:]:
        if shown := re.match(r"(.*?): .*\((\d+)/(\d+)", line):
            title, done, of = shown[1], int(shown[2]), int(shown[3])
            found.setdefault((title, done, of - done), at)
    return found


def ended(command: str, env) -> str:
    """What a command said that ended well, or was stopped and goes on: in half of the time it is where it was, or beyond."""
    ours = command.startswith("crossdyad") and "\n" not in command

    def stopped(now, there):
        return ours and any(done and (at > LIMIT or now > 2 * LIMIT) for (_, done, _), at in there.items())

    status, said = played(command, env, stopped)
    text = "".join(line for _, line in said)
    if status == 130:
        assert "the same command " in text, text
        (title, _, left), at = list(steps(said).items())[-1]

        def back(now, there):
            return [when for (what, _, more), when in there.items() if what == title and more <= left]

        _, again = played(command, env, back)
        text += "".join(line for _, line in again)
        assert min(back(0, steps(again))) < max(at / 2, START), text
    else:
        assert status == 0, f"{command}: status {status}\n{text}"
    return text


@pytest.mark.slow
@pytest.mark.parametrize("page", [str(p.relative_to(ROOT).with_suffix("")) for p in PAGES])
def test_what_a_page_says_runs(page, tmp_path, monkeypatch):
    needs("icarus")
    needs("replay")
    text = (ROOT / f"{page}.md").read_text()
    monkeypatch.chdir(tmp_path)
    for folder in ("examples", "benchmarks"):
        shutil.copytree(ROOT / folder, folder)
    Path("bin").mkdir()
    env = os.environ | {
        "PATH": os.pathsep.join([str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONUNBUFFERED": "1",
    }
    for make in MADE.get(page, []):
        make()
    for _, block in blocks(text, "toml"):
        if "name" in (table := tomllib.loads(block)):
            Path(f"{table['name']}.toml").write_text(block)
    to_run = commands(text)
    if python := [block for _, block in blocks(text, "python")]:
        Path("page.py").write_text("\n".join(python))
        to_run.append("python page.py")
    if not to_run:
        pytest.skip("all of it is in NOT_RUN")
    told = ""
    for command in to_run:
        with contextlib.ExitStack() as beside:
            for word, made in STANDS_FOR.items():
                if word in command:
                    command = command.replace(word, beside.enter_context(made(env)))
            told += ended(command, env)
    assert not [words for words in TOLD.get(page, []) if words not in told]


def test_what_is_said_of_pages_is_of_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = {str(p.relative_to(ROOT).with_suffix("")): p.read_text() for p in PAGES}
    lines = [line for t in text.values() for _, block in blocks(t, "sh") for line in block.splitlines()]
    assert not [start for start in NOT_RUN if not any(line.startswith(start) for line in lines)]
    assert not [word for word in STANDS_FOR if not any(word in line for line in lines)]
    assert not [page for page in (*MADE, *TOLD) if page not in text]
