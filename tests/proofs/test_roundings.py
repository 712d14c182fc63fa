"""The count of roundings: known counts, and refusal of what it does not know."""

import pytest
import sympy as sp
import torch

from gpu_engine.relaxations.products import PRODUCTS
from gpu_engine.rounding import ELEMENTARY_UNITS, TANGENT_UNITS
from proofs.forward_errors import Bounded
from proofs.lemma import LemmaError
from proofs.lemmas import curve_rounding, octagon_rounding
from proofs.lemmas.offset_rounding import MODULES, traced, units
from proofs.roundings import LARGEST_U, STEEPNESS, UNKNOWN, Interval, bounded_counts, leaf, longest, point, total

m, w, o, g, a, b = sp.symbols("m w o g a b", positive=True)
V = Interval(m, w, o, g)


def test_sums_and_products_are_counted_per_term() -> None:
    x, y = leaf(a), leaf(b)
    result = x * y + x - y
    # x y: product and two sums; x: two sums; y: one
    assert result.terms == {a * b: (1, 3), a: (1, 2), b: (1, 1)}


def test_powers_of_two_are_exact_and_other_constants_are_not() -> None:
    assert longest((leaf(a) * 4).terms) == 0
    assert longest((leaf(a) * 3).terms) == 1


def test_a_computed_number_is_no_constant() -> None:
    x = point(V)
    one = torch.sigmoid(x) + torch.sigmoid(-x)
    assert one.formula == 1
    assert longest((leaf(a) * one).terms) == ELEMENTARY_UNITS + 2


def test_widths_are_widths_and_loose_points_overshoot() -> None:
    assert total((point(V) - point(V)).terms) == w
    loose = torch.maximum(point(V), UNKNOWN)
    assert total(loose.terms) == m + o
    assert total((point(V) - loose).terms) == w + o
    assert total(torch.minimum(loose, point(V)).terms) == m
    # cut twice from the same side it stays loose
    assert total(torch.maximum(loose, point(V)).terms) == m + o


def test_sigmoid_of_both_signs_is_steepness() -> None:
    x = point(V)
    assert (torch.sigmoid(x) * torch.sigmoid(-x)).terms == {STEEPNESS: (1, 2 * ELEMENTARY_UNITS + 1)}
    assert (torch.sigmoid(x) * torch.sigmoid(point(V))).terms == {1: (1, 2 * ELEMENTARY_UNITS + 1)}


def test_unknown_stays_unknown_until_it_is_clamped() -> None:
    assert not (torch.log(leaf(a)) * 0 + 1).known
    assert not (leaf(a) / leaf(b)).known
    assert torch.minimum(torch.maximum(UNKNOWN, point(V)), point(V)).known


@pytest.mark.parametrize(
    "operation",
    [
        lambda: torch.cos(leaf(a)),
        lambda: torch.tanh(leaf(a)),
        lambda: torch.sigmoid(leaf(a) + leaf(b)),
        lambda: torch.exp(leaf(a) * 3),
        lambda: torch.maximum(point(V), point(Interval(a, b, o, g))),
        lambda: torch.where(leaf(a) > 0, leaf(a), leaf(b), out=leaf(a)),
        lambda: bounded_counts(2**20),
    ],
)
def test_what_is_not_known_is_refused(operation) -> None:
    with pytest.raises(LemmaError):
        operation()


@pytest.mark.parametrize("kind", list(MODULES))
def test_candidates_are_counted(kind: str) -> None:
    best, slack = traced(MODULES[kind], torch.float64)
    assert best.known
    assert slack.known
    assert 10 < longest(best.terms) < 60


def test_the_constant_is_near_what_is_needed() -> None:
    assert 30 < units() <= 48


@pytest.mark.parametrize(("name", "least", "most"), [("sigmoid", 20, 24), ("tanh", 30, 36), ("relu", 3, 4)])
def test_candidates_of_lines_are_counted(name: str, least: int, most: int) -> None:
    assert least <= curve_rounding.units(name) <= most
    for sign in curve_rounding.SIGNS.values():
        best, slack = curve_rounding.traced(curve_rounding.CURVES[name], sign, torch.float64)
        assert best.known
        assert slack.known


# errors by sizes


def test_errors_of_sums_and_products_are_those_of_their_sizes() -> None:
    x, y = Bounded(a), Bounded(b)
    assert (x + y).error == a + b
    assert ((x + y) - x).error == sp.expand((a + b) * (1 + LARGEST_U) + 2 * a + b)
    assert (x * y).error == a * b
    assert ((x + y) * x).error == sp.expand(a * (a + b) * (1 + LARGEST_U) + a * (a + b))
    assert (x / 2).error == 0
    assert (4 * (x + y)).error == 4 * a + 4 * b
    assert torch.maximum(x + y, x).size == a + b
    assert torch.sigmoid(x).error > ELEMENTARY_UNITS


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: 3 * x,
        lambda x: x / x,
        lambda x: x.clamp(min=1.0),
        torch.cos,
        lambda x: torch.sigmoid(x + x),
        lambda x: torch.maximum(x, x, out=x),
    ],
)
def test_what_has_no_known_error_is_refused(operation) -> None:
    with pytest.raises(LemmaError):
        operation(Bounded(a))


def test_the_units_of_octagons_are_near_what_is_needed() -> None:
    error = sp.expand(octagon_rounding.tangent_error().error)
    largest = max(term.as_coeff_Mul()[0] for term in sp.Add.make_args(error))
    assert TANGENT_UNITS / 2 < largest < TANGENT_UNITS
    for product in PRODUCTS.values():
        best, slack = octagon_rounding.traced(product, torch.float32)
        assert best.known
        assert slack.known
