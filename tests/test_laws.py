"""The integers that both twins share, held to laws of real numbers and to the contract's text."""

import laws
import pytest


@pytest.mark.parametrize("name", laws.LAWS)
def test_law(name):
    laws.LAWS[name]()
