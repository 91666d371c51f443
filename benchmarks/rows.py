"""What every row of the cookbook that trains a classifier makes of the 8x8 digits: a table, all from one command.

    python benchmarks/rows.py [ROW ...] [--epochs 10] [--seeds 3] [--hidden 32] [--report docs/rows.md]

One net for all rows as far as they allow it (`models/cookbook/standard.py` says which), one rate, nothing tuned for a row. Runs are kept
after every epoch, rows when they are done: called again, the command goes on where it was. Rows that are not trained are listed with the
reason. Where all rows are asked for, those that are one computation on this net follow on a net of one more hidden layer, probes at as many
passes as backprop takes, and what learns for longer.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from crossdyad import data
from crossdyad.cli.cookbook import catalog
from crossdyad.models import NoFixedPoint, cards, train
from crossdyad.models.cookbook import ROWS
from crossdyad.models.cookbook.standard import REFUSED, STANDARDS, learn, standard, trainable
from crossdyad.models.steps import from_rate

BACKPROP = 2
"""Passes of backprop for a sample's gradient, one in rows and one in columns."""
PROBES, DIRECTIONS = (29, 30, 31, 32), 16
LONGER = ((42, 32, 30), (42, 64, 30))
"""Rows, hidden units and epochs of runs for as long as a row asks for."""
DIFFERING = ("sweeps", "transposed", "copies", "feedback_words", "state_words", "drawn", "derivatives", "chain", "random", "scalars")
"""Fields of a card that tell rows of one computation apart."""


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


def spread(accuracies) -> str:
    """The mean over seeds and its deviation."""
    return f"{np.mean(accuracies):.2f}" + (f" +- {np.std(accuracies, ddof=1):.2f}" if len(accuracies) > 1 else "")


def card(row: int) -> dict:
    """What a row asks of hardware; nothing where it is not counted."""
    return catalog()[row].get("card", {})


def passes(row: int, directions: int = DIRECTIONS) -> str | int:
    """The most vectors that any matrix multiplies in rows for one sample's gradient: of the row's card, but of probes as trained."""
    if row in PROBES:
        return max(cards.counted(row, directions=directions)[0].forward.values())
    return card(row).get("sweeps", "-")


def text(row: int, found: dict, same=()) -> str:
    """A line of the table."""
    accuracies = np.array(found["accuracies"])
    said = [spread(accuracies[:, -1]), f"{accuracies.max():.2f}"] if accuracies.size else ["-", "-"]
    return f"| {row} | {ROWS[row].title} | {' | '.join(said)} | {passes(row)} | {', '.join(map(str, same))} | {found['remark']} |"


def groups(found: dict[int, dict]) -> list[list[int]]:
    """Rows of which every seed has the same accuracy in every epoch."""
    alike: dict[str, list[int]] = {}
    for row, run in found.items():
        if run["accuracies"]:
            alike.setdefault(json.dumps(run["accuracies"]), []).append(row)
    return [rows for rows in alike.values() if len(rows) > 1]


def apart(found: dict[int, dict], deeper: dict[int, dict]) -> list[str]:
    """Lines of the table of rows that are one computation: their accuracy on the deeper net, and where their cards differ."""
    lines = []
    for rows in groups(found):
        told = [k for k in DIFFERING if len({card(row).get(k) for row in rows}) > 1]
        for row in rows:
            still = [other for other in rows if other != row and deeper[other]["accuracies"] == deeper[row]["accuracies"]]
            last = [run[-1] for run in deeper[row]["accuracies"]]
            costs = [f"{k.replace('_', ' ')} {card(row)[k]}" for k in told if k in card(row)]
            if isinstance(trained := STANDARDS[row][1], int):
                costs.insert(0, f"trained as row {trained}")
            lines.append(f"| {row} | {ROWS[row].title} | {spread(last)} | {', '.join(map(str, still))} | {', '.join(costs)} |")
    return lines


def probed(row: int, found: dict, sizes, dataset, given) -> str:
    """A line of the table of probes: their first epoch, and one direction a sample for as many epochs as cost what backprop's do."""
    taken = passes(row, 1)
    epochs = given.epochs * BACKPROP // taken
    accuracies = []
    for seed in range(1, given.seeds + 1):
        s = standard(row, sizes, seed)
        run = train(
            *(s.rule, s.circuit, s.objective, dataset),
            epochs=epochs,
            seed=seed,
            settings=s.settings | {"directions": 1},
            optimizer=from_rate(s.optimizer, 3e-3),
        )
        accuracies.append(100 * run.epochs[-1]["accuracy"])
    first = spread([run[0] for run in found["accuracies"]])
    many = passes(row)
    return f"| {row} | {ROWS[row].title} | {many} | {first} | {taken} | {epochs} | {spread(accuracies)} |"


def table(found: dict[int, dict], given, sizes) -> str:
    """The first table and what is not in it, or as much as has been run."""
    missing = [row for row in trainable() if row not in found] if list(found) == trainable()[: len(found)] else []
    pending = [f"Not run yet: rows {', '.join(map(str, missing))}; the command goes on with them.", ""] if missing else []
    several = f"--hidden {' '.join(map(str, given.hidden))} --epochs {given.epochs} --seeds {given.seeds}"
    same = {row: [other for other in rows if other != row] for rows in groups(found) for row in rows}
    return "\n".join(
        [
            "# The rows on digits",
            "",
            f"Accuracy on the test set of the 8x8 digits, per cent, after {given.epochs} epochs in batches of 32: mean and standard "
            f"deviation over {given.seeds} seeds, and the best epoch of any. One net for all, {'-'.join(map(str, sizes))} as far "
            "as a row allows, Adam at 3e-3 (gradient descent at 0.09 for rows 25, 26 and 28, Kronecker factors at "
            "0.09 for row 82); nothing is tuned for a row, but that loops (2, 7, 21, 22) are kept contracting, and that outputs of "
            "rows 51, 53, 58 and 64 have no bounds above hidden units between 0 and 1, and nudges of row 53 are .1, of row 51 .25. "
            "Four points (53) extrapolate a response that is smooth: one of outputs between 0 and 1 has a bend, and an "
            "output that the outer nudges lift off its bound and the inner ones do not is moved the wrong way, as outer points count "
            "against inner ones; it stayed at 0, and its class was lost. Nudged to both sides by .5 (8, 52, 60, 61, 66, 67, 77) outputs "
            "with bounds are better, as they cannot run away where the nudge takes half of their curvature. Weights, orders and "
            "directions are drawn by JAX's generator, not by the chip's.",
            "",
            "*Passes* are the most vectors that any matrix multiplies in rows for one sample's gradient (`sweeps` of "
            "`crossdyad cookbook --cost --json`, on its net of three hidden layers; here with the "
            f"{DIRECTIONS} directions that rows 29 to 32 are trained with). *Same* are the rows with which one has the accuracy of "
            "every seed and epoch in common: on this net "
            "they are one computation, or one up to what no sample's class shows. Written by",
            "",
            f"```sh\npython benchmarks/rows.py {several} --report docs/rows.md\n```",
            "",
            "| row | rule | accuracy | best | passes | same | remark |",
            "|---|---|---|---|---|---|---|",
            *(text(row, run, same.get(row, ())) for row, run in found.items()),
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


def more(found: dict[int, dict], sizes, digits, given) -> str:
    """What follows where all rows have been run: groups on a deeper net, probes for each pass, longer runs."""
    deep = (*sizes[:-1], *sizes[-2:])
    deeper = {row: measure(row, deep, digits, given.epochs, given.seeds, given.kept) for rows in groups(found) for row in rows}
    longer = [measure(row, (sizes[0], hidden, sizes[-1]), digits, epochs, given.seeds, given.kept) for row, hidden, epochs in LONGER]
    several = f"--epochs {given.epochs} --seeds {given.seeds}"
    return "\n".join(
        [
            "## Rows that are one computation",
            "",
            f"The rows that the first table calls the same, on {'-'.join(map(str, deep))}; *same* are those that still are, and what a "
            "row asks of hardware is where the cards of its group differ. Of those whose cards are equal, 31 draws its directions again "
            "from a seed where 29 holds them, 57 is 56 at the alpha of .5 that both are trained with and another at others, and 8, 52 "
            "and 77 are a net, its nudges and its solver. By the command above, or for these alone",
            "",
            f"```sh\npython benchmarks/rows.py {' '.join(map(str, deeper))} --hidden {' '.join(map(str, deep[1:-1]))} {several}\n```",
            "",
            "| row | rule | accuracy | same | card |",
            "|---|---|---|---|---|",
            *apart(found, deeper),
            "",
            "## Probes for each pass",
            "",
            f"Backprop takes {BACKPROP} passes a sample, one in rows and one in columns, {given.epochs * BACKPROP} in {given.epochs} "
            f"epochs, after which it is at {spread([run[-1] for run in found[20]['accuracies']])}. What probes reach with {DIRECTIONS} "
            "directions a sample after one epoch, and with one direction after as many epochs as cost what backprop's do; the rate is "
            "the same.",
            "",
            "| row | rule | passes | after 1 epoch | passes, 1 direction | epochs | after these |",
            "|---|---|---|---|---|---|---|",
            *(probed(row, found[row], sizes, digits, given) for row in PROBES),
            "",
            "## Rows that ask for more epochs",
            "",
            "| row | accuracy | best | command |",
            "|---|---|---|---|",
            *(
                f"| {row} | {spread(np.array(run['accuracies'])[:, -1])} | {np.max(run['accuracies']):.2f} | "
                f"`crossdyad train --reference {row} --hidden {hidden} --epochs {epochs} --seeds {given.seeds}` |"
                for (row, hidden, epochs), run in zip(LONGER, longer, strict=True)
            ),
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
    found = {}
    for row in given.rows:
        found[row] = measure(row, sizes, digits, given.epochs, given.seeds, given.kept)
        if given.report:
            given.report.write_text(table(found, given, sizes))
    page = table(found, given, sizes)
    if given.rows == trainable():
        page += "\n" + more(found, sizes, digits, given)
    if given.report:
        given.report.write_text(page)
    else:
        print(page)


if __name__ == "__main__":
    main()
