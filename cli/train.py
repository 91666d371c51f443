"""``crossdyad train``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import explained
from .options import AsJson, DataFolder, Folder, RecipeName, dataset_of
from .progress import bar


@explained
def train(recipe: RecipeName, output: Folder = Path("build"), as_json: AsJson = False, data: DataFolder = None,
          epochs: Annotated[int | None, typer.Option(min=1, help="instead of the recipe's")] = None,
          seeds: Annotated[int, typer.Option(min=1, help="train this many chips at once, each with its own seed")] = 1,
          engine: Annotated[str, typer.Option(help="jax or numpy: the same bits")] = "jax"):
    """Train the chip on the emulator: accuracy, weights (.npz), plots.

    Kept after every epoch: run the same command again after an interruption and it goes on to the same bits.

    Example: crossdyad train digits -o build
    """
    import json

    from .. import data as sets
    from ..recipe import load
    from . import plots

    recipe = load(recipe)
    history, files = run(recipe, sets.load(dataset_of(recipe), data), output, epochs, seeds, engine)
    plots.learning(history, output / f"{recipe.name}-learning.svg")
    plots.ranges(history, output / f"{recipe.name}-ranges.svg")
    files += [output / f"{recipe.name}-learning.svg", output / f"{recipe.name}-ranges.svg"]
    result = summary(recipe, history) | {"files": [str(f) for f in files]}
    if as_json:
        typer.echo(json.dumps(result))
        return
    spread = f" +- {100 * result['accuracy_spread']:.2f} over {seeds} seeds" if seeds > 1 else ""
    typer.echo(f"{recipe.name}: {100 * result['accuracy']:.2f} %{spread} on the test set after {result['epochs']} epochs, "
               f"{result['cycles']} chip cycles")
    for name, count in result["saturations"].items():
        typer.echo(f"  {name} out of range: {count}")
    typer.echo("\n".join(f"  {f}" for f in result["files"]))


def run(recipe, dataset, output: Path, epochs=None, seeds: int = 1, engine: str = "jax"):
    """Train with a progress bar and a checkpoint; returns the history and the files written."""
    import numpy as np

    from .. import emulator

    output.mkdir(parents=True, exist_ok=True)
    checkpoint = output / f"{recipe.name}.checkpoint.npz"
    several = None if seeds == 1 else [recipe.seed + i for i in range(seeds)]
    with bar("training") as report:
        history = emulator.train(recipe, *dataset, epochs=epochs, engine=engine, seeds=several, progress=report,
                                 checkpoint=checkpoint)
    weights = output / f"{recipe.name}-weights.npz"
    draft = weights.with_name(f".{weights.name}")
    with open(draft, "wb") as file:
        np.savez(file, **{f"weights{k}": w for k, w in enumerate(history.weights)})
    draft.replace(weights)
    return history, [weights, checkpoint]


def summary(recipe, history) -> dict:
    """A training run as plain data."""
    import numpy as np

    last = history.epochs[-1]
    return {
        "recipe": recipe.name, "epochs": last["epoch"], "accuracy": float(np.mean(last["accuracy"])),
        "accuracy_spread": float(np.std(last["accuracy"])), "loss": float(np.mean(last["loss"])),
        "cycles": history.cycles, "saturations": {k: int(np.sum(v)) for k, v in history.saturations.items()},
        "history": [{k: np.asarray(v).tolist() for k, v in e.items()} for e in history.epochs],
    }
