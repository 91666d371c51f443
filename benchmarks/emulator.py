"""Speed of the emulator, in time and as multiples of float32 products of the same shape in the same run.

Run it on one core: ``taskset -c 0 python benchmarks/emulator.py``.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import time  # noqa: E402

import numpy as np  # noqa: E402

from crossdyad import emulator, recipe  # noqa: E402


def fastest(work, repeats: int = 5) -> float:
    """Least wall time of some runs in seconds, the first (which compiles) not counted."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def chip(name: str, batch=()) -> emulator.Chip:
    r = recipe.load(name)
    seeds = np.arange(np.prod(batch, dtype=int)).reshape(batch)
    made = emulator.Chip(r, engine="jax", batch=batch, seeds=seeds)
    made.weights = emulator.initial_weights(r, seeds)
    return made


def samples(r, n: int, batch=()):
    """Inputs of which a fifth are not zero, as in a picture of a digit, and labels."""
    rng = np.random.default_rng(0)
    x = rng.random((*batch, n, r.sizes[0])) * (rng.random((*batch, n, r.sizes[0])) < 0.2)
    return r.formats.state.encode(x), rng.integers(0, r.sizes[-1], (*batch, n))


def ratios() -> tuple[float, float]:
    """Return a training step and an inference of `mnist`, as multiples of float32 forward passes of a vector and of 1024 samples."""
    mnist = chip("mnist")
    rng = np.random.default_rng(0)
    w = [rng.random((b, a), dtype=np.float32) for a, b in zip(mnist.recipe.sizes, mnist.recipe.sizes[1:], strict=False)]
    x = rng.random((1024, mnist.recipe.sizes[0]), dtype=np.float32)
    gemv = fastest(lambda: [w[1] @ (w[0] @ row) for row in x]) / len(x)
    gemm = fastest(lambda: x @ w[0].T @ w[1].T) / len(x)
    print(f"float32 forward of mnist: {gemv * 1e6:.1f} us a vector, {gemm * 1e6:.2f} us a sample of 1024")

    given = samples(mnist.recipe, 400)
    step = fastest(lambda: mnist.train(*given)) / 400
    print(f"mnist, one training step: {step * 1e6:.1f} us, {step / gemv:.1f} vectors")
    given = samples(mnist.recipe, 1024)[0]
    sample = fastest(lambda: mnist.infer(given)) / 1024
    print(f"mnist, inference of 1024: {sample * 1e6:.2f} us a sample, {sample / gemm:.1f} float32 samples")
    return step / gemv, sample / gemm


def main():
    ratios()
    digits = chip("digits", (64,))
    given = samples(digits.recipe, 200, (64,))
    step = fastest(lambda: digits.train(*given)) / 200 / 64
    print(f"digits, 64 chips training: {step * 1e6:.2f} us a chip and sample")


if __name__ == "__main__":
    main()
