"""A mixture that has no name: implicit differentiation in some blocks, probes in others, in a pipeline (section 4 of the paper).

    python examples/mixture.py mixture.svg

Three blocks learn the 8x8 digits in 1F1B with weight stashing (row 48): a deep equilibrium model by the adjoint (row 21),
a Hopfield net by centered nudges (row 52) and a layer that is only probed (row 29). The figure shows the first ticks of the
pipeline and the cost of every micro-batch, beside that of the same pipeline with exact gradients everywhere.
"""

import sys
from dataclasses import replace

import jax
import numpy as np
from matplotlib.figure import Figure

from crossdyad import data, models
from crossdyad.models.circuits import Equilibrium, Feedforward, Hopfield
from crossdyad.models.cookbook import ROWS
from crossdyad.models.estimators.chains import Batches, Block, Chain
from crossdyad.models.functions import add, identity
from crossdyad.models.schedules import compiled, one_forward_one_backward, play
from crossdyad.models.solvers import relaxation

MICRO, SIZE, RATE = 400, 16, 0.1


def rule(row: int, **settings):
    """The estimator of a row of the cookbook, with settings of its own."""
    return replace(ROWS[row].estimator, settings=settings)


CHAIN = Chain((Equilibrium(64, 24, 16), Hopfield((16, 16, 12)), Feedforward((12, 10), output_activation=identity)))
ADJOINT = rule(1, solver=relaxation(30))
MIXTURE = (ADJOINT, rule(52, beta=0.1, solver=relaxation(30)), rule(29, directions=100))


@models.float64()
def main(path: str) -> None:
    digits = data.load("digits")
    x, labels = np.asarray(digits.x_train, float), np.asarray(digits.y_train)
    picked = np.random.default_rng(0).integers(0, len(x), (MICRO, SIZE))
    xs, ys = x[picked], np.eye(10)[labels[picked]]
    start = CHAIN.random_parameters(jax.random.key(0))
    descend = jax.jit(lambda p, g: add(p, g, -RATE / SIZE))
    events = one_forward_one_backward(3, MICRO)

    paper = Figure(figsize=(9, 3.6), layout="constrained")
    gantt, costs = paper.subplots(1, 2)
    for name, rules in (("rows 21, 52, 29", MIXTURE), ("row 21 everywhere", (ADJOINT,) * 3)):
        blocks = [compiled(Batches(Block(b, r))) for b, r in zip(CHAIN.blocks, rules, strict=True)]
        played = play(events, blocks, models.cross_entropy, start, xs, ys, descend, jax.random.key(1))
        used = [{e.sample: e.version for e in events if e.phase == "forward" and e.block == k} for k in range(3)]

        def cost(m, blocks=blocks, played=played, used=used):
            u = xs[m]
            for k, b in enumerate(blocks):
                u = b.forward(played.versions[k][used[k][m]], u)
            return float(models.cross_entropy(u, ys[m])) / SIZE

        each = np.array([cost(m) for m in range(MICRO)])
        costs.plot(np.convolve(each, np.ones(10) / 10, "valid"), label=name)
        print(f"{name}: cost {each[:20].mean():.3f} at first, {each[-20:].mean():.3f} in the end")
    costs.set(title="cost as it learns", xlabel="micro-batch", ylabel="cross-entropy, mean of 10")
    costs.legend(fontsize="small")

    for e in events:
        if e.tick < 24 and e.phase in ("forward", "backward"):
            gantt.barh(-e.block, 1, left=e.tick, color="C0" if e.phase == "forward" else "C1", edgecolor="white")
            gantt.text(e.tick + 0.5, -e.block, str(e.sample), ha="center", va="center", color="white", fontsize="small")
    gantt.set(
        title="1F1B: forward (blue), backward (orange)",
        xlabel="tick",
        yticks=[0, -1, -2],
        yticklabels=["equilibrium\nadjoint", "Hopfield\nnudges", "layer\nprobes"],
    )
    paper.savefig(path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("name a file for the figure: python examples/mixture.py FILE.svg")
    main(sys.argv[1])
