"""What is asked is checked once, at the boundary: whatever comes in, only InputError comes out."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_engine.model import READOUTS
from refcert.app.errors import InputError
from refcert.app.options import CRITERIA, DEFAULTS, INPUT_SETS, REQUIRED
from refcert.app.report import words
from refcert.app.request import Request, norm_name, parse_clip, parse_memory, parse_norm

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
        ("radius_db", -3.0, "--radius 0.1 and --radius-db -3.0"),
        ("radius_db", math.nan, "nan dB"),
        ("radius_db", 1e6, "1000000.0 dB"),
        ("readout", "middle", "'middle'"),
        ("structure", " ", "' '"),
        ("input_set", "cube", "'cube'"),
        ("input_set", "box", "--radius 0.1 does not go with --input-set box"),
        ("clip_bound", "loose", "'loose'"),
        ("clip_bound", "simple", "--clip-bound simple bounds nothing without a range"),
        ("criterion", "mean", "'mean'"),
        ("top_k", 0, "--top-k is 0"),
        ("spec", "", "--spec is ''"),
        ("memory", 0, "memory is 0 bytes"),
    ],
)
def test_a_bad_value_is_shown_with_the_remedy(field: str, value: object, words: str) -> None:
    with pytest.raises(InputError, match=r"give|choose|once|known:") as caught:
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
            "input_set": st.sampled_from([*INPUT_SETS, "cube"]),
            "clip_bound": st.sampled_from(["exact", "simple", ""]),
            "radius_db": st.one_of(st.none(), NUMBERS),
            "top_k": st.one_of(st.none(), st.integers()),
            "spec": st.one_of(st.none(), st.text(max_size=4)),
            "criterion": st.sampled_from([*CRITERIA, ""]),
            "memory": st.one_of(st.none(), st.integers()),
            "structure": st.one_of(st.none(), st.text(max_size=4)),
            "readout": st.one_of(st.none(), st.sampled_from([*READOUTS, ""])),
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
    stored = json.loads(json.dumps(request.to_json(), allow_nan=False))
    assert Request.from_json(stored) == request
    assert request.search == words.searches(stored)


def test_a_request_of_the_first_version_means_what_it_did() -> None:
    stored = {name: value for name, value in request_json().items() if name not in DEFAULTS}
    assert set(stored) == set(REQUIRED)
    assert Request.from_json(stored) == Request(**PLAIN)


def test_the_defaults_are_those_of_the_request() -> None:
    own = {field.name: field.default for field in fields(Request)}
    assert {name: own[name] for name in DEFAULTS} == dict(DEFAULTS)
    assert set(own) == {*DEFAULTS, *REQUIRED}


@pytest.mark.parametrize(("name", "change"), [("norm", None), ("more", 1)])
def test_other_requests_are_refused(name: str, change: int | None) -> None:
    stored = request_json()
    if change is None:
        del stored[name]
    else:
        stored[name] = change
    with pytest.raises(InputError, match=f"'{name}'; it is not one of this version"):
        Request.from_json(stored)


def test_every_key_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
    for name in request_json():
        assert f"`{name}`" in page


def request_json() -> dict[str, object]:
    return Request(**PLAIN).to_json()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("500MB", 500 * 10**6),
        ("2GB", 2 * 10**9),
        ("2 gb", 2 * 10**9),
        ("1.5GiB", 3 * 2**29),
        ("64KiB", 2**16),
        ("12k", 12000),
        ("0", 0),
        ("3B", 3),
        ("1TB", 10**12),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_memory(text) == size


@given(st.text())
def test_other_sizes_are_refused(text: str) -> None:
    try:
        size = parse_memory(text)
    except InputError as error:
        assert repr(text) in str(error)
        return
    assert size >= 0


@pytest.mark.parametrize("text", ["", "MB", "-1", "1e9", "nan", "2 XB", "1,5GB", "9" * 5000, "1.GB", "0x10"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InputError, match="is not a size; give bytes, or a size such as 500MB"):
        parse_memory(text)


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
