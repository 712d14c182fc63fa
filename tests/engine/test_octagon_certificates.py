"""Certificates of runs with `octagon`: every claim follows, the kernel says VALID, and a moved end is found."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gpu_engine.certificates.network import Network
from gpu_engine.certificates.writer import Certificates
from gpu_engine.inputs import FrameBalls
from gpu_engine.model import GATES, Dense, Direction, RecurrentClassifier
from gpu_engine.search.certify import Options
from gpu_engine.spec import Specification
from refcert.kernel.check import Verdict, check
from tests.engine.certificate_cases import NETWORK_FILE, batches, lower_bounds, proved, stored
from tests.engine.certificate_files import check_body, open_file
from tests.engine.certificate_replay import follow, precise

CELLS = {"lstm": ("lstm",), "gru": ("gru",), "gru, reset before": ("gru_reset_before",), "two layers": ("lstm", "gru")}
TIME, SIZE, HIDDEN = 2, 2, 2


def network(cells: tuple[str, ...], seed: int = 5) -> RecurrentClassifier:
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.tensor(rng.normal(0, 0.8, shape))

    sizes = (SIZE, *[HIDDEN] * len(cells))
    layers = tuple(
        (Direction(cell, *(normal(GATES[cell] * HIDDEN, *shape) for shape in ((size,), (HIDDEN,), (), ()))),)
        for cell, size in zip(cells, sizes, strict=False)
    )
    return RecurrentClassifier(layers, (Dense(normal(2, HIDDEN), normal(2)),), readout="final")


def question(p: float) -> tuple[FrameBalls, Specification]:
    """Balls wide enough for corners of boxes to matter, and both differences of two classes."""
    center = torch.tensor([[[0.5, -0.25], [0.25, 0.75]]], dtype=torch.float64)
    rows = torch.tensor([[[1.0, -1.0], [-1.0, 1.0]]], dtype=torch.float64)
    return FrameBalls(center, torch.full((1, TIME), 0.5, dtype=torch.float64), p), Specification(
        rows, torch.zeros(1, 2).double()
    )


def written(cells: tuple[str, ...], dtype: str, p: float) -> tuple[bytes, RecurrentClassifier]:
    """The one certificate of the question, with rows that are proved."""
    model, options = network(cells), Options("octagon", dtype)
    inputs, rows = question(p)
    rows = proved(rows, lower_bounds(model, inputs, rows, options))
    (batch,) = batches(model, inputs, rows, options)
    return Certificates(batch, Network(model, NETWORK_FILE)).write(0, {"sample": "0"}), model


@pytest.mark.parametrize("p", [math.inf, 2.0])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("cells", CELLS.values(), ids=CELLS)
def test_every_claim_follows_and_the_kernel_says_valid(cells, dtype, p, tmp_path):
    content, model = written(cells, dtype, p)
    (tmp_path / "certificate").write_bytes(content)
    (tmp_path / NETWORK_FILE).write_bytes(Network(model, NETWORK_FILE).content())
    assert check(tmp_path / "certificate").verdict is Verdict.VALID
    file = open_file(content)
    check_body(file)
    assert any(step["rule"] == "diagonals" for step in file.body["steps"])
    with precise():
        replay, compared = follow(file, *stored(model))
        assert [claim for claim in compared if not claim.holds] == []
        # they are no implied ones
        assert any(tighter(replay, *which, ends) for which, ends in replay.diagonals.items())


def tighter(replay, number, position, ends) -> bool:
    """Does an end of some unit lie inside what the box gives?"""
    part = replay.program.variables[number].parts[position]
    for unit in range(ends.shape[1]):
        (low_v, high_v), (low_z, _) = replay.argument_ends(part, unit)
        low_plus, _, _, high_minus = (float(end) for end in ends[:, unit])
        if bool(low_plus > low_v + low_z + 1e-6) or bool(high_minus < high_v - low_z - 1e-6):
            return True
    return False


@pytest.mark.parametrize("cells", [("lstm",), ("gru",)], ids=["lstm", "gru"])
@pytest.mark.parametrize("row", range(4))
def test_an_end_that_does_not_follow_is_found(cells, row):
    """The second replay itself, with faults: each end of every step of diagonals, moved inward."""
    content, model = written(cells, "float64", math.inf)
    file = open_file(content)
    for position, step in enumerate(file.body["steps"]):
        if step["rule"] != "diagonals":
            continue
        ends = file.tensors[f"step.{position}"].copy()
        honest, ends[row, 0] = ends[row, 0], ends[row, 0] + (1e-6 if row % 2 == 0 else -1e-6)
        file.tensors[f"step.{position}"] = ends
        with precise():
            wrong = [claim for claim in follow(file, *stored(model))[1] if not claim.holds]
        assert [claim.step for claim in wrong if claim.rule == "diagonals"] == [position]
        ends[row, 0] = honest
