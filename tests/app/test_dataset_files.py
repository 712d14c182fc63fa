"""Data files: every number is read exactly or refused with its value; no pickle is ever opened."""

import hashlib
import io
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refcert.app.datasets import load_sequences
from refcert.app.errors import InputError

LABELS = np.array([0, 2, 1])
X = np.arange(3 * 2 * 4).reshape(3, 2, 4) / 7


@pytest.fixture
def npz(tmp_path):
    """Write arrays to a file; its path."""

    def write(**arrays):
        path = tmp_path / "data.npz"
        np.savez(path, **arrays)
        return str(path)

    return write


@pytest.mark.parametrize("compress", [np.savez, np.savez_compressed])
def test_a_file_gives_its_own_numbers(tmp_path, compress):
    path = tmp_path / "data.NPZ"
    with path.open("wb") as file:
        compress(file, x=X, labels=LABELS, more=np.zeros(2))
    data = load_sequences(str(path), input_size=4, count=None, classes=3)
    np.testing.assert_array_equal(data.x, X)
    np.testing.assert_array_equal(data.labels, LABELS)
    assert (data.name, data.unit) == (str(path), "unit of the file's own x")


FLOATS = st.sampled_from(["<f2", "<f4", ">f4", "<f8", ">f8"])
INTEGERS = st.sampled_from(["|i1", "|u1", "<i2", ">u2", "<i4", "<u4"])


@given(
    x=st.one_of(FLOATS, INTEGERS).flatmap(
        lambda kind: hnp.arrays(
            kind,
            st.tuples(st.integers(1, 4), st.integers(1, 3), st.just(2)),
            elements={"allow_nan": False, "allow_infinity": False} if kind[1] == "f" else None,
        )
    ),
    label_kind=st.sampled_from(["|u1", "<i8", ">i4", "<u8"]),
    data=st.data(),
)
def test_numbers_are_converted_exactly_and_counts_cut(tmp_path_factory, x, label_kind, data):
    path = str(tmp_path_factory.mktemp("npz") / "data.npz")
    labels = np.arange(len(x), dtype=label_kind)
    np.savez(path, x=x, labels=labels)
    count = data.draw(st.one_of(st.none(), st.integers(1, len(x))))
    read = load_sequences(path, input_size=2, count=count)
    assert (read.x.dtype, read.labels.dtype) == (np.dtype("=f8"), np.dtype("=i8"))
    assert [float(value) for value in x[:count].flat] == list(read.x.flat)
    assert read.x.astype(x.dtype).tobytes() == x[:count].tobytes()  # and back again, signs of zeros included
    assert read.labels.tolist() == labels[:count].tolist()


def test_whole_numbers_up_to_2_to_the_53_are_exact_and_larger_ones_refused(npz):
    x = np.full((1, 1, 2), 2**53)
    assert load_sequences(npz(x=x, labels=[0]), input_size=2, count=1).x[0, 0, 1] == 2.0**53
    for value in (2**53 + 1, -(2**53) - 1):
        x[0, 0, 1] = value
        with pytest.raises(InputError, match=rf"x\[0, 0, 1\] is {value}; beyond 2\^53"):
            load_sequences(npz(x=x, labels=[0]), input_size=2, count=1)


def with_value(value):
    x = X.copy()
    x[2, 0, 3] = value
    return x


BAD_ARRAYS = [
    ({"x": X}, r"no array 'labels', it has x; write it with numpy\.savez"),
    ({"labels": LABELS}, "no array 'x', it has labels"),
    ({}, "no array 'x', it has nothing"),
    (
        {"x": X[0], "labels": LABELS},
        r"x has shape \(2, 4\) and labels \(3,\); they need \(count, time, input\)",
    ),
    ({"x": X, "labels": LABELS[:, None]}, r"labels \(3, 1\); they need"),
    ({"x": X, "labels": 1}, r"labels \(\); they need"),
    ({"x": X[:, :0], "labels": LABELS}, r"x has shape \(3, 0, 4\)"),
    ({"x": X[:, :, :0], "labels": LABELS}, r"x has shape \(3, 2, 0\)"),
    ({"x": X[:0], "labels": LABELS[:0]}, r"no sequences: x has shape \(0, 2, 4\)"),
    ({"x": X, "labels": LABELS[:2]}, "x has 3 sequences, labels 2"),
    ({"x": X.astype(complex), "labels": LABELS}, "x is complex128; give float16"),
    ({"x": X > 1, "labels": LABELS}, "x is bool"),
    ({"x": X.astype("U9"), "labels": LABELS}, "x is <U9"),
    ({"x": X, "labels": LABELS + 0.5}, r"labels are float64 \(labels\[0\] is 0\.5\); give whole numbers"),
    ({"x": X, "labels": LABELS > 1}, r"labels are bool"),
    ({"x": X, "labels": LABELS - 1}, r"labels\[0\] is -1; the model has classes 0 to 2"),
    ({"x": X, "labels": LABELS + 1}, r"labels\[1\] is 3; the model has classes 0 to 2"),
    ({"x": X, "labels": LABELS.astype(np.uint64) + np.uint64(2**63)}, r"labels\[1\] is 9223372036854775810"),
    ({"x": with_value(np.nan), "labels": LABELS}, r"x\[2, 0, 3\] is nan; every value must be finite"),
    ({"x": with_value(-np.inf), "labels": LABELS}, r"x\[2, 0, 3\] is -inf"),
    (
        {"x": X[:, :, :3], "labels": LABELS},
        r"x has shape \(3, 2, 3\), 3 values a frame, but the model reads 4",
    ),
    ({"x": X.astype(object), "labels": LABELS}, r"pickled \(object\) arrays are refused.*can run code"),
    ({"x": X, "labels": LABELS.astype(object)}, r"pickled \(object\) arrays are refused"),
]


@pytest.mark.parametrize(("arrays", "message"), BAD_ARRAYS, ids=[message[:40] for _, message in BAD_ARRAYS])
def test_bad_arrays_are_refused_with_their_value(npz, arrays, message):
    path = npz(**arrays)
    with pytest.raises(InputError, match=message) as caught:
        load_sequences(path, input_size=4, count=1, classes=3)
    assert path in str(caught.value)


def test_negative_labels_are_refused_without_a_number_of_classes(npz):
    with pytest.raises(InputError, match=r"labels\[0\] is -1; labels start at 0"):
        load_sequences(npz(x=X, labels=LABELS - 1), input_size=4, count=None)


@pytest.mark.parametrize("count", [0, -1, 4, 10**9])
def test_counts_that_cannot_be_had_are_refused(npz, count):
    path = npz(x=X, labels=LABELS)
    with pytest.raises(InputError, match=f"count {count}: .* has 3 sequences; ask for 1 to 3"):
        load_sequences(path, input_size=4, count=count)


def test_bad_files_are_refused(npz, tmp_path):
    good = Path(npz(x=X, labels=LABELS)).read_bytes()
    contents = {
        "empty": (b"", "no npz file"),
        "short": (good[: len(good) // 2], "no npz file .*cut short"),
        "text": (b"x,labels", "no npz file"),
        "pickle": (pickle.dumps({"x": 1}), "no npz file"),
        "changed": (good.replace(b"descr", b"dexcr"), "cannot be read .*damaged"),
        "values": (good.replace(X[1].tobytes(), X[2].tobytes()), "cannot be read .*CRC"),
        "larger": (good.replace(b"(3, 2, 4), }  ", b"(3, 2, 4444),}"), "cannot be read"),
    }
    for name, (content, message) in contents.items():
        assert name == "larger" or content != good
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        with pytest.raises(InputError, match=message) as caught:
            load_sequences(str(path), input_size=4, count=None)
        assert str(path) in str(caught.value)
    for missing in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(InputError):
            load_sequences(str(missing), input_size=4, count=None)


def test_an_array_file_under_another_name_is_refused(tmp_path):
    with (tmp_path / "data.npz").open("wb") as file:
        np.save(file, X)
    with pytest.raises(InputError, match="no npz file"):
        load_sequences(str(tmp_path / "data.npz"), input_size=4, count=None)
    with (tmp_path / "data.npz").open("ab") as file:
        np.savez(file, x=X, labels=LABELS)  # an array and an archive in one
    with pytest.raises(InputError, match="holds a single array"):
        load_sequences(str(tmp_path / "data.npz"), input_size=4, count=None)


@given(cut=st.integers(0, 600), flips=st.lists(st.tuples(st.integers(0, 700), st.integers(1, 255)), max_size=3))
def test_damaged_files_give_the_data_or_an_input_error(tmp_path_factory, cut, flips):
    path = tmp_path_factory.mktemp("damaged") / "data.npz"
    np.savez(path, x=X, labels=LABELS)
    content = bytearray(path.read_bytes())
    for place, mask in flips:
        content[place] ^= mask
    path.write_bytes(content[: len(content) - cut])
    try:
        data = load_sequences(str(path), input_size=4, count=None)
    except InputError as error:
        assert str(path) in str(error)
    else:
        np.testing.assert_array_equal(data.x, X)  # every array has a checksum


# digests


def test_the_digest_is_of_exactly_the_numbers_used(npz):
    data = load_sequences(npz(x=X, labels=LABELS), input_size=4, count=2)
    content = b"x:(2, 2, 4)\n" + X[:2].astype("<f8").tobytes() + b"labels:(2,)\n" + LABELS[:2].astype("<i8").tobytes()
    assert data.digest == hashlib.sha256(content).hexdigest()


def test_digests_differ_with_values_labels_shape_and_count(npz):
    def digest(x, labels, count=None):
        return load_sequences(npz(x=x, labels=labels), input_size=x.shape[2], count=count).digest

    same = digest(X, LABELS)
    others = [
        digest(with_value(np.nextafter(X[2, 0, 3], 9)), LABELS),
        digest(X, LABELS[::-1]),
        digest(X.reshape(3, 4, 2), LABELS),
        digest(X, LABELS, 2),
        digest(-np.abs(X), LABELS),
    ]
    assert len({same, *others}) == 6
    assert digest(np.asfortranarray(X), LABELS.astype(np.uint8)) == same


@pytest.mark.parametrize("again", ["x.npy", "x"])
def test_an_array_that_is_there_twice_is_refused(tmp_path, again):
    """Regression: one of the two was taken, and nothing said which."""
    path = tmp_path / "data.npz"
    np.savez(path, x=X, labels=LABELS)
    other = io.BytesIO()
    np.save(other, X + 1)
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the name that is written again
        archive.writestr(again, other.getvalue())
    with pytest.raises(InputError, match="has the array 'x' twice; write it with"):
        load_sequences(path, input_size=4, count=None)
