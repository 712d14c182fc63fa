"""Protocol P1 on the shared models: the counts that the README promises, and every plane behind them proved."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# model: correct, certified at least. The best general tools reach 83, 62 and 81 without slope optimisation.
P1 = {
    "mnist_04f_032h_1l": (96, 86),
    "mnist_07f_032h_1l": (96, 77),
    "mnist_04f_032h_2l": (100, 89),
}
# What a PGD attack leaves standing bounds every count from above: exceeding it would be a soundness fault.
CEILING = {"mnist_04f_032h_1l": 96, "mnist_07f_032h_1l": 96, "mnist_04f_032h_2l": 97}


def _certify(shared, model, *options):
    path = shared / "models" / "prover" / f"{model}.safetensors"
    command = [sys.executable, "-m", "refcert.app.cli", "certify", "--model", str(path), "--data", "mnist"]
    command += ["--clip", "0", "1", "--json", *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("model", P1)
def test_p1_counts_and_every_plane_proved(shared_data, model):
    correct, certified = P1[model]
    answer = _certify(shared_data, model, "--count", "100", "--radius", "0.01", "--audit")
    assert answer["correct"] == correct
    assert certified <= answer["certified"] <= CEILING[model]
    assert answer["planes"]["proved"] > 50_000
    assert answer["planes"]["refuted"] == answer["planes"]["undecided"] == 0


def test_p1_radii(shared_data):
    """Mean radius of the four-frame model: the prototype's .0169, and far below the attack's .0856."""
    answer = _certify(shared_data, "mnist_04f_032h_1l", "--count", "40", "--search")
    assert 0.0160 <= answer["mean_radius"] <= 0.0856
    for sample in answer["samples"]:
        if sample["correct"]:
            assert 0 < sample["radius"] < sample["radius_failed"] <= sample["radius"] * 1.0011
            assert sample["margin"] > 0
        else:
            assert sample["radius"] == 0


def test_float32_claims_are_proved_plane_by_plane(shared_data):
    answer = _certify(
        shared_data, "mnist_04f_032h_1l", "--count", "20", "--radius", "0.01", "--dtype", "float32", "--audit"
    )
    assert answer["certified"] >= 15
    assert answer["planes"]["refuted"] == answer["planes"]["undecided"] == 0


@pytest.mark.long
@pytest.mark.parametrize("model", ["mnist_04f_064h_1l", "mnist_04f_128h_1l", "mnist_14f_032h_1l", "mnist_04f_032h_3l"])
def test_every_plane_of_the_other_shared_models_is_proved(shared_data, model):
    answer = _certify(shared_data, model, "--count", "20", "--radius", "0.008", "--audit")
    assert answer["planes"]["proved"] > 10_000
    assert answer["planes"]["refuted"] == answer["planes"]["undecided"] == 0
