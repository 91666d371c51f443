"""What the README and the docs show: its Python runs, their TOML is valid, their commands exist with these options."""

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer.main
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from crossdyad import recipe
from crossdyad.cli import app, pick
from crossdyad.explore.spec import Spec

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [
    p
    for p in (README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
    if re.search(r"^```(sh|python|toml)$", p.read_text(), re.M)
]
OTHERS = {"apt", "pip", "iverilog", "pytest", ".venv/bin/pytest", "until", "kill"}
"""Commands that are not ours: not looked at."""
BEFORE = re.compile(r"taskset -c \d+ ")
"""What may stand before a command."""
WHOLE = 'name = "piece"\nsizes = [64, 32, 10]\nlanes = [16, 8]\n'
"""What stands before a piece of a recipe."""


def blocks(text: str, language: str) -> list[tuple[int, str]]:
    """(line, text) of the fenced blocks of a language."""
    found = []

    class Kept(CodeBlockParser):
        def evaluate(self, example):
            found.append((example.line, str(example.parsed)))

    Kept.language = language
    for example in Sybil([Kept()]).parse(written(text)).examples():
        example.evaluate()
    return found


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(text: str) -> Path:
    path = Path("page.md")
    path.write_text(text)
    return path


def run_python(text: str) -> None:
    """All Python blocks, one after the other, in one namespace."""
    for example in Sybil([PythonCodeBlockParser()]).parse(written(text)).examples():
        example.evaluate()


def check_toml(text: str) -> str:
    """A recipe or a specification, or a piece of one; its name."""
    table = tomllib.loads(text)
    if "axes" in table or "conditions" in table:
        return Spec.model_validate({"name": "piece", "axes": {"beta": [1.0]}} | table).name
    return recipe.parse(text if "name" in table else WHOLE + text).name


def made(file: str) -> bool:
    """Whether a file is what commands leave behind."""
    return file.startswith("build/")


def check_command(line: str, names: set[str]) -> None:
    """One command of ours: its options are there, its files are in the checkout or told of on the page.

    Parameters
    ----------
    names : set of str
        Of files that the page tells to write; what a command writes is added.
    """
    for command in line.split("&&"):
        name, *arguments = shlex.split(BEFORE.sub("", command), comments=True)
        arguments = [word for word in arguments if word != "&"]
        if name == "make":
            targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
            assert set(arguments) <= set(targets), f"make: no {arguments}"
        elif name == "python" and arguments[0] == "-m":
            assert importlib.util.find_spec(arguments[1]), arguments[1]
        elif name == "python":
            assert made(arguments[0]) or (ROOT / arguments[0]).is_file(), arguments[0]
        elif name == "crossdyad":
            group = typer.main.get_command(app)
            assert arguments[0] in group.commands, f"crossdyad: no {arguments[0]}"
            context = group.commands[arguments[0]].make_context(arguments[0], arguments[1:])
            if arguments[0] == "pick":
                pick._limits(context.args)
            output = context.params.get("output")
            names |= {f"{arguments[1]}.toml"} if arguments[0] == "new" else set()
            names |= {str(output)} if output else set()
            for argument in arguments[1:]:
                if argument.endswith(".toml") and not made(argument):
                    assert argument in names or (ROOT / argument).is_file(), f"{argument}: of no block of the page"
        else:
            assert name in OTHERS, f"{name}: an unknown command"


def check(text: str) -> None:
    """Everything but Python: languages, TOML, commands."""
    fences = re.findall(r"^```(\w*)\n.*?^```$", text, re.M | re.S)
    assert fences and set(fences) <= {"python", "toml", "sh", "text"}, f"fences of {set(fences)}: what has another language is not tested"
    for table in re.findall(r"^```text\n(conductance.*?)^```$", text, re.M | re.S):
        Path("mine.csv").write_text(table)
    names = {f"{check_toml(block)}.toml" for _, block in blocks(text, "toml")}
    for line, block in blocks(text, "sh"):
        for n, command in enumerate(block.strip().splitlines(), 1):
            try:
                check_command(command, names)
            except Exception as error:
                raise AssertionError(f"line {line + n}: {command}: {error}") from error


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_toml_and_commands(page):
    check(page.read_text())


@pytest.mark.parametrize("page", [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_commands_within_sentences(page):
    """With all that follows a command's name; N and ROW stand for numbers."""
    text = page.read_text()
    names = {f"{name}.toml" for name in re.findall(r'^name = "([\w-]+)"$', text, re.M)}
    for command in re.findall(r"`((?:crossdyad [a-z]+|python|make) [^`]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)):
        check_command(re.sub(r"\b(N|ROW)\b", "1", command), names)


def test_python_runs(capsys):
    run_python(README.read_text())
    shown = [float(v) for v in re.findall(r"0\.\d+", capsys.readouterr().out)]
    assert len(shown) >= 3 and shown[0] > 0.9, "accuracy and two cosines"


def test_links_lead_somewhere():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text())
    assert targets and not [t for t in targets if not (ROOT / t).exists()]


@pytest.mark.parametrize(
    "old, new",
    [
        ("--simulator icarus", "--simulater icarus"),
        ("--board ulx3s", "--bord ulx3s"),
        ("crossdyad budget", "crossdyad budgett"),
        ("make demo  ", "make demon "),
        ("cosim noisy.toml", "cosim noisier.toml"),
        ('law = "soft-bounds"', 'law = "soft"'),
        ("lanes = [8, 4]", "lanes = [8, 500]"),
        ("```toml", "```yaml"),
        ("--check 52 57", "--check row52"),
    ],
)
def test_a_broken_page_is_noticed(old, new):
    text = README.read_text()
    assert old in text
    with pytest.raises(Exception):  # noqa: B017
        check(text.replace(old, new))


@pytest.mark.parametrize(
    "old, new", [("= emulator.initial_weights(recipe) ", "= emulator.first_weights(recipe) "), ("chip.infer", "chip.inferr")]
)
def test_broken_python_is_noticed(old, new):
    text = README.read_text()
    assert old in text
    with pytest.raises(AttributeError):
        run_python(text.replace(old, new).replace("range(3)", "range(0)"))
