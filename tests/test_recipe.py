"""Recipes: every mistake at once, TOML there and back, formats that mean what they say."""

import functools
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from strategies import recipes

from crossdyad.explore import spec
from crossdyad.recipe import QFormat, Recipe, RecipeError, load, parse, presets
from crossdyad.recipe.derived import NOISE_DEVIATION, Derived


@settings(deadline=None)
@given(recipes())
def test_toml_there_and_back(recipe):
    assert parse(recipe.to_toml()) == recipe


def test_every_preset_is_valid_and_named_as_its_file():
    assert {"digits", "digits-deep", "mnist", "xor"} <= set(presets())
    for name in presets():
        assert load(name).name == name


BAD = """
name = "A b"
sizes = [3]
lanes = [300, 4]
alpha = 0.3
beta = 3.0
betta = 1.0
[formats.state]
width = 99
frac = 1
[rounding]
sttae = "floor"
state = "up"
"""


def test_all_mistakes_at_once_each_with_file_key_and_remedy():
    with pytest.raises(RecipeError) as caught:
        parse(BAD, "bad.toml")
    lines = str(caught.value).splitlines()
    for key in ("name", "sizes", "lanes", "alpha", "beta", "betta", "formats.state.width", "rounding.sttae", "rounding.state"):
        assert sum(line.startswith(f"bad.toml: {key}: ") for line in lines) == 1, (key, lines)
    assert any("did you mean 'beta'" in line for line in lines)
    assert any("did you mean 'state'" in line for line in lines)
    assert len(lines) == 9


@pytest.mark.parametrize(
    "change, key",
    [
        ({"lanes": [16]}, "lanes"),
        ({"rate_floor": 2.0**-16}, "rate_floor"),
        ({"target_on": 1000.0}, "target_on"),
        ({"rule": "spsa", "epsilon": 2.0**-20}, "epsilon"),
        ({"lanes": [64, 64]}, "lanes"),
    ],
)
def test_values_that_do_not_fit_together_are_named(change, key):
    table = load("digits").model_dump() | change
    with pytest.raises(ValueError, match=f"(?m)^.*{key}: .*allowed"):
        Recipe.model_validate(table)


def test_unknown_preset_suggests_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'digits'"):
        load("digit")


def test_not_toml_is_said_in_one_line(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("sizes = [")
    with pytest.raises(RecipeError, match="x.toml: not TOML"):
        load(path)


def test_schema_lists_every_key():
    schema = json.loads(Recipe.json_schema())
    assert set(schema["properties"]) == set(Recipe.model_fields)
    assert schema["additionalProperties"] is False


@settings(deadline=None)
@given(st.integers(2, 24), st.integers(-4, 24), st.data())
def test_encode_is_nearest_and_decode_is_exact(width, frac, data):
    q = QFormat(width=width, frac=frac)
    integers = data.draw(st.lists(st.integers(q.min, q.max), min_size=1, max_size=20))
    assert (q.encode(q.decode(integers)) == integers).all()
    shifted = q.decode(integers) + 0.49 * q.step
    assert (q.encode(np.minimum(shifted, q.high)) == integers).all()


@pytest.mark.parametrize(
    "values, word",
    [
        ([np.nan], "NaN"),
        ([np.inf], "NaN or infinity"),
        ([5.0], "does not fit"),
        ([-4.5], "does not fit"),
        ([[4.001], [0.0]], "4.001 does not fit"),
        ([-4.017, 0.0], "-4.017 does not fit"),
        ([True, False], "got bool"),
        (["1"], "got <U1"),
    ],
)
def test_encode_refuses_what_the_format_cannot_hold(values, word):
    with pytest.raises(ValueError, match=f"pixels: .*{word}"):
        QFormat(width=8, frac=5).encode(values, "pixels")


@pytest.mark.parametrize(
    ("value", "integer"),
    [(np.nextafter(0.5, 0), 0), (0.5, 1), (np.nextafter(-0.5, -1), -1), (-0.5, 0), (128, 127), (-128.5, -128), (126.5, 127)],
)
def test_encode_takes_the_nearest_integer_up_to_full_scale(value, integer):
    assert QFormat(width=8, frac=0).encode(value) == integer
    assert QFormat(width=8, frac=5).encode(value / 32) == integer


def test_a_target_just_below_a_half_is_rounded_down():
    recipe = load("digits")
    below = np.nextafter(0.5, 0) * recipe.formats.accumulator.step
    assert recipe.model_copy(update={"target_on": below}).target(True) == 0


def test_check_refuses_reals_and_integers_beyond_the_range():
    q = QFormat(width=8, frac=5)
    with pytest.raises(ValueError, match="got bool; .*astype"):
        q.check([True])
    with pytest.raises(ValueError, match="18446744073709551615 does not fit"):
        q.check(np.array([2**64 - 1], np.uint64))
    with pytest.raises(ValueError, match="expected integers"):
        q.check([0.5])
    with pytest.raises(ValueError, match="128 does not fit"):
        q.check([128])


# Values of the wrong kind --------------------------------------------------------------------------------------

PLAIN = 'name = "x"\nsizes = [4, 2]\nlanes = [1]\n'


def reals(model, path=()):
    """Every field of a model that holds a real number, as a dotted path."""
    for name, field in model.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield from reals(part, (*path, name))
        elif part is float:
            yield ".".join((*path, name))


REALS = list(reals(Recipe))


@pytest.mark.parametrize("field", REALS)
@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "true", '"1"'])
def test_a_real_is_a_finite_number_and_nothing_else(field, value):
    with pytest.raises(RecipeError, match=f"^recipe: {field}: .*; allowed is a (finite )?number$"):
        parse(f"{field} = {value}\n{PLAIN}")


@pytest.mark.parametrize(
    "assignment",
    [
        "seed = true",
        "alpha = true",
        "alpha = false",
        'seed = "3"',
        "training.epochs = true",
        "devices.levels = true",
        "arrays.lines = true",
        "arrays.on = 1",
        'arrays.on = "yes"',
        "formats.state = { width = 8, frac = true }",
    ],
)
def test_truths_texts_and_numbers_are_not_taken_for_each_other(assignment):
    with pytest.raises(RecipeError, match="; allowed is (a number|true or false)"):
        parse(f"{assignment}\n{PLAIN}")


@pytest.mark.parametrize("value", [1e308, 2.0**52])
def test_noise_beyond_all_formats_is_refused_in_words(value):
    with pytest.raises(RecipeError, match="devices.read_noise: .*allowed"):
        parse(f"devices.read_noise = {value}\n{PLAIN}")


@pytest.mark.parametrize(
    ("frac", "noise"),
    [
        (0, 2.0**-16),  # less than what a sum over differences has: they would have none
        (20, 2.0),  # beyond the 24 bits of a gain
    ],
)
def test_noise_that_a_sum_over_differences_cannot_hold_is_refused(frac, noise):
    told = {
        "name": "x",
        "sizes": (4, 3, 2),
        "lanes": (1, 1),
        "formats": {"delta": {"width": 16, "frac": frac}},
        "devices": {"read_noise": noise},
    }
    with pytest.raises(ValueError, match="devices.read_noise: .*allowed is 0 or .* to .*, which the sums over states of .* and deltas of"):
        Recipe.model_validate(told)
    kept = Recipe.model_validate(told | {"rule": "inference"})  # reads no differences
    for gain, fits in ((0, False), (1, True), ((1 << 24) - 1, True), (1 << 24, False)):
        devices = {"read_noise": (gain or 0.4) * NOISE_DEVIATION / 256 / 2.0 ** (kept.formats.weight.frac + kept.formats.state.frac)}
        if fits:
            assert Recipe.model_validate(told | {"rule": "inference", "devices": devices}).noise_gain("state") == gain
        else:
            with pytest.raises(ValueError, match="devices.read_noise"):
                Recipe.model_validate(told | {"rule": "inference", "devices": devices})


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("sizes = [100000, 100000]", ["sizes[0]: 100000; allowed is at most 4096", "sizes[1]: 100000; allowed is at most 4096"]),
        ("sizes = 3", ["sizes: 3; allowed is a list, as [1, 2]"]),
        ("sizes = []", ["sizes: 0 entries; allowed are at least 2"]),
        ("sizes = [4, 2.5]", ["sizes[1]: 2.5; allowed is a whole number"]),
        ("sizes = [4, 2]\nformats = 3", ["formats: 3; allowed is a table, as { key = value }"]),
        ("sizes = [4, 2]\ndevices.measured = [1]", ["devices.measured[0]: 1; allowed is a list, as [1, 2]"]),
        (
            "sizes = [4, 2]\npulses.law = true",
            ["pulses.law: true; allowed is 'ideal', 'constant', 'linear', 'soft-bounds', 'exponential', 'power' or 'measured'"],
        ),
        (
            "sizes = [4, 2]\nformats.state = { width = 8, fracc = 2 }",
            [
                "formats.state.frac: missing; it must be given",
                "formats.state.fracc: unknown key; did you mean 'frac'? allowed are width, frac",
            ],
        ),
    ],
)
def test_mistakes_are_told_in_our_words_and_each_once(text, lines):
    with pytest.raises(RecipeError) as caught:
        parse(f'name = "x"\nlanes = [1]\n{text}')
    assert str(caught.value).splitlines() == [f"recipe: {line}" for line in lines]


# Files ---------------------------------------------------------------------------------------------------------


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbf" + PLAIN.encode())
    assert load(path) == parse(PLAIN)


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "a folder; name the file in it"), (PLAIN.encode("utf-16"), "no text in UTF-8"), (b'name = "\xe9"', "no text in UTF-8")],
)
def test_what_is_no_text_file_is_said(content, told, tmp_path):
    path = tmp_path / "x.toml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(RecipeError, match=f"x.toml: {told}"):
        load(path)


def test_a_specification_is_read_as_a_recipe_is(tmp_path):
    path = tmp_path / "s.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "s"\nrecipe = "digits"\naxes.beta = [1.0]\n')
    assert spec.read(path)[0].name == "s"
    path.write_text('name = "s"\nepochs = true\nsamples = inf\naxes.beta = [1.0]\nsearch = { objectives = ["lut"], populations = 2 }\n')
    with pytest.raises(spec.SpecError) as caught:
        spec.read(path)
    said = str(caught.value)
    for line in (
        "epochs: true; allowed is a number",
        "samples: inf; allowed is a finite number",
        "search.populations: unknown key; did you mean",
    ):
        assert f"s.toml: {line}" in said
    with pytest.raises(spec.SpecError, match="a folder; name the file in it"):
        spec.read(tmp_path)


SHARED = 'name = "x"\nsizes = [64, 32, 10]\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[engines]]\nlanes = 16\nmatrices = ["W0"]', ["engines: none holds W1"]),
        ('[[engines]]\nlanes = 160\nmatrices = ["W0", "W1"]', ["engines[0].lanes: 160; allowed is at most 156"]),
        ('engines = "fit"', ["engines: 'fit'; allowed are rows of lanes; `crossdyad fit"]),
        ("engines = [3]", ["engines[0]: 3; allowed is a table"]),
        (
            '[[engines]]\nlanes = 16\nmatrices = ["W0", "W1", "Q"]\n[[engines]]\nlanes = 100\nmatrices = ["W1"]',
            ["engines: W1 lies on 2 of them", "engines: there is no matrix 'Q'", "engines: 100 lanes of engine 1 for matrices of up to 32"],
        ),
        ('lanes = [16, 8]\n[[engines]]\nlanes = 16\nmatrices = ["W0", "W1"]', ["lanes: [16, 8], but engines give the layers [16, 16]"]),
        (
            'rule = "sign-concordant"\n[[engines]]\nlanes = 16\nmatrices = ["W0", "W1"]\n[[engines]]\nlanes = 4\nmatrices = ["B1"]',
            ["engines: B1, the signs of W1, lies on another engine"],
        ),
    ],
)
def test_engines_that_cannot_hold_their_matrices_are_told_and_nothing_else(text, told):
    with pytest.raises(RecipeError) as caught:
        parse(SHARED + text, "x.toml")
    lines = str(caught.value).splitlines()
    assert len(lines) == len(told)
    assert all(line.startswith(f"x.toml: {words}") for line, words in zip(lines, told, strict=True))


def test_engines_are_written_and_read_back():
    made = parse(SHARED + 'rule = "kolen-pollack"\n[[engines]]\nlanes = 13\nmatrices = ["W1", "W0"]', "x.toml")
    assert parse(made.to_toml(), "x.toml") == made and made.lanes == (13, 13) and made.engine_of("B1", 1) == 0


def test_a_changed_copy_derives_its_numbers_anew():
    """Derived numbers are kept with the recipe, so a copy with other fields must not take them along, nor the hash."""
    derived = [name for name, made in vars(Derived).items() if isinstance(made, functools.cached_property)]
    for name, changed in (("digits", {"lanes": (8, 4), "beta": 0.25, "seed": 9}), ("digits-spsa", {"epsilon": 2.0**-4, "seed": 9})):
        recipe = load(name)
        for name in (*derived, "hashed"):
            getattr(recipe, name)
        for deep in (False, True):
            made, fresh = recipe.model_copy(update=changed, deep=deep), Recipe.model_validate(recipe.model_dump() | changed)
            assert made == fresh and hash(made) == hash(fresh) != hash(recipe) and made != recipe
            assert all(getattr(made, name) == getattr(fresh, name) for name in derived)
    assert len(derived) > 30 and recipe.model_copy().steps == recipe.steps and recipe.model_dump().keys() == Recipe.model_fields.keys()


FROM_ELSEWHERE = """
import pickle, sys
from crossdyad.recipe import load
found, here = pickle.load(sys.stdin.buffer), load("digits")
assert found == here and hash(found) == hash(here) and len({found, here}) == 1 and found.steps == here.steps
"""


def test_a_recipe_from_another_process_is_the_one_here():
    """Workers get recipes as pickles; hashes of text differ there, and caches ask for them."""
    recipe = load("digits")
    hash(recipe), recipe.steps
    done = [
        subprocess.run([sys.executable, "-c", FROM_ELSEWHERE], input=pickle.dumps(recipe), env=os.environ | {"PYTHONHASHSEED": seed})
        for seed in "12"
    ]
    assert not any(d.returncode for d in done)
