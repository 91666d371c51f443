"""Forward-Forward on the devices of examples/hfox.toml, beside the chip: docs/recomputed.md.

python benchmarks/forward_forward.py                         # five seeds of both forms, just written and after a month
python benchmarks/forward_forward.py --held --rate 0.03125   # on held-out training samples, to choose by

Gradients are the reference's (`models`, row 42); weights are cells of the recipe. An update is as many whole pulses of the recipe's
law as its change counts, rounded at random; at the start of every epoch and before a test weights are written, with the cells' errors.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from crossdyad import data, models
from crossdyad.emulator import devices
from crossdyad.models.cookbook.extended import Goodness
from crossdyad.models.estimators.greedy import forward_forward_gradient, greedy_gradient, layers, normalised, normalising
from crossdyad.recipe import Recipe, load

RECIPE = Path(__file__).parents[1] / "examples" / "hfox.toml"
CLASSES, MONTH = 4, 30 * 86400.0


class Form(NamedTuple):
    """A form of Forward-Forward.

    Attributes
    ----------
    sizes : tuple of int
        That make 4,032 weights.
    passes : callable
        ``passes(weights, x, y, key)`` gives the gradients of each pass of a sample; y is one-hot.
    goodness : callable
        ``goodness(weights, x)`` of each class; the class is that of most.
    """

    sizes: tuple[int, ...]
    passes: Callable
    goodness: Callable


def two_pass(threshold: float = 2.0) -> Form:
    """The sample with its label, then with a wrong one that is drawn: row 42."""
    circuit = Goodness(models.Feedforward((60 + CLASSES, 42, 32), jax.nn.relu, jax.nn.relu), CLASSES)

    def passes(weights, x, y, key):
        wrong = jnp.roll(y, jax.random.randint(key, (), 1, CLASSES))
        shown = ((y, 1.0), (wrong, -1.0))
        return [forward_forward_gradient(circuit.net, weights, circuit.labelled(x, label), sign, threshold) for label, sign in shown]

    return Form((60 + CLASSES, 42, 32), passes, lambda weights, x: circuit.forward(weights, x)[0])


def competitive() -> Form:
    """One pass, without a label: each class has units of its own in every layer, and the goodness of its own is to be the most of all."""
    net = models.Feedforward((60, 48, 24), jax.nn.relu, jax.nn.relu)
    blocks = normalising(layers(net))

    def of_classes(s):
        return jnp.sum(jnp.square(s).reshape(CLASSES, -1), axis=1)

    def loss(head, s, y):
        return models.cross_entropy(of_classes(s), y)

    def passes(weights, x, y, key):
        return [greedy_gradient(blocks, (loss,) * len(blocks), weights, ((),) * len(blocks), normalised(x), y)[0]]

    def goodness(weights, x):
        found, s = 0.0, normalised(x)
        for block, w in zip(blocks, weights, strict=True):
            s = block(w, s)
            found += of_classes(s)
        return found

    return Form((60, 48, 24), passes, goodness)


def moved(cells: devices.Cells, weights: np.ndarray, gradient: np.ndarray, rate: float, draw: np.random.Generator) -> np.ndarray:
    """Return weights after as many pulses as their changes count, a part of one with that chance."""
    counts = np.floor(-rate / cells.device.step * gradient + draw.random(gradient.shape))
    return devices.send(cells, weights, counts)


def trained(form: Form, recipe: Recipe, given: data.Dataset, seed: int, rate: float, epochs: int, ages=(None, MONTH)) -> list[float]:
    """Train one net and return its accuracy on the test set when it was just written, and after the other ages in seconds."""
    device, f, law = devices.device_of(recipe.devices), recipe.formats.weight, recipe.pulses
    pulsed = devices.PulsedDevice(devices.SoftBounds(), law.step, f.low, f.high)
    draw, key = np.random.default_rng(seed), jax.random.key(seed)
    weights = [draw.normal(0, np.sqrt(2 / a), (b, a)) for a, b in zip(form.sizes[:-1], form.sizes[1:], strict=True)]
    cells = [pulsed.cells(w.shape, seed, np.float64) for w in weights]
    mapping = devices.mapping_of(recipe)

    def written(write, age=None):
        return [devices.stored(w, device, seed, k, write, age, mapping=mapping, lines=recipe.arrays.lines) for k, w in enumerate(weights)]

    gradients = jax.jit(form.passes)
    told = jax.jit(jax.vmap(form.goodness, (None, 0)))
    x, y = given.x_train, np.eye(CLASSES)[given.y_train]
    for epoch in range(epochs):
        weights = written(epoch)
        eta = rate * 2.0 ** -(epoch // recipe.training.halve_every)
        for i in draw.permutation(len(x)):
            key, own = jax.random.split(key)
            for gradient in gradients(tuple(weights), x[i], y[i], own):
                weights = [moved(c, w, np.asarray(g), eta, draw) for c, w, g in zip(cells, weights, gradient, strict=True)]
    made = [written(epochs, age) for age in ages]
    return [float(np.mean(np.argmax(told(tuple(w), given.x_test), -1) == given.y_test)) for w in made]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rate", type=float, help="of both forms; by default what was chosen for each on held-out samples")
    parser.add_argument("--held", action="store_true", help="test on the last fifth of the training samples, with seeds from 101 on")
    asked = parser.parse_args()
    recipe = load(RECIPE)
    given = data.of(recipe)
    first = 101 if asked.held else 1
    if asked.held:
        n = len(given.x_train) * 4 // 5
        given = given._replace(x_train=given.x_train[:n], y_train=given.y_train[:n], x_test=given.x_train[n:], y_test=given.y_train[n:])
    for name, form, rate in (("two-pass", two_pass(), 0.25), ("competitive", competitive(), 0.125)):
        with models.float64():
            found = [trained(form, recipe, given, s, asked.rate or rate, asked.epochs) for s in range(first, first + asked.seeds)]
        now, later = (f"{100 * v.mean():.1f} +- {100 * v.std(ddof=1):.1f}" for v in np.transpose(found))
        print(f"{name:12} {'-'.join(map(str, form.sizes))}: just written {now} %, after a month {later} %", flush=True)


if __name__ == "__main__":
    main()
