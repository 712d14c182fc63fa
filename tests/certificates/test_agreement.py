"""The kernel and the naive checker agree, certificate by certificate, on what they both decide.

They share no code: one was written from the specification alone, in rational numbers, the other computes balls.
"""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from refcert.kernel.check import check
from refcert.kernel.errors import UnreadableError
from tests.certificates import naive_checker
from tests.certificates.drawn import CORRUPTIONS, Corruption, certificates, has_thirds, is_extreme
from tests.certificates.naive_checker import NotCovered, Unreadable
from tests.certificates.planted_corruptions import rejected
from tests.certificates.tiny_certificates import (
    PLANS,
    Arrays,
    Draft,
    Question,
    Vector,
    accepted,
    array,
    build,
)

Judged = tuple[str, int | None]


def by_kernel(path: Path) -> Judged:
    try:
        result = check(path)
    except UnreadableError:
        return "UNREADABLE", None
    return str(result.verdict), result.step


def by_hand(path: Path) -> Judged:
    try:
        return naive_checker.judge(path)
    except Unreadable:
        return "UNREADABLE", None


def both(draft: Draft) -> tuple[Judged, Judged]:
    """What the kernel and the naive checker say. May raise NotCovered."""
    with tempfile.TemporaryDirectory() as folder:
        path = draft.vector("drawn", "").write(Path(folder))
        kernel = by_kernel(path)  # first: it must give a verdict also of what the naive checker does not cover
        return kernel, by_hand(path)


def agree(kernel: Judged, naive: Judged, undecided_allowed: bool) -> bool:
    """The same verdict and step; or the kernel is undecided where it may be, no later than the other one fails."""
    if kernel == naive:
        return True
    in_time = naive[1] is None or (kernel[1] is not None and kernel[1] <= naive[1])
    return undecided_allowed and kernel[0] == "HOLEY" and naive[0] != "UNREADABLE" and in_time


@pytest.mark.parametrize("vector", [*accepted(), *rejected()], ids=lambda vector: vector.name)
def test_they_agree_on_every_vector(vector: Vector, tmp_path: Path) -> None:
    path = vector.write(tmp_path)
    assert agree(by_kernel(path), by_hand(path), vector.undecided_allowed)


@settings(max_examples=max(1, settings().max_examples // 2))
@given(certificates())
def test_drawn_certificates_are_valid(draft: Draft) -> None:
    """Margins and boxes are the tightest numbers that the naive checker's procedures reach."""
    kernel, naive = both(draft)
    assert naive == ("VALID", None)
    assert agree(kernel, naive, has_thirds(draft) or draft.cut_ball())


@given(certificates(), st.lists(CORRUPTIONS, min_size=4, max_size=4))
def test_they_agree_on_corrupted_certificates(draft: Draft, corruptions: list[Corruption]) -> None:
    """One corruption each, with and without digests that fit again."""
    for corruption in corruptions:
        corrupted = copy.deepcopy(draft)
        corruption(corrupted)
        try:
            kernel, naive = both(corrupted)
        except NotCovered:
            event("not covered")
            continue
        event(f"naive: {naive[0]}")
        undecided_allowed = has_thirds(corrupted) or corrupted.cut_ball() or is_extreme(corrupted)
        assert agree(kernel, naive, undecided_allowed), (corruption, kernel, naive)


# Where enclosures are wider than the text's numbers, the kernel is undecided; it says INVALID only where it is certain.

MEAN: Arrays = {
    "layers.0.0.weight_ih": array([1.0]),
    "layers.0.0.weight_hh": array([0.0]),
    "layers.0.0.bias_ih": array(0.0),
    "layers.0.0.bias_hh": array(0.0),
    "after.0.weight": array([1.0]),
    "after.0.bias": array(-1.5),
    "after.2.weight": array([1.0], [-1.0]),
    "after.2.bias": array(9.0, 0.0),
}


@pytest.mark.parametrize("plan", PLANS)
def test_boxes_behind_a_third_are_not_held_to_the_last_place(plan: str) -> None:
    """The mean of three numbers that sum up to a multiple of three is a binary64 number, but no ball shows it.

    The box of what reads the mean is then one number wider than the text's, and all that is proved on it, too.
    """
    tensors = {"center": array([1.0], [1.5], [2.0]), "radius": array(0.25, 0.5, 0.75)}
    inputs, asked = {"kind": "frame_balls", "p": "inf"}, {"kind": "untargeted", "label": 0}
    draft = build(Question("|rnn_relu>|mean|dense/relu/dense", MEAN, inputs, tensors, asked), PLANS[plan])
    kernel, naive = both(draft)
    assert naive == ("VALID", None)
    assert kernel[0] in ("VALID", "HOLEY")


def cut_ball(p: float, center: float, radius: float, clip: tuple[float, float], offset: float) -> Draft:
    """relu(10 x_0 - x_1) for one frame in a cut ball, under the plane 0.75 v + offset."""
    weights: Arrays = {
        "layers.0.0.weight_ih": array([10.0, -1.0]),
        "layers.0.0.weight_hh": array([0.0]),
        "layers.0.0.bias_ih": array(0.0),
        "layers.0.0.bias_hh": array(0.0),
        "after.0.weight": array([0.0], [0.0]),
        "after.0.bias": array(9.0, 0.0),
    }
    body = {
        "format": "refcert certificate",
        "version": 1,
        "network": {"structure": "|rnn_relu>|final|dense"},
        "inputs": {"kind": "frame_balls", "p": p.hex(), "clip": [end.hex() for end in clip]},
        "specification": {"kind": "untargeted", "label": 0},
        "steps": [{"rule": "planes", "of": 2, "part": 0, "set": 0}, {"rule": "margin", "sets": [0]}],
        "margin": (1.0).hex(),
    }
    planes = array([0.0], [0.0], [0.75], [offset])
    tensors = {"center": array([center, center]), "radius": array(radius), "step.0": planes}
    tensors |= {f"network.{name}": weight for name, weight in weights.items()}
    draft = Draft(body, tensors, weights, "|rnn_relu>|final|dense")
    draft.digest()
    draft.claim()
    return draft


def judged(draft: Draft, folder: Path) -> str:
    return by_kernel(draft.vector("drawn", "").write(folder))[0]


def test_planes_on_the_box_of_a_cut_ball_are_not_held_to_the_last_place(tmp_path: Path) -> None:
    """In the ball of radius 13 with x_0 >= -5, the least of 10 x_0 - x_1 is at (-5, 12): -62, where the plane is 0.

    Whoever has only a lower bound of that least value may have a box that is wider by one number.
    """
    least = -62.0
    clip = (-5.0, 20.0)
    assert judged(cut_ball(2.0, 0.0, 13.0, clip, -0.75 * least), tmp_path) in ("VALID", "HOLEY")
    assert judged(cut_ball(2.0, 0.0, 13.0, clip, -0.75 * least + 2.0**-20), tmp_path) == "VALID"
    # Far inside there is no doubt, but only a lower bound is at hand.
    assert judged(cut_ball(2.0, 0.0, 13.0, clip, -0.75 * least - 1.0), tmp_path) in ("INVALID", "HOLEY")


@pytest.mark.parametrize("p", [1.0, 1.25, 1.5, 2.0, 3.0, 1e300])
@pytest.mark.parametrize("radius", [0.0, 5e-324, 1e-60, 1e-37, 1.0, 1e300])
@pytest.mark.parametrize("center", [0.0, 1.0])
def test_cut_balls_around_an_end_of_the_clip_have_a_verdict(
    p: float, radius: float, center: float, tmp_path: Path
) -> None:
    """A white or black pixel that hardly moves: the plane holds with room to spare."""
    assert judged(cut_ball(p, center, radius, (0.0, 1.0), 100.0), tmp_path) == "VALID"
