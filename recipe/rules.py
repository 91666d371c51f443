"""Learning rules as lists of operations, in the order in which they are issued; where they stand in time is the compiler's work."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from .imported import imported
from .operations import POSITION_BITS, Op, Operand

if TYPE_CHECKING:
    from .recipe import Recipe


class Step(NamedTuple):
    """An operation of a rule on a layer."""

    layer: int
    op: Op
    operand: Operand

    def __str__(self) -> str:
        return f"{self.op.name.lower()} ({self.operand.name.lower()}) of layer {self.layer}"


def traffic(step: Step, recipe: Recipe) -> tuple[set[str], set[str]]:
    """Return the vectors that an operation reads and those that it writes.

    ``input0`` is the sample, ``input{k}`` the means that layer k reads (of the last layer: the outputs), ``drive{k}`` and ``error{k}`` its
    memories, ``loss`` the loss register. Each element is read after it is made and overwritten after it is read; the engine of a layer
    orders what happens to its weights.
    """
    k, last = step.layer, recipe.layers - 1
    if step.op == Op.FORWARD and k < last:
        return {f"input{k}"}, {f"input{k + 1}", f"drive{k}"}
    if step.op == Op.FORWARD:
        return {f"input{k}"}, {f"input{k + 1}", "loss"} | ({f"error{k}"} if step.operand == Operand.NUDGE else set())
    if step.op == Op.TRANSPOSED:
        return {f"error{k}", f"drive{k - 1}"}, {f"input{k}", f"error{k - 1}"}
    if step.op == Op.UPDATE:
        return {f"input{k}", f"error{k}"} if step.operand == Operand.DELTA else {"loss"}, set()
    return set(), set()


def forward(recipe: Recipe, operand: Operand) -> Iterator[Step]:
    """Products from the sample up, the last layer's with this operand."""
    for k in range(recipe.layers):
        yield Step(k, Op.FORWARD, operand if k == recipe.layers - 1 else Operand.FREE)


def transposed(k: int) -> Step:
    """The read that brings the error of layer k to the layer below, k from 1."""
    return Step(k, Op.TRANSPOSED, Operand.FREE)


def update(k: int) -> Step:
    """The outer product of layer k's error and input onto its weights."""
    return Step(k, Op.UPDATE, Operand.DELTA)


def inference(recipe: Recipe) -> Iterator[Step]:
    """Products from the sample up."""
    yield from forward(recipe, Operand.FREE)


def dual_propagation(recipe: Recipe) -> Iterator[Step]:
    """Up with a nudge, and down again, in which means and errors are made anew (contract section 8)."""
    last = recipe.layers - 1
    yield from forward(recipe, Operand.NUDGE)
    for k in range(last, 0, -1):
        yield transposed(k)
        # the update of the layer below comes first: it is the longer one and on the critical path
        if k == 1:
            yield update(0)
        yield update(k)
    if last == 0:
        yield update(0)


def spsa(recipe: Recipe) -> Iterator[Step]:
    """The loss with all weights raised and lowered along random signs, whose difference is their update (contract section 8)."""
    for operand, read in ((Operand.PLUS, Operand.ADD), (Operand.MINUS, Operand.SUBTRACT), (Operand.PLUS, None)):
        yield from (Step(k, Op.PROBE, operand) for k in range(recipe.layers))
        if read is not None:
            yield from forward(recipe, read)
    for k in range(recipe.layers):
        yield Step(k, Op.UPDATE, Operand.SLOPE)


RULES: dict[str, Callable[[Recipe], Iterator[Step]]] = {"inference": inference, "dual-propagation": dual_propagation, "spsa": spsa}
"""Name of a rule to its operations."""

OWN = {(Op.FORWARD, Operand.FREE), (Op.FORWARD, Operand.NUDGE), (Op.TRANSPOSED, Operand.FREE), (Op.UPDATE, Operand.DELTA)}
"""What a rule of one's own is made of: the datapath of dual propagation."""


def rule(name: str) -> Callable[[Recipe], Iterator[Step]]:
    """The operations of a rule: of `RULES`, or of one's own, ``package.module:function``.

    Raises
    ------
    ValueError
        For a name that is neither.
    """
    return imported(name, RULES)


def mistakes_of(recipe: Recipe) -> Iterator[str]:
    """What a rule of one's own asks for that the chip cannot do."""
    if recipe.rule in RULES:
        return
    there, last = {"input0"}, recipe.layers - 1
    most = (1 << POSITION_BITS) - recipe.layers
    try:
        steps = [Step(int(layer), Op(op), Operand(operand))
                 for layer, op, operand in itertools.islice(rule(recipe.rule)(recipe), most + 1)]
    except Exception as error:              # of somebody's function, whatever it does
        yield f"rule: {recipe.rule} is no function of a recipe that yields steps, of layer, op and operand: {error}"
        return
    if len(steps) > most:
        yield (f"rule: {recipe.rule}: more than {most} operations; allowed are {1 << POSITION_BITS} in the program memory, "
               f"{recipe.layers} of them for inference")
        return
    wrong: dict[Step, str] = {}             # each step once, however often the rule asks for it
    for step in steps:
        said, (needs, makes) = f"rule: {recipe.rule}: {step}", traffic(step, recipe)
        if (step.op, step.operand) not in OWN:
            allowed = ", ".join(f"{op.name.lower()} ({operand.name.lower()})" for op, operand in sorted(OWN))
            wrong.setdefault(step, f"{said} is no operation for a rule of one's own; allowed are {allowed}")
        elif not (step.op == Op.TRANSPOSED) <= step.layer <= last or (step.operand == Operand.NUDGE and step.layer != last):
            wrong.setdefault(step, f"{said} does not exist; allowed are layers 0 to {last}, from 1 for transposed reads, the last one "
                             "alone for a nudge")
        elif needs - there:
            wrong.setdefault(step, f"{said} needs {', '.join(sorted(needs - there))}, which no operation before it makes; there are "
                             f"{', '.join(sorted(there))}")
        there |= makes
    yield from wrong.values()
    if f"input{last + 1}" not in there:
        yield f"rule: {recipe.rule}: no forward read of layer {last}, so that a sample has no outputs; it is needed"
