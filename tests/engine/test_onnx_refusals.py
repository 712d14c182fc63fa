"""What is not understood in an ONNX file is refused with the node's name; damaged files end in one error."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from gpu_engine.errors import ModelError
from gpu_engine.onnx_loading import load_onnx
from tests.engine.onnx_graphs import CLASSES, HIDDEN, INPUTS, Graph, Options, build


def load(model, folder, **options):
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return load_onnx(path, **options)


def with_cell(operator, **attributes):
    """A classifier whose recurrent node has more attributes or inputs; made(graph) makes an input."""

    def make(graph):
        x = graph.input(["t", "b", INPUTS])
        made = {name: value(graph) if callable(value) else value for name, value in attributes.items()}
        outputs = graph.cell(operator, x, INPUTS, **made)
        return graph.dense(graph.squeeze(outputs[1], 0), HIDDEN, CLASSES)

    return make


def lstm(graph):
    """x, and the outputs (time, batch, HIDDEN) of an LSTM over it."""
    x = graph.input(["t", "b", INPUTS])
    return x, graph.squeeze(graph.cell("LSTM", x, INPUTS)[0], 1)


def last(graph, value):
    return graph.add("Gather", value, graph.store(np.array(-1)), axis=0)


def on_outputs(change):
    """A classifier whose outputs over time are changed: change(graph, x, outputs) gives the output."""

    def make(graph):
        x, outputs = lstm(graph)
        return change(graph, x, outputs)

    return make


def state_of(graph, *shape):
    return graph.store(graph.random.uniform(-1, 1, shape))


def cell_state(graph):
    x = graph.input(["t", "b", INPUTS])
    weights = [graph.weights(1, 4 * HIDDEN, INPUTS), graph.weights(1, 4 * HIDDEN, HIDDEN)]
    outputs = graph.add("LSTM", x, *weights, outputs=3, hidden_size=HIDDEN)
    return graph.dense(graph.squeeze(outputs[2], 0), HIDDEN, CLASSES)


def stacked_with(between):
    def make(graph):
        _, outputs = lstm(graph)
        above = graph.cell("GRU", between(graph, outputs), HIDDEN)[1]
        return graph.dense(graph.squeeze(above, 0), HIDDEN, CLASSES)

    return make


def given_states(graph):
    x, start = graph.input(["t", "b", INPUTS]), graph.input([1, "b", HIDDEN], name="h0")
    return graph.squeeze(graph.cell("GRU", x, INPUTS, initial_h=start)[1], 0)


def given_lengths(graph):
    x = graph.input(["t", "b", INPUTS])
    lengths = graph.input(["b"], name="lengths", kind=TensorProto.INT32)
    return graph.squeeze(graph.cell("GRU", x, INPUTS, sequence_lens=lengths)[1], 0)


def two_parallel_layers(graph):
    x = graph.input(["t", "b", INPUTS])
    states = [graph.squeeze(graph.cell("GRU", x, INPUTS)[1], 0) for _ in range(2)]
    return graph.dense(graph.add("Concat", *states, axis=1), 2 * HIDDEN, CLASSES)


def skip_connection(graph):
    x = graph.input(["t", "b", HIDDEN])
    outputs = graph.squeeze(graph.cell("GRU", x, HIDDEN)[0], 1)
    return graph.dense(graph.add("Add", x, outputs), HIDDEN, CLASSES)


def no_recurrent_layer(graph):
    return graph.dense(graph.input(["t", "b", INPUTS]), INPUTS, CLASSES)


def tokens_as_numbers(graph):
    tokens = graph.add("Unsqueeze", graph.input(["t", "b"], kind=TensorProto.INT64), graph.integers(2))
    return graph.squeeze(graph.cell("GRU", graph.add("Cast", tokens, to=TensorProto.FLOAT), 1)[1], 0)


def swapped_samples(graph, outputs):
    return graph.add("Transpose", outputs, perm=[1, 0, 2])


def flattened_frames(graph):
    x = graph.input([4, "b", INPUTS])
    outputs = graph.squeeze(graph.cell("GRU", x, INPUTS)[0], 1)
    rows = graph.add("Reshape", graph.add("Transpose", outputs, perm=[1, 0, 2]), graph.integers(-1, 4 * HIDDEN))
    return graph.gemm(rows, 4 * HIDDEN, CLASSES)


def dense_of(graph, value):
    return graph.dense(value, HIDDEN, CLASSES)


REFUSED = {
    # name: (make, words that the message has to hold: the node or operator, and what is wrong or what to do)
    "clip": (with_cell("LSTM", clip=1.0), ("'lstm0' (LSTM)", "clip", "train without")),
    "alpha": (with_cell("RNN", activations=["Tanh"], activation_alpha=[1.0]), ("(RNN)", "activation_alpha")),
    "beta": (with_cell("RNN", activations=["Tanh"], activation_beta=[1.0]), ("(RNN)", "activation_beta")),
    "peepholes": (with_cell("LSTM", peepholes=lambda g: g.weights(1, 3 * HIDDEN)), ("'lstm0' (LSTM)", "peepholes")),
    "input_forget": (with_cell("LSTM", input_forget=1), ("(LSTM)", "input_forget", "train")),
    "hard gates": (
        with_cell("GRU", activations=["HardSigmoid", "Tanh"]),
        ("'gru0' (GRU)", "HardSigmoid", "Sigmoid, Tanh"),
    ),
    "other cell activation": (with_cell("LSTM", activations=["Sigmoid", "Tanh", "Relu"]), ("(LSTM)", "Relu")),
    "softsign RNN": (with_cell("RNN", activations=["Softsign"]), ("(RNN)", "Softsign", "Tanh, Relu, Sigmoid")),
    "too few activations": (with_cell("RNN", directions=2, activations=["Tanh"]), ("(RNN)", "each direction")),
    "direction": (with_cell("RNN", direction="sideways"), ("(RNN)", "'sideways'", "bidirectional")),
    "layout": (with_cell("RNN", layout=2), ("(RNN)", "layout = 2")),
    "linear_before_reset": (with_cell("GRU", linear_before_reset=3), ("(GRU)", "linear_before_reset = 3")),
    "unknown attribute": (with_cell("GRU", zoneout=0.1), ("'gru0' (GRU)", "'zoneout'")),
    "attribute of another kind": (with_cell("GRU", layout=0.0), ("(GRU)", "'layout'", "FLOAT")),
    "states per sample": (
        with_cell("GRU", initial_h=lambda g: state_of(g, 1, 2, HIDDEN)),
        ("(GRU)", "initial_h differs from sample to sample"),
    ),
    "states of another size": (
        with_cell("LSTM", initial_c=lambda g: state_of(g, 1, 1, 5)),
        ("(LSTM)", "initial_c", f"{HIDDEN} units"),
    ),
    "states as inputs": (given_states, ("(GRU)", "initial_h", "constant")),
    "lengths as inputs": (given_lengths, ("(GRU)", "sequence_lens")),
    "lengths": (
        with_cell("GRU", sequence_lens=lambda g: g.store(np.array([2, 1], dtype=np.int32))),
        ("sequence_lens",),
    ),
    "cell state": (cell_state, ("(MatMul)", "Y_c")),
    "first frame": (
        on_outputs(lambda g, x, o: dense_of(g, g.add("Gather", o, g.store(np.array(0)), axis=0))),
        ("(MatMul)", "first frame"),
    ),
    "third frame": (
        on_outputs(lambda g, x, o: g.add("Gather", o, g.store(np.array(2)), axis=0)),
        ("(Gather)", "place 2"),
    ),
    "one sample": (
        on_outputs(lambda g, x, o: g.add("Gather", o, g.store(np.array(0)), axis=1)),
        ("(Gather)", "samples"),
    ),
    "some frames": (on_outputs(lambda g, x, o: g.slice(o, 1, 3, 0)), ("(Slice)", "[1:3:1]", "all frames")),
    "turned frames": (
        on_outputs(lambda g, x, o: g.add("Slice", o, *(g.integers(k) for k in (-1, -(2**31), 0, -1)))),
        ("(Slice)", ":-1]"),
    ),
    "sum over time": (
        on_outputs(lambda g, x, o: g.add("ReduceSum", o, g.integers(0))),
        ("(ReduceSum)", "not supported"),
    ),
    "mean over units": (
        on_outputs(lambda g, x, o: g.add("ReduceMean", o, axes=[2])),
        ("(ReduceMean)", "axis of the frames"),
    ),
    "mean of relu": (
        on_outputs(lambda g, x, o: dense_of(g, g.add("ReduceMean", g.add("Relu", o), axes=[0]))),
        ("(ReduceMean)", "(Relu)", "take the mean first"),
    ),
    "max of linear": (
        on_outputs(lambda g, x, o: g.add("ReduceMax", dense_of(g, o), axes=[0])),
        ("(ReduceMax)", "take the max first"),
    ),
    "mean of the input": (on_outputs(lambda g, x, o: g.add("ReduceMean", x, axes=[0])), ("(ReduceMean)", "recurrent")),
    "softmax inside": (
        on_outputs(lambda g, x, o: dense_of(g, g.add("Softmax", last(g, o), axis=1))),
        ("(MatMul)", "(Softmax)", "last step"),
    ),
    "softmax over time": (
        on_outputs(lambda g, x, o: g.add("Softmax", dense_of(g, o), axis=0)),
        ("(Softmax)", "axis of the classes"),
    ),
    "two softmaxes": (
        on_outputs(lambda g, x, o: g.add("Concat", *(g.add("Softmax", dense_of(g, o)) for _ in range(2)), axis=2)),
        ("output", "together"),
    ),
    "product of signals": (on_outputs(lambda g, x, o: g.add("Mul", o, o)), ("(Mul)", "two signals")),
    "attention": (
        on_outputs(lambda g, x, o: g.add("MatMul", o, g.add("Transpose", o, perm=[0, 2, 1]))),
        ("(MatMul)", "constant matrix"),
    ),
    "division that rounds": (on_outputs(lambda g, x, o: g.add("Div", o, g.store(np.array(3.0)))), ("(Div)", "rounds")),
    "division by zero": (
        on_outputs(lambda g, x, o: g.add("Div", o, g.store(np.array(0.0)))),
        ("(Div)", "powers of two"),
    ),
    "alpha of Gemm": (
        on_outputs(lambda g, x, o: g.add("Gemm", last(g, o), g.weights(HIDDEN, CLASSES), alpha=0.5)),
        ("(Gemm)", "alpha"),
    ),
    "arithmetic on weights": (
        on_outputs(lambda g, x, o: g.add("MatMul", o, g.add("Mul", g.weights(HIDDEN, 3), g.weights(1)))),
        ("(Mul)", "constant folding"),
    ),
    "narrowing": (
        on_outputs(lambda g, x, o: g.add("Cast", o, to=TensorProto.FLOAT16)),
        ("(Cast)", "float16", "rounds"),
    ),
    "training mode": (
        on_outputs(lambda g, x, o: g.add("Dropout", o, g.store(np.array(0.5)), g.store(np.array(True)))),
        ("(Dropout)", "training mode"),
    ),
    "activation": (on_outputs(lambda g, x, o: g.add("LeakyRelu", o)), ("'leakyrelu2' (LeakyRelu)", "not supported")),
    "domain": (
        on_outputs(lambda g, x, o: g.add("FusedGemm", o, domain="com.example")),
        ("'fusedgemm2' (FusedGemm)", "'com.example'"),
    ),
    "linear between layers": (
        stacked_with(lambda g, o: g.dense(o, HIDDEN, HIDDEN)),
        ("(Add)", "between two recurrent layers"),
    ),
    "relu between layers": (stacked_with(lambda g, o: g.add("Relu", o)), ("(Relu)", "between two recurrent layers")),
    "swapped axes": (stacked_with(swapped_samples), ("(GRU)", "batch_first")),
    "the same unit twice": (
        stacked_with(lambda g, o: g.add("Gather", o, g.integers(1, 1), axis=2)),
        ("(GRU)", "same number twice"),
    ),
    "parallel layers": (two_parallel_layers, ("(MatMul)", "'gru0' (GRU) and node 'gru2' (GRU)", "one layer")),
    "skip connection": (skip_connection, ("(Add)", "input 'x'", "together")),
    "all frames at once": (flattened_frames, ("(Reshape)", "frames")),
    "no recurrent layer": (no_recurrent_layer, ("no RNN, LSTM or GRU",)),
    "tokens as numbers": (tokens_as_numbers, ("(Cast)", "int64")),
    "constant output": (lambda g: (g.input(["t", "b", 1]), g.add("Identity", g.weights(1, 3)))[1], ("output", "input")),
    "huge constant": (
        lambda g: g.add("ConstantOfShape", (g.input(["t", "b", 1]), g.integers(1 << 20, 1 << 20))[1]),
        ("(ConstantOfShape)", "elements"),
    ),
    "missing tensor": (lambda g: g.add("Relu", "nowhere"), ("'relu0' (Relu)", "'nowhere'")),
    "no fixed feature size": (lambda g: g.add("Relu", g.input(["t", "b", None])), ("'x'", "fixed length")),
    "integer frames": (
        lambda g: g.add("Relu", g.input(["t", "b", 3], kind=TensorProto.UINT8)),
        ("'x'", "uint8"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_node(tmp_path, name):
    make, words = REFUSED[name]
    graph = Graph()
    with pytest.raises(ModelError) as refusal:
        load(graph.model(make(graph)), tmp_path)
    message = str(refusal.value)
    assert message.startswith(str(tmp_path / "model.onnx"))
    for word in words:
        assert word in message
    assert "not well formed" not in message


def test_nodes_without_a_name_are_named_by_what_they_make(tmp_path):
    graph = Graph()
    model = graph.model(on_outputs(lambda g, x, o: g.add("Celu", o))(graph))
    model.graph.node[-1].ClearField("name")
    with pytest.raises(ModelError, match=r"the node that makes 'celu2_0' \(Celu\)"):
        load(model, tmp_path)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("name", ["W", "R", "B"])
def test_weights_of_a_wrong_shape(tmp_path, name, axis):
    model = build(Options("GRU"))
    stored = model.graph.node[0].input["XWRB".index(name)]
    (tensor,) = (t for t in model.graph.initializer if t.name == stored)
    array = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(np.delete(array, 0, axis=min(axis, array.ndim - 1)), stored))
    with pytest.raises(ModelError, match=r"'gru0' \(GRU\): (W|R|B) has shape"):
        load(model, tmp_path)


def test_weights_that_are_not_finite(tmp_path):
    model = build(Options())
    (tensor,) = (t for t in model.graph.initializer if tuple(t.dims) == (1, 4 * HIDDEN, HIDDEN))
    array = numpy_helper.to_array(tensor).copy()
    array[0, 1, 1] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    with pytest.raises(ModelError, match=rf"'lstm0' \(LSTM\): tensor '{tensor.name}'\[0, 1, 1\] is nan"):
        load(model, tmp_path)


@pytest.mark.parametrize("kind", ["INT8", "FLOAT8E4M3FN", "STRING"])
def test_weights_of_other_kinds(tmp_path, kind):
    model = build(Options())
    tensor = model.graph.initializer[0]
    tensor.data_type = getattr(TensorProto, kind)
    with pytest.raises(ModelError, match=f"'lstm0'.*'{tensor.name}' is stored as {kind.lower()}.*unquantised"):
        load(model, tmp_path)


def test_sparse_weights(tmp_path):
    model = build(Options())
    tensor = model.graph.initializer[0]
    name = tensor.name
    values = numpy_helper.from_array(np.ones(1, dtype=np.float32), name)
    places = numpy_helper.from_array(np.zeros(1, dtype=np.int64))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, tensor.dims))
    del model.graph.initializer[0]
    with pytest.raises(ModelError, match=f"'{name}' is stored as a sparse tensor"):
        load(model, tmp_path)


def test_operator_sets(tmp_path):
    for version, found in ((6, "6"), (99, "99")):
        model = build(Options())
        model.opset_import[0].version = version
        with pytest.raises(ModelError, match=f"operator set {found}; supported are 7 to"):
            load(model, tmp_path)
    del model.opset_import[:]
    with pytest.raises(ModelError, match="operator set none"):
        load(model, tmp_path)


def test_functions_of_the_model_s_own(tmp_path):
    """One of them could stand for LSTM itself."""
    model = build(Options())
    node = helper.make_node("Relu", ["a"], ["b"])
    model.functions.append(helper.make_function("", "LSTM", ["a"], ["b"], [node], [helper.make_opsetid("", 17)]))
    with pytest.raises(ModelError, match="inline"):
        load(model, tmp_path)


def test_outputs_have_to_be_chosen(tmp_path):
    graph = Graph()
    states = graph.squeeze(graph.cell("GRU", graph.input(["t", "b", INPUTS]), INPUTS)[1], 0)
    model = graph.model(states, graph.dense(states, HIDDEN, CLASSES))
    with pytest.raises(ModelError, match="2 outputs"):
        load(model, tmp_path)
    with pytest.raises(ModelError, match="no output 'z'; there are 'squeeze1_0', 'add3_0'"):
        load(model, tmp_path, output="z")


def test_a_name_made_twice(tmp_path):
    model = build(Options())
    model.graph.node.append(model.graph.node[0])
    with pytest.raises(ModelError, match="there already"):
        load(model, tmp_path)


def test_nodes_in_a_wrong_order(tmp_path):
    model = build(Options())
    model.graph.node.reverse()
    with pytest.raises(ModelError, match="no earlier node makes"):
        load(model, tmp_path)


# files


def external(model, folder, location, content=None, **entries):
    """The model with its first tensor stored at a location; content goes to weights.bin."""
    tensor = model.graph.initializer[0]
    raw = numpy_helper.to_array(tensor).tobytes() if content is None else content
    (folder / "weights.bin").write_bytes(raw)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def test_weights_beside_the_model(tmp_path):
    model = build(Options())
    expected = load(model, tmp_path).digest()
    external(model, tmp_path, "weights.bin", offset=0)
    assert load(model, tmp_path).digest() == expected


@pytest.mark.parametrize(
    "location", ["../weights.bin", "/etc/hostname", "sub/../../weights.bin", "link/weights.bin", "", "."]
)
def test_weights_outside_the_folder_are_not_opened(tmp_path, location):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    model = build(Options())
    external(model, tmp_path, location)
    with pytest.raises(ModelError, match="outside the model's folder"):
        load(model, folder)


@pytest.mark.parametrize(
    ("location", "content", "entries", "words"),
    [
        ("nothing.bin", None, {}, "cannot be read"),
        ("weights.bin", b"12", {}, "ends behind the end"),
        ("weights.bin", None, {"offset": 4}, "ends behind the end"),
        ("weights.bin", None, {"offset": -4}, "from -4 on"),
        ("weights.bin", None, {"length": 4}, "to give 4"),
        ("weights.bin", None, {"offset": "many"}, "not well formed"),
    ],
)
def test_weights_beside_the_model_that_do_not_fit(tmp_path, location, content, entries, words):
    model = build(Options())
    external(model, tmp_path, location, content, **entries)
    with pytest.raises(ModelError, match=words):
        load(model, tmp_path)


def test_files_that_are_no_models(tmp_path):
    empty, folder, text = tmp_path / "empty.onnx", tmp_path / "folder", tmp_path / "text.onnx"
    empty.write_bytes(b"")
    folder.mkdir()
    text.write_text("no model at all\n" * 9)
    for path, words in (
        (empty, "is empty"),
        (folder, "is a folder"),
        (tmp_path / "none.onnx", "does not exist"),
        (text, "cannot be read as ONNX|holds no graph"),
    ):
        with pytest.raises(ModelError, match=words) as error:
            load_onnx(path)
        assert str(path) in str(error.value)


def test_without_the_package(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(build(Options()).SerializeToString())
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match="pip install onnx"):
        load_onnx(path)


CONTENT = build(Options("LSTM", initial="shape", depth=2, readout="mean", softmax="Softmax")).SerializeToString()


@given(st.data())
def test_damaged_files_end_in_one_error_or_a_model(tmp_path_factory, data):
    """Cut short, or with bytes changed: nothing but ModelError comes out, and no time or memory runs away."""
    content = bytearray(CONTENT)
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    path.write_bytes(bytes(content))
    try:
        model = load_onnx(path)
    except ModelError as error:
        assert str(path) in str(error)
    else:
        assert model.layers
