"""What refcert finds in planes and bounds of others: docs/third_party.md says it, the examples show it."""

from __future__ import annotations

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch

from refcert.audit.examine import Questions, examine
from refcert.kernel.claims import PlaneClaim, Status
from refcert.testing import ViolatedError, assert_bounds_sound, assert_planes_sound
from tests.app.commands import refcert

ROOT = Path(__file__).parents[2]
FOLDER, PAGE = ROOT / "examples" / "third_party", ROOT / "docs" / "third_party.md"
COUNT = 100


def example(name):
    """A module of the folder, by its file: auto_LiRPA installs a package `examples` of its own."""
    spec = spec_from_file_location(name, FOLDER / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


popqorn, lirpa = example("popqorn_gradient_planes"), example("auto_lirpa_operators")


def faults(function, kind, boxes):
    """The violations of the refuted planes of both sides; no plane is left undecided."""
    found = []
    for side, plane in zip(("lower", "upper"), function(kind, *boxes), strict=True):
        rows = zip(*(column.tolist() for column in (*boxes, *plane)), strict=True)
        answers = examine([PlaneClaim(kind, side, *row) for row in rows], Questions(falsify="undecided"), 0)
        assert all(answer.judgement.status is not Status.UNDECIDED for answer in answers)
        found += [a.judgement.violation for a in answers if a.judgement.status is Status.REFUTED]
    return found


@pytest.mark.parametrize("kind", popqorn.KINDS)
def test_trained_planes_are_right_on_their_grid_and_tight(kind):
    """The re-implementation does what the description says: what is wrong is not the grid's fault."""
    boxes = popqorn.random_boxes(COUNT)
    lower, upper = popqorn.planes(kind, *boxes)
    share = np.linspace(0.0, 1.0, popqorn.GRID)
    v, z = (low[:, None] * (1 - share) + high[:, None] * share for low, high in (boxes[:2], boxes[2:]))
    v, z = v[:, :, None], z[:, None, :]
    values = popqorn.surface(kind, v, z)

    def height(plane):
        slope_v, slope_z, offset = (column[:, None, None] for column in plane)
        return slope_v * v + slope_z * z + offset

    assert (values - height(lower)).min() > -1e-14
    assert (height(upper) - values).min() > -1e-14
    between = (height(upper) - height(lower)).mean()
    assert between < 0.5 * (values.max((1, 2)) - values.min((1, 2))).mean()


def test_trained_planes_fail_between_the_points_of_the_grid():
    """Not by rounding: the planes were moved outward by more than that."""
    found = faults(popqorn.planes_rounded_outward, "sigmoid_times_tanh", popqorn.random_boxes(COUNT))
    assert 0.1 < len(found) / (2 * COUNT) < 0.6
    assert 1e-5 < max(found) < 1e-2


def test_on_small_boxes_the_fault_is_some_millionths():
    """Half widths up to a tenth: of the size that was seen in the original."""
    found = faults(popqorn.planes_rounded_outward, "sigmoid_times_tanh", popqorn.random_boxes(COUNT, widest=0.1))
    assert 1e-7 < max(found) < 1e-5


def test_the_assertion_shows_a_box_and_a_point():
    with pytest.raises(ViolatedError) as caught:
        assert_planes_sound(
            popqorn.planes_rounded_outward, kinds=popqorn.KINDS[:1], boxes=["random"], budget="4 examples"
        )
    text = str(caught.value)
    assert "planes_rounded_outward fail on their box" in text
    assert "seed 0" in text


def test_the_audit_refutes_trained_planes(monkeypatch):
    monkeypatch.chdir(FOLDER)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    options = ("--kinds", "sigmoid_times_tanh", "--boxes", "random", "--count", 10, "--workers", 1, "--json")
    result = refcert("audit", "popqorn_gradient_planes:planes_rounded_outward", *options)
    assert result.code == 1
    assert result.json["summary"]["refuted"] > 0
    assert result.json["summary"]["undecided"] == 0


def test_planes_that_the_paper_does_not_train_are_refused():
    with pytest.raises(ValueError, match="'tanh' is not trained"):
        popqorn.planes("tanh", *popqorn.random_boxes(1))


@pytest.mark.parametrize("frames", [1, 3])
def test_the_network_written_out_is_the_lstm(frames):
    """What auto_LiRPA bounds is the network that refcert doubts."""
    torch.manual_seed(0)
    model = lirpa.Classifier()
    x = torch.randn(5, frames, 3)
    written = lirpa.WrittenOut(model, frames)(x.double().reshape(5, -1))
    torch.testing.assert_close(written, model.double()(x.double()), rtol=1e-12, atol=1e-12)


def test_without_auto_lirpa_the_script_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "auto_LiRPA", None)
    assert lirpa.main() == 0
    assert "pip install" in capsys.readouterr().out


@pytest.mark.parametrize("method", lirpa.METHODS)
def test_bounds_of_auto_lirpa_are_wrong_by_rounding_alone(method):
    """The network's bounds; skips, visibly, where auto_LiRPA is not installed."""
    _needs_auto_lirpa()
    torch.manual_seed(0)
    model = lirpa.Classifier()
    with pytest.raises(ViolatedError):
        assert_bounds_sound(lirpa.Bounds(method), model, budget="20 examples")
    assert_bounds_sound(lirpa.Bounds(method), model, budget="20 examples", tolerance=1e-9)


def test_lines_of_auto_lirpa_fail_on_boxes_narrower_than_its_least_width():
    """More than rounding: the chord's slope has the width replaced by 1e-8. Skips where it is not installed."""
    _needs_auto_lirpa()
    boxes = tuple(np.array([side]) for side in (-4e-9, 3e-9, 0.0, 0.0))
    (fault, *_) = faults(lirpa.planes, "tanh", boxes)
    assert 1e-9 < fault < 3e-9


def _needs_auto_lirpa():
    try:
        lirpa.auto_lirpa()
    except ImportError:
        pytest.skip(lirpa.HOW_TO_INSTALL)


def test_the_page_names_the_files_and_functions_that_there_are():
    page = PAGE.read_text()
    for module, function in re.findall(r"refcert audit (\w+):(\w+)", page):
        assert callable(getattr({"auto_lirpa_operators": lirpa, "popqorn_gradient_planes": popqorn}[module], function))
    assert lirpa.HOW_TO_INSTALL.splitlines()[1].strip() in page
