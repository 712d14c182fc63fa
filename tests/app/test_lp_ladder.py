"""`refcert.app.lp_ladder`: the ladder of a run, from its folder alone."""

import io
import json
import shutil

import numpy as np
import pytest
import torch
from rich.console import Console

from gpu_engine.inputs import FrameBalls
from gpu_engine.loading import load_model
from gpu_engine.spec import AllRows, Specification
from refcert.app import runs
from refcert.app.errors import InputError
from refcert.app.lp_ladder import NAMES, Question, RunLadders, SampleLadder, ladder_of_run, print_ladder
from refcert.app.reference_forms import reference_network, starts_of
from refcert.audit.network_lp import RUNGS
from refcert.audit.network_lp.ladder import Ladder, Rung
from refcert.reference.given_planes import COLUMNS
from refcert.reference.networks import logits
from tests.app.tiny_runs import AT, Tiny

FAST = ("back_substitution", "one_pair", "several", "hull")
# The engine and the reference charge rounding in their own ways.
ROUNDING = 1e-9


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return Tiny(tmp_path_factory.mktemp("tiny"))


def certified(tiny, name, *options):
    out = tiny.folder / name
    if not out.exists():
        tiny.run("--out", out, *options)
    return out


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("lstm", {}),
        ("gru", {"bidirectional": True}),
        ("rnn_relu", {"num_layers": 2}),
    ],
)
def test_the_reference_computes_what_the_engine_does(tmp_path, kind, options):
    tiny = Tiny(tmp_path, kind, **options)
    network = reference_network(tiny.network)
    for x, theirs in zip(tiny.x, tiny.network.logits(tiny.x), strict=True):
        np.testing.assert_allclose(logits(network, x.numpy()), theirs.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        AT,
        (*AT, "--norm", "2"),
        (*AT, "--norm", "1", "--clip", "0", "1"),
        (*AT, "--input-set", "sequence"),
        (*AT, "--relaxation", "best"),
        (*AT, "--dtype", "float32"),
        ("--search", "--tolerance", "0.1"),
    ],
)
def test_the_ladder_begins_at_the_runs_margin(tiny, options):
    out = certified(tiny, "run" + "".join(options).replace("-", "_").replace(".", "_"), *options)
    record = next(row for row in runs.open_run(out).samples() if row["margin"] is not None and row["correct"])
    found = ladder_of_run(out, [record["index"]], rungs=FAST, rounds=2)
    (sample,) = found.samples
    margins = sample.margins
    slack = 1e-3 if "float32" in options else ROUNDING
    assert margins[0] == pytest.approx(record["margin"], abs=slack)
    assert margins[0] >= record["margin"] - ROUNDING  # the reference charges less than the engine
    assert margins == sorted(margins)
    assert ("2 starts" in sample.ladder.rungs[0].note) == ("best" in options)
    values = [tiny.network.logits(tiny.x[record["index"]][None])[0]]
    label = record["label"]
    gaps = [float((value[label] - torch.cat((value[:label], value[label + 1 :]))).min()) for value in values]
    assert margins[-1] <= min(gaps)


def test_the_result_as_json_and_as_a_table(tiny):
    out = certified(tiny, "plain", *AT)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    ladders = ladder_of_run(out, [1, 2], rungs=("back_substitution", "boxes", "found"))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    plain = json.loads(json.dumps(ladders.to_json(), allow_nan=False))
    assert [sample["index"] for sample in plain["samples"]] == [1, 2]
    assert [rung["bound"] for rung in plain["samples"][0]["rungs"]] == [True, True, False]
    text = io.StringIO()
    print_ladder(Console(file=text, width=120, markup=False), ladders)
    assert "sample 2, radius 0.05" in text.getvalue()
    assert "one pair, substituted" in text.getvalue()
    bound, found = ladders.samples[0].margins[1:]
    assert f">= {bound:.6g}" in text.getvalue()
    assert f"<= {found:.6g}" in text.getvalue()
    assert f">= {found:.6g}" not in text.getvalue()


def test_the_table_fits_80_columns():
    """Long numbers at every rung: no rung's name or number is cut."""
    margins = [-1.23456e-5 * (len(RUNGS) - k) for k in range(len(RUNGS))]
    rungs = tuple(
        Rung(name, np.array([at]), np.array([at + 1e-16]), 123.456, 1234)
        for name, at in zip(RUNGS, margins, strict=True)
    )
    whole = Specification(torch.ones(1, 1, 1).double(), torch.zeros(1, 1).double(), AllRows())
    inputs = FrameBalls(torch.zeros(1, 1, 1).double(), torch.ones(1, 1).double())
    sample = SampleLadder(Question(3, 1, 0.0123456, margins[0], inputs, whole), Ladder(rungs, 0, 1, 1))
    text = io.StringIO()
    print_ladder(Console(file=text, width=80, markup=False), RunLadders("run", "planes", (sample,)))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in text.getvalue()
    assert set(NAMES) == set(RUNGS)
    for rung in rungs:
        assert any(line.startswith(f"({rung.name})") for line in lines)
        assert f"{'<=' if rung.name == 'found' else '>='} {rung.certified[0]:.6g}" in text.getvalue()


def test_substitution_sets(tiny, tmp_path):
    words = Tiny(tmp_path)
    rng = np.random.default_rng(1)
    x = words.x.numpy()
    candidates = x[:, :, None] + rng.normal(0, 0.02, (*x.shape[:2], 3, x.shape[2]))
    words.data(x=x, candidates=candidates, allowed=rng.integers(0, 2, candidates.shape[:3]).astype(bool))
    out = tmp_path / "run"
    rows = words.run("--input-set", "substitutions", "--out", out)["samples"]
    (sample,) = ladder_of_run(out, [1], rungs=("one_pair", "boxes"), rounds=2).samples
    assert sample.question.radius is None
    assert sample.margins[0] == pytest.approx(rows[1]["margin"], abs=ROUNDING)


def test_starts_are_told_apart():
    """Two starts list the same places with the same boxes; comparisons of a maximum repeat a place with another box."""
    row = {"kind": "relu", "layer": 0, "unit": 0, "product": "maximum", "lower_z": 0.0, "upper_z": 0.0, "offset": 0.0}
    rows = []
    for comparison in range(2):
        for start in range(2):
            for side in ("lower", "upper"):
                box = {"lower_v": -1.0 - comparison, "upper_v": 1.0, "slope_v": float(start), "slope_z": 0.0, "t": 0}
                rows.append({**row, **box, "side": side})
    columns = {name: [entry[name] for entry in rows] for name in COLUMNS}
    first, second = starts_of(columns)
    assert first["slope_v"] == [0.0] * 4
    assert second["slope_v"] == [1.0] * 4
    assert first["lower_v"] == second["lower_v"] == [-1.0, -1.0, -2.0, -2.0]


def test_what_cannot_be_asked(tiny, tmp_path):
    out = certified(tiny, "plain", *AT)
    with pytest.raises(InputError, match="--sample 9: the run has samples 0 to 3"):
        ladder_of_run(out, [9])
    with pytest.raises(InputError, match="no sample is asked for"):
        ladder_of_run(out, [])
    with pytest.raises(InputError, match="--seed is -1; give 0 or more"):
        ladder_of_run(out, [0], seed=-1)
    with pytest.raises(InputError, match="--rungs top: known are back_substitution"):
        ladder_of_run(out, [0], rungs=("top",))
    each = certified(tiny, "each", *AT, "--frames", "each")
    with pytest.raises(InputError, match="sample 1 has 3 questions"):
        ladder_of_run(each, [1])
    bare = certified(tiny, "bare", *AT, "--no-planes")
    with pytest.raises(InputError, match="keeps no planes of sample 1"):
        ladder_of_run(bare, [1])
    by_contradiction = certified(tiny, "by_contradiction", *AT, "--suppose", "1")
    with pytest.raises(InputError, match="made with --suppose 1: every bound has planes of its own"):
        ladder_of_run(by_contradiction, [1])
    trained = certified(tiny, "trained", *AT, "--optimize", "1")
    with pytest.raises(InputError, match="made with --optimize 1: every bound has planes of its own"):
        ladder_of_run(trained, [1])
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    request = json.loads((copy / "request.json").read_text())
    request["model"]["digest"] = "0" * 64
    (copy / "request.json").write_text(json.dumps(request))
    with pytest.raises(InputError, match="is not the model that"):
        ladder_of_run(copy, [1])
    request["model"]["digest"] = load_model(tiny.model).digest()
    request["data"]["digest"] = "0" * 64
    (copy / "request.json").write_text(json.dumps(request))
    with pytest.raises(InputError, match="is not the data that"):
        ladder_of_run(copy, [1])


def test_a_refuted_plane_of_the_run_is_named(tiny, tmp_path):
    out = certified(tiny, "plain", *AT)
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    part = copy / "planes" / "part-00000.npz"
    with np.load(part) as stored:
        columns = {name: stored[name].copy() for name in stored.files}
    row = int(np.flatnonzero((columns["sample"] == 1) & (columns["side"] == "upper"))[0])
    columns["offset"][row] -= 0.01
    np.savez_compressed(part, **columns)
    with pytest.raises(InputError, match=r"sample 1: the upper plane of .* does not hold: at"):
        ladder_of_run(copy, [1], rungs=("one_pair",))
