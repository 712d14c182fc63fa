"""What each supported ONNX operator makes of abstract tensors. An operator without an entry is refused."""

from __future__ import annotations

from typing import Final

from gpu_engine.onnx_loading import computing, lengths, moving
from gpu_engine.onnx_loading.nodes import Node
from gpu_engine.onnx_loading.recurrent import recurrent
from gpu_engine.onnx_loading.state import Handler, State
from gpu_engine.onnx_loading.values import Refusal, Value


def evaluate(node: Node, state: State) -> tuple[Value, ...]:
    """The node's outputs, in order (later ones may be left out). Raises Refusal."""
    handler = OPERATORS.get(node.operator)
    if handler is None:
        raise Refusal(
            f"the operator {node.operator} is not supported; supported are {', '.join(sorted(OPERATORS))}. Export the "
            "model without it, or apply it to the data"
        )
    outputs = handler(node, state)
    node.finish()
    return outputs


def _recurrent(node: Node, state: State) -> tuple[Value, ...]:
    return recurrent(node, state.elements, state.roles)


OPERATORS: Final[dict[str, Handler]] = {
    "Add": computing.add,
    "Cast": lengths.cast,
    "Concat": moving.concat,
    "Constant": lengths.stored,
    "ConstantOfShape": lengths.constant_of_shape,
    "Div": computing.div,
    "Dropout": moving.dropout,
    "Equal": lengths.equal,
    "Expand": lengths.expand,
    "Flatten": moving.flatten,
    "GRU": _recurrent,
    "Gather": moving.gather,
    "Gemm": computing.gemm,
    "Identity": moving.identity,
    "LSTM": _recurrent,
    "LogSoftmax": computing.softmax,
    "MatMul": computing.matmul,
    "Mul": computing.mul,
    "RNN": _recurrent,
    "ReduceMax": computing.over_time("max", 18),
    "ReduceMean": computing.over_time("mean", 18),
    "Relu": computing.activation("relu"),
    "Reshape": moving.reshape,
    "Shape": lengths.shape,
    "Sigmoid": computing.activation("sigmoid"),
    "Slice": moving.slice_,
    "Softmax": computing.softmax,
    "Split": moving.split,
    "Squeeze": moving.squeeze,
    "Sub": computing.sub,
    "Tanh": computing.activation("tanh"),
    "Transpose": moving.transpose,
    "Unsqueeze": moving.unsqueeze,
    "Where": lengths.where,
}
