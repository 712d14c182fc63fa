"""The naive checker: the vectors' verdicts, and laws that hold it against the networks' own equations.

It was written from the specification alone, so what it says of a vector is what the specification says.
"""

from __future__ import annotations

import copy
import itertools
import random
from fractions import Fraction
from pathlib import Path

import pytest

from tests.certificates import block_vectors, diagonal_vectors, naive_network, planted_corruptions, tiny_certificates
from tests.certificates.naive_checker import STEPS, NotCovered, Unreadable, check, judge
from tests.certificates.naive_container import read_container
from tests.certificates.naive_network import Program, dot, least_of_one_norm, read_inputs
from tests.certificates.plain_network import forward, joined, margin, point
from tests.certificates.tiny_certificates import NETWORK_FILE, P, Vector, drafts, naive, questions

ACCEPTED, REJECTED = tiny_certificates.accepted(), planted_corruptions.rejected()
QUESTIONS = questions()


def verdict(path: Path) -> str:
    try:
        return check(path)
    except Unreadable:
        return "UNREADABLE"


@pytest.mark.parametrize("vector", ACCEPTED, ids=lambda vector: vector.name)
def test_accepted(vector: Vector, tmp_path: Path) -> None:
    assert vector.expected == "VALID"
    assert check(vector.write(tmp_path)) == vector.expected


@pytest.mark.parametrize("vector", REJECTED, ids=lambda vector: vector.name)
def test_rejected(vector: Vector, tmp_path: Path) -> None:
    assert vector.expected in ("INVALID", "HOLEY", "UNREADABLE")
    assert verdict(vector.write(tmp_path)) == vector.expected


def test_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Too many frames, and too many units (with a lower limit, for the memory's sake)."""
    frames = tiny_certificates.Array((2**16 + 1, 1), [0.0] * (2**16 + 1))
    with pytest.raises(Unreadable, match="frames"):
        read_inputs({"kind": "substitutions", "counts": [0] * (2**16 + 1)}, naive({"center": frames}))
    path = drafts()["one layer: planes alone"].vector("units", "").write(tmp_path)
    monkeypatch.setattr(naive_network, "MAX_UNITS", 15)  # 2 frames of 2, 4 variables of 2, 3 classes
    assert check(path) == "VALID"
    monkeypatch.setattr(naive_network, "MAX_UNITS", 14)
    with pytest.raises(Unreadable, match="units"):
        check(path)


def test_the_networks_file_is_no_link(tmp_path: Path) -> None:
    path = drafts()["clipped, backward, targeted, in a file: planes alone"].vector("linked", "").write(tmp_path)
    assert check(path) == "VALID"
    network = path.with_name("linked.network.safetensors")
    network.rename(tmp_path / "elsewhere")
    network.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unreadable, match="no file of this folder"):
        check(path)


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("claim: another digest", None),
        ("network: digest of another", None),
        ("planes: upper offset too low", 0),
        ("planes: of a higher variable first", 1),
        ("margin: twice", 2),
        ("unknown rule: behind planes that are wrong", 0),
    ],
)
def test_the_first_step_that_does_not_hold_is_named(name: str, step: int | None, tmp_path: Path) -> None:
    (vector,) = [vector for vector in REJECTED if vector.name == name]
    assert judge(vector.write(tmp_path)) == (vector.expected, step)


def test_files_of_vectors_can_share_a_folder() -> None:
    files = [name for vector in [*ACCEPTED, *REJECTED] for name in vector.files]
    assert len(files) == len(set(files))
    assert NETWORK_FILE not in files


def test_every_rule_is_accepted_and_rejected_three_times() -> None:
    made = [*drafts().values(), diagonal_vectors.made(diagonal_vectors.LSTM)]
    made += [block_vectors.made(name) for name in block_vectors.NAMES]
    assert {step["rule"] for draft in made for step in draft.body["steps"]} == set(STEPS)
    for word in ("planes", "interval", "substitution", "intersection", "margin", "per class", "claim", "network"):
        assert sum(v.name.startswith(f"{word}:") and v.expected == "INVALID" for v in REJECTED) >= 3, word


CELLS = ("lstm", "gru", "gru_reset_before", "rnn_tanh", "rnn_sigmoid")
STRUCTURES = [f"|{cell}>|final|dense" for cell in CELLS] + [
    "sigmoid|rnn_relu>|final|dense",
    "|rnn_relu>|final|tanh/dense",
]


@pytest.mark.parametrize("structure", STRUCTURES)
def test_other_functions_are_not_covered(structure: str, tmp_path: Path) -> None:
    draft = copy.deepcopy(drafts()["one layer: planes alone"])
    draft.body["network"]["structure"] = structure
    with pytest.raises(NotCovered):
        check(draft.vector("other function", "").write(tmp_path))


@pytest.mark.parametrize("kind", ["frame_balls", "sequence_ball"])
def test_other_norms_are_not_covered(kind: str, tmp_path: Path) -> None:
    draft = copy.deepcopy(drafts()["sequence ball, p one, mean of three: planes alone"])
    draft.body["inputs"] = {"kind": kind, "p": P[2]}
    if kind == "frame_balls":
        draft.tensors["radius"] = tiny_certificates.array(0.5, 0.5, 0.5)
    with pytest.raises(NotCovered):
        check(draft.vector("other norm", "").write(tmp_path))


# Laws: the claim is about the network's equations


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_point_lies_below_an_accepted_margin(name: str) -> None:
    question, source = QUESTIONS[name], random.Random(3)
    least = min(margin(question, forward(question, point(question, source))) for _ in range(60))
    claimed = [float.fromhex(draft.body["margin"]) for key, draft in drafts().items() if key.startswith(f"{name}:")]
    assert claimed
    assert all(0 < m <= least for m in claimed)


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_program_is_the_network(name: str) -> None:
    """Its variables, computed one by one, end in the answers of the plain equations."""
    question, source = QUESTIONS[name], random.Random(4)
    program = Program(
        question.structure, naive(question.weights), read_inputs(question.inputs, naive(question.tensors))
    )
    for _ in range(5):
        values = x = point(question, source)
        for variable in program.variables[len(x) :]:
            if variable.relu_of is not None:
                values = [*values, [max(value, Fraction(0)) for value in values[variable.relu_of]]]
            else:
                sums = list(variable.constant)
                for v, rows in variable.terms.items():
                    sums = [total + dot(row, values[v]) for total, row in zip(sums, rows, strict=True)]
                values = [*values, sums]
        assert [values[v] for v in program.answers] == forward(question, x)


@pytest.mark.parametrize("name", QUESTIONS)
def test_least_is_below_every_point_and_reached(name: str) -> None:
    """No point of X lies below `least`; corners of X, drawn in numbers, reach it."""
    question, source = QUESTIONS[name], random.Random(5)
    inputs = read_inputs(question.inputs, naive(question.tensors))
    drawn = [point(question, source) for _ in range(1500)]
    for _ in range(3):
        form = {t: [Fraction(source.randint(-8, 8), 4) for _ in range(inputs.width)] for t in range(inputs.frames)}
        values = [sum(dot(a, x[t]) for t, a in form.items()) for x in drawn]
        least = inputs.least(form)
        assert least <= min(values)
        if "clip" not in question.inputs or question.inputs["p"] == "inf":  # else corners are not drawn
            assert least == min(values)


@pytest.mark.parametrize("clip", [None, [Fraction(-1, 2), Fraction(3, 4)]])
def test_least_for_the_one_norm_is_a_corners_value(clip: list[Fraction] | None) -> None:
    """At a corner all coordinates but one stand still or at a clip's end, and one has the rest of the radius."""
    source = random.Random(6)
    for _ in range(20):
        center = [[Fraction(source.randint(-2, 3), 4) for _ in range(2)] for _ in range(2)]
        a = [[Fraction(source.randint(-3, 3)) for _ in range(2)] for _ in range(2)]
        radius = Fraction(source.randint(0, 8), 4)
        c, k = joined(center), joined(a)
        low, high = clip or [Fraction(-100), Fraction(100)]
        values = []
        for ends in itertools.product((None, low, high), repeat=4):
            moves = [Fraction(0) if end is None else end - x for end, x in zip(ends, c, strict=True)]
            left = radius - sum(map(abs, moves))
            if left >= 0:
                value = dot(k, c) + dot(k, moves)
                rooms = [(min(left, x - low), min(left, high - x)) for x in c]
                still = [i for i, end in enumerate(ends) if end is None]
                values += [value] + [value - max(k[i] * rooms[i][0], -k[i] * rooms[i][1]) for i in still]
        assert least_of_one_norm({0: a[0], 1: a[1]}, center, [([0, 1], radius)], clip) == min(values)


def test_flipped_bits_never_make_another_claim_valid(tmp_path: Path) -> None:
    """Whatever a flipped bit does, the file is rejected or claims the same; nothing but a verdict comes out."""
    source = random.Random(7)
    vector = next(v for v in ACCEPTED if v.name == "one layer: intersected boxes")
    path = vector.write(tmp_path)
    whole, claimed, verdicts = path.read_bytes(), read_container(path)[0]["claim"], set()
    for _ in range(400):
        flipped = bytearray(whole)
        flipped[source.randrange(len(whole))] ^= 1 << source.randrange(8)
        path.write_bytes(flipped)
        try:
            found = verdict(path)
        except NotCovered:
            continue
        verdicts.add(found)
        assert found != "VALID" or read_container(path)[0]["claim"] == claimed
    assert {"VALID", "INVALID", "UNREADABLE"} <= verdicts


@pytest.mark.parametrize("name", ["one layer: planes alone", "boxes, stacked, rows over every answer: planes alone"])
def test_planes_that_lie_further_out_hold(name: str, tmp_path: Path) -> None:
    """A plane may be looser, as long as the margin that is claimed fits."""
    draft = copy.deepcopy(drafts()[name])
    for k, step in enumerate(draft.body["steps"][:-1]):
        table = draft.tensors[f"step.{k}"]
        units = table.shape[1]
        assert step["rule"] == "planes"
        for unit in range(units):
            table.values[units + unit] -= 2.0**-40
            table.values[3 * units + unit] += 2.0**-40
    path = draft.vector("looser planes, same margin", "").write(tmp_path)
    assert check(path) == "INVALID"
    draft.body["margin"] = (float.fromhex(draft.body["margin"]) - 2.0**-20).hex()
    draft.claim()
    assert check(draft.vector("looser planes, smaller margin", "").write(tmp_path)) == "VALID"
