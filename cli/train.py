"""``crossdyad train``"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import explained
from .options import AsJson, DataSource, Folder, WeightsFile, dump, loaded, refuse, with_data
from .progress import bar

if TYPE_CHECKING:
    import numpy as np

    from .. import board
    from ..data import Dataset
    from ..emulator import Chip, History
    from ..recipe import Recipe


@explained
def train(recipe: Annotated[str | None, typer.Argument(metavar="[RECIPE]", help="a preset's name or a TOML file")] = None,
          output: Folder = Path("build"), as_json: AsJson = False, data: DataSource = None, begin: WeightsFile = None,
          frozen: Annotated[list[int] | None, typer.Option(
              metavar="LAYER", help="this layer does not learn, 0 is the first; repeat for more")] = None,
          epochs: Annotated[int | None, typer.Option(min=1, help="instead of the recipe's")] = None,
          seeds: Annotated[int, typer.Option(min=1, help="train so many chips at once, each with seed and order of its own")] = 1,
          engine: Annotated[str | None, typer.Option(help="of the chip: jax or numpy, the same bits; jax by default")] = None,
          on: Annotated[str | None, typer.Option(metavar="PORT", help="train the chip on the board there")] = None,
          compare: Annotated[bool, typer.Option("--compare", help="with --on: the emulator as well; they must be equal")] = False,
          reference: Annotated[list[int] | None, typer.Option(
              metavar="ROW", help="train a float64 net by a row of the cookbook instead; repeat for more")] = None,
          rate: Annotated[float | None, typer.Option(help="learning rate of the reference net (Adam); 0.003 by default")] = None,
          hidden: Annotated[list[int] | None, typer.Option(min=1, help="units of a hidden layer of it; repeat for more")] = None) -> None:
    """Train the chip on the emulator: accuracy, weights (.npz), plots.

    Kept after every epoch: run the same command again after an interruption and it goes on to the same bits.
    With --reference ROW a float64 net of 64 hidden units learns digits (or data of your own) by that row's rule; several rows make a
    table.

    Example: crossdyad train digits -o build

    Example: crossdyad train digits --from net.pt --frozen 0

    Example: crossdyad train digits --on /dev/ttyUSB0 --compare

    Example: crossdyad train --reference 20 --reference 52 --epochs 10 --seeds 3
    """
    import math

    from .. import data as sets
    from ..recipe import load
    from . import plots

    if (recipe is None) == (not reference):
        raise ValueError("RECIPE, --reference: give one of them, a recipe for the chip or a row for the float64 net")
    if rate is not None and not 0 < rate < math.inf:
        raise ValueError(f"--rate: {rate:g}; allowed is a positive number")
    if reference:
        refuse({"--engine": engine, "--from": begin, "--frozen": frozen},
               "only for a RECIPE, whose chip is emulated; leave it out with --reference")
        return _reference(reference, hidden or [64], output, as_json, data, epochs or 20, seeds, 3e-3 if rate is None else rate)
    refuse({"--rate": rate, "--hidden": hidden}, "only with --reference; a RECIPE says its own learning_rate and sizes")
    recipe = with_data(load(recipe), data)
    if frozen:
        recipe = with_frozen(recipe, frozen)
    first = loaded(recipe, begin)
    dataset = sets.of(recipe)
    refuse({"--compare": compare and not on or None}, "only with --on")
    if on:
        refuse({"--engine": engine, "--seeds": seeds if seeds > 1 else None}, "the board's chip is one, and no engine plays it")
        history, files = _board(recipe, dataset, output, epochs, on, compare, first)
    else:
        history, files = run(recipe, dataset, output, epochs, seeds, engine or "jax", weights=first)
    plots.learning(history, output / f"{recipe.name}-learning.svg")
    plots.ranges(history, output / f"{recipe.name}-ranges.svg")
    files += [output / f"{recipe.name}-learning.svg", output / f"{recipe.name}-ranges.svg"]
    result = summary(recipe, history, seeds, dataset, first) | {"files": [str(f) for f in files]}
    if as_json:
        typer.echo(dump(result))
        return
    spread = f" +- {100 * result['accuracy_spread']:.2f} over {seeds} seeds" if seeds > 1 else ""
    typer.echo(f"{recipe.name}: {100 * result['accuracy']:.2f} %{spread} on the test set after {result['epochs']} "
               f"epoch{'s' * (result['epochs'] != 1)}, {result['cycles']} chip cycles")
    if "r2" in result:
        typer.echo(f"  as numbers: R2 {result['r2']:.4f}, root mean square error {result['rmse']:.4g}")
    for name, count in result["saturations"].items():
        typer.echo(f"  {name} out of range: {count}")
    for note in result["notes"]:
        typer.echo(f"  note: {note}")
    typer.echo("\n".join(f"  {f}" for f in result["files"]))


def _reference(rows: list[int], hidden, output: Path, as_json: bool, folder, epochs: int, seeds: int, rate: float):
    """One float64 run per row and seed; prints the table of results."""
    import numpy as np

    from .. import data as sets
    from ..models.cookbook import ROWS
    from ..models.cookbook.standard import learn, standard

    name = folder.stem if folder else "digits"
    dataset = sets.load(folder or name)
    sizes = (dataset.x_train.shape[1], *hidden, int(dataset.y_train.max()) + 1)
    for row in rows:        # what cannot be trained is said before hours of others
        standard(row, sizes)
    output.mkdir(parents=True, exist_ok=True)
    results = []
    if not as_json:
        typer.echo(f"{'-'.join(map(str, sizes))} on {name}, {epochs} epoch{'s' * (epochs != 1)}, {seeds} seed{'s' * (seeds > 1)}: "
                   "accuracy on the test set")
        typer.echo(f"{'row':>4}  {'accuracy':<18}{'best':>9}  rule")
    for row in rows:
        histories, files = [], []
        for seed in range(1, seeds + 1):
            files.append(output / f"row{row}-{name}-{'-'.join(map(str, sizes))}-seed{seed}.npz")
            with bar(f"row {row}, seed {seed}") as report:
                done = learn(row, sizes, dataset, epochs, seed, rate, checkpoint=files[-1], progress=report)
            histories.append([e["accuracy"] for e in done.epochs])
        last = np.array([h[-1] for h in histories])
        results.append({"row": row, "title": ROWS[row].title, "data": name, "sizes": sizes, "epochs": epochs, "seeds": seeds,
                        "accuracy": float(last.mean()), "accuracy_spread": float(last.std(ddof=1)) if seeds > 1 else 0.0,
                        "best": float(np.max(histories)), "history": histories, "files": [str(f) for f in files]})
        if not as_json:
            r = results[-1]
            said = f"{100 * r['accuracy']:.2f} %" + (f" +- {100 * r['accuracy_spread']:.2f}" if seeds > 1 else "")
            typer.echo(f"{row:>4}  {said:<18}{100 * r['best']:>7.2f} %  {r['title']}")
    typer.echo(dump(results[0] if len(results) == 1 else results) if as_json else "\n".join(f"  {f}" for r in results for f in r["files"]))


def with_frozen(recipe: Recipe, layers: list[int]) -> Recipe:
    """Return a recipe of which these layers do not learn, checked as a whole."""
    from ..recipe import Recipe, RecipeError, mistakes

    try:
        return Recipe.model_validate(recipe.model_dump() | {"frozen": sorted(set(layers))})
    except ValueError as error:
        raise RecipeError("\n".join(mistakes(error, recipe.name, Recipe))) from None


def _board(recipe, dataset, output: Path, epochs, port: str, compare: bool, first):
    """Train the chip at a port as `run` trains an emulated one; then, if asked, that one as well."""
    import numpy as np

    from .. import board, emulator

    output.mkdir(parents=True, exist_ok=True)
    with board.Chip(recipe, port, journal=output / f"{recipe.name}.journal") as chip:
        n, room = len(dataset.x_train), chip.room
        kept = f"the {n} training samples are kept in the board's memory"
        sent = f"each training sample goes over the line, as the board keeps {room or 'none'} of the {n}"
        typer.echo(f"{port}: {kept if room >= n else sent}", err=True)
        history, files = run(recipe, dataset, output, epochs, chip=chip, weights=first)
    if compare:
        with bar("the emulator, to compare") as report:
            fresh = recipe.model_copy(update={"staleness": ()})           # over the link samples come one after the other
            expected = emulator.train(fresh, *dataset, epochs=epochs, progress=report, weights=first)
        differ = sum(int(np.count_nonzero(a != b)) for a, b in zip(history.weights, expected.weights, strict=True))
        alone = recipe.samples_in_flight == 1       # what overlaps depends on when samples come
        more = history.cycles - expected.cycles if alone else 0
        if differ or more:
            raise RuntimeError(f"{port}: {differ} weights and {more} cycles differ from the emulator's")
        typer.echo(f"{port}: every weight{' and the cycles equal' if alone else ' equals'} the emulator's", err=True)
    return history, files


def run(recipe: Recipe, dataset: Dataset, output: Path, epochs: int | None = None, seeds: int = 1, engine: str = "jax",
        chip: Chip | board.Chip | None = None, weights: Sequence[np.ndarray] | None = None) -> tuple[History, list[Path]]:
    """Train with a progress bar and a checkpoint; returns the history and the files written."""
    from .. import emulator
    from ..recipe.seeds import several
    from ..weights import write_integers

    output.mkdir(parents=True, exist_ok=True)
    checkpoint = output / f"{recipe.name}.checkpoint.npz"
    chips = None if seeds == 1 else several(recipe.seed, seeds)
    with bar("training") as report:
        history = emulator.train(recipe, *dataset, epochs=epochs, engine=engine, seeds=chips, progress=report,
                                 checkpoint=checkpoint, chip=chip, weights=weights)
    return history, [write_integers(output / f"{recipe.name}-weights.npz", recipe, history.weights, scaling(dataset)), checkpoint]


def scaling(dataset: Dataset) -> dict:
    """What a chip's user must know of one's own data, as arrays: ``data_offset``, ``data_factor``, ``data_columns``, ``data_classes``."""
    import numpy as np

    if dataset.about is None:
        return {}
    a = dataset.about
    return {"data_offset": a.offset, "data_factor": a.factor, "data_columns": np.array(a.columns, str), "data_classes": np.array(a.classes)}


def _numbers(recipe, history, dataset) -> dict:
    """How well outputs stand for numbers: the mean of the bins by their outputs, where positive."""
    import numpy as np

    from .. import emulator

    chip = emulator.Chip(recipe.as_built, "jax", history.weights[0].shape[:-2])
    chip.weights = history.weights
    shares = np.maximum(recipe.formats.state.decode(chip.infer(dataset.x_test)), 0)[..., :len(dataset.about.levels)]
    total, wanted = shares.sum(-1), dataset.about.targets[1]
    middle = np.mean(dataset.about.targets[0])
    answers = np.where(total > 0, shares @ dataset.about.levels / np.where(total > 0, total, 1), middle)
    error = np.mean((answers - wanted) ** 2)
    return {"r2": float(1 - error / max(np.var(wanted), 1e-300)), "rmse": float(np.sqrt(error))}


def summary(recipe: Recipe, history: History, seeds: int = 1, dataset: Dataset | None = None,
            first: Sequence[np.ndarray] | None = None) -> dict:
    """Return a training run of so many chips, from given weights or the recipe's, as plain data; notes say what should be known."""
    import numpy as np

    from .. import emulator
    from ..recipe.seeds import several

    last = history.epochs[-1]
    first = first or emulator.initial_weights(recipe, None if seeds == 1 else several(recipe.seed, seeds))
    moved = sum(int(np.count_nonzero(b != a)) for a, b in zip(first, history.weights, strict=True))
    about = getattr(dataset, "about", None)
    return (_numbers(recipe, history, dataset) if about is not None and about.levels is not None else {}) | {
        "recipe": recipe.name, "epochs": last["epoch"], "accuracy": float(np.mean(last["accuracy"])),
        "accuracy_spread": float(np.std(last["accuracy"], ddof=1)) if seeds > 1 else 0.0, "loss": float(np.mean(last["loss"])),
        "cycles": history.cycles, "saturations": {k: int(np.sum(v)) for k, v in history.saturations.items()},
        "moved": moved, "notes": [*(about.notes if about is not None else ()), *([] if moved or not recipe.learns else [
            f"no weight has changed: {emulator.training.standing_still(recipe)}"])],
        "history": [{k: np.asarray(v).tolist() for k, v in e.items()} for e in history.epochs],
    }
