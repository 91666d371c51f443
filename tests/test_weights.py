"""Weights of other tools: matched, rounded, learned on from, and given back; `test_weights_reading` reads their files."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import needs
from typer.testing import CliRunner

from crossdyad import cli, data, emulator, hdl, weights
from crossdyad.recipe import Data, Recipe, load
from crossdyad.sim import agreement, chip, simulators, streams
from crossdyad.weights import files, pytorch, safetensors

NETS = Path(__file__).parent / "nets"
EXPECTED = dict(np.load(NETS / "expected.npz"))
FINE = {"weight": {"width": 20, "frac": 18}, "accumulator": {"width": 24, "frac": 18}, "state": {"width": 20, "frac": 16}}
SMALL = Recipe(name="small", sizes=[4, 3, 2], lanes=[2, 2])


def call(*arguments):
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


# Matching and rounding --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["net.pt", "net.safetensors"])
def test_weights_are_rounded_and_the_loss_is_told(name):
    loaded = weights.load(SMALL, NETS / name)
    for k, tensor in enumerate(("0.weight", "2.weight")):
        real, layer = EXPECTED[tensor].astype(float), loaded.layers[k]
        rounded = np.floor(real * 2.0**SMALL.formats.weight.frac + 0.5)
        assert loaded.weights[k].dtype == np.int32 and (loaded.weights[k] == rounded).all()
        assert (layer.matrix, layer.source, layer.turned, layer.clipped) == (f"W{k}", tensor, False, 0)
        assert layer.error == np.abs(rounded * SMALL.formats.weight.step - real).max() > 0
        assert layer.largest == np.abs(real).max()
        assert layer.largest * layer.scale <= SMALL.formats.weight.high < layer.largest * 2 * layer.scale


def grid(rows: int, columns: int) -> np.ndarray:
    return np.arange(rows * columns).reshape(rows, columns) / 64 / rows / columns


@pytest.mark.parametrize(
    "shapes, turned, expected",
    [
        ({"a": (3, 4), "b": (2, 3)}, False, ["a", "b"]),
        ({"a": (4, 3), "b": (3, 2)}, True, ["a", "b"]),
        ({"z": (3, 4), "b": (2, 3)}, False, ["z", "b"]),  # by their shapes, whatever their order
        ({"b": (2, 3), "z": (3, 4)}, False, ["z", "b"]),
    ],
)
@pytest.mark.parametrize("ordered", [True, False])
def test_layers_are_matched_by_order_and_shape(shapes, turned, expected, ordered):
    tensors = {name: grid(*shape) for name, shape in shapes.items()}
    loaded = weights.fit(SMALL, tensors, ordered=ordered)
    for k, name in enumerate(expected):
        assert loaded.layers[k].source == name and loaded.layers[k].turned == turned
        wanted = tensors[name].T if turned else tensors[name]
        assert np.allclose(SMALL.formats.weight.decode(loaded.weights[k]), wanted, atol=SMALL.formats.weight.step)


@pytest.mark.parametrize(
    "sizes, names, ordered, found",
    [
        ([4, 4, 4, 2], ["fc2", "fc10", "out"], True, ["fc2", "fc10", "out"]),
        ([4, 4, 4, 2], ["fc.10", "fc.2", "fc.11"], False, ["fc.2", "fc.10", "fc.11"]),
        ([4, 4, 4, 2], ["decoder", "encoder", "out"], False, None),
    ],
)
def test_layers_of_one_shape_go_by_order_or_numbers_and_are_never_guessed(sizes, names, ordered, found):
    recipe = Recipe(name="deep", sizes=sizes, lanes=[2, 2, 2])
    order = names if found is None else found
    shapes = dict(zip(order, ((4, 4), (4, 4), (2, 4)), strict=True))
    tensors = {name: grid(*shapes[name]) for name in names}
    if found is None:
        with pytest.raises(weights.WeightsError, match="some have the same shape, and their order is not the net's; name them W0, W1, W2"):
            weights.fit(recipe, tensors, ordered=ordered)
    else:
        assert [layer.source for layer in weights.fit(recipe, tensors, ordered=ordered).layers] == found


@pytest.mark.parametrize(
    "tensors, words",
    [
        ({"a": grid(3, 5), "b": grid(2, 3)}, ["a 3 x 5, b 2 x 3: not the shapes of small, 3 x 4, 2 x 3", r"write sizes = \[5, 3, 2\]"]),
        ({"a": grid(3, 4)}, [r"1 matrices \(a 3 x 4\); small has 2 layers"]),
        (
            {"a": grid(3, 4), "b": grid(2, 3), "conv": np.zeros((2, 2, 2, 2)), "bn.running_mean": np.zeros(3)},
            ["conv: 4 axes", "bn.running_mean: 3, the bias of no weights"],
        ),
        ({"W0": grid(3, 4)}, ["W1: missing; the recipe has it as 2 x 3"]),
        ({"W0": grid(4, 3), "W1": grid(2, 3), "W7": grid(1, 1)}, ["W0: 4 x 3; W0 of the recipe is 3 x 4", "W7: no matrix of the chip"]),
        ({"a": np.full((3, 4), 1 + 1j), "b": np.array(["x"])}, ["a: elements of complex128", "b: elements of <U1"]),
        ({"a": np.full((3, 4), np.nan), "b": np.full((2, 3), 9.0)}, ["a: holds NaN", "b: 9 at"]),
        (
            {"a.weight": grid(3, 4), "a.bias": np.ones(3), "b.weight": grid(2, 3), "b.bias": np.zeros(2)},
            [r"a.bias: biases of a net of .*write bias = true, or train the net with bias=False"],
        ),
    ],
)
def test_all_mistakes_are_told_at_once(tensors, words):
    import re

    with pytest.raises(weights.WeightsError) as error:
        weights.fit(SMALL, tensors, "net.pt")
    lines = str(error.value).splitlines()
    assert all(line.startswith("net.pt: ") for line in lines)
    for word in words:
        assert re.search(word, str(error.value)), str(error.value)


def test_beyond_the_format_is_told_with_what_would_fit():
    import re

    recipe = Recipe(name="eight", sizes=[4, 3, 2], lanes=[2, 2], formats={"weight": {"width": 8, "frac": 7}})
    tensors = {"a": grid(3, 4), "b": grid(2, 3)}
    tensors["a"][1, 2], tensors["b"][0, 1] = 2.6, -1.25
    with pytest.raises(weights.WeightsError) as error:
        weights.fit(recipe, tensors)
    first, second = str(error.value).splitlines()
    assert "a: 2.6 at [1, 2] is 1.61 beyond the limits -1 and 0.992188 of s8.7, and 1 of 12 are" in first and "b: -1.25 at [0, 1]" in second
    scale, frac = float(re.search(r"times (\S+) it fits", first)[1]), int(re.search(r"frac = (-?\d+)", first)[1])
    assert scale == 0.25 and frac == 5
    wide = recipe.model_copy(
        update={"formats": recipe.formats.model_copy(update={"weight": recipe.formats.weight.model_copy(update={"frac": frac})})}
    )
    assert weights.fit(wide, tensors).layers
    assert weights.fit(recipe, {name: v * scale for name, v in tensors.items()}).layers


def test_full_scale_and_the_guard_are_limits_that_are_counted():
    recipe = Recipe(name="probed", sizes=[4, 3, 2], lanes=[2, 2], rule="spsa", epsilon=2.0**-6)
    f, tensors = recipe.formats.weight, {"a": np.zeros((3, 4)), "b": np.zeros((2, 3))}
    tensors["a"][0, 0] = f.high - (recipe.guard - 0.75) * f.step
    loaded = weights.fit(recipe, tensors)
    assert recipe.guard and loaded.weights[0][0, 0] == f.max - recipe.guard and loaded.layers[0].clipped == 1 / 12
    tensors["a"][0, 0] = f.high
    with pytest.raises(weights.WeightsError, match="a: "):
        weights.fit(recipe, tensors)


def test_a_matrix_beside_the_weights_starts_as_the_recipe_says():
    recipe = Recipe(name="kp", sizes=[4, 3, 2], lanes=[2, 2], rule="kolen-pollack")
    loaded = weights.load(recipe, NETS / "net.pt")
    assert (loaded.weights[2] == emulator.initial_weights(recipe)[2]).all() and "B1 is not in" in loaded.notes[0]


@pytest.mark.parametrize("frac", [18, 19])
def test_biases_are_columns_whose_input_is_one(frac):
    """The chip's inference is the biased net's of PyTorch, to what rounding leaves; also where a hidden unit that is always on says 1/2."""
    formats = FINE | {"weight": {"width": 20, "frac": frac}}
    recipe = Recipe(name="biased", sizes=[5, 4, 2], lanes=[2, 2], activation="hard_sigmoid", formats=formats, data={"one": True})
    net = pytorch.read(NETS / "biased.pt")
    loaded = weights.fit(recipe, net | {name: net[name] / 2 for name in ("2.weight", "2.bias")})
    chip = emulator.Chip(recipe)
    chip.weights = loaded.weights
    x = np.hstack([EXPECTED["x"], np.ones((3, 1))])
    found = recipe.formats.state.decode(chip.infer(x.astype(float)))
    assert np.abs(found - EXPECTED["biased"] / 2).max() < 1e-4 < np.abs(EXPECTED["biased"] - EXPECTED["net"]).max()
    assert any("biases are the last column" in note for note in loaded.notes)
    assert loaded.weights[0][3, 4] == recipe.formats.weight.encode([1.0 if frac == 18 else 0.5])[0]
    plain = emulator.Chip(SMALL.model_copy(update={"formats": recipe.formats, "activation": "hard_sigmoid"}))
    plain.weights = weights.load(plain.recipe, NETS / "net.pt").weights
    assert np.abs(recipe.formats.state.decode(plain.infer(EXPECTED["x"].astype(float))) - EXPECTED["net"]).max() < 1e-4


# And back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["npz", "safetensors", "nir"])
def test_there_and_back_loses_nothing(kind, tmp_path):
    if kind == "nir":
        pytest.importorskip("nir")
    recipe = Recipe(name="wide", sizes=[4, 3, 2], lanes=[2, 2], formats={"weight": {"width": 24, "frac": 23}})
    given = emulator.initial_weights(recipe)
    given[0][0, :2] = recipe.formats.weight.min, recipe.formats.weight.max
    loaded = weights.load(recipe, weights.save(recipe, given, tmp_path / f"net.{kind}"))
    assert all((a == b).all() for a, b in zip(given, loaded.weights, strict=True))
    assert [layer.error for layer in loaded.layers] == [0, 0] and not loaded.notes
    assert [p.name for p in tmp_path.iterdir()] == [f"net.{kind}"]


def test_a_file_of_safetensors_is_as_its_page_says():
    """By hand: eight bytes of length, JSON, bytes; the header fills whole eights."""
    raw = safetensors.encode({"W0": np.array([[1.0, -2.0]])}, {"recipe": "r"})
    size = int.from_bytes(raw[:8], "little")
    assert size % 8 == 0 and json.loads(raw[8 : 8 + size]) == {
        "__metadata__": {"recipe": "r"},
        "W0": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]},
    }
    assert raw[8 + size :] == bytes.fromhex("0000803f000000c0")


def test_what_train_writes_is_read_into_a_chip_of_other_formats(tmp_path):
    fine = SMALL.model_copy(
        update={"formats": SMALL.formats.model_copy(update={"weight": SMALL.formats.weight.model_copy(update={"width": 20, "frac": 17})})}
    )
    given = weights.load(fine, NETS / "net.pt").weights
    path = files.write_integers(tmp_path / "fine-weights.npz", fine, given, {"data_offset": np.zeros(4)})
    assert all((a == b).all() for a, b in zip(given, weights.load(fine, path).weights, strict=True))
    for a, b in zip(weights.load(SMALL, path).weights, given, strict=True):
        assert (a == np.floor(b * 2.0 ** (SMALL.formats.weight.frac - 17) + 0.5)).all()
    several = files.write_integers(tmp_path / "several.npz", fine, [np.stack([w, w]) for w in given])
    with pytest.raises(ValueError, match="holds the weights of 2 chips"):
        weights.load(fine, several)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"rounding": {"accumulator": "floor", "state": "nearest_even"}, "activation": "hard_sigmoid", "output": "hard_tanh"},
        {"activation": "leaky_relu", "output": "tanh"},
        {"activation": "sigmoid", "output": "leaky_relu"},
        {"rounding": {"accumulator": "nearest_even", "state": "floor"}, "devices": {"levels": 16}},
    ],
)
def test_the_onnx_net_infers_the_chips_bits(given, tmp_path):
    pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    rounding = {"accumulator": "nearest", "state": "nearest"}
    recipe = Recipe.model_validate({"name": "net", "sizes": [64, 32, 10], "lanes": [8, 4], "rounding": rounding} | given)
    chip = emulator.Chip(recipe)
    chip.weights = [3 * w // 2 for w in emulator.initial_weights(recipe)]
    x = data.load("digits").x_test[:200] * 1.9
    expected = recipe.formats.state.decode(chip.infer(np.minimum(x, recipe.formats.state.high)))
    net = ReferenceEvaluator(str(weights.save(recipe, chip.weights, tmp_path / "net.onnx")))
    assert (net.run(None, {"x": x.astype(np.float32)})[0] == expected).all() and len(np.unique(expected)) > 50


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"rounding": {"state": "stochastic"}, "overflow": {"state": "wrap"}}, ["rounding.state: stochastic", "overflow.state: wrap"]),
        ({"rule": "equilibrium"}, ["an inference program of its own"]),
        ({"devices": {"read_noise": 0.1}}, ["noise is in no ONNX net"]),
    ],
)
def test_what_onnx_cannot_say_is_refused(changes, words, tmp_path):
    pytest.importorskip("onnx")
    recipe = Recipe.model_validate({"name": "net", "sizes": [4, 3, 2], "lanes": [2, 2]} | changes)
    with pytest.raises(ValueError) as error:
        weights.save(recipe, emulator.initial_weights(recipe), tmp_path / "net.onnx")
    assert all(word in str(error.value) for word in words) and not list(tmp_path.iterdir())


def test_nir_graphs_that_no_chip_has_are_refused(tmp_path):
    nir = pytest.importorskip("nir")
    ends = {"input": nir.Input(np.array([4])), "output": nir.Output(np.array([2]))}
    a, b = nir.Linear(grid(3, 4)), nir.Affine(grid(2, 3), np.zeros(2))
    nir.write(tmp_path / "chain.nir", nir.NIRGraph(ends | {"b": b, "a": a}, [("input", "a"), ("a", "b"), ("b", "output")]))
    loaded = weights.load(SMALL, tmp_path / "chain.nir")
    assert [layer.source for layer in loaded.layers] == ["a", "b.weight"] and "NIR says nothing" in loaded.notes[0]
    spikes = nir.Threshold(np.ones(3))
    nir.write(
        tmp_path / "spikes.nir",
        nir.NIRGraph(ends | {"a": a, "s": spikes, "b": b}, [("input", "a"), ("a", "s"), ("s", "b"), ("b", "output")]),
    )
    with pytest.raises(ValueError, match="s is Threshold; a chip has Linear and Affine"):
        weights.load(SMALL, tmp_path / "spikes.nir")
    nir.write(
        tmp_path / "fork.nir",
        nir.NIRGraph(
            ends | {"a": a, "c": nir.Linear(grid(3, 4)), "b": b}, [("input", "a"), ("input", "c"), ("a", "b"), ("c", "b"), ("b", "output")]
        ),
    )
    with pytest.raises(ValueError, match="no chain"):
        weights.load(SMALL, tmp_path / "fork.nir")
    (tmp_path / "text.nir").write_text("no graph")
    with pytest.raises(ValueError, match="not a file of NIR"):
        weights.load(SMALL, tmp_path / "text.nir")


@pytest.mark.parametrize("content", [b"", b"no arrays", b"\0\1", b"PK\x03\x04cut"])
def test_what_is_no_file_of_arrays_is_told_in_one_line_of_ours(content, tmp_path):
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    for read in (lambda: weights.load(SMALL, path), lambda: weights.age(SMALL, path, preset="pcm"), lambda: data.load(path)):
        with pytest.raises(ValueError, match="own.npz: not a file of (weights|NumPy arrays), or damaged; .*savez") as told:
            read()
        assert "\n" not in str(told.value) and "pickle" not in str(told.value)


# In the chip ------------------------------------------------------------------------------------------------


def test_training_goes_on_from_weights_and_leaves_frozen_layers():
    digits, recipe = data.load("digits"), load("digits")
    part, how = (digits.x_train[:20], digits.y_train[:20], digits.x_test[:5], digits.y_test[:5]), {"epochs": 1, "engine": "numpy"}
    first = emulator.initial_weights(recipe)
    plain = emulator.train(recipe, *part, **how)
    assert all((a == b).all() for a, b in zip(plain.weights, emulator.train(recipe, *part, **how, weights=first).weights, strict=True))
    more = emulator.train(recipe, *part, **how, weights=plain.weights)
    assert any((a != b).any() for a, b in zip(plain.weights, more.weights, strict=True))
    frozen = recipe.model_copy(update={"frozen": (0,)})
    still = emulator.train(frozen, *part, **how, weights=plain.weights)
    assert (still.weights[0] == plain.weights[0]).all() and (still.weights[1] != plain.weights[1]).any()
    pair = emulator.train(frozen, *part, **how, weights=plain.weights, seeds=[recipe.seed, 7])
    assert (pair.weights[1][0] == still.weights[1]).all() and pair.weights[1].shape == (2, 10, 32)


@pytest.mark.parametrize("rule", [pytest.param("kolen-pollack", marks=pytest.mark.slow), "spsa"])
def test_a_frozen_layer_is_left_out_of_emulator_and_hardware(rule):
    recipe = Recipe(name="frozen", sizes=[3, 5, 2], lanes=[2, 3], rule=rule, frozen=[0], formats={"delta": {"width": 10, "frac": 8}})
    assert not [s for s in recipe.steps if not s.reads and s.matrix == "W0"] and [s for s in recipe.steps if not s.reads]
    report = agreement.cosim(recipe, "amaranth", samples=3)
    assert report.passed and report.moved, str(report)


@pytest.mark.parametrize("frozen, words", [([2], "frozen: 2; allowed are the layers 0 to 1"), ([0, 1], 'write rule = "inference"')])
def test_layers_that_cannot_be_frozen_are_told(frozen, words):
    with pytest.raises(ValueError, match=words):
        Recipe(name="frozen", sizes=[3, 5, 2], lanes=[2, 3], frozen=frozen)


@pytest.mark.parametrize("simulator", ["amaranth", "icarus"])
def test_a_chip_wakes_up_with_weights(simulator):
    """Nothing is loaded: it infers with them, and gives them back."""
    needs(simulator)
    recipe = Recipe(name="woken", sizes=[5, 3, 2], lanes=[], engines=[{"lanes": 4, "matrices": ["W1", "W0", "B1"]}], rule="kolen-pollack")
    given = [w + n for n, w in enumerate(emulator.initial_weights(recipe))]
    session, x = chip.Session(recipe), np.array([31, -20, 7, 64, 12])
    session.infer(x)
    session.read()
    record = simulators.run(hdl.build(recipe, given), streams.play, session.arguments({}, False), simulator)
    shown = [v for s in streams.OUTPUTS for _, t, v in record.payloads if t == s]
    whole = [int(w) for m in given for w in m.ravel()]
    assert shown[: len(whole)] == whole
    twin = emulator.Chip(recipe)
    twin.weights = given
    width = recipe.formats.state.width
    mask = (1 << width) - 1
    assert [v & mask for v in shown[len(whole) :]] == [int(v) & mask for v in twin.infer(x[None].astype(np.int32))[0]]


def test_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(SMALL.model_copy(update={"data": Data(file="four.csv"), "rounding": load("digits").rounding}).to_toml())
    Path("four.csv").write_text("a,b,c,d,label\n" + "".join(f"{n},{n % 3},{-n},{n % 5},{n % 2}\n" for n in range(40)))
    made = {"a.weight": np.float32(grid(3, 4)), "b.weight": np.float32(grid(2, 3))}
    Path("net.safetensors").write_bytes(safetensors.encode(made, {}))
    told = call("weights", "small.toml", "net.safetensors", "-o", "out.npz", "--json")
    assert told.exit_code == 0 and json.loads(told.stdout)["layers"][0]["source"] == "a.weight", told.output
    assert 0 <= json.loads(told.stdout)["accuracy"] <= 1 and np.load("out.npz")["W1"].shape == (2, 3)
    train = ("train", "small.toml", "--frozen", "0", "--epochs", "1", "--engine", "numpy", "-o", "b")
    told = call(*train, "--from", "net.safetensors")
    assert told.exit_code == 0, told.output
    with np.load("b/small-weights.npz") as file:
        expected = weights.load(load("small.toml"), "net.safetensors").weights
        assert (file["weights0"] == expected[0]).all() and (file["weights1"] != expected[1]).any()
    told = call(*train, "--from", "b/small-weights.npz")
    assert told.exit_code == 2 and "a checkpoint of another recipe" in told.output  # the first run's is not taken for this one's
    told = call("cosim", "small.toml", "--from", NETS / "net.pt", "--simulator", "amaranth", "--samples", "2")
    assert told.exit_code == 0 and "W0 from 0.weight" in told.output, told.output
    told = call("generate", "small.toml", "--from", NETS / "net.pt", "-o", "v")
    assert told.exit_code == 0, told.output
    told = call("generate", "small.toml", "--from", NETS / "net.pt", "--board", "generic", "-o", "w")
    assert told.exit_code == 0, told.output
    for command in ("train", "generate", "cosim"):
        told = call(command, "digits", "--from", NETS / "net.pt")
        assert told.exit_code == 2 and "not the shapes of digits" in told.output, told.output
    assert call("train", "--reference", "20", "--from", NETS / "net.pt").exit_code == 2
