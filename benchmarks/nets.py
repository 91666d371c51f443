"""A net that was trained in floating point, in a chip: how much of its accuracy 8 bits keep, and what one co-simulation says.

784-256-10 on MNIST (its folder in ``CROSSDYAD_DATA``), trained with Adam in JAX, hidden units cut at 0 and where the chip's are. Writes
the net as FOLDER/net.safetensors and the recipe as FOLDER/net.toml; with ``--biases`` the net has biases.
"""

import argparse
import functools
from pathlib import Path

import jax
import numpy as np
import optax
from jax import numpy as jnp

from crossdyad import data, emulator, weights
from crossdyad.recipe import Data, Formats, QFormat, Recipe
from crossdyad.weights import safetensors

EPOCHS, BATCH = 12, 100


def recipe_of(biases: bool) -> Recipe:
    """Return a chip of 8 bits wherever something is kept."""
    formats = Formats(
        state=QFormat(width=8, frac=5),
        weight=QFormat(width=8, frac=6),
        accumulator=QFormat(width=20, frac=11),
        delta=QFormat(width=8, frac=5),
    )
    sizes = (785, 257, 10) if biases else (784, 256, 10)
    return Recipe(
        name="net",
        sizes=sizes,
        lanes=(16, 8),
        formats=formats,
        data=Data(file="mnist", one=biases),
        rounding={"accumulator": "nearest", "state": "nearest"},
    )


def outputs(net, x, top: float):
    """Return the float net's outputs."""
    hidden = jnp.clip(x @ net["0.weight"].T + net.get("0.bias", 0.0), 0.0, top)
    return hidden @ net["2.weight"].T + net.get("2.bias", 0.0)


def trained(dataset: data.Dataset, recipe: Recipe, biases: bool, seed: int = 1) -> dict[str, np.ndarray]:
    """Return a net in PyTorch's names, weights (outputs, inputs), each within the recipe's format."""
    draw, f = np.random.default_rng(seed), recipe.formats
    net = {"0.weight": draw.normal(0, 0.05, (256, 784)), "2.weight": draw.normal(0, 0.09, (10, 256))}
    net |= {"0.bias": np.zeros(256), "2.bias": np.zeros(10)} if biases else {}
    net = {name: jnp.asarray(v, jnp.float32) for name, v in net.items()}
    steps = EPOCHS * len(dataset.x_train) // BATCH
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-3, steps))

    def loss(net, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(4 * outputs(net, x, f.state.high), y).mean()

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(net, state, x, y):
        change, state = optimizer.update(jax.grad(loss)(net, x, y), state)
        return jax.tree.map(lambda v, d: jnp.clip(v + d, f.weight.low, f.weight.high), net, change), state

    state = optimizer.init(net)
    x, y = jnp.asarray(dataset.x_train[:, :784], jnp.float32), jnp.asarray(dataset.y_train)
    for _ in range(EPOCHS):
        mixed = draw.permutation(len(x))
        for at in range(0, len(x), BATCH):
            rows = mixed[at : at + BATCH]
            net, state = step(net, state, x[rows], y[rows])
    return {name: np.asarray(v) for name, v in net.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("build/nets"))
    parser.add_argument("--biases", action="store_true")
    given = parser.parse_args()
    recipe = recipe_of(given.biases)
    dataset = data.of(recipe)
    net = trained(dataset, recipe, given.biases)
    given.folder.mkdir(parents=True, exist_ok=True)
    (given.folder / "net.safetensors").write_bytes(safetensors.encode(net, {"made": "benchmarks/nets.py"}))
    (given.folder / "net.toml").write_text(recipe.to_toml())
    right = np.argmax(outputs(net, dataset.x_test[:, :784], recipe.formats.state.high), -1) == dataset.y_test
    loaded = weights.load(recipe, given.folder / "net.safetensors")
    chip = emulator.Chip(recipe, "jax")
    chip.weights = loaded.weights
    on_chip = emulator.training.accuracy(chip, dataset.x_test, dataset.y_test)
    print(*loaded.layers, *loaded.notes, sep="\n")
    print(f"float32 {100 * right.mean():.2f} %, on the chip {100 * float(on_chip):.2f} %: {100 * (float(on_chip) - right.mean()):+.2f}")


if __name__ == "__main__":
    main()
