"""Pages that are made from what is elsewhere: the notebooks, the cookbook's table, the list of modules."""

import re
import shutil
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent
MADE = DOCS / "made"


def notebooks():
    """Copies of the executed notebooks, since pages must be below the site's source."""
    (MADE / "notebooks").mkdir(parents=True)
    for path in sorted((DOCS.parent / "notebooks").glob("*.ipynb")):
        shutil.copy(path, MADE / "notebooks")


def cookbook():
    """The rows of `crossdyad cookbook` as a table."""
    from crossdyad.cli.cookbook import describe
    from crossdyad.models.cookbook import AXES, ROWS

    def cell(text):
        return str(text).replace("|", "\\|")

    rows = [describe(ROWS[n]) for n in sorted(ROWS)]
    head = ["row", "method", "of the paper", *AXES, "needs", "order"]
    lines = ["# Cookbook", "", f"The {len(rows)} learning rules that `crossdyad cookbook` lists, each a combination of parts. "
             "`crossdyad cookbook --check ROW` measures a row's own law. *Order*: how the error of the gradient falls with the rule's small "
             "parameter, where the rule declares it.", "",
             ":::{div} wide", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for r in rows:
        parts = [r["combination"].get(axis, "") for axis in AXES]
        order = r.get("order")
        lines.append("| " + " | ".join(map(cell, [r["row"], r["title"], r["source"], *parts, ", ".join(r.get("requires", ())),
                                                  "" if order is None else f"{order:g}"])) + " |")
    (MADE / "cookbook.md").write_text("\n".join([*lines, ":::", ""]))


def modules():
    """One page for each public package, with its modules below it."""
    packages = {
        "recipe": "the one description", "models": "float64 reference", "models.estimators": "gradient estimators",
        "models.cookbook": "the paper's methods", "emulator": "the chip, bit for bit", "emulator.devices": "analog cells and arrays",
        "hdl": "the chip as hardware", "sim": "co-simulation", "explore": "sweeps and fronts", "data": "data sets", "cli": "command line",
    }
    lines = ["# Python", "", "Every command is one call. What a package offers is on its page, its modules below.", "",
             "```{eval-rst}", ".. autosummary::", "   :toctree: python", "   :template: module.rst", "   :recursive:", ""]
    lines += [f"   crossdyad.{name}" for name in packages if "." not in name]
    (MADE / "python.md").write_text("\n".join([*lines, "```", ""]))


def before(app, what, name, obj, options, lines):
    """The ports of a component are its attributes to numpydoc."""
    for i, line in enumerate(lines[:-1]):
        if line.strip() == "Members" and set(lines[i + 1].strip()) == {"-"}:
            lines[i], lines[i + 1] = line.replace("Members", "Attributes"), lines[i + 1] + "---"


def after(app, what, name, obj, options, lines):
    """In docstrings ``(*batch, n)`` is a shape, not the start of an emphasis, and `Finding`s are several."""
    def escaped(line):
        parts = line.split("``")
        parts[::2] = [re.sub(r"(?<![\\*\w])\*(?=[a-z])", r"\\*", re.sub(r"(`[^`]+`)(?=\w)", r"\1\\ ", p)) for p in parts[::2]]
        return "``".join(parts)

    lines[:] = map(escaped, lines)


def setup(app):
    app.connect("autodoc-process-docstring", before, priority=400)
    app.connect("autodoc-process-docstring", after, priority=600)          # numpydoc has 500
    shutil.rmtree(MADE, ignore_errors=True)
    notebooks()
    cookbook()
    modules()
    return {"parallel_read_safe": True, "parallel_write_safe": True}
