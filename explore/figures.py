"""The report's figures, as SVG text whose bytes depend on the data alone."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from . import words
from .metrics import SMALLER_IS_BETTER
from .statistics import Front, Summary, span


def _figure(width: float, height: float):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    ax = figure.subplots()
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax


def _svg(figure) -> str:
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "crossdyad", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def pareto(found: Front, objectives: Sequence[str], names: dict[int, str], marked: int | None, width: float = 7.2) -> str:
    """The first two objectives of all points: dominated ones faint, the front joined, with its seeds' range and the cost
    model's errors, as dark as it is sure.

    Parameters
    ----------
    found : Front
    objectives : sequence of str
    names : dict
        Of points that are named, by their number.
    marked : int or None
        The point to be circled.
    width : float
        Inches.
    """
    figure, ax = _figure(width, 0.62 * width)
    (up, across), (y, x) = objectives[:2], (words.scaled(m, v) for m, v in zip(objectives, found.scores[:, :2].T, strict=False))
    ax.scatter(x, y, s=12, color="0.75", linewidths=0, label="beaten by another in everything")
    at = np.flatnonzero(found.on)
    at = at[np.argsort(x[at])]
    if len(objectives) == 2:
        ax.step(x[at], y[at], where="post" if across in SMALLER_IS_BETTER else "pre", color="C0", alpha=0.4, linewidth=1)
    bars = [words.scaled(m, np.array([span(found.points[i], m) for i in at]).T) for m in (across, up)]
    for n, i in enumerate(at):
        low, high = ([[abs(b[0, n] - b[side, n])] for b in bars] for side in (1, 2))
        ax.errorbar(
            x[i],
            y[i],
            xerr=[low[0], high[0]],
            yerr=[low[1], high[1]],
            fmt="o",
            markersize=5,
            color="C0",
            ecolor="0.4",
            elinewidth=0.8,
            alpha=0.25 + 0.75 * float(found.surely[i]),
            label="on the front" if not n else None,
        )
    for i, name in names.items():
        ax.annotate(name, (x[i], y[i]), textcoords="offset points", xytext=(5, 5), color="C3" if i == marked else "0.3", fontsize=9)
    if marked is not None:
        ax.scatter(x[marked], y[marked], s=130, facecolors="none", edgecolors="C3", linewidths=1.5, label="the knee")
    ax.set_xlabel(words.metric(across))
    ax.set_ylabel(words.metric(up))
    for values, set_scale in ((x, ax.set_xscale), (y, ax.set_yscale)):
        if values.min() > 0 and values.max() > 20 * values.min():
            set_scale("log")
    if ax.get_xscale() == "linear":
        ax.locator_params(axis="x", nbins=6)
    ax.grid(alpha=0.2)
    if marked is not None:
        ax.legend(frameon=False, fontsize=8, loc="best")
    return _svg(figure)


def heat(found: list[Summary], metric: str, across: str, up: str) -> str:
    """A metric's mean over two axes; over the others the best combination of the two is taken."""
    best = max if metric not in SMALLER_IS_BETTER else min
    columns, rows = (sorted({s.settings[a] for s in found if metric in s.values}) for a in (across, up))
    cells: dict = {}
    for s in found:
        if metric in s.values:
            place, mean = (s.settings[up], s.settings[across]), float(words.scaled(metric, s.figure(metric)))
            cells[place] = best(cells[place], mean) if place in cells else mean
    table = np.array([[cells.get((r, c), np.nan) for c in columns] for r in rows])
    figure, ax = _figure(1.9 + 0.62 * len(columns), 1.6 + 0.45 * len(rows))
    image = ax.imshow(table, origin="lower", aspect="auto", cmap="viridis_r" if metric in SMALLER_IS_BETTER else "viridis")
    low, high = np.nanmin(table), np.nanmax(table)
    for (i, j), v in np.ndenumerate(table):
        if np.isfinite(v):
            dark = (v - low) / (high - low or 1) < 0.5
            ax.text(
                j, i, f"{v:.3g}", ha="center", va="center", fontsize=8, color="white" if dark != (metric in SMALLER_IS_BETTER) else "black"
            )
    ax.set_xticks(range(len(columns)), [words.value(c) for c in columns])
    ax.set_yticks(range(len(rows)), [words.value(r) for r in rows])
    ax.set_xlabel(words.field(across))
    ax.set_ylabel(words.field(up))
    ax.set_title(words.metric(metric), fontsize=10)
    figure.colorbar(image, ax=ax, fraction=0.05)
    return _svg(figure)


def curves(points: list[tuple[str, Summary]], metric: str) -> str:
    """A metric over the epochs, mean and range over the seeds, of a few points."""
    figure, ax = _figure(5.2, 3.4)
    for i, (name, s) in enumerate(points):
        seeds = words.scaled(metric, s.by_epoch[metric])
        mean, low, high = seeds.mean(0), seeds.min(0), seeds.max(0)
        epochs = np.arange(len(mean)) + (metric == "accuracy")  # tested from the first epoch on
        ax.fill_between(epochs, low, high, color=f"C{i}", alpha=0.15, linewidth=0)
        ax.plot(epochs, mean, color=f"C{i}", marker="o", markersize=3, label=name)
    ax.set_xlabel("epochs of training")
    ax.set_ylabel(words.metric(metric), fontsize=9)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False, fontsize=8)
    ax.grid(alpha=0.2)
    return _svg(figure)


def budget(rows: list[dict]) -> str:
    """A waterfall: what each effect alone adds to the squared relative error of the gradient, and what all make together."""
    figure, ax = _figure(5.2, 3.6)
    errors = [r["bias"] ** 2 + r["deviation"] ** 2 for r in rows]
    level = 0.0
    for i, error in enumerate(errors):
        whole = i in (0, len(rows) - 1)
        added, start = (error, 0.0) if whole else (max(0.0, error - errors[0]), level)
        ax.bar(i, added, bottom=start, color="0.4" if whole else "C0")
        level = start + added
        ax.annotate(f"{rows[i]['cosine']:.3f}", (i, level), ha="center", va="bottom", fontsize=7)
    ax.set_xticks(range(len(rows)), [r["effect"] for r in rows], rotation=35, ha="right", fontsize=8)
    ax.set_ylabel("squared relative error of the gradient\n(less is better; above each bar: cosine)", fontsize=8)
    return _svg(figure)
