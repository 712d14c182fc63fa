"""Reading modules: the submodules say what there is, running the module whether the reading is right."""

import re

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from gpu_engine.errors import ModelError
from gpu_engine.loading import from_state_dict
from gpu_engine.module_loading import from_module


class Classifier(nn.Module):
    """LSTM and head; `read` is what the forward pass makes of them, by default what is supported."""

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
}


@pytest.mark.parametrize("case", READ)
def test_modules_that_compute_the_reading_are_read(case):
    module = READ[case]()
    model = from_module(module)
    assert model.digest() == from_state_dict(module.state_dict()).digest()
    assert model.digest() == from_module(module, probe=False).digest()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_modules_are_probed_as_wider_ones(dtype):
    module = Classifier().to(dtype)
    model = from_module(module)
    assert model.stored_dtype == str(dtype).removeprefix("torch.")
    assert {parameter.dtype for parameter in module.parameters()} == {dtype}
    with pytest.raises(ModelError, match="does not compute the reading"):
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
    "mean over frames": lambda net, x: net.linear(net.lstm(x)[0].mean(dim=1)),
    "cell state": lambda net, x: net.linear(net.lstm(x)[1][1][-1]),
    "lowest layer's state": lambda net, x: net.linear(net.lstm(x)[1][0][0]),
    "softmax": lambda net, x: net.linear(net.lstm(x)[0][:, -1]).softmax(dim=1),
    "log-softmax": lambda net, x: net.linear(net.lstm(x)[0][:, -1]).log_softmax(dim=1),
    "permuted classes": lambda net, x: net.linear(net.lstm(x)[0][:, -1]).flip(1),
    "scaled input": lambda net, x: net.linear(net.lstm(x / 255)[0][:, -1]),
    "backwards in time": lambda net, x: net.linear(net.lstm(x.flip(1))[0][:, -1]),
    "ReLU before the head": lambda net, x: net.linear(net.lstm(x)[0][:, -1].relu()),
    "another start state": lambda net, x: net.linear(
        net.lstm(x, (torch.ones(2, len(x), 4), torch.zeros(2, len(x), 4)))[0][:, -1]
    ),
    "not a number": lambda net, x: net.linear(net.lstm(x)[0][:, -1]) * float("nan"),
    "random": lambda net, x: net.linear(nn.functional.dropout(net.lstm(x)[0][:, -1], training=True)),
}


@pytest.mark.parametrize("case", OTHERWISE)
def test_modules_that_compute_something_else_are_refused_with_the_difference(case):
    module = Classifier(OTHERWISE[case], num_layers=2)
    with pytest.raises(ModelError, match="differ from its logits by up to") as caught:
        from_module(module)
    message = str(caught.value)
    assert "nn.LSTM 'lstm' from zero start states" in message
    assert "hidden state after the last frame" in message
    difference, allowed = re.search(r"by up to (\S+) \(rounding explains (\S+)\)", message).groups()
    assert not float(difference) <= 100 * float(allowed)
    from_module(module, probe=False)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda net, x: net.lstm(x), r"the output is a tuple, not logits of shape \(4, 5\)"),
        (lambda net, x: net.linear(net.lstm(x)[0]), r"the output is of shape \(4, 5, 5\)"),
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
    (lambda: Classifier(bidirectional=True), "lstm is a bidirectional LSTM"),
    (lambda: Classifier(proj_size=2), r"lstm is a projected \(proj_size=2\) LSTM"),
    (lambda: with_part(lstm=nn.GRU(3, 4)), "lstm is a GRU; only nn.LSTM"),
    (lambda: with_part(encoder=nn.Sequential(nn.RNN(3, 4))), r"encoder\.0 is a vanilla RNN"),
    (lambda: with_part(cell=nn.LSTMCell(3, 4)), r"cell \(LSTMCell\) has parameters .*weight_hh"),
    (lambda: with_part(lstm=OwnLSTM(3, 4)), r"lstm \(OwnLSTM\) has parameters"),
    (lambda: with_part(norm=nn.LayerNorm(4)), r"norm \(LayerNorm\) has parameters .*\(bias, weight\)"),
    (lambda: with_part(norm=nn.BatchNorm1d(4, affine=False)), r"norm \(BatchNorm1d\) has .*running_mean"),
    (lambda: with_part(word=nn.Embedding(4, 3)), r"word \(Embedding\) has parameters"),
    (lambda: with_part(act=nn.Softmax(dim=1)), r"act \(Softmax\) is not understood"),
    (lambda: with_part(head=nn.Sequential(LastFrame())), r"head\.0 \(LastFrame\) is not understood"),
    (lambda: Owner(scale=torch.ones(1)), r"Owner \(Owner\) has parameters or buffers of its own \(scale\)"),
    (lambda: with_part(bare=nn.ParameterList([torch.ones(1)])), r"bare \(ParameterList\) has .*\(0\)"),
    (lambda: with_part(second=nn.LSTM(4, 4)), r"2 nn\.LSTM submodules \(lstm, second\)"),
    (lambda: with_part(lstm=None), r"0 nn\.LSTM submodules \(none\)"),
    (lambda: with_part(linear1=nn.Linear(3, 3)), r"2 nn\.Linear submodules \(linear, linear1\)"),
    (lambda: with_part(linear=None), r"0 nn\.Linear submodules \(none\)"),
    (lambda: nn.LSTM(3, 4), r"0 nn\.Linear submodules"),
    (parametrized, r"lstm \(ParametrizedLSTM\) is parametrized; .*remove_parametrizations"),
    (pruned, r"linear holds weight, weight_mask, weight_orig otherwise.*prune\.remove"),
    (lambda: nn.LSTM(3, 4).state_dict(), "OrderedDict is no torch.nn.Module"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
@pytest.mark.parametrize("probe", [True, False])
def test_submodules_that_are_not_understood_are_refused_by_name(build, message, probe):
    with pytest.raises(ModelError, match=message):
        from_module(build(), probe=probe)


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
    assert from_module(module).layers[0].weight_hh.equal(effective)
