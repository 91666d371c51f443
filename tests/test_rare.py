"""What chance does not meet: words at a limit, counters near their end, constants that only one twin has."""

import math
from fractions import Fraction

import counters
import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from crossdyad import emulator
from crossdyad.emulator import crossbar, crossbar_clocked, fixed, rng, training
from crossdyad.hdl import rng as hardware
from crossdyad.recipe import geometries, load
from crossdyad.sim import crossbar as engines
from crossdyad.sim import variety


@pytest.mark.parametrize("shift", [1, 3, 15, 16, 17, 20, 31])
def test_a_rounding_word_counts_to_its_last_bit(shift):
    """Both ways of the emulator, at the least word that rounds up and the largest that does not."""
    draw = np.random.default_rng(shift)
    values, m = draw.integers(-(1 << 40), 1 << 40, 300), min(shift, 16)
    below = [Fraction(int(v), 1 << shift) - (int(v) >> shift) for v in values]
    least = [max(0, math.ceil((1 - b) * (1 << m))) for b in below]  # of the top m bits, the first with which floor(v + word) is up
    for n, up in enumerate(least):
        for top in {up, up - 1} & set(range(1 << m)):
            word = top << 16 - m | int(draw.integers(0, 1 << 16 - m))
            expected = math.floor(Fraction(int(values[n]), 1 << shift) + Fraction(top, 1 << m))
            assert fixed.round_exact(int(values[n]), shift, "stochastic", word) == expected
            assert fixed.requantize(values[n : n + 1], shift, 50, "stochastic", "saturate", np.array([word]))[0][0] == expected


def contract_view(x, y, lane):
    return ((x >> (lane + 1 >> 1)) ^ (y >> (8 - (lane >> 1)))) & 0xFFFFFF


def test_words_and_signs_have_all_their_bits():
    """Of every lane view, on both sides, against the contract's formula."""
    draw = np.random.default_rng(1)
    pairs = draw.integers(0, 1 << 32, (200, 2)).tolist()
    m, x, y = Module(), hardware.Signal(32), hardware.Signal(32)
    seen = []

    async def bench(context):
        for a, b in pairs:
            context.set(x, a)
            context.set(y, b)
            seen.append([(context.get(hardware.rounding_word(x, y, i)), context.get(hardware.negative(x, y, i))) for i in range(16)])

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    for (a, b), views in zip(pairs, seen, strict=True):
        for lane, (word, negative) in enumerate(views):
            bits = contract_view(a, b, lane)
            assert (word, negative) == (bits >> 8, bits & 1)
            assert rng.view_exact(a, b, lane) == (bits >> 8, -1 if bits & 1 else 1)
            assert int(rng.rounding_word(rng.lane_view(np.uint32(a), np.uint32(b), lane))) == bits >> 8


def test_a_cell_is_stuck_below_the_limit_and_not_at_it():
    chip = engines.stuck_at_the_limit()
    words, key = engines.stuck_words(chip), tuple(map(np.uint32, chip.key))
    assert chip.stuck_limit in words.values()
    for limit in (chip.stuck_limit, chip.stuck_limit + 1, 0, 1, 65535, 65536):
        r = chip.model_copy(update={"devices": chip.devices.model_copy(update={"stuck": limit / 65536})})
        g = geometries(r)[0]
        stuck = crossbar.stuck(g, key, np.zeros(1))
        block = crossbar_clocked.Clocked(r, 0)
        for (t, j), word in words.items():
            here = bool(stuck[t, j]) if stuck is not None else False
            assert here == block._is_stuck(g, t * g.F + j // g.L, j % g.L) == (word < limit), (t, j, word, limit)


@pytest.mark.parametrize("name", ["alpha-half", "noisy"])
def test_counters_have_their_widths(name):
    """Preloaded just below their ends, all of them wrap there and nowhere else, and the random words follow."""
    assert not counters.faults_of(variety.named(name), ahead=2)


def test_initial_weights_are_the_words_of_their_stream():
    r = load("xor")
    for k, w in enumerate(emulator.initial_weights(r)):
        rows, columns = w.shape
        for t in range(rows):
            for j in range(columns):
                x, _ = rng.pair_exact(r.key, 0xC0 + k, 0, t * columns + j)
                uniform = (x + 0.5) / 2**31 - 1  # variance 1/3: times 6 / C it is 2 / C
                expected = math.floor(uniform * math.sqrt(6 / columns) * 2**r.formats.weight.frac + 0.5)
                assert w[t, j] == min(max(expected, r.formats.weight.min), r.formats.weight.max)


def test_the_order_of_samples_is_that_of_their_words():
    r = load("xor")
    words = [rng.pair_exact(r.key, 0xFF, 3, n) for n in range(50)]
    assert training.order(r, 3, 50).tolist() == sorted(range(50), key=words.__getitem__)
