"""One table of all learning rules: what each asks of hardware, what it costs, and what it reaches."""

from __future__ import annotations

import functools
import hashlib
import json
import statistics
from importlib import resources

from ..recipe import Recipe, load
from . import cost
from .cards import card, chips, presets_of_rules

RESULTS = "rules.json"
"""Measured figures, beside this module; ``benchmarks/rules.py`` writes them."""
MNIST = "mnist.json"
"""Those on MNIST; ``benchmarks/mnist.py`` writes them."""
ROUTED = "routed.json"
"""Those of presets that were placed and routed; ``benchmarks/routed.py`` writes them."""
COSTS = ("lut", "ff", "multipliers", "memory")


def fingerprint(recipe: Recipe) -> str:
    """Return what says whether figures were measured with this recipe: its keys that are not the defaults, in short."""
    return hashlib.sha256(recipe.model_dump_json(exclude_defaults=True, exclude={"seed"}).encode()).hexdigest()[:16]


@functools.cache
def results(file: str = RESULTS) -> dict:
    """Return the measured figures of a file: the ``command`` that wrote them, and ``rules`` by name, with ``epochs`` and ``seeds`` where
    these are not one for all.
    """
    return json.loads((resources.files(__package__) / file).read_text())


def measured(recipe: Recipe) -> dict | None:
    """Return what `results` has of exactly this recipe: ``accuracies`` in % and ``cosine``; None of another one."""
    found = results()["rules"].get(recipe.rule)
    return found if found and found["recipe"] == fingerprint(recipe) else None


def built(recipe: Recipe, board: str) -> dict | None:
    """Return what the file of routed presets has of exactly this recipe on a board; None of another one."""
    found = results(ROUTED)["rules"].get(recipe.rule)
    return found if found and found["recipe"] == fingerprint(recipe) and results(ROUTED)["board"] == board else None


def row(recipe: Recipe, board: str = "") -> dict:
    """Return all that is known of a recipe's rule.

    Returns
    -------
    dict
        The fields of its card; ``lut``, ``ff``, ``multipliers``, ``memory`` by the cost model, whose board is ``model_of``; ``routed``,
        the same of the chip with its host as it was built, ``fmax`` in MHz and the ``commit``, None of a recipe that was not built;
        ``accuracies``, ``float64`` (those of the rule trained in real numbers) and ``cosine``, None where they were not measured with
        this recipe; ``mnist``, accuracies in % of the rule that this recipe was chosen for, None where they were not measured.
    """
    board = board or cost.coefficients()["board"]
    modelled, known = cost.estimate(recipe, board), measured(recipe) or {}
    return (
        card(recipe)._asdict()
        | {name: int(modelled[name]) for name in COSTS}
        | {
            "model_of": board,
            "routed": built(recipe, board),
            "accuracies": known.get("accuracies"),
            "float64": known.get("float64"),
            "cosine": known.get("cosine"),
            "mnist": results(MNIST)["rules"].get(recipe.rule, {}).get("accuracies") if known else None,
        }
    )


def rows(recipe: Recipe | None = None) -> list[dict]:
    """Return a `row` for each of `cards.chips`."""
    return [row(chip) for chip in chips(recipe)]


def accuracy(accuracies: list[float] | None) -> str:
    """Return mean and standard deviation as text, in %; a dash where nothing was measured."""
    if not accuracies:
        return "-"
    mean = sum(accuracies) / len(accuracies)
    spread = (sum((a - mean) ** 2 for a in accuracies) / max(1, len(accuracies) - 1)) ** 0.5
    return f"{mean:.2f} +- {spread:.2f}"


def page() -> str:
    """Return the measured figures as the table of ``docs/rules.md``."""
    lines = ["| rule | accuracy, % | worst seed | in float64 | cosine: chip to rule | chip to exact | cycles a sample |", "|---" * 7 + "|"]
    for found in results()["rules"].values():
        cosines = [found["cosine"].get(which) for which in ("rule", "exact")]
        shown = ["" if c is None else f"{c:.3f}" for c in cosines]
        lines.append(
            f"| {found['title']} | {accuracy(found['accuracies'])} | {min(found['accuracies']):.1f} | "
            f"{accuracy(found['float64'])} | {shown[0]} | {shown[1]} | "
            f"{found['cycles']} |"
        )
    return "\n".join(lines)


def throughput(recipe: Recipe, fmax: float, multipliers: int) -> float:
    """Return GOPS per multiplier block at a clock of `fmax` MHz: two operations for each product that counts, while samples wait."""
    return 2e-3 * card(recipe).busy * sum(recipe.engine_lanes) * fmax / multipliers


def routed_page() -> str:
    """Return what chips took that were built, and what their multipliers do, as the table of ``docs/rules.md``."""
    lines = ["| rule | LUT | FF | multipliers | memory blocks | MHz | GOPS a multiplier | commit |", "|---" * 8 + "|"]
    for name, found in results(ROUTED)["rules"].items():
        done = throughput(load(presets_of_rules()[name]), found["fmax"], found["multipliers"])
        lines.append(f"| {name} | {' | '.join(str(found[c]) for c in COSTS)} | {found['fmax']:.1f} | {done:.2f} | {found['commit']} |")
    return "\n".join(lines)


def modelled_page() -> str:
    """Return the cost model's figures beside those of the chips that were built as the table of ``docs/cost.md``; of presets that have
    changed since, nothing.
    """
    names = (*COSTS, "fmax")
    lines, errors = ["| rule | LUT | FF | multipliers | memory blocks | Fmax, MHz |", "|---" * 6 + "|"], []
    for name, preset in presets_of_rules().items():
        recipe, board = load(preset), results(ROUTED)["board"]
        taken = built(recipe, board)
        if taken is None:
            continue
        told = cost.estimate(recipe, board)
        off = [100 * (told[n] - taken[n]) / max(taken[n], 1) for n in names]
        shown = [f"{told[n]:.0f} / {taken[n]:.0f}" + (f" ({o:+.1f} %)" if abs(o) >= 0.05 else "") for n, o in zip(names, off, strict=True)]
        lines.append(f"| {name} | {' | '.join(shown)} |")
        errors.append([abs(o) for o in off])
    if errors:
        for title, of in (("median error", statistics.median), ("worst error", max)):
            lines.append(f"| **{title}** | {' | '.join(f'**{of(column):.1f} %**' for column in zip(*errors, strict=True))} |")
    return "\n".join(lines)


def mnist_page() -> str:
    """Return the figures on MNIST as the table of ``docs/rules.md``."""
    lines = ["| rule | accuracy, % | worst seed | epochs | cycles a sample | chosen |", "|---|---|---|---|---|---|"]
    for name, found in results(MNIST)["rules"].items():
        right = found["accuracies"]
        chosen = ", ".join(f"{field} {value if isinstance(value, str) else f'{value:g}'}" for field, value in found["settings"].items())
        lines.append(f"| {name} | {accuracy(right)} | {min(right):.2f} | {found['epochs']} | {found['cycles']} | {chosen} |")
    return "\n".join(lines)
