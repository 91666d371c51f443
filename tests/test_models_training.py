"""Training the reference: it learns, resumes to the same bits, and says what is wrong with what it is given."""

import json
import re

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from crossdyad import data, models
from crossdyad.cli import app
from crossdyad.models.cookbook import ROWS
from crossdyad.models.cookbook.standard import REFUSED, STANDARDS, learn, standard, trainable
from crossdyad.models.solvers import Solution

DIGITS = data.load("digits")
FEW = data.sets.Dataset(DIGITS.x_train[:96], DIGITS.y_train[:96], DIGITS.x_test[:50], DIGITS.y_test[:50])
NET = models.Feedforward((64, 12, 10))


def run(epochs, rule=57, **more):
    given = {"settings": {"alpha": 0.5, "sweeps": 2}} if rule == 57 else {"settings": {"directions": 2}}
    return models.train(ROWS[rule].estimator, NET, models.cross_entropy, FEW, epochs=epochs, **given | more)


def test_it_learns():
    s = standard(57, (64, 32, 10))
    assert models.train(s.rule, s.circuit, s.objective, DIGITS, epochs=12, settings=s.settings).epochs[-1]["accuracy"] > 0.9


def test_every_update_is_projected_and_progress_is_counted():
    told = []
    done = run(2, project=lambda p: jax.tree.map(lambda w: jax.numpy.clip(w, -0.05, 0.05), p), progress=lambda *step: told.append(step[1:]))
    largest = max(np.abs(w).max() for w in jax.tree.leaves(done.parameters))
    assert largest == 0.05 < max(np.abs(w).max() for w in jax.tree.leaves(run(2).parameters))
    counts, whole = zip(*told, strict=True)
    assert len(set(whole)) == 1 and list(counts) == sorted(set(counts)) and counts[0] == 0 and counts[-1] == whole[0]
    assert sum(c < whole[0] / 2 for c in counts) == len(counts) // 2, "either epoch is half of the work"


@pytest.mark.parametrize("rule", [57, 29])
def test_a_run_that_was_killed_goes_on_to_the_same_bits(rule, tmp_path):
    whole = run(3, rule)
    kept = tmp_path / "run.npz"

    class Killed(Exception):
        pass

    def kill(step, done, of):
        if done > 15:
            raise Killed

    with pytest.raises(Killed):
        run(3, rule, checkpoint=kept, progress=kill)
    assert [p.name for p in tmp_path.iterdir()] == ["run.npz"]
    resumed = run(3, rule, checkpoint=kept)
    assert resumed.epochs == whole.epochs
    for a, b in zip(jax.tree.leaves(resumed.parameters), jax.tree.leaves(whole.parameters), strict=True):
        assert np.array_equal(a, b)
    assert run(3, rule, checkpoint=kept).epochs == whole.epochs  # nothing left to do
    with pytest.raises(ValueError, match="run.npz: a checkpoint of another"):
        run(3, rule, checkpoint=kept, seed=1)
    kept.write_bytes(b"PK broken")
    with pytest.raises(ValueError, match="run.npz: not a checkpoint"):
        run(3, rule, checkpoint=kept)


def test_a_checkpoint_is_known_by_what_is_computed(tmp_path):
    """In another process a function has another address; another rate or setting is another run."""
    import optax

    def fresh(epochs, sets=FEW, **more):
        net = models.Feedforward((64, 12, 10), lambda a: jax.numpy.tanh(a))
        given = {"settings": {"alpha": 0.5, "sweeps": 2}} | more
        return models.train(ROWS[57].estimator, net, models.cross_entropy, sets, epochs=epochs, checkpoint=tmp_path / "run.npz", **given)

    fresh(1)
    assert len(fresh(2).epochs) == 2
    for other in (
        {"settings": {"alpha": 0.5, "sweeps": 2, "beta": 0.5}},
        {"optimizer": optax.adam(2e-3)},
        {"batch": 16},
        {"sets": FEW._replace(y_test=FEW.y_test[::-1])},
        {"sets": FEW._replace(x_test=1 - FEW.x_test)},
    ):
        with pytest.raises(ValueError, match="run.npz: a checkpoint of another"):
            fresh(2, **other)


@pytest.mark.parametrize("row, settings", [(57, {"beta": 0.5}), (21, {})])
def test_a_batch_with_a_surrogate_is_the_mean_of_the_estimates(row, settings):
    e, x, y = ROWS[row].estimator, FEW.x_train[:8], np.eye(10)[FEW.y_train[:8]]
    p = NET.random_parameters(jax.random.key(0))
    each = [e(NET, models.cross_entropy, p, a, b, **settings) for a, b in zip(x, y, strict=True)]
    for got, *parts in zip(e.batch(NET, models.cross_entropy, p, x, y, **settings), *each, strict=True):
        assert np.allclose(got, np.mean(parts, axis=0), rtol=1e-12, atol=1e-15)


def test_what_does_not_fit_is_named():
    x, y, x_test, y_test = FEW
    train = models.train
    with pytest.raises(ValueError, match=r"batch: 97; allowed is 1 to the 96"):
        run(1, batch=97)
    with pytest.raises(ValueError, match=r"data: train inputs \(96, 64\) and classes int64 \(95,\)"):
        train(ROWS[57].estimator, NET, models.cross_entropy, (x, y[:-1], x_test, y_test))
    with pytest.raises(ValueError, match="data: train inputs hold numbers that are not finite"):
        train(ROWS[57].estimator, NET, models.cross_entropy, (x * np.nan, y, x_test, y_test))
    with pytest.raises(ValueError, match="class 12; the circuit has 10 outputs"):
        train(ROWS[57].estimator, NET, models.cross_entropy, (x, np.where(y == 0, 12, y), x_test, y_test))
    with pytest.raises(models.Unsuitable, match="row 52 .*energy"):
        train(ROWS[52].estimator, NET, models.cross_entropy, FEW)
    import optax

    with pytest.raises(models.NoFixedPoint, match="no longer finite in epoch 1; lower the learning rate or beta"):
        run(1, optimizer=optax.sgd(1e200))


HOPFIELD = models.Hopfield((2, 3, 2))


def _marked(c, o, p, x, y):
    """One number for all weights, but none for inputs above 1: a solver that did not settle."""
    return jax.tree.map(lambda w: jax.numpy.full_like(w, jax.numpy.where(x[0] > 1, jax.numpy.nan, x[0])), p)


def _surrogate(c, o, p, x, y):
    return sum(jax.numpy.sum(w) for w in jax.tree.leaves(p)) * jax.numpy.where(x[0] > 1, jax.numpy.nan, x[0])


@pytest.mark.parametrize("surrogate", [None, _surrogate])
def test_a_sample_that_does_not_settle_is_left_out_of_its_batch_and_counted(surrogate):
    e = models.Estimator(None, "mine", _marked, surrogate=surrogate)
    p, y = HOPFIELD.random_parameters(jax.random.key(0)), np.eye(2)[[0, 1, 0, 1]]
    for column, mean, lost in (((0.2, 0.4, 0.6, 0.8), 0.5, 0), ((0.2, 2, 0.6, 0.8), 1.6 / 3, 1), ((2, 2, 2, 2), 0, 4)):
        g, n = jax.jit(lambda x: e.settled(HOPFIELD, models.squared_error, p, x, y))(np.array([[v, 0] for v in column]))  # noqa: B023
        assert n == lost and all(np.allclose(leaf, mean, rtol=1e-12) for leaf in jax.tree.leaves(g))


def _sometimes(problem, start=None):
    """Settles, but for inputs above 1."""
    states = jax.tree.map(lambda v: jax.numpy.where(problem.x[0] > 1, jax.numpy.nan, v), problem.sweep(problem.start()))
    return Solution(states, 1, 0.0)


def test_training_tells_of_what_did_not_settle_and_refuses_where_it_is_most():
    x, y = np.full((8, 2), 0.5), np.array([0, 1] * 4)
    x[:2] = 2
    e = models.Estimator(None, "mine", _marked)
    done = models.train(e, HOPFIELD, models.squared_error, (x, y, x, y), epochs=2, batch=4, solver=_sometimes)
    assert [(r["left_out"], r["unanswered"]) for r in done.epochs] == [(2, 2)] * 2
    assert all(np.isfinite(r["loss"]) and r["accuracy"] <= 0.75 for r in done.epochs)
    x[:6] = 2
    with pytest.raises(models.NoFixedPoint, match="^mine: 6 of 8 samples did not settle in epoch 1; give the solver more sweeps"):
        models.train(e, HOPFIELD, models.squared_error, (x, y, x, y), epochs=2, batch=4, solver=_sometimes)


@pytest.mark.slow
def test_mirror_descent_learns_though_samples_do_not_settle():
    done = learn(78, (64, 32, 10), DIGITS, 1, seed=2)
    assert done.epochs[-1]["accuracy"] > 0.5 and done.epochs[-1]["left_out"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("number", trainable())
def test_every_standard_row_learns(number):
    """Whatever the rule, in a few epochs it knows more than nothing, of which chance is 10 %."""
    done = learn(number, (64, 24, 10), DIGITS, 6, seed=1)
    assert done.epochs[-1]["accuracy"] > 0.15, done.epochs


def test_every_row_is_trained_or_refused_with_a_reason():
    assert set(STANDARDS) | set(REFUSED) == set(ROWS) and not set(STANDARDS) & set(REFUSED)
    for number in REFUSED:
        with pytest.raises(models.Unsuitable, match=rf"row {number} \(.*no standard training: .*use "):
            standard(number, (64, 5, 10))


@pytest.mark.parametrize("number", [26, *(pytest.param(n, marks=pytest.mark.slow) for n in (35, 42, 71))])
def test_rows_that_learn_more_than_weights_go_on_to_the_same_bits(number, tmp_path):
    """Feedback, classifiers and labels of one's own are parameters like the others."""
    whole = learn(number, (64, 6, 10), FEW, 2, seed=1)
    learn(number, (64, 6, 10), FEW, 1, seed=1, checkpoint=tmp_path / "run.npz")
    resumed = learn(number, (64, 6, 10), FEW, 2, seed=1, checkpoint=tmp_path / "run.npz")
    assert resumed.epochs == whole.epochs
    for a, b in zip(jax.tree.leaves(resumed.parameters), jax.tree.leaves(whole.parameters), strict=True):
        assert np.array_equal(a, b)


def test_kolen_pollack_in_training_keeps_its_law():
    """The weights less the feedback, transposed, shrink by the same factor in every update."""
    start = standard(26, (64, 6, 10)).circuit.random_parameters(jax.random.split(jax.random.key(1), 3)[0])
    (w, b), rate = learn(26, (64, 6, 10), FEW, 2, seed=1, batch=32).parameters, 30 * 3e-3
    gap = [np.asarray(v[1].T - u[0]) for v, u in (start, (w, b))]
    np.testing.assert_allclose(gap[1], (1 - rate * 1e-3) ** 6 * gap[0], rtol=1e-12)


def test_the_command_trains_rows_into_a_table(tmp_path):
    done = CliRunner().invoke(app, ["train", "--reference", "20", "--reference", "57", "--epochs", "1", "-o", str(tmp_path)])
    lines = done.stdout.splitlines()
    assert lines[0].startswith("64-64-10 on digits, 1 epoch, 1 seed: accuracy")
    assert "Backprop" in lines[2] and "Dual propagation" in lines[3]
    assert len(list(tmp_path.iterdir())) == 2


def test_the_command_trains_a_convolutional_net(tmp_path):
    done = CliRunner().invoke(
        app, ["train", "--reference", "23", "--channels", "2", "--hidden", "8", "--epochs", "1", "--json", "-o", str(tmp_path)]
    )
    report = json.loads(done.stdout)
    assert (report["channels"], report["sizes"], report["left_out"]) == ([2], [64, 8, 10], 0)
    assert [p.name for p in tmp_path.iterdir()] == ["row23-digits-64-c2-8-10-seed1.npz"]
    with np.load(tmp_path / "row23-digits-64-c2-8-10-seed1.npz") as kept:
        assert (2, 3, 3, 1) in {v.shape for v in kept.values()}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["20", *["--channels", "2"] * 4], "channels: images of 1 x 1 below convolution 4 cannot be halved; at most 3 here"),
        (["20", "--channels", "2", "--data", "{}"], "table.csv: a sample of 3 numbers is no image; give images"),
    ],
)
def test_what_no_convolution_fits_is_refused_in_one_line(given, told, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("a,b,c,kind\n" + "".join(f"{i},{i * i},{-i},{'xy'[i % 2]}\n" for i in range(20)))
    done = CliRunner().invoke(app, ["train", "-o", str(tmp_path), "--reference", *(g.format(table) for g in given)])
    assert done.exit_code == 2 and re.search(told, " ".join(done.stderr.split())), done.stderr


def test_the_command_trains_a_row(tmp_path):
    done = CliRunner().invoke(app, ["train", "--reference", "57", "--epochs", "2", "--seeds", "2", "--json", "-o", str(tmp_path)])
    report = json.loads(done.stdout)
    assert report["row"] == 57 and len(report["history"]) == 2 and report["accuracy"] > 0.8
    refused = CliRunner().invoke(app, ["train", "--reference", "76", "-o", str(tmp_path)])
    assert refused.exit_code == 2 and "no standard training" in refused.stderr
    assert CliRunner().invoke(app, ["train"]).exit_code == 2
