"""Rules of one's own, right and wrong, each a function of the recipe, as a recipe names it: ``own_rules:last_layer``."""

from crossdyad.recipe import Matrix, Op, Operation, Recipe, rules
from crossdyad.recipe.rules import parts

HERE = __name__


def last_layer(r):
    """Only the last layer learns."""
    yield from parts.hidden(r)
    yield parts.nudged(r)
    yield parts.update(r.layers - 1)


def late_first_layer(r):
    """Dual propagation, its updates from the top down."""
    yield from parts.hidden(r)
    yield parts.nudged(r)
    for k in range(r.layers - 1, 0, -1):
        yield parts.back(k)
        yield parts.update(k)
    yield parts.update(0)


def unknown_force(r):
    yield from parts.hidden(r)
    yield parts.nudged(r, force="sideways")


def too_early(r):
    yield parts.update(r.layers - 1)
    yield from parts.inference(r)


def below_the_first(r):
    yield from parts.inference(r)
    yield parts.back(1, unit=-1)


def no_outputs(r):
    yield parts.read(0, r)


def no_steps(r):
    return 3


def no_operation(r):
    yield 0, 1, 2


def wrong_length(r):
    yield from parts.inference(r)
    yield parts.update(0, column="input1")


def two_formats(r):
    yield from parts.hidden(r)
    yield parts.nudged(r, mean="error1")


def two_lengths(r):
    yield from parts.inference(r)
    yield parts.read(1, r, mean="input1")


def in_place(r):
    yield from parts.inference(r)
    yield Operation(Op.FORWARD, "S1", "input1", unit=0, mean="input1")


def no_drive(r):
    yield parts.read(0, r, keep_drive=False)
    yield parts.nudged(r)
    yield parts.back(1)


def fixed_head(r):
    yield from parts.inference(r)
    yield parts.nudged(r)
    yield parts.update(1, "B1")


def not_kept(r):
    yield from parts.hidden(r)
    yield parts.nudged(r)
    yield parts.back(1, enter="relax", leak=2)


def leaks_too_much(r):
    yield from parts.hidden(r, keep_feedback=True)
    yield parts.nudged(r)
    yield parts.back(1, enter="relax", leak=16)


def noise_comes_down(r):
    yield from parts.inference(r)
    yield parts.back(1, row="noise")


def signs_of_errors(r):
    yield from parts.inference(r)
    yield parts.update(0, row="error0", column="signs")


def slope_of_a_column(r):
    yield from parts.inference(r)
    yield parts.update(0, row="slope", column="slope")


def rows_of_signs(r):
    yield from parts.inference(r)
    yield parts.update(0, row="signs")


def hears_noise(r):
    yield from parts.inference(r)
    yield parts.read(1, r, column="noise", mean="heard", result=False)
    yield parts.update(1, row="heard", column="noise")


def three_reads(r):
    """The outputs before, with and after a nudge that has been learned from."""
    yield from parts.inference(r)
    yield parts.nudged(r)
    yield parts.update(r.layers - 1)
    yield parts.read(r.layers - 1, r)


def long_rule(r):
    """More than 256 operations, and a read at the end whose random words are counted from there on."""
    yield from parts.hidden(r)
    yield parts.nudged(r)
    yield from [parts.update(r.layers - 1)] * 260
    yield parts.nudged(r)
    yield parts.update(r.layers - 1)


def endless(r):
    yield from parts.hidden(r)
    yield parts.nudged(r)
    while True:
        yield parts.update(0)


def longest(r):
    yield from parts.hidden(r)
    yield parts.nudged(r)
    yield from [parts.update(r.layers - 1)] * (4096 - 2 * r.layers)


def too_long(r):
    yield from longest(r)
    yield parts.update(0)


def slope_of_inputs(r):
    yield from parts.inference(r)
    yield parts.nudged(r, loss="set")
    yield parts.update(0, row="slope")


IN_PLACE = rules.Rule(in_place, matrices=lambda r: [*parts.weights(r), Matrix("S1", 1, 1, 1)])
FIXED_HEAD = rules.Rule(fixed_head, matrices=rules.backward.random_feedback)
STRANGE_SIGNS = rules.Rule(last_layer, matrices=lambda r: [*parts.weights(r), Matrix("B1", 1, 2, 1, "signs", "W7")])
STRANGE_START = rules.Rule(last_layer, matrices=lambda r: [*parts.weights(r), Matrix("B1", 1, 2, 1, start="W0")])
NO_WEIGHTS = rules.Rule(last_layer, matrices=lambda r: [Matrix("W0", 0, 1, 0)])
STRANGE_ORACLE = rules.Rule(last_layer, oracle="exakt")
STRANGE_ROW = rules.Rule(last_layer, row=89)


def signs_of_another(r):
    yield from parts.weights(r)
    yield Matrix("Z1", 1, 2, 1)
    yield Matrix("B1", 1, 2, 1, "signs", "Z1")


OTHER_SIGNS = rules.Rule(rules.backward.concordant, matrices=signs_of_another)


def small(rule, **changes):
    return Recipe(**{"name": "small", "sizes": (5, 4, 3), "lanes": (4, 2), "alpha": 0.5, "beta": 1.0, "rule": f"{HERE}:{rule}"} | changes)
