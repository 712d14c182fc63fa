"""Bad input through the command line: exit code, a message with value and remedy, empty output, nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from refcert.app import certify_run
from refcert.app.errors import ExitCode
from tests.app.commands import (
    CLASSES,
    INPUT,
    SAMPLES,
    TIME,
    command,
    environment,
    refcert,
    refcert_process,
    write_data,
    write_model,
)

RADIUS = ("--radius", "0.01")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own folder with a tiny model and its data, as the working folder."""
    write_data(tmp_path / "tiny.npz", write_model(tmp_path / "tiny.safetensors"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(*arguments: object, code: int = ExitCode.BAD_INPUT) -> str:
    """The message of a call that fails and leaves the folder as it was."""
    before = sorted(Path.cwd().rglob("*"))
    result = refcert(*arguments)
    assert result.code == code, result.err
    assert sorted(Path.cwd().rglob("*")) == before
    return result.message


def certify(*options: object, model: object = "tiny.safetensors", data: object = "tiny.npz") -> tuple[object, ...]:
    out = () if "--out" in options else ("--out", "deep/run")
    return ("certify", "--model", model, "--data", data, *out, "--json", *options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--radius", "-1"), ("-1.0", "give a finite number >= 0")),
        (("--radius", "nan"), ("nan", "give")),
        (("--radius", "1e400"), ("inf", "give")),
        (("--radius", "x"), ("--radius", "'x' is not a number; give")),
        (("--radius", ""), ("'' is not a number; give",)),
        ((*RADIUS, "--search"), ("--radius 0.01 and --search exclude each other; give",)),
        ((), ("neither --radius nor --search", "give")),
        ((*RADIUS, "--optimize", "-1"), ("--optimize is -1", "give a number of steps")),
        ((*RADIUS, "--optimize", "x"), ("'x'", "give")),
        ((*RADIUS, "--suppose", "-1"), ("--suppose is -1", "give a number of rounds")),
        ((*RADIUS, "--suppose", "2", "--criterion", "per-class"), ("--suppose 2 proves rows one by one", "Leave")),
        ((*RADIUS, "--suppose", "2", "--top-k", "2"), ("with --top-k 2 they need not", "Leave")),
        ((*RADIUS, "--norm", "0.5"), ("0.5", "give p >= 1")),
        ((*RADIUS, "--norm", "banana"), ("'banana'", "give inf, 1, 2")),
        ((*RADIUS, "--norm", ""), ("''", "give inf")),
        ((*RADIUS, "--norm", "nan"), ("nan", "give")),
        ((*RADIUS, "--frames", ""), ("--frames is empty; give",)),
        ((*RADIUS, "--frames", "0,0"), ("'0,0'", "name each frame once")),
        ((*RADIUS, "--frames", "99"), ("frame 99", "frames 0 to 2, choose")),
        ((*RADIUS, "--frames", "each", "--target", "all"), ("each", "choose one")),
        ((*RADIUS, "--clip", "1", "0"), ("[1.0, 0.0]", "the lower one first")),
        ((*RADIUS, "--clip", "nan", "1"), ("nan", "two finite numbers")),
        ((*RADIUS, "--clip", "a", "b"), ("'a' 'b'", "give the valid range")),
        ((*RADIUS, "--clip", "0.9", "1"), ("x[0, 0, ", "outside --clip 0.9 1; widen")),
        ((*RADIUS, "--target", "99"), ("class 99", "classes 0 to 2, choose")),
        ((*RADIUS, "--target", ""), ("''", "give 'untargeted'")),
        ((*RADIUS, "--count", "0"), ("count is 0; give",)),
        ((*RADIUS, "--count", "8"), ("count 8", "ask for 1 to 7")),
        ((*RADIUS, "--count", "2.5"), ("'2.5' is not a whole number; give",)),
        ((*RADIUS, "--batch-size", "0"), ("batch size is 0; give",)),
        ((*RADIUS, "--dtype", "float16"), ("'float16'", "choose one of float64, float32")),
        ((*RADIUS, "--relaxation", "tightest"), ("'tightest'", "known: constants, lines", "best")),
        ((*RADIUS, "--device", "banana"), ("'banana'", "try 'cpu'")),
        ((*RADIUS, "--device", ""), ("''", "try 'cpu'")),
        (("--search", "--tolerance", "0"), ("tolerance is 0.0; give",)),
        ((*RADIUS, "--workers", "0"), ("0 is too small; give at least 1",)),
        ((*RADIUS, "--seed", "x"), ("'x' is not a whole number; give",)),
        ((*RADIUS, "--resume"), ("deep/run is not a run folder", "give the --out")),
        ((*RADIUS, "--out", ""), ("'' is empty; give a path",)),
        ((*RADIUS, "--out", "tiny.npz"), ("tiny.npz exists; choose another --out",)),
        ((*RADIUS, "--out", "."), (". exists; choose another --out",)),
        ((*RADIUS, "--out", "tiny.npz", "--resume"), ("tiny.npz is not a run folder", "give")),
        ((*RADIUS, "--unknown"), ("--unknown",)),
    ],
    ids=" ".join,
)
def test_options(here: Path, options: tuple[str, ...], words: tuple[str, ...]) -> None:
    message = refused(*certify(*options))
    for word in words:
        assert word in " ".join(message.split())


@pytest.mark.parametrize("device", ["meta", "hpu", "privateuseone", "mkldnn", "xla", "cuda:99"])
def test_devices_that_torch_knows_but_cannot_use(here: Path, device: str) -> None:
    """Regression: 'meta' can hold tensors without values; others failed on import, with a traceback."""
    message = refused(*certify(*RADIUS, "--device", device))
    assert f"device {device!r} cannot be used here" in message
    assert "try 'cpu'" in message
    assert len(message) < 300


def test_resume_needs_a_folder_before_anything_is_read(here: Path) -> None:
    message = refused("certify", "--model", "gone", "--data", "gone", *RADIUS, "--resume")
    assert "--resume needs the run's folder; give it with --out" in message


def test_names_too_long_for_the_file_system_are_no_tracebacks(here: Path) -> None:
    """Regression: looking at such a path raises OSError."""
    long = "a" * 5000
    assert "give another path" in refused(*certify(*RADIUS, model=long))
    assert "give another path" in refused(*certify(*RADIUS, data=f"{long}.npz"))
    assert "give another path" in refused("audit", long)
    assert "choose a shorter name" in refused(*certify(*RADIUS, "--out", "a" * 300), code=ExitCode.OUTPUT_FAILED)


def test_places_that_cannot_be_written(here: Path) -> None:
    message = refused(*certify(*RADIUS, "--out", "tiny.npz/run"), code=ExitCode.OUTPUT_FAILED)
    assert "tiny.npz/run: Not a directory; a part of the path is a file, choose another place" in message


def test_a_link_to_nowhere_is_something_that_exists(here: Path) -> None:
    (here / "link").symlink_to("nowhere")
    assert "link exists; choose another --out" in refused(*certify(*RADIUS, "--out", "link"))


def test_an_overflow_leaves_no_folder(here: Path) -> None:
    """Regression: only failures of writing removed the folder of a run in which nothing was finished."""
    message = refused(*certify("--radius", "1e308"), code=ExitCode.OVERFLOW)
    assert "smaller radius" in message
    assert "float64" in refused(*certify("--radius", "1e39", "--dtype", "float32"), code=ExitCode.OVERFLOW)


def test_a_folder_with_other_things_in_it_stays(here: Path) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "notes.txt").write_text("kept")
    refused(*certify("--radius", "1e308", "--out", "mine/deep/run"), code=ExitCode.OVERFLOW)


def test_too_little_memory_names_the_batch_size(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def starve(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")

    monkeypatch.setattr(certify_run, "answer", starve)
    assert "--batch-size 5 (" in refused(*certify(*RADIUS, "--batch-size", "5"))


def test_a_fault_of_ours_is_never_exit_code_one(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: the interpreter ends with 1 on a traceback, and 1 means REFUTED."""

    def fail(*_: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(certify_run, "answer", fail)
    result = refcert(*certify(*RADIUS))
    assert (result.code, result.out) == (ExitCode.FAULT, "")
    assert "please report it; nothing is claimed" in result.err
    assert "KeyError: 'surprise'" in result.err
    assert not (here / "deep").exists()


# Model files


def test_models(here: Path) -> None:
    good = load_file("tiny.safetensors")
    whole = Path("tiny.safetensors").read_bytes()

    def stored(**changes: torch.Tensor) -> str:
        save_file({**good, **{name.replace("__", "."): value for name, value in changes.items()}}, "bad.safetensors")
        return "bad.safetensors"

    def written(name: str, content: bytes) -> str:
        Path(name).write_bytes(content)
        return name

    head = good["linear.weight"]
    nan = head.clone()
    nan[1, 2] = torch.nan
    cases = [
        (lambda: "nope", "no pretrained model is called 'nope'; there are digits_lstm"),
        (lambda: "nope.safetensors", "nope.safetensors does not exist; give"),
        (lambda: " ", "--model is ' '; give"),
        (lambda: ".", ". is a folder; give"),
        (lambda: written("m.pt", b"\x80\x02}"), "m.pt looks like a pickle"),
        (lambda: written("m.bin", b"\x80\x02}" * 9), "m.bin looks like a pickle"),
        (lambda: written("m.safetensors", b""), "is empty (0 bytes); save the model again"),
        (lambda: written("m.safetensors", whole[:-20]), "cannot be read as safetensors"),
        (lambda: written("m.safetensors", b"hello" * 100), "cannot be read as safetensors"),
        (lambda: stored(linear__weight=nan), "linear.weight[1, 2] is nan"),
        (lambda: stored(lstm__bias_ih_l0=good["lstm.bias_ih_l0"] * torch.inf), "inf"),
        (lambda: stored(lstm__bias_ih_l0=good["lstm.bias_ih_l0"][:-1].clone()), "bias_ih_l0 has shape (15,)"),
        (lambda: stored(linear__weight=head[:, :-1].clone()), "the layer behind the recurrence needs (any, 4)"),
        (lambda: stored(other__thing=torch.zeros(2, 2, 2)), "other.thing of shape (2, 2, 2) is not understood"),
        (lambda: stored(linear__weight=head.to(torch.int64)), "linear.weight is int64; only"),
        (lambda: stored(lstm__weight_hh_l0=torch.zeros(20, 4)), "lstm.weight_hh_l0 has shape (20, 4)"),
    ]
    for make, words in cases:
        assert words in refused(*certify(*RADIUS, model=make()))


def test_data(here: Path) -> None:
    with np.load("tiny.npz") as stored:
        x, labels = stored["x"], stored["labels"]
    whole = Path("tiny.npz").read_bytes()
    nan = x.copy()
    nan[2, 1, 0] = np.nan

    def saved(**arrays: np.ndarray) -> str:
        np.savez("bad.npz", **arrays)
        return "bad.npz"

    def written(content: bytes) -> str:
        Path("bad.npz").write_bytes(content)
        return "bad.npz"

    cases = [
        (lambda: "", "no data set is called ''; there are digits, mnist"),
        (lambda: "gone.npz", "gone.npz is not a file that exists; give"),
        (lambda: "digits", "digits: the model reads 3 values a frame"),
        (lambda: saved(x=nan, labels=labels), "x[2, 1, 0] is nan; every value must be finite"),
        (lambda: saved(x=x * np.inf, labels=labels), "x[0, 0, 0] is inf"),
        (lambda: saved(x=x, labels=labels + CLASSES), "the model has classes 0 to 2"),
        (lambda: saved(x=x, labels=labels - 9), "the model has classes 0 to 2"),
        (lambda: saved(x=x, labels=labels + 0.5), "labels are float64"),
        (lambda: saved(x=x, labels=labels[:-1]), "x has 7 sequences, labels 6"),
        (lambda: saved(x=x[0], labels=labels), f"x has shape ({TIME}, {INPUT})"),
        (lambda: saved(x=x[:, :, :2], labels=labels), "2 values a frame, but the model reads 3"),
        (lambda: saved(x=x[:0], labels=labels[:0]), "has no sequences"),
        (lambda: saved(x=x[:, :0], labels=labels), f"x has shape ({SAMPLES}, 0, {INPUT})"),
        (lambda: saved(x=x), "has no array 'labels', it has x"),
        (lambda: saved(x=x.astype(object), labels=labels), "pickled (object) arrays are refused"),
        (lambda: saved(x=x.astype(complex), labels=labels), "x is complex128"),
        (lambda: written(whole[: len(whole) // 2]), "perhaps cut short"),
        (lambda: written(b""), "is no npz file"),
    ]
    for make, words in cases:
        assert words in refused(*certify(*RADIUS, data=make()))


def test_data_too_large_for_a_search(here: Path) -> None:
    """Regression: such data failed after the folder was made."""
    with np.load("tiny.npz") as stored:
        np.savez("huge.npz", x=stored["x"] * 1e308, labels=stored["labels"])
    assert "give --radius" in refused(*certify("--search", data="huge.npz"))


def test_mnist_needs_its_variable(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REFCERT_DATA", raising=False)
    assert "REFCERT_DATA is not set; set it" in refused(*certify(*RADIUS, model="digits_lstm", data="mnist"))


# Audit and report


def test_audit_and_report_refuse_what_is_no_run(here: Path) -> None:
    (here / "empty").mkdir()
    assert "'' is empty; give a path" in refused("audit", "")
    assert "empty is not a run folder" in refused("audit", "empty")
    assert "empty is not a run folder" in refused("report", "empty")
    assert "missing column 'kind'" in refused("audit", "tiny.npz")
    assert "gone.npz: no such file" in refused("audit", "gone.npz")
    (here / "empty" / "request.json").write_text("[1")
    assert "request.json cannot be read" in refused("audit", "empty")
    (here / "empty" / "request.json").write_text('{"format": 99}')
    assert "run format 99" in refused("audit", "empty")
    (here / "empty" / "request.json").write_text('{"format": 1}')
    assert "no finished part yet" in refused("audit", "empty")


def test_an_audit_of_no_planes_is_refused(here: Path) -> None:
    """Regression: it ended with code 0, as if all had been proved."""
    names = ("lower_v", "upper_v", "lower_z", "upper_z", "slope_v", "slope_z", "offset")
    np.savez("none.npz", kind=np.empty(0, "U9"), side=np.empty(0, "U9"), **{name: np.empty(0) for name in names})
    assert "none.npz has 0 planes" in refused("audit", "none.npz")


# Streams and signals, with real processes


def test_errors_of_a_process_go_to_standard_error(here: Path) -> None:
    result = refcert_process(*certify("--radius", "-1"))
    assert result.code == ExitCode.BAD_INPUT
    assert result.message == "refcert: radius is -1.0; give a finite number >= 0, in the unit of the data\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "json"])
def test_standard_output_that_is_full(here: Path, form: tuple[str, ...]) -> None:
    """Regression: a traceback, and exit code 1, which means REFUTED."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("certify", "--model", "tiny.safetensors", "--data", "tiny.npz", *RADIUS, *form),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            check=False,
        )
    assert done.returncode == ExitCode.OUTPUT_FAILED
    assert done.stderr.startswith("refcert: cannot write to standard output: No space left on device; send it")


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "json"])
def test_standard_output_that_nobody_reads(here: Path, form: tuple[str, ...]) -> None:
    """Regression: the libraries for command line and tables end with 1 here, which means REFUTED."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            command("certify", "--model", "tiny.safetensors", "--data", "tiny.npz", *RADIUS, *form),
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            check=False,
        )
    finally:
        os.close(write)
    assert done.returncode == ExitCode.OUTPUT_FAILED
    assert done.stderr.startswith("refcert: cannot write to standard output: Broken pipe")


@pytest.mark.skipif(
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
    reason="this process ignores Ctrl-C (started in the background), and so would the one under test",
)
def test_interrupted_runs_end_with_130(here: Path) -> None:
    """Once in silence, with older versions of the command line library even with 1, which means REFUTED."""
    out = here / "run"
    options = ("--model", "digits_lstm", "--data", "digits", "--search", "--batch-size", "2", "--out", out)
    process = subprocess.Popen(
        command("certify", *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    deadline = time.monotonic() + 60
    while not list(out.glob("results/*.parquet")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == ""
    assert errors == "refcert: interrupted; what is finished stays in --out, and --resume continues it\n"
    assert not list(out.rglob("*.partial"))
