"""The campaign of corruptions: a part of it in every run, and proof that it notices what it is there to notice."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from flint import arb

from benchmarks.corruptions import Report, Trials, keep
from refcert.kernel import check as kernel
from refcert.kernel import container, ends, input_sets, rules, substitution
from refcert.kernel import order as order_of_steps
from refcert.kernel.claims import Status, Verdict
from refcert.kernel.steps import FORMS
from tests.certificates import corruption_trial as trial
from tests.certificates.corruption_seeds import BLOCKS, DIAGONALS, PLANS, TINY, Seed, seed
from tests.certificates.corruptions import KINDS, Corruption, Work, corrupted

CLIPPED, TOP_K, SEVERAL = TINY[1], TINY[2], TINY[3]
FEW = (
    *TINY[:4],
    "tanh, every",
    "sigmoid, blocks, substitutions",
    "gru, clipped ball",
    "gru, both directions, last frame",
    *DIAGONALS,
    *BLOCKS,
)


def few() -> tuple[Seed, ...]:
    return tuple(map(seed, FEW))


def test_no_corruption_is_taken_for_a_proof() -> None:
    found = [trial.outcome(number, 1, few()) for number in range(400)]
    assert [one for one in found if one.word in trial.BAD] == []
    words = Counter(one.word for one in found)
    assert set(words) == set(trial.WORDS) - set(trial.BAD)
    assert min(words.values()) >= 5, words


def test_every_cell_set_question_readout_and_rule_is_corrupted() -> None:
    cells, sets, asked, readouts, rules_used = set(), set(), set(), set(), set()
    for name in (*TINY, *PLANS, *DIAGONALS, *BLOCKS):
        draft = seed(name).copy()
        _, layers, readout, _ = draft.structure.split("|")
        cells |= {direction[:-1] for layer in layers.split(";") for direction in layer.split(",")}
        readouts.add(readout)
        sets.add(draft.body["inputs"]["kind"])
        asked.add(draft.body["specification"]["kind"])
        rules_used |= {step["rule"] for step in draft.body["steps"]}
    assert cells == {"lstm", "gru", "gru_reset_before", "rnn_tanh", "rnn_relu", "rnn_sigmoid"}
    assert sets == {"frame_balls", "sequence_ball", "boxes", "substitutions"}
    assert asked == {"untargeted", "targeted", "top_k", "untargeted_steps", "rows"}
    assert readouts == {"final", "last_frame", "mean", "max", "every"}
    assert rules_used == set(FORMS)


@pytest.mark.parametrize("name", FEW)
def test_an_untouched_certificate_is_valid_and_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    one = seed(name)
    for file, data in one.files.items():
        (tmp_path / file).write_bytes(data)
    result = kernel.check(tmp_path / trial.CERTIFICATE)
    assert (result.verdict, result.claim.digest) == (kernel.Verdict.VALID, one.claim)
    draft = one.copy()
    draft.digest()
    draft.claim()
    assert draft.body["claim"] == one.claim


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_number_always_makes_the_same_corruption(kind) -> None:
    first, again = ([corrupted(number, 2, few(), [kind]) for number in range(10)] for _ in range(2))
    assert [one.work.files() for one in first] == [one.work.files() for one in again]
    honest = {one.name: one.files for one in few()}
    if kind.name not in ("short of time", "hostile network file", "hostile certificate file"):
        assert any(one.work.files() != honest[one.work.seed.name] for one in first)


# What the campaign and the fuzzer found, each once


def list_for_a_type(work: Work) -> None:
    """Asked whether it is one of a dictionary's keys, a list raised TypeError; the last tensor is a weight."""
    work.draft.header = lambda text: '"dtype":[]'.join(text.rsplit('"dtype":"F64"', 1))


def string_without_end(work: Work) -> None:
    """Looking for strings took the square of the header's length, which no budget covers: 30 KB took 20 seconds."""
    work.draft.header = lambda text: text[:1] + '"' + '\\"' * 40_000 + text[-1:]


def tiny_ball_on_the_border(work: Work) -> None:
    """The room below a centre on the border came out a little negative, and its power as a complex number."""
    center, radius = work.draft.tensors["center"].values, work.draft.tensors["radius"].values
    work.draft.body["inputs"] |= {"p": (1.5).hex(), "clip": [min(center).hex(), max(center).hex()]}
    radius[:] = [2.0**-200] * len(radius)


def folder_for_a_network(work: Work) -> None:
    """Opening it raised IsADirectoryError."""

    def change(folder: Path) -> None:
        (path,) = [path for path in folder.iterdir() if path.name != trial.CERTIFICATE]
        path.unlink()
        path.mkdir()

    work.folder = change


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (list_for_a_type, TINY[0]),
        (string_without_end, TINY[0]),
        (tiny_ball_on_the_border, "gru, clipped ball"),
        (folder_for_a_network, CLIPPED),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_was_found_once(change: Callable[[Work], None], name: str, tmp_path: Path) -> None:
    source = seed(name)
    work = Work(source, (), source.copy(), random.Random(0))
    change(work)
    made = Corruption(0, change.__name__, work)
    made.sign()
    found = trial.judged(made, tmp_path)
    assert found.word not in trial.BAD, found


# Faults planted in the kernel: the campaign must see each of them


def first(word: str, kinds: tuple[str, ...], names: tuple[str, ...] = FEW, most: int = 600) -> trial.Outcome | None:
    """The first corruption of these kinds that gets this word."""
    chosen = [kind for kind in KINDS if kind.name in kinds]
    assert len(chosen) == len(kinds)
    certificates = tuple(map(seed, names))
    found = (trial.outcome(number, 3, certificates, chosen) for number in range(most))
    return next((one for one in found if one.word == word), None)


def planes_unproved(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules, "check_plane", lambda claim: Verdict(Status.PROVED, "", 0))


def upper_planes_unproved(patch: pytest.MonkeyPatch) -> None:
    honest = rules.check_plane
    proved = Verdict(Status.PROVED, "", 0)
    patch.setattr(rules, "check_plane", lambda claim: proved if claim.side == "upper" else honest(claim))


def planes_proved_with_a_tolerance(patch: pytest.MonkeyPatch) -> None:
    honest = rules.check_plane

    def lax(claim):
        found = honest(claim)
        small = found.status is Status.REFUTED and found.violation < 1e-9
        return Verdict(Status.PROVED, "", 0) if small else found

    patch.setattr(rules, "check_plane", lax)


def boxes_unproved(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules, "prove_ends", lambda *_: None)


def upper_ends_unproved(patch: pytest.MonkeyPatch) -> None:
    honest = rules.prove_ends
    patch.setattr(rules, "prove_ends", lambda state, ends, *more: honest(state, [e for e in ends if e.sign > 0], *more))


def diagonals_unproved(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ends.SumsOfEnds, "lower", lambda sums, asked: [arb(end.claimed) for end in asked])


def digests_unchecked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(kernel, "_require_named", lambda certificate, claim: None)


def digest_without_the_inputs(patch: pytest.MonkeyPatch) -> None:
    """The claim's digest forgets the tensors: a moved centre keeps the old name."""
    honest = kernel._require_named

    def lax(certificate, claim) -> None:
        if certificate.named_digest != claim.network:
            honest(certificate, claim)

    patch.setattr(kernel, "_require_named", lax)


def order_unchecked(patch: pytest.MonkeyPatch) -> None:
    """Steps may stand anywhere, and the margin may be missing."""

    def lax(order, step, *, last) -> None:
        order_of_steps.fill_boxes(order.state, 0, max(step.of, 0), ends.PRECISIONS)

    patch.setattr(order_of_steps.Order, "next", lax)


def dual_norm_too_small(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(input_sets.Ball, "_dual_norm", lambda ball, size: sum(size, arb(0)) / len(size))


def clip_on_the_wrong_side(patch: pytest.MonkeyPatch) -> None:
    """The room of a coordinate in a cut ball is taken as none."""
    patch.setattr(input_sets.Ball, "_room", lambda ball, row, *_: (arb(0) for _ in row))


def radius_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(input_sets._Ends, "__call__", lambda ends, t: ([arb(x) for x in ends.lower.row(t)],) * 2)


def first_candidate_only(patch: pytest.MonkeyPatch) -> None:
    honest = input_sets.Substitutions.__init__
    patch.setattr(
        input_sets.Substitutions,
        "__init__",
        lambda words, center, tensors, choices: honest(words, center, tensors, [some[:1] for some in choices]),
    )


def lower_planes_for_both_signs(patch: pytest.MonkeyPatch) -> None:
    honest = substitution._chosen
    patch.setattr(
        substitution, "_chosen", lambda flat, signs, lower, upper: honest(flat, [1] * len(flat), lower, upper)
    )


def missing_planes_are_zero(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(substitution, "_without_planes", lambda forms, flat, size: None)


def margin_unproved(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(rules.RULES, "margin", lambda step, state, claimed: None)


def margin_per_class_unproved(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(rules.RULES, "margin.per_class", lambda step, state, claimed: None)


def one_class_more_to_spare(patch: pytest.MonkeyPatch) -> None:
    honest = kernel.read_specification

    def lax(entry, *more):
        found = honest(entry, *more)
        return kernel.Specification(
            found.rows, found.constants, found.spare + 1, found.label, found.others, found.tensors
        )

    patch.setattr(kernel, "read_specification", lax)


FORGED = ("plane or box moved inward", "number of a step", "rows, units, tensors exchanged")
FAULTS: list[tuple[Callable[[pytest.MonkeyPatch], None], tuple[str, ...], tuple[str, ...]]] = [
    (planes_unproved, FORGED, FEW),
    (upper_planes_unproved, FORGED, FEW),
    (planes_proved_with_a_tolerance, FORGED, FEW),
    (boxes_unproved, FORGED, FEW),
    (upper_ends_unproved, FORGED, FEW),
    (diagonals_unproved, FORGED, DIAGONALS),
    (digests_unchecked, ("bits flipped in the numbers",), FEW),
    (digests_unchecked, ("bits flipped in the network's file",), FEW),
    (digest_without_the_inputs, ("another input set",), FEW),
    (digest_without_the_inputs, ("another margin",), FEW),
    (order_unchecked, ("step left out",), FEW),
    (dual_norm_too_small, ("another input set",), (TOP_K, "gru, both directions, last frame")),
    (clip_on_the_wrong_side, ("another input set",), (TOP_K, SEVERAL)),
    (radius_forgotten, ("another input set",), FEW),
    (first_candidate_only, ("another input set",), ("sigmoid, blocks, substitutions",)),
    (lower_planes_for_both_signs, FORGED, FEW),
    (missing_planes_are_zero, ("step left out",), FEW),
    (margin_unproved, ("another margin",), FEW),
    (margin_per_class_unproved, ("another margin",), ("gru, clipped ball",)),
    (one_class_more_to_spare, FORGED, FEW),
]


@pytest.mark.parametrize(
    ("fault", "kinds", "names"), FAULTS, ids=[f"{fault.__name__}, {kinds[0]}" for fault, kinds, _ in FAULTS]
)
def test_a_kernel_that_proves_too_little_is_caught(fault, kinds, names, monkeypatch: pytest.MonkeyPatch) -> None:
    fault(monkeypatch)
    assert first(trial.WRONG, kinds, names) is not None


def test_other_exceptions_are_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_whole", lambda text: {}[text])
    found = first(trial.CRASHED, ("JSON damaged",))
    assert found is not None
    assert found.said.startswith("KeyError")
    assert found.files is not None


def test_a_check_that_takes_too_long_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = order_of_steps.fill_boxes

    def slow(state, *rest) -> None:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
        honest(state, *rest)

    monkeypatch.setattr(order_of_steps, "fill_boxes", slow)
    monkeypatch.setattr(trial, "BUDGET", 0.01)
    monkeypatch.setattr(trial, "GRACE", 0.0)
    assert first(trial.OVER, ("step left out",), most=10) is not None


# The benchmark around it


def test_what_ends_a_process_counts_as_bad(tmp_path: Path) -> None:
    work, report = Trials(1, few()), Report()
    died, _ = work.given_up(0, "the process that checked it died (SIGABRT); check it by itself, with more memory", 1.0)
    late, _ = work.given_up(1, "the budget of 60 seconds ended", 70.0)
    good = trial.outcome(2, 1, few())
    assert [died.word, late.word] == [trial.CRASHED, trial.OVER]
    for one in (died, late, good):
        report.add(one)
    assert report.bad == [died, late]
    page = report.page(few())
    assert page.count("| all | ") == 2
    assert f"- 0, {died.kind}, {died.seed}: CRASHED" in page
    assert "| 70.00 |" in page
    keep(tmp_path, died)
    assert (tmp_path / "0-crashed" / trial.CERTIFICATE).read_bytes() == corrupted(0, 1, few()).work.files()[
        trial.CERTIFICATE
    ]
