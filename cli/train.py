"""``crossdyad train``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import explained
from .options import AsJson, DataSource, Folder, WeightsFile, dump, loaded, refuse, with_data
from .progress import bar

if TYPE_CHECKING:
    from ..explore.learning import Trained
    from ..recipe import Recipe


@explained
def train(
    recipe: Annotated[str | None, typer.Argument(metavar="[RECIPE]", help="a preset's name or a TOML file")] = None,
    output: Folder = Path("build"),
    as_json: AsJson = False,
    data: DataSource = None,
    begin: WeightsFile = None,
    frozen: Annotated[
        list[int] | None, typer.Option(metavar="LAYER", help="this layer does not learn, 0 is the first; repeat for more")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="instead of the recipe's")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="train so many chips at once, each with seed and order of its own")] = 1,
    engine: Annotated[str | None, typer.Option(help="of the chip: jax or numpy, the same bits; jax by default")] = None,
    on: Annotated[str | None, typer.Option(metavar="PORT", help="train the chip on the board there")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="with --on: the emulator as well; they must be equal")] = False,
    reference: Annotated[
        list[int] | None, typer.Option(metavar="ROW", help="train a float64 net by a row of the cookbook instead; repeat for more")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="learning rate of the reference net; 0.003 by default")] = None,
    update: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="of that net: adam, sgd, kronecker, or a function of the rate, FILE.py:NAME or package.module:NAME; the row's by default",
        ),
    ] = None,
    hidden: Annotated[list[int] | None, typer.Option(min=1, help="units of a hidden layer of it; repeat for more")] = None,
    channels: Annotated[
        list[int] | None, typer.Option(min=1, help="of a 3 x 3 convolution with 2 x 2 pooling below these, for images; repeat for more")
    ] = None,
) -> None:
    """Train the chip on the emulator: accuracy, weights (.npz), plots.

    Kept after every epoch: run the same command again after an interruption and it goes on to the same bits.
    With --reference ROW a float64 net of 64 hidden units learns digits (or data of your own) by that row's rule; several rows make a
    table.

    Example: crossdyad train digits -o build

    Example: crossdyad train digits --from net.pt --frozen 0

    Example: crossdyad train digits --on /dev/ttyUSB0 --compare

    Example: crossdyad train --reference 20 --reference 52 --epochs 10 --seeds 3

    Example: crossdyad train --reference 57 --channels 8 --channels 16 --hidden 32
    """
    import math

    from .. import data as sets
    from ..explore import learning
    from ..recipe import load

    if (recipe is None) == (not reference):
        raise ValueError("RECIPE, --reference: give one of them, a recipe for the chip or a row for the float64 net")
    if rate is not None and not 0 < rate < math.inf:
        raise ValueError(f"--rate: {rate:g}; allowed is a positive number")
    if reference:
        refuse(
            {"--engine": engine, "--from": begin, "--frozen": frozen},
            "only for a RECIPE, whose chip is emulated; leave it out with --reference",
        )
        return _reference(
            reference,
            tuple(hidden or [64]),
            tuple(channels or ()),
            output,
            as_json,
            data,
            epochs or 20,
            seeds,
            3e-3 if rate is None else rate,
            update,
        )
    refuse(
        {"--rate": rate, "--update": update, "--hidden": hidden, "--channels": channels},
        "only with --reference; a RECIPE says its own learning_rate and sizes",
    )
    recipe = with_data(load(recipe), data)
    if frozen:
        recipe = with_frozen(recipe, frozen)
    first = loaded(recipe, begin)
    dataset = sets.of(recipe)
    refuse({"--compare": compare and not on or None}, "only with --on")
    if on:
        refuse({"--engine": engine, "--seeds": seeds if seeds > 1 else None}, "the board's chip is one, and no engine plays it")
        result = _on_board(recipe, dataset, output, epochs, on, compare, first)
    else:
        result = learning.train(recipe, dataset, output, epochs, seeds, engine or "jax", weights=first, stages=bar)
    typer.echo(dump(result) if as_json else text(result, seeds))


def text(result: Trained, seeds: int = 1) -> str:
    """Return what the training of so many chips came to as text."""
    spread = f" +- {100 * result.accuracy_spread:.2f} over {seeds} seeds" if seeds > 1 else ""
    lines = [
        f"{result.recipe}: {100 * result.accuracy:.2f} %{spread} on the test set after {result.epochs} "
        f"epoch{'s' * (result.epochs != 1)}, {result.cycles} chip cycles"
    ]
    if result.r2 is not None:
        lines.append(f"  as numbers: R2 {result.r2:.4f}, root mean square error {result.rmse:.4g}")
    lines += [f"  {name} out of range: {count}" for name, count in result.saturations.items()]
    lines += [f"  note: {note}" for note in result.notes]
    return "\n".join([*lines, *(f"  {f}" for f in result.files)])


def _reference(
    rows: list[int],
    hidden: tuple[int, ...],
    channels: tuple[int, ...],
    output: Path,
    as_json: bool,
    folder,
    epochs: int,
    seeds: int,
    rate: float,
    update: str | None,
) -> None:
    """One call for each row; prints the table of results as they come."""
    from .. import data as sets
    from ..models.cookbook.reference import convolved, reference, sizes_of
    from ..models.cookbook.standard import UPDATES, standard
    from ..models.steps import from_rate
    from ..recipe.imported import typed

    name = folder.stem if folder else "digits"
    dataset = sets.load(folder or name)
    sizes = sizes_of(dataset, hidden)
    layers = convolved(sets.as_images(dataset), channels, hidden) if channels else sizes
    chosen = typed(update, UPDATES) if update else None
    if chosen:
        from_rate(chosen, rate)
    for row in rows:  # what cannot be trained is said before hours of others
        standard(row, layers)
    results = []
    if not as_json:
        units = (sizes[0], *(f"{c} channels" for c in channels), *sizes[1:])
        typer.echo(
            f"{'-'.join(map(str, units))} on {name}, {epochs} epoch{'s' * (epochs != 1)}, {seeds} seed{'s' * (seeds > 1)}: "
            "accuracy on the test set"
        )
        typer.echo(f"{'row':>4}  {'accuracy':<18}{'best':>9}  rule")
    for row in rows:
        with bar(f"row {row}") as report:
            results.append(reference(row, dataset, hidden, epochs, seeds, rate, output, name, report, channels, chosen))
        if not as_json:
            r = results[-1]
            said = f"{100 * r.accuracy:.2f} %" + (f" +- {100 * r.accuracy_spread:.2f}" if seeds > 1 else "")
            typer.echo(f"{row:>4}  {said:<18}{100 * r.best:>7.2f} %  {r.title}")
            if r.left_out or r.unanswered:
                typer.echo(
                    f"      did not settle: at most {r.left_out} samples of an epoch, left out of their batches; at most "
                    f"{r.unanswered} of a test, counted as wrong"
                )
    typer.echo(dump(results[0] if len(results) == 1 else results) if as_json else "\n".join(f"  {f}" for r in results for f in r.files))


def with_frozen(recipe: Recipe, layers: list[int]) -> Recipe:
    """Return a recipe of which these layers do not learn, checked as a whole."""
    from ..recipe import Recipe, RecipeError, mistakes

    try:
        return Recipe.model_validate(recipe.model_dump() | {"frozen": sorted(set(layers))})
    except ValueError as error:
        raise RecipeError("\n".join(mistakes(error, recipe.name, Recipe))) from None


def _on_board(recipe: Recipe, dataset, output: Path, epochs: int | None, port: str, compare: bool, first) -> Trained:
    """Train the chip at a port as an emulated one; then, if asked, that one as well."""
    from .. import board
    from ..explore import learning

    output.mkdir(parents=True, exist_ok=True)
    with board.Chip(recipe, port, journal=output / f"{recipe.name}.journal") as chip:
        n, room = len(dataset.x_train), chip.room
        kept = f"the {n} training samples are kept in the board's memory"
        sent = f"each training sample goes over the line, as the board keeps {room or 'none'} of the {n}"
        typer.echo(f"{port}: {kept if room >= n else sent}", err=True)
        result = learning.train(recipe, dataset, output, epochs, chip=chip, weights=first, compare=compare, stages=bar)
    if compare:
        alone = recipe.samples_in_flight == 1  # what overlaps depends on when samples come
        typer.echo(f"{port}: every weight{' and the cycles equal' if alone else ' equals'} the emulator's", err=True)
    return result
