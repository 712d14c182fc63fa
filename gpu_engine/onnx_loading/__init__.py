"""ONNX models -> the normal form, by following every tensor of the graph.

Method card. Claim: the normal form's logits are, in real arithmetic, the graph's output (before a last Softmax or
LogSoftmax) on the same frames. Idea: each tensor is an array of references to numbers of the network (values.py,
stages.py); an operator that moves numbers moves references, an operator that computes makes a new stage; an operator,
an attribute or an input without a known meaning is refused with the node's name. Sound: no stage is guessed, and no
weight is rounded (weights are only widened, moved, or set beside zeros and ones). Source: the ONNX operator
specification, operator sets 7 to 28. Frames: x (batch, time, input) of the normal form are the frames in the order in
which the first recurrent layer reads them, whatever axes the graph's own input has. Errors: ModelError.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from gpu_engine.errors import ModelError
from gpu_engine.model import RecurrentClassifier
from gpu_engine.onnx_loading.assembly import assemble
from gpu_engine.onnx_loading.files import INSTALL, TensorReader, dtype_name, read_model
from gpu_engine.onnx_loading.nodes import Node, shown
from gpu_engine.onnx_loading.operators import evaluate
from gpu_engine.onnx_loading.stages import Frames, Stage, Tokens
from gpu_engine.onnx_loading.state import State
from gpu_engine.onnx_loading.values import FLOATS, INTEGERS, PLAIN, Array, Axis, Label, Refusal, Value

__all__ = ["INSTALL", "load_onnx"]

OPSETS: Final = range(7, 29)
"""Operator sets whose definitions of the supported operators were read for this module."""


def load_onnx(path: str | os.PathLike[str], output: str | None = None) -> RecurrentClassifier:
    """The classifier stored in an ONNX file.

    output: the name of the graph's output that gives the logits (or their softmax), needed where there are several.
    Weights of float16, bfloat16, float32 and float64 are widened exactly; they may lie in files beside the model.
    Initial states have to be constants, one for all samples. Nodes that the output does not depend on are not read.
    Raises ModelError with the file, the node, its operator, and the remedy.
    """
    path = Path(path)
    return _Graph(path, read_model(path)).classifier(output)


Result = TypeVar("Result")


class _Graph:
    def __init__(self, path: Path, model: Any) -> None:
        self.path = path
        self.graph = model.graph
        self.opset = self._operator_set(model)
        if model.functions:
            raise self._error(
                "holds functions of its own; inline them first: onnx.inliner.inline_local_functions(model)"
            )
        self.state = State(TensorReader(path.parent))
        self.initializers = {tensor.name: tensor for tensor in self.graph.initializer}
        self.inputs = {info.name: info for info in self.graph.input if info.name not in self.initializers}
        self.read_inputs: list[str] = []
        self.values: dict[str, Value] = {}

    def _error(self, text: str) -> ModelError:
        return ModelError(f"{self.path}: {text}")

    def _operator_set(self, model: Any) -> int:
        versions = {entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")}
        if len(versions) != 1 or not versions <= set(OPSETS):
            found = ", ".join(map(str, sorted(versions))) or "none"
            raise self._error(
                f"is written for ONNX operator set {found}; supported are {OPSETS[0]} to {OPSETS[-1]}. Convert it with "
                "onnx.version_converter"
            )
        return int(versions.pop())

    def classifier(self, output: str | None) -> RecurrentClassifier:
        name = self._output_name(output)
        for node in self._needed(name):
            self._evaluate(node)
        shown_output = f"output {name!r}"
        value = self._guarded(shown_output, lambda: self._value(name))
        if len(self.read_inputs) != 1:
            names = ", ".join(map(repr, self.read_inputs)) or "none of its inputs"
            raise self._error(
                f"{shown_output} depends on {names}; supported is one input, the frames or the tokens. Export initial "
                "states as constants and leave lengths out"
            )
        return self._guarded(shown_output, lambda: self._assembled(value))

    def _assembled(self, value: Value) -> RecurrentClassifier:
        if not value.signal:
            raise Refusal("is a constant; it does not depend on the model's input")
        if sum(size > 1 for size in value.array.shape) > 1:
            raise Refusal(f"has shape {value.shown()}; the logits need one axis of classes")
        stage, columns = self.state.elements.output(value.array.ravel())
        if isinstance(stage, Frames | Tokens):
            raise Refusal("no RNN, LSTM or GRU stands between the input and this output; give a recurrent classifier")
        return assemble(stage, columns, " and ".join(sorted(self.state.reader.stored)))

    def _output_name(self, wanted: str | None) -> str:
        names = [str(info.name) for info in self.graph.output]
        listed = ", ".join(map(repr, names))
        if wanted is None and len(names) > 1:
            raise self._error(f"has {len(names)} outputs ({listed}); name the one that gives the logits")
        if wanted is not None and wanted not in names:
            raise self._error(f"has no output {wanted!r}; there are {listed}")
        return names[0] if wanted is None else wanted

    def _needed(self, output: str) -> list[Any]:
        """The nodes that the output depends on, in the file's order, which in ONNX is the order of computation."""
        makers: dict[str, int] = {}
        for number, node in enumerate(self.graph.node):
            for name in filter(None, node.output):
                if name in makers or name in self.inputs or name in self.initializers:
                    raise self._error(f"{shown(node)}: makes {name!r}, which is there already; export the model again")
                makers[name] = number
        needed: set[int] = set()
        names = [output]
        while names:
            number = makers.get(names.pop(), -1)
            if number >= 0 and number not in needed:
                needed.add(number)
                names += self.graph.node[number].input
        return [self.graph.node[number] for number in sorted(needed)]

    def _evaluate(self, proto: Any) -> None:
        if proto.domain not in ("", "ai.onnx"):
            raise self._error(
                f"{shown(proto)}: the operator is of domain {proto.domain!r}, which is not supported; export the "
                "model with standard operators"
            )

        def outputs() -> tuple[Value, ...]:
            values = [self._value(name) if name else None for name in proto.input]
            return evaluate(Node(proto, values, self.opset, self.state.reader), self.state)

        made = self._guarded(shown(proto), outputs)
        self.values |= {name: value for name, value in zip(proto.output, made, strict=False) if name}

    def _guarded(self, who: str, work: Callable[[], Result]) -> Result:
        """Carry out work on behalf of a node; what goes wrong is the node's fault, and is told with its name."""
        try:
            return work()
        except Refusal as refusal:
            raise self._error(f"{who}: {refusal}") from None
        except ModelError as error:  # the normal form's own checks
            raise self._error(f"{who}: {error}") from error
        except (ValueError, IndexError, TypeError, OverflowError, MemoryError) as error:
            raise self._error(
                f"{who} is not well formed ({type(error).__name__}: {error}); export the model again"
            ) from error

    def _value(self, name: str) -> Value:
        """A tensor by name: computed before, stored, or the model's input."""
        if name not in self.values:
            if name in self.initializers:
                self.values[name] = self.state.reader.read(self.initializers[name])
            elif name in self.inputs:
                self.read_inputs.append(name)
                self.values[name] = self._input(self.inputs[name])
            elif any(sparse.values.name == name for sparse in self.graph.sparse_initializer):
                raise Refusal(f"tensor {name!r} is stored as a sparse tensor; store it as a dense one")
            else:
                raise Refusal(f"reads {name!r}, which no earlier node makes; export the model again")
        return self.values[name]

    def _input(self, info: Any) -> Value:
        """Frames with their numbers on the last axis, or token numbers; all other axes are samples or frames."""
        described = info.type.tensor_type
        kind = dtype_name(described.elem_type)
        if not info.type.HasField("tensor_type") or kind not in (*FLOATS, *INTEGERS) or not described.HasField("shape"):
            raise Refusal(
                f"the input {info.name!r} is of kind {kind}, or its shape is not stated; export the model with an "
                "input of floating-point frames (samples, frames, features) or integer tokens (samples, frames)"
            )
        lengths: list[int | None] = [
            d.dim_value if d.WhichOneof("value") == "dim_value" and d.dim_value > 0 else None
            for d in described.shape.dim
        ]
        axes: list[Axis] = [(Label(f"{info.name}[{k}]", size),) for k, size in enumerate(lengths)]
        who = f"input {info.name!r}"
        stage: Stage
        array: Array
        if kind in INTEGERS:
            stage = Tokens(1, True, who)
            array = self.state.elements.references(stage).reshape((1,) * len(axes))
            return Value(array, tuple(axes), kind, signal=True)
        if len(axes) < 2 or lengths[-1] is None:
            raise Refusal(
                f"the input {info.name!r} has shape {lengths}; its last axis has to be the features, of fixed "
                "length. Export the model with that length"
            )
        stage = Frames(lengths[-1], True, who)
        array = self.state.elements.references(stage)
        axes[-1] = PLAIN
        return Value(np.asarray(array.reshape((1,) * (len(axes) - 1) + (-1,))), tuple(axes), kind, signal=True)
