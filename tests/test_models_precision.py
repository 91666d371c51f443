"""The reference computes in float64 whatever JAX is set to, and leaves the caller's numbers as they are: in processes of their own."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from crossdyad import models

ALONE = """
import warnings
import jax, numpy as np
from jax import numpy as jnp

warnings.simplefilter("error")
own = lambda: (np.asarray(jax.random.normal(jax.random.key(0), (5,))).tobytes(), str(jnp.ones(2).dtype), jnp.arange(3).dtype.name)
before = own()

from crossdyad import emulator, models, recipe
from crossdyad.models.cookbook import ROWS, standard, systems
from crossdyad.sim import real

draw, seen = np.random.default_rng(0), []
net, w, x, y = models.Feedforward((4, 3)), (draw.normal(size=(3, 4)).astype(np.float32),), np.ones(4), draw.normal(size=3)

def numbers():
    s, h = systems.equilibrium(0), systems.hopfield(0)
    yield models.exact_gradient(*s[:2], *(jax.tree.map(lambda v: np.asarray(v, np.float32), v) for v in s[2:]))
    yield ROWS[57].estimator(net, models.squared_error, w, x, y, alpha=0.0)
    yield h.circuit.relax(h.parameters, tuple(np.full(n, 0.1j, np.complex64) for n in (5, 4, 3)), h.x, (0, 0, 0))
    c = recipe.load("xor")
    yield real.exact(c, emulator.initial_weights(c), np.array([[0, 0, 1], [1, 0, 1.0]]), np.array([0, 1]))

def values(found):
    found = [np.asarray(v) for v in jax.tree.leaves(list(found))]
    assert {v.dtype.name for v in found} == {"float64", "complex128"}
    return [v.tobytes() for v in found]

first = values(numbers())
for rule in (models.exact_gradient, ROWS[57].estimator):
    found = rule(net, models.squared_error, w, x, y)[0]
    assert np.allclose(found, np.outer(np.float64(w[0]) @ x - y, x), rtol=1e-14, atol=0)
rule = ROWS[57].estimator
data = draw.uniform(size=(4, 4)).astype(np.float32), np.arange(4) % 3, draw.uniform(size=(3, 4)), np.arange(3)
run = models.train(rule, net, models.squared_error, data, epochs=1, batch=2, progress=lambda *_: seen.append(str(jnp.ones(1).dtype)))
assert run.parameters[0].dtype == np.float64
assert set(seen) == {"float32"}, "the caller's progress runs as the caller set it"
for finding in ROWS[57].findings(0):
    assert jnp.ones(1).dtype == np.float32, "the caller's loop runs as the caller set it"
    break
assert own() == before and not jax.config.jax_enable_x64

for setting in (("jax_enable_x64", True), ("jax_enable_x64", False), ("jax_numpy_dtype_promotion", "strict"),
                ("jax_numpy_rank_promotion", "raise")):
    jax.config.update(*setting)
    assert values(numbers()) == first, setting
    assert getattr(jax.config, setting[0]) == setting[1]
"""

COMPOSED = """
import jax, numpy as np
from jax import numpy as jnp
from crossdyad import models
net = models.Feedforward((4, 3, 2), jnp.tanh)
w, x, y = net.random_parameters(jax.random.key(0)), np.ones(4), np.zeros(2)
exact = models.exact_gradient(net, models.squared_error, w, x, y)
composed = {
    "jit": lambda: jax.jit(models.exact_gradient, static_argnums=(0, 1))(net, models.squared_error, w, x, y),
    "vmap": lambda: [v[0] for v in jax.vmap(lambda x: models.exact_gradient(net, models.squared_error, w, x, y))(x[None])],
    "grad": lambda: jax.grad(lambda w: models.squared_error(net.forward(w, x)[-1], y))(w),
    "closure": lambda: jax.jit(lambda: models.exact_gradient(net, models.squared_error, w, x, y))(),
    "solver": lambda: jax.jit(lambda w: models.solvers.newton()(models.solvers.Problem(net, w, x)).states)(w),
    "circuit": lambda: jax.jit(net.relax)(w, net.start(w, x), x, net.start(w, x)),
}
for name, call in composed.items():
    try:
        call()
        raise AssertionError(f"{name} passed in 32 bits")
    except TypeError as error:
        assert "with crossdyad.models.float64()" in str(error), error
    with models.float64():
        found = call()
    assert all(v.dtype == np.float64 for v in jax.tree.leaves(found))
    if name in ("jit", "vmap", "grad", "closure"):
        assert all(np.allclose(a, b, rtol=1e-14, atol=0) for a, b in zip(found, exact)), name
assert jax.grad(models.squared_error)(jnp.ones(2), jnp.zeros(2)).dtype == np.float32      # objectives follow what they are given
"""


def alone(program: str) -> None:
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]


def test_numbers_are_the_same_whatever_the_caller_sets_and_the_caller_keeps_theirs():
    alone(ALONE)


def test_a_transformation_begun_in_32_bits_is_refused_with_the_remedy():
    alone(COMPOSED)


def functions():
    """All public functions of the reference that take parameters, rows' checks and what only makes functions aside."""
    makers = {"path", "forward_map", "carried_back", "concordant_parameters", "parameters_like", "train"}  # the last widens its parts
    for found in pkgutil.walk_packages(models.__path__, "crossdyad.models."):
        if ".cookbook" in found.name or found.name.endswith(".schedules"):
            continue
        module = importlib.import_module(found.name)
        members = [m for m in vars(module).values() if getattr(m, "__module__", "") == module.__name__]
        methods = [
            m
            for c in members
            if inspect.isclass(c) and not issubclass(c, tuple) and not getattr(c, "_is_protocol", False)
            for m in vars(c).values()
        ]
        for member in (*members, *methods):
            if inspect.isfunction(member) and not member.__name__.startswith("_") and member.__name__ not in makers:
                if "parameters" in inspect.signature(member).parameters:
                    yield f"{module.__name__}.{member.__qualname__}", member


def test_every_function_of_parameters_refuses_32_bits_under_a_transformation():
    found = dict(functions())
    assert len(found) > 80
    for name, function in found.items():
        needed = sum(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in inspect.signature(function).parameters.values())
        with jax.enable_x64(False), pytest.raises(TypeError, match="begin it inside `with crossdyad.models.float64"):
            jax.vmap(lambda v, f=function, n=needed: f(*[v] * n))(np.ones(2, np.float32))
            pytest.fail(name)
