"""Certificates of proofs by contradiction: the kernel says VALID, and INVALID of one that claims a little more."""

from __future__ import annotations

import functools
import math

import pytest
import torch

from gpu_engine.certificates.network import Network
from gpu_engine.certificates.writer import Certificates
from gpu_engine.inputs import FrameBalls
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import Specification
from refcert.kernel.check import Verdict, check
from tests.engine.certificate_cases import NETWORK_FILE, batches
from tests.engine.certificate_files import open_file
from tests.engine.test_octagon_certificates import CELLS, network, question

ROUNDS = 6


@functools.cache
def nearly_proved(cells, dtype, p):
    """A network and a row, shifted so far that bounds just miss it and a contradiction proves it."""
    model = network(cells)
    inputs, rows = question(p)
    one = Specification(rows.C[:, :1], rows.d[:, :1])
    lower = certify(model, inputs, one, Options("octagon", dtype)).lower
    for k in range(20):
        shifted = Specification(one.C, one.d - lower - 0.2 * 0.5**k)
        if bool(certify(model, inputs, shifted, Options("octagon", dtype, suppose=ROUNDS)).proved):
            return model, inputs, shifted
    raise AssertionError("contradiction never proves more than bounds")


def written(model, inputs: FrameBalls, rows, dtype, folder, **options):
    (batch,) = batches(model, inputs, rows, Options("octagon", dtype, suppose=ROUNDS, **options))
    network_ = Network(model, NETWORK_FILE)
    (folder / NETWORK_FILE).write_bytes(network_.content())
    content = Certificates(batch, network_).write(0)
    (folder / "certificate").write_bytes(content)
    return batch, open_file(content).body["steps"]


CASES = [*((cells, "float64", math.inf) for cells in CELLS.values()), (("gru",), "float32", 2.0)]


@pytest.mark.parametrize(("cells", "dtype", "p"), CASES)
def test_the_kernel_says_valid(cells, dtype, p, tmp_path):
    batch, steps = written(*nearly_proved(cells, dtype, p), dtype, tmp_path)
    assert batch.supposed
    rules = [step["rule"] for step in steps]
    assert rules.count("suppose.row") == 1
    assert rules[-2] in ("closed.row", "closed.empty")
    assert {"box.supposed", "diagonals.supposed"} <= set(rules)
    result = check(tmp_path / "certificate")
    assert result.verdict is Verdict.VALID, result


def test_it_goes_with_trained_slopes_at_the_root(tmp_path):
    model, inputs, rows = nearly_proved(("lstm",), "float64", math.inf)
    batch, _ = written(model, inputs, rows, "float64", tmp_path, optimize=2)
    assert check(tmp_path / "certificate").verdict is Verdict.VALID
    assert len(batch.bounds.row_sets) == 2


@pytest.mark.parametrize("what", ["box", "multipliers"])
def test_a_changed_step_is_found(what, tmp_path, monkeypatch):
    """A box a little narrower than what the supposition gives, and multipliers that are not those of its ends."""
    from gpu_engine.certificates import steps

    exact = steps._exact
    changed = []

    def changing(values: torch.Tensor) -> torch.Tensor:
        found = exact(values).clone()
        if found.ndim == 2 and len(found) == 4 and bool((found[2:] > 0).any()) and not changed:
            changed.append(True)
            narrowed = found[2] > 0
            if what == "box":
                found[0] = torch.where(narrowed, found[0] + 0.01 * (found[1] - found[0]), found[0])
            else:
                found[2] = torch.where(narrowed, found[2] * 100, found[2])
        return found

    monkeypatch.setattr(steps, "_exact", changing)
    written(*nearly_proved(("lstm",), "float64", math.inf), "float64", tmp_path)
    assert changed
    assert check(tmp_path / "certificate").verdict is Verdict.INVALID
