"""What fine-tuning measures is checked like every other comparison of proofs and attacks."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
import torch

from gpu_engine.errors import SoundnessFault
from refcert.app.finetuning import measuring
from refcert.app.finetuning.measuring import Asked, measure
from tests.engine.training.toy import toy_data, toy_network

ASKED = Asked(radius=2.0, p=math.inf, clip=None, attacks=("pgd", "fgsm"), seed=0)


def test_certified_samples_are_never_those_that_an_attack_broke(tmp_path):
    metrics = measure(toy_network(), toy_data(12, 1), ASKED, folder=tmp_path)
    assert metrics["attacks"]["pgd"]["frequency"] <= 1 - metrics["certified_accuracy"]
    assert not list(tmp_path.iterdir())


def test_a_wrong_proof_stops_the_run_and_is_saved(tmp_path, monkeypatch):
    def everything(model, balls, *_, **__):
        return SimpleNamespace(proved=torch.ones(len(balls), dtype=torch.bool))

    network = toy_network()
    monkeypatch.setattr(measuring, "certify", everything)
    with pytest.raises(SoundnessFault, match="breaks the question"):
        measure(network, toy_data(12, 1), ASKED, folder=tmp_path)
    (path,) = tmp_path.iterdir()
    evidence = json.loads(path.read_text())
    assert evidence["method"] == "pgd"
    assert evidence["certified_radius"] == ASKED.radius
    assert evidence["model"] == evidence["network_digest"] == network.digest()
