"""What every row of the cookbook that trains a classifier makes of the 8x8 digits: a table, all from one command.

    python benchmarks/rows.py [ROW ...] [--epochs 10] [--seeds 3] [--hidden 32] [--report docs/rows.md]

One net for all rows as far as they allow it (`models/cookbook/standard.py` says which), one rate, nothing tuned for a row. Runs are kept
after every epoch, rows when they are done: called again, the command goes on where it was. Rows that are not trained are listed with the
reason.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from crossdyad import data
from crossdyad.models import NoFixedPoint
from crossdyad.models.cookbook import ROWS
from crossdyad.models.cookbook.standard import REFUSED, learn, trainable


def measure(row: int, sizes, dataset, epochs: int, seeds: int, kept: Path) -> dict:
    """Accuracies by seed and epoch, in per cent, or why there are none."""
    name = f"row{row}-{'-'.join(map(str, sizes))}"
    done = kept / f"{name}-{epochs}-{seeds}.json"
    if done.exists():
        return json.loads(done.read_text())
    began, found = time.perf_counter(), {"accuracies": [], "remark": ""}
    for seed in range(1, seeds + 1):
        try:
            run = learn(row, sizes, dataset, epochs, seed, checkpoint=kept / f"{name}-{seed}.npz")
        except NoFixedPoint as error:
            found["remark"] = f"seed {seed}: {str(error).split(': ', 1)[1]}"
            break
        found["accuracies"].append([100 * e["accuracy"] for e in run.epochs])
    print(f"row {row}: {text(row, found)} {time.perf_counter() - began:.0f} s", flush=True)
    done.write_text(json.dumps(found))
    return found


def text(row: int, found: dict) -> str:
    """A line of the table."""
    accuracies = np.array(found["accuracies"])
    said = ["-", "-"]
    if accuracies.size:
        last = accuracies[:, -1]
        said = [f"{last.mean():.2f}" + (f" +- {last.std(ddof=1):.2f}" if len(last) > 1 else ""), f"{accuracies.max():.2f}"]
    return f"| {row} | {ROWS[row].title} | {' | '.join(said)} | {found['remark']} |"


def table(lines: list[str], given, sizes) -> str:
    """The whole document, or as much as has been run."""
    missing = trainable()[len(lines) :] if given.rows[: len(lines)] == trainable()[: len(lines)] else []
    pending = [f"Not run yet: rows {', '.join(map(str, missing))}; the command goes on with them.", ""] if missing else []
    several = f"--hidden {' '.join(map(str, given.hidden))} --epochs {given.epochs} --seeds {given.seeds}"
    return "\n".join(
        [
            "# The rows on digits",
            "",
            f"Accuracy on the test set of the 8x8 digits, per cent, after {given.epochs} epochs in batches of 32: mean and standard "
            f"deviation over {given.seeds} seeds, and the best epoch of any. One net for all, {'-'.join(map(str, sizes))} as far "
            "as a row allows, Adam at 3e-3 (gradient descent at 0.09 for rows 25, 26 and 28, Kronecker factors at "
            "0.09 for row 82); nothing is tuned for a row, but "
            "that loops (2, 7, 21, 22) are kept contracting. Weights, orders "
            "and directions are drawn by JAX's generator, not by the chip's. Written by",
            "",
            f"```sh\npython benchmarks/rows.py {several} --report docs/rows.md\n```",
            "",
            "| row | rule | accuracy | best | remark |",
            "|---|---|---|---|---|",
            *lines,
            "",
            *pending,
            "Rows that are not trained this way, and why:",
            "",
            "| row | title | reason |",
            "|---|---|---|",
            *(f"| {n} | {ROWS[n].title} | {why} |" for n, why in sorted(REFUSED.items())),
            "",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=int, default=trainable(), metavar="ROW", help="all that can be trained by default")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hidden", type=int, nargs="+", default=[32])
    parser.add_argument("--kept", type=Path, default=Path("build/rows"), help="folder of the checkpoints")
    parser.add_argument("--report", type=Path, help="write the table here, after every row; printed otherwise")
    given = parser.parse_args()
    digits = data.load("digits")
    sizes = (digits.x_train.shape[1], *given.hidden, 10)
    given.kept.mkdir(parents=True, exist_ok=True)
    lines = []
    for row in given.rows:
        lines.append(text(row, measure(row, sizes, digits, given.epochs, given.seeds, given.kept)))
        if given.report:
            given.report.write_text(table(lines, given, sizes))
    if not given.report:
        print(table(lines, given, sizes))


if __name__ == "__main__":
    main()
