"""Reading models: what is read is what PyTorch computes; what is not understood is refused by its name."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from gpu_engine.errors import ModelError
from gpu_engine.loading import from_state_dict, load_model
from tests.engine.modules import KINDS, Net, inputs_of, nets


class Classifier(nn.Module):
    """The plain reading: LSTM, then a linear head on the last frame's hidden state."""

    def __init__(self, inputs=3, hidden=4, layers=1, classes=5, *, bias=True, batch_first=True, head_bias=True):
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, layers, bias=bias, batch_first=batch_first)
        self.linear = nn.Linear(hidden, classes, bias=head_bias)

    def forward(self, x):
        outputs, _ = self.lstm(x)
        return self.linear(outputs[:, -1] if self.lstm.batch_first else outputs[-1])


def seeded(kind, *args, seed=0, scale=1.0, **kwargs):
    """A module with standard normal weights, so that every part of it matters."""
    with torch.random.fork_rng(devices=[]):
        module = kind(*args, **kwargs).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return module


def frames(module, batch=3, time=4, seed=7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, time, module.lstm.input_size, generator=generator, dtype=torch.float64)


def entries(layers=1, **changes):
    """A good state dict (3 inputs, 4 hidden, 5 classes) with changed entries; None removes one."""
    stored = dict(seeded(Classifier, layers=layers).state_dict())
    stored |= {name.replace("__", "."): value for name, value in changes.items()}
    return {name: value for name, value in stored.items() if value is not None}


def zeros(*shape, dtype=torch.float64):
    return torch.zeros(shape, dtype=dtype)


# the law: the normal form computes what PyTorch computes

SIZES = {
    "inputs": st.integers(1, 5),
    "hidden": st.integers(1, 5),
    "layers": st.integers(1, 3),
    "classes": st.integers(1, 4),
    "bias": st.booleans(),
    "head_bias": st.booleans(),
    "batch_first": st.booleans(),
    "seed": st.integers(0, 10_000),
}


@given(**SIZES, prefix=st.sampled_from(["", "lstm.", "encoder.rnn.0.", "module.my-net."]))
def test_state_dicts_compute_what_pytorch_computes(prefix, **sizes):
    module = seeded(Classifier, **sizes)
    stored = {
        prefix + name.removeprefix("lstm.") if name.startswith("lstm.") else name.replace("linear", "head"): value
        for name, value in module.state_dict().items()
    }
    x = frames(module)
    expected = module(x if sizes["batch_first"] else x.transpose(0, 1)).detach()
    torch.testing.assert_close(from_state_dict(stored).logits(x), expected, rtol=0, atol=1e-12)


@given(nets())
def test_every_option_computes_what_pytorch_computes(module):
    """Cells, layers, directions, biases, projections, layouts, start states, readouts, layers around, embedding."""
    model = from_state_dict(module.state_dict(), structure=module.structure, readout=module.readout)
    x, frames = inputs_of(module)
    wanted = module(x).detach()
    torch.testing.assert_close(model.logits(frames), wanted, rtol=1e-11, atol=1e-11 * (1 + wanted.abs().max().item()))
    again = from_state_dict(module.state_dict(), structure=model.reading, readout=model.readout)
    assert (again.digest(), again.reading) == (model.digest(), model.reading)


@pytest.mark.parametrize("cell", KINDS)
@pytest.mark.parametrize("words", [0, 7])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_plain_classifiers_need_no_structure(cell, words, bidirectional):
    """[embedding] [one recurrent stack] [one head]; only a vanilla RNN has to say its nonlinearity."""
    module = seeded(Net, cell, layers=2, words=words, bidirectional=bidirectional)
    given = cell if cell.startswith("rnn") else None
    read = "final" if bidirectional else None
    model = from_state_dict(module.state_dict(), cell=given, readout=read)
    whole = from_state_dict(module.state_dict(), structure=module.structure, readout="final")
    assert model.digest() == whole.digest()
    assert from_state_dict(module.state_dict(), structure=model.reading, readout=read).digest() == model.digest()
    assert (model.embedding is not None) == bool(words)


def test_what_the_head_of_a_bidirectional_layer_reads_is_asked_for():
    """`final` was taken in silence, and output[:, -1] is another network."""
    module = seeded(Net, "gru", bidirectional=True)
    with pytest.raises(ModelError, match=r"reads in both directions.*--readout.*final.*last_frame"):
        from_state_dict(module.state_dict())
    models = [from_state_dict(module.state_dict(), readout=readout) for readout in ("final", "last_frame")]
    assert models[0].digest() != models[1].digest()
    assert [model.describe().split(", ")[3] for model in models] == ["final states read", "last frame read"]


def test_three_blocks_may_be_either_gru():
    module = seeded(Net, "gru")
    plain, other = (from_state_dict(module.state_dict(), cell=cell) for cell in (None, "gru_reset_before"))
    assert [model.layers[0][0].cell for model in (plain, other)] == ["gru", "gru_reset_before"]
    assert plain.digest() != other.digest()
    assert other.reading == "rnn:gru_reset_before head"


def test_several_recurrent_layers_are_stacked_in_the_order_of_the_structure():
    first, second = seeded(nn.GRU, 3, 4, batch_first=True), seeded(nn.LSTM, 4, 2, batch_first=True, seed=1)
    head = seeded(nn.Linear, 2, 5, seed=2)
    stored = {
        f"{name}.{key}": v
        for name, m in (("b", first), ("a", second), ("head", head))
        for key, v in m.state_dict().items()
    }
    x = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = head(second(first(x)[0])[0][:, -1]).detach()
    torch.testing.assert_close(from_state_dict(stored, structure="b a head").logits(x), wanted, rtol=0, atol=1e-12)
    with pytest.raises(ModelError, match=r"2 prefixes \('a', 'b'\); their order is not stored: give the structure"):
        from_state_dict(stored)


def test_entries_without_prefix_are_called_a_dot():
    lstm, head = seeded(nn.LSTM, 3, 4), seeded(nn.Linear, 4, 5)
    stored = dict(lstm.state_dict()) | {f"head.{key}": value for key, value in head.state_dict().items()}
    model = from_state_dict(stored)
    assert model.reading == ". head"
    assert from_state_dict(stored, structure=". head").digest() == model.digest()


@pytest.mark.parametrize(
    ("words", "shape", "embedded"),
    [
        ("embed.fc rnn head", (4, 3), False),
        ("embed.fc:linear rnn head", (4, 3), False),
        ("embed.fc rnn head", (9, 4), True),
        ("embed.fc:embedding rnn head", (9, 4), True),
    ],
)
def test_embeddings_and_linear_layers_are_told_apart_by_their_shapes(words, shape, embedded):
    stored = dict(seeded(Net, inputs=4).state_dict()) | {"embed.fc.weight": zeros(*shape) + 1}
    model = from_state_dict(stored, structure=words)
    assert (model.embedding is not None) == embedded
    assert model.input_size == (4 if embedded else 3)


def test_a_square_first_weight_has_to_say_what_it_is():
    stored = dict(seeded(Net, inputs=4).state_dict()) | {"embed.weight": zeros(4, 4) + 1}
    with pytest.raises(ModelError, match=r"embed\.weight of shape \(4, 4\) may be an embedding or a linear layer; say"):
        from_state_dict(stored, structure="embed rnn head")
    assert from_state_dict(stored, structure="embed:embedding rnn head").embedding is not None
    assert from_state_dict(stored, structure="embed:linear rnn head").embedding is None


@pytest.mark.parametrize("name", ["fsdd", "gsc"])
def test_the_shared_speech_models_are_read_with_their_front_layer(shared_data, name):
    path = shared_data / "models" / "prover" / f"{name}.safetensors"
    with pytest.raises(ModelError, match=r"2 linear layers \(linear1\.weight, linear2\.weight\).*give the structure"):
        load_model(path)
    model = load_model(path, structure="linear1 relu lstm linear2")
    layers, classes = {"fsdd": (2, 10), "gsc": (1, 35)}[name]
    assert model.structure() == f"dense/relu|{';'.join(['lstm>'] * layers)}|final|dense"
    assert (model.input_size, model.classes, model.stored_dtype) == (10, classes, "float32")
    stored = load_file(path)
    lstm = nn.LSTM(len(stored["linear1.bias"]), stored["lstm.weight_hh_l0"].shape[1], layers, batch_first=True)
    lstm.load_state_dict({key.removeprefix("lstm."): value for key, value in stored.items() if key.startswith("lstm.")})
    x = 3 * torch.randn(2, 6, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    stored = {key: value.double() for key, value in stored.items()}
    inner = torch.relu(nn.functional.linear(x, stored["linear1.weight"], stored["linear1.bias"]))
    top = lstm.double()(inner)[1][0][-1]
    wanted = nn.functional.linear(top, stored["linear2.weight"], stored["linear2.bias"]).detach()
    torch.testing.assert_close(model.logits(x), wanted, rtol=0, atol=1e-12)


def test_the_shared_motion_model_is_read_without_options(shared_data):
    model = load_model(shared_data / "models" / "prover" / "hapt_2L_128H.safetensors")
    assert model.describe() == "LSTM, 2 layers of 128, 128 units, 75 inputs per frame, 6 classes"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_supported_dtype_is_widened_exactly(tmp_path, dtype):
    stored = {name: value.to(dtype) for name, value in entries(layers=2).items()}
    smallest = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps  # a subnormal number
    stored["linear.bias"][0] = smallest
    save_file(stored, tmp_path / "model.safetensors")
    model = load_model(tmp_path / "model.safetensors")
    assert model.stored_dtype == str(dtype).removeprefix("torch.")
    assert model.head.bias[0].item() == smallest
    for name, value in model.named_weights().items():
        assert value.dtype == torch.float64
        own = name.replace("after.0", "linear")
        if match := re.fullmatch(r"layers\.(\d)\.0\.(\w+)", name):
            own = f"lstm.{match[2]}_l{match[1]}"
        assert value.to(dtype).equal(stored[own]), name
    assert model.digest() == from_state_dict({n: v.double() for n, v in stored.items()}).digest()


def test_mixed_dtypes_are_all_named():
    assert from_state_dict(entries(linear__bias=zeros(5, dtype=torch.float16))).stored_dtype == "float16 and float64"


def test_the_input_is_neither_modified_nor_kept():
    stored = entries()
    before = {name: value.clone() for name, value in stored.items()}
    model = from_state_dict(stored)
    digest = model.digest()
    assert all(value.equal(before[name]) for name, value in stored.items())
    for value in stored.values():
        value.zero_()
    assert model.digest() == digest


def test_the_order_of_entries_does_not_matter():
    stored = entries(layers=3)
    assert from_state_dict(dict(reversed(stored.items()))).digest() == from_state_dict(stored).digest()


# state dicts that are refused


REFUSED = [
    (entries(lstm__weight_ih_l0_reverse=zeros(16, 3)), r"lstm\.weight_hh_l0_reverse is missing"),
    (
        entries(lstm__weight_hr_l0=zeros(2, 4)),
        r"lstm\.weight_hr_l0 has shape \(2, 4\) and .*weight_hh_l0 \(16, 4\); a projected",
    ),
    (entries(layers=2, lstm__weight_hr_l1=zeros(4, 4)), r"lstm\.weight_hr_l0 is missing"),
    (entries(gru__weight_ih_l0=zeros(16, 3)), r"2 prefixes \('gru', 'lstm'\)"),
    (entries(lstm__weight_ih_l2=zeros(16, 4)), r"layer l1 of 'lstm\.' is missing, there are l0, l2"),
    (
        {k: v for k, v in entries(layers=2).items() if not k.endswith("_l0")},
        r"layer l0 of 'lstm\.' is missing, there are l1",
    ),
    (entries(lstm__weight_ih_l0=None), r"lstm\.weight_ih_l0 is missing"),
    (entries(lstm__weight_hh_l0=None), r"lstm\.weight_hh_l0 is missing"),
    (entries(lstm__bias_ih_l0=None), r"lstm\.bias_ih_l0 is missing.*store zeros"),
    (entries(layers=2, lstm__bias_ih_l1=None, lstm__bias_hh_l1=None), r"lstm\.bias_ih_l1 is missing"),
    (entries(linear1__weight=zeros(3, 9)), r"2 linear layers \(linear\.weight, linear1\.weight\)"),
    (entries(linear1__bias=zeros(3)), r"linear1\.bias has no weight beside it"),
    (entries(linear__weight=None), r"linear\.bias has no weight beside it"),
    (entries(linear__weight=None, linear__bias=None), "no linear head"),
    (entries(linear__weight=None, linear__bias=None, my_weight=zeros(5, 4)), r"my_weight of shape \(5, 4\) is not"),
    (entries(norm__weight=zeros(4)), r"norm\.weight of shape \(4,\) is not understood"),
    (entries(conv__weight=zeros(4, 3, 2)), r"conv\.weight of shape \(4, 3, 2\) is not understood"),
    (entries(norm__running_mean=zeros(4)), r"norm\.running_mean of shape \(4,\) is not understood"),
    (entries(lstm__weight_hh_l0_g=zeros(16, 1)), r"lstm\.weight_hh_l0_g .*not understood"),
    (entries(lstm__weight_ih_l00=zeros(16, 4)), r"lstm\.weight_ih_l00 .*not understood"),
    (entries(xweight_ih_l0=zeros(16, 4)), r"xweight_ih_l0 .*not understood"),
    ({"cell.weight_ih": zeros(16, 4)}, r"cell\.weight_ih .*not understood"),
    ({"linear.weight": zeros(5, 4)}, r"no recurrent layer .*linear\.weight"),
    ({}, "no recurrent layer .*no entries at all"),
    (
        entries(lstm__weight_hh_l0=zeros(12, 4)),
        r"weight_ih_l0 has shape \(16, 3\), this GRU layer needs \(12, any\)",
    ),
    (
        entries(lstm__weight_hh_l0=zeros(4, 4)),
        r"weight_hh_l0 of shape \(4, 4\) is a vanilla RNN layer, whose non.*give `cell`",
    ),
    (entries(lstm__weight_hh_l0=zeros(20, 4)), r"weight_hh_l0 has shape \(20, 4\); an LSTM layer needs"),
    (entries(lstm__weight_hh_l0=zeros(15, 4)), r"weight_hh_l0 has shape \(15, 4\); an LSTM layer needs"),
    (entries(lstm__weight_hh_l0=zeros(16)), r"weight_hh_l0 has shape \(16,\)"),
    (
        entries(lstm__weight_ih_l0=zeros(12, 3)),
        r"weight_ih_l0 has shape \(12, 3\), this LSTM layer needs \(16, any\)",
    ),
    (
        entries(lstm__weight_ih_l0=zeros(16)),
        r"weight_ih_l0 has shape \(16,\), this LSTM layer needs \(16, any\)",
    ),
    (entries(lstm__weight_ih_l0=zeros()), r"weight_ih_l0 has shape \(\)"),
    (
        entries(layers=2, lstm__weight_ih_l1=zeros(16, 3)),
        r"weight_ih_l1 has shape \(16, 3\), this LSTM layer needs \(16, 4\)",
    ),
    (entries(lstm__bias_hh_l0=zeros(15)), r"bias_hh_l0 has shape \(15,\), this LSTM layer needs \(16,\)"),
    (
        entries(linear__weight=zeros(5, 8)),
        r"linear\.weight has shape \(5, 8\), the layer behind the recurrence needs \(any, 4\)",
    ),
    (entries(linear__bias=zeros(4)), r"linear\.bias has shape \(4,\), the layer behind the recurrence needs \(5,\)"),
    (entries(linear__weight=zeros(0, 4)), r"linear\.weight has shape \(0, 4\); no size may be zero"),
    (
        entries(linear__bias=zeros(5, dtype=torch.int8)),
        r"linear\.bias is int8; only float16, bfloat16, float32",
    ),
    (entries(linear__bias=zeros(5, dtype=torch.complex64)), r"linear\.bias is complex64"),
    (entries(linear__bias=torch.zeros(5, device="meta")), r"linear\.bias is a meta tensor"),
    (entries(linear__weight=zeros(5, 4).to_sparse()), r"linear\.weight is sparse_coo"),
    ({"state_dict": entries()}, r"entry 'state_dict' is a dict, not a tensor"),
    ({3: zeros(2)}, r"entry 3 is a Tensor"),
    (Classifier(), "is a Classifier; give a state dict"),
]


@pytest.mark.parametrize(("stored", "message"), REFUSED, ids=[message[:48] for _, message in REFUSED])
def test_what_is_not_understood_is_refused_by_its_name(stored, message):
    with pytest.raises(ModelError, match=message) as caught:
        from_state_dict(stored, name="my model")
    assert "my model" in str(caught.value)


SPEECH = entries(linear1__weight=zeros(3, 7), linear1__bias=zeros(3), h0=zeros(1, 1, 4))
WRONG = [
    (SPEECH, {"structure": "linear1 lstm linear"}, r"h0 of shape \(1, 1, 4\) is not understood.*initial_hidden"),
    (SPEECH, {"structure": "h0:initial_hidden lstm linear"}, r"linear1\.weight is not used by the structure"),
    (SPEECH, {"structure": "linear1 lstm linear h0:initial_hidden"}, "start states h0 stand in front of no recurrent"),
    (SPEECH, {"structure": "h0:initial_cell lstm linear1"}, r"linear1\.weight has shape \(3, 7\), the layer behind"),
    (SPEECH, {"structure": "linear1 gelu lstm linear"}, "'gelu' in the structure is not known; .*linear1.*relu, sig"),
    (SPEECH, {"structure": "linear1 lstm linear softmax"}, "leave 'softmax' out of the structure"),
    (SPEECH, {"structure": "linear1:cell lstm linear"}, "role 'cell' .* is not known; known: lstm, gru"),
    (SPEECH, {"structure": "linear1:gru lstm linear"}, "linear1 holds one weight, it is no gru"),
    (SPEECH, {"structure": "linear1 lstm:embedding linear"}, "lstm is recurrent, it is no embedding"),
    (SPEECH, {"structure": "linear1 lstm:gru linear"}, r"weight_hh_l0 of shape \(16, 4\) is no gru cell"),
    (SPEECH, {"structure": "linear1 linear1 lstm"}, r"linear1\.weight is used twice"),
    (SPEECH, {"structure": "linear1 relu"}, "structure 'linear1 relu' names no recurrent layer"),
    (SPEECH, {"structure": ""}, "structure '' names no recurrent layer"),
    (SPEECH, {"structure": "linear1 h0:initial_hidden lstm"}, r"linear\.weight is not used by the structure"),
    (SPEECH, {"structure": "linear1 h0:initial_hidden lstm linear tanh"}, "has no linear head; its last word"),
    (SPEECH, {"structure": "linear1 h0:initial_hidden lstm linear lstm"}, "lstm stands behind other layers"),
    (SPEECH, {"structure": "linear1:embedding lstm linear"}, "linear1 cannot be an embedding"),
    (entries(h0=zeros(2, 1, 4)), {"structure": "h0:initial_hidden lstm linear"}, r"h0 has shape \(2, 1, 4\), as init"),
    (
        entries(relu__weight=zeros(3, 3)),
        {"structure": "relu lstm linear"},
        "'relu' .* an activation and a layer's name",
    ),
    (entries(), {"readout": "first"}, "readout 'first' is not known; known: final"),
    (entries(), {"cell": "elman"}, "cell 'elman' is not known; known: lstm"),
    (entries(), {"cell": "rnn_relu"}, r"lstm\.weight_hh_l0 of shape \(16, 4\) is no rnn_relu cell"),
    (
        dict(seeded(Net, "gru", starts=True).state_dict()) | {"c0": zeros(1, 1, 4)},
        {"structure": "h0:initial_hidden c0:initial_cell rnn head"},
        "c0 is given as initial_cell, but a gru cell has none",
    ),
    (
        dict(seeded(Net, hidden=4, proj_size=2).state_dict()),
        {"cell": "gru"},
        r"rnn\.weight_hr_l0 is a projection, which a gru cell does not have",
    ),
    (
        {"my layer.weight": zeros(5, 4), **entries(linear__weight=None, linear__bias=None)},
        {},
        r"'my layer\.weight' has a prefix that cannot be a word",
    ),
]


@pytest.mark.parametrize(("stored", "options", "message"), WRONG, ids=[message[:40] for *_, message in WRONG])
def test_structures_and_options_that_do_not_fit_are_refused_with_the_word(stored, options, message):
    with pytest.raises(ModelError, match=message) as caught:
        from_state_dict(stored, name="my model", **options)
    assert "my model" in str(caught.value) or "readout" in options


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_values_that_are_not_finite_are_shown_under_the_entrys_own_name(value, dtype):
    weight = zeros(16, 4, dtype=dtype)
    weight[7, 2] = value
    with pytest.raises(ModelError, match=rf"lstm\.weight_hh_l0\[7, 2\] is {value}; .*Repair or retrain"):
        from_state_dict(entries(lstm__weight_hh_l0=weight))


@given(st.dictionaries(st.text(max_size=20), st.lists(st.integers(0, 3), max_size=3), max_size=4), st.booleans())
def test_no_further_entry_is_ever_ignored(extra, alone):
    """Whatever is added to a good state dict, it is refused with a ModelError and with nothing else."""
    good = {} if alone else entries()
    added = {name: torch.zeros(shape) for name, shape in extra.items() if name not in good}
    if added or alone:
        with pytest.raises(ModelError):
            from_state_dict(good | added)
