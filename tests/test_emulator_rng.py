"""The counter-based generator: what section 2 of the contract claims, and statistics at stated levels.

Every statistical test rejects a perfect generator with probability below 1e-6; keys and counters are fixed, so a pass
stays a pass.
"""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from crossdyad import emulator
from crossdyad.emulator import rng
from crossdyad.emulator.devices import Array, Device, Generic, Spread, compiled, draws
from crossdyad.recipe import load, seeds

LEVEL = 1e-6
KEY = (np.uint32(0x12345678), np.uint32(0x9ABCDEF0))


def rank(rows: list[int]) -> int:
    """Rank over GF(2) of rows given as bit masks."""
    pivots: list[int] = []
    for row in rows:
        for pivot in pivots:
            row = min(row, row ^ pivot)
        if row:
            pivots.append(row)
    return len(pivots)


def view_rows(lane: int, bits=range(24)) -> list[int]:
    """Bits of a lane view as linear functions of the 64 bits of a pair, found by probing each bit."""
    rows = dict.fromkeys(bits, 0)
    for position in range(64):
        x, y = np.uint32((1 << position) & 0xFFFFFFFF), np.uint32((1 << position) >> 32)
        value = int(rng.lane_view(np.asarray(x), np.asarray(y), lane))
        for bit in rows:
            rows[bit] |= (value >> bit & 1) << position
    return list(rows.values())


def test_lane_views_are_linear():
    words = np.random.default_rng(0).integers(0, 1 << 32, (4, 1000), dtype=np.uint32)
    for lane in range(16):
        apart = rng.lane_view(words[0], words[1], lane) ^ rng.lane_view(words[2], words[3], lane)
        assert (rng.lane_view(words[0] ^ words[2], words[1] ^ words[3], lane) == apart).all()


def test_signs_are_jointly_independent():
    assert rank([view_rows(lane, [0])[0] for lane in range(16)]) == 16


def test_two_views_are_jointly_uniform():
    views = [view_rows(lane) for lane in range(16)]
    assert all(rank(a + b) == 48 for a, b in itertools.combinations(views, 2))


def test_pair_is_a_permutation():
    """For a fixed key the pair determines (stream, index, step): nothing collides."""
    step, index = np.meshgrid(np.arange(256, dtype=np.uint32), np.arange(1024, dtype=np.uint32))
    x, y = rng.pair(KEY, 3, step, index)
    assert len(np.unique(x.astype(np.uint64) << np.uint64(32) | y)) == step.size


def test_words_are_uniform():
    x, y = rng.pair(KEY, 0, np.uint32(5), np.arange(1 << 16, dtype=np.uint32))
    for word in (x, y):
        for shift in (0, 8, 16, 24):
            counts = np.bincount((word >> np.uint32(shift)) & np.uint32(255), minlength=256)
            assert stats.chisquare(counts).pvalue > LEVEL


def test_rounding_words_are_uniform_over_steps():
    steps = np.arange(1 << 16, dtype=np.uint32)
    for lane in (0, 7, 15):
        word = rng.rounding_word(rng.lane_view(*rng.pair(KEY, 1, steps, np.uint32(77)), lane))
        assert stats.chisquare(np.bincount(word >> 8, minlength=256)).pvalue > LEVEL
        assert stats.kstest((word + 0.5) / 65536, "uniform").pvalue > LEVEL


@pytest.mark.parametrize("axis", ["index", "step"])
def test_neighbours_are_independent(axis):
    """Serial test: high bytes of neighbours in index and in step fill the square evenly."""
    n = np.arange(1 << 17, dtype=np.uint32)
    x, y = rng.pair(KEY, 2, n if axis == "step" else np.uint32(1), n if axis == "index" else np.uint32(1))
    for word in (x, y):
        high = (word >> np.uint32(28)).astype(int)
        counts = np.bincount(high[:-1] * 16 + high[1:], minlength=256)
        assert stats.chisquare(counts).pvalue > LEVEL


@pytest.mark.parametrize("argument", ["index", "step", "key0", "key1"])
def test_avalanche(argument):
    """Flipping one input bit flips every output bit about half of the time."""
    generator = np.random.default_rng(4)
    count = 20000
    given = {
        name: generator.integers(0, 1 << (24 if name == "index" else 32), count, dtype=np.uint32)
        for name in ("index", "step", "key0", "key1")
    }

    def words(g):
        return np.stack(rng.pair((g["key0"], g["key1"]), 0, g["step"], g["index"]))

    before = words(given)
    for bit in range(24 if argument == "index" else 32):
        after = words(given | {argument: given[argument] ^ np.uint32(1 << bit)})
        flips = ((before ^ after)[..., None] >> np.arange(32, dtype=np.uint32) & np.uint32(1)).mean(axis=1)
        # 64 outputs x 32 inputs x 4 arguments; the generator is small, so its worst bit is allowed a bias of 5 %
        assert abs(flips - 0.5).max() < 0.05, bit


# Known answers ----------------------------------------------------------------------------------------------

CONTRACT = (Path(__file__).parents[1] / "docs" / "contract.md").read_text()
WORD, LONG = (1 << 32) - 1, (1 << 64) - 1


def mixed(seed):
    """Section 2, written from its text."""
    z = (seed + 0x9E3779B97F4A7C15) & LONG
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & LONG
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & LONG
    return z ^ (z >> 31)


def oracle(seed, stream, step, index):
    """Section 2, written from its text."""
    k1, k0 = divmod(mixed(seed), 1 << 32)
    x, y = ((stream << 24) + index) ^ k0, step ^ k1
    for i in range(1, 9):
        x = (((x >> 8) + ((x & 0xFF) << 24) + y) & WORD) ^ (0x9E3779B9 * i & WORD) ^ (k1 if i % 2 else k0)
        y = ((y << 3 & WORD) + (y >> 29)) ^ x
    return x, y


def answers(columns: int) -> list[list[int]]:
    """The rows of the contract's table of so many hexadecimal columns."""
    row = r"\| " + r" \| ".join([r"`([0-9A-F]+)`"] * columns) + r" \|\n"
    return [[int(v, 16) for v in found] for found in re.findall("^" + row, CONTRACT, re.MULTILINE)]


def test_the_mixer_gives_the_published_numbers():
    """Vigna's splitmix64.c: first output from state 0, and from 1234567."""
    assert seeds.mixed(0) == 0xE220A8397B1DCDAF and seeds.mixed(1234567) == 6457827717110365317


def test_seeds_give_the_contract_s_known_answers():
    assert len(answers(4)) == 5
    for seed, whole, layer, chip in answers(4):
        assert seeds.mixed(seed) == mixed(seed) == whole
        assert seeds.derived(seed, seeds.LAYER, 1) == mixed((whole + (1 << 32) + 1) & LONG) == layer
        assert seeds.derived(seed, seeds.CHIP, 1) == mixed((whole + (2 << 32) + 1) & LONG) == chip
        assert seeds.several(seed, 2) == [seed, chip]


def test_pairs_give_the_contract_s_known_answers():
    assert len(answers(6)) == 10
    for seed, stream, step, index, *words in answers(6):
        key = load("digits").model_copy(update={"seed": seed}).key
        made = draws.streamed(rng.keys(seed), stream), np.array([step], np.uint32), np.array([index & ~0xFF], np.uint32)
        assert oracle(seed, stream, step, index) == tuple(words)
        assert rng.pair_exact(key, stream, step, index) == tuple(words)
        assert rng.pair(rng.keys(seed), stream, np.uint32(step), np.uint32(index)) == tuple(words)
        assert compiled.pairs(*made, 256)[0, 0, :, index & 0xFF].tolist() == words


def test_pairs_are_the_oracle_s():
    draw = np.random.default_rng(6)
    several = [int(s) for s in draw.integers(0, LONG, 40, dtype=np.uint64)]
    index, step = draw.integers(0, 1 << 24, 40, dtype=np.uint32), draw.integers(0, 1 << 32, 40, dtype=np.uint32)
    for stream in (0, 0x47, 0xA0, 0xFF):
        x, y = rng.pair(rng.keys(several), stream, step, index)
        for given in zip(x, y, several, step, index, strict=True):
            found, seed, s, i = tuple(map(int, given[:2])), *map(int, given[2:])
            assert found == oracle(seed, stream, s, i) == rng.pair_exact(seeds.key(seed), stream, s, i)


@pytest.mark.parametrize("seed", [-1, 1 << 64, 0.5, True, "one"])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(ValueError, match="every seed must be an integer from 0 to"):
        rng.keys(seed)


# Independence across seeds, streams, steps and layers -------------------------------------------------------

SEEDS = sorted({*range(64), *(1 << b for b in range(6, 64)), *(v << 40 for v in range(1, 17)), *((1 << 64) - 1 - v for v in range(16))})
"""Seeds that people choose, bits far apart, and what an exclusive or with a layer's number would make of seed 0."""


def table(seeds=SEEDS, streams=(0,), steps=(0,), count=256) -> np.ndarray:
    """Words x and y as one: uint64 (seeds, streams, steps, count)."""
    key = tuple(k[:, None, None] for k in rng.keys(seeds))
    made = [rng.pair(key, s, np.array(steps, np.uint32)[:, None], np.arange(count, dtype=np.uint32)) for s in streams]
    return np.stack([x.astype(np.uint64) << np.uint64(32) | y for x, y in made], axis=1)


def test_no_two_seeds_draw_one_pair():
    """2**20 words of 64 bits: by chance two are alike once in 2**25 times. A permuted copy has all of them alike."""
    made = table(streams=(0, 0xA0), steps=range(16))
    assert len(np.unique(made)) == made.size


def independent(rows):
    """Rows of uniform numbers correlate as by chance: the largest of all correlations, and their chi-square."""
    rows = np.asarray(rows, np.float64) - np.mean(rows, axis=1, keepdims=True)
    r = np.corrcoef(rows)[np.triu_indices(len(rows), 1)] * np.sqrt(rows.shape[1])
    assert 2 * stats.norm.sf(abs(r).max()) * r.size > LEVEL
    assert LEVEL < stats.chi2.sf(np.sum(r**2), r.size) < 1 - LEVEL


@pytest.mark.parametrize("word", [0, 1, 2], ids=["high", "low", "spectrum"])
def test_seeds_do_not_correlate(word):
    """Also of the Walsh spectra: an exclusive or of the index changes only signs there, which squares do not see."""
    made = table(count=1024)[:, 0, 0]
    values = (made >> np.uint64(32) if word == 0 else made & np.uint64(WORD)) * 2.0**-32 - 0.5
    if word == 2:
        shape = values.shape
        for bit in range(10):
            a = values.reshape(shape[0], -1, 2, 1 << bit)
            values = np.stack([a[:, :, 0] + a[:, :, 1], a[:, :, 0] - a[:, :, 1]], axis=2).reshape(shape)
        values = np.square(values[:, 1:])
    independent(values)


def test_streams_steps_and_layers_do_not_correlate():
    independent((table([0], range(0, 256, 4), range(4), 1024) * 2.0**-64).reshape(-1, 1024))
    layers = [seeds.derived(s, purpose, n) for s in range(8) for purpose in (seeds.LAYER, seeds.CHIP) for n in range(8)]
    independent(table(layers + SEEDS, count=1024)[:, 0, 0] * 2.0**-64)
    assert len(np.unique(table(layers + SEEDS, steps=range(8)))) == (len(layers) + len(SEEDS)) * 8 * 256


@pytest.mark.parametrize("count", [64, 256, 4096])
def test_sums_over_the_cells_vary_from_seed_to_seed(count):
    """A sum over all cells is the same for permuted copies, whatever the seed."""
    normal = np.array([draws.normal(draws.key(s), draws.PROGRAMMING, 0, count).sum() for s in range(64)]) / np.sqrt(count)
    assert LEVEL < stats.chi2.sf(np.sum(normal**2), 64) < 1 - LEVEL


@pytest.mark.parametrize("bits", [(0,), (0, 1), (0, 3), (5, 8), (0, 1, 2, 3)])
def test_one_cell_over_seeds_is_uniform(bits):
    """4096 seeds in a row: one cell's words, and exclusive ors of those of cells that differ where the seeds do."""
    made = table(range(4096), count=16)[:, 0, 0]
    for value in (made[:, 5], np.bitwise_xor.reduce([made[:, 1 << b if b < 4 else b] for b in bits], axis=0)):
        for shift in (0, 8, 24, 32, 40, 56):
            assert stats.chisquare(np.bincount((value >> np.uint64(shift) & np.uint64(255)).astype(int), minlength=256)).pvalue > LEVEL


def test_neighbouring_seeds_differ_in_half_of_the_bits():
    made = table(range(1024), count=64)[:, 0, 0]
    for apart in (1, 2, 3, 7, 256):
        flips = np.bitwise_count(made[apart:] ^ made[:-apart])
        assert stats.binomtest(int(flips.sum()), 64 * flips.size).pvalue > LEVEL
        assert LEVEL < stats.chi2.sf(np.sum((flips - 32.0) ** 2) / 16, flips.size) < 1 - LEVEL
    for bit in range(64):  # of the seed: every bit of the words flips half of the time
        start = np.random.default_rng(bit).integers(0, LONG, 400, dtype=np.uint64)
        flips = table(start, count=1) ^ table(start ^ np.uint64(1 << bit), count=1)
        share = (flips.ravel()[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).mean(0)
        assert abs(share - 0.5).max() < 0.5 * stats.norm.isf(LEVEL / 64**2 / 2) / 20


def test_initial_weights_of_chips_are_independent():
    r = load("digits")
    w = emulator.initial_weights(r, range(64))
    independent(w[0].reshape(64, -1))
    # the mean weight of a layer varies from chip to chip as its number of weights says
    for layer in w:
        z = layer.mean((1, 2)) / (layer.std() / np.sqrt(layer[0].size))
        assert LEVEL < stats.chi2.sf(np.sum(z**2), 64) < 1 - LEVEL


def test_weight_errors_of_arrays_differ_between_seeds():
    """Their mean square over 4096 cells varies as that of independent ones: by sqrt(2 / 4096), where copies have none."""
    device = Device(programming=Generic(0.05), spread=Spread(0.1))
    errors = [np.mean(Array(np.zeros((64, 64)), device, seed=s, scale=1.0).effective ** 2) for s in range(64)]
    assert len(set(errors)) == 64
    assert 0.6 < np.std(errors) / np.mean(errors) / np.sqrt(2 / 4096) < 1.8


def test_arrays_of_layers_share_nothing():
    """Noise of the same read of the same vectors in two layers, and in one layer of two chips, is independent."""
    made = [
        draws.Reads(draws.streamed(draws.key(seeds.derived(s, seeds.LAYER, n)), draws.READ), np.arange(64, dtype=np.uint32), 0)
        .noise(16)
        .ravel()
        for s in range(6)
        for n in range(4)
    ]
    independent(made)
    assert len({np.sort(m).tobytes() for m in made}) == len(made)


def test_streams_and_seeds_differ():
    index = np.arange(4096, dtype=np.uint32)
    words = [
        rng.pair((np.uint32(a), np.uint32(b)), stream, np.uint32(0), index)[0]
        for a, b, stream in [(1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1), (1, 0, 0x80)]
    ]
    for a, b in itertools.combinations(words, 2):
        apart = np.bitwise_count(a ^ b).sum()
        assert stats.binomtest(int(apart), 32 * len(index)).pvalue > LEVEL


def test_trace_equals_transaction():
    generator = np.random.default_rng(5)
    index = generator.integers(0, 1 << 24, 300)
    step = generator.integers(0, 1 << 32, 300)
    for stream in (0, 5, 0x83):
        ports = rng.trace((0xDEADBEEF, 0x01234567), stream, {"index": index, "step": step})
        x, y = rng.pair((np.uint32(0xDEADBEEF), np.uint32(0x01234567)), stream, step.astype(np.uint32), index.astype(np.uint32))
        assert (ports["x"][8:] == x[:-8]).all() and (ports["y"][8:] == y[:-8]).all()
