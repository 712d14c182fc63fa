"""The network in plain torch, as snippets have it, computes what the engine's forward pass does."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from refcert.strategies import classifiers
from refcert.testing import network_code
from refcert.testing.network_code import exact_source, network_source
from tests.testing.engines_under_test import run, small


@settings(max_examples=40)
@given(classifiers(awkward=()), st.integers(1, 4), st.booleans())
def test_the_source_computes_the_network(tmp_path_factory, model, time, embedded):
    folder = tmp_path_factory.mktemp("evidence")
    x = torch.linspace(-1, 1, time * model.input_size, dtype=torch.float64).reshape(1, time, -1)
    most, network_code.EMBEDDED = network_code.EMBEDDED, 10**6 if embedded else 0
    try:
        names = run("\n".join(network_source(model, folder, {"x": x})))
    finally:
        network_code.EMBEDDED = most
    assert len(list(folder.iterdir())) == (0 if embedded else 1)
    torch.testing.assert_close(names["network"](names["W"]["x"]), model.logits(x), rtol=1e-9, atol=1e-9)


def test_the_same_evidence_has_the_same_name(tmp_path):
    model = small(hidden=9)
    data = {"x": torch.zeros(1, 2, dtype=torch.float64)}
    first, second = (network_source(model, tmp_path / "new", data) for _ in range(2))
    assert first == second
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_the_exact_source_agrees(tmp_path):
    model = small(hidden=2)
    x = torch.tensor([[0.5, -1.0], [0.25, 2.0]], dtype=torch.float64)
    names = run("\n".join(exact_source(model, tmp_path, {"x": x})))
    values = [float(value) for value in names["network"](x.tolist())]
    torch.testing.assert_close(torch.tensor(values, dtype=torch.float64), model.logits(x[None])[0])
