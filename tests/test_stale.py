"""Stale weights: each read sees one version, as old as the program says, in emulator and hardware, and learns as the same law on paper."""

import re
from dataclasses import replace

import numpy as np
import player
import pytest
from hypothesis import given, settings
from test_overlap import NAMES, faults, learners, two
from typer.testing import CliRunner

from crossdyad import emulator, hdl
from crossdyad.cli import app
from crossdyad.emulator import crossbar, crossbar_clocked, walk
from crossdyad.recipe import Op, Recipe, RecipeError, in_memory, load, parse, programs, table
from crossdyad.recipe.program import lasting
from crossdyad.sim import chip, simulators, streams, variety

STALE = [name for name in NAMES if any(variety.named(name).staleness)]
PAPER = [
    variety.small("paper", sizes=(5, 6, 4, 3), lanes=(3, 2, 2), alpha=0.5, **variety.modes("nearest", "saturate"), **variety.narrow()),
    variety.small("shallow", sizes=(6, 4, 3), lanes=(6, 1), alpha=0.5, **variety.modes("nearest", "saturate"), **variety.narrow()),
]


def stale(recipe, staleness, flight=4, **changes) -> Recipe:
    """The chip whose reads may be so many updates behind, by layer."""
    return two(recipe, samples_in_flight=flight, staleness=staleness, **changes)


def placed(name, *engines, **changes) -> Recipe:
    """A preset on engines: lanes and matrices of each."""
    return stale(
        load(name),
        changes.pop("staleness"),
        changes.pop("flight"),
        lanes=(),
        engines=[{"lanes": n, "matrices": names.split()} for n, names in engines],
    )


def samples(recipe, count):
    """Random samples and labels."""
    rng, f = np.random.default_rng(3), recipe.formats.state
    return rng.integers(f.min, f.max + 1, (count, recipe.sizes[0])).astype(np.int32), rng.integers(0, recipe.sizes[-1], count)


def on_paper(recipe, weights, x, y, lag):
    """Dual propagation in integers, from contract sections 1, 4, 5 and 6, one sample after the other, with all old weights kept.

    `lag` says for each kind of read and layer how many updates of the samples before it are not seen.
    """
    f, K = recipe.formats, recipe.layers
    fw, fs, fa, fd = f.weight.frac, f.state.frac, f.accumulator.frac, f.delta.frac

    def fit(value, shift, width):
        value = value << -shift if shift <= 0 else value + (1 << shift - 1) >> shift
        return np.clip(value, -(1 << width - 1), (1 << width - 1) - 1)

    def dyad(k, a, b):
        least, most = f.state.min << max(0, fa - fs), (f.state.max << 24 + fa - fs) >> 24
        kind = recipe.output if k == K - 1 else recipe.activation
        low, high = {"relu": (0, most), "identity": (least, most)}[kind]
        plus, minus = (np.clip(2 * a + sign * b, 2 * low, 2 * high) for sign in (1, -1))
        return fit(plus + minus, fa + 2 - fs, f.state.width), fit(plus - minus, fa + 1 - fd, f.delta.width), (low, high)

    versions, outputs = [[w.astype(np.int64) for w in weights]], []
    for n, (sample, label) in enumerate(zip(x.astype(np.int64), y, strict=True)):

        def seen(kind, k, n=n):
            return versions[max(0, n - lag[kind, k])][k]

        means, drives, b = [sample], [], 0
        for k in range(K):
            a = fit(seen("forward", k) @ means[k], fw + fs - fa, f.accumulator.width)
            if k == K - 1:
                target = np.where(np.arange(len(a)) == label, recipe.target(True), recipe.target(False))
                _, _, (low, high) = dyad(k, a, 0)
                b = fit(target - np.clip(a, low, high), -round(np.log2(recipe.beta)), f.accumulator.width)
            mean, error, _ = dyad(k, a, b)
            means.append(mean)
            drives.append(a)
        outputs.append(means[-1])
        errors = {K - 1: error}
        for k in range(K - 1, 0, -1):
            b = fit(seen("transposed", k).T @ errors[k], fw + fd - fa, f.accumulator.width)
            means[k], errors[k - 1], _ = dyad(k - 1, drives[k - 1], b)
        new = []
        for k in range(K):
            product = np.outer(errors[k] << recipe.rate, means[k])
            change = product + (1 << recipe.update_shift - 1) >> recipe.update_shift
            new.append(np.clip(versions[n][k] + change, f.weight.min, f.weight.max))
        versions.append(new)
    return versions[-1], np.array(outputs)


@pytest.mark.parametrize("staleness", [(0, 0, 0), (1, 1, 1), (3, 2, 0)])
@pytest.mark.parametrize("recipe", PAPER, ids=lambda r: r.name)
def test_the_chip_learns_from_old_weights_as_on_paper(recipe, staleness):
    recipe = stale(recipe, staleness[: recipe.layers], 8)
    program = programs(recipe)[1]
    lag = {(i.op.name.lower(), int(i.step.matrix[1:])): i.lag for i in program.instructions if i.step.reads}
    assert any(lag.values()) == any(staleness)
    x, y = samples(recipe, 12)
    twin = emulator.Chip(recipe)
    twin.weights = start = emulator.initial_weights(recipe)
    made = twin.train(x, y)
    weights, outputs = on_paper(recipe, start, x, y, lag)
    assert made.outputs.tolist() == outputs.tolist()
    assert all((a == b).all() for a, b in zip(twin.weights, weights, strict=True))
    if any(lag.values()):  # and it is not what one sample after the other learns
        fresh, _ = on_paper(recipe, start, x, y, dict.fromkeys(lag, 0))
        assert any((a != b).any() for a, b in zip(fresh, weights, strict=True))


@pytest.mark.parametrize("name", STALE)
def test_samples_under_way_at_once_are_those_with_old_weights(name):
    """The emulator that walks through every register, with one memory of words, against those that keep old versions."""
    recipe = variety.named(name)
    x, y = samples(recipe, 9)
    chips = [emulator.Chip(recipe, engine) for engine in ("numpy", "jax")]
    weights = emulator.initial_weights(recipe)
    chips[0].weights = weights
    events = walk.trace(recipe, chips[0].state(), x, y)
    made = []
    for one in chips:
        one.weights = weights
        first = one.train(x[:4], y[:4])
        rest = one.train(x[4:], y[4:], follows=True)
        made.append(np.concatenate([first.outputs, rest.outputs]).ravel().tolist())
    assert made[0] == made[1] == [value for _, _, register, _, value in events if register == "result"]
    assert all((a == b).all() for a, b in zip(*(one.weights for one in chips), strict=True))
    words = {(block, index): value for _, block, register, index, value in events if register == "weight"}
    for g, w in zip(in_memory(recipe), chips[0].weights, strict=True):
        rows, base = crossbar.pad(g, w), table.engines(recipe)[g.engine].base[g.matrix.name]
        for i in range(g.N):
            lanes = rows[i // g.F, i % g.F * g.L :][: g.L].tolist()
            assert words[f"engine{g.engine}", base + i] == crossbar_clocked.pack(lanes, recipe.formats.weight.width)
    assert {n: sum(v for _, _, r, _, v in events if r == f"events_{n}") for n in chips[0].saturations} == chips[0].saturations
    assert chips[0].cycles == events[-1][0] + 1 and events[-1][-1] == chips[0].loss


@pytest.mark.parametrize("name", STALE)
def test_hardware_learns_from_the_same_old_weights(name):
    """Every bit and cycle, samples waiting, and with pauses in which all updates are seen."""
    recipe = variety.named(name)
    session = chip.Session(recipe)
    session.load(emulator.initial_weights(recipe))
    for x, y in zip(*samples(recipe, 9), strict=True):
        session.train(x, int(y))
    session.infer(samples(recipe, 1)[0][0])
    session.read()
    for stall in ("never", "random"):
        record = simulators.run(hdl.build(recipe), streams.play, session.arguments(dict.fromkeys(streams.STREAMS, stall), True), "amaranth")
        verdict = chip.judge(recipe, record, True)
        assert verdict.mismatches == [] and verdict.prediction.overlaps >= (8 if stall == "never" else 1)


def test_over_the_link_nothing_is_stale(tmp_path):
    """There samples come one after the other, so that a board is compared with a chip of fresh weights; the two differ otherwise."""
    recipe = stale(load("xor"), (2, 0), name="xors")
    (tmp_path / "xors.toml").write_text(recipe.to_toml())
    told = ["train", str(tmp_path / "xors.toml"), "--on", "emulator://", "--compare", "--epochs", "1", "-o", str(tmp_path)]
    done = CliRunner().invoke(app, told)
    assert done.exit_code == 0, done.output
    assert "every weight equals the emulator's" in done.output


@settings(max_examples=12, deadline=None)
@given(learners())
def test_every_read_sees_one_version(recipe):
    """Rules of the house on drawn engines, all matrices as stale as the rule can have them: as is said, and no more."""
    allowed = [2] * recipe.layers
    try:
        recipe = stale(recipe, allowed, 4)
    except ValueError as error:
        for layer in map(int, re.findall(r"of layer (\d+) with rule", str(error))):
            allowed[layer] = 0
        recipe = stale(recipe, allowed, 4)
    program = programs(recipe)[1]
    assert faults(recipe) == [] and program.in_flight <= 4
    assert all(lag <= allowed[next(m.layer for m in recipe.matrices if m.name == name)] for name, lag in program.staleness.items())


def test_the_player_notices_a_read_of_another_version():
    recipe = variety.named("stale-deep")
    program = programs(recipe)[1]
    assert faults(recipe) == []
    for n, i in enumerate(program.instructions):
        if i.step.reads and not i.step.matrix.startswith("B"):
            said = [replace(j, lag=j.lag + 1) if m == n else j for m, j in enumerate(program.instructions)]
            assert faults(recipe, replace(program, instructions=tuple(said)))


def test_the_player_notices_a_read_that_sees_two_versions():
    """A read of which a part comes before an update and a part after it, whatever it is said to be behind."""
    recipe = variety.named("stale")
    program = programs(recipe)[1]
    n = next(n for n, i in enumerate(program.instructions) if i.op is Op.UPDATE and i.step.matrix == "W0")
    found = []
    for by in range(1, program.interval):
        moved = [replace(i, cycle=i.cycle - by * (m == n)) for m, i in enumerate(program.instructions)]
        told = player.faults(recipe, replace(program, instructions=tuple(moved)), recipe.steps, 6, lasting(recipe))
        words = {re.sub(r"\[.*? of step", " of step", t.split(": ", 1)[1]) for t in told if "reads words of W0" in t}
        found.append(len(words) > 0)
    assert any(found)


@pytest.mark.parametrize(
    ("recipe", "interval", "busy"),
    [
        (("digits", (16, "W0 W1"), (2, 0), 4), 322, 0.980),
        (("digits", (22, "W0"), (6, "W1"), (2, 0), 4), 199, 0.906),
        (("digits-deep", (16, "W0 W1 W2"), (2, 1, 0), 4), 738, 0.991),
        (("digits-deep", (16, "W0 W2"), (12, "W1"), (3, 2, 0), 8), 450, 0.929),
        (("mnist", (131, "W0"), (3, "W1"), (2, 0), 4), 3072, 0.993),
    ],
    ids=lambda v: v[0] if isinstance(v, tuple) else None,
)
def test_an_interval_is_as_short_as_lag_below_the_last_matrix_makes_it(recipe, interval, busy):
    name, *engines, staleness, flight = recipe
    made = placed(name, *engines, staleness=staleness, flight=flight)
    program, last = programs(made)[1], f"W{made.layers - 1}"
    products = sum(made.sizes[m.below] * made.sizes[m.above] for step in made.steps for m in made.matrices if m.name == step.matrix)
    assert program.interval <= interval and products / sum(made.engine_lanes) / program.interval >= busy
    assert program.staleness[last] == 0 and all(program.staleness[f"W{k}"] <= staleness[k] for k in range(made.layers))
    if name == "digits":  # what the player takes long for is played once, not here
        assert faults(made) == []


def test_what_cannot_be_stale_says_so():
    chip = "name = 'a'\nsizes = [4, 3, 2]\nlanes = [2, 2]\n"
    for text, told in (
        ("staleness = [1, 0]", "staleness: [1, 0] with one sample in flight, which sees every update; allowed are zeros"),
        ("samples_in_flight = 2\nstaleness = [1]", "staleness: [1] for 2 layers of weights; one number each"),
        ("samples_in_flight = 2\nstaleness = [1, 0, 1]", "staleness: [1, 0, 1] for 2 layers of weights; one number each"),
        ("samples_in_flight = 2\nstaleness = [8, 0]", "staleness"),
        ("samples_in_flight = 2\nstaleness = [-1, 0]", "staleness"),
        (
            "samples_in_flight = 2\nstaleness = [1, 0]\nrule = 'spsa'",
            "staleness: 1 of layer 0 with rule spsa, which rewrites W0 4 times a sample; allowed is 0 there",
        ),
        ("samples_in_flight = 2\nstaleness = [1, 0]\n[arrays]\non = true", "staleness: [1, 0] with arrays.on"),
    ):
        with pytest.raises(RecipeError, match=re.escape(told)):
            parse(chip + text)
