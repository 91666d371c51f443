"""Converters against their definition on integers, and their counters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdyad.emulator.devices import Array, Circuit, DeviceWarning, InputConverter, Mapping, OutputConverter


@given(bits=st.integers(2, 12), data=st.data())
def test_input_slices_add_up_to_the_code(bits, data):
    converter = InputConverter(bits, slice_bits=data.draw(st.integers(1, bits - 1)))
    codes = np.arange(-converter.limit, converter.limit + 1)
    assert (sum(weight * x for weight, x in converter.slices(codes)) == codes).all()
    assert all(np.abs(x).max() <= converter.slice_limit for _, x in converter.slices(codes))


@given(bits=st.integers(2, 10), kind=st.sampled_from(["differential", "offset"]), data=st.data(), seed=st.integers(0, 1000))
def test_weight_slices_add_up_to_the_levels(bits, kind, data, seed):
    mapping = Mapping(bits, kind)
    mapping = Mapping(bits, kind, data.draw(st.integers(1, mapping.stored_bits)))
    levels, _ = mapping.levels(np.random.default_rng(seed).normal(size=(5, 4)))
    slices = mapping.slices(levels)
    assert (sum(s.significance * s.digits for s in slices) == levels).all()
    assert all(0 <= plane.min() and plane.max() <= s.top for s in slices for plane in (s.plus, s.minus))


def test_input_converter_counts_what_it_clips():
    codes, clipped = InputConverter(8, full_scale=2.0).encode([-2.0, 2.0, 2.1, 0.0, -9.0])
    assert codes.tolist() == [-127, 127, 127, 0, -127] and clipped == 2


def test_six_bits_over_784_rows_cannot_use_four_codes_unnoticed():
    draw = np.random.default_rng(0)
    weights, x = draw.normal(size=(16, 784)), draw.uniform(-1, 1, (100, 784))
    wide = Array(weights, circuit=Circuit(output=OutputConverter(6, full_scale=784 * 127 * 127)))
    with pytest.warns(DeviceWarning, match="of 64 codes .less than a quarter.: narrow the output range"):
        wide(x)
    with pytest.warns(DeviceWarning):
        assert wide.report().usage["forward"].span < 0.25
    fitted = Array(weights, circuit=Circuit(output=OutputConverter(6)))
    fitted.calibrate(fitted.encode(x))
    fitted(x)
    report = fitted.report()
    assert report.usage["forward"].span > 0.9 and not report.complaints


def test_clipped_reads_are_counted_and_reported():
    draw = np.random.default_rng(0)
    weights, x = draw.normal(size=(16, 64)), draw.integers(-127, 128, (200, 64))
    narrow = Array(weights, circuit=Circuit(output=OutputConverter(8, full_scale=20_000)))
    with pytest.warns(DeviceWarning, match="reads clipped .* widen the output range"):
        narrow.read(x)
    exact = x @ narrow.levels.T
    lsb = narrow.forward.level_lsb[0]
    codes = (2 * exact + lsb) // (2 * lsb)
    assert narrow.report().usage["forward"].clipped == np.count_nonzero((codes < -128) | (codes > 127))


def test_few_reads_that_clip_are_told_at_once():
    array = Array(np.ones((4, 64)), circuit=Circuit(output=OutputConverter(8, full_scale=20_000)))
    with pytest.warns(DeviceWarning, match="16 of 16 reads clipped"):
        array.read(np.full((4, 64), 127))


def test_calibration_clips_no_more_than_allowed():
    draw = np.random.default_rng(1)
    weights, x = draw.normal(size=(64, 100)), draw.integers(-127, 128, (1000, 100))
    for share in (0.0, 1e-3, 1e-2):
        array = Array(weights).calibrate(x, clipped_share=share)
        array.read(x)
        assert array.forward.usage.share_clipped <= share + 1e-5


def test_gain_and_offset_spread_have_their_size():
    draw = np.random.default_rng(2)
    weights = draw.normal(size=(4000, 8))
    array = Array(weights, circuit=Circuit(output=OutputConverter(8, 1e5, gain_spread=0.02, offset_spread=3.0)))
    ideal = Array(weights, circuit=Circuit(output=OutputConverter(8, 1e5)))
    shift = array.read(np.zeros((1, 8), int))[0]
    assert abs(shift.std() - 3) < 0.15 and abs(shift.mean()) < 0.2
    assert (ideal.read(np.zeros((1, 8), int)) == 0).all()
    gain = array.forward._products[0].conversion.lsb / array.forward._products[0].lsb
    assert abs(gain.std() - 0.02) < 1e-3 and abs(gain.mean() - 1) < 1e-3


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: InputConverter(bits=1), "bits = 1; allowed are 2 to 12"),
        (lambda: InputConverter(full_scale=0), "full_scale = 0; it must be positive"),
        (lambda: InputConverter(slice_bits=8), "slice_bits = 8; allowed are 1 to 7"),
        (lambda: OutputConverter(full_scale="max"), "allowed is a positive number or 'calibrated'"),
        (lambda: OutputConverter(gain_spread=-1), "cannot be negative"),
        (lambda: Mapping(kind="balanced"), "allowed are 'differential', 'offset'"),
        (lambda: Array([[1.0]]).read(np.array([[0.5]])), "expected integers, got float64"),
        (lambda: Array([[1.0]]).read(np.array([[128]])), "do not fit 8 bits; allowed is -127 to 127"),
        (lambda: Array([[1.0]]).read(np.array([[1, 2]])), "array has 1 inputs"),
        (lambda: Array([[1.0]]).read(np.array([[1]])), "output range is not set; call array.calibrate"),
        (lambda: Array([[np.nan]]), "every weight must be finite"),
        (lambda: Array([[1.0]])([[np.inf]]), "every input must be finite"),
    ],
)
def test_bad_input_is_named_with_its_remedy(make, message):
    with pytest.raises(ValueError, match=message):
        make()
