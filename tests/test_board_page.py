"""The Python of the page "from a recipe to a learning board" runs; `test_docs_run` runs its commands, on the virtual board."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "board.md").read_text()


def test_the_python_of_the_page_runs(capsys):
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(compile(block, "board.md", "exec"), {})
    few, stored = map(float, capsys.readouterr().out.split())
    assert 0.1 < few < stored and stored > 0.9
