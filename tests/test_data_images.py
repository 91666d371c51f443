"""Data that are images: CIFAR-10's records, whole or not, and samples as rows, columns and channels."""

import gzip

import numpy as np
import pytest

from crossdyad import data
from crossdyad.data import DataError


def test_records_of_cifar(tmp_path):
    records = np.random.default_rng(1).integers(0, 256, (6, 3073), dtype=np.uint8)
    records[:, 0] = [0, 1, 2, 0, 1, 2]
    for name, part in (("data_batch_1.bin", records[:2]), ("data_batch_2.bin", records[2:4]), ("test_batch.bin", records[4:])):
        (tmp_path / name).write_bytes(part.tobytes())
    d = data.load(tmp_path)
    assert np.array_equal(d.x_train, records[:4, 1:] / 255) and d.y_test.tolist() == [1, 2]
    images = data.as_images(d)
    assert images.x_train.shape == (4, 32, 32, 3) and images.x_test.shape == (2, 32, 32, 3)
    assert images.x_train[1, 2, 5, 2] == records[1, 1 + 2 * 1024 + 2 * 32 + 5] / 255  # row 2, column 5, blue


@pytest.mark.parametrize(
    "name, spoil, told",
    [
        ("test_batch.bin", lambda b: b[:-5], "3068 bytes, no whole number of records"),
        ("data_batch_2.bin", lambda b: b[:-5], "damaged, get it again"),
        ("data_batch_2.bin", lambda b: b"", "0 bytes"),
        ("data_batch_2.bin.gz", lambda b: gzip.compress(b)[:-9], "damaged, get it again"),
        ("data_batch_2.bin", lambda b: bytes([77]) + b[1:], "class 77 in record 1; CIFAR-10 has 0 to 9"),
    ],
)
def test_records_of_cifar_that_are_half_there_are_told_and_packed_ones_are_read(tmp_path, name, spoil, told):
    record = bytes(3072)
    (tmp_path / "data_batch_1.bin").write_bytes(b"\0" + record + b"\1" + record)
    (tmp_path / "data_batch_2.bin.gz").write_bytes(gzip.compress(b"\2" + record))
    (tmp_path / "test_batch.bin.gz").write_bytes(gzip.compress(b"\2" + record))
    d = data.load(tmp_path)
    assert d.y_train.tolist() == [0, 1, 2] and d.y_test.tolist() == [2]
    (tmp_path / name).write_bytes(spoil(b"\2" + record))
    with pytest.raises(DataError, match=f"{name}: .*{told}"):
        data.load(tmp_path)


def test_samples_as_images(tmp_path):
    digits = data.as_images(data.load("digits"))
    assert digits.x_train.shape == (1437, 8, 8, 1) and digits.x_train[3, 1, 2, 0] == data.load("digits").x_train[3, 10]
    x = np.arange(10 * 24, dtype=np.uint8).reshape(10, 4, 2, 3)
    np.savez(tmp_path / "colours.npz", x=x, y=np.arange(10) % 2)
    d = data.load(tmp_path / "colours.npz")
    images = data.as_images(d)
    assert images.x_train.shape[1:] == (4, 2, 3) and np.array_equal(images.x_train.reshape(8, -1), d.x_train)
    with pytest.raises(DataError, match="colours.npz: a sample of 25 numbers is no image"):
        data.as_images(data.load(tmp_path / "colours.npz", one=True))
    with pytest.raises(DataError, match="data: a sample of 3 numbers is no image"):
        data.as_images(data.load("xor"))
