"""Bounds under suppositions: they hold wherever the supposition does, and what they prove no input contradicts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gpu_engine.cells.unroll import unroll
from gpu_engine.certificates.network import Network
from gpu_engine.certificates.writer import Certificates
from gpu_engine.errors import SpecificationError
from gpu_engine.inputs import FrameBalls
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.propagation.multipliers import best_multipliers
from gpu_engine.propagation.schedule import bound
from gpu_engine.propagation.supposed import suppose_row
from gpu_engine.relaxations.registry import RELAXATIONS
from gpu_engine.search import supposing
from gpu_engine.search.certify import Options, certify
from gpu_engine.search.radius import certified_radius, search_radius
from gpu_engine.search.supposing import THRESHOLD
from gpu_engine.spec import KthLeast, Specification, per_class, untargeted_steps
from gpu_engine.steps import Nonlinear
from refcert.kernel.check import Verdict, check
from refcert.strategies import questions
from tests.engine.certificate_cases import batches
from tests.engine.plain_steps import Exact
from tests.engine.test_bounds_law import excess
from tests.engine.test_optimize import digits

# Values of single steps are computed in extended precision; this is far above their error and below any gain.
ROUNDING = 1e-9


def supposed(question, name, rounds, share):
    """Points of every sample and their exact steps; the rounds for the question's first row, which is supposed not to
    exceed 0 after it was shifted between the least and the greatest value found."""
    points = question.points()
    found = [Exact(question.model, points[:, k]) for k in range(len(question.inputs))]
    rows = [
        one.rows(question.spec.C[k, :1].numpy(), question.spec.d[k, :1].numpy())[0][:, 0] for k, one in enumerate(found)
    ]
    shift = torch.tensor([float(v.min() + share * (v.max() - v.min())) for v in rows], dtype=torch.float64)
    row = Specification(question.spec.C[:, :1], question.spec.d[:, :1] - shift[:, None])
    relaxation = RELAXATIONS[name]
    facts = bound(
        question.model, question.inputs, row, relaxation, dtype=torch.float64, keep_products=False, keep_facts=True
    ).facts
    told = []
    for _ in range(rounds):
        one, facts = suppose_row(
            question.model, question.inputs, row, 0.0, facts, relaxation, dtype=torch.float64, evaluations=4
        )
        told.append((one, facts))
    below = [torch.from_numpy((v - float(s) <= -ROUNDING).copy()) for v, s in zip(rows, shift, strict=True)]
    values = [v - float(s) for v, s in zip(rows, shift, strict=True)]
    return found, below, values, told


@given(question=questions(), name=st.sampled_from(("octagon", "parallel")), share=st.floats(0.05, 0.9))
@settings(max_examples=12)
def test_facts_hold_for_all_points_of_the_supposition(question, name, share):
    found, below, values, told = supposed(question, name, 2, share)
    tape = unroll(question.model, question.inputs.time)
    for sample, (one, chosen) in enumerate(zip(found, below, strict=True)):
        assume(bool(chosen.any()))
        for round_, facts in told:
            assert int(round_.contradicted[sample]) == -1
            assert float(round_.lower[sample]) <= float(values[sample][chosen.numpy()].min()) + ROUNDING
            for number, box in facts.boxes.items():
                inside(one.values[number][chosen.numpy()], box, sample)
            for (number, part), diagonals in facts.diagonals.items():
                step = tape.steps[number]
                assert isinstance(step, Nonlinear)
                read = step.parts[part]
                v, z = (one.values[view.step][chosen.numpy(), view.start : view.stop] for view in (read.v, read.z))
                v = -v if read.negate else v
                inside(v + z, diagonals.plus, sample)
                inside(v - z, diagonals.minus, sample)


def inside(values, box, sample):
    lower, upper = box.lower[sample].numpy(), box.upper[sample].numpy()
    slack = ROUNDING * (1 + abs(values))
    assert bool((values >= lower - slack).all())
    assert bool((values <= upper + slack).all())


@given(question=questions())
@settings(max_examples=8)
def test_what_is_proved_holds_on_every_point(question):
    found = certify(question.model, question.inputs, question.spec, Options("octagon", suppose=3))
    _, beyond = excess(question, found.lower)
    assert beyond <= 0


@given(question=questions(batch=(1, 1)), share=st.floats(0.0, 0.5))
@settings(max_examples=6)
def test_boxes_never_become_wider(question, share):
    _, _, _, told = supposed(question, "octagon", 2, share)
    (_, first), (second, after) = told
    if int(second.contradicted[0]) >= 0:
        return
    for number, box in after.boxes.items():
        assert bool((box.lower >= first.boxes[number].lower).all())
        assert bool((box.upper <= first.boxes[number].upper).all())


def test_more_is_proved_and_nothing_is_lost():
    """The shipped LSTM at a radius where one pass leaves samples open; what one pass proves keeps its bound."""
    model, balls, rows = digits(20, 0.03)
    plain = certify(model, balls, rows, Options("octagon"))
    after = certify(model, balls, rows, Options("octagon", suppose=5))
    kept = plain.margin > 0
    assert int(kept.sum()) < int(after.proved.sum())
    torch.testing.assert_close(after.lower[kept], plain.lower[kept], rtol=1e-9, atol=1e-9)
    new = after.proved & ~kept
    assert after.margin[new].tolist() == [THRESHOLD] * int(new.sum())
    assert torch.equal(after.lower[new] == THRESHOLD, plain.lower[new] <= 0)


def test_samples_do_not_interact(monkeypatch):
    model, balls, rows = digits(20, 0.03)
    together = certify(model, balls, rows, Options("octagon", suppose=3)).proved
    monkeypatch.setattr(supposing, "AT_ONCE", 1)
    parts = [slice(k, k + 1) for k in range(len(together))]
    alone = [certify(model, balls.select(k), rows.select(k), Options("octagon", suppose=3)).proved for k in parts]
    assert torch.equal(together, torch.cat(alone))


def test_rounds_are_kept_only_for_those_who_write_them_down():
    model, balls, rows = digits(20, 0.03)
    (*_, last) = batches(model, balls, rows, Options("octagon", suppose=5))
    assert last.supposed
    for proofs in last.supposed.values():
        for proof in proofs:
            assert len(proof.rounds) == proof.count >= 1


@given(
    peaks=st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=5),
    start=st.floats(1e-3, 1e2),
)
def test_the_best_multiplier_of_a_concave_function(peaks, start):
    """Values -|log(mu / peak)|: unimodal, as a concave function is, and its maximum is known."""
    peak = torch.tensor([peaks], dtype=torch.float64)
    known = torch.full_like(peak, -100.0)
    best, at = best_multipliers(lambda mu: -(mu / peak).log().abs(), torch.full_like(peak, start), known, 40)
    assert bool((best > -0.05).all())
    torch.testing.assert_close(best, -(at / peak).log().abs())


def test_what_overflows_bounds_nothing():
    """Regression: an infinite value of a multiplier far too large was taken for a bound."""
    known = torch.tensor([[-1.0]])
    best, at = best_multipliers(lambda mu: torch.where(mu > 2, torch.inf, -0.5 + 0 * mu), torch.ones(1, 1), known, 6)
    assert best.item() == -0.5
    assert at.item() <= 2


def test_no_multiplier_where_none_helps():
    known = torch.tensor([[1.0, -1.0]])
    best, at = best_multipliers(lambda mu: -mu, torch.ones(1, 2), known, 5)
    assert best.tolist()[0][0] == 1.0
    assert at[0, 0] == 0
    assert at[0, 1] > 0


def test_an_answer_for_every_frame_of_ragged_sequences(tmp_path):
    """Regressions: one row of a question about every frame could not be asked about by itself, and a short sequence's
    question repeats rows behind its end, whose numbers a certificate does not know."""
    seen = 0
    for seed in range(20):
        model = per_frame(seed)
        x = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(seed + 1000), dtype=torch.float64)
        lengths = torch.tensor([1, 2, 3, 2])
        spec = untargeted_steps(model.logits(x).argmax(2), 3, lengths)
        balls = FrameBalls(x, torch.full((4, 3), 0.3, dtype=torch.float64))
        for batch in batches(model, balls, spec, Options("octagon", suppose=3), lengths):
            written = Certificates(batch, Network(model, "network.safetensors"))
            for sample, proofs in batch.supposed.items():
                assert {row for proof in proofs for row in proof.alike} == set(
                    (batch.bounds.lower[sample] == THRESHOLD).nonzero()[:, 0].tolist()
                )
                (tmp_path / "network.safetensors").write_bytes(written.network.content())
                (tmp_path / "one").write_bytes(written.write(sample))
                assert check(tmp_path / "one").verdict is Verdict.VALID
                seen += len(proofs[0].alike) > 1
        if seen:
            return
    raise AssertionError("no repeated row was proved by contradiction")


def per_frame(seed):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return 0.8 * torch.randn(*shape, generator=generator, dtype=torch.float64)

    cell = Direction("lstm", normal(16, 3), normal(16, 4), normal(16), normal(16))
    return RecurrentClassifier(((cell,),), (Dense(normal(3, 4), normal(3)),), readout="every")


def test_a_search_does_not_go_on_from_nothing():
    """Regression: where only the input itself was proved, the second search multiplied 0 until it gave up."""
    quick = search_radius(lambda index, radius: torch.where(radius == 0, 1.0, -1.0).double(), 1, 8.0)
    again = search_radius(lambda index, radius: torch.ones_like(radius), 1, 8.0, known=quick)
    assert again.proved.item() == 0
    assert again.failed.item() == quick.failed.item() > 0
    assert again.evaluations == quick.evaluations


def test_a_search_refuses_readings_at_once():
    model, balls, rows = digits(1, 0.01)
    several = Specification(rows.C, rows.d, KthLeast(2))
    with pytest.raises(SpecificationError, match="read by KthLeast"):
        certified_radius(model, balls.center, torch.ones(1, balls.time), several, options=Options(suppose=1))


def test_rows_that_need_not_hold_one_by_one_are_refused():
    model, balls, rows = digits(2, 0.01)
    several = Specification(rows.C, rows.d, KthLeast(2))
    with pytest.raises(SpecificationError, match="read by KthLeast need not hold one by one"):
        certify(model, balls, several, Options(suppose=1))
    with pytest.raises(SpecificationError, match="read by LabelAgainstOthers"):
        certify(model, balls, per_class(torch.tensor([0, 1]), model.classes), Options(suppose=1))
    with pytest.raises(SpecificationError, match="suppose is -1; give a number of rounds"):
        Options(suppose=-1)
