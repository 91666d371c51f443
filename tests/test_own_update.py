"""Updates of one's own: what they compute, how they resume, on the command line, and what is said of those that are malformed."""

import json
import re
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
import optax
import pytest
from jax import numpy as jnp
from typer.testing import CliRunner

from crossdyad import data, models
from crossdyad.cli import app
from crossdyad.models.cookbook import ROWS
from crossdyad.models.cookbook.standard import learn

DIGITS = data.load("digits")
FEW = data.sets.Dataset(DIGITS.x_train[:96], DIGITS.y_train[:96], DIGITS.x_test[:50], DIGITS.y_test[:50])
NET = models.Feedforward((64, 12, 10))


def run(optimizer, epochs=2, **more):
    return models.train(ROWS[57].estimator, NET, models.cross_entropy, FEW, epochs=epochs, optimizer=optimizer, **more)


class Memory(NamedTuple):
    """A running sum, and how many steps there were: a Python number at first."""

    steps: int
    sums: tuple


@dataclass(frozen=True)
class Momentum:
    """Gradient descent with momentum."""

    rate: float = 0.1

    def init(self, parameters):
        return Memory(0, jax.tree.map(jnp.zeros_like, parameters))

    def apply(self, gradient, state, parameters, batch):
        sums = jax.tree.map(lambda m, g: 0.9 * m + g, state.sums, gradient)
        return jax.tree.map(lambda w, m: w - self.rate * m, parameters, sums), Memory(state.steps + 1, sums)


class Looking:
    """Gradient descent by the exact gradient of the batch, which it takes itself."""

    rate = 0.1

    def init(self, parameters):
        return ()

    def apply(self, gradient, state, parameters, batch):
        def loss(w):
            return jnp.mean(jax.vmap(lambda x, y: batch.objective(batch.circuit.forward(w, x)[-1], y))(batch.x, batch.y))

        return jax.tree.map(lambda w, g: w - self.rate * g, parameters, jax.grad(loss)(parameters)), state


def same(a, b, **close):
    return all(np.allclose(v, w, **close) for v, w in zip(jax.tree.leaves(a.parameters), jax.tree.leaves(b.parameters), strict=True))


def test_what_it_computes_is_what_it_says():
    assert same(run(Momentum()), run(optax.sgd(0.1, momentum=0.9)), rtol=1e-12)
    exact = models.train(ROWS[21].estimator, NET, models.cross_entropy, FEW, epochs=2, optimizer=optax.sgd(0.1))
    assert same(run(Looking()), exact, rtol=1e-10), "the batch is that of the gradient"


def test_it_goes_on_to_the_same_bits(tmp_path):
    whole = run(Momentum(), 3)
    run(Momentum(), 1, checkpoint=tmp_path / "run.npz")
    assert same(run(Momentum(), 3, checkpoint=tmp_path / "run.npz"), whole, rtol=0, atol=0)
    with pytest.raises(ValueError, match="a checkpoint of another"):
        run(Momentum(0.2), 3, checkpoint=tmp_path / "run.npz")


def altered(**members):
    return type("Mine", (Momentum,), members)()


@pytest.mark.parametrize(
    "given, told",
    [
        (Momentum, r"update Momentum: a class; give an object of it, Momentum\(..\)"),
        (lambda p: p, "update <lambda>: no `init`; give an optax transformation, or"),
        (type("Half", (), {"init": lambda self, p: ()})(), "update Half: no `apply`"),
        (altered(apply=lambda self, g, s, p: p), "update Mine: apply: TypeError: .* takes 4 positional arguments but 5"),
        (altered(init=lambda self, p: p["w"]), "update Mine: init: TypeError"),
        (altered(init=lambda self, p: "none"), "update Mine: init gives 'none'; give a pytree of numbers"),
        (altered(apply=lambda self, g, s, p, b: p), r"apply gives parameters of float64 \(12, 64\), not of"),
        (altered(apply=lambda self, g, s, p, b: jnp.zeros(3)), "apply gives .*; give the pair of new parameters and new state"),
        (altered(apply=lambda self, g, s, p, b: (list(p), s)), r"gives parameters of \[float64 \(12, 64\), .*not of \(float64 \(12, 64\)"),
        (altered(apply=lambda self, g, s, p, b: (tuple(w.T for w in p), s)), r"of \(float64 \(64, 12\), .*not of \(float64 \(12, 64\)"),
        (altered(apply=lambda self, g, s, p, b: (jax.tree.map(lambda w: w.astype("f4"), p), s)), "float32 .12, 64.*not of .float64"),
        (altered(apply=lambda self, g, s, p, b: (p, s.sums)), "apply gives a state of"),
    ],
)
def test_what_is_malformed_is_told_in_one_line(given, told):
    with pytest.raises(ValueError, match=told) as error:
        run(given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_who_makes_parameters_that_are_no_numbers_is_told(bad):
    def spoil(self, g, s, p, b):
        return jax.tree.map(lambda w, g: w - 0.1 * g + jnp.where(s > 1, bad, 0), p, g), s + 1

    with pytest.raises(models.NoFixedPoint, match="no longer finite in epoch 1, by the update Mine, though the gradient is"):
        run(altered(init=lambda self, p: 0, apply=spoil))
    lost = models.Estimator(None, "lost", lambda c, o, p, x, y: jax.tree.map(lambda w: w * bad, p))
    with pytest.raises(models.NoFixedPoint, match="lost: parameters are no longer finite in epoch 1; lower"):
        models.train(lost, NET, models.cross_entropy, FEW, optimizer=Momentum())


MINE = """
from __future__ import annotations
from dataclasses import dataclass
import jax

@dataclass(frozen=True)
class Descent:
    rate: float
    def init(self, parameters): return ()
    def apply(self, gradient, state, parameters, batch):
        return jax.tree.map(lambda w, g: w - self.rate * g, parameters, gradient), state

number = 3.5
def broken(rate): return 1 / 0
"""


def test_the_command_takes_one_from_a_file_or_a_module(tmp_path, monkeypatch):
    (tmp_path / "mine_of_updates.py").write_text(MINE)
    monkeypatch.setenv("CROSSDYAD_IMPORT", "")
    monkeypatch.syspath_prepend(tmp_path)
    np.savez(tmp_path / "few.npz", **FEW._asdict())

    def told(name, *more):
        given = ["train", "--reference", "20", "--hidden", "4", "--epochs", "1", "--data", str(tmp_path / "few.npz"), "--rate", "0.5"]
        return CliRunner().invoke(app, [*given, "--update", name, "-o", str(tmp_path), *more])

    found = {}
    for name in (f"{tmp_path}/mine_of_updates.py:Descent", "mine_of_updates:Descent", "sgd", "optax:sgd"):
        result = told(name, "--json")
        assert not result.exit_code, result.output
        found[name] = json.loads(result.stdout)
        assert found[name]["update"] == name.partition(":")[2] or name
    assert len({str(f["history"]) for f in found.values()}) == 1, "all of them are gradient descent"
    for name, said in {
        "sdg": "did you mean 'sgd'",
        "mine_of_updates:Descend": "cannot be had: .*no attribute 'Descend'",
        f"{tmp_path}/other.py:Descent": "other.py:Descent' cannot be had: FileNotFoundError",
        "mine_of_updates:number": "update float: no function of the rate",
        "mine_of_updates:broken": "update broken: at rate 0.5: ZeroDivisionError",
        "math:sqrt": "update float: no `init`",
    }.items():
        result = told(name)
        assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
        assert re.search(said, result.stderr), result.stderr
    assert CliRunner().invoke(app, ["train", "xor", "--update", "sgd"]).exit_code == 2


def test_rows_take_another_update():
    descended = learn(20, (64, 12, 10), FEW, 1, rate=0.1, update=optax.sgd)
    assert same(descended, learn(20, (64, 12, 10), FEW, 1, rate=0.1, update=Momentum0), rtol=1e-12)


class Momentum0(Momentum):
    def apply(self, gradient, state, parameters, batch):
        return jax.tree.map(lambda w, g: w - self.rate * g, parameters, gradient), state
