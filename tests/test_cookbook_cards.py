"""The cards of the cookbook: recounted by the rows in NumPy, on matrices that count; and what the paper says of them."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import by_hand
import by_hand_energies as energies
import by_hand_states as states
import jax
import numpy as np
import pytest
from scripts import benchmark
from typer.testing import CliRunner

from crossdyad import models
from crossdyad.cli import app
from crossdyad.cli.cookbook import catalog
from crossdyad.explore.cards import Card as ChipCard
from crossdyad.models import angles, cards, counting
from crossdyad.models.cookbook.standard import REFUSED, standard, trainable

SIZES = (6, 5, 5, 5, 3)


class Seen(Counter):
    """What matrices tell; where `kept` is a set, a product that is there already is not read again."""

    kept = None


class Matrix(np.ndarray):
    """Weights that tell a `Seen` each vector that is multiplied by them, but of zeros alone, and what is added to them."""

    def __array_finalize__(self, other):
        self.seen, self.kind, self.turned = (getattr(other, n, None) for n in ("seen", "kind", "turned"))

    @property
    def T(self):  # noqa: N802
        turned = self.transpose()
        turned.turned = not self.turned
        return turned

    def __array_ufunc__(self, ufunc, method, *given, **keywords):
        plain = [np.asarray(v) if isinstance(v, Matrix) else v for v in given]
        found = getattr(ufunc, method)(*plain, **keywords)
        if ufunc is np.matmul and np.any(plain[1]):
            product = (plain[0].tobytes(), plain[1].tobytes())
            if self.seen.kept is None or product not in self.seen.kept:
                self.seen[self.kind, "transposed" if self.turned else "forward"] += 1
            if self.seen.kept is not None:
                self.seen.kept.add(product)
        moved = ufunc in (np.add, np.subtract) and all(np.shape(v) == self.shape for v in plain)
        if moved and self.kind == "weights":
            self.seen["moved"] += self.size
            return counted(found, self.seen)
        return found


def counted(array, seen, kind="weights"):
    found = np.array(array).view(Matrix)
    found.seen, found.kind, found.turned = seen, kind, False
    return found


def fed(function, direct=False):
    def run(g, seen):
        settings = standard(24 if direct else 23, SIZES).settings["matrices"]
        return function(g, [counted(m, seen, "other") for m in settings])

    return run


def ep(**settings):
    return lambda g, seen: energies.contrast(energies.clipped(g), g.y, **{"sweeps": 12} | settings)


BY_HAND = {
    20: lambda g, seen: by_hand.backprop(g),
    23: fed(lambda g, m: by_hand.backprop(g, feedback=m)),
    24: fed(by_hand.direct, True),
    29: lambda g, seen: by_hand.spsa(g, 1),
    42: lambda g, seen: by_hand.goodness(g),
    51: ep(stencil="one-sided"),
    52: ep(),
    53: ep(stencil="four points"),
    57: lambda g, seen: states.dyads(g),
    59: ep(clamp=True, beta=0.25, stencil="one-sided"),
    64: lambda g, seen: energies.continual(g),
    87: lambda g, seen: states.dyads(g, odd_and_even=True, sweeps=8),
}
OVERWRITTEN = {59: 2 * 12}
"""Reads by hand whose result a clamp replaces, two phases of twelve sweeps: no array makes them, and no card counts them."""
ZERO = {87: 1}
"""Reads that a card counts of a vector that is still zero, which matrices by hand do not tell."""


@pytest.mark.parametrize("row", BY_HAND)
def test_reads_and_writes_are_those_of_the_row_by_hand(row, monkeypatch):
    seen = Seen()
    if row == 57:  # a drive is kept from the way up to the way down
        seen.kept = set()
    net = standard(row, SIZES)
    drawn = by_hand.draws
    monkeypatch.setattr(
        by_hand,
        "draws",
        lambda d, key, arrays: [seen.update({"random": np.size(v)}) or v for v in drawn(d, key, [np.asarray(a) for a in arrays])],
    )
    # no state of these is all zero, so that no read is left out
    w = [counted(np.abs(np.asarray(v)) / 4, seen) for v in net.circuit.random_parameters(jax.random.key(0))]
    BY_HAND[row](by_hand.Given(SIZES, w, np.linspace(0.5, 1, 6), np.eye(3)[0], jax.random.key(1)), seen)
    card = cards.card(row)
    assert card.forward == seen["weights", "forward"] - OVERWRITTEN.get(row, 0)
    assert card.transposed == seen["weights", "transposed"] + ZERO.get(row, 0)
    assert card.copies == seen["other", "forward"] + seen["other", "transposed"]
    weights = sum(v.size for v in w)
    if row != 64:  # its last weights are those of the update
        assert card.writes == weights + seen["moved"]
    if row != 42:  # its draw is a false label
        assert card.random == seen["random"]


def test_backprop_and_dyads_in_closed_form():
    for hidden in (1, 2, 4):
        layers, units = hidden + 1, 5
        found, rest, _ = cards.counted(20, hidden)
        assert sum(found.forward.values()) == layers and sum(found.transposed.values()) == layers - 1
        first = found.results[0]
        assert (first.ready - found.started[0], first.chain) == (2 * layers - 1, layers - 1)
        # of every hidden layer the state and the slope wait; those of the last for no tick: its error is there with the output
        assert found.derivatives == hidden * units and rest.longest() == 0
        assert found.longest() == 2 * layers - 2
        dyad, _, _ = cards.counted(57, hidden)
        assert dyad.derivatives == 0 and sum(dyad.transposed.values()) == layers - 1
        assert dyad.results[0].ready == first.ready


def test_probes_hold_no_state_and_draw_as_many_numbers_as_weights():
    card = cards.card(29)
    assert (card.forward, card.transposed, card.state_words, card.derivatives) == (8, 0, 0, 0)
    assert card.random == card.drawn == card.weight_words == 95 and card.writes == 3 * 95 and card.problems == ("forward lock",)


SOLVED = {
    23: "T",
    24: "TB",
    25: "T",
    26: "T",
    28: "T",
    29: "TMDBS",
    30: "TMBS",
    31: "TMDBS",
    34: "TMBS",
    35: "B",
    37: "BM",
    42: "TMBS",
    43: "BFS",
    51: "D",
    52: "D",
    54: "D",
    57: "D",
    59: "D",
    64: "SM",
    66: "D",
    67: "S",
    70: "TB",
    71: "T",
    72: "S",
    77: "D",
    87: "MS",
    88: "DS",
}
"""By row: what the paper says that it solves. Transport of circuits whose couplings work both ways is left out: an array reads them
in rows and in columns."""


@pytest.mark.parametrize("row", SOLVED)
def test_what_the_paper_says_is_solved_is_not_left(row):
    letters = dict(zip("TMDFBS", cards.PROBLEMS, strict=True))
    assert not {letters[s] for s in SOLVED[row]} & set(catalog()[row]["card"]["problems"])


def test_backprop_leaves_all_six():
    assert catalog()[20]["card"]["problems"] == list(cards.PROBLEMS)


@pytest.mark.parametrize("row", [20, 31, 57, 67, pytest.param(None, marks=pytest.mark.slow)])
def test_the_catalog_is_what_is_counted(row):
    kept = catalog()
    for n in sorted(kept) if row is None else [row]:
        assert kept[n] == json.loads(json.dumps(cards.entry(n)))


def test_every_row_is_in_the_catalog_as_it_is():
    kept = catalog()
    assert sorted(kept) == sorted(models.cookbook.ROWS)
    for n, entry in kept.items():
        assert json.loads(json.dumps(cards.described(n))) == {k: v for k, v in entry.items() if k not in ("card", "no card")}
        assert ("card" in entry) == (n in trainable() and n not in cards.UNCOUNTED) and entry.get("no card") in (
            None,
            cards.UNCOUNTED.get(n),
            REFUSED.get(n),
        )


# Counting ---------------------------------------------------------------------------------------------------------


def of(function, w=None, x=None):
    return counting.count(function, [np.ones((3, 4))] if w is None else w, np.ones(4) if x is None else x, np.ones(3))


def test_rows_columns_and_signs():
    found = of(lambda w, _, x, y, key: w[0].T @ (w[0] @ x))
    assert (found.forward[0], found.transposed[0], found.ticks) == (1, 1, 2)
    found = of(lambda w, _, x, y, key: np.where(1, 1, 1) * jax.numpy.where(w[0] < 0, -1.0, 1.0) @ x)
    assert (found.forward[0], found.signs[0]) == (0, 1)


def test_a_batch_of_vectors_is_as_many_reads():
    found = of(lambda w, _, x, y, key: jax.vmap(lambda v: w[0] @ v)(x), x=np.ones((7, 4)))
    assert (found.forward[0], found.ticks, found.messages) == (7, 7, 28)


def test_the_same_product_twice_is_read_once_but_in_a_loop():
    once = of(lambda w, _, x, y, key: w[0] @ x + w[0] @ x)
    loop = of(lambda w, _, x, y, key: jax.lax.fori_loop(0, 5, lambda _, s: s + w[0] @ x, y))
    assert (once.forward[0], loop.forward[0]) == (1, 5)


def test_what_is_not_used_is_not_counted():
    assert not of(lambda w, _, x, y, key: ((w[0] @ x).sum(), x)[1]).forward


def test_moved_weights_are_written_where_they_are_read():
    found = of(lambda w, _, x, y, key: ((w[0] + np.ones((3, 4)) * x) @ x, w[0] - 1.0))
    assert found.moved == 12 and found.forward[0] == 1


def test_a_number_of_the_targets_is_counted_where_it_multiplies_a_vector():
    found = of(lambda w, _, x, y, key: (y @ (w[0] @ x)) * x)
    assert found.scalars == 1
    assert of(lambda w, _, x, y, key: (y[:1] @ (w[0] @ x)[None, :1]) @ x[None]).scalars == 1
    assert of(lambda w, _, x, y, key: (w[0] @ x) * y).scalars == 0


def test_convolutions_are_told_apart_from_their_transposes():
    def apply(w, x):
        return jax.lax.conv_general_dilated(x[None], w, (1, 1), "SAME")[0]

    def both(w, _, x, y, key):
        out, back = jax.vjp(lambda x: apply(w[0], x), x)
        return back(out)[0]

    found = counting.count(both, [np.ones((2, 3, 3, 3))], np.ones((3, 4, 4)), kernels=True)
    assert (found.forward[0], found.transposed[0]) == (1, 1)


# The command --------------------------------------------------------------------------------------------------------


def test_the_list_is_there_without_jax_and_numpy():
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", "crossdyad", "cookbook"], capture_output=True, text=True)
    assert done.returncode == 0 and "Backprop" in done.stdout
    assert "jax" not in done.stderr and "numpy" not in done.stderr


def test_rows_without_what_a_substrate_lacks():
    def left(*words):
        given = [v for w in words for v in ("--without", w)]
        return {r["row"] for r in json.loads(CliRunner().invoke(app, ["cookbook", "--json", *given]).stdout)}

    assert {29, 31, 34, 35, 37, 42} <= left("transposed-reads", "stored-states") and 20 not in left("transposed-reads")
    one_array = left("transposed-reads", "stored-states", "other-matrices")
    assert one_array == {29, 30, 31, 42}  # what the paper calls forward-only
    assert left("transposed-reads", "stored-states", "other-matrices", "derivatives") == {29, 31}
    assert 57 in left("derivatives") and 20 not in left("derivatives")
    assert {57, 20} <= left("repeated-reads") and not {52, 32} & left("repeated-reads")
    assert not {29, 30, 31, 32} & left("broadcasts") and {20, 52, 57} <= left("broadcasts")
    assert 81 not in left("dense-systems") and {52, 57} <= left("dense-systems")


def test_words_that_are_not_there_are_refused():
    done = CliRunner().invoke(app, ["cookbook", "--without", "magic"])
    assert done.exit_code == 2 and "--without: magic unknown; allowed are transposed-reads" in done.stderr
    assert CliRunner().invoke(app, ["cookbook", "--cost", "--check", "20"]).exit_code == 2


def test_the_table_speaks_of_the_chips_card():
    done = CliRunner().invoke(app, ["cookbook", "20", "31", "57", "--cost"], env={"COLUMNS": "200"})
    assert done.exit_code == 0 and "fwd lock" in done.stdout and "Backprop" in done.stdout
    shared = set(cards.Card._fields) & set(ChipCard._fields)
    assert {"row", "rule", "oracle", "operations", "transport", "derivatives", "forward_lock", "backward_lock", "idle", "writes"} <= shared


@pytest.mark.parametrize("row", [20, 23, *(pytest.param(r, marks=pytest.mark.slow) for r in (31, 52, 57, 71))])
def test_the_angles_are_what_is_measured(row):
    kept, found = json.loads(angles.FILE.read_text())[str(row)], angles.measured(row)
    assert found["angle"] == pytest.approx(kept["angle"], abs=0.05) and found["scatter"] == pytest.approx(kept["scatter"], rel=0.02)


def test_every_row_with_a_card_has_an_angle_or_a_reason():
    assert {int(n) for n in json.loads(angles.FILE.read_text())} | set(angles.NONE) == {n for n, e in catalog().items() if "card" in e}


def test_the_page_on_substrates_is_what_the_cards_say():
    root = Path(cards.__file__).resolve().parent.parent
    assert benchmark("substrates").page() == (root / "docs" / "substrates.md").read_text()


def test_the_page_on_rows_has_the_passes_of_the_cards_and_calls_same_what_is_alike_in_every_epoch():
    rows = benchmark("rows")
    page = (Path(cards.__file__).resolve().parent.parent / "docs" / "rows.md").read_text().split("\n## ")[0]
    told = {
        int(line.split(" | ")[0][2:]): line.split(" | ")[4]
        for line in page.splitlines()
        if re.match(r"\| \d+ \|.* \|.* \|.* \|.* \|", line)
    }
    assert told == {n: str(rows.passes(n)) for n in trainable()}
    assert (rows.passes(29), rows.passes(29, 1), rows.passes(20), rows.passes(52)) == (32, 2, 1, 36)
    runs = {1: [[9.0, 8.0]], 2: [[9.0, 7.0]], 3: [[9.0, 8.0]], 4: [], 5: []}
    assert rows.groups({n: {"accuracies": a} for n, a in runs.items()}) == [[1, 3]]
