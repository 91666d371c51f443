"""Plots, as SVG files whose bytes depend on the data alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..emulator import History


def _save(figure, path: Path) -> None:
    import matplotlib

    draft = path.with_name(f".{path.name}")
    with matplotlib.rc_context({"svg.hashsalt": "crossdyad"}):
        figure.savefig(draft, format="svg", metadata={"Date": None})
    draft.replace(path)


def _figure(title: str, columns: int = 1):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * columns, 3.2), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25)
    return figure, axes


def learning(history: History, path: Path) -> None:
    """Accuracy and loss over epochs; one faint line per chip, their mean in front."""
    figure, (left, right) = _figure("Learning on the emulated chip", 2)
    epochs = [e["epoch"] for e in history.epochs]
    for ax, keys, scale in ((left, ("accuracy", "train_accuracy"), 100), (right, ("loss",), 1)):
        for color, key in zip(("C0", "C1"), keys, strict=False):
            values = scale * np.array([np.atleast_1d(e[key]) for e in history.epochs])
            if values.shape[1] > 1:
                ax.plot(epochs, values, color=color, alpha=0.25, linewidth=0.8)
            ax.plot(epochs, values.mean(1), color=color, label={"accuracy": "test", "train_accuracy": "while training"}.get(key))
        ax.set_xlabel("epoch")
    left.set_ylabel("accuracy, %")
    left.legend(frameon=False)
    right.set_ylabel("mean cost, 1/2 sum of squares")
    if not np.isnan([e["loss"] for e in history.epochs]).all():  # no outputs come from a board's memory
        right.set_yscale("log")
    _save(figure, path)


def ranges(history: History, path: Path) -> None:
    """The values that were seen against what their formats hold."""
    figure, (ax,) = _figure("Values seen, as a share of their formats")
    places = list(history.ranges)[::-1]
    for y, place in enumerate(places):
        r = history.ranges[place]
        limit = max(-r["low"], r["high"])
        ax.barh(y, 2, left=-1, color="0.9")
        ax.barh(
            y,
            (r["largest"] - r["smallest"]) / limit,
            left=r["smallest"] / limit,
            color="C3" if max(-r["smallest"], r["largest"]) >= r["high"] else "C0",
        )
    ax.set_yticks(range(len(places)), places)
    ax.set_xlabel("value / format limit; red: the limit is reached")
    _save(figure, path)


def cosines(epochs: Sequence[int], series: dict[str, list[float]], path: Path) -> None:
    """Gradient cosine over training; one line per comparison."""
    figure, (ax,) = _figure("Does the circuit compute the gradient?")
    for label, values in series.items():
        ax.plot(epochs, values, marker="o", markersize=3, label=label)
    ax.set_xlabel("epochs of training")
    ax.set_ylabel("cosine")
    ax.legend(frameon=False)
    _save(figure, path)


def waterfall(rows: list[dict], path: Path) -> None:
    """The error budget: what each effect alone adds to the squared relative error, and what all make together."""
    figure, (ax,) = _figure("What costs how much of the gradient")
    errors = [r["bias"] ** 2 + r["deviation"] ** 2 for r in rows]
    own = errors[0]
    level = 0.0
    for i, (row, error) in enumerate(zip(rows, errors, strict=True)):
        whole = i in (0, len(rows) - 1)
        added = error if whole else max(0.0, error - own)
        start = 0.0 if whole else level
        ax.bar(i, added, bottom=start, color="0.4" if whole else "C0")
        ax.annotate(f"{row['cosine']:.3f}", (i, start + added), ha="center", va="bottom", fontsize=7)
        level = start + added
    ax.set_xticks(range(len(rows)), [r["effect"] for r in rows], rotation=35, ha="right", fontsize=8)
    ax.set_ylabel("squared relative error\n(above each bar: cosine)", fontsize=8)
    _save(figure, path)
