"""Published macros recomputed with the cost model of analog arrays, the difference beside.

python benchmarks/macros.py
"""

from crossdyad.explore import analog
from crossdyad.recipe import Recipe

OPERATIONS = 2 * 256 * 256
"""Of a product of 256 x 256 weights."""
PUBLISHED = {
    "HERMES core, Khaddam-Aljameh et al., JSSC 2022, doi:10.1109/JSSC.2022.3140414": {
        "energy, nJ": OPERATIONS / 10.5e12 * 1e9,
        "area, mm2": 1.008 / 1.59,
        "time, us": OPERATIONS / 1.008e12 * 1e6,
    },
    "one of 64 cores, one-phase reads, Le Gallo et al., Nature Electronics 2023, doi:10.1038/s41928-023-01010-1": {
        "energy, nJ": OPERATIONS / 9.76e12 * 1e9,
        "time, us": 64 * OPERATIONS / 63.1e12 * 1e6,
    },
}
"""Of one product, from operations per watt, per square millimetre and per second as published; both are 14 nm, 8 bits in and out."""


def macro(slice_bits: int) -> Recipe:
    """256 x 256 weights in pairs of cells, a converter an output, 8-bit inputs at once (0) or bit by bit (1)."""
    return Recipe.model_validate(
        {
            "name": "macro",
            "sizes": (256, 256),
            "lanes": (16,),
            "rule": "inference",
            "arrays": {"on": True, "output_bits": 8, "lines": 256, "input_slice": slice_bits},
        }
    )


def main():
    for name, published in PUBLISHED.items():
        print(name)
        for label, slice_bits in (("inputs at once", 0), ("bit by bit", 1)):
            found = analog.estimate(macro(slice_bits))
            ours = {"energy, nJ": found.nanojoules, "area, mm2": found.area, "time, us": found.microseconds}
            told = [
                f"{what}: {ours[what]:.3g} against {value:.3g} ({100 * (ours[what] / value - 1):+.0f} %)"
                for what, value in published.items()
            ]
            print(f"  {label}: {'; '.join(told)}")


if __name__ == "__main__":
    main()
