"""Figures of the families' laws: `draw` writes one file for each function here that makes a figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree

from .. import schedules
from ..circuits import Feedforward
from ..estimators.estimator import Estimator
from ..estimators.feedback import direct, layered
from ..estimators.greedy import greedy_gradient, interlocking
from ..estimators.implicit import exact_gradient, multipliers, neumann_multipliers
from ..estimators.probes import gaussian, node_error
from ..functions import identity
from ..invertible import Coupling
from ..own import from_energy
from ..precision import in_float64
from ..prospective import latent_equilibrium
from ..solvers import Problem, newton
from ..solvers import relaxation as sweeps
from ..updates import agnostic, continual, pseudo_inverse_step
from . import contrasts as contrast_rows
from . import feedback as feedback_rows
from . import greedy as greedy_rows
from . import systems
from .findings import angle, flat, relative_error
from .mixtures import mixed
from .reversible import there_and_back
from .row import ROWS
from .systems import System

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def figure(title: str, horizontal: str, vertical: str, **scales: str) -> tuple[Figure, Axes]:
    """An empty figure and its axes."""
    from matplotlib.figure import Figure  # the cookbook itself does not need it

    paper = Figure(figsize=(6, 4), layout="constrained")
    axes = paper.add_subplot(title=title, xlabel=horizontal, ylabel=vertical, **scales)
    axes.grid(alpha=0.3)
    if "xscale" in scales:
        axes.xaxis.set_minor_formatter("")
    return paper, axes


def orders(
    title: str,
    estimators: Sequence[Estimator],
    make: Callable[[int], System] | Sequence[Callable[[int], System]],
    horizontal: str = "nudging strength beta",
) -> Figure:
    """Error against the small parameter, with the slope of each estimator; on one system, or each on its own."""
    paper, axes = figure(title, horizontal, "relative error of the gradient", xscale="log", yscale="log")
    makes = make if isinstance(make, list) else [make] * len(estimators)
    for e, make_one in zip(estimators, makes, strict=True):
        s = make_one(0)
        exact = e.oracle(*s)
        steps = e.largest / 2.0 ** np.arange(6)
        errors = np.array([relative_error(e(*s, **{e.small: step}), exact) for step in steps])
        slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
        axes.plot(steps, errors, "o-", markersize=4, label=f"{e.row}: {e.name} (slope {slope:.2f})")
    axes.legend(fontsize="small")
    return paper


def declared(*numbers: int) -> list[Estimator]:
    """Estimators of rows."""
    return [ROWS[n].estimator for n in numbers]


def contrasts() -> Figure:
    """Rows 51 to 54: the order of the stencil is the order of the error."""
    return orders("Contrast of nudged states, a Hopfield net", [*declared(51, 52, 53), contrast_rows.holomorphic(4)], systems.hopfield)


def dyads() -> Figure:
    """Rows 57 and 88: second order in the nudge where both compartments share it, first order where one carries it."""
    halves, anywhere = declared(57, 88)
    forms = [replace(halves, name=f"DP^T, alpha = {a:g}", settings={"alpha": a}) for a in (0.0, 0.25, 0.5)]
    return orders("Dyads, a chain of tanh units", [*forms, replace(anywhere, largest=0.07)], systems.tanh_net)


def coding() -> Figure:
    """Rows 68, 72 and 74: first order, each against its own target."""
    return orders("Predictive coding, microcircuit, feedback control", declared(68, 72, 74), systems.tanh_net)


def control() -> Figure:
    """Row 76: least control as the controller's leak vanishes, in a feedforward and a recurrent circuit."""
    return orders("Least control, a deep equilibrium model", declared(76), systems.equilibrium, "leak of the controller")


def variance() -> Figure:
    """Rows 29, 30 and 32: what one probe's variance grows with."""
    paper, axes = figure("Variance of one probe", "parameters", "relative variance", xscale="log", yscale="log")
    keys = jax.random.split(jax.random.key(1), 2000)
    names = ("29: SPSA, gradient", "30: forward gradient, gradient", "32: node perturbation, error signal")
    counts, nodes, spreads = [], [], []
    for width in (2, 4, 8, 16, 32):
        s = systems.tanh_net(0)._replace(circuit=Feedforward((6, width, width, 3), jnp.tanh, identity))
        s = s._replace(parameters=s.circuit.random_parameters(jax.random.key(width)))
        states = tuple(s.circuit.forward(s.parameters, s.x)[1:])
        exact, error = flat(exact_gradient(*s)), flat(multipliers(*s, states))
        counts.append(exact.size)
        nodes.append(error.size)

        def signal(k, s=s, states=states):
            return node_error(*s, states, gaussian(k, states), 1e-4, sweeps(1))

        estimates = [(lambda k, e=e, s=s: e.estimate(*s, key=k)) for e in declared(29, 30)] + [signal]
        spreads.append(
            [
                np.mean(((jax.vmap(lambda k, one=one: ravel_pytree(one(k))[0])(keys) - of) ** 2).sum(1)) / (of @ of)
                for one, of in zip(estimates, (exact, exact, error), strict=True)
            ]
        )
    for marker, name, found in zip("osd", names, np.transpose(spreads), strict=True):
        axes.plot(counts, found, marker, label=name)
    axes.plot(counts, counts, "k-", linewidth=0.8, label="parameters")
    axes.plot(counts, np.array(nodes) + 1, "k--", linewidth=0.8, label="neurons + 1")
    axes.legend(fontsize="small")
    return paper


def relaxation() -> Figure:
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


def feedback() -> Figure:
    """Rows 23, 24, 26 and 27: the errors turn towards backprop's while the digits are learnt."""
    paper, axes = figure("Feedback operators on the 8x8 digits", "epochs", "angle to backprop's errors, worst layer, degrees")
    images, labels, x, y = feedback_rows.digits(0)
    sizes, rng = feedback_rows.NET.sizes, np.random.default_rng(0)
    random, to_output = (
        tuple(rng.normal(size=(n, m)) / np.sqrt(n) for n, m in zip(sizes[1:-1], above, strict=True))
        for above in (sizes[2:], sizes[-1:] * (len(sizes) - 2))
    )
    kinds = {
        "23: feedback alignment": (layered, random, None),
        "24: direct feedback alignment": (direct, to_output, None),
        "26: Kolen-Pollack": (layered, random, 5e-4),
        "27: signs": (feedback_rows.concordant, None, None),
    }
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


def staleness() -> Figure:
    """Rows 47 to 49: which block does what when, and how many updates its weights are behind."""
    from matplotlib.figure import Figure

    blocks, samples = 4, 16
    kinds = {
        "47: DAPPLE": schedules.dapple(blocks, samples),
        "48: PipeDream, 1F1B": schedules.one_forward_one_backward(blocks, samples),
        "49: PipeDream-2BW, an update in 4": schedules.double_buffered(blocks, samples, 4),
    }
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


def energies() -> Figure:
    """Rows 9, 15 and 16: energies of other systems, contrasted or lifted."""
    return orders(
        "Energies: resistors, a lifted net, a net behind features",
        declared(9, 15, 16),
        [systems.resistive, systems.bounded_net, systems.tied],
    )


def targets() -> Figure:
    """Row 71: with feedback learnt from noise, target propagation is backprop in the limit."""
    return orders("Target propagation, a chain of tanh units", declared(71), systems.tanh_net, "noise that the feedback learns from")


def series() -> Figure:
    """Rows 7 and 22: every term shrinks the error by the spectral radius; damped, more slowly."""
    paper, axes = figure("The adjoint by a series, a deep equilibrium model", "terms", "relative error of the error signal", yscale="log")
    s = systems.equilibrium(0)
    states = newton()(Problem(s.circuit, s.parameters, s.x)).states
    v, shape = ravel_pytree(states)
    jacobian = jnp.eye(v.size) - jax.jacfwd(lambda v: ravel_pytree(s.circuit.residual(s.parameters, shape(v), s.x))[0])(v)
    radius, exact, terms = np.abs(np.linalg.eigvals(jacobian)).max(), multipliers(*s, states), np.arange(1, 41)
    one = jax.jit(lambda k, rate: neumann_multipliers(*s, states, k, rate))
    for rate in (1.0, 0.5, 0.2):
        axes.plot(terms, [relative_error(one(int(k), rate), exact) for k in terms], ".-", label=f"rate {rate:g}")
    axes.plot(terms, radius**terms, "k--", linewidth=0.8, label=f"spectral radius, {radius:.2f}, to the power of terms")
    axes.legend(fontsize="small")
    return paper


def radius() -> Figure:
    """Row 54: ever more points help inside the radius of analyticity, and not outside."""
    paper, axes = figure("Holomorphic EP, a Hopfield net", "points", "relative error of the gradient", yscale="log")
    s, points = systems.hopfield(0), np.array([2, 3, 4, 6, 8, 12, 16, 24])
    exact = exact_gradient(*s)
    for beta in (0.05, 0.1, 0.3, 0.5):
        axes.plot(
            points,
            [relative_error(contrast_rows.holomorphic(int(n))(*s, beta=beta), exact) for n in points],
            ".-",
            label=f"beta = {beta:g}",
        )
    axes.legend(fontsize="small", title="at beta = 1 it is refused", title_fontsize="small")
    return paper


def oscillation() -> Figure:
    """Rows 55 and 60: the slower the turn the better, at finite beta; an alternating nudge is centered."""
    paper, axes = figure(
        "Nudges that oscillate, a Hopfield net",
        "relaxation time over period; nudging strength beta",
        "relative error of the gradient",
        xscale="log",
        yscale="log",
    )
    s = systems.hopfield(0)
    exact = exact_gradient(*s)
    for e, steps in zip(declared(55, 60), (0.1 / 2.0 ** np.arange(5), 0.1 / 2.0 ** np.arange(5)), strict=True):
        axes.plot(
            steps,
            [relative_error(e(*s, **{e.small: step}), exact) for step in steps],
            "o-",
            markersize=4,
            label=f"{e.row}: {e.name}, in {e.small}",
        )
    axes.legend(fontsize="small")
    return paper


def prospective() -> Figure:
    """Row 83: rates ahead of their voltages leave no lag, whatever the time constant."""
    paper, axes = figure("Four layers follow a moving input", "time over tau", "output of the first unit")
    s, tau, step = systems.tanh_net(0), 10.0, 0.1
    times = np.arange(0, 40, step)
    inputs = jnp.sin(0.2 * times[:, None] * jnp.arange(1, 7) / 6 + s.x)
    wanted = jax.vmap(lambda x: s.circuit.forward(s.parameters, x)[-1])(inputs)
    axes.plot(times / tau, wanted[:, 0], color="0.8", linewidth=5, label="forward pass")
    for name, lookahead in (("83: prospective", tau), ("leaky", 0.0)):
        rates = latent_equilibrium(s.circuit, s.parameters, inputs, tau, step, lookahead, s.circuit.layers)[-1]
        axes.plot(times / tau, rates[:, 0], label=name)
    axes.legend(fontsize="small")
    return paper


def inverses() -> Figure:
    """Rows 17 and 45: reversible blocks run backwards, exactly in fixed point, not at all as printed."""
    paper, axes = figure("There and back through reversible blocks", "blocks", "largest error of the input that comes back", yscale="log")
    blocks = np.array([1, 2, 5, 10, 20, 50, 100, 200])
    for name, coupling in (("as printed (erratum E4)", Coupling(printed=True)), ("floats", Coupling()), ("fixed point", Coupling(2.0**-8))):
        found = [np.abs(back - x).max() for x, _, back in (there_and_back(coupling, int(n), 0) for n in blocks)]
        exactly = " (no error; drawn at 1e-17)" if max(found) == 0 else ""
        axes.plot(blocks, np.maximum(found, 1e-17), "o-", markersize=4, label=name + exactly)
    axes.legend(fontsize="small")
    return paper


def updates() -> Figure:
    """Rows 64, 66 and 81: what updates on the fly, springs and damping cost."""
    paper, axes = figure(
        "Updates, against their limits", "rate / beta; epsilon; damping", "relative error of the step", xscale="log", yscale="log"
    )
    s, net, beta = systems.hopfield(0), systems.tanh_net(0), 0.1
    exact, sided = exact_gradient(*s), declared(51)[0](*s, beta=beta)
    undamped = pseudo_inverse_step(*net)

    def over(new, scale):
        return jax.tree.map(lambda p, q: (p - q) / scale, s.parameters, new)

    kinds = {
        "64: continual EP, in rate / beta": (0.02, sided, lambda v: over(continual(*s, beta=beta, rate=beta * v, sweeps=200), beta * v)),
        "66: agnostic EP, in epsilon": (0.02, exact, lambda v: over(agnostic(*s, beta=1e-3, epsilon=v), 2e-3 * v)),
        "81: pseudo-inverse, in the damping": (0.02, undamped, lambda v: pseudo_inverse_step(*net, damping=v)),
    }
    for name, (largest, limit, step) in kinds.items():
        steps = largest / 2.0 ** np.arange(5)
        axes.plot(steps, [relative_error(step(v), limit) for v in steps], "o-", markersize=4, label=name)
    axes.legend(fontsize="small")
    return paper


def greedy() -> Figure:
    """Row 38: the more blocks learn from one loss, the nearer they are to backprop, from greedy (1) to all."""
    paper, axes = figure("Interlocking backprop, blocks of one layer each", "blocks that a loss reaches back", "angle to backprop, degrees")
    s, blocks, losses, heads, y = greedy_rows.classified(0)
    backprop = exact_gradient(s.circuit, lambda o, y: greedy_rows.classifier(heads[-1], o, y), s.parameters, s.x, y)
    reach = range(1, len(blocks) + 1)
    found = [greedy_gradient(blocks, losses, s.parameters, heads, s.x, y, interlocking(len(blocks), n))[0] for n in reach]
    for k in range(len(blocks) - 1):
        axes.plot(reach, [angle(g[k], backprop[k]) for g in found], "o-", markersize=4, label=f"block {k + 1}")
    axes.set_xticks(list(reach))
    axes.legend(fontsize="small")
    return paper


def hybrid() -> Figure:
    """Row 85: blocks that learn by nudges below and above one that learns by its derivative."""
    return orders("Hopfield net, feedforward net, Hopfield net in a chain", declared(85), mixed)


FIGURES = (
    contrasts,
    radius,
    oscillation,
    dyads,
    coding,
    targets,
    control,
    energies,
    variance,
    series,
    relaxation,
    prospective,
    inverses,
    updates,
    feedback,
    greedy,
    hybrid,
    staleness,
)


def draw(folder: str | Path, progress: Callable[[str, int, int], None] | None = None) -> list[Path]:
    """Write all figures into a folder as SVG, the same bytes whenever the numbers are the same.

    Parameters
    ----------
    folder : path
    progress : callable, optional
        Called as ``progress(step, done, of)``.
    """
    import matplotlib

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written, tell = [], progress or (lambda *_: None)
    with matplotlib.rc_context({"svg.hashsalt": "crossdyad"}):
        for make in FIGURES:
            tell(make.__name__, len(written), len(FIGURES))
            written.append(folder / f"{make.__name__}.svg")
            in_float64(make)().savefig(written[-1], format="svg", metadata={"Date": None})
    return written
