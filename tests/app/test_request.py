"""What is asked is checked once, at the boundary: whatever comes in, only InputError comes out."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refcert.app.errors import InputError
from refcert.app.request import Request, norm_name, parse_clip, parse_norm

PLAIN = {
    "model": "m.safetensors",
    "data": "d.npz",
    "count": None,
    "norm": math.inf,
    "radius": 0.1,
    "frames": "all",
    "clip": None,
    "target": "untargeted",
    "relaxation": "parallel",
    "dtype": "float64",
    "device": "cpu",
    "batch_size": 50,
    "tolerance": 1e-3,
    "seed": 0,
}
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
NAMES = st.one_of(st.text(max_size=12), st.lists(st.integers(-2, 9), max_size=4).map(lambda n: ",".join(map(str, n))))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("radius", -1.0, "-1.0"),
        ("radius", math.nan, "nan"),
        ("radius", math.inf, "inf"),
        ("norm", 0.5, "0.5"),
        ("norm", math.nan, "nan"),
        ("norm", -math.inf, "-inf"),
        ("clip", (1.0, 0.0), "lower one first"),
        ("clip", (0.0, 0.0), "lower one first"),
        ("clip", (math.nan, 1.0), "nan"),
        ("clip", (0.0, math.inf), "inf"),
        ("count", 0, "count is 0"),
        ("batch_size", 0, "batch size is 0"),
        ("batch_size", -3, "-3"),
        ("tolerance", 0.0, "0.0"),
        ("tolerance", 1.0, "1.0"),
        ("tolerance", math.nan, "nan"),
        ("frames", "", "--frames is empty"),
        ("frames", " ", "--frames is empty"),
        ("frames", "0,0", "names a frame twice"),
        ("frames", "0,,1", "'0,,1'"),
        ("frames", "1.5", "'1.5'"),
        ("frames", "-1", "frame -1"),
        ("frames", "ALL", "'ALL'"),
        ("frames", "9" * 5000, "not a list of frame numbers"),
        ("target", "", "--target ''"),
        ("target", "-1", "class -1"),
        ("target", "1.5", "'1.5'"),
    ],
)
def test_a_bad_value_is_shown_with_the_remedy(field: str, value: object, words: str) -> None:
    with pytest.raises(InputError, match=r"give|choose|once") as caught:
        Request(**{**PLAIN, field: value})
    assert words in str(caught.value)


@given(
    fields=st.fixed_dictionaries(
        {},
        optional={
            "count": st.one_of(st.none(), st.integers()),
            "norm": NUMBERS,
            "radius": st.one_of(st.none(), NUMBERS),
            "frames": NAMES,
            "clip": st.one_of(st.none(), st.tuples(NUMBERS, NUMBERS)),
            "target": NAMES,
            "batch_size": st.integers(),
            "tolerance": NUMBERS,
            "seed": st.integers(),
        },
    ),
    time=st.integers(1, 6),
    classes=st.integers(2, 6),
)
def test_only_input_errors_come_out_and_what_passes_is_json(fields: dict[str, object], time: int, classes: int) -> None:
    try:
        request = Request(**{**PLAIN, **fields})
        frames, target = request.frame_numbers(time), request.target_class(classes)
    except InputError as error:
        assert str(error)
        return
    assert frames is None or (frames and all(0 <= f < time for f in frames) and len(set(frames)) == len(frames))
    assert target is None or 0 <= target < classes
    assert request.radius is None or 0 <= request.radius < math.inf
    json.dumps(request.to_json(), allow_nan=False)


@given(st.one_of(st.text(), NUMBERS.map(repr)))
def test_norms_are_read_or_refused(text: str) -> None:
    try:
        p = parse_norm(text)
    except InputError:
        return
    assert p >= 1


@given(st.one_of(st.just(math.inf), st.floats(1, allow_nan=False)))
def test_the_name_of_a_norm_is_exact(p: float) -> None:
    """Once six digits only: a run with p = 1.2345678 could go on with p = 1.2345679."""
    assert float(norm_name(p)) == p
    assert parse_norm(norm_name(p)) == p


@pytest.mark.parametrize(("p", "name"), [(1.0, "1"), (2.0, "2"), (1.5, "1.5"), (math.inf, "inf"), (1e300, "1e+300")])
def test_names_of_norms_are_short(p: float, name: str) -> None:
    assert norm_name(p) == name


@given(st.text(), st.text())
def test_clip_ranges_are_read_or_refused(low: str, high: str) -> None:
    try:
        pair = parse_clip(low, high)
    except InputError as error:
        assert repr(low) in str(error)
        return
    assert all(isinstance(value, float) for value in pair)


def test_frames_and_classes_are_checked_against_the_data() -> None:
    request = Request(**{**PLAIN, "frames": "0,3", "target": "4"})
    assert request.frame_numbers(4) == [0, 3]
    with pytest.raises(InputError, match="frame 3; the data has frames 0 to 2"):
        request.frame_numbers(3)
    with pytest.raises(InputError, match="class 4; the model has classes 0 to 3"):
        request.target_class(4)
