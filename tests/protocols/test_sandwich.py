"""Never a certified radius above a found attack: all norms, all frames together and each by itself.

A few digits by default; the long run takes every digit of the test part and 100 samples of every shared model.
"""

from __future__ import annotations

import math

import pytest
import torch

from gpu_engine.errors import SoundnessFault
from gpu_engine.loading import load_model
from gpu_engine.onnx_loading import load_onnx
from refcert.app.datasets import load_sequences
from refcert.app.pretrained import PRETRAINED, pretrained_path
from tests.protocols import sandwiches
from tests.protocols.sandwiches import compare, random_sequences
from tests.protocols.speech import spoken_digits

NORMS = (math.inf, 2.0, 1.0)
CLIP = (0.0, 1.0)
FEW, EVERY, SHARED = 3, 360, 100
MNIST = (
    *("mnist_04f_032h_1l", "mnist_07f_032h_1l", "mnist_14f_032h_1l"),
    *("mnist_04f_064h_1l", "mnist_04f_128h_1l", "mnist_04f_032h_2l", "mnist_04f_032h_3l"),
)
STARV = ("MNIST_GRU15net", "MNIST_GRU30net", "MNIST_LSTM15net", "MNIST_LSTM30net")
# Without data: frames a sequence.
RANDOM = {"gsc": 8, "hapt_2L_128H": 4}
STRUCTURES = {"fsdd": "linear1 relu lstm linear2", "gsc": "linear1 relu lstm linear2"}


def pixels(source, model, count):
    data = load_sequences(source, input_size=model.input_size, count=count, classes=model.classes)
    return torch.from_numpy(data.x), torch.from_numpy(data.labels)


def prover(shared, name):
    return load_model(shared / "models" / "prover" / f"{name}.safetensors", structure=STRUCTURES.get(name))


def judged(record_property, model, x, labels, folder, *, p, each, clip=CLIP, lengths=None):
    """Compares, and keeps the counts for reports. Single frames are not clipped, or few could break anything."""
    found = compare(model, x, labels, p=p, clip=None if each else clip, folder=folder, each=each, lengths=lengths)
    record_property("compared", f"{found.compared} of {found.questions}, {found.withdrawn} withdrawn")
    print(f"compared {found.compared} of {found.questions}, withdrawn {found.withdrawn}")
    return found


@pytest.mark.parametrize("each", [False, True], ids=["all_frames", "each_frame"])
@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("name", sorted(PRETRAINED))
def test_shipped_models(name, p, each, tmp_path, record_property):
    model = load_model(pretrained_path(name))
    x, labels = pixels("digits", model, FEW)
    found = judged(record_property, model, x, labels, tmp_path, p=p, each=each)
    assert found.questions == (FEW * x.shape[1] if each else FEW)
    assert found.compared >= (FEW if each else FEW - 1)
    assert not list(tmp_path.iterdir())


def test_a_wrong_proof_is_found_and_saved(tmp_path, monkeypatch, record_property):
    """An engine that proves everything contradicts the first attack that finds something."""
    model = load_model(pretrained_path("digits_rnn"))
    x, labels = pixels("digits", model, FEW)

    def everything(model, balls, rows, lengths=None):
        return type("Proved", (), {"proved": torch.ones(len(balls), dtype=torch.bool)})

    monkeypatch.setattr(sandwiches, "certify", everything)
    with pytest.raises(SoundnessFault, match="found an input at"):
        judged(record_property, model, x, labels, tmp_path, p=math.inf, each=True)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.long
@pytest.mark.parametrize("each", [False, True], ids=["all_frames", "each_frame"])
@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("name", sorted(PRETRAINED))
def test_every_sample_of_the_shipped_models(name, p, each, tmp_path, record_property):
    model = load_model(pretrained_path(name))
    x, labels = pixels("digits", model, EVERY)
    found = judged(record_property, model, x, labels, tmp_path, p=p, each=each)
    assert found.compared > EVERY / 2


@pytest.mark.long
@pytest.mark.parametrize("each", [False, True], ids=["all_frames", "each_frame"])
@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("name", [*MNIST, *STARV])
def test_shared_image_models(name, p, each, shared_data, tmp_path, monkeypatch, record_property):
    monkeypatch.setenv("REFCERT_DATA", str(shared_data))
    starv = name in STARV
    model = load_onnx(shared_data / "models" / "starv" / f"{name}.onnx") if starv else prover(shared_data, name)
    x, labels = pixels("mnist", model, SHARED)
    found = judged(record_property, model, x, labels, tmp_path, p=p, each=each)
    assert found.compared > SHARED / 2


@pytest.mark.long
@pytest.mark.parametrize("each", [False, True], ids=["all_frames", "each_frame"])
@pytest.mark.parametrize("p", NORMS)
def test_spoken_digits(p, each, shared_data, tmp_path, record_property):
    """Ragged: 6 to 46 frames a recording; the labels are those spoken."""
    model = prover(shared_data, "fsdd")
    x, lengths, labels = spoken_digits(shared_data / "data" / "fsdd.npz", SHARED)
    said = [int(model.logits(x[k : k + 1, :n]).argmax()) for k, n in enumerate(lengths.tolist())]
    assert (torch.tensor(said) == labels).double().mean() > 0.75  # README: 85 % of the whole test part
    found = judged(record_property, model, x, labels, tmp_path, p=p, each=each, clip=None, lengths=lengths)
    assert found.compared > SHARED / 2


@pytest.mark.long
@pytest.mark.parametrize("each", [False, True], ids=["all_frames", "each_frame"])
@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("name", sorted(RANDOM))
def test_models_without_data(name, p, each, shared_data, tmp_path, record_property):
    model = prover(shared_data, name)
    x, labels = random_sequences(model, SHARED, RANDOM[name], seed=0)
    found = judged(record_property, model, x, labels, tmp_path, p=p, each=each, clip=None)
    assert found.compared > SHARED / 4
