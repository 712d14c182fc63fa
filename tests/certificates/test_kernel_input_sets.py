"""The kernel's least values: against the reference's, against points of the set, for every kind and norm."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine import inputs
from refcert.kernel.ball import float_above, float_below, precision
from refcert.kernel.input_sets import InputSet, read_input_set
from refcert.reference import input_sets as reference
from refcert.strategies import input_sets
from tests.certificates.tables import container
from tests.reference.drawn import reference_set

FRAMES, SIZE, ROWS = 3, 4, 5
CLIP = (-1.0, 1.0)
NORMS = [1.0, 1.5, 2.0, 3.7, math.inf]
RADII = (1.0, 0.3, 0.01, 0.0)
PUBLIC = {"frame_balls": "frames", "sequence_ball": "sequence", "boxes": "boxes", "substitutions": "substitutions"}
"""The kinds of a certificate by the names of `refcert.strategies`."""


def body(p: float, **more: Any) -> dict[str, Any]:
    found = {"p": "inf" if p == math.inf else p.hex()}
    if more.pop("clip"):
        found["clip"] = [x.hex() for x in CLIP]
    return found | more


def pairs(kind: str, p: float, clip: bool) -> st.SearchStrategy[tuple[InputSet, reference.InputSet]]:
    """The kernel's set and the reference's, the same: one of the public strategy."""
    drawn = input_sets(
        kinds=(PUBLIC[kind],),
        norms=(p,),
        radii=RADII,
        clips=(CLIP if clip else None,),
        fixed_frames=False,
        batch=1,
        time=FRAMES,
        size=SIZE,
    )
    return drawn.map(lambda sets: pair(kind, body(p, clip=clip), sets))


def pair(kind: str, entry: dict[str, Any], sets: inputs.InputSet) -> tuple[InputSet, reference.InputSet]:
    center = sets.center[0].numpy()
    if isinstance(sets, inputs.FrameBalls | inputs.SequenceBall):
        here = container({}, center=center, radius=sets.radius.reshape(-1).numpy())
        return read_input_set({"kind": kind, **entry}, here, SIZE), reference_set(sets)
    if isinstance(sets, inputs.Boxes):
        here = container({}, lower=sets.lower[0].numpy(), upper=sets.upper[0].numpy())
        return read_input_set({"kind": kind}, here, SIZE), reference_set(sets)
    candidates = [words[there].numpy() for words, there in zip(sets.candidates[0], sets.allowed[0], strict=True)]
    counts = [len(words) for words in candidates]
    tensors = {"center": center} | ({"candidates": np.concatenate(candidates)} if sum(counts) else {})
    choices = tuple(np.concatenate([center[t : t + 1], candidates[t]]) for t in range(FRAMES))
    return read_input_set({"kind": kind, "counts": counts}, container({}, **tensors), SIZE), substitutions(choices)


def substitutions(choices: tuple[np.ndarray, ...]) -> Any:
    """By hand: the least candidate of every frame."""

    class Least:
        def least(self, form: dict[tuple[int, int], Fraction]) -> Fraction:
            return sum(
                (min(sum(form[t, i] * Fraction(row[i]) for i in range(SIZE)) for row in rows))
                for t, rows in enumerate(choices)
            )

    return Least()


KINDS = [("boxes", math.inf, False), ("substitutions", math.inf, False)] + [
    (kind, p, clip) for kind in ("frame_balls", "sequence_ball") for p in NORMS for clip in (False, True)
]


def forms_of(seed: int) -> tuple[np.ndarray, dict[int, list[arb]]]:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(ROWS, FRAMES, SIZE)) * (generator.random((ROWS, FRAMES, SIZE)) > 0.2)
    return values, {t: [arb(x) for x in values[:, t].ravel().tolist()] for t in range(FRAMES)}


@pytest.mark.parametrize(("kind", "p", "clip"), KINDS)
@given(data=st.data(), seed=st.integers(0, 2**32))
@settings(max_examples=30)
def test_agrees_with_the_reference(kind: str, p: float, clip: bool, data: st.DataObject, seed: int) -> None:
    here, there = data.draw(pairs(kind, p, clip))
    values, forms = forms_of(seed)
    with precision(128):
        found = here.least(forms, ROWS)
    for k, ball in enumerate(found):
        wanted = there.least({(t, i): Fraction(values[k, t, i]) for t in range(FRAMES) for i in range(SIZE)})
        slack = Fraction(1, 10**9)  # of the reference's search for a multiplier, and of its own rounding
        assert Fraction(float_below(ball)) <= wanted + slack
        assert Fraction(float_above(ball)) >= wanted - slack
        assert ball.rad() < 1e-30
        if kind in ("boxes", "substitutions") or (p in (1.0, math.inf) and not clip):
            with precision(2000):
                assert ball.contains(arb(wanted.numerator) / arb(wanted.denominator))


@pytest.mark.parametrize(
    ("kind", "p", "clip"), [case for case in KINDS if case[0].endswith("_balls") or "_ball" in case[0]]
)
@given(data=st.data(), seed=st.integers(0, 2**32))
@settings(max_examples=30)
def test_no_point_lies_below(kind: str, p: float, clip: bool, data: st.DataObject, seed: int) -> None:
    """Points on the sphere in the worst direction and in random ones, cut coordinate by coordinate."""
    here, there = data.draw(pairs(kind, p, clip))
    values, forms = forms_of(seed)
    generator = np.random.default_rng(seed + 1)
    center = there.center
    with precision(128):
        found = [float_below(x) for x in here.least(forms, ROWS)]
    for k in range(ROWS):
        a = values[k]
        for trial in range(4):
            d = (
                -np.sign(a) * np.abs(a) ** (1 / max(p - 1, 0.05))
                if trial == 0 and p < 50
                else generator.normal(size=a.shape)
            )
            if kind == "sequence_ball":
                norm = np.linalg.norm(d.ravel(), p) or 1.0
                x = center + d / norm * there.radius * (1 - 1e-12)
            else:
                norms = np.array([np.linalg.norm(row, p) or 1.0 for row in d])
                x = center + d / norms[:, None] * there.radius[:, None] * (1 - 1e-12)
            if clip:
                x = np.clip(x, *CLIP)  # moves towards the center, which lies in the range
            assert found[k] <= (a * x).sum() + 1e-12


def test_frames_that_stay() -> None:
    """A sequence ball that moves one frame only is that frame's ball."""
    generator = np.random.default_rng(0)
    center, radius = generator.normal(size=(FRAMES, SIZE)), np.array([0.3])
    _, forms = forms_of(1)
    one = read_input_set(
        {"kind": "sequence_ball", **body(2.0, clip=False, moves=[1])}, container({}, center=center, radius=radius), SIZE
    )
    other = read_input_set(
        {"kind": "frame_balls", **body(2.0, clip=False)},
        container({}, center=center, radius=np.array([0.0, 0.3, 0.0])),
        SIZE,
    )
    for a, b in zip(one.least(forms, ROWS), other.least(forms, ROWS), strict=True):
        assert a.overlaps(b)
        assert a.rad() < 1e-12


def test_cut_balls_do_better_than_ball_and_box() -> None:
    """The split by a multiplier is what makes the bound of a cut ball tight."""
    center, radius = np.zeros((1, 2)), np.array([1.0])
    entry = {"kind": "frame_balls", "p": (2.0).hex(), "clip": [(-0.1).hex(), (5.0).hex()]}
    here = read_input_set(entry, container({}, center=center, radius=radius), 2)
    with precision(128):
        (found,) = here.least({0: [arb(1), arb(-1)]}, 1)
    assert abs(float_below(found) - (-0.1 - math.sqrt(1 - 0.01))) < 1e-12  # ball: -1.414, box: -1.1
