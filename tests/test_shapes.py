"""The shapes that docstrings promise are those that functions take and return, in any array that is passed while chips are played.

Other files hold theirs, too: those that use the fixture `promises`.
"""

import numpy as np
import pytest
import shapes

from crossdyad import data, emulator
from crossdyad.emulator import arrays, crossbar, devices, walk
from crossdyad.emulator.many import Many
from crossdyad.recipe import Recipe, geometries, load
from crossdyad.weights import aging, files

XOR = data.load("xor")
X, Y = XOR.x_train, XOR.y_train


def chip_of(base="xor", **changes) -> Recipe:
    return Recipe.model_validate(load(base).model_dump() | changes)


NOISY = chip_of(devices={"read_noise": 0.05, "levels": 64, "stuck": 0.02})
ARRAYS = chip_of(arrays={"on": True, "output_bits": 8}, devices={"preset": "sonos"})
PULSES = chip_of(arrays={"on": True}, pulses={"law": "soft-bounds", "step": 2.0**-8})
PLAYED = {
    "arrays.product",
    "chip.Chip.infer",
    "chip.Chip.train",
    "chip.initial_weights",
    "crossbar.forward",
    "crossbar.pairs",
    "crossbar.rewrite",
    "devices.conversion.add_codes",
    "devices.conversion.conversion",
    "devices.direction.Direction.calibrate",
    "devices.direction.Direction.read",
    "devices.mapping.Mapping.levels",
    "devices.noisy_reads.OfCells.draw",
    "devices.programming.asymmetry",
    "devices.programming.programmed",
    "devices.programming.read_noise",
    "devices.programming.stored",
    "engine.words",
    "machine.run",
    "many.Many.train",
    "noise.noise",
    "signals.writes",
    "training.order",
    "training.train",
    "walk.trace",
}
"""Functions of the emulator that promise shapes and are reached by what is played here."""


def test_promises_are_kept(promises, tmp_path):
    for recipe in (NOISY, chip_of("xor-spsa"), ARRAYS, PULSES):
        emulator.train(recipe, *XOR, epochs=1, engine="numpy", seeds=[1, 2])
    emulator.train(NOISY.model_copy(update={"name": "traced"}), *XOR, epochs=1, seeds=[1, 2])
    weights = emulator.initial_weights(NOISY)
    walk.trace(NOISY, emulator.Chip(NOISY).state(), X[0], int(Y[0]))
    emulator.signals.writes(NOISY, weights, X, Y)
    Many([NOISY, NOISY], [1, 2]).train(X, Y)
    devices.programmed(ARRAYS, weights)
    devices.asymmetry(ARRAYS, weights)
    aging.age(ARRAYS, weights, XOR, output=tmp_path)
    files.save(ARRAYS, weights, tmp_path / "kept.npz")
    assert not {f"crossdyad.emulator.{name}" for name in PLAYED} - promises


def test_what_is_not_promised_is_refused(promises):
    g = geometries(NOISY)[0]
    weights, x = np.zeros((g.R, g.F * g.L), np.int32), np.zeros((5, g.F * g.L), np.int32)
    assert crossbar.forward(g, weights, x).shape == (5, g.R)
    with pytest.raises(shapes.Broken, match=r"crossbar.forward: x is int64 .*; promised is int32 array \(..., n, F \* L\), n samples"):
        crossbar.forward(g, weights, x.astype(np.int64))
    with pytest.raises(shapes.Broken, match="arrays.product: a is float64"):
        arrays.product(np.ones((2, 3)), np.ones((3, 5), np.int64), 4, 4)


def test_a_wrong_promise_is_seen():
    def turned(w):
        """Turn.

        Parameters
        ----------
        w : float array (outputs, inputs)

        Returns
        -------
        float array (outputs, inputs)
        """
        return w.T

    hold = shapes.held(turned, set())
    hold(np.ones((2, 2)))
    with pytest.raises(shapes.Broken, match=r"turned: the result is float64 \(3, 2\)"):
        hold(np.ones((2, 3)))


@pytest.mark.parametrize(
    "told, shape, kind, kept",
    [
        ("integer array (*batch, n, inputs) or (n, inputs)", (4, 3), int, True),
        ("int32 array (..., 1 or R, F * L)", (7, 8), np.int32, True),
        ("int32 array (..., 1 or R, F * L)", (8,), np.int32, False),
        ("float array (2, n)", (3, 4), float, False),
        ("array (n,), optional", (3, 1), float, False),
        ("bool array (...)", (3,), int, False),
    ],
)
def test_a_promise_is_read(told, shape, kind, kept):
    assert shapes.promise(told).holds(np.zeros(shape, kind)) is kept


def test_of_several_each_has_numbers_of_its_own():
    several = shapes.promise("list of int32 arrays (R, C)")
    assert several.holds([np.zeros((2, 3), np.int32), np.zeros((4, 2), np.int32)]) and not several.holds([np.zeros(2, np.int32)])
    assert shapes.promise("Recipe") is None and shapes.promise("list of dict") is None
