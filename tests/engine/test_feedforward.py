"""Feed-forward networks in the normal form: the same function as the torch module, or refused by name."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from gpu_engine.errors import ModelError
from gpu_engine.feedforward import feedforward_from_state_dict, from_feedforward, load_feedforward, recurrent_entries
from gpu_engine.loading import load_model

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


@st.composite
def sequentials(draw) -> nn.Sequential:
    """Linear layers of drawn sizes with an activation, a dropout or nothing between them; one activation at least."""
    torch.manual_seed(draw(st.integers(0, 1000)))
    size = st.integers(1, 5)
    sizes = [draw(size), draw(size), *draw(st.lists(size, max_size=3)), draw(st.integers(2, 4))]
    biased = draw(st.booleans())
    where = draw(st.integers(0, len(sizes) - 3))
    parts: list[nn.Module] = [nn.Flatten()] if draw(st.booleans()) else []
    for k in range(len(sizes) - 1):
        parts.append(nn.Linear(sizes[k], sizes[k + 1], bias=biased))
        last = k == len(sizes) - 2
        if not last and (k == where or draw(st.booleans())):
            parts.append(ACTIVATIONS[draw(st.sampled_from(sorted(ACTIVATIONS)))]())
        elif not last and draw(st.booleans()):
            parts.append(nn.Dropout(0.5))
    if draw(st.booleans()):
        return nn.Sequential(nn.Sequential(*parts[:2]), *parts[2:])
    return nn.Sequential(*parts)


@given(sequentials(), st.integers(0, 1000))
def test_the_same_function_as_the_module(module, seed):
    model = from_feedforward(module)
    x = torch.randn(7, model.input_size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    own = module.double().eval()(x)
    torch.testing.assert_close(model.logits(x[:, None]), own, rtol=1e-12, atol=1e-12)


def test_the_module_is_left_as_it_was():
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    model = from_feedforward(module)
    with torch.no_grad():
        module[0].weight.add_(1.0)
    assert module.training and module[0].weight.dtype == torch.float32
    assert model.stored_dtype == "float32"
    assert torch.equal(model.layers[0][0].weight_ih, before["0.weight"].double())


class Named(nn.Module):
    """Layers whose order only `forward` knows."""

    def __init__(self) -> None:
        super().__init__()
        self.out, self.fc1, self.fc2 = nn.Linear(3, 2), nn.Linear(4, 3), nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


def test_a_structure_orders_a_modules_layers_and_is_compared():
    model = from_feedforward(Named(), "fc1 relu fc2 relu out")
    assert model.describe().startswith("ReLU RNN")
    with pytest.raises(ModelError, match="give the structure"):
        from_feedforward(Named())
    with pytest.raises(ModelError, match="computes something else"):
        from_feedforward(Named(), "fc1 relu fc2 out")


def test_a_last_softmax_is_dropped():
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.LogSoftmax(dim=1))
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits = from_feedforward(module).logits(x[:, None])
    torch.testing.assert_close(logits.log_softmax(1), module.double()(x))


def test_files_in_both_forms_are_the_same_network(tmp_path):
    module = Named()
    entries = {key: value.detach().clone() for key, value in module.state_dict().items()}
    text = "fc1 relu fc2 relu out"
    plain, recurrent = tmp_path / "plain.safetensors", tmp_path / "recurrent.safetensors"
    save_file(entries, plain, metadata={"refcert.structure": text})
    renamed, structure = recurrent_entries(entries, text)
    save_file({k: v.contiguous() for k, v in renamed.items()}, recurrent, metadata={"refcert.structure": structure})
    digests = {
        load_feedforward(plain).digest(),
        load_model(recurrent).digest(),
        from_feedforward(module, text).digest(),
    }
    assert len(digests) == 1
    with pytest.raises(ModelError, match="contradicts the file's own"):
        load_feedforward(plain, "fc1 relu out")
    save_file(entries, plain)
    with pytest.raises(ModelError, match="give the structure"):
        load_feedforward(plain)
    (tmp_path / "no.safetensors").write_bytes(b"no")
    for name in ("no.safetensors", "none.safetensors"):
        with pytest.raises(ModelError, match="cannot be read as safetensors"):
            load_feedforward(tmp_path / name, text)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)), "no linear layer with an activation"),
        (nn.Sequential(nn.Conv1d(1, 1, 1), nn.Linear(2, 2)), r"0 \(Conv1d\) is not understood"),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.LogSoftmax(1), nn.Linear(2, 2)), r"2 \(LogSoftmax\)"),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(2, 2)), "2: Flatten"),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU()), "no linear head"),
        (nn.Sequential(nn.Linear(2, 2), nn.GELU(), nn.Linear(2, 2)), r"1 \(GELU\)"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(module, words):
    with pytest.raises(ModelError, match=words):
        from_feedforward(module)


def test_unused_missing_and_infinite_entries_are_refused_by_name():
    entries = {key: value.detach() for key, value in Named().state_dict().items()}
    with pytest.raises(ModelError, match=r"out.weight has shape|fc2.weight is not used"):
        feedforward_from_state_dict(entries, "fc1 relu out")
    with pytest.raises(ModelError, match=r"'fc9' has no entry fc9\.weight"):
        feedforward_from_state_dict(entries, "fc9 relu out")
    broken = entries | {"fc2.weight": torch.full((3, 3), float("nan"))}
    with pytest.raises(ModelError, match=r"fc2\.weight.*nan"):
        feedforward_from_state_dict(broken, "fc1 relu fc2 relu out")
    with pytest.raises(ModelError, match="is a list"):
        feedforward_from_state_dict([], "fc1 relu out")
