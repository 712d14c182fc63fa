"""`refcert explain`: everything that a certificate says, its numbers exactly, and nothing that was proved."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from refcert.app.certificates import explain_print
from refcert.app.certificates.explain import explain
from refcert.app.certificates.explain_print import UNITS
from refcert.app.certificates.step_words import BOX_ROWS, DIAGONAL_ROWS, PLANE_ROWS, plane_text
from refcert.kernel.check import check, read_certificate
from refcert.kernel.steps import FORMS
from tests.app.commands import Result, environment, refcert
from tests.app.made_certificates import HIDDEN, draft, holey, recurrent, truncated, write
from tests.certificates import block_vectors, diagonal_vectors
from tests.certificates.tiny_certificates import Array, Draft, P, array, drafts

NOTHING_PROVED = "Nothing of this is proved here: run refcert check"
FILE_IN = "clipped, backward, targeted, in a file"


def words(path: Path, *options: object) -> str:
    result = refcert("explain", path, *options)
    assert result.code == 0, result.err
    return result.out


def parsed(path: Path, *options: object) -> dict:
    result = refcert("explain", path, "--json", *options)
    assert result.code == 0, result.err
    return result.json


@pytest.fixture
def valid(tmp_path: Path) -> Path:
    return write(tmp_path, "valid", draft())


# Everything is there


def test_every_certificate_is_explained_completely(tmp_path: Path) -> None:
    """Each variable, each step and each of its numbers, for every kind of network, input set, question and rule."""
    rules = set()
    blocks = {
        name: block_vectors.made(name) for name in (block_vectors.FAR_OFF, block_vectors.EMPTY, block_vectors.LSTM)
    }
    for name, made in {**drafts(), **blocks, "gru, diagonals": diagonal_vectors.made(diagonal_vectors.GRU)}.items():
        path = write(tmp_path, name, made)
        found = explain(path)
        value = found.to_json()
        json.dumps(value, allow_nan=False)
        certificate = read_certificate(path, {})
        assert value["checked"] is False
        assert [one["label"] for one in value["variables"]] == [v.label for v in certificate.program.variables]
        assert all(one["definition"] for one in value["variables"])
        steps = certificate.body["steps"]
        assert [one["number"] for one in value["steps"]] == list(range(len(steps)))
        for one, entry in zip(value["steps"], steps, strict=True):
            for key, mine in (("rule", "rule"), ("of", "of"), ("part", "part"), ("set", "set"), ("sets", "sets")):
                assert one[mine] == entry.get(key)
            assert one["numbers"] == sum(map(len, certificate.steps[one["number"]].rows))
            rules.add(entry["rule"])
        assert value["claim"]["digest"] == value["claim"]["named_digest"] == certificate.claim().digest
        assert value["network"]["digest"] == value["network"]["named_digest"] == certificate.network.digest
        assert value["network"]["numbers"] == sum(map(math.prod, value["network"]["weights"].values()))
    assert rules == set(FORMS)


def test_json_keys(valid: Path) -> None:
    value = parsed(valid)
    assert set(value) == {"path", "checked", "about", "network", "claim", "variables", "steps"}
    assert set(value["network"]) == {
        *("digest", "named_digest", "file", "structure", "frames", "input_size", "classes", "weights", "numbers"),
        "text",
    }
    assert set(value["claim"]) == {"digest", "named_digest", "margin", "inputs", "specification", "text"}
    assert set(value["variables"][0]) == {"number", "label", "units", "definition"}
    step = {"number", "rule", "of", "part", "set", "sets", "numbers", "about", "follows"}
    assert all(set(one) == step for one in value["steps"])
    assert set(parsed(valid, "--step", 0)["step"]) == {*step, "values", "rows"}


def test_the_text_has_what_a_person_needs(tmp_path: Path) -> None:
    path = write(tmp_path, "c", draft(FILE_IN))
    text = words(path)
    claim = check(path).claim
    assert claim.digest in text
    assert claim.network in text
    assert claim.margin.hex() in text
    assert "rnn_relu, backward in time, 2 units" in text
    (network,) = [one.name for one in tmp_path.glob("*.safetensors") if one != path]
    assert f"in {network} beside it" in text
    for one in parsed(path)["variables"]:
        assert one["label"] in text
    for one in parsed(path)["steps"]:
        assert one["follows"] in text


def test_it_says_first_and_last_that_nothing_is_proved(valid: Path) -> None:
    for options in ((), ("--step", 0)):
        text = words(valid, *options).strip()
        assert NOTHING_PROVED in text.splitlines()[0]
        assert NOTHING_PROVED in text.splitlines()[-1]


def test_what_cannot_hold_is_explained_too(tmp_path: Path) -> None:
    made = draft()
    made.body["network"]["digest"] = "0" * 64
    made.body["claim"] = "1" * 64
    text = words(write(tmp_path, "c", made))
    assert f"the certificate names {'0' * 64}: it is about another network" in text
    assert f"the file names {'1' * 64}: it was made for another claim" in text


# Words for claims and input sets


def claim_text(folder: Path, question: str, **changes: object) -> str:
    made = draft(question)
    for key, value in changes.items():
        made.body[key] = value
    made.claim()
    return "\n".join(parsed(write(folder, "c", made))["claim"]["text"])


@pytest.mark.parametrize(
    ("question", "changes", "found"),
    [
        (
            "one layer",
            {},
            ["y[1] - y[j] >= m for all x in X and all classes j other than 1", "always decides for class 1"],
        ),
        (FILE_IN, {}, ["y[1] - y[2] >= m for all x in X", "class 2 stays below class 1", "-0.5 <= every value <= 1"]),
        (
            "p one clipped, two directions, top k",
            {},
            ["a set J of at most 1 classes", "among the 2 largest", "norm_1("],
        ),
        ("sequence ball, p inf, moves, every", {}, ["y_t[l_t]", "l_0 = 0, l_1 = 1, l_2 = 0", "every frame t but 0, 2"]),
        ("boxes, stacked, rows over every answer", {}, ["y_0[0] + 0.5 y_0[1] - 0.25 y_1[0] + 0.75 y_1[1] + 0.5 >= m"]),
        (
            "boxes, stacked, rows over every answer",
            {},
            ["lower <= x <= upper", "are about 0 to 0.25; 1 of 4 values stay"],
        ),
        ("substitutions, blocks before and after", {}, ["frame 0 has 2 candidates", "candidates: 1", "is 6 sequences"]),
        ("no substitutions, relu of frames, zero state", {}, ["the one sequence of the centers"]),
        ("one layer", {}, ["radius_t = 0.25 for t = 0", "radius_t = 0.125 for t = 1"]),
        ("one frame, mean, joined after", {}, ["X: all sequences x_0 of 2 values", "t = 0, which stay as they are"]),
        ("sequence ball, p one, mean of three", {}, ["norm_1(x - center) <= 0.5", "x_0 .. x_2 of 2 values a frame"]),
        (
            "one layer",
            {"inputs": {"kind": "frame_balls", "p": P[2]}},
            ["norm_2(", "the Euclidean length of the change"],
        ),
        (
            "one layer",
            {"inputs": {"kind": "frame_balls", "p": (1.5).hex()}},
            ["norm_1.5(x_t - center_t) <= radius_t", "the l_1.5 norm of the change"],
        ),
    ],
)
def test_claims_in_words(tmp_path: Path, question: str, changes: dict[str, object], found: list[str]) -> None:
    text = claim_text(tmp_path, question, **changes)
    for one in found:
        assert one in text, text


def test_rows_without_terms_or_constants(tmp_path: Path) -> None:
    made = draft("boxes, stacked, rows over every answer")
    made.tensors["rows.C"] = array([0.0, 0.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 1.0])
    made.tensors["rows.d"] = array(-2.0, 0.0)
    made.claim()
    text = parsed(write(tmp_path, "c", made))["claim"]["text"]
    assert "-2 >= m for all x in X" in text
    assert "-y_0[0] + y_1[1] >= m for all x in X" in text


def without_steps(question: str) -> Draft:
    """Its margin alone, so that the input set can be another one."""
    made = draft(question)
    while len(made.body["steps"]) > 1:
        made.drop(0)
    return made


def test_long_lists_are_cut_in_sentences(tmp_path: Path) -> None:
    """Radii, frames with candidates, rows and their terms; the file and --step have all of them."""
    many, size = 30, 2
    made = without_steps("one layer")
    made.tensors["center"] = Array((many, size), [0.5] * (many * size))
    made.tensors["radius"] = Array((many,), [t / 64 for t in range(many)])
    made.claim()
    text = parsed(write(tmp_path, "radii", made))["claim"]["text"]
    assert f"   ... and {many - 8} other radii" in text
    made.body["inputs"] = {"kind": "substitutions", "counts": [1] * many}
    del made.tensors["radius"]
    made.tensors["candidates"] = made.tensors["center"]
    made.claim()
    text = parsed(write(tmp_path, "words", made))["claim"]["text"]
    assert f"   ... and {many - 8} other frames have some" in text
    assert f"   that is about 10^{many * math.log10(2):.1f} sequences in all" in text
    made = without_steps("boxes, stacked, rows over every answer")
    made.tensors["lower"] = made.tensors["upper"] = Array((many, size), [0.5] * (many * size))
    made.tensors["rows.C"] = Array((many, many * size), [1.0] * (many * many * size))
    made.tensors["rows.d"] = Array((many,), [0.0] * many)
    made.claim()
    path = write(tmp_path, "rows", made)
    text = parsed(path)["claim"]["text"]
    assert f"... and {many - 8} more rows of C y + d" in text
    assert any(line.endswith(f"+ ... ({many * size} terms) >= m for all x in X") for line in text)
    assert f"... and {many - UNITS} rows more" in words(path, "--step", 0)
    assert len(parsed(path, "--step", 0)["step"]["rows"]) == many


def test_long_tables_are_cut_on_the_screen_alone(valid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain_print, "SHOWN", 2)
    text, value = words(valid), parsed(valid)
    assert f"... and {len(value['variables']) - 2} more (--json has all)" in text
    assert f"... and {len(value['steps']) - 2} more (--json has all)" in text


def test_a_margin_per_class_of_another_question_is_said(tmp_path: Path) -> None:
    made = draft("p one clipped, two directions, top k")
    made.body["steps"][-1]["rule"] = "margin.per_class"
    path = write(tmp_path, "c", made)
    assert parsed(path)["steps"][-1]["follows"] == "only for a claim about one label against others, which this is not"
    assert check(path).verdict == "INVALID"


# The numbers of one step


def test_numbers_of_every_step_are_the_file_s(tmp_path: Path) -> None:
    for name, made in (("lstm", recurrent("lstm")), ("gru", recurrent("gru")), ("relu", draft())):
        path = write(tmp_path, name, made)
        for number, entry in enumerate(made.body["steps"]):
            step = parsed(path, "--step", number)["step"]
            table = made.tensors.get(f"step.{number}")
            if table is None:
                assert step["values"] is None
                assert len(step["rows"]) == 2  # of the other classes
                continue
            assert [x for row in step["values"] for x in row] == table.values
            assert tuple(step["rows"]) == (PLANE_ROWS[table.shape[0]] if entry["rule"] == "planes" else BOX_ROWS)


def test_diagonals_are_shown_and_named_by_the_planes_behind_them(tmp_path: Path) -> None:
    made = diagonal_vectors.made(diagonal_vectors.GRU)
    path = write(tmp_path, "gru", made)
    steps = parsed(path)["steps"]
    assert (steps[6]["rule"], steps[6]["part"], steps[6]["set"], steps[6]["sets"]) == ("diagonals", 0, None, [0])
    assert "v = -" in steps[6]["follows"]  # the negated gate
    assert "cut by the diagonals of step 6" in steps[8]["follows"]
    table = made.tensors["step.6"]
    shown = rows_of(words(path, "--step", 6, "--units"))
    assert shown == [[str(u), *(repr(table.values[row * 2 + u]) for row in range(4))] for u in range(2)]
    step = parsed(path, "--step", 6)["step"]
    assert tuple(step["rows"]) == DIAGONAL_ROWS
    assert [x for row in step["values"] for x in row] == table.values


def rows_of(text: str) -> list[list[str]]:
    return [re.split(r"\s*│\s*", line)[1:-1] for line in text.splitlines() if line.startswith("│")]


def test_a_box_is_shown_exactly_and_cut_unless_all_is_asked_for(tmp_path: Path) -> None:
    made = recurrent("lstm")
    path = write(tmp_path, "c", made)
    table, size = made.tensors["step.0"].values, 4 * HIDDEN
    whole = [[str(u), repr(table[u]), repr(table[size + u])] for u in range(size)]
    assert rows_of(words(path, "--step", 0, "--units")) == whole
    text = words(path, "--step", 0)
    assert rows_of(text) == whole[:UNITS]
    assert f"... and {size - UNITS} units more" in text


def test_planes_are_shown_over_their_boxes(tmp_path: Path) -> None:
    """Six rows, and five with one slope_z; boxes as the steps before claim them, one that no step claims is said."""
    made = recurrent("lstm")
    path = write(tmp_path, "c", made)
    box, planes = made.tensors["step.0"].values, made.tensors["step.1"].values
    size = 4 * HIDDEN
    first = rows_of(words(path, "--step", 1))[1]
    v, z = 1, 2 * HIDDEN + 1  # unit 1 of the gates i and g
    assert first[1] == f"[{box[v]!r}, {box[size + v]!r}]"
    assert first[2] == f"[{box[z]!r}, {box[size + z]!r}]"
    lower = [planes[k * HIDDEN + 1] for k in range(3)]
    sign = ["-" if x < 0 else "+" for x in lower]
    assert first[3] == f"{lower[0]!r} v {sign[1]} {abs(lower[1])!r} z {sign[2]} {abs(lower[2])!r}"
    shared = rows_of(words(path, "--step", 3))[0]
    planes = made.tensors["step.3"].values
    assert "not in the file" in shared[1]  # no step gives the gates of frame 1 a box
    assert f"{abs(planes[HIDDEN])!r} z" in shared[3]
    assert f"{abs(planes[HIDDEN])!r} z" in shared[4]


def test_the_negated_gate_of_a_gru_is_shown_negated(tmp_path: Path) -> None:
    made = recurrent("gru")
    path = write(tmp_path, "c", made)
    box, size, unit = made.tensors["step.0"].values, 3 * HIDDEN, HIDDEN  # the first unit of the gate z
    text = words(path, "--step", 3)
    assert f"v = -2[{HIDDEN}:{2 * HIDDEN}], z = 4" in text
    assert rows_of(text)[0][1] == f"[{-box[size + unit]!r}, {-box[unit]!r}]"


def test_planes_of_one_argument_are_lines(valid: Path) -> None:
    made = draft()
    number = made.step("planes")
    values = made.tensors[f"step.{number}"].values
    first = rows_of(words(valid, "--step", number))[0]
    lower, upper = first[2], first[3]
    for text, slope, offset in ((lower, values[0], values[2]), (upper, values[4], values[6])):
        assert text == plane_text((slope, None, offset))
        assert [float(x) for x in re.fullmatch(r"(\S+) v \+ (\S+)", text).groups()] == [slope, offset]


def test_a_margin_shows_its_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "c", recurrent("lstm"))
    text = words(path, "--step", 4)
    assert "y[1] - y[0]" in text
    assert "y[1] - y[2]" in text
    assert "m = 0.125" in text
    assert "the bound of y[1] plus that of -y[j] reaches m" in text


def test_how_steps_follow(tmp_path: Path) -> None:
    steps = parsed(write(tmp_path, "c", recurrent("lstm")))["steps"]
    assert steps[0]["follows"] == "interval arithmetic (boxes: frame 0 by X)"
    assert "sigmoid(v) tanh(z)" in steps[1]["follows"]
    assert "v = 2[0:4], z = 2[8:12] (boxes: 2 by step 0)" in steps[1]["follows"]
    assert steps[2]["follows"] == "back-substitution with the planes of one of the sets 0, 2 so far, down to X"
    assert "sigmoid(v) z" in steps[3]["follows"]
    assert "v = 5[4:8], z = 3 (boxes: 3 by step 2, 5 by interval arithmetic)" in steps[3]["follows"]


# What no step should be, and no certificate


def test_an_unknown_rule_is_said_to_be_unknown(tmp_path: Path) -> None:
    path = write(tmp_path, "c", holey())
    step = parsed(path, "--step", 0)["step"]
    assert "does not know: the check answers HOLEY" in step["follows"]
    assert step["of"] is step["sets"] is step["rows"] is step["values"] is step["numbers"] is None
    assert "the check answers HOLEY" in words(path, "--step", 0)
    assert "box.guess" in words(path)


def refused(path: Path, *options: object) -> str:
    result: Result = refcert("explain", path, *options)
    assert result.code == 2
    assert str(path) in result.message or options
    return result.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"of": 0}, "is 0; it must be"),
        ({"of": 99}, "is 99; it must be"),
        ({"sets": []}, "is []; it must be"),
        ({"sets": [1, 0]}, "the numbers must rise"),
        ({"sets": [1024]}, "is 1024; it must be"),
        ({"rule": "planes", "part": 0, "set": 0, "sets": None}, "which is affine"),
        ({"of": 6}, "has shape (2, 2); it needs (2, 3)"),
    ],
)
def test_steps_of_a_wrong_form_are_refused_with_their_number(tmp_path: Path, change: dict, said: str) -> None:
    made = draft()
    made.body["steps"][0] |= change
    made.body["steps"][0] = {key: value for key, value in made.body["steps"][0].items() if value is not None}
    message = refused(write(tmp_path, "c", made))
    assert "step.0" in message
    assert said in message


@pytest.mark.parametrize("change", [{"part": 1}, {"set": 1024}])
def test_planes_of_a_wrong_form_are_refused(tmp_path: Path, change: dict) -> None:
    made = draft()
    made.body["steps"][made.step("planes")] |= change
    assert f"of step.{made.step('planes')} is" in refused(write(tmp_path, "c", made))


def test_bad_input(tmp_path: Path, valid: Path) -> None:
    assert "does not exist" in refused(tmp_path / "absent")
    assert "is a folder; name a certificate in it" in refused(tmp_path)
    assert "bytes; a safetensors file begins" in refused(write_text(tmp_path / "text", "no"))
    path = write(tmp_path / "in", "c", draft(FILE_IN))
    (network,) = [one for one in path.parent.iterdir() if one != path]
    assert "is a network, not a certificate" in refused(network)
    network.unlink()
    assert f"there is no {network.name} beside it" in refused(path)
    last = len(draft().body["steps"]) - 1
    assert f"has the steps 0 to {last}" in refused(valid, "--step", last + 1)
    assert "--step is -1" in refused(valid, "--step", -1)
    assert "not a whole number" in refused(valid, "--step", "first")
    assert "belong to none" in refused(truncated(valid)) or "ends behind the file" in refused(valid)


def write_text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_remarks_cannot_command_the_terminal(tmp_path: Path) -> None:
    made = draft()
    made.body["about"] = {"who\x1b[2J": "line\nVALID\x07"}
    path = write(tmp_path, "c", made)
    text = words(path)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "which nobody checks" in text
    assert "who\\x1b[2J: line\\nVALID\\x07" in text
    assert parsed(path)["about"] == made.body["about"]


def test_neither_torch_nor_numpy_is_loaded(valid: Path) -> None:
    code = (
        "import sys\n"
        "from refcert.app.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as stop:\n"
        "    assert stop.code == 0\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'gpu_engine'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "explain", str(valid)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
