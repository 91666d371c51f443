"""Speed of the analog arrays, as multiples of a float32 matrix product of the same shape in the same run.

    python benchmarks/analog.py

One thread, 256 vectors, input codes in and output codes out; every case alternates with the product it is compared with. Least
processor times, which other jobs on the machine disturb least.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time  # noqa: E402
from dataclasses import replace  # noqa: E402

import numpy as np  # noqa: E402

from crossdyad.emulator.devices import Array, Circuit, Device, InputConverter, PerProduct, Wires, effective_conductance, preset  # noqa: E402
from crossdyad.emulator.devices.mapping import blocks  # noqa: E402

BATCH, BUDGET = 256, 1e9
"""Vectors; multiplications that a measurement repeats its product for, within `REPEATS`."""
REPEATS = 9, 80
SIZES = ((64, 64), (256, 256), (784, 512), (1024, 1024))


def once(work) -> float:
    start = time.thread_time_ns()
    work()
    return 1e-9 * (time.thread_time_ns() - start)


def ratio(work, product, cells: int) -> float:
    """Least time of `work` over the least time of `product`, taken in turns."""
    work(), product()
    repeats = int(np.clip(BUDGET / (cells * BATCH), *REPEATS))
    pairs = [(once(work), once(product)) for _ in range(repeats)]
    return min(w for w, _ in pairs) / min(p for _, p in pairs)


def tile(n: int) -> int | None:
    """Lines of an array: at most 256."""
    return None if n <= 256 else 256


def cases(weights, x, e):
    """Name and read of every case."""
    inputs, outputs = weights.shape[1], weights.shape[0]
    tiled = Circuit(rows=tile(inputs), columns=tile(outputs), wires=Wires(0.35, 0.35))
    noisy = Device(read=PerProduct(0.0175))
    built = {
        "8 bits in and out": Array(weights),
        "+ read noise of each vector": Array(weights, noisy),
        "+ wire resistance": Array(weights, Device(g_max=5.0), tiled),
    }
    if inputs <= 256:
        built["noise and wires"] = Array(weights, replace(noisy, g_max=5.0), tiled)
        built["pcm preset, wires, one day old"] = Array(weights, preset("pcm"), tiled, time=86400.0)
    for name, array in built.items():
        array.calibrate(x, e, clipped_share=1e-4)
        yield name, lambda a=array: a.read(x)
        if "noise" in name or name.startswith("8"):
            yield f"  {name.lstrip('+ ')}, transposed", lambda a=array: a.transposed.read(e)
    bits = Array(weights, noisy, Circuit(input=InputConverter(slice_bits=1))).calibrate(x, clipped_share=1e-4)
    yield "+ read noise, bit-serial (7 reads)", lambda: bits.read(x)
    for name, circuit in (("pcm preset, one day old", Circuit()), ("  bit-serial (7 reads)", Circuit(input=InputConverter(slice_bits=1)))):
        array = Array(weights, preset("pcm"), circuit, time=86400.0).calibrate(x, clipped_share=1e-4)
        yield name, lambda a=array: a.read(x)


def error(weights, x) -> tuple[float, int]:
    """Of reads with wires against the effective weights in float64: largest error of sums relative to the largest sum; wrong codes."""
    inputs, outputs = weights.shape[1], weights.shape[0]
    circuit = Circuit(rows=tile(inputs), columns=tile(outputs), wires=Wires(0.35, 0.35))
    array = Array(weights, Device(g_max=5.0), circuit).calibrate(x, clipped_share=1e-4)
    sums, lsb, codes = x @ array.effective.T, array.forward.level_lsb[0], 0
    for rows in blocks(inputs, circuit.rows):
        codes = codes + np.clip(np.floor(x[:, rows] @ array.effective[:, rows].T / lsb + 0.5), -128, 127)
    exact = Array(weights, Device(g_max=5.0), replace(circuit, output=None))
    off = np.abs(exact.read(x) * 2.0**-exact.fraction_bits - sums).max() / np.abs(sums).max()
    return off, int(np.count_nonzero(array.read(x) != codes))


def main():
    draw, table = np.random.default_rng(0), {}
    for inputs, outputs in SIZES:
        weights = draw.normal(size=(outputs, inputs))
        x, e = (draw.integers(-127, 128, (BATCH, n)).astype(np.int16) for n in (inputs, outputs))
        a, b, out = x.astype(np.float32), np.ascontiguousarray(weights.T, np.float32), np.empty((BATCH, outputs), np.float32)
        for name, read in cases(weights, x, e):
            table.setdefault(name, []).append(ratio(read, lambda a=a, b=b, out=out: np.matmul(a, b, out=out), inputs * outputs))
    print(f"{'ratio to a float32 product, batch 256':40}" + "".join(f"{f'{i}x{o}':>12}" for i, o in SIZES))
    for name, ratios in table.items():
        print(f"{name:40}" + "".join(f"{r:12.2f}" for r in ratios))
    for inputs, outputs in SIZES:
        weights, x = draw.normal(size=(outputs, inputs)), draw.integers(-127, 128, (BATCH, inputs)).astype(np.int16)
        off, wrong = error(weights, x)
        print(
            f"wires, {inputs}x{outputs}: sums are off by {off:.1e} of the largest; {wrong} of {BATCH * outputs} codes differ "
            "from those of float64"
        )
    for n in (128, 256):
        g = draw.uniform(0, 25, (n, n))
        print(f"wires of {n} x {n} cells: {min(once(lambda g=g: effective_conductance(g, 0.35, 0.35)) for _ in range(3)):.3f} s")


if __name__ == "__main__":
    main()
