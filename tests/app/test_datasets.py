"""Known data sets: exactly the numbers that were asked for, in their order; all else is refused."""

import gzip
import os
import re
import struct

import numpy as np
import pytest
from sklearn.datasets import load_digits

from refcert.app.datasets import digits_training_part, load_sequences
from refcert.app.errors import InputError


def test_digits_are_the_last_360_images_in_their_order():
    data = load_sequences("digits", input_size=8, count=None, classes=10)
    source = load_digits()
    assert (data.x.dtype, data.labels.dtype, len(data)) == (np.float64, np.int64, 360)
    assert data.x.shape == (360, 8, 8)
    np.testing.assert_array_equal(data.x * 16, source.images[1437:])
    np.testing.assert_array_equal(data.labels, source.target[1437:])
    assert (data.name, data.unit, data.x.min(), data.x.max()) == ("digits", "pixel value in [0, 1]", 0.0, 1.0)


def test_the_training_part_and_the_test_part_are_all_of_digits():
    train, test = digits_training_part(), load_sequences("digits", input_size=8, count=None)
    source = load_digits()
    np.testing.assert_array_equal(np.concatenate((train.x, test.x)) * 16, source.images)
    np.testing.assert_array_equal(np.concatenate((train.labels, test.labels)), source.target)
    assert len(train) == 1437


@pytest.mark.parametrize(("input_size", "time"), [(8, 8), (16, 4), (32, 2), (64, 1)])
def test_frames_of_digits_are_whole_rows(input_size, time):
    rows = load_sequences("digits", input_size=8, count=5)
    data = load_sequences("digits", input_size=input_size, count=5)
    assert data.x.shape == (5, time, input_size)
    np.testing.assert_array_equal(data.x.reshape(5, 64), rows.x.reshape(5, 64))


@pytest.mark.parametrize("input_size", [0, -8, 1, 4, 12, 24, 128])
def test_frames_that_are_no_whole_rows_are_refused(input_size):
    with pytest.raises(InputError, match=rf"reads {input_size} values a frame; .*frames of 8, 16, 32, 64"):
        load_sequences("digits", input_size=input_size, count=None)


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """Two made-up images in the original format; changes replace a file's content."""
    pixels = np.random.default_rng(0).integers(0, 256, size=(2, 28, 28), dtype=np.uint8)
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    monkeypatch.setenv("REFCERT_DATA", str(tmp_path))

    def write(images=None, labels=None):
        good = (
            struct.pack(">4I", 2051, 2, 28, 28) + pixels.tobytes(),
            struct.pack(">2I", 2049, 2) + b"\x07\x03",
        )
        for kind, given_content, content in zip(("images-idx3", "labels-idx1"), (images, labels), good, strict=True):
            path = folder / f"t10k-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(content if given_content is None else given_content))
        return pixels, folder

    return write


@pytest.mark.parametrize(("input_size", "time"), [(28, 28), (56, 14), (112, 7), (196, 4), (392, 2), (784, 1)])
def test_mnist_is_read_in_whole_rows_and_in_order(mnist, input_size, time):
    pixels, _ = mnist()
    data = load_sequences("mnist", input_size=input_size, count=None, classes=10)
    assert data.x.shape == (2, time, input_size)
    np.testing.assert_array_equal(data.x.reshape(2, 28, 28), pixels / 255.0)
    assert (data.labels.tolist(), data.unit) == ([7, 3], "pixel value in [0, 1]")


def test_mnist_frames_that_are_no_whole_rows_are_refused(mnist):
    mnist()
    with pytest.raises(InputError, match=r"reads 84 values a frame; .*28, 56, 112, 196, 392, 784\."):
        load_sequences("mnist", input_size=84, count=None)


BAD_IDX = {
    "magic": ({"images": struct.pack(">4I", 2049, 2, 28, 28) + bytes(1568)}, "number 2049, .*with 2051"),
    "labels magic": ({"labels": struct.pack(">2I", 2051, 2) + b"ab"}, "number 2051, .*with 2049"),
    "too few": (
        {"images": struct.pack(">4I", 2051, 2, 28, 28) + bytes(1567)},
        "holds 1583 bytes, .*exactly 1584",
    ),
    "surplus": (
        {"labels": struct.pack(">2I", 2049, 2) + b"abc"},
        r"holds 11 bytes, sizes \[2\] need exactly 10",
    ),
    "no header": ({"images": b"\0\0\x08\x03"}, "holds 4 bytes, its header alone needs 16"),
    "empty": ({"labels": b""}, "holds 0 bytes, its header alone needs 8"),
    "count": (
        {"labels": struct.pack(">2I", 2049, 1) + b"a"},
        r"images of shape \(2, 28, 28\) and labels .*\(1,\)",
    ),
    "size": ({"images": struct.pack(">4I", 2051, 2, 8, 98) + bytes(1568)}, r"images of shape \(2, 8, 98\)"),
    "none": (
        {"images": struct.pack(">4I", 2051, 0, 28, 28), "labels": struct.pack(">2I", 2049, 0)},
        r"images of shape \(0, 28, 28\)",
    ),
    "huge": (
        {"images": struct.pack(">4I", 2051, *(3 * [2**32 - 1]))},
        "need exactly 79228162458924105385300197391",
    ),
}


@pytest.mark.parametrize("case", BAD_IDX)
def test_damaged_idx_files_are_refused(mnist, case):
    content, message = BAD_IDX[case]
    mnist(**content)
    with pytest.raises(InputError, match=message):
        load_sequences("mnist", input_size=28, count=None)


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b"no gzip", lambda b: b[:30] + b"\xff" + b[31:]])
def test_damaged_gzip_files_are_refused(mnist, damage):
    _, folder = mnist()
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=re.escape(str(path)) + " .*fetch"):
        load_sequences("mnist", input_size=28, count=None)


def test_mnist_without_its_folder_is_refused_with_the_variable_and_the_file(monkeypatch, tmp_path):
    for leave in (
        lambda: monkeypatch.delenv("REFCERT_DATA", raising=False),
        lambda: monkeypatch.setenv("REFCERT_DATA", ""),
    ):
        leave()
        with pytest.raises(InputError, match=r"REFCERT_DATA is not set.*data/mnist/t10k-images-idx3-ubyte\.gz"):
            load_sequences("mnist", input_size=28, count=None)
    monkeypatch.setenv("REFCERT_DATA", str(tmp_path))
    with pytest.raises(InputError, match=re.escape(str(tmp_path)) + ".*does not exist; set REFCERT_DATA"):
        load_sequences("mnist", input_size=28, count=None)


def test_the_original_mnist_files():
    if "REFCERT_DATA" not in os.environ:
        pytest.skip("REFCERT_DATA is not set: the original MNIST files are not at hand")
    data = load_sequences("mnist", input_size=196, count=None, classes=10)
    assert data.x.shape == (10_000, 4, 196)
    # counts of the digits in the test set, as its authors' page and every copy has them
    assert np.bincount(data.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert (data.x.min(), data.x.max(), data.x.mean().round(4)) == (0.0, 1.0, 0.1325)


def test_labels_of_known_data_sets_must_fit_the_model():
    with pytest.raises(InputError, match=r"digits: labels\[\d+\] is [5-9]; the model has classes 0 to 4"):
        load_sequences("digits", input_size=8, count=1, classes=5)


@pytest.mark.parametrize("source", ["", "digit", "DIGITS", "mnist ", "data.csv", "models/some.safetensors"])
def test_unknown_names_are_refused_with_the_known_ones(source):
    with pytest.raises(InputError, match=re.escape(repr(source)) + "; there are digits, mnist, or .*npz"):
        load_sequences(source, input_size=8, count=None)
