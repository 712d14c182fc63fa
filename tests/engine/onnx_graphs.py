"""ONNX models for tests, built node by node with onnx.helper, and the tools that run them.

onnxruntime runs recurrent nodes in float32 only (and layout 0 only); onnx's own reference evaluator runs them in
float64. So the same weights are stored in both kinds, and each model is held against both.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnxruntime
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.ops.op_rnn import CommonRNN

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
CLASSES, HIDDEN, INPUTS = 3, 2, 3

ROUNDINGS = 64
"""Allowed difference in units of the kind's rounding times 1 + |logit|.

The largest difference seen in 250 random models is 3 units, in either kind; gates in a wrong order give 10^4 and
more of float32.
"""


class Graph:
    """Collects nodes and stored tensors. Names count up, so that messages can be compared."""

    def __init__(self, dtype="float32", opset=17, seed=0):
        self.dtype, self.opset = dtype, opset
        self.nodes, self.tensors, self.inputs = [], [], []
        self.random = np.random.default_rng(seed)

    def add(self, operator, *inputs, outputs=1, domain="", **attributes):
        """The names of a node's outputs; one name if there is one. Missing inputs are ''."""
        number = len(self.nodes)
        names = [f"{operator.lower()}{number}_{k}" for k in range(outputs)]
        node = helper.make_node(
            operator, inputs, names, name=f"{operator.lower()}{number}", domain=domain, **attributes
        )
        self.nodes.append(node)
        return names[0] if outputs == 1 else names

    def store(self, array, name=None):
        array = np.asarray(array)
        name = name or f"tensor{len(self.tensors)}"
        if array.dtype.kind == "f":
            array = array.astype(self.dtype)
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def weights(self, *shape):
        """Random float32 values, whatever the kind they are stored as."""
        return self.store(self.random.uniform(-1, 1, shape).astype(np.float32))

    def integers(self, *values):
        return self.store(np.array(values, dtype=np.int64))

    def input(self, shape, name="x", kind=None):
        kind = kind or (TensorProto.FLOAT if self.dtype == "float32" else TensorProto.DOUBLE)
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def listed(self, operator, value, axes, since, **attributes):
        """A node whose axes are an attribute in older operator sets and an input from `since` on."""
        if self.opset < since:
            return self.add(operator, value, axes=axes, **attributes)
        return self.add(operator, value, self.integers(*axes), **attributes)

    def squeeze(self, value, *axes):
        return self.listed("Squeeze", value, axes, since=13)

    def unsqueeze(self, value, *axes):
        return self.listed("Unsqueeze", value, axes, since=13)

    def slice(self, value, start, end, axis):
        if self.opset < 10:
            return self.add("Slice", value, starts=[start], ends=[end], axes=[axis])
        return self.add("Slice", value, *(self.integers(k) for k in (start, end, axis)))

    def dense(self, value, inside, outside):
        """MatMul and Add, for any number of axes."""
        product = self.add("MatMul", value, self.weights(inside, outside))
        return self.add("Add", product, self.weights(outside))

    def gemm(self, value, inside, outside):
        return self.add("Gemm", value, self.weights(outside, inside), self.weights(outside), transB=1)

    def cell(self, operator, value, inputs, directions=1, hidden=HIDDEN, bias=True, **attributes):
        """Y and Y_h of a recurrent node. More inputs: sequence_lens=, initial_h=, initial_c=, peepholes=."""
        rows = GATES[operator] * hidden
        optional = [attributes.pop(k, "") for k in ("sequence_lens", "initial_h", "initial_c", "peepholes")]
        names = [
            value,
            self.weights(directions, rows, inputs),
            self.weights(directions, rows, hidden),
            self.weights(directions, 2 * rows) if bias else "",
            *optional,
        ]
        while not names[-1]:
            names.pop()
        if directions == 2:
            attributes["direction"] = "bidirectional"
        return self.add(operator, *names, outputs=2, hidden_size=hidden, **attributes)

    def model(self, *outputs) -> ModelProto:
        kind = TensorProto.FLOAT if self.dtype == "float32" else TensorProto.DOUBLE
        infos = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "test", self.inputs, infos, self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


@dataclass(frozen=True)
class Options:
    """One model: see `build`."""

    operator: str = "LSTM"
    direction: str = "forward"
    linear_before_reset: int = 1
    activations: tuple[str, ...] | None = None
    """One name for each function of one direction, or None for the defaults."""
    initial: str | None = None  # one | zeros | rows | shape
    bias: bool = True
    layout: int = 0
    depth: int = 1
    before: str = ""  # dense | relu | scale
    readout: str = "final"  # gather | slice | mean | max | every
    after: tuple[str, ...] = ()  # relu | tanh | sigmoid, each behind a linear layer
    softmax: str | None = None
    opset: int = 17
    static: bool = False
    batch: int = 2
    time: int = 3
    seed: int = field(default=0, repr=False)

    @property
    def directions(self):
        return 2 if self.direction == "bidirectional" else 1


def build(options: Options, dtype="float32") -> ModelProto:
    """x (time, batch, INPUTS), or batch first with layout 1 -> y."""
    graph = Graph(dtype, options.opset, options.seed)
    shape = [options.time, options.batch] if options.static else ["t", "b"]
    value = graph.input([*(reversed(shape) if options.layout else shape), INPUTS])
    if options.before == "scale":
        value = graph.add("Mul", graph.add("Sub", value, graph.weights(INPUTS)), graph.weights(1))
    elif options.before:
        value = graph.dense(value, INPUTS, INPUTS)
        if options.before == "relu":
            value = graph.add("Relu", value)
    size = INPUTS
    width = HIDDEN * options.directions
    for _ in range(options.depth):
        outputs, states = _layer(graph, options, value, size)
        # (time, directions, batch, hidden) or (batch, time, directions, hidden)
        value = outputs if options.layout else graph.add("Transpose", outputs, perm=[0, 2, 1, 3])
        value = graph.add("Reshape", value, graph.integers(0, 0, -1))
        size = width
    value = _read(graph, options, value, states)
    for activation in options.after:
        value = graph.add(activation.capitalize(), graph.dense(value, size, size + 1))
        size += 1
    use_gemm = options.readout != "every" and options.seed % 2
    value = (graph.gemm if use_gemm else graph.dense)(value, size, CLASSES)
    if options.softmax:
        value = graph.add(options.softmax, value, axis=2 if options.readout == "every" else 1)
    return graph.model(value)


def _layer(graph, options, value, size):
    attributes = {}
    if options.operator == "GRU" and (options.linear_before_reset or options.seed % 2):
        attributes["linear_before_reset"] = options.linear_before_reset
    if options.activations is not None:
        attributes["activations"] = options.activations * options.directions
    if options.direction == "reverse":
        attributes["direction"] = "reverse"
    if options.layout:
        attributes["layout"] = 1
    if options.initial:
        attributes["initial_h"] = _initial(graph, options, value)
        if options.operator == "LSTM":
            attributes["initial_c"] = _initial(graph, options, value)
    return graph.cell(options.operator, value, size, options.directions, bias=options.bias, **attributes)


def _initial(graph, options, value):
    """Start states (directions, batch, hidden), or batch first with layout 1."""
    state = graph.random.uniform(-1, 1, (options.directions, 1, HIDDEN)).astype(np.float32)
    if options.initial == "zeros":
        state = np.zeros_like(state)
    if options.layout:
        state = state.transpose(1, 0, 2)
    if options.initial in ("one", "zeros"):  # for one sample
        return graph.store(state)
    if options.initial == "rows":
        return graph.store(np.repeat(state, options.batch, axis=0 if options.layout else 1))
    shape = graph.add("Shape", value)
    batch = graph.unsqueeze(graph.add("Gather", shape, graph.store(np.array(0 if options.layout else 1))), 0)
    one = graph.integers(1)
    return graph.add(
        "Expand",
        graph.store(state),
        graph.add("Concat", one, batch, one, axis=0)
        if not options.layout
        else graph.add("Concat", batch, one, one, axis=0),
    )


def _read(graph, options, value, states):
    """value: outputs of the top layer (time, batch, size), or batch first; states: Y_h."""
    time = options.layout
    if options.readout == "final":
        if options.directions == 1:
            return graph.squeeze(states, options.layout)
        if options.seed % 2:
            ends = [graph.add("Gather", states, graph.store(np.array(k)), axis=options.layout) for k in (0, -1)]
            return graph.add("Concat", *ends, axis=1)
        if not options.layout:
            states = graph.add("Transpose", states, perm=[1, 0, 2])
        return graph.add("Flatten", states, axis=1)
    if options.readout == "gather":
        return graph.add("Gather", value, graph.store(np.array(-1)), axis=time)
    if options.readout == "slice":
        return graph.squeeze(graph.slice(value, -1, 2**31 - 1, time), time)
    if options.readout in ("mean", "max"):
        operator = f"Reduce{options.readout.capitalize()}"
        if options.seed % 2:
            return graph.squeeze(graph.listed(operator, value, [time], since=18), time)
        return graph.listed(operator, value, [time], since=18, keepdims=0)
    return value


def frames(options: Options) -> np.ndarray:
    """Random frames (batch, time, INPUTS), float32 values in float64."""
    random = np.random.default_rng(options.seed + 1)
    return random.uniform(-2, 2, (options.batch, options.time, INPUTS)).astype(np.float32).astype(np.float64)


class RNN(CommonRNN):
    """The reference's own RNN knows tanh only."""

    op_domain = ""

    def choose_act(self, name, alpha, beta):
        known = {"Tanh": np.tanh, "Relu": lambda v: np.maximum(v, 0), "Sigmoid": lambda v: 1 / (1 + np.exp(-v))}
        return known[name]


def run(model: ModelProto, **inputs) -> np.ndarray:
    """The first output: by onnxruntime in float32, else by onnx's reference evaluator."""
    if any(tensor.data_type == TensorProto.DOUBLE for tensor in model.graph.initializer):
        return ReferenceEvaluator(model, new_ops=[RNN]).run(None, inputs)[0]
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def allowed(kind, values) -> np.ndarray:
    """The rounding bound for outputs computed in a kind."""
    return ROUNDINGS * np.finfo(kind).eps * (1 + np.abs(values))
