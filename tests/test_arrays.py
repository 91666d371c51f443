"""Integer products through floating point: exact wherever the elements let float32 in, and just beyond."""

import numpy as np
import pytest

from crossdyad.emulator.arrays import PARTS, product

pytestmark = pytest.mark.usefixtures("promises")

K = 5 * PARTS


@pytest.mark.parametrize("engine", ["numpy", "jax"])
@pytest.mark.parametrize("by_columns", [False, True])
@pytest.mark.parametrize("lengths", ["under", "over", "one part over", "random"])
def test_products_are_exact_around_the_bound_of_float32(engine, by_columns, lengths):
    import jax

    rng = np.random.default_rng(1)
    a, b = rng.integers(-30000, 30000, (3, K)), rng.integers(-30000, 30000, (5, K))
    if lengths != "random":  # a part sums to 4 * 2049 * 2047 + 1 < 2**24, or to 4 * 2049**2 + 1, which float32 cannot hold
        a[:], b[:] = 2049, 2047
        if lengths == "over":
            b[:] = 2049
        elif lengths == "one part over":
            b[2, :4] = 2049
        a[:, 4::5] = b[:, 4::5] = 1
        a[1, ::2] *= -1
    with jax.enable_x64(True):
        put = jax.numpy.asarray if engine == "jax" else np.asarray
        a, b = a.astype(np.int32), b.astype(np.int32)
        found = product(put(a), put(b if by_columns else b.T.copy()), 16, 16, by_columns=by_columns)
    assert (np.asarray(found) == a.astype(np.int64) @ b.T.astype(np.int64)).all()


@pytest.mark.parametrize("k", range(1, 2 * PARTS))
def test_sums_shorter_than_their_parts(k):
    a, b = np.full((2, k), -32768, np.int32), np.full((k, 3), 32767, np.int32)
    assert (product(a, b, 16, 16) == -32768 * 32767 * k).all()
