"""One seed, the same bits over a million vectors: in every run, with every number of threads, in any batches and order, on both engines.

Each effect alone and all together. Long: `make evidence` runs it. As a script it prints the digests of one case.
"""

import hashlib
import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from crossdyad import emulator
from crossdyad.emulator.devices import (
    Array,
    Circuit,
    Constant,
    Device,
    ExponentialStep,
    Generic,
    InputConverter,
    LinearStep,
    Mapping,
    OutputConverter,
    PerProduct,
    PowerStep,
    PulsedDevice,
    SoftBounds,
    Spread,
    Stuck,
    Wires,
    drift,
    preset,
    update,
    update_batch,
)
from crossdyad.recipe import Recipe, load

VECTORS, OUTPUTS, INPUTS = 1 << 20, 16, 20
OUT = OutputConverter(8)
DEVICES = {
    "programming": Device(programming=Generic(0.05)),
    "spread": Device(spread=Spread(0.1, 0.01)),
    "stuck": Device(stuck=Stuck(0.02, 0.01)),
    "drift": Device(drift=drift.fixed(0.05, deviation=0.02)),
    "flicker": Device(flicker=preset("pcm").flicker),
    "read, per product": Device(read=PerProduct(0.02)),
    "read, constant": Device(read=Constant(0.02)),
    "read, of cells": Device(read=Generic(0.02, "proportional")),
    "curvature": Device(g_max=225.0, g_min=50.0, iv=preset("reram-milo").iv),
}
CIRCUITS = {
    "converters": Circuit(),
    "converters' spread": Circuit(
        output=replace(OUT, gain_spread=0.02, offset_spread=0.5), output_transposed=replace(OUT, gain_spread=0.02, offset_spread=0.5)
    ),
    "wires": Circuit(wires=Wires(2.0, 2.0)),
    "opposite sensing": Circuit(wires=Wires(2.0, 2.0, "opposite")),
    "offset mapping": Circuit(mapping=Mapping(kind="offset")),
    "slices of weights": Circuit(mapping=Mapping(slice_bits=4)),
    "slices of inputs": Circuit(input=InputConverter(slice_bits=4), input_transposed=InputConverter(slice_bits=4)),
    "tiles": Circuit(rows=8, columns=6),
}
TOGETHER = (
    Device(
        g_min=1.0,
        programming=Generic(0.05),
        spread=Spread(0.1, 0.01),
        stuck=Stuck(0.02, 0.01),
        read=PerProduct(0.02),
        drift=drift.fixed(0.05, deviation=0.02),
        flicker=preset("pcm").flicker,
    ),
    Circuit(
        rows=8,
        columns=6,
        mapping=Mapping(kind="offset", slice_bits=4),
        wires=Wires(2.0, 2.0, "opposite"),
        output=replace(OUT, gain_spread=0.02, offset_spread=0.5),
        output_transposed=replace(OUT, gain_spread=0.02, offset_spread=0.5),
    ),
)
READS = {name: (d, Circuit()) for name, d in DEVICES.items()} | {name: (Device(), c) for name, c in CIRCUITS.items()}
READS |= {"all together": TOGETHER}
LAWS = {"soft bounds": SoftBounds(), "linear": LinearStep(0.3, 0.7), "exponential": ExponentialStep(), "power": PowerStep(1.5, 0.8)}
CHIPS = {
    "plain": {},
    "read noise": {"read_noise": 0.05},
    "levels": {"levels": 32},
    "stuck": {"stuck": 0.1},
    "constant": {"law": "constant", "pulse": 2.0**-6},
    "linear": {"law": "linear", "pulse": 2.0**-6},
    "soft bounds": {"law": "soft-bounds", "pulse": 2.0**-6},
    "all together": {"read_noise": 0.05, "levels": 32, "stuck": 0.1, "law": "soft-bounds", "pulse": 2.0**-6},
}


def digest(*arrays):
    found = hashlib.sha256()
    for a in arrays:
        found.update(np.ascontiguousarray(a))
    return found.hexdigest()


def reads(name, split, vectors=VECTORS):
    """Digests of a million reads in both directions: at once, or in pieces whose order is shuffled."""
    device, circuit = READS[name]
    draw = np.random.default_rng(1)
    weights = draw.normal(size=(OUTPUTS, INPUTS))
    made = {}
    for side, lines in (("forward", INPUTS), ("transposed", OUTPUTS)):
        codes = draw.integers(-127, 128, (vectors, lines), dtype=np.int16)
        few = (codes[:500], None) if side == "forward" else (None, codes[:500])
        array = getattr(Array(weights, device, circuit, seed=7, time=100.0 if device.ages else None).calibrate(*few), side)
        cuts = np.sort(np.random.default_rng(2).integers(0, vectors, vectors // 1700 if split else 0))
        pieces, out = list(itertools.pairwise([0, *cuts, vectors])), np.empty((vectors, array.shape[0]), np.int64)
        for k in np.random.default_rng(3).permutation(len(pieces)):
            a, b = pieces[k]
            out[a:b] = array.read(codes[a:b], vectors=np.arange(a, b) if split else None)
        made[side] = digest(out)
    return made


def writes(name, split, samples=VECTORS):
    """Digests of the weights after a million samples in batches, and of a quarter million one by one, in calls of some size."""
    spread = {"step_spread": 0.3, "bound_spread": 0.2, "imbalance_spread": 0.05, "stuck": 0.1}
    cells = PulsedDevice(LAWS[name], step=0.004, noise=0.3, **spread).cells((4, 6), 5)
    draw, size = np.random.default_rng(4), 49999 if split else 1 << 16
    x, delta = draw.uniform(-1, 1, (samples, 6)), draw.uniform(-0.1, 0.1, (samples, 4))
    w, batch = (np.zeros((4, 6), np.float32) for _ in range(2))
    for i in range(0, samples // 4, size):
        w = update(cells, w, x[i : min(i + size, samples // 4)], delta[i : min(i + size, samples // 4)], 0.1, first=i)
    for i in range(0, samples, 256):
        batch = update_batch(cells, batch, x[i : i + 256], delta[i : i + 256], 0.1, first=i)
    return {"one by one": digest(w), "batches": digest(batch)}


def elsewhere(kind, name, threads, split):
    """The digests, from another process with so many threads."""
    names = {n: str(threads) for n in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    call = [sys.executable, __file__, kind, name, split]
    done = subprocess.run(call, env=os.environ | names, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("kind, name", [*(("reads", n) for n in READS), *(("writes", n) for n in LAWS)])
def test_a_million_vectors_have_the_same_bits(kind, name):
    """In two runs, one with a thread and all at once, one with two threads, in pieces and in another order."""
    assert elsewhere(kind, name, 1, "") == elsewhere(kind, name, 2, "split")


def chip_digests(name, engine, pieces, chips=256, samples=1 << 12):
    """Of 2**20 training samples (of 256 chips, one after another) and 2**20 inferences, in so many calls."""
    r = Recipe.model_validate(load("xor").model_dump() | {"devices": CHIPS[name]})
    draw, inputs = np.random.default_rng(5), r.sizes[0]
    chip = emulator.Chip(r, engine, (chips,), np.arange(chips))
    chip.weights = emulator.initial_weights(r, np.arange(chips))
    x, y = draw.integers(-60, 61, (samples, inputs)).astype(np.int32), draw.integers(0, r.sizes[-1], samples)
    outputs = [chip.train(a, b) for a, b in zip(np.array_split(x, pieces), np.array_split(y, pieces), strict=True)]
    seen = [chip.infer(a) for a in np.array_split(x, pieces)]
    return digest(
        np.concatenate([o.outputs for o in outputs], 1),
        np.concatenate([o.loss for o in outputs], 1),
        np.concatenate(seen, 1),
        *chip.weights,
        *(v for _, v in sorted(chip.saturations.items())),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", CHIPS)
def test_a_million_samples_have_the_same_bits_on_both_engines(name):
    found = {chip_digests(name, engine, pieces) for engine, pieces in (("numpy", 1), ("numpy", 3), ("jax", 1), ("jax", 4))}
    assert len(found) == 1


def test_the_digests_tell_all_effects_apart():
    found = {name: tuple(reads(name, "", 500).values()) for name in READS}
    assert found.pop("offset mapping") == found["converters"]  # of ideal cells
    assert len(set(found.values())) == len(found)


if __name__ == "__main__":
    kind, name, split = sys.argv[1:]
    print(json.dumps({"reads": reads, "writes": writes}[kind](name, split)))
