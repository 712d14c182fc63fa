"""A GRU classifier as an ONNX file, written by hand in ONNX's own gate order."""

from __future__ import annotations

from pathlib import Path

import torch
from onnx import TensorProto, helper, numpy_helper, save

from gpu_engine.model import RecurrentClassifier

# PyTorch has r, z, n; ONNX z, r, n.
_ORDER = (1, 0, 2)


def save_onnx(path: Path, model: RecurrentClassifier) -> None:
    """One forward GRU layer and one linear head, frames (batch, time, input)."""
    [[cell]] = model.layers
    hidden = cell.hidden_size

    def ordered(weight: torch.Tensor) -> torch.Tensor:
        return torch.cat([weight[hidden * k : hidden * (k + 1)] for k in _ORDER])

    stored = {
        "W": ordered(cell.weight_ih)[None],
        "R": ordered(cell.weight_hh)[None],
        "B": torch.cat((ordered(cell.bias_ih), ordered(cell.bias_hh)))[None],
        "head": model.head.weight,
        "bias": model.head.bias,
    }
    nodes = [
        helper.make_node("Transpose", ["x"], ["frames"], perm=[1, 0, 2]),
        helper.make_node("GRU", ["frames", "W", "R", "B"], ["", "h"], hidden_size=hidden, linear_before_reset=1),
        helper.make_node("Squeeze", ["h", "first"], ["last"]),
        helper.make_node("Gemm", ["last", "head", "bias"], ["logits"], transB=1),
    ]
    initializers = [numpy_helper.from_array(value.float().numpy(), name) for name, value in stored.items()]
    initializers.append(helper.make_tensor("first", TensorProto.INT64, [1], [0]))
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "time", cell.input_size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", model.classes])],
        initializers,
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
