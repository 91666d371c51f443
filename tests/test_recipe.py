"""Recipes: every mistake at once, TOML there and back, formats that mean what they say."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import recipes

from crossdyad.recipe import QFormat, Recipe, RecipeError, load, parse, presets


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
lanes = [3, 4]
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


@pytest.mark.parametrize("change, key", [
    ({"lanes": [16]}, "lanes"), ({"rate_floor": 2.0**-16}, "rate_floor"), ({"target_on": 1000.0}, "target_on"),
    ({"rule": "spsa", "epsilon": 2.0**-20}, "epsilon"), ({"lanes": [64, 64]}, "lanes"),
])
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


@given(st.integers(2, 24), st.integers(-4, 24), st.data())
def test_encode_is_nearest_and_decode_is_exact(width, frac, data):
    q = QFormat(width=width, frac=frac)
    integers = data.draw(st.lists(st.integers(q.min, q.max), min_size=1, max_size=20))
    assert (q.encode(q.decode(integers)) == integers).all()
    shifted = q.decode(integers) + 0.49 * q.step
    assert (q.encode(np.minimum(shifted, q.high)) == integers).all()


@pytest.mark.parametrize("values, word", [
    ([np.nan], "NaN"), ([np.inf], "NaN or infinity"), ([5.0], "does not fit"), ([-4.5], "does not fit"),
])
def test_encode_refuses_what_the_format_cannot_hold(values, word):
    with pytest.raises(ValueError, match=f"pixels: .*{word}"):
        QFormat(width=8, frac=5).encode(values, "pixels")


def test_check_refuses_reals_and_integers_beyond_the_range():
    q = QFormat(width=8, frac=5)
    with pytest.raises(ValueError, match="expected integers"):
        q.check([0.5])
    with pytest.raises(ValueError, match="128 does not fit"):
        q.check([128])
