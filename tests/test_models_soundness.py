"""Circuits of one's own: bounded states come out as a minimiser finds them, and members that contradict each other are refused."""

import functools
from dataclasses import replace

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree
from scipy.optimize import minimize

from crossdyad import models
from crossdyad.models.circuits import square_primitive, tanh_primitive
from crossdyad.models.cookbook import ROWS, systems
from crossdyad.models.energies import Resistive, behind, hierarchical, lifted
from crossdyad.models.estimators.chains import Chain, OpenCircuit
from crossdyad.models.estimators.coding import residual_energy
from crossdyad.models.estimators.control import controlled, inverted, potentials
from crossdyad.models.estimators.feedback import transposes
from crossdyad.models.estimators.microcircuits import microcircuit, phaseless_alignment
from crossdyad.models.solvers import Problem, newton, relaxation

COST = models.squared_error


def at(n):
    """Where the outputs are: from state `n` of the one vector on."""
    return {"output": lambda s: s[0][n:], "with_output": lambda s, o: (s[0].at[n:].set(o),)}


def power(p, s, x):
    """Half the power of three resistors in a row from a source to ground."""
    v = s[0]
    return (p[0] * (v[0] - x[0]) ** 2 + p[1] * (v[1] - v[0]) ** 2 + p[2] * v[1] ** 2) / 2


def no_states(p, x):
    return (jnp.zeros(2),)


DIODE = models.from_energy(power, no_states, project=lambda s: (s[0].at[0].max(0.0),), rate=0.3, **at(1))
LINEAR = models.from_energy(power, no_states, rate=0.3, **at(1))
P, ON, OFF, TARGET = jnp.ones(3), jnp.array([-1.0]), jnp.array([1.0]), jnp.array([0.5])


@pytest.mark.parametrize("solver", [newton(), relaxation()])
def test_a_diode_holds_its_node(solver):
    np.testing.assert_array_equal(solver(Problem(DIODE, P, ON)).states[0], [0, 0])


@pytest.mark.parametrize("row, order, small", [(21, None, {}), (52, 2, {"beta": 0.01}), (51, 1, {"beta": 1e-4}), (68, 1, {"beta": 1e-4})])
def test_gradients_of_a_circuit_with_a_diode(row, order, small):
    rule = ROWS[row].estimator
    np.testing.assert_allclose(rule(DIODE, COST, P, ON, TARGET, **small), [0, 0, 0], atol=1e-5)
    # where the diode carries nothing: three resistors R, of which the last has R3 / (R1 + R2 + R3) of the source's 1 V
    slope = (1 / 3 - 0.5) * np.array([1, 1, -2]) / 9
    np.testing.assert_allclose(rule(DIODE, COST, P, OFF, TARGET, **small), slope, atol=1e-5)


CLIPPED = models.Hopfield((4, 5, 4, 3), models.clip(-0.5, 0.5), square_primitive, frozenset({"energy", "block-exact"}))
CONDUCTING = Resistive((3, 6, 2))
BOUNDED = {
    "diode": (DIODE, P, ON, [(0, None), (None, None)]),
    "Hopfield": (CLIPPED, CLIPPED.random_parameters(jax.random.key(1)), jnp.ones(4), [(-0.5, 0.5)] * 12),
    "resistive": (
        CONDUCTING,
        CONDUCTING.random_parameters(jax.random.key(2)),
        jnp.array([1.0, -0.5, 0.3]),
        [(0, None)] * 3 + [(None, 0)] * 3 + [(None, None)] * 2,
    ),
}
BOUNDED["outputs without bounds"] = (
    replace(CLIPPED, output_activation=models.identity, output_primitive=square_primitive),
    tuple(2 * w for w in BOUNDED["Hopfield"][1]),
    jnp.ones(4),
    [(-0.5, 0.5)] * 9 + [(None, None)] * 3,
)
BOUNDED["behind"] = (behind(lambda v, x: v * x, CLIPPED), (0.7, BOUNDED["Hopfield"][1]), jnp.ones(4), [(-0.5, 0.5)] * 12)
BOUNDED["open"] = (OpenCircuit(CLIPPED), (BOUNDED["Hopfield"][1], jnp.ones(4)), None, [(-0.5, 0.5)] * 12)


@pytest.mark.parametrize("name", BOUNDED)
def test_bounded_states_under_any_force_are_the_minimum_within_their_bounds(name):
    circuit, p, x, bounds = BOUNDED[name]
    flat, shape = ravel_pytree(circuit.start(p, x))
    force = np.random.default_rng(0).normal(size=flat.size)
    pulled = jax.jit(jax.value_and_grad(lambda v: circuit.energy(p, shape(v), x) + force @ v))
    exact = minimize(pulled, np.zeros(flat.size), jac=True, bounds=bounds, tol=1e-14, options={"gtol": 1e-12}).x
    assert any(e in pair for e, pair in zip(exact, bounds, strict=True)), "no bound is met"
    for solver in (newton(), relaxation()):
        found = solver(Problem(circuit, p, x, force=lambda s: shape(force)))
        np.testing.assert_allclose(ravel_pytree(found.states)[0], exact, atol=1e-6)
        assert found.residual < 1e-9


def test_a_chain_with_a_bounded_block_settles_alike_in_both_solvers():
    chain, w = Chain((CLIPPED,)), (BOUNDED["Hopfield"][1],)
    flat, shape = ravel_pytree(chain.start(w, jnp.ones(4)))
    problem = Problem(chain, w, jnp.ones(4), force=lambda s: shape(jnp.linspace(-2, 2, flat.size)))
    np.testing.assert_allclose(*(ravel_pytree(solver(problem).states)[0] for solver in (newton(), relaxation())), atol=1e-9)


# What is refused ----------------------------------------------------------------------------------------------


def slope(s, x, force, sign=1.0, rate=0.3):
    g = jax.grad(lambda v: power(P, (v,), x))(s[0])
    return (s[0] - rate * (g + sign * force[0]),)


def resistors(relax):
    return models.from_energy(power, no_states, lambda p, s, x, f: relax(s, x, f), **at(1))


def twice(p, s, x):
    return jax.tree.map(lambda v: 2 * v, LINEAR.residual(p, s, x))


def neurons(fire=jnp.tanh, drive=lambda p, s, x: (p @ s[0] + x,), residual=None):
    made = models.from_neurons(drive, lambda a: (fire(a[0]),), lambda p, x: (jnp.zeros(3, jnp.result_type(p, x)),))
    if residual is None:
        return made
    return models.from_residual(residual, made.start, made.relax, capabilities=["neurons"], drive=made.drive, fire=made.fire)


def smooth(energy, start=lambda p, x: (jnp.zeros(3, jnp.result_type(p, x)),)):
    return models.from_energy(energy, start, capabilities=["analytic"])


class Stepwise(models.Feedforward):
    """Layers that take what the layer below was before the sweep, so that one sweep solves the first layer only."""

    def relax(self, parameters, s, x, force):
        return tuple(v - f for v, f in zip(self.fire(self.drive(parameters, s, x)), force, strict=True))


STEPWISE = Stepwise((3, 3, 3), jnp.tanh)
SKEWED = models.from_residual(
    lambda p, s, x: (p @ s[0] - x,),
    lambda p, x: (jnp.zeros(3),),
    lambda p, s, x, f: (s[0] - 0.1 * (p @ s[0] - x + f[0]),),
    capabilities=["energy"],
    energy=lambda p, s, x: s[0] @ p @ s[0] / 2 - x @ s[0],
)
PARTLY = models.from_energy(power, no_states, lambda p, s, x, f: slope(s, x, f), capabilities=["block-exact"], **at(1))
W, X = 0.3 * jax.random.normal(jax.random.key(0), (3, 3)), jnp.array([0.4, -0.2, 0.1])


def well(p, s, x):
    return jnp.sum(s[0] ** 2) - s[0] @ (p @ x) + jnp.sum(jnp.cos(s[0]))


WRONG = {
    "force with the wrong sign": (resistors(lambda s, x, f: slope(s, x, f, -1.0)), P, ON, "relax: .*sign"),
    "force not used": (resistors(lambda s, x, f: slope(s, x, f, 0.0)), P, ON, "relax: .*used"),
    "half the force, slowly": (resistors(lambda s, x, f: slope(s, x, f, 0.5, 1e-3)), P, ON, "relax: "),
    "bounds that C does not know": (
        resistors(lambda s, x, f: (slope(s, x, f)[0].at[0].max(0.0),)),
        P,
        ON,
        r"relax: keeps states .*from_energy\(project=...\)",
    ),
    "residual of another energy": (
        models.from_residual(twice, no_states, LINEAR.relax, capabilities=["energy"], energy=power, **at(1)),
        P,
        ON,
        "residual: .*energy",
    ),
    "energy without one": (
        models.from_residual(LINEAR.residual, no_states, LINEAR.relax, capabilities=["energy"]),
        P,
        ON,
        "'energy', but there is no energy.*from_energy",
    ),
    "neurons without drive": (
        models.from_residual(LINEAR.residual, no_states, LINEAR.relax, capabilities=["neurons"]),
        P,
        ON,
        "'neurons', but there is no drive.*from_neurons",
    ),
    "a chain without layers": (
        models.from_residual(LINEAR.residual, no_states, LINEAR.relax, capabilities=["chain"]),
        P,
        ON,
        "'chain', but there is no layers",
    ),
    "neurons of another residual": (neurons(residual=lambda p, s, x: (s[0] - p @ s[0],)), W, X, "'neurons', but residual"),
    "a drive that bends": (neurons(drive=lambda p, s, x: (p @ s[0] ** 2 + x,)), W, X, "drive: not affine"),
    "a fire that mixes": (neurons(fire=jax.nn.softmax), W, X, "fire: not elementwise"),
    "analytic with max": (smooth(lambda p, s, x: well(p, s, x) + jnp.sum(jnp.maximum(s[0], 0) ** 2)), W, X, "'analytic', but a derivative"),
    "analytic with the largest": (smooth(lambda p, s, x: well(p, s, x) + jnp.max(s[0])), W, X, "'analytic', but"),
    "analytic with the largest, other weights": (smooth(lambda p, s, x: well(p, s, x) + jnp.max(s[0])), W.T[::-1], X, "'analytic', but"),
    "analytic with max, of drives that stay positive": (
        models.from_neurons(
            lambda p, s, x: (0.1 * p @ s[0] + x + 1,),
            lambda a: (jnp.maximum(a[0], 0),),
            lambda p, x: (jnp.zeros(3),),
            capabilities=["analytic"],
        ),
        W,
        X,
        "'analytic', but a derivative jumps",
    ),
    "analytic with abs": (smooth(lambda p, s, x: well(p, s, x) + jnp.sum(jnp.abs(s[0]) ** 2)), W, X, "'analytic', but a complex step"),
    "a chain that takes two sweeps": (STEPWISE, (W, W), X, "'triangular', but one sweep"),
    "an energy whose Jacobian is not symmetric": (SKEWED, jnp.eye(3) + W, X, "residual: not the derivative of the energy"),
    "small steps as exact minima": (PARTLY, P, ON, "'block-exact', but relax does not bring"),
    "clipped units as analytic": (models.Hopfield((3, 2), models.clip(-1.0, 1.0)), (W[:2],), X, "Hopfield: "),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_circuit_that_contradicts_itself_is_refused_in_one_line(name):
    circuit, p, x, what = WRONG[name]
    with pytest.raises(ValueError, match=what) as refused:
        models.check_circuit(circuit, p, x)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("make", [systems.relu_net, systems.hopfield, systems.equilibrium, systems.resistive, systems.tied])
@pytest.mark.parametrize("large", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_sound_circuits_pass_with_any_weights(make, large):
    s = make(large)
    models.check_circuit(s.circuit, jax.tree.map(lambda w: large * w, s.parameters), s.x)


@pytest.mark.parametrize("circuit, p, x", [(DIODE, P, ON), (LINEAR, P, ON), (neurons(), W, X), (smooth(well), W, X)])
def test_sound_circuits_of_ones_own_pass(circuit, p, x):
    models.check_circuit(circuit, p, x)


FAN = models.from_energy(
    lambda p, s, x: jnp.sum(tanh_primitive(s[0])) - s[0] @ (p * x),
    lambda p, x: (jnp.zeros_like(p),),
    lambda p, s, x, f: (jnp.tanh(p * x - f[0]),),
    capabilities=["analytic", "block-exact"],
)
"""Units by themselves, each with a drive of its own."""


@pytest.mark.parametrize("largest", [17.8, 25, 250])
def test_saturated_units_are_no_contradiction(largest):
    """Where tanh is nearly 1, and where it is 1 to the last bit, the residual is rounding, and jumps between neighbouring numbers."""
    models.check_circuit(FAN, jnp.linspace(0, largest, 200), jnp.ones(200))


def test_three_times_the_weights_are_no_contradiction():
    s = systems.hopfield(1)
    models.check_circuit(s.circuit, jax.tree.map(lambda w: 3 * w, s.parameters), s.x)


@pytest.mark.parametrize("gain", [10.0, 1e4, 1e8])
def test_steep_neurons_are_analytic(gain):
    circuit = models.from_neurons(
        lambda p, s, x: (p @ s[0] + x,),
        lambda a: (jnp.tanh(gain * a[0]),),
        lambda p, x: (jnp.zeros(3, jnp.result_type(p, x)),),
        capabilities=["analytic"],
    )
    models.check_circuit(circuit, W, X)


def made(make, s):
    """A circuit that the library makes of another, with parameters and input for it."""
    return make(s.circuit), s.parameters, s.x


NET, RECURRENT = (functools.cache(lambda make=make: make(0)) for make in (systems.tanh_net, systems.equilibrium))
HOUSE = {
    "bounded chain": lambda: (Chain((CLIPPED,)), (BOUNDED["Hopfield"][1],), jnp.linspace(-1, 1, 4)),
    "two blocks": lambda: (Chain((NET().circuit, models.Feedforward((3, 4)))), (NET().parameters, (jnp.ones((4, 3)) / 3,)), NET().x),
    "open circuit": lambda: (OpenCircuit(RECURRENT().circuit), (RECURRENT().parameters, RECURRENT().x), None),
    "resistors": lambda: BOUNDED["resistive"][:3],
    "hierarchy": lambda: made(hierarchical, NET()),
    "lifted": lambda: made(lifted, systems.bounded_net(0)),
    "coding": lambda: made(residual_energy, RECURRENT()),
    "potentials": lambda: made(potentials, RECURRENT()),
    "microcircuit": lambda: (microcircuit(RECURRENT().circuit, COST, RECURRENT().y, 0.1), 3 * (RECURRENT().parameters,), RECURRENT().x),
    "control": lambda: made(lambda c: controlled(c, COST, RECURRENT().y, (jnp.eye(6)[:, -2:],), 0.5), RECURRENT()),
    "inversion": lambda: made(lambda c: inverted(c, COST, RECURRENT().y, 0.5), RECURRENT()),
}


@pytest.mark.parametrize("name", HOUSE)
def test_the_librarys_own_circuits_are_sound(name):
    models.check_circuit(*HOUSE[name]())


def test_every_estimator_checks_a_circuit_once():
    circuit, p, x, _ = WRONG["force with the wrong sign"]
    for row in (21, 29, 52, 68, 76):
        with pytest.raises(ValueError, match=rf"row {row} \(.*\): Own: relax: .*sign of the force"):
            ROWS[row].estimator(circuit, COST, p, x, TARGET, **({"key": jax.random.key(0)} if row == 29 else {}))
    calls = []
    counted = models.from_energy(power, lambda p, x: (calls.append(1), no_states(p, x))[1], rate=0.3, **at(1))
    for _ in range(2):
        counts = len(calls)
        ROWS[52].estimator.check(counted, P, ON, TARGET)
    assert len(calls) - counts == 1, "the second time only shapes are looked at"


def test_analytic_and_bounds_exclude_each_other():
    with pytest.raises(ValueError, match="analytic, but states with bounds"):
        models.from_energy(power, no_states, project=lambda s: s, capabilities=["analytic"])


# Rows for neurons of one's own ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_neurons_of_ones_own_are_the_deep_equilibrium_model():
    """The same gradients as the library's circuit, by every row that works on neurons with loops."""
    s = systems.equilibrium(0)
    own = models.from_neurons(
        lambda p, v, x: (p[0] @ v[0] + p[1] @ x,),
        lambda a: (jnp.tanh(a[0]),),
        lambda p, x: (jnp.zeros(6, jnp.result_type(p[0], x)),),
        capabilities=["analytic"],
        **at(-2),
    )
    for row in (21, 68, 72, 74, 84, 88):
        found, exact = (ROWS[row].estimator(c, *s[1:]) for c in (own, s.circuit))
        for a, b in zip(found, exact, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=f"row {row}")
    exact = ROWS[21].estimator(own, *s[1:])
    for row in (23, 25, 26, 28):  # feedback by parameters of its own: with those of the circuit it is the adjoint
        for a, b in zip(ROWS[row].estimator(own, *s[1:], matrices=s.parameters), exact, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=f"row {row}")
    other = jax.tree.map(lambda w: w + 0.3, s.parameters)
    assert not np.allclose(ROWS[23].estimator(own, *s[1:], matrices=other)[0], exact[0], rtol=1e-2)


def test_a_chain_of_ones_own_has_the_feedback_of_layers():
    """Rows 23, 24 and 27 on a feedforward net that is written as neurons: as on the library's net."""
    s = systems.tanh_net(0)
    last = len(s.parameters) - 1
    own = models.from_neurons(
        lambda p, v, x: tuple(w @ u for w, u in zip(p, (x, *v[:-1]), strict=True)),
        lambda a: tuple(u if k == last else jnp.tanh(u) for k, u in enumerate(a)),
        lambda p, x: tuple(jnp.zeros(len(w)) for w in p),
    )
    random = jax.tree.map(lambda w: w + 0.1, s.parameters)
    columns = tuple(jnp.asarray(np.random.default_rng(k).normal(size=(len(w), 3))) for k, w in enumerate(s.parameters))
    columns = (*columns[:-1], jnp.zeros((3, 3)))
    for row, mine, theirs in (
        (23, {"matrices": random}, {"matrices": transposes(s.circuit, random)}),
        (27, {}, {}),
        (24, {"matrices": columns}, {"matrices": columns[:-1]}),
    ):
        found, exact = (ROWS[row].estimator(c, *s[1:], **m) for c, m in ((own, mine), (s.circuit, theirs)))
        for a, b in zip(found, exact, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=f"row {row}")


@pytest.mark.slow
def test_rows_that_learn_feedback_or_control_take_neurons_of_ones_own():
    """Rows 73, 75 and 76 on the deep equilibrium model written as neurons: the library's own numbers."""
    s = RECURRENT()
    own = models.from_neurons(
        lambda p, v, x: (p[0] @ v[0] + p[1] @ x,),
        lambda a: (jnp.tanh(a[0]),),
        lambda p, x: (jnp.zeros(6, jnp.result_type(p[0], x)),),
        **at(-2),
    )
    for row in (75, 76):
        found, exact = (ROWS[row].estimator(c, *s[1:]) for c in (own, s.circuit))
        for a, b in zip(found, exact, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=f"row {row}")
    signal = jnp.asarray(np.random.default_rng(0).normal(size=(50, 4)))
    learnt = [phaseless_alignment(c, s.parameters, signal, jax.random.key(1)) for c in (own, s.circuit)]
    assert np.abs(learnt[0][0]).max() > 1e-4
    for a, b in zip(*learnt, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("row, more", [(75, {"noise": 1e-4}), (76, {"leak": 1e-7})])
def test_least_control_of_resistors_by_hand(row, more):
    """Control adds to C: currents into the two nodes, the least that bring the last one to its target; H is half their square."""
    source, target = float(OFF[0]), float(TARGET[0])

    def least(p):
        # C = (p0 (a - source) + p1 (a - target), p1 (target - a) + p2 target), of which a is chosen for the least square
        rows = np.array([[p[0] + p[1]], [-p[1]]])
        constant = np.array([-p[0] * source - p[1] * target, (p[1] + p[2]) * target])
        a = np.linalg.lstsq(rows, -constant, rcond=None)[0]
        return ((rows @ a + constant) ** 2).sum() / 2

    steps = 1e-5 * np.eye(3)
    expected = [(least(np.ones(3) + d) - least(np.ones(3) - d)) / 2e-5 for d in steps]
    np.testing.assert_allclose(ROWS[row].estimator(LINEAR, COST, P, OFF, TARGET, **more), expected, atol=1e-5)


@pytest.mark.parametrize("row, more", [(75, {"noise": 1e-4}), (76, {"leak": 1e-7})])
def test_control_moves_states_beyond_their_bounds(row, more):
    """``C = s - project(s - dE/ds)`` is what control is added to: here a at the diode, 1 - a at the output; the least is a = 1/2."""
    np.testing.assert_allclose(ROWS[row].estimator(DIODE, COST, P, ON, TARGET, **more), [0, 0, 0.25], atol=1e-5)
