"""What CONTRIBUTING.md sends a newcomer to is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def test_every_file_that_is_named_exists():
    named = re.findall(r"[`(]((?:[a-z_]+/)*[A-Za-z_.]+(?:\.py|\.md|\.toml|/))[`)]", TEXT)
    assert len(named) > 25 and not [name for name in named if "NAME" not in name and not (ROOT / name).exists()]


def test_every_name_of_a_table_is_in_the_file_beside_it():
    for name, file in (
        ("RULES", "recipe/rules/__init__.py"),
        ("PRESETS", "emulator/devices/presets.py"),
        ("BOARDS", "hdl/boards.py"),
        ("FAULTS", "sim/mutants.py"),
    ):
        assert f"`{name}`" in TEXT and re.search(rf"^{name}\b.* = ", (ROOT / file).read_text(), re.M), name


def test_words_are_sorted_and_each_is_there_once():
    words = re.findall(r"^\| ([a-z]+) \|", (ROOT / "docs" / "glossary.md").read_text(), re.M)[1:]
    assert words == sorted(set(words)) and {"dyad", "engine", "operation", "program", "recipe", "store", "unit"} < set(words)
