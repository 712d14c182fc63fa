"""The kernel's bounds of rows: against the reference layer with the same planes, and against more bits of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.certificates.network import Network as NetworkFile
from gpu_engine.certificates.writer import Certificates
from gpu_engine.relaxations.registry import RELAXATIONS
from gpu_engine.search.certify import BoundedBatch, Options, certify
from gpu_engine.spec import Specification
from refcert.kernel import rules
from refcert.kernel.ball import float_above, float_below, precision
from refcert.kernel.check import Verdict, check
from refcert.reference.given_planes import bounds_with_planes, given_from_columns
from tests.reference.drawn import CELLS, input_sets, networks, seeds
from tests.reference.engine_side import classifier, columns_of, engine_set, tensor
from tests.reference.test_bounds import rows_of, small

BITS = 200


def written(folder: Path, network, region, C, d, relaxation: str):
    """(a certificate of rows lifted until they hold, their constants, the engine's planes); None where none holds."""
    model, inputs, options = classifier(network), engine_set(region), Options(relaxation)
    rows = Specification(tensor(C)[None], tensor(d)[None])
    lower = certify(model, inputs, rows, options).lower
    rows = Specification(rows.C, rows.d - lower + 2.0**-10 * (1 + lower.abs()))
    batches: list[BoundedBatch] = []
    certify(model, inputs, rows, options, batch_sink=batches.append)
    certificates = Certificates(batches[0], NetworkFile(model, None))
    if not certificates.margins[0] > 0:
        return None
    path = folder / "certificate.safetensors"
    path.write_bytes(certificates.write(0))
    return path, rows.d[0].numpy(), columns_of(batches[0].bounds.products)


def row_balls(path: Path, bits: int) -> list[arb]:
    """The kernel's balls of all rows at so many bits; the certificate is VALID."""
    seen: list[list[arb]] = []
    own = rules.best_bounds

    def at_bits(*arguments):
        with precision(bits):
            seen.append(own(*arguments))
        return own(*arguments)

    with mock.patch.object(rules, "best_bounds", at_bits):
        assert check(path).verdict is Verdict.VALID
    return seen[0]


@settings(max_examples=max(1, settings().max_examples // 2))
@given(st.data(), networks(), st.integers(1, 3), seeds, st.sampled_from(tuple(RELAXATIONS)))
def test_the_reference_finds_the_same(data, drawn, time, seed, relaxation) -> None:
    """Every cell, depth, direction, readout and kind of input set; the reference charges its own rounding."""
    network, inputs = drawn
    region = data.draw(input_sets(time, inputs))
    C, d = rows_of(network, time, np.random.default_rng(seed))
    with tempfile.TemporaryDirectory() as folder:
        found = written(Path(folder), network, region, C, d, relaxation)
        if found is None:
            return
        path, lifted, columns = found
        balls = row_balls(path, 128)
    result = bounds_with_planes(network, region, C, lifted, given_from_columns(network, time, columns))
    for ball, row in zip(balls, result.rows, strict=True):
        allowed = row.charge + 1e-9 * (1 + row.absolute)  # the second: its search for a multiplier of a cut ball
        assert abs(float(row.value) - float_below(ball)) <= allowed
        assert row.lower <= float_above(ball) + 1e-9 * (1 + row.absolute)


@pytest.mark.parametrize("cell", CELLS)
def test_rational_arithmetic_lies_in_the_balls(tmp_path: Path, cell: str) -> None:
    """Exactly: the reference without any rounding, over a box."""
    network, region, C = small(cell, time=2)
    found = written(tmp_path, network, region, C, np.zeros(len(C)), "planes")
    assert found is not None
    path, lifted, columns = found
    result = bounds_with_planes(network, region, C, lifted, given_from_columns(network, 2, columns), exact=True)
    balls = row_balls(path, 128)
    with precision(4000):
        for ball, row in zip(balls, result.rows, strict=True):
            assert ball.contains(arb(row.value.numerator) / arb(row.value.denominator))


@settings(max_examples=max(1, settings().max_examples // 3))
@given(st.data(), networks(), st.integers(1, 3), seeds)
def test_few_bits_enclose_many(data, drawn, time, seed) -> None:
    """The ball of 64 bits holds that of 200, which holds the middle of that of 1000."""
    network, inputs = drawn
    region = data.draw(input_sets(time, inputs))
    C, d = rows_of(network, time, np.random.default_rng(seed))
    with tempfile.TemporaryDirectory() as folder:
        found = written(Path(folder), network, region, C, d, "parallel")
        if found is None:
            return
        few, more, most = (row_balls(found[0], bits) for bits in (64, BITS, 1000))
    with precision(2000):
        for a, b, c in zip(few, more, most, strict=True):
            assert b.contains(c.mid())
            assert a.overlaps(b)
            assert b.rad() <= a.rad()
            assert a.contains(c.mid())


def test_what_is_compared_would_show_a_difference(tmp_path: Path) -> None:
    """Another plane of the same network gives another bound, which lies in no ball of the first."""
    network, region, C = small("lstm", time=2)
    first = written(tmp_path, network, region, C, np.zeros(len(C)), "planes")
    assert first is not None
    balls = row_balls(first[0], 128)
    second = written(tmp_path, network, region, C, np.zeros(len(C)), "constants")
    assert second is not None
    given = given_from_columns(network, 2, second[2])
    result = bounds_with_planes(network, region, C, first[1], given, exact=True)
    with precision(4000):
        assert not balls[0].contains(arb(result.rows[0].value.numerator) / arb(result.rows[0].value.denominator))
