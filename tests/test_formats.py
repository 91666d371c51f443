"""A weight format for each layer: what both twins, their files and their sweeps make of it (contract, symbols and section 6)."""

import numpy as np
import pytest

from crossdyad import emulator, hdl, sim, weights
from crossdyad.emulator import devices, many, training
from crossdyad.emulator.link import Board
from crossdyad.explore import bits as changing
from crossdyad.explore import cards, cost, energy, fit, spec, sweep
from crossdyad.recipe import Formats, QFormat, Recipe, RecipeError, in_memory, matrix_geometries, parse, table
from crossdyad.recipe.link import Link, fingerprint
from crossdyad.sim import chip, gradient, real, rules, simulators, streams

WIDE, COARSE = {"width": 9, "frac": 7}, {"width": 6, "frac": 4}
ONE = {"engines": [{"lanes": 4, "matrices": ["W0", "W1"]}]}


def recipe(weight, sizes=(12, 6, 4), lanes=(4, 3), **changes):
    given = {"name": "layered", "sizes": sizes, "learning_rate": 2.0**-3, "rate_floor": 2.0**-6}
    if "engines" not in changes:
        given["lanes"] = lanes
    formats = {"delta": {"width": 11, "frac": 8}} | changes.pop("formats", {}) | {"weight": weight}
    return Recipe.model_validate(given | changes | {"formats": formats})


def samples(r, n=40):
    draw = np.random.default_rng(3)
    return draw.uniform(0, 1, (n, r.sizes[0])), draw.integers(0, r.sizes[-1], n)


def learned(r, engine="numpy"):
    chip = emulator.Chip(r, engine)
    chip.weights = emulator.initial_weights(r)
    results = chip.train(*samples(r))
    return chip, results


def texts(r):
    return hdl.convert(hdl.build(r), "top").text


# The recipe ---------------------------------------------------------------------------------------------------


def test_each_matrix_sees_the_format_of_the_layer_beside_which_it_lies():
    r = recipe([WIDE, COARSE, WIDE], sizes=(12, 6, 5, 4), lanes=(4, 3, 2), rule="kolen-pollack", decay=2.0**-8)
    for name, g in matrix_geometries(r).items():
        assert g.recipe.formats.weight == r.weight_formats[g.layer] and g.recipe == r.of_layer(int(name[1:])), name
    plain = r.of_layer(1)
    assert plain.of_layer(0) is plain and plain.formats.weight == r.weight_formats[1]
    assert parse(r.to_toml()) == r and r.weight_width == 9


@pytest.mark.parametrize(
    "weight, told",
    [
        (
            [WIDE],
            "formats.weight: a list of 1 formats; allowed are one format for all layers of weights, or a list with one for each, here 2",
        ),
        ([WIDE] * 3, "a list of 3 formats"),
        ([], "a list of 0 formats"),
        ([WIDE, 8.0], r"formats.weight\[1\]: 8.0; allowed is a table, as { width = 8, frac = 5 }, or a width in bits"),
        ([WIDE, {"width": 8}], r"formats.weight\[1\].frac: missing"),
        ([WIDE, WIDE | {"fraction": 1}], r"formats.weight\[1\].fraction: unknown key; did you mean 'frac'\? allowed are width, frac"),
        ({"width": 1, "frac": 0}, "formats.weight.width: 1; allowed is at least 2"),
        ([8], "a list of 1 formats"),
        ([1, 6], r"formats.weight\[0\].width: 1; allowed is at least 2"),
        (30, "formats.weight.width: 30; allowed is at most 24"),
        ("'8'", "formats.weight: '8'; allowed is a table"),
    ],
)
def test_a_list_that_is_none_of_the_layers_is_told(weight, told):
    with pytest.raises(RecipeError, match=told):
        text = ", ".join(map(_toml, weight)) if isinstance(weight, list) else None
        parse(f'name = "x"\nsizes = [4, 3, 2]\nlanes = [1, 1]\n[formats]\nweight = {_toml(weight) if text is None else f"[{text}]"}\n')


@pytest.mark.parametrize("weight", [[8, 6], [{"width": 8, "frac": 5}, 6], [8, {"width": 6, "frac": 3}]])
def test_a_width_keeps_the_range_of_the_default_as_an_axis_does(weight):
    r, plain = recipe(weight), Recipe.model_validate({"name": "layered", "sizes": (12, 6, 4), "lanes": (4, 3)}).model_dump()
    for layer, bits in enumerate((8, 6)):
        assert not changing.change(plain, f"bits.weight.{layer}", bits)
    assert r.formats.weight == (QFormat(width=8, frac=5), QFormat(width=6, frac=3)) and parse(r.to_toml()) == r
    assert Recipe.model_validate(plain).formats.weight == r.formats.weight


@pytest.mark.parametrize("place", Formats.model_fields)
def test_a_width_stands_for_a_format_in_every_place(place):
    plain = Recipe.model_validate({"name": "x", "sizes": (4, 2), "lanes": (1,)}).model_dump()
    assert not changing.change(plain, f"bits.{place}", 7)
    assert getattr(Formats.model_validate({place: 7}), place) == getattr(Recipe.model_validate(plain).formats, place)


def _toml(value):
    return "{ " + ", ".join(f"{k} = {v}" for k, v in value.items()) + " }" if isinstance(value, dict) else str(value)


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"rule": "spsa", "epsilon": 2.0**-4}, "engine 0 holds matrices of s9.7 and s6.4, with rule spsa, whose probes"),
        ({"pulses": {"law": "constant", "step": 2.0**-3}}, "with pulses.law constant"),
        ({"devices": {"read_noise": 0.1}}, "with devices.read_noise"),
    ],
)
def test_what_counts_whole_lsbs_wants_an_engine_for_each_format(changes, told):
    with pytest.raises(ValueError, match=told):
        recipe([WIDE, COARSE], **ONE, **changes)
    assert recipe([WIDE, COARSE], **changes) and recipe([WIDE, WIDE], **ONE, **changes)


def test_a_mistake_of_one_layer_is_told_with_its_format():
    for changes, told in (
        ({"rule": "spsa", "epsilon": 2.0**-5}, "epsilon: 0.03125 is 0.5 weight LSBs of s6.4"),
        ({"devices": {"levels": 128}}, "devices.levels: 128; .* from 2 to 64, the levels of s6.4"),
        ({"rule": "feedback-alignment", "feedback": 2.0**-5}, "feedback: 0.03125 is no level of s6.4"),
    ):
        with pytest.raises(ValueError, match=told):
            recipe([WIDE, COARSE], **changes)


# Alike --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        ONE,
        {"rule": "spsa", "epsilon": 2.0**-4},
        {"rule": "kolen-pollack", "decay": 2.0**-8},
        {"rule": "feedback-alignment", "devices": {"read_noise": 0.1, "levels": 8, "stuck": 0.1}, "bias": True},
        {"pulses": {"law": "linear", "step": 2.0**-4, "slope": 0.5}},
    ],
    ids=["own", "shared", "spsa", "pollack", "devices", "pulses"],
)
def test_a_list_of_equal_formats_is_the_plain_recipe(changes):
    listed, plain = (recipe(weight, sizes=(6, 4, 3), lanes=(3, 2), **changes) for weight in ([WIDE, WIDE], WIDE))
    (a, made), (b, wanted) = learned(listed), learned(plain)
    assert all((v == w).all() for v, w in zip(a.weights, b.weights, strict=True)) and a.saturations == b.saturations
    assert (made.outputs == wanted.outputs).all() and (made.loss == wanted.loss).all()
    assert fingerprint(listed) == fingerprint(plain) and texts(listed) == texts(plain)


# The hardware -------------------------------------------------------------------------------------------------


DEEP = {"sizes": (12, 6, 5, 4), "lanes": (4, 3, 2)}
SHARED = {"sizes": (12, 6, 5, 4), "engines": [{"lanes": 4, "matrices": ["W0", "W2"]}, {"lanes": 3, "matrices": ["W1"]}]}
CASES = {
    "own": ([WIDE, COARSE], {}),
    "shared": ([COARSE, WIDE], ONE | {"bias": True}),
    "read transposed": ([WIDE, COARSE, WIDE], DEEP | {"rule": "backprop", "output": "hard_tanh"}),
    "own feedback": ([WIDE, COARSE, WIDE], SHARED | {"rule": "kolen-pollack", "decay": 2.0**-8}),
    "probed": ([WIDE, COARSE], {"rule": "spsa", "epsilon": 2.0**-4}),
    "signs": ([COARSE, WIDE, COARSE], SHARED | {"rule": "sign-concordant", "overflow": {"weight": "wrap"}}),
    "heads": ([COARSE, WIDE, COARSE], DEEP | {"rule": "local-heads", "devices": {"levels": 16, "read_noise": 0.1}}),
}
QUICK = ("own feedback",)


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES])
def test_verilog_is_the_emulator(name):
    """In every bit and cycle; what is quick here and more of it runs in Amaranth's simulator, as `layers-...` of the variety."""
    weight, changes = CASES[name]
    report = sim.cosim(recipe(weight, **changes), "verilator", 6)
    assert report.passed and report.bits > 20_000 and not report.cycle_differences, str(report)


@pytest.mark.parametrize("placed", [False, True], ids=["own", "shared"])
def test_of_a_weight_that_is_too_wide_the_low_bits_count(placed):
    r = recipe([WIDE, COARSE], sizes=(3, 2, 2), lanes=(2, 1), **({"engines": [{"lanes": 2, "matrices": ["W0", "W1"]}]} if placed else {}))
    session = chip.Session(r)
    session.load([np.full((2, 3), 255), np.full((2, 2), 33)])
    session.train([20, 30, 10], 1)
    session.read()
    verdict = chip.judge(r, simulators.run(hdl.build(r), streams.play, session.arguments({}, True), "amaranth"), True)
    assert not verdict.differing, verdict.mismatches[:5]
    assert session.given["i_weight"][-4:] == [33] * 4 and (verdict.prediction.chip.weights[1] < 0).all()


def test_a_lane_has_the_bits_of_its_engines_widest_weights():
    own, shared = recipe([WIDE, COARSE]), recipe([WIDE, COARSE], **ONE)
    assert [e.width for e in table.engines(own)] == [9, 6] and [e.width for e in table.engines(shared)] == [9]
    apart, together = (emulator.Chip(r) for r in (own, shared))
    apart.weights = together.weights = emulator.initial_weights(own)
    x, y = samples(own)
    assert (apart.infer(x) == together.infer(x)).all()  # where matrices lie changes nothing that is read


def test_a_chip_wakes_up_with_weights_of_several_formats():
    r = recipe([WIDE, COARSE], **ONE)
    w = [np.full((6, 12), -256), np.full((4, 6), -32)]
    assert [word & 0x1FF for word in hdl.initial.words(r, w)[0]] == [256] * 18 + [512 - 32] * 8
    with pytest.raises(ValueError, match="W1: -33 does not fit s6.4"):
        hdl.build(r, [w[0], w[1] - 1])


# The emulator -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["dual-propagation", "kolen-pollack", "local-heads"])
def test_weights_keep_to_the_range_of_their_layer(rule):
    r = recipe([WIDE, COARSE, WIDE], rule=rule, **DEEP)
    chip = emulator.Chip(r)
    chip.weights, chip.rate = emulator.initial_weights(r), 7
    chip.train(*samples(r, 300))
    for g, w in zip(in_memory(r), chip.weights, strict=True):
        f = r.weight_formats[g.layer]
        assert f.min <= w.min() and w.max() <= f.max
    coarse = [w for g, w in zip(in_memory(r), chip.weights, strict=True) if g.layer == 1]
    assert any(w.min() == -32 or w.max() == 31 for w in coarse) and chip.saturations["weight"] > 0
    with pytest.raises(ValueError, match=r"weights\[1\]: 32 does not fit s6.4"):
        chip.weights = [np.full_like(w, 32) for w in chip.weights]


def test_a_layer_learns_as_one_of_its_format_does():
    """The first layer of a net whose second one does not change what comes back from it."""
    mixed, plain = (recipe(weight, rule="feedback-alignment", frozen=(1,), feedback=0.25) for weight in ([COARSE, WIDE], COARSE))
    a, b = emulator.Chip(mixed), emulator.Chip(plain)
    first = emulator.initial_weights(plain)
    b.weights, a.weights = first, [first[0], first[1] << 3]
    x, y = samples(mixed)
    a.train(x, y)
    b.train(x, y)
    assert (a.weights[0] == b.weights[0]).all() and (a.weights[0] != first[0]).any() and (a.weights[1] == first[1] << 3).all()


@pytest.mark.parametrize("rule", ["backprop", "dual-propagation", "kolen-pollack", "local-heads"])
def test_the_chips_gradient_is_that_of_its_rule(rule):
    fine = {k: v for k, v in rules.FINE.items() if k != "weight"}
    r = recipe([{"width": 16, "frac": 12}, {"width": 12, "frac": 8}], rule=rule, formats=fine, beta=2.0**-3)
    w, (x, y) = emulator.initial_weights(r), samples(r)
    made, played = gradient.chip(r, w, x, y), real.gradient(r, w, x, y)
    assert gradient.relative_error(made, played) < 0.01
    if rule == "backprop":
        assert gradient.cosine(made, real.exact(r, w, x, y)).min() > 0.999


def test_chips_at_once_are_those_alone():
    mixes = [[WIDE, COARSE], [COARSE, WIDE], WIDE]
    chips = [recipe(w, rounding={"weight": "stochastic"}, devices={"read_noise": 0.1}) for w in mixes]
    together = many.Many(chips, [1, 2, 3])
    x, y = samples(chips[0])
    made = together.train(x, y)
    for n, (r, seed) in enumerate(zip(chips, together.seeds, strict=True)):
        alone = emulator.Chip(r, "jax", seeds=seed)
        alone.weights = emulator.initial_weights(r, seed)
        assert (alone.train(x, y).outputs == made.outputs[n]).all()
        assert all((v == w[n]).all() for v, w in zip(alone.weights, together.weights, strict=True))


def test_ideal_arrays_of_several_formats_are_the_chip():
    r = recipe([WIDE, COARSE], arrays={"on": True}, devices={"preset": "pcm"})
    quiet = devices.ArrayChip(r, device=devices.Device())
    chip = emulator.Chip(r)
    quiet.weights = chip.weights = [np.clip(w, -f.max, f.max) for f, w in zip(r.weight_formats, emulator.initial_weights(r), strict=True)]
    x, y = samples(r)
    assert (quiet.train(x, y).outputs == chip.train(x, y).outputs).all()
    held = devices.programmed(r, chip.weights)
    assert all((w >= f.min).all() and (w <= f.max).all() for f, w in zip(r.weight_formats, held, strict=True))


def test_what_training_saw_of_weights_is_told_in_their_own_format():
    r = recipe([WIDE, COARSE])
    seen = training._ranges(r, learned(r)[0], *samples(r))
    assert [seen[f"weights {k}"]["high"] for k in (0, 1)] == [f.high for f in r.weight_formats] == [255 / 128, 31 / 16]


# Files and the line ---------------------------------------------------------------------------------------------


def test_files_hold_real_numbers_and_come_back_in_each_layers_format(tmp_path):
    r = recipe([WIDE, COARSE])
    w = learned(r)[0].weights
    for suffix in (".npz", ".safetensors"):
        found = weights.load(r, weights.save(r, w, tmp_path / f"w{suffix}"))
        assert all((a == b).all() for a, b in zip(found.weights, w, strict=True))
    kept = weights.files.write_integers(tmp_path / "own.npz", r, w)
    other = recipe([WIDE | {"frac": 6}, WIDE])  # a net of other formats reads the same numbers
    found = weights.load(other, kept)
    assert (found.weights[1] == w[1] << 3).all() and np.abs(found.weights[0] - w[0] / 2).max() <= 0.5
    with pytest.raises(weights.WeightsError, match=r"W1: .* limits -2 and 1.9375 of s6.4"):
        weights.fit(r, {"W0": np.zeros((6, 12)), "W1": np.full((4, 6), 3.0)})


def test_onnx_of_several_formats_is_the_chip(tmp_path):
    pytest.importorskip("onnx")
    run = pytest.importorskip("onnx.reference")
    r = recipe([WIDE, COARSE], rule="inference")
    w, (x, _) = emulator.initial_weights(r), samples(r)
    chip = emulator.Chip(r)
    chip.weights = w
    made = run.ReferenceEvaluator(str(weights.save(r, w, tmp_path / "net.onnx"))).run(None, {"x": x.astype(np.float32)})[0]
    assert (made == r.formats.state.decode(chip.infer(x.astype(np.float32)))).all()


def test_the_line_packs_weights_as_wide_as_the_widest():
    r = recipe([WIDE, COARSE])
    assert Link(r).requests[8] == Link(r).chunk * 9 // 8
    board = Board(r)
    board.loading = [np.full(Link(r).weights, 33, np.int32)]  # of a narrower format the low bits count
    board._loaded()
    assert set(np.unique(board.chip.weights[0])) == {33} and set(np.unique(board.chip.weights[1])) == {33 - 64}


# Sweeps and costs -------------------------------------------------------------------------------------------------


def test_a_sweep_narrows_the_layers_one_by_one():
    base = recipe(WIDE, sizes=(64, 6, 10))
    made = spec.apply(base, {"bits.weight.0": 6, "lsb.epsilon": 2}).recipe
    assert made.weight_formats == (QFormat(width=6, frac=4), QFormat(width=9, frac=7)) and made.epsilon == 2.0**-3
    row = {"recipe": made.model_dump(mode="json"), "board": "ulx3s"}
    assert [sweep._at(row, f"bits.weight{of}") for of in ("", ".0", ".1")] == [None, 6, 9]
    assert spec.apply(made, {"bits.weight": 9}).recipe.as_built.formats == base.formats
    deeper = spec.apply(base, {"bits.weight.2": 6, "sizes": [64, 6, 5, 10], "lanes": [4, 3, 2]}).recipe
    assert [q.width for q in deeper.weight_formats] == [9, 9, 6]
    for axes, told in (
        ({"bits.weight.2": 6}, "the recipe has 2 layers of weights; allowed are bits.weight.0 to bits.weight.1"),
        ({"bits.weight.0": 6.5}, "bits.weight.0: 6.5; allowed are whole numbers of bits"),
        ({"formats.weight.width": 8}, "the recipe has a list of formats"),
    ):
        assert told in spec.apply(made, axes).error
    axes = spec.Spec.model_validate({"name": "x", "axes": {"bits": {"weight": {"0": [4, 6], "1": [4]}}}}).axes
    assert axes == {"bits.weight.0": [4, 6], "bits.weight.1": [4]}
    with pytest.raises(ValueError, match="bits.weight.first: no such field of a recipe; did you mean 'bits.weight'"):
        spec.Spec.model_validate({"name": "x", "axes": {"bits.weight.first": [4]}})


def test_layouts_that_formats_forbid_are_not_looked_at():
    chips = [recipe([WIDE, COARSE], rule=rule, epsilon=2.0**-4) for rule in ("spsa", "backprop")]
    probed, sent = ({tuple(e.matrices for e in f.recipe.engines) for f in fit.fit(r, "ulx3s", 8)} for r in chips)
    assert probed == {(("W0",), ("W1",))} and (("W0", "W1"),) in sent


def test_a_chip_of_two_formats_costs_what_lies_between():
    """In LUTs it need not: of coarser weights updates lose more bits, which are rounded."""
    wide, mixed, narrow = (recipe(weight, sizes=(64, 32, 10), lanes=(16, 8)) for weight in (WIDE, [WIDE, COARSE], COARSE))
    ff = [cost.estimate(r, "ulx3s")["ff"] for r in (narrow, mixed, wide)]
    assert ff == sorted(ff) and len(set(ff)) == 3
    bits = [cards.card(r).weight_bits for r in (narrow, mixed, wide)]
    assert bits == [6 * 2368, 9 * 2048 + 6 * 320, 9 * 2368] and energy.of(narrow) < energy.of(mixed) < energy.of(wide)
