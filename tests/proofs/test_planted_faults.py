"""Lemmas read the code: a fault planted in it makes the lemma that rests on it fail."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gpu_engine import inputs
from gpu_engine.bounds import Box
from gpu_engine.cells import gru, lstm, unroll, vanilla
from gpu_engine.cells.state import State
from gpu_engine.propagation import interval, schedule
from gpu_engine.propagation.input_sets import box
from gpu_engine.relaxations import offsets, parallel, planes, relu
from gpu_engine.steps import Nonlinearity, Tape, Term, terms_of
from proofs.lemma import LemmaError
from proofs.registry import LEMMAS
from refcert.audit.branching import excess, places
from refcert.audit.tightness import means
from refcert.kernel.claims import PlaneClaim

CHECK = {lemma.name: lemma.check for lemma in LEMMAS}
_affine, _barycentric, _both_sides = Tape.affine, planes._barycentric, offsets.both_sides


def _first_bias_only(self, name, size, terms, given, place):
    return _affine(self, name, size, terms, given[:1], place)


def _without_sign(*args: Any, negate: bool = False) -> Nonlinearity:
    return Nonlinearity(*args)


def _box_as_it_is(run, view, negate=False):
    return run.state.box[view.step]


# lemma, where, attribute, the fault
FAULTS = [
    ("cell_steps", Tape, "affine", _first_bias_only),
    ("cell_steps", lstm, "terms_of", lambda sources, weight: terms_of(sources[::-1], weight)),
    ("cell_steps", vanilla, "Nonlinearity", lambda kind, name, v: Nonlinearity("tanh", name, v)),
    ("gru_update", gru, "Nonlinearity", _without_sign),
    ("gru_update", Tape, "affine", _first_bias_only),
    ("network_steps", unroll, "_constant", lambda *_: None),
    ("network_steps", unroll, "State", lambda hidden, cell=None: State(hidden)),
    ("network_steps", lstm, "State", lambda hidden, cell: State(hidden)),
    ("network_steps", unroll, "terms_of", lambda sources, weight: terms_of(sources[::-1], weight)),
    ("mean_readout", unroll, "Term", lambda view, divisor=1: Term(view, divisor=divisor + 1)),
    ("maximum_readout", unroll, "_larger", lambda tape, a, b, place: b),
    ("parallel_planes", parallel, "both_sides", lambda v, z: _both_sides(Box(v.upper, v.upper), z)),
    ("parallel_planes", parallel, "replace", lambda plane, slope_z: replace(plane, slope_z=2 * slope_z)),
    ("least_volume_gap", planes, "_barycentric", lambda p, q, x, y: _barycentric(q, q, x, y)),
    ("least_volume_plane", means, "_mean_of_tanh", lambda low, high: (low + high) / 2),
    ("relu_lines", relu, "common_slope", lambda v: 2 * v.upper / (v.upper - v.lower)),
    ("interval_arithmetic", interval, "add", lambda a, b: Box(a.lower + b.upper, a.upper + b.upper)),
    ("interval_arithmetic", schedule._Run, "_box", _box_as_it_is),
    (
        "box_concretize",
        box,
        "between",
        lambda low, high, middle, _: box.PreparedBox(middle, Box(low, high), middle - low),
    ),
    ("decibel_radius", inputs, "_DIGITS_ERROR", Decimal("1e-60")),
    ("branching_values", excess.Excess, "_value_line", lambda form, v, y: v.value * y.x),
    ("branching_values", places, "tanh_place", places.sigmoid_place),
    ("kernel_claims", PlaneClaim, "original_point", lambda claim, v, z: (v, z)),
]


@pytest.mark.parametrize(
    ("lemma", "where", "attribute", "fault"), FAULTS, ids=[f"{lemma}: {attribute}" for lemma, _, attribute, _ in FAULTS]
)
def test_fault_in_the_code_is_seen(lemma, where, attribute, fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(where, attribute, fault)
    with pytest.raises(LemmaError):
        CHECK[lemma]()
