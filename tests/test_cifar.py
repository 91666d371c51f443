"""The comparison on CIFAR-10 (`benchmarks/cifar.py`): the same weights for what is compared, the same gradient, and its statistics."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from scripts import benchmark

from crossdyad import models
from crossdyad.models.cookbook.findings import angle
from crossdyad.models.images import Pooled


@pytest.fixture(scope="module")
def cifar():
    return benchmark("cifar")


LAYERS = Pooled((8, 8, 3), 4, padding=1), Pooled((4, 4, 4), 5, padding=1), 3


def test_what_is_compared_begins_with_the_same_weights_and_follows_backprop(cifar):
    """A batch's gradient: dyads and nudged states within some degrees, random feedback not."""
    cases = cifar.cases(LAYERS)
    with models.float64():
        x, y = jax.random.normal(jax.random.key(1), (8, 8, 8, 3)), jnp.eye(3)[np.arange(8) % 3]

        def descended(name):
            case = cases[name]
            return jax.jit(lambda w: case.rule.batch(case.circuit, case.objective, w, x, y, **case.settings))(cifar.begun(case, 5))

        far = {}
        for name, case in cases.items():
            if not case.beside:
                continue
            one, other = (cifar.begun(cases[n], 5) for n in (name, case.beside))
            assert jax.tree.map(np.array_equal, one[0] if name == "local losses" else one, other) == (True,) * 3
            if name not in ("local losses", "backprop without loops"):
                far[name] = angle(descended(name), descended(case.beside))
    assert far["dual propagation, beta 1/8"] < far["dual propagation, beta 1"] < 15
    assert far["equilibrium propagation"] < 12 < 30 < far["feedback alignment"]


def test_a_gap_has_the_errors_of_seeds_and_of_images(cifar):
    runs = {
        "a": {1: {"held": "1111", "test": "00"}, 2: {"held": "1110", "test": "01"}, 3: {"held": "0000", "test": "00"}},
        "b": {1: {"held": "1100", "test": "00"}, 2: {"held": "1110", "test": "00"}},
    }
    each = np.array([[0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 1]])
    gap, seeds, images = cifar.behind(runs, "a", "b")
    assert gap == pytest.approx(100 * each.mean()) and seeds == pytest.approx(100 * np.std([2 / 6, 1 / 6], ddof=1) / 2**0.5)
    assert images == pytest.approx(100 * each.mean(0).std(ddof=1) / 6**0.5)
    lines = [{"case": c, "seed": s, "rate": 0.002, "s": 1.0, **r} for c, of in runs.items() for s, r in of.items()]
    assert f"{gap:+.2f} +- {seeds:.2f} (seeds), {images:.2f} (images)" in cifar.table(lines, {"a": "b", "b": ""})
