"""The container of certificates and networks: section 2's forms, exact narrow numbers, the network's digest."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gpu_engine.certificates import container
from gpu_engine.certificates.container import CERTIFICATE_DTYPES, NETWORK_DTYPES, CertificateError, narrowest, pack
from gpu_engine.certificates.network import Network
from gpu_engine.certificates.writer import Certificates
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import untargeted
from refcert.strategies import classifiers
from tests.engine.certificate_cases import NETWORK_FILE, batches, certificates, stored
from tests.engine.certificate_files import SIZES, open_file
from tests.engine.test_certificate_claims import CLASSES, LABEL, ball, model_for

LABELS = torch.tensor([LABEL])
HALVES = {
    torch.float16: [1.0, 2.0**-24, -0.0, 65504.0],
    torch.bfloat16: [1.0, 2.0**-126, 2.0**127, -0.0],
    torch.float32: [1.0, 1 + 2.0**-23, 2.0**-149],
    torch.float64: [1.0, 1 + 2.0**-24, 2.0**-1074],
}


@pytest.mark.parametrize("dtype", HALVES)
def test_the_narrowest_exact_dtype_is_taken(dtype):
    value = torch.tensor(HALVES[dtype], dtype=torch.float64)
    assert narrowest(value, NETWORK_DTYPES).dtype == dtype
    assert narrowest(value, CERTIFICATE_DTYPES).dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@given(
    arrays(np.float64, array_shapes(max_dims=2, max_side=4), elements=st.floats(allow_nan=False, allow_infinity=False))
)
def test_narrow_numbers_are_the_same_numbers(values):
    for dtypes in (CERTIFICATE_DTYPES, NETWORK_DTYPES):
        back = narrowest(torch.tensor(values), dtypes).double().numpy()
        assert back.tobytes() == values.tobytes()


def test_subnormal_numbers_are_not_lost_where_torch_reads_them_as_zero():
    value = torch.tensor([2.0**-1074, 0.0], dtype=torch.float64)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor always keeps subnormal numbers")
    try:
        found = narrowest(value, CERTIFICATE_DTYPES)
    finally:
        torch.set_flush_denormal(False)
    assert found.numpy().tobytes() == value.numpy().tobytes()


def digest_of(structure: str, weights: dict[str, np.ndarray], order: list[str]) -> str:
    """Section 4's digest."""
    hasher = hashlib.sha256(f"{structure}\n".encode())
    for name in order:
        hasher.update(f"{name}:{weights[name].shape}\n".encode())
        hasher.update(weights[name].astype("<f8").tobytes())
    return hasher.hexdigest()


def order_of(structure: str, weights) -> list[str]:
    """The names in the order of section 4's table, those that are there."""
    before, layers, _, after = structure.split("|")
    cells = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "initial_hidden", "initial_cell")
    names = ["embedding"]
    names += [f"before.{k}.{part}" for k in range(len(before.split("/"))) for part in ("weight", "bias")]
    for k, layer in enumerate(layers.split(";")):
        names += [f"layers.{k}.{j}.{name}" for j in range(len(layer.split(","))) for name in cells]
    names += [f"after.{k}.{part}" for k in range(len(after.split("/"))) for part in ("weight", "bias")]
    return [name for name in names if name in weights]


@given(classifiers(embeddings=True))
def test_a_networks_file_has_its_weights_and_they_have_its_digest(model):
    structure, weights = stored(model)
    order = order_of(structure, weights)
    assert sorted(order) == sorted(weights) == sorted(model.named_weights())
    assert digest_of(structure, weights, order) == Network(model, NETWORK_FILE).digest == model.digest()


def test_weights_inside_a_certificate_are_those_of_the_network():
    model = dataclasses.replace(model_for(2), embedding=torch.tensor([[0.5, -0.25]]).double())
    (file,) = certificates(model, ball(), untargeted(LABELS, CLASSES), file=None).values()
    structure, weights = stored(model)
    assert file.body["network"] == {"digest": model.digest(), "structure": structure}
    inside = {name.removeprefix("network."): value for name, value in file.tensors.items() if "network." in name}
    assert inside.keys() == weights.keys()
    assert all(np.array_equal(inside[name], weights[name]) for name in weights)
    assert file.header["network.embedding"]["dtype"] == "F32"
    assert open_file(Network(model, NETWORK_FILE).content(), SIZES).header["embedding"]["dtype"] == "F16"


def test_a_networks_file_is_named_as_it_lies_beside_the_certificates():
    model = model_for(2)
    (file,) = certificates(model, ball(), untargeted(LABELS, CLASSES)).values()
    assert file.body["network"] == {"digest": model.digest(), "file": NETWORK_FILE}


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "ä", "a b", "x" * 256])
def test_names_that_the_format_does_not_allow_are_refused(name):
    with pytest.raises(CertificateError, match="1 to 255 letters"):
        Network(model_for(2), name)


@pytest.mark.parametrize(("limit", "what"), [("MAX_HEADER", "header"), ("MAX_FILE", "file")])
def test_files_beyond_the_limits_are_refused(limit, what, monkeypatch):
    network = Network(model_for(2), NETWORK_FILE)
    size = {"header": int.from_bytes(network.content()[:8], "little"), "file": len(network.content())}[what]
    monkeypatch.setattr(container, limit, size)
    network.content()
    monkeypatch.setattr(container, limit, size - 1)
    with pytest.raises(CertificateError, match=f"the {what} would have {size} bytes"):
        network.content()


def test_remarks_can_be_any_text():
    model, inputs = model_for(2), ball()
    (batch,) = batches(model, inputs, untargeted(LABELS, CLASSES))
    remarks = {"data": 'a "quoted" name\n\\ ä \U0001f600', "": "", "lost": "\udcff"}
    file = open_file(Certificates(batch, Network(model, NETWORK_FILE)).write(0, remarks))
    assert file.body["about"] == {"relaxation": "parallel", "dtype": "float64", **remarks, "lost": "?"}


def test_numbers_of_a_float32_run_take_four_bytes():
    (file,) = certificates(model_for(2), ball(), untargeted(LABELS, CLASSES), Options(dtype="float32")).values()
    assert {entry["dtype"] for name, entry in file.header.items() if name.startswith("step.")} == {"F32"}
    (wide,) = certificates(model_for(2), ball(), untargeted(LABELS, CLASSES)).values()
    assert "F64" in {entry["dtype"] for name, entry in wide.header.items() if name.startswith("step.")}


@settings(max_examples=20)
@given(st.dictionaries(st.from_regex(r"\A[A-Za-z0-9_.]{1,64}\Z"), st.integers(1, 5), max_size=5))
def test_any_tensors_lie_without_gaps(sizes):
    """The library's bytes are what section 2 asks for, whatever dtypes and names: see `open_file`."""
    tensors = {
        name: torch.full((size, 1 + k), 1 / 3, dtype=NETWORK_DTYPES[k % len(NETWORK_DTYPES)])
        for k, (name, size) in enumerate(sizes.items())
    }
    file = open_file(pack({"format": "x"}, tensors), SIZES)
    assert file.body == {"format": "x"}


def test_the_same_question_gives_the_same_bytes():
    def content() -> bytes:
        model: RecurrentClassifier = model_for(2)
        (batch,) = batches(model, ball(), untargeted(LABELS, CLASSES))
        return Certificates(batch, Network(model, None)).write(0)

    assert content() == content()


def test_nothing_is_kept_where_nobody_asks(monkeypatch):
    """Without a sink neither planes nor boxes outlive their pass."""
    from gpu_engine.search import certify as module

    kept = []

    def watched(*args, **options):
        found = bound(*args, **options)
        kept.append((len(found.products), len(found.boxes)))
        return found

    bound = module.bound
    monkeypatch.setattr(module, "bound", watched)
    question = model_for(2), ball(), untargeted(LABELS, CLASSES)
    certify(*question)
    certify(*question, batch_sink=lambda batch: None)
    assert kept[0] == (0, 0)
    assert min(kept[1]) > 0
