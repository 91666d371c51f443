"""Figures of the families' laws: `draw` writes one file for each function here that makes a figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree

from .. import schedules
from ..circuits import Feedforward, from_energy, identity
from ..estimators.feedback import direct, layered
from ..estimators.implicit import exact_gradient
from ..solvers import Problem, newton
from . import contrasts as contrast_rows
from . import feedback as feedback_rows
from . import systems
from .findings import flat, relative_error
from .row import ROWS


def figure(title: str, horizontal: str, vertical: str, **scales):
    """An empty figure and its axes."""
    from matplotlib.figure import Figure  # the cookbook itself does not need it

    paper = Figure(figsize=(6, 4), layout="constrained")
    axes = paper.add_subplot(title=title, xlabel=horizontal, ylabel=vertical, **scales)
    axes.grid(alpha=0.3)
    return paper, axes


def orders(title: str, estimators, make, horizontal="nudging strength beta"):
    """Error against the small parameter, with the slope of each estimator."""
    paper, axes = figure(title, horizontal, "relative error of the gradient", xscale="log", yscale="log")
    s = make(0)
    for e in estimators:
        exact = e.oracle(*s)
        steps = e.largest / 2.0 ** np.arange(6)
        errors = np.array([relative_error(e(*s, **{e.small: step}), exact) for step in steps])
        slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
        axes.plot(steps, errors, "o-", markersize=4, label=f"{e.row}: {e.name} (slope {slope:.2f})")
    axes.xaxis.set_minor_formatter("")
    axes.legend(fontsize="small")
    return paper


def declared(*numbers: int):
    """Estimators of rows."""
    return [ROWS[n].estimator for n in numbers]


def contrasts():
    """Rows 51 to 54: the order of the stencil is the order of the error."""
    return orders("Contrast of nudged states, a Hopfield net", [*declared(51, 52, 53), contrast_rows.holomorphic(4)], systems.hopfield)


def dyads():
    """Rows 57 and 88: second order in the nudge where both compartments share it, first order where one carries it."""
    halves, anywhere = declared(57, 88)
    forms = [replace(halves, name=f"DP^T, alpha = {a:g}", settings={"alpha": a}) for a in (0.0, 0.25, 0.5)]
    return orders("Dyads, a chain of tanh units", [*forms, replace(anywhere, largest=0.07)], systems.tanh_net)


def coding():
    """Rows 68, 72 and 74: first order, each against its own target."""
    return orders("Predictive coding, microcircuit, feedback control", declared(68, 72, 74), systems.tanh_net)


def control():
    """Row 76: least control as the controller's leak vanishes, in a feedforward and a recurrent circuit."""
    return orders("Least control, a deep equilibrium model", declared(76), systems.equilibrium, "leak of the controller")


def variance():
    """Rows 29, 30 and 32: what one probe's variance grows with."""
    paper, axes = figure("Variance of one probe", "parameters", "squared error over the gradient's square", xscale="log", yscale="log")
    estimators, keys = declared(29, 30, 32), jax.random.split(jax.random.key(1), 2000)
    counts, nodes, spreads = [], [], []
    for width in (2, 4, 8, 16, 32):
        s = systems.tanh_net(0)._replace(circuit=Feedforward((6, width, width, 3), jnp.tanh, identity))
        s = s._replace(parameters=s.circuit.random_parameters(jax.random.key(width)))
        exact = flat(exact_gradient(*s))
        counts.append(exact.size)
        nodes.append(2 * width + 3)
        row = []
        for e in estimators:
            found = jax.vmap(lambda k, e=e, s=s: ravel_pytree(e.estimate(*s, key=k))[0])(keys)
            row.append(np.mean(((found - exact) ** 2).sum(1)) / (exact @ exact))
        spreads.append(row)
    for marker, e, found in zip("osd", estimators, np.transpose(spreads), strict=True):
        axes.plot(counts, found, marker, label=f"{e.row}: {e.name}")
    axes.plot(counts, counts, "k-", linewidth=0.8, label="parameters")
    axes.plot(counts, nodes, "k--", linewidth=0.8, label="neurons")
    axes.legend(fontsize="small")
    return paper


def relaxation():
    """Rows 8, 12 and 77: the energy falls in every sweep, by exact block minima faster than by its gradient."""
    paper, axes = figure("Relaxation of a Hopfield net", "sweeps", "energy above the minimum", yscale="log")
    s = systems.hopfield(0)
    descents = {f"gradient descent, step {rate:g}": from_energy(s.circuit.energy, s.circuit.start, rate=rate) for rate in (0.1, 0.2)}
    least = s.circuit.energy(s.parameters, newton()(Problem(s.circuit, s.parameters, s.x)).states, s.x)
    for name, circuit in ({"exact block minima": s.circuit} | descents).items():
        problem = Problem(circuit, s.parameters, s.x)

        def sweep(states, _, problem=problem):
            return problem.sweep(states), s.circuit.energy(s.parameters, states, s.x)

        energies = np.asarray(jax.lax.scan(sweep, problem.start(), length=40)[1] - least)
        axes.plot(np.where(energies > 1e-14, energies, np.nan), ".-", label=name)
    axes.legend(fontsize="small")
    return paper


def feedback():
    """Rows 23, 24, 26 and 27: the errors turn towards backprop's while the digits are learnt."""
    paper, axes = figure("Feedback operators on the 8x8 digits", "epochs", "angle to backprop's errors, worst layer, degrees")
    images, labels, x, y = feedback_rows.digits(0)
    sizes, rng = feedback_rows.NET.sizes, np.random.default_rng(0)
    random, to_output = (tuple(rng.normal(size=(n, m)) / np.sqrt(n) for n, m in zip(sizes[1:-1], above, strict=True))
                         for above in (sizes[2:], sizes[-1:] * (len(sizes) - 2)))
    kinds = {"23: feedback alignment": (layered, random, None), "24: direct feedback alignment": (direct, to_output, None),
             "26: Kolen-Pollack": (layered, random, 5e-4), "27: signs": (feedback_rows.concordant, None, None)}
    for name, (operator, matrices, decay) in kinds.items():
        parameters, found = feedback_rows.NET.random_parameters(jax.random.key(0)), []
        for epoch in range(11):
            if epoch:
                parameters, matrices = feedback_rows.train(operator, parameters, matrices, images, labels, 1, decay)
            found.append(feedback_rows.angles(operator, parameters, parameters if matrices is None else matrices, x, y))
        axes.plot(found, ".-", label=name)
    axes.axhline(90, color="black", linewidth=0.8)
    axes.legend(fontsize="small")
    return paper


def staleness():
    """Rows 47 to 49: which block does what when, and how many updates its weights are behind."""
    from matplotlib.figure import Figure

    blocks, samples = 4, 16
    kinds = {"47: DAPPLE": schedules.dapple(blocks, samples), "48: PipeDream, 1F1B": schedules.one_forward_one_backward(blocks, samples),
             "49: PipeDream-2BW, an update in 4": schedules.double_buffered(blocks, samples, 4)}
    paper = Figure(figsize=(6, 6), layout="constrained")
    for axes, (name, events) in zip(paper.subplots(len(kinds), 1, sharex=True), kinds.items(), strict=True):
        missed = schedules.staleness(events)
        for event in events:
            if event.phase in ("forward", "backward"):
                axes.barh(event.block, 0.9, left=event.tick, color="0.85" if event.phase == "forward" else f"C{event.block}")
            if event.phase == "backward":
                axes.text(event.tick + 0.45, event.block, missed[event.block, event.sample], ha="center", va="center", fontsize=6)
        axes.set_title(name, fontsize="medium")
        axes.set(ylabel="block", yticks=range(blocks))
    paper.suptitle("Updates since the weights that a backward works with")
    axes.set_xlabel("tick; grey: forward, colour: backward")
    return paper


FIGURES = (contrasts, dyads, coding, control, variance, relaxation, feedback, staleness)


def draw(folder) -> list[Path]:
    """Write all figures into a folder as SVG, the same bytes whenever the numbers are the same."""
    import matplotlib

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with matplotlib.rc_context({"svg.hashsalt": "crossdyad"}):
        for make in FIGURES:
            written.append(folder / f"{make.__name__}.svg")
            make().savefig(written[-1], format="svg", metadata={"Date": None})
    return written
