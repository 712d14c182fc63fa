"""Reading modules: the submodules say what there is, running the module whether the reading is right."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

from gpu_engine.errors import ModelError
from gpu_engine.loading import from_state_dict
from gpu_engine.module_loading import from_module
from tests.engine.modules import KINDS, Net, RaggedNet, fill, inputs_of, nets


class Classifier(nn.Module):
    """LSTM and head; `read` is what the forward pass makes of them, by default the plain reading."""

    def __init__(self, read=None, **options):
        super().__init__()
        self.read = read or (lambda net, x: net.linear(net.lstm(x)[0][:, -1]))
        self.lstm = nn.LSTM(3, 4, **({"batch_first": True} | options))
        self.linear = nn.Linear(self.lstm.proj_size or 4 * (1 + self.lstm.bidirectional), 5)

    def forward(self, x):
        return self.read(self, x)


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def with_part(**parts):
    module = Classifier()
    for name, part in parts.items():
        setattr(module, name, part)
    return module


# modules that are read


def last(net, x):
    return net.linear(net.lstm(x)[0][-1])


PLAIN = {"structure": "lstm linear", "readout": "final"}


def turned(net, x):
    return net.linear(net.lstm(x.transpose(0, 1))[0][-1])


def top_state(net, x):
    return net.linear(net.lstm(x)[1][0][-1])


def zero_start(net, x):
    state = torch.zeros(net.lstm.num_layers, len(x), 4)
    return net.linear(net.lstm(x, (state, state))[0][:, -1])


class NestedClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.ModuleDict({"rnn": nn.LSTM(3, 4, batch_first=True)})
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(4, 5))

    def forward(self, x):
        return self.head(self.body["rnn"](x)[0][:, -1])


READ = {
    "plain": Classifier,
    "three layers with dropout": lambda: Classifier(num_layers=3, dropout=0.5),
    "without bias": lambda: Classifier(bias=False),
    "time first": lambda: Classifier(last, batch_first=False),
    "time first inside": lambda: Classifier(turned, batch_first=False),
    "state of the top layer": lambda: Classifier(top_state, num_layers=2),
    "written start state": lambda: Classifier(zero_start),
    "dropout and identity": lambda: with_part(drop=nn.Dropout(0.9), same=nn.Identity()),
    "dropout in use": lambda: with_part(
        drop=nn.Dropout(0.9), read=lambda net, x: net.linear(net.drop(net.lstm(x)[0][:, -1]))
    ),
    "nested": NestedClassifier,
    "float64": lambda: Classifier().double(),
    "parallel": lambda: nn.DataParallel(Classifier()),
    "softmax": lambda: Classifier(lambda net, x: net.linear(net.lstm(x)[0][:, -1]).softmax(dim=1)),
    "log-softmax": lambda: with_part(
        end=nn.LogSoftmax(dim=-1), read=lambda net, x: net.end(net.linear(net.lstm(x)[0][:, -1]))
    ),
    "GRU": lambda: with_part(lstm=nn.GRU(3, 4, batch_first=True)),
}


@pytest.mark.parametrize("case", READ)
def test_modules_that_compute_the_reading_are_read(case):
    module = READ[case]()
    model = from_module(module)
    assert model.digest() == from_state_dict(module.state_dict()).digest()
    again = from_module(module, probe=False, structure=model.reading, readout=model.readout)
    assert model.digest() == again.digest()


# every option, against PyTorch's own layers


def agrees(model, module, seed, rounding=1e-10):
    """Whether the model computes what the module does on inputs that the probe has not seen."""
    x, frames = inputs_of(module, batch=6, time=3, seed=seed)
    wanted = module(x).detach()
    return (model.logits(frames) - wanted).abs().max() <= rounding * (1 + wanted.abs().max())


@given(nets(), st.integers(100, 200))
def test_every_option_is_found_by_running_the_module(module, seed):
    """Either the reading computes the same everywhere, or it is refused because the inputs tried leave it open."""
    given = {"structure": module.structure, "readout": module.readout}
    whole = from_state_dict(module.state_dict(), **given)
    assert from_module(module, **given).digest() == whole.digest()
    try:
        model = from_module(module)
    except ModelError as error:
        assert "cannot be told apart on the inputs tried; give" in str(error)
        return
    assert agrees(model, module, seed)
    again = from_state_dict(module.state_dict(), structure=model.reading, readout=model.readout)
    assert again.digest() == model.digest()
    if (model.reading, model.readout) != (whole.reading, whole.readout):
        redundant = "relu behind" in whole.reading and "rnn_relu" in whole.reading
        assert redundant or (model.readout, whole.readout) == ("final", "last_frame")


CASES = {
    "bidirectional": {"bidirectional": True, "layers": 2},
    "bidirectional last frame": {"bidirectional": True, "readout": "last_frame"},
    "time first": {"batch_first": False, "layers": 2, "bidirectional": True, "readout": "mean"},
    "without bias": {"bias": False, "head_bias": False},
    "start states": {"starts": True, "layers": 2, "bidirectional": True},
    "embedding": {"words": 9, "readout": "max"},
    "layers around": {"front": "relu", "behind": "tanh"},
    "an answer per frame": {"readout": "every", "front": "sigmoid", "batch_first": False},
    "mean": {"readout": "mean", "behind": "sigmoid"},
    "max": {"readout": "max"},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("cell", KINDS)
@pytest.mark.parametrize("kind", [Net, RaggedNet])
def test_named_options_are_found_exactly(cell, case, kind):
    module = fill(kind(cell, hidden=8, **CASES[case]), seed=3, scale=0.5)
    model = from_module(module)
    assert (model.reading, model.readout) == (module.structure, module.readout)
    whole = from_state_dict(module.state_dict(), structure=module.structure, readout=module.readout)
    assert model.digest() == whole.digest()


def test_projections_are_found():
    module = fill(Net(hidden=8, proj_size=3, layers=2, bidirectional=True, starts=True), seed=3, scale=0.5)
    model = from_module(module)
    assert (model.reading, model.readout) == (module.structure, "final")
    assert model.layers[1][1].weight_hr.shape == (3, 8)


def test_a_forward_that_forgets_the_lengths_is_refused():
    class Forgetful(Net):
        def forward(self, x, lengths):
            return super().forward(x)

    with pytest.raises(ModelError, match=r"with lengths \[5, 5, 5, 4, .* outputs differ by up to"):
        from_module(fill(Forgetful(hidden=8), seed=0))


class Speech(nn.Module):
    """Layers registered in another order than they are called; one activation module for two places."""

    def __init__(self, read=None):
        super().__init__()
        self.read = read
        self.head = nn.Linear(4, 5)
        self.act = nn.ReLU(inplace=True)
        self.rnn = nn.GRU(6, 4)
        self.front = nn.Linear(3, 6)
        self.middle = nn.Linear(4, 4)

    def forward(self, x):
        if self.read is not None:
            return self.read(self, x)
        h = self.rnn(self.act(self.front(x)))[0]
        return self.head(self.act(torch.tanh(self.middle(h[-1]))))


SPOKEN = {
    "modules and functions": (None, "front relu rnn middle tanh relu head", "final"),
    "state": (lambda n, x: n.head(n.middle(n.rnn(n.front(x))[1][0])), "front rnn middle head", "final"),
    "state of one layer": (lambda n, x: n.head(n.middle(n.rnn(n.front(x))[1]))[0], "front rnn middle head", "final"),
    "one frame, kept": (
        lambda n, x: n.head(n.middle(n.rnn(n.front(x))[0][-1:]))[0],
        "front rnn middle head",
        "final",
    ),
    "frames flattened": (
        lambda n, x: n.head(n.middle(n.rnn(n.front(x.reshape(-1, 3)).view(*x.shape[:2], 6))[0][-1])),
        "front rnn middle head",
        "final",
    ),
    "last frame of the answers": (
        lambda n, x: n.head(functional.relu(n.middle(n.rnn(n.front(x))[0])))[-1],
        "front rnn middle relu head",
        "final",
    ),
    "mean of the answers": (
        lambda n, x: n.head(n.middle(n.rnn(n.front(x))[0])).mean(0),
        "front rnn middle head",
        "mean",
    ),
    "maximum behind a tanh": (
        lambda n, x: n.head(n.middle(torch.tanh(n.rnn(n.front(x))[0]).amax(0))),
        "front rnn tanh middle head",
        "max",
    ),
    "activation of the input": (
        lambda n, x: n.head(n.middle(n.rnn(torch.tanh(n.front(x.sigmoid())))[0][-1])),
        "sigmoid front tanh rnn middle head",
        "final",
    ),
    "softmax": (
        lambda n, x: n.head(n.middle(n.rnn(n.front(x))[0].mean(0))).softmax(-1),
        "front rnn middle head",
        "mean",
    ),
}


@pytest.mark.parametrize("case", SPOKEN)
def test_the_order_of_calls_and_the_code_between_them_are_found(case):
    read, structure, readout = SPOKEN[case]
    module = fill(Speech(read), seed=1)
    model = from_module(module)
    assert (model.reading, model.readout) == (structure, readout)
    assert model.digest() == from_state_dict(module.state_dict(), structure=structure, readout=readout).digest()


SPOKEN_WRONG = {
    "mean behind a relu": (
        lambda n, x: n.head(functional.relu(n.middle(n.rnn(n.front(x))[0])).mean(0)),
        "between 'middle' and 'head'.*tried, nearest first",
    ),
    "mean of the answers behind a relu": (
        lambda n, x: n.head(functional.relu(n.middle(n.rnn(n.front(x))[0]))).mean(0),
        "behind 'head' .*tried, nearest first|behind 'head' the shape .* does not fit",
    ),
    "maximum of the answers": (
        lambda n, x: n.head(n.middle(n.rnn(n.front(x))[0])).amax(0),
        "behind 'head'.*tried, nearest first",
    ),
    "another activation": (
        lambda n, x: n.head(n.middle(n.rnn(functional.gelu(n.front(x)))[0][-1])),
        "between 'front' and 'rnn'.*relu by .*tanh by .*none by",
    ),
    "skip connection": (
        lambda n, x: n.head((h := n.rnn(n.front(x))[0][-1]) + n.middle(h)),
        "between 'middle' and 'head'",
    ),
    "a layer left out": (lambda n, x: n.head(n.rnn(n.front(x))[0][-1]), r"middle \(Linear\) is called 0 times"),
    "a layer called twice": (
        lambda n, x: n.head(n.middle(n.middle(n.rnn(n.front(x))[0][-1]))),
        r"middle \(Linear\) is called 2 times",
    ),
    "sigmoid at the end": (
        lambda n, x: n.head(n.middle(n.rnn(n.front(x))[0][-1])).sigmoid(),
        "behind 'head'.*log_softmax by",
    ),
    "softmax over the batch": (
        lambda n, x: n.head(n.middle(n.rnn(n.front(x))[0][-1])).softmax(0),
        "behind 'head'.*softmax by",
    ),
    "a matrix product of its own": (
        lambda n, x: functional.linear(n.middle(n.rnn(n.front(x))[0][-1]), n.head.weight, n.head.bias),
        r"head \(Linear\) is called 0 times",
    ),
}


@pytest.mark.parametrize("case", SPOKEN_WRONG)
def test_code_that_the_normal_form_cannot_hold_is_refused_with_its_place(case):
    read, message = SPOKEN_WRONG[case]
    with pytest.raises(ModelError, match=message):
        from_module(fill(Speech(read), seed=1))


def test_an_activation_that_no_input_reaches_is_not_guessed():
    """With all values far above zero a ReLU looks like nothing at all; only the structure can say."""
    module = fill(Speech(lambda n, x: n.head(functional.relu(n.middle(n.rnn(n.front(x))[0][-1])))), seed=1)
    with torch.no_grad():
        module.middle.bias += 1000
    with pytest.raises(ModelError, match="none and relu cannot be told apart on the inputs tried; give `structure`"):
        from_module(module)
    structure = "front rnn middle relu head"
    assert from_module(module, structure=structure).reading == structure


def test_readouts_that_the_inputs_do_not_tell_apart_have_to_be_given():
    """A ReLU state that grows from frame to frame: its maximum is its last value."""
    module = fill(Net("rnn_relu", inputs=1, hidden=1), seed=0)
    with torch.no_grad():
        module.rnn.weight_hh_l0.fill_(1.0)
        module.rnn.bias_ih_l0.fill_(1000.0)
    for options in ({}, {"structure": "rnn head"}):
        with pytest.raises(ModelError, match="final and max cannot be told apart"):
            from_module(module, **options)
        assert from_module(module, readout="final", **options).readout == "final"


@pytest.mark.parametrize("case", ["tanh", "mean", "no relu", "h0"])
def test_a_given_reading_that_is_another_is_refused(case):
    module = fill(Net(hidden=8, front="relu", starts=True), seed=0, scale=0.5)
    options = {
        "tanh": {"structure": module.structure.replace("relu", "tanh")},
        "mean": {"structure": module.structure, "readout": "mean"},
        "no relu": {"structure": module.structure.replace("relu ", "")},
        "h0": {
            "structure": module.structure.replace(
                "h0:initial_hidden c0:initial_cell", "c0:initial_hidden h0:initial_cell"
            )
        },
    }[case]
    with pytest.raises(ModelError, match=r"outputs differ by up to .* \(rounding explains"):
        from_module(module, **options)


def test_roles_that_contradict_the_submodule_are_refused():
    module = fill(Net("rnn_tanh"), seed=0)
    message = "Net: rnn is a RNN, its role is rnn_tanh, not rnn_relu"
    with pytest.raises(ModelError, match=message):
        from_module(module, probe=False, structure="rnn:rnn_relu head", readout="final")
    assert from_module(module, probe=False, structure="rnn head", readout="final").reading == "rnn:rnn_tanh head"


def test_start_states_have_to_be_parameters_or_buffers():
    def start(net, x):
        state = net.start.expand(2, len(x), 4).contiguous()
        return net.linear(net.lstm(x, (state, 0 * state))[0][:, -1])

    module = Classifier(start, num_layers=2)
    module.register_buffer("start", torch.randn(2, 1, 4))
    assert from_module(module).reading == "start:initial_hidden lstm linear"
    module.start = torch.randn(1, 1, 4)
    with pytest.raises(ModelError, match=r"lstm \(LSTM\) starts from another initial hidden state than zero"):
        from_module(module)


def test_without_the_probe_the_reading_has_to_be_given():
    for options in ({}, {"structure": "lstm linear"}, {"readout": "final"}):
        with pytest.raises(ModelError, match=r"Classifier: without the probe .*give `structure`.*and `readout`"):
            from_module(Classifier(), probe=False, **options)
    with pytest.raises(ModelError, match="readout 'first' is not known; known: final"):
        from_module(Classifier(), readout="first")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_modules_are_probed_as_wider_ones(dtype):
    module = Classifier().to(dtype)
    model = from_module(module)
    assert model.stored_dtype == str(dtype).removeprefix("torch.")
    assert {parameter.dtype for parameter in module.parameters()} == {dtype}
    with pytest.raises(ModelError, match="no reading of Classifier was found"):
        from_module(Classifier(lambda net, x: net.linear(net.lstm(x)[0][:, -2])).to(dtype))


def test_nothing_of_the_module_or_the_global_state_is_changed():
    def read(net, x):
        torch.rand(3)
        assert not net.training
        assert not torch.is_grad_enabled()
        return net.linear(net.drop(net.lstm(x)[0][:, -1]))

    module = with_part(drop=nn.Dropout(0.5), read=read)
    module.train()
    module.drop.eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.random.get_rng_state()
    from_module(module)
    assert torch.random.get_rng_state().equal(state)
    assert [part.training for part in module.modules()] == [True, True, True, False]
    assert all(value.equal(before[name]) for name, value in module.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in module.parameters())


def test_training_mode_is_put_back_when_the_forward_pass_raises():
    module = Classifier(lambda net, x: 1 / 0).train()
    with pytest.raises(ModelError):
        from_module(module)
    assert all(part.training for part in module.modules())


def test_the_model_does_not_follow_the_module():
    module = Classifier()
    model = from_module(module)
    digest = model.digest()
    with torch.no_grad():
        module.linear.weight.zero_()
    assert model.digest() == digest


# modules that compute something else: only running them shows it

OTHERWISE = {
    "another frame": lambda net, x: net.linear(net.lstm(x)[0][:, 0]),
    "the frame before the last": lambda net, x: net.linear(net.lstm(x)[0][:, -2]),
    "cell state": lambda net, x: net.linear(net.lstm(x)[1][1][-1]),
    "lowest layer's state": lambda net, x: net.linear(net.lstm(x)[1][0][0]),
    "permuted classes": lambda net, x: net.linear(net.lstm(x)[0][:, -1]).flip(1),
    "scaled input": lambda net, x: net.linear(net.lstm(x / 255)[0][:, -1]),
    "backwards in time": lambda net, x: net.linear(net.lstm(x.flip(1))[0][:, -1]),
    "not a number": lambda net, x: net.linear(net.lstm(x)[0][:, -1]) * float("nan"),
    "random": lambda net, x: net.linear(nn.functional.dropout(net.lstm(x)[0][:, -1], training=True)),
}


@pytest.mark.parametrize("case", OTHERWISE)
def test_modules_that_compute_something_else_are_refused_with_the_difference(case):
    module = Classifier(OTHERWISE[case], num_layers=2)
    with pytest.raises(ModelError, match="`forward` does what is not understood: tried, nearest first") as caught:
        from_module(module)
    message = str(caught.value)
    assert re.search("(between|behind) '(lstm|linear)'|the input and 'lstm'", message)
    difference, allowed = re.search(r" by (\S+?),? .*?\(rounding explains (\S+)\)", message).groups()
    assert not float(difference) <= 100 * float(allowed)
    with pytest.raises(ModelError, match="outputs differ by up to"):
        from_module(module, **PLAIN)
    from_module(module, probe=False, **PLAIN)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda net, x: (net.linear(net.lstm(x)[0][:, -1]), 1), "behind 'linear' the shape of a tuple does not fit"),
        (lambda net, x: net.linear(net.lstm(x)[0][:, -1])[:, :3], r"behind 'linear' the shape \(12, 3\) does not fit"),
        (lambda net, x: net.linear(net.lstm(x.view(-1, 28, 28))[0][:, -1]), "it raised RuntimeError: shape"),
        (lambda net, x: {}["missing"], "it raised KeyError: 'missing'"),
    ],
)
def test_forward_passes_that_give_no_logits_are_refused_with_the_cause(read, message):
    with pytest.raises(ModelError, match=message) as caught:
        from_module(Classifier(read))
    assert ("it raised" in message) == (caught.value.__cause__ is not None)


# submodules that are refused by name


class Owner(Classifier):
    def __init__(self, **owned):
        super().__init__()
        for name, value in owned.items():
            self.register_buffer(name, value)


class OwnLSTM(nn.LSTM):
    pass


class LastFrame(nn.Module):
    def forward(self, x):
        return x[:, -1]


def parametrized():
    module = Classifier()
    parametrizations.weight_norm(module.lstm, "weight_hh_l0")
    return module


def pruned():
    module = Classifier()
    prune.random_unstructured(module.linear, "weight", amount=0.5)
    return module


REFUSED = [
    (lambda: with_part(cell=nn.LSTMCell(3, 4)), r"cell \(LSTMCell\) is a single cell.*use nn\.LSTM,"),
    (lambda: with_part(cell=nn.GRUCell(3, 4)), r"cell \(GRUCell\) is a single cell.*use nn\.GRU,"),
    (lambda: with_part(cell=nn.RNNCell(3, 4)), r"cell \(RNNCell\) is a single cell.*use nn\.RNN,"),
    (lambda: with_part(lstm=OwnLSTM(3, 4)), r"lstm \(OwnLSTM\) has parameters"),
    (lambda: with_part(norm=nn.LayerNorm(4)), r"norm \(LayerNorm\) has parameters .*\(bias, weight\)"),
    (lambda: with_part(norm=nn.BatchNorm1d(4, affine=False)), r"norm \(BatchNorm1d\) has .*running_mean"),
    (lambda: with_part(conv=nn.Conv1d(4, 3, 2)), r"conv \(Conv1d\) has parameters"),
    (lambda: with_part(bag=nn.EmbeddingBag(4, 3)), r"bag \(EmbeddingBag\) has parameters"),
    (lambda: with_part(word=nn.Embedding(4, 3, max_norm=1.0)), r"word \(Embedding\) has max_norm=1\.0"),
    (lambda: with_part(act=nn.ELU()), r"act \(ELU\) is not understood"),
    (lambda: with_part(head=nn.Sequential(LastFrame())), r"head\.0 \(LastFrame\) is not understood"),
    (lambda: with_part(bare=nn.ParameterList([torch.ones(1)])), r"bare \(ParameterList\) has .*\(0\)"),
    (lambda: with_part(lstm=None), r"the module has no nn\.LSTM, nn\.GRU or nn\.RNN submodule"),
    (lambda: with_part(linear=None), r"the module has no nn\.Linear submodule"),
    (lambda: nn.LSTM(3, 4), r"the module has no nn\.Linear submodule"),
    (parametrized, r"lstm \(ParametrizedLSTM\) is parametrized; .*remove_parametrizations"),
    (pruned, r"linear holds weight, weight_mask, weight_orig otherwise.*prune\.remove"),
    (lambda: nn.LSTM(3, 4).state_dict(), "OrderedDict is no torch.nn.Module"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
@pytest.mark.parametrize("probe", [True, False])
def test_submodules_that_are_not_understood_are_refused_by_name(build, message, probe):
    with pytest.raises(ModelError, match=message):
        from_module(build(), probe=probe, **({} if probe else PLAIN))


UNUSED = [
    (lambda: Owner(scale=torch.ones(1)), r"Owner: scale of shape \(1,\) is not understood"),
    (lambda: with_part(second=nn.LSTM(4, 4)), "second"),
    (lambda: with_part(linear1=nn.Linear(3, 3)), "linear1"),
    (lambda: with_part(word=nn.Embedding(4, 3)), "word"),
]


@pytest.mark.parametrize(("build", "name"), UNUSED, ids=["buffer", "recurrent", "linear", "embedding"])
@pytest.mark.parametrize("probe", [True, False])
def test_weights_that_the_forward_pass_does_not_use_are_refused_by_name(build, name, probe):
    with pytest.raises(ModelError, match=name):
        from_module(build(), probe=probe, **({} if probe else PLAIN))


def test_values_that_are_not_finite_are_refused_under_the_submodules_name():
    module = Classifier()
    with torch.no_grad():
        module.lstm.weight_ih_l0[2, 1] = float("nan")
    with pytest.raises(ModelError, match=r"Classifier: lstm\.weight_ih_l0\[2, 1\] is nan"):
        from_module(module)


def test_plain_weights_after_removing_a_parametrization_are_the_effective_ones():
    module = parametrized()
    effective = module.lstm.weight_hh_l0.detach().double()
    nn.utils.parametrize.remove_parametrizations(module.lstm, "weight_hh_l0")
    assert from_module(module).layers[0][0].weight_hh.equal(effective)
