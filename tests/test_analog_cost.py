"""Cost of analog arrays: against counts by hand of a publication's own unit, and how it moves with each choice of a design."""

import pytest

from crossdyad.explore import analog, energy
from crossdyad.explore import spec as specs
from crossdyad.explore.jobs import Job, batches, evaluate
from crossdyad.explore.sweep import settings_of
from crossdyad.recipe import Recipe, load


def recipe(sizes=(128, 128), rule="inference", width=9, **arrays):
    given = {"on": True, "output_bits": 8, "lines": 128, "cell_bits": 2, "input_slice": 1, "sharing": 128} | arrays
    table = {
        "name": "a",
        "sizes": sizes,
        "lanes": (16,) * (len(sizes) - 1),
        "rule": rule,
        "arrays": given,
        "formats": {"weight": {"width": width, "frac": 6}, "state": {"width": 9, "frac": 6}},
    }
    return Recipe.model_validate(table)


def test_eight_arrays_are_the_published_unit():
    """Pairs of 4 slices of 128 x 128 weights are its 8 arrays; 8 input bits are 8 of its cycles of 100 ns."""
    found = analog.estimate(recipe())
    # drivers and converters: pairs share lines and are subtracted before conversion, so half of the unit's
    milliwatts = 2.4 + (4 + 16 + 0.01 + 0.2) / 2
    assert found.nanojoules == pytest.approx(milliwatts * 1e-3 * 8 * 100e-9 * 1e9)
    assert found.area == pytest.approx(0.0002 + (0.00017 + 0.0096 + 0.00004 + 0.00024) / 2)
    assert found.microseconds == pytest.approx(0.8) and found.model == analog.MODEL


def test_cost_follows_every_choice_of_the_design():
    plain = analog.estimate(recipe())
    wider = analog.estimate(recipe(output_bits=9))
    converters = 8 * 128 * 4 * 16e-3 / (8 * 1.28e9) * 1e9
    assert wider.nanojoules - plain.nanojoules == pytest.approx(converters)  # twice as much for a bit more
    assert "9-bit converters by Walden's law" in wider.model
    alone = analog.estimate(recipe(sharing=1))
    assert alone.area - plain.area == pytest.approx((512 - 4) * 0.0012) and alone.nanojoules == plain.nanojoules
    assert analog.estimate(recipe(sharing=1280)).microseconds == pytest.approx(8)  # 1280 conversions a read
    halves = analog.estimate(recipe(lines=64))
    assert halves.nanojoules - plain.nanojoules == pytest.approx(  # every output twice, every line twice
        8 * 1e9 * (512 * (16e-3 / 10.24e9 + 0.21e-3 * 100e-9 / 1024) + 512 * 4e-3 * 100e-9 / 1024)
    )
    whole = analog.estimate(recipe(cell_bits=0))
    assert whole.nanojoules == pytest.approx(plain.nanojoules / 4)
    once = analog.estimate(recipe(input_slice=0))
    assert once.nanojoules == pytest.approx(plain.nanojoules / 8) and "several bits counted as of one" in once.model
    assert analog.parts(recipe(mapping="offset", cell_bits=3), 300, 200) == (3 * (300 * 200 + 2 * 300), 3 * 300 * 2, 3 * 200 * 3)
    assert analog.parts(recipe(mapping="offset", cell_bits=3), 200, 300, True) == (3 * (200 * 300 + 2 * 300), 3 * 202 * 3, 3 * 300 * 2)


def test_a_training_step_counts_reads_both_ways():
    r = recipe((64, 32, 10), "dual-propagation", sharing=1)
    reads = [i for i in analog._instructions(r) if i.op.name in ("FORWARD", "TRANSPOSED")]
    assert analog.estimate(r).microseconds == pytest.approx(sum(0.1 * 8 for _ in reads))
    assert {i.op.name for i in reads} == {"FORWARD", "TRANSPOSED"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"on": False, "output_bits": 0, "lines": 256, "cell_bits": 0, "input_slice": 0, "sharing": 1},
            "not those of arrays; say arrays.on = true",
        ),
        ({"output_bits": 0}, "exact sums; a converter that makes them is not known"),
    ],
)
def test_what_is_not_known_is_refused(given, told):
    with pytest.raises(ValueError, match=told):
        energy.of(recipe(**given), "arrays")


def test_a_sweep_has_the_arrays_cost_beside_the_chip_s():
    xor = load("xor")
    on = xor.model_copy(update={"arrays": xor.arrays.model_copy(update={"on": True, "output_bits": 6})})
    spec = specs.Spec(name="x", axes={"beta": [1]}, metrics=["lut", "energy", "array_area", "array_latency"], energy="arrays")
    value = evaluate(batches([Job(on, 1)], 1)[0], settings_of(spec))[0]
    found = analog.estimate(on)
    assert (value["energy"], value["array_area"], value["array_latency"]) == (found.nanojoules, found.area, found.microseconds)
    assert value["lut"] > 0 and value["energy_model"] == found.model
    plain = evaluate(batches([Job(xor, 1)], 1)[0], settings_of(spec)._replace(energy="digital"))[0]
    assert plain["array_area"] is None and plain["energy"] > 0
