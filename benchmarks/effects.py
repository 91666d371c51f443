"""What resistances, mappings and slices cost: error of 128 x 128 weights, relative to the largest.

python benchmarks/effects.py
"""

import numpy as np

from crossdyad.emulator.devices import Device, Generic, Mapping, Wires, stored

LAYOUTS = {
    "pairs": Mapping(12),
    "pairs, 4-bit cells": Mapping(12, slice_bits=4),
    "pairs, 2-bit cells": Mapping(12, slice_bits=2),
    "offset": Mapping(12, "offset"),
    "offset, 4-bit cells": Mapping(12, "offset", 4),
}
CASES = {
    "wires 5 ohm, 128 lines": (Device(), {"wires": Wires(5.0, 5.0), "lines": 128}),
    "64 lines": (Device(), {"wires": Wires(5.0, 5.0), "lines": 64}),
    "16 lines": (Device(), {"wires": Wires(5.0, 5.0), "lines": 16}),
    "driver 1 kohm, sense 100 ohm, 64 lines": (Device(), {"wires": Wires(0.0, 0.0, driver=1000.0, sense=100.0), "lines": 64}),
    "programming 0.05": (Device(programming=Generic(0.05)), {}),
}


def main():
    weights = np.random.default_rng(0).uniform(-1, 1, (128, 128))
    weights[0, 0] = 1.0
    print("| mapping | " + " | ".join(CASES) + " |\n|" + "---|" * (len(CASES) + 1))
    for name, mapping in LAYOUTS.items():
        errors = [np.std(stored(weights, device, 1, 0, mapping=mapping, **given) - weights) for device, given in CASES.values()]
        print(f"| {name} | " + " | ".join(f"{e:.4f}" for e in errors) + " |")


if __name__ == "__main__":
    main()
