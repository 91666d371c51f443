"""Data sets: shapes, ranges, a fixed split, and one clear error for every damaged file."""

import gzip
import struct

import numpy as np
import pytest

from crossdyad import data
from crossdyad.data.idx import DataError


def test_digits():
    d = data.load("digits")
    assert d.x_train.shape == (1437, 64) and d.x_test.shape == (360, 64)
    assert d.x_train.dtype == np.float64 and d.y_train.dtype.kind == "i"
    x, y = np.vstack([d.x_train, d.x_test]), np.hstack([d.y_train, d.y_test])
    assert x.min() == 0 and x.max() == 1 and np.array_equal(x * 16, np.round(x * 16))
    # the set's published class counts
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(d.y_test).tolist() == [36] * 10
    assert np.array_equal(d.x_train, data.load("digits").x_train)


def test_xor():
    d = data.load("xor")
    assert (d.x_train[:, 2] == 1).all()
    assert np.array_equal(d.y_train, d.x_train[:, 0].astype(int) ^ d.x_train[:, 1].astype(int))


def test_unknown_name():
    with pytest.raises(DataError, match="cifar.*digits, mnist, xor"):
        data.load("cifar")


def write(folder, prefix, images, labels, pack):
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        name = f"{prefix}-{kind}-ubyte"
        content = head + array.astype(np.uint8).tobytes()
        (folder / (name + ".gz" * pack)).write_bytes(gzip.compress(content) if pack else content)


@pytest.fixture(params=[False, True], ids=["plain", "gz"])
def mnist(request, tmp_path):
    r = np.random.default_rng(0)
    images, labels = r.integers(0, 256, (7, 28, 28)), r.integers(0, 10, 7)
    images[0, 0, :2] = 0, 255
    write(tmp_path, "train", images, labels, request.param)
    write(tmp_path, "t10k", images[:3], labels[:3], request.param)
    return tmp_path, images, labels


def test_mnist(mnist, monkeypatch):
    folder, images, labels = mnist
    d = data.load("mnist", folder)
    assert d.x_train.shape == (7, 784) and d.x_test.shape == (3, 784)
    assert np.array_equal(d.x_train, images.reshape(7, 784) / 255) and np.array_equal(d.y_test, labels[:3])
    monkeypatch.setenv("CROSSDYAD_DATA", str(folder))
    assert np.array_equal(data.load("mnist").x_train, d.x_train)


def test_mnist_without_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("CROSSDYAD_DATA", raising=False)
    with pytest.raises(DataError, match="CROSSDYAD_DATA"):
        data.load("mnist")
    with pytest.raises(DataError, match="nowhere.*no such folder"):
        data.load("mnist", tmp_path / "nowhere")
    with pytest.raises(DataError, match="train-images-idx3-ubyte.gz: missing"):
        data.load("mnist", tmp_path)


@pytest.mark.parametrize(
    "spelt",
    [
        "{0}-{1}.{2}-ubyte",
        "{0}-{1}.{2}-ubyte.gz",
        "{0}-{1}-{2}-ubyte/{0}-{1}-{2}-ubyte",
        "MNIST/raw/{0}-{1}-{2}-ubyte",
        "raw/{0}-{1}-{2}-ubyte.gz",
    ],
)
def test_mnist_as_others_name_and_place_it_packed_or_not_whatever_the_name_says(spelt, mnist):
    folder, images, labels = mnist
    for path in sorted(folder.iterdir()):
        there = folder / spelt.format(*path.name.split("-"))
        content = path.read_bytes()
        path.unlink()
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(content)
    d = data.load("mnist", folder)
    assert np.array_equal(d.x_train, images.reshape(7, 784) / 255) and np.array_equal(d.y_test, labels[:3])


def test_a_tilde_is_the_home_folder(mnist, monkeypatch):
    folder, _, labels = mnist
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("CROSSDYAD_DATA", f"~/{folder.name}")
    assert np.array_equal(data.load("mnist").y_train, labels) and np.array_equal(data.load("mnist", f"~/{folder.name}").y_train, labels)


@pytest.mark.parametrize("sizes", [(0, 28, 28), (5, 0, 28), (2**31, 2**31, 4), (2**32 - 1, 2**32 - 1, 2**32 - 1)])
def test_sizes_of_nothing_or_of_more_than_there_is_are_refused(sizes, tmp_path):
    for prefix in ("train", "t10k"):
        write(tmp_path, prefix, np.zeros((5, 28, 28)), np.arange(5), False)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", *sizes))
    with pytest.raises(DataError, match="train-images-idx3-ubyte: .*; the file is damaged, get it again"):
        data.load("mnist", tmp_path)


@pytest.mark.parametrize("keep", [0, 3, 10, 100, -1])
def test_truncated_files_are_named(mnist, keep):
    folder, _, _ = mnist
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        path.write_bytes(whole[:keep] if keep < len(whole) else whole[:-1])
        with pytest.raises(DataError, match=path.name.replace(".", r"\.")):
            data.load("mnist", folder)
        path.write_bytes(whole)


def test_corrupt_gzip_is_named(tmp_path):
    r = np.random.default_rng(1)
    for prefix in ("train", "t10k"):
        write(tmp_path, prefix, r.integers(0, 256, (5, 28, 28)), r.integers(0, 10, 5), True)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(bytes(whole))
    with pytest.raises(DataError, match="t10k-images.*get it again"):
        data.load("mnist", tmp_path)


def test_swapped_and_mismatched_files(tmp_path):
    x, y = np.zeros((4, 28, 28)), np.arange(4)
    write(tmp_path, "train", x, y, False)
    write(tmp_path, "t10k", x, y[:3], False)
    with pytest.raises(DataError, match="4 t10k images but 3 labels"):
        data.load("mnist", tmp_path)
    write(tmp_path, "t10k", x, y + 10, False)
    with pytest.raises(DataError, match="label 13"):
        data.load("mnist", tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes((tmp_path / "train-labels-idx1-ubyte").read_bytes())
    with pytest.raises(DataError, match="not an IDX file"):
        data.load("mnist", tmp_path)
