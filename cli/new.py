"""``crossdyad new``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import explained

HIDDEN = 32
"""Units of the hidden layer that is proposed."""
STEPS = 50_000
"""Training steps that are proposed, within the limits of `EPOCHS`."""
EPOCHS = (4, 100)
REMEDIES = {
    "leave_out": "columns that hold no numbers",
    "resize": "width and height that images are brought to",
    "missing": "missing values: mean of the column's training part, drop the line, or refuse",
    "single": "classes with one sample: drop, train (learned, never tested), or refuse",
}
"""Options that data may need to be read, with a word of explanation."""


@explained
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="of the recipe: lower case letters, digits, - and _")],
    data: Annotated[
        Path | None,
        typer.Option("--data", help="look at a CSV, Parquet or .npz file, or a folder of IDX files or images, and propose what suits it"),
    ] = None,
    label: Annotated[str, typer.Option(help="name of the label's column; the last by default")] = "",
    hidden: Annotated[list[int] | None, typer.Option(min=1, help=f"units of a hidden layer; repeat for more; {HIDDEN} by default")] = None,
    force: Annotated[bool, typer.Option("--force", help="write over a recipe that is there")] = False,
) -> None:
    """Write NAME.toml, a recipe to start from, with a comment to every line.

    With --data the file is read once: sizes, how missing values and rare classes are met, epochs and formats follow from what it holds.

    Example: crossdyad new mine --data examples/iris.csv && crossdyad train mine.toml
    """
    from ..recipe import parse

    path = Path(f"{name}.toml")
    if path.exists() and not force:
        raise ValueError(f"{path}: is there already; choose another name, or --force to write over it")
    text, notes = proposal(name, data, label, tuple(hidden or (HIDDEN,)))
    parse(text, str(path))
    draft = path.with_name(f".{path.name}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
    for note in notes:
        typer.echo(f"  note: {note}")
    typer.echo(f"{path}\n  crossdyad train {path}\n  crossdyad cosim {path} --simulator icarus")


def proposal(name: str, data: Path | None, label: str = "", hidden: tuple[int, ...] = (HIDDEN,)) -> tuple[str, tuple[str, ...]]:
    """Return the text of a recipe that suits data (digits without any), and what should be known of them.

    Raises
    ------
    DataError
        If the data cannot be read even with missing values filled in and rare classes left out.
    """
    from .. import data as sets
    from ..recipe import toml

    found, told, notes = sets.load("digits"), "", ()
    if data is None and label:
        raise ValueError("--label: only with --data, in whose columns it is")
    if data is not None:
        found, needed = _read(data, label)
        about = found.about
        entries = [("file", str(data), "CSV, Parquet, .npz, or a folder of IDX files or of images per class")]
        entries += [("label", label, "column of the label; the last without this")] if label else []
        entries += [("scale", about.scale, "of the training part: standard, range (-1 to 1), unit (0 to 1) or none")]
        entries += [("one", True, "an input that is always one, so that units can have a bias")]
        entries += [(key, needed[key], why) for key, why in REMEDIES.items() if key in needed]
        entries += (
            [("test", 0.2, "share of each class that is tested on; or a file of its own"), ("seed", 1, "of that choice")]
            if about.drawn
            else []
        )
        told = "\n[data]\n" + "".join(f"{toml.written({k: v}).strip():<34}  # {why}\n" for k, v, why in entries)
        notes = about.notes
    inputs, samples = found.x_train.shape[1], len(found.x_train)
    outputs = int(found.y_train.max()) + 1 if found.about is None else len(found.about.classes)
    sizes = [inputs, *hidden, outputs]
    lanes = [next(n for n in (16, 8, 4, 2, 1) if n < 2 * c and (n <= 8 or c >= 64)) for c in sizes[:-1]]
    epochs = min(max(STEPS // samples, EPOCHS[0]), EPOCHS[1])
    what = f"{samples} training samples of {inputs} inputs, {outputs} classes" + (
        f": {', '.join(found.about.classes[:12])}{', ...' if outputs > 12 else ''}" if found.about else " (8 x 8 images of digits)"
    )
    return (
        f"""# {what}
{f'name = "{name}"':<34}  # files that are written begin with it
sizes = {sizes!s:<26}  # inputs, hidden units, outputs
lanes = {lanes!s:<26}  # multipliers of each layer, powers of two: more are faster and larger
activation = "relu"                 # of hidden units; or leaky_relu, tanh, sigmoid, hard_tanh, hard_sigmoid, identity
rule = "dual-propagation"           # how it learns; crossdyad rules lists all
alpha = 0.5                         # the symmetric dyad: its difference follows the gradient best
beta = 1.0                          # how strongly outputs are nudged towards the label
learning_rate = 0.03125             # powers of two, because the chip shifts
rate_floor = 0.0009765625           # the least that the rate register reaches; halved in training down to it
{told}
[formats]                           # width in bits, and how many of them are behind the point
state = {{ width = 10, frac = 7 }}    # inputs and outputs of units: from -4 to 4
weight = {{ width = 16, frac = 13 }}
accumulator = {{ width = 18, frac = 12 }}
delta = {{ width = 13, frac = 10 }}   # errors: finer than states

[rounding]
weight = "stochastic"               # small updates are not lost

[training]
{f"epochs = {epochs}":<34}  # passes through the training part
{f"halve_every = {max(1, epochs // 4)}":<34}  # epochs until the learning rate is halved
""",
        notes,
    )


def _read(data: Path, label: str):
    """Return the data set, and what it needed to be read: keys of a recipe's data with their values."""
    from .. import data as sets

    needed: dict = {}
    while True:
        try:
            return sets.load(data, label=label, one=True, **needed), needed
        except sets.DataError as error:
            more = {key: value for key, value in error.remedies.items() if value and key not in needed}
            if not more:
                raise
            needed |= more
