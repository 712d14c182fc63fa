"""`refcert audit module:function`: somebody's engine, asked live; whatever it does wrong is said plainly."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from refcert.app.audit_sources.boxes import Draw
from refcert.app.audit_sources.function import PlanesFunction
from refcert.app.errors import ExitCode, InputError
from refcert.audit.families.boxes import BOX_FAMILIES
from refcert.kernel.claims import KINDS
from tests.app.audit_files import audit, columns, module

FEW = ("--count", 3, "--boxes", "random,point", "--kinds", "tanh,sigmoid_times_tanh", "--examples", 0)
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


NUMBERS = itertools.count()


def engine(here, body=""):
    """A module of its own, so that none is taken from an earlier test."""
    return module(here, f"engine{next(NUMBERS)}_of_a_test", body)


def faulty(here, change):
    """An engine whose planes are changed by a line of code."""
    return engine(
        here,
        f"\n\ndef faulty(kind, *box):\n    lower, upper = planes(kind, *box)\n    {change}\n    return lower, upper\n",
    )


def refused(name, *options):
    result = audit(name, *FEW, *options)
    assert result.code == ExitCode.BAD_INPUT
    return " ".join(result.message.split())


def test_sound_planes_of_every_family_and_kind_are_proved(here):
    result = audit(engine(here), "--count", 2, "--json")
    assert result.code == ExitCode.OK
    found = result.json
    assert found["source_kind"] == "function"
    assert [table["name"] for table in found["tables"]] == list(BOX_FAMILIES)
    assert found["summary"] == {"proved": len(BOX_FAMILIES) * len(KINDS) * 4, "refuted": 0, "undecided": 0}
    assert found["request"]["kinds"] == list(KINDS)


def test_planes_that_cut_are_refuted_and_others_are_not(here):
    name = faulty(here, "upper = (upper[0], upper[1], np.where(np.arange(len(box[0])) == 1, -2.0, upper[2]))")
    result = audit(name, *FEW, "--json")
    assert result.code == ExitCode.REFUTED
    assert result.json["summary"] == {"proved": 20, "refuted": 4, "undecided": 0}
    refuted = [k for k, row in enumerate(result.json["planes"]) if row["verdict"] == "REFUTED"]
    assert refuted == [4, 10, 16, 22]  # row 1 of the upper planes of two kinds and two families


def test_the_same_seed_draws_the_same_boxes_and_another_others(here):
    name = faulty(here, "upper = (upper[0], upper[1], upper[2] - 1.5)")
    points = [
        [row.get("point") for row in audit(name, *FEW, "--seed", seed, "--json").json["planes"]] for seed in (0, 0, 1)
    ]
    assert points[0] == points[1] != points[2]
    alone = audit(name, "--count", 3, "--boxes", "point", "--kinds", "sigmoid_times_tanh", "--examples", 0, "--json")
    assert [row.get("point") for row in alone.json["planes"]] == points[0][18:]


def test_tensors_and_other_dtypes_are_taken_as_they_are(here):
    boxes = Draw(("random",), KINDS, 5, 0).boxes("random", "tanh")
    body = """
import torch


def faulty(kind, *box):
    lower, upper = planes(kind, *box)
    third = lambda plane: [torch.tensor(c / 3, dtype=torch.{0}, requires_grad=True) for c in plane]
    return third(lower), tuple(third(upper))
"""
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        table = PlanesFunction(engine(here, body.replace("{0}", dtype))).planes("random", "tanh", boxes, 0)
        exact = torch.tensor(1 / 3, dtype=torch.float64).to(getattr(torch, dtype)).double().item()
        assert table.columns["offset"].tolist() == [-exact] * 5 + [exact] * 5
        assert table.columns["side"].tolist() == ["lower"] * 5 + ["upper"] * 5


def test_boxes_can_be_float32_values(here):
    body = """

def faulty(kind, *box):
    assert all(side.dtype == np.float32 for side in box)
    lower, upper = planes(kind, *box)
    print("this goes to standard error")
    return lower, (upper[0], upper[1], 0 * upper[2])
"""
    result = audit(engine(here, body), *FEW, "--dtype", "float32", "--json")
    assert result.code == ExitCode.REFUTED
    assert "this goes to standard error" in result.err
    boxes = Draw(("random",), ("tanh",), 50, 0, "float32").boxes("random", "tanh")
    assert (boxes == boxes.astype(np.float32)).all()
    assert (boxes[:, 0] <= boxes[:, 1]).all()


def test_boxes_from_a_planes_file(here):
    np.savez("some.npz", **columns([1.0] * 2 + [2.0], kind="sigmoid_times_tanh"))
    body = """

def faulty(kind, *box):
    assert [side.tolist() for side in box] == [[-1.0], [1.5], [-0.5], [2.0]]
    return planes(kind, *box)
"""
    name = engine(here, body)
    found = audit(name, "--boxes-from", "some.npz", "--json").json
    assert found["tables"] == [
        {"name": "given", "planes": 2, "proved": 2, "refuted": 0, "undecided": 0, "not_audited": 0}
    ]
    assert found["request"]["given_boxes"] == {"sigmoid_times_tanh": 1}
    message = audit(name, "--boxes-from", "some.npz", "--kinds", "relu").message
    assert "has no boxes of relu, only of sigmoid_times_tanh" in message
    assert "gone.npz: no such file" in audit(name, "--boxes-from", "gone.npz").message


# What is no function


def test_names_that_lead_nowhere(here):
    name = engine(here, "\nCONSTANT = 3\n")
    module_name = name.partition(":")[0]
    assert "there is no module 'nowhere_at_all'" in refused("nowhere_at_all:planes")
    assert "there is no module 'nowhere_at_all'" in refused("nowhere_at_all.deeper:planes")
    assert "has no 'plains'; it has planes" in refused(f"{module_name}:plains")
    assert "is 3, which cannot be called" in refused(f"{module_name}:CONSTANT")
    for text in ("engine:", ":planes", "a b:planes", "engine:planes:more", "1:2"):
        assert "is no path that exists, nor of the form module:function" in audit(text).message
    (here / "needs.py").write_text("import nowhere_at_all\n")
    assert "importing needs raised ModuleNotFoundError (needs.py, line 1)" in refused("needs:planes")
    (here / "breaks.py").write_text("1 / 0\n")
    assert "importing breaks raised ZeroDivisionError (breaks.py, line 1)" in refused("breaks:planes")
    (here / "leaves.py").write_text("raise SystemExit(0)\n")
    assert "importing leaves raised SystemExit" in refused("leaves:planes")
    (here / "wrong.py").write_text("def f(:\n")
    assert "importing wrong raised SyntaxError (wrong.py, line 1): invalid syntax" in refused("wrong:planes")
    (here / "uses.py").write_text("import deeper\n")
    (here / "deeper.py").write_text("x = 1\ny = (\n")
    assert "importing uses raised SyntaxError (deeper.py, line 2): " in refused("uses:planes")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--boxes", "huge"), "--boxes 'huge' is not known; choose from point, thin"),
        (("--boxes", ""), "--boxes '' has an empty name; give names of point, thin"),
        (("--kinds", ","), "--kinds ',' has an empty name; give names of sigmoid_times_tanh"),
        (("--count", "1000001"), "--count is 1,000,001; give at most 1,000,000 boxes of each family and kind"),
        (("--count", "999999999", "--boxes-from", "none.npz"), "--count is 999,999,999; give at most"),
        (("--boxes", "thin,thin"), "names 'thin' twice"),
        (("--kinds", "softplus"), "--kinds 'softplus' is not known; choose from sigmoid_times_tanh"),
        (("--dtype", "float16"), "--dtype 'float16' is not known; choose from float64, float32"),
        (("--count", "0"), "0 is too small; give at least 1"),
        (("--seed", "-1"), "--seed is -1; give a whole number from 0 up"),
        (("--budget", "soon"), "'soon' is no time; give seconds"),
        (("--budget", "0"), "'0' is no time"),
        (("--budget-planes", "0"), "0 is too small"),
        (("--falsify", "some"), "'some' is not known; choose from none, undecided, all"),
        (("--examples", "-1"), "--examples is -1"),
        (("--resume",), "--resume needs the audit's folder; give it with --out"),
        (("--out", "gone", "--resume"), "gone is not the folder of an audit"),
    ],
    ids=str,
)
def test_options(here, options, words):
    assert words in refused(engine(here), *options)


# What is no plane


RESULTS = {
    "nothing": ("lower = None; return None", "the function returned None; return (lower, upper)"),
    "one array": ("return np.zeros(3)", "the function returned ndarray of shape (3,); return"),
    "three planes": ("return lower, upper, upper", "the function returned a tuple of 3, not 2; return"),
    "a pair": ("lower = lower[:2]", "the lower planes are a tuple of 2, not 3; return"),
    "a scalar": (
        "upper = (0.0, *upper[1:])",
        "slope_v of the upper planes has shape (); give one number per box, shape (3,)",
    ),
    "too few": ("upper = (*upper[:2], upper[2][:1])", "offset of the upper planes has shape (1,); give one number"),
    "a column": ("lower = (lower[0][:, None], *lower[1:])", "slope_v of the lower planes has shape (3, 1)"),
    "strings": ("lower = (lower[0].astype(str), *lower[1:])", "slope_v of the lower planes is <U32; give floats"),
    "nobody": ("lower = (lower[0], [None] * 3, lower[2])", "slope_z of the lower planes is object; give floats"),
    "ragged": (
        "upper = (upper[0], upper[1], [[1], [1, 2], 3])",
        "offset of the upper planes is list, which numpy cannot read",
    ),
    "complex": ("upper = (upper[0] + 1j, *upper[1:])", "slope_v of the upper planes is complex128; give floats"),
    "booleans": ("upper = (upper[0] > 1, *upper[1:])", "slope_v of the upper planes is bool; give floats"),
    "masked": ("upper = (np.ma.array(upper[0]), *upper[1:])", "slope_v of the upper planes is a masked array"),
    "NaN": (
        "lower[2][2] = np.nan",
        "offset of the lower planes, row 2 is nan; every number must be finite. lower_v = ",
    ),
    "infinity": ("upper[2][1] = np.inf", "offset of the upper planes, row 1 is inf; every number must be finite"),
    "rounded": (
        "upper = (*upper[:2], np.array([0, 0, 2**53 + 1]))",
        "offset of the upper planes, row 2, 9007199254740993 is no float64 value",
    ),
    "rounded in a list": (
        "upper = (*upper[:2], [1e9 + 0.5, 2, 2**53 + 1])",
        "offset of the upper planes, row 2, 9007199254740993 became 9007199254740992.0 among the others; give an array",
    ),
}


@pytest.mark.parametrize("fault", RESULTS)
def test_results_that_are_no_planes(here, fault):
    change, words = RESULTS[fault]
    message = refused(faulty(here, change))
    assert words in message
    assert "faulty, kind tanh, boxes 'random': " in message


def test_z_of_one_dimensional_kinds_may_be_anything(here):
    assert (
        audit(faulty(here, "lower = (lower[0], lower[1] + (np.nan if kind == 'tanh' else 0), lower[2])"), *FEW).code
        == 0
    )


CHANGES = {
    "lower_v": "box[0][1] = 7.0",
    "upper_z": "box[3][2] += 1",
    "upper_v": "box[1][0] = -box[1][0]",
    "lower_z": "box[2][0] = -0.0",  # equal, and still changed
}


@pytest.mark.parametrize("column", CHANGES)
def test_changed_inputs_are_named_by_array_and_row(here, column):
    change = CHANGES[column]
    message = refused(faulty(here, change))
    row = change.partition("[")[2][2:].partition("[")[2][0]
    assert f"the function changed its input {column}, row {row}, from " in message
    assert "work on a copy" in message


def test_exceptions_are_shown_with_the_box_that_caused_them(here):
    name = faulty(here, "if (box[0] == box[1]).any(): raise ValueError('a box without width\\nand more')")
    message = refused(name)
    assert "kind tanh, boxes 'point', row 0 (lower_v = " in message
    assert f"the function raised ValueError ({name.partition(':')[0]}.py, line " in message
    assert "a box without width" in message
    assert "and more" not in message
    one = faulty(here, "if kind == 'sigmoid_times_tanh' and (box[2] == BAD).any(): raise OSError")
    bad = Draw(("random",), KINDS, 3, 0).boxes("random", "sigmoid_times_tanh")[2, 2].item()
    with Path(f"{one.partition(':')[0]}.py").open("a") as file:
        file.write(f"\n\nBAD = {bad!r}\n")
    assert "row 2 (lower_v = " in (message := refused(one))
    assert f"lower_z = {bad!r}" in message
    many = faulty(here, "if len(box[0]) > 2: raise MemoryError('too many')")
    assert "rows 0 to 2 (all 3 boxes together): the function raised MemoryError" in refused(many)


# Ways in which a function may end a process that says nothing then.
LEAVING = {
    "SystemExit": "raise SystemExit(0)",
    "SystemExit (": "sys.exit()",
    "Own": "class Own(SystemExit): pass\n    raise Own(0)",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "GeneratorExit": "raise GeneratorExit",
    "Odd": "class Odd(BaseException): pass\n    raise Odd",
    "os._exit(0)": "os._exit(0)",
    "os._exit(3)": "leave(3)",
}


@pytest.mark.parametrize("words", LEAVING)
def test_a_function_that_leaves_does_not_end_refcert(here, words):
    """Regression: os._exit(0) was exit code 0 without a word, as if all planes were proved."""
    body = f"""
import os
import sys
from os import _exit as leave


def faulty(*box):
    {LEAVING[words]}
"""
    before = os._exit
    message = refused(engine(here, body))
    assert "the function raised " in message
    assert words in message
    assert os._exit is before


def test_a_module_that_leaves_does_not_end_refcert(here):
    for number, line in enumerate(("raise KeyboardInterrupt", "import os; os._exit(0)", "raise GeneratorExit")):
        (here / f"leaving{number}.py").write_text(line + "\n")
        message = refused(f"leaving{number}:planes")
        assert f"importing leaving{number} raised " in message
        assert "guard it with __name__" in message


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes by fork here")
def test_processes_of_a_function_may_end_as_they_like(here):
    body = """
import os


def faulty(*box):
    child = os.fork()
    if not child:
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    return planes(*box)
"""
    assert audit(engine(here, body), *FEW).code == ExitCode.OK


def test_planes_are_copied_before_the_next_call(here):
    """An engine that writes into the arrays that it returned before."""
    body = """

CACHE = np.zeros(3)


def faulty(kind, *box):
    lower, upper = planes(kind, *box)
    CACHE[:] = 1.0 if kind == "tanh" else -1.0
    return lower, (upper[0], upper[1], CACHE)
"""
    result = audit(engine(here, body), *FEW, "--json")
    assert result.json["summary"] == {"proved": 18, "refuted": 6, "undecided": 0}


@pytest.mark.parametrize("arguments", ["kind, lower, upper", "", "kind, lower_v, upper_v, lower_z, upper_z, *, dtype"])
def test_a_wrong_signature_is_told_with_the_right_one(here, arguments):
    message = refused(engine(here, f"\n\ndef faulty({arguments}):\n    return None\n"))
    assert "the function cannot be called (faulty() " in message
    assert "define it as function(kind, lower_v, upper_v, lower_z, upper_z)" in message
    assert "function.py" not in message
    own = refused(faulty(here, "len(3)"))  # a TypeError of the function's own code
    assert "the function raised TypeError (engine" in own


def test_methods_and_callable_objects(here):
    body = """

class Engine:
    def __init__(self):
        self.sound = True

    def bounds(self, *arguments):
        return planes(*arguments)

    def __call__(self, *arguments):
        return planes(*arguments)


engine = Engine()
"""
    name = engine(here, body).partition(":")[0]
    assert audit(f"{name}:engine", *FEW).code == 0
    assert audit(f"{name}:engine.bounds", *FEW).code == 0
    with pytest.raises(InputError, match=r"has no 'engine\.gone'"):
        PlanesFunction(f"{name}:engine.gone")


# The example


EXAMPLE = {
    "none": (ExitCode.OK, "0 refuted"),
    "sampled": (ExitCode.REFUTED, "REFUTED at v = "),
    "zero_width": (ExitCode.REFUTED, "REFUTED at v = "),
    "float32": (ExitCode.REFUTED, "REFUTED at v = "),
    "in_place": (ExitCode.BAD_INPUT, "changed its input upper_v, row 0"),
    "chord": (ExitCode.BAD_INPUT, "slope_v of the lower planes, row 0 is nan"),
}


@pytest.mark.parametrize("fault", EXAMPLE)
def test_the_example_engine_and_each_of_its_faults(monkeypatch, fault):
    code, words = EXAMPLE[fault]
    monkeypatch.chdir(ROOT / "examples")
    name = "audit_another_engine:" + ("planes" if fault == "none" else fault)
    result = audit(name, "--count", 20, "--examples", 1)
    assert result.code == code
    assert words in result.out + result.err


def test_the_example_runs_as_a_script(here):
    script = ROOT / "examples" / "audit_another_engine.py"
    options = ("--fault", "zero_width", "--boxes", "point", "--count", "2", "--kinds", "tanh", "--workers", "1")
    done = subprocess.run([sys.executable, script, *options], capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.REFUTED
    assert "as Python:" in done.stdout
