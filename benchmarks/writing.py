"""Speed of pulsed updates: milliseconds per sample, and as multiples of a float32 rank-one update and of a product in the same run.

One thread, learning rate 0.05, inputs to +-1 and errors to +-0.1, both uniform: with steps of 0.001, trains of 5 pulses. All cells
differ in steps, bounds and balance. "single": one sample in each call; "one by one": 256 samples in one call, in their order; "batch": 256
samples at once. Least processor times, which other jobs on the machine disturb least.

    python benchmarks/writing.py [--repeats 3] [--sizes 784x512 ...] [--laws "soft bounds" ...]
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse  # noqa: E402
import time  # noqa: E402

import numpy as np  # noqa: E402

from crossdyad.emulator.devices import (  # noqa: E402
    ConstantStep,
    ExponentialStep,
    LinearStep,
    PowerStep,
    PulsedDevice,
    SoftBounds,
    update,
    update_batch,
)

SIZES = ((64, 64), (256, 256), (784, 512), (1024, 1024))
BATCH, RATE = 256, 0.05
SPREAD = {"step_spread": 0.3, "bound_spread": 0.3, "imbalance_spread": 0.01}
DEVICES = {
    "soft bounds": PulsedDevice(SoftBounds(), noise=0.3, **SPREAD),
    "  without cycle-to-cycle noise": PulsedDevice(SoftBounds(), **SPREAD),
    "constant": PulsedDevice(ConstantStep(), noise=0.3, **SPREAD),
    "linear": PulsedDevice(LinearStep(0.5, 0.5, 0.05), noise=0.3, **SPREAD),
    "exponential": PulsedDevice(ExponentialStep(), noise=0.3, **SPREAD),
    "power": PulsedDevice(PowerStep(1.2, 1.2, 0.1), noise=0.3, **SPREAD),
}


def least(work, repeats: int) -> float:
    """Least time in milliseconds, after one run that does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.thread_time_ns()
        work()
        times.append(1e-6 * (time.thread_time_ns() - start))
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", nargs="*", default=[f"{i}x{o}" for i, o in SIZES])
    parser.add_argument("--laws", nargs="*", choices=[n.strip() for n in DEVICES], default=[n.strip() for n in DEVICES])
    given = parser.parse_args()
    repeats, draw = given.repeats, np.random.default_rng(0)
    for inputs, outputs in (map(int, size.split("x")) for size in given.sizes):
        x, delta = draw.uniform(-1, 1, (BATCH, inputs)).astype(np.float32), draw.uniform(-0.1, 0.1, (BATCH, outputs)).astype(np.float32)
        w, step = np.zeros((outputs, inputs), np.float32), np.float32(RATE)

        def rank_one(x=x, delta=delta, w=w, step=step):
            for a, b in zip(x, delta, strict=True):
                w[:] += np.outer(step * b, a)

        outer, product = least(rank_one, repeats) / BATCH, least(lambda x=x, delta=delta: delta.T @ x, 5 * repeats) / BATCH
        print(
            f"\n{inputs}x{outputs}: float32 rank-one update {1e3 * outer:.1f} us, outer products of a batch as one product "
            f"{1e3 * product:.2f} us per sample"
        )
        print(f"{'ms per sample (ratio to rank-one)':34}{'single':>16}{'one by one':>16}{'batch':>20}{'one by one / batch':>20}")
        for name, device in ((n, d) for n, d in DEVICES.items() if n.strip() in given.laws):
            cells = device.cells((outputs, inputs), 1)
            w = update(cells, np.zeros(cells.shape), x[:32], delta[:32], RATE)
            single = least(lambda c=cells, w=w, x=x, d=delta: update(c, w, x[0], d[0], RATE), 10 * repeats)
            ordered = least(lambda c=cells, w=w, x=x, d=delta: update(c, w, x, d, RATE), repeats) / BATCH
            batch = least(lambda c=cells, w=w, x=x, d=delta: update_batch(c, w, x, d, RATE), repeats) / BATCH
            print(
                f"{name:34}"
                + "".join(f"{f'{t:.3f} ({t / outer:.1f})':>{n}}" for t, n in ((single, 16), (ordered, 16), (batch, 20)))
                + f"{ordered / batch:20.1f}"
            )


if __name__ == "__main__":
    main()
