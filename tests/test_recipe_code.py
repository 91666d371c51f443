"""Code that a recipe names: run only where its user allows it, and only what is its own."""

import os
import sys

import pytest

from crossdyad.explore import energy
from crossdyad.recipe import RecipeError, allow, parse
from crossdyad.recipe.imported import ALLOWED

# Values of the wrong kind --------------------------------------------------------------------------------------

PLAIN = 'name = "x"\nsizes = [4, 2]\nlanes = [1]\n'


# Code ----------------------------------------------------------------------------------------------------------

MODULE = """
import pathlib
from os import getcwd
pathlib.Path(__file__).with_suffix(".ran").touch()
def rule(recipe):
    from crossdyad.recipe.rules import parts
    yield from parts.inference(recipe)
"""


@pytest.fixture
def mailed(tmp_path, monkeypatch):
    """A module that leaves a trace when it is imported, and nothing allowed."""
    (tmp_path / "mailed.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mailed", raising=False)
    monkeypatch.delenv(ALLOWED)
    return tmp_path / "mailed.ran"


@pytest.mark.parametrize("name", ["os:system", "mailed:rule", "crossdyad.cli:main", "test_recipe_code:load"])
def test_a_recipe_runs_no_code_that_its_user_has_not_allowed(name, mailed, monkeypatch):
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("a recipe ran a command"))
    with pytest.raises(RecipeError, match=f"rule: '{name}' is code of .* only code that you allow; .*set {ALLOWED}={name}"):
        parse(f'rule = "{name}"\n{PLAIN}')
    with pytest.raises(ValueError, match="energy: .*only code that you allow"):
        energy.find(name)
    assert not mailed.exists() and "mailed" not in sys.modules


@pytest.mark.parametrize("allowed", ["mailed", "other, mailed", "mailed:rule"])
def test_what_the_user_allows_is_imported(allowed, mailed, monkeypatch):
    monkeypatch.setenv(ALLOWED, allowed)
    assert parse(f'rule = "mailed:rule"\n{PLAIN}').rule == "mailed:rule" and mailed.exists()
    with pytest.raises(RecipeError, match="only code that you allow"):
        parse(f'rule = "mailedd:rule"\n{PLAIN}')


def test_a_module_gives_only_what_is_its_own(mailed, monkeypatch):
    monkeypatch.setenv(ALLOWED, "mailed")
    with pytest.raises(RecipeError, match="'mailed:getcwd' is code of 'posix'"):
        parse(f'rule = "mailed:getcwd"\n{PLAIN}')


def test_allowing_adds_to_what_is_allowed(monkeypatch):
    monkeypatch.setenv(ALLOWED, "one")
    allow("two.three", "one")
    assert os.environ[ALLOWED] == "one,two.three"
