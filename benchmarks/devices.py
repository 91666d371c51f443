"""`digits` trained on published devices, with converters of 8 bits: what it learns, and which effect costs how much.

    python benchmarks/devices.py [--seeds 5] [--epochs 20] [--arrays] [--output FILE] [PRESET ...]

At the start of every epoch the weights are written to the cells, and learning goes on from what these hold; every test is of cells that
have been written and left alone for a day (a device with no law of drift forgets nothing). An effect alone is the same
device without all others. Read noise is the chip's (contract section 11), as large as the device's is on average over the data. With
--arrays every read is one of arrays with 8-bit output converters, with the device's own noise and current curve; slow, so give less epochs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from crossdyad import data, emulator
from crossdyad.emulator import devices
from crossdyad.emulator.signals import played
from crossdyad.recipe import Recipe, load

SIX = ("pcm", "hermes-1", "hermes-2", "reram-wan", "reram-milo", "sonos")
DAY = 86400.0
DATA = data.load("digits")


def recipe(**of_devices) -> Recipe:
    """`digits` whose inputs, outputs and errors have 8 bits."""
    table = load("digits").model_dump()
    table["formats"] |= {"state": {"width": 8, "frac": 6}, "delta": {"width": 8, "frac": 6}}
    return Recipe.model_validate(table | {"name": "digits-8-bit", "devices": of_devices})


def accuracies(seeds, epochs, device=None, age=0.0, read_noise=0.0):
    told = {"read_noise": read_noise} | ({"preset": device.name, "age": age if device.ages else 0.0} if device else {})
    return emulator.train(recipe(**told), *DATA, epochs=epochs, seeds=seeds, device=device)


def on_arrays(seeds, epochs, preset=""):
    """With nothing but the arrays and converters, and with everything that the device has."""
    table = recipe().model_dump() | {"arrays": {"on": True, "output_bits": 8}}
    if preset:
        table["devices"] = {"preset": preset, "age": DAY if devices.preset(preset).ages else 0.0}
    return emulator.train(Recipe.model_validate(table), *DATA, epochs=epochs, seeds=seeds)


def noise_of(device, weights) -> float:
    """The chip's read noise for a device, with trained weights of one chip."""
    r = recipe()
    real = [r.formats.weight.decode(w) for w in weights]
    stores = played(r, weights, DATA.x_test, DATA.y_test)[0].stores
    inputs = [r.formats.state.decode(stores[f"input{k}"]) for k in range(r.layers)]
    return devices.read_noise(device, real, inputs)


def row(name: str, history) -> dict:
    made = 100 * np.asarray(history.epochs[-1]["accuracy"])
    print(f"  {name:<20}{made.mean():7.2f} +- {made.std(ddof=1):.2f} %", flush=True)
    return {"effect": name, "mean": float(made.mean()), "deviation": float(made.std(ddof=1)), "accuracies": made.tolist()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", default=list(SIX))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--arrays", action="store_true")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    seeds = list(range(1, given.seeds + 1))
    print(f"digits, 64-32-10, states and errors of 8 bits, {given.epochs} epochs, {given.seeds} seeds")
    plain = accuracies(seeds, given.epochs)
    found = {"": [row("no device", plain)]}
    if given.arrays:
        for name in ("", *given.presets):
            found[name] = [*found.get(name, []), row(f"arrays, {name or 'ideal cells'}", on_arrays(seeds, given.epochs, name))]
        given.presets = []
    for name in given.presets:
        whole = devices.preset(name)
        noise = noise_of(whole, [w[0] for w in plain.weights])
        print(f"{name}  ({whole.paper})" + (f", read noise {noise:.3g}" if noise else ""), flush=True)
        cells = {label: d for label, d in devices.alone(whole).items() if label != "ideal"}
        rows = [row(label, accuracies(seeds, given.epochs, d, DAY)) for label, d in cells.items()]
        if noise:
            rows.append(row("read noise", accuracies(seeds, given.epochs, read_noise=noise)))
        found[name] = [*rows, row("all together", accuracies(seeds, given.epochs, whole, DAY, noise))]
    if given.output:
        given.output.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
