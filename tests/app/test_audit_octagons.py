"""`refcert audit` and `certify --audit` of planes on octagons: files, runs, reports and pictures."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from gpu_engine.bounds import BoundedProduct, Box, Diagonals
from gpu_engine.relaxations.octagon import octagon
from gpu_engine.relaxations.products import PRODUCTS
from refcert.app import runs
from refcert.app.audit_report import claim_json
from refcert.app.audit_sources.files import read_table
from refcert.app.baseline.gaps import Gaps
from refcert.app.errors import ExitCode
from refcert.app.report import plane_values as values
from refcert.app.report import write_report
from refcert.app.report.plane_plot import plane_figure
from refcert.app.report.plane_scene import scene_of
from refcert.app.report.plane_words import box as box_words
from refcert.app.report.planes import read_audit
from refcert.audit.domain import cut, in_domain, on_diagonals, vertices
from refcert.audit.families.planted import moved_inward
from refcert.audit.judge import judge
from refcert.audit.plane_table import DIAGONALS, PlaneTable, columns_of
from refcert.audit.tightness_lp import Why, volume_ratios
from refcert.kernel.claims import PlaneClaim, Status
from tests.app.audit_files import audit
from tests.app.tiny_runs import Tiny
from tests.audit.octagon_claims import octagon_claims, on_its_box


def fails_only_outside(count=1):
    """Planes that hold on their octagons and not on their boxes."""
    found = [claim for claim in octagon_claims(20, 7) if judge(on_its_box(claim)).status is Status.REFUTED]
    return found[:count]


def write(path, claims):
    """As a file of its suffix; rows without an octagon have NaN, null or an empty field."""
    columns = columns_of(claims)
    if path.suffix == ".npz":
        np.savez(path, **columns)
    elif path.suffix == ".parquet":
        lists = {name: column.tolist() for name, column in columns.items()}
        lists |= {n: [None if x != x else x for x in lists[n]] for n in DIAGONALS if n in lists}
        pq.write_table(pa.table(lists), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for row in zip(*(column.tolist() for column in columns.values()), strict=True):
                writer.writerow(["" if x != x else x if isinstance(x, str) else float(x).hex() for x in row])
    return path


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".csv"])
def test_every_form_of_file_holds_octagons(tmp_path, suffix):
    (claim,) = fails_only_outside()
    path = write(tmp_path / f"planes{suffix}", [claim, on_its_box(claim), claim])
    assert [one.diagonals for one in read_table(path).claims()] == [claim.diagonals, None, claim.diagonals]
    result = audit(path, "--json", "--cross-check", "--falsify", "all")
    assert result.code == ExitCode.REFUTED
    assert [row["verdict"] for row in result.json["planes"]] == ["PROVED", "REFUTED", "PROVED"]
    (example,) = result.json["examples"]
    assert example["claim"] == claim_json(on_its_box(claim))
    assert not set(DIAGONALS) & set(example["claim"])


@pytest.mark.parametrize("inward", [1e-3, 1e-9])
def test_a_plane_that_fails_inside_is_shown_with_its_octagon(tmp_path, inward):
    (claim,) = fails_only_outside()
    sign = 1.0 if claim.side == "upper" else -1.0
    wrong = PlaneClaim(
        *(claim.kind, claim.side, claim.lower_v, claim.upper_v, claim.lower_z, claim.upper_z),
        *(claim.slope_v, claim.slope_z, claim.offset - sign * inward),
        diagonals=claim.diagonals,
    )
    result = audit(write(tmp_path / "planes.npz", [wrong]), "--json")
    assert result.code == ExitCode.REFUTED
    (example,) = result.json["examples"]
    assert {name: example["claim"][name] for name in DIAGONALS} == dict(zip(DIAGONALS, claim.diagonals, strict=True))
    rest = example.get("rest", {"v": [], "z": []})
    assert in_domain(wrong, *((example["point"][axis], *rest[axis]) for axis in "vz"))
    assert "# the octagon" in example["snippet"]
    exec(compile(example["snippet"], "snippet", "exec"), {})


def test_a_half_given_octagon_is_refused(tmp_path):
    (claim,) = fails_only_outside()
    columns = columns_of([claim])
    del columns["upper_minus"]
    np.savez(tmp_path / "planes.npz", **columns)
    result = audit(tmp_path / "planes.npz")
    assert result.code == ExitCode.BAD_INPUT
    assert "missing column 'upper_minus'" in result.message


# runs


@pytest.fixture(scope="module", params=["lstm", "gru"])
def octagon_run(request, tmp_path_factory):
    """A run of the relaxation with its planes audited by both methods; its summary and its folder."""
    tiny = Tiny(tmp_path_factory.mktemp("octagon"), request.param)
    out = tiny.folder / "run"
    return tiny.run("--radius", 0.3, "--relaxation", "octagon", "--audit", "--out", out), out


def test_a_run_keeps_its_octagons_and_all_planes_are_proved(octagon_run):
    summary, out = octagon_run
    assert summary["planes"]["refuted"] == summary["planes"]["undecided"] == 0 < summary["planes"]["proved"]
    run = runs.open_run(out)
    tables = [run.planes(part) for part in run.plane_parts()]
    claims = [claim for table in tables for claim in table.claims()]
    octagons = [claim for claim in claims if claim.diagonals is not None]
    products = [claim for claim in claims if claim.kind.startswith("sigmoid_times_")]
    assert octagons == products
    assert sum(map(cut, octagons)) > len(octagons) / 2
    # boxes alone would not do: some of these planes need their octagons
    assert any(judge(on_its_box(claim)).status is Status.REFUTED for claim in octagons)
    result = audit(out, "--json", "--cross-check", "--out", out.parent / "audit")
    assert result.code == ExitCode.OK
    assert result.json["summary"]["proved"] == len(claims)


def test_the_audit_of_a_run_sees_a_narrowed_plane(octagon_run, tmp_path):
    _, out = octagon_run
    run = runs.open_run(out)
    table = run.planes(run.plane_parts()[0])
    columns = {name: column.copy() for name, column in table.columns.items()}
    row = int(np.flatnonzero(table.on_octagons & (columns["side"] == "upper"))[5])
    columns["offset"][row] -= 1.0
    np.savez(tmp_path / "planes.npz", **columns)
    result = audit(tmp_path / "planes.npz", "--json")
    assert [k for k, plane in enumerate(result.json["planes"]) if plane["verdict"] == "REFUTED"] == [row]


def test_the_report_shows_octagons(octagon_run, tmp_path):
    _, out = octagon_run
    found = read_audit(runs.open_run(out), range(4), 64)
    assert found.state == "proved"
    shown = [exhibit for exhibit in found.shown if exhibit.claim.diagonals is not None]
    assert shown
    assert all("v + z in [" in exhibit.box and "v - z in [" in exhibit.box for exhibit in shown)
    assert all(exhibit.picture is not None for exhibit in shown)
    page = write_report(out, tmp_path / "page.html").read_text()
    assert "v + z in [" in page


# volumes


def test_volume_ratios_leave_octagons_out_and_say_so():
    claims = octagon_claims(3, 2)
    cutting = [claim for claim in claims if cut(claim)]
    assert len(cutting) > 6
    implied = replace(on_its_box(claims[0]), offset=100.0 if claims[0].side == "upper" else -100.0)
    around = replace(implied, diagonals=(-100.0, 100.0, -100.0, 100.0))
    found = volume_ratios(PlaneTable(columns_of([*cutting, implied, around])))
    assert found.why[: len(cutting)].tolist() == [Why.OCTAGON.value] * len(cutting)
    assert np.isnan(found.ratio[: len(cutting)]).all()
    assert found.why[-2:].tolist() == ["", ""]  # these diagonals take nothing from the box
    assert found.ratio[-1] == found.ratio[-2] > 1
    assert found.summary()["octagon"] == len(cutting)


def test_the_audit_counts_no_ratio_for_octagons(tmp_path):
    claims = fails_only_outside(3)
    result = audit(write(tmp_path / "planes.npz", claims), "--json", "--tightness")
    assert result.json["tightness"]["count"] == 0
    assert [row["volume_ratio"] for row in result.json["planes"]] == [None] * 3


# pictures


@pytest.mark.parametrize("number", range(4))
def test_a_picture_shows_the_octagon_and_nothing_beside_it(number):
    claim = fails_only_outside(4)[number]
    grid = values.whole_box(claim, 16)
    for v, row in zip(grid.v, grid.across, strict=True):
        assert all(on_diagonals(claim.diagonals, v, z) for z in row)
    corners = {(v, z) for v, row in zip(grid.v, grid.across, strict=True) for z in row}
    assert set(vertices(claim)) <= corners
    assert (grid.gap >= 0).all()
    assert (values.whole_box(on_its_box(claim), 64).gap < 0).any()
    scene = scene_of(claim, judge(claim))
    assert all(on_diagonals(claim.diagonals, v, z) or _near(claim, v, z) for v, z in scene.touching)
    axes = plane_figure(claim, judge(claim)).axes
    outline = next(axes_ for axes_ in axes if axes_.get_xlabel() == "v" and not hasattr(axes_, "get_zlim")).lines[0]
    assert len(outline.get_xdata()) == len(vertices(claim)) + 1
    assert "v + z in [" in box_words(claim)


def _near(claim, v, z):
    wider = tuple(end + side * 1e-9 for end, side in zip(claim.diagonals, (-1, 1, -1, 1), strict=True))
    return on_diagonals(wider, v, z)


def test_a_violation_too_small_to_see_is_magnified_inside_the_octagon():
    claim = moved_inward(octagon_claims(3, 4)[0], 1e-7)
    judgement = judge(claim)
    assert judgement.status is Status.REFUTED
    scene = scene_of(claim, judgement)
    assert scene.panels == ("surface", "gap", "zoom")
    assert (scene.zoom.grid.gap < 0).any()
    for v, row in zip(scene.zoom.grid.v, scene.zoom.grid.across, strict=True):
        assert all(on_diagonals(claim.diagonals, v, z) for z in row)
    assert plane_figure(claim, judgement) is not None


def test_octagons_without_area_have_no_picture():
    claim = fails_only_outside()[0]
    for diagonals in ((0.25, 0.25, -9.0, 9.0), (99.0, 100.0, -9.0, 9.0)):
        flat = replace(claim, lower_v=-1.0, upper_v=1.0, lower_z=-1.0, upper_z=1.0, diagonals=diagonals)
        assert scene_of(flat) is None
        assert plane_figure(flat) is None


def test_gaps_of_a_baseline_are_those_inside_the_octagon():
    """At the centre of the box, which an octagon may leave out, upper planes can lie below lower ones."""
    ends = {"v": (0.0, 4.0), "z": (0.0, 4.0), "plus": (0.0, 1.0), "minus": (-1.0, 1.0)}
    v, z, plus, minus = (Box(*(torch.full((1, 1), end, dtype=torch.float64) for end in pair)) for pair in ends.values())
    pair = octagon(PRODUCTS["sigmoid_times_identity"], v, z, Diagonals(plus, minus))
    product = BoundedProduct("sigmoid_times_identity", "forget", 0, 0, v, z, pair, None, Diagonals(plus, minus))
    gaps = Gaps()
    gaps.add(torch.tensor([0]), (product,))
    at = [pair.upper.slope_v * 0.5 + pair.upper.slope_z * 0.5 + pair.upper.offset]
    at.append(pair.lower.slope_v * 0.5 + pair.lower.slope_z * 0.5 + pair.lower.offset)
    assert float(gaps.of(0)["layer 0 forget"]) == pytest.approx(float(at[0] - at[1]), rel=1e-3)
