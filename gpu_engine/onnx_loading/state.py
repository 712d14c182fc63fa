"""What the handlers of one graph share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gpu_engine.onnx_loading.files import TensorReader
from gpu_engine.onnx_loading.nodes import Node
from gpu_engine.onnx_loading.recurrent import Roles
from gpu_engine.onnx_loading.stages import Elements
from gpu_engine.onnx_loading.values import Axis, Value, same_axis


@dataclass
class State:
    """reader: stored tensors; elements: what is computed; roles: which axes are frames and samples."""

    reader: TensorReader
    elements: Elements = field(default_factory=Elements)
    roles: Roles = field(default_factory=Roles)

    def is_time(self, axis: Axis) -> bool:
        return self.roles.time is not None and bool(axis) and same_axis(axis, self.roles.time)


Handler = Callable[[Node, State], tuple[Value, ...]]
"""Makes a node's outputs, in order (later ones may be left out). Raises Refusal."""
