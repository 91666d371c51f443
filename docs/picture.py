"""The picture of the README: `python docs/picture.py` trains, generates and compares what it shows, and writes docs/picture.svg.

Its bytes depend on the numbers alone.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from crossdyad import data, emulator, recipe, sim
from crossdyad.sim import gradient, real, simulators

PRESET, SAMPLES = "digits", 2
INK, FAINT, BLUE, ORANGE, GREEN, RED = "#24292f", "#8b949e", "#0969da", "#d4731c", "#1a7f37", "#cf222e"


def measured() -> dict:
    """What the picture shows."""
    chip, digits = recipe.load(PRESET), data.load("digits")
    history = emulator.train(chip, *digits, epochs=12, seeds=range(1, 6))
    weights = [w[0] for w in history.weights]
    x, y = digits.x_test[:60], digits.y_test[:60]
    mine, reference = (f(chip, weights, x, y)[0].mean(0).ravel() for f in (gradient.chip, real.gradient))
    simulator = next(s for s in ("icarus", "verilator", "amaranth") if simulators.missing(s) is None)
    return {
        "chip": chip,
        "accuracy": 100 * np.array([e["accuracy"] for e in history.epochs]),
        "gradients": (reference, mine),
        "cosine": gradient.compare(chip, weights, x, y)["rule"]["cosine"],
        "report": sim.cosim(chip, simulator, SAMPLES),
    }


def box(ax, x, y, width, height, title, subtitle, color):
    ax.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.12", facecolor="white", edgecolor=color, linewidth=1.5)
    )
    ax.text(x + 0.18, y + height - 0.3, title, color=color, fontsize=11, fontweight="bold", va="center")
    ax.text(x + 0.18, y + height - 0.58, subtitle, color=INK, fontsize=8, va="center")


def arrow(ax, start, end, color=FAINT, style="-|>", **options):
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle=style, mutation_scale=12, color=color, linewidth=1.4, **options))


def small(figure, place, xlabel, ylabel):
    """Axes inside a box, in the coordinates of the drawing (10 by 5.6)."""
    x, y, width, height = place
    ax = figure.add_axes([x / 10, y / 5.6, width / 10, height / 5.6])
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)
    ax.tick_params(labelsize=6.5, color=FAINT, labelcolor=INK, length=2)
    ax.set_xlabel(xlabel, fontsize=7, color=INK, labelpad=2)
    ax.set_ylabel(ylabel, fontsize=7, color=INK, labelpad=2)
    return ax


def draw(m: dict) -> Figure:
    chip, report = m["chip"], m["report"]
    figure = Figure(figsize=(10, 5.6), facecolor="white")
    ax = figure.add_axes([0, 0, 1, 1], xlim=(0, 10), ylim=(0, 5.6))
    ax.axis("off")

    ax.add_patch(
        FancyBboxPatch((3.35, 4.3), 3.3, 1.12, boxstyle="round,pad=0,rounding_size=0.12", facecolor="#f6f8fa", edgecolor=INK, linewidth=1.5)
    )
    ax.text(3.53, 5.2, "one recipe", fontsize=11, fontweight="bold", color=INK, va="center")
    lines = [
        f"sizes  = {list(chip.sizes)}",
        f'rule   = "{chip.rule}"',
        f"weight = {chip.formats.weight.width} bits, state = {chip.formats.state.width} bits",
    ]
    for i, line in enumerate(lines):
        ax.text(3.53, 4.95 - 0.23 * i, line, fontsize=8, family="monospace", color=INK, va="center")

    boxes = {
        0.15: ("models/", "float64: what the gradient is", GREEN),
        3.6: ("emulator/", "integers: the chip, bit for bit", BLUE),
        7.05: ("hdl/", "Amaranth: the chip as a circuit", ORANGE),
    }
    for x, (title, subtitle, color) in boxes.items():
        box(ax, x, 0.75, 2.8, 2.95, title, subtitle, color)
        arrow(ax, (5 + (x - 3.6) * 0.38, 4.3), (x + 1.4, 3.72), INK)

    inset = small(figure, (0.75, 1.25, 2.05, 1.65), "float64 gradient", "the chip's gradient")
    reference, mine = m["gradients"]
    scale = 1.05 * np.abs(reference).max()
    keep = np.argsort(-np.abs(reference), kind="stable")[:400]
    inset.plot([-scale, scale], [-scale, scale], color=FAINT, linewidth=0.8)
    inset.plot(reference[keep], mine[keep], ".", markersize=2.5, color=GREEN)
    inset.set(xlim=(-scale, scale), ylim=(-scale, scale), xticks=[], yticks=[])

    inset = small(figure, (4.2, 1.25, 2.05, 1.65), "epochs", "test accuracy, %")
    epochs = np.arange(1, len(m["accuracy"]) + 1)
    inset.fill_between(epochs, m["accuracy"].min(1), m["accuracy"].max(1), color=BLUE, alpha=0.2, linewidth=0)
    inset.plot(epochs, m["accuracy"].mean(1), color=BLUE, linewidth=1.5)
    last = m["accuracy"][-1].mean()
    inset.text(epochs[-1], last - 1.3, f"{last:.1f} %", ha="right", va="top", fontsize=9, color=BLUE)
    inset.set(ylim=(85, 100), xticks=[1, 4, 8, 12])

    program = recipe.programs(chip)[1]
    inset = small(figure, (7.6, 1.25, 2.1, 1.65), f"{program.length} clock cycles a training step", "")
    colors = {"forward": BLUE, "transposed": ORANGE, "update": RED}
    for i in program.instructions:
        name = i.op.name.lower()
        width = recipe.matrix_geometries(chip)[i.step.matrix].slots(i.op)
        inset.barh(i.engine, width, left=i.cycle, height=0.45, color=colors[name])
        if (i.engine == 0) != (name == "transposed"):
            inset.text(i.cycle, i.engine - 0.34, name, fontsize=7, color=colors[name])
    inset.set(ylim=(chip.layers - 0.4, -0.7), xticks=[])
    inset.set_yticks(range(chip.layers), [f"layer {k + 1}" for k in range(chip.layers)])

    arrow(ax, (2.97, 2.2), (3.58, 2.2), INK, "<|-|>")
    arrow(ax, (6.42, 2.2), (7.03, 2.2), INK, "<|-|>")
    ax.text(3.27, 0.42, f"gradient: cosine {m['cosine']:.4f}", ha="center", fontsize=9, color=INK, fontweight="bold")
    ax.text(6.72, 0.42, "every bit, every clock cycle", ha="center", fontsize=9, color=INK, fontweight="bold")
    ax.text(3.27, 0.17, "between circuit and mathematics", ha="center", fontsize=8, color=FAINT)
    ax.text(6.72, 0.17, f"{report.bits:,} bits compared, {report.mismatches} differ", ha="center", fontsize=8, color=FAINT)
    for x in (3.27, 6.72):
        ax.plot([x, x], [0.6, 2.1], color=INK, linewidth=0.8, linestyle=":")
    ax.text(8.45, 0.42, "Verilog, bitstream", fontsize=9, color=ORANGE, fontweight="bold")
    return figure


def main(path: Path) -> None:
    with matplotlib.rc_context({"svg.hashsalt": "crossdyad", "font.family": "DejaVu Sans"}):
        draw(measured()).savefig(path, format="svg", metadata={"Date": None})
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(__file__).with_name("picture.svg"))
