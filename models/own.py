"""Circuits of one's own: from an energy, from neurons or from a residual, the rest by differentiation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .circuits import CAPABILITIES, last_layer, with_last_layer
from .functions import add, gradient, zeros
from .precision import in_float64


@dataclass(frozen=True)
class Own:
    """A circuit of one's own; made by `from_energy`, `from_neurons` or `from_residual`."""

    start: Callable
    residual: Callable
    relax: Callable
    capabilities: frozenset
    energy: Callable | None = None
    forced: Callable | None = None
    drive: Callable | None = None
    fire: Callable | None = None
    output: Callable = last_layer
    with_output: Callable = with_last_layer


def from_energy(
    energy: Callable,
    start: Callable,
    relax: Callable | None = None,
    *,
    rate: float = 0.1,
    project: Callable | None = None,
    output: Callable | None = None,
    with_output: Callable | None = None,
    capabilities: Iterable[str] = (),
) -> Own:
    """A circuit from its energy alone.

    Parameters
    ----------
    energy : callable
        ``energy(parameters, s, x)``, a scalar.
    start : callable
        ``start(parameters, x)``, the states to start from.
    relax : callable, optional
        As a circuit's; gradient descent with step `rate` otherwise.
    project : callable, optional
        States to the nearest allowed ones, where they have bounds (a diode, a clip): solutions then are minima within these bounds.
    output, with_output : callable, optional
        Where the output is; the last of a tuple of states otherwise.
    capabilities : iterable of str
        What it has beyond ``energy``: ``analytic``, ``block-exact``.

    Raises
    ------
    ValueError
        For an unknown capability, an output without its counterpart, or ``analytic`` states with bounds.
    """
    if project and "analytic" in capabilities:
        raise ValueError("capabilities: analytic, but states with bounds (project) have no complex continuation; leave out one of both")

    def slope(parameters, s, x):
        return gradient(lambda s: energy(parameters, s, x), s)

    def bounded(parameters, s, x, force):
        return add(s, project(add(s, add(slope(parameters, s, x), force), -1.0)), -1.0)

    def residual(parameters, s, x):
        return bounded(parameters, s, x, zeros(s)) if project else slope(parameters, s, x)

    def descend(parameters, s, x, force):
        s = add(s, add(slope(parameters, s, x), force), -rate)
        return project(s) if project else s

    return from_residual(
        residual,
        start,
        relax or descend,
        output=output,
        with_output=with_output,
        capabilities={"energy", *capabilities},
        energy=energy,
        forced=bounded if project else None,
    )


def from_neurons(
    drive: Callable,
    fire: Callable,
    start: Callable,
    *,
    output: Callable | None = None,
    with_output: Callable | None = None,
    capabilities: Iterable[str] = (),
) -> Own:
    """A circuit of neurons, ``C = s - fire(drive(parameters, s, x))``: dyads, microcircuits, control and feedback operators take it.

    Parameters
    ----------
    drive : callable
        ``drive(parameters, s, x)``, like the states and affine in them.
    fire : callable
        ``fire(drive)``, elementwise.
    start, output, with_output
        As of `from_energy`.
    capabilities : iterable of str
        What it has beyond ``neurons``: ``analytic``.
    """

    def relax(parameters, s, x, force):
        return add(fire(drive(parameters, s, x)), force, -1.0)

    def residual(parameters, s, x):
        return add(s, fire(drive(parameters, s, x)), -1.0)

    return from_residual(
        residual, start, relax, output=output, with_output=with_output, capabilities={"neurons", *capabilities}, drive=drive, fire=fire
    )


def from_residual(
    residual: Callable,
    start: Callable,
    relax: Callable,
    *,
    output: Callable | None = None,
    with_output: Callable | None = None,
    capabilities: Iterable[str] = (),
    **members: Callable | None,
) -> Own:
    """A circuit from its residual and a relaxation that keeps its states in their domain; see `from_energy`.

    Parameters
    ----------
    **members : callable
        ``energy``, ``forced``, or ``drive`` and ``fire``: what its capabilities ask for; see `circuits`.
    """
    unknown = set(capabilities) - CAPABILITIES
    if unknown:
        raise ValueError(f"capabilities: {', '.join(sorted(unknown))} unknown; allowed are {', '.join(sorted(CAPABILITIES))}")
    if (output is None) != (with_output is None):
        raise ValueError("output, with_output: one is given without the other; give both or neither")
    where = {} if output is None else {"output": output, "with_output": with_output}
    start, residual, relax = map(in_float64, (start, residual, relax))
    members = {name: member and in_float64(member) for name, member in members.items()}
    return Own(start, residual, relax, frozenset(capabilities), **members, **where)
