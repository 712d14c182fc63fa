"""Questions: their rows, and that a positive margin means what the question asks, tried on outputs themselves."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpu_engine.errors import SpecificationError
from gpu_engine.spec import (
    AllRows,
    KthLeast,
    LabelAgainstOthers,
    Specification,
    Steps,
    matrix,
    per_class,
    targeted,
    top_k,
    untargeted,
    untargeted_steps,
)


@st.composite
def outputs(draw, time=None):
    """Outputs (batch, [time,] classes), with ties, and labels (batch, [time])."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shape = (draw(st.integers(1, 4)), *(() if time is None else (time,)))
    classes = draw(st.integers(2, 5))
    y = torch.randint(-3, 4, (*shape, classes), generator=generator).double()
    return y, torch.randint(0, classes, shape, generator=generator)


def _lower(question: Specification, y: torch.Tensor) -> torch.Tensor:
    """The best lower bounds if the outputs are y (batch, outputs) for sure: the rows' values."""
    return torch.einsum("bsc,bc->bs", question.C, y) + question.d


def _others_reaching(y: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    own = y.gather(-1, labels[..., None])
    return (y >= own).sum(-1) - 1


@given(question=outputs())
def test_untargeted_targeted_and_per_class_ask_for_the_largest_output(question):
    y, labels = question
    classes = y.shape[1]
    largest = _others_reaching(y, labels) == 0
    for rows in (untargeted(labels, classes), per_class(labels, classes), top_k(labels, 1, classes)):
        assert torch.equal(rows.margins(_lower(rows, y)) > 0, largest)
    margin = untargeted(labels, classes)
    each = [targeted(labels, (labels + k) % classes, classes) for k in range(1, classes)]
    least = torch.stack([rows.margins(_lower(rows, y)) for rows in each]).amin(0)
    assert torch.equal(least, margin.margins(_lower(margin, y)))


@given(question=outputs(), k=st.integers(1, 4))
def test_top_k_asks_for_fewer_than_k_others(question, k):
    y, labels = question
    k = min(k, y.shape[1] - 1)
    rows = top_k(labels, k, y.shape[1])
    assert torch.equal(rows.margins(_lower(rows, y)) > 0, _others_reaching(y, labels) <= k - 1)


@given(question=outputs(), seed=st.integers(0, 2**31))
def test_the_papers_criterion_is_never_above_the_margin_rows(question, seed):
    """Bounds of single outputs within [y - slack, y + slack] against those of rows computed from the same interval."""
    y, labels = question
    slack = torch.rand(y.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    paper, margin = per_class(labels, y.shape[1]), untargeted(labels, y.shape[1])

    def interval(rows: Specification) -> torch.Tensor:
        return torch.einsum("bsc,bc->bs", rows.C, y) - torch.einsum("bsc,bc->bs", rows.C.abs(), slack)

    assert bool((paper.margins(interval(paper)) <= margin.margins(interval(margin)) + 1e-12).all())


@given(question=outputs(time=3))
def test_steps_ask_every_step_on_its_own(question):
    y, labels = question
    batch, time, classes = y.shape
    rows = untargeted_steps(labels, classes)
    lower = _lower(rows, y.reshape(batch, time * classes))
    holds = _others_reaching(y, labels) == 0
    assert torch.equal(rows.reading.step_margins(lower) > 0, holds)
    assert torch.equal(rows.margins(lower) > 0, holds.all(1))
    for t in range(time):
        alone = untargeted(labels[:, t], classes)
        assert torch.equal(rows.reading.step_margins(lower)[:, t], alone.margins(_lower(alone, y[:, t])))


@given(question=outputs(time=3), seed=st.integers(0, 2**31))
def test_steps_behind_the_end_are_not_asked_about(question, seed):
    y, labels = question
    batch, time, classes = y.shape
    lengths = torch.randint(1, time + 1, (batch,), generator=torch.Generator().manual_seed(seed))
    padding = torch.arange(time) >= lengths[:, None]
    rows = untargeted_steps(labels.masked_fill(padding, -100), classes, lengths)
    lower = _lower(rows, y.masked_fill(padding[..., None], 1e6).reshape(batch, -1))
    assert torch.equal(rows.margins(lower) > 0, ((_others_reaching(y, labels) == 0) | padding).all(1))


def test_a_matrix_is_shared_or_per_sample():
    C = torch.tensor([[1.0, -1.0], [0.0, 2.0]], dtype=torch.float64)
    shared = matrix(C, torch.tensor([0.5, -1.0]).double(), batch=3)
    own = matrix(C.expand(3, 2, 2), torch.tensor([0.5, -1.0]).double().expand(3, 2), batch=3)
    assert torch.equal(shared.C, own.C)
    assert torch.equal(shared.d, own.d)
    assert torch.equal(matrix(C, batch=2).d, torch.zeros(2, 2).double())
    lower = torch.tensor([[0.25, -0.5]] * 3, dtype=torch.float64)
    assert torch.equal(shared.margins(lower), torch.full((3,), -0.5).double())


@given(question=outputs())
def test_questions_about_some_samples_are_read_alike(question):
    y, labels = question
    classes = y.shape[1]
    for rows in (untargeted(labels, classes), top_k(labels, classes - 1, classes), per_class(labels, classes)):
        margins = rows.margins(_lower(rows, y))
        index = torch.arange(len(labels) - 1, -1, -1)
        for part, kept in ((rows.select(index), index), (rows.select(slice(0, 1)), slice(0, 1))):
            assert len(part) == len(labels[kept])
            assert torch.equal(part.to(torch.device("cpu")).margins(_lower(part, y[kept])), margins[kept])


ROWS = torch.zeros(1, 2, 3).double()


@pytest.mark.parametrize(
    ("ask", "shown"),
    [
        (lambda: untargeted(torch.tensor([0, 7]), 3), "labels[1] is 7; the model has classes 0 to 2"),
        (lambda: untargeted(torch.tensor([0.0]), 3), "labels are torch.float32"),
        (lambda: untargeted(torch.tensor([[0]]), 3), "(1, 1); they need one per sample"),
        (lambda: untargeted(torch.tensor([0]), 1), "1 class"),
        (lambda: targeted(torch.tensor([1]), torch.tensor([1]), 3), "its own label"),
        (lambda: top_k(torch.tensor([1]), 0, 3), "k is 0"),
        (lambda: top_k(torch.tensor([1]), 3, 3), "1 <= k <= 2"),
        (lambda: untargeted_steps(torch.tensor([1]), 3), "(1,); a label per frame needs (batch, time)"),
        (lambda: untargeted_steps(torch.tensor([[1, 5]]), 3), "labels[0, 1] is 5"),
        (lambda: untargeted_steps(torch.tensor([[1, 1]]), 3, torch.tensor([3])), "lengths[0] is 3"),
        (lambda: untargeted_steps(torch.tensor([[1, 1]]), 3, torch.tensor([1.0])), "whole number"),
        (lambda: matrix(torch.zeros(3).double(), batch=1), "(3,)"),
        (lambda: matrix(ROWS, batch=2), "(1, 2, 3)"),
        (lambda: matrix(ROWS, torch.zeros(3).double(), batch=1), "d has shape (3,)"),
        (lambda: matrix(ROWS.float(), batch=1), "float32"),
        (lambda: matrix(ROWS + math.nan, batch=1), "nan"),
        (lambda: Specification(ROWS, torch.zeros(1, 3).double()), "(1, 3)"),
        (lambda: Specification(ROWS, ROWS[..., 0], KthLeast(3)), "k is 3; it needs 1 <= k <= 2"),
        (lambda: Specification(ROWS[:, :1], ROWS[:, :1, 0], LabelAgainstOthers()), "1 rows"),
        (lambda: Specification(ROWS, ROWS[..., 0], Steps(3)), "2 rows cannot be shared out"),
        (lambda: Specification(ROWS[:, :0], ROWS[:, :0, 0], AllRows()), "no row"),
        (lambda: Specification(ROWS, ROWS[..., 0]).margins(torch.zeros(1, 3).double()), "(1, 3); they need (batch, 2)"),
    ],
)
def test_bad_questions_show_the_value(ask, shown):
    with pytest.raises(SpecificationError) as caught:
        ask()
    assert shown in str(caught.value)
