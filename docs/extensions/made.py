"""Pages that are made from what is elsewhere: the README, the notebooks, the cookbook's table, the list of modules."""

import re
import shutil
from pathlib import Path
from types import GenericAlias

DOCS = Path(__file__).resolve().parent.parent
MADE = DOCS / "made"


def notebooks():
    """Copies of the executed notebooks, since pages must be below the site's source."""
    (MADE / "notebooks").mkdir(parents=True)
    for path in sorted((DOCS.parent / "notebooks").glob("*.ipynb")):
        (MADE / "notebooks" / path.name).write_text(path.read_text().replace("](../docs/", "](../../"))


def readme():
    """The README as the front page includes it, its links as seen from here."""
    text = (DOCS.parent / "README.md").read_text()
    (MADE / "readme.md").write_text(text.replace("](docs/", "](").replace("](notebooks/", "](made/notebooks/"))


def cookbook():
    """The rows of `crossdyad cookbook` as a table."""
    from crossdyad.models.cards import described
    from crossdyad.models.cookbook import ROWS

    def parts(row):
        named = [f"*{axis}* {part}" for axis, part in row["combination"].items()]
        return "<br>".join(named + ([f"*needs* {', '.join(row['requires'])}"] if row.get("requires") else []))

    lines = [
        "# Cookbook",
        "",
        f"The {len(ROWS)} learning rules that `crossdyad cookbook` lists, each a combination of parts; what is not "
        "named may be any. `crossdyad cookbook --check ROW` measures a law of its own. *Order*: with which power of its small "
        "parameter the error of the gradient falls, where the rule declares it. Which of them a substrate can carry, and how well: "
        "[What a substrate can do](../substrates.md).",
        "",
        "| row | method | of the paper | parts | order |",
        "| ---: | --- | --- | --- | --- |",
    ]
    for r in map(described, sorted(ROWS)):
        order = "" if r.get("order") is None else f"{r['order']:g}"
        cells = [r["row"], r["title"], r["source"], parts(r), order]
        lines.append("| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |")
    (MADE / "cookbook.md").write_text("\n".join([*lines, ""]))


def gallery():
    """The figures of the cookbook's laws, each with its function's first line."""
    from crossdyad.models.cookbook import gallery as functions

    lines = ["# Gallery", "", "Laws of the cookbook as figures, drawn by `crossdyad.models.cookbook.gallery`.", ""]
    for path in sorted((DOCS / "gallery").glob("*.svg")):
        title = (getattr(functions, path.stem).__doc__ or path.stem).splitlines()[0]
        lines += [f"![{title}](../gallery/{path.name})", "", title, ""]
    (MADE / "gallery.md").write_text("\n".join(lines))


def calls():
    """Commands, their calls in Python and the fields of both."""
    from crossdyad.cli.calls import CALLS

    def code(names):
        always = ", ".join(f"`{name}`" for name in names if not name.endswith("?"))
        sometimes = ", ".join(f"`{name.removesuffix('?')}`" for name in names if name.endswith("?"))
        return always + (f"; where there is one {sometimes}" if sometimes else "")

    lines = [
        "# Commands as calls",
        "",
        "Every command is one call in Python. It returns the fields that `--json` prints, as a named "
        "tuple, a dataclass or a dict (of several rows a list of them, of files alone their paths); what a call cannot know the "
        "command adds.",
        "",
        "| command | call in `crossdyad` | fields | added |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| `{c.command}` | `{c.place.replace(':', '.')}` | {code(c.fields)} | {code(c.added)} |" for c in CALLS]
    (MADE / "calls.md").write_text("\n".join([*lines, ""]))


def modules():
    """One page for each public package, with its modules below it."""
    packages = {
        "recipe": "the one description",
        "models": "float64 reference",
        "models.estimators": "gradient estimators",
        "models.cookbook": "the paper's methods",
        "emulator": "the chip, bit for bit",
        "emulator.devices": "analog cells and arrays",
        "hdl": "the chip as hardware",
        "sim": "co-simulation",
        "explore": "sweeps and fronts",
        "data": "data sets",
        "cli": "command line",
    }
    lines = [
        "# Python",
        "",
        "Every command is one call ([calls](calls.md)). What a package offers is on its page, its modules below.",
        "",
        "```{eval-rst}",
        ".. autosummary::",
        "   :toctree: python",
        "   :template: module.rst",
        "   :recursive:",
        "",
    ]
    lines += [f"   crossdyad.{name}" for name in packages if "." not in name]
    (MADE / "python.md").write_text("\n".join([*lines, "```", ""]))


def before(app, what, name, obj, options, lines):
    """The ports of a component are attributes to numpydoc, the first of them if it has others."""
    text = "\n".join(lines)
    if "\nMembers\n-------\n" in text:
        text = re.sub(r"\n+Attributes\n-+\n", "\n", text).replace("\nMembers\n-------\n", "\nAttributes\n----------\n")
        lines[:] = text.split("\n")


def after(app, what, name, obj, options, lines):
    """In docstrings ``(*batch, n)`` is a shape, not the start of an emphasis, and `Finding`s are several."""

    def escaped(line):
        parts = line.split("``")
        parts[::2] = [re.sub(r"(?<![\\*\w])\*(?=[a-z])", r"\\*", re.sub(r"(`[^`]+`)(?=\w)", r"\1\\ ", p)) for p in parts[::2]]
        return "``".join(parts)

    lines[:] = map(escaped, lines)


def unsigned(app, what, name, obj, options, signature, returned):
    """Give a type alias no signature: numpydoc would take that of the type behind it, for which Sphinx has no place."""
    return (None, None) if isinstance(obj, GenericAlias) else None


def setup(app):
    app.connect("autodoc-process-signature", unsigned, priority=400)
    app.connect("autodoc-process-docstring", before, priority=400)
    app.connect("autodoc-process-docstring", after, priority=600)  # numpydoc has 500
    shutil.rmtree(MADE, ignore_errors=True)
    notebooks()
    readme()
    cookbook()
    gallery()
    calls()
    modules()
    return {"parallel_read_safe": True, "parallel_write_safe": True}
