"""Every model, input set, question and relaxation by command line: the records say what the engine says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gpu_engine.inputs import Boxes, FrameBalls, SequenceBall, Substitutions, decibel_radius
from gpu_engine.relaxations.registry import BEST, DEFAULT_RELAXATION, RELAXATIONS
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import matrix, per_class, top_k, untargeted, untargeted_steps
from tests.app.commands import refcert
from tests.app.page_reader import page_of
from tests.app.tiny import CLASSES, COUNT, HIDDEN, INPUT, TIME, values
from tests.app.tiny_runs import AT, RADIUS, Tiny


@pytest.fixture
def lstm(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path)


def near(values: torch.Tensor) -> Any:
    return pytest.approx(values.tolist(), rel=1e-9, abs=1e-9)


def same(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    """The same records up to what rounding in batches of other shapes can do."""
    for a, b in zip(some, others, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name] == pytest.approx(b[name], rel=1e-9, abs=1e-9)


# Models


@pytest.mark.parametrize("kind", ["gru", "rnn_tanh", "rnn_relu"])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}], ids=["plain", "deep and both ways"])
def test_every_cell_is_certified_and_every_plane_proved(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    tiny = Tiny(tmp_path, kind, **options)
    found = tiny.run(*AT, "--audit", "--out", tmp_path / "run")
    assert [row["margin"] for row in found["samples"]] == near(
        certify(tiny.network, tiny.balls(), untargeted(tiny.labels, CLASSES)).margin
    )
    units = HIDDEN * 2 * 2 if options else HIDDEN
    parts = {"gru": 3, "rnn_tanh": 1, "rnn_relu": 1}[kind]
    least = 2 * COUNT * TIME * units * parts - 2 * COUNT * units * (parts - 1)  # no state to forget in the first frame
    assert least <= found["planes"]["proved"] <= 2 * COUNT * TIME * units * parts
    assert found["planes"]["refuted"] == found["planes"]["undecided"] == 0
    again = refcert("audit", tmp_path / "run", "--workers", 1, "--json").json
    assert again["summary"] == found["planes"]


@pytest.mark.parametrize("name", ["digits_gru", "digits_rnn"])
def test_shipped_models_of_every_cell(name: str) -> None:
    found = refcert("certify", "--model", name, "--data", "digits", "--count", 3, "--radius", "0.01", "--json").json
    assert found["certified"] == found["correct"] == 3


def test_a_structure_text_is_the_models_order(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    assert tiny.run(*AT, "--structure", "layer head")["samples"] == tiny.run(*AT)["samples"]
    squashed = tiny.run(*AT, "--structure", "tanh layer head")
    assert squashed["samples"] != tiny.run(*AT)["samples"]
    assert squashed["model"]["digest"] != tiny.run(*AT)["model"]["digest"]
    assert squashed["request"]["structure"] == "tanh layer head"


@pytest.mark.parametrize("readout", ["last_frame", "mean", "max"])
def test_readouts(tmp_path: Path, readout: str) -> None:
    tiny = Tiny(tmp_path, "gru", readout, bidirectional=True)
    found = tiny.run(*AT)
    assert found["model"]["readout"] == readout
    assert [row["margin"] for row in found["samples"]] == near(
        certify(tiny.network, tiny.balls(), untargeted(tiny.labels, CLASSES)).margin
    )


def test_an_onnx_file(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the package onnx is not installed: ONNX files are not tested")
    from tests.app.onnx_files import save_onnx

    tiny = Tiny(tmp_path, "gru")
    save_onnx(tmp_path / "m.onnx", tiny.network)
    found = refcert(*tiny.command(*AT), "--model", tmp_path / "m.onnx")
    same(found.json["samples"], tiny.run(*AT)["samples"])
    refused = refcert(*tiny.command(*AT), "--model", tmp_path / "m.onnx", "--structure", "layer head")
    assert refused.code == 2
    assert "leave --structure out" in refused.message


# Relaxations


@pytest.mark.parametrize("name", [*RELAXATIONS, "best"])
def test_relaxations_by_name(lstm: Tiny, name: str) -> None:
    options = Options(name)
    found = lstm.run(*AT, "--relaxation", name, "--audit")
    assert [row["margin"] for row in found["samples"]] == near(
        certify(lstm.network, lstm.balls(), untargeted(lstm.labels, CLASSES), options).margin
    )
    starts = len(BEST) if name == "best" else 1
    assert found["planes"] == {"proved": starts * 2 * COUNT * HIDDEN * (3 * TIME - 1), "refuted": 0, "undecided": 0}


def test_the_registry_is_the_help_and_the_default(lstm: Tiny) -> None:
    said = " ".join(refcert("certify", "--help").out.split())
    for name, relaxation in RELAXATIONS.items():
        assert f"{name}, {relaxation.summary}" in said
    assert f"best, the better of {' and '.join(BEST)}" in said
    assert f"Default: {DEFAULT_RELAXATION}." in said
    assert lstm.run(*AT)["request"]["relaxation"] == DEFAULT_RELAXATION


# Input sets


@pytest.mark.parametrize("norm", ["inf", "2", "1"])
@pytest.mark.parametrize("frames", ["all", "0,2"])
def test_one_ball_around_the_sequence(lstm: Tiny, norm: str, frames: str) -> None:
    moves = torch.tensor([frames == "all" or t != 1 for t in range(TIME)]).expand(COUNT, TIME)
    radius = torch.full((COUNT,), RADIUS, dtype=torch.float64)
    asked = ("--input-set", "sequence", "--norm", norm, "--frames", frames)
    clip = (0.0, 1.0) if norm != "1" else None
    clipped = () if clip is None else ("--clip", *clip)
    ball = SequenceBall(lstm.x, radius, float(norm), clip, moves)
    spec = untargeted(lstm.labels, CLASSES)
    assert lstm.margins(*AT, *asked, *clipped) == near(certify(lstm.network, ball, spec).margin)
    rows = lstm.run("--search", *asked, *clipped)["samples"]
    radii = torch.tensor([row["radius"] for row in rows], dtype=torch.float64)
    found = SequenceBall(lstm.x, radii, float(norm), clip, moves)
    again = certify(lstm.network, found, spec)
    assert again.margin.tolist() == pytest.approx([row["margin"] for row in rows], abs=1e-9)
    assert bool(again.proved.all())


def test_one_frame_of_the_sequence_is_a_ball_of_that_frame(lstm: Tiny) -> None:
    asked = ("--frames", "each", "--norm", "2")
    sequence = lstm.run(*AT, *asked, "--input-set", "sequence")["samples"]
    frames = lstm.run(*AT, *asked)["samples"]
    for a, b in zip(sequence, frames, strict=True):
        assert a["frame_margins"] == pytest.approx(b["frame_margins"], abs=1e-9)


def test_boxes_of_the_data(lstm: Tiny) -> None:
    width = np.random.default_rng(1).uniform(0, 0.1, lstm.x.shape)
    lower, upper = values() - width, values() + width / 2
    spec = untargeted(lstm.labels, CLASSES)
    lstm.data(x=values(), lower=lower, upper=upper)
    margins = certify(lstm.network, Boxes(torch.from_numpy(lower), torch.from_numpy(upper)), spec).margin
    found = lstm.run("--input-set", "box", "--audit")
    assert [row["margin"] for row in found["samples"]] == near(margins)
    assert [row["certified"] for row in found["samples"]] == (margins > 0).tolist()
    assert found["request"]["norm"] is None
    assert found["planes"]["refuted"] == found["planes"]["undecided"] == 0
    # Without x the midpoints stand for it.
    np.savez(lstm.folder / "d.npz", labels=lstm.labels.numpy(), lower=lower, upper=upper)
    alone = lstm.run("--input-set", "box")
    assert [row["margin"] for row in alone["samples"]] == near(margins)
    assert alone["data"]["digest"] != found["data"]["digest"]


def test_substitutions_of_the_data(lstm: Tiny) -> None:
    rng = np.random.default_rng(2)
    candidates = values()[:, :, None] + rng.normal(0, 0.05, (COUNT, TIME, 4, INPUT))
    allowed = rng.random((COUNT, TIME, 4)) < 0.6
    candidates[~allowed] = np.nan  # never read
    lstm.data(x=values(), candidates=candidates, allowed=allowed)
    words = Substitutions(lstm.x, torch.from_numpy(candidates), torch.from_numpy(allowed))
    spec = untargeted(lstm.labels, CLASSES)
    assert lstm.margins("--input-set", "substitutions") == near(certify(lstm.network, words, spec).margin)


@pytest.mark.parametrize("bound", ["exact", "simple"])
def test_bounds_on_ball_and_range(lstm: Tiny, bound: str) -> None:
    asked = ("--norm", "2", "--clip", 0, 1, "--clip-bound", bound)
    balls = lstm.balls(0.5, p=2.0, clip=(0.0, 1.0), clip_bound=bound)
    spec = untargeted(lstm.labels, CLASSES)
    assert lstm.margins("--radius", 0.5, *asked) == near(certify(lstm.network, balls, spec).margin)
    for row in lstm.run("--search", *asked)["samples"]:
        assert row["radius"] > 0


def test_a_loudness_is_a_radius_in_the_datas_unit(lstm: Tiny) -> None:
    lstm.data(x=values() * np.array([1, 2, 4, 8])[:, None, None], labels=lstm.labels.numpy())
    radius = decibel_radius(lstm.x, -26.0)
    rows = lstm.run("--radius-db", -26)["samples"]
    assert [row["radius"] for row in rows] == radius.tolist()
    assert radius.tolist() == pytest.approx((lstm.x.abs().amax((1, 2)) * 10 ** (-26 / 20)).tolist(), rel=1e-12)
    spec = untargeted(lstm.labels, CLASSES)
    assert [row["margin"] for row in rows] == near(certify(lstm.network, lstm.balls(radius[:, None]), spec).margin)
    table = refcert(*lstm.command("--radius-db", -26)[:-3], "--radius-db", -26).out
    assert "radius -26.0 dB of each sample's peak" in table
    assert f"{radius[0].item():.4g}" in table


# Questions


@pytest.mark.parametrize("k", [1, 2])
def test_top_k(lstm: Tiny, k: int) -> None:
    wrong = (lstm.labels + 1) % CLASSES
    lstm.data(x=values(), labels=wrong.numpy())
    result = certify(lstm.network, lstm.balls(), top_k(wrong, k, CLASSES))
    rows = lstm.run(*AT, "--top-k", k)["samples"]
    assert [row["margin"] for row in rows] == near(result.margin)
    assert [row["certified"] for row in rows] == result.proved.tolist()
    place = lstm.network.logits(lstm.x).argsort(1, descending=True).argsort(1).gather(1, wrong[:, None])[:, 0]
    assert [row["correct"] for row in rows] == (place < k).tolist()
    found = lstm.run("--search", "--top-k", k)
    assert [row["radius"] > 0 for row in found["samples"]] == (place < k).tolist()


@pytest.mark.parametrize("target", ["untargeted", "all", "1"])
def test_the_papers_own_criterion(lstm: Tiny, target: str) -> None:
    asked = (*AT, "--target", target)
    tight, loose = (lstm.run(*asked, "--criterion", name)["samples"] for name in ("margins", "per-class"))
    result = certify(lstm.network, lstm.balls(), per_class(lstm.labels, CLASSES))
    for k, (a, b) in enumerate(zip(tight, loose, strict=True)):
        if a["margin"] is None:
            assert b["margin"] is None
            continue
        label, own = a["label"], result.lower[k]
        others = [c for c in range(CLASSES) if c != label and target in ("untargeted", "all", str(c))]
        by_hand = [float(own[0] + own[1 + c - (c > label)]) for c in others]
        assert b["margin"] == pytest.approx(min(by_hand), abs=1e-9)
        assert b["margin"] <= a["margin"] + 1e-9
        if target == "all":
            assert b["target_margins"] == pytest.approx(by_hand, abs=1e-9)


@pytest.mark.parametrize("own", [False, True], ids=["shared", "one per sequence"])
def test_the_users_own_rows(lstm: Tiny, own: bool) -> None:
    rng = np.random.default_rng(3)
    C = rng.normal(size=(COUNT, 2, CLASSES) if own else (2, CLASSES))
    d = rng.normal(1.0, 1.0, (COUNT, 2) if own else 2)
    np.savez(lstm.folder / "spec.npz", C=C, d=d)
    rows = matrix(torch.from_numpy(C), torch.from_numpy(d), batch=COUNT)
    result = certify(lstm.network, lstm.balls(), rows)
    # The rows' answer, whatever the label is.
    lstm.data(x=values(), labels=((lstm.labels + 1) % CLASSES).numpy())
    asked = ("--spec", lstm.folder / "spec.npz")
    found = lstm.run(*AT, *asked)
    assert [row["margin"] for row in found["samples"]] == near(result.margin)
    assert [row["certified"] for row in found["samples"]] == result.proved.tolist()
    assert found["correct"] == 0
    assert found["certified"] == int(result.proved.sum())
    assert found["specification"]["shape"] == list(C.shape)
    radii = [row["radius"] for row in lstm.run("--search", *asked)["samples"]]
    assert [radius > RADIUS for radius in radii] == result.proved.tolist()
    first = lstm.run(*AT, *asked, "--count", 2)
    same(first["samples"], found["samples"][:2])


def test_an_answer_for_every_frame(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path, "gru", "every")
    lengths = np.array([3, 1, 2, 3])
    tiny.data(x=values(), lengths=lengths)
    rows = tiny.run(*AT, "--audit", "--out", tmp_path / "run")["samples"]
    logits = tiny.network.logits(tiny.x)
    for k, row in enumerate(rows):
        n = lengths[k]
        assert row["label"] == row["predicted"] == logits[k, :n].argmax(1).tolist()
        spec = untargeted_steps(tiny.labels[k : k + 1, :n], CLASSES)
        ball = FrameBalls(tiny.x[k : k + 1, :n], torch.full((1, int(n)), RADIUS, dtype=torch.float64))
        result = certify(tiny.network, ball, spec)
        assert row["margin"] == pytest.approx(float(result.margin), abs=1e-9)
        assert row["step_margins"] == near(spec.reading.step_margins(result.lower)[0])
    assert [row["radius"] > 0 for row in tiny.run("--search", "--tolerance", 0.5)["samples"]] == [
        row["correct"] for row in rows
    ]
    each = tiny.run(*AT, "--frames", "each")["samples"]
    assert [[value is None for value in row["frame_margins"]] for row in each] == [
        [t >= n for t in range(TIME)] for n in lengths
    ]
    page = page_of(tmp_path / "run")
    assert [row["cells"][1] for row in page.samples] == [" ".join(map(str, row["label"])) for row in rows]
    assert "the network's decision at every frame stays with that frame's label" in page.said


# Ragged data and tokens

LENGTHS = np.array([3, 1, 2, 1])


def ragged(tiny: Tiny) -> None:
    x = values()
    x[np.arange(TIME) >= LENGTHS[:, None]] = np.nan  # never read
    tiny.data(x=x, lengths=LENGTHS)


def alone(tiny: Tiny, k: int, *options: object) -> dict[str, Any]:
    """The record of one sequence, cut to its own length."""
    path = tiny.folder / "one.npz"
    n = LENGTHS[k]
    np.savez(path, x=values()[k : k + 1, :n], labels=tiny.labels[k : k + 1].numpy())
    return refcert(*tiny.command(*options), "--data", path).json["samples"][0] | {"index": k}


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize(
    "what",
    [
        AT,
        ("--search", "--clip", 0, 1, "--tolerance", 0.3),
        (*AT, "--input-set", "sequence", "--norm", 2),
        ("--radius-db", -20),
        ("--search", "--clip", 0, 1, "--input-set", "sequence", "--tolerance", 0.3),
        (*AT, "--clip", 0, 1, "--norm", 2),
    ],
    ids=lambda what: " ".join(map(str, what)),
)
def test_a_ragged_batch_is_its_sequences_one_by_one(tmp_path: Path, kind: str, what: tuple[object, ...]) -> None:
    tiny = Tiny(tmp_path, kind, bidirectional=True)
    ragged(tiny)
    found = tiny.run(*what, "--batch-size", 3)
    assert found["data"]["lengths"] == [1, 3]
    same(found["samples"], [alone(tiny, k, *what) for k in range(COUNT)])


def test_frames_behind_the_end_are_not_asked_about(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    ragged(tiny)
    for row, n in zip(tiny.run("--search", "--frames", "each")["samples"], LENGTHS, strict=True):
        assert [radius is not None for radius in row["frame_radii"]] == [t < n for t in range(TIME)]
        assert row["radius"] == min(radius for radius in row["frame_radii"] if radius is not None)
    for input_set in ("frames", "sequence"):
        rows = tiny.run(*AT, "--frames", "1", "--input-set", input_set)["samples"]
        assert [row["margin"] is not None for row in rows] == (LENGTHS > 1).tolist()
        assert [row["certified"] is not None for row in rows] == (LENGTHS > 1).tolist()
    tiny.data(x=values(), lengths=np.ones(COUNT, dtype=int))
    refused = refcert(*tiny.command(*AT, "--frames", "2"))
    assert refused.code == 2
    assert "every sequence ends before these frames; choose others" in refused.message


def test_ragged_boxes_and_substitutions(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    x = values()
    behind = np.arange(TIME) >= LENGTHS[:, None]
    lower, upper = x - 0.02, x + 0.01
    candidates = x[:, :, None] + np.array([-0.02, 0.01])[:, None]
    for array in (x, lower, upper, candidates):
        array[behind] = np.nan
    allowed = np.ones(candidates.shape[:3], dtype=bool)
    tiny.data(x=x, lengths=LENGTHS, lower=lower, upper=upper, candidates=candidates, allowed=allowed)
    for name in ("box", "substitutions"):
        for k, row in enumerate(tiny.run("--input-set", name)["samples"]):
            n = LENGTHS[k]
            spec = untargeted(tiny.labels[k : k + 1], CLASSES)
            own = [torch.from_numpy(a[k : k + 1, :n]) for a in (x, lower, upper, candidates, allowed)]
            region = Boxes(own[1], own[2]) if name == "box" else Substitutions(own[0], own[3], own[4])
            assert row["margin"] == pytest.approx(float(certify(tiny.network, region, spec).margin), abs=1e-9)


def test_tokens_are_vectors_of_the_embedding(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path, "lstm", words=5)
    assert tiny.network.embedding is not None
    tokens = np.array([[0, 4, 2], [3, 3, -1], [1, 0, 4], [2, -7, 99]])
    lengths = np.array([3, 2, 3, 1])
    x = tiny.network.embedding[torch.from_numpy(np.clip(tokens, 0, 4))].numpy()
    tiny.data(x=x, lengths=lengths)
    by_value = tiny.run(*AT)
    np.savez(tmp_path / "d.npz", tokens=tokens, labels=tiny.labels.numpy(), lengths=lengths)
    found = tiny.run(*AT)
    assert found["samples"] == by_value["samples"]
    assert found["data"]["unit"] == "unit of the model's embedding"
    assert found["data"]["digest"] != by_value["data"]["digest"]


# Memory and resuming


@pytest.mark.parametrize("what", [AT, ("--search", "--tolerance", 0.3), (*AT, "--relaxation", "best")], ids=str)
def test_results_do_not_depend_on_the_memory(tmp_path: Path, what: tuple[object, ...]) -> None:
    tiny = Tiny(tmp_path, "gru")
    plain = tiny.run(*what)
    for size in ("1", "20kB", "1MiB"):
        found = tiny.run(*what, "--memory", size)
        same(found["samples"], plain["samples"])
    assert found["request"]["memory"] == 2**20


def test_a_run_goes_on_only_with_the_same_question(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    np.savez(tmp_path / "spec.npz", C=np.eye(CLASSES), d=np.zeros(CLASSES))
    out = ("--out", tmp_path / "run", "--batch-size", 2)
    first = tiny.run("--radius-db", -30, "--norm", 2, "--clip", 0, 1, "--clip-bound", "simple", *out)
    asked = ("--radius-db", -30, "--norm", 2, "--clip", 0, 1, "--resume", *out)
    # Half of it is lost; other memory does not matter.
    (tmp_path / "run" / "results" / "part-00001.parquet").unlink()
    again = tiny.run(*asked, "--clip-bound", "simple", "--memory", "1MB")
    same(again["samples"], first["samples"])
    simple = ("--clip-bound", "simple")
    for options, words in (
        ((), 'request.clip_bound = "simple", now it is "exact"'),
        ((*simple, "--input-set", "sequence"), 'request.input_set = "frames", now it is "sequence"'),
        ((*simple, "--top-k", 2), "request.top_k = null, now it is 2"),
        (
            ("--clip-bound", "simple", "--criterion", "per-class"),
            'request.criterion = "margins", now it is "per-class"',
        ),
        ((*simple, "--spec", tmp_path / "spec.npz"), "specification.digest = null"),
        ((*simple, "--readout", "mean"), 'request.readout = null, now it is "mean"'),
    ):
        refused = refcert(*tiny.command(*asked, *options))
        assert refused.code == 2
        assert words in refused.message


def test_other_rows_are_another_question(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    spec = tmp_path / "spec.npz"
    np.savez(spec, C=np.eye(CLASSES), d=np.full(CLASSES, 9.0))
    asked = (*AT, "--spec", spec, "--out", tmp_path / "run")
    first = tiny.run(*asked)
    assert first["certified"] == COUNT
    assert tiny.run(*asked, "--resume")["samples"] == first["samples"]
    np.savez(spec, C=np.eye(CLASSES), d=np.full(CLASSES, 8.0))
    refused = refcert(*tiny.command(*asked, "--resume"))
    assert "specification.digest" in refused.message
