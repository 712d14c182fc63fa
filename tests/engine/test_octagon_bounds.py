"""Laws of runs of `octagon`: v + z, v - z, v and z stay in diagonals and boxes, and outputs above the bounds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.bounds import Box, Diagonals
from gpu_engine.errors import NumericalError, SoundnessFault
from gpu_engine.propagation import schedule
from gpu_engine.propagation.schedule import bound
from gpu_engine.relaxations.registry import RELAXATIONS
from gpu_engine.steps import Nonlinear
from refcert.strategies import Question, questions
from tests.engine.octagon_planes import not_proved, octagon_claims
from tests.engine.plain_steps import Exact

OCTAGON = RELAXATIONS["octagon"]
DTYPES = {"float64": torch.float64, "float32": torch.float32}


def leaving(question: Question, products) -> list[str]:
    """Whatever leaves its box or its diagonals at sampled inputs, by more than the samples' own rounding."""
    found = question.points()
    wrong = []
    for sample in range(len(question.inputs)):
        exact = Exact(question.model, found[:, sample])
        seen = iter(products)
        for step in exact.tape.steps:
            for part in step.parts if isinstance(step, Nonlinear) else ():
                product = next(seen)
                pairs = [_values(exact, view, negate) for view, negate in ((part.v, part.negate), (part.z, False))]
                checks = [("v", pairs[0], product.v)]
                if part.z is None:
                    assert product.diagonals is None
                else:
                    (v, v_coarse), (z, z_coarse) = pairs
                    plus, minus = (v + z, v_coarse + z_coarse), (v - z, v_coarse - z_coarse)
                    checks += [("z", pairs[1], product.z)]
                    checks += [("v + z", plus, product.diagonals.plus), ("v - z", minus, product.diagonals.minus)]
                for what, (fine, coarse), box in checks:
                    error = exact.error(fine, coarse)
                    inside = (box.lower[sample].double().numpy() <= fine + error) & (
                        fine - error <= box.upper[sample].double().numpy()
                    )
                    if not inside.all():
                        wrong.append(f"{what} of {product.name}, frame {product.t}")
        assert next(seen, None) is None
    return wrong


def _values(exact, view, negate):
    """Values of a view in many digits and in few, (points, units)."""
    if view is None:
        return None
    units = slice(view.start, view.stop)
    fine, coarse = exact.values[view.step][:, units], exact.coarse[view.step][:, units]
    return (-fine, -coarse) if negate else (fine, coarse)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@settings(max_examples=max(1, settings.default.max_examples // 2))
@given(question=questions(scales=(0.1, 0.5, 1.0, 3.0)))
def test_nothing_leaves_boxes_and_diagonals(question, dtype):
    result = bound(question.model, question.inputs, question.spec, OCTAGON, dtype=dtype)
    assert leaving(question, result.products) == []
    found = question.points()
    for sample in range(len(question.inputs)):
        exact = Exact(question.model, found[:, sample])
        value, error = exact.rows(question.spec.C[sample].numpy(), question.spec.d[sample].numpy())
        assert (result.lower[sample].double().numpy() <= value + error).all()


@settings(max_examples=max(1, settings.default.max_examples // 4))
@given(question=questions(), dtype=st.sampled_from(sorted(DTYPES)))
def test_every_plane_of_a_run_is_proved_on_its_octagon(question, dtype):
    products = bound(question.model, question.inputs, question.spec, OCTAGON, dtype=DTYPES[dtype]).products
    rows = []
    for product in products:
        if product.diagonals is not None:
            rows += octagon_claims(product.kind, product.v, product.z, product.diagonals, product.planes)
    assert not_proved(rows[:: max(1, len(rows) // 60)]) == []


@settings(max_examples=max(1, settings.default.max_examples // 3))
@given(question=questions())
def test_diagonals_are_never_wider_than_the_box(question):
    products = bound(question.model, question.inputs, question.spec, OCTAGON, dtype=torch.float64).products
    for product in products:
        if product.diagonals is None:
            assert product.kind not in ("sigmoid_times_tanh", "sigmoid_times_identity")
            continue
        v, z = product.v, product.z
        for box, low, high in (
            (product.diagonals.plus, v.lower + z.lower, v.upper + z.upper),
            (product.diagonals.minus, v.lower - z.upper, v.upper - z.lower),
        ):
            slack = 1e-12 * (1 + v.magnitude() + z.magnitude())
            assert bool((box.lower <= box.upper).all())
            assert bool((box.lower >= low - slack).all())
            assert bool((box.upper <= high + slack).all())


@pytest.mark.parametrize("end", ["lower", "upper"])
@pytest.mark.parametrize("which", ["plus", "minus"])
def test_a_diagonal_that_is_too_narrow_is_seen(monkeypatch, which, end):
    """Each end of each diagonal, moved inward by a fifth of its width: the law above, or the engine itself, sees it."""
    whole = schedule._Run._diagonals
    seen = 0

    def narrow(self, number, step, parts):
        found = []
        for one in whole(self, number, step, parts):
            box = getattr(one, which)
            width = (box.upper - box.lower) / 5
            moved = Box(box.lower + width, box.upper) if end == "lower" else Box(box.lower, box.upper - width)
            found.append(dataclasses.replace(one, **{which: moved}))
        return found

    monkeypatch.setattr(schedule._Run, "_diagonals", narrow)

    @settings(max_examples=10, derandomize=True, database=None)
    @given(question=questions(cells=("lstm", "gru"), scales=(1.0, 3.0)))
    def try_it(question):
        nonlocal seen
        try:
            products = bound(question.model, question.inputs, question.spec, OCTAGON, dtype=torch.float64).products
            seen += bool(leaving(question, products))
        except (NumericalError, SoundnessFault):
            seen += 1

    try_it()
    assert seen >= 2


def test_other_relaxations_have_no_diagonals():
    rng = np.random.default_rng(0)
    v, z = (Box(torch.tensor(-rng.uniform(1, 2, 4)), torch.tensor(rng.uniform(1, 2, 4))) for _ in range(2))
    diagonals = Diagonals(Box(v.lower / 4, v.upper / 4), Box(z.lower / 4, z.upper / 4))
    for name, relaxation in RELAXATIONS.items():
        for kind in ("sigmoid_times_tanh", "sigmoid_times_identity"):
            plain, cut = relaxation.planes(kind, v, z), relaxation.planes(kind, v, z, diagonals)
            same = torch.equal(plain.upper.offset, cut.upper.offset)
            assert same == (name != "octagon")
