"""When a chip does what: drawn programs, overlapping samples and stale reads are played as they are written."""

import itertools
import random
from dataclasses import replace

import player
from law import chip_of, law
from laws_of_sizes import slots

from crossdyad.recipe import NOISE, SLOPE, Matrix, Op, Operation, Recipe, Rule, allow, compile_program, load, programs, rules
from crossdyad.recipe.program import outlasting
from crossdyad.recipe.rules import parts


def drawn_rule(seed):
    """Steps of a rule that nobody would write: reads, feedback and updates in any order in which each finds its operands."""

    def steps(recipe):
        draw, last = random.Random(seed), recipe.layers - 1
        nudged = [*parts.hidden(recipe), parts.nudged(recipe)]
        yield from nudged
        reach = last  # lowest layer with an error
        for _ in range(draw.randint(3, 9)):
            kind, k = draw.choice(("again", "back", "back", "update", "update", "free", "up")), draw.randint(reach, last)
            if kind == "again":
                yield from nudged
            elif kind == "free":
                yield parts.read(last, recipe)
            elif kind == "up":
                j = draw.randint(0, last)
                yield draw.choice((parts.read(j, recipe), nudged[-1])) if j == last else parts.read(j, recipe)
            elif kind == "update":
                yield parts.update(k)
            elif k > 0:
                yield parts.back(k)
                reach = min(reach, k - 1)

    return steps


def hazardous(*back):
    """Steps of a rule with feedback that comes so late or so soon that chance hardly finds it."""

    def steps(recipe):
        yield from parts.hidden(recipe)
        yield parts.nudged(recipe)
        yield from (parts.back(k) if k else parts.read(0, recipe) for k in back)

    return steps


def in_two_units(recipe):
    """Steps whose means of two units go to one store, those of the quick unit after those of the slow one."""
    yield from parts.hidden(recipe)
    yield parts.read(0, recipe, mean="a")
    yield parts.nudged(recipe, mean="a")
    yield parts.update(1, column="a")


def drawn_machine(seed):
    """Steps over all matrices of the recipe's rule and stores of few names: whatever the machine can do, in any order."""

    def steps(recipe):
        draw, last, sizes = random.Random(seed), recipe.layers - 1, recipe.sizes
        states, differences, kept, fed, made = {"input0": sizes[0]}, {}, set(), set(), 0

        def fitting(stores, size):
            return [name for name, there in stores.items() if there == size]

        while made < 12:
            m, op = draw.choice(recipe.matrices), draw.choice((Op.FORWARD, Op.FORWARD, Op.TRANSPOSED, Op.TRANSPOSED, Op.UPDATE))
            columns, rows = fitting(states, sizes[m.below]), fitting(states | differences, sizes[m.above])
            if op is not Op.TRANSPOSED and not columns or op is not Op.FORWARD and not rows or op is Op.UPDATE and m.source != "memory":
                continue
            ports = {"column": draw.choice([*columns, NOISE])} if op is not Op.TRANSPOSED else {}
            ports |= {"row": draw.choice(rows)} if op is not Op.FORWARD else {}
            made += 1
            if op is Op.UPDATE:
                yield Operation(op, m.name, **ports)
                continue
            units = [k for k in range(recipe.layers) if sizes[k + 1] == sizes[m.above if op is Op.FORWARD else m.below]]
            if not units:
                continue
            unit = draw.choice(units)
            enter = draw.choice(("drive", "more", "less", "feedback")) if unit in kept else "drive"
            enter = draw.choice(("relax", "gather")) if unit in kept & fed and draw.random() < 0.5 else enter
            free = [name for name in (f"{letter}{sizes[unit + 1]}" for letter in "abcde") if name not in ports.values()]
            mean, difference = (draw.choice([name for name in free if name[0] in letters] + [""]) for letters in ("abc", "de"))
            keep, keep_feedback = draw.random() < 0.6, draw.random() < 0.4
            yield Operation(
                op,
                m.name,
                **ports,
                unit=unit,
                enter=enter,
                keep_drive=keep,
                mean=mean,
                difference=difference,
                keep_feedback=keep_feedback,
                leak=draw.randint(0, 3) if enter == "relax" else 0,
                moved=draw.random() < 0.2,
                repeatable=draw.random() < 0.3,
                force=draw.choice(("", "drive", "feedback")) if unit == last else "",
                loss=draw.choice(("keep", "set", "subtract")) if unit == last else "keep",
            )
            states |= {mean: sizes[unit + 1]} if mean else {}
            differences |= {difference: sizes[unit + 1]} if difference else {}
            kept |= {unit} if keep else set()
            fed |= {unit} if keep_feedback else set()

    return steps


def faults_of(recipe, steps):
    operations = list(steps(recipe))
    return player.faults(recipe, compile_program(recipe, "drawn", operations), operations)


@law
def programs_are_played_as_their_rules_are_written():
    # a drive that is made while feedback waits for it; an error that is made anew while a long read goes over it
    assert faults_of(chip_of((13, 1, 1), (1, 1)), hazardous(1, 0, 1)) == []
    assert faults_of(chip_of((4, 12, 12, 2), (2, 1, 4)), hazardous(2, 1, 2)) == []
    for seed in range(100):
        draw = random.Random(seed)
        sizes = [draw.choice((1, 2, 4, 12, 13)) for _ in range(draw.choice((2, 3, 4, 4)))]
        lanes = [draw.choice([n for n in (1, 2, 4, 8, 16) if n < 2 * c]) for c in sizes[:-1]]
        recipe = chip_of(sizes, lanes, rule="spsa" if seed % 4 == 0 else "dual-propagation", epsilon=2.0**-4)
        for train in (False, True):
            steps = recipe.steps if train else rules.rule(recipe.rule).infer(recipe)
            assert player.faults(recipe, programs(recipe)[train], steps) == []
        assert faults_of(recipe, drawn_rule(seed)) == [], (seed, recipe)


@law
def stores_and_heads_are_played_as_they_are_written():
    """Matrices of every source, stores of any name, drives that are added to: the whole of contract section 12."""
    assert faults_of(chip_of((13, 4, 4), (1, 4)), in_two_units) == []
    for seed in range(150):
        draw = random.Random(seed)
        few = draw.sample((1, 2, 4, 9, 13), 2)
        sizes = [draw.choice(few) for _ in range(draw.choice((3, 4, 5)))]
        lanes = [draw.choice([n for n in (1, 2, 4, 8, 16) if n < 2 * c]) for c in sizes[:-1]]
        rule = draw.choice(("sign-concordant", "feedback-alignment", "stored-feedback", "direct-feedback", "local-heads", "spsa"))
        recipe = chip_of(sizes, lanes, rule=rule, epsilon=2.0**-4)
        assert faults_of(recipe, drawn_machine(seed)) == [], (seed, recipe)


def skips(recipe):
    """Yield operations that use the sample once more when all else is done."""
    yield from parts.hidden(recipe)
    yield parts.nudged(recipe)
    yield parts.update(1)
    yield Operation(Op.UPDATE, "S", column="input0", row="error1")


SKIPS = Rule(skips, matrices=lambda recipe: (*parts.weights(recipe), Matrix("S", 0, recipe.layers, 0)))
"""A rule with a matrix from the sample to the outputs."""
allow(f"{__name__}:SKIPS")


@law
def samples_that_overlap_are_played_over_each_other():
    """Every rule of the house and drawn programs, four samples an interval apart; and digits on one row of lanes in 333 cycles."""
    one_row = {"lanes": (), "engines": [{"lanes": 16, "matrices": ["W0", "W1"]}], "samples_in_flight": 2}
    assert programs(Recipe.model_validate(load("digits").model_dump() | one_row))[1].interval == 333
    shapes = (((9, 5, 4), (4, 2)), ((3, 9, 4), (2, 4)), ((12, 5, 6, 4), (2, 2, 4)))
    cases = []
    # what a matrix beside the way to the outputs still reads when the next sample is nearly through: the loss, the sample
    recipe = chip_of(
        (2, 13, 4), (), rule="stored-feedback", engines=[{"lanes": 16, "matrices": ["W0", "W1"]}, {"lanes": 1, "matrices": ["B1"]}]
    )
    cases.append(
        (
            recipe,
            (
                *parts.hidden(recipe),
                parts.nudged(recipe, loss="set"),
                Operation(Op.UPDATE, "B1", column="input1", row=SLOPE),
                Operation(Op.UPDATE, "B1", column="input1", row=SLOPE),
            ),
        )
    )
    recipe = chip_of(
        (13, 4, 4), (), rule=f"{__name__}:SKIPS", engines=[{"lanes": 13, "matrices": ["W0", "W1"]}, {"lanes": 1, "matrices": ["S"]}]
    )
    cases.append((recipe, recipe.steps))
    for (sizes, lanes), rule in itertools.product(shapes, rules.RULES):
        if rule != "inference" and (rule != "reversible" or len(sizes) > 3):
            recipe = chip_of(sizes, lanes, rule=rule, alpha=0, sweeps=(1, 1), epsilon=2.0**-4, decay=2.0**-8)
            cases.append((recipe, recipe.steps))
    for seed in range(30):
        draw = random.Random(seed)
        sizes = [draw.choice((1, 2, 4, 9, 13)) for _ in range(draw.choice((3, 4)))]
        lanes = [draw.choice([n for n in (1, 2, 4, 8, 16) if n < 2 * c]) for c in sizes[:-1]]
        recipe = chip_of(sizes, lanes, rule=draw.choice(("dual-propagation", "local-heads", "spsa")), epsilon=2.0**-4)
        cases.append((recipe, tuple((drawn_machine if seed % 2 else drawn_rule)(seed)(recipe))))
    overlapping = 0
    for recipe, steps in cases:
        recipe = recipe.model_copy(update={"samples_in_flight": 2})
        program = compile_program(recipe, "drawn", steps, 2)
        overlapping += program.interval > 0
        samples = 4 if program.interval else 1
        slots = outlasting(recipe, program)
        assert slots["input0"] <= recipe.samples_in_flight, (recipe, program)
        assert player.faults(recipe, program, steps, samples, slots) == [], (recipe, program)
    assert overlapping > len(cases) // 2


@law
def stale_reads_see_one_version_as_old_as_allowed():
    """Chips of one engine and of several, eight samples an interval apart; in the last ones a read just after an update must wait."""
    apart, together = [["W0"], ["W1"], ["W2"]], [["W0", "W2"], ["W1"]]
    for sizes, lanes, rows, staleness in (
        ((9, 5, 6, 4), (4, 3, 2), apart, (3, 2, 0)),
        ((9, 5, 6, 4), (4, 3, 2), apart, (1, 0, 0)),
        ((9, 5, 6, 4), (4, 4), together, (2, 2, 1)),
        ((6, 2, 6, 2), (6, 2, 6), apart, (3, 3, 3)),
        ((3, 2, 2, 2), (3, 2), together, (3, 3, 3)),
        ((3, 2, 2, 2), (3,), [["W0", "W1", "W2"]], (3, 3, 3)),
    ):
        engines = [{"lanes": n, "matrices": names} for n, names in zip(lanes, rows, strict=True)]
        recipe = chip_of(sizes, (), engines=engines, samples_in_flight=4, staleness=staleness)
        program = programs(recipe)[True]
        behind = [program.staleness[f"W{k}"] for k in range(3)]
        assert any(behind) and all(lag <= allowed for lag, allowed in zip(behind, staleness, strict=True)), (behind, staleness)
        assert player.faults(recipe, program, recipe.steps, 8, outlasting(recipe, program)) == [], program


@law
def operations_start_as_early_as_they_can():
    """The first in cycle 2, and any other one a cycle earlier is a fault or comes too close to another."""
    shapes = (((9, 5, 4), (4, 2)), ((3, 9, 4), (2, 4)), ((12, 5, 6, 4), (2, 2, 4)))
    for (sizes, lanes), rule in itertools.product(shapes, rules.RULES):
        if rule == "inference" or rule == "reversible" and len(sizes) < 4:
            continue
        recipe = chip_of(sizes, lanes, rule=rule, alpha=0, sweeps=(2, 2), epsilon=2.0**-4, decay=2.0**-8)
        program = programs(recipe)[True]
        cycles = [i.cycle for i in program.instructions]
        assert cycles[0] == 2 and min(b - a for a, b in itertools.pairwise(cycles)) >= 2
        for n, instruction in enumerate(program.instructions[1:], 1):
            earlier = list(program.instructions)
            earlier[n] = replace(instruction, cycle=instruction.cycle - 1)
            before = [i for i in program.instructions[:n] if i.engine == instruction.engine]
            engine = bool(before) and instruction.cycle - before[-1].cycle == slots(recipe, before[-1])
            close = cycles[n] - cycles[n - 1] == 2
            assert engine or close or player.faults(recipe, replace(program, instructions=tuple(earlier)), recipe.steps), (rule, sizes, n)
