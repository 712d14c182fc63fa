"""Reading ONNX: the normal form gives what the runtimes give, for every option; see test_onnx_refusals for the rest."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from gpu_engine.onnx_loading import load_onnx, recurrent
from tests.engine.onnx_graphs import CLASSES, HIDDEN, INPUTS, Graph, Options, allowed, build, frames, run

NAMES = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh")}
SHARED = ("MNIST_GRU15net", "MNIST_GRU30net", "MNIST_LSTM15net", "MNIST_LSTM30net")


def load(model, folder, **options):
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return load_onnx(path, **options)


def softmaxed(values, softmax):
    if softmax is None:
        return values
    return torch.log_softmax(values, -1) if softmax == "LogSoftmax" else torch.softmax(values, -1)


def difference(options, read, kind, model):
    """How far the normal form is from a runtime's outputs, in units of what rounding explains."""
    x = frames(options)
    given_x = x if options.layout else x.transpose(1, 0, 2)
    expected = run(model, x=given_x.astype(kind))
    found = softmaxed(read.logits(torch.from_numpy(x)), options.softmax).numpy()
    if options.readout == "every" and not options.layout:
        found = found.transpose(1, 0, 2)
    assert expected.shape == found.shape
    return np.max(np.abs(expected - found) / allowed(kind, expected))


@st.composite
def model_options(draw):
    operator = draw(st.sampled_from(["LSTM", "GRU", "RNN"]))
    if operator == "RNN":
        names = draw(st.none() | st.tuples(st.sampled_from(["Tanh", "Relu", "Sigmoid"])))
    else:
        names = draw(st.sampled_from([None, NAMES[operator]]))
    if names:
        names = draw(st.sampled_from([names, tuple(map(str.upper, names)), tuple(map(str.lower, names))]))
    initial = draw(st.sampled_from([None, "one", "zeros", "rows", "shape"]))
    static = draw(st.booleans()) or initial == "rows"
    readout = draw(st.sampled_from(["final", "gather", "slice", "mean", "max", "every"]))
    opset = draw(st.sampled_from([8, 11, 13, 17, 18]))
    layout = draw(st.integers(0, 1)) if opset >= 14 else 0
    return Options(
        operator=operator,
        direction=draw(st.sampled_from(["forward", "reverse", "bidirectional"])),
        linear_before_reset=draw(st.integers(0, 1)),
        activations=names,
        initial=initial,
        bias=draw(st.booleans()),
        layout=layout,
        depth=draw(st.integers(1, 3)),
        before=draw(st.sampled_from(["", "dense", "relu", "scale"])),
        readout=readout,
        after=tuple(draw(st.lists(st.sampled_from(["relu", "tanh", "sigmoid"]), max_size=2))),
        # Up to operator set 12 a softmax over one of three axes is another function.
        softmax=draw(st.sampled_from([None, "Softmax", "LogSoftmax"])),
        opset=opset,
        static=static,
        batch=1 if initial in ("one", "zeros") else draw(st.integers(1, 3)),
        time=draw(st.integers(1, 4)),
        seed=draw(st.integers(0, 99)),
    )


@given(model_options())
def test_the_normal_form_gives_what_the_runtimes_give(tmp_path_factory, options):
    folder = tmp_path_factory.mktemp("onnx")
    # Neither runtime knows all spellings of the names, so they run them as the specification writes them.
    plain = _with(options, activations=options.activations and tuple(map(str.capitalize, options.activations)))
    exact, single = build(plain, "float64"), build(plain, "float32")
    read = load(build(options, "float64"), folder)
    assert {load(exact, folder).digest(), load(single, folder).digest()} == {read.digest()}
    assert difference(options, read, "float64", exact) <= 1
    if not options.layout:
        assert difference(options, read, "float32", single) <= 1
    assert (read.stored_dtype, load(single, folder).stored_dtype) == ("float64", "float32")
    # the form itself, where it is known from the options
    assert len(read.layers) == options.depth
    assert [d.reverse for d in read.layers[0]] == {"forward": [False], "reverse": [True]}.get(
        options.direction, [False, True]
    )
    expected = {"gather": "last_frame", "slice": "last_frame"}.get(options.readout, options.readout)
    if expected == "last_frame" and options.direction == "forward":
        expected = "final"
    assert read.readout == expected
    assert len(read.before) == {"": 0, "dense": 1, "relu": 2, "scale": 2}[options.before]
    assert len(read.after) == 2 * len(options.after) + 1
    cell = {"LSTM": "lstm", "GRU": ["gru_reset_before", "gru"][options.linear_before_reset]}.get(options.operator)
    assert read.layers[0][0].cell == (cell or f"rnn_{(options.activations or ('tanh',))[0].lower()}")
    assert (read.layers[0][0].initial_hidden is None) == (options.initial in (None, "zeros"))


@given(model_options())
def test_batch_first_graphs_are_the_same_networks(tmp_path_factory, options):
    folder = tmp_path_factory.mktemp("onnx")
    forms = [load(build(_with(options, layout=layout, opset=17)), folder) for layout in (0, 1)]
    assert forms[0].digest() == forms[1].digest()


def _with(options, **changes):
    return Options(**{**vars(options), **changes})


@pytest.mark.parametrize("operator", ["LSTM", "GRU"])
def test_gates_in_a_wrong_order_are_found(tmp_path, monkeypatch, operator):
    options = Options(operator, depth=2)
    model = build(options)
    assert difference(options, load(model, tmp_path), "float32", model) <= 1
    order = recurrent.GATE_ORDERS[operator]
    monkeypatch.setitem(recurrent.GATE_ORDERS, operator, (order[1], order[0], *order[2:]))
    assert difference(options, load(model, tmp_path), "float32", model) > 1000


@pytest.mark.parametrize("name", SHARED)
def test_shared_models(shared_data, name):
    path = shared_data / "models" / "starv" / f"{name}.onnx"
    read = load_onnx(path)
    stored = onnx.load(path)
    x = np.random.default_rng(1).uniform(0, 1, (2, 1, 392)).astype(np.float32)
    expected = run(stored, **{stored.graph.input[0].name: x})
    found = torch.softmax(read.logits(torch.from_numpy(x.transpose(1, 0, 2))), 1).numpy()
    assert np.all(np.abs(expected - found) <= allowed("float32", 1))
    assert (read.readout, read.classes, read.input_size, read.stored_dtype) == ("final", 10, 392, "float32")
    assert read.layers[0][0].cell == ("gru" if "GRU" in name else "lstm")


# single graphs: each entry makes the output from x (time, batch, INPUTS); the runtime says what is right


def head(graph, value, inside=HIDDEN):
    return graph.dense(value, inside, CLASSES)


def two_nodes_joined(graph, x):
    ahead = graph.squeeze(graph.cell("GRU", x, INPUTS)[0], 1)
    back = graph.squeeze(graph.cell("LSTM", x, INPUTS, direction="reverse")[0], 1)
    above = graph.squeeze(graph.cell("RNN", graph.add("Concat", back, ahead, axis=-1), 2 * HIDDEN)[1], 0)
    return head(graph, above)


def two_final_states_backward_first(graph, x):
    ahead = graph.cell("LSTM", x, INPUTS)[1]
    back = graph.cell("LSTM", x, INPUTS, direction="reverse")[1]
    return head(graph, graph.squeeze(graph.add("Concat", back, ahead, axis=2), 0), 2 * HIDDEN)


def directions_summed(graph, x):
    outputs = graph.cell("LSTM", x, INPUTS, directions=2)[0]
    ahead, back = graph.add("Split", outputs, graph.integers(1, 1), outputs=2, axis=1)
    return head(graph, graph.squeeze(graph.add("Add", ahead, back), 1))


def only_the_backward_direction(graph, x):
    states = graph.cell("GRU", x, INPUTS, directions=2)[1]
    return head(graph, graph.add("Gather", states, graph.store(np.array(-1)), axis=0))


def last_forward_and_first_backward_output(graph, x):
    outputs = graph.cell("GRU", x, INPUTS, directions=2)[0]
    last = graph.add("Gather", outputs, graph.store(np.array(-1)), axis=0)
    first = graph.add("Gather", outputs, graph.store(np.array(0)), axis=0)
    ends = [graph.squeeze(graph.slice(v, k, k + 1, 0), 0) for k, v in enumerate((last, first))]
    return head(graph, graph.add("Concat", *ends, axis=1), 2 * HIDDEN)


def each_direction_its_own_activation(graph, x):
    outputs = graph.cell("RNN", x, INPUTS, directions=2, activations=["Relu", "Sigmoid"])[0]
    outputs = graph.add("Reshape", graph.add("Transpose", outputs, perm=[0, 2, 1, 3]), graph.integers(0, 0, -1))
    return head(graph, outputs, 2 * HIDDEN)


def some_outputs_of_the_layer_below(graph, x):
    outputs = graph.squeeze(graph.cell("RNN", x, INPUTS, hidden=4)[0], 1)
    some = graph.add("Gather", outputs, graph.integers(3, 0), axis=2)
    return head(graph, graph.squeeze(graph.cell("RNN", some, 2)[1], 0))


def linear_then_mean(graph, x):
    return graph.add(
        "ReduceMean", head(graph, graph.squeeze(graph.cell("LSTM", x, INPUTS)[0], 1)), axes=[0], keepdims=0
    )


def relu_then_max(graph, x):
    outputs = graph.add("Relu", graph.squeeze(graph.cell("LSTM", x, INPUTS, directions=1)[0], 1))
    return head(graph, graph.add("ReduceMax", outputs, axes=[0], keepdims=0))


def head_then_last_frame(graph, x):
    values = graph.add("Relu", graph.dense(graph.squeeze(graph.cell("LSTM", x, INPUTS)[0], 1), HIDDEN, 4))
    return graph.add("Softmax", graph.add("Gather", head(graph, values, 4), graph.store(np.array(-1)), axis=0), axis=1)


def head_on_joined_samples_and_frames(graph, x):
    outputs = graph.squeeze(graph.cell("LSTM", x, INPUTS)[0], 1)
    rows = graph.gemm(graph.add("Reshape", outputs, graph.integers(-1, HIDDEN)), HIDDEN, CLASSES)
    shape = graph.slice(graph.add("Shape", outputs), 0, 2, 0)
    return graph.add("Reshape", rows, graph.add("Concat", shape, graph.integers(-1), axis=0))


def no_head(graph, x):
    return graph.squeeze(graph.cell("GRU", x, INPUTS)[1], 0)


def activation_last(graph, x):
    return graph.add("Sigmoid", head(graph, graph.squeeze(graph.cell("GRU", x, INPUTS)[1], 0)))


def nothing_nodes(graph, x):
    states = graph.add("Identity", graph.squeeze(graph.cell("GRU", graph.add("Dropout", x), INPUTS)[1], 0))
    states = graph.add("Cast", graph.add("Dropout", states, graph.store(np.array(0.5))), to=TensorProto.FLOAT)
    return head(graph, graph.add("Flatten", states))


def unused_nodes(graph, x):
    graph.add("Celu", x)
    return no_head(graph, x)


def biases_left_of_the_sum(graph, x):
    states = graph.squeeze(graph.cell("GRU", x, INPUTS)[1], 0)
    product = graph.add("MatMul", states, graph.weights(HIDDEN, CLASSES))
    total = graph.add("Add", graph.weights(1, CLASSES), product)
    return graph.add("Sub", graph.weights(CLASSES), graph.add("Div", total, graph.store(np.array(4.0))))


def full_lengths(graph, x):
    lengths = graph.add(
        "Expand", graph.slice(graph.add("Shape", x), 0, 1, 0), graph.slice(graph.add("Shape", x), 1, 2, 0)
    )
    lengths = graph.add("Cast", lengths, to=TensorProto.INT32)
    return head(graph, graph.squeeze(graph.cell("GRU", x, INPUTS, sequence_lens=lengths)[1], 0))


def zeros_by_shape(graph, x):
    batch = graph.slice(graph.add("Shape", x), 1, 2, 0)
    shape = graph.add("Concat", graph.integers(1), batch, graph.integers(HIDDEN), axis=0)
    zeros = graph.add("ConstantOfShape", shape)
    return head(graph, graph.squeeze(graph.cell("LSTM", x, INPUTS, initial_h=zeros, initial_c=zeros)[1], 0))


def weights_put_together(graph, x):
    """As exporters without constant folding do."""
    w = graph.unsqueeze(
        graph.add("Concat", graph.slice(graph.weights(9, INPUTS), 0, 2, 0), graph.weights(4, INPUTS), axis=0), 0
    )
    r = graph.add("Transpose", graph.weights(1, HIDDEN, 6), perm=[0, 2, 1])
    states = graph.add("GRU", x, w, r, outputs=2, hidden_size=HIDDEN)[1]
    return head(graph, graph.squeeze(states, 0))


SINGLE = [
    two_nodes_joined,
    two_final_states_backward_first,
    directions_summed,
    only_the_backward_direction,
    last_forward_and_first_backward_output,
    each_direction_its_own_activation,
    some_outputs_of_the_layer_below,
    linear_then_mean,
    relu_then_max,
    head_then_last_frame,
    head_on_joined_samples_and_frames,
    no_head,
    activation_last,
    nothing_nodes,
    unused_nodes,
    biases_left_of_the_sum,
    full_lengths,
    zeros_by_shape,
    weights_put_together,
]


@pytest.mark.parametrize("shape", [["t", "b"], [4, 3], [4, 1], [1, "b"], [3, 3]], ids=str)
@pytest.mark.parametrize("make", SINGLE, ids=lambda make: make.__name__)
def test_single_graphs(tmp_path, make, shape):
    graph = Graph()
    model = graph.model(make(graph, graph.input([*shape, INPUTS])))
    read = load(model, tmp_path)
    time, batch = (n if isinstance(n, int) else 5 for n in shape)
    x = np.random.default_rng(3).uniform(-2, 2, (time, batch, INPUTS)).astype(np.float32)
    expected = run(model, x=x)
    found = read.logits(torch.from_numpy(x).transpose(0, 1))
    found = found.transpose(0, 1) if read.readout == "every" else found
    found = softmaxed(found, "Softmax" if make is head_then_last_frame else None).numpy()
    assert expected.shape == found.shape
    assert np.all(np.abs(expected - found) <= allowed("float32", expected))


def test_one_direction_that_is_not_read_is_left_out(tmp_path):
    graph = Graph()
    read = load(graph.model(only_the_backward_direction(graph, graph.input(["t", "b", INPUTS]))), tmp_path)
    assert [d.reverse for d in read.layers[0]] == [True]


def test_two_nodes_become_one_layer(tmp_path):
    graph = Graph()
    read = load(graph.model(two_nodes_joined(graph, graph.input(["t", "b", INPUTS]))), tmp_path)
    assert read.structure() == "|gru_reset_before>,lstm<;rnn_tanh>|final|dense"


def test_embedding(tmp_path):
    graph = Graph()
    tokens = graph.input(["b", "t"], kind=TensorProto.INT64)
    vectors = graph.add("Gather", graph.weights(11, INPUTS), tokens)
    states = graph.cell("LSTM", graph.add("Transpose", vectors, perm=[1, 0, 2]), INPUTS)[1]
    model = graph.model(head(graph, graph.squeeze(states, 0)))
    read = load(model, tmp_path)
    x = np.random.default_rng(0).integers(0, 11, (2, 5))
    assert read.embedding is not None
    expected = run(model, x=x)
    assert np.all(np.abs(expected - read.logits(read.embedding[x]).numpy()) <= allowed("float32", expected))


@pytest.mark.parametrize("way", ["row", "one_sample", "images"])
def test_inputs_of_other_axes(tmp_path, way):
    """Rows that the graph cuts into frames, one sample without its axis, an axis of one channel."""
    graph = Graph()
    if way == "row":
        x = graph.add("Reshape", graph.input(["b", 2 * INPUTS]), graph.integers(-1, 2, INPUTS))
        x = graph.add("Transpose", x, perm=[1, 0, 2])
        shape = (4, 2 * INPUTS)
    elif way == "one_sample":
        x = graph.unsqueeze(graph.input(["t", INPUTS]), 1)
        shape = (2, INPUTS)
    else:
        x = graph.add("Transpose", graph.squeeze(graph.input(["b", 1, 2, INPUTS]), 1), perm=[1, 0, 2])
        shape = (4, 1, 2, INPUTS)
    states = graph.squeeze(graph.cell("GRU", x, INPUTS, directions=1)[1], 0)
    model = graph.model(head(graph, states))
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    expected = run(model, x=x)
    found = load(model, tmp_path).logits(torch.from_numpy(x.reshape(-1, 2, INPUTS))).numpy()
    assert np.all(np.abs(expected - found) <= allowed("float32", expected))


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "float64"])
def test_weights_are_widened_exactly(tmp_path, kind):
    options = Options("GRU", bias=False)
    model = build(options)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = torch.from_numpy(numpy_helper.to_array(tensor).copy()).to(getattr(torch, kind))
            code = {"bfloat16": TensorProto.BFLOAT16}.get(kind) or helper.np_dtype_to_tensor_dtype(np.dtype(kind))
            raw = values.view(torch.int16) if kind == "bfloat16" else values
            tensor.CopyFrom(helper.make_tensor(tensor.name, code, tensor.dims, raw.numpy().tobytes(), raw=True))
    read = load(model, tmp_path)
    assert read.stored_dtype == kind
    (weight,) = (t for t in model.graph.initializer if tuple(t.dims) == (1, 3 * HIDDEN, HIDDEN))
    z, r, h = np.split(numpy_helper.to_array(weight)[0].astype(np.float64), 3)
    assert np.array_equal(read.layers[0][0].weight_hh.numpy(), np.concatenate([r, z, h]))


def test_several_outputs_are_told_apart_by_name(tmp_path):
    graph = Graph()
    states = graph.squeeze(graph.cell("GRU", graph.input(["t", "b", INPUTS]), INPUTS)[1], 0)
    names = [graph.gemm(states, HIDDEN, n) for n in (2, 3)]
    model = graph.model(*names)
    assert [load(model, tmp_path, output=name).classes for name in names] == [2, 3]


def test_the_file_is_not_modified_and_weights_have_their_own_memory(tmp_path):
    model = build(Options())
    first = load(model, tmp_path)
    first.head.weight.zero_()
    assert load(model, tmp_path).digest() != first.digest()
    assert (tmp_path / "model.onnx").read_bytes() == model.SerializeToString()


# PyTorch's exporter


class Exported(nn.Module):
    def __init__(self, cell, read, start=None, embedding=False, front=False, **options):
        super().__init__()
        self.read, self.start = read, start
        self.embedding = nn.Embedding(7, INPUTS) if embedding else None
        self.front = nn.Linear(INPUTS, INPUTS) if front else None
        self.cell = cell(INPUTS, 4, **options)
        directions = 2 if options.get("bidirectional") else 1
        self.states = options.get("num_layers", 1) * directions
        self.first = nn.Parameter(torch.randn(self.states, 1, 4))
        self.head = nn.Linear(4 * directions, CLASSES)

    def forward(self, x):
        if self.embedding is not None:
            x = self.embedding(x)
        if self.front is not None:
            x = torch.relu(self.front(x))
        start = None
        if self.start is not None:
            batch = x.shape[0] if self.cell.batch_first else x.shape[1]
            start = (
                torch.zeros(self.states, batch, 4)
                if self.start == "zeros"
                else self.first.expand(-1, batch, -1).contiguous()
            )
            start = (start, start) if isinstance(self.cell, nn.LSTM) else start
        outputs, states = self.cell(x, start)
        return self.head(self.read(outputs, states[0] if isinstance(states, tuple) else states))


EXPORTS = {
    "last frame": (nn.LSTM, lambda o, h: o[:, -1], {"batch_first": True, "num_layers": 2}),
    "both ends": (
        nn.GRU,
        lambda o, h: torch.cat([h[-2], h[-1]], 1),
        {"batch_first": True, "bidirectional": True, "num_layers": 2, "start": "parameter"},
    ),
    "view": (
        nn.LSTM,
        lambda o, h: h.view(2, 2, -1, 4)[-1].transpose(0, 1).flatten(1),
        {"bidirectional": True, "num_layers": 2},
    ),
    "mean": (nn.RNN, lambda o, h: o.mean(1), {"batch_first": True, "nonlinearity": "relu", "bias": False}),
    "max": (nn.RNN, lambda o, h: o.max(0)[0], {"bidirectional": True, "dropout": 0.0, "front": True}),
    "every": (nn.LSTM, lambda o, h: o, {"batch_first": True, "start": "zeros", "embedding": True}),
    "every, frames first": (nn.GRU, lambda o, h: o, {"num_layers": 2, "start": "parameter"}),
}


@pytest.mark.parametrize("folded", [True, False], ids=["folded", "unfolded"])
@pytest.mark.parametrize("dynamic", [True, False], ids=["dynamic", "static"])
@pytest.mark.parametrize("name", EXPORTS)
def test_exports_of_pytorch(tmp_path, name, dynamic, folded):
    cell, read, options = EXPORTS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = Exported(cell, read, **options).eval()
        x = torch.randint(0, 7, (2, 5)) if options.get("embedding") else torch.randn(2, 5, INPUTS)
    stored = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own: deprecated, and warnings about its traces
        axes = {"x": {0: "first", 1: "second"}} if dynamic else None
        torch.onnx.export(
            module,
            (x,),
            stored,
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes=axes,
            do_constant_folding=folded,
        )
    (tmp_path / "model.onnx").write_bytes(stored.getvalue())
    form = load_onnx(tmp_path / "model.onnx")
    with torch.no_grad():
        expected = module(x).double().numpy()
    vectors = x.double() if form.embedding is None else form.embedding[x]
    batch_first = module.cell.batch_first
    found = form.logits(vectors if batch_first else vectors.transpose(0, 1))
    found = (found.transpose(0, 1) if form.readout == "every" and not batch_first else found).numpy()
    assert np.all(np.abs(expected - found) <= allowed("float32", expected))
